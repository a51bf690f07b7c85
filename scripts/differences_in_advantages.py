"""Rows of `differences.md` about advantages: groups, GDPO, and PPO's critic."""

import math
from typing import Any

import torch
from difference_row import Row, T, each, stored

from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.gae import generalized_advantage_estimation
from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.objectives import value_loss
from rlnotes.equations.whitening import whiten


def std_and_epsilon() -> dict[str, Any]:
    """Advantage of the odd one of rewards 1, 0, 0, 0 and of 1, 1, 1, 1.0001."""

    def odd_one(**keywords: Any) -> list[float]:
        return [
            float(group_relative_advantages(T(rewards), 4, **keywords)[index])
            for rewards, index in (([1, 0, 0, 0], 0), ([1, 1, 1, 1.0001], 3))
        ]

    numbers = each("group_advantage", odd_one)
    numbers["trl, its asynchronous trainer"] = odd_one(correction=0, eps=1e-8)
    return numbers


def group_of_one() -> dict[str, Any]:
    """Advantage of a completion without siblings, reward 3."""
    return each(
        "group_advantage", lambda **k: group_relative_advantages(T([3.0]), 1, **k)
    )


def leave_one_out() -> dict[str, Any]:
    """Advantage of the last of rewards 0, 0, 0, 1; of .7, .71, .7, 1; of 0, 1."""

    def last(**keywords: Any) -> list[float]:
        groups = ([0, 0, 0, 1], [0.7, 0.71, 0.7, 1], [0, 1])
        return [
            float(group_relative_advantages(T(group), len(group), **keywords)[-1])
            for group in groups
        ]

    return each("group_advantage", last)


def equal_rewards() -> dict[str, Any]:
    """Advantage of each of eight equal rewards .7; of the 1 among seven .7 and a 1."""
    equal, odd = torch.full((8,), 0.7), torch.tensor([0.7] * 7 + [1.0])

    def both(**keywords: Any) -> list[float]:
        return [
            float(group_relative_advantages(rewards, 8, **keywords)[-1])
            for rewards in (equal, odd)
        ]

    return each("group_advantage", both) | {
        "verl 0.9.1 itself": stored("verl", "constant_group", "0.7")[-1:],
        "OpenRLHF 0.11.0 itself": stored("openrlhf", "constant_group", "0.7")[-1:],
        "NeMo's functions themselves": [
            stored("nemo", "constant_group", "0.7")[-1],
            stored("nemo", "one_stands_out", "0.7")[-1],
        ],
    }


# GDPO: two groups of four completions, two rewards; completions of unequal length
PAIRS = [(0, 1), (0, 2), (1, 2), (1, 3), (0, 0), (0, 0), (0, 1), (0, 1)]
LENGTHS = (6, 2, 4, 1, 3, 5, 6, 2)


def gdpo(rewards: Any, **keywords: Any) -> torch.Tensor:
    """GDPO's advantages, with the mask where the convention wants one."""
    if keywords["batch_stats"] == "token":
        keywords["completion_mask"] = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    return decoupled_advantages(T(rewards), 4, **keywords)


def batch_norm() -> dict[str, Any]:
    """GDPO's advantages of two groups of four."""
    return each("decoupled", lambda **k: gdpo(PAIRS, **k))


def uninformative_group() -> dict[str, Any]:
    """GDPO's advantage of a group of equal completions, beside a group that varies."""
    rewards = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1)]
    lengths = torch.tensor([2, 2, 6, 6, 4, 4, 4, 4])
    mask = torch.arange(6) < lengths[:, None]

    def of_the_equal(**keywords: Any) -> float:
        if keywords["batch_stats"] == "token":
            keywords["completion_mask"] = mask
        return float(decoupled_advantages(T(rewards), 4, **keywords)[4])

    return each("decoupled", of_the_equal)


def one_reward() -> dict[str, Any]:
    """GDPO's advantages of one reward 0, 0, 1, 1 (and a group of equal ones)."""
    rewards = [pair[:1] for pair in PAIRS]
    return each("decoupled", lambda **k: gdpo(rewards, **k)[:4])


def none_reward() -> dict[str, Any]:
    """GDPO's advantages of the first group when its first second reward is None."""
    rewards = [(0, math.nan), *PAIRS[1:]]
    return each("decoupled", lambda **k: gdpo(rewards, **k)[:4])


def kl_in_reward() -> dict[str, Any]:
    """Advantages of rewards 1, 1, 0, 0 whose KL to the reference is 0, 2, 0, 2 nats."""
    rewards, kl = T([1, 1, 0, 0]), T([0, 2, 0, 2])
    return {
        "GRPO on r − 0.1·KL": group_relative_advantages(rewards - 0.1 * kl, 4),
        "what verl's GDPO computes: GRPO on r": group_relative_advantages(rewards, 4),
    }


def whitening() -> dict[str, Any]:
    """Advantages 1, 1, 1, 1 of one completion and −2 of another, whitened."""
    advantages = T([[1, 1, 1, 1], [-2, 0, 0, 0]])
    mask = T([[1, 1, 1, 1], [1, 0, 0, 0]])

    def first_of_each(**keywords: Any) -> torch.Tensor:
        return whiten(advantages, mask, **keywords)[:, 0]

    numbers: dict[str, Any] = {"paper": advantages[:, 0]}
    numbers |= each("whiten", first_of_each)
    by_completion = advantages[:, :1]
    numbers["over completions instead"] = whiten(by_completion, by_completion**0)[:, 0]
    return numbers


def terminal_slot() -> dict[str, Any]:
    """Advantages of three tokens, V = .1, .2, .3, reward 1; V = .9 after the end."""
    keywords = {"gamma": 1.0, "lam": 0.95}
    last, _ = generalized_advantage_estimation(
        T([[0, 0, 1]]), T([[0.1, 0.2, 0.3]]), T([[1, 1, 1]]), **keywords
    )
    after, _ = generalized_advantage_estimation(
        T([[0, 0, 0, 1]]), T([[0.1, 0.2, 0.3, 0.9]]), T([[1, 1, 1, 1]]), **keywords
    )
    return {
        "reward on the last token (paper, verl, openrlhf, nemo)": last[0],
        "reward one step later (trl until 1.12)": after[0, :3],
    }


def padding_leak() -> dict[str, Any]:
    """The same three tokens and padding with V = .9, at λ = .95 and at λ = 1."""
    rewards, values = T([[0, 0, 1, 0]]), T([[0.1, 0.2, 0.3, 0.9]])

    def first(mask: torch.Tensor) -> list[float]:
        return [
            float(
                generalized_advantage_estimation(rewards, values, mask, lam=lam)[0][
                    0, 0
                ]
            )
            for lam in (0.95, 1.0)
        ]

    return {
        "padding not read (all conventions)": first(T([[1, 1, 1, 0]])),
        "padding read (verl until mid-2025, nvlabs_verl)": first(T([[1, 1, 1, 1]])),
    }


def gap() -> dict[str, Any]:
    """Advantages of two tokens around a tool's answer, V = .5, reward 1, λ = .95."""
    keep = T([[1, 0, 1]])
    rewards, values = T([[0, 0, 1]]), T([[0.5, 0.5, 0.5]])

    def outer(**keywords: Any) -> torch.Tensor:
        keywords["lam"] = 0.95
        return generalized_advantage_estimation(rewards, values, keep, **keywords)[0][
            0, [0, 2]
        ]

    numbers = each("gae", outer)
    return {name: numbers[name] for name in ("verl", "nemo", "openrlhf")}


def critic() -> dict[str, Any]:
    """Loss of one value that moved from 0 to the target 1."""
    one, zero = T([[1.0]]), T([[0.0]])
    return each("value", lambda **k: value_loss(one, zero, one, one, **k))


ROWS = [
    Row(
        2,
        "advantage",
        "Which standard deviation, and which ε",
        paper=(
            "GRPO §4.1.2 and DAPO Eq 9 divide by std(r), without ε and without "
            "saying which std. GDPO's example of ±.7071 is the unbiased one."
        ),
        code=(
            "All use the unbiased std, but for TRL's asynchronous trainer (biased). "
            "ε is 1e-4 (TRL, NVlabs' TRL fork), 1e-6 (verl, NeMo), 1e-9 (OpenRLHF)."
        ),
        example=std_and_epsilon,
        means=(
            "Biased against unbiased scales every advantage by √(G/(G−1)), 1.15 for "
            "G = 4, which acts as a learning rate; ε only matters for graded "
            "rewards that nearly agree."
        ),
    ),
    Row(
        3,
        "advantage",
        "A group of one",
        paper="Not defined: the std of one reward.",
        code=(
            "An error (TRL's config, OpenRLHF's), the reward itself (verl's `grpo` "
            "and `rloo`), 0 (NeMo, verl's `rloo_vectorized`)."
        ),
        example=group_of_one,
        means=(
            "In verl a prompt that lost its siblings trains without any baseline: "
            "all rewards positive means every such answer is pushed up."
        ),
    ),
    Row(
        4,
        "advantage",
        "NeMo's GRPO leaves the completion itself out",
        paper="Mean and std of the whole group, DAPO Eq 9.",
        code=(
            "NeMo by default takes both over the G−1 siblings, and does not divide "
            "where their std is 0."
        ),
        example=leave_one_out,
        means=(
            "The rarest answer gets its raw reward when its siblings agree exactly "
            "and an enormous advantage when they nearly agree: with graded rewards, "
            "set `use_leave_one_out_baseline: false` or clip."
        ),
    ),
    Row(
        25,
        "advantage",
        "Equal rewards are not equal in float32",
        who="verl, openrlhf, nemo, trl",
        paper="A group with equal rewards has advantage 0.",
        code=(
            "The float32 mean of eight .7 is not .7; verl, TRL and OpenRLHF divide "
            "the difference by ε. NeMo's one-pass variance of seven .7 is 1e-7 "
            "instead of 0. rlnotes compares the rewards, so every convention gives "
            "exactly 0 here."
        ),
        example=equal_rewards,
        means=(
            "With graded rewards (.1, .7: not 0, .5, 1) a group with nothing to "
            "learn is pushed as a whole, in OpenRLHF as hard as a real difference "
            "would."
        ),
        read=(
            "Read in OpenRLHF 0.11.0: it clips the result, as it does all rewards, "
            "to ±10 (`--reward.clip_range`)."
        ),
    ),
    Row(
        15,
        "GDPO",
        "Batch normalization over completions or over tokens",
        paper="GDPO Eq 6: mean and std over all rollouts of the batch.",
        code=(
            "Completions in TRL, NVlabs' TRL fork, NeMo (leave-one-out groups, no "
            "ε); tokens in verl and NVlabs' verl fork, with ε inside the root. The "
            "authors' two forks disagree."
        ),
        example=batch_norm,
        means=(
            "Over tokens the advantages depend on the lengths: long completions set "
            "the zero point."
        ),
    ),
    Row(
        26,
        "GDPO",
        "A group with nothing to learn is pushed by GDPO in verl",
        paper=(
            "Every group sums to 0 before Eq 6, so the batch mean is 0 and an equal "
            "group stays at 0."
        ),
        code=(
            "Where the batch mean is over tokens it is not 0 unless lengths are equal."
        ),
        example=uninformative_group,
        means=(
            "In verl and NVlabs' verl fork, prompts that are solved (or hopeless) "
            "get a constant push whose sign depends on the lengths elsewhere in the "
            "batch."
        ),
    ),
    Row(
        16,
        "GDPO",
        "GDPO with one reward",
        paper="Eq 6 normalizes over the batch whatever the number of rewards.",
        code=(
            "Batch-normalized again (TRL, verl), plain GRPO (NVlabs' TRL fork), an "
            "error (NeMo; NVlabs' verl fork has exactly two)."
        ),
        example=one_reward,
        means=(
            "GDPO with one reward is not GRPO in TRL and verl: with many equal "
            "groups its advantages grow."
        ),
    ),
    Row(
        17,
        "GDPO",
        "None as a reward under GDPO",
        paper="No None.",
        code=(
            "TRL leaves it out of mean and std and adds 0; NVlabs' TRL fork makes "
            "it a reward of 0 before normalizing. The others have no None: an error "
            "here."
        ),
        example=none_reward,
        means=(
            "Counting None as 0 invents a failed completion: its siblings look "
            "better than they are."
        ),
    ),
    Row(
        18,
        "GDPO",
        "GDPO and a KL penalty in the reward",
        who="verl, nvlabs_verl",
        paper="GDPO has no KL in the reward.",
        code=(
            "GDPO in verl and in NVlabs' verl fork reads the components and so "
            "drops `use_kl_in_reward` without a word; ms-swift switches it off with "
            "a warning."
        ),
        example=kl_in_reward,
        means=(
            "Switching verl from `grpo` to `gdpo` also switches off the KL, if it "
            "was in the reward."
        ),
        read=(
            "Read in verl 0.9.1 (`compute_gdpo_outcome_advantage`), NVlabs/GDPO "
            "7ab53af and ms-swift "
            "3602360."
        ),
    ),
    Row(
        19,
        "GAE",
        "Whitening of PPO's advantages",
        paper="PPO's paper has none.",
        code=(
            "Every framework whitens over the tokens of the batch, unbiased (TRL, "
            "verl, NeMo) or biased (OpenRLHF). OpenRLHF also does it for "
            "`reinforce_baseline`."
        ),
        example=whitening,
        means=(
            "Long completions weigh more in the mean: here four good tokens move "
            "the zero point to their side."
        ),
    ),
    Row(
        20,
        "GAE",
        "Where PPO's terminal reward stands",
        who="trl (PPO)",
        paper="At the last action.",
        code=(
            "On the last token in verl, OpenRLHF and NeMo; in TRL's PPO (last in "
            "1.12) one slot after it, if there is room, with one more value in "
            "between."
        ),
        example=terminal_slot,
        means=(
            "TRL's PPO learned a value after the end of the answer; its bootstrap "
            "error reached the last token."
        ),
    ),
    Row(
        21,
        "GAE",
        "Values of the padding leak into GAE",
        who="nvlabs_verl, old verl",
        paper="Â ends with the episode: V after the last token is 0.",
        code=(
            "verl until mid-2025, and NVlabs' verl fork with it, runs the recursion "
            "through the padding, whose first slot has a value that is not 0."
        ),
        example=padding_leak,
        means=(
            "At verl's default λ = γ = 1 the leak cancels exactly; with λ = .95 "
            "every advantage contains a part of the value after the end, which is 0 "
            "only once the critic has learned that."
        ),
        read=(
            "Run in verl 0.2.0.post2 (`tests/equations/golden/verl_0_2.json`). Read "
            "there: its critic sets all padding values but the first to 0."
        ),
    ),
    Row(
        27,
        "GAE",
        "A tool's answer inside a completion",
        who="openrlhf",
        paper="Not in the papers.",
        code=(
            "verl and NeMo step over masked tokens; OpenRLHF sets their value to 0 "
            "and steps through them."
        ),
        example=gap,
        means=(
            "With tool calls and λ < 1, OpenRLHF undervalues what comes before a "
            "tool's answer."
        ),
    ),
    Row(
        28,
        "GAE",
        "The clipped value loss",
        paper="PPO Eq 9: squared error; the clip of values is not in the paper.",
        code=(
            "Clip .2 (TRL), .5 (verl, OpenRLHF), none (NeMo's class; its recipe has "
            ".2). All have the factor ½."
        ),
        example=critic,
        means=(
            "A value that reaches its target is still charged for having moved more "
            "than the clip, which slows the critic down."
        ),
    ),
]
