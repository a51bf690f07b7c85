"""Mean 0 and variance 1: tokens, and the statistics that all advantages share.

The statistics leave out what is NaN, and equal entries have a spread of exactly 0.
"""

import torch
from torch import Tensor

from .validation import (
    check_choice,
    check_finite,
    check_mask,
    check_masked,
    check_range,
    check_shape,
)


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
    values = check_masked("values", values, keep)
    mean, scale = token_statistics(values, keep, correction, eps)
    whitened = (values - mean) / scale
    if not shift_mean:
        whitened = whitened + mean
    return whitened.masked_fill(~keep, 0.0)


def token_statistics(
    values: Tensor, keep: Tensor, correction: int, eps: float
) -> tuple[Tensor, Tensor]:
    """Mean and √(var + ε) of the tokens under the mask, 1 for a spread of 0."""
    tokens = values.masked_fill(~keep, torch.nan).flatten()
    mean, std = mean_and_std(tokens, correction)
    mean = torch.where(is_constant(tokens), values[keep][0], mean)
    return mean, nonzero((std.square() + eps).sqrt())


def mean_and_std(sets: Tensor, correction: int) -> tuple[Tensor, Tensor]:
    """Mean and std of the scored entries of the last axis; std 0 if all are equal."""
    missing = sets.isnan()
    count = (~missing).sum(dim=-1)
    mean = sets.masked_fill(missing, 0.0).sum(dim=-1) / count
    squares = (sets - mean[..., None]).square().masked_fill(missing, 0.0).sum(dim=-1)
    std = (squares / (count - correction).clamp(min=1)).sqrt()
    check_finite("spread of rewards", std)
    return mean, std.masked_fill(is_constant(sets), 0.0)


def is_constant(sets: Tensor) -> Tensor:
    """Whether the scored (not NaN) entries of the last axis are all equal."""
    missing = sets.isnan()
    top = sets.masked_fill(missing, -torch.inf).amax(dim=-1)
    return top <= sets.masked_fill(missing, torch.inf).amin(dim=-1)


def nonzero(scale: Tensor) -> Tensor:
    """What to divide by: 1 in place of 0."""
    return torch.where(scale > 0, scale, torch.ones_like(scale))
