#!/usr/bin/env bash
# One expects: a function whose backward is marked @once_differentiable raises when it is differentiated twice, as its
#     error says ("trying to differentiate twice").
# What happens: `torch.autograd.grad` with the tensors named, and with allow_unused or materialize_grads as code for any
#     model needs it, takes the missing derivative for "does not depend on it" and goes on with 0 in its place. If the
#     function is the last one of the loss, even `.backward()` does. The result looks like a second-order gradient.
# Where it matters: second-order meta-gradients of models with custom functions (fused kernels, straight-through
#     estimators, quantisation): MAML silently becomes a mixture of first and second order.
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
from torch.autograd.function import once_differentiable


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 3 * x**2


print("torch", torch.__version__)
w = torch.tensor(2.0, requires_grad=True)


def adapted(after):
    """w after one step of gradient descent with rate 0.1 on after(w^3)."""
    (inner,) = torch.autograd.grad(after(Cube.apply(w)), w, create_graph=True)
    return w - 0.1 * inner


found = {}
for name, after, right in (("w^3", lambda x: x, 1 - 0.6 * w.item()), ("(w^3)^2", torch.square, 1 - 3 * w.item() ** 4)):
    (ours,) = torch.autograd.grad(adapted(after), w, materialize_grads=True)
    w.grad = None
    try:
        adapted(after).backward()
        said = f"{w.grad.item():g}"
    except RuntimeError as error:
        said = f"raises '{error}'"
    print(f"loss {name}: the adapted parameter's derivative is {right:g}; autograd.grad: {ours.item():g}; backward: {said}")
    found[name] = (ours.item(), said.split("'")[0])
if found != {"w^3": (1.0, "1"), "(w^3)^2": (1.0, "raises ")}:
    sys.exit("Changed: a second derivative that is missing is no longer taken for 0; drop the finding.")
PY
