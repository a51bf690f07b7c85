"""What must hold for every input (hypothesis)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from rlnotes.equations.aggregation import LOSS_TYPES, aggregate_loss, token_weights
from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.divergences import exact_kl, kl_k3
from rlnotes.equations.gae import generalized_advantage_estimation
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.masking import completion_mask_from_ids, masked_mean, masked_var
from rlnotes.equations.objectives import per_token_policy_loss, policy_loss, value_loss
from rlnotes.equations.shaping import (
    informative_groups,
    kl_penalized_rewards,
    soft_overlong_punishment,
)
from rlnotes.equations.surrogates import clip_fractions, clipped_surrogate_loss
from rlnotes.equations.whitening import whiten

fast = settings(deadline=None, max_examples=25, derandomize=True)
EXACT = {"atol": 0, "rtol": 0}
TIGHT = {"atol": 1e-9, "rtol": 1e-9}
quarters = st.integers(-8, 8).map(lambda n: n / 4)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@st.composite
def grouped(draw, columns=None):
    """Rewards of P groups of G, and G."""
    size, groups = draw(st.integers(2, 6)), draw(st.integers(1, 4))
    count = size * groups * (columns or 1)
    rewards = tensor(draw(st.lists(quarters, min_size=count, max_size=count)))
    return (rewards.view(-1, columns) if columns else rewards), size


@st.composite
def batches(draw):
    """Log-probs, advantages and a ragged mask with at least two tokens."""
    rows, width = 2 * draw(st.integers(1, 3)), draw(st.integers(2, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    options = {"generator": generator, "dtype": torch.float64}
    lengths = torch.randint(0, width + 1, (rows,), generator=generator)
    lengths[0] = width
    old = -torch.rand(rows, width, **options) * 3
    return {
        "logps": old + 0.5 * torch.randn(rows, width, **options),
        "old": old,
        "ref": old + 0.5 * torch.randn(rows, width, **options),
        "advantages": torch.randn(rows, **options),
        "values": torch.randn(rows, width, **options),
        "mask": (torch.arange(width) < lengths[:, None]).long(),
    }


# ----------------------------------------------------------------- advantages


@fast
@given(grouped(), st.floats(0.1, 10), st.floats(-10, 10))
def test_group_advantages_ignore_shift_and_scale(data, scale, shift):
    rewards, size = data
    for baseline in ("mean", "leave_one_out"):
        if baseline == "leave_one_out" and size == 2:
            continue  # no std of a single sibling: nothing to divide by
        plain = group_relative_advantages(rewards, size, baseline=baseline)
        moved = group_relative_advantages(
            rewards + shift, size, baseline=baseline, scale_rewards="none"
        )
        centered = group_relative_advantages(
            rewards, size, baseline=baseline, scale_rewards="none"
        )
        assert_close(moved, centered, **TIGHT)
        if baseline == "mean":
            both = group_relative_advantages(scale * rewards + shift, size)
            assert_close(both, plain, **TIGHT)


@fast
@given(grouped(), st.floats(0.1, 10))
def test_unscaled_advantages_scale_with_the_rewards(data, scale):
    rewards, size = data
    for function in (
        leave_one_out_advantages,
        lambda r, g: group_relative_advantages(r, g, scale_rewards="none"),
    ):
        assert_close(function(scale * rewards, size), scale * function(rewards, size))


@fast
@given(grouped())
def test_sign_flips_with_the_rewards(data):
    rewards, size = data
    for keywords in ({}, {"eps": 0.1}, {"scale_rewards": "batch"}):
        plus = group_relative_advantages(rewards, size, **keywords)
        minus = group_relative_advantages(-rewards, size, **keywords)
        assert_close(minus, -plus, **TIGHT)


@fast
@given(grouped())
def test_better_than_the_mean_is_positive(data):
    rewards, size = data
    groups = rewards.view(-1, size)
    above = (groups > groups.mean(1, keepdim=True) + 1e-9).view(-1)
    below = (groups < groups.mean(1, keepdim=True) - 1e-9).view(-1)
    for baseline in ("mean", "leave_one_out"):
        advantages = group_relative_advantages(rewards, size, baseline=baseline)
        assert advantages[above].gt(0).all()
        assert advantages[below].lt(0).all()


@fast
@given(grouped())
def test_group_has_mean_0_and_std_1_or_is_all_0(data):
    rewards, size = data
    groups = group_relative_advantages(rewards, size).view(-1, size)
    constant = rewards.view(-1, size).amax(1) == rewards.view(-1, size).amin(1)
    assert groups[constant].eq(0).all()
    assert_close(groups.mean(1), torch.zeros(len(groups)).double(), **TIGHT)
    for group in groups[~constant]:
        assert_close(group.std(), tensor(1.0), **TIGHT)


@fast
@given(grouped(columns=2), st.randoms(use_true_random=False))
def test_order_in_a_group_and_of_groups_does_not_matter(data, random):
    rewards, size = data
    rows = torch.arange(len(rewards)).view(-1, size).tolist()
    random.shuffle(rows)
    for row in rows:
        random.shuffle(row)
    order = torch.tensor(rows).view(-1)
    for baseline in ("mean", "leave_one_out"):
        one = group_relative_advantages(rewards[:, 0], size, baseline=baseline)
        shuffled = group_relative_advantages(rewards[order, 0], size, baseline=baseline)
        assert_close(shuffled, one[order], **TIGHT)
    total = decoupled_advantages(rewards, size)
    assert_close(decoupled_advantages(rewards[order], size), total[order], **TIGHT)


@fast
@given(grouped(columns=3), st.floats(0.1, 10), st.floats(-10, 10), st.integers(0, 2))
def test_gdpo_ignores_shift_and_scale_of_each_reward(data, scale, shift, column):
    rewards, size = data
    moved = rewards.clone()
    moved[:, column] = scale * moved[:, column] + shift
    plain = decoupled_advantages(rewards, size, batch_stats="none")
    assert_close(decoupled_advantages(moved, size, batch_stats="none"), plain, **TIGHT)


@fast
@given(grouped(columns=3), st.permutations([0, 1, 2]))
def test_gdpo_ignores_the_order_of_rewards(data, order):
    rewards, size = data
    weights = tensor([1.0, 0.5, 2.0])
    one = decoupled_advantages(rewards, size, reward_weights=weights)
    other = decoupled_advantages(rewards[:, order], size, reward_weights=weights[order])
    assert_close(other, one, atol=1e-8, rtol=1e-8)


@fast
@given(grouped(columns=2))
def test_gdpo_batch_has_mean_0_and_each_group_sums_to_0(data):
    rewards, size = data
    advantages = decoupled_advantages(rewards, size)
    groups = advantages.view(-1, size).sum(1)
    assert_close(groups, torch.zeros_like(groups), atol=1e-8, rtol=0)
    assert advantages.std() <= 1 + 1e-9


@fast
@given(grouped(), st.lists(st.booleans(), min_size=24, max_size=24))
def test_skipping_none_is_leaving_the_completion_out(data, dropped):
    rewards, size = data
    missing = torch.tensor(dropped[: len(rewards)])
    with_none = rewards.masked_fill(missing, math.nan)
    advantages = group_relative_advantages(with_none, size, none_rewards="skip")
    assert advantages[missing].eq(0).all()
    for start in range(0, len(rewards), size):
        kept = ~missing[start : start + size]
        rest = rewards[start : start + size][kept]
        if len(rest) > 1:
            alone = group_relative_advantages(rest, len(rest))
            assert_close(advantages[start : start + size][kept], alone, **TIGHT)
        else:
            assert advantages[start : start + size].eq(0).all()


@fast
@given(grouped(columns=2))
def test_without_none_the_three_rules_agree(data):
    rewards, size = data
    for function, given_rewards in (
        (group_relative_advantages, rewards[:, 0]),
        (decoupled_advantages, rewards),
    ):
        error, skip, zero = (
            function(given_rewards, size, none_rewards=rule)
            for rule in ("error", "skip", "zero")
        )
        assert_close(skip, error, **EXACT)
        assert_close(zero, error, **EXACT)


@fast
@given(batches(), st.floats(0, 1), st.floats(0, 1))
def test_gae_is_the_discounted_sum_of_td_errors(batch, gamma, lam):
    rewards, values, mask = batch["logps"], batch["values"], batch["mask"]
    advantages, returns = generalized_advantage_estimation(
        rewards, values, mask, gamma=gamma, lam=lam
    )
    for row, length in enumerate(mask.sum(1).tolist()):
        r, v = rewards[row, :length], values[row, :length]
        following = torch.cat([v[1:], v.new_zeros(1)])
        deltas = r + gamma * following - v
        for t in range(length):
            powers = (gamma * lam) ** torch.arange(length - t).double()
            expected = (powers * deltas[t:]).sum()
            assert_close(advantages[row, t], expected, **TIGHT)
    kept = mask.bool()
    assert_close(returns[kept], (advantages + values)[kept], **EXACT)


@fast
@given(batches())
def test_whitened_tokens_have_mean_0_and_var_1(batch):
    for correction in (0, 1):
        white = whiten(batch["values"], batch["mask"], correction=correction, eps=0.0)
        assert_close(masked_mean(white, batch["mask"]), tensor(0.0), **TIGHT)
        variance = masked_var(white, batch["mask"], correction=correction)
        assert_close(variance, tensor(1.0), **TIGHT)


# ----------------------------------------------------------------- losses


def everything(batch):
    """Every masked quantity of a batch, as one list of scalars and (N, T) rows."""
    logps, old, ref = batch["logps"], batch["old"], batch["ref"]
    advantages, mask = batch["advantages"], batch["mask"]
    keywords = {"num_generations": 2, "max_completion_length": 8, "epsilon_high": 0.3}
    results = {
        f"{loss_type} {level}": policy_loss(
            logps,
            old,
            advantages,
            mask,
            loss_type=loss_type,
            importance_sampling_level=level,
            beta=0.1,
            ref_per_token_logps=ref,
            kl_gradient="importance",
            **keywords,
        )
        for loss_type in LOSS_TYPES
        for level in ("token", "sequence")
    }
    results["value"] = value_loss(batch["values"], old, ref, mask)
    ratio = (logps - old).masked_fill(mask == 0, 0.0).exp()
    results |= {
        name: tensor(fraction)
        for name, fraction in clip_fractions(ratio, advantages, mask).items()
    }
    results["mean"] = masked_mean(batch["values"], mask)
    results["var"] = masked_var(batch["values"], mask)
    results["whiten"] = whiten(batch["values"], mask)
    results["gae"], results["returns"] = generalized_advantage_estimation(
        ref, batch["values"], mask
    )
    results["rewards"] = kl_penalized_rewards(advantages, logps - ref, mask, beta=0.1)
    results["gdpo"] = decoupled_advantages(
        torch.stack([advantages, advantages.square()], dim=1),
        2,
        batch_stats="token",
        completion_mask=mask,
    )
    return results


PER_TOKEN = ("logps", "old", "ref", "values")


@fast
@given(batches(), st.sampled_from([0.0, 1e30, math.nan, math.inf, -math.inf]))
def test_what_lies_in_the_padding_never_matters(batch, garbage):
    outside = batch["mask"] == 0
    dirty = dict(batch)
    for name in PER_TOKEN:
        dirty[name] = batch[name].masked_fill(outside, garbage)
    clean, other = everything(batch), everything(dirty)
    for name in clean:
        assert_close(other[name], clean[name], **EXACT)


@fast
@given(batches(), st.integers(1, 4))
def test_trailing_pad_columns_never_matter(batch, columns):
    padded = dict(batch)
    for name in (*PER_TOKEN, "mask"):
        more = batch[name].new_full((len(batch[name]), columns), 0)
        if name != "mask":
            more += math.nan
        padded[name] = torch.cat([batch[name], more], dim=1)
    clean, other = everything(batch), everything(padded)
    width = batch["mask"].shape[1]
    for name, value in clean.items():
        got = other[name]
        if got.dim() == 2:
            assert got[:, width:].eq(0).all()
            got = got[:, :width]
        assert_close(got, value, atol=1e-12, rtol=1e-12)


@fast
@given(batches(), st.integers(1, 5))
def test_micro_batches_weighed_beforehand_add_up(batch, step):
    """Any loss type: weigh the whole batch, cut the weights and the loss alike."""
    logps, old, mask = batch["logps"], batch["old"], batch["mask"]
    for loss_type in LOSS_TYPES:
        keywords = {"num_generations": 2, "max_completion_length": 8}
        whole = policy_loss(
            logps, old, batch["advantages"], mask,
            loss_type=loss_type, epsilon_high=0.3, **keywords,
        )  # fmt: skip
        weights = token_weights(
            mask, loss_type=loss_type, dtype=torch.float64, **keywords
        )
        parts = 0.0
        for start in range(0, len(mask), step):
            cut = slice(start, start + step)
            loss = per_token_policy_loss(
                logps[cut], old[cut], batch["advantages"][cut], mask[cut],
                loss_type=loss_type, epsilon_high=0.3,
            )  # fmt: skip
            parts = parts + (weights[cut] * loss).sum()
        assert_close(parts, whole, atol=1e-12, rtol=1e-12)


@fast
@given(batches(), st.integers(1, 5))
def test_micro_batches_with_num_items_add_up(batch, step):
    loss, mask = batch["values"], batch["mask"]
    whole = aggregate_loss(loss, mask, loss_type="dapo")
    parts = [
        aggregate_loss(
            loss[start : start + step],
            mask[start : start + step],
            loss_type="dapo",
            num_items_in_batch=mask.sum(),
        )
        for start in range(0, len(mask), step)
    ]
    assert_close(sum(parts), whole, atol=1e-12, rtol=1e-12)


@fast
@given(batches())
def test_mean_weights_add_to_one(batch):
    mask = batch["mask"]
    for loss_type in ("dapo", "bnpo", "cispo", "grpo", "dapo_prompt"):
        weights = token_weights(
            mask, loss_type=loss_type, num_generations=2, count_empty=False
        )
        assert weights.sum().item() == pytest.approx(1.0, abs=1e-6)
        assert weights[mask == 0].eq(0).all()


@fast
@given(
    st.floats(0.01, 20),
    st.floats(-5, 5),
    st.floats(0, 0.9),
    st.floats(0, 2),
    st.floats(0.01, 20),
)
def test_clip_is_pessimistic_and_dual_clip_bounds_it(ratio, advantage, low, high, more):
    delta = 1 + high + more
    r, a = tensor([[ratio]]), tensor([advantage])
    plain = clipped_surrogate_loss(r, a, epsilon=low, epsilon_high=high).item()
    assert plain >= -ratio * advantage - 1e-12
    if 1 - low <= ratio <= 1 + high:
        assert plain == pytest.approx(-ratio * advantage)
    dual, both = (
        clipped_surrogate_loss(
            r, a, epsilon=low, epsilon_high=high, delta=delta, delta_rule=rule
        ).item()
        for rule in ("negative", "both")
    )
    assert dual == pytest.approx(both, abs=1e-12)
    assert dual == plain if advantage >= 0 else dual <= -delta * advantage + 1e-9


# ----------------------------------------------------------------- the rest


@fast
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.sets(st.integers(0, 4)))
def test_mask_is_what_a_loop_finds(ids, eos):
    if not eos:
        return
    expected, ended = [], False
    for token in ids:
        expected.append(0 if ended else 1)
        ended = ended or token in eos
    mask = completion_mask_from_ids(torch.tensor([ids]), sorted(eos))
    assert mask[0].tolist() == expected


@fast
@given(st.integers(1, 60), st.data())
def test_punishment_falls_from_0_to_minus_1(limit, data):
    cache = data.draw(st.integers(0, limit))
    penalties = soft_overlong_punishment(
        torch.arange(limit + 10), max_completion_len=limit, soft_punish_cache=cache
    )
    assert penalties.diff().le(0).all()
    assert penalties[: limit - cache + 1].eq(0).all()
    assert penalties[limit + 1 :].eq(-1).all()
    assert penalties[limit] == (-1.0 if cache else 0.0)


@fast
@given(st.lists(st.integers(0, 1), min_size=4, max_size=24))
def test_the_two_sampling_rules_agree_on_right_and_wrong(answers):
    answers = torch.tensor(answers[: len(answers) // 4 * 4])
    by_mean = informative_groups(answers, 4)
    assert torch.equal(by_mean, informative_groups(answers, 4, rule="std"))
    advantages = group_relative_advantages(answers, 4).view(-1, 4)
    assert torch.equal(by_mean, advantages.ne(0).any(1))


@fast
@given(
    st.lists(st.floats(-3, 3), min_size=5, max_size=5),
    st.lists(st.floats(-3, 3), min_size=5, max_size=5),
)
def test_kl_is_never_negative_and_zero_of_itself(logits, ref_logits):
    one, other = tensor(logits), tensor(ref_logits)
    assert exact_kl(one, other) >= -1e-12
    assert exact_kl(one, one).item() == pytest.approx(0, abs=1e-12)
    assert exact_kl(one + 3.0, other).item() == pytest.approx(
        exact_kl(one, other).item()
    )
    assert kl_k3(one, other).ge(0).all()
