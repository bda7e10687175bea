"""A widget without a kernel: what it shows for each choice of its controls is recorded here, and played by `player.js`.

Nothing is computed a second time in another language. A recording turns the widget's own controls, one after the other,
and keeps what the widget then shows; on a page, a control chooses among what was kept.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets

from ..errors import InputError
from ..files import to_write, whole_file
from .pages import pack, write_page
from .style import Plot, in_turn

Values = Sequence[Any] | Callable[[Any], Sequence[Any]] | int | None
"""The values of a control to record: these, or what a function says of the widget as it is, or so many presses of a
button, or all that the control has (None)."""

_KEPT = (
    "value", "index", "_options_labels", "min", "max", "step", "base", "disabled", "description", "icon", "tooltip",
    "interval",
)  # fmt: skip
_Selection = ipywidgets.Dropdown | ipywidgets.ToggleButtons | ipywidgets.SelectionSlider
_PLACED = ("display", "width", "min_width", "min_height", "flex", "flex_flow")


class Explorer(ipywidgets.VBox):
    """A widget that can be recorded and saved as a page.

    `recorded` says which controls live on without a kernel, by the name of the attribute, and with which values beside
    the present one; a control is turned only while it is enabled. A plot among them hears clicks on these positions.
    `moves` says what a button does to one of these controls, ("step", 1) say, and `clicks` which of them takes the
    place of a click on a plot. Everything else shows that it needs a kernel; a widget of which nothing is recorded is
    not on a page.
    """

    recorded: ClassVar[Mapping[str, Values]] = {}
    moves: ClassVar[Mapping[str, tuple[str, int]]] = {}
    clicks: ClassVar[Mapping[str, str]] = {}

    def prepare(self) -> None:
        """Get ready to be recorded: what takes long is no reason to wait for a button."""

    def write_page(self, path: str | Path) -> None:
        """Save the widget, with what is recorded of it, as one HTML file that works from disk and without network."""
        write_page(path, type(self).__name__, {"widget": record(self)})


@dataclass
class _Dial:
    """A control that is turned, and the values that were met so far: what a reader may choose."""

    name: str
    control: ipywidgets.Widget
    values: Values
    met: list[Any] = field(default_factory=list)
    pressed: int = 0
    clicked: Any = None

    @property
    def now(self) -> Any:
        if isinstance(self.control, ipywidgets.Button):
            return self.pressed
        return self.clicked if isinstance(self.control, Plot) else _value(self.control)

    def choices(self) -> Iterator[Any]:
        """The values to be met, the present one first: each is then met once, by one turn."""
        if getattr(self.control, "disabled", False):
            return iter([self.now])
        if isinstance(self.control, ipywidgets.Button):
            return iter(range(self.pressed, self.values))
        if self.values is None:
            values = _all(self.control)
        else:
            values = _as_kept(self.control, self.values() if callable(self.values) else self.values)
        gone = isinstance(self.control, Plot) and self.now is not None and self.now not in values
        return iter([self.now] * (not gone) + [value for value in values if value != self.now])

    def turn(self, value: Any) -> None:
        """Set the control to this value, as a reader would."""
        if isinstance(self.control, ipywidgets.Button):
            while self.pressed < value:
                self.control.click()
                self.pressed += 1
        elif isinstance(self.control, Plot):
            self.clicked = value
            if value is not None:
                self.control.clicked(value)
        elif self.now != value:
            _set(self.control, value)

    def place(self) -> int:
        """Which of the values it has now; a new one is added."""
        if self.now not in self.met:
            self.met.append(self.now)
        return self.met.index(self.now)


@in_turn
def record(widget: Explorer) -> dict[str, Any]:
    """All that the widget shows for the choices that its class names, as JSON can hold it.

    `tree` is the widget's layout. `pool` holds each different value once, `states` which of them each control has;
    `dials` are the controls that choose a state, by the place of their value in `at`. The widget is left as it was, but
    for the presses of its buttons. Raises InputError if the widget cannot be recorded.
    """
    if not isinstance(widget, Explorer):
        raise InputError(f"Only the explorers of minimeta.show can be recorded; this is a {type(widget).__name__}.")
    widget.prepare()
    numbers = {id(each): i for i, each in enumerate(_below(widget))}
    dials = [
        _Dial(name, getattr(widget, name), functools.partial(values, widget) if callable(values) else values)
        for name, values in widget.recorded.items()
    ]
    dials.sort(key=lambda dial: not isinstance(dial.control, ipywidgets.Button))  # a press cannot be taken back
    start, pool, states = [dial.now for dial in dials], {}, {}

    def visit(left: list[_Dial]) -> None:
        if not left:
            at = tuple(dial.place() for dial in dials)
            states.setdefault(at, _shown(widget, pool))
            return
        for value in left[0].choices():
            left[0].turn(value)
            visit(left[1:])

    visit(dials)
    for dial, value in zip(dials, start, strict=True):
        if not isinstance(dial.control, ipywidgets.Button):
            dial.turn(value)
    first, names = next(iter(states.values())), [dial.name for dial in dials]

    def number(name: str) -> int:
        return numbers[id(getattr(widget, name))]

    return {
        "tree": _tree(widget, numbers),
        "pool": [json.loads(value) for value in pool],
        "dials": [{"control": number(dial.name), "kind": _kind(dial.control)} for dial in dials],
        "met": [dial.met if _kind(dial.control) == "click" else [] for dial in dials],
        "moves": {number(name): [names.index(dial), by] for name, (dial, by) in widget.moves.items()},
        "clicks": {number(plot): names.index(dial) for plot, dial in widget.clicks.items()},
        "plays": {numbers[id(each)]: _driven(numbers[id(each)], dials, numbers, states) for each in _players(widget)},
        "play": _plays_by_itself(widget),
        "first": first,
        "states": [[at, {key: i for key, i in shown.items() if first[key] != i}] for at, shown in states.items()],
    }


def _below(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """The widget and all that stands in it, from top to bottom."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _below(child)


def _tree(widget: ipywidgets.Widget, numbers: Mapping[int, int]) -> dict[str, Any]:
    placed = {key: value for key in _PLACED if (value := getattr(widget.layout, key)) is not None}
    found = {"kind": type(widget).__name__, "number": numbers[id(widget)], "placed": placed}
    if isinstance(widget, ipywidgets.Box):
        found["kind"] = "row" if isinstance(widget, ipywidgets.HBox) else "column"
        found["children"] = [_tree(child, numbers) for child in widget.children]
    return found


def _shown(widget: Explorer, pool: dict[str, int]) -> dict[str, int]:
    """What each control shows now, by number and name: places in the pool, which is given what it does not have."""

    def kept(value: Any) -> int:
        return pool.setdefault(json.dumps(value, ensure_ascii=False, separators=(",", ":")), len(pool))

    found = {}
    for i, each in enumerate(_below(widget)):
        if isinstance(each, Plot):
            figure = json.loads(each.wire.value)
            template = kept(figure["layout"].pop("template", {}))
            found[f"{i}.figure"] = kept([[kept(t) for t in figure["data"]], kept(figure["layout"]), template])
        else:
            found |= {f"{i}.{key}": kept(getattr(each, key)) for key in _KEPT if key in each.keys}
        found[f"{i}.hidden"] = kept(each.layout.display == "none")
    return found


def _value(control: ipywidgets.Widget) -> Any:
    return control.index if isinstance(control, _Selection) else control.value


def _set(control: ipywidgets.Widget, value: Any) -> None:
    setattr(control, "index" if isinstance(control, _Selection) else "value", value)


def _all(control: ipywidgets.Widget) -> list[Any]:
    """All values of a control, as `_value` has them."""
    if isinstance(control, _Selection):
        return list(range(len(control.options)))
    return [False, True] if isinstance(control, ipywidgets.Checkbox) else list(range(control.min, control.max + 1))


def _as_kept(control: ipywidgets.Widget, values: Sequence[Any]) -> list[Any]:
    """The given values as `_value` has them: of options, those that there are, by their places."""
    if not isinstance(control, _Selection):
        return list(values)
    there = list(control._options_values)
    return [there.index(value) for value in values if value in there]


def _kind(control: ipywidgets.Widget) -> str:
    if isinstance(control, ipywidgets.Button):
        return "press"
    return "click" if isinstance(control, Plot) else "value"


def _players(widget: Explorer) -> list[ipywidgets.Play]:
    return [each for each in _below(widget) if isinstance(each, ipywidgets.Play)]


def _driven(play: int, dials: Sequence[_Dial], numbers: Mapping[int, int], states: Mapping[Any, dict]) -> int | None:
    """The dial that a play button moves: the one whose value is always the same as its own."""
    for i, dial in enumerate(dials):
        key = f"{numbers[id(dial.control)]}.value"
        if all(shown.get(key) == shown[f"{play}.value"] for shown in states.values()):
            return i
    return None


def _plays_by_itself(widget: Explorer) -> bool:
    """Whether the widget begins to play when it is first seen. (It is asked to, and stopped.)"""
    for plot in (each for each in _below(widget) if isinstance(each, Plot)):
        plot.seen()
    playing = any(each.playing for each in _players(widget))
    for each in _players(widget):
        each.playing = False
    return playing


def recording_of(notebook: Path, cell: str) -> Path:
    """Where a notebook's recording is kept, by the id of its cell."""
    return notebook.parent / "recordings" / f"{notebook.stem}-{cell}.json.gz"


def save(widget: Explorer, path: str | Path) -> None:
    """Write a recording to a file, whole or not at all; the same recording gives the same bytes."""
    with whole_file(to_write(path)) as unfinished:
        unfinished.write_bytes(pack(record(widget)))


def load(path: str | Path) -> dict[str, Any]:
    """Read what `save` has written."""
    return json.loads(gzip.decompress(Path(path).read_bytes()))


def first_figure(recording: Mapping[str, Any]) -> dict[str, Any]:
    """The first plot of a recording as it is shown at first: {"data": ..., "layout": ...}."""
    pool, first = recording["pool"], recording["first"]
    data, layout, template = pool[next(i for key, i in first.items() if key.endswith(".figure"))]
    return {"data": [pool[i] for i in data], "layout": pool[layout] | {"template": pool[template]}}
