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
from ..text.languages import check
from ..text.metrics import METRICS, metric_of, paired_difference
from .comparisons import Results, cell_of, load, paired
from .methods import METHODS, Cell
from .papers import Row, table
from .study import Run, merged
from .world import OVERRIDES, World

if TYPE_CHECKING:
    import pandas as pd


def grid(name: str, targets: Sequence[str], seeds: Iterable[int]) -> dict[str, list[Run]]:
    """The runs of a table by task, with the tests that its lines need; controls are among them.

    Raises InputError for a target that is not in the paper's table.
    """
    known = table(name)
    for target in check(targets):
        if target not in known.targets:
            raise InputError(f"{target} is not a target of {name}; its targets are {', '.join(known.targets)}.")
    runs: dict[str, list[Run]] = {task: [] for task in known.tasks}
    for seed in seeds:
        for row in known.rows:
            found = {target: cell for target in targets if (cell := row.cell(target))}
            runs[row.task] += [Run(cell, seed, (target,), (row.kind,)) for target, cell in found.items()]
    return {task: merged(found) for task, found in runs.items()}


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

    Without `targets`, those that were scored, or that will be while no run is finished yet.

    In long form: a line for each row of the table, target and metric, and for each row that it is compared with
    (`over`). `paper` and `ours` are in percent (ours the mean over `seeds`, with `sd`), `paper_gain` and `gain` in
    points. A gain is paired by seed (so many: `paired`) and has a 95 % interval from `low` to `high`, bootstrapped
    over premises or passages (`metrics.paired_difference`). The target "all" is all rows of the targets together: a
    score only if every target has one, a gain over the targets that both rows have, the paper's over the same ones.
    NaN where a paper prints nothing, or where there is no run.
    """
    import pandas as pd

    known, found = table(name), []
    parts = {task: load(path) for task, path in folders(name, folder).items() if (path / "study.json").exists()}
    if not parts:
        raise InputError(f"There is no run of {name} in {folder}; name the folder of its study, or train it first.")
    scored = {code for part in parts.values() for record in part.records for code in record["results"]}
    asked = {code for part in parts.values() for code in part.rows}
    shown = [code for code in known.targets if code in (check(targets) or scored or asked or known.targets)]
    for task in known.tasks:
        part = parts.get(task) or Results(next(iter(parts.values())).shared | _NOT_RUN, {}, [])
        rows = [row for row in known.rows if row.task == task]
        for metric in (each.name for each in METRICS[task]):
            for row in rows:
                found += _compared(part, rows, row, shown, metric)
    return pd.DataFrame(found).assign(table=name)[["table", *found[0]]]


def _compared(part: Results, rows: Sequence[Row], row: Row, shown: Sequence[str], metric: str) -> list[dict[str, Any]]:
    """The lines of `compare` about one row and metric."""
    known = {code: len(part.rows[code]["pair"]) for code in shown if code in part.rows}
    counts = {code: known.get(code, max(known.values(), default=1)) for code in shown}
    paper, ours = row.printed(metric), _records(part, row, shown)
    scores = {code: _scores(ours, code, row.kind, metric) for code in shown}
    targets = [*shown, *(["all"] if len(shown) > 1 else [])]
    common = [seed for seed in scores[shown[0]] if all(seed in scores[code] for code in shown)] if shown else []
    scores["all"] = {seed: _mean({code: scores[code][seed] for code in shown}, counts) for seed in common}
    paper["all"] = _mean(paper, counts, shown) if all(code in paper for code in shown) else np.nan
    lines = []
    for other in _others(rows, row) or [None]:
        gains, paper_gain = {}, {}
        if other:
            theirs, printed = _records(part, other, shown), other.printed(metric)
            gains = paired(part, ours, theirs, row.kind, metric_of(row.task, metric))
            paper_gain = {code: paper[code] - printed[code] for code in shown if code in paper and code in printed}
            same = [code for code in shown if code in gains] or list(paper_gain)
            paper_gain["all"] = _mean(paper_gain, counts, same) if len(same) > 1 else np.nan
        for target in targets:
            values = list(scores[target].values())
            gain = low = high = np.nan
            if target in gains:
                gain, low, high = paired_difference(*gains[target][:3], of_means=metric_of(row.task, metric).of_means)
            lines.append(
                {"scale": part.shared["scale"], "data": Path(part.shared["data"]).name}
                | {
                    "encoder": Path(part.shared["encoder"]).name,
                    "overrides": _overrides(part),
                    "task": row.task,
                    "metric": metric,
                    "kind": row.kind,
                }
                | {"row": row.label, "auxiliaries": "+".join(row.auxiliaries), "drawn": row.drawn or "random"}
                | {"target": target, "paper": paper.get(target, np.nan), "ours": np.mean(values) if values else np.nan}
                | {"sd": np.std(values, ddof=1) if len(values) > 1 else np.nan, "seeds": len(values)}
                | {"rows": len(gains[target][2]) if target in gains else _rows(values, counts, target)}
                | {"over": other.label if other else "", "paper_gain": paper_gain.get(target, np.nan)}
                | {"gain": gain, "low": low, "high": high, "paired": gains[target][3] if target in gains else 0}
            )
    return lines


def _overrides(part: Results) -> str:
    """The settings that the study has otherwise than the recipes."""
    return " ".join(f"{name}={part.shared[name]}" for name in OVERRIDES if name in part.shared)


def _records(part: Results, row: Row, targets: Sequence[str]) -> list[dict[str, Any]]:
    """What was found for a row, a record for each seed, with the results on its targets, whichever run has them."""
    by_cell: dict[Cell, list[dict[str, Any]]] = {}
    for record in part.records:
        by_cell.setdefault(cell_of(record), []).append(record)
    by_seed: dict[int, dict[str, Any]] = {}
    for target in targets:
        for record in by_cell.get(row.cell(target), ()):
            score = record["results"].get(target, {}).get(row.kind)
            if score:
                by_seed.setdefault(record["seed"], {})[target] = {row.kind: score}
    return [{"seed": seed, "results": by_seed[seed]} for seed in sorted(by_seed)]


def _scores(records: Sequence[dict[str, Any]], target: str, kind: str, metric: str) -> dict[int, float]:
    there = [record for record in records if target in record["results"]]
    return {record["seed"]: record["results"][target][kind][metric] for record in there}


def _mean(values: Mapping[str, float], counts: Mapping[str, int], targets: Sequence[str] | None = None) -> float:
    """The mean over targets, each as many times as it has rows; NaN if a target has no value."""
    targets = list(values) if targets is None else targets
    if not targets or any(code not in values for code in targets):
        return np.nan
    return float(np.average([values[code] for code in targets], weights=[counts[code] for code in targets]))


def _rows(values: Sequence[float], counts: Mapping[str, int], target: str) -> int:
    return (sum(counts.values()) if target == "all" else counts[target]) if values else 0


def _others(rows: Sequence[Row], row: Row) -> list[Row]:
    """The rows that a row is compared with: `against`, the Baseline, and its method's controls on its auxiliaries."""
    if row.method == "baseline":
        return []
    names = ("baseline", *(METHODS[row.method].controls if row.method else ()))
    there = [other for other in rows if other.kind == row.kind and other.method]
    first = [other for other in there if other.label == row.against]
    same = [
        other
        for name in dict.fromkeys(names)
        for other in there
        if other.method == name and other.auxiliaries in ((), row.auxiliaries)
    ]
    return [*first, *same] if row.method else []
