"""The one number of the benchmarks that is computed instead of measured: FLOPs."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rlnotes.kv_cache import share_with_group
from rlnotes.search_base import Pretraining, _architecture, search_tokenizer

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def rollout(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import rollout

    yield rollout
    for name in ("rollout", "common"):
        sys.modules.pop(name)


@pytest.fixture
def model():
    from transformers import LlamaForCausalLM

    settings = Pretraining(hidden_size=16, num_hidden_layers=2, intermediate_size=24)
    return LlamaForCausalLM(_architecture(settings, search_tokenizer())).eval()


def counted_flops(model, prompt_length, size, length):
    """Products that torch itself counts while `size` completions are decoded."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        prompt = torch.ones(1, prompt_length, dtype=torch.long)
        out = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
        cache = share_with_group(out.past_key_values, size)
        for _ in range(length - 1):
            ids = torch.ones(size, 1, dtype=torch.long)
            model(input_ids=ids, past_key_values=cache, use_cache=True)
    return counter.get_flop_counts()["Global"][torch.ops.aten.mm]


@pytest.mark.parametrize(
    ("prompt_length", "size", "length"), [(7, 3, 5), (1, 1, 1), (4, 2, 1), (2, 1, 9)]
)
def test_forward_flops_are_what_torch_counts(
    rollout, model, prompt_length, size, length
):
    expected = counted_flops(model, prompt_length, size, length)
    found = rollout.forward_flops(model, [prompt_length], [length] * size)
    assert found == expected


def test_forward_flops_add_up_over_groups_of_any_lengths(rollout, model):
    whole = rollout.forward_flops(model, [7, 4], [5, 2, 1, 9])
    parts = [([7], [5, 2]), ([4], [1, 9])]
    assert whole == sum(rollout.forward_flops(model, *part) for part in parts)
