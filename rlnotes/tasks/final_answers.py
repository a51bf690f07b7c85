"""The final answer in a text that reasons: found without evaluating, in linear time."""

from __future__ import annotations

import re

from rlnotes.tasks.base import last_number

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_ANSWER_BLOCK = re.compile(r"<answer>([^<]*)</answer>")
# What may stand around a number: "\\$1{,}234.50\\text{ a day}" is one still.
_TEXT = re.compile(r"\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}")
_DRESS = re.compile(r"\\[$%!,;: ]|[$%]|\^\s*\{?\s*\\circ\s*\}?|\\(?:left|right)")
_DIGITS = re.compile(r"\d[\d,.]*")
_TAIL = 10_000  # characters: an answer stands at the end


def final_answer(text: str, template: str) -> str | None:
    """The final answer of a completion, as it is written; None without one.

    "boxed": inside the last \\boxed{…}, or None if its brace is never closed. "r1": the
    only <answer> block, of that the box if it has one.
    """
    if template != "r1":
        return _last_box(text[-_TAIL:])
    block = answer_block(text)
    boxed = None if block is None else _last_box(block)
    return block.strip() if block is not None and boxed is None else boxed


def answer_block(text: object) -> str | None:
    """What stands in the only <answer> block of a text; None without just one."""
    blocks = _ANSWER_BLOCK.findall(text) if isinstance(text, str) else []
    return blocks[0] if len(blocks) == 1 else None


def reference_answer(text: str) -> str:
    """The final answer of a solution (GSM8K: "…#### 42", MATH: "…\\boxed{42}…")."""
    if "####" in text:
        return text.rpartition("####")[2].strip()
    found = final_answer(text, "boxed")
    return text if found is None else found.strip()


def _last_box(text: str) -> str | None:
    """Content of the last \\boxed{…}, braces balanced, or of `\\boxed 5`."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    opened = _BOX.match(text, start) if start >= 0 else None
    if opened is None:
        return None
    rest, depth = text[opened.end() :], 0
    if not rest.startswith("{"):
        return rest.split()[0].rstrip(".$") if rest.split() else None
    for i, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:i].strip()
    return None


def plain_number(text: str) -> str | None:
    """The number that a short answer is, in the form of `last_number`; else None.

    "\\$1{,}234", "$ 1234 $", "1234 \\text{ dollars}", "x = 1234" → "1234". An answer
    with another number, a fraction, a power or a command in it is none: "\\sqrt{2}".
    """
    bare = _DRESS.sub(" ", _TEXT.sub(r" \1 ", text.replace("{,}", ",")))
    if any(mark in bare for mark in "\\^/{}*") or len(_DIGITS.findall(bare)) != 1:
        return None
    return last_number(bare)


def without_spaces(text: str) -> str:
    """The text without white space: how two spellings of one formula vote together."""
    return "".join(text.split())
