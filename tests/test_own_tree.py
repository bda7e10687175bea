"""A study's own tree, and who is an auxiliary where none is named."""

import importlib.util
import json

import pytest
import small_world
import torch
from small_world import complaint

import minimeta.__main__ as cli
from minimeta.studies import grids, recipes
from minimeta.studies.grids import Run
from minimeta.studies.methods import METHODS, Cell, cells, left_out, scored_on
from minimeta.studies.sources import drawn, pooled, source
from minimeta.studies.world import World
from minimeta.text.languages import PHYLOGENY, all_but
from minimeta.trees import TaskTree

OWN = "(((en,de)Germanic,(fr,es)Romance)European,(zh,th)Asian)World;"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_world.write_xnli(tmp_path_factory.mktemp("xnli"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return small_world.write_encoder(tmp_path_factory.mktemp("encoder") / "xlm-r", "xlm-roberta")


@pytest.fixture
def world(data, encoder):
    return World("toy", str(data), str(encoder))


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.nwk").write_text(OWN)
    return source(str(tmp_path / "own.nwk"))


# Auxiliaries


def test_auxiliaries_are_those_that_are_known():
    known = ("yo", "ha", "en", "ig", "zu")
    maml, x_maml, pair = cells(["maml", "x-maml", "xla-maml-pair"], ["yo"], known=known)
    assert maml.auxiliaries == ("en", "ha", "ig", "zu")
    assert x_maml.auxiliaries == ("ha",)  # en, which the encoder knows, is no choice of its own
    assert pair.auxiliaries == ("ha", "ig")
    complaint(lambda: cells(["maml"], ["yo"], known=("yo",)), "No language is left to train on")


def test_in_a_corpus_of_xnlis_languages_auxiliaries_are_those_of_the_phylogeny(world, own):
    there = set(small_world.LANGUAGES)
    assert set(world.trained()) == there and "tr" in there
    for methods in (["maml"], ["fixed-treemaml"], ["families-treemaml"]):
        assert set(world.auxiliaries(methods)) == there & set(PHYLOGENY.leaves)
    assert world.auxiliaries(["maml"], own) == ("en", "fr", "es", "de", "th", "zh")


def test_a_corpus_of_other_languages_shares_a_tree_only_with_those_who_follow_it(world, monkeypatch):
    monkeypatch.setattr(World, "trained", lambda self: ("de", "ja", "ko"))
    assert world.auxiliaries(["maml", "everyone"]) == ("de", "ja", "ko")
    assert world.auxiliaries(["maml", "random-tree"]) == ("de",)


def test_each_target_is_left_out_of_the_auxiliaries_that_are_named():
    runs = grids.leave_one_out(["maml"], ["de", "sw"], [0], ["de", "fr", "tr"])
    assert [(run.cell.auxiliaries, run.targets) for run in runs] == [
        (("fr", "tr"), ("de",)), (("de", "fr", "tr"), ("sw",))
    ]  # fmt: skip
    complaint(lambda: grids.leave_one_out(["maml"], ["de"], [0], ["de"]), "Without de", "--aux")
    default = grids.leave_one_out(["maml"], ["de"], [0])
    assert default[0].cell.auxiliaries == all_but("de")


def test_a_language_that_is_left_out_in_turn_is_known_by_the_others():
    codes = ("yo", "ha", "ig", "zu")
    found = [Cell("maml", tuple(code for code in codes if code != target), True) for target in codes[:2]]
    assert [left_out(cell, found) for cell in found] == ["yo", "ha"]
    assert left_out(found[0], found[:1]) == ""  # by itself it is a cell with three auxiliaries
    assert left_out(found[0], [found[0], Cell("joint", found[1].auxiliaries, True)]) == ""
    assert left_out(Cell("maml", all_but("de"), True), []) == "de"
    assert left_out(Cell("maml", all_but("de", "fr"), True), []) == ""
    assert left_out(Cell("baseline", (), True), found) == ""
    pairs = [Cell("x-maml", pair, False) for pair in (("fr", "de"), ("de", "es"))]
    assert [left_out(cell, pairs) for cell in pairs] == ["", ""]


def test_what_a_method_cannot_be_scored_on_is_said():
    runs = grids.transfer(["maml", "fixed-treemaml", "xla-maml"], [("fr",)], ["de", "tr"], [0])
    assert grids.left_undone(runs, ["maml", "fixed-treemaml", "xla-maml"], ["de", "tr"]) == {"fixed-treemaml": ("tr",)}
    runs = grids.transfer(["xla-maml", "maml"], [("en",)], ["de"], [0])
    assert grids.left_undone(runs, ["xla-maml", "maml"], ["de"]) == {"xla-maml": ("de",)}


# The tree


def test_only_the_fixed_tree_and_its_random_control_follow_a_studys_own_tree():
    able = ["fixed-treemaml", "halves-treemaml", "random-tree"]
    assert [name for name, method in METHODS.items() if method.own_tree] == able
    fixed, families, maml = (Cell(name, ("fr",), True) for name in ("fixed-treemaml", "families-treemaml", "maml"))
    assert scored_on(fixed, ["yo", "de"], ("yo", "fr")) == ("yo",)
    assert scored_on(families, ["sw", "de"], ("yo", "fr")) == ("de", "sw")[::-1]
    assert scored_on(maml, ["yo", "de"], ("yo", "fr")) == ("yo", "de")


def test_the_own_tree_is_cut_down_and_brought_to_the_inner_steps(world, own):
    there = world.following(own, ["de", "en", "fr", "zh"], "depth")
    assert there.tree == TaskTree.from_newick("(((en,de)Germanic,fr)European,zh)World;")
    fixed = there.settings(Cell("fixed-treemaml", ("en", "fr", "zh"), True))
    assert TaskTree.from_newick(fixed.tree).clusters(2)["de"] == TaskTree.from_newick(fixed.tree).clusters(2)["fr"]
    assert there.settings(Cell("random-tree", ("en", "fr", "zh"), True)).tree == fixed.tree
    for other in ("maml", "families-treemaml", "learned-treemaml", "joint"):
        assert there.settings(Cell(other, ("en", "fr", "zh"), True)) == world.settings(Cell(other, ("en",), True))
    assert world.settings(Cell("fixed-treemaml", ("en",), True)).tree == ""
    group = recipes.grouping_for(Cell("fixed-treemaml", ("en", "fr", "zh"), True), fixed, 0)
    tasks = ("en/travel", "de/travel", "fr/travel", "zh/travel")
    by_step = [group(step, tasks, [0] * 4) for step in (1, 2, 3, 4)]
    assert [len(set(labels)) for labels in by_step] == [1, 2, 3, 4]
    assert by_step[2][0] == by_step[2][1] != by_step[2][2]
    halves = recipes.grouping_for(Cell("halves-treemaml", ("en", "fr", "zh"), True), fixed, 0)
    assert [halves(step, tasks, [0] * 4) for step in (1, 2, 3, 4)] == [*by_step[1:], by_step[3]]


def test_a_tree_that_is_not_as_deep_as_there_are_inner_steps(world, own):
    flat = world.following(own, ["en", "fr", "zh"], "depth")
    said = complaint(lambda: flat.settings(Cell("fixed-treemaml", ("en", "fr"), True)), "4", "3")
    assert "inner_steps" in said
    assert flat.settings(Cell("maml", ("en", "fr"), True)).tree == ""


def test_runs_that_no_own_tree_is_for():
    for left in ([Run(Cell("maml", ("fr",), True), 0, ("de",))], []):
        complaint(lambda left=left: grids.in_own_tree(left), "fixed-treemaml", "targets that have a place")
    runs = [Run(Cell(name, ("fr", "en"), True), 0, ("de",)) for name in ("maml", "random-tree")]
    assert grids.in_own_tree(runs) == ("en", "fr", "de")


def test_typologists_and_gradients_are_sources_as_well(world):
    assert source("uriel:syntactic").has(["de", "qaa", "yo"]) == ("de", "yo")
    complaint(lambda: source("uriel:political"), "'political'", "syntactic")
    complaint(lambda: source("gradients"), "gradients")  # a file, without a world
    tree = source("gradients", features=lambda: world.features("head", 128))
    assert tree.name == "gradients" and tree.has(["de", "tr"]) == ("de", "tr")
    found = tree.of(["de", "fr", "zh", "th"])
    assert set(found.leaves) == {"de", "fr", "zh", "th"} and found == tree.of(["de", "fr", "zh", "th"])


def test_languages_without_a_distance_have_no_place_in_a_tree_of_distances():
    codes = ["de", "en", "ar", "ur", "fr"]  # no phonology of Standard Arabic and Urdu is known
    found = source("uriel:phonological")
    assert found.has(codes) == ("de", "en", "fr") and set(found.of(found.has(codes)).leaves) == {"de", "en", "fr"}
    complaint(lambda: found.of(codes), "ar", "ur")


def test_features_do_not_depend_on_the_tree(world, own):
    features = world.features("head", 128)
    assert world.following(own, ["de", "en", "fr", "zh"], "depth").features("head", 128) is features


def test_rates_of_ones_own_were_not_chosen_on_a_target(world, capsys):
    runs = [Run(Cell("maml", ("fr",), True), 0, ("ru",))]
    there = World("small", world.data, world.encoder)
    cli._warn_of_rates(there, runs, ["ru"])
    assert "were chosen on ru" in capsys.readouterr().out
    cli._warn_of_rates(World("small", world.data, world.encoder, own={"inner_rate": 0.5}), runs, ["ru"])
    assert not capsys.readouterr().out


def test_a_tree_in_lines():
    tree = TaskTree.from_newick("((a,b)ab,c,(d,(e,f)));")
    assert pooled(tree, 3) == ["step 1: a b c d e f", "step 2: a b | c | d e f", "step 3: a | b | c | d | e f"]
    assert drawn(tree).splitlines() == [
        "·", "├─ ab", "│  ├─ a", "│  └─ b", "├─ c", "└─ ·", "   ├─ d", "   └─ ·", "      ├─ e", "      └─ f"
    ]  # fmt: skip


# The command line


@pytest.fixture
def call(data, encoder, tmp_path, capfd, monkeypatch):
    small = {kind: recipes.replace(numbers, outer_steps=2) for kind, numbers in recipes.SCALES["toy"].items()}
    monkeypatch.setitem(recipes.SCALES, "toy", small)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    (tmp_path / "own.nwk").write_text(OWN)

    def run(*arguments):
        given = ["--data", data, "--encoder", encoder, "--seeds", 1]
        named = given if arguments[0] in ("run", "study", "choose-rates") else []
        return cli.main([*map(str, arguments), *map(str, named)]), *capfd.readouterr()

    return run


def test_a_study_along_its_own_tree(call, tmp_path):
    methods = ("fixed-treemaml", "random-tree", "maml")
    asked = ("study", "leave-one-out", *methods, "--target", "de", "--out", tmp_path / "s")
    status, said, wrong = call(*asked, "--tree", tmp_path / "own.nwk")
    assert status == 0, wrong
    assert "own.nwk" in said and "Not trained on, without a place in the tree: el, bg, ru, tr, vi, hi, ur" in said
    told = json.loads((tmp_path / "s" / "study.json").read_text("utf-8"))
    assert TaskTree.from_newick(told["tree"]) == TaskTree.from_newick(OWN)
    assert told["tree_by"] == "depth" and told["tree_from"].startswith("own.nwk")
    records = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "s" / "cells").iterdir()]
    trees = {record["method"]: record["settings"]["tree"] for record in records}
    assert trees["maml"] == "" and trees["fixed-treemaml"] == trees["random-tree"] != ""
    assert {tuple(record["auxiliaries"]) for record in records} == {("en", "fr", "es", "th", "zh")}

    status, _, wrong = call(*asked)  # another tree, or none, is another study
    assert status == 2 and "tree" in wrong and "another folder" in wrong and ";;" not in wrong
    (tmp_path / "own.nwk").write_text(OWN.replace("World", "World2"))  # what sets it apart comes late
    status, _, wrong = call(*asked, "--tree", tmp_path / "own.nwk")
    assert status == 2 and "a study with another tree" in wrong
    (tmp_path / "own.nwk").write_text(OWN.replace("(zh,th)Asian", "(zh,(th,en2))Asian"))
    status, _, wrong = call(*asked, "--tree", tmp_path / "own.nwk")
    assert status == 0, wrong  # the same tree of these languages


def test_rates_are_chosen_along_the_own_tree(call, tmp_path):
    asked = ("choose-rates", "fixed-treemaml", "--inner", 0.02, "--outer", 1e-3, "--out", tmp_path / "rates")
    status, _, wrong = call(*asked, "--on", "fr", "--target", "de", "--tree", tmp_path / "own.nwk")
    assert status == 0, wrong
    (told,) = (json.loads(path.read_text("utf-8")) for path in tmp_path.glob("rates/*/study.json"))
    assert set(TaskTree.from_newick(told["tree"]).leaves) == {"en", "fr", "es", "zh", "th"}  # not the target
    (record,) = (json.loads(path.read_text("utf-8")) for path in tmp_path.glob("rates/*/cells/*.json"))
    assert set(record["auxiliaries"]) == {"en", "es", "zh", "th"} and record["settings"]["tree"]
    status, _, wrong = call(*asked, "--on", "ru", "--target", "de", "--tree", tmp_path / "own.nwk")
    assert status == 2 and "no place for ru" in wrong


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["--tree", "there-is-none.nwk"], ["there-is-none.nwk"]),
        (["--tree-names", "names.csv"], ["--tree"]),
        (["--tree-by", "length"], ["--tree-by", "with --tree"]),
        (["--tree", ""], ["--tree", "the path is empty"]),
        (["--tree=~/own.nwk", "--aux", "fr", "tr"], ["own.nwk has no place for tr"]),
        (["--tree", "uriel:genetic", "--tree-names", "own.nwk"], ["uriel:genetic", "leave out --tree-names"]),
        (["--tree", "gradients", "--tree-names", "own.nwk"], ["gradients", "leave out --tree-names"]),
        (["--tree", "own.nwk", "--aux", "fr", "tr"], ["tr", "own.nwk"]),
        (["--tree", "own.nwk", "--set", "inner_steps=9"], ["9", "inner_steps"]),
    ],
)
def test_a_tree_that_cannot_be_followed(call, tmp_path, monkeypatch, given, parts):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    status, _, wrong = call("run", "fixed-treemaml", "--target", "de", "--out", tmp_path / "out", *given)
    assert status == 2 and len(wrong.splitlines()) == 1, wrong
    assert all(part in wrong for part in parts), wrong
    assert not (tmp_path / "out").exists()


def test_what_a_tree_would_pool(call, tmp_path):
    file = tmp_path / "own.nwk"
    status, said, wrong = call("tree", file, "--languages", "de", "en", "fr", "zh", "--out", tmp_path / "tree.html")
    assert status == 0, wrong
    assert "step 2: en de fr | zh\nstep 3: en de | fr | zh\n" in said and "├─ European" in said
    assert "plotly" in (tmp_path / "tree.html").read_text("utf-8").lower()
    assert "6 languages" in call("tree", file)[1]
    status, _, wrong = call("tree", file, "--languages", "de", "yo")
    assert status == 2 and "yo" in wrong and len(wrong.splitlines()) == 1
    status, _, wrong = call("tree", file, "--levels", "7")
    assert status == 2 and "7" in wrong


def test_a_drawn_tree_needs_plotly(call, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, said, wrong = call("tree", tmp_path / "own.nwk", "--out", tmp_path / "tree.html")
    assert status == 2 and not said and "pip install 'minimeta[lab]'" in wrong


def test_four_languages_two_classes_and_a_tree_of_ones_own(tmp_path, capfd, monkeypatch):
    """A researcher's languages, corpus, tree and model, all of it from the command line."""
    small = {kind: recipes.replace(numbers, outer_steps=2) for kind, numbers in recipes.SCALES["toy"].items()}
    monkeypatch.setitem(recipes.SCALES, "toy", small)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    words = small_world.word
    rows = [
        (code, split, f"{words('en', n + shift)} {words('en', 3 * n)}.", ("no", "yes")[n % 2])
        for shift, code in enumerate(("yor", "ibo", "hau", "qaa"))
        for split, count in (("dev", 20), ("test", 10))
        for n in range(count)
    ]
    table = "\n".join(["language,split,text,label", *map(",".join, rows)])
    (tmp_path / "mine.csv").write_text(table + "\n", "utf-8")
    (tmp_path / "tree.nwk").write_text("((yoru1245,ibo)Volta-Niger,(Hausa,qaa)Other)Africa;\n", "utf-8")
    encoder = small_world.write_encoder(tmp_path / "encoder", labels=("yes", "no"))
    given = ("--data", tmp_path / "mine.csv", "--encoder", encoder, "--tree", tmp_path / "tree.nwk", "--seeds", 1)

    def call(*arguments):
        assert cli.main([*map(str, arguments)]) == 0, capfd.readouterr().err
        return capfd.readouterr().out

    along = (*given, "--set", "inner_steps=3")
    methods = ("baseline", "joint", "maml", "fixed-treemaml", "random-tree")
    said = call("run", *methods, "--target", "yor", *along, "--save", tmp_path / "models", "--out", tmp_path / "runs")
    assert "Classes matched by name: no, yes" in said and "hau+ibo+qaa" in said
    kept = {path.name.removesuffix("-hau+ibo+qaa-genres-seed-0"): path for path in (tmp_path / "models").iterdir()}
    assert set(kept) == set(methods) - {"baseline"}
    call("study", "leave-one-out", *methods[1:], "--target", "yor", "qaa", *along, "--out", tmp_path / "study")
    shown = call("results", tmp_path / "study", "--csv", tmp_path / "table")
    assert "all targets together, few-shot" in shown and "all but the target" in shown
    assert "Fixed TreeMAML" in (tmp_path / "table.csv").read_text("utf-8")
    records = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "study" / "cells").iterdir()]
    followed = {record["settings"]["tree"] for record in records if "tree" in record["method"]}
    assert followed == {"((yor,ibo)Volta-Niger,(hau,qaa)Other)Africa;"}

    # what was kept is an encoder to go on from, and a model that others can use
    onwards = ("--data", tmp_path / "mine.csv", "--encoder", kept["joint"], "--seeds", 1, "--out", tmp_path / "more")
    found = call("run", "baseline", "--target", "yor", *onwards)
    before = next(record for record in records_in(tmp_path / "runs") if record["method"] == "joint")
    again = next(record for record in records_in(tmp_path / "more") if record["method"] == "baseline")
    scores = (record["results"]["yor"]["zero-shot"]["predicted"] for record in (before, again))
    assert len(set(scores)) == 1 and "Classes matched by name: no, yes" in found


def records_in(folder):
    return [json.loads(path.read_text("utf-8")) for path in folder.glob("*/cells/*.json")]


def test_the_order_of_languages_is_no_matter_to_what_is_printed(call):
    """Where distances tie, the first pair joins first: a run has the languages in one order, and so has this."""
    codes = "en es el bg ru tr vi th zh sw".split()
    first, other = (call("tree", "uriel:genetic", "--languages", *given) for given in (codes, [*codes[::-1], "en"]))
    assert first == other and first[0] == 0 and "10 languages" in first[1]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["--out", "missing/tree.html"], ["no directory missing", "tree.html"]),
        (["--out", "."], [". is a directory"]),
        (["--languages", "de", "fr", "zh", "--levels", "4"], ["fr, de, zh", "3 levels at most", "--levels"]),
    ],
)
def test_a_tree_that_cannot_be_shown(call, tmp_path, monkeypatch, given, parts):
    monkeypatch.chdir(tmp_path)
    status, said, wrong = call("tree", "own.nwk", *given)
    assert status == 2 and not said and len(wrong.splitlines()) == 1
    assert all(part in wrong for part in parts), wrong
    assert [path.name for path in tmp_path.iterdir()] == ["own.nwk"]
