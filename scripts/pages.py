"""docs/pages.md: how long the notebooks are, counted from their sources.

    python scripts/pages.py

Reading minutes: words of prose at 125 a minute, lines of code that are not folded at 20
a minute, half a minute a figure; tuned on two readers who took notes of their time.
"""

import re
from pathlib import Path

import jupytext
import nbformat

FOLDER = Path(__file__).resolve().parents[1]
WORD = re.compile(r"[^\W\d_][\w'-]*")
NO_WORDS = re.compile(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|\(http\S*\)", re.DOTALL)
COLUMNS = ("page", "cells", "words", "lines of code", "figures", "drawings")
COLUMNS += ("widgets", "exercises", "reading, minutes")
HEAD = """# The notebooks in numbers

Made by `python scripts/pages.py` from the committed notebooks. Reading minutes: one for
125 words of prose or 20 lines of code that is not folded, half a minute for a figure.
An exercise is a call of `check_exercise`.

"""


def row(path: Path) -> str:
    """One line of the table."""
    cells = jupytext.read(path).cells
    prose = [c.source for c in cells if c.cell_type == "markdown"]
    code = [c.source for c in cells if c.cell_type == "code"]
    open_code = [
        c.source
        for c in cells
        if c.cell_type == "code" and "hide-input" not in c.metadata.get("tags", [])
    ]
    words = len(WORD.findall(NO_WORDS.sub(" ", "\n".join(prose))))
    lines = sum(bool(line.strip()) for x in open_code for line in x.splitlines())
    notebook = nbformat.read(FOLDER / "notebooks" / f"{path.stem}.ipynb", as_version=4)
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    figures = sum("image/png" in o.get("data", {}) for o in outputs)
    drawings = sum("draw_graph(" in x or "draw_response(" in x for x in code)
    widgets = sum(bool(re.search(r"\binteract\(", x)) for x in code)
    exercises = sum("check_exercise(" in x for x in code)
    minutes = round(words / 125 + lines / 20 + figures / 2)
    counts = (len(cells), words, lines, figures, drawings, widgets, exercises, minutes)
    return f"| {path.stem} | " + " | ".join(map(str, counts)) + " |"


if __name__ == "__main__":
    sources = sorted((FOLDER / "notebooks" / "src").glob("*.py"))
    made = [s for s in sources if (FOLDER / "notebooks" / f"{s.stem}.ipynb").exists()]
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    table = "\n".join([*lines, *map(row, made)])
    (FOLDER / "docs" / "pages.md").write_text(HEAD + table + "\n")
