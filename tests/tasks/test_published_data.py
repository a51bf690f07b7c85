"""Rows in the shapes in which data sets are published, made here, ten of each."""

import json
import warnings
from pathlib import Path

import pytest

from rlnotes.tasks.base import Task
from rlnotes.tasks.loading import load_task

pytest.importorskip("datasets")
PUBLISHED = Path(__file__).parent / "published"


def load(name, **options):
    return load_task(f"file/{PUBLISHED / name}.jsonl", **options)


def everything(task_set):
    questions = [*task_set.train, *task_set.test]
    tasks = [task_set.task(*question) for question in questions]
    return sorted(tasks, key=lambda task: str(task.prompt))


@pytest.mark.parametrize(
    ("name", "columns", "verifier", "answer", "right", "wrong"),
    [
        ("gsm8k", ("question", "answer"), "number", "6", r"\boxed{6}", r"\boxed{12}"),
        (
            *("math", ("problem", "solution"), "math", r"\frac{1\sqrt{2}}{3}"),
            *(r"\boxed{\frac{\sqrt 2}{3}}", r"\boxed{\frac{\sqrt 3}{2}}"),
        ),
        (
            *("openr1_math", ("problem", "answer"), "math", "(1,2)"),
            *(r"<think>a</think> \boxed{(1, 2)}", r"<think>\boxed{(1,2)}</think>"),
        ),
        (
            *("dapo_math", ("prompt", "reward_model.ground_truth"), "number", "1"),
            *("0*0 is 0.\nAnswer: $1$", "Answer: 2"),
        ),
    ],
)
def test_published_rows_are_read_as_a_person_would(
    name, columns, verifier, answer, right, wrong
) -> None:
    pytest.importorskip("math_verify")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task_set = load(name)
    tasks = everything(task_set)
    assert len(tasks) == 10 and task_set.verifier == verifier
    chosen = task_set.chosen
    assert tuple(chosen["columns"].values()) == columns and chosen["left_out"] == []
    assert len(chosen["examples"]) == 3 and json.loads(json.dumps(chosen)) == chosen
    one = next(task for task in tasks if task.answer == answer)
    assert task_set.verify(right, one) == 1.0 and task_set.verify(wrong, one) == 0.0
    content = one.prompt[-1]["content"]
    assert ("within \\boxed{}" in content) == (name != "dapo_math")
    assert "[{" not in content and "{'" not in one.answer


def test_a_chat_prompt_is_asked_as_it_stands() -> None:
    task = everything(load("dapo_math"))[0]
    assert task.prompt[0]["content"].endswith('on its own line after "Answer:".')
    assert [message["role"] for message in task.prompt] == ["user"]
    with pytest.raises(ValueError, match="template: r1 is for texts, got chat"):
        load("dapo_math", template="r1")


def test_a_solution_without_a_box_is_left_out_and_said() -> None:
    with pytest.warns(UserWarning, match=r"1 of 10 rows .*row 4 first.*answer_column="):
        task_set = load("numina")
    assert task_set.verifier == "number" and len(everything(task_set)) == 9
    assert "row 4" in task_set.chosen["left_out"][0]


def test_a_column_of_solutions_without_any_box_is_refused(tmp_path) -> None:
    path = tmp_path / "prose.jsonl"
    row = {"question": "4*4?", "answer": "Four times four, so the answer is 16."}
    rows = [json.dumps(row | {"question": f"q{i}"}) for i in range(10)]
    path.write_text("\n".join(rows))
    with pytest.raises(ValueError, match=r"'Four times four.*answer_column=<the final"):
        load_task(f"file/{path}")


def test_countdown_rows_say_which_task_they_are() -> None:
    with pytest.raises(ValueError, match="Countdown, take task='countdown.path="):
        load("countdown")
    task_set = load_task(f"countdown?path={PUBLISHED / 'countdown.jsonl'}")
    one = Task("", "16", {"numbers": [10, 2, 3], "target": 16})
    assert task_set.verify("<answer>10 + 2 * 3</answer>", one) == 1.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "dapo_math",
            {"answer_column": "reward_model"},
            "fields: .'ground_tr",
        ),
        (
            "dapo_math",
            {"answer_column": "reward_model.truth"},
            "row 0: .*needs 'truth'",
        ),
        ("numina", {"question_column": "messages"}, "row 0.*role 'assistant' last"),
        (
            "openr1_math",
            {"answer_column": "generations"},
            "row 0: .*text or a num",
        ),
        (
            "gsm8k",
            {"question_column": "q"},
            r"no column 'q', it has \['quest",
        ),
        (
            "math",
            {"answer_column": "answer"},
            "no column 'answer', it has",
        ),
    ],
)
def test_what_is_no_question_or_answer_is_refused_with_its_row(name, options, message):
    with pytest.raises(ValueError, match=message):
        load(name, **options)
