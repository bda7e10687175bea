"""Corpora as one `datasets.Dataset` with the same columns everywhere: the project's, the official ones, a user's own.

All have `language`, `genre` ("" where there is none), `split` and `pair` (rows that are translations of each other
share it). NLI, and any classification, has `premise`, `hypothesis` (not where rows are single texts), `label` (a
position in the corpus's classes) and `premise_id` (the rows of one premise share it). Question answering has `context`,
`question`, `answers` as SQuAD has them, {"text": [answer, ...], "answer_start": [its place in the context, ...]}, and
`passage_id` (the questions about one passage, and their translations, share it).

Premises, hypotheses and questions are in NFC: a letter and its marks are one character where Unicode has one, as most
vocabularies were made. Contexts and answers are what they are, since answers are places in their contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..files import PACKED, expanded, holds
from . import mini, own
from .languages import XNLI, check
from .phrases import LANGUAGES
from .readers import Row, Source, mlqa, multinli, paws_x, squad, xnli

if TYPE_CHECKING:
    from datasets import Dataset

LABELS = ("entailment", "neutral", "contradiction")
"""The classes of the papers' NLI."""

SPLITS = ("dev", "test")
"""What is read where no split is named."""


@dataclass(frozen=True)
class Task:
    """What is asked of a row: its title, the columns of the right answer and of what is drawn together (intervals).

    A prediction is the position of a class (a digit, a number where there are more than ten) where `right` is "label",
    and a text where it is "answers".
    """

    title: str
    right: str
    group: str

    @property
    def groups(self) -> str:
        """What is drawn together, in a word: premises or passages."""
        return f"{self.group.removesuffix('_id')}s"


TASKS = {
    "nli": Task("NLI", right="label", group="premise_id"),
    "qa": Task("question answering", right="answers", group="passage_id"),
}


def task_of(corpus: Dataset) -> str:
    """What a corpus is for: a key of TASKS."""
    return next(name for name, task in TASKS.items() if task.right in corpus.column_names)


def classes_of(corpus: Dataset) -> tuple[str, ...]:
    """The names of a corpus's classes in the order of its labels, none for spans; LABELS if rows came from elsewhere.

    (A table that was made into a `Dataset` again has numbers as labels, without their names.)
    """
    return tuple(getattr(corpus.features["label"], "names", LABELS)) if task_of(corpus) == "nli" else ()


def texts_of(corpus: Dataset) -> list[str]:
    """The columns of the texts that a classifier reads: premise and hypothesis, or a single text."""
    return [name for name in ("premise", "hypothesis") if name in corpus.column_names]


@dataclass(frozen=True)
class Corpus:
    """A corpus: all that is known of it, in one place.

    `archive` is the name of its official archive without its ending ("" for the project's own, "." for a user's
    files), `languages` those that it has, `classes` the names of its labels in their order (none for spans).
    `reader(source, languages, splits)` yields its rows, without languages those of all that are there. `printed`: the
    papers score it, so that their figures may stand beside ours. `ending` is the official archive's, and `known_by` is
    like a file that is in each copy, whatever that is called. `notes` say, a line each, what was done to the rows.
    """

    name: str
    task: str
    archive: str
    languages: tuple[str, ...]
    classes: tuple[str, ...]
    reader: Callable[..., Iterable[Row]]
    printed: bool = False
    ending: str = ".zip"
    known_by: str = ""
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of the official archive."""
        return self.archive + self.ending

    def rows(
        self, data: str | Path | None = None, languages: Sequence[str] | None = None, splits: Sequence[str] = SPLITS
    ) -> Dataset:
        """Its rows, from `data`, its archive, if it is not our own; a language or split may be named by itself.

        Without `languages`, in all that a split has. Raises InputError for what it has not, and for an archive that
        cannot be used.
        """
        import pyarrow as pa
        from datasets import ClassLabel, Dataset, DatasetInfo, Features, Value

        wanted, splits = self._languages(languages), _each(splits, "split")
        source = Source(self.name, self.archive, self.languages, self.classes, Path(data or ""))
        rows = list(self.reader(source, wanted, splits))
        if not rows:
            raise InputError(
                f"{self.name} has no row of {', '.join(splits)} that can be used in {data}; get the whole archive, "
                "with its answers, or name other splits."
            )
        # The table is made at once: `Dataset.from_list` would look at every value of every row.
        if not self.classes:
            return Dataset(pa.Table.from_pylist(rows))
        features = Features(dict.fromkeys(rows[0], Value("string")) | {"label": ClassLabel(names=self.classes)})
        return Dataset(pa.Table.from_pylist(rows, schema=features.arrow_schema), DatasetInfo(features=features))

    def read(
        self, data: str | Path | None = None, languages: Sequence[str] | None = None, splits: Sequence[str] = SPLITS
    ) -> Dataset:
        """Its rows for episodes and scores, see `rows`, a fifth of the dev rows held out, see `hold_out`.

        If there are no test rows that can be used, half of the dev rows become test rows, the same ones in all
        languages: then no language's test row is another one's dev row.
        """
        wanted, splits = self._languages(languages), _each(splits, "split")
        # Of an archive all languages are read, so that a row is in the same split whatever languages are asked for.
        corpus = self.rows(data, None if self.archive else wanted, splits)
        if "test" in splits and "test" not in corpus.unique("split"):
            corpus = hold_out(corpus, share=0.5, name="test")
        if not self.archive or wanted is None:
            return hold_out(corpus)
        there, split = np.array(corpus["language"][:]), np.array(corpus["split"][:])
        for name in splits:
            check(wanted, sorted(set(there[split == name])), f"{self.name}'s {name} split in {data}")
        return hold_out(corpus).select(np.flatnonzero(np.isin(there, wanted)))

    def _languages(self, languages: Sequence[str] | None) -> tuple[str, ...] | None:
        if languages is None:
            return None
        return check(_each(languages, "language", self.languages), self.languages, self.name)


def _each(named: Sequence[str], what: str, known: Sequence[str] = ("train", "dev", "test")) -> tuple[str, ...]:
    """What was named, each once; raises InputError for nothing."""
    if not named:
        raise InputError(f"No {what} was named; there are {', '.join(known)}.")
    return tuple(dict.fromkeys((named,) if isinstance(named, str) else named))


def _named(*corpora: Corpus) -> dict[str, Corpus]:
    return {corpus.name: corpus for corpus in corpora}


PAWS_X: dict[str, Any] = {
    "name": "PAWS-X",
    "task": "nli",
    "archive": "x-final",
    "classes": ("0", "1"),
    "reader": paws_x,
    "ending": ".tar.gz",
    "known_by": "*/*_2k.tsv",
}
"""Pairs of sentences: 1 if one is a paraphrase of the other, 0 if not. Its labels have no other names."""

CORPORA = _named(
    Corpus("mini-NLI", "nli", "", LANGUAGES, LABELS, mini.nli),
    Corpus("mini-QA", "qa", "", LANGUAGES, (), mini.qa),
    Corpus("XNLI", "nli", "XNLI-1.0", XNLI, LABELS, xnli, printed=True, known_by="xnli.*.tsv"),
    Corpus(**PAWS_X, languages=("en", "de", "es", "fr", "ja", "ko", "zh")),
    Corpus(
        "MLQA",
        "qa",
        "MLQA_V1",
        ("en", "es", "de", "ar", "vi", "zh", "hi"),
        (),
        mlqa,
        printed=True,
        known_by="*/*-context-*-question-*.json",
    ),
)
"""The corpora that episodes are drawn from: for another one, an entry and a reader; `corpus_of` adds a user's own."""

STAGE_TWO = _named(
    Corpus("mini-NLI", "nli", "", ("en",), LABELS, mini.nli),
    Corpus("mini-QA", "qa", "", ("en",), (), partial(mini.qa, passages=mini.MANY_PASSAGES)),
    Corpus("MultiNLI", "nli", "multinli_1.0", ("en",), LABELS, multinli, known_by="multinli_1.0_*.jsonl"),
    Corpus(**PAWS_X, languages=("en",)),
    Corpus("SQuAD", "qa", "squad", ("en",), (), squad, known_by="*-v1.1.json"),
)
"""The English corpora that encoders are fine-tuned on before any episode is drawn."""

PUBLISHED = {
    "XNLI-1.0.zip": (
        "https://dl.fbaipublicfiles.com/XNLI/XNLI-1.0.zip",
        17_865_352,
        "4ba1d5e1afdb7161f0f23c66dc787802ccfa8a25a3ddd3b165a35e50df346ab1",
    ),
    "MLQA_V1.zip": (
        "https://dl.fbaipublicfiles.com/MLQA/MLQA_V1.zip",
        75_719_050,
        "246e8089933d13007fe80684d5c5c0713d6834cf8b3b4a0ec7c66f0a0d2baac8",
    ),
    "multinli_1.0.zip": (
        "https://cims.nyu.edu/~sbowman/multinli/multinli_1.0.zip",
        226_850_426,
        "049f507b9e36b1fcb756cfd5aeb3b7a0cfcb84bf023793652987f7e7e0957822",
    ),
    "squad/train-v1.1.json": (
        "https://rajpurkar.github.io/SQuAD-explorer/dataset/train-v1.1.json",
        30_288_272,
        "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
    ),
}
"""Address, bytes and SHA-256 of what the papers' corpora were published as, by the place that a reader looks in.

They are those that Hugging Face's `datasets` recorded for its loaders (`dataset_infos.json`, `checksums.txt`).
"""


def corpus_of(
    task: str,
    data: str | Path | None = None,
    columns: Sequence[tuple[str, str]] = (),
    known: dict[str, Corpus] = CORPORA,
) -> Corpus:
    """The corpus of a task at `data`: an official one, else one that is made of the user's own rows; None: our own.

    An official one lies there as its archive or the directory that it unpacks to. Own rows are those of files or of a
    data set on the hub (see `own.load`), with `columns`, (our name, theirs), where theirs have other names. Where
    there is neither, it is the task's first official one: its reader says what is missing.
    """
    path = Path(expanded(data or ""))
    if data is None:
        found = next(one for one in known.values() if one.task == task and not one.archive)
    else:
        found = official_of(task, data, known)
    if data is None or _at(found, path) or not own.there(task, path):
        if columns:
            raise InputError(f"{found.name} has its official columns; --columns is for rows of your own.")
        return found
    return _of(own.load(task, path, tuple((ours, theirs) for ours, theirs in columns)), task)


@lru_cache(maxsize=4)  # the same rows are the same corpus
def _of(found: own.Own, task: str) -> Corpus:
    """The entry that is made for a user's own rows."""

    def reader(source: Source, languages: Sequence[str] | None, splits: Sequence[str]) -> list[Row]:
        there = tuple(dict.fromkeys(row["split"] for row in found.rows))
        if not set(splits) & set(there):
            raise InputError(f"{found.name} has no {' or '.join(splits)} rows; it has {', '.join(sorted(there))}.")
        wanted = languages or found.languages
        return [row for row in found.rows if row["split"] in splits and row["language"] in wanted]

    return Corpus(found.name, task, ".", found.languages, found.classes, reader, notes=found.notes)


def official_of(task: str, data: str | Path, known: dict[str, Corpus] = CORPORA) -> Corpus:
    """The corpus of a task whose archive, or the directory that it unpacks to, lies at `data`; else the first one."""
    official = [one for one in known.values() if one.task == task and one.archive]
    return next((one for one in official if _at(one, Path(expanded(data)))), official[0])


def _at(corpus: Corpus, path: Path) -> bool:
    """Is this corpus at a path? It is known by its archive's name, also where that is missing, or by what is inside."""
    names = {corpus.archive, *(corpus.archive + ending for ending in PACKED)}
    if path.name in names or any((path / name).exists() for name in names):
        return True
    return bool(corpus.known_by) and holds(path, corpus.known_by)


def archives(task: str, known: dict[str, Corpus] = CORPORA) -> str:
    """The archives that the corpora of a task are read from, in words."""
    return " or ".join(one.file for one in known.values() if one.task == task and one.archive)


def nli(
    data: str | Path | None = None, languages: Sequence[str] | None = None, splits: Sequence[str] = SPLITS
) -> Dataset:
    """The NLI corpus for episodes: mini-NLI, or the one that lies at `data` (XNLI); see `Corpus.read`."""
    return corpus_of("nli", data).read(data, languages, splits)


def qa(
    data: str | Path | None = None, languages: Sequence[str] | None = None, splits: Sequence[str] = SPLITS
) -> Dataset:
    """The corpus of question answering for episodes: mini-QA, or the one at `data` (MLQA); see `Corpus.read`."""
    return corpus_of("qa", data).read(data, languages, splits)


def mini_nli(languages: Sequence[str] | None = None, splits: Sequence[str] = SPLITS) -> Dataset:
    """Mini-NLI, the project's own corpus, without held-out rows: see `mini`."""
    return CORPORA["mini-NLI"].rows(None, languages, splits)


def mini_qa(
    languages: Sequence[str] | None = None, splits: Sequence[str] = SPLITS, passages: int | None = None
) -> Dataset:
    """Mini-QA, the project's own question answering, without held-out rows: see `mini.qa`."""
    corpus = CORPORA["mini-QA"]
    return replace(corpus, reader=partial(corpus.reader, passages=passages)).rows(None, languages, splits)


def hold_out(corpus: Dataset, share: float = 0.2, seed: int = 0, name: str = "held-out") -> Dataset:
    """Rename the split of a random `share` of the dev premises (or passages) to `name`, the same ones in all languages.

    Held-out rows are for choosing rates; no method trains on them.
    """
    if not 0 <= share <= 1:
        raise InputError(f"Cannot hold out a share of {share} of the dev rows; it is between 0 and 1.")
    # [:] reads a column at once; without it, datasets goes through it row by row.
    split, group = (np.array(corpus[column][:]) for column in ("split", TASKS[task_of(corpus)].group))
    groups = np.unique(group[split == "dev"])
    chosen = np.random.default_rng(seed).permutation(groups)[: round(share * len(groups))]
    split = np.where((split == "dev") & np.isin(group, chosen), name, split)
    return corpus.remove_columns("split").add_column("split", split)
