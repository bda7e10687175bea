"""What a check does with a student's function: it calls it, compares, and says what is wrong."""

import inspect
import random
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from minimeta.course.values import beside, close, same, told
from minimeta.course.verdict import (
    LONGEST,
    Answer,
    NotYet,
    Student,
    compare_each,
    exercise,
    graded,
    parted,
    small_first,
)


@graded("twice the sum.")
def doubles(student, rng):
    """Check `function(x, y)`: twice their sum."""
    for _ in range(3):
        x, y = rng.uniform(1, 2, 2)
        student(x=x, y=y).compare(2 * (x + y), {"the factor 2 is missing": x + y, "only one of them": (2 * x, 2 * y)})


def test_a_check_says_what_it_finds_and_returns_whether_it_is_right(capsys):
    assert doubles(lambda x, y: 2 * x + 2 * y) is True
    assert doubles(lambda x, y: x + y) is False
    assert doubles(lambda x, y: 2 * y, seed=3) is False
    said = capsys.readouterr().out
    assert said.startswith("Right: twice the sum.\nNot yet: the factor 2 is missing.\n  for x=1.637, y=1.27\n  yours ")
    assert "Not yet: only one of them.\n" in said


def test_an_exercise_returns_nothing(capsys):
    assert exercise("yes.")(lambda student, rng: None)(max) is None
    assert capsys.readouterr().out == "Right: yes.\n"


def test_help_shows_what_a_student_calls():
    assert list(inspect.signature(doubles).parameters) == ["function", "seed"]
    assert doubles.__name__ == "doubles" and doubles.__doc__.startswith("Check `function(x, y)`")
    assert "student(x=x, y=y)" in inspect.getsource(doubles)


def fault(call, *options, **inputs):
    with pytest.raises(NotYet) as caught:
        call(*options, **inputs)
    return str(caught.value)


def blank(*inputs):
    raise NotImplementedError


def calls_a_blank(*inputs):
    return blank(*inputs)


def divides(x):
    return x / 0


def test_what_stops_a_function_is_told():
    assert fault(Student(blank), x=1) == "your function is not written yet."
    assert fault(Student(calls_a_blank), x=1) == "your function calls `blank`, which is not written yet."
    assert fault(Student(lambda x: None), x=1) == "your function returned None; does it end with `return`?"
    said = fault(Student(divides), x=1)
    assert said == (
        "your function stopped with ZeroDivisionError: division by zero.\n  in your line: return x / 0\n  for x=1"
    )
    assert fault(Student(divides), known={ZeroDivisionError: "mind the zero"}, x=1).startswith("mind the zero.\n")
    assert fault(Student(divides), given="one", x=1).endswith("\n  for one")


def put(place, value):
    def change(x):
        x[place] = value
        return 0

    return change


@pytest.mark.parametrize(
    ("change", "x"),
    [
        (put(0, 5.0), np.zeros(3)),
        (put(0, 5.0), torch.zeros(3)),
        (put(0, 5), [0, 1]),
        (put(0, 5), [[0], [1]]),
        (put("a", 5), {"a": np.zeros(2)}),
        (put("b", 5), {"a": np.zeros(2)}),
        (put("a", 5), pd.DataFrame({"a": [1, 2]})),
        (lambda x: x[0].fill(5), (np.zeros(2), np.zeros(2))),
        (lambda x: x.append(1), [0]),
    ],
)
def test_changed_inputs_are_seen(change, x):
    assert "changes its inputs, here x; work on a copy" in fault(Student(lambda x: change(x) or 0), x=x)


def test_what_was_moved_and_put_back_is_not_changed():
    def moves(x):
        x += 0.1
        x -= 0.1
        return x

    assert close(Student(moves)(x=np.arange(3.0)).value, np.arange(3))
    assert same({"a": (1, [np.ones(2)])}, {"a": (1, [np.ones(2) + 1e-12])})
    assert not same([1, 2], [1, 2, 3])


def test_an_answer_that_is_made_while_it_is_read_is_read_once():
    def shuffles(x):
        while True:
            x = np.roll(x, 1)
            yield x

    answer = Student(shuffles)(x=np.arange(3)).value
    assert len(answer) == LONGEST and answer[1].tolist() == [1, 2, 0]

    def breaks(x):
        yield 1 / 0

    assert "ZeroDivisionError" in fault(Student(breaks), x=1)


def test_inputs_are_told_by_name():
    inputs = {
        "w": np.array([0.5, 1 / 3]),
        "n": np.int64(3),
        "X": np.ones((5, 3)),
        "draw": len,
        "rng": np.random.default_rng(0),
    }
    assert told(inputs) == "w=[0.5, 0.3333], n=3, X (5, 3)"
    assert told({"tree": (("a",), "b"), "rate": 1 / 3, "rows": np.arange(99)}) == (
        "tree=(('a',), 'b'), rate=0.3333, rows (99,)"
    )


def test_an_answer_of_the_wrong_kind_is_refused():
    assert "returned 'x'; expected a number." in fault(Answer("x").number)
    assert "returned 'x'; expected numbers of shape (2,), a pair." in fault(Answer("x").array, (2,), "a pair")
    assert "has shape (3,); it must be (2,), a pair." in fault(Answer([1, 2, 3]).array, (2,), "a pair")
    assert "not finite" in fault(Answer([1, np.nan]).array, (2,), "a pair")
    assert 'expected "up" or "down".' in fault(Answer("left").choice, "up", "down")
    assert Answer(np.True_).choice(True, False) is True
    assert "expected one label per task" in fault(Answer("abc").labels, 3)
    assert "2 labels for 3 tasks" in fault(Answer([0, 1]).labels, 3)
    assert "cannot be compared as a label" in fault(Answer([0, ([],)]).labels, 2)
    assert "expected a sampler" in fault(Answer(3).function, "a sampler")
    assert "expected two parts" in fault(Answer([1]).parts, "two parts", "the first", "the second")
    first, second = Answer([1, "x"]).parts("two parts", "the first", "the second")
    assert first.number() == 1 and fault(second.number) == "the second is 'x'; expected a number."


def test_numbers_stand_beside_the_target():
    target = np.array([[1.0, 2.0], [3.0, 4.0]])
    said = fault(Answer(np.array([[1.0, 2.0], [3.0, 5.0]])).compare, target, {})
    assert said == "the values are off.\n  yours, row 1:  [3. 5.]\n  target, row 1: [3. 4.]"
    assert fault(Answer(3 * target).compare, target, {}).startswith("your answer is 3 times the target")
    assert fault(Answer(0 * target).compare, target, {}).startswith("your answer is all zeros.")
    assert fault(Answer(np.inf).compare, 1.0, {}).startswith("your answer is inf, not a finite number.")
    assert fault(Answer(2.0).compare, 1.0, {"known": 2.0}, otherwise="other").startswith("known.\n  yours 2.0000, ")
    assert fault(Answer(2.0).compare, 1.0, {}, otherwise="other").startswith("other.")
    Answer(torch.tensor(target, dtype=torch.float32, requires_grad=True)).compare(target, {})


def test_a_known_mistake_gives_every_answer_of_the_student():
    def said(targets, named, reasons=("", "", ""), off=""):
        answers = [Answer("a", "case 1"), Answer("b", "case 2"), Answer("b", "case 3")]
        ways = [{words: values[i] for words, values in named.items()} for i in range(3)]
        cases = zip(answers, targets, ways, reasons, strict=True)
        return fault(compare_each, cases, "numbers", off, lambda answer: answer.value)

    named = {"always b": ["b", "b", "b"], "one of them": ["a", "b", "b"]}
    shown = said(["c", "a", "b"], named, ["first", "second", "third"])
    assert shown == "one of them.\n  for case 1\n  yours 'a', target 'c': first"
    assert said(["a", "b", "a"], {}).startswith("this is not what the rule gives.\n  for case 3")
    assert said(["a", "b", "a"], {}, ["", "", "it is last"]).startswith("it is last.")
    assert said(["a", "b", "a"], {}, ["", "", "it is last"], "off").startswith("off.")
    compare_each([(Answer([2, 1]), [1, 2], {})], read=lambda answer: tuple(sorted(answer.value)))
    cases = [(Answer("a"), "b", {"it is a": "a"})]
    assert fault(compare_each, cases, "", "off", lambda answer: answer.value).startswith("it is a.")


def test_of_a_wrong_answer_is_told_before_a_later_case_that_stops():
    def cases(function):
        for x in (1, 2, 0):
            yield Student(function)(x=x), 1 / max(x, 0.1), {}, "a reason"

    assert "ZeroDivisionError" in fault(compare_each, cases(lambda x: 1 / x))
    assert fault(compare_each, cases(lambda x: 1 / x - 0.1 * (x == 2))).startswith("a reason.\n  for x=2")


def test_what_resembles_the_target_is_said_of_all_cases():
    def said(*factors):
        target = np.array([1.0, 2.5])
        return fault(compare_each, [(Answer(factor * target), target, {}) for factor in factors], off="off")

    assert said(3, 3, 1).startswith("your answer is 3 times the target: look for a factor.")
    assert said(3, 2).startswith("your answer is 3 times the target here, and another number of times elsewhere")
    assert said(1.001).startswith("off.")
    assert said(0, 0).startswith("your answer is all zeros.")
    assert fault(Answer([0.12, 7.13]).compare, np.array([0.1234, 7.1299]), {}).startswith("you round your answer")


def test_the_first_pair_that_is_parted_is_found():
    assert parted([0, 0, 1], ["x", "x", "y"]) is None
    assert parted([0, 0, 1], ["x", "y", "y"]) == (0, 1)
    assert parted([0, 1, 1], ["x", "y", "z"]) == (1, 2)


def test_a_meta_gradient_is_compared_through_the_graph():
    omega = torch.ones(2, requires_grad=True)
    target, pull = omega**2, torch.tensor([1.0, 2.0])
    named = {"it is first-order": 1 * omega}
    Answer(omega * omega).compare_gradient(omega, target, pull, named)
    assert "it is first-order" in fault(Answer(omega + 0).compare_gradient, omega, target, pull, named)
    assert "is lost" in fault(Answer(omega * omega.detach() * 3).compare_gradient, omega, target, pull, named)
    assert "cut off" in fault(Answer(target.detach()).compare_gradient, omega, target, pull, named)
    assert "expected a tensor" in fault(Answer([1.0, 1.0]).compare_gradient, omega, target, pull, named)


def test_gradients_that_are_there_stay_and_none_is_left():
    def backward(omega):
        (omega**2).sum().backward()
        return omega.detach()

    def clears(omega):
        omega.grad = None
        return omega.detach()

    for function in (backward, clears):
        omega = torch.ones(2, requires_grad=True)
        omega.grad = torch.ones(2)
        assert "what is in omega.grad; leave it as it is: torch.autograd.grad" in fault(Student(function), omega=omega)
    assert "what is in omega.grad" in fault(Student(backward), omega=torch.ones(2, requires_grad=True))
    frozen = fault(Student(lambda omega: omega.requires_grad_(False).sum()), omega=torch.ones(2, requires_grad=True))
    assert "changes omega.requires_grad" in frozen
    kept = torch.ones(2, requires_grad=True)
    kept.grad = torch.ones(2)
    assert Student(lambda omega: torch.autograd.grad((omega**2).sum(), omega)[0])(omega=kept).value.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("draw", "whose"),
    [
        (np.random.rand, "np.random"),
        (lambda: np.random.seed(0), "np.random"),
        (random.random, "random"),
        (lambda: torch.randn(2), "torch"),
        (lambda: torch.manual_seed(0), "torch"),
    ],
)
def test_the_generators_that_all_code_shares_stay_as_they_are(draw, whose):
    said = fault(Student(lambda x: draw() is None or 1), x=1)
    assert said.startswith(f"your function seeds {whose}'s own generator, or draws from it")
    assert "default_rng(seed)" in said
    assert "draw with `rng` alone" in fault(Student(lambda rng: draw() is None or 1), rng=np.random.default_rng(0))
    states = np.random.get_state()[2], random.getstate(), torch.get_rng_state().tolist()
    fault(Student(lambda x: draw() is None or 1), x=1)
    assert states == (np.random.get_state()[2], random.getstate(), torch.get_rng_state().tolist())
    assert Student(lambda rng: rng.random())(rng=np.random.default_rng(0)).number() < 1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda: torch.set_grad_enabled(False), "torch.set_grad_enabled"),
        (lambda: torch.set_default_dtype(torch.float64), "torch.set_default_dtype"),
        (lambda: torch.set_default_device("meta"), "torch.set_default_device"),
        (lambda: torch.set_num_threads(torch.get_num_threads() + 1), "torch.set_num_threads"),
    ],
)
def test_settings_that_all_code_shares_stay_as_they_are(change, name):
    before = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    said = fault(Student(lambda x: change() or 1), x=1)
    assert said.startswith(f"your function leaves a setting changed that all code shares; do without {name}")
    after = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    assert after == before

    def for_a_while(x):
        with torch.no_grad():
            return torch.ones(1) * x

    assert Student(for_a_while)(x=1).value == 1


def test_what_is_not_an_answer_of_any_kind_ends_in_a_sentence(capsys):
    class Strange:
        def __len__(self):
            raise ValueError("how long?")

    check = graded("right.")(lambda student, rng: student(x=1).parts("two parts", "one", "other"))
    assert check(lambda x: Strange()) is False
    said = capsys.readouterr().out
    assert (
        said
        == "Not yet: your answer cannot be read (ValueError: how long?); is it of the kind that the text asks for?\n"
    )
    assert check(lambda x: sys.exit()) is False and "stopped with SystemExit" in capsys.readouterr().out


def test_answers_of_many_types_are_read():
    labels = [0, 0, 1]
    for value in (
        iter(labels),
        map(int, "001"),
        (label for label in labels),
        dict(enumerate(labels)).values(),
        np.array(labels),
        torch.tensor(labels),
        pd.Series(labels),
        [torch.tensor(label) for label in labels],
        range(0, 1),
    ):
        answer = Student(lambda x, value=value: value)(x=1)
        assert answer.labels(1 if isinstance(value, range) else 3) == (labels if not isinstance(value, range) else [0])
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    for value in (map(float, (1, 2)), leaf, [leaf[0], leaf[1]], (2 * leaf[i] / 2 for i in range(2)), pd.Series([1, 2])):
        assert Student(lambda x, value=value: value)(x=1).array((2,), "a pair").tolist() == [1, 2]
    pair = Student(lambda x: ((i for i in range(2)), map(str, range(2))))(x=1).value
    assert pair == ([0, 1], ["0", "1"])
    for value in (True, np.True_, np.array(True), torch.tensor(True), np.float64(1) > 0):
        assert Answer(value).choice(True, False) is True
    assert Answer(np.str_("up")).choice("up", "down") == "up"
    assert "expected a number" in fault(Answer("0.25").number)
    assert "expected numbers" in fault(Answer(["1", "2"]).array, (2,), "a pair")


def test_what_is_right_in_float32_is_right_and_three_digits_are_not():
    rng = np.random.default_rng(0)
    for size in (1, 3, 40):
        for scale in (1e-3, 1, 1e3):
            exact = scale * rng.standard_normal(size)
            assert close(exact.astype(np.float32), exact)
            assert not close(np.round(exact, 3), exact) or scale == 1e3
    assert not close(0.123, 0.1234) and not close(-0.3217, 0.3217)


def test_numbers_that_are_told_apart_look_different():
    for off, shown in ((1e-3, "1.2340"), (2e-5, "1.233020"), (3e-9, "1.2330000030")):
        (line,) = beside(np.array(1.233 + off), np.array(1.233))
        yours, target = (part.split()[1] for part in line.split(", "))
        assert yours == shown and target.startswith("1.2330") and yours != target
        yours, target = beside(np.array([1.233 + off, 5.0]), np.array([1.233, 5.0]))
        assert yours.split("[")[1] != target.split("[")[1] and "5." in yours
    with np.printoptions(precision=2):
        assert beside(np.array([0.12345]), np.array([0.2])) == ["yours  [0.1235]", "target [0.2]"]


def test_the_smallest_case_comes_first():
    rng = np.random.default_rng(0)

    def draw():
        n = int(rng.integers(1, 9))
        return {"n": n, "x": np.ones((n, 2)), "y": [[0] * n, (1, "a")]}

    sizes = [case["n"] for case in small_first(draw, 20)]
    assert sizes == sorted(sizes) and len(sizes) == 20 and sizes[0] < sizes[-1]


def test_a_known_mistake_has_to_explain_every_case():
    def cases(function):
        for x in (2.0, 3.0, 5.0):
            yield Student(function)(x=x), x**2, {"twice": 2 * x, "one more": x + 1, "half of it": x**2 / 2}

    compare_each(cases(lambda x: x * x))
    assert fault(compare_each, cases(lambda x: 2 * x)).startswith("twice.\n  for x=3\n  yours 6.0000, target 9.0000")
    assert fault(compare_each, cases(lambda x: x + 1)).startswith("one more.\n  for x=2")  # 3 is nothing else there
    assert fault(compare_each, cases(lambda x: 6.0), off="other").startswith("other.\n  for x=2")  # 6 = 2 * 3 by chance
    wrong_kind = [(Answer([1, 2, 3]), np.zeros(2), {})]
    assert "must be (2,), a pair" in fault(compare_each, wrong_kind, "a pair")


def test_what_a_function_keeps_from_call_to_call_is_told():
    def right_at_first(x, known=[]):  # noqa: B006
        known.append(x)
        return known[0]

    words = fault_of_each(right_at_first)
    assert "right when it is your function's first call" in words and "x=2" in words
    assert "first call" not in fault_of_each(lambda x: 1.0)


def fault_of_each(function):
    """What is said of a function that should return what it is given."""
    student = Student(function)
    with pytest.raises(NotYet) as caught:
        compare_each([(student(x=x), x, {}) for x in (1.0, 2.0)])
    return str(caught.value)
