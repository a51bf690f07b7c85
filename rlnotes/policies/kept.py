"""KEPT: a policy written to a folder, whole or not at all, as transformers reads it."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from rlnotes.machine.files import replace_text, temporary_path
from rlnotes.policies.embedded import quiet_transformers
from rlnotes.policies.policy import Policy

CARD, SETTINGS = "README.md", "run.yaml"


def save_policy(
    policy: Policy,
    folder: str | os.PathLike[str],
    *,
    temperature: float = 1.0,
    max_new_tokens: int | None = None,
    texts: Mapping[str, str] | None = None,
) -> Path:
    """Write weights, tokenizer and generation config; `load_policy` reads them back.

    `AutoModelForCausalLM.from_pretrained` does too, and `generate` then samples as our
    sampler: at `temperature` from all tokens, at most `max_new_tokens`. `texts` are
    further files by name, such as the model card README.md. The folder is there whole
    or not at all. Raises FileExistsError if it is there already, OSError in one line
    when it cannot be written.
    """
    from safetensors import SafetensorError

    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"folder: {folder} is there already; choose another one")
    partial = temporary_path(folder)
    shutil.rmtree(partial, ignore_errors=True)  # of a kill
    try:
        partial.mkdir(parents=True)
        _write(policy, partial, temperature, max_new_tokens)
        for name, text in (texts or {}).items():
            replace_text(partial / name, text)
        for path in partial.iterdir():
            _flush(path)
        os.replace(partial, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"the policy cannot be kept in {folder}: {reason}") from None
    return folder


def bytes_on_disk(policy: Policy) -> int:
    """What `save_policy` takes, nearly: weights, and about 100 bytes a token's name."""
    weights = sum(x.numel() * x.element_size() for x in policy.model.parameters())
    return weights + 100 * len(policy.tokenizer)


def check_room(folder: Path, needed: int) -> int:
    """Free bytes where `folder` will be; RuntimeError unless `needed` are."""
    there = next(x for x in (folder, *folder.absolute().parents) if x.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise RuntimeError(
            f"save_policy: the policy needs {as_size(needed)} in {folder}, found"
            f" {as_size(free)} free; make room there or set save_policy=false"
        )
    return free


def as_size(count: float) -> str:
    """Bytes as a person says them: "0.34 MB", "2.1 GB"."""
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB")
    return (
        f"{count / unit:.2g} {name}"
        if count < 100 * unit
        else f"{count / unit:.0f} {name}"
    )


def _write(
    policy: Policy, folder: Path, temperature: float, max_new_tokens: int | None
) -> None:
    generation = copy.deepcopy(policy.model.generation_config)
    generation.update(
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_new_tokens,
    )
    generation._from_model_config = False  # `generate` would not ask the model again
    tokenizer = copy.copy(policy.tokenizer)
    tokenizer.name_or_path = ""  # a path of this machine
    with quiet_transformers():
        policy.model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        generation.save_pretrained(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
