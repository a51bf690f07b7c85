"""A rule of one's own for `reward_weighting`: brevity counts where somebody is right.

python experiments/gdpo.py own --rule experiments/where_right.py:rule --seeds 0
"""

import torch


def rule(rewards, num_generations):
    """Weights (N, K): 1 for the first reward, the share that earned it for the rest.

    `rewards` (N, K) holds the prompts' groups one after another, NaN for None. In a
    group in which nobody is right the other rewards are switched off.
    """
    right = rewards[:, 0].view(-1, num_generations).mean(1)
    weights = torch.ones_like(rewards)
    weights[:, 1:] = right.repeat_interleave(num_generations)[:, None]
    return weights
