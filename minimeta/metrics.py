"""Scores, and how sure one can be of a difference between two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import InputError


def accuracy(predicted: Sequence[int], label: Sequence[int]) -> float:
    """The share of predictions that are right, in percent."""
    if len(predicted) != len(label) or not len(label):
        raise InputError(f"Cannot score {len(predicted)} predictions against {len(label)} labels.")
    return float(np.mean(np.asarray(predicted) == np.asarray(label)) * 100)


def paired_difference(
    correct: np.ndarray, control: np.ndarray, groups: Sequence[str], seed: int = 0
) -> tuple[float, float, float]:
    """Mean accuracy difference in points and its 95 % interval, bootstrapped over groups of rows (premises).

    `correct` and `control` are 0/1 of shape (seeds, rows), paired by seed and row; rows of one group (the
    hypotheses of one premise) are drawn together. Percentile bootstrap, 9,999 draws. The interval covers the
    choice of premises, not the choice of seeds.
    """
    from scipy.stats import bootstrap  # a second to import

    if correct.shape != control.shape or correct.shape[-1] != len(groups):
        raise InputError(f"Cannot pair scores of shapes {correct.shape} and {control.shape} in {len(groups)} groups.")
    difference = (np.asarray(correct, float) - np.asarray(control, float)).mean(0) * 100
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums, sizes = np.bincount(index, difference), np.bincount(index)
    if len(sizes) < 2:
        raise InputError("An interval needs rows of at least two groups (premises).")
    if np.ptp(difference) == 0:
        return float(difference.mean()), float(difference.mean()), float(difference.mean())
    interval = bootstrap(
        (sums, sizes),
        lambda s, n, axis: s.sum(axis) / n.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        batch=500,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(difference.mean()), float(interval.low), float(interval.high)
