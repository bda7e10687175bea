"""How sure one can be of a difference between two scores: its bootstrap interval, paired by seed and row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import InputError


def paired_difference(
    ours: np.ndarray,
    control: np.ndarray,
    groups: Sequence[str],
    seed: int = 0,
    of_means: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[float, float, float]:
    """The difference of two scores in points and its 95 % interval, bootstrapped over groups of rows.

    `ours` and `control` are what rows count (see `Metric.rows`), (seeds, rows) or, with `of_means`, (seeds, rows, k),
    paired by seed and row; rows of one group (the hypotheses of one premise, the questions about one passage) are drawn
    together. Percentile bootstrap, 9,999 draws. The interval covers the choice of groups, not the choice of seeds.
    """
    from scipy.stats import bootstrap  # a second to import

    ours, control = np.asarray(ours, float), np.asarray(control, float)
    if ours.shape != control.shape or ours.shape[1:2] != (len(groups),):
        raise InputError(f"Cannot pair scores of shapes {ours.shape} and {control.shape} in {len(groups)} groups.")
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise InputError("An interval needs rows of at least two groups (premises).")
    sizes = np.bincount(place)
    if of_means is None:
        difference = (ours - control).mean(0) * 100
        gain, sums = difference.mean(), np.bincount(place, difference)

        def drawn(index: np.ndarray, axis: int = -1) -> np.ndarray:
            return sums[index].sum(axis) / sizes[index].sum(axis)

    else:
        both = np.moveaxis(np.stack([ours, control]), 2, 0)  # (rows, 2, seeds, k)
        sums = np.stack([both[place == group].sum(0) for group in range(len(names))])

        def drawn(index: np.ndarray, axis: int = -1) -> np.ndarray:
            times = np.stack([np.bincount(draw, minlength=len(names)) for draw in index])  # each group is drawn
            means = np.tensordot(times, sums, 1) / (times @ sizes)[:, None, None, None]
            scores = of_means(means)
            return (scores[:, 0] - scores[:, 1]).mean(1) * 100

        gain = drawn(np.arange(len(names))[None])[0]
    if not (ours != control).any() or (of_means is None and np.ptp(difference) == 0):
        return float(gain), float(gain), float(gain)
    interval = bootstrap(
        (np.arange(len(names)),),
        drawn,
        vectorized=True,
        method="percentile",
        batch=500,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(gain), float(interval.low), float(interval.high)
