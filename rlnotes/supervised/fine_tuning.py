"""Supervised fine-tuning on (prompt, completion) pairs, by TRL's SFTTrainer.

min_θ −E[log π_θ(completion | prompt)]: R1's cold start, its second stage and its
distillation are this and nothing else; what differs is who wrote the completions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from rlnotes.equations.validation import check_range
from rlnotes.machine.versions import checkpointing_field
from rlnotes.policies.policy import Policy
from rlnotes.tasks.dataset_reading import quiet_datasets


def fine_tune(
    policy: Policy,
    examples: Sequence[Mapping[str, Any]],
    *,
    learning_rate: float = 1e-3,
    num_train_epochs: int = 2,
    per_device_train_batch_size: int = 64,
    seed: int = 0,
    progress: bool = True,
) -> Policy:
    """The policy after SFT on `examples`, changed in place; prompts carry no loss.

    Each example has a `prompt` and a `completion`, both texts or both lists of chat
    messages. The rate falls by a cosine to a tenth, as R1's does (from 5e-5 there).
    Raises ValueError without examples, or for one that lacks either text.
    """
    check_range("num_train_epochs", num_train_epochs, low=1, integer=True)
    rows = [_row(example, index) for index, example in enumerate(examples)]
    if not rows:
        raise ValueError("examples: expected at least one, got none")
    keep_activations: dict[str, Any] = {checkpointing_field(): False}  # saves time
    import datasets
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    # the trainer replaces `forward` and the cache's switch: it gets a copy to keep
    pupil = policy.clone()
    pupil.model.requires_grad_(True)
    with (
        quiet_datasets(),  # a dozen bars for seconds of work
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(devices=[]),
    ):
        trainer = SFTTrainer(
            model=pupil.model,
            processing_class=policy.tokenizer,
            train_dataset=datasets.Dataset.from_list(rows),
            args=SFTConfig(
                output_dir=folder,
                learning_rate=learning_rate,
                lr_scheduler_type="cosine_with_min_lr",
                lr_scheduler_kwargs={"min_lr_rate": 0.1},
                num_train_epochs=num_train_epochs,
                per_device_train_batch_size=per_device_train_batch_size,
                seed=seed,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                use_cpu=policy.device.type == "cpu",
                bf16=False,
                disable_tqdm=not progress,
                **keep_activations,
            ),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    policy.copy_weights_from(pupil)
    return policy


def _row(example: Mapping[str, Any], index: int) -> dict[str, Any]:
    """A row as TRL takes it; a text that starts a new word gets its blank."""
    for name in ("prompt", "completion"):
        if not isinstance(example.get(name), (str, list)) or not example[name]:
            raise ValueError(
                f"examples[{index}]: expected a {name!r}, a text or a list of messages,"
                f" got {example.get(name)!r}"
            )
    prompt, completion = example["prompt"], example["completion"]
    if isinstance(prompt, str) and not prompt[-1].isspace():
        completion = f" {completion}"
    return {"prompt": prompt, "completion": completion}
