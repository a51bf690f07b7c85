"""FIRST LOOK: what a policy cannot do with a task, said before anything is written.

Both engines call `look_at` when policy and task are there.
"""

from __future__ import annotations

import sys

from rlnotes.policies.policy import Policy
from rlnotes.rollouts.first_use import check_ids, check_positions, paths_of, windows
from rlnotes.rollouts.rollouts import encode_prompts
from rlnotes.tasks.base import TaskSet
from rlnotes.training.config import Config


def look_at(
    policy: Policy, task: TaskSet, config: Config, *, engine: str = "rlnotes"
) -> dict[str, list[str]]:
    """What meta.json says of the paths: `plain_paths`, [] for most models.

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
    return {"plain_paths": paths.describe()}
