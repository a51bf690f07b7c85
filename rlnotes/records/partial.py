"""What a kill leaves: the folder of an interrupted run, read back exactly."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlnotes.machine.files import (
    check_ours,
    read_mapping,
    replacing,
    temporary_path,
)
from rlnotes.records.rows import read_metrics, read_samples
from rlnotes.records.run_folders import OURS, check_free, is_free, partial_folder

_STATE = "state.pt"
_DECIDED_AT_START, _NOT_THE_RUN = ("bf16",), ("max_minutes", "save_policy")

_PROVENANCE = (
    "commit",
    "diff_hash",
    "cpu",
    "cpu_capability",
    "threads",
    "gpu",
    "rewards",
)


def check_startable(
    folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any],
    resume: bool,
) -> None:
    """Raise unless a run of `config` may start in `folder`, or with `resume` go on.

    FileExistsError when a run is there already; ValueError when the interrupted one
    has another config (`defaults` as in `check_config`).
    """
    folder = Path(folder)
    partial = partial_folder(folder)
    if is_free(partial) or not is_free(folder):
        check_free(folder)
    elif resume:
        check_ours(partial, OURS)
        check_config(partial, config, defaults)
    else:
        raise FileExistsError(
            f"an interrupted run is already in {partial}; resume it (--resume, in"
            " Python resume=True), remove it or choose another folder"
        )


def check_config(
    folder: Path, config: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Raise ValueError, naming each field, when the run in `folder` has another config.

    `bf16=None` is what was decided when the run began; another `max_minutes` or
    `save_policy` is no other run. A field that an older record does not know is as in
    `defaults`.
    """
    if not (folder / "config.yaml").is_file():  # killed before it was written
        return
    compare(read_mapping(folder / "config.yaml"), config, defaults, folder)


def compare(
    theirs: Mapping[str, Any],
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    folder: Path,
) -> None:
    """`check_config` for a config `theirs` that has been read."""
    ours = {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}
    known = {name: defaults[name] for name in ours if name in defaults}
    theirs = {**known, **theirs}
    ours |= {x: theirs.get(x) for x in _DECIDED_AT_START if ours.get(x) is None}
    ours |= {x: theirs.get(x) for x in _NOT_THE_RUN}
    differences = [
        f"{name} was {theirs.get(name)!r}, is {ours.get(name)!r}"
        for name in {**theirs, **ours}
        if theirs.get(name) != ours.get(name)
    ]
    if differences:
        raise ValueError(
            f"config: the run in {folder} has another: {'; '.join(differences)}"
        )


def check_same(
    folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any],
) -> None:
    """Raise ValueError where `folder` or its `.partial` is a run of another config.

    For whoever overwrites: a repetition replaces its like, never another run.
    """
    for place in (Path(folder), partial_folder(Path(folder))):
        check_config(place, config, defaults)


def decided_before(
    folder: str | os.PathLike[str], config: Mapping[str, Any]
) -> dict[str, Any]:
    """What an interrupted run in `folder` took for fields that are None in `config`.

    {} where there is none: a run that is resumed keeps the precision it began with.
    """
    path = partial_folder(Path(folder)) / "config.yaml"
    theirs = read_mapping(path) if path.is_file() else {}
    names = [x for x in _DECIDED_AT_START if config.get(x) is None]
    return {x: theirs[x] for x in names if theirs.get(x) is not None}


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the state in `folder`, at once. Raises OSError when it cannot."""
    import torch

    try:
        with replacing(folder / _STATE) as file:
            torch.save(dict(state), file)
    except (OSError, RuntimeError) as error:
        temporary_path(folder / _STATE).unlink(missing_ok=True)
        reason: BaseException | None = error
        while reason is not None and not isinstance(reason, OSError):
            reason = reason.__context__  # torch's is about its own positions
        said = (reason and getattr(reason, "strerror", None)) or error
        raise OSError(
            f"the state cannot be saved in {folder} ({said}); with save_steps=0 the"
            " run goes without, and cannot be resumed"
        ) from None


def load_state(folder: Path) -> dict[str, Any] | None:
    """The state in `folder`; None when the run was killed before its first save.

    Raises ValueError when the file is damaged.
    """
    import torch

    path = folder / _STATE
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch.load compares no checksum
        if damaged:
            raise ValueError(f"checksum of {damaged}")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each kind of damage raises another one
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(
            f"the saved state {path} is damaged ({reason}); remove {folder} to start"
            " over"
        ) from None


def remove_state(folder: Path) -> None:
    """Delete the state and what a kill left of an attempt to save one."""
    for path in (folder / _STATE, temporary_path(folder / _STATE)):
        path.unlink(missing_ok=True)


def rows_up_to(folder: Path, last: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of metrics.csv up to step `last`, exactly as they were logged.

    Raises ValueError when the row of that step is missing.
    """
    kept = [x for x in read_metrics(folder / "metrics.csv")[1] if x["step"] <= last]
    if last != (kept[-1]["step"] if kept else 0):
        raise ValueError(
            f"metrics.csv in {folder} has no row of step {last}, where the saved state"
            f" is; remove {folder} to start over"
        )
    # a column that came with a later step is not there yet
    return list(dict.fromkeys(["step", *(key for row in kept for key in row)])), kept


def samples_up_to(folder: Path, last: int, count: int | None) -> str:
    """The lines of samples.jsonl up to step `last`.

    Raises ValueError unless they are `count` (None: an older state, which cannot tell).
    """
    path = folder / "samples.jsonl"
    found = read_samples(path) if path.is_file() else []
    kept = [line for line, one in found if one["step"] <= last]
    if count is not None and len(kept) != count:
        raise ValueError(
            f"{path} has {len(kept)} samples up to step {last}, the saved state knows"
            f" {count}; remove {folder} to start over"
        )
    return "".join(line + "\n" for line in kept)


def differing_provenance(
    first: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """What the bits depend on and this session has another of: name → (first, now)."""
    pairs = {name: (first.get(name), now.get(name)) for name in _PROVENANCE}
    for name, version in now["versions"].items():
        pairs[name] = (first.get("versions", {}).get(name), version)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
