"""Execute the notebooks in order, say how long it takes, and what to do on a failure.

`make run` is `run_notebooks`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlnotes.batch.notebook_times import committed_seconds, pace, time_left
from rlnotes.batch.one_notebook import make_writable, run_notebook

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
) -> list[NotebookResult]:
    """Execute the notebooks of `folder` in order and keep the executed copies.

    The copies go to `output`, what the notebooks record (through `runs_folder()`) to
    `output/records`. Before each notebook comes how long it and the rest will take:
    `folder/seconds.json` times `pace`, which starts at 1/`speed`. A notebook that fails
    or whose kernel dies is named, and the others still run; the table at the end says
    how each went and what to try. `names` picks some. Raises ValueError, before
    anything runs, for an unknown name, a `speed` that is not positive, or an `output`
    that is not empty or cannot be written.
    """
    notebooks = find_notebooks(Path(folder), names)
    stems, committed = [x.stem for x in notebooks], committed_seconds(Path(folder))
    measured: dict[str, float] = {}
    now = pace(committed, measured, speed=speed)
    make_writable(Path(output))
    if any(Path(output).iterdir()):
        raise ValueError(f"output folder {output} is not empty; choose another")
    output = Path(output).resolve()
    results: list[NotebookResult] = []
    try:
        for done, notebook in enumerate(notebooks):
            left = time_left(stems[done:], committed, now)
            print(f"[{done + 1}/{len(stems)}] {notebook.stem}{left}", flush=True)
            results.append(_timed(notebook, output))
            if results[-1].error is None:
                measured[notebook.stem] = results[-1].seconds
                now = pace(committed, measured, speed=speed)
    finally:
        print_results(results, output)
    return results


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
        raise ValueError(f"notebook {unknown[0]!r} is unknown; there are {list(found)}")
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


def _timed(notebook: Path, output: Path) -> NotebookResult:
    """Run one of several: an error becomes part of the result, and is shown at once."""
    start, error, advice = time.perf_counter(), None, ""
    records = {"RLNOTES_RUNS": str(output / "records")}
    copy, cwd = output / notebook.name, notebook.parent.resolve()
    try:
        run_notebook(notebook, copy, environment=records, cwd=cwd)
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
