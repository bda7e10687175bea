"""How many weights does an inner step at α = 1e-5 leave exactly where they were, in float32 and in bfloat16?

    python tests/benchmarks/bench_still.py ENCODER [DATA]

The head of an encoder, the gradient of eight dev rows of mini-NLI (or of XNLI from DATA) in English or Hindi.
"""

from __future__ import annotations

import argparse

import torch

from minimeta.text import corpora, encoders
from minimeta.text.episodes import encode, sampler

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("encoder")
parser.add_argument("data", nargs="?")
options = parser.parse_args()
encoder, corpus = encoders.nli(options.encoder), corpora.nli(options.data, ["en", "hi"], ["dev"])
features, weights = encoder.features(corpus), list(encoder.learner.parameters())
for language in ("en", "hi"):
    for seed in range(4):
        episode = encode(sampler(corpus, language, shots=8, queries=8, seed=seed)(0), features.__getitem__)
        batch = {name: value[0] for name, value in episode.support[0].items()}
        slopes = torch.autograd.grad(encoder.learner(batch).mean(), weights)
        shares = []
        for kind in (torch.float32, torch.bfloat16):
            pairs = [(weight.detach().to(kind), slope.to(kind)) for weight, slope in zip(weights, slopes, strict=True)]
            still = sum(int((weight - 1e-5 * slope == weight).sum()) for weight, slope in pairs)
            shares.append(100 * still / sum(weight.numel() for weight in weights))
        print(f"{language}, rows {seed}: float32 {shares[0]:.1f} %, bfloat16 {shares[1]:.2f} % do not move")
