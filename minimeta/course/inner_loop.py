"""The check of the inner loop that a student writes for a network (notebook 01): θ by name, and the way back to ω."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from numpy.random import Generator
from torch import Tensor, nn

from ..grouping import alone
from ..inner import Learner, adapt, squared_error
from ..tasks import Episode
from .values import copied, same
from .verdict import Answer, Student, exercise


@exercise("these are adapt's own parameters, and the meta-gradient flows through every step.")
def inner_loop(student: Student, rng: Generator) -> None:
    """Check `function(module, x, y, rate, steps)`: θ by name after K steps on the mean squared error.

    x (n, 2) and y (n, 1 or 3) are tensors; gradients must flow from θ back to the module's own parameters.
    """
    sizes = ((1, 5, 3, 1), (2, 4, 3, 3), (0, 3, 1), (2, 1, 1), (3, 6, 2, 4, 1), (5, 2, 4, 3))
    for number, (steps, rows, *widths) in enumerate(sizes):
        dice = torch.Generator().manual_seed(int(rng.integers(2**31)))
        module, rate = _network(dice, (2, *widths)), round(float(rng.uniform(0.05, 0.3)), 2)
        x, y = (torch.randn((rows, size), generator=dice, dtype=torch.float64) for size in (2, widths[-1]))
        before = [parameter.detach().clone() for parameter in module.parameters()]
        left = [torch.ones_like(omega) if number % 2 else None for omega in before]  # an outer loop may have left some
        for parameter, grad in zip(module.parameters(), left, strict=True):
            parameter.grad = copied(grad)
        given = f"a network of {len(widths)} layers, x {tuple(x.shape)}, rate={rate}, steps={steps}"
        answer = student(given=given, module=module, x=x, y=y, rate=rate, steps=steps)
        if not all(map(torch.equal, module.parameters(), before)):
            raise answer.not_yet("your function changes the module's own parameters; ω must stay: make new tensors")
        if not same([parameter.grad for parameter in module.parameters()], left):
            raise answer.not_yet(
                "your function changes what is in .grad; use torch.autograd.grad, not backward() and zero_grad()"
            )
        if not all(part.training for part in module.modules()):
            raise answer.not_yet("your function switches the module, or a part of it, to evaluation; leave it as it is")
        theta = _right(module, x, y, rate, steps)
        if not isinstance(answer.value, Mapping) or set(answer.value) != set(theta):
            raise answer.expected(f"a dictionary with the names {', '.join(theta)}")
        once, more = (_right(module, x, y, rate, k) for k in (1, steps + 1))
        crossed = _right(module, x, y.mean(0, keepdim=True).expand_as(y), rate, steps)
        for (name, target), omega in zip(theta.items(), before, strict=True):
            move = once[name].detach() - omega
            named = {
                "your steps go uphill": omega - move,
                "one step too many: with steps=0, θ is ω": more[name].detach(),
                "this is still ω: it has not moved": omega,
                "every step takes its gradient at ω; take it anew at the θ of the step before": omega + steps * move,
                "only one step was taken": omega + move,
                "the loss is the mean of the squared errors, not their sum": omega + len(y) * move,
                "every prediction meets every target, as where (n, 1) and (n,) are subtracted: look at the shapes": (
                    crossed[name].detach()
                ),
            }
            of = f"{given}: θ[{name!r}]"
            Answer(answer.value[name], of).compare(target.detach(), named, "the parameter's own shape")
        wanted, first = _joined(theta), _joined(_right(module, x, y, rate, steps, first_order=True))
        pull = torch.randn(wanted.shape, generator=dice, dtype=torch.float64)
        cut = {"this is first order: take gradients with create_graph=True, and detach nothing": first}
        found = Answer(_joined({name: answer.value[name] for name in theta}), given)
        for parameter in module.parameters():
            found.compare_gradient(parameter, wanted, pull, cut)


def _joined(parameters: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in parameters.values()])


def _network(dice: torch.Generator, sizes: tuple[int, ...]) -> nn.Module:
    layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Tanh(), nn.Linear(*pair))]
    module = nn.Sequential(*layers[1:]).double()
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
