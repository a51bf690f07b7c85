"""The fixed split of a task's questions by hash, and stateless draws from it."""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from rlnotes.tasks.base import Task

Item = TypeVar("Item")

HELD_OUT_SHARE = 0.25


class SplitTasks(ABC):
    """`sample` and `held_out` of a task set whose questions are all known."""

    name: str

    @abstractmethod
    def questions(self) -> tuple[Sequence[Any], Sequence[Any]]:
        """(train, held out): each question a tuple of what `task` takes."""

    @abstractmethod
    def task(self, *question: Any) -> Task:
        """One question as a task."""

    def sample(self, count: int, *, seed: int, step: int) -> list[Task]:
        """`count` training tasks, distinct as far as the pool allows."""
        check_sample(count, seed, step)
        rng = random.Random(f"{self.name}/{seed}/{step}")
        return [
            self.task(*question) for question in draw(self.questions()[0], count, rng)
        ]

    def held_out(self) -> list[Task]:
        """The fixed held-out tasks in a fixed random order."""
        return [self.task(*question) for question in self.questions()[1]]


def split_by_hash(
    questions: Sequence[Item], label: Callable[[Item], str]
) -> tuple[list[Item], list[Item]]:
    """(train, held out) questions; those of one label go together.

    The labels are ranked by their hash and the first quarter is held out, in an order
    that is a hash's as well: the same on every machine and Python version.
    """
    labels = ranked(dict.fromkeys(map(label, questions)), str)
    held_out = set(labels[: round(HELD_OUT_SHARE * len(labels))])
    train = [question for question in questions if label(question) not in held_out]
    test = [question for question in questions if label(question) in held_out]
    return train, ranked(test, lambda question: f"order {question}")


def ranked(items: Iterable[Item], text: Callable[[Item], str]) -> list[Item]:
    """The items in the order of their texts' hashes."""
    return sorted(items, key=lambda item: stable_hash(text(item)))


def stable_hash(text: str) -> int:
    """63-bit hash of a text, equal on every machine (unlike Python's `hash`)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def draw(pool: Sequence[Item], count: int, rng: random.Random) -> list[Item]:
    """`count` items without repetition; past the pool's size, whole further rounds."""
    drawn: list[Item] = []
    while len(drawn) < count:
        drawn += rng.sample(pool, min(len(pool), count - len(drawn)))
    return drawn


def check_sample(count: int, seed: int, step: int) -> None:
    """Raise ValueError unless count ≥ 0 and all three are integers."""
    for name, value in (("count", count), ("seed", seed), ("step", step)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name}: expected an integer, got {value!r}")
    if count < 0:
        raise ValueError(f"count: expected 0 or more, got {count}")
