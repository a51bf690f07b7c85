"""SFT changes the weights it is given, towards the examples, and nothing else."""

import math

import pytest
import torch

import rlnotes as rl

EXAMPLE = {
    "prompt": "make 7 from 2 5 3 :",
    "completion": "2 * 5 = 10 - 3 = 7 ? 7 answer * -",
}


def logp(policy, completion=EXAMPLE["completion"]):
    """log π of the whole completion with its end."""
    ids = policy.tokenizer(f"{EXAMPLE['prompt']} {completion} <eos>")["input_ids"]
    prompt = len(policy.tokenizer(EXAMPLE["prompt"])["input_ids"])
    with torch.no_grad():
        logps = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return float(sum(logps[t - 1, ids[t]] for t in range(prompt, len(ids))))


@pytest.fixture(scope="module")
def tuned():
    """(before, after, the tuned policy) of SFT on one example."""
    policy = rl.load_policy("search-base")
    before = logp(policy)
    rl.fine_tune(policy, [EXAMPLE] * 8, num_train_epochs=4, progress=False)
    return before, logp(policy), policy


def test_the_example_becomes_likely(tuned):
    before, after, _ = tuned
    assert before < -1 and after > 0.5 * before


def test_the_end_of_the_response_is_learnt_too(tuned):
    _, after, policy = tuned
    unended = EXAMPLE["completion"] + " wait"
    assert logp(policy, unended) < after - 2


def test_the_prompt_carries_no_loss():
    """With the completion as sure as it gets, the prompt's tokens stay untaught."""
    policy = rl.load_policy("search-base")
    ids = torch.tensor([policy.tokenizer(EXAMPLE["prompt"])["input_ids"]])

    def prompt_logp():
        with torch.no_grad():
            logps = policy.model(ids).logits[0].log_softmax(-1)
        return float(logps[:-1].gather(1, ids[0, 1:, None]).mean())

    before = prompt_logp()
    rl.fine_tune(policy, [EXAMPLE] * 8, num_train_epochs=8, progress=False)
    assert prompt_logp() < before + 5  # with a loss on it: from -14 to -2


def test_the_model_stays_the_one_it_was(tuned):
    _, _, policy = tuned
    fresh = rl.load_policy("search-base").model
    assert set(policy.model.__dict__) == set(fresh.__dict__)
    assert policy.model.config.use_cache == fresh.config.use_cache
    assert not policy.model.training


def test_reinforcement_moves_what_was_tuned(tuned):
    """A forward left behind by the trainer once sampled from the old weights."""
    _, _, policy = tuned
    copy = rl.Policy(policy.clone().model, policy.tokenizer, "copy")
    copy.model.lm_head.weight.data.zero_()
    assert logp(copy) == pytest.approx(-15 * math.log(115), rel=1e-4)


def test_the_same_seed_gives_the_same_weights():
    first, second = (
        rl.fine_tune(rl.load_policy("search-base"), [EXAMPLE] * 4, progress=False)
        for _ in range(2)
    )
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    rl.fine_tune(rl.load_policy("search-base"), [EXAMPLE], progress=False)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "examples: expected at least one"),
        ([{"prompt": "a"}], r"examples\[0\]: expected a 'completion'"),
        ([EXAMPLE, {"prompt": "", "completion": "b"}], r"examples\[1\]"),
        ([{"prompt": "a", "completion": 3}], "got 3"),
    ],
)
def test_bad_examples_are_refused_before_anything_changes(examples, message):
    policy = rl.load_policy("search-base")
    before = [p.clone() for p in policy.model.parameters()]
    with pytest.raises(ValueError, match=message):
        rl.fine_tune(policy, examples)
    for a, b in zip(before, policy.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_epochs_must_be_positive():
    with pytest.raises(ValueError, match="num_train_epochs"):
        rl.fine_tune(rl.load_policy("search-base"), [EXAMPLE], num_train_epochs=0)
