"""Policies: folders, clones, what is refused, and what the embedded model says."""

import pytest
import torch

from rlnotes.policies.embedded import (
    EMBEDDED_POLICY,
    cache_folder,
    fetch_embedded_model,
)
from rlnotes.policies.policy import Policy, load_policy
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.rollouts.scoring import packed_logps, per_token_logps
from rlnotes.tasks.loading import load_task
from tests.conftest import random_policy


def save(policy, folder):
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)


def test_a_folder_comes_back_as_it_was_saved(tmp_path):
    policy = random_policy()
    save(policy, tmp_path)
    loaded = load_policy(str(tmp_path))
    for a, b in zip(policy.model.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert loaded.eos_token_ids == (policy.tokenizer.eos_token_id,)
    assert loaded.num_parameters == policy.num_parameters


def test_what_is_no_policy_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_policy(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match=r"no config\.json"):
        load_policy(str(tmp_path))
    random_policy().model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no tokenizer"):
        load_policy(str(tmp_path))


def test_a_clone_is_frozen_and_follows_on_demand():
    policy = random_policy()
    clone = policy.clone(dtype=torch.bfloat16)
    assert not any(p.requires_grad for p in clone.model.parameters())
    with torch.no_grad():
        next(policy.model.parameters()).add_(1.0)
    clone.copy_weights_from(policy)
    for mine, theirs in zip(
        clone.model.parameters(), policy.model.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs.to(torch.bfloat16))


def test_every_end_token_counts():
    policy = random_policy()
    policy.model.generation_config.eos_token_id = [5, 1]
    assert policy.eos_token_ids == (1, 5)


@pytest.fixture(scope="module")
def smollm2() -> Policy:
    """The real model; downloaded and converted where no test or notebook did yet."""
    return load_policy(EMBEDDED_POLICY)


def test_the_embedded_model_is_the_one_we_know(smollm2):
    assert smollm2.num_parameters == 134_515_008
    assert smollm2.eos_token_ids == (2,)
    assert (fetch_embedded_model() / "model.safetensors").is_file()
    assert not list(cache_folder().glob(".making-*"))


def test_the_embedded_model_answers(smollm2):
    from rlnotes.tasks.base import Task

    prompt = [{"role": "user", "content": "What is the capital of France?"}]
    rollouts = generate_rollouts(
        smollm2,
        [Task(prompt, "Paris")],
        num_generations=1,
        max_completion_length=12,
        temperature=0.0,
    )
    assert "Paris" in rollouts.texts[0]


def test_the_embedded_model_scores_packed_as_plain(smollm2):
    """Prompts of unequal length, pad = eos: the packed forward equals the plain one."""
    tasks = load_task("addition").sample(1, seed=0, step=0)
    tasks += load_task("multiplication-2digit").sample(1, seed=0, step=0)
    rollouts = generate_rollouts(
        smollm2,
        tasks,
        num_generations=2,
        max_completion_length=6,
        generator=torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        plain = per_token_logps(smollm2, rollouts)
    packed = packed_logps(smollm2, rollouts)
    torch.testing.assert_close(packed, plain, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(rollouts.per_token_logps, plain, atol=1e-4, rtol=1e-4)
