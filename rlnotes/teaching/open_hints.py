"""Hints for the exercises of notebook 13, the open questions."""

from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.preferences import rubric_scores, win_rates
from rlnotes.equations.weighting import variation_weights
from rlnotes.teaching.answers import Hints, gives, predicted, same

_RUBRIC = torch.tensor([1.0, 0.7, 0.3, 0.3, 0.9])
_STYLE = torch.tensor([0.0, 0.2, 0.2, 0.2, 0.0])


def open_1() -> Hints:
    """The advantage of the one of four that earns r₁ where r₂ = 1 − r₁, w₂ = 1, ½."""
    yield predicted, "two numbers in a list: w₂ = 1, then w₂ = ½"
    yield (
        lambda answer: abs(float(answer[0])) < 1e-6,
        "r₂ = 1 − r₁ has the z-scores of r₁ with the other sign",
    )
    hint = "z of the one in four is 1.5, and with w₂ = ½ half of −1.5 is added"
    yield lambda answer: same(torch.tensor(answer), torch.tensor([0.0, 0.75])), hint


def open_2() -> Hints:
    """(rewards (N, K)) → SAW's weights."""
    even = torch.tensor([[1.0, 1], [0, 1], [0, 0], [1, 1], [0, 1], [0, 1]])
    hint = "std over mean of each column, then K times its share of the sum"
    yield gives(variation_weights(even), even), hint
    shifted = even * torch.tensor([1.0, 10]) - torch.tensor([0.0, 1])
    yield gives(variation_weights(shifted), shifted), "take off the column's minimum"


def open_3() -> Hints:
    """(scores (G,)) → win rates in the group, a tie is half a win."""
    for scores, hint in (
        ([0.1, 0.2, 0.3, 9.0], "share of the *other* completions that have less"),
        ([1.0, 1.0, 3.0, 0.0], "a tie is half a win, and nobody plays itself"),
    ):
        group = torch.tensor(scores)
        yield gives(win_rates(group, len(group)), group), hint


def open_4() -> Hints:
    """Two rows of five criteria: the rubric prefers the first, gold the second."""

    def rows(answer: Any) -> Tensor:
        return torch.as_tensor(answer() if callable(answer) else answer).float()

    def is_table(answer: Any) -> bool:
        table = rows(answer)
        return table.shape == (2, 5) and bool(((table == 0) | (table == 1)).all())

    def gold(table: Tensor) -> Tensor:
        return table[:, 0] * (0.4 + table @ _STYLE) - 0.2 * (1 - table[:, 4])

    def rubric_prefers(answer: Any) -> bool:
        first, second = rubric_scores(rows(answer), _RUBRIC).tolist()
        return first > second

    def gold_does_not(answer: Any) -> bool:
        first, second = gold(rows(answer)).tolist()
        return first < second

    yield is_table, "two rows of zeros and ones: right, fresh, brief, sound, honest"
    yield rubric_prefers, "the rubric must pay the first row more"
    yield gold_does_not, "gold must be higher in the second row: style without right?"
