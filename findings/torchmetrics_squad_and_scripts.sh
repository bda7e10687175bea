#!/usr/bin/env bash
# One expects: the SQuAD metric gives something near MLQA's F1 for any language.
# What happens: it knows English articles, ASCII punctuation and blanks only. A Chinese answer with one character too many
#     scores 0 (MLQA compares characters: 80), a Hindi answer with its full stop 0 (MLQA: 100), an Arabic one without
#     the article that MLQA's script drops 0 (MLQA: 100).
# Where it matters: MLQA and XQuAD: the better a Chinese answer overlaps without being equal, the more is lost.
# Seen: torchmetrics 1.9.0, November 2026. "by MLQA's rules" is worked out by hand from its published evaluation script.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'torchmetrics==1.9.0' 'torch==2.13.0' 'numpy==2.4.6' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import torchmetrics
from torchmetrics.functional.text import squad

print("torchmetrics", torchmetrics.__version__)
cases = [  # language, answer given, answer wanted, F1 by MLQA's rules
    ("en", "the house", "house", 100.0),
    ("zh", "北京大学", "北京大学", 100.0),
    ("zh", "上海市", "上海", 80.0),
    ("hi", "दिल्ली।", "दिल्ली", 100.0),
    ("ar", "القاهرة", "قاهرة", 100.0),
    ("es", "la casa", "casa", 100.0),
]
scores = []
for language, given, wanted, by_mlqa in cases:
    prediction = {"id": "1", "prediction_text": given}
    target = {"id": "1", "answers": {"text": [wanted], "answer_start": [0]}}
    scores.append(round(squad(prediction, target)["f1"].item(), 1))
    print(f"{language}: F1 of {given} for {wanted}: {scores[-1]}, by MLQA's rules {by_mlqa}")

if scores != [100.0, 100.0, 0.0, 0.0, 0.0, 66.7]:
    sys.exit("Changed: torchmetrics' SQuAD metric scores these answers in another way; drop the finding.")
PY
