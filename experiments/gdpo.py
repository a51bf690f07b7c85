"""GDPO against GRPO, and rules that weigh rewards, in the lab (notebooks 09, 13).

    python experiments/gdpo.py arms --seeds 0-4     every arm that data/ records
    python experiments/gdpo.py own --rule my_rule.py:rule --seeds 0-4
    python experiments/gdpo.py table                 one row an arm, yours among them

The last two take `--setting conflict` (a run of two seconds) in the place of `length`.

In the lab the policy has learned to search three numbers and is asked four: right in a
third of its answers, and longer than the limit in two thirds. So one reward is easy and
far from earned, the other hard, and searching is what makes an answer both right and
long: where GDPO's paper starts as well. The toy has three rewards, and in `conflict`
two of them cannot both be had. SmolLM2 has three: accuracy, digits, tags. An arm is a
setting and a method; the methods of a setting differ in their advantages and in nothing
else, and no arm was tuned: learning rate and batch are those of
`configs/search/gdpo.yaml` and, for SmolLM2, `configs/r1_zero.yaml`, the batch halved;
the toy's come from the notebook that first had it.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from arms import chosen_arms, run_arms
from matplotlib.axes import Axes

import rlnotes as rl
from rlnotes.analysis.intervals import mean_interval
from rlnotes.batch.plan import SweepRun, parse_seeds
from rlnotes.policies.policy import Policy
from rlnotes.records.reading import load_arms
from rlnotes.records.run_folders import is_run
from rlnotes.rewards.own import load_reward

FOLDER = Path("data/experiments/gdpo")
OWN = Path("runs/gdpo_own")
START = {
    "policy": "data/runs/grpo_search_search-base_seed0/policy",
    "task": "search-hard",
    "generation_batch_size": 128,  # 16 questions x 8 responses
    "max_steps": 40,
    "eval_steps": 20,
    "save_policy": False,
}
FORMAT = "experiments/gdpo_rewards.py:answer_format_reward"
INTEGER = "experiments/gdpo_rewards.py:integer_reward"
SETTINGS: dict[str, dict[str, Any]] = {
    "length": {},  # at most 64 tokens, three tries of four numbers
    "format": {"reward_funcs": ["accuracy_reward", FORMAT], "reward_weights": None},
    "three": {
        "reward_funcs": ["accuracy_reward", "length_reward", FORMAT],
        "reward_weights": [1.0, 1.0, 1.0],
    },
    "short": {"length_limit": 20},  # one try: being right needs more, as a rule
}
TOY: dict[str, Any] = {  # sums modulo 10, a run of two seconds: `..<7>` is the answer
    "policy": "tiny",
    "task": "scratch-addition",
    "generation_batch_size": 64,
    "steps_per_generation": 1,
    "max_completion_length": 14,
    "max_steps": 48,
    "eval_steps": 0,
    "learning_rate": 2e-3,
    "reward_funcs": ["accuracy_reward", "length_reward", "bracket_format_reward"],
    "reward_weights": [1.0, 1.0, 1.0],
}
SETTINGS |= {
    "toy": TOY | {"length_limit": 4},  # `<7>` and the end: all three can be earned
    "conflict": TOY | {"length_limit": 3},  # brackets take four tokens: one of two
}
SETTINGS["smollm2"] = {  # the authors' demo in miniature: a pretrained model, R1's tags
    "policy": "smollm2-135m",
    "task": "addition-r1",
    "generation_batch_size": 32,  # 4 questions x 8 responses
    "per_device_train_batch_size": 16,
    "max_completion_length": 32,
    "bf16": None,  # measured where the run starts
    "max_steps": 16,
    "eval_steps": 0,
    "eval_samples": 4,
    "learning_rate": 1e-5,
    "reward_funcs": ["accuracy_reward", INTEGER, "format_reward"],
    "reward_weights": [1.0, 1.0, 1.0],
}
GRPO = {"algorithm": "grpo", "multi_objective_aggregation": "sum_then_normalize"}
CONDITION = {"conditioned_reward": "length_reward"}
METHODS: dict[str, dict[str, Any]] = {
    "grpo": GRPO,
    "gdpo": {},
    "grpo_no_std": GRPO | {"scale_rewards": "none"},
    "mo_grpo": {"advantage_batch_norm": False},  # GDPO without Eq 6
    "gdpo_conditioned": CONDITION,
    "grpo_conditioned": GRPO | CONDITION,
    "saturation": {"reward_weighting": "saturation"},
    "variation": {"reward_weighting": "variation"},
    "sigma": {"reward_weighting": "sigma"},
    "lagrangian": {"reward_weighting": "lagrangian"},
    "where_right": {"reward_weighting": "experiments/where_right.py:rule"},
    "gdpo_quarter": {"reward_weights": [1.0, 0.25]},
    "grpo_quarter": GRPO | {"reward_weights": [1.0, 0.25]},
    "gdpo_half": {"reward_weights": [1.0, 0.5]},
    "grpo_half": GRPO | {"reward_weights": [1.0, 0.5]},
    "gdpo_w75": {"reward_weights": [1.0, 0.75]},
    "grpo_w75": GRPO | {"reward_weights": [1.0, 0.75]},
}
# the most important first: a sweep that is stopped should have been worth its time
ARMS: dict[str, dict[str, Any]] = {
    f"{setting}_{method}": SETTINGS[setting] | METHODS[method]
    for setting, methods in (
        ("length", list(METHODS)[:7]),
        ("three", ["grpo", "gdpo"]),
        ("length", list(METHODS)[7:11]),
        ("format", ["grpo", "gdpo"]),
        ("short", ["grpo", "gdpo"]),
        ("length", list(METHODS)[11:14]),
        ("short", ["saturation", "lagrangian", "where_right"]),
        ("length", list(METHODS)[14:]),
        ("smollm2", ["grpo", "gdpo"]),
        ("toy", [*list(METHODS)[:5], *list(METHODS)[6:11]]),
        ("conflict", [*list(METHODS)[:5], *list(METHODS)[6:11]]),
    )
    for method in methods
}


def config_of(arm: dict[str, Any], **values: Any) -> rl.Config:
    """GDPO's config of the lab from the better policy, with what an arm changes."""
    base = rl.project_folder() / "configs" / "search" / "gdpo.yaml"
    return rl.load_config(base, **{**START, **arm, **values})


def plan(options: argparse.Namespace) -> list[SweepRun]:
    """Every arm × seed, the seeds outermost; or the own rule's runs."""
    runs = []
    for seed in options.seeds:
        words = ("python", "experiments/gdpo.py", options.command)
        if options.command == "own":
            rule = load_reward(options.rule)  # another text is another row
            name = f"{Path(rule.kept_as or '').stem}_{rule.__name__}".strip("_")
            folder = OWN / f"{options.setting}_{name}" / f"seed{seed}"
            words += ("--setting", options.setting, "--rule", options.rule)
            words += ("--seeds", str(seed))
            arm = SETTINGS[options.setting] | {"reward_weighting": options.rule}
            config = config_of(arm, seed=seed)
            runs.append(SweepRun(config, folder, words))
            continue
        for arm in options.arms:
            command = (*words, "--arms", arm, "--seeds", str(seed))
            folder = FOLDER / arm / f"seed{seed}"
            runs.append(SweepRun(config_of(ARMS[arm], seed=seed), folder, command))
    return runs


def run_toys(runs: Iterable[SweepRun]) -> None:
    """The toy's runs that are not there, here: a process takes longer to start."""
    for run in runs:
        if is_run(run.folder):
            continue
        sys.argv = list(run.command)  # meta.json tells how to repeat the run
        rl.train(run.config, policy=toy_policy(), output=run.folder, progress=False)
        print(f"recorded run: {run.folder}", flush=True)


def try_rule(rule: str, seeds: Iterable[int]) -> pd.DataFrame:
    """The runs of `file.py:function` in `conflict`, recorded nowhere: arm `yours`."""
    arm = SETTINGS["conflict"] | {"reward_weighting": rule}
    runs = []
    for seed in seeds:
        config = config_of(arm, seed=seed)
        run = rl.train(config, policy=toy_policy(), progress=False).metrics
        runs.append(run.assign(algorithm="conflict_yours", seed=seed))
    return pd.concat(runs)


def toy_policy() -> Policy:
    """The toy's policy, untrained: a copy of what is loaded once."""
    start = load_toy()
    return Policy(copy.deepcopy(start.model), start.tokenizer, start.name)


@lru_cache(1)
def load_toy() -> Policy:
    """The toy's policy, to be copied."""
    return rl.load_policy(TOY["policy"])


def recorded(setting: str = "*", folder: Path = FOLDER) -> pd.DataFrame:
    """The runs of every recorded arm of a setting; `algorithm` is the arm's name."""
    folder = rl.project_folder() / folder
    arms = sorted({run.parent.name for run in folder.glob(f"{setting}/seed*")})
    return load_arms(folder, *arms) if arms else pd.DataFrame()


def measures(run: pd.DataFrame, last: int = 10) -> dict[str, float]:
    """What is asked of one run, all of it from means over five steps or the last ten.

    `steps` until a reward has made nine tenths of its way up; `least`: the reward that
    ends lowest; `dip`: how far accuracy falls below its first five steps; `failed`:
    whether it ends there; `hypervolume`: what the rewards dominate, all together.
    """
    steps = run[run["step"] > 0].set_index("step")
    paid = steps.filter(regex="^rewards/.*/mean$").dropna(axis=1, how="all")
    paid = paid.rename(columns=lambda key: key.split("/")[1].removesuffix("_reward"))
    smooth = paid.rolling(5).mean().dropna()
    right = smooth["accuracy"]
    row = {name: paid[name].iloc[-last:].mean() for name in paid}
    row["least"] = min(row.values())
    row["held-out accuracy"] = run["eval/sampled_accuracy"].dropna().iloc[-1]
    row["longest"] = steps["completions/max_length"].iloc[-last:].mean()
    row["dip"] = max(0.0, right.iloc[0] - right.min())
    row["failed"] = float(row["accuracy"] < right.iloc[0])
    row["hypervolume"] = hypervolume(smooth.itertuples(index=False))
    for name, reward in smooth.items():
        way = reward.iloc[0] + 0.9 * (reward.max() - reward.iloc[0])
        row[f"steps, {name}"] = float((reward >= way).idxmax())
    return row


def hypervolume(points: Iterable[tuple[float, ...]]) -> float:
    """Volume of all that some point dominates, for rewards from 0 on."""
    points = sorted(map(tuple, points), key=lambda point: point[-1], reverse=True)
    if len(points[0]) == 1:
        return points[0][0]
    volume, floors = 0.0, [*(point[-1] for point in points[1:]), 0.0]
    for i, floor in enumerate(floors):  # one slice after the other, from the top
        if points[i][-1] > floor:
            below = hypervolume(point[:-1] for point in points[: i + 1])
            volume += (points[i][-1] - floor) * below
    return volume


def measured(runs: pd.DataFrame) -> pd.DataFrame:
    """`measures` of every run, a row a run; the index is (arm, seed)."""
    groups = runs.groupby(["algorithm", "seed"])
    rows = {which: measures(run) for which, run in groups}
    return pd.DataFrame(rows).T.rename_axis(["arm", "seed"])


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """One row an arm: the mean over its seeds of each of `measures`."""
    grouped = measured(runs).groupby("arm", sort=False)
    return grouped.mean().assign(seeds=grouped.size())


def differences(runs: pd.DataFrame, base: str, names: list[str]) -> pd.DataFrame:
    """Each arm less the arm `base`, paired by seed: `Interval`s, a column a measure."""
    found = measured(runs)[names]
    others = [arm for arm in found.index.unique("arm") if arm != base]
    paired = {arm: (found.loc[arm] - found.loc[base]).dropna() for arm in others}
    return pd.DataFrame(
        {arm: one.apply(mean_interval) for arm, one in paired.items()}
    ).T


def style_of(arm: str) -> dict[str, Any]:
    """Color, marker, dash and name of an arm's method, the same in every figure."""
    method = arm.partition("_")[2]
    place = [*METHODS, method].index(method)
    color = ("C0", "C2", "C1", "C3", "C4", "C5", "C6")[place % 7]
    marker, dash = (("o", "-"), ("s", "--"), ("D", ":"))[place // 7]
    return {"color": color, "marker": marker, "ls": dash, "label": method}


def draw_trade(axes: Axes, runs: pd.DataFrame, x: str, y: str) -> None:
    """A point an arm, the mean of two measures; bars are 95 % intervals over seeds."""
    for arm, one in measured(runs).groupby("arm", sort=False):
        sides = [mean_interval(one[name]).within(0, 1) for name in (x, y)]
        bars = [[[s.estimate - s.low], [s.high - s.estimate]] for s in sides]
        at = [side.estimate for side in sides]
        style = style_of(arm) | {"ls": "", "ms": 5, "lw": 0.8}
        axes.errorbar(*at, bars[1], bars[0], **style)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def print_table(setting: str) -> None:
    """The arms of a setting and the reader's own, in one table."""
    runs = pd.concat([recorded(f"{setting}_*", folder) for folder in (FOLDER, OWN)])
    if runs.empty:
        raise SystemExit("no arm is recorded: see python experiments/gdpo.py --help")
    found = table(runs).sort_values("hypervolume", ascending=False)
    print(found.round(2).to_string())


def main() -> int:
    """Run what is not there; 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("command", choices=("arms", "own", "table"))
    parser.add_argument("--arms", help="names with commas between; default: all")
    parser.add_argument(
        "--rule", help="file.py:function, see experiments/where_right.py"
    )
    parser.add_argument("--setting", choices=SETTINGS, default="length")
    parser.add_argument("--seeds", type=parse_seeds)
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args()
    if options.command != "table":
        if not options.seeds:
            parser.error("--seeds: expected like 0-4")
        if options.command == "own" and not options.rule:
            parser.error("--rule: expected file.py:function")
        options.arms = chosen_arms(parser, options.arms, ARMS)
        runs = plan(options)
        run_toys(run for run in runs if run.config.policy == TOY["policy"])
        if not run_arms(runs, options.jobs):
            return 1
    if options.command != "arms":
        print_table(options.setting)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
