"""What all runs of a study share: its scale, its corpus and its encoder, and both of them read once in each process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InputError
from ..files import data_directory, expanded
from ..inner import check_chunk
from ..text import encoders, phrases
from ..text.corpora import TASKS, Corpus, archives, corpus_of
from ..text.episodes import columns
from ..text.features import Features
from ..text.languages import ordered
from .checkpoints import FREE
from .methods import Cell
from .recipes import Settings, check_scale, settings_for

if TYPE_CHECKING:
    from datasets import Dataset

OVERRIDES = {"first_order": False, "bf16": False}
"""Settings that a study may have otherwise than the recipes, and what they are where its files do not say."""


@dataclass(frozen=True)
class World:
    """What all runs of a study share: the scale, the corpus, the encoder, and the task ("nli" or "qa").

    At toy scale there is no need to name them: they are mini-NLI or mini-QA and the tiny encoder. `first_order`,
    `tasks_per_chunk` and `bf16` are those of all runs' settings (see `recipes.Settings`). `cache` is a directory for
    trunk features (see `features.Features`): numbers are the same without it, and with any `tasks_per_chunk`.
    `columns` are (our name, theirs) where a corpus of the user's own calls a column otherwise (see `own.COLUMNS`).
    """

    scale: str = "toy"
    data: str | None = None
    encoder: str | None = None
    task: str = "nli"
    first_order: bool = False
    tasks_per_chunk: int | None = None
    bf16: bool = False
    cache: str | None = None
    columns: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_chunk(self.tasks_per_chunk)
        if self.task not in TASKS:
            raise InputError(f"Unknown task {self.task!r}; the tasks are {', '.join(TASKS)}.")
        own = self.scale == "toy" and not self.data
        if not own and not (self.data and self.encoder):
            raise InputError(
                f"There is no corpus or encoder to use at {self.scale} scale: name them with --data DIR "
                f"({archives(self.task)}, or your own rows) and --encoder DIR (a BERT or XLM-R fine-tuned on English "
                f"{TASKS[self.task].title})."
            )

    @property
    def corpus(self) -> Corpus:
        """The entry of `corpora.CORPORA` that `data` is read as, or one made for the user's own rows."""
        return corpus_of(self.task, self.data, self.columns)

    @property
    def matched(self) -> str:
        """How the encoder's classes are matched to the corpus's, in words; "" where there are none."""
        classes = self.corpus.classes
        return encoders.matched(str(self.encoder or self._tiny), classes) if classes else ""

    @property
    def shared(self) -> dict[str, Any]:
        """What the folder of a study says about it; data and encoder by the names that they were given."""
        found = {"scale": self.scale, "task": self.task, "corpus": self.corpus.name}
        found |= {"data": self.data or self.corpus.name, "encoder": self.encoder or self._tiny.name}
        found |= {"columns": dict(self.columns)} if self.columns else {}
        return found | {name: value for name, usual in OVERRIDES.items() if (value := getattr(self, name)) != usual}

    @property
    def located(self) -> World:
        """The same with paths that are good in any working directory, a cluster's worker's for one."""
        given = {name: path for name in ("data", "encoder", "cache") if (path := getattr(self, name))}
        paths = {name: Path(expanded(path)) for name, path in given.items()}
        there = {name: str(path.resolve()) for name, path in paths.items() if path.exists() or name == "cache"}
        return replace(self, **there)

    def settings(self, cell: Cell) -> Settings:
        """The settings of a cell's runs here."""
        usual = OVERRIDES | dict.fromkeys(FREE)
        given = {name: value for name in usual if (value := getattr(self, name)) != usual[name]}
        return replace(settings_for(cell, self.scale, self.task), **given)

    def rows(self) -> Dataset:
        """The rows of the corpus, which are read again when a file of it has changed."""
        return _rows(self.corpus, self.data, self._data_stamp())

    def tested(self) -> list[str]:
        """The languages that have test rows, in their order."""
        known = columns(self.located.rows())
        return list(ordered(known["language"][known["split"] == "test"]))

    def features(self, adapt: str, max_length: int) -> Features:
        """The rows as batches, kept from run to run unless a file has changed: trunk features are costly."""
        return _features(self, adapt, max_length, _stamp(self.encoder or self._tiny), self._data_stamp())

    @property
    def _tiny(self) -> Path:
        return data_directory() / f"tiny-encoder-{self.task}"

    def _data_stamp(self) -> tuple[tuple[str, int, int], ...]:
        return _stamp(self.data or data_directory() / "mini", self.corpus.archive)


def device() -> str:
    """Where encoders compute: on a GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=1)
def _rows(corpus: Corpus, data: str | None, stamp: object) -> Dataset:
    phrases.table.cache_clear()  # the mini world's tables, which are read once
    return corpus.read(data)


@lru_cache(maxsize=2)
def _features(world: World, adapt: str, max_length: int, *stamps: object) -> Features:
    classes = world.corpus.classes
    load = partial(encoders.nli, classes=classes) if classes else encoders.qa
    encoder = load(world.encoder or world._tiny, adapt, max_length, bf16=world.bf16).to(device())
    return encoder.features(world.rows(), world.cache)


def _stamp(path: str | Path, folder: str = "") -> tuple[tuple[str, int, int], ...]:
    """Files at a path, with those in `folder` there, their sizes and times, to see a change; () for a hub's name."""
    path = Path(path)
    inside = (path.glob("*"), path.glob("*/*.json"), path.glob("*/*.tsv"), (path / folder).rglob("*"))
    files: Iterable[Path] = {path, *(file for found in inside for file in found)}
    return tuple(sorted((str(file), (at := file.stat()).st_size, at.st_mtime_ns) for file in files if file.is_file()))
