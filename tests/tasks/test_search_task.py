import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlnotes.tasks.loading import load_task
from rlnotes.tasks.search import SEARCH_TASKS
from rlnotes.tasks.search_language import (
    answered_operators,
    evaluate_steps,
    legal_tries,
    write_try,
)
from rlnotes.tasks.search_traces import Trace, analyze, trace_rates

SEARCH = load_task("search")
QUESTION = SEARCH.task([5, 6, 9], 20)
HIT, MISS = "5 + 6 = 11 + 9 = 20 ? 20", "5 * 6 = 30 - 9 = 21 ? 20"


def test_values_from_left_to_right_end_where_the_range_ends():
    assert evaluate_steps([2, 3, 4], ["+", "*"]) == [5, 20]
    assert evaluate_steps([2, 3, 4], ["-", "+"]) == []
    assert evaluate_steps([9, 9, 9], ["*", "*"]) == [81]
    assert evaluate_steps([9, 9, 9], ["*", "+"]) == [81, 90]


def test_legal_tries_of_three_numbers_by_hand():
    assert legal_tries((1, 2, 3)) == {
        ("+", "+"): 6,
        ("+", "-"): 0,
        ("+", "*"): 9,
        ("*", "+"): 5,
        ("*", "*"): 6,
    }


@pytest.mark.parametrize("name", sorted(SEARCH_TASKS))
def test_every_question_is_solvable_and_its_answer_verifies(name):
    task = load_task(name)
    for question in task.sample(200, seed=1, step=2) + task.held_out():
        assert task.verify(f"answer {question.answer}", question) == 1.0


@pytest.mark.parametrize("name", sorted(SEARCH_TASKS))
def test_held_out_numbers_are_never_sampled(name):
    task = load_task(name)
    held_out = {tuple(q.columns["numbers"]) for q in task.held_out()}
    batches = (task.sample(64, seed=0, step=step) for step in range(60))
    sampled = {tuple(q.columns["numbers"]) for batch in batches for q in batch}
    assert len(task.held_out()) == {"search-easy": 53}.get(name, 128)
    assert not held_out & sampled


def test_a_sample_depends_on_seed_and_step_alone():
    first = SEARCH.sample(8, seed=3, step=5)
    SEARCH.sample(8, seed=4, step=5)
    assert SEARCH.sample(8, seed=3, step=5) == first
    assert SEARCH.sample(8, seed=3, step=6) != first
    assert SEARCH.sample(8, seed=4, step=5) != first
    assert len({q.prompt for q in SEARCH.sample(500, seed=0, step=0)}) == 500


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        (f"{HIT} answer + +", 1.0),
        ("answer + +", 1.0),
        (f"{MISS} wait {HIT} 答 + +", 1.0),
        (f"{MISS} answer * -", 0.0),
        (f"{HIT} answer + + wait", 0.0),
        (f"{HIT} answer + + answer + +", 0.0),
        ("answer - - answer + +", 0.0),
        ("answer +", 0.0),
        ("answer + + +", 0.0),
        ("answer", 0.0),
        (HIT, 0.0),
        ("answer ++", 0.0),
        ("answer __import__('os').abort()", 0.0),
        ("", 0.0),
    ],
)
def test_the_verifier_reads_one_whole_answer(completion, score):
    assert SEARCH.verify(completion, QUESTION) == score


def test_an_answer_that_leaves_the_range_on_its_way_is_wrong():
    # 3 - 5 + 9 = 7, but 3 - 5 is no number of this game
    question = SEARCH.task([3, 5, 9], 17)
    assert SEARCH.verify("answer + +", question) == 1.0
    below = SEARCH.task([3, 5, 1], 9)
    assert SEARCH.verify("answer - +", below) == 0.0


@pytest.mark.parametrize("garbage", [None, 7, b"answer + +", ["answer"]])
def test_what_is_no_text_is_wrong_and_leaves_an_empty_trace(garbage):
    assert SEARCH.verify(garbage, QUESTION) == 0.0
    assert answered_operators(garbage) == ()
    assert analyze(garbage, QUESTION) == Trace()


def test_an_impossible_target_is_refused_with_those_that_can_be_made():
    with pytest.raises(ValueError, match=r"target: 98 cannot be made.*\[0, 5, 6, 9\]"):
        SEARCH.task([1, 2, 3], 98)
    for numbers in ([1, 2], [0, 1, 2], [1, 2, 10], [1.5, 2, 3]):
        with pytest.raises(ValueError, match="numbers: expected 3 integers"):
            SEARCH.task(numbers, 3)


def test_the_shortest_response_is_one_try_with_its_answer():
    words = [*write_try([5, 6, 9], ["+", "+"], 20), "answer", "+", "+", "<eos>"]
    assert SEARCH.min_completion_length == len(words)


def test_a_trace_by_hand():
    text = f"{MISS} wait {MISS} wait 5 + 6 = 12 + 9 = 21 ? 20 wait {HIT} answer + +"
    assert analyze(text, QUESTION) == Trace(
        tries=4,
        equations=8,
        correct_equations=7,
        repeated_tries=2,
        hits=1,
        hits_answered=1,
        misses=3,
        misses_retried=3,
        waits=3,
        answered=1,
        solved=1,
    )


def test_a_hit_is_what_is_written_and_giving_up_is_answering_a_miss():
    wrong_sum = "5 - 5 = 0 + 9 = 20 ? 20"  # not even the question's numbers
    trace = analyze(f"{wrong_sum} wait {MISS} answer * -", QUESTION)
    assert (trace.hits, trace.hits_answered) == (1, 0)
    assert (trace.give_ups, trace.answered, trace.solved) == (1, 1, 0)
    assert (trace.equations, trace.correct_equations) == (4, 3)


@pytest.mark.parametrize(
    "part",
    [
        "5 + 6 = 11 + 9 = 20",
        "5 + 6 = 11 + 9 = 20 ? 20 20",
        "5 + 6 = 11 + 9 = ² ? 20",
        "5 + 6 = 11 + 9 = 020 ? 20",
        "5 / 6 = 11 + 9 = 20 ? 20",
        "5 + 6 : 11 + 9 = 20 ? 20",
        "5 + 6 = 11 + 9 = 20 = 20",
        "hm",
    ],
)
def test_what_is_no_try_is_counted_as_malformed(part):
    trace = analyze(f"{part} wait {HIT} answer + +", QUESTION)
    assert (trace.malformed_tries, trace.tries, trace.waits) == (1, 1, 1)


def test_rates_are_shares_of_sums_and_nan_without_anything_to_share():
    rates = trace_rates(
        [
            analyze(f"{MISS} wait {HIT} answer + +", QUESTION),
            analyze(f"{MISS} answer * -", QUESTION),
        ]
    )
    assert rates["arithmetic"] == 1.0
    assert rates["hits_recognized"] == 1.0
    assert rates["misses_retried"] == rates["give_up"] == rates["solved"] == 0.5
    assert (rates["tries"], rates["waits"]) == (1.5, 0.5)
    assert trace_rates([Trace()])["arithmetic"] != trace_rates([Trace()])["arithmetic"]


words = st.sampled_from(
    ["wait", "answer", "等", "+", "-", "*", "=", "?", "5", "6", "20", "9", "x", "99999"]
)


@given(st.lists(words, max_size=60))
def test_any_words_make_a_consistent_trace(text):
    trace = analyze(" ".join(text), QUESTION)
    assert trace.tries == trace.hits + trace.misses
    assert trace.correct_equations <= trace.equations == 2 * trace.tries
    assert trace.misses_retried + trace.give_ups <= trace.misses
    assert trace.hits_answered <= trace.hits
    assert trace.solved == SEARCH.verify(" ".join(text), QUESTION)


@given(st.text())
def test_any_text_has_a_score_and_a_trace(text):
    assert SEARCH.verify(text, QUESTION) in (0.0, 1.0)
    analyze(text, QUESTION)


def test_each_written_try_reads_back_as_what_it_was():
    for numbers in itertools.product((1, 4, 9), repeat=3):
        for operators, value in legal_tries(numbers).items():
            question = SEARCH.task(numbers, value)
            text = " ".join(write_try(numbers, operators, value))
            trace = analyze(f"{text} answer {' '.join(operators)}", question)
            assert (trace.hits, trace.correct_equations, trace.solved) == (1, 2, 1)


def test_all_sizes_come_in_turn():
    task_set = load_task("search-all")
    for count in (0, 1, 7, 32):
        drawn = task_set.sample(count, seed=0, step=1)
        sizes = [len(question.columns["numbers"]) for question in drawn]
        assert len(drawn) == count and sizes == sorted(sizes)
        counts = [sizes.count(size) for size in (2, 3, 4)]
        assert max(counts) - min(counts) <= 1
    held_out = task_set.held_out()
    assert [len(q.columns["numbers"]) for q in held_out[:6]] == [2, 3, 4, 2, 3, 4]
    assert len(held_out) == 128
    train = {
        q.prompt for step in range(20) for q in task_set.sample(64, seed=0, step=step)
    }
    assert not train & {question.prompt for question in held_out}


def test_all_sizes_verify_as_the_size_itself():
    task_set = load_task("search-all")
    question = task_set.task([2, 7], 14)
    assert task_set.verify("2 * 7 = 14 ? 14 answer *", question) == 1.0
    assert task_set.verify("2 + 7 = 9 ? 14 answer +", question) == 0.0
    with pytest.raises(ValueError, match="expected 2, 3 or 4"):
        task_set.task([1, 2, 3, 4, 5], 15)
    assert (
        task_set.min_completion_length == load_task("search-hard").min_completion_length
    )
