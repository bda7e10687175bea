"""The papers' meta-gradients on a model of mBERT's size: seconds, memory, and the ratio to `higher`.

    python tests/benchmarks/bench_full.py --device cuda --repeats 3
    python tests/benchmarks/bench_full.py --device cpu --repeats 0 --tasks-higher 4

A BERT classifier with random weights and mBERT's sizes (12 layers, hidden 768, 119,547 word pieces), float32, eager
attention, dropout off. The two steps are:

- TreeMAML: Fixed TreeMAML without its target de, 11 languages x 10 genres = 110 tasks, 3 shots and 6 query examples,
  K = 4; layer 12, pooler and classifier adapted, the trunk's outputs computed before. Against the usual loop with
  `higher`: the whole Hugging Face model, one task after the other, parameters held once per cluster (`peers`).
- XLA-MAML: one task, 8 + 8 examples, K = 1, all parameters adapted.

Each case has the model to itself, in a process of its own on a CPU. Seconds are the median of `--repeats` calls after
a first one (`--repeats 0`: that of the first one); on a CPU it is CPU time of one thread. Memory is what the peak of
the first call adds to the model and the episode: allocated tensors on a GPU, resident memory on a CPU (Linux only).

In the timed TreeMAML steps the trunk's outputs are noise: their values change neither time nor memory. Where a gradient
is compared with that of `higher`, they are the trunk's, computed before or in the step ("and the trunk"). `higher` is
measured on fewer tasks (`--tasks-higher`), spread over the languages; ratios are per task.

Last comes what a whole outer step needs: the model, the episode, Adam's two moments, and the larger one of what the
gradient adds and what the update by `meta_train` adds, plus 1 GiB for the CUDA context.

The exit status is 1 if a gradient differs from that of `higher` by more than 1e-4 (relative).
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from apart import ROOT, environment
from bench_head import WholeModel, added_memory
from cases import GENRES, Case, on
from peers import through_higher
from timing import machine
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from minimeta.gradient import meta_gradient
from minimeta.grouping import alone, fixed_tree
from minimeta.inner import InnerLoop, Learner, cross_entropy
from minimeta.outer import meta_train
from minimeta.tasks import Batch, Episode
from minimeta.text import heads
from minimeta.text.languages import PHYLOGENY

SHOTS, QUERIES, STEPS = 3, 6, 4
RATE = 0.02  # large enough for second derivatives to show where gradients are compared
TREE, LANGUAGE = partial(InnerLoop, fixed_tree(PHYLOGENY), STEPS, RATE), partial(InnerLoop, alone(), 1, RATE)
GIB, CONTEXT = 2**30, 1.0
CARDS = (12, 16, 24, 80)
TOLERANCE = 1e-4

Gradient = list[Tensor]
Measured = Callable[[argparse.Namespace], tuple[nn.Module, list[Episode], Callable[[], Any]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--tasks", type=int, default=len(GENRES), help=f"of the TreeMAML step (default: {len(GENRES)})")
    parser.add_argument("--tasks-higher", type=int, default=22, help="of that step through higher (default: 22)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the cases with TEXT in their names")
    parser.add_argument("--case", help="only measure this case and print its figures as JSON")
    parser.add_argument("--gradient", type=Path, help="with --case: write the gradient to this file")
    options = parser.parse_args()
    options.tasks_higher = min(options.tasks_higher, options.tasks)
    torch.set_num_threads(1 if options.device == "cpu" else torch.get_num_threads())
    if options.case:
        figures, gradient = measure(cases()[options.case], options)
        if options.gradient:
            torch.save(gradient, options.gradient)
        print(json.dumps(figures))
        return 0
    print(f"mBERT's size, {options.tokens} tokens, K = {STEPS} and 1; repeats: {options.repeats}")
    print(machine() if options.device == "cpu" else f"{machine()}, {torch.cuda.get_device_name()}")
    with tempfile.TemporaryDirectory() as folder:
        found = {name: figures_of(name, options, Path(folder)) for name in cases() if options.only in name}
        return report(found, options, Path(folder))


def cases() -> dict[str, Measured]:
    """What is measured, by name; those of one step begin with its name, and its ratios are to the first of them."""
    return {
        "TreeMAML": tree,
        "TreeMAML, 10 tasks per chunk": partial(tree, tasks_per_chunk=10),
        "TreeMAML, 1 task per chunk": partial(tree, tasks_per_chunk=1),
        "TreeMAML, first order": partial(tree, first_order=True),
        "TreeMAML, as many tasks as higher": partial(tree, compared=True),
        "TreeMAML, as many tasks as higher, and the trunk": tree_and_trunk,
        "TreeMAML, higher": tree_through_higher,
        "XLA-MAML": language,
        "XLA-MAML, 1 task per chunk": partial(language, tasks_per_chunk=1),
        "XLA-MAML, first order": partial(language, first_order=True),
        "XLA-MAML, first order, 1 task per chunk": partial(language, first_order=True, tasks_per_chunk=1),
        "XLA-MAML, higher": language_through_higher,
        "Adam, layer 12": partial(update, adapt="head"),
        "Adam, all parameters": partial(update, adapt="all"),
    }


def tree(options: argparse.Namespace, compared: bool = False, **how: Any) -> Any:
    """The TreeMAML step; `compared`: with the tasks that `higher` has, and the trunk's outputs."""
    model = mbert(options.device)
    learner, trunk = split(model)
    if compared:
        episode = token_episode(tree_tasks(options.tasks_higher), options, SHOTS, QUERIES)
        with torch.no_grad():
            episode = episode_of(episode, lambda batch: through_trunk(trunk, batch))
    else:
        generator = torch.Generator().manual_seed(2)
        episode = token_episode(tree_tasks(options.tasks), options, SHOTS, QUERIES)
        episode = episode_of(
            episode,
            lambda batch: {
                "hidden": torch.randn(*batch["mask"].shape, model.config.hidden_size, generator=generator).to(
                    options.device
                ),
                "mask": batch["mask"],
                "y": batch["y"],
            },
        )
    return model, [episode], lambda: meta_gradient(learner, episode, TREE(**how))[1]


def tree_and_trunk(options: argparse.Namespace) -> Any:
    """The TreeMAML step with the tasks that `higher` has, the trunk's outputs computed anew."""
    model = mbert(options.device)
    learner, trunk = split(model)
    tokens = token_episode(tree_tasks(options.tasks_higher), options, SHOTS, QUERIES)

    def step() -> Gradient:
        with torch.no_grad():
            episode = episode_of(tokens, lambda batch: through_trunk(trunk, batch))
        return meta_gradient(learner, episode, TREE())[1]

    return model, [tokens], step


def tree_through_higher(options: argparse.Namespace) -> Any:
    """The same with `higher`: the whole model as it is, frozen below layer 12."""
    model = mbert(options.device)
    split(model)
    episode = token_episode(tree_tasks(options.tasks_higher), options, SHOTS, QUERIES)
    whole = Learner(WholeModel(model), cross_entropy)
    return model, [episode], lambda: through_higher(Case(whole, episode, TREE()))


def language(options: argparse.Namespace, **how: Any) -> Any:
    """The XLA-MAML step: one task, all parameters, K = 1."""
    model = mbert(options.device)
    learner, _ = split(model, adapt="all")
    episode = token_episode(["hi"], options, 8, 8)
    return model, [episode], lambda: meta_gradient(learner, episode, LANGUAGE(**how))[1]


def language_through_higher(options: argparse.Namespace) -> Any:
    """The same with `higher`."""
    model = mbert(options.device)
    episode = token_episode(["hi"], options, 8, 8)
    whole = Learner(WholeModel(model), cross_entropy)
    return model, [episode], lambda: through_higher(Case(whole, episode, LANGUAGE()))


def update(options: argparse.Namespace, adapt: str) -> Any:
    """An outer step of which nearly all is the update: joint training on one example of a few tokens."""
    model = mbert(options.device)
    learner, trunk = split(model, adapt)
    episode = token_episode(["hi"], argparse.Namespace(**vars(options) | {"tokens": 4}), 1, 1)
    if adapt == "head":
        with torch.no_grad():
            episode = episode_of(episode, lambda batch: through_trunk(trunk, batch))
    training = meta_train(learner, lambda step: episode, alone(), 0, RATE, 100)
    next(training)  # Adam's moments are counted apart
    return model, [episode], lambda: next(training) and []


def mbert(device: str) -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=119_547, num_labels=3)
    return BertForSequenceClassification._from_config(config, attn_implementation="eager").eval().to(device)


def split(model: BertForSequenceClassification, adapt: str = "head") -> tuple[Learner, nn.Module]:
    """The learner and the trunk, as `encoders.nli` makes them of a directory."""
    layers = model.bert.encoder.layer
    trunk = heads.Trunk(model.bert.embeddings, nn.ModuleList(layers[:-1]))
    head = heads.Head(layers[-1], model.bert.pooler, model.classifier)
    trunk.requires_grad_(adapt == "all")
    return Learner(head if adapt == "head" else heads.Whole(trunk, head), cross_entropy), trunk


def tree_tasks(count: int) -> list[str]:
    """So many of the tasks, spread evenly over the languages."""
    return [GENRES[i * len(GENRES) // count] for i in range(count)]


def token_episode(tasks: list[str], options: argparse.Namespace, shots: int, queries: int) -> Episode:
    """Random tokens without padding, as the inputs of the whole model."""
    generator = torch.Generator().manual_seed(1)

    def batch(examples: int) -> Batch:
        shape = (len(tasks), examples, options.tokens)
        drawn = {
            "input_ids": torch.randint(119_547, shape, generator=generator),
            "mask": torch.ones(shape, dtype=torch.long),
            "token_type_ids": torch.zeros(shape, dtype=torch.long),
            "y": torch.randint(3, shape[:2], generator=generator),
        }
        return on(drawn, options.device)

    return Episode(tuple(tasks), (batch(shots),), batch(queries))


def episode_of(episode: Episode, change: Callable[[Batch], Batch]) -> Episode:
    return Episode(episode.tasks, tuple(change(batch) for batch in episode.support), change(episode.query))


def through_trunk(trunk: nn.Module, batch: Batch) -> Batch:
    """The trunk's outputs in place of the tokens, one task at a time."""
    hidden = [trunk(*inputs) for inputs in zip(batch["input_ids"], batch["mask"], batch["token_type_ids"], strict=True)]
    return {"hidden": torch.stack(hidden), "mask": batch["mask"], "y": batch["y"]}


def measure(case: Measured, options: argparse.Namespace) -> tuple[dict[str, float], Gradient]:
    """Seconds, GiB that the first call adds, GiB of what was there before and of what is trained, and the gradient."""
    cuda = options.device == "cuda"
    model, episodes, method = case(options)
    seconds, gradient = [], []

    def call() -> None:
        gradient.clear()
        start = time.perf_counter() if cuda else time.process_time()
        gradient.extend(method())
        if cuda:
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() if cuda else time.process_time()) - start)

    gc.collect()
    if cuda:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        added = torch.cuda.max_memory_allocated() - before
    else:
        added = added_memory(call) * 2**20
    for _ in range(options.repeats):
        call()
    batches = [batch for episode in episodes for batch in (*episode.support, episode.query)]
    figures = {
        "seconds": statistics.median(seconds[1:] or seconds),
        "added": added / GIB,
        "resident": size([*model.parameters(), *(value for batch in batches for value in batch.values())]),
        "trained": size(p for p in model.parameters() if p.requires_grad),
        "tasks": len(episodes[0].tasks),
    }
    return figures, [part.detach().cpu() for part in gradient]


def size(tensors: Iterable[Tensor]) -> float:
    return sum(tensor.nbytes for tensor in tensors) / GIB


def figures_of(name: str, options: argparse.Namespace, folder: Path) -> dict[str, float] | None:
    """The figures of a case, its gradient in the folder; None if it does not fit into memory."""
    print(f"... {name}", file=sys.stderr, flush=True)
    path = folder / f"{name}.pt"
    if options.device == "cuda":
        try:
            figures, gradient = measure(cases()[name], options)
        except torch.cuda.OutOfMemoryError:
            return None
        finally:
            gc.collect()
            torch.cuda.empty_cache()
        torch.save(gradient, path)
        return figures
    given = [f"--{key.replace('_', '-')}={getattr(options, key)}" for key in ("device", "repeats", "tokens", "tasks")]
    return alone_in_a_process(name, [*given, f"--tasks-higher={options.tasks_higher}", f"--gradient={path}"])


def alone_in_a_process(name: str, given: Sequence[str], code: Path = ROOT) -> dict[str, float] | None:
    """The figures of a case by the minimeta in the folder `code`; None if it does not fit into memory."""
    command = [sys.executable, __file__, "--case", name, *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment(code))
    if done.returncode == -9:  # killed for want of memory
        return None
    done.check_returncode()
    return json.loads(done.stdout)


def difference(name: str, other: str, folder: Path) -> float | None:
    """How far one gradient is from another one, relative to that one; None if there are not both, of as many tasks."""
    paths = [folder / f"{each}.pt" for each in (name, other)]
    if name == other or not all(path.exists() for path in paths):
        return None
    apart = length = 0.0
    for one, two in zip(*(torch.load(path, mmap=True) for path in paths), strict=True):
        apart += (one - two).double().square().sum().item()
        length += two.double().square().sum().item()
    return (apart / length) ** 0.5


def report(found: dict[str, dict[str, float] | None], options: argparse.Namespace, folder: Path) -> int:
    """Print both tables as Markdown; 1 if a gradient is not that of `higher`."""
    print(
        "\n| | tasks | seconds | ratio, per task | adds, GiB | gradient differs | from |\n|---|---|---|---|---|---|---|"
    )
    wrong = 0
    for name, figures in found.items():
        step = name.split(",")[0]
        if step == "Adam":
            continue
        if figures is None:
            print(f"| {name} | | out of memory | | | | |")
            continue
        first = found.get(step)
        ratio = f"{figures['seconds'] / figures['tasks'] / (first['seconds'] / first['tasks']):.2f}" if first else ""
        judged = step == "XLA-MAML" or "as many" in name
        other = f"{step}, higher" if judged else step
        apart = None if name.endswith("higher") and not judged else difference(name, other, folder)
        wrong |= bool(judged and "first order" not in name and apart and apart > TOLERANCE)
        print(
            f"| {name} | {figures['tasks']} | {figures['seconds']:.2f} | {ratio} | {figures['added']:.2f} | "
            + (f"{apart:.1e} | {other} |" if apart is not None else "| |")
        )
    print(f"\n| GiB, with the model, the episode, Adam and {CONTEXT:g} for CUDA | needs |", end="")
    print("".join(f" {card} GB |" for card in CARDS) + "\n" + "|---" * (2 + len(CARDS)) + "|")
    for name, figures in found.items():
        adam = found.get("Adam, layer 12" if name.startswith("TreeMAML") else "Adam, all parameters")
        if not figures or not adam or name.startswith("Adam") or "higher" in name:
            continue
        needs = CONTEXT + figures["resident"] + 2 * figures["trained"] + max(figures["added"], adam["added"])
        fits = "".join(f" {'yes' if needs <= card else 'no'} |" for card in CARDS)
        print(f"| {name} | {needs:.1f} |{fits}")
    for name, figures in found.items():
        if figures and name.startswith("Adam"):
            print(
                f"\n{name}: the update adds {figures['added']:.2f} GiB to {figures['trained']:.2f} GiB of parameters."
            )
    print("\nMISSED: a gradient differs" if wrong else "\nmet: gradients agree")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
