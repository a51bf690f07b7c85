"""Ratio, clip and surrogate: the policy loss of one token."""

from typing import Literal

import torch
from torch import Tensor

from .masking import masked_mean
from .validation import (
    check_choice,
    check_finite,
    check_float,
    check_mask,
    check_range,
    check_same_shape,
    check_shape,
)

DeltaRule = Literal["negative", "both"]

Level = Literal["token", "sequence"]


def importance_ratio(
    per_token_logps: Tensor,
    old_per_token_logps: Tensor,
    completion_mask: Tensor,
    *,
    level: Level = "token",
    max_log_ratio: float | None = 20.0,
) -> Tensor:
    """Probability of the sampled tokens now over when they were sampled.

    token:    ρ_it = π(o_it) / π_old(o_it)
    sequence: s_i = exp(1/|o_i|·Σ_t log ρ_it)

    PPO (Schulman et al., 2017) Eq 6; GSPO (Zheng et al., 2025) Eq 7.

    Args:
        per_token_logps: (N, T) log π, nats, with gradient.
        old_per_token_logps: (N, T) log π_old, a constant: `per_token_logps` itself
            does where nothing was updated since.
        completion_mask: (N, T) zeros and ones; outside it the ratio is 1.
        level: "token" or "sequence".
        max_log_ratio: the log-ratio is clamped to ± this (verl); None for no clamp.

    Returns:
        (N, T), or (N, 1) for "sequence"; finite, float32 or better.

    Raises:
        ValueError: shapes differ, unknown level, or a ratio that is not finite.
    """
    check_shape("per_token_logps", per_token_logps, (None, None))
    check_same_shape(
        "old_per_token_logps", old_per_token_logps, "per_token_logps", per_token_logps
    )
    keep = check_mask("completion_mask", completion_mask, per_token_logps.shape)
    check_choice("level", level, ("token", "sequence"))
    old_logps = check_float("old_per_token_logps", old_per_token_logps).detach()
    log_ratio = check_float("per_token_logps", per_token_logps) - old_logps
    log_ratio = log_ratio.masked_fill(~keep, 0.0)
    if level == "sequence":
        lengths = keep.sum(dim=1, keepdim=True).clamp(min=1)
        log_ratio = log_ratio.sum(dim=1, keepdim=True) / lengths
    if max_log_ratio is not None:
        check_range("max_log_ratio", max_log_ratio, low=0.0, low_open=True)
        log_ratio = log_ratio.clamp(-max_log_ratio, max_log_ratio)
    ratio = log_ratio.exp()
    check_finite("ratio of per_token_logps to old_per_token_logps", ratio)
    return ratio


def clipped_surrogate_loss(
    ratio: Tensor,
    advantages: Tensor,
    *,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    delta: float | None = None,
    delta_rule: DeltaRule = "negative",
) -> Tensor:
    """Clipped policy loss per token.

    L = −min(ρ·Â, clip(ρ, 1 − ε, 1 + ε_high)·Â),   for Â < 0 at most −δ·Â (dual clip)

    PPO (Schulman et al., 2017) Eq 7; clip-higher is DAPO (Yu et al., 2025) Eq 10; dual
    clip is Ye et al., 2020, in neither GRPO nor DAPO. Where the clip binds the gradient
    is 0: Â > 0 and ρ > 1 + ε_high, Â < 0 and ρ < 1 − ε, Â < 0 and ρ > δ.

    Args:
        ratio: (N, T), or (N, 1) for GSPO.
        advantages: (N,), or (N, T) for PPO; constants.
        epsilon: ε ≥ 0.
        epsilon_high: None is ε.
        delta: δ > 1 + ε_high, None for no dual clip (verl always has 3).
        delta_rule: bound the loss where Â < 0 ("negative", verl) or clamp the ratio
            before the min whatever the sign ("both", TRL). The same for δ > 1 + ε_high.

    Returns:
        Loss per token, the broadcast shape of ratio and advantages.

    Raises:
        ValueError: shapes do not fit, ε < 0, δ ≤ 1 + ε_high, unknown rule, NaN or
            infinity in either tensor.
    """
    low, high = _clip_range(epsilon, epsilon_high)
    check_choice("delta_rule", delta_rule, ("negative", "both"))
    if delta is not None:
        check_range("delta", delta, low=high, low_open=True)
    ratio, advantages = check_pair("ratio", ratio, advantages)
    check_finite("ratio", ratio)
    clipped = _clip(ratio, low, high) * advantages
    if delta is not None and delta_rule == "both":
        ratio = ratio.clamp(max=delta)
    surrogate = torch.minimum(ratio * advantages, clipped)
    if delta is not None and delta_rule == "negative":
        bounded = torch.maximum(surrogate, delta * advantages)
        surrogate = torch.where(advantages < 0, bounded, surrogate)
    return -surrogate


def _clip(ratio: Tensor, low: float, high: float) -> Tensor:
    """`ratio.clamp(low, high)` with slope 1 at both bounds, in every torch.

    From torch 2.14 on clamp has slope 0 at a bound, before it had 1. On policy with
    ε = 0 the ratio is the bound, and minimum would halve the gradient of every token.
    """
    ratio = torch.where(ratio > high, high, ratio)
    return torch.where(ratio < low, low, ratio)


def cispo_loss(
    ratio: Tensor,
    per_token_logps: Tensor,
    advantages: Tensor,
    *,
    epsilon_high: float,
    epsilon: float | None = None,
) -> Tensor:
    """Policy gradient with a clipped ratio as a constant weight (CISPO).

    L = −sg(clip(ρ, 1 − ε, c))·Â·log π

    MiniMax-M1 (2025) Eq 4 and 5. Every token keeps its gradient.

    Args:
        ratio: (N, T) or (N, 1).
        per_token_logps: (N, T) log π, nats, with gradient.
        advantages: (N,) or (N, T).
        epsilon_high: c > 0, the cap on the ratio itself as in TRL (verl: 1 + ε_high).
        epsilon: lower bound 1 − ε; None for no bound (paper, TRL).

    Returns:
        (N, T) loss per token.

    Raises:
        ValueError: shapes do not fit, c ≤ 0, ε < 0, 1 − ε ≥ c, NaN or infinite ratio.
    """
    low = 0.0 if epsilon is None else 1.0 - epsilon
    if epsilon is not None:
        check_range("epsilon", epsilon, low=0.0)
    check_range("epsilon_high", epsilon_high, low=max(low, 0.0), low_open=True)
    logps, advantages = check_pair("per_token_logps", per_token_logps, advantages)
    check_same_shape("ratio", ratio, "per_token_logps", logps, column=True)
    check_finite("ratio", ratio)
    weight = check_float("ratio", ratio).detach().clamp(low, epsilon_high)
    return -weight * advantages * logps


def policy_gradient_loss(per_token_logps: Tensor, advantages: Tensor) -> Tensor:
    """REINFORCE loss per token.

    L = −Â·log π

    Williams, 1992; the gradient of every clipped loss at ratio 1.

    Args:
        per_token_logps: (N, T) log π, nats, with gradient.
        advantages: (N,) or (N, T).

    Returns:
        (N, T) loss per token.

    Raises:
        ValueError: shapes do not fit.
    """
    logps, advantages = check_pair("per_token_logps", per_token_logps, advantages)
    return -advantages * logps


def clip_fractions(
    ratio: Tensor,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
) -> dict[str, float]:
    """Share of tokens (completions, for a (N, 1) ratio) whose gradient the clip stops.

    low: ρ < 1 − ε and Â < 0,   high: ρ > 1 + ε_high and Â > 0,   region: either

    TRL's metrics of the same names.

    Args:
        ratio: (N, T) or (N, 1).
        advantages: (N,) or (N, T).
        completion_mask: (N, T) zeros and ones; not used for (N, 1), as in TRL.
        epsilon: ε ≥ 0.
        epsilon_high: None is ε.

    Returns:
        "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", each
        in [0, 1].

    Raises:
        ValueError: shapes do not fit, ε < 0, no token under the mask.
    """
    low, high = _clip_range(epsilon, epsilon_high)
    ratio, advantages = check_pair("ratio", ratio, advantages)
    check_finite("ratio", ratio)
    mask_shape = (ratio.shape[0], None)
    keep = check_mask("completion_mask", completion_mask, mask_shape, at_least=1)
    is_low = (ratio < low) & (advantages < 0)
    is_high = (ratio > high) & (advantages > 0)
    if is_low.shape[1] == 1 and keep.shape[1] > 1:
        keep = torch.ones_like(is_low)
    check_same_shape("completion_mask", keep, "ratio", is_low)
    stopped = {"low": is_low, "high": is_high, "region": is_low | is_high}
    return {
        f"clip_ratio/{name}_mean": float(masked_mean(which.float(), keep))
        for name, which in stopped.items()
    }


def _clip_range(epsilon: float, epsilon_high: float | None) -> tuple[float, float]:
    """1 − ε and 1 + ε_high."""
    check_range("epsilon", epsilon, low=0.0)
    if epsilon_high is None:
        epsilon_high = epsilon
    check_range("epsilon_high", epsilon_high, low=0.0)
    return 1.0 - epsilon, 1.0 + epsilon_high


def check_pair(name: str, tensor: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in float32 or better, advantages of (N,) as a constant column."""
    check_shape(name, tensor, (None, None))
    tensor = check_float(name, tensor)
    advantages = check_float("advantages", advantages).detach()
    check_finite("advantages", advantages)
    if advantages.dim() == 1:
        check_shape("advantages", advantages, (tensor.shape[0],))
        return tensor, advantages[:, None]
    check_shape("advantages", advantages, (tensor.shape[0], None))
    if 1 not in (tensor.shape[1], advantages.shape[1]):
        check_same_shape("advantages", advantages, name, tensor)
    return tensor, advantages
