"""Similarities of tasks, as arrows, along a tree, and as a heat map in a tree's order.

The mean similarity of the tasks below a node is what the TreeMAML paper calls ω(A).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from ..errors import InputError, some
from ..inner import Learner, evaluating, trainable
from ..otd import grow
from ..sketch import task_gradients
from ..tasks import Episode
from ..threads import threads_for
from ..trees import TaskTree
from .style import AROUND_ZERO, COLOURS, INK, arrow, blank, plain
from .treeplots import names_along


def gradients(learner: Learner, episode: Episode) -> np.ndarray:
    """The gradient of each task's support loss at ω, (m, size), in eval mode; raises InputError if ω is empty."""
    with threads_for(learner, episode), evaluating(learner):
        theta = {name: p.unsqueeze(0) for name, p in trainable(learner).items()}
        return task_gradients(learner, theta, [0] * len(episode.tasks), episode.support[0])


def similarities(vectors: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """The cosine similarities (n, n) of `vectors` (n, d); raises InputError if one is zero or not finite."""
    rows = np.asarray(vectors, float)
    if rows.ndim != 2 or not np.isfinite(rows).all() or not (norms := np.linalg.norm(rows, axis=1)).all():
        raise InputError("Similarities need vectors (n, d) of finite numbers, none of them all zeros.")
    rows = rows / norms[:, None]
    return rows @ rows.T


def arrows(vectors: Mapping[str, Sequence[float]], labels: Mapping[str, str], title: str) -> go.Figure:
    """The directions of tasks' vectors of two numbers, each with its task's name, in the colour of its label."""
    figure = blank(title, "first parameter", "second parameter", height=420)
    looks = dict(zip(dict.fromkeys(labels.values()), itertools.cycle(COLOURS), strict=False))
    for name, vector in vectors.items():
        x, y = np.asarray(vector, float) / np.linalg.norm(vector)
        figure.add_trace(arrow(plain(name), (0, 0), (x, y), looks[labels[name]]))
        figure.add_annotation(x=1.1 * x, y=1.1 * y, text=plain(name), showarrow=False)
    return figure.update_layout(showlegend=False, width=500, yaxis={"scaleanchor": "x", "range": [-0.5, 1.2]})


def mean_similarity(matrix: np.ndarray, rows: Sequence[int]) -> float:
    """The mean of the similarities (n, n) over all pairs of `rows`; 1 for a single one."""
    k, inside = len(rows), matrix[np.ix_(rows, rows)]
    return float(inside.sum() - inside.trace()) / (k * (k - 1)) if k > 1 else 1.0


def with_omega(root: TaskTree, matrix: np.ndarray, names: Sequence[str]) -> TaskTree:
    """The same tree with the lengths of `OnlineTree.tree`: each node stands at its mean similarity.

    `matrix` (n, n) are the similarities of `names`. Where a child agrees less than its parent, its edge is negative.
    """
    row, nodes = {name: i for i, name in enumerate(names)}, list(root.nodes)
    omega = {id(node): mean_similarity(matrix, [row[leaf] for leaf in node.leaves]) for node in nodes}
    above = {id(child): omega[id(node)] for node in nodes for child in node.children}
    made: dict[int, TaskTree] = {}
    for node in reversed(nodes):
        length, kids = omega[id(node)] - above.get(id(node), 0.0), tuple(made.pop(id(kid)) for kid in node.children)
        made[id(node)] = TaskTree(node.name, kids, length, omega=node is root)
    return made[id(root)]


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
    root: TaskTree,
    matrix: np.ndarray,
    names: Sequence[str],
    title: str = "Similarity of the tasks",
    lengths: np.ndarray | None = None,
) -> go.Figure:
    """Similarities (n, n), as from `similarities`, in the order of the tree's leaves; `names` (n,) are its rows.

    Blue is below 0, orange above; full colour is the largest value off the diagonal. Dark lines part the subtrees
    of level 1, grey ones those of level 2. With `lengths` (n,), how long the vectors are that were compared, each row
    has a bar: a direction means little where there is next to nothing that has it.
    """
    values, meet = heatmap_data(root, matrix, names)
    n = len(values)
    off = np.abs(values[~np.eye(n, dtype=bool)])
    most = float(off.max()) if off.any() else 1.0
    figure = blank(title, height=700)
    bar = (
        {"title": {"text": "similarity"}}
        if lengths is None
        else {"title": {"text": "cosine"}, "len": 0.5, "thickness": 15}
    )
    figure.add_heatmap(
        z=values, zmin=-most, zmax=most, colorscale=AROUND_ZERO,
        hovertemplate="%{x}<br>%{y}<br>similarity %{z:.2f}<extra></extra>", colorbar=bar,
    )  # fmt: skip
    for level, line in ((2, {"color": "#777777", "width": 0.8}), (1, {"color": "#000000", "width": 1.5})):
        xs = [x for i in meet[level] for x in (i - 0.5, i - 0.5, None, -0.5, n - 0.5, None)]
        ys = [y for i in meet[level] for y in (-0.5, n - 0.5, None, i - 0.5, i - 0.5, None)]
        figure.add_scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    side = 540 if lengths is None else 460  # about how many pixels the rows have
    axis = {"range": [-0.5, n - 0.5], "showgrid": False, "zeroline": False, "constrain": "domain"}
    axis |= names_along(np.arange(n), root.leaves, side / n)
    upright = max(map(len, root.leaves)) * 0.6 * 12 > side / n
    figure.update_layout(
        xaxis=axis | {"tickangle": -90 if upright else 0}, yaxis=axis | {"range": [n - 0.5, -0.5], "scaleanchor": "x"}
    )
    if lengths is not None:
        _add_lengths(figure, [float(lengths[list(names).index(leaf)]) for leaf in root.leaves], side / n)
    return figure


def _add_lengths(figure: go.Figure, lengths: Sequence[float], row: float) -> None:
    """A bar for each row of a heat map, right of it, with its number where rows have room for one."""
    words = {"text": [f"{v:.2f}" for v in lengths], "textposition": "outside", "textfont_size": 9} if row >= 10 else {}
    figure.add_bar(
        x=lengths, y=np.arange(len(lengths)), orientation="h", xaxis="x2", name="|g|",
        marker={"color": INK, "line": {"width": 0}},
        showlegend=False, cliponaxis=False, hovertemplate="|g| %{x:.3f}<extra></extra>", **words,
    )  # fmt: skip
    figure.update_layout(
        height=610,
        xaxis_domain=[0, 0.8],
        yaxis_constraintoward="top",
        xaxis2={"domain": [0.82, 1], "range": [0, 1.35 * max(lengths)], "title": "|g|", "showgrid": False, "nticks": 4},
    )


def purities(
    vectors: np.ndarray,
    names: Sequence[str],
    labels: Mapping[str, Mapping[str, object]],
    draws: int = 20,
    depth: int = 3,
    seed: int = 0,
) -> dict[str, list[float]]:
    """How pure trees are that grow from `vectors` (n, d) in random orders, and how pure the same trees are by chance.

    For each kind of `labels` two rows of `draws` purities: "KIND: learned", and "KIND: shuffled", where the tasks of
    each tree have changed places.
    """
    rng, tasks, trees = np.random.default_rng(seed), np.array(names), []
    for _ in range(draws):
        order = rng.permutation(len(tasks))
        trees.append(grow(vectors[order], tasks[order].tolist(), depth)[0].tree())
    places = [dict(zip(tasks.tolist(), rng.permutation(tasks).tolist(), strict=True)) for _ in trees]
    shuffled = [tree.rename(place) for tree, place in zip(trees, places, strict=True)]
    found = {}
    for kind, label_of in labels.items():
        found[f"{kind}: learned"] = [tree.purity(label_of) for tree in trees]
        found[f"{kind}: shuffled"] = [tree.purity(label_of) for tree in shuffled]
    return found
