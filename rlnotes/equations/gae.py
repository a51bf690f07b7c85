"""Advantages of tokens with a critic: GAE, and VAPO's λ for it."""

from typing import Literal

import torch
from torch import Tensor

from .validation import (
    check_choice,
    check_mask,
    check_masked,
    check_range,
    check_same_shape,
    check_shape,
)

Masked = Literal["carry", "zero"]


def generalized_advantage_estimation(
    rewards: Tensor,
    values: Tensor,
    completion_mask: Tensor,
    *,
    gamma: float = 1.0,
    lam: float | Tensor = 0.95,
    masked: Masked = "carry",
) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation (GAE).

    δ_t = r_t + γ·V_{t+1} − V_t,   Â_t = δ_t + γλ·Â_{t+1},   R_t = Â_t + V_t

    PPO (Schulman et al., 2017) Eq 11 and 12, as the recursion: the exponent printed
    for the last term of the sum is two too large. After the last token V and Â are 0.

    Args:
        rewards: (N, T) reward of each token.
        values: (N, T) critic's value before each token.
        completion_mask: (N, T) zeros and ones.
        gamma: discount in [0, 1].
        lam: λ in [0, 1], one for all or (N,), see `length_adaptive_lambda`.
        masked: a gap inside a completion (a tool's answer) is stepped over by
            "carry" (verl, NeMo) and counts as a step with V = 0 for "zero" (OpenRLHF).
            Both agree on trailing padding, which is never read.

    Returns:
        Advantages and returns, both (N, T), 0 outside the mask.

    Raises:
        ValueError: shapes differ, NaN or infinity under the mask, γ or λ out of range.
    """
    check_shape("rewards", rewards, (None, None))
    check_same_shape("values", values, "rewards", rewards)
    keep = check_mask("completion_mask", completion_mask, rewards.shape)
    check_range("gamma", gamma, low=0.0, high=1.0)
    check_choice("masked", masked, ("carry", "zero"))
    decay = gamma * _check_lam(lam, rewards)
    rewards = check_masked("rewards", rewards, keep)
    values = check_masked("values", values, keep)
    next_value = torch.zeros_like(values[:, 0])
    advantage = torch.zeros_like(next_value)
    columns = []
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        step = keep[:, t] | (masked == "zero")
        advantage = torch.where(step, delta + decay * advantage, advantage)
        next_value = torch.where(step, values[:, t], next_value)
        columns.append(advantage)
    advantages = torch.stack(columns[::-1], dim=1).masked_fill(~keep, 0.0)
    return advantages, advantages + values


def length_adaptive_lambda(completion_mask: Tensor, *, alpha: float = 0.05) -> Tensor:
    """λ of VAPO, closer to 1 the longer the completion.

    λ_i = max(0, 1 − 1 / (α·|o_i|))

    VAPO (Yue et al., 2025), length-adaptive GAE: Σ_t λ^t then grows with |o_i|.

    Args:
        completion_mask: (N, T) zeros and ones.
        alpha: α > 0, per token.

    Returns:
        (N,) float32, for the `lam` of `generalized_advantage_estimation`.

    Raises:
        ValueError: mask not (N, T) or not 0/1, α ≤ 0.
    """
    check_range("alpha", alpha, low=0.0, low_open=True)
    lengths = check_mask("completion_mask", completion_mask, (None, None)).sum(1)
    return (1.0 - 1.0 / (alpha * lengths)).clamp(min=0.0)


def _check_lam(lam: float | Tensor, rewards: Tensor) -> float | Tensor:
    """Check λ, a number or one per row, and return it."""
    if not isinstance(lam, Tensor):
        check_range("lam", lam, low=0.0, high=1.0)
        return lam
    check_shape("lam", lam, (rewards.shape[0],))
    for bound in (lam.min(), lam.max()):
        check_range("lam", float(bound), low=0.0, high=1.0)
    return lam
