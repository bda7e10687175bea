"""The tree widgets in JupyterLab, in a real browser: play, scrub, click, drag, reload, in both themes."""

import json
import os
import sys
import urllib.request
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_lab import TOKEN, lab, page, run_all, wait  # noqa: F401

CELLS = (
    """
import numpy as np, torch
from minimeta.inner import Learner, squared_error
from minimeta.tasks import FourierRegression, balanced_tree, branching_curves
from minimeta.treewidgets import OTDReplay, TreeExplorer

rng = np.random.default_rng(0)
centres = rng.standard_normal((3, 16))
names = [f"{'abc'[i % 3]}{i}" for i in range(12)]
vectors = np.stack([centres[i % 3] + 0.5 * rng.standard_normal(16) for i in range(12)])
replay = OTDReplay({"three groups": (vectors, names)}, {"three groups": {name: name[0] for name in names}})
replay""",
    """
torch.manual_seed(0)
tree = balanced_tree((2, 2, 2))
explorer = TreeExplorer(
    Learner(FourierRegression(), squared_error), branching_curves(tree)(0),
    {"branch": {task: task[0] for task in tree.leaves}, "twig": {task: task[:3] for task in tree.leaves}},
    {task: [f"<b>sentence</b> of {task}"] for task in tree.leaves}, {"the true tree": tree}, rate=0.1,
)
explorer""",
)


@pytest.fixture(scope="module")
def asked(page):  # noqa: F811
    """The addresses that the page asks for."""
    found = []
    page.set_default_timeout(90_000)
    page.on("request", lambda request: found.append(request.url))
    return found


@pytest.fixture(scope="module")
def notebook(page, lab, asked):  # noqa: F811
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    body = json.dumps({"type": "notebook", "content": book}).encode()
    put = urllib.request.Request(f"{lab}/api/contents/notebooks/scratch.ipynb", body, method="PUT")
    put.add_header("Authorization", f"token {TOKEN}")
    urllib.request.urlopen(put)
    run_all(page, lab, "scratch.ipynb")
    return page


def widget(page, words):  # noqa: F811
    """The widget in which these words stand."""
    found = page.locator(".jp-OutputArea-output .widget-vbox", has_text=words).first
    found.wait_for()
    return found


def replay(page):  # noqa: F811
    return widget(page, "arrives")


def explorer(page):  # noqa: F811
    return widget(page, "query loss")


def picture(part, n=0):
    plot = part.locator(".js-plotly-plot").nth(n)
    plot.scroll_into_view_if_needed()
    plot.locator(".gtitle").wait_for()
    return plot


def title(part):
    return picture(part).locator(".gtitle").text_content()


def drawn(plot):
    """Every trace that is shown: its name and its points."""
    return plot.evaluate(
        """plot => plot._fullData.filter(trace => trace.visible === true)
            .map(trace => [trace.name, ...['x', 'y'].map(axis => [...trace[axis]].map(v => v?.toFixed(6) ?? 'gap'))])"""
    )


def move(part, label, key, times=1):
    """Press a key on the handle of the slider with this label."""
    handle = part.locator(".widget-inline-hbox", has_text=label).locator(".noUi-handle")
    handle.focus()
    for _ in range(times):
        handle.press(key)


def click(page, plot, node):  # noqa: F811
    """Click the node at this position in `tree.nodes`, as a reader would."""
    plot.scroll_into_view_if_needed()
    x, y = plot.evaluate(
        """(plot, node) => {
            for (const trace of plot._fullData) {
                const i = [...(trace.customdata ?? [])].indexOf(node);
                if (trace.visible === true && i >= 0) {
                    const box = plot.getBoundingClientRect(), {xaxis: x, yaxis: y} = plot._fullLayout;
                    return [box.x + x._offset + x.d2p(trace.x[i]), box.y + y._offset + y.d2p(trace.y[i])];
                }
            }
        }""",
        node,
    )
    page.mouse.move(x - 30, y - 30)
    page.mouse.move(x, y, steps=5)
    plot.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.down()
    page.mouse.up()


def click_away(page, part, node, words):  # noqa: F811
    """Click a node until these words are gone: a page that is still settling can swallow a click."""

    def gone():
        click(page, picture(part), node)
        page.wait_for_timeout(1500)
        return words not in part.inner_text()

    wait(gone, 90)


def shoot(page, name):  # noqa: F811
    """Keep a picture of both widgets, if a directory for pictures is given."""
    if folder := os.environ.get("MINIMETA_PICTURES"):
        page.set_viewport_size({"width": 1500, "height": 2200})
        for part, which in ((replay(page), "replay"), (explorer(page), "explorer")):
            part.screenshot(path=Path(folder) / f"{which}_{name}.png")


def test_the_replay_plays_steps_and_scrubs_back(notebook):
    part = replay(notebook)
    wait(lambda: "after 1 of 12" in title(part), 60)
    move(part, "tasks", "ArrowRight", 6)
    wait(lambda: "after 7 of 12" in title(part), 30)
    seventh, figure = part.locator(".widget-html").all_inner_texts(), drawn(picture(part))
    assert "a6 arrives" in seventh[1] and "ξσ" in seventh[1]
    assert sum(len(x) for name, x, _ in figure if name in "abc") == 7
    assert "1.000000" in figure[0][1]  # the ring of the newcomer
    part.locator("button:has(.fa-step-forward)").click()
    wait(lambda: "after 8 of 12" in title(part), 30)
    part.locator("button:has(.fa-play)").click()
    wait(lambda: "after 12 of 12" in title(part) and not part.locator(".fa-pause").count(), 60)  # and it stops
    move(part, "tasks", "ArrowLeft", 5)
    wait(lambda: "after 7 of 12" in title(part), 30)
    wait(lambda: part.locator(".widget-html").all_inner_texts() == seventh, 30)
    assert drawn(picture(part)) == figure


def test_a_click_and_the_slider_of_xi_change_the_explorer(notebook):
    part = explorer(notebook)
    plot = picture(part)
    picture(part, 1)
    wait(lambda: "8 tasks: " in part.inner_text(), 60)
    whole = part.inner_text()
    assert "8 tasks: " in whole and "<b>sentence</b> of" in whole
    click_away(notebook, part, 1, "8 tasks: ")
    chosen = part.inner_text()
    before = drawn(plot)
    move(part, "ξ", "ArrowRight", 30)
    wait(lambda: drawn(plot) != before, 30)
    wait(lambda: part.inner_text() != chosen, 60)


def test_a_reload_keeps_what_was_shown(notebook):
    notebook.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    replay(notebook).locator("button:has(.fa-step-forward)").click()
    wait(lambda: "after 8 of 12" in title(replay(notebook)), 30)
    looks = [(part(notebook).locator(".widget-html").all_inner_texts(), drawn(picture(part(notebook))))
             for part in (replay, explorer)]  # fmt: skip
    shoot(notebook, "light")
    notebook.reload()
    for part, (words, figure) in zip((replay, explorer), looks, strict=True):
        assert part(notebook).locator(".widget-html").all_inner_texts() == words
        assert drawn(picture(part(notebook))) == figure
    replay(notebook).locator("button:has(.fa-step-forward)").click()  # and it goes on from there
    wait(lambda: "after 9 of 12" in title(replay(notebook)), 60)


def test_the_words_are_readable_in_the_dark_theme(notebook):
    notebook.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    wait(lambda: notebook.evaluate("() => document.body.dataset.jpThemeLight") == "false", 30)
    shoot(notebook, "dark")
    for part in (replay, explorer):
        for words in part(notebook).locator(".widget-html-content, td, th, label").all():
            red, green, blue = (
                int(v) for v in words.evaluate("e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3)")
            )
            assert min(red, green, blue) > 128


def test_nothing_left_the_machine(notebook, asked):
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []
