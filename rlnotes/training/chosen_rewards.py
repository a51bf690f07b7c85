"""REWARDS of a run: built in, a user's own by name, or functions passed to `train`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rlnotes.rewards.integer import integer_reward
from rlnotes.rewards.own import OwnReward, given_reward, load_reward
from rlnotes.rewards.rewards import (
    RewardFunction,
    bracket_format_reward,
    compute_rewards,
    format_reward,
    get_accuracy_reward,
    get_language_consistency_reward,
    get_length_reward,
    get_soft_overlong_punishment,
)
from rlnotes.tasks.base import TaskSet
from rlnotes.training.config import Config
from rlnotes.training.weighting import own_rule

CONTEXT = ("trainer_state", "log_extra", "log_metric")
Given = Sequence[str | Callable[..., Any]]


def with_rewards(
    config: Config, given: Given | None
) -> tuple[Config, dict[str, OwnReward]]:
    """The config that names the given rewards, and those passed as functions by name.

    None leaves the config's own. Raises ValueError as `given_reward` and `Config` do.
    """
    if given is None:
        return config, {}
    made = [one if isinstance(one, str) else given_reward(one) for one in given]
    passed = {one.name: one for one in made if isinstance(one, OwnReward)}
    names = tuple(one if isinstance(one, str) else one.name for one in made)
    return replace(config, reward_funcs=names), passed


def build_rewards(
    config: Config, task: TaskSet, passed: dict[str, OwnReward] | None = None
) -> list[RewardFunction]:
    """The reward functions that `config.reward_funcs` names, in that order.

    A user's own is imported and asked once, about a group of right answers to a first
    question, so that what is wrong with it shows before anything is written. Raises
    ValueError, in one line that names its file and line.
    """
    available: dict[str, Callable[[], RewardFunction]] = {
        "accuracy_reward": lambda: get_accuracy_reward(task.verify),
        "format_reward": lambda: format_reward,
        "bracket_format_reward": lambda: bracket_format_reward,
        "integer_reward": lambda: integer_reward,
        "length_reward": lambda: get_length_reward(config.length_limit),
        "language_consistency_reward": get_language_consistency_reward,
        "soft_overlong_punishment_reward": lambda: get_soft_overlong_punishment(
            config.max_completion_length, config.soft_punish_cache
        ),
    }
    rewards: list[RewardFunction] = []
    for name in config.reward_funcs:
        if name in available:
            rewards.append(available[name]())
            continue
        own = (passed or {}).get(name) or load_reward(name)
        _try_out(own, task, config.num_generations)
        rewards.append(own)
    return rewards


def own_rewards(rewards: Sequence[RewardFunction]) -> list[OwnReward]:
    """Those of the rewards that are a user's own."""
    return [one for one in rewards if isinstance(one, OwnReward)]


def recorded(rewards: Sequence[RewardFunction], config: Config) -> dict[str, Any]:
    """What a `RunRecorder` keeps of own rewards and rules: hashes and texts."""
    own = [*own_rewards(rewards), *own_rule(config)]
    told = {x.name: {"sha256": x.digest, "kept_as": x.kept_as} for x in own}
    return {
        "provenance": {"rewards": told} if told else {},
        "files": {x.kept_as: x.text for x in own if x.kept_as},
    }


def say_what_changed(rewards: Sequence[RewardFunction]) -> None:
    """One line on stderr for each own reward whose file is another by now."""
    for line in dict.fromkeys(one.changed() for one in own_rewards(rewards)):
        if line:
            print(f"rlnotes: {line}", file=sys.stderr)


def _try_out(reward: OwnReward, task: TaskSet, rows: int) -> None:
    """Call with the columns of the task and right answers as completions."""
    [one] = task.sample(1, seed=0, step=0)
    chat = not isinstance(one.prompt, str)
    said: Any = [{"role": "assistant", "content": one.answer}] if chat else one.answer
    columns = {"prompts": one.prompt, "completions": said, "completion_ids": [0]}
    columns |= {"answer": one.answer, **one.columns}
    reward.check_signature([*columns, *CONTEXT])
    compute_rewards([reward], **{name: [x] * rows for name, x in columns.items()})
