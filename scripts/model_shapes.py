"""Architectures of transformers as tiny random models, for `scripts/models.py`."""

from __future__ import annotations

from typing import Any

import torch

from rlnotes.policies.policy import Policy
from rlnotes.policies.tiny import tiny_tokenizer
from rlnotes.tasks.loading import load_task

_LLAMA: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_HEADS = {**_LLAMA, "num_key_value_heads": 4}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
_HEAD = {**_LLAMA, "head_dim": 8}
_EXPERTS = {**_LLAMA, "num_experts_per_tok": 2}
_WINDOW = {"sliding_window": 6}
_MOE = {"num_experts": 4, "moe_intermediate_size": 24}
SHAPES: dict[str, dict[str, Any]] = {
    "arcee": _LLAMA,
    "apertus": _LLAMA,
    "bamba": {
        **_LLAMA,
        "attn_layer_indices": [1],
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "codegen": {**_GPT, "rotary_dim": 4},
    "cohere": _LLAMA,
    "cohere2": {**_LLAMA, **_WINDOW},
    "diffllama": _LLAMA,
    "ernie4_5": _LLAMA,
    "exaone4": {**_HEAD, **_WINDOW, "sliding_window_pattern": 2},
    "falcon": {**_HEADS, "num_ln_in_parallel_attn": 1},
    "falcon_h1": {**_HEAD, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8},
    "falcon_mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "gemma": _HEAD,
    "gemma2": {**_HEAD, **_WINDOW, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_HEAD, **_WINDOW, "query_pre_attn_scalar": 8},
    "glm": _HEAD,
    "glm4": _HEAD,
    "gpt2": _GPT,
    "gpt_bigcode": _GPT,
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 6,
        "max_position_embeddings": 128,
    },
    "gpt_neox": {**_HEADS, "rotary_pct": 0.5},
    "gpt_oss": {**_HEAD, **_WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2},
    "gptj": {**_GPT, "rotary_dim": 4},
    "granite": {**_LLAMA, "logits_scaling": 2.0},
    "granitemoe": {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    "helium": _HEAD,
    "jamba": {
        **_LLAMA,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "num_experts": 2,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "llama": _LLAMA,
    "llama4_text": {
        **_HEAD,
        "intermediate_size_mlp": 48,
        "num_local_experts": 2,
        "attention_chunk_size": 6,
    },
    "lfm2": {**_LLAMA, "layer_types": ["conv", "full_attention"]},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "mamba2": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_heads": 8,
        "head_dim": 8,
        "n_groups": 2,
    },
    "ministral": {**_HEAD, **_WINDOW},
    "mistral": {**_LLAMA, **_WINDOW},
    "mixtral": {**_LLAMA, "num_local_experts": 4},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128},
    "nemotron": _LLAMA,
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "olmo3": {**_LLAMA, **_WINDOW},
    "olmoe": {**_EXPERTS, "num_experts": 4},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 128,
    },
    "persimmon": _HEADS,
    "phi": {**_LLAMA, "partial_rotary_factor": 0.5},
    "phi3": {**_LLAMA, **_WINDOW},
    "qwen2": _LLAMA,
    "qwen2_moe": {**_EXPERTS, **_MOE, "shared_expert_intermediate_size": 24},
    "qwen3": _HEAD,
    "qwen3_moe": {**_HEAD, **_MOE, "num_experts_per_tok": 2},
    "qwen3_next": {
        **_HEAD,
        **_MOE,
        "num_experts_per_tok": 2,
        "shared_expert_intermediate_size": 24,
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "recurrent_gemma": {
        **_HEADS,
        "lru_width": 32,
        "num_hidden_layers": 3,
        "attention_window_size": 6,
    },
    "rwkv": {
        "hidden_size": 32,
        "attention_hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
    },
    "seed_oss": _HEAD,
    "smollm3": _LLAMA,
    "stablelm": _LLAMA,
    "starcoder2": {**_LLAMA, **_WINDOW},
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4},
    "zamba2": {
        **_HEADS,
        "num_hidden_layers": 2,
        "layers_block_type": ["mamba", "hybrid"],
        "mamba_headdim": 16,
        "n_mamba_heads": 4,
        "mamba_ngroups": 1,
        "num_mem_blocks": 1,
        "use_mamba_kernels": False,
    },
}
"""model_type → the fields of a tiny config; windows are shorter than a completion."""

FAST = (
    "llama",
    "qwen3",
    "gpt2",
    "mistral",
    "gemma2",
    "phi",
    "bloom",
    "mpt",
    "mamba",
    "opt",
)
"""One of each kind: full attention, learned positions, window, cap, ALiBi, state …"""


def tiny_model(kind: str, *, seed: int = 0) -> Policy:
    """An untrained model of architecture `kind` over the scratch-addition alphabet."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_tokenizer(load_task("scratch-addition").characters)
    fields = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "initializer_range": 0.3,
        **SHAPES[kind],
    }
    config = AutoConfig.for_model(kind, **fields)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).float().eval()
        for weight in model.parameters():  # some start at zero or hardly above
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.3)
    return Policy(model, tokenizer, kind)
