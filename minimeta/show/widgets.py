"""Widgets for the notebooks: a figure that keeps what it shows, and sliders over the figures of `plots`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import plotly.graph_objects as go
import torch
import traitlets
from plotly.offline import get_plotlyjs

from ..errors import InputError
from ..inner import Learner
from ..tasks import Episode
from . import plots

_GRID = torch.linspace(-5, 5, 101)
_RUN_AWAY = 1e4  # a squared error far beyond any wave's


class Plot(anywidget.AnyWidget):
    """A plotly figure that is drawn in place, outlives a reload of the page, and tells `clicked` which node was hit.

    All plots of a page share one plotly.js, which comes from the kernel. An anywidget that needs more than two seconds
    to start is deaf from then on: nothing that the kernel sends arrives. A page that is loading, on a busy machine, can
    be that slow. So the figure and plotly.js come through `wire`, a plain widget that is never shown and has no such
    limit. (And so plotly's own FigureWidget, an anywidget with 5 MB of code for each figure, is not used here.)
    """

    _esm = """
    const load = wire => globalThis.minimetaPlotly ??= new Promise(done => {
        wire.on("msg:custom", (_, [source]) => {
            const module = {exports: {}};
            new Function("module", new TextDecoder().decode(source))(module);
            done(module.exports);
        });
        wire.on("comm_live_update", () => delete globalThis.minimetaPlotly);  // its kernel is gone: ask the next one
        wire.send({want: "plotly.js"});
    });
    async function render({model, el}) {
        const wire = await model.widget_manager.get_model(model.get("wire").replace("IPY_MODEL_", ""));
        const plotly = await load(wire), plot = el.appendChild(document.createElement("div"));
        const draw = () => {
            const {data, layout} = JSON.parse(wire.get("value"));
            return plotly.react(plot, data, layout, {displaylogo: false});
        };
        await draw();
        wire.on("change:value", draw);
        plot.on("plotly_click", ({points}) => wire.send({node: points[0].customdata}));
        return () => wire.off("change:value", draw);
    }
    export default {render};
    """
    wire = traitlets.Instance(ipywidgets.HTML).tag(sync=True, **ipywidgets.widget_serialization)

    def __init__(self, clicked: Callable[[int], None] = lambda node: None) -> None:
        super().__init__(wire=ipywidgets.HTML(go.Figure().to_json()))
        self.clicked = clicked
        self.wire.on_msg(self.hear)

    @property
    def shown(self) -> str:
        """The figure that is drawn, as JSON."""
        return self.wire.value

    def hear(self, _: Any, message: Mapping[str, Any], __: Any = None) -> None:
        """Answer the browser: it wants plotly.js, or somebody clicked a point (a node, if it has a position)."""
        if "want" in message:
            self.wire.send({}, [get_plotlyjs().encode()])
        elif message.get("node") is not None:
            self.clicked(message["node"])

    def show(self, figure: go.Figure) -> go.Figure:
        """Draw this figure in the place of the one before; returns it."""
        self.wire.value = figure.to_json()
        return figure


class SinusoidExplorer(ipywidgets.VBox):
    """Adapt a sinusoid learner by hand: sliders for inner rate, inner steps, shots and the wave to adapt to.

    `figure` shows the prediction of each learner before and after the steps; `learners` are given by name. A learner
    whose steps run away is said to, and has no lines.
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
        self.error, self.plot = ipywidgets.HTML(), Plot()
        for slider in (self.rate, self.steps, self.shots, self.wave):
            slider.observe(lambda _: self.draw(), names="value")
        super().__init__([self.rate, self.steps, self.shots, self.wave, self.error, self.plot])
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
        figure, words = plots.blank("Adapting to a new wave", "x", "y"), []
        figure.update_yaxes(range=[-6.5, 6.5])
        figure.update_layout(uirevision="kept")  # what a reader zoomed, or hid in the legend, stays so
        figure.add_scatter(x=_GRID, y=truth, name="truth", line={"color": "#999999", "width": 6}, opacity=0.5)
        for (name, learner), colour in zip(self.learners.items(), itertools.cycle(plots.COLOURS), strict=False):
            curves = self.curves(learner, episode)
            error = np.inf if curves is None else np.square(curves - truth).mean(1)
            if not np.max(error) <= _RUN_AWAY:  # NaN too
                words.append(f"{name}: the steps ran away, lower the inner rate")
                curves = (None, None)
            else:
                words.append(f"{name}: squared error {error[0]:.2f} before, <b>{error[1]:.2f}</b> after")
            looks = {"ω": {"color": colour, "dash": "dash"}, "adapted": {"color": colour, "width": 3}}
            for (when, line), curve in zip(looks.items(), curves, strict=True):
                figure.add_scatter(x=_GRID, y=curve, name=f"{name}, {when}", line=line)
        x, y = (episode.support[0][axis].flatten() for axis in "xy")
        marker = {"color": "#000000", "size": 9, "symbol": "x"}
        figure.add_scatter(x=x, y=y, name="support (shots)", mode="markers", marker=marker)
        self.figure = self.plot.show(figure)
        self.error.value = "<br>".join(words)
