"""Explorers of notebooks 01 to 04 and 07 in JupyterLab: buttons, keys, clicks, and ω dragged by the mouse."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_lab import lab, open_scratch, page, wait  # noqa: F401
from test_treewidgets_browser import until

CELLS = (
    """
from minimeta.show.plane import PlaneExplorer
explorer = PlaneExplorer()
explorer""",
    """
import torch
from torch import nn
from minimeta.inner import Learner, squared_error
from minimeta.show.steps import StepExplorer
from minimeta.tasks import Episode
batch = {"x": torch.tensor([[[1.0]], [[2.0]]]), "y": torch.tensor([[[0.0]], [[2.0]]])}
StepExplorer(Learner(nn.Linear(1, 1, bias=False), squared_error), Episode(("A", "B"), (batch,), {}))""",
    """
from minimeta.show.learned import LearnedExplorer
LearnedExplorer()""",
    """
from minimeta.show.company import CompanyExplorer
CompanyExplorer()""",
)


@pytest.fixture(scope="module")
def explorer(page, lab):  # noqa: F811
    open_scratch(page, lab, CELLS)
    found = part(page, "the first step is")
    found.locator(".js-plotly-plot .shapelayer path").first.wait_for()
    return found


def part(page, words):  # noqa: F811
    """The widget that has these words."""
    return page.locator(".jp-OutputArea-output .widget-vbox", has_text=words).first


def drag(explorer, right, down, seen, prepare=lambda: None):
    """Drag ω by so many pixels, and again, until it has followed the mouse and that is `seen`.

    What is drawn above it can push it out of sight, and axes that still glide carry it away from the mouse; a figure
    that is drawn anew meanwhile drops it. So each try begins with what will `prepare` it, in sight, where ω stays.
    """
    mouse, followed = explorer.page.mouse, []

    def act():
        prepare()
        explorer.locator(".js-plotly-plot").scroll_into_view_if_needed()
        x, y = stays(explorer)
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + right, y + down, steps=5)
        there = place(explorer)
        followed.append(abs(there[0] - x - right) + abs(there[1] - y - down) < 3)
        mouse.up()

    until(lambda: followed[-1] and seen(), act)


def stays(explorer):
    """Where the grey dot is, as soon as it has not moved between two looks."""
    looks = []

    def same():
        looks.append(place(explorer))
        return looks[-1:] == looks[-2:-1]

    wait(same)
    return looks[-1]


def place(explorer):
    """Where the grey dot is: its centre on the page, in pixels."""
    box = "path => { const b = path.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }"
    return explorer.locator(".js-plotly-plot .shapelayer path").first.evaluate(box)


def omega(explorer):
    """Where the grey dot is: its centre in the plane."""
    centre = "plot => { const {x0, x1, y0, y1} = plot.layout.shapes[0]; return [(x0 + x1) / 2, (y0 + y1) / 2]; }"
    return explorer.locator(".js-plotly-plot").evaluate(centre)


def table(explorer):
    return explorer.locator("table").inner_text()


def test_the_buttons_choose_who_shares(explorer):
    explorer.get_by_role("button", name="Fixed TreeMAML").click()
    wait(lambda: explorer.get_by_text("Fixed TreeMAML").count() == 3)  # button, row of the table, title of the plane
    before = table(explorer)
    explorer.get_by_role("button", name="new points").click()
    wait(lambda: table(explorer) != before)


def test_omega_can_be_dragged_and_brought_back(explorer):
    before, home = table(explorer), explorer.get_by_role("button", name="ω to the middle")

    def is_back():
        return table(explorer) == before and omega(explorer) == [0, 0]

    def go_back():
        home.click()
        wait(is_back)

    def is_there():
        x, y = omega(explorer)
        return -0.8 < x < -0.2 and 0.1 < y < 0.4 and table(explorer) != before

    drag(explorer, -40, -20, is_there, go_back)
    go_back()


def test_the_letters_follow_the_theme(explorer):
    colour = "plot => getComputedStyle(plot.querySelector('.annotation-text, .annotation text')).fill"
    plot = explorer.locator(".js-plotly-plot")
    light = plot.evaluate(colour)
    execute = "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
    explorer.page.evaluate(execute, "JupyterLab Dark")
    wait(lambda: plot.evaluate(colour) != light)
    explorer.page.evaluate(execute, "JupyterLab Light")
    wait(lambda: plot.evaluate(colour) == light)


def test_the_start_is_dragged_or_moved_by_a_key(explorer):
    steps = part(explorer.page, "The best start for")

    def start():
        return float(re.search(r"ω = ([-\d.]+)", steps.inner_text())[1])

    wait(lambda: start() == 0.5)
    drag(steps, -60, 0, lambda: start() < 0.5)
    dragged, handle = start(), steps.locator(".widget-inline-hbox", has_text="start ω").locator(".noUi-handle")
    until(lambda: start() > dragged, lambda: handle.press("ArrowRight"))


def test_a_key_gives_more_shots_and_a_button_another_draw(explorer):
    learned = part(explorer.page, "purity, halves")
    wait(lambda: "5 shots, draw 1" in learned.text_content())
    learned.get_by_role("button", name="new draw").click()
    wait(lambda: "mean of 2 draws" in learned.text_content() and "5 shots, draw 2" in learned.text_content())
    learned.locator(".noUi-handle").press("ArrowRight")
    wait(lambda: "10 shots, draw 2" in learned.text_content() and "mean of 1 draw" in learned.text_content())


def test_a_click_follows_another_language_and_a_key_goes_down_the_tree(explorer):
    company = part(explorer.page, "takes its inner steps")
    wait(lambda: "German takes its inner steps" in company.text_content() and "▸ step 1" in company.text_content())
    hindi = company.locator(".js-plotly-plot text", has_text="Hindi (hi)").first

    def click():
        hindi.scroll_into_view_if_needed()
        box = hindi.bounding_box()
        explorer.page.mouse.click(box["x"] - 10, box["y"] + box["height"] / 2)  # its point, left of its name

    until(lambda: "Hindi takes its inner steps" in company.text_content(), click)
    for step, others in ((2, "8"), (3, "1"), (4, "0")):
        company.locator(".noUi-handle").press("ArrowRight")
        wait(lambda words=f"▸ step {step}{others}": words in company.text_content())
