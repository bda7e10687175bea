"""Checks of problem set 5, gradients weighted by distance in the tree (future work in TreeMAML's section 5).

Each check calls your function on fresh random inputs, says in words what is wrong, and returns True if all is right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from numpy.random import Generator
from scipy.stats import chi2
from torch import Tensor

from ..trees import TaskTree
from .values import same
from .verdict import Answer, NotYet, Student, compare_each, graded

Losses = Callable[[Tensor], Tensor]
"""Parameters (m, p), a row per task, to the support loss of each task at its own row, (m,)."""

_INTERVAL = "three numbers: mean, low, high"
_OWN = "draw from np.random.default_rng(seed), made inside the function"


@graded("the edges up to the common node and down again.")
def path_distances(student: Student, rng: Generator) -> None:
    """Check `function(tree)`: the number of edges between any two leaves, (m, m), in the order of `tree.leaves`."""
    a, b, c, d = rng.permutation(list("abcd"))
    comb, deep = f"((({a},{b}),{c}),{d})", int(rng.integers(12, 30))  # lopsided, so that no mistake looks like another
    fixed = [
        f"{comb};",
        f"{a};",
        f"(({b}),(({a})));",
        f"({c},{a},{d},{b});",
        f"(({c},{a}),({d},{b}));",
        f"({comb}x,((((((e,(f))x,g),h),i))),j);",
    ]
    fixed.append(f"({comb},{'(' * deep}e{')' * deep});")
    trees = [*map(TaskTree.from_newick, fixed), *(_random_tree(rng, m) for m in (3, 4, 5, 7, 8, 10, 13))]
    told = []
    for tree in (trees[0], *sorted(trees[1:], key=lambda tree: len(list(tree.nodes)))):
        nodes, paths, order = list(tree.nodes), list(tree.paths().values()), np.argsort(tree.leaves)
        common = _shared(paths) - 1  # edges from the root down, that lead to leaf i and to leaf j
        up = np.tile(common.diagonal()[:, None], len(paths))
        target, apart = _apart(paths), 1 - np.eye(len(paths))
        names = [[nodes[i].name for i in path] for path in paths]
        starts = [[tuple(path[:end]) for end in range(1, len(path) + 1)] for path in names]
        named = {
            "you count the nodes on the path; count its edges, one less": target + 1,
            "you count the nodes between the two leaves; count the edges, one more": target - apart,
            "nodes without a name, or of the same name, are taken for one node; go by their numbers": (
                *map(_apart, (names, [{*path} for path in names], starts)),
            ),
            "a leaf is 0 edges from itself, and two leaves are apart by edges, one less than nodes": target + apart,
            "this is how much of the way from the root two leaves share; their distance is what they do not share": (
                common,
                common + 1,
            ),
            "this is the way from one leaf to the common node; add the way from there to the other leaf": (
                up - common,
                up.T - common,
            ),
            "your path goes through the root; turn round at the deepest common node": (up + up.T, (up + up.T) * apart),
            "the shared way is taken off once; both leaves walk it, so take it off twice": up + up.T - common,
            "this is the height of the common node above the deeper leaf; count the way up and the way down": (
                np.maximum(up, up.T) - common
            ),
            "a node with one child is a node like others: the path goes through it": _apart(
                [[i for i in path if len(nodes[i].children) != 1] for path in paths]
            ),
            "the lengths of the edges play no part here; count the edges": _apart(
                [[(i, part) for i in path for part in range(int(nodes[i].length or 0))] for path in paths]
            ),
            "the rows are in another order; use the order of tree.leaves": target[np.ix_(order, order)],
            "only one half is filled: it is as far from j to i as from i to j": (np.triu(target), np.tril(target)),
        }
        told.append((student(tree=tree), target, named))
    compare_each(told, "a row and a column per leaf")


@graded("near tasks count more; decay 0 asks everyone alike, a large decay the nearest alone.")
def tree_weights(student: Student, rng: Generator) -> None:
    """Check `function(distances, decay)`: weights proportional to exp(-decay * distance), rows adding up to 1.

    distances (r, m): row i holds those of task i to the m tasks that have a gradient.
    """

    def part(rows: int, columns: int) -> np.ndarray:
        """Of a larger tree, in any order: not every row has its own task among the columns, and a 0."""
        d, m = _distances(rng, rows + columns), rows + columns
        return d[rng.permutation(m)[:rows]][:, rng.permutation(m)[:columns]]

    some, far = float(rng.uniform(0.2, 1.0)), float(rng.uniform(50, 90))
    cases = [(_distances(rng, 4), 0.7), (part(1, 1), some), (part(1, 6), 1), (part(3, 1), some), (part(4, 2), 0)]
    cases += [(0.5 * part(2, 4), some), (part(4, 4), some), (0.03 * part(6, 3), far)]
    deep = rng.integers(1600, 2400, (3, 1)) + rng.permuted(np.array([[0, 0, 1, 3]] * 3), axis=1)  # e⁻⁸⁰⁰, yet not alike
    for d, decay in [
        *cases,
        (deep, 0.5),
        (part(4, 4), far),
        (part(7, 4), far),
        (part(7, 4), far),
        (part(5, 6), 1e4),
        (2e-4 * part(7, 4), 1e4),
    ]:
        target = _weights(d, decay)
        with np.errstate(all="ignore"):
            e = np.exp(-decay * d)
            nearest, lost = d == d.min(1, keepdims=True), ~e.any(1, keepdims=True)
            instead = (nearest, np.eye(d.shape[1])[d.argmin(1)], np.ones(d.shape))
            named = {
                "the rows do not add up to 1: divide each by its sum": e,
                "the columns add up to 1; the rows should: row i says how task i listens (if you divide by .sum(1), "
                "its row sums lie along the columns without keepdims=True)": e / e.sum(0),
                "all weights together add up to 1; each row should": e / e.sum(),
                "the far tasks get the large weights: the exponent is -decay * distance": _rows(np.exp(decay * d)),
                "these are the weights of decay 1; multiply the distance by the decay that is given": _weights(d, 1),
                "the distance is squared in your exponent; leave it as it is": _rows(np.exp(-decay * d**2)),
                "a task's own gradient is left out; it belongs to the mean, with distance 0": _rows(e * (d > 0)),
                "this is 1 / (1 + decay * distance); take the exponential": _rows(1 / (1 + decay * d)),
                "you divide by the decay; multiply the distance by it": _weights(d, 1 / (decay or 1)),
                "where all exponentials of a row are too small for a computer, yours are other weights; subtract the "
                "smallest distance of the row before exp": tuple(
                    _rows(np.where(lost, other, e)) for other in instead if lost.any()
                ),
                "you subtract the smallest distance of each column, which changes the weights; subtract that of the "
                "row": _rows(np.exp(-decay * (d - d.min(0)))),
                "these are equal weights, which decay 0 alone gives": np.full(d.shape, 1 / d.shape[1]),
            }
        given = f"decay={decay:.4g}, distances:\n" + "\n".join(f"    {row}" for row in d)
        answer = student(distances=d, decay=decay, given=given)
        extreme = decay * d.max() > 700
        weights = answer.array(d.shape, "as the distances", finite=not extreme)
        gone = ~np.isfinite(weights).all(1) | ~weights.any(1)
        if extreme and gone.any():
            i = int(gone.argmax())
            raise NotYet(
                f"row {i} of your weights is {weights[i]}: at decay {decay:g} exponentials are too small "
                "or too large for a computer",
                "Subtract the smallest distance *of the row* before exp: the weights stay the same, and the largest "
                "term is exp(0) = 1.",
                f"distances of the row: {d[i]}",
            )
        answer.compare(target, named, "as the distances")


@graded("every task moves with its own mixture of the gradients, and ω can learn through the step.")
def weighted_step(student: Student, rng: Generator) -> None:
    """Check `function(theta, support_losses, weights, rate)`: theta_i - rate * sum_j w_ij g_j, differentiable.

    theta (m, p), weights (m, m); g_j is the gradient of task j's support loss at theta_j, TreeMAML's eq. 8.
    """
    large, told, passed = (int(rng.integers(6, 10)), int(rng.integers(2, 5))), [], []
    for case, (m, p) in enumerate([(1, 2), (1, 2), (2, 1), (2, 3), (3, 2), (2, 4), (4, 1), large]):
        alone = case == 1  # as the laboratory gives θ; in the other cases every task has moved on from ω by itself
        mixed = case == 3  # the weights have another dtype than θ
        kind = torch.float32 if alone or mixed else torch.float64

        def normal(*shape: int, kind: torch.dtype = kind) -> Tensor:
            return torch.from_numpy(rng.standard_normal(shape)).to(kind)

        x, y, start, pull = normal(m, 3, p), normal(m, 3), normal(m, p), normal(m, p)
        weights, rate = torch.from_numpy(rng.dirichlet(np.ones(m), m)).to(kind), float(rng.uniform(0.1, 0.4))
        if m == 4:  # w_ij is taken as it is given, also where a row does not add up to 1
            weights *= torch.from_numpy(rng.uniform(1.3, 2.0, (m, 1)))

        def losses(theta: Tensor, x: Tensor = x, y: Tensor = y) -> Tensor:
            if theta.shape != (x.shape[0], x.shape[2]):
                raise ValueError(f"support_losses takes all rows of theta, {(x.shape[0], x.shape[2])}")
            return ((x @ theta[:, :, None])[..., 0] - y).square().mean(1) + 0.1 * theta.pow(4).sum(1)

        omega = start if alone else normal(p)
        kept = normal(*omega.shape)
        omega.requires_grad_().grad = kept.clone()
        theta = omega if alone else start + omega
        given = weights.double() if mixed else weights
        try:
            answer = student(theta=theta, support_losses=losses, weights=given, rate=rate)
        except NotYet:
            if mixed:  # a matrix product of two dtypes stops with an error, which does no harm
                continue
            raise
        if not theta.requires_grad:
            raise answer.not_yet("your function cuts theta itself off from ω; leave it as it is")
        if not same(omega.grad, kept):
            raise answer.not_yet("your function changes what is in omega.grad; use torch.autograd.grad, not backward()")

        def slopes(at: Tensor, losses: Losses = losses) -> Tensor:
            return torch.autograd.grad(losses(at).sum(), at, create_graph=True)[0]

        def moved(g: Tensor, w: Tensor = weights, start: Tensor = theta, rate: float = rate) -> Tensor:
            return start - rate * w @ g

        g, every = slopes(theta), torch.ones_like(weights)
        step = moved(g)
        at_mine = [moved(slopes(theta[i].expand(m, p)))[i] for i in range(m)]
        named = {
            "your step goes uphill: subtract the weighted gradient": moved(-g),
            "your step forgets the rate": moved(g / rate),
            "each task uses its own gradient: that is MAML; take the weighted sum over all tasks": theta - rate * g,
            "all gradients count alike; weigh them": moved(g / m, every),
            "the gradients are added without their weights": moved(g, every),
            "the weights are transposed: w[i, j] is how much task i listens to task j": moved(g, weights.T),
            "the gradient of task j is taken at the parameters of task i; take it at j's own": torch.stack(at_mine),
            "the gradients are taken at the mean of all parameters; take each at its task's own": moved(
                slopes(theta.mean(0).expand(m, p))
            ),
            "the parameters are averaged too; only the gradients are": moved(g, start=weights @ theta),
            "all tasks start from the mean of the parameters; each starts from its own": moved(g, start=theta.mean(0)),
            "your step is m times too small: divide by m neither the sum nor the losses": moved(g / m),
            "you differentiate the weighted losses: row i then gets its own gradient only; first take every task's "
            "gradient, then the weighted sum": moved(g, weights.sum(0).diag()),
            "the weights are divided by the sums of their rows; take them as they are given": moved(
                g, weights / weights.sum(1, keepdim=True)
            ),
            "a task's own gradient is left out; it belongs to the sum": moved(g, weights.triu(1) + weights.tril(-1)),
            "only the task's own share of the sum is there": moved(g, weights.diagonal().diag()),
            "this is the weighted gradient; the answer is theta less rate times it": weights @ g,
            "this is the change; add it to theta": -rate * weights @ g,
            "no step was taken": theta,
        }
        cut = {
            "the gradients are constants to autograd, which is the first-order answer: take them at theta itself, with "
            "create_graph=True, and detach nothing": moved(g.detach()),
            "theta is detached in the difference; only the gradients know ω": moved(g, start=theta.detach()),
        }
        told.append((answer, step, named))
        passed.append((answer, kind, omega, step, pull, cut))
    compare_each(told, "a row of parameters per task")
    for answer, kind, omega, step, pull, cut in passed:
        if kind == torch.float64:
            answer.compare_gradient(omega, step, pull, cut)
        if getattr(answer.value, "dtype", kind) != kind:
            raise answer.not_yet(
                f"theta is {kind} and your result {answer.value.dtype}; the next step needs the same, whatever the "
                "dtype of the weights"
            )


@graded("the mean of the paired differences, and how far it would move with other seeds.")
def paired_difference(student: Student, rng: Generator) -> None:
    """Check `function(ours, control, seed)`: the mean of ours - control and its 95 % interval, (mean, low, high).

    ours and control (seeds, episodes) are losses on the same draws. The interval is a percentile bootstrap over
    seeds: 10,000 times as many seeds as there are, drawn with replacement, each with all its episodes. `seed` decides
    what is drawn, by a generator of the function's own.
    """
    cases = [_Case(rng, n, count) for n, count in ((2, 3), (3, 4), (4, 3), (5, 1), (6, 7), (12, 5))]
    found = [case.ask(student, case.n) for case in cases]
    *_, last = cases
    for times in (10_000, 100, 200, 500, 999, 1000, 2000, 5000, 9999, 20_000, 50_000, 100_000):
        exact = np.allclose(found[-1], _ends(last.seeds, last.n, times), rtol=0, atol=1e-9)  # what numpy draws
        if exact and times != 10_000:
            raise NotYet(f"you resample {times:,} times; do it 10,000 times")
        if exact:
            break
    off = [case.off(ends) for case, ends in zip(cases, found, strict=True)]
    for case, ends, far in zip(cases, found, off, strict=True):
        if np.abs(far).max() > 12:
            raise case.not_yet(ends, _known_ends(cases, found))

    one, *others = rng.choice(np.arange(20, 120), 9, replace=False).tolist()
    seeds = 0, 10, one, one + 100, one + 256
    several = {last.n: found[-1], **{seed: last.ask(student, seed) for seed in seeds}}
    for seed in (last.n, 0):
        if not np.array_equal(several[seed], again := last.ask(student, seed)):
            words = f"called twice with the same seed, your function gives two intervals; {_OWN}"
            raise NotYet(words, f"for seed={seed}: first {several[seed]}, then {again}")
    if len({tuple(ends) for ends in several.values()}) < len(several):
        shown = ", ".join(f"{seed}: {ends}" for seed, ends in several.items())
        raise NotYet(f"your function does not draw anew for another seed; {_OWN}", f"the intervals by seed are {shown}")
    if exact and all(np.allclose(ends, _ends(last.seeds, seed), rtol=0, atol=1e-9) for seed, ends in several.items()):
        return  # exactly what numpy's generator gives: nothing is left to chance
    more = [(last, ends) for seed, ends in several.items() if seed != last.n]
    for case in (_Case(rng, 12, 4), _Case(rng, 12, 6)):
        more += [(case, case.ask(student, others.pop())) for _ in range(4)]
    _compare_scatter(np.array([*off[3:], *(case.off(ends) for case, ends in more)]))


class _Case:
    """Losses (n, count) of two methods, and the exact chances of the resampled means of their difference."""

    def __init__(self, rng: Generator, n: int, count: int) -> None:
        # Draws differ much in how hard they are (which pairing takes out), seeds in the difference, unevenly.
        hard = 3 + rng.gamma(2.0, 1.0, (n, 1)) + rng.gamma(2.0, 1.0, (n, count))
        uneven = rng.choice([-1, 1]) * (rng.gamma(1.0, 0.6, (n, 1)) - 0.3)
        difference = uneven + 0.5 * rng.standard_normal((n, count))
        if n == 3:  # the same in every seed, in another order: nothing varies, but for who draws episodes
            difference = rng.permuted(difference[:1].repeat(n, 0), axis=1)
        # Whole numbers, with a mean that is none; or fractions whose sums are exact.
        whole, unit = n == 2, 1 if n == 2 else 1024
        hard, difference = (np.round((9 if whole else unit) * x).astype(int) for x in (hard, difference))
        difference[0, 0] += whole and difference[0].sum() % count == 0
        self.n, self.count = n, count
        self.ours, self.control = ((x if whole else x / unit) for x in (hard + difference, hard))
        self.difference = self.ours - self.control
        self.seeds, self.mean = self.difference.mean(1), self.difference.mean()

        # The chances of a sum of n totals, drawn with replacement: those of one total, n times with itself.
        totals, self._scale = difference.sum(1), unit * n * count
        single = np.bincount(totals - totals.min()) / n
        size = n * (len(single) - 1) + 1
        self._least = n * totals.min()
        self._up_to = np.fft.irfft(np.fft.rfft(single, size) ** n, size).cumsum().clip(0, 1)
        self.target = (self._least + np.searchsorted(self._up_to, _TAILS)) / self._scale

    def ask(self, student: Student, seed: int) -> np.ndarray:
        """The ends (2,) of the interval that the student's function gives; NotYet if its mean is wrong."""
        answer = student(ours=self.ours, control=self.control, seed=seed)
        found, d = answer.array((3,), _INTERVAL), self.difference
        ordered = found[0] + 1e-9 < found[1] < found[2] - 1e-9 and np.isclose(found[1], self.mean, rtol=0, atol=1e-6)
        centres = {
            "your order is low, mean, high; give the mean first": found[0] if ordered else np.nan,
            "the sign is turned: it is ours less the control, below 0 where ours has the lower loss": -self.mean,
            "this is the median; take the mean": np.median(d),
            "this is the sum of the differences; take the mean": d.sum(),
            "this is the difference without its sign": (np.abs(d).mean(), abs(self.mean), np.abs(self.seeds).mean()),
            "this is a share of the control's loss; take the difference itself": (
                self.mean / self.control.mean(),
                (self.seeds / self.control.mean(1)).mean(),
                (d / self.control).mean(),
            ),
            "this is the mean loss of ours; subtract the control's": self.ours.mean(),
        }
        Answer(found[0], answer.given).compare(self.mean, centres, otherwise="the mean difference is off")
        return found[1:]

    def off(self, ends: np.ndarray) -> np.ndarray:
        """How far off the ends (2,) are, in units of how far those of 10,000 resamples scatter."""
        rounding = 1e-6 * (1 + np.abs(self.difference).max())
        places = np.floor(np.array([ends - rounding, ends + rounding]) * self._scale).astype(int) - self._least
        below, up_to = np.where(places < 0, 0, self._up_to[places.clip(0, len(self._up_to) - 1)])
        return 200 * (_angle(np.clip(_TAILS, below, up_to)) - _angle(_TAILS))

    def not_yet(self, ends: np.ndarray, hint: str) -> NotYet:
        if ends[0] > ends[1] and hint == _RECIPE:
            hint = "your interval is upside down: the low end comes first"
        if ends[0] == ends[1] and self.target[0] < self.target[1] and hint == _RECIPE:
            hint = "nothing varies: draw with replacement, by a generator that is made once, before the first draw"
        shown = f"mean {self.mean:.5f}, interval {{:.5f}} to {{:.5f}}"
        given = f"for seed={self.n}, ours - control, a row per seed:"
        rows = [f"    {row}" for row in self.difference]
        return NotYet(hint, given, *rows, "yours  " + shown.format(*ends), "target " + shown.format(*self.target))


_TAILS = np.array([0.025, 0.975])


def _angle(chances: np.ndarray) -> np.ndarray:
    """Chances, so turned that those of percentiles of B resampled means scatter by 1 / (2 √B), wherever they are."""
    return np.arcsin(np.sqrt(chances))


def _ends(values: np.ndarray, seed: int, times: int = 10_000, size: int | None = None) -> np.ndarray:
    """The percentiles 2.5 and 97.5 of the means of resampled values, as many as there are or `size`."""
    picks = np.random.default_rng(seed).integers(0, len(values), (times, size or len(values)))
    return np.percentile(values[picks].mean(1), [2.5, 97.5])


_RECIPE = (
    "the interval is off: draw as many seeds as there are, with replacement, take the mean of all their differences, "
    "do so 10,000 times, and take the percentiles 2.5 and 97.5 of the means"
)


def _known_ends(cases: list[_Case], found: list[np.ndarray]) -> str:
    """The sentence of the known mistake that is next to what was found in all the larger cases, or of none."""
    off: dict[str, float] = {}
    for case, ends in list(zip(cases, found, strict=True))[4:]:  # before these many mistakes look alike
        for words, wrong in _mistaken_ends(case).items():
            spread = max(np.ptp(case.target), np.ptp(wrong)) + 1e-6 * np.abs(case.difference).max()
            off[words] = max(off.get(words, 0), np.abs(ends - wrong).max() / spread)
    nearest = min(off, key=off.__getitem__)
    return nearest if off[nearest] < 0.04 else _RECIPE


def _mistaken_ends(case: _Case) -> dict[str, np.ndarray]:
    """What known mistakes would give for the ends, by the sentence to say then; the target where none is made."""
    d, seeds, mean, n, count = case.difference, case.seeds, case.mean, case.n, case.count
    rng, times, both = np.random.default_rng(n), 10_000, np.array([-1, 1])  # many draw from this generator too
    draws = rng.integers(0, n, (times, n))
    means, others = seeds[draws].mean(1), rng.integers(0, n, (times, n))
    error = seeds.std(ddof=1) / n**0.5
    found = {  # the two ends, or all that the percentiles are taken of
        _RECIPE: case.target,
        "the two methods are resampled apart, so the pairs are broken: draw the seeds once, for both": (
            case.ours.mean(1)[draws].mean(1) - case.control.mean(1)[others].mean(1)
        ),
        "all episodes are drawn as if they were independent; those of one seed go together: draw whole seeds": (
            rng.choice(d.ravel(), (times, d.size)).mean(1)
        ),
        "the episodes of a drawn seed are drawn anew; take all that it has, as they are": (
            d[draws[:, :, None], rng.integers(0, count, (times, n, count))].mean((1, 2))
        ),
        "this is where single seeds lie; take the percentiles of the resampled means": seeds,
        "this is where single episodes lie; take the percentiles of the resampled means": d,
        "you resample medians; take the means": np.median(seeds[draws], 1),
        "these are the lowest and the highest seed; take percentiles of means of as many seeds as there are": (
            np.array([seeds.min(), seeds.max()])
        ),
        "you resample episodes; draw seeds, each with all its episodes": _ends(d.mean(0), n),
        "the first seed is never drawn: integers(0, n) counts from 0": _ends(seeds[1:], n, size=n),
        "the last seed is never drawn: integers(0, n) leaves n out by itself": _ends(seeds[:-1], n, size=n),
        "each seed comes as often as it likes, so their number varies; draw as many seeds as there are each time": (
            rng.poisson(1, (times, n)) @ seeds / n
        ),
        "you draw one seed less than there are; draw as many": _ends(seeds, n, size=n - 1),
        "you draw one seed more than there are; draw as many": _ends(seeds, n, size=n + 1),
        "you draw as many seeds as there are episodes; draw as many as there are seeds": _ends(seeds, n, size=count),
        "this is the mean plus and minus one standard error; take percentiles of the resampled means": (
            mean + error * both
        ),
        "this is 1.96 standard errors to each side; the percentiles need not be symmetric: resample": (
            mean + 1.96 * error * both
        ),
        "this is a symmetric interval from the resampled means' spread; take their percentiles": (
            mean + 1.96 * means.std() * both
        ),
        "these are the percentiles 5 and 95, a 90 % interval; take 2.5 and 97.5": np.percentile(means, [5, 95]),
        "np.percentile counts from 0 to 100: 2.5 and 97.5, not 0.025 and 0.975": np.percentile(means, [0.025, 0.975]),
        "the ends are given as distances to each side of the mean; give the ends themselves": abs(case.target - mean),
        "the ends are given as distances from the mean; give the ends themselves": case.target - mean,
        "each method is sorted by itself, so the pairs are broken: subtract the losses as they come": _ends(
            (np.sort(case.ours, 0) - np.sort(case.control, 0)).mean(1), n
        ),
        "the percentiles are reflected at the mean; take them as they are": 2 * mean - case.target[::-1],
        "the sign of the interval is turned: it belongs to ours less the control": -case.target[::-1],
    }
    return {words: ends if ends.shape == (2,) else np.percentile(ends, [2.5, 97.5]) for words, ends in found.items()}


def _compare_scatter(off: np.ndarray) -> None:
    """Raise unless ends that are `off` so far, (intervals, 2), are those of 10,000 resamples: 0, with a spread of 1.

    One right function in a million is refused; of those with 1,000 resamples one in several thousand passes.
    """
    mean, squares = off.mean(0), (off**2).mean()
    if squares < chi2.isf(1e-6, off.size) / off.size:
        return
    if (np.abs(mean) * len(off) ** 0.5 > 4 * off.std(0)).any():
        low, high = 100 * np.sin(_angle(_TAILS) + mean / 200) ** 2
        raise NotYet(
            f"your ends lie at the percentiles {low:.1f} and {high:.1f} of the resampled means",
            f"This is over {len(off)} intervals. They should lie at 2.5 and 97.5, of means of as many seeds as there "
            "are, drawn with replacement.",
        )
    times = f"{round(10_000 / squares, -2):,.0f}"
    raise NotYet(f"your intervals scatter as those of about {times} resamples do; resample 10,000 times")


def _random_tree(rng: Generator, m: int) -> TaskTree:
    """A tree of m leaves with random branches, chains and edge lengths; names are not in their order.

    Inner nodes may have one name together, or none.
    """
    nodes = [TaskTree(f"t{i}", (), float(rng.integers(2, 9))) for i in rng.permutation(m)]
    while len(nodes) > 1:
        first, count = rng.integers([0, 1], [len(nodes), 4])
        below, name = tuple(nodes[first : first + count]), str(rng.choice(["", "x", "y"]))
        nodes[first : first + count] = [TaskTree(name, below, float(rng.integers(2, 9)))]
    return nodes[0]


def _shared(paths: Sequence[Collection]) -> np.ndarray:
    """For each pair of paths how many things they share, (m, m)."""
    return np.array([[len({*one} & {*other}) for other in paths] for one in paths])


def _apart(paths: Sequence[Collection]) -> np.ndarray:
    """For each pair of paths how many things they do not share, (m, m)."""
    lengths = [len(path) for path in paths]
    return np.add.outer(lengths, lengths) - 2 * _shared(paths)


def _distances(rng: Generator, m: int) -> np.ndarray:
    """Those between the leaves of a random tree, (m, m)."""
    return _apart(list(_random_tree(rng, m).paths().values()))


def _rows(values: np.ndarray) -> np.ndarray:
    return values / values.sum(1, keepdims=True)


def _weights(d: np.ndarray, decay: float) -> np.ndarray:
    return _rows(np.exp(-decay * (d - d.min(1, keepdims=True))))
