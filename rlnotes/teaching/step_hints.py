"""Hints for the exercises of the first page, from a reward to a gradient."""

from typing import Any

import torch

from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.teaching.answers import Hints, gives, predicted


def step_1() -> Hints:
    """(π (A,), r (A,)) → ∂J/∂logits."""
    for chances, values in (([0.05, 0.45, 0.5], [1, 0.7, 0]), ([0.5, 0.5], [2, 4])):
        pi, reward = torch.tensor(chances), torch.tensor(values, dtype=torch.float32)
        logits = pi.log().requires_grad_()
        expected = (logits.softmax(0) * reward).sum()
        (gradient,) = torch.autograd.grad(expected, logits)
        hint = "each arm: its probability times how much it pays above J"
        yield gives(gradient, pi, reward), hint


def step_2() -> Hints:
    """Change of the exact gradient when 10 is added to every reward."""
    yield predicted, "replace None by your prediction"
    yield gives(0.0), "the probabilities still add up to 1: a constant is a baseline"


def step_3() -> Hints:
    """Ratios of three arms."""
    yield predicted, "replace None by your prediction"
    new, old = torch.tensor([0.2, 0.6, 0.2]), torch.tensor([0.05, 0.45, 0.5])
    inverse = gives(old / new)
    yield lambda answer: not inverse(answer), "new over old, not old over new"
    yield gives(new / old), "new probability over old one, for each arm"


def step_4() -> Hints:
    """Advantage of the only right one of eight."""
    yield predicted, "replace None by your prediction"
    rewards = torch.eye(8)[0]
    right = group_relative_advantages(rewards, 8)[0]

    def close(answer: Any) -> bool:
        return abs(float(answer) - float(right)) < 0.01

    biased = group_relative_advantages(rewards, 8, correction=0)[0]
    yield lambda answer: not gives(biased)(answer), "the std divides by G − 1, not G"
    yield close, "1 less the mean of the group, over the std of the group"


def step_5() -> Hints:
    """(logits (N, T, V), ids (N, T)) → log-probs of the ids (N, T)."""
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[0, 4, 2], [1, 1, 3]])
    chosen = torch.distributions.Categorical(logits=logits).log_prob(ids)
    hint = "log_softmax over the vocabulary, then gather along the same dimension"
    yield gives(chosen, logits, ids), hint
