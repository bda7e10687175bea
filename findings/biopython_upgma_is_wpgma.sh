#!/usr/bin/env bash
# One expects: `DistanceTreeConstructor().upgma` is average linkage (UPGMA), as scipy's `linkage(..., "average")` and
#     scikit-bio's `upgma`: all pairs of leaves count the same.
# What happens: it averages the two joined clusters whatever their sizes: that is WPGMA, scipy's "weighted". Heights
#     differ, and with five leaves the tree itself can.
# Where it matters: a learned task tree (average linkage) compared with one from Biopython.
# Seen: biopython 1.88, scipy 1.17.1, scikit-bio 0.7.4, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'biopython==1.88' 'scipy==1.17.1' 'scikit-bio==0.7.4' 'numpy==2.4.6' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import Bio
import numpy as np
import scipy
import skbio
from Bio.Phylo.TreeConstruction import DistanceMatrix, DistanceTreeConstructor
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

print("biopython", Bio.__version__, "scipy", scipy.__version__, "scikit-bio", skbio.__version__)
names = list("abcde")
distances = np.array([
    [0, 2, 5, 10, 14],
    [2, 0, 5, 10, 14],
    [5, 5, 0, 6, 14],
    [10, 10, 6, 0, 8.3],
    [14, 14, 14, 8.3, 0],
])  # fmt: skip


def joins(heights):
    """The distance at which each pair of leaves is joined, as one line of text."""
    return ", ".join(f"{a}{b} {heights[i, j]:.2f}" for i, a in enumerate(names) for j, b in enumerate(names) if i < j)


average, weighted = (squareform(cophenet(linkage(squareform(distances), how))) for how in ("average", "weighted"))
lower = [distances[i, : i + 1].tolist() for i in range(5)]
tree = DistanceTreeConstructor().upgma(DistanceMatrix(names, lower))
biopython = np.array([[tree.distance(a, b) for b in names] for a in names])
scikit_bio = skbio.tree.upgma(skbio.DistanceMatrix(distances, names)).cophenet().filter(names).data
for name, heights in (
    ("scipy average", average),
    ("scikit-bio upgma", scikit_bio),
    ("biopython upgma", biopython),
    ("scipy weighted", weighted),
):
    print(f"{name:16}: {joins(heights)}")
for name, heights in (("scipy average", average), ("biopython upgma", biopython)):
    print(name, "joins d with", "e first" if heights[3, 4] < heights[3, 2] else "a, b and c first")

if not (np.allclose(scikit_bio, average) and np.allclose(biopython, weighted) and not np.allclose(average, weighted)):
    sys.exit("Changed: Biopython's upgma is no longer weighted linkage; drop the finding.")
PY
