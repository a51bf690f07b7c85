"""Layer 1 of reflection, words: which lists the papers count, and how we count them.

    words = load_words("r1")
    words.count("Wait, let me check. Wait.")     {"wait": 2, "check": 1}

Words are evidence of words, not of self-correction. DeepSeek-R1 Fig 9(a) reports that
its ten words grow 5–7-fold and does not say per what; its responses grow 17-fold, so
a count per response may rise while the count per token falls. Hence always both, and
the share of responses with at least one (`counts.rates`).

What is a match: the whole word in any case (casefold), at the longest entry where two
fit. A blank in an entry stands for any white space, a hyphen for any of - ‐ ‑. A
hyphen ends a word: "double-check" holds "check" unless the list holds "double-check"
itself. Scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese)
have no word boundary, so an entry in them matches anywhere: 等 also in 等于 ("equals"),
and an entry in Latin script may touch them: "我们wait一下" holds "wait".
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rlnotes.equations.names import did_you_mean

# "a/b": b counts as a. The lab's two words for `wait` are one entry.
WORD_LISTS: dict[str, tuple[str, ...]] = {
    # DeepSeek-R1 (v2) App C.2: three experts' lists, merged
    "r1": (
        *("wait", "mistake", "however", "but", "retry"),
        *("error", "verify", "wrong", "evaluate", "check"),
    ),
    # Dr. GRPO App D, which leaves out "wait" and "try again" as often no reflection
    "dr_grpo": (
        *("recheck", "rethink", "reassess", "reevaluate", "re-evaluate"),
        *("reevaluation", "re-examine", "reexamine", "reconsider", "reanalyze"),
        *("double-check", "check again", "think again", "verify again"),
        "go over the steps",
    ),
    # oat-zero, "There may not be aha moment in R1-Zero-like training"
    "oat_zero": (
        *("recheck", "rethink", "reevaluate", "re-evaluate", "reevaluation"),
        *("re-examine", "reexamine", "try again", "check again", "think again"),
        "go over the steps",
    ),
    "search": ("wait/等",),
}

# Thai, Lao; Burmese; Khmer; kana, bopomofo; Han; half-width kana; Han above 16 bits
_NO_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# Vowel signs and accents continue a word, which `\w` does not know.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_AFTER = f"(?![^\\W{_NO_SPACES}]|[{_MARKS}])"
_WORD_CHARACTER = re.compile(f"[^\\W{_NO_SPACES}]|[{_MARKS}]")
_HYPHENS = str.maketrans("\u2010\u2011", "--")


@dataclass(frozen=True)
class WordList:
    """A named list of words and phrases, ready to be counted.

    An entry is a word, a phrase, or several spellings of one: "wait/等" counts both as
    `wait`. Raises ValueError for no entry, or one without a letter or sign.
    """

    name: str
    entries: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.entries:
            raise ValueError(f"words: the list {self.name!r} has no entry")
        for entry in self.entries:
            if not all(_normal(spelling) for spelling in entry.split("/")):
                raise ValueError(f"words: {self.name!r} has an empty word: {entry!r}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the entries are counted as, each once: their first spellings."""
        return tuple(dict.fromkeys(self._name_of.values()))

    def count(self, text: str) -> Counter[str]:
        """Occurrences in `text` by name; time linear in its length."""
        return self.count_folded(text.casefold())

    def count_folded(self, folded: str) -> Counter[str]:
        """`count` of a text that is `casefold`ed already."""
        found = self._pattern.findall(folded)
        return Counter(self._name_of[_normal(match)] for match in found)

    def first(self, text: str) -> int | None:
        """Where the first of the words starts in `text`, None without one."""
        folded = text.casefold()
        match = self._pattern.search(folded)
        if match is None or len(folded) == len(text):
            return match and match.start()
        place = 0  # some character became several
        for index, character in enumerate(text):
            place += len(character.casefold())
            if place > match.start():
                return index
        raise AssertionError("casefold is not character by character")

    def mark(self, text: str, before: str, after: str) -> str:
        """`text` with every one of the words between two marks."""
        places = [i for i, c in enumerate(text) for _ in c.casefold()] + [len(text)]
        done, parts = 0, []
        for match in self._pattern.finditer(text.casefold()):
            start, end = places[match.start()], places[match.end()]
            parts += [text[done:start], before, text[start:end], after]
            done = end
        return "".join([*parts, text[done:]])

    @cached_property
    def _name_of(self) -> dict[str, str]:
        spellings = [[_normal(s) for s in entry.split("/")] for entry in self.entries]
        return {spelling: entry[0] for entry in spellings for spelling in entry}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._name_of, key=len, reverse=True)
        return re.compile("|".join(map(_spelling_pattern, longest_first)))


def load_words(name: str | os.PathLike[str]) -> WordList:
    """A list of `WORD_LISTS`, or a UTF-8 file with one entry a line (# comments).

    Raises ValueError for a name that is neither, a file without entries or not UTF-8.
    """
    if str(name) in WORD_LISTS:
        return WordList(str(name), WORD_LISTS[str(name)])
    path = Path(name)
    if not path.is_file():
        raise ValueError(
            f"words: expected one of {sorted(WORD_LISTS)} or a file, got {str(name)!r}"
            f"{did_you_mean(name, WORD_LISTS)}"
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"words: {path} is not UTF-8: {error.reason}") from None
    entries = [line.partition("#")[0].strip() for line in lines]
    return WordList(path.name, tuple(entry for entry in entries if entry))


def _normal(spelling: str) -> str:
    """As `_name_of` knows it: folded, one blank, plain hyphens."""
    return " ".join(spelling.casefold().split()).translate(_HYPHENS)


def _spelling_pattern(spelling: str) -> str:
    """A boundary is asked for only where the spelling starts or ends in a word.

    The one before is looked for *after* the first word has matched, over its length:
    a pattern that begins with letters is found twenty times as fast.
    """
    first, *more = [
        re.escape(word).replace(r"\-", "[-\u2010\u2011]") for word in spelling.split()
    ]
    if _WORD_CHARACTER.match(spelling[0]):
        first += f"(?<![^\\W{_NO_SPACES}]{first})(?<![{_MARKS}]{first})"
    after = _AFTER if _WORD_CHARACTER.match(spelling[-1]) else ""
    return r"\s+".join([first, *more]) + after
