"""Where the project's own data lies, reading an archive, and writing a file whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
import os
import secrets
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import InputError, first_line


def data_directory() -> Path:
    """The project's data: beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parent / "_data"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "data"


def expanded(path: str | Path) -> str:
    """A path, or a name on the hub, as it is but for ~; raises InputError if there is no such home directory."""
    try:
        return str(Path(path).expanduser()) if str(path).startswith("~") else str(path)
    except RuntimeError:
        raise InputError(f"There is no home directory {Path(path).parts[0]}; write {path} out in full.") from None


def to_write(path: str | Path) -> Path:
    """The file that is to be written; raises InputError if it is a directory, or if there is none to put it in."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory; name a file to write.")
    if not path.parent.is_dir():
        raise InputError(f"There is no directory {path.parent} to write {path.name} to; make it first.")
    return path


PACKED = (".zip", ".tar.gz", ".tgz")
"""How the names of archives end."""


def archived(path: Path, folder: str, name: str) -> bytes | None:
    """The file `name` (`dev/some.json`, say) of an archive; None if it is not there.

    `path` is the archive, the directory that it unpacks to, or one that holds either of them: the directory `folder`,
    or its archive with one of the endings PACKED. Nothing is unpacked to the disk. Raises InputError if there is no
    `path`, nothing of the archive in it, or if the archive is damaged.
    """
    path = Path(expanded(path))
    packed = f"{folder}.zip (or .tar.gz)"
    if not path.exists():
        raise InputError(
            f"There is no {path}; expected {packed}, the directory that it unpacks to, or rows of your own."
        )
    for file in (path / name, path / folder / name):
        if file.is_file():
            return file.read_bytes()
    there = [path / f"{folder}{ending}" for ending in PACKED] if path.is_dir() else [path]
    archive = next((file for file in there if file.is_file()), None)
    if archive is None:
        *first, last = name.split("/")
        if first and any((base / first[0]).is_dir() or any(base.glob(f"*/{last}")) for base in (path, path / folder)):
            return None  # other files of the archive are there
        raise InputError(
            f"{path} has neither {packed} nor {name}; name the directory that holds one of them, or one with rows of "
            "your own (CSV, TSV, JSONL or Parquet; for questions JSON in SQuAD's layout)."
        )
    own = _member(archive, f"*/{folder}/{name}")
    return _member(archive, f"*/{name}") if own is None else own


def holds(path: Path, pattern: str) -> bool:
    """Does a directory, or an archive, hold a file like `pattern` (`*/dev_*.tsv`, say)? False for a damaged archive."""
    if path.is_dir():
        return any(path.glob(pattern))
    try:
        return path.name.endswith(PACKED) and path.is_file() and _member(path, f"*/{pattern}") is not None
    except InputError:
        return False


def _member(archive: Path, pattern: str) -> bytes | None:
    """The first file of an archive whose name, below a slash, is like `pattern`."""
    try:
        with archive.open("rb") as file:
            zipped = file.read(2) != b"\x1f\x8b"  # what gzip begins with
        if not zipped:
            state = archive.stat()
            files = _unpacked(archive, state.st_size, state.st_mtime_ns)
            return next((content for name, content in files.items() if fnmatch(f"/{name}", pattern)), None)
        with zipfile.ZipFile(archive) as opened:
            inside = (each for each in opened.namelist() if not each.endswith("/") and fnmatch(f"/{each}", pattern))
            name = next(inside, None)
            return None if name is None else opened.read(name)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise InputError(
            f"{archive} is damaged or not a zip file or tar.gz ({first_line(error)}); get it again."
        ) from None


@lru_cache(maxsize=1)
def _unpacked(archive: Path, size: int, time: int) -> dict[str, bytes]:
    """All files of a .tar.gz, read once: there is no way into it but from its start, and its checksum is at its end,
    where tarfile does not look. `size` and `time` tell whether it is still the same; names are never used as paths.
    """
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive.read_bytes()))) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened if member.isfile()}


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write in place of `path`, which becomes it, safe on the disk, if all goes well, and is removed if not.

    Nobody ever sees half of `path`. A process that is killed may leave the other file, whose name begins with a dot.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}")
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """A directory to fill in place of `path`, which becomes it if all goes well, and is removed if not.

    Nobody ever sees half of `path`; one that was there goes. A process that is killed may leave another directory,
    whose name begins with a dot.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished.", dir=path.parent) as beside:
        unfinished, before = Path(beside, "new"), Path(beside, "old")
        unfinished.mkdir()
        yield unfinished
        if path.exists():
            path.rename(before)
        unfinished.rename(path)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record whole or not at all."""
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        json.dump(record, file, ensure_ascii=False)


def read_json(path: Path, remedy: str = "delete it, and its run is done again") -> dict[str, Any]:
    """A record that `write_json` wrote; raises InputError, with a remedy, if something else has damaged it."""
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not a whole JSON file ({error}); {remedy}.") from None
