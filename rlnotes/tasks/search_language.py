"""The search lab's language: tries, `wait` and `answer`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product

from rlnotes.tasks.base import (
    Task,
    calculate,
)

OPERATORS = ("+", "-", "*")

LARGEST = 99

# The same two words in two languages, so that a policy can learn to mix them.
WAIT, ANSWER = ("wait", "等"), ("answer", "答")


def evaluate_steps(numbers: Sequence[int], operators: Sequence[str]) -> list[int]:
    """Values after each operator, left to right; shorter when one leaves 0…99."""
    value, values = numbers[0], []
    for operator, number in zip(operators, numbers[1:], strict=True):
        value = calculate(value, operator, number)
        if not 0 <= value <= LARGEST:
            break
        values.append(value)
    return values


@cache
def legal_tries(numbers: tuple[int, ...]) -> dict[tuple[str, ...], int]:
    """Every choice of operators that stays within 0…99, with its result."""
    results = {}
    for operators in product(OPERATORS, repeat=len(numbers) - 1):
        values = evaluate_steps(numbers, operators)
        if len(values) == len(operators):
            results[operators] = values[-1]
    return results


def answered_operators(completion: object) -> tuple[str, ...]:
    """The words after the only `answer` (or 答) of a text; () when there is not one."""
    words = completion.split() if isinstance(completion, str) else []
    places = [i for i, word in enumerate(words) if word in ANSWER]
    return tuple(words[places[0] + 1 :]) if len(places) == 1 else ()


def solves(operators: tuple[str, ...], task: Task) -> bool:
    """Whether these operators are a legal try that makes the task's target."""
    results = legal_tries(tuple(task.columns["numbers"]))
    return results.get(operators) == task.columns["target"]


def write_try(
    numbers: Sequence[int], operators: Sequence[str], target: int
) -> list[str]:
    """The words of one try: `5 + 6 = 11 + 9 = 20 ? 20`."""
    words = [str(numbers[0])]
    values = evaluate_steps(numbers, operators)
    for operator, number, value in zip(operators, numbers[1:], values, strict=True):
        words += [operator, str(number), "=", str(value)]
    return [*words, "?", str(target)]
