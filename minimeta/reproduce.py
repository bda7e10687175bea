"""The papers' tables again: what to run for each line, and what came out beside what the paper prints.

A table is a list of lines (`TABLES`). `grid` turns it into the runs of a study, `compare` reads the study's folder,
finished or not, and `text` prints it; the page with figures is drawn by `tableplots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError
from .findings import REST, Results, cell_of, load, paired
from .languages import LANGUAGES, PHYLOGENY, all_but, check
from .metrics import paired_difference
from .papers import PAIR, TREEMAML_1, XLA_3, XLA_4, XLA_5, XLA_6, XLA_7, figures, lines
from .recipes import METHODS, METRICS, Cell, scored_on
from .study import Run, World, merged

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """A line of a table: the method that is trained for it (None: only quoted), and where the paper prints it.

    `where` picks the line in `file`, one of the paper's tables (without a file it is a control of ours). `kind` is
    one of `recipes.KINDS`; TreeMAML's "few-shot" has tasks by genre. The line is compared with `against`, if any,
    and then with the Baseline and the controls of its method.
    """

    label: str
    method: str | None = None
    auxiliaries: tuple[str, ...] = ()
    drawn: str = ""
    kind: str = "zero-shot"
    task: str = "nli"
    file: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    against: str = ""

    def cell(self, target: str) -> Cell | None:
        """What is trained to be scored on this target; None if nothing is, or nothing may be (a dash)."""
        if self.method is None or target in self.auxiliaries:
            return None
        auxiliaries = all_but(target) if self.auxiliaries == REST else self.auxiliaries
        own = target if METHODS[self.method].support == "target" else None
        drawn = {name: name in self.drawn for name in ("covering", "parallel")}
        cell = Cell(self.method, auxiliaries, self.kind == "few-shot", own, **drawn)
        return cell if scored_on(cell, [target]) else None

    def printed(self, metric: str = "") -> dict[str, float]:
        """What the paper prints for the line, by target; of "exact_match", the second figure of a pair."""
        found = figures(lines(self.file, **self.where)[0]) if self.file else {}
        place = int(metric == "exact_match")
        return {target: values[place] for target, values in found.items() if len(values) > place}


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper: its title, its targets, its lines in their order, and the paper's encoder."""

    title: str
    targets: tuple[str, ...]
    rows: tuple[Row, ...]
    encoder: str = "mBERT"
    shows: str = "scores"  # or "gains", as Figure 2

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of its lines, "nli" or "qa" or both."""
        return tuple(dict.fromkeys(row.task for row in self.rows))


_BOTH = "covering parallel"


def _treemaml_1() -> tuple[Row, ...]:
    def row(label: str, method: str | None, languages: str = "", printed: str = "") -> Row:
        given = () if method in (None, "baseline") else REST
        where = {"auxiliary_languages": languages, "method": printed or label}
        return Row(label, method, given, kind="few-shot", file=TREEMAML_1 if languages else "", where=where)

    return (
        row("Baseline, two languages", None, "two", "Multi-BERT (Baseline)"),
        row("XMAML, two languages", None, "two", "XMAML"),
        row("Baseline", "baseline", "all", "Multi-BERT (Baseline)"),
        row("Joint", "joint"),
        row("MAML", "maml", "all"),
        row("Fixed TreeMAML", "fixed-treemaml", "all"),
        row("Learned TreeMAML", "learned-treemaml", "all"),
        row("Random tree", "random-tree"),
        row("Everyone", "everyone"),
    )


def _joint(auxiliaries: Sequence[str], kind: str = "zero-shot", task: str = "nli") -> Row:
    return Row(f"Joint {'+'.join(auxiliaries)}", "joint", tuple(auxiliaries), kind=kind, task=task)


def _xla_3() -> tuple[Row, ...]:
    pair = "+".join(PAIR)
    found = []
    for kind, setting, one, xla, two in (
        ("zero-shot", "zero-shot", "hi", "xla-maml", "xla-maml-pair"),
        ("fine-tuned", "few-shot", "sw", "xla-maml-few-shot", "xla-maml-few-shot"),
    ):

        def row(
            label: str, method: str, given: Sequence[str], printed: str, kind: str = kind, at: str = setting
        ) -> Row:
            drawn = _BOTH if METHODS[method].support in ("en", "other", "target") else ""
            where = {"setting": at, "method": printed}
            return Row(label, method, tuple(given), drawn, kind, file=XLA_3, where=where)

        best = [row(f"XLA-MAML best pair ({pair})", two, PAIR, "XLA-MAML best pair")] if kind == "zero-shot" else []
        found += [
            row("Baseline", "baseline", (), "mBERT (Ours)"),
            row(f"X-MAML {one}", "x-maml", [one], f"X-MAML {one} → X"),
            row(f"XLA-MAML {one}", xla, [one], f"XLA-MAML {one} → X"),
            _joint([one], kind),
            row(f"X-MAML best pair ({pair})", "x-maml", PAIR, "X-MAML best pair"),
            row(f"XLA-MAML same pair ({pair})", two, PAIR, "XLA-MAML same pair"),
            *best,
            _joint(PAIR, kind),
        ]
    return (*found, *_translated(XLA_3, "nli"))


def _xla_4() -> tuple[Row, ...]:
    def row(label: str, method: str, kind: str, printed: str, drawn: str = "") -> Row:
        given = () if method == "baseline" else ("hi",)
        where = {"setting": "few-shot" if kind == "fine-tuned" else "zero-shot", "method": printed}
        return Row(label, method, given, drawn, kind, "qa", XLA_4, where)

    return (
        row("Baseline", "baseline", "zero-shot", "mBERT (Our baseline)"),
        row("X-MAML hi", "x-maml", "zero-shot", "X-MAML hi → X"),
        row("XLA-MAML hi", "xla-maml", "zero-shot", "XLA-MAML hi → X", "covering"),
        _joint(["hi"], task="qa"),
        row("Baseline", "baseline", "fine-tuned", "mBERT (Ours)"),
        row("XLA-MAML hi", "xla-maml-few-shot", "fine-tuned", "XLA-MAML hi→ X", "covering"),
        _joint(["hi"], "fine-tuned", "qa"),
        *_translated(XLA_4, "qa"),
    )


def _translated(file: str, task: str) -> list[Row]:
    """The lines on machine translation, which the papers quote."""
    where = {"setting": "machine translation"}
    found = [line["method"] for line in lines(file, **where)]
    return [
        Row(f"translated, {name}", kind="fine-tuned", task=task, file=file, where=where | {"method": name})
        for name in found
    ]


def _xla_5() -> tuple[Row, ...]:
    def row(label: str, method: str, auxiliary: str, printed: str, drawn: str = "") -> Row:
        given = tuple(auxiliary.split("+")) if auxiliary != "-" else ()
        return Row(label, method, given, drawn, file=XLA_5, where={"model": printed, "auxiliary": auxiliary})

    return (
        row("Baseline", "baseline", "-", "XLM-R base"),
        row("XLA-MAML hi", "xla-maml", "hi", "XLA-MAML", _BOTH),
        row("X-MAML hi", "x-maml", "hi", "X-MAML"),
        _joint(["hi"]),
        row("XLA-MAML bg+de", "xla-maml-pair", "bg+de", "XLA-MAML", _BOTH),
        _joint(["bg", "de"]),
    )


def _drawn_two_ways(
    task: str, file: str, auxiliary: str, column: str, ways: Sequence[tuple[str, str, str]], where: Mapping[str, str]
) -> list[Row]:
    """XLA-MAML with its rows drawn in two ways, the second compared with the first; then Joint.

    A way is the word for it in the label, in the paper's file, and what is drawn here.
    """
    given = tuple(auxiliary.split("+"))
    method = "xla-maml" if len(given) == 1 else "xla-maml-pair"
    labels = [f"XLA-MAML {auxiliary}, {way}" for way, _, _ in ways]
    found = [
        Row(label, method, given, drawn, task=task, file=file, against=labels[0] if label != labels[0] else "",
            where={"auxiliary": auxiliary, column: printed} | where)
        for label, (_, printed, drawn) in zip(labels, ways, strict=True)
    ]  # fmt: skip
    return [*found, _joint(given, task=task)]


def _xla_6() -> tuple[Row, ...]:
    found: list[Row] = []
    for task, given, drawn in (("nli", ("hi", "bg+de"), " parallel"), ("qa", ("hi", "ar+hi"), "")):
        found.append(Row("Baseline", "baseline", task=task))
        ways = [(way, way, (way if way == "covering" else "") + drawn) for way in ("random", "covering")]
        for auxiliary in given:
            found += _drawn_two_ways(task, XLA_6, auxiliary, "sampling", ways, {"task": task.upper()})
    return tuple(found)


def _xla_7() -> tuple[Row, ...]:
    ways = [("not parallel", "no", "covering"), ("parallel", "yes", _BOTH)]
    found = [row for pair in ("hi", "bg+de") for row in _drawn_two_ways("nli", XLA_7, pair, "parallel", ways, {})]
    return (Row("Baseline", "baseline"), *found)


def _figure_2() -> tuple[Row, ...]:
    ours = [
        Row(f"XLA-MAML {code}", "xla-maml", (code,), _BOTH)
        if code != "en"
        else Row("X-MAML en", "x-maml", (code,), "covering")
        for code in LANGUAGES
    ]
    return (Row("Baseline", "baseline"), *ours, *(_joint([code]) for code in LANGUAGES))


_ALL, _MLQA = tuple(LANGUAGES), tuple(code for code in LANGUAGES if code in ("en", "es", "de", "ar", "vi", "zh", "hi"))
_TABLES = {
    "treemaml-table1": lambda: Table(
        "TreeMAML, Table 1: few-shot XNLI, each target left out in turn",
        tuple(code for code in LANGUAGES if code in PHYLOGENY.leaves),
        _treemaml_1(),
    ),
    "xla-table3": lambda: Table("XLA-MAML, Table 3: XNLI, zero-shot and few-shot", _ALL, _xla_3()),
    "xla-table4": lambda: Table("XLA-MAML, Table 4: MLQA, zero-shot and few-shot", _MLQA, _xla_4()),
    "xla-table5": lambda: Table(
        "XLA-MAML, Table 5: XNLI with XLM-R, zero-shot",
        tuple(code for code in LANGUAGES if code in ("ar", "es", "sw", "vi", "zh")),
        _xla_5(),
        "XLM-R base",
    ),
    "xla-table6": lambda: Table("XLA-MAML, Table 6: rows drawn at random or covering", _MLQA, _xla_6()),
    "xla-table7": lambda: Table("XLA-MAML, Table 7: rows parallel or not", _MLQA, _xla_7()),
    "xla-figure2": lambda: Table(
        "XLA-MAML, Figure 2: gain over the baseline by auxiliary and target", _ALL, _figure_2(), shows="gains"
    ),
}


def tables() -> list[str]:
    """The names of the tables that can be reproduced."""
    return list(_TABLES)


def table(name: str) -> Table:
    """A table of a paper by its name; raises InputError for another name."""
    if name not in _TABLES:
        raise InputError(f"Unknown table {name!r}; the tables are {', '.join(_TABLES)}.")
    return _TABLES[name]()


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
    """A table's lines beside ours, as far as the runs in `folder` have come; without `targets`, all that were scored.

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
    shown = [code for code in known.targets if code in (check(targets) or scored)]
    for task in known.tasks:
        part = parts.get(task) or Results(next(iter(parts.values())).shared | _NOT_RUN, {}, [])
        rows = [row for row in known.rows if row.task == task]
        for metric in METRICS[task]:
            for row in rows:
                found += _compared(part, rows, row, shown, metric)
    return pd.DataFrame(found).assign(table=name)[["table", *found[0]]] if found else pd.DataFrame()


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
            gains = paired(part, ours, theirs, row.kind, metric)
            paper_gain = {code: paper[code] - printed[code] for code in shown if code in paper and code in printed}
            same = [code for code in shown if code in gains] or list(paper_gain)
            paper_gain["all"] = _mean(paper_gain, counts, same) if len(same) > 1 else np.nan
        for target in targets:
            values = list(scores[target].values())
            gain = low = high = np.nan
            if target in gains:
                gain, low, high = paired_difference(*gains[target][:3])
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
    usual = ("scale", "task", "data", "encoder")
    return " ".join(f"{name}={value}" for name, value in part.shared.items() if name not in usual)


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
