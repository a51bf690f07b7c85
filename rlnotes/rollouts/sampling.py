"""DRAW: one token a row by inverting the cumulative distribution."""

from __future__ import annotations

import torch
from torch import Tensor

Column = tuple[Tensor, Tensor, Tensor]  # ids, log-probs, entropies of one token, (N,)


def draw_tokens(logits: Tensor, temperature: float, uniforms: Tensor) -> Column:
    """Ids (N,) drawn from softmax(logits / temperature), their log-probs, entropies.

    z = logits / T − max, Z = Σ exp z: log π_i = z_i − log Z, H = log Z − Σ z·exp z / Z;
    one exponential a logit serves the draw (inverse CDF), log-prob and entropy. logits:
    (N, V); uniforms: (N,) in [0, 1). Temperature 0 takes the largest, log-prob at 1.
    """
    scaled = logits.float() / (temperature or 1.0)
    # exp(−10⁴) is 0 as exp(−∞) is, but 0·∞ would be NaN
    shifted = scaled.sub_(scaled.amax(-1, keepdim=True)).clamp_(min=-1e4)
    weights = shifted.exp()
    total = weights.sum(-1)
    if temperature == 0:
        ids = logits.argmax(-1)
    else:
        ids = _invert_cdf(weights, uniforms.to(weights)[:, None])
    logps = shifted.gather(1, ids[:, None])[:, 0] - total.log()
    entropies = total.log() - torch.linalg.vecdot(weights, shifted) / total
    return ids, logps, entropies


_BLOCK = 128


def _invert_cdf(weights: Tensor, uniforms: Tensor) -> Tensor:
    """First id (N,) whose cumulative weight exceeds `uniforms` (N, 1) of the total.

    In two levels where the vocabulary divides, so that few of its sums are running
    ones: the block that holds the id, then the id in the block.
    """
    if torch.are_deterministic_algorithms_enabled():
        # CUDA has no deterministic running sum of floats, of integers it has
        weights, uniforms = (weights.double() * 2.0**40).long(), uniforms.double()
    rows, size = weights.shape
    if size % _BLOCK or size == _BLOCK:
        cumulative = weights.cumsum(-1)
        target = (uniforms * cumulative[:, -1:]).to(weights.dtype)
        return _first_above(cumulative, target)[:, 0]
    blocks = weights.view(rows, -1, _BLOCK)
    cumulative = torch.nn.functional.pad(blocks.sum(-1).cumsum(-1), (1, 0))
    target = (uniforms * cumulative[:, -1:]).to(weights.dtype)
    block = _first_above(cumulative[:, 1:].contiguous(), target)
    inner = blocks[torch.arange(rows, device=weights.device), block[:, 0]].cumsum(-1)
    within = _first_above(inner, target - cumulative.gather(1, block))
    return (block * _BLOCK + within)[:, 0]


def _first_above(cumulative: Tensor, target: Tensor) -> Tensor:
    """Index (N, 1) of the first entry above the target (N, 1), of positive weight.

    Rounding can lift the target to the last entry; then the first that equals it.
    """
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    return torch.minimum(torch.searchsorted(cumulative, target, right=True), last)
