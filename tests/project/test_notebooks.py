"""The committed notebooks are their sources, executed in order, whole and clean."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest

from rlnotes.batch.one_notebook import check_parameters
from rlnotes.machine.files import read_mapping
from rlnotes.teaching.notebook_pairs import compare_pair
from rlnotes.training.fields import config_fields

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
_CONFIGS = FOLDER.parent / "configs"
CONFIGS = sorted([*_CONFIGS.glob("*.yaml"), *_CONFIGS.glob("search/*.yaml")])
TRAIN = FOLDER / "11_train.ipynb"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.~$])/(work|root|tmp|home|Users|private)\b")
CHECKED = "nbval-check-output"
MAX_LINES = 20
MAX_BYTES = 1_500_000


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_parameters(cell) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def texts(output) -> list[str]:
    """What a reader can read of an output; figures are left out."""
    data = output.get("data", {})
    named = [v for k, v in data.items() if k.startswith("text/") or k.endswith("+xml")]
    return [*named, output.get("text", "")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_its_source(path):
    assert compare_pair(FOLDER / "src" / f"{path.stem}.py", path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_enough_to_review(path):
    assert path.stat().st_size < MAX_BYTES


def test_every_source_has_its_notebook():
    sources = {path.stem for path in (FOLDER / "src").glob("*.py")}
    assert sources == {path.stem for path in NOTEBOOKS}


def test_every_code_cell_ran_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_cell_failed(notebook):
    outputs = [x for cell in code_cells(notebook) for x in cell.outputs]
    assert [x.evalue for x in outputs if x.output_type == "error"] == []


def test_no_path_of_a_machine_is_in_an_output(notebook):
    outputs = [x for cell in code_cells(notebook) for x in cell.outputs]
    found = [MACHINE_PATH.search(text) for x in outputs for text in texts(x)]
    assert [match.string for match in found if match] == []


def lines_to_read(source: str) -> int:
    """Lines of a cell; an import is none that a reader has to follow."""
    return sum(not x.startswith(("import ", "from ")) for x in source.splitlines())


def test_cells_are_short(notebook):
    cells = [cell.source for cell in code_cells(notebook) if not is_parameters(cell)]
    long = {s.splitlines()[0]: lines_to_read(s) for s in cells}
    assert {line: n for line, n in long.items() if n > MAX_LINES} == {}


def test_nothing_but_tags_is_in_the_metadata(notebook):
    """And what folds the code of a cell that is tagged so."""
    for cell in notebook.cells:
        hidden = "hide-input" in cell.metadata.get("tags", [])
        fold = {"jupyter": {"source_hidden": True}} if hidden else {}
        tags = {k: v for k, v in cell.metadata.items() if k == "tags"}
        assert cell.metadata == tags | fold
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_nbval_has_something_to_compare(notebook):
    """A notebook without a marked cell passes nbval and checks nothing."""
    tagged = [c for c in code_cells(notebook) if CHECKED in c.metadata.get("tags", [])]
    assert tagged and all(cell.outputs for cell in tagged)


def test_no_mark_of_nbval_is_in_the_code_that_a_reader_sees(notebook):
    assert [c.source for c in notebook.cells if "# NBVAL_" in c.source] == []


def test_parameters_are_literals_in_one_cell(notebook):
    """An expression would not follow when papermill sets what it is made of."""
    cells = [cell for cell in code_cells(notebook) if is_parameters(cell)]
    assert len(cells) <= 1
    for statement in ast.parse(cells[0].source).body if cells else []:
        assert isinstance(statement, (ast.Assign, ast.AnnAssign))
        ast.literal_eval(statement.value)


@pytest.mark.skipif(not TRAIN.exists(), reason="11_train is not built")
@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda path: f"{path.parent.stem}-{path.stem}"
)
def test_11_train_takes_every_config(config):
    check_parameters(TRAIN, read_mapping(config) | {"seed": 1})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("saved to /tmp/x", True),
        ("'/root/run'", True),
        ("/home/me", True),
        ("$TMPDIR/work/x", False),
        ("notebooks/work/x and either/home", False),
        ("~/work", False),
    ],
)
def test_the_path_pattern_finds_machine_paths_only(text, found):
    assert bool(MACHINE_PATH.search(text)) is found


INTERVAL = re.compile(r"(-?\d*\.?\d+) \[(-?\d*\.?\d+), (-?\d*\.?\d+)\]")


def intervals(text: str) -> list[tuple[str, ...]]:
    """Every "estimate [low, high]" of a text, as it is written."""
    return INTERVAL.findall(text.replace("\N{MINUS SIGN}", "-"))


def rounds_to(written: tuple[str, ...], computed: tuple[str, ...]) -> bool:
    half = 0.5 * 10.0 ** -len(written[0].partition(".")[2]) + 1e-9
    pairs = zip(written, computed, strict=True)
    return all(abs(float(mine) - float(theirs)) <= half for mine, theirs in pairs)


def test_an_interval_in_prose_is_one_that_a_cell_has_printed(notebook):
    outputs = [o for cell in code_cells(notebook) for o in cell.outputs]
    computed = [x for o in outputs for text in texts(o) for x in intervals(text)]
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    typed = [x for text in prose for x in intervals(text)]
    assert [x for x in typed if not any(rounds_to(x, y) for y in computed)] == []


def test_every_parameter_of_11_train_has_its_type_and_a_comment():
    """Papermill shows both: `papermill --help-notebook`."""
    known = papermill.inspect_notebook(TRAIN)
    kinds = {one.name: one.kind for one in config_fields()}
    assert set(known) - {"engine", "resume"} <= set(kinds) and len(known) > 50
    for name, one in known.items():
        assert one["inferred_type_name"] not in ("None", ""), name
        assert len(one["help"]) > 4, name
        kind = kinds.get(name, "").removesuffix(" or None")
        said = one["inferred_type_name"].replace("list", "list of")
        assert kind.startswith(said) or kind not in {"int", "float", "bool", "str"}, (
            name
        )
