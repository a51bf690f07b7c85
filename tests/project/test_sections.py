"""Where a page of docs/ sends the reader to a section of a notebook, it is there."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[\d\d\]\(\.\./notebooks/(\w+)\.ipynb\), ([^|;]+?) *(?=[|;])")
MARKUP = re.compile(r"\[([^\]]*)\]\([^)]*\)|[`*\"“”]")


def plain(text: str) -> str:
    return MARKUP.sub(lambda found: found[1] or "", text).casefold().strip()


def headings(name: str) -> list[str]:
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return [plain(one) for one in re.findall(r"^#+ (.*)$", text, re.M)]


@pytest.mark.parametrize("page", ["symptoms", "slides", "errata"])
def test_the_sections_that_a_page_names_are_there(page):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    named = [x for x in LINK.findall(text) if not x[1].startswith("from its")]
    assert len(named) > 20
    there = {name: headings(name) for name, _ in named}
    lost = [x for x in named if not any(plain(x[1]) in h for h in there[x[0]])]
    assert lost == []


def test_every_slide_of_the_deck_and_every_erratum_is_in_the_table():
    text = (ROOT / "docs" / "slides.md").read_text(encoding="utf-8")
    errata = {int(n) for n in re.findall(r"errata\.md#erratum-(\d+)", text)}
    assert errata == set(range(1, 31))
    for name in ("Bae Sun Woo", "January 12, 2026", "DeepSeek-R1 and DAPO"):
        assert name in text


def test_a_symptom_says_what_it_means_and_how_to_tell():
    text = (ROOT / "docs" / "symptoms.md").read_text(encoding="utf-8")
    rows = [x.split(" | ") for x in text.splitlines() if x.startswith("| ")]
    rows = [x for x in rows if not x[0].startswith(("| ---", "| what you see"))]
    assert len(rows) >= 50
    assert [x for x in rows if len(x) != 4 or min(map(len, x)) < 5] == []
    assert len({x[0] for x in rows}) == len(rows)
