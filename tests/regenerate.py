"""Run notebooks in toy mode and store their real outputs, with a picture beside each figure.

    python tests/regenerate.py notebooks/*.ipynb

The picture (PNG) is for readers without a kernel: a code host's viewer shows it in place of the live figure.
"""

import base64
import io
import json
import sys
from pathlib import Path

import nbformat
import numpy as np
import plotly
from browser import browser
from nbconvert.preprocessors import ExecutePreprocessor
from PIL import Image

FIGURE = "application/vnd.plotly.v1+json"


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        book = nbformat.read(path, as_version=4)
        runner = ExecutePreprocessor(timeout=600, store_widget_state=False)
        runner.preprocess(book, {"metadata": {"path": str(path.parent)}})
        for cell in book.cells:
            cell.metadata.pop("execution", None)
        add_pictures(book)
        book.metadata.pop("widgets", None)
        nbformat.write(book, path)
        print(path)


def add_pictures(book: nbformat.NotebookNode) -> None:
    """Give every stored plotly figure a PNG of itself on white, drawn in headless Chromium."""
    figures = [o for c in book.cells if c.cell_type == "code" for o in c.outputs if FIGURE in o.get("data", {})]
    if not figures:
        return
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    with browser() as chromium:
        page = chromium.new_page()
        page.add_script_tag(path=script)
        for output in figures:
            figure = output["data"][FIGURE]
            url = page.evaluate(
                """async ([data, layout]) => {
                    const plot = document.createElement('div');
                    document.body.append(plot);
                    await Plotly.newPlot(plot, data, layout);
                    return Plotly.toImage(plot, {format: 'png', width: layout.width, height: layout.height, scale: 1});
                }""",
                json.loads(json.dumps([figure["data"], {**figure["layout"], "paper_bgcolor": "#FFFFFF"}])),
            )
            output["data"]["image/png"] = smaller(url.split(",", 1)[1], figure)


def smaller(picture: str, figure: dict) -> str:
    """A base64 PNG of a third the size in which flat colours stay what they are: a reader tells the traces by them.

    The 192 most frequent colours stay exact; 64 more stand in for the rest, the blurred edges of lines and letters.
    Where colour is a scale, each cell has a colour of its own, and all are kept.
    """
    drawn = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    if not any("colorscale" in trace for trace in figure["data"]):
        drawn = with_palette(drawn, exact=192, others=64)
    saved = io.BytesIO()
    drawn.save(saved, "PNG", optimize=True)
    return base64.b64encode(saved.getvalue()).decode()


def with_palette(drawn: Image.Image, exact: int, others: int) -> Image.Image:
    """The picture in `exact + others` colours, at most 256 (Pillow's own `quantize` keeps no colour exactly)."""
    pixels = np.asarray(drawn).reshape(-1, 3)
    colours, inverse, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    colours_by_frequency = colours[np.argsort(-counts, kind="stable")]
    palette, rest = colours_by_frequency[:exact], colours_by_frequency[exact:]
    if len(rest):
        stand_ins = Image.fromarray(rest[None]).quantize(others).getpalette()
        palette = np.concatenate([palette, np.array(stand_ins, np.uint8).reshape(-1, 3)[:others]])
    nearest = ((colours[:, None].astype(int) - palette) ** 2).sum(-1).argmin(1)
    indexed = Image.fromarray(nearest[inverse].reshape(drawn.height, drawn.width).astype(np.uint8), "P")
    indexed.putpalette(palette.tobytes())
    return indexed


if __name__ == "__main__":
    main(sys.argv[1:])
