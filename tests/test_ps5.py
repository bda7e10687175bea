"""The checks of problem set 5: right answers pass, and a mistake is called by its name."""

import numpy as np
import pytest
import torch

from minimeta.course import ps5


def blank(*inputs):
    raise NotImplementedError()


def stops(*inputs):
    return [1, 2][3]


COMMON = [
    (blank, "not written yet"),
    (stops, "in your line: return [1, 2][3]"),
    (lambda *inputs: None, "returned None"),
    (lambda *inputs: "soon", "returned 'soon'"),
    (lambda *inputs: inputs, "returned ("),
]


def judge(capsys, check, answer, words):
    """Run the check: it returns whether it is right, and says so in one message with these words."""
    verdict = check(answer)
    said = capsys.readouterr().out
    assert words in said
    assert verdict is (words == "Right")
    assert said.startswith("Right: " if verdict else "Not yet: ") and said.count("Not yet") == (not verdict)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_right_answers_pass_on_other_draws(seed):
    for draw in range(seed, 40, 5):
        assert ps5.path_distances(distances, draw) and ps5.tree_weights(weights, draw)
    assert ps5.weighted_step(step, seed) and ps5.weighted_step(step, seed + 5)
    assert ps5.paired_difference(paired, seed) and ps5.paired_difference(paired, seed + 5)


# --- the distances


def distances(tree, count=lambda a, b, common: len(a) + len(b) - 2 * common, leaves=None):
    paths = tree.paths()
    rows = [
        [count(paths[i], paths[j], len({*paths[i]} & {*paths[j]})) for j in leaves or paths] for i in leaves or paths
    ]
    return np.array(rows)


def distances_by_walking(tree):
    """Each node's parent, and the way up from both leaves until they meet."""
    m, names = len(tree.leaves), list(tree.leaves)
    found = np.zeros((m, m))

    def below(node):
        if not node.children:
            return {names.index(node.name): 0}
        parts = [{i: steps + 1 for i, steps in below(child).items()} for child in node.children]
        for part in parts:
            for other in parts:
                if part is not other:
                    for i, up in part.items():
                        for j, down in other.items():
                            found[i, j] = up + down
        return {i: steps for part in parts for i, steps in part.items()}

    below(tree)
    return found.tolist()


def nodes_between(tree):
    d = distances(tree)
    return d + (d > 0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (distances, "Right"),
        (distances_by_walking, "Right"),
        *COMMON[:4],
        (lambda tree: distances(tree) + 1, "count its edges"),
        (nodes_between, "one less than nodes"),
        (lambda tree: distances(tree, lambda a, b, c: c), "leaves them out"),
        (lambda tree: distances(tree, lambda a, b, c: c - 1), "what they do not share"),
        (lambda tree: distances(tree, lambda a, b, c: len(a) - c), "add those down to leaf j"),
        (lambda tree: distances(tree, lambda a, b, c: len(b) - c), "add those up from leaf i"),
        (lambda tree: distances(tree, lambda a, b, c: 0 if a == b else len(a) + len(b) - 2), "through the root"),
        (lambda tree: distances(tree, lambda a, b, c: len(a) + len(b) - 2), "also from a leaf to itself"),
        (lambda tree: distances(tree, lambda a, b, c: len(a) + len(b) - c - 1), "take it off twice"),
        (lambda tree: distances(tree, lambda a, b, c: max(len(a), len(b)) - c), "height of the common node"),
        (lambda tree: distances(tree) / 2, "half the distances"),
        (lambda tree: distances(tree, leaves=sorted(tree.leaves)), "order of tree.leaves"),
        (lambda tree: np.triu(distances(tree)), "only one half"),
        (lambda tree: np.array([[0, 2, 3], [2, 0, 3], [3, 3, 0]]), "Not yet"),
        (lambda tree: 2 * (1 - np.eye(len(tree.leaves))), "the values are off"),
        (lambda tree: distances(tree)[0], "has shape"),
        (lambda tree: distances(tree) / np.zeros(1), "not finite"),
    ],
)
def test_path_distances(capsys, answer, words):
    judge(capsys, ps5.path_distances, answer, words)


# --- the weights


def rows(values):
    return values / values.sum(1, keepdims=True)


def weights(d, decay):
    return rows(np.exp(-decay * (d - d.min(1, keepdims=True))))


def weights_by_softmax(d, decay):
    return torch.softmax(-decay * torch.from_numpy(d).double(), 1)


def shift_in_place(d, decay):
    d -= d.min(1, keepdims=True)
    return rows(np.exp(-decay * d))


def without_self(d, decay):
    e = np.where(d == 0, 0, np.exp(-decay * d))
    return rows(e)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (weights, "Right"),
        (weights_by_softmax, "Right"),
        (lambda d, decay: [[float(w) for w in row] for row in weights(d, decay)], "Right"),
        *COMMON[:4],
        (lambda d, decay: np.exp(-decay * d), "do not add up to 1"),
        (lambda d, decay: np.exp(-decay * d) / np.exp(-decay * d).sum(0), "the columns add up"),
        (lambda d, decay: np.exp(-decay * d) / np.exp(-decay * d).sum(), "all weights together"),
        (lambda d, decay: rows(np.exp(decay * d)), "far tasks get the large weights"),
        (lambda d, decay: rows(np.exp(-1.0 * d)), "do not depend on decay"),
        (lambda d, decay: rows(np.exp(-decay * d**2)), "squared in your exponent"),
        (lambda d, decay: rows(1 / (1 + decay * d)), "take the exponential"),
        (lambda d, decay: rows(np.exp(-d / decay)), "multiply the distance by it"),
        (lambda d, decay: np.full(d.shape, 1 / d.shape[1]), "equal weights at every decay"),
        (without_self, "own gradient is left out"),
        (shift_in_place, "changes its inputs"),
        (lambda d, decay: rows(np.exp(-decay * d)), "distance *of the row*"),  # 0 / 0 in the row of a zero-shot target
        (lambda d, decay: rows(np.exp(-decay * (d - d.min()))), "distance *of the row*"),
        (lambda d, decay: rows(np.exp(decay * (d.max() - d))), "distance *of the row*"),
        (lambda d, decay: np.nan_to_num(rows(np.exp(-decay * d))), "distance *of the row*"),
        (lambda d, decay: np.array([[0.4, 0.2, 0.2, 0.2]] * 4), "the values are off"),
        (lambda d, decay: weights(d, decay)[0], "has shape"),
    ],
)
def test_tree_weights(capsys, answer, words):
    judge(capsys, ps5.tree_weights, answer, words)


# --- the weighted step


def gradients(losses, theta, graph=True):
    return torch.autograd.grad(losses(theta).sum(), theta, create_graph=graph)[0]


def step(theta, losses, w, rate):
    return theta - rate * w @ gradients(losses, theta)


def step_by_loop(theta, losses, w, rate):
    each = losses(theta)
    g = [torch.autograd.grad(each[j], theta, create_graph=True)[0][j] for j in range(len(theta))]
    return torch.stack([theta[i] - rate * sum(w[i, j] * g[j] for j in range(len(g))) for i in range(len(g))])


def at_theta_i(theta, losses, w, rate):
    every = [gradients(losses, theta[i].expand_as(theta).clone()) for i in range(len(theta))]
    return torch.stack([theta[i] - rate * w[i] @ g for i, g in enumerate(every)])


def at_the_mean(theta, losses, w, rate):
    return theta - rate * w @ gradients(losses, theta.mean(0).expand_as(theta).clone())


def of_weighted_losses(theta, losses, w, rate):
    return theta - rate * torch.autograd.grad((w @ losses(theta)).sum(), theta, create_graph=True)[0]


def mutates(theta, losses, w, rate):
    g = gradients(losses, theta)
    theta -= rate * w @ g
    return theta


def with_a_copy(theta, losses, w, rate):
    mine = theta.detach().requires_grad_()
    return theta - rate * w @ gradients(losses, mine)


def from_a_copy(theta, losses, w, rate):
    return theta.detach() - rate * w @ gradients(losses, theta)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (step, "Right"),
        (step_by_loop, "Right"),
        *COMMON,
        (lambda t, f, w, r: t + r * w @ gradients(f, t), "uphill"),
        (lambda t, f, w, r: t - w @ gradients(f, t), "forgets the rate"),
        (lambda t, f, w, r: t - r * gradients(f, t), "that is MAML"),
        (lambda t, f, w, r: t - r * gradients(f, t).mean(0), "count alike"),
        (lambda t, f, w, r: t - r * gradients(f, t).sum(0), "without their weights"),
        (lambda t, f, w, r: t - r * w.T @ gradients(f, t), "transposed"),
        (at_theta_i, "take it at j's own"),
        (at_the_mean, "at the mean of all parameters"),
        (lambda t, f, w, r: w @ (t - r * gradients(f, t)), "parameters are averaged too"),
        (lambda t, f, w, r: t.mean(0) - r * w @ gradients(f, t), "each starts from its own"),
        (lambda t, f, w, r: t - r * w @ torch.autograd.grad(f(t).mean(), t, create_graph=True)[0], "m times too small"),
        (of_weighted_losses, "differentiate the weighted losses"),
        (lambda t, f, w, r: t - r * w.diagonal()[:, None] * gradients(f, t), "only the task's own share"),
        (lambda t, f, w, r: w @ gradients(f, t), "this is the weighted gradient"),
        (lambda t, f, w, r: -r * w @ gradients(f, t), "add it to theta"),
        (lambda t, f, w, r: t * 1, "no step was taken"),
        (lambda t, f, w, r: t - r * w @ gradients(f, t, graph=False), "create_graph"),
        (with_a_copy, "create_graph"),
        (from_a_copy, "theta is detached in the difference"),
        (lambda t, f, w, r: step(t, f, w, r).detach(), "cut off from ω"),
        (lambda t, f, w, r: step(t, f, w, r).detach().numpy(), "expected a tensor"),
        (lambda t, f, w, r: step(t, f, w, r)[0], "has shape"),
        (lambda t, f, w, r: step(t, f, w, r) / 0, "not finite"),
        (lambda t, f, w, r: torch.zeros_like(t), "all zeros"),
        (lambda t, f, w, r: t + 0.1, "the values are off"),
        (mutates, "changes its inputs"),
    ],
)
def test_weighted_step(capsys, answer, words):
    judge(capsys, ps5.weighted_step, answer, words)


# --- the paired comparison


def interval(values, seed, ends=(2.5, 97.5), times=10_000, size=None):
    """Percentiles of the means of resampled values."""
    picks = np.random.default_rng(seed).integers(0, len(values), (times, size or len(values)))
    return np.percentile(values[picks].mean(1), ends)


def paired(ours, control, seed=0):
    d = ours - control
    return d.mean(), *interval(d.mean(1), seed)


def paired_by_loop(ours, control, seed=0):
    rng, seeds = np.random.default_rng(seed), (ours - control).mean(1)
    means = [sum(seeds[rng.integers(len(seeds), size=len(seeds))]) / len(seeds) for _ in range(10_000)]
    return [np.mean(seeds), np.quantile(means, 0.025), np.quantile(means, 0.975)]


def apart(ours, control, seed):
    rng, n = np.random.default_rng(seed), len(ours)
    one, other = (x.mean(1)[rng.integers(0, n, (10_000, n))].mean(1) for x in (ours, control))
    return (ours - control).mean(), *np.percentile(one - other, [2.5, 97.5])


def one_by_one(ours, control, seed):
    d = (ours - control).ravel()
    return d.mean(), *interval(d, seed, times=2000)


def standard_error(ours, control, seed, times):
    d = (ours - control).mean(1)
    half = times * d.std(ddof=1) / len(d) ** 0.5
    return d.mean(), d.mean() - half, d.mean() + half


def reflected(ours, control, seed):
    mean, low, high = paired(ours, control, seed)
    return mean, 2 * mean - high, 2 * mean - low


def unseeded(ours, control, seed):
    return paired(ours, control, None)


def subtracts(ours, control, seed):
    ours -= control
    return paired(ours, 0 * control, seed)


def with_mean(make):
    """An answer with the right mean and the interval that `make(differences (seeds, episodes), seed)` gives."""
    return lambda ours, control, seed: ((ours - control).mean(), *make(ours - control, seed))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (paired, "Right"),
        (paired_by_loop, "Right"),
        *COMMON[:4],
        (lambda a, b, s: paired(b, a, s), "the sign is turned"),
        (lambda a, b, s: (np.median(a - b), *paired(a, b, s)[1:]), "this is the median"),
        (lambda a, b, s: ((a - b).sum(), *paired(a, b, s)[1:]), "this is the sum"),
        (lambda a, b, s: paired(abs(a - b), 0 * a, s), "without its sign"),
        (lambda a, b, s: paired(a, 0 * b, s), "subtract the control's"),
        (lambda a, b, s: ((a - b).mean() / b.mean(), *paired(a, b, s)[1:]), "share of the control's"),
        (apart, "the pairs are broken"),
        (one_by_one, "draw whole seeds"),
        (with_mean(lambda d, s: interval(d.mean(0), s)), "you resample episodes"),
        (with_mean(lambda d, s: np.percentile(d.mean(1), [2.5, 97.5])), "where single seeds lie"),
        (with_mean(lambda d, s: np.percentile(d, [2.5, 97.5])), "where single episodes lie"),
        (with_mean(lambda d, s: (d.mean(1).min(), d.mean(1).max())), "lowest and the highest seed"),
        (lambda a, b, s: standard_error(a, b, s, 1), "one standard error"),
        (lambda a, b, s: standard_error(a, b, s, 1.96), "not be symmetric"),
        (with_mean(lambda d, s: interval(d.mean(1), s, (5, 95))), "90 % interval"),
        (with_mean(lambda d, s: interval(d.mean(1), s, (0.025, 0.975))), "from 0 to 100"),
        (with_mean(lambda d, s: interval(d.mean(1), s) - d.mean()), "distances from the mean"),
        (with_mean(lambda d, s: interval(d.mean(1), s)[::-1]), "upside down"),
        (with_mean(lambda d, s: (d.mean(), d.mean())), "nothing varies"),
        (with_mean(lambda d, s: -interval(d.mean(1), s)[::-1]), "sign of the interval"),
        (with_mean(lambda d, s: interval(d.mean(1), s, times=25)), "Not yet"),
        (reflected, "reflected"),
        (unseeded, "two intervals"),
        (subtracts, "changes its inputs"),
        (lambda a, b, s: (-0.5, -0.8, -0.2), "the mean difference is off"),
        (with_mean(lambda d, s: (-9, 9)), "the interval is off"),
        (lambda a, b, s: paired(a, b, s)[0], "has shape"),
        (lambda a, b, s: (paired(a, b, s)[0], paired(a, b, s)[1:]), "expected numbers of shape (3,)"),
        (lambda a, b, s: (np.nan, 0, 1), "not finite"),
    ],
)
def test_paired_difference(capsys, answer, words):
    judge(capsys, ps5.paired_difference, answer, words)
