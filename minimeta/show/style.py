"""What all figures and widgets share: palette, words and numbers, tables, intervals, controls, and `Plot`.

What they show is data, not markup: names, sentences and labels are shown as written.
"""

from __future__ import annotations

import copy
import functools
import html
import itertools
import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anywidget
import ipywidgets
import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import traitlets
from plotly.offline import get_plotlyjs

from ..errors import InputError
from ..text.languages import language
from ..trees import TaskTree
from .pages import spoken, write_page

Answer = TypeVar("Answer")

# Okabe and Ito's colours: told apart by colour-blind readers too.
# The last two, grey and brown, stand in for the black of the original, which a dark page would swallow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#A6611A")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hourglass")
INK = "#777777"
"""For words and marks on the page itself: as far from white (4.5 : 1) as from JupyterLab's dark (4.2 : 1)."""
FAINT = "rgba(128, 128, 128, 0.3)"
AROUND_ZERO = ((0, COLOURS[0]), (0.5, "#FFFFFF"), (1, COLOURS[1]))
"""The colours of every heat map of numbers with a sign: blue below 0, white at 0, orange above."""

BLUE, RED, GREEN, PINK, YELLOW, SKY, GREY, BROWN = COLOURS
LOOKS = {  # of a method, in every figure
    "Baseline": (GREY, "dot"),
    "Joint": (GREY, "solid"),
    "MAML": (BLUE, "solid"),
    "X-MAML": (SKY, "solid"),
    "XLA-MAML": (PINK, "solid"),
    "XLA-MAML bi-pair": (PINK, "dash"),
    "XLA-MAML few-shot": (PINK, "dot"),
    "Fixed TreeMAML": (GREEN, "solid"),
    "Families TreeMAML": (GREEN, "dot"),
    "Fixed, halves first": (GREEN, "dash"),
    "Learned TreeMAML": (YELLOW, "solid"),
    "Learned, memory": (YELLOW, "dash"),
    "Random tree": (RED, "dash"),
    "Everyone": (BROWN, "dot"),
}
OTHERS = ((RED, "solid"), (BLUE, "dash"), (SKY, "dot"), (GREY, "dashdot"))  # of the first names that are no methods'


def method_of(name: str) -> str:
    """The method (of `LOOKS`) with which a name begins, like "Joint (no inner step)"; "" if there is none."""
    return max((method for method in LOOKS if name.startswith(method)), key=len, default="")


def looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a dash for each name: a method's own, and for other names those that are left.

    A name that begins with a method's, like "Joint (no inner step)", has its look too, unless that is taken.
    """
    names = list(names)
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        own = LOOKS.get(method_of(name))
        if own and own not in found.values():
            found[name] = own
    pairs = dict.fromkeys((*OTHERS, *((colour, dash) for dash in DASHES[1:] for colour in COLOURS)))
    left = [look for look in pairs if look not in (*LOOKS.values(), *found.values())]
    used = {colour for colour, _ in found.values()}
    left.sort(key=lambda look: look[0] in used)  # a colour of its own, as long as there is one
    others = itertools.cycle(left)
    return {name: found[name] if name in found else next(others) for name in names}


def family_colours(tasks: Sequence[str], tree: TaskTree) -> np.ndarray:
    """Red, green and blue of each task, (m, 3): one hue for each half of the tree, a shade for each quarter in it."""
    shades = ((BLUE, SKY), (RED, YELLOW), (GREEN, "#7FCBB2"), (PINK, "#8C4A6F"))
    halves, quarters = tree.clusters(2), tree.clusters(3)
    order = list(dict.fromkeys(halves[task] for task in tree.leaves))
    found = []
    for task in tasks:
        inside = list(dict.fromkeys(quarters[leaf] for leaf in tree.leaves if halves[leaf] == halves[task]))
        pair = shades[order.index(halves[task]) % len(shades)]
        colour = pair[inside.index(quarters[task]) % len(pair)]
        found.append([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.array(found, float)


def css(colour: np.ndarray) -> str:
    """Red, green and blue (3,) as plotly takes them."""
    return "rgb({:.0f}, {:.0f}, {:.0f})".format(*colour)


def _template() -> go.layout.Template:
    template = copy.deepcopy(pio.templates["plotly_white"])
    template.layout.update(paper_bgcolor="rgba(0, 0, 0, 0)", plot_bgcolor="rgba(0, 0, 0, 0)", font_color=INK)
    for axis in (template.layout.xaxis, template.layout.yaxis):
        axis.update(gridcolor=FAINT, zerolinecolor=FAINT, linecolor=FAINT)
    return template


TEMPLATE = _template()


class Figure(go.Figure):
    """A plotly figure that can be saved as a page, for slides and mails."""

    def write_page(self, path: str | Path) -> None:
        """Save the figure, alive, as one HTML file that works from disk and without network."""
        write_page(path, spoken(self.layout.title.text or "Figure"), {"figure": json.loads(self.to_json())})


def blank(title: str, x: str = "", y: str = "", height: int = 380) -> Figure:
    """An empty figure in the house style: no card of its own, so that it is light or dark as the page is."""
    figure = Figure()
    figure.update_layout(
        template=TEMPLATE,
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 15}},
        xaxis_title=x,
        yaxis_title=y,
        height=height,
        width=760,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        legend={"itemsizing": "constant", "itemwidth": 60},
    )
    return figure


def panels(title: str, rows: int, columns: int, **how: Any) -> Figure:
    """An empty figure in the house style with so many panels; `how` is for plotly's `make_subplots`."""
    return Figure().set_subplots(rows, columns, **how).update_layout(blank(title).layout)


def arrow(
    name: str, start: Sequence[float], end: Sequence[float], colour: str, dash: str = "solid", width: float = 3,
    head: float = 14,
) -> go.Scatter:  # fmt: skip
    """An arrow from `start` to `end` (both x, y), with a head of this size in pixels."""
    marker = {"color": colour, "size": [0, head], "symbol": "arrow", "angleref": "previous", "opacity": 1}
    line = {"color": colour, "width": width, "dash": dash}
    x, y = ([round(float(place[axis]), 4) for place in (start, end)] for axis in (0, 1))
    return go.Scatter(x=x, y=y, mode="lines+markers", marker=marker | {"line_width": 0}, line=line, name=name)


def through_frames(
    figure: go.Figure,
    prefix: str,
    active: int,
    hold: int,
    glide: int,
    redraw: bool = False,
    play: bool = False,
    **place: Any,
) -> go.Figure:
    """Give the figure a slider through its frames, and with `play` a button that shows one after the other.

    `active` is the place of the frame that is shown at first; a frame is held for `hold` milliseconds, and what moves
    glides for `glide` of them. `place` says where the slider is.
    """
    timing = {"frame": {"duration": hold, "redraw": redraw}, "transition": {"duration": glide}, "mode": "immediate"}
    names, look = [frame.name for frame in figure.frames], {"bgcolor": FAINT, "bordercolor": FAINT, **place}
    steps = [{"method": "animate", "label": name, "args": [[name], timing]} for name in names]
    slider = {"active": active, "steps": steps, "currentvalue": {"prefix": prefix}} | look
    if play:
        button = {"label": "▶ play", "method": "animate", "args": [names, timing]}
        menu = {
            "type": "buttons",
            "x": 0,
            "y": -0.04,
            "xanchor": "left",
            "yanchor": "top",
            "pad": {"t": 22},
            "showactive": False,
        }
        figure.update_layout(updatemenus=[menu | look | {"buttons": [button]}])
        slider |= {"x": 0.16, "len": 0.84}
    return figure.update_layout(sliders=[slider])


LEGEND_ABOVE = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}


def places(names: Sequence[str], start: float, end: float, **more: Any) -> dict[str, Any]:
    """An axis from `start` to `end` with names at 0, 1, 2, ..."""
    ticks = {"tickvals": list(range(len(names))), "ticktext": list(names), "range": [start, end]}
    return {**ticks, "zeroline": False, "automargin": True, **more}


# Words and numbers


def plain(name: str, limit: int = 28) -> str:
    """A name as plotly shows it to the letter: cut if it is long, without markup, entities or formulas."""
    name = name if len(name) <= limit else name[: limit - 1] + "…"
    return html.escape(name, quote=False).replace("$", "&#36;")


def smoothed(values: Sequence[float], over: int) -> list[float]:
    """The mean of each value with those before it, `over` values at most."""
    return [np.mean(values[max(0, i + 1 - over) : i + 1]) for i in range(len(values))]


def language_name(code: str) -> str:
    """The name of a language; the code itself, if it is none."""
    try:
        return language(code).name
    except InputError:
        return code


def in_script(markup: str, code: str, css: str = "") -> str:
    """A text in a language, as HTML, in the direction of its script.

    Not in that of its first letter (`dir="auto"`), which would turn an Arabic text that begins with a Latin name.
    """
    way = "rtl" if language(code).right_to_left else "ltr"
    return f"<div dir='{way}' lang='{code}'{_style(css)}>{markup}</div>"


def complaint(what: str, error: object) -> str:
    """Why there is nothing to show, as HTML."""
    return f"<p style='line-height:1.6'><b>{what}</b> {html.escape(str(error))}</p>"


# Tables and intervals


def table(head: Iterable[str], rows: Iterable[Iterable[str]], css: str | Sequence[str] = "", whole: str = "") -> str:
    """Cells, which are HTML, as a table; `css` is that of all cells, or of each column, `whole` that of the table."""

    def line(cells: Iterable[str], tag: str) -> str:
        each = itertools.repeat(css) if isinstance(css, str) else css
        return "".join(f"<{tag}{_style(look)}>{cell}</{tag}>" for cell, look in zip(cells, each, strict=False))

    lines = [line(head, "th"), *(line(row, "td") for row in rows)]
    return f"<table{_style(whole)}>" + "".join(f"<tr>{each}</tr>" for each in lines) + "</table>"


def beside(parts: Iterable[str], width: int) -> str:
    """Pieces of HTML side by side, below each other where there is no room for two of this width (pixels)."""
    boxes = "".join(f"<div style='flex:1 1 {width}px'>{part}</div>" for part in parts)
    return f"<div style='display:flex;flex-wrap:wrap;gap:8px 24px'>{boxes}</div>"


def _style(css: str) -> str:
    return f" style='{css}'" if css else ""


def error_bars(gain: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
    """Plotly's bars for intervals from `low` to `high` around `gain`, all (n,)."""
    return {"array": high - gain, "arrayminus": gain - low}


Gain = tuple[float, ...]
"""A difference in points and the ends of its interval, NaN where there is none; then each seed's own, if known."""


def forest(found: Mapping[str, Mapping[str, Gain]], title: str) -> go.Figure:
    """Differences in points, with 95 % intervals where they have one: `found[group][name]`, a row for each name.

    A group that begins with a method's name has its colour; where none does, they have those that differ most.
    Small marks are the seeds' own differences.
    """
    rows = list(dict.fromkeys(name for group in found.values() for name in group))
    methods = any(map(method_of, found))
    colours = [look[0] for look in looks(found).values()] if methods else itertools.cycle(COLOURS)
    if not rows:
        raise InputError("There is nothing to draw: no difference was given.")
    figure = blank(title, "points", height=150 + len(rows) * (16 + 11 * len(found)))
    for i, ((group, values), colour) in enumerate(zip(found.items(), colours, strict=False)):
        gain, low, high = np.array([each[:3] for each in values.values()], float).reshape(-1, 3).T
        place = [rows.index(name) + 0.2 * (i - (len(found) - 1) / 2) for name in values]
        marker = {"color": colour, "size": 9, "symbol": SYMBOLS[i % len(SYMBOLS)]}
        bars = error_bars(gain, low, high) if np.isfinite(low).any() else None
        figure.add_scatter(x=gain, y=place, error_x=bars, mode="markers", marker=marker, name=group)
        seeds = [(seed, at) for each, at in zip(values.values(), place, strict=True) for seed in each[3:]]
        if seeds:
            x, y = zip(*seeds, strict=True)
            small = marker | {"size": 7, "line": {"width": 1, "color": INK}}
            figure.add_scatter(x=x, y=y, name=f"{group}, seeds", mode="markers", marker=small, showlegend=False)
    figure.add_vline(0, line={"color": "#888888", "dash": "dot"})
    figure.update_layout(showlegend=True, legend=LEGEND_ABOVE | {"itemwidth": 30}, margin={"t": 85, "l": 10})
    return figure.update_yaxes(**places(rows, len(rows) - 0.4, -0.6))


# Widgets

WIDE = {"style": {"description_width": "95px"}, "layout": {"width": "380px"}}
"""How wide a control is, and its description."""


def menu(description: str, options: Sequence[str] | Mapping[str, Any], value: Any = None) -> ipywidgets.Dropdown:
    """Something to choose from; without a value, it begins with the first one."""
    chosen = {} if value is None else {"value": value}
    return ipywidgets.Dropdown(options=options, description=description, **chosen, **WIDE)


def language_menu(description: str, codes: Iterable[str], value: str) -> ipywidgets.Dropdown:
    """Languages to choose from, by name and code."""
    return menu(description, {f"{language_name(code)} ({code})": code for code in codes}, value)


def slider(
    description: str, value: float, low: float, high: float, step: float = 1
) -> ipywidgets.IntSlider | ipywidgets.FloatSlider:
    """A number to choose; a whole one, if `step` is."""
    kind = ipywidgets.IntSlider if isinstance(step, int) else ipywidgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=description, **WIDE)


_alone = threading.RLock()


def in_turn(act: Callable[..., Answer]) -> Callable[..., Answer]:
    """`act`, one at a time with all else that is wrapped so: JupyterLab has a thread of its own for what readers do."""

    @functools.wraps(act)
    def answer(*given: Any) -> Answer:
        with _alone:
            return act(*given)

    return answer


def button(words: str, icon: str, act: Callable[[], object]) -> ipywidgets.Button:
    """A button as wide as its words; a press calls `act`."""
    made = ipywidgets.Button(description=words, icon=icon, layout={"width": "max-content"})
    made.on_click(in_turn(lambda _: act()))
    return made


def in_a_row(*widgets: ipywidgets.Widget) -> ipywidgets.HBox:
    """Widgets in a row, below each other where there is no room."""
    return ipywidgets.HBox(widgets, layout={"flex_flow": "row wrap"})


def on_change(act: Callable[[], object], *controls: ipywidgets.Widget) -> None:
    """Call `act` when one of the controls has another value."""

    def changed(change: Any) -> None:
        # A page that opens sends a slider's number back as it reckons it itself, 0.09999999999999999 for 0.1.
        floats = isinstance(change.old, float) and isinstance(change.new, float)
        if not (floats and math.isclose(change.old, change.new, abs_tol=1e-9)):
            act()

    for control in controls:
        control.observe(in_turn(changed), names="value")


class Plot(anywidget.AnyWidget):
    """A plotly figure that is drawn in place, outlives a reload of the page, and tells which node was hit.

    `clicked` hears a node's position, `dragged` the new centre of the first shape of the figure, if it is editable, and
    `seen` that the figure came into view on a page, unless the reader's system asks for less motion. Letters have the
    page's own colour, also after a change of theme.

    All plots of a page share one plotly.js, which comes from the kernel. An anywidget that needs more than two seconds
    to start is deaf from then on: nothing that the kernel sends arrives. A page that is loading, on a busy machine, can
    be that slow. So the figure and plotly.js come through `wire`, a plain widget that is never shown and has no such
    limit. (And so plotly's own FigureWidget, an anywidget with 5 MB of code for each figure, is not used here.)
    """

    _esm = Path(__file__).with_name("plot.js")
    wire = traitlets.Instance(ipywidgets.HTML).tag(sync=True, **ipywidgets.widget_serialization)

    def __init__(
        self,
        clicked: Callable[[int], None] = lambda node: None,
        dragged: Callable[[float, float], None] = lambda x, y: None,
        seen: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(wire=ipywidgets.HTML(go.Figure().to_json()))
        self.clicked, self.dragged, self.seen = clicked, dragged, seen
        self.wire.on_msg(in_turn(self.hear))

    def hear(self, _: Any, message: Mapping[str, Any], __: Any = None) -> None:
        """Answer the browser: it wants plotly.js, or a reader clicked a point (a node's position), dragged or looks."""
        if "want" in message:
            self.wire.send({}, [get_plotlyjs().encode()])
        elif "place" in message:
            self.dragged(*message["place"])
        elif "seen" in message:
            self.seen()
        elif message.get("node") is not None:
            self.clicked(message["node"])

    def show(self, figure: go.Figure) -> go.Figure:
        """Draw this figure in the place of the one before; returns it."""
        self.wire.value = figure.to_json()
        return figure
