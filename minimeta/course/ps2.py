"""Checks of problem set 2, "Pooled gradients and their limits".

Each check calls the student's function on fresh inputs drawn from `seed`, prints "Right: ..." or "Not yet: ..." with
the mistake in words, and returns whether it was right.
"""

from __future__ import annotations

import copy
import itertools
import traceback
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..grouping import Gradients, Grouping, alone, everyone, fixed_tree, no_gradients
from ..inner import Learner, adapt, squared_error
from ..tasks import Episode, balanced_tree

Nested = str | tuple
"""A tree as nested tuples: a text is a leaf (a task), a tuple holds the children of a node."""

Refines = Callable[[Sequence[int], Sequence[int]], bool]


def pooled_step(
    function: Callable[[np.ndarray, np.ndarray, list[int], list[int], float], np.ndarray], seed: int = 0
) -> bool:
    """Check `function(theta, gradients, parents, labels, rate)`: one step of TreeMAML, eq. 7, with a row per cluster.

    theta (parent clusters, p), gradients (m, p), parents (m,), labels (m,); the result is (clusters, p).
    """
    rng = np.random.default_rng(seed)
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
        answer = _call(function, theta, gradients, list(parents), list(labels), rate)
        if answer is None:
            return False
        answer = _array(answer, target.shape, "a row per cluster of `labels`")
        if answer is None:
            return False
        if np.allclose(answer, target):
            continue
        mistakes = _wrong_steps(theta, gradients, parents, labels, rate, target)
        hint = next((words for words, value in mistakes.items() if np.allclose(answer, value)), "it is not eq. 7")
        row = int(np.argmax(np.abs(answer - target).max(1)))
        print(f"Not yet: {hint}.\n  for parents {parents}, labels {labels}, rate={rate:.3f}, cluster {row}\n"
              f"  yours {np.round(answer[row], 4)}, target {np.round(target[row], 4)}")  # fmt: skip
        return False
    print("Right: every cluster starts from its parent's parameters and moves with the mean gradient of its tasks.")
    return True


def refines(function: Refines, seed: int = 0) -> bool:
    """Check `function(labels, parents)`: were all tasks with the same label together at the step before?"""
    rng = np.random.default_rng(seed)
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
    answers = []
    for labels, parents in cases:
        answer = _call(function, list(labels), list(parents))
        if answer is None:
            return False
        if not isinstance(answer, (bool, np.bool_)):
            print(f"Not yet: your function returned {_short(answer)}; expected True or False.")
            return False
        answers.append(bool(answer))
    wanted = [_refines(*case) for case in cases]
    if answers == wanted:
        print("Right: clusters may split and change their numbers, but no two that were apart come together.")
        return True
    named = next((w for w, wrong in _WRONG_RULES.items() if [wrong(*case) for case in cases] == answers), None)
    labels, parents = next(case for case, a, w in zip(cases, answers, wanted, strict=True) if a != w)
    if _refines(labels, parents):
        why, yours = "no two tasks that were apart have come together", False
    else:
        pairs = itertools.combinations(range(len(labels)), 2)
        i, j = next((i, j) for i, j in pairs if labels[i] == labels[j] and parents[i] != parents[j])
        why, yours = f"tasks {i} and {j} were apart and now share label {labels[i]}", True
    print(f"Not yet: {named + ': ' if named else ''}{why}.\n  for labels {labels}, parents {parents}\n"
          f"  yours {yours}, target {not yours}")  # fmt: skip
    return False


def tree_grouping(function: Callable[[Nested], Grouping], seed: int = 0) -> bool:
    """Check `function(tree)`: the grouping of a tree of nested tuples, as in `grouping.fixed_tree`.

    It must give a label for each of `tasks`, leaves of the tree in any order and not always all of them. At step k
    the tasks below one node at depth k - 1 share a label; a branch that ends early keeps its cluster.
    """
    rng = np.random.default_rng(seed)
    trees = [(("a", "b"), "c", ("d", ("e", "f")), ("g",)), *(_random_tree(rng) for _ in range(3))]
    made = []
    for tree in trees:
        made.append(_call(function, tree))
        if made[-1] is None:
            return False
        if not callable(made[-1]):
            print(f"Not yet: your function returned {_short(made[-1])}; expected a function, the grouping.")
            return False
    for tree, group in zip(trees, made, strict=True):
        paths = _paths(tree)
        depth = max(map(len, paths.values()))
        tasks = [str(task) for task in rng.permutation(list(paths))]
        # Twice: an episode after the other. The second has tasks missing.
        for present in (tasks, tasks[: max(2, len(tasks) - 2)]):
            parents: list[int] = [0] * len(present)
            for step in range(1, depth + 3):
                answer = _call(group, step, list(present), list(parents), no_gradients)
                if answer is None or not _are_labels(answer, present):
                    return False
                labels = list(answer)
                wanted = [paths[task][: step - 1] for task in present]
                if not _same_clusters(labels, wanted):
                    _wrong_clusters(tree, paths, present, step, labels, wanted)
                    return False
                parents = _numbers(wanted)
    print("Right: at each step the tasks below one node share a label, and short branches keep theirs.")
    return True


def pooled_adapt(function: Callable[[Tensor, Tensor, Tensor, list[list[int]], float], Tensor], seed: int = 0) -> bool:
    """Check `function(omega, x, y, labels, rate)`: K pooled steps of linear regression, TreeMAML eq. 6 and 7.

    omega (p,) requires a gradient, x (m, n, p), y (m, n), labels K lists (m,). The loss of task i at θ is the mean
    over its n examples of (x · θ - y)^2. The result is θ (m, p), differentiable with respect to omega.
    """
    rng = np.random.default_rng(seed)
    uneven = [[0, 0, 1, 1, 1, 1], [1, 1, 2, 0, 0, 0], [3, 0, 1, 2, 2, 2]]
    drawn = [_split(rng, [0] * 6)]
    drawn += [_split(rng, drawn[0])]
    for labels in (uneven, [[0, 1, 1, 0]], drawn, []):
        m, n, p = len(labels[0]) if labels else 3, 4, 3
        omega, x, y = (torch.from_numpy(rng.standard_normal(size)) for size in (p, (m, n, p), (m, n)))
        rate = float(rng.uniform(0.05, 0.15))
        if not _adapts(function, omega.requires_grad_(), x, y, labels, rate, rng):
            return False
    print("Right: the steps follow the clusters, and the meta-gradient flows through all of them to ω.")
    return True


def limit_of(function: Callable[[Grouping, list[str], int], str], seed: int = 0) -> bool:
    """Check `function(grouping, tasks, steps)`: "maml", "same" or "between", as `inner.adapt` finds it to be.

    "maml": each task ends where it would end alone; "same": all tasks end with the same parameters.
    """
    rng = np.random.default_rng(seed)
    found, case = [], None
    for name, group in _groupings().items():
        # A tree that ends alone is one cluster at step 1, and 3 steps end where the last grouping splits.
        for steps in {"a tree that ends alone": (1, 4), _LATE: (3,)}.get(name, (int(rng.integers(3, 5)),)):
            tasks = [str(task) for task in rng.permutation(_TREE.leaves)[: rng.integers(5, 9)]]
            target, why = _ending(group, tasks, steps, rng)
            answer = _call(function, group, list(tasks), steps)
            if answer is None:
                return False
            if not isinstance(answer, str) or answer not in ("maml", "same", "between"):
                print(f'Not yet: your function returned {_short(answer)}; expected "maml", "same" or "between".')
                return False
            found.append((_walk(group, tasks, steps), _walk(group, tasks, steps, keep=False), answer))
            if answer != target and case is None:
                case = f"for the grouping '{name}', {steps} steps\n  yours {answer!r}, target {target!r}: {why}"
    if case is None:
        print("Right: alone from the first step is MAML, together to the last is one θ for all.")
        return True
    named = [words for words, wrong in _WRONG_LIMITS.items() if all(wrong(now) == a for now, _, a in found)]
    if all(_limit(stale[0], stale[-1]) == a for _, stale, a in found):
        named.append("give the grouping the labels of the step before as `parents`; yours do not change")
    if len({a for _, _, a in found}) == 1:
        named.append("you always give the same answer")
    print(f"Not yet: {named[0] if named else 'that is not what `adapt` finds'}.\n  {case}")
    return False


# --- What the student's function does, and in what shape its answer is ---


def _call(function: Callable, *inputs: Any) -> Any:
    """What `function(*inputs)` returns; None, with the reason printed, if it fails or changes its inputs."""
    kept = copy.deepcopy(inputs)
    try:
        answer = function(*inputs)
    except NotImplementedError:
        print("Not yet: your function is not written yet.")
        return None
    except Exception as error:
        file = getattr(getattr(function, "__code__", None), "co_filename", None)
        lines = [frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        where = f"\n  in your line: {lines[-1]}" if lines and lines[-1] else ""
        print(f"Not yet: your function stopped with {type(error).__name__}: {error}{where}")
        return None
    if answer is None:
        print("Not yet: your function returned None; end it with `return` and the result.")
    elif not all(_unchanged(now, then) for now, then in zip(inputs, kept, strict=True)):
        print("Not yet: your function changes its inputs; work on a copy.")
        return None
    return answer


def _unchanged(now: Any, then: Any) -> bool:
    if isinstance(now, Tensor):
        return torch.equal(now.detach(), then.detach())
    return callable(now) or (np.array_equal(now, then) if isinstance(now, np.ndarray) else now == then)


def _array(answer: Any, shape: tuple[int, ...], rows: str) -> np.ndarray | None:
    """The answer as finite numbers of this shape, or None with the reason printed."""
    try:
        array = np.asarray(answer, float)
    except (TypeError, ValueError, RuntimeError):
        print(f"Not yet: your function returned {_short(answer)}; expected numbers of shape {shape}.")
        return None
    if array.shape != shape:
        print(f"Not yet: the result has shape {array.shape}; it must be {shape}, {rows}.")
        return None
    if not np.isfinite(array).all():
        print("Not yet: the result holds NaN or infinite numbers.")
        return None
    return array


def _are_labels(answer: Any, tasks: Sequence[str]) -> bool:
    """Are these hashable labels, one per task?"""
    if not isinstance(answer, Iterable) or isinstance(answer, (str, dict)):
        print(f"Not yet: your grouping returned {_short(answer)}; expected a list with one label per task.")
        return False
    labels = list(answer)
    if len(labels) != len(tasks):
        print(f"Not yet: your grouping gave {len(labels)} labels for the {len(tasks)} tasks {', '.join(tasks)}.")
        return False
    odd = [label for label in labels if not isinstance(label, Hashable)]
    if odd:
        print(f"Not yet: the label {_short(odd[0])} cannot be compared as a label; a tuple or a number can.")
    return not odd


def _short(answer: Any) -> str:
    text = " ".join(repr(answer).split())
    return text if len(text) < 80 else text[:76] + " ..."


# --- Clusters ---


def _split(rng: np.random.Generator, parents: Sequence[int]) -> list[int]:
    """Labels that refine `parents`: each cluster in one or two, numbered 0, 1, ... in random order."""
    pairs = [(parent, int(rng.integers(2))) for parent in parents]
    different = sorted(set(pairs))
    number = dict(zip(different, rng.permutation(len(different)).tolist(), strict=True))
    return [number[pair] for pair in pairs]


def _refines(labels: Sequence[Hashable], parents: Sequence[Hashable]) -> bool:
    return len(set(zip(labels, parents, strict=True))) == len(set(labels))


def _same_clusters(labels: Sequence[Hashable], others: Sequence[Hashable]) -> bool:
    return _refines(labels, others) and _refines(others, labels)


def _numbers(labels: Sequence[Hashable]) -> list[int]:
    """The clusters numbered 0, 1, ... as they appear."""
    different = list(dict.fromkeys(labels))
    return [different.index(label) for label in labels]


_WRONG_RULES: dict[str, Refines] = {
    "you always say True": lambda labels, parents: True,
    "you always say False": lambda labels, parents: False,
    "it is the wrong way round": lambda labels, parents: _refines(parents, labels),
    "you ask for the same clusters, but they may split": _same_clusters,
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


def _random_tree(rng: np.random.Generator) -> Nested:
    """Nested tuples, two to four levels deep, with branches of different length; leaves t0, t1, ..."""
    names = (f"t{i}" for i in itertools.count())

    def grow(depth: int) -> Nested:
        if depth == 0:
            return next(names)
        deep = int(rng.integers(2))  # this child goes on down; the other ones may end
        sizes = [depth - 1 if i == deep else int(rng.integers(depth)) for i in range(int(rng.integers(2, 4)))]
        return tuple(grow(size) for size in sizes)

    return grow(int(rng.integers(2, 5)))


def _wrong_clusters(
    tree: Nested, paths: dict[str, tuple[int, ...]], tasks: list[str], step: int, labels: list, wanted: list
) -> None:
    """Say which mistake gives these clusters at this step, and show two tasks for which they are wrong."""
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
    known = (words for words, wrong in named.items() if _same_clusters(labels, wrong) and wrong != wanted)
    for i, j in itertools.combinations(range(len(tasks)), 2):
        together = wanted[i] == wanted[j]
        if (labels[i] == labels[j]) != together:
            break
    should = "together, and yours are apart" if together else "apart, and yours are together"
    print(f"Not yet: {next(known, 'a wrong cluster')}.\n  at step {step}, {tasks[i]} and {tasks[j]} belong {should}\n"
          f"  tree {tree}, tasks {tasks}\n  yours  {_drawn(tasks, labels)}\n"
          f"  target {_drawn(tasks, wanted)}")  # fmt: skip


def _drawn(tasks: Sequence[str], labels: Sequence[Hashable]) -> str:
    clusters: dict[Hashable, list[str]] = {}
    for task, label in zip(tasks, labels, strict=True):
        clusters.setdefault(label, []).append(task)
    return " | ".join(" ".join(inside) for inside in clusters.values())


# --- K steps ---


def _adapts(
    function: Callable, omega: Tensor, x: Tensor, y: Tensor, labels: list[list[int]], rate: float, rng: Any
) -> bool:
    """Compare values and meta-gradient for one set of tasks."""
    target = _steps(omega, x, y, labels, rate)
    answer = _call(function, omega, x, y, copy.deepcopy(labels), rate)
    if answer is None:
        return False
    if not isinstance(answer, Tensor):
        print(f"Not yet: your function returned {_short(answer)}; expected a tensor.")
        return False
    values = _array(answer.detach(), tuple(target.shape), "a row per task")
    if values is None:
        return False
    given = f"for labels {labels}, rate={rate:.3f}"
    if not np.allclose(values, target.detach(), rtol=1e-5):
        wrong = _wrong_adapted(omega, x, y, labels, rate)
        hint = next((words for words, value in wrong.items() if np.allclose(values, value.detach(), rtol=1e-5)), None)
        row = int(np.argmax(np.abs(values - target.detach().numpy()).max(1)))
        print(f"Not yet: {hint or 'these are not the parameters of eq. 7'}.\n  {given}, task {row}\n"
              f"  yours {np.round(values[row], 4)}, target {np.round(target[row].detach().numpy(), 4)}")  # fmt: skip
        return False
    if omega.grad is not None:
        print("Not yet: your function leaves a gradient in omega.grad; use torch.autograd.grad, not backward().")
        return False
    weights = torch.from_numpy(rng.standard_normal(tuple(target.shape))).to(answer.dtype)
    cut = "the values are right, but θ is cut off from ω: no detach, numpy, .data or new leaf on the way"
    if not answer.requires_grad:
        print(f"Not yet: {cut}.")
        return False
    (yours,) = torch.autograd.grad((weights * answer).sum(), omega, allow_unused=True)
    (wanted,) = torch.autograd.grad((weights.double() * target).sum(), omega)
    if yours is None:
        print(f"Not yet: {cut}.")
        return False
    if torch.allclose(yours, wanted, rtol=1e-4, atol=1e-6):
        return True
    first_order = torch.allclose(yours, weights.double().sum(0), atol=1e-6)
    hint = (
        "the values are right, but the meta-gradient is first-order: the inner gradients are constants in your graph "
        "(torch.autograd.grad needs create_graph=True)"
        if first_order
        else "the values are right, but a part of the meta-gradient is lost; some step is cut off from ω"
    )
    print(f"Not yet: {hint}.\n  {given}, gradient of a weighted sum of θ\n  yours {np.round(yours.numpy(), 4)}, "
          f"target {np.round(wanted.numpy(), 4)}")  # fmt: skip
    return False


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


def _walk(group: Grouping, tasks: Sequence[str], steps: int, keep: bool = True) -> list[list]:
    """The labels at steps 1, ..., `steps`; without `keep` every step gets the first parents, a mistake."""
    labels, found = [0] * len(tasks), []
    for k in range(1, steps + 1):
        found.append(list(group(k, tasks, labels, no_gradients)))
        labels = found[-1] if keep else labels
    return found


def _ending(group: Grouping, tasks: list[str], steps: int, rng: np.random.Generator) -> tuple[str, str]:
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
