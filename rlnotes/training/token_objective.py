"""OBJECTIVE of a micro-batch, token by token: what a head calls with its log-probs."""

from __future__ import annotations

import torch
from torch import Tensor

from rlnotes.equations.objectives import per_token_policy_loss
from rlnotes.rollouts.forwards import unpack
from rlnotes.training.batches import Batch
from rlnotes.training.config import Config


def idle_tokens(batch: Batch, weights: Tensor) -> Tensor:
    """Where the policy term has no gradient at all, (N, T): Â = 0 or weight 0."""
    advantages = batch.advantages
    if advantages.dim() == 1:
        advantages = advantages[:, None]
    return (advantages == 0) | (weights == 0)


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
        self.idle = idle_tokens(batch, weights)[self.mask]

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
