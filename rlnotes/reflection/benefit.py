"""Layer 3 of reflection, benefit: are responses right because they reflect?

Reflection and success may share a cause: easy problems are solved without reflecting.
So accuracy is compared within problems that were answered both ways, and within a
response: what it would have answered before it reflected, and what it answered in the
end. Neither is an experiment; the untrained policy beside it is what to compare with.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlnotes.analysis.intervals import Interval, mean_interval
from rlnotes.reflection.lab import first_try_solves, search_question
from rlnotes.reflection.words import WordList
from rlnotes.rewards.rewards import completion_text
from rlnotes.tasks.final_answers import last_stated
from rlnotes.tasks.numbers import read_number, same_number

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class MatchedCounts:
    """Responses and right ones of every problem, with reflection and without.

    Grows by some 300 bytes with every *different* problem, not with responses. Where
    the policy changes, its step belongs to the problem: else problems that one policy
    reflects on and another does not would compare the policies.
    """

    problems: dict[bytes, list[int]] = field(default_factory=dict)
    """Digest of the problem → [responses, right ones, reflecting, right of these]."""

    def add(self, problem: object, *, reflected: bool, right: bool) -> None:
        """Count one response; `problem` is an id, a prompt, whatever JSON can hold."""
        counts = self.problems.setdefault(_digest(problem), [0, 0, 0, 0])
        for index, one in enumerate((True, right, reflected, right and reflected)):
            counts[index] += one

    def accuracy(self, *, reflected: bool) -> float:
        """Share of right responses with or without reflection, problems not matched."""
        return share(
            sum(r if reflected else right - r for _, right, _, r in self._rows()),
            sum(n if reflected else all_ - n for all_, _, n, _ in self._rows()),
        )

    def difference(self) -> Interval:
        """Accuracy with minus without reflection, matched by problem, 95 % interval.

        d_p = mean(right | reflected, p) − mean(right | not, p) for each problem with
        both kinds; d̄ ± t(n − 1)·s/√n over the n of them. NaN bounds for n < 2.
        """
        return mean_interval(
            [
                r / n - (right - r) / (all_ - n)
                for all_, right, n, r in self._rows()
                if 0 < n < all_
            ]
        )

    def _rows(self) -> Iterable[list[int]]:
        return self.problems.values()


@dataclass
class Flips:
    """The answer before reflection against the final one, over reflecting responses."""

    right_to_right: int = 0
    right_to_wrong: int = 0
    wrong_to_right: int = 0
    wrong_to_wrong: int = 0
    unreadable_to_right: int = 0
    """No answer stood before the reflection: neither a flip nor right if cut there."""
    unreadable_to_wrong: int = 0

    def add(self, before: bool | None, after: bool) -> None:
        """Count one response; `before` is None where no answer could be read."""
        start = {True: "right", False: "wrong", None: "unreadable"}[before]
        name = f"{start}_to_{'right' if after else 'wrong'}"
        setattr(self, name, getattr(self, name) + 1)

    @property
    def responses(self) -> int:
        """All that were counted."""
        return sum(vars(self).values())

    def rates(self) -> dict[str, float]:
        """Shares of the reflecting responses; NaN without any.

        accuracy_if_cut    right before the first reflection
        accuracy           right at the end
        wrong_to_right, right_to_wrong    the flips
        unreadable         without an answer before the first reflection
        """
        unreadable = self.unreadable_to_right + self.unreadable_to_wrong
        right = self.right_to_right + self.wrong_to_right + self.unreadable_to_right
        counts = {
            "accuracy_if_cut": self.right_to_right + self.right_to_wrong,
            "accuracy": right,
            "wrong_to_right": self.wrong_to_right,
            "right_to_wrong": self.right_to_wrong,
            "unreadable": unreadable,
        }
        return {name: share(count, self.responses) for name, count in counts.items()}


def is_right(record: Mapping[str, Any]) -> bool | None:
    """`correct` of a record, its `accuracy`, or `rewards.accuracy_reward`: 1 or 0.

    None where there is neither or another value: part of a reward is no verdict.
    """
    rewards = record.get("rewards")
    reward = rewards.get("accuracy_reward") if isinstance(rewards, Mapping) else None
    value = record.get("correct", record.get("accuracy", reward))
    verdict = isinstance(value, int | float) and value in (0, 1)
    return bool(value) if verdict else None


def problem_of(record: Mapping[str, Any]) -> object:
    """What matches responses: `problem_id`, or else the `prompt`; None with neither."""
    value = record.get("problem_id")
    return record.get("prompt") if value is None else value


def right_before_reflection(
    record: Mapping[str, Any],
    words: WordList,
    *,
    field: str = "completion",
) -> bool | None:
    """Whether the answer readable before the first reflective word is right.

    A search question: the first try's operators, taken as the answer. Any other: the
    last number before the first of `words`, against the record's `answer`. None when no
    answer can be read there.
    """
    text = completion_text(record.get(field))
    question = search_question(record.get("prompt"))
    if question is not None:
        return first_try_solves(text, question)
    before = last_stated(text[: words.first(text)])
    answer = read_number(str(record.get("answer")))
    return None if None in (before, answer) else same_number(before, answer)


def compare_with_baseline(
    rates: Mapping[str, float], baseline: Mapping[str, float]
) -> pd.DataFrame:
    """Every rate beside the untrained policy's: difference and ratio, by name.

    The ratio to 0 is NaN: no number of times nothing. Raises ValueError without a
    baseline, or where one lacks a rate: a rate alone says nothing about training.
    """
    import pandas as pd

    if not baseline or set(rates) != set(baseline):
        raise ValueError(
            "baseline must have the untrained policy's rates, got"
            f" {sorted(baseline or ())} for {sorted(rates)}"
        )
    table = pd.DataFrame({"rate": dict(rates), "baseline": dict(baseline)})
    table = table.loc[list(rates)].astype(float)
    table["difference"] = table["rate"] - table["baseline"]
    table["ratio"] = table["rate"] / table["baseline"].where(table["baseline"] != 0)
    return table


def _digest(problem: object) -> bytes:
    text = json.dumps(problem, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def share(part: float, whole: float) -> float:
    """part / whole; NaN where there is nothing to share."""
    return part / whole if whole else math.nan
