"""Command line of rlnotes: `rlnotes --help`.

A command is one function with its options above it (`options.command`). Whatever is
slow to import is imported inside the function, so that help comes at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from rlnotes.cli import (  # noqa: F401 (their commands)
    gpu,
    notebooks,
    policies,
    results,
    training,
)
from rlnotes.cli.options import parse, parse_overrides
from rlnotes.machine.versions import too_new, too_old

__all__ = ["main", "parse_overrides"]
ERRORS = (ValueError, OSError, RuntimeError, ImportError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    0: done. 1: it ran and something failed. 2: bad input, in one line on stderr (the
    traceback with `--debug`). 130: interrupted. 141: nobody reads the output any more.
    """
    for stream in (sys.stdout, sys.stderr):  # an ASCII terminal shows a ? for a ±
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    name, handler, debug, options = parse(argv)
    if refusal := too_old():
        print(f"rlnotes: {refusal}", file=sys.stderr)
        return 2
    if remark := too_new():
        print(f"rlnotes: {remark}", file=sys.stderr)
    try:
        status = handler(**options)
        sys.stdout.flush()
        return status or 0
    except KeyboardInterrupt:
        print("rlnotes: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `rlnotes table | head`: Python's own flush must not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ERRORS as error:
        if debug:
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"rlnotes {name}: {message}", file=sys.stderr)
        return 2
