"""The meta-gradient, also where the graph of all tasks does not fit into memory.

Autograd through the K pooled steps holds the activations of every task at once. The same gradient can be had by the
adjoint recursion of reverse-mode differentiation (Griewank and Walther, Evaluating Derivatives, 2008; for a gradient
method: Maclaurin et al. 2015, Algorithm 2). Let λ_c,k be the derivative of the mean query loss with respect to θ_c,k.
From θ_c,k = θ_p,k-1 - α ∇L_c(θ_p,k-1), with L_c the mean support loss of cluster c and p its parent (TreeMAML, eq. 7),

    λ_p,k-1 = Σ over the children c of p of (λ_c,k - α H_c λ_c,k),    H_c = ∇²L_c(θ_p,k-1).

L_c is a sum over tasks, and so is H_c λ_c: a few tasks at a time are enough. What stays in memory is one copy of the
parameters per cluster and step. First order is the recursion without H.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .clusters import add_rows, check_second_derivative, gradients, repeats, rows_of
from .errors import InputError
from .grouping import Grouping
from .inner import (
    InnerStep,
    adapt,
    check,
    check_chunk,
    chunk_losses,
    chunks,
    query_labels,
    query_losses,
    shares,
    support_at,
    trajectory,
    weighted_gradients,
)
from .tasks import Batch, Episode
from .threads import threads_for


def meta_gradient(
    learner: nn.Module,
    episode: Episode,
    grouping: Grouping,
    steps: int,
    rate: float,
    first_order: bool = False,
    tasks_per_chunk: int | None = None,
) -> tuple[Tensor, Sequence[Tensor], list[InnerStep]]:
    """The mean query loss after `inner.adapt`, its gradient with respect to ω, and what happened at the inner steps.

    The gradient is a tensor for each parameter that requires one, in the order of `learner.parameters()`. Without
    `tasks_per_chunk` it is autograd's, through one graph of all tasks. With it, no more than so many tasks have a
    graph at a time: the same gradient to rounding, from more passes over the support (second order: each example twice
    forward rather than once). Neither the loss nor the gradient is checked for being finite.

    Raises InputError where `inner.adapt` does, and if the learner draws random numbers (dropout), which would be
    others in the second pass over a chunk.
    """
    with threads_for(learner, episode):
        if tasks_per_chunk is not None:
            return _in_chunks(learner, episode, grouping, steps, rate, first_order, tasks_per_chunk)
        adapted = adapt(learner, episode, grouping, steps, rate, first_order)
        loss = query_losses(learner, adapted, episode).mean()
        omega = [p for p in learner.parameters() if p.requires_grad]
        return loss.detach(), gradients(loss, omega), adapted.steps


def _in_chunks(
    learner: nn.Module,
    episode: Episode,
    grouping: Grouping,
    steps: int,
    rate: float,
    first_order: bool,
    tasks_per_chunk: int,
) -> tuple[Tensor, Sequence[Tensor], list[InnerStep]]:
    """The recursion at the top of this file, so many tasks at a time."""
    check(learner, episode, steps, rate, second_order=not first_order)
    check_chunk(tasks_per_chunk)
    visited = []  # the parameters before each step, which first order does not ask for
    before = _random_state()
    with torch.no_grad():
        for adapted in trajectory(learner, episode, grouping, steps, rate, first_order, tasks_per_chunk):
            visited = [adapted.parameters] if first_order else [*visited, adapted.parameters]
            drawn = not all(map(torch.equal, before, _random_state())) or not repeats(learner)
            if drawn and not first_order:
                raise InputError(
                    "The learner draws random numbers (dropout, say), which would be others in the second pass over a "
                    "chunk; call eval() on the learner, leave tasks_per_chunk out, or use first_order=True."
                )
    theta, record = visited.pop(), adapted.steps
    labels = query_labels(adapted, episode)
    even = [1 / len(labels)] * len(labels)
    losses, costates = weighted_gradients(learner, theta, labels, episode.query, even, tasks_per_chunk)
    del adapted, theta  # the largest set of parameters, not needed any more
    for k in range(steps, 0, -1):
        labels, parents = record[k - 1].labels, record[k - 2].labels if k > 1 else [0] * len(episode.tasks)
        origin = [parents[labels.index(cluster)] for cluster in range(max(labels) + 1)]
        if first_order:
            costates = _summed(costates, origin)
            continue
        before = {name: rows_of(value, origin) for name, value in visited.pop().items()}
        support, earlier = support_at(episode, k), None
        for chunk in chunks(support, tasks_per_chunk):
            clusters, products = _curvature(learner, before, labels, support, chunk, costates)
            earlier = earlier or _summed(costates, origin)  # not before the first chunk's graph has gone
            for total, part in zip(earlier, products, strict=True):
                add_rows(total, [origin[cluster] for cluster in clusters], part, -rate)
        costates = earlier
    return losses.mean(), [part[0] for part in costates], record


def _summed(costates: Sequence[Tensor], origin: list[int]) -> list[Tensor]:
    """The sum over the children of each parent cluster."""
    found = [part.new_zeros(max(origin) + 1, *part.shape[1:]) for part in costates]
    for total, part in zip(found, costates, strict=True):
        add_rows(total, origin, part)
    return found


def _curvature(
    learner: nn.Module,
    theta: dict[str, Tensor],
    labels: Sequence[int],
    support: Batch,
    chunk: slice,
    costates: Sequence[Tensor],
) -> tuple[list[int], Sequence[Tensor]]:
    """The clusters of a chunk, and for each of them its share in H_c λ_c from the chunk's tasks: (n, *shape) each."""
    weights = shares(labels[: len(next(iter(support.values())))])
    clusters, own, _, total = chunk_losses(learner, theta, labels, support, weights, chunk)
    leaves = list(own.values())
    with torch.enable_grad():
        first = gradients(total, leaves, create_graph=True)
        check_second_derivative(learner, [total, *first])
        # A parameter that the loss is linear in, or does not depend on, may have a gradient without a graph.
        curved = [(g, rows_of(part, clusters)) for g, part in zip(first, costates, strict=True) if g.requires_grad]
        if not curved:
            return clusters, [torch.zeros_like(leaf) for leaf in leaves]
        outputs, vectors = zip(*curved, strict=True)
        return clusters, gradients(outputs, leaves, vectors)


def _random_state() -> list[Tensor]:
    """The state of torch's random generators, the processor's and each GPU's."""
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
