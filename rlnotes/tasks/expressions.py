"""EXACT values of arithmetic that a model wrote: a small parser, never `eval`.

Integers, decimals, + - * / and parentheses, in plain text or LaTeX, in rationals. What
is too large to be worth the time, or anything else, has no value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

_LONGEST = 300  # characters
_DEEPEST = 40  # parentheses and braces
_LARGEST_BITS = 4_000
_SPELLINGS = {
    **dict.fromkeys((r"\times", r"\cdot", "×", "·", "⋅"), "*"),
    **dict.fromkeys((r"\div", "÷"), "/"),
    **dict.fromkeys(("−", "–"), "-"),
    **dict.fromkeys((r"\dfrac", r"\tfrac", r"\cfrac"), r"\frac"),
    **dict.fromkeys((r"\left", r"\right", r"\!", r"\,", r"\;", r"\:"), " "),
}
_SPELLED = re.compile(r"\\[a-zA-Z]+|\\[!,;:]|[×·⋅÷−–]")
_TOKEN = re.compile(r"\s*(?:([0-9]+(?:\.[0-9]*)?|\.[0-9]+)|(\\frac|[-+*/^(){}]))")
_CLOSING = {"(": ")", "{": "}"}


class _NoValue(ValueError):
    """The text is no arithmetic, or too large."""


@dataclass
class Arithmetic:
    """What an expression is worth, the numbers in it, and how many operations."""

    value: Fraction
    numbers: list[Fraction] = field(default_factory=list)
    operations: int = 0


def read_arithmetic(text: str, *, powers: bool = False) -> Arithmetic | None:
    """The exact value of "(1 + 2) / 3" or r"\\frac{1}{2^{98}}"; None if there is none.

    `powers` allows `^` with integer exponents. No name, call, `//`, `**` or missing
    operator ("2 3") is arithmetic; a number has at most 300 characters.
    """
    if len(text) > _LONGEST:
        return None
    text = _SPELLED.sub(lambda m: _SPELLINGS.get(m[0], m[0]), text)
    try:
        reader = _Reader(_tokens(text), powers)
        value = reader.sum()
        if reader.tokens:
            return None
        return Arithmetic(value, reader.numbers, reader.operations)
    except (_NoValue, ZeroDivisionError):
        return None


def _tokens(text: str) -> list[str]:
    """The tokens in reverse, to be popped."""
    tokens, place, end = list[str](), 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise _NoValue
        tokens.append(match[1] or match[2])
        place = match.end()
    return tokens[::-1]


class _Reader:
    """Recursive descent: sum → product → signed → power → atom."""

    def __init__(self, tokens: list[str], powers: bool) -> None:
        self.tokens, self.powers = tokens, powers
        self.numbers: list[Fraction] = []
        self.operations = self.depth = 0

    def sum(self) -> Fraction:
        value = self.product()
        while self._next() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            value = self._bounded(value + sign * self.product())
        return value

    def product(self) -> Fraction:
        value = self.signed()
        while self._next() in ("*", "/"):
            divides = self._take() == "/"
            right = self.signed()
            value = self._bounded(value / right if divides else value * right)
        return value

    def signed(self) -> Fraction:
        if self._next() in ("+", "-"):
            negative = self.tokens.pop() == "-"
            if self._next() in ("+", "-"):
                raise _NoValue
            return -self.power() if negative else self.power()
        return self.power()

    def power(self) -> Fraction:
        base = self.atom()
        if not self.powers or self._next() != "^":
            return base
        self._take()
        exponent = self.signed() if self._next() == "-" else self.atom()
        size = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
        if exponent.denominator != 1 or abs(exponent) * size > _LARGEST_BITS:
            raise _NoValue
        return base ** int(exponent)

    def atom(self) -> Fraction:
        token = self.tokens.pop() if self.tokens else ""
        if token == r"\frac":
            self.operations += 1
            return self._bounded(self._argument() / self._argument())
        if token in _CLOSING:
            return self._inside(token)
        if not token or not (token[0].isdigit() or token[0] == "."):
            raise _NoValue
        if len(token) > 1 and token[0] == "0" and token[1].isdigit():
            raise _NoValue
        self.numbers.append(Fraction(token))
        return self.numbers[-1]

    def _argument(self) -> Fraction:
        """Of \\frac: in braces, or (\\frac12) the next digit."""
        token = self._next()
        if token == "{":
            return self.atom()
        if token[:1].isdigit() and token.isdigit() and len(token) <= 2:
            self.tokens[-1:] = list(token[::-1])
            return self.atom()
        raise _NoValue

    def _inside(self, opening: str) -> Fraction:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _NoValue
        value = self.sum()
        if not self.tokens or self.tokens.pop() != _CLOSING[opening]:
            raise _NoValue
        self.depth -= 1
        return value

    def _next(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def _take(self) -> str:
        self.operations += 1
        return self.tokens.pop()

    @staticmethod
    def _bounded(value: Fraction) -> Fraction:
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > (
            _LARGEST_BITS
        ):
            raise _NoValue
        return value
