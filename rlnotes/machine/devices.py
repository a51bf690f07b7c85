"""DEVICE: where a policy runs, the same bits again, what to lower when it is full."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

SAMPLING = ("generation_batch_size", "max_completion_length")
UPDATING = ("per_device_train_batch_size", *SAMPLING)
"""Fields that memory grows with, the one that changes the run least first."""
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def best_device() -> torch.device:
    """The accelerator if torch finds one, else the CPU; Apple's is left alone.

    `CUDA_VISIBLE_DEVICES=` (nothing behind it) hides a GPU from torch. On "mps" nothing
    here was ever run, and it lacks float64.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if found is None or found.type == "mps" else found


@contextlib.contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Within, torch uses deterministic algorithms alone; afterwards as before.

    An operation that has none raises RuntimeError. On a GPU the first use in a process
    must come before cuBLAS starts, which reads its setting once.
    """
    if not wanted:
        yield
        return
    before = torch.get_deterministic_debug_mode(), os.environ.get(_CUBLAS)
    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    os.environ.setdefault(_CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        cudnn.deterministic, cudnn.benchmark = flags
        if before[1] is None:
            os.environ.pop(_CUBLAS, None)


@contextlib.contextmanager
def naming_what_to_lower(config: object, doing: str, *names: str) -> Iterator[None]:
    """Turn running out of memory into a RuntimeError that names fields of `config`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        values = [f"{name} (is {getattr(config, name)})" for name in names]
        raise RuntimeError(
            f"out of memory while {doing}: lower {' or '.join(values)};"
            " `rlnotes size --config FILE` says what fits"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of a GPU or of the machine."""
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or "DefaultCPUAllocator: can't allocate memory" in str(error)
