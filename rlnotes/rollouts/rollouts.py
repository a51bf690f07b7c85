"""ROLLOUTS: G completions for each prompt, with everything the objective needs.

The prompt is read once and its key-value cache shared out to its group; rows that have
ended leave the batch; a token is drawn by inverting the cumulative distribution, one
uniform number a row instead of vocabulary-sized noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.masking import completion_mask_from_ids
from rlnotes.equations.validation import check_choice, check_range
from rlnotes.policies.policy import Policy
from rlnotes.rollouts.kv_cache import share_with_group
from rlnotes.rollouts.sampling import draw_tokens
from rlnotes.rollouts.static import StaticStep, static_columns
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
            prompt_ids=self.prompt_ids[index],
            prompt_mask=self.prompt_mask[index],
            completion_ids=self.completion_ids[rows],
            completion_mask=self.completion_mask[rows],
            per_token_logps=self.per_token_logps[rows],
            entropies=self.entropies[rows],
            truncated=self.truncated[rows],
            texts=[self.texts[i] for i in rows.tolist()],
        )

    @staticmethod
    def concatenate(parts: Sequence[Rollouts]) -> Rollouts:
        """One batch from several with the same group size; padding is widened."""
        if len({part.num_generations for part in parts}) != 1:
            sizes = [part.num_generations for part in parts]
            raise ValueError(f"parts must share num_generations, got {sizes}")
        if len(parts) == 1:
            return parts[0]
        left = {name: _pad_and_cat(parts, name, left=True) for name in _LEFT}
        right = {name: _pad_and_cat(parts, name, left=False) for name in _RIGHT}
        return Rollouts(
            tasks=[task for part in parts for task in part.tasks],
            truncated=torch.cat([part.truncated for part in parts]),
            texts=[text for part in parts for text in part.texts],
            num_generations=parts[0].num_generations,
            **left,
            **right,
        )


# Ended rows leave the batch when an eighth of it has ended: leaving costs a copy of the
# cache, staying a decoded token that nobody reads.
_CROWDED = 7 / 8
_LEFT = ("prompt_ids", "prompt_mask")
_RIGHT = ("completion_ids", "completion_mask", "per_token_logps", "entropies")


def _pad_and_cat(parts: Sequence[Rollouts], name: str, *, left: bool) -> Tensor:
    tensors = [getattr(part, name) for part in parts]
    width = max(tensor.shape[1] for tensor in tensors)
    padded = []
    for tensor in tensors:
        missing = width - tensor.shape[1]
        pad = (missing, 0) if left else (0, missing)
        padded.append(torch.nn.functional.pad(tensor, pad))
    return torch.cat(padded)


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
    )
    return encoded["input_ids"].to(policy.device), encoded["attention_mask"].to(
        policy.device
    )


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
    replays as a CUDA graph (`static_rollouts`); the same draws but for rounding.
    Raises ValueError for an empty task list or a size or temperature out of range.
    """
    check_choice("cache_implementation", cache_implementation, (None, "static"))
    check_range("num_generations", num_generations, low=1)
    check_range("max_completion_length", max_completion_length, low=1)
    check_range("temperature", temperature, low=0)
    prompt_ids, prompt_mask = encode_prompts(policy, [task.prompt for task in tasks])
    steps = _decode(
        policy.model,
        prompt_ids,
        prompt_mask,
        num_generations,
        max_completion_length,
        temperature,
        torch.tensor(policy.eos_token_ids, device=policy.device),
        generator,
        static=cache_implementation == "static",
    )
    ids, logps, entropies = (
        torch.stack(column, 1) for column in zip(*steps, strict=True)
    )
    mask = completion_mask_from_ids(ids, policy.eos_token_ids)
    is_eos = torch.isin(ids, torch.tensor(policy.eos_token_ids, device=ids.device))
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
        truncated=~is_eos.any(1),
        texts=texts,
        num_generations=num_generations,
    )


def _decode(
    model: Any,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    num_generations: int,
    max_completion_length: int,
    temperature: float,
    eos: Tensor,
    generator: torch.Generator | None,
    *,
    static: bool,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Columns (ids, log-probs, entropies), each (N,), until every row has ended."""
    total = prompt_ids.shape[0] * num_generations
    out = model(
        input_ids=prompt_ids,
        attention_mask=prompt_mask,
        position_ids=(prompt_mask.cumsum(1) - 1).clamp(min=0),
        use_cache=True,
        # an index, not the number 1: a slice would leave the batch strided, and the
        # head would be multiplied, and copied, once a row
        logits_to_keep=torch.tensor([prompt_ids.shape[1] - 1], device=eos.device),
    )
    logits = out.logits[:, -1].repeat_interleave(num_generations, 0).float()
    mask = prompt_mask.repeat_interleave(num_generations, 0)
    if static:
        cache, room = out.past_key_values, max_completion_length
        cache.batch_repeat_interleave(num_generations)
        step = StaticStep(model, cache, mask, room, temperature)
        return static_columns(step, logits, eos, room, generator)
    cache = share_with_group(out.past_key_values, num_generations)
    padded = not bool(prompt_mask.all())
    rows = torch.arange(total, device=mask.device)  # those still in the batch
    going = torch.ones_like(rows, dtype=torch.bool)  # those of them without an eos
    columns = []
    for position in range(max_completion_length):
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
        if count == 0 or position + 1 == max_completion_length:
            break
        if count <= _CROWDED * len(rows):
            keep = going.nonzero().squeeze(1)
            cache.batch_select_indices(keep)
            mask, rows, going, ids = mask[keep], rows[keep], going[keep], ids[keep]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        logits = (
            model(
                input_ids=ids[:, None],
                attention_mask=mask if padded else _no_mask(model, mask),
                position_ids=mask.sum(1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
            )
            .logits[:, -1]
            .float()
        )
    return columns


def _no_mask(model: Any, mask: Tensor) -> Tensor | None:
    """What tells transformers that one new token may attend to all, at least cost.

    None, but for bfloat16 on the CPU: there grouped-query attention without a mask
    reads the keys once a query head (2.5 times the time), with one once a group.
    """
    if mask.device.type != "cpu" or model.dtype != torch.bfloat16:
        return None
    return mask.bool()[:, None, None, :]


@dataclass(frozen=True)
class SamplingAccount:
    """What dynamic sampling cost: batches, groups, how many of them were useful."""

    batches: int
    groups_sampled: int
    groups_informative: int
    completions: int
    tokens: int


def sample_informative(
    sample: Callable[[int], tuple[Rollouts, Tensor]],
    num_prompts: int,
    *,
    max_resample_times: int,
) -> tuple[Rollouts, SamplingAccount]:
    """DAPO Eq 11: draw batches until `num_prompts` groups are neither all right nor all
    wrong, at most `max_resample_times` batches beyond the first.

    `sample(k)` gives the k-th batch and a (P,) bool of its informative groups.
    Fallback, recorded in the account: when the limit is reached, uninformative groups
    fill the batch up (their advantage is zero), so a run slows down but never hangs.
    """
    check_range("num_prompts", num_prompts, low=1)
    check_range("max_resample_times", max_resample_times, low=0)
    kept: list[Rollouts] = []
    spare: list[Rollouts] = []
    found = useful = groups = completions = tokens = batch = 0
    while found < num_prompts and batch <= max_resample_times:
        rollouts, informative = sample(batch)
        batch += 1
        groups += len(informative)
        completions += len(rollouts)
        tokens += rollouts.num_tokens
        useful += int(informative.sum())
        good = informative.nonzero().flatten().tolist()[: num_prompts - found]
        found += len(good)
        if good:
            kept.append(rollouts.select(good))
        dull = (~informative).nonzero().flatten().tolist()
        if dull:
            spare.append(rollouts.select(dull))
    filling = num_prompts - found
    if filling:
        pool = Rollouts.concatenate(spare)
        kept.append(pool.select(range(filling)))
    account = SamplingAccount(batch, groups, useful, completions, tokens)
    return Rollouts.concatenate(kept), account
