"""Hints for the exercises of notebook 10, rewards in practice."""

from rlnotes.teaching.answers import Hints, gives, predicted


def reward_1() -> Hints:
    """Right completions that an exact box misses, of nine."""
    yield predicted, "replace None by your prediction"
    yield gives(7), "the text in the last box must be 72, without a point or a unit"


def reward_2() -> Hints:
    """Names of the rewards whose groups have a spread."""
    yield predicted, "replace None by your prediction"
    hint = "which reward gives every answer of a group the same?"
    yield lambda answer: answer == {"true", "random", "wrong"}, hint


def reward_3() -> Hints:
    """(text) → last box, else last number, else None."""
    for text, expected, hint in (
        (r"\boxed{71}, no \boxed{72} of 96", "72", "the last box counts"),
        ("3 of 4: 72.", "72", "without a box the last number counts"),
        ("none", None, "without either there is no answer"),
    ):
        yield gives(expected, text), hint
