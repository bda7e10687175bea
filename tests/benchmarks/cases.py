"""The meta-gradients that are timed, the same ones in every process, and minimeta's ways to compute them.

The code of an earlier commit computes them too (see `apart`), so nothing newer than that may be imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from timing import Method
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from minimeta.gradient import meta_gradient
from minimeta.grouping import alone, fixed_tree
from minimeta.inner import InnerLoop, Learner, cross_entropy, squared_error
from minimeta.tasks import Batch, Episode, sinusoids
from minimeta.text import corpora, encoders, heads
from minimeta.text.episodes import encode, sampler
from minimeta.text.languages import PHYLOGENY, all_but

DATA = Path(__file__).parents[2] / "data"
LANGUAGES = PHYLOGENY.leaves
GENRES = tuple(f"{language}/genre {genre}" for language in all_but("de") for genre in range(10))
SHOTS, LENGTH, STEPS, RATE = 3, 48, 4, 0.05


class Case(NamedTuple):
    """What `meta_gradient` takes: a learner, an episode and an inner loop."""

    learner: Learner
    episode: Episode
    loop: InnerLoop


def waves() -> Case:
    """MAML on sinusoids: 1-40-40-1 with ReLU, 32 tasks, 10 shots and 10 query points, K = 5."""
    net = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    return Case(Learner(net, squared_error), sinusoids(32, 10, 10)(0), InnerLoop(alone(), 5, 0.01))


def tiny_head() -> Case:
    """Fixed TreeMAML on mini-NLI: the head of the tiny encoder (121 k parameters), 12 languages, 3 shots, 6 queries."""
    encoder, corpus = encoders.nli(DATA / "tiny-encoder-nli"), corpora.nli()
    rows = sampler(corpus, LANGUAGES, shots=SHOTS, queries=2 * SHOTS)(0)
    return Case(encoder.learner, encode(rows, encoder.features(corpus).__getitem__), treemaml())


def head(tasks: tuple[str, ...]) -> Case:
    """Fixed TreeMAML with a head of hidden size 384, 3 shots and 3 query examples of 48 tokens for each of the tasks.

    What the trunk would give is noise: its values do not change the time.
    """
    config = BertConfig(
        vocab_size=100,
        hidden_size=384,
        num_hidden_layers=1,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=3,
    )
    model = BertForSequenceClassification._from_config(config, attn_implementation="eager").eval()
    module = heads.Head(model.bert.encoder.layer[0], model.bert.pooler, model.classifier)

    def batch() -> Batch:
        return {
            "hidden": torch.randn(len(tasks), SHOTS, LENGTH, config.hidden_size),
            "mask": torch.ones(len(tasks), SHOTS, LENGTH, dtype=torch.long),
            "y": torch.randint(config.num_labels, (len(tasks), SHOTS)),
        }

    return Case(Learner(module, cross_entropy), Episode(tasks, (batch(),), batch()), treemaml())


def treemaml() -> InnerLoop:
    """The inner loop of Fixed TreeMAML."""
    return InnerLoop(fixed_tree(PHYLOGENY), STEPS, RATE)


CASES: dict[str, Callable[[], Case]] = {
    "sinusoid": waves,
    "tiny head, 12 languages": tiny_head,
    "head of 384, 12 languages": partial(head, LANGUAGES),
    "head of 384, 110 tasks": partial(head, GENRES),
}


def load(name: str, device: str) -> Case:
    """A case by its name, on the device; the same weights and data whoever asks."""
    torch.manual_seed(0)
    learner, episode, loop = CASES[name]()
    return Case(learner.to(device), moved(episode, device), loop)


def moved(episode: Episode, device: str) -> Episode:
    """An episode on the device."""
    support = tuple(on(batch, device) for batch in episode.support)
    return Episode(episode.tasks, support, on(episode.query, device))


def on(batch: Batch, device: str) -> Batch:
    """A batch on the device."""
    return {name: value.to(device) for name, value in batch.items()}


def data_of(episode: Episode) -> tuple[Batch, Batch]:
    """The support, which all inner steps share, and the query."""
    (support,) = episode.support
    return support, episode.query


Build = Callable[[Case], Method]
"""Makes a way to compute a case's meta-gradient."""


def eager(case: Case) -> Method:
    """`meta_gradient` as it is called when nothing is compiled."""
    return lambda: meta_gradient(*case)[1]


def compiled(case: Case, how: str) -> Method:
    """The same through a compiled graph, which the first call builds."""
    from minimeta.compiled import Compiled  # not at the top: earlier code has no such file

    step = Compiled(how).meta_gradient
    return lambda: step(*case)[1]


def floor(case: Case) -> Method:
    """K + 1 plain passes forward and backward of all examples through ω: what nobody can do without."""
    learner, episode, loop = case
    omega = list(learner.parameters())
    support, query = ({name: value.flatten(0, 1) for name, value in batch.items()} for batch in data_of(episode))

    def passes() -> tuple[Tensor, ...]:
        for _ in range(loop.steps):
            torch.autograd.grad(learner(support).mean(), omega)
        return torch.autograd.grad(learner(query).mean(), omega)

    return passes


OURS: dict[str, Build] = {
    "eager": eager,
    "trace": partial(compiled, how="trace"),
    "inductor": partial(compiled, how="inductor"),
    "floor": floor,
}
