"""Which share of a text is written in one language: R1's language consistency."""

import re
import unicodedata
from functools import lru_cache

from rlnotes.equations.names import did_you_mean

# Unicode scripts (the first word of a letter's name) of each language. English is any
# Latin letter: script tells Chinese from English, not English from French.
LANGUAGE_SCRIPTS: dict[str, frozenset[str]] = {
    "en": frozenset({"LATIN"}),
    "zh": frozenset({"CJK"}),
    "ja": frozenset({"HIRAGANA", "KATAKANA", "CJK"}),
    "ko": frozenset({"HANGUL"}),
    "ru": frozenset({"CYRILLIC"}),
    "el": frozenset({"GREEK"}),
    "ar": frozenset({"ARABIC"}),
    "he": frozenset({"HEBREW"}),
    "hi": frozenset({"DEVANAGARI"}),
    "th": frozenset({"THAI"}),
}
_UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI"})
_MARKUP = re.compile(r"</?(?:think|answer)>|\\[A-Za-z]+")


@lru_cache(maxsize=65536)
def _script(character: str) -> str | None:
    """Script of a letter, "" for what continues a word, None for all else.

    Compatibility forms count as what they stand for (a full-width A is Latin). Done
    letter by letter: normalizing a whole text can take quadratic time.
    """
    category = unicodedata.category(character)
    if category[0] == "M" or category == "Lm" or character in "'\u2019":
        return ""
    if category[0] != "L":
        return None
    letter = unicodedata.normalize("NFKC", character)[0]
    return unicodedata.name(letter, "?").split()[0]


def share_of_words(text: str, *, language: str) -> float:
    """Share of a text's words in the target language, told by Unicode script.

    R_language = #words in the target language / #words ∈ [0, 1]  (DeepSeek-R1)

    A word is a run of letters of one script; scripts written without spaces (Han,
    kana, Thai) count every letter. Digits, punctuation, think and answer tags and
    LaTeX commands are neutral. A text without any word scores 0: saying nothing must
    not pay. Raises ValueError on an unknown language.
    """
    if language not in LANGUAGE_SCRIPTS:
        known = ", ".join(LANGUAGE_SCRIPTS)
        hint = did_you_mean(language, LANGUAGE_SCRIPTS)
        raise ValueError(f"language: unknown {language!r}; known: {known}{hint}")
    scripts = LANGUAGE_SCRIPTS[language]
    words = inside = 0
    current: str | None = None
    for character in _MARKUP.sub(" ", text):
        script = _script(character)
        if script == "":
            continue
        if script is not None and (script != current or script in _UNSPACED):
            words += 1
            inside += script in scripts
        current = script
    return inside / words if words else 0.0
