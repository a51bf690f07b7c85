"""What was probably meant by a name that nobody knows."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """`; did you mean 'seed'?` for the nearest of the known names, or an empty text.

    Capitals make no difference: `GRPO` is near `grpo`. Only a text has a near one.
    """
    names = {one.lower(): one for one in known if isinstance(one, str)}
    word = name.lower() if isinstance(name, str) else ""
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {names[close[0]]!r}?" if close else ""
