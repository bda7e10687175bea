"""The picture of the course: the ways are `adapt`'s own, the angles and gradients are right, and the controls do it."""

import numpy as np
import pytest
import torch

from minimeta.errors import InputError
from minimeta.grouping import alone, everyone, fixed_tree
from minimeta.inner import adapt
from minimeta.show import plane
from minimeta.tasks import branching_points


@pytest.fixture(scope="module")
def drawn():
    targets, episodes = branching_points(plane.TREE, shots=5, seed=13)
    return targets, episodes(0)


def test_the_targets_stay_and_the_examples_are_new():
    targets, episodes = branching_points(plane.TREE, shots=5, seed=1)
    again, _ = branching_points(plane.TREE, shots=50, seed=1)
    assert np.array_equal(targets, again) and targets.shape == (8, 2)
    first, second = (episodes(i).support[0]["x"] for i in (0, 1))
    assert (
        first.shape == (8, 5, 2) and not torch.equal(first, second) and torch.equal(first, episodes(0).support[0]["x"])
    )
    query = episodes(0).query
    assert torch.allclose(query["y"], query["x"] @ torch.tensor(targets[:, :, None], dtype=torch.float32), atol=1e-5)
    with pytest.raises(InputError, match="at least one shot"):
        branching_points(plane.TREE, shots=0)


def test_a_plentiful_gradient_points_to_the_target():
    """On many examples without noise the gradient is 2 (θ - target): one step with α = 1/2 arrives."""
    targets, episodes = branching_points(plane.TREE, shots=20_000, noise=0.0, seed=2)
    found = plane.ways(targets, episodes(0), alone(), steps=1, rate=0.5, omega=(1.0, -1.0))
    assert found.distances[1].max() < 0.02 * found.distances[0].max()
    assert found.angles.max() < 2


@pytest.mark.parametrize("grouping", [alone(), everyone(), fixed_tree(plane.TREE)])
def test_the_ways_are_those_of_adapt(drawn, grouping):
    targets, episode = drawn
    found = plane.ways(targets, episode, grouping, steps=4, rate=0.2, omega=(0.5, -0.5))
    assert found.places.shape == (5, 8, 2) and np.allclose(found.places[0], (0.5, -0.5))
    for k in range(1, 5):
        adapted = adapt(plane.point((0.5, -0.5)), episode, grouping, k, 0.2)
        assert adapted.labels == found.labels[k].tolist()
        for task in range(8):
            weight = adapted.of(task)["module.weight"].detach().flatten().numpy()
            assert np.allclose(found.places[k, task], weight, atol=1e-6)


def test_angles_are_measured_from_where_a_step_begins():
    places = np.array([[[0.0, 0.0]], [[1.0, 0.0]], [[1.0, 1.0]]])
    targets = np.array([[0.0, 1.0]])
    assert np.allclose(plane.angles_of(places, targets), [[90.0], [45.0]])


def test_steps_that_run_away_are_said_to(drawn):
    with pytest.raises(InputError, match="inner rate"):
        plane.ways(*drawn, alone(), steps=60, rate=1e9)


def test_the_picture_grows_with_its_slider(drawn):
    targets, episode = drawn
    runs = {name: plane.ways(targets, episode, grouping) for name, grouping in plane.usual_groupings().items()}
    figure = plane.picture(runs, "Eight tasks")
    assert [frame.name for frame in figure.frames] == ["0", "1", "2", "3", "4"]
    assert len(figure.data) == len(runs) * (4 * 8 + 2) == len(figure.frames[0].data)
    at_omega, whole = figure.frames[0].data, figure.frames[4].data
    assert all(np.ptp(trace.x) == np.ptp(trace.y) == 0 for trace in at_omega[:32])
    assert [trace.x for trace in whole[:32]] == [trace.x for trace in figure.data[:32]]
    trunk, twig = (figure.data[34 + i].line.width for i in (0, 31))  # the second run is the true tree
    assert trunk > 5 * twig
    left = figure.data[32]  # from where each task is to its target
    assert np.allclose(np.stack([left.x[1::3], left.y[1::3]], 1), targets, atol=1e-3)
    assert np.allclose(left.x[::3], runs["MAML"].places[-1, :, 0], atol=1e-3)
    with pytest.raises(InputError, match="same number of inner steps"):
        plane.picture({}, "")


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_the_outer_gradient_is_the_slope_of_the_outer_loss(rate):
    """Against central differences, and against (I - α H) times the query gradient at θ, equation 6 of XLA-MAML."""
    targets, episode = plane.crossed()
    found = plane.outer_gradient(episode, rate)
    x, y = (episode.support[0][axis][0].double().numpy() for axis in "xy")
    u, v = (episode.query[axis][0].double().numpy() for axis in "xy")

    def outer_loss(omega):
        theta = omega - rate * 2 / len(x) * x.T @ (x @ omega - y[:, 0])
        return ((u @ theta - v[:, 0]) ** 2).mean()

    slopes = [(outer_loss(1e-5 * e) - outer_loss(-1e-5 * e)) / 2e-5 for e in np.eye(2)]
    assert np.allclose(found.outer, slopes, rtol=1e-4)
    hessian = 2 / len(x) * x.T @ x
    assert np.allclose(found.outer, (np.eye(2) - rate * hessian) @ found.query, rtol=1e-4)
    assert np.allclose(found.theta, -rate * found.support, rtol=1e-5)
    assert targets.shape == (2, 2)


def test_a_tiny_inner_rate_is_no_inner_step():
    _, episode = plane.crossed()
    found = plane.outer_gradient(episode, 1e-5)
    assert np.allclose(found.outer, found.plain, rtol=1e-3)


def test_the_crossing_follows_its_slider():
    targets, episode = plane.crossed()
    rates = (0.01, 0.1, 0.3)
    figure = plane.crossing(targets, episode, rates, "XLA-MAML")
    assert [frame.name for frame in figure.frames] == ["0.01", "0.1", "0.3"]
    for rate, frame in zip(rates, figure.frames, strict=True):
        inner, query, outer, plain = frame.data
        found = plane.outer_gradient(episode, rate)
        assert np.allclose([inner.x[1], inner.y[1]], found.theta, atol=1e-3) and np.allclose(
            [query.x[0], query.y[0]], found.theta, atol=1e-3
        )
        assert np.allclose([outer.x[1], outer.y[1]], -found.outer / 4, atol=1e-3)
        assert np.allclose([plain.x[1], plain.y[1]], -found.plain / 4, atol=1e-3)


@pytest.mark.parametrize("omega", [(0.0, 0.0), (-9.0, 2.0)])
def test_omega_is_named_on_the_side_where_no_task_is(drawn, omega):
    targets, episode = drawn
    figure = plane.picture({"MAML": plane.ways(targets, episode, alone(), omega=omega)}, "")
    (words,) = [note for note in figure.layout.annotations if "ω" in note.text]
    shift, to_tasks = np.array([words.xshift, words.yshift]), targets.mean(0) - omega
    assert shift @ to_tasks < 0 and np.linalg.norm(shift) == pytest.approx(20)


def test_the_explorer_does_what_its_controls_say():
    explorer = plane.PlaneExplorer()
    before = explorer.figure.to_json()
    explorer.again.click()
    assert explorer.figure.to_json() != before
    explorer.grouping.value = "Fixed TreeMAML"
    targets, episodes = branching_points(plane.TREE, 5, seed=13)
    found = plane.ways(targets, episodes(1), fixed_tree(plane.TREE))
    assert f"{found.distances[-1].mean():.2f}" in explorer.words.value
    explorer.plot.hear(None, {"place": [1.0, -1.0]})
    shape = explorer.figure.layout.shapes[0]
    assert ((shape.x0 + shape.x1) / 2, (shape.y0 + shape.y1) / 2) == pytest.approx((1.0, -1.0)) and shape.editable
    explorer.home.click()
    assert explorer.omega == (0.0, 0.0)
    explorer.steps.value = 0
    assert explorer.words.value.count("–") == 4
    explorer.steps.value, explorer.rate.max, explorer.rate.value = 8, 1e9, 1e9
    assert explorer.words.value.count("the steps run away: lower α") == 4
