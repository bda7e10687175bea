"""Corpora as one `datasets.Dataset` with the same columns everywhere: the project's own and the official ones.

All have `language`, `genre`, `split` and `pair` (rows that are translations of each other share it). NLI has
`premise`, `hypothesis`, `label` (a position in LABELS) and `premise_id` (the rows of one premise share it). Question
answering has `context`, `question`, `answers` as SQuAD has them, {"text": [answer, ...], "answer_start": [its place
in the context, ...]}, and `passage_id` (the questions about one passage, and their translations, share it).

Premises, hypotheses and questions are in NFC: a letter and its marks are one character where Unicode has one, as most
vocabularies were made. Contexts and answers are what they are, since answers are places in their contexts.
"""

from __future__ import annotations

import io
import json
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, some
from ..files import archived, expanded
from . import claims
from .languages import LANGUAGES, XNLI, check
from .phrases import table

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

LABELS = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Task:
    """What is asked of a row: its title, the columns of the right answer and of what is drawn together (intervals).

    A prediction is a digit, the position of a class, where `right` is "label", and a text where it is "answers".
    """

    title: str
    right: str
    group: str


TASKS = {
    "nli": Task("NLI", right="label", group="premise_id"),
    "qa": Task("question answering", right="answers", group="passage_id"),
}
_NO_GOLD = "-"  # MultiNLI's mark for a pair on which its annotators did not agree


def xnli(
    path: str | Path, languages: Sequence[str] | None = None, splits: str | Sequence[str] = ("dev", "test")
) -> Dataset:
    """XNLI 1.0 from `XNLI-1.0.zip`, from its unpacked directory, or from a directory that holds either.

    Raises InputError if the archive is missing or damaged, lacks a column, or lacks a language in a split.
    """
    wanted = _codes(languages) if languages is not None else None
    tables = []
    for split in _splits(splits):
        table = _read(Path(path), "XNLI-1.0", f"xnli.{split}.tsv")
        where = f"XNLI's {split} split in {path}"
        _columns(table, {"language", "gold_label", "sentence1", "sentence2", "promptID", "pairID", "genre"}, where)
        if wanted is not None:
            there = sorted(set(table["language"]))
            lacking = [code for code in wanted if code not in there]
            if lacking:
                raise InputError(f"{where} has no {some(lacking)}; it has {', '.join(there)}.")
            table = table[table["language"].isin(wanted)]
        tables.append(_standard(table, split, table["language"], where))
    return _dataset(tables)


def multinli(path: str | Path, splits: str | Sequence[str] = ("train",)) -> Dataset:
    """MultiNLI 1.0 (English) from `multinli_1.0.zip` or its unpacked directory; pairs without a gold label go.

    Splits are `train`, `dev_matched` and `dev_mismatched`.
    """
    tables = []
    for split in _splits(splits):
        table = _read(Path(path), "multinli_1.0", f"multinli_1.0_{split}.jsonl")
        where = f"MultiNLI's {split} split in {path}"
        _columns(table, {"gold_label", "sentence1", "sentence2", "promptID", "pairID", "genre"}, where)
        tables.append(_standard(table[table["gold_label"] != _NO_GOLD], split, "en", where))
    return _dataset(tables)


def task_of(corpus: Dataset) -> str:
    """What a corpus is for: a key of TASKS."""
    return "qa" if "question" in corpus.column_names else "nli"


MINI_SIZES = {"train": 5, "dev": 1, "test": 2}
"""The size of each split of mini-NLI, see `claims.nli`: 720, 144 and 288 rows for each language and genre."""

MINI_PASSAGES = {"train": 60, "dev": 20, "test": 40}
"""The passages of mini-QA for each language and genre, with two questions each."""


def mini_nli(languages: Sequence[str] | None = None, splits: str | Sequence[str] = ("dev", "test")) -> Dataset:
    """Mini-NLI, the project's own corpus: hand-written phrases, labels by rule, rows parallel in all languages.

    Splits are `train`, `dev` and `test`. Made from the tables in `data/mini` whenever it is asked for.
    """
    import pandas as pd

    codes = _codes(languages)
    parts = []
    for split in _splits(splits, MINI_SIZES):
        drawn = [found for genre in claims.GENRES for found in claims.nli(genre, split, MINI_SIZES[split])]
        premises: dict[claims.Claim, str] = {}
        rows = []
        for premise, hypotheses in drawn:
            name = premises.setdefault(premise, f"{split}/{len(premises) + 1}")
            for hypothesis in hypotheses:
                rows.append((premise, hypothesis, name, f"{split}/{len(rows) + 1}"))
        for code in codes:
            texts = {claim: table(code).statement(claim).text for row in rows for claim in row[:2]}
            parts.append(
                pd.DataFrame(
                    {
                        "language": code,
                        "genre": [premise.genre for premise, *_ in rows],
                        "split": split,
                        "premise": [texts[premise] for premise, *_ in rows],
                        "hypothesis": [texts[hypothesis] for _, hypothesis, *_ in rows],
                        "label": [LABELS.index(claims.label(*row[:2])) for row in rows],
                        "pair": [pair for *_, pair in rows],
                        "premise_id": [name for *_, name, _ in rows],
                    }
                )
            )
    return _dataset(parts)


MANY_PASSAGES = 1200
"""The passages per genre for stage two: 24,000 English questions, as there are many in SQuAD."""


def mini_qa(
    languages: Sequence[str] | None = None, splits: str | Sequence[str] = ("dev", "test"), passages: int | None = None
) -> Dataset:
    """Mini-QA, the project's own question answering: passages of mini-NLI's phrases, "who" and "where" questions.

    There are `passages` for each language, genre and split (None: MINI_PASSAGES), the same ones in all languages.
    """
    drawn = [
        (split, genre, number, said, asked)
        for split in _splits(splits, MINI_PASSAGES)
        for genre in claims.GENRES
        for number, (said, asked) in enumerate(
            claims.passages(genre, split, MINI_PASSAGES[split] if passages is None else passages)
        )
    ]
    rows = []
    for code in _codes(languages):
        for split, genre, number, said, asked in drawn:
            context, sentences = table(code).passage(said)
            for word, part in (("who", "subject"), ("where", "place")):
                start, end = sentences[asked].spans[part]
                rows.append(
                    {
                        "language": code,
                        "genre": genre,
                        "split": split,
                        "pair": f"{split}/{genre}/{number}/{word}",
                        "passage_id": f"{split}/{genre}/{number}",
                        "context": context,
                        "question": table(code).question(word, said[asked]),
                        "answers": {"text": [context[start:end]], "answer_start": [start]},
                    }
                )
    return _questions(rows)


def _codes(languages: Sequence[str] | None) -> tuple[str, ...]:
    """The languages that were named (one may be named by itself), each once; None stands for all."""
    codes = check(languages) if languages is not None else XNLI
    if not codes:
        raise InputError(f"No language was named; the languages are {', '.join(LANGUAGES)}.")
    return tuple(dict.fromkeys(codes))


def _splits(splits: str | Sequence[str], known: Iterable[str] = ()) -> tuple[str, ...]:
    """The splits that were named (one may be named by itself), each once; `known` are those of a mini corpus."""
    named = tuple(dict.fromkeys((splits,) if isinstance(splits, str) else splits))
    if not named:
        raise InputError(f"No split was named; there are {', '.join(known or ('train', 'dev', 'test'))}.")
    for split in named if known else ():
        if split not in known:
            raise InputError(f"Mini-NLI and mini-QA have no split {split!r}; they have {', '.join(known)}.")
    return named


def _text(text: Any, where: str) -> str:
    """A text of an archive, in NFC; raises InputError for what is no text or cannot be written as UTF-8."""
    if not isinstance(text, str):
        raise InputError(f"{where} has {text!r} where a text should be; get the archive again.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start : error.end]
        raise InputError(f"{where} has half a character, {half!r}, in a text; get the archive again.") from None
    return unicodedata.normalize("NFC", text)


def nli(
    data: str | Path | None = None,
    languages: Sequence[str] | None = None,
    splits: str | Sequence[str] = ("dev", "test"),
) -> Dataset:
    """The NLI corpus for episodes: mini-NLI, or XNLI from `data`; a fifth of its dev premises set aside.

    See `hold_out`.
    """
    return hold_out(mini_nli(languages, splits) if data is None else xnli(data, languages, splits))


_AT = "answer_start"
SQUAD_LANGUAGE, MLQA_LANGUAGES = "en", ("en", "es", "de", "ar", "vi", "zh", "hi")


def squad(path: str | Path, splits: str | Sequence[str] = ("train",)) -> Dataset:
    """SQuAD 1.1 (English) from a directory or archive with `train-v1.1.json` and `dev-v1.1.json` (`squad.zip`)."""
    return _questions(
        row
        for split in _splits(splits)
        for row in _squad_rows(Path(path), "squad", f"{split}-v1.1.json", SQUAD_LANGUAGE, split)
    )


def mlqa(
    path: str | Path, languages: Sequence[str] | None = None, splits: str | Sequence[str] = ("dev", "test")
) -> Dataset:
    """MLQA from `MLQA_V1.zip`, from its unpacked directory, or from a directory that holds either.

    Questions are asked in the language of their passage. Without `languages`, those that a split has. Raises
    InputError if the archive is missing or damaged, lacks what was named, or has an answer that does not stand where
    it should.
    """
    wanted = _codes(languages) if languages is not None else MLQA_LANGUAGES
    odd = [code for code in wanted if code not in MLQA_LANGUAGES]
    if odd:
        raise InputError(f"MLQA has no {some(odd)}; its languages are {', '.join(MLQA_LANGUAGES)}.")
    rows: list[dict[str, Any]] = []
    splits = _splits(splits)
    for split in splits:
        there = False
        for code in wanted:
            name = f"{split}/{split}-context-{code}-question-{code}.json"
            if languages is not None or archived(Path(path), "MLQA_V1", name) is not None:
                there = True
                rows += _squad_rows(Path(path), "MLQA_V1", name, code, split)
        if not there:
            raise InputError(f"{path} has no {split} split of MLQA; get the whole archive.")
    if not rows:
        raise InputError(f"No question of {', '.join(splits)} in {path} has an answer; get MLQA with its answers.")
    # A question exists in several languages, a passage may have several questions.
    whole = _joined([row["pair"] for row in rows], [row["passage_id"] for row in rows])
    return _questions(row | {"passage_id": name} for row, name in zip(rows, whole, strict=True))


def qa(
    data: str | Path | None = None,
    languages: Sequence[str] | None = None,
    splits: str | Sequence[str] = ("dev", "test"),
) -> Dataset:
    """The corpus of question answering for episodes: mini-QA, or MLQA from `data`; a fifth of its dev set aside.

    See `hold_out`. If `data` has no answered test questions, half of the dev passages become test rows, the same ones
    in all languages: then no language's test question is another one's dev question.
    """
    splits = _splits(splits)
    corpus = mini_qa(languages, splits) if data is None else mlqa(data, splits=splits)
    if "test" in splits and "test" not in corpus.unique("split"):
        corpus = hold_out(corpus, share=0.5, by="passage_id", name="test")
    corpus = hold_out(corpus, by="passage_id")
    if data is None or languages is None:
        return corpus
    # All languages were read, so that a question is in the same split whatever languages are asked for.
    lacking = [code for code in _codes(languages) if code not in corpus.unique("language")]
    if lacking:
        raise InputError(f"MLQA in {data} has no {some(lacking)}; it has {', '.join(corpus.unique('language'))}.")
    return corpus.select(np.flatnonzero(np.isin(corpus["language"][:], languages)))


def _squad_rows(path: Path, folder: str, name: str, language: str, split: str) -> Iterator[dict[str, Any]]:
    """The questions of a file in SQuAD's layout, every answer looked up in its passage."""
    content = _whole(path, folder, name)
    try:
        asked = [
            (number, paragraph["context"], question["id"], question["question"], question["answers"])
            for number, paragraph in enumerate(
                paragraph for article in json.loads(content)["data"] for paragraph in article["paragraphs"]
            )
            for question in paragraph["qas"]
        ]
        places = [[(told["text"], told[_AT]) for told in answers] for *_, answers in asked]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, name, f"{type(error).__name__}: {error}") from None
    unanswered = []
    for (number, context, identity, question, _), answers in zip(asked, places, strict=True):
        where = f"Question {identity!r} of {name} in {path}"
        for text in (str(identity), context, *(text for text, _ in answers)):
            _text(text, where)
        for text, start in answers:
            there = context[max(start, 0) : start + len(text)] if isinstance(start, int) else "nothing"
            if text != there or start < 0:
                raise InputError(
                    f"The answer {text!r} to question {identity} of {name} in {path} does not stand at {start} in its "
                    f"passage, there is {there!r}; get the archive again."
                )
        told = [(text, start) for text, start in answers if text.strip()]
        if not told:
            unanswered.append(identity)
            continue
        yield {
            "language": language,
            "genre": "wikipedia",
            "split": split,
            "pair": f"{split}/{identity}",
            "passage_id": f"{split}/{language}/{number}",
            "context": context,
            "question": _text(question, where),
            "answers": {"text": [text for text, _ in told], "answer_start": [start for _, start in told]},
        }
    if unanswered:
        warnings.warn(
            f"{len(unanswered)} of {len(asked)} questions of {name} have no answer and were left out; the first is "
            f"{unanswered[0]}.",
            stacklevel=2,
        )


def _joined(pairs: Sequence[str], passages: Sequence[str]) -> list[str]:
    """A name for each row, the same for rows that are joined by a chain of equal pairs and equal passages."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    (names, pair), (_, passage) = (np.unique(values, return_inverse=True) for values in (pairs, passages))
    graph = coo_array((np.ones(len(pair)), (pair, passage + len(names))), shape=(len(names) + passage.max() + 1,) * 2)
    part = connected_components(graph, directed=False)[1][pair]
    first = np.unique(part, return_index=True)[1]
    return [pairs[place] for place in first[part]]


def _questions(rows: Iterable[dict[str, Any]]) -> Dataset:
    from datasets import Dataset

    made = list(rows)
    if not made:
        raise InputError("There is no answered question; get the archive again, or name other splits.")
    return Dataset.from_list(made)


def hold_out(
    corpus: Dataset, share: float = 0.2, seed: int = 0, by: str = "premise_id", name: str = "held-out"
) -> Dataset:
    """Rename the split of a random `share` of the dev premises to `name`, the same ones in all languages.

    Held-out rows are for choosing rates; no method trains on them. `by` is the column of what stays together.
    """
    if not 0 <= share <= 1:
        raise InputError(f"Cannot hold out a share of {share} of the dev rows; it is between 0 and 1.")
    split, group = np.array(corpus["split"]), np.array(corpus[by])
    groups = np.unique(group[split == "dev"])
    chosen = np.random.default_rng(seed).permutation(groups)[: round(share * len(groups))]
    split = np.where((split == "dev") & np.isin(group, chosen), name, split)
    return corpus.remove_columns("split").add_column("split", split.tolist())


def _read(path: Path, folder: str, name: str) -> pd.DataFrame:
    """One member of an official NLI archive as a table of strings, from the archive or from its directory."""
    import pandas as pd

    content = _whole(path, folder, name)
    try:
        if name.endswith(".jsonl"):
            # Not by pandas, which drops half a character without a word.
            return pd.DataFrame([json.loads(line) for line in content.splitlines() if line.strip()], dtype=object)
        return pd.read_csv(io.BytesIO(content), sep="\t", quoting=3, keep_default_na=False, dtype=str)
    except (ValueError, pd.errors.ParserError) as error:
        raise _unreadable(path, name, str(error)) from None


def _whole(path: Path, folder: str, name: str) -> bytes:
    """A file that the archive must have."""
    content = archived(path, folder, name)
    if content is None:
        raise InputError(f"{path} has no {name}; this split is missing there, get the whole archive.")
    return content


def _unreadable(path: Path, name: str, reason: str) -> InputError:
    return InputError(f"{name} in {path} cannot be read ({reason.splitlines()[0]}); get the archive again.")


def _columns(table: pd.DataFrame, needed: set[str], where: str) -> None:
    lacking = sorted(needed - set(table.columns))
    if lacking:
        raise InputError(f"{where} lacks the column {some(lacking)}; it must have the official layout.")


def _standard(table: pd.DataFrame, split: str, language: pd.Series | str, where: str) -> pd.DataFrame:
    """The official columns of both corpora under this project's names."""
    import pandas as pd

    needed = table[["sentence1", "sentence2", "genre", "promptID", "pairID"]]
    short = (needed.isna() | needed.map(lambda text: isinstance(text, str) and not text.strip())).any(axis=1)
    if short.any():
        raise InputError(f"{where} breaks off in row {int(short.argmax()) + 1}; get the archive again.")
    texts = {
        name: [
            _text(str(text) if name.endswith("ID") else text, f"Row {row} of {where}")
            for row, text in enumerate(needed[name], 1)
        ]
        for name in needed
    }
    odd = sorted(set(map(str, table["gold_label"])) - set(LABELS))
    if odd:
        raise InputError(f"{where} has the label {odd[0]!r}; the labels are {', '.join(LABELS)}.")
    return pd.DataFrame(
        {
            "language": language,
            "genre": texts["genre"],
            "split": split,
            "premise": texts["sentence1"],
            "hypothesis": texts["sentence2"],
            "label": table["gold_label"].map({label: i for i, label in enumerate(LABELS)}),
            "pair": [f"{split}/{name}" for name in texts["pairID"]],
            "premise_id": [f"{split}/{name}" for name in texts["promptID"]],
        }
    )


def _dataset(tables: list[pd.DataFrame]) -> Dataset:
    import pandas as pd
    from datasets import Dataset

    return Dataset.from_pandas(pd.concat(tables), preserve_index=False)


@dataclass(frozen=True)
class Corpus:
    """A corpus that episodes are drawn from and that methods are scored on.

    `archive` is the name of its official archive without .zip ("" for the project's own), `read(data, languages,
    splits)` its rows, a fifth of the dev rows held out, `classes` the names of its labels in their order (none for
    spans). `printed`: the papers score it, so that their figures may stand beside ours.
    """

    name: str
    task: str
    archive: str
    languages: tuple[str, ...]
    classes: tuple[str, ...]
    read: Callable[..., Dataset]
    printed: bool = False


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus("mini-NLI", "nli", "", XNLI, LABELS, nli),
        Corpus("mini-QA", "qa", "", XNLI, (), qa),
        Corpus("XNLI", "nli", "XNLI-1.0", XNLI, LABELS, nli, printed=True),
        Corpus("MLQA", "qa", "MLQA_V1", MLQA_LANGUAGES, (), qa, printed=True),
    )
}


def corpus_of(task: str, data: str | Path | None = None) -> Corpus:
    """The corpus of a task whose archive, or the directory that it unpacks to, lies at `data`; None: our own one.

    Where no name tells, it is the task's first one: its reader says what is missing.
    """
    own, *official = sorted((one for one in CORPORA.values() if one.task == task), key=lambda one: one.archive != "")
    if data is None:
        return own
    path = Path(expanded(data))
    for one in official:
        if path.name in (one.archive, f"{one.archive}.zip") or any(
            (path / name).exists() for name in (one.archive, f"{one.archive}.zip")
        ):
            return one
    return official[0]
