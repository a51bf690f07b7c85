"""Held-out accuracy of a policy, the row of metrics of a step, and sample records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from rlnotes.equations.masking import masked_mean
from rlnotes.machine.devices import naming_what_to_lower
from rlnotes.policies.policy import Policy
from rlnotes.rewards.rewards import get_accuracy_reward
from rlnotes.rollouts.rollouts import Rollouts, generate_rollouts
from rlnotes.tasks.base import Task, TaskSet
from rlnotes.training.batches import (
    Batch,
    score,
    share_all_right,
    weighted_sum,
)
from rlnotes.training.config import Config
from rlnotes.training.learner import Learner
from rlnotes.training.weighting import reward_weights


@runtime_checkable
class DescribingTask(Protocol):
    """A task set that can say more of responses than right or wrong."""

    def describe(
        self, completions: Sequence[str], tasks: Sequence[Task]
    ) -> dict[str, float]:
        """Named rates over the completions."""


@dataclass(frozen=True)
class HeldOut:
    """A policy's answers to the held-out questions: one greedy, k sampled."""

    greedy: Rollouts
    sampled: Rollouts


def answer_held_out(policy: Policy, task: TaskSet, config: Config) -> HeldOut:
    """Greedy and sampled answers to every held-out question.

    The seed is fixed, so that two calls in one run differ by the policy alone.
    """
    sampler, config = policy, config.settled(policy.device.type)
    if config.bf16 and policy.model.dtype != torch.bfloat16:
        sampler = policy.clone(dtype=torch.bfloat16)
    draw = partial(
        sample_held_out,
        sampler,
        task,
        max_completion_length=config.max_completion_length,
        cache_implementation=config.cache_implementation,
    )
    return HeldOut(
        draw(num_generations=1, temperature=0.0),
        draw(num_generations=config.eval_samples, temperature=config.temperature),
    )


def sample_held_out(
    policy: Policy,
    task: TaskSet,
    *,
    num_generations: int,
    max_completion_length: int,
    temperature: float = 1.0,
    cache_implementation: str | None = None,
    seed: int = 0,
) -> Rollouts:
    """Answers to every held-out question, drawn in one batch."""
    return generate_rollouts(
        policy,
        task.held_out(),
        num_generations=num_generations,
        max_completion_length=max_completion_length,
        temperature=temperature,
        generator=torch.Generator().manual_seed(seed),
        cache_implementation=cache_implementation,
    )


def evaluate(policy: Policy, task: TaskSet, config: Config) -> dict[str, float]:
    """Held-out accuracy: greedy, sampled (avg@k), majority and best of k; endings.

    A task that can `describe` responses adds its own rates: `eval/search/waits`.
    """
    names = ("eval_samples", "max_completion_length")
    with naming_what_to_lower(config, "answering held-out questions", *names):
        answers = answer_held_out(policy, task, config)
    return held_out_metrics(answers, task, config)


def held_out_metrics(
    answers: HeldOut, task: TaskSet, config: Config
) -> dict[str, float]:
    """The metrics of `evaluate` from answers that are there already."""
    sampled = answers.sampled
    right = verdicts(sampled, task)
    return {
        "eval/greedy_accuracy": float(verdicts(answers.greedy, task).mean()),
        "eval/sampled_accuracy": float(right.mean()),
        f"eval/maj@{config.eval_samples}": majority_accuracy(sampled, right, task),
        f"eval/pass@{config.eval_samples}": float((right.amax(1) > 0).float().mean()),
        "eval/mean_length": float(sampled.lengths.float().mean()),
        "eval/terminated": float((~sampled.truncated).float().mean()),
        "eval/entropy": float(masked_mean(sampled.entropies, sampled.completion_mask)),
        **{f"eval/{key}": value for key, value in describe(sampled, task).items()},
    }


def verdicts(rollouts: Rollouts, task: TaskSet) -> Tensor:
    """The task's score of every completion, (P, k)."""
    scores = score(rollouts, [get_accuracy_reward(task.verify)])[:, 0]
    return scores.view(-1, rollouts.num_generations)


def majority_accuracy(rollouts: Rollouts, right: Tensor, task: TaskSet) -> float:
    """maj@k: the score of each group's most frequent answer, `right` (P, k)."""
    votes = zip(answers_by_question(rollouts, task), right.tolist(), strict=True)
    return sum(majority_score(*pair) for pair in votes) / len(rollouts.tasks)


def answers_by_question(rollouts: Rollouts, task: TaskSet) -> list[list[str | None]]:
    """The answer that each completion of a question gives, as they vote on it."""
    size = rollouts.num_generations
    return [
        [task.read_answer(x, one) for x in rollouts.texts[i * size : (i + 1) * size]]
        for i, one in enumerate(rollouts.tasks)
    ]


def majority_score(answers: Sequence[str | None], right: Sequence[float]) -> float:
    """The score of the most frequent answer; of equals, of the first drawn.

    0 where none of the completions gives an answer.
    """
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return 0.0
    return float(right[answers.index(votes.most_common(1)[0][0])])


def describe(rollouts: Rollouts, task: TaskSet) -> dict[str, float]:
    """The task's own description of responses, `search/waits`; none for most tasks.

    A rate without anything to share (NaN) is left out.
    """
    if not isinstance(task, DescribingTask):
        return {}
    tasks = [one for one in rollouts.tasks for _ in range(rollouts.num_generations)]
    rates = task.describe(rollouts.texts, tasks)
    family = task.name.partition("-")[0]
    return {f"{family}/{key}": rate for key, rate in rates.items() if rate == rate}


def first_sentence(text: str) -> str:
    """A text up to its first line break, or the first sentence end after a number.

    What a policy that knew when to stop would have said: nothing is added.
    """
    found = re.search(r"\n|(?<=\d)[.!?](?=\s|$)", text.strip())
    return text.strip() if found is None else text.strip()[: found.start()]


def split_gain(before: HeldOut, after: HeldOut, task: TaskSet) -> dict[str, float]:
    """Where a rise of sampled held-out accuracy comes from, in parts that add up.

        start           the untrained samples
        stopping        the same samples, each cut at its first sentence, over "start"
        sharpening      the trained samples over the cut ones, on questions that one of
                        the k untrained samples answered right, whole or cut (pass@k)
        new answers     the same on the other questions: at most 1 − pass@k

    "New" is an upper bound: more samples would have found more. The first two parts
    can be negative.
    """
    size, tasks = before.sampled.num_generations, before.sampled.tasks
    cut = [first_sentence(text) for text in before.sampled.texts]

    def right(texts: Sequence[str], k: int) -> Tensor:
        asked = [one for one in tasks for _ in range(k)]
        pairs = zip(texts, asked, strict=True)
        return torch.tensor([float(task.verify(t, one)) for t, one in pairs]).view(
            -1, k
        )

    whole, short = right(before.sampled.texts, size), right(cut, size)
    trained = right(after.sampled.texts, after.sampled.num_generations).mean(1)
    reached = torch.cat([whole, short], 1).amax(1) > 0
    rise = trained - short.mean(1)
    return {
        "start": float(whole.mean()),
        "stopping": float(short.mean() - whole.mean()),
        "sharpening": float((rise * reached).mean()),
        "new answers": float((rise * ~reached).mean()),
    }


def summarize(
    learner: Learner,
    batch: Batch,
    task: TaskSet,
    stats: dict[str, float],
    costs: dict[str, float],
) -> dict[str, float]:
    """One row of metrics.csv: TRL's log keys, the task's own, and sampling's costs."""
    config, rollouts, rewards = learner.config, batch.rollouts, batch.rewards
    total = weighted_sum(rewards, reward_weights(config))
    groups = total.view(-1, config.num_generations)
    lengths = rollouts.lengths.float()
    ended = lengths[~rollouts.truncated]
    metrics = {
        "updates": float(learner.updates),
        **stats,
        "learning_rate": learner.optimizers[0].param_groups[0]["lr"],
        "reward": float(total.nanmean()),
        "reward_std": float(groups.std(1).nanmean()),
        "frac_reward_zero_std": float(
            (groups.amax(1) == groups.amin(1)).float().mean()
        ),
        "entropy": float(masked_mean(rollouts.entropies, rollouts.completion_mask)),
        "mean_probability": float(
            masked_mean(rollouts.per_token_logps.exp(), rollouts.completion_mask)
        ),
        "num_tokens": float(learner.num_tokens),
        "num_completions": float(learner.num_completions),
        "completions/mean_length": float(lengths.mean()),
        "completions/min_length": float(lengths.min()),
        "completions/max_length": float(lengths.max()),
        "completions/mean_terminated_length": float(ended.mean())
        if len(ended)
        else 0.0,
        "completions/clipped_ratio": float(rollouts.truncated.float().mean()),
    }
    for k, name in enumerate(config.reward_names):
        metrics[f"rewards/{name}/mean"] = float(rewards[:, k].nanmean())
        present = rewards[:, k][~rewards[:, k].isnan()]
        metrics[f"rewards/{name}/std"] = (
            float(present.std()) if len(present) > 1 else 0.0
        )
        if batch.reward_weights is not None:
            weight = float(batch.reward_weights[:, k].mean())
            metrics[f"reward_weights/{name}"] = weight
    if "accuracy_reward" in config.reward_funcs:
        right = rewards[:, config.reward_funcs.index("accuracy_reward")] >= 1
        metrics["frac_all_right"] = share_all_right(right, config.num_generations)
        for name, rows in (("right", right), ("wrong", ~right)):
            if rows.any():
                metrics[f"completions/mean_length_{name}"] = float(lengths[rows].mean())
    counters: dict[str, float] = getattr(task, "counters", dict)()
    return metrics | describe(rollouts, task) | counters | costs


def sample_records(
    batch: Batch, config: Config, *, groups: int = 2
) -> list[dict[str, Any]]:
    """The first groups of a batch as records: prompt, text, rewards, advantage."""
    rollouts, records = batch.rollouts, []
    advantages = batch.advantages
    if advantages.dim() == 2:
        advantages = advantages.sum(1) / rollouts.lengths.clamp(min=1)
    for row in range(min(groups * config.num_generations, len(rollouts))):
        task = rollouts.tasks[row // config.num_generations]
        rewards = dict(
            zip(config.reward_names, batch.rewards[row].tolist(), strict=True)
        )
        records.append(
            {
                "prompt": task.prompt,
                "answer": task.answer,
                "completion": rollouts.texts[row],
                "length": int(rollouts.lengths[row]),
                "truncated": bool(rollouts.truncated[row]),
                "rewards": {k: None if v != v else v for k, v in rewards.items()},
                "advantage": float(advantages[row]),
            }
        )
    return records
