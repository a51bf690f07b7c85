"""Truth beyond parity: exact expectations over a small vocabulary, and enumeration.

A policy π over eight tokens is known exactly, so every expectation is a sum, not a
sample. What the estimators and surrogates promise is checked against that sum.
"""

import itertools
import math

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.aggregation import token_weights
from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.divergences import (
    exact_kl,
    kl_k1,
    kl_k2,
    kl_k3,
    kl_penalty,
    token_entropy,
)
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.surrogates import (
    clipped_surrogate_loss,
    importance_ratio,
    policy_gradient_loss,
)

torch.manual_seed(7)
LOGITS = torch.randn(8, dtype=torch.float64)
REF_LOGITS = LOGITS + 0.7 * torch.randn(8, dtype=torch.float64)
OLD_LOGITS = LOGITS + 0.3 * torch.randn(8, dtype=torch.float64)
REWARDS = torch.randn(8, dtype=torch.float64)
REF = REF_LOGITS.log_softmax(0)


def expectation(values, probs):
    """Σ_v p(v)·x(v): what infinitely many samples would average to."""
    return (probs * values).sum()


def gradient(function, logits=LOGITS):
    """Exact gradient by the logits."""
    logits = logits.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(logits), logits)
    return slope


def sampled_loss_gradient(per_token, sampling=None, logits=LOGITS):
    """Expected gradient of a loss at sampled tokens: samples carry no gradient."""

    def loss(logits):
        logps = logits.log_softmax(0)
        probs = (logits if sampling is None else sampling).softmax(0).detach()
        return expectation(per_token(logps), probs)

    return gradient(loss, logits)


TRUE_KL = exact_kl(LOGITS, REF_LOGITS)
TRUE_KL_GRADIENT = gradient(lambda x: exact_kl(x, REF_LOGITS))
FORWARD_KL_GRADIENT = gradient(lambda x: exact_kl(REF_LOGITS, x))


def finite_differences(function, logits, step=1e-6):
    moves = step * torch.eye(len(logits), dtype=torch.float64)
    return torch.stack(
        [(function(logits + m) - function(logits - m)) / (2 * step) for m in moves]
    )


# ----------------------------------------------------------------- KL: values


def test_exact_kl_and_entropy_against_their_sums():
    p, q = LOGITS.softmax(0), REF_LOGITS.softmax(0)
    assert_close(TRUE_KL, sum(p[v] * (p[v] / q[v]).log() for v in range(8)))
    assert_close(token_entropy(LOGITS), -sum(p[v] * p[v].log() for v in range(8)))
    assert TRUE_KL > 0.1  # far enough apart to tell the estimators from each other


@pytest.mark.parametrize("function", [lambda x: exact_kl(x, REF_LOGITS), token_entropy])
def test_exact_gradients_against_finite_differences(function):
    numeric = finite_differences(function, LOGITS)
    assert_close(gradient(function), numeric, atol=1e-8, rtol=1e-6)


def test_as_a_value_k1_and_k3_are_unbiased_and_k2_is_not():
    probs, logps = LOGITS.softmax(0), LOGITS.log_softmax(0)
    assert_close(expectation(kl_k1(logps, REF), probs), TRUE_KL)
    assert_close(expectation(kl_k3(logps, REF), probs), TRUE_KL)
    k2 = expectation(kl_k2(logps, REF), probs)
    assert abs(k2 - TRUE_KL) > 0.01 * TRUE_KL


def test_k3_is_never_negative_and_varies_less_than_k1():
    """Near the reference, where a KL penalty holds the policy."""
    probs = LOGITS.softmax(0)
    logps = LOGITS.log_softmax(0)
    near = (LOGITS + 0.1 * (REF_LOGITS - LOGITS)).log_softmax(0)
    k1, k3 = kl_k1(logps, near), kl_k3(logps, near)
    assert k1.min() < 0 <= k3.min()
    spread = [
        expectation(k.square(), probs) - expectation(k, probs) ** 2 for k in (k1, k3)
    ]
    assert spread[1] < 0.1 * spread[0]


def test_off_policy_samples_bias_k3_and_the_ratio_repairs_it():
    """After an update the tokens are π_old's (papers.md §2)."""
    logps, old = LOGITS.log_softmax(0), OLD_LOGITS.log_softmax(0)
    ratio = (logps - old).exp()
    naive = expectation(kl_k3(logps, REF), old.exp())
    assert abs(naive - TRUE_KL) > 0.01 * TRUE_KL
    value = kl_penalty(
        logps[None], REF[None], gradient="importance", ratio=ratio[None]
    )[0]
    # Σ old·ratio·k3 = Σ π·k3
    assert_close(expectation(value, old.exp()), TRUE_KL)


# ----------------------------------------------------------------- KL: gradients


def penalty(estimator, kind, old=None):
    def per_token(logps):
        ratio = (logps - (logps if old is None else old).detach()).exp()
        ratio = ratio[None] if kind == "importance" else None
        return kl_penalty(
            logps[None], REF[None], estimator=estimator, gradient=kind, ratio=ratio
        )[0]

    return per_token


def test_in_the_loss_k1_has_no_signal():
    """E[∇ log π] = 0: the expected gradient of k1 is nothing at all."""
    slope = sampled_loss_gradient(penalty("k1", "autodiff"))
    assert_close(slope, torch.zeros(8).double(), atol=1e-15, rtol=0)
    assert TRUE_KL_GRADIENT.abs().max() > 0.05


def test_in_the_loss_k2_has_the_true_gradient():
    assert_close(sampled_loss_gradient(penalty("k2", "autodiff")), TRUE_KL_GRADIENT)


def test_in_the_loss_k3_has_the_gradient_of_the_other_kl():
    """GRPO's published penalty follows ∇KL(π_ref ‖ π), not ∇KL(π ‖ π_ref)."""
    slope = sampled_loss_gradient(penalty("k3", "autodiff"))
    assert_close(slope, FORWARD_KL_GRADIENT)
    assert (slope - TRUE_KL_GRADIENT).norm() > 0.1 * TRUE_KL_GRADIENT.norm()


@pytest.mark.parametrize("estimator", ["k1", "k3", "abs"])
def test_straight_through_k2_repairs_any_estimator(estimator):
    slope = sampled_loss_gradient(penalty(estimator, "k2"))
    assert_close(slope, TRUE_KL_GRADIENT)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_importance_repairs_on_policy(estimator):
    slope = sampled_loss_gradient(penalty(estimator, "importance"))
    assert_close(slope, TRUE_KL_GRADIENT)


def test_off_policy_only_importance_is_right():
    old = OLD_LOGITS.log_softmax(0)
    slopes = {
        kind: sampled_loss_gradient(penalty("k3", kind, old), OLD_LOGITS)
        for kind in ("autodiff", "k2", "importance")
    }
    assert_close(slopes["importance"], TRUE_KL_GRADIENT)
    for kind in ("autodiff", "k2"):
        error = (slopes[kind] - TRUE_KL_GRADIENT).norm()
        assert error > 0.05 * TRUE_KL_GRADIENT.norm()


def score_gradient(estimate):
    """Expected REINFORCE gradient with reward −estimate, of the loss."""
    logps = LOGITS.log_softmax(0)
    advantage = -estimate(logps, REF).detach()

    def per_token(logps):
        return policy_gradient_loss(logps[None], advantage[None])[0]

    return sampled_loss_gradient(per_token)


def test_in_the_reward_k1_is_right_and_k2_and_k3_are_not():
    """The opposite of the loss: as a reward, k1 gives the true gradient."""
    assert_close(score_gradient(kl_k1), TRUE_KL_GRADIENT)
    for estimate in (kl_k2, kl_k3):
        error = (score_gradient(estimate) - TRUE_KL_GRADIENT).norm()
        assert error > 0.05 * TRUE_KL_GRADIENT.norm()


def test_k3_in_the_reward_misses_the_true_gradient_by_the_forward_one():
    """k3 = k1 + π_ref/π − 1, and Σ ∇π·(π_ref/π) = −∇KL(π_ref ‖ π)."""
    assert_close(score_gradient(kl_k3), TRUE_KL_GRADIENT - FORWARD_KL_GRADIENT)


# ----------------------------------------------------------------- policy gradients


def expected_reward(logits):
    return expectation(REWARDS, logits.softmax(0))


TRUE_POLICY_GRADIENT = gradient(expected_reward)


def surrogate(old=None, **keywords):
    """Clipped loss at every token, with the reward as advantage."""

    def per_token(logps):
        before = logps.detach() if old is None else old
        ones = torch.ones(8, 1)
        ratio = importance_ratio(logps[:, None], before[:, None], ones)
        return clipped_surrogate_loss(ratio, REWARDS, **keywords)[:, 0]

    return per_token


def test_policy_gradient_against_finite_differences():
    numeric = finite_differences(expected_reward, LOGITS)
    assert_close(TRUE_POLICY_GRADIENT, numeric, atol=1e-8, rtol=1e-6)


def test_reinforce_and_on_policy_ppo_are_the_true_gradient():
    reinforce = sampled_loss_gradient(
        lambda logps: policy_gradient_loss(logps[:, None], REWARDS)[:, 0]
    )
    assert_close(reinforce, -TRUE_POLICY_GRADIENT)
    for keywords in ({}, {"epsilon": 0.0}, {"delta": 3.0}):
        assert_close(
            sampled_loss_gradient(surrogate(**keywords)), -TRUE_POLICY_GRADIENT
        )


def test_off_policy_the_unclipped_ratio_is_unbiased_and_the_clip_is_not():
    old = OLD_LOGITS.log_softmax(0)
    open_ratio = sampled_loss_gradient(surrogate(old, epsilon=math.inf), OLD_LOGITS)
    assert_close(open_ratio, -TRUE_POLICY_GRADIENT)
    clipped = sampled_loss_gradient(surrogate(old, epsilon=0.1), OLD_LOGITS)
    assert not torch.allclose(clipped, -TRUE_POLICY_GRADIENT, atol=1e-3)


def groups(size, vocabulary):
    """All G-tuples of tokens, as rows."""
    return T(list(itertools.product(range(vocabulary), repeat=size)))


@pytest.mark.parametrize("size", [2, 3])
def test_expected_gradient_of_a_whole_group(size):
    """RLOO is unbiased; Dr. GRPO is (G−1)/G of it; GRPO's std changes the direction."""
    tokens = groups(size, 8)
    logits = LOGITS.clone().requires_grad_()
    logps = logits.log_softmax(0)[tokens]
    probs = logps.detach().sum(1).exp()
    assert probs.sum().item() == pytest.approx(1.0)
    rewards = REWARDS[tokens].view(-1)
    slopes = {}
    for name, advantages in {
        "rloo": leave_one_out_advantages(rewards, size),
        "dr_grpo": group_relative_advantages(rewards, size, scale_rewards="none"),
        "grpo": group_relative_advantages(rewards, size),
    }.items():
        loss = policy_gradient_loss(logps.view(-1, 1), advantages).view(-1, size)
        expected = expectation(loss.mean(1), probs)
        (slopes[name],) = torch.autograd.grad(expected, logits, retain_graph=True)
    assert_close(slopes["rloo"], -TRUE_POLICY_GRADIENT)
    assert_close(slopes["dr_grpo"], -TRUE_POLICY_GRADIENT * (size - 1) / size)
    cosine = torch.cosine_similarity(slopes["grpo"], -TRUE_POLICY_GRADIENT, dim=0)
    assert 0.5 < cosine < 0.999


def test_gradient_of_binary_group_follows_from_its_success_rate():
    """E[Â·∇log π] of GRPO with 0/1 rewards, by the formula for k of G."""
    size, right = 4, torch.arange(8) < 3
    logits = LOGITS.clone().requires_grad_()
    p = logits.softmax(0)[right].sum()
    scale = 0.0
    for k in range(1, size):
        share = k / size
        # Σ_i Â_i over the right ones is k·Â₊, and E[∇log π | right] = ∇p/p …
        binomial = math.comb(size, k) * p.detach() ** k * (1 - p.detach()) ** (size - k)
        up = math.sqrt((1 - share) / share * (size - 1) / size)
        down = -math.sqrt(share / (1 - share) * (size - 1) / size)
        scale = scale + binomial * (
            k * up / p.detach() - (size - k) * down / (1 - p.detach())
        )
    (by_formula,) = torch.autograd.grad(scale * p / size, logits, retain_graph=True)
    tokens = groups(size, 8)
    logps = logits.log_softmax(0)[tokens]
    advantages = group_relative_advantages(right[tokens].view(-1), size)
    loss = policy_gradient_loss(logps.view(-1, 1), advantages.double()).view(-1, size)
    total = expectation(loss.mean(1), logps.detach().sum(1).exp())
    (by_enumeration,) = torch.autograd.grad(total, logits)
    assert_close(by_enumeration, -by_formula, atol=1e-7, rtol=1e-6)


def test_length_bias_of_the_aggregation_rules():
    """Answers of 1 or 4 tokens, wrong and equally likely: GRPO lengthens them.

    With Â = −1 a token's expected push is minus its weight, so under GRPO a long wrong
    answer is punished a quarter as much per token as a short one.
    """
    mask = torch.arange(4) < T([1, 4])[:, None]
    push = {
        loss_type: token_weights(mask, loss_type=loss_type, max_completion_length=4)[
            :, 0
        ]
        for loss_type in ("grpo", "dapo", "dr_grpo")
    }
    assert (push["grpo"][0] / push["grpo"][1]).item() == pytest.approx(4.0)
    for loss_type in ("dapo", "dr_grpo"):
        assert push[loss_type][0] == push[loss_type][1]


# ----------------------------------------------------------------- GDPO, Figure 3


def distinct_groups(cases):
    """How many sorted advantage vectors the (C, G, K) cases give, three ways."""
    size = cases.shape[1]
    flat = cases.reshape(-1, cases.shape[2])
    totals = flat.sum(1)
    advantages = (
        group_relative_advantages(totals, size),
        group_relative_advantages(totals, size, scale_rewards="none"),
        decoupled_advantages(flat, size, batch_stats="none"),
    )
    return tuple(len(torch.unique(sort_rows(x, size), dim=0)) for x in advantages)


def sort_rows(advantages, size):
    """Sorted vectors, rounded to tell rounding error from difference, without −0."""
    return advantages.view(-1, size).sort(dim=1).values.round(decimals=8) + 0.0


def all_binary(length):
    return T(list(itertools.product((0.0, 1.0), repeat=length)), dtype=torch.float64)


def multisets(rows, count):
    """(C, count, length): every choice of `count` rows, order ignored."""
    chosen = itertools.combinations_with_replacement(range(len(rows)), count)
    return rows[T(list(chosen))]


ROLLOUTS = {  # G: (GRPO, GRPO without std, GDPO), two rewards
    2: (2, 3, 3),
    3: (4, 6, 6),
    4: (7, 10, 14),
    5: (11, 15, 26),
    6: (16, 21, 38),
    7: (22, 28, 59),
    8: (29, 36, 81),
    9: (37, 45, 109),
    10: (46, 55, 145),
    11: (56, 66, 186),
    12: (67, 78, 230),
    13: (79, 91, 288),
    14: (92, 105, 350),
    15: (106, 120, 419),
    16: (121, 136, 497),
}
REWARD_COUNTS = {  # n: the same, four rollouts
    2: (7, 10, 14),
    3: (14, 20, 45),
    4: (23, 35, 127),
    5: (41, 56, 318),
    6: (56, 84, 722),
    7: (89, 120, None),  # GDPO's bars end at six rewards
    8: (119, 165, None),
}


@pytest.mark.parametrize("size", ROLLOUTS)
def test_figure_3_over_rollouts(size):
    """All cells. Rollouts are interchangeable: multisets of reward rows."""
    expected = ROLLOUTS[size]
    assert distinct_groups(multisets(all_binary(2), size)) == expected
    assert expected[0] == 1 + size * (size - 1) // 2
    assert expected[1] == size * (size + 1) // 2


@pytest.mark.parametrize("columns", [2, 3, 4, 5, 6])
def test_figure_3_over_rewards(columns):
    """All cells. Rewards are interchangeable: multisets of reward columns."""
    cases = multisets(all_binary(4), columns).transpose(1, 2)
    assert distinct_groups(cases) == REWARD_COUNTS[columns]


@pytest.mark.parametrize("columns", REWARD_COUNTS)
def test_figure_3_without_gdpo_needs_the_totals_only(columns):
    totals = torch.arange(columns + 1, dtype=torch.float64)[:, None]
    assert distinct_groups(multisets(totals, 4))[:2] == REWARD_COUNTS[columns][:2]


def test_batch_normalization_keeps_distinct_groups_distinct():
    flat = multisets(all_binary(2), 4).reshape(-1, 2)
    advantages = decoupled_advantages(flat, 4, batch_stats="sequence")
    assert len(torch.unique(sort_rows(advantages, 4), dim=0)) == 14


def test_grpo_numerator_identity():
    """Weights ∝ σ_k turn GDPO's sum into GRPO's numerator (papers.md §6)."""
    rewards = T([[0.0, 3.0], [1.0, 1.0], [1.0, 2.0], [0.0, 0.5]], dtype=torch.float64)
    std = rewards.std(0)
    weighted = decoupled_advantages(
        rewards, 4, reward_weights=std / std.sum(), batch_stats="none"
    )
    centered = group_relative_advantages(rewards.sum(1), 4, scale_rewards="none")
    assert_close(weighted, centered / std.sum())
