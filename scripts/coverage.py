"""How often 95 % intervals hold the truth: the table in `analysis/intervals.py`.

python scripts/coverage.py     (some two minutes; 4,000 samples a row, seed 1)
"""

from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from rlnotes.analysis.intervals import interquartile_mean, stratified_bootstrap

SAMPLES = 4000
rng = np.random.default_rng(1)


def normal(shape: tuple[int, int]) -> np.ndarray:
    """Scores with mean 0."""
    return rng.normal(size=shape)


def exponential(shape: tuple[int, int]) -> np.ndarray:
    """Skewed scores with mean 1."""
    return rng.exponential(size=shape)


def failing(shape: tuple[int, int]) -> np.ndarray:
    """0.8, or 0.1 for one run in five: mean 0.66."""
    good = np.where(rng.random(shape) < 0.2, 0.1, 0.8)
    return good + 0.05 * rng.normal(size=shape)


ROWS: dict[str, tuple[Callable[..., np.ndarray], int, int, Callable, float]] = {
    "3, normal": (normal, 3, 1, np.mean, 0.0),
    "5, normal": (normal, 5, 1, np.mean, 0.0),
    "10, normal": (normal, 10, 1, np.mean, 0.0),
    "5, normal, interquartile mean": (normal, 5, 1, interquartile_mean, 0.0),
    "5 on each of 3 tasks, normal": (normal, 5, 3, np.mean, 0.0),
    "5, exponential": (exponential, 5, 1, np.mean, 1.0),
    "5, one run in five fails": (failing, 5, 1, np.mean, 0.66),
}


def coverage(name: str, method: str) -> float:
    """Share of samples whose interval holds the true value."""
    draw, seeds, tasks, statistic, truth = ROWS[name]
    held = 0
    for _ in range(SAMPLES):
        interval = stratified_bootstrap(
            draw((seeds, tasks)), statistic, method=method, resamples=2000
        )
        held += interval.low <= truth <= interval.high
    return held / SAMPLES


if __name__ == "__main__":
    for name in tqdm(ROWS):
        t, percentile = coverage(name, "t"), coverage(name, "percentile")
        tqdm.write(f"{name:32} {t:.2f} {percentile:.2f}")
