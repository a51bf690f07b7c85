"""Hints for the exercises of notebook 12, compare runs."""

from typing import Any

from rlnotes.analysis.intervals import mean_interval
from rlnotes.teaching.answers import Hints, gives, predicted


def compare_1() -> Hints:
    """Whether the interval of five differences holds zero."""
    yield predicted, "replace None by your prediction"
    holds = mean_interval([0.02, 0.02, 0.02, 0.02, 0.12]).low < 0
    yield gives(float(holds)), "compute s first: one difference is far from the others"


def compare_2() -> Hints:
    """(first, second) → mean difference and the ends of its 95 % interval."""
    first, second = [0.9, 0.8, 0.85, 0.95, 0.7], [0.8, 0.82, 0.8, 0.9, 0.6]
    found = mean_interval([a - b for a, b in zip(first, second, strict=True)])
    expected = (found.estimate, found.low, found.high)

    def close(answer: Any) -> bool:  # 2.776 stands for Student's 2.77645
        pairs = zip(answer(first, second), expected, strict=True)
        return all(abs(float(mine) - theirs) < 1e-4 for mine, theirs in pairs)

    yield close, "mean ± t(n − 1) · s / √n, s with n − 1"
