"""What is remembered of tasks, from outer step to outer step: who is like whom.

One episode's gradients say little about which tasks belong together: a few examples decide where each of them points.
But the cosine of two tasks' gradients has the same mean from episode to episode, whatever the gradients themselves do,
as long as the tasks are related as they were. So what is kept of each pair of tasks is the mean of its cosines, with
older episodes counting less and less. Before cosines are taken, the mean of all tasks' gradients, which says nothing
about who belongs to whom, is taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import InputError

LIMIT = 1000
"""Tasks that are remembered at most; those that were not met for longest are forgotten."""

SIZE = 1024
"""Empty dimensions beside what is known: chance, to a growing tree, is how random directions in all of them agree."""

FADING = 0.95
"""What a memory counts after one more outer step: nearly all of it is of the last forty."""


class Memory:
    """The mean cosine of each pair of tasks, over the episodes that both were in.

    `fading` in (0, 1] is what a memory counts after one more episode. `key` says under which name a task is remembered:
    tasks with the same key (the genres of a language) are one. A gradient that is small beside those of the other tasks
    may point anywhere: a pair counts as the product of what its two gradients count, each its length over the median
    one, at most 1. What `look` sees is kept when `remember` is called, as `meta_train` does when an outer step is
    finished; evaluation leaves the memory as it is. Raises InputError unless 0 < `fading` <= 1.
    """

    def __init__(self, fading: float = FADING, key: Callable[[str], str] = str) -> None:
        if not 0 < fading <= 1:
            raise InputError(f"What is remembered fades by a factor above 0 and at most 1, not {fading!r}.")
        self.fading, self.key = fading, key
        self.names: list[str] = []  # those met last come last
        self.sums = self.counts = np.zeros((0, 0))
        self._seen: tuple[list[str], np.ndarray, np.ndarray] | None = None

    def look(self, tasks: Sequence[str], gradients: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The names of these tasks, each once, and vectors (n, d) whose cosines are what is known of them.

        `gradients` (tasks, size) are those of the episode, none of them 0; what is remembered is added. Names without a
        past come last.
        """
        keys = [self.key(task) for task in tasks]
        names = sorted(dict.fromkeys(keys), key=lambda name: name not in self.names)
        sums, counts = _compared(np.asarray(gradients, float), [names.index(key) for key in keys], len(names))
        old = [place for place, name in enumerate(names) if name in self.names]
        kept = [self.names.index(names[place]) for place in old]
        sums[np.ix_(old, old)] += self.fading * self.sums[np.ix_(kept, kept)]
        counts[np.ix_(old, old)] += self.fading * self.counts[np.ix_(kept, kept)]
        self._seen = names, sums, counts
        known = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        np.fill_diagonal(known, 1.0)
        return names, _vectors(known, SIZE)

    def remember(self) -> None:
        """Keep what `look` saw last; nothing, if it was kept already."""
        if self._seen is None:
            return
        names, *seen = self._seen
        order = [name for name in self.names if name not in names] + names
        rest = len(order) - len(names)
        kept = []
        for before, now in zip((self.sums, self.counts), seen, strict=True):
            whole = np.zeros((len(order), len(order)))
            old = [order.index(name) for name in self.names]
            whole[np.ix_(old, old)] = self.fading * before
            whole[rest:, rest:] = now
            kept.append(whole[-LIMIT:, -LIMIT:])
        self.names, (self.sums, self.counts), self._seen = order[-LIMIT:], kept, None

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as a checkpoint keeps it."""
        import torch  # not above: the list of the methods needs no second of importing it

        return {"names": self.names, "sums": torch.from_numpy(self.sums), "counts": torch.from_numpy(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Remember what `state_dict` gave, and nothing else."""
        self.names, self._seen = list(state["names"]), None
        self.sums, self.counts = state["sums"].numpy().copy(), state["counts"].numpy().copy()


def _compared(gradients: np.ndarray, places: Sequence[int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """The cosines of `count` tasks' gradients without their mean, times what they count, and what they count."""
    whole = np.zeros((count, gradients.shape[1]))
    np.add.at(whole, list(places), gradients)
    whole /= np.bincount(list(places), minlength=count)[:, None]
    lengths = np.linalg.norm(whole, axis=1)
    weight = np.minimum(lengths / np.median(lengths), 1.0) if count and lengths.any() else np.ones(count)
    if count > 2:  # of two tasks, each would be the other's opposite
        whole = whole - whole.mean(0)
    lengths = np.linalg.norm(whole, axis=1, keepdims=True)
    unit = np.divide(whole, lengths, out=np.zeros_like(whole), where=lengths > 0)
    counts = np.outer(weight, weight)
    return counts * (unit @ unit.T), counts


def _vectors(cosines: np.ndarray, size: int) -> np.ndarray:
    """Vectors (n, n + size) whose inner products come as near to these as any vectors' can.

    The last `size` numbers are 0: they tell a growing tree in how many directions a task could have pointed.
    """
    values, vectors = np.linalg.eigh((cosines + cosines.T) / 2)
    return np.pad(vectors * np.sqrt(values.clip(0)), ((0, 0), (0, size)))
