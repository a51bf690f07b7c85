"""The README's figure and the tables of `docs/results.md`, from the records.

python scripts/results.py    # draws docs/figures/algorithms.png, prints the rows
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from rlnotes.analysis.figures import (
    ALGORITHM_COLORS,
    ALGORITHM_DASHES,
    ALGORITHM_NAMES,
    use_style,
)
from rlnotes.analysis.intervals import stratified_bootstrap
from rlnotes.analysis.statistics import (
    at_equal,
    is_share,
    metric_bands,
    paired_difference,
)
from rlnotes.records.reading import load_run, load_runs
from rlnotes.records.run_folders import find_runs
from rlnotes.reflection.report import reflect

ROOT = Path(__file__).parent.parent
SEARCH = str(ROOT / "data" / "runs" / "*_search_search-base_seed*")
EXPERIMENTS = ROOT / "data" / "experiments"
SCRATCH = str(ROOT / "data" / "runs" / "*_scratch-addition_tiny_seed*")
CLAIMS = ROOT / "data" / "claims.csv"
SMOLLM2 = str(ROOT / "data" / "runs" / "grpo_multiplication_smollm2-135m_seed*")
EQUAL = 5120  # completions that every algorithm but DAPO has sampled at the end
SEARCH_EQUAL = 80 * 256  # the same on the search lab
KEY = "eval/sampled_accuracy"
PANELS = {
    "eval/sampled_accuracy": "held-out accuracy (sampled)",
    "eval/mean_length": "response length (tokens)",
    "eval/search/waits": "“wait” per response",
}


def main() -> None:
    """Mean and 95 % interval over seeds against the completions sampled so far."""
    use_style()
    runs = search_runs()
    grid = range(0, SEARCH_EQUAL + 1, SEARCH_EQUAL // 16)
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3))
    for panel, (key, title) in zip(axes, PANELS.items(), strict=True):
        bands = metric_bands(at_equal(runs, key, "num_completions", grid), key)
        for name, color in ALGORITHM_COLORS.items():
            band = bands[bands["algorithm"] == name]
            x = band["step"] / 1000
            dash = ALGORITHM_DASHES[name]
            panel.plot(x, band["estimate"], color=color, ls=dash, label=name)
            panel.fill_between(x, band["low"], band["high"], color=color, alpha=0.15)
        panel.set(xlabel="completions sampled (thousands)", title=title)
        panel.set_ylim(bottom=0)
    seeds = runs.groupby("algorithm")["seed"].nunique().min()
    axes[0].legend(title=f"{seeds} seeds each", fontsize=8)
    figure.savefig(ROOT / "docs" / "figures" / "algorithms.png")


def search_runs() -> pd.DataFrame:
    """The evaluations of the search lab's runs; the untrained policy at 0 samples."""
    runs = load_runs(SEARCH).dropna(subset=["eval/sampled_accuracy"])
    return runs.fillna({"num_completions": 0.0})


def search_rows() -> list[str]:
    """A row for each algorithm on the search lab: mean and 95 % interval over seeds."""
    runs, rows = search_runs(), []
    equal = at_equal(runs, KEY, "num_completions", [SEARCH_EQUAL])
    folders = [load_run(folder) for folder in find_runs(SEARCH)]
    for name, group in runs.groupby("algorithm"):
        last = group[group["step"] == group["step"].max()]
        same = equal[equal["algorithm"] == name]
        seconds = [f.meta["seconds"] for f in folders if f.config["algorithm"] == name]
        cells = [
            ALGORITHM_NAMES[name],
            _interval(last, KEY),
            _interval(same, KEY),
            f"{last[KEY].min():.2f}",
            _spread(last["eval/mean_length"], digits=0),
            _spread(last["eval/search/waits"], digits=1),
            f"{last['num_completions'].mean():,.0f}",
            f"{sum(seconds) / len(seconds):.0f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def pipeline_rows() -> list[str]:
    """A row for each stage of R1's pipeline in miniature: mean and 95 % interval."""
    rows = []
    for stage, group in _stages("r1_pipeline").groupby("stage", sort=False):
        spread = group["search"].nunique() > 1  # the base is one for all seeds
        cells = [
            _interval(group, key) if spread else f"{group[key].iloc[0]:.2f}"
            for key in ("search", "search-easy", "search-hard", "english")
        ]
        lengths = [_spread(group[key], digits=1) for key in ("mean_length", "waits")]
        rows.append("| " + " | ".join([str(stage), *cells, *lengths]) + " |")
    return rows


def distillation_rows() -> list[str]:
    """A row for each student: SFT on a teacher's answers, on its own, and RL."""
    stages, rows = _stages("distillation"), []
    last = stages[stages["examples"] > 1024].groupby(["student", "writer"])
    answers = {key: group.sort_values("seed")["search"] for key, group in last}
    for student in ("search-base", "search-control"):
        runs = load_runs(ROOT / "data" / "runs" / f"grpo_search_{student}_seed*")
        trained = runs[runs["step"] == runs["step"].max()]
        cells = [answers[student, "teacher"], answers[student, student], trained[KEY]]
        shown = [str(stratified_bootstrap(values).within(0, 1)) for values in cells]
        rows.append("| " + " | ".join([f"`{student}`", *shown]) + " |")
    return rows


def aha_rows() -> list[str]:
    """R1-Zero in the lab at three steps: mean and 95 % interval over seeds."""
    tables = []
    for path in sorted((EXPERIMENTS / "r1_pipeline").glob("zero_seed*.jsonl")):
        steps = reflect([path], words="search").table().query("part == 'step'")
        accuracy = pd.read_json(path, lines=True).groupby("step")["accuracy"].mean()
        tables.append(steps.assign(accuracy=steps["step"].map(accuracy)))
    runs, rows = pd.concat(tables), []
    untrained = runs.loc[runs["step"] == 0, "per_response"].mean()
    runs["growth"] = runs["per_response"] / untrained
    keys = ["accuracy", "completions/mean_length", "per_response", "growth"]
    keys += ["per_1000_tokens", "behavior/verification", "superficial"]
    for step in (0, 20, 80):
        now = runs[runs["step"] == step]
        cells = [
            _interval(now, key) if step else f"{now[key].iloc[0]:.2f}" for key in keys
        ]
        rows.append("| " + " | ".join([str(step), *cells]) + " |")
    return rows


def differences() -> list[str]:
    """The paired differences that the text of `docs/results.md` quotes."""
    arms = {
        name: load_runs(EXPERIMENTS.glob(f"length_limit/seed*/{name}"))
        for name in ("kept", "raised")
    }
    both = pd.concat(a.assign(algorithm=name) for name, a in arms.items())
    limit = paired_difference(both[both["step"] == 0], KEY, "raised", "kept")
    zero = load_runs(str(ROOT / "data" / "runs" / "grpo_addition-r1_*_seed*"))
    measured = zero.dropna(subset=[KEY])
    ends = {"after": measured["step"].max(), "before": 0}
    both = pd.concat(
        measured[measured["step"] == step].assign(algorithm=name)
        for name, step in ends.items()
    )
    learnt = paired_difference(both, KEY, "after", "before")
    return [f"+{found.interval}" for found in (limit, learnt)]


def scratch_rows() -> list[str]:
    """A row for each algorithm on the scratch task: mean ± std (ddof 1) over seeds."""
    runs, rows = load_runs(SCRATCH), []
    folders = [load_run(folder) for folder in find_runs(SCRATCH)]
    for name, group in runs.groupby("algorithm"):
        last = group[group["step"] == group["step"].max()]
        measured = group[group["eval/sampled_accuracy"].notna()]
        equal = measured[measured["num_completions"] <= EQUAL].sort_values("step")
        seconds = [f.meta["seconds"] for f in folders if f.config["algorithm"] == name]
        cells = [
            ALGORITHM_NAMES[name],
            _spread(last["rewards/accuracy_reward/mean"]),
            _spread(last["eval/sampled_accuracy"]),
            _spread(equal.groupby("seed").tail(1)["eval/sampled_accuracy"]),
            _spread(last["completions/mean_length"], digits=1),
            f"{last['num_completions'].mean():,.0f}",
            f"{sum(seconds) / len(seconds):.1f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def smollm2_rows() -> list[str]:
    """A row for each seed of GRPO on SmolLM2, before → after."""
    rows = []
    for run in map(load_run, find_runs(SMOLLM2)):
        rewards = run.metrics["reward"].dropna()
        first, last = run.metrics.iloc[0], run.metrics.iloc[-1]
        pairs = [(rewards.iloc[:3].mean(), rewards.iloc[-3:].mean())]
        for key in ("sampled_accuracy", "greedy_accuracy", "pass@8"):
            pairs.append((first[f"eval/{key}"], last[f"eval/{key}"]))
        cells = [str(run.config["seed"]), *(f"{a:.2f} → {b:.2f}" for a, b in pairs)]
        cells.append(
            f"{first['eval/mean_length']:.0f} → {last['eval/mean_length']:.0f}"
        )
        cells.append(f"{run.meta['commit'][:7]}, {run.meta['threads']}")
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def gdpo_rows() -> list[str]:
    """A row for each two arms of the search lab: differences of both rewards."""
    claims = pd.read_csv(CLAIMS)
    claims = claims[
        claims["command"].str.contains("gdpo.py", na=False) & claims["low"].notna()
    ]
    claims = claims[~claims["first"].str.match("toy|conflict|smollm2")]
    rows = []
    for arms, group in claims.groupby(["first", "second"], sort=False):
        found = group.set_index("metric")
        keys = [f"rewards/{name}_reward/mean" for name in ("accuracy", "length")]
        cells = [_difference(found.loc[k]) if k in found.index else "" for k in keys]
        rows.append(f"| `{arms[0]}` − `{arms[1]}` | {cells[0]} | {cells[1]} |")
    return rows


def reward_model_rows() -> list[str]:
    """A row for each claim on rewards for open-ended answers: the hidden gold."""
    claims = pd.read_csv(CLAIMS)
    claims = claims[claims["command"].str.contains("reward_models.py", na=False)]
    rows = []
    for _, row in claims.iterrows():
        arms = f"`{row['first']}` − `{row['second']}`"
        what = row["metric"].split("/")[1].removeprefix("only_")
        rows.append(f"| {row['claim']} | {arms} | {what} | {_difference(row)} |")
    return rows


def _difference(row: pd.Series) -> str:
    """A claim's difference, its interval and the verdict on the claim."""
    value, low, high = (
        f"{row[key]:.2f}".replace("-", "−") for key in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}], {row['verdict']}"


def _stages(experiment: str) -> pd.DataFrame:
    """The stage tables of all seeds of an experiment."""
    paths = sorted((EXPERIMENTS / experiment).glob("seed*.csv"))
    return pd.concat(map(pd.read_csv, paths))


def _interval(table: pd.DataFrame, key: str) -> str:
    """Mean and 95 % interval over seeds, a share's within [0, 1]."""
    found = stratified_bootstrap(table[key])
    return str(found.within(0, 1) if is_share(key) else found)


def _spread(values: pd.Series, digits: int = 2) -> str:
    return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"


TABLES = (
    search_rows,
    pipeline_rows,
    distillation_rows,
    aha_rows,
    differences,
    smollm2_rows,
    scratch_rows,
    gdpo_rows,
    reward_model_rows,
)

if __name__ == "__main__":
    main()
    for table in TABLES:
        print("\n".join([*table(), ""]))
