"""What the experiments with arms share: which arms are asked for, and their runs."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence

from rlnotes.batch.plan import SweepRun
from rlnotes.batch.sweeps import run_sweep


def chosen_arms(
    parser: argparse.ArgumentParser, text: str | None, known: Collection[str]
) -> list[str]:
    """`a,b` as a list, None as all; an arm that is not known ends the program."""
    arms = text.split(",") if text else list(known)
    for arm in arms:
        if arm not in known:
            parser.error(f"--arms: expected some of {', '.join(known)}, got {arm!r}")
    return arms


def run_arms(runs: Sequence[SweepRun], jobs: int | None) -> bool:
    """Run what is not there; print what failed; whether all went well."""
    failed = run_sweep(runs, jobs=jobs)
    for name, error in failed.items():
        print(f"{name}: {error}")
    return not failed
