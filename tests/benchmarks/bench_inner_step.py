"""How much does one inner step change the outer gradient, when all parameters of an encoder move?

    python tests/benchmarks/bench_inner_step.py ENCODER [DATA]

XLA-MAML's own episode: 8 + 8 dev rows of mini-NLI (or of XNLI from DATA), query in Hindi, support in Hindi (X-MAML) or
English (XLA-MAML).
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from minimeta.gradient import meta_gradient
from minimeta.grouping import alone
from minimeta.inner import InnerLoop
from minimeta.tasks import Episode
from minimeta.text import corpora, encoders
from minimeta.text.episodes import encode, sampler

RATES = (1e-5, 1e-4, 1e-3)


def outer_gradient(learner: nn.Module, episode: Episode, rate: float) -> tuple[Tensor, float]:
    """The outer gradient as one vector, and the support loss at ω; rate 0 takes no inner step."""
    _, slopes, steps = meta_gradient(learner, episode, InnerLoop(alone(), int(rate > 0), rate))
    support = steps[0].losses.item() if steps else float("nan")
    return torch.cat([slope.flatten() for slope in slopes]), support


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("encoder")
parser.add_argument("data", nargs="?")
options = parser.parse_args()
encoder = encoders.nli(options.encoder, adapt="all")
corpus = corpora.nli(options.data, ["en", "hi"], ["dev"])
features = encoder.features(corpus)
for method, way in (("X-MAML", {}), ("XLA-MAML", {"support": "en"})):
    draw = sampler(corpus, "hi", shots=8, queries=8, **way)
    for number in range(4):
        episode = encode(draw(number), features.__getitem__)
        plain, _ = outer_gradient(encoder.learner, episode, 0)
        said = []
        for rate in RATES:
            stepped, support = outer_gradient(encoder.learner, episode, rate)
            said.append(f"{rate:g}: {100 * ((stepped - plain).norm() / plain.norm()).item():.3g} %")
        print(f"{method}, episode {number}, support loss {support:.3f}, change at α = {', '.join(said)}", flush=True)
