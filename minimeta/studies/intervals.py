"""How sure one can be of a difference between two scores: its bootstrap interval, paired by seed and row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import InputError

_DRAWS, _TOGETHER = 9_999, 500  # of a bootstrap, and how many of them are held as numbers at a time
_FEW = 5_000  # up to so many groups draws are kept, 100 MB of them

OfMeans = Callable[[np.ndarray], np.ndarray]
Pair = tuple[np.ndarray, np.ndarray, Sequence[str]]
"""What rows count in two tests, and the group of each row; see `paired_difference`."""


def paired_difference(
    ours: np.ndarray,
    control: np.ndarray,
    groups: Sequence[str],
    seed: int = 0,
    of_means: OfMeans | None = None,
) -> tuple[float, float, float]:
    """The difference of two scores in points and its 95 % interval, bootstrapped over groups of rows.

    `ours` and `control` are what rows count (see `Metric.rows`), (seeds, rows) or, with `of_means`, (seeds, rows, k),
    paired by seed and row; rows of one group (the hypotheses of one premise, the questions about one passage) are drawn
    together. Percentile bootstrap, 9,999 draws. The interval covers the choice of groups, not the choice of seeds.
    """
    return paired_differences([(ours, control, groups)], seed, of_means)[0]


def paired_differences(
    pairs: Iterable[Pair], seed: int = 0, of_means: OfMeans | None = None
) -> list[tuple[float, float, float]]:
    """The `paired_difference` of each of these pairs, as if it were asked for alone.

    Pairs with as many groups have the same draws and share the work. A draw is how often it has each group; what the
    rows of a draw count is then a product, (draws, groups) times (groups, c), for all pairs at once.
    """
    parts = [_counted(*pair, of_means) for pair in pairs]
    found = [(part.gain, part.gain, part.gain) for part in parts]
    for size in {len(part.sums) for part in parts}:
        here = [i for i, part in enumerate(parts) if len(part.sums) == size and not part.certain]
        if not here:
            continue
        sums = np.concatenate([parts[i].sums for i in here], axis=1)
        drawn = np.concatenate([times @ sums for times in _draws(size, seed)])
        ends = np.cumsum([parts[i].sums.shape[1] for i in here])[:-1]
        for i, own in zip(here, np.split(drawn, ends, axis=1), strict=True):
            low, high = np.percentile(parts[i].difference(own), [2.5, 97.5])
            found[i] = (parts[i].gain, float(low), float(high))
    return found


@dataclass(frozen=True)
class _Counted:
    """A pair summed up: `sums` (groups, c) over the rows of each group, the last column their number.

    `difference` makes of such sums, (draws, c), the difference in points of each draw. `certain`: all draws have the
    same one.
    """

    sums: np.ndarray
    gain: float
    certain: bool
    difference: Callable[[np.ndarray], np.ndarray]


def _counted(ours: np.ndarray, control: np.ndarray, groups: Sequence[str], of_means: OfMeans | None) -> _Counted:
    ours, control = np.asarray(ours, float), np.asarray(control, float)
    if ours.shape != control.shape or ours.shape[1:2] != (len(groups),):
        raise InputError(f"Cannot pair scores of shapes {ours.shape} and {control.shape} in {len(groups)} groups.")
    place = _places(tuple(groups))
    sizes = np.bincount(place)
    if len(sizes) < 2:
        raise InputError("An interval needs rows of at least two groups (premises).")
    alike = not (ours != control).any()
    if of_means is None:
        # Over seeds too: sums of ones and zeros are exact, whatever the order in which they are added.
        total, points = (ours - control).sum(0), 100 / len(ours)
        sums = np.stack([np.bincount(place, total), sizes], axis=1)
        gain = float(((ours - control).mean(0) * 100).mean())
        return _Counted(sums, gain, alike or np.ptp(total) == 0, lambda drawn: drawn[:, 0] / drawn[:, 1] * points)

    both = np.stack([ours, control])  # (2, seeds, rows, k)
    each = np.moveaxis(both, 2, 0).reshape(len(groups), -1)
    sums = np.stack([*(np.bincount(place, column) for column in each.T), sizes], axis=1)

    def difference(drawn: np.ndarray) -> np.ndarray:
        means = drawn[:, :-1] / drawn[:, -1:]
        scores = of_means(means.reshape(-1, *both.shape[:2], both.shape[3]))
        return (scores[:, 0] - scores[:, 1]).mean(1) * 100

    return _Counted(sums, float(difference(sums.sum(0)[None])[0]), alike, difference)


@lru_cache(maxsize=64)  # a study has the same groups in each comparison
def _places(groups: tuple[str, ...]) -> np.ndarray:
    """The number of each row's group."""
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def _draws(groups: int, seed: int) -> Iterable[np.ndarray]:
    """How often each draw of a bootstrap has each group: parts of it, (draws, groups), one after the other."""
    parts = _kept(groups, seed) if groups <= _FEW else _new(groups, seed)
    return (part.astype(float) for part in parts)


@lru_cache(maxsize=1)
def _kept(groups: int, seed: int) -> list[np.ndarray]:
    return [part.astype(np.uint16) for part in _new(groups, seed)]


def _new(groups: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    for start in range(0, _DRAWS, _TOGETHER):
        count = min(_TOGETHER, _DRAWS - start)
        drawn = rng.integers(groups, size=(count, groups)) + groups * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups)
