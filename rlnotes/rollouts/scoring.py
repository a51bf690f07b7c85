"""Log-probs of sampled tokens under a policy: the plain forward and two lean ones.

The plain forward (`per_token_logps`) is the definition. The packed forward reads each
prompt once and lays its G completions behind it in one row, each seeing the prompt and
itself only; no padding is computed. Where prompts are short and completions long, that
row's attention costs more than it saves, and rows of like length go together instead.
The head sees completion tokens alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rlnotes.equations.fused import fused_logps
from rlnotes.equations.plain_head import plain_head_weight
from rlnotes.policies.policy import Policy
from rlnotes.rollouts.rollouts import Rollouts


def per_token_logps(
    policy: Policy, rollouts: Rollouts, *, temperature: float = 1.0
) -> Tensor:
    """log π_θ(o_t | q, o_<t) of every completion token, (N, T), 0 off-mask.

    The textbook way: prompt and completion side by side, one forward, log-softmax,
    gather. It holds (N, L + T, V) logits: for reading and for tests.
    """
    size = rollouts.num_generations
    prompt_mask = rollouts.prompt_mask.repeat_interleave(size, 0)
    prompt_ids = rollouts.prompt_ids.repeat_interleave(size, 0)
    mask = torch.cat([prompt_mask, rollouts.completion_mask.to(prompt_mask)], 1)
    logits = policy.model(
        input_ids=torch.cat([prompt_ids, rollouts.completion_ids], 1),
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
    ).logits
    # the logits at position t speak of token t + 1
    logits = logits[:, prompt_ids.shape[1] - 1 : -1].float() / temperature
    log_probs = torch.log_softmax(logits, -1)
    taken = log_probs.gather(2, rollouts.completion_ids[..., None]).squeeze(-1)
    return taken * rollouts.completion_mask


def completion_hidden_states(backbone: Any, rollouts: Rollouts) -> Tensor:
    """Last hidden states (M, H) that predict the M masked-in completion tokens.

    Row-major order of `rollouts.completion_mask`; `backbone` is `model.base_model`.
    Packed or in buckets, whichever has less to compute.
    """
    width = backbone.config.hidden_size
    if packing_pays(rollouts, width):
        return packed_hidden_states(backbone, rollouts)
    return bucketed_hidden_states(backbone, rollouts)


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


def bucketed_hidden_states(backbone: Any, rollouts: Rollouts) -> Tensor:
    """`completion_hidden_states` from plain rows, like lengths together.

    Prompt and completion side by side, padded on the right, where causal attention
    never looks; the rows are sorted by length and go through in four batches.
    """
    size, lengths = rollouts.num_generations, rollouts.lengths.cpu()
    prompts, completions = _unpadded(rollouts)
    totals = lengths + rollouts.prompt_mask.sum(1).cpu().repeat_interleave(size)
    order = totals.argsort(stable=True)
    parts: list[Tensor] = []
    for chosen in order.chunk(_BUCKETS):
        rows = _lay_out([(prompts[i // size], [completions[i]]) for i in chosen])
        rows = rows.to(rollouts.prompt_ids.device)
        hidden = backbone(input_ids=rows.ids, use_cache=False).last_hidden_state
        parts.append(_states(hidden, rows.predictors))
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


def packed_logps(
    policy: Policy, rollouts: Rollouts, *, temperature: float = 1.0
) -> Tensor:
    """`per_token_logps` with little padding and a chunked head; no gradient.

    Groups are packed behind their prompt where that pays; elsewhere, whatever the name
    says, plain rows of like length go together (`completion_hidden_states`).
    """
    with torch.no_grad():
        hidden = completion_hidden_states(policy.model.base_model, rollouts)
        mask = rollouts.completion_mask.bool()
        logps, _ = fused_logps(
            hidden,
            plain_head_weight(policy.model),
            rollouts.completion_ids[mask],
            temperature=temperature,
        )
    return unpack(logps, rollouts.completion_mask)


def unpack(values: Tensor, completion_mask: Tensor) -> Tensor:
    """Flat values (M,) of the masked-in tokens in their places, (N, T), 0 elsewhere."""
    out = values.new_zeros(completion_mask.shape)
    out[completion_mask.bool()] = values
    return out
