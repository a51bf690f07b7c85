"""Tests of an answer, each with the hint for who fails it."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch

Test = Callable[[Any], bool]
Hints = Iterable[tuple[Test, str]]


def gives(expected: Any, *arguments: Any) -> Test:
    """Test that the answer, called with `arguments` if it is a function, is `expected`.

    Numbers and tensors are compared in shape and in value (float32 rounding aside),
    tuples, lists and dicts part by part.
    """

    def test(answer: Any) -> bool:
        if callable(answer):
            answer = answer(*copy.deepcopy(arguments))
        return same(answer, expected)

    return test


def predicted(answer: Any) -> bool:
    """Whether there is a prediction at all."""
    return (answer() if callable(answer) else answer) is not None


def same(answer: Any, expected: Any) -> bool:
    """Whether two answers agree; numbers in shape and up to float32 rounding."""
    if isinstance(expected, (str, type(None))):
        return bool(answer == expected)
    if isinstance(expected, dict):
        return answer.keys() == expected.keys() and all(
            same(answer[key], value) for key, value in expected.items()
        )
    if isinstance(expected, (tuple, list)):
        return len(answer) == len(expected) and all(map(same, answer, expected))
    mine, theirs = torch.as_tensor(answer), torch.as_tensor(expected)
    return mine.shape == theirs.shape and torch.allclose(
        mine.double(), theirs.double(), rtol=1e-4, atol=1e-6
    )
