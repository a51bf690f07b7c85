"""What our subclass costs: a step of `NotesTrainer` against TRL's own `GRPOTrainer`.

    python benchmarks/trl_engine.py            # some minutes on an idle machine
    python benchmarks/trl_engine.py --quick    # one round, writes nothing

The search policy, GRPO, one update a batch, float32, one thread. Both draw the same
completions: every step has its own seed and the weights hardly move, or the two would
be compared on texts of unequal length. On a GPU by default where there is one
(`--device cpu`: not), into trl_engine_cuda.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from typing import Any

import torch
from common import (
    Clock,
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

from rlnotes.algorithms import Config, make_config
from rlnotes.policies import load_policy
from rlnotes.tasks import load_task

PEER = "TRL GRPOTrainer"
METHOD = (
    "Each number is the median over rounds, every round a fresh process in which one "
    "trainer trains after the other, in turns first. Measured is `training_step` over "
    "the micro-batches of a step (rollouts, rewards, advantages, loss, backward); the "
    "median over the steps, the first left out as a warm-up. Both sample by TRL's "
    "`generate` with a seed for each step and a learning rate of 1e-12, so that both "
    "work on the same tokens. Overhead = ours / TRL − 1, the median over rounds. "
    "Before the clock is read, a GPU has finished."
)
PACKAGES = ("trl", "accelerate", "datasets")


def make(steps: int) -> Config:
    """GRPO of `configs/search/grpo.yaml` with one update a batch."""
    return make_config(
        policy="search-base",
        task="search",
        max_steps=steps,
        generation_batch_size=128,
        max_completion_length=96,
        per_device_train_batch_size=64,
        learning_rate=1e-12,
        bf16=False,
        reward_funcs=("accuracy_reward",),
    )


def timed(base: type) -> type:
    """`base` with a seed for each step's sampling, and a clock."""

    class Timed(base):  # type: ignore[misc]
        seconds: list[float]

        def _generate_single_turn(self, *arguments: Any, **options: Any) -> Any:
            torch.manual_seed(self.state.global_step)
            return super()._generate_single_turn(*arguments, **options)

        def training_step(self, *arguments: Any, **options: Any) -> Any:
            start = self.clock()
            loss = super().training_step(*arguments, **options)
            self.spent += self.clock() - start
            if self._step % self.current_gradient_accumulation_steps == 0:
                self.seconds.append(self.spent)
                self.spent = 0.0
            return loss

    return Timed


def trl_arguments(config: Config, folder: str, device: str) -> Any:
    """What both trainers are given."""
    from trl import GRPOConfig

    from rlnotes.engines.trl_config import to_trl_kwargs

    return GRPOConfig(
        folder,
        use_cpu=device == "cpu",
        report_to="none",
        disable_tqdm=True,
        **to_trl_kwargs(config) | {"logging_steps": 10**6},
    )


def median_step(name: str, config: Config, clock: Clock, device: str) -> float:
    """Median seconds of a step of one trainer, the first one left out."""
    from trl import GRPOTrainer

    from rlnotes.engines.trl_data import make_dataset
    from rlnotes.engines.trl_trainer import NotesTrainer
    from rlnotes.training import build_rewards

    task, policy = load_task(config.task), load_policy(config.policy).to(device)
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "args": trl_arguments(config, folder, device),
            "train_dataset": make_dataset(config, task),
        }
        if name == "ours":
            trainer = timed(NotesTrainer)(config, task, policy, **common)
        else:
            trainer = timed(GRPOTrainer)(
                model=policy.model,
                processing_class=policy.tokenizer,
                reward_funcs=build_rewards(config, task),
                **common,
            )
        trainer.seconds, trainer.spent, trainer.clock = [], 0.0, clock
        trainer.train()
    return statistics.median(trainer.seconds[1:])


def child(task: dict[str, Any]) -> None:
    """Both trainers in turn, printed as JSON."""
    torch.set_num_threads(task["threads"])
    config = make(task["steps"] + 1)
    names = ("ours", "peer") if task["round"] % 2 else ("peer", "ours")
    device = task["device"]
    clock = make_clock(task["clock"], device)
    seconds = {name: median_step(name, config, clock, device) for name in names}
    print(json.dumps({**seconds, "overhead": seconds["ours"] / seconds["peer"] - 1}))


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Medians over rounds."""
    counter = iter(range(arguments.rounds))

    def one(_: Any) -> dict[str, Any]:
        settings = {
            "steps": arguments.steps,
            "round": next(counter),
            "threads": arguments.threads,
            "clock": arguments.clock,
            "device": arguments.device,
        }
        return run_child(__file__, settings, threads=arguments.threads)

    return interleave([("both", "search")], arguments.rounds, one)["both", "search"]


def main() -> None:
    """Measure, print the table, write the results."""
    parser = argument_parser(__doc__, rounds=5)
    parser.add_argument("--steps", type=int, default=12, help="timed steps a process")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parse_with_device(parser)
    if arguments.child:
        return child(json.loads(arguments.child))
    if arguments.quick:
        arguments.rounds, arguments.steps = 1, 3
    medians = measure(arguments)
    case = "step of 16 × 8 search questions, at most 96 tokens"
    rows: list[Row] = compare(
        case, "s", medians["ours"], {PEER: medians["peer"]}, digits=5
    )
    print_table(rows)
    print(f"overhead: {100 * medians['overhead']:+.2f} %")
    if not arguments.quick:
        method = METHOD + f" {arguments.threads} thread(s), {arguments.clock} clock."
        path = write_results(
            "trl_engine",
            rows,
            method=method,
            device=arguments.device,
            packages=PACKAGES,
        )
        print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
