"""What the dev sets of real XNLI and MLQA hold that a reader of scores should know.

    python tests/benchmarks/bench_real.py ENCODER --data DIR

XNLI: what a bag of words of the hypothesis alone gets, sentences that were left in English, pairs with two labels.
MLQA: answers that stand more than once in their passage, passages longer than a window in tokens of ENCODER, and what
the SQuAD score of torchmetrics (if it is installed) makes of right answers with a mark behind them.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from transformers import AutoTokenizer

from minimeta.studies.intervals import paired_difference
from minimeta.text import corpora
from minimeta.text.metrics import exact_match, f1

try:
    from torchmetrics.functional.text import squad
except ImportError:
    squad = None

MARKS = {"ar": "،", "hi": "।", "zh": "。"}  # MLQA's rules take them out


def hypothesis_alone(rows: pd.DataFrame, seed: int) -> tuple[float, float, float]:
    """Accuracy without the premise, five folds by premise: mean and 95 % interval over premises, in percent."""
    premise, names = pd.factorize(rows["premise_id"])
    fold = np.random.default_rng(seed).permutation(len(names))[premise] % 5
    right = np.zeros((1, len(rows)))
    for number in range(5):
        test = fold == number
        model = make_pipeline(CountVectorizer(binary=True), LogisticRegression(C=0.1, max_iter=300))
        model.fit(rows["hypothesis"][~test], rows["label"][~test])
        right[0, test] = model.predict(rows["hypothesis"][test]) == rows["label"][test]
    return paired_difference(right, np.zeros_like(right), rows["premise_id"])


def places(context: str, text: str) -> list[int]:
    """Where a text stands in its passage."""
    return [at for at in range(len(context)) if context.startswith(text, at)]


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("encoder")
parser.add_argument("--data", required=True)
options = parser.parse_args()

xnli = corpora.CORPORA["XNLI"].rows(options.data, splits=["dev"]).to_pandas()
english = xnli[xnli["language"] == "en"].reset_index(drop=True)
for seed in range(3):
    print("XNLI en, hypothesis alone: {:.1f} % [{:.1f}, {:.1f}]".format(*hypothesis_alone(english, seed)))
lines = {}
for code, rows in xnli.groupby("language"):
    theirs = rows.reset_index(drop=True)  # the rows are parallel and in the same order
    assert (theirs["pair"] == english["pair"]).all()
    left = (theirs["premise"] == english["premise"]) | (theirs["hypothesis"] == english["hypothesis"])
    labels = rows.groupby(["premise", "hypothesis"])["label"].nunique()
    lines[code] = {"left in English": left.sum() if code != "en" else 0, "two labels": (labels > 1).sum()}
print(pd.DataFrame(lines).to_string())

tokenizer = AutoTokenizer.from_pretrained(options.encoder)
lines, corners = {}, []
for code, rows in corpora.CORPORA["MLQA"].rows(options.data, splits=["dev"]).to_pandas().groupby("language"):
    told = [(answer["text"][0], answer["answer_start"][0]) for answer in rows["answers"]]
    found = [places(context, text) for context, (text, _) in zip(rows["context"], told, strict=True)]
    again = [at for at in zip(found, told, strict=True) if len(at[0]) > 1]
    long = [len(ids) > 384 for ids in tokenizer(list(rows["context"]), add_special_tokens=False)["input_ids"]]
    lines[code] = {
        "questions": len(rows),
        "answer stands again, %": 100 * len(again) / len(rows),
        "of these, another is first, %": 100 * np.mean([at[0] != start for at, (_, start) in again]),
        "passage over 384 tokens, %": 100 * np.mean(long),
    }
    corners += [(code, text) for text, _ in told if exact_match(text, [text], code) and not f1(text, [text], code)]
    if squad and code in MARKS:
        said = [{"prediction_text": text + MARKS[code], "id": str(i)} for i, (text, _) in enumerate(told)]
        gold = [{"answers": {"text": [text], "answer_start": [0]}, "id": str(i)} for i, (text, _) in enumerate(told)]
        marked = [f1(text + MARKS[code], [text], code) for text, _ in told]
        lines[code] |= {"F1 with a mark, MLQA": 100 * np.mean(marked), "torchmetrics": float(squad(said, gold)["f1"])}
print(pd.DataFrame(lines).round(1).to_string())
print("exact match 1 and F1 0 against itself:", corners)
