"""The tree widgets without a browser: what they draw and say, and that scrubbing back is exact."""

import html
import json
import re

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform
from test_treeplots import nodes_drawn, planted

from minimeta.errors import InputError
from minimeta.grouping import alone, everyone
from minimeta.inner import Learner, adapt, query_losses, squared_error
from minimeta.linkage import cosine_linkage
from minimeta.otd import OnlineTree, grow
from minimeta.show import treewidgets
from minimeta.show.similarity import mean_similarity, purities, similarities, with_omega
from minimeta.show.treeplots import dendrogram_data
from minimeta.show.treewidgets import OTDReplay, TreeExplorer
from minimeta.tasks import Episode, FourierRegression, balanced_tree, branching_curves
from minimeta.trees import TaskTree

TREE = balanced_tree((2, 2, 2))
EPISODE = branching_curves(TREE)(0)
LABELS = {"branch": {task: task[0] for task in TREE.leaves}, "twig": {task: task[:3] for task in TREE.leaves}}
ODD = "<b>x</b> & $y$"


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """How long a step takes here decides nothing."""
    monkeypatch.setattr(treewidgets, "_PATIENCE", 1e9)


def learner():
    torch.manual_seed(0)
    return Learner(FourierRegression(), squared_error)


def explorer(**more):
    return TreeExplorer(learner(), EPISODE, LABELS, trees={"true": TREE}, rate=0.1, **more)


def replay(shape=(2, 3, 3), spread=0.6, **more):
    """A replay of planted clusters, mixed, and their vectors and names."""
    vectors, names, _ = planted(shape, spread, 0)
    mixed = np.random.default_rng(1).permutation(len(names))
    vectors, names = vectors[mixed], [names[i] for i in mixed]
    return OTDReplay({"one": (vectors, names)}, {"one": {n: n[:2] for n in names}}, **more), vectors, names


def look(widget):
    """All that a replay shows."""
    traces = [(t.name, *(np.array(v, float).round(9).tolist() for v in (t.x, t.y))) for t in widget.figure.data]
    return repr((traces, widget.figure.layout.title.text, widget.live.value, widget.words.value))


def placed(widget):
    """Where a replay's nodes stand: tasks come in the order in which they stand in the end."""
    last = widget.state(widget.count)[0].leaves
    return dendrogram_data(widget.state(widget.step.value)[0], {name: place for place, name in enumerate(last)})


def ringed(widget):
    """The positions in `TaskTree.nodes` of the nodes that have a ring, in the order of their rings."""
    data = dendrogram_data(widget.tree) if isinstance(widget, TreeExplorer) else placed(widget)
    ring = widget.figure.data[0]
    places = {place: i for i, place in enumerate(zip(data.x, data.y, strict=True))}
    return [places[place] for place in zip(ring.x, ring.y, strict=True)]


def plain(text):
    return html.unescape(re.sub("<[^>]*>", "", text))


def table(text):
    """The rows of numbers in an explorer's table, by name."""
    rows = re.findall(r"<tr><td>(.*?)</td>(.*?)</tr>", text)
    return {html.unescape(name): [float(v) for v in re.findall(r">([\d.]+)</td>", row)] for name, row in rows}


def test_every_step_shows_the_tree_grown_so_far():
    widget, vectors, names = replay()
    for step in (1, 2, 7, 18, 5):
        widget.step.value = step
        online, events = grow(vectors[:step], names[:step], 3)
        tree = online.tree()
        drawn, data = nodes_drawn(widget.figure), placed(widget)
        assert sorted(drawn) == list(range(len(data.x)))
        np.testing.assert_array_equal([drawn[i][:2] for i in sorted(drawn)], np.c_[data.x, data.y])
        moved = [events[-1].moved] if events[-1].moved else []
        assert [list(tree.nodes)[i].name for i in ringed(widget)] == [names[step - 1], *moved]
        omega = mean_similarity(similarities(vectors[:step]), range(step))
        said = f"purity {tree.purity({n: n[:2] for n in names}):.2f} · mean similarity of all {omega:.2f}"
        assert plain(widget.live.value).startswith(f"{said} · height {tree.depth} of at most D = 3")
        assert plain(widget.live.value).endswith(f"{len(data.x)} nodes")
        assert plain(widget.words.value).startswith(f"{names[step - 1]} arrives")


def test_scrubbing_back_is_exact_and_so_is_a_setting_that_comes_back():
    widget, _, _ = replay()
    seen = {}
    for step in range(1, 19):
        widget.step.value = step
        seen[step] = look(widget)
    assert len(set(seen.values())) == 18
    for step in (17, 9, 10, 3, 1, 18):
        widget.step.value = step
        assert look(widget) == seen[step]
    for control, value in ((widget.order, 4), (widget.xi, 2.5), (widget.depth, 2), (widget.rule, "paper")):
        before = control.value
        control.value = value
        assert look(widget) != seen[18]
        control.value = before
        assert look(widget) == seen[18]


def test_the_controls_of_the_replay_move_one_another():
    widget, _, _ = replay()
    assert (widget.step.value, widget.play.value) == (18, 18)  # it opens on the grown tree
    widget.forward.click()
    assert widget.step.value == 18
    widget.play.value = 1  # what the browser sends while it plays
    assert widget.step.value == 1
    widget.back.click()
    assert widget.step.value == 1
    widget.forward.click()
    assert (widget.step.value, widget.play.value) == (2, 2)
    widget.step.value = 18
    widget.back.click()
    assert widget.figure.layout.title.text == "The tree after 17 of 18 tasks"


@pytest.mark.parametrize("touched", [False, True])
def test_it_plays_by_itself_once_when_it_is_seen(touched):
    widget, _, _ = replay()
    if touched:
        widget.step.value = 5
    assert not widget.play.playing
    widget.plot.hear(None, {"seen": True})
    assert widget.play.playing == (not touched)
    widget.play.playing = False
    widget.step.value = 18
    widget.plot.hear(None, {"seen": True})  # after a reload
    assert not widget.play.playing


def test_nodes_keep_their_marks_and_their_axis_from_step_to_step():
    """What plotly needs to move them: the same traces, axes and edges, and a node's own id."""
    widget, _, _ = replay()
    seen, edges = [], set()
    for step in range(1, 19):
        widget.step.value = step
        figure, (tree, nodes, _) = widget.figure, widget.state(step)
        seen.append([figure.layout.xaxis.range, figure.layout.yaxis.range, figure.layout.height, len(figure.data)])
        assert figure.layout.transition.duration > 0
        low, high = figure.layout.xaxis.range
        assert all(low <= x <= high for x, _, _ in nodes_drawn(figure).values())
        for trace in figure.data[2:]:
            assert len(trace.x) > 0  # a trace without points would leave the legend
            for at, mark in zip(trace.customdata, trace.ids, strict=True):
                assert at is None or str(nodes[at].id) == mark
        edges.add(len(figure.data[1].x))
        corners = np.array([figure.data[1].x, figure.data[1].y]).T.reshape(-1, 4, 2)
        data = placed(widget)
        for i, node in enumerate(nodes[1:], 1):
            up = data.parents[i]
            assert corners[node.id, 0].tolist() == [data.x[up], data.y[up]]
            assert corners[node.id, 2].tolist() == [data.x[i], data.y[i]]
        assert len(tree.leaves) == step
    assert all(look == seen[0] for look in seen) and len(edges) == 1
    widget.order.value = 1  # other nodes: nothing to move
    assert widget.figure.layout.transition.duration is None


def test_another_data_set_brings_its_own_ends_and_colours():
    (_, vectors, names), (_, few, called) = replay(), replay((4, 2))
    labels = {"many": {n: n[:2] for n in names}, "few": {n: n[:2] for n in called}}
    widget = OTDReplay({"many": (vectors, names), "few": (few, called)}, labels)
    widget.step.value = 18
    widget.data_set.value = "few"
    assert (widget.step.max, widget.play.max, widget.step.value) == (8, 8, 8)
    assert sorted(t.name for t in widget.figure.data[3:]) == ["t0", "t1", "t2", "t3"]
    assert len(nodes_drawn(widget.figure)) == len(widget.state(8)[1])


def test_many_labels_stand_below_the_title():
    """Three rows of labels more need room of their own, above the tree, which stays as high as it is."""
    _, vectors, names = replay((12, 2))
    few, many = ({n: n[:size] for n in names} for size in (1, 3))
    one, twelve = (OTDReplay({"x": (vectors, names)}, {"x": labels}).figure.layout for labels in (few, many))
    assert one.margin.t == 90 and twelve.margin.t >= 110
    assert twelve.height - twelve.margin.t == one.height - one.margin.t
    assert (1 - twelve.title.y) * twelve.height == pytest.approx(40) and twelve.title.yref == "container"


def test_a_plot_sends_the_figure_and_plotly_once_it_is_asked(monkeypatch):
    widget, _, _ = replay()
    widget.step.value = 5
    sent = json.loads(widget.plot.wire.value)
    assert sent["layout"]["title"]["text"] == "The tree after 5 of 18 tasks"
    assert [trace["type"] for trace in sent["data"]] == ["scatter"] * len(widget.figure.data)
    answers = []
    monkeypatch.setattr(widget.plot.wire, "send", lambda content, buffers: answers.extend(buffers))
    widget.plot.hear(None, {"want": "plotly.js"})
    assert b"plotly.js v" in answers[0][:200]
    widget.plot.hear(None, {"node": 3})  # a click means nothing here


def test_the_order_is_drawn_from_the_seed():
    (one, _, names), (two, _, _), (other, _, _) = replay(seed=1), replay(seed=1), replay(seed=2)
    for widget in (one, two, other):
        widget.order.value = 3
    orders = [[widget.state(step)[2].name for step in range(1, 19)] for widget in (one, two, other)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in (*orders, names)}) == 3
    assert all(sorted(order) == sorted(names) for order in orders)


@pytest.mark.parametrize("rule", ["corrected", "paper"])
def test_the_words_give_the_numbers_of_every_decision(rule):
    widget, _, _ = replay(spread=1.0)
    widget.rule.value = rule
    kinds, repairs = set(), set()
    for step in range(2, 19):
        widget.step.value = step
        event, words = widget.state(step)[2], plain(widget.words.value)
        lines = re.findall("<li>(.*?)</li>", widget.words.value)
        assert len(lines) == len(event.visits)
        assert (f"ξσ = {event.gap:.3f}" in words) == (rule == "corrected")
        for visit, line in zip(event.visits, lines, strict=True):
            kinds.add(visit.decision)
            shown = [f"{value:.2f}" for value in sorted(visit.similarities, reverse=True)[:3]]
            assert re.findall(r"(-?\d\.\d\d) to", plain(line)) == shown
            for name, value in visit.numbers.items():
                said = f"{name} {value:+.3f}" if rule == "corrected" else f"{treewidgets._CALLED[name]} {value:.3f}"
                assert said in plain(line) and "ω" not in plain(line)
        repairs |= {move.kind for move in event.moves[1:]}
        assert words.count("(score") == sum(move.kind != "out" for move in event.moves[1:])
        assert ("(square)" in words) == bool(event.moved)
    assert kinds == {"sibling", "pair", "descend", "look" if rule == "corrected" else "wrap"}
    assert bool(repairs) == (rule == "corrected")
    assert "above D" not in widget.live.value
    widget.depth.value, widget.xi.value = 1, 0.1  # only the paper's rule goes deeper
    assert ("above D = 1" in widget.live.value) == (rule == "paper")


def test_every_kind_of_repair_has_its_words():
    """Over many draws every kind of move happens; none of them is told with a node that nobody knows."""
    told = set()
    for draw in range(6):
        vectors = np.random.default_rng(draw).standard_normal((60, 6))
        names = [f"t{i}" for i in range(60)]
        widget = OTDReplay({"x": (vectors, names)}, {"x": dict.fromkeys(names, "y")}, xi=0.5)
        for step in range(2, 61):
            _, before, _ = widget.state(step - 1)
            event = widget.state(step)[2]
            words = plain(treewidgets.explain(event, before, "corrected"))
            assert "None" not in words
            told |= {move.kind for move in event.moves}
    assert told == set(treewidgets._MOVES)


def test_a_step_that_was_seen_before_inserts_nothing_again(monkeypatch):
    widget, _, _ = replay((5, 5, 6))
    widget.step.value = 150
    seen, inserted, insert = {}, [], OnlineTree.insert
    monkeypatch.setattr(OnlineTree, "insert", lambda self, *task: inserted.append(task) or insert(self, *task))
    for step in (149, 148, 147, 148, 149, 150, 149, 1):
        widget.step.value = step
        drawn = [trace.to_plotly_json() for trace in widget.figure.data]
        assert repr(seen.setdefault(step, drawn)) == repr(drawn)
        assert len(drawn) == 3 + 5  # the rings, edges, inner nodes, and one for each label
    assert not inserted
    widget.order.value = 1  # another order is another tree
    assert len(inserted) == 150


def test_the_explorer_shows_the_trees_of_the_gradients():
    widget = explorer()
    gradients = []
    for task in range(8):
        own = learner()
        own({name: value[task] for name, value in EPISODE.support[0].items()}).mean().backward()
        gradients.append(next(own.parameters()).grad.flatten().numpy())
    np.testing.assert_allclose(widget.gradients, gradients, atol=1e-6)
    for depth, xi in ((3, 0.7), (2, 0.7), (3, 1.5)):
        widget.depth.value, widget.xi.value = depth, xi
        expected = grow(widget.gradients, TREE.leaves, depth, xi)[0].tree()
        assert widget.tree.robinson_foulds(expected) == 0 and widget.tree.leaves == expected.leaves
        np.testing.assert_allclose(dendrogram_data(widget.tree).x, dendrogram_data(expected).x, atol=1e-6)
    for name, expected in (("true", TREE), ("average linkage", cosine_linkage(widget.gradients, TREE.leaves))):
        widget.shown.value = name
        assert widget.tree.robinson_foulds(expected) == 0
        assert f"twig <b>{expected.purity(LABELS['twig']):.2f}</b>" in widget.live.value
    widget.other.value = "random tree"
    drawn = widget.tree_of("random tree")
    assert sorted(drawn.leaves) == sorted(TREE.leaves) and drawn.leaves != widget.tree.leaves
    assert drawn == widget.tree_of("random tree") != explorer(seed=1).tree_of("random tree")
    subtitle = widget.second.layout.title.text
    assert f"distance {widget.tree.robinson_foulds(drawn):.2f}" in subtitle and "(random tree)" in subtitle


def test_a_selected_node_shows_what_a_pooled_step_does_there():
    widget = explorer(sentences={task: [f"{task} {i}" for i in range(2)] for task in TREE.leaves})
    widget.shown.value = "true"
    for position, node in enumerate(widget.tree.nodes):
        widget.select(position)
        assert ringed(widget) == [position]
        rows, words = [TREE.leaves.index(leaf) for leaf in node.leaves], plain(widget.details.value)
        chosen = widget.gradients[rows]
        ratio = np.linalg.norm(chosen.mean(0)) / np.linalg.norm(chosen, axis=1).mean()
        assert f"|mean g| / mean |g| = {ratio:.2f}" in words
        pairs = similarities(chosen)[np.triu_indices(len(rows), 1)]
        assert f"mean similarity {pairs.mean() if len(pairs) else 1:.2f} " in words
        ends = (f"{end(np.linalg.norm(chosen, axis=1)):.2f}" for end in (min, max))
        assert f"|g| = {' to '.join(ends) if len(rows) > 1 else next(ends)}" in words
        count = max(sum(leaf.startswith(twig) for leaf in node.leaves) for twig in LABELS["twig"].values())
        assert f"purity by twig: {count / len(rows):.2f} ({count} of {len(rows)} are" in words
        shown = [f"{leaf}: {leaf} 0" for leaf in node.leaves] + [f"{leaf}: {leaf} 1" for leaf in node.leaves]
        assert [line in words for line in shown] == [True] * len(shown[:3]) + [False] * len(shown[3:])
        support, query = ({k: v[rows] for k, v in batch.items()} for batch in (EPISODE.support[0], EPISODE.query))
        part, own, losses = Episode(node.leaves, (support,), query), learner(), []
        with torch.no_grad():
            for grouping, steps in ((alone(), 0), (everyone(), 1), (alone(), 1)):
                losses.append(query_losses(own, adapt(own, part, grouping, steps, 0.1), part).mean(1))
        found = table(widget.details.value)
        assert list(found) == [f"mean of {len(rows)}", *node.leaves]
        np.testing.assert_allclose(list(found.values())[1:], torch.stack(losses, 1), atol=6e-4)
        np.testing.assert_allclose(next(iter(found.values())), torch.stack(losses).mean(1), atol=6e-4)


def test_a_click_selects_and_the_selection_stays_with_its_tasks():
    widget = explorer()
    widget.shown.value = "true"
    trace = next(t for t in widget.figure.data if t.name == "inner nodes")
    widget.plot.hear(None, {"node": None})  # a click on a line
    assert ringed(widget) == [0]
    widget.plot.hear(None, {"node": trace.customdata[1]})
    assert ringed(widget) == [trace.customdata[1]]
    held = set(list(widget.tree.nodes)[trace.customdata[1]].leaves)
    widget.shown.value = "average linkage"
    (at,) = ringed(widget)
    nodes = list(widget.tree.nodes)
    assert held <= set(nodes[at].leaves)
    assert not any(held <= set(child.leaves) for child in nodes[at].children)
    widget.shown.value = "true"
    assert ringed(widget) == [trace.customdata[1]]
    with pytest.raises(InputError, match="no node 15"):
        widget.select(15)


def test_a_node_is_chosen_from_the_menu_too():
    widget = explorer()
    widget.shown.value = "true"
    nodes = list(widget.tree.nodes)
    assert [value for _, value in widget.node.options] == list(range(len(nodes)))
    for position in (4, 0, 14):
        widget.node.value = position
        assert ringed(widget) == [position] and set(widget.selected) == set(nodes[position].leaves)
    name, inside = widget.node.options[14][0], widget.node.options[1][0]
    assert name == "14: 1.1.1"
    assert re.fullmatch(r"1: 4 tasks, similarity -?\d\.\d\d \(0.0.0, 0.0.1, 0.1.0 and 1 more\)", inside), inside
    widget.select(1)
    assert widget.node.value == 1
    widget.shown.value = "average linkage"  # other nodes; the tasks stay chosen
    assert set(nodes[1].leaves) <= set(list(widget.tree.nodes)[widget.node.value].leaves)
    assert ringed(widget) == [widget.node.value] and len(widget.node.options) == len(list(widget.tree.nodes))


def test_what_does_nothing_is_disabled():
    widget = explorer()

    def dead():
        return widget.xi.disabled, widget.depth.disabled, widget.other.disabled

    for shown, below, other, expected in (
        ("learned (OTD)", "two trees", "true", (False, False, False)),
        ("learned (OTD)", "heat map", "true", (False, False, True)),
        ("true", "two trees", "learned (OTD)", (False, False, False)),
        ("true", "two trees", "random tree", (True, True, False)),
        ("true", "heat map", "learned (OTD)", (True, True, True)),
        ("random tree", "heat map", "true", (False, False, True)),
    ):
        widget.shown.value, widget.below.value, widget.other.value = shown, below, other
        assert dead() == expected, (shown, below, other)
        assert ("for the learned tree only" in widget.live.value) == expected[0]
        before = widget.figure.to_json(), widget.second.to_json()
        widget.depth.value = 2
        assert (before == (widget.figure.to_json(), widget.second.to_json())) == expected[0]
        widget.depth.value = 3


def test_a_sentence_has_its_translation_below_it():
    sentences = {task: [f"{task} in its language", "same"] for task in TREE.leaves}
    known = {f"{task} in its language": f"{ODD} of {task}" for task in TREE.leaves} | {"same": "same"}
    widget = explorer(sentences=sentences, translations=known)
    widget.select(len(list(widget.tree.nodes)) - 1)
    words = widget.details.value
    assert "in its language</bdi></i><br>= &lt;b&gt;x" in words and "<b>x" not in words
    assert words.count("<br>= ") == 1  # none for what is its own translation


def test_colours_and_the_heat_map_follow_the_menus():
    widget = explorer()
    names = lambda: [t.name for t in widget.figure.data if t.visible is not False and t.showlegend is not False]  # noqa: E731
    assert names() == ["0", "1"]
    widget.colour.value = "twig"
    assert names() == ["0.0", "0.1", "1.0", "1.1"]
    widget.colour.value = "branch"
    assert names() == ["0", "1"]
    widget.below.value = "heat map"
    at = [TREE.leaves.index(leaf) for leaf in widget.tree.leaves]
    np.testing.assert_allclose(widget.second.data[0].z, similarities(widget.gradients)[np.ix_(at, at)])
    bars = next(trace for trace in widget.second.data if trace.type == "bar")
    np.testing.assert_allclose(bars.x, np.linalg.norm(widget.gradients, axis=1)[at])
    assert list(bars.text) == [f"{length:.2f}" for length in bars.x] and list(bars.y) == list(range(8))
    widget.below.value = "two trees"
    assert "Robinson–Foulds" in widget.second.layout.title.text


def test_a_slow_pooled_step_waits_for_its_button(monkeypatch):
    assert explorer().run.layout.display == "none"
    monkeypatch.setattr(treewidgets, "_PATIENCE", 0)
    widget = explorer()
    assert widget.run.layout.display == "none" and table(widget.details.value)  # of all tasks: taken at the start
    widget.select(1)
    assert widget.run.layout.display == "" and not table(widget.details.value)
    assert "press the button" in widget.details.value
    widget.run.click()
    assert widget.run.layout.display == "none" and table(widget.details.value)


def test_steps_that_run_away_are_said_in_words():
    with pytest.raises(InputError, match="lower the inner rate"):
        TreeExplorer(learner(), EPISODE, LABELS, rate=1e38)


def test_the_learner_stays_as_it_was():
    own = learner().train()
    before = [p.clone() for p in own.parameters()]
    TreeExplorer(own, EPISODE, LABELS, rate=0.1).select(1)
    assert own.training and all(map(torch.equal, before, own.parameters()))
    assert all(p.grad is None for p in own.parameters())


def test_text_from_data_is_escaped():
    names = [f"{ODD}{task}" for task in TREE.leaves]
    labels = {ODD: {name: ODD for name in names}}
    tree = TREE.rename(dict(zip(TREE.leaves, names, strict=True)))
    episode = Episode(tuple(names), EPISODE.support, EPISODE.query)
    widget = TreeExplorer(learner(), episode, labels, {name: [ODD] for name in names}, {ODD: tree}, 0.1)
    widget.shown.value = ODD
    seen = OTDReplay({ODD: (widget.gradients, names)}, {ODD: labels[ODD]})
    seen.step.value = 8
    for text in (widget.live.value, widget.details.value, seen.words.value):
        assert "&lt;b&gt;x&lt;/b&gt; &amp; $y$" in text and "<b>x" not in text
    for figure in (widget.figure, widget.second, seen.figure):
        drawn = repr(figure.to_dict())
        assert "&lt;b&gt;x&lt;/b&gt;" in drawn and "<b>x" not in drawn and "$y$" not in drawn


def test_average_linkage_is_that_of_scipy():
    vectors = np.random.default_rng(0).standard_normal((9, 4))
    names = [f"t{i}" for i in range(9)]
    tree = cosine_linkage(vectors, names)
    heights = squareform(cophenet(linkage(vectors, "average", metric="cosine")))
    for clade in tree.clades():
        rows = [names.index(name) for name in clade]
        rest = [i for i in range(9) if i not in rows]
        assert heights[np.ix_(rows, rows)].max() < heights[np.ix_(rows, rest)].min()
    assert len(tree.clades()) == 7


def test_omega_along_a_tree_is_the_mean_similarity_below_each_node():
    vectors, names, _ = planted((2, 3, 3), 0.6, 0)
    tree = with_omega(cosine_linkage(vectors, names), similarities(vectors), names)
    data = dendrogram_data(tree)
    assert data.scale == "ω"
    for x, node in zip(data.x, tree.nodes, strict=True):
        pairs = similarities(vectors[[names.index(leaf) for leaf in node.leaves]])
        assert x == pytest.approx(pairs[np.triu_indices(len(pairs), 1)].mean() if len(pairs) > 1 else 1)
    deep = cosine_linkage(np.c_[np.ones(1500), np.arange(1500.0) ** 3], [str(i) for i in range(1500)])
    assert deep.depth > 12


def test_purities_of_learned_trees_and_of_shuffled_ones():
    vectors, names, _ = planted((3, 6), 0.3, 0)
    found = purities(vectors, names, {"cluster": {name: name[:2] for name in names}, "odd": dict.fromkeys(names, 1)}, 5)
    assert list(found) == [f"{kind}: {which}" for kind in ("cluster", "odd") for which in ("learned", "shuffled")]
    assert min(found["cluster: learned"]) > 0.9 > 0.6 > max(found["cluster: shuffled"])
    assert found["odd: learned"] == found["odd: shuffled"] == [1.0] * 5
    of = {"cluster": {name: name[:2] for name in names}}
    assert found["cluster: shuffled"] == purities(vectors, names, of, 5)["cluster: shuffled"]
    assert found["cluster: shuffled"] != purities(vectors, names, of, 5, seed=1)["cluster: shuffled"]


DATA = {"one": (np.eye(3), ["a", "b", "c"])}
KEYED = {"one": {"a": "x", "b": "x", "c": "y"}}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OTDReplay({}, {}), "at least one data set"),
        (lambda: OTDReplay(DATA, {}), "labels under the name"),
        (lambda: OTDReplay(DATA, {"one": {"a": "x"}}), "b, c has none"),
        (lambda: OTDReplay({"one": (np.eye(3), ["a", "b"])}, KEYED), "3 vectors and 2 names"),
        (lambda: OTDReplay({"one": ([], [])}, KEYED), "no task yet"),
        (lambda: OTDReplay(DATA, KEYED, depth=0), "depth"),
        (lambda: TreeExplorer(learner(), Episode(EPISODE.tasks, (), EPISODE.query), LABELS), "support and query"),
        (lambda: TreeExplorer(learner(), Episode(("a",), EPISODE.support, EPISODE.query), LABELS), "two tasks or more"),
        (lambda: TreeExplorer(learner(), EPISODE, {}), "labels of at least one kind"),
        (lambda: TreeExplorer(learner(), EPISODE, {"x": {"0.0.0": "a"}}), "has none"),
        (lambda: TreeExplorer(learner(), EPISODE, LABELS, trees={"random tree": TREE}), "names of their own"),
        (lambda: TreeExplorer(learner(), EPISODE, LABELS, trees={"x": TaskTree("a")}), "same leaves"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(make, words):
    with pytest.raises(InputError, match=words) as raised:
        make()
    assert len(str(raised.value).splitlines()) == 1
