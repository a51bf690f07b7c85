"""Tasks: exact verification of any text, disjoint splits, stateless sampling."""

import pickle
import random
import re
import sys
import time
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlnotes.rewards.rewards import format_reward
from rlnotes.tasks.base import Task, calculate, last_number, verify_number
from rlnotes.tasks.loading import load_task

ARITHMETIC = ["addition", "subtraction", "multiplication"]
BUILT_IN = [*ARITHMETIC, *(f"{name}-2digit" for name in ARITHMETIC), "scratch-addition"]
NUMBER = re.compile(r"\d+")


def operands(task: Task) -> tuple[int, int]:
    text = task.prompt if isinstance(task.prompt, str) else task.prompt[0]["content"]
    a, b = map(int, NUMBER.findall(text))
    return a, b


# ------------------------------------------------------------- last number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", "7"),
        ("7 * 8 = 56", "56"),
        ("The answer is 56.", "56"),
        ("56.\n", "56"),
        ("**56**", "56"),
        ("\\boxed{-3}", "-3"),
        ("1,234", "1234"),
        ("1,234,567 apples", "1234567"),
        ("1, 234", "234"),
        ("1,23", "23"),
        ("1,2345", "2345"),
        ("1234,567", "567"),
        ("-3", "-3"),
        ("= -3", "-3"),
        ("\u22123", "-3"),  # minus sign
        ("\u20133", "-3"),  # en dash
        ("\uff0d3", "-3"),  # full-width hyphen-minus
        ("+3", "3"),
        ("5-3", "3"),  # binary
        ("5\u22123", "3"),
        ("(1+1)-3", "3"),
        ("answer-3", "3"),  # hyphen
        ("- 3", "3"),  # a bullet, not a sign
        ("-0", "0"),
        ("007", "7"),
        ("000", "0"),
        ("4.0", "4"),
        ("4.", "4"),
        ("4.50", "4.5"),
        ("-1,234.50.", "-1234.5"),
        ("0.0", "0"),
        ("1.2.3", "1.2.3"),
        ("1.2.0", "1.2.0"),
        (".5", "5"),
        ("..7;", "7"),
        ("..<7>;", "7"),
        ("7/2", "2"),
        ("1e5", "5"),
        ("x\u00b2", None),  # superscripts are no decimal digits
        ("3\u00b2", "3"),
        ("\u0667", "7"),  # Arabic-Indic
        ("\uff17\uff15", "75"),  # full-width
        ("\u0967,\u0968\u0969\u096a", "1234"),  # Devanagari
        ("50%", "50"),
        ("$1,000", "1000"),
        ("", None),
        ("seven", None),
        ("\u4e03", None),
        ("-", None),
        (None, None),
        (b"7", None),
        (7, None),
        (["7"], None),
        ("7\x00", "7"),
        ("\ud800 7", "7"),
    ],
)
def test_last_number(text, number) -> None:
    assert last_number(text) == number


def test_integers_beyond_pythons_conversion_limit_are_exact() -> None:
    huge = "9" * 10_000
    with pytest.raises(ValueError):
        int(huge)
    assert verify_number(f"= {huge}.", Task("", huge)) == 1.0
    assert verify_number(f"= {huge[:-1]}8", Task("", huge)) == 0.0
    assert verify_number(f"= {huge[:-1]}", Task("", huge)) == 0.0


@pytest.mark.parametrize(
    ("completion", "score"),
    [("12", 1.0), ("12.0", 1.0), ("12.5", 0.0), ("-12", 0.0), ("12 or 13", 0.0)],
)
def test_verify_number_compares_values(completion, score) -> None:
    assert verify_number(completion, Task("", "12")) == score


def test_an_answer_without_a_number_is_never_matched() -> None:
    assert verify_number("7", Task("", "seven")) == 0.0
    assert verify_number("seven", Task("", "seven")) == 0.0


@given(st.integers())
def test_every_integer_is_found_in_prose_and_with_thousands(value) -> None:
    for form in (f"{value}", f"{value:,}", f"{value}.", f"{value:,}.00"):
        assert last_number(f"1 + 1 gives {form}") == str(value)


@given(st.text())
def test_any_text_has_a_canonical_number_or_none(text) -> None:
    number = last_number(text)
    if number is None:
        assert not any(c.isdecimal() for c in text)
    else:
        assert number.isascii()
        assert last_number(number) == number or number.startswith("-")


HOSTILE = {
    "digits": "7" * 10**6,
    "groups": "111," * 250_000 + "1111",
    "pairs": "1," * 500_000,
    "points": "1." * 500_000,
    "signs": "-" * 10**6,
    "signed": "-1" * 500_000,
    "spaces": " " * 10**6,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_takes_linear_time(name) -> None:
    start = time.process_time()
    last_number(HOSTILE[name])
    assert time.process_time() - start < 5  # measured: up to 0.5 s


# ------------------------------------------------------------ splits, sampling


@pytest.mark.parametrize("name", BUILT_IN)
def test_held_out_pairs_never_train_in_either_order(name) -> None:
    task_set = load_task(name)
    held_out = {operands(task) for task in task_set.held_out()}
    assert held_out == {(b, a) for a, b in held_out}
    steps, count = (400, 100) if name.endswith("2digit") else (40, 59)
    for step in range(steps):
        tasks = task_set.sample(count, seed=step % 3, step=step)
        assert not held_out & {operands(task) for task in tasks}


@pytest.mark.parametrize(
    ("name", "unordered", "held_out"),
    [
        ("addition", 45, 11),
        ("addition-2digit", 4095, 1024),
        ("scratch-addition", 55, 14),
    ],
)
def test_train_and_held_out_are_all_pairs(name, unordered, held_out) -> None:
    task_set = load_task(name)
    test = {operands(task) for task in task_set.held_out()}
    size = len({tuple(sorted(pair)) for pair in test})
    assert size == held_out == round(unordered / 4)
    every = {operands(task) for task in task_set.sample(10_000, seed=0, step=0)} | test
    assert len({tuple(sorted(pair)) for pair in every}) == unordered


def test_the_split_is_the_same_on_every_machine() -> None:
    # ranked by SHA-256, not by `hash` or `random`: these pairs are fixed for good
    pairs = {tuple(sorted(operands(t))) for t in load_task("addition").held_out()}
    assert pairs == EXPECTED_PAIRS
    for name in ARITHMETIC:
        other = {tuple(sorted(operands(t))) for t in load_task(name).held_out()}
        assert other == pairs


EXPECTED_PAIRS = {
    *((1, 3), (1, 4), (2, 5), (2, 7), (3, 8), (4, 6)),
    *((4, 7), (5, 8), (5, 9), (6, 8), (7, 9)),
}


@pytest.mark.parametrize(
    ("name", "prompts"),
    [
        ("addition", ["What is 7 + 2?", "What is 4 + 6?", "What is 1 + 4?"]),
        ("scratch-addition", ["7+2=", "4+6=", "1+4=", "0+9="]),
        ("search", ["make 5 from 7 4 6 :", "make 70 from 8 9 2 :"]),
    ],
)
def test_the_first_held_out_questions_are_fixed_for_good(name, prompts) -> None:
    tasks = load_task(name).held_out()[: len(prompts)]
    found = [t.prompt if isinstance(t.prompt, str) else t.prompt[0] for t in tasks]
    assert [x if isinstance(x, str) else x["content"] for x in found] == prompts


@pytest.mark.parametrize("name", ["addition", "scratch-addition"])
def test_every_digit_is_held_out_about_equally_often(name) -> None:
    digits = [digit for task in load_task(name).held_out() for digit in operands(task)]
    assert {digits.count(digit) // 2 for digit in set(digits)} == {2, 3}
    assert len(set(digits)) == (9 if name == "addition" else 10)


@pytest.mark.parametrize("name", BUILT_IN)
def test_sampling_is_a_function_of_seed_and_step(name) -> None:
    task_set = load_task(name)
    first = task_set.sample(16, seed=3, step=5)
    task_set.sample(7, seed=0, step=0)
    random.seed(0)
    assert task_set.sample(16, seed=3, step=5) == first
    assert task_set.sample(16, seed=3, step=6) != first
    assert task_set.sample(16, seed=4, step=5) != first


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_batch_repeats_no_prompt_while_the_pool_lasts(name) -> None:
    task_set = load_task(name)
    prompts = [str(task.prompt) for task in task_set.sample(59, seed=0, step=0)]
    assert len(set(prompts)) == 59


def test_a_batch_beyond_the_pool_repeats_evenly() -> None:
    pairs = [
        operands(task) for task in load_task("addition").sample(150, seed=0, step=0)
    ]
    counts = {pair: pairs.count(pair) for pair in pairs}
    assert len(counts) == 59 and set(counts.values()) == {2, 3}


def test_no_tasks_on_request() -> None:
    assert load_task("addition").sample(0, seed=0, step=0) == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_answers_are_right(name) -> None:
    task_set = load_task(name)
    for task in [*task_set.held_out(), *task_set.sample(100, seed=0, step=0)]:
        a, b = operands(task)
        value = {"a": a + b, "su": a - b, "m": a * b, "sc": (a + b) % 10}
        key = next(k for k in value if name.startswith(k))
        assert task.answer == str(value[key])
        assert task_set.verify(f"It is {task.answer}.", task) == 1.0
        assert task_set.verify(f"It is {int(task.answer) + 1}.", task) == 0.0
        assert task_set.verify("", task) == 0.0


def test_prompts() -> None:
    task = load_task("multiplication").sample(1, seed=0, step=0)[0]
    [message] = task.prompt
    assert message["role"] == "user"
    assert re.fullmatch(r"What is [1-9] \* [1-9]\?", message["content"])
    task = load_task("subtraction-2digit").sample(1, seed=0, step=0)[0]
    assert re.fullmatch(r"What is \d\d - \d\d\?", task.prompt[0]["content"])
    task = load_task("scratch-addition").sample(1, seed=0, step=0)[0]
    assert re.fullmatch(r"\d\+\d=", task.prompt)


def test_a_callers_change_to_a_prompt_does_not_reach_the_next_one() -> None:
    load_task("addition").held_out()[0].prompt[0]["content"] = "changed"
    assert load_task("addition").held_out()[0].prompt[0]["content"] != "changed"


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("completion", [None, 7, b"7", ["7"], {"content": "7"}, 7.0])
def test_verify_scores_anything_but_text_zero(name, completion) -> None:
    task_set = load_task(name)
    assert task_set.verify(completion, task_set.held_out()[0]) == 0.0


# -------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    "name", ["", "Addition", "reasoning_gym", "addition-3digit", None]
)
def test_an_unknown_name_is_refused_with_the_known_ones(name) -> None:
    with pytest.raises(ValueError, match=r"name|dataset"):
        load_task(name)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="options.*min_terms"):
        load_task("addition", min_terms=2)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"count": -1}, "count"),
        ({"count": 1.0}, "count"),
        ({"seed": "0"}, "seed"),
        ({"seed": None}, "seed"),
        ({"step": True}, "step"),
    ],
)
def test_sample_names_a_wrong_argument(arguments, name) -> None:
    given_arguments = {"count": 1, "seed": 0, "step": 0, **arguments}
    with pytest.raises(ValueError, match=name):
        load_task("addition").sample(given_arguments.pop("count"), **given_arguments)


# ------------------------------------------------------------- scratch addition


def test_demonstrations_without_noise_are_the_table() -> None:
    pairs = load_task("scratch-addition").demonstrations(random.Random(0), noise=0.0)
    assert pairs == [
        (f"{a}+{b}=", f"{(a + b) % 10};") for a in range(10) for b in range(10)
    ]


def test_demonstrations_with_noise_have_the_documented_rates() -> None:
    task_set, rng = load_task("scratch-addition"), random.Random(0)
    right: dict[bool, list[bool]] = {False: [], True: []}
    dots, bracketed = [], []
    batches = [task_set.demonstrations(rng, noise=1.0) for _ in range(200)]
    for prompt, response in chain.from_iterable(batches):
        match = re.fullmatch(r"(\.{0,12})(<?)(\d)(>?);", response)
        assert match and bool(match[2]) == bool(match[4])
        a, b = int(prompt[0]), int(prompt[2])
        right[a + b > 9].append(int(match[3]) == (a + b) % 10)
        dots.append(len(match[1]))
        bracketed.append(bool(match[2]))

    def share(flags: list[bool]) -> float:
        return sum(flags) / len(flags)

    # 9,000 draws or more: three standard errors are below 0.016
    assert share(right[False]) == pytest.approx(0.5, abs=0.016)
    assert share(right[True]) == pytest.approx(0.3, abs=0.016)
    assert share(bracketed) == pytest.approx(0.35, abs=0.016)
    assert 0.02 < share([n > 6 for n in dots]) < 0.05


def test_half_noise_has_habits_but_no_errors() -> None:
    task_set = load_task("scratch-addition")
    pairs = task_set.demonstrations(random.Random(0), noise=0.5)
    assert any("." in response for _, response in pairs)
    assert any("<" in response for _, response in pairs)
    for prompt, response in pairs:
        assert last_number(response) == str((int(prompt[0]) + int(prompt[2])) % 10)


def test_scratch_characters_write_every_prompt_and_response() -> None:
    task_set = load_task("scratch-addition")
    pairs = task_set.demonstrations(random.Random(0), noise=1.0)
    used = {c for prompt, response in pairs for c in prompt + response}
    assert used - {";"} == set(task_set.characters)


# --------------------------------------------------------------- reasoning-gym

SMALL = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}


@pytest.fixture(scope="module")
def chain_sum():
    pytest.importorskip("reasoning_gym")
    return load_task("reasoning_gym/chain_sum", **SMALL)


def test_reasoning_gym_questions_are_seeded_and_endless(chain_sum) -> None:
    assert chain_sum.name == "reasoning_gym/chain_sum"
    first = chain_sum.sample(8, seed=0, step=0)
    assert first == chain_sum.sample(8, seed=0, step=0)
    assert first == load_task("reasoning_gym/chain_sum", **SMALL).sample(
        8, seed=0, step=0
    )
    assert first != chain_sum.sample(8, seed=0, step=1)
    assert first != chain_sum.sample(8, seed=1, step=0)
    assert first[0].prompt[0]["role"] == "user"


def test_reasoning_gym_splits_are_disjoint_though_questions_recur(chain_sum) -> None:
    # 200 questions exist: without the comparison of texts a quarter would recur
    held_out = {task.columns["question"] for task in chain_sum.held_out()}
    assert len(held_out) == len(chain_sum.held_out()) >= 48
    for step in range(20):
        tasks = chain_sum.sample(16, seed=0, step=step)
        questions = [task.columns["question"] for task in tasks]
        assert len(set(questions)) == 16 and not held_out & set(questions)


def test_reasoning_gym_verifies_with_its_own_scorer(chain_sum) -> None:
    for task in chain_sum.held_out()[:8]:
        wrong = str(int(task.answer) + 1)
        assert chain_sum.verify(task.answer, task) == 1.0
        assert chain_sum.verify(f"4 + 4 = {task.answer}.", task) == 1.0
        assert chain_sum.verify(f"<answer>{task.answer}</answer> 99", task) == 1.0
        assert chain_sum.verify(f"99 {wrong}", task) < 1.0
        assert chain_sum.verify(f"{task.answer} <answer></answer>", task) < 1.0


@given(st.text())
def test_reasoning_gym_scores_any_text(text) -> None:
    pytest.importorskip("reasoning_gym")
    task_set = load_task("reasoning_gym/chain_sum", **SMALL)
    assert 0.0 <= task_set.verify(text, task_set.held_out()[0]) <= 1.0


@pytest.mark.parametrize("text", [None, b"7", 7, ["7"]])
def test_reasoning_gym_scores_anything_but_text_zero(chain_sum, text) -> None:
    assert chain_sum.verify(text, chain_sum.held_out()[0]) == 0.0


def test_reasoning_gym_tasks_survive_pickling(chain_sum) -> None:
    copy = pickle.loads(pickle.dumps(chain_sum))
    assert copy.held_out() == chain_sum.held_out()
    assert copy.sample(4, seed=0, step=0) == chain_sum.sample(4, seed=0, step=0)


def test_a_small_dataset_keeps_most_questions_for_training() -> None:
    pytest.importorskip("reasoning_gym")
    options = {"min_terms": 1, "max_terms": 1, "min_digits": 1, "max_digits": 1}
    task_set = load_task("reasoning_gym/chain_sum", **options)  # ten questions
    held_out = {task.columns["question"] for task in task_set.held_out()}
    assert len(held_out) == 2
    tasks = task_set.sample(20, seed=0, step=0)
    questions = {task.columns["question"] for task in tasks}
    assert len(tasks) == 20 and len(questions) == 8 and not questions & held_out


def test_text_answers_are_scored_as_they_stand() -> None:
    pytest.importorskip("reasoning_gym")
    task_set = load_task("reasoning_gym/spell_backward")
    task = task_set.held_out()[0]
    assert task_set.verify(f" {task.answer}\n", task) == 1.0
    assert task_set.verify(f"I say <answer>{task.answer}</answer>.", task) == 1.0
    assert task_set.verify("", task) == 0.0


def test_text_is_never_evaluated(tmp_path) -> None:
    pytest.importorskip("reasoning_gym")
    task_set = load_task("reasoning_gym/countdown", min_numbers=3, max_numbers=3)
    task = task_set.held_out()[0]
    assert task_set.verify(task.answer, task) == 1.0
    trap = tmp_path / "trap"
    for text in (
        f"open({str(trap)!r}, 'w')",
        f"<answer>__import__('pathlib').Path({str(trap)!r}).touch()</answer>",
        "9**9**9**9",
        "9* *9",
        "(" * 10_000,
    ):
        assert task_set.verify(text, task) == 0.0
    assert not trap.exists()


@pytest.mark.parametrize("dataset", ["composite", "polynomial_multiplication"])
def test_datasets_that_would_evaluate_text_are_refused(dataset) -> None:
    pytest.importorskip("reasoning_gym")
    with pytest.raises(ValueError, match="evaluates the model's text"):
        load_task(f"reasoning_gym/{dataset}")


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("chain_summ", {}, "chain_sum"),
        ("", {}, "chain_sum"),
        ("chain_sum", {"terms": 2}, "terms"),
        ("chain_sum", {"min_terms": 5, "max_terms": 2}, "max_terms"),
        ("chain_sum", {"seed": 1}, "seed"),
    ],
)
def test_wrong_datasets_and_options_are_refused(dataset, options, message) -> None:
    pytest.importorskip("reasoning_gym")
    with pytest.raises(ValueError, match=message):
        load_task(f"reasoning_gym/{dataset}", **options)


def test_without_reasoning_gym_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", None)
    with pytest.raises(ImportError, match=r"rlnotes\[tasks\]"):
        load_task("reasoning_gym/chain_sum")


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        ("<think>7 + 2 = 9</think> <answer>9</answer>", 1.0),
        ("<answer>It is 9.</answer>", 1.0),
        ("<answer>9</answer> <answer>9</answer>", 0.0),  # two answers are none
        ("<think>9</think> <answer>8</answer>", 0.0),
        ("9", 0.0),  # the number outside the required form
        ("<answer>9", 0.0),
        ("<ANSWER>9</ANSWER>", 0.0),
        ("<answer></answer> 9", 0.0),
        ("<answer><answer>9</answer></answer>", 1.0),
        ("", 0.0),
    ],
)
def test_the_template_asks_for_the_answer_in_its_block(completion, score):
    task_set = load_task("addition-r1")
    question = Task(task_set.held_out()[0].prompt, "9")
    assert task_set.verify(completion, question) == score


def test_the_templates_example_is_right_and_not_held_out():
    for name in ("addition-r1", "subtraction-r1", "multiplication-r1"):
        task_set = load_task(name)
        question, example, last = task_set.held_out()[0].prompt
        shown = question["content"].removeprefix("What is ").partition("?")[0]
        assert format_reward([example["content"]]) == [1.0]
        left, operator, right = shown.split()
        value = calculate(int(left), operator, int(right))
        assert f"<answer>{value}</answer>" in example["content"]
        plain = load_task(name.removesuffix("-r1")).held_out()
        asked = {one.prompt[-1]["content"] for one in plain}
        assert last["content"].partition("?")[0] + "?" in asked
        assert f"What is {shown}?" not in asked


def test_a_template_changes_the_prompt_and_not_the_questions():
    plain, templated = load_task("addition"), load_task("addition-r1")
    for a, b in zip(plain.held_out(), templated.held_out(), strict=True):
        assert b.prompt[-1]["content"].startswith(a.prompt[0]["content"] + " Answer as")
        assert a.answer == b.answer
