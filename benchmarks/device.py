"""Matrix rates, memory rate and the price of a small operation: what the device can do.

python benchmarks/device.py            # seconds
python benchmarks/device.py --quick    # smaller products, writes nothing
"""

from __future__ import annotations

import torch
from common import (
    Clock,
    Row,
    argument_parser,
    make_clock,
    memory_bandwidth,
    parse_with_device,
    print_table,
    write_results,
)

METHOD = (
    "Best of {rounds}: a product of two square matrices of random numbers; a copy in "
    "memory, bytes read and written; 200 additions to one number, one after the other. "
    "Before the clock is read, a GPU has finished."
)
SIZES = {"cpu": 1024, "cuda": 8192}


def row(case: str, value: float, unit: str) -> Row:
    """A row without a peer."""
    number = float(f"{value:.4g}")
    return {"case": case, "ours": number, "unit": unit} | dict.fromkeys(
        ("peer", "peer_name", "ratio"), ""
    )


def product_rate(kind: str, size: int, rounds: int, device: str, clock: Clock) -> float:
    """FLOP/s of a size × size product in "float32", "tf32" or "bfloat16"."""
    torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(rounds + 1):
        start = clock()
        torch.mm(a, b)
        best = max(best, 2 * size**3 / (clock() - start))
    torch.backends.cuda.matmul.allow_tf32 = False
    return best


def operation_seconds(rounds: int, device: str, clock: Clock) -> float:
    """Seconds of one small operation among 200."""
    one = torch.zeros(1, device=device)
    best = float("inf")
    for _ in range(rounds + 1):
        start = clock()
        for _ in range(200):
            one += 1
        best = min(best, (clock() - start) / 200)
    return best


def main() -> None:
    """Measure, print, write."""
    arguments = parse_with_device(argument_parser(__doc__, rounds=5))
    torch.set_num_threads(arguments.threads)
    device = arguments.device
    clock = make_clock(arguments.clock, device)
    size = 256 if arguments.quick else SIZES[device]
    kinds = ("float32", "bfloat16", *(["tf32"] if device == "cuda" else []))
    rows = []
    for kind in kinds:
        rate = product_rate(kind, size, arguments.rounds, device, clock)
        rows.append(row(f"product of {size} × {size}, {kind}", rate / 1e12, "TFLOP/s"))
    rows.append(row("copy in memory", memory_bandwidth(device, clock) / 1e9, "GB/s"))
    seconds = operation_seconds(arguments.rounds, device, clock)
    rows.append(row("a small operation", seconds * 1e6, "µs"))
    print_table(rows)
    if not arguments.quick:
        method = METHOD.format(rounds=arguments.rounds)
        print(f"wrote {write_results('device', rows, method=method, device=device)}")


if __name__ == "__main__":
    main()
