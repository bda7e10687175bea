"""How often the true difference is inside the 95 % interval: over premises alone, and over premises and seeds.

    python tests/benchmarks/bench_coverage.py [--draws 1000]

Made-up studies, whose true difference is known: a difference in each seed and premise is a part of the seed, a part of
the premise and a part of both. The standard error that comes from the premises is 1; the spread of the seeds goes from
none to three times that. In the second table half of the premises' variance is not shared by the seeds. The third
number of a cell is the width: the mean half-width as a multiple of what someone would need who knows all variances.
Below it: how often a true difference is found that is as large as the smallest that the study itself says it finds in
4 of 5 tries / that the median study says.
"""

from __future__ import annotations

import argparse

import numpy as np

from minimeta.studies.intervals import Gain, paired_differences

PREMISES = 100
SEEDS = (2, 3, 5, 8)
SPREADS = (0, 0.25, 0.5, 1, 1.5, 3)


def studies(seeds: int, spread: float, apart: float, draws: int, seed: int | list[int]) -> np.ndarray:
    """Differences in points, (draws, seeds, premises), whose true mean is 0.

    `spread` is the standard deviation of the seeds as a multiple of the premises' standard error, which is 1; `apart`
    is the share of the premises' variance that seeds do not have in common.
    """
    rng = np.random.default_rng(seed)
    of_seeds = rng.normal(0, spread, (draws, seeds, 1))
    shared = rng.normal(0, ((1 - apart) * PREMISES) ** 0.5, (draws, 1, PREMISES))
    own = rng.normal(0, (apart * PREMISES * seeds) ** 0.5, (draws, seeds, PREMISES))
    return of_seeds + shared + own


def gains(found: np.ndarray) -> list[Gain]:
    """The difference of each of these studies, (draws, seeds, premises), with its interval."""
    names = [f"{i:03d}" for i in range(PREMISES)]
    return paired_differences([(each / 100, np.zeros_like(each), names) for each in found])


def covered(found: list[Gain]) -> float:
    """The share of the intervals, in percent, that hold 0."""
    return 100 * float(np.mean([each.low <= 0 <= each.high for each in found]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="made-up studies for each cell")
    options = parser.parse_args()
    for apart in (0, 0.5):
        print(f"\n{apart:.0%} of the premises' variance not shared by the seeds: premises alone / with seeds, width")
        print("seeds  " + "".join(f"{f'spread {spread:g}':>21}" for spread in SPREADS))
        for seeds in SEEDS:
            cells, power = [], []
            for i, spread in enumerate(SPREADS):
                made = studies(seeds, spread, apart, options.draws, seed=[i, seeds])
                alone, both = gains(made.mean(1, keepdims=True)), gains(made)
                needed = 1.96 * (1 + spread**2 / seeds) ** 0.5
                width = np.mean([each.high - each.low for each in both]) / 2 / needed
                cells.append(f"{covered(alone):.1f} / {covered(both):.1f}, {width:.2f}")
                sizes = np.array([each.smallest for each in both])
                low = np.array([each.low for each in both])
                power.append(" / ".join(f"{100 * np.mean(low + size > 0):.0f}" for size in (sizes, np.median(sizes))))
            print(f"{seeds:5d}  " + "".join(f"{cell:>21}" for cell in cells))
            print("found  " + "".join(f"{cell:>21}" for cell in power), flush=True)


if __name__ == "__main__":
    main()
