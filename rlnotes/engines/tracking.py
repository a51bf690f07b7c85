"""TRACKERS: TensorBoard for our own loop, an `on_step` hook; where TRL's writes.

with reporter("tensorboard", folder) as board:
    train(config, output=folder, on_step=board)
tensorboard --logdir runs/tensorboard
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from rlnotes.equations.validation import check_choice


def tensorboard_folder(output: str | Path) -> Path:
    """Where a run's events lie: `tensorboard/<run>` beside the run's folder.

    Not in it: the folder is renamed when the run ends, and holds the record alone.
    """
    output = Path(output)
    return output.parent / "tensorboard" / output.name


class TensorBoard:
    """Writes each row of metrics as scalars under their own names, x = step.

    Nothing is written before the first row. Raises ValueError without tensorboard.
    """

    def __init__(self, output: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ValueError(
                "report_to: tensorboard is not installed (pip install tensorboard)"
            ) from None
        self._make, self._folder = SummaryWriter, tensorboard_folder(output)
        self._writer: SummaryWriter | None = None

    def __call__(self, row: dict[str, float]) -> None:
        """Write the row of one step."""
        self._writer = self._writer or self._make(str(self._folder))
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(row["step"]))

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def reporter(
    report_to: str | None, output: str | Path
) -> AbstractContextManager[TensorBoard | None]:
    """The `on_step` hook of our own loop that `report_to` asks for; "none" gives None.

    Raises ValueError for another tracker: TRL's engine has more of them.
    """
    name = tracker(report_to, output)
    check_choice("report_to", name, ("tensorboard", "none"))
    if name == "none":
        return contextlib.nullcontext()
    return contextlib.closing(TensorBoard(output))


def tracker(report_to: str | None, output: str | Path | None) -> str:
    """What is asked for, or tensorboard where a run is recorded and it is installed."""
    installed = any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX")))
    if report_to == "tensorboard" and not installed:
        raise ValueError(
            "report_to: tensorboard is not installed (pip install tensorboard)"
        )
    if report_to is None:
        return "tensorboard" if installed and output is not None else "none"
    return report_to


@contextlib.contextmanager
def beside_the_run(output: str | Path | None) -> Iterator[None]:
    """TRL's tensorboard writes beside the run, unless the user has said where."""
    name = "TENSORBOARD_LOGGING_DIR"
    if output is None or name in os.environ:
        yield
        return
    os.environ[name] = str(tensorboard_folder(output))
    try:
        yield
    finally:
        del os.environ[name]
