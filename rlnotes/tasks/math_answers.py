"""MATHEMATICAL EQUALITY of two short answers, by math-verify in a process of its own.

math-verify stops a comparison that runs for ever by an alarm signal. A thread has no
such signal, and a power that Python computes in C never looks at it. Here a child
process compares: its processor time and memory are limited by the system, it is started
again when it has been stopped, and any thread may ask it.

The child reads LaTeX by a grammar; the part of math-verify that would hand plain text
to `sympy.parse_expr`, and so to `eval`, is not used.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from functools import lru_cache
from typing import Any

try:
    import resource
except ImportError:  # Windows: no limits there
    resource = None  # type: ignore[assignment]

SECONDS = 2
"""Processor time of one comparison; a usual one takes some milliseconds."""
LONGEST = 300
"""Characters; a longer answer equals nothing but its own text."""
_MEMORY = 4 << 30  # bytes of address space, torch's libraries not among them

_lock = threading.Lock()
_children: dict[int, subprocess.Popen[str]] = {}  # by our process id: a fork has none


def check_installed(name: str) -> None:
    """Raise ImportError, naming the task that needs it, without math-verify."""
    if importlib.util.find_spec("math_verify") is None:
        raise ImportError(
            f"task {name!r} compares answers by math-verify:"
            " pip install 'rlnotes[tasks]', or take verifier=number"
        )


@lru_cache(maxsize=16_384)
def equal_answers(answer: str, reference: str) -> bool:
    """Whether two answers mean the same: "0.5" and r"\\frac{1}{2}". Never raises.

    False when it cannot be told within `SECONDS` of processor time, and for anything
    longer than `LONGEST` characters.
    """
    if not answer.strip() or max(len(answer), len(reference)) > LONGEST:
        return False
    with _lock:
        return _ask(json.dumps([answer, reference]))


def _ask(question: str) -> bool:
    """One line to the child, one back; none comes from a child that was stopped."""
    child = _children.get(os.getpid())
    if child is None or child.poll() is not None:
        child = _children[os.getpid()] = _start()
    assert child.stdin is not None and child.stdout is not None
    try:
        child.stdin.write(question + "\n")
        child.stdin.flush()
        reply = child.stdout.readline()
    except OSError:
        reply = ""
    if not reply:
        child.kill()
        child.communicate()
    return reply == "true\n"


def _start() -> subprocess.Popen[str]:
    """The child, once it is ready; it ends when our end of its input is closed."""
    child = subprocess.Popen(
        [sys.executable, "-m", "rlnotes.tasks.math_answers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


def _serve() -> None:
    """The child: a verdict for every line."""
    _equal("1", "2")  # the grammar takes a second to load
    _limit_memory()
    print("ready", flush=True)
    for line in sys.stdin:
        _limit_time()
        print(json.dumps(_equal(*json.loads(line))), flush=True)


def _equal(answer: str, reference: str) -> bool:
    from math_verify import LatexExtractionConfig, parse, verify

    def read(text: str) -> Any:
        config = [LatexExtractionConfig()]
        return parse(f"${text}$", config, parsing_timeout=None)  # type: ignore[arg-type]

    try:
        gold, mine = read(reference), read(answer)
        return bool(verify(gold, mine, timeout_seconds=None))
    except Exception:  # RecursionError, MemoryError: nothing that was shown to be equal
        return False


def _limit_memory() -> None:
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _limit_time() -> None:
    """Let the system end this process `SECONDS` from now, C code or not."""
    if resource is not None:
        limit = int(time.process_time()) + SECONDS + 1  # whole seconds only
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


if __name__ == "__main__":
    _serve()
