#!/usr/bin/env bash
# One expects: a boolean attention mask of four dimensions (True: attend) masks, as it does with `sdpa` attention.
# What happens: with `attn_implementation="eager"` True and False are ADDED to the scores as 1 and 0: the padding is
#     attended to, without a word. A two-dimensional boolean mask works with both.
# Where it matters: eager attention is the one that second-order meta-learning needs on a CPU, and masks made ready for
#     `vmap` or for packed tasks are four-dimensional.
# Seen: transformers 5.24.0, torch 2.13.0, BERT and XLM-R, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'transformers==5.24.0' 'torch==2.13.0' 'numpy==2.4.6' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import torch
import transformers
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

print("transformers", transformers.__version__, "torch", torch.__version__)
sizes = dict(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
padded = torch.tensor([[5, 6, 7, 1, 1]])
others = torch.tensor([[5, 6, 7, 9, 9]])  # other words where the mask hides them
real = torch.tensor([[True, True, True, False, False]])
square = real[:, None, None, :].expand(1, 1, 5, 5)
masks = {
    "2-D bool": real,
    "4-D bool": square,
    "4-D float": torch.zeros(1, 1, 5, 5).masked_fill(~square, torch.finfo(torch.float32).min),
}
leaks = {}
for config_class, model_class in ((BertConfig, BertModel), (XLMRobertaConfig, XLMRobertaModel)):
    for attention in ("eager", "sdpa"):
        torch.manual_seed(0)
        config = config_class(**sizes, attn_implementation=attention)
        model = model_class(config).eval()
        for name, mask in masks.items():
            positions = torch.arange(5)[None]
            with torch.no_grad():
                states = [
                    model(ids, attention_mask=mask, position_ids=positions).last_hidden_state[:, :3]
                    for ids in (padded, others)
                ]
            moved = (states[0] - states[1]).abs().max().item()
            leaks[model_class.__name__, attention, name] = moved > 1e-6
            print(f"{model_class.__name__:16} {attention:5} {name:9}: hidden words move the others by {moved:.1e}")

expected = {key: key[1:] == ("eager", "4-D bool") for key in leaks}
if leaks != expected:
    sys.exit("Changed: eager attention no longer adds a boolean mask; drop the finding.")
PY
