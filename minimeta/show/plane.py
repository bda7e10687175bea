"""The one picture of the course: a plane of parameters, the tasks' targets in it, and the way of each task from ω.

With MAML every task goes its own jittery way; along a tree all take one trunk, which splits step by step (Figure 1 of
TreeMAML). With XLA-MAML there are two gradients at ω, and the outer one that both of them make.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..grouping import Grouping, alone, everyone, fixed_tree, random_tree
from ..inner import InnerLoop, Learner, adapt, query_losses, squared_error, trajectory
from ..tasks import Episode, balanced_tree, branching_points
from ..threads import threads_for
from ..trees import TaskTree
from .recording import Explorer
from .style import (
    COLOURS,
    INK,
    LEGEND_ABOVE,
    Plot,
    arrow,
    blank,
    button,
    css,
    family_colours,
    in_a_row,
    on_change,
    panels,
    plain,
    slider,
    table,
    through_frames,
)

TREE = balanced_tree((2, 2, 2))


@dataclass(frozen=True)
class Ways:
    """How the m tasks of an episode go through the plane in K inner steps.

    `targets` (m, 2); `places` (K + 1, m, 2), from ω on; `labels` the clusters (K + 1, m), all 0 at ω; `angles` (K, m):
    by how many degrees each step misses the direction of the task's target, from where the step began.
    """

    tasks: tuple[str, ...]
    targets: np.ndarray
    places: np.ndarray
    labels: np.ndarray
    angles: np.ndarray

    @property
    def distances(self) -> np.ndarray:
        """How far each task is from its target before any step and after each, (K + 1, m)."""
        return np.linalg.norm(self.places - self.targets, axis=-1)


def point(omega: Sequence[float]) -> Learner:
    """A learner whose two weights are a point of the plane."""
    learner = Learner(nn.Linear(2, 1, bias=False), squared_error)
    with torch.no_grad():
        learner.module.weight.copy_(torch.as_tensor(omega))
    return learner


def ways(
    targets: np.ndarray,
    episode: Episode,
    grouping: Grouping | None = None,
    steps: int = 4,
    rate: float = 0.2,
    omega: Sequence[float] = (0.0, 0.0),
) -> Ways:
    """The way of each task from ω (2,), by `adapt`'s own steps; targets and episode as from `branching_points`.

    Raises InputError if the steps run away.
    """
    learner = point(omega)
    with threads_for(learner, episode), torch.no_grad():
        passed = list(trajectory(learner, episode, InnerLoop(grouping or alone(), steps, rate)))
    places = [[adapted.of(i)["module.weight"].flatten().tolist() for i in range(len(targets))] for adapted in passed]
    found = np.array(places)
    labels = np.array([adapted.labels for adapted in passed])
    return Ways(episode.tasks, targets, found, labels, angles_of(found, targets))


def angles_of(places: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """By how many degrees each step misses its target's direction, (K, m), from places (K + 1, m, 2)."""
    moves, wanted = np.diff(places, axis=0), targets - places[:-1]
    lengths = np.linalg.norm(moves, axis=-1) * np.linalg.norm(wanted, axis=-1)
    cosines = (moves * wanted).sum(-1) / np.maximum(lengths, 1e-12)
    return np.degrees(np.arccos(cosines.clip(-1, 1)))


def picture(runs: Mapping[str, Ways], title: str, tree: TaskTree = TREE) -> go.Figure:
    """A plane for each run, side by side, with a slider for the inner step and a button that plays all of them.

    Dots are targets and arrows are steps, thick where tasks share; a dotted line is what a task has left to go. A task
    has the colour of its quarter of the tree; a step that several tasks share has the mean of their colours.
    """
    figure = _panels(runs, title, tree)
    last = len(next(iter(runs.values())).places) - 1
    for k in range(last + 1):
        drawn = [trace for found in runs.values() for trace in _traces(found, tree, k)]
        # Only what changes: the picture is stored in notebooks.
        data = [go.Scatter(x=each.x, y=each.y, marker={"size": each.marker.size}, text=each.text) for each in drawn]
        figure.frames += (go.Frame(data=data, name=str(k)),)
    through_frames(figure, "inner steps taken: ", last, hold=900, glide=600, play=True)
    return figure.update_layout(height=540)


def _panels(runs: Mapping[str, Ways], title: str, tree: TaskTree) -> go.Figure:
    """The planes as they are after the last step."""
    if len({len(found.places) for found in runs.values()}) != 1:
        raise InputError("A picture needs one run or more, all with the same number of inner steps.")
    figure = panels(title, 1, len(runs), subplot_titles=list(runs), horizontal_spacing=0.03)
    figure.update_layout(margin={"l": 20, "r": 20, "t": 80, "b": 20}, showlegend=False)
    figure.update_layout(width=max(480, 400 * len(runs)), height=460)
    for column, found in enumerate(runs.values(), 1):
        figure.add_traces(_traces(found, tree, len(found.places) - 1), 1, column)
        _add_omega(figure, found.places[0, 0], found.targets, {"row": 1, "col": column})
    held = [points for found in runs.values() for points in (found.targets, found.places[0], np.zeros((1, 2)))]
    return _square(figure, np.concatenate(held))


def _traces(found: Ways, tree: TaskTree, shown: int) -> list[go.Scatter]:
    """The arrows of the first `shown` steps, the later ones without length, what is left to go, and the targets."""
    colours, drawn = family_colours(found.tasks, tree), []
    for k in range(1, len(found.places)):
        for i, label in enumerate(found.labels[k]):
            together = found.labels[k] == label
            # A step that is still to come has no length yet: it grows out of its place when it is played.
            start, end = found.places[min(k - 1, shown), i], found.places[min(k, shown), i]
            colour, width = css(colours[together].mean(0)), 1.5 + 1.1 * (together.sum() - 1)
            words = f"step {k}: {together.sum()} together, {found.angles[k - 1, i]:.0f}° off {plain(found.tasks[i])}"
            step = arrow("", start, end, colour, width=width, head=6 + 1.6 * width if k <= shown else 0)
            drawn.append(step.update(hovertemplate=f"{words}<extra></extra>"))
    words = [f"{plain(task)}: {away:.2f} away" for task, away in zip(found.tasks, found.distances[shown], strict=True)]
    marker = {"size": 11, "color": [css(colour) for colour in colours], "line": {"width": 1.5, "color": INK}}
    x, y = found.targets.T
    rest = np.stack([found.places[shown], found.targets, np.full_like(found.targets, np.nan)], axis=1).reshape(-1, 2)
    dotted = {"color": INK, "width": 1, "dash": "dot"}
    return [
        *drawn,
        go.Scatter(x=rest[:, 0].round(4), y=rest[:, 1].round(4), mode="lines", line=dotted, hoverinfo="skip"),
        go.Scatter(x=x, y=y, mode="markers", marker=marker, text=words, hovertemplate="%{text}<extra></extra>"),
    ]


def _add_omega(
    figure: go.Figure,
    omega: np.ndarray,
    targets: np.ndarray,
    at: Mapping[str, int] | None = None,
    radius: float = 0.09,
) -> None:
    """The grey dot, with its name on the side where no task is."""
    corners = {"x0": omega[0] - radius, "x1": omega[0] + radius, "y0": omega[1] - radius, "y1": omega[1] + radius}
    figure.add_shape(type="circle", **corners, fillcolor=INK, line_width=0, **at or {})
    away = omega - targets.mean(0)
    x, y = 20 * away / max(float(np.linalg.norm(away)), 1e-9)
    words = {"text": "<b>ω</b>", "showarrow": False, "xshift": x, "yshift": y, "font_size": 18}
    figure.add_annotation(x=omega[0], y=omega[1], **words, **at or {})


def _square(figure: go.Figure, held: np.ndarray) -> go.Figure:
    """Axes with one scale for both parameters, the same in all panels, that hold these points (n, 2)."""
    middle, half = (held.max(0) + held.min(0)) / 2, (held.max(0) - held.min(0)).max() / 2 + 0.5
    low, high = middle - half, middle + half
    figure.update_xaxes(range=[low[0], high[0]], constrain="domain", showticklabels=False)
    figure.update_yaxes(range=[low[1], high[1]], constrain="domain", showticklabels=False)
    for i, axis in enumerate(figure.select_yaxes()):
        axis.scaleanchor = f"x{i + 1}" if i else "x"
    return figure


class PlaneExplorer(Explorer):
    """Move what decides how tasks go through the plane: who shares, shots, inner steps and rate; and drag ω itself.

    `groupings` are to choose from, by name; the tasks are `branching_points` of `tree` and `seed`. `figure` shows the
    chosen one, and below it stands how far the tasks are from their targets in the end, with each of them.
    """

    recorded: ClassVar = {"again": 4, "grouping": None, "shots": (1, 5, 20), "rate": (0.1, 0.2, 0.4)}

    def __init__(self, groupings: Mapping[str, Grouping] | None = None, tree: TaskTree = TREE, seed: int = 13) -> None:
        self.groupings, self.tree, self.seed = groupings or usual_groupings(tree), tree, seed
        self.omega, self.drawn = (0.0, 0.0), 0
        self.grouping = ipywidgets.ToggleButtons(options=list(self.groupings), style={"button_width": "auto"})
        self.shots, self.steps = slider("shots", 5, 1, 50), slider("inner steps", 4, 0, 8)
        self.rate = slider("inner rate α", 0.2, 0.02, 0.6, 0.02)
        self.again = button("new points", "refresh", self.draw_again)
        self.home = button("ω to the middle", "crosshairs", lambda: self.move(0.0, 0.0))
        self.plot, self.words = Plot(dragged=self.move), ipywidgets.HTML()
        on_change(self.draw, self.grouping, self.shots, self.steps, self.rate)
        sliders = in_a_row(self.shots, self.steps, self.rate)
        super().__init__([self.grouping, sliders, in_a_row(self.again, self.home), in_a_row(self.plot, self.words)])
        self.draw()

    def move(self, x: float, y: float) -> None:
        """Put ω at this place of the plane."""
        self.omega = (x, y)
        self.draw()

    def draw_again(self) -> None:
        """Another episode of the same tasks: other examples."""
        self.drawn += 1
        self.draw()

    def draw(self) -> None:
        """Take the steps with every grouping and show those of the chosen one."""
        targets, episodes = branching_points(self.tree, self.shots.value, seed=self.seed)
        episode, lines = episodes(self.drawn), []
        for name, grouping in self.groupings.items():
            try:
                found = ways(targets, episode, grouping, self.steps.value, self.rate.value, self.omega)
            except InputError:
                lines.append([html.escape(name), "the steps run away: lower α", ""])
                continue
            first = f"{found.angles[0].mean():.0f}°" if self.steps.value else "–"
            lines.append([html.escape(name), f"{found.distances[-1].mean():.2f}", first])
            if name == self.grouping.value:
                figure = _panels({name: found}, "", self.tree)
                figure.update_layout(width=520, height=500, margin_t=40, transition={"duration": 300})
                figure.layout.shapes[0].editable = True
                self.figure = self.plot.show(figure)
        head = ["", "mean distance<br>from the target", "the first step is<br>off by (mean)"]
        shown = table(
            head, lines, ("text-align:left;padding:2px 10px 2px 0", *("text-align:right;padding:2px 10px",) * 2)
        )
        self.words.value = f"{shown}<p>Drag <b>ω</b>, the grey dot.</p>"


def usual_groupings(tree: TaskTree = TREE) -> dict[str, Grouping]:
    """Who shares a gradient: nobody, relatives, strangers, everyone."""
    return {
        "MAML": alone(), "Fixed TreeMAML": fixed_tree(tree), "Random tree": random_tree(tree, 0), "Everyone": everyone()
    }  # fmt: skip


# XLA-MAML: the step on one language, the judgement in another


@dataclass(frozen=True)
class Outer:
    """One task at ω (2,) with the inner rate α: θ after one step, and the gradients (2,) that the outer step knows.

    `support` is at ω, `query` at θ, `outer` is the gradient in ω of the query loss at θ (equation 6 of XLA-MAML), and
    `plain` that of the query loss without any inner step.
    """

    theta: np.ndarray
    support: np.ndarray
    query: np.ndarray
    outer: np.ndarray
    plain: np.ndarray


def crossed(shots: int = 5, seed: int = 14) -> tuple[np.ndarray, Episode]:
    """The targets (2, 2) of two languages, and an episode of one task: support in the first, query in the second."""
    targets, episodes = branching_points(balanced_tree((2,)), shots, spread=(2.0, 1.6), seed=seed)
    both = episodes(0)
    support = {name: value[:1] for name, value in both.support[0].items()}
    return targets, Episode(("query",), (support,), {name: value[1:] for name, value in both.query.items()})


def outer_gradient(episode: Episode, rate: float, omega: Sequence[float] = (0.0, 0.0)) -> Outer:
    """What an episode of one task makes of ω: one inner step, and the gradients, all by `adapt`."""
    learner = point(omega)
    weight = learner.module.weight

    def gradient(losses: Tensor) -> np.ndarray:
        return torch.autograd.grad(losses.mean(), weight, retain_graph=True)[0].flatten().numpy()

    adapted = adapt(learner, episode, alone(), 1, rate)
    theta = adapted.of(0)["module.weight"].detach().flatten().numpy()
    outer = gradient(query_losses(learner, adapted, episode))
    support = learner({name: value[0] for name, value in episode.support[0].items()})
    query = {name: value[0] for name, value in episode.query.items()}
    there = point(theta)
    (at_theta,) = torch.autograd.grad(there(query).mean(), there.module.weight)
    return Outer(theta, gradient(support), at_theta.flatten().numpy(), outer, gradient(learner(query)))


def crossing(targets: np.ndarray, episode: Episode, rates: Sequence[float], title: str) -> go.Figure:
    """XLA-MAML in the plane: the inner step, the query gradient at its end, and the outer step, with a slider for α.

    Arrows go downhill, the way in which a step goes; gradients are drawn at a quarter of their length.
    """
    figure = blank(title, height=640)
    figure.update_layout(
        width=560, margin={"l": 20, "r": 20, "t": 130, "b": 20}, legend=LEGEND_ABOVE | {"itemwidth": 30}
    )
    for name, place, colour in zip(
        ("support's target", "query's target"), targets, (COLOURS[1], COLOURS[0]), strict=True
    ):
        marker = {"size": 13, "color": colour, "line": {"width": 1.5, "color": INK}}
        figure.add_scatter(x=place[:1], y=place[1:], mode="markers", marker=marker, name=name)
    zero, frames = np.zeros(2), []
    for rate in rates:
        found = outer_gradient(episode, rate)
        arrows = {
            "inner step: −α g of the support": (zero, found.theta, COLOURS[1], "solid"),
            "−g of the query at θ": (found.theta, found.theta - found.query / 4, COLOURS[0], "solid"),
            "outer step": (zero, -found.outer / 4, COLOURS[2], "solid"),
            "without an inner step": (zero, -found.plain / 4, COLOURS[6], "dash"),
        }
        frames.append([arrow(name, *look) for name, look in arrows.items()])
    figure.add_traces(frames[len(rates) // 2])
    _add_omega(figure, zero, targets)
    drawn = [2, 3, 4, 5]
    figure.frames = [go.Frame(data=data, traces=drawn, name=f"{r:g}") for r, data in zip(rates, frames, strict=True)]
    through_frames(figure, "inner rate α = ", len(rates) // 2, hold=300, glide=300)
    ends = [np.array([trace.x[1], trace.y[1]], float) for data in frames for trace in data]
    return _square(figure, np.stack([*targets, zero, *ends]))
