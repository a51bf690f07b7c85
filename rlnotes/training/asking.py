"""ASKING a policy: with the settings it was trained with, one question or a talk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rlnotes.machine.files import read_mapping
from rlnotes.policies.kept import SETTINGS
from rlnotes.policies.policy import Policy, load_policy
from rlnotes.records.reading import load_run
from rlnotes.rewards.rewards import reward_name
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.tasks.base import Prompt, Task, TaskSet
from rlnotes.tasks.loading import load_task
from rlnotes.tasks.splits import SplitTasks
from rlnotes.training.batches import score, weighted_sum
from rlnotes.training.chosen_rewards import build_rewards
from rlnotes.training.config import Config, make_config
from rlnotes.training.weighting import reward_weights


@dataclass(frozen=True)
class Answer:
    """One completion: what it is paid, {} where the question is nobody's."""

    text: str
    rewards: dict[str, float | None]
    total: float
    truncated: bool


def asked_config(policy: str, task: str | None, overrides: Mapping[str, Any]) -> Config:
    """The config that a kept policy was trained with, `task` and `overrides` over it.

    For another policy they are laid over the defaults, and a task has to be named.
    """
    kept = Path(policy).expanduser() / SETTINGS
    values: dict[str, Any] = read_mapping(kept) if kept.is_file() else {}
    values |= {"policy": policy, **({"task": task} if task else {}), **overrides}
    if "task" not in values:
        raise ValueError(
            f"task: {policy} does not say what it was trained on; name one"
        )
    return make_config(**values)


def load_asked(name: str) -> Policy:
    """The policy, on the accelerator if there is one."""
    from rlnotes.machine.devices import best_device

    return load_policy(name).to(best_device())


def find_question(task_set: TaskSet, text: str) -> Task | None:
    """The task's question with this text (its prompt, or its last message), or None."""
    wanted = " ".join(text.split())
    known = list(task_set.held_out())
    if isinstance(task_set, SplitTasks):
        known += [task_set.task(*question) for question in task_set.questions()[0]]
    for one in known:
        texts = (one.prompt, one.columns.get("question"), prompt_text(one.prompt))
        if wanted in [" ".join(x.split()) for x in texts if isinstance(x, str)]:
            return one
    return None


def prompt_text(prompt: Prompt) -> str:
    """A prompt as a person reads it: the last message of a chat."""
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]


def ask(
    policy: Policy, config: Config, question: str | None, *, count: int, seed: int
) -> tuple[Task, list[Answer]]:
    """`count` completions of a question, the best paid first, then the shortest.

    Without a question the first held-out one. One that the task knows is paid by
    `config.reward_funcs` and the accuracy; any other is asked and not paid.
    """
    task_set = load_task(config.task)
    if question is None:
        task: Task | None = task_set.held_out()[0]
    else:
        task = find_question(task_set, question)
    asked = task or Task(_as_prompt(policy, question or ""), "")
    rollouts = generate_rollouts(
        policy,
        [asked],
        num_generations=count,
        max_completion_length=config.max_completion_length,
        temperature=config.temperature,
        generator=seeded(seed),
    )
    rows: list[dict[str, float | None]] = [{} for _ in range(count)]
    totals = [0.0] * count
    if task is not None:
        names = dict.fromkeys(("accuracy_reward", *config.reward_funcs))
        funcs = build_rewards(_paying(config, tuple(names)), task_set)
        values = score(rollouts, funcs)
        keys = [reward_name(one) for one in funcs]
        rows = [
            dict(zip(keys, (None if v != v else v for v in row), strict=True))
            for row in values.tolist()
        ]
        ours = values[:, [list(names).index(x) for x in config.reward_funcs]]
        totals = weighted_sum(ours, reward_weights(config)).nan_to_num().tolist()
    answers = map(Answer, rollouts.texts, rows, totals, rollouts.truncated.tolist())
    right = "accuracy_reward"
    return asked, sorted(
        answers, key=lambda x: (-(x.rewards.get(right) or 0), -x.total, len(x.text))
    )


def _as_prompt(policy: Policy, text: str) -> Prompt:
    if getattr(policy.tokenizer, "chat_template", None) is None:
        return text
    return [{"role": "user", "content": text}]


def _paying(config: Config, names: tuple[str, ...]) -> Config:
    values = {**config.to_dict(), "reward_funcs": names, "reward_weights": None}
    return make_config(**{**values, "conditioned_reward": None})


def opened(policy: Policy, turns: list[dict[str, str]], line: str) -> Prompt:
    """The next prompt of a talk; a policy without a chat template knows one line."""
    prompt = _as_prompt(policy, line)
    return prompt if isinstance(prompt, str) else [*turns, *prompt]


def seeded(seed: int) -> torch.Generator:
    """The generator of one draw."""
    return torch.Generator().manual_seed(seed)


def record_of(policy: str, config: Config) -> dict[str, float]:
    """The held-out numbers in the record beside a kept policy, where it was kept.

    {} for another policy, or when something is asked in another way than then.
    """
    folder = Path(policy).expanduser().resolve()
    run = folder.parent
    if not (folder / SETTINGS).is_file() or not (run / "meta.json").is_file():
        return {}
    kept = make_config(**read_mapping(folder / SETTINGS))
    asked = ("task", "temperature", "max_completion_length", "eval_samples", "bf16")
    if any(getattr(kept, x) != getattr(config, x) for x in asked):
        return {}
    recorded = load_run(run)
    table = recorded.metrics
    rows = table[table["step"] == recorded.meta.get("policy_step")].to_dict("records")
    found: dict[Any, float] = rows[0] if rows else {}
    return {k: v for k, v in found.items() if k.startswith("eval/") and v == v}
