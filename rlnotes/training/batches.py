"""ADVANTAGES of a whole batch: from scored rollouts to what the update needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.divergences import kl_k1
from rlnotes.equations.gae import generalized_advantage_estimation
from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.shaping import (
    conditioned_rewards,
    informative_groups,
    kl_penalized_rewards,
    overlong_filter,
)
from rlnotes.equations.whitening import whiten
from rlnotes.policies.policy import Critic
from rlnotes.rewards.rewards import (
    RewardFunction,
    compute_rewards,
    get_accuracy_reward,
)
from rlnotes.rollouts.dynamic_sampling import sample_informative
from rlnotes.rollouts.forwards import completion_hidden_states, unpack
from rlnotes.rollouts.rollouts import Rollouts
from rlnotes.rollouts.scoring import packed_logps
from rlnotes.tasks.base import TaskSet
from rlnotes.training.config import Config
from rlnotes.training.weighting import Weighting, reward_weights

if TYPE_CHECKING:
    from rlnotes.training.learner import Learner


@dataclass
class Batch:
    """One step's rollouts and what the update needs of them, all row-aligned."""

    rollouts: Rollouts
    rewards: Tensor  # (N, K), on the CPU, where they were computed
    advantages: Tensor  # (N,) or (N, T)
    loss_mask: Tensor  # (N, T): the completion mask less what is filtered
    old_per_token_logps: Tensor | None = None  # (N, T); None: one update, ratio 1
    ref_per_token_logps: Tensor | None = None
    old_values: Tensor | None = None
    returns: Tensor | None = None
    reward_weights: Tensor | None = None  # (N, K), where a rule moved them

    def select(self, groups: list[int]) -> Batch:
        """The part of the batch that belongs to the given prompts."""
        size = self.rollouts.num_generations
        rows = [g * size + i for g in groups for i in range(size)]
        tensors = {
            name: value[rows]
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return Batch(
            **{**vars(self), **tensors, "rollouts": self.rollouts.select(groups)}
        )


def draw_batch(
    sample: Callable[[int], Rollouts], task: TaskSet, config: Config
) -> tuple[Rollouts, dict[str, float]]:
    """The rollouts of one step and what they cost: `sample(0)`, or dynamic sampling.

    Then `sample(k)` is asked until enough groups are informative. The rule looks at
    accuracy alone: with a length penalty in the sum, an all-wrong group of unequal
    lengths would pass for informative.
    """
    if not config.dynamic_sampling:
        return sample(0), {}
    seen: list[Tensor] = []

    def sample_and_judge(attempt: int) -> tuple[Rollouts, Tensor]:
        rollouts = sample(attempt)
        accuracies = score(rollouts, [get_accuracy_reward(task.verify)])[:, 0]
        seen.append(accuracies)
        return rollouts, informative_groups(accuracies, config.num_generations)

    rollouts, account = sample_informative(
        sample_and_judge,
        config.num_prompts,
        max_resample_times=config.max_resample_times,
    )
    costs = {f"dynamic_sampling/{k}": float(v) for k, v in asdict(account).items()}
    # the reward of the kept groups is near one half by construction
    sampled = torch.cat(seen)
    costs["dynamic_sampling/accuracy"] = float(sampled.mean())
    share = share_all_right(sampled >= 1, config.num_generations)
    costs["dynamic_sampling/frac_all_right"] = share
    return rollouts, costs


def share_all_right(right: Tensor, num_generations: int) -> float:
    """Share of the groups whose every completion is `right`, (N,) (DAPO Fig 3b)."""
    return float(right.view(-1, num_generations).all(1).float().mean())


def score(
    rollouts: Rollouts, reward_funcs: list[RewardFunction], **context: Any
) -> Tensor:
    """Rewards (N, K) of every completion by every function; a None becomes NaN.

    As TRL does it: where prompts are messages, completions are messages. `context` is
    `trainer_state`, `log_extra` and `log_metric`, where there is something to say.
    """
    size = rollouts.num_generations
    tasks = [task for task in rollouts.tasks for _ in range(size)]
    lengths = rollouts.lengths.tolist()
    ids = [
        row[:n]
        for row, n in zip(rollouts.completion_ids.tolist(), lengths, strict=True)
    ]
    shared = set.intersection(*(set(task.columns) for task in tasks))
    return compute_rewards(
        reward_funcs,
        prompts=[task.prompt for task in tasks],
        completions=[
            text
            if isinstance(task.prompt, str)
            else [{"role": "assistant", "content": text}]
            for task, text in zip(tasks, rollouts.texts, strict=True)
        ],
        completion_ids=ids,
        answer=[task.answer for task in tasks],
        **{name: [task.columns[name] for task in tasks] for name in sorted(shared)},
        **context,
    )


def check_paid(rewards: Tensor, config: Config) -> None:
    """Raise ValueError when no function has a reward for any completion of a batch."""
    if rewards.isnan().all():
        raise ValueError(
            f"reward_funcs: {', '.join(config.reward_names)} gave None for all"
            f" {len(rewards)} completions of a batch: there is nothing to learn from"
        )


@torch.no_grad()
def prepare(learner: Learner, rollouts: Rollouts, rewards: Tensor) -> Batch:
    """Rewards → advantages, and the log-probs and values the update compares to."""
    config = learner.config
    mask = rollouts.completion_mask
    if config.mask_truncated_completions:
        mask = overlong_filter(mask, rollouts.truncated)
    batch = Batch(rollouts, rewards, rewards.new_zeros(len(rollouts)), mask)
    with learner.autocast():
        if config.updates_per_step > 1 or config.kl_coef > 0:
            batch.old_per_token_logps = old_logps(learner, rollouts)
        if learner.reference is not None:
            batch.ref_per_token_logps = packed_logps(
                learner.reference, rollouts, temperature=config.temperature
            )
        if learner.critic is not None:
            batch.old_values = predict_values(learner.critic, rollouts)
    if learner.critic is None:
        weigh_rewards(batch, config, learner.weighting)
    else:
        batch.advantages, batch.returns = critic_advantages(batch, config)
    return batch


def weigh_rewards(batch: Batch, config: Config, weighting: Weighting) -> None:
    """Fill in the advantages of a batch, and its weights unless the config has them."""
    paid = paid_rewards(batch.rewards, config)
    weights = weighting.weigh(paid)
    if config.reward_weighting != "static":
        batch.reward_weights = weights.expand(paid.shape)
    advantages = group_advantages(paid, config, weights)
    batch.advantages = advantages.to(batch.loss_mask.device)


def old_logps(learner: Learner, rollouts: Rollouts) -> Tensor:
    """log π_θold(o_t | q, o_<t), (N, T): what the sampler wrote down, if it is π_θ.

    A bfloat16 copy that sampled is another policy than the float32 weights that
    learn: then they score the completions themselves.
    """
    if learner.sampler is learner.policy:
        return rollouts.per_token_logps
    return packed_logps(
        learner.policy, rollouts, temperature=learner.config.temperature
    )


def paid_rewards(rewards: Tensor, config: Config) -> Tensor:
    """GDPO Eq 8, where the config asks for it: what is paid; the record keeps r_k."""
    if config.conditioned_reward is None:
        return rewards
    return conditioned_rewards(
        rewards,
        conditioned=config.reward_funcs.index(config.conditioned_reward),
        on=config.reward_funcs.index(config.condition_on),
        threshold=1.0,
    )


def group_advantages(
    rewards: Tensor, config: Config, weights: Tensor | None = None
) -> Tensor:
    """Â (N,) of rewards (N, K): GRPO's of the weighted sum, or GDPO's per reward.

    `weights` are (K,) or (N, K), None: the config's.
    """
    weights = reward_weights(config) if weights is None else weights
    if config.multi_objective_aggregation == "normalize_then_sum":
        return decoupled_advantages(
            rewards,
            config.num_generations,
            reward_weights=weights,
            batch_stats="sequence" if config.advantage_batch_norm else "none",
            none_rewards="skip",
        )
    return group_relative_advantages(
        weighted_sum(rewards, weights),
        config.num_generations,
        scale_rewards=config.scale_rewards,
        none_rewards="skip",
    )


def weighted_sum(rewards: Tensor, weights: Tensor) -> Tensor:
    """Σ_k w_k r_k over the rewards that apply; NaN where none does, (N,)."""
    total = (rewards * weights).nansum(1)
    return total.masked_fill(rewards.isnan().all(1), torch.nan)


def critic_advantages(batch: Batch, config: Config) -> tuple[Tensor, Tensor]:
    """PPO: terminal reward less per-token KL → GAE (N, T) and returns (N, T)."""
    if batch.rewards.isnan().any():
        raise ValueError("PPO needs a reward for every completion, got None for some")
    kl = torch.zeros_like(batch.rollouts.per_token_logps)
    assert batch.old_values is not None
    if config.kl_coef > 0:
        assert batch.old_per_token_logps is not None
        assert batch.ref_per_token_logps is not None
        kl = kl_k1(batch.old_per_token_logps, batch.ref_per_token_logps)
    mask = batch.rollouts.completion_mask
    scores = weighted_sum(paid_rewards(batch.rewards, config), reward_weights(config))
    rewards = kl_penalized_rewards(
        scores.to(mask.device), kl, mask, beta=config.kl_coef
    )
    advantages, returns = generalized_advantage_estimation(
        rewards, batch.old_values, mask, gamma=config.gamma, lam=config.lam
    )
    if config.whiten_advantages:
        advantages = whiten(advantages, mask)
    return advantages, returns


def predict_values(critic: Critic, rollouts: Rollouts) -> Tensor:
    """V(s_t) before each completion token, (N, T), 0 off-mask."""
    hidden = completion_hidden_states(critic.backbone, rollouts, critic.paths)
    return unpack(critic(hidden).float(), rollouts.completion_mask)
