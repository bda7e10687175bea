"""How notebooks are compared with their stored outputs (`pytest --nbval`).

Text is compared to the letter. A figure is compared as a marker that names its title and its traces, so that a
missing or different figure fails while its numbers, which vary with the processor, may differ: what was trained is
asserted in the cells. A widget is compared as a widget. A cell that was never executed fails, because nothing would
be compared.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell

FIGURE = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"


def marker(output: Any) -> Any:
    """One output with what cannot be compared replaced by a marker that can."""
    data = output.get("data", {})
    if FIGURE in data:
        figure = data[FIGURE]
        title = figure["layout"].get("title", {}).get("text", "")
        traces = ", ".join(str(trace.get("name", "")) for trace in figure["data"])
        text = f"figure {title!r}: {traces}"
    elif WIDGET in data:
        text = "widget"
    else:
        return output
    return NotebookNode({**output, "data": {"text/plain": text}})


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator:
    """Give every notebook cell the comparison described above."""
    for cell in items:
        if isinstance(cell, IPyNbCell):
            cell.compare_outputs = _comparison(cell)  # type: ignore[method-assign]
            if cell.cell.execution_count is None and cell.cell.source.strip() and not cell.options["skip"]:
                cell.runtest = _never_executed(cell)  # type: ignore[method-assign]
    return (yield)


def _comparison(cell: IPyNbCell) -> Any:
    compare = cell.compare_outputs

    def without_noise(test: list, ref: list, skip_compare: Any = None) -> bool:
        test, ref = ([marker(o) for o in outputs if o.get("name") != "stderr"] for outputs in (test, ref))
        return compare(test, ref, skip_compare)

    return without_noise


def _never_executed(cell: IPyNbCell) -> Any:
    def fail() -> None:
        cell.raise_cell_error("This cell was never executed: run 'make notebooks' to store its output.")

    return fail
