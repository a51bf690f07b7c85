"""Golden values of NeMo RL: its advantage estimators and its KL.

NeMo RL is not on the package index and does not import without its whole stack, so the
functions named below are taken out of two files of a checkout and run on their own:

    python tests/equations/golden/make_nemo.py path/to/NeMo-RL [--check]

The committed values are of the two files as stored for commit 00925dd
(advantage_estimator.py) and of the version of utils.py that has masked_var; only the
text of these functions was at hand, not a checkout. Nothing here needs more than torch.
"""

import __future__

import ast
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Optional

import torch
from example import NUM_GENERATIONS, example, finish, value_and_gradient

ROOT = Path(next(word for word in sys.argv[1:] if not word.startswith("--")))
NEEDED = {
    "utils.py": (
        "get_gdpo_reward_component_keys",
        "calculate_kl",
        "calculate_baseline_and_std_per_prompt",
        "masked_mean",
        "masked_var",
    ),
    "advantage_estimator.py": (
        "GRPOAdvantageEstimator",
        "GDPOAdvantageEstimator",
        "GeneralizedAdvantageEstimator",
    ),
}


def load() -> SimpleNamespace:
    """Execute only the needed definitions, annotations left as text."""
    names: dict[str, Any] = {
        "torch": torch,
        "Any": Any,
        "Literal": Literal,
        "Optional": Optional,
    }
    for file, wanted in NEEDED.items():
        path = ROOT / "nemo_rl" / "algorithms" / file
        tree = ast.parse(path.read_text())
        tree.body = [node for node in tree.body if getattr(node, "name", "") in wanted]
        code = compile(
            tree, str(path), "exec", flags=__future__.annotations.compiler_flag
        )
        exec(code, names)
    return SimpleNamespace(**names)


nemo = load()
X = example()
PROMPTS = torch.arange(8)[:, None] // NUM_GENERATIONS
MASK = X["completion_mask"]
NO_KL = SimpleNamespace(
    use_kl_in_reward=False,
    reference_policy_kl_penalty=0.0,
    reference_policy_kl_type="k3",
)


def group(leave_one_out: bool, weights: list[float] | None = None) -> SimpleNamespace:
    """The part of NeMo's estimator config that GRPO and GDPO read."""
    return SimpleNamespace(
        use_leave_one_out_baseline=leave_one_out,
        normalize_rewards=True,
        reward_weights=weights,
    )


def grpo(rewards: torch.Tensor, leave_one_out: bool, size: int = 4) -> list[float]:
    """One advantage per completion, `size` completions per prompt."""
    estimator = nemo.GRPOAdvantageEstimator(group(leave_one_out), NO_KL)
    prompts = torch.arange(len(rewards))[:, None] // size
    mask = torch.ones(len(rewards), 1)
    return estimator.compute_advantage(prompts, rewards.clone(), mask)[:, 0].tolist()


def gdpo(leave_one_out: bool, weights: list[float] | None) -> list[float]:
    """One advantage per completion, of two rewards."""
    estimator = nemo.GDPOAdvantageEstimator(group(leave_one_out, weights), NO_KL)
    batch = {f"reward/{k}": X["two_rewards"][:, k].clone() for k in (0, 1)}
    return estimator.compute_advantage(PROMPTS, None, MASK, batch)[:, 0].tolist()


def gae(mask: str, lam: float, alpha: float = 0.0) -> dict[str, Any]:
    """Whitened advantages, and returns, of the scores at the last token."""
    config = SimpleNamespace(
        gae_lambda=lam,
        gae_gamma=1.0,
        normalize_advantages=True,
        gae_lambda_value=None,
        gae_lambda_policy=None,
        length_adaptive_alpha=alpha,
    )
    estimator = nemo.GeneralizedAdvantageEstimator(config, NO_KL)
    whitened, returns = estimator.compute_advantage(
        PROMPTS, X["rewards"], X[mask], X["values"]
    )
    return {"whitened": whitened.tolist(), "returns": returns.tolist()}


def kl(estimator: str, logps: str, ref_logps: str, on_policy: bool) -> dict[str, Any]:
    """Value and gradient; `on_policy` is how the later loss_functions.py calls it."""

    def term(variable: torch.Tensor) -> torch.Tensor:
        weights = torch.exp(variable - variable.detach()) if on_policy else None
        return nemo.calculate_kl(
            variable, X[ref_logps], estimator, importance_sampling_weights=weights
        )

    return value_and_gradient(term, X[logps])


finish(
    "nemo",
    {
        "package": "NVIDIA-NeMo/RL, advantage_estimator.py of 00925dd, utils.py alike",
        "source": "executed, these functions on their own",
        "made_by": "tests/equations/golden/make_nemo.py",
    },
    {
        "grpo": {
            f"{rewards} | {size} | leave one out {leave_one_out}": grpo(
                X[rewards], leave_one_out, size
            )
            for rewards in ("rewards", "rewards_constant_group")
            for size in (4, 2, 1)
            for leave_one_out in (True, False)
        },
        "gdpo": {
            f"leave one out {leave_one_out} | {weights}": gdpo(leave_one_out, weights)
            for leave_one_out in (True, False)
            for weights in (None, [1.0, 0.5])
        },
        "gae": {
            f"{mask} | {lam}": gae(mask, lam)
            for mask in ("completion_mask", "mask_with_gaps")
            for lam in (1.0, 0.95)
        },
        "gae_length_adaptive": gae("completion_mask", 0.95, alpha=0.5),
        "kl_penalty": {
            f"{estimator} | {prefix} | on-policy {on_policy}": kl(
                estimator, f"{prefix}logps", f"{ref}logps", on_policy
            )
            for estimator in ("k1", "k2", "k3")
            for prefix, ref in (
                ("per_token_", "ref_per_token_"),
                ("extreme_", "extreme_ref_"),
            )
            for on_policy in (False, True)
        },
        # Siblings that agree: their one-pass float32 variance is not quite 0
        "constant_group": {
            reward: grpo(torch.full((8,), reward), True, 8)
            for reward in (0.1, 0.5, 0.7)
        },
        "one_stands_out": {
            reward: grpo(torch.tensor([reward] * 7 + [1.0]), True, 8)
            for reward in (0.1, 0.5, 0.7)
        },
    },
)
