"""Which tokens count, and averages over the tokens that count.

A completion mask is (N, T) with 1 for each token that the policy chose, the
end-of-sequence token included, and 0 for padding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .validation import check_choice, check_float, check_mask, check_masked, check_shape


def completion_mask_from_ids(
    completion_ids: Tensor, eos_token_ids: Sequence[int]
) -> Tensor:
    """Mask each completion up to and including its first end-of-sequence token.

    m_t = 1[no eos among o_1 … o_{t−1}]

    Never compares with the padding id: where pad and eos are the same token, that
    would drop the eos that the policy has to learn to say. A row without eos (cut off
    at the length limit) is all ones.

    Args:
        completion_ids: (N, T) integer token ids.
        eos_token_ids: the ids that end a completion, at least one.

    Returns:
        (N, T) int64 mask of zeros and ones.

    Raises:
        ValueError: wrong shape, ids that are not integers, no eos ids.
    """
    check_shape("completion_ids", completion_ids, (None, None))
    if completion_ids.is_floating_point() or completion_ids.is_complex():
        raise ValueError(f"completion_ids must be integers, got {completion_ids.dtype}")
    if isinstance(eos_token_ids, int) or len(eos_token_ids) == 0:
        raise ValueError(
            f"eos_token_ids must be a sequence of token ids, got {eos_token_ids!r}"
        )
    ends = torch.isin(completion_ids, completion_ids.new_tensor(list(eos_token_ids)))
    return (ends.cumsum(dim=1) - ends.long() == 0).long()


def masked_mean(values: Tensor, mask: Tensor, *, dim: int | None = None) -> Tensor:
    """Average the values under the mask.

    mean = Σ m·x / Σ m

    Args:
        values: any shape; what lies outside the mask is never read, NaN included.
        mask: zeros and ones, the shape of `values`.
        dim: average over this axis only; a slice without a single 1 gives 0.

    Returns:
        Scalar, or `values` without axis `dim`; float32 or better.

    Raises:
        ValueError: shapes differ, mask not 0/1 or all zeros, NaN under the mask.
    """
    values = check_float("values", values)
    keep = check_mask("mask", mask, values.shape, at_least=1)
    kept = check_masked("values", values, keep)
    if dim is None:
        return kept.sum() / keep.sum()
    return kept.sum(dim) / keep.sum(dim).clamp(min=1)


def masked_var(values: Tensor, mask: Tensor, *, correction: int = 1) -> Tensor:
    """Variance of the values under the mask.

    var = Σ m·(x − mean)² / (Σ m − correction)

    Args:
        values: any shape; what lies outside the mask is never read.
        mask: zeros and ones, the shape of `values`.
        correction: 1 for the unbiased variance, 0 for the biased one.

    Returns:
        Scalar; float32 or better.

    Raises:
        ValueError: as `masked_mean`, or not more than `correction` tokens selected.
    """
    check_choice("correction", correction, (0, 1))
    values = check_float("values", values)
    keep = check_mask("mask", mask, values.shape, at_least=correction + 1)
    centered = (values - masked_mean(values, keep)).masked_fill(~keep, 0.0)
    return centered.square().sum() / (keep.sum() - correction)
