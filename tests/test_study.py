"""Studies: a grid of runs, file by file, that ends with the same files however often it is stopped."""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import psutil
import pytest
import small_world
import torch
from sklearn.metrics import f1_score
from small_world import complaint

from minimeta.errors import InputError
from minimeta.files import data_directory
from minimeta.studies import comparisons, grids, methods, papers, recipes, report, study
from minimeta.studies import world as world_module
from minimeta.studies.checkpoints import FREE
from minimeta.studies.grids import Run
from minimeta.studies.intervals import paired_difference
from minimeta.studies.methods import Cell
from minimeta.studies.world import OVERRIDES, World
from minimeta.text import corpora, languages, phrases
from minimeta.text.languages import XNLI
from minimeta.text.metrics import METRICS, metric_of


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The small world's corpus and encoder, at toy scale."""
    data = small_world.write_xnli(tmp_path_factory.mktemp("xnli"))
    encoder = small_world.write_encoder(tmp_path_factory.mktemp("encoder") / "xlm-r", "xlm-roberta")
    return World("toy", str(data), str(encoder))


@pytest.fixture(autouse=True)
def two_outer_steps(monkeypatch):
    for kind, numbers in recipes.SCALES["toy"].items():
        monkeypatch.setitem(recipes.SCALES["toy"], kind, replace(numbers, outer_steps=2, outer_rate=0.01))


KILLS = int(os.environ.get("MINIMETA_KILLS", "3"))
OF_TODAY = recipes.SCALES["toy"]["languages"]  # before the tests below make it shorter
RUNS = grids.transfer(["baseline", "joint", "x-maml", "xla-maml"], ["hi", "zh"], ["fr", "hi"], [0, 1])


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    """A small study of transfer, and its folder."""
    folder = tmp_path_factory.mktemp("study") / "here"
    with pytest.MonkeyPatch.context() as patch:
        for kind, numbers in recipes.SCALES["toy"].items():
            patch.setitem(recipes.SCALES["toy"], kind, replace(numbers, outer_steps=2, outer_rate=0.01))
        study.run(RUNS, folder, world)
    return folder


def content(folder):
    """All files of a study, without its times, and without the hidden ones that a killed process may leave."""
    found = {}
    for path in sorted(path for path in folder.rglob("[!.]*") if path.is_file()):
        record = json.loads(path.read_text("utf-8"))
        found[str(path.relative_to(folder))] = {k: v for k, v in record.items() if not k.endswith("_seconds")}
    return found


def same_runs(ours, theirs):
    """Has a study the same records as one of more runs?"""
    cells = [name for name in ours if name.startswith("cells/")]
    return cells and all(ours[name] == theirs[name] for name in (*cells, "rows.json"))


# Grids


def test_leave_one_out_leaves_each_target_out():
    runs = grids.leave_one_out(["baseline", "maml", "joint"], ["de", "zh"], [0, 1])
    assert len(runs) == 2 * (1 + 2 + 2)
    for run in runs:
        if run.cell.method == "baseline":
            assert run.targets == ("de", "zh")
        else:
            (target,) = run.targets
            assert run.cell.auxiliaries == tuple(code for code in XNLI if code not in (target, "tr", "ar", "sw"))


def test_the_names_of_files_have_room_for_many_languages():
    codes = [f"a{first}{second}" for first in "abcdefghijkl" for second in "bcdefghijklmnopqr"]
    named = [
        Run(Cell("xla-maml-few-shot", tuple(part), False, "zh-Hans-CN", True, True), 100, ("de",)).name
        for part in (codes, codes[:-1], codes[:20], codes[::-1])
    ]
    assert len(set(named)) == 4 and max(map(len, named)) < 200
    assert all(code in named[2] for code in codes[:20]) and "-more-" not in named[2]
    assert f"+{len(codes) - 6}-more-" in named[0]


def test_transfer_scores_on_all_that_was_not_seen():
    methods = ["baseline", "joint", "x-maml", "xla-maml", "xla-maml-pair", "xla-maml-few-shot"]
    runs = grids.transfer(methods, ["hi", "en", ("bg", "de")], list(XNLI), [0])
    targets = {run.name.removesuffix("-seed-0"): set(XNLI) - set(run.targets) for run in runs if not run.cell.target}
    assert targets == {
        "baseline-none-languages": set(),
        "joint-hi-languages": {"hi"},
        "x-maml-hi-languages": {"hi"},
        "xla-maml-hi-languages": {"hi", "en"},
        "joint-en-languages": {"en"},
        "x-maml-en-languages": {"en"},
        "joint-bg+de-languages": {"bg", "de"},
        "x-maml-bg+de-languages": {"bg", "de"},
        "xla-maml-pair-bg+de-languages": {"bg", "de"},
    }
    few = [run for run in runs if run.cell.target]
    assert all(run.targets == (run.cell.target,) and run.cell.target not in run.cell.auxiliaries for run in few)
    assert {run.cell.target for run in few if run.cell.auxiliaries == ("hi",)} == set(XNLI) - {"hi", "en"}


def test_joint_alone_is_the_joint_that_stands_beside_x_maml():
    both, alone = (grids.transfer(methods, ["hi"], ["de"], [0]) for methods in (["joint", "x-maml"], ["joint"]))
    assert alone == [run for run in both if run.cell.method == "joint"]
    (left_out,) = grids.leave_one_out(["joint"], ["de"], [0])
    assert left_out.cell.by_genre and not alone[0].cell.by_genre


def test_runs_of_one_cell_and_seed_are_one():
    cell = Cell("baseline", (), True)
    both = grids.merged(
        [Run(cell, 0, ("de",), ("zero-shot",)), Run(cell, 0, ("fr", "de"), ("few-shot",)), Run(cell, 1, ("de",))]
    )
    assert both == [Run(cell, 0, ("fr", "de"), ("zero-shot", "few-shot")), Run(cell, 1, ("de",))]


def test_no_language_is_dropped(world, tmp_path):
    cell = Cell("baseline", (), False)
    assert grids.merged([Run(cell, 0, ("xx", "de")), Run(cell, 0, ("fr",))])[0].targets == ("fr", "de", "xx")
    archive = pathlib.Path(world.data)
    for split in ("dev", "test"):
        archive = small_world.changed(
            archive, tmp_path / split, f"xnli.{split}.tsv", lambda text: re.sub(r"^fr\t", "xx\t", text, flags=re.M)
        )
    there = replace(world, data=str(archive)).tested()
    assert there == [code for code in XNLI if code in world.tested() and code != "fr"] + ["xx"]


def test_a_corpus_is_its_entry_in_the_registry(world, tmp_path, monkeypatch):
    """Its archive, its reader and its name: a second corpus of a task is one entry."""
    names = ("language", "genre", "split", "premise", "hypothesis", "pair", "premise_id")
    rows = [dict(zip(names, ("de", "a", "test", "b", "c", f"{i}", f"{i}"), strict=True)) | {"label": i} for i in (0, 1)]
    read = []

    def reader(source, languages, splits):
        read.append(source.path)
        return rows

    entry = corpora.Corpus("PAWS-X", "nli", "x-final", ("en", "de"), ("no", "yes"), reader)
    monkeypatch.setitem(corpora.CORPORA, "PAWS-X", entry)
    (tmp_path / "x-final").mkdir()
    other = replace(world, data=str(tmp_path))
    assert (other.corpus, other.shared["corpus"], world.shared["corpus"]) == (entry, "PAWS-X", "XNLI")
    assert other.rows().to_list() == rows and read == [tmp_path]
    assert corpora.classes_of(other.rows()) == ("no", "yes")
    complaint(lambda: World("small"), "XNLI-1.0.zip or x-final.zip")
    assert World().shared["corpus"] == World().shared["data"] == "mini-NLI"


def test_a_study_that_does_not_say_its_corpus_goes_on(short, tmp_path):
    path = tmp_path / "study" / "study.json"
    told = json.loads(path.read_text("utf-8"))
    assert told["corpus"] == "XNLI"
    for data in ("mini-NLI", told["data"], "made up"):
        older = {name: value for name, value in told.items() if name != "corpus"} | {"data": data}
        path.write_text(json.dumps(older), "utf-8")
        assert comparisons.load(path.parent).corpus == ("mini-NLI" if data == "mini-NLI" else "XNLI")
    study.run(TWO, tmp_path / "study", short)
    assert json.loads(path.read_text("utf-8")) == told | {"data": "made up"}


def test_names_of_runs_differ():
    cells = methods.cells(list(methods.METHODS), ["de", "fr"], ["hi", "zh"])
    cells += [replace(cells[-1], covering=True), replace(cells[-1], parallel=True)]
    runs = [Run(cell, seed, ("de",)) for cell in cells for seed in (0, 1)]
    assert len({run.name for run in runs}) == len(runs)


# Running


def test_one_record_for_each_run(finished):
    assert sorted(path.stem for path in (finished / "cells").iterdir()) == sorted(run.name for run in RUNS)
    for run in RUNS:
        record = json.loads((finished / "cells" / f"{run.name}.json").read_text("utf-8"))
        assert comparisons.cell_of(record) == run.cell
        assert tuple(record["results"]) == run.targets
    assert sorted(json.loads((finished / "rows.json").read_text("utf-8"))) == ["fr", "hi"]


def test_finished_runs_are_skipped(finished, world, monkeypatch):
    monkeypatch.setattr(recipes, "run", lambda *_, **__: pytest.fail("a finished run was done again"))
    seen = []
    study.run(RUNS, finished, world, progress=lambda done, total: seen.append(total) or done)
    assert seen == [0]


def test_two_workers_write_the_same_files(finished, world, tmp_path):
    few = [run for run in RUNS if run.cell.method in ("x-maml", "baseline")]
    command = [sys.executable, "-c", WORK, world.data, world.encoder, str(tmp_path / "two"), "2"]
    subprocess.run(command, check=True, timeout=300)
    ours, theirs = content(tmp_path / "two"), content(finished)
    assert len(ours) == len(few) + 2
    assert same_runs(ours, theirs)


WORK = f"""
import sys
from dataclasses import replace
sys.path.insert(0, {os.path.dirname(__file__)!r})
from minimeta.studies import grids, recipes, study
from minimeta.studies.world import World
import test_study
for kind, numbers in recipes.SCALES["toy"].items():
    recipes.SCALES["toy"][kind] = replace(numbers, outer_steps=2, outer_rate=0.01)
data, encoder, folder, workers = sys.argv[1:]
few = [run for run in test_study.RUNS if run.cell.method in ("x-maml", "baseline")]
study.run(few, folder, World("toy", data, encoder), int(workers))
"""


def test_a_study_killed_at_random_moments_ends_with_the_same_files(finished, world, tmp_path):
    """kill -9 of all its processes, two workers among them, again and again: no run is lost, none is double."""
    command = [sys.executable, "-c", WORK, world.data, world.encoder, str(tmp_path / "killed"), "2"]
    rng = np.random.default_rng(0)
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(command, start_new_session=True)
        cells, before = tmp_path / "killed" / "cells", 0
        while process.poll() is None and not (cells.exists() and len(list(cells.glob("*.json"))) > before + killed):
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.5))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    subprocess.run(command, check=True, timeout=300)
    ours, theirs = content(tmp_path / "killed"), content(finished)
    assert killed >= 1
    assert same_runs(ours, theirs)
    assert len([name for name in ours if name.startswith("cells/")]) == 6
    assert not (tmp_path / "killed" / "unfinished").exists()


LONG_WORK = """
import pathlib, sys, time
from joblib import delayed
from minimeta.studies import jobs
folder = sys.argv[1]
def work(name):
    pathlib.Path(folder, name).touch()
    time.sleep(600)
    return name, ""
list(jobs.finished({name: delayed(work)(name) for name in "ab"}, 2))
"""


def test_workers_end_with_the_process_that_started_them(tmp_path):
    """Killed alone, without its workers: they must not go on beside the next start."""
    process = subprocess.Popen([sys.executable, "-c", LONG_WORK, tmp_path])
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    try:
        assert len(workers) >= 2
        wait_until(lambda: not any(map(at_work, workers)))
    finally:
        for worker in filter(at_work, workers):
            worker.kill()


def at_work(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(true, seconds=120):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_worker_whose_study_was_gone_before_it_began_ends_too():
    task = "import time; from minimeta.studies import jobs; jobs._for(1, time.sleep, (600,), {})"
    assert subprocess.run([sys.executable, "-c", task], timeout=120).returncode == 1


def test_a_run_that_fails_does_not_stop_the_others(world, tmp_path, monkeypatch):
    real = recipes.run

    def fragile(cell, *arguments, **how):
        if cell.method == "joint":
            raise InputError("the loss is nan")
        return real(cell, *arguments, **how)

    monkeypatch.setattr(recipes, "run", fragile)
    runs = [run for run in RUNS if run.seed == 0]
    complaint(lambda: study.run(runs, tmp_path / "here", world), "joint-hi", "the loss is nan", "2 of 7 runs failed")
    assert len(list((tmp_path / "here" / "cells").iterdir())) == 5


def test_another_grid_in_the_folder_loses_nothing(world, tmp_path):
    cell = Cell("baseline", (), False)
    study.run([Run(cell, 0, ("fr",), ("zero-shot",))], tmp_path, world)
    study.run([Run(cell, 0, ("de",), ("zero-shot",))], tmp_path, world)
    (record,) = comparisons.load(tmp_path).records
    assert sorted(record["results"]) == ["de", "fr"]
    assert sorted(comparisons.load(tmp_path).rows) == ["de", "fr"]


def test_first_order_and_chunks_reach_every_run_and_are_on_record(world, tmp_path):
    runs = grids.transfer(["baseline", "maml"], [("hi", "zh")], ["fr"], [0])
    found = {}
    for name, given in {"plain": {}, "first": {"first_order": True}, "chunked": {"tasks_per_chunk": 1}}.items():
        study.run(runs, tmp_path / name, replace(world, **given))
        told = json.loads((tmp_path / name / "study.json").read_text("utf-8"))
        assert {key: told[key] for key in OVERRIDES if key in told} == (given if name == "first" else {})
        for record in comparisons.load(tmp_path / name).records:
            assert record["settings"] == asdict(replace(recipes.SCALES["toy"]["genres"], **given))
        found[name] = json.loads((tmp_path / name / "cells" / "maml-hi+zh-genres-seed-0.json").read_text("utf-8"))
    losses = {name: record["outer_losses"] for name, record in found.items()}
    assert losses["chunked"] == pytest.approx(losses["plain"], rel=1e-5)
    assert losses["first"][0] == losses["plain"][0]
    assert losses["first"][1] != pytest.approx(losses["plain"][1], rel=1e-5)
    complaint(lambda: study.run(runs, tmp_path / "first", world), "first_order True, not False", "another folder")
    complaint(lambda: replace(world, tasks_per_chunk=0), "tasks per chunk is 0")


def test_a_record_that_is_older_than_a_setting_had_its_default(finished, world, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "old")
    for path in (tmp_path / "old" / "cells").iterdir():
        record = json.loads(path.read_text("utf-8"))
        del record["settings"]["first_order"], record["settings"]["tasks_per_chunk"]
        path.write_text(json.dumps(record), "utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "run", lambda *_: pytest.fail("a finished run was done again"))
        study.run(RUNS, tmp_path / "old", world)
    # Were it the scale that leaves the second derivatives out, these records would be of something else.
    numbers = recipes.SCALES["toy"]["languages"]
    monkeypatch.setitem(recipes.SCALES["toy"], "languages", replace(numbers, first_order=True))
    complaint(lambda: study.run(RUNS, tmp_path / "old", world), "other settings", "move it away")


# What cannot be run


def test_a_folder_belongs_to_one_world(finished, world, tmp_path):
    other = small_world.write_xnli(tmp_path / "other", test=5)
    complaint(
        lambda: study.run(RUNS, finished, replace(world, data=str(other))), "the rows in en, fr, hi, zh", "another"
    )
    complaint(lambda: study.run(RUNS, finished, World()), "the weights", "its tokenizer", "the rows", "mini-NLI")


def test_other_settings_than_those_of_a_record(finished, world, monkeypatch):
    numbers = recipes.SCALES["toy"]["languages"]
    monkeypatch.setitem(recipes.SCALES["toy"], "languages", replace(numbers, inner_rate=0.3))
    complaint(lambda: study.run(RUNS, finished, world), "other settings", "move it away")


def test_a_record_that_is_cut_short(finished, world, tmp_path):
    (tmp_path / "cells").mkdir()
    for name in ("study.json", "rows.json"):
        (tmp_path / name).write_text((finished / name).read_text("utf-8"), "utf-8")
    (tmp_path / "cells" / f"{RUNS[0].name}.json").write_text('{"method": "ba', "utf-8")
    complaint(lambda: study.run(RUNS, tmp_path, world), "not a whole JSON file", "delete it")


def test_nothing_to_run_or_to_read(world, tmp_path):
    complaint(lambda: study.run([], tmp_path / "a", world), "no run")
    complaint(lambda: study.run(RUNS, tmp_path / "a", world, workers=0), "workers")
    complaint(lambda: comparisons.load(tmp_path / "a"), "no study")
    complaint(lambda: World("small"), "--data", "--encoder")
    assert not (tmp_path / "a").exists()


def test_nothing_is_trained_if_one_run_cannot_be(world, tmp_path):
    runs = [*RUNS, Run(Cell("fixed-treemaml", ("tr",), True), 0, ("fr",))]
    complaint(lambda: study.run(runs, tmp_path / "a", world), "no place", "tr")
    assert not (tmp_path / "a").exists()


def test_what_was_laid_out_for_nothing_goes_and_the_rest_stays(tmp_path, finished):
    (tmp_path / "cells").mkdir()
    for name in ("study.json", "rows.json", "thesis.tex"):
        (tmp_path / name).write_text("{}", "utf-8")
    study.remove_empty(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    study.remove_empty(finished)
    assert len(comparisons.load(finished).records) == len(RUNS)


# Results


def test_accuracies_are_means_over_the_records(finished):
    results = comparisons.load(finished)
    found = comparisons.scores(results)
    assert len(found) == (2 + 3 * 1 + 3 * 2) * 2  # the baseline on both; three methods with hi on fr, with zh on both
    row = found[(found["method"] == "X-MAML") & (found["auxiliaries"] == "hi") & (found["kind"] == "zero-shot")].iloc[0]
    values = [
        r["results"]["fr"]["zero-shot"]["accuracy"]
        for r in results.records
        if r["method"] == "x-maml" and r["auxiliaries"] == ["hi"]
    ]
    assert row["accuracy"] == pytest.approx(np.mean(values)) and row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert (row["seeds"], row["target"], row["scale"]) == (2, "fr", "toy")


def test_differences_are_paired_by_seed_and_row(finished, world):
    results = comparisons.load(finished)
    found = comparisons.differences(results)
    row = found[
        (found["method"] == "XLA-MAML")
        & (found["control"] == "X-MAML")
        & (found["auxiliaries"] == "zh")
        & (found["kind"] == "zero-shot")
        & (found["target"] == "fr")
    ].iloc[0]
    rows = [row for row in corpora.nli(world.data) if row["language"] == "fr" and row["split"] == "test"]

    def right(method):
        chosen = [r for r in results.records if r["method"] == method and r["auxiliaries"] == ["zh"]]
        predicted = [r["results"]["fr"]["zero-shot"]["predicted"] for r in sorted(chosen, key=lambda r: r["seed"])]
        return np.array([[int(d) == row["label"] for d, row in zip(p, rows, strict=True)] for p in predicted])

    expected = paired_difference(right("xla-maml"), right("x-maml"), [row["premise_id"] for row in rows])
    assert (row["gain"], row["low"], row["high"]) == pytest.approx(expected)
    assert set(found[found["target"] == "all"]["method"]) == {"Joint", "X-MAML", "XLA-MAML"}
    assert not ((found["method"] == "XLA-MAML") & (found["control"] == "Baseline") & (found["seeds"] != 2)).any()


def test_leaving_one_out_is_one_method_over_its_targets(world, tmp_path):
    runs = grids.leave_one_out(["baseline", "joint"], ["de", "zh"], [0])
    study.run([replace(run, kinds=("zero-shot",)) for run in runs], tmp_path, world)
    results = comparisons.load(tmp_path)
    found = comparisons.differences(results)
    assert list(found["target"]) == ["de", "zh", "all"] and set(found["auxiliaries"]) == {"all but the target"}
    assert found["gain"][2] == pytest.approx(found["gain"][:2].mean())  # as many rows in both
    joint = comparisons.scores(results).query("method == 'Joint'")
    for target, accuracy in zip(joint["target"], joint["accuracy"], strict=True):
        (record,) = [r for r in results.records if r["method"] == "joint" and target in r["results"]]
        assert record["results"][target]["zero-shot"]["accuracy"] == accuracy


def test_few_shot_xla_maml_is_one_method_over_its_targets(world, tmp_path):
    runs = grids.transfer(["baseline", "xla-maml-few-shot"], ["zh"], ["fr", "de"], [0])
    assert len(runs) == 3
    study.run(runs, tmp_path, world)
    found = comparisons.differences(comparisons.load(tmp_path))
    assert list(found["target"]) == ["fr", "de", "all"]
    assert set(found["method"]) == {"XLA-MAML few-shot"} and set(found["kind"]) == {"fine-tuned"}


def test_the_tables_can_be_printed_and_written(finished, tmp_path):
    from minimeta.__main__ import main

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["results", str(finished), "--csv", str(tmp_path / "moved")]) == 0
    results = comparisons.load(finished)
    for name, expected in (
        ("moved", comparisons.differences(results)),
        ("moved_accuracies", comparisons.scores(results)),
    ):
        found = pd.read_csv(tmp_path / f"{name}.csv")
        assert len(found) == len(expected) > 0
        value = "gain" if "gain" in expected else "accuracy"
        assert found[value].to_numpy() == pytest.approx(expected[value].to_numpy(), abs=1e-3)
    assert "fr, fine-tuned" in printed.getvalue() and "all targets together, zero-shot" in printed.getvalue()


def test_a_table_of_one_seed_does_not_speak_of_seeds():
    results = comparisons.load(data_directory() / "results" / "toy_transfer")
    one = replace(results, records=[record for record in results.records if record["seed"] == 0])
    heads = {line.split(", ")[1] for line in report.study_text(one).splitlines() if "difference in points" in line}
    assert heads == {"95 % interval over premises"}
    heads = {line.split(", ")[1] for line in report.study_text(results).splitlines() if "difference in points" in line}
    assert heads == {"95 % interval over premises and seeds"}


def test_the_stored_study_was_made_with_the_settings_of_today():
    results = comparisons.load(data_directory() / "results" / "toy_transfer")
    assert (
        len({(comparisons.cell_of(record), record["seed"]) for record in results.records}) == len(results.records) == 42
    )
    for record in results.records:
        assert study.settings_of(record) == asdict(OF_TODAY)
        assert set(asdict(OF_TODAY)) - set(record["settings"]) <= {*OVERRIDES, *FREE, "compile", "tree"}
        for target, tests in record["results"].items():
            label, found = results.rows[target]["label"], tests["zero-shot"]
            right = [one == other for one, other in zip(found["predicted"], label, strict=True)]
            assert found["accuracy"] == pytest.approx(100 * np.mean(right))


def test_a_cache_changes_no_number_and_its_size_is_said_once(finished, world, tmp_path, capsys):
    few = [run for run in RUNS if run.cell.method in ("x-maml", "xla-maml")]
    study.run(few, tmp_path / "here", replace(world, cache=str(tmp_path / "cache")))
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Trunk features")]
    assert len(said) == 1 and "GB in" in said[0]
    kept = {"-".join(path.name.split("-")[:2]) for path in (tmp_path / "cache").iterdir()}
    assert kept == {"hi-dev", "zh-dev", "en-dev", "fr-dev", "fr-test", "hi-test"}
    ours, theirs = content(tmp_path / "here"), content(finished)
    assert all(ours[name] == theirs[name] for name in ours if name.startswith("cells/"))


# What a study is made of


@pytest.fixture
def short(world, tmp_path):
    """The world in a place of its own that may be changed, with a study of one run in `study`."""
    data, encoder = tmp_path / "data" / "XNLI-1.0.zip", tmp_path / "encoder"
    data.parent.mkdir()
    shutil.copy(world.data, data)
    shutil.copytree(world.encoder, encoder)
    own = replace(world, data=str(data), encoder=str(encoder))
    study.run(ONE, tmp_path / "study", own)
    return own


ONE = [Run(Cell("baseline", (), False), 0, ("fr",), ("zero-shot",))]
TWO = [*ONE, Run(Cell("baseline", (), False), 1, ("fr",), ("zero-shot",))]


def test_other_weights_under_the_same_name_are_refused(short, tmp_path):
    small_world.write_encoder(tmp_path / "encoder", "xlm-roberta", seed=1)
    complaint(lambda: study.run(TWO, tmp_path / "study", short), "the weights of the encoder (", "put back what was")
    assert len(comparisons.load(tmp_path / "study").records) == 1


def test_another_tokenizer_under_the_same_name_is_refused(short, tmp_path):
    path = tmp_path / "encoder" / "tokenizer.json"
    path.write_text(
        path.read_text("utf-8").replace('"normalizer": null', '"normalizer": {"type": "Lowercase"}'), "utf-8"
    )
    said = complaint(lambda: study.run(TWO, tmp_path / "study", short), "its tokenizer (")
    assert "weights" not in said and "rows" not in said


@pytest.mark.parametrize(
    ("split", "code", "refused"), [("test", "fr", True), ("dev", "fr", True), ("dev", "de", False)]
)
def test_a_corrected_row_is_refused_where_the_study_uses_its_language(short, tmp_path, split, code, refused):
    def correct(text):
        lines = text.split("\n")
        place = next(i for i, line in enumerate(lines) if line.startswith(f"{code}\t"))
        fields = lines[place].split("\t")
        fields[7] += " Corrected."
        return "\n".join([*lines[:place], "\t".join(fields), *lines[place + 1 :]])

    changed = small_world.changed(tmp_path / "data" / "XNLI-1.0.zip", tmp_path / "new", f"xnli.{split}.tsv", correct)
    changed.replace(short.data)
    if refused:
        said = complaint(lambda: study.run(TWO, tmp_path / "study", short), f"the rows in {code} (")
        assert "weights" not in said
    else:
        study.run(TWO, tmp_path / "study", short)
        assert len(comparisons.load(tmp_path / "study").records) == 2


def test_a_corrected_phrase_of_the_mini_world_is_seen(tmp_path, monkeypatch):
    """Also by a process that has read the tables before, as a notebook has."""
    shutil.copytree(data_directory() / "mini", tmp_path / "mini")
    for module in (world_module, phrases):
        monkeypatch.setattr(module, "data_directory", lambda: tmp_path)
    before = World().rows().to_pandas()
    path = tmp_path / "mini" / "de.csv"
    phrase = pd.read_csv(path)["phrase"][0]
    path.write_text(path.read_text("utf-8").replace(f",{phrase},", f",{phrase} da,", 1), "utf-8")
    after = World().rows().to_pandas()
    assert set(before["language"][(before != after).any(axis=1)]) == {"de"}
    monkeypatch.undo()
    phrases.table.cache_clear()


def test_one_encoder_by_any_name(short, tmp_path, monkeypatch):
    """Trailing slash, ./, ~, a copy elsewhere, an unpacked archive: what counts is the content."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree("encoder", "copy")
    shutil.unpack_archive("data/XNLI-1.0.zip", "unpacked")
    monkeypatch.setattr(recipes, "run", lambda *_, **__: pytest.fail("a finished run was done again"))
    for encoder in ("encoder", "encoder/", "./encoder", "~/encoder", str(tmp_path / "encoder"), "copy"):
        for data in ("data", "data/", "~/data/XNLI-1.0.zip", "unpacked"):
            study.run(ONE, "study", replace(short, encoder=encoder, data=data))
    told = comparisons.load("study").shared
    assert (told["encoder"], told["data"]) == (short.encoder, short.data)  # as it was named first


def test_a_study_that_is_older_than_hashes_goes_on_by_name_and_gets_them(short, tmp_path, monkeypatch):
    path = tmp_path / "study" / "study.json"
    told = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({name: value for name, value in told.items() if name != "made_of"}), "utf-8")
    shutil.copytree(tmp_path / "encoder", tmp_path / "other")
    complaint(
        lambda: study.run(TWO, tmp_path / "study", replace(short, encoder=str(tmp_path / "other"))), "the encoder"
    )
    monkeypatch.chdir(tmp_path)
    study.run(TWO, tmp_path / "study", replace(short, encoder="./encoder"))
    assert json.loads(path.read_text("utf-8")) == told


def test_hashes_do_not_depend_on_what_is_adapted(world):
    from minimeta.text import encoders, identity

    corpus, found = corpora.nli(world.data), []
    for how in ({}, {"adapt": "all"}, {"bf16": True}, {"adapt": "all", "bf16": True}):
        features = encoders.nli(world.encoder, **how).features(corpus)
        found.append(identity.made_of(features, ["fr"]))
        features[torch.tensor([[0, 1]])]  # a tokenizer keeps how it was last called
        found.append(identity.made_of(encoders.nli(world.encoder, **how).features(corpus), ["fr"]))
    assert all(each == found[0] for each in found)


def test_a_checkpoint_of_other_weights_is_refused(short, tmp_path, monkeypatch):
    from minimeta.studies import checkpoints

    train, run = checkpoints.train, Run(Cell("x-maml", ("hi",), False), 0, ("fr",), ("zero-shot",))

    def stopped(training, *given, **named):
        def once(reports):
            yield next(reports)
            raise KeyboardInterrupt

        return train(training, *given, **(named | {"every": 0, "progress": once}))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "train", stopped)
        with pytest.raises(KeyboardInterrupt):
            study.run([run], tmp_path / "a", short)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    study.run([run], tmp_path / "a", replace(short, tasks_per_chunk=1))  # it changes no number
    assert comparisons.load(tmp_path / "a").records[0]["settings"]["tasks_per_chunk"] == 1
    small_world.write_encoder(tmp_path / "encoder", "xlm-roberta", seed=1)
    shutil.copytree(tmp_path / "b" / "unfinished", tmp_path / "c" / "unfinished")  # a study of today, an old checkpoint
    complaint(lambda: study.run([run], tmp_path / "c", short), "another training (it differs in weights)")


# Runs that fail


def test_chunks_may_change_when_a_study_goes_on(finished, world, monkeypatch):
    monkeypatch.setattr(recipes, "run", lambda *_, **__: pytest.fail("a finished run was done again"))
    study.run(RUNS, finished, replace(world, tasks_per_chunk=2))
    assert "tasks_per_chunk" not in comparisons.load(finished).shared


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "MemoryError: no more is said"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "OutOfMemoryError: CUDA out of memory"),
        (KeyError("premise"), "KeyError: 'premise'"),
        (RuntimeError("first line\nsecond line"), "RuntimeError: first line; its trace"),
    ],
)
def test_whatever_a_run_fails_of_the_others_are_done(world, tmp_path, monkeypatch, error, said):
    real, runs = recipes.run, [run for run in RUNS if run.seed == 0 and run.cell.method in ("baseline", "joint")]

    def fragile(cell, *arguments, **how):
        if cell.method == "joint":
            raise error
        return real(cell, *arguments, **how)

    with monkeypatch.context() as patch:
        patch.setattr(recipes, "run", fragile)
        others = "2 of 3 runs failed, the others have been kept; joint-zh-languages-seed-0 failed as well"
        complaint(
            lambda: study.run(runs, tmp_path, world), "joint-hi-languages-seed-0: ", said, others, "failed/joint-hi"
        )
    assert [record["method"] for record in comparisons.load(tmp_path).records] == ["baseline"]
    traces = sorted((tmp_path / "failed").iterdir())
    assert [path.stem for path in traces] == ["joint-hi-languages-seed-0", "joint-zh-languages-seed-0"]
    assert all("in fragile" in path.read_text("utf-8") for path in traces)
    study.run(runs, tmp_path, world)
    assert len(comparisons.load(tmp_path).records) == 3 and not (tmp_path / "failed").exists()


def test_ctrl_c_is_no_failure(world, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        study.run(ONE, tmp_path, world)
    assert not (tmp_path / "failed").exists()


DEADLY = """
import os, signal, sys, time
from minimeta.studies import jobs
from joblib import delayed

def task(name, deadly):
    if deadly:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    return name, ""

def tasks():
    return {name: delayed(task)(name, name == "c") for name in "abcdefgh"}
"""


def test_a_worker_that_is_killed_takes_no_other_run_with_it(tmp_path, monkeypatch):
    """As a system does that has no memory left: "c" kills the process of whoever does it."""
    (tmp_path / "deadly.py").write_text(DEADLY, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    import deadly

    done = dict(deadly.jobs.finished(deadly.tasks(), 2))
    assert sorted(done) == list("abcdefgh")
    assert [name for name, said in done.items() if said] == ["c"] and "memory ran out" in done["c"]


# One process at a time


HOLD = """
import sys, time
from pathlib import Path
from minimeta.studies import jobs
with jobs.alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_of_two_starts_is_told_so_and_the_first_loses_nothing(world, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        said = complaint(lambda: study.run(ONE, tmp_path, world), "Another process is doing the runs of", "wait")
        assert str(tmp_path) in said
        (tmp_path / "study.json").write_text("{}", "utf-8")
        study.remove_empty(tmp_path)
        assert (tmp_path / "study.json").exists()
        (tmp_path / "study.json").unlink()
    finally:
        process.kill()  # -9: the lock goes with the process
        process.communicate()
    study.run(ONE, tmp_path, world)
    assert len(comparisons.load(tmp_path).records) == 1


# Tables


def record_of(method, seed, predicted, auxiliaries=(), seconds=1.0, **cell):
    """A record of a test on three rows of each target that nobody ran."""
    found = {}
    for target, said in predicted.items():
        right = sum(one == other for one, other in zip(said, "012", strict=True))
        found[target] = {"zero-shot": {"accuracy": 100 * right / 3, "n": 3, "predicted": said}}
    own = Cell(method, auxiliaries, **({"by_genre": False} | cell))
    return asdict(own) | {"seed": seed, "outer_losses": [], "train_seconds": seconds, "results": found}


def results_of(records):
    rows = {code: {"pair": list("abc"), "premise_id": list("abc"), "label": "012"} for code in ("fr", "de", "zh")}
    return comparisons.Results({"scale": "small", "data": "XNLI-1.0.zip", "encoder": "x"}, rows, records)


def test_all_targets_together_have_the_seeds_that_all_have():
    """German with seeds 0 and 1, French with seed 1: German's seed 0 is nobody's pair."""
    ours = [record_of("joint", seed, {"de": said}, ("hi",)) for seed, said in ((0, "012"), (1, "011"))]
    ours[1]["results"] |= record_of("joint", 1, {"fr": "000"})["results"]
    theirs = [record_of("baseline", seed, {"de": "111", "fr": "111"}) for seed in (0, 1)]
    found = comparisons.gains(results_of([]), ours, theirs, "zero-shot", metric_of("nli"))
    counts = {target: (each.seeds, each.rows) for target, each in found.items()}
    assert counts == {"fr": (1, 3), "de": (2, 3), "all": (1, 6)}
    # Right of 3 rows, and of 6: 1 - 1 in French; 3 - 1 and 2 - 1 in German, whose seed 1 alone is in "all"
    assert [found[target].gain for target in ("fr", "de", "all")] == pytest.approx([0, 50, 100 / 6])
    expected = paired_difference([[1, 0, 0, 1, 1, 0]], [[0, 1, 0, 0, 1, 0]], list("abcabc"))
    assert (found["all"].gain, found["all"].low, found["all"].high) == pytest.approx(expected)
    without = [ours[0], record_of("joint", 1, {"fr": "000"}, ("hi",))]
    assert "all" not in comparisons.gains(results_of([]), without, theirs, "zero-shot", metric_of("nli"))


def test_trainings_with_other_auxiliaries_are_not_put_together():
    """Joint was run with all other languages of the phylogeny, and then again with Turkish as well, as MAML was."""
    narrow, wide = languages.all_but("de"), (*languages.all_but("de"), "tr")
    records = [
        record_of("joint", 0, {"de": "012"}, narrow, by_genre=True),
        *(record_of(name, 0, {"de": said}, wide, by_genre=True) for name, said in (("joint", "000"), ("maml", "011"))),
        record_of("maml", 0, {"fr": "011"}, (*languages.all_but("fr"), "tr"), by_genre=True),
        record_of("joint", 0, {"fr": "000"}, (*languages.all_but("fr"), "tr"), by_genre=True),
    ]
    results = results_of(records)
    cells = results.cells()
    assert sum(len(record["results"]) for found in cells.values() for record in found) == len(records)
    joint = [cell.auxiliaries for cell in cells if cell.method == "joint"]
    assert sorted(joint, key=len) == [("all but the target",), narrow]
    found = comparisons.differences(results).query("target == 'de'")
    # Right of three rows: MAML 2 (0 and 1 of "011" beside labels "012" are right), Joint 1
    assert found["gain"].tolist() == pytest.approx([100 / 3])


def test_a_target_of_one_premise_has_scores_and_no_difference():
    records = [record_of(name, 0, {"de": "012"}) for name in ("joint", "baseline")]
    results = results_of(records)
    results.rows["de"]["premise_id"] = ["one"] * 3
    assert len(comparisons.scores(results)) == 2 and comparisons.differences(results).empty


def test_no_table_is_written_where_nothing_was_compared(world, tmp_path, capsys):
    from minimeta.__main__ import main

    study.run(grids.leave_one_out(["baseline"], ["de"], [0]), tmp_path / "one", world)
    before = tmp_path / "x.csv"
    before.write_text("an earlier table")
    assert main(["results", str(tmp_path / "one"), "--csv", str(tmp_path / "x")]) == 0
    assert "nothing was compared" in capsys.readouterr().out
    assert before.read_text() == "an earlier table" and len(pd.read_csv(tmp_path / "x_accuracies.csv")) == 2


def test_seconds_are_those_of_all_trainings():
    given = {"de": 10.0, "zh": 40.0}
    records = [
        record_of("joint", 0, {code: "012"}, languages.all_but(code), seconds, by_genre=True)
        for code, seconds in given.items()
    ]
    found = comparisons.scores(results_of(records))
    assert list(found["target"]) == ["de", "zh"] and set(found["auxiliaries"]) == {"all but the target"}
    assert list(found["seconds"]) == [25.0, 25.0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[1, 2]", "it holds a list"),
        ('{"method": "maml"}', "it lacks auxiliaries, by_genre"),
        ("{half", "not a whole JSON file"),
    ],
)
def test_a_file_that_is_no_record_is_named_and_the_others_are_shown(finished, tmp_path, capsys, content, reason):
    from minimeta.__main__ import main

    shutil.copytree(finished, tmp_path / "study")
    (tmp_path / "study" / "cells" / "odd.json").write_text(content, "utf-8")
    with pytest.warns(UserWarning, match=f"odd.json .*{re.escape(reason)}.* left out"):
        found = comparisons.load(tmp_path / "study")
    assert found.records == comparisons.load(finished).records
    with pytest.warns(UserWarning, match="odd.json"):
        assert main(["results", str(tmp_path / "study")]) == 0
    assert "XLA-MAML" in capsys.readouterr().out


def test_a_record_of_a_method_or_a_score_that_is_not_known(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "study")
    first, second, *_ = sorted((tmp_path / "study" / "cells").iterdir())
    record = json.loads(first.read_text("utf-8"))
    first.write_text(json.dumps(record | {"method": "reptile"}), "utf-8")
    record = json.loads(second.read_text("utf-8"))
    second.write_text(json.dumps(record | {"results": {"fr": {"zero-shot": {"bleu": 3}}}}), "utf-8")
    with pytest.warns(UserWarning) as caught:
        found = comparisons.load(tmp_path / "study")
    assert ["reptile" in str(each.message) or "lack scores" in str(each.message) for each in caught] == [True, True]
    assert len(found.records) == len(RUNS) - 2


def entries(record):
    """Entries of a record that no run writes, each with one thing wrong."""
    (target, kinds), *_ = record["results"].items()
    (kind, score), *_ = kinds.items()

    def scored(**other):
        return {"results": {target: {kind: score | other}}}

    return [
        {"method": ["maml"]}, {"method": None}, {"auxiliaries": None}, {"auxiliaries": ["xx"]}, {"seed": "1"},
        {"seed": None}, {"train_seconds": None}, {"results": []}, {"results": None}, {"results": {target: []}},
        {"results": {target: {kind: "x"}}}, {"results": {"xx": kinds}}, {"results": {target: {"weird": score}}},
        scored(accuracy=None), scored(accuracy="9"), scored(predicted=None), scored(predicted="01"), scored(n="3"),
        {"results": {target: {kind: {"f1": 1, "exact_match": 1, "n": 1, "predicted": ["a"]}}}},
    ]  # fmt: skip


def test_a_record_with_an_odd_entry_is_named_and_hides_nothing(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "study")
    whole = comparisons.scores(comparisons.load(folder))
    first = sorted((folder / "cells").iterdir())[0]
    record = json.loads(first.read_text("utf-8"))
    for entry in entries(record):
        (folder / "cells" / "odd.json").write_text(json.dumps(record | entry), "utf-8")
        with pytest.warns(UserWarning, match=r"odd\.json is no record of a run") as caught:
            found = comparisons.load(folder)
        assert len(caught) == 1
        assert comparisons.scores(found).equals(whole)


@pytest.fixture
def mean_f1(monkeypatch):
    """A metric that is younger than the records of `finished`."""
    monkeypatch.setitem(METRICS, "nli", (*METRICS["nli"], small_world.MEAN_F1))


def test_a_metric_that_is_younger_than_a_record_is_worked_out_from_its_rows(finished, tmp_path, mean_f1):
    results = comparisons.load(finished)  # without a warning
    lines, gains = comparisons.scores(results), comparisons.differences(results, "mean_f1")
    line, *_ = lines[(lines["method"] == "Baseline") & (lines["target"] == "fr")].to_dict("records")
    own = [record["results"]["fr"][line["kind"]] for record in results.records if record["method"] == "baseline"]
    right = list(results.rows["fr"]["label"])
    expected = [100 * f1_score(right, list(score["predicted"]), labels=list("012"), average="macro") for score in own]
    assert line["mean_f1"] == pytest.approx(np.mean(expected)) and line["seeds"] == len(expected) == 2
    assert len(gains) == len(comparisons.differences(results)) and np.isfinite(gains["gain"]).all()
    assert "/ mean F1 in %" in report.study_text(results)


def test_without_the_rows_a_record_is_left_out_of_a_metric_that_is_younger(finished, tmp_path, mean_f1):
    folder = shutil.copytree(finished, tmp_path / "study")
    (folder / "rows.json").unlink()
    results = comparisons.load(folder)
    lines = comparisons.scores(results)
    assert len(results.records) == len(RUNS) and lines["mean_f1"].isna().all() and lines["accuracy"].notna().all()
    assert re.search(r"Baseline .* \d+\.\d\d /.*    – ± ", report.study_text(results))


def test_another_metric_has_no_figure_of_a_paper(mean_f1):
    cell, where = Cell("baseline", (), False), ("zero-shot", "de")
    assert papers.paper_figure(cell, *where, "accuracy", "XNLI", "small") == 70.82
    for metric, corpus in (("mean_f1", "XNLI"), ("f1", "XNLI"), ("exact_match", "XNLI"), ("accuracy", "MLQA")):
        assert papers.paper_figure(cell, *where, metric, corpus, "small") is None
    records = [record_of("baseline", 0, {"de": "012"})]
    assert list(comparisons.scores(results_of(records))["paper"]) == [70.82]


@pytest.mark.parametrize("damage", [[1, 2], {"results": None}, {"settings": None}])
def test_going_on_over_a_record_that_is_none_is_one_sentence(finished, tmp_path, damage):
    folder = shutil.copytree(finished, tmp_path / "study")
    path = folder / "cells" / f"{RUNS[0].name}.json"
    damaged = damage if isinstance(damage, list) else json.loads(path.read_text("utf-8")) | damage
    path.write_text(json.dumps(damaged), "utf-8")
    with pytest.raises(InputError, match="move it away, and its run is done again"):
        study._missing(RUNS[0], folder, World(), comparisons.rows_of_study(folder))


def test_rows_that_are_none_are_named(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "study")
    for damage in ([1], {"de": []}):
        (folder / "rows.json").write_text(json.dumps(damage), "utf-8")
        with pytest.raises(InputError, match=r"rows\.json is not what a study writes"):
            comparisons.load(folder)


def test_no_threads_are_refused(tmp_path):
    for threads in (0, -3):
        with pytest.raises(InputError, match="number of threads is"):
            study.run(RUNS, tmp_path / "study", World(), threads=threads)
    assert not (tmp_path / "study").exists()


def test_before_the_first_run_is_finished(finished, tmp_path, capsys):
    from minimeta.__main__ import main

    (tmp_path / "cells").mkdir()
    for name in ("study.json", "rows.json"):
        shutil.copy(finished / name, tmp_path / name)
    assert main(["results", str(tmp_path), "--csv", str(tmp_path / "x")]) == 0
    assert capsys.readouterr().out == "No run is finished yet; the tables come with the first one.\n"
    assert (
        len(comparisons.scores(comparisons.load(tmp_path)))
        == len(comparisons.differences(comparisons.load(tmp_path)))
        == 0
    )


def test_a_folder_without_its_rows_has_scores_and_says_why_no_differences(capsys):
    from minimeta.__main__ import main

    assert main(["results", str(data_directory() / "results" / "small_leave_one_out")]) == 0
    said = capsys.readouterr().out
    assert "Fixed TreeMAML    all but the target" in said and said.endswith("is not in the study's folder.\n")
    assert "difference in points" not in said
