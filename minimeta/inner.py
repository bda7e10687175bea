"""The inner loop: K gradient steps, pooled within clusters of tasks (TreeMAML, eq. 5 to 7).

Parameters live per cluster: step 1 of a tree has one set, not one per task. All clusters are evaluated together (see
`clusters`), and one `torch.autograd.grad` gives all their gradients.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from .clusters import add_rows, chunks, gradients, rows_of, task_losses
from .errors import InputError, some
from .grouping import Grouping, regroup
from .sketch import task_gradients
from .tasks import Batch, Episode
from .threads import threads_for
from .trial import check_module, check_second_derivative


class Learner(nn.Module):
    """A module with a loss: `forward(batch)` is the loss of each example, (n,); `outputs(batch)` the outputs.

    `loss(outputs, y)` must not average over examples: use `reduction="none"`. Any other module whose forward
    takes a batch and gives one loss per example can be adapted as well.
    """

    def __init__(self, module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def outputs(self, batch: Batch) -> Tensor:
        """What the module computes from the inputs of `batch`: (n, ...)."""
        return self.module(*(value for name, value in batch.items() if name != "y"))

    def forward(self, batch: Batch) -> Tensor:
        """The loss of each example, (n,)."""
        return self.loss(self.outputs(batch), batch["y"])


def squared_error(outputs: Tensor, y: Tensor) -> Tensor:
    """Squared error of each example, (n,), averaged over the output's dimensions.

    Raises InputError unless both have the same shape.
    """
    if outputs.shape != y.shape:
        raise InputError(
            f"The outputs have the shape {tuple(outputs.shape)} and y has {tuple(y.shape)}; squared error compares the "
            "same."
        )
    return (outputs - y).square().flatten(1).mean(1)


def cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each example in nats, (n,), from logits (n, classes) and classes (n,)."""
    return nn.functional.cross_entropy(outputs, y, reduction="none")


def everything(name: str) -> bool:
    """Inner steps move every parameter."""
    return True


@dataclass(frozen=True)
class InnerLoop:
    """How a learner is adapted: all but the learner and the episode.

    `grouping` says who shares a gradient, `steps` is K and `rate` α. `first_order` differentiates the result through
    the identity alone. With `tasks_per_chunk`, the gradients of so many tasks are computed at a time. `moves` says of a
    parameter, by its name, whether inner steps move it; the others stay at ω in the inner loop, and the outer loop
    moves them all the same. Raises InputError if steps < 0, rate <= 0 or tasks_per_chunk < 1.
    """

    grouping: Grouping
    steps: int
    rate: float
    first_order: bool = False
    tasks_per_chunk: int | None = None
    moves: Callable[[str], bool] = everything

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InputError(f"The number of inner steps is {self.steps}; it must be 0 or more.")
        if self.steps and not self.rate > 0:
            raise InputError(f"The inner rate is {self.rate}; it must be above 0.")
        check_chunk(self.tasks_per_chunk)

    def moved(self, learner: nn.Module) -> dict[str, nn.Parameter]:
        """The parameters that inner steps move, by name: those of `trainable` that `moves` chooses."""
        return {name: p for name, p in trainable(learner).items() if self.moves(name)}


def trainable(learner: nn.Module) -> dict[str, nn.Parameter]:
    """The meta-parameters ω by name, which the outer loop moves: all that require a gradient.

    Raises InputError if there are none.
    """
    found = {name: p for name, p in learner.named_parameters() if p.requires_grad}
    if not found:
        raise InputError("The learner has no parameter that requires a gradient; there is nothing to train.")
    return found


@contextmanager
def evaluating(learner: nn.Module) -> Iterator[None]:
    """All parts of the learner in eval mode inside, and each in its own mode again afterwards."""
    modes = {part: part.training for part in learner.modules()}
    learner.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@dataclass(frozen=True)
class InnerStep:
    """What happened at one inner step, before the parameters moved.

    `losses` (m_s,): mean support loss of each task at its cluster's parameters; `labels`: the cluster of each of the m
    tasks; `weights` (m_s,): how much a task's gradient counts in its cluster, adding up to 1 there.
    """

    losses: Tensor
    labels: list[int]
    weights: list[float]


@dataclass(frozen=True)
class Adapted:
    """Adapted parameters θ per cluster: `parameters[name]` is (clusters, *shape), `labels[i]` task i's cluster."""

    parameters: dict[str, Tensor]
    labels: list[int]
    steps: list[InnerStep] = field(default_factory=list)

    def of(self, task: int) -> dict[str, Tensor]:
        """The adapted parameters of one task."""
        return {name: value[self.labels[task]] for name, value in self.parameters.items()}


def adapt(
    learner: nn.Module,
    episode: Episode,
    grouping: Grouping,
    steps: int,
    rate: float,
    first_order: bool = False,
    tasks_per_chunk: int | None = None,
    moves: Callable[[str], bool] = everything,
) -> Adapted:
    """Take `steps` pooled gradient steps from the learner's parameters ω, which stay as they are.

    At step k, θ_c = θ_parent(c) - rate * mean over the tasks i in cluster c of the gradient of task i's mean
    support loss (TreeMAML, eq. 7), or the weighted mean that the grouping asks for. A cluster without support data
    takes no step. The result is differentiable with respect to ω through all steps, or with `first_order` through the
    identity alone; inside `torch.no_grad()` it is not differentiable and no graph is kept. Only parameters that require
    a gradient are adapted, and of them those that `moves` chooses by name.

    With `tasks_per_chunk`, the gradients of so many tasks are computed at a time: the same numbers in less memory.
    A second-order graph holds all tasks whatever it is; `gradient.meta_gradient` does without that graph.

    Raises InputError where `InnerLoop` does, if the learner has nothing to adapt, averages over examples, or cannot be
    differentiated twice (SDPA attention), if the support does not fit the tasks or the steps, if the grouping's labels
    do not refine their parents', or if a loss is not finite.
    """
    loop = InnerLoop(grouping, steps, rate, first_order, tasks_per_chunk, moves)
    with threads_for(learner, episode):
        check(learner, episode, loop, differentiable=torch.is_grad_enabled())
        return last(trajectory(learner, episode, loop))


def last(passed: Iterable[Adapted]) -> Adapted:
    """Where a trajectory ends."""
    return deque(passed, maxlen=1)[0]


def trajectory(learner: nn.Module, episode: Episode, loop: InnerLoop) -> Iterator[Adapted]:
    """What `adapt` passes on its way: ω, then the parameters after each step. Callers `check` the input before.

    Raises InputError when a loss is not finite.
    """
    for step, adapted in enumerate(unchecked(learner, episode, loop)):
        if step:
            check_finite(adapted.steps[-1].losses, episode.tasks, step, loop.rate)
        yield adapted


def unchecked(learner: nn.Module, episode: Episode, loop: InnerLoop) -> Iterator[Adapted]:
    """The same as `trajectory`, without a look at the numbers."""
    track = torch.is_grad_enabled()
    theta = {name: (p if track else p.detach()).unsqueeze(0) for name, p in loop.moved(learner).items()}
    labels, record = [0] * len(episode.tasks), []
    yield Adapted(theta, labels)
    for k in range(1, loop.steps + 1):
        support = support_at(episode, k)
        sketches = partial(task_gradients, learner, theta, labels, support, loop.tasks_per_chunk)
        given = len(next(iter(support.values())))
        labels, origin, weights = regroup(loop.grouping, k, episode.tasks, labels, sketches, given)
        theta = {name: rows_of(value, origin) for name, value in theta.items()}
        if track and not loop.first_order:
            losses = task_losses(learner, theta, labels, support).mean(1)
            total = losses @ losses.new_tensor(weights)
            moves = gradients(total, list(theta.values()), create_graph=True)
            check_second_derivative(learner, [total, *moves])
        else:
            losses, moves, _ = weighted_gradients(learner, theta, labels, support, weights, loop.tasks_per_chunk)
        record.append(InnerStep(losses.detach(), labels, weights))
        # `add` with a negative factor: one operation less than p - rate * g, and one less in its backward pass.
        theta = {name: p.add(g, alpha=-loop.rate) for (name, p), g in zip(theta.items(), moves, strict=True)}
        del losses, moves  # rather than keep them during the next step
        yield Adapted(theta, labels, list(record))


def support_at(episode: Episode, step: int) -> Batch:
    """The support batch of an inner step, counted from 1."""
    return episode.support[step - 1 if len(episode.support) > 1 else 0]


def weighted_gradients(
    learner: nn.Module,
    theta: dict[str, Tensor],
    labels: Sequence[int],
    batch: Batch,
    weights: Sequence[float],
    tasks_per_chunk: int | None = None,
    still: Sequence[Tensor] = (),
) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
    """The mean loss of each task, (tasks,), and the gradients of their weighted sum.

    These are one (clusters, *shape) for each of θ, and one for each of the learner's parameters in `still`. Nothing has
    a graph, and no more than `tasks_per_chunk` tasks have one at a time.
    """
    parts, losses, summed = chunks(batch, tasks_per_chunk), [], []
    beside = [torch.zeros_like(p) for p in still]
    for chunk in parts:
        clusters, own, part, total = chunk_losses(learner, theta, labels, batch, weights, chunk)
        found = gradients(total, [*own.values(), *still])
        losses.append(part)
        del own, total  # before the next chunk has its graph
        if len(parts) == 1 and len(clusters) == len(next(iter(theta.values()))):
            return losses[0], found[: len(theta)], found[len(theta) :]
        summed = summed or [torch.zeros_like(value) for value in theta.values()]
        for whole, rows in zip(summed, found, strict=False):
            add_rows(whole, clusters, rows)
        for whole, rows in zip(beside, found[len(theta) :], strict=True):
            whole += rows
    return torch.cat(losses), summed, beside


def chunk_losses(
    learner: nn.Module,
    theta: dict[str, Tensor],
    labels: Sequence[int],
    batch: Batch,
    weights: Sequence[float],
    chunk: slice,
) -> tuple[list[int], dict[str, Tensor], Tensor, Tensor]:
    """The clusters of a chunk of tasks, their parameters as leaves of a new graph, and the tasks' losses.

    These are the mean loss of each, (n,), without the graph, and their weighted sum at its end.
    """
    inside = labels[: len(next(iter(batch.values())))][chunk]
    clusters = sorted(set(inside))
    with torch.enable_grad():
        own = {name: rows_of(value.detach(), clusters).requires_grad_() for name, value in theta.items()}
        examples = {name: value[chunk] for name, value in batch.items()}
        losses = task_losses(learner, own, [clusters.index(label) for label in inside], examples).mean(1)
        return clusters, own, losses.detach(), losses @ losses.new_tensor(weights[chunk])


def query_losses(learner: nn.Module, adapted: Adapted, episode: Episode) -> Tensor:
    """The query loss of every example at its task's adapted parameters, (m_q, n_v)."""
    return task_losses(learner, adapted.parameters, query_labels(adapted, episode), episode.query)


def query_labels(adapted: Adapted, episode: Episode) -> list[int]:
    """The cluster of each of the m_q tasks with query data, which are the last ones."""
    _check_batch("query", episode.query, adapted.labels)
    return adapted.labels[len(adapted.labels) - len(next(iter(episode.query.values()))) :]


def check_finite(losses: Tensor, tasks: Sequence[str], step: int, rate: float) -> None:
    """Raise InputError unless the support losses (m_s,) at an inner step are finite."""
    if is_finite(losses):
        return
    bad = (~losses.isfinite()).nonzero()[0].item()
    raise InputError(
        f"The support loss of task {tasks[bad]} is {losses[bad].item()} at inner step {step}; "
        f"lower the inner rate (now {rate:g}) or look for bad values in the data."
    )


def is_finite(value: Tensor) -> bool:
    """Are all numbers finite? Their sum says so at once and in no memory, unless it alone is not."""
    return math.isfinite(value.sum()) or bool(value.isfinite().all())


def check_chunk(tasks_per_chunk: int | None) -> None:
    """Raise InputError if `tasks_per_chunk` is below 1."""
    if tasks_per_chunk is not None and tasks_per_chunk < 1:
        raise InputError(f"The number of tasks per chunk is {tasks_per_chunk}; it must be 1 or more.")


def check(learner: nn.Module, episode: Episode, loop: InnerLoop, differentiable: bool) -> None:
    """Raise InputError if these cannot be adapted; `differentiable` if the result shall be differentiated."""
    if loop.steps and len(episode.support) not in (1, loop.steps):
        raise InputError(
            f"The episode has {len(episode.support)} support batches; give one, or a fresh one for each of the "
            f"{loop.steps} inner steps."
        )
    for batch in episode.support:
        _check_batch("support", batch, episode.tasks)
    if episode.query:  # adapting alone does without
        _check_batch("query", episode.query, episode.tasks)
    if not loop.moved(learner):
        raise InputError(
            f"The inner steps move none of the learner's parameters: {some(list(trainable(learner)))}; choose some."
        )
    given = [item for batch in (*episode.support, episode.query) for item in batch.items()]
    for module in learner.modules():
        check_module(module, given, second_order=differentiable and not loop.first_order and loop.steps > 0)


def _check_batch(what: str, batch: Batch, tasks: Sequence[object]) -> None:
    """Raise InputError unless all tensors of a batch are (some of the tasks, examples, ...)."""
    shapes = {name: tuple(value.shape[:2]) for name, value in batch.items()}
    if not shapes or any(len(shape) < 2 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {tuple(value.shape)}" for name, value in batch.items()) or "nothing"
        raise InputError(f"The {what} holds {told}; all its tensors must begin with the same (tasks, examples).")
    ((count, examples),) = set(shapes.values())
    if not 1 <= count <= len(tasks) or not examples:
        raise InputError(
            f"The {what} has {examples} examples for each of {count} tasks, and {len(tasks)} tasks are named; give "
            f"data for 1 to {len(tasks)} tasks, one example or more each."
        )
