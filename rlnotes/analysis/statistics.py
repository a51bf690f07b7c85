"""Intervals over seeds: what a few runs say about an algorithm, and what they do not.

    finals = final_scores(load_runs("data/runs"), "reward", last=5)   one row a run
    score_intervals(finals, "reward")                                 one row a group
    paired_difference(finals, "reward", "dapo", "grpo")               same seeds only
    metric_bands(load_runs("data/runs"), "reward")                    one row a step
    at_equal(runs, "reward", "num_completions", [0, 1000])            equal samples

The bootstrap of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", section 4: tasks are strata, seeds are resampled within each.
Intervals are for 95 %. The same table gives the same interval, in any order of rows.

How often a nominal 95 % interval held the true value, 4,000 samples each (± .01;
`python scripts/coverage.py`):

    seeds, scores                   t (default)   percentile
     3, normal                          .95          .75
     5, normal                          .95          .85
    10, normal                          .95          .90
     5, normal, interquartile mean      .97          .89
     5 on each of 3 tasks, normal       .96          .89
     5, exponential                     .87          .78
     5, one run in five fails           .67          .64

Resampling n seeds shrinks the spread by √((n − 1)/n) and cannot leave the range that
they span, which at n = 5 holds a median in only 1 − 2·2⁻⁵ = 94 % of samples. Hence the
default is Student's t with the bootstrap's standard error; `percentile`, the paper's
choice for many tasks and runs, is there for comparison. No method repairs five seeds.
They tell a gap well above their spread from none; they do not show a failure that
spares all five (the last row: 33 % of samples), and skewed scores undercover. Five
equal scores give an interval of no width, which is no certainty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

_STRATA = ("algorithm", "task", "policy")
_METHODS = ("t", "percentile")
_LEVEL = 0.95
_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval, in the unit of the scores."""

    estimate: float
    low: float
    high: float
    n: int
    """Scores that went in: seeds × strata."""

    def __str__(self) -> str:
        """`0.81 [0.78, 0.84]`; a narrow interval gets more digits, up to six."""
        width = self.high - self.low
        digits = -math.floor(math.log10(width)) if width > 0 else 2
        digits = min(max(digits, 2), 6)
        low, high = f"{self.low:.{digits}f}", f"{self.high:.{digits}f}"
        return f"{self.estimate:.{digits}f} [{low}, {high}]"


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


def interquartile_mean(scores: ArrayLike, axis: int | None = None) -> Any:
    """Mean along `axis` without the ⌊n/4⌋ lowest and the ⌊n/4⌋ highest of n scores.

    What rliable computes (a trimmed mean of 25 %); the plain mean below four scores.
    Raises ValueError for no scores and for NaN, which would be trimmed unseen.
    """
    values = np.asarray(scores, dtype=float)
    if values.size == 0 or np.isnan(values).any():
        raise ValueError(
            f"scores must be there and not NaN, got {np.isnan(values).sum()} NaN"
            f" in shape {values.shape}"
        )
    ordered = np.sort(values, axis)
    ordered = np.moveaxis(ordered, 0 if axis is None else axis, -1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(-1)


def stratified_bootstrap(
    scores: ArrayLike,
    statistic: Callable[..., Any] = np.mean,
    *,
    method: str = "t",
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """95 % interval of `statistic(scores, axis)`, scores (seeds,) or (seeds, tasks).

    With x*_b seeds drawn with replacement within each task, θ* = θ(x*) and K tasks:

        t            θ ± t(ν)·√(n/(n − 1))·std(θ*),  ν = (n − 1)·(Σσ²_k)² / Σσ⁴_k
        percentile   2.5th and 97.5th percentile of θ*

    For the mean of one task the first is Student's interval, up to the resampling noise
    of 1 %; ν is Welch's and Satterthwaite's. It is symmetric and may leave [0, 1].
    Raises ValueError for fewer than two seeds (one seed has no spread to show), scores
    that are not finite, an unknown method, or fewer than 100 resamples.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {list(_METHODS)}, got {method!r}")
    if resamples < 100:
        raise ValueError(f"resamples must be 100 or more, got {resamples!r}")
    table = _seeds_by_tasks(scores)
    estimate = float(statistic(table.ravel(), -1))
    resampled = _resample(table, statistic, resamples, seed)
    if method == "percentile":
        low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    else:
        half = _t_quantile(table) * _standard_error(resampled, len(table))
        low, high = estimate - half, estimate + half
    return Interval(estimate, float(low), float(high), table.size)


def final_scores(runs: pd.DataFrame, metric: str, *, last: int = 5) -> pd.DataFrame:
    """One score a run: the mean of the last `last` values that it logged of `metric`.

    `runs` is `recording.load_runs`' table; what comes back has its label columns and
    `metric`, one row a run. Raises ValueError for a column that is missing, `last`
    below 1, two runs of one name, or a run that logged fewer values than `last`.
    """
    labels = ["run", *_STRATA, "seed"]
    _check_columns("runs", runs, [*labels, "step", metric])
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
    _check_columns("scores", scores, [*by, *labels, metric])
    _check_unique("scores", scores, list(dict.fromkeys([*by, *labels])))
    rows = []
    for key, group in scores.sort_values("seed").groupby(by, dropna=False):
        interval = _group_interval(_matrix(group, metric), statistic)
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
    _check_columns("runs", runs, ["step", metric])
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
    _check_columns("runs", runs, [*labels, metric, x])
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
    _check_columns("scores", scores, ["algorithm", *pairs, metric])
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


def _seeds_by_tasks(scores: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(scores, dtype=float)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) < 2 or table.shape[1] < 1:
        raise ValueError(
            "scores must have shape (seeds,) or (seeds, tasks) with two seeds or more,"
            f" got {np.shape(scores)}"
        )
    if not np.isfinite(table).all():
        raise ValueError(
            f"scores must be finite, got {np.sum(~np.isfinite(table))} that are not"
        )
    return table


def _resample(
    table: NDArray[np.float64], statistic: Callable[..., Any], resamples: int, seed: int
) -> NDArray[np.float64]:
    """θ* (resamples,): rows drawn with replacement, for each column by itself."""
    seeds, tasks = table.shape
    rng = np.random.default_rng(seed)
    rows = rng.integers(seeds, size=(resamples, seeds, tasks))
    drawn = table[rows, np.arange(tasks)]
    return statistic(drawn.reshape(resamples, -1), -1)


def _standard_error(resampled: NDArray[np.float64], seeds: int) -> float:
    """Drawing n of n has the variance of ddof 0; √(n/(n − 1)) makes it that of 1."""
    return float(resampled.std() * math.sqrt(seeds / (seeds - 1)))


def _t_quantile(table: NDArray[np.float64]) -> float:
    """97.5 % quantile of Student's t with Satterthwaite's degrees of freedom ν.

    t = √ν·tan φ has P(|t| ≤ √ν·tan φ) ∝ ∫₀^φ cos^(ν − 1): no need for scipy.
    """
    variances = table.var(axis=0, ddof=1)
    shares = variances / variances.sum() if variances.sum() > 0 else np.ones(1)
    freedom = (len(table) - 1) / np.square(shares).sum()
    angles = np.linspace(0, math.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    mass = np.cumsum(density[1:] + density[:-1])
    angle = np.interp(_LEVEL, mass / mass[-1], angles[1:])
    return math.sqrt(freedom) * math.tan(angle)


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
        raise ValueError(f"scores has no algorithm {name!r}, it has {known}")
    return rows


def _check_columns(name: str, table: pd.DataFrame, columns: list[str]) -> None:
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(
            f"{name} must have the columns {missing}, got {list(table.columns)}"
        )


def _check_unique(name: str, table: pd.DataFrame, keys: list[str]) -> None:
    twice = table[table.duplicated(keys)]
    if len(twice):
        raise ValueError(
            f"{name} must have one row for each of {keys},"
            f" got two for {tuple(twice[keys].to_numpy(object)[0])}"
        )


def wilson_interval(hits: int, n: int) -> Interval:
    """Share hits/n with Wilson's 95 % score interval; NaN for n = 0.

    (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n): inside [0, 1], and of some
    width even where all n agree. Raises ValueError unless 0 ≤ hits ≤ n.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"hits must be from 0 to n = {n}, got {hits}")
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    p, z2 = hits / n, _Z * _Z / n
    middle, half = p + z2 / 2, _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n))
    low, high = (middle - half) / (1 + z2), (middle + half) / (1 + z2)
    return Interval(p, max(min(low, p), 0.0), min(max(high, p), 1.0), n)
