"""Widgets for the notebooks: sliders over the figures of `plots`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import torch

from . import plots
from .errors import InputError
from .inner import Learner
from .tasks import Episode

_GRID = torch.linspace(-5, 5, 101)
_RUN_AWAY = 1e4  # a squared error far beyond any wave's


class SinusoidExplorer(ipywidgets.VBox):
    """Adapt a sinusoid learner by hand: sliders for inner rate, inner steps, shots and the wave to adapt to.

    `figure` shows the prediction of each learner before and after the steps; `learners` are given by name.
    """

    def __init__(self, learners: Mapping[str, Learner], seed: int = 0) -> None:
        self.learners, self.seed = dict(learners), seed
        wide = {"style": {"description_width": "90px"}, "layout": {"width": "420px"}, "continuous_update": True}
        self.rate = ipywidgets.FloatLogSlider(
            value=0.01, base=10, min=-3, max=-1, step=0.1, description="inner rate", **wide
        )
        self.steps = ipywidgets.IntSlider(value=5, min=0, max=20, description="inner steps", **wide)
        self.shots = ipywidgets.IntSlider(value=10, min=1, max=20, description="shots", **wide)
        self.wave = ipywidgets.IntSlider(value=0, min=0, max=20, description="wave", **wide)
        self.error = ipywidgets.HTML()
        self.figure = go.FigureWidget(plots.blank("Adapting to a new wave", "x", "y"))
        self.figure.update_yaxes(range=[-6.5, 6.5])
        grey = {"color": "#999999", "width": 6}
        self.figure.add_scatter(name="truth", line=grey, opacity=0.5)
        for name, colour in zip(self.learners, itertools.cycle(plots.COLOURS), strict=False):
            self.figure.add_scatter(name=f"{name}, ω", line={"color": colour, "dash": "dash"})
            self.figure.add_scatter(name=f"{name}, adapted", line={"color": colour, "width": 3})
        marker = {"color": "#000000", "size": 9, "symbol": "x"}
        self.figure.add_scatter(name="support (shots)", mode="markers", marker=marker)
        for slider in (self.rate, self.steps, self.shots, self.wave):
            slider.observe(lambda _: self.draw(), names="value")
        super().__init__([self.rate, self.steps, self.shots, self.wave, self.error, self.figure])
        self.draw()

    def episode(self) -> tuple[Episode, np.ndarray]:
        """The chosen wave with the chosen number of shots, and its true values on the grid."""
        rng = np.random.default_rng((self.seed, self.wave.value))
        amplitude, phase = rng.uniform(0.1, 5.0), rng.uniform(0.0, np.pi)
        x = torch.from_numpy(rng.uniform(-5, 5, 20)[: self.shots.value]).float()[None, :, None]
        batch = {"x": x, "y": amplitude * torch.sin(x + phase)}
        return Episode(("wave",), (batch,), batch), amplitude * np.sin(_GRID.numpy() + phase)

    def curves(self, learner: Learner, episode: Episode) -> np.ndarray | None:
        """The predictions on the grid before and after the inner steps, or None if a loss was not finite."""
        try:
            both = [
                plots.adapted_curves(learner, episode, _GRID, None, steps, self.rate.value)
                for steps in (0, self.steps.value)
            ]
        except InputError:
            return None
        return torch.cat(both).double().numpy()

    def draw(self) -> None:
        """Adapt with the sliders' settings and update the figure and the errors below the sliders."""
        episode, truth = self.episode()
        words = []
        with self.figure.batch_update():
            traces = iter(self.figure.data)
            _curve(next(traces), truth)
            for name, learner in self.learners.items():
                before, after = next(traces), next(traces)
                curves = self.curves(learner, episode)
                error = np.inf if curves is None else np.square(curves - truth).mean(1)
                if not np.max(error) <= _RUN_AWAY:  # NaN too
                    _curve(before, None), _curve(after, None)
                    words.append(f"{name}: the steps ran away, lower the inner rate")
                    continue
                _curve(before, curves[0]), _curve(after, curves[1])
                words.append(f"{name}: squared error {error[0]:.2f} before, <b>{error[1]:.2f}</b> after")
            support = next(traces)
            support.x, support.y = (episode.support[0][axis].flatten().numpy() for axis in "xy")
        self.error.value = "<br>".join(words)


def _curve(trace: go.Scatter, values: np.ndarray | None) -> None:
    """Give a trace its values on the grid; x goes with y each time, or the browser forgets it."""
    trace.x = None if values is None else _GRID.tolist()
    trace.y = None if values is None else values.tolist()
