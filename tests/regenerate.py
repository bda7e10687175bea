"""Run notebooks in toy mode and store their real outputs, with a picture beside each figure and each widget.

    python tests/regenerate.py notebooks/*.ipynb

The picture (PNG) is for readers without a kernel: a code host's viewer shows it in place of the live figure. Like that
it has no ground of its own, so that it is light or dark as the page is. What a
widget shows for the choices of its controls is recorded in `notebooks/recordings/`, for the course's pages.
"""

import base64
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
import plotly
from browser import browser
from nbconvert.preprocessors import ExecutePreprocessor
from PIL import Image

from minimeta.show.recording import first_figure, load, recording_of
from minimeta.text.languages import XNLI, language

FIGURE = "application/vnd.plotly.v1+json"
LETTERS = {language(code).name: language(code).own_name[0] for code in XNLI}

WIDGET = "application/vnd.jupyter.widget-view+json"
RECORD = """
from pathlib import Path
from minimeta.show.recording import Explorer, save
for number, shown in list(Out.items()):
    if isinstance(shown, Explorer) and shown.recorded:
        save(shown, Path({folder!r}, f"{{number}}.json.gz"))
"""


def main(paths: list[str]) -> None:
    if lacking := [name for name, letter in LETTERS.items() if not has_font(letter)]:
        raise SystemExit(
            f"No font here has the letters of {', '.join(lacking)}, so pictures would show boxes in their place. "
            "Install some (on Debian fonts-lohit-deva, fonts-tlwg-loma-otf and fonts-wqy-microhei)."
        )
    for path in map(Path, paths):
        book = nbformat.read(path, as_version=4)
        runner = ExecutePreprocessor(timeout=900, store_widget_state=False)
        with tempfile.TemporaryDirectory() as folder:
            book.cells.append(nbformat.v4.new_code_cell(RECORD.format(folder=folder)))
            runner.preprocess(book, {"metadata": {"path": str(path.parent)}})
            book.cells.pop()
            keep_recordings(book, Path(folder), path)
        for cell in book.cells:
            cell.metadata.pop("execution", None)
        add_pictures(book, path)
        book.metadata.pop("widgets", None)
        nbformat.write(book, path)
        print(path)


def has_font(letter: str) -> bool:
    """Whether a font has it; without fontconfig (on macOS, say) we take it that one has."""
    if not shutil.which("fc-list"):
        return True
    found = subprocess.run(["fc-list", f":charset={ord(letter):x}"], capture_output=True, text=True, check=True)
    return bool(found.stdout)


def keep_recordings(book: nbformat.NotebookNode, folder: Path, notebook: Path) -> None:
    """Move the recordings, which are named by their cell's number, to their place, instead of older ones."""
    (notebook.parent / "recordings").mkdir(exist_ok=True)
    for old in (notebook.parent / "recordings").glob(f"{notebook.stem}-*.json.gz"):
        old.unlink()
    for cell in book.cells:
        made = folder / f"{cell.get('execution_count')}.json.gz"
        if made.exists():
            shutil.copy(made, recording_of(notebook, cell.id))


def add_pictures(book: nbformat.NotebookNode, notebook: Path) -> None:
    """Give every stored figure, and every recorded widget, a PNG of itself, drawn in headless Chromium."""
    figures = []
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if FIGURE in data:
                figures.append((output, data[FIGURE]))
            elif WIDGET in data and recording_of(notebook, cell.id).exists():
                figures.append((output, first_figure(load(recording_of(notebook, cell.id)))))
    if not figures:
        return
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    with browser() as chromium:
        page = chromium.new_page()
        page.add_script_tag(path=script)
        for output, figure in figures:
            url = page.evaluate(
                """async ([data, layout]) => {
                    const plot = document.createElement('div');
                    document.body.append(plot);
                    await Plotly.newPlot(plot, data, layout);
                    return Plotly.toImage(plot, {format: 'png', width: layout.width, height: layout.height, scale: 1});
                }""",
                json.loads(json.dumps([figure["data"], figure["layout"]])),
            )
            output["data"]["image/png"] = smaller(url.split(",", 1)[1], figure)


def smaller(picture: str, figure: dict) -> str:
    """A base64 PNG of a third the size in which flat colours stay what they are: a reader tells the traces by them.

    The 192 most frequent colours stay exact; 64 more stand in for the rest, the blurred edges of lines and letters.
    Where colour is a scale, each cell has a colour of its own, and all are kept.
    """
    drawn = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGBA")
    if not any("colorscale" in trace for trace in figure["data"]):
        drawn = with_palette(drawn, exact=192, others=64)
    saved = io.BytesIO()
    drawn.save(saved, "PNG", optimize=True)
    return base64.b64encode(saved.getvalue()).decode()


def with_palette(drawn: Image.Image, exact: int, others: int) -> Image.Image:
    """The picture in `exact + others` colours, at most 256 (Pillow's own `quantize` keeps no colour exactly)."""
    pixels = np.asarray(drawn).reshape(-1, 4)
    colours, inverse, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    colours_by_frequency = colours[np.argsort(-counts, kind="stable")]
    palette, rest = colours_by_frequency[:exact], colours_by_frequency[exact:]
    if len(rest):
        stand_ins = Image.fromarray(rest[None]).quantize(others).getpalette("RGBA")
        palette = np.concatenate([palette, np.array(stand_ins, np.uint8).reshape(-1, 4)[:others]])
    nearest = ((colours[:, None].astype(int) - palette) ** 2).sum(-1).argmin(1)
    indexed = Image.fromarray(nearest[inverse].reshape(drawn.height, drawn.width).astype(np.uint8), "P")
    indexed.putpalette(palette.tobytes(), "RGBA")
    return indexed


if __name__ == "__main__":
    main(sys.argv[1:])
