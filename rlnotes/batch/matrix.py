"""MATRIX: every config × seed × override through notebook 11, by papermill.

    rlnotes matrix configs/full/ladder.yaml --output runs/ladder

A file such as

    configs: [grpo.yaml, dapo.yaml]       # beside this file
    seeds: 0-2                            # or [0, 1, 2]
    overrides:                            # optional: a name for each set of parameters
      slow: {learning_rate: 1.0e-6}
      fast: {learning_rate: 3.0e-6}
    engine: trl                           # optional: default rlnotes

gives `<output>/<config>_<override>/<run>/` with the record of every run, and beside it
the executed notebook `<run>.ipynb`. As in a sweep, the command is its own
continuation.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlnotes.batch.one_notebook import check_parameters, run_notebook_with_config
from rlnotes.batch.plan import SweepRun, parse_seeds, plan_sweep
from rlnotes.engines import ENGINES
from rlnotes.engines.trl_config import check_expressible
from rlnotes.equations.validation import check_choice
from rlnotes.machine.files import read_mapping
from rlnotes.machine.provenance import project_folder
from rlnotes.records.run_folders import runs_folder

_NOTEBOOK = Path("notebooks") / "11_train.ipynb"
_KEYS = ("configs", "seeds", "overrides", "engine")


def plan_matrix(path: Path, *, output: Path | None = None) -> list[SweepRun]:
    """The runs that a file lists, for `sweeps.run_sweep`.

    Raises ValueError or FileNotFoundError before anything is written: for a file of
    another form, for whatever `plan_sweep` refuses, and for a parameter that the
    notebook does not have.
    """
    values = read_mapping(path)
    for key in values:
        check_choice("key", key, _KEYS)
    configs = [path.parent / name for name in _names("configs", values.get("configs"))]
    given = values.get("seeds", 0)  # 3, 0-4 or [0, 1]
    words = given if isinstance(given, list) else [given]
    seeds = parse_seeds(",".join(map(str, words)))
    engine = values.get("engine", "rlnotes")
    check_choice("engine", engine, ENGINES)
    notebook = project_folder() / _NOTEBOOK
    if not notebook.is_file():
        raise FileNotFoundError(f"notebook: no file {_NOTEBOOK}; run it from the clone")
    runs: dict[Path, SweepRun] = {}
    for name, parameters in _overrides(values.get("overrides")).items():
        for config in configs:
            folder = (output or runs_folder()) / f"{config.stem}{name}"
            for run in plan_sweep([config], seeds, output=folder, overrides=parameters):
                if run.folder in runs:
                    raise ValueError(f"configs: two runs would both be {run.folder}")
                if engine == "trl":
                    check_expressible(run.config)
                how = {"engine": engine, "resume": True}
                command = (*run.command, "--engine", engine)
                runs[run.folder] = replace(
                    run, notebook=notebook, how=how, command=command
                )
    first = next(iter(runs.values()))
    check_parameters(notebook, {**first.config.to_dict(), **first.how})
    return list(runs.values())


def execute(notebook: Path, parameters: Mapping[str, Any], folder: Path) -> None:
    """Train by the notebook into `folder`, the executed copy beside it.

    A SIGTERM ends the kernel as Ctrl-C does; a copy that was cut short keeps the name
    `<run>.partial.ipynb`.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["RLNOTES_RUNS"] = str(folder.parent.resolve())
    under_way = folder.with_name(folder.name + ".partial.ipynb")
    run_notebook_with_config(notebook, under_way, parameters)
    os.replace(under_way, folder.with_name(folder.name + ".ipynb"))


def _names(key: str, value: Any) -> list[str]:
    """A list of file names that is not empty, or ValueError."""
    good = isinstance(value, list) and value and all(isinstance(x, str) for x in value)
    if not good:
        raise ValueError(f"{key}: expected a list of YAML files, got {value!r}")
    return list(value)


def _overrides(value: Any) -> dict[str, dict[str, Any]]:
    """`_<name>` → parameters; without any, no suffix and no parameters."""
    if value is None:
        return {"": {}}
    good = isinstance(value, dict) and value
    if not good or not all(isinstance(x, dict) for x in value.values()):
        raise ValueError(
            f"overrides: expected a name with parameters for each, got {value!r}"
        )
    for name in value:
        if not str(name).replace("-", "_").replace(".", "_").isidentifier():
            raise ValueError(f"overrides: expected a name like fast, got {name!r}")
    return {f"_{name}": parameters for name, parameters in value.items()}
