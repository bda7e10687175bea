"""One number to learn, two tasks or more: where an inner step leads each of them from a start that can be dragged."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import ipywidgets
import numpy as np
import torch

from ..grouping import alone
from ..inner import Learner, adapt
from ..tasks import Episode
from ..threads import threads_for
from .recording import Explorer
from .style import COLOURS, INK, Plot, arrow, blank, in_a_row, looks, on_change, slider


def losses_at(learner: Learner, episode: Episode, values: Sequence[float]) -> np.ndarray:
    """The mean support loss of each task where the learner's only parameter has these values: (values, m)."""
    return np.stack([own_losses(learner, episode, [value] * len(episode.tasks)) for value in values])


def own_losses(learner: Learner, episode: Episode, values: Sequence[float]) -> np.ndarray:
    """The mean support loss of each task where it has a value of its own for the learner's only parameter: (m,)."""
    found = []
    with torch.no_grad():
        for i, value in enumerate(values):
            part = {name: batch[i] for name, batch in episode.support[0].items()}
            found.append(_with(learner, value)(part).mean().item())
    return np.array(found)


def after_a_step(learner: Learner, episode: Episode, values: Sequence[float], rate: float) -> np.ndarray:
    """Where one inner step with this rate leads each task from these values of the only parameter: (values, m)."""
    (name, _), *_ = learner.named_parameters()
    found = []
    with threads_for(learner, episode), torch.no_grad():
        for value in values:
            adapted = adapt(_with(learner, value), episode, alone(), steps=1, rate=rate)
            found.append([adapted.of(task)[name].item() for task in range(len(episode.tasks))])
    return np.array(found)


def _with(learner: Learner, value: float) -> Learner:
    for parameter in learner.parameters():
        parameter.data.fill_(value)
    return learner


class StepExplorer(Explorer):
    """Drag the start ω, or move its slider, and see each task's inner step and the loss that MAML looks at.

    The learner has one parameter and is left as it is; the tasks are judged on their support. `ends` are the values
    between which ω moves. Thin lines are the tasks' losses, an arrow is a task's step, and the thick line is the sum of
    the losses *after* the step, for every start.
    """

    recorded: ClassVar = {"omega": [round(0.1 * i, 1) for i in range(-5, 16)], "rate": (0.02, 0.1, 0.2)}

    def __init__(self, learner: Learner, episode: Episode, ends: tuple[float, float] = (-0.5, 1.5)) -> None:
        # A copy: what is drawn beside a cell must not move that cell's learner.
        self.learner, self.episode, self.grid = copy.deepcopy(learner), episode, np.linspace(*ends, 61)
        self.losses = losses_at(self.learner, episode, self.grid)
        self.omega = slider("start ω", float(np.mean(ends)), *ends, 0.02)
        self.rate = slider("inner rate α", 0.1, 0.01, 0.24, 0.01)
        self.plot, self.words = Plot(dragged=self.move), ipywidgets.HTML()
        on_change(self.draw, self.omega, self.rate)
        super().__init__([in_a_row(self.omega, self.rate), self.plot, self.words])
        self.draw()

    def move(self, x: float, _: float) -> None:
        """Put the start at x."""
        self.omega.value = x
        self.draw()  # also where the slider has not moved: the dot comes back to the axis

    def draw(self) -> None:
        """Take each task's step from the chosen start, and the whole curve after a step."""
        omega, rate = self.omega.value, self.rate.value
        figure = blank("One inner step of each task", "the parameter w", "loss", height=440)
        ends = after_a_step(self.learner, self.episode, [omega], rate)[0]
        before, after = (own_losses(self.learner, self.episode, at) for at in ([omega] * len(ends), ends))
        for i, (task, (colour, _)) in enumerate(looks(self.episode.tasks).items()):
            thin = {"color": colour, "width": 1.5, "dash": "dot"}
            figure.add_scatter(x=self.grid, y=self.losses[:, i], line=thin, name=f"task {task}", hoverinfo="skip")
            step = arrow(f"{task}'s step", (omega, before[i]), (ends[i], after[i]), colour)
            figure.add_trace(step.update(hovertemplate=f"{task}: %{{x:.2f}}, %{{y:.2f}}<extra></extra>"))
        whole = self.after(self.grid, rate)
        figure.add_scatter(x=self.grid, y=whole, line={"color": INK, "width": 3}, name="sum after the step")
        best = int(whole.argmin())
        marker = {"color": COLOURS[2], "size": 13, "symbol": "diamond"}
        figure.add_scatter(x=[self.grid[best]], y=[whole[best]], mode="markers", marker=marker, name="best start")
        wide = 0.02 * np.ptp(self.grid)
        corners = {"x0": omega - wide, "x1": omega + wide, "y0": -0.12, "y1": 0.12}
        figure.add_shape(type="circle", **corners, fillcolor=INK, line_width=0, editable=True)
        figure.add_annotation(x=omega, y=0, text="<b>ω</b>", showarrow=False, xshift=18, font_size=17)
        figure.update_yaxes(range=[-0.3, 4.2])
        figure.update_xaxes(range=[self.grid[0], self.grid[-1]])
        self.figure = self.plot.show(figure)
        said = ", ".join(
            f"{task} {b:.2f} → {a:.2f}" for task, b, a in zip(self.episode.tasks, before, after, strict=True)
        )
        self.words.value = (
            f"ω = <b>{omega:.2f}</b>: {said}; together <b>{after.sum():.2f}</b> after the step. "
            f"The best start for α = {rate:.2f} is <b>{self.grid[best]:.2f}</b>. Drag ω, or move its slider."
        )

    def after(self, starts: Sequence[float], rate: float) -> np.ndarray:
        """The sum of the tasks' losses after one inner step from each of these starts."""
        ends = after_a_step(self.learner, self.episode, starts, rate)
        return np.array([own_losses(self.learner, self.episode, end).sum() for end in ends])
