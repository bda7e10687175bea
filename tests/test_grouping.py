"""Groupings: who shares a gradient at each step, and what a grouping may not do."""

from collections import defaultdict
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minimeta.errors import InputError
from minimeta.grouping import Weighted, alone, everyone, fixed_tree, learned_tree, random_tree, regroup
from minimeta.text.languages import FAMILIES, PHYLOGENY
from minimeta.trees import TaskTree

repeatable = settings(deadline=None, derandomize=True, max_examples=100)

GENRES = ["fiction", "letters", "travel"]
TASKS = [f"{language}/{genre}" for genre, language in product(GENRES, PHYLOGENY.leaves)]
INDO_EUROPEAN = "en de fr es bg ru el hi ur"
LEVELS = {
    1: [INDO_EUROPEAN + " vi th zh"],
    2: [INDO_EUROPEAN, "vi th zh"],
    3: ["en de", "fr es", "bg ru", "el", "hi ur", "vi", "th", "zh"],
    4: [*INDO_EUROPEAN.split(), "vi", "th", "zh"],
}
LEVELS[5] = LEVELS[4]


def walk(grouping, tasks, steps):
    """The labels at steps 1, 2, ..., each checked against the step before."""
    parents, found = [0] * len(tasks), []
    for step in range(1, steps + 1):
        parents, *_ = regroup(grouping, step, tasks, parents)
        found.append(parents)
    return found


def blocks(tasks, labels):
    """The clusters as sets of tasks."""
    found = defaultdict(set)
    for task, label in zip(tasks, labels, strict=True):
        found[label].add(task)
    return {frozenset(block) for block in found.values()}


def blocks_of_languages(text_blocks, genres=GENRES):
    return {frozenset(f"{code}/{genre}" for code in text.split() for genre in genres) for text in text_blocks}


def shape(levels, tasks):
    """How a cluster splits from step to step, whatever its tasks are called."""
    if not levels:
        return ()
    parts = [block for block in levels[0] if block <= tasks]
    return tuple(sorted((len(part), shape(levels[1:], part)) for part in parts))


def test_alone_gives_every_task_its_own_cluster():
    for labels in walk(alone(), TASKS, 5):
        assert labels == list(range(len(TASKS)))


def test_everyone_gives_one_cluster():
    for labels in walk(everyone(), TASKS, 5):
        assert labels == [0] * len(TASKS)


@pytest.mark.parametrize("step", LEVELS)
def test_fixed_tree_follows_the_phylogeny(step):
    assert blocks(TASKS, walk(fixed_tree(PHYLOGENY), TASKS, 5)[step - 1]) == blocks_of_languages(LEVELS[step])


@pytest.mark.parametrize("tree", [PHYLOGENY, FAMILIES, TaskTree.from_newick("((vi,th),(((en,de),fr),ru),zh);")])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_step_one_may_stand_lower_in_the_tree(tree, first):
    """Then K steps are those from `first` on of as many more along the whole tree."""
    tasks = [f"{code}/{genre}" for code in tree.leaves for genre in GENRES]
    assert walk(fixed_tree(tree, first), tasks, 5) == walk(fixed_tree(tree), tasks, 4 + first)[first - 1 :]
    assert walk(fixed_tree(tree, 1), tasks, 5) == walk(fixed_tree(tree), tasks, 5)


@pytest.mark.parametrize("first", [0, -1])
def test_there_is_no_level_above_the_root(first):
    with pytest.raises(InputError, match=f"level {first}"):
        fixed_tree(PHYLOGENY, first)


@pytest.mark.parametrize("step", LEVELS)
def test_fixed_tree_needs_no_history(step):
    labels = fixed_tree(PHYLOGENY)(step, TASKS, [0] * len(TASKS))
    assert blocks(TASKS, labels) == blocks_of_languages(LEVELS[step])


def test_a_shorter_branch_keeps_its_cluster():
    labels = [fixed_tree(PHYLOGENY)(step, ["vi/fiction", "en/fiction"], [0, 0]) for step in range(1, 7)]
    vietnamese, english = zip(*labels, strict=True)
    assert len(set(vietnamese[2:])) == 1 and vietnamese[1] != vietnamese[2]
    assert len(set(english[3:])) == 1 and english[2] != english[3]


def test_some_languages_stand_where_all_would():
    tasks = ["en/a", "vi/a", "de/a", "el/a", "th/a"]
    levels = [blocks(tasks, labels) for labels in walk(fixed_tree(PHYLOGENY), tasks, 4)]
    assert levels[1] == {frozenset({"en/a", "de/a", "el/a"}), frozenset({"vi/a", "th/a"})}
    assert levels[2] == {frozenset({"en/a", "de/a"}), frozenset({"el/a"}), frozenset({"vi/a"}), frozenset({"th/a"})}


def test_the_other_phylogeny_has_no_asian_branch():
    tasks = [f"{code}/a" for code in FAMILIES.leaves]
    families = [INDO_EUROPEAN, "vi", "th", "zh", "tr", "ar", "sw"]
    assert blocks(tasks, walk(fixed_tree(FAMILIES), tasks, 2)[1]) == blocks_of_languages(families, ["a"])


def test_the_order_of_tasks_does_not_matter():
    order = np.random.default_rng(0).permutation(len(TASKS))
    shuffled = [TASKS[i] for i in order]
    for ours, theirs in zip(
        walk(fixed_tree(PHYLOGENY), TASKS, 5), walk(fixed_tree(PHYLOGENY), shuffled, 5), strict=True
    ):
        assert blocks(TASKS, ours) == blocks(shuffled, theirs)


def test_a_leaf_with_the_full_name_comes_first():
    tree = TaskTree.from_newick("((de,de/letters),en);")
    labels = fixed_tree(tree)(3, ["de/fiction", "de/letters", "de", "en/letters"], [0] * 4)
    assert labels[0] == labels[2] != labels[1] and labels[3] not in labels[:3]


@pytest.mark.parametrize("make", [fixed_tree, lambda tree: random_tree(tree, 3)], ids=["fixed", "random"])
def test_genres_follow_their_language(make):
    for labels in walk(make(PHYLOGENY), TASKS, 5):
        place = {}
        for task, label in zip(TASKS, labels, strict=True):
            assert place.setdefault(task.split("/")[0], label) == label


@pytest.mark.parametrize("seed", range(5))
def test_random_tree_has_the_shape_of_the_tree(seed):
    fixed, drawn = (
        [blocks(TASKS, labels) for labels in walk(grouping, TASKS, 5)]
        for grouping in (fixed_tree(PHYLOGENY), random_tree(PHYLOGENY, seed))
    )
    everything = frozenset(TASKS)
    assert shape(drawn, everything) == shape(fixed, everything)
    assert drawn != fixed


def test_random_tree_is_the_same_for_the_same_seed():
    draws = [tuple(map(tuple, walk(random_tree(PHYLOGENY, seed), TASKS, 4))) for seed in (*range(8), *range(8))]
    assert draws[:8] == draws[8:]
    assert len(set(draws[:8])) == 8


def test_random_tree_gives_every_pair_the_same_chance():
    pairs = [("en", "de"), ("en", "zh"), ("vi", "th")]
    draws = 600
    together = {pair: 0 for pair in pairs}
    for seed in range(draws):
        grouping = random_tree(PHYLOGENY, seed)
        for a, b in pairs:
            one, two = grouping(2, [a, b], [0, 0])
            together[a, b] += one == two
    chance = (9 * 8 + 3 * 2) / (12 * 11)
    for count in together.values():
        assert abs(count / draws - chance) < 4 * (chance * (1 - chance) / draws) ** 0.5


@pytest.mark.parametrize("make", [fixed_tree, lambda tree: random_tree(tree, 0)], ids=["fixed", "random"])
@pytest.mark.parametrize("task", ["tr/fiction", "sw", "fiction/de", "DE/fiction"])
def test_a_task_without_a_place_raises(make, task):
    with pytest.raises(InputError, match=task) as raised:
        make(PHYLOGENY)(1, ["de/fiction", task], [0, 0])
    assert "\n" not in str(raised.value)


def test_steps_count_from_one():
    with pytest.raises(InputError):
        fixed_tree(PHYLOGENY)(0, TASKS, [0] * len(TASKS))


def test_clusters_that_merge_raise():
    with pytest.raises(InputError, match=r"b .*never merge"):
        regroup(everyone(), 2, ["a", "b"], [0, 1])
    with pytest.raises(InputError, match="never merge"):
        regroup(fixed_tree(PHYLOGENY), 2, ["en", "de", "vi"], [0, 1, 2])


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0]])
def test_the_wrong_number_of_labels_raises(labels):
    with pytest.raises(InputError, match=rf"{len(labels)} labels for 2 tasks"):
        regroup(lambda step, tasks, parents, gradients: labels, 1, ["a", "b"], [0, 0])


@pytest.mark.parametrize(
    "answer", [{"a": 0, "b": 0}, "00", b"00", {0, 1}, None, 0, torch.tensor(0), Weighted({"a": 0, "b": 0}, [1, 1])]
)
def test_what_is_no_list_of_labels_is_refused(answer):
    """A dict would give its keys, the tasks' names, which are all different: MAML without a word."""
    with pytest.raises(InputError, match=r"gave a \w+ at step 1; return a list with one label for each of the 2 tasks"):
        regroup(lambda step, tasks, parents, gradients: answer, 1, ["a", "b"], [0, 0])


@pytest.mark.parametrize("grouping", [learned_tree(), learned_tree(depth=3)], ids=["per step", "one tree"])
def test_a_gradient_that_is_not_finite_is_told_by_its_task(grouping):
    vectors = np.array([[1.0, 0], [np.nan, 1], [0, 1]])
    with pytest.raises(InputError, match=r"The gradient of de is not finite.*lower the inner rate"):
        regroup(grouping, 1, ["en", "de", "fr"], [0, 0, 0], lambda: vectors)


def test_regroup_hands_the_grouping_what_it_was_given():
    seen = []

    def grouping(step, tasks, parents, gradients):
        seen.append((step, tasks, parents))
        return parents

    assert regroup(grouping, 7, ["a", "b", "c"], [0, 1, 0]) == ([0, 1, 0], [0, 1], [0.5, 1.0, 0.5])
    assert seen == [(7, ["a", "b", "c"], [0, 1, 0])]


PARENTS = st.lists(st.integers(0, 3), min_size=1, max_size=12)


@given(PARENTS, st.data())
@repeatable
def test_regroup_numbers_clusters_as_they_appear(parents, data):
    splits = data.draw(st.lists(st.integers(0, 2), min_size=len(parents), max_size=len(parents)))
    pairs = list(zip(parents, splits, strict=True))
    names = data.draw(st.lists(st.integers(-99, 99), unique=True, min_size=12, max_size=12))
    given_labels = [names[3 * parent + split] for parent, split in pairs]
    tasks = [f"task {i}" for i in range(len(parents))]
    labels, origin, weights = regroup(lambda step, tasks, parents, gradients: iter(given_labels), 1, tasks, parents)

    assert list(dict.fromkeys(labels)) == list(range(len(origin)))
    assert [origin[label] for label in labels] == parents
    assert blocks(tasks, labels) == blocks(tasks, given_labels)
    assert regroup(lambda step, tasks, parents, gradients: labels, 1, tasks, parents) == (labels, origin, weights)
    assert weights == [1 / labels.count(label) for label in labels]


@given(PARENTS, st.data())
@repeatable
def test_regroup_raises_exactly_when_clusters_merge(parents, data):
    labels = data.draw(st.lists(st.integers(0, 5), min_size=len(parents), max_size=len(parents)))
    pairs = list(zip(labels, parents, strict=True))
    merges = any(one[0] == two[0] and one[1] != two[1] for one in pairs for two in pairs)
    tasks = [f"task {i}" for i in range(len(parents))]
    if merges:
        with pytest.raises(InputError, match="never merge"):
            regroup(lambda step, tasks, parents, gradients: labels, 2, tasks, parents)
    else:
        assert len(regroup(lambda step, tasks, parents, gradients: labels, 2, tasks, parents)[1]) == len(set(labels))


@pytest.mark.parametrize(
    "grouping",
    [alone(), everyone(), fixed_tree(PHYLOGENY), fixed_tree(PHYLOGENY, 2), random_tree(PHYLOGENY, 1)],
    ids=["alone", "everyone", "fixed", "halves first", "random"],
)
def test_every_grouping_refines_itself(grouping):
    for before, after in pairwise(walk(grouping, TASKS, 6)):
        assert all(any(small <= big for big in blocks(TASKS, before)) for small in blocks(TASKS, after))


def test_labels_may_be_a_tensor():
    labels, origin, _ = regroup(lambda *given: torch.tensor([3, 3, 1]), 1, list("abc"), [0, 0, 0])
    assert labels == [0, 0, 1] and origin == [0, 0]
