"""What one row of `docs/differences.md` is made of."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rlnotes.equations.conventions import CONVENTIONS

T = partial(torch.tensor, dtype=torch.float64)
GOLDEN = Path(__file__).parent.parent / "tests" / "equations" / "golden"


@dataclass(frozen=True)
class Row:
    """One disagreement.

    Attributes:
        number: 1 to 24 as in the comments of `equations/conventions.py`, then ours.
        topic: GAE, advantage, clip, mean, KL, length, sampling, GDPO or script.
        title: what differs.
        paper: what the equation says.
        code: who does what.
        means: one sentence for somebody about to start a run.
        example: computes the numbers; its docstring says what they are. None where
            no code of ours can show it.
        read: what was only read, and in which version.
        who: who is not as the paper, where the example has no number of the paper's.
    """

    number: int
    topic: str
    title: str
    paper: str
    code: str
    means: str
    example: Callable[[], Mapping[str, Any]] | None = None
    read: str = ""
    who: str = ""


def each(field: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Result of `function` under every convention that has keywords for `field`."""
    return {
        name: attempt(function, **getattr(convention, field))
        for name, convention in CONVENTIONS.items()
        if getattr(convention, field) is not None
    }


def attempt(function: Callable[..., Any], **keywords: Any) -> Any:
    """Result of `function`, or "error" where it refuses the input."""
    try:
        return function(**keywords)
    except ValueError:
        return "error"


def stored(name: str, *keys: str) -> Any:
    """A number that another code base produced, from tests/equations/golden."""
    value = json.loads((GOLDEN / f"{name}.json").read_text())["cases"]
    for key in keys:
        value = value[key]
    return value
