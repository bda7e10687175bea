"""What a student's function did: the one way to call it, to compare its answer, and to say what is wrong.

A check is a function of a `Student` and of the generator that all its random inputs come from, below `graded` (for a
problem set) or `exercise` (for a walkthrough), which holds what is said of a right answer:

    @graded("the mean over the examples of 2 (x·w - y) x.")
    def gradient(student: Student, rng: Generator) -> None:
        w, X, y = ...
        answer = student(w=w, X=X, y=y)
        answer.compare(target, {"the sign is turned": -target}, rows="one number for each parameter")

Every step raises `NotYet` at the first fault, with the sentence that the student reads; nothing has to be asked after
it. Of many cases, from small to large, a check is a generator: it yields each answer, its target and what the known
mistakes would give instead, and `compare_each` finds the fault. A problem set is then content alone.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator

from .values import (
    ListComparison,
    beside,
    close,
    copied,
    extent,
    noticing,
    numbers,
    plain,
    same,
    shared_state,
    short,
    told,
    unused,
)

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 2000
"""So many items are read from an answer that is made while it is read."""

ROUNDED = "you round your answer; return all its digits"

Check = Callable[["Student", Generator], "Iterable[tuple] | None"]


class NotYet(Exception):
    """What is wrong, in words, and lines that show it: `NotYet("your steps go uphill", "for rate=0.1")`."""

    def __str__(self) -> str:
        words, *lines = self.args
        end = "" if words.endswith(("?", ".")) else "."
        return "\n  ".join([words + end, *filter(None, lines)])


def graded(praise: str, **how: Any) -> Callable[[Check], Callable[..., bool]]:
    """Make of a check what grades: `(function, seed=0)` prints "Right: " or "Not yet: " and returns which.

    The cases that the check yields, if it does, are given to `compare_each`, with the options in `how`.
    """

    def decorate(check: Check) -> Callable[..., bool]:
        def judge(function: Callable[..., Any], seed: int = 0) -> bool:
            try:
                _sentences(check, how, Student(function), np.random.default_rng(seed))
            except NotYet as fault:
                print(f"Not yet: {fault}")
                return False
            print(f"Right: {praise}")
            return True

        return _like(check, judge)

    return decorate


def exercise(praise: str, **how: Any) -> Callable[[Check], Callable[..., None]]:
    """The same for the last line of a notebook's cell: it returns None, which a notebook does not show."""

    def decorate(check: Check) -> Callable[..., None]:
        grade = graded(praise, **how)(check)

        def judge(function: Callable[..., Any], seed: int = 0) -> None:
            grade(function, seed)

        return _like(check, judge)

    return decorate


def _sentences(check: Check, how: dict[str, Any], student: Student, rng: Generator) -> None:
    """The check, where an answer that is of no kind it knows is told as well, and does not end in a traceback."""
    try:
        compare_each(check(student, rng) or (), **how)
    except NotYet:
        raise
    except Exception as error:
        what = f"({type(error).__name__}: {_first_line(error)})"
        raise NotYet(f"your answer cannot be read {what}; is it of the kind that the text asks for?") from None


def small_first(draw: Callable[[], dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """So many draws of inputs, those with the fewest numbers first: the case that is shown is near the smallest."""
    return sorted((draw() for _ in range(count)), key=lambda inputs: sum(map(extent, inputs.values())))


def _like(check: Check, judge: Callable[..., Any]) -> Callable[..., Any]:
    """`judge` with the name and the docstring of the check; help shows its own arguments, `??` the check's source."""
    judge.__signature__ = inspect.signature(judge)
    return functools.wraps(check)(judge)


class Student:
    """A student's function. Calling it gives an `Answer`, or raises `NotYet` where there is none."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self._unused = function, unused(function)

    def __call__(self, *, given: str = "", known: Mapping[type, str] | None = None, **inputs: Any) -> Answer:
        """What the function returns for these inputs, given by position; they must stay as they are but for rounding.

        So must the random generators and torch's settings, which all code shares, and the gradient in a tensor's
        `grad`. A sentence on the answer shows the inputs by their names, or `given` in their place; `known` has words
        for exceptions that say more than their name, or for None.
        """
        before = {name: copied(value) for name, value in inputs.items()}
        inputs = {name: noticing(value, name) for name, value in inputs.items()}

        def again() -> Any:
            with np.errstate(all="ignore"), shared_state():
                return _read(self._unused(*map(copied, before.values())))

        leaves = {name: value for name, value in inputs.items() if getattr(value, "is_leaf", False)}
        flags = {name: (leaf.requires_grad, copied(leaf.grad)) for name, leaf in leaves.items()}
        given = given or told(inputs)
        shown = given and f"for {given}"
        try:
            with np.errstate(all="ignore"), shared_state() as changed:
                answer = _read(self._function(*inputs.values()))
        except NotImplementedError as error:
            raise NotYet(self._blank(error)) from None
        except ListComparison as error:
            raise NotYet(str(error), self._line(error), shown) from None
        except (Exception, SystemExit) as error:
            words = (known or {}).get(type(error))
            stopped = f"your function stopped with {type(error).__name__}: {_first_line(error)}"
            raise NotYet(words or stopped, self._line(error), shown) from None
        if answer is None:
            none = "your function returned None; does it end with `return`?"
            raise NotYet((known or {}).get(type(None), none))
        for name in before:
            if not same(inputs[name], before[name]):
                raise NotYet(
                    f"your function changes its inputs, here {name}; work on a copy: x = x - y makes something new, "
                    "while x -= y, append, pop, sort and shuffle change what was given",
                    shown,
                )
        for name, leaf in leaves.items():
            if leaf.requires_grad != flags[name][0]:
                raise NotYet(f"your function changes {name}.requires_grad; leave it as it is", shown)
            if not same(leaf.grad, flags[name][1]):
                words = f"your function changes what is in {name}.grad; leave it as it is: torch.autograd.grad does, "
                raise NotYet(words + "while backward() adds to it and zero_grad() clears it", shown)
        for setting in (name for name in changed if "set_" in name):
            words = (
                "your function leaves a setting changed that all code shares; do without {}, or put it back after it"
            )
            raise NotYet(words.format(setting), shown)
        for name in changed:
            own = next((f"`{name}` alone" for name, value in inputs.items() if isinstance(value, Generator)), "")
            raise NotYet(
                f"your function seeds {name}'s own generator, or draws from it, and so changes what other code draws; "
                f"draw with {own or 'one that you make: np.random.default_rng(seed)'}",
                shown,
            )
        return Answer(answer, given, again=again)

    def _blank(self, error: NotImplementedError) -> str:
        """Is it this function that is not written yet, or one that it calls?"""
        where = traceback.extract_tb(error.__traceback__)[-1].name
        own = where in (getattr(self._function, "__name__", where), "<lambda>")
        return f"your function {'is' if own else f'calls `{where}`, which is'} not written yet"

    def _line(self, error: Exception) -> str:
        """The student's line where the error came up, if it can be read."""
        file = getattr(getattr(self._function, "__code__", None), "co_filename", None)
        lines = [frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        return f"in your line: {lines[-1]}" if lines and lines[-1] else ""


@dataclass(frozen=True)
class Answer:
    """What a student's function returned, or a part of it by its name, and what the function was given.

    `again` gives what it would have returned, had this been its first call.
    """

    value: Any
    given: str = ""
    name: str = ""
    again: Callable[[], Any] | None = None

    def not_yet(self, words: str, *lines: str) -> NotYet:
        """The fault to raise: what is wrong, for which inputs, and lines that show it."""
        return NotYet(words, self.given and f"for {self.given}", *lines)

    def expected(self, what: str) -> NotYet:
        """The fault of an answer of the wrong kind."""
        subject = f"{self.name} is" if self.name else "your function returned"
        return self.not_yet(f"{subject} {short(self.value)}; expected {what}")

    # --- The answer as what it should be; anything else is NotYet ---

    def number(self) -> float:
        """As one number."""
        try:
            if not isinstance(self.value, str):
                return float(self.value)
        except (TypeError, ValueError, RuntimeError):
            pass
        raise self.expected("a number")

    def array(self, shape: tuple[int, ...], rows: str, finite: bool = True) -> np.ndarray:
        """As numbers of this shape, whose `rows` are described in words; a tensor's gradient is left behind."""
        try:
            array = numbers(self.value)
        except (TypeError, ValueError, RuntimeError):
            raise self.expected(f"numbers of shape {shape}, {rows}") from None
        name = self.name or "your answer"
        if array.shape != shape:
            raise self.not_yet(f"{name} has shape {array.shape}; it must be {shape}, {rows}")
        if finite and not np.isfinite(array).all():
            raise self.not_yet(f"{name} has NaN or infinity in it, which are not finite numbers")
        return array

    def like(self, target: np.ndarray, rows: str) -> np.ndarray:
        """As finite numbers of the target's shape; () is one number."""
        if target.ndim:
            return self.array(target.shape, rows)
        if not np.isfinite(value := self.number()):
            raise self.not_yet(f"{self.name or 'your answer'} is {value}, not a finite number")
        return np.array(value)

    def choice(self, *options: Any) -> Any:
        """As one of these texts or truth values."""
        value = plain(self.value)
        for option in options:
            if isinstance(value, str | int | float) and value == option:
                return option
        names = [f'"{option}"' if isinstance(option, str) else str(option) for option in options]
        raise self.expected(f"{', '.join(names[:-1])} or {names[-1]}")

    def labels(self, count: int) -> list[Hashable]:
        """As one label per task, for `count` tasks."""
        if not isinstance(self.value, Iterable) or isinstance(self.value, str | dict):
            raise self.expected("one label per task")
        labels = [plain(label) for label in self.value]
        if len(labels) != count:
            raise self.not_yet(f"your function gave {len(labels)} labels for {count} tasks")
        for label in labels:
            try:
                hash(label)
            except TypeError:
                words = f"the label {short(label)} cannot be compared as a label; a tuple or a number can"
                raise self.not_yet(words) from None
        return labels

    def function(self, what: str) -> Student:
        """As a function of the student's, to be called in its turn."""
        if not callable(self.value):
            raise self.expected(what)
        return Student(self.value)

    def parts(self, what: str, *names: str) -> list[Answer]:
        """As a sequence of as many parts as there are names."""
        count = len(self.value) if hasattr(self.value, "__len__") else 0
        if count != len(names) or isinstance(self.value, str | dict | set):
            raise self.expected(what)
        return [Answer(part, self.given, name) for part, name in zip(self.value, names, strict=True)]

    # --- Beside the target ---

    def compare(self, target: Any, named: Mapping[str, Any], rows: str = "numbers", otherwise: str = "") -> None:
        """Raise unless the answer is `target`, a number or an array, but for rounding.

        `rows` says in words what the rows of an array are; `named` and `otherwise` are as in `compare_each`.
        """
        compare_each([(self, target, named)], rows, otherwise)

    def compare_gradient(self, omega: Tensor, target: Tensor, pull: Tensor, named: Mapping[str, Tensor]) -> None:
        """Raise unless the answer, whose values are right, passes on to ω the gradient that `target` passes on.

        It is the gradient (p,) in `omega` of the sum of `pull` times the answer. `named` holds what known mistakes
        would have returned: tensors of the same shape, by the sentence to say then.
        """
        import torch

        def back(result: Tensor) -> Tensor | None:
            if not result.requires_grad:
                return None
            total = (pull.to(result.dtype) * result).sum()
            return torch.autograd.grad(total, omega, retain_graph=True, allow_unused=True)[0]

        if not hasattr(self.value, "requires_grad"):
            raise self.expected(f"a tensor of shape {tuple(target.shape)}, through which gradients flow")
        right = "the values are right, but"
        try:
            found = back(self.value)
        except RuntimeError as error:
            raise self.not_yet(f"{right} the result cannot be differentiated: {_first_line(error)}") from None
        if found is None:
            raise self.not_yet(f"{right} θ is cut off from ω: no detach, numpy, .data or new leaf on the way")
        wanted = back(target)
        if close(found, wanted):
            return
        known = (words for words, result in named.items() if _mistaken(found, wanted, back(result)))
        hint = next(known, "a part of the meta-gradient is lost: some step, or its gradient, is cut off from ω")
        shown = beside(numbers(found), numbers(wanted))
        raise self.not_yet(f"{right} {hint}", "the gradient of a weighted sum of θ", *shown)


def compare_each(
    cases: Iterable[tuple], rows: str = "numbers", off: str = "", read: Callable[[Answer], Any] | None = None
) -> None:
    """Raise unless each answer is its target. The cases come from small to large: the first that is wrong is shown.

    A case is (answer, target, named), or has the reason for its target as a fourth part; `named` holds what known
    mistakes would give, by the sentence to say then. The cases may call the student's function while they are read: of
    a wrong answer is told before a later case that stops, or where the answer is of the wrong kind.

    Numbers and arrays are the target but for rounding, and a mistake may be a tuple of several. One is named if it
    explains all that are off, of the cases for which it is given: it may look like another in one of them. Where `read`
    makes something else of an answer, which is equal or not, the mistake has to give the right ones as well. Of others
    `off` is said, or the reason.
    """
    asked, fault = [], None
    try:
        for answer, target, named, *reason in cases:
            wanted = read(Answer(target)) if read else numbers(target)
            found = read(answer) if read else answer.like(wanted, rows)
            right = found == wanted if read else close(found, wanted)
            asked.append((right, found, wanted, named, answer, target, *reason))
    except NotYet as late:
        fault = late
    wrong = [case for case in asked if not case[0]]
    if not wrong and not fault:
        return
    if not wrong:
        raise fault
    _, found, wanted, named, answer, target, *reason = wrong[0]
    if _first_call_is_right(answer, wanted, read):
        raise answer.not_yet(
            "this is right when it is your function's first call, and wrong after others: keep nothing from one call "
            "to the next, in a default or outside of the function"
        )
    if read:
        known = (words for words in named if all(case[1] == case[3].get(words) for case in asked))
        hint = next(known, off) or "".join(reason) or "this is not what the rule gives"
        why = [f": {words}" for words in reason if words not in ("", hint)]
        raise answer.not_yet(hint, f"yours {short(answer.value)}, target {short(target)}{''.join(why)}")
    wrong = [(one, other, ways) for _, one, other, ways, of, *_ in wrong if of.name == answer.name]

    def explains(words: str) -> bool:
        return all(_mistaken(one, other, ways[words]) for one, other, ways in wrong if words in ways)

    subject = answer.name or ("the values" if wanted.ndim else "the value")
    off = "".join(reason) or off or f"{subject} {'are' if subject == 'the values' else 'is'} off"
    hint = next(filter(explains, named), "") or _resemblance([(one, other) for one, other, _ in wrong]) or off
    raise answer.not_yet(hint, *beside(found, wanted))


def _first_call_is_right(answer: Answer, wanted: Any, read: Callable[[Answer], Any] | None) -> bool:
    """Is it only what the function kept of earlier calls that makes its answer wrong?"""
    if answer.again is None:
        return False
    try:
        first = Answer(answer.again())
        return bool(read(first) == wanted if read else close(first.value, wanted))
    except Exception:  # a function that needs what it kept
        return False


def parted(labels: Sequence[Hashable], wanted: Sequence[Hashable]) -> tuple[int, int] | None:
    """The first two tasks that are together by one list of labels and apart by the other; None if there are none."""
    pairs = combinations(range(len(labels)), 2)
    return next((pair for pair in pairs if len({labels[i] for i in pair}) != len({wanted[i] for i in pair})), None)


def _mistaken(found: np.ndarray, target: np.ndarray, mistakes: Any) -> bool:
    """Does one of these mistakes give what was found, and not the target too?"""
    mistakes = mistakes if isinstance(mistakes, tuple) else (mistakes,)
    return any(close(found, mistake) and not close(mistake, target) for mistake in mistakes)


def _resemblance(wrong: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """What can be said of numbers, beside their targets, that no known mistake gives."""
    if not any(found.any() for found, _ in wrong):
        return "your answer is all zeros" if wrong[0][1].ndim else ""
    if all(_mistaken(found, target, tuple(np.round(target, n) for n in range(2, 8))) for found, target in wrong):
        return ROUNDED
    if all(_mistaken(found, target, np.trunc(target)) for found, target in wrong):
        return "your numbers are cut to whole ones: is the array that you fill one of whole numbers?"
    times = [(found * target).sum() / max((target**2).sum(), 1e-300) for found, target in wrong]
    multiples = all(close(found, factor * target) for factor, (found, target) in zip(times, wrong, strict=True))
    if not multiples or abs(times[0] - 1) < 5e-3 or max(target.size for _, target in wrong) == 1:
        return ""
    if np.ptp(times) < 1e-4 * abs(times[0]):
        return f"your answer is {times[0]:.3g} times the target: look for a factor"
    return (
        f"your answer is {times[0]:.3g} times the target here, and another number of times elsewhere: look for what it "
        "is multiplied with or divided by"
    )


def _read(answer: Any) -> Any:
    """An answer that is made while it is read, or has parts that are, as lists."""
    if isinstance(answer, Iterator | KeysView | ValuesView):
        return [_read(item) for item in islice(answer, LONGEST)]
    return type(answer)(map(_read, answer)) if type(answer) in (tuple, list) else answer


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or "no message"
