"""Checks for exercises: they call your function on fresh random inputs and say in words what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .grouping import Grouping, no_gradients


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


def everyone_then_alone(function: Grouping) -> None:
    """Check the grouping `function(step, tasks, parents, gradients)` of notebook 00: two steps together, then alone."""
    for count in (3, 7):
        tasks, parents = [f"task {i}" for i in range(count)], [0] * count
        for step in range(1, 5):
            answer = function(step, tasks, parents, no_gradients)
            if not _are_labels(answer, "grouping"):
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


def within_parents(function: Callable[[Sequence[int], Sequence[int]], Any], seed: int = 0) -> None:
    """Check `function(found, parents)` of notebook 04: a label per task, equal where both of its labels are equal."""
    rng = np.random.default_rng(seed)
    for count in (4, 9):
        found, parents = rng.integers(0, 3, count).tolist(), rng.integers(0, 2, count).tolist()
        found[:4], parents[:4] = [0, 0, 1, 1], [0, 1, 1, 1]  # a split, and a pair that stays
        answer = function(list(found), list(parents))
        if not _are_labels(answer, "function"):
            return
        labels = list(answer)
        if len(labels) != count:
            print(f"Not yet: your function gave {len(labels)} labels for {count} tasks.")
            return
        for i in range(count):
            for j in range(i):
                together = found[i] == found[j] and parents[i] == parents[j]
                if (labels[i] == labels[j]) == together:
                    continue
                why = (
                    "were found in one cluster and have the same parent, but you part them"
                    if together
                    else "had different parents, but you put them together: clusters never merge"
                    if parents[i] != parents[j]
                    else "have the same parent but were found in different clusters, and you leave them together"
                )
                print(f"Not yet: tasks {j} and {i} {why}.\n  found {found}, parents {parents}, yours {labels}")
                return
    print("Right: the clusters of the gradients, each within its parent.")


def omega(function: Callable[[np.ndarray], float], seed: int = 0) -> None:
    """Check `function(vectors)`: ω of the tasks with these vectors (n, d), as in notebook 03."""
    rng = np.random.default_rng(seed)
    for n in (3, 4, 7):
        vectors = rng.standard_normal((n, 3)) * rng.uniform(0.5, 3.0, (n, 1))
        products, pairs = vectors @ vectors.T, np.triu_indices(n, 1)
        cosines = products / np.sqrt(np.outer(products.diagonal(), products.diagonal()))
        total = cosines[pairs].sum()
        named = {
            cosines.mean(): "each task's similarity to itself is in your mean; take pairs of two different tasks",
            products[pairs].mean(): "these are dot products: bring every vector to length 1 first",
            total: "this is the sum over the pairs; divide by their number, n (n - 1) / 2",
            2 * total / n**2: "you divide by n^2, as if each task made a pair with itself too",
            4 * total / (n * (n - 1)): "every pair is counted twice; divide by n (n - 1) then",
        }
        target = 2 * total / (n * (n - 1))
        if not _compare(function(vectors), target, named, f"{n} vectors in 3 dimensions"):
            return
    print("Right: the mean cosine of all pairs.")


def pair_gain(function: Callable[[Sequence[float], float, int, float], float], seed: int = 0) -> None:
    """Check `function(similarities, b, p, gap)`: the score of "pair" less that of "sibling", as in notebook 03.

    At a root whose children are n tasks and nothing else, with p = n (n - 1) / 2 pairs whose similarities add up
    to b. `similarities` (n,) are the newcomer's; the pair is with the most similar task; `gap` is ξσ.
    """
    rng = np.random.default_rng(seed)
    for n in (2, 3, 4, 5):
        rows = rng.standard_normal((n + 1, 3))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        cosines = rows @ rows.T
        near, p, gap = cosines[n, :n], n * (n - 1) // 2, float(rng.uniform(0.3, 0.6))
        b, best, all_of_it = float(cosines[:n, :n].sum() - n) / 2, float(near.max()), float(near.sum())
        root, sibling = (b + all_of_it - best) ** 2 / (p + n - 1), (b + all_of_it) ** 2 / (p + n)
        pair = best**2 - gap**2 + root
        named = {
            sibling - pair: "the sign is turned: it is the score of the pair less that of the sibling",
            pair + gap**2 - sibling: "the pair's level is not free: subtract the square of the gap",
            pair + gap**2 - gap - sibling: "the price of a level is the square of the gap",
            best**2 - gap**2: "the pair no longer meets at the root: take it out of the root's sum and count",
            best**2 - gap**2 + (b + all_of_it - best) ** 2 / (p + n) - sibling: "the root has one pair less: p + n - 1",
            best**2 - gap**2 + root / (p + n - 1) - sibling / (p + n): "a node explains B^2 / P, not the squared mean",
            pair: "this is the score of the pair; subtract that of the sibling",
        }
        given = f"similarities={np.round(near, 3).tolist()}, b={b:.3f}, p={p}, gap={gap:.3f}"
        if not _compare(function(near.tolist(), b, p, gap), pair - sibling, named, given):
            return
    print("Right: above 0 the newcomer makes a pair, below 0 it is a sibling.")


def agreement(function: Callable[[np.ndarray], float], seed: int = 0) -> None:
    """Check `function(gradients)`: |mean g| / mean |g| of gradients (m, d), as in notebook 05."""
    rng = np.random.default_rng(seed)
    for m, d in ((2, 3), (5, 4), (1, 6)):
        gradients = rng.standard_normal((m, d)) * rng.uniform(0.5, 2, (m, 1))
        lengths = np.linalg.norm(gradients, axis=1)
        mean, unit = np.linalg.norm(gradients.mean(0)), gradients / lengths[:, None]
        named = {
            m * mean / lengths.mean(): "you took the length of the sum; take that of the mean",
            mean: "this is the length of the mean; divide it by the mean length",
            lengths.mean() / mean: "it is upside down",
            mean / np.linalg.norm(gradients): "divide by the mean of the lengths, not by the length of the whole array",
            np.linalg.norm(unit.mean(0)): "you took directions: leave the gradients their lengths",
        }
        if not _compare(function(gradients.copy()), mean / lengths.mean(), named, f"gradients of shape ({m}, {d})"):
            return
    print("Right: that is how far the gradients agree.")


def _are_labels(answer: Any, what: str) -> bool:
    """Can `answer` be labels at all? Print what is wrong with what the reader's `what` returned."""
    if answer is None:
        print(f"Not yet: your {what} returned None.")
    elif not isinstance(answer, Iterable):
        print(f"Not yet: your {what} returned {answer!r}; expected one label per task.")
    return isinstance(answer, Iterable)


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
