"""The results table: recorded runs, one row for each algorithm, task and policy."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rlnotes.records.reading import Run, load_run
from rlnotes.records.run_folders import RunPaths, find_runs

_EDGE = 5  # steps averaged at either end of a run
_LABELS = ("algorithm", "task", "policy")
_REWARDS = (f"reward, first {_EDGE}", f"reward, last {_EDGE}")
_COLUMNS = (*_LABELS, "seeds", "steps", *_REWARDS, "minutes", "commit")


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
        _mean_and_std([reward.head(_EDGE).mean() for reward in rewards]),
        _mean_and_std([reward.tail(_EDGE).mean() for reward in rewards]),
        f"{minutes:.1f}",
        " ".join(sorted({_commit(run) for run in runs})),
    )


def _mean_and_std(values: Sequence[float]) -> str:
    """`0.91 ± 0.02`, the sample standard deviation; one seed has no spread to show."""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def _commit(run: Run) -> str:
    """Short commit; a `+` says that the code differed from it."""
    return run.meta["commit"][:7] + ("+" if run.meta["dirty"] else "")
