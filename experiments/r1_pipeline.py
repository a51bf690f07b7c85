"""R1's pipeline in miniature on the search lab, five seeds (notebook 05).

python experiments/r1_pipeline.py --seeds 0-4

base    search-mixed: two languages, gives up after half of its misses
zero    RL from the base, accuracy alone                              (R1-Zero)
dev1    SFT from the base on few answers of zero, rewritten           (cold start)
dev2    RL from dev1, accuracy + language consistency                 (RL stage 1)
dev3    SFT from the base on dev2's answers, right and readable       (rejection)
r1      RL from dev3 on all sizes, + a length preference              (RL stage 2)
zero+language   RL from the base with the language reward: the ablation of Fig. 7
"""

from __future__ import annotations

from stages import Stages, run_seeds

import rlnotes as rl
from rlnotes.supervised.curation import (
    in_english,
    is_english,
    is_readable,
    is_right,
    reject,
)

COLD_START = 64  # examples: "thousands" beside R1's 800,000, so few
SFT_PROMPTS = 1024  # of `search`, and a third of it of each other size
ACCURACY, LANGUAGE, LENGTH = (
    "accuracy_reward",
    "language_consistency_reward",
    "length_reward",
)


def run_seed(seed: int) -> None:
    """All stages of one seed."""
    stages = Stages("r1_pipeline", seed)
    base = rl.load_policy("search-mixed")
    stages.measure("base", base)

    keep = stages.keep_completions("zero", every=20)
    zero = stages.reinforce("zero", base, on_step=keep)
    stages.measure("zero", zero)

    answers = stages.ask(zero, "search", prompts=256, num_generations=4, step=1)
    readable = reject(answers, is_right, is_readable, per_prompt=1)
    cold_start = [in_english(response) for response in readable][:COLD_START]
    dev1 = stages.fine_tune("dev1", base, cold_start, per_device_train_batch_size=16)
    stages.measure("dev1", dev1, examples=len(cold_start))

    dev2 = stages.reinforce("dev2", dev1, reward_funcs=[ACCURACY, LANGUAGE])
    stages.measure("dev2", dev2)

    lessons = []
    for step, (name, prompts) in enumerate(
        (
            ("search-easy", SFT_PROMPTS // 3),
            ("search", SFT_PROMPTS),
            ("search-hard", SFT_PROMPTS // 3),
        )
    ):
        sampled = stages.ask(
            dev2, name, prompts=prompts, num_generations=4, step=step + 2
        )
        lessons += reject(sampled, is_right, is_readable, is_english, per_prompt=2)
    dev3 = stages.fine_tune("dev3", base, lessons)
    stages.measure("dev3", dev3, examples=len(lessons))

    r1 = stages.reinforce(
        "r1",
        dev3,
        task="search-all",
        reward_funcs=[ACCURACY, LANGUAGE, LENGTH],
        length_limit=64,
    )
    stages.measure("r1", r1)

    ablation = stages.reinforce(
        "zero+language", base, reward_funcs=[ACCURACY, LANGUAGE]
    )
    stages.measure("zero+language", ablation)
    stages.finish()


if __name__ == "__main__":
    raise SystemExit(run_seeds("r1_pipeline", run_seed))
