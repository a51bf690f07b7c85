"""ROLLOUTS: G completions for each prompt, with everything the objective needs.

The prompt is read once and its key-value cache shared out to its group. `growing` and
`static` decode from there; `sampling` draws a token by inverting the cumulative
distribution, one uniform number a row instead of vocabulary-sized noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rlnotes.equations.masking import completion_mask_from_ids
from rlnotes.equations.validation import check_choice, check_range
from rlnotes.policies.policy import Policy
from rlnotes.rollouts.growing import growing_columns
from rlnotes.rollouts.static import static_columns
from rlnotes.tasks.base import Task


@dataclass
class Rollouts:
    """P tasks and N = P·G completions of at most T tokens; row i answers task i // G.

    prompt_ids, prompt_mask: (P, L) left-padded.
    completion_ids, completion_mask: (N, T) right-padded; the mask holds the first eos
        and nothing after it, whatever the pad id is.
    per_token_logps, entropies: (N, T) nats under the policy as it sampled, 0 off-mask.
    truncated: (N,) true where no eos came within T tokens.
    """

    tasks: list[Task]
    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor
    per_token_logps: Tensor
    entropies: Tensor
    truncated: Tensor
    texts: list[str]
    num_generations: int

    def __len__(self) -> int:
        return self.completion_ids.shape[0]

    @property
    def lengths(self) -> Tensor:
        """Tokens in each completion, eos included, (N,)."""
        return self.completion_mask.sum(1)

    @property
    def num_tokens(self) -> int:
        """Tokens read and written, the prompt once a completion, as TRL counts them."""
        return int(self.prompt_mask.sum()) * self.num_generations + int(
            self.completion_mask.sum()
        )

    def select(self, groups: Sequence[int]) -> Rollouts:
        """The rollouts of the given prompts, in that order."""
        index = torch.as_tensor(list(groups), dtype=torch.long)
        size = self.num_generations
        rows = (index[:, None] * size + torch.arange(size)).flatten()
        return dataclasses.replace(
            self,
            tasks=[self.tasks[i] for i in index.tolist()],
            texts=[self.texts[i] for i in rows.tolist()],
            truncated=self.truncated[rows],
            **{name: getattr(self, name)[index] for name in _OF_PROMPTS},
            **{name: getattr(self, name)[rows] for name in _OF_TOKENS},
        )

    @staticmethod
    def concatenate(parts: Sequence[Rollouts]) -> Rollouts:
        """One batch from several with the same group size; padding is widened."""
        if len({part.num_generations for part in parts}) != 1:
            sizes = [part.num_generations for part in parts]
            raise ValueError(f"parts must share num_generations, got {sizes}")
        if len(parts) == 1:
            return parts[0]
        return Rollouts(
            tasks=[task for part in parts for task in part.tasks],
            texts=[text for part in parts for text in part.texts],
            truncated=torch.cat([part.truncated for part in parts]),
            num_generations=parts[0].num_generations,
            **{name: _joined(parts, name, "left") for name in _OF_PROMPTS},
            **{name: _joined(parts, name, "right") for name in _OF_TOKENS},
        )


_OF_PROMPTS = ("prompt_ids", "prompt_mask")
_OF_TOKENS = ("completion_ids", "completion_mask", "per_token_logps", "entropies")


def _joined(parts: Sequence[Rollouts], name: str, padding_side: str) -> Tensor:
    rows = [row for part in parts for row in getattr(part, name)]
    return pad_sequence(rows, batch_first=True, padding_side=padding_side)


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
    eos = torch.tensor(policy.eos_token_ids, device=policy.device)
    cache, logits = _prefill(policy.model, prompt_ids, prompt_mask, num_generations)
    decode = growing_columns if cache_implementation is None else static_columns
    columns = decode(
        policy.model,
        cache,
        prompt_mask.repeat_interleave(num_generations, 0),
        logits,
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


def _prefill(
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
