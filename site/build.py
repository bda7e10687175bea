"""Build the course as static pages, from the stored outputs: no notebook is run.

    python site/build.py [FOLDER]        (default: build/site)

The pages are in FOLDER/html. The project's texts are laid out in FOLDER/source as they are in the repository, with live
figures and recorded widgets in the place of outputs; Sphinx makes the pages. If the repository's address is known
(GITHUB_REPOSITORY, or a git remote on GitHub), pages link to Binder and Colab.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
from plotly.offline import get_plotlyjs
from sphinx.cmd.build import main as sphinx

from minimeta.show import pages
from minimeta.show.recording import load, recording_of

ROOT = Path(__file__).resolve().parent.parent
FIGURE, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
TEXTS = (
    "README.md", "CONTRIBUTING.md", "notebooks/*.md", "notebooks/assignments/README.md", "tests/benchmarks/RESULTS.md",
    "data/**/*.md", "findings/README.md",
)  # fmt: skip
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)(#[^)\s]*)?(?=\))")

SOLUTIONS = re.compile(r"\[([^\]]+)\]\(source/[^)]*\)")  # problem sets with their solutions: no page for students


def main(folder: Path) -> int:
    """Lay out the sources and build the pages; returns 0 if there was nothing to complain about."""
    source = folder / "source"
    for own in (source, folder / "html", folder / "doctrees"):  # what else is in the folder is not ours
        shutil.rmtree(own, ignore_errors=True)
    texts = [path for pattern in TEXTS for path in sorted(ROOT.glob(pattern))]
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    modules = sorted(path for path in (ROOT / "minimeta").rglob("*.py") if "_data" not in path.parts)
    known = {path: path for path in (*texts, *notebooks)} | {path: api_page(path) for path in modules}
    known[ROOT / "site" / "index.md"] = ROOT / "index.md"

    for path in texts:
        write(source / path.relative_to(ROOT), relinked(path.read_text("utf-8"), path, known, source))
    write(
        source / "index.md", (ROOT / "site" / "index.md").read_text("utf-8").replace("PICTURE", picture(notebooks[0]))
    )
    for path in notebooks:
        book = nbformat.read(path, as_version=4)
        for cell in book.cells:
            cell.source = relinked(cell.source, path, known, source) if cell.cell_type == "markdown" else cell.source
            if cell.cell_type == "code":
                cell.outputs = [kept for output in cell.outputs if (kept := shown(output, path, cell))]
        book.cells.insert(1, nbformat.v4.new_markdown_cell(open_in(path), id="open-in"))
        write(source / path.relative_to(ROOT), nbformat.writes(book))
    for path in modules:
        write(source / api_page(path).relative_to(ROOT), f"# {title_of(path)}\n\n{automodule(name_of(path))}")
    write(source / "api" / "index.md", api_index(modules))
    write(source / "papers.md", papers())
    shutil.copy(ROOT / "site" / "conf.py", source)
    static = source / "_static"
    write(static / "plotly.min.js", get_plotlyjs())
    write(static / "minimeta.js", pages.script())
    write(static / "minimeta.css", pages.style())
    shutil.copy(ROOT / "site" / "site.css", static)
    quietly = ["-q", "-W", "--keep-going", "-j", "2"]
    return sphinx([*quietly, "-d", str(folder / "doctrees"), str(source), str(folder / "html")])


def write(path: Path, text: str) -> None:
    """Write a text, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


# Notebooks


def shown(output: nbformat.NotebookNode, notebook: Path, cell: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """An output as a page shows it: a figure or a recorded widget alive, None for a widget that was not recorded."""
    data = output.get("data", {})
    if FIGURE in data:
        title = data[FIGURE]["layout"].get("title", {}).get("text", "")
        made = pages.place({"figure": data[FIGURE]}, f"Figure: {pages.spoken(title)}")
    elif WIDGET in data:
        recording = recording_of(notebook, cell.id)
        if not recording.exists():
            return None
        made = pages.place({"widget": load(recording)}, "Recorded widget")
    else:
        return output
    return nbformat.v4.new_output("display_data", {"text/html": made})


def picture(notebook: Path) -> str:
    """The first figure of a notebook, as HTML."""
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = ((output, cell) for cell in cells for output in cell.get("outputs", ()))
    first, cell = next((output, cell) for output, cell in outputs if FIGURE in output.get("data", {}))
    return shown(first, notebook, cell).data["text/html"]


def open_in(notebook: Path) -> str:
    """Where a reader can run the notebook."""
    links, repository = [f"{{download}}`Download this notebook <{notebook.name}>`"], github()
    if repository:
        path = notebook.relative_to(ROOT)
        links.append(f"[open it in Binder](https://mybinder.org/v2/gh/{repository}/HEAD?labpath={path})")
        folder = repository.split("/")[1]
        first = f"`!git clone --depth 1 https://github.com/{repository}` and `%cd {folder}/notebooks` in a first cell"
        colab = f"https://colab.research.google.com/github/{repository}/blob/HEAD/{path}"
        links.append(f"[open it in Colab]({colab}), with {first}")
    return " · ".join(links) + "\n\nFigures on this page can be turned and zoomed; widgets play what was recorded."


def github() -> str:
    """The repository on GitHub as owner/name, or "" if it is not known."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return name
    asked = subprocess.run(["git", "remote", "get-url", "origin"], cwd=ROOT, capture_output=True, text=True)
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?\s*$", asked.stdout)
    return found[1] if found else ""


# Links


def relinked(text: str, path: Path, known: dict[Path, Path], source: Path) -> str:
    """The text with links that lead somewhere on the site: modules to their API page, other files to a copy."""

    def link(found: re.Match) -> str:
        target = Path(posixpath.normpath(path.parent / found[1]))
        if target.is_dir() and (target / "README.md") in known:
            target = target / "README.md"
        if target in known:
            return posixpath.relpath(known[target], path.parent) + (found[2] or "")
        if target.is_file() and target.is_relative_to(ROOT):
            copy = source / target.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(target, copy)
        return found[0]

    return LINK.sub(link, SOLUTIONS.sub(r"\1", text))


# Pages that are made


def name_of(path: Path) -> str:
    """A module's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def title_of(path: Path) -> str:
    """A module's name as a heading: underscores are no marks of emphasis."""
    return name_of(path).replace("_", r"\_")


def api_page(path: Path) -> Path:
    """Where a module is described, as if it stood in the repository."""
    return ROOT / "api" / f"{name_of(path)}.md"


def automodule(name: str) -> str:
    """All that a module offers, in the order of its source."""
    options = "   :members:\n   :member-order: bysource\n   :show-inheritance:\n"
    return f"```{{eval-rst}}\n.. automodule:: {name}\n{options}```\n"


def api_index(modules: list[Path]) -> str:
    """The modules by wing."""
    wings = {
        "minimeta": "The method",
        "minimeta.text": "Text",
        "minimeta.studies": "Studies",
        "minimeta.course": "The course",
        "minimeta.show": "Figures and widgets",
    }
    parts = ["# The library\n\nMade from the docstrings; every name links to its source.\n"]
    for package, title in wings.items():
        own = [name_of(path) for path in modules if package in (name_of(path), name_of(path).rpartition(".")[0])]
        own = [name for name in own if name == package or name not in wings]
        tree = "\n".join(own)
        parts.append(f"## {title}\n\n```{{toctree}}\n:maxdepth: 1\n\n{tree}\n```\n")
    return "\n".join(parts)


def papers() -> str:
    """The papers' tables, from the data of which the library's own tables are made."""
    parts = ["# The papers' tables\n\nFigures as the papers print them, in %; “-” where they print none.\n"]
    for path in sorted((ROOT / "data" / "results").glob("paper_*.csv")):
        name = path.stem.removeprefix("paper_").replace("_", " ").replace("xla maml", "XLA-MAML,")
        name = name.replace("treemaml", "TreeMAML,").replace("xnli", "(XNLI)").replace("mlqa f1 em", "(MLQA, F1 / EM)")
        name = re.sub(r"table(\d)", r"Table \1:", name).removesuffix(":").replace(": (", " (")
        table = pd.read_csv(path, dtype=str).fillna("")
        lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
        shown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"## {name}\n\n{shown}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"))
