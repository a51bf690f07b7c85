"""Ten rewards as tutorials have them, written anew with their faults, and probed.

python scripts/tutorial_rewards.py         # the table in docs/own_rewards.md
rlnotes probe scripts/tutorial_rewards.py:substring --task addition-r1
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rlnotes.rewards.own import given_reward
from rlnotes.rewards.probing import probe
from rlnotes.tasks.loading import load_task

TASK = "addition-r1"
_BLOCK = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def _texts(completions: list[Any]) -> list[str]:
    return [completion[0]["content"] for completion in completions]


def _block(text: str) -> str:
    found = _BLOCK.search(text)
    return found[1].strip() if found else ""


def substring(completions, answer, **kwargs):
    """Right if the answer occurs anywhere."""
    return [float(a in x) for x, a in zip(_texts(completions), answer, strict=True)]


def split_tags(completions, answer, **kwargs):
    """What stands between the last tags, compared as text."""
    cut = [x.split("<answer>")[-1].split("</answer>")[0] for x in _texts(completions)]
    return [float(x.strip() == a) for x, a in zip(cut, answer, strict=True)]


def last_number(completions, answer, **kwargs):
    """The last digits of the text, within one hundredth."""
    found = [re.findall(r"\d+\.?\d*", x) for x in _texts(completions)]
    pairs = zip(found, answer, strict=True)
    return [float(bool(x) and abs(float(x[-1]) - float(a)) < 0.01) for x, a in pairs]


def first_number(completions, answer, **kwargs):
    """The first digits of the answer block."""
    found = [re.search(r"\d+", _block(x)) for x in _texts(completions)]
    pairs = zip(found, answer, strict=True)
    return [float(x is not None and x[0] == a) for x, a in pairs]


def worked_out(completions, answer, **kwargs):
    """A block of digits and operators is evaluated, as countdown recipes do."""
    rewards = []
    for text, a in zip(_texts(completions), answer, strict=True):
        block = _block(text)
        try:
            fits = re.fullmatch(r"[\d+\-*/(). ]+", block)
            rewards.append(float(bool(fits) and eval(block) == float(a)))
        except Exception:
            rewards.append(0.0)
    return rewards


def closeness(completions, answer, **kwargs):
    """1 / (1 + distance): partial credit for a number near the answer."""
    found = [re.search(r"-?\d+", _block(x)) for x in _texts(completions)]
    pairs = zip(found, answer, strict=True)
    return [0.0 if x is None else 1 / (1 + abs(int(x[0]) - int(a))) for x, a in pairs]


def thoroughness(completions, answer, **kwargs):
    """Right, and a thousandth for every character, to encourage reasoning."""
    right = split_tags(completions, answer)
    return [x + len(y) / 1000 for x, y in zip(right, _texts(completions), strict=True)]


def loose_format(completions, **kwargs):
    """The tags somewhere in the text."""
    pattern = r"<think>.*?</think>\s*<answer>.*?</answer>"
    return [float(bool(re.search(pattern, x))) for x in _texts(completions)]


def tag_count(completions, **kwargs):
    """A quarter for each tag that is there."""
    tags = ("<think>", "</think>", "<answer>", "</answer>")
    return [sum(tag in x for tag in tags) / 4 for x in _texts(completions)]


def is_digit(completions, **kwargs):
    """The block, or what stands where one would be, is digits."""
    cut = [x.split("<answer>")[-1].split("</answer>")[0] for x in _texts(completions)]
    return [float(x.strip().isdigit()) for x in cut]


REWARDS: dict[Callable[..., Any], str] = {
    substring: "accuracy",
    split_tags: "accuracy",
    last_number: "accuracy",
    first_number: "accuracy",
    worked_out: "accuracy",
    closeness: "accuracy",
    thoroughness: "accuracy",
    loose_format: "format",
    tag_count: "format",
    is_digit: "integer",
}


def table() -> list[str]:
    """A Markdown row for each reward: the shortcuts it pays, the honest it does not."""
    task = load_task(TASK)
    lines = [
        "| reward | meant for | pays for | leaves unpaid |",
        "| --- | --- | --- | --- |",
    ]
    for function, aspect in REWARDS.items():
        found = probe(given_reward(function), task, aspect)
        paid, unpaid = found.paid_shortcuts, found.unpaid_honest
        cells = [f"{len(x)}: {', '.join(x)}" if x else "0" for x in (paid, unpaid)]
        lines.append(f"| `{function.__name__}` | {aspect} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
