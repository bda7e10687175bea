"""The checks of problem set 3, growing a tree: each calls your function on fresh random inputs and says what is wrong.

A tree is a nested list of task names, [["a1", "a2"], "b1"]: a list is an inner node, a text is a task.
"""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator

from ..trees import TaskTree
from . import algorithm2
from .algorithm2 import tasks_below
from .verdict import Answer, Student, graded


def task_tree(node: str | list) -> TaskTree:
    """The nested list as a `TaskTree`, which knows its depth, its clades and its purity."""
    return TaskTree(node) if isinstance(node, str) else TaskTree("", tuple(map(task_tree, node)))


@graded("a sum and a number are enough to know ω, however many tasks have come.", rows="one number for each dimension")
def add_task(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(total, n, vector)`: the sum (d,) of unit vectors, their number and ω when one more joins."""
    for n in (4, *sorted(rng.choice([1, 1, 1, 2, 2, 3, 4, 6, 9, 12], 40).tolist()), 70):
        units, vector = _joining(rng, n)
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
        yield the_sum, joined, named, "check the sum again"
        yield number, n + 1, {"the number of tasks grows by one": n}
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
        yield omega, algorithm2.pairs(np.vstack([units, unit])).mean(), ways


@graded(
    "the mean similarity to each cluster, without a look at its tasks.",
    rows="one number for each cluster",
    off="check the similarities again",
)
def similarities(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(vector, totals, sizes)`: a newcomer's mean similarity to the tasks of each of k clusters, (k,).

    vector (d,) of any length; totals (k, d), the sum of the unit vectors of each cluster; sizes (k,), its tasks.
    """
    for i, k in enumerate([2, *sorted([1, *rng.integers(1, 7, 24).tolist()])]):
        d = k if k > 1 and i % 3 == 2 else int(rng.integers(2, 7))  # now and then totals are square
        sizes = rng.permutation(12)[:k] + 1
        sizes[rng.integers(k)] = sizes[0]  # now and then two are equal
        clusters = [_unit(rng.standard_normal(d) + rng.standard_normal((size, d))) for size in sizes]
        totals, vector = np.array([rows.sum(0) for rows in clusters]), _of_any_length(rng, rng.standard_normal(d))
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
        yield student(vector=vector, totals=totals, sizes=sizes), target, named


def _decision(answer: Answer) -> str:
    return answer.choice("descend", "wrap", "sibling")


@graded("that is the decision of Algorithm 2 at one node.", read=_decision)
def decide(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(units, newcomer, xi, depth, limit)`: "descend", "wrap" or "sibling" by Algorithm 2 as printed.

    units (n, d) of the tasks below a node at `depth`, newcomer (d,), all of length 1; limit is D.
    """

    def draw() -> list[dict]:
        limit = int(rng.integers(1, 9))
        depth = int(rng.choice([limit - 1, max(0, limit - 2), rng.integers(limit)]))
        n, d = int(rng.choice([1, 2, 2, 3, 3, 4, 5, 6, 8, 11])), int(rng.integers(2, 6))
        xi = 10 ** rng.uniform(-1.5, 0.3)
        units = _unit(rng.standard_normal(d) + 10 ** rng.uniform(-1.5, 0.3) * rng.standard_normal((n, d)))
        newcomer = _unit(rng.uniform(-1, 1.5) * units.mean(0) + rng.uniform(0, 1) * rng.standard_normal(d))
        kind, off = rng.integers(7), rng.choice([-1, 1]) * 10 ** rng.uniform(-4, -1.5)
        if kind == 0:  # all are alike, so that ω and its bound stay exactly 1, by whatever formula
            newcomer = rng.permutation(np.eye(4))[0] * rng.choice([-1, 1])
            units = np.array([newcomer] * rng.integers(2, 6))
        elif n > 1:
            if n > 3 and rng.random() < 0.5:  # twins: their similarities to the others are equal, and each counts
                units[: n // 2] = units[0]
            before, joined, bound = algorithm2.numbers(units, newcomer, xi)
            if kind == 6:  # the twin of one of them, who may be far from the others
                newcomer = units[rng.integers(n)]
            elif kind > 1:  # ω comes to stand a little above or below one of the two, where small mistakes show
                newcomer = _turned(newcomer, units, (before if kind == 2 else bound) + off)
            joined = algorithm2.numbers(units, newcomer, xi)[1]
            if min(abs(joined - before), abs(joined - bound)) < 5e-5:
                return []
        return [{"units": units, "newcomer": newcomer, "xi": xi, "depth": depth, "limit": limit}]

    def tell(units: np.ndarray, newcomer: np.ndarray, xi: float, depth: int, limit: int) -> str:
        given = f"n = {len(units)} tasks, ξ = {xi:.3f}, depth = {depth}, D = {limit}"
        if len(units) > 1:
            found = algorithm2.numbers(units, newcomer, xi)
            given += ", ω(A) = {:.5f}, ω(A ∪ x) = {:.5f}, ω(A) − ξσ = {:.5f}".format(*found)
        return given

    return _judge(student, draw, algorithm2.decide, algorithm2.DECIDE, tell, _decision)


def _truth(answer: Answer) -> bool:
    return answer.choice(True, False)


@graded("no task goes deeper than D.", read=_truth)
def can_sink(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(node, depth, limit)`: may `node` at `depth` sink by a level, and no task be deeper than D?"""

    def draw() -> list[dict]:
        node, depth = _tree(rng, int(rng.integers(7))), int(rng.integers(7))
        room = int(rng.integers(-1, 3))
        return [{"node": node, "depth": depth, "limit": max(1, depth + algorithm2.height(node) + room)}]

    def tell(node: str | list, depth: int, limit: int) -> str:
        deepest = depth + algorithm2.height(node)
        return (
            f"node = {node!r}, depth = {depth}, D = {limit}: its deepest task would go from {deepest} to {deepest + 1}"
        )

    return _judge(student, draw, algorithm2.can_sink, algorithm2.SINK, tell, _truth)


def _canonical(answer: Answer) -> Hashable:
    """A value that is equal for trees that differ in nothing but the order of children."""

    def form(node: str | list) -> Hashable:
        return node if isinstance(node, str) else tuple(sorted(map(form, node), key=repr))

    if not isinstance(answer.value, list) or not _is_tree(answer.value):
        raise answer.expected("a nested list of task names")
    return form(answer.value)


@graded("your tree grows by Algorithm 2, and D holds.", read=_canonical)
def insert(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(node, name, units, xi, limit, depth=0)`: the tree after Algorithm 2 placed `name`, within D.

    units: for each task in the tree and the newcomer its vector (d,) of length 1. A wrap that breaks D is a sibling.
    """

    def made(deep: bool) -> dict:
        """A case; a `deep` one has tight clusters, and a newcomer at one of them whose place depends on ξ."""
        d, units, narrower = int(rng.integers(2, 7)), {}, 0.3 if deep else 1

        def place(node: str | list, middle: np.ndarray, wide: float = 1) -> None:
            middle = middle + wide * rng.uniform(0.1, 1.2) * rng.standard_normal(d)
            if isinstance(node, str):
                units[node] = _unit(middle)
            for child in node if isinstance(node, list) else ():
                place(child, middle, wide * narrower)

        node, depth = _tree(rng, 2 if deep else int(rng.integers(1, 5))), int(rng.choice([0, 0, 1, 3]))
        place([node, "u1", "u2"], rng.standard_normal(d))  # two tasks are not in the tree
        at = node[rng.integers(len(node))] if deep or rng.random() < 0.5 else node
        xi = 10 ** rng.uniform(*((-1, -0.4) if deep else (-1.5, 0.2)))
        name, near = "x", units[rng.choice(tasks_below(at if deep else node))]
        units[name] = _unit(near + rng.uniform(0, 0.8) * rng.standard_normal(d))
        below = np.array([units[task] for task in tasks_below(at)])
        if len(below) > 2 and (deep or rng.random() < 0.4):  # it may or may not be wrapped, which depends on ξ
            bound, usual = (algorithm2.numbers(below, units[name], price)[2] for price in (xi, algorithm2.USUAL))
            beside = bound + rng.choice([-1, 1]) * 10 ** rng.uniform(-3, -1)
            units[name] = _turned(units[name], below, (bound + usual) / 2 if deep else beside)
        units = {task: units[task] for task in rng.permutation(list(units)).tolist()}
        limit = max(1, depth + algorithm2.height(node) + int(rng.choice([0, 0, 1, 2])))
        case = {"node": node, "name": name, "units": units, "xi": xi, "limit": limit}
        return case | ({"depth": depth} if depth else {})

    def draw() -> list[dict]:
        deep = rng.random() < 0.05
        case = made(deep)
        while deep and algorithm2.insert(**case) == algorithm2.insert(**case, flaw="price"):
            case = made(deep)
        return [case] if len(case["units"]) < 30 and _is_clear(rng, case) else []

    def tell(node: str | list, name: str, units: dict, xi: float, limit: int, depth: int = 0) -> str:
        return f"node = {node!r}, newcomer {name!r}, ξ = {xi:.3f}, D = {limit}, depth = {depth}"

    return _judge(student, draw, algorithm2.insert, algorithm2.INSERT, tell, _canonical)


CASES = 150
"""So many cases are drawn for an answer that is not a number, and more until each known flaw shows."""

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
    read: Callable[[Answer], Hashable],
) -> Iterator[tuple]:
    """Ask the cases, from those that are told in few words."""
    for given, case, found in _cases(draw, right, flaws, tell, read):
        answer, target = student(given=given, known={RecursionError: _ENDLESS}, **case), right(**case)
        read(answer)
        yield answer, target, {words: found[flaw] for flaw, words in flaws.items()}, _odd_tasks(answer.value, target)


def _cases(draw: Callable, right: Callable, flaws: Iterable[str], tell: Callable, read: Callable) -> list[tuple]:
    """Cases in which each flaw shows, no two of them in the same way: told in words, and what each makes of it."""
    rows: list[tuple[str, dict, dict]] = []
    while len(rows) < CASES or not _tells_all(rows):
        for case in itertools.chain.from_iterable(draw() for _ in range(10)):
            found = {flaw: read(Answer(right(**case, flaw=flaw))) for flaw in ("", *flaws)}
            rows.append((tell(**case), case, found))
    return sorted(rows, key=lambda row: len(row[0]))


def _tells_all(rows: list[tuple[str, dict, dict]]) -> bool:
    """Does each flaw show in two cases or more, and no two flaws in the same way?"""
    columns = {flaw: tuple(found[flaw] for *_, found in rows) for flaw in rows[0][-1]}
    shown = (sum(map(operator.ne, column, columns[""])) for flaw, column in columns.items() if flaw)
    return min(shown) >= 2 and len(set(columns.values())) == len(columns)


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


def _tree(rng: Generator, height: int) -> str | list:
    """A random tree of exactly this height, whose inner nodes have one to eight children.

    The first names are those of the problem set, with other vectors: who takes the notebook's own is found out.
    """
    names = itertools.chain(["a1", "b1", "a2", "b2", "a3", "b3"], map("t{}".format, itertools.count(1)))

    def grow(height: int) -> str | list:
        if not height:
            return next(names)
        more = rng.choice([0, 1, 2, 7], p=[0.3, 0.3, 0.3, 0.1])
        return [grow(int(below)) for below in rng.permutation([height - 1, *rng.integers(height, size=more)])]

    return grow(height)


def _is_clear(rng: Generator, case: dict) -> bool:
    """Is the tree the same where all vectors are shaken a little, so that rounding cannot decide it?"""
    shakes = {name: 3e-5 * rng.standard_normal(len(unit)) for name, unit in case["units"].items()}
    trees = [
        algorithm2.insert(**{**case, "units": {name: case["units"][name] + sign * shakes[name] for name in shakes}})
        for sign in (-1, 0, 1)
    ]
    return trees[0] == trees[1] == trees[2]


def _joining(rng: Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (n, d), and a newcomer (d,) of any length; ω and the sum are not near 0, where digits are lost."""
    while True:
        d = int(rng.integers(2, 7))
        units = _unit(rng.uniform(0, 3) * rng.standard_normal(d) + rng.standard_normal((n + 1, d)))
        units[-1] *= rng.choice([-1, 1])
        if abs(algorithm2.pairs(units).mean()) > 0.1 and np.linalg.norm(units.sum(0)) > 0.3:
            return units[:-1], _of_any_length(rng, units[-1])


def _of_any_length(rng: Generator, vector: np.ndarray) -> np.ndarray:
    """The same direction, from very short to long."""
    return _unit(vector) * 10 ** rng.uniform(-5, 1.5)


def _turned(newcomer: np.ndarray, units: np.ndarray, omega: float) -> np.ndarray:
    """`newcomer`, turned so that with it the ω of `units` becomes this number, where that is possible."""
    n, middle, before = len(units), units.mean(0), algorithm2.pairs(units).mean()
    cosine = (before + (omega - before) * (n + 1) / 2) / np.linalg.norm(middle)
    if abs(cosine) >= 1:
        return newcomer
    towards = _unit(middle)
    return cosine * towards + (1 - cosine**2) ** 0.5 * _unit(newcomer - (newcomer @ towards) * towards)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
