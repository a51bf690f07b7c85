"""Drawings of the notebooks: boxes with arrows, and a response read word by word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlnotes.tasks.base import Task
from rlnotes.tasks.search_language import ANSWER, WAIT, answered_operators, solves
from rlnotes.tasks.search_traces import parts_of, read_try

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# (fill, edge) of a box: a model that learns, a frozen one, data, a rule or a number
KINDS = {
    "learns": ("#FBE3D3", "#D55E00"),
    "frozen": ("#EDEDED", "#777777"),
    "data": ("#E1EEF7", "#0072B2"),
    "rule": ("#DDF1E9", "#009E73"),
}
WORD_COLORS = {
    "try": "#EDEDED",
    "hit": "#BBDDF2",
    "miss": "#F8CDB2",
    "wait": "#F0D8E6",
    "right": "#B5E3D2",
    "wrong": "#F2A7A7",
    "malformed": "#FFFFFF",
}
Box = tuple[float, float, str, str]
Arrow = tuple[str, str, str, str]


def draw_graph(
    boxes: Mapping[str, Box], arrows: Sequence[Arrow], *, size: tuple[float, float]
) -> Figure:
    """Boxes and arrows in inches, on white.

    Args:
        boxes: name → (x, y, text, kind) of its center; kinds are `KINDS`' keys.
        arrows: (from, to, style, text); style "-" is weights, "--" is data.
        size: of the figure, in inches.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    figure, axes = plt.subplots(figsize=size)
    axes.set(xlim=(0, size[0]), ylim=(0, size[1]))
    axes.axis("off")
    shapes: dict[str, Any] = {}
    for name, (x, y, text, kind) in boxes.items():
        lines = text.split("\n")
        width, height = 0.075 * max(map(len, lines)) + 0.2, 0.17 * len(lines) + 0.14
        fill, edge = KINDS[kind]
        corner = (x - width / 2, y - height / 2)
        look: dict[str, Any] = {"boxstyle": "round,pad=0.02", "fc": fill, "ec": edge}
        shapes[name] = FancyBboxPatch(corner, width, height, **look)
        axes.add_patch(shapes[name])
        axes.text(x, y, text, ha="center", va="center", fontsize=8)
    for start, end, style, text in arrows:
        (x, y), (u, v) = boxes[start][:2], boxes[end][:2]
        look = {"arrowstyle": "-|>", "mutation_scale": 9, "ls": style}
        ends: dict[str, Any] = {
            "patchA": shapes[start],
            "patchB": shapes[end],
            "shrinkA": 1,
        }
        color = "#0072B2" if style == "--" else "black"
        axes.add_patch(FancyArrowPatch((x, y), (u, v), **look, **ends, color=color))
        white: dict[str, Any] = {"fc": "white", "ec": "none", "pad": 0.6}
        place = ((x + u) / 2, (y + v) / 2)
        axes.text(*place, text, ha="center", va="center", fontsize=7, bbox=white)
    return figure


def label_words(text: str, task: Task) -> list[tuple[str, str]]:
    """(word, kind) of a response of the search lab; kinds are `WORD_COLORS`' keys.

    The result of a try, its `?` and the target are a hit or a miss.
    """
    labeled: list[tuple[str, str]] = []
    target = str(task.columns["target"])
    verdict = "right" if solves(answered_operators(text), task) else "wrong"
    rest = text.split()
    for words, ending in parts_of(rest):
        found = read_try(words, task)
        if found is None:
            labeled += [(word, "malformed") for word in words]
        else:
            kind = "hit" if str(found.result) == target else "miss"
            labeled += [(word, "try") for word in words[:-3]]
            labeled += [(word, kind) for word in words[-3:]]
        if ending in WAIT:
            labeled.append((ending, "wait"))
        elif ending in ANSWER:
            labeled += [(word, verdict) for word in rest[len(labeled) :]]
    return labeled


def draw_response(text: str, task: Task, *, columns: int = 92) -> Figure:
    """A response of the search lab in its words, colored by what each one does."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    placed, row, column = [], 0, 0
    for word, kind in label_words(text, task):
        if column + len(word) > columns:
            row, column = row + 1, 0
        placed.append((column, row, word, kind))
        column += len(word) + 2
    figure, axes = plt.subplots(figsize=(9, 0.75 + 0.3 * row))
    axes.set(xlim=(0, columns), ylim=(row + 1, -0.6))
    axes.axis("off")
    look: dict[str, Any] = {"family": "monospace", "fontsize": 9, "va": "center"}
    for x, y, word, kind in placed:
        box: dict[str, Any] = {
            "fc": WORD_COLORS[kind],
            "ec": "#777777",
            "lw": 0.4,
            "pad": 2,
        }
        axes.text(x, y, word, **look, bbox=box)
    kinds = [k for k in WORD_COLORS if any(kind == k for *_, kind in placed)]
    names: dict[str, Any] = {"right": "right answer", "wrong": "wrong answer"}
    keys = [
        Patch(fc=WORD_COLORS[k], ec="#777777", label=names.get(k, k)) for k in kinds
    ]
    place: dict[str, Any] = {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1),
        "ncols": 7,
        "fontsize": 8,
    }
    axes.legend(handles=keys, **place, title=task.prompt, alignment="left")
    return figure
