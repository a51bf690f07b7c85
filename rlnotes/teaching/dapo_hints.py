"""Hints for the exercises of notebook 08, DAPO."""

import torch

from rlnotes.equations.aggregation import token_weights
from rlnotes.equations.shaping import informative_groups
from rlnotes.teaching.answers import Hints, gives


def dapo_1() -> Hints:
    """(p_old, ε_high) → probability up to which a token with Â > 0 has a gradient."""
    rare, common = torch.tensor([0.01, 0.2]), torch.tensor([0.01, 0.7, 0.9])
    hint = "the clip stops the ratio at 1 + ε_high, so the probability at that × p_old"
    yield gives(1.28 * rare, rare, 0.28), hint
    expected = torch.tensor([0.012, 0.84, 1.0])
    yield gives(expected, common, 0.2), "right for rare tokens; none goes above 1"


def dapo_2() -> Hints:
    """(mask, G) → (N,) share of each completion in the loss, by Eq 8 as written."""
    for lengths, hint in (
        ([3, 9], "one prompt: its tokens over all tokens of its group"),
        ([3, 9, 1, 1], "one prompt is right; with two, each prompt has the same share"),
    ):
        mask = (torch.arange(9) < torch.tensor(lengths)[:, None]).long()
        weights = token_weights(mask, loss_type="dapo_prompt", num_generations=2)
        yield gives(weights.sum(1), mask, 2), hint


def dapo_3() -> Hints:
    """(shaped rewards ±1 + R_length (N,), G) → which groups to keep, (P,) bool."""
    for values, hint in (
        ([1.0, -1, 1, -1], "one right and one wrong: keep, the same: drop"),
        ([-1.0, -2, -1.5, -1, 1, 0.5, 0.25, 1], "unequal rewards of one kind: drop"),
        ([0.0, -1, 1, -2], "with R_length a right one has R ≥ 0, a wrong one R ≤ −1"),
    ):
        rewards = torch.tensor(values)
        expected = informative_groups((rewards > -0.5).float(), 2)
        yield gives(expected, rewards, 2), hint
