"""Which of a policy's own responses become the next policy's lessons.

R1 samples several responses a prompt and keeps what is right and readable: rejection
sampling. Its cold start also rewrites them in one language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from rlnotes.policies.policy import Policy
from rlnotes.rewards.language import share_of_words
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.tasks.base import Prompt, Task, TaskSet
from rlnotes.tasks.search_language import ANSWER, WAIT
from rlnotes.tasks.search_traces import analyze

_IN_ENGLISH = {foreign: english for english, foreign in (WAIT, ANSWER)}
_PROMPTS_AT_ONCE = 64


@dataclass(frozen=True)
class Response:
    """One sampled response with its question and whether the task's verifier agreed."""

    task: Task
    completion: str
    length: int
    """Tokens, the end included."""
    accuracy: float
    truncated: bool

    @property
    def example(self) -> dict[str, Prompt | str]:
        """The pair that `fine_tune` learns from."""
        return {"prompt": self.task.prompt, "completion": self.completion}


def sample_responses(
    policy: Policy,
    task_set: TaskSet,
    tasks: Sequence[Task],
    *,
    num_generations: int,
    max_completion_length: int,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[Response]:
    """`num_generations` responses to each task, in order; a function of its arguments.

    Memory stays that of 64 prompts however many there are.
    """
    responses: list[Response] = []
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(tasks), _PROMPTS_AT_ONCE):
        rollouts = generate_rollouts(
            policy,
            tasks[start : start + _PROMPTS_AT_ONCE],
            num_generations=num_generations,
            max_completion_length=max_completion_length,
            temperature=temperature,
            generator=generator,
        )
        for row, text in enumerate(rollouts.texts):
            task = rollouts.tasks[row // num_generations]
            length, cut = int(rollouts.lengths[row]), bool(rollouts.truncated[row])
            accuracy = task_set.verify(text, task)
            responses.append(Response(task, text, length, accuracy, cut))
    return responses


def reject(
    responses: Iterable[Response],
    *keep: Callable[[Response], bool],
    per_prompt: int | None = None,
) -> list[Response]:
    """The responses that every rule keeps, at most `per_prompt` of a question."""
    kept: list[Response] = []
    counts: dict[str, int] = {}
    for response in responses:
        key = str(response.task.prompt)
        full = per_prompt is not None and counts.get(key, 0) >= per_prompt
        if not full and all(rule(response) for rule in keep):
            counts[key] = counts.get(key, 0) + 1
            kept.append(response)
    return kept


def is_right(response: Response) -> bool:
    """Accuracy 1 and ended by itself."""
    return response.accuracy >= 1 and not response.truncated


def is_readable(response: Response) -> bool:
    """Search lab: every try is well formed and none is made twice."""
    trace = analyze(response.completion, response.task)
    return not trace.malformed_tries and not trace.repeated_tries


def is_english(response: Response) -> bool:
    """Every word of the response is in Latin script."""
    return share_of_words(response.completion, language="en") == 1.0


def in_english(response: Response) -> Response:
    """Search lab: the response with 等 as `wait` and 答 as `answer`.

    It stands for the rewriting by DeepSeek-V3 and by people of R1's cold start.
    """
    words = [_IN_ENGLISH.get(word, word) for word in response.completion.split()]
    return Response(
        response.task,
        " ".join(words),
        response.length,
        response.accuracy,
        response.truncated,
    )
