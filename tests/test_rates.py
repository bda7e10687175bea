"""Choosing rates: held-out rows of languages that no training sees, the same search for all, ties told plainly."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import small_world
from small_world import complaint

import minimeta.__main__ as cli
from minimeta.studies import own, rates, recipes, study
from minimeta.studies.methods import METHODS
from minimeta.studies.rates import Rates
from minimeta.studies.world import World
from minimeta.text import corpora
from minimeta.text.episodes import rows_of
from minimeta.text.metrics import METRICS

ACCURACY = METRICS["nli"][0]
INNER, OUTER = (0.02, 0.005), (1e-3,)
SEARCH = partial(rates.search, on=["ru"], inner=INNER, outer=OUTER, seeds=[0], auxiliaries=["fr", "es"])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    data = small_world.write_xnli(folder, dev=20).parent
    return World("small", str(data), str(small_world.write_encoder(folder / "bert")), own={"outer_steps": 1})


@pytest.fixture(scope="module")
def found(world, tmp_path_factory):
    """A search for MAML and the Baseline that is done, and its folder."""
    folder, asked = tmp_path_factory.mktemp("found"), SEARCH(["maml", "baseline"])
    for pair, runs in asked.studies.items():
        study.run(runs, folder / pair.name, rates.world_with(world, pair))
    return folder, asked


def test_all_methods_try_the_same_rates_where_they_change_something():
    asked = rates.search(["baseline", "joint", "maml", "x-maml"], ["ru"], (0.1, 0.02), (1e-3, 1e-4), [0, 1], ["de"])
    assert (asked.inner, asked.outer) == ((0.02, 0.1), (1e-4, 1e-3))
    with_pairs = {}
    for pair, runs in asked.studies.items():
        for each in runs:
            with_pairs.setdefault((each.cell.method, each.cell.tasks, each.seed), []).append(pair)
            assert each.targets == ("ru",) and not {"ru", "de"} & set(each.cell.languages)
            assert each.kinds == (("zero-shot", "few-shot") if each.cell.by_genre else ("zero-shot",))
    everything = [Rates(inner, outer) for inner in asked.inner for outer in asked.outer]
    for seed in (0, 1):
        for trained in (("maml", "genres"), ("joint", "genres"), ("x-maml", "languages")):
            assert with_pairs.pop((*trained, seed)) == everything
        # An inner rate does nothing to Joint but few-shot, an outer one nothing to the Baseline.
        assert with_pairs.pop(("joint", "languages", seed)) == [(0.02, 1e-4), (0.02, 1e-3)]
        assert with_pairs.pop(("baseline", "genres", seed)) == [(0.02, 1e-4), (0.1, 1e-4)]
    assert not with_pairs
    assert asked.of_method("joint")[1] == everything


def test_few_shot_xla_maml_is_trained_for_the_languages_of_the_choice_alone():
    asked = rates.search(["xla-maml-few-shot"], ["ru", "th"], (0.02,), (1e-4,), [0], ["de"], ["hi"])
    assert [(each.cell.target, each.targets, each.kinds) for each in asked.runs] == [
        (code, (code,), ("fine-tuned",)) for code in ("ru", "th")
    ]


def test_what_is_scored_are_held_out_rows_as_when_it_is_done_by_hand(world, found):
    folder, asked = found
    corpus = world.rows()
    assert set(corpus.select(rows_of(corpus, "ru", "held-out"))["split"]) == {"held-out"}
    for pair in asked.studies:
        told = json.loads((folder / pair.name / "study.json").read_text())
        assert told["split"] == "held-out" and told["set"]["inner_rate"] == pair.inner
        rows = json.loads((folder / pair.name / "rows.json").read_text())
        assert rows == {"ru": recipes.scored_rows(corpus, "ru", "held-out")}
    table = rates.compare(folder, asked).set_index(["method", "inner_rate"])
    run = next(each for each in asked.runs if each.cell.method == "maml")
    for inner in INNER:
        settings = rates.world_with(world, Rates(inner, 1e-3)).settings(run.cell)
        assert (settings.inner_rate, settings.outer_rate, settings.outer_steps) == (inner, 1e-3, 1)
        features = world.features(settings.adapt, settings.max_length)
        learner, training = recipes.train(run.cell, features, settings, 0)
        list(training)
        by_hand = [
            recipes.score(run.cell, learner, features, "ru", kind, settings, 0, "held-out")["accuracy"]
            for kind in ("zero-shot", "few-shot")
        ]
        assert table.loc[("maml", inner), "score"] == pytest.approx(np.mean(by_hand))
    assert table["rows"].tolist() == [2 * len(rows["ru"]["pair"])] * 4
    assert np.isnan(table.loc["baseline", "outer_rate"]).all()


def test_a_search_that_is_not_done_chooses_nothing_for_what_lacks_runs(found, tmp_path):
    folder, asked = found
    more = rates.search(["maml", "baseline"], ["ru"], INNER, OUTER, [0, 1], auxiliaries=["fr", "es"])
    table = rates.compare(folder, more)
    assert not table["best"].any() and not table["seeds"].any()
    assert "Not chosen yet: 2 of 2 pairs of rates lack runs." in rates.text(table)
    assert [path.name for path in rates.write(table, tmp_path, "")] == ["rates.csv"]
    assert not rates.compare(tmp_path, asked)["seeds"].any()


def lines(counts, method="maml", premises=40):
    """What `compare` says of a method whose rows count so, by pair of rates: (seeds, rows)."""
    groups = [f"premise {row // 3}" for row in range(premises * 3)]
    found = {Rates(*pair): (np.asarray(rows, float), groups) for pair, rows in counts.items()}
    return pd.DataFrame(rates._lines(method, found, (True, True), ACCURACY))


def rows(*shares):
    """Rows of which such a share is right, spread over premises, for each seed."""
    order = np.random.default_rng(0).permutation(120)
    return np.stack([order < share * 120 for share in shares])


def test_a_tie_takes_the_lowest_rates_and_is_told():
    alike, worse = rows(0.6, 0.7), rows(0.1, 0.2)
    table = lines({(0.1, 1e-4): worse, (0.1, 1e-3): alike, (0.2, 1e-4): alike, (0.2, 1e-3): worse})
    assert table["best"].tolist() == [False, True, False, False]
    assert table["level"].tolist() == [False, False, True, False]
    assert table["score"].tolist() == pytest.approx([15, 65, 65, 15])
    assert table["sd"].tolist() == pytest.approx([50 / 50**0.5] * 4)
    said = rates.remarks(table)
    assert said[:3] == [
        "Chosen (*): inner 0.1, outer 0.001.",
        "A tie: 1 more with the same score; the lowest rates were taken.",
        "1 of the 3 others cannot be told from it on these rows (=).",
    ]
    assert said[3:] == [
        "Its inner rate is the lowest that was tried; lower ones may be better.",
        "Its outer rate is the highest that was tried; higher ones may be better.",
    ]
    assert "65.00 ± 7.07 *" in rates.text(table) and "65.00 ± 7.07 =" in rates.text(table)


def test_a_flat_top_is_told_and_so_is_a_clear_choice():
    close = {(0.1, 1e-4): rows(0.50), (0.2, 1e-4): rows(0.51), (0.3, 1e-4): rows(0.505)}
    assert "A flat top: no pair can be told from it" in rates.remarks(lines(close))[1]
    clear = lines({(0.1, 1e-4): rows(0.2), (0.2, 1e-4): rows(0.9), (0.3, 1e-4): rows(0.3)})
    assert rates.remarks(clear) == ["Chosen (*): inner 0.2, outer 0.0001."]
    assert clear["behind"].tolist() == pytest.approx([70, 0, 60], abs=1)
    assert (clear["low"] <= clear["behind"]).all() and (clear["behind"] <= clear["high"]).all()


def test_a_seed_that_says_otherwise_keeps_a_pair_level():
    table = lines({(0.1, 1e-4): rows(0.9, 0.9, 0.4), (0.2, 1e-4): rows(0.5, 0.5, 0.5)})
    agreed = lines({(0.1, 1e-4): rows(0.9, 0.9, 0.9), (0.2, 1e-4): rows(0.5, 0.5, 0.5)})
    assert table["low"].tolist()[1] < 0 and table["level"].tolist() == [False, True]
    assert agreed["low"].tolist()[1] > 0 and agreed["level"].tolist() == [False, False]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"targets": ["ru"]}, ["ru, which is a target", "neither"]),
        ({"auxiliaries": ["fr", "ru"]}, ["ru, which is an auxiliary language", "neither"]),
        ({"targets": ["fr"]}, ["fr is both a target and an auxiliary language"]),
        ({"on": ["xx-"]}, ["Unknown language 'xx-'"]),
        ({"inner": [0.0]}, ["inner_rate is 0.0", "above 0"]),
        ({"outer": [float("nan")]}, ["outer_rate is nan", "finite"]),
        ({"outer": []}, ["No outer rate", "--outer"]),
        ({"methods": ["mamml"]}, ["Unknown method 'mamml'"]),
    ],
)
def test_a_search_that_cannot_be_made(given, parts):
    complaint(lambda: SEARCH(**{"methods": ["maml"]} | given), *parts)


def test_a_baseline_with_tasks_by_language_has_no_rate():
    complaint(
        lambda: rates.search(["baseline", "x-maml"], ["ru"], INNER, OUTER, [0]), "Baseline has no rate", "leave it"
    )


def test_rates_are_not_set_and_searched():
    for given in ({"inner_rate": 0.1}, {"maml": {"outer_rate": 0.1}}):
        complaint(lambda given=given: rates.world_with(World(own=given), Rates(0.1, 0.1)), "is what is to be chosen")
    complaint(lambda: World(split="train"), "Unknown split 'train'")


def test_the_command_searches_writes_goes_on_and_its_file_is_taken(world, tmp_path, capsys, monkeypatch):
    where = ["--scale", "small", "--data", world.data, "--encoder", world.encoder, "--seeds", "1"]
    aux = ["--aux", "fr", "es"]
    words = ["choose-rates", "maml", "joint", "--on", "ru", "--target", "de", *aux, *where, "--set", "outer_steps=1"]
    words += ["--inner", "0.02", "0.005", "--outer", "1e-3", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "4 runs with 2 pairs of rates, scored on held-out rows of ru" in said and said.count("Chosen (*)") == 2
    chosen = {method: values for method, *values in own.from_file(tmp_path / "out" / "rates.toml")}
    assert set(chosen) == {"maml", "joint"} <= set(METHODS)
    table = pd.read_csv(tmp_path / "out" / "rates.csv")
    best = table[table["best"]].set_index("method")
    taken = World(own=own.from_file(tmp_path / "out" / "rates.toml")).set
    assert taken == {name: {each: best.loc[name, each] for each in ("inner_rate", "outer_rate")} for name in taken}

    with monkeypatch.context() as patch:
        patch.setattr(recipes, "run", None)  # nothing is trained a second time
        assert cli.main(words) == 0
    assert capsys.readouterr().out == said
    assert cli.main(["results", str(tmp_path / "out" / "inner-0.02-outer-0.001")]) == 0
    assert "ru, zero-shot: held-out accuracy" in capsys.readouterr().out

    (tmp_path / "out" / "inner-0.02-outer-0.001" / "cells").rename(tmp_path / "away")
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "run", lambda *_: (_ for _ in ()).throw(MemoryError))
        assert cli.main(words) == 2
    assert "Not chosen yet: 1 of 2" in capsys.readouterr().out

    run = ["run", "maml", "--target", "de", *aux, *where, "--out", str(tmp_path / "runs")]
    assert cli.main([*run, "--settings", str(tmp_path / "out" / "rates.toml"), "--set", "outer_steps=1"]) == 0
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("runs/*/cells/*.json"))
    assert record["settings"]["inner_rate"] == best.loc["maml", "inner_rate"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--on", "ru", "--target", "ru"], ["ru, which is a target"]),
        (["--on", "ru", "--set", "inner_rate=1"], ["inner_rate is what is to be chosen"]),
        ([], ["--on", "required"]),
    ],
)
def test_a_command_that_cannot_be_done_leaves_nothing(words, parts, tmp_path, capsys):
    rest = ["--inner", "0.02", "--outer", "1e-3", "--out", str(tmp_path / "out")]
    assert cli.main(["choose-rates", "maml", *words, *rest]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in parts) and len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_search_takes_the_languages_and_the_tree_that_other_commands_take(tmp_path, capsys):
    lines = ["language,split,text,label"]
    for code in ("yor", "hau", "ibo", "swh"):
        lines += [f"{code},{'dev' if n < 40 else 'test'},{small_world.word('en', n)},{'ab'[n % 2]}" for n in range(50)]
    (tmp_path / "own.csv").write_text("\n".join(lines))
    (tmp_path / "own.nwk").write_text("((yor,ibo)Volta,hau,swh);")
    encoder = small_world.write_encoder(tmp_path / "encoder", labels=("a", "b"))
    words = ["choose-rates", "--on", "yor", "--data", str(tmp_path / "own.csv"), "--encoder", str(encoder)]
    words += ["--inner", "0.02", "--outer", "1e-3", "--seeds", "1", "--set", "outer_steps=1", "shots=2", "queries=2"]
    words += ["inner_steps=3", "target_shots=2", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "maml", "--tree", str(tmp_path / "own.nwk")]) == 2
    assert "No run is left that follows the tree" in capsys.readouterr().err
    assert cli.main([*words, "fixed-treemaml", "--tree", str(tmp_path / "own.nwk")]) == 0, capsys.readouterr().err
    (path,) = (tmp_path / "out").glob("*/cells/*.json")
    record = json.loads(path.read_text())
    assert set(record["auxiliaries"]) == {"hau", "ibo", "swh"} and "Volta" in record["settings"]["tree"]


def test_question_answering_has_rates_to_choose(tmp_path):
    folder = tmp_path / "qa"
    given = (str(small_world.write_mlqa(folder)), str(small_world.write_encoder(folder / "bert", spans=True)), "qa")
    world = World("small", *given, own={"outer_steps": 1, "shots": 2, "queries": 2, "max_length": 48})
    asked = rates.search(["x-maml"], ["de"], (0.02,), (1e-3, 1e-2), [0], auxiliaries=["hi"])
    for pair, runs in asked.studies.items():
        study.run(runs, tmp_path / pair.name, rates.world_with(world, pair))
    table = rates.compare(tmp_path, asked)
    held_out = len(rows_of(corpora.qa(given[0]), "de", "held-out"))
    assert table["best"].sum() == 1 and set(table["rows"]) == {held_out} and held_out > 0
