"""The checks let the right things through and stop at the bounds."""

import math

import numpy as np
import pytest
import torch
from torch import tensor as T

from rlnotes.equations.names import did_you_mean
from rlnotes.equations.validation import (
    check_choice,
    check_finite,
    check_float,
    check_groups,
    check_mask,
    check_masked,
    check_range,
    check_same_shape,
    check_shape,
)


def test_shapes_that_fit():
    check_shape("x", torch.ones(2, 3), (2, 3))
    check_shape("x", torch.ones(2, 3), (2, None))
    check_shape("x", torch.ones(2, 3), (None, None))
    check_shape("x", torch.tensor(1.0), ())


@pytest.mark.parametrize("shape", [(2,), (3, 3), (2, 2), (2, 3, 1), (None,), ()])
def test_shapes_that_do_not(shape):
    with pytest.raises(ValueError, match=r"^x must have shape \("):
        check_shape("x", torch.ones(2, 3), shape)


def test_same_shape_or_a_column():
    rows = torch.ones(2, 3)
    check_same_shape("x", torch.zeros(2, 3), "y", rows)
    check_same_shape("x", torch.zeros(2, 1), "y", rows, column=True)
    check_same_shape("x", torch.zeros(2, 3), "y", rows, column=True)
    for wrong, column in (((2, 1), False), ((1, 3), True), ((2,), True)):
        with pytest.raises(ValueError, match="^x must have the shape of y"):
            check_same_shape("x", torch.zeros(wrong), "y", rows, column=column)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_float_goes_up_to_float32(given, expected):
    tensor = check_float("x", torch.ones(2, dtype=given))
    assert tensor.dtype == expected
    assert tensor.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.int64])
def test_integers_only_where_allowed(dtype):
    whole = torch.ones(2, dtype=dtype)
    assert check_float("x", whole, integers=True).dtype == torch.float32
    with pytest.raises(ValueError, match="^x must be floating point"):
        check_float("x", whole)


def test_mask_comes_back_as_bool():
    for mask in (T([1, 0]), T([1.0, 0.0]), T([True, False])):
        assert check_mask("m", mask, (2,)).tolist() == [True, False]
        assert check_mask("m", mask, (2,), at_least=1).dtype == torch.bool
    assert not check_mask("m", T([0, 0]), (2,)).any()
    with pytest.raises(ValueError, match="^m must select 2 or more tokens, got 1$"):
        check_mask("m", T([1, 0]), (2,), at_least=2)


def test_finite():
    check_finite("x", T([1.0, -1e38]))
    check_finite("x", T([1, 2]))
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="^x must be finite.* in 1 of 2$"):
            check_finite("x", T([1.0, bad]))


def test_choice():
    check_choice("x", "a", ("a", "b"))
    check_choice("x", 1, (0, 1))


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
def test_range_takes_its_bounds_and_any_number(value):
    check_range("x", value, low=0, high=1)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, "1", None, T(0.5)])
def test_range_stops(value):
    with pytest.raises(ValueError, match="^x must be a number in "):
        check_range("x", value, low=0, high=1)


def test_open_range_and_integers():
    check_range("x", 1e-9, low=0, low_open=True)
    check_range("x", math.inf)
    check_range("x", np.int32(3), integer=True)
    for keywords in ({"low_open": True}, {"integer": True, "low": 1}):
        with pytest.raises(ValueError, match="^x must be a"):
            check_range("x", 0, **{"low": 0, **keywords})
    with pytest.raises(ValueError, match="^x must be an integer in"):
        check_range("x", 2.0, integer=True)


def test_groups():
    check_groups("x", 4, 2)
    check_groups("x", 4, 4)
    check_groups("x", 4, 1)
    check_groups("x", 4, np.int64(2))
    for rows, size in ((3, 2), (0, 2), (2, 4)):
        with pytest.raises(ValueError, match=f"num_generations={size} rows, got"):
            check_groups("x", rows, size)
    for size in (0, -2, 2.0, "2", None):
        with pytest.raises(ValueError, match="^num_generations must be an integer"):
            check_groups("x", 4, size)


def test_masked_is_finite_under_the_mask_and_zero_outside():
    keep = T([True, False])
    masked = check_masked("x", T([1.5, math.nan]), keep)
    assert masked.tolist() == [1.5, 0.0]
    assert check_masked("x", T([1.5, 2.0]).half(), keep).dtype == torch.float32
    with pytest.raises(ValueError, match="^x must be finite, got NaN or infinity in 1"):
        check_masked("x", T([math.inf, 1.0]), keep)


def test_a_choice_says_what_was_probably_meant():
    with pytest.raises(ValueError, match=r"got 'Tokn'; did you mean 'token'\?$"):
        check_choice("level", "Tokn", ("token", "sequence"))
    with pytest.raises(ValueError, match="got 'xyz'$"):
        check_choice("level", "xyz", ("token", "sequence"))
    assert did_you_mean("ENTROPY", ["kl", "entropy"]) == "; did you mean 'entropy'?"
