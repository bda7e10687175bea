"""Pictures of task trees: a dendrogram, its nodes at the inner steps, and two trees side by side.

The data come first, then the drawing. `customdata` of a drawn node is its position in `TaskTree.nodes`, so that a
click leads back to it. Names are data, not markup: a leaf `<b>x</b>` is shown as written.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from ..errors import InputError, some
from ..text.languages import language
from ..trees import TaskTree
from .style import COLOURS, INK, LEGEND_ABOVE, SYMBOLS, blank, plain

_ROW = 9  # height in pixels that a written name needs
_SCALES = {  # what each scale is called on an axis, and on hover
    "ω": ("mean similarity (of all pairs below)", "mean similarity"),
    "length": ("length from the root", "length"),
    "depth": ("edges from the root", "depth"),
}


class Dendrogram(NamedTuple):
    """Where the n nodes of a tree stand, each field in the order of `TaskTree.nodes`."""

    names: list[str]
    x: np.ndarray  # (n,) in units of `scale`
    y: np.ndarray  # (n,) leaves at 0, -1, -2, ...; a node in the middle of its children
    sizes: np.ndarray  # (n,) number of leaves at or below the node
    parents: np.ndarray  # (n,) position of the parent, -1 for the root
    leaves: np.ndarray  # positions of the leaves, in the order of `TaskTree.leaves`
    scale: str  # what x is: "ω" (mean similarity), "length" or "depth"

    @property
    def inner(self) -> np.ndarray:
        """Positions of the nodes that are no leaves."""
        return np.setdiff1d(np.arange(len(self.names)), self.leaves)


def dendrogram_data(root: TaskTree, order: Mapping[str, float] | None = None) -> Dendrogram:
    """Where to draw each node of `root`, and how many leaves it has.

    x is the sum of the lengths from the root down ("length"), or, if the tree says that they add up to it
    (`TaskTree.omega`), the mean similarity. Where a length is missing, or all are 0, x counts edges ("depth"). With
    `order`, a number per leaf, children are turned until their leaves stand in that order as nearly as their means
    allow; the tree stays the same. Raises InputError if lengths add up to more than a number can hold.
    """
    nodes = list(root.nodes)
    position = {id(node): i for i, node in enumerate(nodes)}
    below = [[position[id(child)] for child in node.children] for node in nodes]
    parents = np.full(len(nodes), -1)
    for i, children in enumerate(below):
        parents[children] = i
    leaves = np.array([i for i, children in enumerate(below) if not children])

    edges = [node.length for node in nodes[1:]]
    if root.omega and None not in (root.length, *edges):
        scale, x = "ω", np.array([root.length, *edges])
    elif any(edges) and None not in edges:
        scale, x = "length", np.array([0.0, *edges])  # what is above the root is not in the picture
    else:
        scale, x = "depth", np.array([0.0] + [1.0] * len(edges))
    sizes, sums = np.zeros(len(nodes), int), np.zeros(len(nodes))
    sizes[leaves], sums[leaves] = 1, [order[leaf] for leaf in root.leaves] if order else range(len(leaves))
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(1, len(nodes)):
            x[i] += x[parents[i]]
        wide = x.max() - x.min()
    if not np.isfinite(wide):
        raise InputError("The lengths of the tree add up to more than a number can hold; give them in a larger unit.")
    for i in range(len(nodes) - 1, 0, -1):
        sizes[parents[i]] += sizes[i]
        sums[parents[i]] += sums[i]

    means, y, stack, drawn = sums / sizes, np.zeros(len(nodes)), [0], []
    while stack:
        drawn.append(stack.pop())
        stack += sorted(below[drawn[-1]], key=lambda i: means[i], reverse=True)
    y[[i for i in drawn if not below[i]]] = -np.arange(len(leaves), dtype=float)
    for i in reversed(drawn):
        if below[i]:
            y[i] = y[below[i]].mean()
    return Dendrogram([node.name for node in nodes], x, y, sizes, parents, leaves, scale)


def dendrogram(
    root: TaskTree,
    labels: Mapping[str, object] | None = None,
    title: str = "Task tree",
    notes: Sequence[str] | None = None,
    rings: Sequence[int] = (),
) -> go.Figure:
    """A tree from left to right, the leaves with a colour (beyond 8 labels also a shape) per label.

    `labels` gives each leaf's label; the colours follow its order, so a growing tree keeps them if it is given all
    labels from the start. `notes`, one per node in the order of `TaskTree.nodes`, are shown on hover below name,
    size and mean similarity; `rings` are positions of nodes to mark, the first in dark, the second in light grey. With
    more than 100 leaves there is no room for names: the labels stand in their place.
    """
    data, (label_of, looks) = dendrogram_data(root), _looks(root, labels)
    hover, row = _hover(data, label_of, notes), _row(len(data.leaves))
    figure = blank(title, _SCALES[data.scale][0], height=110 + round(max(200, row * len(data.leaves))))
    traces = _tree_traces(data, hover, row)
    if len(rings):
        marker = {"symbol": "circle-open", "size": 17, "color": [INK, "#BBBBBB"], "line": {"width": 3}}
        at = {"x": data.x[rings], "y": data.y[rings], "marker": marker}
        traces.insert(0, _QUIET | at | {"mode": "markers"})
    for label, look in looks.items():
        spots = [i for i in data.leaves if label_of[data.names[i]] == label]
        marker = look | {"size": _marker(row)}
        traces.append(_nodes(data, spots, hover, marker, name=plain(label), showlegend=labels is not None))
    figure.add_traces(traces)
    ticks = names_along(data.y[data.leaves], root.leaves, row)
    if labels is not None and row < _ROW:
        runs = [list(run) for _, run in itertools.groupby(data.leaves, lambda i: label_of[data.names[i]])]
        tall = [run for run in runs if len(run) * row >= 12]
        shown = [label_of[data.names[run[0]]] for run in tall]
        ticks = names_along([data.y[run].mean() for run in tall], shown, row=12)
    figure.update_layout(
        legend={"x": -0.02, "xanchor": "right", "itemwidth": 30},  # on the left, for names are on the right
        xaxis=_across(data),
        yaxis=ticks | {"side": "right", "range": [0.3 - len(data.leaves), 0.7], "showgrid": False, "zeroline": False},
    )
    return figure


class Stage(NamedTuple):
    """What stays as it is while a tree grows: the final order of its tasks, the lowest x, how many nodes there were."""

    order: dict[str, int]
    low: float
    nodes: int


def growing(
    root: TaskTree,
    ids: Sequence[int],
    labels: Mapping[str, object],
    title: str,
    stage: Stage,
    notes: Sequence[str] | None = None,
    rings: Sequence[int] = (),
) -> go.Figure:
    """One picture of a growing tree, drawn so that plotly can move every node to its place in the next picture.

    Axes and traces are the same in all pictures of a `stage`. `ids` (n,) says which node is which, in the order of
    `TaskTree.nodes`: edges and marks are drawn in this order. `labels` may hold tasks that are still to come. The first
    of `rings` is marked with a ring, the second with a square. Up to 57 tasks have their names beside them.
    """
    data, (label_of, looks) = dendrogram_data(root, stage.order), _looks(root, labels)
    hover, count = _hover(data, label_of, notes), len(stage.order)
    row = max(min(22, 520 / count), min(_ROW, 900 / count))
    figure = blank(title, _SCALES[data.scale][0], height=150 + round(max(200, row * count)))
    place, ids = np.c_[data.x, data.y], np.asarray(ids)
    edges = np.full((stage.nodes, 4, 2), np.nan)
    edges[:, :3] = place[0]  # a node that is not there (yet) waits at the root
    edges[ids[1:], 0] = place[data.parents[1:]]
    edges[ids[1:], 1] = np.c_[data.x[data.parents[1:]], data.y[1:]]
    edges[ids[1:], 2] = place[1:]
    x, y = edges.reshape(-1, 2).T
    marks = {"symbol": ["circle-open", "square-open"], "size": 17, "color": INK, "line": {"width": 3}}
    at = {"x": data.x[rings], "y": data.y[rings], "ids": [str(ids[i]) for i in rings], "marker": marks}
    figure.add_trace(_QUIET | at | {"mode": "markers"})
    figure.add_trace(_QUIET | {"x": x, "y": y, "line": {"color": "#888888", "width": 1.2, "simplify": False}})
    inner = _nodes(data, data.inner, hover, {"color": "#888888", "size": 0.8 * _marker(row)})
    figure.add_trace(inner | {"ids": [str(ids[i]) for i in data.inner], "name": "inner nodes", "showlegend": False})
    for label, look in looks.items():
        spots = [i for i in data.leaves if label_of[data.names[i]] == label]
        trace = _nodes(data, spots, hover, look, name=plain(label))
        # A first point of no size at the root, so that plotly knows the trace before its first task comes.
        trace |= {key: [first, *trace[key]] for key, first in {"x": data.x[0], "y": data.y[0]}.items()}
        trace |= {key: [None, *trace[key]] for key in ("customdata", "hovertext")}
        trace["marker"] = look | {"size": [0] + [_marker(row)] * len(spots), "opacity": 1, "line": {"width": 0}}
        trace["hoverinfo"] = ["skip"] + ["text"] * len(spots)
        if row >= _ROW:
            texts = ["", *(plain(data.names[i], 14) for i in spots)]
            trace |= {"mode": "markers+text", "text": texts, "textposition": "middle right", "cliponaxis": False}
        figure.add_trace(trace | {"ids": ["", *(str(ids[i]) for i in spots)], "textfont": {"size": _font(row)}})
    pad, letters = 0.04 * (1 - stage.low), min(14, max(map(len, stage.order)))
    width, left, right = 470, 15, 25 + (row >= _ROW) * 0.6 * _font(row) * letters
    column = 45 + 7 * max(len(plain(label)) for label in looks)  # an entry of the legend, in pixels
    in_a_row = max(1, (width - left) // column)
    above = max(90, 50 + 20 * math.ceil(len(looks) / in_a_row))  # the title, and the legend's rows under it
    height = figure.layout.height + above - 90
    figure.update_layout(
        width=width,
        height=height,
        margin={"l": left, "r": right, "t": above},
        title={"yref": "container", "y": 1 - 40 / height, "yanchor": "middle"},
        legend=LEGEND_ABOVE | {"itemwidth": 30},
        xaxis={"range": [stage.low - pad, 1 + pad], "showgrid": False, "zeroline": False},
        yaxis={"visible": False, "range": [0.3 - count, 0.7]},
    )
    return figure


def language_tree(root: TaskTree, title: str) -> go.Figure:
    """A tree of languages, its leaves their codes, drawn with their names and in the colours of their branches."""
    names = {code: f"{language(code).name} ({code})" for code in root.leaves}
    branches = {names[code]: language(code).branch or "unknown" for code in root.leaves}
    return dendrogram(root.rename(names), branches, title)


def tree(root: TaskTree, title: str, names: Mapping[str, str] | None = None) -> go.Figure:
    """A tree from left to right, a node where its inner step is, the root at step 1; `names` renames leaves."""
    data = dendrogram_data(root.rename(names or {}))
    depth, steps = np.zeros(len(data.x)), root.depth + 1
    for i, parent in enumerate(data.parents[1:], 1):
        depth[i] = depth[parent] + 1
    figure = blank(title, height=max(320, 26 * len(data.leaves) + 110))
    figure.add_trace(_edges(data._replace(x=depth)))
    for spots, position, colour in ((data.inner, "top left", COLOURS[1]), (data.leaves, "middle right", COLOURS[0])):
        figure.add_scatter(
            x=depth[spots], y=data.y[spots], text=[plain(data.names[i]) for i in spots], mode="markers+text",
            textposition=position, marker={"color": colour, "size": 8}, showlegend=False, hoverinfo="text",
        )  # fmt: skip
    ticks = {"tickvals": list(range(steps)), "ticktext": [f"step {k + 1}" for k in range(steps)]}
    figure.update_xaxes(range=[-0.5, steps + 0.3], showgrid=False, zeroline=False, **ticks)
    return figure.update_yaxes(visible=False)


def side_by_side(
    left: TaskTree,
    right: TaskTree,
    labels: Mapping[str, object] | None = None,
    title: str = "Two trees over the same tasks",
    names: tuple[str, str] = ("left", "right"),
) -> go.Figure:
    """Two trees over the same leaves, a line from each leaf to itself; both are turned so that few lines cross.

    Below the title stands their Robinson-Foulds distance and, given `labels`, the dendrogram purity of each.
    Raises InputError if the trees have other leaves or a leaf has no label.
    """
    said = f"Robinson–Foulds distance {left.robinson_foulds(right):.2f}"
    label_of, looks = _looks(left, labels)
    if labels is not None:
        both = zip(names, (left, right), strict=True)
        said += "; purity " + ", ".join(f"{each.purity(label_of):.2f} ({plain(name)})" for name, each in both)
    two, n = dendrogram_data(right), len(left.leaves)
    for _ in range(2):  # each turns towards the other
        one = dendrogram_data(left, _ranks(two))
        two = dendrogram_data(right, _ranks(one))
    row = _row(n)
    figure = blank(title, height=150 + round(max(200, row * n)))
    inset = 0.05
    if row >= _ROW:  # room for the names, in a middle about 290 pixels wide
        inset += min(14, max(map(len, left.leaves))) * 0.6 * _font(row) / 290
    traces = []
    for data, name, axis, x, place in ((one, names[0], "x", 0.01, "right"), (two, names[1], "x3", 0.99, "left")):
        hover, spots = _hover(data, label_of, None), data.leaves
        traces += _tree_traces(data, hover, row, axis)
        shown = [looks[label_of[data.names[i]]] for i in spots]
        marker = {key: [look[key] for look in shown] for key in ("color", "symbol")} | {"size": _marker(row)}
        traces.append(_nodes(data, spots, hover, marker, name=plain(name), xaxis=axis, showlegend=False))
        if row >= _ROW:
            texts = {"mode": "text", "text": [plain(data.names[i], 14) for i in spots], "textfont_size": _font(row)}
            more = {"textposition": f"middle {place}", "hoverinfo": "skip", "showlegend": False}
            traces.append({"x": [x] * n, "y": data.y[spots], "xaxis": "x2", **texts, **more})
    start, end = _ranks(one), _ranks(two)
    for label, look in looks.items():
        leaves = [leaf for leaf in left.leaves if label_of[leaf] == label]
        traces.append({
            "x": [inset, 1 - inset, None] * len(leaves), "y": [y for f in leaves for y in (-start[f], -end[f], None)],
            "xaxis": "x2", "mode": "lines+markers", "line": {"width": 1.2, "color": look["color"]}, "opacity": 0.7,
            "marker": look | {"size": 0.7 * _marker(row)}, "name": plain(label), "showlegend": labels is not None,
            "hovertext": [plain(leaf, 60) for leaf in leaves for _ in range(3)], "hoverinfo": "text",
        })  # fmt: skip
    figure.add_traces(traces)
    axes = [
        _across(data)
        | {"side": "top", "title": {"text": f"{plain(name)}: {_SCALES[data.scale][1]}", "font": {"size": 12}}}
        for data, name in ((one, names[0]), (two, names[1]))
    ]
    figure.update_layout(
        width=900,
        margin={"t": 130, "b": 20},
        # Two lines, and no `subtitle`: where a figure is drawn unseen (a folded output), plotly lays that on the title.
        title={
            "text": f'{title}<br><span style="font-size: 12px">{said}</span>',
            "yref": "container",
            "y": 1 - 25 / figure.layout.height,
        },
        legend_itemwidth=30,
        xaxis=axes[0] | {"domain": [0, 0.29]},
        xaxis2={"domain": [0.29, 0.71], "range": [0, 1], "visible": False},
        xaxis3=axes[1] | {"domain": [0.71, 1], "range": axes[1]["range"][::-1]},
        yaxis={"range": [0.3 - n, 0.7], "visible": False},
    )
    return figure


def _looks(root: TaskTree, labels: Mapping[str, object] | None) -> tuple[dict[str, str], dict[str, dict]]:
    """The label of each leaf as text ("" without labels), and the marker of each label."""
    missing = [leaf for leaf in root.leaves if labels is not None and leaf not in labels]
    if missing:
        raise InputError(f"The picture needs a label for every leaf; {some(missing)} has none.")
    label_of = {leaf: str(label) for leaf, label in (labels or dict.fromkeys(root.leaves, "")).items()}
    marks = itertools.cycle({"color": colour, "symbol": symbol} for symbol in SYMBOLS for colour in COLOURS)
    return label_of, dict(zip(dict.fromkeys(label_of.values()), marks, strict=False))


def _hover(data: Dendrogram, label_of: Mapping[str, str], notes: Sequence[str] | None) -> list[str]:
    """The hover text of each node."""
    if notes is not None and len(notes) != len(data.names):
        raise InputError(f"Expected a note for each of the {len(data.names)} nodes of the tree; got {len(notes)}.")
    label_at = {i: label_of[data.names[i]] for i in data.leaves}
    texts = []
    for i, (name, x, size) in enumerate(zip(data.names, data.x, data.sizes, strict=True)):
        place = f"{_SCALES[data.scale][1]} {x:.{0 if data.scale == 'depth' else 2}f}"
        leaves = "1 leaf" if size == 1 else f"{size} leaves"
        lines = plain(name, 60) or "inner node", plain(label_at.get(i, "")), leaves, place
        texts.append("<br>".join(filter(None, [*lines, plain(notes[i], 200) if notes else ""])))
    return texts


def _tree_traces(data: Dendrogram, hover: list[str], row: float, axis: str = "x") -> list[dict]:
    """Dotted lines on which the eye finds the name of a leaf, edges, and inner nodes: one trace each."""
    x, y = data.x, data.y
    ends = data.leaves[~np.isclose(x[data.leaves], x.max())]
    far, gap = np.full(len(x), _across(data)["range"][1]), np.full(len(x), np.nan)
    guides = np.c_[x, far, gap][ends], np.c_[y, y, gap][ends]
    dotted = {"x": guides[0].ravel(), "y": guides[1].ravel(), "line": {"color": "#CCCCCC", "width": 1, "dash": "dot"}}
    traces = [dotted | _QUIET, _edges(data, width=1.2)]
    marker = {"color": INK, "size": 0.8 * _marker(row)}
    inner = _nodes(data, data.inner, hover, marker, name="inner nodes", showlegend=False)
    return [trace | {"xaxis": axis} for trace in (*traces, inner)]


_QUIET = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}


def _edges(data: Dendrogram, **line: float) -> dict:
    """The trace of all edges, each from its parent down or up, and then across."""
    x, y, up, gap = data.x, data.y, data.parents[1:], np.full(len(data.x) - 1, np.nan)
    xs, ys = np.c_[x[up], x[up], x[1:], gap], np.c_[y[up], y[1:], y[1:], gap]
    return _QUIET | {"x": xs.ravel(), "y": ys.ravel(), "line": {"color": "#888888", **line}}


def _nodes(data: Dendrogram, spots: Sequence[int], hover: list[str], marker: dict, **more: object) -> dict:
    """The trace of the nodes at positions `spots`."""
    spots = np.asarray(spots, int)
    place = {"x": data.x[spots], "y": data.y[spots], "customdata": spots.tolist(), "mode": "markers", "marker": marker}
    return {**place, "hovertext": [hover[i] for i in spots], "hoverinfo": "text", **more}


def _ranks(data: Dendrogram) -> dict[str, float]:
    """The place of each leaf, counted from the top."""
    return {data.names[i]: -data.y[i] for i in data.leaves}


def _row(leaves: int) -> float:
    """The height of a leaf's row in pixels: 22 for few leaves, 9 for a hundred, less beyond."""
    return max(min(22, 640 / leaves), min(_ROW, 900 / leaves))


def _font(row: float) -> float:
    return min(12, 0.9 * row)


def _marker(row: float) -> float:
    return min(9, max(5, 0.6 * row))


def _across(data: Dendrogram) -> dict:
    low, high = data.x.min(), data.x.max()
    pad = 0.04 * (high - low) or 0.5
    whole = {"dtick": max(1, high // 8)} if data.scale == "depth" else {}
    return {"range": [low - pad, high + pad], "showgrid": False, "zeroline": False} | whole


def names_along(places: Sequence[float] | np.ndarray, names: Sequence[str], row: float) -> dict:
    """Names along an axis, hidden if they would overlap; the hover of a heat map finds them either way."""
    texts = {"tickvals": places, "ticktext": [plain(name) for name in names], "tickfont": {"size": _font(row)}}
    distance = {"ticks": "outside", "ticklen": 4, "tickcolor": "rgba(0, 0, 0, 0)"}
    return {**texts, **distance, "showticklabels": row >= _ROW, "automargin": True}
