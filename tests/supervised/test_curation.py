"""Rejection sampling: what is kept, what is dropped, and that draws repeat."""

import pytest

import rlnotes as rl
from rlnotes.supervised.curation import (
    Response,
    in_english,
    is_english,
    is_readable,
    is_right,
    reject,
    sample_responses,
)

TASK = rl.load_task("search").task([5, 6, 9], 20)
HIT = "5 + 6 = 11 + 9 = 20 ? 20"
MISS = "5 * 6 = 30 - 9 = 21 ? 20"


def response(text, accuracy=1.0, truncated=False, task=TASK):
    return Response(task, text, len(text.split()) + 1, accuracy, truncated)


def test_right_means_accurate_and_ended():
    assert is_right(response(f"{HIT} answer + +"))
    assert not is_right(response(f"{HIT} answer + +", accuracy=0.0))
    assert not is_right(response(f"{HIT} answer + +", truncated=True))


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        (f"{HIT} answer + +", True),
        (f"{MISS} wait {HIT} answer + +", True),
        (f"{MISS} wait {MISS} wait {HIT} answer + +", False),
        (f"5 * 6 wait {HIT} answer + +", False),
    ],
)
def test_readable_means_well_formed_and_nothing_twice(text, readable):
    assert is_readable(response(text)) is readable


def test_english_is_every_word():
    assert is_english(response(f"{MISS} wait {HIT} answer + +"))
    assert not is_english(response(f"{MISS} 等 {HIT} answer + +"))
    assert not is_english(response(f"{MISS} 等 {HIT} 答 + +"))


def test_rewriting_changes_the_words_and_nothing_else():
    mixed = response(f"{MISS} 等 {HIT} 答 + +")
    english = in_english(mixed)
    assert english.completion == f"{MISS} wait {HIT} answer + +"
    assert is_english(english) and english.task is TASK
    assert (english.length, english.accuracy) == (mixed.length, mixed.accuracy)
    assert rl.load_task("search").verify(english.completion, TASK) == 1.0


def test_reject_keeps_order_and_at_most_so_many_a_prompt():
    other = rl.load_task("search").task([1, 2, 3], 6)
    rows = [
        response("a"),
        response("b", accuracy=0.0),
        response("c"),
        response("d", task=other),
        response("e"),
    ]
    assert [r.completion for r in reject(rows, is_right)] == ["a", "c", "d", "e"]
    kept = reject(rows, is_right, per_prompt=1)
    assert [r.completion for r in kept] == ["a", "d"]
    assert reject(rows) == rows


def test_an_example_is_what_sft_takes():
    assert response("x").example == {"prompt": TASK.prompt, "completion": "x"}


def test_samples_are_a_function_of_the_arguments():
    policy, task_set = rl.load_policy("search-base"), rl.load_task("search")
    tasks = task_set.sample(70, seed=3, step=1)  # more than one portion

    def sample(seed):
        return sample_responses(
            policy,
            task_set,
            tasks,
            num_generations=2,
            max_completion_length=32,
            seed=seed,
        )

    first = sample(0)
    assert first == sample(0) and first != sample(1)
    assert [r.task for r in first] == [t for t in tasks for _ in range(2)]
    for r in first:
        assert r.accuracy == task_set.verify(r.completion, r.task)
        assert r.length <= 32 and (not r.truncated or r.length == 32)
