"""What the two papers print and state, from `data/papers/*.toml`, and what is trained here for each line of a table.

TreeMAML is Garcia et al. 2021 (Adapt-NLP), XLA-MAML the paper on cross-lingual adaptation. The first of the files says
what their entries mean; the figures themselves are in `data/results/paper_*.csv`.
"""

from __future__ import annotations

import csv
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from ..errors import InputError
from ..files import data_directory
from ..otd import XI
from ..text.corpora import CORPORA
from ..text.languages import all_but
from .methods import METHODS, Cell, scored_on
from .recipes import settings_for

REST = ("all but the target",)
"""The auxiliaries of a line or of a cell in results, where each target was left out in turn."""


def auxiliaries_for(target: str, auxiliaries: tuple[str, ...]) -> tuple[str, ...]:
    """The auxiliaries, with those that REST stands for."""
    return all_but(target) if auxiliaries == REST else auxiliaries


@dataclass(frozen=True)
class Row:
    """A line of a table: the method that is trained for it (None: only quoted), and what the paper prints.

    `figures` are in percent, by target and metric (a control of ours has none). `kind` is one of `methods.KINDS`;
    TreeMAML's "few-shot" has tasks by genre. The line is compared with `against`, if any, and then with the Baseline
    and the controls of its method. `stands_in` says that the paper's line may be of something else, a pair of other
    languages for one: the figures stand beside ours in its table and nowhere else.
    """

    label: str
    method: str | None = None
    auxiliaries: tuple[str, ...] = ()
    drawn: str = ""
    kind: str = "zero-shot"
    task: str = "nli"
    against: str = ""
    stands_in: bool = False
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def cell(self, target: str) -> Cell | None:
        """What is trained to be scored on this target; None if nothing is, or nothing may be (a dash)."""
        if self.method is None or target in self.auxiliaries:
            return None
        support = METHODS[self.method].support
        own = target if support and support.of_target else None
        drawn = {name: name in self.drawn for name in ("covering", "parallel")}
        cell = Cell(self.method, auxiliaries_for(target, self.auxiliaries), self.kind == "few-shot", own, **drawn)
        return cell if scored_on(cell, [target]) else None

    def printed(self, metric: str) -> dict[str, float]:
        """What the paper prints for the line, by target; nothing of a metric that it does not print."""
        return {target: found[metric] for target, found in self.figures.items() if metric in found}


@dataclass(frozen=True)
class Setting:
    """A setting of a table's runs, a `name` of `recipes.Settings`: its title, and where the paper states it.

    `source` is empty where the paper leaves it open: then the value is our choice, and `why` says more. `full` and
    `here` are its values in words, at full scale and at another one, where they were asked for (see `settings`).
    """

    name: str
    title: str
    source: str = ""
    why: str = ""
    full: str = ""
    here: str = ""

    @property
    def origin(self) -> str:
        """Where its value is from, in words."""
        return self.source or "not stated, our choice" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper: its title, its targets, its lines in their order, and the paper's encoder.

    `remarks` are our choices where the paper is silent, and what to know before comparing; `settings` those that enter
    the runs. It `shows` "scores", or "gains", as Figure 2.
    """

    title: str
    targets: tuple[str, ...]
    rows: tuple[Row, ...]
    remarks: tuple[str, ...]
    settings: tuple[Setting, ...]
    encoder: str = "mBERT"
    shows: str = "scores"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of its lines, "nli" or "qa" or both."""
        return tuple(dict.fromkeys(row.task for row in self.rows))


@lru_cache(maxsize=1)
def _tables() -> dict[str, Table]:
    """The tables of all papers, in the order of their files."""
    papers = [tomllib.loads(path.read_text("utf-8")) for path in sorted((data_directory() / "papers").glob("*.toml"))]
    return {name: _table(paper, **entry) for paper in papers for name, entry in paper["tables"].items()}


def _table(paper: dict[str, Any], rows: list[Any], remarks: list[str], figures: str = "", **others: Any) -> Table:
    """A table from its entry in a paper's file."""
    lines, others["targets"] = [], tuple(others["targets"])
    if figures:
        with open(data_directory() / "results" / figures, encoding="utf-8", newline="") as opened:
            lines = list(csv.DictReader(opened))
    said = tuple(paper.get("remarks", {}).get(each, each).format(xi=XI) for each in remarks)
    settings = tuple(Setting(name, **told) for name, told in paper["settings"].items())
    found = tuple(_row(row, lines, others["targets"], paper["metrics"]) for row in rows)
    return Table(rows=found, remarks=said, settings=settings, **others)


def _row(entry: dict[str, Any], lines: list[dict[str, str]], targets: Sequence[str], metrics: dict[str, Any]) -> Row:
    """A row from its entry, with the figures of the one line of the table that it names."""
    where, auxiliaries = entry.pop("line", None), tuple(entry.pop("auxiliaries", ()))
    row = Row(auxiliaries=auxiliaries, **entry)
    if where is None:
        return row
    (line,) = (each for each in lines if where.items() <= each.items())
    printed = {target: line[target].split("/") for target in targets if line.get(target, "-") not in ("-", "")}
    # Not strict: a table may print the first metric alone.
    figures = {code: dict(zip(metrics[row.task], map(float, found), strict=False)) for code, found in printed.items()}
    return replace(row, figures=figures)


def tables() -> list[str]:
    """The names of the tables that can be reproduced."""
    return list(_tables())


def table(name: str) -> Table:
    """A table of a paper by its name; raises InputError for another name."""
    if name not in _tables():
        raise InputError(f"Unknown table {name!r}; the tables are {', '.join(_tables())}.")
    return _tables()[name]


def paper_figure(cell: Cell, kind: str, target: str, metric: str, corpus: str, scale: str) -> float | None:
    """What a paper prints for mBERT with the same method, auxiliaries, rows, target and kind of test, in percent.

    None if it prints nothing of this metric, on a corpus that the papers do not score (see `corpora.Corpus.printed`),
    and at toy scale, where nothing but the method is the paper's. Of tables that repeat a figure it is the first one's
    (hi → ar of questions is 55.05 in Table 4 and 53.99 in Table 6).
    """
    known = CORPORA.get(corpus)
    if scale == "toy" or known is None or not known.printed:
        return None
    return _printed().get((_plain(cell, target), kind, known.task, target, metric))


@lru_cache(maxsize=1)
def _printed() -> dict[tuple[Cell, str, str, str, str], float]:
    """The figures of all tables of mBERT by cell, kind of test, task, target and metric."""
    found: dict[tuple[Cell, str, str, str, str], float] = {}
    for row in (row for known in _tables().values() if known.encoder == "mBERT" for row in known.rows):
        for target, figures in row.figures.items():
            cell = row.cell(target)
            if cell and not row.stands_in:
                for metric, figure in figures.items():
                    found.setdefault((_plain(cell, target), row.kind, row.task, target, metric), figure)
    return found


def _plain(cell: Cell, target: str) -> Cell:
    """The cell without what makes no other method of it: the order of auxiliaries, and what its target says again."""
    auxiliaries = tuple(sorted(auxiliaries_for(target, cell.auxiliaries)))
    return replace(cell, auxiliaries=auxiliaries, by_genre=cell.by_genre and METHODS[cell.method].trains, target=None)


def settings(name: str, scale: str) -> list[tuple[str, list[Setting]]]:
    """The settings of a table's runs by task, with the paper's sources: values at full scale and at `scale`.

    Methods with other values than most are named. No value is written down a second time: it is that of
    `recipes.settings_for`.
    """
    known, found = table(name), []
    for task in known.tasks:
        rows = [row for row in known.rows if row.task == task and row.method]
        cells = dict.fromkeys(cell for row in rows for code in known.targets if (cell := row.cell(code)))
        trained = [cell for cell in cells if METHODS[cell.method].trains]
        tuned = any(row.kind == "fine-tuned" for row in rows)
        told = []
        for each in known.settings:
            if tuned or not each.name.startswith("tune_"):
                full, here = (_value(trained, each.name, where, task) for where in ("full", scale))
                told.append(replace(each, full=full, here=here))
        found.append((task, told))
    return found


def _value(cells: Collection[Cell], name: str, scale: str, task: str) -> str:
    """A setting of these cells in words: the commonest value, then those of the methods that have another one."""
    by_method = {METHODS[cell.method].title: _words(getattr(settings_for(cell, scale, task), name)) for cell in cells}
    ((usual, _),) = Counter(by_method.values()).most_common(1)
    others = [f"{value}: {method}" for method, value in by_method.items() if value != usual]
    return usual + (f" ({', '.join(others)})" if others else "")


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "all" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
