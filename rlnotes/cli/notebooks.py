"""Commands before and around the notebooks: check, fetch, run, notebook."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

from rlnotes.cli.options import command, option, output, parameters, parse_overrides


@command()
def check() -> int:
    """Versions, device, cache and a one-second self-test."""
    from rlnotes.batch.check import run_check

    return run_check()


@command()
def fetch() -> None:
    """Download and convert the embedded model, once."""
    from rlnotes.policies.embedded import fetch_embedded_model

    print(f"smollm2-135m is in {fetch_embedded_model()}")


@command(
    option("--only", nargs="+", metavar="NAME", help="like 03_grpo"),
    output("new folder"),
    option("--jobs", type=int, metavar="N", help="default: 2 if there is room, else 1"),
)
def run(only: list[str] | None, output: Path | None, jobs: int | None) -> int:
    """Execute the notebooks in order into runs/<time>/.

    0 if every notebook ran through, 1 if one failed.
    """
    from rlnotes.batch.notebook_runner import find_notebooks, run_notebooks
    from rlnotes.batch.notebook_times import speed_here
    from rlnotes.machine.provenance import project_folder
    from rlnotes.records.run_folders import runs_folder

    folder = project_folder() / "notebooks"
    output = output or runs_folder() / datetime.now().strftime("%F_%H-%M-%S")
    find_notebooks(folder, only)
    # In a process of its own: torch's memory is gone when the notebooks start. A model
    # that cannot be had is said here, and the notebooks that do without it still run.
    subprocess.run([sys.executable, "-m", "rlnotes.cli", "fetch"])
    speed = speed_here(folder)
    results = run_notebooks(folder, output, only, jobs=jobs, speed=speed)
    return int(any(result.error for result in results))


@command(
    option("notebook", type=Path, metavar="NOTEBOOK"),
    option("output", type=Path, metavar="OUTPUT"),
    *parameters(),
)
def notebook(
    notebook: Path, output: Path, config: Path | None, overrides: list[str]
) -> None:
    """Execute one notebook; an unknown parameter is refused."""
    from rlnotes.batch.one_notebook import run_notebook_with_config

    run_notebook_with_config(notebook, output, config, parse_overrides(overrides))
    print(f"executed notebook: {output}")
