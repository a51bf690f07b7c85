"""Masks and averages over them, by hand."""

import math

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.masking import completion_mask_from_ids, masked_mean, masked_var

NAN = math.nan


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([5, 6, 1, 0, 0], [1, 1, 1, 0, 0]),  # the eos counts, the padding does not
        ([5, 6, 7, 8, 9], [1, 1, 1, 1, 1]),  # cut off: no eos
        ([1, 1, 1, 1, 1], [1, 0, 0, 0, 0]),  # pad is eos
        ([5, 1, 6, 1, 7], [1, 1, 0, 0, 0]),  # only the first eos ends it
        ([5, 0, 0, 6, 1], [1, 1, 1, 1, 1]),  # a pad id inside is a token like any
        ([5, 6, 7, 8, 1], [1, 1, 1, 1, 1]),  # eos as the last token
    ],
)
def test_mask_reaches_the_first_eos(ids, expected):
    mask = completion_mask_from_ids(T([ids]), [1])
    assert mask.tolist() == [expected]
    assert mask.dtype == torch.int64


def test_any_of_several_eos_ids_ends_a_completion():
    ids = T([[5, 2, 6, 1], [5, 1, 6, 2], [3, 3, 3, 3]])
    mask = completion_mask_from_ids(ids, (1, 2))
    assert mask.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_masked_mean_of_everything():
    values = T([[1.0, 2.0, NAN], [6.0, math.inf, 4.0]])
    mask = T([[1, 1, 0], [1, 0, 0]])
    assert_close(masked_mean(values, mask), T(3.0))


def test_masked_mean_of_rows_gives_zero_for_an_empty_row():
    values = T([[1.0, 2.0], [6.0, 4.0], [NAN, 5.0]])
    mask = T([[1, 1], [0, 1], [0, 0]])
    assert_close(masked_mean(values, mask, dim=1), T([1.5, 4.0, 0.0]))
    assert_close(masked_mean(values, mask, dim=0), T([1.0, 3.0]))


def test_masked_var_counts_one_less():
    values = T([[1.0, 2.0, NAN], [6.0, math.inf, 4.0]])
    mask = T([[1, 1, 0], [1, 0, 0]])
    assert_close(masked_var(values, mask), T(7.0))
    assert_close(masked_var(values, mask, correction=0), T(14 / 3))


def test_one_token_has_a_biased_variance_of_zero():
    assert masked_var(T([3.0, NAN]), T([1, 0]), correction=0) == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_averaged_in_float32(dtype):
    values = torch.full((1, 4096), 1.0, dtype=dtype)
    mean = masked_mean(values, torch.ones(1, 4096))
    assert mean.dtype == torch.float32
    assert mean == 1.0
    assert masked_var(values, torch.ones(1, 4096)).dtype == torch.float32


def test_float64_stays():
    assert masked_mean(torch.ones(2).double(), torch.ones(2)).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_any_dtype_of_mask_will_do(dtype):
    mask = T([[1, 0], [1, 1]]).to(dtype)
    assert_close(masked_mean(T([[1.0, 9.0], [2.0, 6.0]]), mask), T(3.0))
