"""Responses out of JSONL files, one at a time, whatever the lines hold.

A line is a JSON object with a completion: a text, or chat messages, of which the
assistant's last counts, or another shape that is published (`shapes`). What is none is
counted by the `Reader` and passed over; `strict` stops at the first. Memory is that of
the longest line, or of the file where that is one JSON array.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from rlnotes.reflection.shapes import completions_of, opened, whole_records

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


class _BadLine(ValueError):
    """A fault, by its name in `Reader.faults`, and what it is."""


@dataclass
class Reader:
    """Reads files of responses and counts what their lines were."""

    field: str = "completion"
    step_field: str = "step"
    strict: bool = False
    progress: bool = False
    lines: int = 0
    responses: int = 0
    faults: Counter[str] = dataclasses.field(default_factory=Counter)
    """Lines passed over: broken_json, not_an_object, without_completion. Lines read all
    the same: invalid_utf8, with U+FFFD for what was none, and bad_step, at no step."""

    def read(self, path: str | os.PathLike[str]) -> Iterator[RecordedResponse]:
        """The responses of a file, or of stdin for `-`.

        Blank lines are passed over. Raises ValueError naming the line if `strict` and
        one is broken, and in any case for a file without a single completion.
        """
        before, seen = self.responses, Counter[str]()
        for number, line in enumerate(_lines(path, self.progress), 1):
            if isinstance(line, bytes) and not line.strip():
                continue
            self.lines += 1
            try:
                record = self._record(line)
                seen.update(map(str, record))
                responses = self._parse(record, str(path))
            except _BadLine as error:
                kind, reason = error.args
                if self.strict:
                    raise ValueError(f"{path}, line {number}: {reason}") from None
                self.faults[kind] += 1
            else:
                self.responses += len(responses)
                yield from responses
        if self.responses == before:
            has = f"; they have {[name for name, _ in seen.most_common(12)]}"
            raise ValueError(
                f"{path}: no completion in field {self.field!r} of any line"
                f"{has if seen else ''}"
            )

    def _record(self, line: bytes | dict[str, Any]) -> dict[str, Any]:
        return line if isinstance(line, dict) else _parse_object(self._decode(line))

    def _parse(self, record: dict[str, Any], source: str) -> list[RecordedResponse]:
        rows = completions_of(record, self.field)
        if not rows:
            raise _BadLine(
                "without_completion", f"no completion in field {self.field!r}"
            )
        step = record.get(self.step_field)
        if step is not None and not _is_number(step):
            self._mend("bad_step", f"{self.step_field} is no number: {step!r:.40}")
            step = None
        return [self._response(row, step, source) for row in rows]

    def _response(
        self, record: dict[str, Any], step: float | None, source: str
    ) -> RecordedResponse:
        text, length = record[self.field], record.get("length")
        if _is_number(length) and length >= 0:
            return RecordedResponse(text, int(length), True, step, record, source)
        words = len(text.split())
        return RecordedResponse(text, words, False, step, record, source)

    def _decode(self, line: bytes) -> str:
        try:
            return line.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self._mend("invalid_utf8", f"not UTF-8: {error.reason}")
            return line.decode("utf-8-sig", errors="replace")

    def _mend(self, kind: str, reason: str) -> None:
        if self.strict:
            raise _BadLine(kind, reason)
        self.faults[kind] += 1


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


def _parse_object(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _BadLine("broken_json", f"no JSON: {error}") from None
    if not isinstance(record, dict):
        raise _BadLine("not_an_object", f"{type(record).__name__}, no JSON object")
    return record


def _is_number(value: object) -> TypeGuard[float]:
    """A finite number; JSON's true is none, and neither is NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e15


def _lines(
    path: str | os.PathLike[str], progress: bool
) -> Iterator[bytes | dict[str, Any]]:
    """The lines or records of a file, with a bar on stderr if that is a terminal."""
    from tqdm import tqdm

    hidden = None if progress else True
    records = None if str(path) == STDIN else whole_records(Path(path))
    if records is not None:
        yield from tqdm(records, disable=hidden)
        return
    with (
        opened(Path(path)) as file,
        tqdm(unit="B", unit_scale=True, disable=hidden) as bar,
    ):
        for line in file:
            bar.update(len(line))
            yield line
