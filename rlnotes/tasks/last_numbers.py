"""The LAST number of a text, found in linear time."""

import re
import unicodedata
from collections import deque

# A sign counts only where it cannot be a binary operator or a hyphen: "= -3" is −3,
# "5-3" ends in 3. Thousands are groups of exactly three digits. Everything is
# linear in the length of the text: no two branches can match the same digits twice.
_NUMBER = re.compile(
    r"(?:(?<![\w)\]}%])(?P<sign>[-+\u2212\u2013\uff0d\ufe63]))?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<fraction>(?:\.\d+)*)"
)


def last_number(text: object) -> str | None:
    """Last number of a text in canonical form, or None if there is none.

    "1,234" → "1234", "−3" (U+2212) → "-3", "4.0" → "4", "3.50." → "3.5", "007" → "7",
    "-0" → "0", "٧" (any Unicode decimal digit) → "7". A number starts with a digit:
    ".5" reads as 5. Exponents and fractions are not parsed: "1e5" → "5", "7/2" → "2".
    "1.2.3" is no number and stays as it is, equal to no answer. Strings are compared,
    so integers of any size are exact. Anything but a `str` has no number.
    """
    match = last_number_match(text)
    if match is None:
        return None
    whole, fraction = _ascii_digits(match["whole"]), _ascii_digits(match["fraction"])
    if fraction.count(".") == 1:
        fraction = fraction.rstrip("0").rstrip(".")
    number = (whole.lstrip("0") or "0") + fraction
    negative = match["sign"] not in (None, "+") and number != "0"
    return f"-{number}" if negative else number


def last_number_match(text: object) -> re.Match[str] | None:
    """Where the last number of a text stands."""
    numbers = _NUMBER.finditer(text if isinstance(text, str) else "")
    return next(iter(deque(numbers, maxlen=1)), None)


def _ascii_digits(text: str) -> str:
    """ASCII form of a run of Unicode decimal digits and dots, commas dropped."""
    if text.isascii():
        return text.replace(",", "")
    return "".join(
        c if c == "." else str(unicodedata.decimal(c)) for c in text if c != ","
    )
