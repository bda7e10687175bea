"""The graders catch the mutants that the rules make of every solution; what is left is listed with a reason."""

import ast
import sys

import pytest
import torch
from mutants import Rules, code, differing, equivalents, every_cell, examine

CELLS = every_cell()
MOST = 40
SHARE = 0.98


@pytest.fixture(autouse=True)
def as_before():
    """Graded cells load the checks afresh, and notebooks set the number of threads."""
    modules = {name: module for name, module in sys.modules.items() if name.startswith("minimeta.course")}
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    sys.modules.update(modules)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_mutants_are_caught(cell):
    result = examine(cell, MOST)
    print(result, *result.survivors, sep="\n")
    assert result.share >= SHARE
    assert not result.stale, "listed as equivalent, and caught or no longer there"


def test_all_that_is_listed_belongs_to_a_cell_and_has_a_reason():
    listed = equivalents()
    assert set(listed) <= {cell.name for cell in CELLS}
    for entries in listed.values():
        assert all(set(entry) == {"was", "now", "why"} and entry["why"] for entry in entries)


def test_every_graded_cell_and_every_exercise_is_examined():
    graded = {name for number in range(1, 6) for _, name, is_graded in code(f"ps{number}") if is_graded}
    names = [cell.name for cell in CELLS]
    assert len(names) == len(set(names)) and graded <= set(names)
    assert len(names) - len(graded) == 21


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("a - b", "a + b"),
        ("a - b", "b - a"),
        ("a - b", "a"),
        ("a < b", "a <= b"),
        ("a and not b", "a or not b"),
        ("f(a, b)", "f(b, a)"),
        ("f(a, b)", "f(a)"),
        ("f(a, axis=0)", "f(a, axis=1)"),
        ("f(a, axis=0)", "f(a)"),
        ("a.copy()", "a"),
        ("a.mean(0)", "a.sum(0)"),
        ("range(a)", "range(a - 1)"),
        ("range(1, a)", "range(1, a + 1)"),
        ("a[b]", "a[b + 1]"),
        ("a[:b]", "a[:b - 1]"),
        ("a[:, None]", "a[None, :]"),
        ("[*a, b]", "a.append(b) or a"),
        ("[c for c in a if c > b]", "[c for c in a]"),
        ("[c for c in a]", "[c for c in list(a)[1:]]"),
        ("0.5", "1.0"),
        ("rng.normal()", "np.random.normal()"),
    ],
)
def test_the_rules_make_the_slips_that_students_make(text, one):
    assert ast.unparse(ast.parse(one)) in made(f"def f(a, b, rng):\n    return {text}", lambda line: line[7:])


@pytest.mark.parametrize(
    ("body", "one"),
    [
        ("c = a - b; return c", "a -= b; c = a; return c"),
        ("a = a - b; return a", "a -= b; return a"),
        ("a += b; return a", "return a"),
        ("c = a + b; return c", "c = a + b; return b"),
        ("return a * b", "return rounded(a * b)"),
        ("return a * b", "a *= b; return a"),
    ],
)
def test_the_rules_change_statements_too(body, one):
    assert one in made("def f(a, b, rng):\n    " + body, lambda line: line.replace("pass; ", ""))


def made(source, form):
    """The bodies of all mutants of a small function."""
    from mutants import Cell, mutants

    cell = Cell("small", "f", source, "")
    bodies = (mutant.source.splitlines()[1:] for mutant in mutants(cell, {"fraction", "array"}))
    return {form("; ".join(line.strip() for line in lines)) for lines in bodies}


def test_what_differs_is_shown_alone():
    assert differing("a\nb\nc", "a\n  d\nc") == ("b", "d")
    assert not list(Rules(ast.parse("x = 1"), set()).of(ast.Pass()))
