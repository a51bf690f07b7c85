"""TIME LEFT: the committed seconds of each notebook, at the pace of this run.

`notebooks/seconds.json` names the machine that its seconds were measured on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

PRIOR = 60.0
"""Committed seconds that the first guess weighs as much as: the first notebook reads
every package from a cold disk, which does not make the machine a slow one."""


def committed_seconds(folder: Path) -> dict[str, float]:
    """Notebook → seconds, as `folder/seconds.json` has them; {} without the file."""
    path = folder / "seconds.json"
    if not path.is_file():
        return {}
    return dict(json.loads(path.read_text(encoding="utf-8"))["seconds"])


def pace(
    committed: Mapping[str, float], measured: Mapping[str, float], *, speed: float = 1.0
) -> float:
    """Seconds here over committed ones: (P / speed + Σ measured) / (P + Σ committed).

    The sums go over the notebooks of `measured` that are committed, P is `PRIOR`.
    `speed` is how many times as fast as the machine of the file this one is held to be
    before anything is measured. Raises ValueError unless it is positive.
    """
    if not speed > 0:
        raise ValueError(f"speed must be > 0, got {speed}")
    done = [name for name in measured if name in committed]
    here, there = (sum(x[name] for name in done) for x in (measured, committed))
    return (PRIOR / speed + here) / (PRIOR + there)


def time_left(names: Sequence[str], committed: Mapping[str, float], now: float) -> str:
    """`, about 1 min; 12 min left`: for the first of `names`, and for all of them.

    What is not committed is left out, and "at least" says so; "" if nothing is known.
    """
    known = [committed[name] * now for name in names if name in committed]
    if not known:
        return ""
    own = f", about {_minutes(known[0])}" if names[0] in committed else ""
    least = "at least " if len(known) < len(names) else ""
    return f"{own}; {least}{_minutes(sum(known))} left"


def _minutes(seconds: float) -> str:
    return f"{math.ceil(seconds / 60)} min"
