"""Curves of tasks that share their first inner steps: one episode of the family, and its steps down the tree.

As in all of `show`, the data come first (`pooled_data`), then the drawing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ..clusters import task_outputs
from ..grouping import Grouping
from ..inner import InnerLoop, Learner, trajectory
from ..tasks import Batch, Episode
from ..threads import threads_for
from ..trees import TaskTree
from .style import DASHES, INK, blank, css, family_colours, panels, through_frames


@dataclass(frozen=True)
class Pooled:
    """What m tasks predict on a grid at ω and after each of K inner steps: (K + 1, m, points), and who shared.

    `labels` (K + 1, m) are the clusters, all 0 at ω.
    """

    predictions: Tensor
    labels: np.ndarray


def pooled_data(
    learner: Learner, episode: Episode, grid: Tensor, grouping: Grouping, steps: int = 4, rate: float = 0.4
) -> Pooled:
    """The inner steps of an episode, by `adapt`'s own trajectory, seen on `grid` (points,)."""
    batch: Batch = {"x": grid[None, :, None].expand(len(episode.tasks), -1, 1)}
    curves, labels = [], []
    with threads_for(learner, episode), torch.no_grad():
        for adapted in trajectory(learner, episode, InnerLoop(grouping, steps, rate)):
            curves.append(task_outputs(learner, adapted.parameters, adapted.labels, batch).squeeze(-1))
            labels.append(adapted.labels)
    return Pooled(torch.stack(curves), np.array(labels))


def family(tree: TaskTree, episode: Episode, grid: Tensor, curves: Tensor) -> go.Figure:
    """One episode of a task family on a tree: `curves` (m, points), a hue per half, a shade per pair, a dash in it."""
    figure = blank("One episode of the branching family", "x", "y")
    colours, dashes = family_colours(episode.tasks, tree), _dashes(episode.tasks, tree)
    for task, curve, colour, dash in zip(episode.tasks, curves, colours, dashes, strict=True):
        line = {"color": css(colour), "dash": dash, "width": 2}
        figure.add_scatter(x=grid, y=curve, name=task, line=line)
    return figure.update_layout(legend_title="task")


def _dashes(tasks: Sequence[str], tree: TaskTree) -> list[str]:
    """A dash for each task among those of its quarter."""
    quarters = tree.clusters(3)
    place = {
        leaf: sum(quarters[one] == quarters[leaf] for one in tree.leaves[:i]) for i, leaf in enumerate(tree.leaves)
    }
    return [DASHES[place[task] % len(DASHES)] for task in tasks]


def pooled_steps(episode: Episode, grid: Tensor, found: Pooled, truth: Tensor, title: str, tree: TaskTree) -> go.Figure:
    """All tasks' predictions with a slider for the inner step, their support and their true curves (m, points).

    It opens at ω. A cluster has the mean of its tasks' colours, so that families keep their hue when they split; beside
    the curves is the tree that the clusters draw. A click on a task in the legend shows it alone.
    """
    last = len(found.predictions) - 1
    figure = panels(title, 1, 2, column_widths=[0.82, 0.18], horizontal_spacing=0.02)
    figure.update_layout(height=520)
    colours, dashes = family_colours(episode.tasks, tree), _dashes(episode.tasks, tree)
    for i, task in enumerate(episode.tasks):
        group = {"legendgroup": task, "showlegend": False, "name": f"{task}, truth"}
        dotted = {"color": css(colours[i]), "width": 1.5, "dash": "dot"}
        figure.add_scatter(x=grid, y=truth[i], line=dotted, opacity=0.6, hoverinfo="skip", **group)
        x, y = (episode.support[0][axis][i].flatten() for axis in "xy")
        marker = {"color": css(colours[i]), "symbol": "x", "size": 7}
        figure.add_scatter(x=x, y=y, mode="markers", marker=marker, **group | {"name": f"{task}, support"})
    _add_tree(figure, found, colours)
    figure.add_traces(
        _moving(episode.tasks, grid, found, colours, dashes, 0),
        [1] * (len(episode.tasks) + 1),
        [1] * len(episode.tasks) + [2],
    )
    drawn = list(range(len(figure.data) - len(episode.tasks) - 1, len(figure.data)))
    for k in range(last + 1):
        data = _moving(episode.tasks, grid, found, colours, dashes, k)
        data = [go.Scatter(y=each.y, line=each.line, marker=each.marker) for each in data[:-1]] + data[-1:]
        figure.frames += (go.Frame(data=data, traces=drawn, name=str(k)),)
    through_frames(figure, "inner steps taken: ", 0, hold=500, glide=500, pad={"t": 45})
    seen = torch.cat([found.predictions.flatten(), truth.flatten(), episode.support[0]["y"].flatten()])
    figure.update_xaxes(title="x", range=[float(grid.min()), float(grid.max())], row=1, col=1)
    figure.update_yaxes(title="y", range=[float(seen.min()) - 0.3, float(seen.max()) + 0.3], row=1, col=1)
    legend = {"title": "task: click for it alone", "itemclick": "toggleothers", "groupclick": "togglegroup"}
    return figure.update_layout(
        legend=legend | {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemwidth": 30}, margin_t=110
    )


def _moving(
    tasks: Sequence[str], grid: Tensor, found: Pooled, colours: np.ndarray, dashes: Sequence[str], k: int
) -> list[go.Scatter]:
    """What changes with the step: the tasks' predictions, and which clusters of the tree there are."""
    mixed, drawn = _mixed(colours, found.labels[k]), []
    for task, curve, colour, dash in zip(tasks, found.predictions[k], mixed, dashes, strict=True):
        alone = len(set(found.labels[k])) == len(tasks)
        line = {"color": css(colour), "width": 3, "dash": dash if alone else "solid"}
        x, y = (np.round(values.tolist(), 3) for values in (grid, curve))
        drawn.append(go.Scatter(x=x, y=y, mode="lines", line=line, name=task, legendgroup=task))
    heights = _heights(found.labels[k])
    marker = {"color": [css(colour) for colour in mixed], "size": 13, "line": {"color": INK, "width": 1.5}}
    clusters = go.Scatter(
        x=[k] * len(tasks),
        y=heights,
        mode="markers",
        marker=marker,
        name="clusters",
        showlegend=False,
        hoverinfo="skip",
    )
    return [*drawn, clusters]


def _add_tree(figure: go.Figure, found: Pooled, colours: np.ndarray) -> None:
    """The tree that the clusters draw, from ω on the left: a line from each cluster to those it is split into."""
    for k, (above, below) in enumerate(itertools.pairwise(found.labels)):
        mixed, start, end = _mixed(colours, below), _heights(above), _heights(below)
        for i in sorted({below.tolist().index(label) for label in below}):
            line = {"color": css(mixed[i]), "width": 1.5 + (below == below[i]).sum()}
            figure.add_scatter(
                x=[k, k + 1],
                y=[start[i], end[i]],
                mode="lines",
                line=line,
                showlegend=False,
                hoverinfo="skip",
                row=1,
                col=2,
            )
    steps = list(range(len(found.labels)))
    figure.update_xaxes(title="step", tickvals=steps, range=[-0.4, steps[-1] + 0.4], showgrid=False, row=1, col=2)
    figure.update_yaxes(visible=False, row=1, col=2)


def _mixed(colours: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean colour of each task's cluster, (m, 3)."""
    return np.stack([colours[labels == label].mean(0) for label in labels])


def _heights(labels: np.ndarray) -> list[float]:
    """Where each task's cluster stands: the mean place of its tasks, counted from the top."""
    return [-float(np.flatnonzero(labels == label).mean()) for label in labels]
