#!/usr/bin/env bash
# One expects: the likely script of Ancient Greek (grc) is Greek, as that of Greek (el) is.
# What happens: `Language.get("grc").maximize()` says Cprt, the Cypriot syllabary: CLDR's likely subtags have it so, for the
#     oldest texts. There is no warning, and `script_name()` of it is "Cypriot".
# Where it matters: scripts decide on fonts, tokenisers and on groups of languages; a corpus of Ancient Greek would be put
#     with no other language.
# Seen: langcodes 3.5.1 with language_data 1.4.0, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'langcodes==3.5.1' 'language_data==1.4.0' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

from langcodes import Language

print("langcodes", version("langcodes"), "language_data", version("language_data"))
scripts = {code: Language.get(code).maximize().script for code in ("el", "grc")}
for code, script in scripts.items():
    print(f"{code} ({Language.get(code).display_name()}): {script}, {Language.make(script=script).script_name()}")

if scripts != {"el": "Grek", "grc": "Cprt"}:
    sys.exit("Changed: Ancient Greek is no longer written in the Cypriot syllabary; drop the finding.")
PY
