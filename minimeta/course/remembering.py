"""The check of the mean cosines that a student remembers (notebook 04b)."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .verdict import Student, exercise


@exercise("what is known of a pair is the mean of its cosines, and older ones count less.")
def remember(student: Student, rng: Generator) -> None:
    """Check `function(episodes, fading)`: what is known of each pair of tasks, (m, m).

    `episodes` is a list of gradients (m, d), the oldest first; what is known fades by `fading` with each episode.
    """
    for count in (1, 2, 4):
        episodes = [rng.standard_normal((5, 7)) * rng.uniform(0.5, 2.0, (5, 1)) + 0.5 for _ in range(count)]
        fading = round(float(rng.uniform(0.5, 0.9)), 2)
        counts = fading ** np.arange(count)[::-1]
        centred = [gradients - gradients.mean(0) for gradients in episodes]
        found, sums = np.array([_cosines(rows) for rows in centred]), counts[:, None, None]
        target = (sums * found).sum(0) / counts.sum()
        raw = np.array([_cosines(gradients) for gradients in episodes])
        together = _cosines(sum(c * rows for c, rows in zip(counts, centred, strict=True)))
        named = {
            "take the mean gradient of all tasks away first": (sums * raw).sum(0) / counts.sum(),
            "take it away from each task: the mean over the tasks, axis 0, not over the numbers of a gradient": (
                sums * [_cosines(gradients - gradients.mean(1, keepdims=True)) for gradients in episodes]
            ).sum(0)
            / counts.sum(),
            "these are inner products: bring every gradient to length 1": (
                sums * [rows @ rows.T for rows in centred]
            ).sum(0)
            / counts.sum(),
            "the oldest counts most: let what was known fade, not what is new": (sums[::-1] * found).sum(0)
            / counts.sum(),
            "nothing fades in your mean": found.mean(0),
            "only the last episode is left": found[-1],
            "divide by what the episodes count together: a mean": (
                (sums * found).sum(0),
                (1 - fading) * (sums * found).sum(0),
            ),
            "divide by what they count, 1 + fading + ..., not by their number": (sums * found).mean(0),
            "take the mean of the cosines, not the cosine of mean gradients": together,
        }
        answer = student(given=f"{count} episodes, fading={fading}", episodes=episodes, fading=fading)
        answer.compare(target, named, "a row and a column for each task")


def _cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T
