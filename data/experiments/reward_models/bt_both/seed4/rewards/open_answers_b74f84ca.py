"""Rewards for answers that are more or less good, of which one is hidden: the gold.

A response of the search lab may be right and still try things twice, ramble, or answer
what it has just seen to be wrong. Five criteria say so; the gold score weighs them, and
counts style only where the answer is right. A rater who prefers by the gold score, and
by length, and now and then by mistake, leaves pairs; reward models learn from these.

    experiments/open_answers.py:bt_biased_seed0     a reward model of seed 0
    experiments/open_answers.py:gold                and so on: names for a config

A reward model that is not there yet is trained from its seed, in half a minute.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch

import rlnotes as rl
from rlnotes.rewards.rewards import completion_text
from rlnotes.supervised.reward_model import (
    RewardModel,
    load_reward_model,
    train_reward_model,
)

BASE, TASK = "search-base", "search"
MODELS = rl.runs_folder() / "reward_models"
MAX_LENGTH = 72  # tokens of a response, six tries
BRIEF = 4  # tries
PROMPTS, SAMPLES = 768, 4  # that the rater sees; each sample is in two pairs
MEMBERS = 3
SHARPNESS = 5.0  # log-odds that a point of gold makes


@dataclass(frozen=True)
class Rater:
    """Who left the preferences: what a length and a mistake weigh."""

    length_bias: float
    """Log-odds for each ten tokens more."""
    noise: float
    """Share of the pairs whose label is turned round."""


RATERS = {
    "fair": Rater(0.0, 0.05),
    "biased": Rater(1.0, 0.05),
    "noisy": Rater(0.0, 0.35),
    "both": Rater(1.0, 0.35),
}
CRITERIA = ("right", "fresh", "brief", "sound", "honest")
RUBRIC = (1.0, 0.7, 0.3, 0.3, 0.9)  # RaR: essential, important, optional ×2, pitfall


def judge(completion: object, numbers: Sequence[int], target: int) -> dict[str, float]:
    """The five criteria of a response, each 0 or 1.

    right    the answer makes the target
    fresh    no operators are tried twice
    brief    at most four tries
    sound    every try is well formed, uses the question's numbers and computes right
    honest   it does not answer what it has seen to miss (the pitfall, avoided)
    """
    task = rl.Task("", "", {"numbers": list(numbers), "target": target})
    seen = rl.analyze(completion_text(completion), task)
    wrong = seen.malformed_tries + seen.foreign_tries
    sound = seen.tries > 0 and not wrong and seen.correct_equations == seen.equations
    met = (
        seen.solved,
        seen.tries > 0 and not seen.repeated_tries,
        0 < seen.tries <= BRIEF,
        sound,
        not seen.give_ups,
    )
    return {name: float(one) for name, one in zip(CRITERIA, met, strict=True)}


def gold_score(met: dict[str, float]) -> float:
    """What the trainer never sees: style counts where the answer is right.

    gold = right·(0.4 + 0.2·(fresh + brief + sound)) − 0.2·(1 − honest) ∈ [−0.2, 1]
    """
    style = met["fresh"] + met["brief"] + met["sound"]
    return met["right"] * (0.4 + 0.2 * style) - 0.2 * (1 - met["honest"])


def criteria(
    completions: Sequence[Any], numbers: Sequence[Any], target: Sequence[int]
) -> list[dict[str, float]]:
    """`judge` of each completion."""
    rows = zip(completions, numbers, target, strict=True)
    return [judge(*row) for row in rows]


def gold(completions, numbers, target, **kwargs):
    """The hidden score, for the log: its weight is 0 in every arm but "true"."""
    return [gold_score(met) for met in criteria(completions, numbers, target)]


def one_criterion(name, completions, numbers, target, *, conditioned=False, **kwargs):
    """One criterion as a reward; `conditioned`: only where the answer is right."""
    found = criteria(completions, numbers, target)
    return [met[name] * (met["right"] if conditioned else 1.0) for met in found]


def rubric(completions, numbers, target, **kwargs):
    """The rubric's weighted share (RaR, explicit): weights of the gold are unknown."""
    found = criteria(completions, numbers, target)
    table = torch.tensor([[met[name] for name in CRITERIA] for met in found])
    return rl.rubric_scores(table, torch.tensor(RUBRIC)).tolist()


def form(completions, numbers, target, **kwargs):
    """The rubric without its essential criterion: style alone, right or wrong."""
    found = criteria(completions, numbers, target)
    table = torch.tensor([[met[name] for name in CRITERIA[1:]] for met in found])
    return rl.rubric_scores(table, torch.tensor(RUBRIC[1:])).tolist()


def random_coin(prompts, completions, trainer_state, **kwargs):
    """A coin for each completion, the same whenever the run is repeated."""
    step = getattr(trainer_state, "global_step", 0)
    coin = random.Random(f"coin/{step}/{prompts[0]}")
    return [float(coin.random() < 0.5) for _ in completions]


def constant(completions, **kwargs):
    """One for everything."""
    return [1.0] * len(completions)


def wrong(completions, numbers, target, **kwargs):
    """One for what is not right."""
    return [1 - met["right"] for met in criteria(completions, numbers, target)]


# --- reward models -------------------------------------------------------------------


def bradley_terry(rater, seed, prompts, completion_ids, **kwargs):
    """The scalar score of a reward model."""
    return reward_model(rater, seed, 0).score(whole(prompts, completion_ids)).tolist()


def ensemble(rater, seed, prompts, completion_ids, **kwargs):
    """The lower bound of three reward models, trained on resampled pairs."""
    rows = whole(prompts, completion_ids)
    models = [reward_model(rater, seed, member) for member in range(MEMBERS)]
    scores = torch.stack([model.score(rows) for model in models])
    return rl.ensemble_lower_bound(scores, k=1.0).tolist()


def win_rate(rater, seed, prompts, completion_ids, **kwargs):
    """Share of its group that a completion beats by the reward model (Pref-GRPO)."""
    scores = reward_model(rater, seed, 0).score(whole(prompts, completion_ids))
    rates = torch.full_like(scores, 0.5)
    for rows in rl.group_rows(prompts):
        if len(rows) > 1:
            rates[rows] = rl.win_rates(scores[rows], len(rows))
    return rates.tolist()


KINDS: dict[str, Callable[..., Any]] = {
    "bt": bradley_terry,
    "ensemble": ensemble,
    "win_rate": win_rate,
}


def __getattr__(name: str) -> Callable[..., Any]:
    """`bt_biased_seed3`: kind, rater and seed; `if_right_fresh`, `only_fresh`."""
    found = re.fullmatch(rf"({'|'.join(KINDS)})_({'|'.join(RATERS)})_seed(\d+)", name)
    if found:
        return partial(KINDS[found[1]], found[2], int(found[3]))
    found = re.fullmatch(rf"(only|if_right)_({'|'.join(CRITERIA)})", name)
    if found:
        return partial(one_criterion, found[2], conditioned=found[1] == "if_right")
    raise AttributeError(name)


def whole(
    prompts: Sequence[str], completion_ids: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Prompt and completion as one row of ids."""
    vocabulary = words()
    return [
        [*(vocabulary[word] for word in prompt.split()), *ids]
        for prompt, ids in zip(prompts, completion_ids, strict=True)
    ]


@lru_cache(1)
def words() -> dict[str, int]:
    """The lab's vocabulary."""
    return rl.search_tokenizer().get_vocab()


@lru_cache(1)
def rated(seed: int) -> tuple[list[list[int]], list[float], list[int]]:
    """(ids, gold, lengths) of the base policy's samples, four a prompt in a row."""
    task = rl.load_task(TASK)
    rollouts = rl.generate_rollouts(
        rl.load_policy(BASE),
        task.sample(PROMPTS, seed=seed + 500_000, step=0),
        num_generations=SAMPLES,
        max_completion_length=MAX_LENGTH,
        generator=torch.Generator().manual_seed(seed + 500_000),
    )
    asked = [one for one in rollouts.tasks for _ in range(SAMPLES)]
    lengths = rollouts.lengths.tolist()
    ids = [
        row[:n]
        for row, n in zip(rollouts.completion_ids.tolist(), lengths, strict=True)
    ]
    golds = [
        gold_score(judge(text, one.columns["numbers"], one.columns["target"]))
        for text, one in zip(rollouts.texts, asked, strict=True)
    ]
    return whole([one.prompt for one in asked], ids), golds, lengths


def preferences(rater: Rater, seed: int) -> list[tuple[int, int]]:
    """(chosen, rejected) rows of `rated`: neighbors within each prompt's samples.

    P(a ≻ b) = σ(5·(gold_a − gold_b) + bias·(len_a − len_b)/10), turned round with the
    rater's noise.
    """
    _, golds, lengths = rated(seed)
    draw = torch.Generator().manual_seed(seed)
    pairs = []
    for start in range(0, len(golds), SAMPLES):
        for i in range(SAMPLES):
            a, b = start + i, start + (i + 1) % SAMPLES
            odds = SHARPNESS * (golds[a] - golds[b])
            odds += rater.length_bias * (lengths[a] - lengths[b]) / 10
            first, turned = torch.rand(2, generator=draw).tolist()
            prefers = (first < float(torch.sigmoid(torch.tensor(odds)))) != (
                turned < rater.noise
            )
            pairs.append((a, b) if prefers else (b, a))
    return pairs


@lru_cache(None)
def reward_model(rater: str, seed: int, member: int) -> RewardModel:
    """The reward model of a rater and a seed; trained and kept if it is not there."""
    folder = MODELS / rater / f"seed{seed}_{member}"
    if not folder.is_dir():
        made = folder.with_name(f"{folder.name}.{os.getpid()}")
        train_member(rater, seed, member).save(made)
        try:
            os.replace(made, folder)
        except OSError:  # another process was first: the same weights
            shutil.rmtree(made)
    return load_reward_model(folder)


def train_member(rater: str, seed: int, member: int) -> RewardModel:
    """Member 0 learns from all pairs, the others from a bootstrap sample of them."""
    rows, _, _ = rated(seed)
    pairs = preferences(RATERS[rater], seed)
    if member:
        pairs = random.Random(f"{seed}/{member}").choices(pairs, k=len(pairs))
    chosen = [(rows[a], rows[b]) for a, b in pairs]
    return train_reward_model(rl.load_policy(BASE), chosen, seed=10 * seed + member)
