"""A study while it runs: how far each of its runs has come, read from its folder. The data first, then the drawing.

A run is finished when its record is in `cells/`; it is going on, or was stopped, when it has a checkpoint in
`unfinished/`. A run with neither has not begun, or has not yet written its first checkpoint: the folder of a study does
not say what else was asked for, so give `runs` to see those as well.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from ..errors import InputError
from ..files import expanded
from ..studies.checkpoints import found as checkpoints_in
from ..studies.checkpoints import header
from ..studies.comparisons import Results, cell_of, records_of, scores, shared
from ..studies.methods import METHODS, Cell, left_out
from ..text.languages import ordered
from ..text.metrics import metric_of
from .style import COLOURS, LEGEND_ABOVE, blank, places, smoothed

if TYPE_CHECKING:
    import pandas as pd

    from ..studies.grids import Run

FINISHED, BEGUN, WAITING = "finished", "has a checkpoint", "not begun"
STATES = {
    FINISHED: {"color": COLOURS[0], "text": "#FFFFFF"},
    BEGUN: {"color": COLOURS[4], "text": "#000000"},
    WAITING: {"color": "#E0E0E0", "text": "#000000"},
}
"""What a run can be, and how its tile looks; the words in a tile say it too."""


@dataclass(frozen=True)
class State:
    """How far a run has come: `step` of `steps` outer steps (0 of 0 where nothing is trained), and what is known of it.

    `left_out` is the language that it leaves out, where the runs do so in turn. `seconds` is the time that a finished
    run took, `age` how old the checkpoint of another one is (seconds), `losses` are its outer losses so far.
    """

    cell: Cell
    seed: int
    state: str
    step: int = 0
    steps: int = 0
    left_out: str = ""
    seconds: float = np.nan
    age: float = np.nan
    losses: tuple[float, ...] = ()


def states(folder: str | Path, runs: Iterable[Run] = ()) -> list[State]:
    """How far each run of the study in `folder` has come, those of `runs` first; none if there is no folder yet.

    Files that are no records are left out. Of a checkpoint only the header is read, so that it is quick however large
    the model is.
    """
    folder = Path(expanded(folder))
    found: dict[tuple[Cell, int], State] = {(run.cell, run.seed): State(run.cell, run.seed, WAITING) for run in runs}
    for own in sorted(folder.glob("unfinished/*")):
        if state := _begun(own):
            found[state.cell, state.seed] = state
    for state in map(_finished, records_of(folder)[0]):
        found[state.cell, state.seed] = state
    cells = [state.cell for state in found.values()]
    return [replace(state, left_out=left_out(state.cell, cells)) for state in found.values()]


def _finished(record: dict[str, Any]) -> State:
    steps, parts = len(record["outer_losses"]), ("train_seconds", "feature_seconds", "score_seconds")
    seconds = sum(record.get(name, 0.0) for name in parts)
    return State(cell_of(record), record["seed"], FINISHED, steps, steps, seconds=seconds)


def _begun(own: Path) -> State | None:
    """The state in the last checkpoint that can be read; None if there is none, or if it has just been removed."""
    for path in reversed(checkpoints_in(own)):
        try:
            text, age = header(path), max(0.0, time.time() - path.stat().st_mtime)
            made, losses = text["made_of"], tuple(text["losses"])
            return State(cell_of(made), made["seed"], BEGUN, text["step"], made["outer_steps"], age=age, losses=losses)
        except (OSError, InputError, KeyError, TypeError):  # half of a file, or one of another version
            continue
    return None


def seconds_left(found: Sequence[State], workers: int = 1) -> float | None:
    """How long what is left will take with so many `workers`, from the runs that are finished; None if there are none.

    A run is taken to need the mean time of the finished runs of its method, or of all that train as it does, or of
    all. (A run that was stopped in between says only how long its last part took.)
    """
    done = [each for each in found if each.state == FINISHED]
    if not done:
        return None
    total = 0.0
    for each in found:
        if each.state != FINISHED:
            same = [other for other in done if other.cell.method == each.cell.method]
            trains = METHODS[each.cell.method].trains
            alike = [other for other in done if METHODS[other.cell.method].trains == trains]
            share = 1 - each.step / each.steps if each.steps else 1.0
            total += share * float(np.mean([other.seconds for other in same or alike or done]))
    return total / workers


def words(found: Sequence[State], workers: int = 1) -> str:
    """The states in a sentence or two."""
    counts = {name: sum(each.state == name for each in found) for name in STATES}
    if not found:
        return "There is no run yet."
    said = f"{counts[FINISHED]} of {len(found)} runs finished"
    if counts[BEGUN]:
        youngest = min(each.age for each in found if each.state == BEGUN)
        said += f", {counts[BEGUN]} with a checkpoint (the last one {duration(youngest)} old)"
    said += f", {counts[WAITING]} without a sign. " if counts[WAITING] else ". "
    left = seconds_left(found, workers)
    if counts[FINISHED] == len(found):
        return said + "Nothing is left to do."
    if left is None:
        return said + "No estimate before the first run is finished."
    return said + f"About {duration(left)} of work left" + (f" for {workers} at a time." if workers > 1 else ".")


def duration(seconds: float) -> str:
    """Seconds as a reader says them: 45 s, 12 min, 3.4 h, 2.5 days."""
    if seconds < 90:
        return "under 1 s" if seconds < 1 else f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def row(each: State) -> str:
    """The name of a run's cell but for its target: the method, how rows are drawn, and what it was trained on."""
    given = each.cell.auxiliaries
    whose = "all but the target" if each.left_out else "+".join(given) if len(given) < 4 else f"{len(given)} languages"
    return " ".join(filter(None, (METHODS[each.cell.method].title, whose, each.cell.drawn)))


def column(each: State) -> str:
    """The one target that a run is for: that of few-shot XLA-MAML, or the language left out; "" if there is none."""
    return each.cell.target or each.left_out


def tiles(found: Sequence[State], title: str = "The runs of the study") -> go.Figure:
    """A tile for each run: what is trained in rows; in columns the seeds, by target where runs are for one target."""
    figure = blank(title)
    rows = list(dict.fromkeys(row(each) for each in found))
    targets = ["", *ordered(filter(None, (column(each) for each in found)))]
    columns = sorted({(targets.index(column(each)), each.seed) for each in found})
    at = {(targets[target], seed): place for place, (target, seed) in enumerate(columns)}
    wide = len(columns) <= 6  # room for words in a tile
    for name, look in STATES.items():
        part = [each for each in found if each.state == name]
        figure.add_bar(
            x=[0.94] * len(part), y=[rows.index(row(each)) for each in part], orientation="h", width=0.88,
            base=[at[column(each), each.seed] - 0.47 for each in part], name=name,
            marker={"color": look["color"]}, text=[_said(each, wide) for each in part], textposition="inside",
            insidetextanchor="middle", textangle=0, textfont={"color": look["text"], "size": 12 if wide else 10},
            hovertext=[f"{label(each)}: {_said(each)}" for each in part], hoverinfo="text",
        )  # fmt: skip
    for target, code in enumerate(targets):  # the name of a target stands above its seeds
        own = [place for place, (whose, _) in enumerate(columns) if whose == target]
        if code:
            figure.add_annotation(x=np.mean(own), y=-0.6, yanchor="bottom", text=f"→ {code}", showarrow=False)
    above = 0.6 + 0.7 * (len(columns) > 0 and columns[-1][0] > 0)
    figure.update_layout(
        barmode="overlay", height=125 + 30 * max(len(rows), 1) + 20 * (above > 1), showlegend=True,
        width=max(760, 300 + 20 * len(columns)), margin={"l": 10, "t": 75, "b": 30},
        legend=LEGEND_ABOVE | {"xanchor": "left"},
    )  # fmt: skip
    figure.update_xaxes(
        tickvals=list(range(len(columns))), ticktext=[f"seed {seed}" if wide else str(seed) for _, seed in columns],
        range=[-0.55, max(len(columns), 1) - 0.45], showgrid=False, zeroline=False,
    )  # fmt: skip
    return figure.update_yaxes(**places(rows, max(len(rows), 1) - 0.4, -above), showgrid=False)


def label(each: State) -> str:
    """The name of a run for people."""
    target = f" → {column(each)}" if column(each) else ""
    return f"{row(each)}{target}, seed {each.seed}"


def _said(each: State, wide: bool = True) -> str:
    """The words in a tile."""
    if each.state == WAITING:
        return "–"
    if each.state == FINISHED:
        return f"✓ {duration(each.seconds)}" if wide else "✓"
    return f"step {each.step} of {each.steps}" if wide else f"{100 * each.step // max(each.steps, 1)}"


def outer_losses(found: Sequence[State], smooth: int = 10) -> go.Figure:
    """The outer losses of the runs that have a checkpoint and are not finished, averaged over `smooth` steps."""
    figure = blank("Outer losses of what is going on", "outer step", "query loss")
    going = [each for each in found if each.state == BEGUN]
    for each, colour in zip(going, itertools.cycle(COLOURS), strict=False):
        steps, line = list(range(1, len(each.losses) + 1)), {"color": colour, "width": 2.5}
        figure.add_scatter(x=steps, y=smoothed(each.losses, smooth), mode="lines", name=label(each), line=line)
    if going:
        figure.update_xaxes(range=[0, max(each.steps for each in going)])
    else:
        figure.add_annotation(text="no run has a checkpoint now", showarrow=False, font={"size": 14})
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(showlegend=True, height=280)
    return figure


def scores_data(folder: str | Path) -> dict[str, pd.DataFrame]:
    """The scores that are there so far, in percent, by kind of test: methods in rows, targets in columns.

    The mean over the seeds that are finished, of the task's first metric. Empty before the first run is done.
    """
    folder = Path(expanded(folder))
    if not (folder / "study.json").exists():
        return {}
    results = Results(shared(folder), {}, records_of(folder)[0])
    lines = scores(results)
    if not len(lines):
        return {}
    first = metric_of(results.task).name
    lines["trained"] = [
        " ".join(filter(None, (row.method, f"({row.auxiliaries})" if row.auxiliaries else "", row.drawn)))
        for row in lines.itertuples()
    ]
    lines["trained"] = lines["trained"].str.removesuffix(" random")
    return {
        kind: part.pivot_table(index="trained", columns="target", values=first, sort=False)
        for kind, part in lines.groupby("kind", sort=False)
    }
