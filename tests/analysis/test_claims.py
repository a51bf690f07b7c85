"""Verdicts that follow from an interval, and the committed table of claims."""

from __future__ import annotations

import dataclasses
import importlib

import pandas as pd
import pytest

import rlnotes as rl
from rlnotes.analysis.claims import Claim, judge, verdict
from rlnotes.analysis.intervals import Interval


@pytest.mark.parametrize(
    ("low", "high", "sign", "expected"),
    [
        (0.01, 0.2, 1, "reproduced"),
        (0.01, 0.2, -1, "reversed"),
        (-0.2, -0.01, 1, "reversed"),
        (-0.2, -0.01, -1, "reproduced"),
        (-0.04, 0.03, 1, "not reproduced"),
        (-0.03, 0.04, -1, "not reproduced"),
        (-0.06, 0.03, 1, "undecided"),
        (-0.03, 0.06, -1, "undecided"),
        (0.0, 0.2, 1, "undecided"),
    ],
)
def test_the_verdict_follows_from_the_interval(
    low: float, high: float, sign: int, expected: str
) -> None:
    interval = Interval((low + high) / 2, low, high, 5)
    assert verdict(interval, sign=sign, margin=0.05) == expected


@pytest.mark.parametrize("wrong", [{"sign": 0}, {"margin": 0.0}, {"margin": -1.0}])
def test_a_verdict_needs_a_sign_and_a_margin(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        verdict(Interval(0.1, 0.0, 0.2, 5), **{"sign": 1, "margin": 0.1, **wrong})


def _runs() -> pd.DataFrame:
    """Two arms, five seeds, three steps: the first is 0.1 better and draws twice."""
    rows = []
    for arm, better, drawn in (("new", 0.1, 20.0), ("old", 0.0, 10.0)):
        for seed in range(5):
            for step in range(3):
                score = 0.01 * seed * (arm == "new") + better + 0.2 * step
                where = {"run": f"{arm}/{seed}", "algorithm": arm, "seed": seed}
                where |= {"task": "t", "policy": "p", "step": step}
                done = drawn * step if step else None
                rows.append({**where, "score": score, "num_completions": done})
    return pd.DataFrame(rows)


CLAIM = Claim("slide", "better", "Fig 1", "score", "new", "old", 1, 0.05, "here", 1)


def test_a_claim_is_judged_on_pairs_at_equal_steps_and_at_equal_samples() -> None:
    row = judge(CLAIM, _runs())
    assert row["value"] == pytest.approx(0.12) and row["seeds"] == 5
    assert row["low"] == pytest.approx(0.12 - 2.776 * 0.015811 / 5**0.5, abs=1e-4)
    assert row["verdict"] == "reproduced"
    # at 20 samples the first has made one step, the second two: 0.1 less 0.2
    equal = judge(dataclasses.replace(CLAIM, at=20.0), _runs())
    assert equal["value"] == pytest.approx(0.12 - 0.2)
    assert equal["verdict"] == "reversed"


def test_the_committed_verdicts_are_those_of_the_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(rl.project_folder() / "scripts"))
    claims = importlib.import_module("claims")
    committed = claims.CSV.read_text(encoding="utf-8")
    assert claims.claims_table().to_csv(index=False) == committed
