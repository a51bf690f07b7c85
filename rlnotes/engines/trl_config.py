"""Our `Config` in TRL's words: every field is passed, translated, ours, or refused.

TRL counts optimizer updates as steps and forward passes as `steps_per_generation`; with
S mini-batches a pass, μ passes, W processes and m completions a forward pass:

    max_steps                    ours · μ · S
    gradient_accumulation_steps  N / (S · W · m)
    TRL's steps_per_generation   N / (W · m), which TRL derives from N
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Mapping
from typing import Any

from rlnotes.equations.names import did_you_mean
from rlnotes.machine.versions import checkpointing_field
from rlnotes.training.config import Config

PASSED = (
    "seed",
    "generation_batch_size",
    "num_generations",
    "max_completion_length",
    "temperature",
    "cache_implementation",
    "num_iterations",
    "learning_rate",
    "adam_beta2",
    "weight_decay",
    "max_grad_norm",
    "bf16",
    "epsilon",
    "epsilon_high",
    "delta",
    "importance_sampling_level",
    "beta",
    "scale_rewards",
    "multi_objective_aggregation",
    "mask_truncated_completions",
)
"""The same name and the same meaning in `GRPOConfig`."""
TRANSLATED = (
    "max_steps",
    "steps_per_generation",
    "per_device_train_batch_size",
    "warmup_steps",
    "lr_scheduler_type",
    "loss_type",
    "kl_gradient",
    "reward_weights",
)
"""Another name, count or spelling in `GRPOConfig`."""
OURS = (
    "algorithm",
    "policy",
    "task",
    "full_determinism",
    "max_minutes",
    "reward_funcs",
    "conditioned_reward",
    "condition_on",
    "advantage_batch_norm",
    "reward_weighting",
    "saturation_gamma",
    "constraint_target",
    "constraint_rate",
    "soft_punish_cache",
    "length_limit",
    "dynamic_sampling",
    "max_resample_times",
    "eval_steps",
    "eval_samples",
    "save_policy",
    "save_steps",
)
"""What this package does around and inside the trainer."""
CRITIC = (
    "critic_learning_rate",
    "gamma",
    "lam",
    "vf_coef",
    "cliprange_value",
    "whiten_advantages",
)
"""Of PPO's critic: without one nobody reads them, with one the config is refused."""
REFUSED = ("critic", "kl_coef")
"""What TRL has nothing for, unless it is off."""

_CHECKPOINTING = ("activation_checkpointing", "gradient_checkpointing")

_LOSSES = {"bnpo": "dapo", "dapo_prompt": "dapo"}
# bnpo: the tokens of the mini-batch, over all micro-batches and processes, as "dapo"
# divides; TRL's own depends on the split. dapo_prompt: scaled advantages do the rest.
_SCHEDULES = {"constant": "constant_with_warmup", "cosine": "cosine"}
_DECIDED = {
    *PASSED,
    *TRANSLATED,
    "gradient_accumulation_steps",
    "use_bias_correction_kl",
    "shuffle_dataset",
    "disable_dropout",
    "logging_steps",
    "output_dir",
    "report_to",
    "save_total_limit",
}


def check_expressible(config: Config) -> None:
    """Raise ValueError, naming the field, for what TRL's trainer cannot do."""
    if config.critic:
        raise ValueError(
            "critic: TRL 1.16 has no PPO, expected critic=False (another algorithm than"
            f" {config.algorithm!r}); engine='rlnotes' has it"
        )
    if config.kl_coef > 0:
        raise ValueError(
            f"kl_coef: TRL has no KL in the reward, expected 0, got {config.kl_coef}"
            " (beta is the KL term of the loss)"
        )
    if config.kl_gradient == "k2":
        raise ValueError("kl_gradient: TRL knows 'autodiff' and 'importance', got 'k2'")
    if config.scale_rewards == "mean":
        raise ValueError(
            "scale_rewards: GRPOTrainer knows 'group', 'batch' and 'none', got 'mean'"
            " (MaxRL); engine='rlnotes' has it"
        )
    if config.loss_type == "dapo_prompt" and config.beta > 0:
        raise ValueError(
            "loss_type='dapo_prompt': with TRL it is a scale of the advantages, which"
            f" the KL term has not, expected beta=0, got {config.beta}"
        )
    if config.loss_type == "cispo" and config.epsilon_high is None:
        raise ValueError(
            "epsilon_high: loss_type='cispo' needs its cap on the ratio (like 5.0), got"
            " None, which TRL reads as epsilon"
        )


def micro_batch_size(config: Config, num_processes: int) -> int:
    """Completions a forward pass of one process; ValueError when nothing divides."""
    mini = config.generation_batch_size // config.steps_per_generation
    share, rest = divmod(mini, num_processes)
    if rest:
        raise ValueError(
            f"generation_batch_size={config.generation_batch_size}: an update's {mini}"
            f" completions must divide by the {num_processes} processes"
        )
    micro = config.per_device_train_batch_size or share
    if share % micro:
        raise ValueError(
            f"per_device_train_batch_size={micro} must divide the {share} completions"
            f" of one of {num_processes} processes in an update"
        )
    return micro


def to_trl_kwargs(config: Config, *, num_processes: int = 1) -> dict[str, Any]:
    """Keywords of `trl.GRPOConfig` that mean what `config` means.

    Raises ValueError, naming the field, for what TRL cannot express and for a batch
    that `num_processes` cannot share.
    """
    check_expressible(config)
    micro = micro_batch_size(config, num_processes)
    update = config.generation_batch_size // config.steps_per_generation
    weights = config.reward_weights
    return {
        **{name: getattr(config, name) for name in PASSED},
        "max_steps": config.max_steps * config.updates_per_step,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": update // (num_processes * micro),
        "loss_type": _LOSSES.get(config.loss_type, config.loss_type),
        "use_bias_correction_kl": config.kl_gradient == "importance",
        "reward_weights": None if weights is None else list(weights),
        # the rates are `NotesTrainer.create_scheduler`'s: TRL's warm-up starts at 0
        "warmup_steps": config.warmup_steps * config.updates_per_step,
        "lr_scheduler_type": _SCHEDULES[config.lr_scheduler_type],
        "shuffle_dataset": False,  # our questions are drawn per step already
        "disable_dropout": True,
        checkpointing_field(): False,
        "ddp_find_unused_parameters": False,
        "logging_steps": config.updates_per_step,
        "save_strategy": "no",  # the recorder says when
        "save_total_limit": 2,
    }


def read_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as keywords of GRPOConfig; a number that YAML took for text is one.

    Raises ValueError unless they are fields that Config leaves open, and for what this
    machine cannot do: float16 or vLLM without a GPU, vLLM without its package.
    """
    from trl import GRPOConfig

    options = {  # its other name is unknown to one transformers, ignored by the other
        checkpointing_field() if name in _CHECKPOINTING else name: value
        for name, value in options.items()
    }
    known = {field.name for field in dataclasses.fields(GRPOConfig)}
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f"TRL option {name!r}: GRPOConfig has no such field{hint}")
        if name in _DECIDED:
            raise ValueError(
                f"TRL option {name!r}: decided by Config and this engine, expected"
                " another field of GRPOConfig (like use_vllm)"
            )
    if options.get("use_vllm") and importlib.util.find_spec("vllm") is None:
        raise ValueError(
            "use_vllm: expected vLLM to be installed (pip install 'trl[vllm]', Linux"
            " with a GPU), found no package vllm"
        )
    for name in ("fp16", "use_vllm"):
        if options.get(name) and not has_gpu():
            raise ValueError(f"{name}: expected a GPU, found none; leave it out")
    return {name: _number(value) for name, value in options.items()}


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-5 as text; a practitioner means the number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def check_precision(config: Config) -> None:
    """Raise ValueError when `bf16` is asked of a GPU without bfloat16; a CPU has it."""
    import torch

    if config.bf16 and torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise ValueError(
            f"bf16: {torch.cuda.get_device_name()} has no bfloat16, expected bf16=false"
        )


def check_launcher() -> None:
    """Raise ValueError where accelerate was told to shard and there is no GPU.

    It would train whole models on the CPU, without a word.
    """
    names = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    asked = [name for name in names if os.environ.get(name, "").lower() == "true"]
    if asked and not has_gpu():
        raise ValueError(
            f"accelerate: its config asks for shards ({asked[0]}=true), expected GPUs,"
            " found none; configs/accelerate/cpu2.yaml is for CPUs"
        )


def has_gpu() -> bool:
    """Whether a run is placed on an accelerator: the rule of our own loop."""
    from rlnotes.machine.devices import best_device

    return best_device().type != "cpu"
