"""Hints for the exercises of notebook 03, GRPO."""

from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.aggregation import token_weights
from rlnotes.equations.divergences import kl_k3
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.surrogates import clipped_surrogate_loss
from rlnotes.teaching.answers import Hints, gives, same


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
    """(logps, ref_logps) → a loss with the value of k3 and the gradient of k2."""
    logps, ref = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -1.0]])

    def gradient(answer: Any) -> Tensor:
        leaf = logps.clone().requires_grad_()
        return torch.autograd.grad(answer(leaf, ref).sum(), leaf)[0]

    yield gives(kl_k3(logps, ref), logps, ref), "the value must be that of k3"
    yield (
        lambda answer: same(gradient(answer), logps - ref),
        "the value is right; the derivative must be log π − log π_ref, so let k3 give"
        " the value (detached) and k2 the gradient",
    )


def grpo_4() -> Hints:
    """(mask, max_completion_length) → per-token weights of Dr. GRPO."""
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    longer = torch.ones_like(mask)
    yield (
        lambda answer: same(answer(mask, 8)[1], answer(longer, 8)[1]),
        "a longer first completion changed the weights of the second",
    )
    for case in (mask, longer):
        weights = token_weights(case, loss_type="dr_grpo", max_completion_length=8)
        yield gives(weights, case, 8), "divide by rows times max_completion_length"


def grpo_5() -> Hints:
    """(ratio, advantages, epsilon) → which tokens get no gradient."""
    ratio, advantages = torch.tensor([[0.5, 1.0, 1.5]] * 2), torch.tensor([1.0, -1.0])
    leaf = ratio.clone().requires_grad_()
    loss = clipped_surrogate_loss(leaf, advantages, epsilon=0.2).sum()
    stopped = torch.autograd.grad(loss, leaf)[0] == 0
    hint = "each row has one such token: Â > 0 stops above the range, Â < 0 below it"
    yield gives(stopped, ratio, advantages, 0.2), hint
