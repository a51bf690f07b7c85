"""Hints for the exercises of notebook 04, KL and biases."""

from typing import Any

import torch
from torch import Tensor

from rlnotes.equations import divergences
from rlnotes.equations.aggregation import token_weights
from rlnotes.teaching.answers import Hints, gives, same


def kl_1() -> Hints:
    """(logps, ref_logps) → a loss with the value of k3 and the gradient of k2."""
    logps, ref = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -1.0]])

    def gradient(answer: Any) -> Tensor:
        leaf = logps.clone().requires_grad_()
        return torch.autograd.grad(answer(leaf, ref).sum(), leaf)[0]

    yield (
        gives(divergences.kl_k3(logps, ref), logps, ref),
        "the value must be that of k3",
    )
    yield (
        lambda answer: same(gradient(answer), logps - ref),
        "the value is right; the derivative must be log π − log π_ref, so let k3 give"
        " the value (detached) and k2 the gradient",
    )


def kl_2() -> Hints:
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
