"""TIME LEFT: the seconds in `notebooks/seconds.json`, at the pace of this machine."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PRIOR = 60.0
"""Seconds that the first guess counts for: a cold disk is not yet a slow machine."""
_RATE = "from rlnotes.machine.rates import product_rates as r; print(r()['float32'])"


def speed_here(folder: Path) -> float:
    """How many times as fast as the machine of `folder/seconds.json` this one is.

    The ratio of measured float32 products: two kinds of CPU that differ by 2 in it
    differed by 2.1 in all notebooks together. Measured in a process of its own, whose
    memory is gone afterwards; 1 where the file is missing or names no rate.
    """
    path = folder / "seconds.json"
    text = path.read_text(encoding="utf-8") if path.is_file() else "{}"
    there = json.loads(text).get("float32_gflops")
    if there is None:
        return 1.0
    done = subprocess.run(
        [sys.executable, "-c", _RATE], capture_output=True, text=True, check=True
    )
    return float(done.stdout) / float(there)


def committed_seconds(folder: Path) -> dict[str, float]:
    """Notebook → seconds, as `folder/seconds.json` has them; {} without the file."""
    path = folder / "seconds.json"
    text = path.read_text(encoding="utf-8") if path.is_file() else '{"seconds": {}}'
    return dict(json.loads(text)["seconds"])


def pace(
    committed: Mapping[str, float], measured: Mapping[str, float], *, speed: float = 1.0
) -> float:
    """Seconds here over committed ones: (P / speed + Σ measured) / (P + Σ committed).

    The sums go over the notebooks of `measured`, P is `PRIOR`; `speed`: how many times
    as fast as the file's machine this one is held to be before anything is measured.
    """
    if not speed > 0:
        raise ValueError(f"speed must be > 0, got {speed}")
    done = [name for name in measured if name in committed]
    here, there = (sum(x[name] for name in done) for x in (measured, committed))
    return (PRIOR / speed + here) / (PRIOR + there)


def time_left(
    names: Sequence[str],
    committed: Mapping[str, float],
    now: float,
    jobs: int = 1,
) -> str:
    """`, about 1 min; 12 min left`: for the first of `names`, and for all of them.

    What is not committed is left out, and "at least" says so; "" if nothing is known.
    """
    known = [committed[name] * now for name in names if name in committed]
    if not known:
        return ""
    own = f", about {math.ceil(known[0] / 60)} min" if names[0] in committed else ""
    least = "at least " if len(known) < len(names) else ""
    return f"{own}; {least}{math.ceil(max(known[0], sum(known) / jobs) / 60)} min left"
