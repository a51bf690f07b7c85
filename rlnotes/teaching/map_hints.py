"""Hints for the exercises of notebook 00, the map."""

import torch

from rlnotes.equations.aggregation import token_weights
from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.masking import completion_mask_from_ids
from rlnotes.equations.surrogates import clip_fractions, importance_ratio
from rlnotes.teaching.answers import Hints, gives
from rlnotes.teaching.worked_group import worked_group


def map_1() -> Hints:
    """(ids (N, T), eos) → completion mask."""
    for rows, hint in (
        ([[5, 6, 0, 0], [5, 6, 7, 8]], "the first end counts, and so does a whole row"),
        ([[0, 5, 0, 7], [5, 0, 0, 0]], "what comes after the first end never counts"),
    ):
        ids = torch.tensor(rows)
        yield gives(completion_mask_from_ids(ids, [0]), ids, 0), hint


def map_2() -> Hints:
    """(rewards (N,), G) → share of groups whose rewards are all equal."""
    for values, hint in (
        ([1.0, 1, 0, 1, 0, 0, 0, 0], "a group of only zeros is dead as well"),
        ([1.0, 0, 0, 1, 2, 2, 2, 2], "compare within a group, not with the batch"),
    ):
        yield gives(0.5, torch.tensor(values), 4), hint


def map_3() -> Hints:
    """(lengths) → weight of a token of the shortest row over one of the longest."""
    for lengths in ([3, 5, 7, 12], [10, 100]):
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        first, last = lengths.index(min(lengths)), lengths.index(max(lengths))
        weights = [token_weights(mask, loss_type=kind) for kind in ("grpo", "dapo")]
        factors = tuple(w[first, 0] / w[last, 0] for w in weights)
        hint = "GRPO weighs a token by 1 / (G·|o_i|), DAPO by 1 / Σ|o_i|"
        yield gives(factors, lengths), hint


def map_4() -> Hints:
    """(ratio, advantages, mask) → tokens stopped by DAPO's clip, below and above."""
    group = worked_group()
    mask, old_logps = group.completion_mask, group.old_per_token_logps
    ratio = importance_ratio(group.per_token_logps, old_logps, mask)
    advantages = group_relative_advantages(group.rewards, group.num_generations)
    hint = "below: ρ < 0.8 and Â < 0; above: ρ > 1.28 and Â > 0; under the mask"
    for a in (advantages, -advantages):
        shares = clip_fractions(ratio, a, mask, epsilon=0.2, epsilon_high=0.28)
        low, high = shares["clip_ratio/low_mean"], shares["clip_ratio/high_mean"]
        total = int(mask.sum())
        yield gives((round(low * total), round(high * total)), ratio, a, mask), hint
