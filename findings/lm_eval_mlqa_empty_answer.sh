#!/usr/bin/env bash
# One expects: an answer that equals the gold one has exact match 1 and F1 1; no answer, or another number, has 0.
# What happens under MLQA's rules, as the evaluation harness carries them: what is only an article or a sign is normalised
#     to nothing. For the gold answer "A" (a vitamin, a grade) an EMPTY answer is an exact match, with F1 0; F1 is 0 for
#     the right answer too. Punctuation goes even inside numbers: "3.5" is "35", "-5" is "5". In Arabic any initial "ال"
#     counts as an article: "له" (for him) is an exact match for "الله" (God).
# Where it matters: reading MLQA scores of small models; EM above F1 is possible and no fault of the reader's code.
# Seen: lm_eval 0.4.13, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'datasets==5.2.0' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check --no-deps 'lm_eval==0.4.13' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import importlib.util
import pathlib
import sys
import sysconfig

print("lm_eval 0.4.13")
path = pathlib.Path(sysconfig.get_paths()["purelib"], "lm_eval/tasks/mlqa/utils.py")
spec = importlib.util.spec_from_file_location("mlqa", path)
mlqa = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mlqa)

cases = {  # (language, answer given, gold answer): (exact match, F1) as seen
    ("en", "Berlin", "Berlin"): (1, 1),
    ("en", "A", "A"): (1, 0),
    ("en", "", "A"): (1, 0),
    ("en", "B", "A"): (0, 0),
    ("en", "3.5", "35"): (1, 1),
    ("de", "-5 Grad", "5 Grad"): (1, 1),
    ("ar", "له", "الله"): (1, 1),
}
changed = False
for (language, given, gold), seen in cases.items():
    scores = mlqa.process_results_lang({"answers": [gold]}, [given], language)
    got = (int(scores["exact_match"]), scores["f1"])
    changed |= got != seen
    print(f"{language}: answer {given!r}, gold {gold!r}: exact match {got[0]}, F1 {got[1]:.0f}")

if changed:
    sys.exit("Changed: the harness scores one of these answers in another way; drop the finding.")
PY
