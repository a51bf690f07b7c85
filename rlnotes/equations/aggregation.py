"""Aggregation: a weight per token, and token losses as one number."""

from typing import Literal, get_args

import torch
from torch import Tensor

from .validation import (
    check_choice,
    check_float,
    check_groups,
    check_mask,
    check_masked,
    check_range,
    check_same_shape,
)

LossType = Literal["grpo", "dapo", "bnpo", "dapo_prompt", "dr_grpo", "luspo", "cispo"]

LOSS_TYPES = get_args(LossType)


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
        loss_type, num_generations, max_completion_length, num_items_in_batch,
            count_empty: as `token_weights`.

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
    loss = check_masked("per_token_loss", loss.expand_as(weights), completion_mask != 0)
    return (weights * loss).sum()
