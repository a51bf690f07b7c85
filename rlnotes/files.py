"""Files that a kill leaves whole: replaced at once, or appended a line at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


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


def _flush(file: IO[str], text: str) -> None:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
