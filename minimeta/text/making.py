"""Making an encoder's directory, whole or not at all and with a record of how: the tiny encoder, and stage two's.

Of the processes that torchrun starts for several GPUs only the first one writes.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..files import data_directory, read_json, write_json
from ..threads import processors
from . import corpora, finetune, identity, pretrain


def tiny_encoder(out: str | Path, seed: int) -> None:
    """Pretrain the tiny encoder; on one thread, so that sums stay in one order. Raises InputError if `out` is there."""
    _check_seed(seed)
    _make(Path(out), lambda made: pretrain.pretrain(made, seed), 1, "pretrain-tiny", {"seed": seed})


def stage_two(out: str | Path, options: dict[str, Any]) -> None:
    """Fine-tune an encoder on English, with checkpoints beside `out` that the same call goes on from.

    `options` are those of `python -m minimeta finetune`, which go on record: task, encoder (None: the tiny one), data
    (None: the mini world), columns and languages (of a corpus of one's own; without them English), split, rows, epochs,
    rate (None: all rows, and those of the settings), freeze_embeddings, bf16 and seed. Raises InputError if `out` is
    there, or if the checkpoints are of other options, rows or weights.
    """
    _check_seed(options["seed"])
    out, task, data = Path(out), options["task"], options["data"]
    encoder = options["encoder"] or data_directory() / "tiny-encoder"
    columns, languages = options.get("columns") or (), options.get("languages") or ["en"]
    options = {name: value for name, value in options.items() if value or name not in ("columns", "languages")}
    entry = corpora.corpus_of(task, data, columns, corpora.STAGE_TWO)
    if languages == ["en"] and "en" not in entry.languages:
        raise InputError(
            f"{entry.name} has no English to train on; name with --languages those of {', '.join(entry.languages)} "
            "that you will not ask for as targets."
        )
    corpus = entry.rows(data, languages, options["split"])
    for note in entry.notes:
        print(note)
    if options["rows"] is not None:
        if not 1 <= options["rows"] <= len(corpus):
            raise InputError(f"--rows is {options['rows']}; there are {len(corpus)} rows to draw from.")
        corpus = corpus.shuffle(seed=options["seed"]).select(range(options["rows"]))
    numbers = {name: options[name] for name in ("epochs", "rate") if options[name] is not None}
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise InputError(f"--{name} is {value:g}; it must be a finite number above 0.")
    switches = {name: options[name] for name in ("freeze_embeddings", "bf16")}
    settings = replace((finetune.PAPER if data else finetune.TOY)[task], **numbers, **switches)
    checkpoints = Path(f"{out}.unfinished")
    if _first_process() and not out.exists():
        made_of = {"encoder": _hashes(Path(encoder)) or {"name": encoder}, "data": identity.content(corpus.to_dict())}
        _begin(checkpoints, options | made_of)

    def train(made: Path) -> None:
        finetune.train(encoder, corpus, made, settings, options["seed"], checkpoints)

    try:
        _make(out, train, 4 if data else 1, "finetune", options)
    except Exception:
        if _first_process() and [path.name for path in checkpoints.glob("*")] == ["options.json"]:
            shutil.rmtree(checkpoints)  # nothing was trained
        raise
    if _first_process():
        shutil.rmtree(checkpoints)


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed is {seed}; it must be from 0 to {2**32 - 1}.")


def _first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _begin(checkpoints: Path, given: dict[str, Any]) -> None:
    """Make the directory of checkpoints, or go on from the one that was left by the same options and contents."""
    record = checkpoints / "options.json"
    if not checkpoints.exists():
        checkpoints.mkdir(parents=True)
        write_json(record, given)
    elif not record.is_file() or read_json(record, f"remove {checkpoints} to begin again") != given:
        raise InputError(
            f"{checkpoints} was left by a command with other options, another encoder or other rows; give the same "
            "ones or remove it."
        )
    else:
        print(f"Going on from {checkpoints}")


def _make(out: Path, make: Callable[[Path], object], threads: int, command: str, options: dict[str, Any]) -> None:
    """Make a directory with `make`, on up to so many threads, and say in its `made.json` how that was done."""
    if out.exists():
        raise InputError(f"{out} is there already; name a new directory with --out.")
    torch.set_num_threads(min(threads, processors()))
    out.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as unfinished:
        made = Path(unfinished) / "made"
        make(made)
        if not _first_process():
            return
        record = {"command": command, "options": options, "seconds": round(time.perf_counter() - start)}
        hashes = _hashes(made)
        write_json(made / "made.json", record | {"versions": identity.versions(), "sha256": hashes})
        made.rename(out)
    print(f"Written to {out} in {record['seconds']} s")


def _hashes(directory: Path) -> dict[str, str]:
    """The SHA-256 of each file in a directory; none if there is no such directory."""
    files = sorted(path for path in directory.glob("[!.]*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
