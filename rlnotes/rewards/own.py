"""OWN REWARDS: a function of the user's by TRL's contract, found, called and checked.

    my_rewards.py:brevity          a file, in the working directory or the project
    package.module:function        whatever Python can import

Loading executes the file, as `import` does; it is read once, so that a file that
changes later changes nothing in a run. What was read goes into the record.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import inspect
import math
import sys
import threading
import time
import traceback
import types
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from rlnotes.machine.provenance import project_folder
from rlnotes.rewards.rewards import Rewards, check_values, reward_name

_SLOW = 10.0  # seconds of one call, after which the run says who it waits for


def short_name(name: str) -> str:
    """The log key of a reward's name in a config: `brevity` of `my.py:brevity`."""
    return name.rpartition(":")[2]


def group_rows(prompts: Sequence[Any]) -> list[list[int]]:
    """The rows of each prompt, by first appearance: completions to be compared.

    Rows belong together when their prompts are equal, wherever they stand in the batch.
    """
    groups: dict[str, list[int]] = {}
    for row, prompt in enumerate(prompts):
        groups.setdefault(repr(prompt), []).append(row)
    return list(groups.values())


@dataclass
class OwnReward:
    """A user's reward as an engine calls it; errors name its file and line.

    `name` as in the config. A result is one number or None for each completion; a
    coroutine is waited for. Raises ValueError, in one line, for whatever goes wrong.
    """

    name: str
    function: Callable[..., Any]
    text: str | None = None
    """What was read: the file's text, or a function's own."""
    _said: set[str] = field(default_factory=set)

    @property
    def __name__(self) -> str:  # type: ignore[override]
        """The log key."""
        return short_name(self.name)

    @property
    def file(self) -> str:
        """File that the function stands in, "" where nobody knows."""
        return str(getattr(_code(self.function), "co_filename", ""))

    @property
    def place(self) -> str:
        """`brevity (my_rewards.py, line 3)`."""
        code = _code(self.function)
        line = getattr(code, "co_firstlineno", None)
        where = f" ({Path(self.file).name}, line {line})" if code else ""
        return f"{self.__name__}{where}"

    def __call__(self, completions: Sequence[Any], **given: Any) -> Rewards:
        """Call by keywords, as TRL does, and check what comes back."""
        start = time.perf_counter()
        try:
            values = self.function(completions=completions, **given)
            if inspect.isawaitable(values):
                values = _waited_for(values)
        except Exception as error:
            raise ValueError(f"{self.__name__}: {_told(error, self.file)}") from error
        seconds, rows = time.perf_counter() - start, len(completions)
        if isinstance(values, Mapping | str):  # a list of its keys would pass
            raise ValueError(
                f"{self.place}: expected a list of {rows} floats, got {values!r:.60}"
            )
        numbers = check_values(values, rows, self.place).tolist()
        if rows and all(map(math.isnan, numbers)):
            self._remark(f"is None for all {rows} completions of a batch")
        if seconds > _SLOW:
            self._remark(f"took {seconds:.0f} s for {rows} completions")
        return [None if math.isnan(x) else x for x in numbers]

    def check_signature(self, columns: Sequence[str]) -> None:
        """Raise ValueError unless the function takes what it will be given."""
        try:
            inspect.signature(self.function).bind(**dict.fromkeys(columns))
        except ValueError:  # a builtin without a signature
            return
        except TypeError as error:
            raise ValueError(
                f"{self.place}: {error}; it is called with {', '.join(columns)}"
                " (end the parameters with **kwargs for what it does not need)"
            ) from None

    def changed(self) -> str | None:
        """A line if the file is another by now, else None."""
        path = Path(self.file)
        if self.text is None or not self._is_file or not path.is_file():
            return None
        if path.read_text(encoding="utf-8", errors="replace") == self.text:
            return None
        return (
            f"{path.name} has changed since it was read; the run used what the record"
            f" holds ({self.kept_as})"
        )

    @property
    def digest(self) -> str | None:
        """SHA-256 of the text."""
        return self.text and hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def kept_as(self) -> str | None:
        """Where the record of a run keeps the text."""
        stem = Path(self.file).stem if self._is_file else self.__name__
        return self.digest and f"rewards/{stem}_{self.digest[:8]}.py"

    @property
    def _is_file(self) -> bool:
        return self.name.rpartition(":")[0].endswith(".py")

    def _remark(self, what: str) -> None:
        if what.split()[0] not in self._said:  # once, and not at every step
            self._said.add(what.split()[0])
            print(f"rlnotes: reward {self.place} {what}", file=sys.stderr)


def load_reward(name: str) -> OwnReward:
    """The reward of a name with a colon: `file.py:function`, `module:function`.

    Raises ValueError, in one line, when the file, the module or the function is not
    there, or importing it fails (with the line where).
    """
    source, _, function = name.rpartition(":")
    text: str | None
    if source.endswith(".py"):
        path = _find(source)
        text = _read(path)
        module = _executed(path, text)
    else:
        module, text = _imported(source)
    found = getattr(module, function, None)
    if not callable(found):
        own = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        raise ValueError(
            f"reward_funcs: {source} has no function {function!r}; it has {own}"
        )
    return OwnReward(name, found, text)


def given_reward(function: Callable[..., Any]) -> OwnReward:
    """A function that was passed to `train` itself, under `module:name`.

    Raises ValueError for what is not callable or has no name to log it by.
    """
    name = reward_name(function)
    if not callable(function) or not name.isidentifier():
        raise ValueError(
            f"reward_funcs: expected names and functions with a name, got {function!r}"
        )
    module = getattr(function, "__module__", None) or type(function).__module__
    try:
        text = inspect.getsource(_unwrapped(function))
    except (OSError, TypeError):  # typed into a shell, or built in C
        text = None
    return OwnReward(f"{module}:{name}", function, text)


def _find(source: str) -> Path:
    for folder in (Path.cwd(), project_folder()):
        path = (folder / Path(source).expanduser()).resolve()
        if path.is_file():
            return path
    raise ValueError(f"reward_funcs: no file {source}, seen from {Path.cwd()}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"reward_funcs: {path.name} cannot be read: {error}") from None


@lru_cache(maxsize=64)
def _executed(path: Path, text: str) -> types.ModuleType:
    """The file as a module, once for all its functions; imports beside it work."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    known = sys.modules.setdefault(path.stem, module)  # dataclasses look there
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except Exception as error:
        if known is module:
            del sys.modules[path.stem]
        raise ValueError(f"reward_funcs: {_told(error, str(path))}") from error
    return module


def _imported(source: str) -> tuple[types.ModuleType, str | None]:
    if str(Path.cwd()) not in sys.path:  # a command's first entry is its own folder
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(source)
    except Exception as error:
        hint = "" if source != "__main__" else "; pass it to train(reward_funcs=[…])"
        told = _told(error, "")
        raise ValueError(
            f"reward_funcs: {source} cannot be imported: {told}{hint}"
        ) from error
    text = None
    with contextlib.suppress(OSError, TypeError):
        text = inspect.getsource(module)
    return module, text


def _told(error: BaseException, file: str) -> str:
    """`ZeroDivisionError: division by zero (my_rewards.py, line 7)`."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error}"  # names file and line itself
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if frame.filename == file]
    last = (inside or frames)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return f"{' '.join(f'{type(error).__name__}: {error}'.split())} ({where})"


def _unwrapped(function: Any) -> Any:
    """The function in a partial or a decorator, the class of an object that is called.

    As `rewards.reward_name` goes.
    """
    while hasattr(function, "func"):
        function = function.func
    function = inspect.unwrap(function)
    return function if hasattr(function, "__name__") else type(function)


def _code(function: Any) -> types.CodeType | None:
    plain = _unwrapped(function)
    plain = plain.__call__ if isinstance(plain, type) else plain
    return getattr(plain, "__code__", None)


def _waited_for(awaitable: Awaitable[Any]) -> Any:
    """The result of a coroutine, also where a notebook's loop is running already."""
    outcome: list[Any] = []

    async def wait() -> Any:
        return await awaitable

    def run() -> None:
        try:
            outcome.append(asyncio.run(wait()))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]
