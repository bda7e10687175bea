#!/usr/bin/env bash
# One expects: the inner loop takes the steps of the optimiser that `higher` is given, or refuses it.
# What happens: options that torch added later are passed over without a word: with `SGD(maximize=True)` the inner loop
#     goes down where torch goes up, with `Adam(decoupled_weight_decay=True)` the decay is put into the gradient.
# Where it matters: MAML for a reward that is to be maximised; decoupled weight decay in an inner loop (`AdamW` itself is
#     refused, this is the same update under a name that is not).
# Seen: higher 0.2.1, torch 2.13.0, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'higher==0.2.1' 'torch==2.13.0' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import higher
import torch

print("higher 0.2.1, torch", torch.__version__)


class Slope(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self):
        return self.weight**2


def steps(make_optimizer):
    by_torch, given = Slope(), Slope()
    optimizer = make_optimizer(by_torch.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        by_torch().backward()
        optimizer.step()
    with higher.innerloop_ctx(given, make_optimizer(given.parameters())) as (copy, inner):
        for _ in range(2):
            inner.step(copy())
        return by_torch.weight.item(), copy.weight.item()


found = {}
for name, make_optimizer in {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD, maximize": lambda p: torch.optim.SGD(p, lr=0.1, maximize=True),
    "Adam, decay": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=1.0),
    "Adam, decoupled decay": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=1.0, decoupled_weight_decay=True),
}.items():
    found[name] = steps(make_optimizer)
    print("{:22} a weight of 1 after two steps: torch {:.3f}, higher {:.3f}".format(name, *found[name]))

differs = [abs(by_torch - by_higher) > 0.01 for by_torch, by_higher in found.values()]
if differs != [False, True, False, True]:
    sys.exit("Changed: higher no longer passes over these options; drop the finding.")
PY
