"""What an online tree is made of: nodes with the sums that an insertion asks for, and the events that tell of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Visit:
    """One node on a newcomer's way: what was compared there, and what was decided.

    `similarities`: the newcomer's mean similarity to the tasks below each of `children` (node ids). `numbers` decide:
    in the corrected rule the growth of the score for each place that the depth allows here (sibling; pair or wrap), in
    the paper's "ω(A)", "ω(A ∪ x)" and "ω(A) − ξσ". `decision`: sibling, pair, wrap, descend, or look (seen on the way
    down, but a place further up was better).
    """

    node: int
    children: tuple[int, ...]
    similarities: tuple[float, ...]
    numbers: dict[str, float]
    decision: str


@dataclass(frozen=True)
class Move:
    """One change of the tree; the moves of all events, in order, rebuild it (the first task stands below a root).

    sibling: leaf `node` joins the children of `other`. pair, wrap: `new` takes the place of `other` and has `other` and
    leaf `node` as children. out: leaf `node` leaves; a node with one child left gives way to it. dissolve: the children
    of `node` go to its parent. merge: those of `other` go to `node`. split: `children` go from `node` to `new` beside
    it. `gain` is the growth of the score.
    """

    kind: str
    node: int
    other: int | None = None
    new: int | None = None
    children: tuple[int, ...] = ()
    gain: float = 0.0


@dataclass(frozen=True)
class Event:
    """One insertion: the way down, then every change. `gap` is ξσ, the similarity that a level must be worth.

    The first of `moves` is the newcomer's place; repairs follow. `moved`: an earlier task that found a better place.
    """

    name: str
    visits: tuple[Visit, ...]
    moves: tuple[Move, ...]
    gap: float
    moved: str | None = None


class NodeInfo(NamedTuple):
    """A node for display: its id in the events, its name ("" if inner), the tasks below it, their mean similarity."""

    id: int
    name: str
    size: int
    omega: float


@dataclass(eq=False, slots=True)
class Node:
    """A node, which knows the tasks below it by their sum; its parent's `rows` and `sizes` are kept in step with it."""

    id: int
    name: str
    sum: np.ndarray  # of the unit vectors below
    size: int = 1
    b: float = 0.0  # the similarities of the pairs that meet here, added up
    p: int = 0  # how many these pairs are
    squares: float = 0.0  # the squared similarities of all pairs below, added up; paper's rule only
    height: int = 0
    up: Node | None = None
    at: int = 0  # position among the parent's children
    kids: list[Node] = field(default_factory=list)
    rows: np.ndarray | None = None  # the children's sums, with room to grow: one product compares with all of them
    sizes: np.ndarray | None = None

    @property
    def pairs(self) -> int:
        """The number of pairs of tasks below."""
        return self.size * (self.size - 1) // 2

    @property
    def omega(self) -> float:
        """The mean similarity of these pairs; 1 for a task."""
        # |sum of unit vectors|² counts each pair twice and each task once.
        return float(self.sum @ self.sum - self.size) / (2 * self.pairs) if self.pairs else 1.0

    def ids(self) -> tuple[int, ...]:
        """The children's ids."""
        return tuple(map(attrgetter("id"), self.kids))

    def similarities(self, vector: np.ndarray) -> np.ndarray:
        """The mean similarity of `vector` to the tasks below each child (times n for the sum of n vectors)."""
        k = len(self.kids)
        return self.rows[:k] @ vector / self.sizes[:k]

    def adopt(self, kids: list[Node]) -> Node:
        """Have these children and no others, and count them anew."""
        self.kids, self.rows, self.sizes = kids, np.array([kid.sum for kid in kids]), np.array([k.size for k in kids])
        for at, kid in enumerate(kids):
            kid.up, kid.at = self, at
        self.sum, self.size = self.rows.sum(0), int(self.sizes.sum())
        self.b = float(self.sum @ self.sum - np.vdot(self.rows, self.rows)) / 2
        self.p = self.pairs - sum(kid.pairs for kid in kids)
        self.height = 1 + max(kid.height for kid in kids)
        if self.up is not None:
            self.up.put(self.at, self)
        return self

    def put(self, at: int, kid: Node) -> None:
        """Have `kid` in the place `at`."""
        self.kids[at], self.rows[at], self.sizes[at], kid.up, kid.at = kid, kid.sum, kid.size, self, at

    def attach(self, leaf: Node) -> None:
        """Have `leaf` as one more child, and count it."""
        k = len(self.kids)
        if k == len(self.rows):
            room = k // 2 + 2
            self.rows = np.concatenate([self.rows, np.empty((room, len(leaf.sum)))])
            self.sizes = np.concatenate([self.sizes, np.empty(room, int)])
        self._count(leaf, 1)
        self.kids.append(leaf)
        self.put(k, leaf)

    def detach(self, leaf: Node) -> None:
        """Let a child go, and count it out."""
        last = self.kids.pop()
        if last is not leaf:
            self.put(leaf.at, last)
        self._count(leaf, -1)

    def _count(self, leaf: Node, sign: int) -> None:
        """Count `leaf` in (1) or out (-1), here and in all nodes above."""
        node, below, size_below = self, 0.0, 0
        while node is not None:
            if sign < 0:
                node.sum -= leaf.sum
                node.size -= 1
            similarity, size = float(leaf.sum @ node.sum), node.size
            node.b, node.p = node.b + sign * (similarity - below), node.p + sign * (size - size_below)
            below, size_below = similarity, size
            if sign > 0:
                node.sum += leaf.sum
                node.size += 1
            if node.up is not None:
                node.up.rows[node.at], node.up.sizes[node.at] = node.sum, node.size
            node = node.up

    def settle(self) -> None:
        """Correct the heights from here upwards."""
        node = self
        while node is not None:
            node.height, node = 1 + max(kid.height for kid in node.kids), node.up

    def walk(self) -> Iterator[Node]:
        """Every node from here down, in the order of `TaskTree.nodes`."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.kids))
