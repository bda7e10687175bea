"""The meta-gradient in chunks of tasks: the numbers of autograd's one graph, from a part of its memory."""

import gc
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inner import GROUPINGS, TREE, bert_episode, bert_head, flat, higher_meta_gradient, mlp, one_line, relative
from torch import nn

from minimeta import clusters, inner, sketch
from minimeta.errors import InputError
from minimeta.gradient import meta_gradient
from minimeta.grouping import Weighted, alone, everyone, fixed_tree, learned_tree
from minimeta.inner import InnerLoop, Learner, adapt, query_losses, squared_error
from minimeta.outer import evaluate, meta_train
from minimeta.tasks import Episode, FourierRegression, branching_curves, sinusoids

ROUNDING = 1e-10  # in float64, relative


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def fresh_support(steps, tasks=8):
    """A batch for each inner step, for the first so many tasks."""
    drawn = [branching_curves(TREE)(step) for step in range(steps)]
    support = tuple({name: value[:tasks] for name, value in each.support[0].items()} for each in drawn)
    return Episode(TREE.leaves, support, drawn[0].query)


def assert_same(learner, episode, grouping, steps, chunk, rate=0.05, first_order=False):
    """The loss, the gradient and the record in chunks are those of the plain path; returns the gradient."""
    loss, plain, record = meta_gradient(learner, episode, InnerLoop(grouping, steps, rate, first_order))
    chunked, gradient, seen = meta_gradient(learner, episode, InnerLoop(grouping, steps, rate, first_order, chunk))
    assert [g.shape for g in gradient] == [p.shape for p in learner.parameters() if p.requires_grad]
    assert relative(flat(gradient), flat(plain)) <= ROUNDING
    torch.testing.assert_close(chunked, loss)
    assert not chunked.requires_grad and not any(g.requires_grad for g in gradient)
    for one, other in zip(record, seen, strict=True):
        assert (one.labels, one.weights) == (other.labels, other.weights)
        torch.testing.assert_close(one.losses, other.losses)
    return flat(gradient)


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("chunk", [1, 2, 3, 8, 99])
@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
def test_the_plain_gradient(grouping, chunk, first_order):
    assert_same(mlp(), branching_curves(TREE)(0), GROUPINGS[grouping], 4, chunk, first_order=first_order)


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_the_gradient_of_higher(grouping):
    for learner, episode in ((mlp(), branching_curves(TREE)(0)), (bert_head(), bert_episode())):
        _, gradient, _ = meta_gradient(learner, episode, InnerLoop(GROUPINGS[grouping], 4, 0.05, tasks_per_chunk=3))
        expected = higher_meta_gradient(learner, episode, GROUPINGS[grouping])
        assert relative(flat(gradient), expected) <= ROUNDING


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
def test_a_fresh_support_batch_for_each_step(grouping, first_order):
    one = assert_same(mlp(), fresh_support(4), GROUPINGS[grouping], 4, 3, first_order=first_order)
    other = assert_same(mlp(), branching_curves(TREE)(0), GROUPINGS[grouping], 4, 3, first_order=first_order)
    assert relative(one, other) > 1e-3


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("supported", [5, 7])
def test_tasks_without_support_and_clusters_without_data(grouping, supported):
    """The zero-shot targets share the steps of clusters with data, and take none in clusters of their own."""
    episode = fresh_support(4, supported)
    for chunk in (1, 3):
        assert_same(mlp(), episode, GROUPINGS[grouping], 4, chunk)
    for chunk in (1, 3):
        assert_same(mlp(), episode, GROUPINGS[grouping], 4, chunk, first_order=True)


@pytest.mark.parametrize("queried", [1, 3])
def test_fewer_tasks_in_the_query(queried):
    whole = branching_curves(TREE)(0)
    episode = Episode(whole.tasks, whole.support, {name: value[8 - queried :] for name, value in whole.query.items()})
    for grouping in ("alone", "everyone", "fixed", "learned"):
        for chunk in (1, 2):
            assert_same(mlp(), episode, GROUPINGS[grouping], 3, chunk)


def test_a_target_with_query_data_alone():
    whole = fresh_support(4, 7)
    episode = Episode(whole.tasks, whole.support, {name: value[7:] for name, value in whole.query.items()})
    assert_same(mlp(), episode, fixed_tree(TREE), 4, 2)


@pytest.mark.parametrize("chunk", [1, 3])
def test_no_inner_steps(chunk):
    assert_same(mlp(), branching_curves(TREE)(0), alone(), 0, chunk)


def test_frozen_parameters_and_those_that_the_loss_is_linear_in_or_does_not_use():
    class Odd(nn.Module):
        def __init__(self, curved):
            super().__init__()
            self.curved = curved
            self.slope, self.shift = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(0.1))
            self.unused, self.frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1), requires_grad=False)

        def forward(self, batch):
            return (batch["y"][:, 0] - self.frozen) * (self.slope if self.curved else 1) + self.shift * batch["x"][:, 0]

    for curved in (True, False):
        gradient = assert_same(Odd(curved), sinusoids(tasks=4)(0), alone(), 2, 2)
        assert len(gradient) == 4 and not gradient[2:].any()
    learner = mlp()
    learner.module[0].requires_grad_(False)
    assert_same(learner, branching_curves(TREE)(0), fixed_tree(TREE), 3, 2)


def random_splits(seed, tasks):
    """A grouping that divides each cluster at random, tasks in no order, and may merge none."""

    def group(step, names, parents, gradients=None):
        drawn = np.random.default_rng((seed, step)).integers(0, 2, tasks)
        return [2 * parent + int(side) for parent, side in zip(parents, drawn, strict=True)]

    return group


@settings(max_examples=40, deadline=None)
@given(
    tasks=st.integers(1, 7),
    unsupported=st.integers(0, 2),
    unqueried=st.integers(0, 3),
    steps=st.integers(0, 4),
    chunk=st.integers(1, 9),
    fresh=st.booleans(),
    first_order=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_tree_any_chunk(tasks, unsupported, unqueried, steps, chunk, fresh, first_order, seed):
    with_support, queried = max(1, tasks - unsupported), max(1, tasks - unqueried)
    torch.manual_seed(seed)
    learner = Learner(nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)), squared_error)
    drawn = [sinusoids(tasks, 3, 2, seed=seed)(i) for i in range(max(steps, 1) if fresh else 1)]
    support = tuple({name: value[:with_support] for name, value in each.support[0].items()} for each in drawn)
    query = {name: value[tasks - queried :] for name, value in drawn[0].query.items()}
    episode = Episode(drawn[0].tasks, support, query)
    assert_same(learner, episode, random_splits(seed, tasks), steps, chunk, 0.03, first_order)


def test_finite_differences():
    learner, episode = mlp(), branching_curves(TREE)(3)
    gradient = flat(meta_gradient(learner, episode, InnerLoop(fixed_tree(TREE), 4, 0.05, tasks_per_chunk=3))[1])
    direction = torch.randn(len(gradient), generator=torch.Generator().manual_seed(2))
    start = nn.utils.parameters_to_vector(learner.parameters()).detach()

    def loss_at(shift):
        with torch.no_grad():
            nn.utils.vector_to_parameters(start + shift * direction, learner.parameters())
            adapted = adapt(learner, episode, fixed_tree(TREE), 4, 0.05)
            return query_losses(learner, adapted, episode).mean().item()

    slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    assert slope == pytest.approx((gradient @ direction).item(), rel=1e-6)


def test_adaptation_alone_in_chunks():
    learner, episode = mlp(), fresh_support(4, 7)
    for grouping, chunk in itertools.product(GROUPINGS, (1, 3)):
        for first_order in (True, False):
            plain = adapt(learner, episode, GROUPINGS[grouping], 4, 0.05, first_order)
            parts = adapt(learner, episode, GROUPINGS[grouping], 4, 0.05, first_order, chunk)
            assert parts.labels == plain.labels
            for name, value in plain.parameters.items():
                torch.testing.assert_close(parts.parameters[name], value)
    whole, part = (next(evaluate(learner, [branching_curves(TREE)(0)], alone(), 4, 0.05, n)) for n in (None, 2))
    torch.testing.assert_close(part.losses, whole.losses)


# Memory


def peak_of_saved_bytes(call):
    """The most bytes that autograd keeps for backward passes at one time."""
    now = most = 0

    class Kept:
        def __init__(self, tensor):
            nonlocal now, most
            self.tensor = tensor
            now += tensor.nbytes
            most = max(most, now)

        def __del__(self):
            nonlocal now
            now -= self.tensor.nbytes

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        call()
    return most


@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("grouping", ["everyone", "fixed", "learned"])
def test_memory_falls_with_the_chunk(grouping, first_order):
    """Of what autograd keeps for the plain gradient, one task of eight at a time keeps a small part."""
    learner, episode = bert_head(), bert_episode(shots=6, queries=6)

    def peak(chunk):
        return peak_of_saved_bytes(
            lambda: meta_gradient(learner, episode, InnerLoop(GROUPINGS[grouping], 4, 0.05, first_order, chunk))
        )

    plain, four, one = peak(None), peak(4), peak(1)
    assert one < four < plain
    assert one < plain / (3 if first_order else 8)


def test_no_more_tasks_than_asked_for_are_computed_together(monkeypatch):
    """That holds for the support, the query and the gradients that a learned tree looks at."""
    real, seen = clusters.task_losses, []

    def counted(learner, theta, labels, batch):
        seen.append(len(batch["x"]))
        return real(learner, theta, labels, batch)

    for module in (inner, sketch):
        monkeypatch.setattr(module, "task_losses", counted)
    meta_gradient(mlp(), branching_curves(TREE)(0), InnerLoop(learned_tree(), 4, 0.05, tasks_per_chunk=3))
    assert set(seen) == {2, 3}
    assert sum(seen) == 8 * (4 + 4 + 1 + 4)  # sketches, gradients, the query, curvature


def test_the_learner_is_left_alone_and_memory_does_not_grow():
    learner, draw, counts = mlp(), branching_curves(TREE), []
    before = nn.utils.parameters_to_vector(learner.parameters()).detach().clone()
    for step in range(6):
        meta_gradient(learner, draw(step), InnerLoop(fixed_tree(TREE), 4, 0.05, tasks_per_chunk=3))
        gc.collect()
        counts.append(sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()))
    assert counts[-1] <= counts[1]
    assert torch.equal(nn.utils.parameters_to_vector(learner.parameters()), before)
    assert all(p.grad is None and p.requires_grad for p in learner.parameters())


# Training


def trained(outer_steps=6, **how):
    torch.manual_seed(0)
    learner = Learner(FourierRegression(), squared_error)
    run = meta_train(learner, branching_curves(TREE), fixed_tree(TREE), 4, 0.1, outer_steps, 1e-2, **how)
    return list(run), nn.utils.parameters_to_vector(learner.parameters()).detach()


@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
def test_training_in_chunks_is_the_same_training(first_order):
    reports, parameters = trained(first_order=first_order)
    chunked, same = trained(first_order=first_order, tasks_per_chunk=3)
    torch.testing.assert_close(same, parameters)
    for one, other in zip(reports, chunked, strict=True):
        assert one.outer_loss == pytest.approx(other.outer_loss)
        assert one.clusters == other.clusters
        torch.testing.assert_close(one.support_losses, other.support_losses)
    assert not torch.allclose(trained(first_order=not first_order)[1], parameters)


def test_training_that_goes_wrong_says_the_same_sentence_in_chunks():
    def poisoned(part):
        def draw(step):
            episode = branching_curves(TREE)(step)
            batch = episode.query if part == "query" else episode.support[0]
            batch["y"][4, 0] = float("nan")
            return episode

        return draw

    for part, words in (("query", r"outer loss is nan at outer step 1"), ("support", r"task 1\.0\.0 is nan at inner")):
        for chunk in (None, 1, 3):
            learner = Learner(FourierRegression(), squared_error)
            before = learner.module.weights.weight.detach().clone()
            run = meta_train(learner, poisoned(part), fixed_tree(TREE), 4, 0.1, 3, tasks_per_chunk=chunk)
            with pytest.raises(InputError, match=words):
                next(run)
            assert torch.equal(learner.module.weights.weight, before) and run.step == 0


# What cannot be done


@pytest.mark.parametrize("chunk", [0, -1])
def test_chunks_of_no_task(chunk):
    learner, episode = mlp(), branching_curves(TREE)(0)
    for call in (
        lambda: meta_gradient(learner, episode, InnerLoop(alone(), 1, 0.1, tasks_per_chunk=chunk)),
        lambda: adapt(learner, episode, alone(), 1, 0.1, tasks_per_chunk=chunk),
        lambda: meta_train(learner, branching_curves(TREE), alone(), 1, 0.1, 1, tasks_per_chunk=chunk),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert f"tasks per chunk is {chunk}" in one_line(error)


@pytest.mark.parametrize(("steps", "rate", "words"), [(-1, 0.1, "inner steps is -1"), (1, 0.0, "inner rate is 0.0")])
def test_what_adapt_refuses_is_refused(steps, rate, words):
    with pytest.raises(InputError) as error:
        meta_gradient(mlp(), sinusoids(tasks=2)(0), InnerLoop(alone(), steps, rate, tasks_per_chunk=1))
    assert words in one_line(error)


def test_dropout_that_would_draw_another_mask_in_the_second_pass():
    learner = Learner(nn.Sequential(nn.Linear(1, 9), nn.Dropout(0.5), nn.Linear(9, 1)), squared_error).train()
    episode = sinusoids(tasks=3)(0)
    with pytest.raises(InputError) as error:
        meta_gradient(learner, episode, InnerLoop(everyone(), 1, 0.01, tasks_per_chunk=1))
    assert "draws random numbers" in one_line(error)
    meta_gradient(learner, episode, InnerLoop(everyone(), 1, 0.01, first_order=True, tasks_per_chunk=1))
    assert_same(learner.eval(), episode, everyone(), 2, 1)


def test_attention_without_a_second_derivative():
    learner = bert_head()
    learner.module.layer.attention.self.config._attn_implementation = "sdpa"
    with pytest.raises(InputError) as error:
        meta_gradient(learner, bert_episode(), InnerLoop(alone(), 1, 0.05, tasks_per_chunk=2))
    assert "sdpa" in one_line(error)


def last_layer(name):
    return name.startswith("module.4.")


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_where_inner_steps_move_the_last_layer_alone(grouping, first_order, chunk):
    """The gradient is that of all parameters, in chunks and by `higher`; the others stay at ω."""
    learner, episode = mlp(), branching_curves(TREE)(0)
    loop = (GROUPINGS[grouping], 3, 0.05, first_order)
    loss, plain, record = meta_gradient(learner, episode, InnerLoop(*loop, moves=last_layer))
    again, gradient, _ = meta_gradient(learner, episode, InnerLoop(*loop, chunk, last_layer))
    assert [g.shape for g in gradient] == [p.shape for p in learner.parameters()]
    assert relative(flat(gradient), flat(plain)) <= ROUNDING and torch.allclose(loss, again)
    assert all(g.abs().max() > 0 for g in gradient)
    assert set(adapt(learner, episode, *loop, moves=last_layer).parameters) == {"module.4.weight", "module.4.bias"}
    if not first_order:
        expected = higher_meta_gradient(learner, episode, *loop[:3], moves=last_layer)
        assert relative(flat(plain), expected) <= ROUNDING
    assert record and relative(flat(plain), flat(meta_gradient(learner, episode, InnerLoop(*loop))[1])) > 0.01


def test_inner_steps_have_to_move_something():
    with pytest.raises(InputError, match=r"move none of the learner's parameters: module.0.weight, .*; choose some"):
        meta_gradient(mlp(), branching_curves(TREE)(0), InnerLoop(alone(), 1, 0.1, moves=lambda name: False))


def weighted(grouping, counts):
    return lambda step, tasks, parents, gradients: Weighted(grouping(step, tasks, parents, gradients), counts)


@pytest.mark.parametrize("grouping", ["everyone", "fixed", "uneven", "learned"])
def test_a_weighted_mean_counts_tasks_as_the_grouping_says(grouping):
    """In the plain form, in chunks and by `higher`; counts that are all the same change nothing."""
    learner, episode = mlp(), branching_curves(TREE)(0)
    counts = [1.0, 2.0, 0.5, 4.0, 1.0, 3.0, 0.25, 2.0]
    gradient = assert_same(learner, episode, weighted(GROUPINGS[grouping], counts), 3, 3)
    expected = higher_meta_gradient(learner, episode, weighted(GROUPINGS[grouping], counts), 3)
    assert relative(gradient, expected) <= ROUNDING
    _, even, record = meta_gradient(learner, episode, InnerLoop(weighted(GROUPINGS[grouping], [7.0] * 8), 3, 0.05))
    _, usual, _ = meta_gradient(learner, episode, InnerLoop(GROUPINGS[grouping], 3, 0.05))
    assert relative(flat(even), flat(usual)) <= ROUNDING < relative(gradient, flat(usual))
    for step in record:
        sums = np.bincount(step.labels, step.weights)
        np.testing.assert_allclose(sums, 1)


def test_a_weighted_step_by_hand():
    """Two tasks, y = w x, one cluster: the step is three quarters of the one gradient and a quarter of the other."""
    learner, x = Learner(nn.Linear(1, 1, bias=False), squared_error), torch.tensor([[[1.0]], [[2.0]]])
    batch = {"x": x, "y": torch.zeros_like(x)}
    w = learner.module.weight.item()
    adapted = adapt(learner, Episode(("a", "b"), (batch,), batch), weighted(everyone(), [3, 1]), 1, 0.1)
    assert adapted.parameters["module.weight"].item() == pytest.approx(w - 0.1 * (0.75 * 2 * w + 0.25 * 8 * w))


def test_weights_count_among_the_tasks_with_support():
    """A zero-shot target, last, has no gradient to weigh: the others' weights add up to 1 without it."""
    episode = branching_curves(TREE)(0)
    zero_shot = Episode(episode.tasks, ({n: v[:7] for n, v in episode.support[0].items()},), episode.query)
    (step,) = adapt(mlp(), zero_shot, weighted(everyone(), range(1, 9)), 1, 0.1).steps
    assert step.weights == pytest.approx([count / 28 for count in range(1, 8)])


@pytest.mark.parametrize("counts", [[1.0] * 7, [1.0] * 7 + [0.0], [1.0] * 7 + [-1.0], [float("nan")] * 8])
def test_weights_that_cannot_be_used(counts):
    with pytest.raises(InputError, match=r"weighs the tasks by .* at step 1; give each of the 8 tasks a finite number"):
        adapt(mlp(), branching_curves(TREE)(0), weighted(everyone(), counts), 1, 0.1)
