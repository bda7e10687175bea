"""How the runs of a study are done: by one process in a folder, on workers here or on a cluster, some of which die."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import InputError, first_line


class AtWork(InputError):
    """Another process is at work on the same study."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raises AtWork if another process has it. The system frees it however a process ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AtWork(
            f"Another process is doing the runs of {folder} now, so nothing was started here; wait until it has ended, "
            "or name another folder."
        ) from None
    except NotImplementedError as error:  # a shared folder without locks
        warnings.warn(f"{folder} cannot be locked ({error}); let only one process do its runs.", stacklevel=3)
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextmanager
def engine(scheduler: str | None) -> Iterator[None]:
    """Studies run inside go to the Dask scheduler at this address (`tcp://host:8786`); None: to this machine.

    Its workers do the runs and must see the same files; give each one thread, since the runs of a process would wait
    for one another and share torch's random numbers. Raises InputError if Dask is not installed or nobody answers.
    """
    if scheduler is None:
        yield
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise InputError("A scheduler needs Dask, which is not installed: pip install 'minimeta[cluster]'.") from None
    from joblib import parallel_config

    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"No Dask scheduler answers at {scheduler} ({first_line(error)}); start one with 'dask scheduler' and "
            "give its address."
        ) from None
    with client, parallel_config(backend="dask"):
        yield


def elsewhere() -> bool:
    """Do the runs of a study that is started now go to the workers of a Dask cluster?"""
    from joblib.parallel import get_active_backend

    return "Dask" in type(get_active_backend()[0]).__name__


def finished(tasks: Mapping[str, Any], workers: int) -> Iterator[tuple[str, str]]:
    """Do these tasks (of `joblib.delayed`), `workers` at a time; yields what each returns, its name and a complaint.

    If a worker's process dies, nobody knows at which task. The `workers` oldest that are not finished are then done
    again, each alone in a process of its own, and one that does not survive that is complained of.
    """
    from joblib import Parallel, delayed

    starter = None if elsewhere() else os.getpid()  # Dask's workers stay
    waiting = {name: delayed(_for)(starter, *task) for name, task in tasks.items()}
    while waiting:
        try:
            for done in Parallel(n_jobs=workers, return_as="generator_unordered")(list(waiting.values())):
                del waiting[done[0]]
                yield done
        except Exception as error:
            if not _worker_died(error):
                raise
            for name in list(waiting)[:workers]:
                yield _by_itself(name, waiting.pop(name))


def _for(starter: int | None, function: Callable[..., Any], args: tuple, named: dict[str, Any]) -> Any:
    """Do a task of the process `starter`; a worker that it started ends when it is gone (on Windows it goes on)."""
    if starter not in (None, os.getpid()):  # with one worker it is this process
        _end_with(starter)
    return function(*args, **named)


@cache
def _end_with(starter: int) -> None:
    """End this process when its parent does: left alone, it would go on beside those who do its runs next."""

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(0.5)
        os._exit(1)  # files are written whole or not at all

    threading.Thread(target=watch, daemon=True).start()


def _by_itself(name: str, task: Any) -> tuple[str, str]:
    """Do one task in a process of its own."""
    from joblib import Parallel

    try:
        (done,) = Parallel(n_jobs=2)([task])  # with 1 it would be this process
    except Exception as error:
        if not _worker_died(error):
            raise
        return name, (
            "its process was ended from outside, most often because memory ran out; try fewer --workers or a smaller "
            "--tasks-per-chunk."
        )
    return done


def _worker_died(error: Exception) -> bool:
    """Does joblib, or Dask, say that the process of a worker is gone?"""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"
