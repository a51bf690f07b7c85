"""The README's numbers are those of the recorded runs."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_results_tables_are_made_from_the_records():
    path = ROOT / "docs" / "readme_figure.py"
    spec = importlib.util.spec_from_file_location("readme_figure", path)
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [row for table in page.TABLES for row in table()]
    assert len(rows) == 13 + 7 + 2 + 3 + 2
    assert [row for row in rows if row not in readme] == []
