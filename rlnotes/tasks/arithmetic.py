"""Sums and products of small numbers, for a pretrained model and for the toy."""

import random
import re
from dataclasses import dataclass
from functools import cache
from itertools import product

from rlnotes.tasks.base import (
    HELD_OUT_SHARE,
    Task,
    calculate,
    check_sample,
    draw,
    last_number,
    stable_hash,
    verify_number,
)

# The first salt with which every digit is held out with two or three partners, both
# of 1…9 and of 0…9. Without it (or with most) one digit hardly occurs in training.
_SALT = 5547

OPERATORS = {"addition": "+", "subtraction": "-", "multiplication": "*"}


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
