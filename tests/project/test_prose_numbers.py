"""A number in a notebook's text is one that the notebook prints or computes with.

It must be in the output or the code of a cell, or in a formula, up to rounding and as a
percentage. Left out by rule: whole numbers up to ten, years, versions, what follows a
word like Figure, Eq or Table, and what stands in a sentence or row that cites a source.
"""

import re
from pathlib import Path

import nbformat
import pytest

from rlnotes.analysis.log_keys import LOG_KEYS
from rlnotes.training.config import DEFAULTS

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PAGES = sorted(x.stem for x in FOLDER.glob("*.ipynb"))

NUMBER = re.compile(r"(?<![\w.,/@-])[−-]?\d[\d,]*(?:\.\d+)?|(?<![\w.])\.\d+")
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.S)
CODE = re.compile(r"```.*?```|`[^`]*`|<[^>]+>|\]\([^)]*\)", re.S)
NAMED = re.compile(
    r"\b(Eqs?|Equations?|Fig(ure)?s?|Tables?|Sections?|Appendix|Algorithms?|Erratum|rows?|"
    r"notebooks?|seeds?|version|v|slides?|Steps?|arXiv|exercise|[a-z0-9]+-)"
    r"\.?\s?§?[\dA-C][\d.a-z–, ]*(and \d+)?|§\s?[\d.]+|\[\d\d\]|\d{4}\.\d{5}|\bv\d\b|"
    r"^#+ \d\d|\b95 %|\*\*(Time|Running|Reading)[^\n]*|[\d.]+ (seconds|minutes)|"
    r"\b(PPO|SmolLM|Qwen|GPT-|o|R|V|AIME|MATH-|python|torch|TRL|verl)\s?\d[\d.]*\w*",
    re.I,
)
CITES = re.compile(
    r"arxiv\.org|doi\.org|[Tt]he paper|\bR1\b|DeepSeek|et al\.|deck|slide|rratum|"
    r"\bv[12]\b"
)


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def values(text: str) -> list[tuple[float, int]]:
    """Every number of a text, with its decimals."""
    found = []
    for word in NUMBER.findall(text):
        word = word.rstrip(",").replace(",", "").replace("−", "-")
        found.append((abs(float(word)), len(word.partition(".")[2])))
    return found


def known(notebook) -> list[float]:
    """What cells print and compute with, and what formulas say."""
    texts = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            texts.append(cell.source)
            for one in cell.outputs:
                data = one.get("data", {})
                texts += [one.get("text", "")]
                texts += [v for k, v in data.items() if k.startswith("text/")]
        else:
            texts += FORMULA.findall(cell.source)
            texts += CODE.findall(cell.source)
    numbers = re.findall(r"\d[\d,_]*\.?\d*(?:e-?\d+)?|\.\d+", "\n".join(texts))
    return [float(x.replace(",", "").replace("_", "").rstrip(".")) for x in numbers]


def sentences(text: str) -> list[str]:
    """Sentences and table rows of a cell of text."""
    text = re.sub(r"^(#+ .*|\|.*\|)$", r"\n\n\1\n\n", text, flags=re.M)
    parts = re.split(r"\n\s*\n|(?<=[.:;?!])\s+(?=[A-Z*`\[(])|\n(?=[*-] |\d\. )", text)
    return [part for part in parts if part.strip()]


def unexplained(notebook) -> list[str]:
    """Sentences with a number that nothing of the notebook accounts for."""
    there, lost = known(notebook), []
    exact = {round(x, 9) for x in there}
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for part in sentences(cell.source):
            cited = cell.source if part.lstrip().startswith("|") else part
            if CITES.search(cited):
                continue
            text = NAMED.sub(" ", CODE.sub(" ", FORMULA.sub(" ", part)))
            for value, decimals in values(text):
                if value <= 10 and value == int(value) or 1900 <= value < 2100:
                    continue
                if value in exact or round(value / 100, 9) in exact:
                    continue
                half = 0.5 * 10.0**-decimals + 1e-9
                gaps = (min(abs(x - value), abs(100 * x - value)) for x in there)
                if min(gaps, default=1.0) > half:
                    lost.append(f"{value:g}: {' '.join(part.split())[:150]}")
    return lost


@pytest.mark.parametrize("name", PAGES)
def test_a_number_in_the_text_is_printed_or_computed_with(name):
    lost = unexplained(read(name))
    assert lost == [], "\n".join(lost)


TITLE = re.compile(r"""(?:title|label)(?:\(|=)f?["']([^"'{}]*)["']""")
IDENTIFIERS = {*LOG_KEYS, *DEFAULTS} - {"step", "reward", "loss", "entropy", "kl"}


@pytest.mark.parametrize("name", PAGES)
def test_no_axis_is_titled_by_a_bare_identifier(name):
    codes = [cell.source for cell in read(name).cells if cell.cell_type == "code"]
    titles = [title for code in codes for title in TITLE.findall(code)]
    bare = [x for x in titles if x in IDENTIFIERS]
    assert bare == []


def page(text: str, code: str = "") -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell(code)]
    cells[1].outputs = [nbformat.v4.new_output("stream", text="accuracy 0.417\n")]
    return nbformat.v4.new_notebook(cells=cells)


def test_what_the_scan_finds_and_what_it_leaves_alone():
    for text in ("It rises to 0.53.", "After 80 steps.", "By 41 points of 57."):
        assert len(unexplained(page(text))) >= 1, text
    for text in (
        "It rises to 0.42, or 42 %, of five in 2024.",
        "After 80 steps.",
        "See Figure 12, §3.14, [08](08_dapo.ipynb) and arXiv 2402.03300.",
        "The paper reports 79.8 at AIME.",
        "Here $x = 77$ and `y = 55`, so 77 and 55.",
    ):
        assert unexplained(page(text, "steps = 80")) == [], text
