"""Are Python, torch and transformers such as rlnotes is tested with? Says it in a line.

The ranges are those of `pyproject.toml`, read from the installed package: pip keeps
them, but a GPU image or Colab brings a torch of its own. Nothing here imports torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata

PYTHON = (3, 11)
WATCHED = ("torch", "transformers")


def too_old() -> str | None:
    """What is older than the oldest tested version, and what to do; else None."""
    if sys.version_info[:2] < PYTHON:
        found, needed = (".".join(map(str, v[:2])) for v in (sys.version_info, PYTHON))
        return (
            f"this is Python {found}, rlnotes needs {needed} or newer; with make:"
            f" make PYTHON=python{needed}"
        )
    return next((line for line, old in _out_of_range() if old), None)


def too_new() -> str | None:
    """What is newer than everything tested, and what to do if it fails; else None."""
    return next((line for line, old in _out_of_range() if not old), None)


def checkpointing_field() -> str:
    """What `TrainingArguments` calls activation checkpointing: renamed in 5.23."""
    from packaging.version import Version

    old = Version(metadata.version("transformers")) < Version("5.23")
    return "gradient_checkpointing" if old else "activation_checkpointing"


def _out_of_range() -> Iterator[tuple[str, bool]]:
    """A line for each watched package out of its range, and whether it is too old."""
    from packaging.requirements import Requirement  # transformers needs it too
    from packaging.specifiers import SpecifierSet

    try:
        needed = [Requirement(line) for line in metadata.requires("rlnotes") or []]
    except metadata.PackageNotFoundError:  # a clone that was put on the path
        return
    for requirement in needed:
        name, tested = requirement.name, requirement.specifier
        if name not in WATCHED:
            continue
        version = metadata.version(name)
        if not tested.contains(version, prereleases=True):
            low = SpecifierSet(",".join(str(s) for s in tested if s.operator == ">="))
            yield (
                f"{name} {version} is not in the range that rlnotes is tested with:"
                f" pip install '{name}{tested}'",
                not low.contains(version, prereleases=True),
            )
