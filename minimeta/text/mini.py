"""Mini-NLI and mini-QA, our own corpora: hand-written phrases, labels by rule, rows parallel in all languages.

They are made from the tables in `data/mini` whenever they are asked for. Rows are those of `corpora`; splits are
`train`, `dev` and `test`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from ..errors import InputError
from . import claims
from .phrases import table
from .readers import Row, Source

SIZES = {"train": 5, "dev": 1, "test": 2}
"""The size of each split of mini-NLI, see `claims.nli`: 720, 144 and 288 rows for each language and genre."""

PASSAGES = {"train": 60, "dev": 20, "test": 40}
"""The passages of mini-QA for each language and genre, with two questions each."""

MANY_PASSAGES = 1200
"""The passages per genre for stage two: 24,000 English questions, as there are many in SQuAD."""


def nli(source: Source, languages: Sequence[str] | None, splits: Sequence[str]) -> Iterator[Row]:
    """The rows of mini-NLI."""
    for split in _known(splits):
        drawn = [found for genre in claims.GENRES for found in claims.nli(genre, split, SIZES[split])]
        names: dict[claims.Claim, str] = {}
        for premise, _ in drawn:
            names.setdefault(premise, f"{split}/{len(names) + 1}")
        rows = [(premise, hypothesis) for premise, hypotheses in drawn for hypothesis in hypotheses]
        labels = [source.classes.index(claims.label(*row)) for row in rows]
        said = dict.fromkeys(chain.from_iterable(rows))  # most claims are in several rows
        for code in languages or source.languages:
            texts = {claim: table(code).statement(claim).text for claim in said}
            for number, ((premise, hypothesis), label) in enumerate(zip(rows, labels, strict=True), 1):
                yield {
                    "language": code,
                    "genre": premise.genre,
                    "split": split,
                    "premise": texts[premise],
                    "hypothesis": texts[hypothesis],
                    "label": label,
                    "pair": f"{split}/{number}",
                    "premise_id": names[premise],
                }


def qa(
    source: Source, languages: Sequence[str] | None, splits: Sequence[str], passages: int | None = None
) -> Iterator[Row]:
    """The rows of mini-QA: passages of mini-NLI's phrases, "who" and "where" questions.

    There are `passages` for each language, genre and split (None: PASSAGES), the same ones in all languages. Raises
    InputError if that is below 1.
    """
    if passages is not None and passages < 1:
        raise InputError(f"The number of passages is {passages}; it must be 1 or more.")
    drawn = [
        (split, genre, number, said, asked)
        for split in _known(splits)
        for genre in claims.GENRES
        for number, (said, asked) in enumerate(claims.passages(genre, split, passages or PASSAGES[split]))
    ]
    for code in languages or source.languages:
        for split, genre, number, said, asked in drawn:
            context, sentences = table(code).passage(said)
            for word, part in (("who", "subject"), ("where", "place")):
                start, end = sentences[asked].spans[part]
                yield {
                    "language": code,
                    "genre": genre,
                    "split": split,
                    "pair": f"{split}/{genre}/{number}/{word}",
                    "passage_id": f"{split}/{genre}/{number}",
                    "context": context,
                    "question": table(code).question(word, said[asked]),
                    "answers": {"text": [context[start:end]], "answer_start": [start]},
                }


def _known(splits: Sequence[str]) -> Sequence[str]:
    for split in splits:
        if split not in claims.SHARES:
            raise InputError(f"Mini-NLI and mini-QA have no split {split!r}; they have {', '.join(claims.SHARES)}.")
    return splits
