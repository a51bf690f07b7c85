"""UPDATE: one batch of rollouts becomes optimizer steps; θ moves here.

The aggregation is a weight per token, known before the loss is, so a mini-batch splits
into micro-batches anywhere; the head's gradient comes chunk by chunk from `fused`.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.divergences import kl_k3
from rlnotes.equations.fused import (
    fused_policy_loss,
    fused_sequence_loss,
    plain_head_weight,
)
from rlnotes.equations.masking import masked_mean
from rlnotes.equations.objectives import (
    clip_fractions,
    importance_ratio,
    per_token_policy_loss,
    token_weights,
    value_loss,
)
from rlnotes.policies.policy import Critic, Policy
from rlnotes.rollouts.scoring import completion_hidden_states, unpack
from rlnotes.training.batches import Batch, predict_values
from rlnotes.training.config import Config


@dataclass
class Learner:
    """What learns: the policy, its optimizer, and whatever the algorithm adds."""

    config: Config
    policy: Policy
    sampler: Policy
    reference: Policy | None = None
    critic: Critic | None = None
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    updates: int = 0
    num_tokens: int = 0
    """Read and written so far, resampled batches included (TRL's key)."""
    num_completions: int = 0
    """Sampled so far, resampled ones included: the honest x-axis of a comparison."""

    @classmethod
    def create(cls, config: Config, policy: Policy) -> Learner:
        """Optimizers, a bfloat16 copy that samples, a frozen reference, a critic."""
        sampler = policy.clone(dtype=torch.bfloat16) if config.bf16 else policy
        needs_reference = config.beta > 0 or config.kl_coef > 0
        learner = cls(
            config, policy, sampler, policy.clone() if needs_reference else None
        )
        learner.optimizers.append(_adamw(policy.model, config.learning_rate, config))
        if config.critic:
            learner.critic = Critic(policy).to(policy.device)
            rate = config.critic_learning_rate
            learner.optimizers.append(_adamw(learner.critic, rate, config))
        return learner

    def refreshed_sampler(self) -> Policy:
        """What samples, with the weights that the policy has now."""
        if self.sampler is not self.policy:
            self.sampler.copy_weights_from(self.policy)
        return self.sampler

    def autocast(self) -> AbstractContextManager[Any]:
        """bfloat16 matrix products over float32 weights, when the config says so."""
        if not self.config.bf16:
            return nullcontext()
        return torch.autocast(self.policy.device.type, dtype=torch.bfloat16)

    def state_dict(self) -> dict[str, Any]:
        """All that training moves; the sampler and the reference follow from it.

        The sampler is copied from the policy before each step, the reference is the
        policy that training started from: a digest stands for it.
        """
        return {
            "models": [model.state_dict() for model in self._models()],
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            **{name: getattr(self, name) for name in _COUNTERS},
            "reference": self._reference_digest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave, to the bit.

        Raises ValueError when it belongs to another model, or when the KL would be
        taken to another reference than before.
        """
        if state["reference"] != self._reference_digest:
            raise ValueError(
                "policy: expected the untrained policy that this run started from (it"
                " is the reference of the KL term), got other weights"
            )
        try:
            for model, weights in zip(self._models(), state["models"], strict=True):
                model.load_state_dict(weights)
            for mine, moments in zip(self.optimizers, state["optimizers"], strict=True):
                mine.load_state_dict(moments)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"policy: the saved state is another's: {error}") from None
        for name in _COUNTERS:
            setattr(self, name, state[name])

    def _models(self) -> list[torch.nn.Module]:
        return [self.policy.model, *([self.critic] if self.critic else [])]

    @cached_property
    def _reference_digest(self) -> str | None:
        if self.reference is None:
            return None
        digest = hashlib.sha256()
        for weight in self.reference.model.parameters():
            digest.update(weight.cpu().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


_COUNTERS = ("updates", "num_tokens", "num_completions")


def update(learner: Learner, batch: Batch, step: int) -> dict[str, float]:
    """`num_iterations` passes in `steps_per_generation` mini-batches: θ moves here."""
    config = learner.config
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    stats: list[dict[str, float]] = []
    for _ in range(config.num_iterations):
        order = torch.randperm(config.num_prompts, generator=generator).tolist()
        if config.steps_per_generation == 1:
            order = sorted(order)
        size = config.num_prompts // config.steps_per_generation
        for start in range(0, config.num_prompts, size):
            _set_learning_rate(learner, step)
            part = batch.select(order[start : start + size])
            stats.append(update_once(learner, part))
    keys = stats[0].keys()
    return {key: sum(s[key] for s in stats) / len(stats) for key in keys}


def update_once(learner: Learner, batch: Batch) -> dict[str, float]:
    """One optimizer update: objective, backward by micro-batches, clip, step."""
    config, size = learner.config, learner.config.num_generations
    weights = mini_batch_weights(batch, config)
    groups = len(batch.rollouts) // size
    micro = (config.per_device_train_batch_size or len(batch.rollouts)) // size
    losses, value_losses = [], []
    order = forward_order(batch, groups) if micro < groups else list(range(groups))
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


def forward_order(batch: Batch, groups: int) -> list[int]:
    """Groups in the order of their forward passes: like with like.

    The packed rows of one pass are padded to the longest, and a pass whose every
    advantage is zero is skipped: groups are sorted by whether they are idle, then by
    their number of tokens. The gradient is a sum, so the order only rounds it.
    """
    tokens = batch.rollouts.lengths.view(groups, -1).sum(1).tolist()
    advantages = batch.advantages.reshape(groups, -1)
    idle = (advantages == 0).all(1).tolist()
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
    head = plain_head_weight(learner.policy.model)
    hidden = completion_hidden_states(learner.policy.model.base_model, batch.rollouts)
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


class TokenObjective:
    """w·L of one micro-batch: of a run of tokens, or of all rows at once."""

    def __init__(self, config: Config, batch: Batch, weights: Tensor) -> None:
        self.config, self.mask = config, batch.rollouts.completion_mask.bool()
        advantages = batch.advantages
        if advantages.dim() == 1:
            advantages = advantages[:, None].expand(self.mask.shape)
        self.advantages = advantages[self.mask]
        self.weights = weights[self.mask]
        old, ref = batch.old_per_token_logps, batch.ref_per_token_logps
        self.old = None if old is None else old[self.mask]
        self.ref = None if ref is None else ref[self.mask]
        self.idle = (self.advantages == 0) | (self.weights == 0)

    def __call__(self, logps: Tensor, index: Tensor) -> Tensor:
        """Weighted losses (m,) of the tokens `index`; each stands for itself."""
        old = None if self.old is None else self.old[index]
        ref = None if self.ref is None else self.ref[index]
        column = torch.ones_like(logps)[:, None]
        losses = self._losses(
            logps[:, None],
            None if old is None else old[:, None],
            self.advantages[index][:, None],
            column,
            None if ref is None else ref[:, None],
        )
        return losses[:, 0] * self.weights[index]

    def whole(self, logps: Tensor) -> Tensor:
        """Scalar loss of all tokens (M,): sequence-level ratios need whole rows."""

        def rows(flat: Tensor | None) -> Tensor | None:
            return None if flat is None else unpack(flat, self.mask)

        losses = self._losses(
            unpack(logps, self.mask),
            rows(self.old),
            unpack(self.advantages, self.mask),
            self.mask,
            rows(self.ref),
        )
        return (losses * unpack(self.weights, self.mask)).sum()

    def _losses(
        self,
        logps: Tensor,
        old: Tensor | None,
        advantages: Tensor,
        mask: Tensor,
        ref: Tensor | None,
    ) -> Tensor:
        config = self.config
        return per_token_policy_loss(
            logps,
            logps.detach() if old is None else old,  # one update: the ratio is 1
            advantages,
            mask,
            loss_type=config.loss_type,
            epsilon=config.epsilon,
            epsilon_high=config.epsilon_high,
            delta=config.delta,
            importance_sampling_level=config.importance_sampling_level,
            beta=config.beta,
            ref_per_token_logps=ref,
            kl_gradient=config.kl_gradient,
        )


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
    if batch.ref_per_token_logps is not None and config.beta > 0:
        stats["kl"] = float(masked_mean(kl_k3(logps, batch.ref_per_token_logps), mask))
    old = batch.old_per_token_logps
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
    return stats | {key: float(value) for key, value in shares.items()}


def _adamw(
    model: torch.nn.Module, rate: float, config: Config
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        model.parameters(),
        lr=rate,
        betas=(0.9, config.adam_beta2),
        weight_decay=config.weight_decay,
    )


def _set_learning_rate(learner: Learner, step: int) -> None:
    """Linear warm-up over `warmup_steps` steps, then constant."""
    config = learner.config
    share = min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
    rates = (config.learning_rate, config.critic_learning_rate)
    for optimizer, rate in zip(learner.optimizers, rates, strict=False):
        optimizer.param_groups[0]["lr"] = share * rate
