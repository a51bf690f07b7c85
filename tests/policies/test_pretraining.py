"""The tiny policy: its tokenizer, its determinism, and the base it is meant to be."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from rlnotes.policies.tiny import _demonstration_loss, _noise, _rate, tiny_policy
from rlnotes.policies.tiny import tiny_tokenizer as new_tokenizer
from rlnotes.rewards.rewards import bracket_format_reward
from rlnotes.tasks.arithmetic import ScratchAddition
from rlnotes.tasks.loading import load_task

CHARACTERS = ScratchAddition().characters
TOKENIZER = new_tokenizer(CHARACTERS)


# ------------------------------------------------------------------- tokenizer


def test_special_tokens_are_distinct_and_padding_is_on_the_left() -> None:
    ids = (TOKENIZER.pad_token_id, TOKENIZER.eos_token_id, TOKENIZER.unk_token_id)
    assert ids == (0, 1, 2) and TOKENIZER.padding_side == "left"
    assert TOKENIZER.eos_token == ";" and len(TOKENIZER) == 3 + len(CHARACTERS)
    batch = TOKENIZER(["3+4=", "="], padding=True)
    assert batch["input_ids"][1][:3] == [0, 0, 0]
    assert batch["attention_mask"][1] == [0, 0, 0, 1]


def test_one_token_a_character() -> None:
    ids = TOKENIZER("3+4=..<7>;")["input_ids"]
    assert len(ids) == 10 and ids[-1] == TOKENIZER.eos_token_id
    assert TOKENIZER.decode(ids) == "3+4=..<7>;"
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == "3+4=..<7>"
    assert TOKENIZER("a")["input_ids"] == [TOKENIZER.unk_token_id]


@given(st.text(alphabet=CHARACTERS + ";"))
def test_texts_survive_encoding_and_decoding(text) -> None:
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"]) == text


def test_blanks_and_line_breaks_are_characters_like_others() -> None:
    tokenizer = new_tokenizer("ab \n.")
    text = " a  b\n\n . a"
    assert len(tokenizer(text)["input_ids"]) == len(text)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_saved_tokenizer_comes_back(tmp_path) -> None:
    from transformers import AutoTokenizer

    TOKENIZER.save_pretrained(tmp_path)
    copy = AutoTokenizer.from_pretrained(tmp_path)
    assert copy("3+4=;")["input_ids"] == TOKENIZER("3+4=;")["input_ids"]
    assert copy.decode(copy("3+4=..7")["input_ids"]) == "3+4=..7"
    assert (copy.padding_side, copy.pad_token_id, copy.eos_token_id) == ("left", 0, 1)


@pytest.mark.parametrize("characters", ["", "aa", "a;", "_b", "?c"])
def test_unusable_characters_are_refused(characters) -> None:
    with pytest.raises(ValueError, match="characters"):
        new_tokenizer(characters)


# ------------------------------------------------------------------------ loss


def test_the_loss_is_the_mean_nll_of_the_response_tokens_alone() -> None:
    model, tokenizer = tiny_policy(ScratchAddition(), steps=1)
    pairs = [("3+4=", "7;"), ("1+1=", "..<2>;"), ("", "9;")]
    total, count = 0.0, 0
    for prompt, response in pairs:
        ids = torch.tensor([tokenizer(prompt + response)["input_ids"]])
        logps = model(input_ids=ids).logits.log_softmax(-1)
        # the first token of a sequence without a prompt is predicted by nothing
        for t in range(max(len(prompt), 1), ids.shape[1]):
            total -= logps[0, t - 1, ids[0, t]].item()
            count += 1
    loss = _demonstration_loss(model, tokenizer, pairs)
    assert_close(loss.item(), total / count, rtol=1e-5, atol=1e-5)


def test_the_curriculum_and_the_learning_rate() -> None:
    noise = [_noise(p) for p in (0, 0.15, 0.5, 0.7, 1)]
    assert noise == pytest.approx([0, 0, 0.5, 1, 1])
    grid = [_noise(p / 100) for p in range(100)]
    assert grid == sorted(grid)
    assert _rate(0) == 0.1 and _rate(0.3) == 1.0 and 0 < _rate(0.999) < 0.05


# --------------------------------------------------------------- determinism


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state() -> None:
    torch.manual_seed(0)
    random.seed(0)
    state, python_state = torch.random.get_rng_state(), random.getstate()
    first = weights(tiny_policy(ScratchAddition(), seed=1, steps=3)[0])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert random.getstate() == python_state
    torch.manual_seed(5)
    random.seed(5)
    again = weights(tiny_policy(ScratchAddition(), seed=1, steps=3)[0])
    other = weights(tiny_policy(ScratchAddition(), seed=2, steps=3)[0])
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_steps_change_the_weights_and_none_is_refused() -> None:
    one = weights(tiny_policy(ScratchAddition(), steps=1)[0])
    two = weights(tiny_policy(ScratchAddition(), steps=2)[0])
    assert not torch.equal(one, two)
    with pytest.raises(ValueError, match="steps"):
        tiny_policy(ScratchAddition(), steps=0)


def test_progress_is_shown_on_request_only(capsys) -> None:
    tiny_policy(ScratchAddition(), steps=1)
    assert capsys.readouterr().err == ""
    tiny_policy(ScratchAddition(), steps=1, progress=True)
    assert "pretraining" in capsys.readouterr().err


def test_model_and_tokenizer_agree_on_the_special_tokens(tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    model, tokenizer = tiny_policy(ScratchAddition(), steps=1)
    assert not model.training
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    model.save_pretrained(tmp_path)
    copy = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(weights(copy), weights(model))


# -------------------------------------------------------------------- the base


@pytest.fixture(scope="module")
def base():
    """The default base policy: five seconds of one core."""
    return tiny_policy(load_task("scratch-addition"))


def test_the_base_is_what_the_notebooks_need(base) -> None:
    model, tokenizer = base
    task_set, size, width = load_task("scratch-addition"), 16, 16
    tasks = [*task_set.held_out(), *task_set.sample(72, seed=0, step=0)]
    prompts = tokenizer([task.prompt for task in tasks], return_tensors="pt")
    torch.manual_seed(0)
    ids = model.generate(
        input_ids=prompts.input_ids,
        attention_mask=prompts.attention_mask,
        do_sample=True,
        top_k=0,
        num_return_sequences=size,
        max_new_tokens=width,
    )[:, prompts.input_ids.shape[1] :]
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    scores = torch.tensor(
        [task_set.verify(text, tasks[i // size]) for i, text in enumerate(texts)]
    ).view(-1, size)
    ended = (ids == tokenizer.eos_token_id).any(1)
    ended_by_10 = (ids[:, :10] == tokenizer.eos_token_id).any(1)
    brackets = sum(bracket_format_reward(completions=texts)) / len(texts)
    # measured over five seeds: .30–.35, .99+, .03–.06, .28–.34, 6.8–7.1 tokens
    assert 0.25 < scores.mean() < 0.42
    assert (scores.mean(1) > 0).float().mean() > 0.9  # nearly every group can learn
    assert (scores.mean(1) < 1).all()
    assert ended.float().mean() > 0.97
    assert 0.01 < 1 - ended_by_10.float().mean() < 0.12
    assert 0.2 < brackets < 0.45
    assert 5.5 < (ids != tokenizer.pad_token_id).sum(1).float().mean() < 8.5
