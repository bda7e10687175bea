"""The same as `inner.adapt` one task at a time, through the library `higher`: slow, and written another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .clusters import gradients
from .errors import InputError
from .grouping import Grouping, regroup
from .inner import InnerLoop, check, everything, support_at
from .sketch import sketch
from .tasks import Episode
from .trial import check_second_derivative


def adapt_with_higher(
    learner: nn.Module,
    episode: Episode,
    grouping: Grouping,
    steps: int,
    rate: float,
    moves: Callable[[str], bool] = everything,
) -> list[nn.Module]:
    """Second order, as `inner.adapt`: one functional copy of the learner per task; call it with a batch for its losses.

    Raises InputError where `inner.adapt` does, and for a learner with hooks, which `higher` leaves out.
    """
    import higher

    loop = InnerLoop(grouping, steps, rate, moves=moves)
    check(learner, episode, loop, differentiable=True)
    if any(module._forward_hooks or module._forward_pre_hooks for module in learner.modules()):
        raise InputError("The library higher leaves hooks out; take those of the learner away, or use `adapt`.")
    copies = [higher.monkeypatch(learner, copy_initial_weights=False) for _ in episode.tasks]
    chosen = loop.moved(learner)
    moved = [name in chosen for name, _ in learner.named_parameters()]
    labels = [0] * len(copies)
    for k in range(1, steps + 1):
        support = support_at(episode, k)
        own: list[Sequence[Tensor]] = []
        for copy, task in zip(copies, range(len(next(iter(support.values())))), strict=False):
            loss = copy({name: value[task] for name, value in support.items()}).mean()
            own.append(
                gradients(loss, [p for p, moves in zip(copy.parameters(), moved, strict=True) if moves], None, True)
            )
            check_second_derivative(learner, [loss, *own[-1]])

        def sketches(own: list[Sequence[Tensor]] = own) -> np.ndarray:
            return sketch([torch.stack(part) for part in zip(*own, strict=True)])

        labels, _, weights = regroup(grouping, k, episode.tasks, labels, sketches, len(own))
        pooled: dict[int, list[Tensor]] = {}
        for label, weight, parts in zip(labels, weights, own, strict=False):
            counted = [weight * part for part in parts]
            pooled[label] = [a + b for a, b in zip(pooled[label], counted, strict=True)] if label in pooled else counted
        theta = {}
        for label, parts in pooled.items():
            left, before = iter(parts), copies[labels.index(label)].parameters()
            theta[label] = [p - rate * next(left) if moves else p for p, moves in zip(before, moved, strict=True)]
        for copy, label in zip(copies, labels, strict=True):
            if label in theta:
                copy.update_params(theta[label])
    return copies
