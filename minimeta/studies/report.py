"""Results as text: those of a study, and a paper's table with ours beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import whole_file
from ..text.metrics import METRICS, metric_of
from .comparisons import Results, differences, scores, verdict
from .reproduce import table
from .stated import NOTES, stated

if TYPE_CHECKING:
    import pandas as pd


# A study


def study_text(results: Results) -> str:
    """Accuracies, and each method against its controls, as text; a sentence where no run is finished."""
    found, gains = scores(results), differences(results)
    if not len(found):
        return "No run is finished yet; the tables come with the first one."
    metrics = [metric.name for metric in METRICS[results.task]]
    names = " / ".join(metric.title for metric in METRICS[results.task])
    lines, width = [], max(13, len(names))
    for (kind, target), part in found.groupby(["kind", "target"], sort=False):
        quoted = " (the paper's is mBERT's, at full scale)" * bool(part["paper"].notna().any())
        lines += ["", f"{target}, {kind}: test {names} in %, mean ± sd over seeds{quoted}"]
        lines += [f"  {'method':17} {'auxiliaries':18} {'tasks':9} {names:{width}} {'rows':>5} {'seconds':>8}  paper"]
        for row in part.itertuples():
            sd = "   –" if row.seeds < 2 else f"{row.sd:4.2f}"
            value = " / ".join(f"{getattr(row, name):5.2f}" for name in metrics) + f" ± {sd}"
            paper = f"{row.paper:.2f}" if row.paper == row.paper and row.paper else "–"
            lines.append(
                f"  {row.method:17} {_short(row.auxiliaries):18} {row.tasks:9} {value:{width}} "
                f"{row.rows:5d} {row.seconds:8.1f}  {paper}"
            )
        lines += _study_differences(gains, kind, target)
    for kind in dict.fromkeys(gains["kind"] if len(gains) else ()):
        lines += [f"\nall targets together, {kind}:"] if len(_study_differences(gains, kind, "all")) else []
        lines += _study_differences(gains, kind, "all")
    if not results.rows:
        lines += ["", "No differences: rows.json, the rows that were scored, is not in the study's folder."]
    return "\n".join(lines)


def _study_differences(gains: Any, kind: str, target: str) -> list[str]:
    """The lines of `comparisons.differences` for one kind and target."""
    if not len(gains):
        return []
    lines = [
        f"  {row.method:17} - {row.control:17} {row.gain:+6.2f} [{row.low:+5.2f}, {row.high:+5.2f}]  {row.verdict} "
        f"({row.tasks}{', ' + _short(row.auxiliaries) if row.auxiliaries else ''})"
        for row in gains[(gains["kind"] == kind) & (gains["target"] == target)].itertuples()
    ]
    return ["  difference in points, 95 % interval over premises, paired by seed:", *lines] if lines else []


def _short(auxiliaries: str) -> str:
    """The auxiliaries, or how many they are if they are many."""
    return auxiliaries if auxiliaries.count("+") < 3 else f"{auxiliaries.count('+') + 1} languages"


# A paper's table

TESTS = {"zero-shot": "zero-shot", "few-shot": "few-shot", "fine-tuned": "few-shot (one epoch on dev rows)"}


_READING = (
    "Gains are paired by seed. Intervals (95 %) cover the choice of premises or passages, not of seeds; of many, some "
    "miss 0 by chance."
)


def title(found: pd.DataFrame) -> list[str]:
    """What a comparison is of, in two lines, and how to read it, in a third."""
    known = table(found["table"].iloc[0])
    ran = found[found["seeds"] > 0]
    seeds = int(ran["seeds"].max()) if len(ran) else 0
    worlds = ran[["scale", "data", "encoder", "overrides"]].drop_duplicates().itertuples(index=False)
    here = [f"{scale} scale, {', '.join(filter(None, others))}" for scale, *others in worlds]
    ours = f"Ours: {'; '.join(here) or 'nothing was run'}, {seeds} {'seed' if seeds == 1 else 'seeds'}."
    theirs = f"{known.encoder}, as printed" if found["paper"].notna().any() else "not at hand"
    return [known.title, f"{ours} The paper's: {theirs}.", _READING]


def blocks(found: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The parts of a comparison that are read together: a task, a metric, a kind of test; each with a heading."""
    parts = []
    for (task, metric, kind), part in found.groupby(["task", "metric", "kind"], sort=False):
        both = f"{'NLI' if task == 'nli' else 'questions'}, " if found["task"].nunique() > 1 else ""
        parts.append((f"{both}{TESTS[kind]}, {metric_of(task, metric).title}", part))
    return parts


def matrix(part: pd.DataFrame, value: str) -> pd.DataFrame:
    """A block in the paper's form: `value` ("paper", "ours", "sd", "paper_gain", "gain") by row and target.

    Gains are over what a row is compared with first.
    """
    first = part.drop_duplicates(["row", "target"])
    wide = first.pivot(index="row", columns="target", values=value)
    return wide.loc[list(dict.fromkeys(part["row"])), list(dict.fromkeys(part["target"]))]


def text(found: pd.DataFrame) -> str:
    """A comparison as text: the paper's table with ours below each line, differences by target, settings, remarks."""
    name = found["table"].iloc[0]
    known, said = table(name), title(found)
    for heading, part in blocks(found):
        said += ["", *_matrix_lines(heading, part, known.shows)]
        for target, lines_of in part[part["over"] != ""].groupby("target", sort=False):
            said += ["", *_difference_lines(heading, target, lines_of)]
    return "\n".join([*said, "", *settings_text(name, scale(found))])


def scale(found: pd.DataFrame) -> str:
    """The scale of a comparison's runs."""
    return found["scale"].iloc[0]


def _matrix_lines(heading: str, part: pd.DataFrame, shows: str) -> list[str]:
    gains = shows == "gains"
    paper, ours = (matrix(part, value) for value in (("paper_gain", "gain") if gains else ("paper", "ours")))
    form = "+.2f" if gains else ".2f"
    width = max(map(len, paper.index)) + 2
    what = f"{heading}, gain over Baseline in points" if gains else f"{heading} in %; the paper's above, ours below"
    said = [what, " " * (width + 7) + "".join(f"{code:>7}" for code in paper.columns)]
    for row in paper.index:
        both = [(" ours", ours)] if gains else [("paper", paper), (" ours", ours)]
        if gains and ours.loc[row].isna().all() and row == "Baseline":
            continue
        for label, values in both:
            start = row if label == both[0][0] else ""
            said.append(f"{start:{width}}{label}: " + "".join(f"{_number(v, form):>7}" for v in values.loc[row]))
    return said


def _difference_lines(heading: str, target: str, part: pd.DataFrame) -> list[str]:
    part = part[part["gain"].notna() | part["paper_gain"].notna()]
    names = [f"{row.row} − {row.over}" for row in part.itertuples()]
    width = max(map(len, names), default=0)
    where = "all targets together" if target == "all" else target
    said = [f"{where}, {heading}: difference in points, ours with its 95 % interval, paired by seed"]
    said += [f"  {'':{width}}   paper    ours"] if names else ["  nothing to compare"]
    for name, row in zip(names, part.itertuples(), strict=True):
        line = f"  {name:{width}}  {_number(row.paper_gain, '+.2f'):>6}  {_number(row.gain, '+.2f'):>6}"
        if row.paired:
            seeds = f"{row.paired} {'seed' if row.paired == 1 else 'seeds'}"
            line += f" [{row.low:+6.2f}, {row.high:+6.2f}]  {verdict(row.low, row.high)} ({seeds}, {row.rows:,} rows)"
        said.append(line)
    return said


def _number(value: float, form: str) -> str:
    return "–" if np.isnan(value) else format(value, form)


def settings(name: str, scale: str) -> list[tuple[str, list[Any]]]:
    """The settings of a table's runs, by task: see `stated.stated`."""
    known, found = table(name), []
    for task in known.tasks:
        rows = [row for row in known.rows if row.task == task]
        cells = [cell for row in rows for code in known.targets if (cell := row.cell(code))]
        found.append((task, stated(cells, [row.kind for row in rows if row.method], scale, task)))
    return found


def settings_text(name: str, scale: str) -> list[str]:
    """The settings with their sources, and the remarks, as lines of text."""
    said = []
    for task, found in settings(name, scale):
        said += [f"Settings ({'NLI' if task == 'nli' else 'questions'}): at full scale, here, and where they are from"]
        for each in found:
            source = each.source or "not stated, our choice" + (f": {each.why}" if each.why else "")
            here = "" if scale == "full" else f"{each.here:26} "
            said.append(f"  {each.title:36} {each.full:10} {here}{source}")
        said.append("")
    return [*said, "Remarks", *(f"- {note}" for note in NOTES[name])]


def write_text(found: pd.DataFrame, path: Path) -> None:
    """Write `text`, whole or not at all."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text(found) + "\n", encoding="utf-8")


def write_csv(found: pd.DataFrame, path: Path) -> None:
    """Write a table in its long form, whole or not at all."""
    with whole_file(path) as unfinished:
        found.round(3).to_csv(unfinished, index=False, lineterminator="\n")
