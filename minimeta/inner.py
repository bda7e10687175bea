"""The inner loop: K gradient steps, pooled within clusters of tasks (TreeMAML, eq. 5 to 7).

Parameters live per cluster: step 1 of a tree has one set, not one per task. All clusters are evaluated together (see
`clusters`), and one `torch.autograd.grad` gives all their gradients.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor, nn

from .clusters import add_rows, check_second_derivative, gradients, rows_of, task_losses
from .errors import InputError
from .grouping import Grouping, regroup
from .tasks import Batch, Episode
from .threads import threads_for


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


@dataclass(frozen=True)
class InnerStep:
    """What happened at one inner step, before the parameters moved.

    `losses` (m_s,): mean support loss of each task at its cluster's parameters; `labels`: the cluster of each
    of the m tasks; `gradient_norms` (clusters,): Euclidean norm of the pooled gradient, 0 without data.
    """

    losses: Tensor
    labels: list[int]
    gradient_norms: Tensor


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
) -> Adapted:
    """Take `steps` pooled gradient steps from the learner's parameters ω, which stay as they are.

    At step k, θ_c = θ_parent(c) - rate * mean over the tasks i in cluster c of the gradient of task i's mean
    support loss (TreeMAML, eq. 7). A cluster without support data takes no step. The result is differentiable
    with respect to ω through all steps, or with `first_order` through the identity alone; inside
    `torch.no_grad()` it is not differentiable and no graph is kept. Only parameters that require a gradient
    are adapted.

    With `tasks_per_chunk`, the gradients of so many tasks are computed at a time: the same numbers in less memory.
    A second-order graph holds all tasks whatever it is; `gradient.meta_gradient` does without that graph.

    Raises InputError if steps < 0, rate <= 0 or tasks_per_chunk < 1, if the learner has nothing to adapt, averages
    over examples, or cannot be differentiated twice (SDPA attention), if the support does not fit the tasks or the
    steps, if the grouping's labels do not refine their parents', or if a loss is not finite.
    """
    check(learner, episode, steps, rate, second_order=not first_order and torch.is_grad_enabled())
    check_chunk(tasks_per_chunk)
    with threads_for(learner, episode):
        return deque(trajectory(learner, episode, grouping, steps, rate, first_order, tasks_per_chunk), maxlen=1)[0]


def trajectory(
    learner: nn.Module,
    episode: Episode,
    grouping: Grouping,
    steps: int,
    rate: float,
    first_order: bool = False,
    tasks_per_chunk: int | None = None,
) -> Iterator[Adapted]:
    """What `adapt` passes on its way: ω, then the parameters after each step. Callers `check` the input before."""
    track = torch.is_grad_enabled()
    omega = {name: p for name, p in learner.named_parameters() if p.requires_grad}
    theta = {name: (p if track else p.detach()).unsqueeze(0) for name, p in omega.items()}
    labels, record = [0] * len(episode.tasks), []
    yield Adapted(theta, labels)
    for k in range(1, steps + 1):
        support = support_at(episode, k)
        sketches = partial(task_gradients, learner, theta, labels, support, tasks_per_chunk)
        labels, origin = regroup(grouping, k, episode.tasks, labels, sketches)
        theta = {name: rows_of(value, origin) for name, value in theta.items()}
        weights = shares(labels[: len(next(iter(support.values())))])
        if track and not first_order:
            losses = task_losses(learner, theta, labels, support).mean(1)
            total = losses @ losses.new_tensor(weights)
            moves = gradients(total, list(theta.values()), create_graph=True)
            check_second_derivative(learner, [total, *moves])
        else:
            losses, moves = weighted_gradients(learner, theta, labels, support, weights, tasks_per_chunk)
        _finite(losses, episode.tasks, k, rate)
        with torch.no_grad():
            norms = [torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in moves]
            norms = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        record.append(InnerStep(losses.detach(), labels, norms))
        # `add` with a negative factor: one operation less than p - rate * g, and one less in its backward pass.
        theta = {name: p.add(g, alpha=-rate) for (name, p), g in zip(theta.items(), moves, strict=True)}
        del losses, moves  # rather than keep them during the next step
        yield Adapted(theta, labels, list(record))


def support_at(episode: Episode, step: int) -> Batch:
    """The support batch of an inner step, counted from 1."""
    return episode.support[step - 1 if len(episode.support) > 1 else 0]


def shares(labels: Sequence[int]) -> list[float]:
    """One over the size of each task's cluster: the sum of the losses with these weights is that of the means."""
    size = Counter(labels)
    return [1 / size[label] for label in labels]


def weighted_gradients(
    learner: nn.Module,
    theta: dict[str, Tensor],
    labels: Sequence[int],
    batch: Batch,
    weights: Sequence[float],
    tasks_per_chunk: int | None = None,
) -> tuple[Tensor, Sequence[Tensor]]:
    """The mean loss of each task, (tasks,), and the gradients, (clusters, *shape) each, of their weighted sum.

    Neither has a graph, and no more than `tasks_per_chunk` tasks have one at a time.
    """
    parts, losses, summed = chunks(batch, tasks_per_chunk), [], []
    for chunk in parts:
        clusters, own, part, total = chunk_losses(learner, theta, labels, batch, weights, chunk)
        found = gradients(total, list(own.values()))
        losses.append(part)
        del own, total  # before the next chunk has its graph
        if len(parts) == 1 and len(clusters) == len(next(iter(theta.values()))):
            return losses[0], found
        summed = summed or [torch.zeros_like(value) for value in theta.values()]
        for whole, rows in zip(summed, found, strict=True):
            add_rows(whole, clusters, rows)
    return torch.cat(losses), summed


def chunks(batch: Batch, tasks_per_chunk: int | None) -> list[slice]:
    """The tasks of a batch, so many at a time; all of them at once for None."""
    tasks = len(next(iter(batch.values())))
    return [slice(start, start + (tasks_per_chunk or tasks)) for start in range(0, tasks, tasks_per_chunk or tasks)]


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


SKETCH = 1024
"""Numbers per gradient that a grouping gets to see."""

_AT_ONCE = 2**26  # numbers in the gradients that are held in memory together


def task_gradients(
    learner: nn.Module,
    theta: dict[str, Tensor],
    labels: Sequence[int],
    batch: Batch,
    tasks_per_chunk: int | None = None,
) -> np.ndarray:
    """Sketches (tasks, size) of the gradient of each task's mean loss at its cluster's parameters (TreeMAML, eq. 8)."""
    tasks, numbers = len(next(iter(batch.values()))), sum(value[0].numel() for value in theta.values())
    rows, count = [], max(1, min(_AT_ONCE // numbers, tasks_per_chunk or tasks))
    for start in range(0, tasks, count):
        some = slice(start, start + count)
        own = {name: rows_of(value, labels[:tasks][some]).detach().requires_grad_() for name, value in theta.items()}
        with torch.enable_grad():
            examples = {name: value[some] for name, value in batch.items()}
            losses = task_losses(learner, own, range(count), examples).mean(1)
            rows.append(sketch(gradients(losses.sum(), list(own.values()))))
    return np.concatenate(rows)


def sketch(parts: Sequence[Tensor]) -> np.ndarray:
    """Gradients of n tasks, tensors (n, *shape) each, as vectors of at most SKETCH numbers: (n, size).

    Longer ones are folded by a count sketch (Charikar et al. 2002): each number is added to one place with one
    sign, both drawn once. Inner products stay what they are on average, with an error near |g| |h| / sqrt(SKETCH).
    """
    whole = torch.cat([part.detach().flatten(1) for part in parts], dim=1).cpu()
    whole = whole.to(torch.promote_types(whole.dtype, torch.float32))  # numpy has no bfloat16
    if whole.shape[1] <= SKETCH:
        return whole.numpy()
    place, sign = _places(whole.shape[1])
    return whole.new_zeros(len(whole), SKETCH).index_add_(1, place, whole * sign).numpy()


@lru_cache(maxsize=2)
def _places(size: int) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(size)
    place = torch.randint(SKETCH, (size,), generator=drawn)
    return place, 2 * torch.randint(2, (size,), generator=drawn) - 1


def query_losses(learner: nn.Module, adapted: Adapted, episode: Episode) -> Tensor:
    """The query loss of every example at its task's adapted parameters, (m_q, n_v)."""
    return task_losses(learner, adapted.parameters, query_labels(adapted, episode), episode.query)


def query_labels(adapted: Adapted, episode: Episode) -> list[int]:
    """The cluster of each of the m_q tasks with query data, which are the last ones."""
    _check_batch("query", episode.query, adapted.labels)
    return adapted.labels[len(adapted.labels) - len(next(iter(episode.query.values()))) :]


def adapt_with_higher(
    learner: nn.Module,
    episode: Episode,
    grouping: Grouping,
    steps: int,
    rate: float,
) -> list[nn.Module]:
    """The same as `adapt`, second order, one task at a time through the library `higher`: the slow reference.

    Returns one functional copy of the learner per task; call it with a batch for the query losses.
    """
    import higher

    check(learner, episode, steps, rate, second_order=True)
    if any(module._forward_hooks or module._forward_pre_hooks for module in learner.modules()):
        raise InputError("The library higher leaves hooks out; take those of the learner away, or use `adapt`.")
    copies = [higher.monkeypatch(learner, copy_initial_weights=False) for _ in episode.tasks]
    labels = [0] * len(copies)
    for k in range(1, steps + 1):
        support = support_at(episode, k)
        own = []
        for copy, task in zip(copies, range(len(next(iter(support.values())))), strict=False):
            loss = copy({name: value[task] for name, value in support.items()}).mean()
            moving = [p for p in copy.parameters() if p.requires_grad]
            own.append(gradients(loss, moving, create_graph=True))
            check_second_derivative(learner, [loss, *own[-1]])
        labels, _ = regroup(
            grouping,
            k,
            episode.tasks,
            labels,
            lambda own=own: sketch([torch.stack(part) for part in zip(*own, strict=True)]),
        )
        members: dict[int, list[Sequence[Tensor]]] = {}
        for label, gradient in zip(labels, own, strict=False):
            members.setdefault(label, []).append(gradient)
        theta = {}
        for label, parts in members.items():
            pooled = iter([sum(same) / len(same) for same in zip(*parts, strict=True)])
            before = copies[labels.index(label)].parameters()
            theta[label] = [p - rate * next(pooled) if p.requires_grad else p for p in before]
        for copy, label in zip(copies, labels, strict=True):
            if label in theta:
                copy.update_params(theta[label])
    return copies


def _finite(losses: Tensor, tasks: Sequence[str], step: int, rate: float) -> None:
    losses = losses.detach()
    if math.isfinite(losses.sum()):  # one number is quickly tested
        return
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise InputError(
            f"The support loss of task {tasks[bad[0]]} is {losses[bad[0]].item()} at inner step {step}; "
            f"lower the inner rate (now {rate:g}) or look for bad values in the data."
        )


def check_chunk(tasks_per_chunk: int | None) -> None:
    """Raise InputError if `tasks_per_chunk` is below 1."""
    if tasks_per_chunk is not None and tasks_per_chunk < 1:
        raise InputError(f"The number of tasks per chunk is {tasks_per_chunk}; it must be 1 or more.")


def check(learner: nn.Module, episode: Episode, steps: int, rate: float, second_order: bool) -> None:
    """Raise InputError if these cannot be adapted; `second_order` if it shall be differentiated twice."""
    if steps < 0:
        raise InputError(f"The number of inner steps is {steps}; it must be 0 or more.")
    if steps and not rate > 0:
        raise InputError(f"The inner rate is {rate}; it must be above 0.")
    if steps and len(episode.support) not in (1, steps):
        raise InputError(
            f"The episode has {len(episode.support)} support batches; give one, or a fresh one for each of the "
            f"{steps} inner steps."
        )
    for batch in episode.support:
        _check_batch("support", batch, episode.tasks)
    if episode.query:  # adapting alone does without
        _check_batch("query", episode.query, episode.tasks)
    given = [item for batch in (*episode.support, episode.query) for item in batch.items()]
    if not any(p.requires_grad for p in learner.parameters()):
        raise InputError("The learner has no parameter that requires a gradient; there is nothing to adapt.")
    for module in learner.modules():
        _check_module(module)
        kind = getattr(getattr(module, "config", None), "_attn_implementation", None)
        for name, value in given if kind == "eager" else ():
            if value.dtype == torch.bool and value.ndim > 4:  # of each task, (n, 1, T, T)
                raise InputError(
                    f"{name} is a boolean mask for each pair of tokens, which eager attention would add to its scores; "
                    "give 0 where a token may look and a very low number elsewhere, or a mask (n, T)."
                )
        if kind not in (None, "eager") and second_order and steps:
            raise InputError(
                f"The encoder uses {kind} attention, which has no second derivative; "
                'load it with attn_implementation="eager", or adapt with first_order=True.'
            )


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


def _check_module(module: nn.Module) -> None:
    """Raise InputError if a part of a learner would change as it is evaluated, or hides what it computes."""
    kind = type(module).__name__
    if module.training and getattr(module, "track_running_stats", False):
        raise InputError(
            f"{kind} would change its running statistics while adapting, across tasks; call "
            "eval() on the learner or use a normalisation without them."
        )
    if getattr(module, "max_norm", None) is not None and isinstance(module, nn.Embedding | nn.EmbeddingBag):
        raise InputError(
            f"{kind} with max_norm shortens its own rows when it is evaluated, and adapting must leave the learner as "
            "it is; leave max_norm out."
        )
    if getattr(module, "sparse", False):
        raise InputError(f"{kind} with sparse=True has gradients that cannot be pooled; leave it out.")
    for hook in module._forward_pre_hooks.values():
        old = type(hook).__module__.removeprefix("torch.nn.utils.")
        if old in ("weight_norm", "spectral_norm", "prune"):
            instead = (
                "make it lasting by prune.remove" if old == "prune" else f"use torch.nn.utils.parametrizations.{old}"
            )
            raise InputError(
                f"torch.nn.utils.{old} puts a new weight into {kind} when it is evaluated, and adapting must leave the "
                f"learner as it is; {instead}."
            )
    compiled = hasattr(module, "_orig_mod") or module._compiled_call_impl is not None
    if compiled or isinstance(module, torch.jit.ScriptModule):
        raise InputError(
            f"{kind} has been compiled by {'torch.compile' if compiled else 'torch.jit'}, which evaluates one set of "
            "parameters at a time; build the learner from the module before that."
        )
