"""The episode widgets in JupyterLab, in a real browser: choose, step, click, reload, in both themes."""

import inspect
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_episodewidgets import made_up
from test_lab import keep, lab, open_scratch, page, reload, wait  # noqa: F401
from test_treewidgets_browser import (  # noqa: F401
    asked,
    drawn,
    move,
    outside,
    picture,
    settled,
    title,
    until,
    widget,
    words,
)

CELLS = (
    """
from minimeta.text import corpora
from minimeta.show.episodes import EpisodeBrowser

EpisodeBrowser(corpora.nli(languages=("en", "hi", "ur", "de", "bg"), splits=("dev",)))""",
    f"""
from dataclasses import asdict
import numpy as np
from minimeta.studies import comparisons, grids
from minimeta.show.transfer import TransferMap
from minimeta.text.metrics import metric_of

{inspect.getsource(made_up)}
TransferMap(made_up(targets=("de", "hi", "fr", "en", "ur", "zh")))""",
)


@pytest.fixture(scope="module")
def notebook(page, lab, asked):  # noqa: F811
    return open_scratch(page, lab, CELLS, "episodes.ipynb")


def browser(page):  # noqa: F811
    return widget(page, "target")


def transfer(page):  # noqa: F811
    found = page.locator(".jp-OutputArea-output .widget-vbox", has_text="A colour is not yet a difference").first

    def there():  # a cell that is scrolled away is drawn when the page is idle, which can be never
        page.evaluate("() => window.jupyterapp?.shell?.currentWidget?.content?.scrollToItem?.(1)")
        return found.is_visible()

    wait(there)
    return found


def said(part):
    """All that a widget says, its tables too."""
    return " ".join(words(part))


def look(part):
    return words(part), title(part), drawn(picture(part))


def choose(part, menu, option, seen):
    """Choose an option of the menu with this label until something is seen."""
    select = part.locator(".widget-dropdown", has_text=menu).locator("select").first
    until(lambda: seen in said(part), lambda: select.select_option(label=option, timeout=20_000))


def roles(part):
    """The parts that languages have in the figure, and how many have each."""
    found = {name: len(x) for name, x, _ in drawn(picture(part))}
    return {name: found[name] for name in ("support", "query", "support and query", "target") if name in found}


def click(page, plot, row, column):  # noqa: F811
    """Click a cell of the map, as a reader would."""
    plot.scroll_into_view_if_needed()
    x, y = plot.evaluate(
        """(plot, [row, column]) => {
            const box = plot.getBoundingClientRect(), {xaxis: x, yaxis: y} = plot._fullLayout;
            return [box.x + x._offset + x.d2p(column), box.y + y._offset + y.d2p(row)];
        }""",
        [row, column],
    )
    page.mouse.move(x - 5, y - 5)
    page.mouse.move(x, y, steps=5)
    plot.locator(".hoverlayer .hovertext").first.wait_for(timeout=20_000)
    page.mouse.down()
    page.mouse.up()


def shoot(page, name):  # noqa: F811
    """Keep a picture of both widgets, if a directory for pictures is given."""
    if folder := os.environ.get("MINIMETA_PICTURES"):
        page.set_viewport_size({"width": 1300, "height": 1900})
        for part, which in ((browser(page), "browser"), (transfer(page), "map")):
            picture(part)
            part.screenshot(path=Path(folder) / f"{which}_{name}.png")


def test_the_menus_and_the_slider_choose_the_episode(notebook):
    part = browser(notebook)
    wait(lambda: "Support in English, query in Hindi" in said(part))
    assert roles(part) == {"support": 1, "query": 1, "target": 1}
    before = said(part)
    move(part, "outer step", 3)
    wait(lambda: said(part) != before and "of 1,155 (at random)" in said(part))
    choose(part, "rows", "covering", "seen so far: 32 of 1,155 (covering)")
    choose(part, "method", "X-MAML", "the same language: X-MAML")
    wait(lambda: roles(part) == {"support and query": 1, "target": 1})
    assert part.locator("input[type=checkbox]").is_disabled() and "Not parallel" in said(part)
    choose(part, "method", "XLA-MAML, bi-pair", "each other's support")
    wait(lambda: roles(part) == {"support and query": 2, "target": 1})
    assert "← " in picture(part).text_content()


def test_an_impossible_choice_is_a_sentence(notebook):
    part = browser(notebook)
    choose(part, "method", "XLA-MAML, zero-shot", "Support in English, query in Hindi")
    choose(part, "target", "Hindi (hi)", "a target must stay unseen")
    assert not part.locator("td").count() and "Traceback" not in notebook.locator(".jp-Notebook").inner_text()
    choose(part, "target", "German (de)", "Support in English, query in Hindi")


def test_urdu_runs_from_right_to_left_and_nothing_is_cut(notebook):
    part = browser(notebook)
    choose(part, "auxiliary", "Urdu (ur)", "query in Urdu")
    ways = "es => es.map(e => getComputedStyle(e).direction)"
    wait(lambda: part.locator("[lang=ur]").count() == 16)
    assert set(part.locator("[lang=ur]").evaluate_all(ways)) == {"rtl"}
    assert set(part.locator("[lang=en]").evaluate_all(ways)) == {"ltr"}
    assert part.locator("[lang=ur] + [lang=en]").count() == 16  # each with its translation
    wide = "e => e.scrollWidth - e.clientWidth"
    assert part.locator("[style*='max-height']").evaluate(wide) <= 0 and part.evaluate(wide) <= 0


def test_a_click_shows_the_runs_of_a_cell(notebook):
    part = transfer(notebook)
    until(lambda: "Hindi → French" in said(part), lambda: click(notebook, picture(part), 2, 0))
    assert "95 % interval" in said(part) and "seed 1" in said(part)
    until(lambda: "No transfer" in said(part), lambda: click(notebook, picture(part), 2, 3))  # an empty cell
    until(lambda: "Hindi → French" in said(part), lambda: click(notebook, picture(part), 2, 0))
    choose(part, "shown", "XLA-MAML − X-MAML", "XLA-MAML − X-MAML: ")
    wait(lambda: title(part).startswith("XLA-MAML − X-MAML"))


def test_a_reload_keeps_what_was_shown(notebook):
    keep(notebook)
    for part in (browser, transfer):
        settled(part(notebook))
    looks = [look(part(notebook)) for part in (browser, transfer)]
    shoot(notebook, "light")
    reload(notebook)
    for part, shown in zip((browser, transfer), looks, strict=True):
        wait(lambda part=part, shown=shown: look(part(notebook)) == shown)
    choose(browser(notebook), "auxiliary", "Hindi (hi)", "query in Hindi")  # and it goes on from there


def test_the_words_are_readable_in_the_dark_theme(notebook):
    notebook.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    wait(lambda: notebook.evaluate("() => document.body.dataset.jpThemeLight") == "false")
    shoot(notebook, "dark")
    for part in (browser, transfer):
        colours = (
            part(notebook)
            .locator(".widget-html-content, td, th, label")
            .evaluate_all("es => es.map(e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).map(Number))")
        )
        assert len(colours) > 10 and all(min(colour) > 128 for colour in colours)


def test_nothing_left_the_machine(notebook, asked):  # noqa: F811
    assert len(asked) > 20 and outside(asked) == []
