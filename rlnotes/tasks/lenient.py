"""LENIENT reading of an answer: what a forgiving evaluation would have let pass."""

from __future__ import annotations

from rlnotes.tasks.base import Task, TaskSet, last_number
from rlnotes.tasks.final_answers import final_answer, without_spaces
from rlnotes.tasks.numbers import read_number


def lenient_score(task_set: TaskSet, completion: str, task: Task) -> float:
    """1.0 where the task's own verdict is 1, or the answer stands where many look.

    A number: the last one of the text, or the one in the last box, is the answer's.
    Anything else: the last line that is not blank holds the answer, white space and
    case aside. What lies between this and `verify` is a matter of format.
    """
    if task_set.verify(completion, task) >= 1:
        return 1.0
    if read_number(task.answer) is not None:
        places = (completion, final_answer(completion, "boxed"))
        return float(last_number(task.answer) in map(last_number, places))
    lines = completion.strip().splitlines()
    wanted = without_spaces(task.answer).casefold()
    return float(bool(lines) and wanted in without_spaces(lines[-1]).casefold())
