"""The values that a student's function is given and gives: told in words, and whether two are the same."""

from __future__ import annotations

import copy
from collections.abc import Mapping
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
    """An array or a tensor, with or without a gradient, as an array of floats."""
    return np.asarray(value.detach() if hasattr(value, "detach") else value, float)


def short(value: Any) -> str:
    """A value as the student would print it, on one line that is not long."""
    text = " ".join(repr(value).split())
    return text if len(text) < 200 else text[:200] + " ..."


def close(one: Any, other: Any) -> bool:
    """Are these the same numbers, but for rounding?"""
    one, other = numbers(one), numbers(other)
    if one.shape != other.shape or not np.isfinite(one).all() or not np.isfinite(other).all():
        return False
    return bool(np.linalg.norm(one - other) <= 1e-8 + 1e-5 * np.linalg.norm(other))


def copied(value: Any) -> Any:
    """A copy, where a value can be changed and compared afterwards: arrays, tensors, tables, and what holds them."""
    if hasattr(value, "detach"):
        return value.detach().clone()
    if isinstance(value, np.ndarray | list | tuple | dict) or hasattr(value, "equals"):
        return copy.deepcopy(value)
    return value


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
        return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=1e-9)
    return now is then or now == then
