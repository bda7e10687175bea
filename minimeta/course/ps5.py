"""Checks of problem set 5, gradients weighted by distance in the tree (future work in TreeMAML's section 5).

Each check calls your function on fresh random inputs, says in words what is wrong, and returns True if all is right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ..trees import TaskTree
from .verdict import Answer, NotYet, Student, graded

Losses = Callable[[Tensor], Tensor]
"""Parameters (m, p), a row per task, to the support loss of each task at its own row, (m,)."""

_INTERVAL = "three numbers: mean, low, high"


@graded("the edges up to the common node and down again.")
def path_distances(student: Student, rng: Generator) -> None:
    """Check `function(tree)`: the number of edges between any two leaves, (m, m), in the order of `tree.leaves`."""
    a, b, c, d = rng.permutation(list("abcd"))
    comb = TaskTree.from_newick(f"((({a},{b}),{c}),{d});")  # lopsided, so that no mistake looks like another
    for tree in (comb, *(_random_tree(rng, m) for m in (5, 8, 8, 1))):
        m = len(tree.leaves)
        up, common = _ways(tree)
        target, apart = up + up.T - 2 * common, 1 - np.eye(m)
        order = np.argsort(tree.leaves)
        named = {
            "you count the nodes on the path; count its edges, one less": target + 1,
            "a leaf is 0 edges from itself, and two leaves are apart by edges, one less than nodes": target + apart,
            "this is how much of the way from the root two leaves share; their distance is what they do not share": (
                common
            ),
            "this is the number of nodes on both ways from the root; a distance leaves them out": common + 1,
            "these are the edges from leaf i up to the common node; add those down to leaf j": up - common,
            "these are the edges from the common node down to leaf j; add those up from leaf i": (up - common).T,
            "your path goes through the root; turn round at the deepest common node": (up + up.T) * apart,
            "your path goes through the root, also from a leaf to itself; turn round at the deepest common node": (
                up + up.T
            ),
            "the shared way is taken off once; both leaves walk it, so take it off twice": up + up.T - common,
            "this is the height of the common node above the deeper leaf; count the way up and the way down": (
                np.maximum(up, up.T) - common
            ),
            "these are half the distances: count the way up and the way down": target / 2,
            "the rows are in another order; use the order of tree.leaves": target[np.ix_(order, order)],
            "only one half is filled: the distance from j to i is that from i to j": np.triu(target),
            "only one half is filled, the lower; the distance from i to j is that from j to i": np.tril(target),
        }
        answer = student(tree=tree)
        answer.compare(target, named, "a row and a column per leaf")


@graded("near tasks count more; decay 0 asks everyone alike, a large decay the nearest alone.")
def tree_weights(student: Student, rng: Generator) -> None:
    """Check `function(distances, decay)`: weights proportional to exp(-decay * distance), rows adding up to 1.

    distances (r, m): row i holds those of task i to the m tasks that have a gradient.
    """
    for m, decay in ((4, 0.7), (6, float(rng.uniform(0.2, 1.0))), (5, 0.0), (7, 60.0), (7, 1e4)):
        up, common = _ways(_random_tree(rng, m))
        d = up + up.T - 2 * common
        if m > 4:
            d = d[:, m // 2 :]  # the first tasks have no gradient, as a zero-shot target: their rows hold no 0
        target = _weights(d, decay)
        with np.errstate(all="ignore"):
            e, up_e, squares = np.exp(-decay * d), np.exp(decay * d), np.exp(-decay * d**2)
            others = np.where(d == 0, 0, e)
            one, inverse = np.exp(-1.0 * d), 1 / (1 + decay * d)
            named = {
                "the rows do not add up to 1: divide each by its sum": e,
                "the columns add up to 1; the rows should: row i says how task i listens": e / e.sum(0),
                "all weights together add up to 1; each row should": e / e.sum(),
                "the far tasks get the large weights: the exponent is -decay * distance": _rows(up_e),
                "your weights do not depend on decay": _rows(one),
                "the distance is squared in your exponent; leave it as it is": _rows(squares),
                "a task's own gradient is left out; it belongs to the mean, with distance 0": _rows(others),
                "this is 1 / (1 + decay * distance); take the exponential": _rows(inverse),
                "you divide by the decay; multiply the distance by it": _rows(np.exp(-d / decay)) if decay else one,
                "these are equal weights at every decay": np.full(d.shape, 1 / d.shape[1]),
            }
        given = f"decay={decay:.4g}, distances:\n" + "\n".join(f"    {row}" for row in d)
        answer = student(distances=d, decay=decay, given=given)
        weights = answer.array(d.shape, "as the distances", finite=False)
        lost = ~np.isfinite(weights).all(1) | ~weights.any(1)
        if lost.any():
            i = int(lost.argmax())
            raise NotYet(
                f"row {i} of your weights is {weights[i]}: at decay {decay:g} all its exponentials are too "
                "small or too large for a computer",
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
    for m, p in ((3, 2), (5, 4), (4, 1)):
        x, y, start, pull = (torch.from_numpy(rng.standard_normal(s)) for s in ((m, 3, p), (m, 3), (m, p), (m, p)))
        weights, rate = torch.from_numpy(rng.dirichlet(np.ones(m), m)), float(rng.uniform(0.1, 0.4))

        def losses(theta: Tensor, x: Tensor = x, y: Tensor = y) -> Tensor:
            if theta.shape != (x.shape[0], x.shape[2]):
                raise ValueError(f"support_losses takes all rows of theta, {(x.shape[0], x.shape[2])}")
            return ((x @ theta[:, :, None])[..., 0] - y).square().mean(1) + 0.1 * theta.pow(4).sum(1)

        omega = torch.from_numpy(rng.standard_normal(p)).requires_grad_()
        theta = start + omega  # every task has moved on from ω by itself
        answer = student(theta=theta, support_losses=losses, weights=weights, rate=rate)
        g = torch.autograd.grad(losses(theta).sum(), theta, create_graph=True)[0]
        step = theta - rate * weights @ g
        with torch.no_grad():
            at_mine = torch.stack([weights[i] @ _gradients(losses, theta[i].expand(m, p)) for i in range(m)])
            middle = _gradients(losses, theta.mean(0).expand(m, p))
            named = {
                "your step goes uphill: subtract the weighted gradient": theta + rate * weights @ g,
                "your step forgets the rate": theta - weights @ g,
                "each task uses its own gradient: that is MAML; take the weighted sum over all tasks": theta - rate * g,
                "all gradients count alike; weigh them": theta - rate * g.mean(0),
                "the gradients are added without their weights": theta - rate * g.sum(0),
                "the weights are transposed: w[i, j] is how much task i listens to task j": theta
                - rate * weights.T @ g,
                "the gradient of task j is taken at the parameters of task i; take it at j's own": (
                    theta - rate * at_mine
                ),
                "the gradients are taken at the mean of all parameters; take each at its task's own": (
                    theta - rate * weights @ middle
                ),
                "the parameters are averaged too; only the gradients are": weights @ (theta - rate * g),
                "all tasks start from the mean of the parameters; each starts from its own": (
                    theta.mean(0) - rate * weights @ g
                ),
                "your step is m times too small: the weights of a row add up to 1, so divide by m neither the sum "
                "nor the losses": theta - rate * weights @ g / m,
                "you differentiate the weighted losses: row i then gets its own gradient only; first take every task's "
                "gradient, then the weighted sum": theta - rate * weights.sum(0)[:, None] * g,
                "only the task's own share of the sum is there": theta - rate * weights.diagonal()[:, None] * g,
                "this is the weighted gradient; the answer is theta less rate times it": weights @ g,
                "this is the change; add it to theta": -rate * weights @ g,
                "no step was taken": theta,
            }
        answer.compare(step, named, "a row of parameters per task")
        cut = {
            "the gradients are constants to autograd, which is the first-order answer: take them at theta itself, not "
            "at a detached copy, and with create_graph=True": theta - rate * weights @ g.detach(),
            "theta is detached in the difference; only the gradients know ω": theta.detach() - rate * weights @ g,
        }
        answer.compare_gradient(omega, step, pull, cut)


@graded("the mean of the paired differences, and how far it would move with other seeds.")
def paired_difference(student: Student, rng: Generator) -> None:
    """Check `function(ours, control, seed)`: the mean of ours - control and its 95 % interval, (mean, low, high).

    ours and control (seeds, episodes) are losses on the same draws. The interval is a percentile bootstrap over
    seeds: 10,000 times as many seeds as there are, drawn with replacement, each with all its episodes.
    """
    for n, count in ((6, 30), (9, 20)):
        # Draws differ much in how hard they are (which pairing takes out), seeds in the difference, unevenly.
        hard = rng.gamma(2.0, 1.0, (n, 1)) + rng.gamma(2.0, 1.0, (n, count))
        spread = np.full((n, 1), -0.2)
        spread[rng.integers(n)] += rng.uniform(1.2, 1.6)
        difference = spread - rng.uniform(0.4, 0.6) + 0.1 * rng.standard_normal((n, 1))
        control = hard + 3
        ours = control + difference + 0.3 * rng.standard_normal((n, count))
        answer = student(ours=ours, control=control, seed=5)
        _compare_interval(answer, ours, control)
        again = student(ours=ours, control=control, seed=5)
        first, second = (each.array((3,), _INTERVAL) for each in (answer, again))
        if not np.array_equal(first, second):
            raise NotYet(
                "called twice with the same seed, your function gives two intervals",
                f"first {np.round(first, 4)}, then {np.round(second, 4)}",
                "Draw from np.random.default_rng(seed), made inside the function.",
            )


def _compare_interval(answer: Answer, ours: np.ndarray, control: np.ndarray) -> None:
    """Compare (mean, low, high) with the reference, the ends up to the chance of the resampling."""
    found = answer.array((3,), _INTERVAL)
    rng, d = np.random.default_rng(0), ours - control
    n, count = d.shape
    seeds, mean, times = d.mean(1), d.mean(), 10_000
    centres = {
        "the sign is turned: it is ours less the control, below 0 where ours has the lower loss": -mean,
        "this is the median; take the mean": np.median(d),
        "this is the sum of the differences; take the mean": d.sum(),
        "this is the difference without its sign": np.abs(d).mean(),
        "this is a share of the control's loss; take the difference itself": mean / control.mean(),
        "this is the mean loss of ours; subtract the control's": ours.mean(),
    }
    Answer(found[0], answer.given).compare(mean, centres, otherwise="the mean difference is off")

    # A resampled mean varies from run to run of the bootstrap; 0.15 of its spread is four times that.
    means = seeds[rng.integers(0, n, (4 * times, n))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    near = 0.15 * means.std()
    if np.allclose(found[1:], [low, high], rtol=0, atol=near):
        return
    rows = seeds.std(ddof=1) / n**0.5
    mine, theirs = (ours.mean(1)[rng.integers(0, n, (times, n))], control.mean(1)[rng.integers(0, n, (times, n))])
    whole = rng.choice(d.ravel(), (2000, d.size)).mean(1)
    columns = d.mean(0)[rng.integers(0, count, (times, count))].mean(1)
    named = {
        "the two methods are resampled apart, so the pairs are broken: draw the seeds once, for both": np.percentile(
            mine.mean(1) - theirs.mean(1), [2.5, 97.5]
        ),
        "all episodes are drawn as if they were independent; those of one seed go together: draw whole seeds": (
            np.percentile(whole, [2.5, 97.5])
        ),
        "you resample episodes; draw seeds, each with all its episodes": np.percentile(columns, [2.5, 97.5]),
        "this is where single seeds lie; take the percentiles of the resampled means": np.percentile(
            seeds, [2.5, 97.5]
        ),
        "this is where single episodes lie; take the percentiles of the resampled means": np.percentile(d, [2.5, 97.5]),
        "these are the lowest and the highest seed; resample and take percentiles": np.array(
            [seeds.min(), seeds.max()]
        ),
        "this is the mean plus and minus one standard error; take percentiles of the resampled means": (
            mean + rows * np.array([-1, 1])
        ),
        "this is 1.96 standard errors to each side; the percentiles need not be symmetric: resample": (
            mean + 1.96 * rows * np.array([-1, 1])
        ),
        "this is a symmetric interval from the resampled means' spread; take their percentiles": (
            mean + 1.96 * means.std() * np.array([-1, 1])
        ),
        "these are the percentiles 5 and 95, a 90 % interval; take 2.5 and 97.5": np.percentile(means, [5, 95]),
        "np.percentile counts from 0 to 100: 2.5 and 97.5, not 0.025 and 0.975": np.percentile(means, [0.025, 0.975]),
        "the ends are given as distances from the mean; give the ends themselves": np.array([low, high]) - mean,
        "the percentiles are reflected at the mean; take them as they are": 2 * mean - np.array([high, low]),
        "nothing varies: draw with replacement, as many seeds as there are": np.array([mean, mean]),
        "the sign of the interval is turned: it belongs to ours less the control": -np.array([high, low]),
    }
    off = {words: np.abs(found[1:] - ends).max() for words, ends in named.items()}
    hint = min(off, key=off.__getitem__)
    if found[1] > found[2]:
        hint = "your interval is upside down: the low end comes first"
    elif off[hint] > near:
        almost = np.abs(found[1:] - [low, high]).max() < 4 * near
        hint = "the interval is near, but off: draw 10,000 times" if almost else "the interval is off"
    shown = "{} mean {:.4f}, interval {:.4f} to {:.4f}"
    raise answer.not_yet(hint, shown.format("yours ", *found), shown.format("target", mean, low, high))


def _random_tree(rng: Generator, m: int) -> TaskTree:
    """A tree of m leaves with random branches, chains and edge lengths; names are not in their order."""
    names = [str(name) for name in rng.permutation([f"t{i}" for i in range(m)])]

    def grow(leaves: list[str], chain: bool) -> TaskTree:
        length = float(rng.integers(2, 9))
        if len(leaves) == 1:
            leaf = TaskTree(leaves[0], (), length)
            return TaskTree("", (leaf,), length) if chain else leaf
        cuts = np.sort(rng.choice(np.arange(1, len(leaves)), min(len(leaves) - 1, int(rng.integers(1, 3))), False))
        parts = np.split(np.array(leaves), cuts)
        return TaskTree("", tuple(grow(part.tolist(), bool(rng.integers(5) == 0)) for part in parts), length)

    return grow(names, False)


def _ways(tree: TaskTree) -> tuple[np.ndarray, np.ndarray]:
    """For each pair of leaves the edges from the root to leaf i, and how many of them lead to leaf j too: (m, m)."""
    paths = list(tree.paths().values())
    up = np.array([[len(path) - 1] * len(paths) for path in paths])
    return up, np.array([[len({*one} & {*other}) - 1 for other in paths] for one in paths])


def _rows(values: np.ndarray) -> np.ndarray:
    return values / values.sum(1, keepdims=True)


def _weights(d: np.ndarray, decay: float) -> np.ndarray:
    return _rows(np.exp(-decay * (d - d.min(1, keepdims=True))))


def _gradients(losses: Losses, theta: Tensor) -> Tensor:
    """Row j: the gradient of task j's loss at row j of theta; (m, p), not differentiable."""
    with torch.enable_grad():
        own = theta.detach().clone().requires_grad_()
        return torch.autograd.grad(losses(own).sum(), own)[0]
