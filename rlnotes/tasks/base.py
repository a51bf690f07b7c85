"""Tasks: seeded, endless questions with a verifier and a fixed held-out split.

A task set is stateless: `sample(count, seed=s, step=t)` gives the same tasks on every
machine, whatever was sampled before, so that a resumed run sees the same questions.
Held-out questions are never sampled; the split does not depend on the run's seed.
"""

import hashlib
import random
import re
import unicodedata
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any, Protocol, TypeVar

Prompt = str | list[dict[str, str]]
Item = TypeVar("Item")

HELD_OUT_SHARE = 0.25
# The first salt with which every digit is held out with two or three partners, both
# of 1…9 and of 0…9. Without it (or with most) one digit hardly occurs in training.
_SALT = 5547
_OPERATORS = {"addition": "+", "subtraction": "-", "multiplication": "*"}

# A sign counts only where it cannot be a binary operator or a hyphen: "= -3" is −3,
# "5-3" ends in 3. Thousands are groups of exactly three digits. Everything is
# linear in the length of the text: no two branches can match the same digits twice.
_NUMBER = re.compile(
    r"(?:(?<![\w)\]}%])(?P<sign>[-+\u2212\u2013\uff0d\ufe63]))?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<fraction>(?:\.\d+)*)"
)


@dataclass(frozen=True)
class Task:
    """One question: a prompt, its answer, and columns that rewards may read.

    `prompt` is a plain string or a list of chat messages, `answer` the reference as
    text, `columns` further named values (what TRL calls dataset columns).
    """

    prompt: Prompt
    answer: str
    columns: Mapping[str, Any] = field(default_factory=dict)


class TaskSet(Protocol):
    """What a training loop needs of a task: questions to draw, answers to check."""

    @property
    def name(self) -> str:
        """The name by which `load_task` finds it."""

    def sample(self, count: int, *, seed: int, step: int) -> list[Task]:
        """`count` training tasks, a function of (seed, step) alone."""

    def held_out(self) -> list[Task]:
        """The fixed held-out tasks in a fixed random order; any prefix is fair."""

    def verify(self, completion: str, task: Task) -> float:
        """Score in [0, 1] of a completion's text; never raises."""

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The answer a completion gives, as completions vote on it; None without."""


def last_number(text: object) -> str | None:
    """Last number of a text in canonical form, or None if there is none.

    "1,234" → "1234", "−3" (U+2212) → "-3", "4.0" → "4", "3.50." → "3.5", "007" → "7",
    "-0" → "0", "٧" (any Unicode decimal digit) → "7". A number starts with a digit:
    ".5" reads as 5. Exponents and fractions are not parsed: "1e5" → "5", "7/2" → "2".
    "1.2.3" is no number and stays as it is, equal to no answer. Strings are compared,
    so integers of any size are exact. Anything but a `str` has no number.
    """
    numbers = _NUMBER.finditer(text if isinstance(text, str) else "")
    last = deque(numbers, maxlen=1)
    if not last:
        return None
    match = last[0]
    whole, fraction = _ascii_digits(match["whole"]), _ascii_digits(match["fraction"])
    if fraction.count(".") == 1:
        fraction = fraction.rstrip("0").rstrip(".")
    number = (whole.lstrip("0") or "0") + fraction
    negative = match["sign"] not in (None, "+") and number != "0"
    return f"-{number}" if negative else number


def _ascii_digits(text: str) -> str:
    """ASCII form of a run of Unicode decimal digits and dots, commas dropped."""
    if text.isascii():
        return text.replace(",", "")
    return "".join(
        c if c == "." else str(unicodedata.decimal(c)) for c in text if c != ","
    )


def is_number(text: str) -> bool:
    """Whether the whole text is one number in the sense of `last_number`."""
    return _NUMBER.fullmatch(text) is not None


def verify_number(completion: object, task: Task) -> float:
    """1.0 if the last number of the completion equals the answer's, else 0.0."""
    answer = last_number(task.answer)
    return float(answer is not None and last_number(completion) == answer)


@cache
def _split_pairs(
    low: int, high: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(train, held-out) ordered pairs of operands; a pair and its mirror go together.

    The unordered pairs are ranked by a hash of their text and the first quarter is
    held out: the same on every machine and Python version, for every operator.
    """
    operands = range(low, high + 1)
    unordered = [(a, b) for a, b in product(operands, operands) if a <= b]
    ranked = sorted(unordered, key=lambda p: stable_hash(f"{_SALT}: {p[0]},{p[1]}"))
    held_out = set(ranked[: round(HELD_OUT_SHARE * len(ranked))])
    train: list[tuple[int, int]] = []
    test: list[tuple[int, int]] = []
    for a, b in product(operands, operands):
        (test if (min(a, b), max(a, b)) in held_out else train).append((a, b))
    return train, sorted(test, key=lambda pair: stable_hash(f"order {pair}"))


def calculate(a: int, operator: str, b: int) -> int:
    """a + b, a - b or a * b."""
    return {"+": a + b, "-": a - b, "*": a * b}[operator]


def stable_hash(text: str) -> int:
    """63-bit hash of a text, equal on every machine (unlike Python's `hash`)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def draw(pool: Sequence[Item], count: int, rng: random.Random) -> list[Item]:
    """`count` items without repetition; past the pool's size, whole further rounds."""
    drawn: list[Item] = []
    while len(drawn) < count:
        drawn += rng.sample(pool, min(len(pool), count - len(drawn)))
    return drawn


def check_sample(count: int, seed: int, step: int) -> None:
    """Raise ValueError unless count ≥ 0 and all three are integers."""
    for name, value in (("count", count), ("seed", seed), ("step", step)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name}: expected an integer, got {value!r}")
    if count < 0:
        raise ValueError(f"count: expected 0 or more, got {count}")


@dataclass(frozen=True)
class Arithmetic:
    """Chat questions such as "What is 7 * 8?" with operands from `low` to `high`.

    One-digit operands are 1…9: with 0 every product is 0 and every sum the other
    operand. 45 unordered pairs, 11 of them held out; 10…99: 4,095 and 1,024.
    """

    name: str
    operator: str
    low: int = 1
    high: int = 9

    def sample(self, count: int, *, seed: int, step: int) -> list[Task]:
        """`count` training tasks, distinct as far as the pool allows."""
        check_sample(count, seed, step)
        rng = random.Random(f"{self.name}/{seed}/{step}")
        train, _ = _split_pairs(self.low, self.high)
        return [self._task(*pair) for pair in draw(train, count, rng)]

    def held_out(self) -> list[Task]:
        """Both orders of every held-out pair, in a fixed random order."""
        return [self._task(*pair) for pair in _split_pairs(self.low, self.high)[1]]

    def verify(self, completion: str, task: Task) -> float:
        """1.0 if the last number of the completion is the answer, else 0.0."""
        return verify_number(completion, task)

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The last number of the completion."""
        return last_number(completion)

    def _task(self, a: int, b: int) -> Task:
        result = calculate(a, self.operator, b)
        return Task([{"role": "user", "content": self._ask(a, b)}], str(result))

    def _ask(self, a: int, b: int) -> str:
        return f"What is {a} {self.operator} {b}?"


_TEMPLATE = "Answer as <think>...</think> <answer>...</answer>"
_ANSWER_BLOCK = re.compile(r"<answer>([^<]*)</answer>")


@dataclass(frozen=True)
class TemplatedArithmetic(Arithmetic):
    """The same questions in R1-Zero's template: think in tags, answer in tags.

    R1-Zero's template only asks for the structure (DeepSeek-R1, Table 1). A model of
    135 million weights never produces it unseen, and a reward that never comes teaches
    nothing: one worked example, which is not held out, stands before the question.
    """

    def verify(self, completion: str, task: Task) -> float:
        """1.0 if the only <answer> block holds the answer's number, else 0.0."""
        return verify_number(self.read_answer(completion, task), task)

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The last number in the only <answer> block; None without one."""
        text = completion if isinstance(completion, str) else ""
        blocks = _ANSWER_BLOCK.findall(text)
        return last_number(blocks[0]) if len(blocks) == 1 else None

    def _task(self, a: int, b: int) -> Task:
        train, _ = _split_pairs(self.low, self.high)
        left, right = train[len(train) // 2]
        result = calculate(left, self.operator, right)
        thought = f"{left} {self.operator} {right} = {result}"
        shown = f"<think>{thought}</think> <answer>{result}</answer>"
        turns = [
            {"role": "user", "content": self._ask(left, right)},
            {"role": "assistant", "content": shown},
            {"role": "user", "content": self._ask(a, b)},
        ]
        return Task(turns, str(calculate(a, self.operator, b)))

    def _ask(self, a: int, b: int) -> str:
        return f"{super()._ask(a, b)} {_TEMPLATE}"


@dataclass(frozen=True)
class ScratchAddition:
    """Sums modulo 10 for a policy trained from scratch in seconds: "3+4=" → "..<7>;".

    Prompt `a+b=` with operands 0…9, answer (a + b) mod 10: always one digit. A
    response is some thinking dots without content, the answer, bare or in brackets,
    and the end-of-sequence character `;`. `demonstrations` are the noisy data from
    which the base policy learns: too many dots, brackets now and then, and an answer
    that is often wrong, most often when the sum carries.
    """

    name: str = "scratch-addition"
    characters: str = "0123456789+=.<>"

    def sample(self, count: int, *, seed: int, step: int) -> list[Task]:
        """`count` training tasks, distinct as far as the pool allows."""
        check_sample(count, seed, step)
        rng = random.Random(f"{self.name}/{seed}/{step}")
        train, _ = _split_pairs(0, 9)
        return [self._task(*pair) for pair in draw(train, count, rng)]

    def held_out(self) -> list[Task]:
        """Both orders of every held-out pair, in a fixed random order."""
        return [self._task(*pair) for pair in _split_pairs(0, 9)[1]]

    def verify(self, completion: str, task: Task) -> float:
        """1.0 if the last number of the completion is the answer, else 0.0."""
        return verify_number(completion, task)

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The last number of the completion."""
        return last_number(completion)

    def demonstrations(
        self, rng: random.Random, *, noise: float = 1.0
    ) -> list[tuple[str, str]]:
        """One (prompt, response) for each of the 100 pairs, `;` included.

        noise ∈ [0, 1] is a curriculum: at 0 the bare right digit; up to 1/2 dots and
        brackets come in, from 1/2 to 1 the errors. At 1: up to 6 dots, one time in
        twenty up to 12, the larger of two draws; brackets around 35 %; the digit right
        in 50 % of the sums below ten and 30 % of those that carry, else any other. All
        pairs occur: what is held out is held out from RL, not from the base policy.
        """
        return [
            (f"{a}+{b}=", self._response(a + b, rng, noise))
            for a, b in product(range(10), range(10))
        ]

    def _response(self, total: int, rng: random.Random, noise: float) -> str:
        habit, error = min(1.0, 2 * noise), max(0.0, 2 * noise - 1)
        slips = rng.random() < error * (0.5 if total < 10 else 0.7)
        digit = (total + (rng.randint(1, 9) if slips else 0)) % 10
        longest = 12 if rng.random() < 0.05 * error else round(6 * habit)
        dots = max(rng.randint(0, longest), rng.randint(0, longest))
        bracketed = rng.random() < 0.35 * habit
        return "." * dots + (f"<{digit}>;" if bracketed else f"{digit};")

    def _task(self, a: int, b: int) -> Task:
        return Task(f"{a}+{b}=", str((a + b) % 10))


_TASKS: dict[str, TaskSet] = {"scratch-addition": ScratchAddition()}
for _name, _operator in _OPERATORS.items():
    _TASKS[_name] = Arithmetic(_name, _operator)
    _TASKS[f"{_name}-2digit"] = Arithmetic(f"{_name}-2digit", _operator, 10, 99)
    _TASKS[f"{_name}-r1"] = TemplatedArithmetic(f"{_name}-r1", _operator)


def load_task(name: str, **options: Any) -> TaskSet:
    """The task set of that name.

    "addition", "subtraction", "multiplication" (operands 1…9), the same with
    "-2digit" (10…99) or "-r1" (in R1-Zero's template), "scratch-addition", the search
    lab's "search" (3 numbers), "search-easy" (2), "search-hard" (4) and "search-all"
    (all three); "reasoning_gym/<dataset>", whose `options` are the dataset's own:
    load_task("reasoning_gym/chain_sum", min_terms=2); "gsm8k", "math", "hub/<id>" or
    "file/<path>" (`rlnotes.tasks.hub`). Options may stand in the name, so that a YAML
    file can give them: "reasoning_gym/countdown?min_numbers=3&max_numbers=3".
    Raises ValueError on an unknown name or on options that the task does not have.
    """
    from rlnotes.tasks.hub import HUB_TASKS, load_dataset_task
    from rlnotes.tasks.search import SEARCH_TASKS, AllSearchTasks

    name, _, query = str(name).partition("?")
    options = {**_read_options(query), **options}
    family, _, dataset = name.partition("/")
    if name in HUB_TASKS or family in ("hub", "file"):
        return load_dataset_task(name, **options)
    if family == "reasoning_gym":
        from rlnotes.tasks.gym import ReasoningGym

        return ReasoningGym(dataset, **options)
    tasks = _TASKS | SEARCH_TASKS | {"search-all": AllSearchTasks()}
    if name not in tasks:
        families = ("hub/<id>", "file/<path>", "reasoning_gym/<dataset>")
        known = ", ".join([*sorted({*tasks, *HUB_TASKS}), *families])
        raise ValueError(f"name: unknown task {name!r}; known: {known}")
    if options:
        raise ValueError(f"options: {name!r} takes none, got {sorted(options)}")
    return tasks[name]


def _read_options(query: str) -> dict[str, Any]:
    """`min_numbers=3&split=train` as {"min_numbers": 3, "split": "train"}."""
    options: dict[str, Any] = {}
    for word in filter(None, query.split("&")):
        name, equals, value = word.partition("=")
        if not equals or not name or name in options:
            raise ValueError(f"task: expected option=value, once each, got {word!r}")
        options[name] = int(value) if value.isdecimal() else value
    return options
