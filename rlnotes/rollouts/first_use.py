"""FIRST USE: the lean paths of a model, compared with its plain forward once.

The definition is the plain forward: a row alone, no padding, no mask, no positions. A
cache, a packed row, a bucket, a fused head are that with less work, for most models. So
when a model is first used, four short completions are sampled and scored both ways; a
path whose numbers differ is not taken. What a few tokens cannot show (a window of
hundreds of tokens) is read from the config.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.fused import fused_logps
from rlnotes.equations.masking import completion_mask_from_ids
from rlnotes.equations.plain_head import plain_head_weight
from rlnotes.machine.devices import is_out_of_memory
from rlnotes.policies.paths import Paths
from rlnotes.policies.policy import Policy
from rlnotes.rollouts.completions import Rollouts
from rlnotes.rollouts.decoding import prefill, recomputed_columns
from rlnotes.rollouts.forwards import (
    bucketed_hidden_states,
    packed_hidden_states,
    plain_hidden_states,
    plain_logits,
)
from rlnotes.rollouts.growing import growing_columns
from rlnotes.rollouts.sampling import Column, draw_tokens

_SIZE, _TEMPERATURE = 2, 2.0  # completions a prompt; warm, so that rows differ
_ROOM, _SHORT, _WINDOW = 3, 2, 64  # tokens; a window up to the last one is gone through
# Of the spread of what is compared: two orders above rounding, two below a wrong mask.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_LOCAL = re.compile("window|sliding|chunk|local_att|sparse_att|index_topk")
_SEEN: dict[tuple[str, ...], Paths] = {}


def paths_of(policy: Policy) -> Paths:
    """The lean paths that fit the policy's model; compared once for a config.

    Raises ValueError for a model whose plain forward fails, gives NaN, or does not read
    from left to right.
    """
    if policy.paths is None:
        model = policy.model
        kind, weight = type(model).__name__, next(model.parameters())
        attention = getattr(model.config, "_attn_implementation", None)
        made_of = (str(weight.dtype), weight.device.type, str(attention))
        key = (kind, *made_of, model.config.to_json_string(use_diff=False))
        if key not in _SEEN:
            _SEEN[key] = _compare(policy)
        policy.paths = _SEEN[key]
    return policy.paths


def check_ids(policy: Policy, ids: Tensor) -> None:
    """Raise ValueError for a token id that the model's embedding does not have."""
    rows = policy.model.get_input_embeddings().weight.shape[0]
    if int(ids.max()) >= rows:
        raise ValueError(
            f"policy {policy.name!r}: its tokenizer gives the id {int(ids.max())}, and"
            f" the model's embedding has {rows} rows: they do not belong together"
        )


@torch.no_grad()
def check_positions(
    policy: Policy, prompt_mask: Tensor, max_completion_length: int
) -> None:
    """Raise ValueError where a learned position would be asked for that is not there.

    One token is read at the last position: rotary positions go on, a table ends.
    """
    prompt = int(prompt_mask.sum(1).max())
    last = prompt + max_completion_length - 1
    config = policy.model.config.get_text_config()
    known = getattr(config, "max_position_embeddings", None) or 0
    if last < known:
        return
    place = torch.tensor([[last]], device=policy.device)
    try:
        policy.model(input_ids=place * 0, position_ids=place, use_cache=False)
    except IndexError:
        raise ValueError(
            f"max_completion_length={max_completion_length} behind a prompt of"
            f" {prompt} tokens needs {last + 1} positions, policy {policy.name!r} has"
            f" {known}"
        ) from None
    except TypeError:  # it takes no positions
        return


def windows(config: Any) -> str:
    """What in a config says that some layer does not attend to all; "" if nothing.

    `layer_types` where the architecture has them, else fields named like a window.
    """
    config = config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if kinds:
        return ", ".join(sorted(set(kinds) - {"full_attention"}))
    for name, value in config.to_dict().items():
        if _LOCAL.search(name) and type(value) is int and value > 0:
            return f"{name}={value}"
    return ""


@torch.no_grad()
def _compare(policy: Policy) -> Paths:
    model, window = policy.model, windows(policy.model.config)
    was_training = model.training
    model.eval()
    try:
        rollouts, cached, plain = _sampled(policy, _length(model.config, window))
        mask, backbone = rollouts.completion_mask.bool(), model.base_model
        ids, states = rollouts.completion_ids[mask], plain.states
        width = float(states.std()) if isinstance(states, Tensor) else 0.0

        def fused() -> Tensor:
            assert isinstance(states, Tensor), states
            return fused_logps(states, plain_head_weight(model), ids)[0]

        one_bucket = partial(bucketed_hidden_states, backbone, rollouts, buckets=1)
        packed = partial(packed_hidden_states, backbone, rollouts)
        logps, spread = plain.logps(ids), plain.spread
        return Paths(
            cached=cached,
            packed=window or _difference(packed, states, width),
            bucketed=_difference(one_bucket, states, width),
            fused=_difference(fused, logps, spread),
            padded=_difference(partial(_padded, model, rollouts), logps, spread),
        )
    finally:
        model.train(was_training)


class _Plain:
    """Logits (M, V) of the plain forward, and the states (M, H) behind them."""

    def __init__(self, policy: Policy, rollouts: Rollouts) -> None:
        model, seen = policy.model, []

        def keep(module: Any, given: Any, output: Any) -> None:
            seen.append(output)

        hook = model.base_model.register_forward_hook(keep)
        try:
            self.logits = plain_logits(model, rollouts).float()
        finally:
            hook.remove()
        # the same rows in the same order, read from what the backbone gave
        given = iter(seen)
        backbone = (lambda **_: next(given)) if seen else model.base_model
        self.states = _try(partial(plain_hidden_states, backbone, rollouts))
        self.spread = float(self.logits[self.logits.isfinite()].std())
        """How far logits lie from each other: what a difference is measured by."""

    def logps(self, ids: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-probs (M,) of the tokens `ids`."""
        scaled = self.logits / temperature
        return scaled.log_softmax(-1).gather(1, ids[:, None])[:, 0]


def _length(config: Any, window: str) -> int:
    """Tokens of the longer prompt: past the window, where that is a few."""
    fields = config.get_text_config().to_dict().items()
    sizes = [x for name, x in fields if _LOCAL.search(name) and type(x) is int]
    small = [x for x in sizes if 0 < x <= _WINDOW]
    return _SHORT + 2 + (max(small) if window and small else 0)


def _sampled(policy: Policy, length: int) -> tuple[Rollouts, str, _Plain]:
    """A few completions, why not from a cache, and the plain forward over them."""
    model, prompts = policy.model, _prompts(policy, length)
    why = ""
    for sample in (_from_cache, _recomputed):
        rollouts = _try(partial(sample, model, *prompts))
        if not isinstance(rollouts, Rollouts):
            why = why or str(rollouts)
            continue
        mask, plain = rollouts.completion_mask.bool(), _Plain(policy, rollouts)
        logps = plain.logps(rollouts.completion_ids[mask], _TEMPERATURE)
        sampled = rollouts.per_token_logps[mask]
        off = _difference(partial(torch.clone, sampled), logps, plain.spread)
        if not off:
            return rollouts, why, plain
        why = why or off
    if not all(w.isfinite().all() for w in model.parameters()):
        raise ValueError(f"policy {policy.name!r} holds NaN or infinite weights")
    raise ValueError(
        f"policy {policy.name!r}: expected a causal language model, whose log-probs do"
        f" not change with what follows; read again for each token: {why}"
    )


def _prompts(policy: Policy, length: int) -> tuple[Tensor, Tensor]:
    """Ids and mask (2, length) of two prompts of plain tokens, left-padded."""
    rows = policy.model.get_input_embeddings().weight.shape[0]
    special = set(policy.tokenizer.all_special_ids)
    drawn = torch.randint(rows, (64 + 2 * length,), generator=_generator()).tolist()
    plain = [i for i in drawn if i not in special] or drawn
    ids = torch.tensor((plain * 2 * length)[: 2 * length]).view(2, length)
    mask = torch.ones_like(ids)
    mask[1, : length - _SHORT] = 0
    return (ids * mask).to(policy.device), mask.to(policy.device)


def _from_cache(model: Any, ids: Tensor, mask: Tensor) -> Rollouts:
    cache, logits = prefill(model, ids, mask, _SIZE)
    uniforms = torch.rand(len(logits), generator=_generator()).to(logits)
    # the id that the first row draws first ends it: rows leave the cache, too
    end = int(draw_tokens(logits, _TEMPERATURE, uniforms)[0][0])
    rows = mask.repeat_interleave(_SIZE, 0)
    columns = growing_columns(model, cache, rows, logits, **_options(end, ids.device))
    return _rollouts(ids, mask, columns, end)


def _recomputed(model: Any, ids: Tensor, mask: Tensor) -> Rollouts:
    options = _options(-1, ids.device)
    columns = recomputed_columns(model, ids, mask, num_generations=_SIZE, **options)
    return _rollouts(ids, mask, columns, -1)


def _options(end: int, device: torch.device) -> dict[str, Any]:
    eos = torch.tensor([end], device=device)
    own = {"temperature": _TEMPERATURE, "generator": _generator()}
    return {"room": _ROOM, "eos": eos, **own}


def _rollouts(ids: Tensor, mask: Tensor, columns: list[Column], end: int) -> Rollouts:
    tokens, logps, entropies = (torch.stack(x, 1) for x in zip(*columns, strict=True))
    kept = completion_mask_from_ids(tokens, [end])
    return Rollouts(
        tasks=[],
        prompt_ids=ids,
        prompt_mask=mask,
        completion_ids=tokens * kept,
        completion_mask=kept,
        per_token_logps=logps * kept,
        entropies=entropies * kept,
        truncated=kept[:, 0] == 0,
        texts=[],
        num_generations=_SIZE,
    )


def _padded(model: Any, rollouts: Rollouts) -> Tensor:
    """Log-probs (M,) of rows padded on the left, with a mask and no positions."""
    prompts = rollouts.prompt_ids.repeat_interleave(_SIZE, 0)
    real = rollouts.prompt_mask.repeat_interleave(_SIZE, 0)
    mask = torch.cat([real, rollouts.completion_mask.to(real)], 1)
    ids = torch.cat([prompts, rollouts.completion_ids], 1)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    logits = logits[:, prompts.shape[1] - 1 : -1].float().log_softmax(-1)
    taken = logits.gather(2, rollouts.completion_ids[..., None])[..., 0]
    return taken[rollouts.completion_mask.bool()]


def _try(compute: Callable[[], Any]) -> Any:
    """What `compute` gives, or why it failed, in a line: a path may fail in any way."""
    try:
        return compute()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"


def _difference(compute: Callable[[], Tensor], plain: Any, spread: float) -> str:
    """Why `compute` is not `plain`; "" where it is, up to rounding."""
    if not isinstance(plain, Tensor):
        return str(plain)
    found = _try(compute)
    if not isinstance(found, Tensor):
        return str(found)
    off = float((found.float() - plain.float()).abs().max())
    allowed = spread * _TOLERANCE.get(plain.dtype, 0.1)
    return "" if off <= allowed else f"differs from the plain forward by {off:.2g}"


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
