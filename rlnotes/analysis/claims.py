"""A claim of a paper against recorded runs: a difference, an interval, a verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from rlnotes.analysis.intervals import Interval
from rlnotes.analysis.statistics import at_equal, final_scores, paired_difference
from rlnotes.equations.validation import check_choice

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["reproduced", "not reproduced", "reversed", "undecided"]


@dataclass(frozen=True)
class Claim:
    """What a slide says, and the difference between two arms that would show it."""

    slide: str
    claim: str
    figure: str
    """The paper's figure, table or section."""
    metric: str
    """A log key, or a column that the runs were given before."""
    first: str
    second: str
    """Arms; the difference is `first` minus `second`."""
    sign: Literal[1, -1]
    """Of the difference, if the claim holds."""
    margin: float
    """A difference smaller than this would not matter, in the unit of `metric`."""
    section: str
    """Of the notebook."""
    last: int = 10
    """Logged values that are averaged at the end of a run; evaluations log fewer."""
    at: float | None = None
    """Completions at which both arms are read off; None: at equal steps."""


def verdict(interval: Interval, *, sign: int, margin: float) -> Verdict:
    """What a 95 % interval of a difference says of a claim about its sign.

        reproduced       the whole interval has the claimed sign
        reversed         the whole interval has the other sign
        not reproduced   it holds 0 and lies within ± `margin`: no effect that matters
        undecided        anything else: more seeds are needed

    `sign` is 1 or -1. Raises ValueError for another, or a margin of 0 or less.
    """
    check_choice("sign", sign, (1, -1))
    if not margin > 0:
        raise ValueError(f"margin must be > 0, got {margin!r}")
    low, high = sorted((sign * interval.low, sign * interval.high))
    if low > 0:
        return "reproduced"
    if high < 0:
        return "reversed"
    return "not reproduced" if -margin < low and high < margin else "undecided"


def judge(claim: Claim, runs: pd.DataFrame) -> dict[str, Any]:
    """The claim's row of `data/claims.csv`; `algorithm` of `runs` is the arm."""
    both = runs[runs["algorithm"].isin([claim.first, claim.second])]
    if claim.at is None:
        scores = final_scores(both, claim.metric, last=claim.last)
    else:
        both = both.fillna({"num_completions": 0.0})
        equal = at_equal(both, claim.metric, "num_completions", [claim.at])
        scores = final_scores(equal, claim.metric, last=1)
    found = paired_difference(scores, claim.metric, claim.first, claim.second).interval
    return claim_row(claim, found)


def claim_row(claim: Claim, found: Interval) -> dict[str, Any]:
    """The row of a claim whose difference is `found`, with the verdict on it."""
    row = {k: v for k, v in asdict(claim).items() if k not in ("last", "section")}
    return {
        **row,
        "value": round(found.estimate, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "seeds": found.n,
        "verdict": verdict(found, sign=claim.sign, margin=claim.margin),
        "section": claim.section,
    }
