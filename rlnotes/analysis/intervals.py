"""Intervals of a few scores: how sure they are, and how sure they are not.

The bootstrap of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", section 4: tasks are strata, seeds are resampled within each.
Intervals are for 95 %.

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
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

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

    def within(self, low: float, high: float) -> Interval:
        """The part of it inside [low, high], the values that the mean can have.

        A share has its mean in [0, 1], so what is cut off never held it: 95 % stay.
        """
        ends = np.clip([self.low, self.high], low, high)  # NaN stays NaN
        return Interval(self.estimate, float(ends[0]), float(ends[1]), self.n)

    def __str__(self) -> str:
        """`0.81 [0.78, 0.84]`; a narrow interval gets more digits, up to six."""
        width = self.high - self.low
        digits = -math.floor(math.log10(width)) if width > 0 else 2
        digits = min(max(digits, 2), 6)
        low, high = f"{self.low:z.{digits}f}", f"{self.high:z.{digits}f}"
        return f"{self.estimate:z.{digits}f} [{low}, {high}]"


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
    of 1 %; ν is Welch's and Satterthwaite's. It is symmetric; shares: `.within(0, 1)`.
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


def mean_interval(scores: ArrayLike) -> Interval:
    """Mean of n scores with Student's interval x̄ ± t(n − 1)·s/√n; NaN for n < 2."""
    values = np.asarray(scores, dtype=float)
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < 2:
        return Interval(mean, math.nan, math.nan, n)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    half = _t_quantile(values[:, None]) * error
    return Interval(mean, mean - half, mean + half, n)


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
