"""The jump at step 8.2k: what raising the length limit in mid-run does (notebook 07).

    python experiments/length_limit.py --seeds 0-4

R1-Zero's limit went from 32,768 to 65,536 tokens at step 8.2k, where its accuracy and
length jump. Here GRPO runs 40 steps under a limit of 40 tokens, three tries; then one
arm goes on so and the other with 128. Both start their optimizer anew.
"""

from __future__ import annotations

from stages import Stages, run_seeds

import rlnotes as rl

STEPS = 40
LOW, HIGH = 40, 128  # tokens


def run_seed(seed: int) -> None:
    """Both arms of one seed."""
    stages = Stages("length_limit", seed)
    base = rl.load_policy("search-base")
    before = stages.reinforce(
        "before", base, max_steps=STEPS, max_completion_length=LOW
    )
    for stage, limit in (("kept", LOW), ("raised", HIGH)):
        after = stages.reinforce(
            stage,
            before,
            max_steps=STEPS,
            max_completion_length=limit,
            seed=seed + 1000,  # other questions than the first 40 steps
        )
        stages.measure(stage, after, max_completion_length=limit)
    stages.finish()


if __name__ == "__main__":
    raise SystemExit(run_seeds("length_limit", run_seed))
