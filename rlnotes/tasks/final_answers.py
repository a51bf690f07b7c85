"""The final answer in a text that reasons: found without evaluating, in linear time.

What stands inside <think> is a thought and no answer. An answer is the whole of what
stands in the last \\boxed{…} or the only <answer> block; where neither is asked for nor
used, the last number of the text.
"""

from __future__ import annotations

import re

from rlnotes.tasks.last_numbers import last_number_match
from rlnotes.tasks.numbers import Number, read_number
from rlnotes.tasks.units import canonical_unit

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_ANSWER_TAG = re.compile(r"(</?answer>)")
_LABELLED = re.compile(r"(?:\*\*)?(?:Final )?Answer:(?:\*\*)?\s*(.+)", re.IGNORECASE)
_THINK_TAG = re.compile(r"<\s{0,3}(/?)\s{0,3}think\s{0,3}>", re.IGNORECASE)
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_TAIL = 10_000  # characters: an answer stands at the end
_NEAR = 60  # characters around a number that decide what it is


def outside_thought(text: object) -> str:
    """A text without its thoughts; one whose <think> the prompt wrote starts in one."""
    text = text if isinstance(text, str) else ""
    kept, start = list[str](), 0  # start -1: inside a thought
    for tag in _THINK_TAG.finditer(text):
        if not tag[1] and start >= 0:
            kept.append(text[start : tag.start()])
            start = -1
        elif tag[1]:
            kept = kept if start < 0 else []
            start = tag.end()
    return "".join([*kept, text[start:] if start >= 0 else ""])


def final_answer(text: str, template: str) -> str | None:
    """The final answer of a completion, as it is written; None without one.

    "boxed": inside the last \\boxed{…} that is not empty, or None if its brace is never
    closed. "r1": the only <answer> block, of that the box if it has one.
    """
    if template != "r1":
        return _last_box(outside_thought(text)[-_TAIL:])
    block = answer_block(text)
    boxed = None if block is None else _last_box(block[-_TAIL:])
    return block.strip() if block is not None and boxed is None else boxed


def written_answer(text: object) -> str | None:
    """What stands in the box, the <answer> block, or behind "Answer:" in the last line.

    "" in one that is not closed; None without any: then the last number may count.
    """
    rest = outside_thought(text)
    boxed = final_answer(rest, "boxed")
    if boxed is not None or _opens_box(rest[-_TAIL:]):
        return boxed or ""
    if "<answer>" in rest:
        return (answer_block(rest) or "").strip()
    labelled = _LABELLED.fullmatch(rest.rstrip().rpartition("\n")[2][-_TAIL:].strip())
    return labelled[1].strip() if labelled else None


def final_number(text: object) -> Number | None:
    """The number that a completion answers with: box, block or last number."""
    written = written_answer(text)
    if written is None:
        return last_stated(outside_thought(text))
    return read_number(written)


def answer_block(text: object) -> str | None:
    """What stands in the only <answer> block behind the thought; None without just one.

    A block may stand in a second pair of tags with nothing else between.
    """
    parts = _ANSWER_TAG.split(outside_thought(text))
    blocks = [
        i
        for i in range(2, len(parts) - 1, 2)
        if parts[i - 1] == "<answer>" and parts[i + 1] == "</answer>"
    ]
    if len(blocks) != 1:
        return None
    i = blocks[0]
    nested = i >= 4 and parts[i - 3] == "<answer>"
    return None if nested and parts[i - 2].strip() else parts[i]


def reference_answer(text: str) -> str:
    """The final answer of a solution (GSM8K: "…#### 42", MATH: "…\\boxed{42}…")."""
    if "####" in text:
        return text.rpartition("####")[2].strip()
    found = _last_box(text)
    return text if found is None else found.strip()


def last_stated(text: str) -> Number | None:
    """The number that a plain text ends in, read with what stands around it.

    "3*4", "5e7x", ">= 7", "not 7", "f(7)", a date and a list "3,7" state none.
    """
    match = last_number_match(text)
    if match is None:
        return None
    before = text[max(0, match.start() - _NEAR) : match.start()].rpartition("\n")[2]
    after = text[match.end() : match.end() + _NEAR]
    written, before = _whole(match[0], before)
    if _UNSETTLED_BEFORE.search(before) and not _TAG_BEFORE.search(before):
        return None
    if not _settled_after(after):
        return None
    return read_number(written + ("%" if _PERCENT.match(after) else ""))


def _whole(written: str, before: str) -> tuple[str, str]:
    """The number with its thousands, point, numerator and sign, and what is before."""
    for pattern, wanted, sign in _PARTS_BEFORE:
        found = pattern.search(before)
        if found and re.fullmatch(wanted, written):
            part = found["part"]
            written = ("-" if sign else part) + written
            before = before[: found.start("part")]
    return written, before


_MINUS = "[-\u2212]"
_PARTS_BEFORE = [
    (re.compile(pattern), wanted, sign)
    for pattern, wanted, sign in (
        (r"(?<![\d.,])(?P<part>\d{1,3}(?:[ \u00a0\u202f]\d{3})*[ \u00a0\u202f])$",
         r"\d{3}(?:\.\d+)?", False),
        (r"(?<![\d.])(?P<part>\.)$", r"\d+", False),
        (rf"(?<![\w./)}}])(?P<part>{_MINUS}?\d{{1,9}}\s?/\s?)$", r"\d+", False),
        (rf"(?:^|[=:(\s])(?P<part>{_MINUS}\s?\\?\$)$", r".+", True),
        (rf"(?:=|\b(?:is|equals))\s*(?P<part>{_MINUS}\s+)$", r".+", True),
        (r"(?<![\d.)] )\b(?P<part>(?:negative|minus)\s+)$", r".+", True),
    )
]  # fmt: skip
_PERCENT = re.compile(r"\s?\\?%")
_UNSETTLED_BEFORE = re.compile(
    r"(?:[A-Za-z_^!\\²³}]|\d +|[A-Za-z0-9]\(['\"]?|[-\u2212]\s*\(|\d[,.:;/]"
    r"|[\d)\]}!]\s*(?:[-+*/×÷·⋅^\u2212\u2013]|\\times|\\cdot|\\div|\*\*)\s*"
    r"|(?:[≥≤≠~≈]|(?<![-=])>=?|<=?|!=|\\(?:geq?|leq?|neq?|approx|sim|pm))\s*"
    r"|\b(?:not|isn't|never|nor|neither)\s)$"
)
_TAG_BEFORE = re.compile(r"<[^<>\n]{1,20}>\s*$")


def _settled_after(after: str) -> bool:
    """Whether what follows the last number leaves it what it is."""
    after = after.removeprefix("**").removeprefix("$")
    if re.match(r"[!^²³⁴⁵⁶⁷⁸⁹⁰¹]|\s*(?:\\times|\\cdot|\\pm|[*/×÷])\s*\S", after):
        return False
    glued = re.match(r"[A-Za-z]+", after)
    return glued is None or canonical_unit(glued[0]) is not None


def _opens_box(text: str) -> bool:
    return any(_argument(text[box.end() :]) is not None for box in _BOX.finditer(text))


def _argument(rest: str) -> str | None:
    """What `\\boxed 5` boxes; a brace stands for itself, a word is no argument."""
    if rest.startswith("{"):
        return "{"
    word = rest[:40].split()[0].rstrip(".$") if rest[:40].split() else ""
    return word if re.match(r"[-+\\\d]", word) else None


def _last_box(text: str) -> str | None:
    """Content of the last box that is not empty, braces balanced; "" of empty ones.

    Of boxes in boxes it is the outer one. None without a box or where one stays open.
    """
    found, opened = None, list[int]()
    starts: list[int] = []  # of the boxes among the open braces, -1 for a plain brace
    bare = [b for b in _BOX.finditer(text) if text[b.end() : b.end() + 1] != "{"]
    for token in _BRACES.finditer(text):
        if token[0].endswith("{") and token[0] != "\\{":
            opened.append(token.end())
            starts.append(len(token[0]) > 1)
        elif token[0] == "}" and opened:
            start, is_box = opened.pop(), starts.pop()
            if is_box and not any(starts):
                content = text[start : token.start()].strip()
                found = (token.start(), content or (found[1] if found else ""))
    if any(starts):
        return None
    for box in reversed(bare):
        word = _argument(text[box.end() :])
        if word is not None and (found is None or box.start() > found[0]):
            return word
    return found[1] if found else None


def plain_number(text: str) -> str | None:
    """The number that a short answer is, in the form of `last_number`; else None.

    "\\$1{,}234", "$ 1234 $", "1234 \\text{ dollars}", "x = 1234" → "1234". An answer
    with another number, a fraction, a power or a command in it is none: "\\sqrt{2}".
    """
    number = None if "/" in text or "frac" in text else read_number(text)
    return None if number is None else str(number)


def without_spaces(text: str) -> str:
    """The text without white space: how two spellings of one formula vote together."""
    return "".join(text.split())
