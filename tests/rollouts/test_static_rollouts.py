"""Static shapes draw what growing shapes draw; on a GPU, through a CUDA graph too."""

import dataclasses

import pytest
import torch

from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.tasks.base import Task
from rlnotes.training.config import make_config
from rlnotes.training.loop import train
from tests.conftest import random_policy

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def both(policy, tasks, **options):
    """The same draws with growing and with static shapes."""
    return [
        generate_rollouts(
            policy,
            tasks,
            generator=torch.Generator().manual_seed(3),
            cache_implementation=kind,
            **options,
        )
        for kind in (None, "static")
    ]


def assert_same(growing, static):
    for field in dataclasses.fields(growing):
        one, other = (getattr(x, field.name) for x in (growing, static))
        if isinstance(one, torch.Tensor) and one.is_floating_point():
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)
        elif isinstance(one, torch.Tensor):
            assert torch.equal(one, other), field.name
        else:
            assert one == other, field.name


MIXED = [Task("1+2=", "3"), Task("=", "0"), Task("9+9+9+1=", "8")]  # unequal lengths


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize(("temperature", "limit"), [(1.0, 40), (0.0, 40), (0.7, 1)])
def test_the_same_completions(task, kind, temperature, limit):
    policy = random_policy(kind)
    policy.model.double()
    size = 1 if temperature == 0 else 6
    growing, static = both(
        policy,
        MIXED,
        num_generations=size,
        max_completion_length=limit,
        temperature=temperature,
    )
    assert_same(growing, static)
    if limit > 1 and temperature:
        lengths = growing.lengths.tolist()
        assert min(lengths) < max(lengths), "no row ended before another"


def test_batches_that_end_early_have_no_empty_columns(task):
    policy = random_policy()
    with torch.no_grad():  # the end of the text, almost always
        policy.model.lm_head.weight[policy.eos_token_ids[0]] += 5.0 * torch.sign(
            policy.model.lm_head.weight.mean(0)
        )
    found = both(
        policy,
        task.sample(2, seed=0, step=1),
        num_generations=2,
        max_completion_length=64,
    )
    assert_same(*found)
    assert found[1].completion_ids.shape[1] == int(found[1].lengths.max())


def test_the_loop_trains_alike(task):
    rows = []
    for kind in (None, "static"):
        config = make_config(
            algorithm="dapo",
            task="scratch-addition",
            bf16=False,
            max_steps=2,
            generation_batch_size=16,
            num_generations=4,
            eval_samples=1,
            cache_implementation=kind,
        )
        policy = random_policy()
        rows.append(train(config, policy=policy, task=task, progress=False).metrics)
    timed = [name for name in rows[0] if name.startswith("step_time")]
    for name in rows[0].columns.drop(timed):
        assert rows[1][name].tolist() == pytest.approx(
            rows[0][name].tolist(), rel=1e-3, abs=1e-4, nan_ok=True
        )


def test_another_kind_of_layer_is_refused(task):
    from transformers import MistralConfig, MistralForCausalLM

    policy = random_policy()
    config = MistralConfig(
        vocab_size=len(policy.tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=4,
    )
    policy.model = MistralForCausalLM(config).eval()
    with pytest.raises(ValueError, match="cache_implementation='static' needs plain"):
        both(
            policy,
            task.sample(2, seed=0, step=1),
            num_generations=2,
            max_completion_length=4,
        )


def test_a_misspelled_cache_is_refused(policy, task):
    with pytest.raises(ValueError, match="cache_implementation must be one of"):
        generate_rollouts(
            policy,
            task.sample(1, seed=0, step=1),
            num_generations=2,
            max_completion_length=4,
            cache_implementation="fast",
        )
    with pytest.raises(ValueError, match="cache_implementation must be one of"):
        make_config(cache_implementation="fast")


@NEEDS_CUDA
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_graph_draws_what_its_program_draws(dtype):
    policy = random_policy().to("cuda")
    policy.model.to(dtype)
    growing, static = both(
        policy,
        MIXED,
        num_generations=6,
        max_completion_length=40,
    )
    same = (growing.completion_ids == static.completion_ids).float().mean()
    assert same > (0.999 if dtype == torch.float32 else 0.8)
