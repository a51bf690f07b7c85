"""The other code bases' own numbers, as `tests/equations/golden/make_*.py` stored them.

verl 0.9.1, verl 0.2 and OpenRLHF 0.11.0 were run; so were NeMo RL's estimators, taken
out of its files; NVlabs' forks have a few numbers written down. Inputs and outputs are
float32 and stand in the JSON files, which these tests only read: ours must agree to
1e-6 of the largest number in a result. What a code base gets wrong is kept under a
name that says so, with what is right instead.
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from rlnotes.equations.aggregation import aggregate_loss
from rlnotes.equations.conventions import CONVENTIONS
from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.divergences import kl_penalty
from rlnotes.equations.gae import (
    generalized_advantage_estimation,
    length_adaptive_lambda,
)
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.objectives import policy_loss, value_loss
from rlnotes.equations.shaping import kl_penalized_rewards, soft_overlong_punishment
from rlnotes.equations.surrogates import cispo_loss, importance_ratio
from rlnotes.equations.whitening import whiten

G = 4
GROUPS = ["rewards", "rewards_constant_group"]
SCALARS = ["completion_mask", "mask_with_empty_row"]
GAPS = ["completion_mask", "mask_with_gaps"]


@cache
def golden(name: str) -> dict[str, Any]:
    return json.loads(
        Path(__file__).with_name("golden").joinpath(f"{name}.json").read_text()
    )


def inputs(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.tensor(value) for key, value in golden(name)["inputs"].items()}


X = inputs("verl")
OLD = X["old_per_token_logps"]
ADVANTAGES = X["advantages"]


def agree(ours: Any, theirs: Any, *, rtol: float = 1e-6) -> None:
    """Equal to rtol of the largest entry, which is what float32 can promise."""
    theirs = torch.as_tensor(theirs, dtype=torch.float64)
    ours = torch.as_tensor(ours).detach().double()
    assert_close(
        ours, theirs, rtol=0, atol=rtol * float(theirs.abs().max().clamp(1e-6))
    )


def agree_with_gradient(case: dict[str, Any], function: Any, variable: Any) -> None:
    variable = variable.clone().requires_grad_()
    value = function(variable)
    agree(value, case["value"])
    (gradient,) = torch.autograd.grad(value.sum(), variable)
    agree(gradient, case["gradient"])


@pytest.mark.parametrize("name", ["verl_0_2", "openrlhf", "nemo"])
def test_all_files_have_the_same_inputs(name):
    assert golden(name)["inputs"] == golden("verl")["inputs"]


def test_versions():
    packages = [golden(name)["about"]["package"] for name in ("verl", "openrlhf")]
    assert packages == ["verl 0.9.1", "openrlhf 0.11.0"]
    assert golden("verl_0_2")["about"]["package"] == "verl 0.2.0.post2"


def test_the_inputs_reach_every_clip():
    log_ratio = (X["per_token_logps"] - OLD)[X["completion_mask"] == 1]
    sign = ADVANTAGES[:, None].expand(8, 6)[X["completion_mask"] == 1]
    assert (sign == 0).any()
    assert ((log_ratio.exp() > 3) & (sign < 0)).any()
    assert ((log_ratio.exp() < 0.8) & (sign < 0)).any()
    assert ((log_ratio.exp() > 1.28) & (sign > 0)).any()


# ----------------------------------------------------------------- policy loss

DAPO_SCRIPT = {"epsilon": 0.2, "epsilon_high": 0.28, "delta": 10.0}
# verl's mode → ours
VERL_AGGREGATIONS = {
    "token-mean": {"loss_type": "dapo"},
    "token-mean of a batch of 50 tokens": {
        "loss_type": "dapo",
        "num_items_in_batch": 50,
    },
    "token-sum": {"loss_type": "dapo", "num_items_in_batch": 1},
    "seq-mean-token-sum": {"loss_type": "luspo", "count_empty": False},
    "seq-mean-token-sum of 8": {"loss_type": "luspo", "count_empty": True},
    "seq-mean-token-mean": {"loss_type": "grpo", "count_empty": False},
    "seq-mean-token-mean of 8": {"loss_type": "grpo", "count_empty": True},
    "seq-mean-token-sum-norm": {  # the default divides by the padded width
        "loss_type": "dr_grpo",
        "max_completion_length": 6,
        "count_empty": False,
    },
    "seq-mean-token-sum-norm by 16": {
        "loss_type": "dr_grpo",
        "max_completion_length": 16,
        "count_empty": False,
    },
}


@pytest.mark.parametrize("mode", VERL_AGGREGATIONS)
@pytest.mark.parametrize("mask", SCALARS)
@pytest.mark.parametrize("clip", ["default", "dapo script"])
def test_verl_policy_loss(clip, mask, mode):
    keywords = CONVENTIONS["verl"].policy_keywords() | VERL_AGGREGATIONS[mode]
    if clip == "dapo script":
        keywords |= DAPO_SCRIPT
    case = golden("verl")["cases"]["policy_loss"][f"{clip} | {mask} | {mode}"]
    agree_with_gradient(
        case,
        lambda logps: policy_loss(logps, OLD, ADVANTAGES, X[mask], **keywords),
        X["per_token_logps"],
    )


def test_every_aggregation_of_verl_is_compared():
    cases = golden("verl")["cases"]["policy_loss"]
    assert {case.split(" | ")[2] for case in cases} == set(VERL_AGGREGATIONS)


@pytest.mark.parametrize("name", ["verl", "openrlhf"])
def test_gspo(name):
    """Neither clamps the ratio of the sequence nor its loss (at |log-ratio| < 10)."""
    keywords = {**CONVENTIONS[name].policy_keywords(), "loss_type": "grpo"}
    keywords |= {"delta": None, "max_log_ratio": None}
    agree_with_gradient(
        golden(name)["cases"]["gspo"],
        lambda logps: policy_loss(
            logps,
            OLD,
            ADVANTAGES,
            X["completion_mask"],
            importance_sampling_level="sequence",
            **keywords,
        ),
        X["per_token_logps"],
    )


def test_verl_cispo():
    verl = CONVENTIONS["verl"]

    def loss(logps):
        ratio = importance_ratio(logps, OLD, X["completion_mask"], **verl.ratio)
        per_token = cispo_loss(ratio, logps, ADVANTAGES, **verl.cispo)
        return aggregate_loss(per_token, X["completion_mask"], **verl.aggregation)

    agree_with_gradient(golden("verl")["cases"]["cispo"], loss, X["per_token_logps"])


def test_verl_0_2_policy_loss():
    """What NVlabs' verl fork starts from: no dual clip."""
    keywords = CONVENTIONS["nvlabs_verl"].policy_keywords()
    assert keywords["delta"] is None
    mask = X["completion_mask"]
    agree_with_gradient(
        golden("verl_0_2")["cases"]["policy_loss"],
        lambda logps: policy_loss(logps, OLD, ADVANTAGES, mask, **keywords),
        X["per_token_logps"],
    )


@pytest.mark.parametrize("dual", [None, 3.0])
@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize("mask", SCALARS)
def test_openrlhf_policy_loss(mask, token, dual):
    keywords = CONVENTIONS["openrlhf"].policy_keywords()
    if not token:
        keywords |= {"loss_type": "grpo"}
    if dual is not None:
        keywords |= {"epsilon_high": 0.28, "delta": dual}
    case = f"{mask} | token {token} | dual {dual}"
    agree_with_gradient(
        golden("openrlhf")["cases"]["policy_loss"][case],
        lambda logps: policy_loss(logps, OLD, ADVANTAGES, X[mask], **keywords),
        X["per_token_logps"],
    )


# ----------------------------------------------------------------- KL

ARGUMENTS = {
    "per_token_": ("per_token_logps", "ref_per_token_logps"),
    "extreme_": ("extreme_logps", "extreme_ref_logps"),
}


def check_kl(case, argument, **keywords):
    logps, ref_logps = (X[name] for name in ARGUMENTS[argument])
    agree_with_gradient(
        case, lambda variable: kl_penalty(variable, ref_logps, **keywords), logps
    )


@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize("estimator", ["k1", "abs", "k2", "k3", "k1+", "k3+"])
def test_verl_kl(estimator, argument):
    """verl clamps only k3; "+" is the value of k with the gradient of k2."""
    keywords = {"estimator": estimator.rstrip("+"), "gradient": "autodiff"}
    if estimator.endswith("+"):
        keywords["gradient"] = "k2"
    if "k3" in estimator:
        keywords["clamp"] = CONVENTIONS["verl"].kl["clamp"]
    case = golden("verl")["cases"]["kl_penalty"][f"{estimator} | {argument}"]
    check_kl(case, argument, **keywords)


@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_openrlhf_kl(estimator, argument):
    keywords = {**CONVENTIONS["openrlhf"].kl, "estimator": estimator}
    case = golden("openrlhf")["cases"]["kl_penalty"][f"{estimator} | {argument}"]
    check_kl(case, argument, **keywords)


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_verl_0_2_kl(argument):
    case = golden("verl_0_2")["cases"]["kl_penalty"][argument]
    check_kl(case, argument, **CONVENTIONS["nvlabs_verl"].kl)


@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_nemo_kl(estimator, argument):
    keywords = {**CONVENTIONS["nemo"].kl, "estimator": estimator}
    case = f"{estimator} | {argument} | on-policy False"
    check_kl(golden("nemo")["cases"]["kl_penalty"][case], argument, **keywords)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_later_nemo_kl_is_trls(estimator):
    """exp(log π − sg log π) times the KL: unbiased like TRL's, at ratio 1."""
    case = f"{estimator} | per_token_ | on-policy True"
    ref_logps = X["ref_per_token_logps"]
    agree_with_gradient(
        golden("nemo")["cases"]["kl_penalty"][case],
        lambda logps: kl_penalty(
            logps,
            ref_logps,
            estimator=estimator,
            gradient="importance",
            ratio=importance_ratio(logps, logps.detach(), torch.ones_like(logps)),
        ),
        X["per_token_logps"],
    )


# ----------------------------------------------------------------- critic


def check_gae(name, case, token_rewards, mask, *, lam, gamma=1.0, steps=None):
    keywords = {**CONVENTIONS[name].gae, "gamma": gamma, "lam": lam}
    advantages, returns = generalized_advantage_estimation(
        token_rewards, X["values"], mask if steps is None else steps, **keywords
    )
    whitened = whiten(advantages, mask, **CONVENTIONS[name].whiten)
    for ours, theirs in ((whitened, case["whitened"]), (returns, case["returns"])):
        agree(ours[mask == 1], torch.tensor(theirs)[mask == 1])


@pytest.mark.parametrize("gamma,lam", [(1.0, 1.0), (0.99, 0.95)])
@pytest.mark.parametrize("mask", GAPS)
def test_verl_gae(mask, gamma, lam):
    case = golden("verl")["cases"]["gae"][f"{mask} | {gamma} | {lam}"]
    rewards = X["token_rewards"] * X[mask]
    check_gae("verl", case, rewards, X[mask], lam=lam, gamma=gamma)


@pytest.mark.parametrize("lam", [1.0, 0.95])
@pytest.mark.parametrize("mask", GAPS)
@pytest.mark.parametrize("name", ["openrlhf", "nemo"])
def test_gae_of_a_score_at_the_last_token(name, mask, lam):
    case = golden(name)["cases"]["gae"][f"{mask} | {lam}"]
    rewards = kl_penalized_rewards(X["rewards"], torch.zeros(8, 6), X[mask], beta=0.0)
    check_gae(name, case, rewards, X[mask], lam=lam)


def test_nemo_length_adaptive_lambda():
    """Policy advantages at λ = 1 − 1/(α·l), returns at the plain λ."""
    case = golden("nemo")["cases"]["gae_length_adaptive"]
    mask = X["completion_mask"]
    rewards = kl_penalized_rewards(X["rewards"], torch.zeros(8, 6), mask, beta=0.0)
    lam = length_adaptive_lambda(mask, alpha=0.5)
    advantages, _ = generalized_advantage_estimation(
        rewards, X["values"], mask, lam=lam
    )
    agree(whiten(advantages, mask), case["whitened"])


@pytest.mark.parametrize("lam", [1.0, 0.95])
def test_verl_0_2_gae_reads_the_values_of_padding(lam):
    """Reproduced by calling the padding a part of the completion.

    It cancels at λ = 1, where the sum of the TD errors telescopes.
    """
    case = golden("verl_0_2")["cases"]["gae"][str(lam)]
    mask = X["completion_mask"]
    rewards = X["token_rewards"] * mask
    check_gae("nvlabs_verl", case, rewards, mask, lam=lam, steps=torch.ones_like(mask))
    right, _ = generalized_advantage_estimation(rewards, X["values"], mask, lam=lam)
    off = whiten(right, mask) - torch.tensor(case["whitened"])
    largest = float(off[mask == 1].abs().max())
    assert largest < 1e-6 if lam == 1 else largest > 0.05


@pytest.mark.parametrize("mask", SCALARS)
@pytest.mark.parametrize(
    ("name", "bound"),
    [("verl", 0.5), ("verl", 0.2), ("openrlhf", 0.5), ("openrlhf", None)],
)
def test_value_loss(name, bound, mask):
    case = golden(name)["cases"]["value_loss"][f"{mask} | {bound}"]
    agree_with_gradient(
        case,
        lambda values: value_loss(
            values, X["old_values"], X["returns"], X[mask], cliprange_value=bound
        ),
        X["values"],
    )


def test_verl_0_2_value_loss():
    mask = X["completion_mask"]
    keywords = CONVENTIONS["nvlabs_verl"].value
    agree_with_gradient(
        golden("verl_0_2")["cases"]["value_loss"],
        lambda values: value_loss(
            values, X["old_values"], X["returns"], mask, **keywords
        ),
        X["values"],
    )


# ----------------------------------------------------------------- groups


@pytest.mark.parametrize("std", [True, False])
@pytest.mark.parametrize("size", [4, 2, 1])
@pytest.mark.parametrize("rewards", GROUPS)
def test_verl_grpo(rewards, size, std):
    keywords = dict(CONVENTIONS["verl"].group_advantage)
    if not std:
        keywords |= {"scale_rewards": "none", "eps": 0.0}
    ours = group_relative_advantages(X[rewards], size, **keywords)
    agree(ours, golden("verl")["cases"]["grpo"][f"{rewards} | {size} | std {std}"])


@pytest.mark.parametrize("size", [4, 2, 1])
def test_verl_grpo_vectorized_is_the_same(size):
    keywords = CONVENTIONS["verl"].group_advantage
    ours = group_relative_advantages(X["rewards"], size, **keywords)
    agree(ours, golden("verl")["cases"]["grpo_vectorized"][f"rewards | {size}"])


def test_verl_leaves_a_group_of_one_to_chance():
    """The reward itself under "rloo", 0 under "rloo_vectorized"."""
    keywords = CONVENTIONS["verl"].leave_one_out
    cases = golden("verl")["cases"]
    for size in (4, 1):
        ours = leave_one_out_advantages(X["rewards"], size, **keywords)
        agree(ours, cases["rloo"][f"rewards | {size}"])
    zero = leave_one_out_advantages(X["rewards"], 1, singleton="zero")
    agree(zero, cases["rloo_vectorized"]["rewards | 1"])
    agree(
        leave_one_out_advantages(X["rewards"], 4),
        cases["rloo_vectorized"]["rewards | 4"],
    )


def test_verl_0_2_grpo():
    keywords = CONVENTIONS["nvlabs_verl"].group_advantage
    ours = group_relative_advantages(X["rewards"], G, **keywords)
    agree(ours, golden("verl_0_2")["cases"]["grpo"])


@pytest.mark.parametrize("rewards", GROUPS)
def test_openrlhf_group_norm(rewards):
    keywords = CONVENTIONS["openrlhf"].group_advantage
    ours = group_relative_advantages(X[rewards], G, **keywords)
    agree(ours, golden("openrlhf")["cases"]["group_norm"][rewards])


def test_openrlhf_rloo_and_dr_grpo():
    keywords = CONVENTIONS["openrlhf"].leave_one_out
    cases = golden("openrlhf")["cases"]
    agree(leave_one_out_advantages(X["rewards"], G, **keywords), cases["rloo"])
    centered = group_relative_advantages(X["rewards"], G, scale_rewards="none")
    agree(centered, cases["dr_grpo"])


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("size", [4, 2, 1])
@pytest.mark.parametrize("rewards", GROUPS)
def test_nemo_grpo(rewards, size, leave_one_out):
    keywords = dict(CONVENTIONS["nemo"].group_advantage)
    assert keywords["baseline"] == "leave_one_out"  # its default
    if not leave_one_out:
        keywords["baseline"] = "mean"
    ours = group_relative_advantages(X[rewards], size, **keywords)
    case = f"{rewards} | {size} | leave one out {leave_one_out}"
    agree(ours, golden("nemo")["cases"]["grpo"][case])


# ----------------------------------------------------------------- GDPO


@pytest.mark.parametrize(
    ("case", "columns", "weights"),
    [
        ("both", [0, 1], None),
        ("weights 1, 0.5", [0, 1], [1.0, 0.5]),
        ("only the first", [0], None),
    ],
)
def test_verl_gdpo(case, columns, weights):
    ours = decoupled_advantages(
        X["two_rewards"][:, columns],
        G,
        reward_weights=weights,
        completion_mask=X["completion_mask"],
        **CONVENTIONS["verl"].decoupled,
    )
    agree(ours, golden("verl")["cases"]["gdpo"][case])


def test_gdpo_of_nvlabs_verl():
    """verl 0.2's functions put together as the fork does, and as written down."""
    mask = X["completion_mask"]
    keywords = CONVENTIONS["nvlabs_verl"].decoupled
    ours = decoupled_advantages(X["two_rewards"], G, completion_mask=mask, **keywords)
    agree(ours, golden("verl_0_2")["cases"]["gdpo"])
    written = torch.tensor(golden("nvlabs")["cases"]["nvlabs_verl"]["gdpo"])
    assert_close(ours, written, atol=5.1e-4, rtol=0)


@pytest.mark.parametrize("weights", [None, [1.0, 0.5]])
@pytest.mark.parametrize("leave_one_out", [True, False])
def test_nemo_gdpo(leave_one_out, weights):
    keywords = dict(CONVENTIONS["nemo"].decoupled)
    if not leave_one_out:
        keywords["baseline"] = "mean"
    ours = decoupled_advantages(X["two_rewards"], G, reward_weights=weights, **keywords)
    case = f"leave one out {leave_one_out} | {weights}"
    agree(ours, golden("nemo")["cases"]["gdpo"][case])


def test_gdpo_of_nvlabs_trl():
    stored = golden("nvlabs")
    rewards = torch.tensor(
        [
            [math.nan if score is None else float(score) for score in row]
            for row in stored["inputs"]["two_rewards_with_none"]
        ]
    )
    keywords = CONVENTIONS["nvlabs_trl"].decoupled
    ours = decoupled_advantages(rewards, G, **keywords)
    written = torch.tensor(stored["cases"]["nvlabs_trl"]["gdpo_with_none"])
    assert_close(ours, written, atol=5.1e-4, rtol=0)
    one = decoupled_advantages(X["two_rewards"][:, :1], G, **keywords)
    written = torch.tensor(stored["cases"]["nvlabs_trl"]["gdpo_of_one_reward"])
    assert_close(one, written, atol=5.1e-5, rtol=0)


def test_nvlabs_verl_gae_reads_the_values_of_padding():
    stored = golden("nvlabs")
    case = stored["inputs"]["gae"]
    rewards, values = torch.tensor([case["rewards"]]), torch.tensor([case["values"]])
    leaked, _ = generalized_advantage_estimation(
        rewards.float(), values, torch.ones(1, 4), gamma=1.0, lam=0.95
    )
    written = torch.tensor(stored["cases"]["nvlabs_verl"]["gae_reads_padding"])
    assert_close(leaked[0, :3], written, atol=5.1e-5, rtol=0)


# ----------------------------------------------------------------- lengths


@pytest.mark.parametrize("name", ["verl", "openrlhf"])
def test_overlong_punishment(name):
    ours = soft_overlong_punishment(
        X["overlong_lengths"],
        max_completion_len=100,
        soft_punish_cache=20,
        **CONVENTIONS[name].overlong,
    )
    agree(ours, golden(name)["cases"]["overlong"])


# ----------------------------------------------------------------- defects


@pytest.mark.parametrize(
    ("name", "reward", "push"),
    [
        ("verl", 0.1, -0.0074),
        ("verl", 0.7, 0.0560),
        ("openrlhf", 0.1, -0.83),
        ("openrlhf", 0.7, 0.92),
    ],
)
def test_equal_rewards_push_the_whole_group(name, reward, push):
    """The float32 mean of eight 0.7 is not 0.7, and (r − mean)/ε is not small.

    OpenRLHF's ε is 1e-9: a group with nothing to learn from gets an advantage of 0.9.
    """
    theirs = golden(name)["cases"]["constant_group"]
    assert theirs[str(reward)] == pytest.approx([push] * 8, rel=1e-2)
    assert theirs["0.5"] == [0.0] * 8
    keywords = CONVENTIONS[name].group_advantage
    ours = group_relative_advantages(torch.full((8,), reward), 8, **keywords)
    assert ours.tolist() == [0.0] * 8


def test_nemo_leave_one_out_divides_by_rounding_noise():
    """Seven 0.7 and one 1.0: the variance of the seven is 1e-7, not 0, in one pass."""
    theirs = golden("nemo")["cases"]["one_stands_out"]
    rewards = torch.tensor([0.7] * 7 + [1.0])
    ours = group_relative_advantages(rewards, 8, **CONVENTIONS["nemo"].group_advantage)
    assert theirs["0.7"][-1] == pytest.approx(926.0, abs=0.1)
    assert ours[-1].item() == pytest.approx(0.3)
    agree(ours[:-1], theirs["0.7"][:-1], rtol=1e-4)
    assert theirs["0.5"][-1] == 0.5  # exact in binary


def test_openrlhf_kl_gradient_is_nan_for_a_token_that_pi_rules_out():
    """e^d overflows before the clamp; the value is a harmless 10."""
    theirs = golden("openrlhf")["cases"]["kl_overflow"]
    assert theirs["kl"] == [10.0, 10.0]
    assert theirs["gradient"] == ["0.0", "nan"]
    logps = -torch.tensor([theirs["log_ratio"]])
    logps.requires_grad_()
    ours = kl_penalty(logps, torch.zeros(1, 2), **CONVENTIONS["openrlhf"].kl)
    (gradient,) = torch.autograd.grad(ours.sum(), logps)
    assert ours.tolist() == [[10.0, 10.0]]
    assert gradient.tolist() == [[0.0, 0.0]]
    with pytest.raises(ValueError, match="KL of per_token_logps"):
        kl_penalty(logps, torch.zeros(1, 2), clamp=(math.inf, 10.0))
