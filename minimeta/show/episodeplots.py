"""Pictures of episodes: what each language is in one, and how many rows have been seen so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from ..tasks import Episode, Sampler
from ..text.languages import FAMILIES, LANGUAGES, ordered
from ..trees import TaskTree
from .style import COLOURS, DASHES, blank, language_name
from .treeplots import dendrogram, dendrogram_data

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
    for code in ordered({*LANGUAGES, *support, *query, target}):
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
        textposition="top left", textfont={"size": 10, "color": "#444444"}, hoverinfo="skip",
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
