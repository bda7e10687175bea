"""The checks of problem set 3, growing a tree: each calls your function on fresh random inputs and says what is wrong.

A tree is a nested list of task names, [["a1", "a2"], "b1"]: a list is an inner node, a text is a task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator

from ..trees import TaskTree
from . import algorithm2
from .algorithm2 import tasks_below
from .verdict import Answer, Student, compare_all, graded


def task_tree(node: str | list) -> TaskTree:
    """The nested list as a `TaskTree`, which knows its depth, its clades and its purity."""
    return TaskTree(node) if isinstance(node, str) else TaskTree("", tuple(map(task_tree, node)))


@graded("a sum and a number are enough to know ω, however many tasks have come.")
def add_task(student: Student, rng: Generator) -> None:
    """Check `function(total, n, vector)`: the sum (d,) of unit vectors, their number and ω when one more joins."""
    for n, d in ((4, 3), (1, 3), (6, 5), (9, 4)):  # with 5 tasks no two of the mistakes below are equal
        units = _unit(rng.standard_normal((n, d)))
        vector = rng.standard_normal(d) * rng.uniform(2.0, 4.0)
        unit, total = _unit(vector), units.sum(0)
        joined, answer = total + unit, student(total=total, n=n, vector=vector)
        what = "three values, the sum, the number of tasks and ω"
        the_sum, number, omega = answer.parts(what, "the sum", "the number of tasks", "ω")
        named = {
            "the vector joins with its own length; only its direction counts: divide it by its length": total + vector,
            "the newcomer is not in the sum": total,
            "a mean is not enough to go on with: return the sum": joined / (n + 1),
            "return the sum as it is, not brought to length 1": _unit(joined),
            "the newcomer is subtracted": total - unit,
        }
        the_sum.compare(joined, named, "one number for each dimension", "check the sum again")
        number.compare(n + 1, {"the number of tasks grows by one": n})
        cosines = algorithm2.pairs(np.vstack([units, unit]))
        m, square, near = n + 1, float(joined @ joined), units @ unit
        ways = {
            "|sum|² also holds each task's similarity to itself: subtract them first": square / (m * (m - 1)),
            "you divide by the square of the number, as if each task made a pair with itself": (square - m) / m**2,
            "|sum|² counts every pair twice; divide by n (n - 1), not by half of it": 2 * (square - m) / (m * (m - 1)),
            "this is the sum over the pairs; divide by their number": (square - m) / 2,
            "subtract the number of tasks after the newcomer came, not before": (square - n) / (m * (m - 1)),
            "this is the newcomer's mean similarity; ω is the mean over all pairs": near.mean(),
            "take the square of the sum's length": (square**0.5 - m) / (m * (m - 1)),
        }
        if n > 1:
            ways["divide by n (n - 1) with the new number of tasks, not the old"] = (square - m) / (n * (n - 1))
            ways["this is ω before the newcomer came"] = (total @ total - n) / (n * (n - 1))
        if not np.isfinite(omega.number()):
            raise omega.not_yet(f"ω is {omega.value}, not a finite number; with the newcomer there are n + 1 tasks")
        omega.compare(cosines.mean(), ways)


@graded("the mean similarity to each cluster, without a look at its tasks.")
def similarities(student: Student, rng: Generator) -> None:
    """Check `function(vector, totals, sizes)`: a newcomer's mean similarity to the tasks of each of k clusters, (k,).

    vector (d,) of any length; totals (k, d), the sum of the unit vectors of each cluster; sizes (k,), its tasks.
    """
    for k, d in ((2, 3), (3, 4), (4, 3)):
        sizes = rng.permutation(np.arange(1, k + 1))
        clusters = [_unit(rng.standard_normal((size, d))) for size in sizes]
        totals, vector = np.array([rows.sum(0) for rows in clusters]), rng.standard_normal(d) * rng.uniform(2, 4)
        unit = _unit(vector)
        sums, target = totals @ unit, np.array([(rows @ unit).mean() for rows in clusters])
        named = {
            "these are sums of similarities: divide each by the size of its cluster": sums,
            "this is the cosine with the direction of the sum; the mean of the cosines divides by the size, not by the "
            "length of the sum": sums / np.linalg.norm(totals, axis=1),
            "the newcomer's vector has its own length; divide it by its length": totals @ vector / sizes,
            "these are sums, and the newcomer's vector has its own length: divide by both": totals @ vector,
            "you divide by the number of all tasks; divide each by the size of its own cluster": sums / sizes.sum(),
            "the newcomer is counted in the size of each cluster; it is not in there yet": sums / (sizes + 1),
            "you divide by the size twice": sums / sizes**2,
        }
        answer = student(vector=vector, totals=totals, sizes=sizes)
        answer.compare(target, named, "one number for each cluster", "check the similarities again")


@graded("that is the decision of Algorithm 2 at one node.")
def decide(student: Student, rng: Generator) -> None:
    """Check `function(units, newcomer, xi, depth, limit)`: "descend", "wrap" or "sibling" by Algorithm 2 as printed.

    units (n, d) of the tasks below a node at `depth`, newcomer (d,), all of length 1; limit is D.
    """

    def draw() -> list[dict]:
        n, middle, limit = int(rng.integers(1, 7)), rng.standard_normal(3), int(rng.integers(1, 5))
        units = _unit(middle + rng.uniform(0.2, 1.5) * rng.standard_normal((n, 3)))
        newcomer = _unit(rng.uniform(-1, 1.5) * middle + rng.uniform(0, 1) * rng.standard_normal(3))
        xi, depth = float(rng.uniform(0.2, 1.2)), int(rng.integers(limit))
        if n > 1:
            before, joined, bound = algorithm2.numbers(units, newcomer, xi)
            if n > 2 and joined < before and rng.random() < 0.5:  # near the bound, where small mistakes show
                near = xi * rng.uniform(0.7, 1.3) * (before - joined) / (before - bound)
                xi = near if near < 1.6 else xi
                bound = algorithm2.numbers(units, newcomer, xi)[2]
            if min(abs(joined - before), abs(joined - bound)) < 1e-3:
                return []
        return [{"units": units, "newcomer": newcomer, "xi": xi, "depth": depth, "limit": limit}]

    def tell(units: np.ndarray, newcomer: np.ndarray, xi: float, depth: int, limit: int) -> str:
        given = f"n = {len(units)} tasks, ξ = {xi:.3f}, depth = {depth}, D = {limit}"
        if len(units) > 1:
            found = algorithm2.numbers(units, newcomer, xi)
            given += ", ω(A) = {:.3f}, ω(A ∪ x) = {:.3f}, ω(A) − ξσ = {:.3f}".format(*found)
        return given

    def read(answer: Answer) -> None:
        answer.choice("descend", "wrap", "sibling")

    _judge(student, draw, algorithm2.decide, algorithm2.DECIDE, tell, read)


@graded("no task goes deeper than D.")
def can_sink(student: Student, rng: Generator) -> None:
    """Check `function(node, depth, limit)`: may `node` at `depth` sink by a level, and no task be deeper than D?"""

    def grow(names: Any, height: int) -> str | list:
        if not height:
            return next(names)
        heights = [int(rng.integers(height)) for _ in range(int(rng.integers(1, 4)))] + [height - 1]
        return [grow(names, int(below)) for below in rng.permutation(heights)]

    def draw() -> list[dict]:
        node = grow((f"t{i}" for i in range(1, 99)), int(rng.integers(4)))
        depth = int(rng.integers(4))
        return [{"node": node, "depth": depth, "limit": max(1, depth + algorithm2.height(node) + int(rng.integers(3)))}]

    def tell(node: str | list, depth: int, limit: int) -> str:
        deepest = depth + algorithm2.height(node)
        return (
            f"node = {node!r}, depth = {depth}, D = {limit}: its deepest task would go from {deepest} to {deepest + 1}"
        )

    _judge(student, draw, algorithm2.can_sink, algorithm2.SINK, tell, lambda answer: answer.choice(True, False))


@graded("your tree grows by Algorithm 2, and D holds.")
def insert(student: Student, rng: Generator) -> None:
    """Check `function(node, name, units, xi, limit, depth=0)`: the tree after Algorithm 2 placed `name`, within D.

    units: for each task in the tree and the newcomer its vector (d,) of length 1. A wrap that breaks D is a sibling.
    """

    def draw() -> list[dict]:
        families = _unit(rng.standard_normal((3, 4)))
        limit, xi = int(rng.choice([1, 2, 2, 3, 3, 4])), round(float(rng.uniform(0.2, 0.9)), 2)
        spread = rng.uniform(0.2, 0.6)
        names, units, cases = [f"{'abc'[rng.integers(3)]}{i}" for i in range(1, 9)], {}, []
        tree: str | list = [names[0]]
        for name in names:
            units[name] = _unit(families["abc".index(name[0])] + spread * rng.standard_normal(4))
            if name != names[0]:
                cases.append({"node": tree, "name": name, "units": dict(units), "xi": xi, "limit": limit})
                tree = algorithm2.insert(**cases[-1])
        return cases

    def tell(node: str | list, name: str, units: dict, xi: float, limit: int) -> str:
        return f"tree = {node!r}, newcomer {name!r}, ξ = {xi}, D = {limit}"

    def read(answer: Answer) -> None:
        if not isinstance(answer.value, list) or not _is_tree(answer.value):
            raise answer.expected("a nested list of task names")

    _judge(student, draw, algorithm2.insert, algorithm2.INSERT, tell, read, _canonical)


_ENDLESS = (
    "your function calls itself without an end. A task is a text, and a text has parts too: ask isinstance(node, str) "
    "first, and call the function again for a child only"
)


def _judge(
    student: Student,
    draw: Callable[[], list[dict]],
    right: Callable[..., Any],
    flaws: Mapping[str, str],
    tell: Callable[..., str],
    read: Callable[[Answer], Any],
    form: Callable[[Any], Hashable] = lambda value: value,
) -> None:
    """Compare answers that are not numbers, on cases where each flaw shows at least twice and no two look the same."""
    cases: list[dict] = []
    targets: list = []
    wrong: dict[str, list] = {flaw: [] for flaw in flaws}
    missed = dict.fromkeys(flaws, 0)
    kinds = 1  # how many flaws can be told from each other
    while len(cases) < 24 or kinds < len(flaws) or min(missed.values()) < 2:
        for case in draw():
            target = right(**case)
            found = {flaw: form(right(**case, flaw=flaw)) for flaw in flaws}
            now = len({(*wrong[flaw], found[flaw]) for flaw in flaws})
            shows = [flaw for flaw in flaws if found[flaw] != form(target)]
            if len(cases) < 24 or now > kinds or any(missed[flaw] < 2 for flaw in shows):
                cases.append(case)
                targets.append(target)
                kinds = now
                for flaw in flaws:
                    wrong[flaw].append(found[flaw])
                    missed[flaw] += flaw in shows
    answers = []
    for case in cases:
        answers.append(student(given=tell(**case), known={RecursionError: _ENDLESS}, **case))
        read(answers[-1])
    reasons = [_odd_tasks(answer.value, target) for answer, target in zip(answers, targets, strict=True)]
    named: dict[str, tuple] = {}
    for flaw, words in flaws.items():
        named[words] = (*named.get(words, ()), wrong[flaw])
    compare_all(answers, targets, named, reasons, form)


def _odd_tasks(answer: Any, target: Any) -> str:
    """Which task a tree has lost, made up or doubled, in words."""
    if not isinstance(target, list):
        return ""
    counts, wanted = Counter(tasks_below(answer)), set(tasks_below(target))
    for names, words in (
        (sorted(wanted - set(counts)), "is lost from your tree"),
        (sorted(task for task, n in counts.items() if n > 1), "stands in your tree more than once"),
        (sorted(set(counts) - wanted), "has come into your tree from nowhere"),
    ):
        if names:
            return f"the task {names[0]!r} {words}"
    return ""


def _is_tree(node: Any) -> bool:
    return isinstance(node, str) or (isinstance(node, list) and bool(node) and all(map(_is_tree, node)))


def _canonical(node: str | list) -> Hashable:
    """A value that is equal for trees that differ in nothing but the order of children."""
    return node if isinstance(node, str) else tuple(sorted(map(_canonical, node), key=repr))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
