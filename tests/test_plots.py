"""Figures and widgets without a browser: the data that they draw, and what a slider changes."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from minimeta.errors import InputError
from minimeta.grouping import alone
from minimeta.inner import Learner, adapt, squared_error
from minimeta.outer import meta_train
from minimeta.show import plots
from minimeta.show.plots import SinusoidExplorer
from minimeta.show.style import COLOURS, LOOKS, forest, looks
from minimeta.tasks import balanced_tree, sinusoids

TREE = balanced_tree((2, 2, 2))


def test_names_that_are_no_methods_are_told_apart():
    """Never by a method's look, and first by hues that are far from each other."""
    found = list(looks(["one", "two", "three", "four", "MAML"]).values())
    assert len(set(found)) == 5 and not set(found[:4]) & set(LOOKS.values()) and found[4] == LOOKS["MAML"]
    red, brown = "#D55E00", "#A6611A"
    assert not {(red, "solid"), (brown, "solid")} <= set(looks(map(str, range(20))).values())


def network(seed=0):
    torch.manual_seed(seed)
    return Learner(nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)), squared_error)


def test_adaptation_data_are_the_adapted_predictions():
    learner, episode, grid = network(), sinusoids(tasks=3)(0), torch.linspace(-5, 5, 11)
    curves = plots.adaptation_data(learner, episode, grid, steps=4, rate=0.05)
    assert curves.shape == (5, 3, 11)
    adapted = adapt(learner, episode, alone(), 4, 0.05).of(1)
    inside = {name.removeprefix("module."): value for name, value in adapted.items()}
    expected = torch.func.functional_call(learner.module, inside, (grid[:, None],))[:, 0]
    torch.testing.assert_close(curves[4, 1], expected.detach())


def test_an_adaptation_figure_has_a_line_per_step():
    grid = torch.linspace(-5, 5, 11)
    figure = plots.adaptation(grid, torch.zeros(4, 11), (torch.zeros(3), torch.ones(3)), truth=grid)
    assert [trace.name for trace in figure.data] == [
        "truth", "ω, before any step", "after step 1", "after step 2", "after step 3", "support (shots)"
    ]  # fmt: skip


def test_the_training_figure_smooths_over_the_last_steps():
    reports = list(meta_train(network(), sinusoids(tasks=2), alone(), 1, 0.01, 5))
    figure = plots.training({"run": reports}, smooth=2)
    losses = [report.outer_loss for report in reports]
    expected = [losses[0], *[(a + b) / 2 for a, b in itertools.pairwise(losses)]]
    assert list(figure.data[0].y) == pytest.approx(expected)


def test_lines_show_the_mean_and_the_range_of_the_seeds():
    figure = plots.lines({"method": {0.1: [1.0, 3.0], 0.2: [2.0, 2.0]}}, "title", "x", "y")
    band, line = figure.data
    assert list(line.y) == [2.0, 2.0]
    assert list(band.y) == [3.0, 2.0, 2.0, 1.0]


def test_a_logarithmic_axis_leaves_nothing_out():
    assert plots.lines({"method": {0: [1.0], 1: [2.0]}}, "title", "x", "y", log=False).data[1].x == (0, 1)
    with pytest.raises(InputError, match="no place for 0; leave it out, or choose log=False"):
        plots.lines({"method": {0: [1.0], 1: [2.0]}}, "title", "x", "y")


def test_the_landscape_marks_the_lowest_start_of_each_rate():
    figure = plots.landscape(torch.tensor([0.0, 1.0, 2.0]), {0.1: [3.0, 1.0, 2.0], 0.2: [0.5, 1.0, 2.0]})
    best = [(trace.x[0], trace.y[0]) for trace in figure.data if trace.name == "best start"]
    assert best == [(1.0, 1.0), (0.0, 0.5)]
    shown = [step.args[0]["visible"] for step in figure.layout.sliders[0].steps]
    assert shown == [[True, True, True, True, False, False], [True, True, False, False, True, True]]


def test_gains_stand_in_the_row_of_their_name():
    nan = float("nan")
    figure = forest({"ours": {"a": (1, -1, 4), "b": (2, 1, 3)}, "theirs": {"b": (0.5, nan, nan)}}, "gains")
    ours, theirs = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["a", "b"]
    assert np.round(ours.y).tolist() == [0, 1] and np.round(theirs.y).tolist() == [1] and ours.y[1] != theirs.y[0]
    assert list(ours.x) == [1, 2]
    assert list(ours.error_x.array) == [3, 1] and list(ours.error_x.arrayminus) == [2, 1]
    assert theirs.error_x.array is None
    _, seeds, _ = forest({"ours": {"a": (1, -1, 4, 0.5, 1.5), "b": (2, 1, 3)}, "theirs": {"b": (1, 0, 2)}}, "").data
    assert list(seeds.x) == [0.5, 1.5] and seeds.y[0] == seeds.y[1] == ours.y[0] and not seeds.showlegend
    with pytest.raises(InputError, match="nothing to draw"):
        forest({}, "gains")


def test_a_method_has_its_colour_and_other_groups_those_that_differ_most():
    gain = {"a": (1, 0, 2)}
    colours = [trace.marker.color for trace in forest({"German": gain, "Chinese": gain}, "").data]
    assert colours == list(COLOURS[:2])
    colours = [trace.marker.color for trace in forest({"X-MAML − Joint": gain, "Joint − Baseline": gain}, "").data]
    assert colours == [LOOKS["X-MAML"][0], LOOKS["Joint"][0]]
    rows = plots.dots({"X-MAML, α = 0.02": [1.0], "X-MAML, α = 0.2": [2.0], "anything": [3.0]}, "", "").data[::2]
    assert [row.marker.color == LOOKS["X-MAML"][0] for row in rows] == [True, True, False]


def test_the_sliders_adapt_again():
    explorer = SinusoidExplorer({"one": network(0), "two": network(1)})
    explorer.steps.value = 0
    truth, before, after = (np.array(trace.y) for trace in explorer.figure.data[:3])
    assert np.array_equal(before, after)
    explorer.steps.value = 5
    assert not np.allclose(explorer.figure.data[2].y, before)
    assert np.allclose(explorer.figure.data[1].y, before)
    explorer.shots.value = 3
    assert len(explorer.figure.data[-1].x) == 3
    explorer.wave.value = 4
    assert not np.allclose(explorer.figure.data[0].y, truth)
    error = np.square(np.array(explorer.figure.data[2].y) - np.array(explorer.figure.data[0].y)).mean()
    assert f"<b>{error:.2f}</b> after" in explorer.error.value


@pytest.mark.parametrize("scale", [1e4, 1e18])
def test_steps_that_run_away_are_said_in_words(scale):
    explorer = SinusoidExplorer({"one": network()})
    for parameter in explorer.learners["one"].parameters():
        parameter.data *= scale
    explorer.rate.value = 0.1
    assert "lower the inner rate" in explorer.error.value


def test_a_bar_for_each_name_with_its_number():
    figure = plots.bars({"one": 0.00123, "two": 12.0}, "Title", "hours", ".1e", log=True)
    (bar,) = figure.data
    assert list(bar.y) == ["one", "two"] and list(bar.x) == [0.00123, 12.0] and list(bar.text) == ["1.2e-03", "1.2e+01"]
    assert figure.layout.xaxis.type == "log" and figure.layout.yaxis.autorange == "reversed"
