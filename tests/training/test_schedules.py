"""The learning rate of a step: warm-up, then constant or cosine."""

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup

from rlnotes.training.config import make_config
from rlnotes.training.schedules import learning_rate_share


@pytest.mark.parametrize("warmup", [0, 3])
def test_cosine_is_that_of_transformers_after_the_warm_up(warmup):
    config = make_config(max_steps=10, warmup_steps=warmup, lr_scheduler_type="cosine")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = get_cosine_schedule_with_warmup(optimizer, warmup, 10)
    for step in range(1, 11):
        if step > warmup:
            share = learning_rate_share(config, step)
            assert share == pytest.approx(theirs.get_last_lr()[0])
            assert share > 0
        optimizer.step()
        theirs.step()


def test_warm_up_is_linear_and_ends_at_one():
    for kind in ("constant", "cosine"):
        config = make_config(max_steps=9, warmup_steps=4, lr_scheduler_type=kind)
        shares = [learning_rate_share(config, step) for step in (1, 2, 3, 4, 5)]
        assert shares == [0.25, 0.5, 0.75, 1, 1]
    constant = make_config(max_steps=9)
    assert [learning_rate_share(constant, s) for s in (1, 5, 9)] == [1, 1, 1]


@pytest.mark.parametrize("warmup", [5, 6])
def test_a_warm_up_that_leaves_no_cosine_is_refused_by_name(warmup):
    with pytest.raises(ValueError, match=f"warmup_steps={warmup} must be below"):
        make_config(max_steps=5, warmup_steps=warmup, lr_scheduler_type="cosine")
