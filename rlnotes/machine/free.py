"""FREE: cores and memory that nobody else is using.

Two threads that share one core with another process wait for each other at every
product: a training step then takes several times as long as on one thread
(`benchmarks/busy.py`). So a command counts the cores that are free when it starts.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_CHOSEN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_STAT, _MEMORY = Path("/proc/stat"), Path("/proc/meminfo")


def use_free_cores() -> None:
    """Let this process compute on one thread for each free core.

    Says so in one line on stderr where that are not all.
    """
    os.environ.update(thread_environment())
    torch, chosen = sys.modules.get("torch"), os.environ.get(_CHOSEN[0], "")
    if torch is not None and chosen.isdecimal():
        torch.set_num_threads(int(chosen))


def thread_environment() -> dict[str, str]:
    """Environment variables by which a process computes on the free cores alone.

    `OMP_NUM_THREADS`, if set, is what a person has chosen and stays. Threads that wait
    sleep instead of spinning (`OMP_WAIT_POLICY`), which leaves their core to whoever
    needs it.
    """
    waits = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY") or "PASSIVE"}
    if os.environ.get(_CHOSEN[0]):
        return waits
    free, cores = free_cores(), available_cores()
    if free == cores:
        return waits
    print(
        f"rlnotes: {free} of {cores} cores free, so {free} thread{'s' * (free > 1)};"
        f" OMP_NUM_THREADS={cores} insists on all",
        file=sys.stderr,
    )
    return waits | dict.fromkeys(_CHOSEN, str(free))


def free_cores(seconds: float = 0.2) -> int:
    """Cores that were idle over some tenths of a second, at least one.

    Linux counts a core's idle time; elsewhere the load of the last minute is taken
    off, and on Windows, which has none, all cores count as free.
    """
    cores = available_cores()
    before = _idle_seconds()
    if before is not None:
        start = time.perf_counter()
        time.sleep(seconds)
        after = _idle_seconds()
        assert after is not None
        idle = (after - before) / (time.perf_counter() - start)
    elif hasattr(os, "getloadavg"):
        idle = cores - os.getloadavg()[0]
    else:
        idle = cores
    return max(1, min(cores, round(idle)))


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int | None:
    """Bytes that could be had without swapping; None where nobody says."""
    try:
        lines = _MEMORY.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":", 1) for line in lines)
    return int(sizes["MemAvailable"].split()[0]) * 1024


def _idle_seconds() -> float | None:
    """Idle seconds of all cores since the start, by Linux's count; None elsewhere."""
    try:
        line = _STAT.read_text(encoding="ascii").split("\n", 1)[0]
        return int(line.split()[4]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
