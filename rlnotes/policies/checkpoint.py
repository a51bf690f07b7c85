"""CHECKPOINT: weights and tokenizer of a folder or hub id, whole or not at all.

No code of a checkpoint runs (safetensors alone, no remote code), and no random weight
stands in for one that is missing.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from rlnotes.policies.embedded import quiet_transformers

_CODE = "trust_remote_code"
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_SHOWN = 3


def load_checkpoint(source: str | Path, name: str) -> tuple[Any, Any]:
    """(model, tokenizer) of a folder or hub id: float32 on the CPU, for evaluation.

    Raises ValueError for a checkpoint that needs code of its own, has no safetensors,
    a damaged file, keys that do not fit the model, or a weight that is no finite
    number; OSError where the hub could not give one of the files.
    """
    _refuse_unknown(source, name)
    _refuse_pickles(source, name)
    try:
        with quiet_transformers():
            loaded = _read(source)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of transformers, tokenizers or safetensors
        said = textwrap.shorten(str(error), 300)
        if _CODE in str(error):
            raise _own_code(name) from None
        raise ValueError(
            f"policy {name!r} cannot be loaded: {type(error).__name__}: {said}"
        ) from None
    model, tokenizer, report = loaded
    _check_keys(report, name)
    _check_finite(model, name)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval(), tokenizer


def _read(source: str | Path) -> tuple[Any, Any, dict[str, Any]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        source, padding_side="left", trust_remote_code=False
    )
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source,
        dtype=torch.float32,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # reported, and refused with the other keys
    )
    model, report = loaded
    return model, tokenizer, report


def _refuse_unknown(source: str | Path, name: str) -> None:
    """Raise ValueError for a folder's config that is no causal LM of transformers."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL,
    )

    if not Path(source).is_dir():  # a hub id: transformers says it
        return
    config = _read_json(Path(source) / "config.json", name)
    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING and "auto_map" in config:
        raise _own_code(name)
    if kind not in CAUSAL:
        raise ValueError(
            f"policy {name!r}: config.json has model_type {kind!r}, expected a causal"
            " language model that this version of transformers knows"
        )
    if (Path(source) / "generation_config.json").is_file():
        _read_json(Path(source) / "generation_config.json", name)


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"policy {name!r}: {path.name} is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"policy {name!r}: {path.name} must hold names and values")
    return values


def _own_code(name: str) -> ValueError:
    return ValueError(
        f"policy {name!r} needs code of its own (auto_map), which is never run:"
        " expected an architecture that transformers knows"
    )


def _refuse_pickles(source: str | Path, name: str) -> None:
    folder = Path(source)
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    found = sorted(p.name for kind in _PICKLES for p in folder.glob(kind))
    raise ValueError(
        f"policy folder {name} has its weights as {found[0]}, a file that can run code"
        " when it is read: expected *.safetensors"
        if found
        else f"policy folder {name} has no weights: expected *.safetensors"
    )


def _check_keys(report: dict[str, Any], name: str) -> None:
    """Raise ValueError, naming keys, where file and model do not hold the same ones."""
    mismatched = [
        f"{key} {tuple(found)} for {tuple(expected)}"
        for key, found, expected in sorted(report["mismatched_keys"])
    ]
    faults = [
        _listed("missing", sorted(report["missing_keys"])),
        _listed("unexpected", sorted(report["unexpected_keys"])),
        _listed("of another shape", mismatched),
        _listed("unreadable", report.get("error_msgs", [])),
    ]
    if any(faults):
        raise ValueError(
            f"policy {name!r}: its weights do not fit its config:"
            f" {'; '.join(filter(None, faults))}"
        )


def _listed(what: str, keys: Iterable[str]) -> str:
    """`missing: a, b, c and 4 more`, or nothing."""
    keys = list(keys)
    rest = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{what}: {', '.join(keys[:_SHOWN])}{rest}" if keys else ""


def _check_finite(model: Any, name: str) -> None:
    for key, weight in model.named_parameters():
        # a finite sum has finite terms; the other way round only the terms tell
        if not weight.sum().isfinite() and not weight.isfinite().all():
            raise ValueError(f"policy {name!r}: {key} holds NaN or infinite weights")
