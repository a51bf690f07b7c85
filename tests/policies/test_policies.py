"""Policies: folders, clones, what is refused, and what the embedded model says."""

import io
import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

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


def edit_weights(change):
    """What writes `change(weights)` over a folder's safetensors."""

    def edit(folder):
        weights = change(load_file(folder / "model.safetensors"))
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return edit


def edit_json(name, **fields):
    def edit(folder):
        values = json.loads((folder / name).read_text()) | fields
        (folder / name).write_text(json.dumps(values))

    return edit


def as_pickle(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut_in_half(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


HEAD, _LAST = "lm_head.weight", torch.tensor([17])
OWN_CODE = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            edit_weights(lambda w: {f"_orig_mod.{k}": x for k, x in w.items()}),
            r"missing: lm_head\.weight, .* and 18 more; unexpected: _orig_mod\.lm_head",
        ),
        (
            edit_weights(lambda w: {k: x for k, x in w.items() if "s.1." not in k}),
            r"missing: model\.layers\.1\.input_layernorm\.weight, .* and 6 more$",
        ),
        (edit_weights(lambda w: w.pop(HEAD) is None or w), r"missing: lm_head\.weight"),
        (
            edit_weights(lambda w: {**w, "v_head.weight": torch.zeros(2)}),
            r"unexpected: v_head\.weight$",
        ),
        (
            edit_weights(lambda w: {**w, HEAD: torch.zeros(3, 32)}),
            r"of another shape: lm_head\.weight \(3, 32\) for \(18, 32\)",
        ),
        (
            edit_weights(
                lambda w: {**w, HEAD: w[HEAD].index_fill(0, _LAST, torch.nan)}
            ),
            r"lm_head\.weight holds NaN",
        ),
        (cut_in_half, "cannot be loaded: SafetensorError"),
        (as_pickle, r"pytorch_model\.bin, a file that can run code"),
        (
            edit_json("config.json", model_type="nobody", auto_map=OWN_CODE),
            "needs code of its own",
        ),
        (
            edit_json(
                "tokenizer_config.json",
                tokenizer_class="Own",
                auto_map={"AutoTokenizer": ["own.Tokenizer", None]},
            ),
            "needs code of its own",
        ),
        (edit_json("config.json", model_type="t5"), "model_type 't5', expected a caus"),
        (lambda folder: (folder / "config.json").write_text("{"), "is no JSON"),
        (lambda folder: (folder / "generation_config.json").write_text("[]"), "names"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be load"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_in_one_line(
    tmp_path, monkeypatch, edit, said
):
    """Random weights never stand in for missing ones, and no code of a folder runs."""
    save(random_policy(), tmp_path)
    (tmp_path / "own.py").write_text("raise SystemExit('code of the folder ran')")
    edit(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))  # nobody asks
    with pytest.raises(ValueError, match=said) as error:
        load_policy(str(tmp_path))
    assert "\n" not in str(error.value) and "policy" in str(error.value)
    assert sys.stdin.read() == "y\n" * 9


def test_a_tied_head_is_not_missing(tmp_path):
    policy = random_policy(tied=True)
    save(policy, tmp_path)
    assert HEAD not in load_file(tmp_path / "model.safetensors")
    loaded = load_policy(str(tmp_path)).model
    assert torch.equal(loaded.lm_head.weight, policy.model.lm_head.weight)
