"""A table of a paper with ours beside it, as a page of its own: figures of the gains, then the tables.

The data come first, then the drawing; what is drawn is a comparison of `reproduce.compare`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from ..files import whole_file
from ..studies.papers import settings, table
from ..studies.report import ASKED, blocks, each_seed, found_from, matrix, number, scale, set_otherwise, title
from ..text.languages import ordered
from . import style
from .style import COLOURS, FAINT, INK
from .transfer import transfer_map

if TYPE_CHECKING:
    import pandas as pd

PER_LINE = 4
"""Panels side by side, at most."""


def gains_data(part: pd.DataFrame) -> pd.DataFrame:
    """The gains of a block over what each row is compared with first, by row and target, where there is one."""
    first = part.drop_duplicates(["row", "target"])
    data = first[first["over"] != ""][["row", "over", "target", "paper_gain", "gain", "low", "high"]]
    return data[data.groupby("row")[["gain", "paper_gain"]].transform("count").sum(axis=1) > 0]


def gains(data: pd.DataFrame, heading: str, encoder: str = "mBERT") -> go.Figure:
    """The paper's gains and ours side by side, a panel for each row, a line for each target.

    `data` is from `gains_data`; bars are 95 % intervals, `encoder` names the paper's model.
    """
    rows, targets = (list(dict.fromkeys(data[name])) for name in ("row", "target"))
    lines = -(-len(rows) // PER_LINE)
    columns = -(-len(rows) // lines)
    over = dict(zip(data["row"], data["over"], strict=True))
    titles = [f"<b>{row}</b><br>− {over[row]}" for row in rows]
    figure = style.panels(
        f"{heading}, difference in points", lines, columns, subplot_titles=titles, shared_xaxes="all",
        shared_yaxes="all", horizontal_spacing=0.02,
        vertical_spacing=0.0 if lines == 1 else min(0.3, 75 / (lines * (75 + 24 * len(targets)))),
    )  # fmt: skip
    places = np.arange(len(targets))
    for i, row in enumerate(rows):
        part = data[data["row"] == row].set_index("target").reindex(targets)
        at = {"row": i // columns + 1, "col": i % columns + 1}
        figure.add_scatter(
            x=part["paper_gain"], y=places - 0.14, name=f"the paper's ({encoder})", mode="markers", legendgroup="paper",
            showlegend=i == 0, marker={"symbol": "diamond-open", "size": 9, "color": COLOURS[1]},
            customdata=targets, hovertemplate="%{customdata}: the paper's %{x:+.2f}<extra></extra>", **at,
        )  # fmt: skip
        figure.add_scatter(
            x=part["gain"], y=places + 0.14, name="ours, 95 % interval", mode="markers", legendgroup="ours",
            showlegend=i == 0, marker={"size": 8, "color": COLOURS[0]},
            error_x=style.error_bars(part["gain"], part["low"], part["high"]) | {"thickness": 1.5},
            customdata=targets, hovertemplate="%{customdata}: ours %{x:+.2f}<extra></extra>", **at,
        )  # fmt: skip
    height = 150 + lines * (80 + 24 * len(targets))
    figure.update_layout(
        height=height,
        width=max(480, 110 + 250 * columns),
        margin={"l": 60, "r": 20, "t": 120, "b": 40},
        legend={"orientation": "h", "x": 0, "y": 1 - 40 / height, "yref": "container", "yanchor": "top"},
    )
    figure.update_layout(title={"y": 1 - 25 / height, "yref": "container"})
    figure.update_annotations(font_size=12)
    values = data[["paper_gain", "gain", "low", "high"]].stack()
    most, least = max(values.max(), 0), min(values.min(), 0)  # 0 is always in sight
    room = max(0.06 * (most - least), 0.1)
    figure.update_xaxes(zeroline=True, zerolinecolor=INK, zerolinewidth=1, showticklabels=True)
    figure.update_xaxes(range=[least - room, most + room])
    figure.update_yaxes(
        tickvals=places,
        ticktext=[f"<b>{code}</b>" if code == "all" else code for code in targets],
        range=[len(targets) - 0.5, -0.5],
        zeroline=False,
        gridcolor=FAINT,
    )
    return figure


def maps_data(part: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Gains by auxiliary and target (points): of the method over Baseline, of Joint, and of the method over Joint."""
    joint, targets = part["row"].str.startswith("Joint"), part["target"] != "all"
    base = part["over"] == "Baseline"
    chosen = {
        "XLA-MAML (en: X-MAML) minus Baseline": ~joint & base,
        "Joint on the same auxiliary minus Baseline": joint & base,
        "XLA-MAML (en: X-MAML) minus Joint on the same auxiliary": ~joint & part["over"].str.startswith("Joint"),
    }
    found = {}
    for name, lines in chosen.items():
        wide = part[lines & targets].pivot(index="auxiliaries", columns="target", values="gain")
        found[name] = wide.loc[list(ordered(wide.index)), list(ordered(wide.columns))]
    return found


def page(found: pd.DataFrame) -> str:
    """The whole page as HTML with plotly inside it: it needs no network. `found` is from `reproduce.compare`."""
    name = found["table"].iloc[0]
    known, (heading, *below) = table(name), title(found)
    parts = [f"<h1>{escape(heading)}</h1>", *(f"<p>{line}</p>" for line in (*map(escape, below), _LEGEND))]
    figures = 0
    for heading, part in blocks(found):
        parts.append(f"<h2>{escape(heading)}</h2>")
        data = gains_data(part)
        if known.shows == "gains":
            drawn = [
                transfer_map(wide, each) for each, wide in maps_data(part).items() if wide.notna().to_numpy().any()
            ]
        else:
            drawn = [gains(data, heading, known.encoder)] if len(data) else []
        for figure in drawn:
            parts.append(figure.to_html(_BARE, full_html=False, include_plotlyjs=figures == 0))
            figures += 1
        parts += _scores(part) if known.shows != "gains" else []
        parts += _differences(part)
    parts += _settings(name, scale(found))
    remarks = [*known.remarks, *set_otherwise(found)]
    parts += ["<h2>Remarks</h2><ul>", *(f"<li>{escape(note)}</li>" for note in remarks), "</ul>"]
    return _PAGE.format(title=escape(known.title), body="\n".join(parts))


def write_page(found: pd.DataFrame, path: Path) -> None:
    """Write `page`, whole or not at all."""
    with whole_file(path) as unfinished:
        unfinished.write_text(page(found), encoding="utf-8")


_BARE = {"displayModeBar": False}
_LEGEND = (
    'In each cell the <span class="paper">paper\'s figure</span> stands above <b>ours</b>. A dash: not printed, or not '
    "run. In small print: the standard deviation over seeds, and what each seed has."
)
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px/1.45 system-ui, sans-serif; color: #111; background: #fff; max-width: 1240px; margin: 24px auto;
  padding: 0 16px }}
h1 {{ font-size: 22px }} h2 {{ font-size: 17px; margin-top: 32px }} h3 {{ font-size: 14px; margin-bottom: 4px }}
.wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }}
th, td {{ padding: 3px 9px; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid #ddd }}
th:first-child, td:first-child {{ text-align: left; position: sticky; left: 0; background: #fff }}
td.words {{ text-align: left; white-space: normal }}
.paper {{ color: #A34700 }} small {{ color: #444 }} li {{ margin-bottom: 4px }}
</style></head><body>
{body}
</body></html>
"""


def _scores(part: pd.DataFrame) -> list[str]:
    """The paper's table: by row and target, the paper's score above ours with its spread over seeds and each one's."""
    wide = {value: matrix(part, value) for value in ("paper", "ours", "sd", "by_seed")}
    targets = list(wide["paper"].columns)
    rows = [
        [escape(row)]
        + [
            _both(
                *(wide[name].at[row, code] for name in ("paper", "ours")),
                ".2f",
                _spread(*(wide[name].at[row, code] for name in ("sd", "by_seed"))),
            )
            for code in targets
        ]
        for row in wide["paper"].index
    ]
    return ["<h3>Scores in %</h3>", _table(["", *targets], rows)]


def _spread(sd: float, seeds: Sequence[float]) -> str:
    return "" if np.isnan(sd) else f" <small>± {sd:.2f}<br>{each_seed(seeds, '.1f')}</small>"


def _differences(part: pd.DataFrame) -> list[str]:
    """Each row minus each of those it is compared with: the paper's difference above ours with its interval."""
    part = part[part["over"] != ""]
    targets, rows, printed = list(dict.fromkeys(part["target"])), [], part["paper_gain"].notna().any()
    for (row, over), lines in part.groupby(["row", "over"], sort=False):
        if lines[["gain", "paper_gain"]].isna().all(axis=None):
            continue
        by_target = lines.set_index("target")
        cells = []
        for code in targets:
            each = by_target.loc[code]
            interval = f"[{each['low']:+.2f}, {each['high']:+.2f}]<br>{each_seed(each['gain_by_seed'], '+.1f')}"
            interval = f"<br><small>{interval}</small>" if each["paired"] else ""
            cells.append(_both(each["paper_gain"] if printed else None, each["gain"], "+.2f", interval))
        seeds = sorted({n for n in lines["paired"] if n})
        cells.append("–" if not seeds else str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}")
        rows.append([f"{escape(row)} − {escape(over)}", *cells])
    counts = part.groupby("target")["rows"].max()
    head = [code + (f"<br><small>{counts[code]:,} rows</small>" if counts[code] else "") for code in targets]
    if not rows:
        return []
    found = found_from(part["smallest"])
    found = [f"<p>{found.capitalize()}.</p>"] if found else []
    return ["<h3>Differences in points</h3>", _table(["", *head, "seeds"], rows), *found]


def _settings(name: str, scale: str) -> Iterable[str]:
    for task, found in settings(name, scale):
        yield f"<h2>Settings ({ASKED[task]})</h2>"
        rows = []
        for each in found:
            here = [] if scale == "full" else [escape(each.here)]
            source = f'<span class="words">{escape(each.origin)}</span>'
            rows.append([escape(each.title), escape(each.full), *here, source])
        yield _table(["", "full scale", *([] if scale == "full" else [f"here ({scale})"]), "source"], rows)


def _both(paper: float | None, ours: float, form: str, after: str = "") -> str:
    """The paper's figure (None: nowhere in this table) above ours."""
    printed, found = number(paper, form), number(ours, form)
    return ("" if paper is None else f'<span class="paper">{printed}</span><br>') + f"<b>{found}</b>{after}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A table that can be wider than the page."""
    return f'<div class="wide">{style.table(head, rows)}</div>'
