"""What the experiments share: the arms asked for, their runs, a record of one's own."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from rlnotes.batch.plan import SweepRun
from rlnotes.batch.sweeps import run_sweep
from rlnotes.machine.files import replace_text


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


def write_record(folder: Path, name: str, text: str, meta: dict[str, Any]) -> None:
    """`text` as `name`, and `meta.json` beside it, each written whole."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / name, text)
    replace_text(folder / "meta.json", json.dumps(meta, indent=1) + "\n")
