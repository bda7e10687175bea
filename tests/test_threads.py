"""The number of threads is chosen by the size of the work, nobody else's choice is changed, and one works at a time."""

import copy
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
import torch
from torch import nn

from minimeta.clusters import task_losses
from minimeta.files import data_directory
from minimeta.gradient import meta_gradient
from minimeta.grouping import alone
from minimeta.inner import InnerLoop, Learner, adapt, squared_error
from minimeta.outer import evaluate, meta_train
from minimeta.tasks import sinusoids
from minimeta.text import corpora, encoders
from minimeta.threads import threads_for


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Telling(nn.Module):
    """Notes how many threads it is evaluated with."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(1, 1), set()

    def forward(self, x):
        self.seen.add(torch.get_num_threads())
        return self.layer(x)


def work(learner):
    episode = sinusoids(tasks=3)(0)
    theta = {name: p.unsqueeze(0) for name, p in learner.named_parameters()}
    task_losses(learner, theta, [0, 0, 0], episode.query)
    adapt(learner, episode, alone(), 1, 0.01)
    for chunk in (None, 2):
        meta_gradient(learner, episode, InnerLoop(alone(), 1, 0.01, tasks_per_chunk=chunk))
    list(meta_train(learner, sinusoids(tasks=3), alone(), 1, 0.01, 2))
    list(evaluate(learner, [episode], alone(), 1, 0.01))


def test_small_work_is_done_by_one_thread():
    learner = Learner(Telling(), squared_error)
    work(learner)
    assert learner.module.seen == {1}
    assert torch.get_num_threads() == 2


def test_large_work_by_as_many_as_were_chosen(monkeypatch):
    monkeypatch.setattr("minimeta.threads.LARGE", 1)
    learner = Learner(Telling(), squared_error)
    work(learner)
    assert learner.module.seen == {2}


def test_the_choice_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), threads_for(nn.Linear(1, 1), {"x": torch.ones(1, 1, 1)}):
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("batch", "rows"),
    [
        ({"x": torch.ones(4, 5, 3), "y": torch.ones(4, 5, 1)}, 20),
        ({"hidden": torch.ones(4, 5, 7, 3), "mask": torch.ones(4, 5, 7, dtype=torch.long)}, 140),
        ({"input_ids": torch.ones(4, 5, 7, dtype=torch.long)}, 140),
    ],
)
def test_a_row_is_a_vector_or_a_token(batch, rows, monkeypatch):
    module = nn.Linear(3, 2)  # 8 parameters
    monkeypatch.setattr("minimeta.threads.LARGE", 8 * rows + 1)
    with threads_for(module, batch):
        assert torch.get_num_threads() == 1
    monkeypatch.setattr("minimeta.threads.LARGE", 8 * rows)
    with threads_for(module, batch):
        assert torch.get_num_threads() == 2


class Meeting(nn.Module):
    """Notes how many threads are inside it at once, and gives the others time to come in."""

    def __init__(self):
        super().__init__()
        self.layer, self.inside, self.most = nn.Linear(1, 1), 0, 0

    def forward(self, x):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.002)
        self.inside -= 1
        return self.layer(x)


def together(*calls):
    """Their results, all begun at the same moment, each in a thread of its own."""
    barrier = Barrier(len(calls))

    def begun(call):
        barrier.wait(60)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begun, calls, timeout=300))


def test_one_thread_computes_at_a_time_and_a_learner_keeps_its_parameters():
    """JupyterLab answers widgets beside the cells: both may adapt one learner at the same time."""
    learner, episode = Learner(Meeting(), squared_error), sinusoids(tasks=3)(0)
    own, loop = list(learner.parameters()), InnerLoop(alone(), 2, 0.01)
    fused = torch.backends.cuda.mem_efficient_sdp_enabled(), torch.backends.mha.get_fastpath_enabled()

    def adapted():
        return adapt(learner, episode, alone(), 2, 0.01).parameters["module.layer.weight"].tolist()

    def gradient():
        return meta_gradient(learner, episode, loop)[0].item()

    def losses():
        (found,) = evaluate(learner, [episode], alone(), 2, 0.01)
        return found.losses.tolist()

    calls = (adapted, gradient, losses, losses)
    alone_in_it = [call() for call in calls]
    for _ in range(3):
        assert together(*calls) == alone_in_it
    assert learner.module.most == 1
    assert all(after is before for after, before in zip(learner.parameters(), own, strict=True))
    assert all(part.training for part in learner.modules())
    assert (torch.backends.cuda.mem_efficient_sdp_enabled(), torch.backends.mha.get_fastpath_enabled()) == fused


def test_a_learner_that_is_being_trained_can_be_looked_at():
    """The outer step has its turn as a whole: no parameter moves while another thread computes with it."""
    learner, sampler = Learner(Meeting(), squared_error), sinusoids(tasks=3)
    unseen = copy.deepcopy(learner)

    def trained(learner):
        return [report.outer_loss for report in meta_train(learner, sampler, alone(), 1, 0.01, 12, outer_rate=0.1)]

    def looked():
        return [adapt(learner, sampler(0), alone(), 2, 0.01) for _ in range(12)]

    losses, *_ = together(partial(trained, learner), looked, looked)
    assert learner.module.most == 1 and losses == trained(unseen)


def test_a_tiny_encoder_is_small_work():
    """Its trunk's features and its answers, as all else that notebooks compute."""
    corpus = corpora.mini_qa(["de"], ["test"], passages=1)
    encoder = encoders.qa(data_directory() / "tiny-encoder-qa")
    seen = set()
    for layer in (encoder.trunk, encoder.learner.module):
        layer.register_forward_pre_hook(lambda *_: seen.add(torch.get_num_threads()))
    encoder.features(corpus).predict(encoder.learner, [0, 1])
    assert seen == {1}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives freed memory back so")
def test_freed_memory_is_kept():
    """In a process of its own: pages of a tensor that is made again and again are asked for once."""
    code = """
import resource, sys, torch
from minimeta.threads import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
torch.set_num_threads(1)
def step():
    return [torch.ones(2_000_000) for _ in range(8)]
step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = [
        int(subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "given back")
    ]
    assert faults[0] < faults[1] / 10
