"""Is this installation sound? `rlnotes check` or `python -m rlnotes.batch.check`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import Tensor

from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.objectives import policy_loss
from rlnotes.machine.devices import best_device
from rlnotes.machine.provenance import (
    cpu_capability,
    cpu_model,
    describe_commit,
    num_threads,
    package_versions,
)
from rlnotes.machine.rates import bfloat16_pays, product_rates
from rlnotes.policies.embedded import EMBEDDED_POLICY, cache_folder, embedded_damage
from rlnotes.records.run_folders import runs_folder

_TOLERANCE = 1e-6


def run_check() -> int:
    """Print versions, device, folders and a self-test; 0 if all is well, else 1."""
    commit = describe_commit()
    for name, version in package_versions().items():
        print(f"{name:<14}{version}")
    print(
        f"{'commit':<14}{commit['commit'][:12]}{' + changes' * bool(commit['dirty'])}"
    )
    print(f"{'device':<14}{device_name()}")
    capability = f"{cpu_model()}, {cpu_capability()}, {num_threads()} threads"
    print(f"{'cpu':<14}{capability}")
    print(f"{'products':<14}{precision_choice()}")
    print(f"{'model':<14}{embedded_model_state()}")
    folders = {"cache": cache_folder(), "runs": runs_folder()}
    for name, folder in folders.items():
        print(f"{name:<14}{folder} ({'' if writable(folder) else 'NOT '}writable)")
    start = time.perf_counter()
    problems = self_test()
    seconds = time.perf_counter() - start
    verdict = "FAILED" if problems else f"ok, {seconds:.2f} s"
    print(f"{'self-test':<14}{verdict}")
    for problem in problems:
        print(f"  {problem}")
    sound = not problems and all(writable(folder) for folder in folders.values())
    return 0 if sound else 1


def self_test() -> list[str]:
    """What differs from a GRPO step done by hand, [] if nothing does.

    Four answers with rewards (1, 0, 0, 0): mean 1/4, sample std 1/2, so advantages
    (3/2, −1/2, −1/2, −1/2). First at ratio 1, where L = 0 and ∂L/∂log π = −Â/4: the
    right answer's gradient must be negative, so that descent makes it likelier. Then
    at ratios (3/2, 3/2, 1/2, 1) with ε = 0.2, where the first and the third clip:
    L = −(1.8 − 0.75 − 0.4 − 0.5)/4, ∂L/∂log π = (0, 0.75, 0, 0.5)/4.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rewards = torch.tensor([1.0, 0.0, 0.0, 0.0], device=device)
    advantages = group_relative_advantages(rewards, 4)
    problems = _compare("advantages", advantages, [1.5, -0.5, -0.5, -0.5])
    for name, ratios, loss, gradient in (
        ("ratio 1", [1.0] * 4, 0.0, [-0.375, 0.125, 0.125, 0.125]),
        ("clipping", [1.5, 1.5, 0.5, 1.0], -0.0375, [0.0, 0.1875, 0.0, 0.125]),
    ):
        logps = torch.tensor(ratios, device=device).log()[:, None].requires_grad_()
        old, mask = torch.zeros_like(logps), torch.ones_like(logps)
        value = policy_loss(logps, old, advantages, mask, epsilon=0.2)
        value.backward()
        assert logps.grad is not None
        problems += _compare(f"loss at {name}", value, [loss])
        problems += _compare(f"gradient at {name}", logps.grad, gradient)
    return problems


def device_name() -> str:
    """The accelerator torch sees, else cpu."""
    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def precision_choice() -> str:
    """Measured GFLOP/s in both precisions, and what `bf16` becomes where left out."""
    kind = best_device().type
    rates = product_rates(kind)
    measured = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    chosen = "true" if bfloat16_pays(kind) else "false"
    return f"{measured} GFLOP/s on {kind}: bf16={chosen} unless a config says"


def embedded_model_state() -> str:
    """Whether the embedded model is in the cache, and what to do if not."""
    folder = cache_folder() / EMBEDDED_POLICY
    if damage := embedded_damage():
        return f"{EMBEDDED_POLICY} {damage}: rlnotes fetch"
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    return f"{EMBEDDED_POLICY} ready, {size:.0f} MB"


def writable(folder: Path) -> bool:
    """Whether `folder` can be written, or made below the folders that exist."""
    folder = folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def _compare(name: str, got: Tensor, expected: list[float]) -> list[str]:
    """One line if a value is off by more than 1e-6."""
    values = got.detach().flatten().tolist()
    off = max(abs(a - b) for a, b in zip(values, expected, strict=True))
    return [] if off <= _TOLERANCE else [f"{name}: expected {expected}, got {values}"]


if __name__ == "__main__":
    raise SystemExit(run_check())
