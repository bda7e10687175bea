"""A learner evaluated for many tasks at once, each at the parameters of its cluster, and left as it was.

Clusters with the same number of tasks are stacked and evaluated together with `torch.func.vmap`, so that nothing is
padded and nothing is computed twice. What a task gets does not depend on the tasks beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.backends import cuda
from torch.func import functional_call, vmap

from .errors import InputError, first_line
from .tasks import Batch
from .threads import threads_for
from .trial import LACKS, RECOMPUTES, WRITES, Function, Parameters, Tried, at, try_out

_FUSED = (  # is it enabled, and its switch; `torch.nn.attention.sdpa_kernel` does the same in twenty times the time
    (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
    (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
    (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
)


def task_losses(learner: nn.Module, theta: Parameters, labels: Sequence[int], batch: Batch) -> Tensor:
    """The loss of every example, (tasks, n), each task at the parameters of its cluster.

    `theta[name]` is (clusters, *shape) and `batch` tensors are (tasks, n, ...). Raises InputError if the learner does
    not give one loss per example, or writes to its own parameters or buffers.
    """
    losses = _by_cluster(learner, learner, "", theta, labels, batch)
    if losses.ndim != 2:
        raise InputError(
            f"The learner gave losses of shape {tuple(losses.shape[1:])} for {losses.shape[1]} examples; it must give "
            "one loss per example, (n,)."
        )
    return losses


def task_outputs(learner: nn.Module, theta: Parameters, labels: Sequence[int], batch: Batch) -> Tensor:
    """The learner's outputs for every example, (tasks, n, ...), each task at the parameters of its cluster."""
    return _by_cluster(learner, _Outputs(learner), "learner.", theta, labels, batch)


def rows_of(value: Tensor, index: list[int]) -> Tensor:
    """`value[index]`, without a copy where that changes nothing."""
    if len(value) == 1:
        return value if len(index) == 1 else value.expand(len(index), *value.shape[1:])
    if index == list(range(len(value))):
        return value
    return _stack(value.unbind(), index) if value.requires_grad else value[index]


class _Stack(torch.autograd.Function):
    """`torch.stack`, whose second derivative by torch would fill a tensor of zeros for each row, and add them up."""

    @staticmethod
    def forward(ctx: Any, *rows: Tensor) -> Tensor:
        return torch.stack(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Sequence[Tensor]:
        return gradient.unbind()


def _stack(rows: Sequence[Tensor], index: Sequence[int]) -> Tensor:
    """Some rows of an `unbind` as one tensor, without a copy of a single one.

    `value[index]` has the same fault as `torch.stack`, in its first derivative.
    """
    return rows[index[0]].unsqueeze(0) if len(index) == 1 else _Stack.apply(*(rows[i] for i in index))


def chunks(batch: Batch, tasks_per_chunk: int | None) -> list[slice]:
    """The tasks of a batch, so many at a time; all of them at once for None."""
    tasks = len(next(iter(batch.values())))
    return [slice(start, start + (tasks_per_chunk or tasks)) for start in range(0, tasks, tasks_per_chunk or tasks)]


def add_rows(total: Tensor, index: list[int], rows: Tensor, factor: float = 1.0) -> None:
    """Add `factor` times each of `rows` to the row of `total` with its index, in place."""
    total.index_add_(0, torch.tensor(index, device=total.device), rows, alpha=factor)


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    vectors: Sequence[Tensor] | None = None,
    create_graph: bool = False,
) -> Sequence[Tensor]:
    """`torch.autograd.grad`, zeros for inputs that nothing depends on.

    Raises InputError where there is no derivative.
    """
    if isinstance(outputs, Tensor) and not outputs.requires_grad:
        raise InputError(
            "The loss does not depend on any parameter that is adapted, or not by operations with a derivative "
            "(argmax has none); there is nothing to adapt."
        )
    try:
        return torch.autograd.grad(outputs, inputs, vectors, create_graph=create_graph, materialize_grads=True)
    except RuntimeError as error:
        if "derivative" in str(error) or "automatic differentiation" in str(error):
            raise InputError(LACKS.format(first_line(error))) from None
        if "use_reentrant" in str(error):
            raise InputError(RECOMPUTES) from None
        raise


class _Outputs(nn.Module):
    """A learner with its outputs as forward, so that `functional_call` can reach them."""

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, batch: Batch) -> Tensor:
        return self.learner.outputs(batch)


def _by_cluster(
    learner: nn.Module, module: nn.Module, prefix: str, theta: Parameters, labels: Sequence[int], batch: Batch
) -> Tensor:
    """Apply `module`, which is the learner or holds it under `prefix`, to every task: (tasks, n, ...)."""
    if torch.is_inference_mode_enabled() or any(map(torch.is_inference, [*learner.parameters(), *batch.values()])):
        raise InputError(
            "Adapting takes gradients, and torch.inference_mode() allows none, not even later of what was made in it; "
            "use torch.no_grad()."
        )
    tasks, n = next(iter(batch.values())).shape[:2]
    layers = [(f"{path}." if path else "", layer) for path, layer in learner.named_modules()]
    with threads_for(learner, batch), _left_alone(layers, theta) as buffers, _differentiable_attention():
        function = _function(layers, module, prefix, buffers)
        known = try_out(learner, function, theta, buffers, batch)
        apart = known.shares is False
        members: dict[int, list[int]] = {}
        for task, label in enumerate(labels[:tasks]):
            members.setdefault(task if apart else label, []).append(task)
        by_size: dict[int, list[list[int]]] = {}
        for inside in members.values():
            by_size.setdefault(len(inside), []).append(inside)

        graph = torch.is_grad_enabled() and len(by_size) > 1
        rows = {name: value.unbind() for name, value in theta.items()} if graph else {}
        results, order = [], []
        for size, groups in by_size.items():
            index = [task for inside in groups for task in inside]
            order += index
            clusters = [labels[inside[0]] for inside in groups]
            parameters = {
                name: _stack(rows[name], clusters) if rows else rows_of(value, clusters)
                for name, value in theta.items()
            }
            examples = {
                name: rows_of(value, index).unflatten(0, (-1, size)).flatten(1, 2) for name, value in batch.items()
            }
            result = _stacked(known, function, parameters, examples)
            if result.shape[:2] != (len(groups), size * n):
                raise InputError(
                    f"The learner gave a result of shape {tuple(result.shape[1:])} for {size * n} examples; "
                    "it must give one loss per example (use a loss with reduction='none')."
                )
            results.append(result.reshape(len(index), n, *result.shape[2:]))
    if len(results) == 1 and order == list(range(tasks)):
        return results[0]
    return torch.cat(results)[torch.tensor(order, device=results[0].device).argsort()]


_Layers = list[tuple[str, nn.Module]]
"""All modules of a learner, each once, with the beginning of their parameters' names."""


def _function(layers: _Layers, module: nn.Module, prefix: str, buffers: dict[str, Tensor]) -> Function:
    """`module` as a function of the learner's parameters and of examples."""
    # A parameter may be used by several layers, and a layer may stand at several places. Each layer's own parameters
    # are exchanged once: `functional_call` would exchange those of a layer at two places twice, and put back the wrong
    # ones (torch 2.13).
    first: dict[Tensor, str] = {}
    places, padding = [], {}
    for path, layer in layers:
        for name, value in layer._parameters.items():
            if value is not None:
                places.append((prefix + path + name, first.setdefault(value, path + name)))
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
            padding[f"{prefix}{path}weight"] = layer.padding_idx
    fixed = {prefix + name: value for name, value in buffers.items()}

    def call(parameters: Parameters, examples: Batch, stacked: bool = False) -> Tensor:
        given = {place: parameters[name] for place, name in places if name in parameters}
        for place in padding.keys() & given.keys() if stacked else ():
            # The row of padding is not learned, and under vmap torch spares that of the first cluster alone.
            given[place] = _constant_row(given[place], padding[place])
        return functional_call(module, given | fixed, (examples,), tie_weights=False)

    return call


def _constant_row(weight: Tensor, row: int) -> Tensor:
    """The same numbers, but no gradient reaches one row."""
    constant = torch.arange(len(weight), device=weight.device) == row
    return torch.where(constant[:, None], weight.detach(), weight)


def _stacked(known: Tried, function: Function, parameters: Parameters, examples: Batch) -> Tensor:
    """`function` over the first dimension of both; one after the other if `vmap` refuses the learner."""
    count, refusal = len(next(iter(examples.values()))), None
    if count > 1 and known.stacks:
        try:
            return vmap(partial(function, stacked=True), randomness="different")(parameters, examples)
        except Exception as error:  # vmap has no exception of its own; the learner's will come again below
            refusal = error
    results = [function(at(parameters, i), at(examples, i)) for i in range(count)]
    if refusal is not None:
        known.stacks = False
        warnings.warn(
            f"The learner is evaluated cluster by cluster, which is slower: torch.func.vmap cannot take it "
            f"({first_line(refusal)}).",
            stacklevel=2,
        )
    return torch.stack(results)


@contextmanager
def _left_alone(layers: _Layers, theta: Parameters) -> Iterator[dict[str, Tensor]]:
    """Copies of the learner's buffers to compute with; raises InputError if they or parameters were written to."""
    parameters, buffers = [], {}
    for path, layer in layers:
        parameters += [(path + name, value) for name, value in layer._parameters.items() if value is not None]
        buffers |= {path + name: value.clone() for name, value in layer._buffers.items() if value is not None}
    watched = [*buffers.items(), *parameters, *theta.items()]
    before = [value._version for _, value in watched]
    yield buffers
    for (name, value), version in zip(watched, before, strict=True):
        if value._version != version:
            raise InputError(WRITES.format(name))


@contextmanager
def _differentiable_attention() -> Iterator[None]:
    """Attention in plain operations: torch's fused ones have no second derivative, or no rule for `vmap`."""
    fast = torch.backends.mha.get_fastpath_enabled()
    fused = [enabled() for enabled, _ in _FUSED]
    torch.backends.mha.set_fastpath_enabled(False)
    for _, enable in _FUSED:
        enable(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for was, (_, enable) in zip(fused, _FUSED, strict=True):
            enable(was)
