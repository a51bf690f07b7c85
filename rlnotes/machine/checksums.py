"""CHECKSUMS of a folder's files: whether what lies there is what was put there."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from rlnotes.machine.files import replace_text

SUMS = "SHA256SUMS"


def write_sums(folder: Path) -> None:
    """Note size and SHA-256 of every file; `sha256sum -c` reads the second and third.

    A line a file: `<sha256>  <name>`, behind a line of sizes that is a comment.
    """
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    sizes = " ".join(f"{path.name}={path.stat().st_size}" for path in files)
    sums = [f"{_digest(path, path.stat().st_mtime_ns)}  {path.name}" for path in files]
    replace_text(folder / SUMS, "\n".join([f"# {sizes}", *sums, ""]))


def find_damage(folder: Path, *, by_hash: bool = False) -> str:
    """What is missing or changed since `write_sums`, in a few words; "" if nothing.

    By size alone, which is at once, or also `by_hash`, once a process and file.
    """
    try:
        comment, *lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sizes = dict(word.rsplit("=", 1) for word in comment[2:].split())
        sums = {name: digest for digest, name in (x.split("  ", 1) for x in lines)}
    except (OSError, ValueError):
        return f"{SUMS} cannot be read"
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != int(size):
            return f"{name} has {path.stat().st_size} bytes, expected {size}"
        if by_hash and _digest(path, path.stat().st_mtime_ns) != sums.get(name):
            return f"{name} has another SHA-256"
    return ""


@functools.cache
def _digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
