"""reasoning-gym's procedural datasets as task sets (the extra `tasks`)."""

import math
import re
from functools import cached_property, lru_cache, partial
from itertools import cycle, islice
from typing import Any

from rlnotes.equations.validation import check_choice
from rlnotes.tasks.base import Task
from rlnotes.tasks.final_answers import final_number, outside_thought, written_answer
from rlnotes.tasks.numbers import read_number, same_number
from rlnotes.tasks.splits import check_sample, stable_hash

# Scorers that call eval or sympy.parse_expr on the model's text: only an answer of this
# form may reach them. None: no form is safe (powers can run for ever, or, for
# "composite", the scorer may be any of these).
_ARITHMETIC_ONLY = r"(?:[0-9+\-() .]|\*(?!\s*\*)|/(?!\s*/)){1,200}"
_NUMBERS_ONLY = r"[0-9\s,\[\]]{1,2000}"
_SAFE_ANSWERS: dict[str, str | None] = {
    "countdown": _ARITHMETIC_ONLY,
    "puzzle24": _ARITHMETIC_ONLY,
    "binary_matrix": _NUMBERS_ONLY,
    "spiral_matrix": _NUMBERS_ONLY,
    "n_queens": r"[Q_\s,\[\]'\"]{1,2000}",
    "string_insertion": r"[A-E\s,\[\]'\"]{1,2000}",
    "composite": None,
    "intermediate_integration": None,
    "polynomial_multiplication": None,
    "simple_integration": None,
}


class ReasoningGym:
    """A reasoning-gym dataset as a task set; its own `score_answer` verifies.

    Held-out tasks are the distinct questions among the first 64 of dataset seed 0 (a
    quarter of them where fewer than 48 are distinct: a small dataset). Training
    tasks come from dataset seeds derived from (seed, step), far away from 0, and skip
    what is held out; a batch repeats none while the dataset has more. Questions are
    compared as text: that 3 + 7 is 7 + 3 is not known here.

    Raises ValueError on an unknown dataset, wrong options, or a dataset whose scorer
    would evaluate the model's text as code; ImportError without reasoning_gym.
    """

    _HELD_OUT_DRAWS = 64
    _FIRST_TRAIN_SEED = 2**20

    def __init__(
        self, dataset: str, *, partial_credit: bool | str = False, **options: Any
    ) -> None:
        check_choice("partial_credit", partial_credit, (False, True, "false", "true"))
        self._partial_credit = partial_credit in (True, "true")
        _check_dataset(dataset, options)
        self.name = f"reasoning_gym/{dataset}"
        self._dataset, self._options = dataset, options
        self._source = lru_cache(maxsize=8)(self._new_source)
        self._entry = lru_cache(maxsize=4096)(self._new_entry)
        try:
            self._source(0)
        except (TypeError, AssertionError) as error:
            raise ValueError(f"{self.name}: options {options}: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name and options."""
        options = {"partial_credit": self._partial_credit, **self._options}
        return partial(ReasoningGym, self._dataset, **options), ()

    def sample(self, count: int, *, seed: int, step: int) -> list[Task]:
        """`count` training tasks; repeats only if the dataset has too few questions.

        Looks at no more than `size` questions of the dataset (an option, 512).
        """
        check_sample(count, seed, step)
        source_seed = self._FIRST_TRAIN_SEED + stable_hash(f"{seed}/{step}") % 2**31
        held_out = {task.columns["question"] for task in self._held_out}
        tasks = self._draw(source_seed, count, skip=held_out)
        if count and not tasks:
            raise ValueError(
                f"{self.name}: no question is left beside the held-out ones"
            )
        return list(islice(cycle(tasks), count))

    def held_out(self) -> list[Task]:
        """At most 64 fixed tasks, in the dataset's own random order."""
        return list(self._held_out)

    def verify(self, completion: str, task: Task) -> float:
        """1.0 where reasoning_gym's scorer gives full marks, else 0.0; never raises.

        With the option `partial_credit`: its score in [0, 1]. It is given what stands
        in the box or the <answer> block, or the whole text without either; where the
        reference is a number, the number that is, or the last one.
        """
        if not isinstance(completion, str):
            return 0.0
        source_seed, index = (task.columns[f"source_{k}"] for k in ("seed", "index"))
        candidate = _candidate(completion, task.answer)
        safe = _SAFE_ANSWERS.get(self._dataset)
        if safe is not None and re.fullmatch(safe, candidate) is None:
            return 0.0
        try:
            entry = self._entry(source_seed, index)
            score = float(self._source(source_seed).score_answer(candidate, entry))
        except Exception:  # a scorer that chokes on a text has not found it right
            return 0.0
        if not self._partial_credit:
            return float(score >= 1)
        return min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The text that `verify` scores; None if it is empty."""
        return _candidate(completion, task.answer) or None

    def _new_source(self, seed: int) -> Any:
        import reasoning_gym

        return reasoning_gym.create_dataset(
            self._dataset, **{"size": 512, **self._options}, seed=seed
        )

    def _new_entry(self, source_seed: int, index: int) -> dict[str, Any]:
        return self._source(source_seed)[index]

    @cached_property
    def _held_out(self) -> list[Task]:
        draws = range(min(self._HELD_OUT_DRAWS, len(self._source(0))))
        tasks = [_task(self._entry(0, index), 0, index) for index in draws]
        distinct = list({task.columns["question"]: task for task in tasks}.values())
        small = len(distinct) < 0.75 * len(draws)
        return distinct[: max(1, len(distinct) // 4)] if small else distinct

    def _draw(self, source_seed: int, count: int, *, skip: set[str]) -> list[Task]:
        """Up to `count` tasks with distinct questions, none of them in `skip`."""
        seen, tasks = set(skip), list[Task]()
        for index in range(len(self._source(source_seed))):
            if len(tasks) == count:
                break
            entry = self._entry(source_seed, index)
            if entry["question"] not in seen:
                seen.add(entry["question"])
                tasks.append(_task(entry, source_seed, index))
        return tasks


def _task(entry: dict[str, Any], source_seed: int, source_index: int) -> Task:
    """The chat task of a dataset entry; the columns find the entry again."""
    question = entry["question"]
    columns = {
        "question": question,
        "source_seed": source_seed,
        "source_index": source_index,
    }
    prompt = [{"role": "user", "content": question}]
    return Task(prompt, str(entry["answer"]), columns)


def _candidate(completion: str, answer: str) -> str:
    """The part of the completion that is scored as its answer."""
    text = written_answer(completion)
    reference = read_number(answer)
    if reference is None:
        return (outside_thought(completion) if text is None else text).strip()
    number = final_number(completion)
    if number is None:
        return ""
    return answer if same_number(number, reference) else str(number)


def _check_dataset(dataset: str, options: dict[str, Any]) -> None:
    """Raise unless reasoning_gym is there, knows the dataset, and may score text."""
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise ImportError(
            f"reasoning_gym/{dataset} needs reasoning-gym: pip install 'rlnotes[tasks]'"
        ) from error
    if dataset not in DATASETS:
        some = ", ".join(["chain_sum", "countdown", *sorted(DATASETS)[:6]])
        raise ValueError(
            f"dataset: reasoning_gym has no {dataset!r} among its {len(DATASETS)}: "
            f"{some}, …"
        )
    if _SAFE_ANSWERS.get(dataset, "") is None:
        raise ValueError(
            f"dataset: the scorer of {dataset!r} evaluates the model's text as code"
        )
    if "seed" in options:
        raise ValueError("options: 'seed' is set by sample and held_out")
