"""Files that a kill leaves whole: replaced at once, or appended a line at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write into, so that `path` is the old or the new one, never half."""
    temporary = temporary_path(path)
    with temporary.open("wb") as file:
        yield file
        _flush(file)
    os.replace(temporary, path)


def replace_text(path: Path, text: str) -> None:
    """Write `text` so that the file is the old or the new one, never half of it."""
    with replacing(path) as file:
        file.write(text.encode())


def append_text(path: Path, text: str) -> None:
    """Append `text` and return when it is on the disk."""
    with path.open("ab") as file:
        file.write(text.encode())
        _flush(file)


def temporary_path(path: Path) -> Path:
    """Where `replacing` writes; a kill can leave it behind."""
    return path.with_name(path.name + ".tmp")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the system lets go of it however we end.

    Raises FileExistsError when another process holds it.
    """
    path = folder if fcntl else folder.with_name(folder.name + ".lock")
    descriptor = os.open(path, os.O_RDONLY if fcntl else os.O_RDWR | os.O_CREAT)
    try:
        _lock(descriptor)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        raise FileExistsError(f"{folder} is being written by another process") from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(descriptor)
        if path != folder:
            with suppress(PermissionError):  # another process holds it by now
                path.unlink()


def check_ours(folder: Path, names: Collection[str]) -> None:
    """Raise FileExistsError unless `folder` is a folder that holds nothing but `names`.

    What has one of our names in it may be replaced; a stranger's file never is.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise FileExistsError(f"{folder} is no folder of ours; it is left as it is")
    found = (path.name.removesuffix(".tmp") for path in folder.iterdir())
    foreign = sorted(set(found) - set(names))
    if foreign:
        raise FileExistsError(
            f"{folder} holds {foreign[0]!r}, which is not ours; it is left as it is:"
            " move it away or choose another folder"
        )


def remove_ours(folder: Path, names: Collection[str]) -> None:
    """Delete `folder` if it is there; FileExistsError as `check_ours`."""
    if folder.is_symlink() or folder.exists():
        check_ours(folder, names)
        shutil.rmtree(folder)


def whole_lines(text: str) -> str:
    """`text` without a last line that a kill cut short."""
    return text[: text.rfind("\n") + 1]


def read_mapping(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The names and values of a YAML file (`configs/dapo.yaml`).

    Raises FileNotFoundError when there is no such file, ValueError when it is no YAML
    or holds something else than names with values.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"config: no file {path}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"config: {path} is not valid YAML: {reason}") from None
    if not isinstance(values, dict) or not all(isinstance(k, str) for k in values):
        raise ValueError(f"config: {path} must map names to values, got {values!r:.60}")
    return values


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _lock(descriptor: int) -> None:
    """Take the lock or raise at once. Windows locks bytes of files, not folders."""
    if fcntl:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
