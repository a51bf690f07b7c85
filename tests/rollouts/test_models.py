"""Architectures: sampled, scored and differentiated as every row alone would be."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from rlnotes.rollouts import first_use
from rlnotes.rollouts.first_use import paths_of
from rlnotes.training.batches import predict_values
from rlnotes.training.loop import train
from tests.conftest import random_policy

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
models, shapes = (importlib.import_module(x) for x in ("models", "model_shapes"))
sys.path.remove(str(SCRIPTS))
OTHERS = sorted(set(shapes.SHAPES) - set(shapes.FAST))
KINDS = [*shapes.FAST, *(pytest.param(x, marks=pytest.mark.slow) for x in OTHERS)]
LEAN = {  # which of cached, packed, bucketed, fused are taken
    "llama": "1111",
    "qwen3": "1111",
    "gpt2": "1111",
    "mistral": "1011",
    "gemma2": "1010",
    "phi": "1110",
    "bloom": "1011",
    "mpt": "1011",
    "mamba": "0011",
    "opt": "1111",
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_and_gradient_are_those_of_every_row_alone(kind):
    row = models.inspect(kind)
    assert row.logps < 1e-4 and row.gradient < 1e-5


@pytest.mark.parametrize("kind", LEAN)
def test_the_paths_that_are_taken(kind):
    paths = vars(paths_of(shapes.tiny_model(kind)))
    names = ("cached", "packed", "bucketed", "fused")
    assert "".join(str(int(not paths[name])) for name in names) == LEAN[kind]


@pytest.mark.slow
@pytest.mark.trl
@pytest.mark.parametrize("kind", shapes.SHAPES)
def test_trl_runs_a_step_or_refuses_left_padding(kind):
    refused = ("no: left padding", "no: states")
    known = {"granitemoe": "no: AttributeError"}  # in TRL itself, before a step
    assert models.try_trl(kind) in ("", *refused, known.get(kind, ""))


def test_the_page_has_every_architecture():
    page = models.PAGE.read_text(encoding="utf-8")
    assert [x for x in shapes.SHAPES if f"\n| {x} | " not in page] == []


def test_a_path_that_is_off_is_not_taken(monkeypatch):
    """The comparison sees a state of another token, a wrong draw and a wrong head."""
    policy = random_policy()

    def shifted(compute):
        return lambda *a, **k: compute(*a, **k).roll(1, 0)

    for name in ("packed_hidden_states", "bucketed_hidden_states"):
        monkeypatch.setattr(first_use, name, shifted(getattr(first_use, name)))
    plain_head = first_use.plain_head_weight
    monkeypatch.setattr(first_use, "plain_head_weight", lambda m: 1.01 * plain_head(m))
    monkeypatch.setattr(first_use, "_SEEN", {})
    found = paths_of(policy)
    assert not found.cached and not found.padded
    for why in (found.packed, found.bucketed, found.fused):
        assert why.startswith("differs from the plain forward by")


def test_the_comparison_leaves_no_trace():
    """No random number, no gradient, no mode; and once a config."""
    policy = random_policy()
    policy.model.train()
    before = torch.get_rng_state()
    first_use._SEEN.clear()
    paths_of(policy)
    assert torch.equal(torch.get_rng_state(), before) and policy.model.training
    assert all(w.grad is None for w in policy.model.parameters())
    other = random_policy(seed=1)
    other.model.forward = None  # nobody asks it
    assert paths_of(other) is policy.paths
    assert policy.clone().paths is policy.paths


def test_a_critic_reads_as_its_policy_does():
    """Values from a window's layers: each row alone, not packed."""
    from rlnotes.policies.policy import Critic

    policy = shapes.tiny_model("mistral")
    rollouts = models.generate_rollouts(
        policy,
        models.TASK.sample(2, seed=0, step=0),
        num_generations=4,
        max_completion_length=12,
        generator=torch.Generator().manual_seed(0),
    )
    critic = Critic(policy)
    torch.nn.init.normal_(critic.head.weight)
    prompt = rollouts.prompt_ids[1][rollouts.prompt_mask[1].bool()]
    length = int(rollouts.lengths[7])
    row = torch.cat([prompt, rollouts.completion_ids[7, :length]])[None]
    with torch.no_grad():
        values = predict_values(critic, rollouts)[7, :length]
        alone = critic(critic.backbone(input_ids=row).last_hidden_state)[0]
    torch.testing.assert_close(values, alone[len(prompt) - 1 : -1], atol=1e-4, rtol=0)


def test_a_window_that_no_short_check_can_show_is_read_from_the_config():
    """At 12 tokens a window of 4,096 looks like full attention; a packed row is not."""
    policy = shapes.tiny_model("mistral")
    policy.model.config.sliding_window = 4096
    assert paths_of(policy).packed == "sliding_window=4096"
    assert not paths_of(policy).bucketed
    assert not paths_of(shapes.tiny_model("llama")).packed


def test_a_model_that_looks_ahead_is_refused():
    from transformers import BertConfig, BertLMHeadModel

    policy = random_policy()
    config = BertConfig(
        vocab_size=18, hidden_size=32, num_hidden_layers=1, num_attention_heads=4
    )
    policy.model = BertLMHeadModel(config).eval()
    for weight in policy.model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    with pytest.raises(ValueError, match="expected a causal language model"):
        paths_of(policy)


def test_nan_weights_are_refused():
    policy = random_policy()
    with torch.no_grad():
        policy.model.lm_head.weight[3] = torch.nan
    first_use._SEEN.clear()
    with pytest.raises(ValueError, match="holds NaN or infinite weights"):
        paths_of(policy)
    first_use._SEEN.clear()


@pytest.mark.parametrize(("kind", "count"), [("llama", 0), ("gemma2", 2)])
def test_a_run_says_what_it_computes_the_plain_way(tmp_path, capsys, kind, count):
    config = models.small_config()
    train(
        config,
        policy=shapes.tiny_model(kind),
        task=models.TASK,
        output=tmp_path / "run",
        progress=False,
    )
    meta = json.loads((tmp_path / "run" / "meta.json").read_text())
    lines = capsys.readouterr().err
    assert len(meta["plain_paths"]) == count
    for why in meta["plain_paths"]:
        assert f"rlnotes: policy {kind}: {why}\n" in lines


def edited(kind="llama", **changes):
    policy = shapes.tiny_model(kind)
    for name, value in changes.items():
        setattr(policy.tokenizer, name, value)
        setattr(policy.model.generation_config, name, value)
    return policy


def small_embedding():
    policy = shapes.tiny_model("llama")
    policy.model.resize_token_embeddings(9)
    return policy


@pytest.mark.parametrize(
    ("make", "changes", "said"),
    [
        (lambda: edited(eos_token_id=None), {}, "names an end token"),
        (small_embedding, {}, r"gives the id \d+, and the model's embedding has 9"),
        (
            lambda: shapes.tiny_model("gpt2"),
            {"max_completion_length": 126},
            r"max_completion_length=126 behind .* needs \d+ positions, .* has 128",
        ),
        (
            lambda: shapes.tiny_model("mamba"),
            {"cache_implementation": "static"},
            "cache_implementation='static' needs plain attention layers",
        ),
        (
            lambda: shapes.tiny_model("mistral"),
            {"cache_implementation": "static"},
            "cache_implementation='static' needs plain attention layers",
        ),
    ],
)
def test_what_cannot_run_is_said_before_anything_is_written(
    tmp_path, make, changes, said
):
    with pytest.raises(ValueError, match=said) as error:
        train(
            models.small_config(**changes),
            policy=make(),
            task=models.TASK,
            output=tmp_path / "run",
            progress=False,
        )
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_rotary_positions_have_no_end():
    config = models.small_config(max_completion_length=126)
    result = train(
        config, policy=shapes.tiny_model("llama"), task=models.TASK, progress=False
    )
    assert result.finished


def test_ppo_trains_a_model_without_a_cache_and_a_fused_head():
    """Both the critic's and the policy's plain way, one step of each algorithm."""
    for algorithm in ("ppo", "dapo"):
        config = models.small_config(algorithm=algorithm, soft_punish_cache=2)
        for kind in ("mamba", "gemma2"):
            policy = shapes.tiny_model(kind)
            before = policy.model.get_input_embeddings().weight.clone()
            row = train(
                config, policy=policy, task=models.TASK, progress=False
            ).metrics.iloc[-1]
            moved = not torch.equal(policy.model.get_input_embeddings().weight, before)
            assert moved == (row["grad_norm"] > 0)
