"""The loss on heads and lengths of a GPU: ours, plain logits, TRL, Liger, one process.

    python benchmarks/loss.py --seconds 60
    python benchmarks/loss.py --quick --device cpu    # one small case, writes nothing

SmolLM2-135M's head and two with 152k tokens (shapes of Qwen2.5-1.5B and 7B, random
weights), 4k, 16k and 64k tokens, products in tf32. `objective.py` has the accuracy, and
a fresh process for each number. Where memory runs out there is no number; the method
names it, and the cases for which no time was left.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import objective
import torch
from common import (
    Clock,
    PeakMemory,
    Row,
    argument_parser,
    compare,
    make_clock,
    parse_with_device,
    print_table,
    write_results,
)
from torch import Tensor

HEADS = ((49_152, 576), (151_936, 1536), (152_064, 3584))
TOKENS = (4096, 16_384, 65_536)
METHOD = (
    "One process; each contestant once as a warm-up and once timed, from hidden states "
    "to the gradients of hidden states and head; another one is first in each case. "
    "Products in tf32 for all. Memory: what torch has allocated on a GPU above the "
    "level with all inputs present. Limit: 6·tokens·H·V operations at the rate of the "
    "first of the three products alone, 4,096 rows, the best of three. "
)
Numbers = dict[str, float]


def inputs(
    tokens: int, vocab: int, width: int, device: str
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Hidden states, head, and a mini-batch with ratios near one."""
    draw = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, generator=draw)

    head = normal(vocab, width) * (objective.HEAD_SCALE * (576 / width) ** 0.5)
    hidden = objective.HIDDEN_SCALE * normal(tokens, width)
    ids = torch.randint(vocab, (tokens,), device=device, generator=draw)
    logps = []
    with torch.no_grad():
        for part, wanted in zip(hidden.split(1024), ids.split(1024), strict=True):
            log_probs = torch.log_softmax(part @ head.T, -1)
            logps.append(log_probs.gather(1, wanted[:, None])[:, 0])
    rows = normal(-(-tokens // objective.ROW)).repeat_interleave(objective.ROW)
    data = {"ids": ids, "old": torch.cat(logps) + 0.1 * normal(tokens)}
    return hidden, head, data | {"advantages": rows[:tokens]}


def measure(name: str, given: Any, device: str, clock: Clock) -> Numbers | None:
    """Seconds and peak MB of one loss and backward; None where memory ran out."""
    hidden, head, data = given
    found: Numbers = {}
    try:
        for _ in range(2):
            leaves = [tensor.detach().requires_grad_() for tensor in (hidden, head)]
            with PeakMemory(device) as memory:
                start = clock()
                objective.LOSSES[name](*leaves, data).backward()
                found["seconds"] = clock() - start
            found["peak"] = memory.peak / 1e6
    except torch.OutOfMemoryError:
        return None
    finally:
        if device != "cpu":
            torch.cuda.empty_cache()
    return found


def product_seconds(hidden: Tensor, head: Tensor, clock: Clock) -> float:
    """Seconds of one product h·Wᵀ, 4,096 rows at a time, at its best of three."""
    rows = hidden[:4096]
    best = float("inf")
    for _ in range(3):
        start = clock()
        torch.mm(rows, head.T)
        best = min(best, clock() - start)
    return best * len(hidden) / len(rows)


def make_rows(label: str, found: dict[str, Numbers], limit: float) -> list[Row]:
    """Time and peak memory of a case; none without ours."""
    if "ours" not in found:
        return []
    rows: list[Row] = []
    for key, what, unit in (
        ("seconds", "time", "s"),
        ("peak", "peak memory above the inputs", "MB"),
    ):
        peers = {objective.NAMES[n]: x[key] for n, x in found.items() if n != "ours"}
        peers |= {"limit": limit} if key == "seconds" else {}
        rows += compare(f"{what}, {label}", unit, found["ours"][key], peers)
    return rows


def main() -> None:
    """Case by case until the seconds are over."""
    parser = argument_parser(__doc__, rounds=1)
    parser.add_argument("--seconds", type=float, default=60, help="start no case after")
    arguments = parse_with_device(parser)
    device, quick = arguments.device, arguments.quick
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = True
    clock = make_clock(arguments.clock, device)
    names = objective.installed()
    rows: list[Row] = []
    remarks: list[str] = []
    begun = clock()
    heads, sizes = ([(512, 64)], [256]) if quick else (HEADS, TOKENS)
    for number, (tokens, head) in enumerate(itertools.product(sizes, heads)):
        label = f"{tokens} tokens, head {head[0]} × {head[1]}"
        if clock() - begun > arguments.seconds:
            remarks.append(f"no time left: {label}")
            continue
        given = inputs(tokens, *head, device)
        order = names[number % len(names) :] + names[: number % len(names)]
        measured = {name: measure(name, given, device, clock) for name in order}
        remarks += [
            f"out of memory: {objective.NAMES[name]}, {label}"
            for name, numbers in measured.items()
            if numbers is None
        ]
        found = {name: x for name, x in measured.items() if x is not None}
        with torch.no_grad():
            limit = 3 * product_seconds(*given[:2], clock)
        rows += make_rows(label, found, limit)
        del given
    print_table(rows)
    print(*remarks, sep="\n", file=sys.stderr)
    if not quick:
        method = METHOD + "; ".join(remarks)
        packages = objective.PACKAGES
        path = write_results(
            "loss", rows, method=method, device=device, packages=packages
        )
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
