"""Checks of problem set 4, cross-lingual episodes: which rows of a corpus may meet in an episode.

Each check calls your function on fresh random tables, says in words what is wrong, and returns True if all is right.
The tables are pandas' with the columns language, split, label and pair; a row's number is its place, 0 for the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator

from . import row_faults
from .row_faults import CLASSES, rows_in
from .verdict import Student, graded

if TYPE_CHECKING:
    import pandas as pd


@graded("support and query in one language, dev rows, balanced, and no row twice.")
def x_maml(student: Student, rng: Generator) -> None:
    """Check `function(table, language, shots, queries, rng)`: support and query rows of one X-MAML episode."""
    for shots, queries, draws in ((6, 6, 16), (3, 9, 3), (9, 3, 3), (12, 24, 3)):
        table, (language, *_) = _table(rng)
        _draws(student, rng, draws, table=table, language=language, shots=shots, queries=queries)


@graded("the support is in one language, the query in another, and with one language it is X-MAML.")
def xla_maml(student: Student, rng: Generator) -> None:
    """Check `function(table, language, source, shots, queries, rng)`: the query's and the support's language."""
    cases = ((0, 6, 6, 16), (1, 9, 3, 3), (2, 6, 6, 16), (0, 36, 36, 3), (2, 12, 24, 3))
    for kind, shots, queries, draws in cases:  # 36 rows are as many as the smallest class allows
        table, (language, other, _) = _table(rng)
        source = ("en", other, language)[kind]  # the last is X-MAML
        _draws(student, rng, draws, table=table, language=language, source=source, shots=shots, queries=queries)


@graded("every row comes once in a pass, and every pass has an order of its own.")
def covering(student: Student, rng: Generator) -> None:
    """Check `function(rows, size, passes, rng)`: batches in which every row comes once in each pass."""
    for n, size, passes in ((24, 4, 3), (11, 3, 2), (20, 6, 3), (5, 8, 2), (9, 9, 1)):
        rows = rng.choice(1000, n, replace=False)
        states = rng.integers(1 << 30, size=3).tolist()
        streams = []
        for state in (*states, states[0]):
            answer = student(rows=rows, size=size, passes=passes, rng=np.random.default_rng(state))
            streams.append(row_faults.stream(answer, rows, size, passes))
        row_faults.by_chance(answer, streams, may_agree=n <= 8)


@graded("each query row is the translation of the support row at its place.")
def parallel(student: Student, rng: Generator) -> None:
    """Check `function(table, support, language)`: the translations of the support rows, in the same order."""
    for number in range(4):
        table, (language, other, _) = _table(rng)
        source, language = (("en", language), (other, language), (language, "en"), (language, other))[number]
        pool = rows_in(table, source)
        support = rng.choice(pool, (6, 9, 12, len(pool))[number], replace=False)
        answer = student(table=table, support=support, language=language)
        row_faults.translations(answer, table, support, source, language)


@graded("that is every leak, and nothing but leaks.")
def leaks(student: Student, rng: Generator) -> None:
    """Check `function(table, support, query, target, few_shot)`: the set of rows that the episode must not hold."""
    for number in range(11):
        table, (auxiliary, target, _) = _table(rng)
        support, query, few_shot = _suspect(table, rng, number, auxiliary, target)
        answer = student(table=table, support=support, query=query, target=target, few_shot=few_shot)
        row_faults.leaks(answer, table, support, query, target, few_shot)


def _draws(student: Student, rng: Generator, draws: int, **inputs: Any) -> None:
    """Judge an episode for each of so many generators, and then all of them together."""
    seeds = rng.integers(1 << 30, size=draws).tolist()
    table, language = inputs["table"], inputs["language"]
    codes, counts = (inputs.get("source", language), language), (inputs["shots"], inputs["queries"])
    found = []
    for state in (*seeds, seeds[0]):
        answer = student(**inputs, rng=np.random.default_rng(state))
        found.append(row_faults.episode(answer, table, codes, counts))
    row_faults.by_chance(answer, [np.concatenate(pair) for pair in found])
    for name, code, rows in zip(("support", "query"), codes, zip(*found, strict=True), strict=True):
        pool, seen = rows_in(table, code), set(np.concatenate(rows).tolist())
        if draws > 9 and len(seen) < 0.7 * len(pool):
            raise answer.not_yet(
                f"in {draws} draws only {len(seen)} of the {len(pool)} dev rows in {code} ever came as {name}; "
                "let chance choose among all of them"
            )


def _table(rng: Generator) -> tuple[pd.DataFrame, list[str]]:
    """A random parallel corpus, English and three more languages (returned), its rows in random order.

    36 to 42 dev rows for each language, at least 12 of each class, 18 test rows, and 18 train rows in English.
    """
    import pandas as pd

    others = rng.permutation(["ar", "de", "fr", "hi", "sw", "ur", "vi"])[:3].tolist()
    labels = {"dev": np.repeat(range(CLASSES), rng.permutation([12, 13, 14])), "test": np.arange(18) % 3}
    labels["train"] = labels["test"]
    rows = [
        (language, split, int(label), f"{split}/{number + 1}")
        for split, own in labels.items()
        for number, label in enumerate(rng.permutation(own))
        for language in (["en"] if split == "train" else ["en", *others])
    ]
    order = rng.permutation(len(rows))
    return pd.DataFrame([rows[i] for i in order], columns=["language", "split", "label", "pair"]), others


def _suspect(
    table: pd.DataFrame, rng: Generator, number: int, auxiliary: str, target: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    """An episode to judge: support (n,) and query (n,) rows with a leak of the kind `number`, and whether few-shot."""

    def some(language: str, split: str = "dev", count: int = 3) -> list[int]:
        return rng.choice(rows_in(table, language, split), count, replace=False).tolist()

    support, query, few_shot = some("en"), some(auxiliary), False
    if number == 0:  # nothing is wrong: train rows and translations are welcome
        support = some("en", "train") + [
            int(np.flatnonzero((table["pair"] == table["pair"][row]) & (table["language"] == "en"))[0]) for row in query
        ]
    elif number == 1:
        query += some(auxiliary, "test", 2)
    elif number == 2:
        support += some("en", "test", 2)
    elif number == 3:
        query += some(target, count=2)
    elif number == 4:
        support += some(target, count=2)
    elif number == 5:  # nothing is wrong: few-shot
        support, few_shot = some(target), True
    elif number == 6:
        support, query, few_shot = some(target), query + some(target, count=2), True
    elif number == 7:
        support, few_shot = some(target) + some(target, "test", 2), True
    elif number == 8:
        support = [*some(auxiliary, count=2), *query[:2]]
    elif number == 9:
        support, few_shot = some(target) + query[:1] + some("en", "test", 1), True
        query += some(target, "test", 1) + support[:1]
    else:
        support, query = some(target) + query[:1], query + some(auxiliary, "test", 1) + some(target)
    return rng.permutation(np.unique(support)), rng.permutation(np.unique(query)), few_shot
