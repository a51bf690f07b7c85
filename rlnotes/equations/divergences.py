"""Distance from a reference policy, and entropy: estimated from samples or exact.

The estimators read log π(o_t) and log π_ref(o_t) of tokens sampled from π and estimate
KL(π ‖ π_ref). All three have the right mean (k2 only nearly); what their *gradients*
mean is another matter, see `kl_penalty`.
"""

from typing import Literal

import torch
from torch import Tensor

from .validation import (
    check_choice,
    check_finite,
    check_float,
    check_mask,
    check_range,
    check_same_shape,
)

Estimator = Literal["k1", "k2", "k3", "abs"]
KLGradient = Literal["autodiff", "k2", "importance"]


def _log_ratio(per_token_logps: Tensor, ref_per_token_logps: Tensor) -> Tensor:
    """d = log π_ref − log π in float32 or better."""
    check_same_shape(
        "ref_per_token_logps", ref_per_token_logps, "per_token_logps", per_token_logps
    )
    logps = check_float("per_token_logps", per_token_logps)
    return check_float("ref_per_token_logps", ref_per_token_logps).detach() - logps


def kl_k1(per_token_logps: Tensor, ref_per_token_logps: Tensor) -> Tensor:
    """KL estimator k1: unbiased, high variance, negative at times.

    k1 = log π − log π_ref

    Schulman, 2020 ("Approximating KL divergence"). Right as a penalty in the reward;
    in the loss its expected on-policy gradient is 0.

    Args:
        per_token_logps: (N, T) log π of the sampled tokens, nats.
        ref_per_token_logps: (N, T) log π_ref of the same tokens, a constant.

    Returns:
        (N, T) estimates in nats, float32 or better.

    Raises:
        ValueError: shapes differ or not floating point.
    """
    return -_log_ratio(per_token_logps, ref_per_token_logps)


def kl_k2(per_token_logps: Tensor, ref_per_token_logps: Tensor) -> Tensor:
    """KL estimator k2: biased value, right on-policy gradient.

    k2 = ½·(log π − log π_ref)²

    Schulman, 2020. Arguments, result and errors as `kl_k1`.
    """
    return 0.5 * _log_ratio(per_token_logps, ref_per_token_logps).square()


def kl_k3(per_token_logps: Tensor, ref_per_token_logps: Tensor) -> Tensor:
    """KL estimator k3: unbiased, never negative; biased gradient.

    k3 = π_ref/π − log(π_ref/π) − 1

    Schulman, 2020; GRPO (Shao et al., 2024) Eq 4. Arguments, result and errors as
    `kl_k1`.
    """
    log_ratio = _log_ratio(per_token_logps, ref_per_token_logps)
    return torch.expm1(log_ratio) - log_ratio


def _kl_abs(per_token_logps: Tensor, ref_per_token_logps: Tensor) -> Tensor:
    """|log π − log π_ref|, verl's "abs"."""
    return _log_ratio(per_token_logps, ref_per_token_logps).abs()


_ESTIMATORS = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3, "abs": _kl_abs}


def kl_penalty(
    per_token_logps: Tensor,
    ref_per_token_logps: Tensor,
    *,
    estimator: Estimator = "k3",
    gradient: KLGradient = "autodiff",
    ratio: Tensor | None = None,
    clamp: tuple[float, float] | None = None,
    completion_mask: Tensor | None = None,
) -> Tensor:
    """Per-token KL term of the loss, with a choice of what its gradient is.

    With d = log π_ref − log π, the derivative by log π:
    "autodiff" of k1: 1;  of k2: −d;  of k3: 1 − e^d (GRPO as published)
    "k2":         value of the estimator, derivative −d (verl's "k3+")
    "importance": value × ratio; of k3: −ratio·d (TRL's bias-corrected KL)
    The last two are unbiased for samples of π and of π_old respectively.

    GRPO (Shao et al., 2024) Eq 4; DeepSeek-V3.2 for the ratio.

    Args:
        per_token_logps: (N, T) log π of the sampled tokens, nats, with gradient.
        ref_per_token_logps: (N, T) log π_ref, a constant.
        estimator: "k1", "k2", "k3" or "abs" (|k1|).
        gradient: see above.
        ratio: (N, T) or (N, 1) π/π_old with gradient, for "importance" only.
        clamp: (bound on |d|, bound on |value|), verl and NeMo (20, 10).
        completion_mask: (N, T) zeros and ones; outside it the result is 0.

    Returns:
        (N, T) nats, float32 or better.

    Raises:
        ValueError: shapes differ, unknown choices, no ratio for "importance", a clamp
            not positive, or a result that is not finite.
    """
    check_choice("estimator", estimator, tuple(_ESTIMATORS))
    check_choice("gradient", gradient, ("autodiff", "k2", "importance"))
    log_ratio = _log_ratio(per_token_logps, ref_per_token_logps)
    if completion_mask is not None:
        keep = check_mask("completion_mask", completion_mask, log_ratio.shape)
        log_ratio = log_ratio.masked_fill(~keep, 0.0)
    free_log_ratio = log_ratio
    if clamp is not None:
        check_range("clamp[0]", clamp[0], low=0.0, low_open=True)
        check_range("clamp[1]", clamp[1], low=0.0, low_open=True)
        log_ratio = log_ratio.clamp(-clamp[0], clamp[0])
    value = _ESTIMATORS[estimator](-log_ratio, torch.zeros_like(log_ratio))
    if clamp is not None:
        # An infinite value would pass the clamp, with a gradient of NaN
        check_finite("KL of per_token_logps and ref_per_token_logps", value)
        value = value.clamp(-clamp[1], clamp[1])
    if gradient == "k2":
        half_square = 0.5 * free_log_ratio.square()  # as verl: the clamp is not in it
        value = value.detach() + half_square - half_square.detach()
    elif gradient == "importance":
        value = value * _check_ratio(ratio, value)
    check_finite("KL of per_token_logps and ref_per_token_logps", value)
    return value


def _check_ratio(ratio: Tensor | None, value: Tensor) -> Tensor:
    """Return the ratio that corrects for the samples being of π_old."""
    if ratio is None:
        raise ValueError('ratio must be given for gradient="importance"')
    check_same_shape("ratio", ratio, "per_token_logps", value, column=True)
    return check_float("ratio", ratio)


def exact_kl(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """KL divergence from the whole distributions.

    KL(π ‖ π_ref) = Σ_v π(v)·(log π(v) − log π_ref(v))

    Args:
        logits: (…, V) of π; −∞ for a token ruled out.
        ref_logits: (…, V) of π_ref.

    Returns:
        (…,) nats, float32 or better; ∞ where π_ref rules out what π does not.

    Raises:
        ValueError: shapes differ, not floating point, NaN, or a row of only −∞.
    """
    check_same_shape("ref_logits", ref_logits, "logits", logits)
    logps = _log_softmax("logits", logits)
    ref_logps = _log_softmax("ref_logits", ref_logits)
    probs = logps.exp()
    return (probs * (logps - ref_logps).masked_fill(probs == 0, 0.0)).sum(dim=-1)


def token_entropy(logits: Tensor) -> Tensor:
    """Entropy of the next-token distribution.

    H = −Σ_v π(v)·log π(v)

    Args:
        logits: (…, V); −∞ for a token ruled out.

    Returns:
        (…,) nats, float32 or better.

    Raises:
        ValueError: not floating point, NaN, or a row of only −∞.
    """
    logps = _log_softmax("logits", logits)
    probs = logps.exp()
    return -(probs * logps.masked_fill(probs == 0, 0.0)).sum(dim=-1)


def _log_softmax(name: str, logits: Tensor) -> Tensor:
    """Log-probabilities in float32 or better, of rows that have some."""
    logits = check_float(name, logits)
    check_finite(f"the largest of {name}", logits.amax(dim=-1))
    return logits.log_softmax(dim=-1)
