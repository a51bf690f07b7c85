"""Rows of `differences.md` about the loss: clip, KL, and what is averaged."""

from typing import Any

import torch
from difference_row import Row, T, each
from torch import Tensor

from rlnotes.equations.aggregation import aggregate_loss
from rlnotes.equations.divergences import kl_penalty
from rlnotes.equations.objectives import policy_loss
from rlnotes.equations.surrogates import (
    cispo_loss,
    clipped_surrogate_loss,
    importance_ratio,
)


def of_lengths(*lengths: int) -> Tensor:
    """A completion mask."""
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def prompt_mean() -> dict[str, Any]:
    """Loss of two prompts: 10 tokens at 1, 100 tokens at 0."""
    mask, loss = of_lengths(10, 100), T([[1.0], [0.0]])
    return each(
        "aggregation", lambda **k: aggregate_loss(loss, mask, num_generations=1, **k)
    )


def dual_clip() -> dict[str, Any]:
    """Loss of a token with advantage −1 at ratio 10 and 2."""
    ratio, advantages = T([[10.0, 2.0]]), T([-1.0])
    numbers = each(
        "clip", lambda **k: clipped_surrogate_loss(ratio, advantages, **k)[0]
    )
    script = {"epsilon_high": 0.28, "delta": 10.0}
    numbers["verl, DAPO script"] = clipped_surrogate_loss(ratio, advantages, **script)[
        0
    ]
    return numbers


def kl_and_slope(per_token_logp: float, ref: float, **keywords: Any) -> list[float]:
    """KL term and its derivative by log π, the sample being of π itself."""
    logps = T([[per_token_logp]]).requires_grad_()
    if keywords["gradient"] == "importance":
        keywords["ratio"] = importance_ratio(logps, logps, torch.ones(1, 1))
    value = kl_penalty(logps, T([[ref]]), **keywords)
    (slope,) = torch.autograd.grad(value.sum(), logps)
    return [value.item(), slope.item()]


def kl_clamp() -> dict[str, Any]:
    """KL term and its derivative where log π_ref − log π = 8."""
    return each("kl", lambda **k: kl_and_slope(-9.0, -1.0, **k))


def ratio_clamp() -> dict[str, Any]:
    """log of the ratio where log π − log π_old = 25."""
    logps, old, mask = T([[-1.0]]), T([[-26.0]]), T([[1.0]])
    return each("ratio", lambda **k: importance_ratio(logps, old, mask, **k).log())


def kl_slope() -> dict[str, Any]:
    """Derivative of the KL term by log π where log π − log π_ref = .5 and −3."""

    def slopes(**keywords: Any) -> list[float]:
        return [kl_and_slope(-4.0, ref, **keywords)[1] for ref in (-4.5, -1.0)]

    return each("kl", slopes) | {
        'verl "k3+" (unbiased)': slopes(estimator="k3", gradient="k2"),
        "k1 in the loss": slopes(estimator="k1", gradient="autodiff"),
    }


def inert_clip() -> dict[str, Any]:
    """Loss, and its derivative by log π of each of two tokens with advantage 1, −1."""

    def at(log_ratio: float, epsilon_high: float) -> list[float]:
        logps = T([[-1.0], [-1.0]]).requires_grad_()
        old = logps.detach() - log_ratio
        loss = policy_loss(
            logps, old, T([1.0, -1.0]), torch.ones(2, 1), epsilon_high=epsilon_high
        )
        (slope,) = torch.autograd.grad(loss, logps)
        return [loss.item(), *slope.flatten().tolist()]

    return {
        "ratio 1, ε_high .2": at(0.0, 0.2),
        "ratio 1, ε_high .28": at(0.0, 0.28),
        "ratio 1.25, ε_high .2": at(0.2231435, 0.2),
        "ratio 1.25, ε_high .28": at(0.2231435, 0.28),
    }


def constant() -> dict[str, Any]:
    """Dr. GRPO's loss of completions of 2 and 6 tokens at −1 and 1; limit 8 tokens."""
    mask, loss = of_lengths(2, 6), T([[-1.0], [1.0]])
    keywords = {"loss_type": "dr_grpo"}
    return {
        "trl (max_completion_length)": aggregate_loss(
            loss, mask, max_completion_length=8, **keywords
        ),
        "verl (padded width)": aggregate_loss(
            loss, mask, max_completion_length=6, **keywords
        ),
        "verl before 0.9 (padded width, sum over rows)": 2
        * aggregate_loss(loss, mask, max_completion_length=6, **keywords),
    }


def windows() -> dict[str, Any]:
    """Loss of two accumulation windows of 100 and 300 tokens, every token at 1."""
    first, second = of_lengths(100), of_lengths(300)

    def both(*counts: float) -> list[float]:
        return [
            float(
                aggregate_loss(
                    T([[1.0]]), mask, loss_type="dapo", num_items_in_batch=count
                )
            )
            for mask, count in zip((first, second), counts, strict=True)
        ]

    return {
        "trl (mean of the windows' counts)": both(200, 200),
        "verl, openrlhf, nemo (each window's own)": both(100, 300),
    }


def micro_batches() -> dict[str, Any]:
    """Mean over tokens of 2 tokens at 1 and 6 at 0, as one batch and as two."""
    loss, mask = T([[1.0], [0.0]]), of_lengths(2, 6)
    rows = [(loss[:1], mask[:1]), (loss[1:], mask[1:])]

    def mean_of_halves(**keywords: Any) -> float:
        return sum(float(aggregate_loss(*row, **keywords)) for row in rows)

    return {
        "one batch": aggregate_loss(loss, mask, loss_type="bnpo"),
        'trl "bnpo", two micro-batches': mean_of_halves(loss_type="bnpo") / 2,
        'trl "grpo"': aggregate_loss(loss, mask, loss_type="grpo"),
        'trl "dapo", two micro-batches': mean_of_halves(
            loss_type="dapo", num_items_in_batch=8
        ),
    }


def empty_rows() -> dict[str, Any]:
    """seq-mean-token-mean and -sum of 4 tokens at 1, 2 at 2, and an empty row."""
    mask = torch.arange(4) < torch.tensor([4, 2, 0])[:, None]
    loss = T([[1.0], [2.0], [0.0]])
    return {
        name: [
            aggregate_loss(loss, mask, loss_type=loss_type, count_empty=count_empty)
            for loss_type in ("grpo", "luspo")
        ]
        for name, count_empty in (
            ("verl, local denominator", False),
            ("verl, global_batch_size = 3", True),
        )
    }


def liger() -> dict[str, Any]:
    """LUSPO's loss of completions of 2 and 6 tokens at −1 and 1."""
    mask, loss, tokens = of_lengths(2, 6), T([[-1.0], [1.0]]), T([[2.0], [6.0]])
    return {
        "trl 1.16": aggregate_loss(loss, mask, loss_type="luspo"),
        "Liger 0.8.5": aggregate_loss(
            loss * tokens, mask, loss_type="dr_grpo", max_completion_length=6
        ),
    }


def cispo() -> dict[str, Any]:
    """CISPO's weight of log π, advantage 1, at ratios .1, 1.1 and 9."""
    ratio, logps, advantages = T([[0.1, 1.1, 9.0]]), -torch.ones(1, 3), T([1.0])
    return each("cispo", lambda **k: cispo_loss(ratio, logps, advantages, **k)[0])


def sequence_ratio() -> dict[str, Any]:
    """Ratio of a completion of 10 tokens, each 1.1 times as likely as before."""
    old = torch.zeros(1, 10, dtype=torch.float64)
    logps = old + T(1.1).log()
    return {
        "GSPO: exp(mean)": importance_ratio(logps, old, old + 1, level="sequence"),
        "RLOO in trl: exp(sum)": importance_ratio(logps, old, old + 1).prod(),
    }


ROWS = [
    Row(
        1,
        "mean",
        "Token mean: per prompt or per batch",
        paper=(
            "DAPO Eq 8 divides by Σ|o_i| inside the expectation over prompts: a "
            "mean over the tokens of one prompt's group, then over prompts."
        ),
        code=(
            "Nobody by default: TRL, verl, OpenRLHF and NeMo divide by the tokens "
            "of the batch, NVlabs' forks by those of the micro-batch."
        ),
        example=prompt_mean,
        means=(
            "In code, prompts with long answers dominate the gradient; as written, "
            "every prompt counts the same."
        ),
    ),
    Row(
        5,
        "clip",
        "Dual clip",
        paper="Neither GRPO nor DAPO has it: for Â < 0 the loss grows with the ratio.",
        code=(
            "verl always bounds it by 3 (10 in its DAPO script); TRL's `delta`, "
            "OpenRLHF's `dual_clip` and NeMo's `ratio_clip_c` are off by default; "
            "verl 0.2, from which NVlabs' fork descends, has none."
        ),
        example=dual_clip,
        means=(
            "In verl, tokens of bad answers that became three times as likely get "
            "no gradient at all."
        ),
    ),
    Row(
        6,
        "KL",
        "Clamps of the ratio and of the KL",
        paper="None.",
        code=(
            "verl clamps the log-ratio to ±20, the KL's argument to ±20 and its "
            "value to ±10; NeMo the same for the KL; OpenRLHF the log-ratio and the "
            "KL's value; TRL nothing."
        ),
        example=kl_clamp,
        means=(
            "A token that the policy all but forgot costs 2972 in TRL and pulls it "
            "back; clamped it costs 10 and has no gradient."
        ),
        read=(
            "Run in OpenRLHF 0.11.0 (`tests/equations/golden/openrlhf.json`): it "
            "clamps only after e^d, so that its gradient is NaN from d = 89 on."
        ),
    ),
    Row(
        29,
        "clip",
        "Clamp of the log-ratio",
        paper="None.",
        code="±20 in verl and OpenRLHF; none in TRL, NeMo and verl 0.2.",
        example=ratio_clamp,
        means=(
            "Where nothing is clamped a ratio can overflow: a loss of infinity in "
            "float32 from 89 on, in float16 from 12 on."
        ),
    ),
    Row(
        7,
        "KL",
        "What the gradient of the KL is",
        paper=(
            "GRPO Eq 4 is k3, differentiated as it stands: 1 − e^d, not the "
            "gradient of the KL."
        ),
        code=(
            "So in verl, OpenRLHF, NeMo and NVlabs' forks; TRL since 1.10 "
            "multiplies k3 by the ratio, verl has `k3+`: both give log π − log "
            "π_ref, unbiased. The −3 is beyond the clamp of verl and others."
        ),
        example=kl_slope,
        means=(
            "The published gradient is nearly right close to the reference, "
            "explodes where π < π_ref, and is 0 where a clamp binds. That of k1 in "
            "the loss is 0 on average."
        ),
        read=(
            "Read in a later NeMo (loss_functions.py of 006907a): it multiplies the "
            "KL by exp(log π − sg log π), which is TRL's gradient at ratio 1."
        ),
    ),
    Row(
        8,
        "clip",
        "Clipping does nothing with one update per rollout",
        who="all",
        paper="DAPO makes 16 updates per rollout.",
        code=(
            "TRL by default takes π_old = π (ratio exactly 1) when the steps are "
            "aligned; verl has one update if mini-batch = batch."
        ),
        example=inert_clip,
        means=(
            "ε and ε_high are inert and the logged loss is 0 although the gradient "
            "is not; clip-higher can only be studied with several updates per "
            "rollout."
        ),
    ),
    Row(
        9,
        "mean",
        "The constant of Dr. GRPO",
        who="verl",
        paper="Dr. GRPO divides by a constant.",
        code=(
            "TRL: rows times `max_completion_length`. verl: rows times the padded "
            "width of the micro-batch, unless `loss_scale_factor` is set; before "
            "0.9 not by rows."
        ),
        example=constant,
        means=(
            "With verl's default the divisor follows the longest answer, which is "
            "the length bias that the method removes."
        ),
        read=("Read in verl issue 3741: the missing mean over rows."),
    ),
    Row(
        10,
        "mean",
        "TRL's dapo when a rollout is spent over several steps",
        who="trl",
        paper="Eq 8 has one update's tokens in the denominator.",
        code=(
            "TRL divides each accumulation window by the mean count of all windows "
            "of the generation batch; until 1.9 it was off by steps per generation "
            "as well."
        ),
        example=windows,
        means=(
            "Windows with long answers take larger steps, those with short ones "
            "smaller; their sum is exact."
        ),
    ),
    Row(
        11,
        "mean",
        "TRL's bnpo depends on the micro-batch",
        who="trl, nvlabs_trl",
        paper="Not in a paper.",
        code=(
            "TRL (and its 0.18, which NVlabs forked, as the default) averages over "
            "the tokens of each micro-batch, then over micro-batches."
        ),
        example=micro_batches,
        means=(
            "The same settings on two machines with different memory optimize "
            "different losses; with one row per device it is the `grpo` loss."
        ),
    ),
    Row(
        30,
        "mean",
        "Empty rows in verl's means over sequences",
        who="verl",
        paper="No empty completions.",
        code=(
            "verl leaves fully masked rows out unless its trainer passes "
            "`global_batch_size`, which counts them."
        ),
        example=empty_rows,
        means="The same batch gives another loss once the denominators are global.",
    ),
    Row(
        22,
        "mean",
        "Liger's loss is not TRL's",
        who="Liger",
        paper="LUSPO sums a completion's tokens.",
        code=(
            "Liger 0.8.5 weighs by length over the padded width for `luspo`, an "
            "older formula of TRL's; its `dapo` lacks TRL's factor for steps ≠ "
            "accumulation."
        ),
        example=liger,
        means="Turning Liger on changes the loss for these two settings.",
        read=(
            "Read in Liger 0.8.5: the Triton kernel's gradient of the "
            "sequence-level KL takes the ratio as a constant."
        ),
    ),
    Row(
        31,
        "clip",
        "CISPO's cap",
        who="trl, verl, nemo",
        paper=(
            "MiniMax-M1 Eq 4 and 5 clip the ratio from above; the cap is not stated."
        ),
        code=(
            "TRL's `epsilon_high` is the cap itself, without lower bound (5 is "
            "recommended); verl and NeMo clip to [1 − ε, 1 + ε_high]."
        ),
        example=cispo,
        means=(
            "The same `epsilon_high = .28` means a cap of .28 in TRL and 1.28 in verl."
        ),
    ),
    Row(
        32,
        "clip",
        "The ratio of a whole completion",
        who="trl (RLOO)",
        paper="GSPO Eq 7: the geometric mean over tokens.",
        code=(
            "GSPO everywhere as in the paper. TRL's RLOO, and its correction for "
            "vLLM, take the product."
        ),
        example=sequence_ratio,
        means=(
            "A product leaves every clip range after a few dozen tokens; its clip "
            "decides which completions count at all."
        ),
    ),
]
