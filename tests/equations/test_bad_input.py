"""Every way to call the equations wrongly, and the whole message that comes back."""

import math

import pytest
import torch
from torch import tensor as T

from rlnotes.equations.aggregation import aggregate_loss, token_weights
from rlnotes.equations.decoupled import decoupled_advantages
from rlnotes.equations.divergences import (
    exact_kl,
    kl_k1,
    kl_k2,
    kl_k3,
    kl_penalty,
    token_entropy,
)
from rlnotes.equations.gae import generalized_advantage_estimation as gae
from rlnotes.equations.gae import length_adaptive_lambda
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.equations.masking import completion_mask_from_ids, masked_mean, masked_var
from rlnotes.equations.objectives import per_token_policy_loss, policy_loss, value_loss
from rlnotes.equations.shaping import (
    conditioned_rewards,
    informative_groups,
    kl_penalized_rewards,
    overlong_filter,
    soft_overlong_punishment,
)
from rlnotes.equations.surrogates import (
    cispo_loss,
    clip_fractions,
    clipped_surrogate_loss,
    importance_ratio,
    policy_gradient_loss,
)
from rlnotes.equations.validation import (
    check_choice,
    check_finite,
    check_float,
    check_groups,
    check_mask,
    check_range,
    check_same_shape,
    check_shape,
)
from rlnotes.equations.whitening import whiten

NAN, INF = math.nan, math.inf
ROWS = torch.zeros(2, 3)
ONES = torch.ones(2, 3).long()
BAD = T([[0.0, NAN, 0.0], [0.0, 0.0, 0.0]])
FOUR = T([1.0, 0.0, 0.0, 1.0])
TWO = T([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
LIMITS = {"max_completion_len": 100, "soft_punish_cache": 20}

CASES = [
    (
        lambda: completion_mask_from_ids(T([1, 2]), [1]),
        "completion_ids must have shape (*, *), got (2,)",
    ),
    (
        lambda: completion_mask_from_ids([[1, 2]], [1]),
        "completion_ids must be a tensor, got list",
    ),
    (
        lambda: completion_mask_from_ids(torch.ones(1, 2), [1]),
        "completion_ids must be integers, got torch.float32",
    ),
    (
        lambda: completion_mask_from_ids(T([[1, 2]]), []),
        "eos_token_ids must be a sequence of token ids, got []",
    ),
    (
        lambda: completion_mask_from_ids(T([[1, 2]]), 1),
        "eos_token_ids must be a sequence of token ids, got 1",
    ),
    (
        lambda: masked_mean(T([1, 2]), T([1, 1])),
        "values must be floating point, got torch.int64",
    ),
    (lambda: masked_mean([1.0], T([1])), "values must be a tensor, got list"),
    (
        lambda: masked_mean(torch.ones(2), T([1, 1, 1])),
        "mask must have shape (2,), got (3,)",
    ),
    (lambda: masked_mean(torch.ones(2), [1, 1]), "mask must be a tensor, got list"),
    (
        lambda: masked_mean(torch.ones(2), T([1, 2])),
        "mask must hold only 0 and 1, got other values",
    ),
    (
        lambda: masked_mean(torch.ones(2), T([1.0, NAN])),
        "mask must hold only 0 and 1, got other values",
    ),
    (
        lambda: masked_mean(torch.ones(2), T([0, 0])),
        "mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: masked_mean(torch.ones(0), torch.ones(0)),
        "mask must not be empty, got shape (0,)",
    ),
    (
        lambda: masked_mean(T([1.0, NAN]), T([1, 1])),
        "values must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: masked_var(torch.ones(2), T([1, 0])),
        "mask must select 2 or more tokens, got 1",
    ),
    (
        lambda: masked_var(torch.ones(2), T([0, 0]), correction=0),
        "mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: masked_var(torch.ones(2), T([1, 1]), correction=2),
        "correction must be one of [0, 1], got 2",
    ),
    (
        lambda: masked_var(torch.ones(2, dtype=torch.complex64), T([1, 1])),
        "values must be floating point, got torch.complex64",
    ),
    (
        lambda: masked_var(torch.ones(2), T([[1, 1]])),
        "mask must have shape (2,), got (1, 2)",
    ),
    (
        lambda: masked_var(T([1.0, INF]), T([1, 1])),
        "values must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: gae(torch.ones(3), ROWS, ONES),
        "rewards must have shape (*, *), got (3,)",
    ),
    (
        lambda: gae(ROWS, torch.ones(2, 2), ONES),
        "values must have the shape of rewards (2, 3), got (2, 2)",
    ),
    (
        lambda: gae(ROWS, ROWS, torch.ones(2, 2)),
        "completion_mask must have shape (2, 3), got (2, 2)",
    ),
    (
        lambda: gae(ROWS.long(), ROWS, ONES),
        "rewards must be floating point, got torch.int64",
    ),
    (
        lambda: gae(ROWS, ROWS.long(), ONES),
        "values must be floating point, got torch.int64",
    ),
    (
        lambda: gae(ROWS, ROWS, 2 * ONES),
        "completion_mask must hold only 0 and 1, got other values",
    ),
    (
        lambda: gae(BAD, ROWS, ONES),
        "rewards must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: gae(ROWS, BAD, ONES),
        "values must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: gae(ROWS, ROWS, ONES, gamma=1.1),
        "gamma must be a number in [0.0, 1.0], got 1.1",
    ),
    (
        lambda: gae(ROWS, ROWS, ONES, lam=-0.1),
        "lam must be a number in [0.0, 1.0], got -0.1",
    ),
    (
        lambda: gae(ROWS, ROWS, ONES, lam="1"),
        "lam must be a number in [0.0, 1.0], got '1'",
    ),
    (lambda: gae(ROWS, ROWS, ONES, lam=T([0.5])), "lam must have shape (2,), got (1,)"),
    (
        lambda: gae(ROWS, ROWS, ONES, lam=T([0.5, 1.5])),
        "lam must be a number in [0.0, 1.0], got 1.5",
    ),
    (
        lambda: gae(ROWS, ROWS, ONES, lam=T([0.5, -1.5])),
        "lam must be a number in [0.0, 1.0], got -1.5",
    ),
    (
        lambda: gae(ROWS, ROWS, ONES, masked="skip"),
        "masked must be one of ['carry', 'zero'], got 'skip'",
    ),
    (
        lambda: gae(torch.ones(2, 0), torch.ones(2, 0), torch.ones(2, 0)),
        "completion_mask must not be empty, got shape (2, 0)",
    ),
    (
        lambda: length_adaptive_lambda(ONES, alpha=0.0),
        "alpha must be a number in (0.0, inf], got 0.0",
    ),
    (
        lambda: length_adaptive_lambda(ONES[0]),
        "completion_mask must have shape (*, *), got (3,)",
    ),
    (
        lambda: length_adaptive_lambda(0.5 * ONES),
        "completion_mask must hold only 0 and 1, got other values",
    ),
    (lambda: whiten(torch.ones(3), ONES), "values must have shape (*, *), got (3,)"),
    (
        lambda: whiten(ROWS, ONES[:1]),
        "completion_mask must have shape (2, 3), got (1, 3)",
    ),
    (
        lambda: whiten(ROWS, 0 * ONES),
        "completion_mask must select 2 or more tokens, got 0",
    ),
    (
        lambda: whiten(ROWS, T([[1, 0, 0], [0, 0, 0]])),
        "completion_mask must select 2 or more tokens, got 1",
    ),
    (
        lambda: whiten(ROWS, 0 * ONES, correction=0),
        "completion_mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: whiten(ROWS, ONES, correction=3),
        "correction must be one of [0, 1], got 3",
    ),
    (
        lambda: whiten(ROWS, ONES, eps=-1e-8),
        "eps must be a number in [0.0, inf], got -1e-08",
    ),
    (lambda: whiten(BAD, ONES), "values must be finite, got NaN or infinity in 1 of 6"),
    (
        lambda: whiten(ROWS.long(), ONES),
        "values must be floating point, got torch.int64",
    ),
    (
        lambda: group_relative_advantages(ROWS, 2),
        "rewards must have shape (*,), got (2, 3)",
    ),
    (
        lambda: group_relative_advantages([1.0, 0.0], 2),
        "rewards must be a tensor, got list",
    ),
    (
        lambda: group_relative_advantages(FOUR, 3),
        "rewards must hold a positive multiple of num_generations=3 rows, got 4",
    ),
    (
        lambda: group_relative_advantages(torch.ones(0), 2),
        "rewards must hold a positive multiple of num_generations=2 rows, got 0",
    ),
    (
        lambda: group_relative_advantages(FOUR, 0),
        "num_generations must be an integer in [1, inf], got 0",
    ),
    (
        lambda: group_relative_advantages(FOUR, 2.0),
        "num_generations must be an integer in [1, inf], got 2.0",
    ),
    (
        lambda: group_relative_advantages(FOUR * 1j, 2),
        "rewards must be floating point, got torch.complex64",
    ),
    (
        lambda: group_relative_advantages(T([1.0, NAN]), 2),
        "rewards must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: group_relative_advantages(T([1.0, INF]), 2, none_rewards="skip"),
        "rewards must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: group_relative_advantages(T([1.0, -INF]), 2, none_rewards="zero"),
        "rewards must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: group_relative_advantages(T([3e38, -3e38]), 2),
        "spread of rewards must be finite, got NaN or infinity in 1 of 1",
    ),
    (
        lambda: group_relative_advantages(FOUR, 2, scale_rewards=True),
        "scale_rewards must be one of ['group', 'batch', 'mean', 'none'], got True",
    ),
    (
        lambda: group_relative_advantages(FOUR, 2, correction=2),
        "correction must be one of [0, 1], got 2",
    ),
    (
        lambda: group_relative_advantages(FOUR, 2, eps=-1e-4),
        "eps must be a number in [0.0, inf], got -0.0001",
    ),
    (
        lambda: group_relative_advantages(FOUR, 2, baseline="first"),
        "baseline must be one of ['mean', 'leave_one_out'], got 'first'",
    ),
    (
        lambda: group_relative_advantages(FOUR, 2, singleton="one"),
        "singleton must be one of ['zero', 'raw', 'error'], got 'one'",
    ),
    (
        lambda: group_relative_advantages(FOUR, 1, singleton="one"),
        "singleton must be one of ['zero', 'raw', 'error'], got 'one'",
    ),
    (
        lambda: group_relative_advantages(FOUR, 1, singleton="error"),
        "num_generations must be 2 or more, got 1",
    ),
    (
        lambda: group_relative_advantages(FOUR, 2, none_rewards="drop"),
        "none_rewards must be one of ['error', 'skip', 'zero'], got 'drop'",
    ),
    (
        lambda: leave_one_out_advantages(FOUR, 3),
        "rewards must hold a positive multiple of num_generations=3 rows, got 4",
    ),
    (
        lambda: leave_one_out_advantages(FOUR, 1, singleton="error"),
        "num_generations must be 2 or more, got 1",
    ),
    (
        lambda: leave_one_out_advantages(T([NAN, 1.0]), 2),
        "rewards must be finite, got NaN or infinity in 1 of 2",
    ),
    (lambda: decoupled_advantages(FOUR, 2), "rewards must have shape (*, *), got (4,)"),
    (
        lambda: decoupled_advantages(TWO, 3),
        "rewards must hold a positive multiple of num_generations=3 rows, got 4",
    ),
    (
        lambda: decoupled_advantages(torch.ones(4, 0), 2),
        "rewards must have 1 or more columns, got 0",
    ),
    (
        lambda: decoupled_advantages(TWO[:, :1], 2, single_reward="error"),
        "rewards must have 2 or more columns, got 1",
    ),
    (
        lambda: decoupled_advantages(TWO, 2, single_reward="raw"),
        ("single_reward must be one of ['renormalize', 'grpo', 'error'], got 'raw'"),
    ),
    (
        lambda: decoupled_advantages(TWO, 2, batch_stats="group"),
        "batch_stats must be one of ['sequence', 'token', 'none'], got 'group'",
    ),
    (
        lambda: decoupled_advantages(TWO, 2, batch_eps=-1.0),
        "batch_eps must be a number in [0.0, inf], got -1.0",
    ),
    (
        lambda: decoupled_advantages(TWO, 2, eps=-1.0),
        "eps must be a number in [0.0, inf], got -1.0",
    ),
    (
        lambda: decoupled_advantages(TWO, 2, reward_weights=[1.0]),
        "reward_weights must have shape (2,), got (1,)",
    ),
    (
        lambda: decoupled_advantages(TWO, 2, reward_weights=[1.0, NAN]),
        "reward_weights must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: decoupled_advantages(TWO, 2, batch_stats="token"),
        'completion_mask must be given for batch_stats="token"',
    ),
    (
        lambda: decoupled_advantages(TWO, 2, batch_stats="token", completion_mask=ONES),
        "completion_mask must have shape (4, *), got (2, 3)",
    ),
    (
        lambda: decoupled_advantages(
            TWO, 2, batch_stats="token", completion_mask=torch.zeros(4, 3)
        ),
        "completion_mask must select 2 or more tokens, got 0",
    ),
    (
        lambda: decoupled_advantages(T([[1.0, NAN], [0.0, 1.0]]), 2),
        "rewards must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: decoupled_advantages(TWO, 2, baseline="first"),
        "baseline must be one of ['mean', 'leave_one_out'], got 'first'",
    ),
    (
        lambda: decoupled_advantages(TWO, 1, singleton="error"),
        "num_generations must be 2 or more, got 1",
    ),
    (
        lambda: decoupled_advantages(TWO, 2, correction=-1),
        "correction must be one of [0, 1], got -1",
    ),
    (
        lambda: decoupled_advantages(TWO, 2, none_rewards="drop"),
        "none_rewards must be one of ['error', 'skip', 'zero'], got 'drop'",
    ),
    (
        lambda: kl_k1(ROWS, ONES[:1]),
        (
            "ref_per_token_logps must have the shape of per_token_logps (2, 3), got "
            "(1, 3)"
        ),
    ),
    (
        lambda: kl_k2(ROWS.long(), ROWS),
        "per_token_logps must be floating point, got torch.int64",
    ),
    (
        lambda: kl_k3(ROWS, ROWS.long()),
        "ref_per_token_logps must be floating point, got torch.int64",
    ),
    (lambda: kl_k3(ROWS, [0.0]), "ref_per_token_logps must be a tensor, got list"),
    (
        lambda: kl_penalty(ROWS, ROWS[:1]),
        (
            "ref_per_token_logps must have the shape of per_token_logps (2, 3), got "
            "(1, 3)"
        ),
    ),
    (
        lambda: kl_penalty(ROWS, ROWS, estimator="k4"),
        "estimator must be one of ['k1', 'k2', 'k3', 'abs'], got 'k4'",
    ),
    (
        lambda: kl_penalty(ROWS, ROWS, gradient="k3"),
        "gradient must be one of ['autodiff', 'k2', 'importance'], got 'k3'",
    ),
    (
        lambda: kl_penalty(ROWS, ROWS, gradient="importance"),
        'ratio must be given for gradient="importance"',
    ),
    (
        lambda: kl_penalty(ROWS, ROWS, gradient="importance", ratio=torch.ones(2, 2)),
        "ratio must have the shape of per_token_logps (2, 3), got (2, 2)",
    ),
    (
        lambda: kl_penalty(ROWS, ROWS, gradient="importance", ratio=1.0),
        "ratio must be a tensor, got float",
    ),
    (
        lambda: kl_penalty(ROWS, ROWS, gradient="importance", ratio=ONES),
        "ratio must be floating point, got torch.int64",
    ),
    (
        lambda: kl_penalty(ROWS, ROWS, clamp=(0.0, 10.0)),
        "clamp[0] must be a number in (0.0, inf], got 0.0",
    ),
    (
        lambda: kl_penalty(ROWS, ROWS, clamp=(20.0, -1.0)),
        "clamp[1] must be a number in (0.0, inf], got -1.0",
    ),
    (
        lambda: kl_penalty(ROWS, ROWS, completion_mask=ONES[:1]),
        "completion_mask must have shape (2, 3), got (1, 3)",
    ),
    (
        lambda: kl_penalty(ROWS, ROWS + 200),
        (
            "KL of per_token_logps and ref_per_token_logps must be finite, got NaN "
            "or infinity in 6 of 6"
        ),
    ),
    (
        lambda: kl_penalty(BAD, ROWS),
        (
            "KL of per_token_logps and ref_per_token_logps must be finite, got NaN "
            "or infinity in 1 of 6"
        ),
    ),
    (
        lambda: exact_kl(ROWS, ROWS[0]),
        "ref_logits must have the shape of logits (2, 3), got (3,)",
    ),
    (
        lambda: exact_kl(ROWS.long(), ROWS),
        "logits must be floating point, got torch.int64",
    ),
    (
        lambda: exact_kl(ROWS, BAD),
        ("the largest of ref_logits must be finite, got NaN or infinity in 1 of 2"),
    ),
    (
        lambda: exact_kl(torch.full((2, 3), -INF), ROWS),
        "the largest of logits must be finite, got NaN or infinity in 2 of 2",
    ),
    (
        lambda: token_entropy(ROWS.long()),
        "logits must be floating point, got torch.int64",
    ),
    (lambda: token_entropy([0.0]), "logits must be a tensor, got list"),
    (
        lambda: token_entropy(BAD),
        "the largest of logits must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: importance_ratio(ROWS[0], ROWS[0], ONES[0]),
        "per_token_logps must have shape (*, *), got (3,)",
    ),
    (
        lambda: importance_ratio(ROWS, ROWS[:1], ONES),
        (
            "old_per_token_logps must have the shape of per_token_logps (2, 3), got "
            "(1, 3)"
        ),
    ),
    (
        lambda: importance_ratio(ROWS, ROWS, ONES[:1]),
        "completion_mask must have shape (2, 3), got (1, 3)",
    ),
    (
        lambda: importance_ratio(ROWS.long(), ROWS, ONES),
        "per_token_logps must be floating point, got torch.int64",
    ),
    (
        lambda: importance_ratio(ROWS, ROWS.long(), ONES),
        "old_per_token_logps must be floating point, got torch.int64",
    ),
    (
        lambda: importance_ratio(ROWS, ROWS, 3 * ONES),
        "completion_mask must hold only 0 and 1, got other values",
    ),
    (
        lambda: importance_ratio(ROWS, ROWS, ONES, level="word"),
        "level must be one of ['token', 'sequence'], got 'word'",
    ),
    (
        lambda: importance_ratio(ROWS, ROWS, ONES, max_log_ratio=0.0),
        "max_log_ratio must be a number in (0.0, inf], got 0.0",
    ),
    (
        lambda: importance_ratio(BAD, ROWS, ONES),
        (
            "ratio of per_token_logps to old_per_token_logps must be finite, got "
            "NaN or infinity in 1 of 6"
        ),
    ),
    (
        lambda: importance_ratio(ROWS, ROWS - 100, ONES, max_log_ratio=None),
        (
            "ratio of per_token_logps to old_per_token_logps must be finite, got "
            "NaN or infinity in 6 of 6"
        ),
    ),
    (
        lambda: clipped_surrogate_loss(ROWS[0], TWO[:, 0]),
        "ratio must have shape (*, *), got (3,)",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, torch.ones(3)),
        "advantages must have shape (2,), got (3,)",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, torch.ones(2, 2)),
        "advantages must have the shape of ratio (2, 3), got (2, 2)",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, torch.ones(1, 3)),
        "advantages must have shape (2, *), got (1, 3)",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, torch.ones(2, 3, 1)),
        "advantages must have shape (2, *), got (2, 3, 1)",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, T([1, 0])),
        "advantages must be floating point, got torch.int64",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, T([1.0, NAN])),
        "advantages must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: clipped_surrogate_loss(BAD, torch.ones(2)),
        "ratio must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS.long(), torch.ones(2)),
        "ratio must be floating point, got torch.int64",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, torch.ones(2), epsilon=-0.1),
        "epsilon must be a number in [0.0, inf], got -0.1",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, torch.ones(2), epsilon_high=-0.1),
        "epsilon_high must be a number in [0.0, inf], got -0.1",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, torch.ones(2), delta=1.2),
        "delta must be a number in (1.2, inf], got 1.2",
    ),
    (
        lambda: clipped_surrogate_loss(
            ROWS, torch.ones(2), epsilon_high=0.28, delta=1.28, delta_rule="both"
        ),
        "delta must be a number in (1.28, inf], got 1.28",
    ),
    (
        lambda: clipped_surrogate_loss(ROWS, torch.ones(2), delta_rule="positive"),
        "delta_rule must be one of ['negative', 'both'], got 'positive'",
    ),
    (
        lambda: cispo_loss(ROWS, ROWS, torch.ones(2), epsilon_high=0.0),
        "epsilon_high must be a number in (0.0, inf], got 0.0",
    ),
    (
        lambda: cispo_loss(ROWS, ROWS, torch.ones(2), epsilon_high=0.5, epsilon=0.2),
        "epsilon_high must be a number in (0.8, inf], got 0.5",
    ),
    (
        lambda: cispo_loss(ROWS, ROWS, torch.ones(2), epsilon_high=5.0, epsilon=-0.2),
        "epsilon must be a number in [0.0, inf], got -0.2",
    ),
    (
        lambda: cispo_loss(ROWS[0], ROWS, torch.ones(2), epsilon_high=5.0),
        "ratio must have the shape of per_token_logps (2, 3), got (3,)",
    ),
    (
        lambda: cispo_loss(ROWS[:, :2], ROWS, torch.ones(2), epsilon_high=5.0),
        "ratio must have the shape of per_token_logps (2, 3), got (2, 2)",
    ),
    (
        lambda: cispo_loss([1.0], ROWS, torch.ones(2), epsilon_high=5.0),
        "ratio must be a tensor, got list",
    ),
    (
        lambda: cispo_loss(ROWS, ROWS[0], torch.ones(2), epsilon_high=5.0),
        "per_token_logps must have shape (*, *), got (3,)",
    ),
    (
        lambda: cispo_loss(ROWS, ROWS, torch.ones(3), epsilon_high=5.0),
        "advantages must have shape (2,), got (3,)",
    ),
    (
        lambda: cispo_loss(BAD, ROWS, torch.ones(2), epsilon_high=5.0),
        "ratio must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: policy_gradient_loss(ROWS[0], torch.ones(2)),
        "per_token_logps must have shape (*, *), got (3,)",
    ),
    (
        lambda: policy_gradient_loss(ROWS, torch.ones(3)),
        "advantages must have shape (2,), got (3,)",
    ),
    (
        lambda: policy_gradient_loss(ROWS.long(), torch.ones(2)),
        "per_token_logps must be floating point, got torch.int64",
    ),
    (
        lambda: token_weights(ONES[0], loss_type="grpo"),
        "completion_mask must have shape (*, *), got (3,)",
    ),
    (
        lambda: token_weights(ONES, loss_type="token-mean"),
        (
            "loss_type must be one of ['grpo', 'dapo', 'bnpo', 'dapo_prompt', "
            "'dr_grpo', 'luspo', 'cispo'], got 'token-mean'"
        ),
    ),
    (
        lambda: token_weights(ONES, loss_type="dapo_prompt"),
        'num_generations must be given for loss_type="dapo_prompt"',
    ),
    (
        lambda: token_weights(ONES, loss_type="dapo_prompt", num_generations=0),
        "num_generations must be an integer in [1, inf], got 0",
    ),
    (
        lambda: token_weights(ONES, loss_type="dapo_prompt", num_generations=3),
        (
            "completion_mask must hold a positive multiple of num_generations=3 "
            "rows, got 2"
        ),
    ),
    (
        lambda: token_weights(ONES, loss_type="dr_grpo"),
        'max_completion_length must be given for loss_type="dr_grpo"',
    ),
    (
        lambda: token_weights(ONES, loss_type="dr_grpo", max_completion_length=0),
        "max_completion_length must be an integer in [1, inf], got 0",
    ),
    (
        lambda: token_weights(ONES, loss_type="dr_grpo", max_completion_length=2.5),
        "max_completion_length must be an integer in [1, inf], got 2.5",
    ),
    (
        lambda: token_weights(ONES, loss_type="bnpo", num_items_in_batch=6),
        (
            'num_items_in_batch must be None unless loss_type is "dapo" or "cispo", '
            'got loss_type="bnpo"'
        ),
    ),
    (
        lambda: token_weights(ONES, loss_type="dapo", num_items_in_batch=0),
        "num_items_in_batch must be a number in (0.0, inf], got 0.0",
    ),
    (
        lambda: token_weights(ONES, loss_type="grpo", dtype=torch.bfloat16),
        ("dtype must be one of [torch.float32, torch.float64], got torch.bfloat16"),
    ),
    (
        lambda: token_weights(0 * ONES, loss_type="dapo"),
        "completion_mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: token_weights(0 * ONES, loss_type="bnpo"),
        "completion_mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: token_weights(0 * ONES, loss_type="cispo"),
        "completion_mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: token_weights(0 * ONES, loss_type="grpo", count_empty=False),
        "completion_mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: token_weights(torch.ones(0, 3), loss_type="grpo"),
        "completion_mask must not be empty, got shape (0, 3)",
    ),
    (
        lambda: aggregate_loss(ROWS[:1], ONES, loss_type="grpo"),
        ("per_token_loss must have the shape of completion_mask (2, 3), got (1, 3)"),
    ),
    (
        lambda: aggregate_loss(ROWS[:, :2], ONES, loss_type="grpo"),
        ("per_token_loss must have the shape of completion_mask (2, 3), got (2, 2)"),
    ),
    (
        lambda: aggregate_loss(ROWS.long(), ONES, loss_type="grpo"),
        "per_token_loss must be floating point, got torch.int64",
    ),
    (
        lambda: aggregate_loss(BAD, ONES, loss_type="grpo"),
        "per_token_loss must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: aggregate_loss(ROWS, ONES[0], loss_type="grpo"),
        "completion_mask must have shape (*, *), got (3,)",
    ),
    (
        lambda: per_token_policy_loss(ROWS, ROWS, torch.ones(3), ONES),
        "advantages must have shape (2,), got (3,)",
    ),
    (
        lambda: per_token_policy_loss(ROWS, ROWS, torch.ones(2), ONES, loss_type="ppo"),
        (
            "loss_type must be one of ['grpo', 'dapo', 'bnpo', 'dapo_prompt', "
            "'dr_grpo', 'luspo', 'cispo'], got 'ppo'"
        ),
    ),
    (
        lambda: per_token_policy_loss(ROWS, ROWS, torch.ones(2), ONES, beta=-0.1),
        "beta must be a number in [0.0, inf], got -0.1",
    ),
    (
        lambda: per_token_policy_loss(ROWS, ROWS, torch.ones(2), ONES, beta=0.1),
        "ref_per_token_logps must be given for beta > 0",
    ),
    (
        lambda: per_token_policy_loss(
            ROWS, ROWS, torch.ones(2), ONES, beta=0.1, ref_per_token_logps=ROWS[:1]
        ),
        (
            "ref_per_token_logps must have the shape of per_token_logps (2, 3), got "
            "(1, 3)"
        ),
    ),
    (
        lambda: per_token_policy_loss(
            ROWS, ROWS, torch.ones(2), ONES, loss_type="cispo"
        ),
        'epsilon_high must be given for loss_type="cispo"',
    ),
    (
        lambda: per_token_policy_loss(ROWS, ROWS, BAD, ONES),
        "advantages must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: policy_loss(ROWS, ROWS[:1], torch.ones(2), ONES),
        (
            "old_per_token_logps must have the shape of per_token_logps (2, 3), got "
            "(1, 3)"
        ),
    ),
    (
        lambda: policy_loss(ROWS, ROWS, torch.ones(2), 0 * ONES, loss_type="dapo"),
        "completion_mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: policy_loss(ROWS, ROWS, torch.ones(2), ONES, loss_type="dr_grpo"),
        'max_completion_length must be given for loss_type="dr_grpo"',
    ),
    (
        lambda: clip_fractions(ROWS, torch.ones(3), ONES),
        "advantages must have shape (2,), got (3,)",
    ),
    (
        lambda: clip_fractions(BAD, torch.ones(2), ONES),
        "ratio must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: clip_fractions(ROWS, torch.ones(2), ONES[:1]),
        "completion_mask must have shape (2, *), got (1, 3)",
    ),
    (
        lambda: clip_fractions(ROWS, torch.ones(2), ONES[:, :2]),
        "completion_mask must have the shape of ratio (2, 3), got (2, 2)",
    ),
    (
        lambda: clip_fractions(ROWS, torch.ones(2), 0 * ONES),
        "completion_mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: clip_fractions(ROWS, torch.ones(2), ONES, epsilon=-1),
        "epsilon must be a number in [0.0, inf], got -1",
    ),
    (
        lambda: value_loss(ROWS[0], ROWS, ROWS, ONES),
        "values must have shape (*, *), got (3,)",
    ),
    (
        lambda: value_loss(ROWS, ROWS[:1], ROWS, ONES),
        "old_values must have the shape of values (2, 3), got (1, 3)",
    ),
    (
        lambda: value_loss(ROWS, ROWS, ROWS[:1], ONES),
        "returns must have the shape of values (2, 3), got (1, 3)",
    ),
    (
        lambda: value_loss(ROWS, ROWS, ROWS, ONES[:1]),
        "completion_mask must have shape (2, 3), got (1, 3)",
    ),
    (
        lambda: value_loss(ROWS, ROWS, ROWS, 0 * ONES),
        "completion_mask must select 1 or more tokens, got 0",
    ),
    (
        lambda: value_loss(BAD, ROWS, ROWS, ONES),
        "values must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: value_loss(ROWS, BAD, ROWS, ONES),
        "old_values must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: value_loss(ROWS, ROWS, BAD, ONES),
        "returns must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: value_loss(ROWS.long(), ROWS, ROWS, ONES),
        "values must be floating point, got torch.int64",
    ),
    (
        lambda: value_loss(ROWS, ROWS, ROWS, ONES, cliprange_value=0),
        "cliprange_value must be a number in (0.0, inf], got 0",
    ),
    (
        lambda: soft_overlong_punishment(ROWS, **LIMITS),
        "lengths must have shape (*,), got (2, 3)",
    ),
    (
        lambda: soft_overlong_punishment([1], **LIMITS),
        "lengths must be a tensor, got list",
    ),
    (
        lambda: soft_overlong_punishment(T([5, -1]), **LIMITS),
        "lengths must be at least 0, got a negative or NaN length",
    ),
    (
        lambda: soft_overlong_punishment(T([NAN]), **LIMITS),
        "lengths must be at least 0, got a negative or NaN length",
    ),
    (
        lambda: soft_overlong_punishment(
            T([1]), max_completion_len=0, soft_punish_cache=0
        ),
        "max_completion_len must be an integer in [1, inf], got 0",
    ),
    (
        lambda: soft_overlong_punishment(
            T([1]), max_completion_len=10, soft_punish_cache=11
        ),
        "soft_punish_cache must be an integer in [0, 10], got 11",
    ),
    (
        lambda: soft_overlong_punishment(
            T([1]), max_completion_len=10, soft_punish_cache=-1
        ),
        "soft_punish_cache must be an integer in [0, 10], got -1",
    ),
    (
        lambda: soft_overlong_punishment(
            T([1]), max_completion_len=10, soft_punish_cache=0.5
        ),
        "soft_punish_cache must be an integer in [0, 10], got 0.5",
    ),
    (
        lambda: soft_overlong_punishment(
            T([1]), max_completion_len=10, soft_punish_cache=0, bounded=False
        ),
        "soft_punish_cache must be an integer in [1, 10], got 0",
    ),
    (
        lambda: overlong_filter(ONES[0], T([True])),
        "completion_mask must have shape (*, *), got (3,)",
    ),
    (
        lambda: overlong_filter(ONES, T([True])),
        "truncated must have shape (2,), got (1,)",
    ),
    (
        lambda: overlong_filter(ONES, T([6, 3])),
        "truncated must hold only 0 and 1, got other values",
    ),
    (
        lambda: overlong_filter(2 * ONES, T([True, False])),
        "completion_mask must hold only 0 and 1, got other values",
    ),
    (
        lambda: kl_penalized_rewards(torch.ones(3), ROWS, ONES, beta=0.1),
        "scores must have shape (2,), got (3,)",
    ),
    (
        lambda: kl_penalized_rewards(torch.ones(2), ROWS[0], ONES, beta=0.1),
        "kl must have shape (*, *), got (3,)",
    ),
    (
        lambda: kl_penalized_rewards(torch.ones(2), ROWS, ONES[:1], beta=0.1),
        "completion_mask must have shape (2, 3), got (1, 3)",
    ),
    (
        lambda: kl_penalized_rewards(torch.ones(2), ROWS, ONES, beta=-0.1),
        "beta must be a number in [0.0, inf], got -0.1",
    ),
    (
        lambda: kl_penalized_rewards(T([1.0, NAN]), ROWS, ONES, beta=0.1),
        "scores must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: kl_penalized_rewards(torch.ones(2), BAD, ONES, beta=0.1),
        "kl must be finite, got NaN or infinity in 1 of 6",
    ),
    (
        lambda: kl_penalized_rewards(torch.ones(2), ROWS.long(), ONES, beta=0.1),
        "kl must be floating point, got torch.int64",
    ),
    (
        lambda: conditioned_rewards(FOUR, conditioned=0, on=1, threshold=0.5),
        "rewards must have shape (*, *), got (4,)",
    ),
    (
        lambda: conditioned_rewards(TWO, conditioned=2, on=1, threshold=0.5),
        "conditioned must be an integer in [0, 1], got 2",
    ),
    (
        lambda: conditioned_rewards(TWO, conditioned=0, on=-1, threshold=0.5),
        "on must be an integer in [0, 1], got -1",
    ),
    (
        lambda: conditioned_rewards(TWO, conditioned=0, on=1.0, threshold=0.5),
        "on must be an integer in [0, 1], got 1.0",
    ),
    (
        lambda: conditioned_rewards(TWO, conditioned=1, on=1, threshold=0.5),
        "on must be another column than conditioned, got 1 twice",
    ),
    (
        lambda: conditioned_rewards(TWO, conditioned=0, on=1, threshold=NAN),
        "threshold must be finite, got NaN or infinity in 1 of 1",
    ),
    (
        lambda: conditioned_rewards(TWO * 1j, conditioned=0, on=1, threshold=0.5),
        "rewards must be floating point, got torch.complex64",
    ),
    (lambda: informative_groups(TWO, 2), "accuracies must have shape (*,), got (4, 2)"),
    (
        lambda: informative_groups(FOUR, 3),
        ("accuracies must hold a positive multiple of num_generations=3 rows, got 4"),
    ),
    (
        lambda: informative_groups(FOUR, 2, rule="accuracy"),
        "rule must be one of ['open_interval', 'std'], got 'accuracy'",
    ),
    (
        lambda: informative_groups(T([1.0, NAN]), 2),
        "accuracies must be finite, got NaN or infinity in 1 of 2",
    ),
    (
        lambda: informative_groups(T([1.0, -1.0]), 2),
        "accuracies must be a number in [0.0, 1.0], got -1.0",
    ),
    (
        lambda: informative_groups(T([0.0, 2.0]), 2),
        "accuracies must be a number in [0.0, 1.0], got 2.0",
    ),
    (
        lambda: check_shape("x", torch.ones(2), (2, None)),
        "x must have shape (2, *), got (2,)",
    ),
    (
        lambda: check_same_shape("x", torch.ones(2), "y", torch.ones(3)),
        "x must have the shape of y (3,), got (2,)",
    ),
    (lambda: check_float("x", "text"), "x must be a tensor, got str"),
    (
        lambda: check_finite("x", T([1.0, NAN, INF])),
        "x must be finite, got NaN or infinity in 2 of 3",
    ),
    (
        lambda: check_mask("x", T([2]), (1,)),
        "x must hold only 0 and 1, got other values",
    ),
    (
        lambda: check_choice("x", "a", ("b", "c")),
        "x must be one of ['b', 'c'], got 'a'",
    ),
    (lambda: check_range("x", 2, low=0, high=1), "x must be a number in [0, 1], got 2"),
    (
        lambda: check_range("x", 0, low=0, low_open=True),
        "x must be a number in (0, inf], got 0",
    ),
    (lambda: check_range("x", NAN), "x must be a number in [-inf, inf], got nan"),
    (lambda: check_range("x", None), "x must be a number in [-inf, inf], got None"),
    (
        lambda: check_range("x", 0.5, integer=True),
        "x must be an integer in [-inf, inf], got 0.5",
    ),
    (
        lambda: check_groups("x", 5, 2),
        "x must hold a positive multiple of num_generations=2 rows, got 5",
    ),
]


@pytest.mark.parametrize(
    ("call", "message"), CASES, ids=[str(number) for number in range(len(CASES))]
)
def test_message_names_the_argument_what_came_and_what_was_expected(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == message
