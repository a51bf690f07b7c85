"""Weights that follow the rewards: by hand, their signs, limits and invariances."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.weighting import (
    multiplier_step,
    saturation_weights,
    sigma_weights,
    variation_weights,
)

# two groups of four: a hard reward that 2 of 8 earn, an easy one that 7 of 8 do
HARD_AND_EASY = torch.tensor(
    [[1, 1], [0, 1], [0, 1], [0, 0], [1, 1], [0, 1], [0, 1], [0, 1]]
).double()


def close(found, expected):
    torch.testing.assert_close(
        found, torch.tensor(expected).to(found), atol=1e-6, rtol=0
    )


def test_by_hand():
    close(saturation_weights(HARD_AND_EASY, gamma=1.0), [0.75, 0.125])
    close(saturation_weights(HARD_AND_EASY), [0.75**0.5, 0.125**0.5])
    hard, easy = (math.sqrt(p * (1 - p) * 8 / 7) / p for p in (0.25, 0.875))
    total = hard + easy
    close(variation_weights(HARD_AND_EASY), [2 * hard / total, 2 * easy / total])
    # one of four and three of four spread alike; then the easy one is constant
    close(sigma_weights(HARD_AND_EASY, 4), [[0.5, 0.5]] * 4 + [[1.0, 0.0]] * 4)
    close(
        sigma_weights(HARD_AND_EASY, 4, reward_weights=[1.0, 3.0]),
        [[0.25, 0.75]] * 4 + [[1.0, 0.0]] * 4,
    )
    found = multiplier_step(
        torch.tensor([1.0, 0.1, 2.0]),
        torch.tensor([0.5, 1.0, torch.nan]),
        target=0.8,
        rate=2.0,
    )
    close(found, [1.6, 0.0, 2.0])  # raised; cut off at 0; nothing scored, so it stays


def test_the_hard_reward_weighs_more_and_a_missed_target_raises_its_multiplier():
    for weights in (saturation_weights, variation_weights):
        hard, easy = weights(HARD_AND_EASY)
        assert hard > easy > 0
    below = multiplier_step(torch.ones(1), torch.tensor([0.1]), target=0.9, rate=0.1)
    above = multiplier_step(torch.ones(1), torch.tensor([1.0]), target=0.9, rate=0.1)
    assert below > 1 > above


def test_a_reward_that_is_the_same_for_all_or_missing():
    constant = torch.cat([HARD_AND_EASY, torch.full((8, 1), 3.0)], 1)
    assert saturation_weights(constant)[2] == variation_weights(constant)[2] == 0
    assert (sigma_weights(constant, 4)[:, 2] == 0).all()
    same = torch.ones(8, 2)
    for weights in (saturation_weights(same), variation_weights(same)):
        assert weights.tolist() == [0, 0]
    assert (sigma_weights(same, 4) == 0).all()
    missing = HARD_AND_EASY.clone()
    missing[:, 1] = torch.nan
    assert saturation_weights(missing).tolist() == [pytest.approx(0.75**0.5), 0]
    assert variation_weights(missing).tolist() == [2, 0]
    assert (sigma_weights(missing, 4) == torch.tensor([1.0, 0.0])).all()
    some = torch.cat([HARD_AND_EASY, torch.full((4, 2), torch.nan)])
    close(saturation_weights(some), saturation_weights(HARD_AND_EASY).tolist())
    close(variation_weights(some), variation_weights(HARD_AND_EASY).tolist())


tables = st.lists(
    st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=8, max_size=8
).map(lambda rows: torch.tensor(rows).double())


@settings(max_examples=60, deadline=None)
@given(tables, st.floats(0.1, 50), st.floats(-20, 20))
def test_unit_and_zero_point_of_a_reward_do_not_matter(rewards, scale, shift):
    other = rewards * torch.tensor([scale, 1.0]) + torch.tensor([shift, 0.0])
    for weights in (saturation_weights, variation_weights):
        torch.testing.assert_close(
            weights(rewards), weights(other), atol=1e-5, rtol=1e-5
        )


@settings(max_examples=60, deadline=None)
@given(tables, st.integers(0, 3), st.integers(0, 3))
def test_sigma_weighted_is_the_centered_sum_over_the_sum_of_the_stds(rewards, v, w):
    """And so no larger than GRPO's advantage: the std of a sum is at most the sum."""
    found = decoupled_advantages(
        rewards,
        4,
        reward_weights=sigma_weights(rewards, 4, reward_weights=[v, w]),
        batch_stats="none",
    )
    total = v * rewards[:, 0] + w * rewards[:, 1]
    centered = group_relative_advantages(total, 4, scale_rewards="none")
    spreads = rewards.view(2, 4, 2).std(1) @ torch.tensor([v, w]).double()
    whole = spreads.repeat_interleave(4)
    expected = torch.where(whole > 0, centered / whole, 0.0)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    grpo = group_relative_advantages(total, 4)
    assert (found.abs() <= grpo.abs() + 1e-6).all()


@settings(max_examples=40, deadline=None)
@given(tables)
def test_gamma_0_is_gdpo(rewards):
    weights = saturation_weights(rewards, gamma=0.0)
    assert weights.tolist() == [1, 1]
    found = decoupled_advantages(rewards, 4, reward_weights=weights)
    assert torch.equal(found, decoupled_advantages(rewards, 4))


def test_weights_by_row_are_those_of_their_group():
    """Equal rows are the (K,) weights; a weight of 0 switches one group off."""
    same = torch.tensor([1.0, 0.5]).expand(8, 2)
    assert torch.equal(
        decoupled_advantages(HARD_AND_EASY, 4, reward_weights=same),
        decoupled_advantages(HARD_AND_EASY, 4, reward_weights=[1.0, 0.5]),
    )
    off = torch.ones(8, 2)
    off[:4] = 0
    found = decoupled_advantages(
        HARD_AND_EASY, 4, reward_weights=off, batch_stats="none"
    )
    assert (found[:4] == 0).all() and (found[4:] != 0).any()
    with pytest.raises(ValueError, match=r"reward_weights must have shape \(8, 2\)"):
        decoupled_advantages(HARD_AND_EASY, 4, reward_weights=torch.ones(4, 2))


WRONG = [
    (lambda: saturation_weights(torch.ones(8)), "rewards must have shape"),
    (lambda: saturation_weights(HARD_AND_EASY, gamma=-1.0), "gamma must be"),
    (lambda: variation_weights(HARD_AND_EASY / 0), "rewards must be finite|infinite"),
    (lambda: variation_weights(HARD_AND_EASY, eps=-1.0), "eps must be"),
    (lambda: sigma_weights(HARD_AND_EASY, 3), "multiple of num_generations"),
    (
        lambda: sigma_weights(HARD_AND_EASY, 4, reward_weights=[1.0, -1.0]),
        "reward_weights must be",
    ),
    (
        lambda: multiplier_step(torch.ones(2), torch.ones(3), target=1.0, rate=1.0),
        "means must have shape",
    ),
    (
        lambda: multiplier_step(-torch.ones(2), torch.ones(2), target=1.0, rate=1.0),
        "multipliers must be",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
