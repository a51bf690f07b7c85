"""Where a run came from: commit, command, versions and machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("rlnotes", "torch", "transformers", "tokenizers", "trl", "numpy")
# Results are outputs of runs: a new figure or a new record does not change the code.
_CODE = (".", ":!data", ":!notebooks/*.ipynb", ":!benchmarks/results")


def project_folder() -> Path:
    """The clone that the working directory lies in, else the working directory.

    A notebook starts in `notebooks/`, a command in the root: both find `data/` here.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "rlnotes").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    return here


def data_folder() -> Path:
    """`data/` of the clone that we are in, else of the one this package is in."""
    here = project_folder() / "data"
    beside = Path(__file__).resolve().parents[2] / "data"
    return here if (here / "runs").is_dir() or not beside.is_dir() else beside


def describe_run(*, command: str | None = None, device: str = "cpu") -> dict[str, Any]:
    """Commit, command line, versions and machine, without a path of this machine.

    `gpu` is None unless `device`, the type of what the run is on, is another than a
    CPU's.
    """
    return {
        **describe_commit(),
        "command": command or command_line(sys.argv),
        "versions": package_versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cpu_capability": cpu_capability(),
        "threads": num_threads(),
        "gpu": None if device == "cpu" else describe_gpu(),
    }


def describe_gpu() -> dict[str, Any]:
    """Name, memory in GB (10⁹ bytes), number and driver of the GPUs that torch sees.

    `runtime` is the CUDA (or ROCm) that torch was built for; what cannot be found out
    is None.
    """
    import torch

    if not torch.cuda.is_available():
        found = torch.accelerator.current_accelerator()
        return {"name": None if found is None else found.type}
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "name": properties.name,
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "count": torch.cuda.device_count(),
        "driver": gpu_driver(),
        "runtime": torch.version.cuda or torch.version.hip,
    }


def gpu_driver() -> str | None:
    """Version of NVIDIA's driver as `nvidia-smi` gives it; None without one."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    lines = (_output(*command) or "").splitlines()
    return lines[0].strip() if lines else None


def describe_commit() -> dict[str, Any]:
    """Commit of this package's clone, and whether tracked code differs from it.

    `diff_hash` tells two uncommitted versions of the code apart. Without git, or
    installed outside a clone: commit "unknown".
    """
    commit, diff = _git("rev-parse", "HEAD"), _git("diff", "HEAD", "--", *_CODE)
    if commit is None or diff is None:
        return {"commit": "unknown", "dirty": None, "diff_hash": None}
    digest = hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else None
    return {"commit": commit.strip(), "dirty": bool(diff), "diff_hash": digest}


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages a result depends on, where installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def command_line(argv: Sequence[str]) -> str:
    """A command line without absolute paths: the program by its name, files relative.

    A path outside the project keeps its last part only. A notebook's kernel has no
    command line worth keeping: what started it (`one_notebook` says so in
    RLNOTES_COMMAND), else "notebook".
    """
    program = Path(argv[0]).name if argv and argv[0] else "python"
    if program.startswith("ipykernel"):
        return os.environ.get("RLNOTES_COMMAND", "notebook")
    return shlex.join([program, *(_relative(argument) for argument in argv[1:])])


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    name = _cpu_facts().get("model name")
    return name or platform.processor() or platform.machine() or "unknown"


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor; {} elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n", 1)[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_capability() -> str | None:
    """What torch computes with, like "AVX512, bfloat16, family 25, model 17".

    Family and model tell generations of a processor apart that share a name. With
    torch's version and the number of threads this tells whether two machines sum in
    the same order, and so whether a run repeats to the bit. ATEN_CPU_CAPABILITY and
    ONEDNN_MAX_CPU_ISA lower it. None until torch is loaded.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    name = torch.backends.cpu.get_cpu_capability()
    has_bfloat16 = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", bool)()
    facts = _cpu_facts()
    known = [("cpu family", "family"), ("model", "model")]
    words = [str(name), *["bfloat16"] * has_bfloat16]
    return ", ".join(words + [f"{b} {facts[a]}" for a, b in known if a in facts])


def same_bits(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two runs' meta.json tell of machines that compute the same bits.

    Processor, its capability, torch, threads and GPU; a record that lacks one of them
    (older ones have no `cpu_capability`) does not say, and counts as another machine.
    """
    pair = [
        (meta.get("cpu"), meta.get("cpu_capability"), meta.get("threads"), torch)
        for meta in (first, second)
        if (torch := meta.get("versions", {}).get("torch"))
    ]
    known = len(pair) == 2 and None not in pair[0]
    return known and pair[0] == pair[1] and first.get("gpu") == second.get("gpu")


def num_threads() -> int:
    """Threads that torch uses if it is loaded, else the processors we may run on."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def peak_gpu_memory_mb() -> float | None:
    """Most memory that torch held on the GPU so far, in MB; None without a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return round(torch.cuda.max_memory_allocated() / 1e6, 1)


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far, in MB (10⁶ bytes)."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts KiB, macOS bytes.
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def _git(*arguments: str) -> str | None:
    """Output of git in this package's clone; None where git or the clone is missing."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    return _output("git", "-C", str(root), *arguments)


def _output(*command: str) -> str | None:
    """What a program prints; None where it is missing, fails or hangs."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _relative(argument: str) -> str:
    """`argument` with an absolute path (also after `key=`) made relative."""
    key, equals, value = argument.rpartition("=")
    path = Path(value)
    if not path.is_absolute():
        return argument
    root = project_folder()
    short = (
        path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    )
    return f"{key}{equals}{short}"
