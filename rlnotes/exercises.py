"""Checks of the notebooks' exercises: `check_exercise("grpo-1", my_function)`.

To add one: write a function that returns (test, hint) pairs, name it in `EXERCISES`.
A test takes the answer and says whether it passes; `_gives` makes the usual one. The
expected values come from the library, so a check never disagrees with it. In the
notebook, a solution is a fenced block that starts with `# <name>` and ends with the
definition of the answer; `tests/test_exercises.py` runs every such block.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from rlnotes.advantages import group_relative_advantages, leave_one_out_advantages
from rlnotes.divergences import kl_k3
from rlnotes.objectives import clipped_surrogate_loss, token_weights
from rlnotes.validation import check_choice

Test = Callable[[Any], bool]
Hints = Iterable[tuple[Test, str]]


def check_exercise(name: str, answer: Any) -> None:
    """Print "right", or "not yet" with a hint; the solution is never shown.

    Args:
        name: the exercise as the notebook calls it, a key of `EXERCISES`.
        answer: what the exercise asks for, a function or a value. A function that
            still raises NotImplementedError is "not yet", so that the notebook runs.

    Raises:
        ValueError: unknown name. Whatever the answer does wrong is printed.
    """
    check_choice("name", name, tuple(EXERCISES))
    hint = find_hint(name, answer)
    print(f"{name}: right" if hint is None else f"{name}: not yet: {hint}")


def find_hint(name: str, answer: Any) -> str | None:
    """The hint of the first test that the answer fails, or None if it passes all."""
    for test, hint in EXERCISES[name]():
        try:
            if not test(answer):
                return hint
        except NotImplementedError:
            return "replace `raise NotImplementedError` by your answer"
        except Exception as error:  # a student's code may raise anything
            return f"it raised {type(error).__name__}: {error}"
    return None


def _gives(expected: Any, *arguments: Any) -> Test:
    """Test that the answer, called with `arguments` if it is a function, is `expected`.

    Numbers and tensors are compared in shape and in value (float32 rounding aside),
    tuples, lists and dicts part by part.
    """

    def test(answer: Any) -> bool:
        if callable(answer):
            answer = answer(*copy.deepcopy(arguments))
        return _same(answer, expected)

    return test


def _same(answer: Any, expected: Any) -> bool:
    """Whether two answers agree; numbers in shape and up to float32 rounding."""
    if isinstance(expected, (str, type(None))):
        return bool(answer == expected)
    if isinstance(expected, dict):
        return answer.keys() == expected.keys() and all(
            _same(answer[key], value) for key, value in expected.items()
        )
    if isinstance(expected, (tuple, list)):
        return len(answer) == len(expected) and all(map(_same, answer, expected))
    mine, theirs = torch.as_tensor(answer), torch.as_tensor(expected)
    return mine.shape == theirs.shape and torch.allclose(
        mine.double(), theirs.double(), rtol=1e-4, atol=1e-6
    )


def _grpo_1() -> Hints:
    """(k, G) → advantage of a right and of a wrong completion, biased std."""
    for k, size in ((2, 4), (1, 4), (15, 16)):
        rewards = torch.tensor([1.0] * k + [0.0] * (size - k))
        both = group_relative_advantages(rewards, size, correction=0)[[0, -1]]
        hint = f"for k={k}, G={size}: center 1 and 0 by k/G, then divide by √(p(1 − p))"
        yield _gives(tuple(both), k, size), hint


def _grpo_2() -> Hints:
    """Leave-one-out advantages of (N,) rewards in groups of G."""
    one, two = torch.tensor([1.0, 0, 1, 0]), torch.tensor([1.0, 0, 0, 2, 5, 5])
    hint = "for rewards 1, 0, 1, 0 the baseline of the first is the mean of 0, 1, 0"
    yield _gives(leave_one_out_advantages(one, 4), one, 4), hint
    hint = "one group is right; with two, each needs its own mean"
    yield _gives(leave_one_out_advantages(two, 3), two, 3), hint


def _grpo_3() -> Hints:
    """(logps, ref_logps) → a loss with the value of k3 and the gradient of k2."""
    logps, ref = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -1.0]])

    def gradient(answer: Any) -> Tensor:
        leaf = logps.clone().requires_grad_()
        return torch.autograd.grad(answer(leaf, ref).sum(), leaf)[0]

    yield _gives(kl_k3(logps, ref), logps, ref), "the value must be that of k3"
    yield (
        lambda answer: _same(gradient(answer), logps - ref),
        "the value is right; the derivative must be log π − log π_ref, so let k3 give"
        " the value (detached) and k2 the gradient",
    )


def _grpo_4() -> Hints:
    """(mask, max_completion_length) → per-token weights of Dr. GRPO."""
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    longer = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1]])
    yield (
        lambda answer: _same(answer(mask, 8)[1], answer(longer, 8)[1]),
        "a longer first completion changed the weights of the second",
    )
    for case in (mask, longer):
        weights = token_weights(case, loss_type="dr_grpo", max_completion_length=8)
        yield _gives(weights, case, 8), "divide by rows times max_completion_length"


def _grpo_5() -> Hints:
    """(ratio, advantages, epsilon) → which tokens get no gradient."""
    ratio = torch.tensor([[0.5, 1.0, 1.5], [0.5, 1.0, 1.5]])
    advantages = torch.tensor([1.0, -1.0])
    leaf = ratio.clone().requires_grad_()
    loss = clipped_surrogate_loss(leaf, advantages, epsilon=0.2).sum()
    stopped = torch.autograd.grad(loss, leaf)[0] == 0
    hint = "each row has one such token: Â > 0 stops above the range, Â < 0 below it"
    yield _gives(stopped, ratio, advantages, 0.2), hint


EXERCISES: dict[str, Callable[[], Hints]] = {
    # 02_grpo
    "grpo-1": _grpo_1,
    "grpo-2": _grpo_2,
    "grpo-3": _grpo_3,
    "grpo-4": _grpo_4,
    "grpo-5": _grpo_5,
}
