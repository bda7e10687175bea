"""Who shares a gradient at inner step k.

A grouping is a function `(step, tasks, parents, gradients) -> labels`: one cluster label per task, where tasks
with the same label take their step with the mean of their gradients (TreeMAML, eq. 5). Where some are to count for
more, it returns `Weighted` labels. `parents` are the labels of the step before (all 0 before step 1), and labels must
refine them: clusters split, they never merge.
`gradients()` gives a sketch of each task's own gradient at its parent's parameters, for those who ask. A grouping may
have a `memory`, which `meta_train` lets remember each episode when its outer step is finished.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np

from .errors import InputError, some
from .memory import Memory
from .otd import XI, grow
from .trees import TaskTree

Gradients = Callable[[], np.ndarray]
"""Sketches (m_s, size) of the gradients of the first m_s tasks, those with support data; computed when called."""


def no_gradients() -> np.ndarray:
    """For groupings that do not ask."""
    raise InputError("This grouping asks for the tasks' gradients, which it gets in `inner.adapt` alone.")


class Weighted(NamedTuple):
    """Labels, and how much each task's gradient counts in its cluster: a number above 0, for its size to the others."""

    labels: Sequence[int]
    weights: Sequence[float]


Grouping = Callable[[int, Sequence[str], Sequence[int], Gradients], Sequence[int] | Weighted]


def alone() -> Grouping:
    """Every task its own cluster at every step: MAML (TreeMAML, eq. 3 and 4)."""
    return lambda step, tasks, parents, gradients=no_gradients: range(len(tasks))


def everyone() -> Grouping:
    """One cluster at every step: all tasks end with the same parameters."""
    return lambda step, tasks, parents, gradients=no_gradients: [0] * len(tasks)


def fixed_tree(tree: TaskTree, first: int = 1) -> Grouping:
    """At step k the tasks below one node at level k of `tree`, whose root is level 1, share a gradient: Fixed TreeMAML.

    With `first`, step 1 pools at that level in place of the root, and each further step one level deeper: TreeMAML's
    section 4.1 begins at the root, its Figure 1b at level 2. A task stands at the leaf with its name, or else at the
    leaf with the part of its name before the first slash: task `de/fiction` stands at `de`, and the genres of a
    language stay together at every step. A branch that ends early keeps its cluster for the later steps. Raises
    InputError if `first` is below 1.
    """
    if first < 1:
        raise InputError(f"The levels of a tree are counted from 1, its root; step 1 cannot stand at level {first}.")
    leaves = set(tree.leaves)

    def group(
        step: int, tasks: Sequence[str], parents: Sequence[int], gradients: Gradients = no_gradients
    ) -> list[int]:
        places = [task if task in leaves else task.split("/")[0] for task in tasks]
        missing = [task for task, place in zip(tasks, places, strict=True) if place not in leaves]
        if missing:
            raise InputError(
                f"The tree has no place for {some(missing)}; its leaves are {some(tree.leaves, 15)}. "
                "Leave these tasks out or use a tree that has them."
            )
        clusters = tree.clusters(step + first - 1)
        return [clusters[place] for place in places]

    return group


def random_tree(tree: TaskTree, seed: int) -> Grouping:
    """The control for `fixed_tree`: the same shape with its leaves permuted, drawn once from `seed`."""
    leaves = tree.leaves
    shuffled = np.random.default_rng((seed, 0, 2)).permutation(len(leaves))
    return fixed_tree(tree.rename({leaf: leaves[i] for leaf, i in zip(leaves, shuffled, strict=True)}))


def learned_tree(xi: float = XI, depth: int | None = None, memory: Memory | None = None) -> Grouping:
    """Clusters found in the tasks' gradients by online top-down clustering (`otd`): Learned TreeMAML, Algorithm 1.

    At every step each parent cluster is divided by one level of clustering, tasks inserted in their order, so that
    a target task, which comes last, is placed into the tree of the others. With `depth`, the first step's gradients
    make one tree of that depth, and step k pools at its level k as in `fixed_tree`. With a `memory` as well, that tree
    grows from what is remembered of earlier episodes too, and a task without a past is inserted last, by its own
    gradient; `meta_train` says when an episode is to be remembered. A task without support data (a zero-shot target)
    or without any gradient has nothing to be placed by: it stays alone. Raises InputError for a memory without depth;
    the grouping does for a gradient that is not finite.
    """
    if memory is not None and depth is None:
        raise InputError("A tree that remembers is one tree for all inner steps; give its depth, the number of steps.")
    kept: dict[int, list[int]] = {}

    def divided(tasks: Sequence[str], parents: Sequence[int], vectors: np.ndarray) -> list[int]:
        count = len(tasks)
        inside: dict[int, list[int]] = {}
        for i in np.flatnonzero(vectors.any(1)):
            inside.setdefault(parents[i], []).append(i)
        labels = [-1 - i for i in range(count)]
        for parent, members in inside.items():
            tree = grow(vectors[members], [str(i) for i in members], 2, xi)[0].tree()
            for name, cluster in tree.clusters(2).items():
                labels[int(name)] = parent * 2 * count + cluster
        return labels

    def grown(tasks: Sequence[str], vectors: np.ndarray) -> dict[int, list[int]]:
        """The labels at each step along one tree of the tasks that have a gradient."""
        there = np.flatnonzero(vectors.any(1)).tolist()
        if memory is None or not there:
            names, leaf_of = [str(i) for i in there], {i: str(i) for i in there}
        else:
            leaf_of = {i: memory.key(tasks[i]) for i in there}
            names, vectors = memory.look([tasks[i] for i in there], vectors[there])
            there = list(range(len(names)))
        tree = grow(vectors[there], names, depth, xi)[0].tree() if names else None
        clusters = [tree.clusters(step) if tree else {} for step in range(1, depth + 2)]
        return {
            step: [found[leaf_of[i]] if i in leaf_of else -1 - i for i in range(len(tasks))]
            for step, found in enumerate(clusters, 1)
        }

    def group(
        step: int, tasks: Sequence[str], parents: Sequence[int], gradients: Gradients = no_gradients
    ) -> list[int]:
        if depth is None:
            return divided(tasks, parents, _finite(tasks, gradients()))
        if step == 1:
            kept.clear()
            kept.update(grown(tasks, _finite(tasks, gradients())))
        elif not kept:
            raise InputError(
                f"A learned tree of depth {depth} grows from the gradients of inner step 1, and step {step} was "
                "asked for first; begin with step 1."
            )
        return kept[min(step, depth + 1)]

    group.memory = memory
    return group


def _finite(tasks: Sequence[str], vectors: np.ndarray) -> np.ndarray:
    """The tasks' gradients; raises InputError if one is not finite."""
    if odd := [task for task, finite in zip(tasks, np.isfinite(vectors).all(1), strict=False) if not finite]:
        raise InputError(
            f"The gradient of {some(odd)} is not finite, so no tree can grow from it; lower the inner rate or look for "
            "bad values in the data."
        )
    return vectors


def regroup(
    grouping: Grouping,
    step: int,
    tasks: Sequence[str],
    parents: Sequence[int],
    gradients: Gradients = no_gradients,
    given: int | None = None,
) -> tuple[list[int], list[int], list[float]]:
    """Ask `grouping` for the labels at `step`, check them, and number the clusters 0, 1, ... as they appear.

    Returns the label of each task, the parent cluster of each new cluster, and how much the gradient of each of the
    first `given` tasks, those with support data, counts in its cluster: their weights add up to 1 there. Raises
    InputError if there is not a list with one label per task, if two tasks that were apart at the step before come
    together again, or if a weight is not above 0.
    """
    answer = grouping(step, tasks, parents, gradients)
    named, counts = answer if isinstance(answer, Weighted) else (answer, [1.0] * len(tasks))
    # A mapping would give its keys, which are all different: MAML without a word.
    unordered = isinstance(named, str | bytes | Mapping | Set)
    if unordered or not isinstance(named, Iterable) or getattr(named, "shape", None) == ():
        raise InputError(
            f"The grouping gave a {type(named).__name__} at step {step}; return a list with one label for each of the "
            f"{len(tasks)} tasks, in their order."
        )
    # Two tensors are never one label, whatever number is in them.
    named = [label.item() if hasattr(label, "item") else label for label in named]
    counts = [float(count) for count in counts]
    if len(named) != len(tasks):
        raise InputError(f"The grouping gave {len(named)} labels for {len(tasks)} tasks at step {step}.")
    if len(counts) != len(tasks) or not all(0 < count < math.inf for count in counts):
        raise InputError(
            f"The grouping weighs the tasks by {some(list(map(str, counts)))} at step {step}; give each of the "
            f"{len(tasks)} tasks a finite number above 0."
        )
    number: dict[int, int] = {}
    origin: list[int] = []
    for task, label, parent in zip(tasks, named, parents, strict=True):
        if label not in number:
            number[label] = len(number)
            origin.append(parent)
        elif origin[number[label]] != parent:
            raise InputError(
                f"The grouping puts {task} at step {step} into a cluster with a task that it was apart from "
                "at the step before; clusters may split from step to step but never merge."
            )
    labels, whole = [number[label] for label in named], [0.0] * len(number)
    for label, count in zip(labels, counts[:given], strict=False):
        whole[label] += count
    return labels, origin, [count / whole[label] for label, count in zip(labels, counts[:given], strict=False)]
