"""Widgets that show episodes and what comes of them: a browser of episodes, and a map of transfer between languages.

What the mouse does, a test or a notebook can do as well: `browser.step.value = 7`, `map.select("hi", "de")`.
Sentences are data, not markup: they are shown as written, each in the direction of its script.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from ..errors import InputError
from ..studies.comparisons import Results, cell_of, differences
from ..studies.methods import METHODS, Cell, cells
from ..studies.recipes import sampler_for, settings_for
from ..tasks import Episode, Sampler
from ..text.corpora import LABELS, task_of
from ..text.languages import LANGUAGES, check
from ..text.metrics import METRICS, metric_of
from .episodeplots import (
    by_seed,
    compared_cells,
    coverage,
    coverage_data,
    language_pairs,
    language_roles,
    transfer_data,
    transfer_map,
)
from .plots import blank
from .widgets import Plot

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

_SHOWN = {
    "X-MAML": "x-maml",
    "XLA-MAML, zero-shot": "xla-maml",
    "XLA-MAML, few-shot": "xla-maml-few-shot",
    "XLA-MAML, bi-pair": "xla-maml-pair",
    "TreeMAML, by genre": "fixed-treemaml",
}
_DRAWN = {"at random": False, "covering": True}
_PARTS = {"nli": ("premise", "hypothesis", "label"), "qa": ("question", "context", "answer")}
_STEPS = 250  # 8 rows at a time, they cover the dev rows of a language in mini-NLI and in XNLI
_WIDE = {"style": {"description_width": "95px"}, "layout": {"width": "380px"}}


class EpisodeBrowser(ipywidgets.VBox):
    """The episodes of each method, one outer step after the other: whose rows are the support, whose the query.

    `corpus` has the columns of `corpora`, of sentence pairs or of questions; `auxiliary` and `target` are the languages
    to begin with; the rows are drawn from `seed`, as many for the query as for the support. A choice that cannot work
    is said in words. Raises InputError for an unknown language.
    """

    def __init__(self, corpus: Dataset, auxiliary: str = "hi", target: str = "de", seed: int = 0) -> None:
        check([auxiliary, target])
        self.corpus, self.seed = corpus, seed
        columns = corpus.select_columns(["language", "split", "pair"]).to_pandas()
        self.languages = columns["language"].to_numpy()
        self.dev = (columns["split"] == "dev").to_numpy()
        english = columns[columns["language"] == "en"]
        self.english = dict(zip(english["pair"], english.index, strict=True))  # the translation of each pair
        # A choice that comes back is at hand; the oldest ones make room.
        self.sampler, self.seen = lru_cache(maxsize=8)(self._sampler), lru_cache(maxsize=16)(self._seen)

        names = {f"{language.name} ({code})": code for code, language in LANGUAGES.items()}
        partner = next(code for code in ("bg", "de", "hi") if code not in (auxiliary, target))
        self.method = ipywidgets.Dropdown(options=_SHOWN, value="xla-maml", description="method", **_WIDE)
        self.auxiliary, self.partner, self.target = (
            ipywidgets.Dropdown(options=names, value=value, description=name, **_WIDE)
            for name, value in (("auxiliary", auxiliary), ("and", partner), ("target", target))
        )
        self.covering = ipywidgets.Dropdown(options=_DRAWN, description="rows", **_WIDE)
        self.parallel = ipywidgets.Checkbox(description="parallel: the query translates the support", **_WIDE)
        self.shots = ipywidgets.IntSlider(value=8, min=1, max=16, description="shots", **_WIDE)
        self.step = ipywidgets.IntSlider(value=0, min=0, max=_STEPS - 1, description="outer step", **_WIDE)
        self.notes, self.words, self.live, self.table = (ipywidgets.HTML() for _ in range(4))
        self.plot, self.second_plot = Plot(), Plot()
        self.method.observe(lambda _: self._choose(), names="value")
        menus = self.auxiliary, self.partner, self.target, self.covering, self.parallel, self.shots, self.step
        for control in menus:
            control.observe(lambda _: self.draw(), names="value")
        rows = (self.method, self.target), (self.auxiliary, self.partner), (self.covering, self.parallel)
        rows = [ipywidgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in (*rows, (self.shots, self.step))]
        plots = ipywidgets.HBox([self.plot, self.second_plot], layout={"flex_flow": "row wrap"})
        super().__init__([*rows, self.notes, self.words, self.live, plots, self.table])
        self._choose()

    def cell(self) -> Cell:
        """What is chosen, as a cell of a study; raises InputError if it cannot be."""
        name, one = self.method.value, self.auxiliary.value
        given = {"fixed-treemaml": (), "xla-maml-pair": (one, self.partner.value)}.get(name, (one,))
        (cell,) = cells([name], [self.target.value], given)
        return replace(cell, covering=self.covering.value, parallel=self.parallel.value)

    def draw(self) -> None:
        """Show the episode that is chosen, or say why there is none."""
        try:
            cell, shots = self.cell(), self.shots.value
            self.episode: Episode | None = self.sampler(cell, shots)(self.step.value)
            pairs = language_pairs(self.episode, self.languages)
            curves = {name: self.seen(replace(cell, covering=way), shots) for name, way in _DRAWN.items()}
        except InputError as error:
            self.episode, self.words.value, self.live.value = None, "", ""
            self.table.value = f"<p><b>No episode:</b> {html.escape(str(error))}</p>"
            self.figure = self.plot.show(language_roles((), self.target.value))
            self.second = self.second_plot.show(blank("No episode").update_layout(width=370, height=440))
            return
        total, step, drawn = int(self._pool(cell).sum()), self.step.value, self.covering.label
        now, other = sorted(curves, key=lambda name: name != drawn)
        whose = " and ".join(LANGUAGES[code].name for code in cell.auxiliaries[:2])
        whose = whose if len(cell.auxiliaries) < 3 else "the auxiliaries"
        self.words.value = explain(cell, pairs, self.target.value)
        self.live.value = (
            f"Rows of {whose} seen so far: <b>{curves[now][step]:,} of {total:,}</b> ({now}); "
            f"{other}, it would be {curves[other][step]:,}."
        )
        self.figure = self.plot.show(language_roles(pairs, self.target.value))
        self.second = self.second_plot.show(coverage(curves, total, step, now))
        self.table.value = self._table(self.episode, pairs)

    def _choose(self) -> None:
        """A new method: which of the other controls go with it, and why not the others."""
        method, notes = METHODS[self.method.value], []
        self.partner.layout.display = "" if method.support and method.support.pair else "none"
        self.auxiliary.disabled = method.by_genre
        if method.by_genre:
            notes.append("No auxiliary to choose: TreeMAML takes all languages of the phylogeny but the target.")
        self.parallel.disabled = not method.crosses
        if self.parallel.disabled:
            self.parallel.value = False
            notes.append("Not parallel: a row has no translation in its own language, and the query is in that.")
        self.notes.value = "<br>".join(notes)
        self.draw()

    def _sampler(self, cell: Cell, shots: int) -> Sampler:
        settings = replace(settings_for(cell, "toy"), shots=shots, queries=shots)
        return sampler_for(cell, self.corpus, settings, self.seed)

    def _seen(self, cell: Cell, shots: int) -> np.ndarray:
        return coverage_data(self.sampler(cell, shots), np.flatnonzero(self._pool(cell)).tolist(), _STEPS)

    def _pool(self, cell: Cell) -> np.ndarray:
        """Which rows the auxiliaries have to draw from."""
        return self.dev & np.isin(self.languages, cell.auxiliaries)

    def _table(self, episode: Episode, pairs: Sequence[tuple[str, str]]) -> str:
        """The rows of each task, support on the left and query on the right, as HTML."""
        parts = []
        for i, (task, (support, query)) in enumerate(zip(episode.tasks, pairs, strict=True)):
            sides = [
                (f"support, {support}", episode.support[0]["row"][i]),
                (f"query, {query}", episode.query["row"][i]),
            ]
            tables = "".join(
                f"<div style='flex:1 1 420px'><b>{side}</b>{self._rows(rows.tolist())}</div>" for side, rows in sides
            )
            parts.append(f"<p><b>Task {html.escape(task)}</b></p><div {_SIDES}>{tables}</div>")
        return f"<div style='max-height:480px;overflow:auto;line-height:1.35'>{''.join(parts)}</div>"

    def _rows(self, rows: Sequence[int]) -> str:
        """A table of rows of the corpus, each text above its English translation."""
        heads = _PARTS[task_of(self.corpus)]
        lines = ["".join(f"<th {_CELL}>{head}</th>" for head in ("", *heads))]
        for row in rows:
            found = _texts(self.corpus[row])
            language = found["language"]
            translation = self.english.get(found["pair"]) if language != "en" else None
            english = _texts(self.corpus[translation]) if translation is not None else {}
            name = LANGUAGES[language].name
            cells = [f"{html.escape(name)}<br><small>{html.escape(found['genre'])}</small>"]
            for part in heads:
                if part == "label":
                    cells.append(found[part])
                    continue
                words = f"<div dir='auto' lang='{language}'>{html.escape(found[part])}</div>"
                if english:
                    words += f"<div lang='en' dir='ltr' style='opacity:0.75'><i>{html.escape(english[part])}</i></div>"
                cells.append(words)
            lines.append("".join(f"<td {_CELL}>{words}</td>" for words in cells))
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table style='border-collapse:collapse;width:100%'>{body}</table>"


_CELL = "style='text-align:start;vertical-align:top;padding:3px 8px 3px 0;border-bottom:1px solid #888888'"
_SIDES = "style='display:flex;flex-wrap:wrap;gap:8px 24px'"


def _texts(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of a corpus with its label in words, or with the first of its answers."""
    return row | ({"answer": row["answers"]["text"][0]} if "answers" in row else {"label": LABELS[row["label"]]})


def explain(cell: Cell, pairs: Sequence[tuple[str, str]], target: str) -> str:
    """What a choice of episodes means, as HTML; `pairs` are the support and the query language of each task."""
    given, asked = ([LANGUAGES[code].name for code in dict.fromkeys(side)] for side in zip(*pairs, strict=True))
    goal, support = LANGUAGES[target].name, METHODS[cell.method].support
    how = {
        "same": "the step is taken and judged in the same language: <b>X-MAML</b>.",
        "en": "the step is taken in one language and judged in another: <b>XLA-MAML</b>.",
        "target": "the step is taken in the target language and judged in another: <b>few-shot XLA-MAML</b>.",
    }
    if cell.by_genre:
        words = (
            f"{len(pairs)} tasks, each a language and one of its genres, the same for support and query: "
            "<b>TreeMAML</b>. Which tasks share their gradients is the grouping's choice, not the episode's."
        )
    elif support.pair:
        words = (
            f"{' and '.join(given)} are each other's support: the step is taken in one language and judged in the "
            "other, both ways: <b>XLA-MAML with a bi-pair</b>."
        )
    else:
        words = f"Support in {given[0]}, query in {asked[0]}: {how[support.name]}"
    words += (
        f" Dev rows of {goal}, the target, are seen; its test rows are not."
        if cell.target
        else f" {goal}, the target, is not seen before its test (zero-shot)."
    )
    words += (
        " Covering: every row comes once before any of its class comes again."
        if cell.covering
        else " At random: some rows come again before others have come once."
    )
    return words + " Parallel: the query rows are the translations of the support rows." * cell.parallel


class TransferMap(ipywidgets.VBox):
    """Who helps whom: what a method gains over a control, by auxiliary and target; click a cell to see its runs.

    `results` are those of a study (`comparisons.load`), `kind` is the test (`methods.KINDS`), `metric` one of the
    METRICS of the task (the first without it). Raises InputError if no method and control have been run on the same
    auxiliary and target with that test.
    """

    def __init__(self, results: Results, kind: str = "zero-shot", metric: str | None = None) -> None:
        self.results, self.kind, self.chosen = results, kind, None
        self.metric = metric_of(results.task, metric)
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
        self.compared = ipywidgets.Dropdown(options=options, value=first, description="shown", **_WIDE)
        self.compared.observe(lambda _: self.draw(), names="value")
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
        words = f"Blue: {label.split(' − ')[0]} is better. Empty: nothing to compare. A colour is not yet a difference:"
        words += " click a cell for its runs and its interval."
        if self.compared.value[0] == "xla-maml" and "en" in self.data.index and self.data.loc["en"].notna().any():
            words += " In the row English, XLA-MAML is X-MAML."
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
        heads = [f"{self.metric.title}, %", *(f"seed {seed}" for seed in seeds), "mean"]
        lines = ["".join(f"<th {_NUMBER}>{head}</th>" for head in heads)]
        for name, scores in shown.items():
            values = [f"{scores[seed]:.1f}" if seed in scores else "" for seed in seeds]
            line = [name, *values, f"<b>{np.mean(list(scores.values())):.2f}</b>"]
            lines.append("".join(f"<td {_NUMBER}>{value}</td>" for value in line))
        names = " + ".join(LANGUAGES[code].name for code in given)
        words = f"<b>{names} → {LANGUAGES[target].name}</b>, {self.kind}, {self.results.shared['scale']} scale, "
        group = _group(rows)
        words += f"n = {len(rows['pair']):,} rows, {len(set(rows[f'{group}_id'])):,} {group}s"
        table = f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>" if shown else ""
        return f"{words}<br>{self._difference(both, given, target)}{table}"

    def _difference(self, both: tuple[Cell, Cell] | None, given: tuple[str, ...], target: str) -> str:
        """The difference in a cell in words, or why there is none."""
        if target in given:
            return "No transfer: the target is the auxiliary itself."
        if both is None or np.isnan(self.data.loc["+".join(given), target]):
            return "Nothing to compare: not both have been run here."
        records = [
            record | {"results": {target: {self.kind: record["results"][target][self.kind]}}}
            for record in self.results.records
            if replace(cell_of(record), target=None) in both and self.kind in record["results"].get(target, ())
        ]
        line = differences(replace(self.results, records=records), self.metric.name).iloc[0]
        group = _group(self.results.rows[target])
        return (
            f"{line['method']} − {line['control']}: <b>{line['gain']:+.2f}</b> points, 95 % interval "
            f"{line['low']:+.2f} to {line['high']:+.2f}, {line['seeds']} seed{'s' * int(line['seeds'] > 1)}: "
            f"<b>{line['verdict']}</b>. The interval covers the choice of {group}s, not that of seeds."
        )


_NUMBER = "style='text-align:end;padding:2px 10px'"


def _group(rows: Mapping[str, Any]) -> str:
    """What the scored rows of a language belong to: several hypotheses to a premise, several questions to a passage."""
    return "premise" if "premise_id" in rows else "passage"
