"""One meta-gradient of Fixed TreeMAML with a BERT head: minimeta against `higher`, in time and memory.

    python tests/benchmarks/bench_head.py [--repeats 5]

A BERT classifier with random weights (12 layers, hidden 384), of which layer 12, the pooler and the classifier are
adapted; one task for each of the 12 languages of the phylogeny, 3 shots and 3 query examples of 48 tokens, K = 4.
Every method computes the gradient of the mean query loss with respect to the initial parameters of the head:

- minimeta: on the trunk's outputs, which were computed before;
- minimeta, with a memory: the same, and at each step a tree is grown from sketches of the tasks' gradients and a memory
  of earlier ones, as for Learned TreeMAML; what is pooled is the fixed tree's, so that nothing else differs;
- minimeta and the trunk: the same, with the tokens and the trunk's outputs of all 72 examples computed anew;
- higher, whole model: the Hugging Face model as it is, frozen below layer 12, one task after the other;
- higher, whole last layer: on the trunk's outputs, the Hugging Face layer at all positions, one task after the other;
- higher, same head: `reference.adapt_with_higher` on the very module and features that minimeta has.

CPU time of one thread, the methods taking turns (see `timing`). Peak memory is what a first call adds to a new process
(Linux only). The exit status is 1 if a gradient differs by more than 1e-4 (relative), if minimeta is less than 6 times
as fast as `higher` with the whole model, or if a memory makes a step more than 1.15 times as long. How minimeta
compares with itself, compiled or as it was: `bench_speed`.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from cases import LANGUAGES, LENGTH, SHOTS, Case, eager, treemaml
from datasets import Dataset
from peers import HEADS, through_higher
from timing import Here, Method, Promise, machine, measure, table
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer
from transformers.utils import logging

from minimeta.gradient import meta_gradient
from minimeta.grouping import learned_tree
from minimeta.inner import Learner, adapt, cross_entropy
from minimeta.memory import Memory
from minimeta.tasks import Episode
from minimeta.text import encoders
from minimeta.text.corpora import LABELS
from minimeta.text.features import Features

REQUIRED, TOLERANCE, WITH_MEMORY = 6.0, 1e-4, 1.15
ROWS = torch.arange(len(LANGUAGES) * 2 * SHOTS).reshape(len(LANGUAGES), 2 * SHOTS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-of", metavar="METHOD", help="only print the MiB that a first call of METHOD adds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        found, copies = methods(Path(folder))
    if options.memory_of:
        print(added_memory(found[options.memory_of]))
        return 0
    print(f"BERT head: {len(LANGUAGES)} tasks, {SHOTS} shots, fixed tree; {options.repeats} repetitions")
    print(machine())
    print(copies)
    seconds, errors = measure({name: Here(method, "cpu") for name, method in found.items()}, options.repeats)
    table(seconds, errors, "minimeta")
    faster = seconds["higher, whole model"] / seconds["minimeta"]
    longer = seconds["minimeta, with a memory"] / seconds["minimeta"]
    promises = [
        Promise("times as fast as higher with the whole model", faster, REQUIRED),
        Promise("times as long with a memory", longer, WITH_MEMORY, at_most=True),
        Promise("largest difference of a gradient", max(errors.values()), TOLERANCE, at_most=True),
    ]
    for name in found if Path("/proc/self/clear_refs").exists() else ():
        command = [sys.executable, __file__, "--memory-of", name]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"peak memory added by {name}: {output.strip()} MiB")
    print(*promises, sep="\n")
    return any(promise.missed for promise in promises)


def methods(folder: Path) -> tuple[dict[str, Method], str]:
    """Each way to compute the meta-gradient, minimeta first, and the parameter copies that minimeta holds.

    The model passes through `folder`.
    """
    corpus = write_encoder(folder)
    encoder = encoders.nli(folder)

    def case_of(features: Features) -> Case:
        episode = Episode(LANGUAGES, (features[ROWS[:, :SHOTS]],), features[ROWS[:, SHOTS:]])
        return Case(encoder.learner, episode, treemaml())

    cached = case_of(encoder.features(corpus))
    assert cached.episode.query["hidden"].shape[2] == LENGTH
    with torch.no_grad():
        steps = adapt(cached.learner, cached.episode, **vars(cached.loop)).steps
    clusters = [max(step.labels) + 1 for step in steps]
    size = sum(p.numel() for p in encoder.learner.parameters())
    copies = (
        f"Head of {size:,} parameters ({size * 4 / 2**20:.1f} MiB); minimeta keeps one copy for each cluster: "
        f"{', '.join(map(str, clusters))} at steps 1 to {len(clusters)}, instead of {len(LANGUAGES)}"
    )

    model = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    model.requires_grad_(False)
    for part in (model.bert.encoder.layer[-1], model.bert.pooler, model.classifier):
        part.requires_grad_(True)
    whole = Learner(WholeModel(model), cross_entropy)
    tokens = encoder.tokenizer(corpus["premise"][:], corpus["hypothesis"][:], return_tensors="pt")
    tokens = {name: tokens[name][ROWS] for name in ("input_ids", "attention_mask", "token_type_ids")}
    tokens["y"] = torch.tensor(corpus["label"][:])[ROWS]
    plain = Episode(
        LANGUAGES,
        ({name: value[:, :SHOTS] for name, value in tokens.items()},),
        {name: value[:, SHOTS:] for name, value in tokens.items()},
    )
    found = {
        "minimeta": eager(cached),
        "minimeta, with a memory": with_memory(cached),
        "minimeta and the trunk": lambda: eager(case_of(encoder.features(corpus)))(),
        "higher, whole model": lambda: through_higher(Case(whole, plain, treemaml())),
        **{name: build(cached) for name, build in HEADS.items()},
    }
    return found, copies


def with_memory(case: Case) -> Method:
    """The step of a tree that remembers, which then pools along the fixed tree."""
    learned = learned_tree(depth=case.loop.steps, memory=Memory())

    def group(step: int, *rest: Any) -> Sequence[int]:
        learned(step, *rest)
        return case.loop.grouping(step, *rest)

    def step() -> Sequence[Tensor]:
        found = meta_gradient(case.learner, case.episode, replace(case.loop, grouping=group))[1]
        learned.memory.remember()
        return found

    return step


class WholeModel(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.model(input_ids, attention_mask, token_type_ids).logits


def write_encoder(folder: Path) -> Dataset:
    """Save a random classifier and its tokenizer; returns a corpus of which every pair has 48 tokens."""
    words = [f"word{i}" for i in range(1995)]
    config = BertConfig(
        vocab_size=2000,
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=1536,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )
    logging.disable_progress_bar()
    BertForSequenceClassification(config).save_pretrained(folder)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    BertTokenizer(vocab={word: i for i, word in enumerate(special + words)}).save_pretrained(folder)

    def sentences(length: int) -> list[str]:
        return [" ".join(words[i] for i in row) for row in torch.randint(len(words), (ROWS.numel(), length)).tolist()]

    labels = [i % 3 for i in range(ROWS.numel())]
    return Dataset.from_dict({"premise": sentences(30), "hypothesis": sentences(LENGTH - 33), "label": labels})


def added_memory(method: Method) -> int:
    """MiB by which the process's peak grows over what it has now when `method` is called once."""

    def kilobytes(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field))

    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to the present size
    before = kilobytes("VmRSS")
    method()
    return (kilobytes("VmHWM") - before) // 1024


if __name__ == "__main__":
    sys.exit(main())
