"""ENGINES: what makes the steps of a run. Our own loop, or TRL's trainer for many GPUs.

    engines.train(config, engine="trl", output=folder)

Both take the same `Config` and leave the same record; an engine is imported when used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlnotes.equations.validation import check_choice

if TYPE_CHECKING:
    from rlnotes.training.config import Config
    from rlnotes.training.loop import TrainingResult

ENGINES = ("rlnotes", "trl")


def train(config: Config, *, engine: str = "rlnotes", **options: Any) -> TrainingResult:
    """Train with an engine of `ENGINES`; the options are those of its own function.

    "rlnotes" is `training.loop.train`, "trl" is `engines.trl.train_with_trl`.
    Raises ValueError for another name, or when the config asks for what it cannot do.
    """
    check_choice("engine", engine, ENGINES)
    if engine == "trl":
        from rlnotes.engines.trl import train_with_trl

        return train_with_trl(config, **options)
    from rlnotes.training.loop import train as train_here

    return train_here(config, **options)
