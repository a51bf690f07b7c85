"""What no run could mean: a `Config` is refused before anything is loaded.

`config` is a `Config` everywhere; its module imports this one.
"""

from __future__ import annotations

import math
import types
import typing
from typing import Any, Literal

from rlnotes.equations.names import did_you_mean
from rlnotes.equations.validation import check_choice

REWARDS = (
    "accuracy_reward",
    "format_reward",
    "bracket_format_reward",
    "integer_reward",
    "length_reward",
    "language_consistency_reward",
    "soft_overlong_punishment_reward",
)
WEIGHTINGS = ("static", "saturation", "variation", "sigma", "lagrangian")


_AT_LEAST_0 = (
    "beta",
    "kl_coef",
    "vf_coef",
    "weight_decay",
    "warmup_steps",
    "eval_steps",
    "max_resample_times",
    "soft_punish_cache",
    "saturation_gamma",
    "constraint_rate",
)


def check_ranges(config: Any) -> None:
    """Raise ValueError for a number outside its range, or none at all."""
    _check_finite(config)
    positive = (
        "max_steps",
        "generation_batch_size",
        "num_generations",
        "max_completion_length",
        "num_iterations",
        "steps_per_generation",
        "learning_rate",
        "critic_learning_rate",
        "temperature",
        "max_grad_norm",
        "epsilon",
        "length_limit",
        "eval_samples",
    )
    for name in positive:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be > 0, got {getattr(config, name)!r}")
    for name in _AT_LEAST_0:
        if getattr(config, name) < 0:
            raise ValueError(f"{name} must be >= 0, got {getattr(config, name)!r}")
    if config.max_minutes is not None and not config.max_minutes > 0:
        raise ValueError(f"max_minutes must be > 0 or None, got {config.max_minutes}")
    if config.save_steps is not None and config.save_steps < 0:
        raise ValueError(f"save_steps must be >= 0 or None, got {config.save_steps}")
    if config.lr_scheduler_type == "cosine" and config.warmup_steps >= config.max_steps:
        raise ValueError(
            f"warmup_steps={config.warmup_steps} must be below max_steps="
            f"{config.max_steps} with lr_scheduler_type='cosine'"
        )
    for name in ("gamma", "lam", "adam_beta2"):
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {getattr(config, name)}")
    _check_clips(config)


def _check_finite(config: Any) -> None:
    """Raise ValueError for a NaN or an infinity, also one of several values."""
    for name, value in vars(config).items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(one, float) and not math.isfinite(one):
                raise ValueError(f"{name} must be finite, got {value!r}")


def _check_clips(config: Any) -> None:
    """Raise ValueError for a clip that the objective could not take."""
    high = config.epsilon_high
    if high is not None and high < 0:
        raise ValueError(f"epsilon_high must be >= 0 or None, got {high!r}")
    most = 1 + (config.epsilon if high is None else high)
    if config.delta is not None and config.delta <= most:
        raise ValueError(
            f"delta must be > 1 + epsilon_high = {most:g} or None, got {config.delta!r}"
        )
    if config.cliprange_value is not None and config.cliprange_value <= 0:
        raise ValueError(
            f"cliprange_value must be > 0 or None, got {config.cliprange_value!r}"
        )


def check_batch(config: Any) -> None:
    """Raise ValueError for a batch that cannot be cut into groups and mini-batches."""
    if config.generation_batch_size % config.num_generations:
        raise ValueError(
            f"generation_batch_size={config.generation_batch_size} must be a multiple"
            f" of num_generations={config.num_generations}"
        )
    if config.num_prompts % config.steps_per_generation:
        raise ValueError(
            f"steps_per_generation={config.steps_per_generation} must divide the"
            f" {config.num_prompts} prompts of a batch (a group is never split)"
        )
    micro = config.per_device_train_batch_size
    if micro is not None and (micro <= 0 or micro % config.num_generations):
        raise ValueError(
            f"per_device_train_batch_size={micro} must be a positive multiple of"
            f" num_generations={config.num_generations}"
        )
    if config.num_generations == 1 and not config.critic:
        raise ValueError(
            "num_generations=1 leaves a group-relative advantage without a group:"
            " use at least 2, or the critic (algorithm='ppo')"
        )
    if config.dynamic_sampling and config.num_generations == 1:
        raise ValueError("dynamic_sampling needs num_generations >= 2, got 1")


def check_reward_funcs(config: Any) -> None:
    """Raise ValueError for rewards that are unknown or do not fit together."""
    if not config.reward_funcs:
        raise ValueError("reward_funcs must name at least one reward, got none")
    for name in config.reward_funcs:
        _check_name("reward_funcs", name, REWARDS)
    for name in config.reward_names:
        if config.reward_names.count(name) > 1:
            raise ValueError(f"reward_funcs: two would be logged as {name!r}")
    weights = config.reward_weights
    if weights is not None and len(weights) != len(config.reward_funcs):
        raise ValueError(
            f"reward_weights has {len(weights)} values, expected one for each of"
            f" the {len(config.reward_funcs)} reward_funcs {list(config.reward_funcs)}"
        )
    if "soft_overlong_punishment_reward" in config.reward_funcs and not (
        0 < config.soft_punish_cache < config.max_completion_length
    ):
        raise ValueError(
            f"soft_punish_cache={config.soft_punish_cache} must lie between 0 and"
            f" max_completion_length={config.max_completion_length} when"
            " soft_overlong_punishment_reward is among the reward_funcs"
        )
    if config.conditioned_reward is not None:
        check_choice(
            "conditioned_reward", config.conditioned_reward, config.reward_funcs
        )
        others = [r for r in config.reward_funcs if r != config.conditioned_reward]
        check_choice("condition_on", config.condition_on, others)


def check_weighting(config: Any) -> None:
    """Raise ValueError for a rule that is unknown or has nothing to weigh."""
    name, weights = config.reward_weighting, config.reward_weights or ()
    if name == "static":
        return
    _check_name("reward_weighting", name, WEIGHTINGS)
    if config.critic:
        raise ValueError(
            f"reward_weighting={name!r} weighs what is normalized in a group, expected"
            f" 'static' with a critic (algorithm={config.algorithm!r})"
        )
    if len(config.reward_funcs) < 2:
        raise ValueError(
            f"reward_weighting={name!r} needs two or more reward_funcs, got"
            f" {list(config.reward_funcs)}"
        )
    if name in ("sigma", "lagrangian") and any(w < 0 for w in weights):
        raise ValueError(
            f"reward_weights must be >= 0 with reward_weighting={name!r}, got"
            f" {list(weights)}"
        )


def _check_name(field: str, name: str, built_in: tuple[str, ...]) -> None:
    """Raise ValueError unless it is built in or may be a user's own."""
    source, colon, function = name.rpartition(":")
    if not colon:
        known = f"{', '.join(built_in)}, or file.py:function, package.module:function"
        if name not in built_in:
            hint = did_you_mean(name, built_in)
            raise ValueError(f"{field} must be one of {known}, got {name!r}{hint}")
    elif not function.isidentifier() or not (
        source.endswith(".py") or all(map(str.isidentifier, source.split(".")))
    ):
        raise ValueError(
            f"{field}: expected file.py:function or package.module:function, got"
            f" {name!r}"
        )


def coerce(name: str, value: Any, hint: Any) -> Any:
    """`value` of field `name` as its type `hint`, or ValueError; no bool is an int."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        origin = typing.get_origin(option) or option
        if origin is Literal:
            check_choice(name, value, typing.get_args(option))
            return value
        if origin is tuple and isinstance(value, (list, tuple)):
            inner = typing.get_args(option)[0]
            return tuple(coerce(name, item, inner) for item in value)
        if origin is float and type(value) in (int, float):
            return float(value)
        if origin is float and isinstance(value, str):
            # YAML 1.1 reads 1e-5 as text; a practitioner means the number.
            try:
                return float(value)
            except ValueError:
                continue
        if type(value) is origin:
            return value
    expected = " or ".join(getattr(o, "__name__", str(o)) for o in options)
    raise ValueError(
        f"{name} must be {expected}, got {value!r} ({type(value).__name__})"
    )
