"""PPO with and without the clip, pass by pass (notebook 15).

    python experiments/ppo_clip.py --seeds 0-9

Eight passes over each of three batches, at five times the rate of notebook 02: same
seeds, same questions, same first batch. One row a pass, measured before its update;
accuracy after the last pass over a batch.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator

import pandas as pd
import torch
from arms import write_record

import rlnotes as rl
from rlnotes.batch.plan import parse_seeds
from rlnotes.machine.provenance import describe_run
from rlnotes.policies.policy import Policy
from rlnotes.rollouts.scoring import packed_logps
from rlnotes.training.batches import prepare, score
from rlnotes.training.learner import Learner
from rlnotes.training.loop import build_rewards, collect
from rlnotes.training.updates import update_once

FOLDER = rl.project_folder() / "data" / "experiments" / "ppo_clip"
SETTINGS = {"policy": "tiny", "task": "scratch-addition", "bf16": False}
SETTINGS |= {"algorithm": "ppo", "num_iterations": 8, "steps_per_generation": 1}
SETTINGS |= {"learning_rate": 5e-3, "critic_learning_rate": 3e-3}
SETTINGS |= {"generation_batch_size": 128, "max_completion_length": 12}
TASK = rl.load_task("scratch-addition")
BATCHES, PASSES, NO_CLIP = 3, 8, 1e9


def accuracy(policy: Policy) -> float:
    """Share of right answers among 512 samples, the same questions for all."""
    rollouts = rl.generate_rollouts(
        policy,
        TASK.sample(64, seed=2000, step=0),
        num_generations=8,
        max_completion_length=12,
        generator=torch.Generator().manual_seed(2000),
    )
    return float(score(rollouts, [rl.get_accuracy_reward(TASK.verify)]).mean())


def passes(seed: int, epsilon: float, base: Policy) -> Iterator[dict[str, float]]:
    """The rows of one run; `accuracy` is asked after the last pass over a batch."""
    config = rl.make_config(**SETTINGS, seed=seed, epsilon=epsilon)
    learner = Learner.create(config, copy.deepcopy(base))
    for step in range(1, BATCHES + 1):
        rewarders = build_rewards(config, TASK)
        rollouts, rewards, _ = collect(learner, TASK, rewarders, step)
        batch = prepare(learner, rollouts, rewards)
        for number in range(1, PASSES + 1):
            with torch.no_grad():
                now = packed_logps(learner.policy, rollouts)
            kl = rl.kl_k3(rollouts.per_token_logps, now)
            distance = float(rl.masked_mean(kl, rollouts.completion_mask))
            stats = update_once(learner, batch)
            last = number == PASSES
            yield {
                "seed": seed,
                "clip": epsilon < NO_CLIP,
                "batch": step,
                "pass": number,
                "distance": distance,
                "grad_norm": stats["grad_norm"],
                "stopped": stats["clip_ratio/region_mean"],
                "accuracy": accuracy(learner.policy) if last else float("nan"),
            }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-9", help="like 0-9 or 0,2")
    seeds = parse_seeds(parser.parse_args().seeds)
    torch.set_num_threads(1)
    meta = describe_run() | {"seeds": seeds} | SETTINGS
    base = rl.load_policy("tiny")
    print(f"untrained: accuracy {accuracy(base):.3f}")
    runs = [(seed, epsilon) for seed in seeds for epsilon in (0.2, NO_CLIP)]
    table = pd.DataFrame(row for run in runs for row in passes(*run, base))
    text = table.to_csv(index=False, float_format="%.6g")
    write_record(FOLDER, "passes.csv", text, meta)
