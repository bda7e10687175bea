"""Settings of one's own: read from words and files, checked by name, type and sense, and part of a study's record."""

import json
import pickle
import tomllib
from dataclasses import fields, replace
from functools import partial

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import complaint

import minimeta.__main__ as cli
from minimeta.studies import own, report, reproduce
from minimeta.studies.comparisons import Results
from minimeta.studies.methods import METHODS, Cell
from minimeta.studies.recipes import Settings, settings_for
from minimeta.studies.world import World

MAML, JOINT = Cell("maml", ("fr", "es"), True), Cell("joint", ("fr", "es"), True)


def test_every_field_of_the_settings_but_scale_and_tree_can_be_set():
    assert set(own.KINDS) == {each.name for each in fields(Settings)} - {"scale", "tree"}


@pytest.mark.parametrize("scale", ["toy", "small", "full"])
def test_the_settings_of_all_recipes_are_fit_to_be_set(scale):
    for method in METHODS:
        for task in ("nli", "qa"):
            settings = vars(settings_for(Cell(method, ("fr",), True), scale, task)).copy()
            del settings["scale"], settings["tree"]
            assert own.of_method(own.own(settings), method) == settings


def test_words_and_a_file_say_the_same(tmp_path):
    words = ["inner_steps=8", "inner_rate=1", "genres_per_language=all", "adapt=all", "linear_decay=True"]
    path = tmp_path / "mine.toml"
    path.write_text(
        'inner_steps = 8\ninner_rate = 1\ngenres_per_language = "all"\nadapt = "all"\nlinear_decay = true\n'
    )
    assert own.given(words, None) == own.given([], str(path))
    found = World(own=own.given(words, None)).settings(MAML)
    usual = World().settings(MAML)
    given = {"inner_steps": 8, "inner_rate": 1.0, "genres_per_language": None, "adapt": "all", "linear_decay": True}
    assert found == replace(usual, **given) and isinstance(found.inner_rate, float)


def test_a_table_of_a_file_is_for_one_method_and_the_command_line_wins_over_both(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("inner_rate = 0.1\nshots = 5\n[maml]\ninner_rate = 0.2\nouter_steps = 7\n")
    world = World(own=own.given([], str(path)))
    assert (world.settings(MAML).inner_rate, world.settings(MAML).outer_steps) == (0.2, 7)
    assert (world.settings(JOINT).inner_rate, world.settings(JOINT).outer_steps) == (0.1, 50)
    world = World(own=own.given(["inner_rate=0.3"], str(path)))
    assert {world.settings(cell).inner_rate for cell in (MAML, JOINT)} == {0.3}
    assert (world.settings(MAML).outer_steps, world.settings(JOINT).shots) == (7, 5)


def test_a_world_with_own_settings_is_hashable_goes_to_other_processes_and_through_json():
    world = World(own={"inner_rate": 0.1, "genres_per_language": None, "maml": {"shots": 5}})
    assert pickle.loads(pickle.dumps(world)) == world and hash(world) == hash(replace(world))
    assert own.own(json.loads(json.dumps(world.set))) == world.own
    assert own.words(world.set) == "genres_per_language=all inner_rate=0.1 maml.shots=5"


def test_what_has_an_option_is_the_same_whichever_way_it_is_set():
    given = {"first_order": True, "bf16": True, "tasks_per_chunk": 2}
    assert World(own=given) == World(**given) and World(own=given).set == {}
    assert World(own={"tasks_per_chunk": "all"}) == World()
    said = partial(World, first_order=True, own={"first_order": False})
    complaint(said, "first_order is True by its option and False by --set or --settings", "give one")
    complaint(partial(World, tasks_per_chunk=2, own={"tasks_per_chunk": 3}), "tasks_per_chunk is 2 by its option and 3")


NUMBERS = st.fixed_dictionaries(
    {}, optional={"inner_rate": st.floats(1e-9, 1e3), "shots": st.integers(1, 99), "linear_decay": st.booleans()}
)


@given(NUMBERS, st.dictionaries(st.sampled_from(sorted(METHODS)), NUMBERS, max_size=3))
def test_settings_go_through_toml_unchanged(everywhere, by_method):
    settings = own.own(everywhere | by_method)
    assert own.own(tomllib.loads(own.toml(settings))) == settings


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["inner_step=8"], ["no setting 'inner_step'", "did you mean inner_steps?"]),
        (["scale=full"], ["no setting 'scale'", "outer_steps, inner_rate"]),
        (["inner_steps"], ["NAME=VALUE", "'inner_steps'"]),
        (["=8"], ["NAME=VALUE", "'=8'"]),
        (["shots="], ["NAME=VALUE", "'shots='"]),
        (["shots=5", "shots=6"], ["two values of shots"]),
        (["inner_steps=2.5"], ["inner_steps is 2.5", "a whole number, 0 or more"]),
        (["inner_steps=-1"], ["inner_steps is -1", "0 or more"]),
        (["inner_steps=all"], ["inner_steps is 'all'", "0 or more"]),
        (["shots=0"], ["shots is 0", "1 or more"]),
        (["shots=true"], ["shots is True", "1 or more"]),
        (["inner_rate=0"], ["inner_rate is 0", "above 0"]),
        (["outer_rate=inf"], ["outer_rate is inf", "finite"]),
        (["tune_rate=nan"], ["tune_rate is nan", "finite"]),
        (["inner_rate=fast"], ["inner_rate is 'fast'", "finite number"]),
        (["weight_decay=-0.1"], ["weight_decay is -0.1", "0 or more"]),
        (["linear_decay=1"], ["linear_decay is 1", "true or false"]),
        (["adapt=tail"], ["adapt is 'tail'", "head", "all"]),
        (["genres_per_language=none"], ["genres_per_language is 'none'", "or all"]),
        (["tasks_per_chunk=0"], ["tasks_per_chunk is 0", "1 or more, or all"]),
    ],
)
def test_a_word_that_cannot_be_used(words, parts):
    complaint(lambda: own.given(words, None), *parts)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("inner_rate 0.1", ["is no TOML file", "inner_rate = 0.05"]),
        (b"\xff\xfe\x00", ["is no TOML file"]),
        ("inner_rates = 0.1", ["mine.toml", "no setting 'inner_rates'", "did you mean inner_rate?"]),
        ("[mamml]\nshots = 3", ["mine.toml", "no method 'mamml'", "did you mean maml?"]),
        ("[maml]\nshots = 0", ["mine.toml", "[maml] shots is 0", "1 or more"]),
        ("[maml]\nbf16 = true", ["bf16 is set for maml", "all methods"]),
        ("maml = 3", ["no setting 'maml'"]),
        ("[shots]\nmaml = 3", ["shots is {'maml': 3}", "1 or more"]),
        ("shots = 3\nshots = 4", ["is no TOML file"]),
    ],
)
def test_a_file_that_cannot_be_used(content, parts, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    complaint(lambda: own.given([], str(path)), str(path), *parts)


def test_a_file_that_is_not_there(tmp_path):
    complaint(lambda: own.given([], str(tmp_path / "none.toml")), "none.toml cannot be read", "name a TOML file")
    complaint(lambda: own.given([], str(tmp_path)), "cannot be read", "name a TOML file")


GIVEN = ["--target", "de", "--aux", "fr", "--seeds", "1", "--set", "inner_steps=1"]


def test_a_study_goes_on_with_the_same_own_settings_alone(tmp_path, capsys):
    folder = tmp_path / "kept"
    words = ["study", "transfer", "maml", *GIVEN, "outer_steps=1", "--kinds", "zero-shot", "--out", str(folder)]
    assert cli.main(words) == 0 and "mini-NLI, inner_steps=1 outer_steps=1, targets de" in capsys.readouterr().out
    assert json.loads((folder / "study.json").read_text())["set"] == {"inner_steps": 1, "outer_steps": 1}
    (record,) = (json.loads(path.read_text()) for path in folder.glob("cells/*.json"))
    assert (record["settings"]["inner_steps"], len(record["outer_losses"])) == (1, 1)
    assert cli.main(words) == 0
    capsys.readouterr()
    for other, said in (
        (["shots=5"], "inner_steps=1 outer_steps=1 shots=5"),
        (
            ["shots=5", "queries=5", "target_shots=5", "tune_batch=5", "weight_decay=0.5"],
            "tune_batch=5 weight_decay=0.5;",
        ),
        (["outer_steps=2"], "two values"),
    ):
        assert cli.main([*words, "--set", *other]) == 2
        assert said in capsys.readouterr().err
    assert cli.main([word for word in words if "=" not in word and word != "--set"]) == 2
    said = capsys.readouterr().err
    assert "own settings inner_steps=1 outer_steps=1, not none" in said and len(said.splitlines()) == 1


def test_a_papers_table_with_other_settings_says_so():
    shared = {"scale": "toy", "data": "a/b", "encoder": "c", "bf16": True, "set": {"shots": 5, "maml": {"shots": 6}}}
    told = reproduce._world(Results(shared, {}, []))
    assert told["overrides"] == "bf16=True shots=5 maml.shots=6"
    (said,) = report.set_otherwise(pd.DataFrame([told, told]))
    assert "bf16=True shots=5 maml.shots=6" in said
    plain = reproduce._world(Results({name: shared[name] for name in ("scale", "data", "encoder")}, {}, []))
    assert plain["overrides"] == "" and report.set_otherwise(pd.DataFrame([plain])) == []
