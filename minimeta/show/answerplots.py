"""Pictures of answers: the scores of pairs of tokens, scores token by token, F1 by language.

The data come first, then the drawing. Tokens and answers are data, not markup: they are shown as
written. Tokens stand below each other, so that every script can be read, from left to right or not.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import torch
from torch.nn.utils.rnn import pad_sequence

from ..errors import InputError
from ..inner import Learner
from ..studies.intervals import paired_difference
from ..text.episodes import rows_of
from ..text.features import SpanFeatures
from ..text.metrics import exact_match, f1, of_answers, row_scores
from ..text.spans import LONGEST, best_spans, first_answer, training_window
from .style import COLOURS, GREY, INK, LEGEND_ABOVE, SYMBOLS, Gain, blank, language_name, looks, places

RIGHT = "#009E73"
"""The colour of the right answer."""

_LEFT_TO_RIGHT = "\u200e"  # after an Arabic word, so that a browser does not write -7.29 as 7.29-


@dataclass(frozen=True)
class Reading:
    """What a learner makes of a question: its answer, and the scores of the T tokens of a part of the passage.

    `place` and `right` are where its answer and the right one stand in the passage, (start, end) in characters. `f1`
    and `exact` are from 0 to 1. `scores` (T, 2) are the start and end scores of `tokens`, in the window that holds the
    right answer, `gold` its first and last token there, None if it is in no window as a whole. `pairs` are the best
    valid pairs of these tokens with their scores, (score, first, last), the best one first.
    """

    answer: str
    place: tuple[int, int]
    right: tuple[int, int]
    f1: float
    exact: float
    tokens: tuple[str, ...]
    scores: np.ndarray
    gold: tuple[int, int] | None
    pairs: tuple[tuple[float, int, int], ...]


def reading(features: SpanFeatures, learner: Learner, row: int, k: int = 5) -> Reading:
    """How a learner reads the question in a row of the corpus, with its k best pairs.

    The answer is that of `SpanFeatures.predict`: the best over all windows.
    """
    found = features.windows([row])[row]
    scores = features.scores(learner, [(row, number) for number in range(len(found))]).cpu()
    inside = [torch.tensor([place is not None for place in window.places]) for window in found]
    values, first, last = best_spans(scores, pad_sequence(inside, batch_first=True), k=k)
    at = int(values[:, 0].argmax())
    said, context, told = found[at], features.contexts[row], features.answers[row]
    span = int(first[at, 0]), int(last[at, 0])
    answer = said.text(context, *span)
    code = features.corpus[row]["language"]
    number = training_window(found)
    window, own = found[number], inside[number].nonzero().flatten().tolist()
    start = own[0] if own else 0  # the passage is one piece
    return Reading(
        answer,
        (said.places[span[0]] or (0, 0))[:1] + (said.places[span[1]] or (0, 0))[1:],
        first_answer(told),
        f1(answer, told["text"], code),
        exact_match(answer, told["text"], code),
        tuple(window.text(context, token, token) for token in own),
        scores[number, own].double().numpy(),
        (window.start - start, window.end - start) if window.end else None,
        tuple(
            (value, i - start, j - start)
            for value, i, j in zip(values[number].tolist(), first[number].tolist(), last[number].tolist(), strict=True)
            if np.isfinite(value)
        ),
    )


def scored(features: SpanFeatures, learner: Learner, code: str, split: str = "test") -> np.ndarray:
    """What a learner's answers to all questions in a language count, (metrics, rows), see `row_scores`."""
    rows = rows_of(features.corpus, code, split)
    return row_scores(features.predict(learner, rows), [features.answers[row] for row in rows], code)


def gained(
    features: SpanFeatures,
    learners: Mapping[str, Learner],
    targets: Sequence[str],
    pairs: Sequence[tuple[str, str]],
) -> dict[str, dict]:
    """How many points of F1 the first learner of each pair is ahead of the second: by language, then pair.

    As `style.forest` takes it: on the test questions of each target, with 95 % intervals over passages.
    """
    found: dict[str, dict[str, Gain]] = {}
    for code in targets:
        passages = features.corpus.select(rows_of(features.corpus, code, "test"))["passage_id"][:]
        own = {name: scored(features, learners[name], code)[:1] for name in {*sum(pairs, ())}}
        found[language_name(code)] = {
            f"{one} − {other}": paired_difference(own[one], own[other], passages) for one, other in pairs
        }
    return found


def pair_scores(found: Reading, title: str) -> go.Figure:
    """The score of every pair of a start and an end token: the best valid ones as 1, 2, ..., and the right answer.

    Pairs that are not valid are left empty. Where one of them is better than all the valid ones, it has a cross.
    """
    tokens, (start, end) = found.tokens, found.scores.T
    n = len(tokens)
    pairs = start[:, None] + end
    ahead = np.arange(n) - np.arange(n)[:, None]
    valid = (ahead >= 0) & (ahead < LONGEST)
    figure = blank(title, "end", "start", height=max(420, 190 + 11 * n))
    figure.add_heatmap(
        z=np.where(valid, pairs, np.nan), colorscale="Blues", name="valid pairs", hoverongaps=False, zsmooth=False,
        colorbar={"title": {"text": "score"}, "thickness": 12}, zmin=float(np.quantile(pairs, 0.5)),
        hovertemplate=f"start %{{y}}{_LEFT_TO_RIGHT}, end %{{x}}{_LEFT_TO_RIGHT}: %{{z:.2f}}<extra></extra>",
    )  # fmt: skip
    if found.gold:
        i, j = found.gold
        line = {"color": RIGHT, "width": 3}
        figure.add_shape(type="rect", x0=j - 1.2, x1=j + 1.2, y0=i - 1.2, y1=i + 1.2, line=line)
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name="the right answer",
            marker={"symbol": "square-open", "size": 13, "color": RIGHT, "line": {"width": 3}},
        )  # fmt: skip
    figure.add_scatter(
        x=[j for _, _, j in found.pairs], y=[i for _, i, _ in found.pairs], mode="markers+text",
        text=[f"<b>{rank}</b>" for rank in range(1, len(found.pairs) + 1)], textposition="middle center",
        textfont={"size": 11, "color": "#000000"}, cliponaxis=False, name="the best valid pairs", hoverinfo="skip",
        marker={"size": 16, "color": "#FFFFFF", "line": {"width": 2, "color": COLOURS[1]}},
    )  # fmt: skip
    i, j = np.unravel_index(pairs.argmax(), pairs.shape)
    if not valid[i, j]:
        marker = {"symbol": "x", "size": 11, "color": COLOURS[3]}
        figure.add_scatter(x=[j], y=[i], mode="markers", marker=marker, name="the best pair of all: not valid")
    axis, names = {"showgrid": False, "tickfont": {"size": 9}}, [html.escape(token) for token in tokens]
    figure.update_layout(showlegend=True, legend=LEGEND_ABOVE | {"itemwidth": 30}, margin={"t": 80})
    figure.update_xaxes(**places(names, -0.6, n - 0.4, tickangle=-90, **axis))
    return figure.update_yaxes(**places(names, n - 0.4, -0.6, **axis))


def token_scores(readings: Mapping[str, Reading], title: str) -> go.Figure:
    """Start scores on the left, end scores on the right, token by token: a line for each reading, by its name.

    Both have one scale, since a span has their sum. The best valid pair of each has large marks; the tokens of the
    right answer are shaded. All readings are of one question, with the same tokenizer; else InputError.
    """
    if len({found.tokens for found in readings.values()}) != 1:
        raise InputError("Scores can be drawn beside each other if they are of the same tokens; choose one question.")
    one, own = next(iter(readings.values())), looks(readings)
    n, names = len(one.tokens), [html.escape(token) for token in one.tokens]
    figure = blank(title, "start score", height=150 + 17 * n)
    solid = {"opacity": 1, "line": {"width": 0}}  # not with a white ring, as where sizes differ
    for rank, (name, found) in enumerate(reversed(readings.items())):  # the first, "before", is drawn on top
        colour, dash = own[name]
        for side in range(2):
            chosen = found.pairs[0][1 + side] if found.pairs else -1
            size = [11 if token == chosen else 3 for token in range(n)]
            figure.add_scatter(
                x=found.scores[:, side], y=list(range(n)), mode="lines+markers", name=name, legendgroup=name,
                showlegend=not side, xaxis="x2" if side else "x", text=names, cliponaxis=False,
                line={"color": colour, "dash": dash},
                marker={"size": size, "symbol": SYMBOLS[len(readings) - 1 - rank], **solid},
                hovertemplate=f"%{{text}}{_LEFT_TO_RIGHT}: %{{x:.2f}}",
            )  # fmt: skip
    if one.gold:
        first, last = one.gold
        shade = {"fillcolor": RIGHT, "opacity": 0.22, "line": {"width": 0}, "layer": "below"}
        figure.add_shape(type="rect", xref="paper", x0=0, x1=1, y0=first - 0.5, y1=last + 0.5, **shade)
        names[first : last + 1] = [f"<b>{name}</b>" for name in names[first : last + 1]]
    figure.update_layout(
        showlegend=True, legend=LEGEND_ABOVE | {"traceorder": "reversed"}, margin={"t": 80},
        xaxis={"domain": [0, 0.48]},
        xaxis2={"domain": [0.52, 1], "title": {"text": "end score"}, "anchor": "y", "matches": "x"},
    )  # fmt: skip
    return figure.update_yaxes(**places(names, n - 0.3, -0.7, tickfont={"size": 12}, ticklabelstandoff=5))


def by_language(scores: Mapping[str, Sequence[float]], title: str, known: str = "en") -> go.Figure:
    """The metrics of a Baseline (%) as bars for each language; `known` is the one that was trained on."""
    names = [f"<b>{language_name(code)}</b>" if code == known else language_name(code) for code in scores]
    lines = [3 if code == known else 0 for code in scores]
    figure = blank(title, "", "%", height=420)
    for i, metric in enumerate(of_answers()):
        values, colour = [each[i] for each in scores.values()], (GREY, "rgba(140, 140, 140, 0.45)", *COLOURS)[i]
        figure.add_bar(
            x=names, y=values, name=metric.title, text=[f"{value:.0f}" for value in values], textposition="outside",
            textangle=0, textfont={"size": 10}, cliponaxis=False,
            marker={"color": colour, "line": {"color": INK, "width": lines}},
        )  # fmt: skip
    if known in scores:
        place = list(scores).index(known)
        figure.add_annotation(
            x=place, y=max(scores[known]), yshift=26, text="trained on", showarrow=False, font={"size": 12}
        )
    # The legend is below the buttons of the figure, above bars that are low; two "100" need the room of wide bars.
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "top"}
    figure.update_layout(legend=legend, bargap=0.1, margin={"t": 70})
    return figure.update_yaxes(range=[0, 108])
