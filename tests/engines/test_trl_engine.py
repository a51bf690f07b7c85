"""The TRL engine: its config, its mathematics, its record, what it refuses.

Everything runs TRL itself on `search-base` with a handful of short completions.
"""

import contextlib
import copy
import dataclasses
import hashlib
import inspect
import json
import math

import pytest
import torch

from rlnotes.engines import trl_config
from rlnotes.engines.trl_config import read_options, to_trl_kwargs
from rlnotes.policies.policy import load_policy
from rlnotes.records.reading import load_run
from rlnotes.rollouts.scoring import packed_logps
from rlnotes.tasks.base import Task
from rlnotes.tasks.loading import load_task
from rlnotes.training.batches import prepare
from rlnotes.training.config import ALGORITHMS, Config, make_config
from rlnotes.training.learner import Learner
from rlnotes.training.updates import update

pytestmark = pytest.mark.trl

SMALL = {
    "policy": "search-base",
    "task": "search",
    "bf16": False,
    "max_steps": 1,
    "generation_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 32,
    "learning_rate": 1e-3,
    "eval_samples": 1,
    "save_steps": 0,
}


@pytest.fixture(scope="module", autouse=True)
def _trl():
    pytest.importorskip("trl")


def small(algorithm="grpo", **overrides):
    return make_config(algorithm=algorithm, **{**SMALL, **overrides})


def run(config, **options):
    from rlnotes.engines.trl import train_with_trl

    options = {"progress": False, "evaluations": False, "report_to": "none"} | options
    return train_with_trl(config, **options)


# ----------------------------------------------------------------- TRL as it is here


def test_trl_is_the_release_that_was_read():
    """A red line here means: read what changed, then record the new digests."""
    import trl
    from trl import GRPOTrainer

    from rlnotes.engines.trl_trainer import RELIED_ON, TESTED_VERSION

    assert trl.__version__ == TESTED_VERSION
    found = {
        name: hashlib.sha256(
            inspect.getsource(getattr(GRPOTrainer, name)).encode()
        ).hexdigest()[:16]
        for name in RELIED_ON
    }
    assert found == DIGESTS


DIGESTS = {
    "_prepare_inputs": "f824e7fb07147956",
    "_generate": "2a27fdf8f5e6f356",
    "_generate_and_score_completions": "1fa48922792dcd5c",
    "_calculate_rewards": "736ae29b083840b5",
    "_compute_loss": "80295546bbdbf6f7",
    "training_step": "9e18632f7dd8e8d8",
    "log": "1e7772819cc8cf09",
}

# ----------------------------------------------------------------- Config for TRL


def test_every_field_of_config_has_one_place():
    places = [
        *trl_config.PASSED,
        *trl_config.TRANSLATED,
        *trl_config.OURS,
        *trl_config.CRITIC,
        *trl_config.REFUSED,
    ]
    assert len(places) == len(set(places))
    assert set(places) == {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_is_a_grpo_config_or_refused(algorithm, tmp_path):
    from trl import GRPOConfig

    config = make_config(algorithm=algorithm, max_steps=3)
    if config.critic:
        with pytest.raises(ValueError, match="^critic: .*'ppo'"):
            to_trl_kwargs(config)
        return
    made = GRPOConfig(str(tmp_path), use_cpu=True, **to_trl_kwargs(config))
    assert made.loss_type == config.loss_type
    assert made.max_steps == 3 * config.updates_per_step
    assert made.epsilon_high == config.epsilon_high


CHANGED = {
    "cache_implementation": "static",
    "seed": 7,
    "generation_batch_size": 96,
    "num_generations": 6,
    "max_completion_length": 33,
    "temperature": 0.7,
    "num_iterations": 3,
    "learning_rate": 3e-4,
    "adam_beta2": 0.95,
    "weight_decay": 0.1,
    "max_grad_norm": 0.3,
    "bf16": False,
    "epsilon": 0.1,
    "epsilon_high": 0.3,
    "delta": 4.0,
    "importance_sampling_level": "sequence",
    "beta": 0.05,
    "scale_rewards": "batch",
    "multi_objective_aggregation": "normalize_then_sum",
    "mask_truncated_completions": True,
}


def test_what_is_passed_arrives(tmp_path):
    from trl import GRPOConfig

    assert set(CHANGED) == set(trl_config.PASSED)
    config = make_config(**CHANGED)
    made = GRPOConfig(str(tmp_path), use_cpu=True, **to_trl_kwargs(config))
    assert {name: getattr(made, name) for name in CHANGED} == CHANGED
    for name, value in CHANGED.items():
        assert getattr(Config(), name) != value, name


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_translated(processes, tmp_path, monkeypatch):
    from trl import GRPOConfig

    config = make_config(
        max_steps=5,
        generation_batch_size=64,
        num_generations=4,
        steps_per_generation=2,
        num_iterations=3,
        per_device_train_batch_size=8,
        warmup_steps=2,
        kl_gradient="importance",
        beta=0.1,
        reward_funcs=("accuracy_reward", "length_reward"),
        reward_weights=(2.0, 0.5),
    )
    kwargs = to_trl_kwargs(config, num_processes=processes)
    monkeypatch.setattr(GRPOConfig, "world_size", processes)
    made = GRPOConfig(str(tmp_path), use_cpu=True, **kwargs)
    assert made.max_steps == 5 * 3 * 2
    assert made.per_device_train_batch_size == 8
    assert made.gradient_accumulation_steps == 64 // 2 // (8 * processes)
    assert made.steps_per_generation == 64 // (8 * processes)
    assert made.warmup_steps == 2 * 6 and made.logging_steps == 6
    assert made.use_bias_correction_kl is True
    assert made.reward_weights == [2.0, 0.5]
    plain = to_trl_kwargs(Config())
    assert plain["use_bias_correction_kl"] is False and plain["reward_weights"] is None
    assert plain["per_device_train_batch_size"] == 64
    for loss in ("grpo", "dr_grpo", "dapo", "luspo"):
        assert to_trl_kwargs(make_config(loss_type=loss))["loss_type"] == loss
    for loss in ("bnpo", "dapo_prompt"):
        assert to_trl_kwargs(make_config(loss_type=loss))["loss_type"] == "dapo"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"algorithm": "ppo"}, "^critic: .*expected critic=False"),
        ({"kl_coef": 0.1}, "^kl_coef: .*expected 0, got 0.1"),
        ({"beta": 0.1, "kl_gradient": "k2"}, "^kl_gradient: .*got 'k2'"),
        ({"loss_type": "dapo_prompt", "beta": 0.1}, "^loss_type='dapo_prompt': .*0.1"),
        ({"loss_type": "cispo"}, "^epsilon_high: .*got None"),
        ({"scale_rewards": "mean"}, "^scale_rewards: .*got 'mean'"),
    ],
)
def test_what_trl_cannot_do_is_refused_by_name(overrides, message, tmp_path):
    config = make_config(**overrides)
    with pytest.raises(ValueError, match=message):
        to_trl_kwargs(config)
    with pytest.raises(ValueError, match=message):
        run(config, output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "processes", "message"),
    [
        ({}, 3, "^generation_batch_size=64: .* 3 processes"),
        ({"per_device_train_batch_size": 24}, 1, "^per_device_train_batch_size=24 "),
        ({"per_device_train_batch_size": 64}, 2, "must divide the 32"),
    ],
)
def test_a_batch_that_processes_cannot_share(overrides, processes, message):
    with pytest.raises(ValueError, match=message):
        to_trl_kwargs(make_config(**overrides), num_processes=processes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_wllm": True}, "^TRL option 'use_wllm': .*no such field"),
        ({"learning_rate": 1.0}, "^TRL option 'learning_rate': decided by Config"),
        ({"shuffle_dataset": True}, "^TRL option 'shuffle_dataset': decided"),
        ({"use_vllm": True}, "^use_vllm: expected"),
        ({"fp16": True}, "^fp16: expected a GPU, found none"),
    ],
)
def test_options_that_cannot_be(options, message, tmp_path):
    if torch.accelerator.is_available() and "GPU" in message:
        pytest.skip("there is one")
    with pytest.raises(ValueError, match=message):
        run(small(), options=options, output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_option_reaches_trl():
    seen = {}

    def note(trainer):
        seen["adam_epsilon"] = trainer.args.adam_epsilon

    with watched(note):
        run(small(), options={"adam_epsilon": 0.5})
    assert seen == {"adam_epsilon": 0.5}


@pytest.mark.parametrize("name", ["activation_checkpointing", "gradient_checkpointing"])
def test_checkpointing_reaches_trl_by_its_old_name_and_its_new_one(name, tmp_path):
    from trl import GRPOConfig

    options = to_trl_kwargs(Config()) | read_options({name: True})
    made = GRPOConfig(str(tmp_path), use_cpu=True, **options)
    assert made.gradient_checkpointing is True  # what both versions set
    plain = GRPOConfig(str(tmp_path), use_cpu=True, **to_trl_kwargs(Config()))
    assert plain.gradient_checkpointing is False


# ----------------------------------------------------------------- the same mathematics


@contextlib.contextmanager
def watched(note):
    """Call `note(trainer)` after each batch of rollouts of the trainers made inside."""
    from rlnotes.engines.trl_trainer import NotesTrainer

    original = NotesTrainer._collect

    def collect(self, rows):
        original(self, rows)
        note(self)

    NotesTrainer._collect = collect
    try:
        yield
    finally:
        NotesTrainer._collect = original


class Gradients:
    """A hook before each optimizer step: the gradients that it gets."""

    def __init__(self, parameters):
        self.parameters, self.seen = list(parameters), []

    def __call__(self, *_, **__):
        self.seen.append([p.grad.clone() for p in self.parameters])


MICRO = {"per_device_train_batch_size": 4}
STEPS = {
    "grpo": {},
    "grpo, micro-batches": MICRO,
    "dr_grpo": {"algorithm": "dr_grpo"},
    "dapo": {"algorithm": "dapo", **MICRO},
    "gdpo": {"algorithm": "gdpo", "length_limit": 20},
    "gdpo, conditioned": {
        "algorithm": "gdpo",
        "length_limit": 20,
        "conditioned_reward": "length_reward",
        "reward_weights": (1.0, 0.5),
    },
    "gdpo, sigma": {
        "algorithm": "gdpo",
        "length_limit": 20,
        "reward_weighting": "sigma",
        "advantage_batch_norm": False,
    },
    "gdpo, lagrangian": {
        "algorithm": "gdpo",
        "length_limit": 20,
        "reward_weighting": "lagrangian",
    },
    "dapo_prompt": {"algorithm": "dapo", "loss_type": "dapo_prompt", **MICRO},
    "dapo_prompt, filtered": {
        "loss_type": "dapo_prompt",
        "mask_truncated_completions": True,
        "max_completion_length": 20,
    },
    "dapo, filtered, mini-batches": {
        "loss_type": "dapo",
        "mask_truncated_completions": True,
        "max_completion_length": 20,
        "steps_per_generation": 2,
        **MICRO,
    },
    "bnpo, KL": {"loss_type": "bnpo", "beta": 0.3, "num_iterations": 2, **MICRO},
    "corrected KL": {"beta": 0.3, "kl_gradient": "importance", "num_iterations": 2},
    "cispo": {
        "loss_type": "cispo",
        "epsilon_high": 1.01,
        "num_iterations": 2,
        "steps_per_generation": 2,
    },
    "sequence ratio, dual clip": {
        "importance_sampling_level": "sequence",
        "epsilon": 3e-3,
        "delta": 1.01,
        "num_iterations": 2,
    },
    "luspo, filtered": {
        "loss_type": "luspo",
        "mask_truncated_completions": True,
        "max_completion_length": 20,
        "weight_decay": 0.1,
        "temperature": 1.3,
    },
    "batch scale": {"scale_rewards": "batch", "warmup_steps": 4},
}


@pytest.mark.parametrize("name", STEPS)
def test_one_step_is_ours(name):
    """The same rollouts through TRL and through `updates.update`: the same weights.

    AdamW's epsilon is 1e-3 on both sides: with 1e-8 a weight whose gradient is rounding
    error (1e-9) moves by ± the learning rate, in a direction that is chance.
    """
    config = small(**STEPS[name])
    policy = load_policy("search-base")
    with torch.no_grad():  # not what lies on the disk: the reference must be this one
        for p in policy.model.parameters():
            p += 0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(3))
    twin, batches = copy.deepcopy(policy), []
    theirs = Gradients(policy.model.parameters())

    def note(trainer):
        batches.append(trainer.batch)
        trainer.optimizer.optimizer.register_step_pre_hook(theirs)

    with watched(note):
        result = run(config, policy=policy, options={"adam_epsilon": 1e-3})
    (batch,) = batches
    learner = Learner.create(config, twin)
    ours = Gradients(twin.model.parameters())
    learner.optimizers[0].param_groups[0]["eps"] = 1e-3
    learner.optimizers[0].register_step_pre_hook(ours)
    rollouts = batch.rollouts
    with torch.no_grad():
        rollouts.per_token_logps = packed_logps(
            twin, rollouts, temperature=config.temperature
        )
    prepared = prepare(learner, rollouts, batch.rewards)
    assert torch.equal(prepared.advantages, batch.advantages)
    assert torch.equal(prepared.loss_mask, batch.loss_mask)
    start = [p.detach().clone() for p in twin.model.parameters()]
    stats = update(learner, prepared, 1)
    assert len(ours.seen) == len(theirs.seen) == config.updates_per_step
    for mine, other in zip(ours.seen, theirs.seen, strict=True):
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    trained = result.policy.model.parameters()
    for a, b in zip(twin.model.parameters(), trained, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    moves = zip(start, twin.model.parameters(), strict=True)
    assert max(float((a - b).abs().max()) for a, b in moves) > 1e-5
    row = result.metrics.iloc[-1]
    assert row["loss"] == pytest.approx(stats["loss"], abs=1e-5)
    assert row["learning_rate"] == learner.optimizers[0].param_groups[0]["lr"]
    if config.beta > 0:
        assert row["kl"] == pytest.approx(stats["kl"], rel=0.05) and row["kl"] > 0
    filtered = bool((batch.loss_mask != rollouts.completion_mask).any())
    assert filtered == config.mask_truncated_completions


def test_the_gradient_needs_no_patience_with_adam():
    """With AdamW's own epsilon the weights that have a gradient agree as well."""
    config, policy = small(), load_policy("search-base")
    twin, batches = copy.deepcopy(policy), []
    with watched(lambda trainer: batches.append(trainer.batch)):
        run(config, policy=policy)
    learner = Learner.create(config, twin)
    seen = Gradients(twin.model.parameters())
    learner.optimizers[0].register_step_pre_hook(seen)
    update(learner, prepare(learner, batches[0].rollouts, batches[0].rewards), 1)
    pairs = zip(
        seen.seen[0], twin.model.parameters(), policy.model.parameters(), strict=True
    )
    for gradient, ours, theirs in pairs:
        known = gradient.abs() > 1e-5
        torch.testing.assert_close(ours[known], theirs[known], rtol=0, atol=1e-5)


def test_a_mean_over_tokens_does_not_depend_on_the_forward_passes():
    whole, cut = (
        run(small(num_iterations=2, per_device_train_batch_size=size)).metrics.iloc[0]
        for size in (None, 4)
    )
    assert whole["completions/mean_length"] == cut["completions/mean_length"]
    for key in ("entropy", "clip_ratio/region_mean", "loss"):
        assert cut[key] == pytest.approx(whole[key], abs=2e-6), key


# ----------------------------------------------------------------- dynamic sampling


class Verdicts:
    """The search task with a verifier of our own; the questions are the task's."""

    def __init__(self, verdict):
        self.task, self.verdict, self.asked = load_task("search"), verdict, []

    def __getattr__(self, name):
        return getattr(self.task, name)

    def sample(self, count, *, seed, step):
        self.asked.append(step)
        return self.task.sample(count, seed=seed, step=step)

    def verify(self, completion, task):
        return self.verdict(completion, task)


def wrong_half(completion, task):
    """Half of the questions nobody gets right; the others by chance."""
    known = sum(task.columns["numbers"]) % 2 == 0
    return float(known and len(completion) % 2 == 0)


def test_batches_are_full_of_informative_groups():
    config = small("dapo", max_steps=3, max_resample_times=40, max_completion_length=16)
    batches, tokens = [], []

    def note(trainer):
        batches.append(trainer.batch)
        tokens.append(trainer.state.num_input_tokens_seen)

    task = Verdicts(wrong_half)
    with watched(note):
        result = run(config, task=task)
    rows = result.metrics
    for batch in batches:
        groups = batch.rewards[:, 0].view(-1, 4)
        assert len(groups) == config.num_prompts
        assert ((groups.sum(1) > 0) & (groups.sum(1) < 4)).all()
        repeated = [t for t in batch.rollouts.tasks for _ in range(4)]
        pairs = zip(batch.rollouts.texts, repeated, strict=True)
        assert batch.rewards[:, 0].tolist() == [task.verify(*pair) for pair in pairs]
    assert rows["dynamic_sampling/batches"].max() > 1
    assert (rows["reward_std"] > 0).all()
    # the account is honest: what was thrown away was paid for
    spent = rows["dynamic_sampling/completions"]
    assert (spent == 16 * rows["dynamic_sampling/batches"]).all()
    assert rows["num_completions"].tolist() == spent.cumsum().tolist()
    assert (
        rows["num_tokens"].tolist() == rows["dynamic_sampling/tokens"].cumsum().tolist()
    )
    assert rows["num_tokens"].tolist() == tokens
    assert (rows["dynamic_sampling/groups_sampled"] == spent / 4).all()
    assert (rows["dynamic_sampling/accuracy"] < 0.4).all()
    # further batches ask what our own loop would ask
    asked = [1000 * step for step in (1, 2, 3)]
    for step, count in zip((1, 2, 3), rows["dynamic_sampling/batches"], strict=True):
        asked += [1000 * step + attempt for attempt in range(1, int(count))]
    assert sorted(task.asked) == sorted(asked)
    # and the metrics are those of the batch that is learnt from, not of all attempts
    lengths = batches[-1].rollouts.lengths.float()
    assert rows["completions/mean_length"].iloc[-1] == pytest.approx(lengths.mean())


def test_without_informative_groups_the_batch_is_filled_up():
    config = small("dapo", max_resample_times=2)
    policy = load_policy("search-base")
    start = copy.deepcopy(policy.model.state_dict())
    seen = []
    rule = lambda completion, task: 0.0  # noqa: E731
    with watched(lambda trainer: seen.append(trainer.batch)):
        result = run(
            dataclasses.replace(config, reward_funcs=("accuracy_reward",)),
            policy=policy,
            task=Verdicts(rule),
        )
    row = result.metrics.iloc[-1]
    assert row["dynamic_sampling/batches"] == 3
    assert row["dynamic_sampling/groups_informative"] == 0
    assert len(seen[0].rollouts) == 16 and row["frac_reward_zero_std"] == 1
    for name, value in result.policy.model.state_dict().items():
        assert torch.equal(value, start[name]), name


def test_the_rule_looks_at_accuracy_whichever_reward_comes_first():
    """Lengths differ within a group: by the first reward every group would do."""
    config = small(
        "dapo",
        max_resample_times=1,
        reward_funcs=("length_reward", "accuracy_reward"),
        length_limit=20,
    )
    task = Verdicts(lambda completion, task: 0.0)
    row = run(config, policy=load_policy("search-base"), task=task).metrics.iloc[-1]
    assert row["rewards/length_reward/std"] > 0
    assert row["dynamic_sampling/batches"] == 2
    assert row["dynamic_sampling/groups_informative"] == 0


def test_completions_as_rollouts_are_padded_as_rollouts_are():
    from rlnotes.engines.trl_sampling import Completion, as_rollouts

    question = {"prompt": "?", "answer": "!"}
    sampled = [
        Completion(question, [5, 6, 7], [8, 1], "a", None),
        Completion(question, [5], [9], "b", None),
    ]
    rollouts = as_rollouts(sampled, num_generations=1, end_ids=[1])
    assert rollouts.prompt_ids.tolist() == [[5, 6, 7], [0, 0, 5]]
    assert rollouts.prompt_mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert rollouts.completion_ids.tolist() == [[8, 1], [9, 0]]
    assert rollouts.completion_mask.tolist() == [[1, 1], [1, 0]]
    assert rollouts.truncated.tolist() == [False, True]


def test_an_idle_update_does_not_move_by_momentum():
    from rlnotes.engines.trl_sharding import drop_idle_gradients

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    optimizer.register_step_pre_hook(drop_idle_gradients)
    for scale in (1.0, 0.0):
        start = model.weight.detach().clone()
        (scale * model(torch.ones(1, 2))).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        assert torch.equal(model.weight, start) == (scale == 0.0)


def test_the_questions_are_those_of_our_loop():
    config = small(max_steps=3, num_iterations=2)
    task, asked = load_task("search"), []
    with watched(lambda trainer: asked.append(trainer.batch.rollouts.tasks)):
        run(config)
    ours = [task.sample(4, seed=0, step=1000 * step) for step in (1, 2, 3)]
    assert [[t.prompt for t in step] for step in asked] == [
        [t.prompt for t in step] for step in ours
    ]
    columns = [dict(t.columns) for t in asked[0]]
    assert columns == [{k: _plain(v) for k, v in t.columns.items()} for t in ours[0]]


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


# ----------------------------------------------------------------- the record


def test_the_record_is_that_of_our_loop(tmp_path):
    from rlnotes.training.loop import train

    config = small("dapo", max_steps=4, eval_steps=2, per_device_train_batch_size=8)
    seen = []
    result = run(config, output=tmp_path / "trl", evaluations=True, on_step=seen.append)
    train(config, output=tmp_path / "ours", progress=False)
    theirs, ours = load_run(tmp_path / "trl"), load_run(tmp_path / "ours")
    assert theirs.config == ours.config == config.to_dict()
    missing = set(ours.metrics.columns) - set(theirs.metrics.columns)
    assert {key for key in missing if not key.startswith("search/")} == set()
    assert (
        theirs.metrics["step"].tolist() == [0, 1, 2, 3, 4] == [r["step"] for r in seen]
    )
    assert theirs.metrics["updates"].tolist()[1:] == [2, 4, 6, 8]
    evaluated = theirs.metrics["eval/greedy_accuracy"].notna().tolist()
    assert evaluated == [True, False, True, False, True]
    # the untrained policy, the same questions, the same seed
    key = "eval/sampled_accuracy"
    assert theirs.metrics[key][0] == ours.metrics[key][0]
    assert (
        theirs.metrics["step_time"][1:] > theirs.metrics["step_time/rollout"][1:]
    ).all()
    assert theirs.meta["engine"] == "trl 1.16.0" and theirs.meta["processes"] == 1
    assert theirs.meta["status"] == "finished"
    assert {s["step"] for s in theirs.samples} == {s["step"] for s in ours.samples}
    assert set(theirs.samples[0]) == set(ours.samples[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours", "trl"]
    assert sorted(p.name for p in (tmp_path / "trl").iterdir()) == [
        "config.yaml",
        "meta.json",
        "metrics.csv",
        "policy",
        "samples.jsonl",
    ]
    # the policy that comes back is a plain one, and the one that was evaluated
    from rlnotes.training.evaluation import evaluate

    assert "forward" not in vars(result.policy.model)
    again = evaluate(result.policy, load_task("search"), config)
    assert again[key] == theirs.metrics[key].iloc[-1]


def test_warm_up_is_by_steps_and_starts_above_zero():
    config = small(
        max_steps=4, warmup_steps=2, num_iterations=2, generation_batch_size=8
    )
    rates = run(config).metrics["learning_rate"].tolist()
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3, 1e-3])


def test_both_engines_follow_one_cosine_by_steps():
    config = small(
        max_steps=4,
        warmup_steps=1,
        num_iterations=2,
        generation_batch_size=8,
        lr_scheduler_type="cosine",
    )
    # warmed up at step 1; then ½·(1 + cos(π·k/3)), k = 0, 1, 2: 1, ¾, ¼
    expected = pytest.approx([1e-3, 1e-3, 0.75e-3, 0.25e-3])
    assert run(config).metrics["learning_rate"].tolist() == expected
    from rlnotes.training.loop import train

    ours = train(config, evaluations=False, progress=False).metrics
    assert ours["learning_rate"].tolist() == expected


class Killed(Exception):
    pass


def kill_at(step):
    def on_step(row):
        if row["step"] == step:
            raise Killed

    return on_step


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    config = small("dapo", max_steps=4, save_steps=2, generation_batch_size=8)
    whole = run(config, output=tmp_path / "whole")
    with pytest.raises(Killed):
        run(config, output=tmp_path / "run", on_step=kill_at(4))
    assert not (tmp_path / "run").exists()
    partial = tmp_path / "run.partial"
    assert json.loads((partial / "meta.json").read_text())["status"].startswith(
        "failed"
    )
    before = sorted((p.name, p.stat().st_mtime_ns) for p in partial.iterdir())
    with pytest.raises(ValueError, match="^config: .*learning_rate was 0.001, is 0.5"):
        run(
            dataclasses.replace(config, learning_rate=0.5),
            output=tmp_path / "run",
            resume=True,
        )
    assert before == sorted((p.name, p.stat().st_mtime_ns) for p in partial.iterdir())
    with pytest.raises(FileExistsError, match="interrupted run"):
        run(config, output=tmp_path / "run")
    resumed = run(config, output=tmp_path / "run", resume=True)
    assert resumed.metrics["step"].tolist() == [1, 2, 3, 4]
    for key in ("reward", "num_tokens", "num_completions", "loss"):
        assert resumed.metrics[key].tolist() == whole.metrics[key].tolist(), key
    pairs = zip(
        whole.policy.model.parameters(), resumed.policy.model.parameters(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)
    assert load_run(tmp_path / "run").meta["resumes"] == 1
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_of_our_loop_is_not_resumed_by_trl(tmp_path):
    from rlnotes.training.loop import train

    config = small(max_steps=3, save_steps=1, generation_batch_size=8)
    with pytest.raises(Killed):
        train(config, output=tmp_path / "run", progress=False, on_step=kill_at(2))
    with pytest.raises(ValueError, match="^resume: the run was started by engine="):
        run(config, output=tmp_path / "run", resume=True)


# ----------------------------------------------------------------- bad input


def test_a_question_without_an_answer(tmp_path):
    from rlnotes.engines.trl_data import make_dataset

    class Silent(Verdicts):
        def sample(self, count, *, seed, step):
            return [Task(f"make {i}", "" if i else "1") for i in range(count)]

    task = Silent(wrong_half)
    with pytest.raises(
        ValueError, match="^dataset: column 'answer' is empty in 3 of 4"
    ):
        run(small(), task=task, output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    other = small(reward_funcs=("length_reward",), task="search")
    assert len(make_dataset(other, task)) == 4


def test_a_dataset_without_a_column():
    from datasets import Dataset

    from rlnotes.engines.trl_data import check_columns

    dataset = Dataset.from_list([{"prompt": "1", "solution": "1"}])
    with pytest.raises(ValueError, match="^dataset: expected a column 'answer', got"):
        check_columns(dataset, small())
    check_columns(dataset, small(reward_funcs=("length_reward",)))
    with pytest.raises(ValueError, match="^dataset: expected a column 'answer'"):
        check_columns(
            dataset, small(reward_funcs=("length_reward",), dynamic_sampling=True)
        )
    with pytest.raises(ValueError, match="^dataset: expected a column 'prompt'"):
        check_columns(dataset.remove_columns("prompt"), small())


def test_a_hub_that_does_not_answer(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    config = small(policy="nobody/no-such-model")
    with pytest.raises(ValueError, match="^policy: .*nobody/no-such-model"):
        run(config, output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_without_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "an old one")
    with pytest.raises(ValueError, match="^bf16: an old one has no bfloat16"):
        trl_config.check_precision(small(bf16=True))
    trl_config.check_precision(small())


def test_resume_needs_a_folder():
    with pytest.raises(ValueError, match="^resume needs output"):
        run(small(), resume=True)


# ----------------------------------------------------------------- trackers, CLI


def test_tracker(monkeypatch, tmp_path):
    from rlnotes.engines import tracking as engine

    for installed in (True, False):
        monkeypatch.setattr(
            engine.importlib.util,
            "find_spec",
            lambda name, found=installed: found or None,
        )
        assert engine.tracker("none", tmp_path) == "none"
        assert engine.tracker("wandb", tmp_path) == "wandb"
        assert engine.tracker(None, None) == "none"
        assert engine.tracker(None, tmp_path) == (
            "tensorboard" if installed else "none"
        )
        if not installed:
            with pytest.raises(ValueError, match="^report_to: tensorboard is not"):
                engine.tracker("tensorboard", tmp_path)
    assert engine.tracker("tensorboard", tmp_path) if installed else True


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_of_both_engines(tmp_path):
    from rlnotes.cli import main

    words = [f"{k}={v}" for k, v in SMALL.items()] + ["max_steps=2"]
    words.remove("max_steps=1")
    for engine, prefix in (("rlnotes", ""), ("trl", "train/")):
        output = tmp_path / engine
        options = ["--engine", engine, "--output", str(output)]
        assert main(["train", *options, "--report-to", "tensorboard", *words]) == 0
        found = scalars(tmp_path / "tensorboard" / engine)
        rewards = load_run(output).metrics["reward"].tolist()[1:]
        assert [step for step, _ in found[f"{prefix}reward"]] == [1, 2]
        assert [v for _, v in found[f"{prefix}reward"]] == pytest.approx(rewards)


@pytest.mark.parametrize("name", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_shards_without_a_gpu_are_refused(monkeypatch, tmp_path, name):
    monkeypatch.setattr(trl_config, "has_gpu", lambda: False)
    monkeypatch.setenv(name, "true")
    with pytest.raises(ValueError, match=f"accelerate: .*{name}=true.*found none"):
        run(make_config(**SMALL), output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_our_loop_refuses_a_tracker_that_it_has_not(tmp_path, capsys):
    from rlnotes.cli import main

    words = ["train", "--report-to", "wandb", "--output", str(tmp_path / "run")]
    assert main(words) == 2 and list(tmp_path.iterdir()) == []
    assert "report_to must be one of" in capsys.readouterr().err


def test_engine_on_the_command_line(tmp_path, capsys):
    from rlnotes.cli import main

    words = [f"{k}={v}" for k, v in SMALL.items()]
    output = ["--output", str(tmp_path / "run")]
    assert main(["train", *output, *words, "--trl", "use_cpu=true"]) == 2
    assert "--trl needs --engine trl, got ['use_cpu']" in capsys.readouterr().err
    assert main(["train", "--engine", "trl", *output, *words, "--trl", "seed=1"]) == 2
    assert "decided by Config" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    engine = ["--engine", "trl", "--trl", "adam_epsilon=1e-3", "--report-to", "none"]
    assert main(["train", *engine, *output, *words]) == 0
    assert load_run(tmp_path / "run").meta["engine"] == "trl 1.16.0"


def test_engines_by_name(tmp_path):
    from rlnotes import engines

    with pytest.raises(ValueError, match="^engine must be one of .*got 'verl'"):
        engines.train(small(), engine="verl")
    for engine in engines.ENGINES:
        result = engines.train(
            small(), engine=engine, progress=False, evaluations=False
        )
        assert result.metrics["step"].tolist() == [1]
        assert ("completions/max_terminated_length" in result.metrics) == (
            engine == "trl"
        )


def test_progress_bar(capfd):
    run(small(max_steps=2), progress=True)
    assert "2/2" in capfd.readouterr().err


def test_bfloat16_on_a_cpu_is_evaluated_with_its_own_weights():
    """The clone that answers must not call the model that it was copied from."""
    config = small(bf16=True, learning_rate=1e-9)
    rows = run(config, evaluations=True).metrics
    key = "eval/mean_length"
    assert rows[key].iloc[0] == rows[key].iloc[1] and not math.isnan(rows[key].iloc[0])


@pytest.mark.slow
def test_notebook_11_trains_smollm2_with_trl(tmp_path, monkeypatch):
    """The whole notebook with engine="trl": the record and the figures of our loop."""
    from rlnotes.batch.one_notebook import run_notebook_with_config
    from rlnotes.machine.provenance import project_folder
    from rlnotes.records.reading import load_run

    monkeypatch.setenv("RLNOTES_RUNS", str(tmp_path))
    notebook = project_folder() / "notebooks" / "11_train.ipynb"
    parameters = {"engine": "trl", "max_steps": 2, "seed": 3}
    run_notebook_with_config(notebook, tmp_path / "out.ipynb", parameters)
    run = load_run(tmp_path / "grpo_multiplication_smollm2-135m_seed3")
    assert run.meta["status"] == "finished"
    assert run.meta["engine"].startswith("trl ")
    assert run.metrics["step"].tolist() == [0, 1, 2]
    accuracy = run.metrics["eval/sampled_accuracy"].dropna()
    assert len(accuracy) == 2 and 0 < accuracy.iloc[0] < 0.5
    assert (run.metrics["grad_norm"].dropna() > 0).all()
