"""What a page colors and what it calls a verdict is what the library counts."""

import pandas as pd
import pytest

from rlnotes.analysis.statistics import paired_difference
from rlnotes.tasks.loading import load_task
from rlnotes.tasks.search_traces import analyze
from rlnotes.teaching.drawings import label_words
from rlnotes.teaching.r1_tables import claims_table

QUESTION = load_task("search").task([5, 6, 9], 20)
MISS, HIT = "5 * 6 = 30 - 9 = 21 ? 20", "5 + 6 = 11 + 9 = 20 ? 20"


def kinds(text):
    return [kind for _, kind in label_words(text, QUESTION)]


@pytest.mark.parametrize(
    "text",
    [
        f"{MISS} wait {HIT} answer + +",
        f"{MISS} answer * -",
        f"{MISS} 等 {HIT} 答 + -",
        f"{MISS} wait 5 + 6",
        "answer + + answer",
        "",
    ],
)
def test_every_word_is_labeled_once_as_the_trace_counts(text):
    labeled, trace = label_words(text, QUESTION), analyze(text, QUESTION)
    assert [word for word, _ in labeled] == text.split()
    found = kinds(text)
    assert found.count("hit") == 3 * trace.hits
    assert found.count("miss") == 3 * trace.misses
    assert found.count("wait") == trace.waits
    assert ("right" in found) == bool(trace.solved)


def test_what_is_no_try_is_malformed():
    assert kinds("5 + 6 ? wait answer + -")[:4] == ["malformed"] * 4
    assert kinds("5 + 6 ? wait answer + -")[-3:] == ["wrong"] * 3


@pytest.mark.parametrize(
    ("shift", "expected", "verdict"),
    [
        (0.5, 1, "holds here"),
        (0.5, -1, "contradicted here"),
        (-0.5, -1, "holds here"),
        (0.0, 1, "does not show here"),
        (0.5, None, "not testable here"),
    ],
)
def test_a_verdict_is_what_the_interval_says(shift, expected, verdict):
    noise = [0.1, -0.1, 0.05, -0.05, 0.0]
    rows = [("b", seed, 0.0) for seed in range(5)]
    rows += [("a", seed, shift + noise[seed]) for seed in range(5)]
    table = pd.DataFrame(rows, columns=["algorithm", "seed", "x"])
    table = table.assign(task="t", policy="p")
    found = paired_difference(table, "x", "a", "b")
    line = claims_table([("claim", "paper", found, expected)]).data.splitlines()[-1]
    assert line.endswith(f"| {verdict} |")
