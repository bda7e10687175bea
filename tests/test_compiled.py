"""The compiled meta-gradient is the plain one, or it is not compiled and says why."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from transformers import BertConfig, BertForSequenceClassification

from minimeta import compiled
from minimeta.compiled import KINDS, LONG, WATCHED, Compiled
from minimeta.errors import InputError
from minimeta.gradient import meta_gradient
from minimeta.grouping import Weighted, alone, everyone, fixed_tree, learned_tree
from minimeta.inner import InnerLoop, Learner, adapt, cross_entropy, squared_error
from minimeta.outer import evaluate, meta_train
from minimeta.studies import checkpoints
from minimeta.tasks import Episode, balanced_tree, branching_curves, sinusoids
from minimeta.text.heads import Head

TREE = balanced_tree((2, 3))


def small_net(seed: int = 0) -> Learner:
    torch.manual_seed(seed)
    return Learner(nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), squared_error)


def curves(shots: int = 4, fresh: int = 1):
    """Episodes on TREE, with so many support batches."""
    draws = [branching_curves(TREE, shots, 5, seed=seed) for seed in range(fresh)]
    return lambda step: Episode(TREE.leaves, tuple(draw(step).support[0] for draw in draws), draws[0](step).query)


def bert_head(episodes: int = 2) -> tuple[Learner, list[Episode]]:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 1}
    model = BertForSequenceClassification(BertConfig(vocab_size=9, num_labels=3, attn_implementation="eager", **sizes))
    model.eval()
    head = Head(model.bert.encoder.layer[0], model.bert.pooler, model.classifier)

    def batch(examples: int) -> dict[str, torch.Tensor]:
        lengths = torch.randint(3, 8, (6, examples, 1))
        return {
            "hidden": torch.randn(6, examples, 7, 16),
            "mask": (torch.arange(7) < lengths).long(),
            "y": torch.randint(3, (6, examples)),
        }

    return Learner(head, cross_entropy), [Episode(TREE.leaves, (batch(3),), batch(2)) for _ in range(episodes)]


def tensors(found) -> list[torch.Tensor]:
    return compiled._tensors(found)


def assert_same(found, expected, tolerance: float) -> None:
    for ours, theirs in zip(tensors(found), tensors(expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    ours, theirs = compiled._steps(found), compiled._steps(expected)
    assert [(step.labels, step.weights) for step in ours] == [(step.labels, step.weights) for step in theirs]


def weighted(step, tasks, parents, gradients=None):
    return Weighted([i // 3 for i in range(len(tasks))], [1.0, 2, 3, 1, 1, 5])


LOOPS = {
    "alone": InnerLoop(alone(), 3, 0.1),
    "everyone": InnerLoop(everyone(), 2, 0.1),
    "tree": InnerLoop(fixed_tree(TREE), 3, 0.1),
    "weighted": InnerLoop(weighted, 2, 0.1),
    "first order": InnerLoop(fixed_tree(TREE), 3, 0.1, first_order=True),
    "no inner steps": InnerLoop(alone(), 0, 0.1),
    "a part moves": InnerLoop(fixed_tree(TREE), 2, 0.1, moves=lambda name: name.startswith("module.2")),
}


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("name", LOOPS)
def test_trace_gives_the_plain_result(name, double):
    learner, draw = small_net(), curves(fresh=1)
    loop = LOOPS[name]
    run = Compiled("trace")

    def episode(step: int) -> Episode:
        drawn = draw(step)
        if not double:
            return drawn
        support, query = ({k: v.double() for k, v in batch.items()} for batch in (drawn.support[0], drawn.query))
        return Episode(drawn.tasks, (support,), query)

    learner = learner.double() if double else learner
    tolerance = 1e-10 if double else 1e-5
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is left to plain computing
        for step in range(3):
            assert_same(
                run.meta_gradient(learner, episode(step), loop), meta_gradient(learner, episode(step), loop), tolerance
            )
            with torch.no_grad():
                expected = adapt(learner, episode(step), **vars(loop))
            assert_same(run.adapt(learner, episode(step), loop), expected, tolerance)
    assert len(run.kinds) == 2


def test_a_fresh_support_batch_for_each_step():
    learner, draw, loop = small_net(), curves(fresh=3), LOOPS["tree"]
    run = Compiled("trace")
    for step in range(2):
        assert_same(run.meta_gradient(learner, draw(step), loop), meta_gradient(learner, draw(step), loop), 1e-5)
    assert run._ready


def test_inductor_gives_the_plain_result():
    learner, draw, loop, run = small_net(), curves(), InnerLoop(everyone(), 1, 0.1), Compiled("inductor")
    for step in range(2):
        assert_same(run.meta_gradient(learner, draw(step), loop), meta_gradient(learner, draw(step), loop), 1e-5)
    assert run._ready


def test_a_transformer_head():
    learner, episodes = bert_head()
    run, loop = Compiled("trace"), InnerLoop(fixed_tree(TREE), 2, 0.1)
    for episode in episodes:
        assert_same(run.meta_gradient(learner, episode, loop), meta_gradient(learner, episode, loop), 1e-5)
    assert run._ready and not run._refused


def test_operations_that_torchscript_lacks_run_all_the_same():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4, 3))
    learner, loop = Learner(net, cross_entropy), InnerLoop(alone(), 1, 0.1)
    batches = [{"x": torch.randn(2, 3, 1, 4, 4), "y": torch.randint(3, (2, 3))} for _ in range(4)]
    run = Compiled("trace")
    for support, query in (batches[:2], batches[2:]):
        episode = Episode(("a", "b"), (support,), query)
        assert_same(run.meta_gradient(learner, episode, loop), meta_gradient(learner, episode, loop), 1e-5)
    assert run._ready


def test_a_product_is_computed_as_it_is_wanted():
    def noted(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        same = x.view(2, 1, 4, 3).reshape(2, 4, 3).expand(2, 4, 3)
        return z + (same @ y).transpose(1, 2)

    given = torch.randn(2, 4, 3), torch.randn(2, 3, 4), torch.randn(2, 4, 4)
    graph = make_fx(noted, tracing_mode="fake")(*given)
    expected = graph(*given)
    graph = compiled._simplified(graph)
    torch.testing.assert_close(graph(*given), expected)
    left = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    aten = torch.ops.aten
    assert sorted(map(str, left)) == sorted(map(str, [aten.transpose.int] * 2 + [aten.bmm.default, aten.add.Tensor]))
    assert left[-2:] == [aten.bmm.default, aten.add.Tensor]  # what is added lies as what it is added to


def test_the_learner_is_left_as_it_was():
    learner, draw = small_net(), curves()
    before = dict(learner.named_parameters())
    values = copy.deepcopy(learner.state_dict())
    Compiled("trace").meta_gradient(learner, draw(0), LOOPS["tree"])
    after = dict(learner.named_parameters())
    assert all(after[name] is value and isinstance(value, nn.Parameter) for name, value in before.items())
    assert all(torch.equal(value, values[name]) for name, value in learner.state_dict().items())


def test_an_interrupt_while_building_leaves_the_learner_as_it_was(monkeypatch):
    learner, draw = small_net(), curves()
    before, real = dict(learner.named_parameters()), compiled.through_graph

    def interrupted(*given):
        real(*given)
        raise KeyboardInterrupt

    run = Compiled("trace")
    monkeypatch.setattr(compiled, "through_graph", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.meta_gradient(learner, draw(0), LOOPS["alone"])
    assert all(dict(learner.named_parameters())[name] is value for name, value in before.items())


def test_shared_layers_and_tied_weights():
    torch.manual_seed(0)
    layer, other = nn.Linear(3, 3), nn.Linear(3, 3)
    other.weight = layer.weight
    learner = Learner(nn.Sequential(nn.Linear(1, 3), layer, nn.Tanh(), layer, other, nn.Linear(3, 1)), squared_error)
    draw, loop, run = curves(), LOOPS["tree"], Compiled("trace")
    for step in range(2):
        assert_same(run.meta_gradient(learner, draw(step), loop), meta_gradient(learner, draw(step), loop), 1e-5)
    assert run._ready


def test_buffers_are_read_anew():
    learner = Learner(nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1)), squared_error).eval()
    draw, loop, run = curves(), LOOPS["alone"], Compiled("trace")
    run.meta_gradient(learner, draw(0), loop)
    learner.module[0].running_mean += 3
    assert_same(run.meta_gradient(learner, draw(1), loop), meta_gradient(learner, draw(1), loop), 1e-5)
    assert run._ready


class Scaled(nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.layer, self.scale = nn.Linear(1, 1), scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * FACTOR * self.layer(x)


FACTOR = 1.0


def test_copies_of_a_learner_share_what_is_built(monkeypatch):
    built = []
    real = compiled._build
    monkeypatch.setattr(compiled, "_build", lambda *given: built.append(1) or real(*given))
    learner, draw, loop = Learner(Scaled(0.17), squared_error), curves(), LOOPS["alone"]
    for other in (learner, copy.deepcopy(learner)):
        Compiled("trace").meta_gradient(other, draw(0), loop)
    assert len(built) == 1
    learner.module.scale = 0.19
    found = Compiled("trace").meta_gradient(learner, draw(0), loop)
    assert len(built) == 2
    assert_same(found, meta_gradient(learner, draw(0), loop), 1e-5)


def test_what_a_forward_reads_elsewhere_is_looked_at_by_each_training(monkeypatch):
    learner, draw, loop = Learner(Scaled(0.23), squared_error), curves(), LOOPS["alone"]
    Compiled("trace").meta_gradient(learner, draw(0), loop)
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    run = Compiled("trace")
    for step in range(2):
        assert_same(run.meta_gradient(learner, draw(step), loop), meta_gradient(learner, draw(step), loop), 1e-5)
    assert run._ready


def test_closures_tell_learners_apart():
    def loss(power: int):
        return lambda outputs, y: (outputs - y).abs().pow(power).flatten(1).mean(1)

    net = small_net().module
    structures = {compiled._structure(Learner(net, loss(power))) for power in (2, 3, 2)}
    assert len(structures) == 2


def test_modes_and_frozen_parameters_are_kinds_of_their_own():
    learner, draw, loop, run = small_net(), curves(), LOOPS["alone"], Compiled("trace")
    run.meta_gradient(learner, draw(0), loop)
    next(learner.parameters()).requires_grad_(False)
    assert_same(run.meta_gradient(learner, draw(0), loop), meta_gradient(learner, draw(0), loop), 1e-5)
    learner.eval()
    run.meta_gradient(learner, draw(0), loop)
    assert len(run.kinds) == 3


def test_an_attribute_may_change_between_two_steps():
    learner, draw, run = small_net(), curves(), Compiled("trace")
    learner.factor = 1.0
    plain = learner.forward
    learner.forward = lambda batch: learner.factor * plain(batch)
    for factor in (1.0, 1.0, 2.0, 1.0):
        learner.factor = factor
        found = run.meta_gradient(learner, draw(0), LOOPS["tree"])[0]
        assert found == pytest.approx(meta_gradient(learner, draw(0), LOOPS["tree"])[0].item())


def test_only_the_first_kinds_of_episodes_are_compiled():
    learner, loop, run = small_net(), LOOPS["alone"], Compiled("trace")
    for shots in range(1, KINDS + 1):
        run.meta_gradient(learner, curves(shots)(0), loop)
    with pytest.warns(UserWarning, match=f"more than {KINDS} kinds"):
        found = run.meta_gradient(learner, curves(KINDS + 1)(0), loop)
    assert_same(found, meta_gradient(learner, curves(KINDS + 1)(0), loop), 1e-6)
    assert len(run._ready) == KINDS
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it has been said
        run.meta_gradient(learner, curves(KINDS + 1)(1), loop)


def test_what_is_built_is_bounded(monkeypatch):
    monkeypatch.setattr(compiled, "_KEPT", 2)
    learner = small_net()
    for shots in (2, 3, 4):
        Compiled("trace").meta_gradient(learner, curves(shots)(0), LOOPS["alone"])
    assert len(compiled._BUILT) == 2


def refused(match: str, learner: Learner, loop: InnerLoop, how: str = "trace", draw=None) -> None:
    """Assert that this is computed as ever, with one warning."""
    run, draw = Compiled(how), draw or curves()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in range(2):
            torch.manual_seed(5)
            found = run.meta_gradient(learner, draw(step), loop)
            torch.manual_seed(5)
            assert_same(found, meta_gradient(learner, draw(step), loop), 1e-7)
    ours = [str(each.message) for each in said if "compile=" in str(each.message)]
    assert len(ours) == 1 and match in ours[0], ours
    assert not run._ready


def test_a_learned_tree_is_not_compiled():
    refused("clusters are found in the tasks' gradients", small_net(), InnerLoop(learned_tree(), 2, 0.1))


def test_chunks_are_not_compiled():
    refused("tasks_per_chunk bounds the memory", small_net(), InnerLoop(alone(), 2, 0.1, tasks_per_chunk=2))


def test_dropout_is_not_compiled():
    net = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    refused("draws random numbers", Learner(net, squared_error), InnerLoop(alone(), 2, 0.1))


def test_a_forward_that_looks_at_numbers_is_not_compiled():
    class Looks(Scaled):
        def forward(self, x):
            return self.layer(x) if x.sum() > -1e9 else x

    refused("", Learner(Looks(), squared_error), InnerLoop(alone(), 2, 0.1))


def test_without_a_compiler_it_is_computed_as_ever(monkeypatch, tmp_path):
    import torch._inductor.config as config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with config.patch({"cpp.cxx": (str(tmp_path / "no-compiler"),), "fx_graph_cache": False}):
        refused("no-compiler", small_net(), InnerLoop(alone(), 1, 0.05), how="inductor")


def test_another_result_is_not_used(monkeypatch):
    real = compiled._build

    def wrong(*given):
        run, like = real(*given)
        return lambda *tensors: [1.01 * tensor for tensor in run(*tensors)], like

    monkeypatch.setattr(compiled, "_build", wrong)
    monkeypatch.setattr(compiled, "_BUILT", type(compiled._BUILT)())
    refused("another result", small_net(), LOOPS["alone"])


def test_a_loss_that_is_not_finite_says_the_same():
    learner, draw, run = small_net(), curves(), Compiled("trace")
    loop = LOOPS["alone"]
    run.meta_gradient(learner, draw(0), loop)
    bad = draw(1)
    bad.support[0]["y"][2] = torch.nan
    messages = []
    for compute in (run.meta_gradient, meta_gradient):
        with pytest.raises(InputError) as error:
            compute(learner, bad, loop)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "1.1" not in messages[0] and TREE.leaves[2] in messages[0]


@pytest.mark.parametrize("episode", [Episode(("a",), (), {"x": torch.ones(1, 1, 1)}), Episode(("a",), ({},), {})])
def test_an_episode_that_does_not_fit_says_the_same(episode):
    messages = []
    for compute in (Compiled("trace").meta_gradient, meta_gradient):
        with pytest.raises(InputError) as error:
            compute(small_net(), episode, LOOPS["alone"])
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def trained(learner: Learner, how: str | None, outer_steps: int, draw=None) -> meta_train:
    return meta_train(learner, draw or curves(), fixed_tree(TREE), 2, 0.1, outer_steps, 1e-2, compile=how)


def test_a_training_is_the_same_to_rounding_and_the_same_again():
    learners = {}
    for name, how in (("plain", None), ("trace", "trace"), ("again", "trace")):
        learners[name] = small_net()
        list(trained(learners[name], how, 30))
    states = {name: nn.utils.parameters_to_vector(learner.parameters()) for name, learner in learners.items()}
    torch.testing.assert_close(states["trace"], states["plain"], rtol=1e-3, atol=1e-4)
    assert torch.equal(states["trace"], states["again"])


def test_auto_is_chosen_by_the_number_of_steps():
    short, long = trained(small_net(), "auto", LONG - 1), trained(small_net(), "auto", LONG)
    for training in (short, long):
        for _ in range(WATCHED + 1):
            next(training)
    assert not short.compiled._ready and long.compiled._ready
    assert abs(short.last.outer_loss - long.last.outer_loss) < 1e-5


def test_auto_does_not_compile_episodes_of_many_kinds():
    training = trained(small_net(), "auto", LONG, shaped)
    for _ in range(WATCHED + 8):
        next(training)
    assert not training.compiled._ready and len(training.compiled.kinds) == WATCHED


def test_a_grouping_is_asked_once_a_step():
    """One that draws its clusters at random goes on as it would without compiling."""
    asked = []

    def drawn(step, tasks, parents, gradients=None):
        asked.append(step)
        return [0] * len(tasks)

    run, loop = Compiled("trace"), InnerLoop(drawn, 2, 0.1)
    for step in range(3):
        run.meta_gradient(small_net(), curves()(step), loop)
    assert asked == [1, 2] * 3


def test_auto_leaves_large_models_alone_and_says_nothing(monkeypatch):
    monkeypatch.setattr(compiled, "is_small", lambda *_: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training = trained(small_net(), "auto", LONG)
        for _ in range(WATCHED + 1):
            next(training)
    assert not training.compiled._ready


@pytest.mark.parametrize("how", ["jit", "", True])
def test_another_way_of_compiling_is_refused(how):
    with pytest.raises(InputError, match="it is None, "):
        Compiled(how)


def shaped(step: int) -> Episode:
    """Episodes of more kinds than are compiled, in turn."""
    return curves(2 + step % (KINDS + 2))(step)


@pytest.mark.filterwarnings("ignore:compile=")
@pytest.mark.parametrize("draw", [curves(), shaped], ids=["one kind", "many kinds"])
@pytest.mark.parametrize("how", ["trace", "auto"])
def test_a_training_goes_on_byte_for_byte(monkeypatch, tmp_path, draw, how):
    monkeypatch.setattr(compiled, "LONG", 10)
    whole, parts = small_net(), small_net()
    list(trained(whole, how, 14, draw))
    first = trained(parts, how, 14, draw)
    losses = [next(first).outer_loss for _ in range(7)]
    checkpoints.save(first, tmp_path, losses, {})
    later = small_net(seed=1)
    checkpoints.train(trained(later, how, 14, draw), tmp_path, {})
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(whole.parameters(), later.parameters(), strict=True))


def test_evaluation_is_the_same():
    learner, draw = small_net(), sinusoids(3, 4, 5)
    found, expected = (
        list(evaluate(learner, map(draw, range(3)), alone(), 3, 0.1, compile=how)) for how in ("trace", None)
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.outputs, theirs.outputs, rtol=1e-5, atol=1e-5)
        assert ours.tasks == theirs.tasks
