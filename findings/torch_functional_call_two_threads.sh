#!/usr/bin/env bash
# One expects: `functional_call` uses the given parameters for its own call, and afterwards the module has its own again.
# What happens: the module itself is changed for the time of the call. Two calls that overlap in two threads, of which
#     the one that began first also ends first, leave the module with what that one was given, for good: a plain
#     tensor, or under `vmap` one that no longer computes. Two plain forward passes of this module in two threads do no
#     harm.
# Where it matters: notebooks. JupyterLab since 4.4 with ipykernel since 7 answers widgets in another thread than the one
#     that runs cells (its setting commsOverSubshells, on by default): a slider that adapts a model by MAML beside a
#     cell that trains it, or one that is moved while the notebook is still being run, can break the model for good. (That
#     we met; the script shows the two threads alone.)
# Seen: torch 2.13.0, December 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'torch==2.13.0' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys
from threading import Event, Thread

import torch
from torch import nn
from torch.func import functional_call, vmap

print("torch", torch.__version__)


class Scale(nn.Module):
    """Multiplies by its weight, once the thread may go on."""

    def __init__(self):
        super().__init__()
        self.weight, self.waits = nn.Parameter(torch.ones(1)), []

    def forward(self, x):
        if self.waits:
            self.waits.pop(0)()
        return x * self.weight


def after_two_threads(call):
    """The module after two calls that overlap: the second begins in the first and ends after it."""
    module, first_is_in, second_is_in, first_is_out = Scale(), Event(), Event(), Event()

    def in_first():
        first_is_in.set()
        second_is_in.wait(60)

    def in_second():
        second_is_in.set()
        first_is_out.wait(60)

    module.waits = [in_first, in_second]

    def first():
        call(module, 2.0)
        first_is_out.set()

    def second():
        first_is_in.wait(60)
        call(module, 3.0)

    threads = [Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return module


def computes(module):
    try:
        return str(module(torch.ones(1)).item())
    except RuntimeError as error:
        return type(error).__name__


def plain(module, value):
    module(torch.ones(1))


def functional(module, value):
    functional_call(module, {"weight": torch.tensor([value])}, (torch.ones(1),))


def batched(module, value):
    vmap(lambda weight: functional_call(module, {"weight": weight}, (torch.ones(1),)))(torch.full((3, 1), value))


found = {}
for call in (plain, functional, batched):
    module = after_two_threads(call)
    found[call.__name__] = isinstance(module.weight, nn.Parameter), computes(module)
    print(f"{call.__name__}: its own parameter {found[call.__name__][0]}, the module of 1.0 gives {found[call.__name__][1]}")

expected = {"plain": (True, "1.0"), "functional": (False, "2.0"), "batched": (False, "RuntimeError")}
if found != expected:
    sys.exit("Changed: overlapping calls in two threads no longer leave the given parameters in the module.")
PY
