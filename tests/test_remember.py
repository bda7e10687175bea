"""The check of what is remembered (notebook 04b): right ones pass, and a mistake is called by its name."""

import numpy as np
import pytest

from minimeta.course import checks
from minimeta.memory import Memory


def right(episodes, fading, start=0, centred=True, unit=True):
    sums, counts = 0, 0
    for gradients in episodes[start:]:
        rows = gradients - gradients.mean(axis=0) if centred else gradients
        if unit:
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        sums, counts = fading * sums + rows @ rows.T, fading * counts + 1
    return sums / counts


@pytest.mark.parametrize("seed", range(5))
def test_the_right_mean_passes(capsys, seed):
    checks.remember(right, seed)
    assert capsys.readouterr().out.startswith("Right")


def test_it_is_what_the_memory_keeps_of_gradients_of_one_length():
    rng, memory = np.random.default_rng(0), Memory(fading=0.8)
    episodes = [rng.standard_normal((5, 7)) for _ in range(3)]
    episodes = [gradients / np.linalg.norm(gradients, axis=1, keepdims=True) for gradients in episodes]
    for gradients in episodes:
        memory.look(list("abcde"), gradients)
        memory.remember()
    assert memory.sums / memory.counts == pytest.approx(right(episodes, 0.8))


def weighted(episodes, fading):
    known = 0
    for gradients in episodes:
        known = fading * known + (1 - fading) * right([gradients], 1.0)
    return known


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *given: None, "returned None"),
        (lambda episodes, fading: right(episodes, fading, centred=False), "mean gradient of all tasks away"),
        (lambda episodes, fading: right(episodes, fading, unit=False), "inner products"),
        (lambda episodes, fading: right(episodes[::-1], fading), "the oldest counts most"),
        (lambda episodes, fading: right(episodes, 1.0), "nothing fades"),
        (lambda episodes, fading: right(episodes, fading, start=-1), "only the last"),
        (weighted, "a mean"),
        (lambda episodes, fading: right(episodes, fading)[0], "shape"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_mistake_is_called_by_its_name(capsys, answer, words, seed):
    checks.remember(answer, seed)
    said = capsys.readouterr().out
    assert said.startswith("Not yet") and words in said
