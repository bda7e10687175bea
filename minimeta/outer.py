"""The outer loop: meta-training as an iterator of per-step reports, and evaluation on episodes."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .clusters import task_outputs
from .compiled import Compiled
from .errors import InputError
from .grouping import Grouping
from .inner import InnerLoop, Learner, evaluating, everything, is_finite, query_labels, trainable
from .tasks import Episode, Sampler
from .threads import one_at_a_time, threads_for


@dataclass(frozen=True)
class Report:
    """One outer step: its number (from 1), the mean query loss before the update, the inner steps, the time.

    `support_losses[k]` (m,) and `clusters[k]` belong to inner step k + 1 (see `inner.InnerStep`).
    """

    step: int
    outer_loss: float
    support_losses: list[Tensor]
    clusters: list[list[int]]
    seconds: float


class meta_train:
    """Meta-train the learner's parameters ω in place; iterate over it to run it, a `Report` per outer step.

    Every outer step draws an episode, adapts for `steps` inner steps with `inner_rate` (see `inner.adapt`), and
    takes an Adam step with `outer_rate` on the mean query loss (TreeMAML, Algorithm 1); `linear_decay` lowers the
    outer rate to 0 over `outer_steps`. `weight_decay` is decoupled from the gradient (AdamW, Loshchilov and Hutter
    2019): as a part of it, Adam would scale it up to a whole outer rate in weights that no example uses. `steps=0` is
    ordinary joint training on the query data. `first_order` leaves the second derivatives out, and `tasks_per_chunk`
    bounds the memory (see `gradient.meta_gradient`); `moves` chooses what inner steps move (see `inner.InnerLoop`).
    `compile` says how the meta-gradient is computed, with the same result to rounding (see `compiled`).

    It is an iterator of `Report`s and not a generator function, so that it can be interrupted anywhere and
    iterated again: an outer step is finished or has not happened, and the next one goes on from there. `last` is the
    report of the last finished step, also of one that Ctrl-C kept from being given. Raises InputError if a loss or the
    meta-gradient is not finite; ω is then that of the step before.
    """

    def __init__(
        self,
        learner: nn.Module,
        sampler: Sampler,
        grouping: Grouping,
        steps: int,
        inner_rate: float,
        outer_steps: int,
        outer_rate: float = 1e-3,
        weight_decay: float = 0.0,
        linear_decay: bool = False,
        first_order: bool = False,
        tasks_per_chunk: int | None = None,
        moves: Callable[[str], bool] = everything,
        compile: str | None = "auto",
    ) -> None:
        if outer_steps < 0:
            raise InputError(f"The number of outer steps is {outer_steps}; it must be 0 or more.")
        self.learner, self.sampler = learner, sampler
        self.loop = InnerLoop(grouping, steps, inner_rate, first_order, tasks_per_chunk, moves)
        self.outer_steps, self.step = outer_steps, 0
        self.compiled = Compiled(compile, outer_steps)
        self.memory = getattr(grouping, "memory", None)
        self.last: Report | None = None
        with one_at_a_time:
            self.parameters = list(trainable(learner).values())
        for name, value in (("outer rate", outer_rate), ("weight decay", weight_decay)):
            if not 0 <= value < math.inf:
                raise InputError(f"The {name} is {value}; it must be a finite number, 0 or more.")
        self.optimizer = torch.optim.AdamW(self.parameters, lr=outer_rate, weight_decay=weight_decay, fused=True)
        decay = (lambda step: 1 - step / max(outer_steps, 1)) if linear_decay else (lambda step: 1.0)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, decay)

    def __len__(self) -> int:
        return self.outer_steps - self.step

    def __iter__(self) -> meta_train:
        return self

    def __next__(self) -> Report:
        if self.step >= self.outer_steps:
            raise StopIteration
        start = time.perf_counter()
        episode = self.sampler(self.step)
        with threads_for(self.learner, episode):
            return self._step(episode, start)

    def _step(self, episode: Episode, start: float) -> Report:
        """The outer step on this episode, begun at that time."""
        loss, gradients, record = self.compiled.meta_gradient(self.learner, episode, self.loop)
        if not is_finite(loss):
            raise InputError(
                f"The outer loss is {loss.item()} at outer step {self.step + 1}; lower the inner rate (now "
                f"{self.loop.rate:g}) or the outer rate. The parameters are those of the step before."
            )
        if not all(map(is_finite, gradients)):
            raise InputError(
                f"The meta-gradient at outer step {self.step + 1} is not finite; lower the inner rate (now "
                f"{self.loop.rate:g}) or look for bad values in the data. The parameters are those of the step before."
            )
        with _interrupts_after():
            self._update(gradients)
            if self.memory is not None:
                self.memory.remember()
            self.last = Report(
                self.step,
                loss.item(),
                [inner.losses for inner in record],
                [inner.labels for inner in record],
                time.perf_counter() - start,
            )
        return self.last

    def _update(self, gradients: Sequence[Tensor]) -> None:
        """One optimiser step."""
        try:
            for p, gradient in zip(self.parameters, gradients, strict=True):
                p.grad = gradient
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
        finally:
            for p in self.parameters:  # the next step needs the memory
                p.grad = None


@contextmanager
def _interrupts_after() -> Iterator[None]:
    """Ctrl-C inside is raised at the end: what happens inside happens whole."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if came:
        signal.raise_signal(signal.SIGINT)


@dataclass(frozen=True)
class Evaluation:
    """What an adapted learner says on one episode's query: its tasks, `losses` and `outputs` (m_q, n_v, ...)."""

    tasks: tuple[str, ...]
    losses: Tensor
    outputs: Tensor


def evaluate(
    learner: Learner,
    episodes: Iterable[Episode],
    grouping: Grouping,
    steps: int,
    inner_rate: float,
    tasks_per_chunk: int | None = None,
    moves: Callable[[str], bool] = everything,
    compile: str | None = None,
) -> Iterator[Evaluation]:
    """Adapt to each episode's support and score its query, in eval mode; ω stays as it is.

    `compile` says how inner steps are computed (see `compiled`); "auto" does not compile them. Raises InputError where
    `inner.adapt` does, and if an output is not finite.
    """
    loop = InnerLoop(grouping, steps, inner_rate, False, tasks_per_chunk, moves)
    compiled = Compiled(compile)
    for episode in episodes:
        with threads_for(learner, episode), evaluating(learner), torch.no_grad():
            adapted = compiled.adapt(learner, episode, loop)
            labels = query_labels(adapted, episode)
            outputs = task_outputs(learner, adapted.parameters, labels, episode.query)
            losses = learner.loss(outputs.flatten(0, 1), episode.query["y"].flatten(0, 1))
        if not is_finite(outputs):
            raise InputError(
                f"The outputs for {episode.tasks[-1]} are not finite after {steps} inner steps; lower the inner rate "
                f"(now {inner_rate:g})."
            )
        losses = losses.reshape(outputs.shape[:2])
        yield Evaluation(episode.tasks[-len(labels) :], losses, outputs)
