"""From hidden states to the loss without a logits matrix (first simple version).

Chunk by chunk: logits into one buffer, log-prob of the taken token, the caller's token
loss and its derivative g = dL/dlogp by autograd on the (chunk,) vector, then in place
g·(onehot − softmax), whose products with the head and the hidden states are the
gradients. They are ready when the forward pass ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TokenLoss = Callable[[Tensor, slice], Tensor]


@dataclass
class FusedResult:
    """Loss with gradient; log-probs and entropies (M,) detached, NaN where skipped."""

    loss: Tensor
    per_token_logps: Tensor
    entropies: Tensor


class _Linear(torch.autograd.Function):
    """Hands the gradients that the forward pass has computed to autograd."""

    @staticmethod
    def forward(ctx, hidden, weight, loss, d_hidden, d_weight):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(d_hidden, d_weight)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        d_hidden, d_weight = ctx.saved_tensors
        return grad * d_hidden, grad * d_weight, None, None, None


def fused_policy_loss(
    hidden_states: Tensor,
    head_weight: Tensor,
    completion_ids: Tensor,
    token_loss: TokenLoss,
    *,
    temperature: float = 1.0,
    chunk_size: int = 256,
    skip: Tensor | None = None,
) -> FusedResult:
    """Σ token_loss(log π) and its gradients, `chunk_size` tokens at a time."""
    count = len(completion_ids)
    logps = torch.full((count,), torch.nan)
    entropies = torch.full((count,), torch.nan)
    d_hidden = torch.zeros(hidden_states.shape, dtype=hidden_states.dtype)
    d_weight = torch.zeros(head_weight.shape, dtype=head_weight.dtype)
    total = torch.zeros((), dtype=torch.promote_types(hidden_states.dtype, torch.float32))
    with torch.no_grad():
        weight = head_weight.to(hidden_states.dtype)
        for start in range(0, count, chunk_size):
            index = slice(start, min(start + chunk_size, count))
            if skip is not None and bool(skip[index].all()):
                continue
            h, ids = hidden_states[index], completion_ids[index]
            z = (h @ weight.T).to(total.dtype) / temperature
            log_probs = torch.log_softmax(z, -1)
            taken = log_probs.gather(1, ids[:, None])[:, 0]
            probs = log_probs.exp()
            logps[index] = taken.float()
            entropies[index] = -(probs * log_probs).sum(-1).float()
            with torch.enable_grad():
                leaf = taken.detach().requires_grad_()
                losses = token_loss(leaf, index).sum()
                (g,) = torch.autograd.grad(losses, leaf)
            total += losses.detach()
            probs.mul_(-g[:, None] / temperature)
            probs[torch.arange(len(ids)), ids] += g / temperature
            probs = probs.to(h.dtype)
            d_hidden[index] = probs @ weight
            d_weight += (probs.T @ h).to(d_weight.dtype)
    loss = _Linear.apply(hidden_states, head_weight, total, d_hidden, d_weight)
    return FusedResult(loss, logps, entropies)


def fused_sequence_loss(
    hidden_states: Tensor,
    head_weight: Tensor,
    completion_ids: Tensor,
    loss_fn: Callable[[Tensor], Tensor],
    *,
    temperature: float = 1.0,
    chunk_size: int = 256,
) -> FusedResult:
    """A loss of all log-probs at once: one pass for them, one for the gradients."""
    logps, _ = fused_logps(
        hidden_states, head_weight, completion_ids, temperature=temperature
    )
    with torch.enable_grad():
        leaf = logps.detach().requires_grad_()
        loss = loss_fn(leaf)
        (g,) = torch.autograd.grad(loss, leaf)
    result = fused_policy_loss(
        hidden_states,
        head_weight,
        completion_ids,
        lambda chunk, index: g[index] * (chunk - chunk.detach()),
        temperature=temperature,
        chunk_size=chunk_size,
    )
    return FusedResult(result.loss + loss.detach(), logps, result.entropies)


def fused_logps(
    hidden_states: Tensor,
    head_weight: Tensor,
    completion_ids: Tensor,
    *,
    temperature: float = 1.0,
    chunk_size: int = 256,
) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies (M,) without gradient."""
    with torch.no_grad():
        result = fused_policy_loss(
            hidden_states.detach(),
            head_weight.detach(),
            completion_ids,
            lambda chunk, index: 0 * chunk,
            temperature=temperature,
            chunk_size=chunk_size,
        )
    return result.per_token_logps, result.entropies
