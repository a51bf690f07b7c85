"""From hidden states to the loss and its gradients; the (M, V) logits never exist.

A chunk of m tokens meets the head W twice, one block b of the vocabulary at a time:

1. z = h Wᵀ/temperature, and in each block a softmax q_b and a logsumexp λ_b; from them
   log π(y) and the entropy. The loss is a function of log π alone, so autograd on one
   (m,) vector gives its slope g = dL/dlog π, whatever the objective.
2. π = q_b·share_b turns into dL/dz = g·(1[y] − π)/temperature, and
   dh += dL/dz W, dW += dL/dzᵀ h; tokens with g = 0 stay out of it.

This takes 6·M·H·V floating-point operations, the least that exact gradients need, and
m·V numbers of working memory; the gradients are there when the forward pass ends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .fused_chunks import Call, TokenLoss, value_and_slopes
from .validation import check_finite, check_float, check_range, check_shape


@dataclass(frozen=True)
class FusedResult:
    """What the fused head gives back.

    Attributes:
        loss: scalar with gradient.
        per_token_logps: (M,) log π of the taken tokens, nats, detached.
        entropies: (M,) entropy of π at each token, nats, detached.

    Skipped tokens are NaN in both vectors: they were never computed.
    """

    loss: Tensor
    per_token_logps: Tensor
    entropies: Tensor


def fused_policy_loss(
    hidden_states: Tensor,
    head_weight: Tensor,
    completion_ids: Tensor,
    token_loss: TokenLoss,
    *,
    temperature: float = 1.0,
    entropy_weights: Tensor | None = None,
    skip: Tensor | None = None,
    chunk_size: int = 256,
    vocab_block: int = 1024,
) -> FusedResult:
    """Loss of the taken tokens, with the gradients of hidden states and head.

    L = Σ_t token_loss(log π(y_t))_t − Σ_t entropy_weights_t·H_t
    π = softmax(h Wᵀ/temperature)

    Every per-token objective fits: clip, dual clip, CISPO, any KL estimator. Products
    run in the inputs' dtype or autocast's, softmax and sums in float32 or better. Put
    a factor on the loss into `token_loss`: outside, it costs one more copy of dW.

    Args:
        hidden_states: (M, H) last hidden states that predict the tokens, no padding.
        head_weight: (V, H) weight of the LM head, tied to the embedding or not.
        completion_ids: (M,) the tokens taken, in [0, V).
        token_loss: gets the log-probs (m,) of a chunk and their positions (m,) in
            0…M−1, to index constants with; gives the weighted losses (m,), to be
            summed. Gradients flow through the log-probs only.
        temperature: what the logits are divided by, as when the tokens were sampled.
        entropy_weights: (M,) entropy bonus: coefficient times aggregation weight.
        skip: (M,) bool, tokens known to have loss and gradient 0 (Â = 0, no KL, no
            bonus). They never meet the head; a clipped token meets it once.
        chunk_size: tokens at a time; working memory is 4·chunk_size·V bytes.
        vocab_block: vocabulary rows at a time. chunk_size·vocab_block numbers should
            fit in a core's cache; on a GPU take more of both.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, an id is outside [0, V), a
            skipped token has an entropy weight, or the loss is not finite.
    """
    _check_inputs(hidden_states, head_weight, completion_ids, entropy_weights, skip)
    check_range("temperature", temperature, low=0.0, low_open=True)
    check_range("chunk_size", chunk_size, low=1, integer=True)
    check_range("vocab_block", vocab_block, low=1, integer=True)
    keep = torch.ones_like(completion_ids) if skip is None else ~skip
    call = Call(
        ids=completion_ids.long(),
        token_loss=token_loss,
        entropy_weights=None if entropy_weights is None else entropy_weights.detach(),
        kept=keep.nonzero()[:, 0],
        temperature=temperature,
        chunk_size=min(chunk_size, max(len(completion_ids), 1)),
        vocab_block=vocab_block,
        dtype=_compute_dtype(hidden_states, head_weight),
        grad_enabled=torch.is_grad_enabled(),
    )
    return FusedResult(*_FusedHead.apply(hidden_states, head_weight, call))


def fused_sequence_loss(
    hidden_states: Tensor,
    head_weight: Tensor,
    completion_ids: Tensor,
    loss_fn: Callable[[Tensor], Tensor],
    *,
    temperature: float = 1.0,
    entropy_weights: Tensor | None = None,
    chunk_size: int = 256,
    vocab_block: int = 1024,
) -> FusedResult:
    """`fused_policy_loss` for a loss that needs all log-probs at once, like GSPO's.

    L = loss_fn(log π(y_1), …, log π(y_M)) − Σ_t entropy_weights_t·H_t

    The log-probs take a pass of their own, so 8·M·H·V operations; tokens with a slope
    of exactly 0 (clipped, Â = 0) are left out of the second.

    Args:
        hidden_states, head_weight, completion_ids, temperature, entropy_weights,
            chunk_size, vocab_block: as in `fused_policy_loss`.
        loss_fn: gives the scalar loss of the (M,) log-probs.

    Raises:
        ValueError: as `fused_policy_loss`, or `loss_fn` does not give a scalar.
    """
    inputs = (hidden_states, head_weight, completion_ids)
    sizes: dict[str, Any] = {
        "temperature": temperature,
        "chunk_size": chunk_size,
        "vocab_block": vocab_block,
    }
    logps, entropies = fused_logps(*inputs, **sizes)
    value, slopes = value_and_slopes("loss_fn", loss_fn, logps, shape=())
    idle = slopes == 0
    if entropy_weights is not None:
        check_shape("entropy_weights", entropy_weights, idle.shape)
        idle &= entropy_weights == 0
    result = fused_policy_loss(
        *inputs,
        # value 0, slope that of loss_fn
        lambda chunk, rows: slopes[rows] * (chunk - chunk.detach()),
        entropy_weights=entropy_weights,
        skip=idle,
        **sizes,
    )
    return FusedResult(result.loss + value, logps, entropies)


def fused_logps(
    hidden_states: Tensor,
    head_weight: Tensor,
    completion_ids: Tensor,
    *,
    temperature: float = 1.0,
    chunk_size: int = 256,
    vocab_block: int = 1024,
) -> tuple[Tensor, Tensor]:
    """Log-probs of the taken tokens and entropies, (M,) each, without gradient.

    log π(y_t) = z_ty − log Σ_v exp z_tv;  H_t = −Σ_v π_tv log π_tv
    z = h Wᵀ/temperature

    What the old and the reference policy need. Arguments and errors as in
    `fused_policy_loss`.
    """
    with torch.no_grad():
        result = fused_policy_loss(
            hidden_states,
            head_weight,
            completion_ids,
            lambda logps, rows: torch.zeros_like(logps),
            temperature=temperature,
            chunk_size=chunk_size,
            vocab_block=vocab_block,
        )
    return result.per_token_logps, result.entropies


class _FusedHead(torch.autograd.Function):
    """Computes the gradients together with the loss; `backward` hands them over."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, call: Call
    ) -> tuple[Tensor, Tensor, Tensor]:
        needs = [call.grad_enabled and need for need in ctx.needs_input_grad[:2]]
        # `call.dtype` is autocast's already; what is left must stay in float32
        with torch.autocast(hidden.device.type, enabled=False):
            outputs, gradients = call.run(hidden, weight, *needs)
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(*outputs[1:])
        return outputs

    @staticmethod
    def backward(
        ctx: Any, grad_loss: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a fused loss has no second derivative: call backward() without "
                "create_graph=True, or take the plain logits"
            )
        gradients = ctx.saved_tensors
        # dL/dL = 1 in a plain loss.backward(): dW, as large as the head, is not copied
        if bool(grad_loss != 1):
            gradients = [None if g is None else g * grad_loss for g in gradients]
        return *gradients, None


def _compute_dtype(hidden: Tensor, weight: Tensor) -> torch.dtype:
    """dtype of the matrix products: autocast's where it is on, else the inputs'."""
    device, dtype = hidden.device.type, hidden.dtype
    # like autocast itself, leave float64 alone
    if torch.is_autocast_enabled(device) and torch.float64 not in (dtype, weight.dtype):
        dtype = torch.get_autocast_dtype(device)
    elif weight.dtype != dtype:
        raise ValueError(
            f"head_weight must have the dtype of hidden_states, {dtype}, "
            f"got {weight.dtype}"
        )
    if dtype == torch.float16:
        raise ValueError(
            "hidden_states must not be multiplied in float16, where the gradients of "
            "rare tokens become 0: use bfloat16 or float32"
        )
    return dtype


def _check_inputs(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    entropy_weights: Tensor | None,
    skip: Tensor | None,
) -> None:
    """Raise ValueError, naming the argument, for what does not fit together."""
    check_shape("hidden_states", hidden, (None, None))
    check_float("hidden_states", hidden[:0])  # [:0]: not to convert them
    check_shape("head_weight", weight, (None, hidden.shape[1]))
    check_float("head_weight", weight[:0])
    check_shape("completion_ids", ids, (len(hidden),))
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ValueError(f"completion_ids must be integers, got {ids.dtype}")
    if skip is not None:
        check_shape("skip", skip, ids.shape)
        if skip.dtype != torch.bool:
            raise ValueError(f"skip must be bool, got {skip.dtype}")
    if entropy_weights is not None:
        check_shape("entropy_weights", entropy_weights, ids.shape)
        check_float("entropy_weights", entropy_weights)
        check_finite("entropy_weights", entropy_weights)
    _check_devices(
        hidden.device,
        head_weight=weight,
        completion_ids=ids,
        skip=skip,
        entropy_weights=entropy_weights,
    )
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(weight):
        raise ValueError(
            f"completion_ids must lie in [0, {len(weight)}), "
            f"got {int(ids.min())} to {int(ids.max())}"
        )
    if skip is not None and entropy_weights is not None:
        if bool((entropy_weights[skip] != 0).any()):
            raise ValueError("entropy_weights must be 0 where skip is true")


def _check_devices(device: torch.device, **tensors: Tensor | None) -> None:
    """Raise ValueError for a tensor that is not where the hidden states are."""
    for name, tensor in tensors.items():
        if tensor is not None and tensor.device != device:
            raise ValueError(
                f"{name} must be on the device of hidden_states, {device}, "
                f"got {tensor.device}"
            )
