"""What can be wrong with row numbers of a parallel corpus: as an episode, as batches, as translations, as leaks.

Each function takes what a student's function gave and raises `NotYet` at the first fault, with the sentence to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from .values import short
from .verdict import Answer

if TYPE_CHECKING:
    import pandas as pd

CLASSES = 3
_SCORING = "test rows are for scoring alone"


def rows_in(table: pd.DataFrame | Mapping[str, np.ndarray], language: str, split: str = "dev") -> np.ndarray:
    """The numbers of the rows in this language and split."""
    return np.flatnonzero((table["language"] == language) & (table["split"] == split))


def _row_numbers(answer: Answer, total: int) -> np.ndarray:
    """The answer, or a part of it, as row numbers (n,) of a table with `total` rows."""
    value, name = answer.value, answer.name or "your answer"
    if hasattr(value, "columns"):
        raise answer.not_yet(f"{name} is a table; return the numbers of its rows (its `index`)")
    try:
        if isinstance(value, set | frozenset):
            value = sorted(value)
        elif isinstance(value, Iterable) and not isinstance(value, str | dict) and not hasattr(value, "__array__"):
            value = list(value)
        rows = np.asarray(value)
        if rows.dtype == object and all(isinstance(row, Integral) and not isinstance(row, bool) for row in rows):
            rows = rows.astype(int)
    except (TypeError, ValueError):
        rows = np.asarray(None)
    if rows.ndim == 0:
        raise answer.expected("row numbers in one dimension")
    if rows.ndim > 1:
        raise answer.not_yet(f"{name} has shape {rows.shape}; expected row numbers in one dimension")
    if rows.size == 0:
        return rows.astype(int)
    if rows.dtype == bool:
        raise answer.not_yet(f"{name} is a mask of True and False; np.flatnonzero(mask) gives row numbers")
    if not np.issubdtype(rows.dtype, np.integer):
        if all(isinstance(row, str) for row in rows.tolist()):
            raise answer.not_yet(f"{name} has names ({rows[0]}); return the numbers of the rows")
        raise answer.not_yet(f"{name} has {short(rows.tolist()[0])}; row numbers are integers")
    if rows.min() < 0:
        raise answer.not_yet(f"{name} has {rows.min()}; row numbers begin at 0")
    if rows.max() >= total:
        raise answer.not_yet(
            f"{name} has row {rows.max()}, and the table has rows 0 to {total - 1}; do you use the table that your "
            "function is given?"
        )
    return rows.astype(int)


def episode(
    answer: Answer, table: Mapping[str, np.ndarray], codes: tuple[str, str], counts: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """The support (n,) and the query (n,) of one episode, if they are right; of the table its columns."""
    parts = answer.parts("the pair support, query", "the support", "the query")
    language, split, label = (table[name] for name in ("language", "split", "label"))
    pair = tuple(_row_numbers(part, len(label)) for part in parts)
    names, have = ("support", "query"), (len(pair[0]), len(pair[1]))
    pools = [rows_in(table, code) for code in codes]
    if have == counts[::-1] != counts:
        raise answer.not_yet(
            f"the support has {have[0]} rows and the query {have[1]}; expected {counts[0]} and {counts[1]}: which of "
            "`shots` and `queries` is the support's, and which part comes first?"
        )
    for name, rows, count, code, pool in zip(names, pair, counts, codes, pools, strict=True):
        if len(rows) != count:
            tripled, enough = f": {count} is for all classes together", f"; there are {len(pool)} dev rows in {code}"
            hint = enough if len(rows) < count else tripled if len(rows) == CLASSES * count else ""
            raise answer.not_yet(f"the {name} has {len(rows)} rows; expected {count}{hint}")
    found = tuple(sorted(set(language[rows].tolist())) for rows in pair)
    fair = all(set(split[rows]) == {"dev"} for rows in pair) and found == tuple([code] for code in codes)
    if not fair and all(len(pool) > rows.max() for pool, rows in zip(pools, pair, strict=True)):
        mapped = [np.bincount(label[pool[rows]], minlength=CLASSES) for pool, rows in zip(pools, pair, strict=True)]
        if all(len(set(counted.tolist())) == 1 for counted in mapped):
            raise answer.not_yet(
                "your numbers count within the rows that you chose from; return numbers of the whole table "
                "(mind `reset_index`, and np.flatnonzero on a part)"
            )
    for name, rows in zip(names, pair, strict=True):
        for wrong, why in (("test", _SCORING), ("train", "episodes are drawn from dev rows")):
            if count := int((split[rows] == wrong).sum()):
                raise answer.not_yet(f"{count} of the {name}'s {len(rows)} rows are {wrong} rows; {why}")
    if not fair:
        raise answer.not_yet(_languages(found, codes))
    for name, rows in zip(names, pair, strict=True):
        if len(set(rows.tolist())) < len(rows):
            raise answer.not_yet(f"the {name} has a row twice: {sorted(rows.tolist())}; draw without replacement")
    if both := sorted(set(pair[0].tolist()) & set(pair[1].tolist())):
        raise answer.not_yet(f"row {both[0]} is in the support and in the query; no row may be in both")
    for name, rows in zip(names, pair, strict=True):
        counted = np.bincount(label[rows], minlength=CLASSES).tolist()
        if len(set(counted)) > 1:
            raise answer.not_yet(f"the {name}'s classes have {counted} rows; expected {len(rows) // CLASSES} of each")
    return pair


def _languages(found: tuple[list[str], ...], codes: tuple[str, str]) -> str:
    """Support and query are in the wrong languages: which mistake is it?"""
    (source, language), single = codes, tuple("+".join(part) for part in found)
    if source == language:
        named = {("en", language): "the support is English: that is XLA-MAML, and here one language is asked for"}
    else:
        named = {
            (language, language): "support and query are both in `language`: that is X-MAML",
            (source, source): "support and query are both in `source`; the query is in `language`",
            (language, source): "it is the wrong way round: the support is in `source`, the query in `language`",
            ("en", language): "the support is English whatever `source` says",
        }
    words = named.get(single, f"the support must be in {source} and the query in {language}")
    return f"{words} (yours: support in {single[0]}, query in {single[1]})"


def stream(answer: Answer, rows: np.ndarray, size: int, passes: int) -> np.ndarray:
    """All the batches of one call, joined, if each pass is right."""
    n = len(rows)
    wanted = _sizes(n, size) * passes
    have = f"{passes} passes have {len(wanted)}" if passes > 1 else f"one pass has {len(wanted)}"
    if not isinstance(answer.value, Iterable):
        raise answer.expected("batches, one after the other")
    batches = list(islice(answer.value, len(wanted) + 9))
    if any(not isinstance(batch, Iterable) or getattr(batch, "ndim", 1) == 0 for batch in batches):
        raise answer.not_yet("you give row after row; expected batches, arrays of up to `size` rows")
    if len(batches) > len(wanted) + 8:
        raise answer.not_yet(f"more than {len(wanted) + 8} batches came; {have}")
    memory = [part.ctypes.data if isinstance(part, np.ndarray) and part.size else id(part) for part in batches[:2]]
    if n > size and len(set(memory)) < len(memory):
        raise answer.not_yet("your batches are all one array that is filled again; make a new one each time")
    batches = [_row_numbers(Answer(batch, answer.given, "the batch"), 1000) for batch in batches]
    joined, sizes = np.concatenate(batches) if batches else np.array([], int), [len(batch) for batch in batches]
    if not set(joined.tolist()) <= set(rows.tolist()):
        if set(joined.tolist()) <= set(range(n)):
            raise answer.not_yet(f"these are places in `rows`, from 0 to {n - 1}; give the rows at these places")
        raise answer.not_yet("your batches have rows that are not in `rows`")
    if n % size and sizes == [size] * (n // size) * passes:
        raise answer.not_yet(f"the last rows of each pass ({n % size}) never come; its last batch may be shorter")
    if not sizes:
        raise answer.not_yet(f"no batch came; {have}")
    if sizes != wanted and len(joined) % n == 0 and sizes == _sizes(n, size) * (len(joined) // n):
        raise answer.not_yet(f"the number of passes over the rows is {len(joined) // n}; expected {passes}")
    if len(batches) == passes and passes != len(wanted):
        raise answer.not_yet(f"there are {passes} batches; expected {passes} passes over all rows")
    if sizes != wanted and sorted(sizes) == sorted(wanted):
        raise answer.not_yet(f"your batches have {_listed(sizes)} rows; the short batch must be the last of its pass")
    if sizes != wanted and len(joined) == passes * n and sorted(sizes) == sorted(_sizes(passes * n, size)):
        raise answer.not_yet("a batch holds rows of two passes; begin each with a new batch, its last may be short")
    if sizes != wanted and sizes == [size] * len(wanted):
        raise answer.not_yet("the last batch of a pass is filled up with rows that came before; leave it short")
    if sizes != wanted and (never := set(rows.tolist()) - set(joined.tolist())):
        raise answer.not_yet(f"row {min(never)} never comes; every row comes once in each pass")
    if sizes != wanted:
        raise answer.not_yet(f"your batches have {_listed(sizes)} rows; expected {_listed(wanted)}")
    for number, part in enumerate(joined.reshape(passes, n)):
        if len(set(part.tolist())) < n:
            twice = next(row for row in part.tolist() if part.tolist().count(row) > 1)
            never = next(row for row in rows.tolist() if row not in part)
            raise answer.not_yet(f"in pass {number + 1} row {twice} comes again, and row {never} has not come")
    return joined


def _sizes(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


def translations(answer: Answer, table: pd.DataFrame, support: np.ndarray, language: str) -> None:
    """Are these the translations of the support, in its order?"""
    found = _row_numbers(answer, len(table))
    pair, codes = table["pair"].to_numpy(), table["language"].to_numpy()
    own, dev = np.flatnonzero(codes == language), rows_in(table, language)
    row_of = dict(zip(pair[own].tolist(), own.tolist(), strict=True))
    right = np.array([row_of[name] for name in pair[support]])
    if np.array_equal(found, right):
        return
    agree = [*(mine == its for mine, its in zip(found, right, strict=False)), False]
    first = min(agree.index(False), len(right) - 1)
    if isinstance(answer.value, set | frozenset):
        words = "a set has no order; return a list or an array, with row i of the query for row i of the support"
    elif np.array_equal(found, support):
        words = "these are the support rows themselves; expected their translations"
    elif len(found) > len(right) and {*right.tolist()} <= {*found.tolist()}:
        words = f"there are {len(found)} rows for {len(right)} support rows; take those in `language` alone"
    elif len(found) != len(right):
        there, pairs = support[codes[support] == language].tolist(), len(set(pair[support].tolist()))
        why = " (two of them share a pair)" if pairs == len(found) else ""
        if there and len(found) == len(right) - len(there) and not {*there} & {*found.tolist()}:
            why = f" (row {there[0]} is in {language} already, and stands for itself)"
        words = f"there are {len(found)} rows; expected {len(right)}, one for each support row{why}"
    elif np.array_equal(np.sort(found), np.sort(right)):
        order = "in the table's order" if np.array_equal(found, np.sort(right)) else "in another order"
        words = f"these are the right rows {order}; row i of the query must translate row i of the support"
    elif any(found.max() < len(part) and np.array_equal(part[found], right) for part in (own, dev)):
        words = f"your numbers count within the rows in {language}; return numbers of the whole table"
    elif (codes[found] != language).any():
        words = f"your query has row {found[(codes[found] != language).argmax()]}, which is not in {language}"
    else:
        words = f"row {found[first]} is not the translation of row {support[first]}: they have other pairs"
        if (table["label"].to_numpy()[found] == table["label"].to_numpy()[support]).all():
            words += " (the labels agree, but translations share `pair`)"

    def told(row: int) -> str:
        return f"row {row} ({codes[row]}, {pair[row]})"

    yours = told(found[first]) if first < len(found) else "none"
    raise answer.not_yet(words, told(support[first]), f"yours {yours}", f"target {told(right[first])}")


def leaks(
    answer: Answer, table: pd.DataFrame, support: np.ndarray, query: np.ndarray, target: str, few_shot: bool
) -> None:
    """Is each row at fault among these, and no other?"""
    if isinstance(answer.value, bool | np.bool_):
        raise answer.expected("the set of the rows at fault")
    listed = _row_numbers(answer, len(table)).tolist()
    found = set(listed)
    language, split = table["language"].to_numpy(), table["split"].to_numpy()

    def why(row: int) -> str:
        if split[row] == "test":
            return f"{_SCORING}, in any language and any episode"
        if row in query and language[row] == target:
            return "a target row must never be a query, few-shot or not"
        if row in support and language[row] == target and not few_shot:
            return "it is a target row, and this is not few-shot"
        if row in support and language[row] == target and split[row] != "dev":
            return "few-shot XLA-MAML takes the target's dev rows, and this is a train row"
        return "it is in the support and in the query" if row in support and row in query else ""

    def welcome(row: int) -> str:
        if row not in support and row not in query:
            return "not in the episode at all"
        if language[row] == target:
            return "allowed: few-shot XLA-MAML takes its support from the target's dev rows"
        if split[row] == "train":
            return "allowed: a train row is no leak, unless it is the target's"
        if table["pair"][row] in {*table["pair"][query]} & {*table["pair"][support]}:
            return "allowed: a translation is another row"
        return "allowed: it is not a target row, not a test row, and not in both parts"

    right = [row for row in sorted({*support.tolist(), *query.tolist()}) if why(row)]
    if found == set(right) and len(listed) == len(found):
        return

    def told(row: int) -> str:
        parts = [name for name, rows in (("support", support), ("query", query)) if row in rows]
        return f"row {row} ({', '.join([language[row], split[row], *parts])})"

    both = np.concatenate([support, query])
    missing, extra = [row for row in right if row not in found], sorted(found - set(right))
    if right and extra and found <= _places(both, right) | _places(query, right):
        raise answer.not_yet("these are places in the support or the query; return the row numbers that stand there")
    if not missing and not extra:
        row = next(row for row in listed if listed.count(row) > 1)
        raise answer.not_yet(f"{told(row)} stands twice in your answer; name each row at fault once")
    if extra:
        raise answer.not_yet(f"{told(extra[0])} is {welcome(extra[0])}")
    raise answer.not_yet(f"{told(missing[0])} is missing from your answer: {why(missing[0])}")


def _places(rows: np.ndarray, wanted: list[int]) -> set[int]:
    return set(np.flatnonzero(np.isin(rows, wanted)).tolist())


def _listed(sizes: list[int]) -> str:
    return ", ".join(map(str, sizes[:12])) + (", ..." if len(sizes) > 12 else "")
