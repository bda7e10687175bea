"""The meta-gradient without Python: what one call computes is noted once, and run again on other numbers.

On small models it is not arithmetic that costs, but Python, dispatch and the making of graphs. The operations of a call
are the same as long as shapes and clusters are. So `torch.fx` notes them, second derivatives included, and they run

- as TorchScript ("trace"): no compiler is needed, and building takes about a millisecond for each operation;
- as C++, or Triton on a GPU ("inductor"): torch's compiler takes half a minute for a small network and minutes for a
  transformer's head, and keeps what it has made on disk.

"auto" is "trace" for trainings of LONG outer steps or more on models that are small (as `threads` says it), if the
first episodes are all of one kind. Building costs less than LONG steps save, whatever the model, since both go with the
number of operations; on large ones arithmetic is nearly all that there is (`tests/benchmarks/RESULTS.md`). Texts come
in many lengths, and are left as they are.

What cannot be noted is computed as ever, and one warning says why; "auto" says nothing.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from .errors import InputError, first_line
from .gradient import MetaGradient, drawn_since, meta_gradient, random_state, through_graph
from .grouping import Weighted, regroup
from .inner import Adapted, InnerLoop, InnerStep, adapt, check_finite, last, unchecked
from .tasks import Episode
from .threads import is_small, threads_for

CHOICES = (None, "auto", "trace", "inductor")

LONG, WATCHED = 300, 10
"""Outer steps from which on "auto" compiles, and how many episodes it looks at before."""

KINDS = 4
"""How many kinds of episodes, by shapes and clusters, one `Compiled` builds for; others are computed as ever."""

Result = TypeVar("Result", MetaGradient, Adapted)
Compute = Callable[[nn.Module, Episode, InnerLoop], Result]
Answer = tuple[int, ...] | Weighted
Built = tuple[Callable[..., Sequence[Tensor]], Any]
"""A compiled function of tensors, and a result into which the tensors that it gives have to be put."""

_BUILT: OrderedDict[Hashable, Built] = OrderedDict()
_KEPT = 16
_FEW = 16  # columns


class Compiled:
    """`meta_gradient` and `adapt` for one learner, compiled in the way of `how`, one of CHOICES; None is as ever.

    The first episode of each kind is computed in both ways. If they disagree, what had been built for another learner
    of the same structure is built anew: a forward may read what is neither an input nor an attribute of a module (a
    global, say), and that is taken as it was when it was noted. Attributes are looked at on this first call alone, but
    for `requires_grad` and what is plain in a module itself (numbers, texts, `training`): another one is another kind.

    `kinds` are the kinds of episodes so far, of "auto" those of the first episodes. They decide what is compiled, so a
    training that goes on has to be given them again. Raises InputError for another `how`.
    """

    def __init__(self, how: str | None, outer_steps: int = 0) -> None:
        if how not in CHOICES:
            raise InputError(f'There is no compile={how!r}; it is None, "auto", "trace" or "inductor".')
        self.how = how
        self.kinds: list[str] = []
        self._ready: dict[Hashable, Built] = {}
        self._refused = how is None or (how == "auto" and outer_steps < LONG)
        self._silent = how == "auto"

    def meta_gradient(self, learner: nn.Module, episode: Episode, loop: InnerLoop) -> MetaGradient:
        """The same as `gradient.meta_gradient`; raises InputError where it does."""
        return self._computed(meta_gradient, through_graph, learner, episode, loop)

    def adapt(self, learner: nn.Module, episode: Episode, loop: InnerLoop) -> Adapted:
        """The same as `inner.adapt` in `torch.no_grad()`, whatever the query; raises InputError where it does."""
        with torch.no_grad():
            return self._computed(_adapt, _adapt_bare, learner, replace(episode, query={}), loop)

    def _computed(
        self, plain: Compute[Result], bare: Compute[Result], learner: nn.Module, episode: Episode, loop: InnerLoop
    ) -> Result:
        """What `plain` gives; `bare` is the same without what looks at numbers."""
        if self._refused:
            return plain(learner, episode, loop)
        try:
            plan, answers = _planned(episode, loop)
        except _Asked:
            return self._without("its clusters are found in the tasks' gradients", plain, learner, episode, loop)
        kind = (bare.__name__, plan, *_kind(learner, episode, loop))
        built = self._ready.get(kind)
        if built is not None:
            return _run(built, learner, episode, loop)
        loop = replace(loop, grouping=lambda step, *rest: answers[step - 1])  # it is not asked again
        if not self._counts(repr(kind)):
            return plain(learner, episode, loop)
        if self.how == "auto" and not is_small(learner, episode):
            return self._without("the model is large", plain, learner, episode, loop)
        if loop.tasks_per_chunk is not None:
            reason = "tasks_per_chunk bounds the memory, and what is compiled computes all tasks at once"
            return self._without(reason, plain, learner, episode, loop)
        return self._first(kind, plain, bare, learner, episode, loop)

    def _counts(self, kind: str) -> bool:
        """Is this kind of episode one of those to compile?"""
        if self.how == "auto":
            watching = len(self.kinds) < WATCHED
            if watching:
                self.kinds.append(kind)
            return not watching and {*self.kinds} == {kind}
        if kind not in self.kinds:
            self.kinds.append(kind)
        if self.kinds.index(kind) < KINDS:
            return True
        self._say(f"the episodes have more than {KINDS} kinds of shapes and clusters; the first ones are compiled")
        return False

    def _first(
        self,
        kind: tuple[Any, ...],
        plain: Compute[Result],
        bare: Compute[Result],
        learner: nn.Module,
        episode: Episode,
        loop: InnerLoop,
    ) -> Result:
        """Compute in both ways; from now on compiled, if it can be and the two agree."""
        before = random_state()
        found = plain(learner, episode, loop)
        if drawn_since(before):
            self._refuse("the learner draws random numbers, as dropout does")
            return found
        key = (self.how, kind, _structure(learner))
        try:
            with threads_for(learner, episode), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch says of TorchScript that it is old
                built = _BUILT.pop(key, None)
                compiled = built and _run(built, learner, episode, loop)
                if compiled is None or not _agree(found, compiled, learner):
                    built = _build(self.how, bare, learner, episode, loop)
                    compiled = _run(built, learner, episode, loop)
        except Exception as error:  # whatever torch, the compiler or the learner cannot do
            self._refuse(first_line(error))
            return found
        if not _agree(found, compiled, learner):
            self._refuse("what is compiled gives another result")
            return found
        _BUILT[key] = self._ready[kind] = built
        while len(_BUILT) > _KEPT:
            _BUILT.popitem(last=False)
        return compiled

    def _without(
        self, reason: str, plain: Compute[Result], learner: nn.Module, episode: Episode, loop: InnerLoop
    ) -> Result:
        self._refuse(reason)
        return plain(learner, episode, loop)

    def _refuse(self, reason: str) -> None:
        self._refused = True
        self._say(f"this is computed as without it, since {reason}")

    def _say(self, what: str) -> None:
        if not self._silent:
            self._silent = True
            warnings.warn(f'compile="{self.how}": {what}.', stacklevel=2)


def _adapt(learner: nn.Module, episode: Episode, loop: InnerLoop) -> Adapted:
    return adapt(learner, episode, **vars(loop))


def _adapt_bare(learner: nn.Module, episode: Episode, loop: InnerLoop) -> Adapted:
    return last(unchecked(learner, episode, loop))


class _Asked(Exception):
    """A grouping asked for gradients, which are not there before an inner loop has begun."""


def _planned(episode: Episode, loop: InnerLoop) -> tuple[Hashable, list[Answer]]:
    """The labels and weights at every inner step, and what the grouping answered, which is asked once a step."""

    def gradients() -> NoReturn:
        raise _Asked

    given = next((len(value) for batch in episode.support for value in batch.values()), 0)
    labels, plan, answers = (0,) * len(episode.tasks), [], []
    for step in range(1, loop.steps + 1):
        answer = loop.grouping(step, episode.tasks, list(labels), gradients)
        answers.append(Weighted(*map(tuple, answer)) if isinstance(answer, Weighted) else tuple(answer))
        labels, weights = _numbered(answers[-1], step, episode.tasks, labels, given)
        plan.append((labels, weights))
    return tuple(plan), answers


@lru_cache(typed=True)  # a `Weighted` is more than the tuple that it is
def _numbered(
    answer: Answer, step: int, tasks: tuple[str, ...], parents: tuple[int, ...], given: int
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Labels and weights by `regroup`: of an answer that has come before, those of then."""
    labels, _, weights = regroup(lambda *_: answer, step, tasks, parents, given=given)
    return tuple(labels), tuple(weights)


def _kind(learner: nn.Module, episode: Episode, loop: InnerLoop) -> tuple[Hashable, ...]:
    """What an episode's operations depend on, beside its clusters and the structure of the learner."""
    shapes = [
        tuple((name, tuple(value.shape), value.dtype, value.device) for name, value in batch.items())
        for batch in (*episode.support, episode.query)
    ]
    learned = {name: p.requires_grad for name, p in learner.named_parameters()}
    moved = tuple(name for name, learns in learned.items() if learns and loop.moves(name))
    # What is plain may be changed between two steps, as a temperature that falls.
    plain = (value for part in learner.modules() for value in vars(part).values() if isinstance(value, _PLAIN))
    state = (*map(repr, plain), *learned.values())
    return len(episode.tasks), *shapes, loop.rate, loop.first_order, moved, state


def _build(how: str | None, bare: Compute[Any], learner: nn.Module, episode: Episode, loop: InnerLoop) -> Built:
    """Note what `bare` computes, and compile it."""
    from torch._decomp import get_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    results = []

    def noted(*tensors: Tensor) -> list[Tensor]:
        with _holding(learner, episode, tensors) as stand_in:
            results.append(bare(learner, stand_in, loop))
        return _tensors(results[-1])

    given = _inputs(learner, episode)
    for value, parameter in zip(given, learner.parameters(), strict=False):
        value.requires_grad_(parameter.requires_grad)
    # TorchScript does not take the masks of these; the rest of them it writes as they are.
    written_out = get_decompositions(
        [torch.ops.aten.native_layer_norm_backward, torch.ops.aten.native_group_norm_backward]
    )
    graph = _simplified(make_fx(noted, decomposition_table=written_out, tracing_mode="fake")(*given))
    given = [value.detach() for value in given]
    with torch.no_grad():
        if how == "inductor":
            # In C++ the calls between kernels cost less than in Python, and what was compiled before is found faster.
            run = torch._inductor.compile(graph, given, options={"cpp_wrapper": given[0].device.type == "cpu"})
        else:
            try:
                run = torch.jit.trace(graph, given, check_trace=False)
            except RuntimeError:  # there are operations that TorchScript has no words for, that of convolutions for one
                run = graph
    return run, results[-1]


def _run(built: Built, learner: nn.Module, episode: Episode, loop: InnerLoop) -> Any:
    run, like = built
    with threads_for(learner, episode), torch.no_grad():
        tensors = run(*_inputs(learner, episode))
    result = _filled(like, tensors)
    for step, inner in enumerate(_steps(result), 1):
        check_finite(inner.losses, episode.tasks, step, loop.rate)
    return result


def _inputs(learner: nn.Module, episode: Episode) -> list[Tensor]:
    """All tensors that a call computes with, without their graph."""
    batches = [value for batch in (*episode.support, episode.query) for value in batch.values()]
    return [value.detach() for value in (*learner.parameters(), *learner.buffers(), *batches)]


@contextmanager
def _holding(learner: nn.Module, episode: Episode, tensors: Sequence[Tensor]) -> Iterator[Episode]:
    """Inside, the learner computes with others of its `_inputs`, and so does the episode that is given."""
    own = [*learner.parameters(), *learner.buffers()]
    instead = {id(value): other for value, other in zip(own, tensors, strict=False)}
    rest = iter(tensors[len(own) :])
    batches = [{name: next(rest) for name in batch} for batch in (*episode.support, episode.query)]
    tables = [table for part in learner.modules() for table in (part._parameters, part._buffers)]
    before = [dict(table) for table in tables]
    try:
        for table in tables:
            table.update({name: instead[id(value)] for name, value in table.items() if value is not None})
        yield Episode(episode.tasks, tuple(batches[:-1]), batches[-1])
    finally:
        for table, values in zip(tables, before, strict=True):
            table.update(values)


def _steps(result: MetaGradient | Adapted) -> list[InnerStep]:
    return result.steps if isinstance(result, Adapted) else result[2]


def _tensors(result: MetaGradient | Adapted) -> list[Tensor]:
    found = result.parameters.values() if isinstance(result, Adapted) else (result[0], *result[1])
    return [*found, *(step.losses for step in _steps(result))]


def _filled(like: Any, tensors: Sequence[Tensor]) -> Any:
    """A result like another one, with the tensors that `_tensors` would give."""
    steps = _steps(like)
    count = len(tensors) - len(steps)
    taken = [replace(step, losses=losses) for step, losses in zip(steps, tensors[count:], strict=True)]
    if isinstance(like, Adapted):
        return Adapted(dict(zip(like.parameters, tensors[:count], strict=True)), list(like.labels), taken)
    return tensors[0], list(tensors[1:count]), taken


def _agree(found: Any, compiled: Any, learner: nn.Module) -> bool:
    """Are two results the same but for rounding? How far parameters have moved is compared, not where they are."""
    omega = dict(learner.named_parameters())
    for ours, theirs in zip(_tensors(found), _tensors(compiled), strict=True):
        if ours.shape != theirs.shape:
            return False
    groups = []
    for result in (found, compiled):
        moved = (
            [value - omega[name] for name, value in result.parameters.items()]
            if isinstance(result, Adapted)
            else result[1]
        )
        losses = [step.losses for step in _steps(result)] + ([] if isinstance(result, Adapted) else [result[0]])
        groups.append([torch.cat([value.flatten().double() for value in part]) for part in (moved, losses) if part])
    precise = all(value.dtype == torch.float64 for value in _tensors(found))
    tolerance = 1e-9 if precise else 1e-3
    return all((a - b).norm() <= tolerance * a.norm() for a, b in zip(*groups, strict=True))


def _simplified(graph: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """The same numbers by fewer and faster operations.

    Autograd multiplies by 1 a good deal, `vmap` gives tensors the shape that they have, and nothing here is
    differentiated any more. Products of a few columns take MKL up to five times as long as their transposes, of a few
    rows. So does a sum of a tensor and a transposed one beside that of two which lie alike: a product that is only
    wanted transposed is computed so.
    """
    aten = torch.ops.aten
    for node in graph.graph.nodes:
        if node.target in (aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default  # for what is turned later
        if node.target is aten.reshape.default and node.args[0].target is aten.reshape.default:
            node.args = (node.args[0].args[0], node.args[1])
        if _changes_nothing(node):
            node.replace_all_uses_with(node.args[0])
    graph.graph.eliminate_dead_code()
    for node in graph.graph.nodes:
        if node.target is aten.bmm.default:
            left, right = node.args
            (_, rows, inner), columns = left.meta["val"].shape, right.meta["val"].shape[2]
            if inner == 1:
                node.target = aten.mul.Tensor  # of a column and a row
            elif (columns < rows and columns <= _FEW) or (columns <= rows and all(map(_turns, node.users))):
                with graph.graph.inserting_before(node):
                    product = graph.graph.call_function(aten.bmm.default, (_turned(right), _turned(left)))
                    product.meta["val"] = node.meta["val"].mT
                node.target, node.args = aten.transpose.int, (product, 1, 2)
        elif _turns(node) and _turns(node.args[0]):
            node.replace_all_uses_with(node.args[0].args[0])
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _changes_nothing(node: torch.fx.Node) -> bool:
    """Does an operation give its first argument as it is?"""
    aten = torch.ops.aten
    if node.target in (aten.mul.Scalar, aten.div.Scalar, aten.pow.Tensor_Scalar):
        return node.args[1] == 1
    if node.target in (aten.reshape.default, aten.expand.default):
        return node.meta["val"].shape == node.args[0].meta["val"].shape
    return node.target is aten.detach.default


def _turns(node: torch.fx.Node) -> bool:
    """Does it transpose matrices, (n, rows, columns)?"""
    if node.target is not torch.ops.aten.transpose.int:
        return False
    return node.meta["val"].ndim == 3 and {place % 3 for place in node.args[1:]} == {1, 2}


def _turned(node: torch.fx.Node) -> torch.fx.Node:
    """The transposes of matrices, by an operation only where they are not there already."""
    if _turns(node):
        return node.args[0]
    found = node.graph.call_function(torch.ops.aten.transpose.int, (node, 1, 2))
    found.meta["val"] = node.meta["val"].mT
    return found


class _Itself:
    """An object that only is equal to itself, and stays there as long as it is compared with."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


_PLAIN = (type(None), bool, int, float, complex, str, bytes, type, torch.dtype, torch.device)


def _structure(learner: nn.Module) -> Hashable:
    """What a learner computes, whatever the numbers in its parameters and buffers are: its parts and their attributes.

    Copies of a learner have the same structure. Functions are compared by their code and what they hold, objects by
    their attributes, and what has none only is equal to itself.
    """
    inputs = {id(value) for value in (*learner.parameters(), *learner.buffers())}
    number: dict[int, int] = {}

    def told(value: Any) -> Hashable:
        if isinstance(value, _PLAIN):
            return type(value), value  # since 1 == 1.0 == True
        if id(value) in number:
            return "again", number[id(value)]
        number[id(value)] = len(number)
        if id(value) in inputs:
            return tuple(value.shape), value.dtype, value.device, value.requires_grad
        if isinstance(value, Tensor):
            return _Itself(value), value._version
        if isinstance(value, MethodType):
            return "method", told(value.__func__), told(value.__self__)
        if isinstance(value, FunctionType):
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            return value.__code__, value.__module__, told(value.__defaults__), told(value.__kwdefaults__), told(cells)
        if isinstance(value, dict):
            return type(value), tuple((told(key), told(each)) for key, each in value.items())
        if isinstance(value, list | tuple | set):
            return type(value), tuple(map(told, sorted(value, key=repr) if isinstance(value, set) else value))
        attributes = getattr(value, "__dict__", None)
        return (type(value), told(attributes)) if attributes is not None else _Itself(value)

    return told(learner)
