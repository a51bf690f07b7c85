"""Questions from files by the real `datasets`, answers by the real math-verify."""

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlnotes.rewards.rewards import get_accuracy_reward
from rlnotes.tasks import math_answers
from rlnotes.tasks.base import Task
from rlnotes.tasks.dataset_task import DatasetTask
from rlnotes.tasks.final_answers import final_answer, plain_number, reference_answer
from rlnotes.tasks.loading import load_task
from rlnotes.tasks.math_answers import equal_answers

pytest.importorskip("datasets")
QUESTIONS = Path(__file__).parent / "questions"
WORDS = f"file/{QUESTIONS / 'words.jsonl'}"
FORMULAS = f"file/{QUESTIONS / 'formulas.csv'}"
COLUMNS = {"question_column": "problem", "answer_column": "solution"}


@pytest.fixture
def write(tmp_path):
    """Write rows as JSON lines and give the task's name."""

    def rows(*rows, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return f"file/{path}"

    return rows


def questions(tasks):
    return [task.columns["question"] for task in tasks]


# ------------------------------------------------------------------ the questions


def test_a_file_is_split_by_its_questions_and_sampled_without_state():
    task = load_task(WORDS)
    held_out = task.held_out()
    assert len(held_out) == 2 and held_out == load_task(WORDS).held_out()
    first = task.sample(6, seed=0, step=3)
    assert len(set(questions(first))) == 6
    assert not set(questions(first)) & set(questions(held_out))
    assert first == load_task(WORDS).sample(6, seed=0, step=3)
    assert first != task.sample(6, seed=0, step=4) != task.sample(6, seed=1, step=4)
    assert task.sample(0, seed=0, step=0) == []
    assert len(task.sample(13, seed=0, step=0)) == 13
    for arguments in ({"count": -1, "seed": 0, "step": 0},):
        with pytest.raises(ValueError, match="count"):
            task.sample(arguments.pop("count"), **arguments)
    assert pickle.loads(pickle.dumps(task)).sample(6, seed=0, step=3) == first


def test_the_prompt_asks_for_a_box_and_the_answer_is_the_final_one():
    tasks = load_task(WORDS).sample(6, seed=0, step=0) + load_task(WORDS).held_out()
    answers = {task.columns["question"]: task.answer for task in tasks}
    assert sorted(answers.values()) == sorted(
        ["63", "1334", "-6", "2.25", "120", "9", "14", "4"]
    )
    (message,) = tasks[0].prompt
    assert message["content"].startswith(tasks[0].columns["question"])
    assert (
        message["content"].endswith("within \\boxed{}.") and message["role"] == "user"
    )


def test_r1_zeros_template_is_plain_text_without_a_hint():
    task = load_task(f"{WORDS}?template=r1")
    one = task.held_out()[0]
    question = one.columns["question"]
    assert one.prompt.endswith(f"User: {question}. Assistant:")
    assert one.prompt.count("<think>") == 2 and "{question}" not in one.prompt
    right = f"<think>x</think> <answer>{one.answer}</answer>"
    assert task.verify(right, one) == 1.0
    assert task.verify(f"\\boxed{{{one.answer}}}", one) == 0.0
    assert task.verify(right + right, one) == 0.0  # two answers are none
    boxed = f"<answer>\\boxed{{{one.answer}}}</answer>"
    assert task.verify(boxed, one) == 1.0


def test_options_stand_in_the_name_or_are_keywords():
    by_name = load_task(f"{WORDS}?held_out=1&verifier=number")
    by_keyword = load_task(WORDS, held_out=1, verifier="number")
    assert by_name == by_keyword and len(by_name.held_out()) == 1
    assert load_task(by_name.name) == by_name
    assert "?held_out=1&verifier=number" in by_name.name


def test_a_reasoning_gym_task_takes_options_in_its_name():
    pytest.importorskip("reasoning_gym")
    task = load_task("reasoning_gym/countdown?min_numbers=3&max_numbers=3")
    numbers = task.sample(1, seed=0, step=0)[0].columns["question"]
    assert numbers.count(",") >= 2


def test_a_folder_with_two_splits_and_the_names_for_the_hub(tmp_path):
    rows = (QUESTIONS / "words.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "train.jsonl").write_text("".join(rows[:6]))
    (tmp_path / "test.jsonl").write_text("".join(rows[4:]))
    task = load_task(f"gsm8k?path={tmp_path}")
    test = set(questions(task.held_out()))
    assert len(test) == 4 and task.verifier == "number"
    train = set(questions(task.sample(4, seed=0, step=0)))
    assert len(train) == 4 and not train & test  # two of six were test questions
    assert len(load_task(f"gsm8k?path={tmp_path}&held_out=3").held_out()) == 3
    one = load_task(f"hub/{tmp_path}", split="test", test_split="train")
    assert len(one.held_out()) == 6


def test_columns_have_names_and_parquet_is_read(tmp_path):
    import pandas as pd

    path = tmp_path / "t.parquet"
    pd.read_csv(QUESTIONS / "formulas.csv").to_parquet(path)
    a, b = load_task(f"file/{path}", **COLUMNS), load_task(FORMULAS, **COLUMNS)
    assert a.held_out() == b.held_out() and a.verifier == "math"


def test_numbers_in_the_answer_column_and_copies_of_a_question(write):
    name = write(*({"question": f"q{i % 5}", "answer": i % 5} for i in range(10)))
    task = load_task(name)
    assert len(task.train) + len(task.test) == 5 and task.verifier == "number"


# ----------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{WORDS}?answer_column=solution", r"no column 'solution'.*'question', 'answ"),
        (f"{WORDS}?question_column=q", r"question_column: .* no column 'q'"),
        (f"{WORDS}?split=dev", r"Unknown split .dev.*train"),
        (f"{WORDS}?answers=solution", r"option must be one of \['path', 'subset'"),
        (f"{WORDS}?held_out=0", "held_out must be an integer"),
        (f"{WORDS}?split=7", "split: expected a text, got 7"),
        (f"{WORDS}?split", "expected option=value"),
        (f"{WORDS}?split=train&split=test", "once each"),
        (f"{WORDS}?template=r2", r"template must be one of \['boxed', 'r1', 'plain'\]"),
        (f"{WORDS}?verifier=eval", "verifier must be one of"),
        ("file/questions.txt", r"ends in \.json, \.jsonl, \.csv, \.parquet"),
        ("gsm9k", "unknown task 'gsm9k'; known: .*gsm8k.*hub/<id>"),
        ("addition?low=1", r"takes none, got \['low'\]"),
    ],
)
def test_wrong_options_are_refused_by_name(name, message):
    with pytest.raises(ValueError, match=message):
        load_task(name)


def test_a_missing_file_or_folder_does_not_go_to_the_hub(tmp_path):
    for name in (f"file/{tmp_path}/no.jsonl", f"gsm8k?path={tmp_path}/no"):
        with pytest.raises(FileNotFoundError, match="no file or folder"):
            load_task(name)


def test_data_without_rows_or_answers_are_refused(write, tmp_path):
    row = {"question": "q", "answer": "1"}
    (tmp_path / "empty.csv").write_text("question,answer\n")
    for name in (f"file/{tmp_path}/empty.csv", f"{write(row)}?split=train[:0]"):
        with pytest.raises(ValueError, match="corresponds to no data"):
            load_task(name)
    with pytest.raises(ValueError, match="no question is left"):
        load_task(write(row, name="one.jsonl"))
    empty = write({"question": "q", "answer": None}, name="none.jsonl")
    with pytest.raises(ValueError, match="no answer in 'answer' of .* can be read"):
        load_task(empty)
    words = write({"question": "q", "answer": "blue"}, name="words.jsonl")
    with pytest.raises(ValueError, match="read as a number; the first is 'blue'"):
        load_task(words, verifier="number")


def test_rows_that_cannot_be_read_are_counted_and_left_out(write):
    rows = [{"question": f"q{i}", "answer": str(i)} for i in range(6)]
    name = write(*rows[:3], {"question": "x", "answer": "#### blue"}, *rows[3:])
    with pytest.warns(UserWarning, match=r"1 of 7 rows .* \(row 3 first\): left out"):
        task = load_task(name, verifier="number")
    assert len(task.train) + len(task.test) == 6


def test_a_file_that_is_no_table_is_one_line(tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text('{"question": "q", \n"""')
    with pytest.raises(RuntimeError, match="could not be loaded") as error:
        load_task(f"file/{path}")
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


NOBODY = {"HF_ENDPOINT": "http://127.0.0.1:9"}  # a port where nothing listens


def run_elsewhere(*words, cache):
    """`rlnotes` in a process of its own, whose hub does not answer."""
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    return subprocess.run(
        [sys.executable, "-m", "rlnotes.cli", *words],
        env=environment | NOBODY | {"HF_HOME": str(cache)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["task=hub/nobody/nothing", "policy=tiny"], "'nobody/nothing' could not be"),
        (["task=addition", "policy=nobody/nothing"], "the hub could not give it"),
    ],
)
def test_an_unreachable_hub_is_one_clear_line(tmp_path, words, reason):
    output = tmp_path / "run"
    done = run_elsewhere("train", *words, f"--output={output}", cache=tmp_path / "hub")
    assert done.returncode == 2 and reason in done.stderr
    assert done.stderr.count("\n") == 1, "a line for every retry"
    assert not output.exists() and not list(tmp_path.glob("*.partial"))


def test_an_unreachable_hub_gives_what_its_cache_has(tmp_path, policy_folder):
    repository = tmp_path / "hub" / "models--nobody--random"
    shutil.copytree(policy_folder, repository / "snapshots" / "c0ffee")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    config = tmp_path / "config.yaml"
    config.write_text("policy: nobody/random\ntask: scratch-addition\n")
    done = run_elsewhere("size", "--config", str(config), cache=tmp_path)
    assert done.returncode == 0 and "Retrying" not in done.stderr


# --------------------------------------------------------------- reading an answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{5}", "5"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1} and then \boxed{2}.", "2"),
        (r"\boxed 4$.", "4"),
        (r"\fbox{7}", "7"),
        (r"\boxed{1} \boxed{2", None),  # cut off before it answered
        (r"\boxed{}", ""),
        (r"\boxed", None),
        ("no box", None),
    ],
)
def test_the_last_box_is_the_answer(text, answer):
    assert final_answer(text, "boxed") == answer


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"\$1{,}234", "1234"),
        ("$ 1,234.50 $", "1234.5"),
        (r"12\text{ dollars}", "12"),
        ("12 apples", "12"),
        ("x = -3", "-3"),
        (r"30^\circ", "30"),
        (r"5\%", "5"),
        (r"\frac{1}{2}", None),
        ("1/2", None),
        (r"\sqrt{2}", None),
        (r"2\pi", None),
        ("2^3", None),
        ("3 or 4", None),
        ("", None),
    ],
)
def test_a_number_may_be_dressed_up_and_nothing_else_is_one(text, number):
    assert plain_number(text) == number


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("1+1=<<1+1=2>>2\n#### 1,002", "1,002"),
        (r"thus $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("blue", "blue"),
    ],
)
def test_the_reference_is_the_end_of_a_solution(text, reference):
    assert reference_answer(text) == reference


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        (r"She bakes 84. \boxed{63}", 1.0),
        ("She bakes 84, so 63.", 1.0),  # without a box the last number
        (r"63. \boxed{84}", 0.0),
        (r"\boxed{63} as asked in \boxed{}", 1.0),
        (r"\boxed{63", 0.0),  # cut off before it answered
        ("", 0.0),
        (None, 0.0),
        (b"63", 0.0),
    ],
)
def test_numbers_are_compared_as_numbers(completion, score):
    task = load_task(WORDS)
    assert task.verify(completion, Task("", "63")) == score


def numbers_task():
    return DatasetTask("n", (("q", "1"),), (("r", "2"),), "boxed", "number")


@settings(deadline=None)
@given(st.integers(), st.text(alphabet="abc ,.\n$\\"))
def test_any_number_is_found_behind_any_text(number, text):
    task = numbers_task()
    assert task.verify(f"{text} \\boxed{{{number}}}", Task("", str(number))) == 1.0
    assert task.verify(f"{text} \\boxed{{{number + 1}}}", Task("", str(number))) == 0.0


@settings(deadline=None)
@given(st.text())
def test_any_text_is_scored(text):
    for template in ("boxed", "r1"):
        task = DatasetTask("n", (), (), template, "number")
        assert task.verify(text, Task("", "1")) in (0.0, 1.0)


@pytest.mark.parametrize(
    "part", ["1", "\\boxed{", "{", "<answer>", "$", "1,", "\\boxed{1}", "\\text{", "9^"]
)
def test_ten_megabytes_take_seconds_at_most(part):
    text = part * (10_000_000 // len(part))
    start = time.process_time()
    for template in ("boxed", "r1"):
        for verifier in ("number", "math"):
            task = DatasetTask("n", (), (), template, verifier)
            task.read_answer(text, Task("", "1"))
    assert time.process_time() - start < 20


# --------------------------------------------------------------------- math-verify


@pytest.fixture(scope="module")
def formulas():
    pytest.importorskip("math_verify")
    return load_task(FORMULAS, **COLUMNS)


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        ("0.5", r"\frac{1}{2}", True),
        (r"\dfrac12", r"\frac{1}{2}", True),
        ("(x+1)(x-1)", "(x-1)(x+1)", True),
        ("x^2-1", "(x-1)(x+1)", True),
        (r"\sqrt{8}", r"2\sqrt{2}", True),
        ("[0,2]", "[0,2)", False),
        ("(4,3)", "(3,4)", False),
        ("(x-1)^2", "(x-1)(x+1)", False),
        (r"\frac{1}{3}", r"\frac{1}{2}", False),
        ("", "", False),
        ("$$$", "1", False),
        ("{{{", "1", False),
        ("1\n2", "2", False),
    ],
)
def test_equal_means_equal_in_mathematics(formulas, answer, reference, same):
    assert equal_answers(answer, reference) is same


def test_a_formula_is_verified_in_its_box(formulas):
    one = Task("", r"\frac{1}{2}")
    assert formulas.verify(r"It is \boxed{0.5}.", one) == 1.0
    assert formulas.verify(r"It is \boxed{ \frac{1} {2} }.", one) == 1.0
    assert formulas.verify("It is 0.5.", one) == 0.0
    assert formulas.verify(r"\boxed{2}", one) == 0.0
    assert formulas.read_answer(r"\boxed{\frac 1 2}", one) == r"\frac12"
    assert formulas.read_answer(r"\boxed{ }", one) is None
    reward = get_accuracy_reward(formulas.verify)
    texts = [r"\boxed{0.50}", "0.5"]
    assert reward(["p", "p"], texts, [one.answer] * 2) == [1.0, 0.0]


def test_a_comparison_without_end_is_stopped_and_the_next_one_answered(formulas):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert equal_answers("9^{9^{9^{9}}}", "3") is False
    assert equal_answers("0.25", r"\frac{1}{4}") is True
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert spent < 15  # a start, two to three seconds, and a start that still lives


def test_threads_ask_in_turn(formulas):
    verdicts = {}

    def ask(i):
        verdicts[i] = equal_answers(f"{i}.5", rf"\frac{{{2 * i + i % 2}}}{{2}}")

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == {i: i % 2 == 1 for i in range(8)}


def test_a_killed_child_is_started_again(formulas):
    assert equal_answers("0.125", r"\frac{1}{8}") is True
    child = math_answers._helpers[os.getpid()][-1]
    child.kill()
    child.wait()
    assert equal_answers("0.2", r"\frac{1}{5}") is True


def test_text_is_never_evaluated(formulas, tmp_path):
    trap = tmp_path / "trap"
    for text in (
        f"open({str(trap)!r}, 'w')",
        f"__import__('pathlib').Path({str(trap)!r}).touch()",
        rf"\text{{__import__('os').system('touch {trap}')}}",
        f"eval(\"open('{trap}','w')\")",
    ):
        assert equal_answers(text, "3") is False
    assert not trap.exists()


def test_a_long_answer_is_equal_to_its_own_text_alone(formulas):
    long = "x+" * 200 + "x"
    assert formulas.verify(rf"\boxed{{{long}}}", Task("", long)) == 1.0
    assert equal_answers(long, "401x") is False


def test_without_math_verify_the_error_says_what_to_install(monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    hidden = {"math_verify"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda x: None if x in hidden else found(x)
    )
    with pytest.raises(ImportError, match=r"rlnotes\[tasks\].*verifier=number"):
        load_task(FORMULAS, **COLUMNS)
    assert load_task(WORDS).verifier == "number"


@pytest.mark.parametrize("name", ["what?.jsonl", "a?b=c.jsonl", "plain.jsonl"])
@pytest.mark.parametrize("options", ["", "?template=r1"])
def test_a_question_mark_may_stand_in_a_file_s_name(name, options, tmp_path):
    rows = [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in range(20)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / name).write_text(text, encoding="utf-8")
    task = load_task(f"file/{tmp_path / name}{options}")
    asked = task.sample(1, seed=0, step=0)[0].prompt
    assert ("<answer>" in str(asked)) == bool(options)
