"""Pictures of task trees: a dendrogram, two trees side by side, and similarities in the order of a tree's leaves.

As in `plots`, the data come first (`..._data`), then the drawing. `customdata` of a drawn node is its position in
`TaskTree.nodes`, so that a click leads back to it. Names are data, not markup: a leaf `<b>x</b>` is shown as written.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from ..errors import InputError, some
from ..trees import TaskTree
from .plots import COLOURS, blank

_ROW = 9  # height in pixels that a written name needs
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hourglass")
_SCALES = {"ω": "ω, mean pairwise cosine similarity", "length": "length from the root", "depth": "edges from the root"}


class Dendrogram(NamedTuple):
    """Where the n nodes of a tree stand, each field in the order of `TaskTree.nodes`."""

    names: list[str]
    x: np.ndarray  # (n,) in units of `scale`
    y: np.ndarray  # (n,) leaves at 0, -1, -2, ...; a node in the middle of its children
    sizes: np.ndarray  # (n,) number of leaves at or below the node
    parents: np.ndarray  # (n,) position of the parent, -1 for the root
    leaves: np.ndarray  # positions of the leaves, in the order of `TaskTree.leaves`
    scale: str  # what x is: "ω", "length" or "depth"


def dendrogram_data(root: TaskTree, order: Mapping[str, float] | None = None) -> Dendrogram:
    """Where to draw each node of `root`, and how many leaves it has.

    x is the sum of the lengths from the root down ("length"), or, if the tree says that they add up to it
    (`TaskTree.omega`), ω. Where a length is missing, or all are 0, x counts edges ("depth"). With `order`, a number
    per leaf, children are turned until their leaves stand in that order as nearly as their means allow; the tree stays
    the same. Raises InputError if lengths add up to more than a number can hold.
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
) -> go.Figure:
    """A tree from left to right, the leaves with a colour (beyond 8 labels also a shape) per label.

    `labels` gives each leaf's label; the colours follow its order, so a growing tree keeps them if it is given all
    labels from the start. `notes`, one per node in the order of `TaskTree.nodes`, are shown on hover below name,
    size and ω. With more than 100 leaves there is no room for names: the labels stand in their place.
    """
    data, (label_of, looks) = dendrogram_data(root), _looks(root, labels)
    hover, row = _hover(data, label_of, notes), _row(len(data.leaves))
    figure = blank(title, _SCALES[data.scale], height=110 + round(max(200, row * len(data.leaves))))
    traces = _tree_traces(data, hover, row)
    for label, look in looks.items():
        spots = [i for i in data.leaves if label_of[data.names[i]] == label]
        marker = look | {"size": _marker(row)}
        traces.append(_nodes(data, spots, hover, marker, name=_text(label), showlegend=labels is not None))
    figure.add_traces(traces)
    ticks = _ticks(data.y[data.leaves], root.leaves, row)
    if labels is not None and row < _ROW:
        runs = [list(run) for _, run in itertools.groupby(data.leaves, lambda i: label_of[data.names[i]])]
        tall = [run for run in runs if len(run) * row >= 12]
        ticks = _ticks([data.y[run].mean() for run in tall], [label_of[data.names[run[0]]] for run in tall], row=12)
    figure.update_layout(
        legend={"x": -0.02, "xanchor": "right", "itemwidth": 30},  # on the left, for names are on the right
        xaxis=_across(data),
        yaxis=ticks | {"side": "right", "range": [0.3 - len(data.leaves), 0.7], "showgrid": False, "zeroline": False},
    )
    return figure


def side_by_side(
    left: TaskTree,
    right: TaskTree,
    labels: Mapping[str, object] | None = None,
    title: str = "Two trees over the same tasks",
    names: tuple[str, str] = ("left", "right"),
) -> go.Figure:
    """Two trees over the same leaves, a line from each leaf to itself; both are turned so that few lines cross.

    The subtitle says their Robinson-Foulds distance and, given `labels`, the dendrogram purity of each.
    Raises InputError if the trees have other leaves or a leaf has no label.
    """
    said = f"Robinson–Foulds distance {left.robinson_foulds(right):.2f}"
    label_of, looks = _looks(left, labels)
    if labels is not None:
        both = zip(names, (left, right), strict=True)
        said += "; purity " + ", ".join(f"{tree.purity(label_of):.2f} ({_text(name)})" for name, tree in both)
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
        traces.append(_nodes(data, spots, hover, marker, name=_text(name), xaxis=axis, showlegend=False))
        if row >= _ROW:
            texts = {"mode": "text", "text": [_text(data.names[i], 14) for i in spots], "textfont_size": _font(row)}
            more = {"textposition": f"middle {place}", "hoverinfo": "skip", "showlegend": False}
            traces.append({"x": [x] * n, "y": data.y[spots], "xaxis": "x2", **texts, **more})
    start, end = _ranks(one), _ranks(two)
    for label, look in looks.items():
        leaves = [leaf for leaf in left.leaves if label_of[leaf] == label]
        traces.append({
            "x": [inset, 1 - inset, None] * len(leaves), "y": [y for f in leaves for y in (-start[f], -end[f], None)],
            "xaxis": "x2", "mode": "lines+markers", "line": {"width": 1.2, "color": look["color"]}, "opacity": 0.7,
            "marker": look | {"size": 0.7 * _marker(row)}, "name": _text(label), "showlegend": labels is not None,
            "hovertext": [_text(leaf, 60) for leaf in leaves for _ in range(3)], "hoverinfo": "text",
        })  # fmt: skip
    figure.add_traces(traces)
    axes = [
        _across(data) | {"side": "top", "title": {"text": f"{_text(name)}: {data.scale}", "font": {"size": 12}}}
        for data, name in ((one, names[0]), (two, names[1]))
    ]
    figure.update_layout(
        width=900,
        margin={"t": 130, "b": 20},
        title={"subtitle": {"text": said}, "yref": "container", "y": 1 - 25 / figure.layout.height},
        legend_itemwidth=30,
        xaxis=axes[0] | {"domain": [0, 0.29]},
        xaxis2={"domain": [0.29, 0.71], "range": [0, 1], "visible": False},
        xaxis3=axes[1] | {"domain": [0.71, 1], "range": axes[1]["range"][::-1]},
        yaxis={"range": [0.3 - n, 0.7], "visible": False},
    )
    return figure


def similarities(vectors: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """The cosine similarities (n, n) of `vectors` (n, d); raises InputError if one is zero or not finite."""
    rows = np.asarray(vectors, float)
    if rows.ndim != 2 or not np.isfinite(rows).all() or not (norms := np.linalg.norm(rows, axis=1)).all():
        raise InputError("Similarities need vectors (n, d) of finite numbers, none of them all zeros.")
    rows = rows / norms[:, None]
    return rows @ rows.T


def heatmap_data(root: TaskTree, matrix: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, dict[int, list[int]]]:
    """The matrix (n, n) in the order of the tree's leaves, and where the subtrees of levels 1 and 2 meet.

    `names` (n,) are the leaves of the matrix's rows. A boundary i lies before leaf i; two leaves with the same parent
    have none between them. Raises InputError if names and leaves differ, or the matrix is not (n, n) or not finite.
    """
    n, values, meet = len(root.leaves), np.asarray(matrix, float), {1: [], 2: []}
    if sorted(names) != sorted(root.leaves):
        odd = sorted(set(names) ^ set(root.leaves)) or sorted(names)
        raise InputError(f"The similarities need one row for each leaf of the tree; {some(odd)} does not fit.")
    if values.shape != (n, n) or not np.isfinite(values).all():
        raise InputError(f"Expected {n} × {n} finite similarities, one per pair of leaves; got shape {values.shape}.")
    row = {name: i for i, name in enumerate(names)}
    order = [row[leaf] for leaf in root.leaves]
    for i, (a, b) in enumerate(itertools.pairwise(root.paths().values()), 1):
        shared = sum(x == y for x, y in zip(a, b, strict=False))  # nodes above both leaves
        if shared in meet and max(len(a), len(b)) > shared + 1:
            meet[shared].append(i)
    return values[np.ix_(order, order)], meet


def heatmap(
    root: TaskTree, matrix: np.ndarray, names: Sequence[str], title: str = "Similarity of the tasks"
) -> go.Figure:
    """Similarities (n, n), as from `similarities`, in the order of the tree's leaves; `names` (n,) are its rows.

    Blue is below 0, orange above; full colour is the largest value off the diagonal. Dark lines part the subtrees
    of level 1, grey ones those of level 2.
    """
    values, meet = heatmap_data(root, matrix, names)
    n = len(values)
    off = np.abs(values[~np.eye(n, dtype=bool)])
    most = float(off.max()) if off.any() else 1.0
    figure = blank(title, height=700)
    figure.add_heatmap(
        z=values, zmin=-most, zmax=most, colorscale=[[0, COLOURS[0]], [0.5, "#FFFFFF"], [1, COLOURS[1]]],
        hovertemplate="%{x}<br>%{y}<br>similarity %{z:.2f}<extra></extra>", colorbar={"title": {"text": "similarity"}},
    )  # fmt: skip
    for level, line in ((2, {"color": "#777777", "width": 0.8}), (1, {"color": "#000000", "width": 1.5})):
        xs = [x for i in meet[level] for x in (i - 0.5, i - 0.5, None, -0.5, n - 0.5, None)]
        ys = [y for i in meet[level] for y in (-0.5, n - 0.5, None, i - 0.5, i - 0.5, None)]
        figure.add_scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    axis = {"range": [-0.5, n - 0.5], "showgrid": False, "zeroline": False, "constrain": "domain"}
    axis |= _ticks(np.arange(n), root.leaves, 540 / n)
    upright = max(map(len, root.leaves)) * 0.6 * 12 > 540 / n
    figure.update_layout(
        xaxis=axis | {"tickangle": -90 if upright else 0}, yaxis=axis | {"range": [n - 0.5, -0.5], "scaleanchor": "x"}
    )
    return figure


def _looks(root: TaskTree, labels: Mapping[str, object] | None) -> tuple[dict[str, str], dict[str, dict]]:
    """The label of each leaf as text ("" without labels), and the marker of each label."""
    missing = [leaf for leaf in root.leaves if labels is not None and leaf not in labels]
    if missing:
        raise InputError(f"The picture needs a label for every leaf; {some(missing)} has none.")
    label_of = {leaf: str(label) for leaf, label in (labels or dict.fromkeys(root.leaves, "")).items()}
    marks = enumerate(dict.fromkeys(label_of.values()))
    k = len(COLOURS)
    return label_of, {m: {"color": COLOURS[i % k], "symbol": SYMBOLS[i // k % len(SYMBOLS)]} for i, m in marks}


def _hover(data: Dendrogram, label_of: Mapping[str, str], notes: Sequence[str] | None) -> list[str]:
    """The hover text of each node."""
    if notes is not None and len(notes) != len(data.names):
        raise InputError(f"Expected a note for each of the {len(data.names)} nodes of the tree; got {len(notes)}.")
    label_at = {i: label_of[data.names[i]] for i in data.leaves}
    texts = []
    for i, (name, x, size) in enumerate(zip(data.names, data.x, data.sizes, strict=True)):
        leaves, place = (
            f"{size} {'leaf' if size == 1 else 'leaves'}",
            f"{x:.0f}" if data.scale == "depth" else f"{x:.2f}",
        )
        lines = [_text(name, 60) or "inner node", _text(label_at.get(i, "")), leaves, f"{data.scale} {place}"]
        texts.append("<br>".join(filter(None, [*lines, _text(notes[i], 200) if notes else ""])))
    return texts


def _tree_traces(data: Dendrogram, hover: list[str], row: float, axis: str = "x") -> list[dict]:
    """Dotted lines on which the eye finds the name of a leaf, edges, and inner nodes: one trace each."""
    x, y, up = data.x, data.y, data.parents[1:]
    ends = data.leaves[~np.isclose(x[data.leaves], x.max())]
    far, gap = np.full(len(x), _across(data)["range"][1]), np.full(len(x), np.nan)
    guides = np.c_[x, far, gap][ends], np.c_[y, y, gap][ends]
    edges = np.c_[x[up], x[up], x[1:], gap[1:]], np.c_[y[up], y[1:], y[1:], gap[1:]]
    drawn = ((guides, {"color": "#CCCCCC", "width": 1, "dash": "dot"}), (edges, {"color": "#888888", "width": 1.2}))
    line = {"mode": "lines", "hoverinfo": "skip", "showlegend": False, "xaxis": axis}
    traces = [line | {"x": xs.ravel(), "y": ys.ravel(), "line": style} for (xs, ys), style in drawn]
    inner, marker = np.setdiff1d(np.arange(len(x)), data.leaves), {"color": "#444444", "size": 0.8 * _marker(row)}
    return [*traces, _nodes(data, inner, hover, marker, name="inner nodes", xaxis=axis, showlegend=False)]


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


def _ticks(places: Sequence[float] | np.ndarray, names: Sequence[str], row: float) -> dict:
    """Names along an axis, hidden if they would overlap; the hover of a heat map finds them either way."""
    texts = {"tickvals": places, "ticktext": [_text(name) for name in names], "tickfont": {"size": _font(row)}}
    distance = {"ticks": "outside", "ticklen": 4, "tickcolor": "#FFFFFF"}
    return {**texts, **distance, "showticklabels": row >= _ROW, "automargin": True}


def _text(name: str, limit: int = 28) -> str:
    """A name as plotly shows it to the letter: cut if it is long, without markup, entities or formulas."""
    name = name if len(name) <= limit else name[: limit - 1] + "…"
    return html.escape(name, quote=False).replace("$", "&#36;")
