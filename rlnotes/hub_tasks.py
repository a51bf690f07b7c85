"""Questions from a Hugging Face dataset or a local file, for real models.

    load_task("gsm8k")                              # openai/gsm8k
    load_task("math")                               # the MATH benchmark, by math-verify
    load_task("hub/<id>?question_column=problem&answer_column=solution")
    load_task("file/<path>.jsonl", held_out=200)    # .json, .jsonl, .csv, .parquet

Options stand behind `?` (so a YAML file can name them) or are keywords. The prompt asks
for the final answer in a box, or with `template="r1"` in R1-Zero's tags.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from rlnotes.final_answers import final_answer, plain_number, without_spaces
from rlnotes.math_answers import check_installed, equal_answers
from rlnotes.tasks import Prompt, Task, check_sample, draw, last_number, stable_hash
from rlnotes.validation import check_choice, check_range

Rows = tuple[tuple[str, str], ...]  # (question, answer)

_BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
# DeepSeek-R1 (2501.12948), Table 1: the structure alone, nothing on how to reason.
_R1 = (
    "A conversation between User and Assistant. The user asks a question, and the"
    " Assistant solves it. The assistant first thinks about the reasoning process in"
    " the mind and then provides the user with the answer. The reasoning process and"
    " answer are enclosed within <think> </think> and <answer> </answer> tags,"
    " respectively, i.e., <think> reasoning process here </think> <answer> answer here"
    " </answer>. User: {question}. Assistant:"
)
_BUILDERS = {
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
HUB_TASKS: dict[str, dict[str, Any]] = {
    "gsm8k": {"path": "openai/gsm8k", "subset": "main", "verifier": "number"},
    "math": {
        "path": "DigitalLearningGmbH/MATH-lighteval",
        "question_column": "problem",
        "answer_column": "solution",
        "verifier": "math",
    },
}
"""Tasks with a name of their own: the dataset and its columns."""


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


@dataclass(frozen=True)
class DatasetTask:
    """A dataset's questions as a task set; made by `load_dataset_task`."""

    name: str
    train: Rows
    test: Rows
    template: str
    verifier: str

    def sample(self, count: int, *, seed: int, step: int) -> list[Task]:
        """`count` training tasks, distinct as far as the dataset allows."""
        check_sample(count, seed, step)
        rng = random.Random(f"{self.name}/{seed}/{step}")
        return [self._task(*row) for row in draw(self.train, count, rng)]

    def held_out(self) -> list[Task]:
        """The fixed held-out tasks in a fixed random order."""
        return [self._task(*row) for row in self.test]

    def verify(self, completion: str, task: Task) -> float:
        """1.0 if the final answer of the completion is the task's, else 0.0."""
        answer = self.read_answer(completion, task)
        if answer is None:
            return 0.0
        if self.verifier == "number":
            return float(answer == last_number(task.answer))
        reference = task.answer
        same = answer == without_spaces(reference) or equal_answers(answer, reference)
        return float(same)

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The final answer: in the last \\boxed{…}, with R1's template in the block.

        Where numbers are asked for, a completion without a box gives its last one.
        """
        text = completion if isinstance(completion, str) else ""
        found = final_answer(text, self.template)
        if self.verifier == "math":
            return None if found is None else without_spaces(found) or None
        if found is not None:
            return plain_number(found)
        return last_number(text) if self.template == "boxed" else None

    def _task(self, question: str, answer: str) -> Task:
        return Task(self._prompt(question), answer, {"question": question})

    def _prompt(self, question: str) -> Prompt:
        if self.template == "r1":
            return _R1.replace("{question}", question)
        return [{"role": "user", "content": f"{question}\n{_BOXED}"}]


def load_dataset_task(name: str, **options: Any) -> DatasetTask:
    """The task set of a dataset: "gsm8k", "math", "hub/<id>" or "file/<path>".

    Raises ValueError for an option or a column that is not there, a split that is
    missing, empty, or without an answer that can be read; RuntimeError when the hub
    does not give the dataset; ImportError without datasets or math-verify.
    """
    chosen = _options(name, options)
    if chosen.verifier == "math":
        check_installed(name)
    rows = _read_rows(chosen, chosen.split)
    verifier = chosen.verifier or _fitting_verifier(name, rows)
    rows = _readable(chosen, chosen.split, rows, verifier)
    if chosen.test_split is None:
        train, test = _set_apart(rows, chosen.held_out)
    else:
        test = _read_rows(chosen, chosen.test_split)
        test = _in_fixed_order(_readable(chosen, chosen.test_split, test, verifier))
        test = test[: chosen.held_out]
        asked = {question for question, _ in test}
        train = tuple(row for row in rows if row[0] not in asked)
    if not train:
        raise ValueError(f"{name}: no question is left beside the held-out ones")
    return DatasetTask(_full_name(name, options), train, test, chosen.template, verifier)


def _options(name: str, options: dict[str, Any]) -> DatasetOptions:
    """Defaults of the named task with `options` over them."""
    known = [field.name for field in fields(DatasetOptions)]
    for option in options:
        check_choice("option", option, known)
    family, _, path = name.partition("/")
    defaults = dict(HUB_TASKS.get(name, {"path": path}))
    if family == "file" and Path(path).suffix not in _BUILDERS:
        raise ValueError(
            f"{name}: expected a file that ends in {', '.join(_BUILDERS)}, got {path!r}"
        )
    chosen = {**defaults, **options}
    if "test_split" not in options and Path(chosen["path"]).suffix not in _BUILDERS:
        chosen["test_split"] = "test"
    return DatasetOptions(**chosen)


def _full_name(name: str, options: dict[str, Any]) -> str:
    """The name with its options: what `load_task` finds it by again."""
    words = "&".join(f"{key}={value}" for key, value in sorted(options.items()))
    return f"{name}?{words}" if words else name


@lru_cache(maxsize=8)
def _read_rows(options: DatasetOptions, split: str) -> Rows:
    """(question, answer column as text) of one split."""
    dataset = _load_split(options, split)
    columns = (options.question_column, options.answer_column)
    for option, column in zip(("question", "answer"), columns, strict=True):
        if column not in dataset.column_names:
            raise ValueError(
                f"{option}_column: {options.path} has no column {column!r}, it has"
                f" {dataset.column_names}"
            )
    pairs = zip(*(dataset[column] for column in columns), strict=True)
    return tuple((_text(question), _text(answer)) for question, answer in pairs)


def _load_split(options: DatasetOptions, split: str) -> Any:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ImportError(
            f"{options.path} needs datasets: pip install 'rlnotes[tasks]'"
        ) from error
    builder = _BUILDERS.get(Path(options.path).suffix)
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
        with _quiet():
            return load_dataset(**where, split=split)
    except ValueError as error:  # an unknown split or subset: it lists those there are
        raise ValueError(f"{options.path}: {_line(error)}") from error
    except Exception as error:  # each way of failing has another type
        raise RuntimeError(
            f"dataset {options.path!r} could not be loaded ({_line(error)}); without the"
            " hub take a local copy: file/<path>.jsonl, or the option path=<folder>"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
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


def reference_answer(text: str) -> str:
    """The final answer in a reference solution (GSM8K "…#### 42", MATH "…\\boxed{}")."""
    if "####" in text:
        return text.rpartition("####")[2].strip()
    found = final_answer(text, "boxed")
    return text if found is None else found.strip()


def _fitting_verifier(name: str, rows: Rows) -> str:
    """ "number" if every answer is one, else "math"."""
    answers = [reference_answer(answer) for _, answer in rows]
    if all(plain_number(answer) for answer in answers if answer):
        return "number"
    check_installed(name)
    return "math"


def _readable(options: DatasetOptions, split: str, rows: Rows, verifier: str) -> Rows:
    """Distinct questions with their final answers; a warning counts what is left out."""
    read = [(question, reference_answer(answer)) for question, answer in rows]
    if verifier == "number":
        read = [(question, plain_number(answer) or "") for question, answer in read]
    kept = {question: answer for question, answer in read if question and answer}
    bad = [i for i, (question, answer) in enumerate(read) if not (question and answer)]
    if not kept:
        raise ValueError(
            f"answer_column: no answer in {options.answer_column!r} of {options.path} is"
            f" {'a number' if verifier == 'number' else 'there'}; the first is"
            f" {rows[0][1][:80]!r}"
        )
    if bad:
        warnings.warn(
            f"{options.path}, split {split!r}: {len(bad)} of {len(rows)} rows have no"
            f" question or no answer that can be read (row {bad[0]} first): left out",
            stacklevel=3,
        )
    return tuple(kept.items())


def _in_fixed_order(rows: Iterable[tuple[str, str]]) -> Rows:
    """Ranked by a hash of the question: the same order on every machine."""
    return tuple(sorted(rows, key=lambda row: stable_hash(row[0])))


def _set_apart(rows: Rows, held_out: int) -> tuple[Rows, Rows]:
    """(train, held out): at most a quarter, chosen by the questions' texts."""
    ranked = _in_fixed_order(rows)
    count = min(held_out, max(1, len(ranked) // 4))
    return ranked[count:], ranked[:count]
