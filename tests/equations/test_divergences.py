"""KL estimators, their gradients, and the exact quantities, by hand."""

import math

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.divergences import (
    exact_kl,
    kl_k1,
    kl_k2,
    kl_k3,
    kl_penalty,
    token_entropy,
)


def value_and_gradient(logp, ref, **keywords):
    """Value and derivative of the penalty at one token, in float64."""
    logps = T([[logp]], dtype=torch.float64, requires_grad=True)
    refs = T([[ref]], dtype=torch.float64)
    if keywords.get("gradient") == "importance":
        keywords["ratio"] = (logps - logps.detach()).exp()
    value = kl_penalty(logps, refs, **keywords)
    value.sum().backward()
    return value.item(), logps.grad.item()


@pytest.mark.parametrize(
    ("logp", "estimator", "gradient", "value", "slope"),
    [
        (-1.0, "k1", "autodiff", 0.5, 1.0),
        (-1.0, "k2", "autodiff", 0.125, 0.5),
        (-1.0, "k3", "autodiff", 0.1065307, 0.3934693),
        (-1.0, "abs", "autodiff", 0.5, 1.0),
        (-1.0, "k3", "k2", 0.1065307, 0.5),
        (-1.0, "k1", "k2", 0.5, 0.5),
        (-1.0, "k3", "importance", 0.1065307, 0.5),
        (-2.0, "k1", "autodiff", -0.5, 1.0),
        (-2.0, "k2", "autodiff", 0.125, -0.5),
        (-2.0, "k3", "autodiff", 0.1487213, -0.6487213),
        (-2.0, "abs", "autodiff", 0.5, -1.0),
        (-2.0, "k3", "k2", 0.1487213, -0.5),
        (-2.0, "k3", "importance", 0.1487213, -0.5),
        (-2.0, "k1", "importance", -0.5, 0.5),  # −.5 + 1
        (-4.5, "k3", "autodiff", math.e**3 - 4, 1 - math.e**3),
        (-4.5, "k3", "k2", math.e**3 - 4, -3.0),
        (-1.5, "k3", "autodiff", 0.0, 0.0),
    ],
)
def test_value_and_slope(logp, estimator, gradient, value, slope):
    got = value_and_gradient(logp, -1.5, estimator=estimator, gradient=gradient)
    assert got == pytest.approx((value, slope), abs=1e-7)


def test_penalty_is_k3_with_autodiff_by_default():
    assert value_and_gradient(-1.0, -1.5) == pytest.approx((0.1065307, 0.3934693))


@pytest.mark.parametrize(
    ("function", "estimator"), [(kl_k1, "k1"), (kl_k2, "k2"), (kl_k3, "k3")]
)
def test_functions_and_names_agree(function, estimator):
    logps = T([[-1.0, -2.0], [-0.1, -9.0]])
    refs = T([[-1.5, -1.5], [-3.0, -8.5]])
    penalty = kl_penalty(logps, refs, estimator=estimator)
    assert_close(penalty, function(logps, refs), atol=0, rtol=0)


def test_k1_points_from_the_policy_to_the_reference():
    assert kl_k1(T([[-1.0]]), T([[-3.0]])).item() == 2.0
    assert kl_k2(T([[-1.0]]), T([[-3.0]])).item() == 2.0
    expected = math.exp(-2) + 2 - 1
    assert kl_k3(T([[-1.0]]), T([[-3.0]])).item() == pytest.approx(expected)


def test_clamp_bounds_the_log_ratio_and_the_value():
    # verl: 10 with no gradient, TRL: e⁸ − 9 = 2972 (objectives.md B6)
    assert value_and_gradient(-9.0, -1.0, clamp=(20.0, 10.0)) == (10.0, 0.0)
    value, slope = value_and_gradient(-9.0, -1.0)
    assert value == pytest.approx(2971.958)
    assert slope == pytest.approx(1 - math.exp(8))
    value, slope = value_and_gradient(-9.0, -1.0, clamp=(2.0, 100.0))
    assert value == pytest.approx(math.exp(2) - 3)
    assert slope == 0.0
    low, slope = value_and_gradient(-9.0, -1.0, estimator="k1", clamp=(20.0, 3.0))
    assert (low, slope) == (-3.0, 0.0)
    low, slope = value_and_gradient(-1.0, -9.0, estimator="k1", clamp=(3.0, 20.0))
    assert (low, slope) == (3.0, 0.0)


def test_an_infinite_value_does_not_pass_the_clamp():
    """Clamped it would be a plain 10, with a gradient of NaN."""
    with pytest.raises(ValueError, match="^KL of per_token_logps and ref_per_token_"):
        kl_penalty(T([[-200.0]]), T([[-1.0]]), clamp=(1000.0, 10.0))


def test_importance_weighs_value_and_gradient_by_the_ratio():
    logps = T([[-1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    refs = T([[-1.5, -1.5]], dtype=torch.float64)
    old = T([[-1.0, -2.5]], dtype=torch.float64)
    ratio = (logps - old).exp()
    value = kl_penalty(logps, refs, gradient="importance", ratio=ratio)
    value.sum().backward()
    assert_close(value, ratio * kl_k3(logps, refs))
    assert_close(logps.grad, ratio.detach() * (logps.detach() - refs))


def test_importance_takes_a_ratio_per_completion():
    logps, refs = torch.full((2, 3), -1.0), torch.full((2, 3), -1.5)
    value = kl_penalty(logps, refs, gradient="importance", ratio=T([[1.0], [2.0]]))
    assert_close(value, kl_k3(logps, refs) * T([[1.0], [2.0]]))


def test_outside_the_mask_nothing_is_read():
    logps = T([[-1.0, math.nan]], requires_grad=True)
    refs = T([[-1.5, -math.inf]])
    for gradient in ("autodiff", "k2"):
        logps.grad = None
        mask = T([[1, 0]])
        value = kl_penalty(logps, refs, gradient=gradient, completion_mask=mask)
        value.sum().backward()
        assert value[0, 1] == 0
        assert logps.grad[0, 1] == 0
        assert logps.grad[0, 0] > 0


def test_reference_is_a_constant():
    logps = T([[-1.0]], requires_grad=True)
    kl_k3(logps, logps).sum().backward()
    assert logps.grad.item() == 0.0  # at π = π_ref: 1 − e⁰
    logps.grad = None
    kl_k1(logps, logps).sum().backward()
    assert logps.grad.item() == 1.0


def test_small_differences_keep_their_digits():
    """e^d − d − 1 would be 0 or 1.2e-7 in float32."""
    value = kl_k3(T([[-1.0]]), T([[-1.0 + 2**-12]]))
    assert value.item() == pytest.approx(2**-25, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logps, refs = T([[-1.0]], dtype=dtype), T([[-13.0]], dtype=dtype)
    for function in (kl_k1, kl_k2, kl_k3, kl_penalty):
        value = function(refs, logps)
        assert value.dtype == torch.float32
        assert value.isfinite().all()  # e¹² = 162755 overflows float16
    assert token_entropy(logps).dtype == torch.float32
    assert exact_kl(logps, refs).dtype == torch.float32


def test_exact_kl_of_two_coins():
    logits = T([0.75, 0.25]).log()
    ref_logits = T([0.5, 0.5]).log() + 3.0
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert exact_kl(logits, ref_logits).item() == pytest.approx(expected)
    backward = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(2)
    assert exact_kl(ref_logits, logits).item() == pytest.approx(backward)


def test_entropy_of_coins_and_dice():
    assert token_entropy(torch.zeros(2, 6)).tolist() == pytest.approx([math.log(6)] * 2)
    expected = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert token_entropy(T([0.75, 0.25]).log()).item() == pytest.approx(expected)


def test_tokens_ruled_out_count_nothing():
    logits = T([[0.0, 0.0, -math.inf]], requires_grad=True)
    assert token_entropy(logits).item() == pytest.approx(math.log(2))
    three = torch.zeros(1, 3)
    assert exact_kl(logits, three).item() == pytest.approx(math.log(1.5))
    assert exact_kl(three, logits.detach()).item() == math.inf
    (token_entropy(logits) + exact_kl(logits, three)).sum().backward()
    assert logits.grad.isfinite().all()


def test_exact_quantities_have_the_shape_of_the_positions():
    logits = torch.arange(24.0).view(2, 3, 4)
    assert exact_kl(logits, torch.zeros(2, 3, 4)).shape == (2, 3)
    assert token_entropy(logits).shape == (2, 3)
