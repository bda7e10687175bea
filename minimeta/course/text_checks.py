"""Checks for the exercises about texts, notebooks 06 to 09: episodes, accuracies, spans, and runs at full scale.

They call your function on fresh random inputs and say in words what is wrong.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

from numpy.random import Generator

from ..errors import InputError
from ..tasks import Episode
from ..text.corpora import mini_nli
from ..text.episodes import sampler
from ..trees import TaskTree
from .checks import signed
from .verdict import Answer, NotYet, Student, compare_each, exercise, parted, small_first


@exercise("the step is taken in the target language and judged in the auxiliary.")
def few_shot_sampler(student: Student, rng: Generator) -> None:
    """Check `function(corpus, auxiliary, target)` of notebook 06: a sampler for few-shot XLA-MAML, 8 + 8 rows."""
    corpus = mini_nli(("en", "de", "hi"), ["dev", "test"])
    languages, splits, before = corpus["language"][:], corpus["split"][:], None
    for auxiliary, target in (("hi", "de"), ("de", "hi")):
        answer = student(corpus=corpus, auxiliary=auxiliary, target=target)
        draw, drawn = answer.function("a sampler"), []
        for step in (0, 1, 2, 7):
            episode = draw(step=step, given=answer.given)
            if not isinstance(episode.value, Episode):
                raise episode.expected("an Episode from your sampler")
            batches = [*episode.value.support, episode.value.query]
            if len(batches) > 2:
                raise episode.not_yet(f"there are {len(batches) - 1} batches of support; there is one inner step, so 1")
            rows = [batch["row"].flatten().tolist() for batch in batches]
            given = f"{answer.given}, step={step}"
            found = Answer(tuple("+".join(dict.fromkeys(languages[i] for i in row)) for row in rows), given)
            named = {
                "go by `auxiliary` and `target`: these are the languages of the call before": before,
                "support and query are both in the auxiliary: that is X-MAML": (auxiliary, auxiliary),
                "the support is English: that is zero-shot XLA-MAML": ("en", auxiliary),
                "it is the wrong way round: the target's rows may be support, never query": (auxiliary, target),
                "the query is in the target, which must stay unseen there": (target, target),
            }
            other = "these are not the languages of few-shot XLA-MAML"
            compare_each([(found, (target, auxiliary), named)], off=other, read=lambda answer: answer.value)
            if [len(row) for row in rows] != [8, 8]:
                raise found.not_yet(f"there are {len(rows[0])} support and {len(rows[1])} query rows; expected 8 and 8")
            if any(len(set(row)) < len(row) for row in rows):
                raise found.not_yet("a row comes twice in the support or in the query; draw without replacement")
            if wrong := {splits[i] for row in rows for i in row} - {"dev"}:
                raise found.not_yet(f"there are {wrong.pop()} rows; support and query are drawn from dev rows")
            if rows in drawn:
                raise answer.not_yet("your sampler gives the same rows at two steps; let it draw anew for each `step`")
            drawn.append(rows)
        before = (target, auxiliary)


@exercise("that is how many different rows the query has shown.")
def rows_used(student: Student, rng: Generator) -> None:
    """Check `function(draw, steps)` of notebook 06b: how many different query rows a sampler's first episodes have."""
    corpus = mini_nli(("en", "hi"), ["dev"])
    corpus = corpus.select([i for i, genre in enumerate(corpus["genre"]) if genre == "fiction"])
    cases = []
    several = [(bool(i % 2), int(rng.integers(3, 31))) for i in range(4)]
    for covering, steps in ((False, 1), (True, 2), *several, (False, 5)):
        query, support = ("hi", "en") if len(cases) < 6 else (["hi", "en"], ["en", "hi"])  # the last has two tasks
        draw = sampler(corpus, query, support=support, shots=8, queries=8, covering=covering)
        episodes = [draw(i) for i in range(steps + 1)]
        queries = [episode.query["row"].flatten().tolist() for episode in episodes]
        support = {row for episode in episodes[:-1] for row in episode.support[0]["row"].flatten().tolist()}
        first = {row for episode in episodes[:-1] for row in episode.query["row"][0].tolist()}
        drawn = list(chain(*queries[:-1]))
        named = {
            "rows that come again are counted again; count different ones (for a set, two tensors are never one: use "
            ".tolist())": len(drawn),
            "the support rows are in your count; take the query's": len({*drawn, *support}),
            "these are the support rows; take the query's": len(support),
            "that is one episode; there are as many as there are steps": len(queries[0]),
            "an episode may have several tasks: count the rows of all": len(first),
            "outer steps are numbered from 0: the first episode is draw(0)": len({*chain(*queries[1:])}),
        }
        given = f"{steps} episodes of {len(queries[0])} query rows, {'covering' if covering else 'at random'}"
        cases.append((student(draw=draw, steps=steps, given=given), len(set(drawn)), named))
    compare_each(cases)


@exercise("the step is taken in English, the loss in Hindi.")
def cross_lingual_loss(student: Student, rng: Generator) -> None:
    """Check `function(w, english, hindi, rate)` of notebook 06: XLA-MAML's query loss for (w x - y)^2, by eq. 5.

    english and hindi are pairs (x, y) of numbers.
    """
    cases = []
    for _ in range(10):
        w, x, y, u, v, rate = *signed(rng, 5), round(float(rng.uniform(0.05, 0.95)), 2)
        theta, own = (w - rate * 2 * a * (w * a - b) for a, b in ((x, y), (u, v)))
        named = {
            "no step was taken: this is the query loss at w": (w * u - v) ** 2,
            "the step is taken on the Hindi row: that is X-MAML (with the query as its support)": (own * u - v) ** 2,
            "it is the wrong way round: step in English, judge in Hindi": (own * x - y) ** 2,
            "this is the loss of the support after the step; judge on the Hindi row": (theta * x - y) ** 2,
            "your step goes uphill: subtract the gradient": ((2 * w - theta) * u - v) ** 2,
            "the chain rule is missing: the derivative of w x with respect to w is x": (
                (w - rate * 2 * (w * x - y)) * u - v
            )
            ** 2,
            "the factor 2 of the square's derivative is missing": ((w + theta) / 2 * u - v) ** 2,
            "these are the adapted parameters; the answer is the query loss there": theta,
        }
        cases.append((student(w=w, english=(x, y), hindi=(u, v), rate=rate), (theta * u - v) ** 2, named))
    compare_each(cases)


@exercise("that is how far two accuracies differ by chance alone.")
def difference_error(student: Student, rng: Generator) -> None:
    """Check `function(one, other, n)` of notebook 07: the standard error of a difference of two accuracies, in points.

    `one` and `other` are percentages, each of n answers, and the answers are independent.
    """
    cases = []
    for n, least in ((10, 55), (150, 55), (450, 55), (5010, 5), (3, 0), *((n, 0) for n in (20, 60, 70, 80))):
        one, other = (round(float(value), 2) for value in rng.uniform(least, 100 - least / 4, 2))
        one = one if n > 3 else 100.0
        v, w = (share * (1 - share) / n for share in (one / 100, other / 100))
        named = {
            "this is a share of 1; in points it is 100 times as much": (v + w) ** 0.5,
            "this is a variance; take the square root": (100 * (v + w), 1e4 * (v + w)),
            "add the variances, not the standard errors": 100 * (v**0.5 + w**0.5),
            "variances add, also when the accuracies are subtracted": 100 * abs(v - w) ** 0.5,
            "this is the error of the first accuracy alone": 100 * v**0.5,
            "this is the error of the second accuracy alone": 100 * w**0.5,
            "this is the error for a single answer each; divide the variances by n": 100 * (n * (v + w)) ** 0.5,
            "the variances of both add; you took their mean": 100 * ((v + w) / 2) ** 0.5,
            "the variance of a share is p (1 - p) / n: with n, not n - 1": 100 * ((v + w) * n / (n - 1)) ** 0.5,
        }
        cases.append((student(one=one, other=other, n=n), 100 * (v + w) ** 0.5, named))
    compare_each(cases)


_NO_TREE = (
    "no tree can be made of what your function gives to TaskTree; is each language of `labels`, and no other, in it, "
    "also one that has its label to itself?"
)


@exercise("all together, then by label, then each alone.")
def tree_by_label(student: Student, rng: Generator) -> None:
    """Check `function(labels)` of notebook 07: a tree of tasks in which those with the same label share step 2."""
    words = rng.permutation(["xa", "xb", "ya", "yb", "x", "a", "b", "xab"]).tolist()
    for count, kinds in ((1, 1), (2, 1), (2, 2), (3, 2), (4, 8), (5, 3), (8, 3), (8, 1), (12, 8)):
        drawn = [words[i if i < kinds else int(rng.integers(kinds))] for i in range(count)]  # each kind once, at least
        labels = {f"t{i}": drawn[i] for i in rng.permutation(count)}
        answer = student(labels=labels, known={InputError: _NO_TREE})
        tree, tasks = answer.value, list(labels)
        if not isinstance(tree, TaskTree):
            raise answer.expected("a TaskTree")
        if set(tree.leaves) != set(tasks):
            raise answer.not_yet(
                f"the leaves are {', '.join(tree.leaves)}; expected one for each of {', '.join(tasks)}"
            )
        for step, wanted in ((1, [0] * count), (2, list(labels.values())), (3, tasks)):
            clusters = [tree.clusters(step)[task] for task in tasks]
            if pair := parted(clusters, wanted):
                i, j = pair
                now = "share a cluster" if clusters[i] == clusters[j] else "are apart"
                raise answer.not_yet(f"at step {step}, {tasks[i]} and {tasks[j]} {now}, and they should not")


@exercise("that is the best of all valid spans.")
def best_span(student: Student, rng: Generator) -> None:
    """Check `function(start, end, longest)` of notebook 08: the first and the last token of the best valid span.

    start and end are lists of scores, one for each token.
    """
    lengths = *range(1, 9), *rng.integers(1, 5, 28).tolist(), *rng.integers(5, 10, 12).tolist()
    for case, longest in enumerate(lengths):
        start, end = (rng.integers(24, size=8) / 4 - int(rng.choice([0, 4, 10])) for _ in range(2))  # some come twice
        if case < 8:  # the best span is as long as it may be
            start[::-1].sort()
            end.sort()
        valid = [(i, j) for i in range(8) for j in range(i, min(8, i + longest))]
        best = max(valid, key=lambda span: start[span[0]] + end[span[1]])
        answer = student(start=start.tolist(), end=end.tolist(), longest=longest)
        span = tuple(answer.array((2,), "two token numbers, the first and the last").tolist())
        if span not in valid:
            raise answer.not_yet(_not_valid(*span, longest))
        i, j = map(int, span)
        score, most = start[i] + end[j], start[best[0]] + end[best[1]]
        if score < most:
            raise answer.not_yet(f"your span {(i, j)} has the score {score}, the valid span {best} has {most}")


def _not_valid(i: float, j: float, longest: int) -> str:
    """Why a span of eight tokens is not valid."""
    if not {i, j} <= set(range(8)):
        return f"your span ({i:g}, {j:g}) is not valid: the tokens are 0 to 7"
    if j < i:
        return f"your span ({i:g}, {j:g}) is not valid: it ends before it starts"
    return f"your span ({i:g}, {j:g}) is not valid: it has {j - i + 1:g} tokens, and longest is {longest}"


@exercise("that is F1.")
def overlap(student: Student, rng: Generator) -> None:
    """Check `function(found, wanted)` of notebook 08: F1 of an answer's tokens, lists of words, from 0 to 1."""

    def draw() -> dict[str, Any]:
        words = rng.permutation("king kings old gold the".split())
        found, wanted = (rng.choice(words[: rng.integers(1, 6)], rng.integers(1, 8)).tolist() for _ in range(2))
        return {"found": found, "wanted": wanted}

    apart = {"found": ["king"], "wanted": ["tower"]}
    twice = {"found": "tower tower king".split(), "wanted": "king tower tower old".split()}
    cases = []
    for inputs in (*small_first(draw, 40), apart, twice):
        found, wanted = inputs.values()
        common = (Counter(found) & Counter(wanted)).total()
        precision, recall, different = common / len(found), common / len(wanted), set(found) | set(wanted)
        same = set(found) & set(wanted)
        named = {
            "a word that comes twice counts twice": 2 * len(same) / (len(set(found)) + len(set(wanted))),
            "this is the share of common words in all words; F1 is the harmonic mean": len(same) / len(different),
            "this is the precision; F1 is the harmonic mean of precision and recall": precision,
            "this is the recall; F1 is the harmonic mean of precision and recall": recall,
            "this is the plain mean of precision and recall; take the harmonic one": (precision + recall) / 2,
            "this is exact match": float(found == wanted),
        }
        zero = {ZeroDivisionError: "where no word is common, precision and recall are both 0, and so is F1"}
        cases.append((student(**inputs, known={} if common else zero), 2 * common / (len(found) + len(wanted)), named))
    compare_each(cases)


@exercise("from there the model sees most on both sides of the answer.")
def learning_window(student: Student, rng: Generator) -> None:
    """Check `function(windows, answer)` of notebook 08: the number of the window with most around the answer.

    Windows and the answer are (first, last) token of the passage.
    """
    drawn, cases = [([(0, 15), (4, 14)], (11, 11))], []  # tokens count, not the share of the window
    for _ in range(120):
        size, stride, count = int(rng.integers(3, 13)), int(rng.integers(1, 4)), int(rng.integers(2, 9))
        starts = range(0, stride * count, stride)
        windows = [(start, start + size - 1 + int(rng.integers(-2, 6))) for start in starts]
        first = int(rng.integers(0, windows[-1][1]))
        drawn.append((windows, (first, min(first + int(rng.integers(6)), windows[-1][1]))))
    for windows, answer in drawn:
        if not any(start <= answer[0] and answer[1] <= end for start, end in windows):
            continue
        around = [min(answer[0] - start, end - answer[1]) for start, end in windows]
        whole = [number for number, room in enumerate(around) if room >= 0]
        best = [number for number in whole if around[number] == max(around)]
        named = {
            "this is the first window that holds the answer; the smaller side of another is larger": whole[0],
            "this is the last window that holds the answer; the smaller side of another is larger": whole[-1],
        }
        found = student(windows=windows, answer=answer, given=f"windows={windows}, answer={answer}")
        chosen = found.number()
        if chosen in range(len(windows)) and chosen not in whole:
            raise found.not_yet(f"window {int(chosen)}, {windows[int(chosen)]}, does not hold the whole answer")
        cases.append((found, chosen if chosen in best else best[0], named))
    compare_each(cases)


@exercise("that is what the trainings cost; the tests come on top.")
def gpu_hours(student: Student, rng: Generator) -> None:
    """Check `function(lines, targets, seeds, steps, seconds)` of notebook 09: the GPU hours of a leave-one-out table.

    `lines` are the methods that are run, the Baseline among them; `seconds` is the time of an outer step.
    """
    cases = []
    for lines, targets, seeds in ((1, 3, 2), (2, 1, 1), *rng.integers(2, [[4], [5], [9], [13]], (4, 3)).tolist()):
        steps, seconds = int(rng.integers(90, 900)), float(rng.integers(3, 99)) / 10
        each = targets * seeds * steps * seconds / 3600
        right = (lines - 1) * each
        named = {
            "the Baseline is a line of the table, but it is not trained": lines * each,
            "each target is left out in turn, so each has trainings of its own": right / targets,
            "each seed is a training of its own": right / seeds,
            "the seconds are those of one outer step": right / steps,
            "these are seconds; an hour has 3,600": right * 3600,
            "these are minutes; an hour has 60 of them": right * 60,
        }
        answer = student(lines=lines, targets=targets, seeds=seeds, steps=steps, seconds=seconds)
        cases.append((answer, right, named))
    compare_each(cases)


@exercise("two of the six change what is found; say so when you report it.")
def changes_the_numbers(student: Student, rng: Generator) -> None:
    """Check `function(option)` of notebook 09: does an option of the command line change more than the last digits?"""
    why = {
        "--tasks-per-chunk": (False, "it is the same sum, in parts: the gradients agreed but for rounding"),
        "--first-order": (True, "it leaves the second derivatives out: that is another gradient"),
        "--bf16": (True, "products of bfloat16 have two to three right digits: close, and not the same"),
        "--cache": (False, "what is read from the disk is what was computed, bit for bit"),
        "--workers": (False, "each run draws from its own seed, whoever does it and in whatever order"),
        "--scheduler": (False, "a cluster's worker does the same run with the same seed"),
    }
    for option, (right, reason) in why.items():
        answer = student(option=option)
        if answer.choice(True, False) != right:
            raise NotYet(f"you say {not right} for {option}; {reason}")
