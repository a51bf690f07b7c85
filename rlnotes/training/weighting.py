"""WEIGHTS of the rewards of a batch: the config's, or moved by a rule that watches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rlnotes.equations.validation import check_finite, check_shape
from rlnotes.equations.weighting import (
    multiplier_step,
    saturation_weights,
    sigma_weights,
    variation_weights,
)
from rlnotes.rewards.own import OwnReward, load_reward
from rlnotes.training.config import Config


class Weighting:
    """w_k of every batch as `config.reward_weighting` says.

    `multipliers` is all that a run remembers of earlier batches.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.static = config, reward_weights(config)
        self.multipliers = self.static.clone()
        self.own = own_rule(config)
        if self.own:  # what is wrong with it shows before anything is written
            rows = torch.arange(2.0 * config.num_generations) % 2
            self.weigh(rows[:, None].repeat(1, len(self.static)))

    def weigh(self, rewards: Tensor) -> Tensor:
        """The weights (K,) or (N, K) of a batch's rewards (N, K); once a batch.

        Raises ValueError for what a rule of one's own returns, if it is neither.
        """
        if not self.own:
            return RULES[self.config.reward_weighting](self, rewards)
        name, rule = self.config.reward_weighting, self.own[0].function
        try:
            weights = torch.as_tensor(
                rule(rewards, self.config.num_generations), dtype=torch.float32
            )
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"reward_weighting: {name}: {told}") from error
        by_row = weights.dim() == 2
        shape = tuple(rewards.shape) if by_row else tuple(rewards.shape[1:])
        check_shape(f"weights of {name}", weights, shape)
        check_finite(f"weights of {name}", weights)
        return self.static * weights

    def restore(self, multipliers: list[float]) -> None:
        """Go on from what a saved run remembered."""
        self.multipliers = self.static.new_tensor(multipliers)

    def step_multipliers(self, rewards: Tensor) -> Tensor:
        """One step of dual ascent; the first reward is what the others constrain."""
        config, means = self.config, rewards.nanmean(0)
        moved = multiplier_step(
            self.multipliers,
            means,
            target=config.constraint_target,
            rate=config.constraint_rate,
        )
        self.multipliers = torch.cat([self.static[:1], moved[1:]])
        return self.multipliers


RULES: dict[str, Callable[[Weighting, Tensor], Tensor]] = {
    "static": lambda one, rewards: one.static,
    "saturation": lambda one, rewards: (
        one.static * saturation_weights(rewards, gamma=one.config.saturation_gamma)
    ),
    "variation": lambda one, rewards: one.static * variation_weights(rewards),
    "sigma": lambda one, rewards: sigma_weights(
        rewards, one.config.num_generations, reward_weights=one.static
    ),
    "lagrangian": Weighting.step_multipliers,
}


def reward_weights(config: Config) -> Tensor:
    """w_k of each reward function, 1 where the config says nothing, (K,)."""
    return torch.tensor(config.reward_weights or [1.0] * len(config.reward_funcs))


def own_rule(config: Config) -> list[OwnReward]:
    """The rule of one's own that the config names, with its text, or nothing.

    `rule(rewards, num_generations)` gets a tensor (N, K), NaN for None, and gives K
    weights, or N x K. Raises ValueError, in one line, where the file or the function
    is missing or importing it fails.
    """
    if ":" not in config.reward_weighting:
        return []
    try:
        return [load_reward(config.reward_weighting)]
    except ValueError as error:  # the message says which field it is read for
        told = str(error).removeprefix("reward_funcs")
        raise ValueError(f"reward_weighting{told}") from error
