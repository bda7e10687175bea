"""A figure or a recorded widget on a page: plotly's JavaScript once, what is shown as data, and the player.

A page works from disk, without a network and without a kernel, and is light or dark as its reader's system is.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from ..files import to_write, whole_file

_HERE = Path(__file__).parent
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>:root {{ color-scheme: light dark; }} body {{ font-family: sans-serif; margin: 1em; }}
{style}</style>
<script>{plotly}</script>
<script>{script}</script>
</head>
<body>
<main>{shown}</main>
</body>
</html>
"""


def script() -> str:
    """The JavaScript that draws figures and plays recordings; it asks for plotly's own."""
    plot = (_HERE / "plot.js").read_text("utf-8").replace("export default {render};", "return {render};")
    return f"const minimetaPlot = (() => {{\n{plot}}})();\n" + (_HERE / "player.js").read_text("utf-8")


def style() -> str:
    """What recorded widgets look like (CSS)."""
    return (_HERE / "player.css").read_text("utf-8")


def pack(shown: dict[str, Any]) -> bytes:
    """What is shown as gzipped JSON; the same gives the same bytes."""
    return gzip.compress(json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode(), mtime=0)


def spoken(title: str) -> str:
    """A figure's title as words, for the title of a page or for the blind: without its markup."""
    without = re.sub(r"</?[a-zA-Z][^>]*>", "", re.sub(r"<br\s*/?>", " ", title))
    return " ".join(html.unescape(without).split())


def place(shown: dict[str, Any], name: str) -> str:
    """HTML that shows a figure ({"figure": ...}) or a recording ({"widget": ...}); `name` is read to the blind."""
    packed = base64.b64encode(pack(shown)).decode()
    said = html.escape(name, quote=True)
    return (
        f"<div class='minimeta' role='group' aria-label='{said}'>"
        f"<script type='application/gzip'>{packed}</script></div>"
    )


def write_page(path: str | Path, title: str, shown: dict[str, Any]) -> None:
    """Write one HTML file that shows a figure or a recording, whole or not at all."""
    parts = {"style": style(), "plotly": get_plotlyjs(), "script": script(), "shown": place(shown, title)}
    with whole_file(to_write(path)) as unfinished:
        unfinished.write_text(_PAGE.format(title=html.escape(title), **parts), "utf-8")
