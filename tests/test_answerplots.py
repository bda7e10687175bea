"""The figures of answers: what they draw is what the learner scores, on passages of one window and of several."""

import copy

import numpy as np
import pytest
import small_world
import torch

from minimeta.errors import InputError
from minimeta.show.answerplots import Reading, by_language, gained, pair_scores, reading, scored, token_scores
from minimeta.show.style import GREY, SKY
from minimeta.studies.intervals import paired_difference
from minimeta.text import corpora, encoders
from minimeta.text.episodes import rows_of
from minimeta.text.metrics import row_scores
from minimeta.text.spans import LONGEST


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Random scores for MLQA's layout; every fourth passage has 90 words, the encoder reads 64 tokens."""
    folder = tmp_path_factory.mktemp("answers")
    corpus = corpora.qa(small_world.write_mlqa(folder))
    return encoders.qa(small_world.write_encoder(folder / "encoder", spans=True)).features(corpus)


@pytest.fixture(scope="module")
def read(features):
    """A reading of each test question in German."""
    learner = features.encoder.learner
    return {row: reading(features, learner, row) for row in rows_of(features.corpus, "de", "test")}


def best(found, longest=LONGEST):
    """The best valid pairs by looking at all of them."""
    n = len(found.tokens)
    start, end = found.scores.T
    pairs = [(start[i] + end[j], i, j) for i in range(n) for j in range(i, min(n, i + longest))]
    return sorted(pairs, reverse=True)


def made_up(start, end, tokens=None, gold=(1, 2)):
    """A reading of scores that nobody computed."""
    scores = np.array([start, end], float).T
    tokens = tuple(tokens or (f"t{i}" for i in range(len(start))))
    found = Reading("t1", (0, 2), (3, 8), 0.5, 0.0, tokens, scores, gold, ())
    return Reading(*(getattr(found, name) for name in Reading.__match_args__[:-1]), tuple(best(found)[:3]))


def test_a_reading_is_the_prediction_with_its_place_and_its_score(features, read):
    rows, corpus = list(read), features.corpus
    assert max(len(features.windows([row])[row]) for row in rows) > 1
    predicted = features.predict(features.encoder.learner, rows)
    assert [found.answer for found in read.values()] == predicted
    scores = row_scores(predicted, corpus.select(rows)["answers"][:], "de")
    assert np.allclose([(found.f1, found.exact) for found in read.values()], scores.T)
    for row, found in read.items():
        context, told = corpus[row]["context"], corpus[row]["answers"]
        assert context[slice(*found.place)].strip() == found.answer
        assert context[slice(*found.right)] == told["text"][0] and found.right[0] == told["answer_start"][0]


def test_tokens_and_scores_are_those_of_the_window_that_holds_the_answer(features, read):
    for row, found in read.items():
        assert (
            found.gold
            and " ".join(found.tokens[found.gold[0] : found.gold[1] + 1])
            == (features.corpus[row]["answers"]["text"][0])
        )
        batch = features[torch.tensor([[row]])]
        with torch.no_grad():
            scores = features.encoder.learner.outputs({name: value[0] for name, value in batch.items()})[0]
        first = int(batch["y"][0, 0, 0]) - found.gold[0]
        assert np.allclose(found.scores, scores[first : first + len(found.tokens)], atol=1e-5)
        assert len(found.pairs) == 5
        for mine, theirs in zip(found.pairs, best(found), strict=False):
            assert mine[0] == pytest.approx(theirs[0], abs=1e-5) and mine[1:] == theirs[1:]


def test_the_map_of_pairs_leaves_out_what_is_not_valid(read):
    crossed = 0
    for found in read.values():
        figure = pair_scores(found, "all pairs")
        heat, *others = figure.data
        z, n = np.array(heat.z, float), len(found.tokens)
        for i in range(n):
            for j in range(n):
                valid = i <= j < i + LONGEST
                assert np.isnan(z[i, j]) != valid
                assert not valid or z[i, j] == pytest.approx(found.scores[i, 0] + found.scores[j, 1])
        marks = next(trace for trace in others if trace.name == "the best valid pairs")
        assert list(zip(marks.y, marks.x, strict=True)) == [pair[1:] for pair in found.pairs]
        assert list(marks.text) == [f"<b>{rank}</b>" for rank in range(1, 6)]
        start, end = found.scores.argmax(0)
        cross = [trace for trace in others if "not valid" in trace.name]
        assert bool(cross) == (not start <= end < start + LONGEST)
        if cross:
            crossed += 1
            assert (cross[0].y[0], cross[0].x[0]) == (start, end)
        (frame,) = figure.layout.shapes
        assert (frame.y0 + frame.y1) / 2 == found.gold[0] and (frame.x0 + frame.x1) / 2 == found.gold[1]
    assert 0 < crossed


def test_scores_token_by_token_with_marks_at_the_best_pair():
    odd = ("<b>x</b>", "الصياد", "在城堡里", ".")
    before, after = made_up([3, 0, 1, 0], [0, 1, 0, 4], odd), made_up([0, 5, 1, 0], [0, 1, 6, 4], odd)
    figure = token_scores({"before": before, "after": after}, "Scores")
    assert {trace.name for trace in figure.data} == {"before", "after"} and len(figure.data) == 4
    for trace in figure.data:
        found, side = {"before": before, "after": after}[trace.name], int(trace.xaxis == "x2")
        assert np.allclose(trace.x, found.scores[:, side]) and list(trace.y) == [0, 1, 2, 3]
        marked = [token for token, size in enumerate(trace.marker.size) if size > 5]
        assert marked == [found.pairs[0][1 + side]]
        assert trace.hovertemplate.startswith("%{text}\u200e: ")  # else a browser writes -7 as 7- behind Arabic
    assert (before.pairs[0][1:], after.pairs[0][1:]) == ((0, 3), (1, 2))
    assert figure.layout.xaxis2.matches == "x"  # one scale: a span has the sum
    axis = figure.layout.yaxis
    assert list(axis.ticktext) == ["&lt;b&gt;x&lt;/b&gt;", "<b>الصياد</b>", "<b>在城堡里</b>", "."]
    assert axis.range[0] > axis.range[1]  # the first token on top
    (shade,) = figure.layout.shapes
    assert (shade.y0, shade.y1) == (0.5, 2.5)
    assert len({trace.marker.symbol for trace in figure.data}) == 2  # told apart without colours
    methods = token_scores({"Baseline": before, "X-MAML": after}, "Scores").data
    assert {(trace.name, trace.line.color, trace.line.dash) for trace in methods} == {
        ("Baseline", GREY, "dot"), ("X-MAML", SKY, "solid"),
    }  # fmt: skip
    with pytest.raises(InputError, match="same tokens"):
        token_scores({"one": before, "two": made_up([1, 2], [1, 2])}, "Scores")
    none = made_up([1, 2], [1, 2], gold=None)
    assert not token_scores({"one": none}, "Scores").layout.shapes
    assert not pair_scores(none, "pairs").layout.shapes


def test_another_learner_has_other_scores(features, read):
    learner = copy.deepcopy(features.encoder.learner)
    with torch.no_grad():
        learner.module.vectors.weight.neg_()
    row = next(iter(read))
    other = reading(features, learner, row)
    assert other.tokens == read[row].tokens and not np.allclose(other.scores, read[row].scores)
    assert other.answer == features.predict(learner, [row])[0]


def test_scores_and_gains_are_those_of_the_answers(features):
    first = features.encoder.learner
    other = copy.deepcopy(first)
    with torch.no_grad():
        other.module.vectors.weight.neg_()
    learners, counts = {"Baseline": first, "X-MAML": other}, {}
    found = gained(features, learners, ("de", "zh"), [("X-MAML", "Baseline"), ("X-MAML", "X-MAML")])
    assert list(found) == ["German", "Chinese"]
    assert list(found["German"]) == ["X-MAML − Baseline", "X-MAML − X-MAML"]
    assert found["German"]["X-MAML − X-MAML"] == (0, 0, 0)
    for code in ("de", "zh"):
        rows = rows_of(features.corpus, code, "test")
        asked = features.corpus.select(rows)
        for name, learner in (("first", first), ("other", other)):
            counts[name] = row_scores(features.predict(learner, rows), asked["answers"][:], code)
            assert np.array_equal(scored(features, learner, code), counts[name])
        wanted = paired_difference(counts["other"][:1], counts["first"][:1], asked["passage_id"][:])
        assert found[{"de": "German", "zh": "Chinese"}[code]]["X-MAML − Baseline"] == wanted
    dev = rows_of(features.corpus, "de", "dev")
    assert scored(features, first, "de", "dev").shape == (2, len(dev))


def test_bars_by_language():
    figure = by_language({"en": (90.0, 80.0), "zh": (40.4, 20.6)}, "by language")
    first, second = figure.data
    assert list(first.y) == [90.0, 40.4] and list(second.y) == [80.0, 20.6]
    assert list(first.x) == ["<b>English</b>", "Chinese"] and list(second.text) == ["80", "21"]
    assert list(first.marker.line.width) == [3, 0]
    (note,) = figure.layout.annotations
    assert note.text == "trained on" and note.x == 0
    assert not by_language({"zh": (1.0, 2.0)}, "none").layout.annotations
