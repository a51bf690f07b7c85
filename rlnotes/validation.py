"""Checks shared by the equations: each raises a ValueError naming the argument."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def _show(shape: Sequence[int | None]) -> str:
    """Write a shape the way the messages do, with `*` for any size."""
    return "(" + ", ".join("*" if size is None else str(size) for size in shape) + ")"


def check_shape(name: str, tensor: Tensor, shape: Sequence[int | None]) -> None:
    """Raise ValueError unless `tensor` has `shape`; None in `shape` fits any size."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(tensor).__name__}")
    fits = len(tensor.shape) == len(shape) and all(
        want is None or want == got
        for got, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name} must have shape {_show(shape)}, got {_show(tensor.shape)}"
        )


def check_same_shape(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Raise ValueError unless `tensor` has the shape of `other`."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(tensor).__name__}")
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
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(tensor).__name__}")
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


def check_mask(
    name: str, mask: Tensor, shape: Sequence[int | None], *, nonempty: bool = False
) -> Tensor:
    """Return `mask` as bool after checking its shape and that it holds only 0 and 1.

    Raises ValueError for another shape or value, and for a mask without a single 1
    when `nonempty`.
    """
    check_shape(name, mask, shape)
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(f"{name} must hold only 0 and 1, got other values")
    if nonempty and not bool(mask.any()):
        raise ValueError(f"{name} must select at least one token, got all zeros")
    return mask.bool()


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")


def check_range(
    name: str,
    value: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
) -> None:
    """Raise ValueError unless low ≤ value ≤ high (low < value if `low_open`)."""
    above = value > low if low_open else value >= low
    if isinstance(value, bool) or not (above and value <= high):
        left = "(" if low_open else "["
        raise ValueError(f"{name} must be in {left}{low}, {high}], got {value}")


def check_groups(name: str, rows: int, num_generations: int) -> None:
    """Raise ValueError unless `rows` is a positive multiple of `num_generations`."""
    if not isinstance(num_generations, int) or num_generations < 1:
        raise ValueError(
            f"num_generations must be a positive integer, got {num_generations!r}"
        )
    if rows == 0 or rows % num_generations:
        raise ValueError(
            f"{name} must hold a positive multiple of num_generations="
            f"{num_generations} rows, got {rows}"
        )
