"""The mini world's languages: one table of whole phrases for each, and sentences put together from them.

A table is a CSV file in `data/mini` with the rows of the English one; see `data/mini/README.md`. Phrases never
change with their neighbours, so that a sentence is its template with the phrases in place.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..files import data_directory
from .claims import GENRES, SLOTS, Claim
from .languages import check, is_language, ordered

LANGUAGES = ordered(path.stem for path in (data_directory() / "mini").glob("[!.]*.csv"))
"""The languages of the mini world, which are those that have a table: XNLI's, then others."""

COLUMNS = ("genre", "slot", "english", "phrase", "negated")
TEMPLATES = {
    "only": {"person"},
    "statement": {"subject", "verb", "rest", "place", "time"},
    "who": {"verb", "rest", "place", "time"},
    "where": {"subject", "verb", "rest", "time"},
}


@dataclass(frozen=True)
class Text:
    """A sentence, and where each of its parts stands in it: (start, end)."""

    text: str
    spans: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Table:
    """A language's phrases: `common` for all genres, `genres` as {(genre, slot): [(phrase, negated), ...]}."""

    language: str
    common: dict[str, str]
    genres: dict[tuple[str, str], list[tuple[str, str]]]

    def statement(self, claim: Claim) -> Text:
        """A claim as a sentence."""
        return self._filled("statement", claim)

    def question(self, word: str, claim: Claim) -> str:
        """The question that a claim answers: "who" asks for its person, "where" for its place."""
        return self._filled(word, claim).text

    def passage(self, claims: tuple[Claim, ...]) -> tuple[str, list[Text]]:
        """Claims one after the other: the text, and its sentences with their spans in the text."""
        between = "" if self.common["statement"].endswith("。") else " "
        text, sentences = "", []
        for claim in claims:
            sentence = self.statement(claim)
            start = len(text) + len(between) if text else 0
            text = f"{text}{between}{sentence.text}" if text else sentence.text
            moved = {part: (start + a, start + b) for part, (a, b) in sentence.spans.items()}
            sentences.append(Text(sentence.text, moved))
        return text, sentences

    def _filled(self, template: str, claim: Claim) -> Text:
        phrases = {part: self._phrase(claim, part) for part in ("place", "time")}
        negated = claim.negated
        if claim.person is not None:
            subject = self._phrase(claim, "person")
            phrases["subject"] = self.common["only"].replace("{person}", subject) if claim.only else subject
        else:
            phrases["subject"] = self.common["nobody" if negated else "someone"]
            negated = negated and self.common["after nobody"] == "negated"
        verb = self.genres[claim.genre, "verb"][claim.verb][negated]
        phrases["verb"], _, phrases["rest"] = (part.strip() for part in verb.partition("|"))
        return _fill(self.common[template], phrases, self.language)

    def _phrase(self, claim: Claim, slot: str) -> str:
        number = getattr(claim, slot)
        return "" if number is None else self.genres[claim.genre, slot][number][0]


def _fill(template: str, phrases: dict[str, str], language: str) -> Text:
    """A template with its phrases; an empty one goes with the space before it. Begins with a capital letter."""
    text, spans = "", {}
    for before, space, slot in _pieces(template):
        phrase = phrases[slot] if slot else ""
        text += before
        text += space if phrase and text else ""
        if phrase:
            spans[slot] = (len(text), len(text) + len(phrase))
        text += phrase
    first = next(i for i, letter in enumerate(text) if letter.isalpha())
    capital = "İ" if language == "tr" and text[first] == "i" else text[first].upper()
    return Text(text[:first] + capital + text[first + 1 :], spans)


@lru_cache
def _pieces(template: str) -> list[tuple[str, str, str]]:
    """A template as (text, the space before the slot if there is one, slot), the last without slot."""
    return re.findall(r"([^{}]*?)( ?)(?:\{(\w+)\}|$)", template)


@lru_cache
def table(language: str) -> Table:
    """The table of a language; raises InputError if it is missing or differs from the English one in its rows."""
    path = data_directory() / "mini" / f"{language}.csv"
    if path.is_file() and not is_language(language):
        raise InputError(f"{path} is not called by a language's code, as en.csv is; rename it or move it away.")
    check([language])
    return read_table(path, language)


def read_table(path: Path, language: str) -> Table:
    """Read and check one table."""
    rows, model = _rows(path), _rows(data_directory() / "mini" / "en.csv")
    for number, (row, english) in enumerate(zip(rows, model, strict=False), start=2):
        where = f"{path.name}, line {number} ({english['english']})"
        for column in COLUMNS[:3]:
            if row[column] != english[column]:
                raise InputError(f"{where}: {column} is {row[column]!r}; expected {english[column]!r} as in en.csv.")
        if not row["phrase"] or bool(row["negated"]) != (row["slot"] == "verb"):
            raise InputError(f"{where}: every row needs a phrase, and verbs, and only they, a negated one.")
        parts = (row["phrase"], row["negated"])
        if row["phrase"] == row["negated"] or any(part.strip("|") != part or part.count("|") > 1 for part in parts):
            raise InputError(f"{where}: a negation differs from its verb, and a verb is cut by one bar inside it.")
        if row["genre"] != "all" and re.search("[{}]", "".join(parts)):
            raise InputError(f"{where}: only the rows for all genres have slots in braces.")
        slots = re.findall(r"\{(\w+)\}", row["phrase"]) if row["genre"] == "all" else []
        if row["slot"] in TEMPLATES and sorted(slots) != sorted(TEMPLATES[row["slot"]]):
            raise InputError(f"{where}: expected each of {', '.join(sorted(TEMPLATES[row['slot']]))} once, in braces.")
    if len(rows) != len(model):
        raise InputError(f"{path.name} has {len(rows)} rows; expected the {len(model)} of en.csv, in its order.")
    common = {row["slot"]: row["phrase"] for row in rows if row["genre"] == "all"}
    if common["after nobody"] not in ("plain", "negated"):
        raise InputError(f"{path.name}: 'after nobody' is {common['after nobody']!r}; expected plain or negated.")
    genres = {
        (genre, slot): [(row["phrase"], row["negated"]) for row in rows if (row["genre"], row["slot"]) == (genre, slot)]
        for genre in GENRES
        for slot in SLOTS
    }
    return Table(language, common, genres)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"There is no {path}; each language of the mini world needs a table of its phrases.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not in UTF-8; save it as CSV in UTF-8.") from None
    if not rows or any(set(row) != set(COLUMNS) or None in row.values() for row in rows):
        raise InputError(f"{path} is not a table with the columns {', '.join(COLUMNS)}; save it as CSV with commas.")
    return [{column: unicodedata.normalize("NFC", value.strip()) for column, value in row.items()} for row in rows]
