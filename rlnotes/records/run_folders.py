"""Where runs lie and what they are called.

runs/                                                  a user's own, git-ignored
data/runs/<algorithm>_<task>_<policy>_seed<k>/         recorded and committed
<any of these>.partial/                                running, or interrupted
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlnotes.machine.provenance import project_folder

RunPaths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
PARTIAL = ".partial"
_PARTIAL_META = os.path.join(PARTIAL, "meta.json")
RUN_FILES = ("metrics.csv", "samples.jsonl", "config.yaml", "meta.json")
OURS = (*RUN_FILES, "state.pt", "checkpoints", "policy", "rewards", "best")
"""All that we ever write into a run's folder: a folder with more is not ours."""
NAME_PARTS = ("algorithm", "task", "policy", "seed")


def runs_folder() -> Path:
    """Folder of a user's own runs: `RLNOTES_RUNS`, else `runs/` of the project."""
    return Path(os.environ.get("RLNOTES_RUNS") or project_folder() / "runs")


def run_name(config: Mapping[str, Any]) -> str:
    """Folder name of a run: `<algorithm>_<task>_<policy>_seed<k>`.

    A policy that is a folder or a hub id gives its last part, the kept policy of a run
    that run's name, and a character that is
    no letter, digit, dot or hyphen becomes a hyphen. Raises ValueError when one of
    `algorithm`, `task`, `policy`, `seed` is missing.
    """
    missing = [key for key in NAME_PARTS if key not in config]
    if missing:
        raise ValueError(
            f"config: a run is named by {list(NAME_PARTS)},"
            f" {missing} missing in {sorted(config)}"
        )
    parts = [str(config["algorithm"]), str(config["task"])]
    path = Path(str(config["policy"]))
    kept = path.name == "policy" and path.parent.name  # the next stage of that run
    parts += [kept or path.name, f"seed{config['seed']}"]
    return "_".join(
        "".join(c if c.isalnum() or c in ".-" else "-" for c in part) for part in parts
    )


def is_run(folder: Path) -> bool:
    """Whether `folder` is a whole run."""
    return (folder / "meta.json").is_file()


def is_free(folder: Path) -> bool:
    """Whether a run may be moved to `folder`: nothing is there, or an empty folder."""
    if folder.is_symlink() or not folder.is_dir():
        return not (folder.exists() or folder.is_symlink())
    return not any(folder.iterdir())


def check_free(folder: str | os.PathLike[str]) -> None:
    """Raise FileExistsError when `folder` is a run already, whole or interrupted.

    Or something else than an empty folder.
    """
    folder = Path(folder)
    for path, what in (
        (folder, "a run"),
        (partial_folder(folder), "an interrupted run"),
    ):
        if not is_free(path):
            what = what if is_run(path) else "something else than a run"
            raise FileExistsError(
                f"{what} is already in {path}; remove it or choose another folder"
            )


def partial_folder(folder: Path) -> Path:
    """Where the run of `folder` is while it is being written."""
    return folder.with_name(folder.name + PARTIAL)


def find_runs(runs: RunPaths) -> list[Path]:
    """Run folders behind a folder, a glob pattern, or an iterable of them, sorted.

    Raises FileNotFoundError when one of them matches no run.
    """
    found: list[Path] = []
    for entry in [runs] if isinstance(runs, (str, os.PathLike)) else runs:
        path = Path(entry)
        if (path / "meta.json").is_file():
            found.append(path)
            continue
        pattern = str(path / "*") if path.is_dir() else str(path)
        metas = sorted(glob.glob(os.path.join(pattern, "meta.json")))
        matches = [Path(m).parent for m in metas if not m.endswith(_PARTIAL_META)]
        if not matches:
            raise FileNotFoundError(f"runs: no run folder matches {str(path)!r}")
        found += matches
    return found
