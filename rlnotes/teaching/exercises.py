"""Checks of the notebooks' exercises: `check_exercise("grpo-1", my_function)`.

To add "grpo-6": write `grpo_6` in `grpo_hints.py`, which gives (test, hint) pairs. A
test takes the answer and says whether it passes; `gives` makes the usual one. The
expected values come from the library, so a check never disagrees with it. In the
notebook, a solution is a fenced block that starts with `# <name>` and ends with the
definition of the answer; `tests/teaching/test_exercises.py` runs every such block.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from rlnotes.equations.validation import check_choice
from rlnotes.teaching.answers import Hints

EXERCISES: dict[str, Callable[[], Hints]] = {
    name.replace("_", "-"): hints
    for notebook in (
        "step",
        "search",
        "ppo",
        "grpo",
        "kl",
        "r1",
        "aha",
        "dapo",
        "ladder",
        "gdpo",
        "reward",
        "compare",
        "open",
    )
    for name, hints in vars(import_module(f"rlnotes.teaching.{notebook}_hints")).items()
    if name.startswith(f"{notebook}_")
}


def check_exercise(name: str, answer: Any) -> None:
    """Print "right", or "not yet" with a hint; the solution is never shown.

    Args:
        name: the exercise as the notebook calls it, a key of `EXERCISES`.
        answer: what the exercise asks for, a function or a value. A function that
            still raises NotImplementedError is "not yet", so that the notebook runs.

    Raises:
        ValueError: unknown name. Whatever the answer does wrong is printed.
    """
    check_choice("name", name, tuple(EXERCISES))
    hint = find_hint(name, answer)
    print(f"{name}: right" if hint is None else f"{name}: not yet: {hint}")


def find_hint(name: str, answer: Any) -> str | None:
    """The hint of the first test that the answer fails, or None if it passes all."""
    for test, hint in EXERCISES[name]():
        try:
            if not test(answer):
                return hint
        except NotImplementedError:
            return "replace `raise NotImplementedError` by your answer"
        except Exception as error:  # a student's code may raise anything
            return f"it raised {type(error).__name__}: {error}"
    return None
