"""The command line: a table and one file per run, or one clear line and nothing left behind."""

import contextlib
import datetime as clock
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace

import pytest
import small_world
import torch

import minimeta.__main__ as cli
from minimeta.files import data_directory, write_json
from minimeta.studies import recipes
from minimeta.studies.methods import KINDS, METHODS
from minimeta.text import corpora
from minimeta.text.metrics import METRICS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_world.write_xnli(tmp_path_factory.mktemp("xnli")).parent


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return small_world.write_encoder(tmp_path_factory.mktemp("encoder") / "xlm-r", "xlm-roberta")


def shorten(patch, **changes):
    """Two outer steps at every scale, and other changes to its settings."""
    for numbers in recipes.SCALES.values():
        for kind in numbers:
            patch.setitem(numbers, kind, replace(numbers[kind], outer_steps=2, **changes))


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    shorten(monkeypatch)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.delenv("MINIMETA_SCALE", raising=False)


@pytest.fixture
def call(data, encoder, tmp_path, capfd):
    """`main` with the small world's corpus and encoder: its status, what it printed and its complaints."""

    def run(*arguments, **options):
        given = {"data": data, "encoder": encoder, "out": tmp_path / "out"} | options
        named = [str(part) for name, value in given.items() if value is not None for part in (f"--{name}", value)]
        status = cli.main([*map(str, arguments), *(named if arguments[0] in ("run", "study") else [])])
        return (status, *capfd.readouterr())

    return run


@pytest.fixture
def complaint(call, tmp_path):
    """Checks that a call is refused in one line with all `parts` in it, and leaves no file behind."""

    def check(arguments, *parts, **options):
        status, _, said = call(*arguments, **options)
        assert status == 2
        assert "Traceback" not in said
        assert said.startswith("minimeta: "), said
        assert said.rstrip("\n").rstrip(")").endswith(".") and len(said.splitlines()) == 1, said
        for part in parts:
            assert str(part) in said, said
        assert files(tmp_path / "out") == []

    return check


def files(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())


def records(directory):
    """The records of a run, file by file."""
    return [path for path in files(directory) if path.parent.name == "cells"]


def strict(path):
    """The content of a JSON file; raises for NaN and Infinity, which JSON does not have."""

    def refuse(name):
        raise ValueError(name)

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


# What works


def test_methods_lists_them_all(call):
    status, said, complaints = call("methods")
    assert (status, complaints) == (0, "")
    lines = said.splitlines()
    assert [line.split()[0] for line in lines] == list(METHODS)
    for line, method in zip(lines, METHODS.values(), strict=True):
        assert method.title in line
        assert all(control in line for control in method.controls)


def test_the_list_of_methods_needs_no_torch():
    """What is only read is there at once: importing torch, transformers or datasets takes seconds."""
    asked = "import sys, minimeta.__main__ as cli; cli.main(['methods']); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    imported = found.stdout.splitlines()[-1].split()
    assert "minimeta.studies.methods" in imported
    assert not {"torch", "transformers", "datasets", "pandas", "scipy"} & set(imported)


@pytest.fixture(scope="module")
def finished(data, encoder, tmp_path_factory):
    """All methods on two targets with two seeds: what was printed, and the records."""
    out = tmp_path_factory.mktemp("out")
    arguments = ["run", *METHODS, "--target", "de", "zh", "--aux", "fr", "hi", "--seeds", "2"]
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        patch.setattr(torch, "set_num_threads", lambda count: None)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert cli.main([*arguments, "--data", str(data), "--encoder", str(encoder), "--out", str(out)]) == 0
    return printed.getvalue(), {path: strict(path) for path in records(out)}


def test_a_run_leaves_one_file_per_cell_and_seed(finished):
    said, records = finished
    cells = [(name, True, None) for name in METHODS if METHODS[name].by_genre]
    cells += [(name, False, None) for name in ("baseline", "joint", "x-maml", "xla-maml", "xla-maml-pair")]
    cells += [("xla-maml-few-shot", False, target) for target in ("de", "zh")]
    found = [(record["method"], record["by_genre"], record["target"], record["seed"]) for record in records.values()]
    assert sorted(found, key=str) == sorted(((*cell, seed) for cell in cells for seed in (0, 1)), key=str)
    (folder,) = {path.parent.parent for path in records}
    assert str(folder) in said
    assert all(path.suffix == ".json" for path in records)


def test_the_table_says_scale_targets_and_seeds(finished):
    said, _ = finished
    first = said.splitlines()[0]
    assert "toy scale" in first and "de, zh" in first and "seeds 0 to 1" in first
    for target in ("de", "zh"):
        for kind in KINDS:
            names = " / ".join(metric.title for metric in METRICS["nli"])
            assert f"{target}, {kind}: test {names} in %, mean ± sd over seeds" in said


def test_the_table_has_the_accuracies_of_the_files(finished):
    said, records = finished
    blocks = re.split(r"\n(?=\w\w, [a-z-]+: test accuracy)", said)[1:]
    assert len(blocks) == 6
    wide = 2 + max(len(method.title) for method in METHODS.values())
    for block in blocks:
        target, kind = re.match(r"(\w\w), ([a-z-]+):", block).groups()
        rows = [line for line in block.splitlines() if "±" in line][1:]
        tested = [record for record in records.values() if kind in record["results"].get(target, ())]
        assert len(rows) == len(tested) / 2
        for name, method in METHODS.items():
            mine = [record for record in tested if record["method"] == name]
            for by_genre in {record["by_genre"] for record in mine}:
                tests = [r["results"][target][kind] for r in mine if r["by_genre"] == by_genre]
                means = (statistics.mean(test[metric.name] for test in tests) for metric in METRICS["nli"])
                figure = " / ".join(f"{mean:5.2f}" for mean in means)
                figure += f" ± {statistics.stdev(test['accuracy'] for test in tests):4.2f}"
                assert any(row[2:wide].strip() == method.title and figure in row for row in rows), (name, figure)


def test_every_effect_stands_beside_its_controls(finished):
    said, records = finished
    points = r"[+-]\d+\.\d\d"
    line = rf"^  (\S.*?) +- (\S.*?) +{points} \([+-][^)]*\) +\[ *{points}, *{points}\]  \w"
    compared = re.findall(line, said, re.M)
    kinds = {}  # of each method, by kind of tasks
    for record in records.values():
        for results in record["results"].values():
            kinds.setdefault(record["method"], {}).setdefault(record["by_genre"], set()).update(results)
    expected = [
        (METHODS[name].title, METHODS[control].title)
        for name, found in kinds.items()
        for control in METHODS[name].controls
        for by_genre in found
        for _ in found[by_genre] & kinds[control].get(by_genre, set())
    ]
    assert sorted(compared) == sorted(expected * 3)  # de, zh and both together
    assert said.count("95 % interval over premises and seeds, paired by seed") == 9


def test_a_target_named_twice_is_scored_once(call):
    status, said, _ = call("run", "baseline", "--target", "de", "de", "--target", "de", "--seeds", "1")
    assert status == 0
    assert said.count("de, zero-shot") == 1


def test_the_paper_is_quoted_as_the_papers(call):
    status, said, _ = call("run", "baseline", "--target", "de", "--seeds", "1", "--scale", "small")
    assert status == 0
    assert "the paper's is mBERT's, at full scale" in said
    (line,) = [line for line in said.splitlines() if line.endswith("  70.82")]
    assert "Baseline" in line
    assert sum(line.endswith("  –") for line in said.splitlines()) == 1  # few-shot: not in the paper


@pytest.mark.parametrize("path", ["XNLI-1.0.zip", "."])
def test_data_is_an_archive_or_its_directory(call, data, path):
    assert call("run", "baseline", "--target", "de", "--seeds", "1", data=data / path)[0] == 0


def test_the_scale_comes_from_the_environment_or_the_option(call, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIMETA_SCALE", "small")
    assert "small scale" in call("run", "baseline", "--target", "de", "--seeds", "1")[1]
    arguments = ("run", "baseline", "--target", "de", "--seeds", "1", "--scale", "toy")
    assert "toy scale" in call(*arguments, out=tmp_path / "other")[1]


def test_full_scale_adapts_the_head_and_the_whole(call, tmp_path):
    arguments = ("run", "maml", "x-maml", "--target", "de", "--aux", "fr", "--scale", "full", "--seeds", "1")
    status, said, _ = call(*arguments)
    assert status == 0
    assert "full scale" in said
    adapted = {record["method"]: record["settings"]["adapt"] for record in map(strict, records(tmp_path / "out"))}
    assert adapted == {"maml": "head", "x-maml": "all"}


def test_two_runs_in_the_same_second_are_both_kept(call, tmp_path, monkeypatch):
    class Frozen(clock.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 21, 12, 0, 0, tzinfo=tz)

    monkeypatch.setattr(cli, "datetime", Frozen)
    for _ in range(2):
        assert call("run", "baseline", "--target", "de", "--seeds", "1")[0] == 0
    assert len(records(tmp_path / "out")) == 2


def test_an_interrupted_run_keeps_what_was_finished(call, tmp_path, monkeypatch):
    real, calls = recipes.run, []

    def interrupted(*arguments, **how):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **how)

    monkeypatch.setattr(recipes, "run", interrupted)
    status, _, said = call("run", "baseline", "joint", "--target", "de", "--aux", "fr", "--seeds", "2")
    assert status == 130
    assert said == "minimeta: stopped; what was done has been kept.\n"
    assert [strict(path)["method"] for path in records(tmp_path / "out")] == ["baseline"]


# Studies


def test_a_study_goes_on_where_it_stopped(call, tmp_path):
    arguments = ("study", "leave-one-out", "baseline", "maml", "--target", "de", "zh", "--seeds", "1")
    status, said, _ = call(*arguments)
    assert status == 0
    before = {path: path.read_bytes() for path in records(tmp_path / "out")}
    assert len(before) == 3  # the baseline's record holds both targets
    status, again, _ = call(*arguments)
    assert (status, again) == (0, said)
    assert {path: path.read_bytes() for path in records(tmp_path / "out")} == before
    assert call("results", tmp_path / "out")[1] in said


def test_a_study_of_transfer_takes_pairs_and_kinds(call, tmp_path):
    status, said, _ = call(
        *("study", "transfer", "baseline", "x-maml", "xla-maml", "xla-maml-pair", "--aux", "hi", "bg+de"),
        *("--target", "fr", "hi", "en", "--seeds", "1", "--kinds", "zero-shot"),
    )
    assert status == 0
    found = {path.stem: strict(path)["results"] for path in records(tmp_path / "out")}
    assert {name: list(results) for name, results in found.items()} == {
        "baseline-none-languages-seed-0": ["en", "fr", "hi"],
        "x-maml-hi-languages-seed-0": ["en", "fr"],
        "x-maml-bg+de-languages-seed-0": ["en", "fr", "hi"],
        "xla-maml-hi-languages-seed-0": ["fr"],
        "xla-maml-pair-bg+de-languages-seed-0": ["en", "fr", "hi"],
    }
    assert all(list(kinds) == ["zero-shot"] for results in found.values() for kinds in results.values())
    assert "fine-tuned" not in said


def test_first_order_and_chunks_are_options_of_runs_and_studies(call, tmp_path):
    arguments = ("maml", "--target", "de", "--seeds", "1", "--first-order", "--tasks-per-chunk", "2")
    assert call("run", *arguments, "--aux", "fr", "hi", out=tmp_path / "run")[0] == 0
    assert call("study", "leave-one-out", *arguments, out=tmp_path / "study")[0] == 0
    for out in ("run", "study"):
        (path,) = records(tmp_path / out)
        settings = strict(path)["settings"]
        assert (settings["first_order"], settings["tasks_per_chunk"]) == (True, 2)
        assert strict(path.parents[1] / "study.json")["first_order"] is True
    status, _, said = call("study", "leave-one-out", *arguments[:5], out=tmp_path / "study")
    assert status == 2 and "first_order True, not False" in said
    assert call("study", "leave-one-out", *arguments[:6], out=tmp_path / "study")[0] == 0  # other chunks, same numbers


# Files


def test_write_json_writes_what_it_was_given(tmp_path):
    record = {"a": [1, 2.5, None], "title": "ελληνικά"}
    write_json(tmp_path / "a.json", record)
    assert strict(tmp_path / "a.json") == record
    assert files(tmp_path) == [tmp_path / "a.json"]


def test_write_json_leaves_nothing_when_it_fails(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"first": list(range(10000)), "second": object()})
    assert list(tmp_path.iterdir()) == []


def test_write_json_keeps_the_old_file_when_it_fails(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"new": object()})
    assert strict(tmp_path / "a.json") == {"old": 1}
    assert files(tmp_path) == [tmp_path / "a.json"]


# Calls that are refused


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["run"], "METHOD"),
        (["run", "maml"], "--target"),
        (["run", "maml", "--target"], "--target"),
        (["run", "--target", "de"], "METHOD"),
        (["run", "maml", "--target", "de", "--wings", "2"], "--wings"),
        (["run", "maml", "--target", "de", "--seeds", "few"], "--seeds"),
    ],
)
def test_a_call_that_does_not_parse(arguments, part, capfd):
    assert cli.main(arguments) == 2
    said = capfd.readouterr().err
    assert said.startswith("minimeta: ") and len(said.splitlines()) == 1
    assert part in said and "--help" in said


def test_help_names_the_archives_of_all_corpora(monkeypatch, capfd):
    other = replace(corpora.CORPORA["XNLI"], name="Other", archive="OTHER-1")
    monkeypatch.setitem(corpora.CORPORA, "Other", other)
    for command, known in (("run", corpora.CORPORA), ("finetune", corpora.STAGE_TWO)):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        said = " ".join(capfd.readouterr().out.split())
        assert all(one.file in said for one in known.values() if one.archive)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["mamal", "--target", "de"], ["'mamal'", "fixed-treemaml"]),
        (["maml", "mamal", "--target", "de"], ["'mamal'"]),
        (["maml", "--target", "xx"], ["'xx'", "BCP 47"]),
        (["maml", "--target", "de", "--aux", "xx"], ["'xx'", "BCP 47"]),
        (["maml", "--target", "de", "--scale", "huge"], ["'huge'", "toy, small, full"]),
        (["maml", "--target", "de", "--aux", "fr", "de"], ["de", "both a target and an auxiliary"]),
        (["xla-maml", "--target", "de", "--aux", "en"], ["X-MAML"]),
        (["maml", "--target", "de", "--seeds", "0"], ["--seeds", "1 or more"]),
        (["maml", "--target", "de", "--tasks-per-chunk", "0"], ["tasks per chunk is 0", "1 or more"]),
        (["maml", "--target", "de", "--seeds", "-3"], ["--seeds", "-3"]),
        (["maml", "--target", "el", "--aux", "fr"], ["no test rows", "el"]),
        (["baseline", "--target", "sw"], ["no test rows", "sw"]),
        (["maml", "--target", "de", "--aux", "sw"], ["no rows in it", "sw"]),
    ],
)
def test_choices_that_cannot_be_run(complaint, arguments, parts):
    complaint(["run", *arguments], *parts)


def test_an_unknown_scale_in_the_environment(complaint, monkeypatch):
    monkeypatch.setenv("MINIMETA_SCALE", "huge")
    complaint(["run", "baseline", "--target", "de"], "'huge'", "toy, small, full")


def test_no_corpus_or_no_encoder(complaint):
    complaint(["run", "maml", "--target", "de", "--scale", "small"], "--data", "small scale", data=None)
    complaint(["run", "maml", "--target", "de", "--scale", "small"], "--encoder", encoder=None)
    complaint(["run", "maml", "--target", "de"], "--encoder", encoder=None)


def test_a_missing_archive(complaint, tmp_path):
    complaint(["run", "maml", "--target", "de"], tmp_path / "none", "XNLI-1.0.zip", data=tmp_path / "none")
    complaint(["run", "maml", "--target", "de"], tmp_path, "XNLI-1.0.zip", data=tmp_path)


def test_an_archive_cut_short(complaint, data, tmp_path):
    path = tmp_path / "XNLI-1.0.zip"
    shutil.copy(data / "XNLI-1.0.zip", path)
    complaint(["run", "maml", "--target", "de"], path, "get it again", data=small_world.cut(path))


def test_an_archive_without_dev_rows(complaint, data, tmp_path):
    path = small_world.changed(data / "XNLI-1.0.zip", tmp_path, "xnli.dev.tsv", lambda text: text.split("\n")[0] + "\n")
    complaint(["run", "maml", "--target", "de", "--aux", "fr"], "dev", data=path)
    complaint(["run", "baseline", "--target", "de"], "dev", data=path)


def test_a_missing_encoder(complaint, tmp_path):
    complaint(["run", "maml", "--target", "de"], tmp_path / "none", "no encoder", encoder=tmp_path / "none")


def test_an_encoder_of_another_architecture(complaint, encoder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(encoder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "distilbert"}))
    complaint(["run", "maml", "--target", "de"], other, "distilbert", encoder=other)


def test_an_encoder_cut_short(complaint, encoder, tmp_path):
    shutil.copytree(encoder, tmp_path / "cut")
    small_world.cut(tmp_path / "cut" / "model.safetensors")
    complaint(["run", "maml", "--target", "de"], tmp_path / "cut", encoder=tmp_path / "cut")


def test_fewer_examples_than_shots(complaint, tmp_path):
    few = small_world.write_xnli(tmp_path / "few", dev=2)
    complaint(["run", "maml", "--target", "de", "--aux", "fr"], "too few dev rows", data=few)
    complaint(["run", "x-maml", "--target", "de", "--aux", "fr"], "too few dev rows", data=few)


@pytest.mark.parametrize("before", [[], ["baseline"]])
@pytest.mark.parametrize(("target", "auxiliary"), [("de", "tr"), ("tr", "es")])
def test_a_tree_that_misses_a_task(complaint, before, target, auxiliary):
    arguments = ["run", *before, "fixed-treemaml", "--target", target, "--aux", "fr", auxiliary]
    complaint(arguments, "no place", "tr")


@pytest.mark.parametrize("method", ["maml", "fixed-treemaml", "x-maml"])
def test_losses_that_are_not_finite(complaint, monkeypatch, method):
    shorten(monkeypatch, inner_rate=1e30)
    arguments = ["run", method, "--target", "de", "--aux", "fr", "hi"]
    complaint(arguments, "inner rate", "1e+30")


def test_an_output_folder_that_is_a_file(call, tmp_path):
    (tmp_path / "taken").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        status, _, said = call("run", "baseline", "--target", "de", out=out)
        assert status == 2
        assert said.startswith("minimeta: ") and len(said.splitlines()) == 1
        assert str(out) in said
    assert (tmp_path / "taken").read_text() == "mine"


# From a shell


def shell(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
    )


def test_a_run_from_a_shell(data, encoder, tmp_path):
    arguments = ["-m", "minimeta", "run", "baseline", "--target", "de", "--seeds", "2"]
    done = shell(
        *arguments, "--data", data, "--encoder", encoder, "--out", tmp_path, PYTHONUTF8="1", HF_HUB_OFFLINE="1"
    )
    assert done.returncode == 0, done.stderr
    assert "±" in done.stdout and "Baseline" in done.stdout
    assert [strict(path)["seed"] for path in records(tmp_path)] == [0, 1]


def test_an_encoder_that_no_hub_can_give(data, tmp_path):
    arguments = ["-m", "minimeta", "run", "baseline", "--target", "de", "--data", data, "--encoder", "nobody/nothing"]
    done = shell(*arguments, "--out", tmp_path / "out", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "home"))
    assert done.returncode == 2
    assert done.stderr.startswith("minimeta: ") and len(done.stderr.splitlines()) == 1, done.stderr
    assert "nobody/nothing" in done.stderr
    assert not (tmp_path / "out").exists()


def test_importing_minimeta_is_quick_and_listing_methods_loads_no_encoder():
    code = (
        "import sys, time, torch\n"
        "def heavy(): print([name for name in ('transformers', 'datasets', 'plotly') if name in sys.modules])\n"
        "start = time.perf_counter()\n"
        "import minimeta\n"
        "print(time.perf_counter() - start)\n"
        "heavy()\n"
        "from minimeta.__main__ import main\n"
        "main(['methods'])\n"
        "heavy()\n"
    )
    seconds = []
    while len(seconds) < 3 and min(seconds, default=1) >= 0.2:  # the best of three, for a busy machine
        done = shell("-c", code, PYTHONUTF8="1")
        assert done.returncode == 0, done.stderr
        took, loaded, *methods, loaded_then = done.stdout.splitlines()
        assert loaded == loaded_then == "[]"
        assert len(methods) == len(METHODS)
        seconds.append(float(took))
    assert min(seconds) < 0.2


def test_a_home_directory_is_written_out_at_the_door(call, data, encoder, tmp_path, monkeypatch):
    """A shell leaves ~ as it is in `--out=~/x`: every path of every command is good by the time it is used."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(encoder, "enc")
    shutil.copy(data / "XNLI-1.0.zip", "XNLI-1.0.zip")
    where = ("--data=~/XNLI-1.0.zip", "--encoder=~/enc", "--seeds=1", "--cache=~/cache")
    arguments = ("baseline", "x-maml", "--aux", "hi", "--target", "de", *where)
    none = {"data": None, "encoder": None, "out": None}
    assert call("run", *arguments, "--out=~/runs", **none)[0] == 0
    assert call("study", "transfer", *arguments, "--out=~/study", **none)[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert call("run", *arguments, f"--resume=~/runs/{folder.name}", **none)[0] == 0
    assert call("results", "~/study", "--csv=~/moved")[0] == 0
    table = ("reproduce", "treemaml-table1", "--targets", "de", "--no-train", "--out=~/table")
    shutil.copytree("study", "table")
    assert call(*table)[0] == 0
    assert not (tmp_path / "~").exists()
    assert {"cache", "moved.csv", "moved_accuracies.csv", "runs", "study"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "table" / "treemaml-table1.html").exists()
    status, _, said = call("results", "~nobody-at-all/study")
    assert status == 2 and "no home directory ~nobody-at-all" in said and len(said.splitlines()) == 1
    assert call("results", "")[2].startswith("minimeta: Argument FOLDER: the path is empty")


def test_fine_tuning_with_a_home_directory(call, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    small_world.write_encoder(tmp_path / "enc")
    small_world.write_multinli(tmp_path / "nli")
    arguments = ("finetune", "nli", "--encoder=~/enc", "--data=~/nli", "--rows=9", "--epochs=1", "--out=~/new")
    status, _, complaints = call(*arguments)
    assert status == 0, complaints
    assert (tmp_path / "new" / "model.safetensors").exists() and not (tmp_path / "~").exists()


def test_fine_tuning_that_did_not_begin_leaves_nothing(call, tmp_path):
    small_world.write_multinli(tmp_path / "nli")
    arguments = ("finetune", "nli", f"--data={tmp_path / 'nli'}", "--rows=9", f"--out={tmp_path / 'new'}")
    status, _, said = call(*arguments, f"--encoder={tmp_path / 'none'}")
    assert status == 2 and len(said.splitlines()) == 1 and "There is no encoder" in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(("new", ".new"))) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("finetune nli --out=out --seed=-1", "--seed is -1; it must be from 0"),
        ("finetune nli --out=out --rows=20 --epochs=inf", "--epochs is inf; it must be a finite number"),
        ("finetune nli --out=out --rows=20 --rate=nan", "--rate is nan; it must be a finite number"),
        ("pretrain-tiny --out=out --seed=-1", "--seed is -1; it must be from 0"),
        ("cost treemaml-table1 --threads=-1 --seeds=1 --targets=de", "The number of threads is -1"),
    ],
)
def test_numbers_are_checked_before_anything_begins(complaint, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    complaint(arguments.split(), said)
    assert not list(tmp_path.glob("out*"))


def test_fine_tuning_that_breaks_before_its_first_step_leaves_nothing(call, tmp_path, monkeypatch):
    from minimeta.text import finetune

    def broken(*_):
        raise RuntimeError("no memory, say")

    monkeypatch.setattr(finetune, "train", broken)
    with pytest.raises(RuntimeError):
        call("finetune", "nli", f"--out={tmp_path / 'new'}")
    assert not list(tmp_path.glob("new*"))


def test_fine_tuning_goes_on_with_the_same_encoder_and_rows_by_any_name(call, tmp_path, monkeypatch):
    from minimeta.text import finetune

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finetune, "train", stopped)
    small_world.write_encoder(tmp_path / "enc")
    small_world.write_multinli(tmp_path / "nli")
    arguments = ("finetune", "nli", "--out=new/", "--rows=9")
    assert call(*arguments, "--encoder=enc", "--data=nli")[0] == 130
    assert (tmp_path / "new.unfinished").is_dir() and not (tmp_path / "new").exists()
    status, said, _ = call(*arguments, f"--encoder={tmp_path / 'enc'}/", "--data=./nli/multinli_1.0.zip")
    assert status == 130 and said == "Going on from new.unfinished\n"
    small_world.write_multinli(tmp_path / "other", genres=("letters",))
    assert "other rows" in call(*arguments, "--encoder=enc", "--data=other")[2]
    small_world.write_encoder(tmp_path / "enc", seed=1)
    assert "another encoder" in call(*arguments, "--encoder=enc", "--data=nli")[2]


def test_fine_tuning_does_not_begin_where_nothing_can_be_written(call, tmp_path, monkeypatch):
    from minimeta.text import finetune

    monkeypatch.setattr(finetune, "train", lambda *_: pytest.fail("it was trained"))
    (tmp_path / "taken").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        status, _, said = call("finetune", "nli", f"--out={out}")
        assert status == 2 and len(said.splitlines()) == 1 and str(out) in said


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_scale_that_is_misspelt(complaint, monkeypatch, how):
    arguments = ["run", "baseline", "--target", "de"]
    if how == "environment":
        monkeypatch.setenv("MINIMETA_SCALE", "smal")
    else:
        arguments += ["--scale", "smal"]
    complaint(arguments, "Unknown scale 'smal'; the scales are toy, small, full", data=None, encoder=None)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_stream_that_lacks_letters(encoding):
    stored = str(data_directory() / "results" / "small_leave_one_out")
    here = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-m", "minimeta", "results", stored],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | here,
        capture_output=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode(encoding)
    assert "mean ? sd" in said if encoding == "ascii" else "mean ± sd" in said
    assert "Fixed TreeMAML" in said and b"Traceback" not in done.stderr


def test_two_starts_of_one_study(call, tmp_path, monkeypatch):
    """The second is told what is going on; it shows nothing of the first one's and takes nothing away."""
    from minimeta.studies import jobs

    (tmp_path / "out").mkdir()
    arguments = ("study", "leave-one-out", "baseline", "--target", "de", "--seeds", "1")
    with jobs.alone(tmp_path / "out"):
        status, said, complaints = call(*arguments)
    assert status == 2 and "Another process is doing the runs of" in complaints
    assert len(complaints.splitlines()) == 1 and len(said.splitlines()) == 3  # what of, where, how classes are matched
    assert (tmp_path / "out").exists()
    assert call(*arguments)[0] == 0


def test_a_run_that_breaks_off_is_named_with_its_trace(call, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise MemoryError

    monkeypatch.setattr(recipes, "run", broken)
    status, _, said = call("run", "baseline", "--target", "de", "--seeds", "1")
    assert status == 2 and len(said.splitlines()) == 1 and "MemoryError" in said
    (trace,) = (path for path in files(tmp_path / "out") if path.suffix == ".txt")
    assert str(trace) in said and "MemoryError" in trace.read_text("utf-8")
