"""Choosing rates: every method tries the same inner and outer ones, scored on held-out dev rows of other languages.

Each pair of rates is a study in a folder of its own (see `study.run`), so a search can be stopped and goes on. Held-out
rows are in no training (`corpora.hold_out`), and the languages that are scored are neither auxiliaries nor targets. The
best pair of a method has the best score over all of these languages and all tests, and where that is a tie, the lower
rates; pairs that cannot be told from it are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..files import expanded, whole_file
from ..text.corpora import TASKS
from ..text.languages import PHYLOGENY, check
from ..text.metrics import METRICS, Metric
from . import own
from .comparisons import Results, cell_of, counted, load
from .grids import Run
from .intervals import paired_difference
from .methods import METHODS, cells
from .world import World

if TYPE_CHECKING:
    import pandas as pd


class Rates(NamedTuple):
    """An inner and an outer rate."""

    inner: float
    outer: float

    @property
    def name(self) -> str:
        """The name of the folder of their study."""
        return f"inner-{self.inner}-outer-{self.outer}"


@dataclass(frozen=True)
class Search:
    """The runs to choose rates by, each with every pair of `inner` and `outer` that may change it; both are sorted."""

    runs: tuple[Run, ...]
    inner: tuple[float, ...]
    outer: tuple[float, ...]

    @property
    def studies(self) -> dict[Rates, list[Run]]:
        """The runs of each pair of rates."""
        pairs = [Rates(*pair) for pair in product(self.inner, self.outer)]
        return {pair: [each for each in self.runs if self.done_with(each, pair) == pair] for pair in pairs}

    def done_with(self, each: Run, rates: Rates) -> Rates:
        """The rates of the run that shows what these do: where one changes nothing, the lowest one stands for all."""
        inner = rates.inner if _inner_counts(each) else self.inner[0]
        return Rates(inner, rates.outer if METHODS[each.cell.method].trains else self.outer[0])

    def of_method(self, name: str) -> tuple[list[Run], list[Rates]]:
        """The runs of a method, and the pairs of rates that it tries."""
        mine = [each for each in self.runs if each.cell.method == name]
        pairs = (Rates(*pair) for pair in product(self.inner, self.outer))
        return mine, [pair for pair in pairs if any(self.done_with(each, pair) == pair for each in mine)]


def _inner_counts(each: Run) -> bool:
    """Does a run take inner steps, in training or when it is tested?"""
    return METHODS[each.cell.method].support is not None or "few-shot" in each.kinds


def search(
    methods: Sequence[str],
    on: Sequence[str],
    inner: Iterable[float],
    outer: Iterable[float],
    seeds: Iterable[int],
    targets: Sequence[str] = (),
    auxiliaries: Sequence[str] = (),
    known: Sequence[str] = PHYLOGENY.leaves,
) -> Search:
    """What to run to choose rates for these methods on the languages `on`; no row of the `targets` is looked at.

    Without `auxiliaries` they are taken from the languages that are `known`, see `methods.cells`.

    The Baseline is not trained and has no outer rate; without inner steps in training, an inner rate matters in
    few-shot tests alone. Fine-tuning is a test of methods that have no other one. Raises InputError for languages that
    would be seen twice, for rates that are none, and for a method that has none to choose.
    """
    on, targets, auxiliaries = (tuple(dict.fromkeys(check(codes))) for codes in (on, targets, auxiliaries))
    for others, what in ((targets, "a target"), (auxiliaries, "an auxiliary language")):
        if both := [code for code in on if code in others]:
            raise InputError(
                f"Rates cannot be chosen on {both[0]}, which is {what}; choose them on languages that are neither."
            )
    runs, seeds = [], list(seeds)
    for cell in cells(methods, (*on, *targets), auxiliaries, known):
        kinds = tuple(kind for kind in cell.kinds if kind != "fine-tuned") or cell.kinds
        own_on = on if cell.target is None else (cell.target,)
        run = Run(cell, 0, own_on, kinds)
        if cell.target not in targets and (METHODS[cell.method].trains or _inner_counts(run)):
            runs += [replace(run, seed=seed) for seed in seeds]
    there = {each.cell.method for each in runs}
    if lacking := [name for name in methods if name not in there]:
        raise InputError(f"{METHODS[lacking[0]].title} has no rate that changes its tests here; leave it out.")
    return Search(tuple(runs), _rates(inner, "inner"), _rates(outer, "outer"))


def _rates(given: Iterable[float], which: str) -> tuple[float, ...]:
    for rate in (given := tuple(given)):
        own.own({f"{which}_rate": rate})  # it says what is wrong with a rate
    if not given:
        raise InputError(f"No {which} rate is given; name at least one with --{which}.")
    return tuple(sorted({float(rate) for rate in given}))


def world_with(world: World, rates: Rates) -> World:
    """The world of the runs with these rates; raises InputError if its own settings have other ones."""
    if odd := [name for _, name, _ in world.own if name in ("inner_rate", "outer_rate")]:
        raise InputError(f"{odd[0]} is what is to be chosen; leave it out of --set and --settings.")
    given = {"inner_rate": rates.inner, "outer_rate": rates.outer}
    return replace(world, own=own.own(world.set | given), split="held-out")


def compare(folder: str | Path, asked: Search) -> pd.DataFrame:
    """What the runs in `folder` found, as far as they have come: a line for each method and pair of rates.

    `score` is the mean over `seeds`, in percent, of the first metric of the task on the `rows` of all languages and
    tests together, `sd` its standard deviation; NaN where runs are lacking. Once a method has all of its runs, `best`
    marks the pair that is chosen; the others are `behind` it by so many points, from `low` to `high` (95 %, over
    premises or passages and seeds), and `level` with it if that interval holds 0. A rate that the method
    does not have is NaN.
    """
    import pandas as pd

    folder, parts = Path(expanded(folder)), {}
    for pair in asked.studies:
        if (folder / pair.name / "study.json").exists():
            parts[pair] = load(folder / pair.name)
    lines = []
    for name in dict.fromkeys(each.cell.method for each in asked.runs):
        runs, pairs = asked.of_method(name)
        counts = {pair: _counts([(parts.get(asked.done_with(each, pair)), each) for each in runs]) for pair in pairs}
        has = (any(map(_inner_counts, runs)), METHODS[name].trains)
        lines += _lines(name, counts, has, METRICS[next(iter(parts.values())).task][0] if parts else None)
    return pd.DataFrame(lines)


def _counts(runs: Sequence[tuple[Results | None, Run]]) -> tuple[np.ndarray, list[str]] | None:
    """What each row counts in all tests of these runs, (seeds, rows, ...), and its premise or passage."""
    by_seed: dict[int, list[np.ndarray]] = {}
    groups: dict[int, list[str]] = {}
    for part, each in runs:
        record = _record(part, each) if part else None
        if part is None or record is None:
            return None
        metric = METRICS[part.task][0]
        for target, kind in product(each.targets, each.kinds):
            by_seed.setdefault(each.seed, []).append(counted(part, record, target, kind, metric))
            groups.setdefault(each.seed, []).extend(part.rows[target][TASKS[part.task].group])
    return np.stack([np.concatenate(found) for found in by_seed.values()]).astype(float), next(iter(groups.values()))


def _record(part: Results, each: Run) -> dict[str, Any] | None:
    """The record of a run, if all of its tests are in it."""
    for record in part.records:
        if (cell_of(record), record["seed"]) == (each.cell, each.seed):
            tests = record["results"]
            return record if all(set(each.kinds) <= set(tests.get(code, ())) for code in each.targets) else None
    return None


def _lines(
    name: str,
    counts: dict[Rates, tuple[np.ndarray, list[str]] | None],
    has: tuple[bool, bool],
    metric: Metric | None,
) -> list[dict[str, Any]]:
    """The lines of `compare` about one method; `has` says whether it has an inner and an outer rate."""
    lines: list[dict[str, Any]] = []
    for pair, found in counts.items():
        inner, outer = (rate if there else np.nan for rate, there in zip(pair, has, strict=True))
        line = {"method": name, "inner_rate": inner, "outer_rate": outer}
        line |= {"score": np.nan, "sd": np.nan, "seeds": 0, "rows": 0}
        if found:
            each = _of_seeds(found[0], metric)
            sd = each.std(ddof=1) if len(each) > 1 else np.nan
            line |= {"score": each.mean(), "sd": sd, "seeds": len(each), "rows": len(found[1])}
        lines.append(line | {"best": False, "behind": np.nan, "low": np.nan, "high": np.nan, "level": False})
    if all(counts.values()):
        sign = -1 if metric.lower_is_better else 1
        place = min(range(len(lines)), key=lambda i: (round(-sign * lines[i]["score"], 6), i))  # pairs are in order
        best, groups = list(counts.values())[place]
        for i, (line, (own_counts, _)) in enumerate(zip(lines, counts.values(), strict=True)):
            difference = paired_difference(best, own_counts, groups, of_means=metric.of_means)
            behind, *ends = (sign * each for each in difference)
            low, high = sorted(ends)
            line |= {"best": i == place, "behind": behind, "low": low, "high": high}
            line["level"] = i != place and not low > 0
    return lines


def _of_seeds(counts: np.ndarray, metric: Metric) -> np.ndarray:
    """The score of each seed in percent, from what rows count, (seeds, rows, ...)."""
    means = counts.mean(1)
    return 100 * (metric.of_means(means) if metric.of_means else means)


def text(found: pd.DataFrame) -> str:
    """The scores of each method by its rates, the pair that is chosen, and how sure that is."""
    said = []
    for name, part in found.groupby("method", sort=False):
        said += ["", METHODS[str(name)].title]
        inner, outer = (list(dict.fromkeys(part[which].fillna(0))) for which in ("inner_rate", "outer_rate"))
        lines = {
            (row.inner_rate, row.outer_rate): row
            for row in part.fillna({"inner_rate": 0, "outer_rate": 0}).itertuples()
        }
        said += [f"  {'inner / outer':14}" + "".join(f"{_rate(rate):>18}" for rate in outer)]
        for rate in inner:
            said += [f"  {_rate(rate):14}" + "".join(f"{_cell(lines[rate, other]):>18}" for other in outer)]
        said += [f"  {each}" for each in remarks(part)]
    return "\n".join(said[1:])


def _rate(rate: float) -> str:
    return f"{rate:g}" if rate > 0 else "–"


def _cell(row: Any) -> str:
    if not row.seeds:
        return "–   "
    sd = "" if np.isnan(row.sd) else f" ± {row.sd:.2f}"
    return f"{row.score:.2f}{sd} {'*' if row.best else '=' if row.level else ' '}"


def remarks(part: pd.DataFrame) -> list[str]:
    """What is to be said of one method's choice, in sentences."""
    if not part["best"].any():
        return [f"Not chosen yet: {(part['seeds'] == 0).sum()} of {len(part)} pairs of rates lack runs."]
    best, others = part[part["best"]].iloc[0], part[~part["best"]]
    chosen = [f"{which} {best[f'{which}_rate']:g}" for which in Rates._fields if best[f"{which}_rate"] > 0]
    said = [f"Chosen (*): {', '.join(chosen)}."]
    if ties := int((others["behind"].abs() < 5e-7).sum()):
        said.append(f"A tie: {ties} more with the same score; the lowest rates were taken.")
    level = int(others["level"].sum())
    if len(others) and level == len(others):
        said.append("A flat top: no pair can be told from it on these rows, so these rates are as good as any here.")
    elif level:
        said.append(f"{level} of the {len(others)} others cannot be told from it on these rows (=).")
    for which in Rates._fields:
        tried = part[f"{which}_rate"]
        if tried.nunique() > 1 and best[f"{which}_rate"] in (tried.min(), tried.max()):
            end, further = ("lowest", "lower") if best[f"{which}_rate"] == tried.min() else ("highest", "higher")
            said.append(f"Its {which} rate is the {end} that was tried; {further} ones may be better.")
    return said


def write(found: pd.DataFrame, folder: str | Path, about: str) -> list[Path]:
    """Write the scores to rates.csv in `folder` and, once all are chosen, the rates to rates.toml for `--settings`.

    `about` is what the TOML file says of itself. Each file is written whole or not at all; returns their paths.
    """
    folder, best = Path(folder), found[found["best"]]
    paths = [folder / "rates.csv"]
    with whole_file(paths[0]) as unfinished:
        found.to_csv(unfinished, index=False, lineterminator="\n", float_format="%.6g")
    if set(best["method"]) == set(found["method"]):
        chosen = {
            row["method"]: {name: row[name] for name in ("inner_rate", "outer_rate") if row[name] > 0}
            for row in best.to_dict("records")
        }
        paths.append(folder / "rates.toml")
        with whole_file(paths[1]) as unfinished:
            unfinished.write_text(f"# {' '.join(about.split())}\n{own.toml(own.own(chosen))}", encoding="utf-8")
    return paths
