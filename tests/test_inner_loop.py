"""The check of the inner loop of notebook 01: right ones pass, and a mistake is called by its name."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from minimeta.course import checks


def loss(module, theta, x, y):
    return (functional_call(module, theta, (x,)) - y).square().mean()


def right(module, x, y, rate, steps):
    theta = dict(module.named_parameters())
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(module, theta, x, y), list(theta.values()), create_graph=True)
        theta = {name: p - rate * g for (name, p), g in zip(theta.items(), gradients, strict=True)}
    return theta


def by_func(module, x, y, rate, steps):
    theta = dict(module.named_parameters())
    for _ in range(steps):
        gradients = torch.func.grad(lambda theta: loss(module, theta, x, y))(theta)
        theta = {name: theta[name].sub(rate * gradients[name]) for name in theta}
    return theta


def with_clones(module, x, y, rate, steps):
    theta = {name: p.clone() for name, p in module.named_parameters()}
    for _ in range(steps):
        found = torch.autograd.grad(nn.functional.mse_loss(functional_call(module, theta, x), y), theta.values(),
                                    create_graph=True)  # fmt: skip
        for name, gradient in zip(list(theta), found, strict=True):
            theta[name] = theta[name] - rate * gradient
    return theta


@pytest.mark.parametrize("answer", [right, by_func, with_clones])
@pytest.mark.parametrize("seed", range(5))
def test_right_inner_loops_pass(capsys, answer, seed):
    checks.inner_loop(answer, seed)
    assert capsys.readouterr().out.startswith("Right")


def first_order(module, x, y, rate, steps):
    theta = dict(module.named_parameters())
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(module, theta, x, y), list(theta.values()))
        theta = {name: p - rate * g for (name, p), g in zip(theta.items(), gradients, strict=True)}
    return theta


def at_omega(module, x, y, rate, steps):
    theta = omega = dict(module.named_parameters())
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(module, omega, x, y), list(omega.values()), create_graph=True)
        theta = {name: p - rate * g for (name, p), g in zip(theta.items(), gradients, strict=True)}
    return theta


def in_place(module, x, y, rate, steps):
    optimizer = torch.optim.SGD(module.parameters(), rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (module(x) - y).square().mean().backward()
        optimizer.step()
    return dict(module.named_parameters())


def of_a_copy(module, x, y, rate, steps):
    return in_place(copy.deepcopy(module), x, y, rate, steps)


def polluting(module, x, y, rate, steps):
    (module(x) - y).square().mean().backward()
    return right(module, x, y, rate, steps)


def detached(module, x, y, rate, steps):
    return {name: value.detach() for name, value in right(module, x, y, rate, steps).items()}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *given: None, "returned None"),
        (lambda module, *given: list(module.parameters()), "expected a dictionary with the names 0.weight"),
        (lambda module, x, y, rate, steps: right(module, x, y, -rate, steps), "uphill"),
        (lambda module, x, y, rate, steps: right(module, x, y, rate, max(steps, 1)), "one step too many"),
        (lambda module, x, y, rate, steps: right(module, x, y, rate, steps + 1), "one step too many"),
        (lambda module, *given: dict(module.named_parameters()), "it has not moved"),
        (lambda module, x, y, rate, steps: right(module, x, y, rate * y.shape[1], steps), "Not yet"),
        (lambda module, x, y, rate, steps: right(module, x, y, rate * len(y), steps), "not their sum"),
        (lambda module, x, y, rate, steps: right(module, x, y, rate / 2, steps), "rate="),
        (lambda module, x, y, rate, steps: right(module, x, y, rate, min(steps, 1)), "only one step was taken"),
        (at_omega, "at the θ of the step before"),
        (first_order, "this is first order"),
        (in_place, "changes the module's own parameters"),
        (of_a_copy, "cut off"),
        (polluting, "changes what is in .grad"),
        (detached, "cut off"),
        (lambda *given: 1 / 0, "ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_mistake_is_called_by_its_name(capsys, answer, words, seed):
    checks.inner_loop(answer, seed)
    said = capsys.readouterr().out
    assert said.startswith("Not yet") and words in said
