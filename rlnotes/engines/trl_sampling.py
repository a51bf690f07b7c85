"""TRL's lists of tokens as our `Rollouts` and back, so that one rule serves both.

With `Rollouts` come the rule of dynamic sampling, the scores, the metrics of a step and
the samples of the record: the same functions as in our own loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rlnotes.rewards.rewards import completion_text
from rlnotes.rollouts.rollouts import Rollouts
from rlnotes.tasks.base import Task


@dataclass(frozen=True)
class Completion:
    """One completion as plain lists: what processes send each other."""

    question: dict[str, Any]
    prompt_ids: list[int]
    completion_ids: list[int]
    text: Any
    logps: list[float | None] | None
    """Sampling log-probs where the engine gives them (vLLM)."""


def question_rows(tasks: Sequence[Task], num_generations: int) -> list[dict[str, Any]]:
    """Dataset rows of TRL, each task's row `num_generations` times."""
    rows = [{"prompt": t.prompt, "answer": t.answer, **t.columns} for t in tasks]
    return [row for row in rows for _ in range(num_generations)]


def as_rollouts(
    completions: Sequence[Completion],
    *,
    num_generations: int,
    end_ids: Sequence[int],
) -> Rollouts:
    """Consecutive completions of the same prompts as a batch on the CPU.

    A completion is truncated where its last token is none of `end_ids`. Log-probs are
    0 where the engine gives none, entropies always: TRL computes them in the update.
    """
    prompts = completions[::num_generations]
    prompt_ids, prompt_mask = _padded([one.prompt_ids for one in prompts], left=True)
    ids, mask = _padded([one.completion_ids for one in completions])
    logps = torch.zeros(ids.shape)
    for row, one in enumerate(completions):
        if one.logps is not None:
            values = [math.nan if x is None else x for x in one.logps]
            logps[row, : len(values)] = torch.tensor(values)
    return Rollouts(
        tasks=[_task(one.question) for one in prompts],
        prompt_ids=prompt_ids,
        prompt_mask=prompt_mask,
        completion_ids=ids,
        completion_mask=mask,
        per_token_logps=logps,
        entropies=torch.zeros(ids.shape),
        truncated=torch.tensor(
            [one.completion_ids[-1] not in end_ids for one in completions]
        ),
        texts=[completion_text(one.text) for one in completions],
        num_generations=num_generations,
    )


def as_output(rollouts: Rollouts, rows: range, *, with_logps: bool) -> dict[str, Any]:
    """The given rows as TRL's `rollout_func` returns them: lists without padding."""
    size = rollouts.num_generations
    prompts = [
        _unpadded(rollouts.prompt_ids[i], rollouts.prompt_mask[i])
        for i in range(len(rollouts.tasks))
    ]
    masks = rollouts.completion_mask
    logps = [_unpadded(rollouts.per_token_logps[i], masks[i]) for i in rows]
    return {
        "prompt_ids": [prompts[i // size] for i in rows],
        "completion_ids": [
            _unpadded(rollouts.completion_ids[i], masks[i]) for i in rows
        ],
        "logprobs": logps if with_logps else None,
    }


def _task(question: dict[str, Any]) -> Task:
    columns = {k: v for k, v in question.items() if k not in ("prompt", "answer")}
    return Task(question["prompt"], question["answer"], columns)


def _padded(rows: Sequence[list[int]], *, left: bool = False) -> tuple[Tensor, Tensor]:
    side = "left" if left else "right"
    ids = [torch.tensor(row) for row in rows]
    ones = [torch.ones_like(row) for row in ids]
    return (
        pad_sequence(ids, batch_first=True, padding_side=side),
        pad_sequence(ones, batch_first=True, padding_side=side),
    )


def _unpadded(row: Tensor, mask: Tensor) -> list[Any]:
    return row[mask.bool()].tolist()
