"""One meta-gradient of Fixed TreeMAML with a BERT head: minimeta against `higher`, in time and memory.

    python tests/benchmarks/bench_head.py [--repeats 5]

A BERT classifier with random weights (12 layers, hidden 384), of which layer 12, the pooler and the classifier are
adapted; one task for each of the 12 languages of the phylogeny, 3 shots and 3 query examples of 48 tokens, K = 4.
Every method computes the gradient of the mean query loss with respect to the initial parameters of the head:

- minimeta: on the trunk's outputs, which were computed before;
- minimeta and the trunk: the same, with the tokens and the trunk's outputs of all 72 examples computed anew;
- higher, whole model: the Hugging Face model as it is, frozen below layer 12, one task after the other;
- higher, whole last layer: on the trunk's outputs, the Hugging Face layer at all positions, one task after the other;
- higher, same head: `reference.adapt_with_higher` on the very module and features that minimeta has.

The first two with `higher` make one functional copy of the module and hand it the parameters of each task's cluster:
patching a copy per task, as `adapt_with_higher` does, would add up to a second for the whole model.

CPU time of one thread. In each repetition the methods take turns, after one call each that is not timed (see
`bench_sinusoid.measure`); the table gives the median and its ratio to minimeta's. Peak memory is what a first call adds
to a new process (Linux only). The exit status is 1 if a gradient differs by more than 1e-4 (relative) or if minimeta
is less than 6 times as fast as `higher` with the whole model.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import higher
import torch
from bench_sinusoid import Method, machine, measure, report
from datasets import Dataset
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer
from transformers.utils import logging

from minimeta.grouping import Grouping, fixed_tree, regroup
from minimeta.inner import Learner, adapt, cross_entropy, query_losses
from minimeta.reference import adapt_with_higher
from minimeta.tasks import Batch, Episode
from minimeta.text import encoders
from minimeta.text.corpora import LABELS
from minimeta.text.features import Features
from minimeta.text.languages import PHYLOGENY

TASKS, SHOTS, LENGTH, STEPS, RATE = PHYLOGENY.leaves, 3, 48, 4, 0.05
REQUIRED = {"higher, whole model": 6.0}
TOLERANCE = 1e-4
ROWS = torch.arange(len(TASKS) * 2 * SHOTS).reshape(len(TASKS), 2 * SHOTS)


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
    print(f"BERT head: {len(TASKS)} tasks, {SHOTS} shots, K = {STEPS}, fixed tree; {options.repeats} repetitions")
    print(machine())
    print(copies)
    failed = report(*measure(found, options.repeats), REQUIRED, TOLERANCE)
    for name in found if Path("/proc/self/clear_refs").exists() else ():
        command = [sys.executable, __file__, "--memory-of", name]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"peak memory added by {name}: {output.strip()} MiB")
    return failed


def methods(folder: Path) -> tuple[dict[str, Method], str]:
    """Each way to compute the meta-gradient, minimeta first, and the parameter copies that minimeta holds.

    The model passes through `folder`.
    """
    corpus = write_encoder(folder)
    encoder = encoders.nli(folder)
    learner, grouping = encoder.learner, fixed_tree(PHYLOGENY)
    head = list(learner.parameters())

    def episode_of(features: Features) -> Episode:
        return Episode(TASKS, (features[ROWS[:, :SHOTS]],), features[ROWS[:, SHOTS:]])

    cached = episode_of(encoder.features(corpus))
    assert cached.query["hidden"].shape[2] == LENGTH

    def minimeta(episode: Episode = cached) -> tuple[Tensor, ...]:
        adapted = adapt(learner, episode, grouping, STEPS, RATE)
        return torch.autograd.grad(query_losses(learner, adapted, episode).mean(), head)

    def minimeta_and_trunk() -> tuple[Tensor, ...]:
        return minimeta(episode_of(encoder.features(corpus)))

    with torch.no_grad():
        clusters = [max(step.labels) + 1 for step in adapt(learner, cached, grouping, STEPS, RATE).steps]
    size = sum(p.numel() for p in head)
    copies = (
        f"Head of {size:,} parameters ({size * 4 / 2**20:.1f} MiB); minimeta keeps one copy for each cluster: "
        f"{', '.join(map(str, clusters))} at steps 1 to {STEPS}, instead of {len(TASKS)}"
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
        TASKS,
        ({name: value[:, :SHOTS] for name, value in tokens.items()},),
        {name: value[:, SHOTS:] for name, value in tokens.items()},
    )
    module = learner.module
    layer = Learner(WholeLayer(module.layer, module.pooler, module.classifier), cross_entropy)

    def same_head() -> tuple[Tensor, ...]:
        adapted = adapt_with_higher(learner, cached, grouping, STEPS, RATE)
        losses = [copy(of_task(cached.query, task)).mean() for task, copy in enumerate(adapted)]
        return torch.autograd.grad(torch.stack(losses).mean(), head)

    found = {
        "minimeta": minimeta,
        "minimeta and the trunk": minimeta_and_trunk,
        "higher, whole model": lambda: through_higher(whole, plain, grouping),
        "higher, whole last layer": lambda: through_higher(layer, cached, grouping),
        "higher, same head": same_head,
    }
    return found, copies


def through_higher(
    learner: nn.Module, episode: Episode, grouping: Grouping, steps: int = STEPS, rate: float = RATE
) -> tuple[Tensor, ...]:
    """The meta-gradient through one functional copy, with the parameters of each cluster held once."""
    functional = higher.monkeypatch(learner, copy_initial_weights=False)
    support = episode.support[0]
    labels, theta = [0] * len(episode.tasks), [list(learner.parameters())]
    for k in range(1, steps + 1):
        labels, origin, _ = regroup(grouping, k, episode.tasks, labels)
        theta = [theta[parent] for parent in origin]
        gradients: list[list[tuple[Tensor, ...]]] = [[] for _ in theta]
        for task, label in enumerate(labels):
            loss = functional(of_task(support, task), params=theta[label]).mean()
            moving = [p for p in theta[label] if p.requires_grad]
            gradients[label].append(torch.autograd.grad(loss, moving, create_graph=True))
        for label, own in enumerate(gradients):
            pooled = iter([sum(parts) / len(parts) for parts in zip(*own, strict=True)])
            theta[label] = [p - rate * next(pooled) if p.requires_grad else p for p in theta[label]]
    losses = [functional(of_task(episode.query, i), params=theta[label]).mean() for i, label in enumerate(labels)]
    return torch.autograd.grad(torch.stack(losses).mean(), [p for p in learner.parameters() if p.requires_grad])


class WholeModel(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.model(input_ids, attention_mask, token_type_ids).logits


class WholeLayer(nn.Module):
    """The head as Hugging Face computes it: the last layer at all positions."""

    def __init__(self, layer: nn.Module, pooler: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.layer, self.pooler, self.classifier = layer, pooler, classifier

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        additive = (1 - mask.to(hidden.dtype))[:, None, None, :] * torch.finfo(hidden.dtype).min
        return self.classifier(self.pooler(self.layer(hidden, additive)))


def of_task(batch: Batch, task: int) -> Batch:
    return {name: value[task] for name, value in batch.items()}


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
