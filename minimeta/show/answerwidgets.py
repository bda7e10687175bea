"""A widget that shows answers: one question after another, the text and its scores before and after training.

What the mouse does, a test or a notebook can do as well: `explorer.language.value = "ar"`. Questions and passages are
data, not markup: they are shown as written, each in the direction of its script.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar

import ipywidgets
import numpy as np

from ..errors import InputError
from ..inner import Learner
from ..text.episodes import columns, rows_of
from ..text.features import SpanFeatures
from ..text.languages import ordered
from ..text.metrics import of_answers
from ..text.spans import first_answer
from .answerplots import RIGHT, Reading, reading, scored, token_scores
from .recording import Explorer
from .style import Plot, beside, complaint, in_a_row, in_script, language_menu, language_name, menu, on_change, slider

_ALL, _BETTER, _WORSE = "all questions", "those that became better", "those that became worse"
_SAID = "background:rgba(230,159,0,0.45);border-radius:3px"
_TOLD = f"border-bottom:3px solid {RIGHT}"


class AnswerExplorer(Explorer):
    """Questions in all languages: the answer in its passage and the scores behind it, before and after training.

    `learners` are the methods by name; the first one is "before". A method that is trained for one target at a time
    has a learner for each language that it was trained for. `language` is where to begin; the rows are those of
    `split`, and `number` counts them from 1. Raises InputError if there is no method, or no such row.
    """

    recorded: ClassVar = {"language": None, "method": None, "number": range(1, 4)}

    def __init__(
        self,
        features: SpanFeatures,
        learners: Mapping[str, Learner | Mapping[str, Learner]],
        language: str = "hi",
        split: str = "test",
    ) -> None:
        known = columns(features.corpus)
        there = set(known["language"][known["split"] == split])
        if language not in there or not learners:
            raise InputError(
                f"There is nothing to show: {len(learners)} methods, and {split} questions in "
                f"{', '.join(sorted(there)) or 'no language'}; begin with one of these languages."
            )
        self.features, self.learners, self.first, self.split = features, learners, next(iter(learners)), split
        self.rows = {code: rows_of(features.corpus, code, split) for code in ordered(there)}
        pairs = known["pair"][self.rows.get("en", [])]
        self.english = dict(zip(pairs, self.rows.get("en", []), strict=True))
        # A choice that comes back is at hand.
        self.answers, self.reading = lru_cache(maxsize=64)(self._answers), lru_cache(maxsize=64)(self._reading)

        self.language = language_menu("language", self.rows, language)
        self.method = menu("method", list(learners), list(learners)[:2][-1])
        self.which, self.number = menu("show", [_ALL, _BETTER, _WORSE]), slider("question", 1, 1, 1)
        self.live, self.text, self.plot = ipywidgets.HTML(), ipywidgets.HTML(), Plot()
        on_change(self._choose, self.language, self.method, self.which)
        on_change(self.draw, self.number)
        rows = in_a_row(self.language, self.method), in_a_row(self.which, self.number)
        super().__init__([*rows, self.live, self.text, self.plot])
        self._choose()

    def draw(self) -> None:
        """Show the chosen question, or say why there is none."""
        try:
            shown = self._chosen()
            methods = dict.fromkeys((self.first, self.method.value))
            row = shown[self.number.value - 1]
            readings = {name: self.reading(name, row) for name in methods}
        except InputError as error:
            self.text.value = complaint("Nothing to show.", error)
            self.plot.layout.display = "none"
            return
        self.text.value = self._describe(row, readings, len(shown))
        self.plot.layout.display = ""
        self.figure = self.plot.show(token_scores(readings, "Scores of the passage's tokens"))

    def _choose(self) -> None:
        """Another language, method or kind of question: the number stays, if there are so many.

        The first method is what the others are compared with, so that none of its questions became better or worse.
        """
        self.which.disabled = self.method.value == self.first
        if self.which.disabled:
            self.which.value = _ALL
        self.live.value = ""
        try:
            shown, code = self._chosen(), self.language.value
            self.live.value = self._summary(code)
        except InputError:
            shown = []
        self.number.max, self.number.disabled = max(len(shown), 1), len(shown) < 2
        self.draw()

    def _chosen(self) -> list[int]:
        """The rows of the chosen language and kind; raises InputError if there is none."""
        code, name = self.language.value, self.method.value
        before, after = (self.answers(each, code)[0] for each in (self.first, name))
        kept = {_ALL: np.ones(len(after), bool), _BETTER: after > before, _WORSE: after < before}[self.which.value]
        if not kept.any():
            kind = self.which.value.removeprefix("those that ")
            raise InputError(f"No question in {language_name(code)} {kind} by {name}; show all questions.")
        return [row for row, keep in zip(self.rows[code], kept, strict=True) if keep]

    def _learner(self, name: str, code: str) -> Learner:
        found = self.learners[name]
        if isinstance(found, Learner):
            return found
        if code not in found:
            trained = " or ".join(map(language_name, found))
            raise InputError(
                f"{name} is trained for its target, here {trained}; choose that language, or another method."
            )
        return found[code]

    def _answers(self, name: str, code: str) -> np.ndarray:
        return scored(self.features, self._learner(name, code), code, self.split)

    def _reading(self, name: str, row: int) -> Reading:
        return reading(self.features, self._learner(name, self.features.corpus[row]["language"]), row)

    def _summary(self, code: str) -> str:
        """How many of the questions in a language are answered, before and after, in words."""
        name, (before, after) = self.method.value, (self.answers(n, code) for n in (self.first, self.method.value))
        metrics, parts = of_answers(), []
        for each, scores in {self.first: before, name: after}.items():
            means = zip(metrics, 100 * scores.mean(1), strict=True)
            said = ", ".join(f"{metric.title} <b>{mean:.1f}</b>" for metric, mean in means)
            parts.append(f"{html.escape(each)}: {said}")
        words = f"{language_name(code)}, {len(before[0]):,} questions. {'; '.join(parts)}."
        if name != self.first:
            better, worse = (after[0] > before[0]).sum(), (after[0] < before[0]).sum()
            words += f" By {metrics[0].title}, <b>{better}</b> became better, <b>{worse}</b> worse."
        return f"<div role='status' style='line-height:1.6'>{words}</div>"

    def _describe(self, row: int, readings: Mapping[str, Reading], count: int) -> str:
        """One of `count` questions, its passage with the answers marked, and in words whether they are right, as HTML.

        The verdict stands below the passage: above it, a long answer would move one passage away from the other.
        """
        asked = self.features.corpus[row]
        code, english = asked["language"], self.english.get(asked["pair"])
        kind = "" if self.which.value == _ALL else self.which.value.removeprefix("those")
        parts = [
            f"<div style='opacity:0.8'>Question {self.number.value} of {count}{kind}:</div>",
            f"<div style='margin:2px 0 6px;font-weight:bold'>{_words(asked['question'], code)}</div>",
        ]
        blocks = (
            f"<b>{html.escape(name)}</b>{_words(asked['context'], code, found.right, found.place)}{verdict(found)}"
            for name, found in readings.items()
        )
        parts.append(beside(blocks, 360))
        if english is not None and code != "en":
            other = self.features.corpus[english]
            words = _words(other["question"], "en") + _words(other["context"], "en", first_answer(other["answers"]))
            parts.append(f"<div style='opacity:0.8;margin-top:8px'><i>In English:</i>{words}</div>")
        key = f"<span style='{_SAID}'>its answer</span>, <span style='{_TOLD}'>the right answer</span>"
        return f"<div style='max-width:860px;line-height:1.6'>{''.join(parts)}<p style='margin:6px 0'>{key}</p></div>"


def verdict(found: Reading) -> str:
    """Whether an answer is right, in words, as HTML."""
    word = "right" if found.exact else "partly right" if found.f1 else "wrong"
    said = f"“<bdi>{html.escape(found.answer)}</bdi>”" if found.answer else "no answer"
    return f"{said} is <b>{word}</b>: F1 {found.f1:.2f}, exact match {found.exact:.0f}"


def marked(context: str, right: tuple[int, int], said: tuple[int, int] = (0, 0)) -> str:
    """A passage as HTML: a line below the right answer, a coloured ground below the one that was given.

    `right` and `said` are places in the passage, (start, end) in characters.
    """
    cuts = sorted({0, len(context), *right, *said})
    parts = []
    for start, end in itertools.pairwise(cuts):
        marks = [(right, _TOLD, "the right answer"), (said, _SAID, "its answer")]
        here = [(style, name) for place, style, name in marks if place[0] <= start and end <= place[1]]
        words = html.escape(context[start:end])
        if here:
            names = " and ".join(name for _, name in here)
            words = f"<span style='{';'.join(style for style, _ in here)}' title='{names}'>{words}</span>"
        parts.append(words)
    return "".join(parts)


def _words(text: str, code: str, *places: tuple[int, int]) -> str:
    """A text in the direction of its script, as HTML, with the marks of `marked` if places are given."""
    return in_script(marked(text, *places) if places else html.escape(text), code)
