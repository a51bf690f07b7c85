"""Every convention is complete, frozen, and gives its framework's number."""

import dataclasses
import inspect
import math

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.aggregation import aggregate_loss, token_weights
from rlnotes.equations.conventions import CONVENTIONS
from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.divergences import kl_penalty
from rlnotes.equations.gae import generalized_advantage_estimation
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.objectives import policy_loss, value_loss
from rlnotes.equations.shaping import (
    informative_groups,
    overlong_filter,
    soft_overlong_punishment,
)
from rlnotes.equations.surrogates import (
    cispo_loss,
    clipped_surrogate_loss,
    importance_ratio,
)
from rlnotes.equations.whitening import whiten

NAMES = ["paper", "trl", "verl", "nvlabs_trl", "nvlabs_verl", "nemo", "openrlhf"]
FUNCTIONS = {
    "gae": generalized_advantage_estimation,
    "whiten": whiten,
    "value": value_loss,
    "group_advantage": group_relative_advantages,
    "leave_one_out": leave_one_out_advantages,
    "decoupled": decoupled_advantages,
    "ratio": importance_ratio,
    "clip": clipped_surrogate_loss,
    "cispo": cispo_loss,
    "kl": kl_penalty,
    "aggregation": aggregate_loss,
    "overlong_filter": token_weights,
    "overlong": soft_overlong_punishment,
    "dynamic_sampling": informative_groups,
}


def test_the_seven_names():
    assert list(CONVENTIONS) == NAMES
    assert all(CONVENTIONS[name].name == name for name in NAMES)
    assert all(CONVENTIONS[name].source for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", FUNCTIONS)
def test_keywords_exist_in_the_function(name, field):
    keywords = getattr(CONVENTIONS[name], field)
    accepted = inspect.signature(FUNCTIONS[field]).parameters
    assert set(keywords or {}) <= set(accepted)


def test_every_field_has_a_function():
    fields = {field.name for field in dataclasses.fields(CONVENTIONS["paper"])}
    assert fields == set(FUNCTIONS) | {"name", "source"}


@pytest.mark.parametrize("field", ["gae", "group_advantage", "leave_one_out"])
def test_paper_is_the_default(field):
    function = FUNCTIONS[field]
    for keyword, value in getattr(CONVENTIONS["paper"], field).items():
        assert inspect.signature(function).parameters[keyword].default == value


@pytest.mark.parametrize("field", ["decoupled", "clip", "kl", "dynamic_sampling"])
def test_paper_is_the_default_of_these_too(field):
    test_paper_is_the_default(field)


def test_conventions_are_read_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CONVENTIONS["paper"].clip = {}
    with pytest.raises(TypeError):
        CONVENTIONS["paper"].clip["epsilon"] = 0.3
    with pytest.raises(TypeError):
        CONVENTIONS["mine"] = CONVENTIONS["paper"]


# What each makes of one right answer in four (objectives.md A2)
@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("paper", 1.5),
        ("trl", 1.49970),
        ("verl", 1.499997),
        ("nvlabs_trl", 1.49970),
        ("nvlabs_verl", 1.499997),
        ("nemo", 1.0),
        ("openrlhf", 1.5),
    ],
)
def test_group_advantage(name, first):
    keywords = CONVENTIONS[name].group_advantage
    advantages = group_relative_advantages(T([1.0, 0, 0, 0]), 4, **keywords)
    assert advantages[0].item() == pytest.approx(first, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_group_of_one(name):
    keywords = CONVENTIONS[name].group_advantage
    if name == "openrlhf":
        with pytest.raises(ValueError, match="num_generations"):
            group_relative_advantages(T([3.0]), 1, **keywords)
        return
    expected = 3 / (1 + 1e-6) if "verl" in name else 0.0
    advantage = group_relative_advantages(T([3.0]).double(), 1, **keywords)
    assert advantage.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("trl", [1.0, 0.0, -1.0]), ("nvlabs_trl", [1.154, -0.577, -0.577])],
)
def test_none_rewards(name, expected):
    keywords = CONVENTIONS[name].group_advantage
    # (1, None, 0): skipped ±.7071, or 1, 0, 0
    advantages = group_relative_advantages(T([1.0, math.nan, 0.0]), 3, **keywords)
    if name == "trl":
        expected = [value * math.sqrt(0.5) for value in expected]
    assert_close(advantages, T(expected), atol=1e-3, rtol=0)


# GDPO: first row of the example of objectives.md A9
TWO_REWARDS = T(
    [(0, 1), (0, 2), (1, 2), (1, 3), (0, 0), (0, 0), (0, 1), (0, 1)]
).float()
LENGTH_MASK = torch.arange(6) < T([6, 2, 4, 1, 3, 5, 6, 2])[:, None]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("paper", -1.520),
        ("trl", -1.520),
        ("verl", -1.420),
        ("nvlabs_trl", -1.520),
        ("nvlabs_verl", -1.420),
        ("nemo", -1.620),
    ],
)
def test_decoupled(name, first):
    keywords = dict(CONVENTIONS[name].decoupled)
    if keywords["batch_stats"] == "token":
        keywords["completion_mask"] = LENGTH_MASK
    advantages = decoupled_advantages(TWO_REWARDS, 4, **keywords)
    assert advantages[0].item() == pytest.approx(first, abs=5e-4)
    assert CONVENTIONS["openrlhf"].decoupled is None


def test_one_reward_under_gdpo():
    first = {}
    for name in ("trl", "nvlabs_trl"):
        keywords = CONVENTIONS[name].decoupled
        advantages = decoupled_advantages(TWO_REWARDS[:, :1], 4, **keywords)
        first[name] = advantages[0].item()
    assert first == pytest.approx({"trl": -1.3227, "nvlabs_trl": -0.8659}, abs=5e-5)
    for name in ("nemo", "nvlabs_verl"):
        keywords = CONVENTIONS[name].decoupled
        with pytest.raises(ValueError, match="rewards must have 2"):
            decoupled_advantages(TWO_REWARDS[:, :1], 4, **keywords)


@pytest.mark.parametrize(
    ("name", "loss"),
    [("paper", 10.0), ("trl", 10.0), ("verl", 3.0), ("nvlabs_verl", 10.0)],
)
def test_dual_clip(name, loss):
    """Â = −1 and ratio 10 (objectives.md B5)."""
    got = clipped_surrogate_loss(T([[10.0]]), T([-1.0]), **CONVENTIONS[name].clip)
    assert got.item() == loss


@pytest.mark.parametrize(
    ("name", "value"),
    [("paper", 2971.958), ("verl", 10.0), ("nemo", 10.0), ("openrlhf", 10.0)],
)
def test_kl_clamp(name, value):
    """log π_ref − log π = 8 (objectives.md B6)."""
    got = kl_penalty(T([[-9.0]]), T([[-1.0]]), **CONVENTIONS[name].kl)
    assert got.item() == pytest.approx(value)


def test_kl_gradient():
    slopes = {}
    for name in ("paper", "trl"):
        logps = T([[-1.0]], requires_grad=True)
        policy_loss(
            logps,
            logps,
            T([0.0]),
            T([[1]]),
            beta=1.0,
            ref_per_token_logps=T([[-1.5]]),
            num_generations=1,
            **CONVENTIONS[name].policy_keywords(),
        ).backward()
        slopes[name] = logps.grad.item()
    assert slopes == pytest.approx({"paper": 0.39347, "trl": 0.5}, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_aggregation(name):
    """10 tokens at loss 1 for one prompt, 100 at 0 for the other (B1)."""
    mask = torch.arange(100) < T([10, 100])[:, None]
    loss = T([[1.0], [0.0]])
    got = aggregate_loss(loss, mask, num_generations=1, **CONVENTIONS[name].aggregation)
    assert got.item() == pytest.approx(0.5 if name == "paper" else 10 / 110)


@pytest.mark.parametrize(("name", "expected"), [("trl", 0.5), ("nemo", 1.0)])
def test_filtered_rows_in_the_denominator(name, expected):
    mask = overlong_filter(torch.ones(2, 4), T([False, True]))
    keywords = CONVENTIONS[name].overlong_filter
    got = aggregate_loss(torch.ones(2, 4), mask, loss_type="grpo", **keywords)
    assert got.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "penalty"),
    [("paper", -1.0), ("trl", -1.0), ("verl", -1.5), ("nemo", -1.5)],
)
def test_beyond_the_length_limit(name, penalty):
    limits = {"max_completion_len": 100, "soft_punish_cache": 20}
    keywords = {**CONVENTIONS[name].overlong, **limits}
    assert soft_overlong_punishment(T([110]), **keywords).item() == penalty


def test_paper_penalty_starts_at_16384():
    lengths = T([16384, 16385, 20480])
    penalties = soft_overlong_punishment(lengths, **CONVENTIONS["paper"].overlong)
    assert_close(penalties, T([0.0, -1 / 4096, -1.0]), atol=0, rtol=0)


def test_dynamic_sampling():
    equal_halves = torch.full((2,), 0.5)
    kept = {
        name: informative_groups(equal_halves, 2, **rule.dynamic_sampling).item()
        for name, rule in CONVENTIONS.items()
        if rule.dynamic_sampling is not None
    }
    assert kept == {"paper": True, "verl": False, "nemo": False, "openrlhf": True}


def test_whitening():
    """Unbiased in verl, biased in OpenRLHF (B19)."""
    spread = {
        name: whiten(T([[1.0, 3.0]]), T([[1, 1]]), **CONVENTIONS[name].whiten)[0, 1]
        for name in ("verl", "openrlhf")
    }
    assert spread["verl"].item() == pytest.approx(math.sqrt(0.5))
    assert spread["openrlhf"].item() == pytest.approx(1.0)


def test_gaps_in_gae():
    gap = T([[1, 0, 1]])
    rewards = T([[0.0, 0.0, 1.0]])
    values = T([[0.5, 0.5, 0.5]])
    first = {
        name: generalized_advantage_estimation(
            rewards, values, gap, **{**CONVENTIONS[name].gae, "lam": 0.5}
        )[0][0, 0].item()
        for name in NAMES
        if CONVENTIONS[name].gae is not None
    }
    # carry: .5 − .5 + .5·.5; zero: Â_2 = .5 + .25, Â_1 = −.5 + .375
    expected = dict.fromkeys(("paper", "verl", "nemo"), 0.25)
    expected |= dict.fromkeys(("trl", "nvlabs_verl", "openrlhf"), -0.125)
    assert first == pytest.approx(expected)


def test_clamped_ratio():
    logps, old = T([[-1.0]]), T([[-31.0]])
    clamped = importance_ratio(logps, old, T([[1]]), **CONVENTIONS["verl"].ratio)
    assert clamped.item() == pytest.approx(math.exp(20))
    free = importance_ratio(logps, old, T([[1]]), **CONVENTIONS["paper"].ratio)
    assert free.item() == pytest.approx(math.exp(30))


def test_cispo_caps():
    ratio, logps = T([[9.0, 0.1]]), T([[-1.0, -1.0]])
    losses = {
        name: cispo_loss(ratio, logps, T([1.0]), **CONVENTIONS[name].cispo).tolist()
        for name in ("trl", "verl")
    }
    assert losses["trl"][0] == pytest.approx([5.0, 0.1])
    assert losses["verl"][0] == pytest.approx([1.2, 0.8])


def test_value_clip():
    losses = {
        name: value_loss(
            T([[1.0]]), T([[0.0]]), T([[1.0]]), T([[1]]), **CONVENTIONS[name].value
        ).item()
        for name in ("paper", "trl", "verl")
    }
    # the clipped value .2 or .5 is the one farther from the target 1
    assert losses == pytest.approx({"paper": 0.0, "trl": 0.32, "verl": 0.125})


def test_leave_one_out_of_one():
    raw = leave_one_out_advantages(T([3.0]), 1, **CONVENTIONS["verl"].leave_one_out)
    assert raw.item() == 3.0
    zero = leave_one_out_advantages(T([3.0]), 1, **CONVENTIONS["trl"].leave_one_out)
    assert zero.item() == 0.0
