"""The same meta-gradients through other libraries, each in the way that its own examples do it, and by hand.

For MAML on sinusoids there are `higher`, TorchOpt, parallel-metalearn and `torch.func`; for pooled steps, `higher`
alone. TorchOpt and parallel-metalearn are no dependencies of minimeta: `pip install 'minimeta[bench]'`.

parallel-metalearn's gradient of plain MAML is right (to 2e-7, at once, in chunks and one task after the other, first
order too), so it is compared. Its step ends with the outer optimiser's, here SGD with a rate of 0, and a few
microseconds of it are that. (Its multi-step loss is another matter: see `findings/parallel_metalearn_multi_step.sh`.)
learn2learn's last release, 0.2.0, has C code made for Python 3.10 that newer ones do not compile, and 0.1.7 and 0.1.5
are no better; minimeta needs Python 3.11.
"""

from __future__ import annotations

import higher
import torch
from cases import Build, Case, data_of
from timing import Method
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from minimeta.grouping import regroup
from minimeta.inner import Learner
from minimeta.reference import adapt_with_higher
from minimeta.tasks import Batch

Gradient = tuple[Tensor, ...]

NO_LEARN2LEARN = "0.2.0 cannot be built on Python 3.11 and newer"


def tasks_of(case: Case) -> tuple[nn.Module, list[Gradient]]:
    """The network, and x and y of each task's support and query."""
    support, query = data_of(case.episode)
    return case.learner.module, list(zip(support["x"], support["y"], query["x"], query["y"], strict=True))


def higher_loop(case: Case) -> Method:
    """The usual loop with `higher`: a copy of the network for each task."""
    net, tasks = tasks_of(case)
    inner = torch.optim.SGD(net.parameters(), lr=case.loop.rate)

    def method() -> Gradient:
        # A backward pass per task, as in higher's own examples: less memory, and faster, than one at the end.
        net.zero_grad()
        for x, y, query_x, query_y in tasks:
            with higher.innerloop_ctx(net, inner, copy_initial_weights=False) as (functional, optimizer):
                for _ in range(case.loop.steps):
                    optimizer.step(mse_loss(functional(x), y))
                (mse_loss(functional(query_x), query_y) / len(tasks)).backward()
        return tuple(p.grad for p in net.parameters())

    return method


def higher_one_copy(case: Case) -> Method:
    """`higher` with one functional copy for all tasks."""
    (net, tasks), omega = tasks_of(case), tuple(case.learner.parameters())

    def method() -> Gradient:
        net.zero_grad()
        functional = higher.monkeypatch(net, copy_initial_weights=False)
        for x, y, query_x, query_y in tasks:
            theta = omega
            for _ in range(case.loop.steps):
                gradients = torch.autograd.grad(mse_loss(functional(x, params=theta), y), theta, create_graph=True)
                theta = [p - case.loop.rate * g for p, g in zip(theta, gradients, strict=True)]
            (mse_loss(functional(query_x, params=theta), query_y) / len(tasks)).backward()
        return tuple(p.grad for p in omega)

    return method


def torchopt_loop(case: Case) -> Method:
    """TorchOpt's differentiable SGD, which goes back to ω for each task."""
    import torchopt

    net, tasks = tasks_of(case)
    inner = torchopt.MetaSGD(net, lr=case.loop.rate)
    omega = tuple(net.parameters())

    def method() -> Gradient:
        before = torchopt.extract_state_dict(net, by="reference", detach_buffers=True)
        optimizer_before = torchopt.extract_state_dict(inner, by="reference")
        losses = []
        for x, y, query_x, query_y in tasks:
            for _ in range(case.loop.steps):
                inner.step(mse_loss(net(x), y))
            losses.append(mse_loss(net(query_x), query_y))
            torchopt.recover_state_dict(net, before)
            torchopt.recover_state_dict(inner, optimizer_before)
        return torch.autograd.grad(torch.stack(losses).mean(), omega)

    return method


def parallel_metalearn(case: Case) -> Method:
    """parallel-metalearn's MAML, all tasks at once, with an outer step that moves nothing."""
    from metalearn.algorithms import MAML
    from metalearn.inner_optimizers import InnerSGD
    from metalearn.loss.base import BaseLoss
    from metalearn.model_wrappers import MAML_Model

    class Part(nn.Module):
        """A part of the network; the library hands it options that it has no use for."""

        def __init__(self, part: nn.Module) -> None:
            super().__init__()
            self.part = part

        def forward(self, x: Tensor, **options: object) -> Tensor:
            return self.part(x)

    class SquaredError(BaseLoss):
        def forward(self, out_dict, targets, model_states=None, **options):
            loss = mse_loss(out_dict["logits"], targets)
            return loss, loss.detach()

    net = case.learner.module
    model = MAML_Model(backbone=Part(net[:-1]), head=Part(net[-1]))
    steps = case.loop.steps
    inner = InnerSGD(model.get_fast_weights(), inner_lr=case.loop.rate, max_inner_steps=steps, learn_lr=False)
    algorithm = MAML(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.0),
        inner_optimizer=inner,
        support_loss_fn=SquaredError(),
        inner_steps=steps,
        device=next(net.parameters()).device,
    )
    support, query = data_of(case.episode)
    data = support["x"], support["y"], query["x"], query["y"]

    def method() -> Gradient:
        algorithm.step(iter([data]))
        return tuple(p.grad for p in net.parameters())

    return method


def by_hand(case: Case) -> Method:
    """`vmap` over `grad`, as one writes it with torch.func."""
    net, omega = case.learner.module, tuple(case.learner.parameters())
    names = [name for name, _ in net.named_parameters()]
    support, query = data_of(case.episode)

    def loss(theta: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return mse_loss(torch.func.functional_call(net, theta, (x,)), y)

    def one_task(theta: dict[str, Tensor], x: Tensor, y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        for _ in range(case.loop.steps):
            gradients = torch.func.grad(loss)(theta, x, y)
            theta = {name: p - case.loop.rate * gradients[name] for name, p in theta.items()}
        return loss(theta, query_x, query_y)

    def method() -> Gradient:
        over_tasks = torch.func.vmap(one_task, in_dims=(None, 0, 0, 0, 0))
        theta = dict(zip(names, omega, strict=True))
        losses = over_tasks(theta, support["x"], support["y"], query["x"], query["y"])
        return torch.autograd.grad(losses.mean(), omega)

    return method


def through_higher(case: Case) -> Gradient:
    """The meta-gradient through one functional copy of the learner, with the parameters of each cluster held once.

    A copy per task, as `adapt_with_higher` patches them, would add up to a second for a whole model.
    """
    learner, episode, loop = case
    functional = higher.monkeypatch(learner, copy_initial_weights=False)
    support, query = data_of(episode)
    labels, theta = [0] * len(episode.tasks), [list(learner.parameters())]
    for k in range(1, loop.steps + 1):
        labels, origin, _ = regroup(loop.grouping, k, episode.tasks, labels)
        theta = [theta[parent] for parent in origin]
        gradients: list[list[tuple[Tensor, ...]]] = [[] for _ in theta]
        for task, label in enumerate(labels):
            loss = functional(of_task(support, task), params=theta[label]).mean()
            moving = [p for p in theta[label] if p.requires_grad]
            gradients[label].append(torch.autograd.grad(loss, moving, create_graph=True))
        for label, own in enumerate(gradients):
            pooled = iter([sum(parts) / len(parts) for parts in zip(*own, strict=True)])
            theta[label] = [p - loop.rate * next(pooled) if p.requires_grad else p for p in theta[label]]
    losses = [functional(of_task(query, i), params=theta[label]).mean() for i, label in enumerate(labels)]
    return torch.autograd.grad(torch.stack(losses).mean(), [p for p in learner.parameters() if p.requires_grad])


class WholeLayer(nn.Module):
    """The head as Hugging Face computes it: the last layer at all positions."""

    def __init__(self, layer: nn.Module, pooler: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.layer, self.pooler, self.classifier = layer, pooler, classifier

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        additive = (1 - mask.to(hidden.dtype))[:, None, None, :] * torch.finfo(hidden.dtype).min
        return self.classifier(self.pooler(self.layer(hidden, additive)))


def of_task(batch: Batch, task: int) -> Batch:
    return {name: value[task] for name, value in batch.items()}


def whole_last_layer(case: Case) -> Method:
    """`higher` with the last layer as Hugging Face computes it."""
    module = case.learner.module
    layer = Learner(WholeLayer(module.layer, module.pooler, module.classifier), case.learner.loss)
    return lambda: through_higher(case._replace(learner=layer))


def same_head(case: Case) -> Method:
    """`higher` with a copy of the very same head for each task, as `minimeta.reference` has it."""
    learner, episode, loop = case
    omega = list(learner.parameters())

    def method() -> Gradient:
        adapted = adapt_with_higher(learner, episode, loop.grouping, loop.steps, loop.rate)
        losses = [copy(of_task(episode.query, task)).mean() for task, copy in enumerate(adapted)]
        return torch.autograd.grad(torch.stack(losses).mean(), omega)

    return method


WAVES: dict[str, Build] = {
    "higher, innerloop_ctx": higher_loop,
    "higher, one copy": higher_one_copy,
    "TorchOpt, MetaSGD": torchopt_loop,
    "parallel-metalearn": parallel_metalearn,
    "torch.func by hand": by_hand,
}
HEADS: dict[str, Build] = {"higher, whole last layer": whole_last_layer, "higher, same head": same_head}
