"""Checks of problem set 1, the inner step and the meta-gradient by hand, for linear regression.

The loss is the mean squared error of X w on y, so its gradient is 2/n X^T (X w - y) and its Hessian 2/n X^T X.
Each check calls your function on fresh random inputs, says in words what is wrong, and returns True if all is right.
Everywhere w is (d,), X (n, d) and y (n,); support and query are pairs (X, y).
"""

from __future__ import annotations

import numpy as np
from numpy.linalg import matrix_power
from numpy.random import Generator

from .verdict import Student, graded

Data = tuple[np.ndarray, np.ndarray]
"""X (n, d) and y (n,)."""

_ROWS = "one number for each parameter"


@graded("the mean over the examples of 2 (x·w - y) x.")
def gradient(student: Student, rng: Generator) -> None:
    """Check `function(w, X, y)`: the gradient (d,) of the mean squared error, the mean in TreeMAML's eq. 3."""
    for n, d in ((5, 3), (2, 4), (1, 2), (6, 1)):
        w, (X, y) = rng.standard_normal(d), _data(rng, n, d)
        target, errors = _gradient(w, X, y), X @ w - y
        root = np.sqrt(np.mean(errors**2))
        named = {
            "the sign is turned: the inner derivative of (X w - y)^2 is +X": -target,
            "the factor 2 of the square's derivative is missing": target / 2,
            "this is the sum over the examples; divide by their number n": target * n,
            "the factor 2/n is missing: 2 from the square, 1/n from the mean": target * n / 2,
            "you divide by d, the number of parameters; the mean is over the n examples": target * n / d,
            "the targets y are missing: the error of the model is X w - y": 2 / n * X.T @ (X @ w),
            "you multiply two means; take the mean of the products, example by example": 2 * X.mean(0) * errors.mean(),
            "you divide by the length of the gradient; keep its length": target / np.linalg.norm(target),
            "this is the gradient of the root of the mean; leave the root out": target / (2 * root),
            "this is the gradient of the absolute error; here the error is squared": X.T @ np.sign(errors) / n,
        }
        student(w=w, X=X, y=y).compare(target, named, _ROWS)


@graded("two calls of f for each entry, 2 h apart.")
def finite_difference(student: Student, rng: Generator) -> None:
    """Check `function(f, w, h)`: central differences (d,) of f at w, moving one entry at a time by h."""
    for d in (3, 4, 1):
        w, h = rng.uniform(0.5, 1.5, d), float(rng.uniform(0.1, 0.3))
        a, b, C = rng.uniform(0.5, 1.5, d), rng.standard_normal(d), rng.standard_normal((d, d))

        def f(v: np.ndarray, a: np.ndarray = a, b: np.ndarray = b, C: np.ndarray = C) -> float:
            v = np.asarray(v, float)
            if v.shape != a.shape:
                raise ValueError(f"f takes the whole vector, shape {a.shape}, and got shape {v.shape}")
            return float(a @ v**3 + v @ C @ v + b @ v)

        moves, before = h * np.eye(d), h * np.tri(d, k=-1)  # row i of `before`: the entries before i, moved by h
        up, down = (np.array([f(w + sign * move) for move in moves]) for sign in (1, -1))
        target = (up - down) / (2 * h)
        pairs = list(zip(moves, before, strict=True))
        kept = "put entry i back before you move the next one"
        named = {
            "this is the forward difference; step to both sides of w": (up - f(w)) / h,
            "this is the backward difference; step to both sides of w": (f(w) - down) / h,
            "the two points are 2 h apart: divide by 2 h, not by h": 2 * target,
            "the difference is not divided by the distance of the two points, 2 h": up - down,
            "the sign is turned: it is f above less f below": -target,
            "you multiply by h; divide by 2 h": (up - down) / 2 * h,
            "your answer does not use the h that is given": 3 * a * w**2 + (C + C.T) @ w + b,
            "you step by h/2 to each side; step by h": [(f(w + m / 2) - f(w - m / 2)) / h for m in moves],
            "you move all entries at once; move one at a time": np.full(d, (f(w + h) - f(w - h)) / (2 * h)),
            f"entries that you moved down stay down: {kept}": [
                (f(w - rest + m) - f(w - rest - m)) / (2 * h) for m, rest in pairs
            ],
            f"entries that you moved up stay up: {kept}": [
                (f(w + rest + m) - f(w + rest - m)) / (2 * h) for m, rest in pairs
            ],
        }
        student(f=f, w=w, h=h).compare(target, named, _ROWS)


@graded("each step takes the gradient where the last one ended, and w stays as it was.")
def inner_steps(student: Student, rng: Generator) -> None:
    """Check `function(w, X, y, rate, steps)`: θ (d,) after that many inner steps from w (TreeMAML, eq. 3 and 4)."""
    for n, d, steps in ((5, 3, 3), (2, 4, 1), (4, 2, 0), (6, 1, 2)):
        w, (X, y), rate = rng.standard_normal(d), _data(rng, n, d), float(rng.uniform(0.05, 0.15))
        target, slope, restarted = _descend(w, X, y, rate, steps), _gradient(w, X, y), w
        for _ in range(steps):
            restarted = w - rate * _gradient(restarted, X, y)
        named = {
            "your steps go uphill: subtract the gradient": _descend(w, X, y, -rate, steps),
            "your steps forget the inner rate": _descend(w, X, y, 1.0, steps),
            "nothing has moved: this is w": w,
            "this is one step, whatever `steps` says": _descend(w, X, y, rate, 1),
            "this is one step too few": _descend(w, X, y, rate, max(steps - 1, 0)),
            "this is one step too many": _descend(w, X, y, rate, steps + 1),
            "every step uses the gradient at w; take it anew at the θ of each step": w - steps * rate * slope,
            "every step starts from w; start from the θ before it": restarted,
            "you start from zeros; start from w": _descend(0 * w, X, y, rate, steps),
            "this is how far θ has moved; θ is w plus that": target - w,
            "this is the gradient at the end; return θ": _gradient(target, X, y),
            "the rate is divided by the number of steps; every step has the whole rate": _descend(
                w, X, y, rate / max(steps, 1), steps
            ),
            "the factor 2 of the gradient is missing: mend task 1 first": _descend(w, X, y, rate / 2, steps),
            "your steps use the sum of the gradients; take the mean": _descend(w, X, y, rate * n, steps),
        }
        student(w=w, X=X, y=y, rate=rate, steps=steps).compare(target, named, _ROWS)


@graded("the query gradient at θ, times how θ moves with w.")
def meta_gradient(student: Student, rng: Generator) -> None:
    """Check `function(w, support, query, rate)`: the gradient (d,) in w of the query loss after one inner step.

    It is (I - rate H) g, with H the Hessian of the support loss and g the query gradient at θ (XLA-MAML, eq. 6).
    """
    for n, q, d in ((5, 4, 3), (2, 6, 4), (1, 3, 2), (6, 3, 1)):
        w, support, query = rng.standard_normal(d), _data(rng, n, d), _data(rng, q, d)
        rate = float(rng.uniform(0.05, 0.15))
        target, named = _through(w, support, query, rate, 1)
        student(w=w, support=support, query=query, rate=rate).compare(target, named, _ROWS)


@graded("the query gradient at θ_K, and one factor for every inner step.")
def meta_gradient_steps(student: Student, rng: Generator) -> None:
    """Check `function(w, support, query, rate, steps)`: the same after K inner steps, (I - rate H)^K g at θ_K."""
    for n, q, d, steps in ((5, 4, 3, 3), (2, 6, 4, 2), (3, 1, 2, 0), (6, 3, 1, 1)):
        w, support, query = rng.standard_normal(d), _data(rng, n, d), _data(rng, q, d)
        rate = float(rng.uniform(0.05, 0.15))
        target, common = _through(w, support, query, rate, steps)
        eye, H = np.eye(d), _hessian(support[0])
        factor, few = eye - rate * H, max(steps - 1, 0)
        at = {k: _gradient(_descend(w, *support, rate, k), *query) for k in (1, few, steps, steps + 1)}
        power = matrix_power(factor, steps)
        named = {
            "this is the answer for one step, whatever `steps` says": factor @ at[1],
            "there is one factor only; every inner step brings its own": factor @ at[steps],
            "one factor is missing: K steps bring K factors": matrix_power(factor, few) @ at[steps],
            "there is one factor too many: K steps bring K factors": matrix_power(factor, steps + 1) @ at[steps],
            "the factors multiply: (I - rate H)^K is not I - K rate H": (eye - steps * rate * H) @ at[steps],
            "** takes the power of each entry; multiply the matrices (a loop, or np.linalg.matrix_power)": (
                factor**steps @ at[steps]
            ),
            "the query gradient is taken after one inner step; take it at θ_K": power @ at[1],
            "the query gradient is taken one inner step too early": power @ at[few],
            "the query gradient is taken one inner step too late": power @ at[steps + 1],
        }
        answer = student(w=w, support=support, query=query, rate=rate, steps=steps)
        answer.compare(target, named | common, _ROWS)


def _through(
    w: np.ndarray, support: Data, query: Data, rate: float, steps: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The meta-gradient through `steps` inner steps, and what the known mistakes give instead."""
    X, n, q = support[0], len(support[0]), len(query[0])
    eye, H, other = np.eye(len(w)), _hessian(X), _hessian(query[0])
    theta, leaked = _descend(w, *support, rate, steps), _descend(w, *query, rate, steps)
    g, leak, power = _gradient(theta, *query), _gradient(leaked, *query), matrix_power(eye - rate * H, steps)
    half, summed, uphill = (_gradient(_descend(w, *support, r, steps), *query) for r in (rate / 2, rate * n, -rate))
    target = power @ g

    def with_factor(factor: np.ndarray, last: np.ndarray = g) -> np.ndarray:
        return matrix_power(factor, steps) @ last

    named = {
        "this is the first-order answer: multiply by dθ/dw, how θ moves with w": g,
        "this is the query gradient at w; adapt first, and take it at θ": _gradient(w, *query),
        "the query gradient is taken at w; take it at the adapted θ": power @ _gradient(w, *query),
        "this is θ, the adapted parameter itself": theta,
        "the sign is turned": -target,
        "the factor has the wrong sign inside: it is I - rate H": with_factor(eye + rate * H),
        "the factor lacks the rate: it is I - rate H": with_factor(eye - H),
        "H lacks the factor 2: it is 2/n X^T X": with_factor(eye - rate * H / 2),
        "H is a sum over the examples; divide by n": with_factor(eye - rate * H * n),
        "H lacks the factor 2/n: it is 2/n X^T X": with_factor(eye - rate * H * n / 2),
        "H is that of the query loss; the inner step went down the support loss": with_factor(eye - rate * other),
        "1 - rate H subtracts from a matrix full of ones; take the identity, np.eye(d)": with_factor(1 - rate * H),
        "your factor keeps only the diagonal of H": with_factor(np.diag(np.diag(eye - rate * H))),
        "the identity is missing: θ is w less the step, so the factor is I - rate H": with_factor(-rate * H),
        "you multiply by H itself; the factor is I - rate H": with_factor(H),
        "you divide by the factor; multiply by it": np.linalg.pinv(power) @ g,
        "the outer loss is on the query, not on the support": power @ _gradient(theta, *support),
        "you adapt on the query: that leaks it into the inner step; adapt on the support": power @ leak,
        "you adapt on the query: a leak; the inner step sees the support alone": with_factor(eye - rate * other, leak),
        "support and query are exchanged": with_factor(eye - rate * other, _gradient(leaked, *support)),
        "your inner step goes uphill: subtract the gradient": power @ uphill,
        "the factor 2 of the gradients is missing: mend task 1 first": power @ half / 2,
        "the factor 2 is missing in the gradients and in H: mend task 1 first": with_factor(
            eye - rate * H / 2, half / 2
        ),
        "your gradients are sums over the examples: mend task 1 first": power @ summed * q,
        "your gradients and H are sums over the examples: mend task 1 first": with_factor(
            eye - rate * H * n, summed * q
        ),
    }
    return target, named


def _data(rng: Generator, n: int, d: int) -> Data:
    return rng.standard_normal((n, d)), rng.standard_normal(n)


def _gradient(w: np.ndarray, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 2 / len(X) * X.T @ (X @ w - y)


def _hessian(X: np.ndarray) -> np.ndarray:
    return 2 / len(X) * X.T @ X


def _descend(w: np.ndarray, X: np.ndarray, y: np.ndarray, rate: float, steps: int) -> np.ndarray:
    for _ in range(steps):
        w = w - rate * _gradient(w, X, y)
    return w
