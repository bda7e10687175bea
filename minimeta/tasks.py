"""An episode, and task families whose structure is known: sinusoids, branching curves, softmax regression.

A sampler is a function from the outer step to an episode: the same step of the same sampler is always the
same episode, so that two methods can be compared on the same draws and a run can go on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .errors import InputError
from .trees import TaskTree

Batch = dict[str, Tensor]
"""Tensors by name: first the inputs in the order in which the module takes them, then `y`."""


@dataclass(frozen=True)
class Episode:
    """Support and query data for m tasks.

    `support` holds one batch that every inner step uses, or a fresh batch for each inner step (Algorithm 1 of
    TreeMAML); each tensor is (m_s, n_t, ...) and belongs to the first m_s tasks. The tensors of `query` are
    (m_q, n_v, ...) and belong to the last m_q tasks. In training both cover all tasks; at test time the
    auxiliary tasks give support only, and a zero-shot target gives query only.
    """

    tasks: tuple[str, ...]
    support: tuple[Batch, ...]
    query: Batch


Sampler = Callable[[int], Episode]


def shuffled(sampler: Sampler, seed: int = 0) -> Sampler:
    """The same episodes with their tasks in a random order, a new one in every episode; all have support and query."""

    def draw(step: int) -> Episode:
        episode = sampler(step)
        order = np.random.default_rng((seed, step, 1)).permutation(len(episode.tasks))
        batches = [{name: value[order] for name, value in b.items()} for b in (*episode.support, episode.query)]
        return Episode(tuple(episode.tasks[i] for i in order), tuple(batches[:-1]), batches[-1])

    return draw


def sinusoids(tasks: int = 32, shots: int = 10, queries: int = 10, noise: float = 0.0, seed: int = 0) -> Sampler:
    """The sinusoids of Finn et al. (2017): amplitude in [0.1, 5], phase in [0, pi], x in [-5, 5].

    Batches hold x and y of shape (tasks, shots or queries, 1).
    """
    _sizes(shots, queries)

    def draw(step: int) -> Episode:
        rng = np.random.default_rng((seed, step))
        amplitude = rng.uniform(0.1, 5.0, (tasks, 1, 1))
        phase = rng.uniform(0.0, np.pi, (tasks, 1, 1))
        x = rng.uniform(-5.0, 5.0, (tasks, shots + queries, 1))
        y = amplitude * np.sin(x + phase) + noise * rng.standard_normal(x.shape)
        return _episode(tuple(f"wave{i}" for i in range(tasks)), x, y, shots)

    return draw


def balanced_tree(branching: tuple[int, ...] = (2, 2, 2)) -> TaskTree:
    """A tree in which every node at depth d has `branching[d]` children; leaves are named like `1.0.1`.

    Raises InputError if a number is below 1.
    """

    def grow(name: str, levels: tuple[int, ...]) -> TaskTree:
        below = (grow(f"{name}.{i}".lstrip("."), levels[1:]) for i in range(levels[0])) if levels else ()
        return TaskTree(name, tuple(below))

    if min(branching, default=1) < 1:
        raise InputError(f"A tree with {branching} branches has a node with none; give numbers from 1 on.")
    return grow("", tuple(branching))


def branching_curves(
    tree: TaskTree,
    shots: int = 5,
    queries: int = 20,
    noise: float = 0.5,
    spread: tuple[float, ...] = (0.5, 1.0, 0.7, 0.4),
    frequencies: int = 3,
    seed: int = 0,
) -> Sampler:
    """A branching regression family: every node of `tree` adds a random smooth curve to all leaves below it.

    A task is the sum of the curves on its path, y = w . phi(x) + noise, with phi(x) the 2 * frequencies + 1
    Fourier features of x in [-pi, pi] (see `fourier`) and w a sum of Gaussian vectors whose standard deviation
    at depth d is `spread[d]` (the last one serves deeper levels too), divided by the frequency, so that curves
    are smooth. New curves in every episode. The query is the true curve on an even grid, without noise, so a query
    loss is the error against the truth. Batches: x (m, n, 1), y (m, n, 1).
    """
    _sizes(shots, queries)

    def draw(step: int) -> Episode:
        rng = np.random.default_rng((seed, step))
        weights = _walk(tree, spread, 2 * frequencies + 1, rng)[:, :, None]
        weights[:, 1:, 0] /= np.tile(np.arange(1, frequencies + 1), 2)
        x = rng.uniform(-np.pi, np.pi, (len(weights), shots, 1))
        even = np.broadcast_to(np.linspace(-np.pi, np.pi, queries, endpoint=False)[:, None], (len(weights), queries, 1))
        x = np.concatenate([x, even], axis=1)
        y = fourier(torch.from_numpy(x), frequencies).numpy() @ weights
        y[:, :shots] += noise * rng.standard_normal((len(weights), shots, 1))
        return _episode(tree.leaves, x, y, shots)

    return draw


def branching_points(
    tree: TaskTree,
    shots: int = 5,
    queries: int = 50,
    noise: float = 0.5,
    spread: tuple[float, ...] = (2.0, 1.6, 0.9, 0.45),
    seed: int = 0,
) -> tuple[np.ndarray, Sampler]:
    """Tasks that are points of a plane, so that they can be seen: y = x . target + noise, with x standard normal.

    Returns the targets (leaves, 2), each the sum of a Gaussian step for every node on its path (see
    `branching_curves`), and the sampler. The targets stay, the examples are new in every episode; the query is without
    noise. On plentiful data the gradient is 2 (θ - target). Batches: x (m, n, 2), y (m, n, 1).
    """
    _sizes(shots, queries)
    # A stream of its own: (seed, 0) is the stream of the first episode.
    targets = _walk(tree, spread, 2, np.random.default_rng((seed, 0, 1)))

    def draw(step: int) -> Episode:
        rng = np.random.default_rng((seed, step))
        x = rng.standard_normal((len(targets), shots + queries, 2))
        y = x @ targets[:, :, None]
        y[:, :shots] += noise * rng.standard_normal((len(targets), shots, 1))
        return _episode(tree.leaves, x, y, shots)

    return targets, draw


def branching_directions(
    tree: TaskTree, spread: tuple[float, ...] = (0.8, 0.9), dimensions: int = 64, seed: int = 0
) -> np.ndarray:
    """Directions that a tree planted: the unit vectors of its leaves, (leaves, dimensions).

    The root's children point anywhere. A node further down has its parent's direction plus a random one of length
    `spread[0]`, or, another level down, `spread[1]`, and so on, and is brought back to length 1.
    Raises InputError if the tree has another height than levels of spread.
    """
    if tree.depth != 1 + len(spread):
        raise InputError(f"Expected a spread for each of {tree.depth - 1} levels below the first; got {len(spread)}.")
    rng, found, level = np.random.default_rng(seed), {}, [(np.zeros(dimensions), tree)]
    for length in (1.0, *spread):
        below = [(direction, child) for direction, node in level for child in node.children]
        steps = rng.standard_normal((len(below), dimensions))
        steps *= length / np.linalg.norm(steps, axis=1, keepdims=True)
        ends = [direction + step for (direction, _), step in zip(below, steps, strict=True)]
        level = [(end / np.linalg.norm(end), node) for end, (_, node) in zip(ends, below, strict=True)]
        found |= {node.name: direction for direction, node in level if not node.children}
    return np.stack([found[leaf] for leaf in tree.leaves])


def fourier(x: Tensor, frequencies: int) -> Tensor:
    """Fourier features of x (..., 1): a constant and sine and cosine of each frequency, (..., 2 f + 1)."""
    angles = x * torch.arange(1, frequencies + 1, dtype=x.dtype, device=x.device)
    return torch.cat([torch.ones_like(x) / 2**0.5, angles.sin(), angles.cos()], dim=-1)


class FourierRegression(nn.Module):
    """A curve that is linear in its Fourier features: x (n, 1) to (n, 1), with 2 * frequencies + 1 weights."""

    def __init__(self, frequencies: int = 3) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.weights = nn.Linear(2 * frequencies + 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The curve's value at x."""
        return self.weights(fourier(x, self.frequencies))


def tree_softmax(
    tree: TaskTree,
    shots: int = 9,
    queries: int = 50,
    classes: int = 3,
    dimensions: int = 20,
    spread: tuple[float, ...] = (1.0, 0.75, 0.75, 0.3),
    seed: int = 0,
) -> Sampler:
    """Tree-structured softmax regression: class weights are sums of Gaussian vectors down the tree.

    x is standard normal, y is drawn from softmax(W x). The weights are drawn once per sampler (the tasks stay,
    as languages do) and the examples anew in every episode. Batches: x (m, n, dimensions), y (m, n) classes.
    """
    _sizes(shots, queries)
    # A stream of its own: (seed, 0) is the stream of the first episode.
    weights = _walk(tree, spread, classes * dimensions, np.random.default_rng((seed, 0, 1)))
    weights = weights.reshape(-1, classes, dimensions)

    def draw(step: int) -> Episode:
        rng = np.random.default_rng((seed, step))
        x = rng.standard_normal((len(weights), shots + queries, dimensions))
        # The largest of logits plus Gumbel noise is a draw from their softmax.
        y = (x @ weights.swapaxes(1, 2) + rng.gumbel(size=(*x.shape[:2], classes))).argmax(-1)
        return _episode(tree.leaves, x, y, shots)

    return draw


def _sizes(shots: int, queries: int) -> None:
    if shots < 1 or queries < 1:
        raise InputError(
            f"An episode needs at least one shot and one query example per task, not {shots} and {queries}."
        )


def _walk(tree: TaskTree, spread: tuple[float, ...], size: int, rng: np.random.Generator) -> np.ndarray:
    """A random vector per leaf, (leaves, size): the sum of one Gaussian step per node on its path."""
    paths = tree.paths()
    if not spread:
        raise InputError("`spread` is empty; give a standard deviation for each level of the tree.")
    depth = {node: d for path in paths.values() for d, node in enumerate(path)}
    steps = rng.standard_normal((len(depth), size))
    scale = np.array([spread[min(depth[node], len(spread) - 1)] for node in range(len(depth))])
    return np.stack([(steps * scale[:, None])[list(path)].sum(0) for path in paths.values()])


def _episode(tasks: tuple[str, ...], x: np.ndarray, y: np.ndarray, shots: int) -> Episode:
    batch = {
        "x": torch.from_numpy(x).to(torch.get_default_dtype()),
        "y": torch.from_numpy(y) if y.dtype.kind == "i" else torch.from_numpy(y).to(torch.get_default_dtype()),
    }
    support = {name: value[:, :shots] for name, value in batch.items()}
    return Episode(tasks, (support,), {name: value[:, shots:] for name, value in batch.items()})
