#!/usr/bin/env bash
# One expects: `parametrizations.orthogonal` keeps the weight orthogonal whatever the optimiser does to what lies below.
# What happens: for a layer that is not square (where the default map is "householder") one step with any weight decay
#     makes the whole weight 0, and it stays there. The signs of the columns are stored as +1 and -1 among the decayed
#     numbers and cut to whole numbers when the weight is built: 0.99999 counts as 0. "matrix_exp" and "cayley" are fine.
# Where it matters: Adam's or AdamW's weight decay in the outer loop, an L2 or proximal term in the inner one.
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
from torch.nn.utils.parametrizations import orthogonal

print("torch", torch.__version__)
norms = {}
for out in (3, 6):
    for name in (None, "householder", "matrix_exp", "cayley"):
        for decay in (0.0, 0.01):
            torch.manual_seed(0)
            layer = orthogonal(nn.Linear(6, out), orthogonal_map=name)
            optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-3, weight_decay=decay)
            layer(torch.ones(1, 6)).sum().backward()
            optimizer.step()
            norms[out, name, decay] = round(layer.weight.norm().item(), 4)
        without, with_decay = norms[out, name, 0.0], norms[out, name, 0.01]
        print(f"6 -> {out}, {name or 'default':11}: norm after a step without decay {without}, with decay {with_decay}")

zero = {key for key, norm in norms.items() if norm == 0}
if zero != {(3, None, 0.01), (3, "householder", 0.01), (6, "householder", 0.01)}:
    sys.exit("Changed: weight decay no longer empties an orthogonal layer; drop the finding.")
PY
