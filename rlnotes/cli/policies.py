"""Commands on a kept policy and on a reward: sample, chat, evaluate, probe."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from rlnotes.cli.options import Option, command, option, parse_overrides

_POLICY = option("policy", metavar="POLICY", help="runs/…/policy, a name, a hub id")
_TASK = option("--task", metavar="T", help="default: what the policy was trained on")
_VALUES = option(
    "overrides", nargs="*", metavar="key=value", help="like temperature=0.6"
)


def _count(default: int | None, text: str, *names: str) -> Option:
    return option(*names, type=int, default=default, metavar="N", help=text)


@command(
    _POLICY,
    _VALUES,
    _TASK,
    _count(8, "completions (8)", "-n", "--number"),
    _count(0, "of the draw (0)", "--seed"),
    option("--words", metavar="LIST", help="marked in the text: a list or a file"),
)
def sample(
    policy: str,
    overrides: list[str],
    task: str | None,
    number: int,
    seed: int,
    words: str | None,
) -> None:
    """Completions of a question with their rewards, the right ones first."""
    from rlnotes.reflection.words import load_words
    from rlnotes.training.asking import ask, asked_config, load_asked, prompt_text

    # a question is a word too: the one that is no key=value
    values = [x for x in overrides if x.partition("=")[0].isidentifier() and "=" in x]
    questions = [x for x in overrides if x not in values]
    if len(questions) > 1:
        raise ValueError(f"expected one question in quotes, got {questions}")
    config = asked_config(policy, task, parse_overrides(values))
    listed = load_words(words or ("search" if "search" in config.task else "r1"))
    model = load_asked(policy)
    question = questions[0] if questions else None
    asked, answers = ask(model, config, question, count=number, seed=seed)
    print(f"{config.task}: {prompt_text(asked.prompt)}")
    if not answers[0].rewards:
        print("(no question of this task, so nothing is paid)")
    marks = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("»", "«")
    for one in answers:
        paid = [
            f"{k} {'none' if v is None else f'{v:g}'}" for k, v in one.rewards.items()
        ]
        cut = ["cut off"] if one.truncated else []
        print(f"\n--- {', '.join(paid + cut)}\n{listed.mark(one.text, *marks)}")


@command(_POLICY, _VALUES, _count(0, "of the draws (0)", "--seed"))
def chat(policy: str, overrides: list[str], seed: int) -> None:
    """Talk to a policy, line by line; an empty line starts over, Ctrl-D ends."""
    from rlnotes.rollouts.rollouts import generate_rollouts
    from rlnotes.tasks.base import Task
    from rlnotes.training.asking import asked_config, load_asked, opened, seeded

    config = asked_config(policy, None, parse_overrides(overrides))
    model = load_asked(policy)
    turns: Any = []
    print(f"{policy}: at most {config.max_completion_length} tokens an answer")
    for line in sys.stdin:
        if not line.strip():
            turns = []
            continue
        prompt = opened(model, turns, line.strip())
        rollouts = generate_rollouts(
            model,
            [Task(prompt, "")],
            num_generations=1,
            max_completion_length=config.max_completion_length,
            temperature=config.temperature,
            generator=seeded(seed),
        )
        seed += 1
        print(rollouts.texts[0], flush=True)
        if not isinstance(prompt, str):
            turns = [*prompt, {"role": "assistant", "content": rollouts.texts[0]}]


@command(
    _POLICY,
    _VALUES,
    _TASK,
    _count(None, "a question; default: as the run evaluated", "--samples"),
    option("--against", metavar="OTHER", help="another policy, compared by question"),
    option("--output", type=Path, metavar="FILE", help="default: below runs/"),
)
def evaluate(
    policy: str,
    overrides: list[str],
    task: str | None,
    samples: int | None,
    against: str | None,
    output: Path | None,
) -> None:
    """Held-out accuracy: greedy, avg, maj and pass, with intervals over questions."""
    from rlnotes.records.run_folders import runs_folder
    from rlnotes.tasks.loading import load_task
    from rlnotes.training.asking import asked_config, load_asked, record_of
    from rlnotes.training.loop import check_budget
    from rlnotes.training.report import report_on

    config = asked_config(policy, task, parse_overrides(overrides))
    name = datetime.now().strftime("%F_%H-%M-%S.json")
    output = output or runs_folder() / "evaluations" / name
    if output.exists():
        raise FileExistsError(f"output: {output} is there already")
    task_set = load_task(config.task)
    check_budget(config, task_set)
    samples = config.eval_samples if samples is None else samples
    report = report_on(load_asked(policy), task_set, config, samples)
    other = against and report_on(load_asked(against), task_set, config, samples)
    print(
        f"{policy} on {config.task}: {len(report.questions)} held-out questions,"
        f" {samples} samples each at temperature {config.temperature:g}, at most"
        f" {config.max_completion_length} tokens\n"
    )
    print(report.table(other or None))
    told = {"policy": report.to_dict()}
    if other:
        told["against"] = other.to_dict()
        told["differences"] = {k: vars(v) for k, v in report.differences(other).items()}
    recorded = record_of(policy, config)
    if recorded:
        same = {k: report.metrics[k] == v for k, v in recorded.items()}
        differing = [k for k, equal in same.items() if not equal]
        said = (
            f"not repeated: {', '.join(differing)}" if differing else "repeated exactly"
        )
        print(f"\nthe record's held-out numbers: {said}")
        told["record"] = {"metrics": recorded, "repeated": not differing}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(told, indent=1, default=str) + "\n")
    print(f"saved: {output}")


@command(
    option("reward", metavar="REWARD", help="a built-in name, file.py:function"),
    option("--task", required=True, metavar="T"),
    option(
        "--for", dest="aspect", metavar="ASPECT", help="accuracy, format, length, …"
    ),
    _VALUES,
)
def probe(reward: str, task: str, aspect: str | None, overrides: list[str]) -> int:
    """What a reward pays for: shortcuts, and right answers in honest spellings.

    1 if it pays for a shortcut or leaves an honest answer unpaid.
    """
    from rlnotes.training.probing import probe_reward

    found = probe_reward(reward, task, aspect, parse_overrides(overrides))
    print(found.table())
    return int(not found.sound)
