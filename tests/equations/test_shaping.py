"""Reward and mask shaping, by hand."""

import math

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.shaping import (
    conditioned_rewards,
    informative_groups,
    kl_penalized_rewards,
    overlong_filter,
    soft_overlong_punishment,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("length", "penalty"),
    [
        (0, 0.0),
        (79, 0.0),
        (80, 0.0),
        (81, -0.05),
        (90, -0.5),
        (99, -0.95),
        (100, -1.0),
        (101, -1.0),
        (500, -1.0),
    ],
)
def test_soft_overlong_table(length, penalty):
    got = soft_overlong_punishment(
        T([length]), max_completion_len=100, soft_punish_cache=20
    )
    assert got.item() == pytest.approx(penalty)
    assert got.dtype == torch.float32


def test_soft_overlong_with_the_papers_limits():
    got = soft_overlong_punishment(
        T([16384, 16385, 18432, 20480, 20481]),
        max_completion_len=20480,
        soft_punish_cache=4096,
    )
    assert_close(got, T([0.0, -1 / 4096, -0.5, -1.0, -1.0]), atol=0, rtol=0)


def test_soft_overlong_without_cache_is_a_step():
    limits = {"max_completion_len": 100, "soft_punish_cache": 0}
    assert soft_overlong_punishment(T([99, 100, 101]), **limits).tolist() == [0, 0, -1]


@pytest.mark.parametrize("cache", [0, 20])
def test_soft_overlong_keeps_float64(cache):
    got = soft_overlong_punishment(
        T([90.0]).double(), max_completion_len=100, soft_punish_cache=cache
    )
    assert got.dtype == torch.float64


def test_soft_overlong_over_the_whole_length():
    limits = {"max_completion_len": 10, "soft_punish_cache": 10}
    got = soft_overlong_punishment(T([0.0, 5.0, 10.0]), **limits)
    assert_close(got, T([0.0, -0.5, -1.0]))


def test_soft_overlong_unbounded_goes_on_beyond_the_limit():
    limits = {"max_completion_len": 100, "soft_punish_cache": 20, "bounded": False}
    got = soft_overlong_punishment(T([80, 100, 110]), **limits)
    assert_close(got, T([0.0, -1.0, -1.5]))
    limits["soft_punish_cache"] = 1
    assert soft_overlong_punishment(T([102]), **limits).item() == -3.0


def test_no_penalty_is_a_positive_zero():
    limits = {"max_completion_len": 10, "soft_punish_cache": 5}
    assert str(soft_overlong_punishment(T([3]), **limits).item()) == "0.0"


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_overlong_filter(dtype):
    mask = (torch.arange(6) < T([6, 3, 4, 6])[:, None]).to(dtype)
    filtered = overlong_filter(mask, T([True, False, False, True]))
    assert filtered.sum(1).tolist() == [0, 3, 4, 0]
    assert filtered.dtype == dtype
    assert mask.sum(1).tolist() == [6, 3, 4, 6]  # the caller's mask is untouched
    numbers = overlong_filter(mask, T([1, 0, 0, 1]))
    assert torch.equal(numbers, filtered)


def test_kl_penalized_rewards():
    kl = T([[1.0, 2.0, 3.0], [4.0, NAN, 5.0], [6.0, 7.0, 8.0]])
    mask = T([[1, 1, 0], [1, 0, 1], [0, 0, 0]])
    rewards = kl_penalized_rewards(T([10.0, 20.0, 30.0]), kl, mask, beta=0.5)
    expected = T([[-0.5, 9.0, 0.0], [-2.0, 0.0, 17.5], [0.0, 0.0, 0.0]])
    assert_close(rewards, expected)
    free = kl_penalized_rewards(T([10, 20, 30]), kl, mask, beta=0.0)
    assert free.tolist() == [[0, 10, 0], [0, 0, 20], [0, 0, 0]]


def test_kl_in_the_reward_has_no_gradient():
    kl = torch.ones(1, 2, requires_grad=True)
    rewards = kl_penalized_rewards(T([1.0]), kl, torch.ones(1, 2), beta=1.0)
    assert not rewards.requires_grad


def test_conditioned_rewards():
    rewards = T([[1.0, 1.0, 5.0], [0.0, 1.0, 6.0], [0.5, 0.7, 7.0], [0.25, 0.7, 8.0]])
    shaped = conditioned_rewards(rewards, conditioned=1, on=0, threshold=0.5)
    expected = T([[1.0, 1.0, 5.0], [0.0, 0.0, 6.0], [0.5, 0.7, 7.0], [0.25, 0.0, 8.0]])
    assert_close(shaped, expected, atol=0, rtol=0)
    assert rewards[1, 1] == 1.0  # the caller's rewards are untouched
    other = conditioned_rewards(rewards.double(), conditioned=0, on=2, threshold=7.0)
    assert other[:, 0].tolist() == [0.0, 0.0, 0.5, 0.25]


def test_conditioned_rewards_keep_none():
    rewards = T([[NAN, 1.0], [0.0, NAN], [1.0, NAN], [NAN, NAN]])
    shaped = conditioned_rewards(rewards, conditioned=1, on=0, threshold=0.5)
    assert shaped[:, 1].isnan().all()
    whole = conditioned_rewards(T([[1, 2], [0, 2]]), conditioned=1, on=0, threshold=1)
    assert whole.tolist() == [[1.0, 2.0], [0.0, 0.0]]


ACCURACIES = T([0.0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0.5, 0])


def test_informative_groups():
    assert informative_groups(ACCURACIES, 4).tolist() == [False, False, True, True]
    by_std = informative_groups(ACCURACIES, 4, rule="std")
    assert by_std.tolist() == [False, False, True, True]
    assert informative_groups(ACCURACIES.long(), 4)[2]


def test_rules_differ_on_equal_partial_accuracies():
    half = torch.full((4,), 0.5)
    assert informative_groups(half, 4).tolist() == [True]  # 0 < mean < 1
    assert informative_groups(half, 4, rule="std").tolist() == [False]


def test_std_rule_takes_any_metric():
    kept = informative_groups(T([-1.0, 1.0, 5.0, 5.0]), 2, rule="std")
    assert kept.tolist() == [True, False]


def test_wrong_answers_of_different_length_are_dropped():
    """Give the filter the accuracy: the shaped reward would keep the group."""
    accuracy = torch.zeros(4)
    shaped = accuracy + soft_overlong_punishment(
        T([80, 90, 95, 100]), max_completion_len=100, soft_punish_cache=20
    )
    assert informative_groups(accuracy, 4).tolist() == [False]
    assert informative_groups(shaped, 4, rule="std").tolist() == [True]


def test_singletons():
    one = T([0.0, 1.0, 0.5])
    assert informative_groups(one, 1).tolist() == [False, False, True]
    assert not informative_groups(one, 1, rule="std").any()
    assert informative_groups(one, 1, rule="std", keep_singletons=True).all()
    equal = informative_groups(T([1.0, 1.0]), 2, rule="std", keep_singletons=True)
    assert equal.tolist() == [False]


LIMITS = {"max_completion_len": 100, "soft_punish_cache": 20}
ROWS = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: soft_overlong_punishment(x, **LIMITS), "lengths"),
        (lambda x: kl_penalized_rewards(x, ROWS, ROWS, beta=0.1), "scores"),
        (lambda x: informative_groups(x, 2), "accuracies"),
    ],
)
def test_complex_numbers_are_refused_by_name(call, name):
    with pytest.raises(ValueError, match=f"^{name} must be floating point"):
        call(torch.ones(2) * 1j)
