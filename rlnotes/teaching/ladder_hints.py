"""Hints for the exercises of notebook 14, the ladder."""

import math

from rlnotes.teaching.answers import Hints, gives


def ladder_1() -> Hints:
    """(p, n, k) → standard error of avg@k over n fixed problems of one difficulty."""
    for p, n, k, hint in (
        (0.5, 30, 32, "one answer has the variance p(1 − p)"),
        (0.3, 30, 1, "n·k answers are drawn; the error falls with the root of that"),
    ):
        yield gives(math.sqrt(p * (1 - p) / (n * k)), p, n, k), hint


def ladder_2() -> Hints:
    """(Δ, s) → pairs of seeds for a power of .8, by the normal's quantiles."""
    for delta, s, hint in (
        (0.05, 0.05, "solve Δ = (1.96 + 0.84)·s/√n for n"),
        (0.05, 0.03, "pairs are whole: the next number up, not the nearest"),
    ):
        yield gives(math.ceil((2.8 * s / delta) ** 2), delta, s), hint
