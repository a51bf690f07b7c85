"""Losses of PPO, GRPO, Dr. GRPO, DAPO, GSPO and CISPO: ratio, clip, KL, aggregation.

Every policy loss here is Σ_it w_it·L_it: a loss per token and a weight per token. The
weights are the whole difference between the aggregation rules, and because they are
known before the loss is, a batch can be cut into micro-batches anywhere.
"""

from typing import Literal

import torch
from torch import Tensor

from rlnotes.equations.divergences import Estimator, KLGradient, kl_penalty
from rlnotes.equations.masking import masked_mean
from rlnotes.equations.validation import (
    check_choice,
    check_finite,
    check_float,
    check_groups,
    check_mask,
    check_range,
    check_same_shape,
    check_shape,
)

DeltaRule = Literal["negative", "both"]
Level = Literal["token", "sequence"]
LossType = Literal["grpo", "dapo", "bnpo", "dapo_prompt", "dr_grpo", "luspo", "cispo"]

LOSS_TYPES = ("grpo", "dapo", "bnpo", "dapo_prompt", "dr_grpo", "luspo", "cispo")


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
    ratio, advantages = _check_advantages("ratio", ratio, advantages)
    check_finite("ratio", ratio)
    clipped = ratio.clamp(low, high) * advantages
    if delta is not None and delta_rule == "both":
        ratio = ratio.clamp(max=delta)
    surrogate = torch.minimum(ratio * advantages, clipped)
    if delta is not None and delta_rule == "negative":
        bounded = torch.maximum(surrogate, delta * advantages)
        surrogate = torch.where(advantages < 0, bounded, surrogate)
    return -surrogate


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
    logps, advantages = _check_advantages(
        "per_token_logps", per_token_logps, advantages
    )
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
    logps, advantages = _check_advantages(
        "per_token_logps", per_token_logps, advantages
    )
    return -advantages * logps


def token_weights(
    completion_mask: Tensor,
    *,
    loss_type: LossType,
    num_generations: int | None = None,
    max_completion_length: int | None = None,
    num_items_in_batch: float | Tensor | None = None,
    count_empty: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weight of each token in the loss: every aggregation rule is Σ w·L.

    grpo:         w = m / (B·n_i)         mean of a completion, mean of completions
    dapo, bnpo:   w = m / N               mean of all tokens
    dapo_prompt:  w = m / (P·N_p)         mean of a prompt's tokens, mean of prompts
    dr_grpo:      w = m / (B·L_max)       a constant
    luspo:        w = m / B               sum of a completion, mean of completions

    GRPO (Shao et al., 2024) Eq 3; DAPO (Yu et al., 2025) Eq 8, whose 1/Σ|o_i| is over
    one prompt's group ("dapo_prompt") while code divides by the batch ("dapo");
    Dr. GRPO (Liu et al., 2025) §3. "cispo" weighs as "dapo", as in TRL.

    Args:
        completion_mask: (B, T) zeros and ones, m; n_i tokens in row i, N in all.
        loss_type: see above.
        num_generations: completions per prompt, for "dapo_prompt".
        max_completion_length: L_max, tokens, for "dr_grpo".
        num_items_in_batch: N of the whole batch when this is a micro-batch of it, for
            "dapo" and "cispo". For the other types weigh the whole batch, then cut.
        count_empty: False leaves rows (groups) without tokens out of B (P).
        dtype: float32 or float64.

    Returns:
        (B, T) weights in `dtype`.

    Raises:
        ValueError: unknown type, a keyword that the type needs is missing, one that
            it does not use is given, or a denominator of 0.
    """
    check_choice("loss_type", loss_type, LOSS_TYPES)
    check_choice("dtype", dtype, (torch.float32, torch.float64))
    by_tokens = loss_type in ("dapo", "bnpo", "cispo")
    needs_token = not count_empty or (by_tokens and num_items_in_batch is None)
    keep = check_mask(
        "completion_mask", completion_mask, (None, None), at_least=int(needs_token)
    )
    mask = keep.to(dtype)
    lengths = mask.sum(dim=1, keepdim=True)
    if num_items_in_batch is not None:
        return mask / _check_num_items(num_items_in_batch, loss_type)
    if by_tokens:
        return mask / lengths.sum()
    groups = lengths
    if loss_type == "dapo_prompt":
        size = _required("num_generations", num_generations, loss_type)
        check_groups("completion_mask", mask.shape[0], size)
        groups = lengths.view(-1, size).sum(dim=1, keepdim=True)
        lengths = groups.repeat_interleave(size, dim=0)
    units = groups.numel() if count_empty else (groups > 0).sum()
    if loss_type == "luspo":
        return mask / units
    if loss_type == "dr_grpo":
        limit = _required("max_completion_length", max_completion_length, loss_type)
        return mask / (units * limit)
    return mask / (units * lengths.clamp(min=1))


def _required(name: str, value: int | None, loss_type: LossType) -> int:
    """Return a keyword that this loss type cannot do without."""
    if value is None:
        raise ValueError(f'{name} must be given for loss_type="{loss_type}"')
    check_range(name, value, low=1, integer=True)
    return value


def _check_num_items(num_items_in_batch: float | Tensor, loss_type: LossType) -> float:
    """Return the token count of the whole batch, for the types that divide by it."""
    if loss_type not in ("dapo", "cispo"):
        raise ValueError(
            'num_items_in_batch must be None unless loss_type is "dapo" or "cispo", '
            f'got loss_type="{loss_type}"'
        )
    count = float(num_items_in_batch)
    check_range("num_items_in_batch", count, low=0.0, low_open=True)
    return count


def aggregate_loss(
    per_token_loss: Tensor,
    completion_mask: Tensor,
    *,
    loss_type: LossType,
    num_generations: int | None = None,
    max_completion_length: int | None = None,
    num_items_in_batch: float | Tensor | None = None,
    count_empty: bool = True,
) -> Tensor:
    """Sum the loss per token with the weights of `token_weights`.

    L = Σ_it w_it·L_it

    Args:
        per_token_loss: (B, T), or (B, 1) for a loss per completion, which counts at
            each of its tokens; never read outside the mask.
        completion_mask: (B, T) zeros and ones.
        loss_type: this and the rest as `token_weights`.
        num_generations: see there.
        max_completion_length: see there.
        num_items_in_batch: see there.
        count_empty: see there.

    Returns:
        Scalar loss, float32 or better.

    Raises:
        ValueError: shapes do not fit, NaN or infinity under the mask, or as
            `token_weights`.
    """
    loss = check_float("per_token_loss", per_token_loss)
    weights = token_weights(
        completion_mask,
        loss_type=loss_type,
        num_generations=num_generations,
        max_completion_length=max_completion_length,
        num_items_in_batch=num_items_in_batch,
        count_empty=count_empty,
        dtype=loss.dtype,
    )
    check_same_shape("per_token_loss", loss, "completion_mask", weights, column=True)
    loss = loss.expand_as(weights).masked_fill(completion_mask == 0, 0.0)
    check_finite("per_token_loss", loss)
    return (weights * loss).sum()


def per_token_policy_loss(
    per_token_logps: Tensor,
    old_per_token_logps: Tensor,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    loss_type: LossType = "grpo",
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    delta: float | None = None,
    delta_rule: DeltaRule = "negative",
    importance_sampling_level: Level = "token",
    beta: float = 0.0,
    ref_per_token_logps: Tensor | None = None,
    kl_estimator: Estimator = "k3",
    kl_gradient: KLGradient = "autodiff",
    kl_clamp: tuple[float, float] | None = None,
    max_log_ratio: float | None = 20.0,
) -> Tensor:
    """Clipped loss plus KL penalty of each token, before aggregation.

    L_it = −min(ρ·Â, clip(ρ, 1 − ε, 1 + ε_high)·Â) + β·KL_it

    GRPO (Shao et al., 2024) Eq 3. With loss_type "cispo" the first term is
    `cispo_loss` with the cap `epsilon_high` and no lower bound.

    Args:
        per_token_logps: (N, T) log π, nats, with gradient.
        old_per_token_logps: (N, T) log π_old, a constant.
        advantages: (N,) or (N, T).
        completion_mask: (N, T) zeros and ones.
        loss_type: only "cispo" matters here.
        epsilon: this and the next three as `clipped_surrogate_loss`.
        epsilon_high: see there.
        delta: see there.
        delta_rule: see there.
        importance_sampling_level: "token", or "sequence" for GSPO.
        beta: β ≥ 0, weight of the KL; 0 needs no reference.
        ref_per_token_logps: (N, T) log π_ref, needed if β > 0.
        kl_estimator: this and the next two as `divergences.kl_penalty`.
        kl_gradient: see there.
        kl_clamp: see there.
        max_log_ratio: as `importance_ratio`.

    Returns:
        (N, T) loss per token, 0 outside the mask, float32 or better.

    Raises:
        ValueError: as the functions named, β < 0, no reference with β > 0, no
            epsilon_high with "cispo".
    """
    check_choice("loss_type", loss_type, LOSS_TYPES)
    check_range("beta", beta, low=0.0)
    ratio = importance_ratio(
        per_token_logps,
        old_per_token_logps,
        completion_mask,
        level=importance_sampling_level,
        max_log_ratio=max_log_ratio,
    )
    outside = completion_mask == 0
    if advantages.shape == outside.shape:
        advantages = advantages.masked_fill(outside, 0.0)
    if loss_type == "cispo":
        if epsilon_high is None:
            raise ValueError('epsilon_high must be given for loss_type="cispo"')
        loss = cispo_loss(ratio, per_token_logps, advantages, epsilon_high=epsilon_high)
    else:
        loss = clipped_surrogate_loss(
            ratio,
            advantages,
            epsilon=epsilon,
            epsilon_high=epsilon_high,
            delta=delta,
            delta_rule=delta_rule,
        )
    if beta > 0:
        if ref_per_token_logps is None:
            raise ValueError("ref_per_token_logps must be given for beta > 0")
        loss = loss + beta * kl_penalty(
            per_token_logps,
            ref_per_token_logps,
            estimator=kl_estimator,
            gradient=kl_gradient,
            ratio=ratio if kl_gradient == "importance" else None,
            clamp=kl_clamp,
            completion_mask=completion_mask,
        )
    return loss.expand(completion_mask.shape).masked_fill(outside, 0.0)


def policy_loss(
    per_token_logps: Tensor,
    old_per_token_logps: Tensor,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    loss_type: LossType = "grpo",
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    delta: float | None = None,
    delta_rule: DeltaRule = "negative",
    importance_sampling_level: Level = "token",
    beta: float = 0.0,
    ref_per_token_logps: Tensor | None = None,
    kl_estimator: Estimator = "k3",
    kl_gradient: KLGradient = "autodiff",
    kl_clamp: tuple[float, float] | None = None,
    max_log_ratio: float | None = 20.0,
    num_generations: int | None = None,
    max_completion_length: int | None = None,
    num_items_in_batch: float | Tensor | None = None,
    count_empty: bool = True,
) -> Tensor:
    """Whole policy loss: ratio → clip → + β·KL → aggregate.

    L = Σ_it w_it·[−min(ρ·Â, clip(ρ, 1 − ε, 1 + ε_high)·Â) + β·KL_it]

    PPO Eq 7, GRPO Eq 3, DAPO Eq 8, Dr. GRPO, GSPO, CISPO are settings of this one.
    Arguments and errors as `per_token_policy_loss` and `token_weights`.

    Returns:
        Scalar loss, float32 or better.
    """
    per_token_loss = per_token_policy_loss(
        per_token_logps,
        old_per_token_logps,
        advantages,
        completion_mask,
        loss_type=loss_type,
        epsilon=epsilon,
        epsilon_high=epsilon_high,
        delta=delta,
        delta_rule=delta_rule,
        importance_sampling_level=importance_sampling_level,
        beta=beta,
        ref_per_token_logps=ref_per_token_logps,
        kl_estimator=kl_estimator,
        kl_gradient=kl_gradient,
        kl_clamp=kl_clamp,
        max_log_ratio=max_log_ratio,
    )
    return aggregate_loss(
        per_token_loss,
        completion_mask,
        loss_type=loss_type,
        num_generations=num_generations,
        max_completion_length=max_completion_length,
        num_items_in_batch=num_items_in_batch,
        count_empty=count_empty,
    )


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
    ratio, advantages = _check_advantages("ratio", ratio, advantages)
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


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    completion_mask: Tensor,
    *,
    cliprange_value: float | None = 0.2,
) -> Tensor:
    """Clipped squared error of the critic.

    L = ½·mean_t max((V − R)², (clip(V, V_old − c, V_old + c) − R)²)

    PPO (Schulman et al., 2017) Eq 9 has the squared error; the clip is practice.

    Args:
        values: (N, T) V with gradient.
        old_values: (N, T) V when the tokens were sampled, constants.
        returns: (N, T) targets R, constants.
        completion_mask: (N, T) zeros and ones.
        cliprange_value: c > 0; None for no clip.

    Returns:
        Scalar, mean over tokens, float32 or better.

    Raises:
        ValueError: shapes differ, c ≤ 0, no token under the mask, NaN or infinity
            under it.
    """
    check_shape("values", values, (None, None))
    check_same_shape("old_values", old_values, "values", values)
    check_same_shape("returns", returns, "values", values)
    keep = check_mask("completion_mask", completion_mask, values.shape, at_least=1)
    values = _finite_under("values", values, keep)
    old_values = _finite_under("old_values", old_values, keep).detach()
    targets = _finite_under("returns", returns, keep).detach()
    errors = (values - targets).square()
    if cliprange_value is not None:
        check_range("cliprange_value", cliprange_value, low=0.0, low_open=True)
        moved = (values - old_values).clamp(-cliprange_value, cliprange_value)
        errors = torch.maximum(errors, (old_values + moved - targets).square())
    return 0.5 * masked_mean(errors, keep)


def _finite_under(name: str, tensor: Tensor, keep: Tensor) -> Tensor:
    """Return `tensor` in float32 or better, 0 outside the mask and finite under it."""
    tensor = check_float(name, tensor).masked_fill(~keep, 0.0)
    check_finite(name, tensor)
    return tensor


def _clip_range(epsilon: float, epsilon_high: float | None) -> tuple[float, float]:
    """1 − ε and 1 + ε_high."""
    check_range("epsilon", epsilon, low=0.0)
    if epsilon_high is None:
        epsilon_high = epsilon
    check_range("epsilon_high", epsilon_high, low=0.0)
    return 1.0 - epsilon, 1.0 + epsilon_high


def _check_advantages(
    name: str, tensor: Tensor, advantages: Tensor
) -> tuple[Tensor, Tensor]:
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
