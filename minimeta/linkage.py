"""Average linkage: a binary tree over things of which all distances are known, made at once (scipy)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform

from .errors import InputError, some
from .trees import TaskTree


def average_linkage(distances: np.ndarray, names: Sequence[str]) -> TaskTree:
    """The tree of average linkage (UPGMA) over n things: always the two nearest clusters are joined.

    `distances` is (n, n), symmetric; its diagonal is not looked at. Two clusters meet at the height that is the mean
    distance of their leaves (a leaf's is 0), and edges are as long as heights differ. Raises InputError if distances
    are not those of n names, missing (nan), infinite, negative or not symmetric.
    """
    matrix, n = np.array(distances, float), len(names)
    if n < 1 or matrix.shape != (n, n):
        raise InputError(f"Distances between {n} names are a table of {n} × {n}, not of the shape {matrix.shape}.")
    np.fill_diagonal(matrix, 0)
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        odd = [names[i] for i in np.flatnonzero((~np.isfinite(matrix) | (matrix < 0)).any(axis=1))]
        raise InputError(
            f"Distances of {some(odd)} are negative, infinite or missing; leave out what has no distance to the others."
        )
    if not np.allclose(matrix, matrix.T):
        raise InputError("The distances are not the same in both directions; give a symmetric table.")
    nodes, heights = [TaskTree(name) for name in names], [0.0] * n
    for *pair, height, _ in linkage(squareform(matrix, checks=False), "average") if n > 1 else ():
        joined = [nodes[int(i)] for i in pair]
        edges = [max(0.0, float(height) - heights[int(i)]) for i in pair]  # rounding can make it -1e-17
        children = [TaskTree.node(c.name, c.children, edge) for c, edge in zip(joined, edges, strict=True)]
        nodes.append(TaskTree.node("", children))
        heights.append(float(height))
    return nodes[-1].checked()


def cosine_linkage(vectors: np.ndarray, names: Sequence[str]) -> TaskTree:
    """Average linkage over the cosine distances of `vectors` (n, d)."""
    return average_linkage(squareform(pdist(vectors, "cosine")), names)
