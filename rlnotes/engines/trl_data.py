"""QUESTIONS of a TRL run: the dataset of every step, checked before anything starts."""

from __future__ import annotations

from typing import Any

from rlnotes.engines.trl_sampling import question_rows
from rlnotes.tasks.base import TaskSet
from rlnotes.training.config import Config


def make_dataset(config: Config, task: TaskSet) -> Any:
    """The questions of every step in their order, as our loop draws them.

    One row a prompt with the columns that rewards read. Raises ValueError when a
    question has no answer to compare with.
    """
    from datasets import Dataset

    rows: list[dict[str, Any]] = []
    for step in range(1, config.max_steps + 1):
        # `training.collect` asks for the questions of step·1000
        tasks = task.sample(config.num_prompts, seed=config.seed, step=step * 1000)
        rows += question_rows(tasks, 1)
    dataset = Dataset.from_list(rows)
    check_columns(dataset, config)
    return dataset


def check_columns(dataset: Any, config: Config) -> None:
    """Raise ValueError unless every row has a prompt, and an answer where one is used.

    The accuracy reward and dynamic sampling compare with the answer.
    """
    needed = ["prompt"]
    if config.dynamic_sampling or "accuracy_reward" in config.reward_funcs:
        needed.append("answer")
    for name in needed:
        if name not in dataset.column_names:
            raise ValueError(
                f"dataset: expected a column {name!r}, got {dataset.column_names}"
            )
        empty = [i for i, x in enumerate(dataset[name]) if x is None or x == ""]
        if empty:
            raise ValueError(
                f"dataset: column {name!r} is empty in {len(empty)} of {len(dataset)}"
                f" rows, row {empty[0]} first"
            )
