"""Responses out of JSONL files, one at a time, whatever the lines hold.

A line is a JSON object with a completion: a text, or chat messages, of which the last
counts (`rewards.completion_text`). What is none is counted in a `Reading` and passed
over; `strict` stops at the first. Memory is that of the longest line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeGuard

from rlnotes.rewards.rewards import completion_text

STDIN = "-"


@dataclass(frozen=True)
class RecordedResponse:
    """One completion with its length."""

    text: str
    tokens: int
    measured: bool
    """`tokens` is the record's own `length`; else it counts white-space words."""
    step: float | None
    record: Mapping[str, Any]
    source: str
    """The file it is from."""


@dataclass
class Reading:
    """What the lines of some files were."""

    lines: int = 0
    responses: int = 0
    broken_json: int = 0
    not_an_object: int = 0
    without_completion: int = 0
    invalid_utf8: int = 0
    """Lines read all the same, with U+FFFD for what was no UTF-8."""
    bad_step: int = 0
    """Responses used all the same, at no step."""

    def problems(self) -> dict[str, int]:
        """The counts of what was not as it should be, without the zeros."""
        kinds = {k: n for k, n in vars(self).items() if k not in ("lines", "responses")}
        return {kind: count for kind, count in kinds.items() if count}


class BadLineError(ValueError):
    """Why a line is refused; `kind` is the field of `Reading` that counts it."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def check_inputs(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Raise before anything is read: no path, a missing file, a folder, `-` twice."""
    if not paths:
        raise ValueError("files: expected a JSONL file or - for stdin, got none")
    if sum(str(path) == STDIN for path in paths) > 1:
        raise ValueError("files: - (stdin) can be read only once")
    for path in paths:
        if str(path) != STDIN and Path(path).is_dir():
            raise ValueError(f"files: {path} is a folder, expected a JSONL file")
        if str(path) != STDIN and not Path(path).exists():
            raise FileNotFoundError(f"files: no file {path}")


def read_responses(
    path: str | os.PathLike[str],
    reading: Reading,
    *,
    field: str = "completion",
    step_field: str = "step",
    strict: bool = False,
    progress: bool = False,
) -> Iterator[RecordedResponse]:
    """The responses of a file, or of stdin for `-`; `reading` is counted up.

    Blank lines are passed over. Raises ValueError naming the line if `strict` and one
    is broken, and in any case for a file without a single completion.
    """
    before = reading.responses
    for number, line in enumerate(_lines(path, progress), 1):
        if not line.strip():
            continue
        reading.lines += 1
        try:
            response = parse_line(
                line, reading, field, step_field, strict=strict, source=str(path)
            )
        except BadLineError as error:
            if strict:
                raise ValueError(f"{path}, line {number}: {error}") from None
            setattr(reading, error.kind, getattr(reading, error.kind) + 1)
        else:
            reading.responses += 1
            yield response
    if reading.responses == before:
        raise ValueError(f"{path}: no completion in field {field!r} of any line")


def parse_line(
    line: bytes,
    reading: Reading,
    field: str,
    step_field: str,
    *,
    strict: bool = False,
    source: str = "",
) -> RecordedResponse:
    """The response of one line. Raises BadLineError, counts what is mended."""
    record = _parse_object(_decode(line, reading, strict))
    completion = record.get(field)
    if not _is_completion(completion):
        raise BadLineError("without_completion", f"no completion in field {field!r}")
    text = completion_text(completion)
    length, step = record.get("length"), record.get(step_field)
    if step is not None and not _is_number(step):
        if strict:
            raise BadLineError("bad_step", f"{step_field} is no number: {step!r:.40}")
        reading.bad_step += 1
        step = None
    if _is_number(length) and length >= 0:
        return RecordedResponse(text, int(length), True, step, record, source)
    return RecordedResponse(text, len(text.split()), False, step, record, source)


def _decode(line: bytes, reading: Reading, strict: bool) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if strict:
            raise BadLineError("invalid_utf8", f"not UTF-8: {error.reason}") from None
        reading.invalid_utf8 += 1
        return line.decode("utf-8-sig", errors="replace")


def _parse_object(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadLineError("broken_json", f"no JSON: {error}") from None
    if not isinstance(record, dict):
        raise BadLineError("not_an_object", f"{type(record).__name__}, no JSON object")
    return record


def _is_completion(value: object) -> bool:
    """A text, or messages whose last one has a content."""
    if isinstance(value, str):
        return True
    last = value[-1] if isinstance(value, list) and value else None
    return isinstance(last, dict) and isinstance(last.get("content"), str | list)


def _is_number(value: object) -> TypeGuard[float]:
    """A finite number; JSON's true is none, and neither is NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e15


def _lines(path: str | os.PathLike[str], progress: bool) -> Iterator[bytes]:
    """The lines of a file, with a bar of its bytes on stderr if that is a terminal."""
    from tqdm import tqdm

    total = None if str(path) == STDIN else os.stat(path).st_size
    hidden = None if progress else True
    with (
        _opened(path) as file,
        tqdm(total=total, unit="B", unit_scale=True, disable=hidden) as bar,
    ):
        for line in file:
            bar.update(len(line))
            yield line


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    if str(path) == STDIN:
        yield sys.stdin.buffer
    else:
        with open(path, "rb") as file:
            yield file
