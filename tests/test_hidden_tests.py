"""Hidden tests withstand a notebook that replaces what grades it.

The form, for every graded cell (minimeta/course/__init__.py says why):

    ### BEGIN HIDDEN TESTS
    from importlib import import_module, reload

    fresh = reload(import_module("minimeta.course")).fresh("ps1")
    assert fresh.gradient(gradient, seed=1) and fresh.gradient(gradient, seed=2)
    assert "{:.5f} {:.5f}".format(*gradient(...)) == "4.00000 -4.00000"
    ### END HIDDEN TESTS

The last line is the literal one: it names neither `ps1` nor `fresh`, and compares text with text. An f-string does as
well, if it has more than the number in it: f"ω = {omega(...):.4f}" == "ω = 0.2500".
"""

import ast
import contextlib
import io
import re
import sys
from functools import cache

import numpy as np
import pytest
from mutants import SETS, code

import minimeta.course

HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS\n(.*?)\n### END HIDDEN TESTS", re.S)
SOLUTION = re.compile(r"### BEGIN SOLUTION.*?### END SOLUTION", re.S)
FRESH = 'fresh = reload(import_module("minimeta.course")).fresh("{name}")'

# What a student's cell can put in the place of the checks, on the way to them or below them.
REPLACED = {
    "the name": "{name} = yes",
    "the check": "{name}.{check} = yes",
    "the module": "import sys\nsys.modules['minimeta.course.{name}'] = yes",
    "the name in the package": "import minimeta.course\nminimeta.course.{name} = minimeta.course.fresh = yes",
    "the package": "import sys\nsys.modules['minimeta.course'] = yes",
    "the verdict": "from minimeta.course import verdict\nverdict.graded = yes\nverdict.Student.__call__ = yes",
    "comparisons": "import numpy as np\nnp.allclose = np.array_equal = np.isclose = yes",
}
OWN = (
    "all",
    "any",
    "abs",
    "len",
    "sorted",
    "set",
    "list",
    "tuple",
    "isinstance",
    "sum",
    "round",
    "float",
    "int",
    "str",
)


class Yes:
    """It agrees with whatever it is asked: true, equal to all, callable, and as long as it has to be."""

    def __init__(self, length=1):
        self.length = length

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *given, **named):
        return self

    def __iter__(self):
        return iter([self] * self.length)

    def __format__(self, form):
        return Text("yes")

    def yes(self, *other):
        return True

    def itself(self, *other):
        return self

    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __bool__ = yes
    __sub__ = __rsub__ = __add__ = __radd__ = __mul__ = __abs__ = __round__ = itself
    __hash__ = object.__hash__


class Text(str):
    """A text that is equal to all."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        return True


CELLS = {grade_id: (name, text) for name in SETS for text, grade_id, graded in code(name) if graded}


def asked(text):
    """The check and the student's function that the cell asks it about: of `assert ps1.gradient(gradient)`, both."""
    return re.search(r"assert ps\d\.(\w+)\((\w+)\)", text).groups()


@cache
def blank(name, upto):
    """The namespace of the notebook where its graded cell `upto` runs, with nothing written by the student."""
    space = {}
    for text, grade_id, graded in code(name):
        if grade_id == upto:
            return space
        if (grade_id and not graded) or text.startswith("import"):  # not the cells that only show something
            with contextlib.redirect_stdout(io.StringIO()):
                exec(SOLUTION.sub("raise NotImplementedError()", text), space)
    raise KeyError(upto)


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """The checks and numpy are put back after each test."""
    modules = {module: sys.modules[module] for module in sys.modules if module.startswith("minimeta.course")}
    names = dict(vars(minimeta.course))
    for name in ("allclose", "array_equal", "isclose"):
        monkeypatch.setattr(np, name, getattr(np, name))
    yield
    for module in [module for module in sys.modules if module.startswith("minimeta.course")]:
        del sys.modules[module]
    sys.modules.update(modules)
    vars(minimeta.course).update(names)


def run(text, space):
    """Does the cell pass?"""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(text, space)
        except Exception:
            return False
    return True


@pytest.mark.parametrize("grade_id", CELLS)
def test_hidden_tests_have_the_form(grade_id):
    name, text = CELLS[grade_id]
    hidden = HIDDEN.search(text)[1]
    assert "from importlib import import_module, reload" in hidden
    assert FRESH.format(name=name) in hidden
    tests = [node for node in ast.parse(hidden).body if isinstance(node, ast.Assert)]
    names = [{part.id for part in ast.walk(node) if isinstance(part, ast.Name)} for node in tests]
    assert not any(name in used for used in names), "a test goes through the name that a cell can replace"
    assert not all("fresh" in used for used in names), "every test goes through the check"


@pytest.mark.parametrize("grade_id", CELLS)
def test_to_replace_the_check_gains_nothing(grade_id):
    name, text = CELLS[grade_id]
    check, function = asked(text)
    for what, change in REPLACED.items():
        module = minimeta.course.fresh(name)  # what the change spoils is thrown away
        for answer in ({}, {function: Yes(2)}):
            space = {**blank(name, grade_id), **answer, name: module, "yes": Yes()}
            exec(change.format(name=name, check=check), space)
            assert not run(text, space), what
            sys.modules["minimeta.course"] = minimeta.course


@pytest.mark.parametrize("grade_id", CELLS)
def test_an_answer_that_says_yes_to_all_gains_nothing(grade_id):
    """Even where every check says yes, and so does every builtin and every function of numpy that compares."""
    name, text = CELLS[grade_id]
    _, function = asked(text)
    np.allclose = np.array_equal = np.isclose = Yes()
    for length in range(1, 13):
        yes = Yes(length)
        space = {**blank(name, grade_id), name: yes, "yes": yes, function: yes, **dict.fromkeys(OWN, yes)}
        assert not run(text.replace(FRESH.format(name=name), "fresh = yes"), space), f"an answer of length {length}"
