"""What came after GRPO's clip: soft gates, divergence masks, sampler corrections.

MaxRL is `group_relative_advantages(scale_rewards="mean")`, GSPO and CISPO are in
`surrogates`.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from .surrogates import check_pair, importance_ratio
from .validation import (
    check_choice,
    check_finite,
    check_float,
    check_mask,
    check_range,
    check_same_shape,
    check_shape,
)

CorrectionMode = Literal[
    "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"
]


def soft_gate_loss(
    ratio: Tensor, advantages: Tensor, *, tau_pos: float = 1.0, tau_neg: float = 1.05
) -> Tensor:
    """Policy loss per token with a sigmoid in place of the clip (SAPO).

    L = −4/τ·σ(τ(ρ − 1))·Â,   slope of the objective by ρ: 4·σ(x)·(1 − σ(x))·Â

    SAPO (Gao et al., 2025); τ is `tau_pos` where Â > 0, else `tau_neg`. At
    ρ = 1 the slope is Â, as unclipped; it falls on both sides and is never 0.

    Args:
        ratio: (N, T) or (N, 1).
        advantages: (N,) or (N, T); constants.
        tau_pos, tau_neg: τ > 0.

    Returns:
        (N, T) loss per token.

    Raises:
        ValueError: shapes do not fit, τ ≤ 0, NaN or infinity.
    """
    check_range("tau_pos", tau_pos, low=0.0, low_open=True)
    check_range("tau_neg", tau_neg, low=0.0, low_open=True)
    ratio, advantages = check_pair("ratio", ratio, advantages)
    check_finite("ratio", ratio)
    tau = torch.where(advantages > 0, tau_pos, tau_neg).to(ratio.dtype)
    return -torch.sigmoid(tau * (ratio - 1)) * 4 / tau * advantages


def divergence_mask_loss(
    per_token_logps: Tensor,
    old_per_token_logps: Tensor,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    delta: float,
) -> Tensor:
    """Policy loss that stops at a change of probability, not of ratio (DPPO).

    L = −M·ρ·Â,   M = 0 where |π − π_old| > δ and the update would move π further away:
    Â > 0 and ρ > 1, or Â < 0 and ρ < 1; else M = 1

    DPPO (Qi et al., 2026), binary total variation. A token of probability .01 may rise
    to .01 + δ, where PPO stops it at .012.

    Args:
        per_token_logps: (N, T) log π, nats, with gradient.
        old_per_token_logps: (N, T) log π_old, a constant.
        advantages: (N,) or (N, T).
        completion_mask: (N, T) zeros and ones.
        delta: δ in [0, 1], of probability.

    Returns:
        (N, T) loss per token, 0 outside the mask.

    Raises:
        ValueError: shapes do not fit, δ outside [0, 1], NaN or infinity.
    """
    check_range("delta", delta, low=0.0, high=1.0)
    ratio = importance_ratio(per_token_logps, old_per_token_logps, completion_mask)
    ratio, advantages = check_pair("ratio", ratio, advantages)
    moved = per_token_logps.detach().exp() - old_per_token_logps.detach().exp()
    away = moved.abs() > delta
    stopped = away & (moved * advantages > 0)
    keep = check_mask("completion_mask", completion_mask, ratio.shape)
    return (-ratio * advantages).masked_fill(stopped | ~keep, 0.0)


def sampler_correction(
    old_per_token_logps: Tensor,
    sampling_per_token_logps: Tensor,
    completion_mask: Tensor,
    *,
    mode: CorrectionMode = "token_truncate",
    cap: float = 3.0,
) -> Tensor:
    """Weights of tokens that another policy than the learner has sampled.

    w = π_old(o_t) / μ(o_t), or the product over the completion ("sequence"); where
    w > C it becomes C ("truncate", TIS) or 0 ("mask")

    Yao et al., 2025 (TIS); the modes are those of TRL's
    `vllm_importance_sampling_mode`. They multiply the policy loss. Without a cap the
    token weights leave the mean of a one-token gradient unbiased; the cap trades bias
    for variance.

    Args:
        old_per_token_logps: (N, T) log π_old of the learner's weights, nats.
        sampling_per_token_logps: (N, T) log μ as the sampler wrote it down; NaN where
            it is unknown, weight 1.
        completion_mask: (N, T) zeros and ones; outside it a log-ratio is 0.
        mode: see above.
        cap: C > 0.

    Returns:
        (N, T), or (N, 1) for a sequence; a constant.

    Raises:
        ValueError: shapes differ, unknown mode, C ≤ 0.
    """
    check_choice("mode", mode, get_args(CorrectionMode))
    check_range("cap", cap, low=0.0, low_open=True)
    old = check_float("old_per_token_logps", old_per_token_logps).detach()
    check_shape("old_per_token_logps", old, (None, None))
    mu = check_float("sampling_per_token_logps", sampling_per_token_logps).detach()
    check_same_shape("sampling_per_token_logps", mu, "old_per_token_logps", old)
    keep = check_mask("completion_mask", completion_mask, old.shape)
    log_weight = (old - mu).nan_to_num(nan=0.0).masked_fill(~keep, 0.0)
    if mode.startswith("sequence"):
        log_weight = log_weight.sum(dim=1, keepdim=True)
    weight = log_weight.exp()
    if mode.endswith("mask"):
        return weight.masked_fill(weight > cap, 0.0)
    return weight.clamp(max=cap)
