"""What a step loses to other processes: threads and waits, with 0 to n foreign ones.

    python benchmarks/busy.py            # half an hour on 2 cores: leave it alone
    python benchmarks/busy.py --quick    # a smoke run on the tiny policy, no results

A step is one of the search lab's (many small products) or of SmolLM2's (larger ones).
Each foreign process multiplies numbers without pause on one thread. "free cores" is
the rule of `rlnotes.machine.free`: as many threads as cores that nobody else uses.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import common

SMALL = {"max_completion_length": 8, "generation_batch_size": 16}
CASES = {
    "search-base": {"policy": "search-base", "task": "search", "bf16": False},
    "smollm2-135m": {"policy": "smollm2-135m", "task": "multiplication", **SMALL},
    "tiny": {"policy": "tiny", "task": "scratch-addition", "bf16": False, **SMALL},
}
WAYS = {
    "all cores, spinning": {"OMP_WAIT_POLICY": "ACTIVE"},
    "all cores, sleeping": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "free cores": {},
}
STEPS = 2  # after one that is not counted
FOREIGN = "x = 1.0\nwhile True: x = x * 1.0000001 % 7"


def child(task: dict[str, Any]) -> dict[str, float]:
    """Median seconds of a step in this process, which has made one before."""
    from rlnotes.machine.free import use_free_cores

    if task["way"] == "free cores":
        use_free_cores()
    import torch

    from rlnotes.policies.policy import load_policy
    from rlnotes.tasks.loading import load_task
    from rlnotes.training.chosen_rewards import build_rewards
    from rlnotes.training.config import make_config
    from rlnotes.training.learner import Learner
    from rlnotes.training.loop import take_step

    config = make_config(**CASES[task["case"]])
    questions = load_task(config.task)
    learner = Learner.create(config, load_policy(config.policy))
    rewards = build_rewards(config, questions)
    seconds = []
    for step in range(1 + STEPS):
        start = time.perf_counter()
        take_step(learner, questions, rewards, step)
        seconds.append(time.perf_counter() - start)
    return {"seconds": sorted(seconds[1:])[STEPS // 2], "n": torch.get_num_threads()}


@contextlib.contextmanager
def foreign_processes(count: int) -> Iterator[None]:
    """`count` processes that never rest."""
    others = [subprocess.Popen([sys.executable, "-c", FOREIGN]) for _ in range(count)]
    time.sleep(1)
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(case: str, way: str, foreign: int) -> dict[str, Any]:
    """One child beside so many foreign processes."""
    hidden = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")
    kept = {k: v for k, v in os.environ.items() if k not in hidden}
    with foreign_processes(foreign):
        done = subprocess.run(
            [
                sys.executable,
                __file__,
                "--child",
                json.dumps({"case": case, "way": way}),
            ],
            env=kept | common.OFFLINE | WAYS[way],
            capture_output=True,
            text=True,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    """Measure, print the table, write `results/busy.json`."""
    parser = common.argument_parser(__doc__ or "", rounds=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument(
        "--case", nargs="+", choices=CASES, help="default: both policies"
    )
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(json.loads(arguments.child))))
        return
    cores = len(os.sched_getaffinity(0))
    cases = arguments.case or ["search-base", "smollm2-135m"]
    cases = ["tiny"] if arguments.quick else cases
    loads = [0, 1] if arguments.quick else list(range(cores + 1))
    tasks = [(way, (case, n)) for case in cases for n in loads for way in WAYS]
    rounds = 1 if arguments.quick else arguments.rounds
    found = common.interleave(tasks, rounds, lambda t: measure(t[1][0], t[0], t[1][1]))
    rows = []
    for case in cases:
        for n in loads:
            seconds = {way: found[way, (case, n)]["seconds"] for way in WAYS}
            ours = seconds.pop("free cores")
            name = f"{case}, {n} foreign process{'es' * (n != 1)} on {cores} cores"
            rows += common.compare(name, "s", ours, seconds)
    common.print_table(rows)
    if not arguments.quick:
        method = f"median of {rounds} rounds, each the median of {STEPS} steps"
        print(common.write_results("busy", rows, method=method))


if __name__ == "__main__":
    main()
