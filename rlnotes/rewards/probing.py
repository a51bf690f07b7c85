"""PROBE: what does a reward pay for? It is asked, not believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlnotes.rewards.probe_cases import Case, probe_cases
from rlnotes.rewards.rewards import RewardFunction, compute_rewards, reward_name
from rlnotes.tasks.base import Task, TaskSet

_QUESTIONS = 6


@dataclass(frozen=True)
class Row:
    """One case over all questions."""

    case: Case
    value: float
    """Mean reward."""
    paid: int
    """Questions at which it was paid: more than half of what the best case gets."""


@dataclass(frozen=True)
class Probe:
    """What a reward paid for, case by case."""

    reward: str
    task: str
    aspect: str
    questions: int
    rows: tuple[Row, ...]

    @property
    def paid_shortcuts(self) -> list[str]:
        """Cases that deserve nothing and are paid, for some question at least."""
        unearned = [row for row in self.rows if row.case.deserves(self.aspect) is False]
        return [row.case.name for row in unearned if row.paid]

    @property
    def unpaid_honest(self) -> list[str]:
        """Honest answers that deserve the reward and do not always get it."""
        earned = [row for row in self.rows if self._is_earned(row)]
        return [row.case.name for row in earned if row.paid < self.questions]

    @property
    def sound(self) -> bool:
        """Whether it pays for what it should, and for nothing else."""
        return not self.paid_shortcuts and not self.unpaid_honest

    def table(self) -> str:
        """A line of summary, and each case with its mean reward, in Markdown."""
        earned = sum(map(self._is_earned, self.rows))
        unearned = sum(row.case.deserves(self.aspect) is False for row in self.rows)
        lines = [
            f"{self.reward} on {self.task}, as a reward for {self.aspect}: pays for"
            f" {len(self.paid_shortcuts)} of {unearned} shortcuts and for"
            f" {earned - len(self.unpaid_honest)} of {earned} honest answers",
            "",
            f"| case | mean reward | paid of {self.questions} | |",
            "| --- | --- | --- | --- |",
        ]
        for row in sorted(self.rows, key=self._verdict, reverse=True):
            cells = [row.case.name, f"{row.value:.2f}", str(row.paid)]
            lines.append(f"| {' | '.join([*cells, self._verdict(row)])} |")
        return "\n".join(lines)

    def _is_earned(self, row: Row) -> bool:
        return row.case.honest and row.case.deserves(self.aspect) is True

    def _verdict(self, row: Row) -> str:
        if row.case.deserves(self.aspect) is False and row.paid:
            return "shortcut, **paid**"
        if self._is_earned(row):
            return "honest" if row.paid == self.questions else "honest, **not paid**"
        return "shortcut" if row.case.deserves(self.aspect) is False else "not judged"


def probe(reward: RewardFunction, task_set: TaskSet, aspect: str) -> Probe:
    """Ask a reward about every case of some held-out questions.

    The cases of a question come in one call, as the completions of one prompt. Paid is
    what lies nearer to the most that a deserving case gets than to the least of all; a
    reward that gives everything the same pays for nothing. Raises ValueError as
    `compute_rewards`, and for a task with less than two answers.
    """
    questions = _questions(task_set)
    rows: list[list[float]] = []
    paid: list[list[bool]] = []
    cases: list[Case] = []
    for task, wrong in questions:
        cases = probe_cases(task, task_set.name, wrong)
        values = _values(reward, task, cases)
        deserved = [
            x for x, case in zip(values, cases, strict=True) if case.deserves(aspect)
        ]
        middle = (max(deserved) + min(values)) / 2
        rows.append(values)
        paid.append([x > middle for x in values])
    means = [sum(column) / len(questions) for column in zip(*rows, strict=True)]
    counts = [sum(column) for column in zip(*paid, strict=True)]
    found = zip(cases, means, counts, strict=True)
    return Probe(
        reward_name(reward),
        task_set.name,
        aspect,
        len(questions),
        tuple(Row(*one) for one in found),
    )


def _values(reward: RewardFunction, task: Task, cases: Sequence[Case]) -> list[float]:
    """Rewards of the cases, 0 for None; a token is a word."""
    n, chat = len(cases), not isinstance(task.prompt, str)
    texts: list[Any] = [case.text for case in cases]
    said = [[{"role": "assistant", "content": x}] for x in texts] if chat else texts
    rewards = compute_rewards(
        [reward],
        prompts=[task.prompt] * n,
        completions=said,
        completion_ids=[list(range(len(text.split()))) for text in texts],
        answer=[task.answer] * n,
        **{name: [value] * n for name, value in task.columns.items()},
    )
    values: list[float] = rewards[:, 0].nan_to_num().tolist()
    return values


def _questions(task_set: TaskSet) -> list[tuple[Task, str]]:
    """Held-out questions with another question's answer as the wrong one.

    Where there are enough, those that do not name their answer: an echo of the
    question would be right by accident.
    """
    tasks = task_set.held_out()
    answers = sorted({task.answer for task in tasks}, key=lambda x: (len(x), x))
    if len(answers) < 2:
        raise ValueError(f"task: {task_set.name} has one answer only, nothing is wrong")
    hard = [x for x in tasks if x.answer not in str(x.prompt)] or tasks
    chosen = hard[:_QUESTIONS]
    return [(x, _wrong(x.answer, answers)) for x in chosen]


def _wrong(answer: str, answers: Sequence[str]) -> str:
    """Another answer, none that holds this one or is held by it where possible."""
    others = [x for x in answers if x != answer]
    apart = [x for x in others if x not in answer and answer not in x]
    return (apart or others)[-1]
