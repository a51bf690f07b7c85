"""REPORT on a policy: the loop's own evaluation, question by question, with intervals.

A question is asked once greedily and `samples` times at the policy's temperature, in
rounds of `config.eval_samples`; the first round is the one that the loop draws, so its
means are the record's held-out numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from rlnotes.analysis.intervals import Interval, mean_interval, wilson_interval
from rlnotes.equations.validation import check_range
from rlnotes.policies.policy import Policy
from rlnotes.rollouts.rollouts import Rollouts
from rlnotes.tasks.base import TaskSet
from rlnotes.tasks.lenient import lenient_score
from rlnotes.training.config import Config
from rlnotes.training.evaluation import (
    HeldOut,
    answer_held_out,
    answers_by_question,
    held_out_metrics,
    majority_score,
    sample_held_out,
    verdicts,
)

Scores = dict[str, list[float]]


@dataclass(frozen=True)
class Report:
    """Scores of a policy on each held-out question of a task."""

    policy: str
    task: str
    samples: int
    settings: dict[str, Any]
    questions: list[str]
    strict: Scores
    """greedy, avg@k, maj@k and pass@j by the task's own verdict, (P,) each."""
    lenient: Scores
    """The same, but maj, by `lenient_score`."""
    metrics: dict[str, float]
    """What the loop would have recorded: the first round."""

    def differences(self, other: Report) -> dict[str, Interval]:
        """This policy less the other, paired by question, strict.

        Raises ValueError unless both were asked the same questions as often.
        """
        mine, theirs = (self.questions, self.samples), (other.questions, other.samples)
        if mine != theirs:
            raise ValueError(
                f"against: {other.policy} was asked other questions, or not as often"
            )
        return {
            name: mean_interval(
                [a - b for a, b in zip(scores, other.strict[name], strict=True)]
            )
            for name, scores in self.strict.items()
        }

    def table(self, other: Report | None = None) -> str:
        """Strict and lenient means with 95 % intervals over questions, in Markdown."""
        head = ["", "strict", "lenient"]
        head += [other.policy, "difference, paired"] if other else []
        lines = [head, ["---"] * len(head)]
        gaps = self.differences(other) if other else {}
        for name, scores in self.strict.items():
            loose = self.lenient.get(name)
            line = [name, str(interval(scores)), str(interval(loose)) if loose else ""]
            line += (
                [str(interval(other.strict[name])), str(gaps[name])] if other else []
            )
            lines.append(line)
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, the scores of every question too."""
        means = {
            kind: {k: vars(interval(v)) for k, v in getattr(self, kind).items()}
            for kind in ("strict", "lenient")
        }
        return {**vars(self), "intervals": means}


def report_on(policy: Policy, task: TaskSet, config: Config, samples: int) -> Report:
    """Ask every held-out question `samples` times; ValueError below 1."""
    check_range("samples", samples, low=1, integer=True)
    answers = answer_held_out(policy, task, config)
    rounds = [answers.sampled] + [
        _further(policy, task, config, seed, samples)
        for seed in range(1, -(-samples // config.eval_samples))
    ]
    asked = answers.greedy.tasks
    return Report(
        policy=policy.name,
        task=task.name,
        samples=samples,
        settings={
            "temperature": config.temperature,
            "max_completion_length": config.max_completion_length,
            "eval_samples": config.eval_samples,
            "bf16": config.bf16,
        },
        questions=[str(one.columns.get("question", one.prompt)) for one in asked],
        strict=_strict(answers, rounds, task, samples),
        lenient=_lenient(answers, rounds, task, samples),
        metrics=held_out_metrics(answers, task, config),
    )


def pass_at(k: int, right: Sequence[float]) -> float:
    """Unbiased pass@k of n samples, c of them right: 1 − C(n − c, k) / C(n, k).

    Chen et al. 2021 (2107.03374), Eq 1. Raises ValueError unless 1 ≤ k ≤ n.
    """
    n, c = len(right), sum(value >= 1 for value in right)
    check_range("k", k, low=1, high=n, integer=True)
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def interval(scores: Sequence[float]) -> Interval:
    """Mean over questions: Wilson's interval where all scores are 0 or 1, else t."""
    if all(score in (0, 1) for score in scores):
        return wilson_interval(int(sum(scores)), len(scores))
    return mean_interval(scores)


def _further(
    policy: Policy, task: TaskSet, config: Config, seed: int, samples: int
) -> Rollouts:
    """The round of another seed; the last one may be smaller."""
    if config.bf16 and policy.model.dtype != torch.bfloat16:
        policy = policy.clone(dtype=torch.bfloat16)
    left = samples - seed * config.eval_samples
    return sample_held_out(
        policy,
        task,
        num_generations=min(config.eval_samples, left),
        max_completion_length=config.max_completion_length,
        temperature=config.temperature,
        cache_implementation=config.cache_implementation,
        seed=seed,
    )


def _strict(
    answers: HeldOut, rounds: Sequence[Rollouts], task: TaskSet, samples: int
) -> Scores:
    right = torch.cat([verdicts(one, task) for one in rounds], 1)[:, :samples].tolist()
    parts = [answers_by_question(one, task) for one in rounds]
    votes = [list(chain(*lists)) for lists in zip(*parts, strict=True)]
    majority = [
        majority_score(v[:samples], r) for v, r in zip(votes, right, strict=True)
    ]
    scores = _measures(verdicts(answers.greedy, task)[:, 0].tolist(), right)
    return {**scores, f"maj@{samples}": majority}


def _lenient(
    answers: HeldOut, rounds: Sequence[Rollouts], task: TaskSet, samples: int
) -> Scores:
    def judged(rollouts: Rollouts) -> list[list[float]]:
        size = rollouts.num_generations
        return [
            [
                lenient_score(task, text, one)
                for text in rollouts.texts[i * size : (i + 1) * size]
            ]
            for i, one in enumerate(rollouts.tasks)
        ]

    parts = [judged(one) for one in rounds]
    right = [list(chain(*lists))[:samples] for lists in zip(*parts, strict=True)]
    return _measures([row[0] for row in judged(answers.greedy)], right)


def _measures(greedy: list[float], right: list[list[float]]) -> Scores:
    """greedy, avg@n, and pass@k for k = 2, 4, 8, … and n."""
    n = len(right[0])
    ks = [k for k in (2**i for i in range(1, n.bit_length())) if k < n] + [n] * (n > 1)
    return {
        "greedy": greedy,
        f"avg@{n}": [sum(row) / n for row in right],
        **{f"pass@{k}": [pass_at(k, row) for row in right] for k in ks},
    }
