"""How Sphinx makes the course's pages (see build.py)."""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

project = "minimeta"
author = "The minimeta authors"
html_title = "minimeta"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]

# The notebooks' stored outputs, as they are.
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # recorded widgets need no other site's scripts
nb_merge_streams = True
nb_code_prompt_show = "… show {type}"
nb_code_prompt_hide = "hide {type}"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header", "ref.python", "misc.highlighting_failure"]

# Docstrings are plain English with `code` in backticks.
default_role = "code"
autodoc_typehints = "signature"
autodoc_default_options = {"exclude-members": "__init__"}

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["minimeta.css", "site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
html_math_renderer = "mathml"


def math(self: Any, node: nodes.math | nodes.math_block) -> None:
    """A formula as MathML, which browsers draw and screen readers read, without a script."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    made = convert(node.astext(), display=display)
    self.body.append(f"<div class='math'>{made}</div>" if display == "block" else made)
    raise nodes.SkipNode


def plain(app: Any, what: str, name: str, described: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are not reStructuredText: a star or a bar in them is just that, and what is set in is code."""
    code = False
    for i, line in enumerate(lines):
        if line and not code and line.startswith("    ") and i > 1 and lines[i - 2].endswith(":"):
            lines[i - 2] += ":"
            code = True
        code = code and (not line or line.startswith("    "))
        if code:
            continue
        parts = line.split("`")
        parts[::2] = [part.replace("*", r"\*").replace("|", r"\|").replace("_ ", r"\_ ") for part in parts[::2]]
        lines[i] = "`".join(parts)


def scripts(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Plotly only where there is something to draw."""
    if "class='minimeta'" in context.get("body", ""):
        app.add_js_file("plotly.min.js")
        app.add_js_file("minimeta.js")


def ours(app: Any) -> list:
    """The index of sources lists Python's builtins too, which have no page."""
    modules = app.env._viewcode_modules
    for name in [name for name, source in modules.items() if not source]:
        del modules[name]
    return []


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.add_html_math_renderer("mathml", (math, None), (math, None))
    app.connect("autodoc-process-docstring", plain)
    app.connect("html-page-context", scripts)
    app.connect("html-collect-pages", ours, priority=100)  # before viewcode's own
