"""Pictures of learning: adaptation step by step, training, and results by seed; and sliders to adapt by hand.

Here as in all of `show`, the data come first (`..._data`), then the drawing, so that either can be used alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ..errors import InputError
from ..grouping import Grouping, alone
from ..inner import Learner
from ..outer import Report
from ..tasks import Episode
from .pooled import pooled_data
from .recording import Explorer
from .style import COLOURS, INK, LOOKS, Plot, blank, looks, method_of, on_change, smoothed


def adaptation_data(
    learner: Learner,
    episode: Episode,
    grid: Tensor,
    grouping: Grouping | None = None,
    steps: int = 5,
    rate: float = 0.01,
) -> Tensor:
    """What the learner predicts on `grid` (points,) after 0, 1, ..., `steps` inner steps: (steps + 1, m, points)."""
    return pooled_data(learner, episode, grid, grouping or alone(), steps, rate).predictions


def adaptation(
    grid: Tensor, predictions: Tensor, support: tuple[Tensor, Tensor], truth: Tensor | None = None
) -> go.Figure:
    """One task's prediction after each inner step: `predictions` (steps + 1, points), support x and y, truth."""
    figure = blank("Adapting to one task, step by step", "x", "y")
    if truth is not None:
        _add_truth(figure, grid, truth)
    last = len(predictions) - 1
    for k, curve in enumerate(predictions):
        shade = 0.25 + 0.75 * k / max(last, 1)
        line = {"color": f"rgba(0, 114, 178, {shade:.2f})", "width": 3 if k == last else 1.5}
        if k == 0:
            line = {"color": COLOURS[1], "dash": "dash"}
        name = "ω, before any step" if k == 0 else f"after step {k}"
        figure.add_scatter(x=grid, y=curve, name=name, line=line)
    _add_support(figure, *support)
    return figure


def _add_truth(figure: go.Figure, grid: Tensor, truth: Tensor | np.ndarray) -> None:
    figure.add_scatter(x=grid, y=truth, name="truth", line={"color": "#999999", "width": 6}, opacity=0.5)


def _add_support(figure: go.Figure, x: Tensor, y: Tensor) -> None:
    marker = {"color": INK, "size": 9, "symbol": "x"}
    figure.add_scatter(x=x, y=y, name="support (shots)", mode="markers", marker=marker)


def training(runs: Mapping[str, Sequence[Report]], smooth: int = 10) -> go.Figure:
    """The outer loss of each run at every outer step, averaged over the last `smooth` steps."""
    figure = blank("Meta-training", "outer step", "query loss (after the inner steps, if any)")
    for (name, reports), (colour, dash) in zip(runs.items(), looks(runs).values(), strict=True):
        losses = smoothed([report.outer_loss for report in reports], smooth)
        line = {"color": colour, "dash": dash, "width": 2.5}
        figure.add_scatter(x=[r.step for r in reports], y=losses, name=name, line=line)
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
    for (name, points), (colour, dash) in zip(series.items(), looks(series).values(), strict=True):
        xs = list(points)
        low, high = [min(points[v]) for v in xs], [max(points[v]) for v in xs]
        figure.add_scatter(
            x=[*xs, *reversed(xs)], y=[*high, *reversed(low)], fill="toself", fillcolor=colour, opacity=0.15,
            mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name,
        )  # fmt: skip
        figure.add_scatter(
            x=xs, y=[float(np.mean(points[v])) for v in xs], name=name, legendgroup=name,
            line={"color": colour, "width": 2.5, "dash": dash}, mode="lines+markers",
        )  # fmt: skip
    if log:
        ticks = sorted({v for points in series.values() for v in points})
        figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{v:g}" for v in ticks])
    return figure


def dots(values: Mapping[str, Sequence[float]], title: str, x: str) -> go.Figure:
    """A row of dots per name, one per seed, and a line at their mean with its value.

    A name that begins with a method's has that method's colour; rows of one method may share it.
    """
    figure = blank(title, x, height=140 + 42 * len(values))
    figure.update_layout(margin_t=75)
    for (name, points), (colour, _) in zip(values.items(), looks(values).values(), strict=True):
        mean, colour = float(np.mean(points)), LOOKS.get(method_of(name), (colour,))[0]
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


def bars(values: Mapping[str, float], title: str, x: str, form: str = ".1f", log: bool = False) -> go.Figure:
    """A bar for each name, with its number on it (`form`) and, with `log`, on a logarithmic axis."""
    figure = blank(title, x, height=140 + 30 * len(values))
    numbers, words = list(values.values()), [format(value, form) for value in values.values()]
    figure.add_bar(x=numbers, y=list(values), orientation="h", name=x, marker_color=COLOURS[0], text=words)
    figure.update_traces(textposition="auto")
    if log:
        figure.update_xaxes(type="log", exponentformat="power")
    return figure.update_yaxes(autorange="reversed", automargin=True)


def _add_slider(figure: go.Figure, prefix: str, steps: Mapping[str, Sequence[dict]], active: int) -> None:
    """A slider below the figure, clear of the axis title; `steps[label]` is what a place updates (traces, layout)."""
    each = [{"method": "update", "label": label, "args": args} for label, args in steps.items()]
    slider = {"active": active, "steps": each, "currentvalue": {"prefix": prefix}, "pad": {"t": 45}}
    figure.update_layout(sliders=[slider])


def landscape(starts: Tensor, losses: Mapping[float, Sequence[float]]) -> go.Figure:
    """The loss after adaptation for each start, with a slider for the inner rate: `losses[rate]` (starts,)."""
    figure = blank("Sum of both losses after one inner step", "start ω = w", "sum of the losses", height=470)
    active = max(len(losses) - 2, 0)
    for values in losses.values():
        line = {"color": "#999999", "width": 1}
        figure.add_scatter(x=starts, y=values, line=line, showlegend=False, hoverinfo="skip")
    steps = {}
    for i, (rate, values) in enumerate(losses.items()):
        line, lowest = {"color": COLOURS[0], "width": 3}, int(np.argmin(values))
        figure.add_scatter(x=starts, y=values, name=f"α = {rate:g}", line=line, visible=i == active)
        figure.add_scatter(
            x=[float(starts[lowest])], y=[values[lowest]], name="best start", mode="markers", visible=i == active,
            marker={"color": COLOURS[1], "size": 12, "symbol": "diamond"},
        )  # fmt: skip
        visible = [True] * len(losses) + [shown == i for shown in range(len(losses)) for _ in range(2)]
        steps[f"{rate:g}"] = ({"visible": visible},)
    _add_slider(figure, "inner rate α = ", steps, active)
    return figure.update_yaxes(range=[0, 5])


_GRID = torch.linspace(-5, 5, 101)
_RUN_AWAY = 1e4  # a squared error far beyond any wave's


class SinusoidExplorer(Explorer):
    """Adapt a sinusoid learner by hand: sliders for inner rate, inner steps, shots and the wave to adapt to.

    `figure` shows the prediction of each learner before and after the steps; `learners` are given by name. A learner
    whose steps run away is said to, and has no lines.
    """

    recorded: ClassVar = {"rate": (0.001, 0.01, 0.03), "steps": (0, 1, 2, 5, 10), "shots": (5, 10), "wave": range(4)}

    def __init__(self, learners: Mapping[str, Learner]) -> None:
        self.learners = dict(learners)
        wide = {"style": {"description_width": "90px"}, "layout": {"width": "420px"}, "continuous_update": True}
        self.rate = ipywidgets.FloatLogSlider(
            value=0.01, base=10, min=-3, max=-1, step=0.1, description="inner rate", **wide
        )
        self.steps = ipywidgets.IntSlider(value=5, min=0, max=20, description="inner steps", **wide)
        self.shots = ipywidgets.IntSlider(value=10, min=1, max=20, description="shots", **wide)
        self.wave = ipywidgets.IntSlider(value=0, min=0, max=20, description="wave", **wide)
        self.error, self.plot = ipywidgets.HTML(), Plot()
        sliders = self.rate, self.steps, self.shots, self.wave
        on_change(self.draw, *sliders)
        super().__init__([*sliders, self.error, self.plot])
        self.draw()

    def episode(self) -> tuple[Episode, np.ndarray]:
        """The chosen wave with the chosen number of shots, and its true values on the grid."""
        rng = np.random.default_rng((0, self.wave.value))
        amplitude, phase = rng.uniform(0.1, 5.0), rng.uniform(0.0, np.pi)
        x = torch.from_numpy(rng.uniform(-5, 5, 20)[: self.shots.value]).float()[None, :, None]
        batch = {"x": x, "y": amplitude * torch.sin(x + phase)}
        return Episode(("wave",), (batch,), batch), amplitude * np.sin(_GRID.numpy() + phase)

    def curves(self, learner: Learner, episode: Episode) -> np.ndarray | None:
        """The predictions on the grid before and after the inner steps, or None if a loss was not finite."""
        try:
            passed = adaptation_data(learner, episode, _GRID, None, self.steps.value, self.rate.value)
        except InputError:
            return None
        return passed[[0, -1], 0].double().numpy()

    def draw(self) -> None:
        """Adapt with the sliders' settings and update the figure and the errors below the sliders."""
        episode, truth = self.episode()
        figure, words = blank("Adapting to a new wave", "x", "y"), []
        figure.update_yaxes(range=[-6.5, 6.5])
        figure.update_layout(uirevision="kept")  # what a reader zoomed, or hid in the legend, stays so
        _add_truth(figure, _GRID, truth)
        for (name, learner), (colour, _) in zip(self.learners.items(), looks(self.learners).values(), strict=True):
            curves = self.curves(learner, episode)
            error = np.inf if curves is None else np.square(curves - truth).mean(1)
            if not np.max(error) <= _RUN_AWAY:  # NaN too
                words.append(f"{name}: the steps ran away, lower the inner rate")
                curves = (None, None)
            else:
                words.append(f"{name}: squared error {error[0]:.2f} before, <b>{error[1]:.2f}</b> after")
            both = {"ω": {"color": colour, "dash": "dash"}, "adapted": {"color": colour, "width": 3}}
            for (when, line), curve in zip(both.items(), curves, strict=True):
                figure.add_scatter(x=_GRID, y=curve, name=f"{name}, {when}", line=line)
        _add_support(figure, *(episode.support[0][axis].flatten() for axis in "xy"))
        self.figure = self.plot.show(figure)
        self.error.value = "<br>".join(words)
