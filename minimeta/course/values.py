"""The values that a student's function is given and gives: told in words, and whether two are the same."""

from __future__ import annotations

import contextlib
import copy
import functools
import pickle
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

import numpy as np
from numpy.random import Generator


def told(inputs: Mapping[str, Any]) -> str:
    """The inputs as the student reads them: `w=[0.5, 1.2], X (5, 3), rate=0.1`.

    Of large arrays there is the shape, of functions and generators nothing.
    """
    parts = []
    for name, value in inputs.items():
        shape = tuple(getattr(value, "shape", ()))
        if len(shape) > 1 or shape > (12,):
            parts.append(f"{name} {shape}")
        elif not callable(value) and not isinstance(value, Generator):
            parts.append(f"{name}={_text(value)}")
    return ", ".join(parts)


def _text(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if shape := tuple(getattr(value, "shape", ())):
        return _text(value.tolist()) if len(shape) == 1 else str(shape)
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' * (len(value) == 1)})"
    if hasattr(value, "newick"):
        return value.newick()
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def numbers(value: Any) -> np.ndarray:
    """An array or a tensor, with or without a gradient, or a list of them, as an array of floats; texts are none."""
    if isinstance(value, list | tuple) and any(hasattr(item, "detach") for item in value):
        value = [numbers(item) for item in value]
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    if array.dtype.kind in "US":
        raise TypeError("texts are no numbers")
    return array.astype(float)


def plain(value: Any) -> Any:
    """What is in an array, a tensor or a numpy scalar that holds one thing and has no dimensions."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def extent(value: Any) -> int:
    """How many things are in it: 1 for a number, a text or a function."""
    if isinstance(value, list | tuple):
        return sum(map(extent, value))
    return int(np.prod(value.shape)) if hasattr(value, "shape") else 1


def short(value: Any) -> str:
    """A value as the student would print it, on one line that is not long."""
    text = " ".join(repr(value).split())
    return text if len(text) < 200 else text[:200] + " ..."


def beside(answer: np.ndarray, target: np.ndarray) -> list[str]:
    """Yours and the target: a number, an array (n,), or of an array (m, n) the row that is furthest off.

    They have four digits behind the point, or as many as it takes to tell them apart.
    """
    row = ""
    if target.ndim > 1:
        i = int(np.abs(answer - target).max(tuple(range(1, target.ndim))).argmax())
        answer, target, row = answer[i], target[i], f", row {i}:"
    for digits in (4, 6, 8, 10, 16):
        if target.ndim:
            form = functools.partial(np.array2string, precision=digits, suppress_small=True)
            lines = f"yours{row}  {form(answer)}", f"target{row} {form(target)}"
            apart = form(answer) != form(target)
        else:
            lines = (f"yours {answer:.{digits}f}, target {target:.{digits}f}",)
            apart = f"{answer:.{digits}f}" != f"{target:.{digits}f}"
        if apart:
            break
    return list(lines)


def close(one: Any, other: Any) -> bool:
    """Are these the same numbers, but for rounding? What was computed in float32 is; what has three digits is not."""
    one, other = numbers(one), numbers(other)
    if one.shape != other.shape or not np.isfinite(one).all() or not np.isfinite(other).all():
        return False
    return bool(np.linalg.norm(one - other) <= 4e-6 + 1e-5 * np.linalg.norm(other))


def copied(value: Any) -> Any:
    """A copy, where a value can be changed and compared afterwards: arrays, tensors, tables, and what holds them."""
    if hasattr(value, "detach"):
        return value.detach().clone()
    if isinstance(value, np.ndarray | list | tuple | dict) or hasattr(value, "equals"):
        return copy.deepcopy(value)
    return value


class ListComparison(Exception):
    """A list of numbers was compared with a number, as if it were an array."""


class _Noticing(list):
    """A list that notices when it is taken for an array; `name` is its name in sentences."""

    name = "this"
    __hash__ = None

    def __eq__(self, other: object) -> bool:
        self._notice(other)
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        self._notice(other)
        return super().__ne__(other)

    def _notice(self, other: object) -> None:
        if isinstance(other, np.generic):  # such a number compares itself with each item
            return
        if isinstance(other, int | float) or hasattr(other, "detach"):
            raise ListComparison(
                f"{self.name} is a list: `{self.name} == c` compares the whole list with c and gives one answer, "
                f"not one for each item; make an array first, np.asarray({self.name}) or torch.tensor({self.name})"
            )


def noticing(value: Any, name: str) -> Any:
    """The same value; lists of numbers are new ones that notice that they are compared with a number."""
    if type(value) is not list:
        return value
    if not all(isinstance(item, int | float) for item in value):
        return [noticing(item, name) for item in value]
    new = _Noticing(value)
    new.name = name
    return new


def unused(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is now, before it is called: what it may keep of calls is copied.

    That is what is in its defaults, on itself, and in the lists, dictionaries and sets outside that it names.
    """
    if not isinstance(function, FunctionType):
        return function
    outside = dict(function.__globals__)
    try:
        for name in function.__code__.co_names:
            if isinstance(outside.get(name), list | dict | set):
                outside[name] = copy.deepcopy(outside[name])
        defaults, own = copy.deepcopy((function.__defaults__, function.__dict__))
    except Exception:  # something in them cannot be copied
        return function
    new = FunctionType(function.__code__, outside, function.__name__, defaults, function.__closure__)
    new.__kwdefaults__ = function.__kwdefaults__
    new.__dict__.update(own)
    if outside.get(function.__name__) is function:
        outside[function.__name__] = new
    return new


def same(now: Any, then: Any) -> bool:
    """Is it as it was, but for rounding? An entry that was moved and put back is."""
    if hasattr(then, "equals"):
        return then.equals(now)
    if isinstance(then, np.ndarray | list | tuple | dict) and not isinstance(now, type(then)):
        return False
    if isinstance(then, dict):
        return now.keys() == then.keys() and all(same(now[key], then[key]) for key in then)
    if isinstance(then, list | tuple):
        return len(now) == len(then) and all(map(same, now, then))
    if isinstance(then, np.ndarray) or hasattr(then, "detach"):
        one, other = numbers(now), numbers(then)
        rounding = 1e-9 if "64" in str(then.dtype) else 1e-5
        return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=rounding, equal_nan=True)
    return now is then or (not isinstance(now, list) and now == then)


@contextlib.contextmanager
def shared_state() -> Iterator[list[str]]:
    """What all code shares, random generators and torch's settings, and is changed meanwhile: the list has the names.

    Generators start from a state of their own, so that to seed one is seen each time; all ends as it was before.
    """
    torch = sys.modules.get("torch")
    ways = {  # how to read a state, how to set it, and how to move a generator on
        "np.random": (np.random.get_state, np.random.set_state, np.random.random),
        "random": (random.getstate, random.setstate, random.random),
    }
    if torch:
        ways["torch"] = (
            lambda: torch.get_rng_state().numpy().copy(),
            lambda state: torch.set_rng_state(torch.from_numpy(state)),
            lambda: torch.rand(()),
        )
        ways["torch.set_grad_enabled"] = torch.is_grad_enabled, torch.set_grad_enabled
        ways["torch.autograd.set_detect_anomaly"] = torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly
        ways["torch.set_default_dtype"] = torch.get_default_dtype, torch.set_default_dtype
        ways["torch.set_default_device"] = torch.get_default_device, torch.set_default_device
        ways["torch.set_num_threads"] = torch.get_num_threads, torch.set_num_threads
    kept = {name: read() for name, (read, *_) in ways.items()}
    for _, _, *moves in ways.values():
        for move in moves:
            move()
    began = {name: pickle.dumps(read()) for name, (read, *_) in ways.items()}
    changed: list[str] = []
    try:
        yield changed
    finally:
        changed += [name for name, (read, *_) in ways.items() if pickle.dumps(read()) != began[name]]
        for name, (_, put_back, *moves) in ways.items():
            if moves or name in changed:
                put_back(kept[name])
