"""The study of notebook 09: three methods with Hindi as the auxiliary, tested on German, small enough to be watched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from . import comparisons, grids

METHODS = ("baseline", "x-maml", "joint")

_PROGRAM = """import functools, sys
from minimeta import __main__
from minimeta.studies import checkpoints
checkpoints.train = functools.partial(checkpoints.train, every=0.1)  # seconds
sys.exit(__main__.main(sys.argv[1:]))"""


def runs(seeds: int) -> list[grids.Run]:
    """Its runs, three for each seed."""
    return grids.of_kinds(grids.transfer(METHODS, ["hi"], ["de"], range(seeds)), ["zero-shot"])


def command(folder: str | Path, seeds: int, cache: str | Path) -> list[str]:
    """The arguments of a process that does it: `minimeta study transfer`, with a checkpoint ten times a second."""
    what = ["study", "transfer", *METHODS, "--aux", "hi", "--target", "de", "--kinds", "zero-shot"]
    where = ["--seeds", str(seeds), "--scale", "toy", "--cache", str(cache), "--out", str(folder)]
    return [sys.executable, "-c", _PROGRAM, *what, *where]


def found(folder: str | Path) -> dict[str, Any]:
    """What seed 0 found, by method: its outer losses, and the answer to every test row."""
    records = comparisons.load(folder).records
    return {each["method"]: (each["outer_losses"], each["results"]) for each in records if each["seed"] == 0}
