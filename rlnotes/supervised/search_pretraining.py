"""Pretraining of the search lab's policies on noisy demonstrations of guess and check.

    rlnotes pretrain --config configs/pretrain/search-base.yaml

A demonstrator tries legal operators at random, answers a hit, and after a miss flips a
coin between `wait` and giving up. The policy that imitates it computes well, knows a
hit when it sees one, and gives up too early: what reward can change.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from tqdm import trange

from rlnotes.equations.validation import check_range
from rlnotes.policies.policy import Policy
from rlnotes.policies.tiny import fast_tokenizer, ids_and_labels, small_llama
from rlnotes.tasks.base import Task
from rlnotes.tasks.search import SEARCH_TASKS
from rlnotes.tasks.search_language import (
    ANSWER,
    LARGEST,
    OPERATORS,
    WAIT,
    legal_tries,
    write_try,
)

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
_WORDS = ("make", "from", ":", "=", "?", *OPERATORS, *WAIT, *ANSWER)
_LENGTH_BUCKETS = 4


@dataclass(frozen=True)
class Pretraining:
    """Everything that decides the weights of a search policy; one YAML file."""

    name: str = "search-base"
    seed: int = 0
    steps: int = 2000
    batch_size: int = 192
    """Demonstrations a step."""
    learning_rate: float = 3e-3
    """Peak of the one-cycle schedule."""
    hidden_size: int = 128
    intermediate_size: int = 256
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 1
    initializer_range: float = 0.05
    retry: float = 0.5
    """Probability of `wait` after a miss."""
    informed: float = 0.5
    """Probability that a try is a solution while the lesson lasts. A hit is rare by
    chance, and a policy that seldom sees one does not learn to tell it from a miss."""
    lesson: float = 0.7
    """Share of the steps in which the demonstrator is informed now and then."""
    recognize: bool = True
    """False: a hit is answered no more often than a miss, the control."""
    max_tries: int = 8
    second_language: float = 0.0
    """Share of responses that draw each of the two words from either language."""
    levels: Mapping[str, float] = field(
        default_factory=lambda: {"search-easy": 0.1, "search": 0.8, "search-hard": 0.1}
    )
    """Shares of the tasks among the demonstrations."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, before anything is loaded or written."""
        for name in ("steps", "batch_size", "max_tries"):
            check_range(name, getattr(self, name), low=1)
        for name in ("retry", "informed", "lesson", "second_language"):
            check_range(name, getattr(self, name), low=0, high=1)
        unknown = sorted(set(self.levels) - set(SEARCH_TASKS))
        if unknown or not sum(self.levels.values()) > 0:
            raise ValueError(
                f"levels must give shares to some of {sorted(SEARCH_TASKS)},"
                f" got {dict(self.levels)}"
            )


def search_tokenizer() -> Any:
    """One token a word: 0…99, the operators, and the task's other words and marks."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = [PAD, EOS, UNKNOWN, *_WORDS, *map(str, range(LARGEST + 1))]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return fast_tokenizer(tokenizer, pad=PAD, eos=EOS, unknown=UNKNOWN)


def demonstrate(
    task: Task, rng: random.Random, settings: Pretraining, *, lesson: bool = False
) -> str:
    """One noisy response: random legal tries, then an answer, right or given up.

    A try is drawn with replacement, so it may repeat an earlier one. In the `lesson`
    some tries are informed. Without `recognize`, `wait` is as likely after a hit as
    after a miss.
    """
    numbers, target = tuple(task.columns["numbers"]), task.columns["target"]
    results = legal_tries(numbers)
    solutions = [choice for choice, value in results.items() if value == target]
    informed = settings.informed if lesson else 0.0
    mixed = rng.random() < settings.second_language
    words: list[str] = []
    for number in range(1, settings.max_tries + 1):
        pool = solutions if rng.random() < informed else list(results)
        operators = rng.choice(pool)
        words += write_try(numbers, operators, target)
        found = settings.recognize and results[operators] == target
        if found or rng.random() >= settings.retry or number == settings.max_tries:
            return " ".join([*words, _word(ANSWER, mixed, rng), *operators])
        words.append(_word(WAIT, mixed, rng))
    raise AssertionError("max_tries is at least 1")


def _word(languages: tuple[str, str], mixed: bool, rng: random.Random) -> str:
    return rng.choice(languages) if mixed else languages[0]


def pretrain(settings: Pretraining, *, progress: bool = True) -> Policy:
    """The policy that imitates the demonstrator: min −E[log π(response | prompt)].

    A function of its settings: the same seed gives the same weights on one machine;
    the global random state is left alone. Numbers held out from RL never occur.
    """
    tokenizer = search_tokenizer()
    model = untrained(settings, tokenizer)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    vocabulary = tokenizer.get_vocab()
    with trange(settings.steps, desc="pretraining", disable=not progress) as bar:
        for step in bar:
            loss = _backward(model, demonstration_ids(settings, step, vocabulary))
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
    return Policy(model.eval(), tokenizer, settings.name)


def demonstration_ids(
    settings: Pretraining, step: int, vocabulary: Mapping[str, int]
) -> list[tuple[list[int], int]]:
    """A step's demonstrations as ids with the prompt's length, eos included."""
    rng = random.Random(f"demonstrations/{settings.seed}/{step}")
    names = rng.choices(
        list(settings.levels), list(settings.levels.values()), k=settings.batch_size
    )
    lesson = step < settings.lesson * settings.steps
    rows = []
    for name in sorted(set(names)):
        seed, count = settings.seed + 1_000_000, names.count(name)
        for task in SEARCH_TASKS[name].sample(count, seed=seed, step=step):
            prompt = str(task.prompt).split()
            response = demonstrate(task, rng, settings, lesson=lesson)
            words = [*prompt, *response.split(), EOS]
            rows.append(([vocabulary[word] for word in words], len(prompt)))
    return rows


def _backward(model: Any, rows: list[tuple[list[int], int]]) -> float:
    """Gradient of the mean loss over response tokens; rows of like length together."""
    rows = sorted(rows, key=lambda row: len(row[0]))
    total = sum(len(ids) - prompt for ids, prompt in rows)
    size, loss = -(-len(rows) // _LENGTH_BUCKETS), 0.0
    for start in range(0, len(rows), size):
        ids, labels = ids_and_labels(rows[start : start + size])
        logits = model(input_ids=ids).logits[:, :-1]
        part = cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
        )
        (part / total).backward()
        loss += float(part.detach()) / total
    return loss


def untrained(settings: Pretraining, tokenizer: Any) -> Any:
    """The Llama that pretraining starts from."""
    names = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "initializer_range",
    )
    sizes = {name: getattr(settings, name) for name in names}
    return small_llama(tokenizer, settings.seed, max_position_embeddings=512, **sizes)
