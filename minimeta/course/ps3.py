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
from .verdict import Answer, Student, compare_all, graded


def tasks_below(node: str | list) -> list[str]:
    """The names of the tasks at or below a node, left to right."""
    return [node] if isinstance(node, str) else [task for child in node for task in tasks_below(child)]


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
        both = np.vstack([units, unit])
        cosines = (both @ both.T)[np.triu_indices(n + 1, 1)]
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


_ENDLESS = (
    "your function calls itself without an end. A task is a text, and a text has parts too: ask isinstance(node, str) "
    "first, and call the function again for a child only"
)

_DECIDE = {  # a name for `_decide`, and what to say
    "late": "your walk goes on below the last level: where depth + 1 = D the children stand as deep as they may, and "
    "the newcomer becomes one of them",
    "early": "your walk stops one level too early: it may go on until depth + 1 = D",
    "reversed": "descend and wrap are the wrong way round: a newcomer that raises ω is at home here",
    "all": "you wrap whenever ω falls; between ω(A) − ξσ and ω(A) (the bound lies below ω(A)) the newcomer "
    "is a sibling",
    "none": "you never wrap; below ω(A) − ξσ the newcomer and the whole node get a new node",
    "generous": "you descend above ω(A) − ξσ; only a newcomer that raises ω above ω(A) goes on",
    "xi": "ξ is missing: the bound is ω(A) − ξσ",
    "sigma": "σ is missing: ξ says how many standard deviations",
    "variance": "you take the variance; σ is its square root",
    "ddof": "take the plain standard deviation over the pairs: divide by their number, not by one less",
    "diagonal": "σ runs over pairs of two different tasks: leave out the similarities of tasks to themselves, which "
    "are 1",
    "joined": "σ is that of the pairs in A, without the newcomer",
    "newcomer": "σ is that of the pairs in A; yours is that of the newcomer's similarities",
    "mean": "you compare the newcomer's mean similarity with the bound; the rule compares ω(A ∪ x), which moves less",
    "nearest": "the test is on ω, not on the most similar task alone",
    "guarded": "Algorithm 2 as printed does not look at D before it wraps; write it as printed, part 4 mends it",
    "alone": "with one task there is no pair to compare with: |A| = 1, and the newcomer becomes a sibling",
    "pair": "two tasks make one pair, whose σ is 0; the tests hold for them too",
}


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
            before, joined, bound = _numbers(units, newcomer, xi)
            if n > 2 and joined < before and rng.random() < 0.5:  # near the bound, where small mistakes show
                near = xi * rng.uniform(0.7, 1.3) * (before - joined) / (before - bound)
                xi = near if near < 1.6 else xi
                bound = _numbers(units, newcomer, xi)[2]
            if min(abs(joined - before), abs(joined - bound)) < 1e-3:
                return []
        return [{"units": units, "newcomer": newcomer, "xi": xi, "depth": depth, "limit": limit}]

    def tell(units: np.ndarray, newcomer: np.ndarray, xi: float, depth: int, limit: int) -> str:
        given = f"n = {len(units)} tasks, ξ = {xi:.3f}, depth = {depth}, D = {limit}"
        if len(units) > 1:
            given += ", ω(A) = {:.3f}, ω(A ∪ x) = {:.3f}, ω(A) − ξσ = {:.3f}".format(*_numbers(units, newcomer, xi))
        return given

    _judge(student, draw, _decide, _DECIDE, tell, lambda answer: answer.choice("descend", "wrap", "sibling"))


_SINK = {
    "still": "the tree as it is fits always; ask after the node has sunk, with all below it: that is one edge more",
    "strict": "a task may stand exactly D edges deep (compare with <=), and a task's height is 0 (count edges, not "
    "nodes)",
    "node": "only the node itself is looked at; the deepest task below it must fit too: add the height",
    "first": "the height goes over all children, not only the first",
    "last": "the height goes over all children, not only the last",
    "least": "the deepest task decides: take the largest height of the children",
    "children": "the height is counted in edges downwards; the number of children or of tasks does not matter",
    "tasks": "the height is counted in edges downwards; the number of children or of tasks does not matter",
    "depth": "the node's own depth is missing: edges are counted from the root",
    "reversed": "it is the wrong way round: True means that it fits",
}


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
        return [{"node": node, "depth": depth, "limit": max(1, depth + _height(node) + int(rng.integers(3)))}]

    def tell(node: str | list, depth: int, limit: int) -> str:
        deepest = depth + _height(node)
        return (
            f"node = {node!r}, depth = {depth}, D = {limit}: its deepest task would go from {deepest} to {deepest + 1}"
        )

    _judge(student, draw, _can_sink, _SINK, tell, lambda answer: answer.choice(True, False))


_INSERT = {
    "least": "your walk goes to the least similar child (that is the paper's argmin); take the most similar",
    "sum": "the most similar child has the largest mean similarity, not the largest sum: big clusters win yours",
    "first": "your walk always goes to the first child; take the most similar",
    "open": "you wrap without asking whether the node can sink: tasks go deeper than D; make the newcomer a sibling "
    "there",
    "level": "one level down the depth is one more: give depth + 1 when you call insert again",
    "flat": "a newcomer that goes on to a task makes a pair with it, below a new node",
    "never": "your tree never wraps, though there is room: the node and the newcomer become the children of a new one",
    "always": "the newcomer is always a sibling at the root: carry out the other decisions too",
    "beside": "to wrap is to put the node, as one child, and the newcomer below a new node; yours only joins the last "
    "child",
    "spill": "the child's list is emptied into its parent: keep the brackets, [insert(...)] as one child",
    "lost": "where a wrap does not fit, the newcomer is lost: make it a sibling",
    "lost below": "what your walk changed further down is lost: put the new child in the place of the old",
    "kept": "the child where the walk went on is there twice, old and new: replace it",
    "gone": "the other children are lost: only the chosen child changes, its siblings stay",
}


@graded("your tree grows by Algorithm 2, and D holds.")
def insert(student: Student, rng: Generator) -> None:
    """Check `function(node, name, units, xi, limit, depth=0)`: the tree after Algorithm 2 placed `name`, within D.

    units: for each task in the tree and the newcomer its vector (d,) of length 1. A wrap that breaks D is a sibling.
    """

    def draw() -> list[dict]:
        families = _unit(rng.standard_normal((3, 4)))
        limit, xi, spread = (
            int(rng.choice([1, 2, 2, 3, 3, 4])),
            round(float(rng.uniform(0.2, 0.9)), 2),
            rng.uniform(0.2, 0.6),
        )
        names, units, cases = [f"{'abc'[rng.integers(3)]}{i}" for i in range(1, 9)], {}, []
        tree: str | list = [names[0]]
        for name in names:
            units[name] = _unit(families["abc".index(name[0])] + spread * rng.standard_normal(4))
            if name != names[0]:
                cases.append({"node": tree, "name": name, "units": dict(units), "xi": xi, "limit": limit})
                tree = _insert(**cases[-1])
        return cases

    def tell(node: str | list, name: str, units: dict, xi: float, limit: int) -> str:
        return f"tree = {node!r}, newcomer {name!r}, ξ = {xi}, D = {limit}"

    def read(answer: Answer) -> None:
        if not isinstance(answer.value, list) or not _is_tree(answer.value):
            raise answer.expected("a nested list of task names")

    _judge(student, draw, _insert, _INSERT, tell, read, _canonical)


def _numbers(units: np.ndarray, newcomer: np.ndarray, xi: float) -> tuple[float, float, float]:
    """ω(A), ω(A ∪ x) and ω(A) − ξσ, pair by pair; needs n >= 2."""
    pairs, near = (units @ units.T)[np.triu_indices(len(units), 1)], units @ newcomer
    return pairs.mean(), np.concatenate([pairs, near]).mean(), pairs.mean() - xi * pairs.std()


def _decide(units: np.ndarray, newcomer: np.ndarray, xi: float, depth: int, limit: int, flaw: str = "") -> str:
    """The reference, or with one of the flaws in `_DECIDE`."""
    n = len(units)
    if n == 1 or (n == 2 and flaw == "pair"):
        return "wrap" if flaw == "alone" else "sibling"
    table = units @ units.T
    pairs, near = table[np.triu_indices(n, 1)], units @ newcomer
    before, joined = pairs.mean(), (pairs.sum() + near.sum()) / (len(pairs) + n)
    spread = {"diagonal": table, "newcomer": near, "joined": np.concatenate([pairs, near])}.get(flaw, pairs).std()
    if flaw == "variance":
        spread **= 2
    elif flaw == "ddof":
        spread *= (len(pairs) / (len(pairs) - 1)) ** 0.5 if n > 2 else np.nan
    price = {"all": 0.0, "none": np.inf, "xi": spread, "sigma": xi}.get(flaw, xi * spread)
    last = depth + {"late": 0, "early": 2}.get(flaw, 1) >= limit
    high = near.max() > before if flaw == "nearest" else joined > (before - price if flaw == "generous" else before)
    low = (near.mean() if flaw == "mean" else joined) < before - price and not (flaw == "guarded" and last)
    if flaw == "reversed":
        high, low = low, high
    return ("sibling" if last else "descend") if high else "wrap" if low else "sibling"


def _height(node: str | list, flaw: str = "") -> int:
    """Edges down to the deepest task, or with one of the flaws in `_SINK`."""
    if isinstance(node, str):
        return 0
    if flaw in ("children", "tasks"):
        return len(node if flaw == "children" else tasks_below(node))
    below = [_height(child, flaw) for child in node]
    return 1 + {"first": below[0], "last": below[-1], "least": min(below)}.get(flaw, max(below))


def _can_sink(node: str | list, depth: int, limit: int, flaw: str = "") -> bool:
    """The reference, or with one of the flaws in `_SINK`."""
    height = 0 if flaw == "node" else _height(node, flaw)
    deepest = (flaw != "depth") * depth + (flaw != "still") + height
    return (deepest < limit if flaw == "strict" else deepest <= limit) != (flaw == "reversed")


def _insert(
    node: str | list, name: str, units: Mapping[str, np.ndarray], xi: float, limit: int, depth: int = 0, flaw: str = ""
) -> str | list:
    """The reference, or with one of the flaws in `_INSERT`."""
    if isinstance(node, str):
        return [node, name]
    decision = _decide(np.array([units[task] for task in tasks_below(node)]), units[name], xi, depth, limit)
    if decision == "descend" and flaw != "always":
        near = [units[name] @ np.array([units[task] for task in tasks_below(child)]).T for child in node]
        value = np.array([part.sum() if flaw == "sum" else part.mean() for part in near])
        at = {"least": int(value.argmin()), "first": 0}.get(flaw, int(value.argmax()))
        if flaw == "flat" and isinstance(node[at], str):
            return [*node, name]
        new = _insert(node[at], name, units, xi, limit, 0 if flaw == "level" else depth + 1, flaw)
        rest = {
            "spill": [*node[:at], *new, *node[at + 1 :]],
            "lost below": node,
            "kept": [*node, new],
            "gone": new,
        }
        return rest.get(flaw, [*node[:at], new, *node[at + 1 :]])
    if decision == "wrap" and flaw not in ("never", "always"):
        if flaw == "open" or _can_sink(node, depth, limit):
            return [*node[:-1], [node[-1], name]] if flaw == "beside" else [node, name]
        if flaw == "lost":
            return node
    return [*node, name]


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
