"""Any module, many tasks at once: what a task gets depends on nobody else, and the learner stays as it was."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from test_inner import TREE, flat, higher_meta_gradient, one_line, relative
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

from minimeta.clusters import task_losses
from minimeta.errors import InputError
from minimeta.gradient import meta_gradient
from minimeta.grouping import alone, everyone, fixed_tree, learned_tree
from minimeta.inner import InnerLoop, Learner, adapt, cross_entropy, query_losses, squared_error
from minimeta.outer import evaluate, meta_train
from minimeta.reference import adapt_with_higher
from minimeta.tasks import Episode, branching_curves

GROUPINGS = {"alone": alone(), "everyone": everyone(), "fixed": fixed_tree(TREE)}


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def on_curves(*layers):
    """A learner from x (n, 1) to y (n, 1)."""
    return Learner(nn.Sequential(*layers), squared_error)


def curves(shots=5):
    episode = branching_curves(TREE, shots=shots)(0)
    parts = [
        {name: value.to(torch.get_default_dtype()) for name, value in batch.items()}
        for batch in (*episode.support, episode.query)
    ]
    return Episode(episode.tasks, (parts[0],), parts[1])


def state(learner):
    return {name: value.clone() for name, value in learner.state_dict().items()}


def unchanged(learner, before):
    return all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())


def plain_gradient(learner, episode, grouping, steps=2, rate=0.05, chunk=None):
    return flat(meta_gradient(learner, episode, InnerLoop(grouping, steps, rate, tasks_per_chunk=chunk))[1])


# The learner stays as it was


def shared_layer():
    same = nn.Linear(8, 8)
    return on_curves(nn.Linear(1, 8), nn.Tanh(), same, nn.Tanh(), same, nn.Linear(8, 1))


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_a_layer_at_two_places(grouping):
    learner, episode = shared_layer(), curves()
    before = state(learner)
    first, second = (next(evaluate(learner, [episode], GROUPINGS[grouping], 3, 0.1)).losses for _ in range(2))
    assert torch.equal(first, second)
    assert unchanged(learner, before)
    ours = plain_gradient(learner, episode, GROUPINGS[grouping])
    assert unchanged(learner, before)
    expected = higher_meta_gradient(learner, episode, GROUPINGS[grouping], steps=2)
    assert relative(ours, expected) < 1e-10
    assert relative(plain_gradient(learner, episode, GROUPINGS[grouping], chunk=3), expected) < 1e-10


class Tied(nn.Module):
    """One parameter in two different layers, as in a language model whose embedding is also its output."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(1, 6), nn.Linear(6, 6)
        self.middle = nn.Linear(6, 6)
        self.last.weight = self.middle.weight

    def forward(self, x):
        return self.last(self.middle(self.first(x).tanh()).tanh()).sum(-1, keepdim=True)


def test_a_parameter_of_two_layers():
    learner, episode = Learner(Tied(), squared_error), curves()
    before = state(learner)
    ours = plain_gradient(learner, episode, alone())
    assert relative(ours, higher_meta_gradient(learner, episode, alone(), steps=2)) < 1e-10
    assert unchanged(learner, before)


class Counting(nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.layer(x)


class Clipped(nn.Module):
    """Clips its weight in forward, which torch takes where gradients are off."""

    def __init__(self, tracked=False):
        super().__init__()
        self.weight, self.tracked = nn.Parameter(torch.full((1,), 3.0)), tracked

    def forward(self, x):
        with torch.set_grad_enabled(self.tracked):
            self.weight.clamp_(-1, 1)
        return x * self.weight


def spectral(old):
    make = nn.utils.spectral_norm if old else parametrizations.spectral_norm
    return on_curves(make(nn.Linear(1, 8)), nn.Tanh(), nn.Linear(8, 1)).train()


@pytest.mark.parametrize("grouping", ["alone", "everyone"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: on_curves(Counting()), "module.0.calls"),
        (lambda: spectral(old=False), "module.0.parametrizations.weight.0._u"),
        (lambda: spectral(old=True), "parametrizations.spectral_norm"),
        (lambda: on_curves(nn.utils.weight_norm(nn.Linear(1, 3)), nn.Linear(3, 1)), "parametrizations.weight_norm"),
    ],
)
@pytest.mark.filterwarnings("ignore:The learner is evaluated cluster by cluster")
def test_what_writes_to_itself_is_refused_and_left_as_it_was(make, words, grouping):
    learner, episode = make(), curves()
    before = state(learner)
    for work in (
        lambda: adapt(learner, episode, GROUPINGS[grouping], 1, 0.1),
        lambda: meta_gradient(learner, episode, InnerLoop(GROUPINGS[grouping], 1, 0.1, tasks_per_chunk=2)),
        lambda: next(meta_train(learner, lambda step: episode, GROUPINGS[grouping], 1, 0.1, 1)),
    ):
        with pytest.raises(InputError) as error:
            work()
        assert words in one_line(error)
        assert unchanged(learner, before)


def test_spectral_norm_in_eval_mode_is_a_layer_like_others():
    learner, episode = spectral(old=False).eval(), curves()
    ours = plain_gradient(learner, episode, alone())
    assert relative(ours, finite_differences(learner, episode, alone())) < 1e-4


def in_words(outputs, y):
    return squared_error(outputs, y[:, None])


class Renormed(nn.Module):
    """Shortens the rows of its weight in forward, by a function; the weight may be frozen."""

    def __init__(self, frozen):
        super().__init__()
        self.weight, self.factor = nn.Parameter(torch.randn(7, 1), not frozen), nn.Parameter(torch.ones(()))

    def forward(self, words):
        return self.factor * functional.embedding(words, self.weight, max_norm=0.1).sum(1)


@pytest.mark.parametrize("grouping", ["alone", "everyone"])
@pytest.mark.parametrize("make", [Clipped, lambda: Clipped(True), lambda: Renormed(False), lambda: Renormed(True)])
def test_a_parameter_that_forward_writes_to_is_named_and_stays(make, grouping):
    module = make()
    words = isinstance(module, Renormed)
    learner, episode = Learner(module, in_words if words else squared_error), words_episode() if words else curves()
    before = state(learner)
    for work in (
        lambda: list(evaluate(learner, [episode], GROUPINGS[grouping], 1, 0.1)),
        lambda: meta_gradient(learner, episode, InnerLoop(GROUPINGS[grouping], 1, 0.1, tasks_per_chunk=2)),
    ):
        with pytest.raises(InputError, match=r"writes to its own (module\.weight|parameters)"):
            work()
        assert unchanged(learner, before)


@pytest.mark.parametrize("layer", [nn.Embedding(5, 1, max_norm=0.1), nn.EmbeddingBag(5, 1, max_norm=0.1)])
def test_an_embedding_that_shortens_its_rows(layer):
    learner, episode = Learner(layer, squared_error), words_episode()
    before = state(learner)
    with pytest.raises(InputError) as error:
        adapt(learner, episode, everyone(), 1, 0.1)
    assert "max_norm" in one_line(error)
    assert unchanged(learner, before)


def test_an_embedding_that_counts_its_words():
    """Its gradients depend on the rows beside it, and torch's own check of second derivatives fails for it."""
    table = nn.Embedding(7, 2, scale_grad_by_freq=True)
    for function in (
        lambda words: table(words).sum(1),
        lambda words: functional.embedding(words, table.weight, scale_grad_by_freq=True).sum(1),
    ):
        learner = Learner(Called(table, function), cross_entropy)
        for first_order in (False, True):
            with pytest.raises(InputError, match="scale_grad_by_freq divides gradients"):
                adapt(learner, words_episode(), everyone(), 1, 0.1, first_order)
    numbers, weight = torch.tensor([0, 1, 1]), torch.randn(3, 2, requires_grad=True)

    def cubed(weight):
        return functional.embedding(numbers, weight, scale_grad_by_freq=True) ** 3

    assert not torch.autograd.gradgradcheck(cubed, weight, raise_exception=False)


class Called(nn.Module):
    """A function of the inputs that uses a layer."""

    def __init__(self, layer, function):
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, x):
        return self.function(x)


def test_a_sparse_embedding_and_a_pruned_layer_are_refused():
    with pytest.raises(InputError, match="sparse=True"):
        adapt(Learner(nn.Embedding(7, 2, sparse=True), cross_entropy), words_episode(), everyone(), 1, 0.1)
    learner = on_curves(nn.Linear(1, 4), nn.Linear(4, 1))
    prune.l1_unstructured(learner.module[0], "weight", amount=0.5)
    before = state(learner)
    with pytest.raises(InputError, match=r"prune\.remove"):
        list(evaluate(learner, [curves()], alone(), 1, 0.1))
    assert unchanged(learner, before)
    prune.remove(learner.module[0], "weight")
    list(evaluate(learner, [curves()], alone(), 1, 0.1))
    copy.deepcopy(learner)


class Hidden(nn.Module):
    """Writes to a tensor through `.data`, which torch does not see."""

    def __init__(self, how):
        super().__init__()
        self.layer, self.how = nn.Linear(1, 1), how
        self.register_buffer("mean", torch.ones(()))

    def forward(self, x):
        if self.how == "shrinks":
            self.layer.weight.data.mul_(0.9)
        elif self.how == "puts another":
            self.layer.weight.data = self.layer.weight.data / (self.layer.weight.data.norm() + 1)
        else:
            self.mean.data.mul_(0.9).add_(x.detach().mean())
        return self.layer(x) - self.mean


@pytest.mark.parametrize("how", ["shrinks", "puts another", "buffer"])
def test_what_writes_unseen_is_named_and_nothing_is_written(how):
    learner = Learner(Hidden(how), squared_error)
    before = state(learner)
    for grouping in (alone(), everyone()):
        with pytest.raises(InputError, match="writes to its own module"):
            list(evaluate(learner, [curves()], grouping, 1, 0.1))
        with pytest.raises(InputError, match="writes to its own module"):
            meta_gradient(learner, curves(), InnerLoop(grouping, 1, 0.1))
    assert unchanged(learner, before)


def test_the_slow_reference_refuses_hooks():
    learner = on_curves(nn.Linear(1, 4), nn.Linear(4, 1))
    learner.module[0].register_forward_hook(lambda module, inputs, outputs: 2 * outputs)
    with pytest.raises(InputError, match="leaves hooks out"):
        adapt_with_higher(learner, curves(), alone(), 1, 0.1)
    adapt(learner, curves(), alone(), 1, 0.1)


# A task in company


def normalised():
    return on_curves(nn.Linear(1, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Tanh(), nn.Linear(8, 1))


class Centred(nn.Module):
    """Subtracts the mean of the batch, in a way that no type of layer tells."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(1, 8), nn.Linear(8, 1)

    def forward(self, x):
        hidden = self.first(x)
        return self.last((hidden - hidden.mean(0)).tanh())


class Rows(nn.Module):
    """A transformer layer that takes rows for a sequence, as torch's layers do unless they are told otherwise."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(1, 4), nn.Linear(4, 1)
        self.layer = nn.TransformerEncoderLayer(4, 2, 4, dropout=0.0)

    def forward(self, x):
        return self.last(self.layer(self.first(x)[:, None])[:, 0])


def before_a_layer(function):
    return lambda: Learner(Applied(torch.tanh, function), squared_error)


COMPANY = {
    "batch norm": normalised,
    "mean": lambda: Learner(Centred(), squared_error),
    "weak": before_a_layer(lambda x: x - 0.02 * x.mean(0)),
    "maximum": before_a_layer(lambda x: x - x.max(0).values),
    "first row": before_a_layer(lambda x: x * (1 + x[:1])),
    "rows as a sequence": lambda: Learner(Rows(), squared_error),
}


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("make", COMPANY.values(), ids=COMPANY)
def test_batch_statistics_are_those_of_each_task(make, grouping):
    learner, episode = make(), curves()
    with sdpa_kernel(SDPBackend.MATH):
        expected = higher_meta_gradient(learner, episode, GROUPINGS[grouping], steps=2)
    assert relative(plain_gradient(learner, episode, GROUPINGS[grouping]), expected) < 1e-8
    for chunk in (1, 3, 8):
        assert relative(plain_gradient(learner, episode, GROUPINGS[grouping], chunk=chunk), expected) < 1e-8
    adapted = adapt(learner, episode, GROUPINGS[grouping], 2, 0.05)
    together = query_losses(learner, adapted, episode)
    for task in range(len(episode.tasks)):
        own = {name: value[task] for name, value in episode.query.items()}
        with torch.no_grad():
            lonely = torch.func.functional_call(learner, adapted.of(task), (own,))
        torch.testing.assert_close(together[task], lonely)


def test_company_that_shows_later_is_found_at_the_first_trial():
    """With a last layer that begins at 0 nothing depends on anything, for now."""
    learner = Learner(Centred(), squared_error)
    nn.init.zeros_(learner.module.last.weight)
    nn.init.zeros_(learner.module.last.bias)
    adapt(learner, curves(), everyone(), 1, 0.1)
    nn.init.ones_(learner.module.last.weight)
    fresh = Learner(copy.deepcopy(learner.module), squared_error)
    found, expected = (adapt(each, curves(), everyone(), 1, 0.1).steps[0].losses for each in (learner, fresh))
    assert torch.equal(found, expected)


def test_what_could_not_be_tried_is_tried_again():
    learner, broken = Learner(Centred(), squared_error), curves()
    broken.support[0]["x"].fill_(torch.nan)
    with pytest.raises(InputError, match="bad values"):
        adapt(learner, broken, everyone(), 1, 0.1)
    fresh = Learner(copy.deepcopy(learner.module), squared_error)
    found, expected = (adapt(each, curves(), everyone(), 1, 0.1).steps[0].losses for each in (learner, fresh))
    assert torch.equal(found, expected)


def test_it_is_tried_out_once():
    module = Telling()
    learner = Learner(module, squared_error)
    one, all_of_them = Episode(("a",), *first_task(curves())), curves()
    for episode, passes in ((one, 3), (one, 1), (all_of_them, 7), (all_of_them, 1), (one, 1)):
        module.passes = 0
        theta = {name: p.unsqueeze(0) for name, p in learner.named_parameters()}
        task_losses(learner, theta, [0] * len(episode.tasks), episode.query)
        assert module.passes == passes


class Telling(nn.Module):
    """Counts its passes."""

    def __init__(self):
        super().__init__()
        self.layer, self.passes = nn.Linear(1, 1), 0

    def forward(self, x):
        self.passes += 1
        return self.layer(x)


def first_task(episode):
    """Support and query of the first task alone."""
    support, query = ({name: value[:1] for name, value in each.items()} for each in (*episode.support, episode.query))
    return (support,), query


def test_trying_it_out_draws_no_random_numbers():
    learner = on_curves(nn.Linear(1, 8), nn.Dropout(0.5), nn.Linear(8, 1)).train()
    before = torch.get_rng_state()
    adapt(learner, curves(), everyone(), 0, 0.1)
    assert torch.equal(torch.get_rng_state(), before)
    episode, theta = curves(), {name: p.unsqueeze(0) for name, p in learner.named_parameters()}
    torch.manual_seed(3)
    first = task_losses(learner, theta, [0] * 8, episode.query)
    torch.manual_seed(3)
    assert torch.equal(task_losses(learner, theta, [0] * 8, episode.query), first)


class Drawing(nn.Module):
    """Draws random numbers in forward by a function, a recurrent layer, or an activation."""

    def __init__(self, how):
        super().__init__()
        self.how, self.first, self.last = how, nn.Linear(1, 6), nn.Linear(6, 1)
        self.gru, self.rrelu = nn.GRU(6, 6, 2, dropout=0.5), nn.RReLU()

    def forward(self, x):
        hidden = self.first(x)
        if self.how == "functional":
            hidden = functional.dropout(hidden, 0.5)
        elif self.how == "gru":
            hidden = self.gru(hidden[None])[0][0]
        else:
            hidden = self.rrelu(hidden)
        return self.last(hidden)


@pytest.mark.parametrize("how", ["functional", "gru", "rrelu"])
@pytest.mark.filterwarnings("ignore:The learner is evaluated cluster by cluster")
def test_whatever_draws_is_refused_in_chunks_of_second_order(how):
    learner = Learner(Drawing(how), squared_error).train()
    with pytest.raises(InputError) as error:
        meta_gradient(learner, curves(), InnerLoop(everyone(), 2, 0.01, tasks_per_chunk=3))
    assert "draws random numbers" in one_line(error)
    meta_gradient(learner, curves(), InnerLoop(everyone(), 2, 0.01, first_order=True, tasks_per_chunk=3))
    meta_gradient(learner, curves(), InnerLoop(everyone(), 2, 0.01))


GENERATOR = torch.Generator()


@pytest.mark.parametrize(
    "draw",
    [
        lambda hidden: hidden * np.random.default_rng().random(),
        lambda hidden: hidden * (1 + random.random()),
        lambda hidden: hidden * torch.rand(hidden.shape[-1], generator=GENERATOR, dtype=hidden.dtype),
    ],
    ids=["numpy", "Python", "a generator of its own"],
)
def test_draws_that_torch_does_not_know_of_are_refused_in_chunks(draw):
    learner = Learner(Applied(draw), squared_error)
    with pytest.raises(InputError, match="draws random numbers"):
        meta_gradient(learner, curves(), InnerLoop(everyone(), 2, 0.01, tasks_per_chunk=3))
    meta_gradient(learner, curves(), InnerLoop(everyone(), 2, 0.01))


# Padding


class Words(nn.Module):
    """Numbers of words (n, 4), padded with 0 and not masked, to two classes."""

    def __init__(self, padding_idx=0):
        super().__init__()
        self.words, self.last = nn.Embedding(7, 5, padding_idx=padding_idx), nn.Linear(5, 2)
        with torch.no_grad():
            self.words.weight[0] = torch.randn(5)  # as in a trained model: the row is not zero

    def forward(self, words):
        return self.last(self.words(words).tanh().sum(1))


def words_episode(tasks=8):
    drawn = torch.Generator().manual_seed(1)
    words = torch.randint(7, (tasks, 7, 4), generator=drawn)
    words[:, :, 2:] = 0
    batch = {"words": words, "y": torch.randint(2, (tasks, 7), generator=drawn)}
    parts = [{name: value[:, at] for name, value in batch.items()} for at in (slice(3), slice(3, 7))]
    return Episode(TREE.leaves, (parts[0],), parts[1])


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_the_row_of_padding_is_not_learned(grouping):
    learner, episode = Learner(Words(), cross_entropy), words_episode()
    expected = higher_meta_gradient(learner, episode, GROUPINGS[grouping], steps=2)
    for chunk in (None, 1, 3):
        assert relative(plain_gradient(learner, episode, GROUPINGS[grouping], chunk=chunk), expected) < 1e-10
    theta = adapt(learner, episode, GROUPINGS[grouping], 2, 0.05).parameters["module.words.weight"]
    before = learner.module.words.weight
    assert torch.equal(theta[:, 0], before[0].expand_as(theta[:, 0]))
    assert not torch.equal(theta[:, 1:], before[1:].expand_as(theta[:, 1:]))


class OtherWords(nn.Module):
    """The same with torch's function, or with a weight that is computed."""

    def __init__(self, how):
        super().__init__()
        self.words, self.how = Words(), how
        if how == "parametrized":
            nn.utils.parametrize.register_parametrization(self.words.words, "weight", nn.Tanh())

    def forward(self, words):
        if self.how == "parametrized":
            return self.words(words)
        found = functional.embedding(words, self.words.words.weight, padding_idx=0)
        return self.words.last(found.tanh().sum(1))


@pytest.mark.parametrize("how", ["function", "parametrized"])
@pytest.mark.parametrize("grouping", GROUPINGS)
def test_other_ways_to_pad(grouping, how):
    learner, episode = Learner(OtherWords(how), cross_entropy), words_episode()
    if how == "function":
        learner.module.words.words.padding_idx = None
    expected = higher_meta_gradient(learner, episode, GROUPINGS[grouping], steps=2)
    for chunk in (None, 3):
        assert relative(plain_gradient(learner, episode, GROUPINGS[grouping], chunk=chunk), expected) < 1e-10


# Second derivatives


def finite_differences(learner, episode, grouping, steps=2, rate=0.05, h=1e-5):
    """The meta-gradient by central differences of the mean query loss."""
    found = []
    for p in (p for p in learner.parameters() if p.requires_grad):
        for place in range(p.numel()):
            sides = []
            for sign in (h, -2 * h):
                with torch.no_grad():
                    p.view(-1)[place] += sign
                with torch.no_grad():
                    adapted = adapt(learner, episode, grouping, steps, rate)
                    sides.append(query_losses(learner, adapted, episode).mean().item())
            with torch.no_grad():
                p.view(-1)[place] += h
            found.append((sides[0] - sides[1]) / (2 * h))
    return torch.tensor(found)


class Norm(nn.Module):
    """Weight normalisation written out."""

    def __init__(self):
        super().__init__()
        self.g, self.v = nn.Parameter(torch.rand(3, 1) + 0.5), nn.Parameter(torch.randn(3, 1))

    def forward(self, x):
        return x @ (self.g * self.v / self.v.norm(dim=1, keepdim=True)).T


class Sequence(nn.Module):
    """A layer for sequences between two linear ones, on x (n, 1) as three steps."""

    def __init__(self, layer):
        super().__init__()
        self.first, self.layer, self.last = nn.Linear(1, 4), layer, nn.Linear(4, 1)

    def forward(self, x):
        steps = self.first(x[:, None] * torch.arange(1.0, 4.0)[:, None])
        found = self.layer(steps) if not isinstance(self.layer, nn.MultiheadAttention) else self.layer(*[steps] * 3)
        return self.last((found[0] if isinstance(found, tuple) else found).mean(1))


class Dot(nn.Module):
    """Attention by torch's own function."""

    def forward(self, x):
        return functional.scaled_dot_product_attention(x, x, x)


def between(*makers):
    return lambda: on_curves(nn.Linear(1, 4), *(make() for make in makers), nn.Linear(4, 1))


RIGHT = {
    "weight norm, written out": lambda: on_curves(Norm(), nn.Tanh(), nn.Linear(3, 1)),
    "weight norm, of all": lambda: on_curves(parametrizations.weight_norm(nn.Linear(1, 3), dim=None), nn.Linear(3, 1)),
    "orthogonal": between(lambda: parametrizations.orthogonal(nn.Linear(4, 4)), nn.Tanh),
    "layer norm": between(lambda: nn.LayerNorm(4)),
    "group norm": between(lambda: nn.GroupNorm(2, 4), nn.Tanh),
    "rms norm": between(lambda: nn.RMSNorm(4), nn.Tanh),
    "batch norm": between(lambda: nn.BatchNorm1d(4, track_running_stats=False), nn.Tanh),
    "gelu": between(nn.GELU),
    "silu": between(nn.SiLU),
    "prelu": between(lambda: nn.PReLU(4), nn.Tanh),
    "glu": lambda: on_curves(nn.Linear(1, 8), nn.GLU(), nn.Linear(4, 1)),
    "softmax": between(lambda: nn.Softmax(-1)),
    "lstm": lambda: Learner(Sequence(nn.LSTM(4, 4, batch_first=True)), squared_error),
    "gru": lambda: Learner(Sequence(nn.GRU(4, 4, batch_first=True)), squared_error),
    "multi-head attention": lambda: Learner(Sequence(nn.MultiheadAttention(4, 2, batch_first=True)), squared_error),
    "transformer layer": lambda: Learner(
        Sequence(nn.TransformerEncoderLayer(4, 2, 4, dropout=0.0, batch_first=True)), squared_error
    ),
    "dot-product attention": lambda: Learner(Sequence(Dot()), squared_error),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.filterwarnings("ignore:The learner is evaluated cluster by cluster")
def test_second_derivatives_are_those_of_finite_differences(name):
    learner, episode = RIGHT[name](), curves(shots=3)
    support = {name: value[:3] for name, value in episode.support[0].items()}
    few = Episode(episode.tasks[:3], (support,), {name: value[:3, :4] for name, value in episode.query.items()})
    expected = finite_differences(learner, few, alone())
    assert relative(plain_gradient(learner, few, alone()), expected) < 1e-4
    assert relative(plain_gradient(learner, few, alone(), chunk=2), expected) < 1e-4
    for mode in (learner.train(), learner.eval()):  # and it can be scored
        assert next(evaluate(mode, [few], alone(), 1, 0.05)).losses.isfinite().all()


def test_weight_norm_has_a_wrong_second_derivative_and_a_right_first_one():
    """torch 2.13, on a CPU: if this no longer fails there, the refusal can go."""
    layer = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)), nn.Tanh())
    names, values = zip(*((name, p.detach().requires_grad_()) for name, p in layer.named_parameters()), strict=True)
    x = torch.randn(4, 3)

    def function(*given):
        return torch.func.functional_call(layer, dict(zip(names, given, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, values)
    assert not torch.autograd.gradgradcheck(function, values, raise_exception=False)


def test_weight_norm_is_refused_for_second_order_alone():
    learner, episode = on_curves(parametrizations.weight_norm(nn.Linear(1, 3)), nn.Linear(3, 1)), curves()
    for chunk in (None, 3):
        with pytest.raises(InputError) as error:
            meta_gradient(learner, episode, InnerLoop(alone(), 1, 0.1, tasks_per_chunk=chunk))
        assert "write the norm out" in one_line(error)
    with pytest.raises(InputError, match="write the norm out"):
        adapt_with_higher(learner, episode, alone(), 1, 0.1)
    meta_gradient(learner, episode, InnerLoop(alone(), 1, 0.1, first_order=True))
    next(evaluate(learner, [episode], alone(), 1, 0.1))
    copy.deepcopy(learner)


class Once(torch.autograd.Function):
    """Three times x, with a derivative that cannot be differentiated again."""

    @staticmethod
    def forward(ctx, x):
        return 3 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 3 * gradient


class Applied(nn.Module):
    def __init__(self, function, before=lambda x: x):
        super().__init__()
        self.layer, self.function, self.before = nn.Linear(1, 4), function, before

    def forward(self, x):
        return self.function(self.layer(self.before(x))).sum(-1, keepdim=True)


@pytest.mark.parametrize("function", [nn.Hardsigmoid(), Once.apply, lambda h: torch.cdist(h, h[:1], p=1)])
@pytest.mark.filterwarnings("ignore:The learner is evaluated cluster by cluster")
def test_no_second_derivative_is_one_sentence(function):
    learner, episode = Learner(Applied(function), squared_error), curves()
    with pytest.raises(InputError) as error:
        meta_gradient(learner, episode, InnerLoop(everyone(), 2, 0.01))
    assert "lacks a derivative" in one_line(error)
    meta_gradient(learner, episode, InnerLoop(everyone(), 2, 0.01, first_order=True))


def test_a_loss_that_cannot_be_differentiated_twice():
    """Its gradient comes in as a constant, where torch says nothing at all."""
    learner, episode = Learner(nn.Linear(1, 1), lambda outputs, y: Once.apply((outputs - y).sum(-1))), curves()
    for chunk in (None, 2):
        with pytest.raises(InputError, match="lacks a derivative"):
            meta_gradient(learner, episode, InnerLoop(everyone(), 2, 0.01, tasks_per_chunk=chunk))


def test_nothing_to_adapt_by_is_one_sentence():
    learner = Learner(Applied(lambda h: h.argmax(-1, keepdim=True).to(h.dtype)), squared_error)
    with pytest.raises(InputError, match="does not depend on any parameter"):
        adapt(learner, curves(), everyone(), 1, 0.1)


# What vmap refuses


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


def in_place(hidden):
    total = torch.zeros(len(hidden), 4)
    total += hidden
    return total


def branching(hidden):
    return hidden.tanh() if hidden.sum() > 0 else hidden


REFUSED = {
    "in place": in_place,
    "item": lambda hidden: hidden * hidden.abs().max().item(),
    "branch": branching,
    "boolean index": lambda hidden: hidden + hidden[hidden > 0].sum(),
    "autograd function": Doubled.apply,
    "numpy": lambda hidden: hidden * float(hidden.detach().numpy().shape[0]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_vmap_refuses_runs_one_by_one_and_says_so_once(what):
    learner, episode = Learner(Applied(REFUSED[what]), squared_error), curves()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ours = plain_gradient(learner, episode, alone())
        next(evaluate(learner, [episode], alone(), 2, 0.05))
    assert len([w for w in said if "cluster by cluster" in str(w.message)]) == 1
    assert relative(ours, higher_meta_gradient(learner, episode, alone(), steps=2)) < 1e-8


def test_an_error_of_the_learner_itself_is_its_own():
    def broken(hidden):
        raise KeyError("no such thing")

    with pytest.raises(KeyError, match="no such thing"):
        adapt(Learner(Applied(broken), squared_error), curves(), alone(), 1, 0.1)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("grouping", ["alone", "everyone"])
@pytest.mark.filterwarnings("ignore")
def test_checkpointing_is_refused(reentrant, grouping):
    """It would run the module again in the backward pass, at ω."""
    module = Applied(lambda hidden: checkpoint(torch.tanh, hidden, use_reentrant=reentrant))
    with pytest.raises(InputError) as error:
        adapt(Learner(module, squared_error), curves(), GROUPINGS[grouping], 2, 0.05)
    assert "recomputes its activations" in one_line(error)


def test_tensors_kept_elsewhere_by_the_caller_are_not_checkpointing():
    learner, episode = on_curves(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)), curves()
    expected = plain_gradient(learner, episode, alone())
    other = copy.deepcopy(learner)
    with torch.autograd.graph.save_on_cpu():
        assert torch.equal(plain_gradient(other, episode, alone()), expected)


def test_a_compiled_module_is_refused():
    learner = Learner(torch.compile(nn.Linear(1, 1)), squared_error)
    with pytest.raises(InputError, match="has been compiled"):
        adapt(learner, curves(), alone(), 1, 0.1)
    with pytest.raises(InputError, match=r"by torch\.jit"):
        adapt(Learner(torch.jit.script(nn.Linear(1, 1)), squared_error), curves(), alone(), 1, 0.1)
    whole = on_curves(nn.Linear(1, 1))
    whole.module.compile()
    with pytest.raises(InputError, match="has been compiled"):
        adapt(whole, curves(), alone(), 1, 0.1)


def test_inference_mode_is_refused():
    learner = on_curves(nn.Linear(1, 1))
    for steps in (0, 1):
        with torch.inference_mode(), pytest.raises(InputError, match=r"torch\.no_grad"):
            list(evaluate(learner, [curves()], alone(), steps, 0.1))
    with torch.inference_mode():
        made = curves()
    with pytest.raises(InputError, match=r"torch\.no_grad"):
        adapt(learner, made, alone(), 1, 0.1)


def test_a_learner_in_bfloat16_can_learn_its_tree():
    torch.set_default_dtype(torch.bfloat16)
    learner = on_curves(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
    adapted = adapt(learner, curves(), learned_tree(), 2, 0.05)
    assert all(value.dtype == torch.bfloat16 for value in adapted.parameters.values())


# Masks for Hugging Face encoders


def stock_bert():
    from transformers import BertConfig, BertForSequenceClassification

    torch.set_default_dtype(torch.float32)
    config = BertConfig(
        vocab_size=20, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, num_labels=3
    )
    return BertForSequenceClassification._from_config(config, attn_implementation="eager").eval()


class Classifier(nn.Module):
    """A Hugging Face classifier as it is, with the mask that a batch gives."""

    def __init__(self):
        super().__init__()
        self.model = stock_bert()

    def forward(self, batch):
        logits = self.model(input_ids=batch["input_ids"], attention_mask=batch["mask"]).logits
        return cross_entropy(logits, batch["y"])


def tokens_episode(mask):
    drawn = torch.Generator().manual_seed(1)
    batch = {"input_ids": torch.randint(20, (4, 3, 6), generator=drawn), "mask": mask}
    batch["y"] = torch.randint(3, (4, 3), generator=drawn)
    return Episode(tuple("abcd"), (batch,), batch)


@pytest.mark.filterwarnings("ignore:The learner is evaluated cluster by cluster")
def test_a_mask_for_each_task_in_a_stock_encoder():
    mask = torch.ones(4, 3, 6, dtype=torch.long)
    mask[1:, :, 4:] = 0
    learner, episode = Classifier(), tokens_episode(mask)
    ours = plain_gradient(learner, episode, alone())
    assert relative(ours, higher_meta_gradient(learner, episode, alone(), steps=2)) < 1e-4


def test_a_boolean_mask_that_eager_attention_would_add_is_refused():
    mask = torch.ones(4, 3, 1, 6, 6, dtype=torch.bool)
    with pytest.raises(InputError) as error:
        adapt(Classifier(), tokens_episode(mask), everyone(), 1, 0.05)
    assert "mask" in one_line(error) and "boolean" in one_line(error)
