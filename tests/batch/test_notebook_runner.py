"""Notebooks run in order, a failure is named and stops nothing, parameters are checked.

Every test runs real two- or three-cell notebooks in a real kernel.
"""

from pathlib import Path

import nbformat
import pytest

from rlnotes.batch.notebook_runner import (
    check_parameters,
    find_notebooks,
    run_notebook_with_config,
    run_notebooks,
)
from rlnotes.cli import main
from rlnotes.teaching.notebook_pairs import KERNELSPEC

PARAMETERS = """\
steps = 2
learning_rate = 1.0e-5  # a float
algorithm = "grpo"
delta = None
reward_funcs = ["accuracy_reward"]
bf16 = True"""


def write_notebook(path: Path, *sources: str, parameters: str | None = None) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if parameters:
        cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        cells.insert(0, cell)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = KERNELSPEC
    nbformat.write(notebook, path)
    return path


def printed(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    outputs = [x for cell in cells for x in cell.get("outputs", [])]
    return "".join(x.get("text", "") for x in outputs if x.get("name") == "stdout")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A clone with three notebooks, the second of which fails in its second cell."""
    (tmp_path / "rlnotes").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    first = "import os, pathlib; print(os.environ['RLNOTES_RUNS'], pathlib.Path.cwd())"
    write_notebook(folder / "00_a.ipynb", first, "print('noise\\nstep 1/2 reward 0.5')")
    write_notebook(folder / "01_b.ipynb", "x = 1", "# cell two\nassert x == 2, 'no'")
    write_notebook(folder / "02_c.ipynb", "print('last')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLNOTES_RUNS", raising=False)
    return tmp_path


def test_a_failing_notebook_is_named_and_the_others_run(project, capfd, monkeypatch):
    import subprocess

    monkeypatch.setattr(subprocess, "run", lambda command: None)  # no model to fetch
    assert main(["run", "--output", "out"]) == 1
    out, err = capfd.readouterr()
    assert "01_b.ipynb failed in cell [2]: AssertionError: no" in err
    assert "[1/3] 00_a" in out and "step 1/2 reward 0.5" in out and "noise" not in out
    table = out[out.index("notebook  seconds  result") :].splitlines()
    assert [line.split()[0] for line in table[1:4]] == ["00_a", "01_b", "02_c"]
    assert [line.split(maxsplit=2)[2] for line in table[1:4]] == [
        "ok",
        "failed in cell [2]: AssertionError: no",
        "ok",
    ]
    assert table[-1] == "executed notebooks: out"
    names = sorted(path.name for path in (project / "out").iterdir())
    assert names == ["00_a.ipynb", "01_b.ipynb", "02_c.ipynb"]
    records, cwd = project / "out" / "records", project / "notebooks"
    assert printed(project / "out" / "00_a.ipynb").startswith(f"{records} {cwd}\n")
    assert printed(project / "out" / "02_c.ipynb") == "last\n"


def test_one_notebook_can_be_chosen(project, capfd):
    results = run_notebooks("notebooks", "out", ["02_c.ipynb"])
    assert [(r.name, r.error) for r in results] == [("02_c", None)]
    assert results[0].seconds > 0


def test_bad_names_and_folders_are_refused_before_anything_runs(project):
    with pytest.raises(ValueError, match=r"'09_z' is unknown.*'00_a', '01_b', '02_c'"):
        run_notebooks("notebooks", "out", ["00_a", "09_z"])
    with pytest.raises(ValueError, match="has no notebook"):
        run_notebooks("rlnotes", "out")
    assert not (project / "out").exists()
    with pytest.raises(ValueError, match="output folder notebooks is not empty"):
        run_notebooks("notebooks", "notebooks")
    with pytest.raises(ValueError, match=r"pyproject.toml/out cannot be written"):
        run_notebooks("notebooks", "pyproject.toml/out")


def test_notebooks_come_in_order(project):
    for name in ("10_k", "03_d"):
        write_notebook(project / "notebooks" / f"{name}.ipynb", "1")
    stems = [path.stem for path in find_notebooks(Path("notebooks"))]
    assert stems == ["00_a", "01_b", "02_c", "03_d", "10_k"]
    chosen = find_notebooks(Path("notebooks"), ["10_k", "00_a"])
    assert [path.stem for path in chosen] == ["00_a", "10_k"]


def test_a_config_file_and_overrides_reach_the_notebook(tmp_path):
    cell = "print(algorithm, steps, learning_rate, delta)"
    notebook = write_notebook(tmp_path / "n.ipynb", cell, parameters=PARAMETERS)
    (tmp_path / "c.yaml").write_text("algorithm: dapo\nsteps: 3\nlearning_rate: 1\n")
    out = tmp_path / "new" / "out.ipynb"
    words = [str(notebook), str(out), "--config", str(tmp_path / "c.yaml"), "steps=4"]
    assert main(["notebook", *words]) == 0
    assert printed(out) == "dapo 4 1 None\n"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepps": 3}, r"'stepps' is unknown to n.ipynb \(did you mean 'steps'\?\)"),
        ({"steps": "3"}, "'steps' must be int like 2, got '3'"),
        ({"steps": True}, "'steps' must be int like 2, got True"),
        ({"steps": 2.5}, "'steps' must be int like 2, got 2.5"),
        ({"learning_rate": "1e-5"}, "'learning_rate' must be float like 1e-05"),
        ({"algorithm": 3}, "'algorithm' must be str like 'grpo', got 3"),
        ({"reward_funcs": "accuracy_reward"}, "'reward_funcs' must be list"),
        ({"bf16": 1}, "'bf16' must be bool like True, got 1"),
    ],
)
def test_papermill_only_warns_but_we_refuse(tmp_path, values, message):
    notebook = write_notebook(tmp_path / "n.ipynb", "1", parameters=PARAMETERS)
    with pytest.raises(ValueError, match=message):
        run_notebook_with_config(notebook, tmp_path / "out.ipynb", values)
    assert not (tmp_path / "out.ipynb").exists()


def test_an_int_is_a_float_and_none_leaves_a_choice_open(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", "1", parameters=PARAMETERS)
    check_parameters(notebook, {"learning_rate": 1, "delta": 3.0, "steps": None})


def test_a_notebook_without_parameters_takes_none(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", "steps = 1")
    check_parameters(notebook, {})
    with pytest.raises(ValueError, match="'steps' is unknown"):
        check_parameters(notebook, {"steps": 1})


def test_a_missing_config_or_one_that_is_no_mapping_is_refused(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", "1", parameters=PARAMETERS)
    with pytest.raises(FileNotFoundError, match="config: no file"):
        run_notebook_with_config(notebook, tmp_path / "o.ipynb", tmp_path / "c.yaml")
    for text in ("- a\n- b", "a: [1", "3: x"):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ValueError, match="c.yaml"):
            run_notebook_with_config(notebook, tmp_path / "o", tmp_path / "c.yaml")
