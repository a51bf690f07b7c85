"""One whole GRPO step (rollouts, rewards, update): ours against TRL's GRPOTrainer.

    python benchmarks/train_step.py            # about 20 minutes on an idle machine
    python benchmarks/train_step.py --quick    # the search policy, writes nothing

SmolLM2-135M on multiplication (8 prompts × 8 completions, at most 24 tokens, bfloat16
autocast) and the search policy (32 × 8, at most 128 tokens, float32): one update a
batch, no KL term, the verifier as the reward. One thread by default. On a GPU by
default where there is one (`--device cpu`: not), into train_step_cuda.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from typing import Any

import torch
from common import (
    Clock,
    Row,
    Task,
    argument_parser,
    compare,
    interleave,
    make_clock,
    parse_with_device,
    print_table,
    run_child,
    write_results,
)

from rlnotes.batch.sizing import PROCESS, estimate
from rlnotes.machine.provenance import peak_gpu_memory_mb, peak_memory_mb
from rlnotes.policies.policy import load_policy
from rlnotes.policies.shapes import load_shape
from rlnotes.rewards.rewards import get_accuracy_reward
from rlnotes.tasks.base import TaskSet
from rlnotes.tasks.loading import load_task
from rlnotes.training.config import Config, make_config

PEER = "TRL GRPOTrainer"
METHOD = (
    "Each number is the median over rounds in which ours and TRL take turns, every "
    "other round in the other order; every measurement is a fresh process that makes "
    "one step as a warm-up and then {steps} timed ones, from the end of a step to the "
    "end of the next: everything that `rlnotes.training.loop.train` and TRL's "
    "`Trainer.train` do for a step, without evaluation, logging and saving. Both start "
    "from the same weights and read the same prompts in the same order, with the same "
    "completions a forward pass, AdamW settings, learning rate, loss type and reward "
    "function; TRL has its default fused AdamW and no gradient checkpointing. The two "
    "draw different completions: mean lengths are given. Ours reads a prompt once for "
    "its group and skips groups without advantage, which changes no gradient; in "
    "bfloat16 it samples from a bfloat16 copy of the weights, TRL under autocast. Peak "
    "memory: largest resident memory of the whole process, on a GPU the most that it "
    "had allocated there by torch. Before the clock is read, a GPU has finished."
)
PACKAGES = ("accelerate", "datasets")
Steps = tuple[list[float], list[float]]  # clock at the end of each, mean length


def search_config(policy: str) -> Config:
    """GRPO on the search task, float32."""
    return make_config(
        policy=policy,
        task="search",
        generation_batch_size=256,
        max_completion_length=128,
        per_device_train_batch_size=64,
        learning_rate=1e-4,
        bf16=False,
    )


def smollm2_config() -> Config:
    """GRPO of `configs/grpo.yaml`: SmolLM2 on multiplication, bfloat16 autocast."""
    return make_config(per_device_train_batch_size=16)


def label(config: Config) -> str:
    """How the results call a case."""
    precision = "bfloat16 autocast" if config.bf16 else "float32"
    batch = f"{config.num_prompts} × {config.num_generations}"
    length = f"at most {config.max_completion_length} tokens"
    return f"{config.policy.rsplit('/', 1)[-1]}, {precision}, {batch}, {length}"


def our_steps(config: Config, clock: Clock, device: str) -> Steps:
    """Clock at the end of each step and mean length of its completions."""
    from rlnotes.training.loop import train

    marks: list[float] = []
    lengths: list[float] = []

    def on_step(metrics: dict[str, float]) -> None:
        marks.append(clock())
        lengths.append(metrics["completions/mean_length"])

    policy = load_policy(config.policy).to(device)
    train(config, policy=policy, evaluations=False, progress=False, on_step=on_step)
    return marks, lengths


def trl_steps(config: Config, clock: Clock, device: str) -> Steps:
    """The same of a GRPOTrainer with that config on the same prompts."""
    from transformers import TrainerCallback
    from trl import GRPOTrainer

    marks: list[float] = []
    lengths: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(clock())
            metrics = trainer._metrics["train"]  # emptied by the summary at the end
            lengths.append(metrics["completions/mean_length"][-1])

    task, policy = load_task(config.task), load_policy(config.policy).to(device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=policy.model,
            processing_class=policy.tokenizer,
            reward_funcs=get_accuracy_reward(task.verify),
            train_dataset=dataset(config, task),
            args=trl_arguments(config, folder, device),
            callbacks=[Clock()],
        )
        trainer.train()
    return marks, lengths


def trl_arguments(config: Config, folder: str, device: str) -> Any:
    """Our config in TRL's words: most of them are the same."""
    from trl import GRPOConfig

    assert config.per_device_train_batch_size is not None
    same = (
        "seed",
        "max_steps",
        "num_generations",
        "max_completion_length",
        "temperature",
        "num_iterations",
        "per_device_train_batch_size",
        "learning_rate",
        "warmup_steps",
        "adam_beta2",
        "weight_decay",
        "max_grad_norm",
        "bf16",
        "loss_type",
        "beta",
        "scale_rewards",
    )
    micro_batches = config.generation_batch_size // config.per_device_train_batch_size
    return GRPOConfig(
        folder,
        gradient_accumulation_steps=micro_batches,
        lr_scheduler_type="constant",
        gradient_checkpointing=False,
        use_cpu=device == "cpu",
        dataloader_pin_memory=False,
        shuffle_dataset=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **{name: getattr(config, name) for name in same},
    )


def dataset(config: Config, task: TaskSet) -> Any:
    """The prompts of our steps, in their order, with the columns that rewards read."""
    from datasets import Dataset

    steps = range(1, config.max_steps + 1)
    # `rlnotes.training.loop.collect` asks for the tasks of step·1000
    batches = [
        task.sample(config.num_prompts, seed=config.seed, step=step * 1000)
        for step in steps
    ]
    return Dataset.from_list(
        [
            {"prompt": one.prompt, "answer": one.answer, **one.columns}
            for batch in batches
            for one in batch
        ]
    )


STEPS = {"ours": our_steps, "peer": trl_steps}


def child(task: dict[str, Any]) -> None:
    """One contestant's steps, printed as JSON."""
    torch.set_num_threads(task["threads"])
    config = make_config(**task["config"])
    device = task["device"]
    clock = make_clock(task["clock"], device)
    marks, lengths = STEPS[task["name"]](config, clock, device)
    peak = peak_memory_mb if device == "cpu" else peak_gpu_memory_mb
    timed = len(marks) - 1
    result = {
        "rate": timed * config.generation_batch_size / (marks[-1] - marks[0]),
        "memory": peak(),
        "length": sum(lengths[1:]) / timed,
    }
    print(json.dumps(result))


def measure_all(
    configs: list[Config], arguments: argparse.Namespace
) -> dict[Task, dict[str, float]]:
    """Medians over rounds of both contestants on every case."""

    def measure(task: Task) -> dict[str, Any]:
        name, config = task
        settings = {
            "name": name,
            "config": config.to_dict() | {"max_steps": arguments.steps + 1},
            "threads": arguments.threads,
            "clock": arguments.clock,
            "device": arguments.device,
        }
        return run_child(__file__, settings, threads=arguments.threads)

    tasks = [(name, config) for config in configs for name in STEPS]
    return interleave(tasks, arguments.rounds, measure)


def make_rows(
    medians: dict[Task, dict[str, float]], config: Config, device: str
) -> list[Row]:
    """Speed, peak memory and mean length of a case."""
    ours, peer = medians["ours", config], medians["peer", config]
    rows: list[Row] = []
    if config.policy == "smollm2-135m" and device != "cpu":
        shape = load_shape(config.policy)
        computed = estimate(config, shape, prompt_length=48).peak - PROCESS
        peers = {"rlnotes size": computed / 1e6}
        case = f"peak memory, {label(config)}"
        rows += compare(case, "MB", ours["memory"], peers)
    for key, name, unit in (
        ("rate", "GRPO step", "samples/s"),
        ("memory", "peak memory", "MB"),
        ("length", "mean length", "tokens"),
    ):
        peers = {PEER: peer[key]}
        rows += compare(f"{name}, {label(config)}", unit, ours[key], peers)
    return rows


def main() -> None:
    """Measure everything, print the table, write the results."""
    parser = argument_parser(__doc__, rounds=3)
    parser.add_argument("--steps", type=int, default=3, help="timed steps a process")
    parser.add_argument("--search-policy", default="search-base")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parse_with_device(parser)
    if arguments.child:
        return child(json.loads(arguments.child))
    if arguments.quick:
        arguments.rounds = arguments.steps = 1
    configs = [search_config(arguments.search_policy)]
    configs += [] if arguments.quick else [smollm2_config()]
    medians = measure_all(configs, arguments)
    rows = [
        row
        for config in configs
        for row in make_rows(medians, config, arguments.device)
    ]
    print_table(rows)
    if not arguments.quick:
        method = METHOD.format(steps=arguments.steps)
        method += f" {arguments.threads} thread(s), {arguments.clock} clock."
        path = write_results(
            "train_step",
            rows,
            method=method,
            device=arguments.device,
            packages=PACKAGES,
        )
        print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
