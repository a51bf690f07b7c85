"""GPU DAY: what a quarter of an hour on a GPU is for, part by part, in order of worth.

    rlnotes gpu-day --minutes 13 --output runs/gpu_day
    rlnotes gpu-day --dry-run            # the plan; each part for seconds on the CPU

Every part is a process with an end of its own. As it ends, well or not, what it left
goes to `<output>/<part>.tar.gz` and its outcome to `<output>/day.json`: eight files at
most, whole at any moment. Nothing that a part does touches another one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlnotes.equations.validation import check_choice, check_range
from rlnotes.machine.files import replace_text, replacing
from rlnotes.machine.provenance import describe_run, project_folder

DAY = "day.json"
_SHARE = 0.3  # of the product's rate that whole programs are taken to reach
_LEAST = 5.0  # seconds with which no part is started


@dataclass(frozen=True)
class Part:
    """A process of the day, and the work from which its time is computed."""

    what: str
    command: tuple[str, ...]
    """After `python`; `{seconds}` is what the part is given."""
    rehearsal: tuple[str, ...]
    """The same for seconds, on the CPU."""
    at_most: float | None
    """Seconds after which it is ended; None: all that later parts leave."""
    starts: int = 1
    """Processes that import torch and a trainer, one after the other."""
    operations: float = 0
    """Small operations, one after the other: a token of L layers is some 40·L."""
    flops: float = 0
    """Of the large products."""

    def seconds(self, rates: Mapping[str, float]) -> float:
        """starts·s₀ + operations·s₁ + flops / (0.3·rate), with the measured rates."""
        work = self.flops / (_SHARE * rates["flops"])
        return self.starts * rates["start"] + self.operations * rates["op"] + work


def _bench(name: str, *options: str) -> dict[str, Any]:
    script = f"benchmarks/{name}.py"
    quick = (script, "--quick", "--device", "cpu")
    return {"command": (script, *options), "rehearsal": quick}


def _head_flops() -> float:
    """loss.py: 8·T·H·V (the backward pass computes again), twice, four contestants."""
    heads = ((49_152, 576), (151_936, 1536), (152_064, 3584))
    return sum(64.0 * t * v * h for t in (4096, 16_384, 65_536) for v, h in heads)


_TOKEN = 40 * 30  # operations of a token of SmolLM2
_RUNS = ("-m", "rlnotes.batch.gpu_runs")
_TESTS = ("tests/machine/test_cuda.py", "tests/rollouts/test_static_rollouts.py")
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
PARTS: dict[str, Part] = {
    "check": Part(
        "driver, rates of products and memory",
        **_bench("device"),
        at_most=40,
        flops=3 * 6 * 2 * 8192.0**3,
    ),
    "tests": Part(
        "the tests that only a GPU runs: bits, log-probs, CUDA graphs",
        (*_PYTEST, *_TESTS),
        (*_PYTEST, _TESTS[0]),
        at_most=90,
        starts=2,
        operations=20 * 3 * 20 * 80.0,  # runs, steps, tokens, two layers
    ),
    "loss": Part(
        "fused loss against plain logits, TRL and Liger at 4k, 16k and 64k tokens",
        **_bench("loss", "--seconds", "35"),
        at_most=60,
        flops=_head_flops(),
    ),
    "rollout": Part(
        "rollouts, static and growing, against generate; share of the memory rate",
        **_bench("rollout", "--rounds", "2"),
        at_most=60,
        operations=3 * 4 * (24 + 24 + 128) * _TOKEN,
    ),
    "train_step": Part(
        "a training step against TRL's in turns, peak memory against rlnotes size",
        **_bench("train_step", "--rounds", "1", "--steps", "5"),
        at_most=100,
        starts=8,  # four, and TRL's import takes as long again
        operations=4 * 6 * 2 * (24 + 128) * _TOKEN,
    ),
    "runs": Part(
        "full runs by papermill: GRPO, DAPO, GDPO, five seeds",
        (*_RUNS, "--seconds", "{seconds}"),
        (*_RUNS, "--seconds", "{seconds}", "--quick"),
        at_most=None,
    ),
    "large": Part(
        "0.5B and 1.5B parameters in shape at 1,024 tokens: speed and memory",
        **_bench("large"),
        at_most=90,
        operations=5 * 1024 * 40 * 52.0,
        flops=3 * 8 * 1100.0 * (32 * 0.5e9 + 16 * 1.5e9),
    ),
}
"""In order of worth; `large` is what is left out first."""


def measured_rates() -> dict[str, float]:
    """FLOP/s of a product, seconds of a small operation and of a process's start."""
    import torch

    from rlnotes.machine.devices import best_device
    from rlnotes.machine.rates import product_rates

    begin = time.perf_counter()
    script = "import torch, rlnotes.training.loop"
    subprocess.run([sys.executable, "-c", script], check=True, env=_environment({}))
    start = time.perf_counter() - begin
    one = torch.zeros(1, device=best_device())
    one.add_(1).item()
    begin = time.perf_counter()
    for _ in range(1000):
        one += 1
    one.item()
    op = (time.perf_counter() - begin) / 1000
    flops = 1e9 * max(product_rates(best_device().type).values())
    return {"start": start, "op": op, "flops": flops}


def plan(parts: Mapping[str, Part], rates: Mapping[str, float], minutes: float) -> str:
    """The parts as lines: what each needs by the measured rates, what it may take."""
    fixed = {n: p for n, p in parts.items() if p.at_most is not None}
    needs = {n: min(p.seconds(rates), p.at_most or 0) for n, p in fixed.items()}
    left = max(0.0, 60 * minutes - sum(needs.values()))
    lines = [
        f"measured here: a process starts in {rates['start']:.1f} s, a small operation"
        f" takes {1e6 * rates['op']:.1f} µs, a product {rates['flops'] / 1e12:.3g}"
        " TFLOP/s",
        f"{'part':<12}{'needs':>9}{'at most':>9}  what",
    ]
    for name, part in parts.items():
        if part.at_most is None:
            lines.append(f"{name:<12}{left:8.0f}s{'the rest':>9}  {part.what}")
        else:
            need = part.seconds(rates)
            lines.append(f"{name:<12}{need:8.0f}s{part.at_most:8.0f}s  {part.what}")
    return "\n".join(lines)


def run_day(
    output: Path,
    *,
    minutes: float,
    dry_run: bool = False,
    parts: Mapping[str, Part] = PARTS,
) -> list[dict[str, Any]]:
    """Run the parts until the minutes are over; the outcome of each.

    Raises ValueError for minutes that are none, FileExistsError for an `output` that
    holds a day already.
    """
    check_range("minutes", minutes, low=0, low_open=True)
    if (output / DAY).exists():
        raise FileExistsError(f"output: a day is already in {output}; choose another")
    output.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * minutes
    day: dict[str, Any] = {"rehearsal": dry_run, "minutes": minutes}
    day |= {"machine": describe_run(device=_device(dry_run)), "parts": []}
    names = list(parts)
    for number, (name, part) in enumerate(parts.items()):
        later = [parts[other].at_most or 0 for other in names[number + 1 :]]
        left = end - time.monotonic()
        given = part.at_most or left - min(sum(later), left / 3)
        given = left if dry_run else given  # a CPU may be as slow as it likes
        outcome = _run_part(name, part, output, min(given, left), dry_run)
        day["parts"].append(outcome)
        replace_text(output / DAY, json.dumps(day, indent=1))
        print(f"{name:<12}{outcome['seconds']:6.0f}s  {outcome['state']}", flush=True)
    return list(day["parts"])


def select(names: Sequence[str] | None) -> dict[str, Part]:
    """The parts of these names, all for None; ValueError for an unknown one."""
    for name in names or ():
        check_choice("only", name, tuple(PARTS))
    return {name: part for name, part in PARTS.items() if not names or name in names}


def _run_part(
    name: str, part: Part, output: Path, seconds: float, dry_run: bool
) -> dict[str, Any]:
    outcome: dict[str, Any] = {"name": name, "what": part.what, "seconds": 0.0}
    if seconds < _LEAST:
        return outcome | {"state": "no time left"}
    words = part.rehearsal if dry_run else part.command
    words = tuple(word.format(seconds=int(0.95 * seconds)) for word in words)
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as scratch:
        folder = Path(scratch)
        begin = time.monotonic()
        state = _process([sys.executable, *words], folder, seconds, dry_run)
        outcome |= {"seconds": time.monotonic() - begin, "state": state}
        outcome |= {"command": ["python", *words], "said": _last_line(folder / "log")}
        packed = folder.with_suffix(".tar.gz")
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(folder, arcname=name)
        with replacing(output / f"{name}.tar.gz") as whole:
            whole.write(packed.read_bytes())
        packed.unlink()
    return outcome


def _process(words: list[str], folder: Path, seconds: float, dry_run: bool) -> str:
    """Run with results and log in `folder`; "done", "failed: …" or "out of time"."""
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if dry_run else {}
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            words,
            stdout=log,
            stderr=log,
            cwd=project_folder(),
            env=_environment({"RLNOTES_RESULTS": str(folder), **hidden}),
            start_new_session=True,
        )
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.terminate()  # a sweep stops its own children
            with suppress(subprocess.TimeoutExpired):
                child.wait(10)
            return "out of time"
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return "done" if status == 0 else f"failed: exit status {status}"


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    paths = (str(project_folder()), os.environ.get("PYTHONPATH"))
    path = os.pathsep.join(filter(None, paths))
    return {**os.environ, "TQDM_DISABLE": "1", "PYTHONPATH": path, **more}


def _device(dry_run: bool) -> str:
    from rlnotes.machine.devices import best_device

    return "cpu" if dry_run else best_device().type


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")[:300]
