"""The worked group: four completions of one prompt, with fixed log-probabilities.

Every notebook puts its formula through these same numbers, so that two algorithms can
be compared token by token. The numbers are made up, once, and cover each case: ratios
inside the clip range, between 1.2 and 1.28 (clipped by GRPO, not by DAPO), beyond it
on both sides and for both signs of the advantage, and a completion that hit the limit.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlnotes.equations.masking import completion_mask_from_ids

PROMPT = "What is 7 * 8?"
END = "<end>"

# token, log π_old, log π, log π_ref (nats); only sampled tokens, the end included
_COMPLETIONS: tuple[tuple[tuple[str, float, float, float], ...], ...] = (
    (
        ("5", -1.20, -0.98, -1.25),
        ("6", -0.70, -0.60, -0.80),
        (END, -0.90, -0.55, -1.10),
    ),
    (
        ("7*8", -2.30, -2.35, -2.25),
        ("=", -0.20, -0.20, -0.22),
        ("5", -0.40, -0.45, -0.40),
        ("4", -1.60, -2.00, -1.50),
        (END, -0.50, -0.35, -0.60),
    ),
    (
        ("7", -1.10, -1.00, -1.05),
        (" *", -0.15, -0.12, -0.20),
        (" 8", -0.10, -0.10, -0.11),
        (" =", -0.30, -0.26, -0.30),
        (" 5", -0.60, -0.37, -0.75),
        ("6", -0.80, -1.10, -0.70),
        (END, -0.40, -0.30, -0.50),
    ),
    (
        ("Let", -2.00, -2.10, -1.90),
        (" me", -0.30, -0.30, -0.28),
        (" see", -1.00, -1.05, -1.00),
        (":", -1.40, -1.30, -1.30),
        (" 7", -0.50, -0.52, -0.50),
        (" *", -0.25, -0.25, -0.30),
        (" 8", -0.12, -0.12, -0.15),
        (" is", -0.90, -0.95, -0.85),
        (" maybe", -2.60, -2.25, -2.70),
        (" 50", -1.90, -2.30, -1.80),
        (" or", -1.00, -1.10, -1.00),
        (" 54", -1.50, -1.48, -1.40),
    ),
)
_REWARDS = (1.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class WorkedGroup:
    """One prompt, G = 4 completions, T = 12 columns; rows as in `Rollouts`.

    Log-probabilities are in nats, float32, and 0 outside the mask. As in many
    tokenizers the padding token is the end token.
    """

    prompt: str
    texts: list[str]
    """(4,) what a reader sees, without the end token."""
    tokens: list[list[str]]
    """(4, |o_i|) the sampled tokens, the end token as "<end>"."""
    completion_ids: Tensor
    """(4, 12) int64, padded with `pad_token_id`."""
    completion_mask: Tensor
    """(4, 12) int64, 1 up to and including the end."""
    rewards: Tensor
    """(4,) 1 if the answer is right."""
    old_per_token_logps: Tensor
    """(4, 12) log π_old(o_t): the policy that sampled."""
    per_token_logps: Tensor
    """(4, 12) log π(o_t): the policy being updated, some steps later."""
    ref_per_token_logps: Tensor
    """(4, 12) log π_ref(o_t): the frozen policy of the KL term."""
    truncated: Tensor
    """(4,) bool, true where the limit of 12 tokens cut the completion off."""
    eos_token_id: int
    pad_token_id: int
    num_generations: int


def worked_group() -> WorkedGroup:
    """Build the worked group, with fresh tensors at each call.

    Lengths 3, 5, 7, 12; rewards 1, 0, 1, 0; the last completion is truncated.
    """
    tokens = [[token for token, *_ in row] for row in _COMPLETIONS]
    columns = max(len(row) for row in tokens)
    words = sorted({token for row in tokens for token in row} - {END})
    vocabulary = {token: index for index, token in enumerate([END, *words])}
    completion_ids = torch.zeros(len(tokens), columns, dtype=torch.long)
    logps = torch.zeros(3, len(tokens), columns)
    for i, row in enumerate(_COMPLETIONS):
        for t, (token, *numbers) in enumerate(row):
            completion_ids[i, t] = vocabulary[token]
            logps[:, i, t] = torch.tensor(numbers)
    old_per_token_logps, per_token_logps, ref_per_token_logps = logps
    return WorkedGroup(
        prompt=PROMPT,
        texts=["".join(row).removesuffix(END) for row in tokens],
        tokens=tokens,
        completion_ids=completion_ids,
        completion_mask=completion_mask_from_ids(completion_ids, [vocabulary[END]]),
        rewards=torch.tensor(_REWARDS),
        old_per_token_logps=old_per_token_logps,
        per_token_logps=per_token_logps,
        ref_per_token_logps=ref_per_token_logps,
        truncated=torch.tensor([row[-1] != END for row in tokens]),
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
        num_generations=len(tokens),
    )
