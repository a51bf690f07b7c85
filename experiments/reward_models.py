"""Reward models for open-ended answers: gold against proxy (notebook 13).

    python experiments/reward_models.py --seeds 0-4 --models
    python experiments/reward_models.py --seeds 0-4 --own my_rewards.py:mine

Each arm is GRPO in the search lab with a reward of its own, from
`experiments/open_answers.py`; the gold score is logged beside it at weight 0. A run is
skipped where it is there, so the command goes on where it stopped. Reward models are
trained from the seed when they are first asked. A reward of your own goes to
`runs/reward_models/mine`; `table` puts its row beside the recorded ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import open_answers
import pandas as pd
import torch
from arms import chosen_arms, run_arms

import rlnotes as rl
from rlnotes.analysis.intervals import mean_interval
from rlnotes.analysis.statistics import final_scores
from rlnotes.batch.plan import SweepRun, parse_seeds
from rlnotes.records.reading import load_arms

FOLDER = Path("data/experiments/reward_models")
FILE = "experiments/open_answers.py"
GDPO = {"multi_objective_aggregation": "normalize_then_sum"}
MEASURED = {"beta": 1e-9}  # too small to move a weight: only so that the KL is logged

APART = tuple(f"only_{name}" for name in open_answers.CRITERIA)
# what an arm is paid for; {seed} is filled in; a name without a colon stands in FILE
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
    "rubric_gdpo": APART,
    "rubric_gdpo_weighted": APART,
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
    "bt_biased_weak_kl": ("bt_biased_seed{seed}",),
}
CHANGED: dict[str, dict[str, Any]] = {
    "bt_biased_kl": {"beta": 0.5},
    "bt_biased_weak_kl": {"beta": 0.04},  # DeepSeekMath's
    "rubric_gdpo": GDPO,
    "rubric_gdpo_weighted": GDPO,
    "rubric_gdpo_conditioned": GDPO,
    "right_and_win_rate": GDPO,
}
WEIGHTS = {"rubric_gdpo_weighted": open_answers.RUBRIC}  # of what is paid; others: 1
LAST = 8  # steps that are averaged at the end of a run
COLUMNS = {
    "gold": "rewards/gold/mean",
    "right": "rewards/only_right/mean",
    "form": "rewards/form/mean",
    "length": "completions/mean_length",
}
WATCHED = ("gold", "only_right", "form")  # logged in every arm, at weight 0
SCORED = "bt_biased_seed{seed}"  # and this where an arm compares its scores alone


def config_of(arm: str, seed: int, **values: Any) -> rl.Config:
    """GRPO's config of the lab with the rewards of an arm."""
    paid = [name.format(seed=seed) for name in PAID[arm]]
    scored = [SCORED] if "win_rate_biased_seed{seed}" in PAID[arm] else []
    watched = [name.format(seed=seed) for name in (*WATCHED, *scored)]
    watched = [name for name in watched if name not in paid]
    shared: dict[str, Any] = {
        "reward_funcs": [
            name if ":" in name else f"{FILE}:{name}" for name in [*paid, *watched]
        ],
        "reward_weights": [
            *WEIGHTS.get(arm, (1.0,) * len(paid)),
            *(0.0 for _ in watched),
        ],
        "max_completion_length": open_answers.MAX_LENGTH,
        "generation_batch_size": 64,
        "per_device_train_batch_size": 32,
        "max_steps": 32,
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
    runs = []
    for seed in seeds:
        for arm in arms:
            own = ":" in PAID[arm][0]
            what = ("--own", PAID[arm][0]) if own else ("--arms", arm)
            words = ("python", "experiments/reward_models.py", *what)
            words += ("--seeds", str(seed))
            folder = (open_answers.MODELS if own else FOLDER) / arm / f"seed{seed}"
            runs.append(SweepRun(config_of(arm, seed), folder, words))
    return runs


def measure_models(seeds: list[int]) -> pd.DataFrame:
    """What each reward model that is there learnt, on answers to other questions.

    `accuracy`: pairs of one question, unequal in gold, that it orders as gold does;
    `gold`, `length`: correlations of its score with either; both of all answers.
    """
    rows = []
    for seed in seeds:
        answers, golds, lengths = open_answers.rated(seed + 1000)
        first, second = torch.tensor(golds).view(-1, open_answers.SAMPLES)[:, :2].T
        for rater in open_answers.RATERS:
            if not (open_answers.MODELS / rater / f"seed{seed}_0").is_dir():
                continue
            scores = open_answers.reward_model(rater, seed, 0).score(answers)
            a, b = scores.view(-1, open_answers.SAMPLES)[:, :2].T
            right = ((a > b) == (first > second))[first != second].float().mean()
            table = torch.stack([scores, torch.tensor(golds), torch.tensor(lengths)])
            _, gold, length = torch.corrcoef(table)[0].tolist()
            rows.append((rater, seed, float(right), gold, length))
    return pd.DataFrame(rows, columns=["rater", "seed", "accuracy", "gold", "length"])


def table(*folders: Path) -> pd.DataFrame:
    """Gold, right, form and length at the end of each arm that has runs, with 95 %."""
    rows: dict[str, dict[str, str]] = {}
    for folder in folders:
        if not any(folder.glob("seed*")):
            continue
        runs = load_arms(folder.parent, folder.name)
        for name, metric in COLUMNS.items():
            found = final_scores(runs, metric, last=LAST)[metric]
            rows.setdefault(folder.name, {})[name] = str(mean_interval(found))
    return pd.DataFrame(rows).T


def main() -> int:
    """Run what is not there; 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--arms", help="names with commas between; default: all")
    parser.add_argument("--seeds", required=True, type=parse_seeds)
    parser.add_argument("--own", help="a reward of yours as an arm: file.py:function")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--models", action="store_true", help="also models.csv")
    options = parser.parse_args()
    if options.own:
        options.arms = options.own.rpartition(":")[2]
        PAID[options.arms] = (options.own,)
    arms = chosen_arms(parser, options.arms, PAID)
    well = run_arms(make_runs(arms, options.seeds), options.jobs)
    if options.own and well:
        folders = [FOLDER / "true", FOLDER / "bt_biased", open_answers.MODELS / arms[0]]
        print(table(*folders).to_string())
    if options.models:
        found = measure_models(options.seeds).round(4)
        found.to_csv(FOLDER / "models.csv", index=False)
    return int(not well)


if __name__ == "__main__":
    raise SystemExit(main())
