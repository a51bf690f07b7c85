"""Tasks: seeded, endless questions with a verifier and a fixed held-out split.

A task set is stateless: `sample(count, seed=s, step=t)` gives the same tasks on every
machine, whatever was sampled before, so that a resumed run sees the same questions.
Held-out questions are never sampled; the split does not depend on the run's seed.
"""

import re
import unicodedata
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Prompt = str | list[dict[str, str]]

# A sign counts only where it cannot be a binary operator or a hyphen: "= -3" is −3,
# "5-3" ends in 3. Thousands are groups of exactly three digits. Everything is
# linear in the length of the text: no two branches can match the same digits twice.
_NUMBER = re.compile(
    r"(?:(?<![\w)\]}%])(?P<sign>[-+\u2212\u2013\uff0d\ufe63]))?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<fraction>(?:\.\d+)*)"
)


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


def last_number(text: object) -> str | None:
    """Last number of a text in canonical form, or None if there is none.

    "1,234" → "1234", "−3" (U+2212) → "-3", "4.0" → "4", "3.50." → "3.5", "007" → "7",
    "-0" → "0", "٧" (any Unicode decimal digit) → "7". A number starts with a digit:
    ".5" reads as 5. Exponents and fractions are not parsed: "1e5" → "5", "7/2" → "2".
    "1.2.3" is no number and stays as it is, equal to no answer. Strings are compared,
    so integers of any size are exact. Anything but a `str` has no number.
    """
    numbers = _NUMBER.finditer(text if isinstance(text, str) else "")
    last = deque(numbers, maxlen=1)
    if not last:
        return None
    match = last[0]
    whole, fraction = _ascii_digits(match["whole"]), _ascii_digits(match["fraction"])
    if fraction.count(".") == 1:
        fraction = fraction.rstrip("0").rstrip(".")
    number = (whole.lstrip("0") or "0") + fraction
    negative = match["sign"] not in (None, "+") and number != "0"
    return f"-{number}" if negative else number


def _ascii_digits(text: str) -> str:
    """ASCII form of a run of Unicode decimal digits and dots, commas dropped."""
    if text.isascii():
        return text.replace(",", "")
    return "".join(
        c if c == "." else str(unicodedata.decimal(c)) for c in text if c != ","
    )


def is_number(text: str) -> bool:
    """Whether the whole text is one number in the sense of `last_number`."""
    return _NUMBER.fullmatch(text) is not None


def verify_number(completion: object, task: Task) -> float:
    """1.0 if the last number of the completion equals the answer's, else 0.0."""
    answer = last_number(task.answer)
    return float(answer is not None and last_number(completion) == answer)


def calculate(a: int, operator: str, b: int) -> int:
    """a + b, a - b or a * b."""
    return {"+": a + b, "-": a - b, "*": a * b}[operator]
