"""A learner evaluated for many tasks at once, each at the parameters of its cluster, and left as it was.

Clusters with the same number of tasks are stacked and evaluated together with `torch.func.vmap`, so that nothing is
padded and nothing is computed twice. What a task gets does not depend on the tasks beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn
from torch.autograd.graph import disable_saved_tensors_hooks
from torch.backends import cuda
from torch.func import functional_call, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from .errors import InputError
from .tasks import Batch
from .threads import threads_for

Parameters = dict[str, Tensor]
"""Parameters by the names of `learner.named_parameters()`; of several clusters, (clusters, *shape) each."""

_ONE_BY_ONE: WeakSet[nn.Module] = WeakSet()
"""Learners that `vmap` has refused."""


@dataclass
class _Tried:
    """What was found out about a learner: does it repeat itself, may tasks share a batch (None: not tried yet)?"""

    repeats: bool
    shares: bool | None = None


_TRIED: WeakKeyDictionary[nn.Module, dict[bool, _Tried]] = WeakKeyDictionary()
"""For each learner, in training mode and not."""

_TWICE: WeakKeyDictionary[nn.Module, set[bool]] = WeakKeyDictionary()
"""The learners, in training mode and not, whose gradients can be differentiated."""

_FUSED = (  # is it enabled, and its switch; `torch.nn.attention.sdpa_kernel` does the same in twenty times the time
    (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
    (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
    (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
)
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}  # how far sums differ with the shape they are computed in
_LOW_ROUNDING = 0.02  # and where anything is computed in half precision


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
    return value if index == list(range(len(value))) else value[index]


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
            raise InputError(_LACKS.format(_first_line(error))) from None
        if "use_reentrant" in str(error):
            raise InputError(_RECOMPUTES) from None
        raise


def check_second_derivative(learner: nn.Module, found: Sequence[Tensor]) -> None:
    """Raise InputError if gradients of the learner, made with `create_graph`, have no derivative, or a wrong one.

    `found` is a loss and its gradients; the first graph of a learner is looked through. torch passes over a missing
    derivative in silence where it is asked for the gradient of some tensors, and that of its weight normalisation is
    wrong.
    """
    tried = _TWICE.setdefault(learner, set())
    if learner.training in tried:
        return
    for node in _nodes(found):
        # torch 2.13: its own numerical check, gradgradcheck, fails for this one on a CPU.
        if node.name() == "WeightNormInterfaceBackward0":
            raise InputError(
                "torch's weight_norm has a second derivative that is wrong; write the norm out (g * v / v.norm(dim=1, "
                "keepdim=True)), or adapt with first_order=True."
            )
        if node.name() in ("torch::autograd::Error", "torch::autograd::NotImplemented") or _once_differentiable(node):
            raise InputError(_LACKS.format("as it says itself"))
    tried.add(learner.training)


def _once_differentiable(node: object) -> bool:
    """Is this node of a graph a function of the user's with the decorator of this name?"""
    backward = getattr(getattr(node, "_forward_cls", None), "backward", None)
    return getattr(backward, "__code__", None) is not None and "once_differentiable" in backward.__code__.co_qualname


class _Outputs(nn.Module):
    """A learner with its outputs as forward, so that `functional_call` can reach them."""

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, batch: Batch) -> Tensor:
        return self.learner.outputs(batch)


_RECOMPUTES = (
    "The learner recomputes its activations (checkpointing), which would be done with other parameters than those that "
    "it was evaluated at; switch that off, and use tasks_per_chunk where memory is short."
)

_WRITES = (
    "The learner writes to its own {} when it is evaluated, and adapting must leave the learner as it is: call eval() "
    "on it, or change its forward so that it does not."
)

_LACKS = (
    "An operation of the learner lacks a derivative ({}); write it in operations that have one, or, if the second one "
    "is missing, adapt with first_order=True."
)

_Function = Callable[..., Tensor]


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
    threads = threads_for(learner, batch)
    with _left_alone(layers, theta) as buffers, _differentiable_attention(), threads:
        function = _function(layers, module, prefix, buffers)
        apart = not _may_share(learner, function, theta, buffers, batch)
        members: dict[int, list[int]] = {}
        for task, label in enumerate(labels[:tasks]):
            members.setdefault(task if apart else label, []).append(task)
        by_size: dict[int, list[list[int]]] = {}
        for inside in members.values():
            by_size.setdefault(len(inside), []).append(inside)

        results, order = [], []
        for size, groups in by_size.items():
            index = [task for inside in groups for task in inside]
            order += index
            parameters = {
                name: rows_of(value, [labels[inside[0]] for inside in groups]) for name, value in theta.items()
            }
            examples = {
                name: rows_of(value, index).unflatten(0, (-1, size)).flatten(1, 2) for name, value in batch.items()
            }
            result = _stacked(learner, function, parameters, examples)
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


def _function(layers: _Layers, module: nn.Module, prefix: str, buffers: dict[str, Tensor]) -> _Function:
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


def _stacked(learner: nn.Module, function: _Function, parameters: Parameters, examples: Batch) -> Tensor:
    """`function` over the first dimension of both; one after the other if `vmap` refuses the learner."""
    count, refusal = len(next(iter(examples.values()))), None
    if count > 1 and learner not in _ONE_BY_ONE:
        try:
            return vmap(partial(function, stacked=True), randomness="different")(parameters, examples)
        except Exception as error:  # vmap has no exception of its own; the learner's will come again below
            refusal = error
    results = [function(_at(parameters, i), _at(examples, i)) for i in range(count)]
    if refusal is not None:
        _ONE_BY_ONE.add(learner)
        warnings.warn(
            f"The learner is evaluated cluster by cluster, which is slower: torch.func.vmap cannot take it "
            f"({_first_line(refusal)}).",
            stacklevel=2,
        )
    return torch.stack(results)


def _at(batch: dict[str, Tensor], place: int) -> dict[str, Tensor]:
    return {name: value[place] for name, value in batch.items()}


def repeats(learner: nn.Module) -> bool:
    """Whether the learner, as far as it was tried in its mode, gives the same for the same random state of torch."""
    tried = _TRIED.get(learner, {}).get(learner.training)
    return tried is None or tried.repeats


def _may_share(learner: nn.Module, function: _Function, theta: Parameters, buffers: Parameters, batch: Batch) -> bool:
    """Whether tasks may be one batch: not where a result depends on the rows beside it.

    That is so with batch normalisation by the batch's own statistics. Whether a learner does anything of the kind is
    tried once, on two tasks.
    """
    known, mode, one = _TRIED.setdefault(learner, {}), learner.training, _at(theta, 0)
    if mode not in known:
        known[mode] = _Tried(_try_out(learner, function, one, buffers, _at(batch, 0)))
    if known[mode].shares is None and len(next(iter(batch.values()))) > 1:
        known[mode].shares = _same_in_company(function, one, batch) and not any(
            isinstance(layer, nn.modules.batchnorm._BatchNorm) and not layer.track_running_stats
            for layer in learner.modules()
        )
    return known[mode].shares is not False


class _Precision(TorchDispatchMode):
    """Notes whether anything is computed in half precision."""

    low = False

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        found = function(*arguments, **(keywords or {}))
        self.low |= isinstance(found, Tensor) and found.dtype in (torch.bfloat16, torch.float16)
        return found


def _same_in_company(function: _Function, parameters: Parameters, batch: Batch) -> bool:
    """Are the results for two tasks the same in one batch and in two?"""
    n = next(iter(batch.values())).shape[1]
    with _random_state_kept(), torch.no_grad(), _Precision() as precision:
        torch.manual_seed(0)
        together = function(parameters, {name: value[:2].flatten(0, 1) for name, value in batch.items()})
        parts = []
        for task in (0, 1):
            torch.manual_seed(0)
            parts.append(function(parameters, _at(batch, task)))
    if together.shape[:1] != (2 * n,) or any(part.shape[:1] != (n,) for part in parts):
        return True  # the caller says what is wrong
    apart, together = torch.cat(parts).double(), together.double()
    if not apart.isfinite().all():
        return True  # the caller says this, too
    rounding = _LOW_ROUNDING if precision.low else _ROUNDING.get(parts[0].dtype, _LOW_ROUNDING)
    return bool((together - apart).abs().max() <= rounding * apart.abs().max())


def _try_out(learner: nn.Module, function: _Function, theta: Parameters, buffers: Parameters, examples: Batch) -> bool:
    """Raise InputError if the learner writes to itself, or does not keep its activations; else: does it repeat itself?

    The first is tried on copies. Activations that are recomputed in the backward pass would be those at ω.
    """
    own = dict(learner.named_parameters()) | theta
    copies = {name: value.detach().clone().requires_grad_(value.requires_grad) for name, value in own.items()}
    with _random_state_kept(), torch.enable_grad():
        try:
            with disable_saved_tensors_hooks(_RECOMPUTES):
                torch.ones(1, requires_grad=True).square()
            hooks: AbstractContextManager = disable_saved_tensors_hooks(_RECOMPUTES)
        except RuntimeError:  # the caller keeps tensors in a way of its own, on the processor, say
            hooks = nullcontext()
        try:
            with hooks:
                torch.manual_seed(0)
                first = function(copies, examples, stacked=True)
        except RuntimeError as error:
            if _RECOMPUTES in str(error):
                raise InputError(_RECOMPUTES) from None
            if "a leaf Variable that requires grad is being used in an in-place operation" in str(error):
                raise InputError(_WRITES.format("parameters")) from None
            raise
        _check_written([(name, copies[name], value) for name, value in own.items()])
        kept = {
            f"{path}.{name}".lstrip("."): v for path, m in learner.named_modules() for name, v in m._buffers.items()
        }
        _check_written([(name, value, kept[name]) for name, value in buffers.items()])
        if not _words_are_separate(first):
            _ONE_BY_ONE.add(learner)
        torch.manual_seed(0)
        with torch.no_grad():
            return torch.equal(first.detach(), function(copies, examples))


def _check_written(tensors: Iterable[tuple[str, Tensor, Tensor]]) -> None:
    """Raise InputError unless each (name, copy, original) is still what it was: also after a write through `.data`."""
    for name, copy, original in tensors:
        same = copy.shape == original.shape and torch.equal(copy.nan_to_num(), original.nan_to_num())
        if copy._version or not same:
            raise InputError(_WRITES.format(name))


def _words_are_separate(result: Tensor) -> bool:
    """Are all rows of padding in the graph of a result among those that are held constant?

    Raises InputError for an embedding that counts its words.
    """
    for node in _nodes([result]):
        if node.name() != "EmbeddingBackward0":
            continue
        if node._saved_scale_grad_by_freq:
            raise InputError(
                "An embedding with scale_grad_by_freq divides gradients by how often a word stands in the batch, so a "
                "task's would depend on the tasks beside it, and its second derivative is wrong (torch 2.13); leave it "
                "out."
            )
        above = node.next_functions[0][0]  # None where the weight is frozen
        if node._saved_padding_idx < 2**63 and above is not None and above.name() != "WhereBackward0":
            return False
    return True


def _nodes(found: Iterable[Tensor]) -> Iterator[Any]:
    """Every node of the graph above these tensors, once."""
    left, seen = [each.grad_fn for each in found], set()
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            left += [above for above, _ in node.next_functions]


def _random_state_kept() -> AbstractContextManager[None]:
    return torch.random.fork_rng(range(torch.cuda.device_count()))


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
            raise InputError(_WRITES.format(name))


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


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
