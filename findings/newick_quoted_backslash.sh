#!/usr/bin/env bash
# One expects: a name between quotes may hold any character, a quote being doubled ('it''s'); what `newick` writes it reads.
# What happens: a backslash in a quoted name is an escape: 'a\b' is "Unterminated quote!", and so is 'a \b', which is what the
#     package itself writes for a node of that name (`auto_quote=True`). Bare, a\b is read and written.
# Where it matters: names of tasks with a backslash, paths say: dendropy refuses such a name bare, newick refuses it quoted, so
#     that no text of the tree can be read by both.
# Seen: newick 1.11.0, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'newick==1.11.0' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import newick

print("newick", newick.__version__)
said = {}
written = newick.Node("r", descendants=[newick.Node("a \\b", auto_quote=True)]).newick + ";"
for text in ("(a\\b,c);", "('a/b',c);", "('a\\b',c);", written):
    try:
        said[text] = [leaf.unquoted_name for leaf in newick.loads(text)[0].get_leaves()]
    except ValueError as error:
        said[text] = str(error)
    print(text, "->", said[text])

if [isinstance(answer, str) for answer in said.values()] != [False, False, True, True]:
    sys.exit("Changed: newick reads a quoted backslash; drop the finding.")
PY
