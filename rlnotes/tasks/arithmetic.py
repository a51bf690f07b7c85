"""Sums and products of small numbers, for a pretrained model and for the toy."""

import random
from dataclasses import dataclass
from functools import cache
from itertools import product

from rlnotes.tasks.base import Task, calculate, last_number
from rlnotes.tasks.final_answers import answer_block, final_number
from rlnotes.tasks.numbers import Number, read_number, same_number
from rlnotes.tasks.splits import SplitTasks, split_by_hash

# The first salt with which every digit is held out with two or three partners, both
# of 1…9 and of 0…9. Without it (or with most) one digit hardly occurs in training.
_SALT = 5547

OPERATORS = {"addition": "+", "subtraction": "-", "multiplication": "*"}


@cache
def _split_pairs(
    low: int, high: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(train, held-out) ordered pairs of operands; a pair and its mirror go together.

    The same for every operator.
    """
    operands = range(low, high + 1)
    pairs = list(product(operands, operands))
    return split_by_hash(pairs, lambda pair: f"{_SALT}: {min(pair)},{max(pair)}")


@dataclass(frozen=True)
class Arithmetic(SplitTasks):
    """Chat questions such as "What is 7 * 8?" with operands from `low` to `high`.

    One-digit operands are 1…9: with 0 every product is 0 and every sum the other
    operand. 45 unordered pairs, 11 of them held out; 10…99: 4,095 and 1,024.
    """

    name: str
    operator: str
    low: int = 1
    high: int = 9

    def questions(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(train, held-out) pairs; both orders of every held-out pair."""
        return _split_pairs(self.low, self.high)

    def verify(self, completion: str, task: Task) -> float:
        """1.0 if the number that the completion answers with is right, else 0.0."""
        right = same_number(self._number(completion), read_number(task.answer))
        return float(right)

    def read_answer(self, completion: str, task: Task) -> str | None:
        """The number in the box or the <answer> block, else the last of the text."""
        number = self._number(completion)
        return None if number is None else str(number)

    def _number(self, completion: object) -> Number | None:
        return final_number(completion)

    def task(self, a: int, b: int) -> Task:
        """The question for a, operator, b."""
        result = calculate(a, self.operator, b)
        return Task([{"role": "user", "content": self._ask(a, b)}], str(result))

    def _ask(self, a: int, b: int) -> str:
        return f"What is {a} {self.operator} {b}?"


_TEMPLATE = "Answer as <think>...</think> <answer>...</answer>"


@dataclass(frozen=True)
class TemplatedArithmetic(Arithmetic):
    """The same questions in R1-Zero's template: think in tags, answer in tags.

    R1-Zero's template only asks for the structure (DeepSeek-R1, Table 1). A model of
    135 million weights never produces it unseen, and a reward that never comes teaches
    nothing: one worked example, which is not held out, stands before the question.
    """

    def _number(self, completion: object) -> Number | None:
        """The number that the only <answer> block is; None without one."""
        return read_number(answer_block(completion) or "")

    def task(self, a: int, b: int) -> Task:
        """The question behind one worked example."""
        train, _ = self.questions()
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
class ScratchAddition(Arithmetic):
    """Sums modulo 10 for a policy trained from scratch in seconds: "3+4=" → "..<7>;".

    Prompt `a+b=` with operands 0…9, answer (a + b) mod 10: always one digit. A
    response is some thinking dots without content, the answer, bare or in brackets,
    and the end-of-sequence character `;`. `demonstrations` are the noisy data from
    which the base policy learns: too many dots, brackets now and then, and an answer
    that is often wrong, most often when the sum carries.
    """

    name: str = "scratch-addition"
    operator: str = "+"
    low: int = 0
    characters: str = "0123456789+=.<>"

    def verify(self, completion: str, task: Task) -> float:
        """1.0 if the last number, whatever dots stand before it, is the answer."""
        return float(last_number(completion) == task.answer)

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

    def task(self, a: int, b: int) -> Task:
        """The question `a+b=`."""
        return Task(f"{a}+{b}=", str((a + b) % 10))
