"""Devices: what is chosen and said, a GPU of its own for each process, one sentence for what is not there.

GPUs are made up: torch is told that there are some, and nothing is computed on them.
"""

import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from small_world import complaint

import minimeta.__main__ as cli
from minimeta.studies import devices
from minimeta.studies.world import World


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """Tells torch that there are so many GPUs, and lets go of the one that was taken."""
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    used = []

    def pretend(count, apple=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid=f"GPU-{i}"))
        monkeypatch.setattr(torch.cuda, "set_device", used.append)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
        return used

    yield pretend
    for lock in devices._held.values():
        lock.release()
    devices._held.clear()


@pytest.mark.parametrize(
    ("count", "apple", "asked", "chosen", "said"),
    [
        (0, False, None, "cpu", "computing on cpu (no GPU found)"),
        (0, True, None, "cpu", "computing on cpu (no GPU found but Apple's: --device mps)"),
        (0, True, "mps", "mps", "computing on mps"),
        (1, False, None, "cuda", "computing on cuda"),
        (1, False, "cuda", "cuda", "computing on cuda"),
        (1, False, "cuda:0", "cuda:0", "computing on cuda:0"),
        (4, False, "cuda:2", "cuda:2", "computing on cuda:2"),
        (4, False, "cpu", "cpu", "computing on cpu"),
        (4, False, None, "cuda:0", "computing on 2 of 4 GPUs, a free one for each worker"),
        (4, False, "cuda", "cuda:0", "computing on 2 of 4 GPUs, a free one for each worker"),
    ],
)
def test_what_is_chosen_and_what_is_said(gpus, count, apple, asked, chosen, said):
    used = gpus(count, apple)
    assert devices.words(asked, workers=2) == said
    assert devices.here(asked) == devices.here(asked) == chosen
    assert set(used) == ({int(chosen[-1])} if ":" in chosen else set())


@pytest.mark.parametrize(
    ("count", "asked", "parts"),
    [
        (0, "gpu", ["Unknown device 'gpu'", "cpu, mps, cuda"]),
        (2, "cuda:", ["Unknown device 'cuda:'"]),
        (2, "cuda:-1", ["Unknown device 'cuda:-1'"]),
        (0, "cuda", ["no GPU here", "--device cpu"]),
        (0, "cuda:0", ["no GPU here", "cuda:0", "--device cpu"]),
        (1, "cuda:1", ["no cuda:1 here; the GPUs are cuda:0."]),
        (4, "cuda:4", ["no cuda:4 here; the GPUs are cuda:0 to cuda:3."]),
        (4, "mps", ["no Apple GPU", "--device"]),
    ],
)
def test_a_device_that_is_not_there(gpus, count, asked, parts):
    gpus(count)
    complaint(partial(devices.here, asked), *parts)


def test_a_world_refuses_what_is_no_device_and_its_folder_does_not_say_which_it_was():
    complaint(partial(World, device="gpu"), "Unknown device 'gpu'")
    assert World(device="cpu").shared == World().shared


TAKE = """
import sys, tempfile
from types import SimpleNamespace
import torch
from minimeta.studies import devices
tempfile.tempdir = sys.argv[1]
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 2
torch.cuda.get_device_properties = lambda number: SimpleNamespace(uuid=f"GPU-{number}")
torch.cuda.set_device = lambda number: None
print(devices.here(None), devices.here("cuda"), flush=True)
sys.stdin.read()
"""


def test_each_process_takes_a_gpu_of_its_own_and_gives_it_back_when_it_ends(tmp_path):
    def start():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-c", TAKE, str(tmp_path)], **pipes)
        started.append(process)
        first, again = process.stdout.readline().split()
        assert first == again  # it keeps what it has taken
        return first

    started = []
    try:
        assert [start(), start()] == ["cuda:0", "cuda:1"]
        assert start() == "cuda:0"  # more processes than GPUs: they share, as few on each as can be
        started[1].kill()
        started[1].wait()
        assert start() == "cuda:1"
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_the_command_says_where_it_computes_and_the_record_too(tmp_path, capsys, gpus):
    gpus(0)
    words = ["run", "baseline", "--target", "de", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--device", "cuda:1"]) == 2
    assert "no GPU here" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert cli.main(words) == 0
    assert "computing on cpu (no GPU found)" in capsys.readouterr().out.splitlines()
    (record,) = tmp_path.glob("out/*/cells/*.json")
    assert '"device": "cpu"' in record.read_text()
