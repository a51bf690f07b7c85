"""Log-probs of sampled tokens under a policy: the plain forward and two lean ones.

The plain forward (`per_token_logps`) is the definition. The packed forward reads each
prompt once and lays its G completions behind it in one row, each seeing the prompt and
itself only; no padding is computed. Where prompts are short and completions long, that
row's attention costs more than it saves, and rows of like length go together instead.
The head sees completion tokens alone.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

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
    size, device = rollouts.num_generations, rollouts.prompt_ids.device
    prompts = rollouts.prompt_mask.sum(1).repeat_interleave(size).tolist()
    lengths = rollouts.completion_mask.sum(1).tolist()
    starts = [0, *itertools.accumulate(lengths)]
    fed = [prompt + n - 1 for prompt, n in zip(prompts, lengths, strict=True)]
    # row by row on a GPU, each slice would be a transfer of its own
    prompt_ids, completion_ids = (
        rollouts.prompt_ids.cpu(),
        rollouts.completion_ids.cpu(),
    )
    order = torch.tensor(fed).argsort(stable=True)
    parts: list[Tensor] = []
    places: list[int] = []
    for rows in order.chunk(_BUCKETS):
        chosen = rows.tolist()
        ids = torch.zeros(len(chosen), max(fed[row] for row in chosen)).long()
        predictors: list[int] = []
        for i, row in enumerate(chosen):
            prompt, n = prompts[row], lengths[row]
            full = prompt_ids[row // size]
            ids[i, :prompt] = full[len(full) - prompt :]
            ids[i, prompt : fed[row]] = completion_ids[row, : max(n - 1, 0)]
            first = i * ids.shape[1] + prompt - 1
            predictors += range(first, first + n)
            places += range(starts[row], starts[row] + n)
        hidden = backbone(input_ids=ids.to(device), use_cache=False).last_hidden_state
        parts.append(_rows(hidden, torch.tensor(predictors, device=device)))
    return torch.cat(parts)[torch.tensor(places, device=device).argsort()]


def packed_hidden_states(backbone: Any, rollouts: Rollouts) -> Tensor:
    """`completion_hidden_states` from packed rows.

    The first token of all G completions is predicted by one and the same state, the
    prompt's last, so it is computed once and gathered G times.
    """
    plan = _pack(rollouts)
    hidden = backbone(
        input_ids=plan.ids,
        attention_mask=plan.attention,
        position_ids=plan.positions,
        use_cache=False,
    ).last_hidden_state
    return _rows(hidden, plan.predictors)


def _rows(hidden: Tensor, index: Tensor) -> Tensor:
    """States (M, H) out of (rows, S, H).

    `index_select`, not brackets: several tokens are predicted by one state, and the
    brackets' backward adds their gradients from several threads in any order.
    """
    return hidden.flatten(0, 1).index_select(0, index)


class _Plan:
    """Packed ids and positions (P, S), attention (P, 1, S, S), predictors (M,)."""

    def __init__(
        self, ids: Tensor, positions: Tensor, attention: Tensor, predictors: Tensor
    ):
        self.ids, self.positions = ids, positions
        self.attention, self.predictors = attention, predictors


def _pack(rollouts: Rollouts) -> _Plan:
    """Lay out one row per prompt: prompt | o_1 | … | o_G, final tokens left out.

    The final token of a completion predicts nothing, so it is never fed in.
    """
    size, device = rollouts.num_generations, rollouts.prompt_ids.device
    prompt_lengths = rollouts.prompt_mask.sum(1).tolist()
    lengths = rollouts.completion_mask.sum(1).tolist()
    fed = [max(n - 1, 0) for n in lengths]
    rows = range(len(prompt_lengths))
    widths = [prompt_lengths[p] + sum(fed[p * size : (p + 1) * size]) for p in rows]
    shape = (len(prompt_lengths), max(widths))
    ids = torch.zeros(shape, dtype=torch.long)
    positions = torch.zeros(shape, dtype=torch.long)
    segment = torch.full(shape, -1)  # -1 padding, 0 prompt, i + 1 completion i
    predictors = []
    prompt_ids, completion_ids = (
        rollouts.prompt_ids.cpu(),
        rollouts.completion_ids.cpu(),
    )
    for p in rows:
        cursor = prompt_lengths[p]
        ids[p, :cursor] = prompt_ids[p, prompt_ids.shape[1] - cursor :]
        positions[p, :cursor] = torch.arange(cursor)
        segment[p, :cursor] = 0
        last = p * shape[1] + cursor - 1
        for i in range(size):
            row = p * size + i
            n = fed[row]
            ids[p, cursor : cursor + n] = completion_ids[row, :n]
            positions[p, cursor : cursor + n] = prompt_lengths[p] + torch.arange(n)
            segment[p, cursor : cursor + n] = i + 1
            start = p * shape[1] + cursor
            if lengths[row]:
                predictors += [last, *range(start, start + n)]
            cursor += n
    attention = _block_attention(segment)
    index = torch.tensor(predictors, dtype=torch.long, device=device)
    return _Plan(ids.to(device), positions.to(device), attention.to(device), index)


def _block_attention(segment: Tensor) -> Tensor:
    """Causal within the prompt and within each completion; completions see the prompt.

    (P, 1, S, S) bool, true = may attend. A padding slot attends to itself: a softmax
    over nothing would be NaN.
    """
    width = segment.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    query, key = segment[:, :, None], segment[:, None, :]
    allowed = causal & ((key == query) | (key == 0)) & (query >= 0)
    return (allowed | torch.eye(width, dtype=torch.bool))[:, None]


def packed_logps(
    policy: Policy, rollouts: Rollouts, *, temperature: float = 1.0
) -> Tensor:
    """`per_token_logps` with little padding and a chunked head; no gradient."""
    from rlnotes.equations.fused import fused_logps, plain_head_weight

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
