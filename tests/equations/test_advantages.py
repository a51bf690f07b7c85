"""Advantages by hand, and beside the numbers of the frameworks (objectives.md)."""

import math

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.gae import (
    generalized_advantage_estimation,
    length_adaptive_lambda,
)
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.whitening import whiten

NAN = math.nan
CLOSE = {"atol": 5e-5, "rtol": 0}  # four printed decimals

# ----------------------------------------------------------------- GAE

REWARDS = T([[0.0, 0.0, 1.0, 0.0]])
VALUES = T([[0.1, 0.2, 0.3, 0.9]])
MASK = T([[1, 1, 1, 0]])


@pytest.mark.parametrize("masked", ["carry", "zero"])
def test_gae_example_ignores_the_value_of_padding(masked):
    advantages, returns = generalized_advantage_estimation(
        REWARDS, VALUES, MASK, gamma=1.0, lam=0.95, masked=masked
    )
    # δ = .1, .1, .7; Â_3 = .7, Â_2 = .1 + .95·.7, Â_1 = .1 + .95·.765
    assert_close(advantages, T([[0.82675, 0.765, 0.7, 0.0]]))
    assert_close(returns, T([[0.92675, 0.965, 1.0, 0.0]]))


def test_gae_with_discount():
    advantages, returns = generalized_advantage_estimation(
        T([[1.0, 2.0]]), T([[0.5, 0.25]]), T([[1, 1]]), gamma=0.9, lam=0.5
    )
    # δ_2 = 2 − .25 = 1.75; δ_1 = 1 + .9·.25 − .5 = .725; Â_1 = .725 + .45·1.75
    assert_close(advantages, T([[1.5125, 1.75]]))
    assert_close(returns, T([[2.0125, 2.0]]))


def test_gae_lambda_0_is_the_td_error_and_lambda_1_the_return():
    keep = T([[1, 1, 1, 1]])
    td, _ = generalized_advantage_estimation(REWARDS, VALUES, keep, lam=0.0)
    assert_close(td, T([[0.1, 0.1, 1.6, -0.9]]))
    _, returns = generalized_advantage_estimation(REWARDS, VALUES, keep, lam=1.0)
    assert_close(returns, T([[1.0, 1.0, 1.0, 0.0]]))


def test_gae_steps_over_a_gap_or_through_it():
    rewards, values = T([[0.0, 5.0, 1.0]]), T([[0.5, 7.0, 0.25]])
    gap = T([[1, 0, 1]])
    carry, _ = generalized_advantage_estimation(
        rewards, values, gap, gamma=0.9, lam=0.5, masked="carry"
    )
    # Â_3 = .75, δ_1 = .9·.25 − .5, Â_1 = −.275 + .45·.75
    assert_close(carry, T([[0.0625, 0.0, 0.75]]))
    zero, _ = generalized_advantage_estimation(
        rewards, values, gap, gamma=0.9, lam=0.5, masked="zero"
    )
    # through a step with V = 0: Â_2 = .9·.25 + .45·.75, Â_1 = −.5 + .45·.5625
    assert_close(zero, T([[-0.246875, 0.0, 0.75]]))


def test_gae_defaults_are_gamma_1_lambda_095_carry():
    gap = T([[1, 0, 1, 1]])
    ours = generalized_advantage_estimation(REWARDS, VALUES, gap)
    named = generalized_advantage_estimation(
        REWARDS, VALUES, gap, gamma=1.0, lam=0.95, masked="carry"
    )
    assert_close(ours, named, atol=0, rtol=0)


def test_gae_of_one_token_is_reward_minus_value():
    advantages, returns = generalized_advantage_estimation(
        T([[1.0], [0.0]]), T([[0.25], [0.5]]), T([[1], [1]])
    )
    assert advantages.tolist() == [[0.75], [-0.5]]
    assert returns.tolist() == [[1.0], [0.0]]


def test_gae_of_empty_row_is_zero():
    rows = torch.ones(2, 2)
    advantages, returns = generalized_advantage_estimation(
        rows, rows, T([[0, 0], [1, 1]])
    )
    assert advantages[0].tolist() == returns[0].tolist() == [0.0, 0.0]
    assert advantages[1].tolist() != [0.0, 0.0]


def test_gae_takes_a_lambda_per_row():
    rewards, values = REWARDS.repeat(2, 1), VALUES.repeat(2, 1)
    both, _ = generalized_advantage_estimation(
        rewards, values, MASK.repeat(2, 1), lam=T([0.0, 1.0])
    )
    for row, lam in enumerate((0.0, 1.0)):
        one, _ = generalized_advantage_estimation(REWARDS, VALUES, MASK, lam=lam)
        assert_close(both[row], one[0])


def test_length_adaptive_lambda():
    mask = torch.arange(40) < T([40, 20, 10, 0])[:, None]
    # 1 − 1/(.1·40), 1 − 1/(.1·20), then at and below one "token" 0
    expected = T([0.75, 0.5, 0.0, 0.0])
    assert_close(length_adaptive_lambda(mask, alpha=0.1), expected)
    assert_close(length_adaptive_lambda(mask[:1]), T([0.5]))


# ----------------------------------------------------------------- whitening


def test_whiten_by_hand():
    values = T([[1.0, 2.0, NAN], [6.0, NAN, NAN]])
    mask = T([[1, 1, 0], [1, 0, 0]])
    # mean 3, unbiased variance 7
    expected = T([[-2.0, -1.0, 0.0], [3.0, 0.0, 0.0]])
    assert_close(whiten(values, mask, eps=0.0), expected / math.sqrt(7))
    assert_close(whiten(values, mask, eps=2.0), expected / 3)
    biased = whiten(values, mask, correction=0, eps=0.0)
    assert_close(biased, expected / math.sqrt(14 / 3))
    kept = whiten(values, mask, eps=2.0, shift_mean=False)
    assert_close(kept, T([[-2 / 3 + 3, -1 / 3 + 3, 0.0], [4.0, 0.0, 0.0]]))


def test_whiten_default_eps_is_1e_8():
    values = T([[0.0, 1e-4]])
    # variance 5e-9, so √(5e-9 + 1e-8)
    expected = T([[-1.0, 1.0]]) * 0.5e-4 / math.sqrt(1.5e-8)
    assert_close(whiten(values, T([[1, 1]])), expected)


@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_whiten_equal_values_gives_exactly_zero(eps):
    values = torch.full((3, 7), 0.1)
    assert whiten(values, torch.ones(3, 7), eps=eps).eq(0).all()
    kept = whiten(values, torch.ones(3, 7), eps=eps, shift_mean=False)
    assert_close(kept, values)


def test_whiten_one_token_with_the_biased_variance_is_zero():
    one = whiten(T([[3.0, 9.0]]), T([[1, 0]]), correction=0)
    assert one.tolist() == [[0.0, 0.0]]


# ----------------------------------------------------------------- groups

ONE_OF_FOUR = T([1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("keywords", "first", "others"),
    [
        ({}, 1.5, -0.5),  # the papers: unbiased, no ε
        ({"eps": 1e-4}, 1.49970, -0.49990),  # TRL
        ({"eps": 1e-6}, 1.499997, -0.499999),  # verl
        ({"correction": 0}, 1.732051, -0.577350),  # biased
        ({"scale_rewards": "none"}, 0.75, -0.25),  # Dr. GRPO
        ({"scale_rewards": "mean"}, 3.0, -1.0),  # MaxRL: (1 − ¼)/¼
        ({"scale_rewards": "none", "baseline": "leave_one_out"}, 1.0, -1 / 3),
        # NeMo: the three others of the first are equal, so it is not divided
        ({"baseline": "leave_one_out"}, 1.0, -1 / 3 / 0.5773503),
        ({"baseline": "leave_one_out", "correction": 0}, 1.0, -1 / 3 / 0.4714045),
        ({"baseline": "leave_one_out", "eps": 0.1}, 1.0, -1 / 3 / 0.6773503),
    ],
)
def test_one_of_four_right(keywords, first, others):
    advantages = group_relative_advantages(ONE_OF_FOUR, 4, **keywords)
    assert_close(advantages, T([first, others, others, others]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("keywords", "first"),
    [
        ({"eps": 1e-4}, 0.49986),
        ({"eps": 1e-6}, 1.47001),
        ({"eps": 1e-8, "correction": 0}, 1.7310),
    ],
)
def test_eps_matters_for_a_nearly_constant_group(keywords, first):
    rewards = T([1.0001, 1.0, 1.0, 1.0])
    advantages = group_relative_advantages(rewards, 4, **keywords)
    assert advantages[0].item() == pytest.approx(first, abs=6e-5)


@pytest.mark.parametrize("group_size", [2, 4, 8, 16])
@pytest.mark.parametrize("wrong", [0.0, -1.0])
def test_k_of_g_right(group_size, wrong):
    for right in range(1, group_size):
        rewards = torch.full((group_size,), wrong)
        rewards[:right] = 1.0
        share = right / group_size
        shrink = math.sqrt((group_size - 1) / group_size)
        up = math.sqrt((1 - share) / share) * shrink
        down = -math.sqrt(share / (1 - share)) * shrink
        expected = T([up] * right + [down] * (group_size - right))
        assert_close(group_relative_advantages(rewards, group_size), expected)


def test_sixteen_answers_as_tabled():
    table = {1: (3.75, -0.25), 2: (2.562, -0.366), 4: (1.677, -0.559)}
    table |= {8: (0.968, -0.968), 14: (0.366, -2.562), 15: (0.25, -3.75)}
    for right, (up, down) in table.items():
        rewards = (torch.arange(16) < right).float()
        advantages = group_relative_advantages(rewards, 16)
        assert advantages[0].item() == pytest.approx(up, abs=5e-4)
        assert advantages[-1].item() == pytest.approx(down, abs=5e-4)


def test_batch_scale_divides_by_the_std_of_all_raw_rewards():
    rewards = T([1.0, 0.0, 5.0, 5.0])
    std = math.sqrt(((1 - 2.75) ** 2 + 2.75**2 + 2 * 2.25**2) / 3)
    scaled = group_relative_advantages(rewards, 2, scale_rewards="batch")
    assert_close(scaled, T([0.5, -0.5, 0.0, 0.0]) / std)
    with_eps = group_relative_advantages(rewards, 2, scale_rewards="batch", eps=1.0)
    assert_close(with_eps, T([0.5, -0.5, 0.0, 0.0]) / (std + 1.0))


@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
@pytest.mark.parametrize("scale_rewards", ["group", "batch", "mean", "none"])
@pytest.mark.parametrize("eps", [0.0, 1e-4])
def test_constant_group_is_exactly_zero(baseline, scale_rewards, eps):
    rewards = T([0.1] * 7 + [0.3] * 6 + [0.7])
    advantages = group_relative_advantages(
        rewards, 7, scale_rewards=scale_rewards, eps=eps, baseline=baseline
    )
    assert advantages[:7].eq(0).all()
    assert advantages[7:].ne(0).all()


def test_singletons():
    rewards = T([0.5, -2.0])
    assert group_relative_advantages(rewards, 1).tolist() == [0.0, 0.0]
    raw = group_relative_advantages(rewards, 1, singleton="raw", eps=0.25)
    assert_close(raw, T([0.4, -1.6]))  # verl: r / (1 + ε)
    missing = group_relative_advantages(
        T([NAN, 2.0]), 1, singleton="raw", none_rewards="skip"
    )
    assert missing.tolist() == [0.0, 2.0]


def test_a_pair_left_one_out_has_no_std_and_is_not_divided():
    advantages = group_relative_advantages(T([1.0, 0.0]), 2, baseline="leave_one_out")
    assert advantages.tolist() == [1.0, -1.0]


@pytest.mark.parametrize("size", [4, 6, 7, 8])
def test_equal_siblings_are_not_divided_by_a_rounding_error(size):
    """A lone miss among answers worth .35: NeMo's std of the rest was once 1e-4."""
    rewards = T([0.35] * (size - 1) + [0.0])
    advantages = group_relative_advantages(rewards, size, baseline="leave_one_out")
    assert advantages[-1].item() == pytest.approx(-0.35)
    assert advantages[:-1].gt(0).all()


def test_leave_one_out():
    rewards = T([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])
    expected = T([-3.0, -1.5, 4.5, -1.5, -1.5, 3.0])
    assert_close(leave_one_out_advantages(rewards, 3), expected)
    centered = group_relative_advantages(rewards, 3, scale_rewards="none")
    assert_close(leave_one_out_advantages(rewards, 3), centered * 3 / 2)
    assert leave_one_out_advantages(rewards, 1).eq(0).all()
    raw = leave_one_out_advantages(rewards, 1, singleton="raw")
    assert_close(raw, rewards, atol=0, rtol=0)
    skipped = leave_one_out_advantages(T([1.0, NAN, 3.0]), 3, none_rewards="skip")
    assert skipped.tolist() == [-2.0, 0.0, 2.0]


def test_none_is_skipped_or_counted_as_zero():
    rewards = T([1.0, NAN, 0.0, 0.5, NAN, NAN, 1.0, NAN, NAN, NAN, NAN, NAN])
    skipped = group_relative_advantages(rewards, 4, none_rewards="skip")
    # of 1, 0, .5: mean .5, std .5; one scored alone, or none at all: 0
    assert_close(skipped, T([1.0, 0.0, -1.0] + [0.0] * 9))
    counted = group_relative_advantages(rewards, 4, none_rewards="zero")
    zeros = rewards.nan_to_num()
    assert_close(counted, group_relative_advantages(zeros, 4), atol=0, rtol=0)
    assert counted[6] == 1.5


@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
def test_equal_rewards_beside_a_none_are_exactly_zero(baseline):
    for last in (T([NAN]), T([NAN, NAN])):
        rewards = torch.cat([torch.full((7,), 0.1), last])
        advantages = group_relative_advantages(
            rewards, len(rewards), baseline=baseline, none_rewards="skip"
        )
        assert advantages.eq(0).all()


def test_none_is_left_out_of_the_batch_std():
    rewards = T([1.0, 0.0, NAN, 3.0])
    scaled = group_relative_advantages(
        rewards, 2, scale_rewards="batch", none_rewards="skip"
    )
    assert_close(scaled, T([0.5, -0.5, 0.0, 0.0]) / math.sqrt(7 / 3))


def test_siblings_of_none_are_left_out():
    advantages = group_relative_advantages(
        T([1.0, NAN, 0.0, 0.5]), 4, baseline="leave_one_out", none_rewards="skip"
    )
    # 1 against (0, .5), 0 against (1, .5), .5 against (1, 0)
    half = math.sqrt(0.125)
    assert_close(advantages, T([0.75 / half, 0.0, -0.75 / half, 0.0]))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float16])
def test_whole_and_half_rewards_become_float32(dtype):
    advantages = group_relative_advantages(ONE_OF_FOUR.to(dtype), 4)
    assert_close(advantages, T([1.5, -0.5, -0.5, -0.5]))
    assert group_relative_advantages(ONE_OF_FOUR.double(), 4).dtype == torch.float64


# ----------------------------------------------------------------- GDPO

TWO_REWARDS = T(
    [(0, 1), (0, 2), (1, 2), (1, 3), (0, 0), (0, 0), (0, 1), (0, 1)]
).float()
LENGTHS = T([6, 2, 4, 1, 3, 5, 6, 2])
LENGTH_MASK = (torch.arange(6) < LENGTHS[:, None]).long()
A, B = 1.520, 0.6296


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"eps": 1e-4}, [-A, -B, B, A, -B, -B, B, B]),  # TRL
        (  # NeMo
            {"eps": 1e-6, "batch_eps": 0.0, "baseline": "leave_one_out"},
            [-1.620, -0.540, 0.540, 1.620, -0.540, -0.540, 0.540, 0.540],
        ),
        (  # verl
            {
                "eps": 1e-6,
                "batch_eps": 1e-8,
                "batch_stats": "token",
                "completion_mask": LENGTH_MASK,
            },
            [-1.420, -0.449, 0.926, 1.898, -0.449, -0.449, 0.926, 0.926],
        ),
    ],
)
def test_gdpo_as_the_frameworks_have_it(keywords, expected):
    advantages = decoupled_advantages(TWO_REWARDS, 4, **keywords)
    assert_close(advantages, T(expected), atol=5e-4, rtol=0)


def test_equal_lengths_leave_verl_a_factor_from_trl():
    by_token = decoupled_advantages(
        TWO_REWARDS, 4, batch_stats="token", batch_eps=0.0, completion_mask=ONES_8_6
    )
    by_row = decoupled_advantages(TWO_REWARDS, 4, batch_eps=0.0)
    assert_close(by_token, by_row * math.sqrt((8 / 7) / (48 / 47)))


ONES_8_6 = torch.ones(8, 6)


def test_gdpo_with_none():
    rewards = TWO_REWARDS.clone()
    rewards[0, 1] = NAN
    rewards[5] = NAN
    skipped = decoupled_advantages(rewards, 4, eps=1e-4, none_rewards="skip")
    expected = [-0.707, -1.178, 0.236, 1.650, -0.943, 0.0, 0.471, 0.471]
    assert_close(skipped, T(expected), atol=5e-4, rtol=0)
    zeroed = decoupled_advantages(rewards, 4, eps=1e-4, none_rewards="zero")
    expected = [-1.648, -0.487, 0.777, 1.358, -0.632, -0.632, 0.632, 0.632]
    assert_close(zeroed, T(expected), atol=5e-4, rtol=0)


def test_gdpo_with_none_over_tokens_leaves_the_row_out():
    rewards = TWO_REWARDS.clone()
    rewards[5] = NAN
    keywords = {"none_rewards": "skip", "batch_stats": "token", "batch_eps": 0.0}
    whole = decoupled_advantages(rewards, 4, completion_mask=LENGTH_MASK, **keywords)
    mask = LENGTH_MASK.clone()
    mask[5] = 0
    cut = decoupled_advantages(rewards, 4, completion_mask=mask, **keywords)
    assert_close(whole, cut, atol=0, rtol=0)
    assert whole[5] == 0


def test_gdpo_with_one_reward():
    correct = TWO_REWARDS[:, :1]
    grpo = group_relative_advantages(correct[:, 0], 4, eps=1e-4)
    plain = decoupled_advantages(correct, 4, eps=1e-4, single_reward="grpo")
    assert_close(plain, grpo, atol=0, rtol=0)
    assert_close(plain[:4], T([-0.8659, -0.8659, 0.8659, 0.8659]), **CLOSE)
    renormalized = decoupled_advantages(correct, 4, eps=1e-4)
    assert_close(renormalized[:4], T([-1.3227, -1.3227, 1.3227, 1.3227]), **CLOSE)
    minus = decoupled_advantages(
        correct, 4, eps=1e-4, single_reward="grpo", reward_weights=[-2.0]
    )
    assert_close(minus, -grpo, atol=0, rtol=0)
    nothing = decoupled_advantages(
        correct, 4, single_reward="grpo", reward_weights=[0.0]
    )
    assert nothing.eq(0).all()


def test_gdpo_weights_come_after_the_normalization():
    weights = [1.0, 0.25]
    total = decoupled_advantages(
        TWO_REWARDS, 4, reward_weights=weights, batch_stats="none"
    )
    parts = [group_relative_advantages(TWO_REWARDS[:, k], 4) for k in (0, 1)]
    assert_close(total, parts[0] + 0.25 * parts[1])
    tensor_weights = decoupled_advantages(
        TWO_REWARDS.double(), 4, reward_weights=T(weights), batch_stats="none"
    )
    assert_close(tensor_weights.float(), total)
    # batch normalization: (S − 0) / (std + ε)
    normalized = decoupled_advantages(
        TWO_REWARDS, 4, reward_weights=weights, batch_eps=0.5
    )
    assert_close(normalized, total / (total.std() + 0.5))


def test_gdpo_default_batch_eps_is_1e_4():
    rewards = T([[1.0, 0.0], [0.0, 1.0]])
    tiny = decoupled_advantages(rewards, 2, reward_weights=[1.0, 1.0 - 1e-3])
    # S = ±.7071·1e-3, std 1e-3, so ±.7071·1e-3 / (1e-3 + 1e-4)
    assert_close(tiny, T([1.0, -1.0]) * math.sqrt(0.5) / 1.1, atol=1e-4, rtol=0)


def test_gdpo_eps_stands_beside_each_group_std():
    total = decoupled_advantages(TWO_REWARDS, 4, eps=0.5, batch_stats="none")
    parts = [group_relative_advantages(TWO_REWARDS[:, k], 4, eps=0.5) for k in (0, 1)]
    assert_close(total, parts[0] + parts[1])


def test_gdpo_biased_std_is_biased_twice():
    rewards = TWO_REWARDS[:4]
    total = sum(
        group_relative_advantages(rewards[:, k], 4, correction=0) for k in (0, 1)
    )
    biased = decoupled_advantages(rewards, 4, correction=0, batch_eps=0.0)
    assert_close(biased, total / total.std(correction=0))


def test_gdpo_singletons():
    rewards = T([[1.0, 3.0], [2.0, 0.0]])
    assert decoupled_advantages(rewards, 1).eq(0).all()
    raw = decoupled_advantages(rewards, 1, singleton="raw", batch_stats="none")
    assert raw.tolist() == [4.0, 2.0]


def test_gdpo_collapse_example():
    """Two completions, two binary rewards: GRPO sees 2 cases where GDPO sees 3."""
    cases = {
        "one": T([[0.0, 0.0], [1.0, 0.0]]),  # totals 0, 1
        "both": T([[0.0, 0.0], [1.0, 1.0]]),  # totals 0, 2
        "rest": T([[1.0, 0.0], [1.0, 1.0]]),  # totals 1, 2
        "same": T([[1.0, 1.0], [1.0, 1.0]]),  # totals 2, 2
    }
    half = math.sqrt(0.5)
    grpo = {"one": half, "both": half, "rest": half, "same": 0.0}
    gdpo = {"one": half, "both": 2 * half, "rest": half, "same": 0.0}
    centered = {"one": 0.5, "both": 1.0, "rest": 0.5, "same": 0.0}
    for name, rewards in cases.items():
        sign = T([-1.0, 1.0])
        summed = rewards.sum(1)
        assert_close(group_relative_advantages(summed, 2), sign * grpo[name])
        plain = group_relative_advantages(summed, 2, scale_rewards="none")
        assert_close(plain, sign * centered[name])
        decoupled = decoupled_advantages(rewards, 2, batch_stats="none")
        assert_close(decoupled, sign * gdpo[name])


def test_gdpo_keeps_one_hot_rewards_apart_where_the_sums_tie():
    rewards = T([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert group_relative_advantages(rewards.sum(1), 4).eq(0).all()
    decoupled = decoupled_advantages(rewards, 4, batch_stats="none")
    assert_close(decoupled, T([-0.134, -0.134, 0.134, 0.134]), atol=5e-4, rtol=0)


def test_gdpo_splits_off_a_fourth_rollout():
    rewards = T([[1.0, 0], [1, 0], [0, 0], [0, 1]])
    grpo = group_relative_advantages(rewards.sum(1), 4)
    assert_close(grpo, T([0.5, 0.5, -1.5, 0.5]))
    decoupled = decoupled_advantages(rewards, 4, batch_stats="none")
    expected = T([0.366, 0.366, -1.366, 0.634])
    assert_close(decoupled, expected, atol=5e-4, rtol=0)


def test_two_rewards_with_a_constant_sum_cancel():
    correct = T([1.0, 1.0, 0.0])
    rewards = torch.stack([correct, 1 - correct], dim=1)
    assert_close(decoupled_advantages(rewards, 3, batch_stats="none"), torch.zeros(3))


def test_verl_pushes_a_group_with_equal_rewards():
    """Statistics over tokens move a group that holds no information (a defect)."""
    rewards = T([[0.0, 0.0]] * 2 + [[1.0, 1.0]] * 2 + [[1.0, 1.0]] * 4)
    mask = torch.arange(6) < T([2, 2, 6, 6, 4, 4, 4, 4])[:, None]
    by_row = decoupled_advantages(rewards, 4)
    assert by_row[4:].eq(0).all()
    by_token = decoupled_advantages(
        rewards, 4, batch_stats="token", batch_eps=1e-8, completion_mask=mask
    )
    # 4 tokens at −√3, 12 at √3, 16 at 0: mean √3/4, variance 42/31
    assert_close(by_token[4:], torch.full((4,), -math.sqrt(3) / 4 / math.sqrt(42 / 31)))
    assert by_token[4].item() == pytest.approx(-0.372, abs=5e-4)


@pytest.mark.parametrize("batch_stats", ["sequence", "token", "none"])
def test_gdpo_of_equal_rewards_is_exactly_zero(batch_stats):
    rewards = T([[0.1, 0.7]] * 6)
    mask = torch.ones(6, 3) if batch_stats == "token" else None
    advantages = decoupled_advantages(
        rewards, 3, batch_stats=batch_stats, batch_eps=0.0, completion_mask=mask
    )
    assert advantages.eq(0).all()


def test_gdpo_takes_whole_rewards_and_keeps_float64():
    whole = decoupled_advantages(TWO_REWARDS.long(), 4)
    assert_close(whole, decoupled_advantages(TWO_REWARDS, 4), atol=0, rtol=0)
    assert decoupled_advantages(TWO_REWARDS.double(), 4).dtype == torch.float64


def test_gdpo_weights_have_the_precision_of_the_rewards():
    rewards = T([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    total = decoupled_advantages(
        rewards, 2, reward_weights=[0.1, 0.3], batch_stats="none"
    )
    expected = math.sqrt(0.5) * (0.1 - 0.3)
    assert total.tolist() == pytest.approx([expected, -expected], rel=1e-14)


def test_new_tensors_live_where_the_rewards_live():
    """Not on torch's default device, here one that holds no numbers."""
    cpu = TWO_REWARDS.clone()
    with torch.device("meta"):
        plain = decoupled_advantages(cpu, 4, baseline="leave_one_out")
        weighed = decoupled_advantages(cpu, 4, reward_weights=[1.0, 0.5])
    assert plain.device == weighed.device == cpu.device
