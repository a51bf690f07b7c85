"""Layer 2 of reflection in natural text: four behaviors by documented patterns.

The behaviors are Gandhi et al. 2025's (arXiv 2503.01307), who had a language model
judge them. Patterns read wording, not mathematics, and so they miss

- a check, a way back or a plan that is not announced in one of these wordings, and
  every language but English;
- whether the announced check took place ("let me check" is enough) or had any effect;
- negation, quotation and advice ("you should not check", "a book says: wait, no");
- backward chaining above all, which is seldom announced.

So a rate is a rate of wordings. Compare it with the untrained policy's, and measure
the detector on labels of the texts at hand (`scores.detector_scores`) before
leaning on it. On 60 labelled answers of SmolLM2-135M-Instruct, a model that announces
checks and does none, it fails (`python scripts/detector_scores.py`; precision, recall):
verification .25, .14; backtracking 0, 0; subgoal_setting .71, .48, most misses numbered
lists; backward_chaining never labelled, detected twice. The patterns were not fitted to
these labels. In the search lab behavior is exact (`lab`).

Every pattern starts at a word and repeats without bound only white space, each time
after a word: time is linear in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_WE_WILL = r"(?:let\s+me|let's|let\s+us|(?:i|we)(?:'ll|\s+(?:will|can|should|must))?)"


@dataclass(frozen=True)
class Pattern:
    """A wording of a behavior: what it means, a text that has it, how it is found."""

    meaning: str
    example: str
    needles: tuple[str, ...]
    """A match contains one of these: texts without them are passed over quickly."""
    regex: str

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.regex)

    def found_in(self, folded: str) -> bool:
        """Whether a casefolded text with plain apostrophes has this wording."""
        some = any(needle in folded for needle in self.needles)
        return some and self._compiled.search(folded) is not None


PATTERNS: dict[str, tuple[Pattern, ...]] = {
    "verification": (
        Pattern(
            "the writer sets out to check something",
            "Let me double-check this.",
            ("check", "verify", "confirm"),
            rf"\b{_WE_WILL}\s+(?:now\s+|also\s+|quickly\s+)?"
            r"(?:double[- ]?check|re-?check|check|verify|confirm)\b",
        ),
        Pattern(
            "a result is put back into the question",
            "Substituting x = 3 back into the equation",
            ("substitut", "plug"),
            r"\b(?:substitut|plug)\w{1,4}\s[^.!?\n]{0,30}\b(?:back|into)\b",
        ),
        Pattern(
            "a result is found to agree or to disagree with something",
            "56 / 8 = 7, which matches the question.",
            ("match", "checks out", "agrees with", "consistent with"),
            r"\b(?:this|that|which|it)\s+(?:match(?:es)?|(?:does\s+not|doesn't)\s+match|"
            r"checks\s+out|agrees\s+with|is\s+consistent\s+with)\b",
        ),
        Pattern(
            "a heading that starts a check",
            "Check: 8 * 7 = 56",
            ("check", "verification"),
            r"\b(?:check|checking|verification)\s?:",
        ),
        Pattern(
            "a calculation is said to hold indeed",
            "Indeed, 8 * 7 = 56.",
            ("indeed",),
            r"\bindeed\b[^.!?\n]{0,40}=",
        ),
    ),
    "backtracking": (
        Pattern(
            "an interjection, and then a denial",
            "Hmm, 56 is not even odd.",
            ("wait", "hold on", "hmm", "oops", "actually", "no,"),
            r"\b(?:wait|hold\s+on|hmm|oops|actually|no),?\s[^.!?\n]{0,40}"
            r"(?:\bno\b|\bnot\b|n't\b|\bwrong\b|\bincorrect\b|\bmistake\b|\berror\b)",
        ),
        Pattern(
            "something said before is called wrong",
            "That doesn't work.",
            ("wrong", "incorrect", "right", "correct", "work"),
            r"\b(?:this|that|it|which)(?:\s+is|\s+was|'s)\s+(?:wrong|incorrect|"
            r"not\s+(?:right|correct))\b|"
            r"\b(?:this|that|it)\s+(?:isn't\s+(?:right|correct)|"
            r"(?:does|did)(?:n't|\s+not)\s+work)\b",
        ),
        Pattern(
            "the writer sets out to go back or to try another way",
            "Let's try a different approach.",
            ("try", "go back", "backtrack", "start over", "start again"),
            rf"\b{_WE_WILL}\s+(?:go\s+back|backtrack|start\s+(?:over|again)|try\s+"
            r"(?:again|another|a\s+different|something\s+else))\b",
        ),
        Pattern(
            "a slip is admitted",
            "I made a mistake in step 2.",
            ("mistake", "error"),
            r"\b(?:i|we)(?:'ve|\s+have)?\s+made\s+(?:a|an)\s+(?:\w{1,12}\s)?"
            r"(?:mistake|error)\b",
        ),
        Pattern(
            "a set phrase of taking back",
            "On second thought, use 7.",
            ("scratch that", "second thought", "correction"),
            r"\bscratch\s+that\b|\bon\s+second\s+thoughts?\b|\bcorrection\s?:",
        ),
    ),
    "subgoal_setting": (
        Pattern(
            "numbered steps",
            "Step 1: find 7 * 4.",
            ("step",),
            r"\bstep\s+(?:1|2|one|two)\b|\b(?:first|next)\s+step\s+is\b",
        ),
        Pattern(
            "something is done first",
            "First, find 7 * 4.",
            ("first",),
            r"\bfirst(?:ly)?,?\s+(?:(?:we|i|you|let's)\s+(?:\w{1,8}\s+){0,2})?"
            r"(?:find|calculate|compute|determine|solve|multiply|add|subtract|divide)\b",
        ),
        Pattern(
            "the task is divided",
            "We can break this down into two parts.",
            ("break", "split", "divide"),
            r"\b(?:break|split|divide)\s+(?:it|this|that|the\s+\w{1,20})\s+"
            r"(?:up\s+|down\s+)?into\b",
        ),
        Pattern(
            "an intermediate goal is named",
            "Our first goal is to isolate x.",
            ("goal",),
            r"\b(?:our|my|the)\s+(?:first|next|intermediate)\s+(?:sub-?)?goal\b|"
            r"\bsub-?goal\b",
        ),
    ),
    "backward_chaining": (
        Pattern(
            "it is named",
            "Working backwards from 24",
            ("backward",),
            r"\b(?:work|working|reason|reasoning|go|going)\s+backwards?\b",
        ),
        Pattern(
            "the start is the goal",
            "Start from the target, 24.",
            ("start",),
            r"\bstart(?:ing)?\s+(?:from|with|at)\s+the\s+"
            r"(?:target|goal|desired|final|end)\b",
        ),
        Pattern(
            "what a wanted number would need",
            "To get 24, we need 6 * 4.",
            ("to get", "to reach", "to obtain", "to make"),
            r"\bto\s+(?:get|reach|obtain|make)\s+(?:to\s+)?[0-9]"
            r"[^.!?\n]{0,40}\b(?:need|must|have\s+to)\b",
        ),
    ),
}


def text_behaviors(text: str) -> dict[str, bool]:
    """Which of the four behaviors a natural text puts into words; linear in time."""
    return folded_behaviors(text.casefold())


def folded_behaviors(folded: str) -> dict[str, bool]:
    """`text_behaviors` of a text that is `casefold`ed already."""
    plain = folded.replace("\u2019", "'")
    return {
        behavior: any(pattern.found_in(plain) for pattern in patterns)
        for behavior, patterns in PATTERNS.items()
    }
