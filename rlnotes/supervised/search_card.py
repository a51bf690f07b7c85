"""A search policy on the disk: weights, tokenizer, and a card of what was measured."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rlnotes.equations.validation import check_choice
from rlnotes.machine.files import remove_ours, replace_text
from rlnotes.machine.provenance import describe_run
from rlnotes.policies.embedded import MODEL_FILES
from rlnotes.policies.policy import Policy
from rlnotes.supervised.search_pretraining import Pretraining, pretrain
from rlnotes.tasks.search import SEARCH_TASKS
from rlnotes.training.config_checks import coerce
from rlnotes.training.evaluation import sample_held_out

_SAMPLES = 8  # completions per held-out question
_BUDGET = 128  # tokens


def make_pretraining(values: Mapping[str, Any]) -> Pretraining:
    """`Pretraining` from a YAML file's names and values; ValueError names a bad one."""
    hints = typing.get_type_hints(Pretraining)
    names = tuple(field.name for field in dataclasses.fields(Pretraining))
    for name in values:
        check_choice("parameter", name, names)
    plain = {k: v for k, v in values.items() if k != "levels"}
    checked = {name: coerce(name, value, hints[name]) for name, value in plain.items()}
    if "levels" in values:
        if not isinstance(values["levels"], Mapping):
            raise ValueError(
                f"levels must map tasks to shares, got {values['levels']!r}"
            )
        checked["levels"] = dict(values["levels"])
    return Pretraining(**checked)


def pretrain_to_folder(settings: Pretraining, folder: Path) -> dict[str, float]:
    """Pretrain, measure, and write a folder that `load_policy` reads; the rates.

    The folder appears whole at the end. Raises FileExistsError if it is there already.
    """
    if folder.exists():
        raise FileExistsError(f"a policy is already in {folder}; remove it first")
    partial = folder.with_name(folder.name + ".partial")
    remove_ours(partial, (*MODEL_FILES, "README.md"))
    partial.mkdir(parents=True)
    provenance = describe_run()
    start = time.perf_counter()
    policy = pretrain(settings)
    seconds = time.perf_counter() - start
    policy.model.save_pretrained(partial)
    policy.tokenizer.save_pretrained(partial)
    rates = {name: measure(policy, name) for name in SEARCH_TASKS}
    digest = hashlib.sha256((partial / "model.safetensors").read_bytes()).hexdigest()
    run = provenance | {"seconds": seconds}
    replace_text(partial / "README.md", _card(policy, settings, rates, digest, run))
    os.replace(partial, folder)
    return rates["search"]


def measure(policy: Policy, task_name: str) -> dict[str, float]:
    """Rates of `trace_rates` on held-out questions, 8 samples each at temperature 1."""
    task = SEARCH_TASKS[task_name]
    rollouts = sample_held_out(
        policy, task, num_generations=_SAMPLES, max_completion_length=_BUDGET
    )
    asked = [question for question in rollouts.tasks for _ in range(_SAMPLES)]
    lengths = {"length": float(rollouts.lengths.float().mean())}
    return task.describe(rollouts.texts, asked) | lengths


def _card(
    policy: Policy,
    settings: Pretraining,
    rates: Mapping[str, Mapping[str, float]],
    digest: str,
    run: Mapping[str, Any],
) -> str:
    names = list(rates["search"])
    table = [f"| | {' | '.join(rates)} |", f"|---|{'---|' * len(rates)}"]
    table += [
        f"| {name} | {' | '.join(f'{rates[task][name]:.3f}' for task in rates)} |"
        for name in names
    ]
    commit = run["commit"][:7] + ("+" if run["dirty"] else "")
    return "\n".join(
        [
            f"# {settings.name}",
            "",
            f"A Llama of {policy.num_parameters:,} weights that imitates noisy guess"
            " and check (`rlnotes/supervised/search_pretraining.py`).",
            f"Made by `{run['command']}` at commit {commit}",
            f"in {run['seconds']:.0f} s on {run['threads']} thread(s) of {run['cpu']}.",
            "",
            f"SHA-256 of model.safetensors: `{digest}`",
            "",
            f"Held-out questions, {_SAMPLES} samples each, temperature 1, at most"
            f" {_BUDGET} tokens (rates as in `search_traces.trace_rates`):",
            "",
            *table,
            "",
            "Settings:",
            "",
            "```yaml",
            yaml.safe_dump(dataclasses.asdict(settings), sort_keys=False).strip(),
            "```",
            "",
        ]
    )
