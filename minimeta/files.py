"""Where the project's own data lies, and writing a file whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def data_directory() -> Path:
    """The project's data: beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parent / "_data"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "data"


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(record, file, ensure_ascii=False)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
