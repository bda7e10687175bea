"""One second-order meta-gradient of MAML on sinusoids: minimeta against `higher`, TorchOpt and the floor.

    python tests/benchmarks/bench_sinusoid.py [--repeats 15]

The network is 1-40-40-1 with ReLU, the episode has 32 tasks with 10 shots and 10 query points, and K = 5 inner steps.
Every method computes the gradient of the mean query loss with respect to the initial parameters, in the way its own
examples do it. The floor is K + 1 plain forward and backward passes of the same 320 examples through one network.

CPU time of one thread. In each repetition the methods take turns; each runs for about a fifth of a second, several
meta-gradients in a row as in training, after one that is not timed. The table gives the median over the repetitions
and its ratio to minimeta's. The exit status is 1 if a gradient differs by more than 1e-5 (relative), or if minimeta is
less than 10 times as fast as the usual loop with `higher` or less than 7 times as fast as the usual loop with TorchOpt.
Two more rows are for information: `higher` with one functional copy for all tasks, and vmap over grad, written by hand
with torch.func.

TorchOpt is not a dependency of minimeta: `pip install 'minimeta[bench]'`.
"""

import argparse
import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import higher
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from minimeta.grouping import alone
from minimeta.inner import Learner, adapt, query_losses, squared_error
from minimeta.tasks import sinusoids

TASKS, SHOTS, STEPS, RATE = 32, 10, 5, 0.01
REQUIRED = {"higher, innerloop_ctx": 10.0, "TorchOpt, MetaSGD": 7.0}
TOLERANCE = 1e-5

Method = Callable[[], tuple[Tensor, ...]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"Sinusoids: {TASKS} tasks, {SHOTS} shots, K = {STEPS}, second order; {repeats} repetitions")
    print(machine())
    return report(*measure(methods(), repeats), REQUIRED, TOLERANCE)


def methods() -> dict[str, Method]:
    """Each way to compute the meta-gradient; the first one is minimeta, the last one the floor."""
    import torchopt

    net = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    omega = tuple(net.parameters())
    episode = sinusoids(TASKS, SHOTS, SHOTS)(0)
    support, query = episode.support[0], episode.query
    tasks = list(zip(support["x"], support["y"], query["x"], query["y"], strict=True))

    learner, grouping = Learner(net, squared_error), alone()

    def minimeta() -> tuple[Tensor, ...]:
        adapted = adapt(learner, episode, grouping, STEPS, RATE)
        return torch.autograd.grad(query_losses(learner, adapted, episode).mean(), omega)

    inner = torch.optim.SGD(net.parameters(), lr=RATE)

    def higher_loop() -> tuple[Tensor, ...]:
        # A backward pass per task, as in higher's own examples: less memory, and faster, than one at the end.
        net.zero_grad()
        for x, y, query_x, query_y in tasks:
            with higher.innerloop_ctx(net, inner, copy_initial_weights=False) as (functional, optimizer):
                for _ in range(STEPS):
                    optimizer.step(mse_loss(functional(x), y))
                (mse_loss(functional(query_x), query_y) / TASKS).backward()
        return tuple(p.grad for p in omega)

    def higher_one_copy() -> tuple[Tensor, ...]:
        net.zero_grad()
        functional = higher.monkeypatch(net, copy_initial_weights=False)
        for x, y, query_x, query_y in tasks:
            theta = omega
            for _ in range(STEPS):
                gradients = torch.autograd.grad(mse_loss(functional(x, params=theta), y), theta, create_graph=True)
                theta = [p - RATE * g for p, g in zip(theta, gradients, strict=True)]
            (mse_loss(functional(query_x, params=theta), query_y) / TASKS).backward()
        return tuple(p.grad for p in omega)

    meta_sgd = torchopt.MetaSGD(net, lr=RATE)

    def torchopt_loop() -> tuple[Tensor, ...]:
        before = torchopt.extract_state_dict(net, by="reference", detach_buffers=True)
        optimizer_before = torchopt.extract_state_dict(meta_sgd, by="reference")
        losses = []
        for x, y, query_x, query_y in tasks:
            for _ in range(STEPS):
                meta_sgd.step(mse_loss(net(x), y))
            losses.append(mse_loss(net(query_x), query_y))
            torchopt.recover_state_dict(net, before)
            torchopt.recover_state_dict(meta_sgd, optimizer_before)
        return torch.autograd.grad(torch.stack(losses).mean(), omega)

    names = [name for name, _ in net.named_parameters()]

    def loss(theta: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return mse_loss(torch.func.functional_call(net, theta, (x,)), y)

    def one_task(theta: dict[str, Tensor], x: Tensor, y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        for _ in range(STEPS):
            gradients = torch.func.grad(loss)(theta, x, y)
            theta = {name: p - RATE * gradients[name] for name, p in theta.items()}
        return loss(theta, query_x, query_y)

    def by_hand() -> tuple[Tensor, ...]:
        over_tasks = torch.func.vmap(one_task, in_dims=(None, 0, 0, 0, 0))
        theta = dict(zip(names, omega, strict=True))
        losses = over_tasks(theta, support["x"], support["y"], query["x"], query["y"])
        return torch.autograd.grad(losses.mean(), omega)

    def floor() -> tuple[Tensor, ...]:
        for _ in range(STEPS + 1):
            gradients = torch.autograd.grad(
                mse_loss(net(support["x"].flatten(0, 1)), support["y"].flatten(0, 1)), omega
            )
        return gradients

    return {
        "minimeta": minimeta,
        "higher, innerloop_ctx": higher_loop,
        "higher, one copy": higher_one_copy,
        "TorchOpt, MetaSGD": torchopt_loop,
        "torch.func by hand": by_hand,
        "floor": floor,
    }


def measure(methods: dict[str, Method], repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of each method (median over repetitions), and how far its gradient is from the first one's."""
    errors, number, seconds = {}, {}, {name: [] for name in methods}
    reference = None
    for name, method in methods.items():
        method()
        start = time.process_time()
        gradient = torch.cat([g.detach().flatten() for g in method()]).double()
        number[name] = max(1, round(0.2 / (time.process_time() - start)))
        reference = gradient if reference is None else reference
        errors[name] = ((gradient - reference).norm() / reference.norm()).item()
    for _ in range(repeats):
        for name, method in methods.items():
            gc.collect()
            if number[name] > 1:
                method()
            start = time.process_time()
            for _ in range(number[name]):
                method()
            seconds[name].append((time.process_time() - start) / number[name])
    return {name: statistics.median(values) for name, values in seconds.items()}, errors


def report(
    seconds: dict[str, float],
    errors: dict[str, float],
    required: dict[str, float],
    tolerance: float,
    floor: str = "floor",
) -> int:
    """Print the table and what was required; 0 if all of it is met, else 1."""
    ours = next(iter(seconds))
    print(f"{'':32} {'ms':>9} {'ratio':>8} {'gradient differs by':>20}")
    for name, value in seconds.items():
        error = "" if name in (ours, floor) else f"{errors[name]:.1e}"
        print(f"{name:32} {1e3 * value:9.2f} {value / seconds[ours]:8.2f} {error:>20}".rstrip())
    missed = []
    for name, times in required.items():
        ratio = seconds[name] / seconds[ours]
        missed += [name] * (ratio < times)
        print(f"{'MISSED' if ratio < times else 'met'}: {ours} {ratio:.1f} times as fast as {name}; required {times:g}")
    compared = [error for name, error in errors.items() if name != floor]
    agree = all(error <= tolerance for error in compared)
    print(f"{'met' if agree else 'MISSED'}: gradients agree to {max(compared):.1e}; required {tolerance:g}")
    return int(bool(missed) or not agree)


def machine() -> str:
    """The versions, the processor and the date, for the record."""
    cpu, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.open() if line.startswith("model name")), cpu)
    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} thread, {cpu}, "
        f"{time.strftime('%Y-%m-%d')}"
    )


if __name__ == "__main__":
    sys.exit(main())
