"""How this process computes: small products with one of torch's threads, and one of Python's threads at a time.

Threads that share a product wait for one another. On small products that costs more than it gives, and beside another
busy process many times more: a notebook of 30 seconds took minutes. So the number is chosen by the size of the work,
not by that of the machine.

While a learner computes, its parameters are exchanged (`torch.func.functional_call`) and torch's switches are turned,
for all threads that look. Two at once can leave the learner with the other's parameters for good. JupyterLab brings
this about: it answers a widget in another thread than the one that runs cells. What this package computes waits for its
turn; a cell's own plain pass through the same learner does not, nor does one that draws from torch's global generator.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import nn

from .tasks import Batch, Episode

LARGE = 10**10
"""Multiply-adds in one pass from which on threads are worth it: some tenths of a second on one core."""


def processors() -> int:
    """How many processors this process may use; 4 where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, if the C library is glibc; others are left as they are.

    glibc gives the memory of large tensors back and gets it anew, page by page. In a step of a 2 M parameter head that
    took a fifth to a third of the time (`tests/benchmarks/RESULTS.md`). It is set for the whole process, so it is for
    processes of our own, and not for a reader's.
    """
    trim_threshold, mmap_threshold = -1, -3  # glibc's names, in capitals, of these parameters
    with suppress(AttributeError, OSError, TypeError):  # another library, or none to be had
        set_parameter = ctypes.CDLL(None).mallopt
        set_parameter(trim_threshold, 2**31 - 1)
        set_parameter(mmap_threshold, 2**25)  # the most that it takes: larger ones are given back as before


one_at_a_time = threading.RLock()
"""Held by whoever computes with a learner, reads its parameters or cuts texts into tokens."""


@contextmanager
def threads_for(module: nn.Module, data: Batch | Episode) -> Iterator[None]:
    """Inside, only this one of Python's threads computes, the others wait; torch has one thread if the work is small.

    It is small if a pass of the largest batch through `module` is, see `is_small`; else torch has as many as it had.
    """
    with one_at_a_time:
        threads = torch.get_num_threads()
        if threads == 1 or not is_small(module, data):
            yield
            return
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def is_small(module: nn.Module, data: Batch | Episode) -> bool:
    """Has a pass of the largest batch through `module` fewer than LARGE multiply-adds?

    It has about one for each parameter and each row of the inputs; a row is a token or a vector.
    """
    batches = (*data.support, data.query) if isinstance(data, Episode) else (data,)
    rows = [
        value.numel() // (value.shape[-1] if value.is_floating_point() and value.ndim else 1)
        for batch in batches
        for value in batch.values()
        if value.numel()
    ]
    return max(rows, default=0) * sum(p.numel() for p in module.parameters()) < LARGE
