"""The 15 languages and the two phylogenies."""

import unicodedata

import pytest
import small_world

from minimeta.errors import InputError
from minimeta.text.languages import FAMILIES, PHYLOGENY, all_but, check, language

XNLI = "en fr es de el bg ru tr ar vi th zh hi sw ur".split()


def branches(tree):
    """The codes below each inner node, by the node's name."""
    return {node.name: set(node.leaves) for node in tree.nodes if node.children}


def test_the_fifteen_of_xnli_are_known():
    for code in XNLI:
        known = language(code)
        assert known.code == code
        assert all([known.name, known.own_name, known.script, known.branch, known.iso639_3, known.glottocode])


@pytest.mark.parametrize("what", ["name", "own_name", "iso639_3", "glottocode"])
def test_no_two_languages_share_a_name(what):
    assert len({getattr(language(code), what) for code in XNLI}) == len(XNLI)


def test_own_names_are_written_in_their_script():
    for code in XNLI:
        known = language(code)
        script = {"Han": "CJK"}.get(known.script, known.script.upper())
        assert unicodedata.name(known.own_name[0]).startswith(script), known


@pytest.mark.parametrize(
    ("code", "name", "script", "branch", "iso639_3", "glottocode"),
    [
        ("yor", "Yoruba", "Latin", "Atlantic-Congo", "yor", "yoru1245"),
        ("yo", "Yoruba", "Latin", "Atlantic-Congo", "yor", "yoru1245"),
        ("it", "Italian", "Latin", "Romance", "ita", "ital1282"),
        ("he", "Hebrew", "Hebrew", "Semitic", "heb", "hebr1245"),
        ("zu", "Zulu", "Latin", "Bantu", "zul", "zulu1248"),
        ("ja", "Japanese", "Japanese", "Japonic", "jpn", "nucl1643"),
        ("zh-Hant", "Chinese (Traditional)", "Han", "Sino-Tibetan", "cmn", "mand1415"),
        ("ar", "Arabic", "Arabic", "Semitic", "arb", "stan1318"),  # a macrolanguage, and the language it stands for
        ("arz", "Egyptian Arabic", "Arabic", "Semitic", "arz", "egyp1253"),
        ("sw", "Swahili", "Latin", "Bantu", "swh", "swah1253"),
        ("tl", "Filipino", "Latin", "Austronesian", "tgl", "taga1270"),  # Unicode's name, but Tagalog's place
        ("fil", "Filipino", "Latin", "Austronesian", "fil", "fili1244"),
        ("ak", "Akan", "Latin", "Atlantic-Congo", "aka", "akan1250"),
        ("tw", "Twi", "Latin", "Atlantic-Congo", "twi", "twii1234"),
        ("mn", "Mongolian", "Cyrillic", "Mongolic-Khitan", "khk", "halh1238"),
        ("uz", "Uzbek", "Latin", "Turkic", "uzn", "nort2690"),
        ("sq", "Albanian", "Latin", "Indo-European", "als", "tosk1239"),
        ("prs", "Persian (Afghanistan)", "Arabic", "Indo-European", "prs", "dari1249"),
        ("mo", "Romanian", "Latin", "Romance", "ron", "roma1327"),
        ("qaa", "Unknown language [qaa]", "Latin", "", "", ""),  # for private use
    ],
)
def test_any_language_is_known_by_its_code(code, name, script, branch, iso639_3, glottocode):
    known = language(code)
    assert (known.name, known.script, known.branch) == (name, script, branch)
    assert (known.iso639_3, known.glottocode) == (iso639_3, glottocode)


def test_the_direction_is_that_of_the_script():
    codes = (*XNLI, "he", "dv", "yo", "ja")
    assert [code for code in codes if language(code).right_to_left] == ["ar", "ur", "he", "dv"]


def test_the_phylogeny_has_twelve_languages():
    assert sorted(PHYLOGENY.leaves) == sorted(set(XNLI) - {"tr", "ar", "sw"})
    assert PHYLOGENY.depth == 3


def test_the_phylogeny_has_the_branches_of_the_paper():
    assert branches(PHYLOGENY) == {
        "Languages": set(PHYLOGENY.leaves),
        "Indo-European": {"en", "de", "fr", "es", "bg", "ru", "el", "hi", "ur"},
        "Germanic": {"en", "de"},
        "Romance": {"fr", "es"},
        "Slavic": {"bg", "ru"},
        "Hellenic": {"el"},
        "Indo-Aryan": {"hi", "ur"},
        "Asian": {"vi", "th", "zh"},
    }


def test_the_families_have_all_fifteen():
    assert sorted(FAMILIES.leaves) == sorted(XNLI)
    found = branches(FAMILIES)
    assert found["Indo-European"] == branches(PHYLOGENY)["Indo-European"]
    for code in ("vi", "th", "zh", "tr", "ar", "sw"):
        assert [child.leaves for child in FAMILIES.children].count((code,)) == 1
    assert len(FAMILIES.children) == 7


@pytest.mark.parametrize("code", XNLI)
def test_a_language_stands_below_its_family(code):
    assert code in branches(FAMILIES)[language(code).branch]


def test_check_returns_the_codes():
    assert check(["de", "fr"]) == check(code for code in ("de", "fr")) == ("de", "fr")
    assert check([]) == ()


@pytest.mark.parametrize("code", ["xx", "", "EN", "zh_hant", "English", "en ", ["fr"], None])
def test_an_unknown_code_raises(code):
    for ask in (lambda: check(["de", code]), lambda: all_but("de", code)):
        with pytest.raises(InputError, match="BCP 47") as raised:
            ask()
        assert repr(code) in str(raised.value) and "\n" not in str(raised.value)


def test_all_but_leaves_the_targets_out():
    assert all_but("de") == tuple("en fr es el bg ru vi th zh hi ur".split())
    assert all_but("ur", "en") == tuple("fr es de el bg ru vi th zh hi".split())
    assert len(all_but()) == 12


def test_all_but_stays_within_the_tree():
    assert all_but("tr") == all_but()
    assert all_but("de", tree=FAMILIES) == tuple(code for code in XNLI if code != "de")
    assert all_but(*XNLI, tree=FAMILIES) == ()


def test_a_code_that_is_not_in_its_usual_form_is_told_what_that_is():
    for odd, usual in (("yor_Latn", "yor-Latn"), ("DE", "de"), (" zh-hant", "zh-Hant")):
        small_world.complaint(lambda odd=odd: check([odd]), f"Unknown language {odd!r}", f"in its usual form, {usual}.")
