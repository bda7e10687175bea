"""What is found out about a learner before it is adapted: may it be, and how can it be evaluated?

Adapting evaluates a learner at parameters that are not its own, for many tasks at once, and twice differentiably. What
cannot be, or would be wrong without a word, is refused here. A learner is tried once, on copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import disable_saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from .errors import InputError
from .tasks import Batch

Parameters = dict[str, Tensor]
"""Parameters by the names of `learner.named_parameters()`; of several clusters, (clusters, *shape) each."""

Function = Callable[..., Tensor]
"""A learner as a function of parameters and of examples; `stacked` if it is called under `vmap`."""

_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}  # how far sums differ with the shape they are computed in
_LOW_ROUNDING = 0.02  # and where anything is computed in half precision

RECOMPUTES = (
    "The learner recomputes its activations (checkpointing), which would be done with other parameters than those that "
    "it was evaluated at; switch that off, and use tasks_per_chunk where memory is short."
)

WRITES = (
    "The learner writes to its own {} when it is evaluated, and adapting must leave the learner as it is: call eval() "
    "on it, or change its forward so that it does not."
)

LACKS = (
    "An operation of the learner lacks a derivative ({}); write it in operations that have one, or, if the second one "
    "is missing, adapt with first_order=True."
)


@dataclass
class Tried:
    """What is known of a learner in one mode, training or not.

    `repeats`: it gives the same for the same random state of torch; `shares`: tasks may be one batch (both None: not
    tried yet); `stacks`: `vmap` takes it; `twice`: its gradients can be differentiated.
    """

    repeats: bool | None = None
    shares: bool | None = None
    stacks: bool = True
    twice: bool = False


_TRIED: WeakKeyDictionary[nn.Module, dict[bool, Tried]] = WeakKeyDictionary()


def tried(learner: nn.Module) -> Tried:
    """What is known so far of a learner in its mode; what `vmap` refuses in one mode it does not get in the other."""
    modes = _TRIED.setdefault(learner, {})
    if learner.training not in modes:
        modes[learner.training] = Tried(stacks=all(other.stacks for other in modes.values()))
    return modes[learner.training]


def try_out(learner: nn.Module, function: Function, theta: Parameters, buffers: Parameters, batch: Batch) -> Tried:
    """What is known of a learner after it was tried on a task or two.

    Tasks may not be one batch where a result depends on the rows beside it, as with batch normalisation by the batch's
    own statistics.
    """
    found = tried(learner)
    if found.repeats is None:
        found.repeats = _repeats(learner, function, at(theta, 0), buffers, at(batch, 0))
    if found.shares is None and len(next(iter(batch.values()))) > 1:
        found.shares = _same_in_company(function, at(theta, 0), batch) and not any(
            isinstance(layer, nn.modules.batchnorm._BatchNorm) and not layer.track_running_stats
            for layer in learner.modules()
        )
    return found


def at(batch: dict[str, Tensor], place: int) -> dict[str, Tensor]:
    """One task of a batch, or one cluster of parameters; the derivative of the only one is no copy."""
    return {name: value.squeeze(0) if len(value) == 1 else value[place] for name, value in batch.items()}


def check_module(module: nn.Module, given: Sequence[tuple[str, Tensor]], second_order: bool) -> None:
    """Raise InputError if a part of a learner cannot be adapted.

    It would change as it is evaluated, or hides what it computes; or its attention does not go with a mask among the
    inputs `given` by name, or has no derivative of `second_order`.
    """
    kind = type(module).__name__
    attention = getattr(getattr(module, "config", None), "_attn_implementation", None)
    for name, value in given if attention == "eager" else ():
        if value.dtype == torch.bool and value.ndim > 4:  # of each task, (n, 1, T, T)
            raise InputError(
                f"{name} is a boolean mask for each pair of tokens, which eager attention would add to its scores; "
                "give 0 where a token may look and a very low number elsewhere, or a mask (n, T)."
            )
    if attention not in (None, "eager") and second_order:
        raise InputError(
            f"The encoder uses {attention} attention, which has no second derivative; "
            'load it with attn_implementation="eager", or adapt with first_order=True.'
        )
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


def check_second_derivative(learner: nn.Module, found: Sequence[Tensor]) -> None:
    """Raise InputError if gradients of the learner, made with `create_graph`, have no derivative, or a wrong one.

    `found` is a loss and its gradients; the first graph of a learner is looked through. torch passes over a missing
    derivative in silence where it is asked for the gradient of some tensors, and that of its weight normalisation is
    wrong.
    """
    if tried(learner).twice:
        return
    for node in _nodes(found):
        # torch 2.13: its own numerical check, gradgradcheck, fails for this one on a CPU.
        if node.name() == "WeightNormInterfaceBackward0":
            raise InputError(
                "torch's weight_norm has a second derivative that is wrong; write the norm out (g * v / v.norm(dim=1, "
                "keepdim=True)), or adapt with first_order=True."
            )
        if node.name() in ("torch::autograd::Error", "torch::autograd::NotImplemented") or _once_differentiable(node):
            raise InputError(LACKS.format("as it says itself"))
    tried(learner).twice = True


def _once_differentiable(node: object) -> bool:
    """Is this node of a graph a function of the user's with the decorator of this name?"""
    backward = getattr(getattr(node, "_forward_cls", None), "backward", None)
    return getattr(backward, "__code__", None) is not None and "once_differentiable" in backward.__code__.co_qualname


class _Precision(TorchDispatchMode):
    """Notes whether anything is computed in half precision."""

    low = False

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        found = function(*arguments, **(keywords or {}))
        self.low |= isinstance(found, Tensor) and found.dtype in (torch.bfloat16, torch.float16)
        return found


def _same_in_company(function: Function, parameters: Parameters, batch: Batch) -> bool | None:
    """Are the results for two tasks the same in one batch and in two? None where that cannot be told.

    Parameters may make them the same for now, as those of a last layer that begins at 0 do, so others are tried, too.
    """
    with _random_state_kept():
        torch.manual_seed(0)
        moved = {
            name: value + 0.1 * torch.randn_like(value) if value.is_floating_point() else value
            for name, value in parameters.items()
        }
    answers = [_same_at(function, parameters, batch), _same_at(function, moved, batch)]
    return False if False in answers else answers[0]


def _same_at(function: Function, parameters: Parameters, batch: Batch) -> bool | None:
    n = next(iter(batch.values())).shape[1]
    with _random_state_kept(), torch.no_grad(), _Precision() as precision:
        torch.manual_seed(0)
        together = function(parameters, {name: value[:2].flatten(0, 1) for name, value in batch.items()})
        parts = []
        for task in (0, 1):
            torch.manual_seed(0)
            parts.append(function(parameters, at(batch, task)))
    if together.shape[:1] != (2 * n,) or any(part.shape[:1] != (n,) for part in parts):
        return None  # the caller says what is wrong
    apart, together = torch.cat(parts).double(), together.double()
    if not apart.isfinite().all():
        return None  # the caller says this, too
    rounding = _LOW_ROUNDING if precision.low else _ROUNDING.get(parts[0].dtype, _LOW_ROUNDING)
    return bool((together - apart).abs().max() <= rounding * apart.abs().max())


def _repeats(learner: nn.Module, function: Function, theta: Parameters, buffers: Parameters, examples: Batch) -> bool:
    """Raise InputError if the learner writes to itself, or does not keep its activations; else: does it repeat itself?

    The first is tried on copies. Activations that are recomputed in the backward pass would be those at ω.
    """
    own = dict(learner.named_parameters()) | theta
    copies = {name: value.detach().clone().requires_grad_(value.requires_grad) for name, value in own.items()}
    with _random_state_kept(), torch.enable_grad():
        try:
            with disable_saved_tensors_hooks(RECOMPUTES):
                torch.ones(1, requires_grad=True).square()
            hooks: AbstractContextManager = disable_saved_tensors_hooks(RECOMPUTES)
        except RuntimeError:  # the caller keeps tensors in a way of its own, on the processor, say
            hooks = nullcontext()
        try:
            with hooks:
                torch.manual_seed(0)
                first = function(copies, examples, stacked=True)
        except RuntimeError as error:
            if RECOMPUTES in str(error):
                raise InputError(RECOMPUTES) from None
            if "a leaf Variable that requires grad is being used in an in-place operation" in str(error):
                raise InputError(WRITES.format("parameters")) from None
            raise
        _check_written([(name, copies[name], value) for name, value in own.items()])
        _check_written([(name, value, learner.get_buffer(name)) for name, value in buffers.items()])
        if not _words_are_separate(first):
            tried(learner).stacks = False
        torch.manual_seed(0)
        with torch.no_grad():
            return torch.equal(first.detach(), function(copies, examples))


def _check_written(tensors: Iterable[tuple[str, Tensor, Tensor]]) -> None:
    """Raise InputError unless each (name, copy, original) is still what it was: also after a write through `.data`."""
    for name, copy, original in tensors:
        same = copy.shape == original.shape and torch.equal(copy.nan_to_num(), original.nan_to_num())
        if copy._version or not same:
            raise InputError(WRITES.format(name))


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
