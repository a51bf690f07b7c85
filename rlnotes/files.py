"""Files that a kill leaves whole: replaced at once, or appended a line at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any


def replace_text(path: Path, text: str) -> None:
    """Write `text` so that the file is the old or the new one, never half of it."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        _flush(file, text)
    os.replace(temporary, path)


def append_text(path: Path, text: str) -> None:
    """Append `text` and return when it is on the disk."""
    with path.open("a", encoding="utf-8") as file:
        _flush(file, text)


def whole_lines(text: str) -> str:
    """`text` without a last line that a kill cut short."""
    return text[: text.rfind("\n") + 1]


def read_mapping(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The names and values of a YAML file (`configs/dapo.yaml`).

    Raises FileNotFoundError when there is no such file, ValueError when it is no YAML
    or holds something else than names with values.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"config: no file {path}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"config: {path} is not valid YAML: {reason}") from None
    if not isinstance(values, dict) or not all(isinstance(k, str) for k in values):
        raise ValueError(f"config: {path} must map names to values, got {values!r:.60}")
    return values


def _flush(file: IO[str], text: str) -> None:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
