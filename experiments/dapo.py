"""DAPO's ladder and its switches in the search lab (notebook 08).

    python experiments/dapo.py rates --seeds 5-6       a learning rate for each rung
    python experiments/dapo.py ladder --seeds 0-4      Table 1, rung by rung
    python experiments/dapo.py switches --seeds 0-4    one technique, one knob
    python experiments/dapo.py smollm2 --seeds 0-2     the same on a pretrained model

Every arm is GRPO with the switches of `ARMS`, 8 updates a batch, the three arms of the
clip 32. A run is skipped where it is there, so each command goes on where it stopped.
The learning rate of a rung is the one of `RATES` whose accuracy, the mean of the
held-out evaluations at steps 20, 30 and 40 over two seeds that no result uses, is
highest. (The grid began at 1.5e-4; 6e-4 was dropped for 7.5e-5 after two rungs and one
seed, where it ended at 0.48 and 0.56, 0.3 below 1.5e-4.)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from arms import chosen_arms, run_arms

import rlnotes as rl
from rlnotes.batch.plan import SweepRun, parse_seeds

FOLDER = Path("data/experiments/dapo")
RATES = (7.5e-5, 1.5e-4, 3e-4)

FILTER = {"mask_truncated_completions": True}
HIGHER = {"epsilon_high": 0.28}
PUNISH = {
    "reward_funcs": ["accuracy_reward", "soft_overlong_punishment_reward"],
    "reward_weights": [2.0, 1.0],  # accuracy is 0/1 here and -1/+1 in the paper (Eq 7)
    "soft_punish_cache": 32,
}
TOKENS = {"loss_type": "dapo"}
RESAMPLE = {"dynamic_sampling": True}
CISPO = {"loss_type": "cispo", "epsilon_high": 5.0}
# the paper's 16 updates a batch, twice over it, at twice the rate: the clip does bind
OFTEN = FILTER | {
    "steps_per_generation": 16,
    "num_iterations": 2,
    "learning_rate": 3e-4,
    "max_steps": 30,
}
SHORT = {"max_completion_length": 48}  # tokens, four tries: truncation binds

LADDER: dict[str, dict[str, Any]] = {
    "naive": {},
    "filter": FILTER,
    "filter_higher": FILTER | HIGHER,
    "filter_higher_punish": FILTER | HIGHER | PUNISH,
    "filter_higher_punish_tokens": FILTER | HIGHER | PUNISH | TOKENS,
    "dapo": FILTER | HIGHER | PUNISH | TOKENS | RESAMPLE,
}
# "naive" is what each alone is compared with, "dapo" what each leave-one-out is, and
# "filter_higher_punish_tokens" is DAPO without dynamic sampling
SWITCHES: dict[str, dict[str, Any]] = {
    "higher": HIGHER,
    "resample": RESAMPLE,
    "tokens": TOKENS,
    "punish": PUNISH,
    "without_filter": HIGHER | PUNISH | TOKENS | RESAMPLE,
    "without_higher": FILTER | PUNISH | TOKENS | RESAMPLE,
    "without_punish": FILTER | HIGHER | TOKENS | RESAMPLE,
    "without_tokens": FILTER | HIGHER | PUNISH | RESAMPLE,
    "kl": {"beta": 0.04},
    "kl_measured": {"beta": 1e-9},  # too small to move a weight: only so it is logged
    "short": SHORT,
    "short_filter": SHORT | FILTER,
    "short_punish": SHORT | PUNISH | {"soft_punish_cache": 16},
    "prompt": {"loss_type": "dapo_prompt"},
    "constant": {"loss_type": "dr_grpo"},
    "gspo": {
        "importance_sampling_level": "sequence",
        "epsilon": 0.02,
        "epsilon_high": 0.03,
    },
    "cispo": CISPO,
    "maxrl": {"scale_rewards": "mean"},
    # after CISPO's five seeds had fallen: a lower rate, and GRPO without a lower clip
    "cispo_slow": CISPO | {"learning_rate": 7.5e-5},
    "no_lower_clip": {"epsilon": 1.0, "epsilon_high": 0.2},
    "clip": OFTEN,
    "clip_higher": OFTEN | HIGHER,
    "clip_unbounded": OFTEN | {"epsilon_high": 100.0},
}
# one-digit products, a fifth right before; four fifths of the answers are truncated
PRETRAINED = {
    "learning_rate": 1e-5,
    "generation_batch_size": 32,  # 4 questions x 8 responses, an update a question
    "per_device_train_batch_size": 8,
    "steps_per_generation": 4,
    "max_steps": 8,
    "eval_steps": 4,
}
SMOLLM2: dict[str, dict[str, Any]] = {
    "smollm2_naive": PRETRAINED,
    "smollm2_higher": PRETRAINED | HIGHER,
    "smollm2_tokens": PRETRAINED | TOKENS,
    "smollm2_resample": PRETRAINED | RESAMPLE,
    "smollm2_filter": PRETRAINED | FILTER,
}
ARMS = LADDER | SWITCHES | SMOLLM2
COMMANDS = {"rates": LADDER, "ladder": LADDER, "switches": SWITCHES, "smollm2": SMOLLM2}


def config_of(arm: str, **values: Any) -> rl.Config:
    """GRPO's config of the lab, or of SmolLM2, with the switches of an arm."""
    shared = {"steps_per_generation": 8, "max_steps": 40, "eval_samples": 8}
    shared |= {"eval_steps": 5, "save_policy": False}
    base = "configs/grpo.yaml" if arm in SMOLLM2 else "configs/search/grpo.yaml"
    return rl.load_config(base, **{**shared, **ARMS[arm], **values})


def rate_of(arm: str) -> float:
    """A rung its own rate; what leaves one out that of DAPO; the rest that of GRPO."""
    rates = pd.read_csv(FOLDER / "rates.csv").query("chosen").groupby("arm")
    rung = "dapo" if arm.startswith("without_") else "naive"
    return float(rates["learning_rate"].first()[arm if arm in LADDER else rung])


def make_runs(command: str, arms: list[str], seeds: list[int]) -> list[SweepRun]:
    """Every arm × seed (× rate), the seeds outermost."""
    runs = []
    for seed in seeds:
        for arm in arms:
            words = ("python", "experiments/dapo.py", command)
            words += ("--arms", arm, "--seeds", str(seed))
            if command == "rates":
                for rate in RATES:
                    values = {"seed": seed, "learning_rate": rate, "eval_steps": 10}
                    folder = Path("runs/dapo_rates") / arm / f"{rate:g}_seed{seed}"
                    runs.append(SweepRun(config_of(arm, **values), folder, words))
            else:
                rate = ARMS[arm].get("learning_rate") or rate_of(arm)
                config = config_of(arm, seed=seed, learning_rate=rate)
                folder = FOLDER / arm / f"seed{seed}"
                runs.append(SweepRun(config, folder, words))
    return runs


def choose_rates(runs: list[SweepRun]) -> pd.DataFrame:
    """The accuracy of every rung × rate × seed, and which rate each rung gets."""
    rows = []
    for run in runs:
        found = rl.load_run(run.folder).metrics["eval/sampled_accuracy"].dropna()
        arm, seed = run.folder.parent.name, run.config.seed
        rows.append((arm, run.config.learning_rate, seed, found.iloc[-3:].mean()))
    table = pd.DataFrame(rows, columns=["arm", "learning_rate", "seed", "accuracy"])
    means = table.groupby(["arm", "learning_rate"])["accuracy"].mean()
    best = means.groupby("arm").idxmax()
    table["chosen"] = [
        (arm, rate) == best[arm]
        for arm, rate in zip(table["arm"], table["learning_rate"], strict=True)
    ]
    return table


def main() -> int:
    """Run what is not there; 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--arms", help="names with commas between; default: all")
    parser.add_argument("--seeds", required=True, type=parse_seeds)
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args()
    arms = chosen_arms(parser, options.arms, COMMANDS[options.command])
    runs = make_runs(options.command, arms, options.seeds)
    well = run_arms(runs, options.jobs)
    if options.command == "rates" and well:
        FOLDER.mkdir(parents=True, exist_ok=True)
        choose_rates(runs).to_csv(FOLDER / "rates.csv", index=False)
    return int(not well)


if __name__ == "__main__":
    raise SystemExit(main())
