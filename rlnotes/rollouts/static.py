"""ROLLOUTS with static shapes: every token is the same program; a GPU records it
once as a CUDA graph and replays it.

A small model on a GPU waits for the CPU that launches its kernels; a replayed graph is
one launch a token. The price: the cache has all its room from the start, attention runs
over that room, and a row that has ended stays in the batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from rlnotes.rollouts.sampling import Column, draw_tokens

_LOOK = 16  # tokens between two looks whether every row has ended: each look waits


class StaticLayer(DynamicLayer):
    """Keys and values (N, heads, room, d); `update` writes at `slot` and returns all.

    `slot`: (1,), shared by all layers; the attention mask hides what is not written.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, room: int, slot: Tensor) -> None:
        super().__init__()
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized, self.slot = True, slot
        self.keys, self.values = (
            torch.nn.functional.pad(part, (0, 0, 0, room - part.shape[2]))
            for part in (keys, values)
        )

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one token (N, heads, 1, d) in place."""
        self.keys.index_copy_(2, self.slot, key_states)
        self.values.index_copy_(2, self.slot, value_states)
        return self.keys, self.values


class StaticStep:
    """One token of all N rows, from static tensors to static tensors.

    `cache`: prefilled, one row a completion; `mask`: (N, L) of the prompts. `column` is
    what the last call has drawn; `uniforms` (N,) must be filled before each call.
    """

    def __init__(
        self, model: Any, cache: Any, mask: Tensor, room: int, temperature: float
    ) -> None:
        self.model, self.cache, self.temperature = model, cache, temperature
        rows, width = mask.shape
        self.slot = torch.tensor([width], device=mask.device)
        for index, layer in enumerate(cache.layers):
            if type(layer) is not DynamicLayer:
                raise ValueError(
                    "cache_implementation='static' needs plain attention layers, got"
                    f" {type(layer).__name__}"
                )
            assert layer.keys is not None and layer.values is not None
            cache.layers[index] = StaticLayer(
                layer.keys, layer.values, width + room, self.slot
            )
        allowed = torch.nn.functional.pad(mask.bool(), (0, room))
        self.attention = allowed[:, None, None, :].contiguous()
        self.positions = mask.sum(1, keepdim=True)
        self.uniforms = torch.zeros(rows, device=mask.device)
        self.column: Column = (
            torch.zeros_like(self.slot).repeat(rows),
            torch.zeros_like(self.uniforms),
            torch.zeros_like(self.uniforms),
        )

    def draw(self, logits: Tensor) -> None:
        """Fill `column` from logits (N, V)."""
        drawn = draw_tokens(logits, self.temperature, self.uniforms)
        for mine, new in zip(self.column, drawn, strict=True):
            mine.copy_(new)

    def __call__(self) -> None:
        """Feed the tokens of `column`, draw the next ones into it."""
        self.attention.index_fill_(3, self.slot, True)
        logits = self.model(
            input_ids=self.column[0][:, None],
            attention_mask=self.attention,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        self.positions += 1
        self.slot += 1
        self.draw(logits)


def static_columns(
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
    """`growing.growing_columns` with one program a token: arguments and columns."""
    step, rows = StaticStep(model, cache, mask, room, temperature), len(mask)
    going = torch.ones(rows, dtype=torch.bool, device=logits.device)
    columns: list[Column] = []
    needed = []  # whether a row was going when the column was drawn
    advance = _Graph(step) if logits.is_cuda else step
    for position in range(room):
        step.uniforms.copy_(torch.rand(rows, generator=generator))
        if position:
            advance()
        else:
            step.draw(logits)
        ids, logps, entropies = step.column
        needed.append(going.any())
        columns.append(
            (
                torch.where(going, ids, eos[0]),
                torch.where(going, logps, 0.0),
                torch.where(going, entropies, 0.0),
            )
        )
        going = going & ~(ids[:, None] == eos).any(1)
        if position % _LOOK == _LOOK - 1 and not bool(going.any()):
            break
    return columns[: int(torch.stack(needed).sum())]


class _Graph:
    """A step that is recorded at its third call and replayed from then on.

    The first two run as they are, on a stream of their own, as recording demands.
    """

    def __init__(self, step: StaticStep) -> None:
        self.step, self.calls = step, 0
        self.graph = torch.cuda.CUDAGraph()
        self.stream = torch.cuda.Stream()

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= 2:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.step()
            torch.cuda.current_stream().wait_stream(self.stream)
            return
        if self.calls == 3:
            with torch.cuda.graph(self.graph):
                self.step()  # recorded, not run
        self.graph.replay()
