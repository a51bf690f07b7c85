"""Gradients: the sign table, closed forms, and gradcheck in float64."""

import math

import pytest
import torch
from torch import tensor as T
from torch.autograd import gradcheck
from torch.testing import assert_close

from rlnotes.equations.aggregation import aggregate_loss
from rlnotes.equations.divergences import exact_kl, kl_penalty, token_entropy
from rlnotes.equations.objectives import per_token_policy_loss, policy_loss, value_loss
from rlnotes.equations.surrogates import (
    cispo_loss,
    clipped_surrogate_loss,
    importance_ratio,
    policy_gradient_loss,
)

# Slope of the loss by log π at ratio r: −r·Â where nothing is clipped, 0 where it is.
BELOW, INSIDE, ABOVE, FAR = 0.5, 1.1, 1.5, 5.0
SIGN_TABLE = [
    (+1, BELOW, {}, True),  # worse than before, and good: go back up
    (+1, INSIDE, {}, True),
    (+1, ABOVE, {}, False),
    (+1, FAR, {"delta": 3.0}, False),
    (-1, BELOW, {}, False),
    (-1, INSIDE, {}, True),
    (-1, ABOVE, {}, True),  # more likely than before, and bad: go back down
    (-1, FAR, {}, True),
    (-1, FAR, {"delta": 3.0}, False),
    (-1, ABOVE, {"delta": 3.0}, True),
    (-1, BELOW, {"delta": 3.0}, False),
    (+1, 1.25, {"epsilon_high": 0.28}, True),  # clip-higher
    (+1, 1.25, {}, False),
    (-1, 0.75, {"epsilon_high": 0.28}, False),
    (-1, 0.75, {"epsilon": 0.3}, True),
    (+1, FAR, {"epsilon": math.inf}, True),
    (-1, 0.01, {"epsilon": math.inf}, True),
    (0, FAR, {}, False),
]


@pytest.mark.parametrize("rule", ["negative", "both"])
@pytest.mark.parametrize(("sign", "ratio", "keywords", "moves"), SIGN_TABLE)
def test_sign_table(sign, ratio, keywords, moves, rule):
    log_ratio = T([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
    advantage = T([2.0 * sign], dtype=torch.float64)
    clipped_surrogate_loss(
        log_ratio.exp(), advantage, delta_rule=rule, **keywords
    ).sum().backward()
    expected = -ratio * 2.0 * sign if moves else 0.0
    assert log_ratio.grad.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("sign", "ratio", "keywords", "moves"), SIGN_TABLE)
def test_sign_table_of_the_whole_loss(sign, ratio, keywords, moves):
    """The same through `policy_loss`, beside a padded position."""
    old = T([[-2.0, -2.0]], dtype=torch.float64)
    logps = (old + math.log(ratio)).requires_grad_()
    advantage = T([2.0 * sign], dtype=torch.float64)
    policy_loss(logps, old, advantage, T([[1, 0]]), **keywords).backward()
    expected = -ratio * 2.0 * sign if moves else 0.0
    assert logps.grad[0].tolist() == pytest.approx([expected, 0.0], abs=1e-12)


@pytest.mark.parametrize(("sign", "ratio", "keywords", "moves"), SIGN_TABLE)
def test_sign_table_of_sequences(sign, ratio, keywords, moves):
    """GSPO clips whole completions; each of its tokens gets the same share."""
    old = T([[-2.0, -1.0, -3.0]], dtype=torch.float64)
    log_ratio = math.log(ratio)
    step = T([[2 * log_ratio, 0.0, 7.0]], dtype=torch.float64)
    logps = (old + step).requires_grad_()
    policy_loss(
        logps,
        old,
        T([2.0 * sign], dtype=torch.float64),
        T([[1, 1, 0]]),
        importance_sampling_level="sequence",
        **keywords,
    ).backward()
    share = -ratio * 2.0 * sign / 2 if moves else 0.0
    assert logps.grad[0].tolist() == pytest.approx([share, share, 0.0], abs=1e-12)


def test_clamped_log_ratio_has_no_gradient():
    logps = T([[-1.0]], requires_grad=True)
    importance_ratio(logps, T([[-31.0]]), T([[1]])).sum().backward()
    assert logps.grad.item() == 0.0


@pytest.mark.parametrize("ratio", [0.1, 1.0, 4.0, 9.0])
def test_cispo_keeps_every_gradient(ratio):
    old = T([[-2.0]], dtype=torch.float64)
    logps = (old + math.log(ratio)).requires_grad_()
    policy_loss(
        logps, old, T([-3.0], dtype=torch.float64), T([[1]]),
        loss_type="cispo", epsilon_high=5.0,
    ).backward()  # fmt: skip
    assert logps.grad.item() == pytest.approx(3.0 * min(ratio, 5.0))


def test_cispo_takes_no_gradient_through_the_ratio():
    logps = T([[-2.0]], requires_grad=True)
    ratio = T([[1.5]], requires_grad=True)
    loss = cispo_loss(ratio, logps, T([1.0]), epsilon_high=5.0)
    loss.sum().backward()
    assert ratio.grad is None
    assert logps.grad.item() == -1.5


def test_advantages_and_old_policy_are_constants():
    logps = torch.zeros(1, 2, requires_grad=True)
    old = torch.zeros(1, 2, requires_grad=True)
    ref = torch.zeros(1, 2, requires_grad=True)
    advantages = torch.ones(1, requires_grad=True)
    loss = policy_loss(
        logps, old, advantages, torch.ones(1, 2), beta=1.0, ref_per_token_logps=ref
    )
    loss.backward()
    assert old.grad is None
    assert ref.grad is None
    assert advantages.grad is None
    policy_gradient_loss(logps, advantages).sum().backward()
    assert advantages.grad is None


@pytest.mark.parametrize(
    ("value", "slope"),
    [(1.1, -1.9), (1.5, 0.0), (0.5, -2.5), (3.1, 0.0), (5.5, 2.5)],
)
def test_value_loss_slopes(value, slope):
    """Target 3, old value 1, range .2: no gradient once moved enough toward it."""
    values = T([[value]], dtype=torch.float64, requires_grad=True)
    rows = T([[1.0]], dtype=torch.float64), T([[3.0]], dtype=torch.float64)
    value_loss(values, *rows, T([[1]])).backward()
    assert values.grad.item() == pytest.approx(slope)


# ----------------------------------------------------------------- gradcheck

torch.manual_seed(0)
SHAPE = (4, 5)
OLD = -torch.rand(SHAPE, dtype=torch.float64) - 0.5
REF = OLD + 0.6 * torch.rand(SHAPE, dtype=torch.float64) - 0.3
# log-ratios between −.9 and .9, none within .02 of a kink of the clips used below
GRID = torch.linspace(-0.9, 0.9, 20, dtype=torch.float64)[torch.randperm(20)]
LOGPS = OLD + GRID.view(SHAPE)
ADVANTAGES = T([1.5, -0.7, 0.4, -2.0], dtype=torch.float64)
KEEP = torch.arange(5) < T([5, 3, 0, 4])[:, None]
COMMON = {"num_generations": 2, "max_completion_length": 7, "epsilon_high": 0.28}


def check(function, *inputs):
    assert gradcheck(function, [x.clone().requires_grad_() for x in inputs])


@pytest.mark.parametrize(
    "loss_type", ["grpo", "dapo", "bnpo", "dapo_prompt", "dr_grpo", "luspo"]
)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("kl_gradient", ["autodiff", "importance"])
def test_gradcheck_policy_loss(loss_type, level, kl_gradient):
    check(
        lambda logps: policy_loss(
            logps,
            OLD,
            ADVANTAGES,
            KEEP,
            loss_type=loss_type,
            importance_sampling_level=level,
            delta=2.2,
            beta=0.3,
            ref_per_token_logps=REF,
            kl_gradient=kl_gradient,
            **COMMON,
        ),
        LOGPS,
    )


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "abs"])
def test_gradcheck_kl(estimator):
    check(lambda logps: kl_penalty(logps, REF, estimator=estimator), LOGPS)


def test_gradcheck_exact():
    logits = torch.randn(3, 4, dtype=torch.float64)
    ref_logits = torch.randn(3, 4, dtype=torch.float64)
    check(exact_kl, logits, ref_logits)
    check(token_entropy, logits)


def test_gradcheck_value_loss():
    returns, old = torch.randn(2, *SHAPE, dtype=torch.float64)
    check(lambda values: value_loss(values, old, returns, KEEP), LOGPS)


def test_gradcheck_reinforce():
    check(
        lambda logps: aggregate_loss(
            policy_gradient_loss(logps, ADVANTAGES), KEEP, loss_type="grpo"
        ),
        LOGPS,
    )


def test_importance_gradient_of_k3_is_ratio_times_log_ratio():
    logps = LOGPS.clone().requires_grad_()
    ratio = importance_ratio(logps, OLD, torch.ones(SHAPE))
    kl_penalty(logps, REF, gradient="importance", ratio=ratio).sum().backward()
    assert_close(logps.grad, (LOGPS - OLD).exp() * (LOGPS - REF))


def test_gradient_of_minus_k3_is_grpos_coefficient():
    """d(−k3)/d log π = π_ref/π − 1 (DeepSeekMath's gradient coefficient)."""
    logps = LOGPS.clone().requires_grad_()
    (-kl_penalty(logps, REF)).sum().backward()
    assert_close(logps.grad, (REF - LOGPS).exp() - 1)


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e30])
def test_garbage_outside_the_mask_never_reaches_the_gradient(level, garbage):
    keywords = {
        "importance_sampling_level": level,
        "beta": 0.1,
        "kl_gradient": "importance",
    }
    grads = []
    for fill in (0.0, garbage):
        logps, old, ref = (x.masked_fill(~KEEP, fill) for x in (LOGPS, OLD, REF))
        advantages = ADVANTAGES[:, None].expand(SHAPE).masked_fill(~KEEP, fill)
        logps = logps.requires_grad_()
        loss = per_token_policy_loss(
            logps, old, advantages, KEEP, ref_per_token_logps=ref, **keywords
        )
        loss.sum().backward()
        grads.append(logps.grad)
    assert_close(grads[0], grads[1], atol=0, rtol=0)
    assert grads[0][~KEEP].eq(0).all()
    assert grads[0][KEEP].ne(0).any()
