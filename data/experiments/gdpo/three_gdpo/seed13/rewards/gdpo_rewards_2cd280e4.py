"""Rewards of `experiments/gdpo.py` that are no use anywhere else."""

from rlnotes.rewards.rewards import completion_text
from rlnotes.tasks.search_language import answered_operators


def answer_format_reward(completions, numbers, **columns):
    """1 if the response ends in one answer of as many words as there are operators."""
    pairs = zip(completions, numbers, strict=True)
    return [float(len(answered_operators(c)) == len(n) - 1) for c, n in pairs]


def integer_reward(completions, **columns):
    """1 if what stands in the last <answer> block is digits: the GDPO authors' demo."""
    answers = [completion_text(c).rpartition("<answer>")[2] for c in completions]
    answers = [text.partition("</answer>")[0].strip() for text in answers]
    return [float(text.isascii() and text.isdigit()) for text in answers]
