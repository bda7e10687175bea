"""Studies: a grid of runs, file by file, that ends with the same files however often it is stopped."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import small_world
from small_world import complaint

from minimeta import corpora, findings, recipes, study
from minimeta.files import data_directory
from minimeta.languages import LANGUAGES
from minimeta.metrics import paired_difference
from minimeta.recipes import Cell
from minimeta.study import Run, World


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
RUNS = study.transfer(["baseline", "joint", "x-maml", "xla-maml"], ["hi", "zh"], ["fr", "hi"], [0, 1])


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


# Grids


def test_leave_one_out_leaves_each_target_out():
    runs = study.leave_one_out(["baseline", "maml", "joint"], ["de", "zh"], [0, 1])
    assert len(runs) == 2 * (1 + 2 + 2)
    for run in runs:
        if run.cell.method == "baseline":
            assert run.targets == ("de", "zh")
        else:
            (target,) = run.targets
            assert run.cell.auxiliaries == tuple(code for code in LANGUAGES if code not in (target, "tr", "ar", "sw"))


def test_transfer_scores_on_all_that_was_not_seen():
    methods = ["baseline", "joint", "x-maml", "xla-maml", "xla-maml-pair", "xla-maml-few-shot"]
    runs = study.transfer(methods, ["hi", "en", ("bg", "de")], list(LANGUAGES), [0])
    targets = {
        run.name.removesuffix("-seed-0"): set(LANGUAGES) - set(run.targets) for run in runs if not run.cell.target
    }
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
    assert {run.cell.target for run in few if run.cell.auxiliaries == ("hi",)} == set(LANGUAGES) - {"hi", "en"}


def test_runs_of_one_cell_and_seed_are_one():
    cell = Cell("baseline", (), True)
    both = study.merged(
        [Run(cell, 0, ("de",), ("zero-shot",)), Run(cell, 0, ("fr", "de"), ("few-shot",)), Run(cell, 1, ("de",))]
    )
    assert both == [Run(cell, 0, ("fr", "de"), ("zero-shot", "few-shot")), Run(cell, 1, ("de",))]


def test_names_of_runs_differ():
    cells = recipes.cells(list(recipes.METHODS), ["de", "fr"], ["hi", "zh"])
    cells += [replace(cells[-1], covering=True), replace(cells[-1], parallel=True)]
    runs = [Run(cell, seed, ("de",)) for cell in cells for seed in (0, 1)]
    assert len({run.name for run in runs}) == len(runs)


# Running


def test_one_record_for_each_run(finished):
    assert sorted(path.stem for path in (finished / "cells").iterdir()) == sorted(run.name for run in RUNS)
    for run in RUNS:
        record = json.loads((finished / "cells" / f"{run.name}.json").read_text("utf-8"))
        assert findings.cell_of(record) == run.cell
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
    assert all(ours[name] == theirs[name] for name in ours)


WORK = f"""
import sys
from dataclasses import replace
sys.path.insert(0, {os.path.dirname(__file__)!r})
from minimeta import recipes, study
import test_study
for kind, numbers in recipes.SCALES["toy"].items():
    recipes.SCALES["toy"][kind] = replace(numbers, outer_steps=2, outer_rate=0.01)
data, encoder, folder, workers = sys.argv[1:]
few = [run for run in test_study.RUNS if run.cell.method in ("x-maml", "baseline")]
study.run(few, folder, study.World("toy", data, encoder), int(workers))
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
    assert all(ours[name] == theirs[name] for name in ours)
    assert len([name for name in ours if name.startswith("cells/")]) == 6
    assert not (tmp_path / "killed" / "unfinished").exists()


def test_a_run_that_fails_does_not_stop_the_others(world, tmp_path, monkeypatch):
    real = recipes.run

    def fragile(cell, *arguments, **how):
        if cell.method == "joint":
            raise recipes.InputError("the loss is nan")
        return real(cell, *arguments, **how)

    monkeypatch.setattr(recipes, "run", fragile)
    runs = [run for run in RUNS if run.seed == 0]
    complaint(lambda: study.run(runs, tmp_path / "here", world), "joint-hi", "the loss is nan", "2 of 7 runs failed")
    assert len(list((tmp_path / "here" / "cells").iterdir())) == 5


def test_another_grid_in_the_folder_loses_nothing(world, tmp_path):
    cell = Cell("baseline", (), False)
    study.run([Run(cell, 0, ("fr",), ("zero-shot",))], tmp_path, world)
    study.run([Run(cell, 0, ("de",), ("zero-shot",))], tmp_path, world)
    (record,) = findings.load(tmp_path).records
    assert sorted(record["results"]) == ["de", "fr"]
    assert sorted(findings.load(tmp_path).rows) == ["de", "fr"]


def test_first_order_and_chunks_reach_every_run_and_are_on_record(world, tmp_path):
    runs = study.transfer(["baseline", "maml"], [("hi", "zh")], ["fr"], [0])
    found = {}
    for name, given in {"plain": {}, "first": {"first_order": True}, "chunked": {"tasks_per_chunk": 1}}.items():
        study.run(runs, tmp_path / name, replace(world, **given))
        told = json.loads((tmp_path / name / "study.json").read_text("utf-8"))
        assert {key: told[key] for key in ("first_order", "tasks_per_chunk") if key in told} == given
        for record in findings.load(tmp_path / name).records:
            assert record["settings"] == asdict(replace(recipes.SCALES["toy"]["genres"], **given))
        found[name] = json.loads((tmp_path / name / "cells" / "maml-hi+zh-genres-seed-0.json").read_text("utf-8"))
    losses = {name: record["outer_losses"] for name, record in found.items()}
    assert losses["chunked"] == pytest.approx(losses["plain"], rel=1e-5)
    assert losses["first"][0] == losses["plain"][0]
    assert losses["first"][1] != pytest.approx(losses["plain"][1], rel=1e-5)
    first, plain = tmp_path / "first", tmp_path / "plain"
    complaint(lambda: study.run(runs, first, world), "first_order True, not False", "another folder")
    complaint(lambda: study.run(runs, plain, replace(world, tasks_per_chunk=2)), "tasks_per_chunk None, not 2")
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
    complaint(lambda: study.run(RUNS, finished, replace(world, data=str(other))), "the data", "another folder")
    complaint(lambda: study.run(RUNS, finished, World()), "the data", "not mini-NLI")


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
    complaint(lambda: findings.load(tmp_path / "a"), "no study")
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
    assert len(findings.load(finished).records) == len(RUNS)


# Results


def test_accuracies_are_means_over_the_records(finished):
    results = findings.load(finished)
    found = findings.scores(results)
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
    results = findings.load(finished)
    found = findings.differences(results)
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
    runs = study.leave_one_out(["baseline", "joint"], ["de", "zh"], [0])
    study.run([replace(run, kinds=("zero-shot",)) for run in runs], tmp_path, world)
    results = findings.load(tmp_path)
    found = findings.differences(results)
    assert list(found["target"]) == ["de", "zh", "all"] and set(found["auxiliaries"]) == {"all but the target"}
    assert found["gain"][2] == pytest.approx(found["gain"][:2].mean())  # as many rows in both
    joint = findings.scores(results).query("method == 'Joint'")
    for target, accuracy in zip(joint["target"], joint["accuracy"], strict=True):
        (record,) = [r for r in results.records if r["method"] == "joint" and target in r["results"]]
        assert record["results"][target]["zero-shot"]["accuracy"] == accuracy


def test_few_shot_xla_maml_is_one_method_over_its_targets(world, tmp_path):
    runs = study.transfer(["baseline", "xla-maml-few-shot"], ["zh"], ["fr", "de"], [0])
    assert len(runs) == 3
    study.run(runs, tmp_path, world)
    found = findings.differences(findings.load(tmp_path))
    assert list(found["target"]) == ["fr", "de", "all"]
    assert set(found["method"]) == {"XLA-MAML few-shot"} and set(found["kind"]) == {"fine-tuned"}


def test_the_tables_can_be_printed_and_written(finished, tmp_path):
    from minimeta.__main__ import main

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["results", str(finished), "--csv", str(tmp_path / "moved")]) == 0
    results = findings.load(finished)
    for name, expected in (("moved", findings.differences(results)), ("moved_accuracies", findings.scores(results))):
        found = pd.read_csv(tmp_path / f"{name}.csv")
        assert len(found) == len(expected) > 0
        value = "gain" if "gain" in expected else "accuracy"
        assert found[value].to_numpy() == pytest.approx(expected[value].to_numpy(), abs=1e-3)
    assert "fr, fine-tuned" in printed.getvalue() and "all targets together, zero-shot" in printed.getvalue()


def test_the_stored_study_was_made_with_the_settings_of_today():
    results = findings.load(data_directory() / "results" / "toy_transfer")
    assert len({(findings.cell_of(record), record["seed"]) for record in results.records}) == len(results.records) == 42
    for record in results.records:
        assert study.settings_of(record) == asdict(OF_TODAY)
        assert set(asdict(OF_TODAY)) - set(record["settings"]) <= set(study.OVERRIDES)
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
