"""Layer 2 of reflection in the search lab: behavior by exact symbolic analysis.

Gandhi et al. 2025 (arXiv 2503.01307) name four behaviors. Of a response, split into
tries as `search_traces` splits it:

verification      some finished try has the right consequence (a hit is followed by
                  `answer`, a miss by `wait`) and none has the wrong one
backtracking      a miss, `wait`, and right after it a whole try not made before
subgoal_setting, backward_chaining      never: the lab's language has no words for an
                  intermediate goal, and a try runs from the numbers to the target

A try is at the question only with the question's own numbers; any other is passed over.
A try is finished when `wait` or `answer` follows it: one cut off at the end counts for
nothing. Tries are the same when their operators are. Several `wait` in a row are one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from rlnotes.tasks.base import Task
from rlnotes.tasks.search import SEARCH_TASKS
from rlnotes.tasks.search_language import ANSWER, WAIT, solves
from rlnotes.tasks.search_traces import Try, parts_of, read_try

BEHAVIORS = ("verification", "backtracking", "subgoal_setting", "backward_chaining")
_QUESTION = re.compile(r"make ([0-9]{1,2}) from ((?:[1-9] ){2,4}):")
_LONGEST = len("make 99 from 9 9 9 9 :")
_TASK_OF_COUNT = {task.count: task for task in SEARCH_TASKS.values()}


@dataclass(frozen=True)
class LabReflection:
    """Counts over one response; the four behaviors are read from them."""

    right_consequences: int = 0
    wrong_consequences: int = 0
    backtracks: int = 0
    waits: int = 0
    """Runs of `wait`; superficial ones are counted once, whatever they fail at."""
    superficial: int = 0
    waits_after_hit: int = 0
    waits_before_repeat: int = 0
    """`wait`, then operators that the response has tried before."""
    waits_before_nothing: int = 0
    """`wait`, then the end or `answer`."""

    def behaviors(self) -> dict[str, bool]:
        """The four behaviors, two of which this language cannot express."""
        verified = self.right_consequences > 0 and self.wrong_consequences == 0
        found = {"verification": verified, "backtracking": self.backtracks > 0}
        return dict.fromkeys(BEHAVIORS, False) | found


def lab_reflection(completion: object, task: Task) -> LabReflection:
    """What a response to a search question did; anything but text did nothing."""
    words = completion.split() if isinstance(completion, str) else []
    counts = dict.fromkeys(LabReflection.__dataclass_fields__, 0)
    steps = [(_own_try(part, task), part, end) for part, end in _merged(words)]
    seen: set[tuple[str, ...]] = set()
    for (found, _, ending), (following, next_part, _) in pairwise(
        [*steps, (None, [], "")]
    ):
        hit = found is not None and found.result == task.columns["target"]
        if found is not None and ending:
            right = ending in (ANSWER if hit else WAIT)
            counts["right_consequences" if right else "wrong_consequences"] += 1
            seen.add(found.operators)
        if ending in WAIT:
            repeat = following is not None and following.operators in seen
            new_try = following is not None and not repeat
            counts["waits"] += 1
            counts["backtracks"] += found is not None and not hit and new_try
            counts["waits_after_hit"] += hit
            counts["waits_before_repeat"] += repeat
            counts["waits_before_nothing"] += not next_part
            counts["superficial"] += hit or repeat or not next_part
    return LabReflection(**counts)


def first_try_solves(completion: object, task: Task) -> bool | None:
    """Whether what stands before the first `wait` would be right as the answer.

    The first try's operators, taken as the answer; None when that is no try at the
    question.
    """
    words = completion.split() if isinstance(completion, str) else []
    found = _own_try(parts_of(words)[0][0], task)
    return None if found is None else solves(found.operators, task)


def search_question(prompt: object) -> Task | None:
    """The task of a search prompt (`make 20 from 5 6 9 :`), None for other prompts."""
    # only short prompts are remembered: a thousand long ones would fill the memory
    short = isinstance(prompt, str) and len(prompt) <= _LONGEST
    return _question(prompt) if short else None


@lru_cache(maxsize=1024)
def _question(prompt: str) -> Task | None:
    match = _QUESTION.fullmatch(prompt)
    if match is None:
        return None
    numbers = [int(number) for number in match[2].split()]
    try:
        return _TASK_OF_COUNT[len(numbers)].task(numbers, int(match[1]))
    except ValueError:  # a target that cannot be made: nobody's question
        return None


def _own_try(part: list[str], task: Task) -> Try | None:
    found = read_try(part, task)
    own = tuple(task.columns["numbers"])
    return found if found is not None and found.numbers == own else None


def _merged(words: list[str]) -> list[tuple[list[str], str]]:
    """Parts and what follows them, `wait wait` taken as one."""
    parts = parts_of(words)
    kept = parts[:1]
    for before, part in pairwise(parts):
        if not (before[1] in WAIT and not part[0] and part[1] in WAIT):
            kept.append(part)
    return kept
