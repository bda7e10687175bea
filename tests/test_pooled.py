"""Curves that share their first steps: data from adapt, families that keep their hue, one step shown at a time."""

import numpy as np
import pytest
import torch

from minimeta.grouping import alone, everyone, fixed_tree
from minimeta.inner import Learner, adapt, squared_error
from minimeta.show import pooled
from minimeta.show.style import family_colours
from minimeta.tasks import FourierRegression, balanced_tree, branching_curves

TREE = balanced_tree((2, 2, 2))
GRID = torch.linspace(-3, 3, 5)


@pytest.fixture(scope="module")
def drawn():
    torch.manual_seed(0)
    return Learner(FourierRegression(), squared_error), branching_curves(TREE)(0)


@pytest.mark.parametrize("grouping", [alone(), everyone(), fixed_tree(TREE)])
def test_the_data_are_the_adapted_predictions(drawn, grouping):
    found = pooled.pooled_data(*drawn, GRID, grouping, steps=3, rate=0.3)
    learner, episode = drawn
    for k in range(4):
        adapted = adapt(learner, episode, grouping, k, 0.3)
        for task, curve in enumerate(found.predictions[k]):
            own = {name: value.detach() for name, value in adapted.of(task).items()}
            expected = torch.func.functional_call(learner, own, ({"x": GRID[:, None], "y": torch.zeros(5, 1)},))
            assert torch.allclose(curve.square(), expected, atol=1e-5)  # the squared error against 0
    assert found.labels.shape == (4, 8) and not found.labels[0].any()


def test_one_step_is_shown_at_a_time_in_its_clusters_colours(drawn):
    learner, episode = drawn
    found = pooled.pooled_data(learner, episode, GRID, fixed_tree(TREE), rate=0.3)
    figure = pooled.pooled_steps(episode, GRID, found, found.predictions[-1], "Tree", TREE)
    assert figure.layout.sliders[0].active == 0 and figure.layout.title.text == "Tree"
    shown = {trace.name: trace for trace in figure.data if trace.name in episode.tasks}
    for i, task in enumerate(episode.tasks):  # it opens at ω
        assert np.allclose(shown[task].y, found.predictions[0, i], atol=1e-3)
    for k, clusters in enumerate((1, 1, 2, 4, 4)):
        *curves, nodes = figure.frames[k].data
        assert len({curve.line.color for curve in curves}) == clusters  # the tasks of a pair have one colour
        assert len(set(nodes.y)) == len(set(found.labels[k])) and set(nodes.x) == {k}
        assert all(np.allclose(c.y, p, atol=1e-3) for c, p in zip(curves, found.predictions[k], strict=True))
        assert [figure.data[trace].name for trace in figure.frames[k].traces[:-1]] == list(episode.tasks)
    widths = [trace.line.width for trace in figure.data if trace.xaxis == "x2" and trace.mode == "lines"]
    assert len(widths) == 1 + 2 + 4 + 8 and max(widths) == 9.5 and min(widths) == 2.5


def test_families_keep_their_hue(drawn):
    colours = family_colours(TREE.leaves, TREE)
    blues, reds = colours[:4], colours[4:]
    assert (blues[:, 2] > blues[:, 0]).all() and (reds[:, 0] > reds[:, 2]).all()
    assert len(np.unique(colours, axis=0)) == 4


def test_a_family_has_a_line_of_its_own_look_for_each_task(drawn):
    _, episode = drawn
    figure = pooled.family(TREE, episode, GRID, torch.zeros(8, 5))
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == 8
