"""Pictures of learned trees: what they show is adapt's own, bundles keep clusters together, and the explorer counts."""

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from minimeta.grouping import fixed_tree, learned_tree
from minimeta.inner import adapt
from minimeta.memory import Memory
from minimeta.show import learned
from minimeta.show.similarity import gradients, similarities
from minimeta.tasks import branching_curves, shuffled
from minimeta.trees import TaskTree

TREE = learned.TREE


def curves(shots=5, seed=0):
    return shuffled(branching_curves(TREE, shots, seed=seed), seed)


def test_what_is_grown_is_in_the_order_of_the_planted_tree():
    learner, episode = learned.in_the_middle(), curves(20)(0)
    assert episode.tasks != TREE.leaves
    found = learned.grown(learner, episode, TREE, learned_tree(0.3), rate=0.6)
    assert found.tasks == TREE.leaves and found.labels.shape == (4, 8)
    with torch.no_grad():
        steps = adapt(learner, episode, learned_tree(0.3), 4, 0.6).steps
    order = [episode.tasks.index(leaf) for leaf in TREE.leaves]
    assert np.array_equal(found.labels, np.array([step.labels for step in steps])[:, order])
    cosines = similarities(gradients(learner, episode))
    assert found.cosines[0, 5] == cosines[order[0], order[5]]


def test_along_the_planted_tree_the_purity_is_1():
    found = learned.grown(learned.in_the_middle(), curves()(1), TREE, fixed_tree(TREE))
    assert learned.purities(TREE, found.tree) == {"halves": 1.0, "pairs": 1.0}
    chance = learned.shuffled_leaves(TREE)
    assert 0.55 < chance["halves"] < 0.7 and 0.35 < chance["pairs"] < 0.5
    figure = learned.add_chance(go.Figure(), TREE, "pairs")
    (line,), (words,) = figure.layout.shapes, figure.layout.annotations
    assert line.y0 == line.y1 == chance["pairs"] and words.text == f"chance, pairs: {chance['pairs']:.2f}"


def test_what_is_remembered_is_what_a_learned_tree_with_a_memory_uses():
    learner, sampler = learned.in_the_middle(), curves()
    found = learned.remembered(learner, sampler, TREE, Memory(), 3, xi=0.3)
    grouping = learned_tree(0.3, depth=4, memory=Memory())
    for step in range(3):
        episode = sampler(step)
        with torch.no_grad():
            taken = adapt(learner, episode, grouping, 4, 0.1).steps
        grouping.memory.remember()
        tree = TaskTree.of_clusters(episode.tasks, [step.labels for step in taken])
        assert tree.robinson_foulds(found[step].tree) == 0


def test_a_target_is_set_apart():
    episode = curves()(0)
    others, whole = learned.set_apart(episode, "0.1.0")
    place = episode.tasks.index("0.1.0")
    assert "0.1.0" not in others.tasks and len(others.tasks) == 7 and whole.tasks == (*others.tasks, "0.1.0")
    assert torch.equal(whole.support[0]["x"][-1], episode.support[0]["x"][place])
    assert torch.equal(whole.query["y"], episode.query["y"][[place]]) and len(others.query["y"]) == 7


def test_the_benchmark_is_read():
    rows = learned.benchmark()
    assert set(learned.SHOTS) == set(rows.shots)
    assert learned.settings(5)["Learned, memory"] == (0.6, 0.3)
    low, mean, high = learned.ratios(["Learned, memory"])["Learned, memory"][5]
    assert low < mean < high and round(mean, 2) == 1.09
    assert learned.ratios(["Fixed TreeMAML"])["Fixed TreeMAML"][20] == (1, 1, 1)


def test_a_bundle_is_a_cluster():
    labels = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 2, 3]])
    places, row = learned.bundles(labels)
    assert places.shape == (5, 4) and sorted(row) == [0, 1, 2, 3]
    assert abs(row[0] - row[2]) == 1 == abs(row[1] - row[3])  # who shares a cluster stands together
    assert np.ptp(places[2, [0, 2]]) < 0.5 < abs(places[2, 0] - places[2, 1])
    assert np.array_equal(places[3], row) and np.array_equal(places[-1], row)


def test_the_film_moves_what_changes():
    found = learned.remembered(learned.in_the_middle(), curves(), TREE, Memory(), 2)
    figure = learned.film(TREE, {"1": found[0], "2": found[1]}, "What is known", "episodes: ")
    assert figure.layout.annotations[0].text == "mean cosines, less the mean gradient"
    assert [frame.name for frame in figure.frames] == ["1", "2"]
    last = figure.frames[1]
    assert np.allclose(last.data[0].z, found[1].cosines, atol=1e-3)
    assert [figure.data[i].name for i in last.traces] == ["cosines", *TREE.leaves]
    assert np.allclose([line.y[-1] for line in last.data[1:]], learned.bundles(found[1].labels)[1])


@pytest.fixture(scope="module")
def explorer():
    return learned.LearnedExplorer()


def test_a_new_draw_is_counted(explorer):
    assert "mean of 1 draw" in explorer.words.value and "5 shots, draw 1" in explorer.figure.layout.title.text
    explorer.again.click()
    first, second = explorer.found[5]
    assert first != second and "mean of 2 draws" in explorer.words.value
    mean = (first["error, MAML"] + second["error, MAML"]) / 2
    assert f"{mean:.2f}" in explorer.words.value


def test_other_shots_have_their_own_means(explorer):
    explorer.shots.value = 40
    assert len(explorer.found[40]) == 1 and explorer.figure.layout.title.text.startswith("40 shots")
    (found,) = explorer.found[40]
    assert found["error, Fixed TreeMAML"] < explorer.found[5][-1]["error, Fixed TreeMAML"]


def test_asking_for_gradients_leaves_each_part_in_its_mode():
    learner = learned.in_the_middle()
    learner.train()
    frozen = next(learner.children())
    frozen.eval()
    gradients(learner, curves()(0))
    assert learner.training and not frozen.training
