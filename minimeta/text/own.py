"""A user's own corpus: files, a directory of them, or a data set on the hub, as the rows that all readers give.

Of classification a row has the columns `language, split, text, label`, and may have `text2, genre, pair, premise_id`;
of questions there are files in SQuAD's layout. The path may say the language and the split (`yor/test.tsv`). Nothing
is guessed about a value: text stays what it is (`NA`, `007`), and a row that cannot be used is named.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, some
from ..files import PACKED
from . import languages
from .parts import ENDINGS, SPLIT_WORDS, Part, is_name, of_files, of_hub, tables_at
from .readers import Row, Source, questions, text_in, together

COLUMNS = ("language", "split", "text", "text2", "label", "genre", "pair", "premise_id")
"""What a row of classification may say, by our names."""

_NEEDED = ("text", "label")
_MEND = "mend it there"


@dataclass(frozen=True, eq=False)
class Own:
    """An own corpus: its name, its rows, what they say of languages and classes, and notes on what was done to them."""

    name: str
    rows: list[Row]
    languages: tuple[str, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def there(task: str, path: Path) -> bool:
    """Are there own rows at a path, or may it be a name on the hub? Raises InputError for a file of another kind."""
    if path.is_file() and not path.name.lower().endswith((*ENDINGS[task], *PACKED)):
        raise InputError(
            f"{path} is neither an archive nor a table that can be read; expected a file that ends in "
            f"{', '.join(ENDINGS[task])}, or a directory of them."
        )
    return bool(tables_at(task, path)) or (task != "qa" and is_name(path))


def load(task: str, path: Path, columns: tuple[tuple[str, str], ...] = ()) -> Own:
    """All rows at a path, or of a name on the hub, read once as long as no file changes.

    `columns` are (our name, theirs) where a column has another name than in COLUMNS. Classes are the labels: numbers
    in their order, names by alphabet, or in the order that the data set gives them. If there are no dev rows, half of
    the premises (passages) of train, else of test, become dev, in all languages the same ones. Raises InputError for
    what is no such corpus; it names the file and the row, counted from 1 below the header.
    """
    _check(columns)
    files = tables_at(task, path)
    stamp = tuple((str(file), (at := file.stat()).st_size, at.st_mtime_ns) for file in files)
    return _load(task, path, columns, stamp)


@lru_cache(maxsize=4)
def _load(task: str, path: Path, columns: tuple[tuple[str, str], ...], stamp: tuple[Any, ...]) -> Own:
    if task == "qa" and columns:
        raise InputError("Questions have SQuAD's layout, without columns; --columns is for tables of rows.")
    parts = of_files(path, [Path(file) for file, *_ in stamp]) if stamp else of_hub(str(path))
    rows, classes, from_names = _questions(parts) if task == "qa" else _pairs(parts, dict(columns))
    if not rows:
        raise InputError(f"{path} has no row; expected a header and rows below it.")
    notes = _with_dev(rows, "passages" if task == "qa" else "premises")
    if from_names:
        told = [f"{code} of {name.removeprefix(f'{path}{os.sep}')}" for code, name in from_names.items()]
        notes.append(f"No column says the language; it is taken from names: {some(told)}.")
    codes = languages.ordered(row["language"] for row in rows)
    return Own(path.absolute().name if stamp else str(path), rows, codes, classes, tuple(notes))


def _check(columns: Iterable[tuple[str, str]]) -> None:
    names = [name for name, _ in columns]
    if odd := [name for name in names if name not in COLUMNS]:
        raise InputError(f"There is no column {odd[0]!r} to be named; the columns are {', '.join(COLUMNS)}.")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"The column {twice[0]} was named twice; say once what it is called.")


def _questions(parts: Sequence[Part]) -> tuple[list[Row], tuple[str, ...], dict[str, str]]:
    """The rows of files in SQuAD's layout, no classes, and a file for each language that was read from its name."""
    rows: list[Row] = []
    from_names: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for part in parts:
        code, split = _said(part, "language"), _said(part, "split")
        from_names.setdefault(code, part.name)
        source = Source(part.name, "", (code,), (), part.path.parent, _MEND)
        for row in questions(source, part.path.name, code, split):
            # Passages are numbered in each file.
            rows.append(row | {"genre": "", "passage_id": f"{row['passage_id']}/{part.name}"})
            _once(rows[-1], seen, f"{part.name} has the id")
    return together(_sorted(rows), "passage_id"), (), from_names


def _sorted(rows: Iterable[Row]) -> list[Row]:
    """Rows in an order of their content, so that no number depends on which row or file comes first."""
    names = ("language", "split", "pair", "genre", "premise", "hypothesis", "label")
    return sorted(rows, key=lambda row: [row.get(name) or "" for name in names])


def _once(row: Row, seen: set[tuple[str, str]], where: str) -> None:
    """Raise InputError if a pair names a second row of a language in a split; `where` says what has it."""
    if (key := (row["language"], row["pair"])) in seen:
        split, pair = row["pair"].split("/", 1)
        raise InputError(
            f"{where} {pair!r} a second time in {key[0]}, {split}; it names one row of a language and its translations."
        )
    seen.add(key)


def _pairs(parts: Sequence[Part], names: dict[str, str]) -> tuple[list[Row], tuple[str, ...], dict[str, str]]:
    """The rows of tables, with labels as positions in the classes, and a file for each language read from its name."""
    rows: list[Row] = []
    from_names: dict[str, str] = {}
    given: dict[str, str] = {}  # which part said first that there is such a column
    classes: tuple[str, ...] | None = None
    seen: set[tuple[str, str]] = set()
    for place, part in enumerate(parts):
        table = part.read()
        called = {name: names.get(name, name) for name in COLUMNS}
        has = {name for name, theirs in called.items() if theirs in table.columns}
        for name in COLUMNS:
            if name not in has and (name in names or name in _NEEDED or (name in given)):
                raise _lacking(part, name, called[name], table.columns, given.get(name))
        if place and (more := sorted(has - given.keys() - {"language", "split"})):
            raise _lacking(parts[0], more[0], called[more[0]], (), part.name)
        given |= dict.fromkeys(has - {"language", "split"} - given.keys(), part.name)
        fixed = {name: _said(part, name) for name in ("language", "split") if name not in has}
        if "language" in fixed:
            from_names.setdefault(fixed["language"], part.name)
        named = table.classes.get(called["label"])
        if place and named != classes:
            raise InputError(f"{part.name} has other classes than {parts[0].name}; give all files the same ones.")
        classes = named
        for number, row in enumerate(table.rows, 1):
            said = {name: _named(row.get(called[name]), table.classes.get(called[name])) for name in has}
            where = f"Row {number} of {part.name}"
            rows.append(_row(said | fixed, fixed, where, named))
            if "pair" in has:
                _once(rows[-1], seen, f"{where} has the pair")
    rows = _sorted(rows)
    for number, row in enumerate(rows):
        row["pair"] = row["pair"] or f"{row['split']}/{row['language']}/{number}"
    where = parts[0].name if len(parts) == 1 else f"the {len(parts)} files"
    names_of = classes or _classes({row["label"] for row in rows}, where)
    for row in rows:
        row["label"] = names_of.index(row["label"])
    return together(rows, "premise_id"), tuple(names_of), from_names


def _named(value: Any, names: Sequence[str] | None) -> Any:
    """A value, or where a column has names for its numbers, the name of a number that has one."""
    return names[value] if names and isinstance(value, int) and 0 <= value < len(names) else value


def _lacking(part: Part, name: str, theirs: str, there: Sequence[str], other: str | None) -> InputError:
    """The error for a column that a part has not."""
    has = f"; it has {some(list(there), 12)}" if there else ""
    if other and other != part.name:
        return InputError(f"{part.name} has no column {theirs}, which {other} has{has}: give it to all files or none.")
    return InputError(f"{part.name} has no column {theirs}{has}: say what it is called with --columns {name}=NAME.")


def _said(part: Part, name: str) -> str:
    """The language or the split that the place of a part says."""
    found = getattr(part, name)
    if len(found) == 1:
        return found[0]
    of_questions = part.path.suffix.lower() == ".json"  # which have no columns
    example = "yor/test.json" if of_questions else "yor/test.tsv" if name == "split" else "yor/test.tsv or test-yor.tsv"
    if found:
        column = "" if of_questions else f"a column {name}, or "
        raise InputError(
            f"The path of {part.name} may say the {name} {' or '.join(found)}; give it {column}a path that says one, "
            f"as {example} does."
        )
    if of_questions:
        raise InputError(f"The path of {part.name} says no {name}; name the file as in {example}.")
    raise InputError(
        f"{part.name} has no column {name}, and its path says none; name the column with --columns {name}=NAME, or the "
        f"file as in {example}."
    )


def _row(said: Row, fixed: Row, where: str, classes: Sequence[str] | None) -> Row:
    """A row by our names; its label is still a name, and its pair "" where there is no such column."""
    texts = {name: _text(said[name], name, where) for name in ("text", "text2") if name in said}
    code = said["language"] if "language" in fixed else _language(said["language"], where)
    split = said["split"] if "split" in fixed else _split(said["split"], where)
    pair = f"{split}/{_name(said['pair'], 'pair', where)}" if "pair" in said else ""
    premise = _name(said["premise_id"], "premise_id", where) if "premise_id" in said else f"{code}/{texts['text']}"
    return {
        "language": code,
        "genre": _name(said["genre"], "genre", where) if "genre" in said else "",
        "split": split,
        "premise": texts["text"],
        **({"hypothesis": texts["text2"]} if "text2" in texts else {}),
        "label": _label(said["label"], where, classes),
        "pair": pair,
        "premise_id": f"{split}/{premise}",
    }


def _text(value: Any, column: str, where: str) -> str:
    if value is None or value != value or (isinstance(value, str) and not value.strip()):  # NaN is not itself
        raise InputError(f"{where} has nothing in the column {column}; give it a value, or leave the row out.")
    return text_in(value, where, _MEND)


def _name(value: Any, column: str, where: str) -> str:
    """A name or a number as text."""
    if isinstance(value, bool):
        value = str(value).lower()
    known = isinstance(value, int | float) and value == value
    return _text(str(value) if known else value, column, where).strip()


def _language(value: Any, where: str) -> str:
    code = languages.usual(value) if isinstance(value, str) else None
    if code is None:
        raise InputError(
            f"{where} has the language {value!r}; expected a BCP 47 tag or an ISO 639-3 code, such as de or yor."
        )
    return code


def _split(value: Any, where: str) -> str:
    split = SPLIT_WORDS.get(value.strip().lower()) if isinstance(value, str) else None
    if split is None:
        raise InputError(f"{where} has the split {value!r}; expected train, dev (or validation) or test.")
    return split


def _label(value: Any, where: str, classes: Sequence[str] | None) -> str:
    if classes is not None and isinstance(value, str) and value in classes:
        return value
    label = _name(value, "label", where)
    if label == "-1" or (classes is not None and label not in classes):
        known = f"; the labels are {some(list(classes))}" if classes is not None else ", which stands for none"
        named = " (if it is a class, call it by a name)" if classes is None else ""
        raise InputError(f"{where} has the label {label}{known}: give it one{named}, or leave the row out.")
    return label


def _classes(labels: set[str], where: str) -> list[str]:
    """The classes in their order: numbers as numbers, names by alphabet; `where` names the file, or counts them."""
    numbers = all(re.fullmatch("0|[1-9][0-9]*", label) for label in labels)
    found = sorted(labels, key=int if numbers else None)
    if len(found) == 1:
        raise InputError(f"All rows of {where} have the label {found[0]}; a classifier needs two classes or more.")
    for label in found:
        if len(alike := [other for other in found if other.casefold() == label.casefold()]) > 1:
            raise InputError(f"The labels {' and '.join(alike)} of {where} differ in capitals alone; write them alike.")
    return found


def _with_dev(rows: list[Row], groups: str) -> list[str]:
    """Make dev rows, in place, if there are none; returns what is to be said of the splits."""
    there, notes = {row["split"] for row in rows}, []
    if "dev" not in there:
        donor, group = "train" if "train" in there else "test", f"{groups.removesuffix('s')}_id"
        names = np.unique([row[group] for row in rows if row["split"] == donor])
        chosen = set(np.random.default_rng(0).permutation(names)[: len(names) // 2].tolist())
        for row in rows:
            if row["split"] == donor and row[group] in chosen:
                row["split"] = "dev"
        notes.append(f"There are no dev rows: half of the {groups} of {donor} are dev, the same ones in all languages.")
    if "test" not in there:
        notes.append(f"There are no test rows: half of the {groups} of dev are test, the same ones in all languages.")
    return notes
