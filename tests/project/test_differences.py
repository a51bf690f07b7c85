"""`docs/differences.md` is what its script writes; its rows show what they claim."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from rlnotes.equations.conventions import CONVENTIONS

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
differences = importlib.import_module("differences")
LINKS = importlib.import_module("difference_links").LINKS
sys.path.remove(str(SCRIPTS))
ROWS = differences.ROWS
EXECUTED = [row for row in ROWS if row.example is not None]


def of(number: int) -> dict[str, list]:
    """The executed numbers of a row."""
    (row,) = (row for row in ROWS if row.number == number)
    return dict(differences.numbers_of(row))


def test_the_committed_page_is_what_the_script_writes():
    assert differences.PAGE.read_text(encoding="utf-8") == differences.page(), (
        "run python scripts/differences.py and look at what changed"
    )


def test_every_disagreement_has_its_row():
    assert [row.number for row in ROWS] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 24


@pytest.mark.parametrize("row", EXECUTED, ids=lambda row: row.title)
def test_a_row_shows_different_numbers(row):
    texts = {
        differences._text(values) for values in differences.numbers_of(row).values()
    }
    assert len(texts) > 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_a_row_says_everything(row):
    assert row.paper and row.code and row.means
    assert row.who or differences.differs(row)
    assert row.example is not None or row.read, "neither executed nor marked as read"


@pytest.mark.parametrize("row", EXECUTED, ids=lambda row: row.title)
def test_conventions_in_a_row_exist_and_are_named_as_they_are(row):
    for name in differences.numbers_of(row):
        if re.fullmatch(r"[a-z_]+", name):
            assert name in CONVENTIONS


def test_links_of_the_summary_lead_to_rows():
    page = differences.page()
    anchors = set(re.findall(r'<a id="(\w+)"></a>', page))
    assert set(re.findall(r"\]\(#(\w+)\)", page)) == anchors
    assert len(anchors) == len(ROWS)


def test_a_link_of_trl_is_the_line_that_it_names():
    import trl

    package = Path(trl.__file__).parents[1]
    ours = [one for links in LINKS.values() for one in links if one.at == "v1.16.0"]
    assert {one.who for one in ours} == {"trl"} and len(ours) > 15
    if trl.__version__ != "1.16.0":
        pytest.skip(
            f"the lines are those of TRL 1.16.0, installed is {trl.__version__}"
        )
    for one in ours:
        lines = (package / one.path).read_text(encoding="utf-8").splitlines()
        assert one.says in lines[one.line - 1], one


def test_a_link_does_not_move_and_is_on_the_page():
    page = differences.PAGE.read_text(encoding="utf-8")
    for number, links in LINKS.items():
        section = page.split(f'<a id="b{number}"></a>')[1].split("<a id=")[0]
        for one in links:
            assert re.fullmatch(r"v\d+\.\d+\.\d+|[0-9a-f]{40}", one.at)
            assert one.who in CONVENTIONS and f"]({one.url})" in section


def test_every_convention_can_be_named_and_is_checked_somewhere():
    assert list(differences.by_name()) == list(differences.CHECKED) == list(CONVENTIONS)
    for where in differences.CHECKED.values():
        (file,) = re.findall(r"`(tests/\S+)`", where)
        assert (SCRIPTS.parent / file).is_file()


# A few numbers that were measured in the frameworks themselves


def test_measured_prompt_mean():
    numbers = of(1)
    assert numbers["paper"] == [0.5]
    assert numbers["trl"] == numbers["verl"] == pytest.approx([10 / 110])


def test_measured_dual_clip():
    assert of(5)["trl"] == [10.0, 2.0]
    assert of(5)["verl"] == [3.0, 2.0]


def test_measured_kl():
    assert of(6)["trl"] == pytest.approx([2971.958, -8.0])
    assert of(6)["verl"] == [10.0, 0.0]
    assert of(7)["paper"] == pytest.approx([0.39347, -19.0855], abs=1e-4)
    assert of(7)["trl"] == pytest.approx([0.5, -3.0])


def test_measured_gdpo():
    assert of(15)["trl"][:4] == pytest.approx(
        [-1.520, -0.6296, 0.6296, 1.520], abs=5e-4
    )
    assert of(15)["nemo"][0] == pytest.approx(-1.620, abs=5e-4)
    assert of(15)["verl"][0] == pytest.approx(-1.420, abs=5e-4)


def test_measured_gae():
    kept, read = of(21).values()
    assert kept[0] == pytest.approx(0.8267, abs=5e-5)
    assert read[0] == pytest.approx(0.8674, abs=5e-5)
    assert kept[1] == pytest.approx(read[1]), "at λ = 1 the padding cancels"
