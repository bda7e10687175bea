#!/usr/bin/env bash
# One expects: `F.embedding(padding_idx=0)` gives row 0 no gradient, one task at a time or all under `vmap`.
# What happens: with `torch.func.vmap` inside and `torch.autograd.grad` outside, each lane with weights of its own, only
#     the first lane's padding row is spared. `vmap(torch.func.grad(...))` and a loop are right.
# Where it matters: MAML over a batch of tasks: each task has its own copy of the word embeddings, and its padding row
#     moves in the inner step of all tasks but the first.
# Seen: torch 2.13.0 (CPU), November 2026.
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
import torch.nn.functional as F
from torch.func import grad, vmap

print("torch", torch.__version__)
weights = torch.ones(3, 4, 2)  # 3 tasks, 4 words, 2 dimensions
words = torch.tensor([[0, 1], [0, 2], [0, 3]])  # each task has a padding and a word


def loss(weight, words):
    return F.embedding(words, weight, padding_idx=0).sum()


leaf = weights.clone().requires_grad_()
(outside,) = torch.autograd.grad(vmap(loss)(leaf, words).sum(), leaf)
inside = vmap(grad(loss))(weights, words)
(loop,) = torch.autograd.grad(sum(loss(w, i) for w, i in zip(leaf, words)), leaf)
for name, gradient in (("grad outside vmap", outside), ("grad inside vmap", inside), ("loop", loop)):
    print(f"{name:18} gradient of the padding row in tasks 0, 1, 2: {gradient[:, 0, 0].tolist()}")

if outside[:, 0, 0].tolist() != [0, 1, 1] or inside[:, 0].any() or loop[:, 0].any():
    sys.exit("Changed: the padding rows under vmap are no longer treated in this way; drop the finding.")
PY
