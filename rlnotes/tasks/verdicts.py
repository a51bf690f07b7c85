"""VERDICTS: whether an answer is the reference, as a careful teacher would say.

Where both are rational they are compared exactly. Formulas go to math-verify, unless
something in the answer could make it see a formula where a person sees a remark, an
inequality or a calculation that nobody carried out.
"""

from __future__ import annotations

import re

from rlnotes.tasks.base import Task, verify_number
from rlnotes.tasks.expressions import read_arithmetic
from rlnotes.tasks.final_answers import without_spaces, written_answer
from rlnotes.tasks.math_answers import LONGEST, equal_answers
from rlnotes.tasks.numbers import read_number, same_number, undressed
from rlnotes.tasks.units import canonical_unit

_COMMAND = re.compile(r"\\[a-zA-Z]+")
_RELATION = re.compile(
    r"[<>≤≥≠≈~]|\\(?:[lg]eq?|ne|neq|approx|sim|leqslant|geqslant|not|neg|lnot|pm|to)\b"
)
_SHORT_FRACTION = re.compile(r"\\frac(?:\s+([a-z])|\s*(\d))\s*(\w)")
_GLUED = re.compile(r"[\d.]\s+[\d.]")
_DECIMAL = re.compile(r"(?<![\d.,])(\d*)\.(\d+)(?![\d.])")
_TOWER = re.compile(r"\^\s*(?:\d{4,}|\{\s*-?\d{4,}|\{[^{}]*\^)")
_UNFINISHED = re.compile(
    r"[\w)}\]]\s*[-+−]|\d\s*(?:\*|\\cdot|\\times|\\div|/|\()\s*-?\d|\)\s*\(|!|\d\s*\^"
)
_NAMED = re.compile(r"\s*([A-Za-z](?:\([A-Za-z]\))?)\s*=(?!=)(.*)", re.DOTALL)
_UNIT_BEHIND = re.compile(r"(.*[\d}\])])(\s+[A-Za-z][^\\{}()=]{0,40})", re.DOTALL)
_MATH = dict(zip("−×÷·π≤≥∞∪∩∅√", (
    *("-", r"\times ", r"\div ", r"\cdot ", r"\pi ", r"\le ", r"\ge ", r"\infty "),
    *(r"\cup ", r"\cap ", r"\emptyset ", r"\sqrt "),
), strict=True))  # fmt: skip


def verify_answer(completion: object, reference: str) -> float | None:
    """1.0 or 0.0 for a reference that is a number or a formula; None for any other."""
    if read_number(reference) is not None:
        return verify_number(completion, Task("", reference))
    if not re.search(r"\d|\\[a-zA-Z]", reference):
        return None
    written = written_answer(completion)
    if written is None and isinstance(completion, str) and len(completion) <= LONGEST:
        written = completion
    return float(bool(written) and same_answer(str(written), reference))


def same_answer(answer: str, reference: str, *, evaluated: bool = True) -> bool:
    r"""Whether a whole answer is the reference, whatever its spelling.

    A number is the answer only if it is worked out: "5+7" is not 12. With `evaluated`
    False an expression of the same value will do. The value of "\frac{1}{2^{98}}" is
    compared exactly, any other formula by math-verify.
    """
    number = read_number(reference)
    if number is not None:
        return same_number(read_number(answer, evaluated=evaluated), number)
    a, b = (_formula(text) for text in (answer, reference))
    a, b = _without_name(a, b), _without_name(b, a)
    if without_spaces(a) == without_spaces(b):
        return bool(a)
    if len(b) > 1 and b.isalpha() and a.isalpha():
        return a.casefold() == b.casefold()
    values = read_arithmetic(a, powers=True), read_arithmetic(b, powers=True)
    if values[0] is not None and values[1] is not None:
        done = not evaluated or values[0].operations <= values[1].operations
        return done and values[0].value == values[1].value
    if values[1] is not None and read_number(a) is not None:
        return read_number(a) == read_number(str(values[1].value))
    if not _is_comparable(a, b, evaluated):
        return False
    return equal_answers(_exact(a), _exact(b))


def _formula(text: str) -> str:
    """Without dollars, bold and lead words, in LaTeX alone."""
    if len(text) > LONGEST:
        return text.strip()
    text = "".join(_MATH.get(c, c) for c in undressed(text)).strip()
    return _SHORT_FRACTION.sub(r"\\frac{\1\2}{\3}", text)


def _without_name(text: str, other: str) -> str:
    """The right side of "x = …" where the other side has no equation."""
    named = _NAMED.fullmatch(text)
    return named[2].strip() if named and "=" not in other else text


def _is_comparable(answer: str, reference: str, evaluated: bool) -> bool:
    """Whether nothing stands in the answer that the reference gives no reason for."""
    if max(len(answer), len(reference)) > LONGEST or not answer.isascii():
        return False
    for pattern in (_RELATION, _TOWER, re.compile("!"), re.compile(r"\bor\b|\band\b")):
        if len(pattern.findall(answer)) > len(pattern.findall(reference)):
            return False
    if _GLUED.search(answer) and not _GLUED.search(reference):
        return False
    bare, known = (
        _COMMAND.sub(" ", text) for text in (_without_unit(answer), reference)
    )
    if not set(re.findall("[A-Za-z]", bare)) <= set(re.findall("[A-Za-z]", known)):
        return False
    closed = not re.search("[A-Za-z]", known)
    unfinished = [len(_UNFINISHED.findall(text)) for text in (answer, reference)]
    return not (evaluated and closed and unfinished[0] > unfinished[1])


def _without_unit(text: str) -> str:
    """The formula before a unit: "2\\sqrt{3} cm"."""
    found = _UNIT_BEHIND.fullmatch(text)
    return found[1] if found and canonical_unit(found[2]) else text


def _exact(text: str) -> str:
    """The formula with fractions for its decimals, which floats would round."""
    text = _without_unit(text)

    def fraction(match: re.Match[str]) -> str:
        whole = (match[1] + match[2]).lstrip("0") or "0"
        return rf"\frac{{{whole}}}{{1{'0' * len(match[2])}}}"

    return _DECIMAL.sub(fraction, text)
