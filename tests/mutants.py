"""Mutants of the model solutions, made by rule, and the share of them that the graders catch.

    python tests/mutants.py ps3                  # a set: numbers for each graded cell, survivors as differences
    python tests/mutants.py ps3-decide-test      # one cell
    python tests/mutants.py 02_pooled_gradients  # the exercises of a walkthrough notebook

A mutant is a solution with one small slip: another operator, a bound or an index off by one, a dropped term, argument
or statement, a constant or another variable for a variable, an in-place step where a copy was made, a rounded result.
It is judged by the cell's real code, visible and hidden tests, among the other model solutions. Four things happen:
it is told (a sentence or a failed assertion says that the answer is wrong), it stops with an exception, it takes too
long, or it survives. A survivor is either a hole in the check or as right as the solution; the second kind stands in
equivalent_mutants.toml, with its reason. Mutants that stop would do so at any check, so they do not count in the share.

Why not a library: mutmut and cosmic-ray mutate files of a package and start a test command for each mutant, seconds
for each of some thousands here, and neither knows functions in notebook cells; mutpy and mutatest are not maintained.
What is asked here (aliasing, dropped arguments and keywords, slices, statements moved out of a loop, rounded results)
is not among their rules either. The rules below work on the `ast`, in the process.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import itertools
import json
import random
import re
import signal
import sys
import time
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SETS = ("ps1", "ps2", "ps3", "ps4", "ps5")
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"

# --- What is mutated and what judges it ---


@dataclass
class Cell:
    """A solution, what runs before it, and the code that judges it."""

    name: str
    function: str
    source: str
    judge: str
    before: list[str] = field(default_factory=list)


def code(name: str) -> list[tuple[str, str, bool]]:
    """The code cells of a problem set: (text, grade id or "", does it grade by running?)."""
    path = ROOT / "notebooks" / "assignments" / "source" / name / f"{name}.ipynb"
    found = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] == "code":
            graded = bool(about.get("grade") and not about["solution"])
            found.append(("".join(cell["source"]), about.get("grade_id", ""), graded))
    return found


def problem_set(name: str) -> list[Cell]:
    """A cell for each graded cell; before it run the imports, the data and the solutions that stand above it."""
    cells, before, written = [], [], {}
    for text, grade_id, graded in code(name):
        if graded:
            function = re.search(r"assert ps\d\.\w+\((\w+)\)", text)[1]
            others = [other for other in before if other != written[function]]
            cells.append(Cell(grade_id, function, written[function], text, others))
        elif grade_id or text.startswith("import"):  # the others only show something
            before.append(text)
            written |= dict.fromkeys(re.findall(r"^def (\w+)", text, re.M), text)
    return cells


def walkthrough(path: Path) -> list[Cell]:
    """A cell for each exercise that a check judges, with the folded solution below it."""
    texts = [(c["cell_type"], "".join(c["source"])) for c in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    (use,) = re.findall(r"^from minimeta.course import .*checks$", "\n".join(text for _, text in texts), re.M)
    cells = []
    for (kind, text), (_, below) in itertools.pairwise(texts):
        if kind == "code" and "\nchecks." in text:
            call = text.strip().splitlines()[-1]
            check, function = re.fullmatch(r"checks\.(\w+)\((\w+)\)", call).groups()
            solution = re.search(r"```python\n(.*?)```", below, re.S)[1]
            cells.append(Cell(f"{path.stem}-{check}", function, solution, f"{use}\n{call}"))
    return cells


def walkthroughs() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("0*.ipynb"))


def every_cell() -> list[Cell]:
    """All graded cells and all exercises."""
    sets = [cell for name in SETS for cell in problem_set(name)]
    return sets + [cell for path in walkthroughs() for cell in walkthrough(path)]


# --- The rules: from a node of the solution to what may stand in its place ---

OPERATORS = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div, ast.Add], ast.Div: [ast.Mult, ast.FloorDiv],
    ast.FloorDiv: [ast.Div, ast.Mult], ast.Mod: [ast.FloorDiv], ast.Pow: [ast.Mult], ast.MatMult: [ast.Mult],
    ast.BitOr: [ast.BitAnd], ast.BitAnd: [ast.BitOr],
    ast.Lt: [ast.LtE, ast.Gt], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.Lt], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq, ast.LtE], ast.NotEq: [ast.Eq], ast.In: [ast.NotIn], ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot], ast.IsNot: [ast.Is], ast.And: [ast.Or], ast.Or: [ast.And],
}  # fmt: skip
COMMUTE = ast.Add | ast.Mult | ast.BitOr | ast.BitAnd
OTHERS = {  # functions and methods that are taken for one another
    "mean": "sum", "sum": "mean", "max": "min", "min": "max", "argmax": "argmin", "argmin": "argmax", "std": "var",
    "any": "all", "all": "any", "zeros": "ones", "eye": "ones", "extend": "append", "square": "abs", "loc": "iloc",
    "zeros_like": "ones_like", "setdiff1d": "union1d", "integers": "choice", "random": "normal",
}  # fmt: skip


def number(value: Any) -> ast.Constant:
    return ast.Constant(value)


def shifted(node: ast.expr, by: int) -> ast.BinOp:
    return ast.BinOp(node, ast.Add() if by > 0 else ast.Sub(), number(abs(by)))


def called(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name), list(arguments), [])


def is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def changed(node: ast.AST, **fields: Any) -> ast.AST:
    """The node with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def without(items: list, i: int) -> list:
    return [*items[:i], *items[i + 1 :]]


def exchanged(items: list, i: int) -> list:
    return [*items[:i], items[i + 1], items[i], *items[i + 2 :]]


def arranged(items: list) -> Iterator[list]:
    """One item less, or two neighbours exchanged."""
    for i in range(len(items)):
        yield without(items, i)
    for i in range(len(items) - 1):
        yield exchanged(items, i)


def parts_of(iterated: ast.expr) -> Iterator[ast.expr]:
    """What a loop runs over, without its first or last, or backwards."""
    for bounds in (ast.Slice(number(1)), ast.Slice(None, number(-1)), ast.Slice(None, None, number(-1))):
        yield ast.Subscript(called("list", iterated), bounds)


class Rules:
    """`of(node)` gives what may stand in the node's place: an expression, or a list of statements for a statement."""

    def __init__(self, solution: ast.AST, kinds: set[str]) -> None:
        self.kinds = kinds
        nodes = list(ast.walk(solution))
        given = [node.arg for node in nodes if isinstance(node, ast.arg)]
        assigned = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        self.given, self.names = given, list(dict.fromkeys([*given, *assigned]))
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        self.texts = [text for text in dict.fromkeys(texts) if "\n" not in text and len(text) < 30]

    def of(self, node: ast.AST) -> Iterator[Any]:
        rule = getattr(self, f"of_{type(node).__name__}", None)
        return rule(node) if rule else iter(())

    # Expressions

    def of_BinOp(self, node: ast.BinOp) -> Iterator[ast.expr]:
        for operator in OPERATORS.get(type(node.op), []):
            yield changed(node, op=operator())
        yield from (node.left, node.right)
        if not isinstance(node.op, COMMUTE):
            yield changed(node, left=node.right, right=node.left)

    def of_Compare(self, node: ast.Compare) -> Iterator[ast.expr]:
        for i, operator in enumerate(node.ops):
            for other in OPERATORS[type(operator)]:
                yield changed(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])
        yield from (number(True), number(False))

    def of_BoolOp(self, node: ast.BoolOp) -> Iterator[ast.expr]:
        yield changed(node, op=OPERATORS[type(node.op)][0]())
        for i in range(len(node.values)):
            rest = without(node.values, i)
            yield rest[0] if len(rest) == 1 else changed(node, values=rest)

    def of_UnaryOp(self, node: ast.UnaryOp) -> Iterator[ast.expr]:
        yield node.operand

    def of_IfExp(self, node: ast.IfExp) -> Iterator[ast.expr]:
        yield from (changed(node, body=node.orelse, orelse=node.body), node.body, node.orelse)

    def of_Constant(self, node: ast.Constant) -> Iterator[ast.expr]:
        if isinstance(node.value, bool):
            yield number(not node.value)
        elif isinstance(node.value, int):
            yield from (number(node.value + 1), number(node.value - 1))
        elif isinstance(node.value, float):
            yield from (number(2 * node.value), number(node.value / 2))
        elif node.value in self.texts:
            yield from (number(text) for text in self.texts if text != node.value)

    def of_Name(self, node: ast.Name) -> Iterator[ast.expr]:
        if node.id not in self.names or not isinstance(node.ctx, ast.Load):
            return
        i = self.names.index(node.id)
        for other in {self.names[i - 1], self.names[(i + 1) % len(self.names)]} - {node.id}:
            yield ast.Name(other)
        if node.id in self.given:
            yield from (number(1), number(3))
        if node.id == "rng":
            yield ast.parse("np.random", mode="eval").body
            yield ast.parse("np.random.default_rng(0)", mode="eval").body

    def of_Call(self, node: ast.Call) -> Iterator[ast.expr]:
        if isinstance(node.func, ast.Attribute):
            yield node.func.value
            if node.func.attr in OTHERS:
                yield changed(node, func=changed(node.func, attr=OTHERS[node.func.attr]))
        elif node.func.id in OTHERS:
            yield changed(node, func=ast.Name(OTHERS[node.func.id]))
        if node.args:
            yield node.args[0]
        for i in range(len(node.keywords)):
            if node.keywords[i].arg != "strict":
                yield changed(node, keywords=without(node.keywords, i))
        if len(node.args) > 1:
            yield from (changed(node, args=arguments) for arguments in arranged(node.args))
        if is_call(node, "len"):
            yield from (shifted(node, by) for by in (1, -1))
        if is_call(node, "range"):
            for i, by in itertools.product(range(len(node.args)), (1, -1)):
                yield changed(node, args=[*node.args[:i], shifted(node.args[i], by), *node.args[i + 1 :]])
            if len(node.args) == 1:
                yield changed(node, args=[number(1), *node.args])

    def of_Attribute(self, node: ast.Attribute) -> Iterator[ast.expr]:
        if node.attr == "T":
            yield node.value
        elif node.attr in ("loc", "iloc"):
            yield changed(node, attr="iloc" if node.attr == "loc" else "loc")

    def of_Subscript(self, node: ast.Subscript) -> Iterator[ast.expr]:
        yield node.value
        if isinstance(node.slice, ast.Tuple):
            yield changed(node, slice=changed(node.slice, elts=node.slice.elts[::-1]))
        elif not isinstance(node.slice, ast.Slice | ast.Constant):
            yield from (changed(node, slice=shifted(node.slice, by)) for by in (1, -1))

    def of_Slice(self, node: ast.Slice) -> Iterator[ast.expr]:
        for end in ("lower", "upper"):
            if bound := getattr(node, end):
                for other in (None, shifted(bound, 1), shifted(bound, -1)):
                    yield changed(node, **{end: other})

    def of_List(self, node: ast.List | ast.Tuple) -> Iterator[ast.expr]:
        if not isinstance(node.ctx, ast.Load) or len(node.elts) < 2:
            return
        yield from (changed(node, elts=items) for items in arranged(node.elts))
        first = node.elts[0]
        if isinstance(first, ast.Starred) and len(node.elts) == 2:  # a list that is made longer where it stands
            append = ast.Call(ast.Attribute(first.value, "append"), node.elts[1:], [])
            yield ast.BoolOp(ast.Or(), [append, first.value])

    of_Tuple = of_List

    def of_comprehension(self, node: ast.comprehension) -> Iterator[ast.comprehension]:
        if not is_call(node.iter, "range"):
            yield from (changed(node, iter=part) for part in parts_of(node.iter))
        for i, test in enumerate(node.ifs):
            yield changed(node, ifs=without(node.ifs, i))
            yield changed(node, ifs=[*node.ifs[:i], ast.UnaryOp(ast.Not(), test), *node.ifs[i + 1 :]])

    # Statements

    def of_Expr(self, node: ast.Expr) -> Iterator[list]:
        yield [ast.Pass()]

    def of_Assign(self, node: ast.Assign) -> Iterator[list]:
        yield [ast.Pass()]
        if in_place := self._in_place(node.value):
            left = node.value.left
            same = ast.unparse(left) == ast.unparse(node.targets[0])
            yield [in_place] if same else [in_place, changed(node, value=left)]

    def of_AugAssign(self, node: ast.AugAssign) -> Iterator[list]:
        yield [ast.Pass()]
        yield [ast.Assign([node.target], node.value, lineno=0)]
        yield from ([changed(node, op=operator())] for operator in OPERATORS.get(type(node.op), []))

    def of_If(self, node: ast.If) -> Iterator[list]:
        yield [changed(node, test=ast.UnaryOp(ast.Not(), node.test))]
        yield from (node.body, node.orelse or [ast.Pass()])

    def of_For(self, node: ast.For) -> Iterator[list]:
        if not is_call(node.iter, "range"):
            yield from ([changed(node, iter=part)] for part in parts_of(node.iter))
        yield [changed(node, body=[*node.body, ast.Break()])]
        if len(node.body) > 1:
            yield [node.body[0], changed(node, body=node.body[1:])]
            yield from ([changed(node, body=exchanged(node.body, i))] for i in range(len(node.body) - 1))

    def of_Return(self, node: ast.Return) -> Iterator[list]:
        if node.value is None:
            return
        others = (name for name in self.names if ast.unparse(node.value) != name)
        wrapped = (called(name, node.value) for kind, name in WRAPPERS if kind in self.kinds)
        yield from ([ast.Return(value)] for value in (*map(ast.Name, others), *wrapped))
        if in_place := self._in_place(node.value):
            yield [in_place, ast.Return(node.value.left)]

    def _in_place(self, value: ast.expr) -> ast.AugAssign | None:
        """`a = a - b` as `a -= b`."""
        if isinstance(value, ast.BinOp) and isinstance(value.left, ast.Name):
            return ast.AugAssign(value.left, value.op, value.right)
        return None


# What is done to a result, where it has numbers with a fraction or arrays in it; a mutant calls them by name.


def _each(change: Any) -> Any:
    def all_of(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(map(all_of, value))
        return change(value) if hasattr(value, "ndim") or isinstance(value, float) else value

    return all_of


@_each
def rounded(value: Any) -> Any:
    return value.round(decimals=3) if hasattr(value, "detach") else np.round(value, 3)


@_each
def whole(value: Any) -> Any:
    return value.long() if hasattr(value, "detach") else np.asarray(value).astype(int)


@_each
def squeezed(value: Any) -> Any:
    return value.squeeze() if hasattr(value, "squeeze") else value


@_each
def absolute(value: Any) -> Any:
    return abs(value)


@_each
def detached(value: Any) -> Any:
    return value.detach() if hasattr(value, "detach") else value


WRAPPERS = [("fraction", "rounded"), ("fraction", "whole"), ("fraction", "absolute"), ("array", "squeezed"),
            ("gradient", "detached")]  # fmt: skip


def kinds(value: Any) -> set[str]:
    """What is in a result: "fraction" for numbers that are not whole, "array", "gradient"."""
    if isinstance(value, tuple | list):
        return set().union(*map(kinds, value))
    if not isinstance(value, float) and not hasattr(value, "ndim"):
        return set()
    found = {"array"} if getattr(value, "ndim", 0) else set()
    if getattr(value, "requires_grad", False):
        return found | {"gradient", "fraction"}
    numbers = np.asarray(value)
    if numbers.dtype.kind == "f" and (numbers != np.round(numbers)).any():
        found.add("fraction")
    return found


# --- Mutants ---


@dataclass(frozen=True)
class Mutant:
    """A changed solution, and the lines that differ; `ast.unparse` writes both."""

    source: str
    was: str
    now: str

    def __str__(self) -> str:
        return "\n".join([*(f"- {line}" for line in self.was.split(" ⏎ ")),
                          *(f"+ {line}" for line in self.now.split(" ⏎ "))])  # fmt: skip


def mutants(cell: Cell, found: set[str]) -> list[Mutant]:
    """All different ones that the rules make; `found` says what is in the results."""
    tree = ast.parse(cell.source)
    lines = cell.source.splitlines()
    marks = [i + 1 for i, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    first, last = marks or (1, len(lines))
    (top,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == cell.function]
    rules, original, seen = Rules(top, found), ast.unparse(tree), {}
    for parent in ast.walk(top):
        for name, value in ast.iter_fields(parent):
            for i, node in enumerate(value if isinstance(value, list) else [value]):
                line = getattr(node, "lineno", None) or getattr(getattr(node, "iter", None), "lineno", 0)
                if not isinstance(node, ast.AST) or not first <= line <= last or isinstance(parent, ast.arguments):
                    continue
                for other in rules.of(node):
                    if isinstance(value, list):
                        other = other if isinstance(other, list) else [other]
                        setattr(parent, name, [*value[:i], *other, *value[i + 1 :]])
                    else:
                        setattr(parent, name, other)
                    with contextlib.suppress(SyntaxError, ValueError), warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of what no person would write
                        source = ast.unparse(tree)
                        compile(source, "mutant", "exec")
                        seen.setdefault(source, None)
                    setattr(parent, name, value)
    seen.pop(original, None)
    return [Mutant(source, *differing(original, source)) for source in seen]


def differing(one: str, other: str) -> tuple[str, str]:
    """The lines that differ, joined."""
    one, other = one.splitlines(), other.splitlines()
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return tuple(" ⏎ ".join(line.strip() for line in lines) for lines in (one, other))


# --- The judgement ---


class TooLong(BaseException):
    """Not an Exception: a check must not take it for one of the student's."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """At most so much processor time."""

    def stop(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Judge:
    """Runs a cell's real test on a solution; makes the namespace once."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.space: dict[str, Any] = {}
        with _quiet():
            for text in cell.before:
                exec(text, self.space)
        helpers = (rounded, whole, absolute, squeezed, detached)
        self.space |= {helper.__name__: helper for helper in helpers}
        self.code = compile(cell.judge, "test", "exec")
        self.kinds: set[str] = set()
        before = time.process_time()
        assert self.verdict(cell.source) == "survived", f"{cell.name}: the model solution fails"
        self.seconds = time.process_time() - before

    def verdict(self, source: str) -> str:
        """What becomes of this solution: "told", "stopped", "slow" or "survived"."""
        space = dict(self.space)
        limit = 60.0 if not hasattr(self, "seconds") else max(2.0, 10 * self.seconds)
        with _quiet() as printed:
            try:
                with limited(limit):
                    exec(source, space)
                    if limit == 60:
                        space[self.cell.function] = self._watched(space[self.cell.function])
                    exec(self.code, space)
            except TooLong:
                return "slow"
            except AssertionError:
                pass
            except Exception:
                return "stopped"
            else:
                if "Not yet" not in printed.getvalue():
                    return "survived"
        return "stopped" if "your function stopped with" in printed.getvalue() else "told"

    def _watched(self, function: Any) -> Any:
        """The function, whose results are looked at."""

        def watch(*given: Any) -> Any:
            answer = function(*given)
            self.kinds |= kinds(answer)
            return answer

        return watch


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield printed


@dataclass
class Result:
    """What became of the mutants of one cell."""

    name: str
    counts: Counter
    survivors: list[Mutant]
    listed: list[Mutant]
    stale: list[dict]

    @property
    def share(self) -> float:
        """Of the mutants that give an answer and are not as right as the solution, those that are told or too slow."""
        caught = self.counts["told"] + self.counts["slow"]
        return caught / max(caught + len(self.survivors), 1)

    def __str__(self) -> str:
        counts = self.counts
        caught = counts["told"] + counts["slow"]
        return (
            f"{self.name}: {counts.total()} mutants, {counts['stopped']} stop, {caught} caught, "
            f"{len(self.listed)} equivalent, {len(self.survivors)} survive ({100 * self.share:.1f} %)"
        )


def equivalents() -> dict[str, list[dict[str, str]]]:
    """By cell: was, now, why."""
    return tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.exists() else {}


def examine(cell: Cell, most: int | None = None) -> Result:
    """Judge the mutants of a cell; of more than `most` a sample, always the same, in which the listed ones are."""
    judge = Judge(cell)
    known = {(entry["was"], entry["now"]): entry for entry in equivalents().get(cell.name, [])}
    drawn = mutants(cell, judge.kinds)
    if most is not None and len(drawn) > most:
        kept = random.Random(0).sample(drawn, most)
        drawn = [mutant for mutant in drawn if mutant in kept or (mutant.was, mutant.now) in known]
    verdicts = {mutant: judge.verdict(mutant.source) for mutant in drawn}
    survived = [mutant for mutant, verdict in verdicts.items() if verdict == "survived"]
    listed = [mutant for mutant in survived if (mutant.was, mutant.now) in known]
    found = {(mutant.was, mutant.now) for mutant in listed}
    stale = [entry for pair, entry in known.items() if pair not in found]
    survivors = [mutant for mutant in survived if mutant not in listed]
    return Result(cell.name, Counter(verdicts.values()), survivors, listed, stale)


def main(wanted: str) -> None:
    cells = [cell for cell in every_cell() if cell.name.startswith(wanted)]
    for cell in cells:
        before = time.process_time()
        result = examine(cell)
        print(f"{result}, {time.process_time() - before:.0f} s")
        for mutant in result.survivors:
            print(f"{mutant}\n")
        for entry in result.stale:
            print(f"no longer there, or caught: {entry}\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(sys.argv[1] if len(sys.argv) > 1 else "")
