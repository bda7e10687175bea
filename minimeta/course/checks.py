"""Checks for exercises: they call your function on fresh random inputs and say in words what is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..grouping import Grouping, no_gradients
from ..tasks import Sampler
from ..text.corpora import mini_nli
from ..text.episodes import sampler
from ..trees import TaskTree


def inner_step(function: Callable[[float, float, float, float], float], seed: int = 0) -> None:
    """Check `function(w, x, y, rate)`: one gradient step on (w x - y)^2, as in notebook 01."""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        w, x, y, rate = (float(v) for v in rng.uniform(0.1, 2.0, 4))
        slope = 2 * x * (w * x - y)
        named = {
            w + rate * slope: "your step goes uphill: subtract the gradient",
            w - rate * slope / 2: "the factor 2 of the square's derivative is missing",
            w - slope: "your step forgets the inner rate",
            w - rate * 2 * (w * x - y): "the chain rule is missing: the derivative of w x with respect to w is x",
            slope: "this is the gradient; the step is w - rate * gradient",
        }
        if not _compare(
            function(w, x, y, rate), w - rate * slope, named, f"w={w:.3f}, x={x:.3f}, y={y:.3f}, rate={rate:.3f}"
        ):
            return
    print("Right: that is one inner step.")


def meta_gradient(
    function: Callable[[float, tuple[float, float], tuple[float, float], float], float], seed: int = 0
) -> None:
    """Check `function(w, support, query, rate)`: the derivative of the query loss after one inner step."""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        w, x, y, u, v, rate = (float(n) for n in rng.uniform(0.2, 1.5, 6))
        theta = w - rate * 2 * x * (w * x - y)
        outer, inner = 2 * u * (theta * u - v), 1 - 2 * rate * x * x
        named = {
            outer: "this is the first-order answer: multiply by dθ/dw, how the adapted parameter moves with w",
            2 * u * (w * u - v): "this is the query gradient at w; take it at the adapted parameter θ",
            outer * (1 + 2 * rate * x * x): "dθ/dw has the wrong sign inside: it is 1 - 2 rate x^2",
            outer * (1 - rate * x * x): "dθ/dw lacks the factor 2: it is 1 - 2 rate x^2",
            2 * x * (theta * x - y) * inner: "the outer loss is on the query, not on the support",
        }
        given = f"w={w:.3f}, support=({x:.3f}, {y:.3f}), query=({u:.3f}, {v:.3f}), rate={rate:.3f}"
        if not _compare(function(w, (x, y), (u, v), rate), outer * inner, named, given):
            return
    print("Right: the query gradient, times how θ moves with w.")


def pooled_step(function: Callable[[np.ndarray, np.ndarray, Sequence[int], float], Any], seed: int = 0) -> None:
    """Check `function(theta, gradients, labels, rate)`: eq. 5, one row of new parameters per task.

    theta (m, p) and gradients (m, p) per task, labels (m,) clusters; tasks of a cluster have the same theta.
    """
    rng = np.random.default_rng(seed)
    labels = [0, 1, 0, 0, 1]
    theta = rng.standard_normal((2, 3))[labels]
    gradients, rate = rng.standard_normal((5, 3)), 0.3
    same = np.equal.outer(labels, labels).astype(float)
    mean, total = (same / same.sum(1, keepdims=True)) @ gradients, same @ gradients
    named = {
        "sum": (theta - rate * total, "your step uses the sum of the gradients; eq. 5 takes the mean over the cluster"),
        "up": (theta + rate * mean, "your step goes uphill: subtract the pooled gradient"),
        "alone": (theta - rate * gradients, "each task uses its own gradient: that is MAML; pool within the cluster"),
        "all": (theta - rate * gradients.mean(0), "the mean runs over all tasks; take it within each cluster"),
        "wide": (theta - rate * total / 5, "you divide by the number of tasks; divide by the size of the cluster"),
    }
    kept = theta.copy(), gradients.copy()
    answer = function(theta, gradients, labels, rate)
    if answer is None:
        print("Not yet: your function returned None.")
        return
    if not (np.array_equal(theta, kept[0]) and np.array_equal(gradients, kept[1])):
        print("Not yet: your function changes its inputs; work on a copy.")
        return
    try:
        answer = np.asarray(answer, float)
    except (TypeError, ValueError):
        print(f"Not yet: your function returned {answer!r}; expected a row of numbers per task.")
        return
    if answer.shape != theta.shape:
        print(f"Not yet: the result has shape {answer.shape}; it must be {theta.shape}, a row per task.")
        return
    if np.allclose(answer, kept[0] - rate * mean):
        print("Right: every task moves with the mean gradient of its cluster.")
        return
    hint = next((words for values, words in named.values() if np.allclose(answer, values)), "it is not eq. 5")
    print(f"Not yet: {hint}.\n  yours, first task:  {np.round(answer[0], 3)}\n  target, first task: "
          f"{np.round((kept[0] - rate * mean)[0], 3)}")  # fmt: skip


def everyone_then_alone(function: Grouping) -> None:
    """Check the grouping `function(step, tasks, parents, gradients)` of notebook 00: two steps together, then alone."""
    for count in (3, 7):
        tasks, parents = [f"task {i}" for i in range(count)], [0] * count
        for step in range(1, 5):
            answer = function(step, tasks, parents, no_gradients)
            if not _are_labels(answer, "grouping"):
                return
            labels, wanted = list(answer), 1 if step < 3 else count
            found = len(set(labels))
            if len(labels) != count:
                print(f"Not yet: at step {step} your grouping gave {len(labels)} labels for {count} tasks.")
                return
            if found != wanted:
                print(f"Not yet: at step {step} there are {found} clusters of {count} tasks; expected {wanted}.")
                return
            parents = labels
    print("Right: two steps together, then each task alone.")


def within_parents(function: Callable[[Sequence[int], Sequence[int]], Any], seed: int = 0) -> None:
    """Check `function(found, parents)` of notebook 04: a label per task, equal where both of its labels are equal."""
    rng = np.random.default_rng(seed)
    for count in (4, 9):
        found, parents = rng.integers(0, 3, count).tolist(), rng.integers(0, 2, count).tolist()
        found[:4], parents[:4] = [0, 0, 1, 1], [0, 1, 1, 1]  # a split, and a pair that stays
        answer = function(list(found), list(parents))
        if not _are_labels(answer, "function"):
            return
        labels = list(answer)
        if len(labels) != count:
            print(f"Not yet: your function gave {len(labels)} labels for {count} tasks.")
            return
        for i in range(count):
            for j in range(i):
                together = found[i] == found[j] and parents[i] == parents[j]
                if (labels[i] == labels[j]) == together:
                    continue
                why = (
                    "were found in one cluster and have the same parent, but you part them"
                    if together
                    else "had different parents, but you put them together: clusters never merge"
                    if parents[i] != parents[j]
                    else "have the same parent but were found in different clusters, and you leave them together"
                )
                print(f"Not yet: tasks {j} and {i} {why}.\n  found {found}, parents {parents}, yours {labels}")
                return
    print("Right: the clusters of the gradients, each within its parent.")


def omega(function: Callable[[np.ndarray], float], seed: int = 0) -> None:
    """Check `function(vectors)`: ω of the tasks with these vectors (n, d), as in notebook 03."""
    rng = np.random.default_rng(seed)
    for n in (3, 4, 7):
        vectors = rng.standard_normal((n, 3)) * rng.uniform(0.5, 3.0, (n, 1))
        products, pairs = vectors @ vectors.T, np.triu_indices(n, 1)
        cosines = products / np.sqrt(np.outer(products.diagonal(), products.diagonal()))
        total = cosines[pairs].sum()
        named = {
            cosines.mean(): "each task's similarity to itself is in your mean; take pairs of two different tasks",
            products[pairs].mean(): "these are dot products: bring every vector to length 1 first",
            total: "this is the sum over the pairs; divide by their number, n (n - 1) / 2",
            2 * total / n**2: "you divide by n^2, as if each task made a pair with itself too",
            4 * total / (n * (n - 1)): "every pair is counted twice; divide by n (n - 1) then",
        }
        target = 2 * total / (n * (n - 1))
        if not _compare(function(vectors), target, named, f"{n} vectors in 3 dimensions"):
            return
    print("Right: the mean cosine of all pairs.")


def pair_gain(function: Callable[[Sequence[float], float, int, float], float], seed: int = 0) -> None:
    """Check `function(similarities, b, p, gap)`: the score of "pair" less that of "sibling", as in notebook 03.

    At a root whose children are n tasks and nothing else, with p = n (n - 1) / 2 pairs whose similarities add up
    to b. `similarities` (n,) are the newcomer's; the pair is with the most similar task; `gap` is ξσ.
    """
    rng = np.random.default_rng(seed)
    for n in (2, 3, 4, 5):
        rows = rng.standard_normal((n + 1, 3))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        cosines = rows @ rows.T
        near, p, gap = cosines[n, :n], n * (n - 1) // 2, float(rng.uniform(0.3, 0.6))
        b, best, all_of_it = float(cosines[:n, :n].sum() - n) / 2, float(near.max()), float(near.sum())
        root, sibling = (b + all_of_it - best) ** 2 / (p + n - 1), (b + all_of_it) ** 2 / (p + n)
        pair = best**2 - gap**2 + root
        named = {
            sibling - pair: "the sign is turned: it is the score of the pair less that of the sibling",
            pair + gap**2 - sibling: "the pair's level is not free: subtract the square of the gap",
            pair + gap**2 - gap - sibling: "the price of a level is the square of the gap",
            best**2 - gap**2: "the pair no longer meets at the root: take it out of the root's sum and count",
            best**2 - gap**2 + (b + all_of_it - best) ** 2 / (p + n) - sibling: "the root has one pair less: p + n - 1",
            best**2 - gap**2 + root / (p + n - 1) - sibling / (p + n): "a node explains B^2 / P, not the squared mean",
            pair: "this is the score of the pair; subtract that of the sibling",
        }
        given = f"similarities={np.round(near, 3).tolist()}, b={b:.3f}, p={p}, gap={gap:.3f}"
        if not _compare(function(near.tolist(), b, p, gap), pair - sibling, named, given):
            return
    print("Right: above 0 the newcomer makes a pair, below 0 it is a sibling.")


def agreement(function: Callable[[np.ndarray], float], seed: int = 0) -> None:
    """Check `function(gradients)`: |mean g| / mean |g| of gradients (m, d), as in notebook 05."""
    rng = np.random.default_rng(seed)
    for m, d in ((2, 3), (5, 4), (1, 6)):
        gradients = rng.standard_normal((m, d)) * rng.uniform(0.5, 2, (m, 1))
        lengths = np.linalg.norm(gradients, axis=1)
        mean, unit = np.linalg.norm(gradients.mean(0)), gradients / lengths[:, None]
        named = {
            m * mean / lengths.mean(): "you took the length of the sum; take that of the mean",
            mean: "this is the length of the mean; divide it by the mean length",
            lengths.mean() / mean: "it is upside down",
            mean / np.linalg.norm(gradients): "divide by the mean of the lengths, not by the length of the whole array",
            np.linalg.norm(unit.mean(0)): "you took directions: leave the gradients their lengths",
        }
        if not _compare(function(gradients.copy()), mean / lengths.mean(), named, f"gradients of shape ({m}, {d})"):
            return
    print("Right: that is how far the gradients agree.")


def difference_error(function: Callable[[float, float, int], float], seed: int = 0) -> None:
    """Check `function(one, other, n)` of notebook 07: the standard error of a difference of two accuracies, in points.

    `one` and `other` are percentages, each of n answers, and the answers are independent.
    """
    rng = np.random.default_rng(seed)
    for n in (150, 450, 5010):
        one, other = (round(float(value), 2) for value in rng.uniform(55, 85, 2))
        v, w = (share * (1 - share) / n for share in (one / 100, other / 100))
        named = {
            (v + w) ** 0.5: "this is in shares; a point is a hundredth of it",
            100 * (v + w): "this is a variance; take the square root",
            1e4 * (v + w): "this is a variance; take the square root",
            100 * (v**0.5 + w**0.5): "add the variances, not the standard errors",
            100 * abs(v - w) ** 0.5: "variances add, also when the accuracies are subtracted",
            100 * v**0.5: "this is the error of the first accuracy alone",
            100 * w**0.5: "this is the error of the second accuracy alone",
            100 * (n * (v + w)) ** 0.5: "this is the error for a single answer each; divide the variances by n",
            100 * ((v + w) / 2) ** 0.5: "the variances of both add; you took their mean",
        }
        if not _compare(function(one, other, n), 100 * (v + w) ** 0.5, named, f"one={one}, other={other}, n={n}"):
            return
    print("Right: that is how far two accuracies differ by chance alone.")


def tree_by_label(function: Callable[[dict[str, str]], TaskTree], seed: int = 0) -> None:
    """Check `function(labels)` of notebook 07: a tree of tasks in which those with the same label share step 2."""
    rng = np.random.default_rng(seed)
    for count in (5, 8):
        labels = {f"task {i}": "xyz"[int(rng.integers(3))] for i in range(count)}
        answer, given = function(dict(labels)), ", ".join(f"{task}: {label}" for task, label in labels.items())
        if not isinstance(answer, TaskTree):
            print(f"Not yet: your function returned {answer!r}; expected a TaskTree.")
            return
        if set(answer.leaves) != set(labels):
            print(f"Not yet: the leaves are {', '.join(answer.leaves)}; expected one for each of {', '.join(labels)}.")
            return
        wanted = {1: dict.fromkeys(labels), 2: labels, 3: {task: task for task in labels}}
        for step, together in wanted.items():
            clusters = answer.clusters(step)
            for a, b in itertools.combinations(labels, 2):
                if (clusters[a] == clusters[b]) != (together[a] == together[b]):
                    now = "share a cluster" if clusters[a] == clusters[b] else "are apart"
                    print(f"Not yet: at step {step}, {a} and {b} {now}, and they should not.\n  for {given}")
                    return
    print("Right: all together, then by label, then each alone.")


def few_shot_sampler(function: Callable[[Any, str, str], Sampler]) -> None:
    """Check `function(corpus, auxiliary, target)` of notebook 06: the episodes of few-shot XLA-MAML, 8 + 8 rows."""
    corpus = mini_nli(("en", "de", "hi"), ["dev"])
    languages = corpus["language"][:]
    for auxiliary, target in (("hi", "de"), ("de", "hi")):
        try:
            draw = function(corpus, auxiliary, target)
            if not callable(draw):
                print(f"Not yet: your function returned {draw!r}; expected a sampler.")
                return
            episode = draw(0)
        except InputError as error:
            print(f"Not yet: {error}")
            return
        rows = [batch["row"].flatten().tolist() for batch in (*episode.support, episode.query)]
        found = tuple("+".join(dict.fromkeys(languages[i] for i in row)) for row in rows)
        named = {
            (auxiliary, auxiliary): "support and query are both in the auxiliary: that is X-MAML",
            ("en", auxiliary): "the support is English: that is zero-shot XLA-MAML",
            (auxiliary, target): "it is the wrong way round: the target's rows may be support, never query",
            (target, target): "the query is in the target, which must stay unseen there",
        }
        if found != (target, auxiliary):
            hint = named.get(found, "these are not the languages of few-shot XLA-MAML")
            print(f"Not yet: {hint}.\n  auxiliary {auxiliary}, target {target}: support and query are {found}")
            return
        if [len(row) for row in rows] != [8, 8]:
            print(f"Not yet: there are {len(rows[0])} support and {len(rows[1])} query rows; expected 8 and 8.")
            return
    print("Right: the step is taken in the target language and judged in the auxiliary.")


def rows_used(function: Callable[[Sampler, int], int]) -> None:
    """Check `function(draw, steps)` of notebook 06: how many different query rows the first episodes have."""
    corpus = mini_nli(("en", "hi"), ["dev"])
    corpus = corpus.select([i for i, genre in enumerate(corpus["genre"]) if genre == "fiction"])
    for covering, steps in ((False, 5), (False, 30), (True, 12), (True, 30)):
        draw = sampler(corpus, "hi", support="en", shots=8, queries=8, covering=covering)
        episodes = [draw(i) for i in range(steps + 1)]
        queries = [episode.query["row"].flatten().tolist() for episode in episodes]
        support = {row for episode in episodes[:-1] for row in episode.support[0]["row"].flatten().tolist()}
        drawn = [row for rows in queries[:-1] for row in rows]
        named = {
            len(drawn): "rows that come again are counted again; count different ones",
            len({*drawn, *support}): "the support rows are in your count; take the query's",
            len(support): "these are the support rows; take the query's",
            8: "that is one episode; there are as many as there are steps",
            len({row for rows in queries[1:] for row in rows}): (
                "outer steps are numbered from 0: the first episode is draw(0)"
            ),
        }
        given = f"{steps} episodes of 8 query rows out of 144, {'covering' if covering else 'at random'}"
        if not _compare(function(draw, steps), len(set(drawn)), named, given):
            return
    print("Right: that is how many different rows the query has shown.")


def cross_lingual_loss(
    function: Callable[[float, tuple[float, float], tuple[float, float], float], float], seed: int = 0
) -> None:
    """Check `function(w, english, hindi, rate)` of notebook 06: XLA-MAML's query loss for (w x - y)^2, by eq. 5."""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        w, x, y, u, v, rate = (float(n) for n in rng.uniform(0.2, 1.5, 6))

        def step(x: float, y: float, w: float = w, rate: float = rate) -> float:
            return w - rate * 2 * x * (w * x - y)

        theta, own = step(x, y), step(u, v)
        named = {
            (w * u - v) ** 2: "no step was taken: this is the query loss at w",
            (own * u - v) ** 2: "the step is taken on the Hindi row: that is X-MAML (with the query as its support)",
            (own * x - y) ** 2: "it is the wrong way round: step in English, judge in Hindi",
            (theta * x - y) ** 2: "this is the loss of the support after the step; judge on the Hindi row",
            ((2 * w - theta) * u - v) ** 2: "your step goes uphill: subtract the gradient",
            ((w + theta) / 2 * u - v) ** 2: "the factor 2 of the square's derivative is missing",
            theta: "these are the adapted parameters; the answer is the query loss there",
        }
        given = f"w={w:.3f}, english=({x:.3f}, {y:.3f}), hindi=({u:.3f}, {v:.3f}), rate={rate:.3f}"
        if not _compare(function(w, (x, y), (u, v), rate), (theta * u - v) ** 2, named, given):
            return
    print("Right: the step is taken in English, the loss in Hindi.")


def best_span(function: Callable[[Sequence[float], Sequence[float], int], Any], seed: int = 0) -> None:
    """Check `function(start, end, longest)` of notebook 08: the first and the last token of the best valid span."""
    rng, longest = np.random.default_rng(seed), 3
    for _ in range(10):
        start, end = rng.permutation(16)[:8], rng.permutation(16)[:8]
        given = f"\n  start = {start.tolist()}\n  end = {end.tolist()}\n  longest = {longest}"
        valid = [(i, j) for i in range(8) for j in range(i, min(8, i + longest))]
        best = max(valid, key=lambda span: start[span[0]] + end[span[1]])
        answer = function(start.tolist(), end.tolist(), longest)
        if answer is None:
            print("Not yet: your function returned None.")
            return
        try:
            i, j = map(int, answer)
        except (TypeError, ValueError):
            print(f"Not yet: your function returned {answer!r}; expected two token numbers, the first and the last.")
            return
        if (i, j) not in valid:
            alone = " (the best start and the best end, each by itself)" * ((i, j) == (start.argmax(), end.argmax()))
            print(f"Not yet: your span {(i, j)}{alone} is not valid: it needs i <= j < i + longest.{given}")
            return
        if start[i] + end[j] < start[best[0]] + end[best[1]]:
            print(f"Not yet: your span {(i, j)} has the score {start[i] + end[j]}, the valid span {best} has "
                  f"{start[best[0]] + end[best[1]]}.{given}")  # fmt: skip
            return
    print("Right: that is the best of all valid spans.")


def overlap(function: Callable[[Sequence[str], Sequence[str]], float]) -> None:
    """Check `function(found, wanted)` of notebook 08: F1 of the tokens of an answer, from 0 to 1."""
    answers = {
        "king old": "old king",
        "old king of spain": "the old king",
        "tower tower king": "king tower tower old",
        "king": "tower",
    }
    for found, wanted in ((said.split(), right.split()) for said, right in answers.items()):
        left = list(wanted)
        common = sum(1 for word in found if word in left and (left.remove(word) or True))
        precision, recall, different = common / len(found), common / len(wanted), set(found) | set(wanted)
        same = set(found) & set(wanted)
        named = {
            2 * len(same) / (len(set(found)) + len(set(wanted))): "a word that comes twice counts twice",
            len(same) / len(different): "this is the share of common words in all words; F1 is the harmonic mean",
            precision: "this is the precision; F1 is the harmonic mean of precision and recall",
            recall: "this is the recall; F1 is the harmonic mean of precision and recall",
            (precision + recall) / 2: "this is the plain mean of precision and recall; take the harmonic one",
            float(found == wanted): "this is exact match",
        }
        if not _compare(function(found, wanted), 2 * common / (len(found) + len(wanted)), named, f"{found}, {wanted}"):
            return
    print("Right: that is F1.")


def learning_window(function: Callable[[Sequence[tuple[int, int]], tuple[int, int]], int], seed: int = 0) -> None:
    """Check `function(windows, answer)` of notebook 08: the number of the window with most around the answer.

    Windows and the answer are (first, last) token of the passage.
    """
    rng = np.random.default_rng(seed)
    windows = [(start, start + 11) for start in range(0, 40, 4)]
    drawn = [(first, first + int(rng.integers(3))) for first in rng.permutation(np.arange(8, 38))[:8].tolist()]
    for answer in [(11, 13), *drawn]:
        around = [min(answer[0] - start, end - answer[1]) for start, end in windows]
        whole = [number for number, room in enumerate(around) if room >= 0]
        touched = [n for n, (start, end) in enumerate(windows) if start <= answer[1] and answer[0] <= end]
        named = dict.fromkeys(set(touched) - set(whole), "this window cuts the answer")
        named |= {whole[0]: "this is the first window that holds the answer; another has more on both sides of it"}
        best = [number for number in whole if around[number] == max(around)]
        answered, given = function(windows, answer), f"windows {windows}, answer {answer}"
        if answered not in best and not _compare(answered, best[0], named, given):
            return
    print("Right: from there the model sees most on both sides of the answer.")


def gpu_hours(function: Callable[[int, int, int, int, float], float], seed: int = 0) -> None:
    """Check `function(lines, targets, seeds, steps, seconds)` of notebook 09: the GPU hours of a leave-one-out table.

    `lines` are the methods that are run, the Baseline among them; `seconds` is the time of an outer step.
    """
    rng = np.random.default_rng(seed)
    for _ in range(5):
        lines, targets, seeds = (int(n) for n in rng.integers(3, 13, 3))
        steps, seconds = 100 * int(rng.integers(1, 9)), float(rng.integers(3, 99)) / 10
        right = (lines - 1) * targets * seeds * steps * seconds / 3600
        named = {
            right * lines / (lines - 1): "the Baseline is a line of the table, but it is not trained",
            right / targets: "each target is left out in turn, so each has trainings of its own",
            right / seeds: "each seed is a training of its own",
            right / steps: "the seconds are those of one outer step",
            right * 3600: "these are seconds; an hour has 3,600",
            right * 60: "these are minutes; an hour has 60 of them",
        }
        given = f"lines={lines}, targets={targets}, seeds={seeds}, steps={steps}, seconds={seconds}"
        if not _compare(function(lines, targets, seeds, steps, seconds), right, named, given):
            return
    print("Right: that is what the trainings cost; the tests come on top.")


def changes_the_numbers(function: Callable[[str], bool]) -> None:
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
        answer = function(option)
        if answer is None:
            print("Not yet: your function returned None.")
            return
        if answer not in (True, False):
            print(f"Not yet: your function returned {answer!r} for {option}; expected True or False.")
            return
        if bool(answer) != right:
            print(f"Not yet: you say {bool(answer)} for {option}; {reason}.")
            return
    print("Right: two of the six change what is found; say so when you report it.")


def _are_labels(answer: Any, what: str) -> bool:
    """Can `answer` be labels at all? Print what is wrong with what the reader's `what` returned."""
    if answer is None:
        print(f"Not yet: your {what} returned None.")
    elif not isinstance(answer, Iterable):
        print(f"Not yet: your {what} returned {answer!r}; expected one label per task.")
    return isinstance(answer, Iterable)


def _compare(answer: Any, target: float, named: dict[float, str], given: str) -> bool:
    """Compare one answer with the target; print what is wrong, by name where the mistake is known."""
    if answer is None:
        print("Not yet: your function returned None.")
        return False
    try:
        answer = float(answer)
    except (TypeError, ValueError):
        print(f"Not yet: your function returned {answer!r}; expected a number.")
        return False
    if np.isclose(answer, target, rtol=1e-6):
        return True
    hint = next((words for value, words in named.items() if np.isclose(answer, value, rtol=1e-6)), None)
    print(f"Not yet: {hint or 'the value is off'}.\n  for {given}\n  yours {answer:.4f}, target {target:.4f}")
    return False
