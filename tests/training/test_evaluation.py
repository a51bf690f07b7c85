"""Majority vote, lengths by outcome, and what the search lab says of its responses."""

import dataclasses

import pytest
import torch

from rlnotes.policies.policy import Policy
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.supervised.search_pretraining import Pretraining, pretrain
from rlnotes.tasks.loading import load_task
from rlnotes.training.batches import prepare
from rlnotes.training.chosen_rewards import build_rewards
from rlnotes.training.config import make_config
from rlnotes.training.evaluation import describe, evaluate, majority_accuracy, summarize
from rlnotes.training.learner import Learner
from rlnotes.training.loop import collect, train
from rlnotes.training.updates import update
from tests.conftest import random_policy

SEARCH = load_task("search")
SMALL = Pretraining(
    steps=1, batch_size=4, hidden_size=16, intermediate_size=16, num_hidden_layers=1
)
HIT, MISS = "5 + 6 = 11 + 9 = 20 ? 20", "5 * 6 = 30 - 9 = 21 ? 20"


@pytest.fixture(scope="module")
def searcher() -> Policy:
    return pretrain(SMALL, progress=False)


def answered(*texts, groups=1):
    """Rollouts whose texts are these."""
    tasks = [SEARCH.task([5, 6, 9], 20)] * groups
    size = len(texts) // groups
    blank = torch.zeros(len(texts), 1)
    rollouts = generate_rollouts(
        pretrain(SMALL, progress=False),
        tasks,
        num_generations=size,
        max_completion_length=1,
    )
    assert len(rollouts) == len(blank)
    return dataclasses.replace(rollouts, texts=list(texts))


@pytest.mark.parametrize(
    ("answers", "right", "expected"),
    [
        (["+ +", "+ +", "* -"], [1.0, 1.0, 0.0], 1.0),
        (["* -", "+ +", "* -"], [0.0, 1.0, 0.0], 0.0),
        (["+ +", "* -"], [1.0, 0.0], 1.0),  # a tie: the first drawn
        (["* -", "+ +"], [0.0, 1.0], 0.0),
    ],
)
def test_the_most_frequent_answer_counts(answers, right, expected):
    rollouts = answered(*[f"answer {x}" for x in answers])
    assert majority_accuracy(rollouts, torch.tensor([right]), SEARCH) == expected


def test_without_an_answer_there_is_no_vote_and_groups_are_averaged():
    rollouts = answered(MISS, MISS, "answer + +", "hm", groups=2)
    right = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert majority_accuracy(rollouts, right, SEARCH) == 0.5


def test_arithmetic_votes_on_the_last_number():
    task = load_task("multiplication")
    assert task.read_answer("7 * 8 = 56.", task.held_out()[0]) == "56"
    assert task.read_answer("no idea", task.held_out()[0]) is None


def test_the_search_task_describes_its_responses_and_others_do_not(policy, task):
    rollouts = answered(f"{MISS} wait {HIT} answer + +", f"{MISS} answer * -")
    rates = describe(rollouts, SEARCH)
    assert rates["search/waits"] == 0.5 and rates["search/solved"] == 0.5
    assert "search/hits_recognized" not in describe(answered("hm", "hm"), SEARCH)
    assert describe(rollouts, task) == {}


def test_evaluation_has_average_majority_and_best_of_k(searcher):
    config = make_config(
        task="search", bf16=False, eval_samples=3, max_completion_length=20
    )
    row = evaluate(searcher, SEARCH, config)
    assert {"eval/sampled_accuracy", "eval/maj@3", "eval/pass@3"} <= set(row)
    assert "eval/search/waits" in row


def test_lengths_are_split_by_right_and_wrong(task):
    config = make_config(
        policy="tiny",
        task="scratch-addition",
        bf16=False,
        generation_batch_size=8,
        num_generations=4,
        max_completion_length=6,
    )
    learner = Learner.create(config, random_policy(seed=4))
    rollouts, rewards, _ = collect(learner, task, build_rewards(config, task), 1)
    rewards = torch.tensor([[1.0], [0.0]] * 4)
    batch = prepare(learner, rollouts, rewards)
    row = summarize(learner, batch, task, update(learner, batch, 1), {})
    lengths = rollouts.lengths.float()
    assert row["completions/mean_length_right"] == float(lengths[::2].mean())
    assert row["completions/mean_length_wrong"] == float(lengths[1::2].mean())


def test_a_budget_below_one_response_is_refused_before_anything_is_written(tmp_path):
    config = make_config(task="search", bf16=False, max_completion_length=14)
    with pytest.raises(ValueError, match="max_completion_length=14 .* 15 tokens"):
        train(config, policy=random_policy(), output=tmp_path / "run", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_search_run_records_what_its_responses_did(searcher, tmp_path):
    config = make_config(
        algorithm="grpo",
        task="search",
        bf16=False,
        max_steps=1,
        generation_batch_size=8,
        num_generations=4,
        max_completion_length=16,
    )
    result = train(
        config,
        policy=Policy(searcher.model, searcher.tokenizer, "small"),
        progress=False,
        evaluations=False,
    )
    assert "search/waits" in result.metrics and "search/tries" in result.metrics
