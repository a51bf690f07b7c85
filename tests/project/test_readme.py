"""The numbers of README and of `docs/results.md` are those of the recorded runs."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def results():
    path = ROOT / "scripts" / "results.py"
    spec = importlib.util.spec_from_file_location("results", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_results_tables_are_made_from_the_records():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    rows = [row for table in results().TABLES for row in table()]
    assert len(rows) == 13 + 7 + 2 + 3 + 2 + 9 + 3
    assert [row for row in rows if row not in page] == []


def test_the_readme_s_own_table_is_the_search_lab_s():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = results().search_rows()
    assert len(rows) == 5
    assert [row for row in rows if row not in readme] == []


def test_the_readme_is_for_two_minutes():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
