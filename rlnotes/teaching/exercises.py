"""Checks of the notebooks' exercises: `check_exercise("grpo-1", my_function)`.

To add one: write a function that returns (test, hint) pairs, name it in `EXERCISES`.
A test takes the answer and says whether it passes; `_gives` makes the usual one. The
expected values come from the library, so a check never disagrees with it. In the
notebook, a solution is a fenced block that starts with `# <name>` and ends with the
definition of the answer; `tests/teaching/test_exercises.py` runs every such block.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.aggregation import token_weights
from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.divergences import kl_k3
from rlnotes.equations.gae import generalized_advantage_estimation
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.masking import completion_mask_from_ids
from rlnotes.equations.objectives import value_loss
from rlnotes.equations.shaping import (
    conditioned_rewards,
    informative_groups,
    soft_overlong_punishment,
)
from rlnotes.equations.surrogates import (
    clip_fractions,
    clipped_surrogate_loss,
    importance_ratio,
)
from rlnotes.equations.validation import check_choice
from rlnotes.reflection.benefit import MatchedCounts
from rlnotes.reflection.words import WordList
from rlnotes.rewards.language import share_of_words
from rlnotes.supervised.curation import Response, is_right, reject
from rlnotes.tasks.base import Task
from rlnotes.tasks.search_traces import Trace
from rlnotes.teaching.worked_group import worked_group

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


def _dapo_1() -> Hints:
    """(p_old, ε_high) → probability up to which a token with Â > 0 has a gradient."""
    rare, common = torch.tensor([0.01, 0.2]), torch.tensor([0.01, 0.7, 0.9])
    hint = "the clip stops the ratio at 1 + ε_high, so the probability at that × p_old"
    yield _gives(1.28 * rare, rare, 0.28), hint
    expected = torch.tensor([0.012, 0.84, 1.0])
    yield _gives(expected, common, 0.2), "right for rare tokens; none goes above 1"


def _dapo_2() -> Hints:
    """(p, G) → completions to sample, on average, for one group that is kept."""
    for p, size in ((0.5, 2), (0.1, 4), (0.9, 16)):
        hint = f"for p={p}, G={size}: all right has chance p^G, all wrong (1 − p)^G"
        yield _gives(size / (1 - p**size - (1 - p) ** size), p, size), hint


def _dapo_3() -> Hints:
    """(mask, G) → (N,) share of each completion in the loss, by Eq 8 as written."""
    one = (torch.arange(9) < torch.tensor([[3], [9]])).long()
    two = (torch.arange(9) < torch.tensor([[3], [9], [1], [1]])).long()
    for mask, hint in (
        (one, "one prompt: its tokens over all tokens of its group"),
        (two, "one prompt is right; with two, each prompt has the same share"),
    ):
        weights = token_weights(mask, loss_type="dapo_prompt", num_generations=2)
        yield _gives(weights.sum(1), mask, 2), hint


def _dapo_4() -> Hints:
    """(accuracies 0/1, lengths, L_max, L_cache) → DAPO's reward, in [−2, 1]."""
    right, lengths = torch.tensor([1.0, 0, 1, 0]), torch.tensor([80.0, 100, 105, 120])
    for count, hint in (
        (1, "a right and short one gets 1"),
        (2, "R_acc is ±1 (Eq 7), so a wrong and short one gets −1"),
        (3, "the penalty starts at L_max − L_cache and reaches −1 at L_max"),
        (4, "beyond L_max the penalty stays at −1"),
    ):
        accuracies, tokens = right[:count], lengths[:count]
        expected = (
            2 * accuracies
            - 1
            + soft_overlong_punishment(
                tokens, max_completion_len=110, soft_punish_cache=10
            )
        )
        yield _gives(expected, accuracies, tokens, 110, 10), hint


def _dapo_5() -> Hints:
    """(shaped rewards ±1 + R_length (N,), G) → which groups to keep, (P,) bool."""
    cases = (
        ([1.0, -1, 1, -1], "one right and one wrong: keep, the same: drop"),
        ([-1.0, -2, -1.5, -1, 1, 0.5, 0.25, 1], "unequal rewards of one kind: drop"),
        ([0.0, -1, 1, -2], "with R_length a right one has R ≥ 0, a wrong one R ≤ −1"),
    )
    for values, hint in cases:
        rewards = torch.tensor(values)
        expected = informative_groups((rewards > -0.5).float(), 2)
        yield _gives(expected, rewards, 2), hint


def _gdpo_1() -> Hints:
    """(rewards (N, K), G) → MO-GRPO: GDPO without the batch normalization."""
    one = torch.tensor([[1.0, 0], [1, 0], [0, 0], [0, 1]])
    two = torch.cat([one, torch.tensor([[1.0, 5], [1, 0], [1, 0], [1, 5]])])
    expected = decoupled_advantages(one, 4, batch_stats="none")
    hint = "for one group: center and divide each column, then add the columns"
    yield _gives(expected, one, 4), hint
    expected = decoupled_advantages(two, 4, batch_stats="none")
    hint = (
        "one group is right; with two, each needs its own mean, and a constant adds 0"
    )
    yield _gives(expected, two, 4), hint


def _gdpo_2() -> Hints:
    """(k, G) → z-score of one of the k that earned the point, unbiased std."""
    for k, size in ((1, 16), (1, 4), (3, 8), (7, 8)):
        rewards = torch.tensor([1.0] * k + [0.0] * (size - k))
        expected = group_relative_advantages(rewards, size)[0]
        hint = f"for k={k}, G={size}: (1 − p) / √(p(1 − p)·G/(G − 1)) with p = k/G"
        yield _gives(expected, k, size), hint


def _gdpo_3() -> Hints:
    """() → (4, 2) rewards with equal totals that GDPO tells apart."""

    def rewards(answer: Any) -> Tensor:
        return torch.as_tensor(answer() if callable(answer) else answer).double()

    def separates(answer: Any) -> bool:
        total = rewards(answer).sum(1)
        advantages = decoupled_advantages(rewards(answer), 4, batch_stats="none")
        same = total[:, None] == total
        return bool((same & ((advantages[:, None] - advantages).abs() > 1e-6)).any())

    def is_binary(answer: Any) -> bool:
        values = rewards(answer)
        return values.shape == (4, 2) and bool(((values == 0) | (values == 1)).all())

    yield is_binary, "a tensor (4, 2) of zeros and ones"
    yield (
        lambda answer: bool(rewards(answer)[:, 1].sum() >= 2),
        "pay the second column to two or more of the four",
    )
    hint = "two with (1, 0) and (0, 1), and columns that are paid unequally often"
    yield separates, hint


def _gdpo_4() -> Hints:
    """(rewards (G, K)) → weights that make GDPO's sum GRPO's numerator."""
    one = torch.tensor([[1.0, 0], [1, 0], [0, 0], [0, 1]])
    two = torch.tensor([[1.0, 5, 2], [0, 0, 7], [1, 1, 0]])
    for rewards in (one, two):
        hint = "the weight must undo the division of its own column"
        yield _gives(rewards.std(0), rewards), hint


def _gdpo_5() -> Hints:
    """(rewards (N, K), k, on, threshold) → Eq 8 with several conditions."""
    rewards = torch.tensor([[1.0, 1, 1], [1, 0, 1], [0, 1, 1], [2, 1, 0]])
    expected = conditioned_rewards(rewards, conditioned=2, on=0, threshold=1.0)
    hint = "with one condition it is conditioned_rewards: a copy, column k set to 0"
    yield _gives(expected, rewards, 2, [0], 1.0), hint
    expected = conditioned_rewards(expected, conditioned=2, on=1, threshold=1.0)
    hint = "one condition is right; with two, both must hold"
    yield _gives(expected, rewards, 2, [0, 1], 1.0), hint


def _map_1() -> Hints:
    """(ids (N, T), eos) → completion mask."""
    for rows, hint in (
        ([[5, 6, 0, 0], [5, 6, 7, 8]], "the first end counts, and so does a whole row"),
        ([[0, 5, 0, 7], [5, 0, 0, 0]], "what comes after the first end never counts"),
    ):
        ids = torch.tensor(rows)
        yield _gives(completion_mask_from_ids(ids, [0]), ids, 0), hint


def _map_2() -> Hints:
    """(rewards (N,), G) → share of groups whose rewards are all equal."""
    for values, share, hint in (
        ([1.0, 1, 0, 1, 0, 0, 0, 0], 0.5, "a group of only zeros is dead as well"),
        ([1.0, 0, 0, 1, 2, 2, 2, 2], 0.5, "compare within a group, not with the batch"),
    ):
        yield _gives(share, torch.tensor(values), 4), hint


def _map_3() -> Hints:
    """(lengths) → weight of a token of the shortest row over one of the longest."""
    for lengths in ([3, 5, 7, 12], [10, 100]):
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        first, last = lengths.index(min(lengths)), lengths.index(max(lengths))
        weights = [token_weights(mask, loss_type=kind) for kind in ("grpo", "dapo")]
        factors = tuple(w[first, 0] / w[last, 0] for w in weights)
        hint = "GRPO weighs a token by 1 / (G·|o_i|), DAPO by 1 / Σ|o_i|"
        yield _gives(factors, lengths), hint


def _map_4() -> Hints:
    """(ratio, advantages, mask) → tokens stopped by DAPO's clip, below and above."""
    group = worked_group()
    mask = group.completion_mask
    logps, old_logps = group.per_token_logps, group.old_per_token_logps
    ratio = importance_ratio(logps, old_logps, mask)
    advantages = group_relative_advantages(group.rewards, group.num_generations)
    hint = "below: ρ < 0.8 and Â < 0; above: ρ > 1.28 and Â > 0; under the mask"
    for a in (advantages, -advantages):
        shares = clip_fractions(ratio, a, mask, epsilon=0.2, epsilon_high=0.28)
        total = int(mask.sum())
        sides = ("clip_ratio/low_mean", "clip_ratio/high_mean")
        expected = tuple(round(shares[side] * total) for side in sides)
        yield _gives(expected, ratio, a, mask), hint


def _ppo_1() -> Hints:
    """(ratio, advantage, epsilon) → slope of the clipped objective by the ratio."""
    for ratio, advantage in ((1.0, 2.0), (1.5, 2.0), (0.5, 2.0), (1.5, -1.0)):
        yield (
            _gives(_surrogate_slope(ratio, advantage), ratio, advantage, 0.2),
            f"for ρ={ratio}, Â={advantage}: which of the two terms is the smaller one?",
        )
    hint = "for ρ=0.5, Â=-1 the token has gone far enough"
    yield _gives(_surrogate_slope(0.5, -1.0), 0.5, -1.0, 0.2), hint


def _surrogate_slope(ratio: float, advantage: float) -> float:
    """dJ/dρ at ε = 0.2 by autograd."""
    leaf = torch.tensor([[ratio]], requires_grad=True)
    loss = clipped_surrogate_loss(leaf, torch.tensor([advantage]), epsilon=0.2)
    return -float(torch.autograd.grad(loss.sum(), leaf)[0])


def _ppo_2() -> Hints:
    """(rewards (T,), values (T,), gamma, lam) → advantages (T,) of one completion."""
    rewards, values = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.2, 0.4, 0.9])
    for gamma, lam, hint in (
        (1.0, 1.0, "with γ = λ = 1 it is the sum of the rewards to come minus V_t"),
        (1.0, 0.0, "with λ = 0 it is δ_t alone, and V after the last token is 0"),
        (0.9, 0.8, "the recursion multiplies by γ·λ, δ_t has γ alone"),
    ):
        advantages, _ = generalized_advantage_estimation(
            rewards[None], values[None], torch.ones(1, 3), gamma=gamma, lam=lam
        )
        yield _gives(advantages[0], rewards, values, gamma, lam), hint


def _ppo_3() -> Hints:
    """(length, lam) → what is left of a final reward of 1 at the first token, V = 0."""
    for length, lam in ((3, 0.5), (1, 0.95), (12, 0.95)):
        rewards = torch.zeros(1, length)
        rewards[0, -1] = 1.0
        mask = torch.ones(1, length)
        advantages, _ = generalized_advantage_estimation(
            rewards, torch.zeros(1, length), mask, lam=lam
        )
        hint = (
            f"for length {length}: how many steps lie between the first token and it?"
        )
        yield _gives(advantages[0, 0], length, lam), hint


def _ppo_4() -> Hints:
    """(value, old_value, target, c) → slope of the clipped value loss."""
    for value, target, hint in (
        (0.6, 1.0, "inside the range it is V − R"),
        (0.9, 1.0, "V has moved towards R by more than c: the clipped error is larger"),
        (
            0.1,
            1.0,
            "V has moved away from R: the plain error is larger, its slope stays",
        ),
    ):
        leaf = torch.tensor([[value]], requires_grad=True)
        old, one = torch.tensor([[0.5]]), torch.ones(1, 1)
        loss = value_loss(leaf, old, target * one, one, cliprange_value=0.2)
        slope = float(torch.autograd.grad(loss, leaf)[0])
        yield _gives(slope, value, 0.5, target, 0.2), hint


def _ppo_5() -> Hints:
    """(beta, kl, target) → PPO's adaptive coefficient after an update (§4)."""
    for beta, kl, expected, hint in (
        (1.0, 0.01, 1.0, "at the target nothing changes"),
        (1.0, 0.1, 2.0, "above 1.5 times the target it doubles"),
        (3.0, 0.001, 1.5, "below the target over 1.5 it halves"),
        (1.0, 0.0149, 1.0, "the band reaches from target / 1.5 to 1.5 · target"),
    ):
        yield _gives(expected, beta, kl, 0.01), hint


def _r1_1() -> Hints:
    """(text) → whether it holds words of English and of another language."""
    for text, hint in (
        ("wait so 答", "one English word and one Chinese one are a mixture"),
        ("等 答", "Chinese throughout is not mixed"),
        ("wait answer", "English throughout is not mixed"),
        ("<think>等</think> 5 + 6", "tags and numbers are no words"),
    ):
        yield _gives(0 < share_of_words(text, language="en") < 1, text), hint


def _r1_2() -> Hints:
    """(accuracies, truncated, English shares, G, per_prompt) → indices of kept rows."""
    right, english = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0], [1.0, 0.9, 1.0, 1.0, 1.0, 1.0]
    cut = [False, False, False, True, False, False]
    rows = [
        Response(Task(f"question {i // 3}", ""), str(i), 1, right[i], cut[i])
        for i in range(6)
    ]
    for per_prompt, hint in (
        (3, "row 1 is not wholly English, row 2 is wrong, row 3 was cut off"),
        (1, "right without a limit; rows 3, 4 and 5 are answers to one question"),
    ):
        kept = reject(
            rows,
            is_right,
            lambda row: english[int(row.completion)] == 1,
            per_prompt=per_prompt,
        )
        expected = [int(row.completion) for row in kept]
        yield _gives(expected, right, cut, english, 3, per_prompt), hint


def _r1_3() -> Hints:
    """(answers, reference) → (pass@1, cons@k) of one question."""
    for answers, expected, hint in (
        (["7", "7", "5", "7"], (0.75, 1.0), "three of four are right, and so is most"),
        (["5", "5", "7"], (1 / 3, 0.0), "the majority is wrong"),
        ([None, None, "7"], (1 / 3, 1.0), "no answer is no vote, but counts in pass@1"),
        (["7", "5"], (0.5, 1.0), "of equally frequent answers the first one counts"),
        ([None, None], (0.0, 0.0), "without any vote nothing is right"),
    ):
        yield _gives(expected, answers, "7"), hint


def _r1_4() -> Hints:
    """(epsilon) → ratios beyond which the clip stops Â > 0 and Â < 0."""
    hint = "for ε = 0.2 the clip stops Â > 0 above 1 + ε and Â < 0 below 1 − ε"
    yield _gives((1.2, 0.8), 0.2), hint
    yield _gives((11.0, 0.0), 10.0), "right for ε = 0.2; a ratio is never negative"


def _aha_1() -> Hints:
    """(text, words) → counts of the whole words that occur, in any case."""
    words = ("wait", "but", "check", "evaluate")
    for text, hint in (
        (
            "wait, wait: but why?",
            "two `wait`, one `but`; words that do not occur: none",
        ),
        ("Wait. WAIT!", "any case counts"),
        ("await the checkout; buttons, reevaluate", "whole words only"),
        ("double-check: wait", "a hyphen ends a word"),
    ):
        yield _gives(dict(WordList("ours", words).count(text)), text, words), hint


def _aha_2() -> Hints:
    """(words, length) → factor per token, factor per response, by the two readings."""
    hint = "5 times the words in 17 times the text is 5 / 17 a token"
    yield _gives((5 / 17, 85.0), 5.0, 17.0), hint
    yield _gives((2.0, 0.5), 1.0, 0.5), "text that shrinks makes the first grow"


def _aha_3() -> Hints:
    """(problems, reflected, right) → mean difference of accuracy, by problem."""
    cases = (
        (["a", "a", "b", "b"], [1, 0, 1, 0], [1, 0, 1, 1], "the mean of 1 and 0 is ½"),
        (["a", "a", "b"], [1, 0, 1], [1, 0, 0], "b was answered in one way only"),
        (
            ["a", "b", "a", "a", "a", "b"],
            [1, 0, 0, 0, 0, 1],
            [1, 1, 1, 0, 0, 0],
            "each problem counts once, however often it was answered",
        ),
    )
    for problems, reflected, right, hint in cases:
        counts = MatchedCounts()
        for problem, wait, good in zip(problems, reflected, right, strict=True):
            counts.add(problem, reflected=bool(wait), right=bool(good))
        expected = counts.difference().estimate
        yield _gives(expected, problems, reflected, right), hint


def _aha_4() -> Hints:
    """(trace) → share of hits answered minus share of misses answered."""
    for trace, hint in (
        (Trace(hits=1, hits_answered=1, misses=3, misses_retried=3), "it verifies: 1"),
        (Trace(hits=2, hits_answered=1, misses=2, give_ups=1), "it is blind: 0"),
        (
            Trace(hits=4, hits_answered=1, misses=5, misses_retried=1, give_ups=3),
            "a miss at the end of a cut-off response is not answered",
        ),
    ):
        hits = trace.hits_answered / trace.hits
        yield _gives(hits - trace.give_ups / trace.misses, trace), hint


EXERCISES: dict[str, Callable[[], Hints]] = {
    # 00_map_and_notation
    "map-1": _map_1,
    "map-2": _map_2,
    "map-3": _map_3,
    "map-4": _map_4,
    # 01_ppo
    "ppo-1": _ppo_1,
    "ppo-2": _ppo_2,
    "ppo-3": _ppo_3,
    "ppo-4": _ppo_4,
    "ppo-5": _ppo_5,
    # 02_grpo
    "grpo-1": _grpo_1,
    "grpo-2": _grpo_2,
    "grpo-3": _grpo_3,
    "grpo-4": _grpo_4,
    "grpo-5": _grpo_5,
    # 03_deepseek_r1
    "r1-1": _r1_1,
    "r1-2": _r1_2,
    "r1-3": _r1_3,
    "r1-4": _r1_4,
    # 04_aha_moment
    "aha-1": _aha_1,
    "aha-2": _aha_2,
    "aha-3": _aha_3,
    "aha-4": _aha_4,
    # 05_dapo
    "dapo-1": _dapo_1,
    "dapo-2": _dapo_2,
    "dapo-3": _dapo_3,
    "dapo-4": _dapo_4,
    "dapo-5": _dapo_5,
    # 06_gdpo
    "gdpo-1": _gdpo_1,
    "gdpo-2": _gdpo_2,
    "gdpo-3": _gdpo_3,
    "gdpo-4": _gdpo_4,
    "gdpo-5": _gdpo_5,
}
