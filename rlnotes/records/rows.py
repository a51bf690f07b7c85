"""ROWS of metrics.csv: numbers as text, and exactly back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def as_number(key: str, value: Any) -> float:
    """`value` as an int or float; a 0-dim tensor or numpy number counts as one."""
    if isinstance(value, int):
        return int(value)
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"metrics[{key!r}] must be a number, got {type(value).__name__} {value!r}"
        ) from None


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV lines; a missing column is an empty field."""
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue()


def parse_row(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of text as numbers; an int stays one, an empty field is left out."""
    return {key: _parsed(text) for key, text in row.items() if text}


def _parsed(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)
