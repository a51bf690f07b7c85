"""Hints for the exercises of notebook 02, PPO."""

import torch

from rlnotes.equations.gae import generalized_advantage_estimation
from rlnotes.equations.objectives import value_loss
from rlnotes.equations.surrogates import clipped_surrogate_loss
from rlnotes.teaching.answers import Hints, gives


def ppo_1() -> Hints:
    """(ratio, advantage, epsilon) → slope of the clipped objective by the ratio."""
    for ratio, advantage in (
        (1.0, 2.0),
        (1.5, 2.0),
        (0.5, 2.0),
        (1.5, -1.0),
        (0.5, -1.0),
    ):
        leaf = torch.tensor([[ratio]], requires_grad=True)
        loss = clipped_surrogate_loss(leaf, torch.tensor([advantage]), epsilon=0.2)
        slope = -float(torch.autograd.grad(loss.sum(), leaf)[0])
        hint = (
            f"for ρ={ratio}, Â={advantage}: which of the two terms is the smaller one?"
        )
        if (ratio, advantage) == (0.5, -1.0):
            hint = "for ρ=0.5, Â=-1 the token has gone far enough"
        yield gives(slope, ratio, advantage, 0.2), hint


def ppo_2() -> Hints:
    """(rewards (T,), values (T,), gamma, lam) → advantages (T,) of one completion."""
    rewards, values = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.2, 0.4, 0.9])
    for gamma, lam, hint in (
        (1.0, 1.0, "with γ = λ = 1 it is the sum of the rewards to come minus V_t"),
        (1.0, 0.0, "with λ = 0 it is δ_t alone, and V after the last token is 0"),
        (0.9, 0.8, "the recursion multiplies by γ·λ, δ_t has γ alone"),
    ):
        advantages, _ = generalized_advantage_estimation(
            rewards[None], values[None], torch.ones(1, 3), gamma=gamma, lam=lam
        )
        yield gives(advantages[0], rewards, values, gamma, lam), hint


def ppo_3() -> Hints:
    """(length, lam) → what is left of a final reward of 1 at the first token, V = 0."""
    for length, lam in ((3, 0.5), (1, 0.95), (12, 0.95)):
        rewards, mask = torch.eye(length)[-1:], torch.ones(1, length)
        advantages, _ = generalized_advantage_estimation(
            rewards, 0 * mask, mask, lam=lam
        )
        hint = (
            f"for length {length}: how many steps from the first token to the reward?"
        )
        yield gives(advantages[0, 0], length, lam), hint


def ppo_4() -> Hints:
    """(value, old_value, target, c) → slope of the clipped value loss."""
    one = torch.ones(1, 1)
    for value, hint in (
        (0.6, "inside the range it is V − R"),
        (0.9, "V has moved towards R by more than c: the clipped error is larger"),
        (0.1, "V has moved away from R: the plain error is larger, its slope stays"),
    ):
        leaf = torch.tensor([[value]], requires_grad=True)
        loss = value_loss(leaf, 0.5 * one, one, one, cliprange_value=0.2)
        slope = float(torch.autograd.grad(loss, leaf)[0])
        yield gives(slope, value, 0.5, 1.0, 0.2), hint


def ppo_5() -> Hints:
    """(beta, kl, target) → PPO's adaptive coefficient after an update (§4)."""
    for beta, kl, expected, hint in (
        (1.0, 0.01, 1.0, "at the target nothing changes"),
        (1.0, 0.1, 2.0, "above 1.5 times the target it doubles"),
        (3.0, 0.001, 1.5, "below the target over 1.5 it halves"),
        (1.0, 0.0149, 1.0, "the band reaches from target / 1.5 to 1.5 · target"),
    ):
        yield gives(expected, beta, kl, 0.01), hint
