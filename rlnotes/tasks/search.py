"""The search lab's task: fill in operators until the target is met, by guess and check.

    make 20 from 5 6 9 :
    5 * 6 = 30 - 9 = 21 ? 20 wait 5 + 6 = 11 + 9 = 20 ? 20 answer + +

The numbers stay in order, operators apply from left to right, and every value on the
way lies in 0…99, so that each number is one token. A response tries operators, ends a
try with its result and the target, and then says `wait` or `answer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from rlnotes.tasks.base import Task
from rlnotes.tasks.search_language import answered_operators, legal_tries, solves
from rlnotes.tasks.splits import SplitTasks, check_sample, split_by_hash

HELD_OUT_TASKS = 128
Question = tuple[tuple[int, ...], int]  # numbers, target


@cache
def _split_questions(count: int) -> tuple[list[Question], list[Question]]:
    """(train, held-out) questions; all targets of the same numbers go together."""
    questions = [
        (numbers, target)
        for numbers in product(range(1, 10), repeat=count)
        for target in sorted(set(legal_tries(numbers).values()))
    ]
    return split_by_hash(questions, lambda question: f"search {question[0]}")


@dataclass(frozen=True)
class SearchTask(SplitTasks):
    """Countdown-like search over `count` one-digit numbers in a given order.

    A question is a pair of numbers and a target that some legal try reaches, uniform
    over all such pairs. With 2, 3 or 4 numbers there are at most 3, 9 or 27 tries.
    """

    name: str
    count: int = 3

    def questions(self) -> tuple[list[Question], list[Question]]:
        """(train, held out): at most 128 about numbers that training never shows."""
        train, test = _split_questions(self.count)
        return train, test[:HELD_OUT_TASKS]

    def task(self, numbers: Sequence[int], target: int) -> Task:
        """The question "make `target` from `numbers`".

        Columns: numbers, target. Raises ValueError for numbers outside 1…9, another
        count of them, or a target that no legal try reaches.
        """
        numbers = tuple(numbers)
        if len(numbers) != self.count or not all(n in range(1, 10) for n in numbers):
            raise ValueError(
                f"numbers: expected {self.count} integers from 1 to 9, got {numbers}"
            )
        solutions = [o for o, v in legal_tries(numbers).items() if v == target]
        if not solutions:
            raise ValueError(
                f"target: {target!r} cannot be made from {numbers}; reachable are"
                f" {sorted(set(legal_tries(numbers).values()))}"
            )
        prompt = f"make {target} from {' '.join(map(str, numbers))} :"
        columns = {"numbers": list(numbers), "target": target}
        return Task(prompt, " ".join(solutions[0]), columns)

    def verify(self, completion: str, task: Task) -> float:
        """1.0 if the response ends in one legal answer that makes the target.

        The text is split at blanks and compared word by word: after the only `answer`
        come exactly the operators and nothing else. Nothing is evaluated as code.
        """
        return float(solves(answered_operators(completion), task))

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The operators after the only `answer`."""
        return " ".join(answered_operators(completion)) or None

    def describe(
        self, completions: Sequence[str], tasks: Sequence[Task]
    ) -> dict[str, float]:
        """What the responses did, as `search_traces.trace_rates` counts it."""
        from rlnotes.tasks.search_traces import analyze, trace_rates

        pairs = zip(completions, tasks, strict=True)
        return trace_rates(analyze(text, task) for text, task in pairs)

    @property
    def min_completion_length(self) -> int:
        """Tokens of one try with its answer and the end: less cannot show a check."""
        return (4 * self.count - 1) + 1 + (self.count - 1) + 1


SEARCH_TASKS = {
    "search-easy": SearchTask("search-easy", 2),
    "search": SearchTask("search", 3),
    "search-hard": SearchTask("search-hard", 4),
}


@dataclass(frozen=True)
class AllSearchTasks(SearchTask):
    """Questions of all three sizes in turn: what R1's last stage trains on."""

    name: str = "search-all"
    count: int = max(task.count for task in SEARCH_TASKS.values())

    def sample(self, count: int, *, seed: int, step: int) -> list[Task]:
        """`count` training tasks, a third of each size, the easier ones first."""
        check_sample(count, seed, step)
        shares = [len(range(i, count, len(SEARCH_TASKS))) for i in range(3)]
        return [
            question
            for task, share in zip(SEARCH_TASKS.values(), shares, strict=True)
            for question in task.sample(share, seed=seed, step=step)
        ]

    def held_out(self) -> list[Task]:
        """The held-out questions of the three sizes, taken in turn, at most 128."""
        sizes = [task.held_out() for task in SEARCH_TASKS.values()]
        return [one for trio in zip(*sizes, strict=False) for one in trio][
            :HELD_OUT_TASKS
        ]

    def task(self, numbers: Sequence[int], target: int) -> Task:
        """The question of the size that fits the numbers; ValueError if none does."""
        for task in SEARCH_TASKS.values():
            if task.count == len(numbers):
                return task.task(numbers, target)
        raise ValueError(f"numbers: expected 2, 3 or 4 integers, got {tuple(numbers)}")
