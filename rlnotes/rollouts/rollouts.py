"""ROLLOUTS: G completions for each prompt, with everything the objective needs.

`decoding` writes them token by token, by a path that `first_use` has compared with the
plain forward; `sampling` draws a token by inverting the cumulative distribution, one
uniform number a row instead of vocabulary-sized noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.masking import completion_mask_from_ids
from rlnotes.equations.validation import check_choice, check_range
from rlnotes.policies.policy import Policy
from rlnotes.rollouts.completions import Rollouts
from rlnotes.rollouts.decoding import cached_columns, recomputed_columns
from rlnotes.rollouts.first_use import check_ids, check_positions, paths_of
from rlnotes.tasks.base import Task

__all__ = ["Rollouts", "encode_prompts", "generate_rollouts"]


def encode_prompts(policy: Policy, prompts: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Ids and mask (P, L), left-padded; message lists go through the chat template."""
    if not prompts:
        raise ValueError("prompts is empty, expected at least one")
    tokenizer = policy.tokenizer
    if isinstance(prompts[0], str):
        texts, special = list(prompts), True
    else:
        if getattr(tokenizer, "chat_template", None) is None:
            raise ValueError(
                f"prompts are message lists, but the tokenizer of {policy.name!r} has"
                " no chat template: use plain strings"
            )
        texts = [
            tokenizer.apply_chat_template(p, add_generation_prompt=True, tokenize=False)
            for p in prompts
        ]
        special = False  # the template writes them
    encoded = tokenizer(
        texts,
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=special,
        return_token_type_ids=False,
    ).to(policy.device)
    return encoded["input_ids"], encoded["attention_mask"]


@torch.no_grad()
def generate_rollouts(
    policy: Policy,
    tasks: Sequence[Task],
    *,
    num_generations: int,
    max_completion_length: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    cache_implementation: str | None = None,
) -> Rollouts:
    """Sample `num_generations` completions for every task; temperature 0 is greedy.

    `cache_implementation`: None, or "static" for one program a token, which a GPU
    replays as a CUDA graph (`rollouts.static`); the same draws but for rounding.
    Raises ValueError for an empty task list or a size or temperature out of range.
    """
    check_choice("cache_implementation", cache_implementation, (None, "static"))
    check_range("num_generations", num_generations, low=1)
    check_range("max_completion_length", max_completion_length, low=1)
    check_range("temperature", temperature, low=0)
    prompt_ids, prompt_mask = encode_prompts(policy, [task.prompt for task in tasks])
    check_ids(policy, prompt_ids)
    check_positions(policy, prompt_mask, max_completion_length)
    eos = torch.tensor(policy.eos_token_ids, device=policy.device)
    decode = recomputed_columns
    if not paths_of(policy).cached:
        decode = partial(cached_columns, static=cache_implementation == "static")
    elif cache_implementation is not None:
        raise ValueError(
            f"cache_implementation={cache_implementation!r} needs plain attention"
            f" layers: {paths_of(policy).cached}"
        )
    columns = decode(
        policy.model,
        prompt_ids,
        prompt_mask,
        num_generations=num_generations,
        room=max_completion_length,
        temperature=temperature,
        eos=eos,
        generator=generator,
    )
    ids, logps, entropies = (
        torch.stack(part, 1) for part in zip(*columns, strict=True)
    )
    mask = completion_mask_from_ids(ids, policy.eos_token_ids)
    texts = policy.tokenizer.batch_decode(
        [row[:n] for row, n in zip(ids.tolist(), mask.sum(1).tolist(), strict=True)],
        skip_special_tokens=True,
    )
    return Rollouts(
        tasks=list(tasks),
        prompt_ids=prompt_ids,
        prompt_mask=prompt_mask,
        completion_ids=ids * mask,
        completion_mask=mask,
        per_token_logps=logps * mask,
        entropies=entropies * mask,
        truncated=~torch.isin(ids, eos).any(1),
        texts=texts,
        num_generations=num_generations,
    )
