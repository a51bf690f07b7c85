"""Reward models for open-ended answers: gold against proxy (notebook 13).

    python experiments/reward_models.py --seeds 0-4

Each arm is GRPO in the search lab with a reward of its own (`experiments/open_answers.py`),
the gold score logged beside it at weight 0. A run is skipped where it is there, so the
command goes on where it stopped; reward models are trained from the seed when first asked.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import open_answers

import rlnotes as rl
from rlnotes.batch.plan import SweepRun, parse_seeds
from rlnotes.batch.sweeps import run_sweep

FOLDER = Path("data/experiments/reward_models")
FILE = "experiments/open_answers.py"
GDPO = {"multi_objective_aggregation": "normalize_then_sum"}
MEASURED = {"beta": 1e-9}  # too small to move a weight: only so that the KL is logged

# what an arm is paid for; {seed} is filled in, names without a colon stand in FILE
PAID: dict[str, tuple[str, ...]] = {
    "bt_biased": ("bt_biased_seed{seed}",),
    "rubric_gdpo_conditioned": (
        "only_right",
        *(f"if_right_{name}" for name in ("fresh", "brief", "sound")),
        "only_honest",
    ),
    "bt_biased_kl": ("bt_biased_seed{seed}",),
    "ensemble_biased": ("ensemble_biased_seed{seed}",),
    "win_rate_biased": ("win_rate_biased_seed{seed}",),
    "rubric_sum": ("rubric",),
    "rubric_gdpo": tuple(f"only_{name}" for name in open_answers.CRITERIA),
    "true": ("gold",),
    "bt_fair": ("bt_fair_seed{seed}",),
    "right_and_win_rate": ("only_right", "win_rate_biased_seed{seed}"),
    "random": ("random_coin",),
    "right": ("only_right",),
    "form": ("form",),
    "wrong": ("wrong",),
    "bt_noisy": ("bt_noisy_seed{seed}",),
    "ensemble_noisy": ("ensemble_noisy_seed{seed}",),
    "win_rate_noisy": ("win_rate_noisy_seed{seed}",),
    "bt_both": ("bt_both_seed{seed}",),
    "constant": ("constant",),
}
CHANGED: dict[str, dict[str, Any]] = {
    "bt_biased_kl": {"beta": 0.1},
    "rubric_gdpo": GDPO,
    "rubric_gdpo_conditioned": GDPO,
    "right_and_win_rate": GDPO,
}
WATCHED = ("gold", "only_right", "form")  # logged in every arm, at weight 0


def config_of(arm: str, seed: int, **values: Any) -> rl.Config:
    """GRPO's config of the lab with the rewards of an arm."""
    paid = [name.format(seed=seed) for name in PAID[arm]]
    watched = [name for name in WATCHED if name not in paid]
    shared: dict[str, Any] = {
        "reward_funcs": [f"{FILE}:{name}" for name in [*paid, *watched]],
        "reward_weights": [1.0] * len(paid) + [0.0] * len(watched),
        "max_completion_length": open_answers.MAX_LENGTH,
        "generation_batch_size": 128,
        "learning_rate": 6e-4,
        "max_steps": 60,
        "eval_samples": 1,
        "save_policy": False,
    }
    if arm == "right_and_win_rate":
        shared |= {"conditioned_reward": shared["reward_funcs"][1]}
        shared |= {"condition_on": shared["reward_funcs"][0]}
    shared |= {**MEASURED, **CHANGED.get(arm, {}), "seed": seed, **values}
    return rl.load_config("configs/search/grpo.yaml", **shared)


def make_runs(arms: list[str], seeds: list[int]) -> list[SweepRun]:
    """Every arm × seed, the seeds outermost."""
    return [
        SweepRun(
            config_of(arm, seed),
            FOLDER / arm / f"seed{seed}",
            ("python", "experiments/reward_models.py", "--seeds", str(seed)),
        )
        for seed in seeds
        for arm in arms
    ]


def main() -> int:
    """Run what is not there; 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--arms", help="names with commas between; default: all")
    parser.add_argument("--seeds", required=True, type=parse_seeds)
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args()
    arms = options.arms.split(",") if options.arms else list(PAID)
    for arm in arms:
        if arm not in PAID:
            parser.error(f"--arms: expected some of {', '.join(PAID)}, got {arm!r}")
    failed = run_sweep(make_runs(arms, options.seeds), jobs=options.jobs)
    for name, error in failed.items():
        print(f"{name}: {error}")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
