"""Recorded runs read back: one whole, or many in one table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlnotes.machine.files import read_mapping
from rlnotes.records.rows import read_meta, read_metrics, read_samples
from rlnotes.records.run_folders import (
    NAME_PARTS,
    RUN_FILES,
    RunPaths,
    find_runs,
    partial_folder,
)

if TYPE_CHECKING:
    import pandas as pd

_LABELS = ("run", *NAME_PARTS)


@dataclass(frozen=True)
class Run:
    """A recorded run as it stands on the disk."""

    name: str
    """Name of the folder."""
    metrics: pd.DataFrame
    """One row per step; TRL's log keys; NaN where a step did not log a key."""
    config: dict[str, Any]
    meta: dict[str, Any]
    samples: list[dict[str, Any]]


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Read a run folder; a half-written last line of an interrupted run is left out.

    Raises FileNotFoundError when the folder or one of its files is missing, ValueError
    when one of them is damaged.
    """
    import pandas as pd

    folder = Path(folder)
    missing = [name for name in RUN_FILES if not (folder / name).is_file()]
    if missing:
        partial = partial_folder(folder)
        hint = f"; an interrupted run is in {partial}" if partial.is_dir() else ""
        raise FileNotFoundError(f"run folder {folder} has no {missing[0]}{hint}")
    columns, rows = read_metrics(folder / "metrics.csv")
    return Run(
        name=folder.name,
        metrics=pd.DataFrame(rows, columns=columns),
        config=read_mapping(folder / "config.yaml"),
        meta=read_meta(folder / "meta.json"),
        samples=[one for _, one in read_samples(folder / "samples.jsonl")],
    )


def load_runs(runs: RunPaths) -> pd.DataFrame:
    """Runs in one table: run, algorithm, task, policy, seed, then step and the metrics.

    `runs` is a folder, a glob pattern (`data/runs/grpo_*`), a folder of run folders, or
    an iterable of them; a relative one starts at the working directory. Interrupted
    (`.partial`) folders come in only when they are named in full. Raises
    FileNotFoundError when nothing matches.
    """
    import pandas as pd

    return pd.concat(
        [_labelled(load_run(f)) for f in find_runs(runs)], ignore_index=True
    )


def load_arms(folder: str | os.PathLike[str], *arms: str) -> pd.DataFrame:
    """Arms of an experiment, `folder/<arm>/seed<k>`; `algorithm` is the arm's name.

    Of the seeds, those that all the arms have: what is compared is compared in pairs.
    `response_entropy` is the entropy of a whole response in nats, the mean entropy of a
    token times the mean length: a mean over tokens alone rises when cheap tokens go.
    Raises FileNotFoundError for an arm without runs, ValueError without a common seed.
    """
    import pandas as pd

    parts = []
    for arm in arms:
        runs = load_runs(str(Path(folder) / arm / "seed*"))
        parts.append(runs.assign(algorithm=arm, run=arm + "/" + runs["run"]))
    common = set.intersection(*(set(part["seed"]) for part in parts))
    if not common:
        raise ValueError(f"arms {', '.join(arms)} in {folder} have no seed in common")
    runs = pd.concat(parts, ignore_index=True)
    runs = runs[runs["seed"].isin(common)].reset_index(drop=True)
    return runs.assign(
        response_entropy=runs["entropy"] * runs["completions/mean_length"]
    )


def _labelled(run: Run) -> pd.DataFrame:
    """The run's metrics with the columns that tell it from others in front."""
    config = {"run": run.name, **run.config}
    labels = {key: config.get(key) for key in _LABELS}
    return run.metrics.assign(**labels)[[*labels, *run.metrics.columns]]
