"""COUNTDOWN: make a target from some numbers with + - * / and parentheses.

    load_task("countdown")                    # made here
    load_task("countdown?path=rows.jsonl")    # columns nums and target
    load_task("countdown?use_all=true")

The question is TinyZero's (Pan et al. 2025): each number can only be used once. So an
answer may leave numbers out. TinyZero's and reasoning-gym's scorers ask for all of
them, and so does `use_all`. Values are exact, and no text is evaluated (`expressions`).
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

from rlnotes.equations.validation import check_choice, check_range
from rlnotes.tasks.base import Task
from rlnotes.tasks.expressions import read_arithmetic
from rlnotes.tasks.final_answers import written_answer
from rlnotes.tasks.numbers import undressed
from rlnotes.tasks.splits import SplitTasks, ranked, split_by_hash

Question = tuple[tuple[int, ...], int]  # numbers, target
_MADE = 8192
_ASK = (
    "Using the numbers {numbers}, create an equation that equals {target}. You can use"
    " basic arithmetic operations (+, -, *, /) and parentheses, and each number can"
    " only be used once{all}. Show your work in <think> </think> tags. And return the"
    " final answer in <answer> </answer> tags,"
    " for example <answer> (1 + 2) / 3 </answer>."
)


@dataclass(frozen=True)
class Countdown(SplitTasks):
    """Questions of 3 or 4 numbers from 1 to 99, or of a file's rows."""

    name: str
    train: tuple[Question, ...]
    test: tuple[Question, ...]
    use_all: bool = False

    def questions(self) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
        """(train, held out): no numbers of the held-out ones are trained on."""
        return self.train, self.test

    def task(self, numbers: tuple[int, ...], target: int) -> Task:
        """The question as a chat message; columns: numbers, target."""
        every = " and all must be used" if self.use_all else ""
        text = _ASK.format(numbers=list(numbers), target=target, all=every)
        columns = {"question": text, "numbers": list(numbers), "target": target}
        return Task([{"role": "user", "content": text}], str(target), columns)

    def verify(self, completion: str, task: Task) -> float:
        """1.0 if the <answer> block (or box) is an expression worth exactly the target.

        In it every number is used at most once (`use_all`: exactly once) and no other;
        "= target" may stand behind it.
        """
        text = self.read_answer(completion, task) or ""
        found = None if "." in text else read_arithmetic(text)
        if found is None or found.value != task.columns["target"]:
            return 0.0
        used = Counter(found.numbers)
        given = Counter(map(Fraction, task.columns["numbers"]))
        return float(used == given if self.use_all else used <= given)

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The expression in the block, without "= target"."""
        text = undressed((written_answer(completion) or "")[:400])
        expression, equals, value = text.partition("=")
        if equals and value.strip() != str(task.columns["target"]):
            return None
        return " ".join(expression.split()) or None


def load_countdown(
    name: str,
    path: str | None = None,
    split: str = "train",
    held_out: int = 128,
    use_all: bool | str = False,
) -> Countdown:
    """The task made here, or of the columns `nums` and `target` of a file or hub id.

    Raises ValueError for a row that has not integers there, naming it.
    """
    check_range("held_out", held_out, low=1, integer=True)
    check_choice("use_all", use_all, (False, True, "false", "true"))
    if path is None:
        train, test = _made()
    else:
        questions = list(dict.fromkeys(_read(path, split)))
        train, test = split_by_hash(questions, lambda one: str(sorted(one[0])))
    if not train or not test:
        raise ValueError(f"{name}: expected at least 4 questions, got {len(train)}")
    every = use_all in (True, "true")
    return Countdown(name, tuple(train), tuple(test[:held_out]), every)


def _read(path: str, split: str) -> list[Question]:
    from rlnotes.tasks.dataset_reading import DatasetOptions, load_split

    rows = load_split(DatasetOptions(path), split)
    for name in ("nums", "target"):
        if name not in rows.column_names:
            raise ValueError(f"{path}: no column {name!r}, it has {rows.column_names}")
    pairs = zip(rows["nums"], rows["target"], strict=True)
    return [_checked(path, i, *pair) for i, pair in enumerate(pairs)]


def _checked(path: str, row: int, numbers: Any, target: Any) -> Question:
    whole = isinstance(numbers, list) and numbers
    if not whole or not all(type(x) is int for x in [*numbers, target]):
        raise ValueError(
            f"{path}, row {row}: expected nums, a list of integers, and target, an"
            f" integer, got {numbers!r:.60} and {target!r:.60}"
        )
    return tuple(numbers), target


@cache
def _made() -> tuple[list[Question], list[Question]]:
    """Questions that some expression of all their numbers solves."""
    rng, questions = random.Random("countdown"), dict[Question, None]()
    while len(questions) < _MADE:
        numbers = tuple(rng.randint(1, 99) for _ in range(rng.choice((3, 4))))
        target = _reached(numbers, rng)
        if target is not None and target not in numbers:
            questions[numbers, target] = None
    train, test = split_by_hash(list(questions), lambda one: str(sorted(one[0])))
    return train, ranked(test, str)


def _reached(numbers: tuple[int, ...], rng: random.Random) -> int | None:
    """The value of a random expression of all numbers, if it is from 10 to 100."""
    values = [Fraction(x) for x in numbers]
    while len(values) > 1:
        rng.shuffle(values)
        a, b = values.pop(), values.pop()
        choices = [a + b, a - b, a * b, *([a / b] if b else [])]
        values.append(rng.choice(choices))
    value = values[0]
    return int(value) if value.denominator == 1 and 10 <= value <= 100 else None
