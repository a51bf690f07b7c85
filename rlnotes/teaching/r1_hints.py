"""Hints for the exercises of notebooks 05 and 06, R1-Zero and R1."""

import torch

from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.rewards.language import share_of_words
from rlnotes.supervised.curation import Response, is_right, reject
from rlnotes.tasks.base import Task
from rlnotes.teaching.answers import Hints, gives


def r1_1() -> Hints:
    """(text) → whether it holds words of English and of another language."""
    for text, hint in (
        ("wait so 答", "one English word and one Chinese one are a mixture"),
        ("等 答", "Chinese throughout is not mixed"),
        ("wait answer", "English throughout is not mixed"),
        ("<think>等</think> 5 + 6", "tags and numbers are no words"),
    ):
        yield gives(0 < share_of_words(text, language="en") < 1, text), hint


def r1_2() -> Hints:
    """(answers, reference) → (pass@1, cons@k) of one question."""
    for answers, expected, hint in (
        (["7", "7", "5", "7"], (0.75, 1.0), "three of four are right, and so is most"),
        (["5", "5", "7"], (1 / 3, 0.0), "the majority is wrong"),
        ([None, None, "7"], (1 / 3, 1.0), "no answer is no vote, but counts in pass@1"),
        (["7", "5"], (0.5, 1.0), "of equally frequent answers the first one counts"),
        ([None, None], (0.0, 0.0), "without any vote nothing is right"),
    ):
        yield gives(expected, answers, "7"), hint


def r1_3() -> Hints:
    """(accuracies, truncated, English shares, G, per_prompt) → indices of kept rows."""
    right, english = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0], [1.0, 0.9, 1.0, 1.0, 1.0, 1.0]
    cut = [i == 3 for i in range(6)]
    tasks = [Task("question 0", "")] * 3 + [Task("question 1", "")] * 3
    rows = [Response(tasks[i], str(i), 1, right[i], cut[i]) for i in range(6)]

    def is_english(row: Response) -> bool:
        return english[int(row.completion)] == 1

    for per_prompt, hint in (
        (3, "row 1 is not wholly English, row 2 is wrong, row 3 was cut off"),
        (1, "right without a limit; rows 3, 4 and 5 are answers to one question"),
    ):
        kept = reject(rows, is_right, is_english, per_prompt=per_prompt)
        expected = [int(row.completion) for row in kept]
        yield gives(expected, right, cut, english, 3, per_prompt), hint


def r1_4() -> Hints:
    """(num_generations) → advantages of the one that is lower, and of the others."""
    for size, hint in (
        (4, "for G = 4 it lies 3d / 4 below the mean, and the deviation is d / 2"),
        (16, "right for G = 4; the deviation is d / √G"),
    ):
        rewards = torch.tensor([0.0] + [1.0] * (size - 1))
        lone, other, *_ = group_relative_advantages(rewards, size).tolist()
        yield gives((lone, other), size), hint
