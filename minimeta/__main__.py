"""The command line: `python -m minimeta run METHOD ... --target de`, and what it takes to get there."""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import data_directory, read_json, write_json
from .options import parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 for input that cannot be used."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # a terminal or a file that has no ± shows ? for it
    try:
        options = parse(arguments, COMMANDS)
        options.command(options)
    except InputError as error:
        print(f"minimeta: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"minimeta: {error.strerror or error}: {error.filename or 'while reading or writing'}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minimeta: stopped; what was done has been kept.", file=sys.stderr)
        return 130
    return 0


def _pretrain_tiny(options: argparse.Namespace) -> None:
    from .text import pretrain

    _make(options, lambda out: pretrain.pretrain(out, options.seed), threads=1)


def _finetune(options: argparse.Namespace) -> None:
    from .text import corpora, finetune, identity

    encoder = options.encoder or data_directory() / "tiny-encoder"
    if options.data:
        corpus = {"nli": corpora.multinli, "qa": corpora.squad}[options.task](options.data, [options.split])
    elif options.task == "nli":
        corpus = corpora.mini_nli(["en"], [options.split])
    else:
        corpus = corpora.mini_qa(["en"], [options.split], corpora.MANY_PASSAGES)
    if options.rows is not None:
        if not 1 <= options.rows <= len(corpus):
            raise InputError(f"--rows is {options.rows}; there are {len(corpus)} rows to draw from.")
        corpus = corpus.shuffle(seed=options.seed).select(range(options.rows))
    given = {name: value for name in ("epochs", "rate") if (value := getattr(options, name)) is not None}
    for name, value in given.items():
        if not value > 0:
            raise InputError(f"--{name} is {value:g}; it must be above 0.")
    settings = replace(
        (finetune.PAPER if options.data else finetune.TOY)[options.task],
        freeze_embeddings=options.freeze_embeddings,
        bf16=options.bf16,
        **given,
    )
    train = getattr(finetune, options.task)
    checkpoints = Path(f"{Path(options.out)}.unfinished")  # beside it, also where it was typed with a / at its end
    if _first_process():
        made_of = _hashes(Path(encoder)) or {"name": encoder}
        _same_options(options, checkpoints, {"encoder": made_of, "data": identity.content(corpus.to_dict())})
    try:
        _make(
            options,
            lambda out: train(encoder, corpus, out, settings, options.seed, checkpoints),
            4 if options.data else 1,
        )
    except InputError:
        if _first_process() and [path.name for path in checkpoints.glob("*")] == ["options.json"]:
            shutil.rmtree(checkpoints)  # nothing was trained
        raise
    if _first_process():
        shutil.rmtree(checkpoints)


def _first_process() -> bool:
    """True but in the further processes that torchrun starts for several GPUs: only the first one writes."""
    return os.environ.get("RANK", "0") == "0"


def _same_options(options: argparse.Namespace, checkpoints: Path, made_of: dict[str, Any]) -> None:
    """Make the directory of checkpoints, or go on from the one that the same command has left, `made_of` the same."""
    if Path(options.out).exists():
        return  # `_make` says so
    given = _given(options) | made_of  # in place of their paths
    if not checkpoints.exists():
        checkpoints.mkdir(parents=True)
        write_json(checkpoints / "options.json", given)
    elif not (checkpoints / "options.json").is_file() or read_json(checkpoints / "options.json") != given:
        raise InputError(
            f"{checkpoints} was left by a command with other options, another encoder or other rows; give the same "
            "ones or remove it."
        )
    else:
        print(f"Going on from {checkpoints}")


def _given(options: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name not in ("command", "name", "out")}


def _make(options: argparse.Namespace, make: Callable[[Path], object], threads: int) -> None:
    """Make a new directory whole or not at all, with a record of how it was made in `made.json`.

    The tiny encoder is made on one thread: its matrices are too small for two, and sums stay in one order.
    """
    from .studies.recipes import versions

    out = Path(options.out)
    if out.exists():
        raise InputError(f"{out} is there already; name a new directory with --out.")
    _threads(threads)
    out.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as unfinished:
        made = Path(unfinished) / "made"
        make(made)
        if not _first_process():
            return
        hashes = _hashes(made)
        record = {"command": options.name, "options": _given(options), "seconds": round(time.perf_counter() - start)}
        write_json(made / "made.json", record | {"versions": versions(), "sha256": hashes})
        made.rename(out)
    print(f"Written to {out} in {record['seconds']} s")


def _hashes(directory: Path) -> dict[str, str]:
    """The SHA-256 of each file in a directory; none if there is no such directory."""
    files = sorted(path for path in directory.glob("[!.]*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _threads(most: int = 4) -> None:
    """As many threads as there are processors, up to `most`; more cost more than they give. (One for toy models.)"""
    import torch

    torch.set_num_threads(min(most, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4))


def _methods(options: argparse.Namespace) -> None:
    from .studies.methods import METHODS

    for name, method in METHODS.items():
        controls = f"  controls: {', '.join(method.controls)}" if method.controls else ""
        print(f"{name:17} {method.title:15} {method.source}{controls}")


def _run(options: argparse.Namespace) -> None:
    from .studies import study
    from .studies.methods import cells

    targets = list(dict.fromkeys(options.target))
    chosen = cells(options.methods, targets, options.aux)
    runs = [
        study.Run(cell, seed, (cell.target,) if cell.target else tuple(targets))
        for seed in range(_seeds(options))
        for cell in chosen
    ]
    if options.resume and not (Path(options.resume) / "study.json").exists():
        raise InputError(f"There is no run in {options.resume} to go on with; name the folder that it printed.")
    _study(options, runs, targets, Path(options.resume) if options.resume else _new_folder(Path(options.out)))


def _leave_one_out(options: argparse.Namespace) -> None:
    from .studies import study

    runs = _of_kinds(study.leave_one_out(options.methods, options.target, range(_seeds(options))), options)
    _study(options, runs, options.target, Path(options.out))


def _transfer(options: argparse.Namespace) -> None:
    from .studies import study

    auxiliaries = [tuple(code.split("+")) for code in options.aux]
    targets = options.target or _world(options, options.task, options.data, options.encoder).tested()
    runs = _of_kinds(study.transfer(options.methods, auxiliaries, targets, range(_seeds(options))), options)
    _study(options, runs, targets, Path(options.out))


def _of_kinds(runs: Sequence[Any], options: argparse.Namespace) -> list[Any]:
    """The runs with the tests that were asked for."""
    from .studies.methods import KINDS

    unknown = [kind for kind in options.kinds or () if kind not in KINDS]
    if unknown:
        raise InputError(f"Unknown kind of test {unknown[0]!r}; the kinds are {', '.join(KINDS)}.")
    kinds = tuple(options.kinds or KINDS)
    return [replace(run, kinds=kinds) for run in runs if set(kinds) & set(run.cell.kinds)]


def _seeds(options: argparse.Namespace) -> int:
    if options.seeds < 1:
        raise InputError(f"--seeds is {options.seeds}; it must be 1 or more.")
    return options.seeds


def _study(options: argparse.Namespace, runs: Sequence[Any], targets: Sequence[str], folder: Path) -> None:
    """Check everything, do the runs, print the tables: also of a study that was stopped, as far as it got."""
    from tqdm.auto import tqdm

    from .studies import comparisons, jobs, report, study

    world = _world(options, options.task, options.data, options.encoder)
    if options.task == "nli":
        _warn_of_rates(options.scale, runs, targets)
    what = f"{options.scale} scale, {world.shared['data']}"
    print(f"{what}, targets {', '.join(targets)}, seeds 0 to {options.seeds - 1}")

    def show(complete: bool = True) -> None:
        if any(folder.glob("cells/*.json")):
            print(report.study_text(comparisons.load(folder)))
            unfinished = "" if complete else "Unfinished: these are the runs that were done. "
            print(f"\n{unfinished}One file per run in {folder}")
            return
        study.remove_empty(folder)
        if any(folder.glob("unfinished/*")):
            print(f"No run was finished; what was begun goes on from its checkpoints in {folder}")

    try:
        with jobs.engine(options.scheduler):
            study.run(runs, folder, world, options.workers, options.threads, partial(tqdm, desc="runs", disable=None))
    except jobs.AtWork:
        raise  # what is in the folder is that process's to show
    except BaseException:
        show(complete=False)
        raise
    show()


def _world(options: argparse.Namespace, task: str, data: str | None, encoder: str | None) -> Any:
    """What all runs of a task share."""
    from .studies.world import World

    return World(
        options.scale,
        data,
        encoder,
        task,
        options.first_order,
        options.tasks_per_chunk,
        options.bf16,
        options.cache,
    )


def _warn_of_rates(scale: str, runs: Sequence[Any], targets: Sequence[str]) -> None:
    """Say so if rates were chosen on a target."""
    from .studies.methods import METHODS

    chosen_on = {code for run in runs for code in METHODS[run.cell.method].chosen_on}
    seen = [code for code in targets if code in chosen_on]
    if scale == "small" and seen:
        print(f"minimeta: the rates of small scale were chosen on {', '.join(seen)}; choose others to be fair to it.")


def _reproduce(options: argparse.Namespace) -> None:
    """Do what is missing of a table's runs and show the table: also of one that was stopped, as far as it got."""
    from tqdm.auto import tqdm

    from .studies import jobs, reproduce, study

    known = reproduce.table(options.table)
    folder = Path(options.out or f"runs/reproduce-{options.table}")
    _plotly()
    if options.no_train:
        return _show(options, folder)
    folders, worlds = reproduce.folders(options.table, folder), _worlds(options, known.tasks)
    tested = [world.tested() for world in worlds.values()]
    targets = options.targets or [code for code in known.targets if all(code in there for there in tested)]
    grid = reproduce.grid(options.table, targets, range(_seeds(options)))
    if "nli" in grid:
        _warn_of_rates(options.scale, grid["nli"], targets)
    count = sum(map(len, grid.values()))
    print(f"{known.title}: {options.scale} scale, targets {', '.join(targets)}, {count} runs")

    def show(complete: bool = True) -> None:
        if any(any(path.glob("cells/*.json")) for path in folders.values()):
            _show(options, folder)
            print("" if complete else "Unfinished: a dash stands for what was not run.")
        for path in folders.values():
            study.remove_empty(path)

    failures = []
    try:
        with jobs.engine(options.scheduler):
            for task, runs in grid.items():
                progress = partial(tqdm, desc=f"{task} runs", disable=None)
                try:
                    study.run(runs, folders[task], worlds[task], options.workers, options.threads, progress)
                except study.RunsFailed as error:  # the other task's runs are done all the same
                    failures.append(error)
        if failures:
            raise failures[0]
    except jobs.AtWork:
        raise  # what is in the folder is that process's to show
    except BaseException:
        show(complete=False)
        raise
    show()


def _plotly() -> None:
    """Raise InputError if a page cannot be drawn, before hours of training."""
    from importlib.util import find_spec

    if find_spec("plotly") is None:
        raise InputError("The page of a table needs plotly, which is not installed: pip install 'minimeta[lab]'.")


def _worlds(options: argparse.Namespace, tasks: Sequence[str]) -> dict[str, Any]:
    """What the runs of each task share, from one --data for all of them or one for each, and an --encoder for each."""
    from .studies import reproduce

    data = options.data or [None]
    data = data * len(tasks) if len(data) == 1 else data
    encoders = options.encoder or [None] * len(tasks)
    for name, given in (("--data", data), ("--encoder", encoders)):
        if len(given) != len(tasks):
            raise InputError(
                f"{options.table} is about {' and '.join(tasks)}: {name} takes {len(tasks)} of them in this order, not "
                f"{len(given)}."
            )
    worlds = {task: _world(options, task, *given) for task, *given in zip(tasks, data, encoders, strict=True)}
    for world in worlds.values():
        reproduce.check_world(options.table, world)
    return worlds


def _show(options: argparse.Namespace, folder: Path) -> None:
    """Print a table and write it beside its runs, as text, CSV and a page."""
    from .show import tableplots
    from .studies import report, reproduce

    found = reproduce.compare(options.table, folder, options.targets or ())
    print(report.text(found))
    print()
    for ending, write in (
        ("txt", report.write_text),
        ("csv", report.write_csv),
        ("html", tableplots.write_page),
    ):
        write(found, folder / f"{options.table}.{ending}")
        print(f"Written to {folder / options.table}.{ending}")


def _results(options: argparse.Namespace) -> None:
    from .studies import comparisons, report

    found = comparisons.load(options.folder)
    print(report.study_text(found))
    if options.csv and found.records:
        name = {"nli": "accuracies", "qa": "scores"}[found.task]
        for path, lines in (
            (Path(f"{options.csv}.csv"), comparisons.differences(found)),
            (Path(f"{options.csv}_{name}.csv"), comparisons.scores(found).drop(columns="seconds")),
        ):
            report.write_csv(lines, path)
            print(f"Written to {path}")


def _new_folder(out: Path) -> Path:
    """A folder of its own for this run, named by the time in UTC; it is made when there is something to put in."""
    name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    names = (name, *map(f"{name}-{{}}".format, range(2, 100)))
    return next(folder for folder in map(out.joinpath, names) if not folder.exists())


COMMANDS = {
    "methods": _methods,
    "run": _run,
    "leave_one_out": _leave_one_out,
    "transfer": _transfer,
    "reproduce": _reproduce,
    "results": _results,
    "pretrain_tiny": _pretrain_tiny,
    "finetune": _finetune,
}


if __name__ == "__main__":
    sys.exit(main())
