"""GPU RUNS: SmolLM2 by notebook 11, three algorithms, five seeds, in the time there is.

    python -m rlnotes.batch.gpu_runs --seconds 300

First a probe: as many short runs at once as the card carries, with and without static
shapes. What a step takes there decides how many steps the runs make, so that all end.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlnotes.batch.matrix import plan_matrix
from rlnotes.batch.plan import SweepRun
from rlnotes.batch.sizing import PROCESS, estimate
from rlnotes.batch.sweeps import run_sweep
from rlnotes.machine.free import available_cores
from rlnotes.machine.provenance import describe_gpu, project_folder
from rlnotes.policies.shapes import load_shape
from rlnotes.records.reading import load_run
from rlnotes.records.run_folders import is_run, runs_folder
from rlnotes.training.config import Config, load_config

CONFIGS = Path("configs") / "full" / "smollm2"


@dataclass(frozen=True)
class Runs:
    """Which runs; `changes` are laid over each config."""

    configs: tuple[Path, ...]
    changes: dict[str, Any]
    seeds: int = 5
    least: int = 25
    """Steps below which no run is worth its name; their number is a multiple of it."""
    most: int = 300
    probe_steps: int = 4


def planned(root: Path) -> Runs:
    """GRPO, DAPO and GDPO on products: SmolLM2, untrained, is right in .14 (README)."""
    configs = tuple(
        root / CONFIGS / f"{name}.yaml" for name in ("grpo", "dapo", "gdpo")
    )
    return Runs(configs, {"task": "multiplication", "save_policy": False})


def rehearsal(root: Path) -> Runs:
    """Two steps of one run of the search lab: the same way for seconds."""
    changes = {"generation_batch_size": 16, "eval_samples": 1, "save_policy": False}
    config = root / "configs" / "search" / "grpo.yaml"
    more = {**changes, "max_completion_length": 32}
    return Runs((config,), more, seeds=1, least=2, most=2, probe_steps=2)


def processes_that_fit(config: Config, wanted: int) -> int:
    """How many runs at once: cores, and 85 % of the GPU's memory by `rlnotes size`."""
    gpu = describe_gpu().get("memory_gb")
    if gpu is None:
        return min(wanted, available_cores())
    # a process of its own holds some 0.6 GB of CUDA beside what torch allocates
    each = estimate(config, load_shape(config.policy), prompt_length=48).peak
    room = int(0.85 * gpu * 1e9 / (each - PROCESS + 0.6e9))
    return max(1, min(wanted, available_cores(), room))


def choose_steps(
    runs: Runs, seconds: float, step: float, overhead: float, *, jobs: int
) -> tuple[int, int]:
    """(steps, seeds) so that all runs end: all seeds if `least` steps fit, else fewer.

    (seconds / waves − overhead) / step, a multiple of `least`; (0, 0) where none fits.
    """
    for seeds in range(runs.seeds, 0, -1):
        waves = math.ceil(seeds * len(runs.configs) / jobs)
        fit = int((seconds / waves - overhead) / step) // runs.least * runs.least
        if fit > 0:
            return min(fit, runs.most), seeds
    return 0, 0


def probe(runs: Runs, folder: Path, jobs: int) -> tuple[float, float, str | None]:
    """(seconds a step, seconds beside the steps, the faster `cache_implementation`)."""
    kinds = [(path, cache) for cache in (None, "static") for path in runs.configs]
    made = []
    for number in range(max(jobs, len(kinds))):
        path, cache = kinds[number % len(kinds)]
        more = {**runs.changes, "max_steps": runs.probe_steps, "seed": number}
        config = load_config(path, **more, cache_implementation=cache, eval_steps=0)
        made.append(SweepRun(config, folder / f"{number}", ("rlnotes", "train")))
    begin = time.perf_counter()
    failed = run_sweep(made, jobs=jobs)
    wall = (time.perf_counter() - begin) / math.ceil(len(made) / jobs)
    times: dict[str | None, list[float]] = {}
    for run in made:
        if is_run(run.folder):
            taken = load_run(run.folder).metrics.query("step > 1")["step_time"]
            cached = times.setdefault(run.config.cache_implementation, [])
            cached.append(float(taken.mean()))
    if not times:
        raise RuntimeError(f"probe: no run ended: {failed}")
    means = {cache: statistics.mean(found) for cache, found in times.items()}
    best = min(means, key=lambda one: means[one])
    overhead = max(0.0, wall - runs.probe_steps * max(means.values()))
    return means[best], overhead, best


def train_all(runs: Runs, seconds: float, folder: Path) -> dict[str, str]:
    """Probe, choose, train; the error of each run that failed, the choice printed.

    Raises RuntimeError where no run could end in time.
    """
    end = time.monotonic() + seconds
    first = load_config(runs.configs[0], **runs.changes)
    jobs = processes_that_fit(first, runs.seeds * len(runs.configs))
    step, overhead, cache = probe(runs, folder / "probe", jobs)
    left = 0.9 * (end - time.monotonic())
    # a notebook starts a kernel and draws: twice what a plain run has beside its steps
    steps, seeds = choose_steps(runs, left, step, 2 * overhead, jobs=jobs)
    print(
        f"{jobs} at once, {step:.2f} s a step, {overhead:.0f} s beside the steps,"
        f" cache_implementation={cache}: {steps} steps, {seeds} seeds",
        flush=True,
    )
    if not steps:
        raise RuntimeError(f"runs: {left:.0f} s are too short for {runs.least} steps")
    changes = {**runs.changes, "max_steps": steps, "cache_implementation": cache}
    changes |= {"max_minutes": (end - time.monotonic()) / 60}
    matrix = {
        "configs": [str(path.resolve()) for path in runs.configs],
        "seeds": f"0-{seeds - 1}",
        "overrides": {"gpu": changes},
    }
    file = folder / "matrix.yaml"
    file.write_text(yaml.safe_dump(matrix))
    made = plan_matrix(file, output=folder / "runs")
    return run_sweep(sorted(made, key=lambda run: run.config.seed), jobs=jobs)


def main() -> int:
    """The part `runs` of `rlnotes gpu-day`, into the folder of RLNOTES_RESULTS."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--quick", action="store_true", help="a rehearsal")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("RLNOTES_RESULTS") or runs_folder() / "gpu_runs")
    folder.mkdir(parents=True, exist_ok=True)
    runs = (rehearsal if arguments.quick else planned)(project_folder())
    failed = train_all(runs, arguments.seconds, folder)
    for run, error in failed.items():
        print(f"{run} failed: {error}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
