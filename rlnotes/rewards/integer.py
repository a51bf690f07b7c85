"""GDPO's reward for an answer in the right form: a whole number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rlnotes.rewards.rewards import Rewards, completion_text
from rlnotes.tasks.final_answers import answer_block

_INTEGER = re.compile(r"[-+\u2212]?\d{1,3}(?:,\d{3})+|[-+\u2212]?\d+")


def integer_reward(completions: Sequence[Any], **kwargs: Any) -> Rewards:
    """Whether the answer is a whole number: the third reward of GDPO's GSM8K recipe.

    R_int = 1 if the text of the only <answer> block, white space aside, is an integer
    (a sign and thousands separators allowed), else 0. The recipe asks Python's
    `isdigit`, which refuses −3 and takes ². GDPO (2601.05242), the authors' GSM8K run.
    """
    blocks = [answer_block(completion_text(text)) for text in completions]
    return [
        float(block is not None and _INTEGER.fullmatch(block.strip()) is not None)
        for block in blocks
    ]
