"""FIRST LOOK: what a policy cannot do with a task, said before anything is written.

Both engines call `look_at` when policy and task are there.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from rlnotes.policies.policy import Policy
from rlnotes.rollouts.first_use import check_ids, check_positions, paths_of, windows
from rlnotes.rollouts.rollouts import encode_prompts
from rlnotes.tasks.base import TaskSet
from rlnotes.training.config import Config

if TYPE_CHECKING:
    from rlnotes.training.batches import Batch

_FEWEST = 8  # completions of which it means something that all are rewarded alike


def look_at(
    policy: Policy, task: TaskSet, config: Config, *, engine: str = "rlnotes"
) -> dict[str, Any]:
    """What meta.json says of the paths: `plain_paths`, [] for most models; and `data`.

    The same goes to stderr, a line each. Raises ValueError for a policy without an end
    token, with ids beyond its embedding, with fewer positions than the longest held-out
    prompt and `max_completion_length` need, or whose plain forward is no causal LM's.
    """
    if not policy.eos_token_ids:
        raise ValueError(
            f"policy {policy.name!r}: neither its tokenizer nor its generation config"
            " names an end token (eos_token_id), so no completion could end"
        )
    ids, mask = encode_prompts(policy, [one.prompt for one in task.held_out()])
    check_ids(policy, ids)
    check_positions(policy, mask, config.max_completion_length)
    paths = paths_of(policy)
    other = paths.cached or windows(policy.model.config)
    if config.cache_implementation is not None and other:
        raise ValueError(
            f"cache_implementation={config.cache_implementation!r} needs plain"
            f" attention layers, policy {policy.name!r} has others: {other}"
        )
    if engine == "trl" and paths.padded:
        raise ValueError(
            f"engine 'trl' pads rows on the left, which policy {policy.name!r} does not"
            f" read as the rows they are ({paths.padded}): expected engine='rlnotes'"
        )
    if engine == "trl" and paths.bucketed:
        raise ValueError(
            f"engine 'trl' scores by the hidden states of policy {policy.name!r}, which"
            f" it does not give ({paths.bucketed}): expected engine='rlnotes'"
        )
    for line in paths.describe():
        print(f"rlnotes: policy {policy.name}: {line}", file=sys.stderr)
    return {"plain_paths": paths.describe(), **_look_at_data(task)}


def _look_at_data(task: TaskSet) -> dict[str, Any]:
    """What was chosen of a data set, `data` in meta.json; on stderr with an example."""
    chosen = getattr(task, "chosen", None)
    if not chosen:
        return {}
    for name, value in chosen.items():
        if name != "examples":
            print(f"rlnotes: data: {name}: {value}", file=sys.stderr)
    for one in chosen["examples"]:
        print(f"rlnotes: data: example: {one!r:.400}", file=sys.stderr)
    return {"data": chosen}


def say_constant_rewards(batch: Batch, config: Config, policy: Policy) -> None:
    """Warn of rewards that are the same for every completion of the first step."""
    for name, column in zip(config.reward_funcs, batch.rewards.T, strict=True):
        values = column[~column.isnan()]
        if len(values) < _FEWEST or not bool((values == values[0]).all()):
            continue
        said = f"{name} is {float(values[0]):g} for all {len(values)} completions of"
        said += " the first step: it teaches nothing while that is so. "
        warnings.warn(said + _why(name, batch, policy), stacklevel=2)


def _why(name: str, batch: Batch, policy: Policy) -> str:
    prompt = batch.rollouts.tasks[0].prompt
    if name == "format_reward" and not isinstance(prompt, str):
        written = policy.tokenizer.apply_chat_template(
            prompt, add_generation_prompt=True, tokenize=False
        )
        if str(written).rstrip().endswith("<think>"):
            return (
                "The chat template already writes <think>, so no completion opens it"
                " and none has the whole format: leave the reward out, or take a"
                " template without <think>."
            )
    if name == "accuracy_reward":
        return (
            "Look at the samples: no answer where the task looks for it, or a task that"
            " is too hard or too easy for this policy."
        )
    return "Look at the samples: none, or all, have what it asks for."
