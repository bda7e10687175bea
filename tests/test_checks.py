"""The checks of the exercises: right answers pass, and a mistake is called by its name."""

import contextlib
import io

import numpy as np
import pytest

from minimeta.course import checks, text_checks
from minimeta.otd import OnlineTree
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
        (lambda t, g, c, r: right_pool(t, g, c, r)[:2], "must be (5, 3)"),
        (mutates, "changes its inputs"),
        (lambda t, g, c, r: [[1, 2], [3]], "expected numbers of shape (5, 3), a row per task"),
        (lambda t, g, c, r: t, "it is not eq. 5"),
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
        (lambda step, tasks, *_: [0], "1 labels for 3 tasks"),
        (lambda step, tasks, *_: [0] * len(tasks), "at step 3 there are 1 clusters of 3 tasks; expected 3"),
        (lambda step, tasks, *_: range(len(tasks)), "at step 1 there are 3 clusters"),
        (lambda step, tasks, *_: [0] * len(tasks) if step < 2 else range(len(tasks)), "at step 2 there are 3"),
    ],
)
def test_everyone_then_alone(capsys, answer, words):
    checks.everyone_then_alone(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda found, parents: list(zip(found, parents, strict=True)), "Right"),
        (lambda found, parents: [10 * p + f for f, p in zip(found, parents, strict=True)], "Right"),
        (lambda found, parents: None, "returned None"),
        (lambda found, parents: 0, "expected one label per task"),
        (lambda found, parents: [0], "1 labels for 4 tasks"),
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
        (lambda a, b, n: sum(variances(a, b, n)) ** 0.5, "in shares"),
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
        (lambda labels: TaskTree.nest("", set(labels.values())), "expected one for each of task 0"),
        (lambda labels: TaskTree.nest("", list(labels)), "at step 2, task 1 and task 2 are apart"),
        (lambda labels: TaskTree.nest("", {"all": list(labels)}), "share a cluster, and they should not"),
        (lambda labels: TaskTree("", (by_label(labels),)), "at step 2"),
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
        (lambda s, e, n: (int(np.argmax(s)), int(np.argmax(e))), "each by itself) is not valid"),
        (lambda s, e, n: right_span(s, e, 8), "is not valid"),
        (lambda s, e, n: (0, 8), "(0, 8) is not valid"),
        (lambda s, e, n: right_span(s, e, n - 1), "the valid span"),
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
        (lambda ws, a: next(n for n, w in enumerate(ws) if a[0] <= w[1]), "cuts the answer"),
        (lambda ws, a: 9, "off"),
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
