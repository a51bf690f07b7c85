"""ROLLOUTS that shrink: ended rows leave the batch, the cache grows in place.

The counterpart of `static`: what runs on a CPU, where every decoded token costs time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer

from rlnotes.rollouts.sampling import Column, draw_tokens

_ROOM = 64  # tokens allocated ahead
# Ended rows leave the batch when an eighth of it has ended: leaving costs a copy of the
# cache, staying a decoded token that nobody reads.
_CROWDED = 7 / 8


class GrowingLayer(DynamicLayer):
    """transformers' `DynamicLayer`, but with room ahead of the keys and values.

    The original concatenates, which copies all that was cached for every new token.
    `keys` and `values` are views of the used part, (N, heads, length, d).
    """

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self._adopt(keys, values)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append (N, heads, t, d) and return everything cached."""
        length = self.keys.shape[2]
        end = length + key_states.shape[2]
        if end > self._buffers[0].shape[2]:
            self._adopt(self.keys, self.values, room=max(_ROOM, key_states.shape[2]))
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, length:end] = new
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows only."""
        self._adopt(self.keys[indices], self.values[indices])

    def _adopt(self, keys: Tensor, values: Tensor, *, room: int = _ROOM) -> None:
        """Copy into buffers with `room` more tokens."""
        self._buffers = [pad(part, (0, 0, 0, room)) for part in (keys, values)]
        length = keys.shape[2]
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)


def growing_columns(
    model: Any,
    cache: Any,
    mask: Tensor,
    logits: Tensor,
    *,
    room: int,
    temperature: float,
    eos: Tensor,
    generator: torch.Generator | None,
) -> list[Column]:
    """A column a token until every row has ended or `room` tokens are written.

    `cache`: prefilled, one row a completion; `mask`: (N, L) of the prompts; `logits`:
    (N, V) the prefill's. After an eos a row holds `eos[0]`, log-prob 0 and entropy 0.
    """
    make_growing(cache)
    total, padded = len(mask), not bool(mask.all())
    rows = torch.arange(total, device=mask.device)  # those still in the batch
    going = torch.ones_like(rows, dtype=torch.bool)  # those of them without an eos
    columns: list[Column] = []
    while True:
        # one uniform for every row, ended or not: the draw of a row never depends on
        # which other rows have left
        uniforms = torch.rand(total, generator=generator).to(mask.device)[rows]
        ids, taken, entropy = draw_tokens(logits, temperature, uniforms)
        column = (eos[0].repeat(total), taken.new_zeros(total), taken.new_zeros(total))
        for full, part in zip(column, (ids, taken, entropy), strict=True):
            full[rows] = torch.where(going, part, full[rows])
        columns.append(column)
        going = going & ~torch.isin(ids, eos)
        count = int(going.sum())
        if count == 0 or len(columns) == room:
            return columns
        if count <= _CROWDED * len(rows):
            keep = going.nonzero().squeeze(1)
            cache.batch_select_indices(keep)
            mask, rows, going, ids = mask[keep], rows[keep], going[keep], ids[keep]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        logits = model(
            input_ids=ids[:, None],
            attention_mask=mask if padded else _no_mask(model, mask),
            position_ids=mask.sum(1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]


def make_growing(cache: Any) -> None:
    """Layers of plain attention get room; sliding windows and states stay."""
    for index, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            assert layer.keys is not None and layer.values is not None
            cache.layers[index] = GrowingLayer(layer.keys, layer.values)


def _no_mask(model: Any, mask: Tensor) -> Tensor | None:
    """What tells transformers that one new token may attend to all, at least cost.

    None, but for bfloat16 on the CPU: there grouped-query attention without a mask
    reads the keys once a query head (2.5 times the time), with one once a group.
    """
    if mask.device.type != "cpu" or model.dtype != torch.bfloat16:
        return None
    return mask.bool()[:, None, None, :]
