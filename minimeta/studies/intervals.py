"""How sure one can be of a difference between two scores.

Differences are paired: both methods are scored in the same seeds on the same rows, and only what differs counts. What
might have come out otherwise is which premises were in the test, and how the training went: its seed. The two are
crossed (each seed is scored on all premises), so each has its part in the squared standard error of the difference.
That of the premises is from a bootstrap over whole premises, that of S seeds is s²/S, s being the standard deviation of
the seeds' own differences; they are added, which counts what is of both twice and errs on the safe side (Owen 2007,
"The pigeonhole bootstrap"). Two to eight seeds are too few to draw from, so the interval takes a quantile between the
normal's and Student's t with S - 1 degrees of freedom, each weighed by its part (Cochran and Cox 1950).

Without a spread over seeds that is the interval over premises, and without one over premises Student's t over seeds.
One seed says nothing of seeds: its interval is over premises alone. `notebooks/statistics.md` explains it to a reader
and `tests/benchmarks/bench_coverage.py` measures how often the truth is inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import InputError

_DRAWS, _TOGETHER = 9_999, 500  # of a bootstrap, and how many of them are held as numbers at a time
_FEW = 5_000  # up to so many groups draws are kept, 100 MB of them
_INSIDE, _FOUND = 0.975, 0.8  # quantiles: of a two-sided interval of 95 %, and of an effect found in 4 of 5 tries

OfMeans = Callable[[np.ndarray], np.ndarray]
Pair = tuple[np.ndarray, np.ndarray, Sequence[str]]
"""What rows count in two tests, and the group of each row; see `paired_difference`."""


@dataclass(frozen=True)
class Gain:
    """A difference of two scores in points, and its 95 % interval from `low` to `high` (see above).

    `by_seed` is the difference in each seed, `rows` how many rows each has. `smallest` is the smallest true difference
    that this design finds in 4 of 5 tries, that is, whose interval would not hold 0: it depends on the spread over
    premises and seeds and not on the difference that was seen.
    """

    gain: float
    low: float
    high: float
    smallest: float
    by_seed: tuple[float, ...]
    rows: int

    @property
    def seeds(self) -> int:
        """Over how many seeds it was taken."""
        return len(self.by_seed)


def covers(seeds: int, groups: str) -> str:
    """What an interval over so many seeds covers, in words; `groups` are what is drawn together ("premises")."""
    return f"{groups} and seeds" if seeds > 1 else groups


def paired_difference(
    ours: np.ndarray,
    control: np.ndarray,
    groups: Sequence[str],
    seed: int = 0,
    of_means: OfMeans | None = None,
) -> tuple[float, float, float]:
    """The difference of two scores in points and its 95 % interval, over groups of rows and, if several, over seeds.

    `ours` and `control` are what rows count (see `Metric.rows`), (seeds, rows) or, with `of_means`, (seeds, rows, k),
    paired by seed and row; rows of one group (the hypotheses of one premise, the questions about one passage) are drawn
    together. Percentile bootstrap, 9,999 draws. See `paired_differences` for each seed's difference, and more.
    """
    (found,) = paired_differences([(ours, control, groups)], seed, of_means)
    return found.gain, found.low, found.high


def paired_differences(pairs: Iterable[Pair], seed: int = 0, of_means: OfMeans | None = None) -> list[Gain]:
    """The differences of these pairs, each as if it were asked for alone.

    Pairs with as many groups have the same draws and share the work. A draw is how often it has each group; what the
    rows of a draw count is then a product, (draws, groups) times (groups, c), for all pairs at once.
    """
    parts = [_counted(*pair, of_means) for pair in pairs]
    over_groups = [(part.gain, part.gain) for part in parts]
    for size in {len(part.sums) for part in parts}:
        here = [i for i, part in enumerate(parts) if len(part.sums) == size and not part.certain]
        if not here:
            continue
        sums = np.concatenate([parts[i].sums for i in here], axis=1)
        drawn = np.concatenate([times @ sums for times in _draws(size, seed)])
        ends = np.cumsum([parts[i].sums.shape[1] for i in here])[:-1]
        for i, own in zip(here, np.split(drawn, ends, axis=1), strict=True):
            low, high = np.percentile(parts[i].difference(own), [2.5, 97.5])
            over_groups[i] = (float(low), float(high))
    return [_with_seeds(part, *interval) for part, interval in zip(parts, over_groups, strict=True)]


def _with_seeds(part: _Counted, low: float, high: float) -> Gain:
    """The difference of a pair with its interval over groups and seeds, from that over groups, `low` to `high`."""
    seeds = len(part.by_seed)
    # Squared standard errors. The variance of equal numbers is not always 0, by rounding; their range is.
    of_seeds = np.var(part.by_seed, ddof=1) / seeds if np.ptp(part.by_seed) else 0.0

    def reach(of_groups: float, sure: float) -> float:
        """How far a quantile is from the middle: standard errors times a quantile between the normal's and t's."""
        if not of_groups + of_seeds:
            return 0.0
        normal, student = _quantiles(seeds, sure)
        return (of_groups * normal + of_seeds * student) / np.sqrt(of_groups + of_seeds)

    normal, _ = _quantiles(seeds, _INSIDE)
    if of_seeds:  # without, the ends stay as they are, to the last bit
        below, above = (((end - part.gain) / normal) ** 2 for end in (low, high))
        low, high = part.gain - reach(below, _INSIDE), part.gain + reach(above, _INSIDE)
        of_groups = (below + above) / 2
    else:
        of_groups = ((high - low) / 2 / normal) ** 2
    smallest = reach(of_groups, _INSIDE) + reach(of_groups, _FOUND)
    return Gain(part.gain, float(low), float(high), float(smallest), part.by_seed, part.rows)


@lru_cache
def _quantiles(seeds: int, sure: float) -> tuple[float, float]:
    """The normal's, and Student's t of so many seeds."""
    from scipy.special import stdtrit

    return float(stdtrit(np.inf, sure)), float(stdtrit(max(seeds - 1, 1), sure))


@dataclass(frozen=True)
class _Counted:
    """A pair summed up: `sums` (groups, c) over the rows of each group, the last column their number.

    `difference` makes of such sums, (draws, c), the difference in points of each draw. `certain`: all draws have the
    same one. `gain` and `by_seed` are the difference in all rows, over the seeds and of each.
    """

    sums: np.ndarray
    gain: float
    by_seed: tuple[float, ...]
    rows: int
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
        apart = ours - control
        total, points = apart.sum(0), 100 / len(ours)
        sums = np.stack([np.bincount(place, total), sizes], axis=1)
        gain = float((apart.mean(0) * 100).mean())
        by_seed = tuple((apart.mean(1) * 100).tolist())
        certain = alike or np.ptp(total) == 0
        return _Counted(sums, gain, by_seed, len(groups), certain, lambda drawn: drawn[:, 0] / drawn[:, 1] * points)

    both = np.stack([ours, control])  # (2, seeds, rows, k)
    each = np.moveaxis(both, 2, 0).reshape(len(groups), -1)
    sums = np.stack([*(np.bincount(place, column) for column in each.T), sizes], axis=1)

    def of_seeds(drawn: np.ndarray) -> np.ndarray:
        means = drawn[:, :-1] / drawn[:, -1:]
        scores = of_means(means.reshape(-1, *both.shape[:2], both.shape[3]))
        return (scores[:, 0] - scores[:, 1]) * 100

    (by_seed,) = of_seeds(sums.sum(0)[None])
    gain = float(by_seed.mean())
    return _Counted(sums, gain, tuple(by_seed.tolist()), len(groups), alike, lambda drawn: of_seeds(drawn).mean(1))


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
