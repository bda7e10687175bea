"""A method trained and scored: the papers' settings at three scales, and one run from the encoder to its record."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InputError, some
from ..grouping import Grouping, alone, no_gradients
from ..inner import Learner
from ..outer import evaluate, meta_train
from ..tasks import Sampler
from ..text import identity
from ..text.corpora import TASKS, classes_of, task_of
from ..text.episodes import columns, rows_of, sampler, target_episodes
from ..text.features import Features
from ..text.languages import ordered
from ..text.metrics import METRICS
from ..trees import TaskTree
from . import checkpoints
from .methods import KINDS, METHODS, Cell, check_kinds, small_rates

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Settings:
    """The numbers of a run. Rates and steps are for SGD in the inner loop and Adam in the outer loop.

    Fine-tuning on the target's dev rows is one epoch of Adam with `tune_rate` and batches of `tune_batch` rows.
    `first_order` leaves out the second derivatives of meta-training; `tasks_per_chunk` bounds its memory and that of
    adapting at test time, with the same numbers (see `gradient.meta_gradient`). `compile` says how both are computed
    (see `compiled`). `tree` is the tree that a method
    follows in place of its own one, in Newick, level by level; "" where there is none.
    """

    scale: str
    outer_steps: int
    inner_rate: float
    outer_rate: float
    inner_steps: int = 4
    shots: int = 3
    queries: int = 6
    genres_per_language: int | None = 1
    adapt: str = "head"
    max_length: int = 128
    weight_decay: float = 0.0
    linear_decay: bool = False
    target_shots: int = 3
    tune_rate: float = 1e-4
    tune_batch: int = 32
    first_order: bool = False
    tasks_per_chunk: int | None = None
    bf16: bool = False
    compile: str | None = "auto"
    tree: str = ""


# TreeMAML states K, shots and layer 12; its rates, queries and outer steps are ours. The rest is XLA-MAML, section 4.2.
_LANGUAGES = {"shots": 8, "queries": 8, "genres_per_language": None}
_QUESTIONS = _LANGUAGES | {"outer_steps": 100, "inner_steps": 1, "tune_batch": 12, "max_length": 384}  # K is not stated
_PAPER = {"inner_rate": 1e-5, "outer_rate": 1e-5, "adapt": "all", "weight_decay": 0.01, "linear_decay": True}

SCALES: dict[str, dict[str, Settings]] = {
    "toy": {
        "genres": Settings("toy", 50, inner_rate=0.02, outer_rate=1e-3, tune_rate=1e-3),
        # On held-out rows 0.02 was as good as any for tasks by genre, 0.005 a little better for X-MAML (RESULTS.md).
        "languages": Settings("toy", 50, inner_rate=0.005, outer_rate=1e-3, tune_rate=1e-3, **_LANGUAGES),
        # An outer rate of 1e-3 lost on held-out questions.
        "questions": Settings("toy", inner_rate=0.005, outer_rate=1e-4, tune_rate=1e-3, **_QUESTIONS),
    },
    "small": {  # the rates of NLI are those of the method's row; see `settings_for`
        "genres": Settings("small", 60, inner_rate=0.02, outer_rate=1e-4),
        "languages": Settings("small", 60, inner_rate=0.02, outer_rate=1e-4, tune_rate=1e-3, **_LANGUAGES),
        "questions": Settings("small", inner_rate=0.005, outer_rate=1e-4, tune_rate=1e-3, **_QUESTIONS),
    },
    "full": {
        "genres": Settings("full", 500, inner_rate=0.02, outer_rate=1e-4, genres_per_language=None),
        # The rates of fine-tuning are those of stage two: the paper states one epoch and no rate.
        "languages": Settings("full", 500, inner_steps=1, tune_rate=2e-5, **_LANGUAGES, **_PAPER),
        "questions": Settings("full", tune_rate=3e-5, **_QUESTIONS, **_PAPER),
    },
}
"""The numbers for tasks by genre (TreeMAML), tasks that are languages (XLA-MAML) and question answering."""


def check_scale(scale: str) -> None:
    """Raise InputError for a scale that there is not."""
    if scale not in SCALES:
        raise InputError(f"Unknown scale {scale!r}; the scales are {', '.join(SCALES)}.")


def settings_for(cell: Cell, scale: str, task: str = "nli") -> Settings:
    """The numbers for a cell at a scale; `task` is "nli" or "qa"."""
    check_scale(scale)
    settings = SCALES[scale]["questions" if task == "qa" else cell.tasks]
    if scale == "small" and task == "nli":
        inner, outer = small_rates(cell.method)
        settings = replace(settings, inner_rate=inner, outer_rate=outer)
    return settings


def grouping_for(cell: Cell, settings: Settings, seed: int) -> Grouping:
    """Who shares gradients in a cell's runs."""
    method = METHODS[cell.method]
    return method.grouping(TaskTree.from_newick(settings.tree) if settings.tree else method.tree, seed)


def sampler_for(cell: Cell, corpus: Dataset, settings: Settings, seed: int, targets: Sequence[str] = ()) -> Sampler:
    """The training episodes of a cell (row numbers). Joint sees the rows of support and query alike."""
    method = METHODS[cell.method]
    shots, queries = settings.shots, settings.queries
    return sampler(
        corpus,
        cell.auxiliaries,
        support=method.support.of(cell) if method.support else None,
        by="genre" if cell.by_genre else None,
        shots=shots if method.support else 0,
        queries=queries if method.support else shots + queries,
        per_language=settings.genres_per_language if cell.by_genre else None,
        covering=cell.covering,
        parallel=cell.parallel,
        target=targets,
        seed=seed,
    )


def check_cell(
    cell: Cell,
    targets: Sequence[str],
    corpus: Dataset,
    settings: Settings,
    split: str = "test",
    kinds: Sequence[str] = tuple(KINDS),
) -> None:
    """Raise InputError, before any training, if corpus, tree or settings cannot give what the cell and its tests need.

    Its tests are those of its kinds that are in `kinds`.
    """
    asked = [kind for kind in cell.kinds if kind in kinds]
    if task_of(corpus) == "qa" and cell.by_genre:
        raise InputError(
            f"{METHODS[cell.method].title} would have tasks by genre, and question answering has tasks by language; "
            "name methods that have them, with x-maml or xla-maml among them."
        )
    there = set(columns(corpus)["language"])
    support = METHODS[cell.method].support
    if support and support.fixed and support.fixed not in there:
        raise InputError(
            f"{METHODS[cell.method].title} takes its support rows in {support.fixed}, and the corpus has none; give it "
            "such rows, or leave the method out."
        )
    if lacking := [code for code in cell.languages if code not in there]:
        raise InputError(
            f"{METHODS[cell.method].title} would be trained on {some(lacking)}, and the corpus has no rows in it; name "
            f"auxiliary languages that it has with --aux: {', '.join(ordered(there))}."
        )
    for target in targets:
        target_episodes(corpus, target, 0, split=split)
        if (adapted := [kind for kind in asked if kind != "zero-shot"]) and not rows_of(corpus, target, "dev"):
            raise InputError(
                f"There are no dev rows in {target}, which {' and '.join(adapted)} tests adapt to; give it some, or "
                "make it a study of zero-shot tests (--kinds zero-shot)."
            )
        if "few-shot" in asked:
            target_episodes(corpus, target, settings.target_shots, split=split)
        if "fine-tuned" in asked:
            sampler(corpus, target, shots=0, queries=settings.tune_batch)
    shots, wanted = settings.shots, settings.target_shots
    if METHODS[cell.method].pools and "few-shot" in asked and shots != wanted:
        raise InputError(
            f"{METHODS[cell.method].title} is tested with training tasks beside the target, all with as many shots, "
            f"not {shots} and {wanted}; set shots and target_shots to one number."
        )
    if METHODS[cell.method].trains:
        tasks = (*sampler_for(cell, corpus, settings, 0, targets)(0).tasks, *targets)
        if METHODS[cell.method].tree:  # it says which task has no place
            grouping_for(cell, settings, 0)(1, tasks, [0] * len(tasks), no_gradients)


def train(
    cell: Cell, features: Features, settings: Settings, seed: int, targets: Sequence[str] = ()
) -> tuple[Learner, meta_train]:
    """A fresh copy of the encoder's learner and its meta-training, not yet begun; iterate to train.

    No row of `targets` will be drawn, but for the support of few-shot XLA-MAML.
    """
    learner, method = copy.deepcopy(features.encoder.learner), METHODS[cell.method]
    draw, steps = _nothing, settings.outer_steps if method.trains else 0
    if method.trains:
        rows = sampler_for(cell, features.corpus, settings, seed, targets)
        draw = features.episodes(rows, steps, few_lengths=settings.compile in ("trace", "inductor"))
    return learner, meta_train(
        learner,
        draw,
        grouping_for(cell, settings, seed),
        settings.inner_steps if method.support else 0,
        settings.inner_rate,
        steps,
        settings.outer_rate,
        settings.weight_decay,
        settings.linear_decay,
        settings.first_order,
        settings.tasks_per_chunk,
        method.moves,
        settings.compile,
    )


def fine_tune(learner: Learner, features: Features, target: str, settings: Settings, seed: int) -> Learner:
    """A copy of the learner after one epoch of ordinary training on the target's dev rows (XLA-MAML, section 4.2).

    That is `meta_train` without inner steps, on batches that cover the rows; the last one is filled up with rows
    of a second pass.
    """
    learner = copy.deepcopy(learner)
    for _ in tuning(learner, features, target, settings, seed):
        pass
    return learner


def tuning(learner: Learner, features: Features, target: str, settings: Settings, seed: int) -> meta_train:
    """The training of `fine_tune`, of the learner itself, not yet begun."""
    corpus = features.corpus
    draw = sampler(corpus, target, shots=0, queries=settings.tune_batch, covering=True, seed=seed)
    batches = -(-len(rows_of(corpus, target, "dev")) // settings.tune_batch)
    numbers = (settings.tune_rate, settings.weight_decay, settings.linear_decay)
    return meta_train(learner, features.episodes(draw, batches), alone(), 0, 0.0, batches, *numbers)


def score(
    cell: Cell,
    learner: Learner,
    features: Features,
    target: str,
    kind: str,
    settings: Settings,
    seed: int,
    split: str = "test",
    grouping: Grouping | None = None,
) -> dict[str, Any]:
    """Test a trained learner on every row of the target in `split`; `kind` is one of KINDS.

    Few-shot, methods that pool take their inner steps with a batch of training tasks beside the target's shots; the
    others with the target's shots alone, and zero-shot with none; `grouping` is that of the training, which may
    remember (without it, a new one). All draws are paired by seed. The result has the
    METRICS of the task in percent, the number of rows `n` and what was `predicted` for each, in the order of
    `scored_rows`, as `corpora.Task` says.
    """
    check_kinds([kind])
    grouping = grouping or grouping_for(cell, settings, seed)
    corpus, pools = features.corpus, METHODS[cell.method].pools and kind != "fine-tuned"
    if kind == "fine-tuned":
        learner = fine_tune(learner, features, target, settings, seed)
    if task_of(corpus) == "qa":  # no method takes inner steps when it is tested on questions
        numbers = rows_of(corpus, target, split)
        return _scored(corpus, target, split, features.predict(learner, numbers))
    shots = settings.target_shots if kind == "few-shot" else 0
    companions = sampler_for(cell, corpus, settings, seed) if pools else None
    rows, predicted = [], []
    episodes = target_episodes(corpus, target, shots, companions, split, seed)
    results = evaluate(
        learner,
        map(features.episodes(episodes.__getitem__, len(episodes)), range(len(episodes))),
        grouping,
        settings.inner_steps if shots or pools else 0,
        settings.inner_rate,
        settings.tasks_per_chunk,
        METHODS[cell.method].moves,
        settings.compile,
    )
    for episode, result in zip(episodes, results, strict=True):
        rows += episode.query["row"].flatten().tolist()
        predicted += result.outputs.argmax(-1).flatten().tolist()
    rows, predicted = zip(*sorted(zip(rows, predicted, strict=True)), strict=True)
    return _scored(corpus, target, split, _recorded(predicted, corpus))


def _scored(corpus: Dataset, target: str, split: str, predicted: Sequence[str]) -> dict[str, Any]:
    """Predictions for all rows of a language in a split, with the METRICS of the task."""
    task = task_of(corpus)
    right = scored_rows(corpus, target, split)[TASKS[task].right]
    scores = {metric.name: metric.score(predicted, right, target) for metric in METRICS[task]}
    return scores | {"n": len(predicted), "predicted": predicted}


def scored_rows(corpus: Dataset, target: str, split: str = "test") -> dict[str, Any]:
    """The `pair`, `premise_id` and `label` of the target's rows in `split`, in their order.

    Of questions, the `pair`, `passage_id` and `answers`.
    """
    chosen, task = corpus.select(rows_of(corpus, target, split)), TASKS[task_of(corpus)]
    rows = {name: chosen[name][:] for name in ("pair", task.group, task.right)}
    return rows | {"label": _recorded(rows["label"], corpus)} if "label" in rows else rows


def _recorded(labels: Sequence[int], corpus: Dataset) -> str | list[int]:
    """Labels as they go on record: a text of one digit each, or numbers where there are more than ten classes."""
    return "".join(map(str, labels)) if len(classes_of(corpus)) <= 10 else list(labels)


def run(
    cell: Cell,
    targets: Sequence[str],
    features: Features,
    settings: Settings,
    seed: int,
    kinds: Sequence[str] = tuple(KINDS),
    folder: str | Path | None = None,
    split: str = "test",
    keep: Callable[[Learner, dict[str, Any]], object] = lambda learner, record: None,
) -> dict[str, Any]:
    """Train one cell with one seed and score it on each target's `split`, in those of its kinds that are in `kinds`.

    Returns a record that can be kept as JSON. With a `folder`, the training leaves checkpoints there and goes on from
    them (see `checkpoints.train`). `keep` is told of the learner as it was trained, and of its record, at the end.
    """
    torch.manual_seed(seed)
    start, encoding = time.perf_counter(), features.seconds
    learner, training = train(cell, features, settings, seed, targets)
    if folder is None:
        losses = [report.outer_loss for report in training]
    else:
        content = identity.made_of(features, {*cell.languages, *targets})
        made_of = asdict(cell) | asdict(settings) | {"seed": seed} | content
        losses = checkpoints.train(training, folder, made_of)
    trained, encoding = time.perf_counter(), features.seconds - encoding
    results = {
        target: {
            kind: score(cell, learner, features, target, kind, settings, seed, split, training.loop.grouping)
            for kind in cell.kinds
            if kind in kinds
        }
        for target in targets
    }
    record = {
        **asdict(cell),
        "seed": seed,
        "settings": asdict(settings),
        "encoder": features.encoder.name,
        "versions": identity.versions(),
        "outer_losses": losses,
        "train_seconds": trained - start - encoding,
        "feature_seconds": encoding,
        "score_seconds": time.perf_counter() - trained,
        "results": results,
    }
    keep(learner, record)
    return record


def _nothing(step: int) -> Any:
    raise InputError("The baseline has no training episodes.")
