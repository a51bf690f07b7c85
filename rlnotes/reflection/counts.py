"""Sums over responses from which every rate of reflection is made.

A file is read once, line by line: memory holds one `Counts` a training step, and with
`benefit` some 600 bytes for every different problem of every step and file.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from rlnotes.reflection.benefit import (
    Flips,
    MatchedCounts,
    is_right,
    problem_of,
    right_before_reflection,
    share,
)
from rlnotes.reflection.lab import BEHAVIORS, lab_reflection, search_question
from rlnotes.reflection.responses import Reader, RecordedResponse
from rlnotes.reflection.text import folded_behaviors
from rlnotes.reflection.words import WordList

MAX_STEPS = 20_000
_WAIT = WordList("wait", ("wait",))


@dataclass
class Counts:
    """Sums over responses: those of a whole are the sums of those of its parts."""

    responses: int = 0
    tokens: int = 0
    measured: int = 0
    """Responses whose tokens are the record's `length`, not white-space words."""
    reflecting: int = 0
    """Responses with at least one word of the list."""
    words: Counter[str] = field(default_factory=Counter)
    waits: int = 0
    """The word `wait` alone, whether or not it is on the list (DeepSeek-R1 Fig 9b)."""
    behaviors: Counter[str] = field(default_factory=Counter)
    lab_responses: int = 0
    """Responses to search questions: their behavior is exact, not by patterns."""
    lab_waits: int = 0
    lab_superficial: int = 0
    right: int = 0
    right_tokens: int = 0
    wrong: int = 0
    wrong_tokens: int = 0

    def add(self, response: RecordedResponse, words: WordList) -> Observed:
        """Count one response, and say what was seen in it."""
        folded = response.text.casefold()
        found = words.count_folded(folded)
        self.responses += 1
        self.tokens += response.tokens
        self.measured += response.measured
        self.reflecting += bool(found)
        self.words.update(found)
        self.waits += _waits(folded, found, words)
        behaviors = self._add_behaviors(response, folded)
        right = self._add_verdict(response)
        return Observed(bool(found), behaviors["backtracking"], right)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        )

    def _add_behaviors(
        self, response: RecordedResponse, folded: str
    ) -> dict[str, bool]:
        question = search_question(response.record.get("prompt"))
        if question is None:
            behaviors = folded_behaviors(folded)
        else:
            lab = lab_reflection(response.text, question)
            behaviors = lab.behaviors()
            self.lab_responses += 1
            self.lab_waits += lab.waits
            self.lab_superficial += lab.superficial
        self.behaviors.update(name for name, shown in behaviors.items() if shown)
        return behaviors

    def _add_verdict(self, response: RecordedResponse) -> bool | None:
        right = is_right(response.record)
        self.right += right is True
        self.right_tokens += response.tokens * (right is True)
        self.wrong += right is False
        self.wrong_tokens += response.tokens * (right is False)
        return right


@dataclass(frozen=True)
class Observed:
    """What one response showed."""

    words: bool
    backtracking: bool
    right: bool | None


@dataclass
class Benefit:
    """Layer 3 over many responses; only those with a verdict go in."""

    matched: dict[str, MatchedCounts] = field(
        default_factory=lambda: {
            "words": MatchedCounts(),
            "backtracking": MatchedCounts(),
        }
    )
    """By what counts as reflection: a word of the list, or the behavior."""
    flips: Flips = field(default_factory=Flips)
    without_verdict: int = 0
    without_problem: int = 0

    def add(
        self, response: RecordedResponse, seen: Observed, words: WordList, name: str
    ) -> None:
        """Count one response; `name` is the field of its completion."""
        if seen.right is None:
            self.without_verdict += 1
            return
        problem = problem_of(response.record)
        self.without_problem += problem is None
        if problem is not None:
            # one policy on one problem: the policy of another step is another one
            key = [response.source, response.step, problem]
            for kind, counts in self.matched.items():
                counts.add(key, reflected=getattr(seen, kind), right=seen.right)
        if seen.words:
            before = right_before_reflection(response.record, words, field=name)
            self.flips.add(before, seen.right)


@dataclass
class Counted:
    """Everything that was counted in some files."""

    by_step: dict[float | None, Counts]
    reading: Reader
    benefit: Benefit | None

    @property
    def total(self) -> Counts:
        """All steps together."""
        return sum(self.by_step.values(), Counts())

    @property
    def steps(self) -> list[float]:
        """Training steps in order; responses without one are only in `total`."""
        return sorted(step for step in self.by_step if step is not None)

    @property
    def untrained(self) -> Counted | None:
        """What was counted at step 0, before any training; None without such a step."""
        if 0 not in self.by_step:
            return None
        return Counted({0: self.by_step[0]}, self.reading, None)


def count_reflection(
    paths: Iterable[str | os.PathLike[str]],
    words: WordList,
    *,
    benefit: bool = False,
    **reading: Any,
) -> Counted:
    """Count words and behavior in JSONL files, by step, and with `benefit` layer 3.

    `reading` are options of a `Reader`: field, step_field, strict, progress. Raises
    FileNotFoundError or ValueError for files that cannot be read, hold no completion
    or, if `strict`, a broken line; and for more than 20,000 steps, which would be an
    id and not a step.
    """
    reader = Reader(**reading)
    counted = Counted({}, reader, Benefit() if benefit else None)
    for response in (one for path in paths for one in reader.read(path)):
        counts = counted.by_step.setdefault(response.step, Counts())
        if len(counted.by_step) > MAX_STEPS:
            raise ValueError(
                f"step_field: {reader.step_field!r} has more than {MAX_STEPS} values,"
                " expected a training step"
            )
        seen = counts.add(response, words)
        if counted.benefit is not None:
            counted.benefit.add(response, seen, words, reader.field)
    return counted


def rates(counts: Counts, words: WordList) -> dict[str, float]:
    """Shares and means of some counts; NaN where there was nothing to share.

    per_response, per_1000_tokens     words of the list
    share                             responses with at least one
    wait/…                            the same for `wait` alone
    word/<w>                          each word, per response
    behavior/<b>                      responses that show it
    superficial                       waits of the search lab that lead nowhere
    completions/mean_length[_right|_wrong]      in the tokens that were counted
    """
    n, total = counts.responses, sum(counts.words.values())
    values = {
        "per_response": share(total, n),
        "per_1000_tokens": 1000 * share(total, counts.tokens),
        "share": share(counts.reflecting, n),
        "wait/per_response": share(counts.waits, n),
        "wait/per_1000_tokens": 1000 * share(counts.waits, counts.tokens),
    }
    values |= {f"word/{name}": share(counts.words[name], n) for name in words.names}
    values |= {f"behavior/{b}": share(counts.behaviors[b], n) for b in BEHAVIORS}
    return values | {
        "superficial": share(counts.lab_superficial, counts.lab_waits),
        "completions/mean_length": share(counts.tokens, n),
        "completions/mean_length_right": share(counts.right_tokens, counts.right),
        "completions/mean_length_wrong": share(counts.wrong_tokens, counts.wrong),
    }


def _waits(folded: str, found: Counter[str], words: WordList) -> int:
    if "wait" in words.names:
        return found["wait"]
    return _WAIT.count_folded(folded)["wait"] if "wait" in folded else 0
