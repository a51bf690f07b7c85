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
import math
import statistics
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from common import (
    Clock,
    Row,
    argument_parser,
    compare,
    make_clock,
    parse_with_device,
    print_table,
    run_child,
    write_results,
)
from tqdm import tqdm

from rlnotes.policies.policy import load_policy
from rlnotes.tasks.loading import load_task
from rlnotes.training.config import Config, make_config

PEER = "TRL GRPOTrainer"
METHOD = (
    "Both trainers train in one process and take turns after every step: a pair of "
    "steps sees the same machine; every round is a fresh process in which the other "
    "one is first. A step is everything from its first forward pass to the next one's: "
    "rollouts, rewards, advantages, loss, backward, optimizer, log. The first pair is "
    "left out as a warm-up. Both sample by TRL's `generate` with a seed for each step "
    "and a learning rate of 1e-12, so that both work on the same tokens. ours, peer: "
    "medians; ratio: the median of the pairs' ratios, its 95 % interval by the order "
    "statistics. Before the clock is read, a GPU has finished."
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


class Turns:
    """Lets one of two threads run at a time."""

    def __init__(self, first: str) -> None:
        self._now, self._changed = first, threading.Condition()
        self._left = {"ours", "peer"}

    def wait(self, name: str) -> None:
        """Until it is the turn of `name`, or it is alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._now == name or len(self._left) == 1)

    def pass_on(self, name: str, *, for_good: bool = False) -> None:
        """The other one's turn; `for_good`: all that follow are."""
        with self._changed:
            self._left -= {name} if for_good else set()
            self._now = "peer" if name == "ours" else "ours"
            self._changed.notify_all()


def timed(base: type, name: str, clock: Clock, turns: Turns) -> type:
    """`base` with a seed for each step's sampling, a clock, and turns after a step."""

    class Timed(base):  # type: ignore[misc]
        seconds: list[float]

        def _generate_single_turn(self, *arguments: Any, **options: Any) -> Any:
            torch.manual_seed(self.state.global_step)
            return super()._generate_single_turn(*arguments, **options)

        def training_step(self, *arguments: Any, **options: Any) -> Any:
            if self._step % self.current_gradient_accumulation_steps == 0:
                if self._step:
                    self.seconds.append(clock() - self.began)
                    turns.pass_on(name)
                turns.wait(name)
                self.began = clock()
            return super().training_step(*arguments, **options)

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


def make_trainer(
    name: str, config: Config, clock: Clock, device: str, turns: Turns, folder: str
) -> Any:
    """One of the two, ready to train."""
    from trl import GRPOTrainer

    from rlnotes.engines.trl_data import make_dataset
    from rlnotes.engines.trl_trainer import NotesTrainer
    from rlnotes.training.chosen_rewards import build_rewards

    task, policy = load_task(config.task), load_policy(config.policy).to(device)
    common = {
        "args": trl_arguments(config, folder, device),
        "train_dataset": make_dataset(config, task),
    }
    if name == "ours":
        made = timed(NotesTrainer, name, clock, turns)(config, task, policy, **common)
    else:
        made = timed(GRPOTrainer, name, clock, turns)(
            model=policy.model,
            processing_class=policy.tokenizer,
            reward_funcs=build_rewards(config, task),
            **common,
        )
    made.seconds = []
    return made


def train_in_turns(
    config: Config, clock: Clock, device: str, first: str
) -> dict[str, list[float]]:
    """Seconds of each step of both but the last, whose end nobody sees."""
    turns = Turns(first)

    def train(name: str) -> list[float]:
        try:
            trainers[name].train()
        finally:
            turns.pass_on(name, for_good=True)
        seconds: list[float] = trainers[name].seconds
        return seconds

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        trainers = {
            name: make_trainer(name, config, clock, device, turns, folder)
            for name in ("ours", "peer")
        }
        running = {name: threads.submit(train, name) for name in trainers}
        return {name: future.result() for name, future in running.items()}


def child(task: dict[str, Any]) -> None:
    """The pairs of one process, printed as JSON."""
    torch.set_num_threads(task["threads"])
    clock = make_clock(task["clock"], task["device"])
    first = "ours" if task["round"] % 2 else "peer"
    # the warm-up, and the last one
    config = make(task["steps"] + 2)
    seconds = train_in_turns(config, clock, task["device"], first)
    print(json.dumps({name: found[1:] for name, found in seconds.items()}))


def measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of the steps of all rounds; ours and the peer's in pairs."""
    pairs: dict[str, list[float]] = {"ours": [], "peer": []}
    for index in tqdm(range(arguments.rounds), unit="round", dynamic_ncols=True):
        settings = {
            "steps": arguments.steps,
            "round": index,
            "threads": arguments.threads,
            "clock": arguments.clock,
            "device": arguments.device,
        }
        found = run_child(__file__, settings, threads=arguments.threads)
        for name, seconds in found.items():
            pairs[name] += seconds
    return pairs


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Median and its 95 % interval: the order statistics n/2 ± 0.98·√n, outwards."""
    ordered, n = sorted(values), len(values)
    low = max(math.floor(n / 2 - 0.98 * math.sqrt(n)) - 1, 0)
    high = min(math.ceil(n / 2 + 0.98 * math.sqrt(n)), n - 1)
    return statistics.median(ordered), ordered[low], ordered[high]


def main() -> None:
    """Measure, print the table, write the results."""
    parser = argument_parser(__doc__, rounds=6)
    parser.add_argument("--steps", type=int, default=20, help="timed pairs a process")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parse_with_device(parser)
    if arguments.child:
        return child(json.loads(arguments.child))
    if arguments.quick:
        arguments.rounds, arguments.steps = 1, 3
    pairs = measure(arguments)
    medians = {name: statistics.median(found) for name, found in pairs.items()}
    ratios = [x / y for x, y in zip(pairs["ours"], pairs["peer"], strict=True)]
    ratio, low, high = median_interval(ratios)
    case = "step of 16 × 8 search questions, at most 96 tokens"
    (row,) = compare(case, "s", medians["ours"], {PEER: medians["peer"]}, digits=5)
    interval = [round(low, 5), round(high, 5)]
    row |= {"ratio": round(ratio, 5), "interval": interval, "pairs": len(ratios)}
    rows: list[Row] = [row]
    print_table(rows)
    print(
        f"overhead: {100 * (ratio - 1):+.2f} % [{100 * (low - 1):+.2f},"
        f" {100 * (high - 1):+.2f}], {len(ratios)} pairs of steps"
    )
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
