"""One frozen `Config`, and every algorithm as a small difference from it.

PPO, GRPO, Dr. GRPO, DAPO and GDPO share one training loop; what separates them is the
handful of fields in `ALGORITHMS`. Field names are those of TRL's `GRPOConfig` (PPO's
those of its former `PPOConfig`), so a config reads the same in both worlds.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlnotes.equations.aggregation import LossType
from rlnotes.equations.names import did_you_mean
from rlnotes.equations.validation import check_choice
from rlnotes.machine.files import read_mapping
from rlnotes.training import config_checks


@dataclass(frozen=True)
class Config:
    """Every parameter of a run; one name from YAML to CSV column to axis label.

    A step is one batch of rollouts (`generation_batch_size` completions) and the
    `num_iterations · steps_per_generation` optimizer updates made on it. TRL counts
    updates as steps; the record holds both (`step`, `updates`).
    """

    algorithm: str = "grpo"
    """A name of `ALGORITHMS`: it sets the fields that make the algorithm."""
    policy: str = "smollm2-135m"
    """The model that learns: `smollm2-135m`, a hub id, or a folder."""
    task: str = "multiplication"
    """The questions: a name that `load_task` knows."""
    seed: int = 0
    """Of the questions, the sampling and the order of mini-batches."""
    max_steps: int = 25
    """Batches of rollouts; TRL counts updates."""

    generation_batch_size: int = 64
    """Completions per step: prompts × `num_generations`."""
    num_generations: int = 8
    """Completions per prompt, G. DeepSeekMath 64, R1 and DAPO 16."""
    max_completion_length: int = 24
    """Tokens after which a completion is cut. R1 32,768; DAPO 20,480 (16,384 and a
    cache of 4,096)."""
    temperature: float = 1.0
    """Of sampling: logits are divided by it, in the log-probs of the loss as well."""
    cache_implementation: Literal["static", None] = None
    """`static`: one program a token, on a GPU a CUDA graph (TRL's name for its own)."""

    num_iterations: int = 1
    """Passes over each batch of rollouts, μ (PPO: epochs)."""
    steps_per_generation: int = 1
    """Mini-batches a pass, an optimizer update each. R1 and DAPO: 16 updates per
    rollout; with one, no clip ever binds because the ratio is 1."""
    per_device_train_batch_size: int | None = None
    """Completions per forward pass (memory); None: a whole mini-batch. The gradient
    does not depend on it."""
    learning_rate: float = 1e-5
    """AdamW's rate after the warm-up. R1-Zero 3e-6, DAPO and GDPO 1e-6 (7B and up)."""
    lr_scheduler_type: Literal["constant", "cosine"] = "constant"
    """The rate after the warm-up: `constant`, or `cosine` towards 0 at `max_steps`."""
    warmup_steps: int = 0
    """Steps over which the rate rises from 0 in a line."""
    adam_beta2: float = 0.99
    """Decay of AdamW's second moment."""
    weight_decay: float = 0.0
    """AdamW's decay of the weights."""
    max_grad_norm: float = 1.0
    """Norm to which a longer gradient is scaled down."""
    bf16: bool | None = None
    """Matrix products in bfloat16; the weights stay float32. None: where a product is
    measured to be faster so (`settled`); the record holds what was chosen."""
    full_determinism: bool = False
    """Deterministic algorithms alone: a GPU repeats a run to the bit, more slowly. A
    CPU does so anyway."""

    loss_type: LossType = "grpo"
    """How token losses become one number: `equations.aggregation.token_weights`."""
    epsilon: float = 0.2
    """Clip of the ratio: 1 − ε below, and 1 + ε above unless `epsilon_high` is set."""
    epsilon_high: float | None = None
    """Upper clip of the ratio; None: `epsilon`. DAPO 0.28."""
    delta: float | None = None
    """Dual clip for A < 0; None: off (verl 3, the DAPO script 10)."""
    importance_sampling_level: Literal["token", "sequence"] = "token"
    """A ratio for each `token`, or one for the whole `sequence` (GSPO)."""
    beta: float = 0.0
    """Weight of the KL term in the loss. DeepSeekMath 0.04, R1 0.001, DAPO 0."""
    kl_gradient: Literal["autodiff", "importance", "k2"] = "autodiff"
    """Gradient of the k3 estimator: `autodiff` (paper), `importance` (TRL), `k2`."""

    scale_rewards: Literal["group", "batch", "mean", "none"] = "group"
    """Divide r − mean by the std of the `group` or the `batch`, by the group's `mean`
    (MaxRL), or by `none`."""
    multi_objective_aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = (
        "sum_then_normalize"
    )
    """Several rewards: `sum_then_normalize` (GRPO) or `normalize_then_sum` (GDPO)."""
    reward_funcs: tuple[str, ...] = ("accuracy_reward",)
    """Built-in names, `file.py:function` or `package.module:function` (rewards.own)."""
    reward_weights: tuple[float, ...] | None = None
    """A weight for each of `reward_funcs`; None: 1 each."""
    conditioned_reward: str | None = None
    """GDPO Eq 8: this reward counts only where `condition_on` ≥ 1."""
    condition_on: str = "accuracy_reward"
    """The reward that decides whether `conditioned_reward` counts."""
    advantage_batch_norm: bool = True
    """GDPO Eq 6, of `normalize_then_sum` alone; False is MO-GRPO."""
    reward_weighting: str = "static"
    """Rule that moves `reward_weights` batch by batch. `static` (none), `saturation`,
    `variation`, `sigma`, `lagrangian`, or one of your own, `file.py:function`."""
    saturation_gamma: float = 0.5
    """γ of `saturation`: w (1 − s)^γ; 0 is GDPO."""
    constraint_target: float = 0.9
    """Mean that `lagrangian` asks of every reward but the first."""
    constraint_rate: float = 0.2
    """η of `lagrangian`, weight per reward and batch."""

    mask_truncated_completions: bool = False
    """DAPO's overlong filtering: a truncated completion has no loss."""
    soft_punish_cache: int = 0
    """Tokens before `max_completion_length` from which a long completion is punished.
    By `soft_overlong_punishment_reward` (DAPO Eq 13; 4,096 there)."""
    length_limit: int = 8
    """Longest completion that `length_reward` pays for (GDPO: 4,000 tokens)."""
    dynamic_sampling: bool = False
    """Resample until every group is partly right (DAPO Eq 11)."""
    max_resample_times: int = 4
    """Extra batches before dynamic sampling goes on with what it has."""

    critic: bool = False
    """PPO: a value model and GAE in place of the group baseline."""
    critic_learning_rate: float = 1e-5
    """AdamW's rate of the value model."""
    gamma: float = 1.0
    """Discount γ of a later reward."""
    lam: float = 1.0
    """GAE's λ. R1's appendix: 0.95 clearly worse than 1.0 on long answers."""
    vf_coef: float = 1.0
    """Weight of the value loss."""
    cliprange_value: float | None = 0.2
    """How far a value may move from its old one before its loss stops; None: any."""
    whiten_advantages: bool = True
    """Bring the advantages of a batch to mean 0 and variance 1."""
    kl_coef: float = 0.0
    """Weight of the k1 KL in the reward (classic RLHF PPO)."""

    max_minutes: float | None = None
    """Stop after the first step that ends later than this; `--resume` goes on. Counts
    this session alone, evaluations included; None: no limit."""
    eval_steps: int = 0
    """Evaluate on the held-out set every so many steps; 0: before and after only."""
    eval_samples: int = 4
    """Sampled completions per held-out question (besides the greedy one)."""
    save_policy: Literal["last", "best", False] = "last"
    """Keep the trained policy in `<run>/policy/`. After the last step, or as it was at
    the best evaluation (`eval/sampled_accuracy`, the first of equals); False: not."""
    save_steps: int | None = None
    """Save every so many steps what `--resume` goes on from; 0: never. None: as often
    as saving takes a twentieth of the time (a save of 10 ms every 0.2 s; SmolLM2's, of
    5 s on a slow disk, every 100 s). 1: a kill costs the step under way at most."""

    def __post_init__(self) -> None:
        """Refuse what no run could mean, before anything is loaded or written."""
        check_choice("algorithm", self.algorithm, tuple(ALGORITHMS))
        for name, hint in typing.get_type_hints(Config).items():
            if typing.get_origin(hint) is Literal:
                check_choice(name, getattr(self, name), typing.get_args(hint))
        config_checks.check_ranges(self)
        config_checks.check_batch(self)
        config_checks.check_reward_funcs(self)
        config_checks.check_weighting(self)

    @property
    def num_prompts(self) -> int:
        """Prompts per step, P = `generation_batch_size` / `num_generations`."""
        return self.generation_batch_size // self.num_generations

    @property
    def updates_per_step(self) -> int:
        """Optimizer updates per batch of rollouts."""
        return self.num_iterations * self.steps_per_generation

    @property
    def reward_names(self) -> tuple[str, ...]:
        """Log keys of `reward_funcs`: the function's name where it is a user's own."""
        return tuple(name.rpartition(":")[2] for name in self.reward_funcs)

    def settled(self, device: str) -> Config:
        """The config with `bf16` decided for a type of device ("cpu", "cuda").

        None becomes what a timed product says (`machine.rates`, once a process);
        True stays, with one line on stderr where it is slower than float32.
        """
        from rlnotes.machine.rates import bfloat16_pays, say_what_bfloat16_costs

        if self.bf16:
            say_what_bfloat16_costs(device)
        if self.bf16 is not None:
            return self
        return dataclasses.replace(self, bf16=bfloat16_pays(device))

    def to_dict(self) -> dict[str, Any]:
        """The resolved config as plain YAML types (tuples become lists)."""
        fields = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}


DEFAULTS: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(Config)}
"""What a field is where nothing is said, also in a record older than the field."""

# Each algorithm is what it changes; a value the paper states stands in the docstring
# of the field. Batch, length and learning rate belong to the machine, not to these.
ALGORITHMS: dict[str, dict[str, Any]] = {
    # Schulman et al. 2017: clipped ratio on GAE advantages from a learnt critic.
    "ppo": {
        "critic": True,
        "loss_type": "bnpo",
        "num_iterations": 2,
        "steps_per_generation": 2,
    },
    # DeepSeekMath Eq 3: the group's mean and std replace the critic.
    "grpo": {"loss_type": "grpo", "scale_rewards": "group"},
    # Liu et al. 2025: no 1/|o_i| and no 1/std, the two biases of GRPO.
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    # DAPO Eq 8-13: clip-higher, dynamic sampling, token-level loss, overlong shaping.
    "dapo": {
        "loss_type": "dapo",
        "epsilon_high": 0.28,
        "steps_per_generation": 2,
        "dynamic_sampling": True,
        "reward_funcs": ("accuracy_reward", "soft_overlong_punishment_reward"),
        "soft_punish_cache": 8,
    },
    # GDPO Eq 4-6: each reward normalized on its own, then summed, then the batch.
    "gdpo": {
        "loss_type": "grpo",
        "multi_objective_aggregation": "normalize_then_sum",
        "reward_funcs": ("accuracy_reward", "length_reward"),
    },
}


def make_config(**overrides: Any) -> Config:
    """Config of `overrides['algorithm']` (default grpo) with the rest laid over it.

    None means "the algorithm's own value", so a notebook's parameter cell can leave a
    choice open. Raises ValueError for an unknown field or a value of another type,
    naming it.
    """
    fields = {f.name: f for f in dataclasses.fields(Config)}
    for name in overrides:
        if name not in fields:
            hint = did_you_mean(name, fields)
            raise ValueError(f"no parameter {name!r} (`rlnotes fields` has all){hint}")
    algorithm = overrides.get("algorithm") or "grpo"
    check_choice("algorithm", algorithm, tuple(ALGORITHMS))
    hints = typing.get_type_hints(Config)
    values = {"algorithm": algorithm, **ALGORITHMS[algorithm]}
    for name, value in overrides.items():
        if value is not None:
            values[name] = config_checks.coerce(name, value, hints[name])
    return Config(**values)


def config_from_notebook(names: Mapping[str, Any]) -> Config:
    """Config from a notebook's `globals()` after its parameters cell.

    Papermill only warns when it injects a parameter that the notebook does not know;
    here every plain value whose name is public must be a field of `Config`.
    """
    plain = (str, int, float, bool, list, tuple, dict, types.NoneType)
    ignored = {"In", "Out", "exit", "quit", "open", "runs_folder"}
    parameters = {
        name: value
        for name, value in names.items()
        if not name.startswith("_")
        and not name.isupper()  # a constant that was imported
        and name not in ignored
        and type(value) in plain
    }
    return make_config(**parameters)


def load_config(path: str | Path, **overrides: Any) -> Config:
    """Config from a YAML file with `overrides` laid over it."""
    return make_config(**{**read_mapping(path), **overrides})
