"""Rows of `differences.md` about lengths, dynamic sampling and scripts."""

from typing import Any

import torch
from difference_row import Row, T, each

from rlnotes.equations.aggregation import aggregate_loss
from rlnotes.equations.shaping import (
    informative_groups,
    overlong_filter,
    soft_overlong_punishment,
)
from rlnotes.equations.surrogates import clipped_surrogate_loss


def filtered() -> dict[str, Any]:
    """Loss of two completions at 1 when one of them is filtered as overlong."""
    mask = overlong_filter(torch.ones(2, 4), torch.tensor([False, True]))
    loss = torch.ones(2, 4, dtype=torch.float64)

    def mean_of_rows(**keywords: Any) -> list[float]:
        return [
            float(aggregate_loss(loss, mask, loss_type=loss_type, **limit, **keywords))
            for loss_type, limit in (
                ("grpo", {}),
                ("dr_grpo", {"max_completion_length": 4}),
                ("bnpo", {}),
            )
        ]

    return each("overlong_filter", mean_of_rows)


def overlong() -> dict[str, Any]:
    """Penalty at 80, 90, 100 and 110 tokens; limit 100, cache 20."""
    lengths = torch.tensor([80, 90, 100, 110])
    limits = {"max_completion_len": 100, "soft_punish_cache": 20}
    return each(
        "overlong", lambda **k: soft_overlong_punishment(lengths, **{**k, **limits})
    )


def kept() -> dict[str, Any]:
    """Whether groups are kept: right and wrong; both half right; both wrong."""
    accuracy = T([1, 0, 0.5, 0.5, 0, 0])
    too_long = T([0, 0, 0, 0, 0, -0.5])  # the last answer is also too long
    return each(
        "dynamic_sampling", lambda **k: informative_groups(accuracy, 2, **k)
    ) | {
        "std of accuracy + length penalty (swift)": informative_groups(
            accuracy + too_long, 2, rule="std"
        )
    }


def script() -> dict[str, Any]:
    """Loss of a bad token at ratio 20; updates per rollout of 512 prompts, G = 16."""
    ratio, advantages = T([[20.0]]), T([-1.0])

    def loss(**keywords: Any) -> float:
        return clipped_surrogate_loss(ratio, advantages, **keywords).item()

    return {
        "paper, mini-batch of 512 completions": [
            loss(epsilon_high=0.28),
            512 * 16 // 512,
        ],
        "verl's DAPO script, mini-batch of 32 prompts": [
            loss(epsilon_high=0.28, delta=10.0),
            512 // 32,
        ],
    }


ROWS = [
    Row(
        12,
        "length",
        "The denominator after overlong filtering",
        who="trl, nvlabs_trl",
        paper=(
            "DAPO §3.4 masks the loss of truncated answers, and leaves the "
            "denominator, and the group's mean and std, open."
        ),
        code=(
            "TRL's `grpo` and `dr_grpo` (the first two numbers) keep the rows in "
            "the mean; NeMo does not; means over tokens (the third) count tokens. "
            "verl and OpenRLHF do not have the filter. In TRL their rewards stay in "
            "the group's statistics."
        ),
        example=filtered,
        means=(
            "In TRL with `grpo` the step shrinks by the share of truncated answers, "
            "which is largest at the start of a run."
        ),
    ),
    Row(
        13,
        "length",
        "Soft overlong punishment beyond the limit",
        paper="DAPO Eq 13: −1 beyond L_max.",
        code="TRL and OpenRLHF stop at −1; verl and NeMo go on falling.",
        example=overlong,
        means=(
            "No difference while generation stops at L_max, where all give exactly "
            "−1; one if the generator's limit is larger."
        ),
    ),
    Row(
        14,
        "sampling",
        "What dynamic sampling keeps",
        paper="DAPO Eq 11: 0 < number of correct answers < G, on accuracy.",
        code=(
            "Unequal values of a chosen metric (verl, also groups of one), of the "
            "raw reward (NeMo), mean score inside (0, 1) (OpenRLHF), unequal totals "
            "(ms-swift). TRL has none."
        ),
        example=kept,
        means=(
            "All agree on 0/1 accuracy. A std rule drops graded groups that agree; "
            "on a shaped reward it keeps groups that are all wrong but of different "
            "length."
        ),
        read=(
            "Read at NVlabs/GDPO 7ab53af: the verl fork has no dynamic sampling. "
            "Read in OpenRLHF 0.11.0: when its data runs out it returns nothing, "
            "and drops the groups that it had kept."
        ),
    ),
    Row(
        23,
        "script",
        "verl's DAPO script and the paper",
        who="verl",
        paper=(
            "Warm-up 20 steps, mini-batch 512 completions, overlong filtering and "
            "soft punishment described, no dual clip."
        ),
        code=(
            "Script: warm-up 10, mini-batch 32 prompts (the same 512), dual clip "
            "10, no overlong filtering, sampling with top-p 1."
        ),
        example=script,
        means=(
            "The reproduction is not the paper's recipe to the letter; its best run "
            "does without the filter."
        ),
        read=("Read in verl-recipe 48ea0a7 and in the FAQ of verl's documentation."),
    ),
    Row(
        24,
        "script",
        "What TRL hands to `rollout_func`",
        who="trl",
        paper="Not in a paper.",
        code=(
            "The documentation says prompts come without duplication; they come "
            "repeated `num_generations` times."
        ),
        means=(
            "A rollout function that samples G completions per prompt makes G² of them."
        ),
        read=("Run in TRL 1.16.0, and read in its documentation."),
    ),
]
