#!/usr/bin/env bash
# One expects: the workers of `joblib.Parallel` end with the process that started them, or at the latest when their task
#     is done and nobody takes the result.
# What happens: if that process is killed (kill -9, or out of memory), its workers finish their tasks and write what they
#     write, and then stay, asleep, with all their memory, for the five minutes that idle workers have (this is not
#     waited for here).
# Where it matters: a study with workers that was killed and is started again: for a while both are at work on the same
#     runs.
# Seen: joblib 1.6.0 (loky 3.6.0), Python 3.11, Linux, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'joblib==1.6.0' 'psutil==7.2.2' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
cat > parent.py <<'PY'
import time
from pathlib import Path

from joblib import Parallel, delayed


def work(number):
    Path(f"begun-{number}").touch()
    time.sleep(8)
    Path(f"done-{number}").touch()


Parallel(n_jobs=2)(delayed(work)(number) for number in range(2))
PY
"$folder/venv/bin/python" - <<'PY'
import subprocess
import sys
import time
from pathlib import Path

import joblib
import psutil

print("joblib", joblib.__version__, "loky", joblib.externals.loky.__version__)
parent = subprocess.Popen([sys.executable, "parent.py"])
while len(list(Path().glob("begun-*"))) < 2:
    time.sleep(0.05)
children = psutil.Process(parent.pid).children(recursive=True)
workers = [child for child in children if "popen_loky" in " ".join(child.cmdline())]
parent.kill()
parent.wait()
try:
    time.sleep(2)
    after_two = sum(worker.is_running() for worker in workers)
    time.sleep(30)
    done = len(list(Path().glob("done-*")))
    after_all = sum(worker.is_running() and worker.status() == psutil.STATUS_SLEEPING for worker in workers)
    print(f"of {len(workers)} workers {after_two} go on 2 s after the parent was killed; {done} tasks were done;")
    print(f"{after_all} are still there, asleep, 24 s after their task")
finally:
    for worker in workers:
        worker.kill()

if not (len(workers) == after_two == after_all == done == 2):
    sys.exit("Changed: workers no longer outlive the process that started them; drop the finding.")
PY
