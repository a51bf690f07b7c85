"""A Bradley-Terry reward model over a policy's backbone, by TRL's RewardTrainer.

min −E[log σ(r(chosen) − r(rejected))]: R1's helpful reward model, in miniature.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlnotes.equations.validation import check_range
from rlnotes.machine.versions import checkpointing_field
from rlnotes.policies.policy import Policy
from rlnotes.tasks.dataset_reading import quiet_datasets

Pair = tuple[Sequence[int], Sequence[int]]  # ids of chosen, of rejected


@dataclass
class RewardModel:
    """A scalar score of token ids: a transformers sequence classifier of one label."""

    model: Any

    @torch.no_grad()
    def score(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """r of each row of ids (prompt, completion and its end), float32 (N,).

        Read off at the last token that is no padding.
        """
        width, pad = max(map(len, rows)), self.model.config.pad_token_id
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
        logits = self.model(ids, attention_mask=(ids != pad).long()).logits
        return logits[:, 0].float()

    def save(self, folder: Path) -> None:
        """Write it as `load_reward_model` reads it."""
        self.model.save_pretrained(folder)


def load_reward_model(folder: Path) -> RewardModel:
    """The reward model that `RewardModel.save` wrote."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    return RewardModel(model.eval())


def train_reward_model(
    policy: Policy,
    pairs: Sequence[Pair],
    *,
    learning_rate: float = 5e-4,
    num_train_epochs: int = 1,
    per_device_train_batch_size: int = 16,
    seed: int = 0,
) -> RewardModel:
    """The Bradley-Terry model of preferences, started from a copy of the policy.

    `pairs` are token ids, prompt included, the chosen before the rejected one. The head
    is drawn by `seed`, as the order of the pairs is; the global random state is left
    alone. Raises ValueError without pairs.
    """
    check_range("number of pairs", len(pairs), low=1, integer=True)
    import datasets
    from transformers import PrinterCallback
    from trl import RewardConfig, RewardTrainer

    rows = [{"chosen_ids": list(a), "rejected_ids": list(b)} for a, b in pairs]
    keep_activations: dict[str, Any] = {checkpointing_field(): False}
    with (
        quiet_datasets(),
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(seed)
        model = _classifier(policy)
        trainer = RewardTrainer(
            model=model,
            processing_class=policy.tokenizer,
            train_dataset=datasets.Dataset.from_list(rows),
            args=RewardConfig(
                output_dir=folder,
                learning_rate=learning_rate,
                num_train_epochs=num_train_epochs,
                per_device_train_batch_size=per_device_train_batch_size,
                lr_scheduler_type="cosine",
                warmup_steps=4,
                seed=seed,
                use_cpu=policy.device.type == "cpu",
                bf16=False,
                report_to="none",
                logging_strategy="no",
                save_strategy="no",
                disable_tqdm=True,
                **keep_activations,
            ),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return RewardModel(model.eval())


def _classifier(policy: Policy) -> Any:
    """The policy's backbone with a new head of one number in place of its words."""
    from transformers import AutoModelForSequenceClassification

    config = type(policy.model.config).from_dict(policy.model.config.to_dict())
    config.num_labels = 1
    config.pad_token_id = policy.tokenizer.pad_token_id
    model = AutoModelForSequenceClassification.from_config(config)
    backbone = getattr(policy.model, policy.model.base_model_prefix)
    getattr(model, model.base_model_prefix).load_state_dict(backbone.state_dict())
    return model
