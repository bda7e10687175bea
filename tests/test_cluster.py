"""A study on a Dask cluster: a scheduler and two workers, each a process of its own on this machine."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
import small_world
from small_world import complaint
from test_study import content

from minimeta.__main__ import main
from minimeta.studies import grids, jobs, recipes, study
from minimeta.studies.world import World

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.path.dirname(__file__)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    data = small_world.write_xnli(tmp_path_factory.mktemp("xnli"))
    encoder = small_world.write_encoder(tmp_path_factory.mktemp("encoder") / "xlm-r", "xlm-roberta")
    return World("toy", str(data), str(encoder))


@pytest.fixture(scope="module", autouse=True)
def short():
    """Trainings of so many steps that one can be met half-way."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, numbers in recipes.SCALES["toy"].items():
            patch.setitem(recipes.SCALES["toy"], kind, replace(numbers, outer_steps=12, outer_rate=0.01))
        yield


RUNS = grids.transfer(["baseline", "x-maml", "xla-maml"], ["hi"], ["fr", "hi"], [0, 1])


def dask(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def stop(*processes):
    for process in processes:
        process.kill()
        process.communicate()


@contextmanager
def cluster(tmp_path):
    """A scheduler's address and the processes of its two workers."""
    scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    workers = []
    try:
        address = next(found[0] for line in scheduler.stderr if (found := re.search(r"tcp://127.0.0.1:\d+", line)))
        options = ("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        for name in "ab":
            place = str(tmp_path / f"worker-{name}")
            workers.append(dask("worker", address, *options, "--local-directory", place))
        yield address, workers
    finally:
        stop(*workers, scheduler)


def test_a_cluster_gives_the_same_results_and_survives_a_worker_killed_mid_training(world, tmp_path):
    study.run(RUNS, tmp_path / "here", world)
    expected = content(tmp_path / "here")
    with cluster(tmp_path) as (address, (first, _)):
        with jobs.engine(address):
            study.run(RUNS, tmp_path / "there", world, workers=2)
        assert content(tmp_path / "there") == expected

        killed = []

        def watch(finished, total):
            """Kill a worker when the first run is done: it has begun another one by then."""
            for done in finished:
                if not killed:
                    time.sleep(0.3)
                    first.send_signal(signal.SIGKILL)
                    killed.append(total - 1)
                yield done

        with jobs.engine(address):
            study.run(RUNS, tmp_path / "killed", world, workers=2, progress=watch)
        assert killed == [len(RUNS) - 1] and first.wait(timeout=10) == -signal.SIGKILL
        assert content(tmp_path / "killed") == expected


def test_no_scheduler_answers(world, tmp_path, capsys):
    address = "tcp://127.0.0.1:9"
    complaint(lambda: jobs.engine(address).__enter__(), address, "dask scheduler")
    out = str(tmp_path / "runs")
    assert main(["study", "transfer", "baseline", "x-maml", "--aux", "hi", "--target", "fr", "--out", out,
                 "--scheduler", address]) == 2  # fmt: skip
    assert address in capsys.readouterr().err
    assert not os.path.exists(out)
