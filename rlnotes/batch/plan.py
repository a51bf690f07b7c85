"""Plans: which runs a sweep consists of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlnotes.records.run_folders import partial_folder, run_name, runs_folder
from rlnotes.training.config import DEFAULTS, Config, load_config


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep: its config, its folder, and the command that repeats it.

    With a `notebook`, that is what trains; the executed copy lies beside the folder.
    """

    config: Config
    folder: Path
    command: tuple[str, ...]
    notebook: Path | None = None
    how: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)
    """Parameters of the notebook that are no part of the config."""

    @property
    def log(self) -> Path:
        """What the run printed; kept where it failed."""
        return self.folder.with_name(self.folder.name + ".log")

    @property
    def step(self) -> int:
        """The last step in the record so far, 0 before the first."""
        try:
            text = (partial_folder(self.folder) / "metrics.csv").read_bytes()
            return int(text.rstrip().rsplit(b"\n", 1)[-1].split(b",")[0])
        except (OSError, ValueError):  # not there yet, or the header alone
            return 0


def parse_seeds(text: str) -> list[int]:
    """`0-2,7` as [0, 1, 2, 7]. Raises ValueError for anything else or a seed twice."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        last = last or ("" if "-" in part else first)
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise ValueError(
                f"seeds must be like 0-4, 0,2,5 or 0-2,7, got {part!r} in {text!r}"
            )
        seeds += range(int(first), int(last) + 1)
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise ValueError(f"seeds: {twice[0]} is given twice in {text!r}")
    return seeds


def plan_sweep(
    paths: Sequence[Path],
    seeds: Sequence[int],
    *,
    output: Path | None = None,
    overrides: dict[str, Any],
) -> list[SweepRun]:
    """Every config × seed as a run in `output` (default: `runs_folder()`), seed-wise.

    Raises ValueError before anything is written: for a config or override that no run
    could have, two configs whose runs would have one name, or a run that is there with
    another config. FileNotFoundError for a config file that is not there.
    """
    from rlnotes.records.partial import check_config
    from rlnotes.tasks.loading import load_task

    if "seed" in overrides:
        raise ValueError(f"seed={overrides['seed']}: a sweep's seeds come with --seeds")
    output = output or runs_folder()
    runs: dict[Path, SweepRun] = {}
    for seed in seeds:
        for path in paths:
            values = {**overrides, "seed": seed}
            config = load_config(path, **values)
            folder = output / run_name(config.to_dict())
            words = [f"{key}={json.dumps(value)}" for key, value in values.items()]
            command = ("rlnotes", "train", "--config", str(path), *words)
            if folder in runs:
                raise ValueError(
                    f"{runs[folder].command[3]} and {path} would both be"
                    f" {folder.name}; sweep them apart, each with an --output"
                )
            runs[folder] = SweepRun(config, folder, command)
            check_config(folder, config.to_dict(), DEFAULTS)
            check_config(partial_folder(folder), config.to_dict(), DEFAULTS)
            load_task(config.task)
    return list(runs.values())
