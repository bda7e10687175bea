"""The languages that are known here: names, scripts and the two phylogenies that Fixed TreeMAML can follow.

Which languages a corpus has is the corpus's to say (see `corpora.CORPORA`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import InputError, some
from ..trees import TaskTree


@dataclass(frozen=True)
class Language:
    """A language: its ISO 639-1 code, English name, own name, script, and branch (of Indo-European) or family."""

    code: str
    name: str
    own_name: str
    script: str
    branch: str


LANGUAGES: dict[str, Language] = {
    language.code: language
    for language in (
        Language("en", "English", "English", "Latin", "Germanic"),
        Language("fr", "French", "français", "Latin", "Romance"),
        Language("es", "Spanish", "español", "Latin", "Romance"),
        Language("de", "German", "Deutsch", "Latin", "Germanic"),
        Language("el", "Greek", "ελληνικά", "Greek", "Hellenic"),
        Language("bg", "Bulgarian", "български", "Cyrillic", "Slavic"),
        Language("ru", "Russian", "русский", "Cyrillic", "Slavic"),
        Language("tr", "Turkish", "Türkçe", "Latin", "Turkic"),
        Language("ar", "Arabic", "العربية", "Arabic", "Semitic"),
        Language("vi", "Vietnamese", "tiếng Việt", "Latin", "Austroasiatic"),
        Language("th", "Thai", "ไทย", "Thai", "Kra-Dai"),
        Language("zh", "Chinese", "中文", "Han", "Sino-Tibetan"),
        Language("hi", "Hindi", "हिन्दी", "Devanagari", "Indo-Aryan"),
        Language("sw", "Swahili", "Kiswahili", "Latin", "Bantu"),
        Language("ur", "Urdu", "اردو", "Arabic", "Indo-Aryan"),
    )
}
"""All that a corpus may be in; add a line for another one."""

XNLI = ("en", "fr", "es", "de", "el", "bg", "ru", "tr", "ar", "vi", "th", "zh", "hi", "sw", "ur")
"""The 15 languages of XNLI, and of the mini world, in the order of XNLI's paper."""

_INDO_EUROPEAN = {
    "Germanic": ["en", "de"],
    "Romance": ["fr", "es"],
    "Slavic": ["bg", "ru"],
    "Hellenic": ["el"],
    "Indo-Aryan": ["hi", "ur"],
}

PHYLOGENY = TaskTree.nest("Languages", {"Indo-European": _INDO_EUROPEAN, "Asian": ["vi", "th", "zh"]})
"""Our reading of Figure 2 of the TreeMAML paper: 12 languages; it leaves out tr, ar and sw."""

FAMILIES = TaskTree.nest(
    "Languages",
    {"Indo-European": _INDO_EUROPEAN}
    | {LANGUAGES[code].branch: [code] for code in ("vi", "th", "zh", "tr", "ar", "sw")},
)
"""All 15 languages, with vi, th, zh, tr, ar and sw each in a family of its own."""


def check(codes: Iterable[str], there: Sequence[str] | None = None, where: str = "") -> tuple[str, ...]:
    """The codes (or the one code) as a tuple.

    Raises InputError for one that is not known, or that is not among those that are `there` in what `where` names.
    """
    codes = (codes,) if isinstance(codes, str) else tuple(codes)
    for code in codes:
        if not isinstance(code, str) or code not in LANGUAGES:
            raise InputError(f"Unknown language {code!r}; the languages are {', '.join(sorted(LANGUAGES))}.")
    if there is not None and (lacking := [code for code in codes if code not in there]):
        raise InputError(f"{where} has no {some(lacking)}; it has {', '.join(there)}.")
    return codes


def all_but(*targets: str, tree: TaskTree = PHYLOGENY) -> tuple[str, ...]:
    """The languages of `tree` without the targets, in the order of LANGUAGES."""
    check(targets)
    return ordered(code for code in tree.leaves if code not in targets)


def ordered(codes: Iterable[str]) -> tuple[str, ...]:
    """The codes, each once, in the order of LANGUAGES; any that are not among them come last."""
    places = {code: place for place, code in enumerate(LANGUAGES)}
    return tuple(sorted(set(codes), key=lambda code: (places.get(code, len(places)), code)))
