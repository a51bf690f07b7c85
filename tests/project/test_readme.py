"""The numbers of README and of `docs/results.md` are those of the recorded runs."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pandas as pd

ROOT = Path(__file__).parents[2]


DECIMAL = r"[−-]?\d*\.\d+"
INTERVAL = re.compile(rf"({DECIMAL})\s+\[({DECIMAL}),\s+({DECIMAL})\]")


def intervals(text: str) -> list[tuple[float, ...]]:
    """Every `estimate [low, high]` of a text."""
    found = INTERVAL.findall(text)
    return [tuple(float(x.replace("−", "-")) for x in one) for one in found]


def computed() -> list[tuple[float, ...]]:
    """The intervals that some cell of a notebook prints, and those of the claims."""
    found = []
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for one in cell.get("outputs", []):
                data = one.get("data", {})
                texts = [v for k, v in data.items() if k.startswith("text/")]
                found += intervals("\n".join([one.get("text", ""), *texts]))
    claims = pd.read_csv(ROOT / "data" / "claims.csv").dropna(subset=["low"])
    return [*found, *zip(claims["value"], claims["low"], claims["high"], strict=True)]


def results():
    path = ROOT / "scripts" / "results.py"
    spec = importlib.util.spec_from_file_location("results", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_results_tables_are_made_from_the_records():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    rows = [row for table in results().TABLES for row in table()]
    assert len(rows) == 13 + 7 + 2 + 3 + 2 + 23 + 19
    assert [row for row in rows if row not in page] == []


def test_the_readme_s_own_table_is_the_search_lab_s():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = results().search_rows()
    assert len(rows) == 5
    assert [row for row in rows if row not in readme] == []


def test_an_interval_in_a_sentence_is_computed_somewhere():
    """A difference may be told the other way round, a value with fewer decimals."""
    known = [one for a, b, c in computed() for one in ((a, b, c), (-a, -c, -b))]
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    sentences = "\n".join(x for x in page.splitlines() if not x.startswith("|"))
    assert len(intervals(sentences)) > 10
    for found in INTERVAL.finditer(sentences):
        half = 0.5 * 10 ** -len(found[1].partition(".")[2]) + 1e-9
        (told,) = intervals(found[0])
        assert any(
            all(abs(x - y) <= half for x, y in zip(told, one, strict=True))
            for one in known
        ), found[0]


def test_the_readme_is_for_two_minutes():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
