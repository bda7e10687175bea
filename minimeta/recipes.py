"""The papers' methods by name: each is one choice of episodes and one choice of grouping for the same loop."""

from __future__ import annotations

import copy
import csv
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from . import __version__
from .encoders import Features
from .episodes import encode, encoded, sampler, target_episodes
from .errors import InputError
from .files import data_directory
from .grouping import Grouping, alone, everyone, fixed_tree, learned_tree, no_gradients, random_tree
from .inner import Learner
from .languages import PHYLOGENY, all_but, check
from .metrics import accuracy
from .outer import evaluate, meta_train
from .tasks import Sampler

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Method:
    """A named recipe. `support`: "same" language as the query, "en", or None; `pools`: who shares a gradient.

    `pools` is "alone", "everyone", "fixed", "learned" or "random" (see `grouping`). `by_genre` tells tasks language x
    genre with the languages pooled in one run from tasks that are whole languages. `controls` are the methods
    that a gain has to be measured against.
    """

    title: str
    source: str
    support: str | None = "same"
    pools: str = "alone"
    by_genre: bool = True
    trains: bool = True
    controls: tuple[str, ...] = ()


METHODS: dict[str, Method] = {
    "baseline": Method("Baseline", "no meta-training", support=None, trains=False),
    "joint": Method("Joint", "control: as many examples, K = 0", support=None, controls=("baseline",)),
    "maml": Method("MAML", "Finn et al. 2017", controls=("baseline", "joint")),
    "x-maml": Method("X-MAML", "Nooralahzadeh et al. 2020", by_genre=False, controls=("baseline", "joint")),
    "xla-maml": Method("XLA-MAML", "XLA-MAML, Alg. 1", "en", by_genre=False, controls=("baseline", "joint", "x-maml")),
    "fixed-treemaml": Method(
        "Fixed TreeMAML",
        "TreeMAML, Alg. 1, Fig. 2",
        pools="fixed",
        controls=("baseline", "joint", "maml", "random-tree", "everyone"),
    ),
    "learned-treemaml": Method(
        "Learned TreeMAML",
        "TreeMAML, Alg. 1 and 2",
        pools="learned",
        controls=("baseline", "joint", "maml", "fixed-treemaml", "random-tree", "everyone"),
    ),
    "random-tree": Method("Random tree", "control: permuted tree", pools="random", controls=("joint", "everyone")),
    "everyone": Method("Everyone", "control: one cluster", pools="everyone", controls=("joint", "maml")),
}


@dataclass(frozen=True)
class Settings:
    """The numbers of a run. Rates and steps are for SGD in the inner loop and Adam in the outer loop."""

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


_LANGUAGE_TASKS = {"shots": 8, "queries": 8, "genres_per_language": None}  # XLA-MAML, section 4.2
SCALES: dict[str, dict[str, Settings]] = {}
for _scale, _settings in {
    "toy": Settings("toy", outer_steps=50, inner_rate=0.02, outer_rate=1e-3),
    "small": Settings("small", outer_steps=50, inner_rate=0.02, outer_rate=1e-4),
    # TreeMAML states K, shots and layer 12; the rates, queries and outer steps are ours.
    "full": Settings("full", 500, inner_rate=0.02, outer_rate=1e-4, genres_per_language=None),
}.items():
    SCALES[_scale] = {"genres": _settings, "languages": replace(_settings, **_LANGUAGE_TASKS)}
# On held-out rows 0.02 was as good as any for tasks by genre, 0.005 a little better for X-MAML (RESULTS.md).
SCALES["toy"]["languages"] = replace(SCALES["toy"]["languages"], inner_rate=0.005)
SCALES["full"]["languages"] = Settings(
    "full",
    outer_steps=500,
    inner_rate=1e-5,
    outer_rate=1e-5,
    inner_steps=1,  # not stated in the paper
    shots=8,
    queries=8,
    genres_per_language=None,
    adapt="all",
    weight_decay=0.01,
    linear_decay=True,
)

# Inner and outer rate of each method at small scale: the best of data/results/small_rates.csv, which
# tests/benchmarks/choose_rates.py measured on held-out dev rows of languages that were neither auxiliary nor target.
RATES_CHOSEN_ON = ("ru", "th")
SMALL_RATES = {
    "baseline": (0.02, 1e-4),
    "joint": (0.02, 1e-4),
    "maml": (0.02, 1e-4),
    "x-maml": (0.005, 1e-4),
    "xla-maml": (0.005, 3e-4),
    "fixed-treemaml": (0.02, 1e-4),
    "random-tree": (0.02, 1e-4),
    "everyone": (0.005, 1e-4),
}


@dataclass(frozen=True)
class Cell:
    """One thing to train: a method on auxiliary languages, with tasks by genre or by language."""

    method: str
    auxiliaries: tuple[str, ...]
    by_genre: bool

    @property
    def name(self) -> str:
        """A short name for files and tables."""
        return f"{self.method} {'+'.join(self.auxiliaries) or 'none'} {'genres' if self.by_genre else 'languages'}"


def cells(methods: Sequence[str], targets: Sequence[str], auxiliaries: Sequence[str] = ()) -> list[Cell]:
    """What to train for these methods and targets, controls with the same auxiliaries as what they control.

    Without `auxiliaries`, methods with tasks by genre take all languages of the phylogeny but the targets
    (TreeMAML) and X-MAML and XLA-MAML take hi (the auxiliary of XLA-MAML's Table 3), or de if hi is a target.
    Joint is trained once for each of these two kinds of episodes that another method uses.
    """
    for name in methods:
        if name not in METHODS:
            raise InputError(f"Unknown method {name!r}; the methods are {', '.join(METHODS)}.")
    targets, auxiliaries = check(targets), check(auxiliaries)
    both = [code for code in auxiliaries if code in targets]
    if both:
        raise InputError(f"{both[0]} is both a target and an auxiliary language; a target must stay unseen.")
    auxiliaries = tuple(dict.fromkeys(auxiliaries))
    by_genre = auxiliaries or all_but(*targets)
    by_language = auxiliaries or tuple(code for code in ("hi", "de", *all_but("en")) if code not in targets)[:1]
    others = {METHODS[name].by_genre for name in methods if name not in ("baseline", "joint")} or {True}
    found = []
    for name in dict.fromkeys(methods):
        kinds = sorted(others, reverse=True) if name == "joint" else [METHODS[name].by_genre]
        for kind in kinds:
            languages = (by_genre if kind else by_language) if METHODS[name].trains else ()
            if METHODS[name].trains and not languages:
                raise InputError("No language is left to train on beside the targets; name auxiliary ones with --aux.")
            if METHODS[name].support == "en" and "en" in (*languages, *targets):
                raise InputError(
                    f"{METHODS[name].title} takes its support from en, so en can be neither its auxiliary (that would "
                    "be X-MAML) nor its target."
                )
            found.append(Cell(name, tuple(languages), kind))
    return found


def settings_for(cell: Cell, scale: str) -> Settings:
    """The numbers for a cell at a scale."""
    if scale not in SCALES:
        raise InputError(f"Unknown scale {scale!r}; the scales are {', '.join(SCALES)}.")
    settings = SCALES[scale]["genres" if cell.by_genre else "languages"]
    if scale == "small" and cell.method in SMALL_RATES:
        inner, outer = SMALL_RATES[cell.method]
        settings = replace(settings, inner_rate=inner, outer_rate=outer)
    return settings


def grouping_for(method: str, seed: int) -> Grouping:
    """The grouping of a method; a random tree is a new draw for each seed."""
    return {
        "alone": alone,
        "everyone": everyone,
        "fixed": lambda: fixed_tree(PHYLOGENY),
        "learned": learned_tree,
        "random": lambda: random_tree(PHYLOGENY, seed),
    }[METHODS[method].pools]()


def sampler_for(cell: Cell, corpus: Dataset, settings: Settings, seed: int) -> Sampler:
    """The training episodes of a cell (row numbers). Joint sees the rows of support and query alike."""
    method = METHODS[cell.method]
    shots, queries = settings.shots, settings.queries
    return sampler(
        corpus,
        cell.auxiliaries,
        support=None if method.support == "same" else method.support,
        by="genre" if cell.by_genre else None,
        shots=shots if method.support else 0,
        queries=queries if method.support else shots + queries,
        per_language=settings.genres_per_language if cell.by_genre else None,
        seed=seed,
    )


def check_cell(cell: Cell, targets: Sequence[str], corpus: Dataset, settings: Settings) -> None:
    """Raise InputError, before any training, if the corpus or the tree cannot give what the cell needs."""
    for target in targets:
        target_episodes(corpus, target, settings.target_shots)
    if METHODS[cell.method].trains:
        tasks = (*sampler_for(cell, corpus, settings, 0)(0).tasks, *targets)
        if METHODS[cell.method].pools != "learned":
            grouping_for(cell.method, 0)(1, tasks, [0] * len(tasks), no_gradients)


def train(cell: Cell, features: Features, settings: Settings, seed: int) -> tuple[Learner, meta_train]:
    """A fresh copy of the encoder's learner and its meta-training, not yet begun; iterate to train."""
    learner = copy.deepcopy(features.encoder.learner)
    trains = METHODS[cell.method].trains
    draw = encoded(sampler_for(cell, features.corpus, settings, seed), features.__getitem__) if trains else _nothing
    return learner, meta_train(
        learner,
        draw,
        grouping_for(cell.method, seed),
        settings.inner_steps if METHODS[cell.method].support else 0,
        settings.inner_rate,
        settings.outer_steps if trains else 0,
        settings.outer_rate,
        settings.weight_decay,
        settings.linear_decay,
    )


def score(
    cell: Cell,
    learner: Learner,
    features: Features,
    target: str,
    shots: int,
    settings: Settings,
    seed: int,
    split: str = "test",
) -> dict[str, Any]:
    """Predictions for every row of the target in `split`, genre by genre, zero-shot if `shots` is 0.

    Methods that pool take their inner steps with a batch of training tasks beside the target's shots; the
    others with the target's shots alone, and zero-shot with none. All draws are paired by seed.
    """
    corpus, pools = features.corpus, METHODS[cell.method].pools != "alone"
    companions = sampler_for(cell, corpus, settings, seed) if pools else None
    rows, predicted = [], []
    episodes = target_episodes(corpus, target, shots, companions, split, seed)
    results = evaluate(
        learner,
        (encode(episode, features.__getitem__) for episode in episodes),
        grouping_for(cell.method, seed),
        settings.inner_steps if shots or pools else 0,
        settings.inner_rate,
    )
    for episode, result in zip(episodes, results, strict=True):
        rows += episode.query["row"].flatten().tolist()
        predicted += result.outputs.argmax(-1).flatten().tolist()
    chosen = corpus.select(rows)
    return {
        "accuracy": accuracy(predicted, chosen["label"][:]),
        "n": len(rows),
        "pair": chosen["pair"][:],
        "premise_id": chosen["premise_id"][:],
        "label": chosen["label"][:],
        "predicted": predicted,
    }


def run(
    cell: Cell,
    targets: Sequence[str],
    features: Features,
    scale: str,
    seed: int,
    progress: Any = lambda reports: reports,
) -> dict[str, Any]:
    """Train one cell with one seed and score it, zero-shot and few-shot, on each target: a JSON-ready record.

    `progress` wraps the iterator of reports (`tqdm.auto.tqdm`, say).
    """
    settings = settings_for(cell, scale)
    torch.manual_seed(seed)
    start, encoding = time.perf_counter(), features.seconds
    learner, training = train(cell, features, settings, seed)
    losses = [report.outer_loss for report in progress(training)]
    trained, encoding = time.perf_counter(), features.seconds - encoding
    results = {
        target: {
            kind: score(cell, learner, features, target, shots, settings, seed)
            for kind, shots in (("zero-shot", 0), ("few-shot", settings.target_shots))
        }
        for target in targets
    }
    return {
        **asdict(cell),
        "seed": seed,
        "settings": asdict(settings),
        "encoder": features.encoder.name,
        "versions": versions(),
        "outer_losses": losses,
        "train_seconds": trained - start - encoding,
        "feature_seconds": encoding,
        "score_seconds": time.perf_counter() - trained,
        "results": results,
    }


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    import platform
    from importlib.metadata import version

    names = ("torch", "transformers", "datasets", "numpy")
    return {"python": platform.python_version(), "minimeta": __version__} | {name: version(name) for name in names}


def paper_figure(cell: Cell, kind: str, target: str) -> float | None:
    """The accuracy that a paper prints for the same method, auxiliaries, target and kind of test (mBERT)."""
    name = METHODS[cell.method].title
    if kind == "few-shot" and cell.by_genre and set(cell.auxiliaries) == set(all_but(target)):
        rows = _table("paper_treemaml_table1.csv", auxiliary_languages="all", method=name)
    elif kind == "zero-shot" and cell.method == "baseline":
        rows = _table("paper_xla_maml_table3_xnli.csv", setting=kind, method="mBERT (Ours)")
    elif kind == "zero-shot" and cell.method in ("x-maml", "xla-maml") and cell.auxiliaries == ("hi",):
        rows = _table("paper_xla_maml_table3_xnli.csv", setting=kind, method=f"{name} hi → X")
    else:
        return None
    value = rows[0].get(target, "-") if rows else "-"
    return None if value in ("-", "") else float(value)


def _table(file: str, **where: str) -> list[dict[str, str]]:
    with open(data_directory() / "results" / file, encoding="utf-8", newline="") as opened:
        return [row for row in csv.DictReader(opened) if all(row[key] == value for key, value in where.items())]


def _nothing(step: int) -> Any:
    raise InputError("The baseline has no training episodes.")
