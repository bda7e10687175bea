"""Checks of problem set 2, "Pooled gradients and their limits".

Each check calls the student's function on fresh inputs drawn from `seed`, from small ones to large ones, prints
"Right: ..." or "Not yet: ..." with the mistake in words, and returns whether it was right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ..errors import InputError
from ..grouping import Gradients, Grouping, no_gradients
from .values import noticing
from .verdict import Answer, Student, graded, parted

Nested = str | tuple
"""A tree as nested tuples: a text is a leaf (a task), a tuple holds the children of a node."""

Path = tuple[int, ...]
"""The child numbers from the root down to a leaf."""


@graded(
    "every cluster starts from its parent's parameters and moves with the mean gradient of its tasks.",
    rows="a row per cluster of `labels`",
    off="it is not eq. 7",
)
def pooled_step(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(theta, gradients, parents, labels, rate)`: one step of TreeMAML, eq. 7, with a row per cluster.

    theta (parent clusters, p), floats or whole numbers; gradients (m, p); parents (m,) and labels (m,), lists; the
    result is (clusters, p).
    """
    drawn = [([0], [0]), ([0, 0], [0, 0]), ([0, 1], [1, 0]), ([0, 0], [1, 0]), ([2, 0, 3, 1, 0], [4, 1, 0, 3, 2])]
    for count in (5, 6, 7, 8, 9, 12, 15):
        parents = _split(rng, _split(rng, [0] * count))
        drawn += [([0] * count, [0] * count), (parents, _split(rng, parents))]
    for i, (parents, labels) in enumerate(drawn):
        p, rate = int(rng.integers(1 if len(labels) > 4 else 2, 6)), float(rng.uniform(0.1, 1.9))
        theta = rng.standard_normal((max(parents) + 1, p))
        theta = np.round(3 * theta).astype(int) if i % 2 else theta
        gradients = rng.standard_normal((len(labels), p))
        if i % 3 == 2 and len(labels) > 4:  # two tasks may want the same
            gradients[-1] = gradients[0]
        inputs = {"theta": theta, "gradients": gradients, "parents": parents, "labels": labels, "rate": rate}
        yield student(**inputs), *_stepped(**inputs)


@graded(
    "clusters may split and change their numbers, but no two that were apart come together.",
    read=lambda answer: answer.choice(True, False),
)
def refines(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(labels, parents)`: were all tasks with the same label together at the step before?"""
    cases = [([7], [2]), ([1, 11], [12, 2]), ([0, 0, 0], [1, 0, 2]), ([0, 0, 0], [0, 1, 0]), ([4, 1, 4], [4, 1, 4])]
    cases += [([0, 0, 0], [0, 2, 1]), ([0, 0], [-2, 2]), ([2, 21], [1, 10])]
    cases += [([1, 2], [2, 0]), ([2, 0], [1, 2]), ([1, 2], [20, 10]), ([1, 2], [110, 10])]  # 2 * 1 + 2 = 2 * 2 + 0
    cases += [([0, 0], [-1, 2]), ([3, 3], [-2, -2]), ([-3, -3], [0, 1])]
    cases += [([0, 1, 1, 2], [0, 0, 0, 0]), ([4, 4, 1, 1], [1, 1, 4, 4]), ([0, 1, 0, 1], [0, 0, 1, 1])]
    for count in sorted([*range(2, 10)] * 5):
        parents = _split(rng, _split(rng, [0] * count))
        finer = _split(rng, parents)
        merged = list(finer)
        merged[rng.integers(count)] = merged[rng.integers(count)]  # at most one task comes to strangers
        # Single tasks refine anything, and show which pairs of numbers a student's formula takes for the same.
        single = range(2 * count), rng.integers(0, len(_NAMES), 2 * count)
        for labels, before in ((finer, parents), (merged, parents), (rng.integers(0, count, count), parents), single):
            cases.append(tuple(rng.permutation(_NAMES)[list(numbers)].tolist() for numbers in (labels, before)))
    for labels, parents in cases:
        answer = student(labels=labels, parents=parents)
        named = {words: wrong(labels, parents) for words, wrong in _WRONG_RULES.items()}
        yield answer, _refines(labels, parents), named, _why(labels, parents)


@graded(
    "at each step the tasks below one node share a label, and short branches keep theirs.",
    read=lambda answer: answer.value,
)
def tree_grouping(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(tree)`: the grouping of a tree of nested tuples, as in `grouping.fixed_tree`.

    It must give a label for each of `tasks`, leaves of the tree in any order and not always all of them. At step k
    the tasks below one node at depth k - 1 share a label; a branch that ends early keeps its cluster.
    """
    trees = sorted((_random_tree(rng, depth) for depth in (2, 3, 4, 5, 6)), key=lambda tree: len(_paths(tree)))
    trees = [
        ("a", "b"),
        ((("a", "b"),), "c"),
        (("a", "bb"), ("ab", "b")),  # names that are alike once they are joined, here and in the next
        (("a", "b"), "ab", "a b", "a/b", "0", "1/0"),
        (("a", "b"), "c", ("d", ("e", "f")), ("g",)),
        *trees,
        ("a", ("b", ("c", ("d", ("e", ("f", ("g", ("h", "i")))))))),
        _WIDE_TREE,
    ]
    made = [student(tree=tree).function("a function, the grouping") for tree in trees]  # all before the first is asked
    for tree, group in zip(trees, made, strict=True):
        paths = _paths(tree)
        depth = max(map(len, paths.values()))
        again, tasks = (rng.permutation(list(paths)).tolist() for _ in range(2))
        # Three episodes: a list, a tuple (which `adapt` gives) in another order, and one with tasks missing.
        for present in (tasks, tuple(again), tasks[: len(tasks) // 2 + 1]):
            wanted = [()] * len(present)
            for step in range(1, depth + 3):
                shown = f"tree {tree}, tasks {list(present)}, step {step}"
                parents = [wanted.index(label) for label in wanted]
                answer = group(step=step, tasks=present, parents=parents, gradients=no_gradients, given=shown)
                labels = answer.labels(len(present))
                if any(hasattr(label, "detach") for label in answer.value):
                    raise answer.not_yet("the labels are tensors, and no two tensors are one label; use .tolist()")
                wanted = [paths[task][: step - 1] for task in present]
                named = {words: _drawn(present, other) for words, other in _wrong_clusters(paths, present, step - 1)}
                drawn = Answer(_drawn(present, labels), shown)
                yield drawn, _drawn(present, wanted), named, _belonging(present, labels, wanted)


@graded(
    "the steps follow the clusters, and the meta-gradient flows through all of them to ω.",
    rows="a row per task",
    off="these are not the parameters of eq. 7",
)
def pooled_adapt(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(omega, x, y, labels, rate)`: K pooled steps of linear regression, TreeMAML eq. 6 and 7.

    omega (p,) requires a gradient, x (m, n, p), y (m, n), labels K lists (m,). The loss of task i at θ is the mean
    over its n examples of (x · θ - y)^2. The result is θ (m, p), differentiable with respect to omega.
    """
    sizes = [(1, 2, 3, 1), (2, 3, 4, 1), (3, 1, 2, 2), (3, 4, 1, 2), (3, 4, 2, 0)]  # (m, n, p, K)
    sizes += [(6, 4, 3, 3), (7, 3, 2, 4), (9, 6, 4, 6)]
    done = []
    for i, (m, n, p, steps) in enumerate(sizes):
        plan, rate = [[0] * m], float(rng.uniform(0.05, 0.15))
        for _ in range(steps):
            plan.append(_split(rng, plan[-1]))
        omega, x, y = (torch.from_numpy(rng.standard_normal(size)) for size in (p, (m, n, p), (m, n)))
        omega.requires_grad_()
        omega.grad = torch.ones_like(omega) if i % 2 else None  # an outer loop may have left one; it must stay
        answer = student(omega=omega, x=x, y=y, labels=plan[1:], rate=rate)
        target, named = _adapted(omega, x, y, plan[1:], rate)
        done.append((answer, target, omega))
        yield answer, target, named
    words = "the meta-gradient is first-order: the inner gradients are constants in your graph"
    for answer, target, omega in reversed(done):  # where there is only one step, one lost is all lost
        constant = {f"{words} (torch.autograd.grad needs create_graph=True)": omega.expand(target.shape)}
        answer.compare_gradient(omega, target, torch.from_numpy(rng.standard_normal(target.shape)), constant)


@graded(
    "alone from the first step is MAML, together to the last is one θ for all.",
    read=lambda answer: answer.choice("maml", "same", "between"),
)
def limit_of(student: Student, rng: Generator) -> Iterator[tuple]:
    """Check `function(grouping, tasks, steps)`: "maml", "same" or "between".

    "maml": each task ends where it would end alone; "same": all tasks end with the same parameters.
    """
    always = ""
    cases = [(kinds, texts, 2, 3 + len(kinds)) for kinds in _PLANS for texts in (False, True)]
    cases += [(("one leaves",), False, 6, 9), (("a pair", "as before"), False, 6, 9)]  # many clusters, and many tasks
    for kinds, texts, fewest, most in cases:
        plan = [[0] * int(rng.integers(fewest, most + 1))]
        for kind in kinds:
            plan.append(_NEXT[kind](rng, plan[-1]))
        if texts:  # and a cluster has another name at each step
            plan = [[f"{letter}{label}" for label in labels] for letter, labels in zip("abcdef", plan, strict=False)]
        tasks, handed = [f"task {i}" for i in rng.permutation(len(plan[0]))], []
        grouping = _follows(plan, tasks, handed)
        for steps in sorted({1, len(kinds)}):
            now = plan[1 : steps + 1]
            shown = f"K = {steps} and the labels {', then '.join(map(str, now))}"
            answer = student(grouping=grouping, tasks=list(tasks), steps=steps, given=shown)
            if any(labels != list(before) for labels, before in handed):
                raise answer.not_yet("your function changes a list of labels that the grouping gave; work on a copy")
            always = always or answer.value
            target, named = _limit(now), _wrong_limits(now)
            yield answer, target, named | {"you always give the same answer": always}, _ENDS[target]


# --- Clusters ---

_NAMES = [-2, -1, 0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 100, 101, 102, 110, 111, 112, 1000, 1001]
"""A cluster may be called anything; equal numbers drawn from here are not one object."""


def _split(rng: Generator, parents: Sequence[int]) -> list[int]:
    """Labels that refine `parents`: each cluster in one to three, numbered 0, 1, ... in random order."""
    ways = rng.integers(1, 4)
    pairs = [(parent, int(rng.integers(ways))) for parent in parents]
    different = sorted(set(pairs))
    number = dict(zip(different, rng.permutation(len(different)).tolist(), strict=True))
    return [number[pair] for pair in pairs]


def _refines(labels: Sequence[Hashable], parents: Sequence[Hashable]) -> bool:
    return len(set(zip(labels, parents, strict=True))) == len(set(labels))


def _why(labels: Sequence[int], parents: Sequence[int]) -> str:
    """Why these labels refine their parents', or why not."""
    for i, j in itertools.combinations(range(len(labels)), 2):
        if labels[i] == labels[j] and parents[i] != parents[j]:
            return f"tasks {i} and {j} were apart and now share label {labels[i]}"
    return "no two tasks that were apart have come together"


_WRONG_RULES: dict[str, Callable[[Sequence[int], Sequence[int]], bool]] = {
    "you always say True": lambda labels, parents: True,
    "you always say False": lambda labels, parents: False,
    "it is the wrong way round": lambda labels, parents: _refines(parents, labels),
    "you ask for the same clusters, but they may split": lambda labels, parents: parted(labels, parents) is None,
    "you ask for the same numbers": lambda labels, parents: list(labels) == list(parents),
    "you only count the clusters": lambda labels, parents: len(set(labels)) >= len(set(parents)),
    "you only count the clusters and want more": lambda labels, parents: len(set(labels)) > len(set(parents)),
    "you compare neighbours in the list only; look at all pairs": lambda labels, parents: all(
        parents[i] == parents[i + 1] for i in range(len(labels) - 1) if labels[i] == labels[i + 1]
    ),
    "you compare the numbers, which mean nothing; look who is together": lambda labels, parents: all(
        label >= parent for label, parent in zip(labels, parents, strict=True)
    ),
}
"""What students may take for the rule, by its name."""


# --- One step ---


def _stepped(
    theta: np.ndarray, gradients: np.ndarray, parents: list[int], labels: list[int], rate: float
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Eq. 7, a row per cluster, and what known mistakes would give instead, in the words that name them."""
    clusters, m = list(range(max(labels) + 1)), len(labels)
    firsts = [labels.index(c) for c in clusters]
    lasts = [m - 1 - labels[::-1].index(c) for c in clusters]
    origins, appear = [parents[i] for i in firsts], list(dict.fromkeys(labels))
    inside, family = np.equal.outer(clusters, labels).astype(float), np.equal.outer(origins, parents).astype(float)
    mean, kin = inside / inside.sum(1, keepdims=True), family.sum(1, keepdims=True)

    def step(weights: np.ndarray = mean, start: Sequence[int] = origins) -> np.ndarray:
        return theta[start] - rate * weights @ gradients

    return step(), {
        "your step uses the sum of the gradients; take the mean over the cluster": step(inside),
        "your step goes uphill: subtract the pooled gradient": step(-mean),
        "the mean runs over all tasks; take it within each cluster": step(np.ones_like(inside) / m),
        "you divide by the number of all tasks; divide by the size of the cluster": step(inside / m),
        "you pool over the parent cluster; pool over the tasks with the same label": step(family / kin),
        "you divide by the size of the parent cluster; divide by that of the new one": step(inside / kin),
        "your step forgets the rate": step(mean / rate),
        "only the last task of the cluster counts: its gradient overwrites the others'": step(np.eye(m)[lasts]),
        "only the first task of the cluster counts; average over all of them": step(np.eye(m)[firsts]),
        "one gradient of each cluster is divided by the cluster's size: `sums[labels] += gradients` adds one for each "
        "label; np.add.at adds all": step(np.eye(m)[lasts] / inside.sum(1, keepdims=True)),
        "your mean is one number: it runs over the parameters too; take it over the tasks alone, axis=0": (
            theta[origins] - rate * (mean @ gradients).mean(1, keepdims=True)
        ),
        "this is the mean gradient; the answer is the new parameters": mean @ gradients,
        "this is only the step; add it to the parent's parameters": -rate * mean @ gradients,
        "the rows stand in the order in which the clusters appear; row c belongs to cluster c": step()[appear],
        "your rows have theta's type, whole numbers, and lose what stands behind the point": step().astype(theta.dtype),
        "`parents` are rows of theta, 0, 1, 2, ...; you use rows 0 and 1 only": step(start=np.minimum(origins, 1)),
        "cluster c starts from row c of theta; start from the row of its parent": step(
            start=np.minimum(clusters, len(theta) - 1)
        ),
    }


# --- Trees ---


def _paths(tree: Nested, above: Path = ()) -> dict[str, Path]:
    """The path of each leaf."""
    if isinstance(tree, str):
        return {tree: above}
    return {leaf: path for i, child in enumerate(tree) for leaf, path in _paths(child, (*above, i)).items()}


def _random_tree(rng: Generator, depth: int) -> Nested:
    """Nested tuples, `depth` levels deep, nodes of one to four children; leaves such as a, ab and aba."""
    letters = (itertools.product("ab", repeat=length) for length in range(1, 8))
    names = iter(rng.permutation(["".join(name) for names in letters for name in names]).tolist())

    def grow(depth: int) -> Nested:
        if depth == 0:
            return next(names)
        # One child goes on down; the other ones may end.
        depths = [depth - 1] + [int(rng.integers(depth)) * int(rng.integers(2)) for _ in range(rng.integers(4))]
        return tuple(grow(int(below)) for below in rng.permutation(depths))

    return grow(depth)


_WIDE_TREE = tuple(
    tuple(f"t{i}-{j}" for j in range(size)) if size else f"t{i}" for i, size in enumerate([0, 11, 2, *[0] * 8, 2])
)
"""Children 1, 2 and 11 have children: neither 10 * 1 + 10 = 10 * 2 nor "1" + "10" = "11" + "0" may be one label."""


def _branching(path: Path, paths: Iterable[Path]) -> Path:
    """The path without the steps below nodes of one child."""
    steps = range(len(path))
    return tuple(path[k] for k in steps if len({other[: k + 1] for other in paths if other[:k] == path[:k]}) > 1)


def _wrong_clusters(paths: dict[str, Path], tasks: Sequence[str], k: int) -> Iterator[tuple[str, list]]:
    """The labels at step k + 1 that known mistakes would give, with the words that name them."""
    depth, rows = max(map(len, paths.values())), [paths[task] for task in tasks]
    inside = [path for task, path in paths.items() if task in tasks]
    yield (
        "the labels stand in the order of the tree's leaves; give them in the order of `tasks`",
        [p[:k] for p in inside],
    )
    yield "you split a step too early: step 1 pools at the root", [p[: k + 1] for p in rows]
    yield "you split a step too late: at step 2 the children of the root are apart", [p[: max(k - 1, 0)] for p in rows]
    yield (
        "branches that end early are thrown together; each keeps its own cluster",
        [len(p) >= k and p[:k] for p in rows],
    )
    yield (
        "a label says which child, but not of whom: cousins come together",
        [k and p[min(k, len(p)) - 1] for p in rows],
    )
    yield "you count levels from the leaves; count them from the root", [p[: max(len(p) - depth + k, 0)] for p in rows]
    bare = [_branching(path, paths.values()) for path in rows]
    yield "a node with one child is a level too: its child is reached a step later", [p[:k] for p in bare]
    yield "all tasks are together at every step; at step 2 the children of the root are apart", [0 for _ in rows]
    yield "every task is alone at every step", rows


def _belonging(tasks: Sequence[str], labels: Sequence[Hashable], wanted: Sequence[Hashable]) -> str:
    """Two tasks that the labels part, or put together, and should not, in words."""
    pair = parted(labels, wanted)
    if not pair:
        return ""
    i, j = pair
    how = "apart, and yours are together" if labels[i] == labels[j] else "together, and yours are apart"
    return f"{tasks[i]} and {tasks[j]} belong {how}"


def _drawn(tasks: Sequence[str], labels: Sequence[Hashable]) -> str:
    clusters = ([task for task, label in zip(tasks, labels, strict=True) if label == c] for c in dict.fromkeys(labels))
    return " | ".join(map(" ".join, clusters))


# --- K steps ---


def _adapted(
    omega: Tensor, x: Tensor, y: Tensor, labels: list[list[int]], rate: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """θ (m, p) after the pooled steps, and what known mistakes would give, in the words that name them."""
    m, n = y.shape

    def run(
        labels: Sequence[Sequence[int]] = labels,
        rate: float = rate,
        divide: Callable[[Tensor], Tensor | int] = lambda same: same.sum(1, keepdim=True),
        at_omega: bool = False,
        y: Tensor = y,
    ) -> Tensor:
        theta = start = omega.expand(m, -1)
        for now in map(torch.tensor, labels):
            error = torch.einsum("mnp,mp->mn", x, start if at_omega else theta) - y
            together = (now[:, None] == now).to(x.dtype)
            theta = theta - 2 * rate * together / divide(together) @ torch.einsum("mnp,mn->mp", x, error) / n
        return theta

    return run(), {
        "the result is ω: no step was taken": run([]),
        "only the first step was taken": run(labels[:1]),
        "the last step is missing": run(labels[:-1]),
        "your steps go uphill: subtract the gradient": run(rate=-rate),
        "your step uses the sum of the gradients; take the mean over the cluster": run(divide=lambda same: 1),
        "you divide by the number of all tasks; divide by the size of the cluster": run(divide=lambda same: m),
        "the mean runs over all tasks; take it within each cluster": run([[0] * m] * len(labels)),
        "each task uses its own gradient: that is MAML; pool within the cluster": run([range(m)] * len(labels)),
        "the gradients are taken at ω at every step; take them at the cluster's parameters": run(at_omega=True),
        "all steps use the labels of the first step": run(labels[:1] * len(labels)),
        "all steps use the labels of the last step": run(labels[-1:] * len(labels)),
        "you walk up the tree: take the labels in their order": run(labels[::-1]),
        "the loss of a task is the mean over its examples, not the sum": run(rate=rate * n),
        "the loss is a sum over the examples and the step a sum over the cluster; both are means": run(
            rate=rate * n, divide=lambda same: 1
        ),
        "the factor 2 of the square's derivative is missing": run(rate=rate / 2),
        "every prediction meets every target, as where (n, 1) and (n,) are subtracted: look at the shapes": run(
            y=y.mean(1, keepdim=True).expand(m, n)
        ),
    }


# --- The limits ---

_ENDS = {
    "maml": "all tasks are alone at step 1, and so at all steps",
    "same": "all tasks are together at the last step, and so at all steps",
    "between": "tasks are together at step 1, and tasks are apart at the last step",
}
"""Why pooled steps end at a limit, or why not."""

_NEXT: dict[str, Callable[[Generator, list[int]], list[int]]] = {
    "as before": lambda rng, labels: labels,
    "alone": lambda rng, labels: list(range(len(labels))),
    "a pair": lambda rng, labels: rng.permutation([0, *range(len(labels) - 1)]).tolist(),
    "one leaves": lambda rng, labels: (labels + rng.permutation([99] + [0] * (len(labels) - 1))).tolist(),
    "split": lambda rng, labels: _split(rng, labels),
}
"""How the labels of a step may come from those of the step before; a pair comes at the first step only."""

_PLANS = [
    *itertools.product(_NEXT),
    *itertools.product(("as before", "a pair", "alone", "split"), ("as before", "alone", "split")),
    *itertools.product(("as before", "split"), ("one leaves", "split"), ("as before", "split")),
    ("as before", "as before", "as before", "as before", "one leaves"),
]


def _follows(plan: list[list[Hashable]], tasks: list[str], handed: list[tuple[list, tuple]]) -> Grouping:
    """A grouping whose labels at step k are plan[k]. It wants to be asked as `adapt` asks.

    What it gives is noted in `handed`, with a copy.
    """
    labels = [dict(zip(tasks, row, strict=True)) for row in plan]

    def group(step: int, tasks: Sequence[str], parents: Sequence[Hashable], gradients: Gradients) -> list[Hashable]:
        if not 1 <= step < len(plan):
            raise InputError(f"there is no step {step}; ask for steps 1 to {len(plan) - 1}")
        if any(task not in labels[0] for task in tasks):
            raise InputError("give the grouping the names of the tasks, `tasks`, after the step")
        before = [labels[step - 1][task] for task in tasks]
        known = hasattr(parents, "__len__") and len(parents) == len(tasks)
        if not known or parted(parents, before) or (step == 1 and any(parents)):
            raise InputError("give the grouping the labels of the step before as `parents`, at step 1 zeros")
        if gradients is not no_gradients:
            raise InputError("give the grouping `no_gradients` in the place of the gradients")
        given = noticing([labels[step][task] for task in tasks], "labels")
        handed.append((given, tuple(given)))
        return given

    return group


def _limit(plan: list[list], first: int = 0, last: int = -1) -> str:
    """The rule, applied to the labels at two steps."""
    alone, together = len(set(plan[first])) == len(plan[first]), len(set(plan[last])) == 1
    return "maml" if alone else "same" if together else "between"


def _wrong_limits(plan: list[list]) -> dict[str, str]:
    """What students may take for the rule, given the labels of each step, by its name."""
    first, last, right = plan[0], plan[-1], _limit(plan)
    numbered = "maml" if first == [*range(len(first))] else "same" if not any(last) else "between"
    return {
        "alone at the last step only, tasks have shared the steps before: MAML is alone from step 1": _limit([last]),
        "tasks that share step 1 may part later: for one θ they must share the last step": _limit([first]),
        "it is the wrong way round: alone at step 1 is MAML, together at the last step is one θ": _limit(plan, -1, 0),
        "the two names are exchanged": {"maml": "same", "same": "maml"}.get(right, right),
        "the last step is left out: with K steps, ask the grouping at step K too": _limit([first, [[0], *plan][-2]]),
        "one cluster need not be called 0, nor single tasks 0, 1, 2, ...: look who is together": numbered,
    }
