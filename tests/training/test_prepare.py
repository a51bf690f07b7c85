"""Lines whose change no curve would show: each is redone by hand, on any machine."""

import pytest
import torch

from rlnotes.rollouts.scoring import per_token_logps
from rlnotes.tasks.arithmetic import ScratchAddition
from rlnotes.training.batches import prepare
from rlnotes.training.chosen_rewards import build_rewards
from rlnotes.training.config import make_config
from rlnotes.training.evaluation import evaluate
from rlnotes.training.learner import Learner
from rlnotes.training.loop import collect, train
from rlnotes.training.updates import policy_backward, ratio_statistics
from tests.conftest import random_policy

SMALL = {
    "task": "scratch-addition",
    "bf16": False,
    "max_steps": 1,
    "generation_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 9,
    "eval_samples": 4,
}


def prepared(algorithm="grpo", **changes):
    """A learner, and a batch with rewards that differ from row to row."""
    config = make_config(algorithm=algorithm, **{**SMALL, **changes})
    task, learner = ScratchAddition(), Learner.create(config, random_policy())
    rollouts, rewards, _ = collect(learner, task, build_rewards(config, task), 1)
    rewards = torch.arange(rewards.numel()).view(rewards.shape) / 8.0
    return learner, prepare(learner, rollouts, rewards)


@pytest.mark.parametrize("whitened", [True, False])
def test_the_critic_learns_rewards_and_not_whitened_advantages(whitened):
    """γ = λ = 1 and no KL: what is left to come from any token is the reward itself."""
    learner, batch = prepared("ppo", whiten_advantages=whitened)
    mask = batch.rollouts.completion_mask.bool()
    expected = batch.rewards.expand(-1, mask.shape[1])[mask]
    torch.testing.assert_close(batch.returns[mask], expected)
    mean = float(batch.advantages[mask].mean())
    assert (abs(mean) < 1e-5) == whitened


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_every_log_prob_is_taken_at_the_temperature_of_the_sampler(temperature):
    """Old ones of a bfloat16 run, the reference's, and those of the loss."""
    learner, batch = prepared(
        temperature=temperature, bf16=True, beta=0.1, num_iterations=2
    )
    rollouts, mask = batch.rollouts, batch.rollouts.completion_mask.bool()
    plain = per_token_logps(learner.policy, rollouts, temperature=temperature).detach()
    at_1 = per_token_logps(learner.policy, rollouts).detach()
    forgotten = float((at_1 - plain)[mask].abs().mean())
    for found in (batch.old_per_token_logps, batch.ref_per_token_logps):
        # products in bfloat16 round; a temperature of 1 is far outside of that
        assert float((found - plain)[mask].abs().mean()) < forgotten / 5
    close = {"atol": 2e-5, "rtol": 2e-5}
    for level in ("token", "sequence"):
        learner, batch = prepared(
            temperature=temperature, beta=0.1, importance_sampling_level=level
        )
        weights = batch.loss_mask / batch.loss_mask.sum()
        plain = per_token_logps(
            learner.policy, batch.rollouts, temperature=temperature
        ).detach()
        _, logps = policy_backward(learner, batch, weights)
        torch.testing.assert_close(logps, plain, **close)


class Scripted(ScratchAddition):
    """Verdicts in the order in which they are asked for, then wrong for ever."""

    def __init__(self, verdicts):
        super().__init__()
        self.verdicts = iter(verdicts)

    def held_out(self):
        return super().held_out()[:3]

    def verify(self, completion, one):
        return next(self.verdicts, 0.0)


def test_pass_at_k_counts_questions_with_a_right_answer():
    """Of 3 questions 2 have one among 4: 2/3; the average would be 1/3."""
    task = Scripted([1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0])
    rates = evaluate(random_policy(), task, make_config(**SMALL))
    assert rates["eval/pass@4"] == pytest.approx(2 / 3)
    assert rates["eval/sampled_accuracy"] == pytest.approx(4 / 12)
    assert rates["eval/greedy_accuracy"] == 0


@pytest.mark.parametrize("algorithm", ["grpo", "dapo", "ppo", "dr_grpo"])
def test_a_run_goes_on_where_every_completion_was_filtered(algorithm):
    """One token each, none of them ends: nothing to learn, and no error."""
    config = make_config(
        algorithm=algorithm,
        **{**SMALL, "max_completion_length": 2, "eval_samples": 1},
        reward_funcs=["accuracy_reward"],
        mask_truncated_completions=True,
    )
    policy = random_policy()
    with torch.no_grad():  # the end of the text, never
        policy.model.lm_head.weight[policy.eos_token_ids[0]] = 0
        policy.model.lm_head.weight[5:9] *= 30
    before = policy.model.lm_head.weight.clone()
    row = train(
        config, policy=policy, task=ScratchAddition(), progress=False
    ).metrics.iloc[-1]
    if row["completions/clipped_ratio"] == 1:
        assert torch.equal(policy.model.lm_head.weight, before)
        assert row["grad_norm"] == 0


def test_ppo_logs_the_kl_that_its_reward_is_lowered_by():
    learner, batch = prepared("ppo", kl_coef=0.1)
    mask = batch.rollouts.completion_mask
    batch.ref_per_token_logps = batch.old_per_token_logps - 0.25 * mask
    stats = ratio_statistics(batch, batch.old_per_token_logps, learner.config)
    assert stats["kl"] == pytest.approx(0.25)
