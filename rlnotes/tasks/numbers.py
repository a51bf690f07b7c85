r"""NUMBERS as people write them: what a whole answer is worth, exactly, or nothing.

r"-\$3", "1,234.50", r"42 \text{ cm}^2", "7/2", "5e7", "x = 7", "The answer is 7." are
numbers. "7 or 8", "f(7)", ">= 7", "3*4", "7²", "1 2", "1999-01-07" are none: nothing is
looked for inside an answer, the answer is the whole of what stands there.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from rlnotes.tasks.expressions import read_arithmetic
from rlnotes.tasks.units import canonical_unit, is_closed_class

_LONGEST = 400  # characters of an answer with anything but digits in it
_MOST_DIGITS = 1_000  # beyond that, numbers are compared as text
_MINUS = "\u2212\u2013\uff0d\ufe63"
_SPACE = "\u00a0\u2009\u202f\u2007"
_STYLED = (
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mathsf|mbox|emph|"
    r"boldsymbol|bm|underline|operatorname)"
)
_TEXT = re.compile(rf"{_STYLED}\s*\{{([^{{}}]*)\}}")
_WRAPPERS = (
    *(("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**")),
    *(("__", "__"), ("*", "*"), ("`", "`"), ("{", "}")),
    *((r"\boxed{", "}"), (r"\fbox{", "}")),
)
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degrees?\b|°")
_DROPPED = re.compile(r"\\(?:left|right|displaystyle)(?![a-zA-Z])|\\!")
_BLANK = re.compile(r"\\[,;: ]|\\q?quad\b|(?<=\S)~")
_LEAD = re.compile(
    r"(?:(?:so|thus|therefore|hence|then)\b,?\s*)?(?:(?:the|my|our)\s+)?"
    r"(?:(?:final|correct|total|exact)\s+)?"
    r"(?:answer|result|solution|value|total|sum|product|difference|it|that|this)"
    r"(?:\s+(?:is|equals|was)\b|'s\b|\s*:)\s*:?\s*",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\\?[A-Za-z]+(?:\s+[A-Za-z]+){0,3}(?:_(?:\w|\{\w{1,6}\}))?'?"
    r"(?:\(\s*-?\w{1,6}\s*\))?"
)
_COMPUTES = re.compile(r"\\?(?:sqrt|frac|log|ln|sin|cos|tan|exp|neg|lnot|neq?)\b")
_GROUPED = r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?:[ ][0-9]{3})+|[0-9]+"
_FRACTION = r"\\frac\s*(?:\{\s*-?[0-9]+\s*\}\s*\{\s*-?[0-9]+\s*\}|[0-9]\s*[0-9])"
_NUMBER = re.compile(
    rf"""(?P<sign>(?:[-+]|negative\ |minus\ )?)\s*(?P<coin>(?:us)?[$€£¥₹])?\s*
    (?P<inner>[-+]?)\s*
    (?:(?P<whole>[0-9]+)\s*(?P<part>{_FRACTION}|(?<=\s)[0-9]+\s*/\s*[0-9]+)
     |(?P<fraction>{_FRACTION}|[0-9]+\s*/\s*[0-9]+)
     |(?P<decimal>(?:{_GROUPED})(?:\.[0-9]*)?|\.[0-9]+)
      (?:[eE](?P<e>[-+]?[0-9]{{1,3}})(?![0-9])
       |\s*(?:\\times|\\cdot|×|\*|x)\s*10\s*\^\s*(?P<ten>[-+]?[0-9]{{1,3}}(?![0-9])
       |\{{\s*[-+]?[0-9]{{1,3}}\s*\}}))?
    )(?P<rest>.*)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Number:
    """A value and its unit: "" without one, "%" for a percentage."""

    value: Fraction | str
    """Exact; digits as text beyond a thousand of them."""
    unit: str = ""

    def __str__(self) -> str:
        """The value as completions vote on it: "-3", "2.25", "1/3"."""
        if isinstance(self.value, str):
            return self.value
        power, rest = 0, self.value.denominator
        while power < 50 and 10**power % rest:
            power += 1
        if 10**power % rest:
            return str(self.value)
        digits = f"{abs(self.value) * 10**power}".zfill(power + 1)
        sign = "-" if self.value < 0 else ""
        return f"{sign}{digits[: len(digits) - power]}{power and '.' or ''}" + (
            digits[len(digits) - power :] if power else ""
        )


def read_number(text: str, *, evaluated: bool = True) -> Number | None:
    r"""The number that the whole text is, in time linear in its length; else None.

    A quotient that is an integer ("84/2") is not evaluated, and so no number, unless
    `evaluated` is False: then "3*4" is 12 as well.
    """
    digits = text.strip()
    if digits.isdecimal() and digits.isascii():
        return Number(_exact(digits))
    if len(text) > _LONGEST:
        return None
    plain = undressed(text)
    if _wraps(plain, "(", ")"):
        plain = plain[1:-1]
    *names, last = plain.split("=")
    number = _read_plain(last.strip())
    if not evaluated and (found := read_arithmetic(last, powers=True)) is not None:
        number = Number(found.value)
    elif evaluated and _is_integer_quotient(last):
        return None
    named = number is not None and all(_is_name_of(part, number) for part in names)
    return number if named else None


def same_number(a: Number | None, b: Number | None) -> bool:
    """Equal values in the same unit, where both name one; 5 % is "5" and "0.05"."""
    if a is None or b is None:
        return False
    if a.value == b.value:
        return not (a.unit and b.unit) or a.unit == b.unit
    if {a.unit, b.unit} != {"%", ""} or isinstance(a.value, str):
        return False
    return not isinstance(b.value, str) and (
        a.value / 100 == b.value if a.unit else a.value == b.value / 100
    )


def undressed(text: str) -> str:
    """The text without what a careful teacher does not read: dollars, bold, braces."""
    text = "".join(_plain_character(c) for c in text)
    text = text.replace("{,}", ",").replace(r"\$", "$").replace(r"\%", "%")
    text = re.sub(r"\\[dtc]frac", r"\\frac", _DROPPED.sub("", _BLANK.sub(" ", text)))
    text = _TEXT.sub(r" \1 ", _DEGREES.sub(" degrees", text))
    ended = text.rstrip().endswith("..")
    for _ in range(8):
        before, text = text, text.strip()
        if text.endswith(".") and not ended:
            text, ended = text[:-1].rstrip(), True
        for opening, closing in _WRAPPERS:
            if _wraps(text, opening, closing):
                text = text[len(opening) : len(text) - len(closing)]
        text = _LEAD.sub("", text, count=1) if _LEAD.match(text) else text
        if text == before:
            break
    return text


def _plain_character(c: str) -> str:
    if c in _MINUS:
        return "-"
    if c in _SPACE:
        return " "
    if c.isascii() or not c.isdigit():
        return c
    return str(unicodedata.digit(c)) if c.isdecimal() else f"^{unicodedata.digit(c)}"


def _wraps(text: str, opening: str, closing: str) -> bool:
    """Whether the text is one thing between these two."""
    inside = text[len(opening) : len(text) - len(closing)]
    return (
        len(text) > len(opening) + len(closing)
        and text.startswith(opening)
        and text.endswith(closing)
        and opening[-1] not in inside
        and closing not in inside
    ) or (opening == r"\boxed{" and text.startswith(opening) and text.endswith("}"))


def _read_plain(text: str) -> Number | None:
    match = _NUMBER.fullmatch(text)
    if match is None or (match["sign"] and match["inner"]):
        return None
    value = _value(match)
    coin = "$" if (match["coin"] or "").endswith("$") else match["coin"] or ""
    unit = canonical_unit(match["rest"], fraction=match["decimal"] is None)
    if value is None or unit is None or (coin and unit not in ("", "dollar", "usd")):
        return None
    negative = (match["sign"] or match["inner"]).strip().lower() not in ("", "+")
    if isinstance(value, str):
        value = f"-{value}" if negative else value
    else:
        value = -value if negative else value
    return Number(value, canonical_unit(coin) or unit if coin else unit)


def _value(match: re.Match[str]) -> Fraction | str | None:
    if match["decimal"] is None:
        fraction = _quotient(match["part"] or match["fraction"])
        whole = Fraction(match["whole"] or 0)
        if fraction is None or (match["part"] and not 0 < fraction < 1):
            return None
        return whole + fraction
    exact = _exact(re.sub("[, ]", "", match["decimal"]))
    exponent = match["e"] or (match["ten"] or "").strip("{} ")
    if not exponent:
        return exact
    return None if isinstance(exact, str) else exact * Fraction(10) ** int(exponent)


def _quotient(text: str) -> Fraction | None:
    shorthand = re.fullmatch(r"\\frac\s*([0-9])\s*([0-9])", text)
    pair = shorthand.groups() if shorthand else re.findall(r"-?[0-9]+", text)
    numerator, denominator = pair
    return Fraction(int(numerator), int(denominator)) if int(denominator) else None


def _is_integer_quotient(text: str) -> bool:
    """84/2 and \\frac{84}{2}: a division that nobody carried out."""
    number = _NUMBER.fullmatch(text.strip())
    if number is None or number["fraction"] is None:
        return False
    value = _quotient(number["fraction"])
    return value is not None and value.denominator == 1


def _exact(digits: str) -> Fraction | str:
    if len(digits) <= _MOST_DIGITS:
        return Fraction(digits)
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _is_name_of(text: str, number: Number) -> bool:
    """Whether "text =" may stand before the number: a name, or its working, right."""
    text = text.strip()
    if not text:
        return True
    if _NAME.fullmatch(text):
        return not _COMPUTES.match(text) and not is_closed_class(text)
    working = read_arithmetic(text, powers=True)
    return working is not None and working.value == number.value
