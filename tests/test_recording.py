"""Widgets without a kernel: what is recorded is what the widget shows, and a page plays it in a real browser."""

import html
import json
import os
import random
import re
import sys
from pathlib import Path

import ipywidgets
import nbformat
import plotly.graph_objects as go
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from regenerate import WIDGET
from test_lab import page, wait  # noqa: F401
from test_treewidgets import explorer as tree_explorer
from test_treewidgets import replay

from minimeta.errors import InputError
from minimeta.grouping import alone, fixed_tree
from minimeta.show.company import CompanyExplorer
from minimeta.show.learned import LearnedExplorer
from minimeta.show.plane import TREE, PlaneExplorer
from minimeta.show.recording import Explorer, first_figure, load, record, recording_of, save
from minimeta.show.style import Plot, blank, through_frames
from minimeta.text.languages import FAMILIES, PHYLOGENY

BOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


class Small(PlaneExplorer):
    recorded = {"grouping": None, "again": 2, "rate": (0.1, 0.3)}  # noqa: RUF012


def small():
    return Small({"MAML": alone(), "Fixed TreeMAML": fixed_tree(TREE)})


def companies():
    return CompanyExplorer({"the paper's": PHYLOGENY, "families": FAMILIES})


def value(recording, changes, key):
    return recording["pool"][(recording["first"] | changes)[key]]


def figure(recording, changes, number):
    data, layout, template = value(recording, changes, f"{number}.figure")
    pool = recording["pool"]
    return {"data": [pool[i] for i in data], "layout": pool[layout] | {"template": pool[template]}}


def below(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from below(child)


def number(widget, part):
    return next(i for i, each in enumerate(below(widget)) if each is part)


@pytest.mark.parametrize("make", [small, companies, tree_explorer, lambda: replay()[0]], ids=lambda f: f.__name__)
def test_a_recorded_state_is_what_a_fresh_widget_shows_when_it_is_set_so(make):
    recorded, fresh = make(), make()
    fresh.prepare()
    recording = record(recorded)
    dials = [next(name for name in recorded.recorded if number(recorded, getattr(recorded, name)) == dial["control"])
             for dial in recording["dials"]]  # fmt: skip
    states = sorted(recording["states"], key=lambda state: state[0])
    for at, changes in sorted(random.Random(0).sample(states, min(12, len(states)))):
        for name, place in zip(dials, at, strict=True):
            control = getattr(fresh, name)
            if isinstance(control, ipywidgets.Button):
                while fresh.drawn < place:  # the samples are sorted: a press cannot be taken back
                    control.click()
                continue
            key = "index" if isinstance(control, ipywidgets.Dropdown | ipywidgets.ToggleButtons) else "value"
            setattr(control, key, value(recording, changes, f"{number(recorded, getattr(recorded, name))}.{key}"))
        for i, part in enumerate(below(fresh)):
            if isinstance(part, ipywidgets.HTML):
                assert value(recording, changes, f"{i}.value") == part.value
            elif isinstance(part, Plot):
                shown, kept = json.loads(part.wire.value), figure(recording, changes, i)
                for each in (shown, kept):
                    each["layout"].pop("transition", None)  # nodes glide or not, from where one comes
                assert kept == shown


def test_each_choice_is_recorded_once_and_the_widget_is_left_as_it_was():
    widget = companies()
    widget.target.value, widget.step.value = "hi", 3
    recording = record(widget)
    assert len(recording["states"]) == 4 * (len(PHYLOGENY.leaves) + len(FAMILIES.leaves))
    assert (widget.tree.value, widget.target.value, widget.step.value) == ("the paper's", "hi", 3)
    assert recording["plays"] == {number(widget, widget.play): 2}
    assert recording["clicks"] == {number(widget, widget.plot): 1}


def test_a_draw_is_made_once_for_each_choice_and_not_again():
    widget = LearnedExplorer()
    record(widget)
    draws = {shots: len(found) for shots, found in widget.found.items()}
    assert draws == dict.fromkeys(widget.found, 5) | {widget.shots.value: 6}  # and once when all is set back


def test_what_a_button_is_said_to_do_is_what_it_does():
    for widget in (replay()[0],):
        widget.step.value = 4
        for name, (dial, by) in widget.moves.items():
            before = getattr(widget, dial).value
            getattr(widget, name).click()
            assert getattr(widget, dial).value == before + by


def test_a_replay_that_plays_when_it_is_seen_does_so_on_a_page():
    assert record(replay()[0])["play"]
    assert not record(small())["play"]


def test_what_cannot_be_recorded_is_said(tmp_path):
    with pytest.raises(InputError, match="this is a VBox"):
        record(ipywidgets.VBox())
    with pytest.raises(InputError, match="is a directory"):
        small().write_page(tmp_path)
    with pytest.raises(InputError, match="no directory"):
        blank("x").write_page(tmp_path / "not" / "there.html")


def test_a_recording_is_kept_to_the_byte(tmp_path):
    widget = small()
    save(widget, tmp_path / "one")
    assert load(tmp_path / "one") == json.loads(json.dumps(record(small())))
    save(small(), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]  # nothing unfinished is left


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_every_explorer_of_a_notebook_is_recorded_and_has_a_picture(path):
    book = nbformat.read(path, as_version=4)
    with_widget = {
        cell.id: output
        for cell in book.cells
        for output in cell.get("outputs", ())
        if output.output_type == "execute_result" and WIDGET in output.get("data", {})
        if not output.data["text/plain"].startswith("StudyMonitor(")  # it watches what goes on
    }
    kept = {found.name for found in (path.parent / "recordings").glob(f"{path.stem}-*")}
    assert kept == {recording_of(path, name).name for name in with_widget}
    for name, output in with_widget.items():
        recording = load(recording_of(path, name))
        assert first_figure(recording)["data"], name
        assert "image/png" in output.data, name


# In a browser


def open_page(page, widget, folder):  # noqa: F811
    widget.write_page(folder / "page.html")
    assert (folder / "page.html").stat().st_size < 6e6
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((folder / "page.html").as_uri())
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert not said and all(url.startswith(("file:", "data:", "blob:")) for url in asked)


def plain(text):
    """The letters of a text without its markup; where there are blanks between them is the browser's choice."""
    return re.sub(r"\s+", "", html.unescape(re.sub("<[^>]*>", "", text)))


def words(page):  # noqa: F811
    return plain(" ".join(page.locator(".minimeta-words").all_inner_texts()))


def test_a_figure_is_a_page(page, tmp_path):  # noqa: F811
    figure = blank("A &amp; &lt;b&gt;", "x", "y")
    figure.add_scatter(x=[1, 2], y=[3, 4])
    open_page(page, figure, tmp_path)
    assert page.title() == "A & <b>"
    assert page.locator(".scatterlayer .trace").count() == 1


def test_a_figure_plays_its_frames_on_a_page(page, tmp_path):  # noqa: F811
    figure = blank("Frames", "x", "y").add_scatter(x=[1, 2], y=[1, 1])
    figure.frames = [go.Frame(data=[go.Scatter(y=[height, height])], traces=[0], name=str(height)) for height in (1, 5)]
    through_frames(figure, "height: ", 0, hold=50, glide=0, play=True)
    open_page(page, figure, tmp_path)
    page.locator(".updatemenu-button").first.click()
    wait(lambda: page.evaluate("() => document.querySelector('.js-plotly-plot').data[0].y[0]") == 5)


def test_the_plane_changes_with_its_buttons(page, tmp_path):  # noqa: F811
    open_page(page, small(), tmp_path)
    live = small()
    wait(lambda: words(page) == plain(live.words.value))
    live.grouping.value = "Fixed TreeMAML"
    page.get_by_role("button", name="Fixed TreeMAML").click()
    live.rate.value = 0.3
    page.get_by_label("inner rate").fill("2")  # the last of 0.1, 0.2 and 0.3
    live.again.click()
    page.get_by_role("button", name="new points").click()
    wait(lambda: words(page) == plain(live.words.value))
    assert page.get_by_role("button", name="Fixed TreeMAML").get_attribute("aria-pressed") == "true"
    assert page.get_by_text("what is greyed out and dragging need the notebook").is_visible()
    home = page.get_by_role("button", name="ω to the middle")
    assert home.is_disabled() and "kernel" in home.get_attribute("title")


def test_the_tree_explorer_answers_a_click_as_the_widget_does(page, tmp_path):  # noqa: F811
    open_page(page, tree_explorer(), tmp_path)
    live = tree_explorer()
    live.prepare()
    page.get_by_label("tree", exact=True).select_option("true")
    live.shown.value = "true"
    points = page.locator(".js-plotly-plot").first.locator(".scatterlayer .point")
    for node in (2, 9):
        live.select(node)
        page.get_by_label("node").select_option(str(node))
        wait(lambda: plain(live.details.value) in words(page))
    before = words(page)
    page.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
    box = points.last.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait(lambda: words(page) != before)
    live.node.index = int(page.get_by_label("node").input_value())
    assert plain(live.details.value) in words(page)


def test_the_replay_plays_steps_and_scrubs_by_keys_alone(page, tmp_path):  # noqa: F811
    page.emulate_media(reduced_motion="reduce")  # it does not begin by itself
    widget = replay()[0]
    open_page(page, widget, tmp_path)
    count, slider = widget.count, page.get_by_label("tasks")
    assert slider.get_attribute("aria-valuetext") == str(count)
    slider.focus()
    page.keyboard.press("Home")
    widget.step.value = 1
    wait(lambda: plain(widget.words.value) in words(page))
    page.keyboard.press("ArrowRight")
    wait(lambda: slider.get_attribute("aria-valuetext") == "2")
    page.get_by_role("button", name="one task forward").focus()
    page.keyboard.press("Enter")
    widget.step.value = 3
    wait(lambda: plain(widget.words.value) in words(page))
    page.get_by_role("button", name="play").focus()
    page.keyboard.press("Enter")
    wait(lambda: int(slider.get_attribute("aria-valuetext")) >= 5)
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="play").count() == 1


def test_the_replay_begins_by_itself(page, tmp_path):  # noqa: F811
    page.emulate_media(reduced_motion="no-preference")
    widget = replay()[0]
    open_page(page, widget, tmp_path)
    slider = page.get_by_label("tasks")
    wait(lambda: 1 < int(slider.get_attribute("aria-valuetext")) < widget.count)


def test_explorers_have_no_other_base():
    """What is shown by notebooks as a widget can be recorded."""
    import minimeta.show as show

    for path in Path(show.__path__[0]).glob("*.py"):
        assert path.stem == "recording" or "(ipywidgets.VBox)" not in path.read_text("utf-8"), path.name
    assert issubclass(PlaneExplorer, Explorer)


def test_a_page_of_a_figure_is_called_by_its_words(tmp_path):
    blank("<b>A</b> &amp; B<br><span style='font-size: 12px'>distance 0.5</span>").write_page(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text("utf-8")
    assert "<title>A &amp; B distance 0.5</title>" in text and "aria-label='A &amp; B distance 0.5'" in text
