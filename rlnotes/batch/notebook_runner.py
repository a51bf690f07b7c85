"""Execute notebooks by papermill: all in order, or one with a parameter file.

`make run` is `run_notebooks`; `rlnotes notebook` is `run_notebook_with_config`, which
does what `papermill IN OUT -f FILE -p name value` does and refuses what papermill only
warns of: a parameter that the notebook does not know.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlnotes.machine.files import read_mapping
from rlnotes.machine.provenance import command_line

KERNEL = "python3"


@dataclass(frozen=True)
class NotebookResult:
    """How one notebook went."""

    name: str
    seconds: float
    error: str | None
    """`In [3]: ValueError: …`, or None."""


def run_notebooks(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    names: Sequence[str] | None = None,
) -> list[NotebookResult]:
    """Execute the notebooks of `folder` in order and keep the executed copies.

    The copies go to `output`, what the notebooks record (through `runs_folder()`) to
    `output/records`. A failing notebook is named with its cell and its error, and the
    others still run; the table at the end says how each went. `names` picks some.
    Raises ValueError, before anything runs, for an unknown name or an `output` that is
    not empty or cannot be written.
    """
    notebooks = find_notebooks(Path(folder), names)
    output = _empty_folder(Path(output)).resolve()
    results: list[NotebookResult] = []
    try:
        for number, notebook in enumerate(notebooks, 1):
            print(f"[{number}/{len(notebooks)}] {notebook.stem}", flush=True)
            results.append(_timed(notebook, output))
    finally:
        print_results(results, output)
    return results


def run_notebook(
    notebook: Path,
    output: Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Execute one notebook with a progress bar and write the executed copy.

    `environment` is laid over this process's, `cwd` is the working directory. Lines
    that a cell prints and that start with "step" are shown as they come, and so are
    progress bars on a terminal. Raises papermill's PapermillExecutionError for a
    failing cell; the copy then ends at that cell.
    """
    import papermill

    variables = {
        "PYTHONWARNINGS": "ignore:IProgress not found",  # no widgets here
        "RLNOTES_COMMAND": command_line(sys.argv),
        **(environment or {}),
    }
    with _environment(variables):
        papermill.execute_notebook(
            notebook.resolve(),
            output.resolve(),
            parameters=dict(parameters or {}),
            kernel_name=KERNEL,
            cwd=cwd,
            progress_bar={"desc": "  cells", "leave": False, "disable": None},
            stdout_file=_StepEcho(),
            stderr_file=_BarEcho(),
            extra_arguments=["--log-level=ERROR"],  # of the kernel, not the notebook
        )


def run_notebook_with_config(
    notebook: str | os.PathLike[str],
    output: str | os.PathLike[str],
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> None:
    """Execute a notebook with the parameters of a YAML file and `overrides` over them.

    Raises FileNotFoundError for a missing file, ValueError for a parameter that the
    notebook's `parameters` cell does not have or that is of another type than the
    value there, both before anything runs.
    """
    notebook, output = Path(notebook), Path(output)
    if not notebook.is_file():
        raise FileNotFoundError(f"notebook: no file {notebook}")
    if config is None or isinstance(config, Mapping):
        values = dict(config or {})
    else:
        values = read_mapping(config)
    values |= overrides or {}
    check_parameters(notebook, values)
    _check_writable(output.parent)
    run_notebook(notebook, output, parameters=values)


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the notebook does not know or whose type is another's.

    An int is welcome where a float stands; where None stands, anything is. Raises
    ValueError.
    """
    import papermill

    known = papermill.inspect_notebook(notebook)
    for name, value in parameters.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(
                f"parameter {name!r} is unknown to {notebook.name}{hint};"
                f" it has {sorted(known)}"
            )
        _check_type(name, value, known[name]["default"])


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
    """Print the table (notebook, seconds, result) and the path to open."""
    width = max([len(result.name) for result in results] + [8])
    print(f"\n{'notebook':<{width}}  seconds  result")
    for result in results:
        outcome = f"failed {result.error}" if result.error else "ok"
        print(f"{result.name:<{width}}  {result.seconds:7.1f}  {outcome}")
    print(f"\nexecuted notebooks: {_shown(output)}", flush=True)


def _timed(notebook: Path, output: Path) -> NotebookResult:
    """Run one of several: an error becomes part of the result, and is shown at once."""
    start, error = time.perf_counter(), None
    records = {"RLNOTES_RUNS": str(output / "records")}
    copy, cwd = output / notebook.name, notebook.parent.resolve()
    try:
        run_notebook(notebook, copy, environment=records, cwd=cwd)
    except Exception as problem:
        error = _describe(problem)
        print(f"  {notebook.name} failed {error}", file=sys.stderr, flush=True)
    return NotebookResult(notebook.stem, time.perf_counter() - start, error)


def _describe(problem: Exception) -> str:
    """The cell and the error in one line."""
    name = getattr(problem, "ename", type(problem).__name__)
    text = str(getattr(problem, "evalue", problem)).strip().splitlines()
    message = f"{name}: {text[0]}" if text else str(name)
    cell = getattr(problem, "exec_count", None)
    return f"in cell [{cell}]: {message}" if cell else f"outside a cell: {message}"


def _check_type(name: str, value: Any, default: str) -> None:
    """Compare with the literal in the parameters cell; no literal, no opinion."""
    try:
        standing = ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return
    allowed = (int, float) if isinstance(standing, float) else (type(standing),)
    if standing is not None and value is not None and type(value) not in allowed:
        raise ValueError(
            f"parameter {name!r} must be {type(standing).__name__} like {standing!r},"
            f" got {value!r} ({type(value).__name__})"
        )


def _empty_folder(folder: Path) -> Path:
    """Make `folder`; ValueError if that fails or something is in it."""
    _check_writable(folder)
    if any(folder.iterdir()):
        raise ValueError(f"output folder {folder} is not empty; choose another")
    return folder


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"output folder {folder} cannot be written: {error.strerror}"
        ) from None


def _shown(path: Path) -> str:
    """A path as a user would type it from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the kernel that starts inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _StepEcho:
    """File for a notebook's stdout that lets only the lines of training steps pass."""

    def __init__(self) -> None:
        self._rest = ""

    def write(self, text: str) -> None:
        """Show whole lines that start with "step", above the progress bar."""
        from tqdm import tqdm

        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.lstrip().startswith("step"):
                tqdm.write(f"  {line}", file=sys.stdout)

    def flush(self) -> None:
        """Lines are shown as they end; nothing waits here."""
        sys.stdout.flush()


class _BarEcho:
    """File for a notebook's stderr that lets a progress bar through to a terminal."""

    def write(self, text: str) -> None:
        """Show a bar (it redraws its line) if a person is looking."""
        if "\r" in text and sys.stderr.isatty():
            sys.stderr.write(text)

    def flush(self) -> None:
        """Draw what was written."""
        sys.stderr.flush()
