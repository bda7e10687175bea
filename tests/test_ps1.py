"""Problem set 1: right solutions pass, and each known mistake is called by its name."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.linalg import matrix_power

from minimeta.course import ps1


def judge(capsys, check, answer, words):
    """The check's answer is a bool that agrees with what it prints."""
    right = check(answer)
    out = capsys.readouterr().out
    assert words in out and right is (words == "Right")
    assert out.startswith("Right: " if right else "Not yet: ")


def grad(w, X, y):
    return 2 / len(X) * X.T @ (X @ w - y)


def steps_from(w, X, y, rate, steps, gradient=grad):
    for _ in range(steps):
        w = w - rate * gradient(w, X, y)
    return w


def hess(X):
    return 2 / len(X) * X.T @ X


def factor(support, rate):
    return np.eye(support[0].shape[1]) - rate * hess(support[0])


def blank(*inputs):
    raise NotImplementedError


def calls_a_blank(*inputs):
    return blank(*inputs)


def numbers(w, X, y):
    """The gradient, entry by entry."""
    pairs = list(zip(X, y, strict=True))
    return [sum(2 * (x @ w - t) * x[i] for x, t in pairs) / len(pairs) for i in range(len(w))]


def by_torch(w, X, y):
    v = torch.tensor(w, requires_grad=True)
    return torch.autograd.grad((torch.tensor(X) @ v - torch.tensor(y)).square().mean(), v)[0]


def changes_y(w, X, y):
    y -= X @ w
    return -2 / len(X) * X.T @ y


def breaks(w, X, y):
    return X @ (X @ w - y)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (grad, "Right"),
        (numbers, "Right"),
        (by_torch, "automatic differentiation"),
        (lambda w, X, y: 2 * (X.T @ X @ w - X.T @ y) / y.size, "Right"),
        (blank, "your function is not written yet"),
        (calls_a_blank, "your function calls `blank`, which is not written yet"),
        (lambda w, X, y: None, "returned None"),
        (lambda w, X, y: "2/n", "expected numbers of shape (3,)"),
        (lambda w, X, y: np.nan * w, "NaN or infinity"),
        (lambda w, X, y: np.mean((X @ w - y) ** 2), "your answer has shape (); it must be (3,)"),
        (lambda w, X, y: grad(w, X, y)[:, None], "your answer has shape (3, 1)"),
        (lambda w, X, y: 2 / len(X) * (X @ w - y), "your answer has shape (5,)"),
        (breaks, "stopped with ValueError: matmul"),
        (breaks, "in your line: return X @ (X @ w - y)"),
        (lambda w, X: w, "stopped with TypeError"),
        (changes_y, "changes its inputs"),
        (lambda w, X, y: -grad(w, X, y), "sign is turned"),
        (lambda w, X, y: X.T @ (X @ w - y) / len(X), "the factor 2 of the square's derivative"),
        (lambda w, X, y: 2 * X.T @ (X @ w - y), "the sum over the examples"),
        (lambda w, X, y: X.T @ (X @ w - y), "the factor 2/n is missing"),
        (lambda w, X, y: 2 / len(w) * X.T @ (X @ w - y), "you divide by d"),
        (lambda w, X, y: 2 / len(X) * X.T @ (X @ w), "targets y are missing"),
        (lambda w, X, y: 2 * X.mean(0) * (X @ w - y).mean(), "you multiply two means"),
        (lambda w, X, y: grad(w, X, y) / np.linalg.norm(grad(w, X, y)), "keep its length"),
        (lambda w, X, y: grad(w, X, y) / 2 / np.sqrt(np.mean((X @ w - y) ** 2)), "root of the mean"),
        (lambda w, X, y: X.T @ np.sign(X @ w - y) / len(X), "absolute error"),
        (lambda w, X, y: 7 * grad(w, X, y), "7 times the target"),
        (lambda w, X, y: np.full(len(w), -1.0), "the values are off"),
    ],
)
def test_gradient(capsys, answer, words):
    judge(capsys, ps1.gradient, answer, words)


def referee(f, w, h):
    return np.array([(f(w + h * e) - f(w - h * e)) / (2 * h) for e in np.eye(len(w))])


def puts_back(f, w, h):
    """In place, but every entry is put back."""
    result = []
    for i in range(len(w)):
        w[i] += h
        up = f(w)
        w[i] -= 2 * h
        result.append((up - f(w)) / (2 * h))
        w[i] += h
    return result


def moves_on(f, w, h, first=1):
    v, result = w.copy(), np.zeros(len(w))
    for i in range(len(w)):
        v[i] += first * h
        one = f(v)
        v[i] -= 2 * first * h
        result[i] = first * (one - f(v)) / (2 * h)
    return result


def same_w(f, w, h):
    for i in range(len(w)):
        w[i] += h
    return referee(f, w, h)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (referee, "Right"),
        (puts_back, "Right"),
        (lambda f, w, h: [(f(w + d) - f(w - d)) / 2 / h for d in np.diag(np.full(len(w), h))], "Right"),
        (blank, "your function is not written yet"),
        (lambda f, w, h: None, "returned None"),
        (same_w, "changes its inputs"),
        (lambda f, w, h: (f(w + h) - f(w - h)) / (2 * h), "your answer has shape ()"),
        (lambda f, w, h: [(f(x + h) - f(x - h)) / (2 * h) for x in w], "f takes the whole vector, shape (3,)"),
        (lambda f, w, h: [(f(w + h * e) - f(w)) / h for e in np.eye(len(w))], "forward difference"),
        (lambda f, w, h: [(f(w) - f(w - h * e)) / h for e in np.eye(len(w))], "backward difference"),
        (lambda f, w, h: 2 * referee(f, w, h), "divide by 2 h, not by h"),
        (lambda f, w, h: 2 * h * referee(f, w, h), "not divided by the distance"),
        (lambda f, w, h: -referee(f, w, h), "sign is turned"),
        (lambda f, w, h: h * h * referee(f, w, h), "you multiply by h"),
        (lambda f, w, h: referee(f, w, 1e-5), "more exact than differences with this h"),
        (lambda f, w, h: referee(f, w, h / 2), "you step by h/2"),
        (lambda f, w, h: np.full(len(w), (f(w + h) - f(w - h)) / (2 * h)), "move one at a time"),
        (moves_on, "entries that you moved down stay down"),
        (lambda f, w, h: moves_on(f, w, h, first=-1), "entries that you moved up stay up"),
        (lambda f, w, h: np.full(len(w), 3.0), "the values are off"),
    ],
)
def test_finite_difference(capsys, answer, words):
    judge(capsys, ps1.finite_difference, answer, words)


def recursive(w, X, y, rate, steps):
    return w if steps == 0 else recursive(w - rate * grad(w, X, y), X, y, rate, steps - 1)


def closed_form(w, X, y, rate, steps):
    """From the geometric series of I - rate H, for a loss with one minimum or more."""
    series = sum((matrix_power(factor((X, y), rate), k) for k in range(steps)), np.zeros((len(w), len(w))))
    return w - rate * series @ grad(w, X, y)


def in_place(w, X, y, rate, steps):
    for _ in range(steps):
        w -= rate * grad(w, X, y)
    return w


def on_a_copy(w, X, y, rate, steps):
    return in_place(w.copy(), X, y, rate, steps)


def from_w(w, X, y, rate, steps):
    theta = w
    for _ in range(steps):
        theta = w - rate * grad(theta, X, y)
    return theta


def unbound(w, X, y, rate, steps):
    for _ in range(steps):
        theta = steps_from(w, X, y, rate, steps)
    return theta


def early_return(w, X, y, rate, steps):
    for _ in range(steps):
        w = w - rate * grad(w, X, y)
        return w


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (steps_from, "Right"),
        (recursive, "Right"),
        (closed_form, "Right"),
        (on_a_copy, "Right"),
        (blank, "your function is not written yet"),
        (lambda w, X, y, rate, steps: None, "returned None"),
        (in_place, "changes its inputs"),
        (lambda w, X, y, r, k: [steps_from(w, X, y, r, j) for j in range(k + 1)], "your answer has shape (4, 3)"),
        (lambda w, X, y, r, k: steps_from(w, X, y, -r, k), "uphill"),
        (lambda w, X, y, r, k: steps_from(w, X, y, 1, k), "forget the inner rate"),
        (lambda w, X, y, r, k: w, "nothing has moved"),
        (early_return, "this is one step, whatever `steps` says"),
        (lambda w, X, y, r, k: steps_from(w, X, y, r, k - 1), "you stop too early"),
        (lambda w, X, y, r, k: steps_from(w, X, y, r, k + 1), "one step too many"),
        (lambda w, X, y, r, k: w - k * r * grad(w, X, y), "every step uses the gradient at w"),
        (from_w, "every step starts from w"),
        (lambda w, X, y, r, k: steps_from(np.zeros(len(w)), X, y, r, k), "start from zeros"),
        (lambda w, X, y, r, k: steps_from(w, X, y, r, k) - w, "how far θ has moved"),
        (lambda w, X, y, r, k: grad(steps_from(w, X, y, r, k), X, y), "the gradient at the end"),
        (lambda w, X, y, r, k: steps_from(w, X, y, r / k, k), "divided by the number of steps"),
        (lambda w, X, y, r, k: steps_from(w, X, y, r / 2, k), "mend task 1 first"),
        (lambda w, X, y, r, k: steps_from(w, X, y, r * len(X), k), "the sum of the gradients"),
        (unbound, "stopped with UnboundLocalError"),
        (lambda w, X, y, r, k: np.zeros(len(w)), "all zeros"),
        (lambda w, X, y, r, k: np.array([0.19, 0.64, 0.0]), "the values are off"),
    ],
)
def test_inner_steps(capsys, answer, words):
    judge(capsys, ps1.inner_steps, answer, words)


def through_torch(w, support, query, rate, steps=1, create_graph=True):
    """The same by automatic differentiation; without the graph it is the first-order answer."""
    (X, y), (U, v) = ([torch.tensor(part) for part in data] for data in (support, query))
    start = torch.tensor(w, requires_grad=True)
    theta = start
    for _ in range(steps):
        loss = (X @ theta - y).square().mean()
        slope = torch.autograd.grad(loss, theta, create_graph=create_graph)[0]
        theta = theta - rate * slope
    return torch.autograd.grad((U @ theta - v).square().mean(), start)[0]


def exact(w, s, q, rate, k=1):
    return matrix_power(factor(s, rate), k) @ grad(steps_from(w, *s, rate, k), *q)


def last(w, s, q, rate, k=1, **options):
    """The query gradient at θ."""
    return grad(steps_from(w, *s, rate, k, **options), *q)


def half(w, X, y):
    return grad(w, X, y) / 2


def summed(w, X, y):
    return grad(w, X, y) * len(X)


def changes_w(w, s, q, rate, k=1):
    theta = in_place(w, *s, rate, k)
    return matrix_power(factor(s, rate), k) @ grad(theta, *q)


BOTH = [  # for one step, and for K steps by the same mistake
    (exact, "Right"),
    (through_torch, "automatic differentiation"),
    (lambda w, s, q, r, k=1: last(w, s, q, r, k) @ matrix_power(factor(s, r), k), "Right"),
    (
        lambda w, s, q, r, k=1: referee(lambda v: np.mean((q[0] @ steps_from(v, *s, r, k) - q[1]) ** 2), w, 0.1),
        "differences",
    ),
    (blank, "your function is not written yet"),
    (calls_a_blank, "your function calls `blank`, which is not written yet"),
    (lambda w, s, q, r, k=1: None, "returned None"),
    (lambda w, s, q, r, k=1: exact(w, s, q, r, k).sum(), "your answer has shape ()"),
    (lambda w, s, q, r, k=1: factor(s, r) * last(w, s, q, r, k), "your answer has shape (3, 3)"),
    (lambda w, s, q, r, k=1: grad(w, s[0], q[1]), "stopped with ValueError"),
    (changes_w, "changes its inputs"),
    (lambda w, s, q, r, k=1: last(w, s, q, r, k), "first-order"),
    (lambda w, s, q, r, k=1: through_torch(w, s, q, r, k, create_graph=False), "automatic"),
    (lambda w, s, q, r, k=1: grad(w, *q), "adapt first"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, r), k) @ grad(w, *q), "take it at"),
    (lambda w, s, q, r, k=1: steps_from(w, *s, r, k), "this is θ"),
    (lambda w, s, q, r, k=1: -exact(w, s, q, r, k), "sign is turned"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, -r), k) @ last(w, s, q, r, k), "wrong sign inside"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, 1), k) @ last(w, s, q, r, k), "lacks the rate"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, r / 2), k) @ last(w, s, q, r, k), "lacks the factor 2:"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, r * len(s[0])), k) @ last(w, s, q, r, k), "divide by n"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, r * len(s[0]) / 2), k) @ last(w, s, q, r, k), "factor 2/n"),
    (lambda w, s, q, r, k=1: matrix_power(factor(q, r), k) @ last(w, s, q, r, k), "H is that of the query loss"),
    (lambda w, s, q, r, k=1: matrix_power(1 - r * hess(s[0]), k) @ last(w, s, q, r, k), "np.eye(d)"),
    (lambda w, s, q, r, k=1: np.diag(factor(s, r)) ** k * last(w, s, q, r, k), "only the diagonal"),
    (lambda w, s, q, r, k=1: matrix_power(-r * hess(s[0]), k) @ last(w, s, q, r, k), "the identity is missing"),
    (lambda w, s, q, r, k=1: matrix_power(hess(s[0]), k) @ last(w, s, q, r, k), "multiply by H itself"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, r), -k) @ last(w, s, q, r, k), "divide by the factor"),
    (lambda w, s, q, r, k=1: exact(w, s, s, r, k), "on the query, not on the support"),
    (lambda w, s, q, r, k=1: exact(w, q, q, r, k), "a leak"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, r), k) @ last(w, q, q, r, k), "that leaks it"),
    (lambda w, s, q, r, k=1: exact(w, q, s, r, k), "exchanged"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, r), k) @ last(w, s, q, -r, k), "uphill"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, r), k) @ last(w, s, q, r / 2, k) / 2, "factor 2 of the gradients"),
    (
        lambda w, s, q, r, k=1: matrix_power(factor(s, r / 2), k) @ half(steps_from(w, *s, r, k, half), *q),
        "in the gradients and in H",
    ),
    (
        lambda w, s, q, r, k=1: matrix_power(factor(s, r), k) @ summed(steps_from(w, *s, r, k, summed), *q),
        "your gradients are sums",
    ),
    (
        lambda w, s, q, r, k=1: matrix_power(factor(s, r * len(s[0])), k) @ summed(steps_from(w, *s, r, k, summed), *q),
        "your gradients and H are sums",
    ),
    (lambda w, s, q, r, k=1: exact(w, s, q, r, k) / 2, "0.5 times the target"),
    (lambda w, s, q, r, k=1: np.array([-2.7, -1.8, 0.0]), "the values are off"),
]


@pytest.mark.parametrize(("answer", "words"), BOTH)
def test_meta_gradient(capsys, answer, words):
    judge(capsys, ps1.meta_gradient, answer, words)


def backwards(w, s, q, rate, steps):
    """No matrix: each step takes rate * H g off, as backpropagation does."""
    result = last(w, s, q, rate, steps)
    for _ in range(steps):
        result = result - rate * 2 / len(s[0]) * s[0].T @ (s[0] @ result)
    return result


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        *BOTH,
        (backwards, "Right"),
        (lambda w, s, q, r, k: exact(w, s, q, r), "the answer for one step"),
        (lambda w, s, q, r, k: factor(s, r) @ last(w, s, q, r, k), "one factor only"),
        (lambda w, s, q, r, k: matrix_power(factor(s, r), k - 1) @ last(w, s, q, r, k), "too few factors"),
        (lambda w, s, q, r, k: matrix_power(factor(s, r), k + 1) @ last(w, s, q, r, k), "one factor too many"),
        (lambda w, s, q, r, k: factor(s, k * r) @ last(w, s, q, r, k), "the factors multiply"),
        (lambda w, s, q, r, k: factor(s, r) ** k @ last(w, s, q, r, k), "** takes the power of each entry"),
        (lambda w, s, q, r, k: matrix_power(factor(s, r), k) @ last(w, s, q, r, 1), "too early"),
        (lambda w, s, q, r, k: matrix_power(factor(s, r), k) @ last(w, s, q, r, k - 1), "too early"),
        (lambda w, s, q, r, k: matrix_power(factor(s, r), k) @ last(w, s, q, r, k + 1), "too late"),
        (lambda w, s, q, r, k: exact(w, s, q, r, k) if k else 0 * w, "all zeros"),
    ],
)
def test_meta_gradient_steps(capsys, answer, words):
    judge(capsys, ps1.meta_gradient_steps, answer, words)


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(
    ("check", "answers"),
    [
        (ps1.gradient, (grad, numbers)),
        (ps1.finite_difference, (referee, puts_back)),
        (ps1.inner_steps, (steps_from, closed_form)),
        (ps1.meta_gradient, (exact,)),
        (ps1.meta_gradient_steps, (exact, backwards)),
    ],
)
def test_other_seeds(capsys, check, answers, seed):
    for answer in answers:
        assert check(answer, seed=seed) is True
    assert "Not yet" not in capsys.readouterr().out


def loss(w, X, y):
    return np.mean((X @ w - y) ** 2)


def differences(h):
    return lambda w, X, y: referee(lambda v: loss(v, X, y), w, h)


def complex_step(w, X, y):
    return [loss(w + 1e-20j * e, X, y).imag / 1e-20 for e in np.eye(len(w))]


def without_numpy(w, X, y):
    """Differences, where the square of a large number is an error and not infinity."""

    def f(v):
        return sum((sum(map(float.__mul__, x, v)) - t) ** 2 for x, t in zip(X.tolist(), y.tolist(), strict=True))

    return [(f((w + e).tolist()) - f((w - e).tolist())) / 2e-3 / len(X) for e in 1e-3 * np.eye(len(w))]


def tensors(*inputs):
    return [tensors(*part) if isinstance(part, tuple) else torch.tensor(part) for part in inputs]


def torch_loss(X, y):
    X, y = tensors(X, y)
    return lambda v: (X @ v - y).square().mean()


def by_backward(w, X, y):
    v = torch.tensor(w, requires_grad=True)
    torch_loss(X, y)(v).backward()
    return v.grad


def cut(values, bound):
    return values * min(1, bound / max(np.linalg.norm(values), 1e-300))


def stops_below(bound):
    def steps(w, X, y, rate, steps):
        for _ in range(steps):
            if np.linalg.norm(grad(w, X, y)) > bound:
                w = w - rate * grad(w, X, y)
        return w

    return steps


def stops_uphill(w, X, y, rate, steps):
    path = [steps_from(w, X, y, rate, k) for k in range(steps + 1)]
    return next((a for a, b in itertools.pairwise(path) if loss(b, X, y) > loss(a, X, y)), path[-1])


def other_h(change):
    return lambda f, w, h: referee(f, w, change(h))


def by_eigenvalues(change=lambda factors: factors):
    def meta(w, s, q, r, k=1):
        values, vectors = np.linalg.eigh(hess(s[0]))
        return vectors @ (change(1 - r * values) ** k * (vectors.T @ last(w, s, q, r, k)))

    return meta


def jacobian_by_differences(w, s, q, r, k=1):
    moves = 1e-3 * np.eye(len(w))
    return [(steps_from(w + m, *s, r, k) - steps_from(w - m, *s, r, k)) / 2e-3 for m in moves] @ last(w, s, q, r, k)


def hessian_by_torch(w, s, q, r, k=1):
    H = torch.autograd.functional.hessian(torch_loss(*s), torch.tensor(w)).numpy()
    return matrix_power(np.eye(len(w)) - r * H, k) @ last(w, s, q, r, k)


def moved(at, length=lambda g: 1.0):
    """H g, exactly, as what an inner loop makes of two points that are g apart, less each other."""

    def meta(w, s, q, r, k=1):
        g = last(w, s, q, r, k)
        start, step = at(w), g * length(g)
        return (steps_from(start + step, *s, r, k) - steps_from(start, *s, r, k)) / length(g)

    return meta


def gradients_apart(w, s, q, r, k=1):
    g = last(w, s, q, r, k)
    for _ in range(k):
        g = g - r * (grad(w + g, *s) - grad(w, *s))
    return g


def gradients_on_both_sides(w, s, q, r, k=1):
    g = last(w, s, q, r, k)
    for _ in range(k):
        g = g - r / 2 * (grad(w + g, *s) - grad(w - g, *s))
    return g


def kept(answer, numbers=True):
    """What was found once is returned wherever the arrays have the same shapes, and the numbers are the same."""
    known = {}

    def remembering(*inputs):
        parts = [part for given in inputs for part in (given if isinstance(given, tuple) else (given,))]
        key = tuple(np.shape(part) or (part if numbers else ()) for part in parts)
        if key not in known:
            known[key] = answer(*inputs)
        return known[key]

    return remembering


META_WRONG = {
    "kept": kept(lambda *inputs: exact(*inputs)),
    "inner loops from w": moved(lambda w: w),
    "inner loops one apart": moved(lambda w: w, lambda g: 1 / np.linalg.norm(g)),
    "gradients at two points": gradients_apart,
    "gradients on both sides": gradients_on_both_sides,
    "a large h": lambda w, s, q, r, k=1: referee(lambda v: loss(steps_from(v, *s, r, k), *q), w, 1.0),
    "a tiny h": lambda w, s, q, r, k=1: referee(lambda v: loss(steps_from(v, *s, r, k), *q), w, 1e-7),
    "only the query gradient by differences": lambda w, s, q, r, k=1: (
        matrix_power(factor(s, r), k) @ differences(1e-3)(steps_from(w, *s, r, k), *q)
    ),
    "only dθ/dw by differences": jacobian_by_differences,
    "only H by torch": hessian_by_torch,
    "rounded": lambda w, s, q, r, k=1: np.round(exact(w, s, q, r, k), 6),
    "cut off": lambda w, s, q, r, k=1: cut(exact(w, s, q, r, k), 100),
    "no large rates": lambda w, s, q, r, k=1: exact(w, s, q, min(r, 0.2), k),
    "factors below 0 are 0": by_eigenvalues(lambda factors: np.maximum(factors, 0)),
    "the sign of a factor is lost": by_eigenvalues(abs),
    "squeezed": lambda w, s, q, r, k=1: np.squeeze(exact(w, s, q, r, k)),
    "the query's n in H": lambda w, s, q, r, k=1: (
        matrix_power(factor(s, r * len(s[0]) / len(q[0])), k) @ last(w, s, q, r, k)
    ),
}
WRONG = {
    "gradient": {
        "kept": kept(lambda *inputs: grad(*inputs)),
        "a large h": differences(1.0),
        "a tiny h": differences(1e-7),
        "h as a part of w": lambda w, X, y: differences(1e-3 * np.linalg.norm(w))(w, X, y),
        "a complex step": complex_step,
        "differences of lists": without_numpy,
        "backward": by_backward,
        "torch.func": lambda w, X, y: torch.func.grad(torch_loss(X, y))(torch.tensor(w)),
        "forward mode": lambda w, X, y: torch.func.jacfwd(torch_loss(X, y))(torch.tensor(w)),
        "rounded": lambda w, X, y: np.round(grad(w, X, y), 6),
        "cut off": lambda w, X, y: cut(grad(w, X, y), 10),
        "large errors cut off": lambda w, X, y: 2 / len(X) * X.T @ np.clip(X @ w - y, -10, 10),
        "small entries are 0": lambda w, X, y: np.where(abs(grad(w, X, y)) < 1e-3, 0, grad(w, X, y)),
        "squeezed": lambda w, X, y: np.squeeze(grad(w, X, y)),
    },
    "finite_difference": {
        "kept": kept(lambda *inputs: referee(*inputs), numbers=False),
        "h at most": other_h(lambda h: min(h, 1.0)),
        "h at least": other_h(lambda h: max(h, 0.1)),
        "h as a part of w": lambda f, w, h: [
            (f(w + h * max(1, abs(a)) * e) - f(w - h * max(1, abs(a)) * e)) / (2 * h * max(1, abs(a)))
            for a, e in zip(w, np.eye(len(w)), strict=True)
        ],
        "at |w|": lambda f, w, h: referee(f, abs(w), h),
        "w below 0 is 0": lambda f, w, h: referee(lambda v: f(np.maximum(v, 0)), w, h),
        "the absolute value": lambda f, w, h: abs(referee(f, w, h)),
        "four entries": lambda f, w, h: np.append(referee(f, w, h)[:4], np.zeros(max(len(w) - 4, 0))),
        "rounded": lambda f, w, h: np.round(referee(f, w, h), 5),
        "cut off": lambda f, w, h: np.clip(referee(f, w, h), -10, 10),
        "squeezed": lambda f, w, h: np.squeeze(referee(f, w, h)),
    },
    "inner_steps": {
        "kept": kept(lambda *inputs: steps_from(*inputs)),
        "three steps at most": lambda w, X, y, r, k: steps_from(w, X, y, r, min(k, 3)),
        "ten steps at most": lambda w, X, y, r, k: steps_from(w, X, y, r, min(k, 10)),
        "rows of a square X": lambda w, X, y, r, k: steps_from(w, X.T if len(X) == len(w) else X, y, r, k),
        "one step at least": lambda w, X, y, r, k: steps_from(w, X, y, r, max(k, 1)),
        "stops at a small gradient": stops_below(1e-2),
        "stops at a tiny gradient": stops_below(1e-5),
        "stops where it goes uphill": stops_uphill,
        "gradients cut off": lambda w, X, y, r, k: steps_from(w, X, y, r, k, lambda *a: cut(grad(*a), 10)),
        "no large rates": lambda w, X, y, r, k: steps_from(w, X, y, min(r, 0.2), k),
        "rounded": lambda w, X, y, r, k: np.round(steps_from(w, X, y, r, k), 5),
        "cut off": lambda w, X, y, r, k: np.clip(steps_from(w, X, y, r, k), -100, 100),
        "squeezed": lambda w, X, y, r, k: np.squeeze(steps_from(w, X, y, r, k)),
    },
    "meta_gradient": META_WRONG,
    "meta_gradient_steps": {
        **META_WRONG,
        "three steps at most": lambda w, s, q, r, k: exact(w, s, q, r, min(k, 3)),
        "ten steps at most": lambda w, s, q, r, k: exact(w, s, q, r, min(k, 10)),
        "rows of a square X": lambda w, s, q, r, k: exact(w, (s[0].T if len(s[0]) == len(w) else s[0], s[1]), q, r, k),
        "three factors at most": lambda w, s, q, r, k: matrix_power(factor(s, r), min(k, 3)) @ last(w, s, q, r, k),
        "one step at least": lambda w, s, q, r, k: exact(w, s, q, r, max(k, 1)),
        "w for no steps": lambda w, s, q, r, k: exact(w, s, q, r, k) if k else w,
    },
}


def single(*inputs):
    """The same in single precision; what is no float stays."""
    change = {tuple: lambda part: tuple(single(*part)), np.ndarray: np.float32, float: np.float32}
    return [change.get(type(part), lambda part: part)(part) for part in inputs]


def torch_meta(w, s, q, r, k=1):
    """The formula on torch's tensors, in torch's usual precision and with gradients that nobody asks for."""
    w, s, q = tensors(*single(w, s, q))
    w.requires_grad_()
    g = 2 / len(q[0]) * q[0].T @ (q[0] @ steps_from(w, *s, r, k) - q[1])
    for _ in range(k):
        g = g - r * 2 / len(s[0]) * s[0].T @ (s[0] @ g)
    return g


def affine(w, s, q, r, k=1):
    """θ is affine in w with a symmetric matrix, so that matrix times g is a difference of inner loops, exactly."""
    g = last(w, s, q, r, k)
    return steps_from(g, *s, r, k) - steps_from(0 * g, *s, r, k)


def affine_step_by_step(w, s, q, r, k=1):
    g = last(w, s, q, r, k)
    for _ in range(k):
        g = g - r * (grad(g, *s) - grad(0 * g, *s))
    return g


def linear(w, s, q, r, k=1):
    """θ is affine in w with a symmetric matrix; without y it is linear, and an inner loop from g is matrix times g."""
    return steps_from(last(w, s, q, r, k), s[0], 0 * s[1], r, k)


def linear_step_by_step(w, s, q, r, k=1):
    g = last(w, s, q, r, k)
    for _ in range(k):
        g = g - r * grad(g, s[0], 0 * s[1])
    return g


def plain(w, s, q, r, k=1):
    """No arrays."""
    theta, d = w.tolist(), range(len(w))
    for _ in range(k):
        theta = [a - r * b for a, b in zip(theta, numbers(theta, *s), strict=True)]
    g = numbers(theta, *q)
    for _ in range(k):
        g = [g[i] - r * sum(2 * x[i] * x[j] * g[j] for x in s[0] for j in d) / len(s[0]) for i in d]
    return tuple(g)


META_RIGHT = [
    exact,
    affine,
    affine_step_by_step,
    by_eigenvalues(),
    torch_meta,
    linear,
    linear_step_by_step,
    plain,
    lambda *inputs: exact(*single(*inputs)),
    lambda *inputs: map(float, exact(*inputs)),
    lambda *inputs: pd.Series(exact(*inputs)),
    lambda w, s, q, r, k=1: np.linalg.multi_dot([np.eye(len(w)), *[factor(s, r)] * k, last(w, s, q, r, k)]),
    lambda w, s, q, r, k=1: (
        matrix_power(np.eye(len(w)) - 2 * r * sum(np.outer(x, x) for x in s[0]) / len(s[0]), k) @ last(w, s, q, r, k)
    ),
]
RIGHT = {
    "gradient": [
        numbers,
        lambda *inputs: grad(*single(*inputs)),
        lambda w, X, y: (2 * np.mean((X @ w - y) * column) for column in X.T),
        lambda w, X, y: map(float, grad(w, X, y)),
        lambda w, X, y: 2 / len(X) * (lambda X, y, w: X.T @ (X @ w - y))(*tensors(X, y, w)),
        lambda w, X, y: pd.DataFrame(X).mul(2 * (X @ w - y), axis=0).mean(),
        lambda w, X, y: np.einsum("j,ji->i", 2 * (np.einsum("ji,i->j", X, w) - y), X) / len(X),
        lambda w, X, y: 2 / len(X) * (np.linalg.multi_dot([X.T, X, w]) - X.T @ y),
        lambda w, X, y: torch.func.vmap(lambda x, t: 2 * (x @ torch.tensor(w) - t) * x)(*tensors(X, y)).mean(0),
    ],
    "finite_difference": [
        puts_back,
        lambda f, *inputs: referee(f, *single(*inputs)),
        lambda f, w, h: map(lambda e: (f(w + h * e) - f(w - h * e)) / (2 * h), np.eye(len(w))),
        lambda f, w, h: tuple(((f(w + h * e) - f(w)) / h + (f(w) - f(w - h * e)) / h) / 2 for e in np.eye(len(w))),
        lambda f, w, h: [(f(list(w + e)) - f(list(w - e))) / (2 * h) for e in h * np.eye(len(w))],
    ],
    "inner_steps": [
        recursive,
        closed_form,
        lambda *inputs: steps_from(*single(*inputs)),
        lambda w, X, y, r, k: torch.tensor(steps_from(w, X, y, r, k)),
        lambda w, X, y, r, k: (a for a in steps_from(w, X, y, r, k)),
        lambda w, X, y, r, k: steps_from(pd.Series(w), X, y, r, k),
    ],
    "meta_gradient": META_RIGHT,
    "meta_gradient_steps": META_RIGHT,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "what"), [(name, what) for name in WRONG for what in WRONG[name]])
def test_what_needs_other_inputs_to_be_found(capsys, name, what, seed):
    assert not getattr(ps1, name)(WRONG[name][what], seed=seed)
    words = {"rounded": "you round", "one step at least": "for steps=0", "w for no steps": "for steps=0"}
    words |= {"three steps at most": "stop too early" if name == "inner_steps" else "fewer steps"}
    words |= dict.fromkeys(["a large h", "a tiny h", "a complex step"], "as differences are")
    words |= dict.fromkeys(["inner loops from w", "gradients at two points"], "a difference of two gradients")
    words |= dict.fromkeys(["backward", "torch.func", "forward mode", "only H by torch"], "automatic differentiation")
    assert words.get(what, "") in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", RIGHT)
def test_other_ways_are_right(capsys, name, seed):
    for answer in RIGHT[name]:
        getattr(ps1, name)(answer, seed=seed)
    assert "Not yet" not in capsys.readouterr().out


def in_a_copy(f, w, h):
    """Right as w holds floats, which the text says."""
    result = []
    for i in range(len(w)):
        up, down = w.copy(), w.copy()
        up[i] += h
        down[i] -= h
        result.append((f(up) - f(down)) / (2 * h))
    return result


def test_w_holds_floats_and_the_text_says_so(cells):
    assert ps1.finite_difference(in_a_copy)
    (cell,) = [cell for cell in cells if "def finite_difference" in cell]
    assert "w (d,): floats" in cell


def squared_again(w, s, q, r, k):
    """K - 1 times the square of the matrix before: too many factors by one at K = 3, and by more later."""
    matrix = factor(s, r) if k else np.eye(len(w))
    for _ in range(k - 1):
        matrix = matrix @ matrix
    return matrix @ last(w, s, q, r, k)


def extrapolated(f, w, h):
    return (4 * referee(f, w, h / 2) - referee(f, w, h)) / 3


def test_no_sentence_misleads(capsys):
    assert not ps1.meta_gradient_steps(squared_again)
    assert "one factor too many" not in capsys.readouterr().out
    assert not ps1.finite_difference(extrapolated)
    assert "more exact than differences with this h" in capsys.readouterr().out
    assert not ps1.gradient(lambda w, X, y: len(X) / 4 * grad(w, X, y))
    assert "1.25 times the target here, and another number of times elsewhere" in capsys.readouterr().out


def test_an_answer_of_one_seed_is_not_that_of_another(capsys):
    """Hard-coded answers: all that the check of seed 0 wants to see, given back in the same order."""
    seen = []
    assert ps1.gradient(lambda *inputs: seen.append(grad(*inputs)) or seen[-1])
    again = iter(seen)
    assert ps1.gradient(lambda *inputs: next(again))
    again = iter(seen)
    assert not ps1.gradient(lambda *inputs: next(again), seed=1)
    assert "the values are off" in capsys.readouterr().out


SOURCE = Path(__file__).parents[1] / "notebooks" / "assignments" / "source" / "ps1" / "ps1.ipynb"


@pytest.fixture(scope="module")
def cells():
    return ["".join(c["source"]) for c in json.loads(SOURCE.read_text())["cells"] if c["cell_type"] == "code"]


def test_the_solutions_pass_their_hidden_tests_and_the_numbers_by_hand(capsys, monkeypatch, cells):
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)  # for the notebook, not for other tests
    names, by_hand = {}, 0
    with np.printoptions():  # the notebook sets its own
        for cell in cells:
            if "Learner" in cell:
                continue
            capsys.readouterr()
            exec(cell, names)
            for line in capsys.readouterr().out.splitlines():
                if "by hand:" in line:
                    yours, wanted = line.split("by hand:")
                    assert wanted.strip() in yours
                    by_hand += 1
    assert by_hand == 7


@pytest.mark.parametrize(
    "name", ["gradient", "finite_difference", "inner_steps", "meta_gradient", "meta_gradient_steps"]
)
def test_a_blank_answer_fails_its_test_cell(capsys, cells, name):
    question = next(cell for cell in cells if cell.startswith(f"def {name}("))
    released = question.split("    ### BEGIN SOLUTION")[0] + "    raise NotImplementedError()\n"
    names = {"ps1": ps1, "np": np}
    exec(released, names)
    test = next(cell for cell in cells if cell.startswith(f"assert ps1.{name}("))
    with pytest.raises(AssertionError):
        exec(test.split("### BEGIN HIDDEN")[0], names)
    assert capsys.readouterr().out.startswith("Not yet: your function is not written yet.")
