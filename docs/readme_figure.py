"""Draw the README's figure from data/runs: `python docs/readme_figure.py`."""

from pathlib import Path

import matplotlib.pyplot as plt

from rlnotes.figures import ALGORITHM_COLORS, use_style
from rlnotes.recording import load_runs

ROOT = Path(__file__).parent.parent
PANELS = {
    "eval/sampled_accuracy": "held-out accuracy (sampled)",
    "rewards/bracket_format_reward/mean": "format reward",
    "completions/mean_length": "completion length (tokens)",
}


def main() -> None:
    """Mean and range over seeds against the completions sampled so far."""
    use_style()
    runs = load_runs(str(ROOT / "data" / "runs" / "*_scratch-addition_tiny_seed*"))
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3))
    for panel, (key, title) in zip(axes, PANELS.items(), strict=True):
        for name, color in ALGORITHM_COLORS.items():
            one = runs[(runs["algorithm"] == name) & runs[key].notna()].copy()
            one["num_completions"] = one["num_completions"].fillna(0)
            steps = one.groupby("step")
            x = steps["num_completions"].mean() / 1000
            values = steps[key]
            panel.plot(x, values.mean(), color=color, label=name)
            panel.fill_between(
                x, values.min(), values.max(), color=color, alpha=0.15, lw=0
            )
        panel.set(xlabel="completions sampled (thousands)", title=title)
        panel.set_ylim(bottom=0)
    seeds = runs.groupby("algorithm")["seed"].nunique().min()
    axes[0].legend(title=f"{seeds} seeds each", fontsize=8)
    figure.savefig(ROOT / "docs" / "figures" / "algorithms.png", dpi=110)


if __name__ == "__main__":
    main()
