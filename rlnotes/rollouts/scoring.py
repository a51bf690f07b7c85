"""LOG-PROBS of sampled tokens under a policy: the textbook's way and the lean one."""

from __future__ import annotations

import torch
from torch import Tensor

from rlnotes.equations.fused import fused_logps
from rlnotes.equations.plain_head import plain_head_weight
from rlnotes.policies.policy import Policy
from rlnotes.rollouts.completions import Rollouts
from rlnotes.rollouts.first_use import paths_of
from rlnotes.rollouts.forwards import completion_hidden_states, plain_logps, unpack


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


def packed_logps(
    policy: Policy, rollouts: Rollouts, *, temperature: float = 1.0
) -> Tensor:
    """`per_token_logps` with little padding and a chunked head; no gradient.

    Groups are packed behind their prompt where that pays and fits the model
    (`paths_of`); elsewhere, whatever the name says, plain rows of like length go
    together (`completion_hidden_states`).
    """
    mask, paths = rollouts.completion_mask, paths_of(policy)
    with torch.no_grad():
        if paths.fused:
            logps = plain_logps(policy.model, rollouts, temperature=temperature)
            return unpack(logps, mask)
        hidden = completion_hidden_states(policy.model.base_model, rollouts, paths)
        logps, _ = fused_logps(
            hidden,
            plain_head_weight(policy.model),
            rollouts.completion_ids[mask.bool()],
            temperature=temperature,
        )
    return unpack(logps, mask)
