"""A task's gradient as a short vector, for groupings that look at gradients (TreeMAML, eq. 8)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from .clusters import chunks, gradients, rows_of, task_losses
from .tasks import Batch

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
    for some in chunks(batch, count):
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
    sizes = [part[0].numel() for part in parts]
    wide = torch.promote_types(parts[0].dtype, torch.float32)  # numpy has no bfloat16
    parts = [part.detach().cpu() for part in parts]
    if sum(sizes) <= SKETCH:
        return torch.cat([part.flatten(1).to(wide) for part in parts], dim=1).numpy()
    folded, signed = torch.zeros(len(parts[0]), SKETCH, dtype=wide), torch.empty(max(sizes), dtype=wide)
    for part, place, sign in zip(parts, *(drawn.split(sizes) for drawn in _places(sum(sizes))), strict=True):
        # Row by row in the same little memory: copies of all rows would take longer than to fold them.
        row = signed[: len(place)]
        for own, sums in zip(part, folded, strict=True):
            torch.mul(own, sign.view(own.shape), out=row.view(own.shape))
            sums.scatter_add_(0, place, row)
    return folded.numpy()


@lru_cache(maxsize=2)
def _places(size: int) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(size)
    place = torch.randint(SKETCH, (size,), generator=drawn)
    return place, (2 * torch.randint(2, (size,), generator=drawn) - 1).float()
