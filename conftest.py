"""How notebooks are compared with their stored outputs (`pytest --nbval`).

Text is compared to the letter. A figure is compared as a marker that names its title and its traces, so that a
missing or different figure fails while its numbers, which vary with the processor, may differ. A widget is compared as
a widget. A cell that was never executed fails, because nothing would be compared.

What a notebook says of its numbers is asserted beside it, in `tests/claims/NOTEBOOK.py`, and not in its cells, where an
assertion would give away what a reader is asked to predict. A line `# %% after CELL` begins what holds once that cell
has run, in the notebook's own kernel.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell

FIGURE = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
CLAIMS = Path(__file__).parent / "tests" / "claims"


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


def claims_of(notebook: str) -> dict[str, str]:
    """What is asserted of a notebook, by the id of the cell after which it holds."""
    path = CLAIMS / f"{notebook}.py"
    if not path.exists():
        return {}
    _, *parts = re.split(r"^# %% after (\S+)\n", path.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator:
    """Give every notebook cell the comparison described above."""
    for cell in items:
        if isinstance(cell, IPyNbCell):
            cell.compare_outputs = _comparison(cell)  # type: ignore[method-assign]
            if claim := claims_of(cell.parent.path.stem).get(cell.cell.get("id", "")):
                cell.runtest = _with_claim(cell, claim)  # type: ignore[method-assign]
            if cell.cell.execution_count is None and cell.cell.source.strip() and not cell.options["skip"]:
                cell.runtest = _never_executed(cell)  # type: ignore[method-assign]
    return (yield)


def _comparison(cell: IPyNbCell) -> Any:
    compare = cell.compare_outputs

    def without_noise(test: list, ref: list, skip_compare: Any = None) -> bool:
        test, ref = ([marker(o) for o in outputs if o.get("name") != "stderr"] for outputs in (test, ref))
        return compare(test, ref, skip_compare)

    return without_noise


def _with_claim(cell: IPyNbCell, claim: str) -> Any:
    run = cell.runtest

    def run_and_assert() -> None:
        run()
        kernel, patience = cell.parent.kernel, cell.config.option.nbval_cell_timeout  # a cell's, on a busy machine too
        asked, answer = kernel.execute_cell_input(claim, allow_stdin=False), {"parent_header": {}}
        while answer["parent_header"].get("msg_id") != asked:
            try:
                answer = kernel.get_message(stream="shell", timeout=patience)
            except Empty:
                how = f"took longer than {patience:g} seconds" if kernel.is_alive() else "ended the kernel"
                kernel.interrupt()
                cell.raise_cell_error(f"What tests/claims says of this cell {how}.")
        if answer["content"]["status"] != "ok":
            words = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(answer["content"].get("traceback", [])))
            cell.raise_cell_error(f"What tests/claims says of this cell does not hold:\n{words}")

    return run_and_assert


def _never_executed(cell: IPyNbCell) -> Any:
    def fail() -> None:
        cell.raise_cell_error("This cell was never executed: run 'make notebooks' to store its output.")

    return fail
