"""Learned TreeMAML on the branching family: how near does a tree from the gradients come to the true one?

    python tests/benchmarks/bench_learned.py    # writes data/results/branching_learned.csv

Tasks: branching curves on a 2 × 2 × 2 tree, noise 0.5, K = 4 inner steps, ω with seven weights. The eight tasks come in
an order of their own in every episode, so that it does not give the tree away. For each number of shots every method
gets the inner rate (and the learned trees the ξ) with the lowest error at ω = 0, the mean of the family, on episodes of
other seeds than those scored (the one that remembers has seen as many before as there are outer steps). The random tree
is drawn anew for each seed; *halves first* is the true tree without its first step, which the learned trees are free to
skip as well. Then ω is meta-trained from a random start and scored on
new episodes, once per seed. The error is the mean squared error against the true curve. Intervals are 95 % (Student's
t over seeds); the ratio to Fixed TreeMAML is paired by seed.
"""

import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))
from timing import machine

from minimeta.grouping import Grouping, alone, everyone, fixed_tree, learned_tree, random_tree
from minimeta.inner import Learner, adapt, query_losses, squared_error
from minimeta.memory import Memory
from minimeta.outer import evaluate, meta_train
from minimeta.tasks import FourierRegression, Sampler, balanced_tree, branching_curves, shuffled
from minimeta.trees import TaskTree

TREE = balanced_tree((2, 2, 2))
STEPS, SHOTS, RATES, XIS = 4, (5, 10, 20, 30, 40), (0.3, 0.45, 0.6, 0.8, 1.0, 1.25), (0.3, 0.7, 1.2)
CHOOSE, SEEDS = range(500, 508), range(8)
OUTER_STEPS, OUTER_RATE = 20, 3e-2
RESULTS = Path(__file__).parents[2] / "data" / "results" / "branching_learned.csv"

METHODS: dict[str, Callable[[int, float], Grouping]] = {
    "MAML": lambda seed, xi: alone(),
    "Fixed TreeMAML": lambda seed, xi: fixed_tree(TREE),
    "Fixed, halves first": lambda seed, xi: fixed_tree(TREE, first=2),
    "Learned TreeMAML": lambda seed, xi: learned_tree(xi),
    "Learned TreeMAML, one tree": lambda seed, xi: learned_tree(xi, depth=STEPS),
    "Learned, memory": lambda seed, xi: learned_tree(xi, depth=STEPS, memory=Memory()),
    "Random tree": lambda seed, xi: random_tree(TREE, seed),
    "Everyone": lambda seed, xi: everyone(),
}


def main() -> int:
    torch.set_num_threads(1)
    print(machine())
    start, rows = time.process_time(), []
    for shots, method in itertools.product(SHOTS, METHODS):
        rate, xi = choose(method, shots)
        rows += [
            {"shots": shots, "method": method, "seed": seed, "inner_rate": rate, "xi": xi}
            | score(method, shots, rate, xi, seed)
            for seed in SEEDS
        ]
        print(f"{shots} shots, {method}: rate {rate}, xi {xi}; {time.process_time() - start:.0f} s", flush=True)
    results = pd.DataFrame(rows)
    results.to_csv(RESULTS, index=False, float_format="%.4g", lineterminator="\n")
    table(results)
    return 0


def curves(shots: int, seed: int) -> Sampler:
    return shuffled(branching_curves(TREE, shots, seed=seed), seed)


def at_zero() -> Learner:
    learner = Learner(FourierRegression(), squared_error)
    torch.nn.init.zeros_(learner.module.weights.weight)
    return learner


def choose(method: str, shots: int) -> tuple[float, float | None]:
    """The rate and ξ with the lowest error on the episodes of other seeds; None where ξ means nothing."""

    new = {seed: [curves(shots, seed)(i) for i in range(4)] for seed in CHOOSE}

    def error(rate: float, xi: float | None) -> float:
        groupings = {seed: used(METHODS[method](seed, xi), shots, seed) for seed in new}
        found = [evaluate(at_zero(), new[seed], groupings[seed], STEPS, rate) for seed in new]
        return float(np.mean([result.losses.mean().item() for results in found for result in results]))

    xis = XIS if method.startswith("Learned") else (None,)
    return min(itertools.product(RATES, xis), key=lambda setting: error(*setting))


def used(grouping: Grouping, shots: int, seed: int) -> Grouping:
    """The grouping, and if it remembers, after as many episodes as meta-training has outer steps."""
    memory = getattr(grouping, "memory", None)
    for step in range(OUTER_STEPS if memory else 0):
        with torch.no_grad():
            adapt(at_zero(), curves(shots, seed)(100 + step), grouping, 1, 0.3)
        memory.remember()
    return grouping


def score(method: str, shots: int, rate: float, xi: float | None, seed: int) -> dict[str, float]:
    """The error on new episodes after meta-training, and the purity of the clusters' tree (halves and pairs)."""
    torch.manual_seed(seed)
    learner, grouping = Learner(FourierRegression(), squared_error), METHODS[method](seed, xi)
    for _ in meta_train(learner, curves(shots, seed), grouping, STEPS, rate, OUTER_STEPS, OUTER_RATE):
        pass
    errors, trees = [], []
    with torch.no_grad():
        for episode in map(curves(shots, 1000 + seed), range(16)):
            adapted = adapt(learner, episode, grouping, STEPS, rate)
            errors.append(query_losses(learner, adapted, episode).mean().item())
            trees.append(TaskTree.of_clusters(episode.tasks, [step.labels for step in adapted.steps]))
    found = {"error": np.mean(errors)}
    if method.startswith("Learned"):
        for name, letters in (("purity_halves", 1), ("purity_pairs", 3)):
            found[name] = np.mean([tree.purity({leaf: leaf[:letters] for leaf in TREE.leaves}) for tree in trees])
    return found


def table(results: pd.DataFrame) -> None:
    """Errors, ratios to Fixed TreeMAML and purities, in Markdown."""
    print("| shots | method | rate | ξ | error | of Fixed's | purity, halves / pairs |\n|---|---|---|---|---|---|---|")
    for (shots, method), rows in results.groupby(["shots", "method"], sort=False):
        fixed = results[(results.shots == shots) & (results.method == "Fixed TreeMAML")].error.to_numpy()
        middle, half = interval(rows.error.to_numpy())
        ratio, width = interval(rows.error.to_numpy() / fixed)
        relative = f"{ratio:.2f} ± {width:.2f}" if method != "Fixed TreeMAML" else "1"
        purity = f"{rows.purity_halves.mean():.2f} / {rows.purity_pairs.mean():.2f}" if rows.xi.notna().all() else ""
        settings = f"{rows.inner_rate.iloc[0]:g} | {rows.xi.iloc[0] if rows.xi.notna().all() else ''}"
        print(f"| {shots} | {method} | {settings} | {middle:.3f} ± {half:.3f} | {relative} | {purity} |")


def interval(values: np.ndarray) -> tuple[float, float]:
    """The mean over seeds and half the width of its 95 % interval."""
    return values.mean(), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


if __name__ == "__main__":
    sys.exit(main())
