"""The fused head against plain logits and autograd, to the last digits of float64."""

import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from rlnotes.equations.fused import fused_logps, fused_policy_loss, fused_sequence_loss
from rlnotes.equations.objectives import per_token_policy_loss
from rlnotes.equations.plain_head import plain_head_weight
from tests.conftest import random_policy

M, H, V = 13, 6, 37
NAN, INF = math.nan, math.inf


def batch(*, count=M, width=H, vocab=V, seed=0, dtype=torch.float64, logit_std=2.0):
    """Hidden states, head, ids, advantages of both signs and 0, old and ref log π."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden, head = normal(count, width), normal(vocab, width) * logit_std / width**0.5
    ids = torch.randint(vocab, (count,), generator=generator)
    logps = torch.log_softmax(hidden @ head.T, -1)[torch.arange(count), ids]
    advantages = normal(count)
    advantages[::5] = 0
    return SimpleNamespace(
        hidden=hidden.to(dtype).requires_grad_(),
        head=head.to(dtype).requires_grad_(),
        ids=ids,
        advantages=advantages,
        old=logps + 0.3 * normal(count),
        ref=logps + 0.3 * normal(count),
        weights=torch.rand(count, generator=generator, dtype=torch.float64) / count,
    )


def token_loss_of(data, **keywords):
    """w·L of the library's objective, for any subset of the tokens."""

    def token_loss(logps, rows):
        losses = per_token_policy_loss(
            logps[:, None],
            data.old[rows, None].to(logps.dtype),
            data.advantages[rows, None].to(logps.dtype),
            torch.ones_like(logps)[:, None],
            ref_per_token_logps=data.ref[rows, None].to(logps.dtype),
            **keywords,
        )
        return losses[:, 0] * data.weights[rows].to(logps.dtype)

    return token_loss


def plain(data, token_loss, *, temperature=1.0, entropy_weights=None):
    """Loss, gradients, log-probs and entropies with all logits and autograd."""
    logits = data.hidden @ data.head.T / temperature
    log_probs = torch.log_softmax(logits, -1)
    logps = log_probs.gather(1, data.ids[:, None])[:, 0]
    entropies = -(log_probs.exp() * log_probs).sum(-1)
    loss = token_loss(logps, torch.arange(len(logps))).sum()
    if entropy_weights is not None:
        loss = loss - (entropy_weights * entropies).sum()
    gradients = torch.autograd.grad(loss, (data.hidden, data.head))
    return [loss.detach(), *gradients, logps.detach(), entropies.detach()]


def fused(data, token_loss, **keywords):
    """The same five from `fused_policy_loss`."""
    result = fused_policy_loss(data.hidden, data.head, data.ids, token_loss, **keywords)
    gradients = torch.autograd.grad(result.loss, (data.hidden, data.head))
    return [
        result.loss.detach(),
        *gradients,
        result.per_token_logps,
        result.entropies,
    ]


def assert_same(left, right, tolerance=1e-12):
    names = ("loss", "dhidden", "dhead", "logps", "entropies")
    for name, a, b in zip(names, left, right, strict=True):
        assert_close(
            a,
            b,
            rtol=tolerance,
            atol=tolerance,
            msg=lambda m, name=name: f"{name}: {m}",
        )


OBJECTIVES = {
    "clip": {"epsilon": 0.1},
    "clip-higher": {"epsilon": 0.1, "epsilon_high": 0.28},
    "dual clip": {"epsilon": 0.1, "delta": 1.2, "delta_rule": "both"},
    "cispo": {"loss_type": "cispo", "epsilon_high": 1.1},
    "k1": {"beta": 0.3, "kl_estimator": "k1"},
    "k3": {"beta": 0.3},
    "k3 importance": {"beta": 0.3, "kl_gradient": "importance"},
    "k2 gradient": {"beta": 0.3, "kl_gradient": "k2"},
}


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("keywords", OBJECTIVES.values(), ids=OBJECTIVES)
def test_every_objective_equals_plain_logits(keywords, temperature):
    data = batch()
    objective = token_loss_of(data, **keywords)
    expected = plain(data, objective, temperature=temperature)
    got = fused(data, objective, temperature=temperature, chunk_size=5, vocab_block=10)
    assert_same(got, expected)


def test_the_clipped_objective_has_clipped_and_free_tokens():
    """The case above means nothing if no token, or every token, is clipped."""
    data = batch()
    _, slopes = _slopes(data, token_loss_of(data, epsilon=0.1))
    moving = data.advantages != 0
    assert 0 < int((slopes[moving] == 0).sum()) < int(moving.sum())


def _slopes(data, token_loss):
    logps, _ = fused_logps(data.hidden, data.head, data.ids)
    leaf = logps.requires_grad_()
    loss = token_loss(leaf, torch.arange(len(leaf))).sum()
    return loss, torch.autograd.grad(loss, leaf)[0]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_entropy_bonus_equals_plain_logits(temperature):
    data = batch()
    keywords = {"temperature": temperature, "entropy_weights": data.weights}
    objective = token_loss_of(data)
    expected = plain(data, objective, **keywords)
    got = fused(data, objective, chunk_size=5, vocab_block=10, **keywords)
    assert_same(got, expected)


def test_a_bonus_on_some_tokens_and_slopes_on_others():
    """Tokens with a slope alone, a bonus alone, both and neither: all exact."""
    data = batch()
    bonus = data.weights.clone()
    bonus[:6] = 0
    objective = token_loss_of(data, epsilon=10.0)
    sloped, paid = data.advantages != 0, bonus != 0
    for kind in (sloped & ~paid, ~sloped & paid, sloped & paid, ~sloped & ~paid):
        assert kind.any()
    keywords = {"entropy_weights": bonus, "temperature": 0.6}
    with products() as counter:
        got = fused(data, objective, chunk_size=4, vocab_block=10, **keywords)
    assert_same(got, plain(data, objective, **keywords))
    moving = int((sloped | paid).sum())
    assert counter.get_total_flops() == (2 * M + 4 * moving) * H * V


def test_entropy_bonus_alone_raises_entropy():
    data = batch()
    result = fused_policy_loss(
        data.hidden,
        data.head,
        data.ids,
        lambda logps, rows: torch.zeros_like(logps),
        entropy_weights=torch.ones(M),
    )
    loss = float(result.loss.detach())
    assert loss == pytest.approx(-float(result.entropies.sum()))
    (step,) = torch.autograd.grad(result.loss, data.hidden)
    _, entropies = fused_logps(data.hidden - 0.01 * step, data.head, data.ids)
    assert float(entropies.sum()) > float(result.entropies.sum())


def test_one_token_by_hand():
    """π = (¼, ¾): log ¼, slope 2, dz = 2·(¾, −¾)."""
    hidden = torch.tensor([[1.0]], requires_grad=True)
    head = torch.tensor([[0.0], [math.log(3)]], requires_grad=True)
    result = fused_policy_loss(
        hidden, head, torch.tensor([0]), lambda logps, rows: 2 * logps
    )
    result.loss.backward()
    assert float(result.per_token_logps) == pytest.approx(math.log(0.25))
    assert float(result.entropies) == pytest.approx(
        0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    )
    assert_close(head.grad, torch.tensor([[1.5], [-1.5]]))
    assert_close(hidden.grad, torch.tensor([[-1.5 * math.log(3)]]))


@pytest.mark.parametrize("bonus", [False, True])
def test_gradcheck(bonus):
    data = batch(count=4, width=3, vocab=7)
    weights = data.weights if bonus else None

    def loss(hidden, head):
        return fused_policy_loss(
            hidden,
            head,
            data.ids,
            token_loss_of(data, beta=0.1, epsilon=10.0),
            entropy_weights=weights,
            temperature=0.8,
            chunk_size=3,
            vocab_block=3,
        ).loss

    assert torch.autograd.gradcheck(loss, (data.hidden, data.head))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 17),
    vocab=st.integers(1, 23),
    chunk_size=st.integers(1, 20),
    vocab_block=st.integers(1, 25),
    seed=st.integers(0, 1000),
)
def test_the_cut_into_chunks_and_blocks_never_matters(
    count, vocab, chunk_size, vocab_block, seed
):
    data = batch(count=count, vocab=vocab, seed=seed)
    objective = token_loss_of(data, beta=0.1)
    keywords = {"entropy_weights": data.weights}
    expected = plain(data, objective, **keywords)
    got = fused(
        data, objective, chunk_size=chunk_size, vocab_block=vocab_block, **keywords
    )
    assert_same(got, expected)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(M)))
def test_the_order_of_tokens_never_matters(order):
    data = batch()
    index = torch.tensor(order)
    shuffled = SimpleNamespace(
        hidden=data.hidden.detach()[index].requires_grad_(),
        head=data.head,
        **{
            name: getattr(data, name)[index]
            for name in ("ids", "advantages", "old", "ref", "weights")
        },
    )
    loss, d_hidden, d_head, *_ = fused(data, token_loss_of(data), chunk_size=4)
    got = fused(shuffled, token_loss_of(shuffled), chunk_size=4)
    assert_close(got[0], loss, rtol=1e-12, atol=1e-12)
    assert_close(got[1], d_hidden[index], rtol=1e-12, atol=1e-12)
    assert_close(got[2], d_head, rtol=1e-12, atol=1e-12)


def test_skip_is_exact():
    """Â = 0 without KL: skipping changes no digit of anybody's gradient."""
    data = batch()
    idle = data.advantages == 0
    objective = token_loss_of(data)
    full = fused(data, objective, chunk_size=4)
    loss, d_hidden, d_head, logps, entropies = fused(
        data, objective, chunk_size=4, skip=idle
    )
    assert 0 < int(idle.sum()) < M
    assert_close(loss, full[0], rtol=0, atol=1e-15)
    assert_close(d_hidden, full[1], rtol=0, atol=1e-15)
    assert_close(d_head, full[2], rtol=0, atol=1e-15)
    assert bool((d_hidden[idle] == 0).all())
    for values, expected in ((logps, full[3]), (entropies, full[4])):
        assert torch.equal(values.isnan(), idle)
        assert_close(values[~idle], expected[~idle], rtol=0, atol=1e-15)


def test_skipped_tokens_meet_neither_the_head_nor_the_objective():
    data, seen = batch(), []
    skip = torch.zeros(M, dtype=torch.bool)
    skip[3:9] = True
    hidden = data.hidden.detach().clone()
    hidden[skip] = NAN  # would poison everything it touches

    def objective(logps, rows):
        seen.extend(rows.tolist())
        return logps

    result = fused_policy_loss(
        hidden.requires_grad_(), data.head, data.ids, objective, skip=skip, chunk_size=4
    )
    result.loss.backward()
    assert seen == [0, 1, 2, 9, 10, 11, 12]
    assert bool(data.head.grad.isfinite().all())
    assert bool((hidden.grad[skip] == 0).all())


def products():
    """Counts the operations of all matrix products, those in place too."""

    def in_place(total, left, right, **_):
        return 2 * left[0] * left[1] * right[1]

    return FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.addmm_: in_place}
    )


@pytest.mark.parametrize("block", [V, 10])
def test_only_the_products_that_exact_gradients_need(block):
    """2·H·V operations a token for log π, 4·H·V more where the slope is not 0."""
    data = batch()
    objective = token_loss_of(data, epsilon=0.1)
    moving = int((_slopes(data, objective)[1] != 0).sum())
    skip = data.advantages == 0

    for keywords, read in (({}, M), ({"skip": skip}, M - int(skip.sum()))):
        with products() as counter:
            fused(data, objective, chunk_size=4, vocab_block=block, **keywords)
        assert counter.get_total_flops() == (2 * read + 4 * moving) * H * V


def test_all_skipped_is_a_loss_of_zero_with_gradients_of_zero():
    data = batch()
    skip = torch.ones(M, dtype=torch.bool)
    loss, d_hidden, d_head, logps, _ = fused(data, token_loss_of(data), skip=skip)
    assert float(loss) == 0
    assert not d_hidden.any() and not d_head.any()
    assert bool(logps.isnan().all())


def test_no_tokens_at_all():
    data = batch(count=0)
    loss, d_hidden, d_head, logps, _ = fused(data, lambda logps, rows: logps)
    assert float(loss) == 0 and not d_head.any()
    assert d_hidden.shape == (0, H) and logps.shape == (0,)


def test_a_constant_loss_has_no_gradient():
    data = batch()
    loss, d_hidden, d_head, *_ = fused(data, lambda logps, rows: torch.ones_like(logps))
    assert float(loss) == M and not d_hidden.any() and not d_head.any()


def test_a_loss_of_something_else_has_no_gradient_here():
    """It needs a gradient, though not that of the log-probs."""
    data, scale = batch(), torch.tensor(2.0, requires_grad=True)
    loss, d_hidden, d_head, *_ = fused(
        data, lambda logps, rows: scale.expand(len(rows))
    )
    assert float(loss) == 2 * M and not d_hidden.any() and not d_head.any()


# --- dtypes


def _errors(got, expected):
    return [
        float((a.double() - b).norm() / b.norm())
        for a, b in zip(got, expected, strict=True)
    ]


def test_float32_is_within_1e_5_of_float64():
    sizes = {"count": 200, "width": 64, "vocab": 3000}
    exact, single = batch(**sizes), batch(**sizes, dtype=torch.float32)
    keywords = {"beta": 0.1, "epsilon": 10.0}  # a clip could flip by rounding
    expected = plain(exact, token_loss_of(exact, **keywords))
    got = fused(single, token_loss_of(single, **keywords), chunk_size=64)
    assert all(value.dtype == torch.float32 for value in got)
    assert max(_errors(got, expected)) < 1e-5


def test_rare_and_certain_tokens_stay_exact_in_float32():
    """π near 1 and near e⁻⁴⁰: right to one epsilon of float32, log π ≤ 0, H ≥ 0."""
    hidden = torch.tensor([[1.0], [1.0]], requires_grad=True)
    head = torch.tensor([[50.0], [38.0], [10.0]], requires_grad=True)
    result = fused_policy_loss(
        hidden, head, torch.tensor([0, 2]), lambda logps, rows: logps, vocab_block=1
    )
    result.loss.backward()
    rest = math.exp(-12) + math.exp(-40)
    expected = torch.tensor([-math.log1p(rest), -40 - math.log1p(rest)])
    epsilon = torch.finfo(torch.float32).eps
    assert_close(result.per_token_logps, expected, rtol=epsilon, atol=epsilon)
    assert bool((result.per_token_logps <= 0).all())
    entropy = (math.log1p(rest) + 12 * math.exp(-12)) / (1 + rest)
    assert_close(result.entropies, torch.full((2,), entropy), rtol=0, atol=epsilon)
    assert bool((result.entropies >= 0).all())
    # token 0 gives (1 − π₀, −π₁, −π₂), token 2 (−π₀, −π₁, 1 − π₂)
    p0 = 1 / (1 + rest)
    slopes = [rest / (1 + rest) - p0, -2 * math.exp(-12) * p0, 1.0]
    assert_close(head.grad[:, 0], torch.tensor(slopes), rtol=0, atol=2 * epsilon)


def test_bfloat16_is_as_close_to_float64_as_plain_bfloat16():
    sizes = {"count": 150, "width": 64, "vocab": 700, "seed": 3}
    half = batch(**sizes, dtype=torch.bfloat16)
    exact = batch(**sizes)
    exact.hidden = half.hidden.detach().double().requires_grad_()
    exact.head = half.head.detach().double().requires_grad_()
    objective = {"epsilon": 10.0}
    expected = plain(exact, token_loss_of(exact, **objective))
    got = fused(half, token_loss_of(half, **objective), chunk_size=64, vocab_block=256)

    def plain_bfloat16():
        log_probs = torch.log_softmax((half.hidden @ half.head.T).float(), -1)
        logps = log_probs.gather(1, half.ids[:, None])[:, 0]
        loss = token_loss_of(half, **objective)(logps, torch.arange(len(logps))).sum()
        return [loss.detach(), *torch.autograd.grad(loss, (half.hidden, half.head))]

    peer = _errors(plain_bfloat16(), expected[:3])
    ours = _errors(got, expected)
    assert got[1].dtype == got[2].dtype == torch.bfloat16
    assert got[0].dtype == got[3].dtype == got[4].dtype == torch.float32
    assert ours[1] < 1.5 * peer[1] and ours[2] < 1.5 * peer[2]
    assert max(ours[1:]) < 0.01


def test_bfloat16_chunks_are_summed_in_float32():
    """Summed in bfloat16, the head's gradient would lose digits with every chunk."""
    sizes = {"count": 150, "width": 64, "vocab": 100, "seed": 3}
    half = batch(**sizes, dtype=torch.bfloat16)
    objective = token_loss_of(half, epsilon=10.0)
    one, many = (fused(half, objective, chunk_size=n)[2].double() for n in (150, 1))
    assert float((one - many).norm() / one.norm()) < 4.5e-3


def test_gradients_wait_for_backward_in_the_dtype_of_their_inputs():
    """A float32 dW would be the largest tensor alive."""
    data = batch(dtype=torch.bfloat16)
    loss = fused_policy_loss(data.hidden, data.head, data.ids, token_loss_of(data)).loss
    assert [x.dtype for x in loss.grad_fn.saved_tensors] == [torch.bfloat16] * 2


def test_autocast_multiplies_in_bfloat16_and_keeps_float32_gradients():
    data = batch(dtype=torch.float32)
    objective = token_loss_of(data, epsilon=10.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = fused(data, objective, chunk_size=5, vocab_block=10)
    half = batch()
    half.hidden = data.hidden.detach().bfloat16().requires_grad_()
    half.head = data.head.detach().bfloat16().requires_grad_()
    expected = fused(half, objective, chunk_size=5, vocab_block=10)
    assert all(value.dtype == torch.float32 for value in got)
    for mine, rounded in zip(got[1:3], expected[1:3], strict=True):
        assert torch.equal(mine.bfloat16(), rounded)
        assert not torch.equal(mine, mine.bfloat16().float())
    for mine, same in zip(
        (got[0], *got[3:]), (expected[0], *expected[3:]), strict=True
    ):
        assert torch.equal(mine, same)


def test_autocast_leaves_float64_alone():
    data = batch()
    expected = fused(data, token_loss_of(data))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = fused(data, token_loss_of(data))
    assert_same(got, expected, tolerance=0)


# --- sequence level


def gspo(data, lengths):
    """Sequence-level ratio: rows of the given lengths, laid end to end."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]

    def rows(flat):
        return torch.zeros(mask.shape, dtype=flat.dtype).masked_scatter(mask, flat)

    def loss(logps):
        losses = per_token_policy_loss(
            rows(logps),
            rows(data.old),
            rows(data.advantages)[:, 0],
            mask,
            importance_sampling_level="sequence",
            epsilon=0.05,
        )
        return (losses * mask).sum() / mask.sum()

    return loss


@pytest.mark.parametrize("bonus", [False, True])
def test_a_loss_of_whole_sequences_equals_plain_logits(bonus):
    data = batch()
    loss_fn = gspo(data, [5, 1, 4, 3])
    weights = data.weights if bonus else None
    expected = plain(
        data, lambda logps, rows: loss_fn(logps)[None], entropy_weights=weights
    )
    result = fused_sequence_loss(
        data.hidden,
        data.head,
        data.ids,
        loss_fn,
        entropy_weights=weights,
        chunk_size=4,
        vocab_block=10,
    )
    gradients = torch.autograd.grad(result.loss, (data.hidden, data.head))
    got = [result.loss.detach(), *gradients, result.per_token_logps, result.entropies]
    assert_same(got, expected)


@pytest.mark.parametrize("bonus", [False, True])
def test_idle_tokens_of_a_sequence_loss_are_left_out(bonus):
    """Tokens without slope and bonus meet the head once, for the log-probs."""
    data = batch()
    weights = data.weights.clone() if bonus else None
    idle = data.advantages == 0
    if bonus:
        weights[6:] = 0
        idle &= weights == 0
    keywords = {"entropy_weights": weights, "temperature": 0.6}

    def loss_fn(logps):
        return (logps * data.advantages).sum()

    with products() as counter:
        result = fused_sequence_loss(
            data.hidden, data.head, data.ids, loss_fn, chunk_size=4, **keywords
        )
    moving = M - int(idle.sum())
    assert 0 < moving < M
    assert counter.get_total_flops() == (2 * M + 6 * moving) * H * V
    gradients = torch.autograd.grad(result.loss, (data.hidden, data.head))
    got = [result.loss.detach(), *gradients, result.per_token_logps, result.entropies]
    expected = plain(data, lambda logps, rows: loss_fn(logps)[None], **keywords)
    assert_same(got, expected)


def test_clipped_sequences_have_a_gradient_of_zero():
    data = batch()
    data.old, data.advantages = data.old - 5, torch.ones(M)  # ratio e⁵, Â > 0
    result = fused_sequence_loss(
        data.hidden, data.head, data.ids, gspo(data, [5, 1, 4, 3])
    )
    result.loss.backward()
    assert not data.head.grad.any() and not data.hidden.grad.any()
    assert bool(result.per_token_logps.isfinite().all())


# --- autograd


def test_gradients_scale_and_accumulate_like_any_other():
    data = batch()
    once = fused(data, token_loss_of(data))[1:3]

    def loss():
        return fused_policy_loss(
            data.hidden, data.head, data.ids, token_loss_of(data)
        ).loss

    (3 * loss()).backward()
    loss().backward()
    for grad, single in zip((data.hidden.grad, data.head.grad), once, strict=True):
        assert_close(grad, 4 * single, rtol=1e-12, atol=1e-12)


def test_backward_twice_on_one_graph():
    data = batch()
    loss = fused_policy_loss(data.hidden, data.head, data.ids, token_loss_of(data)).loss
    loss.backward(retain_graph=True)
    once = data.head.grad.clone()
    loss.backward()
    assert_close(data.head.grad, 2 * once, rtol=1e-12, atol=1e-12)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_a_second_derivative_is_refused():
    data = batch()
    loss = fused_policy_loss(data.hidden, data.head, data.ids, token_loss_of(data)).loss
    message = (
        "a fused loss has no second derivative: call backward() without "
        "create_graph=True, or take the plain logits"
    )
    with pytest.raises(RuntimeError) as error:
        torch.autograd.grad(loss, data.hidden, create_graph=True)
    assert str(error.value) == message


@pytest.mark.parametrize("frozen", ["hidden", "head"])
def test_what_is_frozen_gets_no_gradient(frozen):
    data = batch()
    expected = dict(
        zip(
            ("hidden", "head"),
            fused(data, token_loss_of(data, epsilon=INF))[1:3],
            strict=True,
        )
    )
    getattr(data, frozen).requires_grad_(False)
    with products() as counter:
        fused_policy_loss(
            data.hidden, data.head, data.ids, token_loss_of(data, epsilon=INF)
        ).loss.backward()
    moving = int((data.advantages != 0).sum())
    assert counter.get_total_flops() == (2 * M + 2 * moving) * H * V
    trained = "head" if frozen == "hidden" else "hidden"
    assert getattr(data, frozen).grad is None
    assert_close(getattr(data, trained).grad, expected[trained])


@pytest.mark.parametrize("frozen", ["hidden", "head"])
def test_a_scaled_loss_beside_something_frozen(frozen):
    data = batch()
    trained = "head" if frozen == "hidden" else "hidden"
    getattr(data, frozen).requires_grad_(False)

    def gradient(factor):
        loss = fused_policy_loss(
            data.hidden, data.head, data.ids, token_loss_of(data)
        ).loss
        return torch.autograd.grad(factor * loss, getattr(data, trained))[0]

    assert_close(gradient(3.0), 3 * gradient(1.0), rtol=1e-12, atol=1e-12)


def test_without_grad_there_is_no_graph_but_the_same_value():
    data = batch()
    expected = fused(data, token_loss_of(data))
    with torch.no_grad():
        result = fused_policy_loss(
            data.hidden, data.head, data.ids, token_loss_of(data)
        )
    assert not result.loss.requires_grad
    assert torch.equal(result.loss, expected[0])


def test_log_probs_and_entropies_carry_no_gradient():
    data = batch()
    result = fused_policy_loss(data.hidden, data.head, data.ids, token_loss_of(data))
    logps, entropies = fused_logps(data.hidden, data.head, data.ids)
    for values in (result.per_token_logps, result.entropies, logps, entropies):
        assert not values.requires_grad
    assert torch.equal(logps, result.per_token_logps)
    assert torch.equal(entropies, result.entropies)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_transformers_model_trains_unchanged(kind, tied):
    """Every parameter's gradient, the shared embedding's too, as through `logits`."""
    model = random_policy(kind, tied=tied).model.double()
    ids = torch.randint(model.config.vocab_size, (3, 7))
    targets = ids[:, 1:].flatten()
    data = SimpleNamespace(**vars(batch(count=len(targets))))

    log_probs = model(input_ids=ids).logits[:, :-1].flatten(0, 1).log_softmax(-1)
    logps = log_probs.gather(1, targets[:, None])[:, 0]
    data.old = data.ref = logps.detach() + 0.1 * torch.randn(len(targets)).double()
    objective = token_loss_of(data, beta=0.1)
    objective(logps, torch.arange(len(targets))).sum().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()

    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1].flatten(0, 1)
    head = plain_head_weight(model)
    assert (head is model.get_input_embeddings().weight) == tied
    fused_policy_loss(hidden, head, targets, objective, chunk_size=5).loss.backward()
    for name, p in model.named_parameters():
        assert_close(p.grad, expected[name], rtol=1e-10, atol=1e-12)


# --- memory


class _Largest(TorchDispatchMode):
    """Sizes of all tensors that any operation returns."""

    def __init__(self):
        super().__init__()
        self.sizes = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for value in out if isinstance(out, list | tuple) else [out]:
            if isinstance(value, torch.Tensor):
                self.sizes.setdefault(value.untyped_storage().data_ptr(), []).append(
                    (value.untyped_storage().nbytes() // value.element_size(), function)
                )
        return out

    def largest(self):
        return max(size for calls in self.sizes.values() for size, _ in calls)

    def created(self, numel):
        """How many different storages of exactly this many numbers came to be."""
        return sum(any(n == numel for n, _ in calls) for calls in self.sizes.values())


@pytest.mark.parametrize("bonus", [False, True])
def test_no_logits_matrix_ever_exists(bonus):
    count, vocab, chunk = 96, 640, 8
    data = batch(count=count, vocab=vocab, dtype=torch.float32)
    with _Largest() as seen:
        fused_policy_loss(
            data.hidden,
            data.head,
            data.ids,
            token_loss_of(data),
            entropy_weights=data.weights if bonus else None,
            chunk_size=chunk,
            vocab_block=64,
        ).loss.backward()
    assert seen.largest() == chunk * vocab  # the buffer of one chunk, V·H is smaller
    assert seen.created(chunk * vocab) == 1
    assert seen.created(vocab * H) == 2  # dW, and no copy on its way to head.grad
    assert data.head.grad.untyped_storage().data_ptr() in seen.sizes


def test_no_tile_is_resized():
    """torch would make a tile of another shape fit, and only warn."""
    data = batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fused(data, token_loss_of(data), chunk_size=4, vocab_block=10)


def test_log_probs_take_temperature_and_block():
    data = batch()
    log_probs = torch.log_softmax(data.hidden @ data.head.T / 0.6, -1).detach()
    with _Largest() as seen:
        logps, entropies = fused_logps(
            data.hidden,
            data.head,
            data.ids,
            temperature=0.6,
            chunk_size=4,
            vocab_block=10,
        )
    assert_close(logps, log_probs.gather(1, data.ids[:, None])[:, 0])
    assert_close(entropies, -(log_probs.exp() * log_probs).sum(-1))
    made = {
        size
        for calls in seen.sizes.values()
        for size, function in calls
        if function is torch.ops.aten.addmm.default
    }
    assert max(made) == 4 * 10


def test_log_probs_alone_need_one_pass():
    data = batch()
    with _Largest() as seen:
        fused_logps(data.hidden, data.head, data.ids)
    called = {function for calls in seen.sizes.values() for _, function in calls}
    assert torch.ops.aten.addmm.default in called
    assert torch.ops.aten.scatter_add_.default not in called


def test_bfloat16_makes_no_float32_copy_of_the_head():
    data = batch(vocab=640, dtype=torch.bfloat16)
    with _Largest() as seen, torch.no_grad():
        fused_logps(data.hidden, data.head, data.ids, chunk_size=2, vocab_block=64)
    del seen.sizes[data.head.untyped_storage().data_ptr()]  # the head itself, in views
    assert seen.largest() == 2 * 640 < 640 * H


def test_the_plain_way_does_make_one():
    """The watcher above can see a logits matrix."""
    data = batch(count=96, vocab=640)
    with _Largest() as seen:
        plain(data, token_loss_of(data))
    assert seen.largest() == 96 * 640


# --- heads


def _head(bias=False, **config):
    head = torch.nn.Linear(2, 3, bias=bias)
    return SimpleNamespace(
        get_output_embeddings=lambda: head, config=SimpleNamespace(**config)
    )


def test_a_plain_head_gives_its_weight():
    model = _head(final_logit_softcapping=None, logit_scale=1.0)
    assert plain_head_weight(model) is model.get_output_embeddings().weight


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_head(bias=True), "without bias"),
        (_head(final_logit_softcapping=30.0), "final_logit_softcapping=30.0"),
        (_head(logit_scale=0.0625), "logit_scale=0.0625"),
        (_head(logits_scaling=8.0), "logits_scaling=8.0"),
        (_head(lm_head_multiplier=0.5), "lm_head_multiplier=0.5"),
        (SimpleNamespace(get_output_embeddings=lambda: None), "LM head"),
    ],
)
def test_a_head_that_is_not_plain_is_refused(model, message):
    with pytest.raises(ValueError, match=f"model must .*{message}"):
        plain_head_weight(model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            _head(bias=True),
            "model must have an LM head without bias, got one with a bias",
        ),
        (
            SimpleNamespace(get_output_embeddings=lambda: None),
            "model must have an LM head, got SimpleNamespace",
        ),
    ],
)
def test_the_whole_message_about_a_head(model, message):
    with pytest.raises(ValueError) as error:
        plain_head_weight(model)
    assert str(error.value) == message


def test_a_head_needs_neither_a_bias_attribute_nor_a_config():
    weight = torch.zeros(3, 2)
    head = SimpleNamespace(weight=weight)
    model = SimpleNamespace(get_output_embeddings=lambda: head)
    assert plain_head_weight(model) is weight


def test_a_real_softcapped_model_is_refused():
    from transformers import Gemma2Config, Gemma2ForCausalLM

    sizes = {"hidden_size": 8, "intermediate_size": 8, "head_dim": 4}
    config = Gemma2Config(
        vocab_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        **sizes,
    )
    with pytest.raises(ValueError, match="final_logit_softcapping"):
        plain_head_weight(Gemma2ForCausalLM(config))


# --- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"hidden_states": torch.zeros(M)},
            r"hidden_states must have shape \(\*, \*\)",
        ),
        ({"hidden_states": torch.zeros(M, H).long()}, "hidden_states must be floating"),
        (
            {"hidden_states": torch.zeros(M, H).half()},
            "head_weight must have the dtype",
        ),
        ({"hidden_states": None}, "hidden_states must be a tensor"),
        (
            {"head_weight": torch.zeros(V, H + 1)},
            r"head_weight must have shape \(\*, 6",
        ),
        (
            {"head_weight": torch.zeros(V, H).bfloat16()},
            "head_weight must have the dty",
        ),
        ({"head_weight": torch.zeros(V, H).int()}, "head_weight must be floating"),
        ({"completion_ids": torch.zeros(M + 1).long()}, r"completion_ids .*\(13,\)"),
        ({"completion_ids": torch.zeros(M)}, "completion_ids must be integers"),
        ({"completion_ids": torch.ones(M) > 0}, "completion_ids must be integers"),
        (
            {"completion_ids": torch.full((M,), V)},
            r"completion_ids must lie in \[0, 37\), got 37 to 37",
        ),
        (
            {"completion_ids": torch.arange(M) - 1},
            r"completion_ids must .*got -1 to 11",
        ),
        ({"skip": torch.zeros(M - 1) > 0}, r"skip must have shape \(13,\)"),
        ({"skip": torch.zeros(M)}, "skip must be bool"),
        ({"entropy_weights": torch.zeros(M, 1)}, r"entropy_weights must have shape"),
        (
            {"entropy_weights": torch.zeros(M).long()},
            "entropy_weights must be floating",
        ),
        ({"entropy_weights": torch.full((M,), NAN)}, "entropy_weights must be finite"),
        (
            {"entropy_weights": torch.ones(M), "skip": torch.ones(M) > 0},
            "entropy_weights must be 0 where skip",
        ),
        ({"temperature": 0.0}, "temperature must be"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"chunk_size": 0}, "chunk_size must be an integer"),
        ({"chunk_size": 2.5}, "chunk_size must be an integer"),
        ({"vocab_block": 0}, "vocab_block must be an integer"),
        (
            {"token_loss": lambda logps, rows: logps.sum()},
            r"token_loss must have shape",
        ),
        ({"token_loss": lambda logps, rows: 1.0}, "token_loss must be a tensor"),
        ({"token_loss": lambda logps, rows: logps * NAN}, "token_loss must be finite"),
        (
            {"token_loss": lambda logps, rows: (-logps * 1e30).exp()},
            "token_loss must be",
        ),
        (
            {"token_loss": lambda logps, rows: (logps - logps.detach()).sqrt()},
            "slope of token_loss must be finite",
        ),
        (
            {"hidden_states": torch.full((M, H), NAN)},
            "hidden_states and head_weight must",
        ),
        (
            {"head_weight": torch.full((V, H), INF)},
            "hidden_states and head_weight must",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    data = batch(dtype=torch.float32)
    arguments = {
        "hidden_states": data.hidden,
        "head_weight": data.head,
        "completion_ids": data.ids,
        "token_loss": lambda logps, rows: logps,
    } | change
    with pytest.raises(ValueError, match="^(log-probs of )?" + message):
        fused_policy_loss(**arguments)


def test_float16_is_refused_and_says_why():
    data = batch(dtype=torch.float16)
    with pytest.raises(ValueError) as error:
        fused_logps(data.hidden, data.head, data.ids)
    assert str(error.value) == (
        "hidden_states must not be multiplied in float16, where the gradients of "
        "rare tokens become 0: use bfloat16 or float32"
    )


def test_another_device_is_named():
    data = batch(dtype=torch.float32)
    head = data.head.to("meta")
    with pytest.raises(ValueError, match="^head_weight must be on the device"):
        fused_logps(data.hidden, head, data.ids)
    with pytest.raises(ValueError, match="^completion_ids must be on the device"):
        fused_logps(data.hidden, data.head, data.ids.to("meta"))
    skip = torch.zeros(M, dtype=torch.bool, device="meta")
    with pytest.raises(ValueError, match="^skip must be on the device"):
        fused_policy_loss(
            data.hidden, data.head, data.ids, token_loss_of(data), skip=skip
        )


@pytest.mark.parametrize(
    ("loss_fn", "message"),
    [
        (lambda logps: logps, r"loss_fn must have shape \(\)"),
        (lambda logps: logps.sum() * INF, "loss_fn must be finite"),
        (lambda logps: None, "loss_fn must be a tensor"),
    ],
)
def test_a_bad_sequence_loss_is_named(loss_fn, message):
    data = batch()
    with pytest.raises(ValueError, match=message):
        fused_sequence_loss(data.hidden, data.head, data.ids, loss_fn)


def test_a_sequence_loss_checks_its_entropy_weights():
    data = batch()
    with pytest.raises(ValueError, match="entropy_weights must have shape"):
        fused_sequence_loss(
            data.hidden,
            data.head,
            data.ids,
            lambda logps: logps.sum(),
            entropy_weights=torch.ones(M, 2),
        )
