"""Advantages without a critic: the completions of a prompt are the baseline.

GRPO and RLOO. Rows N = P·G hold the G completions of a prompt one after another.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from .validation import (
    check_choice,
    check_finite,
    check_float,
    check_groups,
    check_range,
    check_shape,
)
from .whitening import is_constant, mean_and_std, nonzero

Baseline = Literal["mean", "leave_one_out"]
NoneRewards = Literal["error", "skip", "zero"]
ScaleRewards = Literal["group", "batch", "mean", "none"]
Singleton = Literal["zero", "raw", "error"]


def group_relative_advantages(
    rewards: Tensor,
    num_generations: int,
    *,
    scale_rewards: ScaleRewards = "group",
    correction: int = 1,
    eps: float = 0.0,
    baseline: Baseline = "mean",
    singleton: Singleton = "zero",
    none_rewards: NoneRewards = "error",
) -> Tensor:
    """Advantage of each completion against the other completions of its prompt.

    Â_i = (r_i − mean(r_1 … r_G)) / (std(r_1 … r_G) + ε)

    GRPO (Shao et al., 2024) §4.1.2, DAPO (Yu et al., 2025) Eq 9; Dr. GRPO drops the
    std. A group with equal rewards gets exactly 0, whatever ε is.

    Args:
        rewards: (N,) one reward per completion, NaN for a reward of None.
        num_generations: G ≥ 1, completions per prompt, consecutive rows.
        scale_rewards: divide by the std of the "group", of the whole "batch" of raw
            rewards (Lite PPO), by the "mean" of the group's rewards, which must be
            ≥ 0 (MaxRL, Tajwar et al., 2026), or by nothing, "none" (Dr. GRPO).
        correction: 1 for the unbiased std, 0 for the biased one.
        eps: ε ≥ 0 beside the std; the papers have none.
        baseline: "leave_one_out" takes mean and group std over the G − 1 others
            (NeMo) and does not divide where that std is 0.
        singleton: a group of one gets 0, "raw" r / (1 + ε) (verl), or an error.
        none_rewards: NaN raises; "skip" leaves it out of mean and std and gives it 0,
            as it does the only one scored of a group; "zero" counts it as reward 0.

    Returns:
        (N,) advantages, float32 or better.

    Raises:
        ValueError: wrong shape, N not a multiple of G, infinite rewards, NaN under
            "error", a group of one under "error", a negative reward under "mean",
            unknown choices.
    """
    check_choice("scale_rewards", scale_rewards, get_args(ScaleRewards))
    check_choice("correction", correction, (0, 1))
    check_range("eps", eps, low=0.0)
    check_choice("baseline", baseline, ("mean", "leave_one_out"))
    rewards = _check_rewards(rewards, num_generations, none_rewards)
    if scale_rewards == "mean" and bool((rewards < 0).any()):
        lowest = float(rewards.nan_to_num(nan=0.0).min())
        raise ValueError(f'rewards must be >= 0 for scale_rewards="mean", got {lowest}')
    if num_generations == 1:
        return _singleton_advantages(rewards, singleton, eps)
    check_choice("singleton", singleton, ("zero", "raw", "error"))
    groups = rewards.view(-1, num_generations)
    sets = groups[:, None] if baseline == "mean" else _siblings(groups)
    mean, std = mean_and_std(sets, correction)
    if scale_rewards == "batch":
        std = mean_and_std(rewards, correction)[1]
    if scale_rewards == "mean":
        std = mean
    advantages = groups - mean
    if scale_rewards != "none":
        advantages = advantages / nonzero(std + eps * (std > 0))
    nothing = groups.isnan() | is_constant(groups)[:, None]
    return advantages.masked_fill(nothing, 0.0).view(-1)


def leave_one_out_advantages(
    rewards: Tensor,
    num_generations: int,
    *,
    singleton: Singleton = "zero",
    none_rewards: NoneRewards = "error",
) -> Tensor:
    """Reward minus the mean reward of the other completions of the prompt (RLOO).

    Â_i = r_i − 1/(G−1)·Σ_{j≠i} r_j = G/(G−1)·(r_i − mean(r))

    Ahmadian et al., 2024. Arguments, result and errors as
    `group_relative_advantages`.
    """
    return group_relative_advantages(
        rewards,
        num_generations,
        scale_rewards="none",
        baseline="leave_one_out",
        singleton=singleton,
        none_rewards=none_rewards,
    )


def _check_rewards(
    rewards: Tensor, num_generations: int, none_rewards: NoneRewards
) -> Tensor:
    """Return (N,) rewards in float32 or better, with NaN only where it is skipped."""
    check_choice("none_rewards", none_rewards, ("error", "skip", "zero"))
    check_shape("rewards", rewards, (None,))
    check_groups("rewards", rewards.shape[0], num_generations)
    rewards = check_float("rewards", rewards, integers=True)
    if none_rewards == "zero":
        rewards = rewards.masked_fill(rewards.isnan(), 0.0)
    scored = rewards[~rewards.isnan()] if none_rewards == "skip" else rewards
    check_finite("rewards", scored)
    return rewards


def _singleton_advantages(rewards: Tensor, singleton: Singleton, eps: float) -> Tensor:
    """Advantages of groups of one, where no baseline exists."""
    check_choice("singleton", singleton, ("zero", "raw", "error"))
    if singleton == "error":
        raise ValueError("num_generations must be 2 or more, got 1")
    if singleton == "zero":
        return torch.zeros_like(rewards)
    return rewards.masked_fill(rewards.isnan(), 0.0) / (1.0 + eps)


def _siblings(groups: Tensor) -> Tensor:
    """(P, G) → (P, G, G−1): for each completion, the rewards of the others."""
    size = groups.shape[1]
    others = ~torch.eye(size, dtype=torch.bool, device=groups.device)
    index = others.nonzero()[:, 1].view(size, size - 1)
    return groups[:, index]
