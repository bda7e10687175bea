#!/usr/bin/env bash
# One expects: a pair of languages without data has no distance (nan), so that clustering stops on it.
# What happens: URIEL+ gives -1 in the matrix. scipy's `linkage` takes it, without a word, for the smallest distance there
#     is: a language without data is joined first, with whatever comes first. nan would have been refused.
# Where it matters: language trees for TreeMAML from phonological distances: Standard Arabic (arb) has none.
# Seen: urielplus 1.3.2, scipy 1.17.1, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'urielplus==1.3.2' 'scipy==1.17.1' 'numpy==2.4.6' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import logging
import sys
from importlib.metadata import version

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

logging.disable(logging.CRITICAL)
from urielplus import urielplus  # noqa: E402

print("urielplus", version("urielplus"), "scipy", version("scipy"))
languages = ["eng", "deu", "fra", "arb"]
matrix = np.array(urielplus.URIELPlus().new_distance("phonological", languages))
print(matrix.round(3))
first, second, height, _ = linkage(squareform(matrix, checks=False), "average")[0]
print(f"joined first: {languages[int(first)]} and {languages[int(second)]} at {height}")
matrix[matrix == -1] = np.nan
try:
    linkage(squareform(matrix, checks=False), "average")
    refused = False
except ValueError as error:
    refused = True
    print("with nan instead:", error)

if height != -1 or "arb" not in (languages[int(first)], languages[int(second)]) or not refused:
    sys.exit("Changed: missing distances of URIEL+ no longer come first in a tree; drop the finding.")
PY
