"""The answer explorer, without a browser: what it says of a question is what the learners answer."""

import copy
import html
import re

import numpy as np
import pytest
import torch
from datasets import Dataset

from minimeta.errors import InputError
from minimeta.files import data_directory
from minimeta.show.answerplots import reading
from minimeta.show.answerwidgets import AnswerExplorer, marked, verdict
from minimeta.text import corpora, encoders
from minimeta.text.episodes import rows_of
from minimeta.text.metrics import METRICS, Metric, row_scores

ODD = "<b>x</b> & $y$ <script>"


@pytest.fixture(scope="module")
def features():
    """The tiny encoder on 20 questions in each of three languages."""
    corpus = corpora.mini_qa(["en", "ar", "zh"], ["test"], passages=1)
    return encoders.qa(data_directory() / "tiny-encoder-qa").features(corpus)


@pytest.fixture(scope="module")
def learners(features):
    """The English model, and one for which its best is the worst; that one also as a method for Chinese alone."""
    other = copy.deepcopy(features.encoder.learner)
    with torch.no_grad():
        other.module.vectors.weight.neg_()
    return {"English alone": features.encoder.learner, "other": other, "few": {"zh": other}}


@pytest.fixture
def explorer(features, learners):
    return AnswerExplorer(features, learners, "ar")


def plain(text):
    return html.unescape(re.sub("<[^>]*>", "", text))


def scores(features, learner, code):
    rows = rows_of(features.corpus, code, "test")
    return row_scores(features.predict(learner, rows), features.corpus.select(rows)["answers"][:], code)


def styled(text, style):
    """What stands in the spans of a passage that have a style, in their order, without the key below."""
    return "".join(
        html.unescape(words) for css, words in re.findall(r"<span style='(.*?)' .*?>(.*?)</span>", text) if style in css
    )


def test_it_shows_the_metrics_of_each_answer_alone(explorer, features, learners, monkeypatch):
    """One of a whole set of answers has no place beside a question."""
    before = explorer._summary("ar")
    of_all = Metric("of_all", "of all", lambda *rows: np.ones((len(rows[0]), 2)), lambda means: means[..., 0])
    monkeypatch.setitem(METRICS, "qa", (*METRICS["qa"], of_all))
    assert AnswerExplorer(features, learners, "ar")._summary("ar") == before


def test_it_shows_the_question_and_both_answers_in_their_passage(explorer, features, learners):
    for code in ("ar", "zh", "en"):
        explorer.language.value = code
        row = rows_of(features.corpus, code, "test")[3]
        explorer.number.value = 4
        asked, text = features.corpus[row], explorer.text.value
        assert asked["question"] in plain(text) and plain(text).count(asked["context"]) == 2
        assert text.count(f"<div dir='{'rtl' if code == 'ar' else 'ltr'}' lang='{code}'>") == 3
        assert "Question 4 of 20:" in plain(text)
        for name in ("English alone", "other"):
            found = reading(features, learners[name], row)
            assert verdict(found) in text
        assert ("In English:" in text) == (code != "en")
        if code != "en":
            english = rows_of(features.corpus, "en", "test")[3]
            assert features.corpus[english]["pair"] == asked["pair"]
            assert features.corpus[english]["context"] in plain(text)
        names = {trace.name for trace in explorer.figure.data}
        assert names == {"English alone", "other"}


def test_it_counts_what_became_better_and_worse(explorer, features, learners):
    before, after = (scores(features, learners[name], "ar") for name in ("English alone", "other"))
    words = plain(explorer.live.value)
    assert f"English alone: F1 {100 * before[0].mean():.1f}, exact match {100 * before[1].mean():.1f}" in words
    assert f"other: F1 {100 * after[0].mean():.1f}, exact match {100 * after[1].mean():.1f}" in words
    better, worse = (np.flatnonzero(change) for change in (after[0] > before[0], after[0] < before[0]))
    assert f"By F1, {len(better)} became better, {len(worse)} worse" in words and len(worse) > 1
    rows = rows_of(features.corpus, "ar", "test")
    for label, kept in (("those that became better", better), ("those that became worse", worse)):
        explorer.which.value = label
        if not len(kept):
            assert "No question in Arabic became" in plain(explorer.text.value)
            continue
        assert explorer.number.max == len(kept)
        for number, place in enumerate(kept.tolist(), 1):
            explorer.number.value = number
            assert features.corpus[rows[place]]["question"] in plain(explorer.text.value)
            assert f"Question {number} of {len(kept)} {label.removeprefix('those ')}:" in plain(explorer.text.value)
    explorer.which.value = "all questions"
    assert explorer.number.max == 20


def test_the_first_method_is_shown_by_itself(explorer, features):
    explorer.method.value = "English alone"
    assert {trace.name for trace in explorer.figure.data} == {"English alone"}
    assert "became" not in explorer.live.value
    explorer.which.value = "those that became better"  # there are none, and nothing to choose
    assert explorer.which.disabled and explorer.which.value == "all questions" and explorer.number.max == 20
    explorer.method.value = "other"
    explorer.which.value = "those that became worse"
    assert not explorer.which.disabled and explorer.number.max < 20
    explorer.method.value = "English alone"
    assert explorer.which.disabled and explorer.number.max == 20 and explorer.plot.layout.display == ""


def test_a_method_for_one_target_says_so_elsewhere(explorer):
    explorer.method.value = "few"
    assert "few is trained for its target, here Chinese" in plain(explorer.text.value) and explorer.live.value == ""
    explorer.language.value = "zh"
    assert "few: F1" in plain(explorer.live.value) and "Nothing to show" not in explorer.text.value
    explorer.method.value = "other"
    explorer.language.value = "ar"
    assert "other: F1" in plain(explorer.live.value)


def test_the_question_stays_when_the_language_changes(explorer, features):
    explorer.number.value = 8
    explorer.language.value = "zh"
    row = rows_of(features.corpus, "zh", "test")[7]
    assert explorer.number.value == 8 and features.corpus[row]["question"] in plain(explorer.text.value)


@pytest.mark.parametrize(
    ("right", "said", "underlined", "ground"),
    [
        ((2, 4), (6, 8), "cd", "gh"),
        ((2, 6), (4, 8), "cdef", "efgh"),
        ((2, 8), (4, 6), "cdefgh", "ef"),
        ((2, 4), (2, 4), "cd", "cd"),
        ((0, 10), (9, 10), "abcdefghij", "j"),
        ((2, 4), (0, 0), "cd", ""),
    ],
)
def test_marks_stand_at_their_places(right, said, underlined, ground):
    text = marked("abcdefghij", right, said)
    assert plain(text) == "abcdefghij"
    assert styled(text, "border-bottom") == underlined and styled(text, "background") == ground


def test_what_is_shown_is_text_and_not_markup(features, learners):
    columns = features.corpus.select(range(4)).to_pandas()
    columns["question"] = ODD
    columns["context"] = ODD + columns["context"]
    columns["answers"] = [
        {"text": list(told["text"]), "answer_start": [told["answer_start"][0] + len(ODD)]}
        for told in columns["answers"]
    ]
    corpus = Dataset.from_list(columns.to_dict("records"))
    explorer = AnswerExplorer(features.encoder.features(corpus), {ODD: features.encoder.learner}, "en")
    for text in (explorer.text.value, explorer.live.value):
        assert "<b>x" not in text and "<script" not in text and ODD in plain(text)
    assert explorer.method.value == ODD


def test_what_cannot_be_shown_is_said(features, learners):
    for language, methods, words in (("de", learners, "ar, en, zh"), ("ar", {}, "0 methods")):
        with pytest.raises(InputError, match=words):
            AnswerExplorer(features, methods, language)
    with pytest.raises(InputError, match="no language"):
        AnswerExplorer(features, learners, "ar", split="dev")
