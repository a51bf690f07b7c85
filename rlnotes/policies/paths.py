"""PATHS: the lean computations that give a model's plain forward, found out once."""

from __future__ import annotations

from dataclasses import asdict, dataclass

INSTEAD = {
    "cached": "sampling reads every row again for each token",
    "packed": "prompts are read once a completion",
    "bucketed": "rows of one length are read at a time",
    "fused": "the loss takes the logits of the model itself",
}


@dataclass(frozen=True)
class Paths:
    """For each lean path "" where it gives the plain forward's numbers, else why not.

    cached: keys and values kept while sampling. packed: a prompt and its completions in
    one row. bucketed: rows of like length, padded on the right. fused: the head as h·Wᵀ
    by chunks. padded: rows padded on the left with a mask alone, as TRL reads them.
    """

    cached: str = ""
    packed: str = ""
    bucketed: str = ""
    fused: str = ""
    padded: str = ""

    def describe(self) -> list[str]:
        """What is computed the plain way and why, a line each; [] for most models."""
        found = asdict(self).items()
        ours = ((name, why) for name, why in found if name in INSTEAD)
        return [f"{INSTEAD[name]} ({why})" for name, why in ours if why]


UNKNOWN = Paths(packed="not compared yet")
"""What holds for a model that nobody has looked at: rows side by side are right."""
