"""Methods that take turns: the seconds and the gradient of each, and what was promised of them.

CPU time of one thread; on a GPU wall time, each reading after all its work is done. In each repetition the methods take
turns, and each runs for about a fifth of a second, several calls in a row as in training, after one that is not timed.
So what disturbs the machine disturbs them all. What counts is the median over the repetitions.
"""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

Method = Callable[[], Sequence[Tensor]]
"""Computes a meta-gradient: a tensor for each parameter."""


class Timed(Protocol):
    """A method wherever it runs."""

    def gradient(self) -> Tensor:
        """All of the gradient as one vector, in float64."""

    def seconds(self, calls: int) -> float:
        """The seconds that so many calls take, added up."""


@dataclass(frozen=True)
class Here:
    """A method that runs in this process."""

    method: Method
    device: str

    def gradient(self) -> Tensor:
        return torch.cat([part.detach().flatten() for part in self.method()]).double().cpu()

    def seconds(self, calls: int) -> float:
        gc.collect()
        start = self._now()
        for _ in range(calls):
            self.method()
        return self._now() - start

    def _now(self) -> float:
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def measure(methods: Mapping[str, Timed], repeats: int, slot: float = 0.2) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a call of each method (median), and how far its gradient is from the first one's, relative to that."""
    errors, calls, reference = {}, {}, None
    for name, method in methods.items():
        method.gradient()  # a first call builds what later ones use
        gradient = method.gradient()
        calls[name] = max(1, round(slot / max(method.seconds(1), 1e-6)))
        reference = gradient if reference is None else reference
        errors[name] = ((gradient - reference).norm() / reference.norm()).item()
    found: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(repeats):
        for name, method in methods.items():
            if calls[name] > 1:
                method.seconds(1)
            found[name].append(method.seconds(calls[name]) / calls[name])
    return {name: statistics.median(values) for name, values in found.items()}, errors


def table(
    seconds: Mapping[str, float],
    errors: Mapping[str, float],
    base: str,
    without_gradient: Sequence[str] = (),
    left_out: Mapping[str, str] | None = None,
) -> None:
    """Print a row for each method as Markdown: ms, how many times as fast as `base`, how far the gradient is off.

    Those `without_gradient` compute another one on purpose. Those `left_out` are named below, with the reason.
    """
    first = next(iter(seconds))
    print(f"\n| | ms | × {base} | gradient differs by |\n|---|---|---|---|")
    for name, value in seconds.items():
        error = "" if name in (first, *without_gradient) else f"{errors[name]:.1e}"
        print(f"| {name} | {1e3 * value:.2f} | {seconds[base] / value:.2f} | {error} |")
    print()
    for name, reason in (left_out or {}).items():
        print(f"not compared: {name}: {reason}")


@dataclass(frozen=True)
class Promise:
    """What must show: `measured` is at least `bound`, or with `at_most` at most; None if it was not measured."""

    what: str
    measured: float | None
    bound: float
    at_most: bool = False

    @property
    def missed(self) -> bool:
        """Whether it was measured and is not kept."""
        if self.measured is None:
            return False
        return not (self.measured <= self.bound if self.at_most else self.measured >= self.bound)

    def __str__(self) -> str:
        verdict = "not measured" if self.measured is None else "MISSED" if self.missed else "met"
        figure = "" if self.measured is None else f"{self.measured:.3g}, "
        return f"{self.what}: {figure}promised {'≤' if self.at_most else '≥'} {self.bound:g}: {verdict}"


def machine() -> str:
    """The versions, the processor and the date, for the record."""
    cpu, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.open() if line.startswith("model name")), cpu)
    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} thread, {cpu}, "
        f"{time.strftime('%Y-%m-%d')}"
    )
