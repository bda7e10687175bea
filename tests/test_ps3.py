"""Problem set 3: its solutions pass, and each of many small changes to them is called by its name.

A mutant is the solution of the notebook with one piece of its text replaced.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from minimeta.course import algorithm2, ps3
from minimeta.otd import OnlineTree

NOTEBOOK = Path(__file__).parents[1] / "notebooks/assignments/source/ps3/ps3.ipynb"
CELLS = {
    cell["id"]: "".join(cell["source"])
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    if cell["metadata"].get("nbgrader", {}).get("solution")
}
BLANK = "raise NotImplementedError()"


def written(name, old="", new=""):
    """The function `name` as the notebook's solution has it, with one change, among the other solutions."""
    changed = "ps3-" + name.replace("_", "-")
    assert old in CELLS[changed]
    space = {"np": np, "ps3": ps3}
    for cell, source in CELLS.items():
        exec(source.replace(old, new) if cell == changed and old else source, space)
    return space[name]


MEAN = "(units @ newcomer).mean()"
BEGIN = "### BEGIN SOLUTION\n"
OMEGA = "(total @ total - n) / (n * (n - 1))"
WRAP = '"wrap" if joined < before - xi * pairs.std() else "sibling"'
SIGMA = "pairs.std()"
PUT = "[*node[:best], child, *node[best + 1 :]]"
LAST = "\n    return [*node, name]"
FITS = "limit):\n        return [node, name]"
MUTANTS = [
    ("add_task", BEGIN, BLANK + "\n", "not written yet"),
    ("add_task", "return total, n, " + OMEGA, "pass", "returned None"),
    ("add_task", "return total, n, ", "return ", "expected three values"),
    ("add_task", "vector / np.linalg.norm(vector)", "vector", "its own length"),
    ("add_task", "total + vector", "total - vector", "is subtracted"),
    ("add_task", "return total, n,", "return total / n, n,", "return the sum"),
    ("add_task", "return total, n,", "return total / np.linalg.norm(total), n,", "not brought to length 1"),
    ("add_task", "return total, n,", "return total - vector / np.linalg.norm(vector), n,", "not in the sum"),
    ("add_task", "return total, n,", "return 'total', n,", "expected numbers of shape (3,)"),
    ("add_task", "return total, n,", "return total[:1], n,", "the sum has shape (1,)"),
    ("add_task", "return total, n,", "return total * np.nan, n,", "not finite"),
    ("add_task", "return total, n,", "return 2 * total, n,", "2 times the target"),
    ("add_task", "return total, n,", "return total + 0.1, n,", "check the sum again"),
    ("add_task", "return total, n,", "return total, n - 1,", "grows by one"),
    ("add_task", "total @ total - n)", "total @ total)", "similarity to itself"),
    ("add_task", "total @ total - n)", "total @ total - n + 1)", "after the newcomer came"),
    ("add_task", "total @ total", "np.linalg.norm(total)", "square of the sum's length"),
    ("add_task", "(n * (n - 1))", "n**2", "square of the number"),
    ("add_task", "(n * (n - 1))", "(n * (n - 1) / 2)", "counts every pair twice"),
    ("add_task", "(n * (n - 1))", "((n - 1) * (n - 2))", "new number of tasks, not the old"),
    ("add_task", OMEGA, "(total @ total - n) / 2", "sum over the pairs"),
    ("add_task", OMEGA, "(total @ vector / np.linalg.norm(vector) - 1) / (n - 1)", "mean similarity"),
    ("add_task", OMEGA, "12 / 13", "the value is off"),
    ("add_task", OMEGA, "np.nan", "not a finite number"),
    ("add_task", OMEGA, "None", "ω is None; expected a number"),
    ("add_task", BEGIN, BEGIN + "    total += vector * 0 + 1\n", "changes its inputs"),
    ("add_task", "np.linalg.norm(vector)", "vector.length", "stopped with AttributeError"),
    ("similarities", BEGIN, BLANK + "\n", "not written yet"),
    ("similarities", "return totals", "totals", "returned None"),
    ("similarities", " / sizes", "", "divide each by the size"),
    ("similarities", " / sizes", " / np.linalg.norm(totals, axis=1)", "direction of the sum"),
    ("similarities", " / np.linalg.norm(vector)", "", "its own length; divide"),
    ("similarities", " / np.linalg.norm(vector) / sizes", "", "divide by both"),
    ("similarities", " / sizes", " / sizes.sum()", "its own cluster"),
    ("similarities", " / sizes", " / (sizes + 1)", "not in there yet"),
    ("similarities", " / sizes", " / sizes**2", "size twice"),
    ("similarities", " / sizes", " / sizes.max()", "check the similarities again"),
    ("similarities", "totals @ vector", "np.nan * totals @ vector", "not finite"),
    ("similarities", "return totals @", "return totals.sum(0) @", "check the similarities again"),
    ("similarities", "return totals @", "return totals[:1] @", "check the similarities again"),
    ("similarities", "return totals @ vector", "return (totals @ vector).max()", "check the similarities again"),
    ("similarities", "return totals", "return np.array([-0.192, 0.96]); totals", "check the similarities again"),
    (
        "similarities",
        BEGIN,
        BEGIN + "    return int((totals @ vector / sizes).argmax())\n",
        "it must be (2,), one number for each cluster",
    ),
    ("similarities", BEGIN, BEGIN + "    vector /= np.linalg.norm(vector)\n", "changes its inputs"),
    ("similarities", "totals @ vector", "totals[0] @ totals", "stopped with ValueError"),
    ("decide", BEGIN, BLANK + "\n", "not written yet"),
    ("decide", "return " + WRAP, "pass", "returned None"),
    ("decide", "depth + 1 == limit", "depth == limit", "below the last level"),
    ("decide", "depth + 1 == limit", "depth + 2 >= limit", "one level too early"),
    ("decide", "before - xi", "before + xi", "you wrap whenever"),
    ("decide", WRAP, '"wrap"', "you wrap whenever"),
    ("decide", WRAP, '"sibling"', "never wrap"),
    ("decide", "xi * pairs.std()", SIGMA, "ξ is missing"),
    ("decide", "xi * pairs.std()", "xi", "σ is missing"),
    ("decide", SIGMA, "pairs.var()", "variance"),
    ("decide", SIGMA, "pairs.std(ddof=1)", "not by one less"),
    ("decide", SIGMA, "(units @ units.T).std()", "tasks to themselves"),
    ("decide", SIGMA, "(units @ newcomer).std()", "yours is that of the newcomer's"),
    ("decide", SIGMA, "np.append(pairs, units @ newcomer).std()", "without the newcomer"),
    ("decide", "joined > before", "joined > before - xi * pairs.std()", "only a newcomer that raises"),
    ("decide", "joined > before", "(units @ newcomer).max() > before", "most similar task alone"),
    ("decide", "joined < before", MEAN + " < before", "moves less"),
    ("decide", '"wrap" if joined', '"wrap" if depth + 1 < limit and joined', "part 4 mends it"),
    ("decide", "n == 1:\n        return", 'n == 1:\n        return "wrap" if n == 1 else', "|A| = 1"),
    ("decide", "n == 1:", "n <= 2:", "two tasks make one pair"),
    ("decide", BEGIN, BEGIN + '    return "sibling"\n', "not what the rule gives"),
    ("decide", "pairs.mean()", "(units @ units.T).mean()", "not what the rule gives"),
    ("decide", '"descend"', '"down"', 'expected "descend", "wrap" or "sibling"'),
    ("decide", BEGIN, BEGIN + "    newcomer *= 2\n", "changes its inputs"),
    ("decide", BEGIN, BEGIN + "    1 / 0\n", "stopped with ZeroDivisionError"),
    ("can_sink", BEGIN, BLANK + "\n", "not written yet"),
    ("can_sink", "return depth", "depth", "returned None"),
    ("can_sink", "depth + 1 +", "depth +", "one edge more"),
    ("can_sink", "<= limit", "< limit", "exactly D edges"),
    ("can_sink", "return 0 if", "return 1 if", "count edges, not nodes"),
    ("can_sink", "1 + height(node)", "1", "only the node itself"),
    ("can_sink", "max(", "min(", "take the largest height"),
    ("can_sink", "max(height(child) for child in node)", "height(node[0])", "not only the first"),
    ("can_sink", "max(height(child) for child in node)", "height(node[-1])", "not only the last"),
    ("can_sink", "1 + max(height(child) for child in node)", "len(node)", "number of children"),
    ("can_sink", "1 + max(height(child) for child in node)", "len(ps3.tasks_below(node))", "or of tasks"),
    ("can_sink", "depth + 1 +", "1 +", "own depth is missing"),
    ("can_sink", "<= limit", "> limit", "wrong way round"),
    ("can_sink", " <= limit", " <= 3", "not what the rule gives"),
    ("can_sink", BEGIN, BEGIN + "    return True\n", "one edge more"),
    ("can_sink", " <= limit", "", "expected True or False"),
    ("can_sink", "isinstance(node, str)", "not node", "without an end"),
    ("can_sink", BEGIN, BEGIN + "    node += type(node)('x')\n", "changes its inputs"),
    ("insert", BEGIN, BLANK + "\n", "your function is not written yet"),
    ("insert", LAST, "", "returned None"),
    ("insert", ".argmax()", ".argmin()", "least similar child"),
    ("insert", "totals, sizes)", "totals, sizes / sizes)", "not the largest sum"),
    ("insert", ".argmax()", ".argmax() * 0", "always goes to the first child"),
    ("insert", " and can_sink(node, depth, limit)", "", "whether the node can sink"),
    ("insert", "depth, limit):", "depth, limit - depth - 1):", "never wraps"),
    ("insert", "limit, depth + 1)", "limit, depth)", "give depth + 1"),
    ("insert", "limit, depth + 1)", "limit)", "give depth + 1"),
    ("insert", "limit, depth + 1)", "limit - 1, depth + 1)", "not what the rule gives"),
    ("insert", PUT, "[*node, name] if isinstance(node[best], str) else " + PUT, "makes a pair"),
    ("insert", 'if decision == "wrap"', "if False", "never wraps"),
    ("insert", BEGIN, BEGIN + "    return [*node, name]\n", "always a sibling"),
    ("insert", FITS, FITS.replace("[node, name]", "[*node[:-1], [node[-1], name]]"), "only joins the last"),
    ("insert", PUT, PUT.replace("child", "*child"), "keep the brackets"),
    ("insert", PUT, "[*node, child]", "there twice, old and new"),
    ("insert", PUT, "child", "other children are lost"),
    ("insert", PUT, "node", "put the new child in the place"),
    ("insert", PUT, "[*node[:best], child, *node[best:]]", "there twice, old and new"),
    ("insert", PUT, "[child, *node[1:]]", "is lost from your tree"),
    ("insert", LAST, '\n    return node if decision == "wrap" else [*node, name]', "make it a sibling"),
    ("insert", LAST, "\n    return node", "is lost from your tree"),
    ("insert", LAST, "\n    return [*node, name, 'new']", "from nowhere"),
    ("insert", LAST, "\n    node.append(name)\n    return node", "changes its inputs"),
    ("insert", BEGIN, BEGIN + "    units[name] *= 2\n", "changes its inputs"),
    ("insert", "isinstance(node, str)", "not node", "is lost from your tree"),
    ("insert", LAST, "\n    return (*node, name)", "expected a nested list"),
    ("insert", LAST, "\n    return [*node, [name, []]]", "expected a nested list"),
    ("insert", LAST, "\n    return [*node, 7]", "expected a nested list"),
    ("insert", "insert(node[best]", "insert(node", "more than once"),
    ("insert", "units[name], xi", "units['zz'], xi", "stopped with KeyError"),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("name", "old", "new", "words"), MUTANTS)
def test_a_mistake_is_called_by_its_name(capsys, name, old, new, words):
    assert getattr(ps3, name)(written(name, old, new)) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["add_task", "similarities", "decide", "can_sink", "insert"])
def test_the_solutions_of_the_notebook_pass(capsys, name, seed):
    assert getattr(ps3, name)(written(name), seed=seed) is True
    assert capsys.readouterr().out.startswith("Right: ")


def add_by_hand(total, n, vector):
    unit = vector / np.sqrt((vector**2).sum())
    pairs = (float(total @ total) - n) / 2 + float(total @ unit)
    return [list(total + unit), n + 1, pairs / ((n + 1) * n / 2)]


def add_in_place(total, n, vector):
    total = total.copy()
    total += vector / np.linalg.norm(vector)
    return total, np.int64(n + 1), (np.linalg.norm(total) ** 2 - n - 1) / (n**2 + n)


def similar_one_by_one(vector, totals, sizes):
    length = np.linalg.norm(vector)
    return [sum(vector * total) / length / size for total, size in zip(totals, sizes, strict=True)]


def similar_by_centroid(vector, totals, sizes):
    return np.einsum("kd,d->k", totals / sizes[:, None], vector / np.linalg.norm(vector))


def decide_by_mean(units, newcomer, xi, depth, limit):
    """The two tests as bounds on the newcomer's mean similarity."""
    n, near = len(units), np.mean(units @ newcomer)
    if n < 2:
        return "sibling"
    table = np.array([units[i] @ units[j] for i in range(n) for j in range(i)])
    if near > table.mean() and depth < limit - 1:
        return "descend"
    return "wrap" if near < table.mean() - xi * table.std() * (n + 1) / 2 else "sibling"


def decide_by_sums(units, newcomer, xi, depth, limit):
    n = len(units)
    if n == 1:
        return np.str_("sibling")
    both = np.vstack([units, newcomer])
    before, joined = (((v.sum(0) ** 2).sum() - len(v)) / len(v) / (len(v) - 1) for v in (units, both))
    squares = ((units @ units.T) ** 2).sum() - n
    sigma = max(squares / n / (n - 1) - before**2, 0) ** 0.5
    if joined > before:
        return ["descend", "sibling"][depth + 1 >= limit]
    return ["sibling", "wrap"][int(joined < before - xi * sigma)]


def sink_by_tree(node, depth, limit):
    return np.bool_(ps3.task_tree(node).depth < limit - depth)


def sink_down(node, depth, limit):
    return depth < limit if isinstance(node, str) else all(sink_down(child, depth + 1, limit) for child in node)


def insert_in_a_copy(node, name, units, xi, limit, depth=0):
    tasks = ps3.tasks_below(node)
    if tasks == [node]:
        return [name, node]
    decision = decide_by_mean(np.array([units[t] for t in tasks]), units[name], xi, depth, limit)
    if decision == "wrap" and sink_down(node, depth, limit):
        return [name, node]
    children = list(node)
    if decision != "descend":
        return [name, *children]
    best = max(children, key=lambda child: np.mean([units[t] @ units[name] for t in ps3.tasks_below(child)]))
    children.remove(best)
    return [*children, insert_in_a_copy(best, name, units, xi, limit, depth + 1)]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (ps3.add_task, add_by_hand),
        (ps3.add_task, add_in_place),
        (ps3.similarities, similar_one_by_one),
        (ps3.similarities, similar_by_centroid),
        (ps3.decide, decide_by_mean),
        (ps3.decide, decide_by_sums),
        (ps3.can_sink, sink_by_tree),
        (ps3.can_sink, sink_down),
        (ps3.insert, insert_in_a_copy),
    ],
)
def test_other_right_answers_pass(capsys, check, answer, seed):
    assert check(answer, seed=seed) is True, capsys.readouterr().out


def test_insert_with_a_blank_part_names_the_part(capsys):
    insert = written("insert")
    exec(CELLS["ps3-decide"].replace(BEGIN, BLANK + "\n"), insert.__globals__)
    assert ps3.insert(insert) is False
    assert "your function calls `decide`, which is not written yet" in capsys.readouterr().out


def test_insert_is_the_printed_rule_of_the_library_where_that_keeps_the_depth():
    rng, same = np.random.default_rng(0), 0
    for _ in range(60):
        middles, limit, xi = rng.standard_normal((3, 4)), int(rng.integers(1, 4)), float(rng.uniform(0.2, 1.0))
        vectors = np.repeat(middles, 3, axis=0) + 0.5 * rng.standard_normal((9, 4))
        units = {f"t{i}": vector / np.linalg.norm(vector) for i, vector in enumerate(rng.permutation(vectors))}
        library, mine = OnlineTree(limit, xi, "paper"), []
        for name in units:
            library.insert(units[name], name)
            mine = algorithm2.insert(mine, name, units, xi, limit) if mine else [name]
            assert ps3.task_tree(mine).depth <= limit
            if library.tree().depth > limit:
                break
            assert ps3.task_tree(mine).clades() == library.tree().clades()
        else:
            same += 1
    assert same > 5


def test_trees_are_told_apart_by_more_than_their_order():
    assert ps3._canonical([["a", "b"], "c"]) == ps3._canonical(["c", ["b", "a"]])
    assert ps3._canonical([["a", "b"], "c"]) != ps3._canonical([["a", "c"], "b"])
    assert ps3.tasks_below([["a", "b"], "c"]) == ["a", "b", "c"]
    assert ps3.task_tree([["a", "b"], "c"]).newick() == "((a,b),c);"
