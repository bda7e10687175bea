"""The checks of problem set 5: right answers pass, and a mistake is called by its name."""

import itertools
import random

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from scipy.sparse.csgraph import shortest_path
from scipy.special import logsumexp, softmax
from scipy.stats import bootstrap

from minimeta.course import ps5
from minimeta.trees import TaskTree


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
        assert ps5.weighted_step(step, draw) and ps5.paired_difference(paired, draw)


# --- the distances


def distances(tree, count=lambda a, b, common: len(a) + len(b) - 2 * common, leaves=None):
    paths = tree.paths()
    rows = [
        [count(paths[i], paths[j], len({*paths[i]} & {*paths[j]})) for j in leaves or paths] for i in leaves or paths
    ]
    return np.array(rows)


def kept_by_leaves():
    """What was found once is returned for every tree of the same leaves."""
    known = {}
    return lambda tree: known.setdefault(tuple(tree.leaves), distances(tree))


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


def distances_by_search(tree):
    """From each leaf outwards over the edges."""
    nodes = list(tree.walk())
    beside = {i: [] for i in range(len(nodes))}
    for i, (_, _, above) in enumerate(nodes):
        if above >= 0:
            beside[i].append(above)
            beside[above].append(i)
    leaves = [i for i, (node, _, _) in enumerate(nodes) if not node.children]
    rows = []
    for leaf in leaves:
        found, queue = {leaf: 0}, [leaf]
        for i in queue:
            queue += [j for j in beside[i] if j not in found]
            found |= {j: found[i] + 1 for j in beside[i] if j not in found}
        rows.append(tuple(found[other] for other in leaves))
    return tuple(rows)


def rebuilt(tree, change):
    """The tree with the children of every node changed."""
    children = [rebuilt(child, change) for child in change(tree.children)]
    return TaskTree.node(tree.name, children, tree.length)


def collapsed(tree):
    while len(tree.children) == 1:
        tree = tree.children[0]
    return TaskTree.node(tree.name, [collapsed(child) for child in tree.children], tree.length)


def two_children(tree):
    few, m = distances(rebuilt(tree, lambda children: children[:2])), len(tree.leaves)
    return np.pad(few, (0, m - len(few)))


def without(tree, count):
    """The number of nodes for which `count(node, place)` is true on one way from the root alone."""
    nodes, paths = list(tree.nodes), [{*path} for path in tree.paths().values()]
    return [[sum(count(nodes[i], i) for i in one ^ other) for other in paths] for one in paths]


def by_names(tree):
    nodes, paths = list(tree.nodes), tree.paths().values()
    names = [{nodes[i].name or i for i in path} for path in paths]
    return [[len(one ^ other) for other in names] for one in names]


def by_names_alone(tree, shared):
    nodes = list(tree.nodes)
    paths = [[nodes[i].name for i in path] for path in tree.paths().values()]
    return [[len(a) + len(b) - 2 * shared(a, b) for b in paths] for a in paths]


def common_start(one, other):
    return sum(1 for _ in itertools.takewhile(bool, map(str.__eq__, one, other)))


def cut(tree, height):
    paths = [{*path[:height]} for path in tree.paths().values()]
    return [[len(one ^ other) for other in paths] for one in paths]


def nodes_between(tree):
    d = distances(tree)
    return d + (d > 0)


def by_shortest_paths(tree):
    paths = tree.paths().values()
    edges = np.zeros((1 + max(map(max, paths)),) * 2)
    for path in paths:
        for above, below in itertools.pairwise(path):
            edges[above, below] = 1
    leaves = [path[-1] for path in paths]
    return shortest_path(edges, directed=False)[np.ix_(leaves, leaves)]


def row_by_row(tree):
    paths = [{*path} for path in tree.paths().values()]
    for one in paths:
        yield (len(one ^ other) for other in paths)


def by_digits(tree):
    """Nodes 1 and 2 make a node 12."""
    paths = [{*"".join(map(str, path))} for path in tree.paths().values()]
    return [[len(one ^ other) for other in paths] for one in paths]


def chains_cut_at_leaves(tree):
    nodes, paths = list(tree.nodes), []
    for path in tree.paths().values():
        while len(path) > 1 and len(nodes[path[-2]].children) == 1:
            path = path[:-1]
        paths.append({*path})
    return [[len(one ^ other) for other in paths] for one in paths]


def as_if_equally_deep(tree):
    deepest = max(map(len, tree.paths().values()))
    return distances(tree, lambda a, b, common: 2 * (deepest - common))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (distances, "Right"),
        (by_shortest_paths, "Right"),
        (row_by_row, "Right"),
        (lambda tree: pd.DataFrame(by_shortest_paths(tree)), "Right"),
        (lambda tree: [torch.tensor(row) for row in distances(tree)], "Right"),
        (by_digits, "Not yet"),
        (chains_cut_at_leaves, "Not yet"),
        (as_if_equally_deep, "Not yet"),
        (lambda tree: np.minimum(distances(tree), 12), "Not yet"),
        (lambda tree: distances(tree, lambda a, b, c: abs(len(a) - len(b)) + 2 * (a != b)), "Not yet"),
        (lambda tree: distances(tree, lambda a, b, c: 2 * (min(len(a), len(b)) - c)), "Not yet"),
        (lambda tree: distances(tree, lambda a, b, c: a[c - 1]), "Not yet"),
        (lambda tree: distances(tree) + np.eye(len(tree.leaves)), "Not yet"),
        (lambda tree: np.triu(distances(tree)) + np.triu(distances(tree)), "Not yet"),
        (lambda tree: distances(tree) > 0, "Not yet"),
        (distances_by_walking, "Right"),
        (distances_by_search, "Right"),
        (lambda tree: distances(tree).astype(np.uint8), "Right"),
        (lambda tree: torch.tensor(distances(tree), dtype=torch.float32), "Right"),
        (lambda tree: pd.DataFrame(distances(tree), tree.leaves, tree.leaves), "Right"),
        *COMMON[:4],
        (lambda tree: distances(tree) + 1, "count its edges"),
        (nodes_between, "one less than nodes"),
        (lambda tree: distances(tree, lambda a, b, c: c), "what they do not share"),
        (lambda tree: distances(tree, lambda a, b, c: c - 1), "what they do not share"),
        (lambda tree: distances(tree, lambda a, b, c: len(a) - c), "add the way from there"),
        (lambda tree: distances(tree, lambda a, b, c: len(b) - c), "add the way from there"),
        (lambda tree: distances(tree, lambda a, b, c: 0 if a == b else len(a) + len(b) - 2), "through the root"),
        (lambda tree: distances(tree, lambda a, b, c: len(a) + len(b) - 2), "through the root"),
        (lambda tree: distances(tree, lambda a, b, c: len(a) + len(b) - c - 1), "take it off twice"),
        (lambda tree: distances(tree, lambda a, b, c: max(len(a), len(b)) - c), "height of the common node"),
        (lambda tree: distances(tree) / 2, "0.5 times the target"),
        (lambda tree: distances(tree, leaves=sorted(tree.leaves)), "order of tree.leaves"),
        (lambda tree: np.triu(distances(tree)), "only one half"),
        (lambda tree: np.array([[0, 2, 3], [2, 0, 3], [3, 3, 0]]), "Not yet"),
        (lambda tree: 2 * (1 - np.eye(len(tree.leaves))), "the values are off"),
        (lambda tree: distances(collapsed(tree)), "a node with one child"),
        (lambda tree: without(tree, lambda node, _: len(node.children) != 1), "a node with one child"),
        (lambda tree: without(tree, lambda node, _: node.length or 0), "lengths of the edges play no part"),
        (lambda tree: without(tree, lambda node, _: not node.children or not node.name), "Not yet"),
        (by_names, "Not yet"),
        (lambda tree: by_names_alone(tree, lambda a, b: len({*a} & {*b})), "are taken for one node"),
        (lambda tree: by_names_alone(tree, common_start), "are taken for one node"),
        (lambda tree: distances(tree) - 1 + np.eye(len(tree.leaves)), "nodes between the two leaves"),
        (two_children, "Not yet"),
        (kept_by_leaves(), "Not yet"),
        (lambda tree: cut(tree, 4), "Not yet"),
        (lambda tree: cut(tree, 6), "Not yet"),
        (lambda tree: np.minimum(distances(tree), 10), "Not yet"),
        (lambda tree: distances(tree)[:8, :8], "has shape"),
        (lambda tree: distances(tree)[::-1], "Not yet"),
        (lambda tree: distances(tree).squeeze(), "it must be (1, 1)"),
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


def powers(d, decay, shift=0.0):
    return np.exp(-decay * (d - shift))


def columns_if_square(d, decay):
    e = powers(d, decay, d.min(1, keepdims=True))
    return e / (e.sum(0) if len(d) == d.shape[1] else e.sum(1, keepdims=True))


def nearest_alone(d, decay):
    return np.eye(d.shape[1])[d.argmin(1)] if decay > 50 else weights(d, decay)


def even_where_lost(d, decay):
    e = powers(d, decay)
    total = e.sum(1, keepdims=True)
    return np.where(total > 0, e / np.where(total > 0, total, 1), 1 / d.shape[1])


def nearest_where_lost(d, decay, first):
    e = powers(d, decay)
    lost, nearest = ~e.any(1, keepdims=True), d == d.min(1, keepdims=True)
    return rows(np.where(lost, np.eye(d.shape[1])[d.argmin(1)] if first else nearest, e))


def in_their_dtype(d, decay):
    made = np.zeros_like(d)
    made[:] = weights(d, decay)
    return made


def without_self(d, decay):
    e = np.where(d == 0, 0, np.exp(-decay * d))
    return rows(e)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (weights, "Right"),
        (lambda d, decay: softmax(-decay * d, axis=1), "Right"),
        (lambda d, decay: np.exp(-decay * d - logsumexp(-decay * d, axis=1, keepdims=True)), "Right"),
        (lambda d, decay: map(lambda row: softmax(-decay * row), d), "Right"),
        (lambda d, decay: pd.DataFrame(d).apply(lambda row: softmax(-decay * row), 1, result_type="expand"), "Right"),
        (lambda d, decay: softmax(-decay * d, axis=0), "the columns add up"),
        (lambda d, decay: softmax(-decay * d), "all weights together"),
        (lambda d, decay: weights(d, min(decay, 100)), "the values are off"),
        (lambda d, decay: weights(np.minimum(d, 6), decay), "Not yet"),
        (lambda d, decay: weights(np.sqrt(d), decay), "Not yet"),
        (lambda d, decay: weights(np.round(d), decay), "Not yet"),
        (lambda d, decay: weights(d, round(decay)), "Not yet"),
        (lambda d, decay: weights(d, decay).astype(np.float16), "Not yet"),
        (lambda d, decay: weights(d, decay) * (weights(d, decay) > 0.01), "Not yet"),
        (lambda d, decay: softmax(-decay * np.sort(d, 1), axis=1), "Not yet"),
        (weights_by_softmax, "Right"),
        (lambda d, decay: [[float(w) for w in row] for row in weights(d, decay)], "Right"),
        (lambda d, decay: torch.softmax(-decay * torch.tensor(d, dtype=torch.float32), 1), "Right"),
        (lambda d, decay: (weights(row[None], decay)[0] for row in d), "Right"),
        (lambda d, decay: pd.DataFrame(weights(d, decay)), "Right"),
        *COMMON[:4],
        (lambda d, decay: np.exp(-decay * d), "do not add up to 1"),
        (lambda d, decay: np.exp(-decay * d) / np.exp(-decay * d).sum(0), "the columns add up"),
        (lambda d, decay: np.exp(-decay * d) / np.exp(-decay * d).sum(), "all weights together"),
        (lambda d, decay: rows(np.exp(decay * d)), "far tasks get the large weights"),
        (lambda d, decay: rows(np.exp(-1.0 * d)), "these are the weights of decay 1"),
        (lambda d, decay: rows(np.exp(-decay * d**2)), "squared in your exponent"),
        (lambda d, decay: rows(1 / (1 + decay * d)), "take the exponential"),
        (lambda d, decay: rows(np.exp(-d / decay)), "multiply the distance by it"),
        (lambda d, decay: np.full(d.shape, 1 / d.shape[1]), "which decay 0 alone gives"),
        (without_self, "own gradient is left out"),
        (shift_in_place, "changes its inputs"),
        (lambda d, decay: rows(np.exp(-decay * d)), "distance *of the row*"),  # 0 / 0 in the row of a zero-shot target
        (lambda d, decay: rows(np.exp(-decay * (d - d.min()))), "distance *of the row*"),
        (lambda d, decay: rows(np.exp(decay * (d.max() - d))), "distance *of the row*"),
        (lambda d, decay: np.nan_to_num(rows(np.exp(-decay * d))), "distance *of the row*"),
        (lambda d, decay: np.array([[0.4, 0.2, 0.2, 0.2]] * 4), "the values are off"),
        (columns_if_square, "the columns add up"),
        (lambda d, decay: weights(d.T, decay).T, "the columns add up"),
        (lambda d, decay: rows(powers(d, decay, d.min(0))), "smallest distance of each column"),
        (lambda d, decay: rows(powers(d, decay, d[:, :1])), "distance *of the row*"),
        (lambda d, decay: rows(powers(d, decay, d.mean(1, keepdims=True))), "distance *of the row*"),
        (nearest_alone, "the values are off"),
        (even_where_lost, "yours are other weights"),
        (lambda d, decay: nearest_where_lost(d, decay, False), "yours are other weights"),
        (lambda d, decay: nearest_where_lost(d, decay, True), "yours are other weights"),
        (lambda d, decay: powers(d, decay) / powers(d, decay).sum(1), "without keepdims=True"),
        (in_their_dtype, "all zeros"),
        (lambda d, decay: weights(d.astype(int), decay), "Not yet"),
        (lambda d, decay: weights(d, int(decay)), "which decay 0 alone gives"),
        (lambda d, decay: weights(d, min(decay, 20)), "Not yet"),
        (lambda d, decay: weights(d, decay or 1), "these are the weights of decay 1"),
        (lambda d, decay: weights(d, decay) if decay else np.eye(*d.shape), "the values are off"),
        (lambda d, decay: weights(d / d.max(), decay), "Not yet"),
        (lambda d, decay: weights(d, decay).round(3), "you round your answer"),
        (lambda d, decay: weights(d, decay).squeeze(), "it must be (1, 1)"),
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


def step_by_jacobian(theta, losses, w, rate):
    jacobian = torch.autograd.functional.jacobian(losses, theta, create_graph=True)
    return theta - rate * torch.einsum("ij,jjp->ip", w, jacobian)


def step_by_func(theta, losses, w, rate):
    return theta - rate * w @ torch.func.grad(lambda at: losses(at).sum())(theta)


def step_of_ones(theta, losses, w, rate):
    each = losses(theta)
    (g,) = torch.autograd.grad(each, theta, torch.ones_like(each), create_graph=True)
    return torch.addmm(theta, w, g, alpha=-rate)


def by_finite_differences(theta, losses, w, rate, h=1e-4):
    moves = h * torch.eye(theta.shape[1], dtype=theta.dtype)
    g = torch.stack([(losses(theta + move) - losses(theta - move)) / (2 * h) for move in moves], 1)
    return theta - rate * w @ g


def source_of(theta):
    """The tensor that theta came from."""
    if theta.is_leaf:
        return theta
    return next(part.variable for part, _ in theta.grad_fn.next_functions if hasattr(part, "variable"))


def by_backward(theta, losses, w, rate):
    if not theta.is_leaf:
        theta.retain_grad()
    losses(theta).sum().backward(create_graph=True)
    return theta - rate * w @ theta.grad


def by_backward_and_tidy(theta, losses, w, rate):
    moved = by_backward(theta, losses, w, rate)
    source_of(theta).grad = None
    return moved


def by_backward_to_theta(theta, losses, w, rate):
    losses(theta).sum().backward(create_graph=True, inputs=[theta])
    return theta - rate * w @ theta.grad


def with_grad_forgotten(theta, losses, w, rate):
    moved = step(theta, losses, w, rate)
    source_of(theta).grad = None
    return moved


def task_after_task(theta, losses, w, rate):
    for i in range(len(theta)):
        one = torch.eye(len(theta), dtype=theta.dtype)[:, i : i + 1]
        theta = theta - rate * one * (w[i] @ gradients(losses, theta))
    return theta


def own_gradient_alone_learns(theta, losses, w, rate):
    g, own = gradients(losses, theta), torch.diag(w.diagonal())
    return theta - rate * (own @ g + (w - own) @ g.detach())


def seeds_torch(theta, losses, w, rate):
    torch.manual_seed(0)
    return step(theta, losses, w, rate)


def detaches_theta(theta, losses, w, rate):
    moved = step(theta, losses, w, rate)
    theta.detach_()
    return moved


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


def promoted(theta, losses, w, rate):
    """Of the weights' dtype, where that is the larger one."""
    return theta - rate * (w[:, :, None] * gradients(losses, theta)).sum(1)


def by_blocks_of_the_jacobian(theta, losses, w, rate):
    jacobian = torch.func.jacrev(losses)(theta)
    return theta - rate * w @ jacobian.diagonal(dim1=0, dim2=1).T


def at_a_clone(theta, losses, w, rate):
    theta = theta.clone()
    return theta - rate * w @ gradients(losses, theta)


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (step, "Right"),
        (step_by_loop, "Right"),
        (step_by_jacobian, "Right"),
        (step_by_func, "Right"),
        (step_of_ones, "Right"),
        (by_blocks_of_the_jacobian, "Right"),
        (at_a_clone, "Right"),
        (lambda t, f, w, r: step(t, f, w.to(t), r), "Right"),
        (lambda t, f, w, r: promoted(t, f, w, r).to(t.dtype), "Right"),
        (promoted, "theta is torch.float32 and your result torch.float64"),
        (lambda t, f, w, r: step(t, f, w, r).detach().requires_grad_(), "cut off from ω"),
        (lambda t, f, w, r: t - r * w @ gradients(f, t, graph=len(t) > 1), "create_graph"),
        (lambda t, f, w, r: step(t, f, torch.softmax(w, 1), r), "Not yet"),
        (lambda t, f, w, r: step(t, f, w * (w > 0.1), r), "Not yet"),
        (lambda t, f, w, r: t - r * w @ torch.nn.functional.normalize(gradients(f, t)), "Not yet"),
        (lambda t, f, w, r: step(step(t, f, w, r), f, w, r), "Not yet"),
        (lambda t, f, w, r: t - r * (w @ gradients(f, t)).detach(), "detach nothing"),
        *COMMON,
        (by_finite_differences, "the values are off"),
        (by_backward, "changes what is in omega.grad"),
        (by_backward_and_tidy, "changes what is in omega.grad"),
        (by_backward_to_theta, "changes what is in theta.grad"),
        (with_grad_forgotten, "changes what is in omega.grad"),
        (task_after_task, "the values are off"),
        (own_gradient_alone_learns, "a part of the meta-gradient is lost"),
        (seeds_torch, "torch's own generator"),
        (detaches_theta, "cuts theta itself off"),
        (lambda t, f, w, r: step(t, f, w.requires_grad_(), r), "changes weights.requires_grad"),
        (lambda t, f, w, r: step(t, f, w, r).double(), "the next step needs the same"),
        (lambda t, f, w, r: step(t, f, w, r).float(), "the next step needs the same"),
        (lambda t, f, w, r: step(t, f, w / w.sum(1, keepdim=True), r), "divided by the sums of their rows"),
        (lambda t, f, w, r: step(t, f, w - w.diagonal().diag(), r), "own gradient is left out"),
        (lambda t, f, w, r: step(t, f, w.T if len(t) > 5 else w, r), "transposed"),
        (lambda t, f, w, r: step(t, f, w[:1], r), "Not yet"),
        (lambda t, f, w, r: step(t, f, w, 0.1), "Not yet"),
        (lambda t, f, w, r: step(t, f, (w + w.T) / 2, r), "Not yet"),
        (lambda t, f, w, r: step(t, f, w, r).squeeze(), "it must be (1, 2)"),
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


def as_often_as_it_likes(ours, control, seed):
    """The Poisson bootstrap, for data that pass by: here the number of seeds is known."""
    means = (ours - control).mean(1)
    counts = np.random.default_rng(seed).poisson(1, (10_000, len(means)))
    return means.mean(), *np.percentile(counts @ means / len(means), [2.5, 97.5])


def reflected(ours, control, seed):
    mean, low, high = paired(ours, control, seed)
    return mean, 2 * mean - high, 2 * mean - low


def unseeded(ours, control, seed):
    return paired(ours, control, None)


def subtracts(ours, control, seed):
    ours -= control
    return paired(ours, 0 * control, seed)


def drawn(make, times=10_000):
    """An answer whose `make(number of seeds, shape, seed)` draws which seeds are taken."""

    def answer(ours, control, seed=0):
        d = (ours - control).mean(1)
        return d.mean(), *np.percentile(d[make(len(d), (times, len(d)), seed)].mean(1), [2.5, 97.5])

    return answer


def by_numpys_old(n, shape, seed):
    return np.random.RandomState(seed).randint(0, n, shape)


def by_torchs_own(n, shape, seed):
    return torch.randint(n, shape, generator=torch.Generator().manual_seed(seed)).numpy()


def by_numpys_global(n, shape, seed):
    np.random.seed(seed)
    return np.random.randint(0, n, shape)


def by_torchs_global(n, shape, seed):
    torch.manual_seed(seed)
    return torch.randint(n, shape).numpy()


def by_pythons_global(n, shape, seed):
    random.seed(seed)
    return np.array([random.choices(range(n), k=shape[1]) for _ in range(shape[0])])


def the_same_each_time(n, shape, seed):
    return np.array([np.random.default_rng(seed).integers(0, n, shape[1]) for _ in range(shape[0])])


def episodes_anew(d, seed):
    rng, (n, count) = np.random.default_rng(seed), d.shape
    picks = rng.integers(0, n, (10_000, n, 1)), rng.integers(0, count, (10_000, n, count))
    return np.percentile(d[picks].mean((1, 2)), [2.5, 97.5])


def paired_by_counts(ours, control, seed=0):
    d = (ours - control).mean(1)
    means = np.random.default_rng(seed).multinomial(len(d), np.full(len(d), 1 / len(d)), 10_000) @ d / len(d)
    return torch.tensor([d.mean(), *np.percentile(means, [2.5, 97.5])])


def paired_by_python(ours, control, seed=0):
    rng, d = random.Random(seed), (ours - control).mean(1).tolist()
    means = sorted(sum(rng.choices(d, k=len(d))) / len(d) for _ in range(10_000))
    return [sum(d) / len(d), means[250], means[9749]]


def paired_by_scipy(ours, control, seed=0):
    d = (ours - control).mean(1)
    ends = bootstrap((d,), np.mean, n_resamples=10_000, method="percentile", random_state=seed).confidence_interval
    return pd.Series([d.mean(), ends.low, ends.high])


def paired_in_single_precision(ours, control, seed=0):
    return (np.float32(value) for value in paired(ours.astype(np.float32), control.astype(np.float32), seed))


def in_their_numbers(ours, control, seed=0):
    by_seed = np.zeros_like(ours[:, 0])
    by_seed[:] = (ours - control).mean(1)
    return (ours - control).mean(), *interval(by_seed, seed)


def paired_by_choice(ours, control, seed=0):
    rng, d = np.random.default_rng(seed), (ours - control).mean(1)
    means = [rng.choice(d, d.size).mean() for _ in range(10_000)]
    return tuple(map(np.float64, (d.mean(), *np.quantile(means, [0.025, 0.975]))))


def by_t(d, seed):
    return stats.t.interval(0.95, len(d) - 1, d.mean(), d.mean(1).std(ddof=1) / len(d) ** 0.5)


def by_signs(d, seed):
    signs = np.random.default_rng(seed).choice([-1, 1], (10_000, len(d)))
    return np.percentile((signs * d.mean(1)).mean(1), [2.5, 97.5])


def by_dirichlet(d, seed):
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(d)), 10_000)
    return np.percentile(shares @ d.mean(1), [2.5, 97.5])


def of_halves(d, seed):
    picks = np.random.default_rng(seed).permuted(np.tile(d.mean(1), (10_000, 1)), axis=1)
    return np.percentile(picks[:, : len(d) // 2 or 1].mean(1), [2.5, 97.5])


def of_totals(d, seed):
    return interval(d.mean(1), seed) * len(d)


def ours_alone(ours, control, seed):
    mean = (ours - control).mean()
    return mean, *(interval(ours.mean(1), seed) - control.mean())


def with_mean(make):
    """An answer with the right mean and the interval that `make(differences (seeds, episodes), seed)` gives."""
    return lambda ours, control, seed: ((ours - control).mean(), *make(ours - control, seed))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (paired, "Right"),
        (paired_by_choice, "Right"),
        (lambda a, b, s: (value for value in paired(a, b, s + 17)), "Right"),
        (lambda a, b, s: torch.tensor(paired(a, b, [s])), "Right"),
        (lambda a, b, s: pd.Series(paired(a, b, s)), "Right"),
        (with_mean(by_t), "Not yet"),
        (with_mean(by_signs), "the interval is off"),
        (with_mean(by_dirichlet), "the interval is off"),
        (with_mean(of_halves), "the interval is off"),
        (with_mean(of_totals), "the interval is off"),
        (ours_alone, "the interval is off"),
        (with_mean(lambda d, s: interval(d.mean(1), s, times=100_000)), "you resample 100,000 times"),
        (drawn(lambda n, shape, s: np.random.default_rng(s).integers(1, max(n, 2), shape) % n), "first seed is never"),
        (lambda a, b, s: ((a.mean(1) / b.mean(1) - 1).mean(), *paired(a, b, s)[1:]), "share of the control's"),
        (paired_by_loop, "Right"),
        (paired_by_counts, "Right"),
        (paired_by_python, "Right"),
        (paired_by_scipy, "Right"),
        (paired_in_single_precision, "Right"),
        (drawn(by_numpys_old), "Right"),
        (drawn(by_torchs_own), "Right"),
        *COMMON[:4],
        (lambda a, b, s: paired(a, b, 0), "does not draw anew for another seed"),
        (lambda a, b, s: paired(a, b, bool(s)), "does not draw anew for another seed"),
        (lambda a, b, s: paired(a, b, s % 10), "does not draw anew for another seed"),
        (lambda a, b, s: paired(a, b, s % 100), "does not draw anew for another seed"),
        (lambda a, b, s: paired(a, b, s % 256), "does not draw anew for another seed"),
        (lambda a, b, s: paired(a, b, s or None), "two intervals"),
        (drawn(by_numpys_global), "np.random's own generator"),
        (drawn(by_torchs_global), "torch's own generator"),
        (drawn(by_pythons_global), "random's own generator"),
        (drawn(the_same_each_time, 100), "made once, before the first draw"),
        (with_mean(episodes_anew), "episodes of a drawn seed are drawn anew"),
        (with_mean(lambda d, s: interval(d.mean(1), s, times=1000)), "you resample 1,000 times"),
        (with_mean(lambda d, s: interval(d.mean(1), s, times=5000)), "you resample 5,000 times"),
        (drawn(by_numpys_old, 1000), "resample 10,000 times"),
        (drawn(by_torchs_own, 1000), "resample 10,000 times"),
        (with_mean(lambda d, s: interval(d.mean(1), s, size=len(d) - 1)), "one seed less"),
        (as_often_as_it_likes, "their number varies"),
        (with_mean(lambda d, s: interval(d.mean(1), s, size=len(d) + 1)), "one seed more"),
        (with_mean(lambda d, s: interval(d.mean(1), s, size=d.shape[1])), "as many seeds as there are episodes"),
        (drawn(lambda n, shape, s: np.random.default_rng(s).integers(0, n - 1, shape)), "last seed is never drawn"),
        (with_mean(lambda d, s: interval(d.mean(1), s, (3, 97))), "percentiles 3.0 and 97.0"),
        (with_mean(lambda d, s: interval(d.mean(1), s, (2.5, 95))), "the interval is off"),
        (with_mean(lambda d, s: interval(np.median(d, 1), s)), "the interval is off"),
        (with_mean(lambda d, s: interval(d.mean(1), s).round(3)), "the interval is off"),
        (in_their_numbers, "the interval is off"),
        (lambda a, b, s: np.round(paired(a, b, s), 3), "you round your answer"),
        (lambda a, b, s: (-abs((a - b).mean()), *paired(a, b, s)[1:]), "the sign is turned"),
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
        (lambda a, b, s: np.array(paired(a, b, s))[[1, 0, 2]], "low, mean, high"),
        (with_mean(lambda d, s: abs(interval(d.mean(1), s) - d.mean())), "distances to each side"),
        (lambda a, b, s: paired(np.sort(a, 0), np.sort(b, 0), s), "each method is sorted by itself"),
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
