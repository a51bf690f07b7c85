"""No line of a paragraph becomes a heading or a list by accident.

Reflowed text breaks anywhere: a line that happens to begin with "#791" or with "1." is
rendered as a title or a list by one reader or another.
"""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MARKER = re.compile(r"(#+(?=[\s\d])|\d+[.)]\s|[-+*]\s)")
SKIPPED = re.compile(r"(```|~~~).*?\1|\$\$.*?\$\$|<!--.*?-->", re.S)


def blank(block: re.Match) -> str:
    """As many lines without a text, so that line numbers stay."""
    return "\n" * block[0].count("\n")


def traps(text: str) -> list[str]:
    """The lines of a paragraph or of a list item's text that begin like a block."""
    lines, found = SKIPPED.sub(blank, text).splitlines(), []
    inside, kind, indent = False, "", 0  # of the paragraph or the item before
    for line in lines:
        text, margin = line.strip(), len(line) - len(line.lstrip())
        marker = MARKER.match(text)
        code = margin > indent + 6 or (not kind and margin >= 4)
        if not text or text.startswith(("|", ">", "<")) or code:
            inside = False
            kind = kind if not text else ""
            continue
        sort = "" if marker is None else re.sub(r"\d+", "1", marker[0].strip())
        if inside and marker and (not kind or sort != kind):
            nested = kind and margin > indent and sort in "-*"
            if not nested:
                found.append(line)
        inside = not sort.startswith("#")
        if marker and not sort.startswith("#"):
            kind, indent = sort, margin
        elif not inside or (not marker and margin == 0):
            kind, indent = (kind, indent) if inside and kind else ("", 0)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "to mean 0 and variance\n1. The statistics",
        "TRL #3452, verl\n#791, open-r1",
        "the value\n+ the policy",
        "* an item that goes\n  on with\n  2) something",
        "one sentence\n- and a dash",
        "Ahmadian et al.,\n2024) leaves it out",
    ],
)
def test_a_trap_is_found(text):
    assert len(traps(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "# Title\ntext",
        "Three:\n\n1. one\n2. two\n\nand",
        "* one\n* two\n  * nested\n* three",
        "```\na\n# a comment\n```",
        "of the run:\n\n    2 P  weights\n    + 4 P  the reference",
        "text\n$$a\n+ b$$",
        "a line\n**bold** and #hash",
        "1 − pass@k\n3.5 times",
    ],
)
def test_what_is_no_trap_is_left_alone(text):
    assert traps(text) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_trap_in_a_page(page):
    assert traps(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_trap_in_a_notebook(path):
    cells = nbformat.read(path, as_version=4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert [line for text in texts for line in traps(text)] == []
