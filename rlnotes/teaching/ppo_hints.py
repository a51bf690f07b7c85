"""Hints for the exercises of notebooks 02 and 15, PPO."""

import torch

from rlnotes.equations.gae import generalized_advantage_estimation
from rlnotes.equations.objectives import value_loss
from rlnotes.equations.surrogates import clipped_surrogate_loss
from rlnotes.teaching.answers import Hints, gives, predicted, same


def ppo_1() -> Hints:
    """Slopes of the clipped objective at ρ = 0.5, 1, 1.5: for Â = 1, then −1."""
    yield predicted, "replace None by your prediction"
    ratio = torch.tensor([[0.5, 1.0, 1.5]] * 2, requires_grad=True)
    loss = clipped_surrogate_loss(ratio, torch.tensor([1.0, -1.0]), epsilon=0.2)
    (slope,) = torch.autograd.grad(-loss.sum(), ratio)
    both = slope[0].tolist() + [0.0, 0.0, -1.0]
    yield (
        lambda answer: not same(answer, both),
        "a bad token at ρ = 1 is inside the band",
    )
    hint = "which of the two terms is the smaller one, and does it depend on ρ?"
    yield gives(slope.flatten().tolist()), hint


def ppo_2() -> Hints:
    """(rewards, values, mask (N, T), gamma, lam) → advantages (N, T), 0 off-mask."""
    rewards = torch.tensor([[0.0, 0.5, 1.0], [0.0, 1.0, 0.0]])
    values = torch.tensor([[0.2, 0.4, 0.9], [0.3, 0.6, 7.0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    for rows, gamma, lam, hint in (
        (1, 1.0, 1.0, "with γ = λ = 1 it is the sum of the rewards to come minus V_t"),
        (1, 1.0, 0.0, "with λ = 0 it is δ_t alone, and V after the last token is 0"),
        (1, 0.9, 0.8, "the recursion multiplies by γ·λ, δ_t has γ alone"),
        (
            2,
            0.9,
            0.8,
            "the second row has two tokens: what it says on padding counts 0",
        ),
    ):
        batch = rewards[:rows], values[:rows], mask[:rows]
        advantages, _ = generalized_advantage_estimation(*batch, gamma=gamma, lam=lam)
        yield gives(advantages, *batch, gamma, lam), hint


def ppo_3() -> Hints:
    """The first k with 0.95^k below one half: steps from a token to the reward."""
    yield predicted, "replace None by your prediction"
    rewards, mask = torch.eye(30)[-1:], torch.ones(1, 30)
    advantages, _ = generalized_advantage_estimation(rewards, 0 * mask, mask, lam=0.95)
    steps = int((advantages >= 0.5).sum())  # the last token itself is 0 steps before
    hint = "all δ are 0 but the last, so a token k steps before it hears 0.95 to the k"
    yield gives(steps), hint


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
