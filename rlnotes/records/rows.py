"""ROWS of a record: numbers, samples and provenance as text, and exactly back.

A damaged file is a ValueError that names it, its line and what stands there.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlnotes.machine.files import whole_lines


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


def read_metrics(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of a metrics.csv: an int stays one, an empty field is left out.

    A last line that a kill cut short is left out.
    """
    reader = csv.DictReader(io.StringIO(whole_lines(_text(path))))
    columns = list(reader.fieldnames or [])
    if columns[:1] != ["step"]:
        raise ValueError(f"{path}: expected a first column 'step', got {columns[:1]}")
    rows = []
    for line, row in enumerate(reader, 2):
        if None in row or not row["step"]:
            raise ValueError(f"{path}, line {line}: expected {len(columns)} columns")
        rows.append({k: _parsed(x, path, line, k) for k, x in row.items() if x})
    return columns, rows


def read_samples(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The lines of a samples.jsonl, each with what it says; whole lines alone."""
    found = []
    for number, line in enumerate(whole_lines(_text(path)).split("\n")[:-1], 1):
        found.append((line, _mapping(line, f"{path}, line {number}")))
        if "step" not in found[-1][1]:
            raise ValueError(f"{path}, line {number}: expected a step, got none")
    return found


def read_meta(path: Path) -> dict[str, Any]:
    """What a meta.json says."""
    return _mapping(_text(path), str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text: {error}") from None


def _mapping(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{place} is damaged, no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(
            f"{place}: expected names and values, got {text.strip()!r:.40}"
        )
    return value


def _parsed(text: str, path: Path, line: int, column: str) -> float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ValueError(
        f"{path}, line {line}: {column} must be a number, got {text!r:.40}"
    )
