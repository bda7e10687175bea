"""An answer that earned its points in another container also goes through the cells that come after it."""

import re

import numpy as np
import pytest
import torch
from mutants import SETS, code

SOLUTION = "### BEGIN SOLUTION"


def generator(values):
    return (value for value in values)


def tensor(values):
    """In single precision; what is no array stays a list."""
    if not isinstance(values, np.ndarray):
        return list(values)
    if values.dtype != float:
        return torch.tensor(values)
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


CONTAINERS = {"lists": list, "tuples": tuple, "generators": generator, "tensors": tensor}
TREES = {"insert"}  # a tree is a nested list, as the text says


def put(answer, container):
    """The answer, and each part of it, in another container; rows of an array stay arrays."""
    if isinstance(answer, list | tuple | set):
        return container([put(part, container) for part in answer])
    return container(answer) if isinstance(answer, np.ndarray) and answer.ndim else answer


def in_containers(function, container):
    return lambda *inputs, **named: put(function(*inputs, **named), container)


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("name", SETS)
def test_answers_in_other_containers_go_through_the_whole_notebook(monkeypatch, name, kind):
    """A student's functions call each other as the student wrote them; all other cells get the containers."""
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)  # for the notebook, not for other tests
    own, given, changed = {}, {}, set()
    with np.printoptions():  # the notebook sets its own
        for text, _, _ in code(name):
            if SOLUTION in text:
                exec(text, own)
                written = {*re.findall(r"^def (\w+)", text, re.M)}
                changed |= written
                given |= {each: own[each] for each in written & TREES}
                given |= {each: in_containers(own[each], CONTAINERS[kind]) for each in written - TREES}
            else:
                exec(text.split("### BEGIN HIDDEN TESTS")[0], given)
                own |= {each: value for each, value in given.items() if each not in changed}
    assert changed
