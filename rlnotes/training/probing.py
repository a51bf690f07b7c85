"""PROBING a reward by its name, as `rlnotes probe` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlnotes.equations.validation import check_choice
from rlnotes.rewards.probe_cases import ASPECTS
from rlnotes.rewards.probing import Probe, probe
from rlnotes.tasks.loading import load_task
from rlnotes.training.chosen_rewards import build_rewards
from rlnotes.training.config import make_config

_OF = {
    "format_reward": "format",
    "bracket_format_reward": "format",
    "integer_reward": "integer",
    "length_reward": "length",
    "soft_overlong_punishment_reward": "length",
    "language_consistency_reward": "language",
}
# limits between the honest cases and the very long ones, in words
_LIMITS = {"length_limit": 200, "max_completion_length": 500, "soft_punish_cache": 100}


def probe_reward(
    name: str, task: str, aspect: str | None = None, overrides: Mapping[str, Any] = {}
) -> Probe:
    """What the reward of this name pays for on a task.

    `aspect` is what it is meant to pay for, by default what a built-in one is for, and
    accuracy for a user's own; `overrides` are fields of the config, like
    `length_limit`. Raises ValueError for an unknown aspect and as `build_rewards`.
    """
    aspect = aspect or _OF.get(name, "accuracy")
    check_choice("aspect", aspect, ASPECTS)
    values = {**_LIMITS, **overrides, "task": task, "reward_funcs": [name]}
    [reward] = build_rewards(make_config(**values), task_set := load_task(task))
    return probe(reward, task_set, aspect)
