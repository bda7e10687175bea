"""Comparisons that take seconds and stay in memory, for a notebook: train from one encoder, test it, pair the answers.

A study (`study`) does the same at length, and keeps each run in a file.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..files import data_directory
from ..grouping import alone
from ..inner import Learner
from ..outer import meta_train
from ..tasks import Sampler
from ..text import corpora, encoders
from ..text.episodes import encoded
from ..text.features import Features
from ..text.languages import language
from . import recipes
from .intervals import paired_differences
from .methods import Cell

Right = dict[str, np.ndarray]
"""By target language: 1 where a test row was answered rightly, else 0, (seeds, rows)."""

_CELL = Cell("baseline", (), by_genre=False)  # no test with it takes a step
_SETTINGS = recipes.settings_for(_CELL, "toy")


def two_genres() -> Features:
    """Two of mini-NLI's ten genres, dev and test in 15 languages and train in English, for the tiny encoder.

    `features.corpus` are the rows; `features.encoder.learner` was fine-tuned on English alone.
    """
    import pandas as pd
    from datasets import Dataset

    parts = [corpora.mini_nli().to_pandas(), corpora.mini_nli(["en"], ["train"]).to_pandas()]
    rows = pd.concat(parts).query("genre in ('fiction', 'travel')").reset_index(drop=True)
    return encoders.nli(data_directory() / "tiny-encoder-nli").features(Dataset.from_pandas(rows))


@dataclass(frozen=True)
class Quick:
    """Every training begins at the encoder of `features`, pools nothing, and is tested on its corpus of pairs."""

    features: Features

    @property
    def start(self) -> Learner:
        """Where each training begins; it is never changed."""
        return self.features.encoder.learner

    def train(self, draw: Sampler, steps: int = 1, rate: float = 0.02, outer_steps: int = 50) -> Learner:
        """A new learner after so many outer steps on episodes of rows; without inner `steps` the support is unused."""
        learner = copy.deepcopy(self.start)
        for _ in meta_train(learner, encoded(draw, self.features.__getitem__), alone(), steps, rate, outer_steps):
            pass
        return learner

    def fine_tuned(self, learner: Learner, target: str, seed: int) -> Learner:
        """A copy of a learner after one more epoch, of ordinary training on the target's dev rows."""
        return recipes.fine_tune(learner, self.features, target, _SETTINGS, seed)

    def right(self, learner: Learner, target: str) -> np.ndarray:
        """Which test rows of a language a learner gets right without any step on it, (rows,): 1, or 0."""
        found = recipes.score(_CELL, learner, self.features, target, "zero-shot", _SETTINGS, seed=0)
        labels = recipes.scored_rows(self.features.corpus, target)["label"]
        return np.array([ours == label for ours, label in zip(found["predicted"], labels, strict=True)], float)

    def answers(self, learners: Mapping[str, Sequence[Learner]], targets: Iterable[str]) -> dict[str, Right]:
        """What the learners of each name, one a seed, get right in each target language."""
        return {
            name: {code: np.stack([self.right(learner, code) for learner in own]) for code in targets}
            for name, own in learners.items()
        }

    def gains(
        self, answers: Mapping[str, Right], pairs: Sequence[tuple[str, str]]
    ) -> dict[str, dict[str, tuple[float, ...]]]:
        """What the first of each pair of names gains over the second, in points: over all targets, and in each.

        `found["all together"]["X-MAML − Joint"]` is the difference, the ends of its 95 % interval over premises and
        seeds, and each seed's difference, as `style.forest` draws them; so is `found["German"]`. Raises InputError for
        a name without answers.
        """
        if unknown := [name for pair in pairs for name in pair if name not in answers]:
            raise InputError(f"There are no answers of {unknown[0]!r}, only of {', '.join(answers)}.")
        targets = list(next(iter(answers.values())))
        premises = {code: recipes.scored_rows(self.features.corpus, code)["premise_id"] for code in targets}
        found: dict[str, dict[str, tuple[float, ...]]] = {}
        for group, codes in {"all together": targets, **{language(code).name: [code] for code in targets}}.items():
            drawn = [premise for code in codes for premise in premises[code]]
            sides = [[np.concatenate([answers[name][code] for code in codes], 1) for name in pair] for pair in pairs]
            differences = paired_differences([(ours, control, drawn) for ours, control in sides])
            found[group] = {
                " − ".join(pair): (each.gain, each.low, each.high, *each.by_seed)
                for pair, each in zip(pairs, differences, strict=True)
            }
        return found
