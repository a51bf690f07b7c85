"""ROWS of a Hugging Face dataset or a local file: questions and their answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from rlnotes.equations.validation import check_choice, check_range
from rlnotes.machine.hub import cache_alone_if_unreachable
from rlnotes.tasks.final_answers import plain_number, reference_answer

BUILDERS = {
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class DatasetOptions:
    """Where the questions are and how they are asked.

    `path` is a hub id, a folder or a file, `subset` the dataset's configuration. The
    reference answer is what follows the last "####" of the answer column, else its last
    \\boxed{…}, else all of it. `verifier`: "number" compares numbers as text, "math" by
    math-verify; None: "number" if every answer is one. `held_out` counts questions:
    from `test_split`, or (a file has none) from those set apart by their text.
    """

    path: str
    subset: str | None = None
    question_column: str = "question"
    answer_column: str = "answer"
    split: str = "train"
    test_split: str | None = None
    template: str = "boxed"
    verifier: str | None = None
    held_out: int = 128

    def __post_init__(self) -> None:
        """Refuse what no dataset could have, before one is loaded."""
        check_choice("template", self.template, ("boxed", "r1"))
        check_choice("verifier", self.verifier, (None, "number", "math"))
        check_range("held_out", self.held_out, low=1, integer=True)
        for field in fields(self)[:6]:
            value = getattr(self, field.name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ValueError(f"{field.name}: expected a text, got {value!r}")


class Row(NamedTuple):
    """A question, its final answer, and the text of the column that ends in it."""

    question: str
    answer: str
    solution: str


def read_rows(options: DatasetOptions, split: str) -> list[Row]:
    """The rows of one split, whatever can be read in them."""
    dataset = _load_split(options, split)
    columns = (options.question_column, options.answer_column)
    for option, column in zip(("question", "answer"), columns, strict=True):
        if column not in dataset.column_names:
            raise ValueError(
                f"{option}_column: {options.path} has no column {column!r}, it has"
                f" {dataset.column_names}"
            )
    texts = (map(_text, dataset[column]) for column in columns)
    return [Row(q, reference_answer(a), a) for q, a in zip(*texts, strict=True)]


def _load_split(options: DatasetOptions, split: str) -> Any:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ImportError(
            f"{options.path} needs datasets: pip install 'rlnotes[tasks]'"
        ) from error
    builder = BUILDERS.get(Path(options.path).suffix)
    local = builder or options.path.startswith((".", "/", "~"))
    if local and not Path(options.path).expanduser().exists():
        raise FileNotFoundError(f"path: no file or folder {options.path}")
    path = str(Path(options.path).expanduser()) if local else options.path
    where: dict[str, Any] = {"path": path, "name": options.subset}
    if builder:
        where = {"path": builder, "data_files": path}
    elif local:
        where["name"] = None  # a subset of the hub's, not of a folder's
    try:
        with quiet_datasets(), nullcontext() if local else cache_alone_if_unreachable():
            return load_dataset(**where, split=split)
    except ValueError as error:  # an unknown split or subset: it lists those there are
        raise ValueError(f"{options.path}: {_line(error)}") from error
    except Exception as error:  # each way of failing has another type
        raise RuntimeError(
            f"dataset {options.path!r} could not be loaded ({_line(error)}); without"
            " the hub take a local copy: file/<path>.jsonl, or the option path=<folder>"
        ) from error


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Hide bars, and the hub's line for every further try, and put them back."""
    import datasets
    from huggingface_hub.utils import logging

    level, hidden = logging.get_verbosity(), datasets.are_progress_bars_disabled()
    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if not hidden:
            datasets.enable_progress_bars()


def _line(error: Exception) -> str:
    """The innermost reason in one line."""
    reason = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return " ".join(str(reason).split())[:300] or type(reason).__name__


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def fitting_verifier(rows: Sequence[Row]) -> str:
    """ "number" if every answer is one, else "math"."""
    answers = [row.answer for row in rows if row.answer]
    return "number" if all(map(plain_number, answers)) else "math"


def readable_rows(
    options: DatasetOptions, split: str, rows: Sequence[Row], verifier: str
) -> list[tuple[str, str]]:
    """Distinct (question, answer) pairs; a warning counts the rows left out."""
    numbers = verifier == "number"
    pairs = [(q, plain_number(a) or "" if numbers else a) for q, a, _ in rows]
    bad = [index for index, pair in enumerate(pairs) if not all(pair)]
    if len(bad) == len(pairs):
        kind = " as a number" if numbers else ""
        raise ValueError(
            f"answer_column: no answer in {options.answer_column!r} of {options.path}"
            f" can be read{kind}; the first is {rows[0].solution[:80]!r}"
        )
    if bad:
        warnings.warn(
            f"{options.path}, split {split!r}: {len(bad)} of {len(rows)} rows have no"
            f" question or no answer that can be read (row {bad[0]} first): left out",
            stacklevel=3,
        )
    return list(dict(pair for pair in pairs if all(pair)).items())
