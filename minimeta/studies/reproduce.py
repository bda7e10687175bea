"""The papers' tables again: what to run for each line, and what came out beside what the paper prints.

A table is a list of lines (see `papers`). `grid` turns it into the runs of a study, `compare` reads the study's
folder, finished or not; `report` prints it, and the page with figures is drawn by `tableplots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..text.corpora import TASKS
from ..text.languages import check
from ..text.metrics import METRICS, Metric
from .comparisons import Results, by_seed, cell_of, counted, gains, load, over_seeds
from .grids import Run, merged
from .intervals import Gain, covers
from .methods import METHODS, Cell
from .own import words
from .papers import Row, Table, table
from .recipes import settings_for
from .world import OVERRIDES, World

if TYPE_CHECKING:
    import pandas as pd


def grid(name: str, targets: Sequence[str], seeds: Iterable[int]) -> dict[str, list[Run]]:
    """The runs of a table by task, with the tests that its lines need; controls are among them.

    Raises InputError for a target that is not in the paper's table.
    """
    known = _with_targets(name, targets)
    runs: dict[str, list[Run]] = {task: [] for task in known.tasks}
    for seed in seeds:
        for row in known.rows:
            found = {target: cell for target in targets if (cell := row.cell(target))}
            runs[row.task] += [Run(cell, seed, (target,), (row.kind,)) for target, cell in found.items()]
    return {task: merged(found) for task, found in runs.items()}


def outer_steps(name: str, seeds: int) -> list[int]:
    """The outer steps of each training that a whole table takes at full scale, with so many seeds."""
    runs = [(task, run) for task, found in grid(name, table(name).targets, range(seeds)).items() for run in found]
    return [settings_for(run.cell, "full", task).outer_steps for task, run in runs if METHODS[run.cell.method].trains]


def _with_targets(name: str, targets: Iterable[str]) -> Table:
    """The table of this name, if these are targets of it."""
    known = table(name)
    for target in check(targets):
        if target not in known.targets:
            raise InputError(f"{target} is not a target of {name}; its targets are {', '.join(known.targets)}.")
    return known


def folders(name: str, folder: str | Path) -> dict[str, Path]:
    """The folder of each task's study: `folder` itself, or a folder in it for each task of a table with both."""
    tasks = table(name).tasks
    return {task: Path(folder) / task if len(tasks) > 1 else Path(folder) for task in tasks}


def check_world(name: str, world: World) -> None:
    """Raise InputError if a table needs another encoder: at full scale, Table 5 of XLA-MAML needs an XLM-R."""
    from transformers import AutoConfig

    if world.scale == "full" and table(name).encoder.startswith("XLM-R") and world.encoder:
        try:
            kind = AutoConfig.from_pretrained(world.encoder).model_type
        except (OSError, ValueError):
            return  # whoever loads it says why it cannot be
        if kind != "xlm-roberta":
            raise InputError(
                f"{world.encoder} is a {kind} model; {name} is about XLM-R, so name an XLM-R fine-tuned for the task "
                "with --encoder."
            )


_NOT_RUN = {"data": "–", "encoder": "–"}


def compare(name: str, folder: str | Path, targets: Sequence[str] = ()) -> pd.DataFrame:
    """A table's lines beside ours, as far as the runs in `folder` have come.

    Without `targets`, those that were scored, or that will be while no run is finished yet. Raises InputError for a
    target that is not in the paper's table, and where no run of it was begun.

    In long form: a line for each row of the table, target and metric, and for each row that it is compared with
    (`over`). `paper` and `ours` are in percent (ours the mean over `seeds`, with `sd`, each one `by_seed`),
    `paper_gain` and `gain` in points. A gain is paired by seed (so many: `paired`, each one `gain_by_seed`) and has a
    95 % interval from `low` to `high`, over what it `covers`; `smallest` is that of `intervals.Gain`. The target "all"
    is all rows of the targets together: a score only if every target has one, a gain over the targets that both rows
    have, the paper's over the same ones. NaN where a paper prints nothing, or where there is no run.
    """
    import pandas as pd

    known, found = _with_targets(name, targets), []
    parts = {task: load(path) for task, path in folders(name, folder).items() if (path / "study.json").exists()}
    if not parts:
        raise InputError(f"There is no run of {name} in {folder}; name the folder of its study, or train it first.")
    scored = {code for part in parts.values() for record in part.records for code in record["results"]}
    asked = targets or scored or {code for part in parts.values() for code in part.rows}
    shown = [code for code in known.targets if code in asked] or list(known.targets)
    for task in known.tasks:
        part = parts.get(task) or Results(next(iter(parts.values())).shared | _NOT_RUN, {}, [])
        rows = [row for row in known.rows if row.task == task]
        found += [line for metric in METRICS[task] for row in rows for line in _lines(part, rows, row, shown, metric)]
    return pd.DataFrame(found).assign(table=name)[["table", *found[0]]]


def _lines(part: Results, rows: Sequence[Row], row: Row, shown: Sequence[str], metric: Metric) -> list[dict[str, Any]]:
    """The lines of `compare` about one row and metric."""
    known = {code: len(part.rows[code]["pair"]) for code in shown if code in part.rows}
    counts = {code: known.get(code, max(known.values(), default=1)) for code in shown}
    ours, paper = _records(part, row, shown), row.printed(metric.name)
    scores = {code: by_seed(ours, code, row.kind, metric.name) for code in shown}
    whole = [record for record in ours if all(record["seed"] in scores[code] for code in shown)]
    scores["all"] = {record["seed"]: _of_all(part, record, row.kind, metric, counts) for record in whole}
    paper["all"] = _mean(paper, counts, shown)
    counts["all"] = sum(counts.values())
    lines = []
    for other in _others(rows, row) or [None]:
        gained, paper_gain = {}, {}
        if other:
            gained = gains(part, ours, _records(part, other, shown), row.kind, metric)
            printed = other.printed(metric.name)
            paper_gain = {code: paper[code] - printed[code] for code in shown if code in paper and code in printed}
            same = [code for code in shown if code in gained] or list(paper_gain)
            paper_gain["all"] = _mean(paper_gain, counts, same) if len(same) > 1 else np.nan
        for target in [*shown, "all"] if len(shown) > 1 else shown:
            mean, sd = over_seeds(scores[target])
            none = Gain(*[np.nan] * 4, by_seed=(), rows=counts[target] if scores[target] else 0)
            gain = gained.get(target, none)
            lines.append(
                _world(part)
                | {"task": row.task, "metric": metric.name, "kind": row.kind, "row": row.label}
                | {"auxiliaries": "+".join(row.auxiliaries), "drawn": row.drawn or "random", "target": target}
                | {"paper": paper.get(target, np.nan), "ours": mean, "sd": sd, "seeds": len(scores[target])}
                | {"by_seed": tuple(scores[target].values())}
                | {"rows": gain.rows, "over": other.label if other else ""}
                | {"paper_gain": paper_gain.get(target, np.nan), "gain": gain.gain, "low": gain.low, "high": gain.high}
                | {"covers": covers(gain.seeds, TASKS[row.task].groups) if gain.seeds else ""}
                | {"smallest": gain.smallest, "gain_by_seed": gain.by_seed, "paired": gain.seeds}
            )
    return lines


def _world(part: Results) -> dict[str, str]:
    """The columns of `compare` that say where the runs are from; `overrides`: set otherwise than in the recipes."""
    said = {name: part.shared[name] for name in OVERRIDES if name in part.shared}
    overrides = words({name: value for name, value in said.items() if name != "set"} | said.get("set", {}))
    names = {name: Path(part.shared[name]).name for name in ("data", "encoder")}
    return {"scale": part.shared["scale"], **names, "overrides": overrides}


def _records(part: Results, row: Row, targets: Sequence[str]) -> list[dict[str, Any]]:
    """What was found for a row, a record for each seed, with the results on its targets, whichever run has them."""
    by_cell: dict[Cell, list[dict[str, Any]]] = {}
    for record in part.records:
        by_cell.setdefault(cell_of(record), []).append(record)
    found: dict[int, dict[str, Any]] = {}
    for target in targets:
        for record in by_cell.get(row.cell(target), ()):
            if score := record["results"].get(target, {}).get(row.kind):
                found.setdefault(record["seed"], {})[target] = {row.kind: score}
    return [{"seed": seed, "results": found[seed]} for seed in sorted(found)]


def _of_all(part: Results, record: dict[str, Any], kind: str, metric: Metric, counts: Mapping[str, int]) -> float:
    """The score of a record on the rows of all its targets together; NaN if that takes rows that are not known."""
    if metric.of_means is None:
        own = {target: tests[kind][metric.name] for target, tests in record["results"].items()}
        return _mean(own, counts, list(counts))
    if not set(counts) <= set(part.rows):
        return np.nan
    each = np.concatenate([counted(part, record, target, kind, metric) for target in counts])
    return float(metric.of_means(each.mean(0)) * 100)


def _mean(values: Mapping[str, float], counts: Mapping[str, int], targets: Sequence[str]) -> float:
    """The mean over targets, each as many times as it has rows; NaN if a target has no value."""
    if any(code not in values for code in targets):
        return np.nan
    return float(np.average([values[code] for code in targets], weights=[counts[code] for code in targets]))


def _others(rows: Sequence[Row], row: Row) -> list[Row]:
    """The rows that a row is compared with: `against`, the Baseline, and its method's controls on its auxiliaries."""
    if row.method in (None, "baseline"):
        return []
    there = [other for other in rows if other.kind == row.kind and other.method]
    same = [
        other
        for name in dict.fromkeys(("baseline", *METHODS[row.method].controls))
        for other in there
        if other.method == name and other.auxiliaries in ((), row.auxiliaries)
    ]
    return [*(other for other in there if other.label == row.against), *same]
