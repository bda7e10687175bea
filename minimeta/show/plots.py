"""Figures for the notebooks: the data first (`..._data`), then the drawing, so that either can be used alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ..clusters import task_outputs
from ..errors import InputError
from ..grouping import Grouping, alone, regroup
from ..inner import Learner, adapt
from ..outer import Report
from ..tasks import Batch, Episode
from ..trees import TaskTree

# Okabe and Ito's colours: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666", "#000000")
DASHES = ("solid", "dash", "dot", "dashdot")


def blank(title: str, x: str = "", y: str = "", height: int = 380) -> go.Figure:
    """An empty figure in the house style: a white card, readable in light and dark themes."""
    figure = go.Figure()
    figure.update_layout(
        template="plotly_white",
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 15}},
        xaxis_title=x,
        yaxis_title=y,
        height=height,
        width=760,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        legend={"itemsizing": "constant", "itemwidth": 60},
    )
    return figure


def adaptation_data(
    learner: Learner,
    episode: Episode,
    grid: Tensor,
    grouping: Grouping | None = None,
    steps: int = 5,
    rate: float = 0.01,
) -> Tensor:
    """What the learner predicts on `grid` (points,) after 0, 1, ..., `steps` inner steps: (steps + 1, m, points)."""
    return torch.stack([adapted_curves(learner, episode, grid, grouping, k, rate) for k in range(steps + 1)])


def adapted_curves(
    learner: Learner, episode: Episode, grid: Tensor, grouping: Grouping | None, steps: int, rate: float
) -> Tensor:
    """What the learner predicts on `grid` (points,) after `steps` inner steps, for each task: (m, points)."""
    batch: Batch = {"x": grid[None, :, None].expand(len(episode.tasks), -1, 1)}
    with torch.no_grad():
        adapted = adapt(learner, episode, grouping or alone(), steps, rate)
        return task_outputs(learner, adapted.parameters, adapted.labels, batch).squeeze(-1)


def adaptation(
    grid: Tensor, predictions: Tensor, support: tuple[Tensor, Tensor], truth: Tensor | None = None
) -> go.Figure:
    """One task's prediction after each inner step: `predictions` (steps + 1, points), support x and y, truth."""
    figure = blank("Adapting to one task, step by step", "x", "y")
    if truth is not None:
        figure.add_scatter(x=grid, y=truth, name="truth", line={"color": "#999999", "width": 6}, opacity=0.5)
    last = len(predictions) - 1
    for k, curve in enumerate(predictions):
        shade = 0.25 + 0.75 * k / max(last, 1)
        line = {"color": f"rgba(0, 114, 178, {shade:.2f})", "width": 3 if k == last else 1.5}
        if k == 0:
            line = {"color": COLOURS[1], "dash": "dash"}
        name = "ω, before any step" if k == 0 else f"after step {k}"
        figure.add_scatter(x=grid, y=curve, name=name, line=line)
    x, y = support
    marker = {"color": "#000000", "size": 9, "symbol": "x"}
    figure.add_scatter(x=x, y=y, name="support (shots)", mode="markers", marker=marker)
    return figure


def training(runs: Mapping[str, Sequence[Report]], smooth: int = 10) -> go.Figure:
    """The outer loss of each run at every outer step, averaged over the last `smooth` steps."""
    figure = blank("Meta-training", "outer step", "query loss (after the inner steps, if any)")
    for (name, reports), colour in zip(runs.items(), itertools.cycle(COLOURS), strict=False):
        losses = np.array([report.outer_loss for report in reports])
        mean = [losses[max(0, i + 1 - smooth) : i + 1].mean() for i in range(len(losses))]
        figure.add_scatter(x=[r.step for r in reports], y=mean, name=name, line={"color": colour, "width": 2.5})
    figure.update_layout(showlegend=True)
    figure.update_yaxes(rangemode="tozero")
    return figure


def lines(
    series: Mapping[str, Mapping[float, Sequence[float]]], title: str, x: str, y: str, log: bool = True
) -> go.Figure:
    """Mean lines with a band from the lowest to the highest seed: `series[name][x]` are the values of the seeds.

    Raises InputError for an x that has no place on a logarithmic axis, where plotly would leave it out.
    """
    if log and (odd := [v for points in series.values() for v in points if v <= 0]):
        raise InputError(f"A logarithmic axis has no place for {odd[0]:g}; leave it out, or choose log=False.")
    figure = blank(title, x, y)
    for i, (name, points) in enumerate(series.items()):
        colour, xs = COLOURS[i % len(COLOURS)], list(points)
        low, high = [min(points[v]) for v in xs], [max(points[v]) for v in xs]
        figure.add_scatter(
            x=[*xs, *reversed(xs)], y=[*high, *reversed(low)], fill="toself", fillcolor=colour, opacity=0.15,
            mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name,
        )  # fmt: skip
        figure.add_scatter(
            x=xs, y=[float(np.mean(points[v])) for v in xs], name=name, legendgroup=name,
            line={"color": colour, "width": 2.5, "dash": DASHES[i % len(DASHES)]}, mode="lines+markers",
        )  # fmt: skip
    if log:
        ticks = sorted({v for points in series.values() for v in points})
        figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{v:g}" for v in ticks])
    return figure


def dots(values: Mapping[str, Sequence[float]], title: str, x: str) -> go.Figure:
    """A row of dots per name, one per seed, and a line at their mean with its value."""
    figure = blank(title, x, height=140 + 42 * len(values))
    figure.update_layout(margin_t=75)
    for i, (name, points) in enumerate(values.items()):
        colour, mean = COLOURS[i % len(COLOURS)], float(np.mean(points))
        marker = {"color": colour, "size": 9, "opacity": 0.6}
        figure.add_scatter(x=list(points), y=[name] * len(points), mode="markers", marker=marker, name=name)
        figure.add_scatter(
            x=[mean], y=[name], mode="markers+text", text=[f"{mean:.2f}"], textposition="top center", cliponaxis=False,
            name=f"{name}, mean",
            marker={"color": colour, "size": 22, "symbol": "line-ns-open", "line": {"width": 3}},
        )  # fmt: skip
    figure.update_layout(showlegend=False)
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(rangemode="tozero")
    return figure


def family(tree: TaskTree, episode: Episode, grid: Tensor, curves: Tensor) -> go.Figure:
    """One episode of a task family on a tree: `curves` (m, points), a colour per branch and a dash per sub-branch."""
    figure = blank("One episode of the branching family", "x", "y")
    for task, curve, colour, dash in zip(episode.tasks, curves, *_branch_style(tree, episode.tasks), strict=True):
        figure.add_scatter(x=grid, y=curve, name=task, line={"color": colour, "dash": dash, "width": 2})
    figure.update_layout(legend_title="task")
    return figure


def pooled_steps(
    episode: Episode, grid: Tensor, predictions: Tensor, truth: Tensor, grouping: Grouping, title: str
) -> go.Figure:
    """All tasks' predictions after k inner steps, with a slider for k, a colour per cluster of step k.

    `predictions` is (steps + 1, m, points), as from `adaptation_data`; `truth` is (m, points).
    """
    figure = blank(title, "x", "y", height=490)
    last, labels, colours, counts = len(predictions) - 1, [0] * len(episode.tasks), {0: COLOURS[0]}, []
    for k, curves in enumerate(predictions):
        if k:
            below, *_ = regroup(grouping, k, episode.tasks, labels)
            colours = _inherit(colours, labels, below)
            labels = below
        counts.append(len(colours))
        for task, curve, true, label in zip(episode.tasks, curves, truth, labels, strict=True):
            dotted = {"color": colours[label], "width": 1.5, "dash": "dot"}
            figure.add_scatter(x=grid, y=true, name=f"{task}, truth", line=dotted, visible=k == last, showlegend=False)
            line = {"color": colours[label], "width": 3}
            figure.add_scatter(x=grid, y=curve, name=task, line=line, visible=k == last)
    each = 2 * len(episode.tasks)
    titles = [f"{title}: step {k}, {count} cluster{'s' * (count > 1)}" for k, count in enumerate(counts)]
    steps = [
        {
            "method": "update",
            "label": f"{k}",
            "args": [
                {"visible": [shown == k for shown in range(last + 1) for _ in range(each)]},
                {"title.text": titles[k]},
            ],
        }
        for k in range(last + 1)
    ]
    figure.update_layout(
        sliders=[_slider(steps, last, "inner steps taken: ")],
        title_text=titles[last],
        legend_title="task",
    )
    return figure


def _inherit(colours: Mapping[int, str], labels: Sequence[int], below: Sequence[int]) -> dict[int, str]:
    """Colours for the clusters `below`: the first child keeps its parent's, the others take unused ones."""
    kept: dict[int, str] = {}
    for parent, child in zip(labels, below, strict=True):
        if child not in kept and colours[parent] not in kept.values():
            kept[child] = colours[parent]
    unused = itertools.cycle([c for c in COLOURS if c not in colours.values()] or COLOURS)
    return {child: kept.get(child) or next(unused) for child in dict.fromkeys(below)}


def _slider(steps: list[dict], active: int, prefix: str) -> dict:
    """A slider below the figure, clear of the axis title."""
    return {"active": active, "steps": steps, "currentvalue": {"prefix": prefix}, "pad": {"t": 45}}


def landscape(starts: Tensor, losses: Mapping[float, Sequence[float]]) -> go.Figure:
    """The loss after adaptation for each start, with a slider for the inner rate: `losses[rate]` (starts,)."""
    figure = blank("Loss of both tasks after one inner step", "start ω = w", "loss after the step")
    active = max(len(losses) - 2, 0)
    for values in losses.values():
        figure.add_scatter(
            x=starts, y=values, line={"color": "#999999", "width": 1}, showlegend=False, hoverinfo="skip"
        )
    for i, (rate, values) in enumerate(losses.items()):
        figure.add_scatter(
            x=starts, y=values, name=f"α = {rate:g}", line={"color": COLOURS[0], "width": 3}, visible=i == active
        )
        lowest = int(np.argmin(values))
        figure.add_scatter(
            x=[float(starts[lowest])], y=[values[lowest]], name="best start", mode="markers", visible=i == active,
            marker={"color": COLOURS[1], "size": 12, "symbol": "diamond"},
        )  # fmt: skip
    grey = [True] * len(losses)
    steps = [
        {
            "method": "update",
            "label": f"{rate:g}",
            "args": [{"visible": grey + [j // 2 == i for j in range(2 * len(losses))]}],
        }
        for i, rate in enumerate(losses)
    ]
    figure.update_layout(
        sliders=[_slider(steps, active, "inner rate α = ")],
        height=470,
    )
    figure.update_yaxes(range=[0, 5])
    return figure


def tree_data(root: TaskTree) -> list[tuple[str, int, float, float | None, bool]]:
    """For each node, parents first: its name, depth, height, its parent's height (None for the root), is it a leaf.

    Leaves stand at heights 0, -1, -2, ... and a node in the middle of its children.
    """
    nodes, order = list(root.nodes), {leaf: float(-i) for i, leaf in enumerate(root.leaves)}
    height: dict[int, float] = {}
    for node in reversed(nodes):
        below = [height[id(child)] for child in node.children]
        height[id(node)] = sum(below) / len(below) if below else order[node.name]
    above: dict[int, tuple[int, float | None]] = {id(root): (0, None)}
    for node in nodes:
        above |= {id(child): (above[id(node)][0] + 1, height[id(node)]) for child in node.children}
    return [(n.name, above[id(n)][0], height[id(n)], above[id(n)][1], not n.children) for n in nodes]


def tree(root: TaskTree, title: str, names: Mapping[str, str] | None = None) -> go.Figure:
    """A tree from left to right, the root at step 1; `names` gives what to write beside a leaf."""
    rows = tree_data(root)
    figure = blank(title, height=max(320, 26 * len(root.leaves) + 110))
    xs: list[float | None] = []
    ys: list[float | None] = []
    for _, depth, y, parent, _ in rows:
        if parent is not None:
            xs += [depth - 1, depth - 1, depth, None]
            ys += [parent, y, y, None]
    figure.add_scatter(x=xs, y=ys, mode="lines", line={"color": "#888888"}, hoverinfo="skip", showlegend=False)
    for leaf, position, colour in ((False, "top left", COLOURS[1]), (True, "middle right", COLOURS[0])):
        chosen = [row for row in rows if row[4] == leaf]
        labels = [(names or {}).get(row[0], row[0]) if leaf else row[0] for row in chosen]
        figure.add_scatter(
            x=[row[1] for row in chosen], y=[row[2] for row in chosen], text=labels, mode="markers+text",
            textposition=position, marker={"color": colour, "size": 8}, showlegend=False, hoverinfo="text",
        )  # fmt: skip
    depth = root.depth
    ticks = [f"step {k + 1}" for k in range(depth + 1)]
    figure.update_xaxes(tickvals=list(range(depth + 1)), ticktext=ticks, range=[-0.5, depth + 1.1], showgrid=False)
    figure.update_yaxes(visible=False)
    figure.update_xaxes(zeroline=False)
    return figure


def _branch_style(tree: TaskTree, tasks: Sequence[str]) -> tuple[list[str], list[str]]:
    """A colour per branch below the root and a dash per branch below that, for each task."""
    first, second = tree.clusters(2), tree.clusters(3)
    colours = {node: COLOURS[i % len(COLOURS)] for i, node in enumerate(dict.fromkeys(first.values()))}
    dashes = {}
    for task in tree.leaves:
        used = [dashes[n] for n in dashes if n in {second[t] for t in tree.leaves if first[t] == first[task]}]
        dashes.setdefault(second[task], DASHES[len(used) % len(DASHES)])
    return [colours[first[task]] for task in tasks], [dashes[second[task]] for task in tasks]
