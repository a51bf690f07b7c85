"""HUB: one look whether it answers, so that nobody waits for retries that cannot help.

The hub's client repeats a failed request five times, some 25 seconds for each file, and
says why only at the end. Where the hub does not answer at all, what lies in its cache
is used at once, as with `HF_HUB_OFFLINE=1`.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from typing import Any

_SECONDS = 5.0


@functools.cache
def is_reachable(endpoint: str) -> bool:
    """Whether a server answers at `endpoint`, whatever it says; asked once."""
    from huggingface_hub.utils import get_session

    try:
        get_session().head(endpoint, timeout=_SECONDS)
    except Exception:  # of whichever HTTP library the hub's client uses
        return False
    return True


@contextlib.contextmanager
def cache_alone_if_unreachable() -> Iterator[None]:
    """Within, the hub's clients read their cache alone if the hub does not answer."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or is_reachable(constants.ENDPOINT):
        yield
        return
    places: list[Any] = [constants]
    if "datasets" in sys.modules:  # it keeps a copy of the flag
        places.append(sys.modules["datasets"].config)
    before = [place.HF_HUB_OFFLINE for place in places]
    for place in places:
        place.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value
