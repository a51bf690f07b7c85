"""`rlnotes fields`: what it says of a field is true of the training loop."""

import dataclasses

import pytest
import torch

from rlnotes.training.config import Config
from rlnotes.training.fields import config_fields
from tests.training.test_prepare import prepared


def test_every_field_is_there_with_a_meaning():
    fields = config_fields()
    assert [x.name for x in fields] == [x.name for x in dataclasses.fields(Config)]
    assert [x.name for x in fields if len(x.meaning) < 15 or x.meaning[-1] != "."] == []
    kinds = {x.name: x.kind for x in fields}
    assert kinds["bf16"] == "bool or None" and kinds["reward_funcs"] == "list of str"
    assert kinds["importance_sampling_level"] == "token or sequence"


def test_a_word_is_looked_for_in_names_and_meanings():
    assert [x.name for x in config_fields("GAE")] == ["critic", "lam"]
    with pytest.raises(ValueError, match="of 'gama'; did you mean 'gamma'"):
        config_fields("gama")


def test_what_an_algorithm_sets_and_looks_at():
    fields = {x.name: x for x in config_fields()}
    assert fields["epsilon_high"].set_by == {"dapo": 0.28}
    assert fields["lam"].algorithms == ("ppo",)
    assert fields["scale_rewards"].algorithms == ("grpo", "dr_grpo", "dapo", "gdpo")
    assert len(fields["beta"].algorithms) == 5


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("ppo", {"scale_rewards": "none"}),
        ("ppo", {"multi_objective_aggregation": "normalize_then_sum"}),
        ("grpo", {"gamma": 0.5, "lam": 0.5, "whiten_advantages": False}),
    ],
)
def test_what_an_algorithm_does_not_look_at_changes_nothing(algorithm, changes):
    fields = {x.name: x for x in config_fields()}
    for name in changes:
        assert algorithm not in fields[name].algorithms
    advantages = [prepared(algorithm, **x)[1].advantages for x in ({}, changes)]
    assert torch.equal(*advantages) and advantages[0].abs().sum() > 0
