"""What every benchmark here shares: processes, clock, peak memory, rounds, results.

A contestant is measured in a process of its own: nobody inherits another's caches,
and the peak is its own. Rounds go around all contestants, so that a machine that gets
slower or faster meanwhile does so for all; the median of the rounds is the result.

The same command measures on a GPU where there is one (`--device cpu`: not): the clock
waits for it, memory is what torch has allocated there, and the results go to
`results/<name>_cuda.json` beside the processor's `results/<name>.json`.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rlnotes.machine import provenance

HERE = Path(__file__).resolve().parent / "results"
RESULTS = Path(os.environ.get("RLNOTES_RESULTS") or HERE)
Row = dict[str, Any]
Task = tuple[str, Any]  # a contestant and a case, hashable
Clock = Callable[[], float]
DEVICES = ("cpu", "cuda")
COPY_SIZES = (128 << 20, 192 << 20, 256 << 20)  # bytes, beyond the caches
COPIES = 4  # between two looks at the clock, which on a GPU wait for it
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


def argument_parser(doc: str, *, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has, described by its docstring's first line."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smoke run, no results")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu counts processor seconds, for a machine that others use too",
    )
    return parser


def parse_with_device(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse with `--device` added; a device or a clock that is not there is refused."""
    import torch

    from rlnotes.machine.devices import best_device

    best = best_device().type
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default=best if best in DEVICES else "cpu",
        help="the accelerator if there is one (here: %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        make_clock(arguments.clock, arguments.device)
    except ValueError as error:
        parser.error(str(error))
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU, expected --device cpu")
    return arguments


def make_clock(name: str, device: str) -> Clock:
    """Seconds, "wall" or "cpu" (processor seconds); a GPU is waited for at each look.

    Raises ValueError for processor seconds of a GPU.
    """
    if device == "cpu":
        return time.process_time if name == "cpu" else time.perf_counter
    if name == "cpu":
        raise ValueError(
            "--clock cpu: processor seconds miss what a GPU does, expected"
            f" --clock wall with --device {device}"
        )
    import torch

    def clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def memory_bandwidth(device: str, clock: Clock) -> float:
    """Bytes read and written a second by a copy in memory, the best of `COPY_SIZES`."""
    import torch

    best = 0.0
    for size in COPY_SIZES:
        # ones: the system gives all untouched pages of zeros one and the same memory
        source = torch.ones(size, dtype=torch.uint8, device=device)
        target = source.clone()
        for _ in range(3):
            start = clock()
            for _ in range(COPIES):
                target.copy_(source)
            best = max(best, COPIES * 2 * size / (clock() - start))
    return best


def run_child(script: str, task: Mapping[str, Any], *, threads: int) -> dict[str, Any]:
    """Run `script --child TASK` in a fresh process; its last line is the result."""
    limits = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    if task.get("device", "cpu") != "cpu":  # one GPU: TRL refuses to choose
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        limits["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]
    done = subprocess.run(
        [sys.executable, script, "--child", json.dumps(task)],
        env=os.environ | OFFLINE | limits,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{task} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def interleave(
    tasks: Sequence[Task],
    rounds: int,
    measure: Callable[[Task], dict[str, Any]],
) -> dict[Task, dict[str, float]]:
    """Measure all tasks in every round; for each task the median of every number.

    Every other round goes backwards: what comes first in one is last in the next.
    """
    samples: dict[Task, list[dict[str, Any]]] = {task: [] for task in tasks}
    with tqdm(total=rounds * len(tasks), unit="run", dynamic_ncols=True) as bar:
        for index in range(rounds):
            for task in tasks if index % 2 == 0 else tasks[::-1]:
                bar.set_postfix_str(str(task[0]))
                samples[task].append(measure(task))
                bar.update()
    return {
        task: {
            key: statistics.median(float(sample[key]) for sample in found)
            for key in found[0]
        }
        for task, found in samples.items()
    }


class PeakMemory:
    """Peak of this process's memory above its level at the start, in bytes.

    `with PeakMemory() as memory: …` then `memory.peak`. On a CPU resident memory: Linux
    resets its high-water mark when 5 is written to /proc/self/clear_refs; without that,
    `peak` is NaN. On a GPU what torch has allocated there.
    """

    peak: float = float("nan")

    def __init__(self, device: str = "cpu") -> None:
        self._on_gpu = device != "cpu"

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if self._on_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats()
            self._start: int | None = torch.cuda.memory_allocated()
            return self
        _return_free_memory()
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self._start = _status("VmRSS")
        except OSError:
            self._start = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._on_gpu:
            import torch

            assert self._start is not None
            self.peak = torch.cuda.max_memory_allocated() - self._start
        elif self._start is not None:
            self.peak = _status("VmHWM") - self._start


def compare(
    case: str, unit: str, ours: float, peers: Mapping[str, float], digits: int = 4
) -> list[Row]:
    """One row for each peer: ours, theirs and the ratio ours / peer."""

    def short(value: float) -> float:
        return float(f"{value:.{digits}g}")

    return [
        {
            "case": case,
            "ours": short(ours),
            "peer": short(peer),
            "peer_name": name,
            "ratio": short(ours / peer),
            "unit": unit,
        }
        for name, peer in peers.items()
    ]


def result_path(name: str, device: str) -> Path:
    """`benchmarks/results/<name>.json` of a CPU, `<name>_cuda.json` of a GPU."""
    return RESULTS / (f"{name}.json" if device == "cpu" else f"{name}_{device}.json")


def write_results(
    name: str,
    rows: Sequence[Row],
    *,
    method: str,
    device: str = "cpu",
    packages: Sequence[str] = (),
) -> Path:
    """Write `result_path(name, device)` with command, commit and machine."""
    commit = provenance.describe_commit()
    versions = provenance.package_versions()
    for package in packages:
        versions |= _version(package)
    record = {
        "command": "python " + provenance.command_line(sys.argv),
        "commit": commit["commit"] + ("+changes" if commit["dirty"] else ""),
        "hardware": {
            "cpu": provenance.cpu_model(),
            "cores": os.cpu_count(),
            "platform": f"{platform.system()} {platform.machine()}",
            "load_average": round(os.getloadavg()[0], 2),
            **({} if device == "cpu" else {"gpu": provenance.describe_gpu()}),
        },
        "versions": versions,
        "method": method,
        "rows": list(rows),
    }
    path = result_path(name, device)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows with aligned columns."""
    columns = ("case", "peer_name", "ours", "peer", "ratio", "unit")
    cells = [columns, *(tuple(str(row[c]) for c in columns) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


def _status(key: str) -> int:
    """A line of /proc/self/status, given there in KiB, as bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {key} in /proc/self/status")


def _return_free_memory() -> None:
    """Give freed memory back to the system, or it would hide the next allocation."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # not glibc
        pass


def _version(package: str) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {package: version(package)}
    except PackageNotFoundError:
        return {}
