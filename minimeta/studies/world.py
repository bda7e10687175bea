"""What all runs of a study share: its scale, its corpus and its encoder, and both of them read once in each process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import data_directory, expanded
from ..inner import check_chunk
from ..text import encoders, phrases
from ..text.corpora import TASKS, Corpus, archives, corpus_of
from ..text.episodes import columns
from ..text.features import Features
from ..text.languages import PHYLOGENY, XNLI, ordered
from ..trees import TaskTree
from . import devices
from .methods import METHODS, Cell
from .own import SWITCHES, Own, nested, of_method, own
from .recipes import Settings, check_scale, settings_for

if TYPE_CHECKING:
    from datasets import Dataset

    from .sources import Source

OVERRIDES: dict[str, Any] = {"first_order": False, "bf16": False, "set": {}, "split": "test"}
"""What a study may have otherwise than the recipes, and what it is where its files do not say."""


@dataclass(frozen=True)
class World:
    """What all runs of a study share: the scale, the corpus, the encoder, and the task ("nli" or "qa").

    At toy scale there is no need to name them: they are mini-NLI or mini-QA and the tiny encoder. `first_order`,
    `tasks_per_chunk` and `bf16` are those of all runs' settings (see `recipes.Settings`). `cache` is a directory for
    trunk features (see `features.Features`): numbers are the same without it, and with any `tasks_per_chunk`. `own` are
    settings of one's own in place of the recipes', as `own.own` takes or gives them. `device` is where encoders compute
    (see `devices.here`), `split` the rows that are scored: "held-out" ones are for choosing rates. `columns` are (our
    name, theirs) where a corpus of the user's own calls a column otherwise (see `text.own.COLUMNS`).

    `tree` is followed in place of the papers' phylogeny, brought to as many levels as there are inner steps (`tree_by`,
    see `TaskTree.levels`); `tree_from` says where it is from.
    """

    scale: str = "toy"
    data: str | None = None
    encoder: str | None = None
    task: str = "nli"
    first_order: bool = False
    tasks_per_chunk: int | None = None
    bf16: bool = False
    cache: str | None = None
    own: Mapping[str, Any] | Own = ()
    device: str | None = None
    split: str = "test"
    columns: tuple[tuple[str, str], ...] = ()
    tree: TaskTree | None = None
    tree_by: str = "depth"
    tree_from: str = ""

    def __post_init__(self) -> None:
        check_scale(self.scale)
        devices.check(self.device)
        if self.split not in ("test", "held-out"):
            raise InputError(f"Unknown split {self.split!r}; score test or held-out rows.")
        self._take_own()
        check_chunk(self.tasks_per_chunk)
        if self.task not in TASKS:
            raise InputError(f"Unknown task {self.task!r}; the tasks are {', '.join(TASKS)}.")
        own = self.scale == "toy" and not self.data
        lacking = [what for what, given in (("corpus", self.data), ("encoder", self.encoder)) if not given]
        if not own and lacking:
            raise InputError(
                f"There is no {' or '.join(lacking)} to use at {self.scale} scale: name both with --data DIR "
                f"({archives(self.task)}, or your own rows) and --encoder DIR (a BERT or XLM-R fine-tuned on English "
                f"{TASKS[self.task].title})."
            )

    def _take_own(self) -> None:
        """Check the settings of one's own, and let those that have a field here be that field's value."""
        settings = self.own if isinstance(self.own, tuple) else own(self.own)
        for name, value in of_method(settings, "").items():
            if name in SWITCHES:
                said, usual = getattr(self, name), World.__dataclass_fields__[name].default
                if said not in (usual, value):
                    raise InputError(f"{name} is {said} by its option and {value} by --set or --settings; give one.")
                object.__setattr__(self, name, value)
        object.__setattr__(self, "own", tuple(each for each in settings if each[1] not in SWITCHES))

    @property
    def set(self) -> dict[str, Any]:
        """The settings of one's own as a study's folder says them."""
        return nested(self.own)

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
        given = {name: value for name, usual in OVERRIDES.items() if (value := getattr(self, name)) != usual}
        if self.columns:
            given["columns"] = dict(self.columns)
        if self.tree is not None:
            given |= {"tree": self.tree.newick(), "tree_by": self.tree_by, "tree_from": self.tree_from}
        return found | given

    @property
    def located(self) -> World:
        """The same with paths that are good in any working directory, a cluster's worker's for one."""
        given = {name: path for name in ("data", "encoder", "cache") if (path := getattr(self, name))}
        paths = {name: Path(expanded(path)) for name, path in given.items()}
        there = {name: str(path.resolve()) for name, path in paths.items() if path.exists() or name == "cache"}
        return replace(self, **there)

    def settings(self, cell: Cell) -> Settings:
        """The settings of a cell's runs here."""
        given = {name: value for name in SWITCHES if (value := getattr(self, name))}
        settings = replace(settings_for(cell, self.scale, self.task), **given, **of_method(self.own, cell.method))
        if self.tree is not None and METHODS[cell.method].own_tree:
            try:
                levels = self.tree.levels(settings.inner_steps, self.tree_by)
            except InputError as error:
                title = METHODS[cell.method].title
                raise InputError(
                    f"{title} takes {settings.inner_steps} inner steps along a tree with as many levels. {error} The "
                    "steps are set by --set inner_steps=N."
                ) from None
            settings = replace(settings, tree=levels.newick())
        return settings

    def rows(self) -> Dataset:
        """The rows of the corpus, which are read again when a file of it has changed."""
        return _rows(self.corpus, self.data, self._data_stamp())

    def tested(self) -> list[str]:
        """The languages that have test rows, in their order."""
        return list(self._with_rows("test"))

    def trained(self) -> tuple[str, ...]:
        """The languages that have dev rows, which episodes are drawn from, in their order."""
        return self._with_rows("dev")

    def auxiliaries(self, methods: Sequence[str], own_tree: Source | None = None) -> tuple[str, ...]:
        """The languages that auxiliaries are taken from where none are named: those that corpus and methods share.

        They have dev rows, and a place in the tree, if one of the methods follows one: the study's own, or the papers'
        phylogeny. In the mini world and in a corpus of XNLI's languages they always have one there, as in the papers.
        """
        there = self.trained()
        if own_tree is not None:
            return own_tree.has(there)
        if not self.data or set(there) <= set(XNLI) or any(METHODS[name].tree for name in methods if name in METHODS):
            return tuple(code for code in there if code in PHYLOGENY.leaves)
        return there

    def following(self, own_tree: Source, languages: Iterable[str], by: str) -> World:
        """The same with its own tree of these languages; raises InputError if one has no place in it."""
        tree, where = own_tree.of(ordered(languages)), f"{own_tree.name}: {own_tree.made_by}"
        return replace(self, tree=tree, tree_by=by, tree_from=where)

    def _with_rows(self, split: str) -> tuple[str, ...]:
        known = columns(self.located.rows())
        return ordered(known["language"][known["split"] == split])

    def features(self, adapt: str, max_length: int) -> Features:
        """The rows as batches, kept from run to run unless a file has changed: trunk features are costly."""
        of_runs = {"own": (), "first_order": False, "tasks_per_chunk": None, "split": "test"}
        of_runs |= {"tree": None, "tree_by": "depth", "tree_from": ""}
        plain = replace(self, **of_runs)  # rows as batches do not depend on these
        return _features(plain, adapt, max_length, _stamp(self.encoder or self._tiny), self._data_stamp())

    @property
    def _tiny(self) -> Path:
        return data_directory() / f"tiny-encoder-{self.task}"

    def _data_stamp(self) -> tuple[tuple[str, int, int], ...]:
        return _stamp(self.data or data_directory() / "mini", self.corpus.archive)


@lru_cache(maxsize=1)
def _rows(corpus: Corpus, data: str | None, stamp: object) -> Dataset:
    phrases.table.cache_clear()  # the mini world's tables, which are read once
    return corpus.read(data)


@lru_cache(maxsize=2)
def _features(world: World, adapt: str, max_length: int, *stamps: object) -> Features:
    classes = world.corpus.classes
    load = partial(encoders.nli, classes=classes) if classes else encoders.qa
    encoder = load(world.encoder or world._tiny, adapt, max_length, bf16=world.bf16).to(devices.here(world.device))
    return encoder.features(world.rows(), world.cache)


def _stamp(path: str | Path, folder: str = "") -> tuple[tuple[str, int, int], ...]:
    """Files at a path, with those in `folder` there, their sizes and times, to see a change; () for a hub's name."""
    path = Path(path)
    inside = (path.glob("*"), path.glob("*/*.json"), path.glob("*/*.tsv"), (path / folder).rglob("*"))
    files: Iterable[Path] = {path, *(file for found in inside for file in found)}
    return tuple(sorted((str(file), (at := file.stat()).st_size, at.st_mtime_ns) for file in files if file.is_file()))
