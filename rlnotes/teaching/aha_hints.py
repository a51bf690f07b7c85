"""Hints for the exercises of notebooks 07, the aha moment, and 16, its counting."""

from rlnotes.reflection.benefit import MatchedCounts
from rlnotes.reflection.lab import lab_reflection
from rlnotes.tasks.search import SEARCH_TASKS
from rlnotes.tasks.search_language import evaluate_steps, write_try
from rlnotes.teaching.answers import Hints, gives


def aha_1() -> Hints:
    """(before, after, samples) → rise on the questions in reach, rise on the others."""
    shared = "each part is divided by the number of all questions"
    for before, after, parts, hint in (
        ([1, 0], [4, 4], (0.375, 0.5), shared),
        ([4, 2, 0], [2, 4, 0], (0.0, 0.0), "a fall counts too"),
        ([0, 0], [0, 4], (0.0, 0.5), "no right answer before: all of it is new"),
    ):
        yield gives(parts, before, after, 4), hint


def aha_2() -> Hints:
    """(problems, reflected, right) → mean difference of accuracy, by problem."""
    often = "each problem counts once, however often it was answered"
    for names, reflected, right, hint in (
        ("aabb", [1, 0, 1, 0], [1, 0, 1, 1], "the mean of 1 and 0 is ½"),
        ("aab", [1, 0, 1], [1, 0, 0], "b was answered in one way only"),
        ("abaaab", [1, 0, 0, 0, 0, 1], [1, 1, 1, 0, 0, 0], often),
    ):
        problems, counts = list(names), MatchedCounts()
        for problem, wait, good in zip(problems, reflected, right, strict=True):
            counts.add(problem, reflected=bool(wait), right=bool(good))
        expected = counts.difference().estimate
        yield gives(expected, problems, reflected, right), hint


def aha_3() -> Hints:
    """(detected, labeled) → precision and recall, None without a divisor."""
    yes, no = True, False
    for detected, labeled, scores, hint in (
        ([yes, yes, no, no], [yes, no, yes, yes], (1 / 2, 1 / 3), "detected first"),
        ([no, no], [yes, no], (None, 0.0), "nothing detected: no precision"),
        ([yes], [no], (0.0, None), "nothing labeled: no recall"),
    ):
        yield gives(scores, detected, labeled), hint


def aha_4() -> Hints:
    """(tries, target) → waits that lead nowhere, as `lab_reflection` counts them."""
    numbers, target = [5, 6, 9], 20
    question = SEARCH_TASKS["search"].task(numbers, target)
    miss, other, hit = ("*", "-"), ("+", "-"), ("+", "+")
    for said, hint in (
        ([(miss, "wait"), (hit, "answer")], "a miss and a new try: none"),
        ([(hit, "wait"), (miss, "answer")], "a hit was thrown away"),
        ([(miss, "wait"), (other, "wait"), (miss, "")], "a try already made"),
        ([(miss, "wait")], "nothing comes after it"),
        ([(hit, "wait"), (hit, "answer")], "two reasons are one superficial wait"),
    ):
        words, tries = [], []
        for operators, word in said:
            words += [*write_try(numbers, operators, target), *word.split()]
            tries.append((operators, evaluate_steps(numbers, operators)[-1], word))
        expected = lab_reflection(" ".join(words), question).superficial
        yield gives(expected, tries, target), hint
