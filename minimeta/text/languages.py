"""Languages by their codes: names, scripts and families as well-kept packages know them, and the papers' two trees.

Names and scripts are those of Unicode's CLDR (`langcodes`), glottocodes and lineages those of Glottolog as `urielplus`
ships them. Which languages a corpus has is the corpus's to say (see `corpora`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from ..errors import InputError, some
from ..trees import TaskTree

XNLI = ("en", "fr", "es", "de", "el", "bg", "ru", "tr", "ar", "vi", "th", "zh", "hi", "sw", "ur")
"""The 15 languages of XNLI in the order of its paper; the mini world begins with them."""

_INDO_EUROPEAN = {
    "Germanic": ["en", "de"],
    "Romance": ["fr", "es"],
    "Slavic": ["bg", "ru"],
    "Hellenic": ["el"],
    "Indo-Aryan": ["hi", "ur"],
}

PHYLOGENY = TaskTree.nest("Languages", {"Indo-European": _INDO_EUROPEAN, "Asian": ["vi", "th", "zh"]})
"""Our reading of Figure 2 of the TreeMAML paper: 12 languages; it leaves out tr, ar and sw."""

_ALONE = {
    "Austroasiatic": ["vi"],
    "Kra-Dai": ["th"],
    "Sino-Tibetan": ["zh"],
    "Turkic": ["tr"],
    "Semitic": ["ar"],
    "Bantu": ["sw"],
}

FAMILIES = TaskTree.nest("Languages", {"Indo-European": _INDO_EUROPEAN} | _ALONE)
"""All 15 languages, with vi, th, zh, tr, ar and sw each in a family of its own."""

_BRANCHES = {code: name for name, codes in (_INDO_EUROPEAN | _ALONE).items() for code in codes}


_TABLES = files("urielplus") / "database" / "urielplus_csvs"  # its copy of Glottolog


@dataclass(frozen=True)
class Language:
    """A language: its code (BCP 47, such as `de`, `yor` or `zh-Hant`) and what is known of it.

    `name` is English, `own_name` its own. `iso639_3` and `glottocode` are those of the one language that stands for a
    macrolanguage (`arb` for `ar`). `branch` is that of FAMILIES that it belongs to, else its family. What nobody knows
    is "".
    """

    code: str
    name: str
    own_name: str
    script: str
    branch: str
    iso639_3: str = ""
    glottocode: str = ""

    @property
    def right_to_left(self) -> bool:
        """Is it written from right to left?"""
        return self.script in ("Arabic", "Hebrew", "Thaana", "Syriac", "N’Ko", "Adlam", "Hanifi Rohingya", "Samaritan")


@cache
def language(code: str) -> Language:
    """What is known of a language; raises InputError for a code that is none."""
    import langcodes

    check([code])
    tag = langcodes.Language.get(code)
    script = langcodes.Language.make(script=_plain(tag.maximize().script or "")).script_name()
    plain, three = langcodes.standardize_tag(tag.language or "und", macro=True), _three(code)
    glottocode = glottocode_of(three)
    return Language(
        code,
        tag.display_name(),
        tag.autonym(),
        script,
        _BRANCHES.get(plain) or _branch(languoids().get(glottocode, ("", ()))[1]),
        three,
        glottocode,
    )


def _plain(script: str) -> str:
    """The script without what sets its varieties apart: Han for simplified and traditional Chinese."""
    return {"Hans": "Hani", "Hant": "Hani", "Aran": "Arab"}.get(script, script)


def _branch(lineage: Sequence[str]) -> str:
    """The branch of FAMILIES that a lineage, from the family down, runs through; else the family."""
    known = set(_BRANCHES.values())
    return next((name for above in lineage for name in known if f" {above}".endswith(f" {name}")), (*lineage, "")[0])


@lru_cache(maxsize=1)
def _glottocodes() -> dict[str, str]:
    """The glottocode of each ISO 639-3 code."""
    with (_TABLES / "uriel_glottocode_map.csv").open(encoding="utf-8") as file:
        return {row["iso_code"]: code for row in csv.DictReader(file) if (code := row["glottocode"])}


@lru_cache(maxsize=1)
def languoids() -> dict[str, tuple[str, tuple[str, ...]]]:
    """The name of each language and family by its glottocode, and the names above it, from the family down."""
    with (_TABLES / "lang_fam_geo.csv").open(encoding="utf-8") as file:
        return {
            row["language_id"]: (row["language_name"], tuple(filter(None, row["lineage"].split(", "))))
            for row in csv.DictReader(file)
        }


def _three(code: str) -> str:
    """The ISO 639-3 code of the one language that a code stands for, as far as Glottolog has it; else ""."""
    import langcodes

    known = langcodes.Language.get(code, normalize=False).language or "und"  # tl is Tagalog, for Unicode Filipino
    usual = langcodes.standardize_tag(known)
    ways = [_individual().get(usual, ""), alpha3(known), alpha3(usual)]
    return next(filter(glottocode_of, ways), "")


def alpha3(code: str) -> str:
    """The ISO 639-3 code of a language's code, also of a macrolanguage's (`zho` for `zh`); "" where there is none."""
    import langcodes

    try:
        return langcodes.Language.get(code, normalize=False).to_alpha3()
    except LookupError:
        return ""


def glottocode_of(three: str) -> str:
    """The glottocode of an ISO 639-3 code, a macrolanguage's own too where Glottolog has it; else ""."""
    return _glottocodes().get(three, "")


@lru_cache(maxsize=1)
def _individual() -> dict[str, str]:
    """The ISO 639-3 code of the one language that a macrolanguage stands for in Unicode's eyes: `zh`: `cmn`."""
    import langcodes

    found: dict[str, list[str]] = {}
    for code in _glottocodes():
        if (above := langcodes.standardize_tag(code, macro=True)) != langcodes.standardize_tag(code):
            found.setdefault(above, []).append(code)
    return {above: codes[0] for above, codes in found.items() if len(codes) == 1}  # Akan is Fante and Twi


def is_language(code: object) -> bool:
    """Is this a code of a language, in its usual form (`zh-Hant`, not `ZH_hant`)?"""
    return isinstance(code, str) and usual(code) == code


@lru_cache(maxsize=4096)  # tables say the same code in each row
def usual(code: str) -> str | None:
    """A code in its usual form (`zh-Hant` for `ZH_hant`), None for what is no language's."""
    import langcodes

    tag = code.strip().replace("_", "-")
    if not langcodes.tag_is_valid(tag):
        return None
    return langcodes.Language.get(tag, normalize=False).to_tag()


@lru_cache
def base(code: str) -> str:
    """A language without script and country, and Mandarin as Chinese: zh of zh-Hant, zh-CN and cmn."""
    import langcodes

    return langcodes.Language.get(langcodes.standardize_tag(code, macro=True)).language or code


def check(codes: Iterable[str], there: Sequence[str] | None = None, where: str = "") -> tuple[str, ...]:
    """The codes (or the one code) as a tuple.

    Raises InputError for one that is no language's, or that is not among those that are `there` in what `where` names.
    """
    codes = (codes,) if isinstance(codes, str) else tuple(codes)
    for code in codes:
        if not is_language(code):
            expected = "such as de, yor or zh-Hant"
            if isinstance(code, str) and (written := usual(code)):
                expected = f"in its usual form, {written}"
            raise InputError(f"Unknown language {code!r}; expected a BCP 47 tag or an ISO 639-3 code, {expected}.")
    if there is not None and (lacking := [code for code in codes if code not in there]):
        raise InputError(f"{where} has no {some(lacking)}; it has {', '.join(there)}.")
    return codes


def all_but(*targets: str, tree: TaskTree = PHYLOGENY) -> tuple[str, ...]:
    """The languages of `tree` without the targets, in their order."""
    check(targets)
    return ordered(code for code in tree.leaves if code not in targets)


def ordered(codes: Iterable[str]) -> tuple[str, ...]:
    """The codes, each once, in the order of XNLI; any that are not among them come last."""
    places = {code: place for place, code in enumerate(XNLI)}
    return tuple(sorted(set(codes), key=lambda code: (places.get(code, len(places)), code)))
