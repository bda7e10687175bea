"""The inner loop as equations: equality with `higher`, finite differences, limits, and what bad input says."""

import gc

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from minimeta.errors import InputError
from minimeta.grouping import alone, everyone, fixed_tree, learned_tree, random_tree
from minimeta.inner import Learner, adapt, cross_entropy, query_losses, squared_error, trainable
from minimeta.reference import adapt_with_higher
from minimeta.tasks import Episode, balanced_tree, branching_curves, sinusoids
from minimeta.text.heads import Head

TREE = balanced_tree((2, 2, 2))
GROUPINGS = {
    "alone": alone(),
    "everyone": everyone(),
    "fixed": fixed_tree(TREE),
    "random": random_tree(TREE, 1),
    "learned": learned_tree(),
    "learned, one tree": learned_tree(depth=3),
    "uneven": fixed_tree(TREE.from_newick("(0.0.0,(0.0.1,(0.1.0,0.1.1)),(1.0.0,1.0.1,1.1.0,1.1.1));")),
}


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def precision(request):
    torch.set_default_dtype(request.param)
    yield {torch.float32: 1e-5, torch.float64: 1e-10}[request.param]
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def mlp():
    torch.manual_seed(0)
    layers = [nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1)]
    return Learner(nn.Sequential(*layers), squared_error)


def bert_head():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=24, num_hidden_layers=1, num_attention_heads=3, intermediate_size=48, num_labels=3
    )
    model = BertForSequenceClassification._from_config(config, attn_implementation="eager").eval()
    model.to(torch.get_default_dtype())
    return Learner(Head(model.bert.encoder.layer[0], model.bert.pooler, model.classifier), cross_entropy)


def bert_episode(shots=3, queries=4):
    rng = torch.Generator().manual_seed(1)
    n = shots + queries
    batch = {
        "hidden": torch.randn(8, n, 7, 24, generator=rng, dtype=torch.get_default_dtype()),
        "mask": torch.ones(8, n, 7, dtype=torch.long),
        "y": torch.randint(3, (8, n), generator=rng),
    }
    batch["mask"][:, ::2, 5:] = 0
    support = {name: value[:, :shots] for name, value in batch.items()}
    return Episode(TREE.leaves, (support,), {name: value[:, shots:] for name, value in batch.items()})


def meta_gradient(learner, episode, grouping, steps=4, rate=0.05, **how):
    adapted = adapt(learner, episode, grouping, steps, rate, **how)
    return flat(torch.autograd.grad(query_losses(learner, adapted, episode).mean(), list(learner.parameters())))


def higher_meta_gradient(learner, episode, grouping, steps=4, rate=0.05, **how):
    copies = adapt_with_higher(learner, episode, grouping, steps, rate, **how)
    losses = [copy({n: v[i] for n, v in episode.query.items()}).mean() for i, copy in enumerate(copies)]
    return flat(torch.autograd.grad(torch.stack(losses).mean(), list(learner.parameters())))


def flat(parts):
    return torch.cat([part.flatten() for part in parts])


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_same_meta_gradient_as_higher_for_an_mlp(precision, grouping):
    learner, episode = mlp(), branching_curves(TREE)(0)
    ours = meta_gradient(learner, episode, GROUPINGS[grouping])
    assert relative(ours, higher_meta_gradient(learner, episode, GROUPINGS[grouping])) <= precision


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_same_meta_gradient_as_higher_for_a_bert_head(precision, grouping):
    learner, episode = bert_head(), bert_episode()
    ours = meta_gradient(learner, episode, GROUPINGS[grouping])
    assert relative(ours, higher_meta_gradient(learner, episode, GROUPINGS[grouping])) <= precision


@pytest.mark.parametrize("grouping", ["alone", "fixed", "everyone"])
def test_meta_gradient_agrees_with_finite_differences(double, grouping):
    learner, episode = mlp(), branching_curves(TREE)(3)
    gradient = meta_gradient(learner, episode, GROUPINGS[grouping])
    direction = torch.randn(len(gradient), generator=torch.Generator().manual_seed(2))
    start = nn.utils.parameters_to_vector(learner.parameters()).detach()

    def loss_at(shift):
        with torch.no_grad():
            nn.utils.vector_to_parameters(start + shift * direction, learner.parameters())
            adapted = adapt(learner, episode, GROUPINGS[grouping], 4, 0.05)
            return query_losses(learner, adapted, episode).mean().item()

    slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    assert slope == pytest.approx((gradient @ direction).item(), rel=1e-6)


def test_a_scalar_problem_by_hand(double):
    """Loss (w x - y)^2, one shot (x, y) = (1, 2), one query (3, 3), w = 1, rate 0.1, one step.

    The gradient is 2 (w - 2) = -2, so θ = 1.2; the query loss is (3.6 - 3)^2 = 0.36, and its gradient with respect
    to w is 2 * 0.6 * 3 * dθ/dw with dθ/dw = 1 - 0.1 * 2 = 0.8: 2.88, or 3.6 without the second-order term.
    """
    module = nn.Linear(1, 1, bias=False)
    nn.init.ones_(module.weight)
    learner = Learner(module, squared_error)
    one, three = torch.ones(1, 1, 1), torch.full((1, 1, 1), 3.0)
    episode = Episode(("task",), ({"x": one, "y": 2 * one},), {"x": three, "y": three})
    adapted = adapt(learner, episode, alone(), 1, 0.1)
    assert adapted.of(0)["module.weight"].item() == pytest.approx(1.2)
    assert query_losses(learner, adapted, episode).item() == pytest.approx(0.36)
    assert meta_gradient(learner, episode, alone(), 1, 0.1).item() == pytest.approx(2.88)
    assert meta_gradient(learner, episode, alone(), 1, 0.1, first_order=True).item() == pytest.approx(3.6)


def test_every_task_alone_is_maml(double):
    """K plain SGD steps per task, written out with autograd, end where `adapt` ends."""
    learner, episode = mlp(), sinusoids(tasks=5)(0)
    adapted = adapt(learner, episode, alone(), 3, 0.05)
    for task in range(5):
        theta = {name: p.detach().clone().requires_grad_() for name, p in learner.named_parameters()}
        batch = {name: value[task] for name, value in episode.support[0].items()}
        for _ in range(3):
            loss = torch.func.functional_call(learner, theta, (batch,)).mean()
            gradients = torch.autograd.grad(loss, list(theta.values()))
            theta = {
                n: (p - 0.05 * g).detach().requires_grad_() for (n, p), g in zip(theta.items(), gradients, strict=True)
            }
        for name, value in adapted.of(task).items():
            torch.testing.assert_close(value, theta[name])


def test_no_inner_steps_leave_omega():
    learner, episode = mlp(), sinusoids(tasks=3)(0)
    adapted = adapt(learner, episode, alone(), 0, 0.1)
    assert adapted.labels == [0, 0, 0]
    assert adapted.steps == []
    for name, p in learner.named_parameters():
        assert torch.equal(adapted.of(2)[name], p)


def test_one_cluster_gives_all_tasks_the_same_parameters():
    learner, episode = mlp(), sinusoids(tasks=6)(0)
    adapted = adapt(learner, episode, everyone(), 3, 0.05)
    assert all(len(value) == 1 for value in adapted.parameters.values())
    assert set(adapted.labels) == {0}


def test_parameter_copies_grow_with_clusters_not_tasks():
    learner, episode = mlp(), branching_curves(TREE)(0)
    copies = [len(adapt(learner, episode, fixed_tree(TREE), k, 0.05).parameters["module.0.weight"]) for k in range(5)]
    assert copies == [1, 1, 2, 4, 8]


def test_first_order_differs_from_second_order():
    learner, episode = mlp(), branching_curves(TREE)(0)
    first = meta_gradient(learner, episode, fixed_tree(TREE), first_order=True)
    second = meta_gradient(learner, episode, fixed_tree(TREE))
    assert relative(first, second) > 0.01


def test_first_order_is_the_query_gradient_at_the_adapted_parameters(double):
    learner, episode = mlp(), branching_curves(TREE)(0)
    with torch.no_grad():
        adapted = adapt(learner, episode, fixed_tree(TREE), 4, 0.05)
    total = 0
    for task in range(8):
        theta = {n: p.clone().requires_grad_() for n, p in adapted.of(task).items()}
        loss = torch.func.functional_call(learner, theta, ({n: v[task] for n, v in episode.query.items()},)).mean()
        total = total + flat(torch.autograd.grad(loss, list(theta.values())))
    assert relative(meta_gradient(learner, episode, fixed_tree(TREE), first_order=True), total / 8) < 1e-12


def test_first_order_works_with_frozen_parameters():
    learner, episode = mlp(), branching_curves(TREE)(0)
    learner.module[0].requires_grad_(False)
    adapted = adapt(learner, episode, alone(), 2, 0.05)
    assert "module.0.weight" not in adapted.parameters
    assert "module.4.weight" in adapted.parameters


def test_a_fresh_support_batch_for_each_step_is_used_in_turn(double):
    learner = mlp()
    first, second = branching_curves(TREE)(0), branching_curves(TREE)(1)
    both = Episode(first.tasks, (*first.support, *second.support), first.query)
    fresh = adapt(learner, both, alone(), 2, 0.05)
    with torch.no_grad():
        halfway = adapt(learner, first, alone(), 1, 0.05)
    torch.testing.assert_close(fresh.steps[0].losses, adapt(learner, first, alone(), 1, 0.05).steps[0].losses)
    batch = {name: value[3] for name, value in second.support[0].items()}
    expected = torch.func.functional_call(learner, halfway.of(3), (batch,)).mean()
    torch.testing.assert_close(fresh.steps[1].losses[3], expected)


def test_a_task_without_support_moves_with_its_cluster_and_stops_where_there_is_no_data(double):
    """The zero-shot target: it shares the steps of clusters with data, and takes none in a cluster of its own."""
    learner, episode = mlp(), branching_curves(TREE)(0)
    support = ({name: value[:7] for name, value in episode.support[0].items()},)
    adapted = adapt(learner, Episode(episode.tasks, support, episode.query), fixed_tree(TREE), 4, 0.05)
    three = adapt(learner, Episode(episode.tasks, support, episode.query), fixed_tree(TREE), 3, 0.05)
    assert adapted.labels[7] not in adapted.labels[:7]
    for name, value in adapted.of(7).items():
        torch.testing.assert_close(value, three.of(7)[name])
        torch.testing.assert_close(value, three.of(6)[name])


def test_the_record_holds_losses_labels_and_weights(double):
    learner, episode = mlp(), branching_curves(TREE)(0)
    adapted = adapt(learner, episode, fixed_tree(TREE), 3, 0.05)
    assert [max(step.labels) + 1 for step in adapted.steps] == [1, 2, 4]
    first = adapted.steps[0]
    losses = [learner({n: v[i] for n, v in episode.support[0].items()}).mean() for i in range(8)]
    torch.testing.assert_close(first.losses, torch.stack(losses).detach())
    assert [step.weights for step in adapted.steps] == [[1 / 8] * 8, [1 / 4] * 8, [1 / 2] * 8]


def test_no_grad_gives_the_same_parameters_without_a_graph():
    learner, episode = mlp(), branching_curves(TREE)(0)
    tracked = adapt(learner, episode, fixed_tree(TREE), 4, 0.05)
    with torch.no_grad():
        plain = adapt(learner, episode, fixed_tree(TREE), 4, 0.05)
    for name, value in plain.parameters.items():
        assert not value.requires_grad
        torch.testing.assert_close(value, tracked.parameters[name].detach())


def test_the_learner_itself_is_left_alone():
    learner, episode = mlp(), branching_curves(TREE)(0)
    before = nn.utils.parameters_to_vector(learner.parameters()).clone()
    meta_gradient(learner, episode, alone())
    assert torch.equal(nn.utils.parameters_to_vector(learner.parameters()), before)
    assert all(p.grad is None for p in learner.parameters())


def test_a_learner_with_a_scalar_parameter_can_be_adapted():
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.tensor(0.5))

        def forward(self, x):
            return x + self.shift

    adapted = adapt(Learner(Shift(), squared_error), sinusoids(tasks=3)(0), alone(), 2, 0.1)
    assert adapted.parameters["module.shift"].shape == (3,)
    assert adapted.steps[0].losses.shape == (3,)


def test_memory_does_not_grow_over_repeated_episodes():
    learner, draw = mlp(), branching_curves(TREE)
    counts = []
    for step in range(6):
        meta_gradient(learner, draw(step), fixed_tree(TREE))
        gc.collect()
        counts.append(sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()))
    assert counts[-1] <= counts[1]


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_labels_that_merge_clusters_raise():
    def merging(step, tasks, parents, gradients):
        return range(len(tasks)) if step == 1 else [0] * len(tasks)

    with pytest.raises(InputError) as error:
        adapt(mlp(), branching_curves(TREE)(0), merging, 2, 0.05)
    assert "never merge" in one_line(error)


def test_too_few_labels_raise():
    with pytest.raises(InputError) as error:
        adapt(mlp(), branching_curves(TREE)(0), lambda step, tasks, parents, gradients: [0], 1, 0.05)
    assert "1 labels for 8 tasks" in one_line(error)


@pytest.mark.parametrize(("steps", "rate", "words"), [(-1, 0.1, "inner steps is -1"), (1, 0.0, "inner rate is 0.0")])
def test_impossible_settings_raise(steps, rate, words):
    with pytest.raises(InputError) as error:
        adapt(mlp(), sinusoids(tasks=2)(0), alone(), steps, rate)
    assert words in one_line(error)


def test_support_that_does_not_fit_the_steps_raises():
    episode = sinusoids(tasks=2)(0)
    with pytest.raises(InputError) as error:
        adapt(mlp(), Episode(episode.tasks, episode.support * 2, episode.query), alone(), 3, 0.1)
    assert "2 support batches" in one_line(error)
    with pytest.raises(InputError) as error:
        adapt(mlp(), Episode(("one",), episode.support, episode.query), alone(), 3, 0.1)
    assert "2 tasks" in one_line(error)


def test_a_query_of_more_tasks_than_are_named_raises():
    whole = sinusoids(tasks=3)(0)
    support = {name: value[:2] for name, value in whole.support[0].items()}
    episode = Episode(whole.tasks[:2], (support,), whole.query)
    with pytest.raises(InputError) as error:
        adapt(mlp(), episode, alone(), 1, 0.01)
    assert "The query has 10 examples for each of 3 tasks, and 2 tasks are named" in one_line(error)
    fits = Episode(whole.tasks[:2], (support,), {name: value[:2] for name, value in whole.query.items()})
    adapted = adapt(mlp(), fits, alone(), 1, 0.01)
    with pytest.raises(InputError, match="3 tasks, and 2 tasks are named"):
        query_losses(mlp(), adapted, episode)


@pytest.mark.parametrize("where", ["support", "query"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda batch: batch | {"y": batch["y"][:2]},  # fewer tasks: it would be broadcast, or cut
        lambda batch: batch | {"y": batch["y"][:1]},
        lambda batch: batch | {"y": batch["y"][:, :1]},  # fewer examples
        lambda batch: batch | {"y": batch["y"][:, 0, 0]},
    ],
)
def test_tensors_of_a_batch_that_do_not_go_together_raise(where, damage):
    whole = sinusoids(tasks=3)(0)
    batches = {"support": whole.support[0], "query": whole.query}
    batches[where] = damage(batches[where])
    episode = Episode(whole.tasks, (batches["support"],), batches["query"])
    with pytest.raises(InputError) as error:
        adapt(mlp(), episode, everyone(), 1, 0.01)
    assert f"The {where} holds" in one_line(error)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 3)])
def test_squared_errors_are_of_the_same_shapes(shape):
    """Otherwise (n, 1) against (n,) would be (n, n), and nobody would know."""
    batch = {"x": torch.ones(3, 4, 1), "y": torch.ones(shape)}
    with pytest.raises(InputError) as error:
        adapt(mlp(), Episode(tuple("abc"), (batch,), {}), everyone(), 1, 0.01)
    assert "squared error compares the same" in one_line(error)


def test_a_loss_of_another_shape_than_one_for_each_example():
    learner = Learner(nn.Linear(1, 1), lambda outputs, y: (outputs - y).square())
    with pytest.raises(InputError, match=r"losses of shape \(10, 1\) for 10 examples"):
        adapt(learner, sinusoids(tasks=3)(0), everyone(), 1, 0.01)


def test_adapting_needs_no_query_and_scoring_does():
    whole = sinusoids(tasks=3)(0)
    episode = Episode(whole.tasks, whole.support, {})
    adapted = adapt(mlp(), episode, everyone(), 1, 0.01)
    with pytest.raises(InputError, match="The query holds nothing"):
        query_losses(mlp(), adapted, episode)
    with pytest.raises(InputError, match="The support holds nothing"):
        adapt(mlp(), Episode(whole.tasks, ({},), whole.query), everyone(), 1, 0.01)


def test_a_loss_that_averages_over_examples_raises():
    learner = Learner(nn.Linear(1, 1), nn.functional.mse_loss)
    for grouping in (alone(), everyone()):
        with pytest.raises(InputError) as error:
            adapt(learner, sinusoids(tasks=3)(0), grouping, 1, 0.1)
        assert "one loss per example" in one_line(error)


def test_a_loss_that_is_not_finite_names_the_task_and_the_rate():
    episode = sinusoids(tasks=3)(0)
    episode.support[0]["y"][1, 0] = float("nan")
    with pytest.raises(InputError) as error:
        adapt(mlp(), episode, alone(), 1, 0.125)
    assert "wave1 is nan at inner step 1" in one_line(error)
    assert "0.125" in one_line(error)


def test_a_learner_without_trainable_parameters_raises():
    learner = mlp()
    learner.requires_grad_(False)
    for use in (lambda: adapt(learner, sinusoids(tasks=2)(0), alone(), 1, 0.1), lambda: trainable(learner)):
        with pytest.raises(InputError) as error:
            use()
        assert "nothing to train" in one_line(error)


def test_running_statistics_are_refused_in_training_and_allowed_in_evaluation():
    learner = Learner(nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), squared_error)
    with pytest.raises(InputError) as error:
        adapt(learner, sinusoids(tasks=2)(0), everyone(), 1, 0.1)
    assert "BatchNorm1d" in one_line(error)
    learner.eval()
    before = learner.module[1].running_mean.clone()
    adapt(learner, sinusoids(tasks=2)(0), alone(), 1, 0.1)
    assert torch.equal(learner.module[1].running_mean, before)


def test_a_module_that_cannot_be_batched_is_run_cluster_by_cluster(double):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.out = nn.LSTM(1, 5, batch_first=True), nn.Linear(5, 1)

        def forward(self, x):
            return self.out(self.lstm(x[:, :, None])[0][:, -1])

    torch.manual_seed(0)
    learner, episode = Learner(Recurrent(), squared_error), branching_curves(TREE)(0)
    ours = meta_gradient(learner, episode, fixed_tree(TREE), steps=2)
    assert relative(ours, higher_meta_gradient(learner, episode, fixed_tree(TREE), steps=2)) < 1e-10
