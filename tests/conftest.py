"""Shared fixtures: a small random policy that every test can afford."""

import pytest
import torch

from rlnotes.policies.policy import Policy
from rlnotes.policies.tiny import tiny_tokenizer
from rlnotes.tasks.loading import load_task

torch.set_num_threads(1)  # the models are tiny: a second thread only gets in the way


def random_policy(kind: str = "llama", *, seed: int = 0, tied: bool = False) -> Policy:
    """An untrained transformers model over the scratch-addition alphabet, float32."""
    import transformers

    tokenizer = tiny_tokenizer(load_task("scratch-addition").characters)
    config_class, model_class = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    }[kind]
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        tie_word_embeddings=tied,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(seed)
    return Policy(model_class(config).eval(), tokenizer, f"random-{kind}")


@pytest.fixture
def policy() -> Policy:
    return random_policy()


@pytest.fixture
def task():
    return load_task("scratch-addition")


@pytest.fixture(scope="module")
def policy_folder(tmp_path_factory):
    """The random policy, saved: what another process can load."""
    folder = tmp_path_factory.mktemp("policies") / "random"
    policy = random_policy()
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder
