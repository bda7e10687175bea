"""One question at three scales: the same languages and seeds on both sides of a difference, and what is drawn."""

import numpy as np
import pandas as pd
import pytest

from minimeta.files import data_directory
from minimeta.show.scales import MEASURED, PAIRS, PAPER, scales, scales_data, together_data
from minimeta.show.style import GREY, PINK, SKY

COMMON = {"es", "de", "ar", "vi", "zh"}


@pytest.fixture(scope="module")
def data():
    return scales_data()


def test_all_scales_are_compared_on_the_same_languages(data):
    for _, part in data.groupby(["scale", "pair", "metric"]):
        assert set(part["target"]) == COMMON and len(part) == 5
    assert set(data["scale"]) == {*MEASURED, PAPER}
    assert dict(data.groupby("scale")["seeds"].max()) == {"toy": 3, "small": 2, PAPER: 1}
    pairs = {" − ".join(pair) for pair in PAIRS}
    assert set(data[data["scale"] != PAPER]["pair"]) == pairs
    assert set(data[data["scale"] == PAPER]["pair"]) == {"X-MAML − Baseline", "XLA-MAML − Baseline"}  # it has no Joint


def test_gains_are_differences_of_the_stored_scores_and_of_what_is_printed(data):
    found = data.set_index(["scale", "pair", "target", "metric"])["gain"]
    assert found[PAPER, "X-MAML − Baseline", "zh", "f1"] == pytest.approx(61.87 - 56.04)
    assert found[PAPER, "XLA-MAML − Baseline", "ar", "exact_match"] == pytest.approx(42.81 - 34.73)
    assert found["small", "XLA-MAML − Joint", "de", "f1"] == pytest.approx(47.573 - 45.981)
    assert found["toy", "Joint − Baseline", "zh", "exact_match"] == pytest.approx(26.625 - 12.0)


def test_a_difference_has_the_same_seeds_on_both_sides(monkeypatch):
    whole = pd.read_csv

    def one_seed_less(path, **more):
        scores = whole(path, **more)
        if path.name == "study_qa_small_scores.csv":
            scores.loc[(scores["method"] == "X-MAML") & (scores["target"] == "es"), "seeds"] = 1
        return scores

    monkeypatch.setattr(pd, "read_csv", one_seed_less)
    found = scales_data()
    assert set(found["target"]) == COMMON - {"es"}


def test_means_and_languages_stand_in_the_row_of_their_pair(data):
    figure = scales(data, "gains")
    rows = list(figure.layout.yaxis.ticktext)
    drawn = [trace for trace in figure.data if trace.x[0] is not None]
    assert len(drawn) == 3 * 2 * 2
    for trace in drawn:
        metric = "exact_match" if trace.xaxis == "x2" else "f1"
        part = data[(data["scale"] == trace.name) & (data["metric"] == metric)]
        wanted = part.groupby("pair")["gain"]
        for pair, places in pd.Series(trace.x).groupby([rows[round(y)] for y in trace.y]):
            values = wanted.get_group(pair)
            assert np.allclose(sorted(places), sorted(values) if len(places) > 1 else values.mean())
        for y, colour in zip(trace.y, trace.marker.color, strict=True):
            assert colour == {"Joint": GREY, "X-MAML": SKY, "XLA-MAML": PINK}[rows[round(y)].split(" − ")[0]]
    assert len({trace.marker.symbol for trace in drawn}) == 3
    named = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert named == ["toy, 3 seeds", "small, 2 seeds", "paper"]
    far = [text for trace in drawn for text in trace.text if text]
    assert far == ["Chinese"] * 3
    assert figure.layout.width <= 760


def test_what_has_fewer_seeds_is_not_among_all_targets_together():
    found = together_data()
    assert list(found) == ["Joint − Baseline", "X-MAML − Joint", "XLA-MAML − Joint"]
    rows = ["toy, zero-shot", "toy, fine-tuned", "small, zero-shot", "small, fine-tuned"]
    assert all(list(group) == rows for group in found.values())
    stored = pd.read_csv(data_directory() / "results" / "study_qa_toy.csv")
    assert "XLA-MAML few-shot" in set(stored["method"])
    assert found["XLA-MAML − Joint"]["toy, zero-shot"] == (0.246, 0.022, 0.463)
