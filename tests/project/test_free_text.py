"""experiments/free_text.py: the criteria of a sentence, and what each arm pays."""

import pytest

import rlnotes as rl

ABOUT = {"topic": "the sea", "word": "silent"}
GOOD = "The sea was silent before the first boat came."


@pytest.fixture(scope="module")
def free_text():
    """The module as the rewards' loader sees it."""
    return rl.load_reward("experiments/free_text.py:judge").function.__globals__


@pytest.mark.parametrize(
    ("text", "unmet"),
    [
        (GOOD, ()),
        ("The sea was loud before the first boat came.", ("word",)),
        ("The lake was silent before the first boat came.", ("topic",)),
        (GOOD + " Then it sang.", ("sentence",)),
        (GOOD[:-1], ("sentence",)),
        ("Silent sea.", ("brief",)),
        (GOOD[:-1] + " and another and another boat, far from any port, at noon.", 0),
        ('"' + GOOD, ("plain",)),
        ("1. " + GOOD, ("sentence", "plain")),
        ("Silent silent silent sea of the north.", ("plain",)),
        ("silently the sea rose up over all.", ("word",)),
        ("", ("word", "topic", "sentence", "brief", "plain")),
    ],
)
def test_the_criteria_by_hand(free_text, text, unmet):
    met = free_text["judge"](text, **ABOUT)
    expected = ("brief",) if unmet == 0 else unmet
    assert {name for name, value in met.items() if value == 0} == set(expected)


def test_style_is_paid_where_the_word_is(free_text):
    texts = [GOOD, GOOD.replace("silent", "loud"), "Silent sea."]
    given = {"completions": texts, **{k: [v] * 3 for k, v in ABOUT.items()}}
    pays = {
        "rubric": [1.0, 2.6 / 3.6, 3.3 / 3.6],
        "essential": [1.0, 0.0, 1.0],
        "style": [1.0, 0.0, 2.3 / 2.6],
    }
    for name, expected in pays.items():
        reward = rl.load_reward(f"experiments/free_text.py:{name}")
        assert reward(**given) == pytest.approx(expected), name


def test_held_out_questions_are_never_sampled_and_the_arms_have_configs(free_text):
    task = free_text["FreeText"]()
    held_out = {one.prompt[0]["content"] for one in task.held_out()}
    asked = {one.prompt[0]["content"] for one in task.sample(200, seed=0, step=0)}
    assert held_out and asked and not held_out & asked
    for arm in free_text["ARMS"]:
        assert free_text["config_of"](arm, 1).seed == 1
