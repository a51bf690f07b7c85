r"""Golden values of OpenRLHF 0.11.0: its losses and its advantage estimators.

The wheel is unpacked, not installed, and only the modules below are run; what they
import and do not use here (deepspeed, the ray actors) is replaced by empty modules.
torch, transformers and ray are needed (the environment of make_verl.py has them).

    pip download --no-deps openrlhf==0.11.0 && unzip openrlhf-*.whl -d openrlhf
    python tests/equations/golden/make_openrlhf.py \
        openrlhf/openrlhf-*.data/purelib [--check]
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from example import NUM_GENERATIONS, example, finish, value_and_gradient
from torch import Tensor

X = example()
ROOT = Path(next(word for word in sys.argv[1:] if not word.startswith("--")))
VERSION = "0.11.0"


def shell(name: str, folder: Path | None = None, **contents: Any) -> None:
    """A module that is empty but for `contents`, or a package without its __init__."""
    module = ModuleType(name)
    if folder is not None:
        module.__path__ = [str(folder)]
    vars(module).update(contents)
    sys.modules[name] = module


shell("deepspeed")
shell("openrlhf.trainer.ray.launcher", RayActorGroup=object)
for package in ("", ".models", ".trainer", ".trainer.ppo_utils", ".utils"):
    shell(f"openrlhf{package}", ROOT.joinpath("openrlhf", *package.split(".")))
losses = importlib.import_module("openrlhf.models.loss")
utils = importlib.import_module("openrlhf.models.utils")
maker = importlib.import_module("openrlhf.trainer.ppo_utils.experience_maker")
penalty = importlib.import_module("openrlhf.trainer.ppo_utils.length_penalty")


def policy_loss(mask: str, **settings: Any) -> dict[str, Any]:
    """Value and gradient of PolicyLoss."""
    loss = losses.PolicyLoss(**settings)
    advantages = X["advantages"][:, None] * X[mask]
    return value_and_gradient(
        lambda logps: loss(logps, X["old_per_token_logps"], advantages, X[mask])[0],
        X["per_token_logps"],
    )


def value_loss(mask: str, bound: float | None) -> dict[str, Any]:
    """Value and gradient of ValueLoss."""
    loss = losses.ValueLoss(bound)
    return value_and_gradient(
        lambda values: loss(values, X["old_values"], X["returns"], X[mask]),
        X["values"],
    )


def kl(estimator: str, logps: str, ref_logps: str) -> dict[str, Any]:
    """Value and gradient of compute_approx_kl."""
    return value_and_gradient(
        lambda variable: utils.compute_approx_kl(variable, X[ref_logps], estimator),
        X[logps],
    )


def kl_overflow() -> dict[str, list[Any]]:
    """Gradient of k3 where e^d is just inside and just outside of float32."""
    log_ratios = torch.tensor([88.0, 89.0])
    result = value_and_gradient(
        lambda logps: utils.compute_approx_kl(logps, torch.zeros(2), "k3"), -log_ratios
    )
    return {
        "log_ratio": log_ratios.tolist(),
        "kl": result["value"],
        "gradient": [str(slope) for slope in result["gradient"]],
    }


def advantages(
    estimator: str,
    scores: Tensor,
    mask: str,
    *,
    lambd: float = 1.0,
    group_size: int = NUM_GENERATIONS,
) -> tuple[Tensor, Tensor]:
    """Advantages and returns of one estimator, without KL in the reward."""
    advantage = SimpleNamespace(
        estimator=estimator, gamma=1.0, lambd=lambd, no_std_norm=False
    )
    experience = SimpleNamespace(
        index=list(range(8)),
        rewards=scores.clone(),
        values=X["values"],
        kl=torch.zeros(8, 6),
        action_mask=X[mask],
        info={},
    )
    args = SimpleNamespace(
        algo=SimpleNamespace(advantage=advantage),
        rollout=SimpleNamespace(n_samples_per_prompt=group_size),
        reward=SimpleNamespace(clip_range=(-10, 10)),
    )
    this = SimpleNamespace(
        strategy=SimpleNamespace(args=args),
        advantage_estimator=estimator,
        kl_ctl=SimpleNamespace(value=0.0),
    )
    kind = maker.RemoteExperienceMaker
    this.get_advantages_and_returns = kind.get_advantages_and_returns.__get__(this)
    this.get_cumulative_returns = kind.get_cumulative_returns.__get__(this)
    kind.compute_advantages_and_returns(this, [experience])
    return experience.advantages, experience.returns


def outcome(estimator: str, rewards: Tensor, **keywords: Any) -> list[float]:
    """Advantages of an estimator that gives one number per completion."""
    result, _ = advantages(estimator, rewards, "completion_mask", **keywords)
    return result[:, 0].tolist()


def gae(mask: str, lambd: float) -> dict[str, Any]:
    """Whitened advantages, and returns, of the scores at the last token."""
    whitened, returns = advantages("gae", X["rewards"], mask, lambd=lambd)
    return {"whitened": whitened.tolist(), "returns": returns.tolist()}


def overlong() -> list[float]:
    """Penalties with limit 100 and buffer 20."""
    lengths = X["overlong_lengths"]
    experience = SimpleNamespace(
        response_length=lengths, rewards=torch.zeros(len(lengths))
    )
    penalty.apply_overlong_penalty([experience], 100, 20)
    return experience.rewards.tolist()


MASKS = ("completion_mask", "mask_with_empty_row")
finish(
    "openrlhf",
    {
        "package": f"openrlhf {VERSION}",
        "source": "executed",
        "made_by": "tests/equations/golden/make_openrlhf.py",
    },
    {
        "policy_loss": {
            f"{mask} | token {token} | dual {dual}": policy_loss(
                mask, token_level_loss=token, dual_clip=dual, clip_eps_high=high
            )
            for mask in MASKS
            for token in (True, False)
            for dual, high in ((None, 0.2), (3.0, 0.28))
        },
        "gspo": policy_loss("completion_mask", policy_loss_type="gspo"),
        "value_loss": {
            f"{mask} | {bound}": value_loss(mask, bound)
            for mask in MASKS
            for bound in (0.5, None)
        },
        "kl_penalty": {
            f"{estimator} | {prefix}": kl(estimator, f"{prefix}logps", f"{ref}logps")
            for estimator in ("k1", "k2", "k3")
            for prefix, ref in (
                ("per_token_", "ref_per_token_"),
                ("extreme_", "extreme_ref_"),
            )
        },
        "gae": {
            f"{mask} | {lambd}": gae(mask, lambd)
            for mask in ("completion_mask", "mask_with_gaps")
            for lambd in (1.0, 0.95)
        },
        "group_norm": {
            rewards: outcome("group_norm", X[rewards])
            for rewards in ("rewards", "rewards_constant_group")
        },
        "rloo": outcome("rloo", X["rewards"]),
        "dr_grpo": outcome("dr_grpo", X["rewards"]),
        "overlong": overlong(),
        "kl_overflow": kl_overflow(),
        # One group of eight equal rewards: its float32 mean is not quite the reward
        "constant_group": {
            reward: outcome("group_norm", torch.full((8,), reward), group_size=8)
            for reward in (0.1, 0.5, 0.7)
        },
    },
)
