"""The policy: a transformers causal LM with its tokenizer, a hub id, or a folder."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rlnotes.equations.names import did_you_mean
from rlnotes.machine.hub import cache_alone_if_unreachable
from rlnotes.policies.checkpoint import load_checkpoint
from rlnotes.policies.embedded import (
    EMBEDDED_POLICY,
    check_memory,
    fetch_embedded_model,
)
from rlnotes.policies.paths import Paths

TINY_POLICY = "tiny"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")


@dataclass
class Policy:
    """A causal language model π_θ and the tokenizer that goes with it."""

    model: Any
    tokenizer: Any
    name: str
    paths: Paths | None = None
    """Which lean paths fit the model; None: not compared yet (`paths_of`)."""

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
        model = model if dtype is None else model.to(dtype)
        return Policy(model, self.tokenizer, self.name, self.paths)

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
        self.paths = policy.paths
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

    No code of a policy runs. Raises FileNotFoundError for a folder that is not there,
    ValueError for one without a model or a tokenizer or whose weights do not fit
    (`load_checkpoint`), RuntimeError when a download is needed and fails, or when
    `smollm2-135m` finds too little room (`fetch_embedded_model`).
    """
    if name == EMBEDDED_POLICY:
        folder = fetch_embedded_model()
        check_memory("loaded", 0.8)
        return _load(folder, name)
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
        ours = sorted(path.name for path in committed_policies().glob("*"))
        raise RuntimeError(
            f"policy {name!r} is neither {EMBEDDED_POLICY!r} nor a folder, and the hub"
            f" could not give it: {str(error).splitlines()[0]}"
            f"{did_you_mean(name, [EMBEDDED_POLICY, TINY_POLICY, *ours])}"
        ) from None


def committed_policies() -> Path:
    """Folder of the checkpoints that come with the repository."""
    return Path(__file__).resolve().parents[2] / "data" / "policies"


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
    return Policy(*load_checkpoint(source, name), name)
