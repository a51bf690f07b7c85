"""What learns: the policy, its optimizers, its sampler and its reference."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from rlnotes.policies.policy import Critic, Policy
from rlnotes.training.config import Config
from rlnotes.training.weighting import Weighting


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

    def __post_init__(self) -> None:
        """Weigh rewards as the config says."""
        self.weighting = Weighting(self.config)

    @classmethod
    def create(cls, config: Config, policy: Policy) -> Learner:
        """Optimizers, a bfloat16 copy that samples, a frozen reference, a critic."""
        config = config.settled(policy.device.type)
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
        for optimizer in learner.optimizers:  # a given model may bring a gradient along
            optimizer.zero_grad(set_to_none=True)
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
            "multipliers": self.weighting.multipliers.tolist(),
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
        self.weighting.restore(state["multipliers"])

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


def _adamw(
    model: torch.nn.Module, rate: float, config: Config
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        model.parameters(),
        lr=rate,
        betas=(0.9, config.adam_beta2),
        weight_decay=config.weight_decay,
    )
