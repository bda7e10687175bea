#!/usr/bin/env bash
# One expects: a weight that two modules share (tied embeddings) is still one weight after an inner step.
# What happens: TorchOpt's meta-optimisers give each module its own updated tensor. The first step is right, in the
#     second the two halves take separate gradients, and the losses leave those of `torch.optim.SGD`. No warning.
#     One module at two places is fine.
# Where it matters: MAML on language models, whose output layer usually is the word embedding.
# Seen: torchopt 0.7.3, torch 2.13.0, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'torchopt==0.7.3' 'torch==2.13.0' 'numpy==2.4.6' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import torch
import torchopt
from torch import nn

print("torchopt", torchopt.__version__, "torch", torch.__version__)
words = torch.arange(4)


def tied():
    torch.manual_seed(0)
    embedding, output = nn.Embedding(4, 3), nn.Linear(3, 4, bias=False)
    output.weight = embedding.weight
    return nn.Sequential(embedding, nn.Linear(3, 3), output)


def loss(model):
    return nn.functional.cross_entropy(model(words), words.roll(1))


model = tied()
meta, by_torchopt = torchopt.MetaSGD(model, lr=0.5), []
for _ in range(5):
    by_torchopt.append(loss(model).item())
    meta.step(loss(model))
still_tied = model[0].weight is model[2].weight

reference = tied()
optimizer, by_torch = torch.optim.SGD(reference.parameters(), lr=0.5), []
for _ in range(5):
    by_torch.append(loss(reference).item())
    optimizer.zero_grad()
    loss(reference).backward()
    optimizer.step()

print("losses, torch   :", [round(value, 4) for value in by_torch])
print("losses, torchopt:", [round(value, 4) for value in by_torchopt])
print("still one weight in torchopt:", still_tied, "in torch:", reference[0].weight is reference[2].weight)

gaps = [abs(a - b) for a, b in zip(by_torch, by_torchopt)]
if still_tied or max(gaps[:2]) > 1e-5 or gaps[2] < 5e-3:
    sys.exit("Changed: TorchOpt no longer unties tied weights; drop the finding.")
PY
