"""Metrics: what an answer counts, by row or over a whole set of rows.

Answers are compared by the rules of MLQA's evaluation (Lewis et al. 2020): in lower case, without punctuation
(whatever Unicode or ASCII calls so), without the articles of their language, and token by token. Tokens are words;
in Chinese every Han character is one by itself.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import InputError
from .languages import base

ARTICLES = {
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "de": "ein eine einen einem eines einer der die das den dem des",
    "vi": "của là cái chiếc những",
}
"""Words that do not count, by language, whatever its script and country.

In Arabic it is the prefix ال; Hindi and Chinese have none.
"""


def answer_tokens(answer: str, language: str) -> list[str]:
    """What counts of an answer: its tokens without punctuation and articles."""
    return list(_tokens(answer, language))


@lru_cache(maxsize=2**16)  # the same answers come again and again
def _tokens(answer: str, language: str) -> tuple[str, ...]:
    kept = "".join(
        letter
        for letter in answer.lower()
        if letter not in string.punctuation and not unicodedata.category(letter).startswith("P")
    )
    code = base(language)
    if code in ARTICLES:
        kept = re.sub(rf"\b({ARTICLES[code].replace(' ', '|')})\b", " ", kept)
    elif code == "ar":
        kept = kept.replace("ال", " ")
    elif code == "zh":
        kept = re.sub("([\u4e00-\u9fa5])", r" \1 ", kept)
    return tuple(kept.split())


def exact_match(predicted: str, answers: Sequence[str], language: str) -> float:
    """1 if a predicted answer has the same tokens, in the same order, as one of the right answers, else 0."""
    return float(any(_tokens(predicted, language) == _tokens(answer, language) for answer in answers))


def f1(predicted: str, answers: Sequence[str], language: str) -> float:
    """The harmonic mean of precision and recall of the answer's tokens, from 0 to 1, for the nearest right answer.

    As in MLQA's evaluation it is 0 where nothing counts in either ("the" for "a"), though they match exactly.
    """
    found, best = Counter(_tokens(predicted, language)), 0.0
    for answer in answers:
        wanted = Counter(_tokens(answer, language))
        best = max(best, 2 * (found & wanted).total() / max(found.total() + wanted.total(), 1))
    return best


@dataclass(frozen=True)
class Metric:
    """A score in percent, of each row or of a whole set of rows.

    `rows(predicted, right, language)` is what each row counts, (rows,) from 0 to 1, and their mean is the score. Where
    the score is one of the whole set (macro-F1, say), it is (rows, k) numbers, and `of_means` makes of their means
    (..., k) the score (...) from 0 to 1. `predicted` and `right` are those of `corpora.Task`.
    """

    name: str
    title: str
    rows: Callable[[Sequence[Any], Sequence[Any], str], np.ndarray]
    of_means: Callable[[np.ndarray], np.ndarray] | None = None
    lower_is_better: bool = False

    def score(self, predicted: Sequence[Any], right: Sequence[Any], language: str) -> float:
        """The score of these predictions in percent."""
        if len(predicted) != len(right) or not len(right):
            raise InputError(f"Cannot score {len(predicted)} predictions against {len(right)} right ones.")
        means = self.rows(predicted, right, language).mean(0)
        return float((self.of_means(means) if self.of_means else means) * 100)


def _same(predicted: Sequence[Any], right: Sequence[Any], language: str) -> np.ndarray:
    return np.array(list(predicted)) == np.array(list(right))


def _of_answers(score: Callable[[str, Sequence[str], str], float]) -> Callable[..., np.ndarray]:
    return lambda predicted, right, language: np.array(
        [score(said, told["text"], language) for said, told in zip(predicted, right, strict=True)]
    )


METRICS = {
    "nli": (Metric("accuracy", "accuracy", _same),),
    "qa": (Metric("f1", "F1", _of_answers(f1)), Metric("exact_match", "exact match", _of_answers(exact_match))),
}
"""What each task is scored by; differences are of the first, unless another is asked for."""


def row_scores(predicted: Sequence[str], answers: Sequence[dict[str, Any]], language: str) -> np.ndarray:
    """What each answer counts by the metrics `of_answers`, (metrics, rows), from 0 to 1."""
    return np.array([metric.rows(predicted, answers, language) for metric in of_answers()])


def of_answers() -> list[Metric]:
    """The metrics of question answering that score each answer by itself."""
    return [metric for metric in METRICS["qa"] if metric.of_means is None]


def metric_of(task: str, name: str | None = None) -> Metric:
    """A metric of a task by its name, the first one without; raises InputError if there is none of this name."""
    known = {metric.name: metric for metric in METRICS[task]}
    if name not in (None, *known):
        raise InputError(f"Unknown metric {name!r}; the metrics of this study are {', '.join(known)}.")
    return known[name] if name else METRICS[task][0]
