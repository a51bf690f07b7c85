"""What a run says of its data and rewards at its start, and keeps in the record."""

import json
import math
from pathlib import Path

import pytest

from rlnotes.tasks.loading import load_task
from rlnotes.training.config import make_config
from rlnotes.training.loop import train
from tests.conftest import random_policy

pytest.importorskip("datasets")
DATA = Path(__file__).parents[1] / "tasks" / "published"
OPENS = "{% for m in messages %}{{ m.content }}{% endfor %}<think>\n"


def run(name, tmp_path, **fields):
    policy = random_policy()
    policy.tokenizer.chat_template = OPENS
    values = {
        "algorithm": "grpo",
        "policy": "tiny",
        "task": f"file/{DATA / name}.jsonl",
        "max_steps": 1,
        "generation_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 4,
        "reward_funcs": ["accuracy_reward", "format_reward"],
    }
    config = make_config(**values | fields)
    return train(
        config,
        policy=policy,
        output=tmp_path / "run",
        progress=False,
        evaluations=False,
    )


def test_data_and_constant_rewards_are_said_and_recorded(tmp_path, capsys) -> None:
    with pytest.warns(UserWarning) as caught:
        run("gsm8k", tmp_path)
    said = [str(one.message) for one in caught]
    [constant] = [text for text in said if text.startswith("format_reward")]
    assert "0 for all 8 completions" in constant and "writes <think>" in constant
    lines = capsys.readouterr().err
    assert "rlnotes: data: columns: {'question': 'question'" in lines
    assert lines.count("rlnotes: data: example:") == 3
    meta = json.loads((tmp_path / "run" / "meta.json").read_text())
    chosen = load_task(f"file/{DATA / 'gsm8k'}.jsonl").chosen
    assert meta["data"] == chosen and chosen["verifier"] == "number"


def test_stopped_comparisons_are_a_column_where_formulas_are_compared(tmp_path) -> None:
    pytest.importorskip("math_verify")
    with pytest.warns(UserWarning, match="accuracy_reward is 0"):
        result = run("math", tmp_path, reward_funcs=["accuracy_reward"])
    assert math.isfinite(result.metrics["verdicts/timed_out"].iloc[-1])
