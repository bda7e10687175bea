"""The view of a study, without a browser: what it shows is what the study's files say."""

import asyncio
import html
import json
import re
import sys
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest
import small_world
import torch
from small_world import complaint

from minimeta.course import text_checks
from minimeta.errors import InputError
from minimeta.grouping import alone
from minimeta.inner import Learner, squared_error
from minimeta.outer import meta_train
from minimeta.show import studyplots
from minimeta.show.studyplots import BEGUN, FINISHED, WAITING
from minimeta.show.studywidgets import StudyMonitor
from minimeta.studies import checkpoints, comparisons, grids, papers, recipes, reproduce, study
from minimeta.studies.recipes import settings_for
from minimeta.studies.world import World
from minimeta.tasks import sinusoids

RUNS = grids.transfer(["baseline", "joint", "x-maml"], ["hi"], ["fr", "de"], [0, 1])


def checkpoint(folder, run, step, losses=None):
    """A checkpoint of this run after `step` outer steps, as a study leaves it."""
    learner = Learner(torch.nn.Linear(1, 1), squared_error)
    training = meta_train(learner, sinusoids(), alone(), 1, 0.01, 50)
    training.step = step
    made_of = asdict(run.cell) | asdict(settings_for(run.cell, "toy")) | {"seed": run.seed, "encoder": "none"}
    losses = [1.0 / (i + 1) for i in range(step)] if losses is None else losses
    return checkpoints.save(training, folder / "unfinished" / run.name, losses, made_of)


def record(folder, run, seconds=10.0, accuracy=50.0):
    """The record of a finished run that nobody trained."""
    found = {target: {"zero-shot": {"accuracy": accuracy, "n": 3, "predicted": "012"}} for target in run.targets}
    trained = [0.5] * (50 if run.cell.auxiliaries else 0)
    written = asdict(run.cell) | {"seed": run.seed, "outer_losses": trained, "results": found}
    written |= {"train_seconds": seconds - 3, "feature_seconds": 1, "score_seconds": 2}
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    (folder / "cells" / f"{run.name}.json").write_text(json.dumps(written), "utf-8")


@pytest.fixture
def folder(tmp_path):
    """A study in its middle: seed 0 of Baseline and Joint finished, X-MAML at step 7 of 50, seed 1 not begun."""
    baseline, joint, x_maml, *_ = RUNS
    ids = ["0", "0", "0"]
    rows = {code: {"pair": ids, "premise_id": ids, "label": "012"} for code in ("fr", "de")}
    (tmp_path / "study.json").write_text('{"scale": "toy", "data": "made up", "encoder": "none"}', "utf-8")
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    record(tmp_path, baseline, 2.0, 40.0)
    record(tmp_path, joint, 10.0, 60.0)
    checkpoint(tmp_path, x_maml, 5)
    checkpoint(tmp_path, x_maml, 7)
    return tmp_path


def by_run(states):
    return {(each.cell.method, each.seed): each for each in states}


def test_the_states_are_those_of_the_files(folder):
    states = by_run(studyplots.states(folder, RUNS))
    assert len(states) == len(RUNS)
    assert states["baseline", 0].state == states["joint", 0].state == FINISHED
    assert (states["baseline", 0].seconds, states["joint", 0].seconds) == (2.0, 10.0)
    assert (states["baseline", 0].steps, states["joint", 0].steps) == (0, 50)
    going = states["x-maml", 0]
    assert (going.state, going.step, going.steps) == (BEGUN, 7, 50)
    assert going.losses == tuple(1.0 / (i + 1) for i in range(7)) and 0 <= going.age < 60
    assert all(states[method, 1].state == WAITING for method in ("baseline", "joint", "x-maml"))
    alone_ = studyplots.states(folder)  # the folder does not know what was asked for
    assert {each.state for each in alone_} == {FINISHED, BEGUN} and len(alone_) == 3
    assert studyplots.states(folder / "nothing") == []


def test_a_checkpoint_that_is_not_whole_is_passed_over(folder):
    x_maml = RUNS[2]
    newest = folder / "unfinished" / x_maml.name / "step-00000009.pt"
    newest.write_bytes(b"half of a file")
    complaint(lambda: checkpoints.header(newest), str(newest), "no whole checkpoint")
    complaint(lambda: checkpoints.header(folder / "none"), "There is no checkpoint")
    assert by_run(studyplots.states(folder))["x-maml", 0].step == 7
    for path in newest.parent.iterdir():
        path.write_bytes(b"")
    assert ("x-maml", 0) not in by_run(studyplots.states(folder))
    assert by_run(studyplots.states(folder, RUNS))["x-maml", 0].state == WAITING


def test_the_time_left_is_that_of_the_finished_runs(folder):
    states = studyplots.states(folder, RUNS)
    # X-MAML has no finished run, so Joint's 10 s, the only one that trains: 43/50 of it, then a whole one.
    expected = 10 * 43 / 50 + 10 + 10 + 2
    assert studyplots.seconds_left(states) == pytest.approx(expected)
    assert studyplots.seconds_left(states, 2) == pytest.approx(expected / 2)
    assert studyplots.seconds_left([each for each in states if each.state != FINISHED]) is None
    assert studyplots.seconds_left([each for each in states if each.state == FINISHED]) == 0
    said = studyplots.words(states)
    assert "2 of 6 runs finished, 1 with a checkpoint" in said and "3 without a sign" in said and "31 s" in said
    assert "for 2 at a time" in studyplots.words(states, 2)
    assert "No estimate" in studyplots.words([each for each in states if each.state != FINISHED])
    assert "no run yet" in studyplots.words([])
    times = {0.2: "under 1 s", 45: "45 s", 600: "10 min", 4 * 3600: "4.0 h", 60 * 3600: "2.5 days"}
    assert {seconds: studyplots.duration(seconds) for seconds in times} == times


def test_a_tile_for_each_run(folder):
    states = studyplots.states(folder, RUNS)
    figure = studyplots.tiles(states)
    drawn = {trace.name: trace for trace in figure.data}
    assert [len(drawn[name].y) for name in (FINISHED, BEGUN, WAITING)] == [2, 1, 3]
    assert list(figure.layout.yaxis.ticktext) == ["Baseline", "Joint hi", "X-MAML hi"]
    assert list(figure.layout.xaxis.ticktext) == ["seed 0", "seed 1"]
    assert list(drawn[BEGUN].text) == ["step 7 of 50"] and list(drawn[BEGUN].y) == [2]
    assert drawn[BEGUN].base[0] == pytest.approx(-0.47) and list(drawn[FINISHED].text) == ["✓ 2 s", "✓ 10 s"]
    losses = studyplots.outer_losses(states, smooth=2)
    (curve,) = losses.data
    assert curve.name == "X-MAML hi, seed 0" and list(losses.layout.xaxis.range) == [0, 50]
    assert curve.y[0] == 1 and curve.y[6] == pytest.approx((1 / 6 + 1 / 7) / 2) and list(curve.x) == list(range(1, 8))
    (words,) = studyplots.outer_losses([]).layout.annotations
    assert "no run" in words.text
    studyplots.tiles([]).to_json()


@pytest.mark.parametrize("name", papers.tables())
def test_every_run_of_a_table_has_a_tile_of_its_own(name, tmp_path):
    for runs in reproduce.grid(name, papers.table(name).targets, range(2)).values():
        states = studyplots.states(tmp_path / "nothing", runs)
        figure = studyplots.tiles(states)
        (waiting,) = (trace for trace in figure.data if trace.name == WAITING)
        places = set(zip(waiting.base, waiting.y, strict=True))
        assert len(places) == len(runs) == len({studyplots.label(each) for each in states})
        assert figure.layout.width < 1500 and figure.layout.height < 1200


def plain(text):
    return html.unescape(re.sub("<[^>]*>", " ", text))


def shown(monitor):
    """The scores that the monitor shows, by what was trained."""
    lines = re.findall("<tr>(.*?)</tr>", monitor.scores.value)
    return {cells[0]: cells[1:] for cells in (re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line) for line in lines)}


def test_the_monitor_shows_what_the_files_say_and_follows_them(folder):
    monitor = StudyMonitor(folder, RUNS)
    assert "2 of 6 runs finished" in monitor.words.value
    assert json.loads(monitor.tiles.wire.value)["layout"]["title"]["text"] == "The runs of the study"
    assert monitor.losses.layout.display == "" and len(monitor.second.data) == 1
    assert shown(monitor) == {"": ["fr", "de"], "Baseline": ["40.0", "40.0"], "Joint (hi)": ["60.0", "60.0"]}
    record(folder, RUNS[2], 20.0, 70.0)  # it has a checkpoint still
    record(folder, RUNS[4], 10.0, 61.0)  # Joint, seed 1
    monitor.refresh()
    assert "4 of 6 runs finished, 2 without" in monitor.words.value
    assert shown(monitor)["X-MAML (hi)"] == ["70.0", "70.0"] and shown(monitor)["Joint (hi)"] == ["60.5", "60.5"]
    assert monitor.losses.layout.display == "none"
    (folder / "cells" / f"{RUNS[5].name}.json").write_text("{half", "utf-8")
    monitor.refresh()
    said = plain(monitor.words.value)
    assert "4 of 6 runs finished" in said and "Cannot be read" in said and RUNS[5].name in said
    (folder / "cells" / f"{RUNS[5].name}.json").write_text("[]", "utf-8")
    record(folder, RUNS[3])
    monitor.refresh()
    assert "5 of 6 runs finished" in monitor.words.value and "it holds a list" in plain(monitor.words.value)


def test_before_there_is_a_folder(tmp_path):
    monitor = StudyMonitor(tmp_path / "none")
    assert "There is no run yet" in monitor.words.value and monitor.scores.value == ""
    assert all(not button.description.startswith("St") for button in monitor.children[0].children)
    complaint(monitor.launch, "no command")
    monitor.watch()  # no event loop here: it is only refreshed
    assert not monitor.watch_button.disabled and monitor.pause_button.disabled


def test_it_watches_in_the_background_until_it_is_told_not_to(folder):
    async def look():
        monitor = StudyMonitor(folder, RUNS, every=0.02)
        monitor.watch_button.click()
        assert monitor.watch_button.disabled and not monitor.pause_button.disabled
        record(folder, RUNS[3])
        await asyncio.sleep(0.5)
        assert "3 of 6 runs finished" in monitor.words.value
        monitor.pause_button.click()
        record(folder, RUNS[4])
        await asyncio.sleep(0.2)
        assert "3 of 6 runs finished" in monitor.words.value and not monitor.watch_button.disabled
        monitor.watch()
        for run in RUNS:
            record(folder, run)
        await monitor.finished(10)
        await asyncio.sleep(0.2)
        assert "6 of 6 runs finished. Nothing is left" in monitor.words.value
        assert monitor.pause_button.disabled  # it stopped by itself

    asyncio.run(look())


def test_waiting_for_a_study_that_it_only_watches(folder):
    """Another process does the runs; nobody has pressed Watch."""

    async def wait():
        monitor = StudyMonitor(folder, RUNS, every=0.02)
        with pytest.raises(InputError, match=r"not finished after 0.1 s: 2 of 6 runs finished.* look again"):
            await monitor.finished(0.1)
        waiting = asyncio.create_task(monitor.finished(10))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        for run in RUNS:
            record(folder, run)
        await waiting
        assert "6 of 6 runs finished" in monitor.words.value

    asyncio.run(wait())


def test_waiting_for_a_checkpoint(folder):
    x_maml = RUNS[2]

    async def wait():
        monitor = StudyMonitor(folder, RUNS, [sys.executable, "-c", "import time; time.sleep(60)"], every=0.02)
        await monitor.begun(7)  # nothing is at work, so there is nothing to wait for
        monitor.launch()
        await asyncio.wait_for(monitor.begun(7), 10)  # it is there
        waiting = asyncio.create_task(monitor.begun(8))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        checkpoint(folder, x_maml, 9)
        await asyncio.wait_for(waiting, 10)
        assert by_run(monitor.states)["x-maml", 0].step == 9
        monitor.stop()
        await asyncio.wait_for(monitor.begun(50), 10)  # the process has ended
        monitor.pause()

    asyncio.run(wait())


def test_a_checkpoint_of_another_version_hides_no_other(folder):
    x_maml = RUNS[2]
    learner = Learner(torch.nn.Linear(1, 1), squared_error)
    training = meta_train(learner, sinusoids(), alone(), 1, 0.01, 50)
    training.step = 9
    checkpoints.save(training, folder / "unfinished" / x_maml.name, [1.0], {"method": "x-maml"})
    assert by_run(studyplots.states(folder))["x-maml", 0].step == 7


WORK = """
import sys, time
print("a wall is in the way", file=sys.stderr)
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]))
"""


def test_the_buttons_start_and_stop_a_process(folder):
    async def press():
        monitor = StudyMonitor(folder, RUNS, [sys.executable, "-c", WORK, "60", "0"], every=0.02)
        assert monitor.stop_button.disabled and not monitor.start_button.disabled
        monitor.start_button.click()
        first = monitor.process
        assert monitor.running and "is running" in monitor.words.value and monitor.start_button.disabled
        monitor.launch()  # not a second one
        assert monitor.process is first
        with pytest.raises(InputError, match="not finished after"):
            await monitor.finished(0.1)
        monitor.stop_button.click()
        assert not monitor.running and first.poll() is not None
        assert "was stopped" in monitor.words.value and not monitor.start_button.disabled
        monitor.pause()

        failing = StudyMonitor(folder, RUNS, [sys.executable, "-c", WORK, "0", "2"], every=0.02)
        failing.launch()
        with pytest.raises(InputError, match="has failed: a wall is in the way"):
            await failing.finished(30)
        assert "a wall is in the way" in failing.words.value

    asyncio.run(press())


def test_a_real_study_watched_in_the_middle_and_at_its_end(tmp_path, monkeypatch):
    for kind, numbers in recipes.SCALES["toy"].items():
        monkeypatch.setitem(recipes.SCALES["toy"], kind, replace(numbers, outer_steps=3, outer_rate=0.01))
    data = small_world.write_xnli(tmp_path / "xnli")
    encoder = small_world.write_encoder(tmp_path / "encoder" / "xlm-r", "xlm-roberta")
    train, seen = checkpoints.train, []

    def look(reports):
        """Between two outer steps, with a checkpoint after each."""
        for report in reports:
            yield report
            seen.append(by_run(studyplots.states(tmp_path / "study", RUNS)))

    def watched(*given, progress=None, **named):
        return train(*given, every=0, progress=look, **named)

    monkeypatch.setattr(checkpoints, "train", watched)
    study.run(RUNS, tmp_path / "study", World("toy", str(data), str(encoder)))
    at = [(states["x-maml", 0].state, states["x-maml", 0].step) for states in seen]
    assert [found for found in at if found[0] == BEGUN] == [(BEGUN, 1), (BEGUN, 2), (BEGUN, 3)]
    assert at[-1][0] == FINISHED

    monitor = StudyMonitor(tmp_path / "study", RUNS)
    assert all(each.state == FINISHED for each in monitor.states) and len(monitor.states) == 6
    lines = comparisons.scores(comparisons.load(tmp_path / "study"))
    kinds = monitor.scores.value.split("<b>")[1:]
    assert [plain(part).split(",")[-1].split("(")[0].split()[0] for part in kinds] == list(dict.fromkeys(lines["kind"]))
    for kind, target in product(("zero-shot", "fine-tuned"), ("fr", "de")):
        (part,) = (part for part in kinds if kind in part)
        for line in lines[(lines["kind"] == kind) & (lines["target"] == target)].itertuples():
            assert f">{line.accuracy:.1f}<" in part
    records = {(each["method"], each["seed"]): each for each in comparisons.load(tmp_path / "study").records}
    for key, state in by_run(monitor.states).items():
        parts = (records[key][f"{name}_seconds"] for name in ("train", "feature", "score"))
        assert state.seconds == pytest.approx(sum(parts)) and np.isfinite(state.seconds)


# The checks of notebook 09


def hours(lines, targets, seeds, steps, seconds):
    return (lines - 1) * targets * seeds * steps * seconds / 3600


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (hours, "Right"),
        (lambda *given: None, "returned None"),
        (lambda *given: hours(*given) * 3600, "these are seconds"),
        (lambda *given: hours(*given) * 60, "these are minutes"),
        (lambda lines, *given: hours(lines + 1, *given), "it is not trained"),
        (lambda n, t, s, k, sec: hours(n, 1, s, k, sec), "each target is left out"),
        (lambda n, t, s, k, sec: hours(n, t, 1, k, sec), "each seed"),
        (lambda n, t, s, k, sec: hours(n, t, s, 1, sec), "of one outer step"),
    ],
)
def test_gpu_hours(capsys, answer, words):
    text_checks.gpu_hours(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda option: option in ("--first-order", "--bf16"), "Right"),
        (lambda option: None, "returned None"),
        (lambda option: "no", "expected True or False"),
        (lambda option: True, "you say True for --tasks-per-chunk"),
        (lambda option: False, "you say False for --first-order"),
        (lambda option: option == "--first-order", "you say False for --bf16"),
        (lambda option: option in ("--first-order", "--bf16", "--cache"), "bit for bit"),
        (lambda option: option in ("--first-order", "--bf16", "--workers"), "its own seed"),
    ],
)
def test_changes_the_numbers(capsys, answer, words):
    text_checks.changes_the_numbers(answer)
    assert words in capsys.readouterr().out


def test_a_home_directory_is_meant_by_its_sign(folder, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder.parent))
    assert len(studyplots.states(f"~/{folder.name}")) == 3 and studyplots.scores_data(f"~/{folder.name}")
    assert "2 of 3 runs finished" in StudyMonitor(f"~/{folder.name}").words.value


def test_a_program_that_is_not_there(tmp_path):
    monitor = StudyMonitor(tmp_path, command=["no such program"])
    complaint(monitor.launch, "no such program cannot be started", "name a program that can")
    assert not monitor.running and "cannot be started" in plain(monitor.words.value)
