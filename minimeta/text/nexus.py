"""The trees that a file holds, NEXUS or Newick, each still as Newick text, and what the labels in it stand for.

Not by a package: commonnexus 2.0.0, the best of those tried, stops at names that programs write bare in TRANSLATE
(`A/B`, `O'odham`), finds nothing in a UTREE or in a block without END and does not say so, and takes 7 seconds and
400 MB to see that a sample holds 500 trees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import InputError

# A quote opens where a name can begin and closes where one can end, so that O'odham and 'Are'are are names as well.
_QUOTED = r"""'(?:[^']|'')*'(?=[\s(),:;=\[\]]|$)|"(?:[^"]|"")*"(?=[\s(),:;=\[\]]|$)"""
_MARK = re.compile(rf"(?<![^\s(),:;=\]])(?:{_QUOTED})|[\[;]")
_ENTRY = re.compile(rf"\s*({_QUOTED}|[^\s,]+)\s+({_QUOTED}|[^,]+)")  # of TRANSLATE: a label and what it stands for
_BRACKET = re.compile(r"[\[\]]")
_LABEL = re.compile(rf"{_QUOTED}|\S+")
_TREE = re.compile(rf"\s*\*?\s*({_QUOTED}|[^=]*?)\s*=\s*(.*)", re.DOTALL)


class Written(NamedTuple):
    """A tree of a file: its name (its number in a Newick file), its Newick text, and the names behind its labels."""

    name: str
    newick: str
    labels: dict[str, str]


def find(text: str) -> list[Written]:
    """All trees of a NEXUS or Newick text, in their order; raises InputError for a comment that never ends."""
    text = text.removeprefix("\ufeff").lstrip()
    if not re.match(r"#NEXUS\b", text, re.IGNORECASE):
        return [Written(str(n), statement, {}) for n, statement in enumerate(_statements(text), 1)]
    found: list[Written] = []
    block, numbers, labels = "", {}, {}
    for statement in _statements(text[len("#NEXUS") :]):
        word, rest = (*statement.split(maxsplit=1), "")[:2]
        word, inside = word.lower().rstrip(";*"), rest.removesuffix(";").strip()
        if word == "begin":
            block, labels = inside.lower(), {}
        elif word in ("end", "endblock"):
            block = ""
        elif word == "taxlabels":  # a tree without TRANSLATE may number them
            numbers = {str(n): _bare(label) for n, label in enumerate(_LABEL.findall(inside), 1)}
        elif block == "trees" and word == "translate":
            labels = {_bare(label): _bare(name.strip()) for label, name in _ENTRY.findall(inside)}
        elif block == "trees" and word in ("tree", "utree") and (tree := _TREE.fullmatch(rest)):
            found.append(Written(_bare(tree[1]), tree[2], numbers | labels))
    return found


def _bare(name: str) -> str:
    """A name without its quotes."""
    quote = name[:1]
    return name[1:-1].replace(2 * quote, quote) if re.fullmatch(_QUOTED, name) else name


def _statements(text: str) -> Iterator[str]:
    """What stands between one ';' and the next, with the latter, but a blank for each comment."""
    parts: list[str] = []
    start = 0
    while mark := _MARK.search(text, start):
        end, sign = mark.end(), mark[0]
        if sign == "[":
            parts += [text[start : mark.start()], " "]
            end = _behind(text, mark.start())
        else:
            parts.append(text[start:end])
        if sign == ";":
            yield "".join(parts).strip()
            parts = []
        start = end
    if rest := "".join([*parts, text[start:]]).strip():
        yield rest


def _behind(text: str, start: int) -> int:
    """The place behind the comment that opens at `start`; there can be comments in it."""
    depth = 0
    for sign in _BRACKET.finditer(text, start):
        depth += 1 if sign[0] == "[" else -1
        if not depth:
            return sign.end()
    raise InputError(f"Not a tree file: a '[' without its ']' (character {start + 1}); close the comment.")
