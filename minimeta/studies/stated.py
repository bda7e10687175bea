"""What the two papers state in words: their settings, what they leave to the reader, and what to know of each table.

No setting is written down a second time here: a value is that of `recipes.settings_for`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from ..grouping import XI
from .methods import METHODS, Cell
from .papers import PAIR
from .recipes import settings_for


@dataclass(frozen=True)
class Stated:
    """A setting of a table's runs: what it is, its value at full scale and here, and where a paper states it.

    `source` is empty where the papers leave it open: then the value is our choice, and `why` says more.
    """

    title: str
    full: str
    here: str
    source: str
    why: str = ""


_TITLES = {
    "adapt": "what is adapted",
    "inner_steps": "inner steps K",
    "inner_rate": "inner rate α (SGD)",
    "outer_steps": "outer steps",
    "outer_rate": "outer rate β (Adam)",
    "weight_decay": "weight decay (outer)",
    "linear_decay": "linear schedule (outer)",
    "shots": "support rows of a task",
    "queries": "query rows of a task",
    "genres_per_language": "genres of a language in an episode",
    "target_shots": "shots of the target (few-shot test)",
    "max_length": "longest input, in tokens",
    "first_order": "first order (no second derivatives)",
    "tune_rate": "rate of fine-tuning on the target",
    "tune_batch": "batch of fine-tuning on the target",
}

# Where a paper states a setting of `recipes.Settings`; settings that are not listed do not enter such runs.
_TREEMAML = {
    "adapt": "TreeMAML, sec. 4: the top layer, 12 (and what stands on it)",
    "inner_steps": "TreeMAML, sec. 4: four inner steps",
    "shots": "TreeMAML, sec. 4: three shots for each task",
    "genres_per_language": "TreeMAML, sec. 4: a task is a language and a genre, ten genres",
    "target_shots": "TreeMAML, sec. 4: three shots for each task",
    "first_order": "TreeMAML, Alg. 1: the gradient is that with respect to ω",
    "inner_rate": "",
    "outer_steps": "",
    "outer_rate": "",
    "queries": "",
    "max_length": "",
}
_XLA = {
    "adapt": "XLA-MAML, app. A: all parameters, end to end",
    "shots": "XLA-MAML, sec. 4.2: batch 8 for both steps",
    "queries": "XLA-MAML, sec. 4.2: batch 8 for both steps",
    "inner_rate": "XLA-MAML, sec. 4.2: SGD, 1e-5",
    "outer_rate": "XLA-MAML, sec. 4.2: Adam, 1e-5",
    "weight_decay": "XLA-MAML, sec. 4.2: Adam with 0.01; we read it as decoupled (AdamW)",
    "linear_decay": "XLA-MAML, sec. 4.2: a linear scheduler",
    "outer_steps": "XLA-MAML, sec. 4.2: 500 for each query language (NLI), 100 (QA)",
    "max_length": "XLA-MAML, sec. 4.2: 128 (NLI), 384 with stride 128 (QA)",
    "first_order": "XLA-MAML, eq. 6: the gradient is that with respect to θ",
    "inner_steps": "",
    "tune_rate": "",
    "tune_batch": "",
}
_WHY = {
    ("genres", "queries"): "six rows, two of each class",
    ("genres", "max_length"): "XLA-MAML's",
    ("languages", "inner_steps"): "Algorithm 1 writes one step",
    ("languages", "tune_rate"): "that of stage two; the paper states one epoch and no rate",
    ("languages", "tune_batch"): "that of stage two",
}


def stated(cells: Iterable[Cell], kinds: Container[str], scale: str, task: str = "nli") -> list[Stated]:
    """The settings of a table's cells, which are all by genre or all by language, with the papers' sources.

    `kinds` are its kinds of test; `full` and `here` are values at full scale and at `scale`. Methods with other values
    than most are named.
    """
    cells = [cell for cell in dict.fromkeys(cells) if METHODS[cell.method].trains]
    by_genre = any(cell.by_genre for cell in cells)
    found = []
    for name, source in (_TREEMAML if by_genre else _XLA).items():
        if name.startswith("tune_") and "fine-tuned" not in kinds:
            continue
        values = [_value(cells, name, where, task) for where in ("full", scale)]
        why = "" if source else _WHY.get(("genres" if by_genre else "languages", name), "")
        found.append(Stated(_TITLES[name], *values, source, why))
    return found


def _value(cells: Iterable[Cell], name: str, scale: str, task: str) -> str:
    """A setting of these cells in words: the commonest value, then those of the methods that have another one."""
    by_method = {METHODS[cell.method].title: _words(getattr(settings_for(cell, scale, task), name)) for cell in cells}
    ((usual, _),) = Counter(by_method.values()).most_common(1)
    others = [f"{value}: {method}" for method, value in by_method.items() if value != usual]
    return usual + (f" ({', '.join(others)})" if others else "")


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "all" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# What is not a number, by table: what the papers leave open and we chose, and what a reader should know.

_DRAWN = (
    "XLA-MAML draws covering and parallel rows on XNLI, covering ones on MLQA (not all of it is parallel): so are the "
    "hi rows of Table 3, which Tables 6 and 7 repeat. For few-shot and pairs the paper does not say; we do the same.",
    "X-MAML and Joint draw rows at random. Joint sees as many examples of the auxiliary languages, without inner "
    "steps.",
    "XLA-MAML draws its support from English dev rows, so we do not score it on English; the paper does.",
)
_TUNED = (
    "Few-shot is one epoch on the target's dev rows (XLA-MAML, sec. 4.2); XLA-MAML few-shot also draws its support "
    "from them.",
)
NOTES: dict[str, tuple[str, ...]] = {
    "treemaml-table1": (
        "The upper half is quoted by the paper from Nooralahzadeh et al. 2020 (two auxiliary languages, chosen for "
        "each target): it is not run.",
        "The paper does not say how its lower Baseline is trained. Trained on all languages it is our Joint, and "
        "probably that is it; Baseline here is the fine-tuned encoder with the same shots. Both are printed.",
        f"The tree is our reading of Figure 2; Learned TreeMAML has ξ = {XI} and one-level clustering within each "
        "parent: the paper states neither ξ nor the tree in words.",
        "Three shots are three rows of a task, one of each class, at test time drawn for each genre of the target.",
        "Every accuracy of the lower half is a multiple of 1/450: three runs on about 150 pairs each, so about two "
        'points of standard error in every cell. The "∼ 3 %" over XMAML are 73.76 − 72.20 = 1.56 points.',
    ),
    "xla-table3": (
        f"How the best pairs were picked is not stated, and they differ by target; ours is {'+'.join(PAIR)} for all, "
        'the pair of Tables 5 to 7, so "same pair" and "best pair" of XLA-MAML are one run, and bg and de a dash.',
        *_DRAWN,
        *_TUNED,
        "The lines of machine translation are quoted by the paper and not run.",
    ),
    "xla-table4": (
        *_DRAWN,
        *_TUNED,
        "Few-shot, the paper also prints hi → hi (58.60 / 47.05); a target that is an auxiliary is a dash here.",
        "The lines of machine translation are quoted by the paper and not run.",
    ),
    "xla-table5": (
        "The paper's encoder is XLM-R base, and so must ours be at full scale. At toy scale it is the tiny encoder, "
        "which is not XLM-R: the paper's figures only stand beside ours.",
        *_DRAWN,
    ),
    "xla-table6": (
        "On XNLI rows are parallel in both, so that only the sampling differs: the covering row of hi is that of "
        "Tables 3 and 7. On MLQA neither is parallel. Pairs are bi-pairs: support and query, and the reverse.",
        "A covering row is compared with the random one first; Baseline and Joint are not in the paper's table. Joint "
        "draws rows at random.",
        "XLA-MAML draws its support from English dev rows, so we do not score it on English; the paper does.",
        "The paper's hi covering ar of QA, 53.99, is 55.05 in its Table 4.",
    ),
    "xla-table7": (
        "Rows are covering in both, so that only parallelism differs: the parallel row of hi is that of Tables 3 and "
        "6. Pairs are bi-pairs: support and query, and the reverse.",
        "A parallel row is compared with the other first; Baseline and Joint are not in the paper's table. Joint draws "
        "rows at random.",
        "XLA-MAML draws its support from English dev rows, so we do not score it on English; the paper does.",
    ),
    "xla-figure2": (
        "A cell is XLA-MAML minus Baseline, zero-shot; the row en is X-MAML (support and query in English). The "
        "paper's figures are in a picture only, so only ours are here.",
        "Rows are covering and parallel as in Table 3 (English: covering). An auxiliary is not scored on itself, nor "
        "XLA-MAML on English, whose dev rows are its support.",
        "Joint on the same auxiliary is the control: where it gains as much, the gain is not the method's.",
    ),
}
"""Remarks on each table: our choices where a paper is silent, and what to know before comparing."""
