"""What a study found: its files read, scores by target, and paired differences from the controls."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, some
from ..files import expanded, read_json
from ..text.corpora import CORPORA, TASKS, official_of
from ..text.languages import all_but, is_language, ordered
from ..text.metrics import METRICS, Metric, metric_of
from .intervals import Gain, covers, paired_differences
from .methods import KINDS, METHODS, Cell, left_out
from .papers import REST, paper_figure

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """What a study's folder holds: what its runs share, the scored rows of each language, and the records.

    `known` is for `counted`: each test enters many comparisons.
    """

    shared: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    records: list[dict[str, Any]]
    known: dict[tuple[int, Metric], tuple[dict[str, Any], np.ndarray]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def task(self) -> str:
        """What was asked, "nli" or "qa"; studies of NLI may not say."""
        return self.shared.get("task", "nli")

    @property
    def corpus(self) -> str:
        """The name of the corpus: a key of CORPORA, or that of the user's own."""
        return corpus_name(self.shared)

    def cells(self) -> dict[Cell, list[dict[str, Any]]]:
        """The records of each cell, by method and seed; trainings that differ by target alone are put together.

        That is few-shot XLA-MAML's, and those of a study that leaves one out: their auxiliaries are REST. Where a
        folder holds several such studies, of other languages, that is the one with the most records; the others keep
        the names of theirs. Then `train_seconds` is their mean; other entries but `results` are those of the last.
        """
        found: dict[Cell, dict[int, list[dict[str, Any]]]] = {}
        order, cells = list(METHODS), {replace(cell_of(record), target=None) for record in self.records}
        records = sorted(self.records, key=lambda record: (order.index(record["method"]), record["seed"]))
        whole = [_whole(record, cells) for record in records]
        most = max(whole, key=lambda languages: (bool(languages), whole.count(languages)), default=None)
        for record, languages in zip(records, whole, strict=True):
            cell = replace(cell_of(record), target=None)
            if languages and languages == most:
                cell = replace(cell, auxiliaries=REST)
            found.setdefault(cell, {}).setdefault(record["seed"], []).append(record)
        return {cell: list(map(_together, by_seed.values())) for cell, by_seed in found.items()}


def _whole(record: dict[str, Any], cells: Collection[Cell]) -> frozenset[str]:
    """The languages that this training leaves one out of, its target; none if it leaves none out."""
    cell = replace(cell_of(record), target=None)
    only = next(iter(record["results"])) if len(record["results"]) == 1 else ""
    one_out = left_out(cell, cells) == only or set(cell.auxiliaries) == set(all_but(only))
    return frozenset({*cell.auxiliaries, only}) if only and one_out else frozenset()


def _together(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several trainings of one cell and seed, each for a target, as one record."""
    results = {target: kinds for record in records for target, kinds in record["results"].items()}
    seconds = float(np.mean([record["train_seconds"] for record in records]))
    return records[-1] | {"results": results, "train_seconds": seconds}


def cell_of(record: dict[str, Any]) -> Cell:
    """The cell that a record is of."""
    return Cell(**{name: tuple(record[name]) if name == "auxiliaries" else record[name] for name in _CELL})


def shared(folder: Path) -> dict[str, Any]:
    """What all runs of the study in `folder` share."""
    found = read_json(folder / "study.json", "put back a whole one, or use another folder")
    if not isinstance(found, dict) or not {"scale", "data", "encoder"} <= found.keys():
        raise InputError(f"{folder / 'study.json'} is not what a study writes there; name the folder of another one.")
    return {"task": "nli", "corpus": corpus_name(found)} | found


def corpus_name(shared: dict[str, Any]) -> str:
    """The name of a study's corpus; where it is older and does not say, the one that `--data` was read as."""
    data = shared["data"]
    return shared.get("corpus") or (data if data in CORPORA else official_of(shared.get("task", "nli"), data).name)


def load(folder: str | Path) -> Results:
    """The results of a study so far; raises InputError if there is none in `folder`.

    Files that are no records (see `records_of`) are left out with a warning that names them. Without rows.json, which
    holds other people's labels, there are scores and no differences.
    """
    folder = Path(expanded(folder))
    if not (folder / "study.json").exists():
        raise InputError(f"There is no study in {folder}: expected study.json, rows.json and cells/.")
    rows = rows_of_study(folder)
    records, odd = records_of(folder)
    for complaint in odd:
        warnings.warn(complaint, stacklevel=2)
    return Results(shared(folder), rows, records)


def rows_of_study(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows that a study scored, by language; none without rows.json. Raises InputError if something damaged it."""
    path = folder / "rows.json"
    rows = read_json(path, "delete it, and going on with the study makes it") if path.exists() else {}
    whole = isinstance(rows, dict) and all(isinstance(own, dict) and "pair" in own for own in rows.values())
    if not whole or not all(map(is_language, rows)):
        raise InputError(f"{path} is not what a study writes there; delete it, and going on with the study makes it.")
    return rows


def records_of(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of the study in `folder`, and a complaint about each file in `cells` that is none."""
    records, odd = [], []
    paths = sorted((folder / "cells").glob("[!.]*.json"))
    if not paths:
        return [], []
    task, rows = shared(folder)["task"], rows_of_study(folder)
    for path in paths:
        try:
            records.append(record_of(path, task, rows))
        except InputError as error:
            odd.append(f"{str(error).rstrip('.')}; it is left out.")
    return records, odd


def record_of(path: Path, task: str, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The record of a run of a study with these `rows`; raises InputError if it is not one that this version writes.

    METRICS that it has not, since they are younger, are worked out from what it predicted, where the rows are known.
    """
    record = read_json(path)
    try:
        reason = _no_record(record, task, rows)
        if not reason:
            _add_younger_metrics(record["results"], task, rows)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}"
    if reason:
        raise InputError(f"{path} is no record of a run as this version writes them ({reason}).")
    return record


def _add_younger_metrics(results: dict[str, dict[str, Any]], task: str, rows: dict[str, dict[str, Any]]) -> None:
    for target, kinds in results.items():
        for score in kinds.values() if target in rows else ():
            right = rows[target][TASKS[task].right]
            lacking = [metric for metric in METRICS[task] if metric.name not in score]
            score |= {metric.name: metric.score(score["predicted"], right, target) for metric in lacking}


_CELL = ("method", "auxiliaries", "by_genre", "target", "covering", "parallel")
_RECORD = (*_CELL, "seed", "outer_losses", "train_seconds", "results")


def _no_record(record: Any, task: str, rows: dict[str, dict[str, Any]]) -> str:
    """Why this is not what `recipes.run` returns; "" if it is. May raise the errors of entries of another type."""
    if not isinstance(record, dict):
        return f"it holds a {type(record).__name__}"
    if lacking := [name for name in _RECORD if name not in record]:
        return f"it lacks {some(lacking)}"
    if record["method"] not in METHODS:
        return f"it is of the method {record['method']!r}"
    if not isinstance(record["seed"], int) or not isinstance(record["train_seconds"], int | float):
        return "its seed or its seconds are no number"
    named = (*record["auxiliaries"], *record["results"], *filter(None, [record["target"]]))
    if odd := [code for code in named if not is_language(code)]:
        return f"it is about the language {odd[0]!r}"
    names = [metric.name for metric in METRICS[task]]
    for target, kinds in record["results"].items():
        if odd := set(kinds) - set(KINDS):
            return f"it has a test {sorted(odd)[0]!r}"
        for score in kinds.values():
            known = [score[name] for name in names if name in score]
            if not known or not all(isinstance(value, int | float) for value in (*known, score.get("n"))):
                return f"its results lack scores, {' and '.join(names)} in numbers"
            asked = rows[target]["pair"] if target in rows else score["predicted"]
            if not len(score["predicted"]) == len(asked) == score["n"]:
                return f"its answers in {target} are not as many as rows were scored"
    return ""


def by_seed(records: Iterable[dict[str, Any]], target: str, kind: str, metric: str) -> dict[int, float]:
    """A metric (%) of records on a target, by seed; without those that were not tested so, or not with this metric."""
    tests = {record["seed"]: record["results"].get(target, {}).get(kind, {}) for record in records}
    return {seed: score[metric] for seed, score in tests.items() if metric in score}


def counted(results: Results, record: dict[str, Any], target: str, kind: str, metric: Metric) -> np.ndarray:
    """What each row of a target counts in a record's test: (rows,) or (rows, k), see `Metric.rows`."""
    test = record["results"][target][kind]
    if (id(test), metric) not in results.known:
        right = results.rows[target][TASKS[results.task].right]
        # The test is kept beside its counts, so that its id stays its own.
        results.known[id(test), metric] = (test, metric.rows(test["predicted"], right, target))
    return results.known[id(test), metric][1]


def over_seeds(values: Mapping[int, float]) -> tuple[float, float]:
    """The mean of values by seed and their standard deviation; NaN where there are too few."""
    found = list(values.values())
    return np.mean(found) if found else np.nan, np.std(found, ddof=1) if len(found) > 1 else np.nan


def scores(results: Results) -> pd.DataFrame:
    """A line for each cell, target and kind of test, with the METRICS of the task (mean over seeds, %).

    `sd` is that of the first metric over seeds, `by_seed` its value in each of them, `seconds` the mean time of a
    training of the cell, over its seeds and targets, `paper` what a paper prints for the first metric
    (`papers.paper_figure`). `seeds` and `rows` say how many.
    Empty where no run is finished.
    """
    import pandas as pd

    lines = []
    first, *others = (metric.name for metric in METRICS[results.task])
    # What the papers print is of test rows.
    where = (results.corpus if "split" not in results.shared else "", results.shared["scale"])
    for cell, records in results.cells().items():
        for target in _targets(records):
            for kind in cell.kinds:
                tests = [score for record in records if (score := record["results"].get(target, {}).get(kind))]
                if not tests:
                    continue
                found = {name: over_seeds(by_seed(records, target, kind, name)) for name in (first, *others)}
                lines.append(
                    _labels(results, cell)
                    | {"target": target, "kind": kind, first: found[first][0], "seeds": len(tests)}
                    | {"sd": found[first][1], "by_seed": tuple(by_seed(records, target, kind, first).values())}
                    | {"rows": tests[0]["n"]}
                    | {name: found[name][0] for name in others}
                    | {"seconds": np.mean([record["train_seconds"] for record in records])}
                    | {"paper": paper_figure(cell, kind, target, first, *where)}
                )
    return pd.DataFrame(lines)


def differences(results: Results, metric: str | None = None) -> pd.DataFrame:
    """Each method minus each of its controls with the same auxiliaries: `gain` in points, `low`, `high` (95 %).

    Of one of the METRICS of the task, the first without `metric`. A line for each target that both were scored on, and
    one for "all" of them together, if several (see `gains`). `by_seed` are the differences in each seed, `covers` says
    what the interval is over (not over seeds, if there is one), `smallest` is that of `intervals.Gain`.
    """
    import pandas as pd

    asked, lines = metric_of(results.task, metric), []
    found = results.cells()
    for cell, records in found.items():
        for other, controls in found.items():
            if other.method not in METHODS[cell.method].controls or not _comparable(cell, other):
                continue
            for kind in [kind for kind in cell.kinds if kind in other.kinds]:
                for target, each in gains(results, records, controls, kind, asked).items():
                    over = covers(each.seeds, TASKS[results.task].groups)
                    lines.append(
                        _labels(results, cell)
                        | {"control": METHODS[other.method].title, "target": target, "kind": kind}
                        | {"gain": each.gain, "low": each.low, "high": each.high, "covers": over}
                        | {"verdict": verdict(each.low, each.high, asked), "smallest": each.smallest}
                        | {"by_seed": each.by_seed, "seeds": each.seeds, "rows": each.rows}
                    )
    return pd.DataFrame(lines)


def _comparable(cell: Cell, control: Cell) -> bool:
    """Controls have the same kind of tasks and, unless they do not train, the same auxiliaries."""
    same = (control.auxiliaries, control.covering, control.parallel) == (cell.auxiliaries, False, False)
    return cell.by_genre == control.by_genre and (not control.auxiliaries or same)


def verdict(low: float, high: float, metric: Metric) -> str:
    """What an interval of a difference in a metric says."""
    if not (low > 0 or high < 0):
        return "no difference shown"
    return "better" if (high < 0) == metric.lower_is_better else "worse"


def gains(
    results: Results,
    records: Sequence[dict[str, Any]],
    controls: Sequence[dict[str, Any]],
    kind: str,
    metric: Metric,
) -> dict[str, Gain]:
    """By target, what one thing that was trained gains over another in a kind of test.

    Paired by seed and row; intervals are over seeds and over premises or passages, which are the same in all languages
    (see `intervals`). "all" has the rows of all targets, if both were scored on several, with the seeds
    that all of them have. Targets whose rows are not known, or all of one premise or passage, are left out.
    """
    theirs = {record["seed"]: record for record in controls}
    pairs = [(record, theirs[record["seed"]]) for record in records if record["seed"] in theirs]
    found, seeds = {}, {}
    for target in _targets(record for record, _ in pairs):
        both = [pair for pair in pairs if all(kind in record["results"].get(target, ()) for record in pair)]
        groups = results.rows.get(target, {}).get(TASKS[results.task].group, ())
        if both and len(set(groups)) > 1:
            seeds[target] = [record["seed"] for record, _ in both]
            each = np.array([[counted(results, record, target, kind, metric) for record in pair] for pair in both])
            found[target] = (each[:, 0], each[:, 1], groups)
    common = sorted(set.intersection(*map(set, seeds.values()))) if len(found) > 1 else []
    if common:
        places = {target: [own.index(seed) for seed in common] for target, own in seeds.items()}
        ours, control = (np.concatenate([found[code][i][places[code]] for code in found], 1) for i in (0, 1))
        found["all"] = (ours, control, [group for part in found.values() for group in part[2]])
    return dict(zip(found, paired_differences(found.values(), of_means=metric.of_means), strict=True))


def _labels(results: Results, cell: Cell) -> dict[str, Any]:
    """The columns that say what was trained."""
    return {
        "scale": results.shared["scale"],
        "method": METHODS[cell.method].title,
        "auxiliaries": "+".join(cell.auxiliaries),
        "tasks": cell.tasks,
        "drawn": cell.drawn or "random",
    }


def _targets(records: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """The targets of the records, in the order of XNLI."""
    return ordered(code for record in records for code in record["results"])
