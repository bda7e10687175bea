"""Task trees: leaves are tasks, and a step of the inner loop pools the gradients below one node.

A `TaskTree` is a plain nested value. It reads and writes Newick, says which cluster each leaf belongs to at
inner step k, can be cut down to some of its nodes and brought to K levels, and can be compared with labels
(dendrogram purity) or with another tree (Robinson-Foulds). Nothing here recurses: a very deep tree is no harder than
a flat one.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

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
        self.checked()

    def checked(self) -> TaskTree:
        """This tree, if every leaf has a name of its own."""
        if "" in self.leaves:
            raise InputError("A leaf of the tree has no name; every leaf is a task and needs one.")
        twice = [leaf for leaf, n in Counter(self.leaves).items() if n > 1]
        if twice:
            raise InputError(f"The tree names {some(twice)} more than once; give every leaf its own name.")
        return self

    @classmethod
    def node(
        cls, name: str, children: Iterable[TaskTree] = (), length: float | None = None, omega: bool = False
    ) -> TaskTree:
        """A node of a tree that is still being built: nothing is checked, for that would cost a walk at every node."""
        made = object.__new__(cls)
        made.__dict__.update(name=name, children=tuple(children), length=length, omega=omega)
        return made

    @classmethod
    def nest(cls, name: str, children: Mapping | Iterable[str]) -> TaskTree:
        """A tree from nested dicts and lists: `nest("", {"Germanic": ["en", "de"], "Hellenic": ["el"]})`.

        Raises InputError where a list is a text or nothing stands below a name.
        """
        if isinstance(children, str):
            raise InputError(f"Below {name!r} stands the text {children!r}; expected a list of leaf names.")
        if isinstance(children, Mapping):
            below = [cls.nest(child, names) for child, names in children.items()]
        else:
            below = [cls(leaf) for leaf in children]
        if not below:
            raise InputError(f"Nothing stands below {name!r}; leave it out, or it would be a task itself.")
        return cls(name, tuple(below))

    @classmethod
    def of_clusters(cls, tasks: Sequence[str], labels: Sequence[Sequence[int]]) -> TaskTree:
        """The tree that clusters draw as they split from step to step: `labels` (K, m), one for each task at each step.

        The root stands for ω, where all tasks are together; a task that is alone is a leaf. Raises InputError if
        clusters merge.
        """
        before = [0] * len(tasks)
        for number, step in enumerate(labels, 1):
            if len(set(zip(step, before, strict=True))) > len(set(step)):
                raise InputError(f"Clusters merge at step {number}; they may split from step to step but never merge.")
            before = step
        below = [cls(task) for task in tasks]  # the node at which each task is, from the last step up
        for step in (*reversed(labels), [0] * len(tasks)):
            inside: dict[int, dict[int, TaskTree]] = {}
            for label, node in zip(step, below, strict=True):
                inside.setdefault(label, {})[id(node)] = node
            size = Counter(step)
            made = {
                label: cls.node("", nodes.values()) if size[label] > 1 else next(iter(nodes.values()))
                for label, nodes in inside.items()
            }
            below = [made[label] for label in step]
        return below[0].checked()

    @classmethod
    def from_newick(cls, text: str) -> TaskTree:
        """Read one tree in Newick, with optional names, 'quoted' or "quoted" names, lengths and [comments [in others]].

        A quote in a quoted name is doubled: 'it''s'. Raises InputError for anything else, NEXUS and several trees too.
        """
        return newick.read(text, cls.node).checked()

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
        return max(depth for _, depth, _ in self.walk())

    def walk(self) -> Iterator[tuple[TaskTree, int, int]]:
        """Every node in the order of `nodes`, with its depth and the position of its parent (-1 for the root)."""
        stack, place = [(self, 0, -1)], itertools.count()
        while stack:
            node, depth, above = stack.pop()
            yield node, depth, above
            here = next(place)
            stack.extend((child, depth + 1, here) for child in reversed(node.children))

    def paths(self) -> dict[str, tuple[int, ...]]:
        """For each leaf the nodes from the root down to it, as their positions in `nodes`."""
        found: dict[str, tuple[int, ...]] = {}
        path: list[int] = []
        for place, (node, depth, _) in enumerate(self.walk()):
            path[depth:] = [place]
            if not node.children:
                found[node.name] = tuple(path)
        return found

    def clusters(self, step: int) -> dict[str, int]:
        """The cluster of each leaf at inner step `step` (1, 2, ...): the node at depth `step` - 1 above it.

        Step 1 pools at the root. A branch that ends early keeps its last cluster for the later steps.
        """
        if step < 1:
            raise InputError(f"Inner steps are counted from 1; there is no step {step}.")
        found: dict[str, int] = {}
        path: list[int] = []
        for place, (node, depth, _) in enumerate(self.walk()):
            path[depth:] = [place]
            if not node.children:
                found[node.name] = path[min(step - 1, depth)]
        return found

    def rename(self, names: Mapping[str, str]) -> TaskTree:
        """The same tree with leaves renamed; leaves that `names` does not mention keep their name."""
        made: dict[int, TaskTree] = {}
        for node in _upwards(self):
            name = node.name if node.children else names.get(node.name, node.name)
            children = [made.pop(id(child)) for child in node.children]
            made[id(node)] = TaskTree.node(name, children, node.length, node.omega)
        return made[id(self)].checked()

    def keep(self, names: Mapping[str, str] | Iterable[str]) -> TaskTree:
        """The tree cut down to some of its nodes, each a leaf: `names` maps their names to those of the leaves.

        What is below a kept node goes, unless another kept node is there: then it stays an inner node and gets itself
        as one more leaf, the last of its children and, if these have lengths, 0 long. A node that is left with one
        child is passed over, and the lengths of the two edges added up; where one of them is unknown (None), the sum
        is. The root of what is left has no length. Children keep their order, inner nodes their names.
        Raises InputError if nothing is kept, if a name is not in the tree or is that of two nodes, or if two leaves
        would share a name.
        """
        names = {names: names} if isinstance(names, str) else names
        names = dict(names) if isinstance(names, Mapping) else {name: name for name in names}
        places: dict[str, list[int]] = {name: [] for name in names}
        for place, node in enumerate(self.nodes):
            if node.name in places:
                places[node.name].append(place)
        if lacking := [name for name, found in places.items() if not found]:
            raise InputError(f"The tree has no node {some(lacking)}; name nodes that it has.")
        if twice := [name for name, found in places.items() if len(found) > 1]:
            raise InputError(f"The tree names {some(twice)} twice; a node to keep needs a name of its own.")
        return self.keep_at({places[name][0]: leaf for name, leaf in names.items()})

    def keep_at(self, leaves: Mapping[int, str]) -> TaskTree:
        """`keep` for nodes by their positions in `nodes`, where names do not tell them apart."""
        if not leaves:
            raise InputError("Nothing is left of the tree; name at least one node to keep.")
        made: dict[int, TaskTree] = {}
        nodes = list(self.nodes)
        for place in range(len(nodes) - 1, -1, -1):
            node = nodes[place]
            children = [made.pop(id(child)) for child in node.children if id(child) in made]
            if place in leaves:
                known = any(child.length is not None for child in children)
                children.append(TaskTree.node(leaves[place], length=0.0 if known else None))
            if len(children) == 1:
                (only,) = children
                length = node.length  # of a leaf that was made of this very node; any other child brings its edge
                if place not in leaves:
                    length = None if None in (length, only.length) else length + only.length
                made[id(node)] = TaskTree.node(only.name, only.children, length)
            elif children:
                made[id(node)] = TaskTree.node(node.name, children, node.length)
        root = made[id(self)]
        return TaskTree.node(root.name, root.children).checked()

    def levels(self, count: int, by: Literal["depth", "length"] = "depth") -> TaskTree:
        """The tree brought to `count` levels, K: step k of K pools what `clusters(k)` of the result has together.

        Step 1 pools all leaves, step K none (with K = 1 all are together). Step k cuts the tree `by` depth at
        (k - 1) D / (K - 1) edges from the root, D being the deepest leaf's, rounded to whole edges, halves up; `by`
        length, for dated trees, at (k - 1) H / (K - 1), H being the farthest leaf's distance. Together are the leaves
        below one node or edge that the cut meets; a leaf that ends before it is alone. A cluster that does not split
        has one child, so that all stay in step. By length, edges reach from cut to cut, or to the leaf's own end; by
        depth they have no length. Raises InputError for K < 1; by depth for K > D + 1; by length where lengths are
        missing, negative or all 0.
        """
        if count < 1:
            raise InputError(f"A tree has at least one level, not {count}; give the number of inner steps.")
        ends, gaps = self._ends(by), max(count - 1, 1)
        far = max(ends)
        cuts = [far * k / gaps for k in range(gaps)]
        if by == "depth":
            cuts = [math.floor(cut + 0.5) for cut in cuts]
            if count > far + 1:
                raise InputError(
                    f"The tree has {far + 1:.0f} levels at most, by depth, and {count} were asked for; "
                    "take fewer, or a finer tree."
                )
        # For each leaf its clusters from cut to cut, as (level, position in `nodes`): these are the nodes to make.
        slack = 1e-9 * far  # the same time, as sums of different lengths, differs in the last digits
        below: dict[tuple[int, int], dict[tuple[int, int], None]] = {}
        path: list[int] = []
        reached: list[float] = []
        for place, (node, depth, _) in enumerate(self.walk()):
            path[depth:], reached[depth:] = [place], [ends[place]]
            if node.children:
                continue
            chain = [path[min(bisect.bisect_left(reached, cut - slack), depth)] for cut in cuts]
            if place in chain:
                del chain[chain.index(place) :]
            for upper, lower in itertools.pairwise(enumerate([*chain, place])):
                below.setdefault(upper, {})[lower] = None
            below[len(chain), place] = {}
        made: dict[tuple[int, int], TaskTree] = {}
        nodes = list(self.nodes)
        for level, place in sorted(below, reverse=True):
            children = [made.pop(key) for key in below[level, place]]
            length = None
            if by == "length" and level:
                length = max((cuts[level] if children else ends[place]) - cuts[level - 1], 0.0)
            made[level, place] = TaskTree.node(nodes[place].name, children, length)
        return made[0, 0]

    def _ends(self, by: str) -> list[float]:
        """How far each node is from the root, in the order of `nodes`: in edges, or in what the lengths count."""
        if by == "depth":
            return [depth for _, depth, _ in self.walk()]
        if by != "length":
            raise InputError(f"Levels are made by 'depth' or by 'length', not by {by!r}.")
        edges = [node.length for node in itertools.islice(self.nodes, 1, None)]
        wrong = "are missing" if None in edges else "are negative" if min(edges, default=0) < 0 else ""
        if wrong or not any(edges):
            raise InputError(
                f"{'Some' if wrong else 'All'} lengths of the tree {wrong or 'are 0'}, so that it cannot be cut by "
                "length; make its levels by depth."
            )
        ends = [0.0]
        for (_, _, above), edge in zip(itertools.islice(self.walk(), 1, None), edges, strict=True):
            ends.append(ends[above] + edge)
        return ends

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
