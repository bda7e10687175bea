"""Checks for the exercises about the method, notebooks 00 to 05.

They call your function on fresh random inputs and say in words what is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator

from ..grouping import no_gradients
from .inner_loop import inner_loop as inner_loop
from .verdict import Student, compare_each, exercise, parted, small_first


def signed(rng: Generator, count: int, least: float = 0.2, most: float = 1.9) -> list[float]:
    """So many numbers of two digits, above and below 0 and not near it."""
    return (rng.uniform(least, most, count) * rng.choice([-1, 1], count)).round(2).tolist()


@exercise("that is one inner step.")
def inner_step(student: Student, rng: Generator) -> None:
    """Check `function(w, x, y, rate)`: w after one gradient step on (w x - y)^2, as in notebook 01; all numbers."""
    cases = []
    for _ in range(10):
        w, x, y, rate = *signed(rng, 3), round(float(rng.uniform(0.05, 0.95)), 2)
        slope = 2 * x * (w * x - y)
        named = {
            "the derivative of w x is x with its sign": w - rate * 2 * abs(x) * (w * x - y),
            "your step goes uphill: subtract the gradient": w + rate * slope,
            "the factor 2 of the square's derivative is missing": w - rate * slope / 2,
            "your step forgets the inner rate": w - slope,
            "the chain rule is missing: the derivative of w x with respect to w is x": w - rate * 2 * (w * x - y),
            "this is the gradient; the step is w - rate * gradient": slope,
            "this is the change alone; add it to w": -rate * slope,
        }
        cases.append((student(w=w, x=x, y=y, rate=rate), w - rate * slope, named))
    compare_each(cases)


@exercise("the query gradient, times how θ moves with w.")
def meta_gradient(student: Student, rng: Generator) -> None:
    """Check `function(w, support, query, rate)`: the derivative of the query loss after one inner step.

    support and query are pairs (x, y) of numbers.
    """
    cases = []
    for _ in range(10):
        w, x, y, u, v, rate = *signed(rng, 5), round(float(rng.uniform(0.05, 0.95)), 2)
        theta = w - rate * 2 * x * (w * x - y)
        outer, inner = 2 * u * (theta * u - v), 1 - 2 * rate * x * x
        named = {
            "this is the first-order answer: multiply by dθ/dw, how the adapted parameter moves with w": outer,
            "this is the query gradient at w; take it at the adapted parameter θ": 2 * u * (w * u - v),
            "dθ/dw has the wrong sign inside: it is 1 - 2 rate x^2": outer * (1 + 2 * rate * x * x),
            "dθ/dw lacks the factor 2: it is 1 - 2 rate x^2": outer * (1 - rate * x * x),
            "dθ/dw has x squared: it is 1 - 2 rate x^2": outer * (1 - 2 * rate * x),
            "dθ/dw is the support's: 1 - 2 rate x^2, with x in place of u": outer * (1 - 2 * rate * u * u),
            "the query gradient is taken at w; take it at the adapted parameter θ": 2 * u * (w * u - v) * inner,
            "the outer loss is on the query, not on the support": 2 * x * (theta * x - y) * inner,
        }
        cases.append((student(w=w, support=(x, y), query=(u, v), rate=rate), outer * inner, named))
    compare_each(cases)


@exercise("every task moves with the mean gradient of its cluster.")
def pooled_step(student: Student, rng: Generator) -> None:
    """Check `function(theta, gradients, labels, rate)`: eq. 5, one row of new parameters per task.

    theta (m, p) and gradients (m, p) per task, labels (m,) clusters; tasks of a cluster have the same theta.
    """

    def draw() -> dict[str, Any]:
        m, p = rng.integers(1, 8, 2)
        labels = rng.choice(rng.permutation(13)[: rng.integers(1, 6)], m).tolist()
        theta = rng.standard_normal((13, p))[labels]
        rate = round(float(rng.uniform(0.05, 0.95)), 2)
        gradients = rng.standard_normal((m, p))
        if rng.random() < 0.5:  # two tasks may want the same
            gradients[-1] = gradients[0]
        return {"theta": theta, "gradients": gradients, "labels": labels, "rate": rate}

    cases = []
    for inputs in small_first(draw, 20):
        theta, gradients, labels, rate = inputs.values()
        same = np.equal.outer(labels, labels).astype(float)
        mean, total = (same / same.sum(1, keepdims=True)) @ gradients, same @ gradients
        by_number = theta - rate * total / len(labels)
        named = {
            "your parameters do not move at all": theta,
            "your step uses the sum of the gradients; eq. 5 takes the mean over the cluster": theta - rate * total,
            "your step goes uphill: subtract the pooled gradient": theta + rate * mean,
            "your step forgets the rate": theta - mean,
            "each task uses its own gradient: that is MAML; pool within the cluster": theta - rate * gradients,
            "the mean runs over all tasks; take it within each cluster": theta - rate * gradients.mean(0),
            "your mean is one number: it runs over the parameters too; take it over the tasks alone, axis=0": (
                theta - rate * mean.mean(1, keepdims=True)
            ),
            "you divide by the number of tasks; divide by the size of the cluster": by_number,
            "these are the pooled gradients; the answer is the new parameters": mean,
        }
        cases.append((student(**inputs), theta - rate * mean, named))
    compare_each(cases, "a row per task", "it is not eq. 5")


@exercise("two steps together, then each task alone.")
def everyone_then_alone(student: Student, rng: Generator) -> None:
    """Check the grouping `function(step, tasks, parents, gradients)` of notebook 00: two steps together, then alone."""
    for count in (2, 3, 7, 12, 1):
        tasks, parents = [f"{('de', 'da', 'hi')[i % 3]}/{i:02}" for i in range(count)], [0] * count
        for step in range(1, 9):
            answer = student(step=step, tasks=tasks, parents=parents, gradients=no_gradients)
            parents, wanted = answer.labels(count), 1 if step < 3 else count
            found = len(set(parents))
            if found != wanted:
                later = "" if count == 2 else " (in a new episode: go by `step`, not by how often you were asked)"
                words = f"at step {step} there are {found} clusters of {count} tasks; expected {wanted}"
                raise answer.not_yet(words + later * (step == 1))


@exercise("the clusters of the gradients, each within its parent.")
def within_parents(student: Student, rng: Generator) -> None:
    """Check `function(found, parents)` of notebook 04: a label per task, equal where both of its labels are equal.

    found and parents are lists of labels (m,).
    """

    def draw() -> dict[str, Any]:
        count = int(rng.integers(2, 12))
        base = int(rng.choice([2, 3, 10, 16, 100, 256, 1000, count]))  # 0 and base could be taken for 1 and 0
        labels = [[0, 1, base], [1, 11, 111]][int(rng.integers(5) == 0)]
        found, parents = (rng.choice(labels, count).tolist() for _ in range(2))
        if count > 3:
            found[:2], parents[:2] = ([0, 1], [base, 0])[:: int(rng.choice([1, -1]))]
        twins = rng.integers(0, count, 2)  # so that a pair stays together
        found[twins[0]], parents[twins[0]] = found[twins[1]], parents[twins[1]]
        return {"found": found, "parents": parents}

    for inputs in small_first(draw, 150):
        found, parents = inputs.values()
        count = len(found)
        answer = student(**inputs)
        labels = answer.labels(count)
        if pair := parted(labels, list(zip(found, parents, strict=True))):
            i, j = pair
            if labels[i] != labels[j]:
                why = "were found in one cluster and have the same parent, but you part them"
            elif parents[i] != parents[j]:
                why = "had different parents, but you put them together: clusters never merge"
                if found[i] != found[j]:
                    why += " (two different pairs of labels have come to the same label)"
            else:
                why = "have the same parent but were found in different clusters, and you leave them together"
            raise answer.not_yet(f"tasks {i} and {j} {why}", f"yours {labels}")


@exercise("the mean cosine of all pairs.")
def omega(student: Student, rng: Generator) -> None:
    """Check `function(vectors)`: the mean similarity of the tasks with these vectors (n, d), as in notebook 03."""

    def draw() -> dict[str, Any]:
        n, d = int(rng.integers(2, 9)), int(rng.integers(2, 6))
        directions = rng.standard_normal((n, d)) + rng.uniform(0, 2) * rng.standard_normal(d)
        return {"vectors": directions * rng.choice([1e-5, 0.1, 1, 3], (n, 1))}

    cases = []
    for inputs in small_first(draw, 15):
        vectors = inputs["vectors"]
        n = len(vectors)
        products, pairs = vectors @ vectors.T, np.triu_indices(n, 1)
        cosines = _cosines(vectors)
        total = cosines[pairs].sum()
        named = {
            "each task's similarity to itself is in your mean; take pairs of two different tasks": cosines.mean(),
            "these are dot products: bring every vector to length 1 first": products[pairs].mean(),
            "this is the sum over the pairs; divide by their number, n (n - 1) / 2": total,
            "you divide by n^2, as if each task made a pair with itself too": 2 * total / n**2,
            "every pair is counted twice; divide by n (n - 1) then": 4 * total / (n * (n - 1)),
            "bring every vector to length 1 first": ((vectors.sum(0) ** 2).sum() - n) / (n * (n - 1)),
            "take off the n squares: each task's similarity to itself is in your sum": cosines.sum() / (n * (n - 1)),
        }
        target = 2 * total / (n * (n - 1))
        cases.append((student(**inputs), target, named))
    compare_each(cases)


@exercise("above 0 the newcomer makes a pair, below 0 it is a sibling.")
def pair_gain(student: Student, rng: Generator) -> None:
    """Check `function(similarities, b, p, gap)`: the score of "pair" less that of "sibling", as in notebook 03.

    At a root whose children are n tasks and nothing else, with p = n (n - 1) / 2 pairs whose similarities add up
    to b. `similarities` (n,) are the newcomer's; the pair is with the most similar task; `gap` is ξσ.
    """
    cases = []
    for n in (2, 3, 2, 4, 3, 5, 6, 9, *rng.integers(2, 5, 12).tolist()):
        rows = rng.standard_normal((n + 1, 3)) + rng.uniform(0, 1.5) * rng.standard_normal(3)
        if len(cases) == 1:
            rows[:-1] *= -np.sign(rows[:-1] @ rows[-1])[:, None]  # the newcomer is unlike all
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        if not cases:
            rows[1] *= -np.sign(rows[0] @ rows[1])  # b is below 0
        if len(cases) == 4:
            rows[:2] = rows[n]  # two tasks are alike, and the newcomer is like them
        cosines = rows @ rows.T
        near, p, gap = cosines[n, :n], n * (n - 1) // 2, float(rng.uniform(0.3, 0.6))
        b, best, all_of_it = float(cosines[:n, :n].sum() - n) / 2, float(near.max()), float(near.sum())
        root, sibling = (b + all_of_it - best) ** 2 / (p + n - 1), (b + all_of_it) ** 2 / (p + n)
        pair = best**2 - gap**2 + root
        named = {
            "the sign is turned: it is the score of the pair less that of the sibling": sibling - pair,
            "the pair's level is not free: subtract the square of the gap": pair + gap**2 - sibling,
            "the price of a level is the square of the gap": pair + gap**2 - gap - sibling,
            "the pair no longer meets at the root: take it out of the root's sum and count": best**2 - gap**2,
            "the root has one pair less: p + n - 1": best**2 - gap**2 + (b + all_of_it - best) ** 2 / (p + n) - sibling,
            "a node explains B^2 / P, not the squared mean": best**2 - gap**2 + root / (p + n - 1) - sibling / (p + n),
            "this is the score of the pair; subtract that of the sibling": pair,
        }
        cases.append((student(similarities=near.tolist(), b=b, p=p, gap=gap), pair - sibling, named))
    compare_each(cases)


@exercise("what is known of a pair is the mean of its cosines, and older ones count less.")
def remember(student: Student, rng: Generator) -> None:
    """Check `function(episodes, fading)` of notebook 04b: what is known of each pair of tasks, (m, m).

    `episodes` is a list of gradients (m, d), the oldest first; what is known fades by `fading` with each episode.
    """

    def draw() -> dict[str, Any]:
        m, d, count = rng.integers([2, 3, 1], [9, 8, 6])
        lengths = rng.uniform(0.2, 3.0, (count, m, 1))
        episodes = rng.standard_normal((count, m, d)) * lengths + rng.uniform(-1, 1, (count, 1, d))
        return {"episodes": list(episodes), "fading": round(float(rng.uniform(0.1, 0.95)), 2)}

    cases = []
    for inputs in small_first(draw, 20):
        episodes, fading = np.array(inputs["episodes"]), inputs["fading"]
        counts = fading ** np.arange(len(episodes))[::-1]
        centred = episodes - episodes.mean(1, keepdims=True)
        found = np.array([_cosines(rows) for rows in centred])

        def known(found: list | np.ndarray, counts: np.ndarray = counts) -> np.ndarray:
            return np.tensordot(counts, found, 1) / counts.sum()

        total = np.tensordot(counts, found, 1)
        named = {
            "take the mean gradient of all tasks away first": known([_cosines(rows) for rows in episodes]),
            "take it away from each task: the mean over the tasks, axis 0, not over the numbers of a gradient": known(
                [_cosines(rows - rows.mean(1, keepdims=True)) for rows in episodes]
            ),
            "these are inner products: bring every gradient to length 1": known([rows @ rows.T for rows in centred]),
            "the oldest counts most: let what was known fade, not what is new": known(found, counts[::-1]),
            "nothing fades in your mean": found.mean(0),
            "only the last episode is left": found[-1],
            "divide by what the episodes count together: a mean": (total, (1 - fading) * total),
            "divide by what they count, 1 + fading + ..., not by their number": total / len(found),
            "take the mean of the cosines, not the cosine of mean gradients": _cosines(known(centred)),
        }
        given = f"episodes {episodes.shape}, fading={fading}"
        cases.append((student(**inputs, given=given), known(found), named))
    compare_each(cases, "a row and a column for each task")


@exercise("that is how much more alike tasks of one label are.")
def contrast(student: Student, rng: Generator) -> None:
    """Check `function(matrix, labels)`: mean similarity within labels less that across, as in notebook 05.

    matrix (n, n) are the similarities of n tasks, labels (n,) are whole numbers, an array.
    """

    def draw() -> dict[str, Any]:
        n = int(rng.integers(3, 10))
        labels = np.append(rng.choice([0, 1, 2, 10, 11], n - 3), [0, 0, int(rng.choice([1, 2, 10]))])
        rows = rng.integers(-2, 3, (n, 3))  # so some tasks are as like another as themselves, or not at all
        return {"matrix": rows @ rows.T / 4, "labels": rng.permutation(labels)}

    cases = []
    for inputs in small_first(draw, 20):
        matrix, labels = inputs.values()
        same, others = labels[:, None] == labels, ~np.eye(len(labels), dtype=bool)
        inside, apart = matrix[same & others], matrix[~same]
        across, within = apart.mean(), inside.mean()
        named = {
            "each task's similarity to itself is in your mean; take pairs of two different tasks": (
                matrix[same].mean() - across
            ),
            "the sign is turned: it is the mean within labels less that across": across - within,
            "this is the mean within labels; subtract that across": within,
            "subtract the mean across labels, not that of all pairs": within - matrix[others].mean(),
            "take means, not sums: there are more pairs of one kind than of the other": inside.sum() - apart.sum(),
        }
        cases.append((student(**inputs), within - across, named))
    compare_each(cases)


@exercise("that is how far the gradients agree.")
def agreement(student: Student, rng: Generator) -> None:
    """Check `function(gradients)`: |mean g| / mean |g| of gradients (m, d), as in notebook 05."""

    def draw() -> dict[str, Any]:
        m, d = rng.integers([2, 1], 9)
        return {"gradients": rng.standard_normal((m, d)) * rng.choice([0.1, 0.5, 2, 5], (m, 1))}

    cases = []
    for inputs in (*small_first(draw, 20), {"gradients": rng.standard_normal((1, 3))}):
        (gradients,) = inputs.values()
        lengths = np.linalg.norm(gradients, axis=1)
        mean, unit = np.linalg.norm(gradients.mean(0)), gradients / lengths[:, None]
        named = {
            "you took the length of the sum; take that of the mean": len(gradients) * mean / lengths.mean(),
            "this is the length of the mean; divide it by the mean length": mean,
            "it is upside down": lengths.mean() / mean,
            "divide by the mean of the lengths, not by the length of the whole array": mean / np.linalg.norm(gradients),
            "you took directions: leave the gradients their lengths": np.linalg.norm(unit.mean(0)),
        }
        cases.append((student(**inputs), mean / lengths.mean(), named))
    compare_each(cases)


def _cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T
