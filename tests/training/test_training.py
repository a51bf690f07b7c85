"""The training loop: every algorithm runs, each update is what its equation says."""

import copy
import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rlnotes.equations.objectives import policy_loss, value_loss
from rlnotes.machine.provenance import describe_run, project_folder, same_bits
from rlnotes.policies.policy import Critic
from rlnotes.records.reading import load_run
from rlnotes.rollouts.rollouts import generate_rollouts
from rlnotes.rollouts.scoring import packed_logps, per_token_logps
from rlnotes.tasks.base import Task
from rlnotes.training.batches import group_advantages, prepare, score, weighted_sum
from rlnotes.training.chosen_rewards import build_rewards
from rlnotes.training.config import ALGORITHMS, make_config
from rlnotes.training.evaluation import (
    HeldOut,
    answer_held_out,
    evaluate,
    first_sentence,
    split_gain,
)
from rlnotes.training.learner import Learner
from rlnotes.training.loop import collect, is_over, train
from rlnotes.training.updates import (
    forward_order,
    mini_batch_weights,
    update,
    update_once,
)
from tests.conftest import random_policy

TINY = {
    "policy": "random-llama",
    "task": "scratch-addition",
    "bf16": False,
    "max_steps": 2,
    "generation_batch_size": 24,
    "num_generations": 4,
    "max_completion_length": 8,
    "learning_rate": 1e-3,
    "eval_samples": 2,
}


def tiny(algorithm="grpo", **overrides):
    if algorithm == "dapo":
        overrides = {"soft_punish_cache": 4, **overrides}
    return make_config(algorithm=algorithm, **{**TINY, **overrides})


def prepared(config, task, seed=0):
    """A learner and a batch whose groups are mixed, ready for an update."""
    policy = random_policy(seed=seed)
    learner = Learner.create(config, policy)
    rollouts, _, _ = collect(learner, task, build_rewards(config, task), 1)
    names = len(config.reward_funcs)
    generator = torch.Generator().manual_seed(1)
    rewards = torch.rand(len(rollouts), names, generator=generator).round()
    return learner, prepare(learner, rollouts, rewards)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_trains_and_leaves_a_whole_record(algorithm, task, tmp_path):
    config = tiny(algorithm)
    policy = random_policy()
    start = copy.deepcopy(policy.model.state_dict())
    result = train(
        config, policy=policy, task=task, output=tmp_path / "run", progress=False
    )
    run = load_run(tmp_path / "run")
    assert run.metrics["step"].tolist() == [0, 1, 2]
    assert run.config == config.to_dict()
    assert run.meta["status"] == "finished" and run.samples
    trained = run.metrics[run.metrics["step"] > 0]
    keys = ["loss", "grad_norm", "reward", "entropy", "completions/mean_length"]
    assert trained[keys].notna().all().all()
    assert trained["updates"].tolist() == [
        config.updates_per_step,
        2 * config.updates_per_step,
    ]
    if (trained["grad_norm"] > 0).any():
        changed = [
            not torch.equal(v, start[k])
            for k, v in result.policy.model.state_dict().items()
        ]
        assert any(changed)


@pytest.mark.parametrize("algorithm", ["grpo", "dapo", "ppo", "gdpo"])
def test_two_runs_of_one_seed_are_equal_to_the_bit(algorithm, task):
    config = tiny(algorithm)
    runs = [
        train(config, policy=random_policy(), task=task, progress=False).policy
        for _ in range(2)
    ]
    for a, b in zip(*(r.model.parameters() for r in runs), strict=True):
        assert torch.equal(a, b)


def test_a_gradient_that_a_policy_brings_along_moves_nothing(task):
    """`tiny_policy` has been trained: its last gradient was once a part of step 1."""
    clean, laden = random_policy(), random_policy()
    for parameter in clean.model.parameters():
        parameter.grad = None
    for parameter in laden.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    config = tiny(max_steps=1)
    norms = [
        train(config, policy=policy, task=task, progress=False).metrics["grad_norm"]
        for policy in (clean, laden)
    ]
    assert norms[0].iloc[-1] == norms[1].iloc[-1]


@pytest.mark.parametrize(
    "overrides",
    [
        {"loss_type": "grpo"},
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
        {"loss_type": "dapo", "epsilon_high": 0.28},
        {"loss_type": "dapo_prompt"},
        {"loss_type": "bnpo", "beta": 0.04},
        {"loss_type": "grpo", "beta": 0.04, "kl_gradient": "importance"},
        {"loss_type": "grpo", "delta": 3.0},
        {"loss_type": "cispo", "epsilon_high": 5.0},
        {"loss_type": "grpo", "importance_sampling_level": "sequence"},
        {"loss_type": "dapo", "mask_truncated_completions": True},
    ],
    ids=lambda o: " ".join(f"{k}={v}" for k, v in o.items()),
)
def test_the_gradient_is_that_of_the_plain_objective(overrides, task):
    """Packed forward, fused head and micro-batches against the textbook forward.

    The second update of a batch: the ratio is no longer 1 and some tokens are clipped.
    """
    config = tiny(num_iterations=2, per_device_train_batch_size=8, **overrides)
    learner, batch = prepared(config, task)
    learner.reference = random_policy(seed=9)
    if config.beta > 0:
        batch.ref_per_token_logps = packed_logps(learner.reference, batch.rollouts)
    with torch.no_grad():
        noise = torch.Generator().manual_seed(2)
        for p in learner.policy.model.parameters():
            p += 0.05 * torch.randn(p.shape, generator=noise)
    twin = copy.deepcopy(learner.policy)
    logps = per_token_logps(twin, batch.rollouts)
    loss = policy_loss(
        logps,
        batch.old_per_token_logps,
        batch.advantages,
        batch.loss_mask,
        loss_type=config.loss_type,
        epsilon=config.epsilon,
        epsilon_high=config.epsilon_high,
        delta=config.delta,
        importance_sampling_level=config.importance_sampling_level,
        beta=config.beta,
        kl_gradient=config.kl_gradient,
        ref_per_token_logps=batch.ref_per_token_logps,
        num_generations=config.num_generations,
        max_completion_length=config.max_completion_length,
    )
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in twin.model.parameters()]).norm()
    learner.optimizers = [torch.optim.SGD(learner.policy.model.parameters(), lr=1.0)]
    before = [p.detach().clone() for p in learner.policy.model.parameters()]
    stats = update_once(learner, batch)
    assert stats["loss"] == pytest.approx(float(loss.detach()), rel=1e-4, abs=1e-6)
    assert stats["grad_norm"] == pytest.approx(float(norm), rel=1e-3)
    scale = min(1.0, config.max_grad_norm / (float(norm) + 1e-6))
    for old, new, p in zip(
        before, learner.policy.model.parameters(), twin.model.parameters(), strict=True
    ):
        step = (old - new.detach()) / scale
        torch.testing.assert_close(step, p.grad, rtol=2e-3, atol=1e-4)
    assert config.loss_type == "cispo" or stats["clip_ratio/region_mean"] > 0


def test_micro_batches_do_not_matter(task):
    steps = []
    for micro in (None, 4, 8):
        config = tiny(loss_type="grpo", per_device_train_batch_size=micro)
        learner, batch = prepared(config, task)
        update_once(learner, batch)
        steps.append([p.detach().clone() for p in learner.policy.model.parameters()])
    for other in steps[1:]:
        for a, b in zip(steps[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_clip_shares_are_those_of_the_rows_whatever_the_micro_batches(task):
    """Groups are sorted for their forward passes; log-probs come back in place."""
    shares = []
    for micro in (None, 4, 8):
        config = tiny(num_iterations=2, per_device_train_batch_size=micro)
        learner, batch = prepared(config, task)
        noise = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for p in learner.policy.model.parameters():
                p += 0.05 * torch.randn(p.shape, generator=noise)
        stats = update_once(learner, batch)
        shares.append({k: v for k, v in stats.items() if k.startswith("clip_ratio")})
    assert shares[0]["clip_ratio/region_mean"] > 0
    assert shares[1] == pytest.approx(shares[0])
    assert shares[2] == pytest.approx(shares[0])


def test_groups_go_forward_by_length_and_the_idle_ones_last(task):
    _, batch = prepared(tiny(), task)
    batch.advantages = torch.tensor([0.0] * 4 + [1.0] * 4 + [0.0, 0, 0, -1] + [0.0] * 4)
    batch.advantages = torch.cat([batch.advantages, torch.ones(8)])
    tokens = [9, 7, 5, 3, 2, 8]
    mask = torch.zeros(24, 12, dtype=torch.long)
    for group, count in enumerate(tokens):
        mask[4 * group, :count] = 1
    batch.rollouts.completion_mask = mask
    weights = torch.ones(24, 12)
    assert forward_order(batch, weights) == [4, 2, 1, 5, 3, 0]
    weights[16:20] = 0  # group 4: no token of it is weighed
    assert forward_order(batch, weights) == [2, 1, 5, 4, 3, 0]


@pytest.mark.parametrize("bf16", [False, True])
def test_old_logps_are_those_of_the_weights_that_learn(bf16, task):
    learner, batch = prepared(tiny(num_iterations=2, bf16=bf16), task)
    own = per_token_logps(learner.policy, batch.rollouts)
    tolerance = {"atol": 0.1, "rtol": 0.1} if bf16 else {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(batch.old_per_token_logps, own, **tolerance)
    sampled = batch.rollouts.per_token_logps
    assert torch.equal(batch.old_per_token_logps, sampled) != bf16


def test_an_update_moves_probability_towards_the_advantage(task):
    """To first order an update raises Σ Â·Δlog π; a flipped sign lowers it."""
    config = tiny(learning_rate=1e-3, loss_type="bnpo")
    learner, batch = prepared(config, task)
    before = per_token_logps(learner.policy, batch.rollouts).sum(1)
    update_once(learner, batch)
    change = per_token_logps(learner.policy, batch.rollouts).sum(1) - before
    assert float((batch.advantages * change).sum().detach()) > 0.1


def test_a_batch_without_signal_leaves_the_policy_as_it_was(task):
    learner, batch = prepared(tiny(), task)
    batch.advantages = torch.zeros_like(batch.advantages)
    before = [p.detach().clone() for p in learner.policy.model.parameters()]
    stats = update_once(learner, batch)
    assert stats["loss"] == 0 and stats["grad_norm"] == 0
    for a, b in zip(before, learner.policy.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_batch_whose_every_completion_is_filtered_has_no_loss(task):
    config = tiny(mask_truncated_completions=True)
    learner, batch = prepared(config, task)
    batch.loss_mask = torch.zeros_like(batch.loss_mask)
    assert (mini_batch_weights(batch, config) == 0).all()
    assert update_once(learner, batch)["grad_norm"] == 0


def test_the_clip_binds_only_from_the_second_update_on(task):
    learner, batch = prepared(tiny(learning_rate=0.1), task)
    assert update(learner, batch, 1)["clip_ratio/region_mean"] == 0
    learner, batch = prepared(tiny(learning_rate=0.1, num_iterations=3), task)
    assert update(learner, batch, 1)["clip_ratio/region_mean"] > 0


def test_the_critic_learns_the_returns(task):
    config = tiny("ppo", critic_learning_rate=1e-2, num_iterations=1)
    learner, batch = prepared(config, task)
    assert batch.advantages.shape == batch.rollouts.completion_mask.shape
    assert (batch.old_values == 0).all()  # the head starts at zero
    mask = batch.rollouts.completion_mask
    expected = value_loss(batch.old_values, batch.old_values, batch.returns, mask)
    first = update_once(learner, batch)["loss/value"]
    assert first == pytest.approx(float(expected), rel=1e-4)
    losses = [update_once(learner, batch)["loss/value"] for _ in range(10)]
    assert losses[-1] < first


def test_the_critic_is_a_model_of_its_own(policy):
    critic = Critic(policy)
    assert {id(p) for p in critic.parameters()}.isdisjoint(
        id(p) for p in policy.model.parameters()
    )


def test_rewards_that_do_not_apply_are_left_out():
    nan = math.nan
    rewards = torch.tensor([[1.0, nan], [0.0, nan], [nan, nan], [1.0, 2.0]])
    total = weighted_sum(rewards, torch.tensor([1.0, 0.5]))
    assert total[[0, 1, 3]].tolist() == [1.0, 0.0, 2.0] and total[2].isnan()
    advantages = group_advantages(rewards[:, :1], tiny())
    assert advantages[2] == 0 and advantages[0] > 0 > advantages[1]


def test_a_conditioned_reward_is_paid_conditionally_and_recorded_as_it_was(task):
    config = tiny(
        "gdpo",
        conditioned_reward="length_reward",
        reward_funcs=["accuracy_reward", "length_reward"],
    )
    learner = Learner.create(config, random_policy())
    rollouts, _, _ = collect(learner, task, build_rewards(config, task), 1)
    rewards = torch.tensor([[0.0, 1.0], [1.0, 1.0]]).repeat(len(rollouts) // 2, 1)
    batch = prepare(learner, rollouts, rewards)
    assert torch.equal(batch.rewards, rewards)
    paid = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(len(rollouts) // 2, 1)
    assert torch.equal(batch.advantages, group_advantages(paid, config))
    assert not torch.equal(batch.advantages, group_advantages(rewards, config))


def test_score_passes_the_task_columns_and_unpadded_ids(policy, task):
    tasks = task.sample(2, seed=0, step=0)
    rollouts = generate_rollouts(
        policy, tasks, num_generations=3, max_completion_length=5
    )
    seen = {}

    def spy(completions, completion_ids, answer, **kwargs):
        seen.update(ids=completion_ids, answer=answer)
        return [0.0] * len(completions)

    score(rollouts, [spy])
    assert seen["answer"] == [t.answer for t in tasks for _ in range(3)]
    assert [len(ids) for ids in seen["ids"]] == rollouts.lengths.tolist()


def test_dynamic_sampling_filters_on_accuracy_not_on_the_shaped_reward(task):
    """An untrained policy is never right: lengths differ, and no group may pass."""
    config = tiny("dapo", max_resample_times=1)
    learner = Learner.create(config, random_policy(seed=4))
    funcs = build_rewards(config, task)
    rollouts, rewards, costs = collect(learner, task, funcs, 1)
    groups = rewards.sum(1).view(-1, 4)
    accuracy = rewards[:, 0].view(-1, 4).mean(1)
    kept = ((accuracy > 0) & (accuracy < 1)).sum()
    useful = costs["dynamic_sampling/groups_informative"]
    assert min(useful, config.num_prompts) == kept
    assert 0 <= costs["dynamic_sampling/accuracy"] <= 1
    assert (groups.std(1) > 0).sum() > kept
    assert len(rollouts) == config.generation_batch_size


def test_evaluation_is_repeatable_and_counts(policy, task):
    config = tiny()
    a, b = evaluate(policy, task, config), evaluate(policy, task, config)
    assert a == b
    assert 0 <= a["eval/sampled_accuracy"] <= a["eval/pass@2"] <= 1


def test_first_sentence():
    assert first_sentence("4 * 7 = 28. And 3.") == "4 * 7 = 28"
    assert first_sentence("4 * 7 = 28\n\nWait, 29") == "4 * 7 = 28"
    assert first_sentence("It is 3.5 or so") == "It is 3.5 or so"
    assert first_sentence("Dr. No says 7!") == "Dr. No says 7"
    assert first_sentence("") == ""


def test_the_parts_of_the_gain_add_up_to_the_gain(policy, task):
    config = tiny()
    before = answer_held_out(policy, task, config)
    after = answer_held_out(random_policy(seed=8), task, config)
    gain = split_gain(before, after, task)
    after_accuracy = evaluate(random_policy(seed=8), task, config)
    assert sum(gain.values()) == pytest.approx(after_accuracy["eval/sampled_accuracy"])
    start = evaluate(policy, task, config)["eval/sampled_accuracy"]
    assert gain["start"] == pytest.approx(start)


def test_new_answers_are_at_most_what_pass_at_k_left():
    """Three questions, two samples each: right cut, right now and then, never right."""
    asked = tuple(Task(prompt="?", answer=a) for a in ("1", "2", "3"))

    def answers(texts):
        ids = torch.zeros(len(texts), 1, dtype=torch.long)
        sampled = SimpleNamespace(texts=texts, tasks=asked, num_generations=2)
        return HeldOut(greedy=ids, sampled=sampled)

    exact = SimpleNamespace(verify=lambda text, one: float(text == one.answer))
    before = answers(["1\n9", "0", "2", "0", "0", "0"])
    after = answers(["1", "1", "2", "0", "3", "0"])
    gain = split_gain(before, after, exact)
    sixths = {key: round(6 * part) for key, part in gain.items()}
    assert sixths == {"start": 1, "stopping": 1, "sharpening": 1, "new answers": 1}


def test_an_interrupted_run_keeps_every_finished_step(task, tmp_path):
    def stop(row):
        if row["step"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            tiny(),
            policy=random_policy(),
            task=task,
            output=tmp_path / "run",
            progress=False,
            on_step=stop,
        )
    assert not (tmp_path / "run").exists()
    assert load_run(tmp_path / "run.partial").metrics["step"].tolist() == [0, 1]


def test_an_unknown_task_stops_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="task"):
        train(make_config(task="alchemy"), output=tmp_path / "run", progress=False)
    assert list(tmp_path.iterdir()) == []


REPEATED = ("reward", "entropy", "grad_norm", "loss", "completions/mean_length")
FIRST_STEPS = 2


def first_steps(recorded, steps=FIRST_STEPS):
    """The first steps of a recorded run, made again from its own config."""
    config = make_config(**(recorded.config | {"max_steps": steps}))
    return train(config, progress=False, evaluations=False).metrics


def recorded_run(algorithm):
    runs = project_folder() / "data" / "runs"
    return load_run(runs / f"{algorithm}_search_search-base_seed3")


def here():
    return {**describe_run(), "threads": torch.get_num_threads()}


@pytest.mark.parametrize("algorithm", ["grpo", "dapo", "ppo"])
def test_a_recorded_run_repeats_to_the_bit_on_its_kind_of_machine(algorithm):
    """The first steps of three runs of `data/runs`, recorded again with all of the
    machine's fingerprint in meta.json: they were equal to the bit.

        RLNOTES_RUNS=tests/training/records rlnotes train \\
            --config configs/search/grpo.yaml seed=3 max_steps=2 --report-to none
    """
    folder = Path(__file__).parent / "records"
    recorded = load_run(folder / f"{algorithm}_search_search-base_seed3")
    original = recorded_run(algorithm).metrics
    repeated = first_steps(recorded)
    same = same_bits(recorded.meta, here())
    for name in REPEATED:
        expected = recorded.metrics[name].iloc[1:].tolist()
        assert expected == original[name].iloc[1 : 1 + FIRST_STEPS].tolist(), name
        assert not same or repeated[name].tolist() == expected, name


@pytest.mark.parametrize("algorithm", ["grpo", "dapo", "ppo"])
def test_a_recorded_run_repeats_closely_on_any_machine(algorithm):
    """Another machine sums in another order: log-probs move by some 1e-6.

    A sampled token changes where its random number falls so close to the border of
    two tokens: of the 256 × 40 tokens of a step one in a hundred steps. One changed
    response of 256 moves the mean reward by 1/256 at most and the mean length by half
    of the limit of 128 over 256. Two of them are allowed for; without any, the first
    step agrees to 1e-4 of its value.
    """
    recorded = recorded_run(algorithm)
    repeated = first_steps(recorded)
    rows = recorded.metrics.iloc[1 : 1 + FIRST_STEPS].reset_index(drop=True)
    size = recorded.config["generation_batch_size"]
    limit = recorded.config["max_completion_length"]
    for name, worth in (("reward", 1), ("completions/mean_length", limit / 2)):
        off = (repeated[name] - rows[name]).abs().max()
        assert off <= 2 * worth / size, (name, off)
    same = repeated["num_tokens"].iloc[0] == rows["num_tokens"].iloc[0]
    if same and repeated["reward"].iloc[0] == rows["reward"].iloc[0]:
        for name in ("entropy", "grad_norm"):
            expected = pytest.approx(rows[name].iloc[0], rel=1e-4)
            assert repeated[name].iloc[0] == expected, name


@pytest.mark.parametrize("algorithm", ["grpo", "dapo", "ppo"])
def test_a_run_repeats_itself_to_the_bit_everywhere(algorithm):
    changes = {"generation_batch_size": 64, "max_completion_length": 48}
    recorded = recorded_run(algorithm)
    recorded.config.update(changes)
    first, again = first_steps(recorded), first_steps(recorded)
    times = [name for name in first if "time" in name]
    assert first.drop(columns=times).equals(again.drop(columns=times))


def test_max_minutes_stops_behind_a_step_and_resume_goes_on(tmp_path, task):
    folder, clock = tmp_path / "run", iter(range(0, 10_000, 25))
    config = tiny(max_steps=5, max_minutes=1, save_steps=0)
    whole = train(tiny(max_steps=5), policy=random_policy(), task=task, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlnotes.training.loop.is_over", lambda *_: next(clock) > 30)
        stopped = train(
            config, policy=random_policy(), task=task, output=folder, progress=False
        )
    assert not stopped.finished and stopped.folder == tmp_path / "run.partial"
    assert stopped.metrics["step"].tolist() == [0, 1, 2, 3]
    assert stopped.metrics["eval/greedy_accuracy"].notna().tolist()[-1]
    meta = load_run(stopped.folder).meta
    assert meta["status"] == "stopped: max_minutes=1 over at step 3"
    more = dataclasses.replace(config, max_minutes=None)
    result = train(
        more,
        policy=random_policy(),
        task=task,
        output=folder,
        resume=True,
        progress=False,
    )
    assert result.finished and result.folder == folder and folder.is_dir()
    names = ["step", "reward", "loss", "grad_norm"]
    assert result.metrics[names].equals(whole.metrics[names])


@pytest.mark.parametrize(
    ("limit", "seconds", "over"), [(None, 1e9, False), (2, 119, False), (2, 121, True)]
)
def test_minutes_are_sixty_seconds(limit, seconds, over, monkeypatch):
    monkeypatch.setattr("time.perf_counter", lambda: 1000.0 + seconds)
    assert is_over(limit, 1000.0) is over


def test_a_resumed_run_keeps_the_precision_it_began_with(tmp_path, task, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setattr("rlnotes.machine.rates.bfloat16_pays", lambda device: True)
    config = tiny(max_steps=2, bf16=None, max_minutes=1)
    monkeypatch.setattr("rlnotes.training.loop.is_over", lambda *_: True)
    train(config, policy=random_policy(), task=task, output=folder, progress=False)
    partial = load_run(tmp_path / "run.partial")
    assert partial.config["bf16"] is True
    monkeypatch.setattr("rlnotes.machine.rates.bfloat16_pays", lambda device: False)
    train(
        config,
        policy=random_policy(),
        task=task,
        output=folder,
        progress=False,
        resume=True,
    )
    assert load_run(folder).config["bf16"] is True
