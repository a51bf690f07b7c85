"""MATHEMATICAL EQUALITY of two formulas, by math-verify in a process of its own.

math-verify stops a comparison that runs for ever by an alarm signal. A thread has no
such signal, and a power that Python computes in C never looks at it. Here a helper
process keeps the grammar loaded and forks a worker that compares: the system ends the
worker when its processor time is over, and a new fork is there in milliseconds. Threads
take helpers of their own, at most `_MOST_HELPERS`.

The worker reads LaTeX by a grammar; the part of math-verify that would hand plain text
to `sympy.parse_expr`, and so to `eval`, is not used.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from functools import lru_cache
from typing import IO, Any

try:
    import resource
except ImportError:  # Windows: no limits there
    resource = None  # type: ignore[assignment]

SECONDS = 1.0
"""Processor time of one comparison at most; a usual one takes some milliseconds."""
LONGEST = 300
"""Characters; a longer answer equals nothing but its own text."""
_SHORTEST = 0.2  # seconds: what is left to each once much time has been lost
_SHORTEST_FOR_POWERS = 0.008
_LARGE_POWER = re.compile(r"\^\s*(?:\{?\s*-?\d{2,}|\{[^{}]*[\^{])|\d{9}")
_USUAL = 0.05  # seconds that any comparison may take; what is more counts as lost
_CREDIT = 1.0  # seconds that may be lost together
_REFILL = 0.1  # seconds of credit for every second that passes
_MEMORY = 4 << 30  # bytes of address space, torch's libraries not among them
_MOST_HELPERS = 4


class _Patience:
    """How long a comparison may take, and how many were stopped, in this process."""

    def __init__(self) -> None:
        self.credit, self.seen, self.stopped = _CREDIT, time.monotonic(), 0
        self._lock = threading.Lock()

    def limit(self, answer: str) -> float:
        shortest = _SHORTEST_FOR_POWERS if _LARGE_POWER.search(answer) else _SHORTEST
        with self._lock:
            now = time.monotonic()
            self.credit = min(_CREDIT, self.credit + _REFILL * (now - self.seen))
            self.seen = now
            return max(shortest, min(SECONDS, self.credit))

    def took(self, seconds: float, *, stopped: bool) -> None:
        with self._lock:
            self.credit = max(0.0, self.credit - max(0.0, seconds - _USUAL))
            self.stopped += stopped


class _Stopped(Exception):
    """A comparison that took longer than it may."""


_patience = _Patience()
_helpers: dict[int, list[subprocess.Popen[str]]] = {}  # free ones, by our process id
_places = threading.BoundedSemaphore(_MOST_HELPERS)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: globals().update(_fresh()))


def _fresh() -> dict[str, Any]:
    """A fork has no helpers, and locks that nobody holds."""
    places = threading.BoundedSemaphore(_MOST_HELPERS)
    return {"_patience": _Patience(), "_helpers": {}, "_places": places}


def timed_out_verdicts() -> int:
    """How many comparisons were stopped in this process so far; they count as wrong."""
    return _patience.stopped


def check_installed(name: str) -> None:
    """Raise ImportError, naming the task that needs it, without math-verify."""
    if importlib.util.find_spec("math_verify") is None:
        raise ImportError(
            f"task {name!r} compares answers by math-verify:"
            " pip install 'rlnotes[tasks]', or take verifier=number"
        )


def equal_answers(answer: str, reference: str) -> bool:
    """Whether two formulas mean the same: "0.5" and r"\\frac{1}{2}". Never raises.

    False when it cannot be told within `SECONDS` of processor time (less after some
    that were slow: `_CREDIT` seconds may be lost together), for anything longer than
    `LONGEST` characters, and without math-verify.
    """
    if not answer.strip() or max(len(answer), len(reference)) > LONGEST:
        return False
    try:
        return _compared(answer, reference)
    except _Stopped:
        return False


@lru_cache(maxsize=16_384)
def _compared(answer: str, reference: str) -> bool:
    """The verdict, kept unless the comparison was stopped early."""
    with _places:
        limit = _patience.limit(answer)
        question = json.dumps([answer, reference, limit])
        start = time.monotonic()
        # a helper that somebody killed while it waited is no verdict
        reply = _asked(question) or _asked(question)
    done = reply in ("true", "false")
    spent = min(time.monotonic() - start, limit)  # without the start of a helper
    _patience.took(spent, stopped=not done)
    if done:
        return reply == "true"
    if limit >= SECONDS:
        return False
    raise _Stopped


def _asked(question: str) -> str:
    """The reply of a free helper, or of a new one."""
    free = _helpers.setdefault(os.getpid(), [])
    helper = free.pop() if free else _start()
    if reply := _ask(helper, question):
        free.append(helper)
    return reply


def _ask(helper: subprocess.Popen[str], question: str) -> str:
    """One line there, one back; "" from a helper that is gone."""
    assert helper.stdin is not None and helper.stdout is not None
    try:
        helper.stdin.write(question + "\n")
        helper.stdin.flush()
        reply = helper.stdout.readline().strip()
    except OSError:
        reply = ""
    if not reply:
        helper.kill()
        helper.communicate()
    return reply


def _start() -> subprocess.Popen[str]:
    """A helper, once it is ready; it ends when our end of its input is closed."""
    helper = subprocess.Popen(
        [sys.executable, "-m", "rlnotes.tasks.math_answers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    assert helper.stdout is not None
    helper.stdout.readline()
    return helper


def _serve() -> None:
    """The helper: a verdict for every line, or "stopped"."""
    _equal("1", "2")  # the grammar takes a second to load
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    print("ready", flush=True)
    worker = None
    for line in sys.stdin:
        worker = worker or _fork()
        worker[0].write(line)
        worker[0].flush()
        reply = worker[1].readline()
        if not reply:
            for end in worker:
                end.close()
            os.wait()
            worker = None
        print(reply.strip() or "stopped", flush=True)


def _fork() -> tuple[IO[str], IO[str]]:
    """A worker's input and output: a copy of this process that may be ended."""
    there, ours = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(there[1])
        os.close(ours[0])
        with os.fdopen(there[0]) as questions, os.fdopen(ours[1], "w") as replies:
            for line in questions:
                answer, reference, seconds = json.loads(line)
                signal.setitimer(signal.ITIMER_PROF, seconds)  # ends C code as well
                verdict = _equal(answer, reference)
                signal.setitimer(signal.ITIMER_PROF, 0)
                print(json.dumps(verdict), file=replies, flush=True)
        os._exit(0)
    os.close(there[0])
    os.close(ours[1])
    return os.fdopen(there[1], "w"), os.fdopen(ours[0])


def _equal(answer: str, reference: str) -> bool:
    from math_verify import LatexExtractionConfig, parse, verify

    def read(text: str) -> Any:
        config = [LatexExtractionConfig()]
        return parse(f"${text}$", config, parsing_timeout=None)  # type: ignore[arg-type]

    try:
        gold, mine = read(reference), read(answer)
        exact: Any = {"float_rounding": 40, "numeric_precision": 50}
        return bool(verify(gold, mine, timeout_seconds=None, **exact))
    except Exception:  # RecursionError, MemoryError: nothing that was shown to be equal
        return False


if __name__ == "__main__":
    _serve()
