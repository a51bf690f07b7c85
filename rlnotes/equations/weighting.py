"""Weights of several rewards that follow the rewards: how far, how steady, how short.

Each gives w_k for `decoupled.decoupled_advantages`. None of the papers was at hand as
code: what a note or an abstract leaves open is said where it is decided.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .validation import (
    check_finite,
    check_float,
    check_groups,
    check_range,
    check_shape,
)
from .whitening import is_constant, mean_and_std, nonzero


def saturation_weights(rewards: Tensor, *, gamma: float = 0.5) -> Tensor:
    """Less weight to a reward that is nearly earned by all (SA-MRPO, Focal Reward).

    w_k = (1 − s_k)^γ,  s_k = (mean_k − min_k) / (max_k − min_k)

    Mean, min and max are those of the batch (the note that we have does not say), so
    that neither unit nor zero point of a reward matters. γ = 0 is GDPO.

    Args:
        rewards: (N, K), NaN for None.
        gamma: γ ≥ 0; reported best at 0.25 to 0.5.

    Returns:
        (K,) in [0, 1]; s = 1 for a reward that is the same for all.

    Raises:
        ValueError: not (N, K), infinite rewards, γ < 0.
    """
    check_range("gamma", gamma, low=0.0)
    columns = _columns(rewards)
    constant, missing = is_constant(columns), columns.isnan()
    low = columns.masked_fill(missing, torch.inf).amin(dim=1)
    high = columns.masked_fill(missing, -torch.inf).amax(dim=1)
    left = (high - mean_and_std(columns, 1)[0]) / nonzero(high - low)
    return left.masked_fill(constant, 0.0).clamp(0.0, 1.0) ** gamma


def variation_weights(rewards: Tensor, *, eps: float = 0.0) -> Tensor:
    """More weight to a reward that varies much for its mean (SAW, 2606.07705).

    w_k = K·CV_k / Σ_j CV_j,  CV_k = std_k / (mean_k − min_k + δ)

    Over the batch, the std unbiased. A reward of 0 and 1 that a share p earns has
    CV = √((1−p)/p): the rarer, the heavier.

    Args:
        rewards: (N, K), NaN for None.
        eps: δ ≥ 0.

    Returns:
        (K,), sum K; 0 for a reward that is the same for all, and all 0 if each is.

    Raises:
        ValueError: not (N, K), infinite rewards, δ < 0.
    """
    check_range("eps", eps, low=0.0)
    columns = _columns(rewards)
    low = columns.nan_to_num(nan=torch.inf).amin(dim=1)
    mean, std = mean_and_std(columns, 1)
    above = (mean - low).masked_fill(is_constant(columns), 1.0)
    variation = std / (above + eps)
    return len(variation) * variation / nonzero(variation.sum())


def sigma_weights(
    rewards: Tensor,
    num_generations: int,
    *,
    reward_weights: Sequence[float] | Tensor | None = None,
) -> Tensor:
    """More weight to a reward that varies much within the group (DVAO, an inference).

    ω_ik = w_k·std_k / Σ_j w_j·std_j,  so that  Σ_k ω_ik z_ik = Σ_k w_k (r_ik − mean_k)
    / Σ_j w_j std_j

    DVAO's (2605.25604) formula was not read; this one agrees with what its abstract
    says: a higher variance counts more, and no advantage exceeds that of GRPO.

    Args:
        rewards: (N, K), NaN for None.
        num_generations: G ≥ 1, completions per prompt, consecutive rows.
        reward_weights: (K,) w_k ≥ 0; None is all 1.

    Returns:
        (N, K), each row sums to 1, or to 0 where nothing varies in the group.

    Raises:
        ValueError: wrong shapes, N not a multiple of G, infinite rewards, w_k < 0.
    """
    columns = _columns(rewards)
    check_groups("rewards", columns.shape[1], num_generations)
    groups = columns.view(len(columns), -1, num_generations)
    spread = mean_and_std(groups, 1)[1]
    if reward_weights is not None:
        weights = torch.as_tensor(
            reward_weights, dtype=spread.dtype, device=spread.device
        )
        check_shape("reward_weights", weights, (len(columns),))
        check_range("reward_weights", float(weights.min()), low=0.0)
        spread = spread * weights[:, None]
    shares = spread / nonzero(spread.sum(dim=0))
    return shares.T.repeat_interleave(num_generations, dim=0)


def multiplier_step(
    multipliers: Tensor, means: Tensor, *, target: float, rate: float
) -> Tensor:
    """Lagrange multipliers of "each mean reward reaches its target" after one batch.

    λ_k ← max(0, λ_k + η·(t − mean_k))

    Dual ascent, as Constrained GRPO (2602.05863) weighs advantages: a reward below
    its target grows heavier batch by batch, one above it lighter.

    Args:
        multipliers: (K,) λ_k ≥ 0.
        means: (K,) of the batch, NaN where nothing was scored (λ_k stays).
        target: t.
        rate: η ≥ 0, weight per reward and batch.

    Returns:
        (K,) multipliers ≥ 0.

    Raises:
        ValueError: shapes differ, infinite values, λ_k < 0, η < 0.
    """
    check_shape("multipliers", multipliers, (None,))
    check_shape("means", means, tuple(multipliers.shape))
    check_range("multipliers", float(multipliers.min()), low=0.0)
    check_range("rate", rate, low=0.0)
    check_finite("target", torch.as_tensor(target))
    check_finite("means", means[~means.isnan()])
    return (multipliers + rate * (target - means).nan_to_num(nan=0.0)).clamp(min=0.0)


def _columns(rewards: Tensor) -> Tensor:
    """(N, K) rewards as (K, N) in float32 or better, finite or NaN."""
    check_shape("rewards", rewards, (None, None))
    rewards = check_float("rewards", rewards, integers=True)
    check_finite("rewards", rewards[~rewards.isnan()])
    return rewards.T.contiguous()
