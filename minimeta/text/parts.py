"""The parts of a user's own corpus: tables in files or on the hub, and what their places say of their rows.

Files are read by what keeps every value as it is: types are for the columns to say, not to be guessed.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError, first_line, some
from . import languages

SPLIT_WORDS = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
"""What splits are called, and what they are."""


_LONGEST = 2**31 - 1
"""Characters of a text; the module csv stops at 131 072, a short book, if nobody says otherwise."""


@dataclass(frozen=True)
class Table:
    """The columns of a table, its rows by them, and the names of classes that a column has as numbers."""

    columns: Sequence[str]
    rows: Iterable[Mapping[str, Any]]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A table by its name in errors, and the languages and splits that its place may mean: one each, if all is well."""

    name: str
    path: Path
    language: tuple[str, ...]
    split: tuple[str, ...]
    read: Callable[[], Table]


def tables_at(task: str, path: Path) -> list[Path]:
    """The table at a path, or those in a directory and below it, but for hidden ones, in the order of their names."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    hidden = ("__MACOSX", ".")
    return [
        file
        for file in files
        if file.is_file()
        and file.suffix.lower() in ENDINGS[task]
        and not any(part.startswith(hidden) for part in file.relative_to(path).parts)
    ]


def of_files(path: Path, files: Sequence[Path]) -> list[Part]:
    """The parts of a file or a directory; a README.md there may say what is in which (`configs`)."""
    card = path / "README.md"
    if path.is_dir() and card.is_file() and b"configs:" in card.read_bytes() and (said := _of_card(path)):
        return said
    seen: dict[Path, Path] = {}
    for file in files:
        for name in {file.resolve(), file.with_suffix("")}:
            if (other := seen.setdefault(name, file)) != file:
                raise InputError(f"{other} and {file} may be the same rows; leave one out, or give it another name.")
    # Directories above the one that was named say nothing: where files are kept may be called like a language.
    return [_part(file, file.relative_to(path).parts[:-1]) for file in files]


def _part(file: Path, folders: Sequence[str] = (), language: str | None = None, split: str | None = None) -> Part:
    """A file and what is said of it: by a card, else by its name and the folders that it lies in."""
    codes = (language,) if language else _codes(file.stem, folders)
    splits = (split,) if split else _splits(file.stem, folders)
    return Part(str(file), file, codes, splits, partial(_READERS.get(file.suffix.lower(), _no_table), file))


def _splits(stem: str, folders: Sequence[str]) -> tuple[str, ...]:
    """The splits that a file's name and its folders' names may mean."""
    words = [*folders, *re.split(r"[-_.\s]+", stem)]
    return tuple(dict.fromkeys(SPLIT_WORDS[word.lower()] for word in words if word.lower() in SPLIT_WORDS))


def _codes(stem: str, folders: Sequence[str]) -> tuple[str, ...]:
    """The languages that they may mean: a folder's whole name, or a part of the file's (`test_zh-Hant`)."""
    tags = re.findall(r"(?<![^\W_])[A-Za-z]{2,3}(?:[-_][A-Z][a-z]{3})?(?:[-_][A-Z]{2})?(?![^\W_])", stem)
    found = [languages.usual(word) for word in (*folders, *tags) if word.lower() not in SPLIT_WORDS]
    return tuple(dict.fromkeys(filter(None, found)))


def _of_card(path: Path) -> list[Part]:
    """The parts that the `configs` of a data set's README.md name, a configuration for each language."""
    from datasets import get_dataset_config_names, load_dataset_builder

    try:
        names = get_dataset_config_names(str(path))
        if names == ["default"]:
            return []
        parts = {name: load_dataset_builder(str(path), name).config.data_files for name in names}
    except Exception as error:  # datasets raises what it likes for a card that is odd
        raise InputError(
            f"{path / 'README.md'} names configurations that cannot be read ({first_line(error)}); mend or remove it."
        ) from None
    return [
        _part(Path(file), (Path(file).parent.name,), languages.usual(name), SPLIT_WORDS.get(split.lower()))
        for name, files in parts.items()
        for split, inside in (files or {}).items()
        for file in inside
    ]


def _no_table(path: Path) -> Table:
    raise InputError(f"{path} is no table that can be read; expected a file that ends in {', '.join(_READERS)}.")


def _separated(path: Path, **manner: Any) -> Table:
    """A CSV or TSV with a header; rows without anything in them are none."""
    limit = csv.field_size_limit(_LONGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file, strict=True, **manner) if any(map(str.strip, line))]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from None
    except csv.Error as error:
        raise InputError(f"{path} cannot be read ({error}); mind its quotes, or write it as TSV or JSONL.") from None
    finally:
        csv.field_size_limit(limit)
    header, *rows = lines or [[]]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InputError(f"{path} has the column {twice[0]!r} twice; give each column a name of its own.")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise InputError(f"Row {number} of {path} has {len(row)} fields and the header {len(header)}; mend it.")
    return Table(header, [dict(zip(header, row, strict=True)) for row in rows])


def _lines(path: Path) -> Table:
    """A JSONL: an object in each line, all with the same keys."""
    rows = []
    for line in path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"it is no object but {str(row)[:20]}")
        except ValueError as error:
            raise InputError(f"Row {len(rows) + 1} of {path} cannot be read ({error}); mend it there.") from None
        rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return Table(columns, rows)


def _parquet(path: Path) -> Table:
    from datasets import Features
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.ParquetFile(path).read()
        rows = table.to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({first_line(error)}); write it again.") from None
    named = Features.from_arrow_schema(table.schema) if b"huggingface" in (table.schema.metadata or {}) else {}
    return Table(table.column_names, rows, _names(named))


def _names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The names of the classes of the columns that have them as numbers."""
    return {name: tuple(feature.names) for name, feature in features.items() if hasattr(feature, "names")}


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _separated,
    ".tsv": partial(_separated, delimiter="\t", quoting=csv.QUOTE_NONE),
    ".jsonl": _lines,
    ".parquet": _parquet,
}

ENDINGS = {"nli": tuple(_READERS), "qa": (".json",)}
"""The files that rows of a task are read from."""


def is_name(path: Path) -> bool:
    """May this be the name of a data set on the hub: `owner/name` or `name`, and nothing on this disk?"""
    packed = path.name.lower().endswith((".zip", ".gz", ".tgz", *ENDINGS["nli"], *ENDINGS["qa"]))
    return bool(re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", str(path))) and not packed and not path.exists()


def of_hub(name: str) -> list[Part]:
    """The parts of a data set on the hub: the splits of each configuration that is a language, or of the only one."""
    from datasets import get_dataset_config_names, load_dataset
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        try:
            HfApi().dataset_info(name, timeout=10)  # datasets would try a hub out of reach for half a minute
        except OfflineModeIsEnabled:
            pass  # what was loaded before is there
        configs = get_dataset_config_names(name)
        chosen = {config: code for config in configs if (code := languages.usual(config))}
        if not chosen and len(configs) > 1:
            raise InputError(
                f"{name} has the configurations {some(configs)}, and none is a language; save the one you want as a "
                "file and give that."
            )
        loaded = {config: load_dataset(name, config) for config in chosen or configs}
    except InputError:
        raise
    except Exception as error:  # the hub's client and datasets raise what they like
        raise InputError(
            f"There is no file or directory {name}, and no data set of this name could be loaded from the hub "
            f"({first_line(error)}); mend the name, or try again with a network."
        ) from None
    return list(_loaded(name, loaded, chosen))


def _loaded(name: str, loaded: Mapping[str, Any], chosen: Mapping[str, str]) -> Iterator[Part]:
    for config, splits in loaded.items():
        for split, rows in splits.items():
            table = Table(rows.column_names, rows, _names(rows.features))
            code, which = chosen.get(config), SPLIT_WORDS.get(split.lower())
            where = f"{name} ({config}, {split})"
            yield Part(where, Path(name), (code,) if code else (), (which,) if which else (), partial(_same, table))


def _same(table: Table) -> Table:
    return table
