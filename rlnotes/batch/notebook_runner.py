"""Execute the notebooks in order, say how long it takes, and what to do on a failure.

`make run` is `run_notebooks`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlnotes.batch.notebook_times import committed_seconds, pace, time_left
from rlnotes.batch.one_notebook import (
    kernel_environment,
    make_writable,
    run_notebook,
)
from rlnotes.equations.names import did_you_mean
from rlnotes.machine.free import free_cores, free_memory

_MODEL_BYTES = 7 << 30
_SIZES = ("per_device_train_batch_size", "generation_batch_size", "sft_prompts")
"""Parameters that memory grows with, the one that changes the results least first."""


@dataclass(frozen=True)
class NotebookResult:
    """How one notebook went."""

    name: str
    seconds: float
    error: str | None
    """`in cell [3]: ValueError: …`, or None."""
    advice: str = ""
    """What to try after the error."""


def run_notebooks(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    *,
    speed: float = 1.0,
    jobs: int | None = None,
) -> list[NotebookResult]:
    """Execute the notebooks of `folder` in order and keep the executed copies.

    With `jobs` > 1 so many at a time, the longest first, on one thread each; None: two
    where two cores and the memory of two models are free. The copies go to `output`,
    what the notebooks record (through `runs_folder()`) to `output/records`. Before each
    notebook comes how long it and the rest will take: `folder/seconds.json` times
    `pace`, which starts at 1/`speed`. A notebook that fails or whose kernel dies is
    named, and the others still run; the table at the end says how each went and what to
    try. `names` picks some. Raises ValueError, before anything runs, for an unknown
    name, a `speed` that is not positive, or an `output` that is not empty or cannot be
    written.
    """
    notebooks = find_notebooks(Path(folder), names)
    stems, committed = [x.stem for x in notebooks], committed_seconds(Path(folder))
    measured: dict[str, float] = {}
    now = pace(committed, measured, speed=speed)
    make_writable(Path(output))
    if any(Path(output).iterdir()):
        raise ValueError(f"output folder {output} is not empty; choose another")
    output = Path(output).resolve()
    jobs = jobs or simultaneous(len(notebooks))
    waiting = deque(notebooks)
    if jobs > 1:
        waiting = deque(sorted(notebooks, key=lambda x: -committed.get(x.stem, 0)))
    results: dict[str, NotebookResult] = {}
    turn = threading.Lock()

    def work() -> None:
        nonlocal now
        while True:
            with turn:
                if not waiting:
                    return
                names, notebook = [x.stem for x in waiting], waiting.popleft()
                left = time_left(names, committed, now, jobs)
                done = len(stems) - len(waiting)
                print(f"[{done}/{len(stems)}] {notebook.stem}{left}", flush=True)
            label = f"{notebook.stem}: " if jobs > 1 else ""
            result = _timed(notebook, output, label)
            with turn:
                results[notebook.stem] = result
                if result.error is None:
                    measured[notebook.stem] = result.seconds
                    now = pace(committed, measured, speed=speed)

    environment = {"RLNOTES_RUNS": str(output / "records")}
    if jobs > 1:
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        with kernel_environment(**environment):
            _side_by_side(work, jobs)
    finally:
        in_order = [results[name] for name in stems if name in results]
        print_results(in_order, output)
    return in_order


def simultaneous(count: int) -> int:
    """How many of `count` notebooks to run at a time: two, if there is room for them.

    Two free cores, and 7 GB of free memory for each of the two that load SmolLM2; where
    the system does not tell its memory, one.
    """
    room = (free_memory() or 0) >= 2 * _MODEL_BYTES
    return min(count, 2) if room and free_cores() >= 2 else 1


def _side_by_side(work: Callable[[], None], jobs: int) -> None:
    """Call `work` from so many threads; with one, from here. Ctrl-C ends them all.

    The threads are daemons, and a kernel ends with the process that started it.
    """
    if jobs == 1:
        return work()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def find_notebooks(
    folder: Path, names: Sequence[str] | None = None, *, suffix: str = ".ipynb"
) -> list[Path]:
    """Notebooks of a folder in order, or those in `names` (with or without suffix).

    Raises ValueError for a folder without notebooks or a name that is not there.
    """
    found = {path.stem: path for path in sorted(folder.glob(f"*{suffix}"))}
    found.pop("conftest", None)
    if not found:
        raise ValueError(f"folder {folder} has no notebook (*{suffix})")
    wanted = {name.removesuffix(suffix) for name in names or found}
    unknown = sorted(wanted - set(found))
    if unknown:
        hint = did_you_mean(unknown[0], found)
        raise ValueError(
            f"notebook {unknown[0]!r} is unknown; there are {list(found)}{hint}"
        )
    return [path for name, path in found.items() if name in wanted]


def print_results(results: Sequence[NotebookResult], output: Path) -> None:
    """Print the table (notebook, seconds, result), what to try, the path to open."""
    width = max([len(result.name) for result in results] + [8])
    print(f"\n{'notebook':<{width}}  seconds  result")
    for result in results:
        outcome = f"failed {result.error}" if result.error else "ok"
        print(f"{result.name:<{width}}  {result.seconds:7.1f}  {outcome}")
    for result in results:
        if result.error:
            print(f"\n{result.name}: {result.advice}")
    print(f"\nexecuted notebooks: {_shown(output)}", flush=True)


def _timed(notebook: Path, output: Path, label: str) -> NotebookResult:
    """Run one of several: an error becomes part of the result, and is shown at once."""
    start, error, advice = time.perf_counter(), None, ""
    copy, cwd = output / notebook.name, notebook.parent.resolve()
    try:
        run_notebook(notebook, copy, cwd=cwd, label=label)
    except Exception as problem:
        error, advice = _describe(problem), _advise(problem, notebook, copy)
        print(f"  {notebook.name} failed {error}", file=sys.stderr, flush=True)
    return NotebookResult(notebook.stem, time.perf_counter() - start, error, advice)


def _describe(problem: Exception) -> str:
    """The cell and the error in one line."""
    name = getattr(problem, "ename", type(problem).__name__)
    text = str(getattr(problem, "evalue", problem)).strip().splitlines()
    message = f"{name}: {text[0]}" if text else str(name)
    cell = getattr(problem, "exec_count", None)
    return f"in cell [{cell}]: {message}" if cell else f"outside a cell: {message}"


def _advise(problem: Exception, notebook: Path, copy: Path) -> str:
    """What to try after a failing cell, a dead kernel, or no kernel at all."""
    again = f"make run NB={notebook.stem}"
    if getattr(problem, "exec_count", None):
        return f"open {_shown(copy)} at the failing cell; once it is mended: {again}"
    if "Kernel died" not in str(problem):
        return f"see whether `rlnotes check` finds the installation sound, then {again}"
    import papermill

    died = "a kernel that is killed mostly ran out of memory:"
    known = papermill.inspect_notebook(notebook)
    for name in _SIZES:
        value = known.get(name, {}).get("default", "")
        if value.isdecimal() and int(value) > 1:
            words = f"{_shown(notebook)} {_shown(copy)} {name}={int(value) // 2}"
            return f"{died} halve {name}: rlnotes notebook {words}"
    return f"{died} close other programs, then {again}"


def _shown(path: Path) -> str:
    """A path as a user would type it from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
