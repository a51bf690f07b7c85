"""FIGURE: every picture of the notebooks, drawn from a table of metrics.

A table is what `train` returns or `reading.load_runs` reads, and TRL's
`log_history` fits as well: the columns are TRL's log keys.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rlnotes.analysis.intervals import mean_interval
from rlnotes.analysis.log_keys import in_words
from rlnotes.analysis.statistics import check_columns, is_share

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One color and dash per algorithm in every figure; Okabe and Ito's colors tell apart
# for all.
ALGORITHM_COLORS = {
    "ppo": "#999999",
    "grpo": "#0072B2",
    "dr_grpo": "#CC79A7",
    "dapo": "#D55E00",
    "gdpo": "#009E73",
}
ALGORITHM_NAMES = {
    "ppo": "PPO",
    "grpo": "GRPO",
    "dr_grpo": "Dr. GRPO",
    "dapo": "DAPO",
    "gdpo": "GDPO",
}
ALGORITHM_DASHES = {"ppo": ":", "grpo": "-", "dr_grpo": "--", "dapo": "-.", "gdpo": "-"}
OKABE_ITO = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#999999",
]
POSITIVE, NEGATIVE = "#0072B2", "#D55E00"
RATES = ("reward", "rewards/", "clip_ratio", "frac_", "clipped_ratio", "accuracy")


def use_style() -> None:
    """Set matplotlib's defaults for the notebooks: small, light, no chart junk.

    In a notebook figures are shown in it, also where MPLBACKEND=Agg came with the
    environment: an executed copy would have none.
    """
    import matplotlib.pyplot as plt

    if hasattr(builtins, "get_ipython") and plt.get_backend().lower() == "agg":
        shell = builtins.get_ipython()
        if hasattr(shell, "kernel"):
            shell.run_line_magic("matplotlib", "inline")
    plt.rcParams.update(
        {
            "figure.dpi": 120,
            "savefig.dpi": 120,
            "axes.prop_cycle": plt.cycler(color=OKABE_ITO),
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "legend.frameon": False,
            "font.size": 10,
        }
    )


def plot_surrogate(
    *, epsilon: float = 0.2, epsilon_high: float | None = None
) -> Figure:
    """The clipped surrogate against the ratio and its slope, for Â = +1 and Â = −1.

    J(ρ) = min(ρ·Â, clip(ρ, 1 − ε, 1 + ε_high)·Â); PPO Figure 1, DAPO Eq 10. The slope
    is autograd's, not a formula of this file.
    """
    import matplotlib.pyplot as plt
    import torch

    from rlnotes.equations.surrogates import clipped_surrogate_loss

    figure, (value_axes, slope_axes) = plt.subplots(1, 2, figsize=(8, 3))
    for advantage, color in ((1.0, POSITIVE), (-1.0, NEGATIVE)):
        ratio = torch.linspace(0.0, 2.0, 801, requires_grad=True)
        loss = clipped_surrogate_loss(
            ratio[:, None],
            torch.full((801,), advantage),
            epsilon=epsilon,
            epsilon_high=epsilon_high,
        )
        (slope,) = torch.autograd.grad(-loss.sum(), ratio)
        x, label = ratio.detach().numpy(), f"Â = {advantage:+.0f}"
        value_axes.plot(x, -loss.detach().squeeze(1).numpy(), color=color, label=label)
        slope_axes.plot(x, slope.numpy(), color=color, label=label)
    high = epsilon if epsilon_high is None else epsilon_high
    for axes, name in ((value_axes, "objective J"), (slope_axes, "slope dJ/dρ")):
        axes.axvspan(1 - epsilon, 1 + high, color="black", alpha=0.06)
        axes.axvline(1, color="black", lw=0.8, ls=":")
        axes.set(xlabel="ratio ρ", ylabel=name)
    value_axes.legend()
    return figure


def plot_group(
    rewards: Sequence[float], advantages: Mapping[str, Sequence[float]]
) -> Figure:
    """A group's rewards beside the advantages that several rules make of them."""
    import matplotlib.pyplot as plt

    names = ["reward", *advantages]
    series = [rewards, *advantages.values()]
    figure, all_axes = plt.subplots(
        1, len(names), figsize=(2.6 * len(names), 2.6), squeeze=False
    )
    for axes, name, values in zip(all_axes[0], names, series, strict=True):
        colors = [POSITIVE if v >= 0 else NEGATIVE for v in values]
        axes.bar([f"o{i + 1}" for i in range(len(values))], values, color=colors)
        axes.axhline(0, color="black", lw=0.8)
        axes.set_title(name)
        for i, value in enumerate(values):
            above = "bottom" if value >= 0 else "top"
            axes.text(i, value, f"{value:.2f}", ha="center", va=above, fontsize=8)
        axes.margins(y=0.2)
    return figure


def plot_run(
    metrics: pd.DataFrame, keys: Sequence[str], *, columns: int = 3, title: str = ""
) -> Figure:
    """Small multiples of one run's metrics over steps; ValueError for unknown keys."""
    check_columns("metrics", metrics, ["step", *keys])
    figure, axes = _panels(len(keys), columns)
    for panel, key in zip(axes, keys, strict=True):
        series = metrics[["step", key]].dropna()
        marker = "o" if len(series) < 12 else None
        panel.plot(series["step"], series[key], color=POSITIVE, marker=marker, ms=4)
        _label(panel, key)
    if title:
        figure.suptitle(title)
    return figure


def plot_bands(
    runs: pd.DataFrame,
    keys: Sequence[str],
    *,
    by: str = "algorithm",
    columns: int = 3,
    x: str = "step",
    smooth: int = 1,
    colors: Mapping[str, str] = ALGORITHM_COLORS,
) -> Figure:
    """Mean over seeds with Student's 95 % interval at every step, a color per `by`.

    `runs` is `reading.load_runs(...)`, or `statistics.at_equal(...)` with its key as
    `x`. `smooth` averages that many rows of each run and is written on the axis. A
    share's band stays in [0, 1]. Seeds are counted in the legend, below the panels: one
    seed has no band. Raises ValueError for an unknown key.
    """
    check_columns("runs", runs, [by, "seed", "step", *keys])
    figure, axes = _panels(len(keys), columns)
    for panel, key in zip(axes, keys, strict=True):
        for name, group in runs.dropna(subset=[key]).groupby(by, sort=False):
            table = group.pivot(index="step", columns="seed", values=key)
            table = table.rolling(smooth, min_periods=1).mean()
            shown = ALGORITHM_NAMES.get(str(name), str(name))
            label = f"{shown} ({table.shape[1]} seeds)"
            _band(panel, label, str(name), colors, table, is_share(key))
        _label(panel, key)
        along = x if x == "step" else in_words(x)[0]
        panel.set_xlabel(f"{along} (mean of {smooth})" if smooth > 1 else along)
    lines, names = axes[0].get_legend_handles_labels()
    width, height = figure.get_size_inches()
    across = int(width / 1.55)  # names of 8 points
    figure.set_figheight(height + 0.2 * -(-len(names) // across))
    figure.legend(lines, names, loc="outside lower center", ncols=across, fontsize=8)
    return figure


def plot_before_after(
    before: Mapping[str, float], after: Mapping[str, float], *, ylabel: str = "accuracy"
) -> Figure:
    """Paired bars of the same quantities before and after training."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(1.4 * len(before) + 2, 3))
    x = np.arange(len(before))
    for offset, values, label, color in (
        (-0.2, before, "before", "#999999"),
        (0.2, after, "after", POSITIVE),
    ):
        bars = axes.bar(x + offset, list(values.values()), 0.38, color=color)
        bars.set_label(label)
        axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.set_xticks(x, list(before))
    axes.set_ylabel(ylabel)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def samples_table(samples: Iterable[Mapping[str, Any]], *, width: int = 60) -> Any:
    """Recorded samples as a pandas table, texts on one line and cut to `width`."""
    import pandas as pd

    rows = []
    for sample in samples:
        prompt = sample["prompt"]
        question = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        text = " ".join(str(sample["completion"]).split())
        rows.append(
            {
                "question": question,
                "completion": text if len(text) <= width else text[: width - 1] + "…",
                "length": sample["length"],
                **sample["rewards"],
                "advantage": round(sample["advantage"], 2),
            }
        )
    return pd.DataFrame(rows)


def _panels(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    import matplotlib.pyplot as plt

    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(3.2 * columns, 2.4 * rows),
        squeeze=False,
        layout="constrained",  # what leaves room for a legend outside
    )
    flat = list(axes.flat)
    for empty in flat[count:]:
        empty.remove()
    return figure, flat[:count]


def _band(
    axes: Axes,
    label: str,
    name: str,
    colors: Mapping[str, str],
    table: pd.DataFrame,
    share: bool,
) -> None:
    """The mean over the columns of `table` and its interval at each row."""
    found = [mean_interval(row[~np.isnan(row)]) for row in table.to_numpy()]
    found = [one.within(0, 1) for one in found] if share else found
    line = [one.estimate for one in found]
    color, dash = colors.get(name), ALGORITHM_DASHES.get(name, "-")
    (drawn,) = axes.plot(table.index, line, dash, color=color, label=label)
    low, high = [one.low for one in found], [one.high for one in found]
    axes.fill_between(table.index, low, high, color=drawn.get_color(), alpha=0.15, lw=0)


def _label(axes: Axes, key: str) -> None:
    """Say what a log key is, the key itself small below; a rate starts at zero."""
    words, unit = in_words(key)
    axes.set(xlabel="step", ylabel=unit)
    axes.set_title(words, fontsize=9, pad=12)
    if words != key:
        small = axes.text(0.5, 1.02, key, transform=axes.transAxes, ha="center")
        small.set(family="monospace", fontsize=6.5, color="#777777")
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    lowest = min((np.nanmin(line) for line in lines if len(line)), default=-1.0)
    if lowest >= 0 and any(part in key for part in RATES):
        axes.set_ylim(0, max(axes.get_ylim()[1], 1e-3))
