"""UPDATE: one batch of rollouts becomes optimizer steps; θ moves here.

The aggregation is a weight per token, known before the loss is, so a mini-batch splits
into micro-batches anywhere; the head's gradient comes chunk by chunk from `fused`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.aggregation import token_weights
from rlnotes.equations.divergences import kl_k1, kl_k3
from rlnotes.equations.fused import fused_policy_loss, fused_sequence_loss
from rlnotes.equations.masking import masked_mean
from rlnotes.equations.objectives import value_loss
from rlnotes.equations.plain_head import plain_head_weight
from rlnotes.equations.surrogates import clip_fractions, importance_ratio
from rlnotes.equations.validation import check_finite
from rlnotes.rollouts.first_use import paths_of
from rlnotes.rollouts.forwards import completion_hidden_states, plain_logps, unpack
from rlnotes.training.batches import Batch, predict_values
from rlnotes.training.config import Config
from rlnotes.training.learner import Learner
from rlnotes.training.schedules import set_learning_rate
from rlnotes.training.token_objective import TokenObjective, idle_tokens


def update(learner: Learner, batch: Batch, step: int) -> dict[str, float]:
    """`num_iterations` passes in `steps_per_generation` mini-batches: θ moves here."""
    config = learner.config
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    stats: list[dict[str, float]] = []
    for _ in range(config.num_iterations):
        for groups in mini_batches(config, generator):
            set_learning_rate(learner, step)
            stats.append(update_once(learner, batch.select(groups)))
    return mean_statistics(stats)


def mean_statistics(stats: list[dict[str, float]]) -> dict[str, float]:
    """The mean over the updates of a step; a key that some lack, over those with it."""
    keys = dict.fromkeys(key for one in stats for key in one)
    had = {key: [one[key] for one in stats if key in one] for key in keys}
    return {key: sum(values) / len(values) for key, values in had.items()}


def mini_batches(config: Config, generator: torch.Generator) -> list[list[int]]:
    """The prompts of each update of one pass, in an order drawn for this pass."""
    order = torch.randperm(config.num_prompts, generator=generator).tolist()
    if config.steps_per_generation == 1:
        order = sorted(order)
    size = config.num_prompts // config.steps_per_generation
    return [order[start : start + size] for start in range(0, len(order), size)]


def update_once(learner: Learner, batch: Batch) -> dict[str, float]:
    """One optimizer update: objective, backward by micro-batches, clip, step."""
    config, size = learner.config, learner.config.num_generations
    weights = mini_batch_weights(batch, config)
    groups = len(batch.rollouts) // size
    micro = (config.per_device_train_batch_size or len(batch.rollouts)) // size
    losses, value_losses = [], []
    order = forward_order(batch, weights) if micro < groups else list(range(groups))
    logps = torch.full_like(batch.rollouts.per_token_logps, torch.nan)
    for start in range(0, groups, micro):
        chosen = order[start : start + micro]
        rows = [group * size + i for group in chosen for i in range(size)]
        part = batch.select(chosen)
        with learner.autocast():
            loss, part_logps = policy_backward(learner, part, weights[rows])
            if learner.critic is not None:
                value_losses.append(critic_backward(learner, part, weights[rows]))
        losses.append(loss)
        logps[rows] = part_logps
    stats = {"loss": sum(losses), "grad_norm": step_optimizers(learner)}
    if value_losses:
        stats["loss/value"] = sum(value_losses)
    learner.updates += 1
    return stats | ratio_statistics(batch, logps, config)


def forward_order(batch: Batch, weights: Tensor) -> list[int]:
    """Groups in the order of their forward passes: like with like.

    The packed rows of one pass are padded to the longest, and a pass whose every token
    is idle is skipped: groups are sorted by whether they are idle, then by their
    number of tokens. The gradient is a sum, so the order only rounds it.
    """
    groups = len(batch.rollouts.tasks)
    tokens = batch.rollouts.lengths.view(groups, -1).sum(1).tolist()
    idle = idle_tokens(batch, weights).view(groups, -1).all(1).tolist()
    return sorted(range(groups), key=lambda group: (idle[group], tokens[group]))


def mini_batch_weights(batch: Batch, config: Config) -> Tensor:
    """The aggregation as one weight a token, (N, T): micro-batches then just add up.

    A batch whose every completion was filtered has no token to weigh: all zero.
    """
    if not batch.loss_mask.any():
        return torch.zeros_like(batch.rollouts.per_token_logps)
    return token_weights(
        batch.loss_mask,
        loss_type=config.loss_type,
        num_generations=config.num_generations,
        max_completion_length=config.max_completion_length,
    )


def policy_backward(
    learner: Learner, batch: Batch, weights: Tensor
) -> tuple[float, Tensor]:
    """Gradient of Σ w·L through the packed forward and the fused head.

    Tokens whose gradient is exactly zero (Â = 0 and no KL) skip the head, and where
    there is no other token the forward is skipped as well. Returns the loss and the
    log-probs (N, T), NaN where skipped.
    """
    config, mask = learner.config, batch.rollouts.completion_mask.bool()
    objective = TokenObjective(config, batch, weights)
    skip = objective.idle if config.beta == 0 else torch.zeros_like(objective.idle)
    if bool(skip.all()):
        return 0.0, torch.full_like(batch.rollouts.per_token_logps, torch.nan)
    model, paths = learner.policy.model, paths_of(learner.policy)
    if paths.fused:
        return _plain_backward(model, batch, objective)
    head = plain_head_weight(model)
    hidden = completion_hidden_states(model.base_model, batch.rollouts, paths)
    ids = batch.rollouts.completion_ids[mask]
    if config.importance_sampling_level == "sequence":
        result = fused_sequence_loss(
            hidden, head, ids, objective.whole, temperature=config.temperature
        )
    else:
        result = fused_policy_loss(
            hidden, head, ids, objective, temperature=config.temperature, skip=skip
        )
    result.loss.backward()
    return float(result.loss.detach()), unpack(result.per_token_logps.detach(), mask)


def _plain_backward(
    model: Any, batch: Batch, objective: TokenObjective
) -> tuple[float, Tensor]:
    """`policy_backward` through the model's own logits: slower, right for any model."""
    config, mask = objective.config, batch.rollouts.completion_mask.bool()
    logps = plain_logps(model, batch.rollouts, temperature=config.temperature)
    if config.importance_sampling_level == "sequence":
        loss = objective.whole(logps)
    else:
        loss = objective(logps, torch.arange(len(logps), device=logps.device)).sum()
    check_finite("loss", loss)
    loss.backward()
    return float(loss.detach()), unpack(logps.detach(), mask)


def critic_backward(learner: Learner, batch: Batch, weights: Tensor) -> float:
    """Gradient of vf_coef · value loss, weighed with this micro-batch's token share."""
    config, mask = learner.config, batch.rollouts.completion_mask
    assert learner.critic is not None
    assert batch.old_values is not None and batch.returns is not None
    values = predict_values(learner.critic, batch.rollouts)
    share = float(weights.sum())
    loss = share * value_loss(
        values,
        batch.old_values,
        batch.returns,
        mask,
        cliprange_value=config.cliprange_value,
    )
    (config.vf_coef * loss).backward()
    return float(loss.detach())


def step_optimizers(learner: Learner) -> float:
    """Clip each model's gradient norm, move its weights, forget the gradient."""
    norms = []
    for optimizer in learner.optimizers:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, learner.config.max_grad_norm)
        norms.append(float(norm))
        # a batch without any signal must not move the weights by momentum alone
        if norms[-1] > 0:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return norms[0]


def ratio_statistics(batch: Batch, logps: Tensor, config: Config) -> dict[str, float]:
    """KL and clip shares of a mini-batch; a skipped token (Â = 0) is never clipped."""
    mask, stats = batch.rollouts.completion_mask, {}
    old, ref = batch.old_per_token_logps, batch.ref_per_token_logps
    if ref is not None and config.beta > 0:
        stats["kl"] = float(masked_mean(kl_k3(logps, ref), mask))
    elif ref is not None and old is not None:  # kl_coef: what the reward is lowered by
        stats["kl"] = float(masked_mean(kl_k1(old, ref), mask))
    logps = logps if old is None else torch.where(logps.isnan(), old, logps)
    ratio = (
        torch.ones_like(logps) if old is None else importance_ratio(logps, old, mask)
    )
    shares = clip_fractions(
        ratio,
        batch.advantages,
        mask,
        epsilon=config.epsilon,
        epsilon_high=config.epsilon_high,
    )
    stats |= {key: float(value) for key, value in shares.items()}
    return stats | stopped_probability(batch, ratio, config)


def stopped_probability(
    batch: Batch, ratio: Tensor, config: Config
) -> dict[str, float]:
    """Mean π_θold of the tokens that the upper clip stops (DAPO Fig 3a); {} for none.

    Token-level ratios alone: a sequence's ratio stops no token more than another.
    """
    old, advantages = batch.old_per_token_logps, batch.advantages
    if old is None or config.importance_sampling_level == "sequence":
        return {}
    if advantages.dim() == 1:
        advantages = advantages[:, None]
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    stopped = (
        (ratio > 1 + high) & (advantages > 0) & batch.rollouts.completion_mask.bool()
    )
    if not stopped.any():
        return {}
    return {"clip_ratio/high_probability": float(old[stopped].exp().mean())}
