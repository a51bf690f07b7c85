"""COMPLETIONS as tensors: what every step behind sampling reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

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
