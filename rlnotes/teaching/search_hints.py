"""Hints for the exercises of notebook 01, the search lab."""

from rlnotes.tasks.search_language import evaluate_steps
from rlnotes.teaching.answers import Hints, gives, predicted


def search_1() -> Hints:
    """(numbers, operators) → the last value, None once it leaves 0…99."""
    for numbers, operators, hint in (
        ((5, 6, 9), "++", "5 + 6 is 11, and 11 + 9 is 20"),
        ((5, 6, 9), "+*", "from left to right: (5 + 6) * 9"),
        ((2, 7), "-", "2 - 7 leaves 0…99"),
        ((9, 9, 9, 9), "**-", "9 * 9 * 9 leaves 0…99, whatever comes after it"),
    ):
        values = evaluate_steps(numbers, operators)
        expected = values[-1] if len(values) == len(operators) else None
        yield gives(expected, numbers, operators), hint


def search_2() -> Hints:
    """Factor of an interval's width with four times as many questions."""
    yield predicted, "replace None by your prediction"
    yield gives(0.5), "the width falls with the square root of the number"
