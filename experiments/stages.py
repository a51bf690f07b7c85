"""What the experiments share: stages that are done once, measured alike, by seed.

    data/experiments/<experiment>/seed<k>/<stage>/    the record of an RL stage
    data/experiments/<experiment>/seed<k>.csv         one row a stage, at the end
    runs/experiments/<experiment>/seed<k>/<stage>/    its policy, git-ignored

A command is its own continuation: a stage whose policy is there is loaded, a record
that was interrupted goes on, a seed whose table is there is skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

import rlnotes as rl
from rlnotes.batch.plan import parse_seeds
from rlnotes.batch.sweeps import ONE_THREAD
from rlnotes.machine.files import append_text, replace_text
from rlnotes.rewards.language import share_of_words
from rlnotes.supervised.curation import (
    Response,
    is_english,
    is_readable,
    sample_responses,
)

DATA = rl.project_folder() / "data" / "experiments"
LEVELS = ("search-easy", "search", "search-hard")
MAX_COMPLETION_LENGTH = 128
SHORT = 64  # tokens: what `length_reward` pays for in configs/search/gdpo.yaml
GRPO = "configs/search/grpo.yaml"


class Stages:
    """The stages of one seed of one experiment."""

    def __init__(self, experiment: str, seed: int) -> None:
        self.seed = seed
        self.records = DATA / experiment / f"seed{seed}"
        self.policies = rl.runs_folder() / "experiments" / experiment / f"seed{seed}"
        self.rows: list[dict[str, Any]] = []

    def reinforce(
        self,
        stage: str,
        start: rl.Policy,
        *,
        on_step: Callable[[rl.Policy, int], None] | None = None,
        **overrides: Any,
    ) -> rl.Policy:
        """RL from `start`: configs/search/grpo.yaml with `overrides`; start is kept."""
        if self._policy(stage).is_dir() and (self.records / stage).is_dir():
            done = rl.load_policy(str(self._policy(stage)))
            return rl.Policy(done.model, done.tokenizer, stage)
        values = {"policy": start.name, "seed": self.seed, **overrides}
        config = rl.load_config(rl.project_folder() / GRPO, **values)
        policy = rl.Policy(start.clone().model, start.tokenizer, start.name)
        policy.model.requires_grad_(True)
        shutil.rmtree(self.records / stage, ignore_errors=True)
        rl.train(
            config,
            policy=policy,
            output=self.records / stage,
            overwrite=True,
            progress=False,
            on_step=(lambda row: on_step(policy, int(row["step"])))
            if on_step
            else None,
        )
        return self._save(stage, policy)

    def fine_tune(
        self, stage: str, start: rl.Policy, responses: list[Response], **options: Any
    ) -> rl.Policy:
        """SFT from `start` on responses; start is kept."""
        policy = rl.Policy(start.clone().model, start.tokenizer, start.name)
        examples = [response.example for response in responses]
        rl.fine_tune(policy, examples, seed=self.seed, progress=False, **options)
        return self._save(stage, policy)

    def ask(
        self,
        policy: rl.Policy,
        task_name: str,
        *,
        prompts: int,
        num_generations: int,
        step: int,
    ) -> list[Response]:
        """Responses to training questions; `step` keeps draws apart."""
        task_set = rl.load_task(task_name)
        return sample_responses(
            policy,
            task_set,
            task_set.sample(prompts, seed=self.seed, step=step),
            num_generations=num_generations,
            max_completion_length=MAX_COMPLETION_LENGTH,
            seed=self.seed * 1_000 + step,
        )

    def measure(self, stage: str, policy: rl.Policy, **extra: Any) -> None:
        """Add the stage's row: what `measure` says, and `extra`."""
        self.rows.append(
            {"stage": stage, "seed": self.seed, **measure(policy), **extra}
        )

    def finish(self) -> None:
        """Write the table of the seed, whole."""
        table = pd.DataFrame(self.rows).to_csv(index=False, float_format="%.6g")
        replace_text(self.records.with_suffix(".csv"), table)

    def keep_completions(self, stage: str, every: int) -> Callable[..., None]:
        """An `on_step` that appends held-out responses to a JSONL now and then."""
        path = self.records.parent / f"{stage}_seed{self.seed}.jsonl"
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)

        def on_step(policy: rl.Policy, step: int) -> None:
            if step % every == 0:
                responses = held_out_responses(policy, "search", num_generations=4)
                append_text(path, "".join(map(lambda r: _line(r, step), responses)))

        return on_step

    def _policy(self, stage: str) -> Path:
        return self.policies / stage

    def _save(self, stage: str, policy: rl.Policy) -> rl.Policy:
        folder, partial = self._policy(stage), self._policy(stage + ".partial")
        shutil.rmtree(folder, ignore_errors=True)
        policy.model.save_pretrained(partial)
        policy.tokenizer.save_pretrained(partial)
        os.replace(partial, folder)
        return rl.Policy(policy.model.eval(), policy.tokenizer, stage)


def held_out_responses(
    policy: rl.Policy, task_name: str, *, num_generations: int
) -> list[Response]:
    """Responses at temperature 1 to the fixed held-out questions, the same seed.

    64 questions at a time, and data/experiments is recorded so: `sample_held_out`,
    which draws them in one batch, would draw other responses.
    """
    task_set = rl.load_task(task_name)
    return sample_responses(
        policy,
        task_set,
        task_set.held_out(),
        num_generations=num_generations,
        max_completion_length=MAX_COMPLETION_LENGTH,
    )


def measure(policy: rl.Policy) -> dict[str, float]:
    """Held-out accuracy of the three sizes, 8 samples; how `search` is answered."""
    answers = {
        name: held_out_responses(policy, name, num_generations=8) for name in LEVELS
    }
    row = {name: _mean(r.accuracy for r in answers[name]) for name in LEVELS}
    return row | describe(answers["search"])


def describe(responses: list[Response]) -> dict[str, float]:
    """Language, readability, length and reflection of responses to `search`."""
    texts, tasks = zip(*((r.completion, r.task) for r in responses), strict=True)
    rates = rl.load_task("search").describe(texts, tasks)
    names = ("waits", "repeated", "hits_recognized", "misses_retried", "arithmetic")
    return {
        "language_consistency": _mean(
            share_of_words(r.completion, language="en") for r in responses
        ),
        "english": _mean(is_english(r) for r in responses),
        "readable": _mean(is_readable(r) for r in responses),
        "short": _mean(r.length <= SHORT for r in responses),
        "mean_length": _mean(r.length for r in responses),
        "clipped_ratio": _mean(r.truncated for r in responses),
        **{name: rates[name] for name in names},
    }


def run_seeds(experiment: str, run_seed: Callable[[int], None]) -> int:
    """`python experiments/<script> --seeds 0-4 --jobs 2`: a process for each seed."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--seeds", default="0-4", help="like 0-4 or 0,2")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    seeds = parse_seeds(arguments.seeds)
    if len(seeds) == 1:
        torch.set_num_threads(1)
        run_seed(seeds[0])
        return 0
    todo = [s for s in seeds if not (DATA / experiment / f"seed{s}.csv").exists()]
    return _run_processes(todo, arguments.jobs, total=len(seeds))


def _run_processes(seeds: list[int], jobs: int, total: int) -> int:
    def run(seed: int) -> int:
        command = [sys.executable, sys.argv[0], "--seeds", str(seed)]
        return subprocess.run(command, env={**os.environ, **ONE_THREAD}).returncode

    with ThreadPoolExecutor(jobs) as pool:
        ends = pool.map(run, seeds)
        bar = tqdm(ends, total=total, initial=total - len(seeds), unit="seed")
        return int(any(list(bar)))


def _line(response: Response, step: int) -> str:
    record: Mapping[str, Any] = {
        "step": step,
        "prompt": response.task.prompt,
        "completion": response.completion,
        "length": response.length,
        "truncated": response.truncated,
        "accuracy": response.accuracy,
        **response.task.columns,
    }
    return json.dumps(record, ensure_ascii=False) + "\n"


def _mean(values: Iterable[float]) -> float:
    numbers = [float(value) for value in values]
    return sum(numbers) / len(numbers)
