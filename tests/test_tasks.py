"""Episodes and the task families: what is drawn, and that its statistics are the ones that are stated."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from minimeta.errors import InputError
from minimeta.grouping import alone, everyone, fixed_tree, random_tree
from minimeta.inner import Learner, cross_entropy
from minimeta.outer import evaluate, meta_train
from minimeta.tasks import (
    balanced_tree,
    branching_curves,
    branching_directions,
    fourier,
    shuffled,
    sinusoids,
    tree_softmax,
)
from minimeta.trees import TaskTree

UNEVEN = TaskTree.from_newick("(a,(b,(c,d)),(e,f));")
SAMPLERS = {
    "sinusoids": lambda seed=0, **sizes: sinusoids(tasks=6, seed=seed, **sizes),
    "branching_curves": lambda seed=0, **sizes: branching_curves(UNEVEN, seed=seed, **sizes),
    "tree_softmax": lambda seed=0, **sizes: tree_softmax(UNEVEN, seed=seed, **sizes),
}
each_sampler = pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def tensors(episode):
    return [tensor for batch in (*episode.support, episode.query) for tensor in batch.values()]


def equal(one, two):
    return all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(two), strict=True))


def shared_variance(tree, a, b, spread):
    """The sum of spread[depth] ** 2 over the nodes above both leaves."""
    one, two = tree.paths()[a], tree.paths()[b]
    depths = [d for d, (up, also) in enumerate(zip(one, two, strict=False)) if up == also]
    return sum(spread[min(d, len(spread) - 1)] ** 2 for d in depths)


def features(x, frequencies):
    """Fourier features as the docstring states them."""
    x = np.asarray(x, float)
    waves = [wave(k * x) for wave in (np.sin, np.cos) for k in range(1, frequencies + 1)]
    return np.concatenate([np.full_like(x, 0.5**0.5), *waves], axis=-1)


def fitted(batch, frequencies=3):
    """The weights of each curve that pass through the points of a batch, (m, 2 * frequencies + 1)."""
    return (np.linalg.pinv(features(batch["x"], frequencies)) @ batch["y"].numpy())[..., 0]


@each_sampler
def test_an_episode_is_support_and_query(make):
    episode = make(shots=4, queries=7)(1)
    assert len(episode.tasks) == len(set(episode.tasks)) == 6 and len(episode.support) == 1
    for batch, size in ((episode.support[0], 4), (episode.query, 7)):
        assert list(batch) == ["x", "y"]
        assert batch["x"].shape[:2] == batch["y"].shape[:2] == (6, size)
        assert batch["x"].dtype == torch.float32


@pytest.mark.parametrize("name", ["branching_curves", "tree_softmax"])
def test_tasks_are_the_leaves_of_the_tree(name):
    assert SAMPLERS[name]()(1).tasks == UNEVEN.leaves


def test_shapes_and_types_of_each_family():
    for name in ("sinusoids", "branching_curves"):
        query = SAMPLERS[name](queries=7)(1).query
        assert query["x"].shape == query["y"].shape == (6, 7, 1) and query["y"].dtype == torch.float32
    query = tree_softmax(UNEVEN, queries=40, classes=4, dimensions=5)(1).query
    assert query["x"].shape == (6, 40, 5) and query["y"].shape == (6, 40)
    assert query["y"].dtype == torch.int64 and set(query["y"].flatten().tolist()) == {0, 1, 2, 3}


@each_sampler
def test_numbers_have_the_default_precision(make, double):
    episode = make()(1)
    assert episode.query["x"].dtype == torch.float64
    assert episode.query["y"].dtype in (torch.float64, torch.int64)


@each_sampler
def test_the_same_seed_and_step_give_the_same_episode(make):
    sampler = make(seed=3)
    first = sampler(5)
    sampler(6)
    assert equal(first, sampler(5)) and equal(first, make(seed=3)(5))
    assert first.tasks == sampler(6).tasks


@each_sampler
def test_another_step_or_seed_gives_another_episode(make):
    draws = [make(seed=seed)(step) for seed in range(3) for step in range(3)]
    for one, two in itertools.combinations(draws, 2):
        assert not torch.equal(one.query["y"], two.query["y"])
        assert not any(torch.equal(one.support[0][name], two.support[0][name]) for name in "xy")


@each_sampler
def test_drawing_leaves_the_global_generators_alone(make):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    make()(1)
    assert torch.equal(torch.get_rng_state(), before[0]) and (np.random.get_state()[1] == before[1]).all()


@each_sampler
def test_support_and_query_are_other_points(make):
    episode = make()(1)
    support, query = episode.support[0]["x"].flatten().tolist(), episode.query["x"].flatten().tolist()
    assert not set(support) & set(query)


def test_sinusoids_lie_on_a_sine_of_the_stated_amplitude(double):
    amplitudes, phases = [], []
    for step in range(20):
        episode = sinusoids(tasks=20, shots=6, queries=6)(step)
        x, y = (torch.cat([episode.support[0][name], episode.query[name]], dim=1).numpy() for name in "xy")
        waves = np.concatenate([np.sin(x), np.cos(x)], axis=-1)
        weights = np.linalg.pinv(waves) @ y
        np.testing.assert_allclose(waves @ weights, y, atol=1e-9)
        assert (abs(x) <= 5).all()
        amplitudes.append(np.hypot(weights[:, 0], weights[:, 1]).ravel())
        phases.append(np.arctan2(weights[:, 1], weights[:, 0]).ravel())
    for found, low, high in ((amplitudes, 0.1, 5), (phases, 0, np.pi)):
        values = np.concatenate(found)
        assert low - 1e-9 <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high + 1e-9
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.06 * (high - low))


def test_sinusoid_noise_has_its_size(double):
    clean, noisy = (sinusoids(tasks=200, shots=10, queries=10, noise=noise)(4) for noise in (0.0, 0.3))
    for one, two in ((clean.support[0], noisy.support[0]), (clean.query, noisy.query)):
        assert torch.equal(one["x"], two["x"])
        assert float((two["y"] - one["y"]).std()) == pytest.approx(0.3, rel=0.08)


def test_fourier_features_are_the_stated_ones(double):
    x = torch.linspace(-3, 3, 11).reshape(11, 1)
    np.testing.assert_allclose(fourier(x, 4).numpy(), features(x, 4), atol=1e-12)
    assert fourier(x.reshape(1, 11, 1).float(), 2).shape == (1, 11, 5)
    assert fourier(x.float(), 2).dtype == torch.float32


def test_a_balanced_tree_has_the_stated_children():
    tree = balanced_tree((3, 2))
    assert tree.newick() == "((0.0,0.1)'0',(1.0,1.1)'1',(2.0,2.1)'2');"
    assert balanced_tree().depth == 3 and len(balanced_tree().leaves) == 8
    assert balanced_tree((1, 4)).newick() == "((0.0,0.1,0.2,0.3)'0');"


@pytest.fixture(scope="module", params=["balanced", "uneven"])
def many_curves(request):
    """The weights of 500 episodes, each feature divided by its standard deviation in a unit step."""
    tree, spread = {"balanced": (balanced_tree(), (0.5, 1.0, 0.7, 0.4)), "uneven": (UNEVEN, (0.6, 1.2))}[request.param]
    sampler = branching_curves(tree, shots=1, queries=30, spread=spread, seed=11)
    scale = 1 / np.array([1, 1, 2, 3, 1, 2, 3])
    return tree, spread, np.stack([fitted(sampler(step).query) for step in range(500)]) / scale


def test_curves_covary_as_the_tree_says(many_curves):
    tree, spread, weights = many_curves
    draws = weights.shape[0] * weights.shape[2]
    for (i, a), (j, b) in itertools.combinations_with_replacement(enumerate(tree.leaves), 2):
        own = [shared_variance(tree, leaf, leaf, spread) for leaf in (a, b)]
        shared = shared_variance(tree, a, b, spread)
        error = ((own[0] * own[1] + shared**2) / draws) ** 0.5
        assert abs((weights[:, i] * weights[:, j]).mean() - shared) < 4 * error, (a, b)


def test_correlation_grows_with_the_shared_path(many_curves):
    tree, _, weights = many_curves
    correlation = np.corrcoef(weights.transpose(1, 0, 2).reshape(len(tree.leaves), -1))
    by_shared = {}
    for (i, a), (j, b) in itertools.combinations(enumerate(tree.leaves), 2):
        shared = sum(up == also for up, also in zip(tree.paths()[a], tree.paths()[b], strict=False))
        by_shared.setdefault(shared, []).append(correlation[i, j])
    means = [np.mean(by_shared[shared]) for shared in sorted(by_shared)]
    assert len(means) == tree.depth and all(near > far + 0.1 for far, near in itertools.pairwise(means))


def test_every_feature_has_the_variance_of_its_frequency(many_curves):
    tree, spread, weights = many_curves
    for i, leaf in enumerate(tree.leaves):
        expected = shared_variance(tree, leaf, leaf, spread)
        np.testing.assert_allclose((weights[:, i] ** 2).mean(0), expected, rtol=4.2 * (2 / len(weights)) ** 0.5)


def test_features_and_episodes_are_drawn_apart(many_curves):
    _, _, weights = many_curves
    limit = 4.2 / len(weights) ** 0.5
    for leaf in weights.transpose(1, 2, 0):
        assert abs(np.corrcoef(leaf) - np.eye(len(leaf))).max() < limit
        assert all(abs(np.corrcoef(feature[1:], feature[:-1])[0, 1]) < limit for feature in leaf)


def test_query_points_lie_on_the_curve_and_support_carries_noise(double):
    errors = []
    for step in range(60):
        episode = branching_curves(balanced_tree(), shots=10, queries=20, noise=0.5, seed=2)(step)
        support, query, weights = episode.support[0], episode.query, fitted(episode.query)[..., None]
        np.testing.assert_allclose(features(query["x"], 3) @ weights, query["y"].numpy(), atol=1e-8)
        errors.append(support["y"].numpy() - features(support["x"], 3) @ weights)
        assert abs(support["x"]).max() <= np.pi and abs(query["x"]).max() <= np.pi
    errors = np.stack(errors)[..., 0]
    assert errors.mean() == pytest.approx(0, abs=4 * 0.5 / errors.size**0.5)
    assert errors.std() == pytest.approx(0.5, rel=4 / (2 * errors.size) ** 0.5)
    between = np.corrcoef(errors.transpose(1, 0, 2).reshape(8, -1)) - np.eye(8)
    assert abs(between).max() < 4.2 / (errors.size / 8) ** 0.5


def test_query_points_stand_on_an_even_grid(double):
    x = branching_curves(UNEVEN, queries=20)(1).query["x"]
    assert all(torch.equal(x[0], other) for other in x)
    np.testing.assert_allclose(np.diff(x[0, :, 0], 2), 0, atol=1e-12)
    assert abs(x).max() <= np.pi and x.max() - x.min() >= 2 * np.pi * 0.9


def test_curves_without_noise_fit_their_support(double):
    episode = branching_curves(UNEVEN, shots=8, queries=20, noise=0.0, frequencies=2)(3)
    np.testing.assert_allclose(fitted(episode.support[0], 2), fitted(episode.query, 2), atol=1e-7)


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def regression(x, y, classes):
    """The class weights under which the labels are most likely, by Newton steps: (..., classes, dimensions).

    Only differences between classes can be seen in labels, so the weights of the classes sum to 0.
    """
    x, told = np.asarray(x, float), np.eye(classes)[np.asarray(y)]
    weights = np.zeros((*x.shape[:-2], classes, x.shape[-1]))
    for _ in range(12):
        p = softmax(x @ weights.swapaxes(-1, -2))
        slope = np.einsum("...nc,...nd->...cd", told - p, x)
        blocks = np.einsum("...nc,ce->...nce", p, np.eye(classes)) - p[..., None] * p[..., None, :]
        bend = np.einsum("...nce,...nd,...nf->...cdef", blocks, x, x, optimize=True)
        size = classes * x.shape[-1]
        step = np.linalg.pinv(bend.reshape(*bend.shape[:-4], size, size)) @ slope.reshape(*slope.shape[:-2], size, 1)
        weights = weights + step.reshape(weights.shape)
    return weights - weights.mean(-2, keepdims=True)


def test_labels_follow_the_softmax():
    tree = TaskTree.from_newick("(a,b);")
    sampler = tree_softmax(tree, shots=1, queries=60_000, dimensions=2, spread=(1.0, 0.5), seed=1)
    weights = regression(sampler(1).query["x"], sampler(1).query["y"], 3)
    fresh = sampler(2).query
    p = softmax(fresh["x"].numpy() @ weights.swapaxes(1, 2))
    y = fresh["y"].numpy()
    for task, label in itertools.product(range(2), range(3)):
        for part in p[task, :, label].argsort().reshape(12, -1):
            said = p[task, part, label]
            error = (1.1 * (said * (1 - said)).mean() / len(part)) ** 0.5
            assert abs((y[task, part] == label).mean() - said.mean()) < 4 * error


def test_labels_without_weights_are_even():
    y = tree_softmax(UNEVEN, queries=5000, classes=4, spread=(0.0,))(1).query["y"].flatten().numpy()
    np.testing.assert_allclose(np.bincount(y) / len(y), 0.25, atol=4 * (0.1875 / len(y)) ** 0.5)


def test_class_weights_stay_from_episode_to_episode():
    sampler = tree_softmax(UNEVEN, shots=1, queries=4000, dimensions=2, spread=(0.5, 0.5, 0.5), seed=1)
    one, two = (regression(sampler(step).query["x"], sampler(step).query["y"], 3) for step in (1, 9))
    np.testing.assert_allclose(one, two, atol=0.2)
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.99


def test_class_weights_covary_as_the_tree_says():
    spread, found = (0.5, 0.6, 0.4), []
    for seed in range(120):
        query = tree_softmax(UNEVEN, shots=1, queries=600, dimensions=2, spread=spread, seed=seed)(1).query
        found.append(regression(query["x"], query["y"], 3))
    weights = np.stack(found)
    covariance = np.einsum("sicd,sjcd->ij", weights, weights) / (120 * 2 * 2)  # 2 free classes, 2 dimensions
    for (i, a), (j, b) in itertools.combinations_with_replacement(enumerate(UNEVEN.leaves), 2):
        expected = shared_variance(UNEVEN, a, b, spread)
        assert covariance[i, j] == pytest.approx(expected, abs=0.17), (a, b)


def test_examples_are_standard_normal():
    x = tree_softmax(UNEVEN, queries=2000, dimensions=5)(1).query["x"].numpy()
    flat = x.transpose(2, 0, 1).reshape(5, -1)
    np.testing.assert_allclose(np.cov(flat), np.eye(5), atol=4.5 * (2 / flat.shape[1]) ** 0.5)
    np.testing.assert_allclose(flat.mean(1), 0, atol=4 / flat.shape[1] ** 0.5)


def test_the_first_episode_knows_nothing_of_the_weights():
    labels = np.stack([tree_softmax(TaskTree("a"), seed=seed)(0).support[0]["y"][0, :3] for seed in range(60)])
    assert (labels == [0, 1, 2]).mean() < 0.6


@each_sampler
@pytest.mark.parametrize("sizes", [{"shots": 0}, {"queries": 0}], ids=str)
def test_an_episode_without_support_or_query_raises(make, sizes):
    with pytest.raises(InputError, match="at least one shot and one query") as raised:
        make(**sizes)(1)
    assert "\n" not in str(raised.value)


@each_sampler
@pytest.mark.parametrize("sizes", [{"shots": -99}, {"queries": -2}], ids=str)
def test_a_negative_size_raises(make, sizes):
    with pytest.raises(InputError):
        make(**sizes)(1)


@pytest.mark.parametrize("family", [branching_curves, tree_softmax])
def test_an_empty_spread_raises(family):
    with pytest.raises(InputError, match="spread"):
        family(UNEVEN, spread=())(1)


def test_the_tree_wins_on_softmax_regression_too():
    """Each method at its best of the rates 0.1, 0.3, 1 and 3; the figures stand in notebook 02."""
    tree, wins = balanced_tree((2, 2, 4)), {}

    def accuracy(grouping, rate, seed):
        torch.manual_seed(seed)
        learner, sampler = Learner(nn.Linear(20, 3), cross_entropy), tree_softmax(tree, shots=9, seed=seed)
        list(meta_train(learner, sampler, grouping, 4, rate, outer_steps=30, outer_rate=3e-2))
        new = [sampler(10_000 + i) for i in range(20)]
        results = evaluate(learner, new, grouping, 4, rate)
        right = [(r.outputs.argmax(-1) == e.query["y"]).float().mean() for r, e in zip(results, new, strict=True)]
        return 100 * torch.stack(right).mean().item()

    for seed in range(3):
        others = {"MAML": alone(), "Random tree": random_tree(tree, seed), "Everyone": everyone()}
        best = accuracy(fixed_tree(tree), 1.0, seed)
        for name, grouping in others.items():
            wins.setdefault(name, []).append(best - accuracy(grouping, 0.3, seed))
    for name, (low, high) in {"MAML": (1.6, 2.5), "Random tree": (2.6, 4.4), "Everyone": (3.6, 5.5)}.items():
        assert low - 0.6 < min(wins[name]) and max(wins[name]) < high + 0.6, (name, wins)


def test_branching_directions_are_unit_and_alike_where_the_tree_says_so():
    tree = balanced_tree((2, 3, 6))
    vectors = branching_directions(tree, spread=(0.8, 0.9), dimensions=2000)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    similar = (vectors @ vectors.T).reshape(2, 3, 6, 2, 3, 6)
    branch, family, beyond = similar[0, 0, 0, 0, 0, 1], similar[0, 0, 0, 0, 1, 0], similar[0, 0, 0, 1, 0, 0]
    # Nearly orthogonal steps: what two tasks share, over their lengths.
    assert branch == pytest.approx(1 / 1.81, abs=0.05) and abs(beyond) < 0.1
    assert family == pytest.approx(1 / 1.64 / 1.81, abs=0.05)
    np.testing.assert_array_equal(vectors, branching_directions(tree, (0.8, 0.9), 2000))
    assert not np.allclose(vectors, branching_directions(tree, (0.8, 0.9), 2000, seed=1))


def test_branching_directions_stop_where_a_branch_does():
    tree = TaskTree.from_newick("(a,(b,c)x);")
    vectors = branching_directions(tree, (0.1,), dimensions=200)
    assert vectors.shape == (3, 200) and vectors[1] @ vectors[2] > 0.9 > vectors[0] @ vectors[1]
    with pytest.raises(InputError, match="a spread for each of 1 levels"):
        branching_directions(tree, (0.1, 0.2))


def test_shuffled_tasks_keep_their_data():
    plain = branching_curves(balanced_tree((2, 2, 2)), shots=3, seed=4)
    mixed = shuffled(plain, seed=4)
    orders = set()
    for step in range(3):
        one, other = plain(step), mixed(step)
        orders.add(other.tasks)
        for place, task in enumerate(other.tasks):
            own = one.tasks.index(task)
            assert torch.equal(other.support[0]["y"][place], one.support[0]["y"][own])
            assert torch.equal(other.query["x"][place], one.query["x"][own])
    assert len(orders) == 3 and mixed(1).tasks == shuffled(plain, seed=4)(1).tasks
