"""Which models the fused head fits: logits h·Wᵀ and nothing else."""

from typing import Any

from torch import Tensor

# config fields with which transformers models change the logits after h·Wᵀ
LOGIT_CHANGES = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "lm_head_multiplier",
)


def plain_head_weight(model: Any) -> Tensor:
    """Weight (V, H) of a causal LM's head whose logits are h·Wᵀ and nothing else.

    Args:
        model: a transformers causal LM, or anything with `get_output_embeddings()`.

    Raises:
        ValueError: no head, a head with bias, or a config that caps or scales logits.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise ValueError(f"model must have an LM head, got {type(model).__name__}")
    if getattr(head, "bias", None) is not None:
        raise ValueError("model must have an LM head without bias, got one with a bias")
    for name in LOGIT_CHANGES:
        value = getattr(getattr(model, "config", None), name, None)
        if value is not None and value != 1:
            raise ValueError(f"model must have logits h·Wᵀ, got {name}={value!r}")
    weight: Tensor = head.weight
    return weight
