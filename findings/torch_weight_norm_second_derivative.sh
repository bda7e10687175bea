#!/usr/bin/env bash
# One expects: where torch gives a second derivative, it is the derivative of the first.
# What happens: the second derivative of `weight_norm` (old and new style, any `dim` but None) is wrong on a CPU, without
#     a word. One weight suffices: w = g v / |v| does not depend on the size of v, so every derivative with respect to v
#     is 0, and torch says -9 here. The first derivative is right, and so is the second with `dim=None` (written out in torch).
# Where it matters: second-order MAML through a layer with weight normalisation.
# Seen: torch 2.13.0 (CPU; float32 and float64), November 2026.
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
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch.nn.utils import parametrizations, weight_norm

print("torch", torch.__version__)


def second_derivative(style, dim, dtype):
    layer = style(torch.nn.Linear(1, 1, bias=False), dim=dim).to(dtype)
    g, v = layer.parameters()
    with torch.no_grad():
        g.fill_(3), v.fill_(2)
    loss = layer(torch.ones(1, 1, dtype=dtype)).square().sum()
    (first,) = torch.autograd.grad(loss, v, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), v)
    return first.item(), second.item()


found = {}
for style in (weight_norm, parametrizations.weight_norm):
    for dim in (0, 1, None):
        for dtype in (torch.float32, torch.float64):
            first, second = found[style.__module__, dim, dtype] = second_derivative(style, dim, dtype)
            print(f"{style.__module__:36} dim={dim!s:5} {str(dtype):14} d loss/dv {first:5.2f}, d2 loss/dv2 {second:5.2f}")
print("right: 0 and 0 everywhere")

torch.manual_seed(0)
layer = parametrizations.weight_norm(torch.nn.Linear(2, 3, bias=False)).double()
names, g_and_v = zip(*layer.named_parameters())


def by_layer(*g_and_v):
    return functional_call(layer, dict(zip(names, g_and_v)), torch.eye(2, dtype=torch.float64))


def written_out(g, v):
    return (g * v / v.norm(dim=1, keepdim=True)).T


checks = [
    gradcheck(by_layer, g_and_v, raise_exception=False),
    gradgradcheck(by_layer, g_and_v, raise_exception=False),
    gradgradcheck(written_out, g_and_v, raise_exception=False),
]
print("torch's own check of a 3 x 2 weight: first {}, second {}, second written out {}".format(*checks))

wrong = all(abs(second) > 1 for (_, dim, _), (_, second) in found.items() if dim is not None)
right = all(abs(second) < 1e-5 for (_, dim, _), (_, second) in found.items() if dim is None)
if not (wrong and right and checks == [True, False, True]):
    sys.exit("Changed: weight_norm's second derivative is no longer wrong in this way; drop the finding.")
PY
