"""The committed search policies: weights are their cards', and do what they say."""

import hashlib

import pytest

from rlnotes.policies.policy import committed_policies, load_policy
from rlnotes.supervised.search_card import measure

NAMES = sorted(path.name for path in committed_policies().iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_policy_is_the_one_on_its_card(name):
    folder = committed_policies() / name
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    card = (folder / "README.md").read_text()
    assert digest in card and "+`" not in card
    policy = load_policy(name)
    assert policy.name == name and policy.num_parameters <= 2_000_000
    assert f"{policy.num_parameters:,} weights" in card


def test_the_base_computes_knows_a_hit_and_gives_up():
    rates = measure(load_policy("search-base"), "search")
    assert rates["arithmetic"] >= 0.99
    assert rates["hits_recognized"] >= 0.95
    assert 0.20 <= rates["solved"] <= 0.35
    assert 0.3 < rates["waits"] and rates["give_up"] > 0.5
    card = (committed_policies() / "search-base" / "README.md").read_text()
    for name in ("solved", "waits", "length"):  # other machines round other draws
        recorded = float(card.split(f"| {name} |")[1].split("|")[1])
        assert rates[name] == pytest.approx(recorded, rel=0.05)


def test_the_control_answers_hits_as_it_answers_misses():
    rates = measure(load_policy("search-control"), "search")
    assert rates["arithmetic"] >= 0.99
    assert abs(rates["hits_recognized"] - (1 - rates["misses_retried"])) < 0.06
    assert rates["solved"] < 0.2
