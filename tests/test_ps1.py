"""Problem set 1: right solutions pass, and each known mistake is called by its name."""

import json
from pathlib import Path

import numpy as np
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
        (by_torch, "Right"),
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
        (lambda f, w, h: referee(f, w, 1e-5), "does not use the h that is given"),
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
        (lambda w, X, y, r, k: steps_from(w, X, y, r, k - 1), "one step too few"),
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
    (through_torch, "Right"),
    (lambda w, s, q, r, k=1: last(w, s, q, r, k) @ matrix_power(factor(s, r), k), "Right"),
    (lambda w, s, q, r, k=1: referee(lambda v: np.mean((q[0] @ steps_from(v, *s, r, k) - q[1]) ** 2), w, 0.1), "Right"),
    (blank, "your function is not written yet"),
    (calls_a_blank, "your function calls `blank`, which is not written yet"),
    (lambda w, s, q, r, k=1: None, "returned None"),
    (lambda w, s, q, r, k=1: exact(w, s, q, r, k).sum(), "your answer has shape ()"),
    (lambda w, s, q, r, k=1: factor(s, r) * last(w, s, q, r, k), "your answer has shape (3, 3)"),
    (lambda w, s, q, r, k=1: grad(w, s[0], q[1]), "stopped with ValueError"),
    (changes_w, "changes its inputs"),
    (lambda w, s, q, r, k=1: last(w, s, q, r, k), "first-order"),
    (lambda w, s, q, r, k=1: through_torch(w, s, q, r, k, create_graph=False), "first-order"),
    (lambda w, s, q, r, k=1: grad(w, *q), "adapt first"),
    (lambda w, s, q, r, k=1: matrix_power(factor(s, r), k) @ grad(w, *q), "take it at the adapted θ"),
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
        (lambda w, s, q, r, k: matrix_power(factor(s, r), k - 1) @ last(w, s, q, r, k), "one factor is missing"),
        (lambda w, s, q, r, k: matrix_power(factor(s, r), k + 1) @ last(w, s, q, r, k), "one factor too many"),
        (lambda w, s, q, r, k: factor(s, k * r) @ last(w, s, q, r, k), "the factors multiply"),
        (lambda w, s, q, r, k: factor(s, r) ** k @ last(w, s, q, r, k), "** takes the power of each entry"),
        (lambda w, s, q, r, k: matrix_power(factor(s, r), k) @ last(w, s, q, r, 1), "after one inner step"),
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
        (ps1.gradient, (grad, numbers, by_torch)),
        (ps1.finite_difference, (referee, puts_back)),
        (ps1.inner_steps, (steps_from, closed_form)),
        (ps1.meta_gradient, (exact, through_torch)),
        (ps1.meta_gradient_steps, (exact, through_torch, backwards)),
    ],
)
def test_other_seeds(capsys, check, answers, seed):
    for answer in answers:
        assert check(answer, seed=seed) is True
    assert "Not yet" not in capsys.readouterr().out


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
