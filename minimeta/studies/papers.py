"""What the two papers print: the lines of their tables, and what is trained here for each line.

TreeMAML is Garcia et al. 2021 (Adapt-NLP), XLA-MAML the paper on cross-lingual adaptation. Their tables are in
`data/results/paper_*.csv`; what they state in words is in `stated`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..errors import InputError
from ..files import data_directory
from ..text.languages import LANGUAGES, PHYLOGENY, all_but
from .methods import METHODS, Cell, scored_on

REST = ("all but the target",)
"""The auxiliaries of a line or of a cell in results, where each target was left out in turn."""

PAIR = ("bg", "de")
"""The pair of XLA-MAML's Tables 5 to 7, and ours for "best pair"."""

TREEMAML_1 = "paper_treemaml_table1.csv"
XLA_3, XLA_4, XLA_5, XLA_6, XLA_7 = (
    f"paper_xla_maml_{name}.csv"
    for name in ("table3_xnli", "table4_mlqa_f1_em", "table5_xlmr", "table6_sampling", "table7_parallel")
)


def lines(file: str, **where: str) -> list[dict[str, str]]:
    """The lines of a paper's table (a file of `data/results`) with these entries, as they are printed."""
    with open(data_directory() / "results" / file, encoding="utf-8", newline="") as opened:
        return [row for row in csv.DictReader(opened) if all(row[key] == value for key, value in where.items())]


def figures(line: dict[str, str]) -> dict[str, tuple[float, ...]]:
    """What a line prints by target, in percent: (accuracy,), or F1 and exact match where both are printed."""
    printed = {code: line[code] for code in LANGUAGES if line.get(code, "-") not in ("-", "")}
    return {code: tuple(map(float, value.split("/"))) for code, value in printed.items()}


@dataclass(frozen=True)
class Row:
    """A line of a table: the method that is trained for it (None: only quoted), and where the paper prints it.

    `where` picks the line in `file`, one of the paper's tables (without a file it is a control of ours). `kind` is
    one of `methods.KINDS`; TreeMAML's "few-shot" has tasks by genre. The line is compared with `against`, if any,
    and then with the Baseline and the controls of its method. `stands_in` says that the paper's line may be of
    something else, a pair of other languages for one: the figures stand beside ours in its table and nowhere else.
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
    stands_in: bool = False

    def cell(self, target: str) -> Cell | None:
        """What is trained to be scored on this target; None if nothing is, or nothing may be (a dash)."""
        if self.method is None or target in self.auxiliaries:
            return None
        auxiliaries = all_but(target) if self.auxiliaries == REST else self.auxiliaries
        support = METHODS[self.method].support
        own = target if support and support.of_target else None
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
        file, doubt = TREEMAML_1 if languages else "", method == "baseline"  # see its remarks in `stated.NOTES`
        return Row(label, method, given, kind="few-shot", file=file, where=where, stands_in=doubt)

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
            drawn = _BOTH if METHODS[method].crosses else ""
            where = {"setting": at, "method": printed}
            return Row(label, method, tuple(given), drawn, kind, file=XLA_3, where=where, stands_in="pair" in printed)

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


SCORED = {"nli": "XNLI", "qa": "MLQA"}
"""The corpus of each task that the papers score."""


def paper_figure(cell: Cell, kind: str, target: str, metric: str, corpus: str, scale: str) -> float | None:
    """What a paper prints for mBERT with the same method, auxiliaries, rows, target and kind of test, in percent.

    None if it prints nothing, on another corpus than the paper's, and at toy scale, where nothing but the method is
    the paper's. Of tables that repeat a figure it is the first one's (hi → ar of questions is 55.05 in Table 4 and
    53.99 in Table 6).
    """
    if scale == "toy" or corpus != SCORED["nli" if metric == "accuracy" else "qa"]:
        return None
    return _printed().get((_plain(cell), kind, target, metric))


@lru_cache(maxsize=1)
def _printed() -> dict[tuple[Cell, str, str, str], float]:
    """The figures of all tables of mBERT by cell, kind of test, target and metric."""
    found: dict[tuple[Cell, str, str, str], float] = {}
    for known in map(table, _TABLES):
        for row in known.rows if known.encoder == "mBERT" else ():
            for metric in ("accuracy",) if row.task == "nli" else ("f1", "exact_match"):
                for target, figure in row.printed(metric).items():
                    cell = row.cell(target)
                    if cell and not row.stands_in:
                        found.setdefault((_plain(cell), row.kind, target, metric), figure)
    return found


def _plain(cell: Cell) -> Cell:
    """The cell without what makes no other method of it: the order of auxiliaries, and what its target says again."""
    by_genre = cell.by_genre and METHODS[cell.method].trains
    return replace(cell, auxiliaries=tuple(sorted(cell.auxiliaries)), by_genre=by_genre, target=None)
