"""Loss and gradients from hidden states: ours against plain logits, TRL and Liger.

    python benchmarks/objective.py            # about 15 minutes on an idle machine
    python benchmarks/objective.py --quick    # a smoke run, writes nothing

The head of SmolLM2-135M (V = 49,152, H = 576) in float32, tokens sampled from the
policy, DAPO's loss with a second update's ratios. One thread by default. On a GPU by
default where there is one (`--device cpu`: not), into objective_cuda.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from common import (
    Clock,
    PeakMemory,
    Row,
    argument_parser,
    compare,
    interleave,
    make_clock,
    parse_with_device,
    print_table,
    run_child,
    write_results,
)
from torch import Tensor

VOCAB, WIDTH = 49_152, 576
# root mean square of SmolLM2's last hidden states, and a head with which random ones
# get logits of standard deviation 4.8, as they do with SmolLM2's own
HIDDEN_SCALE, HEAD_SCALE = 2.0, 0.1
ROW = 512  # Liger takes rows; of 256, 512 and 1,024 tokens this suits it best
EPSILON, EPSILON_HIGH = 0.2, 0.28
ACCURACY_TOKENS = 1024
# shorter products of float32 numbers, an extra of each device, not of the library
SHORTER = {"cpu": "bf16", "cuda": "tf32"}
SHORTER_LABELS = {"bf16": "mkldnn matmul bf16", "tf32": "CUDA matmul tf32"}
PRODUCT_ROWS = {"cpu": (256,), "cuda": (256, 4096)}  # a GPU is not full with 256
NAMES = {
    "ours": "rlnotes.equations.fused",
    "plain": "plain logits",
    "trl": "TRL ChunkedLogProbFunction",
    "liger": "Liger LigerFusedLinearGRPOLoss",
}
METHOD = (
    "Each number is the median over rounds that go around all contestants; every "
    "measurement is a fresh process, warmed up on 256 tokens of the same head (a GPU: "
    "on all, as it loads kernels by shape), then timed once from hidden states to the "
    "gradients of hidden states and head; a GPU has finished before the clock is read. "
    "Memory: peak resident memory (high-water mark reset before), on a GPU what torch "
    "has allocated there, above the level with all inputs present; 'working memory' is "
    "that minus the two gradients every contestant returns. Limit: 6·tokens·H·V "
    "operations at the rate of the same three products measured alone, each in its "
    "fastest shape. Accuracy: relative error (norm) against plain logits in float64."
)
PACKAGES = ("liger-kernel",)
Loss = Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]

Medians = dict[tuple[str, "Case"], dict[str, float]]


def plain_loss(hidden: Tensor, head: Tensor, data: dict[str, Tensor]) -> Tensor:
    """All logits, log-softmax, gather, autograd."""
    log_probs = torch.log_softmax(hidden @ head.T, -1)
    return clipped(log_probs.gather(1, data["ids"][:, None])[:, 0], data)


def trl_loss(hidden: Tensor, head: Tensor, data: dict[str, Tensor]) -> Tensor:
    """TRL's chunked path with the sizes and outputs its GRPO trainer asks for."""
    from trl.kernels import ChunkedLogProbFunction
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    logps, *_ = ChunkedLogProbFunction.apply(
        hidden,
        head,
        None,
        data["ids"],
        1.0,
        _CHUNKED_LOGPROB_CHUNK_SIZE,
        None,
        1.0,
        ("entropy",),
    )
    return clipped(logps, data)


def liger_loss(hidden: Tensor, head: Tensor, data: dict[str, Tensor]) -> Tensor:
    """Liger's chunked GRPO loss with its defaults, on rows of `ROW` tokens."""
    from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss

    def rows(flat: Tensor) -> Tensor:
        return flat.unflatten(0, (-1, min(ROW, len(flat))))

    loss = LigerFusedLinearGRPOLoss(
        beta=0.0,
        compiled=False,
        use_ref_model=False,
        epsilon_low=EPSILON,
        epsilon_high=EPSILON_HIGH,
        loss_type="dapo",
    )
    ids = rows(data["ids"])
    return loss(
        rows(hidden),
        head,
        ids,
        torch.ones_like(ids),
        rows(data["advantages"])[:, 0],
        old_per_token_logps=rows(data["old"]),
    )[0]


def our_loss(hidden: Tensor, head: Tensor, data: dict[str, Tensor]) -> Tensor:
    """`rlnotes.equations.fused` with its defaults; it returns the entropies as well."""
    from rlnotes.equations.fused import fused_policy_loss

    count = len(hidden)

    def token_loss(logps: Tensor, rows: Tensor) -> Tensor:
        part = {name: data[name][rows] for name in ("old", "advantages")}
        return clipped_per_token(logps, part) / count

    idle = data["advantages"] == 0
    return fused_policy_loss(hidden, head, data["ids"], token_loss, skip=idle).loss


LOSSES: dict[str, Loss] = {
    "ours": our_loss,
    "plain": plain_loss,
    "trl": trl_loss,
    "liger": liger_loss,
}


def clipped_per_token(logps: Tensor, data: dict[str, Tensor]) -> Tensor:
    """Clip-higher on given log-probs, the same formula for all but Liger."""
    ratio = (logps - data["old"]).exp()
    bounded = ratio.clamp(1 - EPSILON, 1 + EPSILON_HIGH)
    return -torch.minimum(ratio * data["advantages"], bounded * data["advantages"])


def clipped(logps: Tensor, data: dict[str, Tensor]) -> Tensor:
    """Token mean of `clipped_per_token`."""
    return clipped_per_token(logps, data).mean()


def write_inputs(folder: Path, sizes: list[int]) -> None:
    """Head and, for each size, hidden states, sampled tokens, old log-probs, Â."""
    torch.manual_seed(0)
    head = HEAD_SCALE * torch.randn(VOCAB, WIDTH)
    torch.save(head, folder / "head.pt")
    for count in sizes:
        hidden = HIDDEN_SCALE * torch.randn(count, WIDTH)
        ids, logps = [], []
        for part in hidden.split(256):
            log_probs = torch.log_softmax(part @ head.T, -1)
            ids.append(torch.multinomial(log_probs.exp(), 1))
            logps.append(log_probs.gather(1, ids[-1]))
        per_row = torch.randn(-(-count // ROW)).repeat_interleave(ROW)[:count]
        data = {
            "hidden": hidden,
            "ids": torch.cat(ids)[:, 0],
            "old": torch.cat(logps)[:, 0] + 0.1 * torch.randn(count),  # 1 % clipped
            "advantages": per_row,
        }
        torch.save(data, folder / f"{count}.pt")


def load_inputs(
    folder: Path, count: int, device: str
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Hidden states and head with gradient, and the constants, on the device."""
    data = torch.load(folder / f"{count}.pt", map_location=device)
    head = torch.load(folder / "head.pt", map_location=device)
    return data.pop("hidden").requires_grad_(), head.requires_grad_(), data


def measure_loss(
    name: str, folder: Path, count: int, *, idle: bool, device: str, clock: Clock
) -> dict[str, float]:
    """Seconds and peak megabytes of one loss and backward."""
    hidden, head, data = load_inputs(folder, count, device)
    if idle:  # every second row
        data["advantages"] *= torch.arange(count, device=device) // ROW % 2
    first = 256 if device == "cpu" else count
    warm = {key: value[:first] for key, value in data.items()}
    LOSSES[name](hidden[:first].detach().requires_grad_(), head, warm).backward()
    head.grad = None
    with PeakMemory(device) as memory:
        start = clock()
        LOSSES[name](hidden, head, data).backward()
        seconds = clock() - start
    gradients = 4 * (hidden.numel() + head.numel())
    return {
        "seconds": seconds,
        "peak": memory.peak / 1e6,
        "working": (memory.peak - gradients) / 1e6,
    }


def measure_products(folder: Path, *, device: str, clock: Clock) -> dict[str, float]:
    """GFLOP/s of z = h·Wᵀ, dh = dz·W and dW += dzᵀ·h, each in its best shape."""
    head = load_inputs(folder, 256, device)[1].detach()
    best = dict.fromkeys(("logits", "hidden", "head"), 0.0)
    d_head = torch.zeros_like(head)
    for count, block in itertools.product(PRODUCT_ROWS[device], (1024, 4096, VOCAB)):
        hidden = HIDDEN_SCALE * torch.randn(count, WIDTH, device=device)
        d_hidden = torch.zeros_like(hidden)
        tile = torch.randn(count, block, device=device)
        blocks = list(zip(head.split(block), d_head.split(block), strict=True))
        products: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "logits": lambda w, _, h=hidden, t=tile: torch.mm(h, w.T, out=t),
            "hidden": lambda w, _, d=d_hidden, t=tile: d.addmm_(t, w),
            "head": lambda _, d, h=hidden, t=tile: d.addmm_(t.T, h),
        }
        for _ in range(3):
            for name, product in products.items():
                start = clock()
                for w, d in blocks:
                    product(w, d)
                seconds = clock() - start
                rate = 2 * len(hidden) * head.numel() / seconds
                best[name] = max(best[name], rate)
                tile.normal_(std=1e-3)
    return {name: rate / 1e9 for name, rate in best.items()}


def measure_accuracy(
    name: str, folder: Path, count: int, device: str
) -> dict[str, float]:
    """Relative errors of loss, dhidden and dhead against float64."""
    hidden, head, data = load_inputs(folder, count, device)
    loss = LOSSES[name](hidden, head, data)
    loss.backward()
    exact = [t.detach().double().requires_grad_() for t in (hidden, head)]
    wide = {k: v.double() if v.is_floating_point() else v for k, v in data.items()}
    reference = plain_loss(*exact, wide)
    reference.backward()
    pairs = {
        "loss": (loss.detach(), reference.detach()),
        "dhidden": (hidden.grad, exact[0].grad),
        "dhead": (head.grad, exact[1].grad),
    }
    return {
        key: float((got.double() - want).norm() / want.norm())
        for key, (got, want) in pairs.items()
    }


@dataclass(frozen=True)
class Case:
    """A setting that all contestants share."""

    tokens: int
    precision: str = "float32"
    idle: bool = False

    def label(self) -> str:
        """How the results call it."""
        parts = [f"{self.tokens} tokens"]
        if self.idle:
            parts.append("half of the rows without advantage")
        if self.precision != "float32":
            parts.append(SHORTER_LABELS[self.precision])
        return ", ".join(parts)


def child(task: dict[str, Any]) -> None:
    """One measurement, printed as JSON."""
    torch.set_num_threads(task["threads"])
    case, folder, name = Case(**task["case"]), Path(task["folder"]), task["name"]
    device = task["device"]
    if case.precision != "float32":
        backends = torch.backends
        backend = backends.mkldnn if device == "cpu" else backends.cuda
        backend.matmul.fp32_precision = case.precision
    clock = make_clock(task["clock"], device)
    if name == "products":
        result = measure_products(folder, device=device, clock=clock)
    elif name.startswith("accuracy "):
        result = measure_accuracy(name.split()[1], folder, case.tokens, device)
    else:
        result = measure_loss(
            name, folder, case.tokens, idle=case.idle, device=device, clock=clock
        )
    print(json.dumps(result))


def make_rows(medians: Medians, case: Case, names: list[str]) -> list[Row]:
    """Time, peak and working memory of a case: ours against every peer and limit."""
    rows: list[Row] = []
    rates = medians["products", Case(256, case.precision)]
    share = 0.5 if case.idle else 1.0
    operations = 2 * share * case.tokens * WIDTH * VOCAB / 1e9
    limits = {
        "seconds": sum(operations / rate for rate in rates.values()),
        "peak": 4 * (VOCAB * WIDTH + case.tokens * WIDTH + 256 * VOCAB) / 1e6,
        "working": 4 * 256 * VOCAB / 1e6,
    }
    for key, label, unit in (
        ("seconds", "time", "s"),
        ("peak", "peak memory above the inputs", "MB"),
        ("working", "working memory, gradients not counted", "MB"),
    ):
        found = {name: medians[name, case][key] for name in names}
        ours = found.pop("ours")
        others = {NAMES[name]: value for name, value in found.items()}
        peers = others | {"limit": limits[key]}
        rows += compare(f"{label}, {case.label()}", unit, ours, peers)
    return rows


def accuracy_rows(medians: Medians, case: Case, names: list[str]) -> list[Row]:
    """Errors against float64 of loss and both gradients."""
    rows: list[Row] = []
    for key in ("loss", "dhidden", "dhead"):
        found = {name: medians[f"accuracy {name}", case][key] for name in names}
        ours = found.pop("ours")
        peers = {NAMES[name]: value for name, value in found.items()}
        label = f"{key} against float64, {case.label()}"
        rows += compare(label, "relative error", ours, peers, digits=3)
    return rows


def installed() -> list[str]:
    """Contestants whose package is there."""
    modules = {"trl": "trl", "liger": "liger_kernel"}
    missing = [n for n, m in modules.items() if importlib.util.find_spec(m) is None]
    for name in missing:
        print(f"{NAMES[name]} is not installed: left out", file=sys.stderr)
    return [name for name in NAMES if name not in missing]


def measure_all(
    cases: list[Case], checks: list[Case], names: list[str], arguments: Any
) -> Medians:
    """All children, round by round; the accuracy once."""
    products = sorted({Case(256, case.precision) for case in cases}, key=str)
    tasks = [(name, case) for case in cases for name in names]
    tasks += [("products", case) for case in products]
    accuracy = [(f"accuracy {name}", case) for case in checks for name in names]
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder), sorted({c.tokens for c in cases + checks} | {256}))

        def measure(task: tuple[str, Case]) -> dict[str, Any]:
            name, case = task
            settings = {
                "name": name,
                "case": asdict(case),
                "folder": folder,
                "threads": arguments.threads,
                "clock": arguments.clock,
                "device": arguments.device,
            }
            return run_child(__file__, settings, threads=arguments.threads)

        found = interleave(accuracy, 1, measure)
        return found | interleave(tasks, arguments.rounds, measure)


def main() -> None:
    """Measure everything, print the table, write the results."""
    parser = argument_parser(__doc__, rounds=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parse_with_device(parser)
    if arguments.child:
        return child(json.loads(arguments.child))
    names = installed()
    shorter = SHORTER[arguments.device]  # the same for all contestants
    cases = [Case(n) for n in (1024, 2048, 4096)]
    cases += [Case(4096, idle=True), Case(4096, precision=shorter)]
    checks = [Case(1024), Case(1024, precision=shorter)]
    if arguments.quick:
        cases, checks, arguments.rounds = [Case(256)], [Case(256)], 1
    medians = measure_all(cases, checks, names, arguments)
    rows = [row for case in cases for row in make_rows(medians, case, names)]
    rows += [row for case in checks for row in accuracy_rows(medians, case, names)]
    print_table(rows)
    if not arguments.quick:
        method = METHOD + f" {arguments.threads} thread(s), {arguments.clock} clock."
        path = write_results(
            "objective",
            rows,
            method=method,
            device=arguments.device,
            packages=PACKAGES,
        )
        print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
