"""COMMANDS: a function each, its options by argparse, its help from its docstring."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rlnotes.equations.names import did_you_mean

Handler = Callable[..., int | None]
Option = tuple[tuple[str, ...], dict[str, Any]]


class _Parser(argparse.ArgumentParser):
    """argparse's parser that says what was probably meant (3.14 has it built in)."""

    def error(self, message: str) -> NoReturn:
        """Usage, the message and the nearest choice on stderr; status 2."""
        if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            known = re.findall(r"[^\s',]+", found[2])
            message += did_you_mean(found[1], known)
        super().error(message)


_DEBUG = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
_DEBUG.add_argument("--debug", action="store_true", help="show tracebacks")
_PARSER = _Parser(
    prog="rlnotes",
    parents=[_DEBUG],
    description="Reinforcement learning on reasoning language models, PPO to GDPO.",
)
_LONG: dict[str, list[str]] = {}  # the options of each command
_COMMANDS = _PARSER.add_subparsers(dest="command", required=True, metavar="COMMAND")


def command(*options: Option) -> Callable[[Handler], Handler]:
    """Make the function below a command; it gets its options by name."""

    def register(handler: Handler) -> Handler:
        text = (handler.__doc__ or "").partition("\n")[0]
        name = handler.__name__.replace("_", "-")
        parser = _COMMANDS.add_parser(
            name, help=text, description=text, parents=[_DEBUG]
        )
        parser.set_defaults(handler=handler)
        _LONG[name] = [one for names, _ in options for one in names]
        for names, keywords in options:
            parser.add_argument(*names, **keywords)
        return handler

    return register


def option(*names: str, **keywords: Any) -> Option:
    """An option or an argument, as `add_argument` takes it."""
    return names, keywords


def output(text: str) -> Option:
    """`--output DIR`."""
    return option("--output", type=Path, metavar="DIR", help=text)


def parameters(*, required: bool = False) -> tuple[Option, Option]:
    """`--config FILE`, and `key=value` words over it."""
    file = {"type": Path, "metavar": "FILE", "help": "YAML file", "required": required}
    words = {"nargs": "*", "metavar": "key=value", "help": "like seed=1 beta=0.04"}
    return option("--config", **file), option("overrides", **words)


def parse(argv: Sequence[str] | None) -> tuple[str, Handler, bool, dict[str, Any]]:
    """The command, its function, whether to debug, and the function's arguments.

    `key=value` words may stand before and after options.
    """
    found, rest = _PARSER.parse_known_args(argv)
    options = vars(found)
    # argparse takes positional words from one place only and leaves the others over
    unknown = [x for x in rest if x.startswith("-") or "overrides" not in options]
    if unknown:
        hint = did_you_mean(unknown[0].partition("=")[0], _LONG[options["command"]])
        _PARSER.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    if rest:
        options["overrides"] += rest
    debug = options.pop("debug", False)
    return options.pop("command"), options.pop("handler"), debug, options


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """`["seed=1", "beta=0.04"]` as typed values, each read as YAML.

    Raises ValueError for a word without `=`, a name given twice, or a bad value.
    """
    import yaml

    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"expected key=value (like seed=1), got {word!r}")
        if name in values:
            raise ValueError(f"parameter {name!r} is given twice")
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ValueError(f"value of {name!r} is no YAML: {text!r}") from None
    return values
