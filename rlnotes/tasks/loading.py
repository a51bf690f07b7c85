"""`load_task`: a task by its name."""

from pathlib import Path
from typing import Any

from rlnotes.equations.names import did_you_mean
from rlnotes.tasks.arithmetic import (
    OPERATORS,
    Arithmetic,
    ScratchAddition,
    TemplatedArithmetic,
)
from rlnotes.tasks.base import TaskSet
from rlnotes.tasks.countdown import load_countdown
from rlnotes.tasks.dataset_task import HUB_TASKS, load_dataset_task
from rlnotes.tasks.gym import ReasoningGym
from rlnotes.tasks.search import SEARCH_TASKS, AllSearchTasks

_TASKS: dict[str, TaskSet] = {
    "scratch-addition": ScratchAddition(),
    **SEARCH_TASKS,
    "search-all": AllSearchTasks(),
}
for _name, _operator in OPERATORS.items():
    _TASKS[_name] = Arithmetic(_name, _operator)
    _TASKS[f"{_name}-2digit"] = Arithmetic(f"{_name}-2digit", _operator, 10, 99)
    _TASKS[f"{_name}-r1"] = TemplatedArithmetic(f"{_name}-r1", _operator)


def load_task(name: str, **options: Any) -> TaskSet:
    """The task set of that name.

    "addition", "subtraction", "multiplication" (operands 1…9), the same with
    "-2digit" (10…99) or "-r1" (in R1-Zero's template), "scratch-addition", the search
    lab's "search" (3 numbers), "search-easy" (2), "search-hard" (4) and "search-all"
    (all three); "reasoning_gym/<dataset>", whose `options` are the dataset's own:
    load_task("reasoning_gym/chain_sum", min_terms=2); "countdown"
    (`tasks.countdown`); "gsm8k", "math", "hub/<id>" or "file/<path>"
    (`tasks.dataset_task`). Options may stand in the name, so
    that YAML can give them: "reasoning_gym/countdown?min_numbers=3&max_numbers=3".
    Raises ValueError on an unknown name or on options that the task does not have.
    """
    name, query = _split_query(str(name))
    options = {**_read_options(query), **options}
    family, _, dataset = name.partition("/")
    if name in HUB_TASKS or family in ("hub", "file"):
        return load_dataset_task(name, **options)
    if family == "reasoning_gym":
        return ReasoningGym(dataset, **options)
    if name == "countdown":
        return load_countdown(f"countdown?{query}" if query else name, **options)
    if name not in _TASKS:
        families = ("hub/<id>", "file/<path>", "reasoning_gym/<dataset>")
        known = [*sorted({*_TASKS, *HUB_TASKS, "countdown"}), *families]
        text = f"{', '.join(known)}{did_you_mean(name, known)}"
        raise ValueError(f"name: unknown task {name!r}; known: {text}")
    if options:
        raise ValueError(f"options: {name!r} takes none, got {sorted(options)}")
    return _TASKS[name]


def _split_query(name: str) -> tuple[str, str]:
    """A name and its options; a `?` is a file's where a file of that name is there."""
    parts = name.split("?")
    if name.startswith("file/"):
        for n in range(len(parts), 0, -1):
            if Path("?".join(parts[:n]).removeprefix("file/")).is_file():
                return "?".join(parts[:n]), "?".join(parts[n:])
    return parts[0], "?".join(parts[1:])


def _read_options(query: str) -> dict[str, Any]:
    """`min_numbers=3&split=train` as {"min_numbers": 3, "split": "train"}."""
    options: dict[str, Any] = {}
    for word in filter(None, query.split("&")):
        name, equals, value = word.partition("=")
        if not equals or not name or name in options:
            raise ValueError(f"task: expected option=value, once each, got {word!r}")
        options[name] = int(value) if value.isdecimal() else value
    return options
