"""Countdown: exact, each number at most once, never by evaluating text."""

import json
from fractions import Fraction

import pytest

from rlnotes.tasks.base import Task
from rlnotes.tasks.loading import load_task

QUESTION = Task("", "24", {"numbers": [2, 3, 4, 6], "target": 24})


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("(2 + 6) * 3", 1.0),
        ("4 * 6", 1.0),
        ("4*6 = 24", 1.0),
        (r"4 \times 6", 1.0),
        (r"\frac{4 * 6 * 2}{2}", 0.0),  # 2 twice
        ("6 / (3 / 4) * (2 + 1)", 0.0),  # there is no 1
        ("3 * (2 + 6) + 4 - 4", 0.0),
        ("4 * 6 = 25", 0.0),
        ("24 = 4 * 6", 0.0),
        ("4 6", 0.0),
        ("24", 0.0),
        ("4 * 6.0", 0.0),
        ("(4) (6)", 0.0),
        ("4 ** 2 + 6", 0.0),
        ("4 // 1 * 6", 0.0),
        ("46 - 23 + 1", 0.0),
        ("4 * 6 * 3 / 3", 0.0),
        ("6 * 4 or 3", 0.0),
        ("__import__('os').getpid()", 0.0),
        ("9**9**9**9", 0.0),
        ("(" * 10_000, 0.0),
        ("4 * 6 <answer>", 0.0),
        ("", 0.0),
    ],
)
def test_an_answer_is_worth_exactly_the_target(answer, score) -> None:
    text = f"<think>4 * 6</think> <answer> {answer} </answer>"
    assert load_task("countdown").verify(text, QUESTION) == score


def test_a_value_beside_the_target_is_not_the_target() -> None:
    task_set = load_task("countdown")
    near = Task("", "1", {"numbers": [999_999_999, 1_000_000_000, 1], "target": 1})
    text = "<answer>999999999 / 1000000000</answer>"
    assert abs(Fraction(999_999_999, 1_000_000_000) - 1) <= 1e-9
    assert task_set.verify(text, near) == 0.0
    assert task_set.verify("<answer>1 / 3 * 3</answer>", near) == 0.0
    third = Task("", "1", {"numbers": [1, 3, 3], "target": 1})
    assert task_set.verify("<answer>1 / 3 * 3</answer>", third) == 1.0


def test_an_answer_in_the_thought_or_outside_the_block_is_none() -> None:
    task_set = load_task("countdown")
    for text in (
        "<think><answer>4*6</answer></think>",
        "4*6",
        "<answer>4*6",
        None,
        b"4",
    ):
        assert task_set.verify(text, QUESTION) == 0.0
    assert task_set.verify(r"so \boxed{4 \cdot 6}", QUESTION) == 1.0


def test_all_numbers_where_the_task_says_so() -> None:
    task_set = load_task("countdown?use_all=true")
    assert "all must be used" in task_set.held_out()[0].prompt[0]["content"]
    assert task_set.verify("<answer>4 * 6</answer>", QUESTION) == 0.0
    assert task_set.verify("<answer>4 * 6 * (3 - 2)</answer>", QUESTION) == 1.0
    assert load_task(task_set.name) == task_set


def test_questions_are_stateless_split_by_their_numbers_and_solvable() -> None:
    task_set = load_task("countdown")
    test = {tuple(sorted(one.columns["numbers"])) for one in task_set.held_out()}
    tasks = task_set.sample(2000, seed=0, step=3)
    assert tasks == load_task("countdown").sample(2000, seed=0, step=3)
    assert len(task_set.held_out()) == 128
    assert not test & {tuple(sorted(one.columns["numbers"])) for one in tasks}
    assert {len(one.columns["numbers"]) for one in tasks} == {3, 4}


def test_rows_of_a_file_are_read_and_a_bad_one_is_named(tmp_path) -> None:
    pytest.importorskip("datasets")
    path = tmp_path / "rows.jsonl"
    rows = [{"target": 20 + i, "nums": [4, 5, i + 6]} for i in range(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task_set = load_task(f"countdown?path={path}")
    assert len(task_set.train) + len(task_set.test) == 10
    one = task_set.sample(1, seed=0, step=0)[0]
    assert str(one.columns["numbers"]) in one.prompt[0]["content"]
    rows[3]["nums"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match="row 3: expected nums, a list of integers"):
        load_task(f"countdown?path={path}")


def test_partial_credit_is_given_where_it_is_asked_for() -> None:
    pytest.importorskip("reasoning_gym")
    name = "reasoning_gym/spell_backward"
    strict, partial = load_task(name), load_task(f"{name}?partial_credit=true")
    task = max(strict.held_out(), key=lambda one: len(one.answer))
    near = f"<answer>{task.answer[:-1]}x</answer>"
    assert strict.verify(near, task) == 0.0 < partial.verify(near, task) < 1.0
    assert strict.verify(f"<answer>{task.answer}</answer>", task) == 1.0
    assert strict.verify(f"<answer>{task.answer}", task) == 0.0
