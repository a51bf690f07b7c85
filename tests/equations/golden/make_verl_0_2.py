r"""Golden values of verl 0.2, from which NVlabs' verl fork descends.

The wheel is unpacked, not installed, and put before verl 0.9.1 in the environment of
make_verl.py:

    pip download --no-deps verl==0.2.0.post2 && unzip verl-0.2*.whl -d verl02
    PYTHONPATH=verl02 verlenv/bin/python \
        tests/equations/golden/make_verl_0_2.py [--check]

The fork (commit b080e63) calls these functions with their old keyword eos_mask; its own
copy of them was not at hand. Its GDPO is two calls of the GRPO function, summed, and
masked_whiten of the sum.
"""

from typing import Any

import numpy as np
import torch
import verl
from example import NUM_GENERATIONS, example, finish, value_and_gradient
from verl.trainer.ppo import core_algos
from verl.utils.torch_functional import masked_whiten

X = example()
MASK = X["completion_mask"]
INDEX = np.repeat(np.arange(2), NUM_GENERATIONS)


def grpo(rewards: torch.Tensor) -> torch.Tensor:
    """Advantages per token."""
    token_rewards = torch.zeros(MASK.shape)
    token_rewards[:, 0] = rewards
    return core_algos.compute_grpo_outcome_advantage(token_rewards, MASK, INDEX)[0]


def gae(mask: str, lam: float) -> dict[str, Any]:
    """Whitened advantages and returns; values are not masked in verl 0.2."""
    advantages, returns = core_algos.compute_gae_advantage_return(
        X["token_rewards"] * X[mask], X["values"], X[mask], 1.0, lam
    )
    return {"whitened": advantages.tolist(), "returns": returns.tolist()}


def kl(logps: str, ref_logps: str) -> dict[str, Any]:
    """Value and gradient of low_var_kl, which is k3."""
    return value_and_gradient(
        lambda variable: core_algos.kl_penalty(variable, X[ref_logps], "low_var_kl"),
        X[logps],
    )


finish(
    "verl_0_2",
    {
        "package": f"verl {verl.__version__}",
        "source": "executed",
        "made_by": "tests/equations/golden/make_verl_0_2.py",
    },
    {
        "policy_loss": value_and_gradient(
            lambda logps: core_algos.compute_policy_loss(
                X["old_per_token_logps"],
                logps,
                X["advantages"][:, None] * MASK,
                MASK,
                cliprange=0.2,
            )[0],
            X["per_token_logps"],
        ),
        "gae": {str(lam): gae("completion_mask", lam) for lam in (1.0, 0.95)},
        "value_loss": value_and_gradient(
            lambda values: core_algos.compute_value_loss(
                values, X["returns"], X["old_values"], MASK, cliprange_value=0.5
            )[0],
            X["values"],
        ),
        "kl_penalty": {
            "per_token_": kl("per_token_logps", "ref_per_token_logps"),
            "extreme_": kl("extreme_logps", "extreme_ref_logps"),
        },
        "grpo": grpo(X["rewards"])[:, 0].tolist(),
        "gdpo": masked_whiten(
            grpo(X["two_rewards"][:, 0]) + grpo(X["two_rewards"][:, 1]), MASK
        )[:, 0].tolist(),
    },
)
