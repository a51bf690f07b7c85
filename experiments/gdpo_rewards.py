"""Rewards of `experiments/gdpo.py` that are no use anywhere else."""

from rlnotes.tasks.search_language import answered_operators


def answer_format_reward(completions, numbers, **columns):
    """1 if the response ends in one answer of as many words as there are operators."""
    pairs = zip(completions, numbers, strict=True)
    return [float(len(answered_operators(c)) == len(n) - 1) for c, n in pairs]
