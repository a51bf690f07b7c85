"""ROWS of a Hugging Face dataset or a local file: questions and their answers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from rlnotes.equations.names import did_you_mean
from rlnotes.equations.validation import check_choice, check_range
from rlnotes.machine.hub import cache_alone_if_unreachable
from rlnotes.tasks.final_answers import plain_number, reference_answer
from rlnotes.tasks.numbers import read_number

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
    columns may be dotted ("reward_model.ground_truth"); those not named are looked for.
    The reference answer is what follows the last "####" of the answer column, else its
    last \\boxed{…}, else all of it. `verifier`: "number" compares numbers exactly,
    "math" formulas by math-verify, "expression" takes "5+7" for 12 as well; None:
    "number" if every answer is one. `held_out` counts questions:
    from `test_split`, or (a file has none) from those set apart by their text.
    """

    path: str
    subset: str | None = None
    question_column: str | None = None
    answer_column: str | None = None
    split: str = "train"
    test_split: str | None = None
    template: str = "boxed"
    verifier: str | None = None
    held_out: int = 128

    def __post_init__(self) -> None:
        """Refuse what no dataset could have, before one is loaded."""
        check_choice("template", self.template, ("boxed", "r1", "plain"))
        check_choice("verifier", self.verifier, (None, "number", "math", "expression"))
        check_range("held_out", self.held_out, low=1, integer=True)
        for field in fields(self)[:6]:
            value = getattr(self, field.name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ValueError(f"{field.name}: expected a text, got {value!r}")


Question = str | tuple[tuple[str, str], ...]  # a text, or (role, content) of a chat
_QUESTIONS = ("question", "problem", "prompt")
_ANSWERS = ("answer", "reward_model.ground_truth", "solution")


class Row(NamedTuple):
    """A question, its final answer, and the text of the column that ends in it."""

    question: Question
    answer: str
    solution: str


def read_rows(options: DatasetOptions, split: str) -> tuple[list[Row], tuple[str, str]]:
    """The rows of one split, and the columns of their questions and answers."""
    dataset = load_split(options, split)
    names = _chosen_columns(options, dataset.column_names)
    questions, answers = (_values(dataset, name) for name in names)
    rows = list[Row]()
    for i, (q, a) in enumerate(zip(questions, answers, strict=True)):
        solution = _text(a, f"row {i}: answer_column {names[1]!r}")
        question = _question(q, f"row {i}: question_column {names[0]!r}")
        rows.append(Row(question, reference_answer(solution), solution))
    return rows, names


def _chosen_columns(options: DatasetOptions, there: Sequence[str]) -> tuple[str, str]:
    """The columns of questions and answers: those named, or the usual ones."""
    chosen = list[str]()
    for kind, usual in (("question", _QUESTIONS), ("answer", _ANSWERS)):
        named = getattr(options, f"{kind}_column")
        found = [n for n in ([named] if named else usual) if n.split(".")[0] in there]
        if not found and {"nums", "target"} <= set(there):
            raise ValueError(
                f"{options.path} has columns nums and target: it is Countdown, take"
                f" task='countdown?path={options.path}'"
            )
        if not found:
            what = f"no column {named!r}" if named else f"none of {list(usual)}"
            raise ValueError(
                f"{kind}_column: {options.path} has {what}, it has {list(there)}"
                f"{did_you_mean(named, there) if named else ''}"
            )
        chosen.append(found[0])
    return chosen[0], chosen[1]


def _values(dataset: Any, name: str) -> Iterator[Any]:
    """The values of a column, or (dotted) of a field of it."""
    column, *fields_ = name.split(".")
    for row, value in enumerate(dataset[column]):
        for field in fields_:
            if not isinstance(value, dict) or field not in value:
                has = sorted(value) if isinstance(value, dict) else repr(value)[:60]
                raise ValueError(f"row {row}: {name!r} needs {field!r}, it has {has}")
            value = value[field]
        yield value


def _text(value: Any, where: str) -> str:
    """The text of a value; ValueError, naming the row, if it is no text or number."""
    if value is None or value != value:  # an empty cell of a table is NaN
        return ""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).strip()
    inside = sorted(value) if isinstance(value, dict) else []
    hint = f"; name one of its fields: {inside}" if inside else ""
    raise ValueError(f"{where}: expected a text or a number, got {value!r:.80}{hint}")


def _question(value: Any, where: str) -> Question:
    """A text, or the chat messages up to the user's last."""
    if not isinstance(value, list):
        return _text(value, where)
    fits = all(isinstance(m, dict) and isinstance(m.get("content"), str) for m in value)
    if not value or not fits:
        raise ValueError(f"{where}: expected a text or messages, got {value!r:.80}")
    if value[-1].get("role") != "user":
        raise ValueError(
            f"{where}: expected messages that end with the user's, got one of role"
            f" {value[-1].get('role')!r} last (does it give the answer away?)"
        )
    return tuple((message["role"], message["content"]) for message in value)


def is_prose(answer: str) -> bool:
    """Whether a reference is a whole solution in words: nothing could ever equal it."""
    return len(re.findall(r"(?<![\\A-Za-z])[A-Za-z]{2,}", answer)) > 5


def load_split(options: DatasetOptions, split: str) -> Any:
    """The table of one split, from a file, a folder or the hub."""
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


def fitting_verifier(rows: Sequence[Row]) -> str:
    """ "number" if every answer is one, else "math"."""
    answers = [row.answer for row in rows if row.answer and not is_prose(row.answer)]
    return "number" if all(map(plain_number, answers)) else "math"


def readable_rows(
    options: DatasetOptions, split: str, rows: Sequence[Row], verifier: str
) -> tuple[list[tuple[Question, str]], str]:
    """Distinct (question, answer) pairs, and what a warning says of those left out."""
    pairs = [(row.question, _reference(row.answer, verifier)) for row in rows]
    bad = [index for index, pair in enumerate(pairs) if not all(pair)]
    first = rows[bad[0]].solution[:80] if bad else ""
    prose = bool(bad) and is_prose(rows[bad[0]].answer)
    hint = (
        "; it is a solution without a box: take answer_column=<the final answers>, or"
        " solutions that end in \\boxed{…} or '#### …'"
        if prose
        else ""
    )
    if len(bad) == len(pairs):
        kind = " as a number" if verifier == "number" else ""
        raise ValueError(
            f"answer_column: no answer in {options.answer_column!r} of {options.path}"
            f" can be read{kind}; the first is {first!r}{hint}"
        )
    said = ""
    if bad:
        said = (
            f"{options.path}, split {split!r}: {len(bad)} of {len(rows)} rows have no"
            f" question or no answer that can be read (row {bad[0]} first): left out"
            f"{hint}"
        )
        warnings.warn(said, stacklevel=3)
    return list(dict(pair for pair in pairs if all(pair)).items()), said


def _reference(answer: str, verifier: str) -> str:
    """The answer as the task keeps it; "" for one that no completion could meet."""
    if is_prose(answer):
        return ""
    if verifier != "number":
        return answer
    number = read_number(answer)
    plain = plain_number(answer) or ("" if number is None else str(number))
    return answer.strip() if number is not None and number.unit else plain
