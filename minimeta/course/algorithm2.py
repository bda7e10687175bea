"""Algorithm 2 of TreeMAML on a nested list of task names: as it should be, and with each flaw that students write.

A flaw has a name; the tables say by that name what to tell the student, and the functions do what the flaw does.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np


def tasks_below(node: str | list) -> list[str]:
    """The names of the tasks at or below a node, left to right."""
    return [node] if isinstance(node, str) else [task for child in node for task in tasks_below(child)]


def pairs(units: np.ndarray) -> np.ndarray:
    """The similarities of all pairs of two different tasks, from their vectors (n, d) of length 1."""
    return (units @ units.T)[_above_diagonal(len(units))]


@functools.cache
def _above_diagonal(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(n, 1)


def numbers(units: np.ndarray, newcomer: np.ndarray, xi: float) -> tuple[float, float, float]:
    """ω(A), ω(A ∪ x) and ω(A) − ξσ, pair by pair; needs n >= 2."""
    inside = pairs(units)
    joined = np.append(inside, units @ newcomer)
    return inside.mean(), joined.mean(), inside.mean() - xi * inside.std()


DECIDE = {  # the flaws of `decide`, and what to say of each
    "late": "your walk goes on below the last level: where depth + 1 = D the children stand as deep as they may, and "
    "the newcomer becomes one of them",
    "early": "your walk stops one level too early: it may go on until depth + 1 = D",
    "reversed": "descend and wrap are the wrong way round: a newcomer that raises ω is at home here",
    "all": "you wrap whenever ω falls; the bound is ω(A) − ξσ, and from there up to ω(A) the newcomer is a sibling",
    "rest": "you wrap wherever ω does not rise; only below ω(A) − ξσ the node is wrapped",
    "none": "you never wrap; below ω(A) − ξσ the newcomer and the whole node get a new node",
    "generous": "you descend above ω(A) − ξσ; only a newcomer that raises ω above ω(A) goes on",
    "xi": "ξ is missing: the bound is ω(A) − ξσ",
    "sigma": "σ is missing: ξ says how many standard deviations",
    "variance": "you take the variance; σ is its square root",
    "absolute": "you take the mean distance from the mean; σ is the root of the mean square of these distances",
    "ddof": "take the plain standard deviation over the pairs: divide by their number, not by one less",
    "diagonal": "σ runs over pairs of two different tasks: leave out the similarities of tasks to themselves, which "
    "are 1",
    "joined": "σ is that of the pairs in A, without the newcomer",
    "newcomer": "σ is that of the pairs in A; yours is that of the newcomer's similarities",
    "distinct": "σ runs over all pairs: two pairs of the same similarity count twice",
    "twins": "two tasks whose vectors are alike make a pair too, with the similarity 1",
    "mean": "you compare the newcomer's mean similarity with the bound; the rule compares ω(A ∪ x), which moves less",
    "nearest": "the test is on ω, not on the most similar task alone",
    "guarded": "Algorithm 2 as printed does not look at D before it wraps; write it as printed, part 4 mends it",
    "alone": "with one task there is no pair to compare with: |A| = 1, and the newcomer becomes a sibling",
    "pair": "two tasks make one pair, whose σ is 0; the tests hold for them too",
    "stays": "a newcomer goes on where ω rises; where it stays exactly as it is, compare with >, not with >=",
    "touches": "a node is wrapped where ω falls below the bound; exactly on it, compare with <, not with <=",
}


def decide(units: np.ndarray, newcomer: np.ndarray, xi: float, depth: int, limit: int, flaw: str = "") -> str:
    """The decision at a node as Algorithm 2 is printed, or with one of the flaws in `DECIDE`."""
    n = len(units)
    if n == 1 or (n == 2 and flaw == "pair"):
        return "wrap" if flaw == "alone" else "sibling"
    inside, near = pairs(units), units @ newcomer
    if flaw == "twins" and inside.min() < 1 - 1e-9:
        inside = inside[inside < 1 - 1e-9]
    both = np.append(inside, near)
    before, joined = inside.mean(), both.mean()
    spread = {"diagonal": units @ units.T, "newcomer": near, "joined": both}.get(flaw, inside).std()
    if flaw == "variance":
        spread **= 2
    elif flaw == "absolute":
        spread = np.abs(inside - before).mean()
    elif flaw == "distinct":
        spread = np.unique(inside.round(9)).std()
    elif flaw == "ddof":
        spread *= (len(inside) / (len(inside) - 1)) ** 0.5 if n > 2 else np.nan
    prices = {"all": 0.0, "rest": -np.inf, "none": np.inf, "xi": spread, "sigma": xi}
    price = prices.get(flaw, xi * spread)
    last = depth + {"late": 0, "early": 2}.get(flaw, 1) >= limit
    high = near.max() > before if flaw == "nearest" else joined > (before - price if flaw == "generous" else before)
    low = (near.mean() if flaw == "mean" else joined) < before - price and not (flaw == "guarded" and last)
    high |= flaw == "stays" and joined == before
    low |= flaw == "touches" and joined == before - price
    if flaw == "reversed":
        high, low = low, high
    return ("sibling" if last else "descend") if high else "wrap" if low else "sibling"


SINK = {
    "still": "you ask whether the tree fits as it is; ask after the node has sunk, with all below it: one edge more",
    "true": "your answer is always True; where a task would have more than D edges above it, it is False",
    "strict": "a task may stand exactly D edges deep (compare with <=), and a task's height is 0 (count edges, not "
    "nodes)",
    "node": "the edges below the node are not counted: its deepest task stands deeper than the node, an edge for each "
    "level",
    "first": "the height goes over all children, not only the first",
    "last": "the height goes over all children, not only the last",
    "least": "the deepest task decides: take the largest height of the children",
    "single": "a node with one child is a level too: its height is one more than that of the child",
    "children": "the height is counted in edges downwards; the number of children does not matter",
    "tasks": "the height is counted in edges downwards; the number of tasks does not matter",
    "depth": "the node's own depth is missing: edges are counted from the root",
    "reversed": "it is the wrong way round: True means that it fits",
}


def can_sink(node: str | list, depth: int, limit: int, flaw: str = "") -> bool:
    """May `node` at `depth` sink by a level, and no task be deeper than D? Or with one of the flaws in `SINK`."""
    below = 0 if flaw == "node" else height(node, flaw)
    deepest = (flaw != "depth") * depth + (flaw != "still") + below
    if flaw == "true":
        return True
    return (deepest < limit if flaw == "strict" else deepest <= limit) != (flaw == "reversed")


def height(node: str | list, flaw: str = "") -> int:
    """Edges down to the deepest task, or with one of the flaws in `SINK`."""
    if isinstance(node, str):
        return 0
    if flaw in ("children", "tasks"):
        return len(node if flaw == "children" else tasks_below(node))
    below = [height(child, flaw) for child in node]
    if flaw == "single" and len(node) == 1:
        return below[0]
    return 1 + {"first": below[0], "last": below[-1], "least": min(below)}.get(flaw, max(below))


USUAL = 0.7
"""The ξ of the problem set's own examples."""

INSERT = {
    "least": "your walk goes to the least similar child (that is the paper's argmin); take the most similar",
    "sum": "the most similar child has the largest mean similarity, not the largest sum: big clusters win yours",
    "direction": "the most similar child has the largest mean similarity; yours has the largest cosine with the "
    "direction of its sum, which divides by the length of the sum",
    "nearest": "the most similar child has the largest mean similarity; yours holds the most similar task",
    "children": "the mean similarity to a child divides by its number of tasks, not by that of its children",
    "first": "your walk always goes to the first child; take the most similar",
    "open": "you wrap without asking whether the node can sink: tasks go deeper than D; make the newcomer a sibling "
    "there",
    "timid": "a wrap that fits is not carried out: the node may sink where its deepest task then has exactly D edges",
    "shallow": "the node's own depth is missing where you ask whether it can sink",
    "level": "one level down the depth is one more: give depth + 1 when you call insert again",
    "price": "ξ is another one level down: give `xi` itself when you call insert again",
    "flat": "a newcomer that goes on to a task makes a pair with it, below a new node",
    "never": "your tree never wraps, though there is room: the node and the newcomer become the children of a new one",
    "always": "the newcomer is always a sibling at the root: carry out the other decisions too",
    "beside": "to wrap is to put the node, as one child, and the newcomer below a new node; yours only joins the last "
    "child",
    "spill": "the child's list is emptied into its parent: keep the brackets, [insert(...)] as one child",
    "lost": "where a wrap does not fit, the newcomer is lost: make it a sibling",
    "lost below": "what your walk changed further down is lost: put the new child in the place of the old",
    "kept": "the child where the walk went on is there twice, old and new: replace it",
    "gone": "the other children are lost: only the chosen child changes, its siblings stay",
}


def insert(
    node: str | list, name: str, units: Mapping[str, np.ndarray], xi: float, limit: int, depth: int = 0, flaw: str = ""
) -> str | list:
    """The tree after Algorithm 2 placed `name`, within D; or with one of the flaws in `INSERT`."""
    if isinstance(node, str):
        return [node, name]
    decision = decide(np.array([units[task] for task in tasks_below(node)]), units[name], xi, depth, limit)
    if decision == "descend" and flaw != "always":
        values = [likeness(child, name, units, flaw) for child in node]
        at = {"least": int(np.argmin(values)), "first": 0}.get(flaw, int(np.argmax(values)))
        if flaw == "flat" and isinstance(node[at], str):
            return [*node, name]
        price, level = USUAL if flaw == "price" else xi, 0 if flaw == "level" else depth + 1
        new = insert(node[at], name, units, price, limit, level, flaw)
        rest = {
            "spill": [*node[:at], *new, *node[at + 1 :]],
            "lost below": node,
            "kept": [*node, new],
            "gone": new,
        }
        return rest.get(flaw, [*node[:at], new, *node[at + 1 :]])
    if decision == "wrap" and flaw not in ("never", "always"):
        if flaw == "open" or can_sink(node, {"shallow": 0, "timid": depth + 1}.get(flaw, depth), limit):
            return [*node[:-1], [node[-1], name]] if flaw == "beside" else [node, name]
        if flaw == "lost":
            return node
    return [*node, name]


def likeness(child: str | list, name: str, units: Mapping[str, np.ndarray], flaw: str = "") -> float:
    """The mean similarity of `name` to the tasks of a child, or with one of the flaws in `INSERT`."""
    below = np.array([units[task] for task in tasks_below(child)])
    near = below @ units[name]
    if flaw == "nearest":
        return near.max()
    if flaw == "direction":
        return near.sum() / np.linalg.norm(below.sum(0))
    if flaw == "children":
        return near.sum() / (1 if isinstance(child, str) else len(child))
    return near.sum() if flaw == "sum" else near.mean()
