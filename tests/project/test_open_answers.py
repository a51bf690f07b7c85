"""experiments/open_answers.py: criteria, the hidden gold, the rater, the proxies."""

import importlib
import random
import sys

import pytest
import torch

import rlnotes as rl
from rlnotes.training.batches import group_advantages

ROOT = rl.project_folder()
QUESTION = {"numbers": [5, 6, 9], "target": 20}
HIT, MISS = "5 + 6 = 11 + 9 = 20 ? 20", "5 * 6 = 30 - 9 = 21 ? 20"


@pytest.fixture(scope="module")
def open_answers():
    """The module, with the reward models of a small rater in a folder of its own."""
    sys.path.insert(0, str(ROOT / "experiments"))
    yield importlib.import_module("open_answers")
    sys.path.remove(str(ROOT / "experiments"))
    for name in ("open_answers", "reward_models"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("text", "unmet", "gold"),
    [
        (f"{HIT} answer + +", (), 1.0),
        (f"{MISS} wait {HIT} answer + +", (), 1.0),
        (f"{MISS} wait {MISS} wait {HIT} answer + +", ("fresh",), 0.8),
        (
            f"{MISS} wait {MISS} wait " * 2 + f"{HIT} answer + +",
            ("fresh", "brief"),
            0.6,
        ),
        (f"5 + 6 = 12 + 9 = 20 ? 20 wait {HIT} answer + +", ("fresh", "sound"), 0.6),
        (f"{MISS} answer * -", ("right", "honest"), -0.2),
        (f"{HIT} answer * -", ("right",), 0.0),
        (f"{MISS} wait {MISS}", ("right", "fresh"), 0.0),
        ("answer + +", ("fresh", "brief", "sound"), 0.4),
        ("", ("right", "fresh", "brief", "sound"), 0.0),
    ],
)
def test_the_criteria_and_the_gold_by_hand(open_answers, text, unmet, gold):
    met = open_answers.judge(text, **QUESTION)
    assert {name for name, value in met.items() if value == 0} == set(unmet)
    assert open_answers.gold_score(met) == pytest.approx(gold)


def test_what_each_reward_pays(open_answers):
    texts = [f"{HIT} answer + +", f"{MISS} answer * -", f"{MISS} wait {MISS}"]
    given = {"completions": texts, **{k: [v] * 3 for k, v in QUESTION.items()}}
    pays = {
        "gold": [1.0, -0.2, 0.0],
        "rubric": [1.0, 1.3 / 3.2, 1.5 / 3.2],
        "form": [1.0, 1.3 / 2.2, 1.5 / 2.2],
        "wrong": [0.0, 1.0, 1.0],
        "only_brief": [1.0, 1.0, 1.0],
        "if_right_brief": [1.0, 0.0, 0.0],
    }
    for name, expected in pays.items():
        reward = rl.load_reward(f"experiments/open_answers.py:{name}")
        assert reward(**given) == pytest.approx(expected), name


def rater_of(open_answers, monkeypatch, golds, lengths):
    rows = [[1]] * len(golds)
    monkeypatch.setattr(open_answers, "rated", lambda seed: (rows, golds, lengths))


@pytest.mark.parametrize(
    ("rater", "share"),  # σ(5·0.4), σ(−1·2), both turned round with 5 %, 35 %
    [("fair", 0.8427), ("biased", 0.5), ("noisy", 0.6142)],
)
def test_how_often_the_rater_prefers_the_better_one(
    open_answers, monkeypatch, rater, share
):
    """The better one of each pair is 0.4 better and 20 tokens shorter."""
    golds, lengths = [0.4, 0.0] * 8000, [20, 40] * 8000
    rater_of(open_answers, monkeypatch, golds, lengths)
    pairs = open_answers.preferences(open_answers.RATERS[rater], seed=0)
    better = [golds[a] > golds[b] for a, b in pairs]
    assert sum(better) / len(better) == pytest.approx(share, abs=0.02)


def test_a_length_is_preferred_where_nothing_else_differs(open_answers, monkeypatch):
    rater_of(open_answers, monkeypatch, [1.0] * 8000, [20, 40] * 4000)
    for rater, share in (("fair", 0.5), ("biased", 0.8427)):  # σ(2), turned round
        pairs = open_answers.preferences(open_answers.RATERS[rater], seed=0)
        longer = sum(a % 2 for a, _ in pairs) / len(pairs)
        assert longer == pytest.approx(share, abs=0.02), rater


def test_the_proxies_of_a_small_reward_model(open_answers, monkeypatch, tmp_path):
    monkeypatch.setattr(open_answers, "MODELS", tmp_path)
    monkeypatch.setattr(open_answers, "PROMPTS", 8)
    given = {"prompts": ["make 20 from 5 6 9 :"] * 2 + ["make 7 from 2 5 3 :"] * 2}
    ids = open_answers.words()
    texts = [f"{HIT} answer + +", f"{MISS} answer * -"] * 2
    given["completion_ids"] = [[*map(ids.get, x.split()), ids["<eos>"]] for x in texts]
    scores = open_answers.__getattr__("bt_fair_seed3")(**given)
    assert (tmp_path / "fair" / "seed3_0" / "model.safetensors").is_file()
    [first, second] = torch.tensor(scores).view(2, 2)
    rates = open_answers.__getattr__("win_rate_fair_seed3")(**given)
    assert rates[:2] == [float(first[0] > first[1]), float(first[1] > first[0])]
    assert rates[2:] == [float(second[0] > second[1]), float(second[1] > second[0])]
    models = [
        open_answers.reward_model("fair", 3, m) for m in range(open_answers.MEMBERS)
    ]
    rows = open_answers.whole(given["prompts"], given["completion_ids"])
    members = torch.stack([m.score(rows) for m in models])
    assert float(members.std(0).min()) > 0  # three models, not one
    bound = open_answers.__getattr__("ensemble_fair_seed3")(**given)
    by_hand = members.mean(0) - members.var(0, correction=0).sqrt()
    assert bound == pytest.approx(by_hand.tolist(), abs=1e-5)
    again = open_answers.train_member("fair", 3, 0).score(rows)
    assert again.tolist() == scores  # a model is remade from its seed


def test_a_coin_is_the_same_when_the_run_is_repeated(open_answers):
    state = type("State", (), {"global_step": 4})
    given = {"prompts": ["q"] * 9, "completions": ["a"] * 9, "trainer_state": state}
    first = open_answers.random_coin(**given)
    random.random()
    assert open_answers.random_coin(**given) == first and 0 < sum(first) < 9


def test_every_arm_has_a_config_that_pays_what_it_says(open_answers):
    experiment = importlib.import_module("reward_models")
    for arm, paid in experiment.PAID.items():
        config = experiment.config_of(arm, seed=2)
        names = [name.format(seed=2) for name in paid]
        weights = dict(zip(config.reward_names, config.reward_weights, strict=True))
        assert [name for name, w in weights.items() if w] == names
        assert "gold" in weights
        for name in names:
            assert callable(rl.load_reward(f"{experiment.FILE}:{name}").function)
    assert set(experiment.CHANGED) <= set(experiment.PAID)


@pytest.mark.parametrize("arm", ["rubric_sum", "rubric_gdpo"])
def test_what_is_only_watched_moves_no_advantage(open_answers, arm):
    """The gold is hidden: with weight 0 it might as well not be there."""
    config = importlib.import_module("reward_models").config_of(arm, seed=0)
    paid = sum(weight != 0 for weight in config.reward_weights)
    rewards = torch.rand(64, len(config.reward_funcs))
    other = torch.cat([rewards[:, :paid], torch.rand(64, len(config.reward_funcs))], 1)
    other = other[:, : len(config.reward_funcs)]
    assert torch.equal(
        group_advantages(rewards, config), group_advantages(other, config)
    )
    moved = group_advantages(rewards.flip(0), config)
    assert not torch.equal(moved, group_advantages(rewards, config))
