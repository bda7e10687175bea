"""The checks of the exercises: right answers pass, and a mistake is called by its name."""

import contextlib
import io
import os
from collections import Counter, OrderedDict
from itertools import chain, groupby

import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import functional_call

from minimeta.course import checks, text_checks
from minimeta.otd import OnlineTree
from minimeta.text.corpora import mini_nli
from minimeta.text.episodes import sampler
from minimeta.text.spans import Window, training_window
from minimeta.trees import TaskTree


def right_step(w, x, y, rate):
    return w - rate * 2 * x * (w * x - y)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (right_step, "Right"),
        (lambda w, x, y, rate: np.float64(w) + 2 * rate * x * (y - w * x), "Right"),
        (lambda w, x, y, rate: None, "returned None"),
        (lambda w, x, y, rate: w + rate * 2 * x * (w * x - y), "uphill"),
        (lambda w, x, y, rate: w - rate * x * (w * x - y), "factor 2"),
        (lambda w, x, y, rate: w - 2 * x * (w * x - y), "forgets the inner rate"),
        (lambda w, x, y, rate: w - rate * 2 * (w * x - y), "chain rule"),
        (lambda w, x, y, rate: 2 * x * (w * x - y), "this is the gradient"),
        (lambda w, x, y, rate: 1.2, "the value is off"),
        (lambda w, x, y, rate: (w, x), "expected a number"),
    ],
)
def test_inner_step(capsys, answer, words):
    checks.inner_step(answer)
    assert words in capsys.readouterr().out


def theta(w, support, rate):
    return right_step(w, *support, rate)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda w, s, q, r: 2 * q[0] * (theta(w, s, r) * q[0] - q[1]) * (1 - 2 * r * s[0] ** 2), "Right"),
        (lambda w, s, q, r: None, "returned None"),
        (lambda w, s, q, r: 2 * q[0] * (theta(w, s, r) * q[0] - q[1]), "first-order"),
        (lambda w, s, q, r: 2 * q[0] * (w * q[0] - q[1]), "at the adapted parameter"),
        (lambda w, s, q, r: 2 * q[0] * (theta(w, s, r) * q[0] - q[1]) * (1 + 2 * r * s[0] ** 2), "wrong sign"),
        (lambda w, s, q, r: 2 * q[0] * (theta(w, s, r) * q[0] - q[1]) * (1 - r * s[0] ** 2), "lacks the factor 2"),
        (lambda w, s, q, r: 2 * s[0] * (theta(w, s, r) * s[0] - s[1]) * (1 - 2 * r * s[0] ** 2), "not on the support"),
    ],
)
def test_meta_gradient(capsys, answer, words):
    checks.meta_gradient(answer)
    assert words in capsys.readouterr().out


def same(labels):
    return np.equal.outer(labels, labels).astype(float)


def right_pool(theta, gradients, labels, rate):
    return theta - rate * (same(labels) / same(labels).sum(1, keepdims=True)) @ gradients


def mutates(theta, gradients, labels, rate):
    theta -= rate * (same(labels) / same(labels).sum(1, keepdims=True)) @ gradients
    return theta


def by_numbers_of_numpy(theta, gradients, labels, rate):
    """A number of NumPy compares itself with each item of a list."""
    new = theta.copy()
    for label in np.unique(labels):
        new[labels == label] -= rate * gradients[labels == label].mean(0)
    return new


def of_a_tensor_on_a_list(theta, gradients, labels, rate):
    return [theta[i] - rate * gradients[labels == torch.tensor(labels)[i]].mean(0) for i in range(len(labels))]


def task_by_task_on_a_list(theta, gradients, labels, rate):
    return np.array([theta[i] - rate * gradients[labels == labels[i]].mean(0) for i in range(len(labels))])


def filled_on_a_list(theta, gradients, labels, rate):
    new = np.zeros_like(theta)
    for label in set(labels):
        new[labels == label] = theta[labels == label] - rate * gradients[labels == label].mean(0)
    return new


def left_out_on_a_list(theta, gradients, labels, rate):
    return np.array(
        [theta[i] - rate * np.delete(gradients, labels != labels[i], 0).mean(0) for i in range(len(labels))]
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (right_pool, "Right"),
        (lambda t, g, c, r: [list(row) for row in right_pool(t, g, c, r)], "Right"),
        (lambda t, g, c, r: None, "returned None"),
        (lambda t, g, c, r: t - r * same(c) @ g, "uses the sum"),
        (lambda t, g, c, r: 2 * t - right_pool(t, g, c, r), "uphill"),
        (lambda t, g, c, r: t - r * g, "that is MAML"),
        (lambda t, g, c, r: t - r * g.mean(0), "over all tasks"),
        (lambda t, g, c, r: t - r * same(c) @ g / len(g), "size of the cluster"),
        (lambda t, g, c, r: right_pool(t, g, c, r)[:0], "your answer has shape (0, "),
        (mutates, "changes its inputs"),
        (lambda t, g, c, r: [[1, 2], [3]], "expected numbers of shape ("),
        (lambda t, g, c, r: t, "do not move at all"),
        (task_by_task_on_a_list, "labels is a list: `labels == c` compares the whole list with c"),
        (filled_on_a_list, "labels is a list: `labels == c`"),
        (left_out_on_a_list, "labels is a list: `labels == c`"),
        (of_a_tensor_on_a_list, "labels is a list: `labels == c`"),
        (lambda t, g, c, r: t + 1 + g, "it is not eq. 5"),
    ],
)
def test_pooled_step(capsys, answer, words):
    checks.pooled_step(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda step, tasks, *_: [0] * len(tasks) if step < 3 else range(len(tasks)), "Right"),
        (lambda step, tasks, *_: tasks if step > 2 else ["all"] * len(tasks), "Right"),
        (lambda step, tasks, *_: None, "returned None"),
        (lambda step, tasks, *_: 0, "expected one label per task"),
        (lambda step, tasks, *_: [0], "1 labels for 2 tasks"),
        (lambda step, tasks, *_: [0] * len(tasks), "at step 3 there are 1 clusters of 2 tasks; expected 2"),
        (lambda step, tasks, *_: range(len(tasks)), "at step 1 there are 2 clusters"),
        (lambda step, tasks, *_: [0] * len(tasks) if step < 2 else range(len(tasks)), "at step 2 there are 2"),
    ],
)
def test_everyone_then_alone(capsys, answer, words):
    checks.everyone_then_alone(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda found, parents: list(zip(found, parents, strict=True)), "Right"),
        (lambda found, parents: [10 * p + f for f, p in zip(found, parents, strict=True)], "come to the same label"),
        (lambda found, parents: None, "returned None"),
        (lambda found, parents: 0, "expected one label per task"),
        (lambda found, parents: [0], "1 labels for 2 tasks"),
        (lambda found, parents: found, "clusters never merge"),
        (lambda found, parents: [f + p for f, p in zip(found, parents, strict=True)], "clusters never merge"),
        (lambda found, parents: parents, "you leave them together"),
        (lambda found, parents: range(len(found)), "you part them"),
    ],
)
def test_within_parents(capsys, answer, words):
    checks.within_parents(answer)
    assert words in capsys.readouterr().out


def cosines(vectors):
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (rows @ rows.T)[np.triu_indices(len(vectors), 1)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda v: cosines(v).mean(), "Right"),
        (lambda v: None, "returned None"),
        (lambda v: (2 * cosines(v).sum() + len(v)) / len(v) ** 2, "similarity to itself"),
        (lambda v: (v @ v.T)[np.triu_indices(len(v), 1)].mean(), "dot products"),
        (lambda v: cosines(v).sum(), "the sum over the pairs"),
        (lambda v: 2 * cosines(v).sum() / len(v) ** 2, "divide by n^2"),
        (lambda v: 2 * cosines(v).mean(), "counted twice"),
        (lambda v: 0.123, "the value is off"),
    ],
)
def test_omega(capsys, answer, words):
    checks.omega(answer)
    assert words in capsys.readouterr().out


def scores(similarities, b, p, gap):
    """The scores of pair and sibling."""
    n, s, best = len(similarities), sum(similarities), max(similarities)
    return best**2 - gap**2 + (b + s - best) ** 2 / (p + n - 1), (b + s) ** 2 / (p + n)


def gain(similarities, b, p, gap):
    pair, sibling = scores(similarities, b, p, gap)
    return pair - sibling


def equals_leave(s, b, p, gap):
    """All tasks that are as similar as the nearest leave the root's sum, not one."""
    rest = b + sum(each for each in s if each != max(s))
    _, sibling = scores(s, b, p, gap)
    return max(s) ** 2 - gap**2 + rest**2 / (p + len(s) - s.count(max(s))) - sibling


def means_squared(s, b, p, gap):
    n, total = len(s), b + sum(s)
    return max(s) ** 2 - gap**2 + ((total - max(s)) / (p + n - 1)) ** 2 - (total / (p + n)) ** 2


def one_pair_too_many(s, b, p, gap):
    n, total = len(s), b + sum(s)
    return max(s) ** 2 - gap**2 + (total - max(s)) ** 2 / (p + n) - total**2 / (p + n)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (gain, "Right"),
        (lambda *given: None, "returned None"),
        (lambda *given: -gain(*given), "the sign is turned"),
        (lambda s, b, p, gap: gain(s, b, p, gap) + gap**2, "not free"),
        (lambda s, b, p, gap: gain(s, b, p, gap) + gap**2 - gap, "is the square of the gap"),
        (lambda s, b, p, gap: max(s) ** 2 - gap**2, "no longer meets at the root"),
        (one_pair_too_many, "one pair less"),
        (means_squared, "not the squared mean"),
        (lambda *given: scores(*given)[0], "subtract that of the sibling"),
        (lambda *given: "pair", "expected a number"),
    ],
)
def test_pair_gain(capsys, answer, words):
    checks.pair_gain(answer)
    assert words in capsys.readouterr().out


def test_pair_gain_is_the_gain_of_the_tree():
    """The target agrees with what an online tree says at such a root."""
    compared = 0
    for seed in range(10):
        vectors = np.random.default_rng(seed).standard_normal((4, 3))
        tree = OnlineTree(depth=2, xi=50)  # too dear for inner nodes ...
        for i, vector in enumerate(vectors[:3]):
            tree.insert(vector, str(i))
        tree.xi = 0.7  # ... until now
        event = tree.insert(vectors[3], "new")
        found = {kind: gain for visit in event.visits for kind, gain in visit.numbers.items()}
        rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        near, b = rows[:3] @ rows[3], cosines(vectors[:3]).sum()
        if "pair" in found:
            assert gain(near.tolist(), b, 3, event.gap) == pytest.approx(found["pair"] - found["sibling"])
            compared += 1
    assert compared >= 5


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda g: np.linalg.norm(g.mean(0)) / np.linalg.norm(g, axis=1).mean(), "Right"),
        (lambda g: np.sqrt((g.mean(0) ** 2).sum()) * len(g) / sum(np.sqrt((row**2).sum()) for row in g), "Right"),
        (lambda g: np.linalg.norm(g.sum(0)) / np.linalg.norm(g, axis=1).mean(), "length of the sum"),
        (lambda g: np.linalg.norm(g.mean(0)), "divide it by the mean length"),
        (lambda g: np.linalg.norm(g, axis=1).mean() / np.linalg.norm(g.mean(0)), "upside down"),
        (lambda g: np.linalg.norm(g.mean(0)) / np.linalg.norm(g), "not by the length of the whole array"),
        (
            lambda g: np.linalg.norm((g / np.linalg.norm(g, axis=1)[:, None]).mean(0)),
            "leave the gradients their lengths",
        ),
        (lambda g: None, "returned None"),
    ],
)
def test_agreement_names_the_mistake(capsys, function, words):
    checks.agreement(function)
    assert words in capsys.readouterr().out


def of_pairs(matrix, labels, selfs=False):
    """The similarities within labels, and across them."""
    same = labels[:, None] == labels
    return matrix[same & ~np.eye(len(labels), dtype=bool) | same & selfs], matrix[~same]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda m, names: np.subtract(*(pairs.mean() for pairs in of_pairs(m, names))), "Right"),
        (lambda m, names: None, "returned None"),
        (lambda m, names: np.subtract(*(pairs.mean() for pairs in of_pairs(m, names, True))), "to itself"),
        (lambda m, names: -np.subtract(*(pairs.mean() for pairs in of_pairs(m, names))), "sign is turned"),
        (lambda m, names: of_pairs(m, names)[0].mean(), "subtract that across"),
        (lambda m, names: of_pairs(m, names)[0].mean() - m[np.triu_indices(len(m), 1)].mean(), "not that of all pairs"),
        (lambda m, names: np.subtract(*(pairs.sum() for pairs in of_pairs(m, names))), "not sums"),
    ],
)
def test_contrast_names_the_mistake(capsys, function, words):
    checks.contrast(function)
    assert words in capsys.readouterr().out


def variances(one, other, n):
    return [share * (1 - share) / n for share in (one / 100, other / 100)]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda a, b, n: 100 * sum(variances(a, b, n)) ** 0.5, "Right"),
        (lambda a, b, n: np.hypot(*(np.sqrt(share * (100 - share) / n) for share in (a, b))), "Right"),
        (lambda a, b, n: None, "returned None"),
        (lambda a, b, n: sum(variances(a, b, n)) ** 0.5, "this is a share of 1"),
        (lambda a, b, n: 100 * sum(variances(a, b, n)), "square root"),
        (lambda a, b, n: 1e4 * sum(variances(a, b, n)), "square root"),
        (lambda a, b, n: 100 * sum(v**0.5 for v in variances(a, b, n)), "add the variances"),
        (lambda a, b, n: 100 * abs(np.subtract(*variances(a, b, n))) ** 0.5, "variances add"),
        (lambda a, b, n: 100 * variances(a, b, n)[0] ** 0.5, "the first accuracy alone"),
        (lambda a, b, n: 100 * variances(a, b, n)[1] ** 0.5, "the second accuracy alone"),
        (lambda a, b, n: 100 * sum(variances(a, b, 1)) ** 0.5, "divide the variances by n"),
        (lambda a, b, n: 100 * (sum(variances(a, b, n)) / 2) ** 0.5, "you took their mean"),
    ],
)
def test_difference_error_names_the_mistake(capsys, function, words):
    text_checks.difference_error(function)
    assert words in capsys.readouterr().out


def by_label(labels):
    return TaskTree.nest("", {v: [task for task in labels if labels[task] == v] for v in labels.values()})


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (by_label, "Right"),
        (lambda labels: TaskTree("", by_label(labels).children[::-1]), "Right"),
        (lambda labels: None, "returned None"),
        (lambda labels: {"x": list(labels)}, "expected a TaskTree"),
        (lambda labels: TaskTree.nest("", set(labels.values())), "expected one for each of t0"),
        (lambda labels: TaskTree.nest("", list(labels)), "at step 2, t0 and t1 are apart"),
        (lambda labels: TaskTree.nest("", {"all": list(labels)}), "share a cluster, and they should not"),
        (lambda labels: TaskTree("", (by_label(labels),)), "at step 3, t0 and t1 share"),
    ],
)
def test_tree_by_label_names_the_mistake(capsys, function, words):
    text_checks.tree_by_label(function)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda c, a, t: sampler(c, a, support=t, shots=8, queries=8, target=t), "Right"),
        (lambda c, a, t: sampler(c, a, support=t, shots=8, queries=8, covering=True), "Right"),
        (lambda c, a, t: None, "returned None"),
        (lambda c, a, t: "few-shot", "expected a sampler"),
        (lambda c, a, t: sampler(c, a, shots=8, queries=8, target=t), "that is X-MAML"),
        (lambda c, a, t: sampler(c, a, support="en", shots=8, queries=8, target=t), "zero-shot XLA-MAML"),
        (lambda c, a, t: sampler(c, t, support=a, shots=8, queries=8), "wrong way round"),
        (lambda c, a, t: sampler(c, t, support=a, shots=8, queries=8, target=t), "a target must stay unseen"),
        (lambda c, a, t: sampler(c, t, shots=8, queries=8), "the query is in the target"),
        (lambda c, a, t: sampler(c, "en", support=t, shots=8, queries=8), "not the languages"),
        (lambda c, a, t: sampler(c, a, support=t, shots=3, queries=6), "3 support and 6 query rows"),
    ],
)
def test_few_shot_sampler(capsys, answer, words):
    text_checks.few_shot_sampler(answer)
    assert words in capsys.readouterr().out


def query_rows(draw, steps, first=0):
    return [row for i in range(first, first + steps) for row in draw(i).query["row"].flatten().tolist()]


def support_rows(draw, steps):
    return [row for i in range(steps) for row in draw(i).support[0]["row"].flatten().tolist()]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda draw, steps: len(set(query_rows(draw, steps))), "Right"),
        (lambda draw, steps: None, "returned None"),
        (lambda draw, steps: len(query_rows(draw, steps)), "count different ones"),
        (lambda draw, steps: len({*query_rows(draw, steps), *support_rows(draw, steps)}), "are in your count"),
        (lambda draw, steps: len(set(support_rows(draw, steps))), "these are the support rows"),
        (lambda draw, steps: len(query_rows(draw, 1)), "that is one episode"),
        (lambda draw, steps: len(set(query_rows(draw, steps, 1))), "numbered from 0"),
        (lambda draw, steps: 8 * steps + 1, "the value is off"),
    ],
)
def test_rows_used(capsys, answer, words):
    text_checks.rows_used(answer)
    assert words in capsys.readouterr().out


def judged(w, step_on, judge_on, rate, factor=2):
    adapted = w - factor * rate * step_on[0] * (w * step_on[0] - step_on[1])
    return (adapted * judge_on[0] - judge_on[1]) ** 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (judged, "Right"),
        (lambda w, en, hi, rate: None, "returned None"),
        (lambda w, en, hi, rate: judged(w, en, hi, 0), "no step was taken"),
        (lambda w, en, hi, rate: judged(w, hi, hi, rate), "that is X-MAML"),
        (lambda w, en, hi, rate: judged(w, hi, en, rate), "wrong way round"),
        (lambda w, en, hi, rate: judged(w, en, en, rate), "judge on the Hindi row"),
        (lambda w, en, hi, rate: judged(w, en, hi, -rate), "uphill"),
        (lambda w, en, hi, rate: judged(w, en, hi, rate, 1), "factor 2"),
        (lambda w, en, hi, rate: w - 2 * rate * en[0] * (w * en[0] - en[1]), "these are the adapted parameters"),
        (lambda w, en, hi, rate: 7.5, "the value is off"),
    ],
)
def test_cross_lingual_loss(capsys, answer, words):
    text_checks.cross_lingual_loss(answer)
    assert words in capsys.readouterr().out


def right_span(start, end, longest):
    spans = [(i, j) for i in range(len(start)) for j in range(i, min(len(start), i + longest))]
    return max(spans, key=lambda span: start[span[0]] + end[span[1]])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (right_span, "Right"),
        (lambda s, e, n: np.array(right_span(s, e, n)), "Right"),
        (lambda s, e, n: None, "returned None"),
        (lambda s, e, n: 3, "two token numbers"),
        (lambda s, e, n: ("a", "b"), "two token numbers"),
        (lambda s, e, n: (int(np.argmax(s)), int(np.argmax(e))), "is not valid: it "),
        (lambda s, e, n: right_span(s, e, 8), "tokens, and longest is 1"),
        (lambda s, e, n: right_span(s, e, n)[::-1], "it ends before it starts"),
        (lambda s, e, n: (0, 0.5), "(0, 0.5) is not valid: the tokens are 0 to 7"),
        (lambda s, e, n: (0, 8), "(0, 8) is not valid: the tokens are 0 to 7"),
        (lambda s, e, n: right_span(s, e, max(n - 1, 1)), "the valid span"),
        (lambda s, e, n: (0, 0), "has the score"),
    ],
)
def test_best_span(capsys, answer, words):
    text_checks.best_span(answer)
    assert words in capsys.readouterr().out


def right_overlap(found, wanted):
    common = sum(min(found.count(word), wanted.count(word)) for word in set(found))
    return 2 * common / (len(found) + len(wanted))


def precision(found, wanted):
    return right_overlap(found, wanted) * (len(found) + len(wanted)) / 2 / len(found)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (right_overlap, "Right"),
        (lambda f, w: None, "returned None"),
        (precision, "the precision"),
        (lambda f, w: precision(w, f), "the recall"),
        (lambda f, w: (precision(f, w) + precision(w, f)) / 2, "plain mean"),
        (lambda f, w: float(f == w), "exact match"),
        (lambda f, w: len(set(f) & set(w)) / len(set(f) | set(w)), "common words in all words"),
        (lambda f, w: 2 * len(set(f) & set(w)) / (len(set(f)) + len(set(w))), "counts twice"),
    ],
)
def test_overlap(capsys, answer, words):
    text_checks.overlap(answer)
    assert words in capsys.readouterr().out


def around(window, answer):
    return min(answer[0] - window[0], window[1] - answer[1])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda ws, a: max(range(len(ws)), key=lambda n: around(ws[n], a)), "Right"),
        (lambda ws, a: max(reversed(range(len(ws))), key=lambda n: around(ws[n], a)), "Right"),  # as good
        (lambda ws, a: None, "returned None"),
        (lambda ws, a: next(n for n, w in enumerate(ws) if around(w, a) >= 0), "the first window that holds"),
        (lambda ws, a: next(n for n, w in enumerate(ws) if a[0] <= w[1]), "does not hold the whole answer"),
        (lambda ws, a: 9, "the value is off"),
    ],
)
def test_learning_window(capsys, answer, words):
    text_checks.learning_window(answer)
    assert words in capsys.readouterr().out


def test_the_window_to_learn_from_is_that_of_the_library():
    def by_the_library(windows, answer):
        places = [[None, *((token, token + 1) for token in range(start, end + 1)), None] for start, end in windows]
        found = []
        for (start, end), place in zip(windows, places, strict=True):
            whole = start <= answer[0] and answer[1] <= end
            span = (answer[0] - start + 1, answer[1] - start + 1) if whole else (0, 0)
            found.append(Window([0] * len(place), [0] * len(place), place, *span))
        return training_window(found)

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        text_checks.learning_window(by_the_library)
    assert "Right" in printed.getvalue()


# Over many seeds: right solutions of other kinds, and wrong ones that the rules' mutants would not make.

MINI = mini_nli(("en", "de", "hi"), ["dev"])


def slope(w, x, y):
    return 2 * x * (w * x - y)


def stepped(w, x, y, rate):
    return w - rate * slope(w, x, y)


def chained(w, s, q, r):
    return slope(stepped(w, *s, r), *q) * (1 - 2 * r * s[0] ** 2)


def by_autograd(w, s, q, r):
    w = torch.tensor(float(w), requires_grad=True)
    (g,) = torch.autograd.grad((w * s[0] - s[1]) ** 2, w, create_graph=True)
    return torch.autograd.grad(((w - r * g) * q[0] - q[1]) ** 2, w)[0]


def by_rows(t, g, c, r):
    for i in range(len(c)):
        inside = [g[j] for j in range(len(c)) if c[j] == c[i]]
        yield t[i] - r * sum(inside) / len(inside)


def float32(function):
    return lambda *given: function(*(np.float32(x) if isinstance(x, np.ndarray | float) else x for x in given))


def list_compared(t, g, c, r):
    new = t.copy()
    for k in set(c):
        new[c == k] -= r * g[c == k].mean(axis=0)
    return new


def f1(found, wanted, common):
    return 2 * common / (len(found) + len(wanted))


def pairwise(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    return [unit[i] @ unit[j] for i in range(len(unit)) for j in range(i)]


def span(s, e, n, best=-float("inf")):
    found = None
    for i in range(len(s)):
        for j in range(i, min(i + n, len(s))):
            if s[i] + e[j] > best:
                best, found = s[i] + e[j], (i, j)
    return found


def in_one_cluster(tree):
    return TaskTree.nest("", {"all": tree})


def errors(one, other, n):
    return [100 * (p / 100 * (1 - p / 100) / n) ** 0.5 for p in (one, other)]


def few_shot(corpus, auxiliary, target, step=None):
    draw = sampler(corpus, auxiliary, support=target, shots=8, queries=8, target=target)
    return draw if step is None else lambda number: draw(step)


def drawn_rows(draw, steps):
    return [draw(i).query["row"].flatten().tolist() for i in range(steps)]


def known(episodes, fading, centre=lambda g: g - g.mean(0), unit=lambda rows: rows / lengths(rows), start=0):
    sums, counts = 0, start
    for gradients in episodes:
        rows = unit(centre(gradients))
        sums, counts = fading * sums + rows @ rows.T, fading * counts + 1
    return sums / counts


def lengths(rows):
    return np.linalg.norm(rows, axis=1, keepdims=True)


def known_by_torch(episodes, fading):
    rows = torch.tensor(np.array(episodes))
    rows = torch.nn.functional.normalize(rows - rows.mean(1, keepdim=True), dim=2)
    counts = fading ** torch.arange(len(rows) - 1, -1, -1, dtype=torch.float64)
    return torch.einsum("k,kid,kjd->ij", counts / counts.sum(), rows, rows)


def averaged(episodes, fading):
    each = [known([gradients], 1.0) for gradients in episodes]
    return np.average(each, 0, [fading ** (len(each) - 1 - i) for i in range(len(each))])


def moving(episodes, fading):
    now = known(episodes[:1], 1.0)
    for gradients in episodes[1:]:
        now = fading * now + (1 - fading) * known([gradients], 1.0)
    return now


def centred_together(episodes, fading):
    mean = np.mean(episodes, (0, 1))
    return known(episodes, fading, lambda g: g - mean)


def in_units_first(episodes, fading):
    return known([gradients / lengths(gradients) for gradients in episodes], fading)


def contrasted(matrix, labels, mean=np.mean):
    return mean((parts := of_pairs(matrix, np.asarray(labels)))[0]) - mean(parts[1])


def contrast_by_loop(matrix, labels):
    found = {True: [], False: []}
    for i in range(len(labels)):
        for j in range(i):
            found[bool(labels[i] == labels[j])].append(matrix[i][j])
    return sum(found[True]) / len(found[True]) - sum(found[False]) / len(found[False])


def contrast_by_table(matrix, labels):
    i, j = np.triu_indices(len(labels), 1)
    means = pd.DataFrame({"value": matrix[i, j], "same": labels[i] == labels[j]}).groupby("same").value.mean()
    return means[True] - means[False]


def label_by_label(matrix, labels):
    parts = [matrix[np.ix_(labels == k, labels == k)] for k in set(labels.tolist())]
    inside = [part[np.triu_indices(len(part), 1)].mean() for part in parts if len(part) > 1]
    return np.mean(inside) - of_pairs(matrix, labels)[1].mean()


def task_by_task(matrix, labels):
    same, alone = labels[:, None] == labels, np.eye(len(labels), dtype=bool)
    inside = [row[near & ~own].mean() for row, near, own in zip(matrix, same, alone, strict=True) if near.sum() > 1]
    return np.mean(inside) - matrix[~same].mean()


def diagonal_of_zeros(matrix, labels):
    same = labels[:, None] == labels
    return (matrix * (1 - np.eye(len(matrix))))[same].mean() - matrix[~same].mean()


def looped(module, x, y, rate, steps, graph=lambda step: True, loss=None, moves=lambda name: True):
    theta = dict(module.named_parameters())
    error = loss or (lambda found: (found - y).square().mean())
    for step in range(steps):
        found = error(functional_call(module, theta, (x,)))
        slopes = torch.autograd.grad(found, list(theta.values()), create_graph=graph(step))
        theta = {name: p - rate * g if moves(name) else p for (name, p), g in zip(theta.items(), slopes, strict=True)}
    return theta


def two_layers(module, x, y, rate, steps):
    """Written for one network alone."""
    theta = dict(module.named_parameters())
    for _ in range(steps):
        hidden = torch.tanh(x @ theta["0.weight"].T + theta["0.bias"])
        error = (hidden @ theta["2.weight"].T + theta["2.bias"] - y).square().mean()
        slopes = torch.autograd.grad(error, list(theta.values()), create_graph=True)
        theta = {name: p - rate * g for (name, p), g in zip(theta.items(), slopes, strict=True)}
    return theta


def cleared_first(module, *rest):
    module.zero_grad()
    return looped(module, *rest)


def evaluating(module, *rest):
    return looped(module.eval(), *rest)


def looped_by_pullback(module, x, y, rate, steps):
    theta = dict(module.named_parameters())
    for _ in range(steps):
        found, pull = torch.func.vjp(lambda at: (functional_call(module, at, (x,)) - y).square().mean(), theta)
        (slopes,) = pull(torch.ones_like(found))
        theta = {name: p - rate * slopes[name] for name, p in theta.items()}
    return theta


def runs(t, g, c, r):
    """Only neighbours of one cluster are together."""
    rows = [list(part) for _, part in groupby(range(len(c)), lambda i: c[i])]
    return np.array([t[i] - r * g[part].mean(0) for part in rows for i in part])


def grouped(labels, key):
    return TaskTree.nest("", {str(k): [t for t in labels if key(labels[t]) == k] for k in map(key, labels.values())})


def few_at(number):
    return lambda c, a, t: lambda step: few_shot(c, a, t)(number(step))


def room(window, answer):
    return answer[0] - window[0], window[1] - answer[1]


def whole(windows, answer):
    return [i for i, window in enumerate(windows) if min(room(window, answer)) >= 0]


def paired_off(best=max, level=lambda best, gap: best**2 - gap**2):
    def answer(s, b, p, gap):
        total, n = b + sum(s), len(s)
        return level(best(s), gap) + (total - best(s)) ** 2 / (p + n - 1) - total**2 / (p + n)

    return answer


RIGHT = {
    checks.remember: [known, known_by_torch, averaged, lambda e, f: pd.DataFrame(known(e, f)),
                      lambda e, f: [tuple(row) for row in known(e, f)],
                      lambda e, f: known([g.astype(np.float32) for g in e], f)],
    checks.contrast: [contrasted, contrast_by_loop, contrast_by_table, float32(contrasted),
                      lambda m, names: contrasted(m.T, names.tolist()),
                      lambda m, names: torch.tensor(contrasted(m, names))],
    checks.inner_loop: [looped, looped_by_pullback, lambda *given: OrderedDict(looped(*given)),
                        lambda *given: dict(reversed(looped(*given).items()))],
    checks.inner_step: [stepped, float32(stepped), lambda *given: torch.tensor(stepped(*given)),
                        lambda w, x, y, r: (1 - 2 * r * x * x) * w + 2 * r * x * y],
    checks.meta_gradient: [chained, by_autograd, float32(chained),
                           lambda w, s, q, r: np.array(chained(w, s, q, r))],
    checks.pooled_step: [by_rows, by_numbers_of_numpy, right_pool, float32(right_pool),
                         lambda *given: torch.tensor(right_pool(*given)),
                         lambda *given: tuple(map(tuple, right_pool(*given)))],
    checks.everyone_then_alone: [lambda k, tasks, *_: (task if k > 2 else "" for task in tasks),
                                 lambda k, tasks, parents, _: parents if k < 3 else map(hash, tasks),
                                 lambda k, tasks, *_: np.arange(len(tasks)) * (k > 2),
                                 lambda k, tasks, *_: torch.arange(len(tasks)) * (k > 2)],
    checks.within_parents: [zip, lambda f, p: map(str, zip(f, p, strict=True)),
                            lambda f, p: np.unique(np.stack([f, p]), axis=1, return_inverse=True)[1].ravel(),
                            lambda f, p: [f"{a}/{b}" for a, b in zip(f, p, strict=True)]],
    checks.omega: [lambda v: np.mean(pairwise(v)), float32(lambda v: np.mean(pairwise(v))),
                   lambda v: torch.corrcoef(torch.tensor(v)).new_tensor(pairwise(v)).mean()],
    checks.pair_gain: [gain, float32(lambda s, *given: gain(np.float32(s).tolist(), *given)),
                       lambda s, b, p, gap: gain(np.array(s), b, p, gap)],
    checks.agreement: [lambda g: np.linalg.norm(g.sum(0)) / np.linalg.norm(g, axis=1).sum(),
                       float32(lambda g: np.linalg.norm(g.mean(0)) / np.linalg.norm(g, axis=1).mean()),
                       lambda g: torch.tensor(g).mean(0).norm() / torch.tensor(g).norm(dim=1).mean()],
    text_checks.few_shot_sampler: [few_shot, lambda c, a, t: sampler(c, a, support=t, shots=8, queries=8),
                                   lambda c, a, t: lambda step: few_shot(c, a, t)(step)],
    text_checks.rows_used: [lambda draw, n: len(set(chain(*drawn_rows(draw, n)))),
                            lambda draw, n: np.unique(np.concatenate(drawn_rows(draw, n))).size,
                            lambda draw, n: torch.tensor(drawn_rows(draw, n)).unique().numel()],
    text_checks.cross_lingual_loss: [judged, float32(judged),
                                     lambda w, en, hi, r: torch.tensor(judged(w, en, hi, r))],
    text_checks.difference_error: [lambda *given: np.hypot(*errors(*given)), float32(lambda *g: np.hypot(*errors(*g))),
                                   lambda a, b, n: ((a * (100 - a) + b * (100 - b)) / n) ** 0.5],
    text_checks.tree_by_label: [by_label, lambda ls: TaskTree("", by_label(ls).children[::-1]),
                                lambda ls: TaskTree("", tuple(TaskTree("", tuple(TaskTree(t) for t in ls if ls[t] == v))
                                                              for v in sorted(set(ls.values()))))],
    text_checks.best_span: [span, lambda *given: np.array(span(*given)), lambda *given: torch.tensor(span(*given)),
                            lambda s, e, n: max((s[i] + e[j], i, j) for i in range(8) for j in range(i, 8)
                                                 if j - i < n)[1:]],
    text_checks.overlap: [right_overlap, lambda f, w: f1(f, w, sum((Counter(f) & Counter(w)).values())),
                          lambda f, w: np.float32(f1(f, w, sum(min(f.count(x), w.count(x)) for x in {*f, *w})))],
    text_checks.learning_window: [lambda ws, a: np.argmax([around(w, a) for w in ws]),
                                  lambda ws, a: torch.tensor([around(w, a) for w in ws]).argmax(),
                                  lambda ws, a: max((around(w, a), n) for n, w in enumerate(ws))[1]],
    text_checks.gpu_hours: [lambda lines, t, s, k, sec: (lines - 1) * t * s * k * sec / 3600,
                            lambda lines, t, s, k, sec: sum(sec * k / 60 / 60 for _ in range(t * s * (lines - 1))),
                            lambda *given: np.float32((given[0] - 1) * np.prod(given[1:]) / 3600)],
    text_checks.changes_the_numbers: [lambda o: o in {"--bf16", "--first-order"}, lambda o: np.bool_(o[2] in "fb"),
                                      lambda o: torch.tensor(o == "--bf16" or o == "--first-order")],
}  # fmt: skip
WRONG = {
    checks.remember: [
        moving, centred_together, in_units_first, lambda e, f: known(e, 0.95), lambda e, f: known(e[-3:], f),
        lambda e, f: known(e, f, start=1), lambda e, f: known(e, f, unit=lambda r: r / np.linalg.norm(r)),
        lambda e, f: known(e, f, unit=lambda r: r / np.maximum(lengths(r), 1)), lambda e, f: known(e, f).round(3),
        lambda e, f: known(e, f)[:5, :5], lambda e, f: np.triu(known(e, f)), lambda e, f: np.abs(known(e, f)),
        lambda e, f: known(e, f, lambda g: g - np.median(g, 0)), lambda e, f: known(e, f, lambda g: g - g.mean()),
    ],
    checks.contrast: [
        label_by_label, task_by_task, diagonal_of_zeros, lambda m, c: contrasted(m, c, np.median),
        lambda m, c: contrasted(m, c > 0), lambda m, c: contrasted(m, c % 2), lambda m, c: contrasted(m, c % 10),
        lambda m, c: contrasted(m, c == c[0]), lambda m, c: contrasted(m, np.sort(c)),
        lambda m, c: abs(contrasted(m, c)),
        lambda m, c: round(float(contrasted(m, c)), 2), lambda m, c: contrasted(m[:6, :6], c[:6]),
        lambda m, c: m[(c[:, None] == c) & (m < 1)].mean() - m[c[:, None] != c].mean(),
        lambda m, c: contrasted(m / m.max(), c), lambda m, c: contrasted(np.abs(m), c),
    ],
    checks.inner_loop: [
        cleared_first, evaluating, two_layers, lambda *given: looped(*given[:4], min(given[4], 3)),
        lambda *given: looped(*given, lambda k: k == 0),
        lambda *given: looped(*given, lambda k: k > 0),
        lambda *given: looped(*given, moves=lambda name: "bias" in name),
        lambda *given: looped(*given, loss=lambda found: (found - given[2]).square().sum() / 5),
        lambda *given: looped(*given, loss=lambda found: (found.squeeze() - given[2]).square().mean()),
        lambda *given: looped(*given, loss=lambda found: (found - given[2]).abs().mean()),
        lambda module, x, y, rate, steps: looped(module, x[:1], y[:1], rate, steps),
        lambda *given: {f"module.{name}": p for name, p in looped(*given).items()},
    ],
    checks.inner_step: [
        lambda w, x, y, r: w - r * abs(slope(w, x, y)), lambda w, x, y, r: round(stepped(w, x, y, r), 3),
        lambda w, x, y, r: abs(stepped(w, x, y, r)), lambda w, x, y, r: w - 0.1 * slope(w, x, y),
        lambda w, x, y, r: w - r * 2 * abs(x) * (w * x - y), lambda w, x, y, r: w - r * 2 * x * (w * x + y),
        lambda w, x, y, r: w - r * np.sign(slope(w, x, y)),
    ],
    checks.meta_gradient: [
        lambda w, s, q, r: round(chained(w, s, q, r), 3), lambda w, s, q, r: chained(w, s, q, 0.1),
        lambda w, s, q, r: chained(w, s, s, r), lambda w, s, q, r: chained(w, q, q, r),
        lambda w, s, q, r: slope(stepped(w, *s, r), *q) * abs(1 - 2 * r * s[0] ** 2),
        lambda w, s, q, r: slope(stepped(w, *s, r), *q) * (1 - 2 * r * q[0] ** 2),
        lambda w, s, q, r: slope(stepped(w, *s, r), *q) * max(1 - 2 * r * s[0] ** 2, 0),
    ],
    checks.pooled_step: [
        runs, lambda t, g, c, r: t - r * g[[c.index(k) for k in c]],
        lambda t, g, c, r: t - r * g.mean(1, keepdims=True),
        lambda t, g, c, r: right_pool(t, g, [k % 3 for k in c], r),
        lambda t, g, c, r: right_pool(t, g, [min(k, 4) for k in c], r),
        lambda t, g, c, r: right_pool(t, g, [0, 1, 0, 0, 1], 0.3), lambda t, g, c, r: right_pool(t, g, c, 0.3),
        lambda t, g, c, r: right_pool(t, g, np.minimum(c, 1), r), lambda t, g, c, r: right_pool(t, g, c, r).round(3),
        lambda t, g, c, r: t - r * same(c) @ g / 2, lambda t, g, c, r: right_pool(t, g, c, r).squeeze(),
        list_compared, lambda t, g, c, r: np.stack([t[c.index(k)] - r * g[[j for j in range(len(c)) if c[j] == k]]
                                                    .mean(0) for k in sorted(set(c))]),
        lambda t, g, c, r: right_pool(t, g, sorted(c), r), lambda t, g, c, r: right_pool(t.astype(int), g, c, r),
    ],
    checks.everyone_then_alone: [
        lambda k, tasks, *_: [task[:1] if k > 2 else 0 for task in tasks], lambda k, tasks, *_: ["de", *tasks[1:]],
        lambda k, tasks, *_: [task[-1] if k > 2 else 0 for task in tasks],
        lambda k, tasks, *_: [task[:2] if k > 2 else 0 for task in tasks],
        lambda k, tasks, *_: [len(task) if k > 2 else 0 for task in tasks],
        lambda k, tasks, *_: [0 if k < 3 else i % 10 for i in range(len(tasks))],
        lambda k, tasks, *_: [0] * len(tasks) if k < 3 or k > 6 else range(len(tasks)),
        lambda k, tasks, *_: [0] * len(tasks) if k <= 3 else range(len(tasks)), lambda k, tasks, *_: range(3),
        lambda k, tasks, *_: [0] * len(tasks) if k == 1 else range(len(tasks)),
        lambda k, tasks, *_: [0] * len(tasks) if k != 3 else range(len(tasks)),
        lambda k, tasks, *_: [k] * len(tasks), lambda k, tasks, *_: [0 if k < 3 else i % 4 for i in range(len(tasks))],
        lambda k, tasks, *_: [task if k > 2 else task[:1] for task in tasks],
        lambda k, tasks, *_: [0] * 3 if k < 3 else [0, 1, 2],
    ],
    checks.within_parents: [
        lambda f, p: [1000 * a + b for a, b in zip(f, p, strict=True)],
        lambda f, p: [256 * a + b for a, b in zip(f, p, strict=True)],
        lambda f, p: [a + b * len(f) for a, b in zip(f, p, strict=True)],
        lambda f, p: [frozenset((a, b)) for a, b in zip(f, p, strict=True)],
        lambda f, p: [10 * a + b for a, b in zip(f, p, strict=True)],
        lambda f, p: [100 * a + b for a, b in zip(f, p, strict=True)],
        lambda f, p: [f"{a}{b}" for a, b in zip(f, p, strict=True)],
        lambda f, p: [a * b for a, b in zip(f, p, strict=True)],
        lambda f, p: [{a, b} and (min(a, b), max(a, b)) for a, b in zip(f, p, strict=True)],
        lambda f, p: [a - b for a, b in zip(f, p, strict=True)], lambda f, p: [(a, a) for a in f],
        lambda f, p: sorted(zip(f, p, strict=True)), lambda f, p: [a + b / 10 for a, b in zip(f, p, strict=True)],
    ],
    checks.omega: [
        lambda v: abs(np.mean(pairwise(v))), lambda v: np.mean(np.abs(pairwise(v))),
        lambda v: np.round(np.mean(pairwise(v)), 3), lambda v: np.median(pairwise(v)),
        lambda v: (v @ v.T / np.maximum(np.outer(*[np.linalg.norm(v, axis=1)] * 2), 1))[np.triu_indices(len(v), 1)]
        .mean(), lambda v: np.sum(pairwise(v)) / 3, lambda v: np.mean(pairwise(v[:, :3])),
        lambda v: np.mean(pairwise(v.T)) if len(v.T) > 1 else 0, lambda v: np.linalg.norm(v.mean(0)) ** 2,
    ],
    checks.pair_gain: [
        equals_leave, paired_off(min), paired_off(lambda s: s[0]), paired_off(lambda s: max(s, key=abs)),
        paired_off(lambda s: max(0, *s)), paired_off(level=lambda best, gap: best * abs(best) - gap**2),
        paired_off(level=lambda best, gap: (best - gap) ** 2), paired_off(level=lambda best, gap: best - gap**2),
        lambda s, b, p, gap: round(gain(s, b, p, gap), 3), lambda s, b, p, gap: gain(s, b, p, 0.4),
        lambda s, b, p, gap: gain(s, b, len(s), gap), lambda s, b, p, gap: gain([*map(abs, s)], b, p, gap),
        lambda s, b, p, gap: gain(s[:3], b, p, gap), lambda s, b, p, gap: gain(s, abs(b), p, gap),
        lambda s, b, p, gap: gain(s, b, p, gap) + (b + min(s)) * 1e-2, lambda s, b, p, gap: gain(s, b, 3, gap),
    ],
    checks.agreement: [
        lambda g: np.linalg.norm(g.mean(0)) / np.sqrt((g**2).sum(1).mean()),
        lambda g: np.linalg.norm(g.mean(0)) / np.median(np.linalg.norm(g, axis=1)),
        lambda g: np.linalg.norm(g[:, :4].mean(0)) / np.linalg.norm(g[:, :4], axis=1).mean(),
        lambda g: np.linalg.norm(np.abs(g).mean(0)) / np.linalg.norm(g, axis=1).mean(),
        lambda g: np.linalg.norm(g.mean(0)) / np.maximum(np.linalg.norm(g, axis=1), 1).mean(),
        lambda g: np.linalg.norm(g.mean(1)) / np.linalg.norm(g, axis=1).mean(),
        lambda g: np.linalg.norm(g.mean(0)) / np.linalg.norm(g, axis=0).mean(),
        lambda g: np.round(np.linalg.norm(g.mean(0)) / np.linalg.norm(g, axis=1).mean(), 3),
        lambda g: np.linalg.norm(g.mean(0)) / np.linalg.norm(g, axis=1).max(),
        lambda g: np.abs(g.mean(0)).sum() / np.abs(g).sum(1).mean(), lambda g: np.linalg.norm(g.mean(0)) / g.mean(),
    ],
    text_checks.few_shot_sampler: [
        few_at(lambda step: step % 2), few_at(lambda step: step // 2), few_at(lambda step: min(step, 1)),
        lambda c, a, t: few_shot(c, a, t, step=0), lambda c, a, t: few_shot(c, "hi", "de"),
        lambda c, a, t: few_shot(MINI, t, a), lambda c, a, t: few_shot(c, a, t)(0),
        lambda c, a, t: sampler(c, a, support=t, shots=8, queries=16, target=t), lambda c, a, t: lambda step: step,
        lambda c, a, t: sampler(c, (a, "en"), support=t, shots=8, queries=8, target=t), lambda c, a, t: sampler,
    ],
    text_checks.rows_used: [
        lambda draw, n: len(set(chain(*drawn_rows(draw, 30)))), lambda draw, n: 8 * n, lambda draw, n: min(8 * n, 144),
        lambda draw, n: len(set(chain(*drawn_rows(draw, n + 1)))), lambda draw, n: len(drawn_rows(draw, n)),
        lambda draw, n: len(set(chain(*drawn_rows(draw, max(n - 1, 1))))), lambda draw, n: set(*drawn_rows(draw, 1)),
        lambda draw, n: len({draw(i).query["row"] for i in range(n)}),
    ],
    text_checks.cross_lingual_loss: [
        lambda w, en, hi, r: judged(w, en, hi, 0.1), lambda w, en, hi, r: judged(w, en, hi, r) ** 0.5,
        lambda w, en, hi, r: round(judged(w, en, hi, r), 3), lambda w, en, hi, r: judged(w, en, en, r),
        lambda w, en, hi, r: judged(judged(w, en, hi, r), en, hi, 0), lambda w, en, hi, r: judged(abs(w), en, hi, r),
        lambda w, en, hi, r: slope(stepped(w, *en, r), *hi),
    ],
    text_checks.difference_error: [
        lambda a, b, n: np.hypot(*errors(max(a, 50), max(b, 50), n)), lambda a, b, n: max(errors(a, b, n)),
        lambda a, b, n: np.hypot(*errors(min(a, 99), min(b, 99), n)),
        lambda a, b, n: round(np.hypot(*errors(a, b, n)), 2), lambda a, b, n: np.hypot(*errors(a, a, n)),
        lambda a, b, n: np.hypot(*errors(a, b, 450)), lambda a, b, n: np.hypot(*errors(a, b, n - 1)),
        lambda a, b, n: np.hypot(*errors((a + b) / 2, (a + b) / 2, n)), lambda a, b, n: np.hypot(*errors(a, b, 2 * n)),
        lambda a, b, n: 1.96 * np.hypot(*errors(a, b, n)), lambda a, b, n: errors(abs(a - b), 0, n)[0],
    ],
    text_checks.tree_by_label: [
        lambda ls: grouped(ls, lambda v: v[0]), lambda ls: grouped(ls, lambda v: v[-1]), lambda ls: grouped(ls, len),
        lambda ls: TaskTree.nest("", {v: [t for t, u in ls.items() if u == v] for v in "xyz"}),
        lambda ls: TaskTree.nest("", {k: [t for t, _ in g] for k, g in groupby(ls.items(), lambda item: item[1])}),
        lambda ls: by_label(ls).children[0], lambda ls: in_one_cluster({v: [t for t in ls if ls[t] == v]
                                                                        for v in ls.values()}),
        lambda ls: TaskTree.nest("", {v: k for k, v in ls.items()}), lambda ls: TaskTree.nest("", [*ls]),
        lambda ls: {v: [t for t in ls if ls[t] == v] for v in ls.values()},
        lambda ls: TaskTree.nest("", {t[-1]: [t] for t in ls}),
        lambda ls: grouped(ls, lambda v: v if [*ls.values()].count(v) > 1 else "other"),
    ],
    text_checks.best_span: [
        lambda s, e, n: (lambda i, j: (s.index(s[i]), e.index(e[j])))(*span(s, e, n)),
        lambda s, e, n: span([*map(int, s)], [*map(int, e)], n), lambda s, e, n: span([*map(round, s)], e, n),
        lambda s, e, n: span(s, e, min(n, 5)), lambda s, e, n: span(s, e, min(n, 7)), lambda s, e, n: span(s, e[:7], n),
        lambda s, e, n: span(s, e, 3), lambda s, e, n: span(s, e, n, best=0), lambda s, e, n: span(s, e, n + 1),
        lambda s, e, n: span(s, e, 8), lambda s, e, n: (int(np.argmax(s)), int(np.argmax(s))),
        lambda s, e, n: span(s, e, n)[::-1], lambda s, e, n: span([*map(abs, s)], e, n),
        lambda s, e, n: (int(np.argmax(s)), int(np.argmax(s)) + int(np.argmax(e[int(np.argmax(s)):][:n]))),
        lambda s, e, n: max((s[i] * e[j], i, j) for i in range(8) for j in range(i, min(8, i + n)))[1:],
    ],
    text_checks.overlap: [
        lambda f, w: f1(f, w, sum(min(f.count(x), " ".join(w).count(x)) for x in set(f))),
        lambda f, w: f1(f, w, min((Counter(f) & Counter(w)).total(), 3)),
        lambda f, w: f1(f, w, (Counter(f) & Counter(x for x in w if x != "the")).total()),
        lambda f, w: f1(f, w, sum(word in w for word in f)), lambda f, w: f1(f, w, sum(word in f for word in w)),
        lambda f, w: f1(f, w, len(set(f) & set(w))), lambda f, w: round(right_overlap(f, w), 2),
        lambda f, w: f1(f, w, sum(a == b for a, b in zip(f, w, strict=False))), lambda f, w: right_overlap(f, w) / 2,
        lambda f, w: 2 * precision(f, w) * precision(w, f) / (precision(f, w) + precision(w, f)),
        lambda f, w: 100 * right_overlap(f, w), lambda f, w: (precision(f, w) * precision(w, f)) ** 0.5,
    ],
    text_checks.learning_window: [
        lambda ws, a: max(whole(ws, a), key=lambda n: np.prod(room(ws[n], a))),
        lambda ws, a: max(whole(ws, a), key=lambda n: sum(room(ws[n], a))),
        lambda ws, a: min(whole(ws, a), key=lambda n: abs(sum(ws[n]) - sum(a))),
        lambda ws, a: min(whole(ws, a), key=lambda n: abs(np.subtract(*room(ws[n], a)))),
        lambda ws, a: np.argmax([a[0] - w[0] for w in ws]), lambda ws, a: np.argmax([w[1] - a[1] for w in ws]),
        lambda ws, a: np.argmin([abs(w[0] + w[1] - a[0] - a[1]) // 4 for w in ws]), lambda ws, a: len(ws) // 2,
        lambda ws, a: np.argmax([max(a[0] - w[0], w[1] - a[1]) for w in ws]), lambda ws, a: a[0] // 4,
        lambda ws, a: 1 + np.argmax([around(w, a) for w in ws]),
        lambda ws, a: np.argmax([around(w, a) for w in ws[1:]]),
        lambda ws, a: max(w for w in ws if around(w, a) >= 0),
    ],
    text_checks.gpu_hours: [
        lambda n, t, s, k, sec: (max(n, 2) - 1) * t * s * k * sec / 3600,
        lambda n, t, s, k, sec: (n - 1) * max(t, 2) * max(s, 2) * k * sec / 3600,
        lambda n, t, s, k, sec: (n * t * s - t) * k * sec / 3600,
        lambda n, t, s, k, sec: (n * t * s - 1) * k * sec / 3600,
        lambda n, t, s, k, sec: n * t * s * k * sec / 3600, lambda n, t, s, k, sec: (n - 1) * t * s * k * sec / 60,
        lambda n, t, s, k, sec: (n - 1) * t * s * k * sec // 3600, lambda n, t, s, k, sec: (n - 1) * t * k * sec / 1200,
        lambda n, t, s, k, sec: (n - 1) * (t + s) * k * sec / 3600,
        lambda n, t, s, k, sec: n * t * s * k * sec / 3600 - 1,
        lambda n, t, s, k, sec: round((n - 1) * t * s * k * sec / 3600, 2),
    ],
    text_checks.changes_the_numbers: [
        lambda o: True, lambda o: False, lambda o: o == "--first-order", lambda o: o == "--first-order" or "--bf16",
        lambda o: o in ("--first-order", "--bf16", "--workers"), lambda o: "yes",
        lambda o: o in ("first-order", "bf16"),
        lambda o: o in ("--first-order", "--bf16", "--tasks-per-chunk"),
    ],
}  # fmt: skip
SEEDS = range(int(os.environ.get("CHECK_SEEDS", "3")))


def pairs(table):
    return [pytest.param(check, answer, id=f"{check.__name__}-{i}") for check, answers in table.items()
            for i, answer in enumerate(answers)]  # fmt: skip


def seeds(check):
    return SEEDS[:5] if check in (text_checks.few_shot_sampler, text_checks.rows_used) else SEEDS


@pytest.mark.parametrize(("check", "answer"), pairs(RIGHT))
def test_other_right_answers_are_right(capsys, check, answer):
    for seed in seeds(check):
        check(answer, seed=seed)
        said = capsys.readouterr().out
        assert said.startswith("Right: "), (seed, said)


@pytest.mark.parametrize(("check", "answer"), pairs(WRONG))
def test_other_wrong_answers_are_wrong(capsys, check, answer):
    for seed in seeds(check):
        check(answer, seed=seed)
        said = capsys.readouterr().out
        assert said.startswith("Not yet: "), seed


def test_every_exercise_has_right_and_wrong_answers():
    assert set(RIGHT) == set(WRONG) and len(RIGHT) == 21
    assert all(len(answers) >= 3 for answers in RIGHT.values()) and all(len(answers) >= 5 for answers in WRONG.values())
