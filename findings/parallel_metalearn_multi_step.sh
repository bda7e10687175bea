#!/usr/bin/env bash
# One expects: parallel-metalearn's `MAML(multi_step_loss=True)` is MAML++ (Antoniou et al. 2019), which it cites: the
#     outer loss is the sum over inner steps of weight times query loss. The weights add up to 1 and move to the last
#     step as training goes on.
# What happens: each query loss is divided by its weight. At first that is 25 times the loss (K = 5); at the end, where
#     the last step shall have 92 % of the weight, it has 0.5 %, and the four before it share the rest. No warning. With
#     `backend="sequential"` and second order it stops, as the graph is freed after the first step. Plain MAML is right.
# Where it matters: MAML++, whose last epochs are to train the network after all its inner steps.
# Seen: parallel-metalearn 0.5.6, torch 2.13.0, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'parallel-metalearn==0.5.6' 'torch==2.13.0' 'numpy==2.4.6' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import torch
from metalearn.algorithms import MAML
from metalearn.algorithms.MetaUtils import get_per_step_loss_weights
from metalearn.inner_optimizers import InnerSGD
from metalearn.loss.base import BaseLoss
from metalearn.model_wrappers import MAML_Model
from torch import nn
from torch.nn.functional import mse_loss

print("parallel-metalearn", version("parallel-metalearn"), "torch", torch.__version__)
STEPS, RATE, EPOCHS, TASKS = 5, 0.1, 10, 8


class Linear(nn.Linear):
    def forward(self, x, **options):
        return super().forward(x)


class SquaredError(BaseLoss):
    def forward(self, out_dict, targets, model_states=None, **options):
        loss = mse_loss(out_dict["logits"], targets)
        return loss, loss.detach()


torch.manual_seed(0)
model = MAML_Model(backbone=Linear(3, 4), head=Linear(4, 1))
params = list(model.parameters())
x, query_x = torch.randn(2, TASKS, 10, 3)
truth = torch.randn(TASKS, 3, 1)
y, query_y = x @ truth, query_x @ truth


def by_library(epoch, **options):
    """The loss and the gradient of one outer step that moves nothing."""
    inner = InnerSGD(model.get_fast_weights(), inner_lr=RATE, max_inner_steps=STEPS, learn_lr=False)
    learner = MAML(model=model, optimizer=torch.optim.SGD(params, lr=0.0), inner_optimizer=inner, inner_steps=STEPS,
                   support_loss_fn=SquaredError(), device=torch.device("cpu"), **options)
    loss, _ = learner.step(iter([(x, y, query_x, query_y)]), epoch=epoch, epochs=EPOCHS)
    return loss, torch.cat([p.grad.flatten() for p in params])


def by_hand(weights):
    """Sum over inner steps of weight times query loss, mean over the tasks, and its gradient."""
    total = 0.0
    for task in range(TASKS):
        (a, b, c, d) = params

        def output(inputs):
            return (inputs @ a.T + b) @ c.T + d

        for weight in weights:
            slopes = torch.autograd.grad(mse_loss(output(x[task]), y[task]), (a, b, c, d), create_graph=True)
            a, b, c, d = (p - RATE * slope for p, slope in zip((a, b, c, d), slopes))
            total = total + weight * mse_loss(output(query_x[task]), query_y[task]) / TASKS
    return total.item(), torch.cat([part.flatten() for part in torch.autograd.grad(total, params)])


def apart(found, expected):
    return ((found[1] - expected[1]).norm() / expected[1].norm()).item()


plain = apart(by_library(0), by_hand([0.0] * (STEPS - 1) + [1.0]))
print(f"plain MAML: gradient differs by {plain:.0e}")
stands = plain < 1e-4
for epoch in (0, EPOCHS - 1):
    weights = get_per_step_loss_weights(STEPS, epoch, EPOCHS)
    found, times, over = by_library(epoch, multi_step_loss=True), by_hand(weights), by_hand(1 / weights)
    print(f"epoch {epoch}, weights {[round(w, 3) for w in weights.tolist()]}: loss {found[0]:.2f}; "
          f"by hand, losses times weights {times[0]:.2f}, losses over weights {over[0]:.2f}")
    print(f"    gradient differs from that of times by {apart(found, times):.0f} times its length, of over by "
          f"{apart(found, over):.0e}; angle to that of times: cosine "
          f"{torch.cosine_similarity(found[1], times[1], dim=0):.2f}")
    stands &= apart(found, over) < 1e-4 and apart(found, times) > 1
try:
    by_library(0, multi_step_loss=True, backend="sequential")
    stands = False
except RuntimeError as error:
    print("sequential:", str(error).split(".")[0][:90])
if not stands:
    sys.exit("Changed: the multi-step loss is no longer divided by its weights; drop the finding.")
PY
