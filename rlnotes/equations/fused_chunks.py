"""The arithmetic of `fused`: a chunk of tokens against the head, block by block."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .validation import check_finite, check_shape

# (log-probs (m,), their positions: a long tensor (m,)) to weighted losses (m,)
TokenLoss = Callable[[Tensor, Any], Tensor]


@dataclass(frozen=True)
class Call:
    """One call: what all its chunks share."""

    ids: Tensor
    token_loss: TokenLoss
    entropy_weights: Tensor | None
    kept: Tensor
    temperature: float
    chunk_size: int
    vocab_block: int
    dtype: torch.dtype
    grad_enabled: bool

    def run(
        self, hidden: Tensor, weight: Tensor, need_hidden: bool, need_weight: bool
    ) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor | None, Tensor | None]]:
        """(loss, log-probs, entropies) and (dL/dhidden, dL/dweight) where needed."""
        wide = torch.promote_types(self.dtype, torch.float32)
        logps = hidden.new_full(self.ids.shape, torch.nan, dtype=wide)
        entropies, loss = logps.clone(), logps.new_zeros(())
        d_hidden = torch.zeros_like(hidden) if need_hidden else None
        d_weight = torch.zeros_like(weight, dtype=wide) if need_weight else None
        tiles = self._tiles(weight, wide)
        for rows in self.kept.split(self.chunk_size) if len(self.kept) else ():
            chunk = Chunk(self, rows, hidden[rows].to(self.dtype), tiles)
            logps[rows], entropies[rows] = chunk.read(weight)
            loss += chunk.judge(self.token_loss)
            if need_hidden or need_weight:
                chunk.write(weight, d_hidden, d_weight)
        if d_weight is not None:
            d_weight = d_weight.to(weight.dtype)
        return (loss, logps, entropies), (d_hidden, d_weight)

    def _tiles(self, weight: Tensor, wide: torch.dtype) -> list[Tensor]:
        """The one buffer of all chunks, cut into a (chunk_size, block) tile per block.

        Tiles are contiguous: products on columns of a (chunk_size, V) matrix, whose
        rows lie far apart in memory, run a tenth slower.
        """
        buffer = weight.new_empty(self.chunk_size * len(weight), dtype=wide)
        parts = buffer.split(self.chunk_size * self.vocab_block)
        return [part.view(self.chunk_size, -1) for part in parts]


class Chunk:
    """m tokens on their way: read (first pass), judge (the loss), write (second)."""

    def __init__(
        self, call: Call, rows: Tensor, hidden: Tensor, tiles: list[Tensor]
    ) -> None:
        self.rows, self.hidden, self.ids = rows, hidden, call.ids[rows]
        self.temperature, self.block = call.temperature, call.vocab_block
        self.tiles = [tile[: len(rows)] for tile in tiles]
        bonus = call.entropy_weights
        self.bonus = None if bonus is None else bonus[rows].to(tiles[0].dtype)

    def read(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """First pass: q_b into the tiles; log π(y) and the entropy of every token."""
        taken = self.tiles[0].new_zeros(len(self.rows))
        block_lse, block_entropy = taken.new_empty(2, len(self.tiles), len(taken))
        for k, (q, block) in enumerate(self._blocks(weight)):
            z = self._logits(block).to(q.dtype)
            top = z.amax(1)
            z -= top[:, None]
            torch.softmax(z, 1, out=q)
            log_sum = -q.amax(1).log()  # max q = exp(0)/Σ exp(z − top)
            block_lse[k] = top + log_sum
            place, here = self._place(k, q)
            taken += torch.where(here, z.gather(1, place)[:, 0] - log_sum, 0.0)
            block_entropy[k] = log_sum - z.mul_(q).sum(1)
        # share_b = Σ_{v∈b} π_v, and H = Σ_b share_b·(H_b − log share_b)
        self.log_share = block_lse.log_softmax(0)
        owner = (self.ids // self.block)[None]
        self.logps = taken + self.log_share.gather(0, owner)[0]
        surprise = block_entropy - self.log_share
        self.entropies = (self.log_share.exp() * surprise).sum(0)
        check_finite("log-probs of hidden_states and head_weight", self.logps)
        return self.logps, self.entropies

    def judge(self, token_loss: TokenLoss) -> Tensor:
        """Loss of this chunk, and its slopes g = dL/dlog π.

        A token without slope (clipped, Â = 0) and without bonus leaves the chunk here:
        two thirds of its work are not needed.
        """
        loss, slopes = value_and_slopes(
            "token_loss",
            lambda logps: token_loss(logps, self.rows),
            self.logps,
            shape=self.logps.shape,
        )
        alive = slopes != 0
        if self.bonus is not None:
            loss -= self.bonus @ self.entropies
            alive |= self.bonus != 0
            self.bonus = self.bonus[alive] / self.temperature
        self.slopes = slopes[alive] / self.temperature
        self.alive = alive.nonzero()[:, 0]
        self.rows, self.ids = self.rows[alive], self.ids[alive]
        self.hidden, self.entropies = self.hidden[alive], self.entropies[alive]
        self.log_share = self.log_share[:, alive]
        return loss

    def write(
        self, weight: Tensor, d_hidden: Tensor | None, d_weight: Tensor | None
    ) -> None:
        """Second pass: dL/dz of each block, and its products into dh and dW."""
        d_rows = self.tiles[0].new_zeros(self.hidden.shape)
        for k, (q, block) in enumerate(self._blocks(weight)):
            d_z = self._slope_of_logits(k, q.index_select(0, self.alive)).to(
                self.hidden.dtype
            )
            if d_hidden is not None:
                _add_product(d_rows, d_z, block)
            if d_weight is not None:
                start = k * self.block
                _add_product(d_weight[start : start + len(block)], d_z.T, self.hidden)
        if d_hidden is not None:
            d_hidden[self.rows] = d_rows.to(d_hidden.dtype)

    def _logits(self, block: Tensor) -> Tensor:
        """h·Wᵀ/temperature, the division inside the product."""
        unused = self.hidden.new_zeros(())  # beta = 0
        return torch.addmm(
            unused, self.hidden, block.T, beta=0, alpha=1 / self.temperature
        )

    def _slope_of_logits(self, k: int, q: Tensor) -> Tensor:
        """q_b becomes dL/dz = (g·(1[y] − π) + bonus·π·(log π + H)) / temperature."""
        share = self.log_share[k].exp()
        factor, q_log_q = -self.slopes, None
        if self.bonus is not None:
            factor = factor + self.bonus * (self.log_share[k] + self.entropies)
            q_log_q = torch.xlogy(q, q) * (self.bonus * share)[:, None]
        q *= (factor * share)[:, None]
        if q_log_q is not None:
            q += q_log_q
        place, here = self._place(k, q)
        return q.scatter_add_(1, place, torch.where(here, self.slopes, 0.0)[:, None])

    def _blocks(self, weight: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Each tile with its rows of the head, in the dtype of the products."""
        for tile, block in zip(self.tiles, weight.split(self.block), strict=True):
            yield tile, block.to(self.hidden.dtype)

    def _place(self, k: int, tile: Tensor) -> tuple[Tensor, Tensor]:
        """Column of y in block k, (m, 1), and whether it lies there at all, (m,)."""
        column = self.ids - k * self.block
        width = tile.shape[1]
        return column.clamp(0, width - 1)[:, None], (column >= 0) & (column < width)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left·right; bfloat16 products are summed in total's float32."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def value_and_slopes(
    name: str, function: Callable[[Tensor], Tensor], logps: Tensor, *, shape: Any
) -> tuple[Tensor, Tensor]:
    """Σ function(logps) and its derivative with respect to every log-prob."""
    with torch.enable_grad():
        leaf = logps.detach().requires_grad_()
        values = function(leaf)
        check_shape(name, values, shape)
        total = values.sum()
        slopes = torch.zeros_like(logps)
        if total.requires_grad:  # a loss may well be constant
            (slopes,) = torch.autograd.grad(total, leaf, materialize_grads=True)
    check_finite(name, values)
    check_finite(f"slope of {name}", slopes)
    return total.detach(), slopes
