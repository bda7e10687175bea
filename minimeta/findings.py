"""What a study found: its files read, scores by target, and paired differences from the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import recipes
from .errors import InputError
from .files import read_json
from .languages import LANGUAGES, all_but
from .metrics import paired_difference
from .papers import paper_figure
from .recipes import METHODS, METRICS, Cell

if TYPE_CHECKING:
    import pandas as pd

REST = ("all but the target",)
"""The auxiliaries of a cell in results, where each target was left out in turn."""


@dataclass(frozen=True)
class Results:
    """What a study's folder holds: what its runs share, the scored rows of each language, and the records."""

    shared: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    records: list[dict[str, Any]]

    @property
    def task(self) -> str:
        """What was asked, "nli" or "qa"; studies of NLI may not say."""
        return self.shared.get("task", "nli")

    def cells(self) -> dict[Cell, list[dict[str, Any]]]:
        """The records of each cell, by method and seed; trainings that differ by target alone are put together.

        That is few-shot XLA-MAML's, and those of a study that leaves one out: their auxiliaries are REST.
        """
        found: dict[Cell, dict[int, dict[str, Any]]] = {}
        order = list(METHODS)
        for record in sorted(self.records, key=lambda record: (order.index(record["method"]), record["seed"])):
            cell = replace(cell_of(record), target=None)
            if len(record["results"]) == 1 and set(cell.auxiliaries) == set(all_but(*record["results"])):
                cell = replace(cell, auxiliaries=REST)
            by_seed = found.setdefault(cell, {})
            before = by_seed.get(record["seed"], {"results": {}})
            by_seed[record["seed"]] = record | {"results": before["results"] | record["results"]}
        return {cell: list(by_seed.values()) for cell, by_seed in found.items()}


def cell_of(record: dict[str, Any]) -> Cell:
    """The cell that a record is of."""
    names = ("method", "auxiliaries", "by_genre", "target", "covering", "parallel")
    return Cell(**{name: tuple(record[name]) if name == "auxiliaries" else record[name] for name in names})


def shared(folder: Path) -> dict[str, Any]:
    """What all runs of the study in `folder` share."""
    return {"task": "nli"} | read_json(folder / "study.json")


def load(folder: str | Path) -> Results:
    """The results of a study so far; raises InputError if there is none in `folder`."""
    folder = Path(folder)
    if not (folder / "study.json").exists():
        raise InputError(f"There is no study in {folder}: expected study.json, rows.json and cells/.")
    records = [read_json(path) for path in sorted((folder / "cells").glob("[!.]*.json"))]
    return Results(shared(folder), read_json(folder / "rows.json"), records)


def scores(results: Results) -> pd.DataFrame:
    """A line for each cell, target and kind of test, with the METRICS of the task (mean over seeds, %).

    `sd` is that of the first metric over seeds, `seconds` the mean time of a training, `paper` what a paper prints for
    the first metric (mBERT), where it does. `seeds` and `rows` say how many.
    """
    import pandas as pd

    lines = []
    first, *others = METRICS[results.task]
    for cell, records in results.cells().items():
        for target in _order(records):
            for kind in cell.kinds:
                found = [score for record in records if (score := record["results"].get(target, {}).get(kind))]
                if not found:
                    continue
                values = [score[first] for score in found]
                lines.append(
                    _labels(results, cell)
                    | {"target": target, "kind": kind, first: np.mean(values), "seeds": len(values)}
                    | {"sd": np.std(values, ddof=1) if len(values) > 1 else np.nan, "rows": found[0]["n"]}
                    | {name: np.mean([score[name] for score in found]) for name in others}
                    | {"seconds": np.mean([record["train_seconds"] for record in records])}
                    | {"paper": paper_figure(_with_auxiliaries(cell, target), kind, target, first)}
                )
    return pd.DataFrame(lines)


def differences(results: Results, metric: str | None = None, seed: int = 0) -> pd.DataFrame:
    """Each method minus each of its controls with the same auxiliaries: `gain` in points, `low`, `high` (95 %).

    Of one of the METRICS of the task, the first without `metric`.

    A line for each target that both were scored on, and one for all of them together ("all", if several). Paired
    by seed; intervals are bootstrapped over premises, which are the same in all languages (`paired_difference`).
    """
    import pandas as pd

    known = METRICS[results.task]
    if metric not in (None, *known):
        raise InputError(f"Unknown metric {metric!r}; the metrics of this study are {', '.join(known)}.")
    lines = []
    found = results.cells()
    for cell, records in found.items():
        for other, controls in found.items():
            if other.method not in METHODS[cell.method].controls or not _comparable(cell, other):
                continue
            for kind in [kind for kind in cell.kinds if kind in other.kinds]:
                for target, (ours, theirs, groups, seeds) in paired(
                    results, records, controls, kind, metric or known[0]
                ).items():
                    gain, low, high = paired_difference(ours, theirs, groups, seed)
                    lines.append(
                        _labels(results, cell)
                        | {"control": METHODS[other.method].title, "target": target, "kind": kind, "gain": gain}
                        | {"low": low, "high": high, "verdict": verdict(low, high), "seeds": seeds, "rows": len(groups)}
                    )
    return pd.DataFrame(lines)


def _with_auxiliaries(cell: Cell, target: str) -> Cell:
    return replace(cell, auxiliaries=all_but(target)) if cell.auxiliaries == REST else cell


def _comparable(cell: Cell, control: Cell) -> bool:
    """Controls have the same kind of tasks and, unless they do not train, the same auxiliaries."""
    same = (control.auxiliaries, control.covering, control.parallel) == (cell.auxiliaries, False, False)
    return cell.by_genre == control.by_genre and (not control.auxiliaries or same)


def verdict(low: float, high: float) -> str:
    """What an interval of a difference says."""
    return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


def paired(
    results: Results,
    records: Sequence[dict[str, Any]],
    controls: Sequence[dict[str, Any]],
    kind: str,
    metric: str,
) -> dict[str, tuple[np.ndarray, np.ndarray, list[str], int]]:
    """By target: scores, ours and the control's, each (seeds, rows), their premises, and how many seeds.

    Paired by seed. "all" has the rows of all targets, if both were scored on several.
    """
    by_seed = {record["seed"]: record for record in controls}
    pairs = [(record, by_seed[record["seed"]]) for record in records if record["seed"] in by_seed]
    found = {}
    for target in _order([record for record, _ in pairs]):
        both = [pair for pair in pairs if all(kind in record["results"].get(target, ()) for record in pair)]
        if both:
            rows = results.rows[target]
            each = np.array(
                [
                    [_row_scores(record["results"][target][kind]["predicted"], rows, target, metric) for record in pair]
                    for pair in both
                ]
            )
            groups = rows["premise_id"] if "premise_id" in rows else rows["passage_id"]
            found[target] = (each[:, 0], each[:, 1], groups, len(both))
    if len(found) > 1:
        least = min(part[3] for part in found.values())
        ours, theirs = (np.concatenate([part[i][:least] for part in found.values()], 1) for i in (0, 1))
        found["all"] = (ours, theirs, [premise for part in found.values() for premise in part[2]], least)
    return found


def _row_scores(predicted: str | list[str], rows: dict[str, Any], target: str, metric: str) -> np.ndarray:
    """The metric of each row, from 0 to 1."""
    if metric == "accuracy":
        return _digits(predicted) == _digits(rows["label"])
    return recipes.row_scores(predicted, rows["answers"], target)[METRICS["qa"].index(metric)]


def _labels(results: Results, cell: Cell) -> dict[str, Any]:
    """The columns that say what was trained."""
    return {
        "scale": results.shared["scale"],
        "method": METHODS[cell.method].title,
        "auxiliaries": "+".join(cell.auxiliaries),
        "tasks": "genres" if cell.by_genre else "languages",
        "drawn": " ".join(name for name in ("covering", "parallel") if getattr(cell, name)) or "random",
    }


def _order(records: Sequence[dict[str, Any]]) -> list[str]:
    """The targets of the records, in the order of XNLI's list."""
    return [code for code in LANGUAGES if any(code in record["results"] for record in records)]


def _digits(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8) - ord("0")
