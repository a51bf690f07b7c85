"""Rollouts: what is sampled, what is masked, and that every record of it is true."""

import pytest
import torch

from rlnotes.policies.policy import Policy
from rlnotes.rollouts.dynamic_sampling import sample_informative
from rlnotes.rollouts.forwards import (
    bucketed_hidden_states,
    packed_hidden_states,
    packing_pays,
)
from rlnotes.rollouts.rollouts import (
    Rollouts,
    encode_prompts,
    generate_rollouts,
)
from rlnotes.rollouts.sampling import draw_tokens
from rlnotes.rollouts.scoring import per_token_logps
from rlnotes.tasks.base import Task
from tests.conftest import random_policy


def rollouts_of(policy, tasks, seed=0, **keywords):
    defaults = {"num_generations": 4, "max_completion_length": 9}
    generator = torch.Generator().manual_seed(seed)
    return generate_rollouts(
        policy, tasks, generator=generator, **{**defaults, **keywords}
    )


MIXED = [Task("1+2=", "3"), Task("=", "0"), Task("9+9+9+1=", "8")]


def test_shapes_and_masks(policy, task):
    r = rollouts_of(policy, task.sample(3, seed=0, step=0))
    assert len(r) == 12 and r.completion_ids.shape == r.completion_mask.shape
    eos = policy.tokenizer.eos_token_id
    for ids, mask, truncated in zip(
        r.completion_ids, r.completion_mask, r.truncated, strict=True
    ):
        n = int(mask.sum())
        assert mask.tolist() == [1] * n + [0] * (len(mask) - n)
        assert (eos in ids[:n].tolist()) == (not truncated)
        assert eos not in ids[: n - 1].tolist()
        if truncated:
            assert n == 9
    assert (r.per_token_logps[r.completion_mask == 0] == 0).all()
    assert (r.per_token_logps[r.completion_mask == 1] < 0).all()
    assert r.truncated.any() and not r.truncated.all()


def test_tokens_are_counted_with_the_prompt_of_each_completion(policy):
    r = rollouts_of(policy, MIXED, num_generations=2)
    prompts = sum(len(t.prompt) for t in MIXED)
    assert r.num_tokens == 2 * prompts + int(r.lengths.sum())


def test_the_first_eos_counts_even_where_pad_is_eos(policy, task):
    policy.tokenizer.pad_token = policy.tokenizer.eos_token
    r = rollouts_of(policy, MIXED)
    eos = policy.tokenizer.eos_token_id
    ended = ~r.truncated
    last = r.completion_ids.gather(1, (r.lengths - 1)[:, None]).squeeze(1)
    assert ended.any() and (last[ended] == eos).all()


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_sampled_logps_are_the_training_forwards(kind):
    policy = random_policy(kind)
    r = rollouts_of(policy, MIXED, max_completion_length=12)
    plain = per_token_logps(policy, r)
    torch.testing.assert_close(r.per_token_logps, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("forward", [packed_hidden_states, bucketed_hidden_states])
def test_lean_forwards_are_the_plain_one_with_gradient(kind, forward):
    policy = random_policy(kind)
    r = rollouts_of(policy, MIXED, max_completion_length=12)
    mask = r.completion_mask.bool()
    coefficients = torch.randn(int(mask.sum()), generator=torch.manual_seed(1))

    def gradient(logps):
        policy.model.zero_grad()
        (logps * coefficients).sum().backward()
        return [p.grad.clone() for p in policy.model.parameters()]

    plain = per_token_logps(policy, r)[mask]
    hidden = forward(policy.model.base_model, r)
    logits = policy.model.lm_head(hidden)
    packed = logits.log_softmax(-1).gather(1, r.completion_ids[mask][:, None])[:, 0]
    torch.testing.assert_close(packed, plain, atol=1e-5, rtol=1e-5)
    for a, b in zip(gradient(packed), gradient(plain), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("prompt", "completion", "pays"),
    [(40, 24, True), (8, 60, False), (8, 4, True), (1, 1, True), (2, 200, False)],
)
def test_packing_pays_when_prompts_are_long(policy, prompt, completion, pays):
    r = rollouts_of(policy, MIXED[:1], num_generations=8)
    r.prompt_mask = torch.ones(1, prompt, dtype=torch.long)
    r.completion_mask = torch.ones(8, completion, dtype=torch.long)
    assert packing_pays(r, 128) == pays
    # by hand: 6·128·7 prompt tokens saved against the pairs added
    pairs = (prompt + 8 * completion) ** 2 - 8 * (prompt + completion) ** 2
    assert (5376 * prompt > pairs) == pays


def test_temperature_is_in_the_recorded_logps(policy):
    r = rollouts_of(policy, MIXED, temperature=0.5)
    plain = per_token_logps(policy, r, temperature=0.5)
    torch.testing.assert_close(r.per_token_logps, plain, atol=1e-5, rtol=1e-5)
    other = per_token_logps(policy, r, temperature=1.0)
    assert (r.per_token_logps - other).abs().max() > 0.1


def test_greedy_equals_transformers_generate(policy):
    r = rollouts_of(policy, MIXED, num_generations=1, temperature=0.0)
    ids, mask = encode_prompts(policy, [t.prompt for t in MIXED])
    reference = policy.model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=False,
        max_new_tokens=9,
        pad_token_id=0,
        eos_token_id=policy.tokenizer.eos_token_id,
    )[:, ids.shape[1] :]
    width = min(reference.shape[1], r.completion_ids.shape[1])
    kept = r.completion_mask[:, :width]
    assert ((reference[:, :width] * kept) == (r.completion_ids[:, :width] * kept)).all()


def test_the_same_generator_gives_the_same_rollouts(policy):
    a, b = rollouts_of(policy, MIXED, seed=5), rollouts_of(policy, MIXED, seed=5)
    assert a.texts == b.texts and (a.per_token_logps == b.per_token_logps).all()
    assert rollouts_of(policy, MIXED, seed=6).texts != a.texts


def test_a_row_does_not_depend_on_who_left_the_batch(policy):
    """Row 0 draws the same uniforms whether other rows end early or not."""
    together = rollouts_of(policy, MIXED[:1], num_generations=4, seed=3)
    never = Policy(policy.model, policy.tokenizer, "never ends")
    uniforms = torch.Generator().manual_seed(3)
    first = torch.rand(4, generator=uniforms)
    logits = policy.model(**_prompt(never)).logits[:, -1].repeat(4, 1)
    expected = draw_tokens(logits, 1.0, first)[0]
    assert (together.completion_ids[:, 0] == expected).all()


def _prompt(policy):
    ids, mask = encode_prompts(policy, [MIXED[0].prompt])
    return {"input_ids": ids, "attention_mask": mask}


def test_inverse_cdf_draws_the_softmax():
    logits = torch.tensor([2.0, 0.0, -torch.inf, 1.0]).repeat(40_000, 1)
    uniforms = torch.rand(40_000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(draw_tokens(logits, 1.0, uniforms)[0], minlength=4)
    expected = logits[0].softmax(0)
    assert counts[2] == 0
    deviation = (counts / 40_000 - expected).abs()
    assert (deviation < 4 * (expected * (1 - expected) / 40_000).sqrt() + 1e-9).all()


def test_inverse_cdf_edges():
    logits = torch.tensor([[-torch.inf, 1.0, 2.0, -torch.inf]] * 2)
    drawn, _, _ = draw_tokens(logits, 1.0, torch.tensor([0.0, 1 - 2**-24]))
    assert drawn.tolist() == [1, 2]
    assert draw_tokens(logits, 0.0, torch.zeros(2))[0].tolist() == [2, 2]


@pytest.mark.parametrize("size", [5, 127, 128, 256, 1024])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_a_draw_comes_with_its_log_prob_and_entropy(size, temperature):
    generator = torch.Generator().manual_seed(size)
    logits = 4 * torch.randn(300, size, generator=generator)
    logits[:, :2] = -torch.inf
    uniforms = torch.rand(300, generator=generator)
    ids, logps, entropies = draw_tokens(logits, temperature, uniforms)
    exact = torch.log_softmax(logits.double() / temperature, -1)
    probabilities = exact.exp()
    cumulative = probabilities.cumsum(-1)
    chosen = cumulative.gather(1, ids[:, None])[:, 0]
    before = chosen - probabilities.gather(1, ids[:, None])[:, 0]
    assert (before - 1e-5 <= uniforms).all() and (uniforms <= chosen + 1e-5).all()
    torch.testing.assert_close(
        logps, exact.gather(1, ids[:, None])[:, 0].float(), atol=1e-5, rtol=1e-5
    )
    expected = torch.special.entr(probabilities).sum(-1).float()
    torch.testing.assert_close(entropies, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [5, 1024])
def test_an_impossible_id_is_never_drawn_at_the_edges(size):
    logits = torch.full((3, size), -torch.inf)
    logits[:, size // 2] = 0.0
    logits[1, 1] = logits[2, 3] = 30.0
    edges = torch.tensor([1 - 2**-24, 0.0, 1 - 2**-24])
    ids, _, _ = draw_tokens(logits, 1.0, edges)
    assert torch.isfinite(logits.gather(1, ids[:, None])).all()
    assert ids.tolist()[:2] == [size // 2, 1]


def test_select_and_concatenate(policy):
    r = rollouts_of(policy, MIXED)
    back = Rollouts.concatenate([r.select([2]), r.select([0, 1])]).select([1, 2, 0])
    assert back.texts == r.texts and [t.answer for t in back.tasks] == ["3", "0", "8"]
    for name in ("prompt_ids", "completion_ids", "completion_mask", "per_token_logps"):
        assert (getattr(back, name) == getattr(r, name)).all()


def test_concatenate_widens_both_paddings(policy):
    short = rollouts_of(policy, MIXED[:1], max_completion_length=2)
    long = rollouts_of(policy, MIXED[2:], max_completion_length=9)
    both = Rollouts.concatenate([short, long])
    plain = per_token_logps(policy, both)
    torch.testing.assert_close(both.per_token_logps, plain, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="share num_generations"):
        Rollouts.concatenate([short, rollouts_of(policy, MIXED, num_generations=2)])


def test_dynamic_sampling_fills_the_batch_with_informative_groups(policy):
    flags = [torch.tensor(x) for x in ([False, True, False], [True, True, False])]

    def sample(k):
        return rollouts_of(policy, MIXED, seed=k), flags[k]

    rollouts, account = sample_informative(sample, 3, max_resample_times=5)
    assert [t.answer for t in rollouts.tasks] == ["0", "3", "0"]
    assert (account.batches, account.groups_sampled) == (2, 6)
    assert account.groups_informative == 3 and account.completions == 24
    assert account.tokens == sum(
        rollouts_of(policy, MIXED, seed=k).num_tokens for k in (0, 1)
    )


def test_dynamic_sampling_that_never_succeeds_falls_back_and_says_so(policy):
    def sample(k):
        return rollouts_of(policy, MIXED, seed=k), torch.zeros(3, dtype=torch.bool)

    rollouts, account = sample_informative(sample, 3, max_resample_times=2)
    assert len(rollouts) == 12 and account.batches == 3
    assert account.groups_informative == 0 and account.groups_sampled == 9


def test_bad_input(policy, task):
    tasks = task.sample(1, seed=0, step=0)
    with pytest.raises(ValueError, match="prompts is empty"):
        rollouts_of(policy, [])
    with pytest.raises(ValueError, match="num_generations"):
        rollouts_of(policy, tasks, num_generations=0)
    with pytest.raises(ValueError, match="max_completion_length"):
        rollouts_of(policy, tasks, max_completion_length=0)
    with pytest.raises(ValueError, match="temperature"):
        rollouts_of(policy, tasks, temperature=-1.0)
    with pytest.raises(ValueError, match="no chat template"):
        rollouts_of(policy, [Task([{"role": "user", "content": "1"}], "1")])


def test_a_growing_cache_holds_what_transformers_cache_holds():
    from transformers.cache_utils import DynamicLayer

    from rlnotes.rollouts.growing import GrowingLayer

    generator = torch.Generator().manual_seed(0)

    def states(rows, length):
        return torch.randn(2, rows, 3, length, 4, generator=generator)

    start = states(5, 7)
    theirs, ours = DynamicLayer(), GrowingLayer(*start)
    theirs.update(*start)
    rows = 5
    for step in range(150):  # past the room that is allocated ahead
        new = states(rows, 1)
        for mine, reference in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(mine, reference)
        if step in (20, 90):
            keep = torch.tensor([0, 2, 3][: rows - 1])
            ours.batch_select_indices(keep)
            theirs.batch_select_indices(keep)
            rows = len(keep)
    assert ours.get_seq_length() == theirs.get_seq_length() == 157
    assert ours.keys.data_ptr() == ours.update(*states(rows, 1))[0].data_ptr()


@pytest.mark.parametrize("prompts", [MIXED, MIXED[:1]], ids=["padded", "equal"])
def test_bfloat16_rollouts_record_what_the_plain_forward_says(policy, prompts):
    """On the CPU they attend through a mask: grouped queries, nothing hidden."""
    half = policy.clone(dtype=torch.bfloat16)
    r = rollouts_of(half, prompts, num_generations=8)
    plain = per_token_logps(half, r)
    torch.testing.assert_close(r.per_token_logps, plain, atol=0.05, rtol=0.02)
    wrong = per_token_logps(random_policy(seed=3).clone(dtype=torch.bfloat16), r)
    assert (r.per_token_logps - wrong).abs().max() > 0.5


def test_the_gradient_of_a_shared_state_does_not_depend_on_threads():
    """Several threads that add to one row in any order would change its last bits."""
    from rlnotes.rollouts.forwards import _states

    torch.manual_seed(0)
    hidden, slopes = torch.randn(2, 480, 576), torch.randn(1100, 576)
    shared = [torch.full((200,), 5), torch.full((200,), 6), torch.arange(700)]
    index = torch.cat(shared)[torch.randperm(1100)]

    def gradient(threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            states = hidden.clone().requires_grad_()
            _states(states, index).backward(slopes)
            return states.grad
        finally:
            torch.set_num_threads(before)

    one = gradient(1)
    assert all(torch.equal(gradient(2), one) for _ in range(30))
