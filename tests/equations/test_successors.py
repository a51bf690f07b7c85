"""SAPO, DPPO, MaxRL and the correction for another sampler: values, slopes, limits."""

import math

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.successors import (
    divergence_mask_loss,
    sampler_correction,
    soft_gate_loss,
)

F64 = torch.float64


def slope(loss, leaf):
    """Derivative of the objective, −loss, by `leaf`."""
    return -torch.autograd.grad(loss.sum(), leaf)[0]


# ----------------------------------------------------------------- SAPO


@pytest.mark.parametrize("advantage", [2.0, -2.0])
def test_soft_gate_has_the_unclipped_slope_at_one_and_fades(advantage):
    ratio = T([[0.2, 0.8, 1.0, 1.2, 3.0]], dtype=F64, requires_grad=True)
    loss = soft_gate_loss(ratio, T([advantage], dtype=F64))
    found = slope(loss, ratio)[0] / advantage
    tau = 1.0 if advantage > 0 else 1.05
    gate = torch.sigmoid(tau * (ratio.detach()[0] - 1))
    assert_close(found, 4 * gate * (1 - gate))
    assert found[2] == 1.0
    assert (found > 0).all() and found.argmax() == 2
    # by hand: σ(0) = ½, so that L = −2Â/τ at ρ = 1
    assert loss[0, 2].item() == pytest.approx(-2 * advantage / tau)


def test_soft_gate_takes_the_temperature_of_the_sign():
    ratio = T([[1.5], [1.5], [1.5]], dtype=F64)
    a = T([1.0, -1.0, 0.0], dtype=F64)
    loss = soft_gate_loss(ratio, a, tau_pos=2.0, tau_neg=4.0)[:, 0]
    sigmoid = [1 / (1 + math.exp(-tau / 2)) for tau in (2, 4)]
    assert_close(loss, T([-2 * sigmoid[0], sigmoid[1], 0.0], dtype=F64))


# ----------------------------------------------------------------- DPPO


def dppo(p_new, p_old, advantage, delta=0.1):
    """Slope of the objective by log π of one token, and its loss."""
    leaf = T([[p_new]], dtype=F64).log().requires_grad_()
    old, mask = T([[p_old]], dtype=F64).log(), torch.ones(1, 1)
    a = T([advantage], dtype=F64)
    loss = divergence_mask_loss(leaf, old, a, mask, delta=delta)
    return slope(loss, leaf).item(), loss.item()


@pytest.mark.parametrize(
    ("p_new", "p_old", "advantage", "passes"),
    [
        (0.05, 0.01, 1.0, True),  # five times as likely, and PPO stops it at 0.012
        (0.12, 0.01, 1.0, False),  # 0.11 further
        (0.95, 0.80, 1.0, False),  # a ratio of 1.19, and PPO lets it pass
        (0.65, 0.80, 1.0, True),  # moved down: the update brings it back
        (0.65, 0.80, -1.0, False),
        (0.95, 0.80, -1.0, True),
        (0.75, 0.80, -1.0, True),  # 0.05 is within δ
    ],
)
def test_divergence_stops_a_move_away_by_probability(p_new, p_old, advantage, passes):
    found, loss = dppo(p_new, p_old, advantage)
    expected = p_new / p_old * advantage if passes else 0.0
    assert found == pytest.approx(expected) and loss == pytest.approx(-expected)


def test_divergence_mask_limits():
    """δ = 1 stops nothing; δ = 0 every move away; off the mask the loss is 0."""
    g = torch.Generator().manual_seed(0)
    old = -torch.rand(6, 5, generator=g, dtype=F64) - 0.1
    new = (old + 0.3 * torch.randn(6, 5, generator=g, dtype=F64)).clamp(max=0)
    a = torch.randn(6, generator=g, dtype=F64)
    mask = torch.ones(6, 5)
    mask[0, 3:] = 0
    free = divergence_mask_loss(new, old, a, mask, delta=1.0)
    assert_close(free, -(new - old).exp() * a[:, None] * mask)
    none = divergence_mask_loss(new, old, a, mask, delta=0.0)
    away = ((new - old) * a[:, None] > 0) | (mask == 0)
    assert (none[away] == 0).all() and torch.equal(none[~away], free[~away])
    leaf = new.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: divergence_mask_loss(x, old, a, mask, delta=0.2), leaf
    )
    assert torch.autograd.gradcheck(
        lambda x: soft_gate_loss((x - old).exp(), a), new.clone().requires_grad_()
    )


# ----------------------------------------------------------------- MaxRL


@pytest.mark.parametrize("right", [1, 3, 7])
def test_max_rl_weighs_a_group_by_its_failures(right):
    """Σ|Â|/2 over G is (1 − p)·G·p/p: the hard question counts most, a lost one not."""
    rewards = (torch.arange(8) < right).double()
    p = right / 8
    found = group_relative_advantages(rewards, 8, scale_rewards="mean")
    assert_close(found[:right], torch.full((right,), (1 - p) / p, dtype=F64))
    assert_close(found[right:], torch.full((8 - right,), -1.0, dtype=F64))
    assert found.sum() == pytest.approx(0)


def test_max_rl_is_the_gradient_of_the_log_of_the_success_rate():
    """E[Σ Â ∇log π]/G → ∇log p for many samples: here all answers of a softmax."""
    logits = T([0.3, -0.4, 0.9, 0.0], dtype=F64, requires_grad=True)
    right = T([1.0, 0.0, 0.0, 1.0], dtype=F64)
    probabilities = logits.softmax(0)
    (exact,) = torch.autograd.grad((probabilities * right).sum().log(), logits)
    counts = (probabilities.detach() * 1_000_000).round().long()
    rows = torch.repeat_interleave(torch.arange(4), counts)
    a = group_relative_advantages(right[rows], len(rows), scale_rewards="mean")
    logps = logits.log_softmax(0)[rows]
    (sampled,) = torch.autograd.grad((a * logps).mean(), logits)
    assert_close(sampled, exact, atol=1e-5, rtol=0)


def test_max_rl_refuses_a_negative_reward():
    with pytest.raises(ValueError, match=r'rewards must be >= 0 .*"mean", got -1\.0'):
        group_relative_advantages(T([1.0, -1.0]), 2, scale_rewards="mean")


# ----------------------------------------------------------------- another sampler

OLD = T([[0.5, 0.2, 0.4], [0.9, 0.1, 0.3]], dtype=F64).log()
MU = T([[0.1, 0.2, 0.8], [0.9, 0.2, 0.1]], dtype=F64).log()
MASK = T([[1, 1, 1], [1, 1, 0]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("token_truncate", [[3.0, 1.0, 0.5], [1.0, 0.5, 1.0]]),
        ("token_mask", [[0.0, 1.0, 0.5], [1.0, 0.5, 1.0]]),
        ("sequence_truncate", [[2.5], [0.5]]),
        ("sequence_mask", [[2.5], [0.5]]),
    ],
)
def test_weights_by_hand(mode, expected):
    found = sampler_correction(OLD, MU, MASK, mode=mode, cap=3.0)
    assert_close(found, T(expected, dtype=F64))


def test_a_sequence_beyond_the_cap():
    for mode, expected in (("sequence_truncate", 2.0), ("sequence_mask", 0.0)):
        found = sampler_correction(OLD, MU, MASK, mode=mode, cap=2.0)
        assert_close(found, T([[expected], [0.5]], dtype=F64))


def test_weights_make_the_gradient_of_another_samplers_tokens_unbiased():
    """Σ_a μ(a)·w(a)·r(a)·∇log π(a) = ∇E_π[r]; a cap leaves a part of it away."""
    logits = T([0.5, -1.0, 0.2, 1.5], dtype=F64, requires_grad=True)
    mu, reward = T([0.4, 0.3, 0.2, 0.1], dtype=F64), T([0.0, 1.0, 0.0, 2.0], dtype=F64)
    logps = logits.log_softmax(0)
    (exact,) = torch.autograd.grad((logps.exp() * reward).sum(), logits)

    def gradient(cap):
        ones = torch.ones(4, 1)
        now = logps.detach()[:, None]
        w = sampler_correction(now, mu.log()[:, None], ones, cap=cap)[:, 0]
        sum_over_mu = (mu * w * reward * logits.log_softmax(0)).sum()
        return torch.autograd.grad(sum_over_mu, logits)[0]

    assert_close(gradient(1e9), exact)
    assert (gradient(1.0) - exact).abs().max() > 0.1


def test_an_unknown_log_prob_of_the_sampler_weighs_one():
    mu = MU.clone()
    mu[0, 0] = math.nan
    assert sampler_correction(OLD, mu, MASK)[0, 0] == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: soft_gate_loss(OLD.exp(), T([1.0, 1.0]), tau_pos=0.0), "tau_pos"),
        (lambda: soft_gate_loss(OLD.exp(), T([1.0, 1.0]), tau_neg=-1.0), "tau_neg"),
        (lambda: soft_gate_loss(OLD.exp(), T([1.0])), "advantages"),
        (lambda: soft_gate_loss(OLD.exp() * math.nan, T([1.0, 1.0])), "ratio"),
        (
            lambda: divergence_mask_loss(OLD, MU, T([1.0, 1.0]), MASK, delta=1.5),
            r"delta must be a number in \[0.0, 1.0\], got 1.5",
        ),
        (lambda: sampler_correction(OLD, MU, MASK, mode="both"), "mode"),
        (lambda: sampler_correction(OLD, MU, MASK, cap=0.0), "cap"),
        (lambda: sampler_correction(OLD, MU[:1], MASK), "sampling_per_token_logps"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
