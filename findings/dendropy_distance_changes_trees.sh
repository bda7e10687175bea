#!/usr/bin/env bash
# One expects: measuring the Robinson-Foulds distance of two trees leaves both as they are.
# What happens: `treecompare.symmetric_difference` (for trees read without [&R]) takes one of the root's two branches away
#     in both: ((a,b),(c,d)) is ((a,b),c,d) afterwards, and a writer saves that.
# Where it matters: a task tree is rooted and each inner node is a step of adaptation: after a comparison one is gone.
#     With `rooting="force-rooted"` on reading the trees stay.
# Seen: dendropy 5.1.3, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'dendropy==5.1.3' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import dendropy
from dendropy.calculate import treecompare

print("dendropy", dendropy.__version__)
written = {}
for rooting in (None, "force-rooted"):
    taxa, options = dendropy.TaxonNamespace(), {"rooting": rooting} if rooting else {}
    trees = [
        dendropy.Tree.get(data=text, schema="newick", taxon_namespace=taxa, **options)
        for text in ("((a,b),(c,d));", "((a,c),(b,d));")
    ]
    before = [tree.as_string("newick", suppress_rooting=True).strip() for tree in trees]
    distance = treecompare.symmetric_difference(*trees)
    after = [tree.as_string("newick", suppress_rooting=True).strip() for tree in trees]
    written[rooting] = (before, after)
    print(f"rooting={rooting}: before {before}, distance {distance}, after {after}")

plain, rooted = written[None], written["force-rooted"]
if plain[1] != ["((a,b),c,d);", "((a,c),b,d);"] or rooted[0] != rooted[1] or plain[0] != rooted[0]:
    sys.exit("Changed: dendropy no longer changes the trees that it compares; drop the finding.")
PY
