"""Choices that were tuned on one processor, on another kind: do they still hold?

    python benchmarks/kinds.py    # ten minutes; --quick: a smoke run, no results

Every choice and its alternatives run in one process, once as this processor is and once
as one before AVX-512 (ONEDNN_MAX_CPU_ISA, ATEN_CPU_CAPABILITY). MKL's own products keep
their instructions, so that float32 is faster here than on a real one of that kind.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import common

KINDS = {
    "this processor": {},
    "before AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
CASES = {
    "search-base": ("search", 256, 128, False),
    "smollm2-135m": ("multiplication", 16, 24, None),
    "tiny": ("scratch-addition", 16, 8, False),
}


def child(task: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Seconds of each alternative of each choice, ours first."""
    import torch

    from rlnotes.policies.policy import load_policy
    from rlnotes.rollouts import forwards, growing
    from rlnotes.rollouts.rollouts import generate_rollouts
    from rlnotes.tasks.loading import load_task
    from rlnotes.training.config import make_config

    name, clock = task["case"], common.make_clock(task["clock"], "cpu")
    question, rows, length, bf16 = CASES[name]
    config = make_config(bf16=bf16).settled("cpu")
    policy, questions = load_policy(name), load_task(question)
    sampler = policy.clone(dtype=torch.bfloat16) if config.bf16 else policy

    def sample(**options: Any) -> Any:
        return generate_rollouts(
            sampler,
            questions.sample(rows // 8, seed=0, step=0),
            num_generations=8,
            max_completion_length=length,
            generator=torch.Generator().manual_seed(0),
            **options,
        )

    rollouts, backbone = sample(), policy.model.base_model

    def forward(hidden_states: Callable[..., Any]) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(config.bf16)):
            hidden_states(backbone, rollouts).square().sum().backward()

    def buckets(count: int) -> None:
        with mock.patch.object(forwards, "_BUCKETS", count):
            forward(forwards.bucketed_hidden_states)

    def crowded(share: float) -> None:
        with mock.patch.object(growing, "_CROWDED", share):
            sample()

    packs = forwards.packing_pays(rollouts, backbone.config.hidden_size)
    chosen = forwards.packed_hidden_states if packs else forwards.bucketed_hidden_states
    other = forwards.bucketed_hidden_states if packs else forwards.packed_hidden_states
    choices: dict[str, dict[str, Callable[[], Any]]] = {
        "shapes while sampling": {
            "growing": sample,
            "static": lambda: sample(cache_implementation="static"),
        },
        "rows leave": {
            "below 7/8": lambda: crowded(7 / 8),
            "below 1/2": lambda: crowded(1 / 2),
            "never": lambda: crowded(0),
        },
        "rows of a forward": {
            chosen.__name__.split("_")[0]: lambda: forward(chosen),
            other.__name__.split("_")[0]: lambda: forward(other),
        },
        "buckets": {str(n): (lambda n=n: buckets(n)) for n in (4, 1, 8)},
    }
    found: dict[str, dict[str, list[float]]] = {}
    for turn in range(task["turns"] + 1):
        for choice, ways in choices.items():
            for way, work in ways.items():
                start = clock()
                work()
                seconds = clock() - start
                if turn:  # the first one warms up
                    found.setdefault(choice, {}).setdefault(way, []).append(seconds)
    return {c: {w: min(s) for w, s in ways.items()} for c, ways in found.items()}


def main() -> None:
    """Measure, print the table, write `results/kinds.json`."""
    parser = common.argument_parser(__doc__ or "", rounds=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(json.loads(arguments.child))))
        return
    turns = 1 if arguments.quick else arguments.rounds
    rows = []
    for case in ["tiny"] if arguments.quick else ["search-base", "smollm2-135m"]:
        for kind, variables in KINDS.items():
            task = {"case": case, "clock": arguments.clock, "turns": turns}
            done = subprocess.run(
                [sys.executable, __file__, "--child", json.dumps(task)],
                env=os.environ | common.OFFLINE | {"OMP_NUM_THREADS": "1"} | variables,
                capture_output=True,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout.strip().splitlines()[-1])
            for choice, seconds in found.items():
                ours, *others = seconds
                peers = {way: seconds[way] for way in others}
                label = f"{case}, {kind}, {choice}: {ours}"
                rows += common.compare(label, "s", seconds[ours], peers)
    common.print_table(rows)
    if not arguments.quick:
        clock = f"{arguments.clock} clock"
        method = f"one thread, {clock}, best of {turns} turns around all choices"
        print(common.write_results("kinds", rows, method=method))


if __name__ == "__main__":
    main()
