"""The picture of the course in JupyterLab, in a real browser: its buttons, its sliders, and ω dragged by the mouse."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_lab import lab, open_scratch, page, wait  # noqa: F401

CELLS = (
    """
from minimeta.show.plane import PlaneExplorer
explorer = PlaneExplorer()
explorer""",
)


@pytest.fixture(scope="module")
def explorer(page, lab):  # noqa: F811
    open_scratch(page, lab, CELLS)
    found = page.locator(".jp-OutputArea-output .widget-vbox", has_text="Drag").first
    found.locator(".js-plotly-plot .shapelayer path").first.wait_for()
    return found


def omega(explorer):
    """Where the grey dot is: its centre on the page, in pixels."""
    box = "path => { const b = path.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }"
    return explorer.locator(".js-plotly-plot .shapelayer path").first.evaluate(box)


def table(explorer):
    return explorer.locator("table").inner_text()


def test_the_buttons_choose_who_shares(explorer):
    explorer.get_by_role("button", name="Fixed TreeMAML").click()
    wait(lambda: explorer.get_by_text("Fixed TreeMAML").count() == 3)  # button, row of the table, title of the plane
    before = table(explorer)
    explorer.get_by_role("button", name="new points").click()
    wait(lambda: table(explorer) != before)


def test_omega_can_be_dragged_and_brought_back(explorer):
    explorer.locator(".js-plotly-plot").scroll_into_view_if_needed()
    before, (x, y) = table(explorer), omega(explorer)
    mouse = explorer.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - 40, y - 20, steps=5)
    mouse.up()
    wait(lambda: table(explorer) != before)
    wait(lambda: abs(omega(explorer)[0] - (x - 40)) < 25 and omega(explorer)[0] < x - 10)
    explorer.get_by_role("button", name="ω to the middle").click()
    wait(lambda: table(explorer) == before)


def test_the_letters_follow_the_theme(explorer):
    colour = "plot => getComputedStyle(plot.querySelector('.annotation-text, .annotation text')).fill"
    plot = explorer.locator(".js-plotly-plot")
    light = plot.evaluate(colour)
    execute = "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
    explorer.page.evaluate(execute, "JupyterLab Dark")
    wait(lambda: plot.evaluate(colour) != light)
    explorer.page.evaluate(execute, "JupyterLab Light")
    wait(lambda: plot.evaluate(colour) == light)
