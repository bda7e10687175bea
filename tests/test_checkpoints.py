"""Checkpoints: a training that was stopped anywhere goes on bit for bit; what cannot go on says why."""

import itertools
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from small_world import complaint
from torch import nn

from minimeta.errors import InputError
from minimeta.grouping import fixed_tree, learned_tree
from minimeta.inner import Learner, squared_error
from minimeta.memory import Memory
from minimeta.outer import meta_train
from minimeta.studies import checkpoints
from minimeta.tasks import balanced_tree, branching_curves

TREE = balanced_tree((2, 2))
STEPS = 12
KILLS = int(os.environ.get("MINIMETA_KILLS", "3"))
LONG = 100 * KILLS


def training(outer_steps=STEPS, width=8, draws=False, sampler=None, grouping=None):
    """A small meta-training with all that has state: momenta, a schedule and (with `draws`) dropout."""
    torch.manual_seed(0)
    layers = [nn.Linear(1, width), nn.Tanh(), *([nn.Dropout(0.3)] if draws else []), nn.Linear(width, 1)]
    learner = Learner(nn.Sequential(*layers), squared_error)
    return meta_train(
        learner,
        sampler or branching_curves(TREE),
        grouping or fixed_tree(TREE),
        2,
        0.05,
        outer_steps,
        1e-2,
        weight_decay=0.01,
        linear_decay=True,
    )


def state(run):
    return [p.detach().clone() for p in run.parameters]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Stop(Exception):
    pass


def until(step, error):
    """A `progress` that is stopped after the outer step `step`."""

    def progress(reports):
        for report in reports:
            yield report
            if report.step == step:
                raise error

    return progress


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt], ids=["error", "ctrl-c"])
@pytest.mark.parametrize("stop", [1, 5, STEPS])
def test_a_stopped_training_goes_on_bit_for_bit(tmp_path, stop, error):
    whole = training(draws=True)
    losses = [report.outer_loss for report in whole]
    with pytest.raises(error):
        checkpoints.train(training(draws=True), tmp_path, {}, every=0, progress=until(stop, error))
    torch.manual_seed(99)  # what else was drawn in between does not matter
    again = training(draws=True)
    torch.manual_seed(99)
    assert checkpoints.train(again, tmp_path, {}) == losses
    assert same(state(again), state(whole))
    assert again.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"] == 0
    moments = [[own["exp_avg"] for own in run.optimizer.state_dict()["state"].values()] for run in (again, whole)]
    assert same(*moments)


@pytest.mark.parametrize("stop", [1, 7])
def test_what_a_tree_remembers_goes_on_bit_for_bit(tmp_path, stop):
    def remembering():
        return training(grouping=learned_tree(depth=2, memory=Memory()))

    whole = remembering()
    losses = checkpoints.train(whole, tmp_path / "whole", {})
    with pytest.raises(Stop):
        checkpoints.train(remembering(), tmp_path / "stopped", {}, every=0, progress=until(stop, Stop))
    again = remembering()
    assert checkpoints.train(again, tmp_path / "stopped", {}) == losses
    assert same(state(again), state(whole))
    kept, expected = again.memory.state_dict(), whole.memory.state_dict()
    assert kept.pop("names") == expected.pop("names") and all(torch.equal(kept[name], expected[name]) for name in kept)


def test_ctrl_c_in_the_middle_of_an_update_writes_a_checkpoint_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stopped, whole = training(), training()
    expected = checkpoints.train(whole, tmp_path / "whole", {})
    real, count = stopped.optimizer.step, itertools.count(1)

    def step():
        if next(count) == 3:
            signal.raise_signal(signal.SIGINT)
        real()

    stopped.optimizer.step = step
    try:
        with pytest.raises(KeyboardInterrupt):
            checkpoints.train(stopped, "~/stopped", {})
    finally:
        signal.signal(signal.SIGINT, before)
    (path,) = (tmp_path / "stopped").glob("step-*")
    assert checkpoints.header(path)["losses"] == expected[:3]
    assert checkpoints.train(training(), tmp_path / "stopped", {}) == expected


def test_ctrl_c_writes_a_checkpoint_and_an_error_does_not(tmp_path):
    for folder, error, steps in (("ctrl-c", KeyboardInterrupt, 7), ("error", Stop, 0)):
        with pytest.raises(error):
            checkpoints.train(training(), tmp_path / folder, {}, progress=until(7, error))
        assert len(checkpoints.resume(training(), tmp_path / folder, {})) == steps


def test_the_last_ones_are_kept_and_the_end_is_one(tmp_path):
    checkpoints.train(training(), tmp_path, {"seed": 3}, every=0)
    names = [f"step-{step:08d}.pt" for step in (STEPS - 1, STEPS)]
    assert sorted(os.listdir(tmp_path)) == names and len(names) == checkpoints.KEPT
    done = training()
    assert len(checkpoints.resume(done, tmp_path, {"seed": 3})) == STEPS and len(done) == 0
    checkpoints.train(training(), tmp_path / "other", {})  # a minute has not passed, so only the end is kept
    assert os.listdir(tmp_path / "other") == names[1:]


def test_a_damaged_file_is_left_out(tmp_path):
    checkpoints.train(training(), tmp_path, {}, every=0)
    last = tmp_path / f"step-{STEPS:08d}.pt"
    last.write_bytes(last.read_bytes()[:-100])
    again = training()
    with pytest.warns(UserWarning, match="the checkpoint before it is used"):
        assert len(checkpoints.resume(again, tmp_path, {})) == STEPS - 1
    assert again.step == STEPS - 1


@pytest.mark.parametrize("content", [b"", b"half of a file", None])
def test_what_is_no_checkpoint_is_left_out_in_one_line(tmp_path, content):
    other = tmp_path / "step-00000099.pt"
    if content is None:
        torch.save({"weights": torch.zeros(3)}, other)
    else:
        other.write_bytes(content)
    with pytest.warns(UserWarning, match="no whole checkpoint .* the checkpoint before it is used") as caught:
        assert checkpoints.resume(training(), tmp_path, {}) == []
    assert len(caught) == 1 and len(str(caught[0].message).splitlines()) == 1


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    class Command:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    (tmp_path / "step-00000001.pt").write_bytes(pickle.dumps(Command()))
    torch.save({"step": Command()}, tmp_path / "step-00000002.pt")
    with pytest.warns(UserWarning):
        assert checkpoints.resume(training(), tmp_path, {}) == []
    for path in checkpoints.found(tmp_path):
        complaint(lambda p=path: checkpoints.header(p), "no whole checkpoint")
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_of_an_older_version_is_refused(tmp_path):
    (tmp_path / "step-00000003.safetensors").write_bytes(b"whatever it holds")
    complaint(lambda: checkpoints.train(training(), tmp_path, {}), "older version", "delete it to begin again")
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003.safetensors"]


@pytest.mark.parametrize("lacking", ["kinds", "memory"])
def test_a_checkpoint_that_lacks_what_is_kept_today_is_refused(tmp_path, lacking):
    checkpoints.train(training(), tmp_path, {})
    path = checkpoints.found(tmp_path)[-1]
    whole = torch.load(path, weights_only=True)
    torch.save({name: value for name, value in whole.items() if name != lacking}, path)
    complaint(lambda: checkpoints.train(training(), tmp_path, {}), path.name, "older version")


def test_numbers_of_numpy_go_on_and_what_json_cannot_hold_is_refused_at_once(tmp_path):
    made_of = {"rate": np.float64(0.1), "seed": np.int64(3), "targets": ("de", "hi")}
    losses = checkpoints.train(training(), tmp_path, made_of)
    assert checkpoints.resume(training(), tmp_path, made_of) == losses
    assert checkpoints.resume(training(), tmp_path, {"rate": 0.1, "seed": 3, "targets": ["de", "hi"]}) == losses
    complaint(lambda: checkpoints.train(training(), tmp_path / "new", {"odd": {1, 2}}), "odd, {", "which JSON can hold")
    assert not (tmp_path / "new").exists()


def test_a_memory_is_part_of_what_a_training_is(tmp_path):
    def with_or_without(memory):
        return training(grouping=learned_tree(depth=2, memory=Memory() if memory else None))

    for memory in (False, True):
        folder = tmp_path / str(memory)
        checkpoints.train(with_or_without(memory), folder, {})
        other = with_or_without(not memory)
        complaint(lambda o=other, f=folder: checkpoints.train(o, f, {}), "it differs in memory")


def test_checkpoints_of_another_training(tmp_path):
    checkpoints.train(training(), tmp_path, {"rate": 0.1, "seed": 0})
    complaint(lambda: checkpoints.resume(training(), tmp_path, {"rate": 0.2, "seed": 0}), "rate", "another folder")
    complaint(lambda: checkpoints.resume(training(width=9), tmp_path, {"rate": 0.1, "seed": 0}), "its parameters")
    fresh = training()
    before = state(fresh)
    assert checkpoints.resume(fresh, tmp_path / "none", {}) == [] and same(state(fresh), before)


def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(tmp_path):
    curves = branching_curves(TREE)

    def poisoned(step):
        episode = curves(step)
        if step == 6:
            episode.query["y"][0, 0] = float("nan")
        return episode

    with pytest.raises(InputError, match="outer step 7"):
        checkpoints.train(training(sampler=poisoned), tmp_path, {}, every=0)
    good = training()
    for _ in range(6):
        next(good)
    again = training()
    assert len(checkpoints.resume(again, tmp_path, {})) == 6
    assert same(state(again), state(good))


CHILD = """
import json, resource, signal, sys
sys.path.insert(0, {here!r})
import test_checkpoints as own
from minimeta.studies import checkpoints
from minimeta.errors import InputError
"""


def child(code, *arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    whole = CHILD.format(here=here) + code
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", whole, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files, as Unix can")
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    code = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
checkpoints.train(own.training(4), sys.argv[1], {}, every=0)
size = max(path.stat().st_size for path in __import__("pathlib").Path(sys.argv[1]).iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
run = own.training(own.STEPS)
try:
    checkpoints.save(run, sys.argv[1], [], {})
except InputError as error:
    print(error)
"""
    process = child(code, tmp_path)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    assert "could not be written" in said and "00000004.pt" in said and "Make room" in said
    assert sorted(os.listdir(tmp_path)) == ["step-00000003.pt", "step-00000004.pt"]


def test_a_folder_that_is_taken_away_is_no_full_disk(tmp_path, monkeypatch):
    """As a second process would do that has finished the same training."""
    real = torch.save

    def late(state, file):
        shutil.rmtree(tmp_path / "run")
        real(state, file)

    monkeypatch.setattr(torch, "save", late)
    said = complaint(lambda: checkpoints.save(training(), tmp_path / "run", [], {}), "could not be written", "no other")
    assert "room" not in said


def test_killed_at_random_moments_it_ends_the_same(tmp_path):
    """kill -9, again and again; each start goes on from the last checkpoint."""
    code = """
run = own.training(own.LONG, draws=True)
losses = checkpoints.train(run, sys.argv[1], {}, every=0, progress=lambda r: (print(x.step, flush=True) for x in r))
print(json.dumps(losses))
"""
    rng = random.Random(0)
    starts = []
    for _ in range(KILLS):
        process = child(code, tmp_path)
        starts.append(int(process.stdout.readline()))
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = child(code, tmp_path)
    said = process.communicate(timeout=600)[0].splitlines()
    starts += [int(said[0])] if len(said) > 1 else []
    assert starts == sorted(starts) and len(set(starts)) > 1, "no start went on from a checkpoint"
    whole = training(LONG, draws=True)
    assert json.loads(said[-1]) == [report.outer_loss for report in whole]
    again = training(LONG, draws=True)
    checkpoints.resume(again, tmp_path, {})
    assert same(state(again), state(whole))
