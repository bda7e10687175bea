"""Results as text: those of a study, and a paper's table with ours beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..files import whole_file
from ..text.corpora import TASKS
from ..text.metrics import METRICS, metric_of
from .comparisons import Results, differences, scores, verdict
from .intervals import covers
from .papers import settings, table

if TYPE_CHECKING:
    import pandas as pd


def number(value: float | None, form: str, missing: str = "–") -> str:
    """A number, or a dash where there is none."""
    return missing if value is None or np.isnan(value) else format(value, form)


_MANY = 5
"""More values than that are told by their range."""


def each_seed(values: Sequence[float], form: str) -> str:
    """What stands behind a mean over seeds: each one's value, or from where to where they go; nothing for one seed."""
    if len(values) < 2:
        return ""
    if len(values) > _MANY:
        return f" ({min(values):{form}} to {max(values):{form}})"
    return f" ({' '.join(format(value, form) for value in values)})"


def found_from(smallest: Sequence[float]) -> str:
    """From which size on true differences would have been found, in words; nothing if all are NaN; see `Gain`."""
    smallest = [size for size in smallest if not np.isnan(size)]
    if not smallest:
        return ""
    sure, middle, unsure = (f"{size:.2f}" for size in np.percentile(smallest, [0, 50, 100]))
    lines = f" (the middle one of these lines; {sure} in the surest, {unsure} in the least sure)" * (sure != unsure)
    return f"a difference of {middle} points or more would have been found in 4 of 5 tries{lines}"


def _difference(start: str, row: Any, seeds: str, said: str, about: str, width: int = 6) -> str:
    """The line of a difference: `start`, its points with those of each seed, its 95 % interval and what that says."""
    line = f"{start} {number(row.gain, '+.2f'):>6}"
    if np.isnan(row.gain):
        return line
    interval = f"[{row.low:+{width}.2f}, {row.high:+{width}.2f}]"
    return f"{line}{seeds} {interval}  {said} ({about})"


def _about(seeds: int, *words: str) -> str:
    """What is said of a difference in brackets; of one seed, that its interval is not over seeds."""
    return ", ".join(filter(None, (*words, "one seed: not over seeds" * (seeds == 1))))


# A study


def study_text(results: Results) -> str:
    """Accuracies, and each method against its controls, as text; a sentence where no run is finished."""
    found, gains = scores(results), differences(results)
    if not len(found):
        return "No run is finished yet; the tables come with the first one."
    metrics = METRICS[results.task]
    names = " / ".join(metric.title for metric in metrics)
    lines, wide = [], max(map(len, found["method"]))
    for (kind, target), part in found.groupby(["kind", "target"], sort=False):
        quoted = " (the paper's is mBERT's, at full scale)" * bool(part["paper"].notna().any())
        split = results.shared.get("split", "test")
        lines += ["", f"{target}, {kind}: {split} {names} in %, mean ± sd over seeds (each seed){quoted}"]
        values = [_score(row, [getattr(row, metric.name) for metric in metrics]) for row in part.itertuples()]
        width = max(map(len, (names, *values)))
        lines += [
            f"  {'method':{wide}} {'auxiliaries':18} {'tasks':9} {names:{width}} {'rows':>5} {'seconds':>8}  paper"
        ]
        for row, value in zip(part.itertuples(), values, strict=True):
            lines.append(
                f"  {row.method:{wide}} {_short(row.auxiliaries):18} {row.tasks:9} {value:{width}} "
                f"{row.rows:5d} {row.seconds:8.1f}  {number(row.paper, '.2f')}"
            )
        lines += _study_differences(gains, kind, target, TASKS[results.task].groups)
    for kind in dict.fromkeys(gains["kind"] if len(gains) else ()):
        if told := _study_differences(gains, kind, "all", TASKS[results.task].groups):
            lines += ["", f"all targets together, {kind}:", *told]
    if not results.rows:
        lines += ["", "No differences: rows.json, the rows that were scored, is not in the study's folder."]
    return "\n".join(lines)


def _score(row: Any, scores: Sequence[float]) -> str:
    """The scores of a line of `comparisons.scores`, with the spread of the first over seeds."""
    value = " / ".join(f"{number(score, '.2f'):>5}" for score in scores)
    return f"{value} ± {number(row.sd, '.2f'):>4}{each_seed(row.by_seed, '.1f')}"


def _study_differences(gains: pd.DataFrame, kind: str, target: str, groups: str) -> list[str]:
    """The lines of `comparisons.differences` for one kind and target."""
    rows = [row for row in gains.itertuples() if (row.kind, row.target) == (kind, target)]
    if not rows:
        return []
    most = max(row.seeds for row in rows)
    points = "points (each seed's)" if most > 1 else "points"
    lines = [f"  difference in {points}, 95 % interval over {covers(most, groups)}, paired by seed:"]
    seeds = [each_seed(row.by_seed, "+.1f") for row in rows]
    wide = max(max(len(row.method), len(row.control)) for row in rows)
    for row, each in zip(rows, _padded(seeds), strict=True):
        about = _about(row.seeds, row.tasks, _short(row.auxiliaries))
        lines.append(
            _difference(f"  {row.method:{wide}} - {row.control:{wide}}", row, each, row.verdict, about, width=5)
        )
    return [*lines, f"  {found_from([row.smallest for row in rows])}"]


def _padded(words: Sequence[str]) -> list[str]:
    """As wide as the widest."""
    width = max(map(len, words), default=0)
    return [f"{word:{width}}" for word in words]


def _short(auxiliaries: str) -> str:
    """The auxiliaries, or how many they are if they are many."""
    return auxiliaries if auxiliaries.count("+") < 3 else f"{auxiliaries.count('+') + 1} languages"


# A paper's table

TESTS = {"zero-shot": "zero-shot", "few-shot": "few-shot", "fine-tuned": "few-shot (one epoch on dev rows)"}
ASKED = {name: task.title for name, task in TASKS.items()} | {"qa": "questions"}
"""Short words for what is asked."""

_READING = (
    "Gains are paired by seed. Intervals (95 %) cover the choice of premises or passages, and of seeds if there are "
    "several; of many, some miss 0 by chance."
)


def title(found: pd.DataFrame) -> list[str]:
    """What a comparison is of, in two lines, and how to read it, in a third."""
    known = table(found["table"].iloc[0])
    ran = found[found["seeds"] > 0]
    seeds = int(ran["seeds"].max()) if len(ran) else 0
    worlds = ran[["scale", "data", "encoder", "overrides"]].drop_duplicates().itertuples(index=False)
    here = [f"{scale} scale, {', '.join(filter(None, others))}" for scale, *others in worlds]
    ours = f"Ours: {'; '.join(here) or 'nothing was run'}, {_seeds(seeds)}."
    theirs = f"{known.encoder}, as printed" if found["paper"].notna().any() else "not at hand"
    return [known.title, f"{ours} The paper's: {theirs}.", _READING]


def _seeds(count: int) -> str:
    return f"{count} {'seed' if count == 1 else 'seeds'}"


def blocks(found: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The parts of a comparison that are read together: a task, a metric, a kind of test; each with a heading."""
    parts = []
    for (task, metric, kind), part in found.groupby(["task", "metric", "kind"], sort=False):
        both = f"{ASKED[task]}, " if found["task"].nunique() > 1 else ""
        parts.append((f"{both}{TESTS[kind]}, {metric_of(task, metric).title}", part))
    return parts


def matrix(part: pd.DataFrame, value: str) -> pd.DataFrame:
    """A block in the paper's form: `value` ("paper", "ours", "sd", "by_seed", "paper_gain", "gain") by row and target.

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
        said += ["", *_matrix_lines(heading, part, known.shows == "gains")]
        for target, lines_of in part[part["over"] != ""].groupby("target", sort=False):
            said += ["", *_difference_lines(heading, target, lines_of)]
    return "\n".join([*said, "", *settings_text(name, scale(found)), *(f"- {note}" for note in set_otherwise(found))])


def set_otherwise(found: pd.DataFrame) -> list[str]:
    """A remark on what the runs have otherwise than the settings that are listed."""
    told = [each for each in found["overrides"].unique() if each]
    return [f"The runs of this table were made with {'; '.join(told)}, whatever the settings above say."] * bool(told)


def scale(found: pd.DataFrame) -> str:
    """The scale of a comparison's runs."""
    return found["scale"].iloc[0]


def _matrix_lines(heading: str, part: pd.DataFrame, gains: bool) -> list[str]:
    ours = matrix(part, "gain" if gains else "ours")
    shown = {" ours": ours} if gains else {"paper": matrix(part, "paper"), " ours": ours}
    width = max(map(len, ours.index)) + 2
    what = f"{heading}, gain over Baseline in points"
    if not gains:
        what = f"{heading} in %; the paper's above, ours below, and each seed's"
    said = [what, " " * (width + 7) + "".join(f"{code:>7}" for code in ours.columns)]
    for row in ours.index:
        if gains and row == "Baseline" and ours.loc[row].isna().all():
            continue
        for start, (label, values) in zip((row, ""), shown.items(), strict=False):
            numbers = "".join(f"{number(value, '+.2f' if gains else '.2f'):>7}" for value in values.loc[row])
            said.append(f"{start:{width}}{label}: {numbers}")
        said += [f"{'':{width + 7}}{line}" for line in _each_seed_lines(part, row)] if not gains else []
    return said


def _each_seed_lines(part: pd.DataFrame, row: str) -> list[str]:
    """Each seed's scores of a row, a line for each seed; of more than a few, the lowest and the highest."""
    seeds = list(matrix(part, "by_seed").loc[row])
    seeds = [(min(each), max(each)) if len(each) > _MANY else each for each in seeds]
    if max(map(len, seeds)) < 2:
        return []
    lines = zip_longest(*seeds, fillvalue=None)
    return ["".join(f"{number(value, '.1f', ''):>7}" for value in line) for line in lines]


def _difference_lines(heading: str, target: str, part: pd.DataFrame) -> list[str]:
    part = part[part["gain"].notna() | part["paper_gain"].notna()]
    names = [f"{row.row} − {row.over}" for row in part.itertuples()]
    width = max(map(len, names), default=0)
    where = "all targets together" if target == "all" else target
    said = [f"{where}, {heading}: difference in points, ours (each seed's) with its 95 % interval, paired by seed"]
    said += [f"  {'':{width}}   paper    ours"] if names else ["  nothing to compare"]
    seeds = [each_seed(row.gain_by_seed, "+.1f") for row in part.itertuples()]
    for name, row, each in zip(names, part.itertuples(), _padded(seeds), strict=True):
        start = f"  {name:{width}}  {number(row.paper_gain, '+.2f'):>6} "
        word = verdict(row.low, row.high, metric_of(row.task, row.metric))
        about = _about(row.paired, _seeds(row.paired) * (row.paired > 1), f"{row.rows:,} rows")
        said.append(_difference(start, row, each, word, about))
    found = found_from(part["smallest"])
    return [*said, f"  {found}"] if found else said


def settings_text(name: str, scale: str) -> list[str]:
    """The settings with their sources, and the remarks, as lines of text."""
    said = []
    for task, found in settings(name, scale):
        said += [f"Settings ({ASKED[task]}): at full scale, here, and where they are from"]
        for each in found:
            here = "" if scale == "full" else f"{each.here:26} "
            said.append(f"  {each.title:36} {each.full:10} {here}{each.origin}")
        said.append("")
    return [*said, "Remarks", *(f"- {note}" for note in table(name).remarks)]


def write_text(found: pd.DataFrame, path: Path) -> None:
    """Write `text`, whole or not at all."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text(found) + "\n", encoding="utf-8")


def write_csv(found: pd.DataFrame, path: Path) -> None:
    """Write a table in its long form, whole or not at all; each seed's values are one entry, "1.2 -0.3 0.8"."""
    several = [name for name in ("by_seed", "gain_by_seed") if name in found]
    words = {name: [" ".join(f"{value:.3f}" for value in values) for values in found[name]] for name in several}
    with whole_file(path) as unfinished:
        found.round(3).assign(**words).to_csv(unfinished, index=False, lineterminator="\n")


def picked(lines: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[float, float, float]]:
    """Of a stored table, which names method and control, the differences of these pairs with their intervals, by name.

    Cut the table down to one target and kind before. Raises InputError for a pair that it does not have once.
    """
    found = {}
    for method, control in pairs:
        line = lines[(lines["method"] == method) & (lines["control"] == control)]
        if len(line) != 1:
            raise InputError(f"The table has {len(line)} lines of {method} − {control}, where one is needed.")
        found[f"{method} − {control}"] = tuple(line[["gain", "low", "high"]].to_numpy(float)[0].tolist())
    return found
