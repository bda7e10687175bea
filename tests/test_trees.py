"""Task trees: Newick, clusters at each step, and two comparisons against slow and plain definitions."""

import itertools
import math
import re
import tomllib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimeta.errors import InputError
from minimeta.linkage import average_linkage
from minimeta.tasks import balanced_tree, sinusoids
from minimeta.trees import TaskTree

repeatable = settings(deadline=None, derandomize=True, max_examples=60)

AWKWARD = ["a b", "it's", "''", "'", " ", "(", "a,b", "x:1", ";", "[note]", "]", "de/fiction", "wave 0", "a\nb", "\t"]
AWKWARD += ["日本語", "ελ", "é", "e\u0301", "\u00a0", "a\u00a0b", "1.5", "nan", "\\", "_", "-", "🌳", "[a[b]", "\r\n"]
AWKWARD += ['"', '""', '"a,b"', 'a"b', "\ufeffa", "a\ufeff", "#NEXUS", "#nexus begin"]
NAMES = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
LENGTHS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
TREES = Path(__file__).parents[2] / "shared" / "real" / "trees"


@st.composite
def trees(draw, leaves=None):
    """A random tree: any number of children per node, also one; awkward names, optional names and lengths."""
    leaves = leaves or draw(st.lists(NAMES, unique=True, min_size=1, max_size=9))
    nodes = [TaskTree(name, (), draw(LENGTHS)) for name in draw(st.permutations(leaves))]
    for _ in range(draw(st.integers(0, 8))):
        first = draw(st.integers(0, len(nodes) - 1))
        last = draw(st.integers(first + 1, len(nodes)))
        nodes[first:last] = [TaskTree(draw(st.just("") | NAMES), tuple(nodes[first:last]), draw(LENGTHS))]
    return nodes[0] if len(nodes) == 1 else TaskTree(draw(st.just("") | NAMES), tuple(nodes), draw(LENGTHS))


@st.composite
def pairs_of_trees(draw):
    leaves = draw(st.lists(NAMES, unique=True, min_size=1, max_size=7))
    return draw(trees(leaves)), draw(trees(leaves))


@st.composite
def labelled_trees(draw):
    tree = draw(trees())
    return tree, {leaf: draw(st.sampled_from("xyz")) for leaf in tree.leaves}


def plain(node):
    """The tree as nested tuples."""
    return node.name, node.length, tuple(plain(child) for child in node.children)


def leaves_below(node):
    return [leaf for child in node.children for leaf in leaves_below(child)] if node.children else [node.name]


def meeting_point(node, a, b, depth=0):
    """The lowest common ancestor of two leaves and its depth."""
    for child in node.children:
        if {a, b} <= set(leaves_below(child)):
            return meeting_point(child, a, b, depth + 1)
    return node, depth


def purity_by_pairs(tree, labels):
    shares = []
    for a, b in itertools.combinations(leaves_below(tree), 2):
        if labels[a] == labels[b]:
            below = leaves_below(meeting_point(tree, a, b)[0])
            shares.append(sum(labels[leaf] == labels[a] for leaf in below) / len(below))
    return sum(shares) / len(shares) if shares else 1.0


def clades_by_subsets(tree):
    """Every proper subset of at least two leaves that some node holds exactly, found by trying all subsets."""

    def holds(node, subset):
        return set(leaves_below(node)) == subset or any(holds(child, subset) for child in node.children)

    leaves = leaves_below(tree)
    sizes = range(2, len(leaves))
    return {frozenset(s) for n in sizes for s in itertools.combinations(leaves, n) if holds(tree, set(s))}


def is_one_sentence(raised):
    text = str(raised.value)
    return len(text.splitlines()) == 1 and text.endswith(".")


@given(trees())
@repeatable
def test_newick_reads_back_unchanged(tree):
    again = TaskTree.from_newick(tree.newick())
    assert plain(again) == plain(tree)
    assert again == tree and hash(again) == hash(tree)
    assert again.newick() == tree.newick()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;", ("a", None, ())),
        ("(a);", ("", None, (("a", None, ()),))),
        ("(a,b)c;", ("c", None, (("a", None, ()), ("b", None, ())))),
        (
            " ( a : 1 ,\n'it''s':2e-1 [a note] ) 'the root' : 3 ; ",
            ("the root", 3.0, (("a", 1.0, ()), ("it's", 0.2, ()))),
        ),
        ("[note](a[1][2],b:[x]-1.5);", ("", None, (("a", None, ()), ("b", -1.5, ())))),
        ("('(',')':0)',';", (",", None, (("(", None, ()), (")", 0.0, ())))),
        # A double quote at the start of a name quotes it; further on, it is a character like others.
        ('("a,b":1,c:1);', ("", None, (("a,b", 1.0, ()), ("c", 1.0, ())))),
        ("""("a 'x'" ,'b "y"')"";""", ("", None, (("a 'x'", None, ()), ('b "y"', None, ())))),
        ('("say ""a""",\'it\'\'s ""\')"all";', ("all", None, (('say "a"', None, ()), ('it\'s ""', None, ())))),
        ('(5"x,a"b,c"d);', ("", None, (('5"x', None, ()), ('a"b', None, ()), ('c"d', None, ())))),
        ("('Are'are:1,'a b')'Na'vi;", ("'Na'vi", None, (("'Are'are", 1.0, ()), ("a b", None, ())))),
        ("(O'odham,it''s,k');", ("", None, (("O'odham", None, ()), ("it''s", None, ()), ("k'", None, ())))),
        ("\ufeff(a,b);\r\n", ("", None, (("a", None, ()), ("b", None, ())))),
        ("[&R] (a,b); [after; the [end]]\n", ("", None, (("a", None, ()), ("b", None, ())))),
        (
            "[it's (a [nested] one)]([x[y[z]]]a[b]:[&rate={1,2}]1[d],b\n:\t2)[e]c[f];[g][h]",
            ("c", None, (("a", 1.0, ()), ("b", 2.0, ()))),
        ),
        (
            "(a:1e-5,b:.5,c:1.,d:-0.1,e:+2E3);",
            ("", None, tuple((n, v, ()) for n, v in zip("abcde", (1e-5, 0.5, 1.0, -0.1, 2000.0), strict=True))),
        ),
        ("(a,\u00a0b\u00a0,\u3000c);", ("", None, (("a", None, ()), ("b", None, ()), ("c", None, ())))),
        ("#NEXUS;", ("#NEXUS", None, ())),
        (
            "((a,b)ab:1,(c)d)e;",
            ("e", None, (("ab", 1.0, (("a", None, ()), ("b", None, ()))), ("d", None, (("c", None, ()),)))),
        ),
    ],
)
def test_newick_is_read_as_written(text, expected):
    assert plain(TaskTree.from_newick(text)) == expected


def test_nest_reads_dicts_and_lists():
    tree = TaskTree.nest("all", {"Germanic": ["en", "de"], "Other": {"Hellenic": ["el"], "Slavic": ["bg", "ru"]}})
    assert tree.newick() == "((en,de)Germanic,((el)Hellenic,(bg,ru)Slavic)Other)all;"
    assert tree.leaves == ("en", "de", "el", "bg", "ru") and tree.depth == 3


def test_trees_differ_by_name_length_and_order():
    texts = ["(a,b);", "(b,a);", "(a,b)c;", "(a:1,b);", "(a:2,b);", "((a,b));", "(a,(b));"]
    assert len({TaskTree.from_newick(text) for text in texts}) == len(texts)
    assert TaskTree.from_newick("(a,b);") != "(a,b);"


@given(trees())
@repeatable
def test_leaves_nodes_and_paths_agree(tree):
    nodes = list(tree.nodes)
    assert list(tree.leaves) == leaves_below(tree) == list(tree.paths())
    for leaf, path in tree.paths().items():
        assert nodes[path[0]] is tree and nodes[path[-1]].name == leaf and not nodes[path[-1]].children
        assert all(any(nodes[low] is child for child in nodes[up].children) for up, low in itertools.pairwise(path))
    assert tree.depth == max(len(path) for path in tree.paths().values()) - 1


@given(trees())
@repeatable
def test_step_one_is_one_cluster(tree):
    assert set(tree.clusters(1)) == set(tree.leaves)
    assert len(set(tree.clusters(1).values())) == 1


@given(trees())
@repeatable
def test_clusters_are_refined_from_step_to_step(tree):
    for step in range(1, tree.depth + 3):
        before, after = tree.clusters(step), tree.clusters(step + 1)
        parent = {}
        for leaf in tree.leaves:
            assert parent.setdefault(after[leaf], before[leaf]) == before[leaf]


@given(trees(), st.integers(1, 7))
@repeatable
def test_leaves_share_a_cluster_while_their_paths_agree(tree, step):
    clusters = tree.clusters(step)
    for a, b in itertools.combinations(tree.leaves, 2):
        assert (clusters[a] == clusters[b]) == (meeting_point(tree, a, b)[1] >= step - 1)


@given(trees(), st.integers(1, 50))
@repeatable
def test_clusters_below_the_deepest_leaf_stay(tree, more):
    last = tree.clusters(tree.depth + 1)
    assert len(set(last.values())) == len(tree.leaves)
    assert tree.clusters(tree.depth + 1 + more) == last


def test_a_short_branch_keeps_its_cluster():
    tree = TaskTree.from_newick("(a,(b,(c,d)));")
    for step in (2, 3, 4, 5):
        assert tree.clusters(step)["a"] == tree.clusters(2)["a"] != tree.clusters(1)["a"]


@pytest.mark.parametrize("step", [0, -1])
def test_steps_count_from_one(step):
    with pytest.raises(InputError) as raised:
        TaskTree.from_newick("(a,b);").clusters(step)
    assert is_one_sentence(raised)


@given(trees(), st.data())
@repeatable
def test_rename_keeps_the_shape(tree, data):
    names = dict(zip(tree.leaves, data.draw(st.permutations(tree.leaves)), strict=True))

    def renamed(node):
        name = node.name if node.children else names[node.name]
        return name, node.length, tuple(renamed(child) for child in node.children)

    moved = tree.rename(names)
    assert plain(moved) == renamed(tree)
    assert plain(moved.rename({new: old for old, new in names.items()})) == plain(tree)


def test_rename_leaves_the_rest_alone():
    tree = TaskTree.from_newick("((a,b)a,c)c;")
    assert tree.rename({"a": "it's", "other": "x"}).newick() == "(('it''s',b)a,c)c;"
    assert tree.newick() == "((a,b)a,c)c;"


@given(labelled_trees())
@repeatable
def test_purity_equals_the_sum_over_pairs(tree_and_labels):
    tree, labels = tree_and_labels
    purity = tree.purity(labels)
    assert purity == pytest.approx(purity_by_pairs(tree, labels), abs=1e-12)
    assert 0 < purity <= 1 + 1e-12


@given(trees(), st.integers(1, 6))
@repeatable
def test_purity_is_one_when_each_label_is_a_subtree(tree, step):
    assert tree.purity(tree.clusters(step)) == 1


def test_purity_by_hand():
    tree = TaskTree.from_newick("((a,b),(c,d));")
    assert tree.purity({"a": "x", "b": "y", "c": "x", "d": "y"}) == 0.5
    assert tree.purity({"a": "x", "b": "x", "c": "x", "d": "y"}) == pytest.approx((1 + 0.75 + 0.75) / 3)
    assert TaskTree.from_newick("(a,b,c,d);").purity({"a": "x", "b": "x", "c": "y", "d": "z"}) == 0.5


def test_purity_needs_every_label():
    with pytest.raises(InputError, match="; c has none") as raised:
        TaskTree.from_newick("(a,(b,c));").purity({"a": "x", "b": "x"})
    assert is_one_sentence(raised)


@given(pairs_of_trees())
@repeatable
def test_robinson_foulds_counts_the_clades_of_one_tree_only(pair):
    one, two = pair
    mine, theirs = clades_by_subsets(one), clades_by_subsets(two)
    assert one.clades() == mine
    expected = len(mine ^ theirs) / (len(mine) + len(theirs)) if mine or theirs else 0
    assert one.robinson_foulds(two) == pytest.approx(expected, abs=1e-12)
    assert one.robinson_foulds(two) == two.robinson_foulds(one)


@given(trees(), st.data())
@repeatable
def test_robinson_foulds_to_itself_is_zero(tree, data):
    def shuffled(node):
        return TaskTree(node.name, tuple(shuffled(c) for c in data.draw(st.permutations(node.children))), None)

    assert tree.robinson_foulds(tree) == 0
    assert tree.robinson_foulds(shuffled(tree)) == 0


def test_robinson_foulds_by_hand():
    def distance(one, two):
        return TaskTree.from_newick(one).robinson_foulds(TaskTree.from_newick(two))

    assert distance("((a,b),(c,d));", "((a,c),(b,d));") == 1
    assert distance("((a,b),(c,d));", "((a,b),c,d);") == pytest.approx(1 / 3)
    assert distance("(((a,b),c),d);", "(((a,c),b),d);") == 0.5
    assert distance("(a,b,c);", "(c,(a),b);") == 0


@pytest.mark.parametrize(
    ("one", "two", "odd"),
    [("(a,b);", "(a,c);", "b, c"), ("(a,b);", "(a,b,c);", "c"), ("((a,b),c);", "(a,b);", "c")],
)
def test_trees_over_other_leaves_cannot_be_compared(one, two, odd):
    with pytest.raises(InputError, match=f"; {odd} is in one of them") as raised:
        TaskTree.from_newick(one).robinson_foulds(TaskTree.from_newick(two))
    assert is_one_sentence(raised)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        ";",
        "a",
        "(a,b)",
        "();",
        "(a,());",
        "(a,b;",
        "((a,b);",
        "(a,b));",
        ")a,b(;",
        "(a,,b);",
        "(,a);",
        "(a,);",
        "a,b;",
        "(a,b),c;",
        "a,(b;",
        "(a,b);(c,d);",
        "(a,b);;",
        "(a,b); more",
        "(a b,c);",
        "(a,b)c d;",
        "((a,b)(c,d));",
        "a(b,c);",
        "(a:,b);",
        "(a:one,b);",
        "(a:1:2,b);",
        "(a:1,b:'2');",
        "(:1,b);",
        "('a,b);",
        "('',b);",
        "(a[note,b);",
        "(a[a [nested] one,b);",
        "(a]b,c);",
        "(a,b);]",
        "(a,b); [note",
        '("a,b);',
        '("a"b,c);',
        '("a""b,c);',
        '(a "b",c);',
        '("",b);',
        "(a\u00a0b,c);",
        "(a:nan,b);",
        "(a:inf,b);",
        "(a:1e999,b);",
        "(a:1_0,b);",
        "(a:١,b);",
        "(a:1 2,b);",
        "\ufeff",
        "[only a note]",
        "(a,\nb",
        "(" * 500 + "a;",
    ],
)
def test_malformed_newick_is_one_clear_sentence(text):
    with pytest.raises(InputError, match="Newick") as raised:
        TaskTree.from_newick(text)
    assert is_one_sentence(raised)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing but blanks and comments"),
        ("(a,b)", "no closing ';'"),
        ("(a,(b,c);", r"a '\(' without its '\)'"),
        ("(a;b);", r"a '\(' without its '\)'"),
        ('("a,b);', r"a quote that never ends, .* \(character 2\)"),
        ("('Are'are',b);", r"a quote .* not doubled \(character 2\)"),
        ("(a,b)[x [y];", r"a '\[' without its '\]' \(character 6\)"),
        ("(a:nan,b:1);", "'nan' behind it, which is no finite number"),
        ("(a,b);\n[two](c,d);\n(e,f);\n", "3 trees, one after the other.*expected one tree alone"),
        ("(New Guinea,b);", "unexpected 'Guinea' after a node .a name with a blank in it needs quotes"),
        ("(a,b); more", "text after the closing ';'"),
    ],
)
def test_what_is_wrong_with_a_newick_text_is_named(text, words):
    with pytest.raises(InputError, match=words):
        TaskTree.from_newick(text)


@pytest.mark.parametrize("start", ["#NEXUS\n", "\ufeff#NEXUS\n", "\n#nexus [it's a note]\n"])
def test_a_nexus_file_is_named(start):
    body = "begin trees;\n translate 1 a, 2 'b c';\n tree one = [&R] (1:2,2:3);\nend;\n"
    with pytest.raises(InputError, match=r"NEXUS file.*from behind the '='.*TRANSLATE") as raised:
        TaskTree.from_newick(start + body)
    assert is_one_sentence(raised)
    assert TaskTree.from_newick(body.split("=", 1)[1].split("\n")[0]).leaves == ("1", "2")


@pytest.mark.skipif(not TREES.exists(), reason="the real language trees are not in shared/real beside this checkout")
@pytest.mark.parametrize(
    ("name", "leaves", "depth", "some_node"),
    [("glottolog_indo1319", 56, 7, "ukra1253"), ("glottolog_global", 1285, 15, "abkh1244"),
     ("bouckaert_et_al2012", 103, None, "German_ST")],
)  # fmt: skip
def test_real_language_trees_are_read_and_written(name, leaves, depth, some_node):
    text = (TREES / f"{name}.trees").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="NEXUS"):
        TaskTree.from_newick(text)
    (line,) = re.findall(r"(?im)^\s*tree\s.*?=(.*)$", text)
    tree = TaskTree.from_newick(line)
    assert len(tree.leaves) == leaves and depth in (None, tree.depth)
    assert some_node in {node.name for node in tree.nodes}
    assert plain(TaskTree.from_newick(tree.newick())) == plain(tree)


@pytest.mark.parametrize("length", [float("nan"), float("inf"), -float("inf")])
def test_a_length_that_is_not_finite_is_one_sentence(length):
    with pytest.raises(InputError, match=r"'a' has the length .*; expected a finite number") as raised:
        TaskTree("a", (), length)
    assert is_one_sentence(raised)


def test_a_branch_with_nothing_below_is_no_task():
    wrong = {"x": [], "y": ["a"]}, {"x": {}, "y": ["a"]}, []
    for make in (*(lambda w=each: TaskTree.nest("", w) for each in wrong), lambda: balanced_tree((2, 0))):
        with pytest.raises(InputError, match=r"^Nothing stands below|a node with none") as raised:
            make()
        assert is_one_sentence(raised)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TaskTree.from_newick("(a,b,a);"),
        lambda: TaskTree.from_newick("((a,b),('a',c));"),
        lambda: TaskTree.nest("", {"x": ["a"], "y": ["a"]}),
        lambda: TaskTree("", (TaskTree("a"), TaskTree("x", (TaskTree("a"),)))),
        lambda: TaskTree.from_newick("(a,b);").rename({"b": "a"}),
    ],
)
def test_a_leaf_named_twice_raises(make):
    with pytest.raises(InputError, match=r"\ba\b.*more than once") as raised:
        make()
    assert is_one_sentence(raised)


def test_an_inner_node_may_share_a_name():
    assert TaskTree.from_newick("((a,b)a,c)a;").leaves == ("a", "b", "c")


@pytest.mark.parametrize("side", ["", ",b{}"], ids=["chain", "ladder"])
def test_a_very_deep_tree_needs_no_recursion(side):
    levels = 1500  # more than Python's limit of recursion
    text = "(" * levels + "a" + "".join(side.format(level) + ")" for level in range(levels)) + ";"
    tree = TaskTree.from_newick(text)
    assert tree.newick() == text and tree.depth == levels
    assert len(set(tree.clusters(750).values())) == (1 if not side else 750)


def test_a_very_wide_tree_is_read_and_written():
    text = f"({','.join(f'a{i}:{i}' for i in range(20_000))});"
    tree = TaskTree.from_newick(text)
    assert len(tree.leaves) == 20_000 and tree.newick().replace(".0", "") == text


def test_building_a_tree_is_linear_in_its_nodes():
    levels = 20_000  # half a minute if every node walked through all below it
    text = "(" * levels + "a" + "".join(f",b{level})" for level in range(levels)) + ";"
    tree = TaskTree.from_newick(text)
    kept = tree.keep(["a", "b7", f"b{levels - 1}"])
    assert kept.newick() == f"((a,b7),b{levels - 1});"
    assert tree.levels(4).depth == 3 and tree.depth == levels


@st.composite
def grown(draw):
    """A random tree in which every node has a name of its own and, below the root, a whole number as its length."""
    nodes = [(f"leaf{i}", ()) for i in range(draw(st.integers(1, 9)))]
    for place in range(draw(st.integers(0, 8))):
        first = draw(st.integers(0, len(nodes) - 1))
        last = draw(st.integers(first + 1, len(nodes)))
        nodes[first:last] = [(f"node{place}", tuple(nodes[first:last]))]

    def made(node, length):
        name, below = node
        return TaskTree(name, tuple(made(child, draw(st.integers(0, 5)) * 1.0) for child in below), length)

    return made(nodes[0] if len(nodes) == 1 else ("root", tuple(nodes)), None)


def ways(node, above=()):
    """For each node's name the nodes from the root down to it."""
    found = {node.name: (*above, node)}
    for child in node.children:
        found |= ways(child, (*above, node))
    return found


def meeting(one, other):
    """The last node that two ways from the root share."""
    return [a for a, b in zip(one, other, strict=False) if a is b][-1]


def far(way):
    return sum(node.length for node in way[1:])


@given(grown(), st.data())
@repeatable
def test_keep_leaves_the_relations_of_what_is_kept(tree, data):
    before = ways(tree)
    chosen = data.draw(st.lists(st.sampled_from(sorted(before)), min_size=1, unique=True))
    cut = tree.keep({name: f"new {name}" for name in chosen})
    after = {node.name: way for way in ways(cut).values() for node in way if not node.children}
    assert set(after) == {f"new {name}" for name in chosen} == set(cut.leaves)
    assert cut.length is None and all(len(node.children) != 1 for node in cut.nodes)
    for a, b in itertools.combinations(chosen, 2):
        here, there = (before[a], before[b]), (after[f"new {a}"], after[f"new {b}"])
        old, new = meeting(*here), meeting(*there)
        assert new.name == old.name  # inner nodes are those where two kept nodes meet, under their own names
        apart = far(here[0]) + far(here[1]) - 2 * far(before[old.name])
        assert far(there[0]) + far(there[1]) - 2 * far(ways(cut)[new.name]) == apart
    order = list(before)  # from left to right; a node that is also kept itself comes after what is below it
    plain_ones = [name for name in chosen if not any(node.name in chosen for node in below(before[name][-1]))]
    places = [order.index(leaf[4:]) for leaf in cut.leaves if leaf[4:] in plain_ones]
    assert places == sorted(places)


def below(node):
    return list(node.nodes)[1:]


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("(((a:1,b:2)x:3,c:4)y:5,d:6)r:7;", ["a", "d"], "(a:9.0,d:6.0)r;"),
        ("(((a:1,b:2)x:3,c:4)y:5,d:6)r:7;", ["a", "c"], "(a:4.0,c:4.0)y;"),
        ("(((a:1,b:2)x:3,c:4)y:5,d:6)r:7;", {"x": "new"}, "new;"),
        ("(((a:1,b:2)x:3,c:4)y:5,d:6)r:7;", {"x": "ex", "d": "a"}, "(ex:8.0,a:6.0)r;"),
        # An inner node that is kept with another below it gets itself as one more leaf.
        ("(((a:1,b:2)x:3,c:4)y:5,d:6)r:7;", ["x", "b", "d"], "((b:2.0,x:0.0)x:8.0,d:6.0)r;"),
        ("((a,b)x,c)r;", ["r", "x", "a"], "((a,x)x,r)r;"),
        # A length that is unknown makes the sum unknown, and only that.
        ("((a:1,b)x,(c,e:1)y:2,d:1)r;", ["a", "c", "d"], "(a,c,d:1.0)r;"),
        ("(((a)b)c:1,d)r;", ["a", "d"], "(a,d)r;"),
        ("(((a:1)b:2)c:3,d:1)r;", {"b": "B", "d": "D"}, "(B:5.0,D:1.0)r;"),
        ("(a,b,c);", "b", "b;"),
        ("((a,a1)n,(b,b1)n);", ["b", "a"], "(a,b);"),
    ],
)
def test_keep_by_hand(text, names, expected):
    assert TaskTree.from_newick(text).keep(names).newick() == expected


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "zz", "q"], "has no node zz, q"),
        (["n"], "names n twice"),
        ([], "Nothing is left"),
        ({"a": "x", "b": "x"}, "names x more than once"),
        ({"a": "x", "b": ""}, "A leaf of the tree has no name"),
    ],
)
def test_what_cannot_be_kept_is_one_sentence(names, words):
    with pytest.raises(InputError, match=words) as raised:
        TaskTree.from_newick("((a,a1)n,(b,b1)n);").keep(names)
    assert is_one_sentence(raised)


@given(grown(), st.integers(2, 9), st.sampled_from(["depth", "length"]))
@repeatable
def test_levels_pool_what_meets_beyond_the_cut(tree, count, by):
    way = {leaf: ways(tree)[leaf] for leaf in tree.leaves}

    def reach(path):
        return len(path) - 1 if by == "depth" else int(far(path))

    end = max(map(reach, way.values()))
    if (count > end + 1) if by == "depth" else not any(node.length for node in tree.nodes):
        with pytest.raises(InputError) as raised:
            tree.levels(count, by)
        assert is_one_sentence(raised)
        return
    levels = tree.levels(count, by)
    assert levels.leaves == tree.leaves and levels.depth <= count - 1
    for step in range(1, count + 1):
        cut = Fraction((step - 1) * end, count - 1)
        cut = math.floor(cut + Fraction(1, 2)) if by == "depth" else cut
        clusters = levels.clusters(step)
        for a, b in itertools.combinations(tree.leaves, 2):
            met = ways(tree)[meeting(way[a], way[b]).name]
            together = reach(met) >= cut and step < count
            assert (clusters[a] == clusters[b]) == together, (a, b, step)
    if by == "length":
        assert {leaf: pytest.approx(far(way[leaf])) for leaf in way} == {
            leaf: far(ways_of_leaves(levels)[leaf]) for leaf in way
        }


def ways_of_leaves(node, above=()):
    if not node.children:
        return {node.name: (*above, node)}
    return {leaf: way for child in node.children for leaf, way in ways_of_leaves(child, (*above, node)).items()}


DATED = "((a:1,b:1)x:2,(c:1.5,e:0.5)y:1,d:0.5)r;"


@pytest.mark.parametrize(
    ("count", "by", "expected"),
    [
        (1, "depth", "(a,b,c,e,d)r;"),
        (2, "depth", "(a,b,c,e,d)r;"),
        (3, "depth", "((a,b)x,(c,e)y,d)r;"),
        (1, "length", "(a:3.0,b:3.0,c:2.5,e:1.5,d:0.5)r;"),
        (3, "length", "((a:1.5,b:1.5)x:1.5,c:2.5,e:1.5,d:0.5)r;"),
        (4, "length", "(((a:1.0,b:1.0)x:1.0)x:1.0,(c:1.5,e:0.5)y:1.0,d:0.5)r;"),
    ],
)
def test_levels_by_hand(count, by, expected):
    assert TaskTree.from_newick(DATED).levels(count, by).newick() == expected


def test_levels_round_halves_up():
    tree = TaskTree.from_newick("(((((a,b),c),d),e),f);")  # 5 edges deep: 3 levels are at 0, 2.5 and 5
    assert clusters_of(tree.levels(3), 2) == [["a", "b", "c"], ["d"], ["e"], ["f"]]
    assert clusters_of(tree.levels(4), 2) == [["a", "b", "c", "d"], ["e"], ["f"]]  # at 1.67, so at 2
    assert clusters_of(tree.levels(4), 3) == [["a", "b", "c"], ["d"], ["e"], ["f"]]  # at 3.33, so at 3


def clusters_of(tree, step):
    found = {}
    for leaf, cluster in tree.clusters(step).items():
        found.setdefault(cluster, []).append(leaf)
    return list(found.values())


def test_times_that_differ_in_their_last_digit_are_the_same():
    tree = TaskTree.from_newick("((a:0.2,b:0.2)x:0.1,(c:0.1,d:0.1)y:0.2);")  # 0.1 + 0.2 is more than 0.3
    assert clusters_of(tree.levels(4, "length"), 2) == [["a", "b"], ["c", "d"]]
    assert clusters_of(tree.levels(4, "length"), 3) == [["a"], ["b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("text", "count", "by", "words"),
    [
        ("(a,b);", 0, "depth", "at least one level, not 0"),
        ("((a,b),c);", 4, "depth", "3 levels at most, by depth, and 4 were asked for"),
        ("((a:1,b:1),c:1);", 2, "length", "Some lengths of the tree are missing"),
        ("((a:1,b:-1):1,c:1);", 2, "length", "Some lengths of the tree are negative"),
        ("((a:0,b:0):0,c:0);", 2, "length", "All lengths of the tree are 0"),
        ("a;", 2, "length", "All lengths of the tree are 0"),
        ("(a,b);", 2, "time", "by 'depth' or by 'length', not by 'time'"),
    ],
)
def test_levels_that_cannot_be_made_are_one_sentence(text, count, by, words):
    with pytest.raises(InputError, match=words) as raised:
        TaskTree.from_newick(text).levels(count, by)
    assert is_one_sentence(raised)


def test_average_linkage_by_hand():
    distances = [[9, 2, 6, 8], [2, 9, 4, 8], [6, 4, 9, 8], [8, 8, 8, 9]]  # the diagonal is not looked at
    assert average_linkage(distances, list("abcd")).newick() == "(d:8.0,(c:5.0,(a:2.0,b:2.0):3.0):3.0);"
    assert average_linkage([[0]], ["a"]).newick() == "a;"


@given(st.integers(2, 9), st.integers(0, 10_000))
@repeatable
def test_average_linkage_joins_the_two_nearest_clusters(n, seed):
    rng = np.random.default_rng(seed)
    distances = rng.random((n, n))
    distances += distances.T
    names = [str(i) for i in range(n)]
    clusters, clades = [frozenset([name]) for name in names], set()

    def apart(pair):
        return np.mean([distances[int(a), int(b)] for a in pair[0] for b in pair[1]])

    heights = []
    while len(clusters) > 1:
        nearest = min(itertools.combinations(clusters, 2), key=apart)
        heights.append(apart(nearest))
        clusters = [c for c in clusters if c not in nearest] + [nearest[0] | nearest[1]]
        clades.add(clusters[-1])
    tree = average_linkage(distances, names)
    assert tree.clades() == {clade for clade in clades if len(clade) < n}
    assert [far(way) for way in ways_of_leaves(tree).values()] == pytest.approx([heights[-1]] * n)


@pytest.mark.parametrize(
    ("distances", "words"),
    [
        ([[0, 1, 2], [1, 0, 3]], "a table of 3 × 3"),
        ([[0, 1, -1], [1, 0, 3], [-1, 3, 0]], "Distances of a, c are negative"),
        ([[0, 1, np.nan], [1, 0, 3], [np.nan, 3, 0]], "Distances of a, c are .*missing"),
        ([[0, 1, 2], [1, 0, np.inf], [2, np.inf, 0]], "Distances of b, c are .*infinite"),
        ([[0, 1, 2], [1, 0, 3], [2, 4, 0]], "not the same in both directions"),
    ],
)
def test_distances_that_make_no_tree_are_one_sentence(distances, words):
    with pytest.raises(InputError, match=words) as raised:
        average_linkage(distances, ["a", "b", "c"])
    assert is_one_sentence(raised)


@pytest.mark.parametrize(
    "name", [" ", "a b", "a_b", "a=b", "{", "}", 'a"b', "a\\b", "it's", "a,b", "(", ")", ":", ";", "[", "]", "\ufeff"]
)
def test_names_that_another_program_would_change_are_quoted(name):
    quoted = "'" + name.replace("'", "''") + "'"
    assert TaskTree("", (TaskTree(name, (TaskTree("x"),)), TaskTree(name))).newick() == f"((x){quoted},{quoted});"


@pytest.mark.parametrize("name", ["95", "0.95", "1e-5", "-1", ".5", "nan", "inf"])
def test_a_number_is_quoted_where_it_would_be_read_as_support(name):
    tree = TaskTree("", (TaskTree(name, (TaskTree("x"),)), TaskTree(name)))
    assert tree.newick() == f"((x)'{name}',{name});"


@pytest.mark.parametrize("name", ["de", "de/fiction", "zh-Hant", "1.0.1", "日本語", "a.b", "a|b", "wave0"])
def test_other_names_stay_bare(name):
    assert TaskTree("", (TaskTree(name),)).newick() == f"({name});"


def zeros(node):
    length = 0.0 if node.length is None else node.length
    return TaskTree(node.name, tuple(zeros(child) for child in node.children), length)


BY_OTHERS = tomllib.loads((Path(__file__).parent / "data" / "newick_by_others.toml").read_text(encoding="utf-8"))
REFUSED = None
# What is lost on the way through another program, and nothing else is; for Bio.Phylo beside the missing lengths.
LOST = {
    ("newick", "backslash"): REFUSED,  # it reads no quoted backslash
    ("Bio.Phylo", "apostrophes"): "('it''s',('Are''are','O''odham')'Ju|''hoan');",
    ("Bio.Phylo", "numbers"): "((a:1,1.5:2)'95.00':3,(c:4,7:5)'0.10':6)'1.00';",
    ("Bio.Phylo", "signs"): """(('a=b','c{d}','e"f','(g)'),('h:i','j,k','l;m','[n]',#o)'p''');""",
    ("scikit-bio", "blanks"): "((wave_0,wave_1,_x)'all of_them',(de/fiction,zh-Hant)b.1);",
    ("scikit-bio", "signs"): REFUSED,  # its apostrophes have no quotes around them
    ("scikit-bio", "apostrophes"): REFUSED,
    ("treeswift", "blanks"): REFUSED,  # it writes no quotes, apart from those around ( ) : ; [ ]
    ("treeswift", "signs"): """(('a=b','c{d}','e"f','(g)'),('h:i','j,k','l;m','[n]',#o)p);""",
    ("treeswift", "apostrophes"): "(its,(Areare,Oodham)Ju|hoan);",
}


@pytest.mark.parametrize("program", BY_OTHERS["programs"])
@pytest.mark.parametrize("name", BY_OTHERS["trees"])
def test_what_other_programs_write_of_our_trees_is_read(program, name):
    text, ours = BY_OTHERS["programs"][program][name], BY_OTHERS["trees"][name]
    assert TaskTree.from_newick(ours).newick() == ours  # it is still what we write
    expected = LOST.get((program, name), ours)
    if expected is REFUSED:
        with pytest.raises(InputError, match="Not a Newick tree") as raised:
            TaskTree.from_newick(text)
        assert is_one_sentence(raised)
        return
    tree = TaskTree.from_newick(expected)
    assert plain(TaskTree.from_newick(text)) == plain(zeros(tree) if program == "Bio.Phylo" else tree)


def test_names_of_tasks_go_through_every_program():
    """Nothing is lost of trees whose names are plain, as those of tasks are."""
    plain_ones = {"names only", "lengths", "no names inside", "chains", "some lengths", "letters"}
    assert not plain_ones & {name for _, name in LOST}
    assert not any(re.search(r"[\s_'\"]", task) for task in sinusoids(3)(0).tasks + balanced_tree().leaves)


@pytest.mark.parametrize("make", [lambda: TaskTree(""), lambda: TaskTree("a").rename({"a": ""})])
def test_a_leaf_without_a_name_is_one_sentence(make):
    with pytest.raises(InputError, match="A leaf of the tree has no name") as raised:
        make()
    assert is_one_sentence(raised)


def test_a_tree_of_clusters():
    tree = TaskTree.of_clusters("abcd", [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 2]])
    assert tree.newick() == "(((a,b),((c,d))));"
    assert [tree.clusters(level)["a"] == tree.clusters(level)["b"] for level in (1, 2, 3, 4)] == [
        True,
        True,
        True,
        False,
    ]
    assert TaskTree.of_clusters(["a", "b"], [[1, 0]]).newick() == "(a,b);"
    for labels in ([[0, 1, 1], [0, 0, 1]], [[0, 1, 1], [0, 0, 0]]):  # a and b are apart, and then together again
        with pytest.raises(InputError, match="merge at step 2"):
            TaskTree.of_clusters("abc", labels)
