"""What a response of the search lab did, try by try, told by exact symbolic analysis.

A response is split at `wait` and `answer`; each part is read as a try
(`5 + 6 = 11 + 9 = 20 ? 20`). Whatever does not fit is counted, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rlnotes.tasks.base import Task, calculate
from rlnotes.tasks.search_language import (
    ANSWER,
    OPERATORS,
    WAIT,
    answered_operators,
    solves,
)


@dataclass(frozen=True)
class Try:
    """One guess as it is written: its operators, its equations, its result."""

    operators: tuple[str, ...]
    equations: int
    correct_equations: int
    result: int
    """The last value that the response wrote, right or wrong."""
    numbers: tuple[int, ...]
    """The numbers that it used, which need not be the question's."""


@dataclass(frozen=True)
class Trace:
    """Counts over one response; sums of them give the rates of `trace_rates`.

    A hit is a try whose written result is the question's target: what the policy can
    see. A repeated try uses operators that the same response has tried before.
    """

    tries: int = 0
    malformed_tries: int = 0
    equations: int = 0
    correct_equations: int = 0
    repeated_tries: int = 0
    hits: int = 0
    hits_answered: int = 0
    misses: int = 0
    misses_retried: int = 0
    """Misses followed by `wait`: backtracking."""
    give_ups: int = 0
    """Misses followed by `answer`."""
    waits: int = 0
    answered: int = 0
    solved: int = 0
    foreign_tries: int = 0
    """Tries with other numbers than the question's; they count as tries as well."""


def read_try(words: list[str], task: Task) -> Try | None:
    """The try that these words are, or None; values need not be right, nor numbers."""
    count = len(task.columns["numbers"])
    if len(words) != 4 * count - 1 or words[-2] != "?":
        return None
    operators, marks = words[1:-2:4], words[3:-2:4]
    numbers = words[0:1] + words[2:-2:4]
    values = words[4:-2:4]
    if set(marks) != {"="} or not set(operators) <= set(OPERATORS):
        return None
    if not all(is_value(word) for word in [*numbers, *values, words[-1]]):
        return None
    left = [int(x) for x in [numbers[0], *values[:-1]]]
    right = [
        calculate(a, operator, int(b))
        for a, operator, b in zip(left, operators, numbers[1:], strict=True)
    ]
    correct = sum(a == int(b) for a, b in zip(right, values, strict=True))
    used = tuple(int(word) for word in numbers)
    return Try(tuple(operators), len(values), correct, int(values[-1]), used)


def is_value(word: str) -> bool:
    """Whether a word is one of the numbers 0…99 as the task writes them."""
    return word.isascii() and word.isdecimal() and str(int(word[:3])) == word


def analyze(completion: object, task: Task) -> Trace:
    """The trace of one response; any text is allowed, anything but text is empty."""
    words = completion.split() if isinstance(completion, str) else []
    counts = dict.fromkeys(asdict(Trace()), 0)
    seen: set[tuple[str, ...]] = set()
    for part, ending in parts_of(words):
        found = read_try(part, task)
        if found is None:
            # what a cut-off left unfinished is not malformed
            counts["malformed_tries"] += bool(part) and ending != ""
        else:
            _count_try(counts, found, ending, task)
            counts["repeated_tries"] += found.operators in seen
            seen.add(found.operators)
    counts["waits"] = sum(word in WAIT for word in words)
    operators = answered_operators(completion)
    counts["answered"] = int(len(operators) > 0)
    counts["solved"] = int(solves(operators, task))
    return Trace(**counts)


def trace_rates(traces: Iterable[Trace]) -> dict[str, float]:
    """Shares over many responses; NaN where there was nothing to share.

    arithmetic        correct equations / equations
    hits_recognized   hits followed by `answer` / hits
    misses_retried    misses followed by `wait` / misses (backtracking)
    repeated          tries already made in the same response / tries
    give_up           misses followed by `answer` / responses
    tries, waits      per response
    solved            right answers / responses
    foreign           tries with other numbers than the question's / tries
    """
    rows = [asdict(trace) for trace in traces]
    total = {key: sum(row[key] for row in rows) for key in asdict(Trace())}
    responses = len(rows)

    def share(part: str, whole: int) -> float:
        return total[part] / whole if whole else float("nan")

    return {
        "arithmetic": share("correct_equations", total["equations"]),
        "hits_recognized": share("hits_answered", total["hits"]),
        "misses_retried": share("misses_retried", total["misses"]),
        "repeated": share("repeated_tries", total["tries"]),
        "malformed": share(
            "malformed_tries", total["tries"] + total["malformed_tries"]
        ),
        "give_up": share("give_ups", responses),
        "tries": share("tries", responses),
        "waits": share("waits", responses),
        "solved": share("solved", responses),
        "foreign": share("foreign_tries", total["tries"]),
    }


def parts_of(words: list[str]) -> list[tuple[list[str], str]]:
    """(words, what follows) up to each `wait` or the first `answer`; "" at the end."""
    parts: list[tuple[list[str], str]] = []
    current: list[str] = []
    for word in words:
        if word in WAIT or word in ANSWER:
            parts.append((current, word))
            current = []
            if word in ANSWER:
                return parts
        else:
            current.append(word)
    return [*parts, (current, "")]


def _count_try(counts: dict[str, int], found: Try, ending: str, task: Task) -> None:
    hit = found.result == task.columns["target"]
    counts["tries"] += 1
    counts["foreign_tries"] += found.numbers != tuple(task.columns["numbers"])
    counts["equations"] += found.equations
    counts["correct_equations"] += found.correct_equations
    counts["hits" if hit else "misses"] += 1
    if hit:
        counts["hits_answered"] += ending in ANSWER
    else:
        counts["misses_retried"] += ending in WAIT
        counts["give_ups"] += ending in ANSWER
