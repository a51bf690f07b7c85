"""Every key that a run logs is explained in docs/metrics.md, and nothing else is."""

import csv
import re
from pathlib import Path

import pytest

from rlnotes.analysis import log_keys
from rlnotes.analysis.log_keys import LOG_KEYS, in_words
from rlnotes.training.config import make_config
from rlnotes.training.loop import train

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| `([^`]+)` \| (.*?) \| (.*?) \| (.*?) \| (.+?) \| .*\|$", PAGE, re.M
)
LABELS = {"run", "algorithm", "task", "policy", "seed", "arm"}


def logged() -> set[str]:
    """The header of every recorded run."""
    paths = (ROOT / "data").glob("**/metrics.csv")
    headers = [next(csv.reader(path.open(encoding="utf-8"))) for path in paths]
    return {key for header in headers for key in header} - LABELS


def test_the_page_has_the_words_of_the_figures():
    page = {key: (words.replace("\\", ""), unit) for key, words, _, unit, _ in ROWS}
    assert page == LOG_KEYS
    assert [key for key, _, formula, _, by in ROWS if not formula or not by] == []


def test_every_recorded_key_is_explained_and_every_row_is_logged_somewhere():
    keys = logged()
    assert len(keys) > 60
    assert [key for key in keys if in_words(key)[0] == key and key != "reward"] == []
    paths = set((ROOT / "rlnotes").glob("**/*.py")) - {Path(log_keys.__file__)}
    written = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    for key in LOG_KEYS:
        pattern = re.escape(key).replace("<name>", ".+").replace("<k>", r"\d+")
        recorded = any(re.fullmatch(pattern, one) for one in keys)
        assert recorded or f'"{key.partition("<")[0]}' in written, key


@pytest.mark.parametrize("algorithm", ["ppo", "dapo"])
def test_what_a_trainer_logs_today_is_explained(algorithm, policy):
    config = make_config(
        algorithm=algorithm,
        task="scratch-addition",
        max_steps=1,
        generation_batch_size=16,
        num_generations=4,
        max_completion_length=9,
        soft_punish_cache=4,
        kl_coef=0.1 if algorithm == "ppo" else 0.0,
        bf16=False,
    )
    metrics = train(config, policy=policy, progress=False).metrics
    assert len(metrics.columns) > 30
    unknown = [key for key in metrics if in_words(key)[0] == key and key != "reward"]
    assert unknown == []


def test_in_words():
    assert in_words("eval/pass@8") == ("held out: one of 8 right", "share of questions")
    assert in_words("rewards/length_reward/std")[0] == "spread of length reward"
    assert in_words("eval/search/waits") == ("held out, search: wait", "per response")
    assert in_words("my/own") == ("my/own", "")
