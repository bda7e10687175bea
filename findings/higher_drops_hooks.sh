#!/usr/bin/env bash
# One expects: the functional copy that `higher` makes of a module computes what the module computes.
# What happens: forward hooks and pre-hooks are not taken over. So old-style `weight_norm` (a pre-hook) stays at its
#     first weight in the inner loop while g and v move, and `output_hidden_states=True` of a transformers 5 model
#     (which collects them by hooks) gives None. No warning.
# Where it matters: MAML with `higher` on normalised layers, probes on the encoder's layers.
# Seen: higher 0.2.1, torch 2.13.0, transformers 5.24.0, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'higher==0.2.1' 'torch==2.13.0' 'numpy==2.4.6' 'transformers==5.24.0' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import higher
import torch
import transformers
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

print("higher 0.2.1, torch", torch.__version__, "transformers", transformers.__version__)
x = torch.linspace(-1, 1, 5)[:, None]


def losses(normalise, use_higher):
    torch.manual_seed(0)
    model = nn.Sequential(normalise(nn.Linear(1, 3)), nn.Tanh(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

    def loss(net):
        return (net(x) - 2 * x.sin()).square().mean()

    if not use_higher:
        for _ in range(3):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
        return loss(model).item()
    with higher.innerloop_ctx(model, optimizer) as (copy, inner):
        for _ in range(3):
            inner.step(loss(copy))
        return loss(copy).item()


far = {}
for name, normalise in (("old", weight_norm), ("new", parametrizations.weight_norm)):
    torch_loss, higher_loss = losses(normalise, False), losses(normalise, True)
    far[name] = abs(higher_loss / torch_loss - 1)
    print(f"{name} weight_norm, loss after 3 steps: torch {torch_loss:.4f}, higher {higher_loss:.4f}")

layer, calls = nn.Linear(1, 1), []
layer.register_forward_hook(lambda *_: calls.append("hook"))
layer(x), higher.monkeypatch(layer)(x)
print("calls of a forward hook by the module and by its copy:", len(calls), "of 2")

sizes = dict(vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8)
bert = transformers.BertModel(transformers.BertConfig(**sizes)).eval()
words = torch.tensor([[5, 6, 7]])
plain = bert(words, output_hidden_states=True).hidden_states
patched = higher.monkeypatch(bert)(words, output_hidden_states=True).hidden_states
print("hidden states: transformers", len(plain), "and through higher", patched and len(patched))

if not (far["old"] > 0.05 and far["new"] < 1e-3 and len(calls) == 1 and len(plain) == 3 and patched is None):
    sys.exit("Changed: higher no longer drops hooks in this way; drop the finding.")
PY
