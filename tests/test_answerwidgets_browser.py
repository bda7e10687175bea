"""The answer explorer in JupyterLab, in a real browser: choose, move, look at the marks, reload, in both themes."""

import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_episodewidgets_browser import choose, said
from test_lab import keep, lab, open_scratch, page, reload, wait  # noqa: F401
from test_treewidgets_browser import (  # noqa: F401
    asked,
    differ,
    look,
    move,
    outside,
    picture,
    settled,
    widget,
)

BOTH = {"English alone", "other"}
SLIDER = re.compile("^question")  # and not the menu with "all questions"

# A method that is as bad as can be stands for one that was trained: no test needs to wait for training.
CELL = """
import copy

import torch
from minimeta.text import corpora, encoders
from minimeta.show.answerwidgets import AnswerExplorer
from minimeta.files import data_directory

corpus = corpora.mini_qa(["en", "ar", "zh", "ur"], ["test"], passages=1)
features = encoders.qa(data_directory() / "tiny-encoder-qa").features(corpus)
english = features.encoder.learner
other = copy.deepcopy(english)
with torch.no_grad():
    other.module.vectors.weight.neg_()
AnswerExplorer(features, {"English alone": english, "other": other, "few": {"zh": other}}, "ar")"""


@pytest.fixture(scope="module")
def notebook(page, lab, asked):  # noqa: F811
    return open_scratch(page, lab, [CELL], "answers.ipynb")


def explorer(page):  # noqa: F811
    return widget(page, "those that became better")


def parts(part):
    """What the text and the figure say, side by side, as the page has them at one moment."""
    return part.evaluate(
        """part => {
            const plot = part.querySelector('.js-plotly-plot'), {yaxis, shapes} = plot._fullLayout;
            const blocks = [...part.querySelectorAll('[lang]')].filter(block => !block.closest('[style*=opacity]'));
            const [question, ...passages] = blocks;
            const marked = (block, style) => [...block.querySelectorAll(`span[style*="${style}"]`)]
                .map(span => span.textContent).join('');
            return {
                languages: [...new Set(blocks.map(block => block.lang))],
                ways: [...new Set(blocks.map(block => getComputedStyle(block).direction))],
                question: question.textContent,
                passages: passages.map(block => block.textContent),
                right: passages.map(block => marked(block, 'border-bottom')),
                answers: passages.map(block => marked(block, 'background')),
                tokens: yaxis.ticktext,
                names: plot._fullData.map(trace => trace.name),
                best: plot._fullData.map(trace => trace.marker.size.indexOf(11)),
            };
        }"""
    )


def agree(found):
    """Whether text and figure are of one question: its tokens, the right ones bold, and the marks at the answers."""
    pressed = lambda words: re.sub(r"\s", "", words)  # noqa: E731
    tokens = [re.sub("</?b>", "", token) for token in found["tokens"]]
    bold = [token for token in found["tokens"] if token.startswith("<b>")]
    if {pressed(passage) for passage in found["passages"]} != {pressed("".join(tokens))}:
        return False
    marks = found["best"][::2], found["best"][1::2]  # start and end, of the last method first
    spans = ["".join(tokens[first : last + 1]) for first, last in zip(*marks, strict=True)][::-1]
    return (
        {pressed(right) for right in found["right"]} == {pressed(re.sub("</?b>", "", "".join(bold)))}
        and [pressed(answer) for answer in found["answers"]] == [pressed(span) for span in spans]
        and len(found["passages"]) == len(set(found["names"]))
    )


def seen(part, code, number, methods=BOTH):
    """Wait until text and figure are of this question in a language, by these methods; returns what is shown."""

    def there():
        if f"Question {number}" not in said(part) or not part.locator(".js-plotly-plot .gtitle").count():
            return False
        found = parts(part)
        return found["languages"] == [code] and set(found["names"]) == methods and agree(found)

    wait(there)
    return look(part)


def inside(part):
    """Whether nothing of the explorer is cut off: its text at the side, and each label in its figure."""
    return part.evaluate(
        """part => {
            const plot = part.querySelector('.js-plotly-plot'), box = plot.getBoundingClientRect();
            const labels = [...plot.querySelectorAll('.ytick text, .xtick text, .x2tick text, .legendtext, .gtitle')];
            return labels.length > 20 && part.scrollWidth <= part.clientWidth && labels.every(label => {
                const {left, right, top, bottom} = label.getBoundingClientRect();
                return left >= box.left && right <= box.right && top >= box.top && bottom <= box.bottom;
            });
        }"""
    )


def runs_leftwards(part):
    """Whether the second letter of the question stands left of the first one, in the pixels."""
    return part.locator("[lang]").first.evaluate(
        """block => {
            const text = document.createTreeWalker(block, NodeFilter.SHOW_TEXT).nextNode();
            const [first, second] = [0, 1].map(i => {
                const range = document.createRange();
                range.setStart(text, i), range.setEnd(text, i + 1);
                return range.getBoundingClientRect();
            });
            return second.left < first.left;
        }"""
    )


def shoot(page, name):  # noqa: F811
    """Keep a picture of the explorer, if a directory for pictures is given."""
    if folder := os.environ.get("MINIMETA_PICTURES"):
        page.set_viewport_size({"width": 1300, "height": 1900})
        part = explorer(page)
        picture(part)
        part.screenshot(path=Path(folder) / f"answers_{name}.png")


def test_language_and_number_change_text_and_figure(notebook):
    part = explorer(notebook)
    first = seen(part, "ar", "1 of 20:")
    assert parts(part)["ways"] == ["rtl"] and runs_leftwards(part)
    assert part.locator("[lang=en]").count() == 2  # the same in English, question and passage
    shoot(notebook, "light")
    choose(part, "language", "Chinese (zh)", "Chinese, 20 questions")
    second = seen(part, "zh", "1 of 20:")
    assert differ(first, second) and parts(part)["ways"] == ["ltr"] and not runs_leftwards(part)
    question = parts(part)["question"]
    move(part, SLIDER, 4)
    assert differ(second, seen(part, "zh", "4 of 20:")) and parts(part)["question"] != question
    assert inside(part)  # the longest tokens
    choose(part, "language", "Urdu (ur)", "Urdu, 20 questions")
    seen(part, "ur", "4 of 20:")  # the number stays
    assert parts(part)["ways"] == ["rtl"] and runs_leftwards(part)
    assert inside(part)


def test_the_menus_choose_the_method_and_the_kind_of_question(notebook):
    part = explorer(notebook)
    choose(part, "language", "Arabic (ar)", "Arabic, 20 questions")
    seen(part, "ar", "4 of 20:")
    worse = int(re.search(r"(\d+) worse", said(part)).group(1))
    choose(part, "show", "those that became worse", "that became worse:")
    move(part, SLIDER, worse)
    seen(part, "ar", f"{worse} of {worse} that became worse:")
    choose(part, "method", "few", "few is trained for its target, here Chinese")
    wait(lambda: not part.locator(".js-plotly-plot").is_visible())
    assert "Traceback" not in notebook.locator(".jp-Notebook").inner_text()
    choose(part, "show", "all questions", "few is trained for its target")
    choose(part, "language", "Chinese (zh)", "few: F1")
    seen(part, "zh", "1 of 20:", {"English alone", "few"})
    assert part.locator(".js-plotly-plot").is_visible()
    choose(part, "method", "English alone", "Chinese, 20 questions")
    seen(part, "zh", "1 of 20:", {"English alone"})


def test_a_reload_keeps_what_was_shown(notebook):
    choose(explorer(notebook), "method", "other", "other: F1")
    move(explorer(notebook), SLIDER, 3)
    seen(explorer(notebook), "zh", "3 of 20:")
    keep(notebook)
    shown = settled(explorer(notebook))
    reload(notebook)
    wait(lambda: look(explorer(notebook)) == shown)
    choose(explorer(notebook), "language", "Urdu (ur)", "Urdu, 20 questions")  # and it goes on from there
    assert differ(shown, seen(explorer(notebook), "ur", "3 of 20:"))


def test_it_is_readable_and_answers_in_the_dark_theme(notebook):
    part = explorer(notebook)
    notebook.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    wait(lambda: notebook.evaluate("() => document.body.dataset.jpThemeLight") == "false")
    urdu = seen(part, "ur", "3 of 20:")
    choose(part, "language", "Arabic (ar)", "Arabic, 20 questions")
    arabic = seen(part, "ar", "3 of 20:")
    assert differ(urdu, arabic)
    move(part, SLIDER, 2)
    assert differ(arabic, seen(part, "ar", "2 of 20:"))
    shoot(notebook, "dark")
    colours = part.locator(".widget-html-content, .widget-html-content [lang], .widget-html-content span, label")
    colours = colours.evaluate_all(
        "es => es.map(e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).map(Number))"
    )
    assert len(colours) > 10 and all(min(colour) > 128 for colour in colours)
    assert inside(part)


def test_nothing_left_the_machine(notebook, asked):  # noqa: F811
    assert len(asked) > 20 and outside(asked) == []
