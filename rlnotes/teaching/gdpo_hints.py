"""Hints for the exercises of notebook 09, GDPO."""

from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.shaping import conditioned_rewards
from rlnotes.teaching.answers import Hints, gives


def gdpo_1() -> Hints:
    """(rewards (N, K), G) → MO-GRPO: GDPO without the batch normalization."""
    one = torch.tensor([[1.0, 0], [1, 0], [0, 0], [0, 1]])
    two = torch.cat([one, torch.tensor([[1.0, 5], [1, 0], [1, 0], [1, 5]])])
    for rewards, hint in (
        (one, "for one group: center and divide each column, then add the columns"),
        (two, "right for one; of two, each has its own mean, and a constant adds 0"),
    ):
        expected = decoupled_advantages(rewards, 4, batch_stats="none")
        yield gives(expected, rewards, 4), hint


def gdpo_2() -> Hints:
    """(k, G) → z-score of one of the k that earned the point, unbiased std."""
    for k, size in ((1, 16), (1, 4), (3, 8), (7, 8)):
        rewards = torch.tensor([1.0] * k + [0.0] * (size - k))
        expected = group_relative_advantages(rewards, size)[0]
        hint = f"for k={k}, G={size}: (1 − p) / √(p(1 − p)·G/(G − 1)) with p = k/G"
        yield gives(expected, k, size), hint


def gdpo_3() -> Hints:
    """() → (4, 2) rewards with equal totals that GDPO tells apart."""

    def rewards(answer: Any) -> Tensor:
        return torch.as_tensor(answer() if callable(answer) else answer).double()

    def separates(answer: Any) -> bool:
        total = rewards(answer).sum(1)
        advantages = decoupled_advantages(rewards(answer), 4, batch_stats="none")
        same = total[:, None] == total
        return bool((same & ((advantages[:, None] - advantages).abs() > 1e-6)).any())

    def is_binary(answer: Any) -> bool:
        values = rewards(answer)
        return values.shape == (4, 2) and bool(((values == 0) | (values == 1)).all())

    yield is_binary, "a tensor (4, 2) of zeros and ones"
    yield (
        lambda answer: bool(rewards(answer)[:, 1].sum() >= 2),
        "pay the second column to two or more of the four",
    )
    hint = "two with (1, 0) and (0, 1), and columns that are paid unequally often"
    yield separates, hint


def gdpo_4() -> Hints:
    """(rewards (G, K)) → weights that make GDPO's sum GRPO's numerator."""
    one = torch.tensor([[1.0, 0], [1, 0], [0, 0], [0, 1]])
    two = torch.tensor([[1.0, 5, 2], [0, 0, 7], [1, 1, 0]])
    for rewards in (one, two):
        hint = "the weight must undo the division of its own column"
        yield gives(rewards.std(0), rewards), hint


def gdpo_5() -> Hints:
    """(rewards (N, K), k, on, threshold) → Eq 8 with several conditions."""
    rewards = torch.tensor([[1.0, 1, 1], [1, 0, 1], [0, 1, 1], [2, 1, 0]])
    expected = conditioned_rewards(rewards, conditioned=2, on=0, threshold=1.0)
    hint = "with one condition it is conditioned_rewards: a copy, column k set to 0"
    yield gives(expected, rewards, 2, [0], 1.0), hint
    expected = conditioned_rewards(expected, conditioned=2, on=1, threshold=1.0)
    hint = "one condition is right; with two, both must hold"
    yield gives(expected, rewards, 2, [0, 1], 1.0), hint
