"""How good the behavior detectors are: precision and recall on hand-labelled responses.

A label row is {"source": "search" | …, "prompt", "completion", "labels": {behavior:
bool}}; what to label and how stands in data/labels/README.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlnotes.analysis.intervals import wilson_interval
from rlnotes.reflection.lab import BEHAVIORS, lab_reflection, search_question
from rlnotes.reflection.text import text_behaviors
from rlnotes.rewards.rewards import completion_text

if TYPE_CHECKING:
    import pandas as pd

Behaviors = Mapping[str, bool]


def detect_behaviors(prompt: object, completion: object) -> dict[str, bool]:
    """The four behaviors: exact for a search question's response, else by patterns."""
    text = completion_text(completion)
    task = search_question(prompt)
    if task is None:
        return text_behaviors(text)
    return lab_reflection(text, task).behaviors()


def detector_scores(
    labels: Sequence[Behaviors], detected: Sequence[Behaviors]
) -> pd.DataFrame:
    """Precision and recall of each behavior with Wilson intervals, one row each.

    support    responses labelled yes        detected   responses detected
    precision  both / detected               recall     both / support

    NaN where there is nothing to share. Raises ValueError for no labels, another number
    of `detected`, or a row that does not say true or false to all four behaviors.
    """
    import pandas as pd

    if not labels or len(labels) != len(detected):
        raise ValueError(
            "labels and detected must be as many, and some,"
            f" got {len(labels)} and {len(detected)}"
        )
    for name, rows in (("labels", labels), ("detected", detected)):
        for index, row in enumerate(rows):
            _check_behaviors(f"{name}[{index}]", row)
    return pd.DataFrame([_score(name, labels, detected) for name in BEHAVIORS])


def read_labels(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a label file; ValueError naming the first line that is none."""
    rows = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                missing = {"source", "prompt", "completion", "labels"} - set(row)
            except (ValueError, TypeError):
                raise ValueError(f"{path}, line {number}: no JSON object") from None
            if missing:
                raise ValueError(f"{path}, line {number}: without {sorted(missing)}")
            _check_behaviors(f"{path}, line {number}: labels", row["labels"])
            rows.append(row)
    return rows


def score_labels(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`detector_scores` of our detectors on label rows, for each source."""
    import pandas as pd

    tables = []
    for source in sorted({row["source"] for row in rows}):
        own = [row for row in rows if row["source"] == source]
        detected = [detect_behaviors(row["prompt"], row["completion"]) for row in own]
        table = detector_scores([row["labels"] for row in own], detected)
        table.insert(0, "source", source)
        tables.append(table.assign(responses=len(own)))
    return pd.concat(tables, ignore_index=True)


def _score(
    name: str, labels: Sequence[Behaviors], detected: Sequence[Behaviors]
) -> dict[str, Any]:
    support = sum(row[name] for row in labels)
    found = sum(row[name] for row in detected)
    both = sum(a[name] and b[name] for a, b in zip(labels, detected, strict=True))
    scores: dict[str, Any] = {"behavior": name, "support": support, "detected": found}
    for kind, share in (
        ("precision", wilson_interval(both, found)),
        ("recall", wilson_interval(both, support)),
    ):
        scores |= {kind: share.estimate, f"{kind}_low": share.low}
        scores |= {f"{kind}_high": share.high}
    return scores


def _check_behaviors(where: str, row: object) -> None:
    known = isinstance(row, Mapping) and all(
        isinstance(row.get(name), bool) for name in BEHAVIORS
    )
    if not known:
        raise ValueError(f"{where} must give true or false to {BEHAVIORS}, got {row!r}")
