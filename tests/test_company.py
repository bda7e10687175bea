"""Who keeps a language company: the lists, the lit tree, and the widget without a browser."""

import pandas as pd
import pytest

from minimeta.errors import InputError
from minimeta.show.company import CompanyExplorer, company, company_tree
from minimeta.studies.report import picked
from minimeta.text.languages import FAMILIES, PHYLOGENY


def drawn(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def test_the_company_gets_smaller_down_the_tree():
    along = [company(PHYLOGENY, "de", step) for step in (1, 2, 3, 4, 5)]
    assert [len(each) for each in along] == [11, 8, 1, 0, 0] and along[2] == ["en"]
    assert company(PHYLOGENY, "th", 2) == ["vi", "zh"] and company(PHYLOGENY, "th", 3) == []
    with pytest.raises(InputError, match="no leaf 'sw'"):
        company(PHYLOGENY, "sw", 1)


@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("target", ["de", "el", "th"])
def test_lit_are_the_target_and_its_company_and_nobody_else(target, step):
    looks = drawn(company_tree(PHYLOGENY, target, step))
    lit = [PHYLOGENY.leaves[i] for i in looks["shares its gradient"].customdata]
    assert sorted(lit) == sorted(company(PHYLOGENY, target, step))
    assert [PHYLOGENY.leaves[i] for i in looks["the target"].customdata] == [target]
    rest = [PHYLOGENY.leaves[i] for i in looks["does not"].customdata]
    assert sorted([*lit, target, *rest]) == sorted(PHYLOGENY.leaves)
    way = looks["its way so far"].x
    assert max((x for x in way if x is not None), default=1) == min(step, len(PHYLOGENY.paths()[target]))


def test_the_explorer_follows_its_controls_and_a_click():
    explorer = CompanyExplorer({"paper": PHYLOGENY, "families": FAMILIES}, "de")
    explorer.step.value = 3
    assert "<b>▸ step 3</b>" in explorer.words.value and "<b>en</b>" in explorer.words.value
    assert explorer.play.value == 3
    explorer.select(PHYLOGENY.leaves.index("hi"))
    assert explorer.target.value == "hi" and "<b>Hindi</b>" in explorer.words.value
    explorer.tree.value = "families"
    assert explorer.target.value == "hi" and len(explorer.target.options) == len(FAMILIES.leaves)
    explorer.target.value = "sw"
    explorer.tree.value = "paper"
    assert explorer.target.value == PHYLOGENY.leaves[0] and len(explorer.target.options) == 12
    with pytest.raises(InputError, match="no leaf 12"):
        explorer.select(12)


def test_another_tree_is_drawn_once(monkeypatch):
    explorer, drawn = CompanyExplorer({"paper": PHYLOGENY, "families": FAMILIES}, "de"), []
    show = explorer.plot.show
    monkeypatch.setattr(explorer.plot, "show", lambda figure: drawn.append(1) or show(figure))
    explorer.tree.value = "families"
    assert len(drawn) == 1
    explorer.target.value = "sw"  # which the other tree lacks
    explorer.tree.value = "paper"
    assert len(drawn) == 3 and "<b>English</b>" in explorer.words.value


def test_one_tree_is_no_choice_and_none_is_an_error():
    assert CompanyExplorer().tree.disabled
    with pytest.raises(InputError, match="no tree to show"):
        CompanyExplorer({})


def test_picked_differences_are_those_of_the_table():
    lines = pd.DataFrame(
        [("A", "B", 1.0, 0.5, 1.5), ("A", "C", 2.0, 1.0, 3.0)], columns=["method", "control", "gain", "low", "high"]
    )
    assert picked(lines, [("A", "C"), ("A", "B")]) == {"A − C": (2.0, 1.0, 3.0), "A − B": (1.0, 0.5, 1.5)}
    for table, pair in ((lines, ("B", "A")), (pd.concat([lines, lines]), ("A", "B"))):
        with pytest.raises(InputError, match="where one is needed"):
            picked(table, [pair])
