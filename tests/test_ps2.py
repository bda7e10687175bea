"""The checks of problem set 2: right answers pass for any seed, and each mistake is called by its name."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from minimeta.course import ps2
from minimeta.grouping import alone, fixed_tree, no_gradients, regroup
from minimeta.inner import Learner, adapt, squared_error
from minimeta.tasks import Episode
from minimeta.trees import TaskTree

NOTEBOOK = Path(__file__).parents[1] / "notebooks/assignments/source/ps2/ps2.ipynb"


def says(capsys, check, answer, words):
    right = check(answer)
    printed = capsys.readouterr().out
    assert words in printed
    assert printed.startswith("Right: " if right else "Not yet: ")
    assert right == (words == "Right")
    assert all(check(answer, seed=seed) == right for seed in (1, 2))


def blank(*inputs):
    raise NotImplementedError


# --- One pooled step ---


def inside(labels):
    return [np.flatnonzero(np.equal(labels, c)) for c in range(max(labels) + 1)]


def step(theta, gradients, parents, labels, rate):
    return np.stack([theta[parents[who[0]]] - rate * gradients[who].mean(0) for who in inside(labels)])


def step_by_products(theta, gradients, parents, labels, rate):
    member = np.equal.outer(np.arange(max(labels) + 1), labels).astype(float)
    member /= member.sum(1, keepdims=True)
    return (member @ (theta[parents] - rate * gradients)).tolist()


def step_in_torch(theta, gradients, parents, labels, rate):
    count = max(labels) + 1
    moved = torch.from_numpy(theta)[parents] - rate * torch.from_numpy(gradients)
    labels = torch.tensor(labels)
    sums = torch.zeros(count, theta.shape[1], dtype=torch.float64).index_add_(0, labels, moved)
    return sums / labels.bincount()[:, None]


def step_in_place(theta, gradients, parents, labels, rate):
    new = step(theta, gradients, parents, labels, rate)
    theta[: len(new)] = new[: len(theta)]
    return new


def step_by_running_means(theta, gradients, parents, labels, rate):
    new, counts = np.zeros((max(labels) + 1, theta.shape[1])), [0] * (max(labels) + 1)
    for i, c in enumerate(labels):
        counts[c] += 1
        new[c] += (theta[parents[i]] - rate * gradients[i] - new[c]) / counts[c]
    return new


def step_of_clusters(row):
    """A student's function: row c is `row(theta, the cluster's gradients, its tasks, parents, rate, c)`."""

    def pooled_step(theta, gradients, parents, labels, rate):
        clusters = enumerate(inside(labels))
        return np.stack([row(theta, gradients[who], who, parents, rate, c) for c, who in clusters])

    return pooled_step


def step_in_thetas_type(theta, gradients, parents, labels, rate):
    new = np.zeros((max(labels) + 1, theta.shape[1]), dtype=theta.dtype)
    new[:] = step(theta, gradients, parents, labels, rate)
    return new


def step_on_lists(theta, gradients, parents, labels, rate):
    rows = [theta[parents[labels.index(c)]] - rate * gradients[labels == c].mean(0) for c in range(max(labels) + 1)]
    return np.stack(rows)


def step_of_neighbours(theta, gradients, parents, labels, rate):
    spans = [(labels.index(c), labels.count(c)) for c in range(max(labels) + 1)]
    return np.stack([theta[parents[i]] - rate * gradients[i : i + n].mean(0) for i, n in spans])


def base(theta, parents, labels):
    return theta[[parents[who[0]] for who in inside(labels)]]


def total(gradients, labels):
    return np.stack([gradients[who].sum(0) for who in inside(labels)])


def pools_parents(theta, gradients, parents, labels, rate):
    means = np.stack([gradients[who].mean(0) for who in inside(parents)])
    return np.stack([theta[parents[who[0]]] - rate * means[parents[who[0]]] for who in inside(labels)])


def from_own_row(theta, gradients, parents, labels, rate):
    return np.stack([theta[c] - rate * gradients[who].mean(0) for c, who in enumerate(inside(labels))])


def in_order_of_appearance(theta, gradients, parents, labels, rate):
    return step(theta, gradients, parents, labels, rate)[list(dict.fromkeys(labels))]


def last_task_only(theta, gradients, parents, labels, rate):
    new = np.zeros((max(labels) + 1, theta.shape[1]))
    for gradient, parent, label in zip(gradients, parents, labels, strict=True):
        new[label] = theta[parent] - rate * gradient
    return new


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (step, "Right"),
        (step_by_products, "Right"),
        (step_in_torch, "Right"),
        (step_by_running_means, "Right"),
        (lambda t, g, p, c, r: step(t.astype(np.float32), g.astype(np.float32), p, c, np.float32(r)), "Right"),
        (lambda *given: map(tuple, step(*given)), "Right"),
        (lambda *given: list(torch.from_numpy(step(*given))), "Right"),
        (step_in_thetas_type, "lose what stands behind the point"),
        (step_on_lists, "labels is a list: `labels == c`"),
        (step_of_neighbours, "it is not eq. 7"),
        (step_of_clusters(lambda t, g, who, p, r, c: t[int(p[who[0]] > 0)] - r * g.mean(0)), "rows 0 and 1 only"),
        (step_of_clusters(lambda t, g, who, p, r, c: t[min(c, len(t) - 1)] - r * g.mean(0)), "the row of its parent"),
        (step_of_clusters(lambda t, g, who, p, r, c: t[p[c]] - r * g.mean(0)), "it is not eq. 7"),
        (step_of_clusters(lambda t, g, who, p, r, c: t[p[who[0]]] - r * g.sum(0) / 2), "it is not eq. 7"),
        (step_of_clusters(lambda t, g, who, p, r, c: t[p[who[0]]] - r * np.median(g, 0)), "it is not eq. 7"),
        (step_of_clusters(lambda t, g, who, p, r, c: t[p[who[0]]] - r * (g[0] + g[-1]) / 2), "it is not eq. 7"),
        (
            step_of_clusters(lambda t, g, who, p, r, c: t[p[who[0]]] - r * g.mean()),
            "take it over the tasks alone, axis=0",
        ),
        (lambda *given: np.squeeze(step(*given)), "it must be (1, 2)"),
        (lambda *given: step(*given).round(3), "you round your answer"),
        (lambda t, g, p, c, r: step(t, g, p, c, 0.5), "it is not eq. 7"),
        (lambda *given: step(*given)[:3], "a row per cluster"),
        (blank, "not written yet"),
        (lambda *_: None, "returned None"),
        (lambda t, g, p, c, r: step(t, g, p, c, -r), "uphill"),
        (lambda t, g, p, c, r: base(t, p, c) - r * total(g, c), "uses the sum"),
        (lambda t, g, p, c, r: base(t, p, c) - r * g.mean(0), "over all tasks"),
        (lambda t, g, p, c, r: base(t, p, c) - r * total(g, c) / len(c), "number of all tasks"),
        (pools_parents, "over the parent cluster"),
        (
            lambda t, g, p, c, r: (
                base(t, p, c) - r * total(g, c) / np.array([[p.count(p[who[0]])] for who in inside(c)])
            ),
            "size of the parent cluster",
        ),
        (lambda t, g, p, c, r: step(t, g, p, c, 1), "forgets the rate"),
        (from_own_row, "the row of its parent"),
        (in_order_of_appearance, "row c belongs to cluster c"),
        (last_task_only, "only the last task"),
        (lambda t, g, p, c, r: base(t, p, c) - r * g[[who[0] for who in inside(c)]], "only the first task"),
        (lambda t, g, p, c, r: total(g, c) / np.array([[len(who)] for who in inside(c)]), "this is the mean gradient"),
        (lambda t, g, p, c, r: step(0 * t, g, p, c, r), "this is only the step"),
        (lambda t, g, p, c, r: t[p] - r * g, "a row per cluster"),
        (step_in_place, "changes its inputs"),
        (lambda t, g, p, c, r: step(t, g, p, c, r) * np.nan, "NaN"),
        (lambda t, g, p, c, r: step(t, g, p, c, r) + 0.01, "it is not eq. 7"),
        (lambda t, g, p, c, r: "theta", "expected numbers of shape"),
        (lambda t, g, p, c, r: t[99], "IndexError"),
    ],
)
def test_pooled_step(capsys, answer, words):
    says(capsys, ps2.pooled_step, answer, words)


def test_an_error_is_shown_with_the_students_line(capsys):
    assert not ps2.pooled_step(from_a_wrong_name)
    assert "stopped with NameError" in (printed := capsys.readouterr().out)
    assert "in your line: return thetas" in printed


def from_a_wrong_name(theta, gradients, parents, labels, rate):
    return thetas  # noqa: F821


# --- Do labels refine their parents'? ---


def refine(labels, parents):
    return all(len({parents[i] for i in range(len(labels)) if labels[i] == label}) == 1 for label in labels)


def refine_by_arrays(labels, parents):
    together, before = np.equal.outer(labels, labels), np.equal.outer(parents, parents)
    return (before | ~together).all()


def refine_in_each(holds):
    """A student's function that asks `holds(parents)` of each label's tasks."""
    return lambda labels, parents: all(
        holds([parent for now, parent in zip(labels, parents, strict=True) if now == label]) for label in labels
    )


def overlooks_zero(labels, parents):
    seen = {}
    for label, parent in zip(labels, parents, strict=True):
        if seen.get(label) and seen[label] != parent:
            return False
        seen[label] = parent
    return True


def looks_at_one_label(labels, parents):
    for label in labels:
        return len({parents[i] for i in range(len(labels)) if labels[i] == label}) == 1


def refine_on_lists(labels, parents):
    parents = np.array(parents)
    return all(len(set(parents[labels == label])) == 1 for label in labels)


def refine_by_one_number(pair):
    return lambda c, p: len(set(map(pair, c, p))) == len(set(c))


def sorts(labels, parents):
    right = refine(labels, parents)
    labels.sort()
    return right


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refine, "Right"),
        (refine_by_arrays, "Right"),
        (lambda c, p: int(refine(c, p)), "Right"),
        (lambda c, p: torch.tensor(refine(c, p)), "Right"),
        (refine_by_one_number(complex), "Right"),
        (lambda c, p: all(dict(zip(c, p, strict=True))[a] == b for a, b in zip(c, p, strict=True)), "Right"),
        (refine_by_one_number(lambda a, b: 10 * a + b), "no two tasks that were apart have come together"),
        (refine_by_one_number(lambda a, b: f"{a}{b}"), "no two tasks that were apart have come together"),
        (refine_by_one_number(lambda a, b: a + b), "no two tasks that were apart have come together"),
        (lambda c, p: refine(c, list(map(bool, p))), "were apart and now share label"),
        (lambda c, p: refine(sorted(c), sorted(p)), "share label"),
        (overlooks_zero, "were apart and now share label"),
        (looks_at_one_label, "were apart and now share label"),
        (refine_on_lists, "labels is a list: `labels == c`"),
        (refine_in_each(lambda p: p[0] == p[-1]), "were apart and now share label"),
        (refine_in_each(lambda p: sum(p) / len(p) == p[0]), "were apart and now share label"),
        (refine_in_each(lambda p: all(one is p[0] for one in p)), "no two tasks that were apart have come together"),
        (lambda c, p: refine(c[:5], p[:5]), "were apart and now share label"),
        (lambda c, p: all(len({b for a, b in zip(c, p, strict=True) if a == n}) < 2 for n in range(5)), "were apart"),
        (lambda c, p: refine(c, p) and c != p, "no two tasks that were apart have come together"),
        (lambda c, p: len(set(zip(c, p, strict=True))) == len(set(c)), "Right"),
        (blank, "not written yet"),
        (lambda c, p: None, "returned None"),
        (lambda c, p: "yes", "expected True or False"),
        (lambda c, p: True, "you always say True"),
        (lambda c, p: False, "you always say False"),
        (lambda c, p: refine(p, c), "the wrong way round"),
        (lambda c, p: refine(p, c) and refine(c, p), "but they may split"),
        (lambda c, p: c == p, "the same numbers"),
        (lambda c, p: len(set(c)) >= len(set(p)), "you only count the clusters"),
        (lambda c, p: len(set(c)) > len(set(p)), "want more"),
        (
            lambda c, p: all(p[i] == p[i + 1] for i in range(len(c) - 1) if c[i] == c[i + 1]),
            "neighbours in the list only",
        ),
        (lambda c, p: all(a >= b for a, b in zip(c, p, strict=True)), "which mean nothing"),
        (lambda c, p: not refine(c, p), "have come together"),
        (lambda c, p: refine(c, p) or len(c) == 4, "were apart and now share label"),
        (lambda c, p: len(np.bincount(c)[7]) > 0, "stopped with"),
        (sorts, "changes its inputs"),
    ],
)
def test_refines(capsys, answer, words):
    says(capsys, ps2.refines, answer, words)


# --- From a tree to clusters ---


def paths_of(tree, above=()):
    if isinstance(tree, str):
        return {tree: above}
    return {leaf: path for i, child in enumerate(tree) for leaf, path in paths_of(child, (*above, i)).items()}


def by(label):
    """A student's function whose labels are `label(path of the task, step, all paths)`."""

    def tree_grouping(tree):
        paths = paths_of(tree)
        return lambda step, tasks, parents, gradients: [label(paths[task], step, paths) for task in tasks]

    return tree_grouping


def by_the_library(tree):
    def nodes(tree):
        return TaskTree(tree) if isinstance(tree, str) else TaskTree("", tuple(nodes(child) for child in tree))

    return fixed_tree(nodes(tree))


def by_splitting(tree):
    """Level by level: the clusters are lists of subtrees."""

    def leaves(node):
        return [node] if isinstance(node, str) else [leaf for child in node for leaf in leaves(child)]

    def group(step, tasks, parents, gradients):
        level = [tree]
        for _ in range(step - 1):
            level = [child for node in level for child in ([node] if isinstance(node, str) else node)]
        return np.array([next(i for i, node in enumerate(level) if task in leaves(node)) for task in tasks])

    return group


def by_generator(tree):
    paths = paths_of(tree)

    def group(step, tasks, parents, gradients):
        for task in tasks:
            yield paths[task][: step - 1]

    return group


def by_parents(tree):
    paths = paths_of(tree)

    def group(step, tasks, parents, gradients):
        ends = [(parent, paths[task][step - 2 : step - 1]) for task, parent in zip(tasks, parents, strict=True)]
        return ends if step > 1 else [0] * len(tasks)

    return group


def without_single_children(tree):
    while len(tree) == 1 and not isinstance(tree, str):
        (tree,) = tree
    return tree if isinstance(tree, str) else tuple(map(without_single_children, tree))


def by_text(tree):
    def group(step, tasks, parents, gradients):
        level = [tree]
        for _ in range(step - 1):
            level = [child for node in level for child in ([node] if isinstance(node, str) else node)]
        return [next(i for i, node in enumerate(level) if task in str(node)) for task in tasks]

    return group


SHARED = {}


def with_one_dictionary(tree):
    SHARED.clear()
    SHARED.update(paths_of(tree))
    return lambda step, tasks, parents, gradients: [SHARED[task][: step - 1] for task in tasks]


def remembers_steps(tree):
    right, known = by(lambda path, step, _: path[: step - 1])(tree), {}
    return lambda step, *asked: known.setdefault(step, right(step, *asked))


def remembers_tasks(tree):
    right, known = by(lambda path, step, _: path[: step - 1])(tree), []

    def group(step, tasks, parents, gradients):
        known.extend(tasks if not known else [])
        return right(step, known[: len(tasks)], parents, gradients)

    return group


def numbered(base):
    def label(path, step, _):
        number = 1
        for child in path[: step - 1]:
            number = base * number + child
        return number

    return by(label)


def of_all_leaves(tree):
    paths = paths_of(tree)
    return lambda step, tasks, parents, gradients: [paths[task][: step - 1] for task in paths]


def in_the_order_of_leaves(tree):
    paths = paths_of(tree)
    return lambda step, tasks, parents, gradients: [paths[t][: step - 1] for t in paths if t in tasks]


def keeps_count(tree):
    """Counts its own calls instead of reading `step`: wrong from the second episode on."""
    paths, calls = paths_of(tree), []

    def group(step, tasks, parents, gradients):
        calls.append(step)
        return [paths[task][: len(calls) - 1] for task in tasks]

    return group


def from_the_leaves(path, step, paths):
    return path[: max(len(path) - (max(map(len, paths.values())) - step + 1), 0)]


def changes_tasks(tree):
    right = by(lambda path, step, _: path[: step - 1])(tree)

    def group(step, tasks, parents, gradients):
        labels = right(step, tasks, parents, gradients)
        tasks.reverse()
        return labels

    return group


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (by(lambda path, step, _: path[: step - 1]), "Right"),
        (by(lambda path, step, _: "/".join(map(str, path[: step - 1]))), "Right"),
        (by_the_library, "Right"),
        (by_splitting, "Right"),
        (by_generator, "Right"),
        (lambda tree: lambda *asked: map(hash, by_splitting(tree)(*asked)), "Right"),
        (by_parents, "Right"),
        (lambda tree: lambda *asked: torch.tensor(by_splitting(tree)(*asked)), "no two tensors are one label"),
        (
            lambda tree: by(lambda path, step, _: path[: step - 1])(without_single_children(tree)),
            "a node with one child",
        ),
        (by(lambda path, step, _: path[: min(step - 1, 3)]), "belong apart, and yours are together"),
        (by(lambda path, step, _: path[: min(step - 1, 4)]), "belong apart, and yours are together"),
        (numbered(10), "belong apart, and yours are together"),
        (numbered(4), "belong apart, and yours are together"),
        (by(lambda path, step, _: "".join(map(str, path[: step - 1]))), "belong apart, and yours are together"),
        (by_text, "belong apart, and yours are together"),
        (with_one_dictionary, "stopped with KeyError"),
        (remembers_steps, "belong"),
        (remembers_tasks, "belong"),
        (by(lambda path, step, _: tuple(min(child, 1) for child in path[: step - 1])), "belong apart"),
        (by(lambda path, step, _: path[: step - 1] if step <= len(path) + 1 else ()), "belong apart"),
        (
            lambda tree: lambda step, tasks, *_: by_splitting(tree)(step, tasks.copy(), *_),
            "stopped with AttributeError",
        ),
        (blank, "not written yet"),
        (lambda tree: None, "returned None"),
        (lambda tree: [0, 0, 1], "expected a function, the grouping"),
        (lambda tree: blank, "not written yet"),
        (lambda tree: lambda *_: None, "returned None"),
        (lambda tree: lambda *_: 0, "expected one label per task"),
        (of_all_leaves, "in the order of `tasks`"),
        (lambda tree: lambda *_: [0], "1 labels for 2 tasks"),
        (by(lambda path, step, _: list(path[: step - 1])), "cannot be compared as a label"),
        (by(lambda path, step, _: path[:step]), "a step too early"),
        (by(lambda path, step, _: path[: max(step - 2, 0)]), "a step too late"),
        (by(lambda path, step, _: path[: step - 1] if len(path) >= step - 1 else "done"), "thrown together"),
        (by(lambda path, step, _: path[min(step - 1, len(path)) - 1] if step > 1 else 0), "cousins come together"),
        (by(from_the_leaves), "count them from the root"),
        (by(lambda path, step, _: 0), "at step 2 the children of the root are apart"),
        (by(lambda path, step, _: path), "every task is alone"),
        (by(lambda path, step, _: path[: min(step - 1, 5)]), "belong apart, and yours are together"),
        (in_the_order_of_leaves, "in the order of `tasks`"),
        (by(lambda path, step, _: path[: step - 1] if step < 4 else path[:1]), "belong apart, and yours are together"),
        (keeps_count, "belong together, and yours are apart"),
        (changes_tasks, "changes its inputs"),
        (lambda tree: lambda step, tasks, parents, gradients: gradients(), "stopped with InputError"),
    ],
)
def test_tree_grouping(capsys, answer, words):
    says(capsys, ps2.tree_grouping, answer, words)


def test_the_trees_of_the_check_are_as_deep_as_asked():
    for seed in range(20):
        paths = paths_of(ps2._random_tree(np.random.default_rng(seed), 5))
        assert max(map(len, paths.values())) == 5


# --- K pooled steps ---


def own_gradients(theta, x, y):
    return 2 * torch.einsum("mnp,mn->mp", x, torch.einsum("mnp,mp->mn", x, theta) - y) / x.shape[1]


def shares(labels):
    labels = torch.tensor(labels)
    return (labels[:, None] == labels).double()


def mean(labels):
    return shares(labels) / shares(labels).sum(1, keepdim=True)


def steps(weights=mean, gradients=own_gradients):
    """A student's function with these weights of the tasks' gradients and these gradients."""

    def pooled_adapt(omega, x, y, labels, rate):
        theta = omega.expand(len(x), -1)
        for now in labels:
            theta = theta - rate * weights(now) @ gradients(theta, x, y)
        return theta

    return pooled_adapt


def steps_per_cluster(omega, x, y, labels, rate):
    """Parameters per cluster, a loss per cluster, autograd."""
    theta, parents = [omega], [0] * len(x)
    for now in labels:
        new = []
        for c in range(max(now) + 1):
            who = [i for i, label in enumerate(now) if label == c]
            start = theta[parents[who[0]]]
            loss = (x[who] @ start - y[who]).square().mean()
            new.append(start - rate * torch.autograd.grad(loss, start, create_graph=True)[0])
        theta, parents = new, now
    return torch.stack([theta[c] for c in parents])


def first_order(omega, x, y, labels, rate):
    theta = omega.expand(len(x), -1)
    for now in labels:
        loss = (torch.einsum("mnp,mp->mn", x, theta) - y).square().mean(1).sum()
        theta = theta - rate * mean(now) @ torch.autograd.grad(loss, theta, retain_graph=True)[0]
    return theta


def new_leaves(omega, x, y, labels, rate):
    theta = omega.expand(len(x), -1)
    for now in labels:
        theta = theta.detach().requires_grad_()
        loss = (torch.einsum("mnp,mp->mn", x, theta) - y).square().mean(1).sum()
        theta = theta - rate * mean(now) @ torch.autograd.grad(loss, theta, create_graph=True)[0]
    return theta


def at_omega(omega, x, y, labels, rate):
    theta, gradients = omega.expand(len(x), -1), own_gradients(omega.expand(len(x), -1), x, y)
    for now in labels:
        theta = theta - rate * mean(now) @ gradients
    return theta


def half_cut(omega, x, y, labels, rate):
    theta = omega.expand(len(x), -1)
    for k, now in enumerate(labels):
        theta = theta - rate * mean(now) @ own_gradients(theta.detach() if k == 0 else theta, x, y)
    return theta


def with_backward(omega, x, y, labels, rate):
    theta = right_steps(omega, x, y, labels, rate)
    theta.sum().backward(retain_graph=True)
    return theta


def clears_gradients(omega, x, y, labels, rate):
    theta = with_backward(omega, x, y, labels, rate)
    omega.grad = None
    return theta


def by_mse(omega, x, y, labels, rate):
    theta = [omega] * len(x)
    for now in labels:
        losses = [torch.nn.functional.mse_loss(x[i] @ theta[i], y[i]) for i in range(len(x))]
        own = [torch.autograd.grad(losses[i], theta[i], create_graph=True)[0] for i in range(len(x))]
        pooled = [torch.stack([own[j] for j in range(len(x)) if now[j] == c]).mean(0) for c in now]
        theta = [theta[i] - rate * pooled[i] for i in range(len(x))]
    return torch.stack(theta)


def by_matrices(omega, x, y, labels, rate):
    """θ is affine in ω: its matrices (m, p, p) and vectors (m, p) take the steps."""
    a, b = 2 * torch.einsum("mni,mnj->mij", x, x) / x.shape[1], 2 * torch.einsum("mni,mn->mi", x, y) / x.shape[1]
    matrix, vector = torch.eye(len(omega)).double().expand_as(a), torch.zeros_like(b)
    for now in labels:
        matrix = matrix - rate * torch.einsum("ij,jab,jbc->iac", mean(now), a, matrix)
        vector = vector - rate * mean(now) @ (torch.einsum("jab,jb->ja", a, vector) - b)
    return matrix @ omega + vector


def per_cluster(row=lambda parent, count: parent, cut=lambda k: False, equal=lambda now, c: torch.tensor(now) == c):
    """A student's function with parameters per cluster: which row is the parent's, which step is cut, who is in c."""

    def pooled_adapt(omega, x, y, labels, rate):
        theta, parents = [omega], [0] * len(x)
        for k, now in enumerate(labels, 1):
            new = []
            for c in range(max(now) + 1):
                start = theta[row(parents[now.index(c)], len(theta))]
                start = start.detach().requires_grad_() if cut(k) else start
                loss = (x[equal(now, c)] @ start - y[equal(now, c)]).square().mean()
                new.append(start - rate * torch.autograd.grad(loss, start, create_graph=True)[0])
            theta, parents = new, now
        return torch.stack([theta[c] for c in parents])

    return pooled_adapt


def squeezed(theta, x, y):
    loss = ((x @ theta[:, :, None]).squeeze() - y).square().mean(-1).sum()
    return torch.autograd.grad(loss, theta, create_graph=True)[0]


def without_steps(value):
    return lambda w, x, y, c, r: right_steps(w, x, y, c, r) if c else value(w, x)


def moves_omega(omega, x, y, labels, rate):
    theta = right_steps(omega, x, y, labels, rate)
    omega.data -= 1
    return theta


def in_place(omega, x, y, labels, rate):
    omega -= rate * own_gradients(omega.expand(len(x), -1), x, y).mean(0)
    return omega.expand(len(x), -1)


right_steps = steps()


def leaves(change, setting, before):
    """A student's function that is right and leaves a setting of torch changed."""

    def pooled_adapt(omega, x, y, labels, rate):
        change(before)
        theta = right_steps(omega, x, y, labels, rate)
        change(setting)
        return theta

    return pooled_adapt


def with_labels(change):
    return lambda omega, x, y, labels, rate: right_steps(omega, x, y, change(labels), rate)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (right_steps, "Right"),
        (steps_per_cluster, "Right"),
        (per_cluster(), "Right"),
        (by_mse, "Right"),
        (by_matrices, "Right"),
        (lambda w, x, y, c, r: steps(lambda now: mean(now).float())(w.float(), x.float(), y.float(), c, r), "Right"),
        (clears_gradients, "zero_grad() clears it"),
        (leaves(torch.set_grad_enabled, False, True), "torch.set_grad_enabled"),
        (leaves(torch.set_default_dtype, torch.float64, torch.float32), "torch.set_default_dtype"),
        (per_cluster(lambda parent, count: min(parent, 1)), "not the parameters of eq. 7"),
        (per_cluster(cut=lambda k: k == 2), "θ is cut off from ω"),
        (per_cluster(equal=lambda now, c: now == c), "labels is a list: `labels == c`"),
        (steps(gradients=squeezed), "not the parameters of eq. 7"),
        (lambda w, x, y, c, r: right_steps(w, x, y, c, r).squeeze(), "a row per task"),
        (steps(gradients=lambda t, x, y: own_gradients(t, x, y) * x.shape[1] / 4), "not the parameters of eq. 7"),
        (steps(gradients=lambda t, x, y: own_gradients(t, x, y) / len(x)), "not the parameters of eq. 7"),
        (with_labels(lambda c: c[:3]), "not the parameters of eq. 7"),
        (with_labels(lambda c: [sorted(now) for now in c]), "not the parameters of eq. 7"),
        (without_steps(lambda w, x: w), "a row per task"),
        (without_steps(lambda w, x: w.detach().expand(len(x), -1)), "cut off from ω"),
        (lambda w, x, y, c, r: right_steps(w, x, y, c, 0.1), "not the parameters of eq. 7"),
        (lambda w, x, y, c, r: torch.stack(list(right_steps(w, x, y, c, r))), "Right"),
        (blank, "not written yet"),
        (lambda w, x, y, c, r: None, "returned None"),
        (lambda w, x, y, c, r: right_steps(w, x, y, c, r).tolist(), "expected a tensor"),
        (lambda w, x, y, c, r: right_steps(w, x, y, c, r)[0], "a row per task"),
        (lambda w, x, y, c, r: right_steps(w, x, y, c, r) * torch.inf, "infinity"),
        (first_order, "first-order"),
        (lambda w, x, y, c, r: right_steps(w, x, y, c, r).detach(), "cut off from ω"),
        (new_leaves, "cut off from ω"),
        (half_cut, "a part of the meta-gradient is lost"),
        (with_backward, "omega.grad"),
        (moves_omega, "changes its inputs"),
        (in_place, "stopped with RuntimeError"),
        (at_omega, "taken at ω at every step"),
        (steps(weights=shares), "the sum of the gradients"),
        (steps(weights=lambda c: shares(c) / len(c)), "number of all tasks"),
        (steps(weights=lambda c: mean([0] * len(c))), "over all tasks"),
        (steps(weights=lambda c: mean(list(range(len(c))))), "that is MAML"),
        (steps(gradients=lambda t, x, y: -own_gradients(t, x, y)), "uphill"),
        (steps(gradients=lambda t, x, y: own_gradients(t, x, y) / 2), "factor 2"),
        (steps(gradients=lambda t, x, y: own_gradients(t, x, y) * x.shape[1]), "over its examples, not the sum"),
        (
            steps(shares, lambda t, x, y: own_gradients(t, x, y) * x.shape[1]),
            "a sum over the examples and the step a sum over the cluster",
        ),
        (with_labels(lambda c: []), "no step was taken"),
        (with_labels(lambda c: c[:1]), "only the first step"),
        (with_labels(lambda c: c[:-1]), "the last step is missing"),
        (with_labels(lambda c: c[::-1]), "up the tree"),
        (with_labels(lambda c: c[:1] * len(c)), "labels of the first step"),
        (with_labels(lambda c: c[-1:] * len(c)), "labels of the last step"),
        (lambda w, x, y, c, r: right_steps(w, x, y, c, r) + 0.1, "not the parameters of eq. 7"),
    ],
)
def test_pooled_adapt(capsys, answer, words):
    says(capsys, ps2.pooled_adapt, answer, words)


# --- The limits ---


def walk(grouping, tasks, steps, first=1, follow=True):
    labels, plan = [0] * len(tasks), []
    for step in range(first, first + steps):
        plan.append(list(grouping(step, tasks, labels, no_gradients)))
        labels = plan[-1] if follow else labels
    return plan


def limit(first, last):
    return "maml" if len(set(first)) == len(first) else "same" if len(set(last)) == 1 else "between"


def by_regroup(grouping, tasks, steps):
    labels, counts = [0] * len(tasks), []
    for step in range(1, steps + 1):
        labels, origin, _ = regroup(grouping, step, tasks, labels)
        counts.append(len(origin))
    return "maml" if min(counts) == len(tasks) else "same" if max(counts) == 1 else "between"


def reads(first, last):
    """A student's function that looks at two of the steps."""

    def limit_of(grouping, tasks, steps):
        plan = walk(grouping, tasks, steps)
        return limit(plan[first], plan[last])

    return limit_of


def by_values(grouping, tasks, steps):
    plan = walk(grouping, tasks, steps)
    if plan[0] == list(range(len(tasks))):
        return "maml"
    return "same" if plan[-1] == [0] * len(tasks) else "between"


def one_step_short(grouping, tasks, steps):
    plan = [[0] * len(tasks), *walk(grouping, tasks, steps - 1)]
    return limit(plan[1] if steps > 1 else grouping(1, tasks, plan[0], no_gradients), plan[-1])


def reverses(grouping, tasks, steps):
    tasks.reverse()
    return reads(0, -1)(grouping, tasks, steps)


def stale(grouping, tasks, steps):
    plan = walk(grouping, tasks, steps, follow=False)
    return limit(plan[0], plan[-1])


def counted(rule):
    """A student's function with a rule for the numbers of clusters at the steps and the number of tasks."""
    return lambda g, tasks, steps: rule([len(set(labels)) for labels in walk(g, tasks, steps)], len(tasks))


def asks(parents=lambda tasks, labels: labels, gradients=no_gradients):
    """A student's function that asks with these parents and gradients."""

    def limit_of(grouping, tasks, steps):
        labels, plan = [0] * len(tasks), []
        for step in range(1, steps + 1):
            labels = list(grouping(step, tasks, parents(tasks, labels), gradients))
            plan.append(labels)
        return limit(plan[0], plan[-1])

    return limit_of


def renumbered(grouping, tasks, steps):
    """As `adapt` does: the clusters have the numbers 0, 1, ... as they appear."""
    return asks(lambda tasks, labels: [list(dict.fromkeys(labels)).index(label) for label in labels])(
        grouping, tasks, steps
    )


def stops_when_nothing_changes(grouping, tasks, steps):
    plan = [[0] * len(tasks)]
    for step in range(1, steps + 1):
        plan.append(list(grouping(step, tasks, plan[-1], no_gradients)))
        if step > 1 and plan[-1] == plan[-2]:
            break
    return limit(plan[1], plan[-1])


def same_name(grouping, tasks, steps):
    plan = walk(grouping, tasks, steps)
    same = {label for labels in plan for label in labels} == {plan[0][0]}
    return "maml" if len(set(plan[0])) == len(tasks) else "same" if same else "between"


def sorts_labels(grouping, tasks, steps):
    plan = [[0] * len(tasks)]
    for step in range(1, steps + 1):
        labels = grouping(step, tasks, plan[-1], no_gradients)
        plan.append(list(labels))
        labels.sort()
    return limit(plan[1], plan[-1])


def kept_by_grouping():
    answers = {}

    def limit_of(grouping, tasks, steps):
        if grouping not in answers:
            answers[grouping] = reads(0, -1)(grouping, tasks, steps)
        return answers[grouping]

    return limit_of


def by_pandas(grouping, tasks, steps):
    plan = [pd.Series(labels) for labels in walk(grouping, tasks, steps)]
    return "maml" if plan[0].is_unique else "same" if plan[-1].nunique() == 1 else "between"


def from_zero(grouping, tasks, steps):
    plan = walk(grouping, tasks, steps, first=0)
    return limit(plan[0], plan[-1])


def compares_the_list(grouping, tasks, steps):
    labels = first = grouping(1, tasks, [0] * len(tasks), no_gradients)
    for step in range(2, steps + 1):
        labels = grouping(step, tasks, labels, no_gradients)
    return "same" if np.all(labels == labels[0]) else limit(first, range(2))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (compares_the_list, "labels is a list: `labels == c`"),
        (reads(0, -1), "Right"),
        (by_regroup, "Right"),
        (by_pandas, "Right"),
        (renumbered, "Right"),
        (asks(lambda tasks, labels: None), "the labels of the step before"),
        (asks(lambda tasks, labels: labels[:-1]), "the labels of the step before"),
        (asks(gradients=None), "give the grouping `no_gradients`"),
        (asks(gradients=[]), "give the grouping `no_gradients`"),
        (counted(lambda n, m: "maml" if min(n) == m else "same" if max(n) == 1 else "between"), "Right"),
        (lambda *asked: np.str_(reads(0, -1)(*asked)), "Right"),
        (stops_when_nothing_changes, "tasks are apart at the last step"),
        (lambda g, t, s: reads(0, -1)(g, t, min(s, 4)), "tasks are apart at the last step"),
        (lambda g, t, s: reads(0, -1)(g, t, s + 1), "there is no step 2"),
        (lambda g, t, s: reads(0, -1)(g, t, 3), "there is no step"),
        (lambda g, t, s: reads(0, -1)(lambda k, now, before, _: g(k, now, before), t, s), "stopped with TypeError"),
        (lambda g, t, s: reads(0, -1)(g, t[1:], s), "tasks are"),
        (
            lambda g, t, s: reads(0, -1)(lambda k, now, p, _: g(k, now, p if k > 1 else [1] * len(now), _), t, s),
            "zeros",
        ),
        (
            counted(lambda n, m: "maml" if n[0] >= m - 1 else "same" if n[-1] == 1 else "between"),
            "all tasks are together",
        ),
        (counted(lambda n, m: "maml" if m in n else "same" if n[-1] == 1 else "between"), "alone from step 1"),
        (
            counted(lambda n, m: "maml" if n[0] >= min(m, 4) else "same" if n[-1] == 1 else "between"),
            "together at step 1",
        ),
        (counted(lambda n, m: "maml" if n[0] > 2 else "same" if n[-1] == 1 else "between"), "all tasks are alone"),
        (lambda g, t, s: "maml" if len({*walk(g, t, s)[0][:2]}) == 2 else reads(0, -1)(g, t, s), "together at step 1"),
        (lambda g, t, s: limit(*walk(g, t, 1) * 2) if s == 1 else reads(1, -1)(g, t, s), "together at step 1"),
        (blank, "not written yet"),
        (lambda *_: None, "returned None"),
        (lambda *_: "MAML", 'expected "maml", "same" or "between"'),
        (lambda *_: True, 'expected "maml", "same" or "between"'),
        (lambda *_: "between", "always give the same answer"),
        (counted(lambda n, m: "between"), "always give the same answer"),
        (same_name, "all tasks are together at the last step"),
        (sorts_labels, "changes a list of labels that the grouping gave"),
        (kept_by_grouping(), "Not yet"),
        (lambda g, t, s: reads(0, -1)(lambda k, now, before, _: g(k, before, now, _), t, s), "the names of the tasks"),
        (reads(-1, -1), "MAML is alone from step 1"),
        (reads(0, 0), "they must share the last step"),
        (reads(-1, 0), "the wrong way round"),
        (lambda *i: {"maml": "same", "same": "maml"}.get(reads(0, -1)(*i), "between"), "names are exchanged"),
        (by_values, "need not be called 0"),
        (one_step_short, "the last step is left out"),
        (stale, "the labels of the step before"),
        (from_zero, "there is no step 0"),
        (reverses, "changes its inputs"),
        (lambda g, t, s: "between" if s > 1 else reads(0, -1)(g, t, s), "all tasks are together at the last step"),
    ],
)
def test_limit_of(capsys, answer, words):
    says(capsys, ps2.limit_of, answer, words)


def test_the_rule_is_where_adapt_ends():
    rng = np.random.default_rng(0)
    for kinds in ps2._PLANS:
        plan = [[0] * 5]
        for kind in kinds:
            plan.append(ps2._NEXT[kind](rng, plan[-1]))
        tasks = tuple("abcde")
        x, y = (torch.from_numpy(rng.standard_normal((5, 4, size))) for size in (3, 1))
        episode = Episode(tasks, ({"x": x, "y": y},), {"x": x, "y": y})
        learner = Learner(torch.nn.Linear(3, 1, bias=False).double(), squared_error)
        ends, maml = (
            torch.stack([adapted.of(i)["module.weight"][0].detach() for i in range(5)])
            for adapted in (adapt(learner, episode, g, len(kinds), 0.1) for g in (follows(plan[1:]), alone()))
        )
        found = "maml" if torch.allclose(ends, maml) else "same" if torch.allclose(ends, ends[:1]) else "between"
        assert ps2._limit(plan[1:]) == found, kinds


def follows(plan):
    return lambda step, tasks, parents, gradients: plan[step - 1]


# --- The notebook ---


@pytest.fixture(scope="module")
def cells():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def graded(cells):
    return {cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"]) for cell in cells if cell["metadata"]}


@pytest.mark.parametrize("name", ["pooled-step", "refines", "tree-grouping", "pooled-adapt", "limit-of"])
def test_the_solution_passes_and_a_blank_one_is_told_so(cells, capsys, name):
    imports, sources = "".join(cells[0]["source"]), graded(cells)
    source, check = sources[f"ps2-{name}"], sources[f"ps2-{name}-test"]
    blank = re.sub(r"### BEGIN SOLUTION.*?### END SOLUTION", "raise NotImplementedError()", source, flags=re.S)
    assert blank != source
    for code in (source, blank):
        space = {}
        exec(imports, space)
        exec(code, space)
        if code is source:
            exec(check, space)
            assert capsys.readouterr().out.count("Right") == 3
        else:
            with pytest.raises(AssertionError):
                exec(check, space)
            assert capsys.readouterr().out == "Not yet: your function is not written yet.\n"


def test_the_set_has_twenty_points_and_no_stored_outputs(cells):
    assert sum(cell["metadata"].get("nbgrader", {}).get("points", 0) for cell in cells) == 20
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    assert all(name.startswith("ps2-") for name in graded(cells))
