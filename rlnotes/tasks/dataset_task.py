"""Questions from a Hugging Face dataset or a local file, for real models.

    load_task("gsm8k")                              # openai/gsm8k
    load_task("math")                               # the MATH benchmark, by math-verify
    load_task("hub/<id>?question_column=problem&answer_column=solution")
    load_task("file/<path>.jsonl", held_out=200)    # .json, .jsonl, .csv, .parquet

Options stand behind `?` (so a YAML file can name them) or are keywords. The prompt asks
for the final answer in a box, or with `template="r1"` in R1-Zero's tags;
`template="plain"` asks the question as it is, of a model without a chat template.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rlnotes.equations.validation import check_choice
from rlnotes.tasks.base import Prompt, Task
from rlnotes.tasks.dataset_reading import (
    BUILDERS,
    DatasetOptions,
    Question,
    fitting_verifier,
    read_rows,
    readable_rows,
)
from rlnotes.tasks.final_answers import (
    final_answer,
    final_number,
    without_spaces,
    written_answer,
)
from rlnotes.tasks.math_answers import check_installed, timed_out_verdicts
from rlnotes.tasks.numbers import Number, read_number, same_number
from rlnotes.tasks.splits import SplitTasks, ranked
from rlnotes.tasks.verdicts import same_answer

Rows = tuple[tuple[Question, str], ...]  # (question, answer)

_BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
# DeepSeek-R1 (2501.12948), Table 1: the structure alone, nothing on how to reason.
R1_TEMPLATE = (
    "A conversation between User and Assistant. The user asks a question, and the"
    " Assistant solves it. The assistant first thinks about the reasoning process in"
    " the mind and then provides the user with the answer. The reasoning process and"
    " answer are enclosed within <think> </think> and <answer> </answer> tags,"
    " respectively, i.e., <think> reasoning process here </think> <answer> answer here"
    " </answer>. User: {question}. Assistant:"
)
_SAYS_HOW = re.compile(r"\\boxed|<answer>|Answer:")
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
class DatasetTask(SplitTasks):
    """A dataset's questions as a task set; made by `load_dataset_task`."""

    name: str
    train: Rows
    test: Rows
    template: str
    verifier: str
    chosen: dict[str, Any] = field(default_factory=dict, compare=False)
    """What was chosen of the data, for the record: columns, verifier, examples."""

    def questions(self) -> tuple[Rows, Rows]:
        """(train, held out) pairs of a question and its answer."""
        return self.train, self.test

    def verify(self, completion: str, task: Task) -> float:
        """1.0 if the final answer of the completion is the task's, else 0.0."""
        written = self._written(completion)
        if self.verifier == "number":
            reference = read_number(task.answer)
            return float(same_number(self._number(completion), reference))
        evaluated = self.verifier != "expression"
        same = written and same_answer(written, task.answer, evaluated=evaluated)
        return float(bool(same))

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The final answer: in the last \\boxed{…}, with R1's template in the block.

        Where numbers are asked for, a completion without a box gives its last one.
        """
        if self.verifier == "number":
            number = self._number(completion)
            return None if number is None else str(number)
        return without_spaces(self._written(completion) or "") or None

    def _written(self, completion: object) -> str | None:
        """What stands where the answer belongs."""
        if self.template == "r1":
            return final_answer(completion if isinstance(completion, str) else "", "r1")
        return written_answer(completion)

    def _number(self, completion: object) -> Number | None:
        if self.template == "r1":
            return read_number(self._written(completion) or "")
        return final_number(completion)

    def counters(self) -> dict[str, float]:
        """A metric: comparisons of formulas stopped in this process so far."""
        if self.verifier == "number":
            return {}
        return {"verdicts/timed_out": float(timed_out_verdicts())}

    def task(self, question: Question, answer: str) -> Task:
        """The question in the template's prompt."""
        asked = question if isinstance(question, str) else question[-1][1]
        return Task(self._prompt(question), answer, {"question": asked})

    def _prompt(self, question: Question) -> Prompt:
        """A chat is asked as it stands if it says how to answer."""
        if isinstance(question, str):
            if self.template == "r1":
                return R1_TEMPLATE.replace("{question}", question)
            if self.template == "plain":
                return question
            question = (("user", question),)
            says_how: object = None
        else:
            says_how = _SAYS_HOW.search(" ".join(text for _, text in question))
        *before, (role, last) = question
        turns = [*before, (role, last if says_how else f"{last}\n{_BOXED}")]
        return [{"role": role, "content": text} for role, text in turns]


def load_dataset_task(name: str, **options: Any) -> DatasetTask:
    """The task set of a dataset: "gsm8k", "math", "hub/<id>" or "file/<path>".

    Raises ValueError for an option or a column that is not there, a split that is
    missing, empty, or without an answer that can be read; RuntimeError when the hub
    does not give the dataset; ImportError without datasets or math-verify.
    """
    chosen = _options(name, options)
    splits = [split for split in (chosen.split, chosen.test_split) if split]
    read = {split: read_rows(chosen, split) for split in splits}
    columns = read[chosen.split][1]
    chosen = replace(chosen, question_column=columns[0], answer_column=columns[1])
    verifier = chosen.verifier or fitting_verifier(read[chosen.split][0])
    if verifier == "math":
        check_installed(name)
    kept, left_out = {}, list[str]()
    for split, (rows, _) in read.items():
        kept[split], said = readable_rows(chosen, split, rows, verifier)
        left_out += [said] if said else []
    if chosen.template == "r1" and not isinstance(kept[chosen.split][0][0], str):
        raise ValueError("template: r1 is for texts, got chat messages; take boxed")
    train, test = _train_and_test(chosen, kept)
    if not train:
        raise ValueError(f"{name}: no question is left beside the held-out ones")
    task = DatasetTask(
        _full_name(name, options), train, test, chosen.template, verifier
    )
    task.chosen.update(
        columns=dict(zip(("question", "answer"), columns, strict=True)),
        template=chosen.template,
        verifier=verifier,
        rows={"train": len(train), "held_out": len(test)},
        left_out=left_out,
        examples=[{"prompt": one.prompt, "answer": one.answer} for one in _first(task)],
    )
    return task


def _first(task: DatasetTask) -> list[Task]:
    return [task.task(*question) for question in task.train[:3]]


def _train_and_test(
    options: DatasetOptions, kept: dict[str, list[tuple[Question, str]]]
) -> tuple[Rows, Rows]:
    """The held-out questions and those that are none of them, hash by hash.

    From a test split, or at most a quarter, chosen by the questions' texts.
    """
    train = kept[options.split]
    if options.test_split is None:
        candidates = train = ranked(train, lambda row: str(row[0]))
        count = min(options.held_out, max(1, len(train) // 4))
    else:
        candidates = ranked(kept[options.test_split], lambda row: str(row[0]))
        count = options.held_out
    test = candidates[:count]
    asked = {question for question, _ in test}
    return tuple(row for row in train if row[0] not in asked), tuple(test)


def _options(name: str, options: dict[str, Any]) -> DatasetOptions:
    """Defaults of the named task with `options` over them."""
    known = [field.name for field in fields(DatasetOptions)]
    for option in options:
        check_choice("option", option, known)
    family, _, path = name.partition("/")
    defaults = dict(HUB_TASKS.get(name, {"path": path}))
    if family == "file" and Path(path).suffix not in BUILDERS:
        raise ValueError(
            f"{name}: expected a file that ends in {', '.join(BUILDERS)}, got {path!r}"
        )
    chosen = {**defaults, **options}
    if "test_split" not in options and Path(chosen["path"]).suffix not in BUILDERS:
        chosen["test_split"] = "test"
    return DatasetOptions(**chosen)


def _full_name(name: str, options: dict[str, Any]) -> str:
    """The name with its options: what `load_task` finds it by again."""
    words = "&".join(f"{key}={value}" for key, value in sorted(options.items()))
    return f"{name}?{words}" if words else name
