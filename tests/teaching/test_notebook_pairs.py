"""A notebook is built from its source, cleaned, and compared with it cell by cell."""

import base64
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupytext.cli import jupytext
from matplotlib.figure import Figure
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from rlnotes.teaching.notebook_pairs import (
    build_notebook,
    clean_notebook,
    compare_pair,
    main,
)

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """\
# %% [markdown]
# # Title
#
# Some prose.

# %% tags=["parameters"]
seed = 1

# %% tags=["nbval-check-output"]
import os
import sys
import tempfile
import warnings
from pathlib import Path

print(f"seed {seed}")
print(Path.cwd(), os.environ["RLNOTES_RUNS"], Path.home() / "x", tempfile.gettempdir())
warnings.warn("careful")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A clone with one source, not built yet."""
    (tmp_path / "rlnotes").mkdir()
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "notebooks" / "src" / "00_a.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pair(project):
    return project / "notebooks" / "src" / "00_a.py", project / "notebooks/00_a.ipynb"


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def test_build_executes_and_cleans(pair, project, capsys):
    source, notebook = pair
    assert main(["check"]) == 1
    assert "00_a.ipynb is missing" in capsys.readouterr().err
    assert main(["build"]) == 0 and main(["check"]) == 0
    assert compare_pair(source, notebook) == []
    built = read(notebook)
    assert [cell.cell_type for cell in built.cells] == ["markdown", "code", "code"]
    assert [cell.get("execution_count") for cell in built.cells] == [None, 1, 2]
    assert [cell.metadata for cell in built.cells] == [
        {},
        {"tags": ["parameters"]},
        {"tags": ["nbval-check-output"]},
    ]
    assert sorted(built.metadata) == ["kernelspec", "language_info"]
    output = {x.name: x.text for x in built.cells[2].outputs}
    lines = output["stdout"].splitlines()
    assert lines[0] == "seed 1"
    assert lines[1] == "notebooks build/notebook-runs/00_a ~/x $TMPDIR"
    assert "<cell>" in output["stderr"]
    text = notebook.read_text()
    for folder in (str(project), str(Path.home()), tempfile.gettempdir(), "papermill"):
        assert folder not in text


def test_rebuilding_changes_nothing_and_an_edit_keeps_the_other_ids(pair):
    source, notebook = pair
    build_notebook(source, notebook)
    before = notebook.read_text()
    ids = [cell.id for cell in read(notebook).cells]
    build_notebook(source, notebook)
    assert notebook.read_text() == before
    source.write_text(SOURCE.replace("seed = 1", "seed = 2"))
    assert compare_pair(source, notebook) == ["cell 1: text differs from the source"]
    build_notebook(source, notebook)
    after = read(notebook)
    assert [cell.id for cell in after.cells][::2] == ids[::2]
    assert after.cells[2].outputs[0].text.startswith("seed 2\n")


def test_a_failing_cell_leaves_the_notebook_as_it_was(pair):
    source, notebook = pair
    build_notebook(source, notebook)
    before = notebook.read_text()
    source.write_text(SOURCE + "\n# %%\n1 / 0\n")
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        build_notebook(source, notebook)
    assert notebook.read_text() == before


@pytest.mark.parametrize(
    ("edit", "difference"),
    [
        (("# # Title", "# # Titel"), "cell 0: text differs"),
        ((' tags=["parameters"]', ""), "cell 1: tags differs"),
        (("# %% [markdown]\n# # Title\n#\n# Some prose.\n\n", ""), "2 cells in the"),
        (("# %% [markdown]", "# %% [raw]"), "cell 0: type differs"),
    ],
)
def test_every_difference_is_found(pair, edit, difference):
    source, notebook = pair
    tags, _, code = SOURCE.rpartition(" tags=")[2].partition("\n")
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\nSome prose."),
        nbformat.v4.new_code_cell("seed = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code.strip(), metadata={"tags": json.loads(tags)}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    assert compare_pair(source, notebook) == []
    source.write_text(SOURCE.replace(*edit))
    assert difference in compare_pair(source, notebook)[0]


def test_a_notebook_without_source_is_found(pair, capsys):
    source, notebook = pair
    cells = [nbformat.v4.new_code_cell("1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    notebook.rename(notebook.with_name("07_x.ipynb"))
    assert main(["check"]) == 1
    assert "07_x.ipynb: no source in notebooks/src" in capsys.readouterr().err
    assert main(["check", "07_x"]) == 2
    assert "'07_x' is unknown" in capsys.readouterr().err


def pixels(figure):
    """Colors of a PNG in base64, (height, width, 3)."""
    image = Image.open(io.BytesIO(base64.b64decode(figure)))
    return np.asarray(image.convert("RGB")).astype(int)


def test_clean_drops_widgets_and_keeps_figures():
    canvas, made = Figure((4, 2), dpi=120), io.BytesIO()
    axes = canvas.subplots()
    for slope in range(6):  # as many colors as a figure of the notebooks has, and bands
        axes.plot([0, 1], [0, slope], label=f"slope {slope}")
        axes.fill_between([0, 1], [0, slope], [1, slope + 1], alpha=0.2)
    axes.legend()
    canvas.savefig(made, format="png")
    figure = base64.b64encode(made.getvalue()).decode()
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}}
    widget = view | {"text/plain": "interactive(children=(Checkbox(value=True),))"}
    outputs = [
        nbformat.v4.new_output("display_data", data=widget),
        nbformat.v4.new_output("display_data", data={"image/png": figure}),
        nbformat.v4.new_output("execute_result", data={"text/plain": f"{Path.home()}"}),
    ]
    cell = nbformat.v4.new_code_cell("x", outputs=outputs, execution_count=3)
    cell.metadata["papermill"] = {"duration": 1.0}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"a": 1}})
    cleaned = clean_notebook(notebook)
    assert "widgets" not in cleaned.metadata and cleaned.cells[0].metadata == {}
    assert cleaned.cells[0].execution_count == 3
    kept, text = (x.data for x in cleaned.cells[0].outputs)
    assert text == {"text/plain": "~"} and list(kept) == ["image/png"]
    nbformat.validate(cleaned)
    before, after = pixels(figure), pixels(kept["image/png"])
    assert before.shape == after.shape and np.abs(before - after).max() < 24
    assert len(kept["image/png"]) < len(figure) / 2
    again = clean_notebook(cleaned).cells[0].outputs[0].data
    assert again == kept


def test_a_sync_from_jupyter_carries_no_metadata_into_the_source(pair):
    """What JupyterLab does on save, through the pairing in pyproject.toml."""
    source, notebook = pair
    build_notebook(source, notebook)
    edited = read(notebook)
    edited.cells[1].source = "seed = 3"
    for cell in edited.cells:
        cell.metadata["papermill"] = {"duration": 1.0}
        cell.metadata["execution"] = {"iopub.status.busy": "now"}
    nbformat.write(edited, notebook)
    jupytext(["--quiet", "--sync", str(notebook)])
    assert source.read_text() == SOURCE.replace("seed = 1", "seed = 3")
    assert compare_pair(source, notebook) == []


def test_nbval_compares_marked_output_only(pair):
    """Stdout of a marked cell counts, stderr and HTML do not."""
    source, notebook = pair
    html = (
        '\n# %% tags=["nbval-check-output"]\nfrom IPython.display import HTML, display'
    )
    html += "\nimport random\ndisplay(HTML(str(random.random())))\n"
    text = SOURCE.split("print(Path")[0] + "print(random_name(), file=sys.stderr)\n"
    text = text.replace("import os", "from secrets import token_hex as random_name")
    source.write_text(text + html)
    shutil.copy(ROOT / "notebooks" / "conftest.py", notebook.parent)
    build_notebook(source, notebook)
    stored = notebook.read_text()
    assert stored.count('"seed 1\\n"') == 1
    notebook.write_text(stored.replace('"seed 1\\n"', '"seed 7\\n"'))
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    command += ["-q", "-p", "no:cacheprovider", str(notebook)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "1 failed, 2 passed" in done.stdout, done.stdout
    assert "seed 7" in done.stdout and "HTML" not in done.stdout
