"""Advantages of several rewards, each with its own group baseline (GDPO)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from .group_advantages import (
    Baseline,
    NoneRewards,
    Singleton,
    group_relative_advantages,
)
from .validation import check_choice, check_finite, check_mask, check_range, check_shape
from .whitening import is_constant, mean_and_std, nonzero, token_statistics

BatchStats = Literal["sequence", "token", "none"]
SingleReward = Literal["renormalize", "grpo", "error"]


def decoupled_advantages(
    rewards: Tensor,
    num_generations: int,
    *,
    reward_weights: Sequence[float] | Tensor | None = None,
    correction: int = 1,
    eps: float = 0.0,
    baseline: Baseline = "mean",
    batch_stats: BatchStats = "sequence",
    batch_eps: float = 1e-4,
    completion_mask: Tensor | None = None,
    single_reward: SingleReward = "renormalize",
    singleton: Singleton = "zero",
    none_rewards: NoneRewards = "error",
) -> Tensor:
    """Normalize each reward in its group, then sum, then normalize the batch (GDPO).

    S_i = Σ_k w_k·(r_ik − mean_k) / (std_k + ε)
    Â_i = (S_i − mean(S)) / (std(S) + ε_b)

    GDPO (Liu et al., 2026) Eq 4, 7 and 6. Two completions with the same total reward
    but different parts stay apart. `batch_stats="none"` is MO-GRPO (2025).

    Args:
        rewards: (N, K) K rewards per completion, NaN for None.
        num_generations: G ≥ 1, completions per prompt, consecutive rows.
        reward_weights: (K,) w_k, applied after the normalization, or (N, K) one for
            each completion (`weighting.sigma_weights`); None is all 1.
        correction: 1 for unbiased std, group and batch; 0 for biased.
        eps: ε ≥ 0 beside the group std.
        baseline: as `group_relative_advantages`; "leave_one_out" is NeMo.
        batch_stats: mean and std of S over "sequence"s (paper, TRL, NeMo), over
            "token"s (verl; ε_b then stands inside, √(var + ε_b)), or not, "none".
        batch_eps: ε_b ≥ 0; the paper has an ε of unstated size here.
        completion_mask: (N, T) zeros and ones, for "token" only.
        single_reward: K = 1 is normalized over the batch as well ("renormalize":
            formula, TRL, verl), is plain GRPO ("grpo": NVlabs' TRL fork), or an error.
        singleton: as `group_relative_advantages`, per reward.
        none_rewards: as `group_relative_advantages`, per reward: under "skip" a None
            adds 0 to S, and a row of only None gets 0 and is left out of the batch's
            statistics.

    Returns:
        (N,) advantages, float32 or better.

    Raises:
        ValueError: wrong shapes, N not a multiple of G, infinite rewards or weights,
            NaN under "error", "token" without a mask, unknown choices.
    """
    check_shape("rewards", rewards, (None, None))
    check_choice("batch_stats", batch_stats, ("sequence", "token", "none"))
    check_choice("single_reward", single_reward, ("renormalize", "grpo", "error"))
    check_range("batch_eps", batch_eps, low=0.0)
    weights = _check_weights(reward_weights, rewards)
    fewest = 2 if single_reward == "error" else 1
    if rewards.shape[1] < fewest:
        raise ValueError(
            f"rewards must have {fewest} or more columns, got {rewards.shape[1]}"
        )
    columns = [
        group_relative_advantages(
            column,
            num_generations,
            correction=correction,
            eps=eps,
            baseline=baseline,
            singleton=singleton,
            none_rewards=none_rewards,
        )
        for column in rewards.unbind(dim=1)
    ]
    if rewards.shape[1] == 1 and single_reward == "grpo":
        return columns[0] * weights[..., 0].sign()
    total = (torch.stack(columns, dim=1) * weights).sum(dim=1)
    if batch_stats == "none":
        return total
    unscored = rewards.isnan().all(dim=1) & (none_rewards == "skip")
    scored = total.masked_fill(unscored, torch.nan)
    if batch_stats == "sequence":
        mean, std = mean_and_std(scored, correction)
        scale = nonzero(std + batch_eps)
    else:
        keep = _check_row_mask(completion_mask, unscored, correction)
        tokens = total[:, None].expand(keep.shape)
        mean, scale = token_statistics(tokens, keep, correction, batch_eps)
    advantages = (total - mean) / scale
    return advantages.masked_fill(unscored | is_constant(scored), 0.0)


def _check_weights(
    reward_weights: Sequence[float] | Tensor | None, rewards: Tensor
) -> Tensor:
    """Return (K,) or (N, K) finite weights, ones by default."""
    dtype = torch.promote_types(rewards.dtype, torch.float32)
    if reward_weights is None:
        return torch.ones(rewards.shape[1], dtype=dtype, device=rewards.device)
    weights = torch.as_tensor(reward_weights, dtype=dtype, device=rewards.device)
    shape = tuple(rewards.shape) if weights.dim() == 2 else (rewards.shape[1],)
    check_shape("reward_weights", weights, shape)
    check_finite("reward_weights", weights)
    return weights


def _check_row_mask(
    completion_mask: Tensor | None, unscored: Tensor, correction: int
) -> Tensor:
    """Return the mask of the tokens that the batch statistics are over, as bool."""
    if completion_mask is None:
        raise ValueError('completion_mask must be given for batch_stats="token"')
    shape = (unscored.shape[0], None)
    keep = check_mask("completion_mask", completion_mask, shape) & ~unscored[:, None]
    return check_mask("completion_mask", keep, shape, at_least=correction + 1)
