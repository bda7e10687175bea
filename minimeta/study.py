"""A study: a grid of runs on one machine or a cluster, one file for each, that can be stopped and started again.

The folder of a study holds `study.json` (what all runs share), `rows.json` (the test rows that were scored) and
`cells/`, one record per training (see `recipes.run`). Tables come from these files alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import corpora, encoders, recipes
from .corpora import TASKS
from .episodes import columns
from .errors import InputError
from .files import data_directory, read_json, write_json
from .findings import shared
from .languages import LANGUAGES
from .recipes import KINDS, METHODS, Cell


@dataclass(frozen=True)
class Run:
    """One training and its tests: a cell, a seed, the target languages to score it on, and in which `KINDS`."""

    cell: Cell
    seed: int
    targets: tuple[str, ...]
    kinds: tuple[str, ...] = tuple(KINDS)

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.cell.name} seed {self.seed}".replace(" ", "-")


TINY = {"nli": "tiny-encoder-nli", "qa": "tiny-encoder-qa"}


@dataclass(frozen=True)
class World:
    """What all runs of a study share: the scale, the corpus, the encoder, and the task ("nli" or "qa").

    At toy scale there is no need to name them: they are mini-NLI or mini-QA and the tiny encoder.
    """

    scale: str = "toy"
    data: str | None = None
    encoder: str | None = None
    task: str = "nli"

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InputError(f"Unknown task {self.task!r}; the tasks are {', '.join(TASKS)}.")
        own = self.scale == "toy" and not self.data
        if not own and not (self.data and self.encoder):
            archive = {"nli": "XNLI-1.0.zip", "qa": "MLQA_V1.zip"}[self.task]
            raise InputError(
                f"There is no corpus or encoder to use at {self.scale} scale: name them with --data DIR "
                f"({archive}) and --encoder DIR (a BERT or XLM-R fine-tuned on English {TASKS[self.task]})."
            )

    @property
    def shared(self) -> dict[str, str]:
        """What the folder of a study says about it."""
        data = self.data or {"nli": "mini-NLI", "qa": "mini-QA"}[self.task]
        return {"scale": self.scale, "task": self.task, "data": data, "encoder": self.encoder or TINY[self.task]}


def leave_one_out(methods: Sequence[str], targets: Sequence[str], seeds: Iterable[int]) -> list[Run]:
    """Each target left out in turn, all other languages of the phylogeny auxiliary (TreeMAML, Table 1)."""
    return merged(
        Run(cell, seed, (target,)) for seed in seeds for target in targets for cell in recipes.cells(methods, [target])
    )


def transfer(
    methods: Sequence[str], auxiliaries: Sequence[str | Sequence[str]], targets: Sequence[str], seeds: Iterable[int]
) -> list[Run]:
    """Each auxiliary (or pair) in turn, scored on every target that it may be (XLA-MAML, Table 3 and Figure 2).

    Methods are left out where they do not go: XLA-MAML with en or with a pair, the bi-pair with one language.
    """
    support = {name: METHODS[name].support if name in METHODS else None for name in methods}
    runs = []
    for seed in seeds:
        for auxiliary in auxiliaries:
            given = (auxiliary,) if isinstance(auxiliary, str) else tuple(auxiliary)
            others = [code for code in targets if code not in given]
            able = [
                name
                for name in methods
                if not (support[name] == "en" and (len(given) > 1 or "en" in given))
                and not (support[name] == "other" and len(given) != 2)
            ]
            for cell in recipes.cells(able, [code for code in others if code != "en"], given) if able else []:
                runs.append(Run(cell, seed, recipes.scored_on(cell, others)))
    return merged(run for run in runs if run.targets)


def merged(runs: Iterable[Run]) -> list[Run]:
    """One run for each cell and seed, with the targets and the tests of all that were given."""
    found: dict[tuple[Cell, int], Run] = {}
    for each in runs:
        before = found.get((each.cell, each.seed), each)
        targets = tuple(code for code in LANGUAGES if code in before.targets + each.targets)
        kinds = tuple(kind for kind in KINDS if kind in before.kinds + each.kinds)
        found[each.cell, each.seed] = Run(each.cell, each.seed, targets, kinds)
    return list(found.values())


def run(
    runs: Sequence[Run],
    folder: str | Path,
    world: World,
    workers: int = 1,
    threads: int | None = None,
    progress: Callable[..., Iterable[Any]] = lambda finished, total: finished,
) -> None:
    """Do what is not done yet of `runs`, `workers` at a time, each with so many `threads`.

    Without `threads` it is one for toy models and where there are several workers, else as many as there are
    processors, up to 4.

    `progress(finished, total=n)` wraps the runs as they are finished. Stopped at any moment and started again, the
    study ends with the same files, but for the times in them. A run that fails does not stop the others; InputError
    then names the first. `joblib.parallel_config` around the call chooses another engine (Dask, say).
    """
    from joblib import Parallel, delayed

    folder, runs = Path(folder), merged(runs)
    if workers < 1:
        raise InputError(f"The number of workers is {workers}; it must be 1 or more.")
    if not runs:
        raise InputError("The study has no run; name at least one method, target and seed.")
    _prepare(runs, folder, world)
    left = [missing for each in runs if (missing := _missing(each, folder, world))]
    if threads is None:
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4
        threads = 1 if world.scale == "toy" or workers > 1 else min(4, available)
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered")
    failures = []
    for name, failure in progress(
        parallel(delayed(_one)(each, _settings(each, world), folder, world, threads) for each in left),
        total=len(left),
    ):
        if failure:
            failures.append(f"{name}: {failure}")
    if failures:
        many = f" ({len(failures)} of {len(left)} runs failed, the others have been kept.)" if len(left) > 1 else ""
        raise InputError(failures[0] + many)


def remove_empty(folder: str | Path) -> None:
    """Remove what a study laid out in `folder` if no run was finished, and the folder if nothing else is in it."""
    folder = Path(folder)
    if any(folder.glob("cells/*.json")):
        return
    for name in ("study.json", "rows.json"):
        (folder / name).unlink(missing_ok=True)
    for directory in (folder / "cells", folder):
        with suppress(OSError):  # there is none, or other files are in it
            directory.rmdir()


def _prepare(runs: Sequence[Run], folder: Path, world: World) -> None:
    """Check every run before the first one is trained, and lay out the folder, or find it as it was laid out."""
    corpus = _corpus(world.task, world.data)
    for cell, targets in dict.fromkeys((each.cell, each.targets) for each in runs):
        recipes.check_cell(cell, targets, corpus, recipes.settings_for(cell, world.scale, world.task))
    for each in {(s.adapt, s.max_length) for s in (_settings(each, world) for each in runs)}:
        _features(world, *each)
    rows = {
        code: recipes.scored_rows(corpus, code) for code in sorted({code for each in runs for code in each.targets})
    }
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    if (folder / "study.json").exists():
        found = shared(folder)
        for key, value in world.shared.items():
            if found[key] != value:
                raise InputError(
                    f"{folder} holds a study with the {key} {found[key]}, not {value}; use another folder."
                )
        kept = read_json(folder / "rows.json") if (folder / "rows.json").exists() else {}
        if any(kept.get(code, own) != own for code, own in rows.items()):
            raise InputError(f"{folder} holds a study of other test rows; use another folder.")
        rows = kept | rows
    write_json(folder / "rows.json", rows)
    write_json(folder / "study.json", world.shared)


def _settings(each: Run, world: World) -> recipes.Settings:
    return recipes.settings_for(each.cell, world.scale, world.task)


def _missing(each: Run, folder: Path, world: World) -> Run | None:
    """None if the run has its file, else what to run: with what is in its file already, if another grid wrote that.

    Raises InputError if its file was made with other settings.
    """
    path = folder / "cells" / f"{each.name}.json"
    if not path.exists():
        return each
    record = read_json(path)
    if record["settings"] != asdict(_settings(each, world)):
        raise InputError(f"{path} was run with other settings than today's; move it away or use another folder.")
    done = record["results"]
    wanted = {kind for kind in each.cell.kinds if kind in each.kinds}
    if all(wanted <= set(done.get(target, ())) for target in each.targets):
        return None
    return merged([each, *(Run(each.cell, each.seed, (target,), tuple(kinds)) for target, kinds in done.items())])[0]


def _one(each: Run, settings: recipes.Settings, folder: Path, world: World, threads: int) -> tuple[str, str]:
    """Do one run and write its record; returns its name and, if it failed, why."""
    import torch

    torch.set_num_threads(threads)
    try:
        features = _features(world, settings.adapt, settings.max_length)
        record = recipes.run(each.cell, each.targets, features, settings, each.seed, each.kinds)
    except InputError as error:
        return each.name, str(error)
    record |= {"encoder": world.shared["encoder"], "device": _device(), "threads": threads}
    write_json(folder / "cells" / f"{each.name}.json", record)
    return each.name, ""


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=1)
def _corpus(task: str, data: str | None) -> Any:
    return {"nli": corpora.nli, "qa": corpora.qa}[task](data)


@lru_cache(maxsize=2)
def _features(world: World, adapt: Any, max_length: int) -> encoders.Features:
    """Kept in each worker from run to run: trunk features are costly."""
    load = {"nli": encoders.nli, "qa": encoders.qa}[world.task]
    name = world.encoder or data_directory() / TINY[world.task]
    return load(name, adapt, max_length).to(_device()).features(_corpus(world.task, world.data))


def tested(data: str | None = None, task: str = "nli") -> list[str]:
    """The languages of a corpus (None: the project's own) that have test rows, in the order of XNLI's list."""
    known = columns(_corpus(task, data))
    there = set(known["language"][known["split"] == "test"])
    return [code for code in LANGUAGES if code in there]
