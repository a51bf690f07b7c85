"""TRL 1.16.0, run live: loss, gradient, metrics, advantages, masks, punishment.

The losses come out of `GRPOTrainer._compute_loss` itself, on given log-probs, in
float64 (1e-12) and float32 (1e-6). The advantages come out of a real trainer with
canned completions and rewards. Where TRL has a defect, a test named `test_trl_…` shows
what it does and what is right instead of copying it.
"""

import inspect
import math
import os
import textwrap
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch import tensor as T
from torch.testing import assert_close

from rlnotes.equations.aggregation import aggregate_loss
from rlnotes.equations.conventions import CONVENTIONS
from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.masking import completion_mask_from_ids
from rlnotes.equations.objectives import policy_loss
from rlnotes.equations.shaping import overlong_filter, soft_overlong_punishment
from rlnotes.equations.successors import sampler_correction, soft_gate_loss
from rlnotes.equations.surrogates import (
    clip_fractions,
    clipped_surrogate_loss,
    importance_ratio,
)

pytestmark = pytest.mark.trl

NAN = math.nan
PAD, EOS = 0, 1
VERSION = "1.16.0"


@pytest.fixture(scope="module")
def trainer_class():
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    trl = pytest.importorskip("trl")
    assert trl.__version__ == VERSION, "the parity tests are for TRL " + VERSION
    return trl.GRPOTrainer


# ----------------------------------------------------------------- loss

LOSS_TYPES = ["grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo"]
CLIPS = {
    "epsilon": {"epsilon": 0.2},
    "epsilon_high": {"epsilon": 0.2, "epsilon_high": 0.28},
    "delta": {"epsilon": 0.2, "epsilon_high": 0.28, "delta": 1.6},
}
KLS = {
    "no KL": {"beta": 0.0},
    "KL": {"beta": 0.3, "kl_gradient": "autodiff"},
    "corrected KL": {"beta": 0.3, "kl_gradient": "importance"},
}
LENGTHS = {"full": [5, 5, 5, 5], "ragged": [5, 2, 1, 4], "empty row": [3, 0, 5, 1]}
MAX_LENGTH = 7


def make_batch(lengths, dtype=torch.float64):
    """Log-probs a few updates apart: ratios from about .2 to 6."""
    generator = torch.Generator().manual_seed(3)
    shape = (len(lengths), 5)
    options = {"generator": generator, "dtype": torch.float64}
    old = -2 * torch.rand(shape, **options) - 0.1
    batch = {
        "old": old,
        "logps": old + 0.7 * torch.randn(shape, **options),
        "ref": old + 0.7 * torch.randn(shape, **options),
        "advantages": T([1.3, -0.8, 0.4, -2.1], dtype=torch.float64)[: len(lengths)],
    }
    batch = {name: value.to(dtype) for name, value in batch.items()}
    batch["mask"] = (torch.arange(5) < T(lengths)[:, None]).long()
    return batch


def trl_loss(trainer_class, batch, *, loss_type, level="token", num_items=None, **kw):
    """Loss, gradient by the log-probs, and metrics of TRL's own method."""
    logps = batch["logps"].clone().requires_grad_()
    mask = batch["mask"]
    steps, epsilon = kw.get("accumulation_steps", 1), kw.get("epsilon", 0.2)
    trainer = SimpleNamespace(
        loss_type=loss_type,
        beta=kw.get("beta", 0.0),
        epsilon_low=epsilon,
        epsilon_high=epsilon if kw.get("epsilon_high") is None else kw["epsilon_high"],
        importance_sampling_level=level,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        aux_loss_enabled=False,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        max_completion_length=MAX_LENGTH,
        current_gradient_accumulation_steps=steps,
        _entropy_bonus_enabled=False,
        args=SimpleNamespace(
            delta=kw.get("delta"),
            use_bias_correction_kl=kw.get("kl_gradient") == "importance",
            steps_per_generation=kw.get("steps_per_generation", steps),
        ),
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x
        ),
        _metrics={"train": defaultdict(list)},
        _get_per_token_logps_and_entropies=lambda *_, **__: (
            logps,
            torch.zeros_like(logps),
            None,
        ),
    )
    prompt = torch.ones(len(mask), 1, dtype=torch.long)
    loss = trainer_class._compute_loss(
        trainer,
        None,
        {
            "prompt_ids": prompt,
            "prompt_mask": prompt,
            "completion_ids": torch.ones_like(mask),
            "completion_mask": mask,
            "advantages": batch["advantages"],
            "num_items_in_batch": mask.sum() if num_items is None else num_items,
            "old_per_token_logps": batch["old"],
            "ref_per_token_logps": batch["ref"],
        },
    )
    loss.backward()
    return loss.detach(), logps.grad, trainer._metrics["train"]


def our_loss(batch, *, loss_type, level="token", num_items=None, **keywords):
    logps = batch["logps"].clone().requires_grad_()
    loss = policy_loss(
        logps,
        batch["old"],
        batch["advantages"],
        batch["mask"],
        loss_type=loss_type,
        importance_sampling_level=level,
        ref_per_token_logps=batch["ref"],
        max_log_ratio=None,
        max_completion_length=MAX_LENGTH,
        num_items_in_batch=num_items,
        delta_rule="both",
        **keywords,
    )
    loss.backward()
    return loss.detach(), logps.grad


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kl", KLS)
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_loss_and_gradient(trainer_class, level, loss_type, clip, kl, lengths):
    keywords = {**CLIPS[clip], **KLS[kl]}
    if loss_type == "cispo":  # its epsilon_high is the cap itself
        keywords["epsilon_high"] = 1.3
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        batch = make_batch(LENGTHS[lengths], dtype)
        theirs = trl_loss(
            trainer_class, batch, loss_type=loss_type, level=level, **keywords
        )
        ours = our_loss(batch, loss_type=loss_type, level=level, **keywords)
        assert ours[0].dtype == theirs[0].dtype == dtype
        assert_close(ours[0], theirs[0], rtol=tolerance, atol=tolerance)
        assert_close(ours[1], theirs[1], rtol=tolerance, atol=tolerance)
        assert theirs[1].abs().max() > 1e-3  # there was something to compare


def test_the_batch_reaches_every_region():
    """The comparison above covers both clips, the dual clip, and the inside."""
    batch = make_batch(LENGTHS["full"])
    ratio = (batch["logps"] - batch["old"]).exp()
    for sign in (1, -1):
        rows = ratio[batch["advantages"].sign() == sign]
        assert (rows < 0.8).any()
        assert ((rows > 0.8) & (rows < 1.2)).any()
        assert ((rows > 1.28) & (rows < 1.6)).any()
        assert (rows > 1.6).any()


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_advantages_per_token(trainer_class, loss_type):
    batch = make_batch(LENGTHS["ragged"])
    tokens = torch.linspace(-1, 1, 20, dtype=torch.float64).view(4, 5)
    batch["advantages"] = tokens
    theirs = trl_loss(trainer_class, batch, loss_type=loss_type)
    ours = our_loss(batch, loss_type=loss_type)
    assert_close(ours, theirs[:2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_clip_metrics(trainer_class, level, lengths):
    batch = make_batch(LENGTHS[lengths])
    *_, metrics = trl_loss(
        trainer_class, batch, loss_type="dapo", level=level, epsilon_high=0.28
    )
    ratio = importance_ratio(batch["logps"], batch["old"], batch["mask"], level=level)
    ours = clip_fractions(
        ratio, batch["advantages"], batch["mask"], epsilon=0.2, epsilon_high=0.28
    )
    assert set(ours) <= set(metrics)
    for name, fraction in ours.items():
        assert [fraction] == pytest.approx(metrics[name])


def halves(batch):
    return [
        {name: value[rows] for name, value in batch.items()}
        for rows in (slice(0, 2), slice(2, 4))
    ]


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "luspo", "dapo", "cispo"])
def test_two_accumulated_micro_batches_are_the_whole(trainer_class, loss_type):
    """TRL over two micro-batches = ours over the batch."""
    batch = make_batch(LENGTHS["ragged"])
    whole = our_loss(batch, loss_type=loss_type, epsilon_high=1.3)[0]
    theirs = sum(
        trl_loss(
            trainer_class,
            half,
            loss_type=loss_type,
            num_items=batch["mask"].sum(),
            accumulation_steps=2,
            epsilon_high=1.3,
        )[0]
        for half in halves(batch)
    )
    assert_close(theirs, whole, rtol=1e-12, atol=1e-12)
    if loss_type in ("dapo", "cispo"):
        ours = sum(
            our_loss(
                half,
                loss_type=loss_type,
                num_items=batch["mask"].sum(),
                epsilon_high=1.3,
            )[0]
            for half in halves(batch)
        )
        assert_close(ours, whole, rtol=1e-12, atol=1e-12)


def test_convention_is_trls_default_loss(trainer_class):
    batch = make_batch(LENGTHS["ragged"])
    theirs = trl_loss(
        trainer_class, batch, loss_type="dapo", beta=0.1, kl_gradient="importance"
    )[0]
    ours = policy_loss(
        batch["logps"],
        batch["old"],
        batch["advantages"],
        batch["mask"],
        beta=0.1,
        ref_per_token_logps=batch["ref"],
        **CONVENTIONS["trl"].policy_keywords(),
    )
    assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


# ----------------------------------------------------------------- loss: defects


def test_trl_bnpo_depends_on_the_split_into_micro_batches(trainer_class):
    batch = make_batch(LENGTHS["ragged"])
    whole = trl_loss(trainer_class, batch, loss_type="bnpo")[0]
    split = sum(
        trl_loss(trainer_class, half, loss_type="bnpo", accumulation_steps=2)[0]
        for half in halves(batch)
    )
    assert abs(split - whole) > 0.01
    weights_first = our_loss(batch, loss_type="bnpo")[0]
    assert_close(weights_first, whole, rtol=1e-12, atol=1e-12)


def test_trl_dapo_divides_unequal_windows_by_their_average(trainer_class):
    """Two optimizer steps per generation: 7 and 5 tokens are both divided by 6."""
    batch = make_batch(LENGTHS["ragged"])
    tokens = batch["mask"].sum()
    for half, count in zip(halves(batch), (7, 5), strict=True):
        assert half["mask"].sum() == count
        theirs = trl_loss(
            trainer_class,
            half,
            loss_type="dapo",
            num_items=tokens,
            steps_per_generation=2,
        )[0]
        exact = our_loss(half, loss_type="dapo")[0]
        assert_close(theirs, exact * count / 6, rtol=1e-12, atol=1e-12)


def test_trl_counts_filtered_rows_in_the_mean_of_rows(trainer_class):
    batch = make_batch(LENGTHS["full"])
    truncated = T([True, False, False, True])
    batch["mask"] = overlong_filter(batch["mask"], truncated)
    theirs = trl_loss(trainer_class, batch, loss_type="grpo")[0]
    kept = our_loss(batch, loss_type="grpo", count_empty=False)[0]
    assert_close(theirs, kept / 2, rtol=1e-12, atol=1e-12)


def test_trl_cispo_without_epsilon_high_caps_the_ratio_at_epsilon(trainer_class):
    """Its default epsilon_high is epsilon = .2, a cap on the ratio itself."""
    batch = make_batch(LENGTHS["full"])
    theirs = trl_loss(trainer_class, batch, loss_type="cispo")[0]
    same = our_loss(batch, loss_type="cispo", epsilon_high=0.2)[0]
    assert_close(theirs, same, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="epsilon_high must be given"):
        our_loss(batch, loss_type="cispo")


def test_trl_takes_a_delta_that_cuts_good_completions_short(trainer_class):
    """δ below 1 + ε_high lowers the upper clip where Â > 0; ours refuses it."""
    batch = make_batch(LENGTHS["full"])
    batch["advantages"] = batch["advantages"].abs()
    keywords = {"loss_type": "grpo", "epsilon_high": 0.28}
    plain = trl_loss(trainer_class, batch, **keywords)[0]
    cut = trl_loss(trainer_class, batch, delta=1.1, **keywords)[0]
    assert cut > plain + 0.01
    with pytest.raises(ValueError, match="^delta must be a number in"):
        our_loss(batch, delta=1.1, **keywords)


def test_trl_loss_and_gradient_overflow_with_the_ratio(trainer_class):
    """A log-ratio of 100 in float32: infinite loss or NaN gradient, no message."""
    batch = make_batch(LENGTHS["full"], torch.float32)
    batch["logps"][:, 0] = batch["old"][:, 0] + 100.0
    loss, gradient, _ = trl_loss(trainer_class, batch, loss_type="grpo")
    assert loss.isinf()
    assert gradient.isnan().any()
    with pytest.raises(ValueError, match="^ratio of per_token_logps .* finite"):
        our_loss(batch, loss_type="grpo")
    clamped = policy_loss(
        batch["logps"], batch["old"], batch["advantages"], batch["mask"]
    )
    assert clamped.isfinite()


def test_trl_reads_what_lies_in_the_padding(trainer_class):
    batch = make_batch(LENGTHS["ragged"])
    clean = our_loss(batch, loss_type="grpo")
    batch["old"] = batch["old"].masked_fill(batch["mask"] == 0, -math.inf)
    assert trl_loss(trainer_class, batch, loss_type="grpo")[0].isnan()
    assert_close(our_loss(batch, loss_type="grpo"), clean, rtol=0, atol=0)


# ----------------------------------------------------------------- advantages

GENERATIONS = 4
ROWS = 8


class Canned:
    """Completions and rewards that the trainer is made to see."""

    def __init__(self):
        self.completion_ids: list[list[int]] = []
        self.rewards: list[list[float | None]] = []

    def rollout(self, prompts, _trainer):
        return {
            "prompt_ids": [[7, 8]] * len(prompts),
            "completion_ids": self.completion_ids,
            "logprobs": [[0.0] * len(ids) for ids in self.completion_ids],
        }

    def reward_funcs(self):
        def make(column):
            def reward(completions, **_):
                return self.rewards[column]

            reward.__name__ = f"reward_{column}"
            return reward

        return [make(column) for column in range(3)]


@pytest.fixture(scope="module")
def trainer(trainer_class, tmp_path_factory):
    """A real GRPOTrainer: random two-layer model, word tokenizer, canned rollouts."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from trl import GRPOConfig

    words = ["<pad>", "<eos>", "<unk>", *map(str, range(29))]
    tokenizer = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    canned = Canned()
    made = trainer_class(
        model=Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=32,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
                pad_token_id=PAD,
                eos_token_id=EOS,
                tie_word_embeddings=False,
            )
        ),
        reward_funcs=canned.reward_funcs(),
        rollout_func=canned.rollout,
        processing_class=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="<pad>",
            eos_token="<eos>",
            unk_token="<unk>",
            padding_side="left",
        ),
        train_dataset=Dataset.from_dict({"prompt": ["1 2"] * ROWS}),
        args=GRPOConfig(
            str(tmp_path_factory.mktemp("trl")),
            report_to="none",
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            per_device_train_batch_size=ROWS,
            num_generations=GENERATIONS,
            max_completion_length=6,
            max_steps=1,
        ),
    )
    made.model.train()
    made.canned = canned
    return made


def score(trainer, rewards, *, ids=None, truncated=False, **settings):
    """What TRL makes of (N, 3) rewards with NaN for None."""
    canned = trainer.canned
    canned.completion_ids = ids or [[5, 6, EOS]] * len(rewards)
    canned.rewards = [[None if r != r else r for r in k] for k in rewards.T.tolist()]
    weights = settings.pop("reward_weights", [1.0, 1.0, 1.0])
    trainer.reward_weights = T(weights)
    trainer.mask_truncated_completions = truncated
    trainer.scale_rewards = settings.get("scale_rewards", "group")
    trainer.multi_objective_aggregation = settings.get(
        "aggregation", "sum_then_normalize"
    )
    return trainer._generate_and_score_completions([{"prompt": "1 2"}] * len(rewards))


TWO = T([(0, 1), (0, 2), (1, 2), (1, 3), (0, 0), (0, 0), (0, 1), (0, 1)]).float()
REWARDS = {
    "whole": torch.cat([TWO, TWO.flip(0)[:, :1]], dim=1),
    "real": torch.rand(ROWS, 3, generator=torch.Generator().manual_seed(5)),
    "constant group": torch.cat([TWO[:4].repeat(1, 2)[:, :3], torch.ones(4, 3)]),
    "some None": T(
        [[0, NAN, 1], [0, 2, NAN], [1, 2, 0], [NAN, 3, 1]]
        + [[0, 0, NAN], [NAN, NAN, NAN], [0, 1, 1], [NAN, 1, 0]]
    ),
    "one scored": T(
        [[NAN, NAN, NAN]] * 3
        + [[1.0, NAN, 0.5]]
        + [[0.5, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, NAN, 0.0], [1.0, 0.0, 1.0]]
    ),
}
WEIGHTS = {"equal": [1.0, 1.0, 1.0], "weighted": [1.0, 0.25, -0.5]}


def weighted_sum(rewards, weights):
    """Σ_k w_k·r_k over the rewards that are there; NaN where none is."""
    total = (rewards * T(weights)).nansum(1)
    return total.masked_fill(rewards.isnan().all(1), NAN)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("rewards", REWARDS)
@pytest.mark.parametrize("scale_rewards", ["group", "batch", "none"])
def test_group_advantages(trainer, scale_rewards, rewards, weights):
    theirs = score(
        trainer,
        REWARDS[rewards],
        scale_rewards=scale_rewards,
        reward_weights=WEIGHTS[weights],
    )["advantages"]
    keywords = CONVENTIONS["trl"].group_advantage
    ours = group_relative_advantages(
        weighted_sum(REWARDS[rewards], WEIGHTS[weights]),
        GENERATIONS,
        **{**keywords, "scale_rewards": scale_rewards},
    )
    assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert theirs.abs().max() > 0.1


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("rewards", REWARDS)
@pytest.mark.parametrize("scale_rewards", ["group", "none"])
def test_decoupled_advantages(trainer, scale_rewards, rewards, weights):
    """`scale_rewards` is ignored there without a word."""
    theirs = score(
        trainer,
        REWARDS[rewards],
        aggregation="normalize_then_sum",
        scale_rewards=scale_rewards,
        reward_weights=WEIGHTS[weights],
    )["advantages"]
    ours = decoupled_advantages(
        REWARDS[rewards],
        GENERATIONS,
        reward_weights=WEIGHTS[weights],
        **CONVENTIONS["trl"].decoupled,
    )
    assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert theirs.abs().max() > 0.1


def test_mask_and_overlong_filter(trainer):
    lengths = [6, 3, 4, 6, 1, 2, 6, 5]
    ends = [6, EOS, EOS, 5, EOS, EOS, EOS, EOS]
    ids = [[5] * (n - 1) + [end] for n, end in zip(lengths, ends, strict=True)]
    padded = T([row + [PAD] * (6 - len(row)) for row in ids])
    plain = score(trainer, REWARDS["whole"], ids=ids)
    mask = completion_mask_from_ids(padded, [EOS])
    assert torch.equal(mask, plain["completion_mask"].long())
    assert plain["num_items_in_batch"] == mask.sum() == 33
    filtered = score(trainer, REWARDS["whole"], ids=ids, truncated=True)
    truncated = T([True, False, False, True] + [False] * 4)
    ours = overlong_filter(mask, truncated)
    assert torch.equal(ours, filtered["completion_mask"].long())
    assert filtered["num_items_in_batch"] == ours.sum() == 21
    # the rewards of filtered rows still count in the group
    assert_close(filtered["advantages"], plain["advantages"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("limit", "cache"), [(100, 20), (100, 0), (7, 7), (20480, 4096)]
)
def test_soft_overlong_punishment(trainer_class, limit, cache):
    from trl.rewards import get_soft_overlong_punishment

    theirs = get_soft_overlong_punishment(
        max_completion_len=limit, soft_punish_cache=cache
    )
    lengths = sorted(
        {max(0, n + d) for n in (0, limit - cache, limit) for d in range(-3, 4)}
    )
    ours = soft_overlong_punishment(
        T(lengths).double(), max_completion_len=limit, soft_punish_cache=cache
    )
    expected = theirs([[5] * length for length in lengths])
    assert ours.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_leave_one_out_is_a_multiple_of_the_unscaled_advantage(trainer):
    """RLOO's baseline: G/(G−1) of what `scale_rewards="none"` gives."""
    rewards = REWARDS["whole"]
    theirs = score(trainer, rewards, scale_rewards="none")["advantages"]
    ours = leave_one_out_advantages(rewards.sum(1), GENERATIONS)
    assert_close(ours, theirs * GENERATIONS / (GENERATIONS - 1), rtol=1e-6, atol=1e-6)


# ----------------------------------------------------------------- advantages: defects


def test_trl_constant_group_is_not_quite_zero(trainer, monkeypatch):
    """Seven times the same reward: rounding of the mean over ε is a push of 1e-4."""
    monkeypatch.setattr(trainer, "num_generations", 7)
    rewards = torch.full((7, 3), 0.1)
    theirs = score(trainer, rewards)["advantages"]
    assert theirs.unique().numel() == 1
    assert 1e-5 < theirs[0].abs() < 1e-3
    summed = weighted_sum(rewards, WEIGHTS["equal"])
    assert group_relative_advantages(summed, 7, eps=1e-4).eq(0).all()


def test_trl_gdpo_with_one_reward_is_not_grpo(trainer):
    rewards = torch.zeros(ROWS, 3)
    rewards[:, 0] = TWO[:, 0]
    theirs = score(trainer, rewards, aggregation="normalize_then_sum")["advantages"]
    assert theirs[3].item() == pytest.approx(1.3227, abs=1e-4)
    grpo = score(trainer, rewards)["advantages"]
    assert grpo[3].item() == pytest.approx(0.8659, abs=1e-4)
    ours = decoupled_advantages(
        rewards[:, :1], GENERATIONS, eps=1e-4, single_reward="grpo"
    )
    assert_close(ours, grpo, rtol=1e-6, atol=1e-6)


def test_trl_dapo_is_not_the_papers_mean(trainer_class):
    """Eq 8 divides by the tokens of one prompt's group, TRL by the batch's."""
    batch = make_batch(LENGTHS["ragged"])
    theirs = trl_loss(trainer_class, batch, loss_type="dapo")[0]
    ratio = (batch["logps"] - batch["old"]).exp()
    loss = clipped_surrogate_loss(ratio, batch["advantages"])
    mask = batch["mask"]
    paper = aggregate_loss(loss, mask, loss_type="dapo_prompt", num_generations=2)
    code = aggregate_loss(loss, mask, loss_type="dapo")
    assert_close(code, theirs, rtol=1e-12, atol=1e-12)
    assert abs(paper - theirs) > 0.005


# ----------------------------------------------------------------- successors


SCORED = T([[0.5, 0.2, 0.4], [0.9, 0.1, 0.3]], dtype=torch.float64).log()
SAMPLED = T([[0.1, 0.2, 0.8], [0.9, 0.2, 0.1]], dtype=torch.float64).log()
KEEP = T([[1, 1, 1], [1, 1, 0]])


def trl_block(first: str, last: str):
    """The lines of TRL's own method from `first` until `last`, compiled."""
    trl = pytest.importorskip("trl")
    source = inspect.getsource(trl.GRPOTrainer)
    lines = source[source.index(first) : source.index(last)].rstrip().split("\n")
    indent = source[: source.index(first)].rsplit("\n", 1)[-1]
    return compile(textwrap.dedent(indent + "\n".join(lines)), "trl", "exec")


@pytest.mark.parametrize("cap", [1.5, 3.0])
@pytest.mark.parametrize(
    "mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]
)
def test_trl_has_the_same_weights(mode, cap):
    block = trl_block(
        "per_token_logps_diff = (old_per_token_logps - sampling",
        "# Compute the per-token log probabilities for the reference model",
    )
    settings = {
        "use_vllm": True,
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": mode,
        "vllm_importance_sampling_clip_min": None,
        "vllm_importance_sampling_clip_max": cap,
    }
    names = {
        "self": SimpleNamespace(**settings),
        "mask": KEEP,
        "old_per_token_logps": SCORED,
        "sampling_per_token_logps": SAMPLED,
        "torch": torch,
        "math": math,
    }
    exec(block, names)  # TRL's own lines, as installed
    found = sampler_correction(SCORED, SAMPLED, KEEP, mode=mode, cap=cap)
    assert_close(found, names["vllm_importance_sampling_ratio"])


def test_trl_has_the_same_soft_gate():
    block = trl_block(
        "temperatures = torch.where(advantages > 0", 'elif self.loss_type == "vespo"'
    )
    ratio, a = (
        T([[0.3, 1.0, 2.5], [0.3, 1.0, 2.5]], dtype=torch.float64),
        T([[0.7], [-1.2]]),
    )
    args = SimpleNamespace(sapo_temperature_pos=1.0, sapo_temperature_neg=1.05)
    names = {
        "self": SimpleNamespace(args=args),
        "torch": torch,
        "coef_1": ratio,
        "advantages": a.double(),
    }
    exec(block, names)  # TRL's own lines, as installed
    assert_close(soft_gate_loss(ratio, a[:, 0].double()), names["per_token_loss"])
