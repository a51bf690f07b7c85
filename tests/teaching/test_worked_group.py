"""The worked group: the shape that the notebooks promise, and every case covered."""

import pytest
import torch

from rlnotes.equations.group_advantages import group_relative_advantages
from rlnotes.teaching.worked_group import WorkedGroup, worked_group


@pytest.fixture
def group() -> WorkedGroup:
    return worked_group()


def test_texts_lengths_rewards(group: WorkedGroup) -> None:
    assert group.prompt == "What is 7 * 8?"
    assert group.texts[:3] == ["56", "7*8=54", "7 * 8 = 56"]
    assert group.completion_mask.sum(dim=1).tolist() == [3, 5, 7, 12]
    assert [len(row) for row in group.tokens] == [3, 5, 7, 12]
    assert group.rewards.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert group.truncated.tolist() == [False, False, False, True]
    right = [text.endswith("56") for text in group.texts]
    assert right == group.rewards.bool().tolist()


def test_mask_keeps_the_end_token_that_a_pad_comparison_drops(
    group: WorkedGroup,
) -> None:
    not_pad = (group.completion_ids != group.pad_token_id).long()
    lost = group.completion_mask.sum(dim=1) - not_pad.sum(dim=1)
    assert lost.tolist() == [1, 1, 1, 0]


def test_log_probs_are_log_probs_under_the_mask_and_zero_outside(
    group: WorkedGroup,
) -> None:
    keep = group.completion_mask.bool()
    for logps in (
        group.per_token_logps,
        group.old_per_token_logps,
        group.ref_per_token_logps,
    ):
        assert logps.shape == (4, 12)
        assert logps.dtype == torch.float32
        assert bool((logps[keep] < 0).all())
        assert bool((logps[~keep] == 0).all())


def test_ratios_cover_every_region_of_the_clip(group: WorkedGroup) -> None:
    ratio = (group.per_token_logps - group.old_per_token_logps).exp()
    advantages = group_relative_advantages(group.rewards, 4)[:, None].expand(4, 12)
    keep = group.completion_mask.bool()
    up, down = keep & (advantages > 0), keep & (advantages < 0)
    for sign in (up, down):
        assert bool((sign & (ratio > 1.28)).any())
        assert bool((sign & (ratio < 0.8)).any())
        assert bool((sign & (ratio > 0.8) & (ratio < 1.2)).any())
    assert bool((up & (ratio > 1.2) & (ratio < 1.28)).any())
    assert bool((keep & (ratio == 1.0)).any())


def test_each_call_is_fresh_and_the_group_is_frozen(group: WorkedGroup) -> None:
    group.rewards.add_(1.0)
    assert worked_group().rewards.tolist() == [1.0, 0.0, 1.0, 0.0]
    with pytest.raises(AttributeError):
        group.num_generations = 5  # type: ignore[misc]
