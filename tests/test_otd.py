"""Online top-down trees: planted hierarchies, what must always hold, and each hole of the algorithm as printed."""

import itertools
import math
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import complaint

from minimeta.linkage import cosine_linkage
from minimeta.otd import RULES, XI, OnlineTree, grow
from minimeta.trees import TaskTree

DRAWS = range(20)  # ξ was chosen on others


def repeatable(examples):
    return settings(deadline=None, derandomize=True, max_examples=examples)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def planted(shape, spread, draw, dimensions=64):
    """Unit vectors of a hierarchy like 2 × 3 × 6 in random order, and their names: the way from the root, as in 1/0/5.

    Below a random direction u of each family, v = norm(u + 0.8 e) at each further level, x = norm(v + spread e) at the
    last one; e is a random unit vector.
    """
    rng = np.random.default_rng((draw, *shape))
    vectors, names = unit(rng.normal(size=(shape[0], dimensions))), [str(i) for i in range(shape[0])]
    for level, n in enumerate(shape[1:], start=2):
        step = unit(rng.normal(size=(len(vectors) * n, dimensions)))
        vectors = unit(np.repeat(vectors, n, axis=0) + (spread if level == len(shape) else 0.8) * step)
        names = [f"{name}/{i}" for name in names for i in range(n)]
    order = rng.permutation(len(vectors))
    return vectors[order], [names[i] for i in order]


def purities(tree):
    """Dendrogram purity at each level of the planted hierarchy, the tasks aside."""
    ways = {leaf: leaf.split("/") for leaf in tree.leaves}
    levels = len(ways[tree.leaves[0]]) - 1
    return np.array([tree.purity({leaf: "/".join(way[: k + 1]) for leaf, way in ways.items()}) for k in range(levels)])


def share_of_average_linkage(shape, spread, draw, depth, xi=XI, rule="corrected"):
    vectors, names = planted(shape, spread, draw)
    return purities(grow(vectors, names, depth, xi, rule)[0].tree()) / purities(cosine_linkage(vectors, names))


class Replay:
    """A tree rebuilt from events alone: each inner node's children and each leaf's name, by id."""

    def __init__(self):
        self.kids, self.up, self.names, self.root = {}, {}, {}, None

    def stand(self, node, old):
        """`node` takes the place of `old`."""
        up = self.up.pop(old)
        self.up[node] = up
        if up is None:
            self.root = node
        else:
            self.kids[up] = (self.kids[up] - {old}) | {node}

    def hang(self, node, up):
        self.kids.setdefault(up, set()).add(node)
        self.up[node] = up

    def move(self, move):
        node, other, new = move.node, move.other, move.new
        if move.kind == "sibling":
            if self.root is None:
                self.root, self.up[other] = other, None
            self.hang(node, other)
        elif move.kind in ("pair", "wrap"):
            assert (move.kind == "wrap") == (other in self.kids)
            self.stand(new, other)
            self.hang(other, new)
            self.hang(node, new)
        elif move.kind == "out":
            up = self.up.pop(node)
            self.kids[up].remove(node)
            if len(self.kids[up]) == 1:
                self.stand(self.kids.pop(up).pop(), up)
        elif move.kind == "dissolve":
            up = self.up.pop(node)
            self.kids[up].remove(node)
            for kid in self.kids.pop(node):
                self.hang(kid, up)
        elif move.kind == "merge":
            self.kids[self.up.pop(other)].remove(other)
            for kid in self.kids.pop(other):
                self.hang(kid, node)
        else:
            assert move.kind == "split"
            for kid in move.children:
                self.kids[node].remove(kid)
                self.hang(kid, new)
            self.hang(new, self.up[node])

    def below(self, node):
        return [leaf for kid in self.kids[node] for leaf in self.below(kid)] if node in self.kids else [node]

    def height(self, node):
        return 1 + max(map(self.height, self.kids[node])) if node in self.kids else 0

    def clusters(self):
        """The id and the names of the tasks below each node."""
        return {node: frozenset(self.names[leaf] for leaf in self.below(node)) for node in self.up}

    def score(self, vectors, gap):
        """What the tree explains less what its pairs pay for depth, pair by pair: the definition."""
        score = 0.0
        for node, kids in self.kids.items():
            groups = [self.below(kid) for kid in kids]
            meet = [
                vectors[self.names[a]] @ vectors[self.names[b]]
                for one, two in itertools.combinations(groups, 2)
                for a, b in itertools.product(one, two)
            ]
            depth, up = 0, self.up[node]
            while up is not None:
                depth, up = depth + 1, self.up[up]
            score += len(meet) * (np.mean(meet) ** 2 - gap**2 * depth) if meet else 0.0
        return score


def clusters_of(tree):
    """The id and the names of the tasks below each node, from the tree itself."""
    shown, found = tree.nodes(), {}
    for info, node in zip(shown, tree.tree().nodes, strict=True):
        assert (info.name, info.size) == (node.name if not node.children else "", len(node.leaves))
        found[info.id] = frozenset(node.leaves)
    assert len(found) == len(shown)
    return found


def clouds(draw, n, dimensions):
    """Vectors of very different sizes: clusters, directions without structure, duplicates, opposites, one line."""
    rng = np.random.default_rng(draw)
    kind = draw % 5
    if kind == 0:
        vectors = rng.normal(size=(3, dimensions))[rng.integers(0, 3, size=n)]
    elif kind == 1:
        centres = rng.normal(size=(rng.integers(1, 9), dimensions))
        vectors = centres[rng.integers(0, len(centres), size=n)] + rng.uniform(0, 1) * rng.normal(size=(n, dimensions))
    elif kind == 2:
        vectors = rng.choice([-1.0, 0.0, 1.0], size=(n, dimensions))
    elif kind == 3:
        vectors = np.linspace(-1, 1, n)[:, None] * rng.normal(size=dimensions) + rng.normal(size=dimensions)
    else:
        vectors = rng.normal(size=(n, dimensions))
    vectors[~vectors.any(axis=1)] = 1.0
    return vectors * 10.0 ** rng.integers(-200, 200, size=(n, 1))


@pytest.mark.parametrize(("spread", "upper", "lower"), [(0.6, 0.98, 0.95), (0.9, 0.97, 0.90)])
def test_planted_hierarchies_are_found(spread, upper, lower):
    """2 × 3 × 6 tasks, D = 3, 20 random orders, as a share of what offline average linkage reaches."""
    found = np.mean([share_of_average_linkage((2, 3, 6), spread, draw, 3) for draw in DRAWS], axis=0)
    assert (found >= (upper, lower)).all(), found


def test_the_printed_rule_finds_less():
    for draw in range(5):
        ours, printed = (share_of_average_linkage((2, 3, 6), 0.6, draw, 3, rule=rule) for rule in RULES)
        assert (printed < ours - 0.1).all(), draw


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_one_level_of_clusters_is_found_at_any_depth(depth):
    found = np.mean([share_of_average_linkage((4, 8), 0.6, draw, depth) for draw in range(8)])
    assert found >= 0.98


def test_spare_depth_does_no_harm():
    found = np.mean([share_of_average_linkage((2, 3, 6), 0.6, draw, 5) for draw in range(8)], axis=0)
    assert (found >= (0.98, 0.95)).all(), found


def test_depth_never_exceeds_its_bound():
    inserted = []

    @repeatable(100)
    @given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 12), st.sampled_from([0.0, XI, 3.0]))
    def check(draw, depth, dimensions, xi):
        tree, replay = OnlineTree(depth, xi), Replay()
        for i, vector in enumerate(clouds(draw, 100, dimensions)):
            event = tree.insert(vector, str(i))
            replay.names[event.moves[0].node] = str(i)
            for move in event.moves:
                replay.move(move)
                assert replay.height(replay.root) <= depth
            inserted.append(i)
        assert tree.tree().depth == replay.height(replay.root)
        assert sorted(tree.tree().leaves) == sorted(tree.names)

    check()
    assert len(inserted) >= 10_000


@pytest.mark.parametrize("rule", RULES)
@repeatable(30)
@given(draw=st.integers(0, 10**6), depth=st.integers(1, 5), n=st.integers(1, 40))
def test_events_rebuild_the_tree(rule, draw, depth, n):
    tree, replay = OnlineTree(depth, rule=rule), Replay()
    for i, vector in enumerate(clouds(draw, n, 4)):
        before = replay.clusters()
        event = tree.insert(vector, f"task {i}")
        replay.names[event.moves[0].node] = f"task {i}"
        for move in event.moves:
            replay.move(move)
        assert replay.clusters() == clusters_of(tree)
        # The way down goes from child to child, and each decision is the one that was carried out.
        visits = event.visits
        assert all(set(visit.children) <= set(before) and visit.node in {*before, replay.root} for visit in visits)
        assert all(low.node in high.children for high, low in itertools.pairwise(visits))
        (place,) = [visit for visit in visits if visit.decision not in ("descend", "look")]
        assert (place.decision, place.node) == (event.moves[0].kind, event.moves[0].other)
        assert event.moved is None or event.moves[-2].kind == "out"


@repeatable(25)
@given(draw=st.integers(0, 10**6), depth=st.integers(1, 4), n=st.integers(2, 24))
def test_every_decision_gains_what_it_says(draw, depth, n):
    """Similarities and gains in the events against the definitions, worked out pair by pair."""
    tree, replay, vectors = OnlineTree(depth), Replay(), {}
    for i, vector in enumerate(clouds(draw, n, 6)):
        name, vectors[str(i)] = str(i), unit(vector / np.abs(vector).max())
        clusters = replay.clusters()
        event = tree.insert(vector, name)
        replay.names[event.moves[0].node] = name
        for visit in event.visits:
            expected = [np.mean([vectors[leaf] @ vectors[name] for leaf in clusters[kid]]) for kid in visit.children]
            assert np.allclose(visit.similarities, expected)
        if i:
            before = replay.score(vectors, event.gap)
            place = next(visit for visit in event.visits if visit.decision not in ("descend", "look"))
            offers = [gain for visit in event.visits for gain in visit.numbers.values()]
            assert event.moves[0].gain == place.numbers[place.decision] >= max(offers) - 1e-6
        for move in event.moves:
            replay.move(move)
            after = replay.score(vectors, event.gap)
            if i and move.kind != "out":
                assert after - before == pytest.approx(move.gain, abs=1e-6), move
                assert move is event.moves[0] or move.gain > 0 or event.moved
            before = after


@repeatable(40)
@given(draw=st.integers(0, 10**6), depth=st.integers(2, 5))
def test_what_is_kept_per_node_stays_right(draw, depth):
    """Heights, and the rows that a newcomer is compared with, after any repair; a stale one would only cost quality."""
    tree = OnlineTree(depth)
    for i, vector in enumerate(clouds(draw, 40, 5)):
        tree.insert(vector, str(i))
        for node in tree._root.walk():
            assert node.height == (1 + max(kid.height for kid in node.kids) if node.kids else 0)
            for kid in node.kids:
                assert kid.up is node and node.kids[kid.at] is kid
                assert (node.rows[kid.at] == kid.sum).all() and node.sizes[kid.at] == kid.size


@repeatable(40)
@given(draw=st.integers(0, 10**6), n=st.integers(4, 30))
def test_what_is_put_together_fits_better_than_what_it_leaves(draw, n):
    """A group of the unlike would also explain the similarities, but it would be none."""
    tree, replay, vectors = OnlineTree(4), Replay(), {}
    for i, vector in enumerate(clouds(draw, n, 3)):
        vectors[str(i)] = unit(vector / np.abs(vector).max())
        event = tree.insert(vector, str(i))
        move = event.moves[0]
        replay.names[move.node] = str(i)
        replay.move(move)
        if move.new is not None and replay.up[move.new] is not None:

            def between(one, two):
                pairs = itertools.product(replay.below(one), replay.below(two))
                return [vectors[replay.names[a]] @ vectors[replay.names[b]] for a, b in pairs]

            left = [between(a, b) for a, b in itertools.combinations(replay.kids[replay.up[move.new]], 2)]
            assert np.mean(between(move.node, move.other)) > np.mean(np.concatenate(left)) - 1e-9
        for repair in event.moves[1:]:
            replay.move(repair)


def test_a_repair_of_every_kind_happens():
    """The planted draws need them all; without this the tests above could pass on trees that never change."""
    kinds = Counter()
    for draw in range(10):
        for event in grow(*planted((2, 3, 6), 0.9, draw), 4)[1]:
            kinds.update(move.kind for move in event.moves)
    assert set(kinds) == {"sibling", "pair", "wrap", "out", "dissolve", "merge", "split"}


@pytest.mark.parametrize("rule", RULES)
@repeatable(20)
@given(draw=st.integers(0, 10**6), depth=st.integers(1, 5), n=st.integers(1, 40))
def test_omega_is_the_mean_similarity_of_all_pairs_below(rule, draw, depth, n):
    vectors = clouds(draw, n, 5)
    tree, _ = grow(vectors, [str(i) for i in range(n)], depth, rule=rule)
    directions = unit(vectors / np.abs(vectors).max(axis=1, keepdims=True))

    def brute(leaves):
        pairs = [directions[int(a)] @ directions[int(b)] for a, b in itertools.combinations(leaves, 2)]
        return np.mean(pairs) if pairs else 1.0

    newick = tree.tree()
    for info, node in zip(tree.nodes(), newick.nodes, strict=True):
        assert info.omega == pytest.approx(brute(node.leaves), abs=1e-9)
        assert info.size == len(node.leaves)
        for child in node.children:
            assert child.length == pytest.approx(brute(child.leaves) - brute(node.leaves), abs=1e-9)
    assert newick.length == pytest.approx(brute(newick.leaves), abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("stop", [0, 1, 2, 3, 17, 30])
def test_a_pickled_tree_goes_on_identically(rule, stop):
    vectors, names = planted((2, 3, 6), 0.9, 3)
    tree, _ = grow(vectors[:stop], names[:stop], 4, rule=rule)
    again = pickle.loads(pickle.dumps(tree))
    assert again.names == tree.names and again.nodes() == tree.nodes()
    for vector, name in zip(vectors[stop:], names[stop:], strict=True):
        assert again.insert(vector, name) == tree.insert(vector, name)
    assert again.tree() == tree.tree() and again.nodes() == tree.nodes()


@pytest.mark.parametrize("rule", RULES)
def test_a_large_tree_can_be_pickled(rule):
    """The printed rule lets a tree grow deep."""
    rng = np.random.default_rng(0)
    tree, _ = grow(rng.standard_normal((400, 5)), [f"task {i}" for i in range(400)], 4, rule=rule)
    assert pickle.loads(pickle.dumps(tree)).nodes() == tree.nodes()


BAD = {
    "zero": ([0.0, 0.0, 0.0], "new", "zero"),
    "nan": ([1.0, math.nan, 0.0], "new", "finite"),
    "infinite": ([1.0, -math.inf, 0.0], "new", "finite"),
    "short": ([1.0, 2.0], "new", "(2,)", "(3,)"),
    "empty": ([], "new", "(0,)"),
    "a number": (1.0, "new", "()"),
    "a matrix": ([[1.0, 2.0, 3.0]], "new", "(1, 3)"),
    "text": (["a", "b", "c"], "new", "numbers"),
    "ragged": ([1.0, [2.0], 3.0], "new", "numbers"),
    "complex": (np.array([1j, 1.0, 0.0]), "new", "numbers"),
    "same name": ([1.0, 2.0, 3.0], "task 1", "task 1", "already"),
    "no name": ([1.0, 2.0, 3.0], "", "name"),
    "odd name": ([1.0, 2.0, 3.0], 7, "name", "7"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("n", [0, 1, 5])
def test_an_error_leaves_the_tree_unchanged(bad, n):
    vector, name, *parts = BAD[bad]
    if (n, bad) in [(0, "short"), (0, "same name"), (1, "same name")]:
        return  # there is nothing yet to disagree with
    if n == 0:
        parts = [part for part in parts if part != "(3,)"]
    vectors = np.random.default_rng(0).normal(size=(n + 3, 3))
    names = [f"task {i}" for i in range(n + 3)]
    (tree, _), (twin, _) = (grow(vectors[:n], names[:n], 3) for _ in range(2))
    complaint(lambda: tree.insert(vector, name), *parts)
    assert tree.names == twin.names and tree.nodes() == twin.nodes()
    for vector, name in zip(vectors[n:], names[n:], strict=True):
        assert tree.insert(vector, name) == twin.insert(vector, name)


def test_arguments_that_cannot_be_used():
    for depth in (0, -1, 2.0, True, "3", None):
        complaint(lambda depth=depth: OnlineTree(depth), "depth")
    for xi in (-0.1, math.nan, math.inf, "1"):
        complaint(lambda xi=xi: OnlineTree(2, xi), "ξ")
    complaint(lambda: OnlineTree(2, rule="printed"), "printed", "paper")
    complaint(lambda: grow([[1.0]], [], 2), "1 vectors", "0 names")
    complaint(lambda: OnlineTree(2).tree(), "no task")


@pytest.mark.parametrize("rule", RULES)
def test_the_first_tasks(rule):
    tree = OnlineTree(3, rule=rule)
    assert tree.nodes() == [] and tree.names == ()
    assert tree.insert([1, 0], "a").visits[0].decision == "sibling"
    assert tree.tree() == TaskTree("", (TaskTree("a", (), 0.0),), 1.0)
    tree.insert([0, 2], "b")
    assert tree.tree() == TaskTree("", (TaskTree("a", (), 1.0), TaskTree("b", (), 1.0)), 0.0)
    assert [info.omega for info in tree.nodes()] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_duplicates_need_no_depth(depth):
    tree, _ = grow([[3.0, 4.0]] * 40, [str(i) for i in range(40)], depth)
    assert tree.tree().depth == 1
    assert all(info.omega == pytest.approx(1.0) for info in tree.nodes())


def test_what_a_vector_may_be():
    rows = np.random.default_rng(1).normal(size=(12, 5)).astype(np.float32)
    names = [str(i) for i in range(12)]
    kinds = [rows, rows.tolist(), torch.tensor(rows, requires_grad=True), rows * 1024, [tuple(row) for row in rows]]
    trees = [grow(kind, names, 3)[0] for kind in kinds]
    assert all(tree.tree() == trees[0].tree() for tree in trees)
    half = grow(torch.tensor(rows).bfloat16(), names, 3)[0]
    assert sorted(half.tree().leaves) == sorted(names)
    kept = rows.copy()
    grow(rows, names, 3)
    assert (rows == kept).all()


def test_the_first_tasks_of_a_longer_run_give_the_same_tree():
    """So a scrubber can go back by growing the tree anew."""
    vectors, names = planted((2, 3, 6), 0.9, 5)
    _, events = grow(vectors, names, 3)
    for n in (0, 1, 9, 36):
        assert grow(vectors[:n], names[:n], 3)[1] == events[:n]


def test_paper_goes_to_the_most_similar_child():
    """Printed is argmin of a similarity, which would send the newcomer to the child that it is least like."""
    vectors = [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0.1, 0, 0], [1, 0.2, 0, 0]]
    tree, events = grow(vectors, list("abcd"), 3, rule="paper")
    first, second = events[3].visits[:2]
    assert first.decision == "descend" and first.numbers["ω(A ∪ x)"] > first.numbers["ω(A)"]
    assert second.node == first.children[int(np.argmax(first.similarities))]
    assert second.node != first.children[int(np.argmin(first.similarities))]
    assert frozenset("acd") in tree.tree().clades()


def test_paper_makes_a_pair_with_a_leaf():
    """Printed is a recursion into the leaf, whose children nobody gave."""
    tree, events = grow([[1, 0], [0, 1], [1, 0.1]], list("abc"), 3, rule="paper")
    assert [visit.decision for visit in events[2].visits] == ["descend", "pair"]
    assert events[2].visits[1].children == () and events[2].visits[1].numbers == {}
    assert frozenset("ac") in tree.tree().clades()


def test_paper_wraps_beyond_the_depth():
    """A ← {C, x} puts a level above C, whether or not D has room for it; the corrected rule has none."""
    vectors = np.eye(6) + np.eye(6)[0]
    outliers = [-vector for vector in vectors[:3]]
    for depth in (1, 2):
        printed, events = grow([*vectors, *outliers], list("abcdefxyz"), depth, rule="paper")
        assert "wrap" in [visit.decision for event in events for visit in event.visits]
        assert printed.tree().depth > depth
        assert grow([*vectors, *outliers], list("abcdefxyz"), depth)[0].tree().depth <= depth


def test_paper_misplaces_a_member_that_lowers_the_mean():
    """Three families of 6. The newcomer is like one of them and unlike the others, but its mean similarity to all 18
    is below ω of all 18, so it stays at the root."""
    directions = np.eye(32)
    names = [f"{family}{i}" for i in range(6) for family in "fgh"]
    vectors = [directions["fgh".index(name[0])] + 0.3 * directions[3 + i] for i, name in enumerate(names)]
    newcomer = directions[0] + 0.9 * directions[31]
    family = frozenset([*(name for name in names if name[0] == "f"), "newcomer"])
    printed, events = grow([*vectors, newcomer], [*names, "newcomer"], 3, rule="paper")
    visit = events[-1].visits[0]
    assert visit.decision == "sibling"
    assert visit.numbers["ω(A) − ξσ"] < visit.numbers["ω(A ∪ x)"] < visit.numbers["ω(A)"]
    best, second = sorted(visit.similarities)[:-3:-1]
    assert best > 0.5 > 5 * second
    assert family not in printed.tree().clades()
    corrected, events = grow([*vectors, newcomer], [*names, "newcomer"], 3)
    assert events[-1].visits[0].decision == "descend"
    assert family in corrected.tree().clades()


@repeatable(20)
@given(draw=st.integers(0, 10**6), n=st.integers(3, 25))
def test_paper_numbers_are_exact(draw, n):
    """ω and σ over all pairs below a node, against the pairs themselves."""
    vectors = clouds(draw, n, 4)
    directions = unit(vectors / np.abs(vectors).max(axis=1, keepdims=True))
    tree = OnlineTree(4, 1.3, "paper")
    for i in range(n):
        below = clusters_of(tree) if i else {}
        for visit in tree.insert(vectors[i], str(i)).visits:
            if visit.numbers:
                members = [int(leaf) for leaf in below[visit.node]]
                pairs = [directions[a] @ directions[b] for a, b in itertools.combinations(members, 2)]
                joined = [*pairs, *(directions[a] @ directions[i] for a in members)]
                expected = np.mean(pairs), np.mean(joined), np.mean(pairs) - 1.3 * np.std(pairs)
                assert list(visit.numbers.values()) == pytest.approx(expected, abs=1e-6)
