"""The problem sets as a course: released, handed in by three students, graded, and given back, by nbgrader's commands.

All of it happens in a temporary copy of the course folder. Kernels have no network, and note the processor time of
each cell.
"""

import ast
import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
COURSE = ROOT / "notebooks" / "assignments"
SETS = sorted(path.stem for path in COURSE.glob("source/*/*.ipynb"))
FOLDER_BEFORE = sorted(COURSE.rglob("*"))
REGION = re.compile(r"BEGIN (SOLUTION|HIDDEN TESTS|MARK SCHEME)[^\n]*\n(.*?)\n[^\n]*END \1", re.S)
STUB = {"code": "# YOUR CODE HERE\n", "markdown": "YOUR ANSWER HERE"}
DRAWING = re.compile(r"(plotly|ipywidgets|anywidget|matplotlib|minimeta\.show)\b")

# The third student of problem set 1 gives first order for the meta-gradient of K steps and empties the test that finds
# it, writes a right answer that warns, and adds a cell that wants the network.
FIRST_ORDER = """
def meta_gradient_steps(w, support, query, rate, steps):
    return gradient(inner_steps(w, *support, rate, steps), *query)
"""
WARNS = """
import warnings
def finite_difference(f, w, h):
    warnings.warn("this is slow")
    return np.array([(f(w + h * e) - f(w - h * e)) / (2 * h) for e in np.eye(len(w))])
"""
WANTS_NETWORK = "import urllib.request\nurllib.request.urlopen('https://example.org')"

STARTUP = """
def watch():
    import json, os, socket, time

    def closed(*_, **__):
        raise OSError("the network is closed")

    def note(result):
        nonlocal before
        with open(os.environ["CELL_TIMES"], "a") as file:
            print(json.dumps([os.getcwd(), result.info.raw_cell, time.process_time() - before]), file=file)
        before = time.process_time()

    before = time.process_time()
    socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = closed
    get_ipython().events.register("post_run_cell", note)

watch()
del watch
"""


def read(path):
    return nbformat.read(path, as_version=4)


def source(name):
    return read(COURSE / "source" / name / f"{name}.ipynb")


def marked(book):
    """The cells that nbgrader knows, by grade id."""
    return {cell.metadata.nbgrader.grade_id: cell for cell in book.cells if "nbgrader" in cell.metadata}


def graded_cells(book):
    """The cells that grade by running, by grade id."""
    return {name: cell for name, cell in marked(book).items() if cell.metadata.nbgrader.grade and is_locked(cell)}


def is_locked(cell):
    return not cell.metadata.nbgrader.solution


def lines(text):
    return {line.strip() for line in text.splitlines() if line.strip()}


def said(cell):
    return "".join(out.text for out in cell.outputs if out.output_type == "stream" and out.name == "stdout")


def nbgrader(course, *arguments):
    done = subprocess.run(["nbgrader", *arguments], cwd=course, env=environment(course), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(course):
    """nbgrader and alembic on the path, this minimeta, and no settings of the person who runs the tests."""
    home = course.parent
    folders = {f"JUPYTER_{kind}_DIR": str(home / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    return {
        **os.environ,
        **folders,
        "IPYTHONDIR": str(home / "ipython"),
        "CELL_TIMES": str(home / "times"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }


def make_release(course):
    command = ["make", "--old-file", ".venv/.teach", "release"]  # the environment is this one
    command += [f"BIN={Path(sys.executable).parent}", f"COURSE={course}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(course), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder as a fresh clone has it, after `make release`."""
    course = tmp_path_factory.mktemp("teacher") / "course"
    course.mkdir()
    shutil.copy(COURSE / "nbgrader_config.py", course)
    shutil.copytree(COURSE / "source", course / "source", ignore=shutil.ignore_patterns(".*"))
    startup = course.parent / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-closed.py").write_text(STARTUP)
    make_release(course)
    return course


def released(course, name):
    return read(course / "release" / name / f"{name}.ipynb")


def hand_in(course, student, name, book):
    folder = course / "submitted" / student / name
    folder.mkdir(parents=True)
    nbformat.write(book, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def graded(course):
    """The course after three students: one hands in the solutions, one nothing new, one (set 1 only) a mistake."""
    for name in SETS:
        solutions, answers = marked(source(name)), released(course, name)
        for grade_id, cell in marked(answers).items():
            if not is_locked(cell):
                cell.source = solutions[grade_id].source
        hand_in(course, "right", name, answers)
        hand_in(course, "blank", name, released(course, name))
        if name == "ps1":
            marked(answers)["ps1-meta-gradient-steps"].source = FIRST_ORDER
            marked(answers)["ps1-meta-gradient-steps-test"].source = "pass"
            marked(answers)["ps1-finite-difference"].source = WARNS
            answers.cells.append(nbformat.v4.new_code_cell("### BEGIN HIDDEN TESTS\nOWN = 1"))
            answers.cells.append(nbformat.v4.new_code_cell(WANTS_NETWORK))
            hand_in(course, "wrong", name, answers)
    nbgrader(course, "autograde", "--assignment=*", "--Execute.timeout=600")  # a busy machine is no endless loop
    return course


def handed_back(graded, student, name):
    return read(graded / "autograded" / student / name / f"{name}.ipynb")


def scores(graded, student, name):
    """What the gradebook says: by grade id the automatic points (None where a person has to look), and the maximum."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{graded}/gradebook.db", "minimeta") as book:
        grades = book.find_submission_notebook(name, name, student).grades
        return {grade.name: (grade.auto_score, grade.max_score) for grade in grades}


# The sources.


def test_the_sets():
    assert SETS == ["ps1", "ps2", "ps3", "ps4", "ps5"]
    assert all((COURSE / "source" / name / f"{name}.ipynb").exists() for name in SETS)


def test_grade_ids_are_unique_and_say_their_set():
    ids = [(name, cell.metadata.nbgrader.grade_id) for name in SETS for cell in source(name).cells
           if "nbgrader" in cell.metadata]  # fmt: skip
    assert len({grade_id for _, grade_id in ids}) == len(ids)
    assert all(grade_id.startswith(f"{name}-") for name, grade_id in ids)


@pytest.mark.parametrize("name", SETS)
def test_a_source_is_in_order(name):
    book = source(name)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count is not None]
    assert sum(cell.metadata.nbgrader.get("points", 0) for cell in marked(book).values()) == 20
    assert len(graded_cells(book)) >= 4
    nodes = [node for cell in code for node in ast.walk(ast.parse(cell.source))]
    used = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    used |= {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    assert not [module for module in used if DRAWING.match(module)]


def test_the_page_of_the_teacher_knows_every_set():
    page = (COURSE / "README.md").read_text(encoding="utf-8")
    for name in SETS:
        assert f"source/{name}/{name}.ipynb" in page
        for grade_id, cell in marked(source(name)).items():
            if cell.metadata.nbgrader.grade:
                assert re.search(rf"^\| `{grade_id}` \| {cell.metadata.nbgrader.points} \|", page, re.M), grade_id
    for link in re.findall(r"\]\((?!https://)([^)#]+)", page):
        assert (COURSE / link).exists(), link
    for command in re.findall(r"^make (\w+)", page, re.M):
        assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M), command


# What students get.


@pytest.mark.parametrize("name", SETS)
def test_a_release_gives_nothing_away(course, name):
    before, after = source(name), released(course, name)
    assert len(after.cells) == len(before.cells)
    text = "\n".join(cell.source for cell in after.cells)
    assert not re.search(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)", text)
    for grade_id, cell in marked(before).items():
        secrets, public = [match[2] for match in REGION.finditer(cell.source)], lines(REGION.sub("", cell.source))
        if not is_locked(cell):
            assert STUB[cell.cell_type] in marked(after)[grade_id].source, grade_id
            if "BEGIN SOLUTION" not in cell.source:
                secrets, public = [cell.source], set()
        for secret in secrets:
            assert lines(secret)
            assert not (lines(secret) - public) & lines(marked(after)[grade_id].source), grade_id
            assert secret.strip() not in text
    hidden = [cell for cell in graded_cells(before).values() if "HIDDEN TESTS" in cell.source]
    assert len(hidden) == len(graded_cells(before))


# What students get back.


@pytest.mark.parametrize("name", SETS)
def test_the_solutions_get_every_point(graded, name):
    book = handed_back(graded, "right", name)
    for cell in book.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", output.evalue
            assert output.get("name") != "stderr", output.text
    for grade_id, (points, maximum) in scores(graded, "right", name).items():
        assert points == (maximum if grade_id in graded_cells(book) else None), grade_id
    for cell in graded_cells(book).values():
        assert "BEGIN HIDDEN TESTS" in cell.source
        assert said(cell).startswith("Right: ")


@pytest.mark.parametrize("name", SETS)
def test_a_blank_set_gets_none_and_says_why(graded, name):
    assert {points for points, _ in scores(graded, "blank", name).values()} == {0}
    for grade_id, cell in graded_cells(handed_back(graded, "blank", name)).items():
        assert said(cell).startswith("Not yet: "), grade_id
        assert [out.ename for out in cell.outputs if out.output_type == "error"] == ["AssertionError"], grade_id


@pytest.mark.parametrize("name", SETS)
def test_no_cell_is_slow(graded, name):
    records = [json.loads(line) for line in (graded.parent / "times").read_text().splitlines()]
    seconds = {text: took for folder, text, took in records if folder.endswith(f"/right/{name}")}
    code = [cell.source for cell in handed_back(graded, "right", name).cells if cell.cell_type == "code"]
    assert set(seconds) == {text for text in code if text.strip()}
    assert max(seconds.values()) < 10
    assert sum(seconds.values()) < 40


def test_one_mistake_costs_its_points_and_a_warning_none(graded):
    found = scores(graded, "wrong", "ps1")
    lost = {grade_id: maximum for grade_id, (points, maximum) in found.items() if points != maximum}
    assert lost == {"ps1-meta-gradient-steps-test": 4}
    assert found["ps1-meta-gradient-steps-test"][0] == 0
    (error,) = handed_back(graded, "wrong", "ps1").cells[-1].outputs
    assert "the network is closed" in error.evalue


def test_the_feedback_says_what_is_wrong_in_words(graded):
    nbgrader(graded, "generate_feedback", "ps1")
    sentence = said(graded_cells(handed_back(graded, "wrong", "ps1"))["ps1-meta-gradient-steps-test"]).splitlines()[0]
    assert "first-order" in sentence
    page = (graded / "feedback" / "wrong" / "ps1" / "ps1.html").read_text(encoding="utf-8")
    assert sentence in html.unescape(page)
    assert re.search(r"Score: 16\.0 / 20\.0", page)


def test_the_feedback_leaves_hidden_tests_out(graded):
    """In the cells and in tracebacks; what a student writes between such marks stays, and ends nothing."""
    nbgrader(graded, "generate_feedback", "ps1", "--force")
    for student in ("right", "blank", "wrong"):
        text = (graded / "feedback" / student / "ps1" / "ps1.html").read_text(encoding="utf-8")
        shown = html.unescape(re.sub(r"<[^>]*>", "", text))
        assert "assert ps1.gradient(gradient)" in shown
        assert shown.count("BEGIN HIDDEN") == (student == "wrong")  # their own
        assert ("this cell has no points" in shown) == (student != "right")
        for cell in graded_cells(source("ps1")).values():
            (hidden,) = [match[2] for match in REGION.finditer(cell.source)]
            assert not [line for line in lines(hidden) if line.startswith("assert") and line in shown]
    assert "OWN = 1" in shown


def test_releasing_again_changes_neither_files_nor_grades(graded):
    files = sorted((graded / "release").rglob("*.ipynb"))
    assert [path.stem for path in files] == SETS
    before = [path.read_bytes() for path in files], scores(graded, "wrong", "ps1")
    make_release(graded)
    assert ([path.read_bytes() for path in files], scores(graded, "wrong", "ps1")) == before


def test_nothing_was_written_into_the_project(graded):
    assert sorted(COURSE.rglob("*")) == FOLDER_BEFORE
