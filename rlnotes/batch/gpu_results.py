"""GPU RESULTS: what a day on a GPU left goes to its places, and docs/gpu.md says so."""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlnotes.batch.gpu_day import DAY, PARTS
from rlnotes.records.run_folders import PARTIAL, is_run

AWAITS = "awaits a GPU"
PAGE = Path("docs") / "gpu.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
_RESULTS = Path("benchmarks") / "results"
_RECORDS = Path("data") / "runs"
BENCHMARKS = ("device", "loss", "rollout", "train_step", "large")
ALGORITHMS = ("grpo", "dapo", "gdpo")


def collect(folder: Path, root: Path, *, rehearsal: bool = False) -> list[Path]:
    """File the results of `folder` under `root`; the paths that were written.

    Records go to data/runs/, results to benchmarks/results/, the table of docs/gpu.md
    is made anew. Raises FileNotFoundError where no day is, ValueError for a rehearsal
    (it measured no GPU) unless it is asked for, FileExistsError for a record that is
    there.
    """
    if not (folder / DAY).is_file():
        raise FileNotFoundError(f"collect: expected a {DAY} in {folder}, found none")
    day = json.loads((folder / DAY).read_text())
    if day["rehearsal"] and not rehearsal:
        raise ValueError(f"collect: {folder} is a rehearsal, expected a day on a GPU")
    with tempfile.TemporaryDirectory() as scratch:
        for packed in sorted(folder.glob("*.tar.gz")):
            with tarfile.open(packed) as archive:
                archive.extractall(scratch, filter="data")
        moves = {**_results(Path(scratch), root), **_records(Path(scratch), root)}
        for target, source in moves.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, target)
    return [*moves, write_page(root)]


def _results(scratch: Path, root: Path) -> dict[Path, Path]:
    found = scratch.glob("*/*_cuda.json")
    return {root / _RESULTS / path.name: path for path in found}


def _records(scratch: Path, root: Path) -> dict[Path, Path]:
    """Whole runs alone: what was cut short stays in its archive."""
    moves = {}
    for meta in sorted(scratch.glob("runs/runs/*/*/meta.json")):
        run = meta.parent
        if not is_run(run) or run.name.endswith(PARTIAL):
            continue
        target = root / _RECORDS / f"{run.name}_gpu"
        if target.exists():
            raise FileExistsError(f"collect: a record is already in {target}")
        moves[target] = run
    return moves


def write_page(root: Path) -> Path:
    """docs/gpu.md with its tables made anew from what lies in `root`."""
    page = root / PAGE
    text = page.read_text(encoding="utf-8") if page.is_file() else f"{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.parent.mkdir(parents=True, exist_ok=True)
    made = f"{before}{BEGIN}\n{measured(root)}\n{END}{after}"
    page.write_text(made, encoding="utf-8")
    return page


def measured(root: Path) -> str:
    """The tables: every row is measured, or says that it awaits a GPU."""
    lines = ["| part | what | state |", "| --- | --- | --- |"]
    for name in BENCHMARKS:
        part = PARTS["check" if name == "device" else name]
        lines.append(f"| `{name}` | {part.what} | {_state(root, name)} |")
    for algorithm in ALGORITHMS:
        lines.append(f"| `runs` | {algorithm.upper()} {_accuracies(root, algorithm)} |")
    for name in BENCHMARKS:
        lines += _rows(root, name)
    return "\n".join(lines)


def _read(root: Path, name: str) -> dict[str, Any] | None:
    path = root / _RESULTS / f"{name}_cuda.json"
    return json.loads(path.read_text()) if path.is_file() else None


def _state(root: Path, name: str) -> str:
    record = _read(root, name)
    if record is None:
        return AWAITS
    gpu = record["hardware"]["gpu"]
    return f"measured: {gpu['name']}, driver {gpu['driver']}, `{record['command']}`"


def _rows(root: Path, name: str) -> Iterable[str]:
    record = _read(root, name)
    if record is None:
        return []
    lines = ["", f"**`{name}`**", "", "| case | ours | peer | | unit |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for row in record["rows"]:
        cells = (row[key] for key in ("case", "ours", "peer", "peer_name", "unit"))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _accuracies(root: Path, algorithm: str) -> str:
    from rlnotes.records.reading import load_run

    name = f"{algorithm}_multiplication_smollm2-135m_seed*_gpu"
    what = "on products of two numbers, five seeds"
    runs = sorted((root / _RECORDS).glob(name))
    if not runs:
        return f"{what} | {AWAITS}"
    tables = [load_run(run).metrics for run in runs]
    ends = [table["eval/sampled_accuracy"].dropna().iloc[[0, -1]] for table in tables]
    first, last = (sum(end.iloc[i] for end in ends) / len(ends) for i in (0, 1))
    steps = min(int(table["step"].iloc[-1]) for table in tables)
    many = f"{len(runs)} seeds, {steps} steps"
    return f"{what} | measured: held out {first:.2f} to {last:.2f}, {many}"
