"""Every field of `Config` in words: `rlnotes fields`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from rlnotes.equations.names import did_you_mean
from rlnotes.training.config import ALGORITHMS, Config

# what `batches.prepare` and `updates` read with a critic alone, or without one alone
_CRITIC = {"critic_learning_rate", "gamma", "lam", "vf_coef", "cliprange_value"}
_CRITIC |= {"whiten_advantages", "kl_coef"}
_GROUP = {"scale_rewards", "multi_objective_aggregation"}


@dataclass(frozen=True)
class Field:
    """One field of `Config`."""

    name: str
    kind: str
    """Its type in words, like `float or None`."""
    default: Any
    algorithms: tuple[str, ...]
    """The algorithms that look at it."""
    set_by: dict[str, Any]
    """The algorithms that set it, and to what."""
    meaning: str


def config_fields(word: str = "") -> list[Field]:
    """The fields with `word` in their name or meaning, in Config's order; "" for all.

    Raises ValueError when there is none.
    """
    hints, meanings = typing.get_type_hints(Config), _meanings()
    fields = [
        Field(
            name=one.name,
            kind=_kind(hints[one.name]),
            default=one.default,
            algorithms=_algorithms(one.name),
            set_by={a: v[one.name] for a, v in ALGORITHMS.items() if one.name in v},
            meaning=meanings[one.name],
        )
        for one in dataclasses.fields(Config)
    ]
    found = [x for x in fields if word.lower() in f"{x.name} {x.meaning}".lower()]
    if not found:
        hint = did_you_mean(word, meanings)
        raise ValueError(f"no field of a config speaks of {word!r}{hint}")
    return found


def _algorithms(name: str) -> tuple[str, ...]:
    """The algorithms that look at the field of this name."""
    barred = name in _CRITIC, name in _GROUP  # without a critic, with one
    return tuple(a for a, v in ALGORITHMS.items() if not barred[v.get("critic", False)])


def _meanings() -> dict[str, str]:
    """The text below each field of `Config`, on one line."""
    (tree,) = ast.parse(inspect.getsource(Config)).body
    assert isinstance(tree, ast.ClassDef)
    texts = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            words = ast.literal_eval(text.value).split()
            texts[ast.unparse(field.target)] = " ".join(words)
    return texts


def _kind(hint: Any) -> str:
    """A type as a practitioner would say it."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(str, options))
    if isinstance(hint, types.UnionType):
        return " or ".join(map(_kind, options))
    if typing.get_origin(hint) is tuple:
        return f"list of {_kind(options[0])}"
    return "None" if hint is types.NoneType else str(hint.__name__)
