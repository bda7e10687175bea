"""The notebooks as documents, and the guards of their comparison: each must be able to fail."""

import ast
import base64
import copy
import io
import itertools
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image
from regenerate import smaller

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from conftest import claims_of  # noqa: E402
from minimeta.show.style import LOOKS  # noqa: E402

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
def test_a_reader_without_a_kernel_sees_every_figure_in_its_colours(path):
    figures = [o.data for cell in code(read(path)) for o in cell.outputs if FIGURE in o.get("data", {})]
    assert figures
    for data in figures:
        pixels = pixels_of(data["image/png"])
        for trace in data[FIGURE]["data"]:
            for colour, off in colours_of(trace):
                assert (abs(pixels - colour) <= off).all(-1).any(), (trace.get("name"), colour)


def test_a_method_looks_the_same_in_every_figure():
    """Its colour, and where there are lines its dash, over all stored figures; some have it as the name of a trace."""
    seen = set()
    for path in NOTEBOOKS:
        for figure in [
            o.data[FIGURE] for cell in code(read(path)) for o in cell.outputs if FIGURE in o.get("data", {})
        ]:
            for trace in figure["data"]:
                if (look := LOOKS.get(trace.get("name", ""))) and trace["type"] == "scatter":
                    drawn = trace.get("line") if "lines" in trace.get("mode", "lines") else trace["marker"]
                    assert drawn["color"] == look[0] and drawn.get("dash", look[1]) == look[1], (
                        path.stem,
                        trace["name"],
                    )
                    seen.add(trace["name"])
    assert {"MAML", "Fixed TreeMAML", "Joint"} <= seen


def pixels_of(picture):
    """The colours of a base64 PNG on a white page: (colours, 3)."""
    drawn = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGBA")
    assert drawn.getpixel((0, 0))[3] == 0 or drawn.size == (60, 60), "a card of its own, white on a dark page"
    page = Image.new("RGBA", drawn.size, "white")
    return np.unique(np.asarray(Image.alpha_composite(page, drawn))[..., :3].reshape(-1, 3), axis=0).astype(int)


def colours_of(trace):
    """What a trace's lines, marks and colour bar put on its picture: (r, g, b), and how far a pixel may be off it."""
    if trace.get("visible", True) is not True or trace.get("x") == []:
        return
    if trace["type"] == "heatmap":
        yield from ((on_white(colour, 1)[0], 1) for _, colour in (trace["colorscale"][0], trace["colorscale"][-1]))
        return
    mode, line, marker = trace.get("mode", "lines"), trace.get("line", {}), trace.get("marker", {})
    named = []
    if trace["type"] == "scatter" and "lines" in mode and line.get("width", 2) >= 2:  # thinner is blurred throughout
        named += [line.get("color")]
    if trace["type"] == "bar" or "markers" in mode:
        colour = marker.get("color")
        named += colour if isinstance(colour, list) else [colour]
    for colour in filter(None, named):
        mixed, opacity = on_white(colour, trace.get("opacity", 1))
        yield mixed, 0 if opacity == 1 else 2  # the browser rounds what it mixes


def on_white(colour, opacity):
    """A plotly colour over a white card, and its opacity: '#0072B2', 'rgb(0, 114, 178)' or 'rgba(0, 114, 178, 0.5)'."""
    if colour.startswith("#"):
        parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    else:
        *parts, own = [float(part) for part in re.findall(r"[\d.]+", colour)] + [1] * (not colour.startswith("rgba"))
        opacity *= own
    return [round(opacity * part + (1 - opacity) * 255) for part in parts], opacity


@pytest.mark.parametrize("kind", ["scatter", "heatmap"])
def test_a_smaller_picture_keeps_what_is_drawn_flat(kind):
    """A flat area, and more colours than a palette holds: all are kept only where colour is a scale."""
    blurred = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    blurred[:20] = (0, 114, 178)
    blurred[20:23] = (213, 94, 0)
    drawn = io.BytesIO()
    Image.fromarray(blurred).save(drawn, "PNG")
    figure = {"data": [{"type": kind} | ({"colorscale": []} if kind == "heatmap" else {})]}
    found = pixels_of(smaller(base64.b64encode(drawn.getvalue()).decode(), figure)).tolist()
    assert [0, 114, 178] in found and [213, 94, 0] in found
    assert len(found) > 2000 if kind == "heatmap" else len(found) <= 256


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_is_asserted_stands_beside_the_notebook(path):
    """An assertion in a cell would give away what a reader is asked to predict."""
    assert not [cell.id for cell in code(read(path))[1:] if re.search(r"^\s*assert\b", cell.source, re.M)]
    claims = claims_of(path.stem)
    assert claims and set(claims) <= {cell.id for cell in code(read(path))}
    for claim in claims.values():
        assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(claim)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_is_to_be_predicted_is_folded(path):
    """The outputs after a "Predict", and the words on what one should see, are hidden until asked for."""
    hidden = False
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            if hidden:
                assert cell.source.startswith("<details><summary>What you should see"), cell.id
            hidden = "> **Predict" in cell.source.rpartition("What you should see")[2]
        elif cell.outputs:
            folded = cell.metadata.get("jupyter", {}).get("outputs_hidden", False)
            assert folded == ("hide-output" in cell.metadata.get("tags", [])) and folded >= hidden, cell.id


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_first_cell_is_folded(path):
    first = code(read(path))[0].metadata
    assert first.jupyter.source_hidden and "hide-input" in first.tags


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_short_enough_to_be_read_in_the_time_it_says(path):
    """30 cells, 2,000 words; 170 words a minute, 5 seconds a line of code, and time for widgets and exercises."""
    book, words = read(path), 0
    for cell in book.cells:
        if cell.cell_type == "markdown":
            words += len(re.findall(r"\w[\w'’-]*", re.sub(r"\$[^$]*\$", " x ", cell.source)))
    lines = sum(1 for cell in code(book) for line in cell.source.splitlines() if line.strip())
    widgets = sum(WIDGET in o.get("data", {}) and "Box" in str(o.data) for cell in code(book) for o in cell.outputs)
    exercises = len(re.findall(r"^\*\*\d\. ", "\n".join(c.source for c in book.cells), re.M))
    (said,) = re.findall(r"\(About (\d+) minutes\.\)", book.cells[0].source)
    assert len(book.cells) <= 30 and words <= 2000
    reading = words / 170 + lines * 5 / 60
    assert reading * 0.85 <= int(said) <= (reading + widgets + 2 * max(exercises, 1) + 8) * 1.15, reading
    for page, folder in ((ROOT / "README.md", "notebooks/"), (ROOT / "notebooks/assignments/README.md", "../")):
        (row,) = [line for line in page.read_text(encoding="utf-8").splitlines() if f"({folder}{path.name})" in line
                  and line.startswith("|")]  # fmt: skip
        assert re.search(rf"\b{said}\b", row), row


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
    source = "\n".join(cell.source for cell in code(read(path)))
    (use,) = re.findall(r"^from minimeta.course import .*checks$", source, re.M)
    solved = 0
    for exercise, following in itertools.pairwise(cells):
        if exercise.cell_type != "code" or "checks." not in exercise.source:
            continue
        solution = re.search(r"```python\n(.*?)```", following.source, re.S).group(1)
        call = exercise.source.strip().splitlines()[-1]
        program = f"{use}\n{solution}\n{call}\n"
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
    ExecutePreprocessor(timeout=600).preprocess(book, {"metadata": {"path": str(tmp_path_factory.mktemp("small"))}})
    return book


def compare(book, folder, *options):
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    nbformat.write(book, folder / "small.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "small.ipynb", "-c", "/dev/null"]
    return subprocess.run([*command, "--rootdir", ".", *options], capture_output=True, text=True, cwd=folder)


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


def claimed(stored, folder, claim, *options):
    book = copy.deepcopy(stored)
    book.cells[0].id, book.cells[0].source = "first", "x = 2\n" + book.cells[0].source
    (folder / "tests" / "claims").mkdir(parents=True)
    (folder / "tests" / "claims" / "small.py").write_text(f"# %% after first\n{claim}\n", encoding="utf-8")
    return compare(book, folder, *options)


@pytest.mark.parametrize(("claim", "words"), [("assert x == 1", "1 failed"), ("x = 2", "2 passed")])
def test_what_is_asserted_of_a_cell_runs_in_its_kernel(stored, tmp_path, claim, words):
    done = claimed(stored, tmp_path, claim)
    assert words in done.stdout and ("AssertionError" in done.stdout) == ("assert" in claim), done.stdout


def test_what_is_asserted_has_the_time_of_a_cell_and_is_stopped_after_it(stored, tmp_path):
    done = claimed(stored, tmp_path, "import time; time.sleep(600)", "--nbval-cell-timeout=20")
    assert "took longer than 20 seconds" in done.stdout, done.stdout
