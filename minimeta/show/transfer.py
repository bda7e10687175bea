"""Who helps whom: what a method gains over a control, by auxiliary and target language, and the runs behind a gain.

What the mouse does, a test or a notebook can do as well: `map.select("hi", "de")`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import numpy as np
import plotly.graph_objects as go

from ..errors import InputError
from ..files import data_directory
from ..studies.comparisons import Results, by_seed, gains, verdict
from ..studies.methods import KINDS, METHODS, Cell
from ..studies.papers import REST
from ..studies.report import each_seed, found_from, number
from ..text.corpora import TASKS
from ..text.languages import ordered
from ..text.metrics import METRICS, metric_of
from .recording import Explorer
from .style import AROUND_ZERO, INK, Plot, blank, language_name, menu, on_change, places, table

if TYPE_CHECKING:
    import pandas as pd


def transfer_data(
    results: Results, method: str, control: str, kind: str = "zero-shot", metric: str | None = None
) -> pd.DataFrame:
    """The gain of a method over a control: a row for each auxiliary (or pair, "bg+de"), a column for each target.

    In points of one of the METRICS of the task, the first without `metric`; the mean over the seeds that both have,
    NaN where there is nothing to compare. In the row en the method XLA-MAML is X-MAML, for its support is English.
    Methods and kinds are named as in `methods`; the cells are those with random rows. Raises InputError for an
    unknown name.
    """
    import pandas as pd

    metric = metric_of(results.task, metric).name
    if kind not in KINDS or not {method, control} <= set(METHODS):
        raise InputError(
            f"There is no transfer of {method!r} over {control!r} with the test {kind!r}; the methods are "
            f"{', '.join(METHODS)}, the tests {', '.join(KINDS)}."
        )
    found = results.cells()
    targets = ordered(code for record in results.records for code in record["results"])
    trained = {cell.auxiliaries for cell in found if cell.auxiliaries not in ((), REST)}
    place = ordered(code for codes in trained for code in codes).index
    rows = {}
    for auxiliaries in sorted(trained, key=lambda codes: (len(codes), [place(code) for code in codes])):
        cells = compared_cells(found, method, control, auxiliaries)
        gains = rows["+".join(auxiliaries)] = dict.fromkeys(targets, np.nan)
        for target in targets if cells else ():
            ours, theirs = (by_seed(found[cell], target, kind, metric) for cell in cells)
            both = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
            gains[target] = np.mean(both) if both else np.nan
    return pd.DataFrame.from_dict(rows, "index", columns=targets, dtype=float)


def compared_cells(
    found: Container[Cell], method: str, control: str, auxiliaries: tuple[str, ...]
) -> tuple[Cell, Cell] | None:
    """Those of the cells found that are a method and its control with these auxiliaries; None if one was not run."""
    for by_genre in (False, True):
        pair = []
        for name in (method, control):
            support = METHODS[name].support
            own = "x-maml" if support and auxiliaries == (support.fixed,) else name
            pair.append(Cell(own, auxiliaries if METHODS[own].trains else (), by_genre))
        if pair[0] != pair[1] and all(cell in found for cell in pair):
            return pair[0], pair[1]
    return None


def paper_rows() -> dict[str, list[float]]:
    """Points above its Baseline that the XLA-MAML paper reports with Hindi as auxiliary, by how rows are drawn.

    Zero-shot on XNLI, for the six targets that its Tables 3, 6 and 7 all have: ar, de, en, es, vi, zh.
    """
    import pandas as pd

    six = ["ar", "de", "en", "es", "vi", "zh"]
    folder = data_directory() / "results"
    by_method, by_sampling, by_parallel = (
        pd.read_csv(folder / f"paper_xla_maml_{name}.csv", na_values="-")
        for name in ("table3_xnli", "table6_sampling", "table7_parallel")
    )
    zero_shot = by_method.query("setting == 'zero-shot'").set_index("method")[six].astype(float)
    by_sampling = by_sampling.query("task == 'NLI' and auxiliary == 'hi'").set_index("sampling")[six]
    by_parallel = by_parallel.query("auxiliary == 'hi'").set_index("parallel")[six]
    lines = {
        "X-MAML": zero_shot.loc["X-MAML hi → X"],
        "XLA-MAML, random": by_sampling.loc["random"],
        "XLA-MAML, not parallel": by_parallel.loc["no"],
        "XLA-MAML, covering and parallel": by_parallel.loc["yes"],
    }
    return {name: (line - zero_shot.loc["mBERT (Ours)"]).tolist() for name, line in lines.items()}


def transfer_map(data: pd.DataFrame, title: str, chosen: tuple[str, str] | None = None) -> go.Figure:
    """Gains (auxiliaries x targets, points) as a heat map: orange above 0, blue below, white at 0, empty where NaN.

    Rows and columns without any number are left out. `chosen` is an auxiliary and a target to put a frame around.
    `customdata` of a cell is its place in `data`, counted row by row.
    """
    if not np.isfinite(data.to_numpy(float)).any():
        raise InputError("There is nothing to draw: the table of gains has no number in it.")
    kept = data.notna().to_numpy()
    places_in_data = np.arange(data.size).reshape(data.shape)[np.ix_(kept.any(1), kept.any(0))]
    data = data.dropna(how="all").dropna(axis=1, how="all")
    values = data.to_numpy(float)
    n, m = values.shape
    most = max(float(np.nanmax(np.abs(values))), 0.1)
    names, targets = [_names(row.split("+")) for row in data.index], list(map(language_name, data.columns))
    notes = [
        [f"{name} → {target}: " + ("nothing to compare" if np.isnan(v) else f"{v:+.1f} points")
         for target, v in zip(targets, row, strict=True)]
        for name, row in zip(names, values, strict=True)
    ]  # fmt: skip
    figure = blank(title, "target, scored", "auxiliary, trained on", height=190 + 30 * n)
    figure.add_heatmap(
        x=list(range(m)), y=list(range(n)), z=values, zmin=-most, zmax=most,
        colorscale=AROUND_ZERO,
        text=[[number(value, "+.1f", "") for value in row] for row in values], texttemplate="%{text}",
        customdata=places_in_data.tolist(), hovertext=notes, hoverinfo="text", xgap=1, ygap=1,
        colorbar={"title": {"text": "points"}, "tickformat": "+.1f", "thickness": 15},
    )  # fmt: skip
    if chosen and chosen[0] in data.index and chosen[1] in data.columns:
        y, x = list(data.index).index(chosen[0]), list(data.columns).index(chosen[1])
        line = {"color": INK, "width": 3}
        figure.add_shape(type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line=line)
    figure.update_layout(
        width=max(560, 260 + 44 * m),  # room for a number in each cell
        title={"xref": "container", "x": 0.01},
        plot_bgcolor="#EEEEEE",
        xaxis=places(targets, -0.5, m - 0.5, showgrid=False, ticks="", side="bottom"),
        yaxis=places(names, n - 0.5, -0.5, showgrid=False, ticks=""),
    )
    return figure


def _names(codes: Iterable[str]) -> str:
    return " + ".join(map(language_name, codes))


class TransferMap(Explorer):
    """Who helps whom: what a method gains over a control, by auxiliary and target; click a cell to see its runs.

    `results` are those of a study (`comparisons.load`), `kind` is the test (`methods.KINDS`), `metric` one of the
    METRICS of the task (the first without it). Raises InputError if no method and control have been run on the same
    auxiliary and target with that test.
    """

    recorded: ClassVar = {"compared": None, "plot": lambda widget: range(widget.data.size)}

    def __init__(self, results: Results, kind: str = "zero-shot", metric: str | None = None) -> None:
        self.results, self.kind, self.chosen = results, kind, None
        self.task, self.metric = TASKS[results.task], metric_of(results.task, metric)
        pairs = [(method, control) for method in METHODS for control in METHODS[method].controls]
        self.tables = {pair: transfer_data(results, *pair, kind, metric) for pair in pairs}
        self.tables = {pair: table for pair, table in self.tables.items() if table.notna().any(axis=None)}
        if not self.tables:
            raise InputError(
                f"No method and control have been run on the same auxiliary and target with the test {kind}; run a "
                "study of transfer with X-MAML or XLA-MAML and Baseline first, or choose another test."
            )
        first = next((pair for pair in self.tables if pair[0] == "xla-maml"), next(iter(self.tables)))
        options = {" − ".join(METHODS[name].title for name in pair): pair for pair in self.tables}
        self.compared = menu("shown", options, first)
        on_change(self.draw, self.compared)
        self.words, self.details, self.plot = ipywidgets.HTML(), ipywidgets.HTML(), Plot(self._clicked)
        super().__init__([self.compared, self.words, self.plot, self.details])
        self.draw()

    @property
    def data(self) -> pd.DataFrame:
        """The gains that are shown, auxiliaries x targets."""
        return self.tables[self.compared.value]

    def draw(self) -> None:
        """Show the chosen difference on the map, and the runs of the chosen cell."""
        scale, label = self.results.shared["scale"], self.compared.label
        name = f", {self.metric.title}" if len(METRICS[self.results.task]) > 1 else ""
        title = f"{label}{name}, {self.kind}, {scale} scale"
        self.figure = self.plot.show(transfer_map(self.data, title, self.chosen))
        word = "worse" if self.metric.lower_is_better else "better"
        words = f"Orange: {label.split(' − ')[0]} is {word}. Empty: nothing to compare. A colour is not yet a "
        words += "difference: click a cell for its runs and its interval."
        method = METHODS[self.compared.value[0]]
        own = method.support.fixed if method.support else ""
        if own in self.data.index and self.data.loc[own].notna().any():
            words += f" In the row {language_name(own)}, {method.title} is X-MAML."
        self.words.value = words
        self.details.value = self._describe(*self.chosen) if self.chosen else ""

    def select(self, auxiliary: str, target: str) -> None:
        """Choose a cell, such as ("hi", "de") or ("bg+de", "fr"): frame it, and show its runs."""
        if auxiliary not in self.data.index or target not in self.data.columns:
            raise InputError(
                f"The map has no cell {auxiliary!r}, {target!r}; its auxiliaries are {', '.join(self.data.index)}, its "
                f"targets {', '.join(self.data.columns)}."
            )
        self.chosen = (auxiliary, target)
        self.draw()

    def _clicked(self, number: int) -> None:
        row, column = divmod(number, len(self.data.columns))
        self.select(self.data.index[row], self.data.columns[column])

    def _describe(self, auxiliary: str, target: str) -> str:
        """A cell's runs, seed by seed, and the difference with its interval, as HTML."""
        given, found = tuple(auxiliary.split("+")), self.results.cells()
        both = compared_cells(found, *self.compared.value, given)
        one = both[0].by_genre if both else False
        shown = {}
        for cell, records in found.items():
            plain = not cell.covering and not cell.parallel and cell.by_genre == one
            scores = by_seed(records, target, self.kind, self.metric.name)
            if plain and scores and cell.auxiliaries in ((), given):
                shown[METHODS[cell.method].title] = scores
        seeds, rows = sorted({seed for each in shown.values() for seed in each}), self.results.rows[target]
        head = [f"{self.metric.title}, %", *(f"seed {seed}" for seed in seeds), "mean"]
        lines = [
            [name, *(number(own.get(seed), ".1f", "") for seed in seeds), f"<b>{np.mean(list(own.values())):.2f}</b>"]
            for name, own in shown.items()
        ]
        words = f"<b>{_names(given)} → {language_name(target)}</b>, {self.kind}, {self.results.shared['scale']} scale, "
        words += f"n = {len(rows['pair']):,} rows, {len(set(rows[self.task.group])):,} {self.task.groups}"
        runs = table(head, lines, "text-align:end;padding:2px 10px") if shown else ""
        return f"{words}<br>{self._difference(found, both, given, target)}{runs}"

    def _difference(
        self,
        found: Mapping[Cell, list[dict[str, Any]]],
        both: tuple[Cell, Cell] | None,
        given: tuple[str, ...],
        target: str,
    ) -> str:
        """The difference in a cell in words, or why there is none."""
        if target in given:
            return "No transfer: the target is the auxiliary itself."
        if both is None or np.isnan(self.data.loc["+".join(given), target]):
            return "Nothing to compare: not both have been run here."
        ours, control = (
            [record | {"results": {target: record["results"].get(target, {})}} for record in found[cell]]
            for cell in both
        )
        gain = gains(self.results, ours, control, self.kind, self.metric)[target]
        names = " − ".join(METHODS[cell.method].title for cell in both)
        return (
            f"{names}: <b>{gain.gain:+.2f}</b> points, 95 % interval {gain.low:+.2f} to {gain.high:+.2f}, "
            f"{gain.seeds} seed{'s' * (gain.seeds > 1)}{each_seed(gain.by_seed, '+.1f')}: "
            f"<b>{verdict(gain.low, gain.high, self.metric)}</b>. The interval covers the choice of {self.task.groups}"
            f"{' and that of seeds' if gain.seeds > 1 else ', not that of seeds, for there is one'}; "
            f"{found_from([gain.smallest])}."
        )
