"""Figures of trees without a browser: where nodes stand, what a hover says, and what cannot be drawn."""

import itertools
import re
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from test_trees import BY_OTHERS, repeatable, trees

from minimeta.errors import InputError
from minimeta.otd import grow
from minimeta.show import treeplots
from minimeta.show.similarity import arrows, heatmap, heatmap_data, similarities
from minimeta.show.style import COLOURS, SYMBOLS
from minimeta.show.treeplots import dendrogram, dendrogram_data, language_tree, side_by_side
from minimeta.text.languages import FAMILIES, PHYLOGENY, XNLI, language
from minimeta.trees import TaskTree

GROWN = TaskTree.from_newick("((a:0.5,b:0.5)x:0.3,((c:0.2,d:0.2,e:0.2)z:0.1,f:0.3)y:0.5):0.2;")
GROWN = replace(GROWN, omega=True)
BRANCH = {code: language(code).branch for code in XNLI}
ODD = ["<b>x</b>", "a & b", "&amp;", "$x$", "<br>", "%{x}", '<a href="https://example.org">q</a>']


def planted(shape, spread, seed):
    """Unit vectors (leaves, 64) in nested clusters, and the tree over them whose x is ω."""
    rng = np.random.default_rng(seed)
    noise, vectors, names = lambda: unit(rng.standard_normal(64)), [], []

    def omega(rows):
        together = np.sum(rows, axis=0) @ np.sum(rows, axis=0)
        return (together - len(rows)) / (len(rows) * (len(rows) - 1))

    def grow(centre, below, name):
        if not below:
            vectors.append(unit(centre + spread * noise()))
            names.append(name)
            return TaskTree(name), 1.0
        first = len(vectors)
        grown = [
            grow(unit(centre + 0.8 * noise()) if below[1:] else centre, below[1:], f"{name}{i}")
            for i in range(below[0])
        ]
        here = omega(vectors[first:])
        return TaskTree(name, [TaskTree(t.name, t.children, w - here) for t, w in grown]), here

    tree, start = grow(np.zeros(64), shape, "t")
    return np.array(vectors), names, TaskTree(tree.name, tree.children, start, omega=True)


def unit(vector):
    return vector / np.linalg.norm(vector)


def nodes_drawn(figure):
    """For each position in `TaskTree.nodes` that a figure shows: x, y and hover text."""
    return {
        at: (x, y, text)
        for trace in figure.data
        if trace.customdata is not None
        for at, x, y, text in zip(trace.customdata, trace.x, trace.y, trace.hovertext, strict=True)
        if at is not None
    }


def words(value):
    """Every text in a figure's nested dicts and lists."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for item in inner for text in words(item)]


def crossings(left, right, leaves):
    return sum((left[a] - left[b]) * (right[a] - right[b]) < 0 for a, b in itertools.combinations(leaves, 2))


@given(trees())
@repeatable
def test_every_node_has_its_place(tree):
    try:
        data = dendrogram_data(tree)
    except InputError:
        assert max(abs(node.length or 0) for node in tree.nodes) > 1e307
        return
    nodes = list(tree.nodes)
    assert data.names == [node.name for node in nodes]
    assert [data.names[i] for i in data.leaves] == list(tree.leaves)
    assert data.y[data.leaves].tolist() == [-i for i in range(len(data.leaves))]
    for i, node in enumerate(nodes):
        below = np.flatnonzero(data.parents == i)
        assert [nodes[j] for j in below] == list(node.children)
        assert data.sizes[i] == len(node.leaves)
        if node.children:
            assert data.y[i] == pytest.approx(data.y[below].mean())
    lengths = [node.length for node in nodes[1:]]
    counted = None in lengths or not any(lengths)
    assert data.scale == ("depth" if counted else "length") and data.x[0] == 0
    steps = [1] * len(lengths) if counted else lengths
    np.testing.assert_allclose(data.x[1:] - data.x[data.parents[1:]], steps, rtol=1e-6, atol=1e-6 * abs(data.x).max())


def test_x_is_omega():
    vectors, names, tree = planted((2, 3, 4), 0.9, seed=1)
    data, similar = dendrogram_data(tree), similarities(vectors)
    assert data.scale == "ω"
    for i, node in enumerate(tree.nodes):
        rows = [names.index(leaf) for leaf in node.leaves]
        pairs = [similar[a, b] for a, b in itertools.combinations(rows, 2)]
        assert data.x[i] == pytest.approx(np.mean(pairs) if pairs else 1)


def test_arrows_are_unit_vectors_in_the_colours_of_their_labels():
    figure = arrows({"a": (3, 4), "b": (0, 2), "c": (-5, 0)}, {"a": "x", "b": "y", "c": "x"}, "three")
    assert [(*trace.x, *trace.y) for trace in figure.data] == [(0, 0.6, 0, 0.8), (0, 0, 0, 1), (0, -1, 0, 0)]
    assert [trace.line.color for trace in figure.data] == [COLOURS[0], COLOURS[1], COLOURS[0]]
    assert [each.text for each in figure.layout.annotations] == ["a", "b", "c"]


def test_without_all_lengths_x_counts_edges():
    tree = TaskTree.from_newick("((a:0.5,b)x:0.3,c:1):0.2;")
    data = dendrogram_data(tree)
    assert (data.scale, data.x.tolist()) == ("depth", [0, 1, 2, 2, 1])
    guides = next(trace for trace in dendrogram(tree).data if trace.line.dash == "dot")
    assert (guides.x[0], guides.y[0], len(guides.x)) == (1, -2, 3)  # only c ends early
    data = dendrogram_data(TaskTree.from_newick("((a:1,b:2)x:3,c:-1);"))
    assert (data.scale, data.x.tolist()) == ("length", [0, 3, 4, 5, -1])


@pytest.mark.parametrize("stem", [":0.00000", ":0.5", ":3", ""])  # Bio.Phylo writes the first one
def test_a_length_is_not_taken_for_omega(stem):
    tree = TaskTree.from_newick(f"((a:1,b:2)x:3,c:5){stem};")
    data, figure = dendrogram_data(tree), dendrogram(tree)
    assert (data.scale, data.x.tolist()) == ("length", [0, 3, 4, 5, 5])
    assert figure.layout.xaxis.title.text == "length from the root"
    assert nodes_drawn(figure)[1][2] == "x<br>2 leaves<br>length 3.00"
    assert "ω" not in " ".join(words(figure.to_plotly_json()) + words(side_by_side(tree, tree).to_plotly_json()))


def test_lengths_of_zero_do_not_put_all_nodes_on_one_line():
    for stem in ("", ":0", ":2"):
        data = dendrogram_data(TaskTree.from_newick(f"((a:0,b:0.0):0,c:-0){stem};"))
        assert (data.scale, data.x.tolist()) == ("depth", [0, 1, 2, 2, 1])
    data = dendrogram_data(TaskTree.from_newick("((a:0,b:0):1e-9,c:0);"))  # one is enough
    assert (data.scale, data.x.tolist()) == ("length", [0, 1e-9, 1e-9, 1e-9, 0])


@pytest.mark.parametrize("name", ["names only", "chains", "letters"])
def test_a_tree_that_bio_phylo_wrote_is_drawn_by_depth(name):
    """It writes 0 where a length is missing: all nodes would stand on one line, under the label of ω."""
    tree = TaskTree.from_newick(BY_OTHERS["programs"]["Bio.Phylo"][name])
    assert {node.length for node in tree.nodes} == {0.0}
    data, figure = dendrogram_data(tree), dendrogram(tree)
    assert data.scale == "depth" and data.x.max() == tree.depth
    assert figure.layout.xaxis.title.text == "edges from the root"


def test_a_grown_tree_says_itself_that_its_lengths_are_omega():
    tree = grow(np.eye(4)[[0, 0, 1, 1]] + 0.1, list("abcd"), depth=3)[0].tree()
    for told in (tree, tree.rename({"a": "z"}), replace(TaskTree.from_newick(tree.newick()), omega=True)):
        data, figure = dendrogram_data(told), dendrogram(told)
        assert data.scale == "ω" and data.x[0] == pytest.approx(tree.length) and data.x.max() == pytest.approx(1)
        assert figure.layout.xaxis.title.text.startswith("mean similarity")
    for untold in (TaskTree.from_newick(tree.newick()), tree.children[0]):  # ω of a part would begin elsewhere
        assert dendrogram_data(untold).scale == "length"
    assert dendrogram_data(grow(np.ones((3, 2)), "abc", depth=2)[0].tree()).x.tolist() == pytest.approx([1] * 4)
    assert dendrogram_data(TaskTree("", (TaskTree("a"),), 1.0, omega=True)).scale == "depth"  # a length is missing


def test_lengths_that_add_up_to_too_much_are_one_sentence():
    with pytest.raises(InputError, match="more than a number can hold"):
        dendrogram(TaskTree.from_newick("((a:1e308)b:1e308,c:1);"))
    with pytest.raises(InputError, match="more than a number can hold"):
        dendrogram(TaskTree.from_newick("(a:1e308,b:-1e308);"))


def test_an_order_turns_children_but_keeps_the_tree():
    data = dendrogram_data(GROWN, {leaf: -i for i, leaf in enumerate(GROWN.leaves)})
    top_down = sorted(data.leaves, key=lambda i: -data.y[i])
    assert [data.names[i] for i in top_down] == ["f", "e", "d", "c", "b", "a"]
    assert data.parents.tolist() == dendrogram_data(GROWN).parents.tolist()


def test_a_hover_says_name_size_omega_label_and_note_and_leads_back_to_the_node():
    nodes = list(GROWN.nodes)
    notes = [f"note {i}" for i in range(len(nodes))]
    labels = dict(zip("abcdef", "ppqqqp", strict=True))
    drawn = nodes_drawn(dendrogram(GROWN, labels, notes=notes))
    data = dendrogram_data(GROWN)
    assert sorted(drawn) == list(range(len(nodes)))
    for i, node in enumerate(nodes):
        x, y, text = drawn[i]
        assert (x, y) == (data.x[i], data.y[i])
        size = len(node.leaves)
        leaves = "1 leaf" if size == 1 else f"{size} leaves"
        label = [] if node.children else [labels[node.name]]
        place = f"mean similarity {x:.2f}"
        assert text.split("<br>") == [node.name or "inner node", *label, leaves, place, f"note {i}"]


def test_edges_join_each_node_to_its_parent():
    figure, data = dendrogram(GROWN), dendrogram_data(GROWN)
    edges = next(trace for trace in figure.data if trace.mode == "lines" and trace.line.dash is None)
    points = np.c_[edges.x, edges.y].reshape(-1, 4, 2)
    for i, (start, corner, end, gap) in enumerate(points, 1):
        assert start.tolist() == [data.x[data.parents[i]], data.y[data.parents[i]]]
        assert end.tolist() == [data.x[i], data.y[i]]
        assert corner.tolist() == [start[0], end[1]]
        assert np.isnan(gap).all()
    assert len(points) == len(data.x) - 1


def test_the_nodes_of_a_tree_stand_at_their_inner_steps_whatever_its_lengths():
    for tree in (PHYLOGENY, GROWN):
        figure, data = treeplots.tree(tree, "title", {"en": "English", "a": "A"}), dendrogram_data(tree)
        edges, inner, leaves = figure.data
        paths = tree.paths()
        assert dict(zip(leaves.text, leaves.x, strict=True)) == {
            {"en": "English", "a": "A"}.get(leaf, leaf): len(path) - 1 for leaf, path in paths.items()
        }
        assert list(leaves.y) == [-i for i in range(len(paths))] and len(edges.x) == 4 * (len(data.names) - 1)
        assert list(inner.text) == [data.names[i] for i in data.inner] and list(inner.y) == list(data.y[data.inner])
        assert list(figure.layout.xaxis.ticktext) == [f"step {k + 1}" for k in range(tree.depth + 1)]


def test_names_at_the_nodes_of_a_tree_are_shown_to_the_letter():
    _, inner, leaves = treeplots.tree(TaskTree.from_newick("(('<b>x</b>','$a$')'<i>',y);"), "title").data
    assert list(leaves.text) == ["&lt;b&gt;x&lt;/b&gt;", "&#36;a&#36;", "y"] and "&lt;i&gt;" in inner.text


def test_each_label_has_a_look_of_its_own_that_stays_while_the_tree_grows():
    figure = dendrogram(FAMILIES, BRANCH)
    shown = {trace.name: trace for trace in figure.data if trace.showlegend}
    assert set(shown) == set(BRANCH.values())
    looks = {name: (trace.marker.color, trace.marker.symbol) for name, trace in shown.items()}
    assert len(set(looks.values())) == len(looks) > 8
    nodes = list(FAMILIES.nodes)
    for name, trace in shown.items():
        assert {nodes[i].name for i in trace.customdata} == {code for code in XNLI if BRANCH[code] == name}
    for trace in dendrogram(PHYLOGENY, BRANCH).data:
        if trace.showlegend:
            assert looks[trace.name] == (trace.marker.color, trace.marker.symbol)


def test_names_from_data_are_shown_as_written():
    tree = TaskTree("<i>root</i>", [TaskTree(name) for name in ODD])
    labels = {name: f"{name}!" for name in ODD}
    figures = [
        dendrogram(tree, labels, notes=["<u>note</u>"] * 8),
        side_by_side(tree, tree, labels, names=("<b>l</b>", "r & s")),
        heatmap(tree, np.eye(7), ODD),
    ]
    for figure in figures:
        text = "\n".join(words(figure.to_plotly_json()))
        text = re.sub('<br>|<extra></extra>|<span style="font-size: 12px">|</span>', "", text)
        assert "<" not in text and "$" not in text and not re.search("&(?!amp;|lt;|gt;|#36;)", text)
        assert "&lt;b&gt;x&lt;/b&gt;" in text and "&amp;amp;" in text and "&#36;x&#36;" in text
    hover = nodes_drawn(figures[0])[1][2].split("<br>")
    assert hover == ["&lt;b&gt;x&lt;/b&gt;", "&lt;b&gt;x&lt;/b&gt;!", "1 leaf", "depth 1", "&lt;u&gt;note&lt;/u&gt;"]


@pytest.mark.parametrize(
    ("newick", "scale"), [("a;", "depth"), ("a:0.4;", "depth"), ("((((a)b)c)d)e;", "depth"), ("((a:1)b:1);", "length")]
)
def test_one_leaf_and_a_chain_can_be_drawn(newick, scale):
    tree = TaskTree.from_newick(newick)
    assert dendrogram_data(tree).scale == scale
    assert sorted(nodes_drawn(dendrogram(tree))) == list(range(tree.depth + 1))
    assert len(side_by_side(tree, tree, {"a": "x"}).data) > 0
    assert heatmap(tree, [[1.0]], ["a"]).data[0].z.tolist() == [[1.0]]


def test_a_very_deep_tree_needs_no_recursion():
    tree = TaskTree("a")
    for level in range(2000):
        tree = TaskTree(str(level), (tree,))
    assert dendrogram_data(tree).x.max() == 2000


def test_two_hundred_leaves_are_drawn_in_few_traces_with_labels_in_place_of_names():
    _, _, tree = planted((4, 5, 10), 0.9, seed=2)
    labels = {leaf: leaf[:3] for leaf in tree.leaves}
    figure = dendrogram(tree, labels)
    assert len(figure.data) == 3 + 20  # guides, edges, inner nodes, and one for each label: a trace is what costs time
    assert list(figure.layout.yaxis.ticktext) == list(dict.fromkeys(labels.values()))
    assert len(figure.layout.yaxis.ticktext) == 20 and figure.layout.yaxis.showticklabels
    assert len(nodes_drawn(figure)) == 225
    assert dendrogram(tree).layout.yaxis.showticklabels is False
    assert figure.layout.height < 1100


def test_names_are_written_beside_ten_and_a_hundred_leaves():
    for shape in ((2, 5), (4, 25)):
        _, names, tree = planted(shape, 0.9, seed=3)
        axis = dendrogram(tree).layout.yaxis
        assert list(axis.ticktext) == names and axis.showticklabels
        assert axis.tickvals.tolist() == [-i for i in range(len(names))]


def test_a_figure_widget_takes_the_figures_and_a_redraw():
    _, names, tree = planted((2, 3, 4), 0.9, seed=4)
    labels = {leaf: leaf[:2] for leaf in names}
    widget = go.FigureWidget(dendrogram(tree, labels))
    fresh = dendrogram(TaskTree("", [TaskTree(name) for name in names[:5]]), labels)
    for old, new in zip(widget.data, fresh.data, strict=True):
        old.update(x=new.x, y=new.y, customdata=new.customdata, hovertext=new.hovertext)
    assert nodes_drawn(widget) == nodes_drawn(fresh)
    go.FigureWidget(side_by_side(tree, tree, labels)), go.FigureWidget(heatmap(tree, np.eye(24), names))


@pytest.mark.parametrize("seed", range(4))
def test_side_by_side_joins_every_leaf_to_itself(seed):
    left = planted((2, 3, 4), 0.9, seed)[2]
    shuffled = np.random.default_rng(seed).permutation(left.leaves)
    right = left.rename(dict(zip(left.leaves, shuffled.tolist(), strict=True)))
    figure = side_by_side(left, right)
    assert f"distance {left.robinson_foulds(right):.2f}" in figure.layout.title.text
    heights = []
    for tree, axis in ((left, None), (right, "x3")):
        nodes = list(tree.nodes)
        traces = [t for t in figure.data if t.customdata is not None and (t.xaxis or "x") == (axis or "x")]
        places = {at: y for trace in traces for at, y in zip(trace.customdata, trace.y, strict=True)}
        assert sorted(places) == list(range(len(nodes)))
        heights.append({nodes[at].name: y for at, y in places.items() if not nodes[at].children})
    joined = np.array(figure.data[-1].y, float).reshape(-1, 3)[:, :2]
    assert joined.tolist() == [[heights[0][leaf], heights[1][leaf]] for leaf in left.leaves]
    as_given = [{leaf: i for i, leaf in enumerate(tree.leaves)} for tree in (left, right)]
    assert 0 < crossings(*heights, left.leaves) < crossings(*as_given, left.leaves)


def test_the_same_tree_with_turned_children_crosses_no_line():
    def turned(node):
        return TaskTree(node.name, [turned(child) for child in reversed(node.children)], node.length)

    figure = side_by_side(GROWN, turned(GROWN), {leaf: "x" for leaf in GROWN.leaves}, names=("one", "two"))
    joined = np.array(figure.data[-1].y, float).reshape(-1, 3)[:, :2]
    assert (joined[:, 0] == joined[:, 1]).all()
    said = "Robinson–Foulds distance 0.00; purity 1.00 (one), 1.00 (two)"
    assert figure.layout.title.text == f'Two trees over the same tasks<br><span style="font-size: 12px">{said}</span>'


def test_similarities_are_cosines():
    vectors = np.random.default_rng(0).standard_normal((4, 3))
    expected = [[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in vectors] for a in vectors]
    np.testing.assert_allclose(similarities(vectors.tolist()), expected)


def test_the_heat_map_stands_in_the_order_of_the_leaves_with_its_middle_at_zero():
    names = ["f", "c", "a", "e", "b", "d"]
    matrix = np.add.outer(np.arange(6), 10.0 * np.arange(6))
    values, meet = heatmap_data(GROWN, matrix, names)
    for i, j in itertools.product(range(6), repeat=2):
        assert values[i, j] == matrix[names.index(GROWN.leaves[i]), names.index(GROWN.leaves[j])]
    assert meet == {1: [2], 2: [5]}  # a b | c d e : f; and no line between a and b
    trace = heatmap(GROWN, matrix, names).data[0]
    assert (trace.zmin, trace.zmax) == (-54, 54)
    assert [colour for at, colour in trace.colorscale if at == 0.5] == ["#FFFFFF"]
    assert heatmap_data(TaskTree.from_newick("(a,b,c);"), np.eye(3), "abc")[1] == {1: [], 2: []}


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: dendrogram(GROWN, {leaf: "x" for leaf in "abcde"}), "f has none"),
        (lambda: dendrogram(GROWN, {}), "a, b, c, d, e, f has none"),
        (lambda: dendrogram(GROWN, notes=["one"]), "each of the 10 nodes of the tree; got 1"),
        (lambda: side_by_side(GROWN, TaskTree.from_newick("(a,b);")), "same leaves"),
        (lambda: side_by_side(GROWN, GROWN, {"a": "x"}), "b, c, d, e, f has none"),
        (lambda: heatmap(GROWN, np.eye(5), "abcdef"), r"6 × 6 .* got shape \(5, 5\)"),
        (lambda: heatmap(GROWN, np.ones((6, 4)), "abcdef"), r"got shape \(6, 4\)"),
        (lambda: heatmap(GROWN, np.full((6, 6), np.nan), "abcdef"), "finite"),
        (lambda: heatmap(GROWN, np.eye(6), "abcdeg"), "f, g does not fit"),
        (lambda: heatmap(GROWN, np.eye(7), "abcdeff"), "does not fit"),
        (lambda: similarities([[1.0, 0.0], [0.0, 0.0]]), "none of them all zeros"),
        (lambda: similarities([[1.0, np.inf]]), "finite"),
        (lambda: similarities([1.0, 2.0]), r"\(n, d\)"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_sentence(draw, words):
    with pytest.raises(InputError, match=words) as raised:
        draw()
    assert len(str(raised.value).splitlines()) == 1 and str(raised.value).endswith(".")


def test_symbols_and_colours_make_64_looks():
    assert len(set(itertools.product(SYMBOLS, COLOURS))) == 64


def test_a_tree_of_languages_has_their_names_and_branches():
    figure = language_tree(TaskTree.from_newick("((de,yo),qaa);"), "A title")
    assert list(figure.layout.yaxis.ticktext) == ["German (de)", "Yoruba (yo)", "Unknown language [qaa] (qaa)"]
    assert {trace.name for trace in figure.data if trace.showlegend} == {"Germanic", "Atlantic-Congo", "unknown"}
