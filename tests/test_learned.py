"""Learned TreeMAML: what a task's gradient is, what a sketch keeps, and which clusters are made of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minimeta.errors import InputError
from minimeta.grouping import alone, fixed_tree, learned_tree, regroup
from minimeta.inner import Learner, adapt, squared_error
from minimeta.outer import evaluate
from minimeta.sketch import SKETCH, sketch, task_gradients
from minimeta.tasks import Episode, FourierRegression, balanced_tree, branching_curves

TREE = balanced_tree((2, 2, 2))


def learner():
    torch.manual_seed(0)
    return Learner(FourierRegression(), squared_error)


def planted(rng, groups=3, each=5, size=16, spread=0.3):
    """Vectors in groups that have nothing in common, in a random order, and their groups."""
    centres = 4 * np.linalg.qr(rng.standard_normal((size, size)))[0][:groups]
    group = rng.permutation(np.repeat(np.arange(groups), each))
    return centres[group] + spread * rng.standard_normal((len(group), size)), group.tolist()


def same_blocks(one, other):
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


@pytest.mark.parametrize("at_once", [1, 30, 2**26], ids=["one by one", "four", "all"])
def test_the_gradients_are_those_of_each_task_alone(monkeypatch, at_once):
    monkeypatch.setattr("minimeta.sketch._AT_ONCE", at_once)
    episode, model = branching_curves(TREE)(0), learner()
    adapted = adapt(model, episode, fixed_tree(TREE), 2, 0.1)
    support = episode.support[0]
    found = task_gradients(model, adapted.parameters, adapted.labels, support)
    for task, row in enumerate(found):
        own = {name: value.detach().requires_grad_() for name, value in adapted.of(task).items()}
        loss = torch.func.functional_call(model, own, ({name: value[task] for name, value in support.items()},)).mean()
        (gradient,) = torch.autograd.grad(loss, own.values())
        np.testing.assert_allclose(row, gradient.flatten().numpy(), rtol=1e-5, atol=1e-7)


def test_a_short_gradient_is_kept_and_a_long_one_folded():
    parts = [torch.randn(3, 4, 5), torch.randn(3, 7)]
    assert np.array_equal(sketch(parts), torch.cat([part.flatten(1) for part in parts], 1).numpy())
    assert sketch([torch.randn(2, 30_000)]).shape == (2, SKETCH)
    flat, columns = torch.randn(3, 40, 50), torch.randn(3, 70, 60).transpose(1, 2)
    strung = torch.cat([flat.flatten(1), columns.flatten(1)], 1)
    assert np.array_equal(sketch([flat, columns]), sketch([strung]))  # parts in any layout, to the last bit


def test_a_sketch_keeps_cosines():
    """The error of an inner product is near |g| |h| / sqrt(SKETCH): 0.03, and four times that is a bound."""
    rng = np.random.default_rng(0)
    base, others = rng.standard_normal(50_000), rng.standard_normal((20, 50_000))
    share = np.linspace(0, 1, 20)[:, None]
    long = share * base + (1 - share) * others
    short = sketch([torch.from_numpy(long)])

    def cosines(rows):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit @ unit.T

    off = np.abs(cosines(short) - cosines(long))
    assert off.max() < 4 / np.sqrt(SKETCH)
    assert off.mean() < 1 / np.sqrt(SKETCH)


def test_planted_groups_are_found_within_each_parent():
    rng = np.random.default_rng(1)
    vectors, group = planted(rng)
    tasks = [f"task {i}" for i in range(len(group))]
    labels, *_ = regroup(learned_tree(), 1, tasks, [0] * len(group), lambda: vectors)
    assert same_blocks(labels, group)
    halves = [i % 2 for i in range(len(group))]
    labels, origin, _ = regroup(learned_tree(), 2, tasks, halves, lambda: vectors)
    assert same_blocks(labels, list(zip(group, halves, strict=True)))
    assert [origin[label] for label in labels] == halves


def test_one_tree_from_the_first_step():
    """All pooled at step 1, then the levels of the tree, whatever the later gradients are."""
    rng = np.random.default_rng(2)
    vectors, group = planted(rng)
    tasks, grouping = [str(i) for i in range(len(group))], learned_tree(depth=2)
    first, *_ = regroup(grouping, 1, tasks, [0] * len(group), lambda: vectors)
    assert set(first) == {0}
    second, *_ = regroup(grouping, 2, tasks, first)
    assert same_blocks(second, group)
    third, *_ = regroup(grouping, 3, tasks, second)
    assert third == list(range(len(group)))
    other = rng.permutation(len(group))
    regroup(grouping, 1, tasks, [0] * len(group), lambda: vectors[other])  # a new episode, a new tree
    assert same_blocks(regroup(grouping, 2, tasks, first)[0], [group[i] for i in other])


def test_a_later_step_asked_for_first_raises():
    with pytest.raises(InputError, match="step 2 was asked for first; begin with step 1"):
        regroup(learned_tree(depth=3), 2, ["a", "b"], [0, 0], lambda: np.eye(2))


@pytest.mark.parametrize("depth", [None, 3])
def test_a_task_without_data_or_gradient_stays_alone(depth):
    rng = np.random.default_rng(3)
    vectors, group = planted(rng)
    vectors[4] = 0
    tasks, grouping = [str(i) for i in range(len(group) + 2)], learned_tree(depth=depth)
    labels = [0] * len(tasks)
    for step in (1, 2, 3):
        labels, *_ = regroup(grouping, step, tasks, labels, lambda: vectors)
        for lonely in (4, len(tasks) - 2, len(tasks) - 1):
            assert labels.count(labels[lonely]) == 1


@pytest.mark.parametrize("depth", [None, 3])
def test_without_any_gradient_everyone_is_alone(depth):
    grouping, labels = learned_tree(depth=depth), [0, 0]
    for step in (1, 2):
        labels, *_ = regroup(grouping, step, ["a", "b"], labels, lambda: np.zeros((2, 5)))
        assert labels == [0, 1]


def test_outside_adapt_there_are_no_gradients():
    with pytest.raises(InputError, match="adapt"):
        learned_tree()(1, ["a", "b"], [0, 0])


@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([None, 2, 4]))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_labels_refine_their_parents_whatever_the_gradients(seed, count, depth):
    rng = np.random.default_rng(seed)
    grouping, labels = learned_tree(depth=depth), [0] * count
    for step in (1, 2, 3):
        vectors = rng.standard_normal((count, 3)) * rng.integers(0, 2, (count, 1))
        labels, *_ = regroup(grouping, step, [str(i) for i in range(count)], labels, lambda v=vectors: v)


def test_the_target_is_placed_among_the_training_tasks():
    """The last task has the support of another one: it takes every step with it."""
    episode = branching_curves(TREE, shots=20)(0)
    support = {name: torch.cat([value, value[5:6]]) for name, value in episode.support[0].items()}
    query = {name: value[5:6] for name, value in episode.query.items()}
    adapted = adapt(learner(), Episode((*episode.tasks, "target"), (support,), query), learned_tree(), 3, 0.3)
    assert adapted.labels[-1] == adapted.labels[5]


def test_learned_clusters_pool_better_than_none_and_near_the_true_tree():
    """Branching curves, 20 shots, ω = 0, five seeds: the mean query error after four steps."""
    model = learner()
    with torch.no_grad():
        model.module.weights.weight.zero_()

    def error(grouping, seed):
        episodes = [branching_curves(TREE, shots=20, seed=seed)(i) for i in range(12)]
        return np.mean([float(result.losses.mean()) for result in evaluate(model, episodes, grouping, 4, 0.7)])

    learned, none = ([error(grouping, seed) for seed in range(5)] for grouping in (learned_tree(), alone()))
    assert all(one < other for one, other in zip(learned, none, strict=True))
