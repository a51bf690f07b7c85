"""Changes to rewards and masks between the reward functions and the advantages."""

from typing import Literal

import torch
from torch import Tensor

from .validation import (
    check_choice,
    check_finite,
    check_float,
    check_groups,
    check_mask,
    check_masked,
    check_range,
    check_shape,
)


def soft_overlong_punishment(
    lengths: Tensor,
    *,
    max_completion_len: int,
    soft_punish_cache: int,
    bounded: bool = True,
) -> Tensor:
    """Length penalty that grows over the last tokens before the limit (DAPO).

    R(L) = 0                        for L ≤ L_max − L_cache
           ((L_max − L_cache) − L) / L_cache   up to L_max
           −1                       beyond

    DAPO (Yu et al., 2025) Eq 13; the paper has L_max = 20480 and L_cache = 4096. Add it
    to the accuracy reward.

    Args:
        lengths: (N,) tokens per completion, eos included.
        max_completion_len: L_max > 0, tokens.
        soft_punish_cache: L_cache in [0, L_max], tokens; 0 is a hard limit.
        bounded: False lets the penalty fall below −1 beyond L_max (verl, NeMo).

    Returns:
        (N,) penalties, in [−1, 0] if bounded; float32 or better.

    Raises:
        ValueError: lengths not (N,) or negative, limits out of range, no cache when
            not bounded.
    """
    check_shape("lengths", lengths, (None,))
    tokens = check_float("lengths", lengths, integers=True)
    if not bool((tokens >= 0).all()):
        raise ValueError("lengths must be at least 0, got a negative or NaN length")
    check_range("max_completion_len", max_completion_len, low=1, integer=True)
    check_range(
        "soft_punish_cache",
        soft_punish_cache,
        low=0 if bounded else 1,
        high=max_completion_len,
        integer=True,
    )
    if soft_punish_cache == 0:
        return torch.where(tokens > max_completion_len, -1.0, 0.0).to(tokens.dtype)
    left = (max_completion_len - soft_punish_cache) - tokens
    penalty = (left / soft_punish_cache).clamp(max=0.0)
    return penalty.clamp(min=-1.0) if bounded else penalty


def overlong_filter(completion_mask: Tensor, truncated: Tensor) -> Tensor:
    """Take truncated completions out of the loss (DAPO's overlong filtering).

    m'_it = m_it · 1[o_i ended by itself]

    DAPO (Yu et al., 2025) §3.4. The rewards still count in the group's mean and std;
    whether the row counts in the loss's denominator is `count_empty` of
    `aggregation.token_weights`.

    Args:
        completion_mask: (N, T) zeros and ones.
        truncated: (N,) true or 1 where the completion hit the length limit.

    Returns:
        (N, T) mask in the dtype of `completion_mask`.

    Raises:
        ValueError: shapes do not fit, or values other than 0 and 1.
    """
    check_mask("completion_mask", completion_mask, (None, None))
    cut = check_mask("truncated", truncated, (completion_mask.shape[0],))
    return completion_mask.masked_fill(cut[:, None], 0)


def kl_penalized_rewards(
    scores: Tensor, kl: Tensor, completion_mask: Tensor, *, beta: float
) -> Tensor:
    """Token rewards of PPO: the score at the last token, −β·KL at each.

    r_t = R·1[t is the last token] − β·KL_t

    InstructGPT (Ouyang et al., 2022) Eq 2, per token. The KL is a number here: its
    gradient is not taken, `divergences.kl_k1` is the unbiased choice.

    Args:
        scores: (N,) reward of each completion.
        kl: (N, T) KL estimate of each token, nats.
        completion_mask: (N, T) zeros and ones; the last 1 gets the score.
        beta: β ≥ 0, reward per nat.

    Returns:
        (N, T) rewards without gradient, 0 outside the mask; a row without tokens is 0.

    Raises:
        ValueError: shapes do not fit, NaN or infinity in scores or kl, β < 0.
    """
    check_shape("kl", kl, (None, None))
    check_shape("scores", scores, (kl.shape[0],))
    keep = check_mask("completion_mask", completion_mask, kl.shape)
    check_range("beta", beta, low=0.0)
    scores = check_float("scores", scores, integers=True)
    check_finite("scores", scores)
    kl = check_masked("kl", kl.detach(), keep)
    after = keep.flip(1).cumsum(1).flip(1)  # tokens from t on, the last has 1
    return scores[:, None] * (keep & (after == 1)) - beta * kl


def conditioned_rewards(
    rewards: Tensor, *, conditioned: int, on: int, threshold: float
) -> Tensor:
    """Pay one reward only where another is good enough.

    r_k ← r_k if r_l ≥ t else 0

    GDPO (Liu et al., 2026) Eq 8: a short answer counts only if it is right. Comes
    before the normalization.

    Args:
        rewards: (N, K), NaN for None.
        conditioned: k, the column that is paid conditionally.
        on: l, the column that it depends on, not k.
        threshold: t.

    Returns:
        (N, K) copy; column k is NaN where r_k or r_l is.

    Raises:
        ValueError: not (N, K), columns out of range or equal, t not finite.
    """
    check_shape("rewards", rewards, (None, None))
    rewards = check_float("rewards", rewards, integers=True)
    last = rewards.shape[1] - 1
    check_range("conditioned", conditioned, low=0, high=last, integer=True)
    check_range("on", on, low=0, high=last, integer=True)
    if conditioned == on:
        raise ValueError(f"on must be another column than conditioned, got {on} twice")
    check_finite("threshold", torch.as_tensor(threshold))
    reward, condition = rewards[:, conditioned], rewards[:, on]
    failed = condition < threshold
    paid = reward.masked_fill(failed & ~reward.isnan(), 0.0)
    result = rewards.clone()
    result[:, conditioned] = paid.masked_fill(condition.isnan(), torch.nan)
    return result


def informative_groups(
    accuracies: Tensor,
    num_generations: int,
    *,
    rule: Literal["open_interval", "std"] = "open_interval",
    keep_singletons: bool = False,
) -> Tensor:
    """Which prompts have something to learn from (DAPO's dynamic sampling).

    keep ⇔ 0 < |{o_i correct}| < G

    DAPO (Yu et al., 2025) Eq 11. Give it the plain accuracy, not the shaped reward:
    answers that are all wrong but of different length must go.

    Args:
        accuracies: (N,) share of correctness of each completion, in [0, 1] for
            "open_interval"; any metric for "std".
        num_generations: G ≥ 1, completions per prompt, consecutive rows.
        rule: 0 < mean < 1 ("open_interval": paper, OpenRLHF) or unequal values ("std":
            verl, NeMo). They agree on 0/1 accuracies.
        keep_singletons: under "std", keep groups of one (verl's recipe).

    Returns:
        (P,) bool.

    Raises:
        ValueError: wrong shape, N not a multiple of G, NaN or infinity, accuracies
            outside [0, 1] under "open_interval".
    """
    check_choice("rule", rule, ("open_interval", "std"))
    check_shape("accuracies", accuracies, (None,))
    check_groups("accuracies", accuracies.shape[0], num_generations)
    accuracies = check_float("accuracies", accuracies, integers=True)
    check_finite("accuracies", accuracies)
    groups = accuracies.view(-1, num_generations)
    low, high = groups.amin(dim=1), groups.amax(dim=1)
    if rule == "std":
        return (low < high) | (keep_singletons and num_generations == 1)
    check_range("accuracies", float(low.min()), low=0.0, high=1.0)
    check_range("accuracies", float(high.max()), low=0.0, high=1.0)
    return (high > 0) & (low < 1)
