"""The command line: `python -m minimeta run METHOD ... --target de`, and what it takes to get there."""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from .errors import InputError
from .files import data_directory, write_json


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are the same one clear sentence as all others."""

    def error(self, message: str) -> NoReturn:
        if "METHOD" in message:
            message = "name the methods first, then --target: no METHOD was given"
        raise InputError(f"{message[0].upper()}{message[1:]}; see '{self.prog} --help'.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 for input that cannot be used."""
    try:
        options = _options(arguments)
        options.command(options)
    except InputError as error:
        print(f"minimeta: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"minimeta: {error.strerror or error}: {error.filename or 'while reading or writing'}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minimeta: stopped; the runs that were finished have been kept.", file=sys.stderr)
        return 130
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m minimeta", description="Meta-learning on task trees, taught in notebooks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    methods = commands.add_parser("methods", help="list the methods")
    methods.set_defaults(command=_methods)
    run = commands.add_parser("run", help="train methods, score them on target languages, print a table")
    run.set_defaults(command=_run)
    run.add_argument("methods", nargs="+", metavar="METHOD", help="see 'python -m minimeta methods'")
    run.add_argument("--target", nargs="+", action="extend", required=True, metavar="LANGUAGE")
    run.add_argument("--aux", nargs="+", action="extend", default=[], metavar="LANGUAGE", help="auxiliary languages")
    run.add_argument(
        "--scale", default=os.environ.get("MINIMETA_SCALE", "toy"), help="toy, small or full (default: toy)"
    )
    run.add_argument(
        "--data",
        help="a directory with XNLI-1.0.zip, the archive, or its unpacked directory (default at toy: mini-NLI)",
    )
    run.add_argument(
        "--encoder",
        help="a Hugging Face directory or name of an NLI classifier, BERT or XLM-R (default at toy: the tiny encoder)",
    )
    run.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default: 3)")
    run.add_argument("--out", default="runs", help="where a folder for this run is made (default: runs)")
    tiny = commands.add_parser("pretrain-tiny", help="pretrain the tiny encoder on the mini world's text")
    tiny.set_defaults(command=_pretrain_tiny, name="pretrain-tiny")
    tiny.add_argument("--out", required=True, metavar="DIR", help="a new directory for the encoder")
    tiny.add_argument("--seed", type=int, default=0)
    stage_two = commands.add_parser("finetune", help="fine-tune an encoder on English NLI (stage two)")
    stage_two.set_defaults(command=_finetune, name="finetune")
    stage_two.add_argument("task", choices=["nli"])
    stage_two.add_argument("--out", required=True, metavar="DIR", help="a new directory for the classifier")
    stage_two.add_argument("--encoder", help="a Hugging Face directory or name (default: the tiny encoder)")
    stage_two.add_argument("--data", help="a directory with multinli_1.0.zip (default: mini-NLI's English)")
    stage_two.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def _pretrain_tiny(options: argparse.Namespace) -> None:
    from . import pretrain

    _make(options, lambda out: pretrain.pretrain(out, options.seed), threads=1)


def _finetune(options: argparse.Namespace) -> None:
    from . import corpora, finetune

    encoder = options.encoder or data_directory() / "tiny-encoder"
    corpus = corpora.multinli(options.data) if options.data else corpora.mini_nli(["en"], ["train"])
    settings = finetune.PAPER if options.data else finetune.TOY
    _make(options, lambda out: finetune.nli(encoder, corpus, out, settings, options.seed), 4 if options.data else 1)


def _make(options: argparse.Namespace, make: Callable[[Path], object], threads: int) -> None:
    """Make a new directory whole or not at all, with a record of how it was made in `made.json`.

    The tiny encoder is made on one thread: its matrices are too small for two, and sums stay in one order.
    """
    from .recipes import versions

    out = Path(options.out)
    if out.exists():
        raise InputError(f"{out} is there already; name a new directory with --out.")
    _threads(threads)
    out.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as unfinished:
        made = Path(unfinished) / "made"
        make(made)
        hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(made.iterdir())}
        given = {name: value for name, value in vars(options).items() if name not in ("command", "name", "out")}
        record = {"command": options.name, "options": given, "seconds": round(time.perf_counter() - start)}
        write_json(made / "made.json", record | {"versions": versions(), "sha256": hashes})
        made.rename(out)
    print(f"Written to {out} in {record['seconds']} s")


def _threads(most: int = 4) -> None:
    """As many threads as there are processors, up to `most`; more cost more than they give. (One for toy models.)"""
    import torch

    torch.set_num_threads(min(most, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4))


def _methods(options: argparse.Namespace) -> None:
    from .recipes import METHODS

    for name, method in METHODS.items():
        controls = f"  controls: {', '.join(method.controls)}" if method.controls else ""
        print(f"{name:15} {method.title:15} {method.source}{controls}")


def _run(options: argparse.Namespace) -> None:
    import torch
    from tqdm.auto import tqdm

    from . import corpora, encoders, recipes

    cells = recipes.cells(options.methods, options.target, options.aux)
    settings = [recipes.settings_for(cell, options.scale) for cell in cells]
    if options.seeds < 1:
        raise InputError(f"--seeds is {options.seeds}; it must be 1 or more.")
    data, encoder = options.data, options.encoder
    if options.scale == "toy" and not data:
        encoder = encoder or data_directory() / "tiny-encoder-nli"
    if not encoder or (options.scale != "toy" and not data):
        raise InputError(
            f"There is no corpus or encoder to use at {options.scale} scale: name them with --data DIR (XNLI-1.0.zip) "
            "and --encoder DIR (a BERT or XLM-R classifier fine-tuned on English NLI)."
        )
    targets = list(dict.fromkeys(options.target))
    _threads(1 if options.scale == "toy" else 4)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    corpus = corpora.nli(data)
    features = {
        kind: encoders.nli(encoder, kind[0], kind[1]).to(device).features(corpus)
        for kind in dict.fromkeys((s.adapt, s.max_length) for s in settings)
    }
    for cell, setting in zip(cells, settings, strict=True):  # what cannot work should fail before training
        recipes.check_cell(cell, targets, corpus, setting)
    seen = [code for code in targets if code in recipes.RATES_CHOSEN_ON]
    if options.scale == "small" and seen:
        print(f"minimeta: the rates of small scale were chosen on {', '.join(seen)}; choose others to be fair to it.")
    folder = _new_folder(Path(options.out))
    what = f"{options.scale} scale, {data or 'mini-NLI'}"
    print(f"{what}, targets {', '.join(targets)}, seeds 0 to {options.seeds - 1}, {device}")
    records: dict[recipes.Cell, list[dict[str, Any]]] = {cell: [] for cell in cells}
    name = ""
    try:
        for seed in range(options.seeds):
            for cell, setting in zip(cells, settings, strict=True):
                name = f"{cell.method} {_short(cell.auxiliaries)} seed {seed}"
                bar = partial(tqdm, desc=name, leave=False, disable=None)
                encoded = features[setting.adapt, setting.max_length]
                record = recipes.run(cell, targets, encoded, options.scale, seed, bar)
                records[cell].append(record)
                record |= {"data": str(data or "mini-NLI"), "device": device, "threads": torch.get_num_threads()}
                write_json(folder / f"{cell.name.replace(' ', '-')}-seed{seed}.json", record)
    except (InputError, KeyboardInterrupt) as error:
        finished = {cell: runs for cell, runs in records.items() if runs}
        if finished:
            seeds = min(map(len, finished.values()))
            print(table({cell: runs[:seeds] for cell, runs in finished.items()}, targets))
            print(f"\nUnfinished: these are the runs until {name}; one file per run in {folder}")
        if isinstance(error, InputError):
            raise InputError(f"{name}: {error}") from None
        raise
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
    print(table(records, targets))
    print(f"\nOne file per run in {folder}")


def _new_folder(out: Path) -> Path:
    """A folder of its own for this run, named by the time in UTC."""
    out.mkdir(parents=True, exist_ok=True)
    name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{i}" for i in range(2, 100))):
        with suppress(FileExistsError):
            (out / (name + suffix)).mkdir()
            return out / (name + suffix)
    raise InputError(f"{out} already has 99 folders for this very second; choose another --out.")


def table(records: dict[Any, list[dict[str, Any]]], targets: Sequence[str]) -> str:
    """Accuracies, and each method against its controls, as text."""
    from .recipes import METHODS, paper_figure

    lines = []
    for kind in ("zero-shot", "few-shot"):
        for target in targets:
            lines += ["", f"{target}, {kind}: test accuracy in %, mean ± sd over seeds (the paper's is mBERT's)"]
            lines += [
                f"  {'method':17} {'auxiliaries':14} {'tasks':9} {'accuracy':13} {'rows':>5} {'seconds':>8}  paper"
            ]
            for cell, runs in records.items():
                values = [run["results"][target][kind]["accuracy"] for run in runs]
                sd = f"{statistics.stdev(values):4.2f}" if len(values) > 1 else "   –"
                paper = paper_figure(cell, kind, target)
                seconds = statistics.mean(run["train_seconds"] for run in runs)
                lines.append(
                    f"  {METHODS[cell.method].title:17} {_short(cell.auxiliaries):14} {_tasks(cell):9} "
                    f"{statistics.mean(values):5.2f} ± {sd}  {runs[0]['results'][target][kind]['n']:5d} "
                    f"{seconds:8.1f}  {'–' if paper is None else f'{paper:.2f}'}"
                )
            lines += _against_controls(records, target, kind)
    return "\n".join(lines)


def _against_controls(records: dict[Any, list[dict[str, Any]]], target: str, kind: str) -> list[str]:
    """Paired differences with intervals, for the controls that were run with the same auxiliaries."""
    import numpy as np

    from .metrics import paired_difference
    from .recipes import METHODS

    def correct(runs: list[dict[str, Any]]) -> np.ndarray:
        scores = [run["results"][target][kind] for run in runs]
        return np.array([np.equal(score["predicted"], score["label"]) for score in scores])

    lines = []
    for cell, runs in records.items():
        for other, control in records.items():
            same = not other.auxiliaries or (other.auxiliaries, other.by_genre) == (cell.auxiliaries, cell.by_genre)
            if other.method not in METHODS[cell.method].controls or not same:
                continue
            groups = runs[0]["results"][target][kind]["premise_id"]
            gain, low, high = paired_difference(correct(runs), correct(control), groups)
            verdict = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
            lines.append(
                f"  {METHODS[cell.method].title:16} - {METHODS[other.method].title:16} {gain:+5.2f} "
                f"[{low:+5.2f}, {high:+5.2f}]  {verdict} ({_tasks(cell)})"
            )
    return ["  difference in points, 95 % interval over premises, paired by seed:", *lines] if lines else []


def _tasks(cell: Any) -> str:
    """What a task of the cell is: a genre of a language, or a language."""
    return "–" if not cell.auxiliaries else "genres" if cell.by_genre else "languages"


def _short(auxiliaries: tuple[str, ...]) -> str:
    return "+".join(auxiliaries) if len(auxiliaries) < 4 else f"{len(auxiliaries)} languages"


if __name__ == "__main__":
    sys.exit(main())
