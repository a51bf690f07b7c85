"""Losses of PPO, GRPO, Dr. GRPO, DAPO, GSPO and CISPO: ratio, clip, KL, aggregation.

Every policy loss here is Σ_it w_it·L_it: a loss per token and a weight per token. The
weights are the whole difference between the aggregation rules, and because they are
known before the loss is, a batch can be cut into micro-batches anywhere.
"""

from typing import Any

import torch
from torch import Tensor

from .aggregation import LOSS_TYPES, LossType, aggregate_loss
from .divergences import Estimator, KLGradient, kl_penalty
from .masking import masked_mean
from .surrogates import (
    DeltaRule,
    Level,
    cispo_loss,
    clipped_surrogate_loss,
    importance_ratio,
)
from .validation import (
    check_choice,
    check_mask,
    check_masked,
    check_range,
    check_same_shape,
    check_shape,
)


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
        epsilon, epsilon_high, delta, delta_rule: as `clipped_surrogate_loss`.
        importance_sampling_level: "token", or "sequence" for GSPO.
        beta: β ≥ 0, weight of the KL; 0 needs no reference.
        ref_per_token_logps: (N, T) log π_ref, needed if β > 0.
        kl_estimator, kl_gradient, kl_clamp: as `divergences.kl_penalty`.
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
    num_generations: int | None = None,
    max_completion_length: int | None = None,
    num_items_in_batch: float | Tensor | None = None,
    count_empty: bool = True,
    **clip_and_kl: Any,
) -> Tensor:
    """Whole policy loss: ratio → clip → + β·KL → aggregate.

    L = Σ_it w_it·[−min(ρ·Â, clip(ρ, 1 − ε, 1 + ε_high)·Â) + β·KL_it]

    PPO Eq 7, GRPO Eq 3, DAPO Eq 8, Dr. GRPO, GSPO, CISPO are settings of this one.

    Args:
        per_token_logps, old_per_token_logps, advantages, completion_mask,
            clip_and_kl: as `per_token_policy_loss`: epsilon, epsilon_high, delta,
            delta_rule, importance_sampling_level, beta, ref_per_token_logps,
            kl_estimator, kl_gradient, kl_clamp and max_log_ratio.
        loss_type, num_generations, max_completion_length, num_items_in_batch,
            count_empty: as `token_weights`.

    Returns:
        Scalar loss, float32 or better.

    Raises:
        ValueError: as these two.
    """
    per_token_loss = per_token_policy_loss(
        per_token_logps,
        old_per_token_logps,
        advantages,
        completion_mask,
        loss_type=loss_type,
        **clip_and_kl,
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
    values = check_masked("values", values, keep)
    old_values = check_masked("old_values", old_values, keep).detach()
    targets = check_masked("returns", returns, keep).detach()
    errors = (values - targets).square()
    if cliprange_value is not None:
        check_range("cliprange_value", cliprange_value, low=0.0, low_open=True)
        moved = (values - old_values).clamp(-cliprange_value, cliprange_value)
        errors = torch.maximum(errors, (old_values + moved - targets).square())
    return 0.5 * masked_mean(errors, keep)
