"""Benefit of reflection: matched by problem, flips, and what a cut would cost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlnotes.analysis.intervals import stratified_bootstrap
from rlnotes.reflection.benefit import (
    Flips,
    MatchedCounts,
    compare_with_baseline,
    is_right,
    problem_of,
    right_before_reflection,
)
from rlnotes.reflection.words import load_words

R1, SEARCH = load_words("r1"), load_words("search")


def matched(rows):
    counts = MatchedCounts()
    for problem, reflected, right in rows:
        counts.add(problem, reflected=reflected, right=right)
    return counts


def test_the_matched_difference_by_hand():
    """Easy "a" is solved without reflection, hard "b" needs it: not the pooled gap."""
    rows = [("a", False, True)] * 8 + [("a", True, True)] * 2
    rows += (
        [("b", True, True)] * 2 + [("b", True, False)] * 6 + [("b", False, False)] * 2
    )
    rows += [("alone", True, False)] * 5
    counts = matched(rows)
    assert counts.accuracy(reflected=True) == 4 / 15
    assert counts.accuracy(reflected=False) == 8 / 10
    # a: 1 − 1 = 0; b: 1/4 − 0 = 1/4; mean 1/8, s = √2/8, t(1) = 12.706
    interval = counts.difference()
    assert (interval.estimate, interval.n) == (0.125, 2)
    assert interval.high == pytest.approx(0.125 + 12.706 / 8, abs=2e-3)
    assert interval.low == pytest.approx(0.125 - 12.706 / 8, abs=2e-3)


def test_the_interval_is_students():
    rows = []
    for problem, right in enumerate((0, 1, 2, 3, 4)):
        rows += [(problem, True, i < right) for i in range(4)] + [
            (problem, False, False)
        ]
    interval = matched(rows).difference()
    # differences 0, .25, .5, .75, 1: s = .39528, t(4) = 2.7764, half = .49081
    assert interval.estimate == 0.5
    assert interval.high - 0.5 == pytest.approx(0.49081, abs=1e-4)
    bootstrap = stratified_bootstrap([0, 0.25, 0.5, 0.75, 1])
    assert interval.high == pytest.approx(bootstrap.high, rel=0.02)


@pytest.mark.parametrize("rows", [[], [("a", True, True)], [("a", False, True)] * 3])
def test_without_matched_problems_there_is_no_difference(rows):
    interval = matched(rows).difference()
    assert math.isnan(interval.estimate) and math.isnan(interval.low)
    assert interval.n == 0


def test_one_matched_problem_has_no_interval():
    interval = matched([("a", True, True), ("a", False, False)]).difference()
    assert (interval.estimate, interval.n) == (1.0, 1)
    assert math.isnan(interval.low) and math.isnan(interval.high)


def test_problems_are_what_json_says_they_are():
    chat = [{"role": "user", "content": "1+1?"}]
    turned = [{"content": "1+1?", "role": "user"}]
    counts = matched([(chat, True, True), (turned, False, True), ("1", True, True)])
    counts.add(1, reflected=True, right=True)
    assert len(counts.problems) == 3  # "1" is another problem than 1


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans())), st.randoms()
)
def test_order_is_nothing_and_swapping_kinds_turns_the_sign(rows, rng):
    interval = matched(rows).difference()
    swapped = matched([(p, not reflected, right) for p, reflected, right in rows])
    shuffled = matched(rng.sample(rows, len(rows)))
    if interval.n:
        assert -1 <= interval.estimate <= 1
        assert shuffled.difference().estimate == pytest.approx(interval.estimate)
        assert swapped.difference().estimate == pytest.approx(-interval.estimate)


def test_flips_by_hand():
    flips = Flips()
    for before, after, times in (
        (True, True, 3),
        (True, False, 1),
        (False, True, 4),
        (False, False, 5),
        (None, True, 2),
        (None, False, 5),
    ):
        for _ in range(times):
            flips.add(before, after)
    assert flips == Flips(3, 1, 4, 5, 2, 5) and flips.responses == 20
    assert flips.rates() == {
        "accuracy_if_cut": 0.2,
        "accuracy": 0.45,
        "wrong_to_right": 0.2,
        "right_to_wrong": 0.05,
        "unreadable": 0.35,
    }
    assert all(map(math.isnan, Flips().rates().values()))


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.booleans())))
def test_flips_explain_the_gain(rows):
    flips = Flips()
    for before, after in rows:
        flips.add(before, after)
    rates = flips.rates()
    if rows:
        gained = flips.unreadable_to_right / len(rows)
        gain = rates["wrong_to_right"] - rates["right_to_wrong"] + gained
        assert rates["accuracy"] - rates["accuracy_if_cut"] == pytest.approx(gain)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"correct": 1}, True),
        ({"correct": 0.0}, False),
        ({"correct": True}, True),
        ({"correct": 0.5}, None),
        ({"correct": "1"}, None),
        ({"correct": 2}, None),
        ({"rewards": {"accuracy_reward": 1.0}}, True),
        ({"rewards": {"accuracy_reward": None}}, None),
        ({"rewards": {"format_reward": 1.0}}, None),
        ({"rewards": [1.0]}, None),
        ({"correct": 0, "rewards": {"accuracy_reward": 1.0}}, False),
        ({}, None),
    ],
)
def test_verdicts(record, expected):
    assert is_right(record) is expected


def test_a_problem_is_its_id_or_else_its_prompt():
    assert problem_of({"problem_id": 0, "prompt": "p"}) == 0
    assert problem_of({"problem_id": None, "prompt": "p"}) == "p"
    assert problem_of({}) is None


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("It is 56. Wait, 54.", True),
        ("It is 54. Wait, 56.", False),
        ("Wait, 56.", None),
        ("So many. But 56", None),
        ([{"role": "assistant", "content": "It is 56, but"}], True),
    ],
)
def test_the_number_before_the_first_word(completion, expected):
    record = {"prompt": "7 * 8?", "answer": "56", "completion": completion}
    assert right_before_reflection(record, R1) is expected


def test_without_a_number_for_an_answer_nothing_is_readable():
    record = {"answer": "blue", "completion": "7, wait"}
    assert right_before_reflection(record, R1) is None
    assert right_before_reflection({"completion": "7, wait"}, R1) is None


def test_the_field_of_the_completion_can_have_another_name():
    record = {"answer": "7", "text": "7. Wait", "completion": "8. Wait"}
    assert right_before_reflection(record, R1, field="text") is True


def test_a_search_question_is_judged_by_its_first_try():
    miss, hit = "5 * 6 = 30 - 9 = 21 ? 20", "5 + 6 = 11 + 9 = 20 ? 20"
    record = {"prompt": "make 20 from 5 6 9 :", "completion": f"{miss} wait {hit}"}
    assert right_before_reflection(record, SEARCH) is False
    record["completion"] = f"{hit} wait {miss}"
    assert right_before_reflection(record, SEARCH) is True


def test_rates_are_compared_with_the_untrained_policys():
    table = compare_with_baseline({"b": 0.6, "a": 0.5}, {"a": 0.25, "b": 0.0})
    assert list(table.index) == ["b", "a"]
    assert table.loc["a"].tolist() == [0.5, 0.25, 0.25, 2.0]
    assert table.loc["b", "difference"] == 0.6 and math.isnan(table.loc["b", "ratio"])


@pytest.mark.parametrize("baseline", [None, {}, {"a": 1.0}])
def test_no_comparison_without_the_untrained_policy(baseline):
    with pytest.raises(ValueError, match="baseline must have the untrained policy's"):
        compare_with_baseline({"a": 1.0, "b": 2.0}, baseline)
