"""Hints for the exercises of notebook 03, GRPO."""

import torch

from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.surrogates import clipped_surrogate_loss
from rlnotes.teaching.answers import Hints, gives


def grpo_1() -> Hints:
    """(k, G) → advantage of a right and of a wrong completion, biased std."""
    for k, size in ((2, 4), (1, 4), (15, 16)):
        rewards = torch.tensor([1.0] * k + [0.0] * (size - k))
        both = group_relative_advantages(rewards, size, correction=0)[[0, -1]]
        hint = f"for k={k}, G={size}: center 1 and 0 by k/G, then divide by √(p(1 − p))"
        yield gives(tuple(both), k, size), hint


def grpo_2() -> Hints:
    """Leave-one-out advantages of (N,) rewards in groups of G."""
    one, two = torch.tensor([1.0, 0, 1, 0]), torch.tensor([1.0, 0, 0, 2, 5, 5])
    hint = "for rewards 1, 0, 1, 0 the baseline of the first is the mean of 0, 1, 0"
    yield gives(leave_one_out_advantages(one, 4), one, 4), hint
    hint = "one group is right; with two, each needs its own mean"
    yield gives(leave_one_out_advantages(two, 3), two, 3), hint


def grpo_3() -> Hints:
    """(ratio, advantages, epsilon) → which tokens get no gradient."""
    ratio, advantages = torch.tensor([[0.5, 1.0, 1.5]] * 2), torch.tensor([1.0, -1.0])
    leaf = ratio.clone().requires_grad_()
    loss = clipped_surrogate_loss(leaf, advantages, epsilon=0.2).sum()
    stopped = torch.autograd.grad(loss, leaf)[0] == 0
    hint = "each row has one such token: Â > 0 stops above the range, Â < 0 below it"
    yield gives(stopped, ratio, advantages, 0.2), hint
