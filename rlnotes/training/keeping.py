"""KEEPING: the trained policy in its run's folder, as `save_policy` asks.

    <run>/policy/                  whole, when the run is
    <run>.partial/best/step40/     with "best": the best so far, and the one before it

A kill leaves each of them whole or absent, and the run resumable.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rlnotes.policies.kept import (
    CARD,
    SETTINGS,
    as_size,
    bytes_on_disk,
    check_room,
    save_policy,
)
from rlnotes.records.card import model_card

if TYPE_CHECKING:
    from rlnotes.policies.policy import Policy
    from rlnotes.records.recording import RunRecorder
    from rlnotes.training.config import Config

_BETTER = "eval/sampled_accuracy"


def check_keeping(
    config: Config,
    policy: Policy,
    output: str | os.PathLike[str] | None,
    *,
    evaluations: bool,
    say: bool = True,
) -> None:
    """Say what the kept policy will take; raise before anything is written.

    ValueError for "best" without evaluations, RuntimeError where there is no room.
    """
    if not config.save_policy or output is None:
        return
    if config.save_policy == "best" and not evaluations:
        raise ValueError("save_policy='best' needs evaluations, got evaluations=False")
    copies = 2 if config.save_policy == "best" else 1
    size = bytes_on_disk(policy) * copies
    free = check_room(Path(output), size)
    if not say:
        return
    twice = ", two copies while it runs" if copies == 2 else ""
    print(
        f"rlnotes: the policy will be kept in {output}/policy, {as_size(size)}{twice}"
        f" ({as_size(free)} free)",
        file=sys.stderr,
    )


class PolicyKeeper:
    """Writes the policy of a run; without a record, or with False, it does nothing."""

    def __init__(self, config: Config, record: RunRecorder | None) -> None:
        self.config = config
        self.record = record if config.save_policy else None
        self._best: tuple[float, int] | None = None
        if self.record is not None:
            self._take_up(self.record)

    def is_better(self, row: dict[str, float]) -> bool:
        """Whether the evaluation in a step's row asks for the policy to be kept."""
        if self.record is None or self.config.save_policy != "best":
            return False
        score = row.get(_BETTER)
        return score is not None and (self._best is None or score > self._best[0])

    def keep(self, row: dict[str, float], policy: Policy) -> None:
        """Keep the policy of a step whose evaluation `is_better`."""
        assert self.record is not None
        step, before = int(row["step"]), self._best
        shutil.rmtree(self._folder(step), ignore_errors=True)
        self._save(policy, self._folder(step), step)
        self._best = (row[_BETTER], step)
        for folder in self._folder(step).parent.iterdir():
            if folder not in (self._folder(step), self._folder(before and before[1])):
                shutil.rmtree(folder)

    def finish(self, step: int, policy: Policy) -> None:
        """Put `policy/` into the whole run: the best one, or that of the last step."""
        if self.record is None:
            return
        final = self.record.partial / "policy"
        shutil.rmtree(final, ignore_errors=True)
        if self._best is None:
            self.record.note(policy_step=step)
            self._save(policy, final, step)
            return
        self.record.note(policy_step=self._best[1])
        os.replace(self._folder(self._best[1]), final)
        shutil.rmtree(final.with_name("best"))

    def _take_up(self, record: RunRecorder) -> None:
        """What an interrupted run has kept: the best of the steps it goes on from."""
        final, step = record.partial / "policy", record.meta.get("policy_step")
        scores = {r["step"]: r[_BETTER] for r in record.rows if _BETTER in r}
        if self.config.save_policy == "best" and final.is_dir() and step in scores:
            shutil.rmtree(self._folder(step), ignore_errors=True)
            self._folder(step).parent.mkdir(exist_ok=True)
            os.replace(final, self._folder(step))  # killed behind `finish`
        kept = [(x, -step) for step, x in scores.items() if self._folder(step).is_dir()]
        if kept and self.config.save_policy == "best":
            score, step = max(kept)
            self._best = (score, -step)
        else:
            shutil.rmtree(record.partial / "best", ignore_errors=True)

    def _folder(self, step: int | None) -> Path:
        assert self.record is not None
        return self.record.partial / "best" / f"step{step}"

    def _save(self, policy: Policy, folder: Path, step: int) -> None:
        record, config = self.record, self.config
        assert record is not None
        fields: dict[str, Any] = record.config
        rows = [row for row in record.rows if row["step"] <= step]
        name = record.folder.name
        try:
            save_policy(
                policy,
                folder,
                temperature=config.temperature,
                max_new_tokens=config.max_completion_length,
                texts={
                    CARD: model_card(name, fields, record.meta, rows, step),
                    SETTINGS: yaml.safe_dump(fields, sort_keys=False),
                },
            )
        except OSError as error:
            raise OSError(
                f"{error}; the run stays in {record.partial}: --resume goes on from its"
                " last saved state, with save_policy=false without keeping the policy"
            ) from None
