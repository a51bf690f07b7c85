"""Speed and memory of models of 0.5B and 1.5B parameters in shape, random weights.

    python benchmarks/large.py                        # a GPU of 48 GB or more
    python benchmarks/large.py --quick --device cpu   # a tiny shape, writes nothing

One step of GRPO at 1,024 tokens: rollouts, a packed forward and backward
with the fused loss, AdamW. Computed beside it: what `rlnotes size` says of its memory.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from common import (
    OFFLINE,
    Clock,
    Row,
    argument_parser,
    compare,
    make_clock,
    memory_bandwidth,
    parse_with_device,
    print_table,
    write_results,
)
from rollout import EndlessPolicy, cache_bytes, decode_bytes, weight_bytes

from rlnotes.batch.sizing import PROCESS, estimate
from rlnotes.machine.provenance import peak_gpu_memory_mb
from rlnotes.policies.policy import Policy, load_policy
from rlnotes.policies.shapes import qwen_config, shape_of
from rlnotes.training.config import Config, make_config
from rlnotes.training.loop import train

METHOD = (
    "One process; `rlnotes.training.loop.train` makes three steps, the last is "
    "timed. Random weights in the shape of Qwen2.5. Bytes read by "
    "decoding: see rollout.py. Memory: the most that torch had allocated; computed: "
    "`rlnotes size` less the process itself. "
)
SIZES = {"0.5B": 32, "1.5B": 16}


def make_policy(size: str, device: str) -> Policy:
    """A policy with random weights in a shape of Qwen2.5; "tiny": for a rehearsal."""
    from transformers import AutoModelForCausalLM

    plain = load_policy("search-base" if size == "tiny" else "smollm2-135m")
    if size == "tiny":
        return plain.to(device)
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(qwen_config(size)).float()
    return Policy(model.eval(), plain.tokenizer, f"qwen2.5-{size}-shape")


def make(rows: int, length: int, **changes: Any) -> Config:
    """GRPO's step of that many completions."""
    values: dict[str, Any] = {
        "max_steps": 3,
        "generation_batch_size": rows,
        "num_generations": 8,
        "max_completion_length": length,
        "per_device_train_batch_size": 8,
        "eval_samples": 1,
        **changes,
    }
    return make_config(**values)


def measure(size: str, config: Config, device: str, clock: Clock) -> list[Row]:
    """Seconds of a step, tokens a second of sampling, memory and what is computed."""
    policy = make_policy(size, device)
    shape = shape_of(policy.model.config)
    marks: list[float] = []

    def on_step(metrics: dict[str, float]) -> None:
        marks.append(clock())

    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    train(config, policy=policy, evaluations=False, progress=False, on_step=on_step)
    rows, length = config.generation_batch_size, config.max_completion_length
    label = f"{policy.name}, {rows} completions of {length} tokens"
    seconds = marks[-1] - marks[-2]
    found = [(f"a step of GRPO, {label}", seconds, "s")]
    found.append((f"a step of GRPO, {label}", rows * length / seconds, "tokens/s"))
    rate, share = sampling(config, policy, device, clock)
    found.append((f"sampling, {label}", rate, "tokens/s"))
    found.append((f"sampling, {label}", share, "of the memory rate"))
    empty = dict.fromkeys(("peer", "peer_name", "ratio"), "")
    table: list[Row] = [
        {"case": case, "ours": float(f"{x:.4g}"), "unit": unit} | empty
        for case, x, unit in found
    ]
    computed = estimate(config, shape, prompt_length=48).peak - PROCESS
    peak = peak_gpu_memory_mb() if device != "cpu" else None
    if peak:
        peers = {"rlnotes size": computed / 1e6}
        table += compare(f"peak memory, {label}", "MB", peak, peers)
    return table


def sampling(
    config: Config, policy: Policy, device: str, clock: Clock
) -> tuple[float, float]:
    """Tokens a second and share of the memory rate of one batch, bfloat16."""
    from rlnotes.rollouts.rollouts import generate_rollouts
    from rlnotes.tasks.loading import load_task

    sampler = EndlessPolicy(
        policy.model.to(torch.bfloat16), policy.tokenizer, policy.name
    )
    tasks = load_task(config.task).sample(config.num_prompts, seed=0, step=1)
    for _ in range(2):
        start = clock()
        rollouts = generate_rollouts(
            sampler,
            tasks,
            num_generations=config.num_generations,
            max_completion_length=config.max_completion_length,
            generator=torch.Generator().manual_seed(0),
            cache_implementation=config.cache_implementation,
        )
        seconds = clock() - start
    lengths = rollouts.lengths.tolist()
    prompts = rollouts.prompt_mask.sum(1).tolist()
    weights, cached = weight_bytes(sampler.model), cache_bytes(sampler.model)
    read = decode_bytes(weights, cached, prompts, lengths) / seconds
    return sum(lengths) / seconds, read / memory_bandwidth(device, clock)


def main() -> None:
    """Both shapes; one that runs out of memory is named and leaves the other."""
    arguments = parse_with_device(argument_parser(__doc__, rounds=1))
    os.environ.update(OFFLINE)
    torch.set_num_threads(arguments.threads)
    device, quick = arguments.device, arguments.quick
    clock = make_clock(arguments.clock, device)
    rows: list[Row] = []
    remarks = []
    for size, batch in ({"tiny": 8} if quick else SIZES).items():
        length = 16 if quick else 1024
        task = "search" if quick else "multiplication"
        config = make(batch, length, task=task, bf16=not quick)
        try:
            rows += measure(size, config, device, clock)
        except torch.OutOfMemoryError:
            remarks.append(f"out of memory: {size}")
    print_table(rows)
    if not quick:
        method = METHOD + "; ".join(remarks)
        print(f"wrote {write_results('large', rows, method=method, device=device)}")


if __name__ == "__main__":
    main()
