"""Tasks: seeded, endless questions with a verifier and a fixed held-out split.

A task set is stateless: `sample(count, seed=s, step=t)` gives the same tasks on every
machine, whatever was sampled before, so that a resumed run sees the same questions.
Held-out questions are never sampled; the split does not depend on the run's seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rlnotes.tasks.final_answers import final_number
from rlnotes.tasks.last_numbers import last_number as last_number
from rlnotes.tasks.numbers import read_number, same_number

Prompt = str | list[dict[str, str]]


@dataclass(frozen=True)
class Task:
    """One question: a prompt, its answer, and columns that rewards may read.

    `prompt` is a plain string or a list of chat messages, `answer` the reference as
    text, `columns` further named values (what TRL calls dataset columns).
    """

    prompt: Prompt
    answer: str
    columns: Mapping[str, Any] = field(default_factory=dict)


class TaskSet(Protocol):
    """What a training loop needs of a task: questions to draw, answers to check."""

    @property
    def name(self) -> str:
        """The name by which `load_task` finds it."""

    def sample(self, count: int, *, seed: int, step: int) -> list[Task]:
        """`count` training tasks, a function of (seed, step) alone."""

    def held_out(self) -> list[Task]:
        """The fixed held-out tasks in a fixed random order; any prefix is fair."""

    def verify(self, completion: str, task: Task) -> float:
        """Score in [0, 1] of a completion's text; never raises."""

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The answer a completion gives, as completions vote on it; None without."""


def verify_number(completion: object, task: Task) -> float:
    """1.0 if the completion answers with the task's number, else 0.0.

    The number in its box or <answer> block, which is the whole of what stands there, or
    the last one of a text without either; what stands in <think> is no answer.
    """
    return float(same_number(final_number(completion), read_number(task.answer)))


def calculate(a: int, operator: str, b: int) -> int:
    """a + b, a - b or a * b."""
    return {"+": a + b, "-": a - b, "*": a * b}[operator]
