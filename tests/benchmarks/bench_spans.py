"""Do gold answers survive as spans of tokens? MLQA's dev set and SQuAD's, with the tokenizer of a real encoder.

    python tests/benchmarks/bench_spans.py ENCODER --data DIR

An answer is turned into the tokens that overlap it and back into text, and compared as MLQA compares answers. What is
lost is listed by cause, with an example of each. Beside it stands the best that any span of at most 30 tokens can say.
"""

from __future__ import annotations

import argparse
from collections import Counter

import pandas as pd

from minimeta.text import corpora
from minimeta.text.encoders import load
from minimeta.text.metrics import exact_match, f1
from minimeta.text.spans import LONGEST, Window, first_answer, training_window, windows


def best_possible(found: list[Window], context: str, answers: list[str], language: str, longest: int = LONGEST) -> str:
    """What a model that knows the answer could say: of all spans of at most `longest` tokens, the nearest in F1.

    It is not always right, for an answer may begin or end inside a token, or have more tokens than may be read off.
    """
    for window in found:  # nearly always, the tokens that the answer overlaps are the best
        if window.end and window.end - window.start < longest:
            said = window.text(context, window.start, window.end)
            if exact_match(said, answers, language):
                return said
    spans = {
        window.text(context, start, end)
        for window in found
        for start, place in enumerate(window.places)
        for end in range(start, min(start + longest, len(window.places)))
        if place is not None and window.places[end] is not None
    }
    return max(
        sorted(spans) or [""], key=lambda said: (exact_match(said, answers, language), f1(said, answers, language))
    )


def cause(context: str, answer: tuple[int, int], first: tuple[int, int], last: tuple[int, int]) -> str:
    """Why the tokens from `first` to `last` (places in the context) say something else than the answer."""
    before, after = context[first[0] : answer[0]].strip(), context[answer[1] : last[1]].strip()
    kinds = [("begins", before), ("ends", after)]
    return " and ".join(f"{kind} inside a token" for kind, more in kinds if more) or "other"


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("encoder")
parser.add_argument("--data", required=True)
options = parser.parse_args()
_, tokenizer, _ = load(options.encoder, ())
mlqa = corpora.CORPORA["MLQA"].rows(options.data, splits=["dev"])
real = {code: part for code, part in mlqa.to_pandas().groupby("language")}
real["SQuAD"] = corpora.STAGE_TWO["SQuAD"].rows(options.data, splits=["dev"]).to_pandas()
lines, examples, total = [], {}, Counter()
for name, part in real.items():
    language = part["language"].iloc[0]
    texts = [told["text"][0] for told in part["answers"]]
    places = [first_answer(told) for told in part["answers"]]
    found, best = Counter(), Counter()
    made = windows(tokenizer, list(part["question"]), list(part["context"]), places)
    for each, context, text, place in zip(made, part["context"], texts, places, strict=True):
        nearest = best_possible(each, context, [text], language)
        best += Counter(em=exact_match(nearest, [text], language), f1=f1(nearest, [text], language))
        window = each[training_window(each)]
        if not window.end:
            found["in no window"] += 1
            continue
        back = window.text(context, window.start, window.end)
        right = exact_match(back, [text], language)
        why = "right" if right else cause(context, place, window.places[window.start], window.places[window.end])
        found[why] += 1
        examples.setdefault(why, f"{text!r} came back as {back!r} ({name})")
    fit = len(part) - found["in no window"]
    reach = {f"best {metric}": round(100 * best[metric] / len(part), 2) for metric in ("em", "f1")}
    right = {"answers": len(part), "fit": fit, "% right": round(100 * found["right"] / fit, 2)}
    lines.append({"": name} | right | reach | found)
    total.update(found)
print(pd.DataFrame(lines).fillna(0).to_string(index=False))
fit = total.total() - total["in no window"]
print(f"\nall together: {100 * total['right'] / fit:.2f} % of the {fit} answers that fit a window")
for why, example in examples.items():
    print(f"{why}: {total[why]}, for example {example}")
