"""Checks shared by the equations: each raises a ValueError naming the argument."""

import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

from .names import did_you_mean


def _show(shape: Sequence[int | None]) -> str:
    """Write a shape the way the messages do, with `*` for any size."""
    sizes = ["*" if size is None else str(size) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def _check_tensor(name: str, tensor: object) -> None:
    """Raise ValueError for what is no tensor."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(tensor).__name__}")


def check_shape(name: str, tensor: Tensor, shape: Sequence[int | None]) -> None:
    """Raise ValueError unless `tensor` has `shape`; None in `shape` fits any size."""
    _check_tensor(name, tensor)
    fits = len(tensor.shape) == len(shape) and all(
        want is None or want == got
        for got, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name} must have shape {_show(shape)}, got {_show(tensor.shape)}"
        )


def check_same_shape(
    name: str, tensor: Tensor, other_name: str, other: Tensor, *, column: bool = False
) -> None:
    """Raise ValueError unless `tensor` has the shape of `other`.

    `column=True` also lets one value per row through, a last axis of size 1.
    """
    _check_tensor(name, tensor)
    if column and tensor.shape == (*other.shape[:-1], 1):
        return
    if tensor.shape != other.shape:
        raise ValueError(
            f"{name} must have the shape of {other_name} {_show(other.shape)}, "
            f"got {_show(tensor.shape)}"
        )


def check_float(name: str, tensor: Tensor, *, integers: bool = False) -> Tensor:
    """Return `tensor` in float32 or better: fp16 and bf16 go up, float64 stays.

    Raises ValueError for anything but a floating-point tensor; `integers=True` also
    lets integer and bool tensors through (rewards and lengths are often whole).
    """
    _check_tensor(name, tensor)
    if tensor.is_complex() or not (integers or tensor.is_floating_point()):
        raise ValueError(f"{name} must be floating point, got {tensor.dtype}")
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def check_finite(name: str, tensor: Tensor) -> None:
    """Raise ValueError if any element is NaN or infinite."""
    bad = int((~tensor.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, got NaN or infinity in {bad} of {tensor.numel()}"
        )


def check_masked(name: str, tensor: Tensor, keep: Tensor) -> Tensor:
    """Return `tensor` in float32 or better, 0 outside the mask and finite under it."""
    tensor = check_float(name, tensor).masked_fill(~keep, 0.0)
    check_finite(name, tensor)
    return tensor


def check_mask(
    name: str, mask: Tensor, shape: Sequence[int | None], *, at_least: int = 0
) -> Tensor:
    """Return `mask` as bool after checking its shape and that it holds only 0 and 1.

    Raises ValueError for another shape or value, for a tensor without elements, and
    for fewer than `at_least` ones.
    """
    check_shape(name, mask, shape)
    if mask.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {_show(mask.shape)}")
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(f"{name} must hold only 0 and 1, got other values")
    if at_least and int(mask.sum()) < at_least:
        raise ValueError(
            f"{name} must select {at_least} or more tokens, got {int(mask.sum())}"
        )
    return mask.bool()


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        hint = did_you_mean(value, choices)
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}{hint}")


def check_range(
    name: str,
    value: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    integer: bool = False,
) -> None:
    """Raise ValueError unless low ≤ value ≤ high (low < value if `low_open`).

    Raises it as well for what is no number, or no whole one if `integer`.
    """
    kind, noun = (Integral, "an integer") if integer else (Real, "a number")
    fits = isinstance(value, kind) and low <= value <= high
    if not fits or (low_open and value == low):
        left = "(" if low_open else "["
        raise ValueError(
            f"{name} must be {noun} in {left}{low}, {high}], got {value!r}"
        )


def check_groups(name: str, rows: int, num_generations: int) -> None:
    """Raise ValueError unless `rows` is a positive multiple of `num_generations`."""
    check_range("num_generations", num_generations, low=1, integer=True)
    if rows == 0 or rows % num_generations:
        raise ValueError(
            f"{name} must hold a positive multiple of num_generations="
            f"{num_generations} rows, got {rows}"
        )
