"""Reflection under several prompts: the same weights, other words (notebook 16).

    python experiments/reflection_prompts.py

SmolLM2-135M answers the same 24 questions in six forms of prompt; three policies of
the search lab answer questions of three sizes, and of one size in four forms. All are
sampled at temperature 1. `responses.jsonl`: a response a line; `meta.json`: the forms.
Of SmolLM2's responses the counts are kept and not the texts: at temperature 1 a model
of this size says things that nobody should have to read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from arms import write_record

import rlnotes as rl
from rlnotes.machine.provenance import describe_run
from rlnotes.supervised.curation import Response, sample_responses
from rlnotes.tasks.base import Prompt, TaskSet, verify_number
from rlnotes.tasks.dataset_task import R1_TEMPLATE

DATA = rl.project_folder() / "data" / "experiments" / "reflection_prompts"
SEED, MAX_TOKENS, LAB_TOKENS = 0, 96, 128
MODEL, EACH, MODEL_SAMPLES = "smollm2-135m", 12, 4  # questions of a kind
WORD_PROBLEMS, PRODUCTS = "reasoning_gym/gsm_symbolic", "multiplication"
FORMAT = " Give the result as your final answer. Do not include units."
MODEL_FORMS: dict[str, str] = {
    "bare question": "{question}",
    "question and answer": "Question: {question}\nAnswer:",
    "R1's template": R1_TEMPLATE,
    "chat": "{question}",
    "chat, step by step": "{question} Let's think step by step.",
    "chat, check": "{question} Check your answer before you give it.",
}
LAB = ("search-base", "search-control")
TRAINED = "data/runs/grpo_search_search-base_seed0/policy"
LAB_QUESTIONS, LAB_SAMPLES = 48, 4
SOLVED = "make 20 from 5 6 9 : 5 * 6 = 30 - 9 = 21 ? 20 wait"
SOLVED += " 5 + 6 = 11 + 9 = 20 ? 20 answer + +"
LAB_FORMS: dict[str, str] = {
    "two numbers": "{question}",
    "as trained": "{question}",
    "four numbers": "{question}",
    "no colon": "{question}",
    "an example before": f"{SOLVED} {{question}}",
    "begins with wait": "{question} wait",
}
_SIZES = {"two numbers": "search-easy", "four numbers": "search-hard"}


def model_questions() -> list[rl.Task]:
    """Word problems, then products; the prompt is the bare question."""
    problems = rl.load_task(WORD_PROBLEMS).held_out()[:EACH]
    products = rl.load_task(PRODUCTS).held_out()[:EACH]
    return [
        rl.Task(str(task.prompt[-1]["content"]).removesuffix(FORMAT), task.answer)
        for task in (*problems, *products)
    ]


def model_prompt(form: str, question: str) -> Prompt:
    """The question in its form; a chat's as messages, for the model's own template."""
    text = MODEL_FORMS[form].replace("{question}", question)
    chat = form.startswith("chat")
    return [{"role": "user", "content": text}] if chat else text


def lab_prompt(form: str, question: str) -> str:
    """The lab's question in its form."""
    bare = question.removesuffix(" :") if form == "no colon" else question
    return LAB_FORMS[form].replace("{question}", bare)


class _Numbers:
    """A task set by its verdict alone: the number that a text answers with."""

    verify = staticmethod(verify_number)


def ask(
    policy: rl.Policy,
    task_set: TaskSet,
    tasks: list[rl.Task],
    prompt: Callable[[str], Prompt],
    num_generations: int,
    max_completion_length: int,
) -> list[Response]:
    """Responses to the questions in a form; their `task` is the bare question's."""
    asked = [rl.Task(prompt(str(t.prompt)), t.answer, t.columns) for t in tasks]
    found = sample_responses(
        policy,
        task_set,
        asked,
        num_generations=num_generations,
        max_completion_length=max_completion_length,
        seed=SEED,
    )
    own = [task for task in tasks for _ in range(num_generations)]
    return [replace(r, task=task) for r, task in zip(found, own, strict=True)]


def counts(text: str) -> dict[str, Any]:
    """What is kept of a text that is not: R1's words in it, and behavior in wording."""
    shown = [name for name, seen in rl.text_behaviors(text).items() if seen]
    return {"words": rl.load_words("r1").count(text), "behaviors": shown}


def rows(name: str, form: str, responses: list[Response]) -> str:
    """A line a response."""
    lines = []
    for one in responses:
        asked = {"policy": name, "form": form, "prompt": one.task.prompt}
        text = one.completion
        said = counts(text) if name == MODEL else {"completion": text}
        kept = {"length": one.length, "truncated": one.truncated}
        row = asked | said | kept | {"accuracy": one.accuracy}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def lab_rows() -> str:
    """Every policy of the lab in every form."""
    text = ""
    for name in (*LAB, TRAINED):
        policy = rl.load_policy(name)
        for form in LAB_FORMS:
            task_set = rl.load_task(_SIZES.get(form, "search"))
            tasks = task_set.held_out()[:LAB_QUESTIONS]
            prompt = partial(lab_prompt, form)
            found = ask(policy, task_set, tasks, prompt, LAB_SAMPLES, LAB_TOKENS)
            text += rows("GRPO, seed 0" if name == TRAINED else name, form, found)
    return text


def model_rows() -> str:
    """SmolLM2 in every form."""
    policy, tasks, text = rl.load_policy(MODEL), model_questions(), ""
    for form in MODEL_FORMS:
        prompt = partial(model_prompt, form)
        found = ask(policy, _Numbers(), tasks, prompt, MODEL_SAMPLES, MAX_TOKENS)
        text += rows(MODEL, form, found)
        print(form, len(found), flush=True)
    return text


def main(folder: Path = DATA) -> int:
    """Sample everything, then write both files whole."""
    torch.set_num_threads(1)
    limits = {MODEL: MAX_TOKENS, "lab": LAB_TOKENS}
    settings = {"seed": SEED, "temperature": 1.0, "max_completion_length": limits}
    forms = {MODEL: MODEL_FORMS, "lab": LAB_FORMS}
    meta = describe_run() | settings | {"forms": forms}
    text = model_rows() + lab_rows()
    write_record(folder, "responses.jsonl", text, meta)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
