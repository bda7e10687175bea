"""The checks of the exercises: right answers pass, and a mistake is called by its name."""

import numpy as np
import pytest

from minimeta import checks


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
        (lambda t, g, c, r: [[1, 2], [3]], "expected a row of numbers"),
        (lambda t, g, c, r: t, "it is not eq. 5"),
    ],
)
def test_pooled_step(capsys, answer, words):
    checks.pooled_step(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda step, tasks, parents: [0] * len(tasks) if step < 3 else range(len(tasks)), "Right"),
        (lambda step, tasks, parents: tasks if step > 2 else ["all"] * len(tasks), "Right"),
        (lambda step, tasks, parents: None, "returned None"),
        (lambda step, tasks, parents: 0, "expected one label per task"),
        (lambda step, tasks, parents: [0], "1 labels for 3 tasks"),
        (lambda step, tasks, parents: [0] * len(tasks), "at step 3 there are 1 clusters of 3 tasks; expected 3"),
        (lambda step, tasks, parents: range(len(tasks)), "at step 1 there are 3 clusters"),
        (lambda step, tasks, parents: [0] * len(tasks) if step < 2 else range(len(tasks)), "at step 2 there are 3"),
    ],
)
def test_everyone_then_alone(capsys, answer, words):
    checks.everyone_then_alone(answer)
    assert words in capsys.readouterr().out
