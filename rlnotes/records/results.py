"""The results table: recorded runs, one row for each algorithm, task and policy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rlnotes.records.reading import Run, load_run
from rlnotes.records.run_folders import RunPaths, find_runs

_EDGE = 5  # steps averaged at either end of a run
_LABELS = ("algorithm", "task", "policy")
_REWARDS = (f"reward, first {_EDGE}", f"reward, last {_EDGE}")
_COLUMNS = (*_LABELS, "seeds", "steps", *_REWARDS, "minutes", "commit")


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds and its sample standard deviation (ddof 1)."""

    mean: float
    std: float

    def __str__(self) -> str:
        """`0.91 ± 0.02`; one seed has no spread to show."""
        spread = "" if math.isnan(self.std) else f" ± {self.std:.2f}"
        return f"{self.mean:.2f}{spread}"


def results_table(runs: RunPaths) -> str:
    """Markdown table of the runs that `find_runs(runs)` gives, grouped over seeds.

    Rewards are means over the first and the last five steps, ± the sample standard
    deviation over seeds; minutes are the mean of a run. Raises FileNotFoundError when
    nothing matches.
    """
    groups: dict[tuple[str, ...], list[Run]] = {}
    for folder in find_runs(runs):
        run = load_run(folder)
        key = tuple(str(run.config.get(name)) for name in _LABELS)
        groups.setdefault(key, []).append(run)
    lines = [_COLUMNS, tuple("---" for _ in _COLUMNS)]
    lines += [(*key, *_summary(group)) for key, group in sorted(groups.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _summary(runs: Sequence[Run]) -> tuple[str, ...]:
    """seeds, steps, reward before and after, minutes, commits."""
    rewards = [run.metrics["reward"].dropna() for run in runs]
    minutes = statistics.mean(run.meta["seconds"] for run in runs) / 60
    steps = sorted({len(reward) for reward in rewards})
    return (
        " ".join(str(run.config.get("seed")) for run in runs),
        "–".join(str(n) for n in dict.fromkeys((steps[0], steps[-1]))),
        str(_estimate([reward.head(_EDGE).mean() for reward in rewards])),
        str(_estimate([reward.tail(_EDGE).mean() for reward in rewards])),
        f"{minutes:.1f}",
        " ".join(sorted({_commit(run) for run in runs})),
    )


def _estimate(values: Sequence[float]) -> Estimate:
    std = statistics.stdev(values) if len(values) > 1 else math.nan
    return Estimate(statistics.mean(values), std)


def _commit(run: Run) -> str:
    """Short commit; a `+` says that the code differed from it."""
    return run.meta["commit"][:7] + ("+" if run.meta["dirty"] else "")
