#!/usr/bin/env bash
# One expects: the distance of a tree to itself is 0, as a count and as a proportion.
# What happens: for a tree without inner clades `compare_rfd(proportion=True)` gives 1.0, the greatest distance there is,
#     while the count is 0.
# Where it matters: a tree learner that puts all tasks under the root, seed after seed, looks as unstable as can be.
# Seen: scikit-bio 0.7.4, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'scikit-bio==0.7.4' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import skbio

print("scikit-bio", skbio.__version__)
found = []
for text in ("((a,b),(c,d));", "(a,b,c,d);"):
    first, second = (skbio.TreeNode.read([text]) for _ in range(2))
    found.append((first.compare_rfd(second), first.compare_rfd(second, proportion=True)))
    print(f"{text} against itself: count {found[-1][0]}, proportion {found[-1][1]}")

if found != [(0, 0), (0, 1)]:
    sys.exit("Changed: scikit-bio no longer calls two identical stars 1.0 apart; drop the finding.")
PY
