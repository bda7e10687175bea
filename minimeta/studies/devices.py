"""Where encoders compute: on a GPU, a free one for each process where there are several, or on the processor."""

from __future__ import annotations

import os
import re
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError

_held: dict[int, Any] = {}  # the GPU that this process has taken, by number, and its lock


def check(device: str | None) -> None:
    """Raise InputError if this is no name of a device; None is whatever is best where a run is done."""
    if device is not None and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise InputError(f"Unknown device {device!r}; name cpu, mps, cuda (any GPU) or one GPU, cuda:0 or cuda:1 say.")


def here(device: str | None) -> str:
    """The device of this process for `device`, which may leave it open; raises InputError if it is not there.

    Without a name, or with "cuda" alone, a process takes a GPU that no other one has taken so and keeps it to its end.
    """
    check(device)
    if device == "cpu":
        return device
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise InputError("There is no Apple GPU here, so nothing can be computed on mps; name another --device.")
        return device
    gpus = _gpus()
    if not gpus:
        if device is not None:
            raise InputError(f"There is no GPU here, so nothing can be computed on {device}; name --device cpu.")
        return "cpu"
    asked = re.findall(r"\d+", device or "")
    if asked and int(asked[0]) >= gpus:
        there = "cuda:0" + f" to cuda:{gpus - 1}" * (gpus > 1)
        raise InputError(f"There is no {device} here; the GPUs are {there}.")
    if not asked and gpus == 1:
        return "cuda"
    number = int(asked[0]) if asked else _free(gpus)
    torch.cuda.set_device(number)  # nothing then lies on the first GPU by default
    return f"cuda:{number}"


def words(device: str | None, workers: int = 1) -> str:
    """What `here` chooses for so many workers, in a sentence."""
    gpus = _gpus()
    if device in (None, "cuda") and gpus > 1:
        return f"computing on {min(gpus, workers)} of {gpus} GPUs, a free one for each worker"
    if device is None and not gpus:
        apple = " but Apple's: --device mps" if torch.backends.mps.is_available() else ""
        return f"computing on cpu (no GPU found{apple})"
    return f"computing on {here(device)}"


def _gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _free(gpus: int) -> int:
    """The number of the GPU that this process has, or takes now: one that fewest processes of this user have taken.

    A GPU that is taken is a locked file of its name on this machine, which the system frees however a process ends.
    """
    from filelock import FileLock, Timeout

    folder = Path(tempfile.gettempdir()) / f"minimeta-gpus-{getattr(os, 'getuid', int)()}"
    for turn in count() if not _held else ():
        for number in range(gpus):
            lock = FileLock(folder / f"{torch.cuda.get_device_properties(number).uuid}-{turn}.lock")
            try:
                folder.mkdir(exist_ok=True)
                lock.acquire(timeout=0)
            except Timeout:
                continue
            except (OSError, NotImplementedError):  # no place for locks: spread them by chance
                return os.getpid() % gpus
            _held[number] = lock
            return number
    return next(iter(_held))
