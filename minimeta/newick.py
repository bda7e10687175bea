"""Trees as Newick text, read and written; what a node is, its maker says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .errors import InputError

Node = TypeVar("Node")

# A quote at the start of a name quotes it, whether ' or ", up to one where a name can end; in O'odham, and in 'Are'are,
# it is a character like others.
_ENDS = r"(?=[\s(),:;\[\]]|$)"
_QUOTED = re.compile(rf"""(?:'(?:[^']|'')*'|"(?:[^"]|"")*"){_ENDS}""")
_BARE = rf"""[^\s(),:;'"\[\]][^\s(),:;\[\]]*|'[^\s(),:;'"\[\]]+'[^\s(),:;'\[\]]+{_ENDS}"""
_TOKEN = re.compile(rf"{_QUOTED.pattern}|[(),:;]|{_BARE}")
# What needs no quotes: every sign left out here is one that dendropy, ete4, Bio.Phylo, scikit-bio, treeswift or newick
# refuses or changes in a bare name, and so is a number as the name of an inner node, which they take for its support.
_PLAIN = re.compile(r"""[^\s(),:;='"\[\]{}\\_\ufeff]+""")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def write(nodes: Iterable[Any]) -> str:
    """The text of a tree, from all its nodes, children before parents: each has `name`, `children` and `length`."""
    text: dict[int, str] = {}
    for node in nodes:
        inner = "(" + ",".join(text.pop(id(child)) for child in node.children) + ")" if node.children else ""
        plain = not node.name or (_PLAIN.fullmatch(node.name) and not (inner and _is_number(node.name)))
        name = node.name if plain else "'" + node.name.replace("'", "''") + "'"
        text[id(node)] = inner + name + ("" if node.length is None else f":{node.length!r}")
    return text.popitem()[1] + ";"


def read(text: str, node: Callable[[str, tuple[Any, ...], float | None], Node]) -> Node:
    """One tree; `node(name, children, length)` makes its nodes, children before parents. Raises InputError.

    Without recursion, so that a very deep tree is no harder than a flat one.
    """
    if re.match(r"\ufeff?\s*#NEXUS\b(?!\s*[:;])", text, re.IGNORECASE):
        raise InputError(
            "This is a NEXUS file, where one Newick tree was expected; give the tree alone, from behind the '=' of its "
            "line 'tree NAME = ...;' to the ';', with names for numbers where the file has a TRANSLATE list."
        )
    tokens = _tokens(text)
    if ";" not in tokens:
        raise _wrong(text, "no closing ';'" if tokens else "nothing but blanks and comments")

    open_lists: list[list[Node]] = [[]]
    reader = iter(tokens)
    token = next(reader)
    while True:
        if token == "(":
            open_lists.append([])
            token = next(reader)
            continue
        # A node ends here: its children if a list was just closed, then its name, then its length.
        children: tuple[Node, ...] = ()
        if token == ")":
            children = tuple(open_lists.pop())
            if not open_lists:
                raise _wrong(text, "a ')' too many")
            if not children:
                raise _wrong(text, "a '()' with nothing in it")
            token = next(reader)
        name, length = "", None
        if token not in "(),:;":
            name = token[1:-1].replace(2 * token[0], token[0]) if _QUOTED.fullmatch(token) else token
            token = next(reader)
        if token == ":":
            number, token = next(reader), next(reader, "")  # the number may be missing and this be the last ';'
            if not _NUMBER.fullmatch(number) or not math.isfinite(float(number)):
                raise _wrong(text, f"a ':' with {number!r} behind it, which is no finite number,")
            length = float(number)
        if not children and not name:
            raise _wrong(text, "a leaf without a name")
        open_lists[-1].append(node(name, children, length))
        if token == ",":
            token = next(reader)
            if token == ")":
                raise _wrong(text, "a leaf without a name")
        elif token == ";":
            break
        elif token != ")":
            quotes = " (a name with a blank in it needs quotes)" * (token not in "(:")
            raise _wrong(text, f"unexpected {token!r} after a node{quotes}")
    if len(open_lists) > 1:
        raise _wrong(text, "a '(' without its ')'")
    if len(open_lists[0]) != 1:
        raise _wrong(text, "more than one root")
    if rest := list(reader):
        more = f"{tokens.count(';')} trees, one after the other" if rest[0] == "(" and rest[-1] == ";" else ""
        raise _wrong(text, more or "text after the closing ';'", "one tree alone, with its ';'")
    return open_lists[0][0]


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _wrong(text: str, what: str, expected: str = "the like of '((en,de),el);'") -> InputError:
    return InputError(f"Not a Newick tree: {what} in {text[:60]!r}; expected {expected}.")


def _tokens(text: str) -> list[str]:
    """The names, numbers and signs of a Newick text, without blanks and comments."""
    tokens, place = [], _next(text, int(text.startswith("\ufeff")))  # a mark of some editors: the file is in Unicode
    while place < len(text):
        match = _TOKEN.match(text, place)
        if not match:
            quote = "a quote that never ends, or one inside a name that is not doubled"
            open_ones = {"'": quote, '"': quote, "[": "a '[' without its ']'"}
            found = open_ones.get(text[place], f"unexpected {text[place]!r}")
            raise _wrong(text, f"{found} (character {place + 1})")
        tokens.append(match[0])
        place = _next(text, match.end())
    return tokens


def _next(text: str, at: int) -> int:
    """The next place from `at` on that is neither blank nor in a comment; a '[' that is never closed is one."""
    depth = start = 0
    for place in range(at, len(text)):
        if depth:
            depth += {"[": 1, "]": -1}.get(text[place], 0)
        elif text[place] == "[":
            start, depth = place, 1
        elif not text[place].isspace():
            return place
    return start if depth else len(text)
