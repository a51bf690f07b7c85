"""A folder is held by one process at a time, by flock or as Windows does it."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
import types
from pathlib import Path

import pytest

from rlnotes.machine import files
from rlnotes.machine.files import locked
from rlnotes.records.reading import load_run
from rlnotes.records.recording import RunRecorder

TRY = """
import sys
from pathlib import Path
from rlnotes.machine.files import locked
with locked(Path(sys.argv[1])):
    pass
"""


def another_process(folder) -> str:
    """The last line that a process says which tries to hold `folder`, "" if it can."""
    command = [sys.executable, "-c", TRY, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr.strip().rpartition("\n")[2]


def test_a_held_folder_is_refused_and_free_afterwards(tmp_path):
    with locked(tmp_path):
        assert "is being written by another process" in another_process(tmp_path)
    assert another_process(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch):
    def flock(descriptor, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with locked(tmp_path):
        pass


@pytest.fixture
def windows(monkeypatch):
    """No fcntl, and an msvcrt that locks a byte of a file until it is closed."""

    def locking(descriptor, mode, count):
        assert (mode, count) == ("LK_NBLCK", 1)
        assert stat.S_ISREG(os.fstat(descriptor).st_mode), "a folder has no bytes"
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    msvcrt = types.SimpleNamespace(locking=locking, LK_NBLCK="LK_NBLCK")
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr(files, "fcntl", None)


def test_windows_locks_a_file_beside_the_folder(tmp_path, windows):
    folder = tmp_path / "run.partial"
    folder.mkdir()
    for _ in range(2):
        with locked(folder):
            assert sorted(x.name for x in tmp_path.iterdir()) == [
                "run.partial",
                "run.partial.lock",
            ]
            with pytest.raises(FileExistsError, match="written by another process"):
                with locked(folder):
                    pass
            folder.rename(tmp_path / "run")  # which a file open in it would forbid
        assert [x.name for x in tmp_path.iterdir()] == ["run"]
        (tmp_path / "run").rename(folder)


def test_windows_leaves_a_lock_that_the_next_process_holds(
    tmp_path, windows, monkeypatch
):
    def unlink(path):
        raise PermissionError(errno.EACCES, "used by another process", str(path))

    monkeypatch.setattr(Path, "unlink", unlink)
    for _ in range(2):
        with locked(tmp_path / "run"):
            pass


def test_windows_records_a_run_and_goes_on_with_it(tmp_path, windows):
    """The whole recorder on that lock: interrupted, held by another, finished."""
    run = RunRecorder(tmp_path / "run", {"seed": 0})
    with pytest.raises(KeyboardInterrupt), run:
        run.log(1, {"reward": 0.5})
        run.save_state({"step": 1})
        raise KeyboardInterrupt
    with RunRecorder(tmp_path / "run", {"seed": 0}, resume=True) as run:
        with pytest.raises(FileExistsError, match="written by another process"):
            RunRecorder(tmp_path / "run", {"seed": 0}, resume=True).__enter__()
        run.log(2, {"reward": 1.0})
    assert load_run(tmp_path / "run").metrics["step"].tolist() == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
