"""An answer that earned its points in another container also goes through the cells that come after it."""

import re

import numpy as np
import pytest
import torch
from mutants import BEGIN, SETS, code


def is_array(value):
    return isinstance(value, np.ndarray) and value.ndim > 0


def generator(values):
    return (value for value in values)


def single(values):
    """Arrays in single precision; what is no array stays a list."""
    return values.astype(np.float32 if values.dtype == float else values.dtype) if is_array(values) else list(values)


def tensor(values):
    """In single precision; what is no array stays a list."""
    if not is_array(values):
        return list(values)
    if values.dtype != float:
        return torch.tensor(values)
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


CONTAINERS = {"lists": list, "tuples": tuple, "generators": generator, "single precision": single, "tensors": tensor}
TREES = {"insert"}  # a tree is a nested list, as the text says


def put(answer, container):
    """The answer, and each part of it, in another container; rows of an array stay arrays."""
    if isinstance(answer, list | tuple | set):
        return container([put(part, container) for part in answer])
    return container(answer) if is_array(answer) else answer


def in_containers(function, container):
    return lambda *inputs, **named: put(function(*inputs, **named), container)


@pytest.fixture(autouse=True)
def threads_as_before():
    """Notebooks set the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("name", SETS)
def test_answers_in_other_containers_go_through_the_whole_notebook(name, kind):
    """A student's functions call each other as the student wrote them; all other cells get the containers."""
    own, given, changed = {}, {}, set()
    with np.printoptions():  # the notebook sets its own
        for text, _, _ in code(name):
            if BEGIN in text:
                exec(text, own)
                written = {*re.findall(r"^def (\w+)", text, re.M)}
                changed |= written
                given |= {each: own[each] for each in written & TREES}
                given |= {each: in_containers(own[each], CONTAINERS[kind]) for each in written - TREES}
            else:
                exec(text.split("### BEGIN HIDDEN TESTS")[0], given)
                own |= {each: value for each, value in given.items() if each not in changed}
    assert changed
