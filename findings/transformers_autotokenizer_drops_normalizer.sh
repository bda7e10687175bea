#!/usr/bin/env bash
# One expects: `AutoTokenizer.from_pretrained(folder)` tokenises as the folder's `tokenizer.json` says.
# What happens: for model types and tokenizer classes that it knows, it takes the vocabulary alone and builds normaliser
#     and pre-tokeniser anew from defaults: a cased German tokenizer lower-cases and loses its umlauts, an uncased one of
#     XLM-R's kind keeps capitals that its vocabulary lacks. No warning. A `tokenizer_class` of "PreTrainedTokenizerFast" in
#     `tokenizer_config.json` keeps the file as it is.
# Where it matters: any multilingual encoder with a tokenizer of its own (XNLI accuracy can fall to chance).
# Seen: transformers 5.24.0, tokenizers 0.23.3, November 2026.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check 'transformers==5.24.0' 'tokenizers==0.23.3' ||
    { echo "The packages could not be installed: nothing was checked."; exit 2; }
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import json
import pathlib
import sys
import tempfile

import tokenizers
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

print("transformers", transformers.__version__, "tokenizers", tokenizers.__version__)
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Haus", "haus", "müde", "mude"]
cased = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
cased.normalizer = normalizers.NFC()
cased.pre_tokenizer = pre_tokenizers.Whitespace()
pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁haus", "▁müde", "<mask>"]
uncased = Tokenizer(models.Unigram([(piece, 0.0) for piece in pieces], unk_id=3))
uncased.normalizer = normalizers.Lowercase()
uncased.pre_tokenizer = pre_tokenizers.Metaspace()


def ids(tokenizer, model_type, tokenizer_class):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
        if tokenizer_class:
            (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": tokenizer_class}))
        auto = transformers.AutoTokenizer.from_pretrained(folder)
        return auto("Haus müde", add_special_tokens=False).input_ids


same = []
for tokenizer, model_type, name in (
    (cased, "bert", None),
    (cased, "bert", "BertTokenizerFast"),
    (cased, "bert", "PreTrainedTokenizerFast"),
    (uncased, "xlm-roberta", None),
    (uncased, "xlm-roberta", "XLMRobertaTokenizerFast"),
    (uncased, "xlm-roberta", "PreTrainedTokenizerFast"),
):
    right, got = tokenizer.encode("Haus müde").ids, ids(tokenizer, model_type, name)
    same.append(got == right)
    tokens = [[tokenizer.id_to_token(i) for i in which] for which in (right, got)]
    print(f"{model_type}, tokenizer_class {name}: the file says {tokens[0]}, AutoTokenizer {tokens[1]}")

if same != [False, False, True, False, False, True]:
    sys.exit("Changed: AutoTokenizer no longer departs from tokenizer.json in this way; drop the finding.")
PY
