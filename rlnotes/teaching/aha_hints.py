"""Hints for the exercises of notebook 07, the aha moment."""

from rlnotes.reflection.benefit import MatchedCounts
from rlnotes.reflection.words import WordList
from rlnotes.tasks.search_traces import Trace
from rlnotes.teaching.answers import Hints, gives


def aha_1() -> Hints:
    """(text, words) → counts of the whole words that occur, in any case."""
    words = ("wait", "but", "check", "evaluate")
    for text, hint in (
        ("wait, wait: but?", "two `wait`, one `but`; words that do not occur: none"),
        ("Wait. WAIT!", "any case counts"),
        ("await the checkout; buttons, reevaluate", "whole words only"),
        ("double-check: wait", "a hyphen ends a word"),
    ):
        yield gives(dict(WordList("ours", words).count(text)), text, words), hint


def aha_2() -> Hints:
    """(words, length) → factor per token, factor per response, by the two readings."""
    hint = "5 times the words in 17 times the text is 5 / 17 a token"
    yield gives((5 / 17, 85.0), 5.0, 17.0), hint
    yield gives((2.0, 0.5), 1.0, 0.5), "text that shrinks makes the first grow"


def aha_3() -> Hints:
    """(problems, reflected, right) → mean difference of accuracy, by problem."""
    often = "each problem counts once, however often it was answered"
    for names, reflected, right, hint in (
        ("aabb", [1, 0, 1, 0], [1, 0, 1, 1], "the mean of 1 and 0 is ½"),
        ("aab", [1, 0, 1], [1, 0, 0], "b was answered in one way only"),
        ("abaaab", [1, 0, 0, 0, 0, 1], [1, 1, 1, 0, 0, 0], often),
    ):
        problems, counts = list(names), MatchedCounts()
        for problem, wait, good in zip(problems, reflected, right, strict=True):
            counts.add(problem, reflected=bool(wait), right=bool(good))
        expected = counts.difference().estimate
        yield gives(expected, problems, reflected, right), hint


def aha_4() -> Hints:
    """(trace) → share of hits answered minus share of misses answered."""
    for trace, hint in (
        (Trace(hits=1, hits_answered=1, misses=3, misses_retried=3), "it verifies: 1"),
        (Trace(hits=2, hits_answered=1, misses=2, give_ups=1), "it is blind: 0"),
        (
            Trace(hits=4, hits_answered=1, misses=5, misses_retried=1, give_ups=3),
            "a miss at the end of a cut-off response is not answered",
        ),
    ):
        hits = trace.hits_answered / trace.hits
        yield gives(hits - trace.give_ups / trace.misses, trace), hint
