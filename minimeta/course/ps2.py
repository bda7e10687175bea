"""Checks of problem set 2, "Pooled gradients and their limits".

Each check calls the student's function on fresh inputs drawn from `seed`, prints "Right: ..." or "Not yet: ..." with
the mistake in words, and returns whether it was right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from ..grouping import Gradients, Grouping, alone, everyone, fixed_tree, no_gradients
from ..inner import Learner, adapt, squared_error
from ..tasks import Episode, balanced_tree
from .verdict import Student, compare_all, graded, parted

Nested = str | tuple
"""A tree as nested tuples: a text is a leaf (a task), a tuple holds the children of a node."""

Refines = Callable[[Sequence[int], Sequence[int]], bool]


@graded("every cluster starts from its parent's parameters and moves with the mean gradient of its tasks.")
def pooled_step(student: Student, rng: Generator) -> None:
    """Check `function(theta, gradients, parents, labels, rate)`: one step of TreeMAML, eq. 7, with a row per cluster.

    theta (parent clusters, p), gradients (m, p), parents (m,), labels (m,); the result is (clusters, p).
    """
    renumbered, split = ([0, 1, 0, 1, 1], [1, 0, 1, 0, 0]), ([0, 0, 1, 1, 1, 0, 0], [2, 0, 1, 1, 1, 0, 0])
    parents = rng.integers(0, 2, 9).tolist()
    for before, after in (([0] * 4, [0] * 4), renumbered, split, (parents, _split(rng, parents))):
        order = rng.permutation(len(before)).tolist()
        while max(after) and _numbers([after[i] for i in order]) == [after[i] for i in order]:
            order = rng.permutation(len(before)).tolist()  # clusters shall not appear in the order of their numbers
        parents, labels = [before[i] for i in order], [after[i] for i in order]
        theta = rng.standard_normal((max(parents) + 1, 3))
        gradients, rate = rng.standard_normal((len(labels), 3)), float(rng.uniform(0.2, 0.6))
        target = _pooled(theta, gradients, parents, labels, rate)
        answer = student(theta=theta, gradients=gradients, parents=parents, labels=labels, rate=rate)
        named = _wrong_steps(theta, gradients, parents, labels, rate, target)
        answer.compare(target, named, "a row per cluster of `labels`", "it is not eq. 7")


@graded("clusters may split and change their numbers, but no two that were apart come together.")
def refines(student: Student, rng: Generator) -> None:
    """Check `function(labels, parents)`: were all tasks with the same label together at the step before?"""
    cases = [
        ([0, 0, 0, 0], [0, 0, 0, 0]),
        ([0, 1, 1, 2], [0, 0, 0, 0]),
        ([4, 4, 1, 1], [1, 1, 4, 4]),
        ([0, 0, 0, 0], [0, 0, 1, 1]),
        ([0, 1, 2, 0], [0, 0, 1, 1]),
        ([0, 1, 0, 1], [0, 0, 1, 1]),
        ([3, 9, 9, 2, 3], [5, 0, 0, 5, 5]),
        ([7], [2]),
    ]
    for count in (4, 6, 9, 6, 4, 9):
        parents = rng.integers(0, 3, count).tolist()
        cases += [(_split(rng, parents), parents), (rng.integers(0, 4, count).tolist(), parents)]
    answers = [student(labels=labels, parents=parents) for labels, parents in cases]
    for answer in answers:
        answer.choice(True, False)
    wanted = [_refines(*case) for case in cases]
    named = {words: [wrong(*case) for case in cases] for words, wrong in _WRONG_RULES.items()}
    compare_all(answers, wanted, named, [_why(*case) for case in cases])


def _why(labels: Sequence[int], parents: Sequence[int]) -> str:
    """Why these labels refine their parents', or why not."""
    for i, j in itertools.combinations(range(len(labels)), 2):
        if labels[i] == labels[j] and parents[i] != parents[j]:
            return f"tasks {i} and {j} were apart and now share label {labels[i]}"
    return "no two tasks that were apart have come together"


@graded("at each step the tasks below one node share a label, and short branches keep theirs.")
def tree_grouping(student: Student, rng: Generator) -> None:
    """Check `function(tree)`: the grouping of a tree of nested tuples, as in `grouping.fixed_tree`.

    It must give a label for each of `tasks`, leaves of the tree in any order and not always all of them. At step k
    the tasks below one node at depth k - 1 share a label; a branch that ends early keeps its cluster.
    """
    trees = [(("a", "b"), "c", ("d", ("e", "f")), ("g",)), *(_random_tree(rng) for _ in range(3))]
    made = [student(tree=tree).function("a function, the grouping") for tree in trees]
    for tree, group in zip(trees, made, strict=True):
        paths = _paths(tree)
        depth = max(map(len, paths.values()))
        tasks = [str(task) for task in rng.permutation(list(paths))]
        # Twice: an episode after the other. The second has tasks missing.
        for present in (tasks, tasks[: max(2, len(tasks) - 2)]):
            parents: list[int] = [0] * len(present)
            for step in range(1, depth + 3):
                shown = f"tree {tree}, tasks {present}, step {step}"
                answer = group(step=step, tasks=present, parents=parents, gradients=no_gradients, given=shown)
                labels = answer.labels(len(present))
                wanted = [paths[task][: step - 1] for task in present]
                if pair := parted(labels, wanted):
                    i, j = pair
                    together = "together, and yours are apart", "apart, and yours are together"
                    raise answer.not_yet(
                        _wrong_clusters(paths, present, step, labels, wanted),
                        f"at step {step}, {present[i]} and {present[j]} belong {together[labels[i] == labels[j]]}",
                        f"yours  {_drawn(present, labels)}",
                        f"target {_drawn(present, wanted)}",
                    )
                parents = _numbers(wanted)


@graded("the steps follow the clusters, and the meta-gradient flows through all of them to ω.")
def pooled_adapt(student: Student, rng: Generator) -> None:
    """Check `function(omega, x, y, labels, rate)`: K pooled steps of linear regression, TreeMAML eq. 6 and 7.

    omega (p,) requires a gradient, x (m, n, p), y (m, n), labels K lists (m,). The loss of task i at θ is the mean
    over its n examples of (x · θ - y)^2. The result is θ (m, p), differentiable with respect to omega.
    """
    uneven = [[0, 0, 1, 1, 1, 1], [1, 1, 2, 0, 0, 0], [3, 0, 1, 2, 2, 2]]
    drawn = [_split(rng, [0] * 6)]
    drawn += [_split(rng, drawn[0])]
    for labels in (uneven, [[0, 1, 1, 0]], drawn, []):
        m, n, p = len(labels[0]) if labels else 3, 4, 3
        omega, x, y = (torch.from_numpy(rng.standard_normal(size)) for size in (p, (m, n, p), (m, n)))
        rate = float(rng.uniform(0.05, 0.15))
        omega.requires_grad_()
        target = _steps(omega, x, y, labels, rate)
        answer = student(omega=omega, x=x, y=y, labels=labels, rate=rate)
        named = _wrong_adapted(omega, x, y, labels, rate)
        answer.compare(target, named, "a row per task", "these are not the parameters of eq. 7")
        constant = {
            "the meta-gradient is first-order: the inner gradients are constants in your graph (torch.autograd.grad "
            "needs create_graph=True)": omega.expand(m, -1)
        }
        answer.compare_gradient(omega, target, torch.from_numpy(rng.standard_normal((m, p))), constant)


@graded("alone from the first step is MAML, together to the last is one θ for all.")
def limit_of(student: Student, rng: Generator) -> None:
    """Check `function(grouping, tasks, steps)`: "maml", "same" or "between", as `inner.adapt` finds it to be.

    "maml": each task ends where it would end alone; "same": all tasks end with the same parameters.
    """
    cases = []
    for name, group in _groupings().items():
        # A tree that ends alone is one cluster at step 1, and 3 steps end where the last grouping splits.
        for steps in {"a tree that ends alone": (1, 4), _LATE: (3,)}.get(name, (int(rng.integers(3, 5)),)):
            tasks = [str(task) for task in rng.permutation(_TREE.leaves)[: rng.integers(5, 9)]]
            target, why = _ending(group, tasks, steps, rng)
            answer = student(grouping=group, tasks=tasks, steps=steps, given=f"the grouping '{name}', {steps} steps")
            answer.choice("maml", "same", "between")
            walk, stale = (_walk(group, tasks, steps, keep) for keep in (True, False))
            cases.append((answer, target, why, walk, stale))
    answers, targets, reasons, walks, stale = zip(*cases, strict=True)
    named = {words: [wrong(labels) for labels in walks] for words, wrong in _WRONG_LIMITS.items()}
    named["give the grouping the labels of the step before as `parents`; yours do not change"] = [
        _limit(labels[0], labels[-1]) for labels in stale
    ]
    named["you always give the same answer"] = [answers[0].value] * len(answers)
    compare_all(answers, targets, named, reasons, otherwise="that is not what `adapt` finds")


# --- Clusters ---


def _split(rng: Generator, parents: Sequence[int]) -> list[int]:
    """Labels that refine `parents`: each cluster in one or two, numbered 0, 1, ... in random order."""
    pairs = [(parent, int(rng.integers(2))) for parent in parents]
    different = sorted(set(pairs))
    number = dict(zip(different, rng.permutation(len(different)).tolist(), strict=True))
    return [number[pair] for pair in pairs]


def _refines(labels: Sequence[Hashable], parents: Sequence[Hashable]) -> bool:
    return len(set(zip(labels, parents, strict=True))) == len(set(labels))


def _numbers(labels: Sequence[Hashable]) -> list[int]:
    """The clusters numbered 0, 1, ... as they appear."""
    different = list(dict.fromkeys(labels))
    return [different.index(label) for label in labels]


_WRONG_RULES: dict[str, Refines] = {
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


def _pooled(
    theta: np.ndarray, gradients: np.ndarray, parents: Sequence[int], labels: Sequence[int], rate: float
) -> np.ndarray:
    """Eq. 7: θ of the parent minus rate times the mean gradient, a row per cluster."""
    pooled = np.stack([gradients[np.equal(labels, c)].mean(0) for c in range(max(labels) + 1)])
    return theta[_origins(parents, labels)] - rate * pooled


def _origins(parents: Sequence[int], labels: Sequence[int]) -> list[int]:
    """The parent of each cluster."""
    return [parents[list(labels).index(c)] for c in range(max(labels) + 1)]


def _wrong_steps(
    theta: np.ndarray, gradients: np.ndarray, parents: list[int], labels: list[int], rate: float, target: np.ndarray
) -> dict[str, np.ndarray]:
    """What known mistakes would give instead of `target`, in the words that name them."""
    count, base = len(target), theta[_origins(parents, labels)]
    inside = [gradients[np.equal(labels, c)] for c in range(count)]
    total = np.stack([g.sum(0) for g in inside])
    family = np.array([[parents.count(parent)] for parent in _origins(parents, labels)])
    of_parents = np.stack([gradients[np.equal(parents, parent)].mean(0) for parent in parents])
    found = {
        "your step uses the sum of the gradients; take the mean over the cluster": base - rate * total,
        "your step goes uphill: subtract the pooled gradient": 2 * base - target,
        "the mean runs over all tasks; take it within each cluster": base - rate * gradients.mean(0),
        "you divide by the number of all tasks; divide by the size of the cluster": base - rate * total / len(labels),
        "you pool over the parent cluster; pool over the tasks with the same label": _pooled(
            theta, of_parents, parents, labels, rate
        ),
        "you divide by the size of the parent cluster; divide by that of the new one": base - rate * total / family,
        "your step forgets the rate": base - (base - target) / rate,
        "only the last task of the cluster counts: its gradient overwrites the others'": base
        - rate * np.stack([g[-1] for g in inside]),
        "only the first task of the cluster counts; average over all of them": base
        - rate * np.stack([g[0] for g in inside]),
        "this is the mean gradient; the answer is the new parameters": (base - target) / rate,
        "this is only the step; add it to the parent's parameters": target - base,
        "the rows stand in the order in which the clusters appear; row c belongs to cluster c": target[
            list(dict.fromkeys(labels))
        ],
    }
    if count <= len(theta):
        found["cluster c starts from row c of theta; start from the row of its parent"] = theta[:count] - base + target
    return found


# --- Trees ---


def _paths(tree: Nested, above: tuple[int, ...] = ()) -> dict[str, tuple[int, ...]]:
    """For each leaf the child numbers from the root down to it."""
    if isinstance(tree, str):
        return {tree: above}
    return {leaf: path for i, child in enumerate(tree) for leaf, path in _paths(child, (*above, i)).items()}


def _random_tree(rng: Generator) -> Nested:
    """Nested tuples, two to four levels deep, with branches of different length; leaves t0, t1, ..."""
    names = (f"t{i}" for i in itertools.count())

    def grow(depth: int) -> Nested:
        if depth == 0:
            return next(names)
        deep = int(rng.integers(2))  # this child goes on down; the other ones may end
        sizes = [depth - 1 if i == deep else int(rng.integers(depth)) for i in range(int(rng.integers(2, 4)))]
        return tuple(grow(size) for size in sizes)

    return grow(int(rng.integers(2, 5)))


def _wrong_clusters(paths: dict[str, tuple[int, ...]], tasks: list[str], step: int, labels: list, wanted: list) -> str:
    """Which mistake gives these clusters at this step."""
    k, rows = step - 1, [paths[task] for task in tasks]
    in_tree_order = [path[:k] for task, path in paths.items() if task in tasks]
    ended = [path[:k] if len(path) >= k else "ended" for path in rows]
    siblings = [path[k - 1] if 0 < k <= len(path) else path[-1] if k else 0 for path in rows]
    from_leaf = [path[: max(len(path) - (max(map(len, paths.values())) - k), 0)] for path in rows]
    named = {
        "the labels stand in the order of the tree's leaves; give them in the order of `tasks`": in_tree_order,
        "you split a step too early: step 1 pools at the root": [path[: k + 1] for path in rows],
        "you split a step too late: at step 2 the children of the root are apart": [
            path[: max(k - 1, 0)] for path in rows
        ],
        "branches that end early are thrown together; each keeps its own cluster": ended,
        "a label says which child, but not of whom: cousins come together": siblings,
        "you count levels from the leaves; count them from the root": from_leaf,
        "every task is alone at every step": list(range(len(tasks))),
    }
    known = (words for words, wrong in named.items() if parted(labels, wrong) is None and wrong != wanted)
    return next(known, "a wrong cluster")


def _drawn(tasks: Sequence[str], labels: Sequence[Hashable]) -> str:
    clusters: dict[Hashable, list[str]] = {}
    for task, label in zip(tasks, labels, strict=True):
        clusters.setdefault(label, []).append(task)
    return " | ".join(" ".join(inside) for inside in clusters.values())


# --- K steps ---


def _steps(
    omega: Tensor,
    x: Tensor,
    y: Tensor,
    labels: Sequence[Sequence[int]],
    rate: float,
    share: Callable[[Tensor], Tensor] = lambda same: same / same.sum(1, keepdim=True),
    at_omega: bool = False,
) -> Tensor:
    """θ (m, p) after the pooled steps; `share` turns who is together (m, m) into the weights of the gradients."""
    theta = omega.expand(len(x), -1)
    for step in labels:
        at = omega.expand(len(x), -1) if at_omega else theta
        error = torch.einsum("mnp,mp->mn", x, at) - y
        gradients = 2 * torch.einsum("mnp,mn->mp", x, error) / x.shape[1]
        now = torch.tensor(list(step))
        theta = theta - rate * share((now[:, None] == now).to(x.dtype)) @ gradients
    return theta


def _wrong_adapted(omega: Tensor, x: Tensor, y: Tensor, labels: list[list[int]], rate: float) -> dict[str, Tensor]:
    """What known mistakes would give, in the words that name them."""
    m, n = y.shape
    together, each = [[0] * m for _ in labels], [list(range(m)) for _ in labels]

    def run(labels: list[list[int]] = labels, rate: float = rate, **other: Any) -> Tensor:
        return _steps(omega, x, y, labels, rate, **other)

    return {
        "the result is ω: no step was taken": run([]),
        "only the first step was taken": run(labels[:1]),
        "the last step is missing": run(labels[:-1]),
        "your steps go uphill: subtract the gradient": run(rate=-rate),
        "your step uses the sum of the gradients; take the mean over the cluster": run(share=lambda same: same),
        "you divide by the number of all tasks; divide by the size of the cluster": run(share=lambda same: same / m),
        "the mean runs over all tasks; take it within each cluster": run(together),
        "each task uses its own gradient: that is MAML; pool within the cluster": run(each),
        "the gradients are taken at ω at every step; take them at the cluster's parameters": run(at_omega=True),
        "all steps use the labels of the first step": run([labels[0]] * len(labels) if labels else []),
        "all steps use the labels of the last step": run([labels[-1]] * len(labels) if labels else []),
        "you walk up the tree: take the labels in their order": run(labels[::-1]),
        "the loss of a task is the mean over its examples, not the sum": run(rate=rate * n),
        "the loss is a sum over the examples and the step a sum over the cluster; both are means": run(
            rate=rate * n, share=lambda same: same
        ),
        "the factor 2 of the square's derivative is missing": run(rate=rate / 2),
    }


# --- The limits ---

_TREE = balanced_tree((2, 2, 2))
_LATE = "one cluster until step 3"


def _groupings() -> dict[str, Grouping]:
    """Groupings of the leaves of `_TREE`, by a name that tells the student what they do."""

    def plain(rule: Callable[[int, Sequence[str], list], Sequence]) -> Grouping:
        def group(
            step: int, tasks: Sequence[str], parents: Sequence[int], gradients: Gradients = no_gradients
        ) -> Sequence:
            return rule(step, tasks, list(parents))

        return group

    return {
        "each task alone": alone(),
        "one cluster": everyone(),
        "a tree that ends alone": fixed_tree(_TREE),
        _LATE: plain(lambda k, tasks, _: [0] * len(tasks) if k < 3 else range(len(tasks))),
        "two halves, then alone": plain(
            lambda k, tasks, _: [int(task[0]) for task in tasks] if k == 1 else range(len(tasks))
        ),
        "one cluster, then two halves": plain(
            lambda k, tasks, _: [0] * len(tasks) if k == 1 else [int(task[0]) for task in tasks]
        ),
        "alone, labels are words": plain(lambda k, tasks, _: [f"cluster of {task}" for task in tasks]),
        "one cluster, called 7": plain(lambda k, tasks, _: [7] * len(tasks)),
        "alone, then as before": plain(lambda k, tasks, parents: range(len(tasks)) if k == 1 else parents),
        "halves, then as before": plain(
            lambda k, tasks, parents: [int(task[0]) for task in tasks] if k == 1 else parents
        ),
        "each cluster loses its first task": plain(
            lambda k, tasks, parents: [-1 - i if parents.index(p) == i else p for i, p in enumerate(parents)]
        ),
    }


def _walk(group: Grouping, tasks: Sequence[str], steps: int, keep: bool) -> list[list]:
    """The labels at steps 1, ..., `steps`; without `keep` every step gets the first parents, a mistake."""
    labels, found = [0] * len(tasks), []
    for k in range(1, steps + 1):
        found.append(list(group(k, tasks, labels, no_gradients)))
        labels = found[-1] if keep else labels
    return found


def _ending(group: Grouping, tasks: list[str], steps: int, rng: Generator) -> tuple[str, str]:
    """Where `inner.adapt` ends with this grouping on random linear regression, and in words."""
    x, y = (torch.from_numpy(rng.standard_normal((len(tasks), 5, size))) for size in (3, 1))
    episode = Episode(tuple(tasks), ({"x": x, "y": y},), {"x": x, "y": y})
    learner = Learner(nn.Linear(3, 1, bias=False).double(), squared_error)
    with torch.no_grad():
        learner.module.weight.copy_(torch.from_numpy(rng.standard_normal((1, 3))))
        ends, maml = (
            torch.stack([adapted.of(i)["module.weight"][0] for i in range(len(tasks))])
            for adapted in (adapt(learner, episode, g, steps, 0.1) for g in (group, alone()))
        )
    if torch.allclose(ends, maml, atol=1e-9):
        return "maml", "`adapt` ends every task exactly where MAML does"
    if torch.allclose(ends, ends[:1].expand_as(ends), atol=1e-9):
        return "same", "`adapt` ends all tasks at the same parameters"
    far, apart = (ends - maml).abs().max(), (ends - ends[:1]).abs().max()
    return "between", f"in `adapt` θ is up to {far:.2f} from MAML's, and tasks are up to {apart:.2f} apart"


def _limit(first: Sequence, last: Sequence) -> str:
    """The rule, applied to the labels at two steps."""
    return "maml" if len(set(first)) == len(first) else "same" if len(set(last)) == 1 else "between"


_WRONG_LIMITS: dict[str, Callable[[list[list]], str]] = {
    "a task that is alone only at the last step has shared the steps before: MAML is alone from step 1": (
        lambda s: _limit(s[-1], s[-1])
    ),
    "tasks that share step 1 may part later: for one θ they must share the last step": lambda s: _limit(s[0], s[0]),
    "it is the wrong way round: alone at step 1 is MAML, together at the last step is one θ": (
        lambda s: _limit(s[-1], s[0])
    ),
    "the two names are exchanged": lambda s: {"maml": "same", "same": "maml"}.get(_limit(s[0], s[-1]), "between"),
    "the last step is left out: with K steps, ask the grouping at step K too": (
        lambda s: _limit(s[0], s[-2] if len(s) > 1 else [0] * len(s[0]))
    ),
    "one cluster need not be called 0, nor must single tasks be 0, 1, 2, ...: look who is together": lambda s: (
        "maml" if s[0] == [*range(len(s[0]))] else "same" if s[-1] == [0] * len(s[-1]) else "between"
    ),
}
"""What students may take for the rule, given the labels of each step, by its name."""
