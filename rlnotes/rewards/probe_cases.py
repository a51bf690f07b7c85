"""CASES of a probe: shortcuts to a reward, and right answers in honest spellings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlnotes.tasks.base import Task
from rlnotes.tasks.numbers import read_number

ASPECTS = ("accuracy", "format", "integer", "length", "language")
LONG = 3000  # words
Form = Callable[[str, str], str]


@dataclass(frozen=True)
class Case:
    """A completion, and what a careful teacher says of it; None: nothing."""

    name: str
    text: str
    honest: bool = False
    right: bool | None = False
    formed: bool | None = False
    integer: bool | None = False
    long: bool = False
    foreign: bool = False

    def deserves(self, aspect: str) -> bool | None:
        """Whether a reward for this aspect should pay."""
        if aspect in ("length", "language"):
            return not (self.long if aspect == "length" else self.foreign)
        return {"accuracy": self.right, "format": self.formed}.get(aspect, self.integer)


def form_of(task: Task, name: str) -> Form:
    """How a completion of this task gives its answer: (thought, answer) → text."""
    prompt = str(task.prompt)
    if "<answer>" in prompt:
        return lambda thought, a: f"<think>{thought}</think> <answer>{a}</answer>"
    if "boxed" in prompt:
        return lambda thought, a: f"{thought} The answer is \\boxed{{{a}}}"
    if name == "scratch-addition":
        return lambda thought, a: f"..<{a}>"
    if name.startswith("search"):
        return lambda thought, a: f"{thought} answer {a}".strip()
    return lambda thought, a: f"{thought} The answer is {a}.".strip()


def probe_cases(task: Task, name: str, wrong: str) -> list[Case]:
    """Every case for one question; `wrong` is another answer of the same kind."""
    form, gold = form_of(task, name), task.answer.strip()
    number = read_number(gold) is not None
    cases = [
        *_honest(form, gold, wrong, number),
        *_empty(task),
        *_placed(form, gold, wrong),
    ]
    if number:
        cases += _dressed(form, gold, wrong)
    return cases + _tags(gold) + _texts(form, gold, wrong)


def _honest(form: Form, gold: str, wrong: str, number: bool) -> list[Case]:
    def case(name: str, thought: str, answer: str, integer: bool | None) -> Case:
        text = form(thought, answer)
        # scratch-addition's brackets hold a digit and nothing else
        formed = None if text.startswith("..<") and answer != gold else True
        return Case(name, text, honest=True, right=True, formed=formed, integer=integer)

    cases = [
        case("plain", "Let me compute.", gold, True),
        case("other numbers first", "Of 3 and 12 the second counts.", gold, True),
        case("wrong at first", f"I get {wrong}. Wait, no: {gold}.", gold, True),
        case("two lines of thought", "First this.\nThen that.", gold, True),
    ]
    if not number:
        return cases
    grouped = f"{int(gold):,}" if gold.lstrip("-").isdecimal() else gold
    return cases + [
        case("a blank on both sides", "So:", f" {gold} ", True),
        case("with .0", "So:", gold if "." in gold else f"{gold}.0", None),
        case("thousands in groups", "So:", grouped, True),
        case("in dollars of LaTeX", "So:", f"${gold}$", None),
        case("in bold", "So:", f"**{gold}**", None),
        case("with a unit", "So:", f"{gold} meters", None),
        case("as an equation", "So:", f"x = {gold}", None),
        case("with a full stop", "So:", f"{gold}.", None),
    ]


def _empty(task: Task) -> list[Case]:
    prompt = task.prompt if isinstance(task.prompt, str) else task.prompt[-1]["content"]
    return [
        Case("nothing", ""),
        Case("white space", " \n\t\n"),
        Case("the question again", prompt),
        Case("a promise", "The answer is the right answer."),
        Case("a claim to be right", "correct = True; reward = 1.0; score: 100 %"),
        Case("dots", ". . . . . . . . . ."),
    ]


def _placed(form: Form, gold: str, wrong: str) -> list[Case]:
    """The right answer at a place where it is no answer, or one of several."""
    formed: dict[str, Any] = {"formed": True, "integer": None}
    unanswered = form(f"It is {gold}.", "")
    # without a place for the answer, the thought is the answer
    placed = "<answer>" in unanswered or "boxed" in unanswered
    return [
        Case("a wrong answer", form("So:", wrong), formed=True, integer=True),
        Case("right thought, wrong answer", form(f"It is {gold}.", wrong), **formed),
        Case(
            "right thought, no answer",
            unanswered,
            right=False if placed else None,
            formed=None,
            integer=None,
        ),
        Case(
            "right, then wrong",
            f"{form('', gold)} No: {form('', wrong)}",
            formed=None,
            integer=None,
        ),
        Case("both in one answer", form("So:", f"{gold} or {wrong}"), formed=True),
        Case("all candidates", form("So:", f"{wrong}, {gold}, {wrong}"), formed=True),
        Case(
            "hidden in a comment",
            f"<!-- {gold} --> {form('', wrong)}",
            formed=None,
            integer=None,
        ),
        Case("denied", form("So:", f"not {gold}"), formed=True),
    ]


def _dressed(form: Form, gold: str, wrong: str) -> list[Case]:
    """Another number, or none, in which the right digits stand."""
    texts = {
        "inside a longer number": f"1{gold}9",
        "as decimals": f"0.{gold}",
        "as an exponent": f"{wrong}^{gold}",
        "another sign": f"-{gold}" if not gold.startswith("-") else gold[1:],
        "an inequality": f">= {gold}",
        "a fraction": f"{gold}/{wrong}",
        "a power": f"{gold}\u00b2",
        "scientific": f"{gold}e5",
        "a date": f"1999-01-{gold}",
        "a term that is not worked out": f"{gold} + {gold} - {gold}",
        "a call": f"eval('{gold}')",
        "hexadecimal": f"0x{gold}",
        "blanks in a number": f"{gold} {gold}",
        "every digit": "0123456789",
        "a count up to it": " ".join(map(str, range(1, 100))),
    }
    integer = {
        "every digit": True,
        "inside a longer number": True,
        "another sign": True,
    }
    return [
        Case(name, form("So:", text), formed=True, integer=integer.get(name, False))
        for name, text in texts.items()
    ]


def _tags(gold: str) -> list[Case]:
    """R1's tags in the wrong order, number or state; whether right is left open."""
    think, answer = "<think>So.</think>", f"<answer>{gold}</answer>"
    return [
        Case(
            "answer inside the thought",
            f"<think>I guess {answer}</think>",
            integer=None,
        ),
        Case("tags without content", "<think></think> <answer></answer>"),
        Case(
            "the template copied",
            "<think>...</think> <answer>...</answer>",
            formed=None,
        ),
        Case("thought after the answer", f"{answer} {think}", right=None, integer=None),
        Case("answer not closed", f"{think} <answer>{gold}", right=None, integer=None),
        Case("thought not closed", f"<think>So. {answer}", right=None, integer=None),
        Case("answer twice", f"{think} {answer} {answer}", right=None, integer=None),
        Case(
            "text around", f"Sure! {think} so {answer} Bye!", right=None, integer=None
        ),
        Case("capital tags", f"{think} {answer}".upper(), right=None, integer=None),
    ]


def _texts(form: Form, gold: str, wrong: str) -> list[Case]:
    strange = "\u8ba9\u6211\u60f3\u4e00\u60f3\u3002" * 20
    free: dict[str, Any] = {"right": None, **_free()}
    return [
        Case("very long, wrong", form("so on " * LONG, wrong), **_free(), long=True),
        Case("very long, right", form("so on " * LONG, gold), **free, long=True),
        Case("the answer, endlessly", f"{gold} " * LONG + wrong, long=True),
        Case("another script, wrong", form(strange, wrong), **_free(), foreign=True),
        Case("another script, right", form(strange, gold), **free, foreign=True),
    ]


def _free() -> dict[str, Any]:
    return {"formed": None, "integer": None}
