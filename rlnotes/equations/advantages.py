"""Advantages: how much better an action was than expected.

With a critic: GAE. Without: the group of completions of one prompt is the baseline
(GRPO, RLOO), or each reward has its own group baseline (GDPO). Rows N = P·G hold the G
completions of a prompt one after another.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from .validation import (
    check_choice,
    check_finite,
    check_float,
    check_groups,
    check_mask,
    check_range,
    check_same_shape,
    check_shape,
)

Baseline = Literal["mean", "leave_one_out"]
BatchStats = Literal["sequence", "token", "none"]
Masked = Literal["carry", "zero"]
NoneRewards = Literal["error", "skip", "zero"]
ScaleRewards = Literal["group", "batch", "none"]
Singleton = Literal["zero", "raw", "error"]
SingleReward = Literal["renormalize", "grpo", "error"]


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
    rewards = check_float("rewards", rewards).masked_fill(~keep, 0.0)
    values = check_float("values", values).masked_fill(~keep, 0.0)
    check_finite("rewards", rewards)
    check_finite("values", values)
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


def _check_lam(lam: float | Tensor, rewards: Tensor) -> float | Tensor:
    """Check λ, a number or one per row, and return it."""
    if isinstance(lam, Tensor):
        check_shape("lam", lam, (rewards.shape[0],))
        check_range("lam", float(lam.min()), low=0.0, high=1.0)
        check_range("lam", float(lam.max()), low=0.0, high=1.0)
    else:
        check_range("lam", lam, low=0.0, high=1.0)
    return lam


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


def whiten(
    values: Tensor,
    completion_mask: Tensor,
    *,
    correction: int = 1,
    eps: float = 1e-8,
    shift_mean: bool = True,
) -> Tensor:
    """Give the tokens under the mask mean 0 and variance 1.

    x ← (x − mean) / √(var + ε)

    PPO as practiced (no equation in the paper). Statistics are over tokens, so long
    completions weigh more.

    Args:
        values: (N, T).
        completion_mask: (N, T) zeros and ones.
        correction: 1 for the unbiased variance (TRL, verl), 0 for OpenRLHF.
        eps: ε ≥ 0, added to the variance.
        shift_mean: False keeps the mean where it was.

    Returns:
        (N, T), 0 outside the mask.

    Raises:
        ValueError: shapes differ, or not more than `correction` tokens selected.
    """
    check_shape("values", values, (None, None))
    check_choice("correction", correction, (0, 1))
    check_range("eps", eps, low=0.0)
    keep = check_mask(
        "completion_mask", completion_mask, values.shape, at_least=correction + 1
    )
    values = check_float("values", values).masked_fill(~keep, 0.0)
    check_finite("values", values)
    mean, scale = _token_statistics(values, keep, correction, eps)
    whitened = (values - mean) / scale
    if not shift_mean:
        whitened = whitened + mean
    return whitened.masked_fill(~keep, 0.0)


def _token_statistics(
    values: Tensor, keep: Tensor, correction: int, eps: float
) -> tuple[Tensor, Tensor]:
    """Mean and √(var + ε) of the tokens under the mask, 1 for a spread of 0."""
    tokens = values.masked_fill(~keep, torch.nan).flatten()
    mean, std = _mean_and_std(tokens, correction)
    mean = torch.where(_is_constant(tokens), values[keep][0], mean)
    return mean, _nonzero((std.square() + eps).sqrt())


def _nonzero(scale: Tensor) -> Tensor:
    """What to divide by: 1 in place of 0."""
    return torch.where(scale > 0, scale, torch.ones_like(scale))


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
            rewards (Lite PPO), or by nothing, "none" (Dr. GRPO).
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
            "error", a group of one under "error", unknown choices.
    """
    check_choice("scale_rewards", scale_rewards, ("group", "batch", "none"))
    check_choice("correction", correction, (0, 1))
    check_range("eps", eps, low=0.0)
    check_choice("baseline", baseline, ("mean", "leave_one_out"))
    rewards = _check_rewards(rewards, num_generations, none_rewards)
    if num_generations == 1:
        return _singleton_advantages(rewards, singleton, eps)
    check_choice("singleton", singleton, ("zero", "raw", "error"))
    groups = rewards.view(-1, num_generations)
    sets = groups[:, None] if baseline == "mean" else _siblings(groups)
    mean, std = _mean_and_std(sets, correction)
    if scale_rewards == "batch":
        std = _mean_and_std(rewards, correction)[1]
    advantages = groups - mean
    if scale_rewards != "none":
        advantages = advantages / _nonzero(std + eps * (std > 0))
    nothing = groups.isnan() | _is_constant(groups)[:, None]
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
        reward_weights: (K,) w_k, applied after the normalization; None is all 1.
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
        return columns[0] * weights.sign()
    total = (torch.stack(columns, dim=1) * weights).sum(dim=1)
    if batch_stats == "none":
        return total
    unscored = rewards.isnan().all(dim=1) & (none_rewards == "skip")
    scored = total.masked_fill(unscored, torch.nan)
    if batch_stats == "sequence":
        mean, std = _mean_and_std(scored, correction)
        scale = _nonzero(std + batch_eps)
    else:
        keep = _check_row_mask(completion_mask, unscored, correction)
        spread = total[:, None].expand(keep.shape)
        mean, scale = _token_statistics(spread, keep, correction, batch_eps)
    advantages = (total - mean) / scale
    return advantages.masked_fill(unscored | _is_constant(scored), 0.0)


def _check_weights(
    reward_weights: Sequence[float] | Tensor | None, rewards: Tensor
) -> Tensor:
    """Return (K,) finite weights, ones by default."""
    dtype = torch.promote_types(rewards.dtype, torch.float32)
    if reward_weights is None:
        return torch.ones(rewards.shape[1], dtype=dtype, device=rewards.device)
    weights = torch.as_tensor(reward_weights, dtype=dtype, device=rewards.device)
    check_shape("reward_weights", weights, (rewards.shape[1],))
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


def _is_constant(sets: Tensor) -> Tensor:
    """Whether the scored (not NaN) entries of the last axis are all equal."""
    missing = sets.isnan()
    top = sets.masked_fill(missing, -torch.inf).amax(dim=-1)
    return top <= sets.masked_fill(missing, torch.inf).amin(dim=-1)


def _mean_and_std(sets: Tensor, correction: int) -> tuple[Tensor, Tensor]:
    """Mean and std of the scored entries of the last axis; std 0 if all are equal."""
    missing = sets.isnan()
    count = (~missing).sum(dim=-1)
    mean = sets.masked_fill(missing, 0.0).sum(dim=-1) / count
    squares = (sets - mean[..., None]).square().masked_fill(missing, 0.0).sum(dim=-1)
    std = (squares / (count - correction).clamp(min=1)).sqrt()
    check_finite("spread of rewards", std)
    return mean, std.masked_fill(_is_constant(sets), 0.0)
