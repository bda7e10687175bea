"""A memory of who is like whom: what is kept, when, for how long, and the tree that grows from it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import complaint

from minimeta.grouping import learned_tree
from minimeta.inner import Learner, adapt, squared_error
from minimeta.memory import LIMIT, Memory
from minimeta.otd import grow
from minimeta.outer import evaluate, meta_train
from minimeta.sketch import task_gradients
from minimeta.tasks import Episode, FourierRegression, balanced_tree, branching_curves

TREE = balanced_tree((2, 2, 2))
HALVES, PAIRS = ({leaf: leaf[:letters] for leaf in TREE.leaves} for letters in (1, 3))


def of(vectors):
    return vectors @ vectors.T


def centred(gradients):
    whole = gradients - gradients.mean(0)
    return whole / np.linalg.norm(whole, axis=1, keepdims=True)


# What is kept


def test_what_is_known_of_a_pair_is_the_mean_of_its_cosines():
    rng = np.random.default_rng(0)
    episodes = [rng.standard_normal((4, 6)) for _ in range(3)]
    episodes = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in episodes]  # all count the same
    memory, names = Memory(fading=1.0), list("abcd")
    for gradients in episodes:
        found, vectors = memory.look(names, gradients)
        assert found == names
        memory.remember()
    expected = np.mean([of(centred(gradients)) for gradients in episodes], axis=0)
    assert of(vectors) == pytest.approx(expected, abs=1e-9)


@given(st.floats(0.1, 1.0), st.integers(1, 6))
def test_older_episodes_count_less(fading, steps):
    rng = np.random.default_rng(steps)
    memory = Memory(fading)
    cosines = []
    for _ in range(steps):
        gradients = rng.standard_normal((3, 8))
        gradients /= np.linalg.norm(gradients, axis=1, keepdims=True)
        memory.look(list("abc"), gradients)
        memory.remember()
        cosines.append(of(centred(gradients)))
    counts = fading ** np.arange(steps)[::-1]
    expected = np.tensordot(counts, cosines, 1) / counts.sum()
    assert memory.sums / memory.counts == pytest.approx(expected)
    assert memory.counts == pytest.approx(np.full((3, 3), counts.sum()))


def test_a_small_gradient_counts_less():
    gradients = np.diag([1.0, 1.0, 1.0, 0.1])
    memory = Memory()
    memory.look(list("abcd"), gradients)
    memory.remember()
    assert memory.counts[0] == pytest.approx([1, 1, 1, 0.1]) and memory.counts[3, 3] == pytest.approx(0.01)


def test_tasks_with_one_key_are_one():
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((5, 7))
    memory = Memory(key=lambda task: task.split("/")[0])
    names, vectors = memory.look(["de/a", "fr/a", "de/b", "el/a", "fr/b"], gradients)
    assert names == ["de", "fr", "el"]
    together = np.stack([gradients[[0, 2]].mean(0), gradients[[1, 4]].mean(0), gradients[3]])
    assert of(vectors) == pytest.approx(of(centred(together)), abs=1e-9)


def test_nothing_is_kept_unless_it_is_to_be_remembered():
    memory, rng = Memory(), np.random.default_rng(0)
    memory.remember()
    assert memory.names == []
    for _ in range(3):
        memory.look(list("abc"), rng.standard_normal((3, 5)))
    assert memory.names == [] and memory.counts.size == 0
    memory.remember()
    kept = memory.counts.copy()
    memory.remember()  # of the same episode only once
    assert np.array_equal(memory.counts, kept) and memory.names == list("abc")


def test_who_has_no_past_comes_last_and_who_is_away_is_kept():
    memory, rng = Memory(fading=0.5), np.random.default_rng(0)
    memory.look(list("abc"), np.eye(3))
    memory.remember()
    before = memory.sums.copy()
    names, _ = memory.look(["new", "c", "other", "a"], rng.standard_normal((4, 3)))
    assert names == ["c", "a", "new", "other"]
    memory.remember()
    assert memory.names == ["b", "c", "a", "new", "other"]
    assert memory.sums[0, 1:3] == pytest.approx(0.5 * before[1, [2, 0]])  # of b and c, of b and a
    assert not memory.counts[0, 3:].any()  # b was never met by the new ones


def test_memory_is_bounded():
    memory = Memory()
    for start in range(0, LIMIT + 200, 100):
        names = [f"task{i}" for i in range(start, start + 100)]
        memory.look(names, np.random.default_rng(start).standard_normal((100, 4)))
        memory.remember()
    assert memory.counts.shape == memory.sums.shape == (LIMIT, LIMIT)
    assert memory.names[0] == "task200" and memory.names[-1] == f"task{LIMIT + 199}"


def test_what_is_remembered_goes_through_a_file(tmp_path):
    rng, one, other = np.random.default_rng(0), Memory(), Memory()
    for _ in range(3):
        one.look(list("abcd"), rng.standard_normal((4, 9)))
        one.remember()
    torch.save(one.state_dict(), tmp_path / "memory.pt")
    other.load_state_dict(torch.load(tmp_path / "memory.pt", weights_only=True))
    gradients = rng.standard_normal((4, 9))
    assert np.array_equal(one.look(list("dcba"), gradients)[1], other.look(list("dcba"), gradients)[1])


@pytest.mark.parametrize("fading", [0, -1, 1.5, float("nan")])
def test_a_memory_that_fades_in_no_way(fading):
    complaint(lambda: Memory(fading), repr(fading), "above 0")


# The tree that grows from it


def learner_at_zero():
    learner = Learner(FourierRegression(), squared_error)
    torch.nn.init.zeros_(learner.module.weights.weight)
    return learner


def shuffled(shots, seed, tree=TREE):
    """Branching curves whose tasks come in a new order in every episode."""

    def draw(step):
        episode = branching_curves(tree, shots, seed=seed)(step)
        order = np.random.default_rng((seed, step)).permutation(8)
        parts = [{name: value[order] for name, value in part.items()} for part in (*episode.support, episode.query)]
        return Episode(tuple(episode.tasks[i] for i in order), tuple(parts[:-1]), parts[-1])

    return draw


def purities(memory, episode, labels=(HALVES, PAIRS)):
    """Of the tree that grows from what is remembered and from one more episode."""
    learner = learner_at_zero()
    theta = {name: p.detach()[None] for name, p in learner.named_parameters()}
    names, vectors = memory.look(episode.tasks, task_gradients(learner, theta, [0] * 8, episode.support[0]))
    tree = grow(vectors, names, 4)[0].tree()
    return [tree.purity(label) for label in labels]


def trained(memory, sampler, steps):
    training = meta_train(learner_at_zero(), sampler, learned_tree(depth=4, memory=memory), 4, 0.3, steps, 1e-3)
    return list(training)


def test_the_tree_of_five_shots_is_found_in_twenty_outer_steps():
    found, before = [], []
    for seed in range(8):
        memory = Memory()
        new = [shuffled(5, 100 + seed)(step) for step in range(4)]
        before += [purities(memory, episode) for episode in new]
        trained(memory, shuffled(5, seed), 20)
        found += [purities(memory, episode) for episode in new]
    halves, pairs = np.mean(found, axis=0)  # 0.97 and 0.86 over twelve seeds
    assert halves >= 0.92 and pairs >= 0.8
    assert np.mean(before, axis=0)[1] < 0.6  # from one episode


def test_memory_follows_a_tree_that_changes():
    leaves = TREE.leaves
    moved = dict(zip(leaves, [leaves[i] for i in (0, 4, 2, 6, 1, 5, 3, 7)], strict=True))
    labels = tuple({moved[leaf]: label[leaf] for leaf in leaves} for label in (HALVES, PAIRS))
    other, found = TREE.rename(moved), []
    for seed in range(6):
        memory = Memory()
        trained(memory, shuffled(10, seed), 20)
        trained(memory, shuffled(10, 50 + seed, other), 20)
        found.append(purities(memory, shuffled(10, 100 + seed, other)(0), labels))
    assert np.mean(found, axis=0)[0] >= 0.9


def test_a_task_without_a_past_is_placed_by_its_own_gradient():
    rng = np.random.default_rng(0)
    directions = {"a": np.eye(40)[0], "b": np.eye(40)[1]}
    names = [f"{letter}{i}" for letter in "ab" for i in range(3)]

    def gradients(tasks):
        return np.stack([directions[task[0]] + 0.1 * rng.standard_normal(40) for task in tasks])

    group = learned_tree(depth=2, memory=Memory())
    for _ in range(5):
        group(1, names, [0] * 6, lambda: gradients(names))
        group.memory.remember()
    tasks = ["b-target", *names]
    labels = group(1, tasks, [0] * 7, lambda: gradients(tasks))
    assert len(set(labels)) == 1
    labels = dict(zip(tasks, group(2, tasks, labels), strict=True))
    assert labels["b-target"] == labels["b0"] == labels["b2"] != labels["a0"] == labels["a1"]


def test_a_task_without_a_gradient_is_alone():
    group = learned_tree(depth=2, memory=Memory())
    vectors = np.diag([1.0, 1.0, 1.0, 0.0])
    labels = group(1, list("abcd"), [0] * 5, lambda: vectors)
    assert labels[0] == labels[1] == labels[2] != labels[3]
    assert group(1, ["x"], [0], lambda: np.zeros((1, 3))) == [-1]


def test_a_memory_needs_a_depth_and_a_first_step():
    complaint(lambda: learned_tree(memory=Memory()), "depth")
    complaint(lambda: learned_tree(depth=3, memory=Memory())(2, ["a"], [0]), "begin with step 1")


# When it is remembered


def test_only_finished_outer_steps_are_remembered():
    memory, sampler = Memory(fading=1.0), shuffled(5, 0)
    reports = trained(memory, sampler, 3)
    assert len(reports) == 3 and np.diag(memory.counts).max() <= 3
    kept = memory.counts.copy()
    list(evaluate(learner_at_zero(), [sampler(9)], learned_tree(depth=4, memory=memory), 4, 0.3))
    adapt(learner_at_zero(), sampler(9), learned_tree(depth=4, memory=memory), 4, 0.3)
    assert np.array_equal(memory.counts, kept)

    def broken(step):
        episode = sampler(step)
        if step == 1:
            episode.query["y"][:] = float("nan")
        return episode

    other = Memory(fading=1.0)
    complaint(lambda: trained(other, broken, 3), "outer loss")
    once = Memory(fading=1.0)
    trained(once, sampler, 1)
    assert np.array_equal(other.counts, once.counts)


def test_chunks_change_nothing():
    found = []
    for chunk in (None, 3):
        memory = Memory()
        grouping = learned_tree(depth=4, memory=memory)
        list(meta_train(learner_at_zero(), shuffled(5, 0), grouping, 4, 0.3, 4, 1e-3, tasks_per_chunk=chunk))
        found.append(memory)
    assert found[0].names == found[1].names
    assert found[0].sums == pytest.approx(found[1].sums, abs=1e-4)
