"""Online top-down (OTD) trees: tasks come one at a time, and a tree of bounded depth grows around them.

A task is a vector (its gradient, say); two tasks are as similar as the cosine of their vectors. A node's mean
similarity, which the TreeMAML paper calls ω(A), is that of all pairs of tasks below it.

The corrected rule asks how well the tree explains the similarities. Two tasks meet at their lowest common ancestor, and
the tree explains their similarity by the mean over all pairs that meet there: a node where P pairs meet whose
similarities add up to B explains B²/P of their squared sum. Depth is not free: every pair pays (ξσ)² for each level
that it shares below the root, so a level must be worth a difference of ξσ in similarity. σ says how much a newcomer's
similarities to its siblings spread, pooled over all insertions. The tree's score is what it explains less what it pays.

1. Walk from the root to the most similar child, again and again, down to a leaf.
2. Of all places along this way take the one with the best score that respects the depth: among a node's children
   (sibling), or below a new node together with a leaf (pair) or with an inner node (wrap).
3. Mend on the way back up, where the score grows: dissolve a node that is not worth its depth, merge it with its most
   similar sibling, or split the newcomer's siblings in two.
4. Take out one earlier task, each in its turn, and place it anew: what came early was placed on little evidence.

This needs only B, P and the sum of the vectors below each node: an insertion costs O(depth × children × dimensions),
and memory grows linearly with the tasks. `rule="paper"` is Algorithm 2 of the TreeMAML paper, holes and all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import InputError
from .nodes import Event, Move, Node, NodeInfo, Visit
from .trees import TaskTree

RULES = ("corrected", "paper")
XI = 0.7  # chosen on planted hierarchies, on other draws than the tests': tests/benchmarks/bench_otd.py --choose
_EPS = 1e-9  # a smaller growth of the score, for its size, is rounding


class OnlineTree:
    """A tree that grows by one task at a time, by the rule at the top of this file.

    `depth`: D, the greatest number of edges from the root to a task (only the paper's rule breaks it). `xi`: ξ, how
    many standard deviations make a difference. Raises InputError unless D is whole and ≥ 1, ξ finite and ≥ 0. A tree
    can be pickled, and goes on in exactly the same way.
    """

    def __init__(self, depth: int, xi: float = XI, rule: str = "corrected") -> None:
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
            raise InputError(f"A tree's depth is a whole number of at least 1, not {depth!r}; give the inner steps.")
        if not isinstance(xi, int | float) or not 0 <= xi < math.inf:
            raise InputError(f"ξ is a number of standard deviations, finite and at least 0, not {xi!r}.")
        if rule not in RULES:
            raise InputError(f"There is no rule {rule!r}; choose one of {', '.join(RULES)}.")
        self.depth, self.xi, self.rule = depth, float(xi), rule
        self._root: Node | None = None
        self._tasks: dict[str, Node] = {}
        self._order: list[Node] = []
        self._ids = 0  # the next node's id
        self._spread, self._freedom = 0.0, 0  # squared deviations of similarities to siblings, and their freedom

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks in the order in which they came."""
        return tuple(self._tasks)

    def insert(self, vector: Any, name: str) -> Event:
        """Place a new task. `vector`: array, sequence or tensor of one dimension; only its direction counts.

        Raises InputError, and leaves the tree as it was, if the vector is not finite, has no direction or not the
        length of those before it, or if the name is empty or taken.
        """
        if not isinstance(name, str) or not name:
            raise InputError(f"A task's name is a text that is not empty, not {name!r}.")
        if name in self._tasks:
            raise InputError(f"The tree has a task {name!r} already; give every task its own name.")
        unit = _unit(vector, name, len(self._order[0].sum) if self._order else None)
        leaf = self._new(name, unit)
        self._tasks[name] = leaf
        self._order.append(leaf)
        # Before there is any evidence, σ² is that of random directions.
        gap = self.xi * math.sqrt((1 / len(unit) + self._spread) / (1 + self._freedom))
        if self._root is None:
            self._root = self._new("", unit).adopt([leaf])
            return Event(name, (Visit(self._root.id, (), (), {}, "sibling"),), (Move("sibling", leaf.id, 1),), gap)
        if self.rule == "paper":
            visits, moves = self._insert_as_printed(leaf)
            return Event(name, visits, moves, gap)
        way, place, kind, gain = self._find(leaf, gap**2)
        visits = tuple(
            Visit(
                node.id,
                node.ids(),
                tuple(similarities.tolist()),
                numbers,
                "descend" if depth < place else kind if depth == place else "look",
            )
            for depth, (node, similarities, numbers) in enumerate(way)
        )
        moves = [self._place(leaf, way[place][0], kind, gain)]
        if kind == "sibling" and len(way[place][1]) > 1:
            deviations = way[place][1] - way[place][1].mean()
            self._spread += float(deviations @ deviations)
            self._freedom += len(deviations) - 1
        moves += self._mend(leaf, gap**2)
        # Steps of the golden ratio spread over all tasks, early and late ones alike.
        earlier = self._order[int(len(self._order) * (len(self._order) * 0.618034 % 1))]
        again = self._place_anew(earlier, gap**2) if len(self._order) > 3 else []
        return Event(name, visits, (*moves, *again), gap, earlier.name if again else None)

    def tree(self) -> TaskTree:
        """The tree as it is now: an edge is as long as the mean similarity grows along it (1 at a task)."""
        if self._root is None:
            raise InputError("The tree has no task yet; insert one first.")
        made: dict[int, TaskTree] = {}
        for node in reversed(list(self._root.walk())):
            length, kids = node.omega - (node.up.omega if node.up else 0.0), tuple(made.pop(k.id) for k in node.kids)
            made[node.id] = TaskTree(node.name, kids, length, omega=node.up is None)
        return made[self._root.id]

    def nodes(self) -> list[NodeInfo]:
        """What there is to show of each node, in the order of `tree().nodes`."""
        found = self._root.walk() if self._root else ()
        return [NodeInfo(node.id, node.name, node.size, node.omega) for node in found]

    def _new(self, name: str, vector: np.ndarray) -> Node:
        self._ids += 1
        return Node(self._ids - 1, name, vector)

    def _find(self, leaf: Node, price: float) -> tuple[list[tuple[Node, np.ndarray, dict]], int, str, float]:
        """Steps 1 and 2: the way down, and the best place's position on it, kind and gain; `price` is (ξσ)²."""
        way, best = [], (0, "", -math.inf)
        node = self._root
        here = float(leaf.sum @ node.sum)  # the leaf's similarities to all tasks below the node, added up
        above = 0.0  # what the nodes passed so far gain if the leaf goes below them
        left_b, left_p = node.b, node.p  # the pairs at the parent, those of the leaf included, those of `node` not
        while True:
            depth, size, numbers = len(way), node.size, {}
            # Together below a new node: only what fits better than the pairs that it leaves (at the root: worse).
            if depth + 1 + node.height <= self.depth and left_p and (here * left_p > left_b * size) == bool(depth):
                shared = node.pairs + size if depth else node.pairs
                numbers["wrap" if node.kids else "pair"] = above + here**2 / size - price * shared
            if node.kids:
                pay = price * size if depth else 0.0
                numbers["sibling"] = above + _fit(node.b + here, node.p + size) - _fit(node.b, node.p) - pay
            for kind, gain in numbers.items():
                if gain > best[2] + _EPS:
                    best = depth, kind, gain
            way.append((node, node.similarities(leaf.sum) if node.kids else np.empty(0), numbers))
            if not node.kids:
                return way, *best
            nearest = node.kids[int(way[-1][1].argmax())]
            there = float(way[-1][1][nearest.at]) * nearest.size
            left_b, left_p = node.b + here - there, node.p + size - nearest.size
            above += _fit(left_b, left_p) - _fit(node.b, node.p) - pay
            node, here = nearest, there

    def _place(self, leaf: Node, node: Node, kind: str, gain: float = 0.0) -> Move:
        """Make `leaf` a child of `node` (sibling), or both children of a new node (pair, wrap)."""
        if kind == "sibling":
            node.attach(leaf)
            return Move(kind, leaf.id, node.id, gain=gain)
        up, at, new = node.up, node.at, self._new("", leaf.sum)
        self._stand(new.adopt([node]), up, at)
        new.squares = node.squares
        new.attach(leaf)
        new.settle()
        return Move(kind, leaf.id, node.id, new.id, gain=gain)

    def _stand(self, node: Node, up: Node | None, at: int) -> None:
        """Put `node` where the child `at` of `up`, or the root, stood."""
        if up is None:
            self._root, node.up = node, None
        else:
            up.put(at, node)

    def _mend(self, leaf: Node, price: float) -> list[Move]:
        """Step 3, from the newcomer's parent up. Every move raises the score, so this ends."""
        moves: list[Move] = []
        node = leaf.up
        while node.up is not None:
            up, now = node.up, _fit(node.b, node.p) + _fit(node.up.b, node.up.p)
            # Dissolved, its pairs would meet at the parent and pay for one level less.
            gain = _fit(up.b + node.b, up.p + node.p) - now + price * node.pairs
            if gain > _EPS * (1 + now):
                moves.append(Move("dissolve", node.id, gain=gain))
                up.adopt([kid for kid in up.kids if kid is not node] + node.kids).settle()
                node = leaf.up
                continue
            if len(up.kids) > 2:
                similarities = up.similarities(node.sum)
                similarities[node.at] = -math.inf
                other = up.kids[int(similarities.argmax())]
                # Merged, the pairs between the two would meet below the parent and pay for one level more.
                p = node.size * other.size
                b = float(similarities[other.at]) * other.size
                gain = _fit(node.b + other.b + b, node.p + other.p + p) + _fit(up.b - b, up.p - p)
                gain -= now + _fit(other.b, other.p) + price * p
                if other.kids and gain > _EPS * (1 + now):
                    moves.append(Move("merge", node.id, other.id, gain=gain))
                    node.adopt(node.kids + other.kids)
                    up.adopt([kid for kid in up.kids if kid is not other]).settle()
                    continue
            if node is leaf.up and len(node.kids) > 3:
                moves += self._split(leaf, price)
            node = up
        return moves

    def _split(self, leaf: Node, price: float) -> list[Move]:
        """Divide the leaf and its siblings into those near it and the rest, if the two are better apart."""
        node, up = leaf.up, leaf.up.up
        rows, sizes = node.rows[: len(node.kids)], node.sizes[: len(node.kids)]
        similarities = node.similarities(leaf.sum)
        similarities[leaf.at] = 1.0  # its own, whatever the rounding
        near = similarities > (similarities.sum() - 1) / (len(similarities) - 1)
        # Once more with the halves' mean similarities, without the child's own part: a step of 2-means.
        half, size, own = near @ rows, int(near @ sizes), np.einsum("ij,ij->i", rows, rows)
        to_near = (rows @ half - near * own) / np.maximum(size - near * sizes, 1)
        to_rest = (rows @ (node.sum - half) - ~near * own) / np.maximum(node.size - size - ~near * sizes, 1)
        near = to_near > to_rest
        if not 2 <= near.sum() <= len(near) - 2:
            return []
        half, size = near @ rows, int(near @ sizes)
        between, between_p = float(half @ (node.sum - half)), size * (node.size - size)
        b, p = float(half @ half - own @ near) / 2, (size**2 - int(sizes**2 @ near)) // 2
        now = _fit(node.b, node.p) + _fit(up.b, up.p)
        gain = _fit(b, p) + _fit(node.b - b - between, node.p - p - between_p)
        gain += _fit(up.b + between, up.p + between_p) - now + price * between_p
        if gain <= _EPS * (1 + now):
            return []
        new = self._new("", half).adopt([kid for kid in node.kids if near[kid.at]])
        node.adopt([kid for kid in node.kids if kid.up is node])
        up.adopt([*up.kids, new]).settle()
        return [Move("split", node.id, new=new.id, children=new.ids(), gain=gain)]

    def _place_anew(self, leaf: Node, price: float) -> list[Move]:
        """Step 4. There is nothing to tell if the leaf comes back to the siblings that it had."""
        up, siblings = leaf.up, {kid.id for kid in leaf.up.kids}
        up.detach(leaf)
        if len(up.kids) == 1 and (up.up or up.kids[0].kids):
            self._stand(up.kids[0], up.up, up.at)
            if up.up:
                up.up.settle()
        way, place, kind, gain = self._find(leaf, price)
        move = self._place(leaf, way[place][0], kind, gain)
        if {kid.id for kid in leaf.up.kids} == siblings:
            leaf.up.id = up.id  # a pair that is made again is the node that it was
            return []
        return [Move("out", leaf.id), move]

    def _insert_as_printed(self, leaf: Node) -> tuple[tuple[Visit, ...], tuple[Move, ...]]:
        """Algorithm 2 of the TreeMAML paper, read so that it runs; A are the tasks below node C, x is the newcomer.

        The first two tasks become children of the root. Then, if ω(A ∪ x) > ω(A): where C's depth + 1 = D, x is a
        sibling; else go on in the most similar child (printed: argmin, the least similar), and a leaf, which has no
        children to test, makes a pair. If ω(A ∪ x) < ω(A) − ξσ, C and x become the children of a new node (printed: of
        C itself), and all of C sinks by a level, whatever D says. Else x is a sibling. σ is the standard deviation of
        the similarities of the pairs in A. Compares with every task: meant for up to about 1,000.
        """
        visits: list[Visit] = []
        node, kind = self._root, ""
        while not kind:
            to_all = np.array([leaf.sum @ other.sum for other in node.walk() if other.name])
            to_kids = node.similarities(leaf.sum) if node.kids else np.empty(0)
            mean, numbers, kind = node.omega, {}, "sibling" if node.kids else "pair"
            if len(node.kids) > 1:
                sd = math.sqrt(max(0.0, node.squares / node.pairs - mean**2))
                joined = (mean * node.pairs + float(to_all.sum())) / (node.pairs + node.size)
                numbers = {"ω(A)": mean, "ω(A ∪ x)": joined, "ω(A) − ξσ": mean - self.xi * sd}
                if joined > mean and len(visits) + 1 < self.depth:
                    kind = "descend"
                elif joined < mean - self.xi * sd:
                    kind = "wrap"
            visits.append(Visit(node.id, node.ids(), tuple(to_kids.tolist()), numbers, kind))
            if kind == "descend":
                node.squares += float(to_all @ to_all)
                node, kind = node.kids[int(to_kids.argmax())], ""
        move = self._place(leaf, node, kind)
        leaf.up.squares += float(to_all @ to_all)
        return tuple(visits), (move,)


def grow(
    vectors: Sequence[Any], names: Sequence[str], depth: int, xi: float = XI, rule: str = "corrected"
) -> tuple[OnlineTree, list[Event]]:
    """The tree after inserting `vectors` in their order, and each one's event; the same input gives the same tree.

    Raises InputError if there is not one name per vector, and where `OnlineTree` does.
    """
    if len(vectors) != len(names):
        raise InputError(f"There are {len(vectors)} vectors and {len(names)} names; give every vector one name.")
    tree = OnlineTree(depth, xi, rule)
    return tree, [tree.insert(vector, name) for vector, name in zip(vectors, names, strict=True)]


def _fit(b: float, p: int) -> float:
    """What a node explains where `p` pairs meet with similarities that add up to `b`."""
    return b * b / p if p else 0.0


def _unit(vector: Any, name: str, length: int | None) -> np.ndarray:
    """The direction of a task's vector, which must have `length` numbers (None: any)."""
    if hasattr(vector, "detach"):
        vector = vector.detach().cpu().double().numpy()
    try:
        array = np.asarray(vector)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise InputError(f"The vector of {name!r} is not a list of real numbers; expected one dimension of them.")
    array = array.astype(float)
    if array.ndim != 1 or array.size != (length or max(array.size, 1)):
        expected = f"({length},)" if length else "one dimension"
        raise InputError(f"The vector of {name!r} has the shape {array.shape}; expected {expected}.")
    largest = np.abs(array).max()
    if not np.isfinite(largest):
        raise InputError(f"The vector of {name!r} has entries that are not finite; leave this task out.")
    if largest == 0:
        raise InputError(f"The vector of {name!r} is all zeros and has no direction; leave this task out.")
    array /= largest  # so that squares neither overflow nor vanish
    return array / np.linalg.norm(array)
