"""Ratios, clips, aggregation, value loss: values by hand and limits."""

import math

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.aggregation import LOSS_TYPES, aggregate_loss, token_weights
from rlnotes.equations.divergences import kl_k3
from rlnotes.equations.objectives import per_token_policy_loss, policy_loss, value_loss
from rlnotes.equations.surrogates import (
    cispo_loss,
    clip_fractions,
    clipped_surrogate_loss,
    importance_ratio,
    policy_gradient_loss,
)

NAN, INF = math.nan, math.inf

# ----------------------------------------------------------------- ratio


def test_token_ratio():
    logps, old = T([[0.5, 0.2], [0.1, 0.9]]).log(), T([[0.25, 0.4], [0.2, 0.3]]).log()
    ratio = importance_ratio(logps, old, T([[1, 1], [1, 0]]))
    assert_close(ratio, T([[2.0, 0.5], [0.5, 1.0]]))


def test_sequence_ratio_is_the_geometric_mean():
    logps = T([[4.0, 1.0, NAN], [8.0, 8.0, 1.0], [NAN, NAN, NAN]]).log()
    old = torch.zeros(3, 3)
    mask = T([[1, 1, 0], [1, 1, 1], [0, 0, 0]])
    ratio = importance_ratio(logps, old, mask, level="sequence")
    assert_close(ratio, T([[2.0], [4.0], [1.0]]))


def test_log_ratio_is_clamped_at_20():
    logps, old = T([[-1.0, -90.0, -1.0]]), T([[-90.0, -1.0, -1.5]])
    ratio = importance_ratio(logps, old, torch.ones(1, 3))
    assert_close(ratio, T([[20.0, -20.0, 0.5]]).exp())
    tighter = importance_ratio(logps, old, torch.ones(1, 3), max_log_ratio=0.25)
    assert_close(tighter, T([[0.25, -0.25, 0.25]]).exp())
    free = importance_ratio(logps[:, 2:], old[:, 2:] - 30, T([[1]]), max_log_ratio=None)
    assert_close(free, T([[30.5]]).exp())


def test_sequence_ratio_of_one_token_is_its_own():
    logps, old = T([[-1.0, NAN], [-3.0, NAN]]), T([[-2.0, NAN], [-1.0, NAN]])
    ratio = importance_ratio(logps, old, T([[1, 0], [1, 0]]), level="sequence")
    assert_close(ratio, T([[1.0], [-2.0]]).exp())


def test_sequence_clamp_is_on_the_mean():
    logps, old = T([[-1.0, -1.0]]), T([[-31.0, -1.0]])
    ratio = importance_ratio(logps, old, torch.ones(1, 2), level="sequence")
    assert_close(ratio, T([[15.0]]).exp())
    tight = importance_ratio(
        logps, old, torch.ones(1, 2), level="sequence", max_log_ratio=10.0
    )
    assert_close(tight, T([[10.0]]).exp())


def test_impossible_token_gives_a_finite_ratio():
    ratio = importance_ratio(T([[-INF]]), T([[-1.0]]), T([[1]]))
    assert_close(ratio, T([[-20.0]]).exp())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_half_precision_ratio_is_float32_and_finite(dtype, level):
    logps, old = T([[-1.0, -2.0]], dtype=dtype), T([[-14.0, -15.0]], dtype=dtype)
    ratio = importance_ratio(logps, old, torch.ones(1, 2), level=level)
    assert ratio.dtype == torch.float32
    assert_close(ratio[0, :1], T([13.0]).exp())  # 442413 overflows float16


def test_ratio_of_a_policy_to_itself_still_has_a_gradient():
    logps = T([[-1.0, -2.0]], requires_grad=True)
    importance_ratio(logps, logps, T([[1, 0]])).sum().backward()
    assert logps.grad.tolist() == [[1.0, 0.0]]


# ----------------------------------------------------------------- clip


@pytest.mark.parametrize(
    ("ratio", "advantage", "keywords", "loss"),
    [
        (1.0, 2.0, {}, -2.0),
        (1.1, 2.0, {}, -2.2),
        (1.5, 2.0, {}, -2.4),  # 1 + .2
        (1.5, 2.0, {"epsilon_high": 0.28}, -2.56),
        (0.5, 2.0, {}, -1.0),  # no clip on this side
        (0.5, -2.0, {}, 1.6),  # 1 − .2
        (0.5, -2.0, {"epsilon_high": 0.28}, 1.6),
        (0.5, -2.0, {"epsilon": 0.3}, 1.4),
        (1.5, 2.0, {"epsilon": 0.3}, -2.6),
        (1.5, -2.0, {}, 3.0),  # no clip on this side
        (10.0, -1.0, {}, 10.0),
        (10.0, -1.0, {"delta": 3.0}, 3.0),
        (10.0, -1.0, {"delta": 3.0, "delta_rule": "both"}, 3.0),
        (2.5, -1.0, {"delta": 3.0}, 2.5),
        (10.0, 1.0, {"delta": 3.0}, -1.2),
        (10.0, 1.0, {"delta": 3.0, "delta_rule": "both"}, -1.2),
        (0.1, -1.0, {"delta": 3.0}, 0.8),
        (10.0, 0.0, {"delta": 3.0}, 0.0),
        (10.0, 3.0, {"epsilon": INF}, -30.0),
        (10.0, -3.0, {"epsilon": INF}, 30.0),
        (0.1, -3.0, {"epsilon": INF}, 0.3),
        (0.1, -3.0, {"epsilon": 10.0}, 0.3),  # R1's ε: never binds below
        (7.0, 1.0, {"epsilon": 0.0}, -1.0),
    ],
)
def test_clipped_surrogate(ratio, advantage, keywords, loss):
    got = clipped_surrogate_loss(T([[ratio]]), T([advantage]), **keywords)
    assert got.item() == pytest.approx(loss, abs=1e-6)


def test_probability_range_of_clip_higher():
    """ε = .2 lets .01 rise to .012 only, and .9 to more than 1 (DAPO §3.1)."""
    old = T([[0.01, 0.9]])
    for epsilon_high, expected in ((0.2, [0.012, 1.08]), (0.28, [0.0128, 1.152])):
        best = -clipped_surrogate_loss(
            T([[9.0, 9.0]]), T([1.0]), epsilon_high=epsilon_high
        )
        assert_close(best * old, T([expected]))


def test_shapes_of_ratio_and_advantages():
    ratio = T([[1.0, 1.1], [0.9, 1.0]])
    by_row = clipped_surrogate_loss(ratio, T([1.0, -1.0]))
    assert_close(by_row, T([[-1.0, -1.1], [0.9, 1.0]]))
    by_token = clipped_surrogate_loss(ratio, T([[1.0, 2.0], [3.0, 4.0]]))
    assert_close(by_token, T([[-1.0, -2.2], [-2.7, -4.0]]))
    sequence = clipped_surrogate_loss(T([[1.1], [0.9]]), T([[1.0, 2.0], [3.0, 4.0]]))
    assert_close(sequence, T([[-1.1, -2.2], [-2.7, -3.6]]))
    column = clipped_surrogate_loss(ratio, T([[1.0], [-1.0]]))
    assert_close(column, by_row)


def test_half_precision_advantages_are_multiplied_in_float32():
    loss = clipped_surrogate_loss(T([[1.0]]).half(), T([6e4]).half(), epsilon=INF)
    assert loss.dtype == torch.float32
    double = clipped_surrogate_loss(T([[2.0]]).half(), T([6e4]).half(), epsilon=INF)
    assert double.item() == -2 * T(6e4).half().item()  # overflows float16


def test_cispo():
    ratio, logps = T([[9.0, 0.1, 2.0]]), T([[-1.0, -2.0, -3.0]])
    capped = cispo_loss(ratio, logps, T([2.0]), epsilon_high=5.0)
    assert_close(capped, T([[10.0, 0.4, 12.0]]))
    both = cispo_loss(ratio, logps, T([2.0]), epsilon_high=1.2, epsilon=0.2)
    assert_close(both, T([[2.4, 3.2, 7.2]]))
    sequence = cispo_loss(T([[9.0]]), logps, T([2.0]), epsilon_high=5.0)
    assert_close(sequence, T([[10.0, 20.0, 30.0]]))
    tokens = cispo_loss(ratio, logps, T([[1.0, -1.0, 0.0]]), epsilon_high=5.0)
    assert_close(tokens, T([[5.0, -0.2, 0.0]]))


def test_cispo_names_a_ratio_that_is_not_floating_point():
    with pytest.raises(ValueError, match="^ratio must be floating point"):
        cispo_loss(T([[1]]), T([[-1.0]]), T([1.0]), epsilon_high=5.0)


def test_policy_gradient():
    loss = policy_gradient_loss(T([[-1.0, -2.0], [-3.0, -4.0]]), T([2.0, -1.0]))
    assert_close(loss, T([[2.0, 4.0], [-3.0, -4.0]]))
    tokens = policy_gradient_loss(T([[-1.0, -2.0]]), T([[2.0, -1.0]]))
    assert_close(tokens, T([[2.0, -2.0]]))


# ----------------------------------------------------------------- aggregation

SHORT_LONG = torch.arange(6) < T([2, 6])[:, None]
MINUS_PLUS = T([[-1.0], [1.0]])


@pytest.mark.parametrize(
    ("keywords", "loss"),
    [
        ({"loss_type": "grpo"}, 0.0),
        ({"loss_type": "dapo"}, 0.5),
        ({"loss_type": "bnpo"}, 0.5),
        ({"loss_type": "cispo"}, 0.5),
        ({"loss_type": "dr_grpo", "max_completion_length": 8}, 0.25),
        ({"loss_type": "luspo"}, 2.0),
        ({"loss_type": "dapo_prompt", "num_generations": 2}, 0.5),
        ({"loss_type": "dapo_prompt", "num_generations": 1}, 0.0),
        ({"loss_type": "dapo", "num_items_in_batch": 16}, 0.25),
        ({"loss_type": "dapo", "num_items_in_batch": T(16)}, 0.25),
        ({"loss_type": "cispo", "num_items_in_batch": 0.5}, 8.0),
    ],
)
def test_a_short_and_a_long_completion(keywords, loss):
    got = aggregate_loss(MINUS_PLUS, SHORT_LONG, **keywords)
    assert got.item() == pytest.approx(loss, abs=1e-7)


def test_dapo_as_written_and_as_programmed():
    """10 tokens at loss 1 and 100 at 0, two prompts (objectives.md B1)."""
    mask = torch.arange(100) < T([10, 100])[:, None]
    loss = T([[1.0], [0.0]])
    by_prompt = aggregate_loss(loss, mask, loss_type="dapo_prompt", num_generations=1)
    assert by_prompt.item() == pytest.approx(0.5)
    by_batch = aggregate_loss(loss, mask, loss_type="dapo")
    assert by_batch.item() == pytest.approx(0.0909, abs=1e-4)


def test_weights_of_ten_and_a_hundred_tokens():
    """Per token: GRPO .05 and .005, DAPO .00909 for both (papers.md §7)."""
    mask = torch.arange(100) < T([10, 100])[:, None]
    grpo = token_weights(mask, loss_type="grpo")
    assert_close(grpo[:, 0], T([0.05, 0.005]))
    dapo = token_weights(mask, loss_type="dapo")
    assert_close(dapo[:, 0], T([1 / 110, 1 / 110]))
    dr_grpo = token_weights(mask, loss_type="dr_grpo", max_completion_length=100)
    assert_close(dr_grpo[:, 0], T([0.005, 0.005]))
    luspo = token_weights(mask, loss_type="luspo")
    assert_close(luspo[:, 0], T([0.5, 0.5]))
    for weights in (grpo, dapo, dr_grpo, luspo):
        assert weights[0, 10:].eq(0).all()


def test_prompt_weights():
    mask = torch.arange(4) < T([1, 3, 4, 2])[:, None]
    weights = token_weights(mask, loss_type="dapo_prompt", num_generations=2)
    assert_close(weights[:, 0], T([1 / 8, 1 / 8, 1 / 12, 1 / 12]))
    assert weights.sum().item() == pytest.approx(1.0)


EMPTY_ROW = T([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
ONES_AND_TWOS = T([[1.0], [2.0], [NAN]])


@pytest.mark.parametrize(
    ("keywords", "loss"),
    [
        ({"loss_type": "dapo"}, 8 / 6),
        ({"loss_type": "bnpo"}, 8 / 6),
        ({"loss_type": "grpo"}, 1.0),
        ({"loss_type": "grpo", "count_empty": False}, 1.5),
        ({"loss_type": "luspo"}, 8 / 3),
        ({"loss_type": "luspo", "count_empty": False}, 4.0),
        ({"loss_type": "dr_grpo", "max_completion_length": 4}, 2 / 3),
        (
            {"loss_type": "dr_grpo", "max_completion_length": 4, "count_empty": False},
            1.0,
        ),
        ({"loss_type": "dapo_prompt", "num_generations": 1}, 1.0),
        (
            {"loss_type": "dapo_prompt", "num_generations": 1, "count_empty": False},
            1.5,
        ),
        ({"loss_type": "dapo_prompt", "num_generations": 3}, 8 / 6),
    ],
)
def test_a_fully_masked_row(keywords, loss):
    """verl's own numbers: 1.333, 1.5 or 1.0, 4 or 2.667 (objectives.md A4)."""
    got = aggregate_loss(ONES_AND_TWOS, EMPTY_ROW, **keywords)
    assert got.item() == pytest.approx(loss)


@pytest.mark.parametrize(
    "keywords",
    [
        {"loss_type": "grpo"},
        {"loss_type": "luspo"},
        {"loss_type": "dr_grpo", "max_completion_length": 4},
        {"loss_type": "dapo_prompt", "num_generations": 2},
        {"loss_type": "dapo", "num_items_in_batch": 7},
    ],
)
def test_fully_masked_micro_batch_adds_nothing(keywords):
    loss = torch.ones(2, 3, requires_grad=True)
    total = aggregate_loss(loss, torch.zeros(2, 3), **keywords)
    total.backward()
    assert total == 0
    assert loss.grad.eq(0).all()


def test_micro_batches_of_two_and_six_tokens():
    """bnpo .5, dapo .25 of the same two micro-batches (objectives.md A4)."""
    first, second = torch.ones(1, 2), torch.zeros(1, 6)
    bnpo = [
        aggregate_loss(x, torch.ones_like(x), loss_type="bnpo") for x in (first, second)
    ]
    assert (sum(bnpo) / 2).item() == pytest.approx(0.5)
    dapo = [
        aggregate_loss(x, torch.ones_like(x), loss_type="dapo", num_items_in_batch=8)
        for x in (first, second)
    ]
    assert sum(dapo).item() == pytest.approx(0.25)


def test_doubling_a_completion_leaves_dr_grpo_tokens_alone():
    for loss_type, changes in (("dr_grpo", False), ("luspo", False), ("grpo", True)):
        short = token_weights(
            T([[1, 1, 0, 0]]), loss_type=loss_type, max_completion_length=4
        )
        long = token_weights(
            T([[1, 1, 1, 1]]), loss_type=loss_type, max_completion_length=4
        )
        assert (short[0, 0] != long[0, 0]) == changes


def test_weights_keep_precision():
    mask = torch.ones(1, 3)
    weights = token_weights(mask, loss_type="dapo")
    assert weights.dtype == torch.float32
    double = token_weights(mask, loss_type="dapo", dtype=torch.float64)
    assert double[0, 0].item() == 1 / 3
    loss = aggregate_loss(torch.ones(1, 3).double() / 3, mask, loss_type="grpo")
    assert loss.item() == pytest.approx(1 / 3, abs=1e-16)
    long = torch.ones(1, 4096).bfloat16()
    assert aggregate_loss(long, torch.ones(1, 4096), loss_type="luspo") == 4096


# ----------------------------------------------------------------- whole loss

LOGPS = T([[-1.0, -2.0, -0.5], [-1.5, -0.1, -3.0]])
OLD = T([[-1.2, -1.0, -0.5], [-1.0, -0.2, NAN]])
REF = T([[-1.0, -2.5, -0.7], [-1.0, -0.1, -INF]])
ADVANTAGES = T([1.0, -2.0])
KEEP = T([[1, 1, 1], [1, 1, 0]])


def test_policy_loss_by_hand():
    losses = [-1.2, -math.exp(-1), -1.0, 1.6, 2 * math.exp(0.1)]
    grpo = (sum(losses[:3]) / 3 + sum(losses[3:]) / 2) / 2
    got = policy_loss(LOGPS, OLD, ADVANTAGES, KEEP)
    assert got.item() == pytest.approx(grpo)
    dapo = policy_loss(LOGPS, OLD, ADVANTAGES, KEEP, loss_type="dapo")
    assert dapo.item() == pytest.approx(sum(losses) / 5)


def test_policy_loss_adds_beta_times_kl():
    keywords = {"ref_per_token_logps": REF, "loss_type": "luspo"}
    plain = policy_loss(LOGPS, OLD, ADVANTAGES, KEEP, **keywords)
    with_kl = policy_loss(LOGPS, OLD, ADVANTAGES, KEEP, beta=0.5, **keywords)
    kl = kl_k3(LOGPS, REF)[KEEP.bool()].sum() / 2
    assert_close(with_kl - plain, 0.5 * kl)


def test_policy_loss_passes_every_keyword_on():
    base = {"beta": 0.5, "ref_per_token_logps": REF, "loss_type": "luspo"}
    plain = policy_loss(LOGPS, OLD, ADVANTAGES, KEEP, **base)
    for keywords in (
        {"epsilon": 0.1},
        {"epsilon_high": 0.1},
        {"importance_sampling_level": "sequence"},
        {"beta": 0.25},
        {"kl_estimator": "k1"},
        {"kl_gradient": "importance"},
        {"kl_clamp": (20.0, 0.01)},
        {"max_log_ratio": 0.15},
        {"loss_type": "grpo"},
        {"loss_type": "bnpo"},
        {"loss_type": "dapo", "num_items_in_batch": 6},
        {"loss_type": "dr_grpo", "max_completion_length": 3},
        {"loss_type": "dapo_prompt", "num_generations": 2},
    ):
        other = policy_loss(LOGPS, OLD, ADVANTAGES, KEEP, **{**base, **keywords})
        assert not torch.isclose(other, plain), keywords
    far = OLD - 3.0  # ratios beyond δ, for A < 0
    far_plain = policy_loss(LOGPS, far, ADVANTAGES, KEEP, **base)
    dual = policy_loss(LOGPS, far, ADVANTAGES, KEEP, delta=3.0, **base)
    assert dual < far_plain
    both = policy_loss(
        LOGPS, far, ADVANTAGES, KEEP, delta=3.0, delta_rule="both", **base
    )
    assert_close(both, dual)
    empty = T([[1, 1, 1], [0, 0, 0]])
    halves = policy_loss(LOGPS, OLD, ADVANTAGES, empty)
    wholes = policy_loss(LOGPS, OLD, ADVANTAGES, empty, count_empty=False)
    assert_close(wholes, 2 * halves)


@pytest.mark.parametrize("loss", [policy_loss, per_token_policy_loss])
def test_delta_rule_reaches_the_clip(loss):
    """Both rules give the same number, so only a wrong one tells."""
    with pytest.raises(ValueError, match="^delta_rule"):
        loss(LOGPS, OLD, ADVANTAGES, KEEP, delta=3.0, delta_rule="positive")


def test_k2_gradient_changes_the_slope_but_not_the_value():
    slopes = []
    for gradient in ("autodiff", "k2"):
        logps = LOGPS.clone().requires_grad_()
        loss = policy_loss(
            logps, OLD, ADVANTAGES, KEEP,
            beta=0.5, ref_per_token_logps=REF, kl_gradient=gradient,
        )  # fmt: skip
        loss.backward()
        slopes.append((loss.item(), logps.grad))
    assert slopes[0][0] == pytest.approx(slopes[1][0])
    assert not torch.allclose(slopes[0][1], slopes[1][1])


def test_per_token_policy_loss():
    loss = per_token_policy_loss(LOGPS, OLD, ADVANTAGES, KEEP)
    expected = T([[-1.2, -math.exp(-1), -1.0], [1.6, 2 * math.exp(0.1), 0.0]])
    assert_close(loss, expected)
    sequence = per_token_policy_loss(
        LOGPS, OLD, ADVANTAGES, KEEP, importance_sampling_level="sequence"
    )
    # mean log-ratios −.8/3 and −.2
    low, high = -math.exp(-0.8 / 3), 2 * math.exp(-0.2)
    assert_close(sequence, T([[low] * 3, [high, high, 0.0]]))


def test_both_losses_clamp_the_log_ratio_at_20():
    far = T([[-1.0]]), T([[-31.0]]), T([-1.0]), T([[1]])
    assert_close(per_token_policy_loss(*far), T([[20.0]]).exp())
    assert_close(policy_loss(*far), T(20.0).exp())


def test_cispo_as_a_loss_type():
    loss = per_token_policy_loss(
        LOGPS, OLD, ADVANTAGES, KEEP, loss_type="cispo", epsilon_high=1.1
    )
    ratio = (LOGPS - OLD).exp().clamp(max=1.1)
    expected = -(ratio * ADVANTAGES[:, None] * LOGPS).nan_to_num()
    assert_close(loss, expected)
    total = policy_loss(
        LOGPS, OLD, ADVANTAGES, KEEP, loss_type="cispo", epsilon_high=1.1
    )
    assert_close(total, expected.sum() / 5)


@pytest.mark.parametrize("loss_type", [x for x in LOSS_TYPES if x != "cispo"])
def test_on_policy_the_clip_is_inert(loss_type):
    """At ratio 1 the loss is −Σ w·Â and the gradient REINFORCE's (B8)."""
    keywords = {"max_completion_length": 3, "num_generations": 2}
    logps = LOGPS.clone().requires_grad_()
    loss = policy_loss(
        logps, logps, ADVANTAGES, KEEP, loss_type=loss_type, epsilon=0.0, **keywords
    )
    (slope,) = torch.autograd.grad(loss, logps)
    weights = token_weights(KEEP, loss_type=loss_type, **keywords)
    assert_close(loss, -(weights * ADVANTAGES[:, None]).sum())
    reinforce = aggregate_loss(
        policy_gradient_loss(logps, ADVANTAGES), KEEP, loss_type=loss_type, **keywords
    )
    (expected,) = torch.autograd.grad(reinforce, logps)
    assert_close(slope, expected)


def test_zero_advantage_is_zero_loss_and_gradient():
    logps = LOGPS.clone().requires_grad_()
    loss = policy_loss(logps, OLD, torch.zeros(2), KEEP)
    loss.backward()
    assert loss == 0
    assert logps.grad.eq(0).all()


def test_one_token_alone():
    for loss_type in LOSS_TYPES:
        loss = policy_loss(
            T([[-1.0]]),
            T([[-1.1]]),
            T([2.0]),
            T([[1]]),
            loss_type=loss_type,
            epsilon_high=5.0,
            num_generations=1,
            max_completion_length=1,
        )
        one = 2 * math.exp(0.1)
        assert loss.item() == pytest.approx(one if loss_type == "cispo" else -one)


# ----------------------------------------------------------------- metrics, critic


def test_clip_fractions():
    ratio = T([[0.5, 1.0, 1.5], [0.5, 1.5, 9.0]])
    mask = T([[1, 1, 1], [1, 1, 0]])
    up_down = clip_fractions(ratio, T([1.0, -1.0]), mask)
    assert up_down == pytest.approx(
        {
            "clip_ratio/low_mean": 0.2,
            "clip_ratio/high_mean": 0.2,
            "clip_ratio/region_mean": 0.4,
        }
    )
    assert sum(clip_fractions(ratio, T([0.0, 0.0]), mask).values()) == 0.0
    wide = clip_fractions(ratio, T([1.0, 1.0]), mask, epsilon=0.2, epsilon_high=0.5)
    assert wide["clip_ratio/high_mean"] == 0.0  # the bounds themselves are inside
    low = clip_fractions(ratio, T([-1.0, -1.0]), mask, epsilon=0.5, epsilon_high=0.1)
    assert low["clip_ratio/low_mean"] == 0.0
    tokens = clip_fractions(
        ratio, T([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]), mask, epsilon=0.2
    )
    assert list(tokens.values()) == pytest.approx([0.2, 0.4, 0.6])


def test_clip_fractions_name_a_ratio_of_another_shape():
    with pytest.raises(ValueError, match="^ratio must have shape"):
        clip_fractions(T([1.0]), T([1.0]), T([[1]]))


def test_clip_fractions_of_sequences_count_rows():
    fractions = clip_fractions(T([[0.5], [1.5], [1.0]]), T([-1.0, 1.0, 1.0]), EMPTY_ROW)
    assert list(fractions.values()) == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    one_token = clip_fractions(T([[0.5], [0.5]]), T([-1.0, -1.0]), T([[1], [0]]))
    assert one_token["clip_ratio/low_mean"] == 1.0
    half = clip_fractions(T([[0.5], [1.0]]), T([-1.0, -1.0]), T([[1], [0]]))
    assert half["clip_ratio/low_mean"] == 1.0
    two_tokens = clip_fractions(T([[0.5], [1.0]]), T([-1.0, -1.0]), T([[1, 1], [0, 0]]))
    assert two_tokens["clip_ratio/low_mean"] == 0.5


@pytest.mark.parametrize(
    ("value", "old", "target", "keywords", "loss"),
    [
        (1.0, 1.0, 3.0, {}, 2.0),
        (1.5, 1.0, 3.0, {}, 0.5 * 1.8**2),  # moved .5, allowed .2
        (0.5, 1.0, 3.0, {}, 0.5 * 2.5**2),  # moving away is not excused
        (1.5, 1.0, 3.0, {"cliprange_value": 0.4}, 0.5 * 1.6**2),
        (1.5, 1.0, 3.0, {"cliprange_value": None}, 0.5 * 1.5**2),
        (0.5, 1.0, -1.0, {}, 0.5 * 1.8**2),
    ],
)
def test_value_loss(value, old, target, keywords, loss):
    rows = [T([[x, NAN]]) for x in (value, old, target)]
    got = value_loss(*rows, T([[1, 0]]), **keywords)
    assert got.item() == pytest.approx(loss)


def test_value_loss_is_a_mean_over_tokens():
    values = T([[1.0, 2.0], [3.0, 9.0]], requires_grad=True)
    targets = torch.zeros(2, 2, requires_grad=True)
    old = values.detach().clone().requires_grad_()
    loss = value_loss(values, old, targets, T([[1, 1], [1, 0]]))
    assert loss.item() == pytest.approx((1 + 4 + 9) / 6)
    loss.backward()
    assert_close(values.grad, T([[1.0, 2.0], [3.0, 0.0]]) / 3)
    assert targets.grad is None
    assert old.grad is None


def test_value_loss_of_half_precision_is_float32():
    rows = T([[300.0]]).half(), T([[300.0]]).half(), T([[0.0]]).half()
    loss = value_loss(*rows, T([[1]]))
    assert loss.dtype == torch.float32
    assert loss.item() == 45000.0  # 300² overflows float16


def test_policy_loss_hands_its_keywords_on_and_refuses_others():
    logps, old, mask = T([[-1.0, -1.0]]), T([[-1.5, -0.5]]), T([[1, 1]])
    inputs = (logps, old, T([1.0]), mask)
    keywords = {"epsilon": 0.1, "epsilon_high": 0.3, "max_log_ratio": 0.2}
    per_token = per_token_policy_loss(*inputs, **keywords)
    assert_close(policy_loss(*inputs, **keywords), per_token.mean())
    with pytest.raises(TypeError, match="epsilon_hi"):
        policy_loss(*inputs, epsilon_hi=0.3)
