"""SHAPE of a model, and the bytes a token of it costs, without its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlnotes.machine.hub import cache_alone_if_unreachable

_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "tie_word_embeddings",
    "vocab_size",
)
# Layers, heads and ties: Qwen2.5 report (2412.15115), Table 1; widths: Qwen2 report
# (2407.10671), Table 1, and for 3B the published config. The sums are the model cards'
# numbers of parameters: 0.49, 1.54, 3.09 and 7.61 billion.
_QWEN = {
    "0.5B": (896, 4864, 24, 14, 2, True, 151_936),
    "1.5B": (1536, 8960, 28, 12, 2, True, 151_936),
    "3B": (2048, 11_008, 36, 16, 2, True, 151_936),
    "7B": (3584, 18_944, 28, 28, 4, False, 152_064),
}


@dataclass(frozen=True)
class Shape:
    """What a model's size follows from; `parameters` counts tied weights once."""

    parameters: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int

    def cache_per_token(self, width: int) -> int:
        """Bytes of keys and values: 2 · layers · heads · d · bytes a number."""
        heads = self.num_key_value_heads * self.head_dim
        return 2 * self.num_hidden_layers * heads * width

    def activations_per_token(self, width: int, *, recompute: bool = False) -> int:
        """Bytes that one token leaves for the backward pass.

        layers · (16·H + b·(c·H + 4·Q + 4·F)): two norms in float32 (input and output
        each); in b bytes the projections' inputs (c = 2, under autocast 5, one for each
        product), q, k and v repeated to all heads and the attention's output (Q), and
        four of the MLP's width F. If layers are computed again in the backward pass
        (TRL's gradient_checkpointing): one of them, and the float32 input of each.
        """
        q = self.num_attention_heads * self.head_dim
        inputs = (5 if width == 2 else 2) * self.hidden_size
        inner = inputs + 4 * q + 4 * self.intermediate_size
        layer = 16 * self.hidden_size + width * inner
        if recompute:
            return layer + self.num_hidden_layers * 4 * self.hidden_size
        return self.num_hidden_layers * layer


def load_shape(policy: str) -> Shape:
    """Shape of a policy from its config; weights are neither read nor downloaded.

    Qwen2.5 up to 7B is known without the hub. Raises ValueError or RuntimeError for a
    policy that has no config where it should be.
    """
    from rlnotes.policies.embedded import EMBEDDED_POLICY
    from rlnotes.policies.embedded import fetch_embedded_model as fetch
    from rlnotes.policies.policy import TINY_POLICY, committed_policies

    if policy == TINY_POLICY:
        raise ValueError("policy: tiny is made on the spot, some megabytes in all")
    family = re.fullmatch(r"(?:.*/)?Qwen2\.5-(?:Math-)?(0\.5B|1\.5B|3B|7B).*", policy)
    if family and not Path(policy).is_dir():
        return shape_of(qwen_config(family[1]))
    committed = committed_policies() / Path(policy).name
    source = fetch() if policy == EMBEDDED_POLICY else Path(policy).expanduser()
    return shape_of(_read_config(committed if committed.is_dir() else source))


def shape_of(config: Any) -> Shape:
    """Shape of a transformers config; parameters are counted on no device at all."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    heads = config.num_attention_heads
    return Shape(
        parameters=sum(weight.numel() for weight in model.parameters()),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocab_size=config.vocab_size,
    )


def qwen_config(size: str) -> Any:
    """Config of Qwen2.5 of a size, like "1.5B", as its reports give it."""
    from transformers import Qwen2Config

    fields: dict[str, Any] = dict(zip(_FIELDS, _QWEN[size], strict=True))
    return Qwen2Config(**fields)


def _read_config(source: Path) -> Any:
    from transformers import AutoConfig

    try:
        with cache_alone_if_unreachable():
            return AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"policy {str(source)!r}: no config here, and the hub could not give it:"
            f" {str(error).splitlines()[0]}"
        ) from None
