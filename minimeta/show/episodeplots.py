"""Pictures of episodes and of transfer: languages and their parts, rows seen so far, and who helps whom.

As in `plots`, the data come first, then the drawing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from ..errors import InputError
from ..studies.comparisons import REST, Results
from ..studies.methods import ENGLISH, KINDS, METHODS, Cell
from ..tasks import Episode, Sampler
from ..text.languages import FAMILIES, LANGUAGES
from ..text.metrics import metric_of
from .plots import COLOURS, DASHES, blank
from .treeplots import dendrogram, dendrogram_data

if TYPE_CHECKING:
    import pandas as pd

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
    """What each of the 15 languages is: one of ROLES. `pairs` are the support and query language of each task."""
    support, query = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    found = {}
    for code in LANGUAGES:
        parts = [("target", code == target), ("support", code in support), ("query", code in query)]
        found[code] = " and ".join(part for part, there in parts if there) or "not in the episode"
    return found


def language_roles(pairs: Sequence[tuple[str, str]], target: str) -> go.Figure:
    """The languages of an episode on the phylogeny (all 15, `FAMILIES`), `←` from a query to its support."""
    role = roles(pairs, target)
    arrows = {asked: f" ← {given}" for given, asked in pairs}  # in all methods one support for each query
    names = {code: f"{language.name} ({code}){arrows.get(code, '')}" for code, language in LANGUAGES.items()}
    root = FAMILIES.rename(names)
    figure = dendrogram(root, {names[code]: role[code] for code in names}, "Languages (query ← its support)")
    for rank, (name, look) in enumerate(ROLES.items()):
        big = {"size": 9 if name == "not in the episode" else 13}
        figure.update_traces(selector={"name": name}, marker=look | big, legendrank=rank)
    data = dendrogram_data(root)
    inner = [i for i in range(1, len(data.names)) if i not in data.leaves]
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


def transfer_data(
    results: Results, method: str, control: str, kind: str = "zero-shot", metric: str | None = None
) -> pd.DataFrame:
    """The gain of a method over a control: a row for each auxiliary (or pair, "bg+de"), a column for each target.

    In points of one of the METRICS of the task, the first without `metric`; the mean over the seeds that both have,
    NaN where there is nothing to compare. In the row en the method XLA-MAML is X-MAML, for its support is English.
    Methods and kinds are named as in `recipes`; the cells are those with random rows. Raises InputError for an
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
    targets = [code for code in LANGUAGES if any(code in record["results"] for record in results.records)]
    order = list(LANGUAGES).index
    trained = {cell.auxiliaries for cell in found if cell.auxiliaries not in ((), REST)}
    table = {}
    for auxiliaries in sorted(trained, key=lambda codes: (len(codes), [order(code) for code in codes])):
        cells = compared_cells(found, method, control, auxiliaries)
        gains = table["+".join(auxiliaries)] = dict.fromkeys(targets, np.nan)
        for target in targets if cells else ():
            ours, theirs = (by_seed(found[cell], target, kind, metric) for cell in cells)
            both = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
            gains[target] = np.mean(both) if both else np.nan
    return pd.DataFrame.from_dict(table, "index", columns=targets, dtype=float)


def compared_cells(
    found: Container[Cell], method: str, control: str, auxiliaries: tuple[str, ...]
) -> tuple[Cell, Cell] | None:
    """Those of the cells found that are a method and its control with these auxiliaries; None if one was not run."""
    for by_genre in (False, True):
        pair = []
        for name in (method, control):
            own = "x-maml" if auxiliaries == ("en",) and METHODS[name].support is ENGLISH else name
            pair.append(Cell(own, auxiliaries if METHODS[own].trains else (), by_genre))
        if pair[0] != pair[1] and all(cell in found for cell in pair):
            return pair[0], pair[1]
    return None


def by_seed(records: Iterable[dict[str, Any]], target: str, kind: str, metric: str) -> dict[int, float]:
    """A metric (%) of a cell's records on a target, by seed."""
    scores = {record["seed"]: record["results"].get(target, {}).get(kind) for record in records}
    return {seed: score[metric] for seed, score in scores.items() if score}


def transfer_map(data: pd.DataFrame, title: str, chosen: tuple[str, str] | None = None) -> go.Figure:
    """Gains (auxiliaries x targets, points) as a heat map: blue above 0, orange below, white at 0, empty where NaN.

    `chosen` is an auxiliary and a target to put a frame around. `customdata` of a cell is its number, row by row.
    """
    values = data.to_numpy(float)
    n, m = values.shape
    if not n or not m or not np.isfinite(values).any():
        raise InputError("There is nothing to draw: the table of gains has no number in it.")
    most = max(float(np.nanmax(np.abs(values))), 0.1)
    names = [" + ".join(LANGUAGES[code].name for code in row.split("+")) for row in data.index]
    targets = [LANGUAGES[code].name for code in data.columns]
    notes = [
        [f"{name} → {target}: " + ("nothing to compare" if np.isnan(v) else f"{v:+.1f} points")
         for target, v in zip(targets, row, strict=True)]
        for name, row in zip(names, values, strict=True)
    ]  # fmt: skip
    figure = blank(title, "target, scored", "auxiliary, trained on", height=190 + 30 * n)
    figure.add_heatmap(
        x=list(range(m)), y=list(range(n)), z=values, zmin=-most, zmax=most,
        colorscale=[[0, COLOURS[1]], [0.5, "#FFFFFF"], [1, COLOURS[0]]],
        text=[["" if np.isnan(v) else f"{v:+.1f}" for v in row] for row in values], texttemplate="%{text}",
        customdata=np.arange(n * m).reshape(n, m).tolist(), hovertext=notes, hoverinfo="text", xgap=1, ygap=1,
        colorbar={"title": {"text": "points"}, "tickformat": "+.1f", "thickness": 15},
    )  # fmt: skip
    if chosen:
        y, x = list(data.index).index(chosen[0]), list(data.columns).index(chosen[1])
        line = {"color": "#000000", "width": 3}
        figure.add_shape(type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line=line)
    axis = {"showgrid": False, "zeroline": False, "ticks": "", "automargin": True}
    figure.update_layout(
        width=max(560, 260 + 44 * m),  # room for a number in each cell
        title={"xref": "container", "x": 0.01},
        plot_bgcolor="#EEEEEE",
        xaxis=axis | {"tickvals": list(range(m)), "ticktext": targets, "range": [-0.5, m - 0.5], "side": "bottom"},
        yaxis=axis | {"tickvals": list(range(n)), "ticktext": names, "range": [n - 0.5, -0.5]},
    )
    return figure
