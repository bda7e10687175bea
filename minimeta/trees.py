"""Task trees: leaves are tasks, and a step of the inner loop pools the gradients below one node.

A `TaskTree` is a plain nested value. It reads and writes Newick, says which cluster each leaf belongs to at
inner step k, and can be compared with labels (dendrogram purity) or with another tree (Robinson-Foulds).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from . import newick
from .errors import InputError, some


@dataclass(frozen=True, eq=False, repr=False)
class TaskTree:
    """A rooted tree whose leaves are tasks; any number of children per node.

    `length` is the length of the edge above the node (None where unknown), a finite number. Leaf names are unique.
    `omega` says that the lengths below this root add up to ω, its own included, as those of `OnlineTree` do: pictures
    then have ω as their scale. It is no part of Newick, where a length is a length.
    """

    name: str = ""
    children: tuple[TaskTree, ...] = ()
    length: float | None = None
    omega: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "children", tuple(self.children))
        if self.length is not None:
            object.__setattr__(self, "length", float(self.length))
            if not math.isfinite(self.length):
                raise InputError(
                    f"The edge above {self.name or 'an inner node'!r} has the length {self.length}; expected a finite "
                    "number, or no length."
                )
        if not self.children and not self.name:
            raise InputError("A leaf of the tree has no name; every leaf is a task and needs one.")
        twice = [leaf for leaf, n in Counter(self.leaves).items() if n > 1]
        if twice:
            raise InputError(f"The tree names {some(twice)} more than once; give every leaf its own name.")

    @classmethod
    def nest(cls, name: str, children: Mapping | Iterable[str]) -> TaskTree:
        """A tree from nested dicts and lists: `nest("", {"Germanic": ["en", "de"], "Hellenic": ["el"]})`."""
        if isinstance(children, Mapping):
            return cls(name, tuple(cls.nest(child, below) for child, below in children.items()))
        if isinstance(children, str):
            raise InputError(f"Below {name!r} stands the text {children!r}; expected a list of leaf names.")
        return cls(name, tuple(cls(leaf) for leaf in children))

    @classmethod
    def from_newick(cls, text: str) -> TaskTree:
        """Read one tree in Newick, with optional names, 'quoted' or "quoted" names, lengths and [comments [in others]].

        A quote in a quoted name is doubled: 'it''s'. Raises InputError for anything else, NEXUS and several trees too.
        """
        return newick.read(text, cls)

    def newick(self) -> str:
        """This tree in Newick; `from_newick` reads it back unchanged."""
        return newick.write(_upwards(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskTree) and self.newick() == other.newick()

    def __hash__(self) -> int:
        return hash(self.newick())

    def __repr__(self) -> str:
        return f"TaskTree.from_newick({self.newick()!r})"

    @property
    def nodes(self) -> Iterator[TaskTree]:
        """Every node, parents before children, left to right."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    @property
    def leaves(self) -> tuple[str, ...]:
        """The names of the leaves, left to right."""
        return tuple(node.name for node in self.nodes if not node.children)

    @property
    def depth(self) -> int:
        """The number of edges from the root to the deepest leaf."""
        return max(len(path) for path in self.paths().values()) - 1

    def paths(self) -> dict[str, tuple[int, ...]]:
        """For each leaf the nodes from the root down to it, as their positions in `nodes`."""
        found: dict[str, tuple[int, ...]] = {}
        stack: list[tuple[TaskTree, tuple[int, ...]]] = [(self, ())]
        count = 0
        while stack:
            node, above = stack.pop()
            path, count = (*above, count), count + 1
            if not node.children:
                found[node.name] = path
            stack.extend((child, path) for child in reversed(node.children))
        return found

    def clusters(self, step: int) -> dict[str, int]:
        """The cluster of each leaf at inner step `step` (1, 2, ...): the node at depth `step` - 1 above it.

        Step 1 pools at the root. A branch that ends early keeps its last cluster for the later steps.
        """
        if step < 1:
            raise InputError(f"Inner steps are counted from 1; there is no step {step}.")
        return {leaf: path[min(step, len(path)) - 1] for leaf, path in self.paths().items()}

    def rename(self, names: Mapping[str, str]) -> TaskTree:
        """The same tree with leaves renamed; leaves that `names` does not mention keep their name."""
        made: dict[int, TaskTree] = {}
        for node in _upwards(self):
            name = node.name if node.children else names.get(node.name, node.name)
            made[id(node)] = TaskTree(name, tuple(made.pop(id(c)) for c in node.children), node.length, node.omega)
        return made[id(self)]

    def purity(self, labels: Mapping[str, str]) -> float:
        """Dendrogram purity in [0, 1] (Heller and Ghahramani 2005): 1 if each label is a subtree of its own.

        Over all pairs of leaves with the same label: the share of that label below their lowest common
        ancestor, on average. `labels` gives the label of each leaf.
        """
        missing = [leaf for leaf in self.leaves if leaf not in labels]
        if missing:
            raise InputError(f"Purity needs a label for every leaf; {some(missing)} has none.")
        counts: dict[int, Counter] = {}
        total, pairs = 0.0, 0
        for node in _upwards(self):
            if not node.children:
                counts[id(node)] = Counter([labels[node.name]])
                continue
            parts = [counts.pop(id(child)) for child in node.children]
            here = sum(parts, Counter())
            size = here.total()
            for label, n in here.items():
                meet = (n * n - sum(part[label] ** 2 for part in parts)) // 2
                total, pairs = total + meet * n / size, pairs + meet
            counts[id(node)] = here
        return total / pairs if pairs else 1.0

    def robinson_foulds(self, other: TaskTree) -> float:
        """Robinson-Foulds distance in [0, 1]: the share of clades (leaf sets) that only one tree has.

        Rooted and normalised by the number of clades in both; the root and single leaves do not count.
        """
        if set(self.leaves) != set(other.leaves):
            odd = sorted(set(self.leaves) ^ set(other.leaves))
            raise InputError(f"Trees can only be compared over the same leaves; {some(odd)} is in one of them.")
        mine, theirs = self.clades(), other.clades()
        return len(mine ^ theirs) / max(len(mine) + len(theirs), 1)

    def clades(self) -> set[frozenset[str]]:
        """The leaf sets below the inner nodes, without the root's and without single leaves."""
        below: dict[int, frozenset[str]] = {}
        found = set()
        for node in _upwards(self):
            parts = [below.pop(id(child)) for child in node.children]
            below[id(node)] = frozenset().union(*parts) if parts else frozenset([node.name])
            found.add(below[id(node)])
        return {c for c in found if 1 < len(c) < len(below[id(self)])}


def _upwards(tree: TaskTree) -> list[TaskTree]:
    """Every node, children before parents."""
    return list(tree.nodes)[::-1]
