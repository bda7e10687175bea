#!/usr/bin/env bash
# One expects: CluStream with two macro-clusters tells two tight groups at right angles apart.
# What happens: every unit vector gets the same label, in 8 dimensions and more with every seed. The k-means over the
#     micro-clusters starts at draws from a standard normal in every dimension, so far outside the unit sphere that one
#     centre takes all. The same points times 100, or `sigma=0.1` handed through to that k-means, are told apart.
# Where it matters: clustering task gradients (unit vectors) online, as a peer of an online top-down tree: the peer looks
#     hopeless, and needs a number that its own page does not name.
# Seen: river 0.26.1, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'river==0.26.1' 'numpy==2.4.6' 'scipy==1.17.1' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import numpy as np
import river
from river import cluster

print("river", river.__version__)
rng = np.random.default_rng(0)
groups = np.arange(400) % 2
points = np.eye(8)[groups] + rng.normal(0, 0.05, (400, 8))
points /= np.linalg.norm(points, axis=1, keepdims=True)
first, second = points[groups == 0], points[groups == 1]
print(f"mean cosine within a group {(first @ first.T).mean():.2f}, between the groups {(first @ second.T).mean():.2f}")

labels = {}
for name, scale, options in (
    ("unit vectors", 1, {}),
    ("times 100", 100, {}),
    ("unit vectors, sigma=0.1", 1, {"sigma": 0.1}),
):
    rows = [dict(enumerate(point)) for point in (scale * points).tolist()]
    for seed in (0, 1, 2):
        model = cluster.CluStream(n_macro_clusters=2, seed=seed, **options)
        for row in rows:
            model.learn_one(row)
        found = np.array([model.predict_one(row) for row in rows])
        right = max((found[groups == 0] == a).mean() + (found[groups == 1] != a).mean() for a in set(found)) / 2
        labels[name, seed] = len(set(found))
        print(f"{name:24} seed {seed}: {labels[name, seed]} label(s), groups right for {right:.0%}")

if any(count != (1 if name == "unit vectors" else 2) for (name, _), count in labels.items()):
    sys.exit("Changed: CluStream no longer gives all unit vectors one label; drop the finding.")
PY
