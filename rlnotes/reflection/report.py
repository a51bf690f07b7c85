"""Reflection in completions: words, behavior and benefit, always together.

    report = reflect(["samples.jsonl"], words="r1", baseline="untrained.jsonl")
    report.table()        a row per training step, one for all, one for the baseline
    report.summary()      every rate beside the untrained policy's

More reflective words do not mean more self-correction, and neither means that it helps
(DeepSeek-R1 Fig 9; Dr. GRPO App D; oat-zero). So three layers: `words`; behavior, by
`lab` and `text`; `benefit`. Files may be of any length (`counts`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlnotes.reflection.benefit import compare_with_baseline
from rlnotes.reflection.counts import (
    Benefit,
    Counted,
    Counts,
    count_reflection,
    rates,
)
from rlnotes.reflection.responses import check_inputs
from rlnotes.reflection.words import WordList, load_words

if TYPE_CHECKING:
    import pandas as pd

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Report:
    """The counts of some files, and of the untrained policy if it was given."""

    words: WordList
    counted: Counted
    baseline: Counted | None

    def table(self) -> pd.DataFrame:
        """`rates` in a row for each step, one for all, one for the baseline.

        `part` is "step", "all" or "baseline"; `tokens_from` says what a token is.
        """
        import pandas as pd

        steps = self.counted.steps
        rows = [self._row("step", self.counted.by_step[step], step) for step in steps]
        rows.append(self._row("all", self.counted.total, None))
        if self.baseline is not None:
            rows.append(self._row("baseline", self.baseline.total, None))
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """Every rate over all steps, at the first and last step, and the baseline's.

        Difference and ratio are those of the last step, or of all without steps, to
        the untrained policy; there are none without it.
        """
        steps, by_step = self.counted.steps, self.counted.by_step
        columns = {"all": self.counted.total}
        if steps:
            columns |= {
                "first step": by_step[steps[0]],
                "last step": by_step[steps[-1]],
            }
        import pandas as pd

        table = pd.DataFrame(
            {name: rates(counts, self.words) for name, counts in columns.items()}
        )
        if self.baseline is None:
            return table
        last = dict(table.iloc[:, -1])
        compared = compare_with_baseline(last, rates(self.baseline.total, self.words))
        return table.join(compared.drop(columns="rate"))

    def benefit(self) -> pd.DataFrame:
        """Layer 3 of the files and of the untrained policy, one quantity a row.

        Raises ValueError unless both were counted with `benefit`.
        """
        import pandas as pd

        sides = {"completions": self.counted, "baseline": self.baseline}
        rows = []
        for part, side in sides.items():
            if side is None or side.benefit is None:
                raise ValueError("benefit was not counted for the files and a baseline")
            rows += [{"part": part, **row} for row in _benefit_rows(side.benefit)]
        return pd.DataFrame(rows)

    def _row(self, part: str, counts: Counts, step: float | None) -> dict[str, Any]:
        # all of one kind, or no comparison of their sums means anything
        kinds = {counts.responses: "length", 0: "white-space words"}
        return {
            "part": part,
            "step": step,
            "responses": counts.responses,
            "lab_responses": counts.lab_responses,
            "tokens": counts.tokens,
            "tokens_from": kinds.get(counts.measured, "mixed"),
            **rates(counts, self.words),
        }


def reflect(
    paths: Sequence[Path],
    *,
    words: str | os.PathLike[str] | WordList = "r1",
    baseline: Path | None = None,
    field: str = "completion",
    step_field: str = "step",
    strict: bool = False,
    benefit: bool = False,
    progress: bool = False,
) -> Report:
    """Count reflection in JSONL files of completions and in the untrained policy's.

    `words` is a name of `WORD_LISTS`, a file, or a WordList. Without a `baseline` the
    responses at step 0 are the untrained policy's, if there are any. `benefit` adds
    layer 3, needs a verdict in each record (`correct`, `accuracy`, or
    `rewards.accuracy_reward`) and a `baseline`. Raises what `load_words` and
    `count_reflection` raise, and ValueError for `benefit` without a baseline.
    """
    if benefit and baseline is None:
        raise ValueError("benefit compares with the untrained policy: give a baseline")
    word_list = words if isinstance(words, WordList) else load_words(words)
    check_inputs(paths)
    check_inputs([*paths, *([] if baseline is None else [baseline])])
    options: dict[str, Any] = {
        "field": field,
        "step_field": step_field,
        "strict": strict,
        "benefit": benefit,
        "progress": progress,
    }
    first = None
    if baseline is not None:
        first = count_reflection([baseline], word_list, **options)
    counted = count_reflection(paths, word_list, **options)
    return Report(word_list, counted, first or counted.untrained)


def _benefit_rows(benefit: Benefit) -> list[dict[str, Any]]:
    """n of an interval is the problems with both kinds of responses."""
    rows: list[dict[str, Any]] = []
    for kind, counts in benefit.matched.items():
        for quantity, found in (
            ("accuracy with reflection", {"estimate": counts.accuracy(reflected=True)}),
            ("accuracy without", {"estimate": counts.accuracy(reflected=False)}),
            ("difference, matched", vars(counts.difference())),
        ):
            rows.append({"reflection": kind, "quantity": quantity, **found})
    n = benefit.flips.responses
    for quantity, value in benefit.flips.rates().items():
        row = {"reflection": "words", "quantity": quantity, "estimate": value, "n": n}
        rows.append(row)
    return rows
