#!/usr/bin/env bash
# One expects: `functional_call` uses the given parameters for this call and leaves the module as it was.
# What happens: if one module stands at two places, the given parameters stay in it: it now holds plain tensors instead
#     of its own parameters, and every later call computes with them. With `tie_weights=False` this does not happen.
#     Two modules that share one tensor are left alone.
# Where it matters: MAML with a layer that is used twice (a recurrent or cross-layer-shared block): one evaluation replaces
#     the start parameters by a task's adapted ones.
# Seen: torch 2.13.0, November 2026.
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

import torch
from torch import nn
from torch.func import functional_call

print("torch", torch.__version__)
x = torch.ones(1, 1)


def call_with_zeros(model, **options):
    own, before = model[0].weight, model(x).item()
    zeros = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    functional_call(model, zeros, (x,), **options)
    return model[0].weight is own, before, model(x).item()


def one_module_twice():
    layer = nn.Linear(1, 1)
    return nn.Sequential(layer, nn.Tanh(), layer)


def two_modules_one_tensor():
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second)


torch.manual_seed(0)
cases = {
    "one module twice": call_with_zeros(one_module_twice()),
    "one module twice, tie_weights=False": call_with_zeros(one_module_twice(), tie_weights=False),
    "two modules, one tensor": call_with_zeros(two_modules_one_tensor()),
}
for name, (kept, before, after) in cases.items():
    print(f"{name:36} own weight kept: {kept!s:5}; output before the call {before:.4f}, after it {after:.4f}")

if [kept for kept, _, _ in cases.values()] != [False, True, True]:
    sys.exit("Changed: functional_call no longer leaves its parameters in a shared module; drop the finding.")
PY
