"""PASSES of a TRL run: the rows that this process feeds forward, and their weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlnotes.training.batches import Batch
from rlnotes.training.config import Config
from rlnotes.training.updates import mini_batch_weights

ForwardPass = tuple[dict[str, Any], float]
"""TRL's inputs, and the tokens that all processes hold in theirs at the same time."""


def own_rows(accelerator: Any, rows: int) -> range:
    """The rows of a whole batch that are this process's, a contiguous part."""
    share = rows // accelerator.num_processes
    start = accelerator.process_index * share
    return range(start, start + share)


def forward_passes(
    mini: Batch,
    groups: list[int],
    scored: dict[str, Tensor],
    config: Config,
    accelerator: Any,
    *,
    micro: int,
) -> list[ForwardPass]:
    """One update's rows of this process, cut to `micro` completions a forward pass.

    `mini` is the update's part of the batch, its prompts `groups`; `scored` TRL's
    tensors: of every process where an update takes a part of the batch, else of this
    one. TRL divides a token sum by `num_items_in_batch` / steps_per_generation; the
    tokens of this very update are what belongs there, not their average.
    """
    tokens, advantages = mini.loss_mask.sum(), mini.advantages
    if config.loss_type == "dapo_prompt":
        # loss(c·Â) = c·loss(Â): each group's weight, as the token mean lacks it
        advantages = advantages * mini_batch_weights(mini, config).amax(1) * tokens
    size, device = config.num_generations, accelerator.device
    own = own_rows(accelerator, len(groups) * size)
    rows = torch.tensor([groups[i // size] * size + i % size for i in own])
    if config.steps_per_generation == 1:
        rows = rows - own.start  # only its own rows are here
    shares = mini.loss_mask.sum(1).view(accelerator.num_processes, -1, micro)
    held = shares.sum((0, 2)).tolist()
    items = tokens.to(device) * config.steps_per_generation
    passes: list[ForwardPass] = []
    cuts = zip(rows.split(micro), torch.tensor(own).split(micro), held, strict=True)
    for there, here, count in cuts:
        index = there.to(device)
        inputs = {name: x[index] if x.dim() else x for name, x in scored.items()}
        inputs["advantages"] = advantages[here].to(device)
        inputs["num_items_in_batch"] = items
        passes.append((inputs, float(count)))
    return passes
