"""The readers of official archives, what they have in common, and what may be wrong with an archive.

What rows hold is said in `corpora`. A reader takes the source, the languages (None: all that are there) and the splits.
"""

from __future__ import annotations

import io
import json
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, some
from ..files import archived
from .languages import check

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
_FILLED = ("sentence1", "sentence2", "genre", "promptID", "pairID")
PAIR = ("gold_label", *_FILLED)
"""The columns of XNLI and MultiNLI that are read."""


@dataclass(frozen=True)
class Source:
    """What a reader reads: its corpus's name, archive, languages and classes, and the path that was given.

    The path is the archive, the directory that it unpacks to, or one that holds either (see `files.archived`).
    `remedy` is what to do about a fault in it.
    """

    name: str
    archive: str
    languages: tuple[str, ...]
    classes: tuple[str, ...]
    path: Path
    remedy: str = "get the archive again"

    def where(self, split: str) -> str:
        """A split in an error."""
        return f"{self.name}'s {split} split in {self.path}"

    def has(self, name: str) -> bool:
        """Whether the archive has a file."""
        return archived(self.path, self.archive, name) is not None

    def file(self, name: str) -> bytes:
        """A file that the archive must have."""
        content = archived(self.path, self.archive, name)
        if content is None:
            raise InputError(f"{self.path} has no {name}; this split is missing there, get the whole archive.")
        return content

    def unreadable(self, name: str, reason: str) -> InputError:
        """The error for a file that is not in its layout."""
        return InputError(f"{name} in {self.path} cannot be read ({reason.splitlines()[0]}); {self.remedy}.")

    def table(self, name: str, split: str, columns: Sequence[str]) -> pd.DataFrame:
        """The columns of a file with a split, .jsonl or .tsv."""
        import pandas as pd

        content = self.file(name)
        try:
            if name.endswith(".jsonl"):
                # Not by pandas, which drops half a character without a word.
                table = pd.DataFrame([json.loads(line) for line in content.splitlines() if line.strip()], dtype=object)
            else:
                table = pd.read_csv(io.BytesIO(content), sep="\t", quoting=3, keep_default_na=False, dtype=str)
        except (ValueError, pd.errors.ParserError) as error:
            raise self.unreadable(name, str(error)) from None
        if lacking := sorted(set(columns) - set(table.columns)):
            raise InputError(f"{self.where(split)} lacks the column {some(lacking)}; it must have the official layout.")
        first, last = content.partition(b"\n")[0], content.rstrip(b"\r\n").rpartition(b"\n")[2]
        if name.endswith(".tsv") and first.count(b"\t") != last.count(b"\t"):  # also in columns that nobody reads
            raise InputError(f"{name} in {self.path} breaks off in row {len(table)}; {self.remedy}.")
        return table[list(columns)]


def pairs(source: Source, table: pd.DataFrame, split: str, name: str = "") -> Iterator[Row]:
    """The rows of a table with a column `language` and those of PAIR; labels become positions in the classes.

    `name` is the file's where a split has several; the table's index counts its rows from 0. A corpus without genres
    has "" in each row.
    """
    where, classes = f"{name} in {source.path}" if name else source.where(split), source.classes
    filled = [column for column in _FILLED if column != "genre" or table["genre"].ne("").any()]
    for number, row in zip(table.index + 1, table.to_dict("records"), strict=True):
        for found in map(row.get, filled):
            if found is None or found != found or (isinstance(found, str) and not found.strip()):  # nan is not itself
                raise InputError(f"{where} breaks off in row {number}; {source.remedy}.")
        label, here = str(row["gold_label"]), f"Row {number} of {where}"
        if label not in classes:
            raise InputError(f"{here} has the label {label!r}; the labels are {', '.join(classes)}.")
        yield {
            "language": row["language"],
            "genre": text_in(row["genre"], here),
            "split": split,
            "premise": text_in(row["sentence1"], here),
            "hypothesis": text_in(row["sentence2"], here),
            "label": classes.index(label),
            "pair": f"{split}/{text_in(str(row['pairID']), here)}",
            "premise_id": f"{split}/{text_in(str(row['promptID']), here)}",
        }


def questions(source: Source, name: str, language: str, split: str) -> Iterator[Row]:
    """The questions of a file in SQuAD's layout, every answer looked up in its passage."""
    content = source.file(name)
    try:
        paragraphs = [paragraph for article in json.loads(content)["data"] for paragraph in article["paragraphs"]]
        asked = [
            (number, paragraph["context"], each["id"], each["question"], each["answers"])
            for number, paragraph in enumerate(paragraphs)
            for each in paragraph["qas"]
        ]
        places = [[(told["text"], told["answer_start"]) for told in answers] for *_, answers in asked]
    except (ValueError, KeyError, TypeError) as error:
        raise source.unreadable(name, f"{type(error).__name__}: {error}") from None
    unanswered = []
    for (number, context, identity, question, _), answers in zip(asked, places, strict=True):
        where = f"Question {identity!r} of {name} in {source.path}"
        for text in (str(identity), context, *(text for text, _ in answers)):
            text_in(text, where, source.remedy)
        for text, start in answers:
            inside = isinstance(start, int) and start >= 0
            there = context[start : start + len(text)] if inside else ""
            if not inside or text != there:
                raise InputError(
                    f"The answer {text!r} to question {identity} of {name} in {source.path} does not stand at {start} "
                    f"in its passage, there is {there!r}; {source.remedy}."
                )
        told = [(text, start) for text, start in answers if text.strip()]
        if not told:
            unanswered.append(identity)
            continue
        yield {
            "language": language,
            "genre": "wikipedia",
            "split": split,
            "pair": f"{split}/{identity}",
            "passage_id": f"{split}/{language}/{number}",
            "context": context,
            "question": text_in(question, where, source.remedy),
            "answers": {"text": [text for text, _ in told], "answer_start": [start for _, start in told]},
        }
    if unanswered:
        warnings.warn(
            f"{len(unanswered)} of {len(asked)} questions of {name} have no answer and were left out; the first is "
            f"{unanswered[0]}.",
            stacklevel=2,
        )


def together(rows: Iterable[Row], group: str) -> list[Row]:
    """The rows with the same name in the column `group` wherever equal pairs and equal groups join them in a chain.

    A question or a premise exists in several languages, a passage or a premise has several rows.
    """
    rows = list(rows)
    whole = joined([row["pair"] for row in rows], [row[group] for row in rows]) if rows else []
    return [row | {group: name} for row, name in zip(rows, whole, strict=True)]


def joined(pairs: Sequence[str], passages: Sequence[str]) -> list[str]:
    """A name for each row, the same for rows that are joined by a chain of equal pairs and equal passages."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    (names, pair), (_, passage) = (np.unique(values, return_inverse=True) for values in (pairs, passages))
    size = len(names) + len(passage)
    graph = coo_array((np.ones(len(pair)), (pair, passage + len(names))), shape=(size, size))
    part = connected_components(graph, directed=False)[1][pair]
    first = np.unique(part, return_index=True)[1]
    return [pairs[place] for place in first[part]]


def text_in(text: Any, where: str, remedy: str = "get the archive again") -> str:
    """A text of an archive, in NFC; raises InputError for what is no text or cannot be written as UTF-8."""
    if not isinstance(text, str):
        raise InputError(f"{where} has {text!r} where a text should be; {remedy}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start : error.end]
        raise InputError(f"{where} has half a character, {half!r}, in a text; {remedy}.") from None
    return unicodedata.normalize("NFC", text)


def xnli(source: Source, languages: Sequence[str] | None, splits: Sequence[str]) -> Iterator[Row]:
    """XNLI: a table for each split, with all its languages."""
    for split in splits:
        table = source.table(f"xnli.{split}.tsv", split, ("language", *PAIR))
        if languages is not None:
            check(languages, sorted(set(table["language"])), source.where(split))
            table = table[table["language"].isin(languages)]
        counts = table["language"].value_counts()
        if counts.nunique() > 1:
            told = ", ".join(f"{count} of {code}" for code, count in counts.items())
            warnings.warn(
                f"{source.where(split)} has rows {told} and no other; XNLI has as many of each language. Was its table "
                "cut off?",
                stacklevel=2,
            )
        yield from pairs(source, table, split)


def multinli(source: Source, languages: Sequence[str] | None, splits: Sequence[str]) -> Iterator[Row]:
    """MultiNLI: `train`, `dev_matched` and `dev_mismatched`; pairs without a gold label go."""
    for split in splits:
        table = source.table(f"multinli_1.0_{split}.jsonl", split, PAIR)
        table = table[table["gold_label"] != "-"]  # its annotators did not agree
        yield from pairs(source, table.assign(language=source.languages[0]), split)


def squad(source: Source, languages: Sequence[str] | None, splits: Sequence[str]) -> Iterator[Row]:
    """SQuAD 1.1: `train` and `dev`."""
    for split in splits:
        yield from questions(source, f"{split}-v1.1.json", source.languages[0], split)


def mlqa(source: Source, languages: Sequence[str] | None, splits: Sequence[str]) -> list[Row]:
    """MLQA: a file for each split and language; questions are asked in the language of their passage."""
    rows: list[Row] = []
    for split in splits:
        there = False
        for code in languages or source.languages:
            name = f"{split}/{split}-context-{code}-question-{code}.json"
            if languages is not None or source.has(name):
                there = True
                rows += questions(source, name, code, split)
        if not there:
            raise InputError(f"{source.path} has no {split} split of {source.name}; get the whole archive.")
    return together(rows, "passage_id")


def paws_x(source: Source, languages: Sequence[str] | None, splits: Sequence[str]) -> list[Row]:
    """PAWS-X: a table for each language and split; an id is that of the English pair.

    As its authors ask, pairs that were not translated ("NS", or nothing) go, and those without a label with them.
    """
    rows: list[Row] = []
    total, odd = 0, []
    for code in languages or source.languages:
        for split in splits:
            name = f"{split}_2k" if split in ("dev", "test") else split if code == "en" else f"translated_{split}"
            name = f"{code}/{name}.tsv"
            if languages is None and not source.has(name):
                continue
            table = source.table(name, split, ("id", "sentence1", "sentence2", "label"))
            lacking = table[["sentence1", "sentence2"]].isin(["", "NS"]).any(axis=1)
            labelled = table["label"].isin(source.classes)
            lacking = (lacking | ~labelled) & (labelled | (table.index < len(table) - 1))  # a last row may be cut short
            total += len(table)
            odd += [f"row {number} of {name}" for number in table.index[lacking] + 1]
            both = {"gold_label": table["label"], "pairID": table["id"], "promptID": table["sentence1"]}
            found = list(pairs(source, table.assign(language=code, genre="", **both)[~lacking], split, name))
            rows += [row | {"premise_id": f"{code}/{row['premise_id']}"} for row in found]
    if odd:
        warnings.warn(
            f"{len(odd)} of {total} pairs of {source.name} have no text or no label and were left out; the first is "
            f"{odd[0]}.",
            stacklevel=2,
        )
    return together(rows, "premise_id")
