"""Episodes: what each language is in one, whose rows it has, and how many rows have been seen so far.

The data come first, then the figures, then the widget that browses them. What the mouse does, a test or a notebook can
do as well: `browser.step.value = 7`. Sentences are data, not markup: they are shown as written, each in the direction
of its script.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import numpy as np
import plotly.graph_objects as go

from ..errors import InputError
from ..studies.methods import METHODS, Cell, cells
from ..studies.recipes import sampler_for, settings_for
from ..tasks import Episode, Sampler
from ..text.corpora import classes_of
from ..text.languages import FAMILIES, XNLI, check, ordered
from ..trees import TaskTree
from .recording import Explorer
from .style import (
    COLOURS,
    DASHES,
    INK,
    WIDE,
    Plot,
    beside,
    blank,
    complaint,
    in_a_row,
    in_script,
    language_menu,
    language_name,
    menu,
    on_change,
    slider,
    table,
)
from .treeplots import dendrogram, dendrogram_data

if TYPE_CHECKING:
    from datasets import Dataset

ROLES = {
    "support": {"symbol": "square", "color": COLOURS[1]},
    "query": {"symbol": "circle", "color": COLOURS[0]},
    "support and query": {"symbol": "diamond", "color": COLOURS[2]},
    "target": {"symbol": "star", "color": COLOURS[3]},
    "target and support": {"symbol": "star-square", "color": COLOURS[7]},
    "not in the episode": {"symbol": "circle-open", "color": "#999999"},
}
"""What a language can be in an episode, each with a shape and a colour of its own."""


def language_pairs(episode: Episode, languages: np.ndarray) -> list[tuple[str, str]]:
    """The support and the query language of each task of an episode of rows; `languages[row]` is a row's language."""
    rows = (episode.support[0]["row"], episode.query["row"])
    return list(zip(*(languages[batch[:, 0].numpy()].tolist() for batch in rows), strict=True))


def roles(pairs: Sequence[tuple[str, str]], target: str) -> dict[str, str]:
    """What each language is: one of ROLES. `pairs` are the support and query language of each task."""
    support, query = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    found = {}
    for code in ordered({*XNLI, *support, *query, target}):
        parts = [("target", code == target), ("support", code in support), ("query", code in query)]
        found[code] = " and ".join(part for part, there in parts if there) or "not in the episode"
    return found


def language_roles(pairs: Sequence[tuple[str, str]], target: str) -> go.Figure:
    """All languages on the phylogeny (`FAMILIES`) as what they are in an episode, `←` from a query to its support."""
    role = roles(pairs, target)
    arrows = {asked: f" ← {given}" for given, asked in pairs}  # in all methods one support for each query
    names = {code: f"{language_name(code)} ({code}){arrows.get(code, '')}" for code in role}
    others = (TaskTree(code) for code in role if code not in FAMILIES.leaves)
    root = TaskTree(FAMILIES.name, (*FAMILIES.children, *others)).rename(names)
    figure = dendrogram(root, {names[code]: role[code] for code in names}, "Languages (query ← its support)")
    for rank, (name, look) in enumerate(ROLES.items()):
        big = {"size": 9 if name == "not in the episode" else 13}
        figure.update_traces(selector={"name": name}, marker=look | big, legendrank=rank)
    data = dendrogram_data(root)
    inner = data.inner[1:]
    figure.add_scatter(
        x=data.x[inner], y=data.y[inner], text=[data.names[i] + "\u00a0\u00a0" for i in inner], mode="text",
        textposition="top left", textfont={"size": 10, "color": INK}, hoverinfo="skip",
        showlegend=False, cliponaxis=False,
    )  # fmt: skip
    figure.update_layout(width=490, margin={"l": 10, "b": 70}, xaxis={"visible": False, "range": [-0.1, 3.12]})
    figure.update_layout(legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.02, "yanchor": "top"})
    return figure


def coverage_data(draw: Sampler, rows: Iterable[int], steps: int) -> np.ndarray:
    """How many different ones of `rows` the first 1, 2, ..., `steps` episodes have drawn, as support or as query."""
    left, counts, seen = set(rows), [], 0
    for step in range(steps):
        episode = draw(step)
        found = {row for batch in (*episode.support, episode.query) for row in batch["row"].flatten().tolist()} & left
        left -= found
        seen += len(found)
        counts.append(seen)
    return np.array(counts)


def coverage(curves: Mapping[str, np.ndarray], total: int, step: int, chosen: str) -> go.Figure:
    """Rows seen after each outer step: `curves` (steps,) by how rows are drawn; a mark at `step` of the chosen one."""
    figure = blank("Different rows seen so far", "outer step", "rows", height=440)
    for i, (name, counts) in enumerate(curves.items()):
        line = {"color": COLOURS[i], "dash": DASHES[i], "width": 3 if name == chosen else 1.5}
        figure.add_scatter(x=np.arange(len(counts)), y=counts, name=name, mode="lines", line=line)
    if chosen in curves:
        marker = {"size": 12, "symbol": "diamond", "color": COLOURS[list(curves).index(chosen)]}
        figure.add_scatter(x=[step], y=[curves[chosen][step]], mode="markers", marker=marker, name="this episode")
    figure.add_hline(total, line={"color": "#999999", "width": 1}, annotation_text=f"all {total:,}")
    figure.update_layout(width=370, showlegend=True)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.15, "yanchor": "top", "itemwidth": 40})
    figure.update_yaxes(range=[0, 1.12 * total])
    return figure


_SHOWN = {
    "X-MAML": "x-maml",
    "XLA-MAML, zero-shot": "xla-maml",
    "XLA-MAML, few-shot": "xla-maml-few-shot",
    "XLA-MAML, bi-pair": "xla-maml-pair",
    "TreeMAML, by genre": "fixed-treemaml",
}
_DRAWN = {"at random": False, "covering": True}
_STEPS = 250  # 8 rows at a time, they cover the dev rows of a language in mini-NLI and in XNLI


class EpisodeBrowser(Explorer):
    """The episodes of each method, one outer step after the other: whose rows are the support, whose the query.

    `corpus` has the columns of `corpora`, of sentence pairs or of questions; `auxiliary` and `target` are the languages
    to begin with; the rows are drawn from `seed`, as many for the query as for the support. A choice that cannot work
    is said in words. Raises InputError for a language that neither XNLI nor the corpus has.
    """

    recorded: ClassVar = {"method": None, "covering": None, "step": range(3)}

    def __init__(self, corpus: Dataset, auxiliary: str = "hi", target: str = "de", seed: int = 0) -> None:
        self.corpus, self.seed = corpus, seed
        columns = corpus.select_columns(["language", "split", "pair"]).to_pandas()
        self.languages = columns["language"].to_numpy()
        self.dev = (columns["split"] == "dev").to_numpy()
        english = columns[columns["language"] == "en"]
        self.english = dict(zip(english["pair"], english.index, strict=True))  # the translation of each pair
        self.classes = classes_of(corpus)
        # A choice that comes back is at hand; the oldest ones make room.
        self.sampler, self.seen = lru_cache(maxsize=8)(self._sampler), lru_cache(maxsize=16)(self._seen)

        codes = ordered({*XNLI, *self.languages})
        check([auxiliary, target], codes, "The menu of languages")
        partner = next(code for code in ("bg", "de", "hi") if code not in (auxiliary, target))
        self.method, self.covering = menu("method", _SHOWN, "xla-maml"), menu("rows", _DRAWN)
        self.auxiliary, self.partner, self.target = (
            language_menu(name, codes, value)
            for name, value in (("auxiliary", auxiliary), ("and", partner), ("target", target))
        )
        self.parallel = ipywidgets.Checkbox(description="parallel: the query translates the support", **WIDE)
        self.shots, self.step = slider("shots", 8, 1, 16), slider("outer step", 0, 0, _STEPS - 1)
        self.notes, self.words, self.live, self.table = (ipywidgets.HTML() for _ in range(4))
        self.plot, self.second_plot = Plot(), Plot()
        pairs = (self.auxiliary, self.partner), (self.covering, self.parallel), (self.shots, self.step)
        on_change(self._choose, self.method)
        on_change(self.draw, self.target, *itertools.chain(*pairs))
        rows = in_a_row(self.method, self.target), *(in_a_row(*pair) for pair in pairs)
        plots = in_a_row(self.plot, self.second_plot)
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
            self.table.value = complaint("No episode:", error)
            self.figure = self.plot.show(language_roles((), self.target.value))
            self.second = self.second_plot.show(blank("No episode").update_layout(width=370, height=440))
            return
        total, step, drawn = int(self._pool(cell).sum()), self.step.value, self.covering.label
        now, other = sorted(curves, key=lambda name: name != drawn)
        whose = " and ".join(map(language_name, cell.auxiliaries[:2]))
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
            sides = {f"support, {support}": episode.support[0], f"query, {query}": episode.query}
            tables = (f"<b>{side}</b>{self._rows(batch['row'][i].tolist())}" for side, batch in sides.items())
            parts.append(f"<p><b>Task {html.escape(task)}</b></p>{beside(tables, 420)}")
        return f"<div style='max-height:480px;overflow:auto;line-height:1.35'>{''.join(parts)}</div>"

    def _rows(self, rows: Sequence[int]) -> str:
        """A table of rows of the corpus, each text above its English translation."""
        lines = []
        for row in rows:
            found, english = self.corpus[row], self.english.get(self.corpus[row]["pair"])
            english = None if found["language"] == "en" else english
            name, genre = language_name(found["language"]), found["genre"]
            line = {"": f"{html.escape(name)}<br><small>{html.escape(genre)}</small>"}
            for part, text in _texts(found).items():
                line[part] = in_script(html.escape(text), found["language"])
                if english is not None:
                    below = html.escape(_texts(self.corpus[english])[part])
                    line[part] += in_script(f"<i>{below}</i>", "en", "opacity:0.75")
            if "label" in found:
                line["label"] = self.classes[found["label"]]
            lines.append(line)
        return table(lines[0], (line.values() for line in lines), _CELL, "border-collapse:collapse;width:100%")


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a row that have a translation: sentences, or a question, its context and the first answer."""
    texts = {name: row[name] for name in ("premise", "hypothesis", "question", "context") if name in row}
    return texts | ({"answer": row["answers"]["text"][0]} if "answers" in row else {})


_CELL = "text-align:start;vertical-align:top;padding:3px 8px 3px 0;border-bottom:1px solid #888888"


def explain(cell: Cell, pairs: Sequence[tuple[str, str]], target: str) -> str:
    """What a choice of episodes means, as HTML; `pairs` are the support and the query language of each task."""
    given, asked = (list(map(language_name, dict.fromkeys(side))) for side in zip(*pairs, strict=True))
    goal, support = language_name(target), METHODS[cell.method].support
    how = {
        "same": "the step is taken and judged in the same language: <b>X-MAML</b>.",
        "en": "the step is taken in one language and judged in another: <b>XLA-MAML</b>.",
        "target": "the step is taken in the target language and judged in another: <b>few-shot XLA-MAML</b>.",
    }
    own = f"<b>{METHODS[cell.method].title}</b>."
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
        words = f"Support in {given[0]}, query in {asked[0]}: {how.get(support.name, own)}"
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
