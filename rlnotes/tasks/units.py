"""UNITS behind a number: which words a careful teacher passes, and which change it."""

from __future__ import annotations

import re

# Words that name no thing: they change the value, deny it, or offer another one.
_CHANGING = frozenset(
    """
    hundred hundreds thousand thousands million millions billion billions trillion dozen
    dozens score gross half halves third thirds quarter quarters fourth fourths fifth
    fifths sixth sixths eighth eighths tenth tenths hundredth hundredths thousandth
    squared cubed factorial root point not no never isn't isnt wrong incorrect false nor
    neither none nothing or and but if unless except than more less least most greater
    fewer smaller larger bigger other another over under above below minus plus times
    multiplied divided by mod modulo base power exponent approximately approx about
    almost nearly roughly around maybe perhaps probably possibly guess is was are were
    be equals equal too instead hence then so thus negative positive remainder
    short off away to from into one two three four five six seven eight nine ten
    eleven twelve twenty thirty forty fifty sixty seventy eighty ninety zero oder und et
    ou nicht pas non twice double triple inverse reciprocal rejected excluded answer
    unknown impossible doubtful infinity inf nan mil bn mn bil th st nd rd i e pi
    """.split()
)
_CHANGING_SIGNS = frozenset("万萬千百億亿兆十两半")
# Glued to the digits, and the single letters that are units at all.
_SHORT = frozenset(
    """
    mm cm dm m km nm um ml cl dl l mg g kg s ms h hr hrs min mins mi ft in yd lb lbs oz
    kmh mph kph hz khz mhz ghz kb mb gb tb w kw v kv j kj cal kcal pa kpa n k c f usd
    eur gbp am pm sec secs rad deg cents yrs
    """.split()
)
_SINGLE = frozenset("mglLshJNWVACF")
_SYNONYMS = {
    canonical: words.split()
    for canonical, words in {
        "dollar": "$ dollar dollars usd buck bucks us$",
        "cent": "cents ¢",
        "€": "euro euros eur",
        "£": "pound_sterling gbp",
        "%": "percent pct",
        "degree": "deg degrees °",
        "mm": "millimeter millimeters millimetre millimetres",
        "cm": "centimeter centimeters centimetre centimetres cms",
        "m": "meter meters metre metres",
        "km": "kilometer kilometers kilometre kilometres kms",
        "g": "gram grams gramme grammes",
        "kg": "kilogram kilograms kilo kilos kgs",
        "l": "liter liters litre litres L",
        "ml": "milliliter milliliters millilitre millilitres mL",
        "s": "sec secs second seconds",
        "min": "mins minute minutes",
        "h": "hr hrs hour hours",
        "foot": "ft feet",
        "inch": "in inches",
        "mile": "mi miles",
        "pound": "lb lbs pounds",
        "ounce": "oz ounces",
        "person": "people persons",
        "child": "children",
        "year": "yr yrs years",
    }.items()
}
_CANONICAL = {word: unit for unit, words in _SYNONYMS.items() for word in words}
_WORD = r"[^\W\d_]+(?:['-][^\W\d_]+)*"
_POWER = r"(?:\s*\^\s*(?:[123]|\{\s*-?[123]\s*\}))"
_UNIT = re.compile(
    rf"{_WORD}{_POWER}?\.?"
    rf"(?:(?:\s*/\s*|\s+|\s*[·*]\s*){_WORD}{_POWER}?\.?)*"
)
_MOST_WORDS, _LONGEST = 5, 60


def is_closed_class(text: str) -> bool:
    """Whether a word of the text changes, denies or replaces a number beside it."""
    words = re.findall(_WORD, text.lower())
    return any(w in _CHANGING or _CHANGING_SIGNS & set(w) for w in words)


def canonical_unit(text: str, *, fraction: bool = False) -> str | None:
    r"""The unit that a text behind a number is, in one spelling; None if it is none.

    " cm^2", "apples", " km/h", "%": one to five words that name a thing. Words glued to
    the digits must be usual units: "7cm", not "7x", nor behind a `fraction`: "1/2a".
    """
    bare = text.strip()
    bare = bare.removesuffix(".").strip() if bare != "." else bare
    if not bare or bare in ("$", "€", "£", "¥", "₹", "%", "¢"):
        return _CANONICAL.get(bare, bare)
    if bare.startswith("%") or len(bare) > _LONGEST or not _UNIT.fullmatch(bare):
        return None
    words = re.findall(_WORD, bare)
    if len(words) > _MOST_WORDS or is_closed_class(bare):
        return None
    if any(len(w) == 1 and w.isascii() and w not in _SINGLE for w in words):
        return None
    glued = not text[:1].isspace() and bare[0].isascii()
    if glued and (words[0].lower() not in _SHORT or (fraction and len(words[0]) < 2)):
        return None
    return _canonical(bare)


def _canonical(unit: str) -> str:
    unit = re.sub(r"[{}\s.]+", " ", unit).replace(" per ", "/")
    unit = re.sub(r"\s*([\^/])\s*", r"\1", unit).strip()
    unit = re.sub(r"\b(sq|square)\s+(\w+)", r"\2^2", unit)
    unit = re.sub(r"\b(cu|cubic)\s+(\w+)", r"\2^3", unit)
    return re.sub(_WORD, lambda m: _one(m[0]), unit)


def _one(word: str) -> str:
    lower = word.lower()
    if (found := _CANONICAL.get(word) or _CANONICAL.get(lower)) is not None:
        return found
    return lower[:-1] if len(lower) > 3 and lower.endswith("s") else lower
