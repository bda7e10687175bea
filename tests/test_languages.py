"""The 15 languages and the two phylogenies."""

import unicodedata

import pytest

from minimeta.errors import InputError
from minimeta.text.languages import FAMILIES, LANGUAGES, PHYLOGENY, all_but, check

XNLI = "en fr es de el bg ru tr ar vi th zh hi sw ur".split()


def branches(tree):
    """The codes below each inner node, by the node's name."""
    return {node.name: set(node.leaves) for node in tree.nodes if node.children}


def test_the_first_languages_are_the_fifteen_of_xnli():
    assert list(LANGUAGES)[:15] == XNLI
    for code, language in LANGUAGES.items():
        assert language.code == code
        assert all([language.name, language.own_name, language.script, language.branch])


@pytest.mark.parametrize("what", ["name", "own_name"])
def test_no_two_languages_share_a_name(what):
    assert len({getattr(language, what) for language in LANGUAGES.values()}) == len(LANGUAGES)


def test_own_names_are_written_in_their_script():
    for language in LANGUAGES.values():
        script = {"Han": "CJK"}.get(language.script, language.script.upper())
        assert unicodedata.name(language.own_name[0]).startswith(script), language


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
    assert code in branches(FAMILIES)[LANGUAGES[code].branch]


def test_check_returns_the_codes():
    assert check(["de", "fr"]) == check(code for code in ("de", "fr")) == ("de", "fr")
    assert check([]) == ()


@pytest.mark.parametrize("code", ["xx", "", "EN", "English", "en ", ["fr"], None])
def test_an_unknown_code_raises(code):
    for ask in (lambda: check(["de", code]), lambda: all_but("de", code)):
        with pytest.raises(InputError, match="en, es") as raised:
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
