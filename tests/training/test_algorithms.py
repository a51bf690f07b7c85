"""Configs: five algorithms as differences, and what is refused before a run starts."""

from pathlib import Path

import pytest
import yaml

from rlnotes.training.config import (
    ALGORITHMS,
    config_from_notebook,
    load_config,
    make_config,
)

FOLDER = Path(__file__).parents[2] / "configs"
RECIPE = FOLDER / "r1_zero.yaml"  # GRPO with R1-Zero's rewards: no algorithm of its own
CONFIGS = sorted({*FOLDER.glob("*.yaml")} - {RECIPE})
SEARCH_CONFIGS = sorted((FOLDER / "search").glob("*.yaml"))


def test_every_algorithm_has_a_config_file_that_loads_and_names_it():
    for paths in (CONFIGS, SEARCH_CONFIGS):
        assert {path.stem for path in paths} == set(ALGORITHMS)
        for path in paths:
            assert load_config(path).algorithm == path.stem


def test_r1_zero_is_grpo_with_the_two_rules():
    config = load_config(RECIPE)
    assert (config.algorithm, config.task) == ("grpo", "addition-r1")
    assert config.reward_funcs == ("accuracy_reward", "format_reward")
    assert config.reward_weights is None and config.beta == 0.001


def test_the_search_lab_compares_algorithms_and_nothing_else():
    """Batch, length, learning rate, updates a step, evaluation: one value for all."""
    same = ["task", "policy", "max_steps", "generation_batch_size", "num_generations"]
    same += ["max_completion_length", "learning_rate", "updates_per_step", "bf16"]
    same += ["temperature", "eval_steps", "eval_samples", "per_device_train_batch_size"]
    configs = [load_config(path) for path in SEARCH_CONFIGS]
    for name in same:
        assert len({getattr(config, name) for config in configs}) == 1, name


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_config_file_agrees_with_its_algorithm(path):
    values = yaml.safe_load(path.read_text())
    for name, value in ALGORITHMS[path.stem].items():
        if name in values:
            given = values[name]
            assert (tuple(given) if isinstance(given, list) else given) == value


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_config_survives_yaml(algorithm, tmp_path):
    config = make_config(algorithm=algorithm, seed=3)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.to_dict()))
    assert load_config(path) == config


def test_what_separates_the_algorithms():
    grpo = make_config()
    assert (grpo.loss_type, grpo.scale_rewards, grpo.critic) == ("grpo", "group", False)
    dr = make_config(algorithm="dr_grpo")
    assert (dr.loss_type, dr.scale_rewards) == ("dr_grpo", "none")
    dapo = make_config(algorithm="dapo")
    assert (dapo.epsilon, dapo.epsilon_high, dapo.beta) == (0.2, 0.28, 0.0)
    assert dapo.dynamic_sampling and dapo.loss_type == "dapo"
    gdpo = make_config(algorithm="gdpo")
    assert gdpo.multi_objective_aggregation == "normalize_then_sum"
    assert make_config(algorithm="ppo").critic


def test_none_leaves_the_choice_to_the_algorithm():
    assert make_config(algorithm="dapo", epsilon_high=None).epsilon_high == 0.28


def test_numbers_written_as_yaml_text_are_numbers():
    assert make_config(learning_rate="1e-6").learning_rate == 1e-6
    assert make_config(learning_rate=1).learning_rate == 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"epsilonhigh": 0.28},
            "no parameter 'epsilonhigh'.*did you mean 'epsilon_high'",
        ),
        ({"algorithm": "trpo"}, "algorithm must be one of"),
        ({"max_steps": "ten"}, "max_steps must be int, got 'ten'"),
        ({"max_steps": True}, "max_steps must be int, got True"),
        ({"max_steps": 1.5}, "max_steps must be int, got 1.5"),
        ({"learning_rate": "fast"}, "learning_rate must be float"),
        ({"bf16": 1}, "bf16 must be bool"),
        ({"reward_funcs": "accuracy_reward"}, "reward_funcs must be"),
        ({"reward_funcs": ["applause"]}, "reward_funcs must be one of"),
        ({"reward_funcs": []}, "at least one reward"),
        ({"reward_weights": [1.0, 2.0]}, "reward_weights has 2 values"),
        ({"loss_type": "mean"}, "loss_type must be one of"),
        ({"scale_rewards": "std"}, "scale_rewards must be one of"),
        ({"kl_gradient": "k3"}, "kl_gradient must be one of"),
        ({"generation_batch_size": 65}, "multiple of num_generations"),
        ({"num_generations": 1}, "num_generations=1 leaves"),
        ({"steps_per_generation": 3}, "steps_per_generation=3 must divide"),
        ({"per_device_train_batch_size": 12}, "positive multiple"),
        ({"max_steps": 0}, "max_steps must be > 0"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"beta": -0.1}, "beta must be >= 0"),
        ({"gamma": 1.5}, "gamma must be in"),
        (
            {"algorithm": "dapo", "soft_punish_cache": 24},
            "soft_punish_cache=24 must lie between",
        ),
        ({"conditioned_reward": "length_reward"}, "conditioned_reward must be one of"),
        (
            {"algorithm": "gdpo", "conditioned_reward": "accuracy_reward"},
            "condition_on must be one of",
        ),
    ],
)
def test_refused_before_anything_starts(values, message):
    with pytest.raises(ValueError, match=message):
        make_config(**values)


def test_a_group_of_one_is_fine_with_a_critic():
    assert make_config(algorithm="ppo", num_generations=1).num_prompts == 64


def test_notebook_parameters_leave_out_what_is_no_parameter():
    names = {"algorithm": "dapo", "seed": 4, "_hidden": 1, "In": [], "Out": {}}
    config = config_from_notebook({**names, "pytest": pytest})
    assert (config.algorithm, config.seed) == ("dapo", 4)
    with pytest.raises(ValueError, match="epsilonhigh"):
        config_from_notebook({"epsilonhigh": 0.3})


def test_config_file_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load_config(tmp_path / "nothing.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_config(bad)
    bad.write_text("- 1")
    with pytest.raises(ValueError, match="must map names to values"):
        load_config(bad)
