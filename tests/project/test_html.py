"""`make html`: a figure is shown with its code folded, and links lead on."""

from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PAGE = NOTEBOOKS / "01_search_lab.ipynb"


@pytest.fixture(scope="module")
def soup():
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="html", extra_template_basedirs=[str(NOTEBOOKS)], theme="dark"
    )
    return BeautifulSoup(exporter.from_filename(str(PAGE))[0], "html.parser")


def test_the_code_of_a_figure_is_folded_and_the_figure_is_not(soup):
    cells = [
        c for c in nbformat.read(PAGE, as_version=4).cells if c.cell_type == "code"
    ]
    shown = soup.select("div.jp-CodeCell")
    assert len(shown) == len(cells)
    for cell, html in zip(cells, shown, strict=True):
        folded = html.select("details.hide-input")
        assert bool(folded) == ("hide-input" in cell.metadata.get("tags", []))
        for one in folded:
            assert not one.has_attr("open")
            assert one.summary.get_text() == "Code of this cell"
            assert cell.source.split("\n")[0].strip() in one.get_text()
            assert not one.select("div.jp-OutputArea")
    images = soup.select("div.jp-OutputArea img")
    assert images and not soup.select("details.hide-input img")


def test_links_lead_to_pages_beside_and_to_files_of_the_project(soup):
    links = [a["href"] for a in soup.select("div.jp-MarkdownCell a[href]")]
    near = [link for link in links if "://" not in link and not link.startswith("#")]
    assert any(link == "02_ppo.html" for link in near)
    for link in near:
        if link.startswith(".."):
            assert (NOTEBOOKS.parent / "build" / "html" / link).resolve().exists(), link
        else:
            assert (NOTEBOOKS / link).with_suffix(".ipynb").exists(), link


def test_the_page_is_dark_where_it_is_asked_for(soup):
    assert soup.body["data-jp-theme-light"] == "false"
