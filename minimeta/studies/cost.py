"""What a table costs on this machine: a few steps of each kind of run are timed and multiplied, and nothing is kept.

Runs are of one kind if they have the same method and as many auxiliary languages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..text.episodes import columns, rows_of
from . import recipes
from .methods import METHODS
from .world import World

if TYPE_CHECKING:
    import pandas as pd

    from ..outer import meta_train
    from ..text.features import Features
    from .grids import Run

STEPS, TUNED, SCORED = 10, 3, 32
"""What is timed of each kind of run: outer steps, batches of fine-tuning, rows that are scored."""


class Timed(NamedTuple):
    """Seconds of an outer step, a batch of fine-tuning, a row's score, a row in the frozen layers; the most GB."""

    step: float
    tuning: float
    row: float
    frozen: float
    memory: float


def timed(run: Run, world: World) -> Timed:
    """Time a few steps of a run, and of what its tests need."""
    settings = world.settings(run.cell)
    features = world.features(settings.adapt, settings.max_length)
    device = next(features.encoder.learner.parameters()).device
    _most_bytes(device, forget=True)
    learner, training = recipes.train(run.cell, features, settings, run.seed, run.targets)
    step, tuning = _seconds(training, STEPS, features), 0.0
    if "fine-tuned" in {*run.kinds} & {*run.cell.kinds}:
        tuning = _seconds(recipes.tuning(learner, features, run.targets[0], settings, run.seed), TUNED, features)
    memory = _most_bytes(device) / 1e9
    rows = rows_of(features.corpus, run.targets[0], "test")[:SCORED]
    batch = {name: value[0] for name, value in features[torch.tensor([rows])].items()}
    row, frozen, trunk = _call(lambda: learner.outputs(batch)) / len(rows), 0.0, features.encoder.trunk
    if trunk is not None:
        mask = batch["mask"][:8]
        with torch.autocast(device.type, torch.bfloat16, enabled=features.encoder.bf16):
            frozen = _call(lambda: trunk(mask, mask, 0 * mask)) / len(mask)
    return Timed(step, tuning, row, frozen, memory)


def _seconds(training: meta_train, count: int, features: Features) -> float:
    """The median of so many steps after a first one, without the frozen layers; 0 if there is no step."""
    found, before = [], features.seconds
    for report in islice(training, 1 + count):
        found.append(report.seconds - (features.seconds - before))
        before = features.seconds
    return median(found[1:] or found or [0.0])


def _call(function: Callable[[], Tensor]) -> float:
    """The seconds of the quickest of three calls after a first one; the sum makes us wait for a GPU."""
    found = []
    with torch.no_grad():
        for _ in range(4):
            start = perf_counter()
            function().sum().item()
            found.append(perf_counter() - start)
    return min(found[1:])


def _most_bytes(device: torch.device, forget: bool = False) -> float:
    """The most since the last `forget`: of tensors on a GPU, else of the whole process (NaN where no one can tell)."""
    if device.type == "cuda":
        if forget:
            torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):  # Linux alone has these files
        if forget:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return float("nan")


def cost(
    grid: Mapping[str, Sequence[Run]],
    worlds: Mapping[str, World],
    progress: Callable[[list[list[Run]]], Iterable[list[Run]]] = iter,
    timer: Callable[[Run, World], Timed] = timed,
) -> pd.DataFrame:
    """By kind of run: `runs`, seconds of a `step`, hours of `training` and of `tests` of them all, `GB` of one run.

    A line is of the frozen layers, through which each row passes once, and the last one the sum, with the most GB.
    """
    import pandas as pd

    lines = []
    for task, runs in grid.items():
        known, alike, frozen = columns(worlds[task].rows()), {}, 0.0
        sizes = known[known["split"].isin(["dev", "test"])].groupby(["language", "split"]).size()
        genres = known[known["split"] == "test"].groupby("language")["genre"].nunique()
        for run in runs:
            alike.setdefault((run.cell.method, len(run.cell.auxiliaries)), []).append(run)
        for same in progress(list(alike.values())):
            cell, each = same[0].cell, timer(same[0], worlds[task])
            method, settings, tests = METHODS[cell.method], worlds[task].settings(cell), 0.0
            for code, kind in ((code, kind) for run in same for code in run.targets for kind in run.kinds):
                if kind in cell.kinds:
                    tests += sizes[code, "test"] * each.row
                    tests += -(-sizes[code, "dev"] // settings.tune_batch) * each.tuning * (kind == "fine-tuned")
                    # Where tasks pool, training tasks take inner steps beside the target, about as in an outer step.
                    tests += genres[code] * each.step * (method.pools and task == "nli" and kind != "fine-tuned")
            words = f" ({len(cell.auxiliaries)})" * bool(cell.auxiliaries) + f", {task}" * (len(grid) > 1)
            training = len(same) * each.step * settings.outer_steps * method.trains
            lines.append((method.title + words, len(same), each.step, training, tests, each.memory))
            frozen = each.frozen
        if frozen:
            rows = sizes[sorted({code for run in runs for code in run.languages})].sum()
            lines.append(("frozen layers, once", 0, 0.0, rows * frozen, 0.0, 0.0))
    found = pd.DataFrame(lines, columns=["kind", "runs", "step", "training", "tests", "GB"]).set_index("kind")
    found[["training", "tests"]] /= 3600
    found.loc["all"] = found.sum()
    found.loc["all", ["step", "GB"]] = 0.0, found["GB"][:-1].max()
    return found.astype({"runs": int})


def text(found: pd.DataFrame) -> str:
    """What `cost` gives as a table."""
    named = {"step": "s a step", "training": "training h", "tests": "tests h"}

    def number(value: float) -> str:
        return "" if not value > 0 else f"{value:,.0f}" if value >= 100 else f"{value:.2g}"

    return found.map(number).rename(columns=named).rename_axis(None).to_string(col_space=12)
