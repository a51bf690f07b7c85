"""New answers or sharpened old ones: right answers of many, by question (notebook 07).

    python experiments/pass_at_k.py

The search lab's base and the five policies that seed 0 of each algorithm left answer
held-out questions of three numbers, the size they were trained on, and of four.
`counts.csv` says how many of the samples of each question were right.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from arms import write_record

import rlnotes as rl
from rlnotes.machine.provenance import describe_run
from rlnotes.supervised.curation import sample_responses

FOLDER = rl.project_folder() / "data" / "experiments" / "pass_at_k"
QUESTIONS = {"search": 128, "search-hard": 64}
SAMPLES, MAX_TOKENS, SEED = 32, 128, 0
ALGORITHMS = ("ppo", "grpo", "dr_grpo", "dapo", "gdpo")
POLICIES = {"untrained": "search-base"} | {
    name: f"data/runs/{name.replace('_', '-')}_search_search-base_seed0/policy"
    for name in ALGORITHMS
}


def count_right(name: str, size: str) -> pd.DataFrame:
    """One row a question of this size."""
    task_set = rl.load_task(size)
    tasks = task_set.held_out()[: QUESTIONS[size]]
    found = sample_responses(
        rl.load_policy(POLICIES[name]),
        task_set,
        tasks,
        num_generations=SAMPLES,
        max_completion_length=MAX_TOKENS,
        seed=SEED,
    )
    right = [int(r.accuracy) for r in found]
    groups = [sum(right[i : i + SAMPLES]) for i in range(0, len(right), SAMPLES)]
    asked = [str(task.prompt) for task in tasks]
    table = pd.DataFrame({"prompt": asked, "right": groups, "samples": SAMPLES})
    return table.assign(policy=name, task=size)


def main(folder: Path = FOLDER) -> int:
    """Sample everything, then write both files whole."""
    torch.set_num_threads(1)
    meta = describe_run() | {"seed": SEED, "temperature": 1.0}
    meta |= {"max_completion_length": MAX_TOKENS, "policies": POLICIES}
    tables = [count_right(name, size) for name in POLICIES for size in QUESTIONS]
    columns = ["policy", "task", "prompt", "right", "samples"]
    text = pd.concat(tables)[columns].to_csv(index=False)
    write_record(folder, "counts.csv", text, meta)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
