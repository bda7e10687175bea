"""The inner loop: K gradient steps, pooled within clusters of tasks (TreeMAML, eq. 5 to 7).

Parameters live per cluster: step 1 of a tree has one set, not one per task. Clusters with the same number of
tasks are evaluated together with `torch.func.vmap`, and one `torch.autograd.grad` gives all their gradients.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from .errors import InputError
from .grouping import Grouping, regroup
from .tasks import Batch, Episode


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
    """Squared error of each example, (n,), averaged over the output's dimensions."""
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
) -> Adapted:
    """Take `steps` pooled gradient steps from the learner's parameters ω, which stay as they are.

    At step k, θ_c = θ_parent(c) - rate * mean over the tasks i in cluster c of the gradient of task i's mean
    support loss (TreeMAML, eq. 7). A cluster without support data takes no step. The result is differentiable
    with respect to ω through all steps, or with `first_order` through the identity alone; inside
    `torch.no_grad()` it is not differentiable and no graph is kept. Only parameters that require a gradient
    are adapted.

    Raises InputError if steps < 0 or rate <= 0, if the learner has nothing to adapt, averages over examples, or
    cannot be differentiated twice (SDPA attention), if the support does not fit the tasks or the steps, if the
    grouping's labels do not refine their parents', or if a loss is not finite.
    """
    _check(learner, episode, steps, rate, second_order=not first_order and torch.is_grad_enabled())
    track = torch.is_grad_enabled()
    omega = {name: p for name, p in learner.named_parameters() if p.requires_grad}
    theta = {name: (p if track else p.detach()).unsqueeze(0) for name, p in omega.items()}
    labels, record = [0] * len(episode.tasks), []
    for k in range(1, steps + 1):
        support = episode.support[k - 1 if len(episode.support) > 1 else 0]
        gradients = partial(task_gradients, learner, theta, labels, support)
        labels, origin = regroup(grouping, k, episode.tasks, labels, gradients)
        theta = {name: _rows(value, origin) for name, value in theta.items()}
        with torch.enable_grad():
            if not track:
                theta = {name: value.detach().requires_grad_() for name, value in theta.items()}
            losses = task_losses(learner, theta, labels, support).mean(1)
            _finite(losses, episode.tasks, k, rate)
            gradients = torch.autograd.grad(
                losses @ _shares(labels[: len(losses)], losses),
                list(theta.values()),
                create_graph=track and not first_order,
                materialize_grads=True,
            )
        with torch.no_grad():
            norms = [torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in gradients]
            norms = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        record.append(InnerStep(losses.detach(), labels, norms))
        # `add` with a negative factor: one operation less than p - rate * g, and one less in its backward pass.
        theta = {name: p.add(g, alpha=-rate) for (name, p), g in zip(theta.items(), gradients, strict=True)}
        if not track:
            theta = {name: value.detach() for name, value in theta.items()}
    return Adapted(theta, labels, record)


SKETCH = 1024
"""Numbers per gradient that a grouping gets to see."""

_AT_ONCE = 2**26  # numbers in the gradients that are held in memory together


def task_gradients(learner: nn.Module, theta: dict[str, Tensor], labels: Sequence[int], batch: Batch) -> np.ndarray:
    """Sketches (tasks, size) of the gradient of each task's mean loss at its cluster's parameters (TreeMAML, eq. 8)."""
    tasks, numbers = len(next(iter(batch.values()))), sum(value[0].numel() for value in theta.values())
    rows, count = [], max(1, _AT_ONCE // numbers)
    for start in range(0, tasks, count):
        some = slice(start, start + count)
        own = {name: _rows(value, labels[:tasks][some]).detach().requires_grad_() for name, value in theta.items()}
        with torch.enable_grad():
            examples = {name: value[some] for name, value in batch.items()}
            losses = task_losses(learner, own, range(count), examples).mean(1)
            rows.append(sketch(torch.autograd.grad(losses.sum(), list(own.values()), materialize_grads=True)))
    return np.concatenate(rows)


def sketch(gradients: Sequence[Tensor]) -> np.ndarray:
    """Gradients of n tasks, tensors (n, *shape) each, as vectors of at most SKETCH numbers: (n, size).

    Longer ones are folded by a count sketch (Charikar et al. 2002): each number is added to one place with one
    sign, both drawn once. Inner products stay what they are on average, with an error near |g| |h| / sqrt(SKETCH).
    """
    whole = torch.cat([part.detach().flatten(1) for part in gradients], dim=1).cpu()
    if whole.shape[1] <= SKETCH:
        return whole.numpy()
    place, sign = _places(whole.shape[1])
    return whole.new_zeros(len(whole), SKETCH).index_add_(1, place, whole * sign).numpy()


@lru_cache(maxsize=2)
def _places(size: int) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(size)
    place = torch.randint(SKETCH, (size,), generator=drawn)
    return place, 2 * torch.randint(2, (size,), generator=drawn) - 1


def task_losses(learner: nn.Module, theta: dict[str, Tensor], labels: Sequence[int], batch: Batch) -> Tensor:
    """The loss of every example, (tasks, n), each task at the parameters of its cluster.

    `theta[name]` is (clusters, *shape) and `batch` tensors are (tasks, n, ...).
    """
    return by_cluster(lambda p, b: functional_call(learner, p, (b,)), theta, labels, batch)


def task_outputs(learner: Learner, theta: dict[str, Tensor], labels: Sequence[int], batch: Batch) -> Tensor:
    """The learner's outputs for every example, (tasks, n, ...), each task at the parameters of its cluster."""
    outputs = _Outputs(learner)
    named = {f"learner.{name}": value for name, value in theta.items()}
    return by_cluster(lambda p, b: functional_call(outputs, p, (b,)), named, labels, batch)


class _Outputs(nn.Module):
    """A learner with its outputs as forward, so that `functional_call` can reach them."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, batch: Batch) -> Tensor:
        return self.learner.outputs(batch)


def by_cluster(
    function: Callable[[dict[str, Tensor], Batch], Tensor],
    theta: dict[str, Tensor],
    labels: Sequence[int],
    batch: Batch,
) -> Tensor:
    """Apply `function(parameters, examples)` to every task at its cluster's parameters: (tasks, n, ...).

    Clusters of the same size are stacked, so that nothing is padded and nothing is computed twice.
    """
    tasks, n = next(iter(batch.values())).shape[:2]
    members: dict[int, list[int]] = {}
    for task, label in enumerate(labels[:tasks]):
        members.setdefault(label, []).append(task)
    by_size: dict[int, list[int]] = {}
    for label, inside in members.items():
        by_size.setdefault(len(inside), []).append(label)

    results, order = [], []
    for size, clusters in by_size.items():
        index = [task for label in clusters for task in members[label]]
        order += index
        parameters = {name: _rows(value, clusters) for name, value in theta.items()}
        examples = {name: _rows(value, index) for name, value in batch.items()}
        examples = {name: value.reshape(len(clusters), size * n, *value.shape[2:]) for name, value in examples.items()}
        if len(clusters) == 1:
            result = function(_first(parameters), _first(examples))[None]
        else:
            result = _vmap(function, parameters, examples)
        if result.shape[:2] != (len(clusters), size * n):
            raise InputError(
                f"The learner gave a result of shape {tuple(result.shape[1:])} for {size * n} examples; "
                "it must give one loss per example (use a loss with reduction='none')."
            )
        results.append(result.reshape(len(index), n, *result.shape[2:]))
    if len(results) == 1 and order == list(range(tasks)):
        return results[0]
    return torch.cat(results)[torch.tensor(order, device=results[0].device).argsort()]


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

    _check(learner, episode, steps, rate, second_order=True)
    copies = [higher.monkeypatch(learner, copy_initial_weights=False) for _ in episode.tasks]
    labels = [0] * len(copies)
    for k in range(1, steps + 1):
        support = episode.support[k - 1 if len(episode.support) > 1 else 0]
        own = []
        for copy, task in zip(copies, range(len(next(iter(support.values())))), strict=False):
            loss = copy({name: value[task] for name, value in support.items()}).mean()
            moving = [p for p in copy.parameters() if p.requires_grad]
            own.append(torch.autograd.grad(loss, moving, create_graph=True, materialize_grads=True))
        labels, _ = regroup(
            grouping,
            k,
            episode.tasks,
            labels,
            lambda own=own: sketch([torch.stack(part) for part in zip(*own, strict=True)]),
        )
        gradients: dict[int, list[tuple[Tensor, ...]]] = {}
        for label, gradient in zip(labels, own, strict=False):
            gradients.setdefault(label, []).append(gradient)
        theta = {}
        for label, parts in gradients.items():
            pooled = iter([sum(same) / len(same) for same in zip(*parts, strict=True)])
            before = copies[labels.index(label)].parameters()
            theta[label] = [p - rate * next(pooled) if p.requires_grad else p for p in before]
        for copy, label in zip(copies, labels, strict=True):
            if label in theta:
                copy.update_params(theta[label])
    return copies


def _vmap(function: Callable[[dict[str, Tensor], Batch], Tensor], parameters: dict, examples: Batch) -> Tensor:
    """`function` over the first dimension of both; one after the other if an operation has no batching rule."""
    try:
        return vmap(function, randomness="different")(parameters, examples)
    except RuntimeError as error:
        if "Batching rule not implemented" not in str(error):
            raise
    count = len(next(iter(examples.values())))
    picked = (
        [{name: value[i] for name, value in part.items()} for part in (parameters, examples)] for i in range(count)
    )
    return torch.stack([function(*both) for both in picked])


def _rows(value: Tensor, index: list[int]) -> Tensor:
    """`value[index]`, without a copy where that changes nothing."""
    if len(value) == 1:
        return value if len(index) == 1 else value.expand(len(index), *value.shape[1:])
    return value if index == list(range(len(value))) else value[index]


def _first(batch: Batch) -> Batch:
    return {name: value[0] for name, value in batch.items()}


def _shares(labels: Sequence[int], losses: Tensor) -> Tensor:
    """One over the size of each task's cluster: the sum of the losses with these weights is that of the means."""
    size = Counter(labels)
    return losses.new_tensor([1 / size[label] for label in labels])


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


def _check(learner: nn.Module, episode: Episode, steps: int, rate: float, second_order: bool) -> None:
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
        tasks = len(next(iter(batch.values())))
        if tasks > len(episode.tasks):
            raise InputError(f"The support has data for {tasks} tasks, but only {len(episode.tasks)} are named.")
    if not any(p.requires_grad for p in learner.parameters()):
        raise InputError("The learner has no parameter that requires a gradient; there is nothing to adapt.")
    for module in learner.modules():
        if module.training and getattr(module, "track_running_stats", False):
            raise InputError(
                f"{type(module).__name__} would change its running statistics while adapting, across tasks; call "
                "eval() on the learner or use a normalisation without them."
            )
    if second_order and steps:
        for module in learner.modules():
            kind = getattr(getattr(module, "config", None), "_attn_implementation", None) or "eager"
            if kind != "eager":
                raise InputError(
                    f"The encoder uses {kind} attention, which has no second derivative; "
                    'load it with attn_implementation="eager", or adapt with first_order=True.'
                )
