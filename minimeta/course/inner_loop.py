"""The check of the inner loop that a student writes for a network (notebook 01): θ by name, and the way back to ω."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.func import functional_call

from ..grouping import alone
from ..inner import Learner, adapt, squared_error
from ..tasks import Episode
from .verdict import Answer, Student, exercise


@exercise("these are adapt's own parameters, and the meta-gradient flows through every step.")
def inner_loop(student: Student, rng: Generator) -> None:
    """Check `function(module, x, y, rate, steps)`: θ by name after K steps on the mean squared error.

    x (n, 2) and y (n, 1) are tensors; gradients must flow from θ back to the module's own parameters.
    """
    for steps in (1, 2, 0, 3):
        dice = torch.Generator().manual_seed(int(rng.integers(2**31)))
        module, rate = _network(dice), round(float(rng.uniform(0.05, 0.3)), 2)
        x, y, u, v = (torch.randn((5, size), generator=dice, dtype=torch.float64) for size in (2, 1, 2, 1))
        before = [parameter.detach().clone() for parameter in module.parameters()]
        given = f"a network of two layers, rate={rate}, steps={steps}"
        answer = student(given=given, module=module, x=x, y=y, rate=rate, steps=steps)
        if not all(map(torch.equal, module.parameters(), before)):
            raise answer.not_yet("your function changes the module's own parameters; ω must stay: make new tensors")
        if any(parameter.grad is not None for parameter in module.parameters()):
            raise answer.not_yet("your function leaves gradients in .grad; use torch.autograd.grad, not backward()")
        theta = _right(module, x, y, rate, steps)
        if not isinstance(answer.value, Mapping) or set(answer.value) != set(theta):
            raise answer.expected(f"a dictionary with the names {', '.join(theta)}")
        once = _right(module, x, y, rate, 1)
        for (name, target), omega in zip(theta.items(), before, strict=True):
            move = once[name].detach() - omega
            named = {
                "your steps go uphill": omega - move,
                "one step too many: with steps=0, θ is ω": omega + move * (steps == 0),
                "every step takes its gradient at ω; take it anew at the θ of the step before": omega + steps * move,
                "only one step was taken": omega + move,
                "the loss is the mean of the squared errors, not their sum": omega + len(y) * move,
            }
            of = f"{given}: θ[{name!r}]"
            Answer(answer.value[name], of).compare(target.detach(), named, "the parameter's own shape")
        _compare_way_back(answer, module, (u, v), theta, _right(module, x, y, rate, steps, first_order=True))


def _compare_way_back(
    answer: Answer,
    module: nn.Module,
    query: tuple[Tensor, Tensor],
    theta: Mapping[str, Tensor],
    first_order: Mapping[str, Tensor],
) -> None:
    """Raise unless the query loss at the answer has the gradient in the module's parameters that it has at `theta`."""

    def back(found: Mapping[str, Tensor]) -> list[Tensor | None]:
        loss = (functional_call(module, dict(found), (query[0],)) - query[1]).square().mean()
        return list(torch.autograd.grad(loss, list(module.parameters()), allow_unused=True))

    cut = any(not answer.value[name].requires_grad for name in theta)
    found = [None] if cut else back(answer.value)
    if any(part is None for part in found):
        raise answer.not_yet("the values are right, but θ is cut off from the module's own parameters")
    if not _equal(found, back(theta)):
        first = _equal(found, back(first_order))
        why = "this is first order, take gradients with create_graph=True" if first else "a part of it is lost"
        raise answer.not_yet(f"the values are right, but the meta-gradient is not: {why}")


def _equal(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(map(torch.allclose, one, other))


def _network(dice: torch.Generator) -> nn.Module:
    module = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    for parameter in module.parameters():
        parameter.data.normal_(generator=dice)
    return module


def _right(
    module: nn.Module, x: Tensor, y: Tensor, rate: float, steps: int, first_order: bool = False
) -> dict[str, Tensor]:
    """What `adapt` makes of it."""
    learner, episode = Learner(module, squared_error), Episode(("task",), ({"x": x[None], "y": y[None]},), {})
    adapted = adapt(learner, episode, alone(), steps, rate, first_order=first_order)
    return {name.removeprefix("module."): value for name, value in adapted.of(0).items()}
