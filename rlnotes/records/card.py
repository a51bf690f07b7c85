"""MODEL CARD of a kept policy, made from its run's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

_ROWS = 12  # of the curve, at most
_CURVE = ("reward", "completions/mean_length", "entropy")
_HELD_OUT = "eval/"


def model_card(
    name: str,
    config: Mapping[str, Any],
    meta: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    step: int,
) -> str:
    """Markdown: what the policy was trained on, how it went, what it reached.

    `name` is the run's, `rows` are its metrics up to `step`, where the policy was kept.
    """
    base = str(config["policy"])
    base = Path(base).name if base.startswith(("/", "~", ".")) else base
    commit = str(meta["commit"])[:7] + ("+" if meta["dirty"] else "")
    head = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["rlnotes", str(config["algorithm"])],
    }
    last: Mapping[str, Any] = next(
        (row for row in reversed(rows) if row["step"] == step), {}
    )
    return "\n".join(
        [
            "---",
            yaml.safe_dump(head, sort_keys=False).strip(),
            "---",
            f"# {name}",
            "",
            f"`{base}` after {step} of {config['max_steps']} steps of"
            f" {config['algorithm']} on the task `{config['task']}`, rewarded by"
            f" {', '.join(f'`{x}`' for x in config['reward_funcs'])}.",
            f"Made by `{meta['command']}`",
            f"at commit {commit}, seed {config['seed']}, {meta['date'][:10]}.",
            "",
            "```python",
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            'model = AutoModelForCausalLM.from_pretrained("FOLDER")',
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
            "```",
            "",
            "`rlnotes evaluate FOLDER` repeats the numbers below, `rlnotes chat FOLDER`"
            " talks to it.",
            "",
            "## Held out",
            "",
            *_table(["", f"step {step}"], _held_out(last)),
            "",
            "## Training",
            "",
            *_table(["step", *_CURVE, "held out"], _curve(rows)),
            "",
            "## Settings",
            "",
            "```yaml",
            yaml.safe_dump({**config, "policy": base}, sort_keys=False).strip(),
            "```",
            "",
        ]
    )


def _held_out(row: Mapping[str, Any]) -> list[list[str]]:
    found = {k: v for k, v in row.items() if k.startswith(_HELD_OUT)}
    return [[k.removeprefix(_HELD_OUT), f"{v:.4g}"] for k, v in found.items()]


def _curve(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Some rows: every so many steps, those with an evaluation first of all."""
    evaluated = [r for r in rows if f"{_HELD_OUT}sampled_accuracy" in r]
    shown = evaluated if len(evaluated) > 3 else list(rows)
    every = -(-len(shown) // _ROWS) if shown else 1
    shown = shown[::every] + ([shown[-1]] if (len(shown) - 1) % every else [])
    keys = ("step", *_CURVE, f"{_HELD_OUT}sampled_accuracy")
    return [[f"{row[k]:.4g}" if k in row else "" for k in keys] for row in shown]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
