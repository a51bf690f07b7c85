"""Sizes: formulas against what autograd keeps, published and recorded numbers."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
import transformers

from rlnotes.batch.sizing import advice, describe, estimate
from rlnotes.cli import main
from rlnotes.engines.trl_config import check_expressible, to_trl_kwargs
from rlnotes.machine.files import read_mapping
from rlnotes.policies.shapes import load_shape, shape_of
from rlnotes.records.reading import load_run
from rlnotes.training.config import load_config, make_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [
    path
    for path in sorted((ROOT / "configs").rglob("*.yaml"))
    if path.parent.name not in ("accelerate", "pretrain") and path.stem != "matrix"
]


def saved_bytes(layers: int, length: int, *, bf16: bool) -> int:
    """Bytes that a forward over two rows keeps for the backward, parameters aside."""
    config = llama(layers)
    model = transformers.LlamaForCausalLM(config)
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    mask = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        ids = torch.zeros(2, length, dtype=torch.long)
        model.base_model(
            input_ids=ids, attention_mask=mask.expand(2, 1, -1, -1), use_cache=False
        )
    return sum(
        tensor.untyped_storage().nbytes()
        for storage, tensor in kept.items()
        if storage not in own
    )


def llama(layers: int):
    return transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=48,
    )


@pytest.mark.parametrize("bf16", [True, False])
def test_activations_are_what_autograd_keeps(bf16):
    # differences: neither embedding, last norm nor the weights' copies stay in them
    a, b, c, d = (
        saved_bytes(layers, length, bf16=bf16)
        for layers in (3, 2)
        for length in (48, 32)
    )
    counted = ((a - b) - (c - d)) / (2 * 16)
    formula = shape_of(llama(1)).activations_per_token(2 if bf16 else 4)
    assert counted == pytest.approx(formula, rel=0.03)


@pytest.mark.parametrize(
    ("policy", "billions", "embedding"),
    [
        ("Qwen/Qwen2.5-0.5B", 0.49, 0.13),
        ("Qwen/Qwen2.5-1.5B-Instruct", 1.54, 0.23),
        ("Qwen/Qwen2.5-3B", 3.09, 0.32),
        ("Qwen/Qwen2.5-Math-7B", 7.61, 1.09),
    ],
)
def test_qwen_has_the_published_number_of_parameters(policy, billions, embedding):
    shape = load_shape(policy)
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.011)
    # the cards' non-embedding sizes: 0.36, 1.31, 2.77, 6.53
    other = shape.parameters - shape.vocab_size * shape.hidden_size * (
        2 if policy.endswith("7B") else 1
    )
    assert billions - other / 1e9 == pytest.approx(embedding, abs=0.015)


def test_a_folder_gives_its_own_shape(policy_folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(policy_folder)
    assert load_shape(str(policy_folder)).parameters == model.num_parameters()
    shape = load_shape("search-base")
    assert (shape.hidden_size, shape.num_hidden_layers, shape.head_dim) == (128, 2, 32)


def test_a_cache_holds_keys_and_values_of_every_layer():
    # Qwen2.5-0.5B: 2 · 24 layers · 2 heads · 64 · 2 bytes
    assert load_shape("Qwen/Qwen2.5-0.5B").cache_per_token(2) == 12_288


def test_the_parts_follow_the_config():
    shape = load_shape("Qwen/Qwen2.5-0.5B")
    n = shape.parameters
    plain = make_config(bf16=True, max_completion_length=100)
    ours, trl = estimate(plain, shape), estimate(plain, shape, engine="trl")
    assert ours.held["weights"] == 4 * n and ours.held["AdamW moments"] == 8 * n
    assert ours.held["bfloat16 copy that samples"] == 2 * n
    assert trl.held["bfloat16 copy that samples"] == 0
    assert ours.held["reference"] == 0 == ours.held["critic, its gradient and moments"]
    with_kl = estimate(make_config(beta=0.1, bf16=True), shape)
    assert with_kl.held["reference"] == 4 * n
    ppo = estimate(make_config(algorithm="ppo", bf16=True), shape)
    assert ppo.held["critic, its gradient and moments"] == 16 * n
    per_token = shape.activations_per_token(2)
    # 64 completions of 100 tokens: 8 prompts packed, 64 padded
    assert ours.train["activations"] == (8 * 256 + 6400) * per_token
    # computed again: the inputs of 24 layers in float32 and one layer's own
    again = 24 * 4 * 896 + per_token // 24
    assert trl.train["activations"] == 64 * 356 * again
    split = dataclasses.replace(plain, per_device_train_batch_size=16)
    assert estimate(split, shape).train["activations"] == (512 + 1600) * per_token
    assert ours.peak == max(ours.phases.values())
    assert ours.phases["train"] == sum([*ours.held.values(), *ours.train.values()])
    rows = ours.sample["key-value cache"] / shape.cache_per_token(2)
    assert rows == 64 * (256 + 100 + 64)


def test_work_counts_every_pass():
    shape = load_shape("search-base")
    one = estimate(make_config(max_steps=10), shape, prompt_length=10)
    tokens = 10 * 64 * (10 + 24)
    assert one.tokens == tokens
    assert one.flops == tokens * shape.parameters * (6 + 2)
    trl = estimate(make_config(max_steps=10), shape, engine="trl", prompt_length=10)
    assert trl.flops == tokens * shape.parameters * (8 + 2)
    two = make_config(max_steps=10, num_iterations=2, beta=0.1, dynamic_sampling=True)
    more = estimate(two, shape, prompt_length=10)
    assert more.tokens == 2 * tokens
    assert more.flops == tokens * shape.parameters * (12 + 2 + 2 + 4)
    assert more.seconds > one.seconds > 0


@pytest.mark.parametrize(
    ("run", "prompt", "held_out", "low", "high"),
    [
        ("grpo_multiplication_smollm2-135m_seed0", 38, 22, -0.40, -0.20),
        ("grpo_multiplication_smollm2-135m_seed1", 38, 22, -0.40, -0.10),
        ("grpo_search_search-base_seed0", 8, 128, -0.20, 0.20),
    ],
)
def test_recorded_peaks_are_met_within_the_error_that_docs_state(
    run, prompt, held_out, low, high
):
    record = load_run(ROOT / "data" / "runs" / run)
    config = make_config(**record.config)
    if config.policy == "smollm2-135m":
        shape = shape_of(smollm2())
    else:
        shape = load_shape(config.policy)
    sizes = estimate(config, shape, prompt_length=prompt, held_out=held_out)
    error = sizes.peak / 1e6 / record.meta["peak_memory_mb"] - 1
    print(f"{run}: {sizes.peak / 1e6:.0f} MB, {error:+.0%}")
    assert low < error < high


def smollm2():
    return transformers.LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        tie_word_embeddings=True,
    )


@pytest.mark.parametrize(
    ("limit", "change", "words"),
    [
        (500, {}, "fits into 500 GB"),
        (10, {}, r"lower policy: its weights"),
        (22, {"generation_batch_size": 512}, r"per_device_train_batch_size=(16|24|32)"),
        (
            14,
            {"max_completion_length": 8000},
            "=8 and max_completion_length: one group",
        ),
        (
            16,
            {"eval_samples": 64, "per_device_train_batch_size": 8},
            "lower eval_sampl",
        ),
        (
            22,
            {"generation_batch_size": 8192, "per_device_train_batch_size": 8},
            r"lower generation_batch_size \(now 8192\)",
        ),
    ],
)
def test_what_does_not_fit_names_the_number_to_lower(limit, change, words):
    change = {"max_completion_length": 256, "eval_samples": 1, "bf16": True, **change}
    config = make_config(**change)
    sizes = estimate(config, load_shape("Qwen/Qwen2.5-0.5B"))
    text = advice(config, sizes, limit * 1e9)
    assert re.search(words, text), (text, sizes.phases)
    assert text in describe(config, sizes, limit_gb=limit)


def test_the_advice_fits():
    config = make_config(generation_batch_size=512, max_completion_length=256)
    shape = load_shape("Qwen/Qwen2.5-0.5B")
    text = advice(config, estimate(config, shape, held_out=8), 22e9)
    micro = int(text.rpartition("=")[2])
    for size, fits in ((micro, True), (micro + 8, False)):
        changed = dataclasses.replace(config, per_device_train_batch_size=size)
        assert (estimate(changed, shape, held_out=8).peak <= 22e9) == fits


def test_bad_input_is_refused(capsys, tmp_path):
    shape = load_shape("search-base")
    with pytest.raises(ValueError, match="engine must be one of"):
        estimate(make_config(), shape, engine="verl")
    with pytest.raises(ValueError, match="prompt_length must be"):
        estimate(make_config(), shape, prompt_length=0)
    with pytest.raises(ValueError, match="tiny is made on the spot"):
        load_shape("tiny")
    with pytest.raises(RuntimeError, match="no config here") as error:
        load_shape(str(tmp_path / "nothing"))
    assert "\n" not in str(error.value)
    with pytest.raises(SystemExit):
        main(["size"])


def test_the_command_prints_a_table(capsys):
    path = ROOT / "configs" / "full" / "grpo.yaml"
    assert main(["size", "--config", str(path), "--engine", "trl", "--memory=80"]) == 0
    out = capsys.readouterr().out
    assert "computed" in out and "AdamW moments" in out and "80 GB" in out
    assert main(["size", "--config", str(path), "max_steps=0"]) == 2


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_loads_and_goes_to_trl_or_says_why_not(path):
    config = load_config(path)
    if config.critic:
        with pytest.raises(ValueError, match="critic: TRL 1.16 has no PPO"):
            check_expressible(config)
        return
    arguments = to_trl_kwargs(config)
    assert arguments["max_steps"] == config.max_steps * config.updates_per_step
    pytest.importorskip("trl")
    known = {f.name for f in dataclasses.fields(grpo_config())}
    assert set(arguments) <= known


def grpo_config():
    from trl import GRPOConfig

    return GRPOConfig


def test_full_configs_say_what_they_need_and_that_it_is_computed():
    for path in (ROOT / "configs" / "full").rglob("*.yaml"):
        if path.stem == "matrix":
            continue
        text = path.read_text()
        assert "# Computed, not measured: peak" in text, path
        assert f"--config {path.relative_to(ROOT)}" in text, path


@pytest.mark.parametrize("folder", ["full/ladder", "full/smollm2/ladder"])
def test_each_rung_of_the_ladder_adds_to_the_one_below(folder):
    rungs = [path for path in sorted((ROOT / "configs" / folder).glob("[1-6]_*.yaml"))]
    assert len(rungs) == 6
    before: dict[str, object] = {}
    for path in rungs:
        values = read_mapping(path)
        if before:
            # what a rung changes stays, and a later one changes something else
            changed = {k for k in values if values[k] != before.get(k)}
            assert changed and set(before) <= set(values), path
            assert len(changed) <= 3
        before = values
    top, dapo = load_config(rungs[-1]), load_config(rungs[0].parents[1] / "dapo.yaml")
    differing = {
        f.name
        for f in dataclasses.fields(top)
        if getattr(top, f.name) != getattr(dapo, f.name)
    }
    assert differing == {"algorithm", "mask_truncated_completions"}
