"""SWEEP: every config × seed in a process of its own, one thread each.

    rlnotes sweep configs/grpo.yaml configs/dapo.yaml --seeds 0-4

The command is its own continuation: finished runs are skipped, interrupted ones resume,
and a run that fails leaves the others alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rlnotes.batch.plan import SweepRun
from rlnotes.machine.free import available_cores
from rlnotes.records.run_folders import is_run
from rlnotes.training.config import make_config

_POLL_SECONDS = 0.2
# A run is small: a second thread gains little, a second run doubles the throughput.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TQDM_DISABLE": "1",
}


def run_sweep(runs: Sequence[SweepRun], *, jobs: int | None = None) -> dict[str, str]:
    """Run what is not finished, `jobs` at a time; the error of each failed run.

    `jobs` defaults to the number of cores. A KeyboardInterrupt or a SIGTERM stops the
    children, which lose at most what came after their last save, and is passed on.
    """
    from tqdm import tqdm

    jobs = available_cores() if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"jobs must be >= 1, got {jobs}")
    waiting = [run for run in runs if not is_run(run.folder)]
    running: dict[SweepRun, subprocess.Popen[bytes]] = {}
    failed: dict[str, str] = {}
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    # None: a bar on a terminal, lines alone in a log
    bar = tqdm(total=len(runs), initial=len(runs) - len(waiting), disable=None)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run] = _start(run)
            for run in [r for r, child in running.items() if child.poll() is not None]:
                error = _outcome(run, running.pop(run).returncode)
                failed |= {run.folder.name: error} if error else {}
                tqdm.write(f"{'failed' if error else 'recorded run'}: {run.folder}")
                bar.update()
            steps = [f"{x.folder.name} {x.step}/{x.config.max_steps}" for x in running]
            bar.set_postfix_str(", ".join(steps))
            time.sleep(_POLL_SECONDS)
    finally:
        _stop(running)
        bar.close()
        signal.signal(signal.SIGTERM, before)
    return failed


def _start(run: SweepRun) -> subprocess.Popen[bytes]:
    """The child; its config comes from here, whatever happens to the file meanwhile."""
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    job = {
        "config": run.config.to_dict(),
        "output": str(run.folder),
        "command": run.command,
        "notebook": run.notebook and str(run.notebook),
        "how": run.how,
    }
    with run.log.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "rlnotes.batch.sweeps"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **ONE_THREAD},
        )
    assert child.stdin is not None
    with suppress(BrokenPipeError), child.stdin:  # it died at once: its log says why
        child.stdin.write(json.dumps(job).encode())
    return child


def _outcome(run: SweepRun, status: int) -> str | None:
    """None, or the error in a line; the log of a run that went well is deleted."""
    if status == 0:
        run.log.unlink(missing_ok=True)
        return None
    lines = run.log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line for line in lines if line.strip()]
    killed = f"killed by {signal.Signals(-status).name}" if status < 0 else ""
    return killed or (said[-1] if said else f"exit status {status}")


def _stop(running: dict[SweepRun, subprocess.Popen[bytes]]) -> None:
    """End the children: a run may be killed at any moment, so this may be abrupt."""
    for child in running.values():
        child.terminate()
    for run, child in running.items():
        child.wait()
        with suppress(PermissionError):  # Windows: held by a kernel for a moment more
            run.log.unlink(missing_ok=True)


def _run_one() -> None:
    """The child: one run, described on the standard input."""
    job = json.load(sys.stdin)
    sys.argv = job["command"]  # meta.json tells how to repeat the run
    if job["notebook"]:
        from rlnotes.batch.matrix import execute

        parameters = {**job["config"], **job["how"]}
        execute(Path(job["notebook"]), parameters, Path(job["output"]))
        return

    from rlnotes.training.loop import train

    config = make_config(**job["config"])
    result = train(config, output=job["output"], resume=True)
    if not result.finished:
        raise SystemExit("max_minutes are over; the same command goes on")


if __name__ == "__main__":
    _run_one()
