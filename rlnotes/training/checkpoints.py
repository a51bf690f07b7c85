"""RESUMPTION: a killed run goes on from its last saved state, to the same bits.

    <run>.partial/state.pt      weights, optimizer moments, counters, random state

What a step draws is a function of (seed, step), so this and the step's number are all
that a run consists of. The rows and samples behind the saved step are cut off and made
again. The file is replaced at once and goes when the run is whole.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlnotes.records.recording import RunRecorder
    from rlnotes.training.learner import Learner

_SAVING_SHARE = 0.05  # of the time, where `save_steps` leaves it open


class Checkpoints:
    """Saves a learner's state into its run folder when it is due, and reads it back.

    `save_steps` as in `SaveClock`. Without a record nothing is saved.
    """

    def __init__(
        self, learner: Learner, record: RunRecorder | None, save_steps: int | None
    ) -> None:
        self.learner, self.record, self.clock = learner, record, SaveClock(save_steps)

    def restore(self) -> int:
        """Bring the learner to the saved step and return it; −1: nothing is saved.

        Raises ValueError for a state that TRL's engine has saved.
        """
        import torch

        state = None if self.record is None else self.record.take_state()
        if state is None:
            return -1
        if "learner" not in state:
            raise ValueError(
                "resume: the run was started by engine='trl', got 'rlnotes'"
            )
        self.learner.load_state_dict(state["learner"])
        torch.set_rng_state(state["rng"])
        return int(state["step"])

    def save(self, step: int, *, now: bool = False) -> None:
        """Save the state after `step`, if it is due, or `now`."""
        import torch

        if self.record is None or not (now or self.clock.is_due(step)):
            return
        self.clock.begin()
        learner, rng = self.learner.state_dict(), torch.get_rng_state()
        self.record.save_state({"step": step, "learner": learner, "rng": rng})
        self.clock.end()


class SaveClock:
    """When to save: every `save_steps` steps, 0 never.

    None: when the time since the last save is twenty times what that one took.
    """

    def __init__(self, save_steps: int | None) -> None:
        self.save_steps = save_steps
        self._began = self._ended = time.perf_counter()

    def is_due(self, step: int) -> bool:
        """Whether to save after `step`."""
        if self.save_steps is not None:
            return self.save_steps > 0 and step % self.save_steps == 0
        waited = time.perf_counter() - self._ended
        return waited >= (self._ended - self._began) / _SAVING_SHARE

    def begin(self) -> None:
        """A save begins."""
        self._began = time.perf_counter()

    def end(self) -> None:
        """The save is on the disk."""
        self._ended = time.perf_counter()
