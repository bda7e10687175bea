"""The meta-gradient: in its plain form, and where the graph of all tasks does not fit into memory.

The plain form is autograd through the K pooled steps, which holds the activations of every task at once. The same
gradient can be had by the adjoint recursion of reverse-mode differentiation (Griewank and Walther, Evaluating
Derivatives, 2008; for a gradient method: Maclaurin et al. 2015, Algorithm 2). Let λ_c,k be the derivative of the mean
query loss with respect to θ_c,k. From θ_c,k = θ_p,k-1 - α ∇L_c(θ_p,k-1), with L_c the mean support loss of cluster c
and p its parent (TreeMAML, eq. 7),

    λ_p,k-1 = Σ over the children c of p of (λ_c,k - α H_c λ_c,k),    H_c = ∇²L_c(θ_p,k-1).

L_c is a sum over tasks, and so is H_c λ_c: a few tasks at a time are enough. What stays in memory is one copy of the
parameters per cluster and step. First order is the recursion without H. A parameter φ that inner steps do not move
collects -α ∂²L_c/∂φ∂θ λ_c,k on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from .clusters import add_rows, chunks, gradients, rows_of
from .errors import InputError
from .inner import (
    Adapted,
    InnerLoop,
    InnerStep,
    check,
    chunk_losses,
    last,
    query_labels,
    query_losses,
    support_at,
    trainable,
    trajectory,
    unchecked,
    weighted_gradients,
)
from .tasks import Episode
from .threads import threads_for
from .trial import check_second_derivative, tried

MetaGradient = tuple[Tensor, Sequence[Tensor], list[InnerStep]]
"""The mean query loss after adapting, its gradient with respect to ω, and what happened at the inner steps."""


def meta_gradient(learner: nn.Module, episode: Episode, loop: InnerLoop) -> MetaGradient:
    """The mean query loss after the inner loop, its gradient with respect to ω, and what happened at the inner steps.

    The gradient is a tensor for each parameter that requires one, in the order of `learner.parameters()`. Without
    `tasks_per_chunk` it is autograd's, through one graph of all tasks. With it, no more than so many tasks have a
    graph at a time: the same gradient to rounding, from more passes over the support (second order: each example twice
    forward rather than once). Neither the loss nor the gradient is checked for being finite.

    Raises InputError where `inner.adapt` does, and if the learner draws random numbers (dropout), which would be
    others in the second pass over a chunk.
    """
    with threads_for(learner, episode):
        check(learner, episode, loop, differentiable=True)
        if loop.tasks_per_chunk is None:
            return through_graph(learner, episode, loop, trajectory)
        return _in_chunks(learner, episode, loop)


def through_graph(
    learner: nn.Module,
    episode: Episode,
    loop: InnerLoop,
    steps: Callable[[nn.Module, Episode, InnerLoop], Iterable[Adapted]] = unchecked,
) -> MetaGradient:
    """Adapt by `steps`, take the query loss, and differentiate it through everything. Callers `check` the input."""
    adapted = last(steps(learner, episode, loop))
    loss = query_losses(learner, adapted, episode).mean()
    return loss.detach(), gradients(loss, list(trainable(learner).values())), adapted.steps


def _in_chunks(learner: nn.Module, episode: Episode, loop: InnerLoop) -> MetaGradient:
    """The recursion at the top of this file, so many tasks at a time."""
    visited, adapted = _visited(learner, episode, loop)
    theta, record, moved = visited.pop(), adapted.steps, loop.moved(learner)
    still = [p for name, p in trainable(learner).items() if name not in moved]
    labels = query_labels(adapted, episode)
    even = [1 / len(labels)] * len(labels)
    losses, costates, beside = weighted_gradients(
        learner, theta, labels, episode.query, even, loop.tasks_per_chunk, still
    )
    del adapted, theta  # the largest set of parameters, not needed any more
    for k in range(loop.steps, 0, -1):
        step, parents = record[k - 1], record[k - 2].labels if k > 1 else [0] * len(episode.tasks)
        origin = [parents[step.labels.index(cluster)] for cluster in range(max(step.labels) + 1)]
        if loop.first_order:
            costates = _summed(costates, origin)
            continue
        before = {name: rows_of(value, origin) for name, value in visited.pop().items()}
        support, earlier = support_at(episode, k), None
        for chunk in chunks(support, loop.tasks_per_chunk):
            clusters, own, _, total = chunk_losses(learner, before, step.labels, support, step.weights, chunk)
            leaves = [*own.values(), *still]
            products = _curvature(learner, total, leaves, [rows_of(part, clusters) for part in costates])
            del own, total, leaves
            earlier = earlier or _summed(costates, origin)  # not before the first chunk's graph has gone
            for whole, part in zip(earlier, products, strict=False):
                add_rows(whole, [origin[cluster] for cluster in clusters], part, -loop.rate)
            beside = [
                whole.sub(part, alpha=loop.rate) for whole, part in zip(beside, products[len(earlier) :], strict=True)
            ]
        costates = earlier
    found = dict(zip(moved, (part[0] for part in costates), strict=True))
    rest = iter(beside)
    return losses.mean(), [found[name] if name in found else next(rest) for name in trainable(learner)], record


def _visited(learner: nn.Module, episode: Episode, loop: InnerLoop) -> tuple[list[dict[str, Tensor]], Adapted]:
    """The parameters before each inner step and after the last one, which alone first order asks for."""
    visited, before = [], random_state()
    with torch.no_grad():
        for adapted in trajectory(learner, episode, loop):
            visited = [adapted.parameters] if loop.first_order else [*visited, adapted.parameters]
            drawn = drawn_since(before) or tried(learner).repeats is False
            if drawn and not loop.first_order:
                raise InputError(
                    "The learner draws random numbers (dropout, say), which would be others in the second pass over a "
                    "chunk; call eval() on the learner, leave tasks_per_chunk out, or use first_order=True."
                )
    return visited, adapted


def _summed(costates: Sequence[Tensor], origin: list[int]) -> list[Tensor]:
    """The sum over the children of each parent cluster."""
    found = [part.new_zeros(max(origin) + 1, *part.shape[1:]) for part in costates]
    for total, part in zip(found, costates, strict=True):
        add_rows(total, origin, part)
    return found


def _curvature(
    learner: nn.Module, total: Tensor, leaves: Sequence[Tensor], costates: Sequence[Tensor]
) -> Sequence[Tensor]:
    """The derivative of (∇ total) · λ with respect to each of the leaves, of which the first ones belong to λ."""
    with torch.enable_grad():
        first = gradients(total, leaves[: len(costates)], create_graph=True)
        check_second_derivative(learner, [total, *first])
        # A parameter that the loss is linear in, or does not depend on, may have a gradient without a graph.
        curved = [(g, part) for g, part in zip(first, costates, strict=True) if g.requires_grad]
        if not curved:
            return [torch.zeros_like(leaf) for leaf in leaves]
        outputs, vectors = zip(*curved, strict=True)
        return gradients(outputs, leaves, vectors)


def random_state() -> list[Tensor]:
    """The state of torch's random generators, the processor's and each GPU's."""
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def drawn_since(before: list[Tensor]) -> bool:
    """Have torch's random generators moved on from this `random_state`?"""
    return not all(map(torch.equal, before, random_state()))
