"""The Bradley-Terry model: what it learns and what it leaves alone."""

import pytest
import torch

import rlnotes as rl

PROMPT = "make 7 from 2 5 3 :"
RIGHT = "2 * 5 = 10 - 3 = 7 ? 7 answer * -"
WRONG = "2 + 5 = 7 + 3 = 10 ? 7 answer + +"


@pytest.fixture(scope="module")
def base():
    return rl.load_policy("search-base")


def ids(policy, text):
    return policy.tokenizer(f"{PROMPT} {text} <eos>")["input_ids"]


@pytest.fixture(scope="module")
def model(base):
    pair = (ids(base, RIGHT), ids(base, WRONG))
    return rl.train_reward_model(base, [pair] * 64, per_device_train_batch_size=8)


def test_the_chosen_one_scores_higher_and_the_policy_is_left_alone(base, model):
    before = torch.cat([p.flatten() for p in base.model.parameters()])
    again = rl.train_reward_model(
        base,
        [(ids(base, RIGHT), ids(base, WRONG))] * 64,
        per_device_train_batch_size=8,
    )
    after = torch.cat([p.flatten() for p in base.model.parameters()])
    assert torch.equal(before, after)
    rows = [ids(base, RIGHT), ids(base, WRONG)]
    good, bad = model.score(rows).tolist()
    assert good > bad + 1
    assert torch.equal(again.score(rows), model.score(rows))  # a function of the seed


def test_a_score_is_read_at_the_last_token_whatever_stands_beside_it(base, model):
    short, long = ids(base, RIGHT), ids(base, WRONG.replace("answer", "wait") * 2)
    together = model.score([short, long])
    alone = torch.cat([model.score([short]), model.score([long])])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert model.score([short[:-1]]) != model.score([short])


def test_a_saved_model_scores_the_same(base, model, tmp_path):
    model.save(tmp_path / "rm")
    rows = [ids(base, RIGHT), ids(base, WRONG)]
    loaded = rl.load_reward_model(tmp_path / "rm")
    assert torch.equal(loaded.score(rows), model.score(rows))


def test_no_pairs_are_refused(base):
    with pytest.raises(ValueError, match="number of pairs must be"):
        rl.train_reward_model(base, [])
