"""Scores, and how sure one can be of a difference between two of them.

Answers are compared by the rules of MLQA's evaluation (Lewis et al. 2020): in lower case, without punctuation
(whatever Unicode or ASCII calls so), without the articles of their language, and token by token. Tokens are words;
in Chinese every Han character is one by itself.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..errors import InputError


def accuracy(predicted: Sequence[int], label: Sequence[int]) -> float:
    """The share of predictions that are right, in percent."""
    if len(predicted) != len(label) or not len(label):
        raise InputError(f"Cannot score {len(predicted)} predictions against {len(label)} labels.")
    return float(np.mean(np.asarray(predicted) == np.asarray(label)) * 100)


ARTICLES = {
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "de": "ein eine einen einem eines einer der die das den dem des",
    "vi": "của là cái chiếc những",
}
"""Words that do not count, by language. In Arabic it is the prefix ال; Hindi and Chinese have none."""


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
    if language in ARTICLES:
        kept = re.sub(rf"\b({ARTICLES[language].replace(' ', '|')})\b", " ", kept)
    elif language == "ar":
        kept = kept.replace("ال", " ")
    elif language == "zh":
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


def paired_difference(
    correct: np.ndarray, control: np.ndarray, groups: Sequence[str], seed: int = 0
) -> tuple[float, float, float]:
    """Mean difference in points and its 95 % interval, bootstrapped over groups of rows (premises, passages).

    `correct` and `control` are scores from 0 to 1 of shape (seeds, rows), paired by seed and row; rows of one group
    (the hypotheses of one premise, the questions about one passage) are drawn together. Percentile bootstrap, 9,999
    draws. The interval covers the choice of premises, not the choice of seeds.
    """
    from scipy.stats import bootstrap  # a second to import

    if correct.shape != control.shape or correct.shape[-1] != len(groups):
        raise InputError(f"Cannot pair scores of shapes {correct.shape} and {control.shape} in {len(groups)} groups.")
    difference = (np.asarray(correct, float) - np.asarray(control, float)).mean(0) * 100
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums, sizes = np.bincount(index, difference), np.bincount(index)
    if len(sizes) < 2:
        raise InputError("An interval needs rows of at least two groups (premises).")
    if np.ptp(difference) == 0:
        return float(difference.mean()), float(difference.mean()), float(difference.mean())
    interval = bootstrap(
        (sums, sizes),
        lambda s, n, axis: s.sum(axis) / n.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        batch=500,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(difference.mean()), float(interval.low), float(interval.high)
