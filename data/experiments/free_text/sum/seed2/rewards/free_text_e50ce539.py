"""A rubric on free text: SmolLM2 writes a sentence, five criteria are checked.

    python experiments/free_text.py --arms sum,apart --seeds 0

No answer is right here; what a sentence must do is a rubric of checkable criteria.
`sum` is GRPO on the rubric's share, `apart` GDPO on the essential criterion and on the
others, which count only where the essential one holds. Some minutes on a core.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from arms import chosen_arms

import rlnotes as rl
from rlnotes.batch.plan import parse_seeds
from rlnotes.rewards.rewards import completion_text
from rlnotes.tasks.splits import SplitTasks, split_by_hash

FOLDER = Path("data/experiments/free_text")
FILE = "experiments/free_text.py"
TOPICS = (
    "the sea",
    "a cat",
    "the moon",
    "rain",
    "a garden",
    "winter",
    "bread",
    "a bus",
)
WORDS = ("silent", "golden", "early", "heavy", "green", "alone", "warm", "old")
CRITERIA = ("word", "topic", "sentence", "brief", "plain")
RUBRIC = (1.0, 0.7, 0.7, 0.3, 0.9)  # essential, important ×2, optional, pitfall


@dataclass(frozen=True)
class FreeText(SplitTasks):
    """Chat questions: one sentence about a topic, with a word in it."""

    name: str = "free-text"

    def questions(self) -> tuple[list[Any], list[Any]]:
        """(train, held-out) pairs of a topic and a word."""
        return split_by_hash(list(product(TOPICS, WORDS)), str)

    def task(self, topic: str, word: str) -> rl.Task:
        """Columns: topic, word."""
        text = f"Write one sentence about {topic}. Use the word {word}."
        columns = {"topic": topic, "word": word}
        return rl.Task([{"role": "user", "content": text}], word, columns)

    def verify(self, completion: str, task: rl.Task) -> float:
        """The essential criterion."""
        return judge(completion, **task.columns)["word"]

    def read_answer(self, completion: str, task: rl.Task) -> str | None:
        """A text has no answer to vote on."""
        return None


def judge(text: str, topic: str, word: str) -> dict[str, float]:
    """The five criteria of a text, each 0 or 1.

    word        it holds the word (essential)
    topic       it names the topic
    sentence    one sentence, closed by a mark, and nothing after it
    brief       6 to 16 words
    plain       no list, heading or quotation, and no word three times (the pitfall)
    """
    words = re.findall(r"[a-z']+", text.lower())
    ends = re.findall(r"[.!?]+", text)
    met = (
        word in words,
        topic.split()[-1] in words,
        len(ends) == 1 and text.strip().endswith(tuple(".!?")),
        6 <= len(words) <= 16,
        bool(words)
        and not re.search(r'["“*#:\n]|^\s*[-\d]', text.strip())
        and max(map(words.count, set(words) - {"the", "a", "of"}), default=0) < 3,
    )
    return {name: float(one) for name, one in zip(CRITERIA, met, strict=True)}


def judged(completions: Any, topic: Any, word: Any) -> torch.Tensor:
    """The criteria of each completion, (N, 5)."""
    texts = map(completion_text, completions)
    rows = [judge(*row) for row in zip(texts, topic, word, strict=True)]
    return torch.tensor([[met[name] for name in CRITERIA] for met in rows])


def rubric(completions, topic, word, **kwargs):
    """The rubric's weighted share."""
    table = judged(completions, topic, word)
    return rl.rubric_scores(table, torch.tensor(RUBRIC)).tolist()


def essential(completions, topic, word, **kwargs):
    """Whether the word is there."""
    return judged(completions, topic, word)[:, 0].tolist()


def style(completions, topic, word, **kwargs):
    """The rest of the rubric, where the word is there."""
    table = judged(completions, topic, word)
    rest = rl.rubric_scores(table[:, 1:], torch.tensor(RUBRIC[1:]))
    return (rest * table[:, 0]).tolist()


ARMS: dict[str, dict[str, Any]] = {
    "sum": {"reward_weights": [1.0, 0.0, 0.0]},
    "apart": {
        "reward_weights": [0.0, 1.0, 1.0],
        "multi_objective_aggregation": "normalize_then_sum",
    },
}


def config_of(arm: str, seed: int, **values: Any) -> rl.Config:
    """SmolLM2's config with the rewards of an arm; the others are only logged."""
    rewards = [f"{FILE}:{name}" for name in ("rubric", "essential", "style")]
    shared = {"reward_funcs": rewards, "task": "free-text", "max_steps": 10}
    shared |= {"eval_samples": 1, "save_policy": False, "seed": seed}
    return rl.load_config("configs/grpo.yaml", **{**shared, **ARMS[arm], **values})


def main() -> None:
    """Run what is not there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--arms", default="sum,apart")
    parser.add_argument("--seeds", required=True, type=parse_seeds)
    options = parser.parse_args()
    arms = chosen_arms(parser, options.arms, ARMS)
    for seed in options.seeds:
        for arm in arms:
            folder = FOLDER / arm / f"seed{seed}"
            if not folder.is_dir():
                config = config_of(arm, seed)
                rl.train(config, task=FreeText(), output=folder, resume=True)


if __name__ == "__main__":
    main()
