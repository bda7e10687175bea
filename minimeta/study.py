"""A study: a grid of runs on one machine or a cluster, one file for each, that can be stopped and started again.

The folder of a study holds `study.json` (what all runs share), `rows.json` (the test rows that were scored) and
`cells/`, one record per training (see `recipes.run`). Tables come from these files alone. `unfinished/` has the
checkpoints of trainings that are going on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import corpora, encoders, recipes
from .corpora import TASKS
from .episodes import columns
from .errors import InputError
from .files import data_directory, read_json, write_json
from .findings import shared
from .inner import check_chunk
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


OVERRIDES = {"first_order": False, "tasks_per_chunk": None, "bf16": False}
"""Settings that a study may have otherwise than the recipes, and what they are where its files do not say."""
TINY = {"nli": "tiny-encoder-nli", "qa": "tiny-encoder-qa"}


@dataclass(frozen=True)
class World:
    """What all runs of a study share: the scale, the corpus, the encoder, and the task ("nli" or "qa").

    At toy scale there is no need to name them: they are mini-NLI or mini-QA and the tiny encoder. `first_order`,
    `tasks_per_chunk` and `bf16` are those of all runs' settings (see `recipes.Settings`). `cache` is a directory for
    trunk features (see `features.Features`): numbers are the same without it.
    """

    scale: str = "toy"
    data: str | None = None
    encoder: str | None = None
    task: str = "nli"
    first_order: bool = False
    tasks_per_chunk: int | None = None
    bf16: bool = False
    cache: str | None = None

    def __post_init__(self) -> None:
        check_chunk(self.tasks_per_chunk)
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
    def overrides(self) -> dict[str, Any]:
        """The settings of all runs that are not those of the recipes."""
        return {name: value for name, usual in OVERRIDES.items() if (value := getattr(self, name)) != usual}

    @property
    def shared(self) -> dict[str, Any]:
        """What the folder of a study says about it."""
        data = self.data or {"nli": "mini-NLI", "qa": "mini-QA"}[self.task]
        named = {"scale": self.scale, "task": self.task, "data": data, "encoder": self.encoder or TINY[self.task]}
        return named | self.overrides

    @property
    def located(self) -> World:
        """The same with paths that are good in any working directory, a cluster's worker's for one."""
        paths = {name: getattr(self, name) for name in ("data", "encoder", "cache")}
        there = {name: str(Path(path).absolute()) for name, path in paths.items() if path and Path(path).exists()}
        return replace(self, **there)


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
    there, encoder = (folder.absolute(), world.located), world.shared["encoder"]
    failures = []
    for name, failure in progress(
        parallel(delayed(_one)(each, _settings(each, world), *there, encoder, threads) for each in left),
        total=len(left),
    ):
        if failure:
            failures.append(f"{name}: {failure}")
    with suppress(OSError):  # checkpoints of runs that failed, or of another grid, stay
        (folder / "unfinished").rmdir()
    if failures:
        many = f" ({len(failures)} of {len(left)} runs failed, the others have been kept.)" if len(left) > 1 else ""
        raise InputError(failures[0] + many)


@contextmanager
def engine(scheduler: str | None) -> Iterator[None]:
    """Studies run inside go to the Dask scheduler at this address (`tcp://host:8786`); None: to this machine.

    Its workers do the runs, as many at a time as they have threads, and must see the same files. Raises InputError if
    Dask is not installed or nobody answers.
    """
    if scheduler is None:
        yield
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise InputError("A scheduler needs Dask, which is not installed: pip install 'minimeta[cluster]'.") from None
    from joblib import parallel_config

    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(
            f"No Dask scheduler answers at {scheduler} ({reason}); start one with 'dask scheduler' and "
            "give its address."
        ) from None
    with client, parallel_config(backend="dask"):
        yield


def remove_empty(folder: str | Path) -> None:
    """Remove what a study laid out in `folder` if nothing was trained, and the folder if nothing else is in it."""
    folder = Path(folder)
    if any(folder.glob("cells/*.json")) or any(folder.glob("unfinished/*/*")):
        return
    for name in ("study.json", "rows.json"):
        (folder / name).unlink(missing_ok=True)
    for directory in (*folder.glob("unfinished/*"), folder / "unfinished", folder / "cells", folder):
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
        found = OVERRIDES | shared(folder)
        for key, value in (OVERRIDES | world.shared).items():
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
    if world.cache:
        _keep_features(runs, folder, world)


def _keep_features(runs: Sequence[Run], folder: Path, world: World) -> None:
    """Put the trunk's output for all rows that unfinished runs may draw or are scored on into the cache."""
    blocks: dict[tuple[Any, int], list[tuple[str, str]]] = {}
    for each in runs:
        settings = _settings(each, world)
        if settings.adapt == "all" or not _missing(each, folder, world):
            continue
        seen = each.cell.auxiliaries + (("en",) if METHODS[each.cell.method].support == "en" else ())
        needed = [(code, "dev") for code in (*seen, *each.targets)] + [(code, "test") for code in each.targets]
        blocks.setdefault((settings.adapt, settings.max_length), []).extend(needed)
    for how, needed in blocks.items():
        _features(world, *how).keep(needed)


def _settings(each: Run, world: World) -> recipes.Settings:
    return replace(recipes.settings_for(each.cell, world.scale, world.task), **world.overrides)


def settings_of(record: dict[str, Any]) -> dict[str, Any]:
    """The settings of a record; what it does not say, since it is older, was what is still usual."""
    return {each.name: each.default for each in fields(recipes.Settings)} | record["settings"]


def _missing(each: Run, folder: Path, world: World) -> Run | None:
    """None if the run has its file, else what to run: with what is in its file already, if another grid wrote that.

    Raises InputError if its file was made with other settings.
    """
    path = folder / "cells" / f"{each.name}.json"
    if not path.exists():
        return each
    record = read_json(path)
    if settings_of(record) != asdict(_settings(each, world)):
        raise InputError(f"{path} was run with other settings than today's; move it away or use another folder.")
    done = record["results"]
    wanted = {kind for kind in each.cell.kinds if kind in each.kinds}
    if all(wanted <= set(done.get(target, ())) for target in each.targets):
        return None
    return merged([each, *(Run(each.cell, each.seed, (target,), tuple(kinds)) for target, kinds in done.items())])[0]


def _one(
    each: Run, settings: recipes.Settings, folder: Path, world: World, encoder: str, threads: int
) -> tuple[str, str]:
    """Do one run and write its record, with `encoder` as its name for it; returns its name and, if it failed, why."""
    import torch

    torch.set_num_threads(threads)
    try:
        features = _features(world, settings.adapt, settings.max_length)
        unfinished = folder / "unfinished" / each.name
        record = recipes.run(each.cell, each.targets, features, settings, each.seed, each.kinds, folder=unfinished)
        record |= {"encoder": encoder, "device": _device(), "threads": threads}
        write_json(folder / "cells" / f"{each.name}.json", record)
    except InputError as error:
        return each.name, str(error)
    except OSError as error:
        return each.name, f"{error.strerror or error}: {error.filename or folder}."
    shutil.rmtree(unfinished, ignore_errors=True)
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
    encoder = load(name, adapt, max_length, bf16=world.bf16).to(_device())
    return encoder.features(_corpus(world.task, world.data), world.cache)


def tested(data: str | None = None, task: str = "nli") -> list[str]:
    """The languages of a corpus (None: the project's own) that have test rows, in the order of XNLI's list."""
    known = columns(_corpus(task, data))
    there = set(known["language"][known["split"] == "test"])
    return [code for code in LANGUAGES if code in there]
