"""DYNAMIC SAMPLING (DAPO): batches are drawn until enough groups have a signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from rlnotes.equations.validation import check_range
from rlnotes.rollouts.rollouts import Rollouts


@dataclass(frozen=True)
class SamplingAccount:
    """What dynamic sampling cost: batches, groups, how many of them were useful."""

    batches: int
    groups_sampled: int
    groups_informative: int
    completions: int
    tokens: int


def sample_informative(
    sample: Callable[[int], tuple[Rollouts, Tensor]],
    num_prompts: int,
    *,
    max_resample_times: int,
) -> tuple[Rollouts, SamplingAccount]:
    """DAPO Eq 11: draw batches until `num_prompts` groups are neither all right nor all
    wrong, at most `max_resample_times` batches beyond the first.

    `sample(k)` gives the k-th batch and a (P,) bool of its informative groups.
    Fallback, recorded in the account: when the limit is reached, uninformative groups
    fill the batch up (their advantage is zero), so a run slows down but never hangs.
    """
    check_range("num_prompts", num_prompts, low=1)
    check_range("max_resample_times", max_resample_times, low=0)
    kept: list[Rollouts] = []
    spare: list[Rollouts] = []
    found = useful = groups = completions = tokens = batch = 0
    while found < num_prompts and batch <= max_resample_times:
        rollouts, informative = sample(batch)
        batch += 1
        groups += len(informative)
        completions += len(rollouts)
        tokens += rollouts.num_tokens
        useful += int(informative.sum())
        good = informative.nonzero().flatten().tolist()[: num_prompts - found]
        found += len(good)
        if good:
            kept.append(rollouts.select(good))
        dull = (~informative).nonzero().flatten().tolist()
        if dull:
            spare.append(rollouts.select(dull))
    filling = num_prompts - found
    if filling:
        pool = Rollouts.concatenate(spare)
        kept.append(pool.select(range(filling)))
    account = SamplingAccount(batch, groups, useful, completions, tokens)
    return Rollouts.concatenate(kept), account
