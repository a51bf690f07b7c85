"""docs/notation.md: its names exist, the numbers of its worked group are computed."""

import dataclasses
import re
from pathlib import Path

import rlnotes
from rlnotes.equations.aggregation import token_weights
from rlnotes.equations.group_advantages import (
    group_relative_advantages,
    leave_one_out_advantages,
)
from rlnotes.teaching.worked_group import worked_group
from rlnotes.training.config import Config

PAGE = Path(__file__).parents[2] / "docs" / "notation.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_names_of_our_column_are_fields_tensors_or_functions():
    rows = [x.split(" | ") for x in TEXT.splitlines() if x.startswith("| $")]
    assert len(rows) > 20
    fields = {x.name for x in dataclasses.fields(Config)} | set(vars(Config))
    group = set(vars(worked_group())) | {"completion_mask"}
    tensors = {"prompt", "prompt_ids", "rewards", "rewards_per_func", "advantages"}
    tensors |= {"ratio", "coef_1", "values", "returns"}
    known = fields | group | tensors | set(dir(rlnotes))
    names = [n for row in rows for n in re.findall(r"`([a-z_0-9]+)", row[3])]
    assert [name for name in names if name not in known] == []


def test_the_worked_group_s_numbers():
    group = worked_group()
    mask, rewards = group.completion_mask, group.rewards
    columns = [
        group_relative_advantages(rewards, 4),
        group_relative_advantages(rewards, 4, scale_rewards="none"),
        leave_one_out_advantages(rewards, 4),
        token_weights(mask, loss_type="grpo")[:, 0],
        token_weights(mask, loss_type="dapo")[:, 0],
        token_weights(mask, loss_type="dr_grpo", max_completion_length=12)[:, 0],
    ]
    for i, text in enumerate(group.texts):
        row = next(x for x in TEXT.splitlines() if x.startswith(f"| {text} |"))
        cells = [x.strip() for x in row.strip("|").split("|")]
        ended = "yes" if group.truncated[i] else "no"
        assert cells[1:4] == [str(int(mask[i].sum())), f"{rewards[i]:.0f}", ended]
        for cell, column in zip(cells[4:], columns, strict=True):
            assert abs(float(cell.replace("−", "-")) - float(column[i])) < 5.1e-4
    by_pad = (group.completion_ids != group.pad_token_id).sum(1).tolist()
    assert by_pad == [2, 4, 6, 12] and "counts 2, 4, 6 and 12 tokens" in TEXT
