"""What the pages name exists: files, functions, links."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = "rlnotes|tests|scripts|configs|data|docs|experiments|benchmarks|notebooks"
HOUSE = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w./-]+\.py):(\w+)`", HOUSE)))


def names_of(path: Path) -> set[str]:
    """What a module defines at its top level."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if hasattr(target, "id")}
        elif isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize(("path", "name"), NAMED, ids=":".join)
def test_the_house_names_functions_that_exist(path, name):
    assert name in names_of(ROOT / path)


def test_the_house_follows_a_question_and_names_every_room():
    assert len(NAMED) > 30
    rooms = {path.parent.name for path in (ROOT / "rlnotes").glob("*/__init__.py")}
    table = set(re.findall(r"^\| \d \| \[`(\w+)/`\]", HOUSE, re.M))
    assert table == rooms


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    names = re.findall(rf"`((?:{FOLDERS})/[\w./-]+\.\w+)[:`]", text)
    missing = [name for name in names if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []
