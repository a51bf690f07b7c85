"""Rewards: TRL's contract, hostile text, and the exact values of each formula."""

import functools
import inspect
import math
import os
import pickle
import re
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from rlnotes.equations.shaping import soft_overlong_punishment
from rlnotes.rewards.language import LANGUAGE_SCRIPTS
from rlnotes.rewards.rewards import (
    accuracy_reward,
    bracket_format_reward,
    completion_text,
    compute_rewards,
    format_reward,
    get_accuracy_reward,
    get_language_consistency_reward,
    get_length_reward,
    get_soft_overlong_punishment,
    language_consistency_reward,
    reward_name,
)
from rlnotes.tasks.base import Task
from rlnotes.tasks.loading import load_task

GOOD = "<think>7 times 8</think><answer>56</answer>"
TEXT_REWARDS = [
    format_reward,
    bracket_format_reward,
    language_consistency_reward,
    *map(get_language_consistency_reward, LANGUAGE_SCRIPTS),
    functools.partial(accuracy_reward, answer=["7"]),
    functools.partial(
        get_accuracy_reward(load_task("addition").verify), prompts=["?"], answer=["7"]
    ),
]
ODD = [
    None,
    7,
    7.0,
    math.nan,
    True,
    b"<think>a</think><answer>7</answer>",
    bytearray(b"7"),
    [],
    (),
    {},
    {"content": "7"},
    [None],
    [7],
    ["7"],
    [{}],
    [[]],
    [{"role": "assistant"}],
    [{"role": "assistant", "content": None}],
    [{"role": "assistant", "content": 7}],
    [{"role": "assistant", "content": {"text": "7"}}],
    [{"role": "assistant", "content": [None, 7, {}, {"text": 7}, {"text": None}]}],
    range(10**9),
    object(),
]


def message(text: object) -> list[dict[str, object]]:
    return [{"role": "assistant", "content": text}]


# ------------------------------------------------------------ completion text


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("7", "7"),
        ("", ""),
        (message("7"), "7"),
        ([{"role": "tool", "content": "1"}, *message("7")], "7"),
        (message([{"type": "text", "text": "7"}, {"type": "image"}]), "7"),
        (message([{"text": "4"}, {"text": "2"}]), "42"),
        *[(odd, "") for odd in ODD],
    ],
)
def test_completion_text(completion, text) -> None:
    assert completion_text(completion) == text


# ------------------------------------------------ never raise, always a number


@pytest.mark.parametrize("reward", TEXT_REWARDS, ids=reward_name)
@pytest.mark.parametrize("completion", ODD, ids=lambda odd: str(odd)[:20])
def test_odd_completions_score_zero(reward, completion) -> None:
    assert reward(completions=[completion]) == [0.0]


@pytest.mark.parametrize("reward", TEXT_REWARDS, ids=reward_name)
@given(text=st.text())
def test_any_text_gets_a_score_in_the_unit_interval(reward, text) -> None:
    [score] = reward(completions=[text])
    assert type(score) is float and 0.0 <= score <= 1.0
    assert reward(completions=[text]) == [score] == reward(completions=[message(text)])


NO_TAG = r"(?!</?(?:think|answer)>)"
BLOCK = rf"(?:{NO_TAG}.)*?{NO_TAG}\S(?:{NO_TAG}.)*"
R1 = re.compile(rf"\s*<think>{BLOCK}</think>\s*<answer>{BLOCK}</answer>\s*", re.DOTALL)
pieces = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", " ", "\n", "x"]
)
texts = st.one_of(
    st.lists(pieces, max_size=10),
    st.permutations(["<think>", "x", "</think>", "<answer>", "7", "</answer>"]),
    st.lists(st.sampled_from(" \nx7<"), min_size=5, max_size=5).map(
        lambda gaps: [
            *(gaps[0], "<think>", gaps[1], "</think>", gaps[2]),
            *("<answer>", gaps[3], "</answer>", gaps[4]),
        ]
    ),
)


@example("<think><think></think><answer>x</answer>")
@given(texts.map("".join))
def test_r1_format_agrees_with_a_regular_expression(text) -> None:
    # quadratic on hostile text, hence not the implementation
    assert format_reward(completions=[text]) == [float(bool(R1.fullmatch(text)))]


HOSTILE = {
    "opening tags": "<think>" * 150_000,
    "answers": "<answer>7</answer>" * 60_000,
    "brackets": "<" * 10**6,
    "dots": "." * 10**6,
    "digits": "7" * 10**6,
    "marks": "a" + "\u0301\u0316" * 500_000,
    "ligatures": "\ufdfa" * 300_000,
    "backslashes": "\\" * 10**6,
    "commands": "\\a" * 500_000,
    "mixed scripts": "\u597da" * 500_000,
    "long thought": f"<think>{'x' * 10**6}</think><answer>7</answer>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_takes_linear_time(name) -> None:
    start = time.process_time()
    for reward in (format_reward, bracket_format_reward, language_consistency_reward):
        reward(completions=[HOSTILE[name]])
    accuracy_reward(completions=[HOSTILE[name]], answer=["7"])
    assert time.process_time() - start < 8  # measured: up to 0.6 s


# -------------------------------------------------------------------- accuracy


def test_accuracy_reward() -> None:
    completions = ["7 * 8 = 56", "56 or 57", message("56."), "", "fifty-six", "56"]
    answers = ["56", "56", "56", "56", "56", None]
    expected = [1.0, 0.0, 1.0, 0.0, 0.0, None]
    assert accuracy_reward(completions=completions, answer=answers) == expected


def test_accuracy_reward_does_not_apply_without_a_number_to_match() -> None:
    assert accuracy_reward(completions=["cat", "7"], answer=["cat", ""]) == [None, None]


def test_accuracy_reward_takes_integers_as_answers() -> None:
    assert accuracy_reward(completions=["7", "8"], answer=[7, 7]) == [1.0, 0.0]


def test_accuracy_reward_refuses_a_column_of_another_length() -> None:
    with pytest.raises(ValueError):
        accuracy_reward(completions=["7"], answer=["7", "8"])


def test_get_accuracy_reward_rebuilds_the_task() -> None:
    seen: list[tuple[str, Task]] = []

    def verify(completion: str, task: Task) -> float:
        seen.append((completion, task))
        return 0.5

    reward = get_accuracy_reward(verify)
    assert reward(
        prompts=["a", "b"],
        completions=["1", message("2")],
        completion_ids=[[1], [2]],
        answer=["3", "4"],
        level=["easy", "hard"],
        trainer_state=None,
        log_extra=print,
        log_metric=print,
    ) == [0.5, 0.5]
    assert seen == [
        ("1", Task("a", "3", {"level": "easy"})),
        ("2", Task("b", "4", {"level": "hard"})),
    ]


def test_get_accuracy_reward_does_not_apply_without_an_answer() -> None:
    reward = get_accuracy_reward(lambda text, task: 1.0)
    scores = reward(prompts=["a", "b"], completions=["1", "2"], answer=[None, "2"])
    assert scores == [None, 1.0]


def test_get_accuracy_reward_with_reasoning_gym() -> None:
    pytest.importorskip("reasoning_gym")
    task_set = load_task("reasoning_gym/spell_backward")
    tasks = task_set.held_out()[:2]
    columns = {key: [task.columns[key] for task in tasks] for key in tasks[0].columns}
    reward = get_accuracy_reward(task_set.verify)
    scores = reward(
        prompts=[task.prompt for task in tasks],
        completions=[tasks[0].answer, tasks[0].answer],
        answer=[task.answer for task in tasks],
        **columns,
    )
    assert scores[0] == 1.0 and scores[1] < 1.0


# ---------------------------------------------------------------------- format


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "<think>a</think> <answer>7</answer>",
        "\n <think>\na\n</think>\n\n<answer>\n7\n</answer>\n",
        "<think>a < b > c</think><answer><b>7</b></answer>",
        "<think>think answer</think><answer>answer</answer>",
        "<think>\u4f60</think><answer>\u4e03</answer>",
    ],
)
def test_r1_format(text) -> None:
    assert format_reward(completions=[text, message(text)]) == [1.0, 1.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "56",
        "<think></think><answer></answer>",
        "<think> \n</think><answer>7</answer>",  # empty thought
        "<think>a</think><answer> \t</answer>",  # empty answer
        "<think>a</think>",
        "<answer>7</answer>",
        "<answer>7</answer><think>a</think>",  # wrong order
        "<think>a<answer>7</answer></think>",  # answer inside the thought
        "<answer><think>a</think>7</answer>",
        "<think>a</answer></think><answer>7",  # closed before it is opened
        "<think><think>a</think></think><answer>7</answer>",  # nested
        "<think>a<think>b</think><answer>7</answer>",
        "<think>a</think><think>b</think><answer>7</answer>",
        "<think>a</think><answer>7</answer><answer>8</answer>",  # two answers
        "<think>a</think><answer>7<answer>8</answer></answer>",
        "<think>a</think><answer><think>7</think></answer>",  # tags inside
        "<think>a</think><answer>7</answer> so 7",  # text after
        "so <think>a</think><answer>7</answer>",  # text before
        "<think>a</think> so <answer>7</answer>",  # text between
        "<Think>a</Think><Answer>7</Answer>",  # case
        "<THINK>a</THINK><ANSWER>7</ANSWER>",
        "<think>a</think><answer>7</ANSWER>",
        "<think>a<THINK></think><answer>7</answer>",
        "< think>a</think><answer>7</answer>",
        "<think>a</think ><answer>7</answer>",
        "<think>a<think/><answer>7</answer>",
        "</think>a<think></answer>7<answer>",
        "<think>a</think><answer>7</answer",
        "<think>a</think>\u200b<answer>7</answer>",  # zero-width space is text
        GOOD + GOOD,
    ],
)
def test_not_r1_format(text) -> None:
    assert format_reward(completions=[text]) == [0.0]


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("<7>", 1.0),
        ("..<7>", 1.0),
        ("..<7>;", 1.0),
        ("..7", 0.0),
        ("..<7", 0.0),
        ("<7>.", 0.0),
        ("<77>", 0.0),
        ("<<7>>", 0.0),
        ("<\u0667>", 0.0),
        ("<7>\n", 0.0),
        ("", 0.0),
    ],
)
def test_bracket_format(text, score) -> None:
    assert bracket_format_reward(completions=[text]) == [score]


# ---------------------------------------------------------------------- length


def test_length_reward_counts_tokens_up_to_and_with_the_limit() -> None:
    ids = [[], [1] * 3, [1] * 4, [1] * 5]
    assert get_length_reward(4)(completion_ids=ids) == [1.0, 1.0, 1.0, 0.0]
    assert get_length_reward(1)(completion_ids=[[1], [1] * 2]) == [1.0, 0.0]


@pytest.mark.parametrize("limit", [0, -1, 2.5, None, "4"])
def test_length_reward_refuses_a_wrong_limit(limit) -> None:
    with pytest.raises(ValueError, match="^max_length must be an integer"):
        get_length_reward(limit)


def test_soft_overlong_punishment_by_hand() -> None:
    reward = get_soft_overlong_punishment(100, 20)
    lengths = [0, 79, 80, 81, 90, 99, 100, 101, 1000]
    expected = [0.0, 0.0, 0.0, -0.05, -0.5, -0.95, -1.0, -1.0, -1.0]
    assert reward(completion_ids=[[0] * n for n in lengths]) == expected


def test_soft_overlong_punishment_without_a_cache_is_a_hard_limit() -> None:
    reward = get_soft_overlong_punishment(3, 0)
    assert reward(completion_ids=[[0] * n for n in (2, 3, 4)]) == [0.0, 0.0, -1.0]


@given(st.data())
def test_soft_overlong_punishment_is_the_function_of_shaping(data) -> None:
    limit = data.draw(st.integers(1, 60))
    cache = data.draw(st.integers(0, limit))
    lengths = list(range(70))
    got = get_soft_overlong_punishment(limit, cache)(
        completion_ids=[[0] * n for n in lengths]
    )
    expected = soft_overlong_punishment(
        torch.tensor(lengths, dtype=torch.float64),
        max_completion_len=limit,
        soft_punish_cache=cache,
    )
    assert got == expected.tolist()
    assert got == sorted(got, reverse=True)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ((0, 0), "max_completion_len"),
        ((-5, 2), "max_completion_len"),
        ((10, -1), "soft_punish_cache"),
        ((10, 11), "soft_punish_cache"),
        ((10, 2.5), "soft_punish_cache"),
    ],
)
def test_soft_overlong_punishment_refuses_wrong_limits(limits, name) -> None:
    with pytest.raises(ValueError, match=name):
        get_soft_overlong_punishment(*limits)


# -------------------------------------------------------------------- language


@pytest.mark.parametrize(
    ("language", "text", "share"),
    [
        ("en", "so the answer is", 1.0),
        ("en", "so \u7b54\u6848 is", 0.5),  # two words, two Han letters
        ("zh", "so \u7b54\u6848 is", 0.5),
        ("zh", "\u7b54\u6848", 1.0),
        ("zh", "\u7b54\u6848 is", 2 / 3),
        ("en", "7 * 8 = 56!", 0.0),  # no words: defined as 0
        ("en", "", 0.0),
        ("zh", "\u7b54\u6848 = 56!", 1.0),  # digits and signs are neutral
        ("en", "don't it's o\u2019clock \u5728", 0.75),  # apostrophes join
        ("en", "na\u00efve cafe\u0301", 1.0),  # accents, combining marks
        ("en", "\uff41\uff42\uff43 \u0434\u0430", 0.5),  # full-width Latin
        ("en", "p\u0430ypal", 2 / 3),  # a Cyrillic letter splits the word
        ("ru", "\u0434\u0430 yes", 0.5),
        ("ja", "\u30e9\u30fc\u30e1\u30f3\u3068\u6c34", 1.0),
        ("ko", "\ub124 yes no", 1 / 3),
        ("hi", "\u0939\u093f\u0928\u094d\u0926\u0940 yes", 0.5),
        ("el", "\u03bd\u03b1\u03b9", 1.0),
        ("ar", "\u0646\u0639\u0645 no", 0.5),
        ("he", "\u05db\u05df", 1.0),
        ("th", "\u0e44\u0e17\u0e22", 1.0),
        ("zh", "<think>\u7b54</think><answer>\u6848</answer>", 1.0),  # tags neutral
        ("zh", "\u7b54 \\frac{1}{2}", 1.0),  # LaTeX commands neutral
        ("en", "a_b", 1.0),
    ],
)
def test_language_consistency(language, text, share) -> None:
    reward = get_language_consistency_reward(language)
    assert reward(completions=[text]) == [pytest.approx(share)]


def test_language_consistency_is_english_by_default() -> None:
    texts = ["yes \u7b54", "\u7b54"]
    assert language_consistency_reward(completions=texts) == [0.5, 0.0]
    assert get_language_consistency_reward()(completions=texts) == [0.5, 0.0]


@given(st.lists(st.sampled_from(["yes", "so", "\u7b54", "\u6848", "7", "="])))
def test_shares_of_two_languages_add_up_to_one(words) -> None:
    text = " ".join(words)
    [en] = get_language_consistency_reward("en")(completions=[text])
    [zh] = get_language_consistency_reward("zh")(completions=[text])
    has_words = any(word not in "7=" for word in words)
    assert en + zh == pytest.approx(1.0 if has_words else 0.0)


@pytest.mark.parametrize("language", ["english", "", None, "EN"])
def test_an_unknown_language_is_refused_with_the_known_ones(language) -> None:
    with pytest.raises(ValueError, match="language.*en, zh"):
        get_language_consistency_reward(language)


# -------------------------------------------------------------- names, pickling

PARAMETERIZED = {
    "accuracy_reward": get_accuracy_reward(load_task("addition").verify),
    "length_reward": get_length_reward(4),
    "soft_overlong_punishment_reward": get_soft_overlong_punishment(8, 4),
    "language_consistency_reward": get_language_consistency_reward("zh"),
}
EVERY = [
    accuracy_reward,
    format_reward,
    bracket_format_reward,
    language_consistency_reward,
    *PARAMETERIZED.values(),
]
COLUMNS = {
    "prompts": ["?", "?"],
    "completions": ["7", GOOD],
    "completion_ids": [[1] * 3, [1] * 7],
    "answer": ["7", "56"],
}


@pytest.mark.parametrize("name", PARAMETERIZED)
def test_parameterized_rewards_are_named_and_picklable(name) -> None:
    reward = PARAMETERIZED[name]
    assert reward.__name__ == name == reward_name(reward)
    copy = pickle.loads(pickle.dumps(reward))
    assert copy(**COLUMNS) == reward(**COLUMNS)


def test_reward_name_of_functions_partials_and_objects() -> None:
    class Custom:
        def __call__(self, **kwargs: object) -> list[float]:
            return []

    assert reward_name(format_reward) == "format_reward"
    assert reward_name(functools.partial(format_reward)) == "format_reward"
    assert reward_name(Custom()) == "Custom"


@pytest.mark.parametrize("reward", EVERY, ids=reward_name)
def test_every_reward_takes_whatever_trl_passes(reward) -> None:
    scores = reward(
        **COLUMNS,
        trainer_state=object(),
        log_extra=print,
        log_metric=print,
        unknown_column=[1, 2],
    )
    assert [type(score) for score in scores] == [float, float]
    call = reward if inspect.isfunction(reward) else type(reward).__call__
    kinds = [p.kind for p in inspect.signature(call).parameters.values()]
    assert inspect.Parameter.VAR_KEYWORD in kinds


@pytest.mark.parametrize("reward", EVERY, ids=reward_name)
def test_no_completions_no_rewards(reward) -> None:
    assert reward(prompts=[], completions=[], completion_ids=[], answer=[]) == []


def test_rewards_need_neither_transformers_nor_trl() -> None:
    code = """
import sys
import rlnotes.rewards.rewards
heavy = {"transformers", "trl", "pandas", "matplotlib", "reasoning_gym"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------- compute_rewards


def test_compute_rewards_is_one_column_per_function() -> None:
    rewards = compute_rewards(
        [accuracy_reward, format_reward, PARAMETERIZED["length_reward"]], **COLUMNS
    )
    assert rewards.dtype == torch.float32
    assert rewards.tolist() == [[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]


def test_compute_rewards_turns_none_into_nan() -> None:
    columns = {**COLUMNS, "answer": ["7", None]}
    rewards = compute_rewards([accuracy_reward, format_reward], **columns)
    assert rewards[0].tolist() == [1.0, 0.0]
    assert math.isnan(rewards[1, 0]) and rewards[1, 1] == 1.0


def test_compute_rewards_calls_as_trl_does() -> None:
    seen: dict[str, object] = {}

    def spy(*args: object, **kwargs: object) -> list[float]:
        assert not args
        seen.update(kwargs)
        kwargs["log_extra"]("column", [1, 2])  # type: ignore[operator]
        kwargs["log_metric"]("name", 1.0)  # type: ignore[operator]
        return [0.0, 1.0]

    compute_rewards([spy], **COLUMNS, level=[1, 2])
    assert set(seen) == {
        *COLUMNS,
        "level",
        "trainer_state",
        "log_extra",
        "log_metric",
    }
    logged: list[object] = []
    compute_rewards(
        [spy], **COLUMNS, trainer_state=7, log_metric=lambda *a: logged.append(a)
    )
    assert seen["trainer_state"] == 7 and logged == [("name", 1.0)]
    compute_rewards([spy], **COLUMNS, log_extra=lambda *a: logged.append(a))
    assert logged[1:] == [("column", [1, 2])]


@pytest.mark.parametrize(
    "values",
    [
        [0.0],
        [0.0, 1.0, 2.0],
        [],
        [0.0, math.nan],
        [0.0, math.inf],
        [0.0, -math.inf],
        [0.0, 1e39],  # finite, but not in float32
        [0.0, 10**400],
        [0.0, "1.0"],
        [0.0, [1.0]],
        [0.0, {}],
        [0.0, torch.zeros(2)],
        None,
        1.0,
        "01",
    ],
    ids=str,
)
def test_compute_rewards_names_a_function_that_returns_nonsense(values) -> None:
    def nonsense_reward(**kwargs: object) -> object:
        return values

    with pytest.raises(ValueError, match="nonsense_reward"):
        compute_rewards([format_reward, nonsense_reward], **COLUMNS)


@pytest.mark.parametrize(
    "values", [[True, 2], (0.5, None), torch.tensor([0.0, 1.0]), iter([0.0, 1.0])]
)
def test_compute_rewards_takes_what_is_a_list_of_numbers(values) -> None:
    rewards = compute_rewards([lambda **kwargs: values], **COLUMNS)
    assert rewards.shape == (2, 1)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("prompts", ["?"]),
        ("completion_ids", [[1]] * 3),
        ("answer", ["7"]),
        ("answer", "77"),
        ("level", 3),
        ("level", None),
    ],
)
def test_compute_rewards_names_a_column_of_another_length(name, values) -> None:
    with pytest.raises(ValueError, match=name):
        compute_rewards([format_reward], **{**COLUMNS, name: values})


def test_compute_rewards_says_that_a_text_is_no_number() -> None:
    with pytest.raises(ValueError, match="list of floats: '1.0' is a text$"):
        compute_rewards([lambda **kwargs: [0.0, "1.0"]], **COLUMNS)


def test_compute_rewards_are_float32_whatever_the_default_is() -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert compute_rewards([format_reward], **COLUMNS).dtype == torch.float32
        with pytest.raises(ValueError, match="not finite in float32"):
            compute_rewards([lambda **kwargs: [0.0, 1e39]], **COLUMNS)
    finally:
        torch.set_default_dtype(before)


def test_compute_rewards_of_nothing() -> None:
    empty = {name: [] for name in COLUMNS}
    assert compute_rewards([format_reward], **empty).shape == (0, 1)


# ------------------------------------------------------------------------ TRL


@pytest.mark.trl
@pytest.mark.parametrize("chat", [False, True])
def test_trl_trains_a_step_with_these_rewards(tmp_path, chat, monkeypatch) -> None:
    for name in (
        "HF_HUB_OFFLINE",
        "HF_HUB_DISABLE_TELEMETRY",
        "TRL_EXPERIMENTAL_SILENCE",
    ):
        monkeypatch.setitem(os.environ, name, "1")
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    from tests.conftest import random_policy

    policy = random_policy()
    policy.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    tasks = load_task("scratch-addition").sample(4, seed=0, step=0)
    prompts = [
        [{"role": "user", "content": task.prompt}] if chat else task.prompt
        for task in tasks
    ]
    calls: list[dict[str, object]] = []

    def spy_reward(**kwargs: object) -> list[float]:
        calls.append(kwargs)
        return [0.0] * len(kwargs["completions"])  # type: ignore[arg-type]

    rewards = [*EVERY[:4], *list(PARAMETERIZED.values())[1:3], spy_reward]
    trainer = trl.GRPOTrainer(
        model=policy.model,
        reward_funcs=rewards,
        processing_class=policy.tokenizer,
        train_dataset=datasets.Dataset.from_dict(
            {"prompt": prompts, "answer": [task.answer for task in tasks]}
        ),
        args=trl.GRPOConfig(
            str(tmp_path),
            report_to="none",
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=8,
            max_steps=1,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
        ),
    )
    trainer.train()
    log = trainer.state.log_history[0]
    [call] = calls
    own = compute_rewards(rewards[:-1], **call)  # type: ignore[arg-type]
    assert isinstance(call["completions"][0], list if chat else str)  # type: ignore[index]
    for k, reward in enumerate(rewards[:-1]):
        mean = own[:, k].nanmean().item()
        assert log[f"rewards/{reward_name(reward)}/mean"] == pytest.approx(mean)
