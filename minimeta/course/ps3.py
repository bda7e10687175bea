"""The checks of problem set 3, growing a tree: each calls your function on fresh random inputs and says what is wrong.

A tree is a nested list of task names, [["a1", "a2"], "b1"]: a list is an inner node, a text is a task.
"""

from __future__ import annotations

import copy
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ..trees import TaskTree
from .checks import _compare

DECISIONS = ("descend", "wrap", "sibling")


def tasks_below(node: str | list) -> list[str]:
    """The names of the tasks at or below a node, left to right."""
    return [node] if isinstance(node, str) else [task for child in node for task in tasks_below(child)]


def task_tree(node: str | list) -> TaskTree:
    """The nested list as a `TaskTree`, which knows its depth, its clades and its purity."""
    return TaskTree(node) if isinstance(node, str) else TaskTree("", tuple(map(task_tree, node)))


def add_task(function: Callable[[np.ndarray, int, np.ndarray], tuple[np.ndarray, int, float]], seed: int = 0) -> bool:
    """Check `function(total, n, vector)`: the sum (d,) of unit vectors, their number and ω when one more joins."""
    rng = np.random.default_rng(seed)
    for n, d in ((4, 3), (1, 3), (6, 5), (9, 4)):  # with 5 tasks no two of the mistakes below are equal
        units = _unit(rng.standard_normal((n, d)))
        vector = rng.standard_normal(d) * rng.uniform(2.0, 4.0)
        unit, total = _unit(vector), units.sum(0)
        joined, given = total + unit, f"n = {n}, total = {np.round(total, 3)}, vector = {np.round(vector, 3)}"
        answer = _call(function, (total, n, vector), given)
        if answer is None:
            return False
        if not isinstance(answer, Sequence) or len(answer) != 3:
            print(f"Not yet: expected three values, the sum, the number of tasks and ω; yours {_short(answer)}.")
            return False
        named = {
            "the vector joins with its own length; only its direction counts: divide it by its length": total + vector,
            "the newcomer is not in the sum": total,
            "a mean is not enough to go on with: return the sum": joined / (n + 1),
            "return the sum as it is, not brought to length 1": _unit(joined),
            "the newcomer is subtracted": total - unit,
        }
        if not _compare_arrays(answer[0], joined, named, "the sum", given):
            return False
        if not _compare(answer[1], n + 1, {n: "the number of tasks grows by one"}, given):
            return False
        both = np.vstack([units, unit])
        cosines = (both @ both.T)[np.triu_indices(n + 1, 1)]
        m, square, near = n + 1, float(joined @ joined), units @ unit
        ways = {
            square / (m * (m - 1)): "|sum|² also holds each task's similarity to itself: subtract them first",
            (square - m) / m**2: "you divide by the square of the number, as if each task made a pair with itself",
            2 * (square - m) / (m * (m - 1)): "|sum|² counts every pair twice; divide by n (n - 1), not by half of it",
            (square - m) / 2: "this is the sum over the pairs; divide by their number",
            (square - n) / (m * (m - 1)): "subtract the number of tasks after the newcomer came, not before",
            near.mean(): "this is the newcomer's mean similarity; ω is the mean over all pairs",
            (square**0.5 - m) / (m * (m - 1)): "take the square of the sum's length",
        }
        if n > 1:
            ways[(square - m) / (n * (n - 1))] = "divide by n (n - 1) with the new number of tasks, not the old"
            ways[(total @ total - n) / (n * (n - 1))] = "this is ω before the newcomer came"
        if not _is_finite(answer[2], given) or not _compare(answer[2], cosines.mean(), ways, given):
            return False
    print("Right: a sum and a number are enough to know ω, however many tasks have come.")
    return True


def similarities(function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], seed: int = 0) -> bool:
    """Check `function(vector, totals, sizes)`: a newcomer's mean similarity to the tasks of each of k clusters, (k,).

    vector (d,) of any length; totals (k, d), the sum of the unit vectors of each cluster; sizes (k,), its tasks.
    """
    rng = np.random.default_rng(seed)
    for k, d in ((2, 3), (3, 4), (4, 3)):
        sizes = rng.permutation(np.arange(1, k + 1))
        clusters = [_unit(rng.standard_normal((size, d))) for size in sizes]
        totals, vector = np.array([rows.sum(0) for rows in clusters]), rng.standard_normal(d) * rng.uniform(2, 4)
        unit, given = _unit(vector), f"{k} clusters of {sizes.tolist()} tasks in {d} dimensions"
        sums, target = totals @ unit, np.array([(rows @ unit).mean() for rows in clusters])
        answer = _call(function, (vector, totals, sizes), given)
        if answer is None:
            return False
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
        if not _compare_arrays(answer, target, named, "the similarities", given):
            return False
    print("Right: the mean similarity to each cluster, without a look at its tasks.")
    return True


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


def decide(function: Callable[[np.ndarray, np.ndarray, float, int, int], str], seed: int = 0) -> bool:
    """Check `function(units, newcomer, xi, depth, limit)`: "descend", "wrap" or "sibling" by Algorithm 2 as printed.

    units (n, d) of the tasks below a node at `depth`, newcomer (d,), all of length 1; limit is D.
    """
    rng = np.random.default_rng(seed)

    def draw() -> list[tuple]:
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
        return [(units, newcomer, xi, depth, limit)]

    def tell(units: np.ndarray, newcomer: np.ndarray, xi: float, depth: int, limit: int) -> str:
        given = f"n = {len(units)} tasks, ξ = {xi:.3f}, depth = {depth}, D = {limit}"
        if len(units) > 1:
            given += ", ω(A) = {:.3f}, ω(A ∪ x) = {:.3f}, ω(A) − ξσ = {:.3f}".format(*_numbers(units, newcomer, xi))
        return given

    def read(answer: Any) -> str | None:
        if isinstance(answer, str) and answer in DECISIONS:
            return str(answer)
        print(f'Not yet: your function returned {_short(answer)}; expected "descend", "wrap" or "sibling".')
        return None

    if _judge(function, draw, _decide, _DECIDE, tell, read):
        print("Right: that is the decision of Algorithm 2 at one node.")
        return True
    return False


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


def can_sink(function: Callable[[str | list, int, int], bool], seed: int = 0) -> bool:
    """Check `function(node, depth, limit)`: may `node` at `depth` sink by a level, and no task be deeper than D?"""
    rng = np.random.default_rng(seed)

    def grow(names: Any, height: int) -> str | list:
        if not height:
            return next(names)
        heights = [int(rng.integers(height)) for _ in range(int(rng.integers(1, 4)))] + [height - 1]
        return [grow(names, int(below)) for below in rng.permutation(heights)]

    def draw() -> list[tuple]:
        node = grow((f"t{i}" for i in range(1, 99)), int(rng.integers(4)))
        depth = int(rng.integers(4))
        return [(node, depth, max(1, depth + _height(node) + int(rng.integers(3))))]

    def tell(node: str | list, depth: int, limit: int) -> str:
        deepest = depth + _height(node)
        return (
            f"node = {node!r}, depth = {depth}, D = {limit}: its deepest task would go from {deepest} to {deepest + 1}"
        )

    def read(answer: Any) -> bool | None:
        if isinstance(answer, bool | np.bool_):
            return bool(answer)
        print(f"Not yet: your function returned {_short(answer)}; expected True or False.")
        return None

    if _judge(function, draw, _can_sink, _SINK, tell, read):
        print("Right: no task goes deeper than D.")
        return True
    return False


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


def insert(
    function: Callable[[str | list, str, Mapping[str, np.ndarray], float, int], str | list], seed: int = 0
) -> bool:
    """Check `function(node, name, units, xi, limit, depth=0)`: the tree after Algorithm 2 placed `name`, within D.

    units: for each task in the tree and the newcomer its vector (d,) of length 1. A wrap that breaks D is a sibling.
    """
    rng = np.random.default_rng(seed)

    def draw() -> list[tuple]:
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
                cases.append((tree, name, dict(units), xi, limit))
                tree = _insert(*cases[-1])
        return cases

    def tell(tree: str | list, name: str, units: dict, xi: float, limit: int) -> str:
        return f"tree = {tree!r}, newcomer {name!r}, ξ = {xi}, D = {limit}"

    def read(answer: Any) -> Hashable:
        if not isinstance(answer, list) or not _is_tree(answer):
            print(f"Not yet: your function returned {_short(answer)}; expected a nested list of task names.")
            return None
        return _canonical(answer)

    if _judge(function, draw, _insert, _INSERT, tell, read, _canonical):
        print("Right: your tree grows by Algorithm 2, and D holds.")
        return True
    return False


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
    function: Callable[..., Any],
    draw: Callable[[], list[tuple]],
    right: Callable[..., Any],
    flaws: Mapping[str, str],
    tell: Callable[..., str],
    read: Callable[[Any], Hashable],
    form: Callable[[Any], Hashable] = lambda value: value,
) -> bool:
    """Compare answers that are not numbers, on cases where each flaw shows at least twice and no two look the same."""
    cases, targets, answers = [], [], []
    wrong: dict[str, list] = {flaw: [] for flaw in flaws}
    missed = dict.fromkeys(flaws, 0)
    kinds = 1  # how many flaws can be told from each other
    while len(cases) < 24 or kinds < len(flaws) or min(missed.values()) < 2:
        for case in draw():
            target = form(right(*case))
            found = {flaw: form(right(*case, flaw=flaw)) for flaw in flaws}
            now = len({(*wrong[flaw], found[flaw]) for flaw in flaws})
            if len(cases) < 24 or now > kinds or any(missed[flaw] < 2 and found[flaw] != target for flaw in flaws):
                cases.append(case)
                targets.append(target)
                kinds = now
                for flaw, value in found.items():
                    wrong[flaw].append(value)
                    missed[flaw] += value != target
    sizes = [len(tell(*case)) for case in cases]  # the shortest is shown
    for case in cases:
        answer = _call(function, case, tell(*case))
        found = None if answer is None else read(answer)
        if found is None:
            return False
        answers.append((answer, found))
    odd = min((i for i, target in enumerate(targets) if answers[i][1] != target), key=lambda i: sizes[i], default=None)
    if odd is None:
        return True
    hint = next((flaws[flaw] for flaw in flaws if wrong[flaw] == [found for _, found in answers]), None)
    if hint is None:
        hint = _odd_tasks(answers[odd][0], right(*cases[odd])) or "this is not what the rule gives"
    target = right(*cases[odd])
    print(f"Not yet: {hint}.\n  for {tell(*cases[odd])}\n  yours {_short(answers[odd][0])}, target {_short(target)}")
    return False


def _odd_tasks(answer: Any, target: Any) -> str | None:
    """Which tasks a tree has lost, made up or doubled, in words."""
    if not isinstance(target, list):
        return None
    counts, wanted = Counter(tasks_below(answer)), set(tasks_below(target))
    for names, words in (
        (sorted(wanted - set(counts)), "is lost from your tree"),
        (sorted(task for task, n in counts.items() if n > 1), "stands in your tree more than once"),
        (sorted(set(counts) - wanted), "has come into your tree from nowhere"),
    ):
        if names:
            return f"the task {names[0]!r} {words}"
    return None


def _call(function: Callable[..., Any], inputs: tuple, given: str) -> Any:
    """What the function returns for copies of `inputs`; None, and a sentence, if that is nothing to look at."""
    mine = copy.deepcopy(inputs)
    try:
        answer = function(*mine)
    except NotImplementedError as error:
        where, own = traceback.extract_tb(error.__traceback__)[-1].name, getattr(function, "__name__", "")
        what = "your function is" if where in (own, "<lambda>") else f"your function calls `{where}`, which is"
        print(f"Not yet: {what} not written yet.")
        return None
    except RecursionError:
        print("Not yet: your function calls itself without an end. A task is a text, and a text has parts too: ask "
              f"isinstance(node, str) first, and call the function again for a child only.\n  for {given}")  # fmt: skip
        return None
    except Exception as error:
        print(f"Not yet: your function stopped with {type(error).__name__}: {error}.\n  for {given}")
        return None
    if answer is None:
        print("Not yet: your function returned None; end it with `return` and the answer.")
        return None
    if not all(map(_same, mine, inputs)):
        print("Not yet: your function changes its inputs; make something new: total + x, not total += x, [*node, name] "
              "and not node.append(name).")  # fmt: skip
        return None
    return answer


def _same(one: Any, two: Any) -> bool:
    if isinstance(two, dict):
        return one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in two)
    return np.array_equal(one, two) if isinstance(two, np.ndarray) else one == two


def _compare_arrays(answer: Any, target: np.ndarray, named: Mapping[str, np.ndarray], what: str, given: str) -> bool:
    try:
        array = np.asarray(answer, float)
    except (TypeError, ValueError, RuntimeError):
        array = np.array(None)
    if array.dtype != float or array.shape != target.shape:
        yours = f"shape {array.shape}" if array.dtype == float else _short(answer)
        print(f"Not yet: {what} must be an array of shape {target.shape}; yours is {yours}.\n  for {given}")
        return False
    if np.allclose(array, target, rtol=1e-6):
        return True
    hint = next(
        (words for words, value in named.items() if np.allclose(array, value, rtol=1e-6)), f"check {what} again"
    )
    if not np.isfinite(array).all():
        hint = "there are numbers in it that are not finite"
    print(f"Not yet: {hint}.\n  for {given}\n  yours {np.round(array, 3)}, target {np.round(target, 3)}")
    return False


def _is_finite(answer: Any, given: str) -> bool:
    try:
        finite = bool(np.isfinite(answer))
    except (TypeError, ValueError):
        return True  # `_compare` says that it is no number
    if not finite:
        print(f"Not yet: ω is {answer}, not a finite number; with the newcomer there are n + 1 tasks.\n  for {given}")
    return finite


def _is_tree(node: Any) -> bool:
    return isinstance(node, str) or (isinstance(node, list) and bool(node) and all(map(_is_tree, node)))


def _canonical(node: str | list) -> Hashable:
    """A value that is equal for trees that differ in nothing but the order of children."""
    return node if isinstance(node, str) else tuple(sorted(map(_canonical, node), key=repr))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else text[:200] + " ..."


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
