"""Rules that weigh rewards batch by batch, in our loop, its resumption and TRL's."""

import dataclasses

import pytest
import torch

from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.equations.weighting import (
    saturation_weights,
    sigma_weights,
    variation_weights,
)
from rlnotes.policies.policy import load_policy
from rlnotes.records.reading import load_run
from rlnotes.training.config import make_config
from rlnotes.training.config_checks import WEIGHTINGS
from rlnotes.training.learner import Learner
from rlnotes.training.loop import train
from rlnotes.training.weighting import RULES, Weighting

SMALL = {
    "algorithm": "gdpo",
    "policy": "search-base",
    "task": "search",
    "bf16": False,
    "max_steps": 2,
    "generation_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 32,
    "length_limit": 20,
    "learning_rate": 1e-3,
    "save_policy": False,
}
RULE = """
import torch


def rule(rewards, num_generations):
    return [1.0, 0.25]


def by_row(rewards, num_generations):
    return torch.ones_like(rewards) * torch.tensor([1.0, 0.25])


def wrong(rewards, num_generations):
    return [1.0, 1.0, 1.0]


def broken(rewards, num_generations):
    return [1 / 0, 1]
"""
REWARDS = torch.tensor([[1, 1], [0, 1], [0, 1], [0, 0], [1, 1], [0, 1], [0, 1], [0, 1]])


def config_with(**overrides):
    return make_config(**{**SMALL, **overrides})


def run(config, **options):
    return train(config, progress=False, evaluations=False, **options)


def advantages(config, rewards=REWARDS):
    """What the loop makes of given rewards, through `Learner` and `weigh_rewards`."""
    from rlnotes.training.batches import Batch, weigh_rewards

    learner = Learner.create(config, load_policy("search-base"))
    rewards = rewards.float()
    mask = torch.ones(len(rewards), 1)
    batch = Batch(None, rewards, rewards.new_zeros(len(rewards)), mask)
    weigh_rewards(batch, config, learner.weighting)
    return batch


def test_every_name_has_its_rule():
    assert tuple(RULES) == WEIGHTINGS


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("saturation", lambda r: saturation_weights(r, gamma=0.5)),
        ("variation", variation_weights),
        ("sigma", lambda r: sigma_weights(r, 4)),
        # one step of 0.2 from 1, towards 0.9, at a mean of 7/8
        ("lagrangian", lambda r: torch.tensor([1.0, 1 + 0.2 * (0.9 - 0.875)])),
    ],
)
def test_a_rule_by_name_weighs_what_is_normalized(name, weights):
    batch = advantages(config_with(reward_weighting=name))
    rewards = REWARDS.float()
    expected = decoupled_advantages(rewards, 4, reward_weights=weights(rewards))
    torch.testing.assert_close(batch.advantages, expected)
    assert batch.reward_weights.shape == rewards.shape
    static = advantages(config_with())
    assert static.reward_weights is None
    assert not torch.allclose(static.advantages, expected)


def test_a_rule_multiplies_the_weights_of_the_config_and_weighs_a_sum_too():
    weights = saturation_weights(REWARDS) * torch.tensor([1.0, 0.5])
    config = config_with(reward_weighting="saturation", reward_weights=[1.0, 0.5])
    expected = decoupled_advantages(REWARDS.float(), 4, reward_weights=weights)
    torch.testing.assert_close(advantages(config).advantages, expected)
    summed = dataclasses.replace(
        config, multi_objective_aggregation="sum_then_normalize"
    )
    expected = group_relative_advantages((REWARDS * weights).sum(1), 4)
    torch.testing.assert_close(advantages(summed).advantages, expected)


def test_without_batch_norm_it_is_mo_grpo():
    found = advantages(config_with(advantage_batch_norm=False)).advantages
    expected = decoupled_advantages(REWARDS.float(), 4, batch_stats="none")
    assert torch.equal(found, expected)


def test_a_rule_sees_what_is_paid():
    """Conditioned, the second reward is that of the right ones: both are as rare."""
    config = config_with(
        reward_weighting="saturation", conditioned_reward="length_reward"
    )
    weights = advantages(config).reward_weights
    assert weights[0, 0] == weights[0, 1] == pytest.approx(0.75**0.5)


def test_multipliers_go_from_batch_to_batch():
    weighting = Weighting(config_with(reward_weighting="lagrangian"))
    missed = torch.tensor([[1.0, 0.4], [0.0, 0.4]])
    moved = [weighting.weigh(missed).tolist() for _ in range(3)]
    assert moved == [[1.0, pytest.approx(1 + 0.1 * n)] for n in (1, 2, 3)]


class Killed(BaseException):
    """Nothing in the library catches it."""


def killed_at(step):
    def on_step(row):
        if row["step"] == step:
            raise Killed

    return on_step


def test_multipliers_survive_a_kill(tmp_path):
    config = config_with(reward_weighting="lagrangian", max_steps=3, save_steps=1)
    key = "reward_weights/length_reward"
    whole = run(config).metrics[key].tolist()
    assert len({1.0, *whole}) == 4
    with pytest.raises(Killed):
        run(config, output=tmp_path / "run", on_step=killed_at(3))
    assert run(config, output=tmp_path / "run", resume=True).metrics[key].tolist() == (
        whole
    )


@pytest.mark.trl
def test_multipliers_survive_a_kill_under_trl(tmp_path):
    pytest.importorskip("trl")
    from rlnotes.engines.trl import train_with_trl

    options = {"progress": False, "evaluations": False, "report_to": "none"}
    config = config_with(reward_weighting="lagrangian", max_steps=3, save_steps=1)
    key = "reward_weights/length_reward"
    whole = train_with_trl(config, **options).metrics[key].tolist()
    assert len({1.0, *whole}) == 4
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        train_with_trl(config, output=folder, on_step=killed_at(3), **options)
    resumed = train_with_trl(config, output=folder, resume=True, **options)
    assert resumed.metrics[key].tolist() == whole


@pytest.fixture
def rule(tmp_path):
    path = tmp_path / "my_rule.py"
    path.write_text(RULE)
    return path


def test_a_rule_of_ones_own_weighs_and_is_kept(rule, tmp_path):
    expected = decoupled_advantages(REWARDS.float(), 4, reward_weights=[1.0, 0.25])
    for name in ("rule", "by_row"):
        found = advantages(config_with(reward_weighting=f"{rule}:{name}"))
        torch.testing.assert_close(found.advantages, expected)
    config = config_with(reward_weighting=f"{rule}:rule", max_steps=1)
    run(config, output=tmp_path / "run")
    record = load_run(tmp_path / "run")
    assert record.metrics["reward_weights/length_reward"].iloc[-1] == 0.25
    [kept] = (tmp_path / "run" / "rewards").iterdir()
    assert kept.read_text() == RULE


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "^reward_weighting: .* has no function 'nothing'"),
        ("wrong", r"weights of .*:wrong must have shape \(2,\), got \(3,\)"),
        ("broken", "^reward_weighting: .*:broken: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_it_shows_before_anything_is_written(
    rule, tmp_path, name, message
):
    with pytest.raises(ValueError, match=message):
        run(config_with(reward_weighting=f"{rule}:{name}"), output=tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["my_rule.py"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"reward_weighting": "saturated"}, "^reward_weighting must be one of static,"),
        ({"reward_weighting": "a b:f"}, "^reward_weighting: expected file.py"),
        (
            {"reward_weighting": "sigma", "reward_funcs": ["accuracy_reward"]},
            "needs two or more reward_funcs",
        ),
        (
            {"reward_weighting": "lagrangian", "reward_weights": [1.0, -1.0]},
            "reward_weights must be >= 0",
        ),
        ({"reward_weighting": "variation", "algorithm": "ppo"}, "with a critic"),
        ({"saturation_gamma": -0.1}, "^saturation_gamma must be >= 0"),
        ({"constraint_rate": -0.1}, "^constraint_rate must be >= 0"),
    ],
)
def test_what_no_run_could_mean_is_refused(overrides, message):
    funcs = {"reward_funcs": ["accuracy_reward", "length_reward"]}
    with pytest.raises(ValueError, match=message):
        config_with(**(funcs | overrides))
