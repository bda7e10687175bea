"""What the project promises around the code: one place for pins, the two commands, imports in one direction."""

import ast
import csv
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from minimeta.studies.methods import METHODS, small_rates
from minimeta.studies.recipes import SCALES

ROOT = Path(__file__).parents[1]


def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_conda_environment_takes_its_pins_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert sorted(re.match(r"[a-z]+", item)[0] for item in conda) == ["pip", "python"]
    assert f"python{pyproject()['project']['requires-python']}" in conda
    (install,) = pip
    extras = re.fullmatch(r"-e \.\[([a-z,]+)\]", install)[1].split(",")
    assert set(extras) <= set(pyproject()["project"]["optional-dependencies"])
    assert "lab" in extras


def test_ci_and_the_readme_call_the_same_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1]
    assert ".ci/run" in (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    for command in ("lab", "test"):
        assert f"make {command}" in readme
        assert re.search(rf"^{command}:", makefile, re.M)
    lab = re.search(r"^lab:.*\n((?:\t.*\n)+)", makefile, re.M)[1]
    assert "--ServerApp.ip=127.0.0.1" in lab
    assert lab.rstrip().endswith(" notebooks/00_start_here.ipynb")


def test_links_in_the_readme_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert not re.search(r"\b(MINUTES|RATIO|SUMMARY|TODO)\b", text)
        for link in re.findall(r"\]\((?!https://)([^)#]+)", text):
            assert (ROOT / link).exists(), link


def test_the_example_of_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(step) for step in range(1, 101)]


def test_the_readme_lists_every_notebook():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{path.name}" in readme


# Each floor of the package with the floors that it may use; the root is the method, "" here.
FLOORS = {
    "": set(),
    "text": {""},
    "studies": {"", "text"},
    "course": {"", "text"},
    "show": {"", "text", "studies"},
    "__main__": {"", "text", "studies", "show"},
}


def modules():
    """Every module of the package, as (floor, name), with the modules that it imports."""
    package = ROOT / "minimeta"
    paths = {tuple(path.relative_to(package).with_suffix("").parts): path for path in package.rglob("*.py")}
    here = {names for names in paths if "_data" not in names}
    found = {}
    for names in sorted(here):
        used = set()
        for node in ast.walk(ast.parse(paths[names].read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = (*names[: len(names) - node.level], *(node.module.split(".") if node.module else ()))
                whole = {base} if base in here else {(*base, alias.name) for alias in node.names}
                used |= {one if one in here else (*one[:-1], "__init__") for one in whole}
            elif isinstance(node, ast.Import | ast.ImportFrom):
                name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert name.split(".")[0] != "minimeta", f"{names} imports {name} by its full name"
        found[names] = used
    return found


def floor(names):
    if names in (("__main__",), ("options",)):  # the command line
        return "__main__"
    return names[0] if len(names) > 1 else ""


def test_imports_run_down_the_floors_and_not_in_a_circle():
    found = modules()
    assert {floor(names) for names in found} == set(FLOORS)
    for names, used in found.items():
        wrong = [one for one in used if floor(one) not in {floor(names), *FLOORS[floor(names)]}]
        assert not wrong, f"{'.'.join(names)} imports {wrong}, which is no floor below it"
    while found:
        free = [names for names, used in found.items() if not used & (set(found) - {names})]
        assert free, f"a circle among {sorted(found)}"
        found = {names: used for names, used in found.items() if names not in free}


def test_the_readme_lists_the_files_of_the_method_in_an_order_in_which_they_can_be_read():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\w+)\]\(minimeta/\1\.py\) \| \S", readme, re.M)
    found = {names[0]: used for names, used in modules().items() if floor(names) == "" and names != ("__init__",)}
    assert sorted(listed) == sorted(found)
    for place, name in enumerate(listed):
        assert {one[0] for one in found[name]} - {"__init__"} <= set(listed[:place]), name


def test_every_wing_says_what_lives_there_and_what_may_not():
    for wing in (path for path in (ROOT / "minimeta").iterdir() if (path / "__init__.py").exists()):
        said = ast.get_docstring(ast.parse((wing / "__init__.py").read_text(encoding="utf-8")))
        assert len(said.splitlines()) == 3 and "Nothing here" in said, wing.name


def test_the_package_is_imported_without_torch():
    wings = ", ".join(f"minimeta.{wing}" for wing in FLOORS if wing not in ("", "__main__"))
    code = f"import sys, minimeta, {wings}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_make_is_quick_when_nothing_changed():
    """With the stamps in place, `make` has nothing to install; what is left of `make test` is the tests."""
    if not (ROOT / ".venv" / ".test").exists():
        pytest.skip("the environment was not made by make")
    if (ROOT / ".venv" / ".test").stat().st_mtime < (ROOT / "pyproject.toml").stat().st_mtime:
        pytest.skip("pyproject.toml has changed since the environment was made")
    plan = subprocess.run(["make", "-n", "test", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "pip install" not in plan
    assert "pytest" in plan
    assert "jupyter lab" in plan


def test_the_rates_of_small_scale_are_the_best_measured_ones():
    """Most right answers over both validation languages and all tests; the lower rates where that is a tie."""
    right = {}
    with open(ROOT / "data/results/small_rates.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if (row["method"], row["episodes"]) != ("joint", "languages"):
                rates = float(row["inner_rate"]), float(row["outer_rate"])
                right.setdefault(row["method"], {}).setdefault(rates, []).append(int(row["right"]))
    tuning = right.pop("fine-tuning")
    assert SCALES["small"]["languages"].tune_rate == min(tuning, key=lambda rates: (-sum(tuning[rates]), rates))[1]
    for method, found in right.items():
        assert set(found) >= {(inner, outer) for inner in (0.005, 0.02) for outer in (3e-4, 1e-4)}
        assert len({len(values) for values in found.values()}) == 1
        best = min(found, key=lambda rates: (-sum(found[rates]), rates))
        assert best == METHODS[method].rates, method
    alike = {name: method.rates for name, method in METHODS.items() if isinstance(method.rates, str)}
    assert set(METHODS) == set(right) | set(alike) and not set(right) & set(alike)
    assert all(small_rates(name) == METHODS[other].rates for name, other in alike.items())


def test_the_wheel_carries_the_data(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        ".",
    ]
    import zipfile

    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("minimeta", "data", "pyproject.toml", "README.md", "LICENSE"):
        (copy / name).symlink_to(ROOT / name)
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    own = ("papers/treemaml.toml", "results/paper_treemaml_table1.csv", "mini/de.csv")
    for name in (*own, "tiny-encoder-nli/model.safetensors"):
        assert f"minimeta/_data/{name}" in inside
    assert not [name for name in inside if name.startswith(("tests/", "notebooks/"))]
