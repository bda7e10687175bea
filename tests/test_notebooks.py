"""The notebooks as documents, and the guards of their comparison: each must be able to fail."""

import copy
import itertools
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURE = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"

pytestmark = pytest.mark.filterwarnings("ignore")


def read(path):
    return nbformat.read(path, as_version=4)


def code(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stored_as_it_ran(path):
    book = read(path)
    nbformat.validate(book)
    assert "widgets" not in book.metadata
    assert [cell.execution_count for cell in code(book)] == list(range(1, len(code(book)) + 1))
    assert path.stat().st_size < 700_000
    for cell in code(book):
        assert len(cell.source.splitlines()) <= 15, cell.source
        assert not [o for o in cell.outputs if o.output_type == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_reader_without_a_kernel_sees_every_figure(path):
    figures = [o.data for cell in code(read(path)) for o in cell.outputs if FIGURE in o.get("data", {})]
    assert figures
    assert all("image/png" in data for data in figures)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_built_as_the_course_promises(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    for part in ("The question of this notebook", "You will learn", "What you should see", "Predict", "Exercise"):
        assert part in text
    assert "<summary>Solution</summary>" in text
    assert "What the papers report, and where this differs" in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_folded_solutions_pass_their_checks(path):
    """The code in each solution takes the place of the exercise's function, and the check says so."""
    cells = read(path).cells
    solved = 0
    for exercise, following in itertools.pairwise(cells):
        if exercise.cell_type != "code" or "checks." not in exercise.source:
            continue
        solution = re.search(r"```python\n(.*?)```", following.source, re.S).group(1)
        call = exercise.source.strip().splitlines()[-1]
        program = f"from minimeta import checks\n{solution}\n{call}\n"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("Right"), done.stdout
        solved += 1
    assert solved


def test_the_first_cell_is_the_same_everywhere_and_does_nothing_here(tmp_path):
    (source,) = {code(read(path))[0].source for path in NOTEBOOKS}
    program = f"import subprocess\nsubprocess.run = None\n{source}\nprint('quiet')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "quiet\n"


def test_the_first_cell_installs_the_project_on_a_bare_kernel():
    source = code(read(NOTEBOOKS[0]))[0].source
    program = f"""
import importlib.util, subprocess
importlib.util.find_spec = lambda name: None
subprocess.run = lambda command, check: print(*command[1:])
{source}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT / "notebooks")
    assert done.stdout.strip() == f"-m pip install -q -e {ROOT}[lab]"
    alone = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    assert "Bring the whole project folder" in alone.stderr


# The guards of the comparison, shown on a small notebook of their own.

SMALL = """import plotly.graph_objects as go
go.Figure(go.Scatter(y=[1, 2], name="line"))"""


def small_book():
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell("print(0.1 + 0.2)"), nbformat.v4.new_code_cell(SMALL)]
    return book


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    from nbconvert.preprocessors import ExecutePreprocessor

    book = small_book()
    ExecutePreprocessor(timeout=60).preprocess(book, {"metadata": {"path": str(tmp_path_factory.mktemp("small"))}})
    return book


def compare(book, folder):
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    nbformat.write(book, folder / "small.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "small.ipynb", "-c", "/dev/null"]
    return subprocess.run([*command, "--rootdir", "."], capture_output=True, text=True, cwd=folder)


def test_an_unchanged_notebook_passes(stored, tmp_path):
    done = compare(stored, tmp_path)
    assert "2 passed" in done.stdout, done.stdout


def changed_digit(book):
    book.cells[0].outputs[0].text = "0.30000000000000005\n"


def missing_figure(book):
    book.cells[1].source = book.cells[1].source.splitlines()[0]


def other_figure(book):
    book.cells[1].outputs[0].data[FIGURE]["data"][0]["name"] = "another line"


def never_executed(book):
    book.cells[1].execution_count = None
    book.cells[1].outputs = []


@pytest.mark.parametrize("damage", [changed_digit, missing_figure, other_figure, never_executed])
def test_a_damaged_notebook_fails(stored, tmp_path, damage):
    book = copy.deepcopy(stored)
    damage(book)
    done = compare(book, tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
