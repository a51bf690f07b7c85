"""SCHEDULES: the learning rate of each step, the same in both engines."""

from __future__ import annotations

import math

from rlnotes.training.config import Config
from rlnotes.training.learner import Learner


def learning_rate_share(config: Config, step: int) -> float:
    """Share of the learning rate at a step, the first being 1; w = `warmup_steps`.

    Linear s/w to s = w; then 1, or ½·(1 + cos(π·(s − 1 − w)/(max_steps − w))), which is
    transformers' cosine: 1 at first, and above 0 at the last step.
    """
    if step <= config.warmup_steps:
        return step / config.warmup_steps
    if config.lr_scheduler_type == "constant":
        return 1.0
    left = config.max_steps - config.warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - 1 - config.warmup_steps) / left))


def set_learning_rate(learner: Learner, step: int) -> None:
    """Give every optimizer its learning rate of a step."""
    config = learner.config
    share = learning_rate_share(config, step)
    rates = (config.learning_rate, config.critic_learning_rate)
    for optimizer, rate in zip(learner.optimizers, rates, strict=False):
        optimizer.param_groups[0]["lr"] = share * rate
