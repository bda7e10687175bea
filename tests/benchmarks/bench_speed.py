"""How fast is a meta-step: eager, compiled, the commit before it was compiled, other libraries, and the floor.

    python tests/benchmarks/bench_speed.py [--device cpu|cuda] [--quick] [--only TEXT] [--before FOLDER_OR_COMMIT]

Four meta-gradients (`cases`): MAML on sinusoids, and Fixed TreeMAML with a head of 121 k parameters (12 languages) and
of 1.9 M (12 languages, and 110 tasks). The rows of each table:

- eager: `meta_gradient` as it is called when nothing is compiled;
- trace, inductor: `compiled.Compiled`, which has built its graph before the first reading;
- before: eager, by the code of an earlier commit;
- other libraries, and torch.func by hand (`peers`), where they can do it;
- floor: K + 1 plain passes forward and backward through one network.

Each has a process of its own (`apart`), they take turns (`timing`), and gradients are compared with eager's. Then comes
what an update of an mBERT-sized model adds to memory (`bench_full`). Last is what a reader gets who asks for nothing:
the time of notebook 01's MAML in a new process, from the first outer step to the last, with an empty cache ("cold") or
that of the run before ("warm"); of importing the outer loop; and of all nine methods of `run` at toy scale, up to their
table.

At the end stands what was promised and whether it is kept; the exit status is 1 if something is not. Without a
compiler "inductor" is eager, and says so. With empty caches Inductor builds for minutes on each head, so all of it
takes the better part of an hour on two cores; `--only` takes a part. `--quick`: 3 repetitions, shorter ones, no
training above 500 steps and no `run`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from apart import ROOT, Apart, code_of, environment
from bench_full import alone_in_a_process
from cases import CASES, load, moved
from peers import HEADS, NO_LEARN2LEARN, WAVES
from timing import Promise, machine, measure, table

from minimeta.grouping import alone
from minimeta.outer import meta_train
from minimeta.tasks import sinusoids

BEFORE = "2ef12ff"  # the commit before the meta-step was compiled
TOLERANCE = 1e-5
PEERS = {
    "sinusoid": WAVES,
    "tiny head, 12 languages": HEADS,
    "head of 384, 12 languages": HEADS,  # with 110 tasks they take minutes
}
FASTEST = "the fastest of ours"
FASTER = {
    ("sinusoid", "inductor", "before"): 5.0,
    ("sinusoid", "trace", "before"): 2.5,
    ("sinusoid", "inductor", "higher, innerloop_ctx"): 50.0,
    ("sinusoid", "inductor", "TorchOpt, MetaSGD"): 40.0,
    ("tiny head, 12 languages", FASTEST, "before"): 1.8,
    ("head of 384, 12 languages", FASTEST, "before"): 1.3,
    ("head of 384, 110 tasks", FASTEST, "before"): 1.3,
}
FLOOR = ("sinusoid", 1.3)
MEMORY, UPDATE = "memory of an update", "Adam, all parameters"
UPDATE_ADDS = 0.291  # GiB: a tenth of what it added while it copied the parameters and Adam's state
START = "from a cold start"
NINE = "baseline joint maml x-maml xla-maml fixed-treemaml learned-treemaml random-tree everyone"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="3 repetitions, and nothing that takes minutes")
    parser.add_argument("--only", default="", metavar="TEXT", help=f"of {', '.join([*CASES, MEMORY, START])}")
    parser.add_argument("--before", default=BEFORE, metavar="FOLDER_OR_COMMIT", help=f"(default: {BEFORE})")
    parser.add_argument("--train", type=int, metavar="STEPS", help="only train for so many steps and print the seconds")
    options = parser.parse_args()
    torch.set_num_threads(1 if options.device == "cpu" else torch.get_num_threads())
    if options.train:
        print(*train(options.train, options.device))
        return 0
    print(machine() + ("" if options.device == "cpu" else f", {torch.cuda.get_device_name()}"))
    parts = {name: partial(speeds, name) for name in CASES} | {MEMORY: memory, START: starts}
    with TemporaryDirectory() as folder:
        code = code_of(options.before, Path(folder))
        promises = [promise for name, part in parts.items() if options.only in name for promise in part(code, options)]
    print("\n" + "\n".join(map(str, promises)))
    return any(promise.missed for promise in promises)


def speeds(name: str, code: Path, options: argparse.Namespace) -> Iterator[Promise]:
    """Print the table of a case and give its promises."""
    peers = PEERS.get(name, {})
    start = partial(Apart, name, device=options.device)
    methods = {"eager": start("eager"), "trace": start("trace"), "inductor": start("inductor")}
    methods |= {"before": start("eager", code=code), **{peer: start(peer) for peer in peers}, "floor": start("floor")}
    left_out = {method: f"{apart.missing} is not installed" for method, apart in methods.items() if apart.missing}
    there = {method: apart for method, apart in methods.items() if method not in left_out}
    seconds, errors = measure(there, *((3, 0.05) if options.quick else (options.repeats, 0.2)))
    for apart in methods.values():
        apart.close()
    for peer in [peer for peer in peers if errors.get(peer, 0) > TOLERANCE]:
        left_out[peer] = f"its gradient differs by {errors[peer]:.1e}"
        del seconds[peer]
    if name == "sinusoid":
        left_out["learn2learn"] = NO_LEARN2LEARN
    print(f"\n## {name}")
    table(seconds, errors, "before", ["floor"], left_out)
    seconds[FASTEST] = min(seconds[method] for method in ("eager", "trace", "inductor"))
    for (which, method, other), bound in FASTER.items():
        if which == name:
            ratio = seconds[other] / seconds[method] if other in seconds else None
            yield Promise(f"{name}: {method}, times as fast as {other}", ratio, bound)
    if name == FLOOR[0]:
        yield Promise(f"{name}: inductor, time in floors", seconds["inductor"] / seconds["floor"], FLOOR[1], True)
    for method in ("trace", "inductor", "before"):
        yield Promise(f"{name}: {method}, difference of its gradient", errors[method], TOLERANCE, at_most=True)


def memory(code: Path, options: argparse.Namespace) -> Iterator[Promise]:
    """Print what an update adds to memory on a model of mBERT's size, now and before."""
    print(f"\n## {MEMORY}, mBERT's size, all parameters: GiB beside the gradient\n")
    given = [f"--device={options.device}", "--repeats=0"]
    for which, where in (("before", code), ("now", ROOT)):
        found = alone_in_a_process(UPDATE, given, where)
        added = found and found["added"] - found["trained"]  # the gradient is as large as the parameters
        print(f"{which}: " + (f"{added:.2f} and {found['trained']:.2f} for the gradient" if found else "out of memory"))
    yield Promise(f"{MEMORY}: GiB beside the gradient", added, UPDATE_ADDS, at_most=True)


def starts(code: Path, options: argparse.Namespace) -> Iterator[Promise]:
    """Print the times of new processes, now and before."""
    print(f"\n## {START}: CPU seconds with those of processes started (and wall time), now and before\n")
    plan = [("cold", 500, 1.2), ("warm", 500, 2.0)] + [("cold", 5000, 3.0)] * (not options.quick)
    both = (ROOT, code)
    with TemporaryDirectory() as folder:
        for number, (cache, steps, bound) in enumerate(plan):
            # "warm" has the cache of the run before it.
            kept = Path(folder) / f"cache {number - (cache == 'warm')}"
            command = [sys.executable, __file__, f"--train={steps}", f"--device={options.device}"]
            now, before = (Took(*map(float, output(command, where, kept).split())) for where in both)
            print(f"MAML of notebook 01, {steps} outer steps, {cache}: {now}, {before}")
            yield Promise(
                f"{START}: {steps} outer steps, {cache}, times as fast as before", before.cpu / now.cpu, bound
            )
        calls = {"import minimeta.outer": (["-c", "import minimeta.outer"], 1.05, 5)}
        if not options.quick:
            calls["run, nine methods"] = (
                ["-m", "minimeta", "run", *NINE.split(), *"--target de --seeds 1".split()],
                0.5,
                1,
            )
        for name, (arguments, bound, repeats) in calls.items():
            found: list[tuple[Took, ...]] = []
            for number in range(repeats):
                found.append(tuple(whole(arguments, where, Path(folder) / f"{name} {number}") for where in both))
            now, before = (min(values, key=lambda took: took.cpu) for values in zip(*found, strict=True))
            print(f"{name}: {now}, {before}")
            yield Promise(f"{START}: {name}, share of the time before", now.cpu / before.cpu, bound, at_most=True)


class Took(NamedTuple):
    """Seconds: of the processors, and on the clock."""

    cpu: float
    wall: float

    def __str__(self) -> str:
        return f"{self.cpu:.1f} ({self.wall:.1f})"


def whole(arguments: list[str], code: Path, cache: Path) -> Took:
    """A whole call of Python with these arguments."""
    before, start = os.times(), time.perf_counter()
    output([sys.executable, *arguments], code, cache)
    after = os.times()
    return Took(sum(after[2:4]) - sum(before[2:4]), time.perf_counter() - start)


def output(command: list[str], code: Path, cache: Path) -> str:
    """What a process says that has the minimeta in `code` and keeps what it compiles in the folder `cache`."""
    cache.mkdir(exist_ok=True)
    kept = {name: str(cache) for name in ("TORCHINDUCTOR_CACHE_DIR", "TMPDIR", "XDG_CACHE_HOME")}
    given = environment(code) | kept | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=given, check=True)
    return done.stdout


def train(steps: int, device: str) -> Took:
    """Meta-train the network of notebook 01, which is that of the case, with the notebook's rates."""
    learner, _, loop = load("sinusoid", device)
    draw = sinusoids(32, 10)
    training = meta_train(
        learner, lambda step: moved(draw(step), device), alone(), loop.steps, loop.rate, steps, outer_rate=3e-3
    )
    before, start = os.times(), time.perf_counter()
    for _ in training:
        pass
    return Took(sum(os.times()[:4]) - sum(before[:4]), time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
