"""Reward functions in TRL's contract: f(completions, **columns) -> list[float | None].

A reward is called with keywords only: `prompts, completions, completion_ids,
trainer_state, log_extra, log_metric` and every other dataset column, one value per
completion. A completion is a `str` or a list of chat messages. A reward gives one
float per completion, `None` where it does not apply, never raises on a text, never
evaluates it, and its `__name__` is its key in the logs. Parameterized rewards come
from `get_…` functions and can be pickled. Weights belong to the config.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlnotes.equations.shaping import soft_overlong_punishment
from rlnotes.equations.validation import check_range
from rlnotes.rewards.language import share_of_words
from rlnotes.tasks.base import Task
from rlnotes.tasks.verdicts import verify_answer

Rewards = list[float | None]
RewardFunction = Callable[..., Rewards]


def completion_text(completion: object) -> str:
    """The text of a completion: the string itself, or its last message's content.

    A content given in parts is joined from the parts' "text". Anything else (None,
    bytes, numbers, messages without content) is the empty text.
    """
    if isinstance(completion, str):
        return completion
    if not isinstance(completion, Sequence) or isinstance(completion, bytes):
        return ""
    last = completion[-1] if len(completion) else None
    content = last.get("content") if isinstance(last, Mapping) else None
    if isinstance(content, list | tuple):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def accuracy_reward(
    completions: Sequence[Any], answer: Sequence[Any], **kwargs: Any
) -> Rewards:
    """Rule-based accuracy: is the final answer of the completion the reference?

    R_acc = 1[answer(y) = answer] ∈ {0, 1}; DeepSeek-R1 §2.2, and DAPO Eq 7 up to the
    affine map 2·R − 1. The answer is the whole of what stands in the last \\boxed{…} or
    the only <answer> block, or the last number of a text without either; numbers are
    compared exactly, formulas by math-verify (`tasks.verdicts`). A reference that is
    neither a number nor a formula, or None: None.
    """
    return [
        None
        if reference is None
        else verify_answer(completion_text(text), str(reference))
        for text, reference in zip(completions, answer, strict=True)
    ]


@dataclass(frozen=True)
class _Accuracy:
    verify: Callable[[str, Task], float]
    __name__ = "accuracy_reward"

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        answer: Sequence[str],
        **columns: Any,
    ) -> Rewards:
        columns.pop("completion_ids", None)
        rows = range(len(completions))
        per_row = {k: v for k, v in columns.items() if isinstance(v, list | tuple)}
        given = {"prompts": prompts, "answer": answer, **per_row}
        for name, values in given.items():
            _check_column(name, values, len(completions))
        tasks = [
            Task(prompts[i], str(answer[i]), {k: v[i] for k, v in per_row.items()})
            for i in rows
        ]
        return [
            None
            if answer[i] is None
            else self.verify(completion_text(completions[i]), tasks[i])
            for i in rows
        ]


def get_accuracy_reward(verify: Callable[[str, Task], float]) -> RewardFunction:
    """Accuracy by a task's own verifier: get_accuracy_reward(task_set.verify).

    R_acc = verify(y, task) ∈ [0, 1]; None where the answer is None. The task is
    rebuilt from the columns. The log key is "accuracy_reward".
    """
    return _Accuracy(verify)


_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def format_reward(completions: Sequence[Any], **kwargs: Any) -> Rewards:
    """R1's output format: <think> reasoning </think> <answer> answer </answer>.

    R_format = 1 if the whole completion is these two blocks, in this order, with
    nothing but white space around and between them, each tag once (in any case) and
    written in lower case, and neither block blank; else 0. DeepSeek-R1-Zero, Table 1.
    """
    return [float(_is_r1_format(completion_text(text))) for text in completions]


def _is_r1_format(text: str) -> bool:
    lowered = text.lower()
    if any(lowered.count(tag) != 1 for tag in _TAGS):
        return False
    before, opened, rest = text.partition("<think>")
    thought, closed, rest = rest.partition("</think>")
    between, answer_opened, rest = rest.partition("<answer>")
    answer, answer_closed, after = rest.partition("</answer>")
    ordered = opened and closed and answer_opened and answer_closed
    outside = before.strip() or between.strip() or after.strip()
    return bool(ordered and not outside and thought.strip() and answer.strip())


_BRACKETED = re.compile(r"\.*<[0-9]>;?")


def bracket_format_reward(completions: Sequence[Any], **kwargs: Any) -> Rewards:
    """Format of the scratch-addition task: dots, then the answer in brackets, "..<7>".

    R_format = 1 if the whole completion matches, with or without the end character.
    """
    return [
        float(_BRACKETED.fullmatch(completion_text(text)) is not None)
        for text in completions
    ]


@dataclass(frozen=True)
class _Length:
    max_length: int
    __name__ = "length_reward"

    def __call__(self, completion_ids: Sequence[Any], **kwargs: Any) -> Rewards:
        return [float(len(ids) <= self.max_length) for ids in completion_ids]


def get_length_reward(max_length: int) -> RewardFunction:
    """GDPO's length reward: R_len = 1[|y| ≤ max_length] (GDPO: 4,000 tokens).

    |y| counts the tokens of `completion_ids` without padding, the eos included, as
    TRL does. Raises ValueError unless max_length ≥ 1.
    """
    check_range("max_length", max_length, low=1, integer=True)
    return _Length(max_length)


@dataclass(frozen=True)
class _SoftOverlongPunishment:
    max_completion_len: int
    soft_punish_cache: int
    __name__ = "soft_overlong_punishment_reward"

    def __call__(self, completion_ids: Sequence[Any], **kwargs: Any) -> Rewards:
        lengths = [len(ids) for ids in completion_ids]
        punishment = soft_overlong_punishment(
            torch.tensor(lengths, dtype=torch.float64),
            max_completion_len=self.max_completion_len,
            soft_punish_cache=self.soft_punish_cache,
        )
        return [float(value) for value in punishment]


def get_soft_overlong_punishment(
    max_completion_len: int, soft_punish_cache: int
) -> RewardFunction:
    """DAPO's soft overlong punishment, a reward to be added to the accuracy.

    R_length(y) = `shaping.soft_overlong_punishment` of |y|  (DAPO Eq 13)

    |y| in tokens of `completion_ids`, the eos included. DAPO: L_max = 20,480 and
    L_cache = 4,096. Raises ValueError unless 0 ≤ soft_punish_cache ≤
    max_completion_len and max_completion_len ≥ 1.
    """
    reward = _SoftOverlongPunishment(max_completion_len, soft_punish_cache)
    reward(completion_ids=[[]])  # refuses wrong limits here, not in the first step
    return reward


@dataclass(frozen=True)
class _LanguageConsistency:
    language: str
    __name__ = "language_consistency_reward"

    def __call__(self, completions: Sequence[Any], **kwargs: Any) -> Rewards:
        return [
            share_of_words(completion_text(text), language=self.language)
            for text in completions
        ]


def get_language_consistency_reward(language: str = "en") -> RewardFunction:
    """R1's language consistency: the share of words in the target language.

    R_language = #words in the target language / #words ∈ [0, 1]  (DeepSeek-R1 §3)

    Words and languages as in `rewards.language.share_of_words`; a text without a word
    scores 0. Raises ValueError on an unknown language.
    """
    share_of_words("", language=language)
    return _LanguageConsistency(language)


def language_consistency_reward(completions: Sequence[Any], **kwargs: Any) -> Rewards:
    """get_language_consistency_reward("en"): share of words in Latin script."""
    return get_language_consistency_reward("en")(completions=completions)


def reward_name(reward_func: Callable[..., Any]) -> str:
    """The log key of a reward: its `__name__`, that of the function in a partial."""
    while hasattr(reward_func, "func"):
        reward_func = reward_func.func
    return getattr(reward_func, "__name__", type(reward_func).__name__)


def _ignore(*args: Any) -> None:
    """The `log_extra` and `log_metric` of a caller without a log."""


def compute_rewards(
    reward_funcs: Sequence[RewardFunction],
    *,
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    **columns: Any,
) -> torch.Tensor:
    """All rewards of N completions: a float32 tensor (N, K), NaN where None.

    Calls each function as TRL 1.16 does: keywords only, every column a list of N
    values, `trainer_state`, `log_extra` and `log_metric` from the caller or inert.
    Raises ValueError, naming the function or the argument, if a list has not N values
    or a reward is not a finite float32 or None.
    """
    rows = len(completions)
    given = {"prompts": prompts, "completion_ids": completion_ids, **columns}
    context = {
        "trainer_state": given.pop("trainer_state", None),
        "log_extra": given.pop("log_extra", None) or _ignore,
        "log_metric": given.pop("log_metric", None) or _ignore,
    }
    for name, values in given.items():
        _check_column(name, values, rows)
    rewards = torch.empty(rows, len(reward_funcs), dtype=torch.float32)
    for k, reward_func in enumerate(reward_funcs):
        values = reward_func(completions=completions, **given, **context)
        rewards[:, k] = check_values(values, rows, reward_name(reward_func))
    return rewards


def _check_column(name: str, values: Any, rows: int) -> None:
    """Raise ValueError unless `values` is a list or the like of `rows` values."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise ValueError(f"{name}: expected a list of {rows} values, got {values!r}")
    if len(values) != rows:
        raise ValueError(f"{name}: expected {rows} values, got {len(values)}")


def check_values(values: Any, rows: int, name: str) -> torch.Tensor:
    """The values of one reward as a float32 tensor (N,), or ValueError naming it."""
    try:
        values = list(values)
        numbers = [math.nan if value is None else _number(value) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: expected a list of floats: {error}") from error
    if len(numbers) != rows:
        raise ValueError(f"{name}: expected {rows} rewards, got {len(numbers)}")
    column = torch.tensor(numbers, dtype=torch.float32)
    for i in (~torch.isfinite(column)).nonzero().flatten().tolist():
        if values[i] is not None:
            raise ValueError(
                f"{name}: reward {i} is {values[i]}, not finite in float32"
            )
    return column


def _number(value: Any) -> float:
    """float(value), but a text is no number."""
    if isinstance(value, str | bytes):
        raise TypeError(f"{value!r} is a text")
    return float(value)
