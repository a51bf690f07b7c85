"""From preferences and rubrics to one number: what rewards open-ended answers.

Bradley-Terry, the win rate within a group, an ensemble's lower bound, a rubric's sum.
"""

from torch import Tensor
from torch.nn.functional import logsigmoid

from .validation import (
    check_finite,
    check_float,
    check_groups,
    check_range,
    check_shape,
)


def bradley_terry_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Negative log-likelihood of pairwise preferences under scalar scores.

    L = −mean log σ(r_chosen − r_rejected)

    Bradley and Terry, 1952; InstructGPT (Ouyang et al., 2022) Eq 1. A constant added to
    every score changes nothing. (N,) and (N,) → scalar. Raises ValueError for other
    shapes or a score that is not finite.
    """
    check_shape("chosen", chosen, (None,))
    check_shape("rejected", rejected, (chosen.shape[0],))
    chosen = check_float("chosen", chosen, integers=True)
    rejected = check_float("rejected", rejected, integers=True)
    check_finite("chosen", chosen)
    check_finite("rejected", rejected)
    return -logsigmoid(chosen - rejected).mean()


def win_rates(scores: Tensor, num_generations: int) -> Tensor:
    """Share of the other completions of its prompt that each completion beats.

    w_i = 1/(G−1) · Σ_{j≠i} (1[s_i > s_j] + ½·1[s_i = s_j]) ∈ [0, 1]

    Pref-GRPO (2508.20751) rewards it in place of the score: a group's gaps count by
    their order alone, so that dividing by a tiny std cannot blow them up.

    Args:
        scores: (N,), the G completions of a prompt one after another.
        num_generations: G ≥ 2.

    Returns:
        (N,) win rates; their mean over a group is ½.

    Raises:
        ValueError: not (N,), N not a multiple of G, G < 2, a score not finite.
    """
    check_shape("scores", scores, (None,))
    check_range("num_generations", num_generations, low=2, integer=True)
    check_groups("scores", scores.shape[0], num_generations)
    scores = check_float("scores", scores, integers=True)
    check_finite("scores", scores)
    groups = scores.view(-1, num_generations)
    mine, theirs = groups[:, :, None], groups[:, None, :]
    wins = (mine > theirs).to(scores) + 0.5 * (mine == theirs).to(scores)
    return ((wins.sum(2) - 0.5) / (num_generations - 1)).view(-1)


def ensemble_lower_bound(scores: Tensor, *, k: float = 1.0) -> Tensor:
    """What an ensemble of reward models agrees on: its mean less its disagreement.

    r_i = mean_m s_mi − k·std_m s_mi

    Coste et al., 2023 (uncertainty-weighted: the variance in place of the std). It
    guards against what the members learnt differently, not against what all learnt.

    Args:
        scores: (M, N), M ≥ 2 models; shifts and scales of the models are the caller's.
        k: ≥ 0; 0 is the mean.

    Returns:
        (N,); the std is the biased one, over the M models.

    Raises:
        ValueError: not (M, N), fewer than two models, k < 0, a score not finite.
    """
    check_shape("scores", scores, (None, None))
    check_range("number of models", scores.shape[0], low=2, integer=True)
    check_range("k", k, low=0.0)
    scores = check_float("scores", scores, integers=True)
    check_finite("scores", scores)
    return scores.mean(0) - k * scores.std(0, correction=0)


def rubric_scores(criteria: Tensor, weights: Tensor) -> Tensor:
    """Explicit aggregation of a rubric: the weighted share of the criteria met.

    r_i = Σ_k w_k c_ik / Σ_k w_k ∈ [0, 1]

    Rubrics as Rewards (2507.17746): essential 1.0, important 0.7, optional 0.3,
    pitfall 0.9, met where it is avoided.

    Args:
        criteria: (N, K), each in [0, 1].
        weights: (K,), ≥ 0 and not all 0.

    Returns:
        (N,) scores, float32 or better.

    Raises:
        ValueError: other shapes, a criterion outside [0, 1], a negative weight.
    """
    check_shape("criteria", criteria, (None, None))
    check_shape("weights", weights, (criteria.shape[1],))
    criteria = check_float("criteria", criteria, integers=True)
    weights = check_float("weights", weights, integers=True).to(criteria)
    if not bool(((criteria >= 0) & (criteria <= 1)).all()):
        raise ValueError("criteria must lie in [0, 1], got a value outside or NaN")
    if not bool((weights >= 0).all()) or not bool(weights.sum() > 0):
        raise ValueError(f"weights must be >= 0 and not all 0, got {weights.tolist()}")
    return criteria @ weights / weights.sum()
