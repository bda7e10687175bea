"""Checks of problem set 4, cross-lingual episodes: which rows of a corpus may meet in an episode.

Each check calls your function on fresh random tables, says in words what is wrong, and returns True if all is right.
The tables are pandas' with the columns language, split, label and pair; a row's number is its place, 0 for the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator

from . import chance, row_faults
from .row_faults import CLASSES, rows_in
from .verdict import Answer, Student, graded

if TYPE_CHECKING:
    import pandas as pd


_NO_SET = "your function returned None; does it end with `return`? An episode without a leak gives the empty set, set()"


@graded("support and query in one language, dev rows, balanced, each by chance, and no row twice.")
def x_maml(student: Student, rng: Generator) -> None:
    """Check `function(table, language, shots, queries, rng)`: support and query rows of one X-MAML episode."""
    languages = _languages(rng)
    english, *others = languages
    cases = (
        (others[2], (4, 4, 4), 3, 6, 0),
        (others[1], (18, 18, 19), 24, 21, 60),
        (others[0], (4, 4, 4), 3, 3, 240),  # of so few rows it shows best whether the query depends on the support
        (english, (4, 4, 4), 3, 9, 0),
        (others[1], (4, 4, 4), 9, 3, 0),
        (others[0], (49, 50, 51), 72, 75, 0),  # more than mini-NLI has
    )
    for language, dev, shots, queries, draws in cases:
        inputs = {"table": _table(rng, languages, dev, ends=(language, language)), "language": language}
        _episodes(student, rng, draws, **inputs, shots=shots, queries=queries)


@graded("the support is in one language, the query in another, and with one language it is X-MAML.")
def xla_maml(student: Student, rng: Generator) -> None:
    """Check `function(table, language, source, shots, queries, rng)`: the query's and the support's language."""
    languages = _languages(rng)
    english, one, other, last = languages
    cases = (
        (one, english, (4, 4, 4), 3, 6, 0),
        (other, last, (4, 4, 4), 6, 3, 0),
        (last, last, (4, 4, 4), 3, 6, 0),  # X-MAML
        (one, english, (18, 18, 19), 27, 27, 40),
        (other, last, (18, 18, 19), 27, 27, 40),
        (last, last, (18, 18, 19), 24, 21, 40),
        (english, other, (4, 4, 4), 9, 3, 0),
        (other, one, (4, 4, 4), 12, 12, 0),  # all that there are
        (one, one, (4, 4, 4), 3, 9, 0),
        (last, one, (49, 50, 51), 147, 147, 0),  # more than mini-NLI has
    )
    for language, source, dev, shots, queries, draws in cases:
        inputs = {"table": _table(rng, languages, dev, ends=(language, source)), "language": language, "source": source}
        _episodes(student, rng, draws, **inputs, shots=shots, queries=queries)


@graded("every row comes once in a pass, and every pass has an order of its own.")
def covering(student: Student, rng: Generator) -> None:
    """Check `function(rows, size, passes, rng)`: batches in which every row comes once in each pass."""
    fixed = [(1, 1, 1), (1, 3, 2), (3, 1, 2), (5, 2, 2), (9, 4, 1), (5, 8, 2), (7, 7, 3), (10, 4, 3), (24, 4, 5)]
    drawn = [(int(rng.integers(2, 30)), int(rng.integers(1, 9)), int(rng.integers(1, 5))) for _ in range(8)]
    for n, size, passes in sorted(fixed + drawn, key=lambda case: case[0] * case[2]):
        rows = _some_rows(rng, n)
        states = rng.integers(1 << 30, size=2).tolist()
        streams = []
        for state in (*states, states[0]):
            answer = student(rows=rows, size=size, passes=passes, rng=np.random.default_rng(state))
            streams.append(row_faults.stream(answer, rows, size, passes))
        chance.repeats(answer, streams, may_agree=n < 20 or passes < 5)
    for n, size, passes, draws in ((6, 2, 2, 60), (7, 3, 60, 12), (3, 1, 60, 20), (8, 1, 180, 20)):
        rows, one = _some_rows(rng, n), np.random.default_rng(rng.integers(1 << 30))
        streams = []
        for _ in range(draws):
            answer = student(rows=rows, size=size, passes=passes, rng=one)
            streams.append(row_faults.stream(answer, rows, size, passes))
        chance.orders(answer, rows, np.reshape(streams, (draws, passes, n)), size, rng)


@graded("each query row is the translation of the support row at its place.")
def parallel(student: Student, rng: Generator) -> None:
    """Check `function(table, support, language)`: the translations of the support rows, in the same order."""
    for number, count in enumerate((1, 4, 6, 12, 36)):
        english, language, other, _ = languages = _languages(rng)
        source, language = ((english, language), (other, language), (language, english))[number % 3]
        table = _table(rng, languages, (4, 5, 6) if count < 12 else (12, 12, 12), ends=(language, language))
        pool, pair = rows_in(table, source), table["pair"].to_numpy()
        ends = np.isin(pair[pool], pair[[0, -1]])  # their translations are the first row and the last one
        first = rng.permutation(pool) if count == 1 else [*pool[ends], *rng.permutation(pool[~ends])]
        support = rng.permutation(first[:count])
        answer = student(table=table, support=support, language=language)
        row_faults.translations(answer, table, support, language)
    for place in (0, 2, 5):  # there stands a row in `language`, its own answer
        english, language, other, _ = languages = _languages(rng)
        table = _table(rng, languages, (4, 5, 6))
        pool = rng.permutation(rows_in(table, english))[:5].tolist()
        others = [_translation(table, row, other) for row in (pool[0], pool[3])]  # the first shares a pair
        support = np.insert(rng.permutation(pool[:3] + others), place, _translation(table, pool[4], language))
        answer = student(table=table, support=support, language=language)
        row_faults.translations(answer, table, support, language)


@graded("that is every leak, and nothing but leaks.")
def leaks(student: Student, rng: Generator) -> None:
    """Check `function(table, support, query, target, few_shot)`: the set of rows that the episode must not hold."""

    def judge(table: pd.DataFrame, support: list[int], query: list[int], target: str, few_shot: bool) -> None:
        parts = [rng.permutation(np.unique(rows)) for rows in (support, query)]
        inputs = {"table": table, "support": parts[0], "query": parts[1], "target": target, "few_shot": few_shot}
        answer = student(known={type(None): _NO_SET}, **inputs)
        row_faults.leaks(answer, table, *parts, target, few_shot)

    kinds = [
        (split, which, where, few_shot)
        for split in ("dev", "test", "train")
        for which in range(4)
        for where in ("support", "query", "both")
        for few_shot in (False, True)
    ]
    for split, which, where, few_shot in kinds:  # one row to judge, of each kind that there is, and its company
        english, auxiliary, target, _ = languages = _languages(rng)
        table = _table(rng, languages, (2, 2, 2), ends=(target, english))
        row = rng.choice(rows_in(table, languages[which], split))
        row = 0 if (split, where) == ("dev", "query") and languages[which] == target else row
        query = rng.choice(rows_in(table, auxiliary), 2, replace=False).tolist()
        support = [_translation(table, query[0], english), *rng.choice(rows_in(table, english, "train"), 2).tolist()]
        if (split, where, few_shot) == ("dev", "support", True) and languages[which] == target:
            row = _translation(table, query[0], target)  # a translation is asked, and that is allowed
        query = [one for one in query if one != row]
        support = [one for one in support if one != row]
        support, query = support + [row] * (where != "query"), query + [row] * (where != "support")
        judge(table, support, query, target, few_shot)
    for number in range(12):
        english, auxiliary, target, _ = languages = _languages(rng)
        table = _table(rng, languages, (4, 5, 6))
        count = 4 + number
        rows = rng.choice(len(table), 2 * count, replace=False).tolist()
        judge(table, rows[: count + number % 4], rows[count:], target, number % 2 == 0)


def _episodes(student: Student, rng: Generator, draws: int, **inputs: Any) -> None:
    """Judge an episode for each of a few generators, and then so many of one generator, one by one and together."""
    table, language = {name: column.to_numpy() for name, column in inputs["table"].items()}, inputs["language"]
    codes, counts = (inputs.get("source", language), language), (inputs["shots"], inputs["queries"])

    def episode(one: Generator) -> tuple[Answer, tuple[np.ndarray, ...]]:
        answer = student(**inputs, rng=one)
        return answer, row_faults.episode(answer, table, codes, counts)

    states = rng.integers(1 << 30, size=3).tolist()
    found = [episode(np.random.default_rng(state)) for state in (*states, states[0])]
    chance.repeats(found[0][0], [np.concatenate(pair) for _, pair in found], may_agree=not draws)
    if draws:
        one = np.random.default_rng(states[0])
        found = [episode(one) for _ in range(draws)]
        chance.episodes(found[0][0], table, codes, [np.array([pair[part] for _, pair in found]) for part in (0, 1)])


def _some_rows(rng: Generator, n: int) -> np.ndarray:
    """Different row numbers (n,) below 1,000 in random order, among them 0 when there are several."""
    return rng.permutation(np.append(rng.choice(np.arange(1, 1000), n - 1, replace=False), 0 if n > 1 else 7))


def _languages(rng: Generator) -> list[str]:
    """English and three more."""
    return ["en", *rng.permutation(["ar", "de", "fr", "hi", "sw", "ur", "vi"])[:3].tolist()]


def _table(rng: Generator, languages: list[str], dev: tuple[int, int, int], ends: tuple[str, ...] = ()) -> pd.DataFrame:
    """A random parallel corpus in these languages, its rows in random order.

    `dev` has the numbers of dev rows in the three classes, the first or the last for class 0; of each class there are
    two test rows and two train rows. The first row and the last are dev rows in the languages `ends`.
    """
    import pandas as pd

    labels = {"dev": np.repeat(range(CLASSES), dev[:: rng.choice((1, -1))])}
    labels["test"] = labels["train"] = np.repeat(range(CLASSES), 2)
    rows = [
        (language, split, int(label), f"{split}/{number + 1}")
        for split, own in labels.items()
        for number, label in enumerate(rng.permutation(own))
        for language in languages
    ]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    for place, language in zip((0, -1), ends, strict=False):
        found = next(i for i, row in enumerate(rows[1:], 1) if row[:2] == (language, "dev"))
        rows[place], rows[found] = rows[found], rows[place]
    return pd.DataFrame(rows, columns=["language", "split", "label", "pair"])


def _translation(table: pd.DataFrame, row: int, language: str) -> int:
    return int(np.flatnonzero((table["pair"] == table["pair"][row]) & (table["language"] == language))[0])
