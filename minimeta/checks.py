"""Checks for exercises: they call your function on fresh random inputs and say in words what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np


def inner_step(function: Callable[[float, float, float, float], float], seed: int = 0) -> None:
    """Check `function(w, x, y, rate)`: one gradient step on (w x - y)^2, as in notebook 01."""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        w, x, y, rate = (float(v) for v in rng.uniform(0.1, 2.0, 4))
        slope = 2 * x * (w * x - y)
        named = {
            w + rate * slope: "your step goes uphill: subtract the gradient",
            w - rate * slope / 2: "the factor 2 of the square's derivative is missing",
            w - slope: "your step forgets the inner rate",
            w - rate * 2 * (w * x - y): "the chain rule is missing: the derivative of w x with respect to w is x",
            slope: "this is the gradient; the step is w - rate * gradient",
        }
        if not _compare(
            function(w, x, y, rate), w - rate * slope, named, f"w={w:.3f}, x={x:.3f}, y={y:.3f}, rate={rate:.3f}"
        ):
            return
    print("Right: that is one inner step.")


def meta_gradient(
    function: Callable[[float, tuple[float, float], tuple[float, float], float], float], seed: int = 0
) -> None:
    """Check `function(w, support, query, rate)`: the derivative of the query loss after one inner step."""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        w, x, y, u, v, rate = (float(n) for n in rng.uniform(0.2, 1.5, 6))
        theta = w - rate * 2 * x * (w * x - y)
        outer, inner = 2 * u * (theta * u - v), 1 - 2 * rate * x * x
        named = {
            outer: "this is the first-order answer: multiply by dθ/dw, how the adapted parameter moves with w",
            2 * u * (w * u - v): "this is the query gradient at w; take it at the adapted parameter θ",
            outer * (1 + 2 * rate * x * x): "dθ/dw has the wrong sign inside: it is 1 - 2 rate x^2",
            outer * (1 - rate * x * x): "dθ/dw lacks the factor 2: it is 1 - 2 rate x^2",
            2 * x * (theta * x - y) * inner: "the outer loss is on the query, not on the support",
        }
        given = f"w={w:.3f}, support=({x:.3f}, {y:.3f}), query=({u:.3f}, {v:.3f}), rate={rate:.3f}"
        if not _compare(function(w, (x, y), (u, v), rate), outer * inner, named, given):
            return
    print("Right: the query gradient, times how θ moves with w.")


def pooled_step(function: Callable[[np.ndarray, np.ndarray, Sequence[int], float], Any], seed: int = 0) -> None:
    """Check `function(theta, gradients, labels, rate)`: eq. 5, one row of new parameters per task.

    theta (m, p) and gradients (m, p) per task, labels (m,) clusters; tasks of a cluster have the same theta.
    """
    rng = np.random.default_rng(seed)
    labels = [0, 1, 0, 0, 1]
    theta = rng.standard_normal((2, 3))[labels]
    gradients, rate = rng.standard_normal((5, 3)), 0.3
    same = np.equal.outer(labels, labels).astype(float)
    mean, total = (same / same.sum(1, keepdims=True)) @ gradients, same @ gradients
    named = {
        "sum": (theta - rate * total, "your step uses the sum of the gradients; eq. 5 takes the mean over the cluster"),
        "up": (theta + rate * mean, "your step goes uphill: subtract the pooled gradient"),
        "alone": (theta - rate * gradients, "each task uses its own gradient: that is MAML; pool within the cluster"),
        "all": (theta - rate * gradients.mean(0), "the mean runs over all tasks; take it within each cluster"),
        "wide": (theta - rate * total / 5, "you divide by the number of tasks; divide by the size of the cluster"),
    }
    kept = theta.copy(), gradients.copy()
    answer = function(theta, gradients, labels, rate)
    if answer is None:
        print("Not yet: your function returned None.")
        return
    if not (np.array_equal(theta, kept[0]) and np.array_equal(gradients, kept[1])):
        print("Not yet: your function changes its inputs; work on a copy.")
        return
    try:
        answer = np.asarray(answer, float)
    except (TypeError, ValueError):
        print(f"Not yet: your function returned {answer!r}; expected a row of numbers per task.")
        return
    if answer.shape != theta.shape:
        print(f"Not yet: the result has shape {answer.shape}; it must be {theta.shape}, a row per task.")
        return
    if np.allclose(answer, kept[0] - rate * mean):
        print("Right: every task moves with the mean gradient of its cluster.")
        return
    hint = next((words for values, words in named.values() if np.allclose(answer, values)), "it is not eq. 5")
    print(f"Not yet: {hint}.\n  yours, first task:  {np.round(answer[0], 3)}\n  target, first task: "
          f"{np.round((kept[0] - rate * mean)[0], 3)}")  # fmt: skip


def everyone_then_alone(function: Callable[[int, Sequence[str], Sequence[int]], Sequence[int]]) -> None:
    """Check the grouping `function(step, tasks, parents)` of notebook 00: two steps together, then alone."""
    for count in (3, 7):
        tasks, parents = [f"task {i}" for i in range(count)], [0] * count
        for step in range(1, 5):
            answer = function(step, tasks, parents)
            if answer is None:
                print("Not yet: your grouping returned None.")
                return
            if not isinstance(answer, Iterable):
                print(f"Not yet: your grouping returned {answer!r}; expected one label per task.")
                return
            labels, wanted = list(answer), 1 if step < 3 else count
            found = len(set(labels))
            if len(labels) != count:
                print(f"Not yet: at step {step} your grouping gave {len(labels)} labels for {count} tasks.")
                return
            if found != wanted:
                print(f"Not yet: at step {step} there are {found} clusters of {count} tasks; expected {wanted}.")
                return
            parents = labels
    print("Right: two steps together, then each task alone.")


def _compare(answer: Any, target: float, named: dict[float, str], given: str) -> bool:
    """Compare one answer with the target; print what is wrong, by name where the mistake is known."""
    if answer is None:
        print("Not yet: your function returned None.")
        return False
    try:
        answer = float(answer)
    except (TypeError, ValueError):
        print(f"Not yet: your function returned {answer!r}; expected a number.")
        return False
    if np.isclose(answer, target, rtol=1e-6):
        return True
    hint = next((words for value, words in named.items() if np.isclose(answer, value, rtol=1e-6)), None)
    print(f"Not yet: {hint or 'the value is off'}.\n  for {given}\n  yours {answer:.4f}, target {target:.4f}")
    return False
