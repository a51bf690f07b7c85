"""RATES: how fast this machine multiplies; what precision and how many steps follow.

A CPU with AVX-512 BF16 or AMX, and most GPUs, multiply in bfloat16 several times as
fast as in float32. A CPU without emulates it and takes 5 to 40 times as long. What a
machine has is not written in its name, so it is measured: once a process, in a few
hundredths of a second (where bfloat16 is slow, in some tenths).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from functools import cache

import torch

PAYS = 1.2
"""bfloat16 is taken where a product runs at least so many times as fast: it rounds to
three digits, and a tie is not worth that."""
FULL_LIVE_RUN = 80.0
"""GFLOP/s at which a notebook's live run has all its steps: one core with AVX-512."""
_SHAPES = {"cpu": (256, 576, 1536), "cuda": (4096, 4096, 4096)}
_ENOUGH = 0.02  # seconds after which a rate is known; a first, untimed product warms up


@cache
def product_rates(device: str = "cpu") -> dict[str, float]:
    """GFLOP/s of one product in "float32" and in "bfloat16" on a type of device.

    A CPU's are those of one core, by the seconds that it worked for us, so that other
    processes do not turn the answer; the best of some repetitions. The size is that of
    SmolLM2's layers on a CPU, of a large model's on a GPU.
    """
    rows, width, columns = _SHAPES.get(device, _SHAPES["cuda"])
    rates = {}
    with _one_thread(device == "cpu"):
        for name in ("float32", "bfloat16"):
            dtype = getattr(torch, name)
            a = torch.ones(rows, width, dtype=dtype, device=device)
            b = torch.ones(width, columns, dtype=dtype, device=device)
            seconds = min(_timed_products(a, b))
            rates[name] = 2e-9 * rows * width * columns / seconds
    return rates


def bfloat16_pays(device: str = "cpu") -> bool:
    """Whether `bf16=None` becomes True on a type of device: `PAYS` times as fast."""
    rates = product_rates(device)
    return rates["bfloat16"] >= PAYS * rates["float32"]


def live_steps(steps: int, device: str = "cpu", *, at_least: int = 2) -> int:
    """Steps that a notebook's live run makes here, of `steps` on a fast machine.

    steps · min(1, rate / 80 GFLOP/s), rounded down, `at_least` of them; the rate is the
    better one of both precisions. The recorded runs carry the claims, so that a slower
    machine loses the sight of later steps and no result.
    """
    rate = max(product_rates(device).values())
    return min(steps, max(at_least, int(steps * rate / FULL_LIVE_RUN)))


@cache
def say_what_bfloat16_costs(device: str) -> None:
    """One line on stderr, once a process, where bfloat16 is slower than float32."""
    rates = product_rates(device)
    times = rates["float32"] / rates["bfloat16"]
    if times > 1:
        print(
            f"rlnotes: bf16=true: a product in bfloat16 takes {times:.1f} times as long"
            " as in float32 on this machine; bf16=false or no bf16 at all is faster",
            file=sys.stderr,
        )


def _timed_products(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    """Seconds of each product a·b until `_ENOUGH` is spent, at least one."""
    clock = time.thread_time if a.device.type == "cpu" else time.perf_counter
    with torch.no_grad():
        (a[:8] @ b).sum().item()
        seconds: list[float] = []
        while sum(seconds) < _ENOUGH:
            start = clock()
            (a @ b)[0, 0].item()  # waits for a GPU
            seconds.append(clock() - start)
    return seconds


@contextlib.contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    """Within, torch computes on the calling thread alone; afterwards as before."""
    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
