"""Key-value cache that is written in place: appending a token copies one token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

_ROOM = 64  # tokens allocated ahead


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
        self._buffers = [_with_room(part, room) for part in (keys, values)]
        length = keys.shape[2]
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)


def _with_room(part: Tensor, room: int) -> Tensor:
    rows, heads, length, width = part.shape
    buffer = torch.empty(
        (rows, heads, length + room, width), dtype=part.dtype, device=part.device
    )
    buffer[:, :, :length] = part
    return buffer


def share_with_group(cache: Any, num_generations: int) -> Any:
    """Repeat every row of a prefilled cache `num_generations` times, ready to grow.

    Layers of another kind than plain attention (sliding windows, states) repeat
    themselves and stay what they are.
    """
    for index, layer in enumerate(cache.layers):
        layer.batch_repeat_interleave(num_generations)
        if type(layer) is DynamicLayer:
            assert layer.keys is not None and layer.values is not None
            cache.layers[index] = GrowingLayer(layer.keys, layer.values)
    return cache
