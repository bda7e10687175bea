"""One question at three scales: what a method gains in the toy, on real text with a small encoder, and in the paper.

The data come first, then the drawing. Measured are the stored studies of question answering with Hindi as the
auxiliary (`data/results/study_qa_*.csv`); the paper's figures are those of `papers.table("xla-table4")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from ..files import data_directory
from ..studies.methods import METHODS
from ..studies.papers import table
from ..text.metrics import of_answers
from .style import INK, LEGEND_ABOVE, Gain, language_name, looks, panels, places

if TYPE_CHECKING:
    import pandas as pd

MEASURED, PAPER = ("toy", "small"), "paper"
PAIRS = (
    ("Joint", "Baseline"), ("X-MAML", "Baseline"), ("XLA-MAML", "Baseline"), ("X-MAML", "Joint"), ("XLA-MAML", "Joint"),
)  # fmt: skip
"""What is compared: a method and its control, by title."""
_MARKS, _FAR = ("circle", "square", "diamond"), 10  # a language whose gain is larger is named


def scales_data() -> pd.DataFrame:
    """Zero-shot gains in points: a line for each scale, `pair` ("method − control"), `target` and `metric`.

    A `gain` is a difference of means over the same number of `seeds` (of the paper one figure, as it is printed), and
    its targets are those that every scale has of every pair, so that all means are over the same languages.
    """
    import pandas as pd

    found = pd.concat([*map(_measured, MEASURED), _printed()])
    metrics = [metric.name for metric in of_answers()]
    found = found[found["kind"] == "zero-shot"][["scale", "method", "target", "seeds", *metrics]]
    found = found.melt(["scale", "method", "target", "seeds"], metrics, "metric", "score")
    lines = []
    for method, control in PAIRS:
        sides = (found[found["method"] == name].drop(columns="method") for name in (method, control))
        both = pd.merge(*sides, on=["scale", "target", "seeds", "metric"], suffixes=("", "_control"))
        lines.append(both.assign(pair=f"{method} − {control}", gain=both["score"] - both["score_control"]))
    data = pd.concat(lines)[["scale", "pair", "target", "metric", "seeds", "gain"]]
    common = set.intersection(*(set(part["target"]) for _, part in data.groupby(["scale", "pair"])))
    return data[data["target"].isin(common)].reset_index(drop=True)


def _measured(scale: str) -> pd.DataFrame:
    import pandas as pd

    scores = pd.read_csv(data_directory() / "results" / f"study_qa_{scale}_scores.csv")
    return scores.assign(scale=scale)


def _printed() -> pd.DataFrame:
    """Table 4 of the XLA-MAML paper in the columns of a stored study."""
    import pandas as pd

    lines = [
        {"scale": PAPER, "method": METHODS[row.method].title, "kind": row.kind, "target": target, "seeds": 1, **figures}
        for row in table("xla-table4").rows
        if row.method
        for target, figures in row.figures.items()
    ]
    return pd.DataFrame(lines)


def scales(data: pd.DataFrame, title: str) -> go.Figure:
    """The gains of `scales_data`: a panel for each metric, a row for each pair, in the method's own colour.

    The symbol is the scale; a large mark is the mean over the languages, small ones are the languages.
    """
    rows, names = list(dict.fromkeys(data["pair"])), list(dict.fromkeys(data["scale"]))
    own = dict(zip(rows, (looks([row])[row][0] for row in rows), strict=True))
    metrics = of_answers()
    figure = panels(title, 1, len(metrics), shared_yaxes=True, horizontal_spacing=0.04)
    for rank, name in enumerate(names):
        for column, metric in enumerate(metrics, 1):
            part = data[(data["scale"] == name) & (data["metric"] == metric.name)]
            mean = part.groupby("pair", sort=False)["gain"].mean()
            for pairs, gains, targets, size, opacity in (
                (part["pair"], part["gain"], [*map(language_name, part["target"])], 6, 0.5),
                (mean.index, mean, ["mean"] * len(mean), 13, 1),
            ):
                look = {"symbol": _MARKS[rank], "size": size, "opacity": opacity}
                figure.add_scatter(
                    x=list(gains), y=[rows.index(pair) + 0.25 * (rank - 1) for pair in pairs], mode="markers+text",
                    marker={"color": [own[pair] for pair in pairs], **look}, name=name, showlegend=False,
                    hovertext=list(targets), hovertemplate="%{hovertext}: %{x:+.2f}", textposition="middle left",
                    text=[target if abs(gain) > _FAR else "" for target, gain in zip(targets, gains, strict=True)],
                    row=1, col=column,
                )  # fmt: skip
        seeds = data[data["scale"] == name]["seeds"].max()
        known = name if name == PAPER else f"{name}, {seeds} seeds"
        marker = {"color": INK, "symbol": _MARKS[rank], "size": 11}
        figure.add_scatter(x=[None], y=[None], mode="markers", name=known, marker=marker)
    height = 170 + 62 * len(rows)
    figure.update_layout(
        height=height, showlegend=True, legend=LEGEND_ABOVE | {"itemwidth": 30}, margin={"t": 85, "l": 10}
    )
    for column, metric in enumerate(metrics, 1):
        figure.add_vline(0, line={"color": INK, "dash": "dot"}, layer="below", row=1, col=column)
        figure.update_xaxes(title_text=f"points of {metric.title}", zeroline=False, row=1, col=column)
    return figure.update_yaxes(**places(rows, len(rows) - 0.5, -0.5), showgrid=False)


def together_data() -> dict[str, dict[str, Gain]]:
    """What the stored studies gain over all their targets together, in F1, for `style.forest`: by pair, scale and test.

    Each with its 95 % interval, which is over passages alone. Differences that have fewer seeds than the others of
    their study are left out.
    """
    import pandas as pd

    found: dict[str, dict[str, Gain]] = {}
    for scale in MEASURED:
        lines = pd.read_csv(data_directory() / "results" / f"study_qa_{scale}.csv")
        lines = lines[(lines["target"] == "all") & (lines["seeds"] == lines["seeds"].max())]
        for line in lines.sort_values("kind", ascending=False, kind="stable").itertuples():
            # The gain over Baseline is told by Joint; what the episodes add, by those over Joint.
            if line.control == ("Baseline" if line.method == "Joint" else "Joint"):
                group = found.setdefault(f"{line.method} − {line.control}", {})
                group[f"{scale}, {line.kind}"] = (line.gain, line.low, line.high)
    return found
