"""Liger 0.8.5's fused GRPO loss, run live on the CPU: loss and gradients.

Liger takes hidden states and the head's weight; ours here is the plain way, logits,
log-softmax, `policy_loss`. Liger computes in float32.
"""

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.objectives import policy_loss

LENGTHS = {"full": [5, 5, 5], "ragged": [5, 2, 3], "empty row": [3, 0, 5]}
CLIPS = {
    "epsilon": {"epsilon": 0.2},
    "epsilon_high": {"epsilon": 0.2, "epsilon_high": 0.28},
    "delta": {"epsilon": 0.2, "epsilon_high": 0.28, "delta": 1.6},
}
KLS = {
    "no KL": {"beta": 0.0, "kl_gradient": "autodiff"},
    "KL": {"beta": 0.3, "kl_gradient": "autodiff"},
    "corrected KL": {"beta": 0.3, "kl_gradient": "importance"},
}
MAX_LENGTH = 7


@pytest.fixture(scope="module")
def liger_loss():
    losses = pytest.importorskip("liger_kernel.chunked_loss")
    return losses.LigerFusedLinearGRPOLoss


def make_batch(lengths):
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(3, 5, 8, generator=generator)
    weight = 0.5 * torch.randn(11, 8, generator=generator)
    ids = torch.randint(0, 11, (3, 5), generator=generator)
    logps = gather(hidden, weight, ids)
    noise = 0.7 * torch.randn(2, 3, 5, generator=generator)
    return {
        "hidden": hidden,
        "weight": weight,
        "ids": ids,
        "old": logps + noise[0],
        "ref": logps + noise[1],
        "advantages": T([1.3, -0.8, -2.1]),
        "mask": (torch.arange(5) < T(lengths)[:, None]).long(),
    }


def gather(hidden, weight, ids):
    logps = (hidden @ weight.T).log_softmax(-1)
    return logps.gather(-1, ids[..., None])[..., 0]


def theirs(liger_loss, batch, loss_type, level="token", **keywords):
    hidden, weight = (
        batch[name].clone().requires_grad_() for name in ("hidden", "weight")
    )
    epsilon = keywords.get("epsilon", 0.2)
    function = liger_loss(
        beta=keywords.get("beta", 0.0),
        compiled=False,
        use_ref_model=keywords.get("beta", 0.0) > 0,
        epsilon_low=epsilon,
        epsilon_high=keywords.get("epsilon_high") or epsilon,
        delta=keywords.get("delta"),
        loss_type=loss_type,
        importance_sampling_level=level,
        max_completion_length=MAX_LENGTH,
        use_bias_correction_kl=keywords.get("kl_gradient") == "importance",
    )
    loss, _ = function(
        hidden,
        weight,
        batch["ids"],
        batch["mask"],
        batch["advantages"],
        ref_per_token_logps=batch["ref"] if keywords.get("beta") else None,
        old_per_token_logps=batch["old"],
    )
    loss.backward()
    return loss.detach(), hidden.grad, weight.grad


def ours(batch, loss_type, level="token", **keywords):
    hidden, weight = (
        batch[name].clone().requires_grad_() for name in ("hidden", "weight")
    )
    loss = policy_loss(
        gather(hidden, weight, batch["ids"]),
        batch["old"],
        batch["advantages"],
        batch["mask"],
        loss_type=loss_type,
        importance_sampling_level=level,
        ref_per_token_logps=batch["ref"],
        max_completion_length=MAX_LENGTH,
        **keywords,
    )
    loss.backward()
    return loss.detach(), hidden.grad, weight.grad


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kl", KLS)
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo", "cispo"])
def test_loss_and_gradients(liger_loss, loss_type, clip, kl, lengths):
    keywords = {**CLIPS[clip], **KLS[kl]}
    if loss_type == "cispo":
        keywords["epsilon_high"] = 1.3
    batch = make_batch(LENGTHS[lengths])
    expected = theirs(liger_loss, batch, loss_type, **keywords)
    got = ours(batch, loss_type, **keywords)
    assert_close(got, expected, rtol=1e-6, atol=1e-6)
    assert expected[1].abs().max() > 1e-3


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kl", KLS)
@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_sequence_level(liger_loss, loss_type, kl, lengths):
    batch = make_batch(LENGTHS[lengths])
    expected = theirs(liger_loss, batch, loss_type, "sequence", **KLS[kl])
    got = ours(batch, loss_type, "sequence", **KLS[kl])
    assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_liger_luspo_weighs_by_length_over_the_padded_width(liger_loss):
    """Liger keeps TRL's old formula: Σ L·n_i / (B·T), padding included in Σ."""
    batch = make_batch(LENGTHS["ragged"])
    expected = theirs(liger_loss, batch, "luspo")[0]
    now = ours(batch, "luspo")[0]
    assert abs(expected - now) > 0.01
    logps = gather(batch["hidden"], batch["weight"], batch["ids"])
    ratio = (logps - batch["old"]).exp()
    advantages = batch["advantages"][:, None]
    loss = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    old_formula = (loss * batch["mask"].sum(1, keepdim=True)).mean()
    assert_close(expected, old_formula, rtol=1e-5, atol=1e-5)
