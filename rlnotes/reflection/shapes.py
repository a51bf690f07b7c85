"""SHAPES of published records: where their completions are, and their verdicts.

A text; chat messages, `reasoning_content` before `content`, ShareGPT's `from` and
`value`; an API's `choices`; and lists of any of these, as deep as lm-eval nests its
`resps`. A file has an object a line, or is one JSON array, gzipped or not, or parquet.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rlnotes.rewards.rewards import completion_text

DEFAULT = "completion"
_FIELDS = ("generations", "resps", "choices", "messages", "conversations", "responses")
_SPEAKERS = ("assistant", "gpt", "model", "chatgpt", "bot")
_PROBLEMS = ("problem", "question", "uuid", "doc_id", "doc")
_VERDICTS = ("correctness_math_verify", "correctness", "is_correct", "exact_match")


def completions_of(record: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """The record once for each of its completions, whose text is in `field` then.

    Where there is no `completion`, the fields that open-r1, lm-eval, DeepSeek's API and
    ShareGPT write are looked at. Verdicts and problems get this library's names.
    """
    value, nested = _value(record, field), field != DEFAULT
    if field == DEFAULT and field not in record:
        found = [record[name] for name in _FIELDS if name in record]
        value, nested = (found[0] if found else None), True
    texts = _texts(value, nested=nested)
    if len(texts) == 1 and texts[0] == value:
        return [dict(record)]
    named = dict(record)
    problem = next((record[name] for name in _PROBLEMS if name in record), None)
    if problem is not None and not {"prompt", "problem_id"} & set(record):
        named["problem_id"] = problem
    if len(texts) > 1:
        named.pop("length", None)  # of all of them, or of one that nobody names
    rows = [named | {field: text} for text in texts]
    for name in _VERDICTS:
        flags = record.get(name)
        flags = flags if isinstance(flags, list) else [flags] * len(rows)
        if name in record and len(flags) == len(rows):
            for row, flag in zip(rows, flags, strict=True):
                row.setdefault("correct", flag)
    return rows


def _value(record: Mapping[str, Any], field: str) -> Any:
    value: Any = record
    for name in [field] if field in record else field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _texts(value: Any, *, nested: bool, depth: int = 0) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        text = _text_of(value)
        return [] if text is None else [text]
    if not isinstance(value, list) or not value or depth > 4:
        return []
    if all(isinstance(one, Mapping) and _is_message(one) for one in value):
        said = [_text_of(message) for message in value if _speaks(message)]
        return [text for text in said if text is not None][-1:]
    if not nested:
        return []
    return [t for one in value for t in _texts(one, nested=True, depth=depth + 1)]


def _is_message(value: Mapping[str, Any]) -> bool:
    return bool({"role", "from", "content", "value"} & set(value))


def _speaks(message: Mapping[str, Any]) -> bool:
    role = message.get("role", message.get("from", "assistant"))
    return role in _SPEAKERS


def _text_of(value: Mapping[str, Any]) -> str | None:
    """The text of a message or a choice, what was reasoned first; None without any."""
    if isinstance(value.get("message"), Mapping):
        value = value["message"]
    names = ("content", "value", "text")
    content = next(
        (value[n] for n in names if isinstance(value.get(n), str | list)), None
    )
    thought = value.get("reasoning_content") or value.get("reasoning")
    parts = [thought if isinstance(thought, str) else ""]
    if content is not None:
        parts.append(completion_text([{"content": content}]))
    elif not parts[0]:
        return None
    return "\n".join(filter(None, parts))


def whole_records(path: Path) -> Iterator[dict[str, Any]] | None:
    """The records of a parquet file or a JSON array; None for lines of JSON."""
    if path.suffix == ".parquet":
        return _parquet(path)
    with opened(path) as file:
        if not file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            if path.name.removesuffix(".gz").endswith(".json"):
                return _array(path, one=True)
            return None
    return _array(path)


def _array(path: Path, *, one: bool = False) -> Iterator[dict[str, Any]] | None:
    with opened(path) as file:
        try:
            value = json.loads(file.read())
        except (ValueError, RecursionError):
            return None
    if one and isinstance(value, dict):
        return iter([value])
    fits = isinstance(value, list) and all(isinstance(row, dict) for row in value)
    return iter(value) if fits else None


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise ValueError(
            f"{path}: parquet needs pyarrow: pip install pyarrow"
        ) from None
    for batch in ParquetFile(path).iter_batches(batch_size=256):
        yield from batch.to_pylist()


@contextmanager
def opened(path: str | Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unzipped, or of stdin for `-`."""
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if zipped:
        with gzip.open(path, "rb") as unzipped:
            yield unzipped  # type: ignore[misc]
    else:
        with open(path, "rb") as file:
            yield file
