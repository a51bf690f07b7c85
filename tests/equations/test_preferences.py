"""Bradley-Terry, win rates, an ensemble's bound and a rubric's sum, by hand."""

import math

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.preferences import (
    bradley_terry_loss,
    ensemble_lower_bound,
    rubric_scores,
    win_rates,
)


def test_bradley_terry_by_hand():
    loss = bradley_terry_loss(T([2.0, 0.0]), T([0.0, 1.0]))
    by_hand = (math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2
    assert loss.item() == pytest.approx(by_hand)


def test_bradley_terry_of_a_tie_is_log_2_and_ignores_a_shift():
    chosen, rejected = T([0.5, -1.0]), T([0.25, 3.0])
    assert bradley_terry_loss(chosen, chosen).item() == pytest.approx(math.log(2))
    moved = bradley_terry_loss(chosen + 8, rejected + 8)
    assert_close(moved, bradley_terry_loss(chosen, rejected))


def test_bradley_terry_gradient_is_the_chance_of_being_wrong():
    """∂L/∂r_chosen = −σ(r_rejected − r_chosen): a sure pair stops pushing."""
    chosen, rejected = T([1.0], requires_grad=True), T([3.0], requires_grad=True)
    bradley_terry_loss(chosen, rejected).backward()
    assert chosen.grad.item() == pytest.approx(-1 / (1 + math.exp(-2)))
    assert rejected.grad.item() == pytest.approx(-chosen.grad.item())


def test_win_rates_by_hand():
    """Group 1: 3 beats all, the two 1s tie, 0 loses; group 2: all tie."""
    got = win_rates(T([3, 1, 1, 0, 7, 7, 7, 7]), 4)
    assert_close(got, T([1, 1.5 / 3, 1.5 / 3, 0, 0.5, 0.5, 0.5, 0.5]), atol=0, rtol=0)


def test_win_rates_see_the_order_alone():
    scores = torch.randn(24, generator=torch.Generator().manual_seed(0))
    rates = win_rates(scores, 8)
    assert_close(win_rates(scores.exp() * 5 - 3, 8), rates, atol=0, rtol=0)
    assert_close(rates.view(3, 8).mean(1), torch.full((3,), 0.5))


def test_win_rates_do_not_blow_up_an_outlier_nor_shrink_the_others():
    """Pref-GRPO: one far score presses the others together; ranks do not."""
    scores = T([0.0, 1.0, 2.0, 100.0])
    plain = group_relative_advantages(scores, 4)
    ranked = group_relative_advantages(win_rates(scores, 4), 4)
    assert (plain[1] - plain[0]).item() == pytest.approx(1 / math.sqrt(7352.75 / 3))
    assert (ranked[1] - ranked[0]).item() == pytest.approx(math.sqrt(0.6))


def test_lower_bound_by_hand():
    scores = T([[1.0, 2.0], [3.0, 2.0]])
    assert ensemble_lower_bound(scores, k=0.0).tolist() == [2, 2]
    assert ensemble_lower_bound(scores, k=1.0).tolist() == [1, 2]
    assert ensemble_lower_bound(scores, k=0.5).tolist() == [1.5, 2]


def test_lower_bound_of_two_is_their_minimum():
    scores = torch.randn(2, 9, generator=torch.Generator().manual_seed(1))
    assert_close(ensemble_lower_bound(scores, k=1.0), scores.amin(0))


def test_rubric_by_hand():
    weights = T([1.0, 0.7, 0.3, 0.9])  # essential, important, optional, pitfall
    criteria = T([[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]])
    got = rubric_scores(criteria, weights)
    assert_close(got, T([1.0, 1.9 / 2.9, 1.9 / 2.9, 0.0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bradley_terry_loss(T([1.0]), T([1.0, 2.0])), "rejected must have"),
        (lambda: bradley_terry_loss(T([math.inf]), T([1.0])), "chosen"),
        (lambda: win_rates(T([1.0, 2.0]), 1), "num_generations must be"),
        (lambda: win_rates(T([1.0, 2.0, 3.0]), 2), "scores"),
        (lambda: win_rates(T([1.0, math.nan]), 2), "scores"),
        (lambda: ensemble_lower_bound(T([[1.0]])), "number of models"),
        (lambda: ensemble_lower_bound(torch.ones(2, 1), k=-1), "k must be"),
        (lambda: rubric_scores(T([[1.5]]), T([1.0])), "criteria must lie in"),
        (lambda: rubric_scores(T([[math.nan]]), T([1.0])), "criteria must lie in"),
        (lambda: rubric_scores(T([[1.0]]), T([0.0])), "weights must be"),
        (lambda: rubric_scores(T([[1.0, 0.0]]), T([1.0])), "weights must have"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
