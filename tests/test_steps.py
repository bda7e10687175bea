"""The start that is dragged: each task's step and the loss after it are those of the formulas of notebook 01."""

import time
from threading import Thread, get_ident

import numpy as np
import pytest
import torch
from torch import nn

from minimeta.inner import Learner, squared_error
from minimeta.show.steps import StepExplorer, after_a_step, losses_at
from minimeta.tasks import Episode

TWO = Episode(("A", "B"), ({"x": torch.tensor([[[1.0]], [[2.0]]]), "y": torch.tensor([[[0.0]], [[2.0]]])},), {})
STARTS = np.array([-0.5, 0.2, 0.8, 1.5])


def learner():
    return Learner(nn.Linear(1, 1, bias=False), squared_error)


def test_losses_and_steps_are_those_of_the_formulas():
    losses = losses_at(learner(), TWO, STARTS)
    assert np.allclose(losses, np.stack([STARTS**2, 4 * (STARTS - 1) ** 2], 1), atol=1e-5)
    ends = after_a_step(learner(), TWO, STARTS, rate=0.1)
    assert np.allclose(ends, np.stack([0.8 * STARTS, 1 + 0.2 * (STARTS - 1)], 1), atol=1e-5)


@pytest.mark.parametrize(("rate", "best"), [(0.01, 0.78), (0.1, 0.2)])
def test_the_best_start_moves_away_from_the_steep_task(rate, best):
    explorer = StepExplorer(learner(), TWO)
    explorer.rate.value = rate
    whole = explorer.after(explorer.grid, rate)
    assert explorer.grid[whole.argmin()] == pytest.approx(best, abs=0.03)


def test_a_dragged_start_is_the_sliders():
    explorer = StepExplorer(learner(), TWO)
    explorer.plot.hear(None, {"place": [0.2, 3.0]})
    assert explorer.omega.value == pytest.approx(0.2)
    shape = explorer.figure.layout.shapes[0]
    assert (shape.x0 + shape.x1) / 2 == pytest.approx(0.2) and (shape.y0 + shape.y1) / 2 == 0 and shape.editable
    assert "together <b>0.13</b>" in explorer.words.value


def test_a_slider_that_only_rounds_otherwise_draws_nothing_new():
    """noUiSlider counts from the lower end, so a page that opens gives 0.1 back as 0.01 + 9 × 0.01."""
    explorer = StepExplorer(learner(), TWO)
    before = explorer.figure
    explorer.rate.value = 0.01 + 9 * 0.01
    assert explorer.rate.value != 0.1 and explorer.figure is before
    explorer.rate.value = 0.11
    assert explorer.figure is not before


def test_what_a_reader_does_at_once_is_done_one_after_another():
    """JupyterLab delivers a drag and the slider's own message in two threads."""
    inside, met = [], []

    class Watched(StepExplorer):
        def draw(self):
            thread = get_ident()
            inside.append(thread)
            time.sleep(0.02)
            met.append({*inside} - {thread})
            super().draw()
            inside.remove(thread)

    explorer = Watched(learner(), TWO)
    places = [Thread(target=explorer.plot.wire._handle_custom_msg, args=({"place": [x, 0.0]}, [])) for x in (0.2, 0.9)]
    rates = [Thread(target=setattr, args=(explorer.rate, "value", rate)) for rate in (0.05, 0.2)]
    for thread in places + rates:
        thread.start()
    for thread in places + rates:
        thread.join(60)
    # Once at the beginning, twice for a drag (for the slider and for the dot), once for a rate; no draw was broken off.
    assert len(met) == 7 and not any(met) and not inside
    middle = np.mean([explorer.figure.layout.shapes[0].x0, explorer.figure.layout.shapes[0].x1])
    assert middle == pytest.approx(explorer.omega.value) and explorer.omega.value in (0.2, 0.9)


def test_the_learner_that_is_shown_is_left_as_it_is():
    own = learner()
    before = own.module.weight.item()
    StepExplorer(own, TWO).omega.value = 1.0
    assert own.module.weight.item() == before
