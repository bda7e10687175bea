"""Trees of languages from outside: a linguist's file, brought to the languages in use, and URIEL+ distances.

    load("summary.trees", names="taxa.csv").of(["de", "en", "ru"]).levels(4)

A language is found among the nodes of a file, leaves or not, by the first of these that leads to one: the file of
names; its code (`zh`); its ISO 639-3 code (`cmn`, or `zho` for the macrolanguage); its glottocode (`mand1415`); its
English name, in Unicode's words or Glottolog's (underscores and case do not matter). Labels such as
`'German [stan1295][deu]-l-'`, Glottolog's own, are taken apart.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import itertools
import logging
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .. import __version__, newick
from ..errors import InputError, some
from ..files import expanded
from ..linkage import average_linkage
from ..trees import TaskTree
from . import nexus
from .languages import alpha3, check, glottocode_of, is_language, language, languoids, usual

KINDS = ("genetic", "geographic", "syntactic", "phonological", "featural", "inventory")
"""What URIEL+ compares languages by and ships data for: `featural` is all features of structure and sound together."""

_GLOTTOCODE = re.compile(r"[a-z0-9]{4}\d{4}")
_GLOTTOLOG_LABEL = re.compile(rf"(.*?)\[({_GLOTTOCODE.pattern})\](?:\[([a-z]{{3}})\])?(?:-l-)?")


class Phylogeny:
    """A tree as its file has it, and where languages stand in it; `load` makes it.

    `tree` is the whole tree; its names may be anything, also the same for several nodes. `made_by` is what a study's
    record should hold: the files with their SHA-256, the packages with their versions.
    """

    def __init__(
        self, source: str, tree: TaskTree, made_by: Mapping[str, str], names: Iterable[tuple[str, str]] = ()
    ) -> None:
        """`source` stands for the tree in messages; `names` are pairs of a node and the language that it is."""
        self.source, self.tree, self.made_by = source, tree, dict(made_by)
        self._nodes = list(tree.nodes)
        self._codes: dict[str, list[int]] = {}
        self._words: dict[str, list[int]] = {}
        parents = [parent for *_, parent in tree.walk()]
        self._last = list(range(len(parents)))  # for each node the last position below it
        for place in range(len(parents) - 1, 0, -1):
            self._last[parents[place]] = max(self._last[parents[place]], self._last[place])
        for place, node in enumerate(self._nodes):
            codes, word = _readings(node.name)
            self._words.setdefault(word, []).append(place)
            for code in codes:
                self._codes.setdefault(code, []).append(place)
        self._mapped: dict[int, str] = {}  # position of a node -> the code that the file of names gives it
        self._absent: dict[str, str] = {}  # such a code -> a name that no node has
        for name, code in names:
            places = self._lowest(self._codes.get(name) or self._words.get(_word(name), []))
            for place in places:
                if self._mapped.setdefault(place, code) != code:
                    raise InputError(
                        f"The file of names maps {name!r} to {self._mapped[place]} and to {code}; name one language."
                    )
            if not places:
                self._absent[code] = name

    def has(self, languages: Iterable[str]) -> tuple[str, ...]:
        """Those of the languages that have a place in the tree; raises InputError for one that may have several."""
        return tuple(code for code in check(languages) if self._place(code) is not None)

    def of(self, languages: Iterable[str]) -> TaskTree:
        """The tree cut down to these languages (`TaskTree.keep`), its leaves named by their codes.

        Raises InputError if a language has no place or may have several, or if two languages have the same.
        """
        places = {code: self._place(code) for code in check(languages)}
        if lacking := [code for code, place in places.items() if place is None]:
            raise self._lacks(lacking, everything=len(lacking) == len(places))
        for place, n in Counter(places.values()).items():
            if n > 1:
                same = " and ".join(code for code in places if places[code] == place)
                raise InputError(
                    f"In {self.source} {same} are one node, {self._nodes[place].name!r}; leave all but one out, or "
                    "give them nodes of their own with a file of names."
                )
        return self.tree.keep_at({place: code for code, place in places.items()})

    def _place(self, code: str) -> int | None:
        """The position of the node that is this language, if there is one."""
        codes, words = _ways_to_say(code)
        told = [place for place, value in self._mapped.items() if value in codes]
        ways = [self._codes.get(key, []) for key in codes] + [self._words.get(key, []) for key in words]
        untold = ([place for place in places if place not in self._mapped] for places in ways)
        found = told or self._lowest(next(filter(None, untold), []))
        if len(found) > 1:
            nodes = " and ".join(repr(self._nodes[place].name) for place in found[:3])
            raise InputError(
                f"In {self.source} {code} may be {nodes}{', says the file of names' if told else ''}; name the one "
                "that is meant, and no other, in a file of names."
            )
        return found[0] if found else None

    def _lowest(self, places: list[int]) -> list[int]:
        """A family and its main language often share a name: of nodes that lie below each other only the lowest."""
        in_line = all(below <= self._last[above] for above, below in itertools.pairwise(places))
        return places[-1:] if in_line else places

    def _lacks(self, lacking: Sequence[str], everything: bool) -> InputError:
        """What to say of languages that have no place, with lines that a file of names could have."""
        lines: dict[str, str] = {}
        for code in lacking:
            for place in self._near(code)[:1]:
                lines.setdefault(self._nodes[place].name, code)  # a node cannot be two languages
        such = f"such as {some([f'{node},{code}' for node, code in lines.items()])}" if lines else "node,language"
        absent = [self._absent[way] for code in lacking for way in _ways_to_say(code)[0] if way in self._absent]
        absent += [] if self._mapped else [*self._absent.values()]
        strange = [code for code in self._mapped.values() if not (is_language(code) or _GLOTTOCODE.fullmatch(code))]
        told = f" (the file of names says {absent[0]!r}, which is no node)" if absent else ""
        told = told or (f" (the file of names says {strange[0]!r}, which is no code)" if strange else "")
        return InputError(
            f"{self.source} has {'none of the languages' if everything else 'no place for'} {some(lacking, 20)}{told}; "
            f"leave out what it lacks, or map nodes of the tree to languages with a file of names, in lines {such}."
        )

    def _near(self, code: str) -> list[int]:
        """Nodes that may stand for a language: with its name and more, its nearest ancestors, then its dialects."""
        word, glottocode = _word(language(code).name), language(code).glottocode
        more = (f"{word} ", f"{word},")  # Swahili (Congo); Arabic, Standard
        named = [place for other, there in self._words.items() if other.startswith(more) for place in there]
        coded = [*self._codes.items(), *((code, [place]) for place, code in self._mapped.items())]
        lineages, ancestors = _lineages(), _ancestors(glottocode)
        own = lineages.get(glottocode, ("",))
        dialects = [place for key, there in coded if lineages.get(key, ())[: len(own)] == own for place in there]
        above = [place for ancestor in ancestors for key, there in coded if key == ancestor for place in there]
        return named + above + dialects


def load(path: str | Path, names: str | Path | None = None, which: str | None = None) -> Phylogeny:
    """Read a tree from a Newick or NEXUS file, and which of its nodes are which languages from a file of `names`.

    `names` is a CSV or TSV file: the first column is a node of the tree, the second a language (its code, ISO 639-3
    code or glottocode); more columns, empty cells and a header do no harm. Several trees that share no leaf, such as
    the families in Glottolog's own file, are put below one root; of trees over the same leaves `which` names one (in
    Newick by its number, from 1). Raises InputError if a file cannot be read, holds no tree or several over the same
    leaves, or maps a node to two languages.
    """
    path = Path(expanded(path))
    text, sha256 = _text(path)
    written = nexus.find(text)
    if not written:
        raise InputError(f"{path} holds no tree; expected one in Newick, or in the TREES block of a NEXUS file.")
    chosen = [tree for tree in written if which in (None, tree.name)]
    there = some([tree.name for tree in written], 3)
    if not chosen:
        raise InputError(f"{path} has no tree {which!r}; it has {there}.")
    try:
        tree = _together(chosen)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if tree is None:
        raise InputError(
            f"{path} holds {len(written)} trees ({there}) over the same leaves, and a run follows one; save the one "
            "that you mean in a file of its own (of a posterior sample the maximum clade credibility tree)."
        )
    made_by = {"tree": path.name, "tree_sha256": sha256, "minimeta": __version__}
    made_by |= {package: version(package) for package in ("langcodes", "urielplus")}
    if names is None:
        return Phylogeny(path.name, tree, made_by)
    text, sha256 = _text(Path(expanded(names)))
    made_by |= {"names": Path(names).name, "names_sha256": sha256}
    return Phylogeny(path.name, tree, made_by, _pairs(names, text))


def _pairs(names: str | Path, text: str) -> list[tuple[str, str]]:
    """The pairs of a node and a code in a file of names."""
    file = io.StringIO(text, newline=None)  # Unix, Windows and old Mac files alike
    first, expected = file.readline(), "expected CSV or TSV of two columns, a node and its language"
    sign = next((sign for sign in "\t,;" if sign in first), ",")
    file.seek(0)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=sign, strict=True)]
    except csv.Error as error:
        raise InputError(f"{names} is no file of names ({error}); {expected}.") from None
    if max(map(len, rows), default=0) < 2:
        raise InputError(f"{names} is no file of names; {expected}.")
    return [(row[0], usual(row[1]) or row[1]) for row in rows if len(row) > 1 and row[0] and row[1]]


def check_kind(kind: str) -> None:
    """Raise InputError for a kind of distances that URIEL+ has not."""
    if kind not in KINDS:
        raise InputError(f"URIEL+ has no distances of the kind {kind!r}; choose from {', '.join(KINDS)}.")


def uriel(languages: Sequence[str], kind: str) -> TaskTree:
    """The average linkage tree of languages over URIEL+ distances of one of the KINDS.

    The distance of two languages is 2 / π times the angle between their vectors (URIEL+'s own measure, which it rounds
    to 4 digits), over the features that both have. Leaves are named by the given codes. Raises InputError for an
    unknown kind and for languages that URIEL+ does not know or that share no feature with another.
    """
    codes = {code: language(code).iso639_3 for code in check(languages)}
    check_kind(kind)
    if unknown := [code for code, three in codes.items() if three not in _uriel().langs[0]]:
        raise InputError(f"URIEL+ does not know {some(unknown)}; leave them out.")
    distances, lacking = _distances(codes, kind)
    if lacking:
        raise InputError(
            f"URIEL+ has no {kind} distance between {some(lacking)} and others of these languages; leave them out, or "
            f"take another kind ({', '.join(other for other in KINDS if other != kind)})."
        )
    return average_linkage(distances, list(codes))


def in_uriel(languages: Sequence[str], kind: str) -> tuple[str, ...]:
    """Those of the languages that URIEL+ can make one tree of by this kind of distances."""
    codes = {code: language(code).iso639_3 for code in check(languages)}
    known = {code: three for code, three in codes.items() if three in _uriel().langs[0]}
    lacking = _distances(known, kind)[1] if known else []
    return tuple(code for code in known if code not in lacking)


def _distances(codes: Mapping[str, str], kind: str) -> tuple[np.ndarray, list[str]]:
    """The distances of languages, by ISO 639-3 code, and nearly the fewest without which each pair has one."""
    with _quiet():
        vectors = _uriel().get_vector(kind, [*codes.values()])
    rows = np.array([vectors[three] for three in codes.values()], float)
    distances = np.zeros((len(rows), len(rows)))
    for a, b in itertools.combinations(range(len(rows)), 2):
        distances[a, b] = distances[b, a] = _angle(rows[a], rows[b])
    lacking, missing = [], np.isnan(distances)
    while missing.any():  # the worst first
        worst = int(missing.sum(axis=0).argmax())
        lacking.append(list(codes)[worst])
        missing[worst] = missing[:, worst] = False
    return distances, lacking


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    """The angle of two vectors in right angles, over what both know (-1 is unknown); nan if that is nothing."""
    both = (one != -1) & (other != -1)
    one, other = (v[both] if v[both].any() else np.ones(both.sum()) for v in (one, other))  # as URIEL+ does
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other) if both.any() else np.nan
    return 2 / np.pi * np.arccos(np.clip(cosine, -1, 1))


@lru_cache(maxsize=1)
def _uriel() -> object:
    """URIEL+'s database; it unpacks 10 MB beside its own modules when it is first used, one process at a time."""
    from filelock import FileLock

    lock = FileLock(Path(tempfile.gettempdir()) / f"minimeta-urielplus-{getattr(os, 'getuid', int)()}.lock")
    try:
        with _quiet(), lock:
            from urielplus.urielplus import URIELPlus

            return URIELPlus()
    except OSError as error:
        raise InputError(
            f"URIEL+ could not unpack its data beside its own modules ({error}); make the folder writable."
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """URIEL+ prints, logs, and sets up everyone's logging when it is imported: none of it gets out."""
    root, disabled = logging.getLogger(), logging.root.manager.disable
    handlers, level = root.handlers[:], root.level
    logging.disable()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers
        root.setLevel(level)


def _text(path: Path) -> tuple[str, str]:
    """The text of a file and the SHA-256 of its bytes."""
    try:
        content = path.read_bytes()
        return content.decode("utf-8-sig"), hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give the path of a file.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8; save it as such.") from None


def _together(written: Sequence[nexus.Written]) -> TaskTree | None:
    """The one tree, or all below one root; None if two share a leaf."""
    trees: list[TaskTree] = []
    seen: set[str] = set()
    for each in written:
        trees.append(_tree(each))
        leaves = trees[-1].leaves
        if not seen.isdisjoint(leaves):
            return None
        seen.update(leaves)
    return TaskTree.node("", trees) if len(trees) > 1 else trees[0]


def _tree(written: nexus.Written) -> TaskTree:
    """The tree with the names that its labels stand for.

    A number at an inner node is rather its support, if a leaf has the same or no leaf is a number.
    """
    leaves = set(newick.read(written.newick, TaskTree.node).leaves) if written.labels else set()
    numbered = any(leaf.isdigit() and leaf in written.labels for leaf in leaves)

    def node(name: str, children: tuple[TaskTree, ...], length: float | None) -> TaskTree:
        support = children and (name in leaves or (name.isdigit() and not numbered))
        own = name if support else written.labels.get(name, name)
        return TaskTree.node(own, children, length)

    return newick.read(written.newick, node)


def _readings(name: str) -> tuple[set[str], str]:
    """The codes that the name of a node may be or hold, and its words."""
    if label := _GLOTTOLOG_LABEL.fullmatch(name):
        return {name, *filter(None, label.groups()[1:])}, _word(label[1])
    return {name}, _word(name)


def _word(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


@cache
def _ways_to_say(code: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The codes of a language, and its names as `_word` has them, in the order in which they count."""
    import langcodes

    known, base = language(code), langcodes.Language.get(code, normalize=False).language or code
    codes = [code, base]
    for short in (langcodes.standardize_tag(base), langcodes.standardize_tag(base, macro=True)):
        if known.iso639_3 and language(short).iso639_3 == known.iso639_3:  # arb is what ar stands for; arz is not
            codes.append(short)
    codes += [known.iso639_3, alpha3(base), known.glottocode, glottocode_of(alpha3(base))]
    lineage = _lineages().get(known.glottocode, ("",))
    words = [known.name, language(base).name, lineage[-1]]
    return tuple(filter(None, codes)), tuple(filter(None, map(_word, words)))


def _ancestors(glottocode: str) -> list[str]:
    """The glottocodes of what Glottolog puts a language under, the nearest first."""
    lineage, places = _lineages().get(glottocode, ()), _places()
    return [places[lineage[:n]] for n in range(len(lineage) - 1, 0, -1) if lineage[:n] in places]


@lru_cache(maxsize=1)
def _lineages() -> dict[str, tuple[str, ...]]:
    """For each glottocode in URIEL+'s copy of Glottolog, families too, the names from the family down to its own."""
    # A family with a proto-language has the latter's name, and its own at the end of its lineage.
    return {code: above if name.startswith("Proto-") else (*above, name) for code, (name, above) in languoids().items()}


@lru_cache(maxsize=1)
def _places() -> dict[tuple[str, ...], str]:
    return {lineage: glottocode for glottocode, lineage in _lineages().items() if lineage and lineage[-1]}
