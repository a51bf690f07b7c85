"""Intervals over seeds: what a few runs say about an algorithm, and what they do not.

    finals = final_scores(load_runs("data/runs"), "reward", last=5)   one row a run
    score_intervals(finals, "reward")                                 one row a group
    paired_difference(finals, "reward", "dapo", "grpo")               same seeds only
    metric_bands(load_runs("data/runs"), "reward")                    one row a step
    at_equal(runs, "reward", "num_completions", [0, 1000])            equal samples

Intervals are for 95 % (`intervals`), those of shares cut to [0, 1]. The same table
gives the same interval, in any order of rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rlnotes.analysis.intervals import Interval, stratified_bootstrap
from rlnotes.equations.names import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_STRATA = ("algorithm", "task", "policy")
_SHARES = re.compile(
    r"accuracy|(pass|maj|avg)@|frac_|clip_ratio|clipped_ratio|terminated|superficial"
    r"|repeated|retried|hits_recognized|arithmetic|behavior/|english|readable|short$"
    r"|format_reward/mean|language_consistency|^share$|^search(-easy|-hard)?$"
)


@dataclass(frozen=True)
class PairedDifference:
    """Scores of `first` minus those of `second`, each pair on the same seed."""

    first: str
    second: str
    interval: Interval
    """Mean difference; its n is the number of pairs."""
    first_higher: int
    """Pairs in which `first` scored higher; the rest of n are ties."""
    second_higher: int

    def __str__(self) -> str:
        """`dapo − grpo: 0.05 [0.01, 0.09], 5 pairs: 4 higher, 1 lower`."""
        return (
            f"{self.first} − {self.second}: {self.interval}, {self.interval.n} pairs:"
            f" {self.first_higher} higher, {self.second_higher} lower"
        )


def is_share(metric: str) -> bool:
    """Whether a metric is a share by its name, so that its mean lies in [0, 1]."""
    return _SHARES.search(metric) is not None


def final_scores(runs: pd.DataFrame, metric: str, *, last: int = 5) -> pd.DataFrame:
    """One score a run: the mean of the last `last` values that it logged of `metric`.

    `runs` is `reading.load_runs`' table; what comes back has its label columns and
    `metric`, one row a run. Raises ValueError for a column that is missing, `last`
    below 1, two runs of one name, or a run that logged fewer values than `last`.
    """
    labels = ["run", *_STRATA, "seed"]
    check_columns("runs", runs, [*labels, "step", metric])
    if last < 1:
        raise ValueError(f"last must be 1 or more, got {last!r}")
    _check_unique("runs", runs, ["run", "step"])
    counts = runs.groupby("run")[metric].count()
    short = counts[counts < last]
    if len(short):
        raise ValueError(
            f"last={last} but run {short.index[0]!r} logged {metric!r}"
            f" {short.iloc[0]} times"
        )
    tails = runs.dropna(subset=[metric]).sort_values("step").groupby("run").tail(last)
    return tails.groupby(labels, dropna=False)[[metric]].mean().reset_index()


def score_intervals(
    scores: pd.DataFrame,
    metric: str,
    *,
    by: Sequence[str] = _STRATA,
    statistic: Callable[..., Any] = np.mean,
) -> pd.DataFrame:
    """A tidy table, one row a group: the columns of `by`, estimate, low, high, n.

    Algorithm, task or policy that `by` leaves out are strata, and count the same. A
    group of one score has no interval: low and high are NaN. Raises ValueError for a
    missing column, NaN, two rows of one seed, or strata of different numbers of seeds.
    """
    import pandas as pd

    by, labels = list(by), [*_STRATA, "seed"]
    if not by:
        raise ValueError("by must name one column or more, got none")
    check_columns("scores", scores, [*by, *labels, metric])
    _check_unique("scores", scores, list(dict.fromkeys([*by, *labels])))
    rows = []
    for key, group in scores.sort_values("seed").groupby(by, dropna=False):
        interval = _group_interval(_matrix(group, metric), statistic)
        if is_share(metric):
            interval = interval.within(0, 1)
        rows.append((*key, *astuple(interval)))
    return pd.DataFrame(rows, columns=[*by, "estimate", "low", "high", "n"])


def metric_bands(
    runs: pd.DataFrame,
    metric: str,
    *,
    by: Sequence[str] = _STRATA,
    statistic: Callable[..., Any] = np.mean,
) -> pd.DataFrame:
    """`score_intervals` at every step: by, step, estimate, low, high, n; for a band.

    Steps that did not log `metric` are left out. n falls where a run ended early: from
    there on the line is about fewer runs. Each step has 95 % of its own, so a curve
    leaves its band at some step more often than one time in twenty. Raises as
    `score_intervals` does.
    """
    check_columns("runs", runs, ["step", metric])
    logged = runs.dropna(subset=[metric])
    return score_intervals(logged, metric, by=[*by, "step"], statistic=statistic)


def at_equal(runs: pd.DataFrame, metric: str, x: str, grid: Sequence[float]) -> Any:
    """The runs read off at the same values of `x`: a table whose step is `grid`.

    Each run's `metric` over its own `x` (say `num_completions`, which differs where
    dynamic sampling draws more), linear between logged values. For `metric_bands` and
    `final_scores`. Raises ValueError when a run does not reach the end of the grid.
    """
    import pandas as pd

    labels = ["run", *_STRATA, "seed"]
    check_columns("runs", runs, [*labels, metric, x])
    parts = []
    for key, run in runs.dropna(subset=[metric, x]).groupby(labels, dropna=False):
        at = run[x].to_numpy()
        if at.max() < max(grid) or at.min() > min(grid):
            raise ValueError(
                f"grid: {min(grid)} to {max(grid)} is not within {x!r} of run"
                f" {key[0]!r}, {at.min():g} to {at.max():g}"
            )
        order = at.argsort()
        values = np.interp(grid, at[order], run[metric].to_numpy()[order])
        shared = dict(zip(labels, key, strict=True))
        parts.append(pd.DataFrame({**shared, "step": list(grid), metric: values}))
    return pd.concat(parts, ignore_index=True)


def paired_difference(
    scores: pd.DataFrame, metric: str, first: str, second: str
) -> PairedDifference:
    """Mean of `first` minus `second` over the pairs of one task, policy and seed.

    `scores` is `final_scores`' table; `first` and `second` are its algorithms. Pairing
    takes out what a seed does to both, questions and start, so the interval is narrower
    than two separate ones where they have that in common. Counts alone settle little:
    without any difference, one of two wins on all of 5 seeds in 1 of 16 cases. Raises
    ValueError when an algorithm has no scores or a seed has no partner.
    """
    pairs = ["task", "policy", "seed"]
    check_columns("scores", scores, ["algorithm", *pairs, metric])
    _check_unique("scores", scores, ["algorithm", *pairs])
    sides = [_side(scores, name, [*pairs, metric]) for name in (first, second)]
    both = sides[0].merge(sides[1], on=pairs, how="outer", indicator="side")
    alone = both[both["side"] != "both"]
    if len(alone):
        raise ValueError(
            f"scores: {first!r} and {second!r} must have the same seeds, without a"
            f" partner: {[tuple(row) for row in alone[pairs].to_numpy(object)]}"
        )
    both["difference"] = both[f"{metric}_x"] - both[f"{metric}_y"]
    matrix = _matrix(both.sort_values("seed"), "difference")
    return PairedDifference(
        first,
        second,
        stratified_bootstrap(matrix),
        first_higher=int((matrix > 0).sum()),
        second_higher=int((matrix < 0).sum()),
    )


def _group_interval(
    matrix: NDArray[np.float64], statistic: Callable[..., Any]
) -> Interval:
    if len(matrix) > 1:
        return stratified_bootstrap(matrix, statistic)
    estimate = float(statistic(matrix.ravel(), -1))
    return Interval(estimate, math.nan, math.nan, matrix.size)


def _matrix(table: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """Scores (seeds, strata), seeds in the order of the rows."""
    strata = [name for name in _STRATA if name in table]
    columns = {
        key: x.to_numpy() for key, x in table.groupby(strata, dropna=False)[metric]
    }
    sizes = {key: len(x) for key, x in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"scores must have the same number of seeds in all strata, got {sizes}"
        )
    return np.stack(list(columns.values()), axis=1)


def _side(scores: pd.DataFrame, name: str, columns: list[str]) -> pd.DataFrame:
    rows = scores.loc[scores["algorithm"] == name, columns]
    if rows.empty:
        known = sorted(scores["algorithm"].dropna().unique())
        hint = did_you_mean(name, known)
        raise ValueError(f"scores has no algorithm {name!r}, it has {known}{hint}")
    return rows


def check_columns(name: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise ValueError unless `table` has all of `columns`."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(
            f"{name} must have the columns {missing}, got {list(table.columns)}"
            f"{did_you_mean(missing[0], table.columns)}"
        )


def _check_unique(name: str, table: pd.DataFrame, keys: list[str]) -> None:
    twice = table[table.duplicated(keys)]
    if len(twice):
        raise ValueError(
            f"{name} must have one row for each of {keys},"
            f" got two for {tuple(twice[keys].to_numpy(object)[0])}"
        )
