"""Where a tree of languages is from: a file, the distances of typologists, or the gradients of the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from ..errors import InputError
from ..inner import trainable
from ..linkage import cosine_linkage
from ..sketch import task_gradients
from ..text import phylogeny
from ..text.episodes import encode, sampler
from ..text.features import Features
from ..trees import TaskTree

URIEL, GRADIENTS = "uriel:", "gradients"
"""The first word of typologists' distances (`uriel:syntactic`), and the word for gradients, in place of a file."""

ROWS = 30
"""Labelled dev rows of each language that its gradient is the mean of."""


@dataclass(frozen=True)
class Source:
    """A tree of languages: `of(languages)` is the tree of these, `has(languages)` those that have a place in it.

    `name` says where it is from, `made_by` exactly: hashes of files, versions of packages. `reads_labels` of all
    languages, also of the targets.
    """

    name: str
    made_by: str
    of: Callable[[Sequence[str]], TaskTree]
    has: Callable[[Sequence[str]], tuple[str, ...]]
    reads_labels: bool = False


def source(name: str, names: str | None = None, features: Callable[[], Features] | None = None) -> Source:
    """The tree of a file (`names`: a table of its nodes' languages), of `uriel:KIND`, or of `gradients` on `features`.

    Raises InputError for a file that cannot be used, for a kind of distance that there is not, and for `names` without
    a file.
    """
    if names and (name == GRADIENTS or name.startswith(URIEL)):
        raise InputError(f"A file of names is for the nodes of a file, and {name} is none; leave out --tree-names.")
    if name.startswith(URIEL):
        kind = name.removeprefix(URIEL)
        phylogeny.check_kind(kind)
        made_by = f"urielplus {version('urielplus')}, average linkage"
        return Source(name, made_by, partial(phylogeny.uriel, kind=kind), partial(phylogeny.in_uriel, kind=kind))
    if name == GRADIENTS and features is not None:
        made_by = f"{ROWS} dev rows of each language, average linkage"
        return Source(name, made_by, lambda languages: of_gradients(features(), languages), tuple, reads_labels=True)
    if name == GRADIENTS:
        raise InputError(
            "A tree of gradients needs a corpus and an encoder, which run, study and choose-rates have; here, name a "
            "file or uriel:KIND."
        )
    found = phylogeny.load(name, names)
    made_by = ", ".join(f"{what} {which}" for what, which in found.made_by.items() if what != "tree")
    return Source(found.source, made_by, found.of, found.has)


def of_gradients(features: Features, languages: Sequence[str], rows: int = ROWS, seed: int = 0) -> TaskTree:
    """Average linkage over the cosine distances of the languages' gradients, at the encoder's parameters.

    A gradient is that of the mean loss on `rows` labelled dev rows, drawn from `seed`: of a target language too, so
    that this tree is not for zero-shot tests.
    """
    learner = features.encoder.learner
    drawn = sampler(features.corpus, languages, shots=rows, queries=1, seed=seed)(0)
    theta = {name: p.detach()[None] for name, p in trainable(learner).items()}
    vectors = task_gradients(learner, theta, [0] * len(languages), encode(drawn, features.__getitem__).support[0])
    return cosine_linkage(vectors, languages)


def pooled(tree: TaskTree, steps: int) -> list[str]:
    """What is pooled at each of the inner steps along a tree, a line for each; `|` stands between clusters."""
    lines = []
    for step in range(1, steps + 1):
        clusters: dict[int, list[str]] = {}
        for leaf, cluster in tree.clusters(step).items():
            clusters.setdefault(cluster, []).append(leaf)
        lines.append(f"step {step}: " + " | ".join(" ".join(cluster) for cluster in clusters.values()))
    return lines


def drawn(tree: TaskTree) -> str:
    """The tree as lines of text, a node below and to the right of its parent; nodes without a name are dots."""
    lines = []
    stack = [(tree, "", "")]
    while stack:
        node, before, below = stack.pop()
        lines.append(before + (node.name or "·"))
        last = len(node.children) - 1
        parts = [("└─ ", "   ") if place == last else ("├─ ", "│  ") for place in range(last + 1)]
        inside = [(child, below + at, below + on) for child, (at, on) in zip(node.children, parts, strict=True)]
        stack.extend(reversed(inside))
    return "\n".join(lines)
