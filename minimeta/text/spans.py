"""Answers as spans of tokens: a passage in windows, the answer's place in each, and the best valid span of scores.

A question and its passage are one sequence (XLA-MAML, appendix). A passage that is too long is cut into windows that
overlap; in a window that does not hold the whole answer, the first token (`[CLS]`) stands for "not here".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError

LONGEST = 30
"""Tokens that an answer may have when it is read from scores."""

QUESTION = 64
"""Tokens that are read of a question."""


@dataclass(frozen=True)
class Window:
    """A question and a part of its passage as T tokens.

    `places[i]` is where token i stands in the passage, (start, end) in characters, or None outside it. `start` and
    `end` are the first and the last token of the answer, both 0 if it is not, or not all, in this window.
    """

    input_ids: list[int]
    token_types: list[int]
    places: list[tuple[int, int] | None]
    start: int = 0
    end: int = 0

    def text(self, context: str, start: int, end: int) -> str:
        """The passage from token `start` to token `end`."""
        first, last = self.places[start], self.places[end]
        if first is None or last is None:
            return ""
        return context[first[0] : last[1]].strip()


def windows(
    tokenizer: Any,
    questions: Sequence[str],
    contexts: Sequence[str],
    answers: Sequence[tuple[int, int] | None],
    max_length: int = 384,
    stride: int = 128,
) -> list[list[Window]]:
    """The windows of each question, of at most `max_length` tokens; `stride` tokens of one return in the next.

    `answers` are places in the contexts, (start, end) in characters, or None. Questions are cut at QUESTION tokens, or
    where they would leave no room for the passage.
    """
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True) - stride - 1
    if stride < 0 or room < 0:
        raise InputError(f"Windows of {max_length} tokens cannot share {stride}; share fewer, or take longer windows.")
    if not questions:
        return []
    asked = tokenizer(list(questions), add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    cut = [places[: min(QUESTION, room)] for places in asked]
    tokens = tokenizer(
        [text[: places[-1][1]] if places else "" for text, places in zip(questions, cut, strict=True)],
        list(contexts),
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    types = tokens.get("token_type_ids") or [[0] * len(ids) for ids in tokens["input_ids"]]
    found: list[list[Window]] = [[] for _ in questions]
    for number, row in enumerate(tokens["overflow_to_sample_mapping"]):
        inside = [part == 1 for part in tokens.sequence_ids(number)]
        offsets = tokens["offset_mapping"][number]
        places = [tuple(place) if of else None for of, place in zip(inside, offsets, strict=True)]
        span = _span(places, answers[row])
        found[row].append(Window(tokens["input_ids"][number], types[number], places, *span))
    return found


def first_answer(answers: dict[str, Any]) -> tuple[int, int]:
    """Where the first of a question's answers (as SQuAD has them) stands: (start, end) in characters."""
    start = answers["answer_start"][0]
    return start, start + len(answers["text"][0])


def _span(places: Sequence[tuple[int, int] | None], answer: tuple[int, int] | None) -> tuple[int, int]:
    """The first and the last token that overlap the answer, if all of it is here, else (0, 0)."""
    of = [token for token, place in enumerate(places) if place is not None and place[0] < place[1]]
    if answer is None or not of or places[of[0]][0] > answer[0] or places[of[-1]][1] < answer[1]:
        return 0, 0
    touched = [token for token in of if places[token][1] > answer[0] and places[token][0] < answer[1]]
    return (touched[0], touched[-1]) if touched else (0, 0)


def training_window(found: Sequence[Window]) -> int:
    """The number of the window to learn from: the one that has most around the answer; without any, the first."""

    def around(number: int) -> int:
        window = found[number]
        of = [token for token, place in enumerate(window.places) if place is not None]
        return min(window.start - of[0], of[-1] - window.end) if window.end else -1

    return max(range(len(found)), key=around)


def best_spans(scores: Tensor, inside: Tensor, longest: int = LONGEST, k: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """The k best valid spans of each window: scores, first and last tokens, each (n, k), the best first.

    `scores` (n, T, 2) are start and end scores and a span (i, j) has their sum (XLA-MAML, appendix); it is valid if
    i <= j < i + `longest` and both are `inside` (n, T) the passage. To go from the best pair to the next best until
    one is valid is the same as to look at the valid pairs alone. Where there are fewer than k, the score is -inf.
    """
    start, end = scores.masked_fill(~inside[..., None], -torch.inf).unbind(-1)
    ahead = nn.functional.pad(end, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)  # (n, T, longest)
    pairs = (start[..., None] + ahead).flatten(1)
    best, at = pairs.topk(min(k, pairs.shape[1]))
    return best, at // longest, at // longest + at % longest
