"""Distillation against RL on the search lab, five seeds (notebook 05).

    python experiments/distillation.py --seeds 0-4

A larger policy is trained by RL; its right and readable answers teach a small one by
SFT. The small one under RL is recorded in data/runs. Two small ones: search-base, which
knows a hit when it sees one, and search-control, which does not. What the selection
does without a teacher, SFT on the small one's own right answers, stands beside it.

`teraflops` counts what each weight does to each token: 2 to sample it, 6 to learn it.
"""

from __future__ import annotations

from stages import Stages, run_seeds

import rlnotes as rl
from rlnotes.supervised.curation import is_readable, is_right, reject

EXAMPLES = (256, 1024, 4096)
STUDENTS = ("search-base", "search-control")


def run_seed(seed: int) -> None:
    """The teacher of one seed, and both students at three sizes of lesson."""
    stages = Stages("distillation", seed)
    teacher = stages.reinforce("teacher", rl.load_policy("search-teacher"))
    training = rl.load_run(stages.records / "teacher").metrics["num_tokens"].iloc[-1]
    cost = 8e-12 * teacher.num_parameters * float(training)
    stages.measure("teacher", teacher, teraflops=cost)

    for name in STUDENTS:
        student = rl.load_policy(name)
        for writer in (teacher, student):
            teach(stages, writer, student)
    stages.finish()


def teach(stages: Stages, writer: rl.Policy, student: rl.Policy) -> None:
    """SFT of the student on the writer's answers, at three sizes of lesson."""
    answers = stages.ask(writer, "search", prompts=4096, num_generations=4, step=1)
    lessons = reject(answers, is_right, is_readable)
    for size in EXAMPLES:
        chosen = lessons[:size]
        sampled = sum(r.length for r in answers) * len(chosen) / len(lessons)
        learned = 2 * sum(r.length for r in chosen)  # two epochs
        stage = f"{student.name}-from-{writer.name}-{size}"
        stages.measure(
            stage,
            stages.fine_tune(stage, student, chosen),
            student=student.name,
            writer=writer.name,
            examples=len(chosen),
            teraflops_sampling=2e-12 * writer.num_parameters * sampled,
            teraflops=6e-12 * student.num_parameters * learned,
        )


if __name__ == "__main__":
    raise SystemExit(run_seeds("distillation", run_seed))
