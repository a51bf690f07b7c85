"""Execute one notebook by papermill, with parameters that were checked before.

`rlnotes notebook` is `run_notebook_with_config`: what `papermill IN OUT -f FILE -p name
value` does, but a parameter that the notebook does not know, of which papermill only
warns, is refused.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from rlnotes.equations.names import did_you_mean
from rlnotes.machine.files import read_mapping
from rlnotes.machine.free import thread_environment
from rlnotes.machine.provenance import command_line

KERNEL = "python3"


def run_notebook(
    notebook: Path,
    output: Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    cwd: Path | None = None,
    label: str = "",
) -> None:
    """Execute one notebook with a progress bar and write the executed copy.

    `cwd` is the working directory; the kernel's environment is this process's
    (`kernel_environment`). Lines that a cell prints and that start with "step 1" are
    shown as they come, behind `label`, and so are progress bars on a terminal. A kernel
    that dies before its first answer is started again, twice. Raises papermill's
    PapermillExecutionError for a failing cell; the copy then ends there.
    """
    import papermill

    for attempt in range(3):
        try:
            papermill.execute_notebook(
                notebook.resolve(),
                output.resolve(),
                parameters=dict(parameters or {}),
                kernel_name=KERNEL,
                cwd=cwd,
                progress_bar={"desc": "  cells", "leave": False, "disable": None},
                stdout_file=_StepEcho(label),
                stderr_file=_BarEcho(),
                extra_arguments=["--log-level=ERROR"],  # the kernel's own
            )
            return
        except RuntimeError as error:  # another kernel took its port; nothing ran yet
            if attempt == 2 or "before replying to kernel_info" not in str(error):
                raise


@contextlib.contextmanager
def kernel_environment(**variables: str) -> Iterator[None]:
    """Within, kernels that start know our command, the free cores, and `variables`.

    The environment belongs to the whole process: one such block around all notebooks
    that run at a time.
    """
    known = {"RLNOTES_COMMAND": command_line(sys.argv), **thread_environment()}
    with mock.patch.dict(os.environ, known | variables):  # undone afterwards
        yield


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
    given = config or {}
    values = dict(given) if isinstance(given, Mapping) else read_mapping(given)
    values |= overrides or {}
    check_parameters(notebook, values)
    make_writable(output.parent)
    with kernel_environment():
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
            raise ValueError(
                f"parameter {name!r} is unknown to {notebook.name}, which has"
                f" {sorted(known)}{did_you_mean(name, known)}"
            )
        _check_type(name, value, known[name]["default"])


def make_writable(folder: Path) -> None:
    """Make `folder` where it is missing; ValueError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"output folder {folder} cannot be written: {error.strerror}"
        ) from None


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


class _StepEcho(io.TextIOBase):
    """File for a notebook's stdout that lets only the lines of training steps pass."""

    def __init__(self, label: str = "") -> None:
        super().__init__()
        self.label, self.rest = label, ""

    def write(self, text: str) -> int:
        from tqdm import tqdm

        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            if re.match(r"\s*step\s+\d", line):
                tqdm.write(
                    f"  {self.label}{line}", file=sys.stdout
                )  # above the progress bar
                sys.stdout.flush()
        return len(text)


class _BarEcho(io.TextIOBase):
    """File for a notebook's stderr that lets a progress bar through to a terminal."""

    def write(self, text: str) -> int:
        if "\r" in text and sys.stderr.isatty():  # a bar redraws its line
            print(text, end="", file=sys.stderr, flush=True)
        return len(text)
