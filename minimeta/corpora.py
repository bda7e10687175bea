"""NLI corpora as one `datasets.Dataset` with the same columns everywhere: the project's own and the official ones.

Columns: `language`, `genre`, `split`, `premise`, `hypothesis`, `label` (a position in LABELS), `pair` (rows
that are translations of each other share it) and `premise_id` (the rows of one premise share it).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import claims
from .errors import InputError, some
from .languages import LANGUAGES, check
from .phrases import table

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

LABELS = ("entailment", "neutral", "contradiction")
_NO_GOLD = "-"  # MultiNLI's mark for a pair on which its annotators did not agree


def xnli(path: str | Path, languages: Sequence[str] | None = None, splits: Sequence[str] = ("dev", "test")) -> Dataset:
    """XNLI 1.0 from `XNLI-1.0.zip`, from its unpacked directory, or from a directory that holds either.

    Raises InputError if the archive is missing or damaged, lacks a column, or lacks a language in a split.
    """
    wanted = check(languages) if languages is not None else None
    tables = []
    for split in splits:
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


def multinli(path: str | Path, splits: Sequence[str] = ("train",)) -> Dataset:
    """MultiNLI 1.0 (English) from `multinli_1.0.zip` or its unpacked directory; pairs without a gold label go.

    Splits are `train`, `dev_matched` and `dev_mismatched`.
    """
    tables = []
    for split in splits:
        table = _read(Path(path), "multinli_1.0", f"multinli_1.0_{split}.jsonl")
        where = f"MultiNLI's {split} split in {path}"
        _columns(table, {"gold_label", "sentence1", "sentence2", "promptID", "pairID", "genre"}, where)
        tables.append(_standard(table[table["gold_label"] != _NO_GOLD], split, "en", where))
    return _dataset(tables)


MINI_SIZES = {"train": 5, "dev": 1, "test": 2}
"""The size of each split of mini-NLI, see `claims.nli`: 720, 144 and 288 rows for each language and genre."""

MINI_PASSAGES = {"train": 60, "dev": 20, "test": 40}
"""The passages of mini-QA for each language and genre, with two questions each."""


def mini_nli(languages: Sequence[str] | None = None, splits: Sequence[str] = ("dev", "test")) -> Dataset:
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


def mini_qa(languages: Sequence[str] | None = None, splits: Sequence[str] = ("dev", "test")) -> Dataset:
    """Mini-QA, the project's own question answering: passages of mini-NLI's phrases, "who" and "where" questions.

    Columns: `language`, `genre`, `split`, `id` (the same for rows that are translations of each other),
    `context`, `question` and `answers` as SQuAD has them, {"text": [answer], "answer_start": [position]}.
    """
    from datasets import Dataset

    drawn = [
        (split, genre, number, said, asked)
        for split in _splits(splits, MINI_PASSAGES)
        for genre in claims.GENRES
        for number, (said, asked) in enumerate(claims.passages(genre, split, MINI_PASSAGES[split]))
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
                        "id": f"{split}/{genre}/{number}/{word}",
                        "context": context,
                        "question": table(code).question(word, said[asked]),
                        "answers": {"text": [context[start:end]], "answer_start": [start]},
                    }
                )
    return Dataset.from_list(rows)


def _codes(languages: Sequence[str] | None) -> tuple[str, ...]:
    codes = check(languages) if languages is not None else tuple(LANGUAGES)
    if not codes:
        raise InputError(f"No language was named; the languages are {', '.join(LANGUAGES)}.")
    return codes


def _splits(splits: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    splits = (splits,) if isinstance(splits, str) else splits
    if not splits:
        raise InputError(f"No split was named; mini-NLI and mini-QA have {', '.join(known)}.")
    for split in splits:
        if split not in known:
            raise InputError(f"Mini-NLI and mini-QA have no split {split!r}; they have {', '.join(known)}.")
    return tuple(splits)


def nli(
    data: str | Path | None = None,
    languages: Sequence[str] | None = None,
    splits: Sequence[str] = ("dev", "test"),
) -> Dataset:
    """The NLI corpus for episodes: mini-NLI, or XNLI from `data`; a fifth of its dev premises set aside.

    See `hold_out`.
    """
    return hold_out(mini_nli(languages, splits) if data is None else xnli(data, languages, splits))


def hold_out(corpus: Dataset, share: float = 0.2, seed: int = 0) -> Dataset:
    """Rename the split of a random `share` of the dev premises to `held-out`, the same ones in all languages.

    Held-out rows are for choosing rates; no method trains on them.
    """
    split, premise = np.array(corpus["split"]), np.array(corpus["premise_id"])
    premises = np.unique(premise[split == "dev"])
    chosen = np.random.default_rng(seed).permutation(premises)[: round(share * len(premises))]
    split = np.where((split == "dev") & np.isin(premise, chosen), "held-out", split)
    return corpus.remove_columns("split").add_column("split", split.tolist())


def _read(path: Path, folder: str, name: str) -> pd.DataFrame:
    """One member of an official archive as a table of strings, from the archive or from its directory."""
    import pandas as pd

    if not path.exists():
        raise InputError(f"There is no {path}; expected {folder}.zip or the directory that it unpacks to.")
    if path.is_dir():
        files = [path / name, path / folder / name]
        archives = [path / f"{folder}.zip"]
    else:
        files, archives = [], [path]
    content: bytes | None = next((file.read_bytes() for file in files if file.is_file()), None)
    for archive in archives if content is None else []:
        if archive.is_file():
            try:
                with zipfile.ZipFile(archive) as opened:
                    inside = [member for member in opened.namelist() if member.split("/")[-1] == name]
                    content = opened.read(inside[0]) if inside else None
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
                raise InputError(f"{archive} is damaged or not a zip file ({error}); get it again.") from None
            if content is None:
                raise InputError(f"{archive} has no {name}; this split is missing there, get the whole archive.")
    if content is None:
        raise InputError(f"{path} has neither {folder}.zip nor {name}; name the directory that holds one of them.")
    try:
        if name.endswith(".jsonl"):
            return pd.read_json(io.BytesIO(content), lines=True, dtype=False, convert_dates=False)
        return pd.read_csv(io.BytesIO(content), sep="\t", quoting=3, keep_default_na=False, dtype=str)
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{name} in {path} cannot be read ({reason}); get the archive again.") from None


def _columns(table: pd.DataFrame, needed: set[str], where: str) -> None:
    lacking = sorted(needed - set(table.columns))
    if lacking:
        raise InputError(f"{where} lacks the column {some(lacking)}; it must have the official layout.")


def _standard(table: pd.DataFrame, split: str, language: pd.Series | str, where: str) -> pd.DataFrame:
    """The official columns of both corpora under this project's names."""
    import pandas as pd

    needed = table[["sentence1", "sentence2", "genre", "promptID", "pairID"]]
    short = (needed.isna() | (needed == "")).any(axis=1)
    if short.any():
        raise InputError(f"{where} breaks off in row {int(short.argmax()) + 1}; get the archive again.")
    odd = sorted(set(map(str, table["gold_label"])) - set(LABELS))
    if odd:
        raise InputError(f"{where} has the label {odd[0]!r}; the labels are {', '.join(LABELS)}.")
    return pd.DataFrame(
        {
            "language": language,
            "genre": table["genre"],
            "split": split,
            "premise": table["sentence1"],
            "hypothesis": table["sentence2"],
            "label": table["gold_label"].map({label: i for i, label in enumerate(LABELS)}),
            "pair": split + "/" + table["pairID"].astype(str),
            "premise_id": split + "/" + table["promptID"].astype(str),
        }
    )


def _dataset(tables: list[pd.DataFrame]) -> Dataset:
    import pandas as pd
    from datasets import Dataset

    return Dataset.from_pandas(pd.concat(tables), preserve_index=False)
