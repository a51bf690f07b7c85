"""DECODING: tokens for G completions of each prompt, by whichever path fits the model.

The prompt is read once and its key-value cache shared out to its group; `growing` and
`static` decode from there. Where a model's cache is of another kind, every token reads
its whole row again (`recomputed_columns`): slow, and right for any causal model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlnotes.rollouts.growing import growing_columns
from rlnotes.rollouts.sampling import Column, draw_tokens
from rlnotes.rollouts.static import static_columns


def cached_columns(
    model: Any,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    *,
    num_generations: int,
    static: bool = False,
    **options: Any,
) -> list[Column]:
    """A column (N,) a token, from a cache; `options` as in `growing_columns`."""
    cache, logits = prefill(model, prompt_ids, prompt_mask, num_generations)
    decode = static_columns if static else growing_columns
    mask = prompt_mask.repeat_interleave(num_generations, 0)
    return decode(model, cache, mask, logits, **options)


def recomputed_columns(
    model: Any,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    *,
    num_generations: int,
    room: int,
    temperature: float,
    eos: Tensor,
    generator: torch.Generator | None,
) -> list[Column]:
    """`cached_columns` without a cache: rows of one length go through together.

    No padding, no mask, no positions: what the model itself makes of a row. The same
    uniforms as with a cache.
    """
    lengths = prompt_mask.sum(1).tolist()
    ids_of = [row[len(row) - n :] for row, n in zip(prompt_ids, lengths, strict=True)]
    rows = [row for row in ids_of for _ in range(num_generations)]
    total, device = len(rows), prompt_ids.device
    going = list(range(total))
    ends, columns = set(eos.tolist()), []
    while True:
        uniforms = torch.rand(total, generator=generator).to(device)
        column: Column = (
            eos[0].repeat(total),
            torch.zeros(total, device=device),
            torch.zeros(total, device=device),
        )
        for length in sorted({len(rows[i]) for i in going}):
            alike = [i for i in going if len(rows[i]) == length]
            ids = torch.stack([rows[i] for i in alike])
            logits = model(input_ids=ids, use_cache=False).logits[:, -1]
            drawn = draw_tokens(logits, temperature, uniforms[alike])
            for full, part in zip(column, drawn, strict=True):
                full[alike] = part.to(full)
        columns.append(column)
        drawn_ids = column[0].tolist()
        going = [i for i in going if drawn_ids[i] not in ends]
        if not going or len(columns) == room:
            return columns
        for i in going:
            rows[i] = torch.cat([rows[i], column[0][i : i + 1]])


def prefill(
    model: Any, prompt_ids: Tensor, prompt_mask: Tensor, num_generations: int
) -> tuple[Any, Tensor]:
    """The cache of every completion, and the logits (N, V) of its first token."""
    out = model(
        input_ids=prompt_ids,
        attention_mask=prompt_mask,
        position_ids=(prompt_mask.cumsum(1) - 1).clamp(min=0),
        use_cache=True,
        # an index, not the number 1: a slice would leave the batch strided, and the
        # head would be multiplied, and copied, once a row
        logits_to_keep=torch.tensor(
            [prompt_ids.shape[1] - 1], device=prompt_ids.device
        ),
    )
    out.past_key_values.batch_repeat_interleave(num_generations)
    return out.past_key_values, out.logits[:, -1].repeat_interleave(num_generations, 0)
