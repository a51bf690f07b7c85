"""Behavior: exact in the search lab, by patterns elsewhere, measured on labels."""

import json
import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlnotes.analysis.intervals import wilson_interval
from rlnotes.reflection.lab import (
    BEHAVIORS,
    LabReflection,
    first_try_solves,
    lab_reflection,
    search_question,
)
from rlnotes.reflection.scores import (
    detect_behaviors,
    detector_scores,
    read_labels,
)
from rlnotes.reflection.text import PATTERNS, text_behaviors
from rlnotes.reflection.words import WORD_LISTS, load_words
from rlnotes.tasks.search_language import legal_tries, write_try
from rlnotes.tasks.search_traces import Trace, analyze, trace_rates

PROMPT = "make 20 from 5 6 9 :"
QUESTION = search_question(PROMPT)
HIT = "5 + 6 = 11 + 9 = 20 ? 20"
MISS = "5 * 6 = 30 - 9 = 21 ? 20"
OTHER = "5 + 6 = 11 - 9 = 2 ? 20"
FOREIGN = "5 - 5 = 0 + 9 = 20 ? 20"


@pytest.mark.parametrize(
    ("text", "verified", "backtracked"),
    [
        (f"{HIT} answer + +", True, False),
        (f"{MISS} wait {HIT} answer + +", True, True),
        (f"{MISS} 等 {HIT} 答 + +", True, True),
        (f"{MISS} wait {OTHER} answer + -", False, True),
        (f"{MISS} answer * -", False, False),
        (f"{HIT} wait {HIT} answer + +", False, False),
        (f"{HIT} wait {OTHER}", False, False),  # back from a hit is no backtracking
        (f"{MISS} wait {MISS} wait", True, False),
        (f"{MISS} wait {OTHER} wait {MISS} wait", True, True),
        (f"{MISS} wait wait {OTHER}", True, True),
        (f"{MISS} wait 5 + 6 = 11 + 9 = 20", True, False),  # no whole try
        (f"{MISS} wait hm wait {OTHER}", True, False),
        (f"{MISS} wait answer + +", True, False),
        (f"{MISS} wait {FOREIGN} answer + +", True, False),
        (f"{FOREIGN} answer + +", False, False),
        (f"{FOREIGN} wait {HIT}", False, False),
        (f"{FOREIGN} wait {HIT} answer + +", True, False),
        (f"{HIT}", False, False),  # cut off: nobody knows
        ("5 * 6 = 20 - 9 = 20 ? 20 answer * -", True, False),  # hit, as it is written
        (f"{MISS} wait 5 * 6 = 30 - 9 = 20 ? 20 answer * -", True, False),  # the same
        (f"{HIT} answer + + wait {OTHER}", True, False),  # over at `answer`
        ("5 * 6 = 30 - 9 = 21 ? 21 answer * -", False, False),  # the question's target
        ("wait wait answer", False, False),
        ("", False, False),
    ],
)
def test_behaviors_by_hand(text, verified, backtracked):
    found = lab_reflection(text, QUESTION).behaviors()
    assert found == {
        "verification": verified,
        "backtracking": backtracked,
        "subgoal_setting": False,
        "backward_chaining": False,
    }
    assert tuple(found) == BEHAVIORS == tuple(PATTERNS)
    assert detect_behaviors(PROMPT, text) == found


def test_superficial_waits_by_hand():
    text = f"{MISS} wait {MISS} wait wait {HIT} wait {OTHER} wait"
    assert lab_reflection(text, QUESTION) == LabReflection(
        right_consequences=3,  # three misses and one hit, all followed by wait
        wrong_consequences=1,
        backtracks=1,  # the second miss, then the hit; OTHER comes after a hit
        waits=4,
        superficial=3,
        waits_after_hit=1,
        waits_before_repeat=1,
        waits_before_nothing=1,
    )
    hit_and_nothing = lab_reflection(f"{HIT} wait answer + +", QUESTION)
    assert hit_and_nothing.superficial == hit_and_nothing.waits == 1
    assert hit_and_nothing.waits_after_hit == hit_and_nothing.waits_before_nothing == 1
    cut = lab_reflection(f"{MISS} wait 5 +", QUESTION)
    assert (cut.superficial, cut.backtracks, cut.waits) == (0, 0, 1)
    assert lab_reflection("wait", QUESTION).waits_before_nothing == 1
    assert lab_reflection("", QUESTION) == LabReflection()


@pytest.mark.parametrize("garbage", [None, 5, b"wait", [], "\ud800 \x00 wait"])
def test_any_completion_has_a_reflection(garbage):
    assert lab_reflection(garbage, QUESTION).behaviors() == dict.fromkeys(
        BEHAVIORS, False
    )
    assert first_try_solves(garbage, QUESTION) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{MISS} wait {HIT} answer + +", False),
        (f"{HIT} wait {MISS}", True),
        ("5 + 6 = 99 + 9 = 98 ? 20 wait", True),  # its operators would be right
        (f"{FOREIGN} wait {HIT}", None),
        (f"hm wait {HIT}", None),
        (f"wait {HIT}", None),
    ],
)
def test_the_answer_of_the_first_try(text, expected):
    assert first_try_solves(text, QUESTION) is expected


PARTS = [HIT, MISS, OTHER, FOREIGN, "hm", "", "wait", "等", "answer", "答 + +"]


@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_counts_are_consistent_with_the_trace(parts):
    text = " ".join(parts)
    found, trace = lab_reflection(text, QUESTION), analyze(text, QUESTION)
    assert found.superficial <= found.waits <= trace.waits
    assert found.backtracks + found.superficial <= found.waits
    assert found.backtracks <= trace.misses_retried
    assert trace.foreign_tries <= trace.tries
    if not trace.foreign_tries:
        right = trace.hits_answered + trace.misses_retried
        assert found.right_consequences == right
    chinese = text.replace("wait", "等").replace("answer", "答")
    assert lab_reflection(chinese, QUESTION) == found


@pytest.mark.parametrize("operators", legal_tries((5, 6, 9)))
def test_every_first_try_is_judged_as_its_operators(operators):
    words = write_try([5, 6, 9], operators, 20)
    found = first_try_solves(" ".join(words), QUESTION)
    assert found == (operators == ("+", "+"))


@pytest.mark.parametrize(
    "prompt",
    [
        "make 20 from 5 6 9",
        "make 20 from 5 6 9 : ",
        "make 20 from 5 0 9 :",
        "make 98 from 1 1 1 :",
        "make 20 from 5 6 9 1 1 :",
        "What is 5 + 6?",
    ],
)
def test_other_prompts_are_no_search_questions(prompt):
    assert search_question(prompt) is None


def test_questions_of_every_size_are_read():
    assert search_question("make 3 from 1 2 :").columns["numbers"] == [1, 2]
    assert search_question("make 4 from 1 1 1 1 :").columns["target"] == 4
    assert search_question("make 36 from 9 9 9 9 :").columns["target"] == 36
    assert QUESTION.prompt == PROMPT


def test_a_foreign_try_is_counted_as_one_and_by_itself():
    trace = analyze(f"{FOREIGN} wait {MISS} wait {HIT} answer + +", QUESTION)
    assert (trace.tries, trace.foreign_tries) == (3, 1)
    assert trace_rates([trace, Trace(tries=1)])["foreign"] == 0.25
    assert math.isnan(trace_rates([])["foreign"])


# --- natural text ---------------------------------------------------------------------

ALL_PATTERNS = [(b, p) for b, patterns in PATTERNS.items() for p in patterns]
ids = [f"{behavior}: {pattern.meaning}" for behavior, pattern in ALL_PATTERNS]


@pytest.mark.parametrize(("behavior", "pattern"), ALL_PATTERNS, ids=ids)
def test_every_pattern_finds_its_example(behavior, pattern):
    assert pattern.found_in(pattern.example.casefold())
    assert text_behaviors(pattern.example.upper())[behavior]
    for other in PATTERNS[behavior]:
        if other is not pattern:
            assert not other.found_in(pattern.example.casefold())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "7 * 8 = 56. I\u2019ll double\u2010check" + ", let\u2019s check",
            "verification",
        ),
        ("So x = 3. Plugging it back gives 9.", "verification"),
        ("The result does not fit, which doesn't match 20.", "verification"),
        ("7 * 8 = 54. No, that's wrong; 7 * 8 = 56.", "backtracking"),
        ("Hmm, this can't be.", "backtracking"),
        ("This did not work. We should go back.", "backtracking"),
        ("Split the number into tens and ones.", "subgoal_setting"),
        ("First we need to find 7 * 4. Then double it.", "subgoal_setting"),
        ("Reasoning backwards, 24 = 6 * 4", "backward_chaining"),
        ("To reach 24 from 6, you must multiply by 4.", "backward_chaining"),
        ("7 * 8 = 56. The final answer is 56.", ""),
        ("I will wait for you at the first checkpoint.", ""),
        ("The blanket matched; butter and the steppe.", ""),
        ("It was reworked. Startled, we headed backward.", ""),
    ],
)
def test_texts_by_hand(text, shown):
    found = text_behaviors(text)
    assert [name for name, yes in found.items() if yes] == shown.split()


def sequences(tree):
    """Every sequence of operations in a parsed regex, the outermost first."""
    yield list(tree)
    stack = [argument for _, argument in tree]
    while stack:
        part = stack.pop()
        if isinstance(part, re._parser.SubPattern):
            yield from sequences(part)
        elif isinstance(part, tuple | list):
            stack.extend(part)


def is_unbounded(node):
    operation, argument = node
    repeats = (re._constants.MAX_REPEAT, re._constants.MIN_REPEAT)
    return operation in repeats and argument[1] == re._constants.MAXREPEAT


WORD_PATTERNS = [load_words(name)._pattern.pattern for name in WORD_LISTS]
SPACE = list(re._parser.parse(r"\s"))
FIXED = (re._constants.AT, re._constants.ASSERT_NOT, re._constants.LITERAL)


@pytest.mark.parametrize(
    "regex", [*(p.regex for _, p in ALL_PATTERNS), *WORD_PATTERNS], ids=str
)
def test_time_is_linear_by_construction(regex):
    """Without bound repeats white space alone, after a word, never one run twice.

    A run of white space then belongs to the words right before it, of which a match
    has a bounded number: no text makes the search go over a character more often than
    a constant. A timing would say less and fail on a busy machine.
    """
    tree = re._parser.parse(regex)
    operation, argument = tree[0]
    branches = argument[1] if operation is re._constants.BRANCH else [tree]
    assert all(branch[0][0] in FIXED for branch in branches)
    for sequence in sequences(tree):
        assert not any(
            is_unbounded(a) and is_unbounded(b) for a, b in pairwise(sequence)
        )
        for operation, argument in sequence:
            assert operation is not re._constants.GROUPREF
            if is_unbounded((operation, argument)):
                assert list(argument[2]) == SPACE and argument[0] == 1
            elif operation is re._constants.MAX_REPEAT:
                assert argument[1] <= 60


def test_a_megabyte_of_the_worst_words():
    for text in ("let me " * 150_000, "first" + " " * 1_000_000, "to get 1" * 10**5):
        assert not any(
            text_behaviors(text)[name] for name in ("verification", "backtracking")
        )


@given(st.text())
def test_any_text_has_behaviors(text):
    assert tuple(text_behaviors(text)) == BEHAVIORS
    assert detect_behaviors([{"role": "user", "content": "?"}], text) == text_behaviors(
        text
    )


# --- scores ---------------------------------------------------------------------------


def row(*shown):
    return dict.fromkeys(BEHAVIORS, False) | dict.fromkeys(shown, True)


def test_scores_by_hand():
    labels = [row("verification")] * 3 + [row()] * 2 + [row("verification")]
    detected = [row("verification")] * 4 + [row()] * 2
    table = detector_scores(labels, detected).set_index("behavior")
    one = table.loc["verification"]
    assert (one["support"], one["detected"]) == (4, 4)
    assert one["precision"] == one["recall"] == 0.75
    # Wilson, 3 of 4: (0.75 + .4802 ± 1.96·√(.046875 + .0600)) / 1.9604
    assert one["precision_low"] == pytest.approx(0.30064, abs=1e-5)
    assert one["recall_high"] == pytest.approx(0.95441, abs=1e-5)
    none = table.loc["backtracking"]
    assert none["support"] == none["detected"] == 0
    assert math.isnan(none["precision"]) and math.isnan(none["recall_low"])
    assert list(table.index) == list(BEHAVIORS)


def test_precision_is_of_the_detected_and_recall_of_the_labelled():
    table = detector_scores(
        [row("backtracking"), row("backtracking"), row()],
        [row("backtracking"), row(), row()],
    ).set_index("behavior")
    assert table.loc["backtracking", ["precision", "recall"]].tolist() == [1.0, 0.5]


@given(st.integers(0, 300), st.integers(0, 300))
def test_wilson_holds_the_share_and_stays_inside(hits, more):
    interval = wilson_interval(hits, hits + more)
    if hits + more:
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
        mirrored = wilson_interval(more, hits + more)
        assert mirrored.low == pytest.approx(1 - interval.high)
        assert interval.n == hits + more
        # z² n = (p − bound)² / (bound (1 − bound)): what defines the interval
        for bound in (interval.low, interval.high):
            if 0 < bound < 1:
                squared = (interval.estimate - bound) ** 2 / (bound * (1 - bound))
                assert squared * interval.n == pytest.approx(1.959963985**2, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: detector_scores([], []), "got 0 and 0"),
        (lambda: detector_scores([row()], []), "as many, and some, got 1 and 0"),
        (lambda: detector_scores([row()], [{}]), r"detected\[0\] must give true or"),
        (
            lambda: detector_scores([row() | {"verification": 1}], [row()]),
            r"labels\[0\]",
        ),
        (lambda: wilson_interval(2, 1), "hits must be from 0 to n = 1, got 2"),
        (lambda: wilson_interval(-1, 1), "got -1"),
    ],
)
def test_bad_scores_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: no JSON object"),
        ("[1]", r"line 2: without"),
        ("1", "line 2: no JSON object"),
        (
            '{"source": "search", "prompt": "", "completion": ""}',
            r"without \['labels'\]",
        ),
        (
            '{"source": "s", "prompt": "", "completion": "", "labels": {}}',
            "line 2: labels must give true or false",
        ),
    ],
)
def test_bad_label_files_are_refused(tmp_path, line, message):
    good = {"source": "search", "prompt": "", "completion": "", "labels": row()}
    path = tmp_path / "labels.jsonl"
    path.write_text(f"{json.dumps(good)}\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_labels(path)
