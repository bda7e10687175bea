"""Settings of one's own in place of the recipes': by name, for all methods or for one, checked before any run.

They are written `name=value`, or in a TOML file: what stands at its top is for all methods, a table is for the method
that it is named after.

    outer_steps = 500
    [x-maml]
    inner_rate = 0.005
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..compiled import CHOICES
from ..errors import InputError, first_line
from ..files import expanded
from .methods import METHODS

Own = tuple[tuple[str, str, Any], ...]
"""Settings as (method, name, value), in order; the method "" is all methods."""

SWITCHES = ("first_order", "bf16", "tasks_per_chunk")
"""Settings that are the same for all methods of a study: `World` has a field for each."""


@dataclass(frozen=True)
class Kind:
    """What a setting may be, in words and as a question."""

    words: str
    fits: Callable[[Any], bool]


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


STEPS = Kind("a whole number, 0 or more", lambda value: _whole(value, 0))
COUNT = Kind("a whole number, 1 or more", lambda value: _whole(value, 1))
MANY = Kind("a whole number, 1 or more, or all", lambda value: value is None or _whole(value, 1))
RATE = Kind("a finite number above 0", lambda value: _finite(value) and value > 0)
DECAY = Kind("a finite number, 0 or more", lambda value: _finite(value) and value >= 0)
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
COMPILE = Kind("none, auto, trace or inductor", lambda value: value in CHOICES)
ADAPT = Kind("head, the last layer and what stands on it, or all", lambda value: value in ("head", "all"))

KINDS: dict[str, Kind] = {
    "outer_steps": STEPS,
    "inner_rate": RATE,
    "outer_rate": RATE,
    "inner_steps": STEPS,
    "shots": COUNT,
    "queries": COUNT,
    "genres_per_language": MANY,
    "adapt": ADAPT,
    "max_length": COUNT,
    "weight_decay": DECAY,
    "linear_decay": SWITCH,
    "target_shots": COUNT,
    "tune_rate": RATE,
    "tune_batch": COUNT,
    "first_order": SWITCH,
    "tasks_per_chunk": MANY,
    "bf16": SWITCH,
    "compile": COMPILE,
}
"""What each field of `recipes.Settings` may be, but for its scale and its tree."""


def own(given: Mapping[str, Any], where: str = "") -> Own:
    """Settings from values by name, and from mappings like it by method; raises InputError for what is none.

    `where` names the file that they are from, for complaints.
    """
    found: dict[tuple[str, str], Any] = {}
    start = f"{where}: " if where else ""
    for name, value in given.items():
        if isinstance(value, Mapping) and name in METHODS:
            for inner, one in value.items():
                if inner in SWITCHES:
                    raise InputError(
                        f"{start}{inner} is set for {name}, and it is the same for all methods of a study; set it "
                        "without a method."
                    )
                found[name, inner] = _checked(inner, one, f"{start}[{name}] ")
        elif isinstance(value, Mapping) and name not in KINDS:
            raise InputError(f"{start}There is no method {name!r}{_nearest(name, METHODS)}.")
        else:
            found["", name] = _checked(name, value, start)
    return tuple((*key, found[key]) for key in sorted(found))


def _checked(name: str, value: Any, start: str) -> Any:
    """The value of a setting as `recipes.Settings` has it."""
    if name not in KINDS:
        raise InputError(f"{start}There is no setting {name!r}{_nearest(name, KINDS)}.")
    kind = KINDS[name]
    plain = None if (kind, value) in ((MANY, "all"), (COMPILE, "none")) else value
    if not kind.fits(plain):
        raise InputError(f"{start}{name} is {value!r}; it must be {kind.words}.")
    return float(plain) if kind in (RATE, DECAY) else plain


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f" (did you mean {close[0]}?)" if close else f"; there are {', '.join(known)}"


def from_words(words: Sequence[str]) -> dict[str, Any]:
    """Values by name from words like `inner_steps=8`; raises InputError for a word that is none, or contradicts."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals and text):
            raise InputError(f"--set takes NAME=VALUE, inner_steps=8 for one, and not {word!r}.")
        if repr(found.setdefault(name, value := _value(text))) != repr(value):
            raise InputError(f"--set has two values of {name}; give one.")
    return found


def _value(text: str) -> Any:
    """A word as the truth value, the number or the text that it is."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def from_file(path: str | Path) -> Own:
    """Settings from a TOML file; raises InputError if it cannot be read, or for what it may not say."""
    path = Path(expanded(path))
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"The settings {path} cannot be read ({error.strerror}); name a TOML file.") from None
    except ValueError as error:  # no TOML, or no text at all
        raise InputError(f"{path} is no TOML file ({first_line(error)}); write lines like inner_rate = 0.05.") from None
    return own(given, str(path))


def given(words: Sequence[str], path: str | None) -> Own:
    """What `--set` and `--settings` say together: a word wins over the file, also over its tables of methods."""
    said = own(from_words(words))
    names = {name for _, name, _ in said}
    return said + tuple(each for each in (from_file(path) if path else ()) if each[1] not in names)


def of_method(settings: Own, method: str) -> dict[str, Any]:
    """The values for a method: its own, and those of all methods beside them."""
    return {name: value for whose in ("", method) for of, name, value in settings if of == whose}


def nested(settings: Own) -> dict[str, Any]:
    """Settings as `own` takes them and as JSON keeps them."""
    found: dict[str, Any] = {name: value for method, name, value in settings if not method}
    for method, name, value in settings:
        if method:
            found.setdefault(method, {})[name] = value
    return found


def words(settings: Mapping[str, Any]) -> str:
    """Settings as `nested` gives them, as words like `inner_steps=8 x-maml.inner_rate=0.005`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= {f"{name}.{inner}": one for inner, one in value.items()} if name in METHODS else {name: value}
    return " ".join(f"{name}={'all' if value is None else value}" for name, value in flat.items())


def toml(settings: Own) -> str:
    """Settings as a file that `from_file` reads."""
    lines: list[str] = []
    for name, value in nested(settings).items():
        inside = value if isinstance(value, dict) else {name: value}
        lines += [f"\n[{name}]"] * isinstance(value, dict)
        lines += [f"{inner} = {json.dumps('all' if one is None else one)}" for inner, one in inside.items()]
    return "\n".join(lines) + "\n"
