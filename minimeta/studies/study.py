"""A study: a grid of runs on one machine or a cluster, one file for each, that can be stopped and started again.

The folder of a study holds `study.json` (what all runs share, and hashes of what they are made of, see `identity`),
`rows.json` (the test rows that were scored) and `cells/`, one record per training (see `recipes.run`). Tables come from
these files alone. `unfinished/` has the checkpoints of trainings that are going on, `failed/` what Python said where a
run broke off.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, first_line, some
from ..files import expanded, write_json
from ..inner import Learner
from ..text import identity
from ..text.corpora import texts_of
from ..threads import keep_freed_memory, processors
from . import devices, jobs, models, own, recipes
from .checkpoints import FREE
from .comparisons import record_of, rows_of_study, shared
from .grids import Run, merged
from .jobs import AtWork
from .methods import METHODS
from .world import OVERRIDES, World


class RunsFailed(InputError):
    """Some runs of a study failed; the others have been done."""


def run(
    runs: Sequence[Run],
    folder: str | Path,
    world: World,
    workers: int = 1,
    threads: int | None = None,
    progress: Callable[..., Iterable[Any]] = lambda finished, total: finished,
    save: str | Path | None = None,
) -> None:
    """Do what is not done yet of `runs`, `workers` at a time, each with so many `threads`.

    Without `threads` it is one for toy models and where there are several workers, else as many as there are
    processors, up to 4.

    `progress(finished, total=n)` wraps the runs as they are finished. Stopped at any moment and started again, the
    study ends with the same files, but for the times in them. `joblib.parallel_config` around the call chooses another
    engine (Dask, say). With `save`, a directory, each learner that was trained is kept there as a Hugging Face
    directory of the run's name; a run whose model is not there is done again.

    A run that fails, for whatever reason, does not stop the others; RunsFailed then names the first at the end, and
    what Python said is in the folder's `failed/`. Raises AtWork if another process is at work on the same folder, and
    InputError if it holds another study, or one whose encoder or texts have changed since.
    """
    from joblib import delayed

    folder, named, world, runs = Path(expanded(folder)), world.shared, world.located, merged(runs)
    threads = threads_of(threads, world.scale, workers)
    if workers < 1:
        raise InputError(f"The number of workers is {workers}; it must be 1 or more.")
    if not runs:
        raise InputError("The study has no run; name at least one method, target and seed.")
    ours = replace(world, device=None) if jobs.elsewhere() else world  # of this process, which only looks at the data
    made_of = _check(runs, ours)
    kept = models.located(save) if save else None
    trained = [each for each in runs if METHODS[each.cell.method].trains]
    made = {each.name: models.made_of(each.cell, each.seed, world.settings(each.cell), made_of) for each in trained}
    lacking = models.lacking(kept, made) if kept else ()
    folder.mkdir(parents=True, exist_ok=True)
    with jobs.alone(folder):
        named, made_of = _lay_out(runs, folder, world, named, made_of)
        rows = rows_of_study(folder)
        left = [missing for each in runs if (missing := _missing(each, folder, world, rows, lacking))]
        if world.cache:
            _keep_features(left, ours)
        shared_by_all = (folder.absolute(), world, named, made_of, threads, kept)
        tasks = {each.name: delayed(_one)(each, world.settings(each.cell), *shared_by_all) for each in left}
        failures = {name: said for name, said in progress(jobs.finished(tasks, workers), total=len(left)) if said}
        for empty in ("unfinished", "failed"):
            with suppress(OSError):  # there is none; or there is what runs that failed, or of another grid, have left
                (folder / empty).rmdir()
    if failures:
        (name, failure), *others = failures.items()
        many = f" ({len(failures)} of {len(left)} runs failed, the others have been kept" if len(left) > 1 else ""
        many += f"; {some([each for each, _ in others])} failed as well" if others else ""
        raise RunsFailed(f"{name}: {failure}" + (f"{many}.)" if many else ""))


def threads_of(given: int | None, scale: str, workers: int) -> int:
    """The threads of a run, the usual number where none is given; raises InputError for one below 1."""
    if given is not None:
        if given < 1:
            raise InputError(f"The number of threads is {given}; it must be 1 or more.")
        return given
    return 1 if scale == "toy" or workers > 1 else min(4, processors())


def remove_empty(folder: str | Path) -> None:
    """Remove what a study laid out in `folder` if nothing was trained, and the folder if nothing else is in it.

    What another process is at work on stays.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    with suppress(AtWork), jobs.alone(folder):
        if not any(any(folder.glob(kept)) for kept in ("cells/*.json", "unfinished/*/*", "failed/*")):
            for name in ("study.json", "rows.json", ".lock"):
                (folder / name).unlink(missing_ok=True)
        for directory in (*folder.glob("unfinished/*"), folder / "unfinished", folder / "cells", folder):
            with suppress(OSError):  # there is none, or other files are in it
                directory.rmdir()


def _check(runs: Sequence[Run], world: World) -> dict[str, Any]:
    """Check every run before the first one is trained; returns what they are made of."""
    for cell, targets, kinds in dict.fromkeys((each.cell, each.targets, each.kinds) for each in runs):
        recipes.check_cell(cell, targets, world.rows(), world.settings(cell), world.split, kinds)
    languages = {code for each in runs for code in each.languages}
    for how in {(settings.adapt, settings.max_length) for settings in (world.settings(each.cell) for each in runs)}:
        made_of = identity.made_of(world.features(*how), languages)
    return made_of


def _lay_out(
    runs: Sequence[Run], folder: Path, world: World, named: dict[str, Any], made_of: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Lay out the folder, or find it as it was laid out; returns what it says of the world and what that is made of."""
    targets = sorted({code for each in runs for code in each.targets})
    rows = {code: recipes.scored_rows(world.rows(), code, world.split) for code in targets}
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    if (folder / "study.json").exists():
        usual = OVERRIDES | {"tree": ""}
        found = usual | shared(folder)
        before = found.get("made_of")  # a study that is older than hashes is known by its names alone
        for key, value in (usual | named).items():
            if key in ("tree_by", "tree_from"):
                continue  # they say where the tree, and the levels that are in the settings of each run, are from
            place = key in ("corpus", "data", "encoder")
            if found.get(key) != value and not (place and (before or _same_place(found[key], value))):
                said = [_said(key, one) for one in (found.get(key), value)]
                what = "own settings" if key == "set" else key
                odd = f"the {what} {said[0]}, not {said[1]}" if said[0] != said[1] else f"another {what}"
                raise InputError(f"{folder} holds a study with {odd}; use another folder.")
        if before and (odd := identity.changes(before, made_of)):
            raise InputError(
                f"{folder} holds a study of other content: {' and '.join(odd)} ({named['encoder']}, {named['data']}) "
                "are not what its runs were made of; put back what was there, or use another folder."
            )
        kept = rows_of_study(folder)
        if any(kept.get(code, own) != own for code, own in rows.items()):
            raise InputError(f"{folder} holds a study of other test rows; use another folder.")
        rows = kept | rows
        named = {key: found.get(key, value) for key, value in named.items()}
        made_of = made_of | {"texts": (before or made_of)["texts"] | made_of["texts"]}
    write_json(folder / "rows.json", rows)
    write_json(folder / "study.json", named | {"made_of": made_of})
    return named, made_of


def _said(key: str, value: Any) -> str:
    """An entry of `study.json` in an error: a tree is cut where it is long; "none" is for nothing."""
    text = own.words(value) if key == "set" else "" if value is None else str(value)
    if key == "tree" and len(text) > 60:
        return f"{text[:60]} …"
    return text.removesuffix(";") or "none"


def _same_place(one: str, other: str) -> bool:
    """Do two names mean the same file or directory here?"""
    return Path(expanded(one)).resolve() == Path(expanded(other)).resolve()


def _keep_features(runs: Sequence[Run], world: World) -> None:
    """Put the trunk's output for all rows that runs may draw or are scored on into the cache."""
    blocks: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for each in runs:
        settings = world.settings(each.cell)
        if settings.adapt != "all":
            needed = [(code, "dev") for code in each.languages] + [(code, world.split) for code in each.targets]
            blocks.setdefault((settings.adapt, settings.max_length), []).extend(needed)
    if runs and not blocks:
        print("Nothing goes into the cache: all layers are adapted, so none is frozen.")
    for how, needed in blocks.items():
        world.features(*how).keep(needed)


def settings_of(record: dict[str, Any]) -> dict[str, Any]:
    """The settings of a record; what it does not say, since it is older, was what is still usual."""
    return {each.name: each.default for each in fields(recipes.Settings)} | record["settings"]


def _missing(
    each: Run, folder: Path, world: World, rows: dict[str, dict[str, Any]], lacking: Collection[str] = ()
) -> Run | None:
    """None if the run has its file, else what to run: with what is in its file already, if another grid wrote that.

    `rows` are those that the study scores, `lacking` names runs that are done again for their models. Raises InputError
    if its file is none, or was made with other settings.
    """
    path = folder / "cells" / f"{each.name}.json"
    if not path.exists():
        return each
    try:
        record = record_of(path, world.task, rows)
        if not isinstance(record.get("settings"), dict):
            raise InputError(f"{path} does not say with which settings it was run.")
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; move it away, and its run is done again.") from None
    if _fixed(settings_of(record)) != _fixed(asdict(world.settings(each.cell))):
        raise InputError(f"{path} was run with other settings than today's; move it away or use another folder.")
    done = record["results"]
    wanted = {kind for kind in each.cell.kinds if kind in each.kinds}
    if each.name not in lacking and all(wanted <= set(done.get(target, ())) for target in each.targets):
        return None
    return merged([each, *(Run(each.cell, each.seed, (target,), tuple(kinds)) for target, kinds in done.items())])[0]


def _fixed(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings but those that may change when a study goes on."""
    return {name: value for name, value in settings.items() if name not in FREE}


def _one(
    each: Run,
    settings: recipes.Settings,
    folder: Path,
    world: World,
    named: dict[str, Any],
    made_of: dict[str, Any],
    threads: int,
    kept: Path | None,
) -> tuple[str, str]:
    """Do one run, write its model to `kept` and its record; returns its name and, if it failed, why.

    `named` is what the study's folder says of the world.
    """
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()
    unfinished, trace = folder / "unfinished" / each.name, folder / "failed" / f"{each.name}.txt"
    try:
        features = world.features(settings.adapt, settings.max_length)
        if odd := identity.changes(made_of, identity.made_of(features, each.languages)):
            raise InputError(f"{' and '.join(odd)} changed while the study was going on; put back what was there.")
        told = {"encoder": named["encoder"], "device": devices.here(world.device), "threads": threads}

        def keep(learner: Learner, record: dict[str, Any]) -> None:
            if kept and METHODS[each.cell.method].trains:
                made = models.made_of(each.cell, each.seed, settings, made_of)
                single = texts_of(features.corpus) == ["premise"]
                models.keep(kept / each.name, learner, features.encoder, record | told, named, made, single)

        what = (each.cell, each.targets, features, settings, each.seed, each.kinds, unfinished, world.split, keep)
        record = recipes.run(*what) | told
        write_json(folder / "cells" / f"{each.name}.json", record)
    except InputError as error:
        return each.name, str(error)
    except OSError as error:
        return each.name, f"{error.strerror or error}: {error.filename or folder}."
    except Exception as error:  # also out of memory, on a processor or on a GPU
        said = f"{type(error).__name__}: {first_line(error, 'no more is said')}"
        with suppress(OSError):
            trace.parent.mkdir(exist_ok=True)
            trace.write_text(traceback.format_exc(), encoding="utf-8", errors="replace")
            said += f"; its trace is in {trace}"
        return each.name, f"{said}."
    trace.unlink(missing_ok=True)
    shutil.rmtree(unfinished, ignore_errors=True)
    return each.name, ""
