"""FORWARDS over sampled completions: the plain one and two lean ones.

The plain forward reads rows of one length, alone, without padding, mask or positions:
that is the definition for every causal model. The packed forward reads each prompt
once and lays its G completions behind it in one row, each seeing the prompt and
itself only; no padding is computed. Where prompts are short and completions long, that
row's attention costs more than it saves, and rows of like length go together instead.
The head sees completion tokens alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rlnotes.policies.paths import UNKNOWN, Paths
from rlnotes.rollouts.completions import Rollouts


def completion_hidden_states(
    backbone: Any, rollouts: Rollouts, paths: Paths | None
) -> Tensor:
    """Last hidden states (M, H) that predict the M masked-in completion tokens.

    Row-major order of `rollouts.completion_mask`; `backbone` is `model.base_model`.
    Packed or in buckets, whichever has less to compute and is right for the model.
    """
    paths = paths or UNKNOWN
    if not paths.packed and packing_pays(rollouts, backbone.config.hidden_size):
        return packed_hidden_states(backbone, rollouts)
    if not paths.bucketed:
        return bucketed_hidden_states(backbone, rollouts)
    return plain_hidden_states(backbone, rollouts)


def plain_hidden_states(backbone: Any, rollouts: Rollouts) -> Tensor:
    """`completion_hidden_states` from rows of one length, alone: the definition."""

    def read(ids: Tensor, predictors: Tensor) -> Tensor:
        return _states(_hidden(backbone, ids), predictors)

    return _by_rows(rollouts, _of_one_length, read)


def plain_logits(model: Any, rollouts: Rollouts) -> Tensor:
    """The model's own logits (M, V) that predict the M masked-in completion tokens."""

    def read(ids: Tensor, predictors: Tensor) -> Tensor:
        return _states(model(input_ids=ids, use_cache=False).logits, predictors)

    return _by_rows(rollouts, _of_one_length, read)


def plain_logps(model: Any, rollouts: Rollouts, *, temperature: float = 1.0) -> Tensor:
    """log π_θ (M,) of the masked-in tokens by `plain_logits`: softmax and gather."""
    logits = plain_logits(model, rollouts).float() / temperature
    ids = rollouts.completion_ids[rollouts.completion_mask.bool()]
    return logits.log_softmax(-1).gather(1, ids[:, None])[:, 0]


def packing_pays(rollouts: Rollouts, hidden_size: int) -> bool:
    """Whether reading each prompt once saves more than packed attention costs.

    A token costs some 24·H² operations a layer (projections and an MLP of 4·H), a pair
    in the attention matrix 4·H: packing pays when 6·H·(tokens saved) > pairs added.
    """
    size = rollouts.num_generations
    prompts = rollouts.prompt_mask.sum(1)
    lengths = rollouts.lengths.view(-1, size)
    saved = int(prompts.sum()) * (size - 1)
    packed_pairs = (prompts + lengths.sum(1)) ** 2
    plain_pairs = ((prompts[:, None] + lengths) ** 2).sum(1)
    return 6 * hidden_size * saved > int((packed_pairs - plain_pairs).sum())


_BUCKETS = 4


def bucketed_hidden_states(
    backbone: Any, rollouts: Rollouts, *, buckets: int | None = None
) -> Tensor:
    """`completion_hidden_states` from plain rows, like lengths together.

    Prompt and completion side by side, padded on the right, where causal attention
    never looks; the rows are sorted by length and go through in four batches, or in
    `buckets`.
    """

    def read(ids: Tensor, predictors: Tensor) -> Tensor:
        return _states(_hidden(backbone, ids), predictors)

    def cut(order: Tensor, totals: Tensor) -> list[Tensor]:
        return list(order.chunk(buckets or _BUCKETS))

    return _by_rows(rollouts, cut, read)


def _of_one_length(order: Tensor, totals: Tensor) -> list[Tensor]:
    sizes = totals[order].unique_consecutive(return_counts=True)[1]
    return list(order.split(sizes.tolist()))


def _hidden(backbone: Any, ids: Tensor) -> Tensor:
    states: Tensor = backbone(input_ids=ids, use_cache=False).last_hidden_state
    return states


def _by_rows(
    rollouts: Rollouts,
    cut: Callable[[Tensor, Tensor], list[Tensor]],
    read: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """What `read(ids, predictors)` gives for all M tokens, rows sorted and `cut`."""
    size, lengths = rollouts.num_generations, rollouts.lengths.cpu()
    prompts, completions = _unpadded(rollouts)
    totals = lengths + rollouts.prompt_mask.sum(1).cpu().repeat_interleave(size)
    order = totals.argsort(stable=True)
    parts: list[Tensor] = []
    for chosen in cut(order, totals):
        rows = _lay_out([(prompts[i // size], [completions[i]]) for i in chosen])
        rows = rows.to(rollouts.prompt_ids.device)
        parts.append(read(rows.ids, rows.predictors))
    # each token stands at its row's rank by length: back to row-major order
    places = order.argsort().repeat_interleave(lengths).argsort(stable=True)
    return torch.cat(parts)[places.argsort().to(rollouts.prompt_ids.device)]


def packed_hidden_states(backbone: Any, rollouts: Rollouts) -> Tensor:
    """`completion_hidden_states` from packed rows: prompt | o_1 | … | o_G.

    The first token of all G completions is predicted by one and the same state, the
    prompt's last, so it is computed once and gathered G times.
    """
    size = rollouts.num_generations
    prompts, completions = _unpadded(rollouts)
    groups = [completions[i : i + size] for i in range(0, len(completions), size)]
    rows = _lay_out(list(zip(prompts, groups, strict=True)))
    rows = rows.to(rollouts.prompt_ids.device)
    hidden = backbone(
        input_ids=rows.ids,
        attention_mask=_block_attention(rows.segments),
        position_ids=rows.positions,
        use_cache=False,
    ).last_hidden_state
    return _states(hidden, rows.predictors)


class _Rows(NamedTuple):
    """What is fed in: ids, positions in the text, and segments, each (R, S).

    Segments: 0 the prompt, i the i-th completion behind it, −1 padding. predictors:
    (M,) the places, out of R·S, whose states predict the completion tokens.
    """

    ids: Tensor
    positions: Tensor
    segments: Tensor
    predictors: Tensor

    def to(self, device: torch.device) -> _Rows:
        return _Rows(*(part.to(device) for part in self))


def _lay_out(rows: Sequence[tuple[list[int], list[list[int]]]]) -> _Rows:
    """A prompt and its completions a row, each completion without its final token.

    The final token of a completion predicts nothing, so it is never fed in.
    """
    ids, positions, segments, predictors = [], [], [], []
    width = max(len(p) + sum(len(c[:-1]) for c in group) for p, group in rows)
    for number, (prompt, group) in enumerate(rows):
        row, places, parts = [*prompt], [*range(len(prompt))], [0] * len(prompt)
        for index, completion in enumerate(group, 1):
            fed = completion[:-1]
            if completion:
                own = range(len(row), len(row) + len(fed))
                states = [len(prompt) - 1, *own]
                predictors += [number * width + state for state in states]
            row += fed
            places += range(len(prompt), len(prompt) + len(fed))
            parts += [index] * len(fed)
        ids.append(torch.tensor(row))
        positions.append(torch.tensor(places))
        segments.append(torch.tensor(parts))
    return _Rows(
        pad_sequence(ids, batch_first=True),
        pad_sequence(positions, batch_first=True),
        pad_sequence(segments, batch_first=True, padding_value=-1),
        torch.tensor(predictors, dtype=torch.long),
    )


def _unpadded(rollouts: Rollouts) -> tuple[list[list[int]], list[list[int]]]:
    """Ids of each prompt and of each completion: one transfer, not one a row."""
    prompts = zip(
        rollouts.prompt_ids.tolist(), rollouts.prompt_mask.sum(1).tolist(), strict=True
    )
    completions = zip(
        rollouts.completion_ids.tolist(), rollouts.lengths.tolist(), strict=True
    )
    return [row[len(row) - n :] for row, n in prompts], [r[:n] for r, n in completions]


def _states(hidden: Tensor, index: Tensor) -> Tensor:
    """States (M, H) out of (R, S, H).

    `index_select`, not brackets: several tokens are predicted by one state, and the
    brackets' backward adds their gradients from several threads in any order.
    """
    return hidden.flatten(0, 1).index_select(0, index)


def _block_attention(segments: Tensor) -> Tensor:
    """Causal within the prompt and within each completion; completions see the prompt.

    (P, 1, S, S) bool, true = may attend. A padding slot attends to itself: a softmax
    over nothing would be NaN.
    """
    slots = torch.arange(segments.shape[1], device=segments.device)
    query, key = segments[:, :, None], segments[:, None, :]
    causal, itself = slots[:, None] >= slots, slots[:, None] == slots
    allowed = causal & ((key == query) | (key == 0)) & (query >= 0)
    return (allowed | itself)[:, None]


def unpack(values: Tensor, completion_mask: Tensor) -> Tensor:
    """Flat values (M,) of the masked-in tokens in their places, (N, T), 0 elsewhere."""
    out = values.new_zeros(completion_mask.shape)
    out[completion_mask.bool()] = values
    return out
