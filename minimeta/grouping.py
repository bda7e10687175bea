"""Who shares a gradient at inner step k.

A grouping is a function `(step, tasks, parents) -> labels`: one cluster label per task, where tasks with the
same label take their step with the mean of their gradients (TreeMAML, eq. 5). `parents` are the labels of the
step before (all 0 before step 1), and labels must refine them: clusters split, they never merge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .errors import InputError, some
from .trees import TaskTree

Grouping = Callable[[int, Sequence[str], Sequence[int]], Sequence[int]]


def alone() -> Grouping:
    """Every task its own cluster at every step: MAML (TreeMAML, eq. 3 and 4)."""
    return lambda step, tasks, parents: range(len(tasks))


def everyone() -> Grouping:
    """One cluster at every step: all tasks end with the same parameters."""
    return lambda step, tasks, parents: [0] * len(tasks)


def fixed_tree(tree: TaskTree) -> Grouping:
    """At step k the tasks below one node at depth k - 1 of `tree` share a gradient: Fixed TreeMAML.

    A task stands at the leaf with its name, or else at the leaf with the part of its name before the first
    slash: task `de/fiction` stands at `de`, and the genres of a language stay together at every step. A branch
    that ends early keeps its cluster for the later steps.
    """
    leaves = set(tree.leaves)

    def group(step: int, tasks: Sequence[str], parents: Sequence[int]) -> list[int]:
        places = [task if task in leaves else task.split("/")[0] for task in tasks]
        missing = [task for task, place in zip(tasks, places, strict=True) if place not in leaves]
        if missing:
            raise InputError(
                f"The tree has no place for {some(missing)}; its leaves are {some(tree.leaves, 15)}. "
                "Leave these tasks out or use a tree that has them."
            )
        clusters = tree.clusters(step)
        return [clusters[place] for place in places]

    return group


def random_tree(tree: TaskTree, seed: int) -> Grouping:
    """The control for `fixed_tree`: the same shape with its leaves permuted, drawn once from `seed`."""
    leaves = tree.leaves
    shuffled = np.random.default_rng((seed, 0, 2)).permutation(len(leaves))
    return fixed_tree(tree.rename({leaf: leaves[i] for leaf, i in zip(leaves, shuffled, strict=True)}))


def regroup(grouping: Grouping, step: int, tasks: Sequence[str], parents: Sequence[int]) -> tuple[list[int], list[int]]:
    """Ask `grouping` for the labels at `step`, check them, and number the clusters 0, 1, ... as they appear.

    Returns the label of each task and the parent cluster of each new cluster. Raises InputError if there is
    not one label per task, or if two tasks that were apart at the step before come together again.
    """
    given = list(grouping(step, tasks, parents))
    if len(given) != len(tasks):
        raise InputError(f"The grouping gave {len(given)} labels for {len(tasks)} tasks at step {step}.")
    number: dict[int, int] = {}
    origin: list[int] = []
    for task, label, parent in zip(tasks, given, parents, strict=True):
        if label not in number:
            number[label] = len(number)
            origin.append(parent)
        elif origin[number[label]] != parent:
            raise InputError(
                f"The grouping puts {task} at step {step} into a cluster with a task that it was apart from "
                "at the step before; clusters may split from step to step but never merge."
            )
    return [number[label] for label in given], origin
