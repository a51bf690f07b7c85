"""Golden values of verl 0.9.1, the reference for PPO, GAE and GDPO.

In an environment of its own (verl pins an older transformers; nothing else of it is
imported here):

    python3.11 -m venv verlenv
    verlenv/bin/pip install torch==2.13.0 "transformers>=5.23,<6" numpy
    verlenv/bin/pip install --no-deps verl==0.9.1 ray "tensordict<=0.10" hydra-core \
        codetiming omegaconf "antlr4-python3-runtime==4.9.3" msgpack protobuf pyvers \
        cloudpickle orjson
    verlenv/bin/python tests/equations/golden/make_verl.py [--check]
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import verl
from example import NUM_GENERATIONS, example, finish, value_and_gradient
from torch import Tensor
from verl.trainer.ppo import core_algos
from verl.workers.config import ActorConfig
from verl.workers.reward_manager.dapo import DAPORewardManager

X = example()
CLIPS = {
    "default": {},
    "dapo script": {"clip_ratio_low": 0.2, "clip_ratio_high": 0.28, "clip_ratio_c": 10},
}
# mode, and what the denominators are told
AGGREGATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "token-mean": ("token-mean", {}),
    "token-mean of a batch of 50 tokens": ("token-mean", {"batch_num_tokens": 50}),
    "token-sum": ("token-sum", {}),
    "seq-mean-token-sum": ("seq-mean-token-sum", {}),
    "seq-mean-token-sum of 8": ("seq-mean-token-sum", {"global_batch_size": 8}),
    "seq-mean-token-mean": ("seq-mean-token-mean", {}),
    "seq-mean-token-mean of 8": ("seq-mean-token-mean", {"global_batch_size": 8}),
    "seq-mean-token-sum-norm": ("seq-mean-token-sum-norm", {}),
    "seq-mean-token-sum-norm by 16": (
        "seq-mean-token-sum-norm",
        {"loss_scale_factor": 16},
    ),
}


def actor(global_batch: dict[str, Any], **clip: Any) -> ActorConfig:
    """verl's actor config, with the denominators that its trainer would fill in."""
    config = ActorConfig(
        strategy="fsdp", rollout_n=1, ppo_micro_batch_size_per_gpu=1, **clip
    )
    config.global_batch_info.update(global_batch)
    return config


def policy_loss(
    name: str, mask: str, mode: str, global_batch: dict[str, Any], **clip: Any
) -> dict[str, Any]:
    """Value and gradient of one of verl's policy losses."""
    function = core_algos.get_policy_loss_fn(name)
    config = actor(global_batch, **clip)
    advantages = X["advantages"][:, None] * X[mask]

    def loss(logps: Tensor) -> Tensor:
        return function(
            X["old_per_token_logps"], logps, advantages, X[mask], mode, config
        )[0]

    return value_and_gradient(loss, X["per_token_logps"])


def at_last(rewards: Tensor, mask: Tensor) -> Tensor:
    """Token rewards with the score on the last token, as verl stores it."""
    last = mask.sum(1) - 1
    return torch.zeros(mask.shape).index_put((torch.arange(len(mask)), last), rewards)


def outcome(name: str, rewards: str, group_size: int, **keywords: Any) -> list[float]:
    """Advantages of one of verl's estimators, one per completion."""
    mask = X["completion_mask"]
    index = np.repeat(np.arange(len(mask) // group_size), group_size)
    advantages, _ = core_algos.get_adv_estimator_fn(name)(
        token_level_rewards=at_last(X[rewards], mask),
        response_mask=mask,
        index=index,
        **keywords,
    )
    return advantages[:, 0].tolist()


def gdpo(columns: list[int], weights: list[float] | None) -> list[float]:
    """GDPO advantages, one per completion."""
    mask = X["completion_mask"]
    keys = [f"reward_{k}" for k in columns]
    scores = {f"reward_{k}": X["two_rewards"][:, k].numpy() for k in columns}
    advantages, _ = core_algos.compute_gdpo_outcome_advantage(
        token_level_rewards=at_last(X["two_rewards"].sum(1), mask),
        response_mask=mask,
        index=np.repeat(np.arange(2), NUM_GENERATIONS),
        config={"gdpo_reward_keys": keys, "gdpo_reward_weights": weights},
        non_tensor_batch=scores,
        batch={
            "prompts": torch.zeros(len(mask), 3),
            "attention_mask": torch.cat([torch.ones(len(mask), 3).long(), mask], 1),
        },
    )
    return advantages[:, 0].tolist()


def gae(mask: str, gamma: float, lam: float) -> dict[str, Any]:
    """Whitened advantages, and returns."""
    advantages, returns = core_algos.compute_gae_advantage_return(
        X["token_rewards"] * X[mask], X["values"], X[mask], gamma, lam
    )
    return {"whitened": advantages.tolist(), "returns": returns.tolist()}


def value_loss(mask: str, cliprange_value: float) -> dict[str, Any]:
    """Value and gradient of the critic's loss."""

    def loss(values: Tensor) -> Tensor:
        return core_algos.compute_value_loss(
            values, X["returns"], X["old_values"], X[mask], cliprange_value
        )[0]

    return value_and_gradient(loss, X["values"])


def kl(estimator: str, logps: str, ref_logps: str) -> dict[str, Any]:
    """Value and gradient of a KL term."""
    return value_and_gradient(
        lambda variable: core_algos.kl_penalty(variable, X[ref_logps], estimator),
        X[logps],
    )


def overlong() -> list[float]:
    """Scores with limit 100 and buffer 20 where the correctness reward is 0."""
    lengths = X["overlong_lengths"]
    rows = len(lengths)
    attended = (torch.arange(120) < lengths[:, None]).long()
    data = verl.DataProto.from_dict(
        tensors={
            "prompts": torch.ones(rows, 1, dtype=torch.long),
            "responses": torch.ones(rows, 120, dtype=torch.long),
            "attention_mask": torch.cat([torch.ones(rows, 1).long(), attended], 1),
        },
        non_tensors={
            "data_source": np.array(["none"] * rows, dtype=object),
            "reward_model": np.array([{"ground_truth": ""}] * rows, dtype=object),
            "extra_info": np.array([{} for _ in range(rows)], dtype=object),
        },
    )
    manager = DAPORewardManager(
        SimpleNamespace(decode=lambda *_, **__: "", eos_token="</s>"),
        num_examine=0,
        compute_score=lambda **_: 0.0,
        max_resp_len=100,
        overlong_buffer_cfg=SimpleNamespace(
            enable=True, len=20, penalty_factor=1.0, log=False
        ),
    )
    return manager(data).sum(1).tolist()


cases: dict[str, Any] = {
    "policy_loss": {
        f"{clip} | {mask} | {name}": policy_loss(
            "vanilla", mask, mode, global_batch, **CLIPS[clip]
        )
        for clip in CLIPS
        for mask in ("completion_mask", "mask_with_empty_row")
        for name, (mode, global_batch) in AGGREGATIONS.items()
    },
    "gspo": policy_loss("gspo", "completion_mask", "seq-mean-token-mean", {}),
    "cispo": policy_loss("cispo", "completion_mask", "token-mean", {}),
    "gae": {
        f"{mask} | {gamma} | {lam}": gae(mask, gamma, lam)
        for mask in ("completion_mask", "mask_with_gaps")
        for gamma, lam in ((1.0, 1.0), (0.99, 0.95))
    },
    "value_loss": {
        f"{mask} | {bound}": value_loss(mask, bound)
        for mask in ("completion_mask", "mask_with_empty_row")
        for bound in (0.5, 0.2)
    },
    "kl_penalty": {
        f"{estimator} | {prefix}": kl(estimator, f"{prefix}logps", f"{ref}logps")
        for estimator in ("k1", "abs", "k2", "k3", "k1+", "k3+")
        for prefix, ref in (
            ("per_token_", "ref_per_token_"),
            ("extreme_", "extreme_ref_"),
        )
    },
    "grpo": {
        f"{rewards} | {size} | std {std}": outcome(
            "grpo", rewards, size, norm_adv_by_std_in_grpo=std
        )
        for rewards in ("rewards", "rewards_constant_group")
        for size in (4, 2, 1)
        for std in (True, False)
    },
    "grpo_vectorized": {
        f"rewards | {size}": outcome("grpo_vectorized", "rewards", size)
        for size in (4, 2, 1)
    },
    "rloo": {f"rewards | {size}": outcome("rloo", "rewards", size) for size in (4, 1)},
    "rloo_vectorized": {
        f"rewards | {size}": outcome("rloo_vectorized", "rewards", size)
        for size in (4, 1)
    },
    "gdpo": {
        "both": gdpo([0, 1], None),
        "weights 1, 0.5": gdpo([0, 1], [1.0, 0.5]),
        "only the first": gdpo([0], None),
    },
    "overlong": overlong(),
}
# One group of eight equal rewards: its float32 mean is not quite the reward
cases["constant_group"] = {}
for reward in (0.1, 0.5, 0.7):
    X["equal"] = torch.full((8,), reward)
    cases["constant_group"][reward] = outcome("grpo", "equal", 8)

finish(
    "verl",
    {
        "package": f"verl {verl.__version__}",
        "source": "executed",
        "made_by": "tests/equations/golden/make_verl.py",
    },
    cases,
)
