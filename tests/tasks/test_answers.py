"""Verdicts on answers as people write them, and on texts that must not be paid."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlnotes.rewards.rewards import accuracy_reward, get_accuracy_reward
from rlnotes.tasks import math_answers
from rlnotes.tasks.base import Task
from rlnotes.tasks.dataset_task import DatasetTask
from rlnotes.tasks.expressions import read_arithmetic
from rlnotes.tasks.final_answers import outside_thought
from rlnotes.tasks.loading import load_task
from rlnotes.tasks.numbers import read_number
from rlnotes.tasks.verdicts import same_answer
from tests.tasks.answers.corpus import hostile, right_and_wrong

NOT_PAID: dict[tuple[str, str], str] = {}
"""Right answers of the corpus that are not paid, each with its reason."""


def paid(gold: str, text: str) -> bool:
    return accuracy_reward(completions=[text], answer=[gold]) == [1.0]


def test_right_answers_are_paid_in_every_spelling_and_wrong_ones_in_none() -> None:
    pytest.importorskip("math_verify")
    cases = list(dict.fromkeys(right_and_wrong()))
    assert len(cases) >= 400
    wrong_paid = [(g, t) for g, t, right in cases if not right and paid(g, t)]
    lost = [(g, t) for g, t, right in cases if right and not paid(g, t)]
    assert wrong_paid == [] and lost == list(NOT_PAID)
    assert len(lost) <= 0.02 * sum(right for *_, right in cases)


def test_hostile_texts_are_not_paid() -> None:
    pytest.importorskip("math_verify")
    cases = list(hostile())
    assert len(set(cases)) >= 150
    assert [case for case in cases if paid(*case)] == []


@pytest.mark.parametrize("name", ["addition", "addition-r1", "gsm8k-like", "gsm8k-r1"])
def test_the_tasks_own_verifiers_pay_no_hostile_text(name) -> None:
    if name.startswith("gsm8k"):
        template = "r1" if name.endswith("r1") else "boxed"
        task_set = DatasetTask(name, (), (), template, "number")
    else:
        task_set = load_task(name)
    cases = [case for case in hostile() if read_number(case[0])]
    verdicts = [task_set.verify(text, Task("", gold)) for gold, text in cases]
    assert len(verdicts) > 250 and sum(verdicts) == 0


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a<think>b</think>c", "ac"),
        ("b</think>c", "c"),  # the prompt wrote <think>
        ("<think>b", ""),
        ("a<think>b</think>c<think>d", "ac"),
        ("<think><think>b</think>c</think>d", "d"),
        ("<Think>b</THINK>c", "c"),
        ("no tags", "no tags"),
        (None, ""),
    ],
)
def test_a_thought_is_no_part_of_the_answer(text, rest) -> None:
    assert outside_thought(text) == rest


def test_an_expression_counts_where_the_task_says_so() -> None:
    assert not same_answer("5+7", "12") and same_answer("5+7", "12", evaluated=False)
    assert not same_answer("5+8", "12", evaluated=False)
    task = DatasetTask("n", (), (), "boxed", "expression")
    assert task.verify(r"\boxed{3*4}", Task("", "12")) == 1.0
    strict = DatasetTask("n", (), (), "boxed", "math")
    assert strict.verify(r"\boxed{3*4}", Task("", "12")) == 0.0


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        (r"\frac{1}{2^{98}}", r"\frac{1}{2^{98}}", True),
        (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}", False),
        ("0.333333", r"\frac{1}{3}", False),
        ("1.414213562373095", r"\sqrt{2}", False),
        (r"\frac{x}{2}", "0.5x", True),
        (r"\frac{x}{2^{99}}", r"\frac{x}{2^{98}}", False),
    ],
)
def test_equality_is_exact(answer, gold, right) -> None:
    pytest.importorskip("math_verify")
    assert same_answer(answer, gold) is right


@given(st.fractions(max_denominator=50), st.integers(0, 3))
def test_any_fraction_is_read_as_it_is_written(value, zeros) -> None:
    latex = rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    written = str(value) if value.denominator == 1 else latex
    assert read_number(written).value == value
    if value.denominator in (1, 2, 4, 5, 10, 20, 25, 50):
        whole, hundredths = divmod(int(abs(value) * 100), 100)
        sign = "-" if value < 0 else ""
        decimal = f"{sign}{whole}.{hundredths:02}" + "0" * zeros
        assert read_number(decimal).value == value


@given(st.text(alphabet="0123456789.,-+/*^(){}$%!= \\abcx\u00b2\u2212", max_size=40))
def test_any_answer_is_read_or_not_and_votes_for_itself(text) -> None:
    number = read_number(text)
    if number is not None:
        assert read_number(str(number)).value == number.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(1 + 2) * 3 - 4 / 5", Fraction(41, 5)),
        (r"\frac{1}{2} + \frac12", Fraction(1)),
        (r"2 \times 3 \div 4", Fraction(3, 2)),
        ("-(3)", Fraction(-3)),
        ("2^10", Fraction(1024)),
        ("2^{-1}", Fraction(1, 2)),
        *((text, None) for text in ("2**3", "7//2", "1/0", "2 3", "x", "")),
        *((text, None) for text in ("9^{9^{9^9}}", "(" * 60 + "1" + ")" * 60)),
    ],
)
def test_arithmetic_is_parsed_and_never_evaluated(text, value) -> None:
    found = read_arithmetic(text, powers=True)
    assert (found.value if found else None) == value


def test_a_batch_of_hopeless_boxes_costs_seconds_and_is_counted() -> None:
    pytest.importorskip("math_verify")
    task = DatasetTask("n", (), (), "boxed", "math")
    assert task.verify(r"\boxed{\sqrt{8}}", Task("", r"2\sqrt{2}")) == 1.0
    before = math_answers.timed_out_verdicts()
    endless = r"\boxed{\sqrt{x+9^{999}^{%d}}}"
    reward = get_accuracy_reward(task.verify)
    texts = [endless % (800 + i) for i in range(64)] + [r"\boxed{1000000!}"] * 192
    answers = [r"x+\sqrt{2}"] * 256
    scores = reward(prompts=[""] * 256, completions=texts, answer=answers)
    assert scores == [0.0] * 256
    assert math_answers.timed_out_verdicts() - before > 32
    assert task.verify(r"\boxed{\sqrt{12}}", Task("", r"2\sqrt{3}")) == 1.0


@pytest.mark.parametrize("name", ["answer", "prompts", "level"])
@pytest.mark.parametrize("length", [1, 3])
def test_a_column_of_another_length_is_one_error(name, length) -> None:
    reward = get_accuracy_reward(lambda text, task: 1.0)
    columns = {"prompts": ["a"] * 2, "answer": ["1"] * 2, "level": [1] * 2}
    with pytest.raises(ValueError, match=rf"^{name}: expected 2 values, got {length}$"):
        reward(completions=["1", "2"], **columns | {name: ["1"] * length})
